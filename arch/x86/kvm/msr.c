// SPDX-License-Identifier: GPL-2.0-only
/*
 * Model-specific registers: one table says who owns which, what a guest reads and may write, which pass through
 * to hardware and which are listed for migration. What is in no row is asked of the local APIC (x2APIC), the
 * clocks and the vendor, in this order; nobody's is unknown: #GP, or user space's if it asked for that.
 *
 * vCPU thread, loaded, in kvm->srcu. host: user space's access, free of the guest's read-only rules; it must be
 * able to write back whatever it read, and 0, whatever the guest's CPUID says.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/hash.h>
#include <linux/module.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/traps.h>
#include <kvm/x86/clock.h>
#include <kvm/x86/fpu.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/lapic.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/mmu.h>
#include "msr.h"
#include "trace.h"

static bool ignore_msrs;
module_param(ignore_msrs, bool, 0644);
MODULE_PARM_DESC(ignore_msrs, "unknown MSRs read as 0 and ignore writes instead of #GP");
static bool report_ignored_msrs = true;
module_param(report_ignored_msrs, bool, 0644);

#define MISC_ENABLE_MWAIT	BIT_ULL(18)

/* Registers that hold addresses are as wide as the processor's addresses can be, whatever the paging mode is. */
static bool canonical(struct x86_vcpu *v, u64 addr, bool host)
{
	unsigned int shift = 64 - (host && cpuid_supports(7, 0, 2, 16) ? 57 : v->cap.linear_bits);

	return (u64)((s64)(addr << shift) >> shift) == addr;
}

/* --- rows that are one field --- */

/* Registers with no effect that software expects: read as 0, writes are swallowed. */
static enum msr_result zero_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	*val = 0;
	return MSR_OK;
}

static enum msr_result drop_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	return MSR_OK;
}

/* The same where only 0 makes sense. */
static enum msr_result zero_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	return val ? MSR_FAULT : MSR_OK;
}

static enum msr_result efer_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	*val = get_efer(v);
	return MSR_OK;
}

static enum msr_result efer_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	u64 old = get_efer(v);

	if (!efer_ok(v, val & ~EFER_LMA))
		return MSR_FAULT;
	if (!host && guest_paging(v) && ((old ^ val) & EFER_LME))
		return MSR_FAULT;
	val = (val & ~EFER_LMA) | (old & EFER_LMA);
	if (val == old)
		return MSR_OK;
	put_efer(v, val);
	mmu_mode_changed(v);
	return MSR_OK;
}

static u64 *syscall_field(struct x86_vcpu *v, u32 msr)
{
	switch (msr) {
	case MSR_STAR:
		return &v->state.star;
	case MSR_LSTAR:
		return &v->state.lstar;
	case MSR_CSTAR:
		return &v->state.cstar;
	case MSR_SYSCALL_MASK:
		return &v->state.fmask;
	default:
		return &v->state.kernel_gs_base;
	}
}

static enum msr_result syscall_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	state_need(v, G_SYSCALL);
	*val = *syscall_field(v, msr);
	return MSR_OK;
}

static enum msr_result syscall_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	if (msr != MSR_STAR && msr != MSR_SYSCALL_MASK && !canonical(v, val, host))
		return MSR_FAULT;
	state_need(v, G_SYSCALL);
	*syscall_field(v, msr) = msr == MSR_SYSCALL_MASK ? (u32)val : val;
	state_dirty(v, G_SYSCALL);
	return MSR_OK;
}

static enum msr_result base_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	*val = get_seg(v, msr == MSR_FS_BASE ? SEG_FS : SEG_GS)->base;
	return MSR_OK;
}

static enum msr_result base_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	enum seg_reg s = msr == MSR_FS_BASE ? SEG_FS : SEG_GS;

	if (!canonical(v, val, host))
		return MSR_FAULT;
	get_seg(v, s)->base = val;
	state_dirty(v, G_SEG(s));
	return MSR_OK;
}

static u64 *sysenter_field(struct x86_vcpu *v, u32 msr)
{
	return msr == MSR_IA32_SYSENTER_CS ? &v->state.sysenter_cs :
	       msr == MSR_IA32_SYSENTER_ESP ? &v->state.sysenter_esp : &v->state.sysenter_eip;
}

