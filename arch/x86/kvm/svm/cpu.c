// SPDX-License-Identifier: GPL-2.0-only
/*
 * A physical CPU under SVM: switching it on and off, and what binds a vCPU to it.
 *
 * Each possible CPU owns two pages from module load on, so that turning a CPU on allocates nothing: hardware's host
 * save area, and a page into which VMSAVE puts the host's FS, GS, TR, LDTR and syscall registers. That page is
 * written once per batch of entries (svm_prepare) and read back by VMLOAD after every exit: between two entries of
 * one batch none of it changes, with one exception that svm_enter() looks after (LDTR).
 *
 * load, put and prepare run with preemption off on the vCPU's CPU; on and off with interrupts off.
 */
#define pr_fmt(fmt) "kvm_amd: " fmt
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/percpu.h>
#include <asm/io.h>
#include <asm/msr.h>
#include <asm/spec-ctrl.h>
#include <compat/emergency.h>
#include "svm.h"

#define TSC_RATIO_ONE	BIT_ULL(32)

DEFINE_PER_CPU(struct svm_cpu, svm_cpus);

void svm_cpus_free(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpus, cpu);

		if (c->hsave)
			__free_page(c->hsave);
		free_page((unsigned long)c->host);
		c->hsave = NULL;
		c->host = NULL;
	}
}

int svm_cpus_alloc(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpus, cpu);
		struct page *host = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);

		c->hsave = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		c->host = host ? page_address(host) : NULL;
		if (!c->hsave || !c->host) {
			svm_cpus_free();
			return -ENOMEM;
		}
		c->host_pa = __pa(c->host);
	}
	return 0;
}

void svm_write_tsc_ratio(u64 ratio)
{
	struct svm_cpu *c = this_cpu_ptr(&svm_cpus);

	if (c->tsc_ratio == ratio)
		return;
	c->tsc_ratio = ratio;
	wrmsrl(MSR_AMD64_TSC_RATIO, ratio);
}

int svm_cpu_on(void)
{
	struct svm_cpu *c = this_cpu_ptr(&svm_cpus);
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME) {
		pr_err("CPU %d: SVM is in use by another hypervisor\n", smp_processor_id());
		return -EBUSY;
	}
	if (wrmsrl_safe(MSR_EFER, efer | EFER_SVME)) {
		pr_err("CPU %d: EFER.SVME cannot be set\n", smp_processor_id());
		return -EIO;
	}
	wrmsrl(MSR_VM_HSAVE_PA, page_to_phys(c->hsave));
	if (svm_features.tsc_scaling) {
		c->tsc_ratio = 0;
		svm_write_tsc_ratio(TSC_RATIO_ONE);
	}
	/* Whatever ASIDs meant before: the first one asked for opens a generation, which flushes them all. */
	c->asid_next = svm_features.asids;
	c->last = NULL;
	return 0;
}

/* Interrupts are blocked for good while GIF is 0, INIT among them: leave it at 1. #UD when SVM is off already. */
static __always_inline void svm_disable(void)
{
	u64 efer;

	asm volatile("1: stgi\n2:\n" _ASM_EXTABLE(1b, 2b) : : : "memory");
	native_wrmsr(MSR_VM_HSAVE_PA, 0, 0);
	efer = native_read_msr(MSR_EFER);
	native_wrmsr(MSR_EFER, (u32)efer & ~EFER_SVME, efer >> 32);
}

void svm_cpu_off(void)
{
	if (svm_features.tsc_scaling)
		svm_write_tsc_ratio(TSC_RATIO_ONE);
	svm_disable();
}

/* Panic, kexec: from NMI, on a CPU that may never have been on. */
static void svm_emergency_off(void)
{
	if (native_read_msr(MSR_EFER) & EFER_SVME)
		svm_disable();
}

void svm_emergency_register(void)
{
	virt_emergency_register(svm_emergency_off);
}

void svm_emergency_unregister(void)
{
	virt_emergency_unregister(svm_emergency_off);
}

/* The VMCB is freed: another one at its address must not pass for it. */
void svm_cpus_forget(struct vmcb *vmcb)
{
	int cpu;

	for_each_possible_cpu(cpu)
		cmpxchg(per_cpu_ptr(&svm_cpus.last, cpu), vmcb, NULL);
}

void svm_load(struct x86_vcpu *v, int cpu)
{
	struct svm_vcpu *svm = to_svm(v);
	struct svm_cpu *c = this_cpu_ptr(&svm_cpus);

	if (c->last != svm->vmcb) {
		c->last = svm->vmcb;
		indirect_branch_prediction_barrier();
	}
	if (svm->asid_cpu != cpu) {
		svm->asid_cpu = cpu;
		svm->asid_generation = 0;
		svm->vmcb->clean = 0;	/* nothing of it is in this CPU's cache */
		svm->host = c->host;
		svm->run.host_pa = c->host_pa;
	}
	if (svm->asid_generation != c->asid_generation || !svm->asid_generation)
		svm->todo |= TODO_ASID;
	if (svm_features.tsc_scaling)
		svm_write_tsc_ratio(v->tsc_ratio);
	if (svm_features.pause_filter && svm->vmcb->pause_count != svm_pause_count) {
		u16 n = svm_pause_shrink ? svm->vmcb->pause_count / svm_pause_shrink : 0;

		svm->vmcb->pause_count = max(n, svm_pause_count);
		vmcb_unclean(svm->vmcb, CLEAN_INTERCEPTS);
	}
}

/* Another thread, or none, is next on this CPU: the page of host state is no longer ours. */
void svm_put(struct x86_vcpu *v)
{
	v->guest_loaded = false;
}

void svm_prepare(struct x86_vcpu *v)
{
	vmsave(to_svm(v)->run.host_pa);
	svm_tsc_aux_load(v);
	/* Guest code may train the predictors that the VMM relies on: a barrier before user space runs here again. */
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
}
