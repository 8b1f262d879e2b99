// SPDX-License-Identifier: GPL-2.0-only
/*
 * Execution controls: what makes the guest exit, its time, its tags in the TLB, its task priority.
 *
 * The seam's operations note what changed in vmx->todo; vmx_apply() writes it before the next entry with
 * IRQs off. Control fields have a copy in struct vmx_vmcs, so recomputing one that stays the same costs no
 * VMWRITE.
 *
 * TLB. Linear and combined mappings carry the vCPU's VPID, guest-physical ones the root's address (SDM
 * 29.4). A vCPU that comes to another CPU flushes there first, so what it left on the old one is never
 * used again; a new root flushes too, since its page may have been another guest's root.
 */
#define pr_fmt(fmt) "kvm_intel: " fmt

#include "vmx.h"
#include <linux/bitmap.h>
#include <linux/spinlock.h>
#include <asm/apicdef.h>

#define VPIDS		BIT(16)

unsigned int param_ple_window = 4096;
unsigned int param_ple_window_grow = 2;
unsigned int param_ple_window_shrink;
unsigned int param_ple_window_max = UINT_MAX;

static DECLARE_BITMAP(vpids, VPIDS) = { 1 };	/* 0 is the host's */
static DEFINE_SPINLOCK(vpids_lock);

u16 vpid_get(void)
{
	unsigned long vpid;

	if (!vmx_caps.vpid)
		return 0;
	spin_lock(&vpids_lock);
	vpid = find_first_zero_bit(vpids, VPIDS);
	if (vpid < VPIDS)
		__set_bit(vpid, vpids);
	else
		vpid = 0;
	spin_unlock(&vpids_lock);
	return vpid;
}

void vpid_put(u16 vpid)
{
	if (!vpid)
		return;
	spin_lock(&vpids_lock);
	__clear_bit(vpid, vpids);
	spin_unlock(&vpids_lock);
}

/* --- processor controls --- */

static bool tpr_shadowed(const struct x86_vcpu *v)
{
	return v->lapic && !(v->intercepts & ICPT_CR8);
}

/* The x2APIC's TPR is the shadow as well (SDM 30.5): only then may the guest reach that MSR by itself. */
static bool x2apic_tpr(const struct x86_vcpu *v)
{
	return vmx_caps.x2apic_tpr && tpr_shadowed(v) && (v->apic_base & X2APIC_ENABLE);
}

static u32 cpu_controls(struct vmx_vcpu *vmx)
{
	static const struct { u32 icpt, bits; } map[] = {
		{ ICPT_HLT,		CPU_BASED_HLT_EXITING },
		{ ICPT_MWAIT,		CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING },
		{ ICPT_RDTSC,		CPU_BASED_RDTSC_EXITING },
		{ ICPT_DR,		CPU_BASED_MOV_DR_EXITING },
		{ ICPT_CR3,		CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING },
		{ ICPT_INVLPG,		CPU_BASED_INVLPG_EXITING },
		{ ICPT_IRQ_WINDOW,	CPU_BASED_INTR_WINDOW_EXITING },
		{ ICPT_NMI_WINDOW,	CPU_BASED_NMI_WINDOW_EXITING },
		{ ICPT_MTF,		CPU_BASED_MONITOR_TRAP_FLAG },
	};
	u32 bits = CPU_BASED_USE_TSC_OFFSETTING | CPU_BASED_UNCOND_IO_EXITING | CPU_BASED_USE_MSR_BITMAPS |
		   CPU_BASED_RDPMC_EXITING | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS;
	u32 icpt = vmx->x.intercepts;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(map); i++)
		if (icpt & map[i].icpt)
			bits |= map[i].bits;
	/* CR3 holds the identity table's address then, which the guest must neither see nor replace. */
	if (vmx_fakes_paging(&vmx->x))
		bits |= CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING;
	/* Without either of the two the guest would reach the host's CR8. */
	if (tpr_shadowed(&vmx->x))
		bits |= CPU_BASED_TPR_SHADOW;
	else
		bits |= CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING;
	return (bits & vmx_caps.may[VMCTL_CPU]) | vmx_caps.must[VMCTL_CPU];
}