static enum msr_result sysenter_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	state_need(v, G_SYSENTER);
	*val = *sysenter_field(v, msr);
	return MSR_OK;
}

static enum msr_result sysenter_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	if (msr != MSR_IA32_SYSENTER_CS && !canonical(v, val, host))
		return MSR_FAULT;
	state_need(v, G_SYSENTER);
	*sysenter_field(v, msr) = msr == MSR_IA32_SYSENTER_CS ? (u32)val : val;
	state_dirty(v, G_SYSENTER);
	return MSR_OK;
}

static enum msr_result pat_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	state_need(v, G_PAT);
	*val = v->state.pat;
	return MSR_OK;
}

static enum msr_result pat_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	if (!pat_ok(val))
		return MSR_FAULT;
	v->state.pat = val;
	state_dirty(v, G_PAT);
	return MSR_OK;
}

static enum msr_result debugctl_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	state_need(v, G_DEBUGCTL);
	*val = v->state.debugctl;
	return MSR_OK;
}

static enum msr_result debugctl_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	/* Without LBR virtualisation recording and branch stepping stay off: a guest finds the bits clear. */
	val &= ~((DEBUGCTLMSR_LBR | DEBUGCTLMSR_BTF) & ~vendor_caps.debugctl_allowed);
	if (val & ~vendor_caps.debugctl_allowed)
		return MSR_FAULT;
	v->state.debugctl = val;
	state_dirty(v, G_DEBUGCTL);
	return MSR_OK;
}

static enum msr_result apicbase_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	*val = lapic_get_base(v);
	return MSR_OK;
}

static enum msr_result apicbase_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	return lapic_set_base(v, val, host) ? MSR_OK : MSR_FAULT;
}

static enum msr_result deadline_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	*val = v->lapic ? lapic_get_deadline(v) : 0;
	return MSR_OK;
}

static enum msr_result deadline_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	if (v->lapic)
		lapic_set_deadline(v, val);
	return MSR_OK;
}

static enum msr_result misc_enable_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	*val = v->misc_enable;
	return MSR_OK;
}

static enum msr_result misc_enable_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	u64 changed = v->misc_enable ^ val;

	v->misc_enable = val;
	if (changed & MISC_ENABLE_MWAIT)
		cpuid_runtime_update(v);
	return MSR_OK;
}

static enum msr_result xss_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	if (!host && !(v->cap.fd_1_eax & BIT(3)))
		return MSR_FAULT;
	*val = v->xss;
	return MSR_OK;
}

static enum msr_result xss_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	if (!host && !(v->cap.fd_1_eax & BIT(3)))
		return MSR_FAULT;
	if (val & ~(v->cap.xss_allowed & guest_xss_mask))
		return MSR_FAULT;
	v->xss = val;
	cpuid_runtime_update(v);
	return MSR_OK;
}

/* --- what describes the CPU model: the guest reads, user space decides --- */

static enum msr_result arch_cap_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	if (!host && !(v->cap.f7_edx & BIT(29)))
		return MSR_FAULT;
	*val = v->arch_capabilities;
	return MSR_OK;
}

static enum msr_result arch_cap_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	if (!host)
		return MSR_FAULT;
	v->arch_capabilities = val;
	return MSR_OK;
}

static enum msr_result ucode_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	*val = v->ucode_rev;
	return MSR_OK;
}

static enum msr_result ucode_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	if (host)
		v->ucode_rev = val;	/* the guest writes 0 before CPUID to have it reported: no effect */
	return MSR_OK;
}

static enum msr_result platform_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	if (!host && !vm_of(v)->msr_platform_info)
		return MSR_FAULT;
	*val = v->platform_info;
	return MSR_OK;
}

static enum msr_result platform_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	if (!host)
		return MSR_FAULT;
	v->platform_info = val;
	return MSR_OK;
}

/* PLATFORM_INFO bit 31 offers CPUID faulting, MISC_FEATURES_ENABLES bit 0 turns it on. */
static enum msr_result misc_features_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	*val = v->misc_features;
	return MSR_OK;
}

static enum msr_result misc_features_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	if ((val & ~1ull) || ((val & 1) && !host && !(v->platform_info & BIT_ULL(31))))
		return MSR_FAULT;
	v->misc_features = val;
	return MSR_OK;
}

