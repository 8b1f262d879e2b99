// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs as VMX has them.
 *
 * Where a guest's value lives while it runs: FS and GS base, SYSENTER, DEBUGCTL in the VMCS; EFER and PAT in
 * the VMCS too, loaded while they differ from the host's; STAR, LSTAR, FMASK and TSC_AUX in the registers
 * themselves until the thread returns to user space (kvm/x86/host_msr.h); KERNEL_GS_BASE in the register from
 * prepare() to put(); SPEC_CTRL in the register during guest mode (enter.S). CSTAR is only a value: SYSCALL
 * from compatibility mode does not exist on Intel.
 */
#include "vmx.h"
#include <kvm/x86/host_msr.h>
#include <asm/apicdef.h>
#include <asm/cpufeature.h>
#include <asm/msr-index.h>

/* CPUID.7.EDX of the guest. */
#define CPUID_SPEC_CTRL		(BIT(26) | BIT(27) | BIT(31))
#define CPUID_IBPB		BIT(26)
#define CPUID_FLUSH_L1D		BIT(28)

#define X2APIC_TPR		(APIC_BASE_MSR + (APIC_TASKPRI >> 4))

static int slot_star, slot_lstar, slot_fmask, slot_tsc_aux;

void vmx_msr_slots(void)
{
	slot_star = host_msr_slot(MSR_STAR);
	slot_lstar = host_msr_slot(MSR_LSTAR);
	slot_fmask = host_msr_slot(MSR_SYSCALL_MASK);
	slot_tsc_aux = host_msr_slot(MSR_TSC_AUX);
}

static void slot_set(int slot, u64 val)
{
	if (slot >= 0)
		host_msr_set(slot, val, ~0ull);
}

static bool has_tsc_aux(const struct x86_vcpu *v)
{
	return (v->cap.f80000001_edx & BIT(27)) || (v->cap.f7_ecx & BIT(22));
}

void vmx_load_msrs(struct vmx_vcpu *vmx)
{
	const struct x86_vcpu *v = &vmx->x;
	const struct x86_state *s = &v->state;

	/* SYSCALL works in 64-bit mode only: a guest that cannot use it does not pay for it. */
	if ((s->efer & (EFER_LMA | EFER_SCE)) == (EFER_LMA | EFER_SCE)) {
		slot_set(slot_star, s->star);
		slot_set(slot_lstar, s->lstar);
		slot_set(slot_fmask, s->fmask);
	}
	if (has_tsc_aux(v))
		slot_set(slot_tsc_aux, v->tsc_aux);
}

/* --- the bitmap: four parts of 1 KB (SDM 25.6.9) --- */

enum { BITMAP_READ_LOW = 0, BITMAP_READ_HIGH = 0x2000, BITMAP_WRITE_LOW = 0x4000, BITMAP_WRITE_HIGH = 0x6000 };

static void bitmap_assign(struct vmx_vcpu *vmx, u32 msr, bool read, bool write)
{
	bool high = msr >= 0xc0000000;
	u32 bit = msr & 0x1fff;

	/* Registers that the bitmap does not cover always exit. */
	if ((high ? msr - 0xc0000000 : msr) > 0x1fff)
		return;
	__assign_bit((high ? BITMAP_READ_HIGH : BITMAP_READ_LOW) + bit, vmx->msr_bitmap, read);
	__assign_bit((high ? BITMAP_WRITE_HIGH : BITMAP_WRITE_LOW) + bit, vmx->msr_bitmap, write);
}

/* Registers whose guest value is not (always) in hardware, or whose change we must see: never passed through. */
static bool held_back(u32 msr)
{
	switch (msr) {
	case MSR_STAR:
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_SYSCALL_MASK:
	case MSR_TSC_AUX:
	case MSR_EFER:
	case MSR_IA32_CR_PAT:
	case MSR_IA32_DEBUGCTLMSR:
	case MSR_IA32_SPEC_CTRL:	/* here by the guest's first use */
	case X2APIC_TPR:		/* here while hardware has a TPR of the guest's to show */
		return true;
	default:
		return false;
	}
}

void vmx_msr_intercept(struct x86_vcpu *v, u32 msr, bool read, bool write)
{
	if (!held_back(msr))
		bitmap_assign(to_vmx(v), msr, read, write);
}

void msr_pass_tpr(struct vmx_vcpu *vmx, bool pass)
{
	bitmap_assign(vmx, X2APIC_TPR, !pass, !pass);
}

static void pass_spec_ctrl(struct vmx_vcpu *vmx, bool pass)
{
	bitmap_assign(vmx, MSR_IA32_SPEC_CTRL, !pass, !pass);
	if (pass)
		vmx->entry.flags |= ENTRY_SAVE_SPEC;
	else
		vmx->entry.flags &= ~ENTRY_SAVE_SPEC;
}

