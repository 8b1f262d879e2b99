// SPDX-License-Identifier: GPL-2.0-only
/*
 * The x86 part of a virtual machine: its making and unmaking, and the addresses and the boot CPU that user space
 * fixes before there are vCPUs.
 *
 * Lifetime: arch_vm_alloc() and arch_vm_init() before the VM has a file; arch_vm_pre_destroy() when the last file is
 * gone and vCPUs still exist, arch_vm_destroy() after them and the slots, arch_vm_free() last. ioctls run under
 * kvm->lock.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/err.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <kvm/arch.h>
#include <kvm/x86/clock.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/irqchip.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/mmu.h>
#include <kvm/x86/vendor.h>
#include <kvm/x86/vm.h>

/* Below the BIOS at 4 GiB - 256 KiB, where firmware expects nothing. */
#define DEFAULT_IDENTITY_MAP	0xfffbc000ull
#define TSS_BYTES		(3 * PAGE_SIZE)

struct kvm *arch_vm_alloc(unsigned long type)
{
	struct x86_vm *vm;

	if (type)
		return ERR_PTR(-EINVAL);
	vm = kvzalloc(vendor_ops.vm_size, GFP_KERNEL_ACCOUNT);
	return vm ? &vm->kvm : ERR_PTR(-ENOMEM);
}

int arch_vm_init(struct kvm *kvm)
{
	struct x86_vm *vm = x86_vm(kvm);
	int err;

	vm->irqchip = IRQCHIP_NONE;
	vm->tss_addr = GPA_NONE;
	vm->identity_map = GPA(DEFAULT_IDENTITY_MAP);
	vm->msr_platform_info = true;
	mutex_init(&vm->apic_map_lock);
	clock_vm_init(vm);
	err = mmu_vm_init(vm);
	if (err)
		goto no_mmu;
	err = vendor_ops.vm_init(vm);
	if (err)
		goto no_vendor;
	return 0;
no_vendor:
	mmu_vm_destroy(vm);
no_mmu:
	clock_vm_destroy(vm);
	return err;
}

void arch_vm_pre_destroy(struct kvm *kvm)
{
	struct x86_vm *vm = x86_vm(kvm);

	/* What fires by itself and would look for vCPUs. */
	clock_vm_destroy(vm);
	pit_destroy(vm);
	irqchip_stop(vm);
}

void arch_vm_destroy(struct kvm *kvm)
{
	struct x86_vm *vm = x86_vm(kvm);

	irqchip_destroy(vm);
	vendor_ops.vm_destroy(vm);
	mmu_vm_destroy(vm);
	msr_filter_free(vm);
}

void arch_vm_free(struct kvm *kvm)
{
	kvfree(x86_vm(kvm));
}

/* Three pages below 4 GiB for VMX without unrestricted guest; others remember the address and need nothing there. */
long vm_set_tss_addr(struct kvm_call *c)
{
	struct x86_vm *vm = x86_vm(c->kvm);

	if (c->raw > SZ_4G - TSS_BYTES || !PAGE_ALIGNED(c->raw))
		return -EINVAL;
	vm->tss_addr = GPA(c->raw);
	return 0;
}

/* One page that maps the guest 1:1 while it has paging off under EPT without unrestricted guest. */
long vm_set_identity_map(struct kvm_call *c)
{
	struct x86_vm *vm = x86_vm(c->kvm);
	u64 addr = *(const u64 *)c->arg;

	if (c->kvm->created_vcpus)
		return -EINVAL;
	if (!addr)
		addr = DEFAULT_IDENTITY_MAP;
	if (!PAGE_ALIGNED(addr) || addr > SZ_4G - PAGE_SIZE)
		return -EINVAL;
	vm->identity_map = GPA(addr);
	return 0;
}

long vm_set_boot_cpu(struct kvm_call *c)
{
	struct x86_vm *vm = x86_vm(c->kvm);

	if (c->kvm->created_vcpus)
		return -EBUSY;
	if (c->raw >= (c->kvm->max_vcpu_id ?: KVM_MAX_VCPU_ID))
		return -EINVAL;
	vm->boot_cpu = c->raw;
	return 0;
}