/* Nothing here depends on it; firmware and guests set it and want it back. */
static enum msr_result power_ctl_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	*val = v->power_ctl;
	return MSR_OK;
}

static enum msr_result power_ctl_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	v->power_ctl = val;
	return MSR_OK;
}

/* Without performance counters: there for the VMM, not for the guest, whose CPUID cannot have PDCM. */
static enum msr_result perf_cap_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	*val = 0;
	return host ? MSR_OK : MSR_UNKNOWN;
}

static enum msr_result perf_cap_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	return !host ? MSR_UNKNOWN : val ? MSR_FAULT : MSR_OK;
}

/* Performance status: a fixed ratio and voltage, as an idle-less CPU would show. */
static enum msr_result perf_status_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	*val = 0x1000 | 4ull << 40;
	return MSR_OK;
}

static enum msr_result fault_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	return MSR_FAULT;
}

/* What the host's CPU is known not to suffer from, whether or not it has the MSR to say so (AMD's have not). */
static const struct {
	u16 bug;
	u64 no;
} immune[] = {
	{ X86_BUG_CPU_MELTDOWN, ARCH_CAP_RDCL_NO },
	{ X86_BUG_SPEC_STORE_BYPASS, ARCH_CAP_SSB_NO },
	{ X86_BUG_L1TF, ARCH_CAP_SKIP_VMENTRY_L1DFLUSH },
	{ X86_BUG_MDS, ARCH_CAP_MDS_NO },
	{ X86_BUG_ITLB_MULTIHIT, ARCH_CAP_PSCHANGE_MC_NO },
};

static u64 arch_capabilities(void)
{
	unsigned int i;
	u64 val = 0;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl(MSR_IA32_ARCH_CAPABILITIES, val);
	/* Facts about the CPU and mitigations that need no help of ours; controls (TSX, fill buffers) stay hidden. */
	val &= ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_RSBA | ARCH_CAP_SKIP_VMENTRY_L1DFLUSH |
	       ARCH_CAP_SSB_NO | ARCH_CAP_MDS_NO | ARCH_CAP_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO |
	       ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO | ARCH_CAP_PBRSB_NO |
	       ARCH_CAP_RRSBA | ARCH_CAP_GDS_NO | ARCH_CAP_RFDS_NO | ARCH_CAP_RFDS_CLEAR | ARCH_CAP_BHI_NO;
	for (i = 0; i < ARRAY_SIZE(immune); i++)
		if (!boot_cpu_has_bug(immune[i].bug))
			val |= immune[i].no;
	return val;
}

bool msr_feature_value(u32 msr, u64 *val)
{
	switch (msr) {
	case MSR_IA32_ARCH_CAPABILITIES:
		*val = arch_capabilities();
		return true;
	case MSR_IA32_UCODE_REV:
		*val = 0x100000000ull;
		if (boot_cpu_data.x86_vendor == X86_VENDOR_INTEL)
			rdmsrl_safe(MSR_IA32_UCODE_REV, val);
		else
			*val = 0x01000065;
		return true;
	case MSR_IA32_PERF_CAPABILITIES:
		*val = 0;
		return true;
	}
	return vendor_ops.feature_msr(msr, val);
}

static bool has_xss(void) { return cpuid_supports(0xd, 1, 0, 3); }

