/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts, NMIs and machine checks that ended guest mode on VT-x: hardware has acknowledged them, the
 * host's own entries have still to run. IRQs off.
 *
 * Newest kernels offer an entry for this. Before, the entries are called as a gate would: those of IRQs
 * are found in the IDT, that of NMIs is exported under one of two names (it must not switch to the NMI
 * stack, as a second NMI is blocked by hardware only until the IRET it ends with).
 */
#ifndef COMPAT_IRQ_REENTRY_H
#define COMPAT_IRQ_REENTRY_H

#include <linux/types.h>
#include <asm/desc.h>
#include <asm/idtentry.h>
#include <asm/mce.h>
#include <asm/processor-flags.h>
#include <asm/ptrace.h>
#ifdef HAVE_ENTRY_FROM_KVM
#include <asm/fred.h>
#endif

/* Given by the vendor module: calls the entry with an interrupt frame. */
void vmx_call_gate(unsigned long entry);

#ifdef HAVE_ENTRY_FROM_KVM
static inline void host_irq(const gate_desc *idt, u8 vector)
{
	x86_entry_from_kvm(EVENT_TYPE_EXTINT, vector);
}

static inline void host_nmi(void)
{
	x86_entry_from_kvm(EVENT_TYPE_NMI, NMI_VECTOR);
}
#else
static inline void host_irq(const gate_desc *idt, u8 vector)
{
	vmx_call_gate(gate_offset(&idt[vector]));
}

static inline void host_nmi(void)
{
#if defined(HAVE_NMI_KVM_VMX)
	vmx_call_gate((unsigned long)asm_exc_nmi_kvm_vmx);
#elif defined(HAVE_NMI_NOIST)
	vmx_call_gate((unsigned long)asm_exc_nmi_noist);
#else
#error "this kernel exports no NMI entry for a hypervisor"
#endif
}
#endif

/* The handler looks at the frame only to tell whether the kernel itself was hit: a guest counts as user space. */
static inline void host_machine_check(void)
{
	struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

	do_machine_check(&regs);
}

#endif
