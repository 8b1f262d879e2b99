// SPDX-License-Identifier: GPL-2.0-only
/*
 * One entry into the guest. Interrupts are off; enter.S turns GIF off around the switch and lets VMRUN run with
 * RFLAGS.IF set, so that a host interrupt ends the guest and is taken when the core enables interrupts again. An NMI
 * is taken by the STGI on the way out.
 *
 * The context-tracking state may be "guest" here: nothing that traces or uses RCU.
 */
#define pr_fmt(fmt) "kvm_amd: " fmt
#include <asm/mce.h>
#include <asm/ptrace.h>
#include <asm/spec-ctrl.h>
#include <asm/traps.h>
#include "svm.h"

/* After an exit the cache holds what a guest cannot change without one. */
#define KEPT	(G_CR4 | G_EFER | G_PAT | G_DEBUGCTL | G_PDPTR)

/*
 * The host's LDTR is in the page that VMLOAD restores from. It is the one register there that may change between two
 * entries (modify_ldt() by another thread of the VMM), so the page is written again while either has one.
 */
static __always_inline void host_ldt(struct svm_vcpu *svm)
{
	u32 ldt;

	asm volatile("sldt %0" : "=r" (ldt));
	if (unlikely(ldt | svm->host->ldtr.sel))
		vmsave(svm->run.host_pa);
}

/* Store-bypass control by the virtual MSR or by the CPU's own configuration register: families before SPEC_CTRL. */
static __always_inline bool virt_ssbd(void)
{
	return static_cpu_has(X86_FEATURE_LS_CFG_SSBD) || static_cpu_has(X86_FEATURE_VIRT_SSBD);
}

enum entry_end svm_enter(struct x86_vcpu *v)
{
	struct svm_vcpu *svm = to_svm(v);
	struct vmcb *b = svm->vmcb;

	if (v->state.dirty)
		svm_commit(v, v->state.dirty);
	if (unlikely(svm->todo))
		svm_todo(svm);
	host_ldt(svm);
	b->rax = v->state.gpr[RAX];
	if (virt_ssbd())
		x86_spec_ctrl_set_guest(svm->virt_spec_ctrl);

	svm_vmrun(&svm->run);

	if (virt_ssbd())
		x86_spec_ctrl_restore_host(svm->virt_spec_ctrl);
	v->state.gpr[RAX] = b->rax;
	v->state.valid = KEPT;
	b->event_inj = 0;
	b->tlb_control = TLBC_KEEP;
	b->clean = CLEAN_ALL;
	if (unlikely((s32)b->exit_code < 0)) {
		b->clean = 0;
		return ENTRY_FAILED;
	}
	return ENTRY_EXITED;
}

/* A machine check in the guest is the machine's: to the host's handler, as if it had hit user space. */
static void machine_check(void)
{
	struct pt_regs regs = {
		.cs = 3,
		.flags = X86_EFLAGS_IF,
	};

	do_machine_check(&regs);
}

void svm_irq_exit(struct x86_vcpu *v)
{
	if (unlikely((u32)to_svm(v)->vmcb->exit_code == SVM_EXIT_EXCP_BASE + X86_TRAP_MC))
		machine_check();
}