/* Instructions that the guest has only with a control set, or must not find though the CPU has them. */
static u32 cpuid_controls(const struct cpuid_cache *cap)
{
	u32 bits = 0;

	if ((cap->f80000001_edx & BIT(27)) || (cap->f7_ecx & BIT(22)))	/* RDTSCP, RDPID */
		bits |= SECONDARY_EXEC_ENABLE_RDTSCP;
	if (cap->f7_ebx & BIT(10))
		bits |= SECONDARY_EXEC_ENABLE_INVPCID;
	if (cap->fd_1_eax & BIT(3))
		bits |= VMCS_CONTROL_BIT(XSAVES);
	if (!(cap->f1_ecx & BIT(30)))
		bits |= SECONDARY_EXEC_RDRAND_EXITING;
	if (!(cap->f7_ebx & BIT(18)))
		bits |= SECONDARY_EXEC_RDSEED_EXITING;
	return bits;
}

static u32 cpu2_controls(struct vmx_vcpu *vmx)
{
	u32 bits = SECONDARY_EXEC_WBINVD_EXITING | SECONDARY_EXEC_ENCLS_EXITING | cpuid_controls(&vmx->x.cap);

	if (vmx_caps.ept)
		bits |= SECONDARY_EXEC_ENABLE_EPT;
	if (vmx_caps.unrestricted)
		bits |= SECONDARY_EXEC_UNRESTRICTED_GUEST;
	if (vmx->vpid)
		bits |= SECONDARY_EXEC_ENABLE_VPID;
	if (vmx->pml)
		bits |= SECONDARY_EXEC_ENABLE_PML;
	if (vmx_caps.tsc_scaling)
		bits |= SECONDARY_EXEC_TSC_SCALING;
	if (vmx_caps.ple && (vmx->x.intercepts & ICPT_PAUSE))
		bits |= SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	if (x2apic_tpr(&vmx->x))
		bits |= SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE;
	return (bits & vmx_caps.may[VMCTL_CPU2]) | vmx_caps.must[VMCTL_CPU2];
}

static void apply_intercepts(struct vmx_vcpu *vmx)
{
	/* A machine check in the guest is the host's affair; so are debug and alignment loops, by the core's choice. */
	u32 exceptions = vmx->x.exception_bitmap | BIT(18);
	u32 valid = VMX_VALID;

	ctl_write(&vmx->vmcs, VMCTL_CPU, cpu_controls(vmx));
	ctl_write(&vmx->vmcs, VMCTL_CPU2, cpu2_controls(vmx));
	msr_pass_tpr(vmx, x2apic_tpr(&vmx->x));
	vmcs_write(EXCEPTION_BITMAP, exceptions);
	/* What the guest cannot change without an exit need not be read after one. */
	if (vmx->x.intercepts & ICPT_DR)
		valid |= G_DR7;
	if (vmx_fakes_paging(&vmx->x))
		valid |= G_CR3;
	vmx->valid = valid;
}