/* vCPU creation, reset, new CPUID: what the guest may do by itself. */
void msr_defaults(struct vmx_vcpu *vmx, bool init)
{
	struct x86_vcpu *v = &vmx->x;

	vmx->spec_ctrl_used = (v->cap.f7_edx & CPUID_SPEC_CTRL) && boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	if (!init)
		pass_spec_ctrl(vmx, false);
	bitmap_assign(vmx, MSR_IA32_PRED_CMD, true,
		      !((v->cap.f7_edx & CPUID_IBPB) && boot_cpu_has(X86_FEATURE_IBPB)));
	bitmap_assign(vmx, MSR_IA32_FLUSH_CMD, true,
		      !((v->cap.f7_edx & CPUID_FLUSH_L1D) && boot_cpu_has(X86_FEATURE_FLUSH_L1D)));
}

/* --- access by exits and by user space --- */

/* Bits of SPEC_CTRL that both the host's CPU and, unless user space asks, the guest's CPUID have. */
static u64 spec_ctrl_bits(const struct x86_vcpu *v, bool host)
{
	u64 bits = 0;

	if (boot_cpu_has(X86_FEATURE_IBRS) && (host || (v->cap.f7_edx & BIT(26))))
		bits |= SPEC_CTRL_IBRS;
	if (boot_cpu_has(X86_FEATURE_STIBP) && (host || (v->cap.f7_edx & (BIT(26) | BIT(27)))))
		bits |= SPEC_CTRL_STIBP;
	if (boot_cpu_has(X86_FEATURE_SSBD) && (host || (v->cap.f7_edx & BIT(31))))
		bits |= SPEC_CTRL_SSBD;
	return bits;
}

bool vmx_get_msr(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	switch (msr) {
	case MSR_TSC_AUX:
		if (!host && !has_tsc_aux(v))
			return false;
		*val = v->tsc_aux;
		return true;
	case MSR_IA32_SPEC_CTRL:
		if (!boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL) || (!host && !to_vmx(v)->spec_ctrl_used))
			return false;
		*val = v->spec_ctrl;
		return true;
	case MSR_IA32_FEAT_CTL:
		if (!host)
			return false;
		*val = v->feature_control;
		return true;
	default:
		return false;
	}
}

static enum vendor_msr set_spec_ctrl(struct x86_vcpu *v, u64 val, bool host)
{
	struct vmx_vcpu *vmx = to_vmx(v);

	if (!boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL) || (!host && !vmx->spec_ctrl_used))
		return VMSR_NONE;
	if (val & ~spec_ctrl_bits(v, host))
		return VMSR_BAD;
	v->spec_ctrl = val;
	/* A guest that uses it will do so often; one that leaves it 0 spares every exit the reading back. */
	if (!host && val)
		pass_spec_ctrl(vmx, true);
	return VMSR_OK;
}

/* Commands, not values: done on this CPU, where the guest will run on. */
static enum vendor_msr set_command(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	bool pred = msr == MSR_IA32_PRED_CMD;
	bool cpu_has = pred ? boot_cpu_has(X86_FEATURE_IBPB) : boot_cpu_has(X86_FEATURE_FLUSH_L1D);

	if (!cpu_has || (!host && !(v->cap.f7_edx & (pred ? CPUID_IBPB : CPUID_FLUSH_L1D))))
		return VMSR_NONE;
	if (val & ~1ull)
		return VMSR_BAD;
	if (val && !host)
		wrmsrl(msr, val);
	return VMSR_OK;
}

enum vendor_msr vmx_set_msr(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	switch (msr) {
	case MSR_TSC_AUX:
		if (!host && !has_tsc_aux(v))
			return VMSR_NONE;
		if (val >> 32)
			return VMSR_BAD;
		v->tsc_aux = val;
		to_vmx(v)->todo |= TODO_MSRS;
		return VMSR_OK;
	case MSR_IA32_SPEC_CTRL:
		return set_spec_ctrl(v, val, host);
	case MSR_IA32_PRED_CMD:
	case MSR_IA32_FLUSH_CMD:
		return set_command(v, msr, val, host);
	case MSR_IA32_FEAT_CTL:
		/* Without VMX, SGX or LMCE in the guest only the lock bit means anything. */
		if (!host)
			return VMSR_NONE;
		if (val & ~1ull)
			return VMSR_BAD;
		v->feature_control = val;
		return VMSR_OK;
	default:
		return VMSR_NONE;
	}
}

/* The VMX capability MSRs come with nested VMX, which this version does not have. */
bool vmx_feature_msr(u32 msr, u64 *val)
{
	return false;
}