#define RW(m, fl, name)		{ m, m, fl, name##_get, name##_set }
const struct msr_row msr_table[] = {
	{ MSR_IA32_PLATFORM_ID, MSR_IA32_PLATFORM_ID, 0, zero_get, fault_set },
	RW(MSR_IA32_APICBASE, 0, apicbase),
	{ MSR_IA32_EBL_CR_POWERON, MSR_IA32_EBL_CR_POWERON, 0, zero_get, drop_set },
	{ MSR_IA32_UCODE_WRITE, MSR_IA32_UCODE_WRITE, 0, zero_get, drop_set },
	RW(MSR_IA32_UCODE_REV, MSR_LISTED, ucode),
	{ MSR_FSB_FREQ, MSR_FSB_FREQ, 0, zero_get, fault_set },
	RW(MSR_PLATFORM_INFO, MSR_LISTED, platform),
	{ MSR_MTRRcap, MSR_MTRRcap, 0, mtrr_get, mtrr_set },
	RW(MSR_IA32_ARCH_CAPABILITIES, MSR_LISTED, arch_cap),
	{ MSR_MISC_FEATURES_ENABLES, MSR_MISC_FEATURES_ENABLES, MSR_LISTED, misc_features_get, misc_features_set },
	{ MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_EIP, MSR_LISTED | MSR_PASS, sysenter_get, sysenter_set },
	{ MSR_IA32_MCG_CAP, MSR_IA32_MCG_CAP, 0, mce_get, mce_set },
	{ MSR_IA32_MCG_STATUS, MSR_IA32_MCG_CTL, MSR_LISTED, mce_get, mce_set },
	{ MSR_IA32_PERF_STATUS, MSR_IA32_PERF_STATUS, 0, perf_status_get, fault_set },
	{ MSR_IA32_PERF_CTL, MSR_IA32_PERF_CTL, 0, zero_get, drop_set },
	{ MSR_IA32_THERM_CONTROL, MSR_IA32_THERM_STATUS, 0, zero_get, drop_set },
	RW(MSR_IA32_MISC_ENABLE, MSR_LISTED, misc_enable),
	RW(MSR_IA32_DEBUGCTLMSR, 0, debugctl),
	{ MSR_IA32_LASTBRANCHFROMIP, MSR_IA32_LASTINTTOIP, 0, zero_get, zero_set },
	RW(MSR_IA32_POWER_CTL, MSR_LISTED, power_ctl),
	{ 0x200, 0x20f, MSR_LISTED, mtrr_get, mtrr_set },
	{ MSR_MTRRfix64K_00000, MSR_MTRRfix64K_00000, MSR_LISTED, mtrr_get, mtrr_set },
	{ MSR_MTRRfix16K_80000, MSR_MTRRfix16K_A0000, MSR_LISTED, mtrr_get, mtrr_set },
	{ MSR_MTRRfix4K_C0000, MSR_MTRRfix4K_F8000, MSR_LISTED, mtrr_get, mtrr_set },
	RW(MSR_IA32_CR_PAT, MSR_LISTED, pat),
	{ MSR_MTRRdefType, MSR_MTRRdefType, MSR_LISTED, mtrr_get, mtrr_set },
	RW(MSR_IA32_PERF_CAPABILITIES, 0, perf_cap),
	{ MSR_IA32_MC0_CTL, MSR_IA32_MC0_CTL + 4 * 32 - 1, 0, mce_get, mce_set },
	RW(MSR_IA32_TSC_DEADLINE, MSR_LISTED, deadline),
	{ MSR_IA32_XSS, MSR_IA32_XSS, MSR_LISTED, xss_get, xss_set, has_xss },
	RW(MSR_EFER, 0, efer),
	{ MSR_STAR, MSR_SYSCALL_MASK, MSR_LISTED | MSR_PASS, syscall_get, syscall_set },
	{ MSR_FS_BASE, MSR_GS_BASE, MSR_PASS, base_get, base_set },
	{ MSR_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE, MSR_LISTED | MSR_PASS, syscall_get, syscall_set },
	/* K7 performance counters: every AMD CPU has them, this one counts nothing. */
	{ MSR_K7_EVNTSEL0, MSR_K7_PERFCTR3, MSR_AMD, zero_get, drop_set },
};
const unsigned int msr_table_rows = ARRAY_SIZE(msr_table);

/* By hash of the number: 1 + the row of a register that has one to itself. Whose place is taken has none. */
#define ROW_HASH_BITS	9
static u8 row_hash[1 << ROW_HASH_BITS] __ro_after_init;
static_assert(ARRAY_SIZE(msr_table) < U8_MAX);

int __init msr_table_check(void)
{
	unsigned int i;
	u8 *h;

	for (i = 0; i < ARRAY_SIZE(msr_table); i++) {
		if (msr_table[i].last < msr_table[i].first || (i && msr_table[i].first <= msr_table[i - 1].last)) {
			pr_err("MSR table: row %u (%x) is out of order\n", i, msr_table[i].first);
			return -EINVAL;
		}
		h = &row_hash[hash_32(msr_table[i].first, ROW_HASH_BITS)];
		if (msr_table[i].first == msr_table[i].last && !*h)
			*h = i + 1;
	}
	return 0;
}

