// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lifetime of VMX VMs and vCPUs, and the identity page table: without unrestricted guest, a guest in
 * protected mode without paging runs with paging on over 1,024 entries of 4 MB that map what they are.
 * The table is one page of guest-physical memory in a slot of the kernel's own, at the address that the
 * VMM chose (KVM_SET_IDENTITY_MAP_ADDR).
 */
#include "vmx.h"
#include <kvm/guest_mem.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <asm/pgtable_types.h>

#define IDENTITY_SLOT	(KVM_USER_SLOTS + 1)

static int fill_identity(struct kvm *kvm, gpa_t table)
{
	u32 entries[64];
	unsigned int i, j;
	int idx, err = 0;

	idx = srcu_read_lock(&kvm->srcu);
	for (i = 0; i < 1024 && !err; i += ARRAY_SIZE(entries)) {
		for (j = 0; j < ARRAY_SIZE(entries); j++)
			entries[j] = (i + j) << 22 | _PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED |
				     _PAGE_DIRTY | _PAGE_PSE;
		err = kvm_write_guest(kvm, GPA(table.v + i * sizeof(u32)), entries, sizeof(entries));
	}
	srcu_read_unlock(&kvm->srcu, idx);
	return err;
}

/* With the first vCPU, when the address can no longer change. */
static int identity_table(struct vmx_vm *vm)
{
	struct kvm *kvm = &vm->x.kvm;
	int err = 0;

	if (vmx_caps.unrestricted || !vmx_caps.ept)
		return 0;
	mutex_lock(&kvm->slots_lock);
	if (!vm->identity_ready) {
		err = kvm_private_slot(kvm, IDENTITY_SLOT, vm->x.identity_map, PAGE_SIZE);
		if (!err)
			err = fill_identity(kvm, vm->x.identity_map);
		vm->identity_ready = !err;
	}
	mutex_unlock(&kvm->slots_lock);
	return err;
}

int vmx_vm_init(struct x86_vm *vm)
{
	return 0;
}

void vmx_vm_destroy(struct x86_vm *vm)
{
}

static int alloc_pages_of(struct vmx_vcpu *vmx)
{
	int err = vmcs_alloc(&vmx->vmcs);

	if (err)
		return err;
	vmx->msr_bitmap = (unsigned long *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vmx->vapic = (u8 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->msr_bitmap || !vmx->vapic)
		return -ENOMEM;
	vmx->x.hw_tpr = vmx->vapic + APIC_TASKPRI;
	memset(vmx->msr_bitmap, 0xff, PAGE_SIZE);
	return pml_vcpu_init(vmx) ?: perf_vcpu_init(vmx);
}

static void free_pages_of(struct vmx_vcpu *vmx)
{
	perf_vcpu_free(vmx);
	pml_vcpu_free(vmx);
	free_page((unsigned long)vmx->vapic);
	free_page((unsigned long)vmx->msr_bitmap);
	vmcs_free(&vmx->vmcs);
}

int vmx_vcpu_init(struct x86_vcpu *v)
{
	struct vmx_vcpu *vmx = to_vmx(v);
	int err, cpu;

	err = identity_table((struct vmx_vm *)vm_of(v));
	if (err)
		return err;
	err = alloc_pages_of(vmx);
	if (err) {
		free_pages_of(vmx);
		return err;
	}
	vmx->vpid = vpid_get();
	vmx->ple_window = param_ple_window;
	vmx->valid = VMX_VALID;
	/* Nothing is in hardware yet that could be fetched. */
	v->state.valid = ~0u;
	v->state.dirty = ~0u & ~(G_CPL | G_LONG);

	cpu = get_cpu();
	vmcs_load(&vmx->vmcs, cpu);
	host_constants(vmx);
	ctl_constants(vmx);
	perf_constants(vmx);
	pml_constants(vmx);
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	put_cpu();
	msr_defaults(vmx, false);
	return 0;
}

void vmx_vcpu_free(struct x86_vcpu *v)
{
	struct vmx_vcpu *vmx = to_vmx(v);

	if (vmx->vmcs.region)
		vmcs_unload(&vmx->vmcs);
	vpid_put(vmx->vpid);
	free_pages_of(vmx);
}

void vmx_vcpu_reset(struct x86_vcpu *v, bool init)
{
	struct vmx_vcpu *vmx = to_vmx(v);

	preempt_disable();
	if (vmx_loaded(vmx)) {
		vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
		vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	}
	preempt_enable();
	vmx->inject_nmi = false;
	vmx->runs = false;
	vmx->ple_window = param_ple_window;
	vmx->todo |= TODO_INTERCEPTS | TODO_CPUID | TODO_TSC | TODO_PLE | TODO_MSRS | TODO_FLUSH_GUEST;
	msr_defaults(vmx, init);
}

void vmx_cpuid_changed(struct x86_vcpu *v)
{
	struct vmx_vcpu *vmx = to_vmx(v);

	vmx->todo |= TODO_CPUID | TODO_MSRS;
	/* A pass-through that the guest earned by using SPEC_CTRL goes if it no longer has it. */
	msr_defaults(vmx, vmx->x.cap.f7_edx & (BIT(26) | BIT(27) | BIT(31)));
}
