// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine checks (SDM 16): banks of error registers that the VMM sizes with KVM_X86_SETUP_MCE and fills with
 * KVM_X86_SET_MCE; an uncorrected error raises #MC.
 *
 * vCPU thread. The banks live from vCPU creation to its end.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <asm/mce.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/traps.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/machine.h>
#include "msr.h"

#define MCE_BANKS	32
#define MCE_CAPS	(MCG_CTL_P | MCG_SER_P)
#define HWCR_STATUS_WRITABLE	BIT_ULL(18)

enum { BANK_CTL, BANK_STATUS, BANK_ADDR, BANK_MISC, BANK_REGS };

int mce_vcpu_init(struct x86_vcpu *v)
{
	v->mce_banks = kcalloc(MCE_BANKS * BANK_REGS, sizeof(u64), GFP_KERNEL_ACCOUNT);
	v->mcg_cap = MCE_BANKS;
	return v->mce_banks ? 0 : -ENOMEM;
}

void mce_vcpu_free(struct x86_vcpu *v)
{
	kfree(v->mce_banks);
	v->mce_banks = NULL;
}

static unsigned int banks(const struct x86_vcpu *v)
{
	return min_t(unsigned int, v->mcg_cap & MCG_BANKCNT_MASK, MCE_BANKS);
}

/* Register of a bank, or NULL when the guest has no such bank. */
static u64 *bank_reg(struct x86_vcpu *v, u32 msr)
{
	u32 n = msr - MSR_IA32_MC0_CTL;

	if (n >= banks(v) * BANK_REGS)
		return NULL;
	return &v->mce_banks[array_index_nospec(n, MCE_BANKS * BANK_REGS)];
}

enum msr_result mce_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	u64 *reg;

	switch (msr) {
	case MSR_IA32_MCG_CAP:
		*val = v->mcg_cap;
		return MSR_OK;
	case MSR_IA32_MCG_STATUS:
		*val = v->mcg_status;
		return MSR_OK;
	case MSR_IA32_MCG_CTL:
		if (!(v->mcg_cap & MCG_CTL_P) && !host)
			return MSR_FAULT;
		*val = v->mcg_ctl;
		return MSR_OK;
	}
	reg = bank_reg(v, msr);
	if (!reg)
		return MSR_UNKNOWN;
	*val = *reg;
	return MSR_OK;
}

static enum msr_result bank_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	u64 *reg = bank_reg(v, msr);

	if (!reg)
		return MSR_UNKNOWN;
	switch ((msr - MSR_IA32_MC0_CTL) % BANK_REGS) {
	case BANK_CTL:
		/* All or nothing; an old Linux clears bit 10 of a bank (an erratum of real hardware). */
		if (val && (val | BIT_ULL(10)) != ~0ull && !host)
			return MSR_FAULT;
		break;
	case BANK_STATUS:
		if (val && !host && !(v->cap.amd && (v->hwcr & HWCR_STATUS_WRITABLE)))
			return MSR_FAULT;
		break;
	}
	*reg = val;
	return MSR_OK;
}

enum msr_result mce_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	switch (msr) {
	case MSR_IA32_MCG_CAP:
		return MSR_FAULT;
	case MSR_IA32_MCG_STATUS:
		v->mcg_status = val;
		return MSR_OK;
	case MSR_IA32_MCG_CTL:
		if (!(v->mcg_cap & MCG_CTL_P) && (val || !host))
			return MSR_FAULT;
		if (val && val != ~0ull)
			return MSR_FAULT;
		v->mcg_ctl = val;
		return MSR_OK;
	}
	return bank_set(v, msr, val, host);
}

/* KVM_X86_GET_MCE_CAP_SUPPORTED: in the format of IA32_MCG_CAP; the number of banks is KVM_CAP_MCE's value. */
long dev_mce_cap(struct kvm_call *c)
{
	*(u64 *)c->arg = MCE_CAPS;
	return 0;
}

long vcpu_setup_mce(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	u64 cap = *(u64 *)c->arg;
	unsigned int n = cap & MCG_BANKCNT_MASK, i;

	if (!n || n > MCE_BANKS || (cap & ~(MCE_CAPS | MCG_BANKCNT_MASK)))
		return -EINVAL;
	v->mcg_cap = cap;
	if (cap & MCG_CTL_P)
		v->mcg_ctl = ~0ull;
	for (i = 0; i < n; i++)
		v->mce_banks[i * BANK_REGS + BANK_CTL] = ~0ull;
	return 0;
}

static void record(u64 *bank, const struct kvm_x86_mce *e, u64 status)
{
	if (bank[BANK_STATUS] & MCI_STATUS_VAL)
		status |= MCI_STATUS_OVER;
	bank[BANK_STATUS] = status;
	bank[BANK_ADDR] = e->addr;
	bank[BANK_MISC] = e->misc;
}

/* KVM_X86_SET_MCE: as if the hardware had found this error (SDM 16.3.2). */
long vcpu_set_mce(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	const struct kvm_x86_mce *e = c->arg;
	u64 *bank;

	if (e->bank >= banks(v) || !(e->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = &v->mce_banks[array_index_nospec(e->bank, MCE_BANKS) * BANK_REGS];
	if (e->status & MCI_STATUS_UC) {
		/* Reporting switched off, for all banks or for this one: nothing happens. */
		if (((v->mcg_cap & MCG_CTL_P) && v->mcg_ctl != ~0ull) || bank[BANK_CTL] != ~0ull)
			return 0;
		if ((v->mcg_status & MCG_STATUS_MCIP) || !(get_cr4(v) & X86_CR4_MCE)) {
			vcpu_request(c->vcpu, REQ_TRIPLE_FAULT);
			return 0;
		}
		record(bank, e, e->status);
		v->mcg_status = e->mcg_status;
		x86_raise(c->vcpu, X86_TRAP_MC);
	} else if ((bank[BANK_STATUS] & (MCI_STATUS_VAL | MCI_STATUS_UC)) != (MCI_STATUS_VAL | MCI_STATUS_UC)) {
		record(bank, e, e->status);
	} else {
		bank[BANK_STATUS] |= MCI_STATUS_OVER;	/* an uncorrected error is not overwritten */
	}
	return 0;
}
