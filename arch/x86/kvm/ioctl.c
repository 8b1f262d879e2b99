// SPDX-License-Identifier: GPL-2.0-only
/*
 * The x86 machine's ioctls, as the three tables that virt/kvm joins with its own and dispatches from. A row says what
 * the dispatcher does round the handler; the handlers are in the files of their subjects. Rows are sorted by number,
 * then by command word; the module does not load otherwise.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <kvm/arch.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/machine.h>

/*
 * Three commands hand a structure in and have a number that says otherwise: out, or nothing. Their rows are raw, and
 * this brings the structure to where the dispatcher would have put it.
 */
static long with_input(struct kvm_call *c, size_t size, long (*fn)(struct kvm_call *c))
{
	void *arg = memdup_user(c->uarg, size);
	long ret;

	if (IS_ERR(arg))
		return PTR_ERR(arg);
	c->arg = arg;
	ret = fn(c);
	c->arg = NULL;
	kfree(arg);
	return ret;
}

static long set_irqchip(struct kvm_call *c)
{
	return with_input(c, sizeof(struct kvm_irqchip), vm_set_irqchip);
}

static long set_pit(struct kvm_call *c)
{
	return with_input(c, sizeof(struct kvm_pit_state), vm_set_pit);
}

static long reinject(struct kvm_call *c)
{
	return with_input(c, sizeof(struct kvm_reinject_control), vm_reinject);
}

/* Lists whose length the caller's header gives are read and written by their handlers: IOC_RAW. */
static const struct kvm_ioctl dev_rows[] = {
	{ KVM_GET_MSR_INDEX_LIST, IOC_RAW, dev_msr_index_list },
	{ KVM_GET_SUPPORTED_CPUID, IOC_RAW, dev_supported_cpuid },
	{ KVM_GET_EMULATED_CPUID, IOC_RAW, dev_emulated_cpuid },
	{ KVM_GET_MSR_FEATURE_INDEX_LIST, IOC_RAW, dev_msr_feature_list },
	{ KVM_GET_MSRS, IOC_RAW, dev_get_msrs },
	{ KVM_X86_GET_MCE_CAP_SUPPORTED, 0, dev_mce_cap },
	{ KVM_GET_DEVICE_ATTR, 0, dev_get_attr },
	{ KVM_HAS_DEVICE_ATTR, 0, dev_has_attr },
};

static const struct kvm_ioctl vm_rows[] = {
	{ KVM_SET_NR_MMU_PAGES, IOC_RAW, vm_set_nr_mmu_pages },
	{ KVM_GET_NR_MMU_PAGES, IOC_RAW, vm_get_nr_mmu_pages },
	{ KVM_SET_TSS_ADDR, IOC_RAW | IOC_VM_LOCK, vm_set_tss_addr },
	{ KVM_SET_IDENTITY_MAP_ADDR, IOC_VM_LOCK, vm_set_identity_map },
	{ KVM_CREATE_IRQCHIP, IOC_RAW | IOC_VM_LOCK | IOC_SLOTS_LOCK, vm_create_irqchip },
	{ KVM_IRQ_LINE, 0, vm_irq_line },
	{ KVM_GET_IRQCHIP, IOC_VM_LOCK, vm_get_irqchip },
	{ KVM_SET_IRQCHIP, IOC_RAW | IOC_VM_LOCK, set_irqchip },
	{ KVM_CREATE_PIT, IOC_RAW | IOC_VM_LOCK, vm_create_pit },
	{ KVM_GET_PIT, IOC_VM_LOCK, vm_get_pit },
	{ KVM_SET_PIT, IOC_RAW | IOC_VM_LOCK, set_pit },
	{ KVM_IRQ_LINE_STATUS, 0, vm_irq_line_status },
	{ KVM_REINJECT_CONTROL, IOC_RAW | IOC_VM_LOCK, reinject },
	{ KVM_CREATE_PIT2, IOC_VM_LOCK, vm_create_pit2 },
	{ KVM_SET_BOOT_CPU_ID, IOC_RAW | IOC_VM_LOCK, vm_set_boot_cpu },
	{ KVM_SET_CLOCK, 0, vm_set_clock },
	{ KVM_GET_CLOCK, 0, vm_get_clock },
	{ KVM_GET_PIT2, IOC_VM_LOCK, vm_get_pit2 },
	{ KVM_SET_PIT2, IOC_VM_LOCK, vm_set_pit2 },
	{ KVM_SET_TSC_KHZ, IOC_RAW | IOC_VM_LOCK, vm_set_tsc_khz },
	{ KVM_GET_TSC_KHZ, IOC_RAW, vm_get_tsc_khz },
	{ KVM_SIGNAL_MSI, 0, vm_signal_msi },
	{ KVM_X86_SET_MSR_FILTER, IOC_VM_LOCK, vm_msr_filter },
};

