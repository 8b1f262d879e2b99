/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMX instructions, and who owns which VMCS.
 *
 * A VMCS that was loaded on a CPU lives partly in that CPU until it is VMCLEARed there. Each CPU keeps a
 * list of those it holds; moving one to another CPU clears it at the old one first, by IPI. The list is
 * changed with IRQs off on its own CPU, and in an order that lets an NMI (crash) walk it at any moment:
 * a VMCS is on the list from before VMPTRLD until after VMCLEAR.
 *
 * The instructions can fault (#UD) when virtualisation was switched off under us on the way to a reboot:
 * the exception table swallows it, as nothing runs in the guest any more.
 */
#ifndef KVM_VMX_VMCS_H
#define KVM_VMX_VMCS_H

#include "caps.h"
#include <linux/list.h>
#include <linux/percpu.h>
#include <asm/asm.h>

struct vmx_vmcs {
	u32 *region;			/* the page hardware uses */
	u64 pa;
	int cpu;			/* holds it; -1: clear */
	struct list_head link;		/* in that CPU's list */
	u32 ctl[NR_VMCTLS];		/* what its control fields hold */
};

DECLARE_PER_CPU(struct vmx_vmcs *, vmx_current);

int vmcs_alloc(struct vmx_vmcs *s);
void vmcs_free(struct vmx_vmcs *s);	/* clear */
/* Preemption off: makes it this CPU's current VMCS. true: another one was current before. */
bool vmcs_load(struct vmx_vmcs *s, int cpu);
/* Off the CPU that holds it; IRQs on. */
void vmcs_unload(struct vmx_vmcs *s);
void vmcs_cpu_init(int cpu);		/* module init, every possible CPU */
void vmcs_clear_all(void);		/* this CPU, IRQs off, for good */
void vmcs_crash_clear(void);		/* this CPU, NMI context: list untouched */

void vmcs_refused(const char *insn, unsigned long field, unsigned long val);

/*
 * Reads are not checked: they fail only for a field that the CPU does not have, and each optional field
 * belongs to a control that is off then.
 */
static __always_inline unsigned long vmcs_read(unsigned long field)
{
	unsigned long val;

	asm volatile("1: vmread %[field], %[val]\n"
		     "2:\n"
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_ZERO_REG, %[val])
		     : [val] "=r" (val) : [field] "r" (field) : "cc");
	return val;
}

static __always_inline void vmcs_write(unsigned long field, unsigned long val)
{
	asm goto("1: vmwrite %[val], %[field]\n\t"
		 "jbe %l[refused]\n"
		 _ASM_EXTABLE(1b, %l[gone])
		 : : [field] "r" (field), [val] "rm" (val) : "cc" : refused, gone);
	return;
refused:
	vmcs_refused("VMWRITE", field, val);
gone:
	;
}

static __always_inline bool vmx_vmclear(u64 pa)
{
	asm goto("1: vmclear %[pa]\n\t"
		 "jbe %l[failed]\n"
		 _ASM_EXTABLE(1b, %l[failed])
		 : : [pa] "m" (pa) : "cc", "memory" : failed);
	return true;
failed:
	return false;
}

static __always_inline bool vmx_vmptrld(u64 pa)
{
	asm goto("1: vmptrld %[pa]\n\t"
		 "jbe %l[failed]\n"
		 _ASM_EXTABLE(1b, %l[failed])
		 : : [pa] "m" (pa) : "cc", "memory" : failed);
	return true;
failed:
	return false;
}

static __always_inline bool vmx_vmxon(u64 pa)
{
	asm goto("1: vmxon %[pa]\n\t"
		 "jbe %l[failed]\n"
		 _ASM_EXTABLE(1b, %l[failed])
		 : : [pa] "m" (pa) : "cc", "memory" : failed);
	return true;
failed:
	return false;
}

static __always_inline bool vmx_vmxoff(void)
{
	asm goto("1: vmxoff\n\t"
		 "jbe %l[failed]\n"
		 _ASM_EXTABLE(1b, %l[failed])
		 : : : "cc", "memory" : failed);
	return true;
failed:
	return false;
}

/* Extents as the manual numbers them: VMX_EPT_EXTENT_*, VMX_VPID_EXTENT_*. */
static __always_inline bool vmx_invept(unsigned long extent, u64 eptp)
{
	struct { u64 eptp, zero; } desc = { eptp, 0 };

	asm goto("1: invept %[desc], %[extent]\n\t"
		 "jbe %l[failed]\n"
		 _ASM_EXTABLE(1b, %l[failed])
		 : : [desc] "m" (desc), [extent] "r" (extent) : "cc", "memory" : failed);
	return true;
failed:
	return false;
}

static __always_inline bool vmx_invvpid(unsigned long extent, u16 vpid, u64 addr)
{
	struct { u64 vpid, addr; } desc = { vpid, addr };

	asm goto("1: invvpid %[desc], %[extent]\n\t"
		 "jbe %l[failed]\n"
		 _ASM_EXTABLE(1b, %l[failed])
		 : : [desc] "m" (desc), [extent] "r" (extent) : "cc", "memory" : failed);
	return true;
failed:
	return false;
}

/* A control field of the current VMCS; hardware sees it only if it changes. */
static inline void ctl_write(struct vmx_vmcs *s, enum vmx_ctl ctl, u32 val)
{
	static const u16 field[NR_VMCTLS] = {
		PIN_BASED_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL,
		VM_EXIT_CONTROLS, VM_ENTRY_CONTROLS,
	};

	if (s->ctl[ctl] != val) {
		s->ctl[ctl] = val;
		vmcs_write(field[ctl], val);
	}
}

static inline void ctl_assign(struct vmx_vmcs *s, enum vmx_ctl ctl, u32 bits, bool on)
{
	ctl_write(s, ctl, on ? s->ctl[ctl] | bits : s->ctl[ctl] & ~bits);
}

#endif
