// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way into the guest and the first steps after an exit. IRQs off throughout; every instruction here is
 * paid by every exit. Up to the return from vmx_enter() context tracking may say "guest": nothing that it
 * calls may be traced or use RCU, so this file, state.c and control.c are built without tracing (Kbuild).
 */
#define pr_fmt(fmt) "kvm_intel: " fmt

#include "vmx.h"
#include <compat/irq_reentry.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/nospec-branch.h>
#include <asm/special_insns.h>

static_assert(offsetof(struct vmx_entry, host_rsp) == ENTRY_HOST_RSP);
static_assert(offsetof(struct vmx_entry, guest_spec) == ENTRY_GUEST_SPEC);
static_assert(offsetof(struct vmx_entry, host_spec) == ENTRY_HOST_SPEC);
static_assert(offsetof(struct vmx_entry, flags) == ENTRY_FLAGS);
static_assert(offsetof(struct x86_vcpu, vcpu) == 0 && offsetof(struct vmx_vcpu, x) == 0);

/* The thread's address space and the CPU's features may have changed since the last entry. */
static __always_inline void host_cr_fields(struct vmx_vcpu *vmx)
{
	unsigned long cr = __native_read_cr3();

	if (unlikely(cr != vmx->host_cr3)) {
		vmx->host_cr3 = cr;
		vmcs_write(HOST_CR3, cr);
	}
	cr = native_read_cr4();
	if (unlikely(cr != vmx->host_cr4)) {
		vmx->host_cr4 = cr;
		vmcs_write(HOST_CR4, cr);
	}
}

static noinline enum entry_end entry_failed(struct vmx_vcpu *vmx)
{
	vmx->reason = ~0u;
	vmx->insn_error = vmcs_read(VM_INSTRUCTION_ERROR);
	return ENTRY_FAILED;
}

enum entry_end vmx_enter(struct x86_vcpu *v)
{
	struct vmx_vcpu *vmx = to_vmx(v);
	struct x86_state *s = &v->state;
	bool failed;

	/* Mostly an instruction was skipped, and that is all. */
	if (likely(s->dirty == G_RIP)) {
		s->dirty = 0;
		vmcs_write(GUEST_RIP, s->rip);
	} else if (s->dirty) {
		vmx_commit(v, s->dirty);
	}
	if (unlikely(vmx->todo))
		vmx_apply(vmx);
	host_cr_fields(vmx);
	if (static_branch_unlikely(&host_pmu))
		perf_switch(vmx);
	if (cpu_feature_enabled(X86_FEATURE_MSR_SPEC_CTRL)) {
		vmx->entry.host_spec = this_cpu_read(x86_spec_ctrl_current);
		/* A guest that may not know of the register runs with the host's value: nothing to switch. */
		vmx->entry.guest_spec = likely(vmx->spec_ctrl_used) ? v->spec_ctrl : vmx->entry.host_spec;
	}
	if (s->cr2 != native_read_cr2())
		native_write_cr2(s->cr2);
	if (static_branch_unlikely(&l1d_flushing))
		l1d_flush(vmx);
	else if (static_branch_unlikely(&mmio_stale_data_clear))
		x86_clear_cpu_buffers();

	failed = vmx_enter_guest(s->gpr, &vmx->entry);

	s->cr2 = native_read_cr2();
	s->valid = vmx->valid;
	vmx->inject_nmi = false;
	if (cpu_feature_enabled(X86_FEATURE_MSR_SPEC_CTRL) && likely(vmx->spec_ctrl_used))
		v->spec_ctrl = vmx->entry.guest_spec;
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
	if (unlikely(vmx->host.debugctl))
		update_debugctlmsr(vmx->host.debugctl);
	if (unlikely(failed))
		return entry_failed(vmx);
	vmx->reason = vmcs_read(VM_EXIT_REASON);
	/* Refused guest state leaves the VMCS as it was, launched or not (SDM 26.8). */
	if (unlikely(vmx->reason & VMX_EXIT_REASONS_FAILED_VMENTRY))
		return ENTRY_FAILED;
	vmx->entry.flags |= ENTRY_LAUNCHED;
	return ENTRY_EXITED;
}

static noinline void exit_by_event(struct vmx_vcpu *vmx)
{
	struct desc_ptr idt;
	u32 info;

	if ((u16)vmx->reason == EXIT_REASON_MCE_DURING_VMENTRY) {
		host_machine_check();
		return;
	}
	info = vmcs_read(VM_EXIT_INTR_INFO);
	vmx->intr_info = info;
	if (!(info & INTR_INFO_VALID_MASK))
		return;
	switch (info & (INTR_INFO_INTR_TYPE_MASK | INTR_INFO_VECTOR_MASK)) {
	case INTR_TYPE_NMI_INTR | X86_TRAP_NMI:
		host_nmi();
		return;
	case INTR_TYPE_HARD_EXCEPTION | X86_TRAP_MC:
		host_machine_check();
		return;
	}
	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_EXT_INTR) {
		store_idt(&idt);
		host_irq((const gate_desc *)idt.address, info & INTR_INFO_VECTOR_MASK);
	}
}

void vmx_irq_exit(struct x86_vcpu *v)
{
	u16 reason = to_vmx(v)->reason;

	/* 0 and 1: an exception or NMI, an interrupt. */
	if (unlikely(reason <= EXIT_REASON_EXTERNAL_INTERRUPT || reason == EXIT_REASON_MCE_DURING_VMENTRY))
		exit_by_event(to_vmx(v));
}