static const struct kvm_ioctl vcpu_rows[] = {
	{ KVM_GET_REGS, IOC_LOAD, vcpu_get_regs },
	{ KVM_SET_REGS, IOC_LOAD, vcpu_set_regs },
	{ KVM_GET_SREGS, IOC_LOAD, vcpu_get_sregs },
	{ KVM_SET_SREGS, IOC_LOAD, vcpu_set_sregs },
	{ KVM_TRANSLATE, IOC_LOAD, vcpu_translate },
	{ KVM_INTERRUPT, IOC_LOAD, vcpu_interrupt },
	{ KVM_GET_MSRS, IOC_RAW | IOC_LOAD, vcpu_get_msrs },
	{ KVM_SET_MSRS, IOC_RAW | IOC_LOAD, vcpu_set_msrs },
	{ KVM_SET_CPUID, IOC_LOAD, vcpu_set_cpuid },
	{ KVM_GET_FPU, IOC_LOAD, vcpu_get_fpu },
	{ KVM_SET_FPU, IOC_LOAD, vcpu_set_fpu },
	{ KVM_GET_LAPIC, IOC_LOAD, vcpu_get_lapic },
	{ KVM_SET_LAPIC, IOC_LOAD, vcpu_set_lapic },
	{ KVM_SET_CPUID2, IOC_LOAD, vcpu_set_cpuid2 },
	{ KVM_GET_CPUID2, IOC_RAW | IOC_LOAD, vcpu_get_cpuid2 },
	{ KVM_SET_VAPIC_ADDR, 0, vcpu_set_vapic_addr },
	{ KVM_GET_MP_STATE, IOC_LOAD, vcpu_get_mp_state },
	{ KVM_SET_MP_STATE, IOC_LOAD, vcpu_set_mp_state },
	{ KVM_NMI, IOC_RAW | IOC_NO_MUTEX, vcpu_nmi },
	{ KVM_SET_GUEST_DEBUG, IOC_LOAD, vcpu_set_guest_debug },
	{ KVM_X86_SETUP_MCE, IOC_LOAD, vcpu_setup_mce },
	{ KVM_X86_SET_MCE, IOC_LOAD, vcpu_set_mce },
	{ KVM_GET_VCPU_EVENTS, IOC_LOAD, vcpu_get_events },
	{ KVM_SET_VCPU_EVENTS, IOC_LOAD, vcpu_set_events },
	{ KVM_GET_DEBUGREGS, IOC_LOAD, vcpu_get_debugregs },
	{ KVM_SET_TSC_KHZ, IOC_RAW | IOC_LOAD, vcpu_set_tsc_khz },
	{ KVM_SET_DEBUGREGS, IOC_LOAD, vcpu_set_debugregs },
	{ KVM_GET_TSC_KHZ, IOC_RAW, vcpu_get_tsc_khz },
	{ KVM_GET_XSAVE, IOC_LOAD, vcpu_get_xsave },
	{ KVM_SET_XSAVE, IOC_RAW | IOC_LOAD, vcpu_set_xsave },
	{ KVM_GET_XCRS, 0, vcpu_get_xcrs },
	{ KVM_SET_XCRS, IOC_LOAD, vcpu_set_xcrs },
	{ KVM_KVMCLOCK_CTRL, IOC_RAW, vcpu_clock_ctrl },
	{ KVM_GET_SREGS2, IOC_LOAD, vcpu_get_sregs2 },
	{ KVM_SET_SREGS2, IOC_LOAD, vcpu_set_sregs2 },
	{ KVM_GET_XSAVE2, IOC_RAW | IOC_LOAD, vcpu_get_xsave2 },
	{ KVM_SET_DEVICE_ATTR, IOC_LOAD, vcpu_set_attr },
	{ KVM_GET_DEVICE_ATTR, 0, vcpu_get_attr },
	{ KVM_HAS_DEVICE_ATTR, 0, vcpu_has_attr },
};

const struct kvm_ioctl_table arch_dev_ioctls = { dev_rows, ARRAY_SIZE(dev_rows) };
const struct kvm_ioctl_table arch_vm_ioctls = { vm_rows, ARRAY_SIZE(vm_rows) };
const struct kvm_ioctl_table arch_vcpu_ioctls = { vcpu_rows, ARRAY_SIZE(vcpu_rows) };

static u64 order(u32 cmd)
{
	return (u64)_IOC_NR(cmd) << 32 | cmd;
}

static int table_check(const char *name, const struct kvm_ioctl_table *t)
{
	unsigned int i;

	for (i = 1; i < t->n; i++) {
		if (order(t->row[i - 1].cmd) < order(t->row[i].cmd))
			continue;
		pr_err("%s ioctl table: row %u (%x) is out of order\n", name, i, t->row[i].cmd);
		return -EINVAL;
	}
	return 0;
}

int ioctl_tables_check(void)
{
	return table_check("device", &arch_dev_ioctls) ?: table_check("VM", &arch_vm_ioctls) ?:
	       table_check("vCPU", &arch_vcpu_ioctls);
}