void ctl_constants(struct vmx_vcpu *vmx)
{
	unsigned int i;

	/* No copy of a field is right yet. */
	for (i = 0; i < NR_VMCTLS; i++)
		vmx->vmcs.ctl[i] = ~0u;
	ctl_write(&vmx->vmcs, VMCTL_PIN, PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING | PIN_BASED_VIRTUAL_NMIS |
		  vmx_caps.must[VMCTL_PIN]);
	ctl_write(&vmx->vmcs, VMCTL_EXIT, VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_ACK_INTR_ON_EXIT |
		  VM_EXIT_SAVE_DEBUG_CONTROLS | vmx_caps.must[VMCTL_EXIT]);
	ctl_write(&vmx->vmcs, VMCTL_ENTRY, VM_ENTRY_LOAD_DEBUG_CONTROLS | vmx_caps.must[VMCTL_ENTRY]);
	apply_intercepts(vmx);

	vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmcs_write(CR3_TARGET_COUNT, 0);
	vmcs_write(VMCS_LINK_POINTER, ~0ul);
	vmcs_write(MSR_BITMAP, __pa(vmx->msr_bitmap));
	vmcs_write(VIRTUAL_APIC_PAGE_ADDR, __pa(vmx->vapic));
	vmcs_write(TPR_THRESHOLD, 0);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	vmcs_write(CR0_GUEST_HOST_MASK, ~vmx_cr0_owned());
	vmcs_write(CR4_GUEST_HOST_MASK, ~0ul);
	if (vmx->vpid)
		vmcs_write(VIRTUAL_PROCESSOR_ID, vmx->vpid);
	if (vmx_caps.ple)
		vmcs_write(PLE_GAP, param_ple_gap);
	if (ctl_may(VMCTL_CPU2, VMCS_CONTROL_BIT(XSAVES)))
		vmcs_write(XSS_EXIT_BITMAP, 0);
	if (ctl_may(VMCTL_CPU2, SECONDARY_EXEC_ENCLS_EXITING))
		vmcs_write(ENCLS_EXITING_BITMAP, ~0ul);
	vmx->todo |= TODO_INTERCEPTS | TODO_CPUID | TODO_TSC | TODO_PLE | TODO_MSRS | TODO_FLUSH_ALL | TODO_FLUSH_GUEST;
}

void vmx_intercepts(struct x86_vcpu *v)
{
	to_vmx(v)->todo |= TODO_INTERCEPTS;
}

void vmx_tsc(struct x86_vcpu *v)
{
	to_vmx(v)->todo |= TODO_TSC;
}

/* --- pause loops: a vCPU that spins exits after a window that grows while it keeps spinning --- */

void ple_grow(struct vmx_vcpu *vmx)
{
	unsigned int now = vmx->ple_window, grow = READ_ONCE(param_ple_window_grow);
	u64 next = grow < param_ple_window ? (u64)now * max(grow, 1u) : (u64)now + grow;

	next = min_t(u64, next, READ_ONCE(param_ple_window_max));
	if (next > now) {
		vmx->ple_window = next;
		vmx->todo |= TODO_PLE;
	}
}

void ple_shrink(struct vmx_vcpu *vmx)
{
	unsigned int base = READ_ONCE(param_ple_window), shrink = READ_ONCE(param_ple_window_shrink);
	unsigned int now = vmx->ple_window, next;

	if (now == base)
		return;
	if (shrink <= 1)
		next = base;
	else
		next = max(base, shrink < base ? now / shrink : now - min(now, shrink));
	if (next != now) {
		vmx->ple_window = next;
		vmx->todo |= TODO_PLE;
	}
}

/* --- translations --- */

void vmx_root(struct x86_vcpu *v, hpa_t root)
{
	struct vmx_vcpu *vmx = to_vmx(v);

	vmx->root = root;
	vmx->eptp = root.v | VMX_EPTP_MT_WB | (vmx_caps.ept_levels == 5 ? VMX_EPTP_PWL_5 : VMX_EPTP_PWL_4) |
		    (vmx_caps.ept_ad ? VMX_EPTP_AD_ENABLE_BIT : 0);
	vmx->todo |= TODO_ROOT | TODO_FLUSH_ALL;
}

static void flush_root(struct vmx_vcpu *vmx)
{
	if (!vmx_caps.ept)
		return;
	if (vmx_caps.invept_one && vmx->eptp && vmx_invept(VMX_EPT_EXTENT_CONTEXT, vmx->eptp))
		return;
	if (!vmx_invept(VMX_EPT_EXTENT_GLOBAL, 0))
		vmcs_refused("INVEPT", 0, vmx->eptp);
}

static void flush_vpid(struct vmx_vcpu *vmx)
{
	if (!vmx->vpid)
		return;		/* every entry and exit flushes */
	if (vmx_caps.invvpid_one && vmx_invvpid(VMX_VPID_EXTENT_SINGLE_CONTEXT, vmx->vpid, 0))
		return;
	if (!vmx_invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0, 0))
		vmcs_refused("INVVPID", 0, vmx->vpid);
}