/* The table is sorted; checked when the module loads. */
static noinline const struct msr_row *search_row(u32 msr)
{
	unsigned int lo = 0, hi = ARRAY_SIZE(msr_table), mid;
	const struct msr_row *r;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		r = &msr_table[mid];
		if (msr > r->last)
			lo = mid + 1;
		else if (msr < r->first)
			hi = mid;
		else
			return r;
	}
	return NULL;
}

static const struct msr_row *row_of(u32 msr)
{
	unsigned int i = row_hash[hash_32(msr, ROW_HASH_BITS)];
	const struct msr_row *r = &msr_table[i - !!i];

	if (unlikely(r->first != msr || r->last != msr))
		r = search_row(msr);
	return r && !(r->flags & (vendor_ops.amd ? MSR_INTEL : MSR_AMD)) ? r : NULL;
}

static bool is_x2apic(u32 msr)
{
	return msr >= 0x800 && msr <= 0x8ff;
}

static enum msr_result x2apic_result(struct x86_vcpu *v, bool ok)
{
	return v->lapic && ok ? MSR_OK : MSR_FAULT;
}

enum msr_result msr_read(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	const struct msr_row *r;
	bool ok;

	if (is_x2apic(msr))
		return x2apic_result(v, v->lapic && x2apic_msr_read(v, msr, val));
	r = row_of(msr);
	if (r)
		return r->get(v, msr, val, host);
	if (clock_get_msr(v, msr, val, host, &ok))
		return ok ? MSR_OK : MSR_FAULT;
	return vendor_ops.get_msr(v, msr, val, host) ? MSR_OK : MSR_UNKNOWN;
}

enum msr_result msr_write(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	const struct msr_row *r;
	bool ok;

	if (is_x2apic(msr))
		return x2apic_result(v, v->lapic && x2apic_msr_write(v, msr, val));
	r = row_of(msr);
	if (r)
		return r->set(v, msr, val, host);
	if (clock_set_msr(v, msr, val, host, &ok))
		return ok ? MSR_OK : MSR_FAULT;
	switch (vendor_ops.set_msr(v, msr, val, host)) {
	case VMSR_OK:
		return MSR_OK;
	case VMSR_BAD:
		return MSR_FAULT;
	case VMSR_NONE:
		break;
	}
	return MSR_UNKNOWN;
}

/* The parameter ignore_msrs: for guests that insist on registers nobody emulates. */
static enum msr_result if_ignored(struct x86_vcpu *v, enum msr_result res, u32 msr, u64 *val, bool write)
{
	if (res != MSR_UNKNOWN || !READ_ONCE(ignore_msrs))
		return res;
	if (report_ignored_msrs)
		pr_info_ratelimited("vcpu %u: ignored %s of MSR %x\n", v->vcpu.id, write ? "write" : "read", msr);
	if (!write)
		*val = 0;
	return MSR_OK;
}

/* --- exits --- */

static u32 user_reason(enum msr_result res)
{
	return res == MSR_FILTERED ? KVM_MSR_EXIT_REASON_FILTER :
	       res == MSR_UNKNOWN ? KVM_MSR_EXIT_REASON_UNKNOWN : KVM_MSR_EXIT_REASON_INVAL;
}

static enum outcome complete_write(struct x86_vcpu *v)
{
	if (!answer_wanted(v))
		return OUT_OK;
	if (READ_ONCE(v->vcpu.run->msr.error))
		return x86_raise_error(&v->vcpu, X86_TRAP_GP, 0);
	return skip_answered(v);
}

static enum outcome complete_read(struct x86_vcpu *v)
{
	const struct kvm_run *run = v->vcpu.run;
	u64 data = READ_ONCE(run->msr.data);

	if (answer_wanted(v) && !READ_ONCE(run->msr.error)) {
		gpr_set(v, RAX, (u32)data);
		gpr_set(v, RDX, data >> 32);
	}
	return complete_write(v);
}

