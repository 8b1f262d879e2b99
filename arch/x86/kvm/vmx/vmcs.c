// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMCS regions and the per-CPU lists of those that hardware holds. vmcs.h has the protocol.
 */
#define pr_fmt(fmt) "kvm_intel: " fmt

#include "vmcs.h"
#include <linux/gfp.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/smp.h>
#include <asm/tlbflush.h>

DEFINE_PER_CPU(struct vmx_vmcs *, vmx_current);
static DEFINE_PER_CPU(struct list_head, vmx_held);

void vmcs_refused(const char *insn, unsigned long field, unsigned long val)
{
	/* Switched off for a reboot: the guests that are left find out at their next entry. */
	if (!(__read_cr4() & X86_CR4_VMXE))
		return;
	pr_warn_ratelimited("%s of field %lx (%lx) refused, error %lu\n", insn, field, val,
			    vmcs_read(VM_INSTRUCTION_ERROR));
}

int vmcs_alloc(struct vmx_vmcs *s)
{
	s->region = (u32 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!s->region)
		return -ENOMEM;
	s->region[0] = vmx_caps.revision;
	s->pa = __pa(s->region);
	s->cpu = -1;
	return 0;
}

void vmcs_free(struct vmx_vmcs *s)
{
	free_page((unsigned long)s->region);
	s->region = NULL;
}

/* This CPU, IRQs off. The region may be loaded elsewhere as soon as cpu says -1. */
static void clear_here(struct vmx_vmcs *s)
{
	if (!vmx_vmclear(s->pa))
		pr_warn_ratelimited("VMCLEAR of %llx failed\n", s->pa);
	if (this_cpu_read(vmx_current) == s)
		this_cpu_write(vmx_current, NULL);
	list_del(&s->link);
	smp_store_release(&s->cpu, -1);
}

static void clear_ipi(void *arg)
{
	struct vmx_vmcs *s = arg;

	/* The CPU may have gone offline and come back since the caller looked. */
	if (s->cpu == smp_processor_id())
		clear_here(s);
}

void vmcs_unload(struct vmx_vmcs *s)
{
	int cpu = smp_load_acquire(&s->cpu);

	/* An offline CPU has cleared all it held. */
	if (cpu >= 0)
		smp_call_function_single(cpu, clear_ipi, s, 1);
}

bool vmcs_load(struct vmx_vmcs *s, int cpu)
{
	bool switched = this_cpu_read(vmx_current) != s;
	unsigned long flags;

	if (s->cpu != cpu) {
		vmcs_unload(s);
		local_irq_save(flags);
		list_add(&s->link, this_cpu_ptr(&vmx_held));
		s->cpu = cpu;
		local_irq_restore(flags);
		switched = true;
	}
	if (switched) {
		this_cpu_write(vmx_current, s);
		if (!vmx_vmptrld(s->pa))
			vmcs_refused("VMPTRLD", 0, s->pa);
	}
	return switched;
}

void vmcs_cpu_init(int cpu)
{
	INIT_LIST_HEAD(per_cpu_ptr(&vmx_held, cpu));
}

void vmcs_clear_all(void)
{
	struct vmx_vmcs *s, *next;

	list_for_each_entry_safe(s, next, this_cpu_ptr(&vmx_held), link)
		clear_here(s);
}

void vmcs_crash_clear(void)
{
	struct vmx_vmcs *s;

	list_for_each_entry(s, this_cpu_ptr(&vmx_held), link)
		vmx_vmclear(s->pa);
}
