// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's state round guest mode.
 *
 * A VM exit loads most of the host from the VMCS's host-state area, which is written when it changes:
 * once (descriptor tables' entries, selectors), when the vCPU comes to another CPU (that CPU's bases), or
 * when the thread's own values differ from the last time (FS base). What an exit destroys and the area
 * cannot hold is kept in struct vmx_host from prepare() to put():
 *   - data selectors and LDT: exits leave null ones. The kernel does not use them, user space does.
 *   - KERNEL_GS_BASE, user space's GS base: the guest's is in the MSR all the while (SWAPGS needs no exit).
 *   - the limits of GDT and TSS, which an exit widens.
 *   - DEBUGCTL, which an exit clears: put back right after it (run.c).
 *
 * prepare() and put() run with preemption off; put() also from the scheduler, before it saves the thread's
 * segment registers.
 */
#include "vmx.h"
#include <asm/cpu_entry_area.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fsgsbase.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/special_insns.h>

u64 host_efer __ro_after_init, host_pat __ro_after_init;

void host_init(void)
{
	rdmsrl(MSR_EFER, host_efer);
	rdmsrl(MSR_IA32_CR_PAT, host_pat);
}

void host_constants(struct vmx_vcpu *vmx)
{
	struct desc_ptr idt;
	u64 val;

	store_idt(&idt);
	vmcs_write(HOST_IDTR_BASE, idt.address);
	vmcs_write(HOST_CR0, native_read_cr0());
	vmcs_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write(HOST_SS_SELECTOR, __KERNEL_DS);
	vmcs_write(HOST_DS_SELECTOR, 0);
	vmcs_write(HOST_ES_SELECTOR, 0);
	vmcs_write(HOST_FS_SELECTOR, 0);
	vmcs_write(HOST_GS_SELECTOR, 0);
	vmcs_write(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmcs_write(HOST_RIP, (unsigned long)vmx_exited);
	rdmsrl(MSR_IA32_SYSENTER_CS, val);
	vmcs_write(HOST_IA32_SYSENTER_CS, (u32)val);
	rdmsrl(MSR_IA32_SYSENTER_EIP, val);
	vmcs_write(HOST_IA32_SYSENTER_EIP, val);
	vmcs_write(HOST_IA32_EFER, host_efer);
	vmcs_write(HOST_IA32_PAT, host_pat);
	vmcs_write(HOST_FS_BASE, 0);
	vmx->host_fs_base = 0;
	/* No such values: the first entry writes both. */
	vmx->host_cr3 = ~0ull;
	vmx->host_cr4 = ~0ull;
	vmx->host_cpu = -1;
}

static void host_to_cpu(struct vmx_vcpu *vmx, int cpu)
{
	u64 gs_base, sysenter_esp;

	rdmsrl(MSR_GS_BASE, gs_base);
	rdmsrl(MSR_IA32_SYSENTER_ESP, sysenter_esp);
	vmcs_write(HOST_GS_BASE, gs_base);
	vmcs_write(HOST_IA32_SYSENTER_ESP, sysenter_esp);
	vmcs_write(HOST_GDTR_BASE, (unsigned long)get_cpu_gdt_ro(cpu));
	vmcs_write(HOST_TR_BASE, (unsigned long)&get_cpu_entry_area(cpu)->tss.x86_tss);
	vmx->host_cpu = cpu;
}

void vmx_load(struct x86_vcpu *v, int cpu)
{
	struct vmx_vcpu *vmx = to_vmx(v);

	if (vmx->vmcs.cpu != cpu) {
		/* The old CPU's VMCLEAR makes it a VMCS to be launched; its TLB entries stay behind for good. */
		vmx->entry.flags &= ~ENTRY_LAUNCHED;
		vmx->todo |= TODO_FLUSH_ALL | TODO_FLUSH_GUEST;
	}
	/* What another guest taught the branch predictors must not steer this one. */
	if (vmcs_load(&vmx->vmcs, cpu))
		indirect_branch_prediction_barrier();
	if (vmx->host_cpu != cpu)
		host_to_cpu(vmx, cpu);
	ple_shrink(vmx);
}

void vmx_prepare(struct x86_vcpu *v)
{
	struct vmx_vcpu *vmx = to_vmx(v);
	struct vmx_host *host = &vmx->host;

	if (vmx->prepared)
		return;
	savesegment(fs, host->fs);
	savesegment(gs, host->gs);
	savesegment(ds, host->ds);
	savesegment(es, host->es);
	store_ldt(host->ldt);

	host->fs_base = x86_fsbase_read_cpu();
	if (host->fs_base != vmx->host_fs_base) {
		vmx->host_fs_base = host->fs_base;
		vmcs_write(HOST_FS_BASE, host->fs_base);
	}
	rdmsrl(MSR_KERNEL_GS_BASE, host->kernel_gs_base);
	if (vmx->kernel_gs_base != host->kernel_gs_base)
		wrmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
	host->debugctl = get_debugctlmsr();
	vmx->prepared = true;
	vmx->l1d_dirty = true;
	vmx_load_msrs(vmx);
}

void vmx_put(struct x86_vcpu *v)
{
	struct vmx_vcpu *vmx = to_vmx(v);
	struct vmx_host *host = &vmx->host;

	if (!vmx->prepared)
		return;
	vmx->prepared = false;

	rdmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
	if (host->ldt)
		asm volatile("lldt %0" : : "r" (host->ldt));
	if (unlikely(host->fs)) {
		loadsegment(fs, host->fs);
		x86_fsbase_write_cpu(host->fs_base);
	}
	if (unlikely(host->gs))
		load_gs_index(host->gs);
	if (unlikely(host->ds | host->es)) {
		loadsegment(ds, host->ds);
		loadsegment(es, host->es);
	}
	/* After GS, whose loading writes the base as well. */
	if (host->gs || vmx->kernel_gs_base != host->kernel_gs_base)
		wrmsrl(MSR_KERNEL_GS_BASE, host->kernel_gs_base);
	invalidate_tss_limit();
	load_fixmap_gdt(raw_smp_processor_id());
}