/* The access did not work: user space's when it asked for this kind of failure, else #GP(0). */
static enum outcome failed(struct x86_vcpu *v, u32 msr, u64 val, enum msr_result res, bool write)
{
	u32 reason = user_reason(res);
	struct kvm_run *run;

	if (!(vm_of(v)->user_msr_mask & reason))
		return x86_raise_error(&v->vcpu, X86_TRAP_GP, 0);
	run = vcpu_exit_to_user(&v->vcpu, write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR);
	memset(&run->msr, 0, sizeof(run->msr));
	run->msr.reason = reason;
	run->msr.index = msr;
	run->msr.data = write ? val : 0;
	ask_user(v, write ? complete_write : complete_read);
	return OUT_USER;
}

enum outcome exit_rdmsr(struct x86_vcpu *v)
{
	u32 msr = v->state.gpr[RCX];
	enum msr_result res = MSR_FILTERED;
	u64 val = 0;

	if (msr_allowed(vm_of(v), msr, false))
		res = if_ignored(v, msr_read(v, msr, &val, false), msr, &val, false);
	trace_kvm_msr(false, msr, val, res != MSR_OK);
	if (unlikely(res != MSR_OK))
		return failed(v, msr, 0, res, false);
	v->state.gpr[RAX] = (u32)val;
	v->state.gpr[RDX] = val >> 32;
	return skip_insn(v);
}

enum outcome exit_wrmsr(struct x86_vcpu *v)
{
	u32 msr = v->state.gpr[RCX];
	u64 val = (u32)v->state.gpr[RAX] | v->state.gpr[RDX] << 32;
	enum msr_result res = MSR_FILTERED;

	if (msr_allowed(vm_of(v), msr, true))
		res = if_ignored(v, msr_write(v, msr, val, false), msr, &val, true);
	trace_kvm_msr(true, msr, val, res != MSR_OK);
	if (unlikely(res != MSR_OK))
		return failed(v, msr, val, res, true);
	return skip_insn(v);
}

bool exit_deadline(struct x86_vcpu *v, enum outcome *out)
{
	u64 val = (u32)v->state.gpr[RAX] | v->state.gpr[RDX] << 32;

	if ((u32)v->state.gpr[RCX] != MSR_IA32_TSC_DEADLINE || !v->lapic || rcu_access_pointer(vm_of(v)->msr_filter))
		return false;
	lapic_set_deadline(v, val);
	trace_kvm_msr(true, MSR_IA32_TSC_DEADLINE, val, false);
	*out = skip_insn(v);
	return true;
}

/* --- vCPU life --- */

void msr_vcpu_reset(struct x86_vcpu *v, bool init)
{
	/* INIT leaves MSRs alone but for the few that other files reset (SDM table 10-1). */
	if (init)
		return;
	v->misc_enable = MSR_IA32_MISC_ENABLE_FAST_STRING | MSR_IA32_MISC_ENABLE_BTS_UNAVAIL |
			 MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL;
	v->misc_features = 0;
	v->power_ctl = 0;
	v->platform_info = BIT_ULL(31);
	v->xss = 0;
	v->spec_ctrl = 0;
	v->tsc_aux = 0;
	v->mtrr_def = 0;
	memset(v->mtrr_fix, 0, sizeof(v->mtrr_fix));
	memset(v->mtrr_var, 0, sizeof(v->mtrr_var));
	v->mcg_status = 0;
	if (!msr_feature_value(MSR_IA32_ARCH_CAPABILITIES, &v->arch_capabilities))
		v->arch_capabilities = 0;
	if (!msr_feature_value(MSR_IA32_UCODE_REV, &v->ucode_rev))
		v->ucode_rev = 0;
}

void msr_intercepts_update(struct x86_vcpu *v)
{
	unsigned int i;
	u32 msr;

	for (i = 0; i < ARRAY_SIZE(msr_table); i++) {
		const struct msr_row *r = &msr_table[i];

		if (!(r->flags & MSR_PASS))
			continue;
		for (msr = r->first; msr <= r->last; msr++)
			vendor_ops.msr_intercept(v, msr,
				!(r->flags & MSR_PASS_READ) || !msr_allowed(vm_of(v), msr, false),
				!(r->flags & MSR_PASS_WRITE) || !msr_allowed(vm_of(v), msr, true));
	}
}
