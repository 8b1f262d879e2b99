/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The switch into the guest and back: void svm_vmrun(struct svm_run *run), interrupts off.
 *
 * VMRUN itself switches CS, SS, DS, ES, the descriptor tables, control registers, RIP, RSP, RAX and RFLAGS; VMLOAD and
 * VMSAVE the rest of the system registers; this code the other general registers and SPEC_CTRL. From CLGI to STGI
 * no interrupt of any kind comes: GS base and TR are the guest's in between, and no handler could stand on them.
 *
 * On the way back nothing that predicts (RET, indirect branch) runs before the return stack is filled, SPEC_CTRL is
 * the host's and returns are untrained; registers that keep guest values are cleared, those that the caller's values
 * are popped into need not be.
 *
 * A fault at an SVM instruction means that another CPU's emergency turned SVM off under us: carry on, the
 * machine is going down.
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/asm-offsets.h>
#include <asm/alternative.h>
#include <asm/msr-index.h>
#include <asm/percpu.h>
#include <compat/spec_asm.h>
#include "run.h"

/* An instruction that is skipped if it faults. */
.macro SVM_INSN insn:vararg
.Linsn_\@:
	\insn
.Lnext_\@:
	_ASM_EXTABLE(.Linsn_\@, .Lnext_\@)
.endm

.macro WRITE_SPEC_CTRL		/* value in EAX */
	movl	$MSR_IA32_SPEC_CTRL, %ecx
	xorl	%edx, %edx
	wrmsr
.endm

	.section .noinstr.text, "ax"

SYM_FUNC_START(svm_vmrun)
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi

	SVM_INSN clgi
	sti			/* for VMRUN: a host interrupt ends the guest */

	/* Hardware that virtualises SPEC_CTRL keeps both values apart itself. */
	ALTERNATIVE_2 "jmp .Lguest_spec_set", "", X86_FEATURE_MSR_SPEC_CTRL, \
		      "jmp .Lguest_spec_set", X86_FEATURE_V_SPEC_CTRL
	movl	RUN_SPEC(%rdi), %eax
	cmpl	PER_CPU_VAR(x86_spec_ctrl_current), %eax
	je	.Lguest_spec_set
	WRITE_SPEC_CTRL
.Lguest_spec_set:

	movq	RUN_VMCB_PA(%rdi), %rax
	movq	RUN_GPR(%rdi), %rdi
	SVM_INSN vmload %rax
	movq	8*1(%rdi), %rcx
	movq	8*2(%rdi), %rdx
	movq	8*3(%rdi), %rbx
	movq	8*5(%rdi), %rbp
	movq	8*6(%rdi), %rsi
	movq	8*8(%rdi), %r8
	movq	8*9(%rdi), %r9
	movq	8*10(%rdi), %r10
	movq	8*11(%rdi), %r11
	movq	8*12(%rdi), %r12
	movq	8*13(%rdi), %r13
	movq	8*14(%rdi), %r14
	movq	8*15(%rdi), %r15
	movq	8*7(%rdi), %rdi
	VM_CLEAR_CPU_BUFFERS

	SVM_INSN vmrun %rax

	/* RAX is what it was: the VMCB's address. */
	SVM_INSN vmsave %rax
	movq	(%rsp), %rax
	movq	RUN_GPR(%rax), %rax
	movq	%rcx, 8*1(%rax)
	movq	%rdx, 8*2(%rax)
	movq	%rbx, 8*3(%rax)
	movq	%rbp, 8*5(%rax)
	movq	%rsi, 8*6(%rax)
	movq	%rdi, 8*7(%rax)
	movq	%r8, 8*8(%rax)
	movq	%r9, 8*9(%rax)
	movq	%r10, 8*10(%rax)
	movq	%r11, 8*11(%rax)
	movq	%r12, 8*12(%rax)
	movq	%r13, 8*13(%rax)
	movq	%r14, 8*14(%rax)
	movq	%r15, 8*15(%rax)
	pop	%rdi
	movq	RUN_HOST_PA(%rdi), %rax
	SVM_INSN vmload %rax

	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT

	ALTERNATIVE_2 "jmp .Lhost_spec_set", "", X86_FEATURE_MSR_SPEC_CTRL, \
		      "jmp .Lhost_spec_set", X86_FEATURE_V_SPEC_CTRL
	cmpb	$0, RUN_SPEC_READ(%rdi)
	je	.Lspec_known
	movl	$MSR_IA32_SPEC_CTRL, %ecx
	rdmsr
	movl	%eax, RUN_SPEC(%rdi)
.Lspec_known:
	movl	PER_CPU_VAR(x86_spec_ctrl_current), %eax
	cmpl	%eax, RUN_SPEC(%rdi)
	je	.Lhost_spec_set
	WRITE_SPEC_CTRL
.Lhost_spec_set:

	UNTRAIN_RET_VM

	xorl	%eax, %eax
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%edi, %edi
	xorl	%r8d, %r8d
	xorl	%r9d, %r9d
	xorl	%r10d, %r10d
	xorl	%r11d, %r11d

	cli
	SVM_INSN stgi

	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	RET
SYM_FUNC_END(svm_vmrun)
