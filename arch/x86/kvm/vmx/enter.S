/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Into the guest and back, and calls of the host's interrupt entries.
 *
 * Everything from the VM exit to the return is written for a CPU that speculates on what the guest left:
 * guest values leave the registers at once, the return-stack buffer is refilled and SPEC_CTRL is the
 * host's again before the first RET.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include "entry.h"

#define GPR(n)		(8 * (n))
#define VMCS_HOST_RSP	0x6c14

.section .noinstr.text, "ax"

/*
 * unsigned long vmx_enter_guest(u64 *gpr, struct vmx_entry *e)
 *
 * IRQs off, VMCS current. gpr[] is in the order of instruction encodings, without RSP (hardware's). The
 * host's RSP at entry is the same from call to call as long as the caller's depth is: it is compared, not
 * written.
 */
SYM_FUNC_START(vmx_enter_guest)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi
	push	%rsi

	cmp	%rsp, ENTRY_HOST_RSP(%rsi)
	jne	.Lhost_rsp_moved
.Lhost_rsp_known:

	/* The guest's SPEC_CTRL, if hardware has it and it differs: no RET from here on. */
	ALTERNATIVE "jmp .Lguest_spec_set", "", X86_FEATURE_MSR_SPEC_CTRL
	mov	ENTRY_GUEST_SPEC(%rsi), %rax
	cmp	%rax, ENTRY_HOST_SPEC(%rsi)
	je	.Lguest_spec_set
	mov	%rax, %rdx
	shr	$32, %rdx
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	wrmsr
.Lguest_spec_set:

	/* CF, which neither MOV nor VERW touches, chooses between VMRESUME and VMLAUNCH. */
	btl	$ENTRY_LAUNCHED_BIT, ENTRY_FLAGS(%rsi)

	mov	GPR(0)(%rdi), %rax
	mov	GPR(1)(%rdi), %rcx
	mov	GPR(2)(%rdi), %rdx
	mov	GPR(3)(%rdi), %rbx
	mov	GPR(5)(%rdi), %rbp
	mov	GPR(6)(%rdi), %rsi
	mov	GPR(8)(%rdi), %r8
	mov	GPR(9)(%rdi), %r9
	mov	GPR(10)(%rdi), %r10
	mov	GPR(11)(%rdi), %r11
	mov	GPR(12)(%rdi), %r12
	mov	GPR(13)(%rdi), %r13
	mov	GPR(14)(%rdi), %r14
	mov	GPR(15)(%rdi), %r15
	mov	GPR(7)(%rdi), %rdi

	/* Last thing that touches host data. */
	VM_CLEAR_CPU_BUFFERS

	jnc	.Llaunch
.Lresume:
	vmresume
	jmp	vmx_exited
.Llaunch:
	vmlaunch
	/*
	 * Hardware comes here after a VM exit with RFLAGS clear but for bit 1; an instruction that failed
	 * falls through with CF or ZF set and every register as it was.
	 */
SYM_INNER_LABEL(vmx_exited, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	push	%rdi
	mov	16(%rsp), %rdi
	mov	%rax, GPR(0)(%rdi)
	mov	%rcx, GPR(1)(%rdi)
	mov	%rdx, GPR(2)(%rdi)
	mov	%rbx, GPR(3)(%rdi)
	mov	%rbp, GPR(5)(%rdi)
	mov	%rsi, GPR(6)(%rdi)
	mov	%r8,  GPR(8)(%rdi)
	mov	%r9,  GPR(9)(%rdi)
	mov	%r10, GPR(10)(%rdi)
	mov	%r11, GPR(11)(%rdi)
	mov	%r12, GPR(12)(%rdi)
	mov	%r13, GPR(13)(%rdi)
	mov	%r14, GPR(14)(%rdi)
	mov	%r15, GPR(15)(%rdi)
	pop	GPR(7)(%rdi)

	/* The result waits in R8, which nothing below uses. */
	setbe	%r8b
	movzbl	%r8b, %r8d
	pop	%rsi
	pop	%rdi

	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, X86_FEATURE_RSB_VMEXIT_LITE

	ALTERNATIVE "jmp .Lhost_spec_set", "", X86_FEATURE_MSR_SPEC_CTRL
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	testl	$(1 << ENTRY_SAVE_SPEC_BIT), ENTRY_FLAGS(%rsi)
	jz	.Lguest_spec_known
	rdmsr
	mov	%eax, ENTRY_GUEST_SPEC(%rsi)
	mov	%edx, ENTRY_GUEST_SPEC + 4(%rsi)
.Lguest_spec_known:
	mov	ENTRY_HOST_SPEC(%rsi), %rax
	/* With legacy IBRS the write itself is the barrier and is made even when the value is the same. */
	ALTERNATIVE "", "jmp .Lwrite_host_spec", X86_FEATURE_KERNEL_IBRS
	cmp	%rax, ENTRY_GUEST_SPEC(%rsi)
	je	.Lhost_spec_fence
.Lwrite_host_spec:
	mov	%rax, %rdx
	shr	$32, %rdx
	wrmsr
.Lhost_spec_fence:
	/* A mispredicted branch round the write must not get further. */
	lfence
.Lhost_spec_set:

	CLEAR_BRANCH_HISTORY_VMEXIT

	mov	%r8d, %eax
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

.Lhost_rsp_moved:
	mov	$VMCS_HOST_RSP, %eax
.Lwrite_rsp:
	vmwrite	%rsp, %rax
	mov	%rsp, ENTRY_HOST_RSP(%rsi)
	jmp	.Lhost_rsp_known

	/* VMX was switched off on the way to a reboot. */
.Lgone:
	stc
	jmp	vmx_exited

	_ASM_EXTABLE(.Lresume, .Lgone)
	_ASM_EXTABLE(.Llaunch, .Lgone)
	_ASM_EXTABLE(.Lwrite_rsp, .Lhost_rsp_known)
SYM_FUNC_END(vmx_enter_guest)

/*
 * void vmx_call_gate(unsigned long entry)
 *
 * Calls an interrupt or NMI entry of the host as hardware would through its gate: IRQs off, a frame on an
 * aligned stack, whose return address is CALL's. The entry's IRET comes back here.
 */
SYM_FUNC_START(vmx_call_gate)
	push	%rbp
	mov	%rsp, %rbp
	and	$-16, %rsp
	push	$__KERNEL_DS
	push	%rbp
	pushf
	push	$__KERNEL_CS
	CALL_NOSPEC rdi
	leave
	RET
SYM_FUNC_END(vmx_call_gate)