void flush_cpu(void)
{
	if (vmx_caps.ept && !vmx_invept(VMX_EPT_EXTENT_GLOBAL, 0))
		pr_debug("no INVEPT of all contexts; roots are flushed one by one\n");
	if (vmx_caps.vpid)
		vmx_invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0, 0);
}

/* Any CPU does for a single address: where the vCPU comes from another CPU, everything is flushed anyway. */
void vmx_flush(struct x86_vcpu *v, enum flush_scope scope, u64 addr)
{
	struct vmx_vcpu *vmx = to_vmx(v);

	switch (scope) {
	case FLUSH_ALL:
		vmx->todo |= TODO_FLUSH_ALL;
		if (!vmx_caps.ept)
			vmx->todo |= TODO_FLUSH_GUEST;
		break;
	case FLUSH_ADDR:
		/*
		 * Refused for an address that is not canonical: nothing is cached for it, but flush rather than
		 * think.
		 */
		if (!vmx->vpid || (vmx_caps.invvpid_addr &&
				   vmx_invvpid(VMX_VPID_EXTENT_INDIVIDUAL_ADDR, vmx->vpid, addr)))
			break;
		fallthrough;
	case FLUSH_GUEST:
		vmx->todo |= TODO_FLUSH_GUEST;
		break;
	}
}

/* --- task priority --- */

/*
 * The guest's TPR is in the virtual-APIC page, and hardware exits when it drops below the threshold. Entry
 * is refused with a threshold above the TPR, so a vector that the TPR does not hold back sets none: it waits
 * for IF, and an interrupt window tells of that.
 */
void vmx_tpr(struct x86_vcpu *v, u8 tpr, int pending)
{
	struct vmx_vcpu *vmx = to_vmx(v);
	u8 class = pending < 0 ? 0 : pending >> 4, threshold = class > tpr >> 4 ? 0 : class;

	vmx->vapic[APIC_TASKPRI] = tpr;
	v->tpr_known = tpr;
	if (threshold != vmx->threshold) {
		vmx->threshold = threshold;
		vmx->todo |= TODO_THRESHOLD;
	}
}

/* --- before entry --- */

static void apply_cpuid(struct vmx_vcpu *vmx)
{
	u64 owned = vmx_cr4_owned() & ~vmx->x.cap.cr4_reserved;

	if (owned != vmx->cr4_owned) {
		/* Fetched under the old ownership, written under the new one. */
		vmx_need(vmx, G_CR4);
		vmx->cr4_owned = owned;
		vmcs_write(CR4_GUEST_HOST_MASK, ~owned);
		vmx_commit(&vmx->x, G_CR4);
	}
}

void vmx_apply(struct vmx_vcpu *vmx)
{
	u32 todo = vmx->todo;

	vmx->todo = 0;
	if (todo & TODO_CPUID)
		apply_cpuid(vmx);
	if (todo & (TODO_INTERCEPTS | TODO_CPUID))
		apply_intercepts(vmx);
	if (todo & TODO_TSC) {
		vmcs_write(TSC_OFFSET, vmx->x.tsc_offset);
		if (vmx_caps.tsc_scaling)
			vmcs_write(TSC_MULTIPLIER, vmx->x.tsc_ratio);
	}
	if (todo & TODO_THRESHOLD)
		vmcs_write(TPR_THRESHOLD, vmx->threshold);
	if (todo & TODO_MSRS)
		vmx_load_msrs(vmx);
	if ((todo & TODO_PLE) && vmx_caps.ple)
		vmcs_write(PLE_WINDOW, vmx->ple_window);
	if ((todo & TODO_ROOT) && vmx_caps.ept)
		vmcs_write(EPT_POINTER, vmx->eptp);
	if (todo & TODO_FLUSH_ALL)
		flush_root(vmx);
	if (todo & TODO_FLUSH_GUEST)
		flush_vpid(vmx);
}
