// SPDX-License-Identifier: GPL-2.0-only
/*
 * Capabilities of the x86 machine: what KVM_CHECK_EXTENSION answers and what KVM_ENABLE_CAP switches on, as one table.
 * What virt/kvm answers itself does not get here. A capability is in the table when this version does what it
 * promises; everything else is 0, which is how an older KVM would answer.
 *
 * Enabling happens under kvm->lock, which is taken here, for a vCPU under its mutex.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/bsearch.h>
#include <linux/kernel.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/mutex.h>
#include <linux/sched/stat.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <kvm/arch.h>
#include <kvm/x86/fpu.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/vendor.h>
#include <kvm/x86/vm.h>
#include "regs.h"

#define GUEST_DEBUG_FLAGS	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP | \
				 KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP | \
				 KVM_GUESTDBG_BLOCKIRQ)
#define CLOCK_FLAGS		(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)
/*
 * Those whose two ways differ here. Caches are never off by CR0.CD, and there is no LAPIC page in x2APIC mode, whatever
 * a VMM asks for.
 */
#define QUIRKS			(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_OUT_7E_INC_RIP | \
				 KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN | \
				 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)
#define X2APIC_FLAGS		(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
#define USER_HYPERCALLS		BIT(KVM_HC_MAP_GPA_RANGE)
#define USER_MSR_FLAGS		(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER)
#define SPLIT_PINS_MAX		U8_MAX
#define MCE_BANKS		32

struct cap_row {
	u32 cap;
	long value;
	long (*ask)(const struct x86_vm *vm);	/* instead of value; vm is NULL on /dev/kvm */
	long (*enable)(struct x86_vm *vm, const struct kvm_enable_cap *cap);
};

/* --- values that depend on the host --- */

static long has_xcrs(const struct x86_vm *vm)
{
	return boot_cpu_has(X86_FEATURE_XSAVE);
}

static long has_scaling(const struct x86_vm *vm)
{
	return vendor_caps.tsc_scaling;
}

static long xsave_size(const struct x86_vm *vm)
{
	return xstate_user_size();
}

static long has_steal_time(const struct x86_vm *vm)
{
	return sched_info_on();
}

static long disabled_exits(const struct x86_vm *vm)
{
	return KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE |
	       (boot_cpu_has(X86_FEATURE_MWAIT) ? KVM_X86_DISABLE_EXITS_MWAIT : 0);
}

/* --- switching on --- */

static bool outside(const struct kvm_enable_cap *cap, u64 mask)
{
	return cap->args[0] & ~mask;
}

static long enable_quirks(struct x86_vm *vm, const struct kvm_enable_cap *cap)
{
	WRITE_ONCE(vm->disabled_quirks, cap->args[0] & QUIRKS);	/* the last call counts: a quirk may come back */
	return 0;
}

/* The older capability took any bits; this one says which it knows. */
static long enable_quirks2(struct x86_vm *vm, const struct kvm_enable_cap *cap)
{
	return outside(cap, QUIRKS) ? -EINVAL : enable_quirks(vm, cap);
}

static long enable_split_irqchip(struct x86_vm *vm, const struct kvm_enable_cap *cap)
{
	if (outside(cap, SPLIT_PINS_MAX))
		return -EINVAL;
	if (vm->irqchip != IRQCHIP_NONE || vm->kvm.created_vcpus)
		return -EEXIST;
	vm->split_pins = cap->args[0];
	/* Pairs with readers of irqchip that hold no lock. */
	smp_store_release(&vm->irqchip, IRQCHIP_SPLIT);
	return 0;
}

static long enable_x2apic_api(struct x86_vm *vm, const struct kvm_enable_cap *cap)
{
	if (outside(cap, X2APIC_FLAGS))
		return -EINVAL;
	if (cap->args[0] & KVM_X2APIC_API_USE_32BIT_IDS)
		vm->x2apic_ids = true;
	if (cap->args[0] & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		vm->x2apic_no_bcast_quirk = true;
	return 0;
}

/* For the vCPUs that are made from now on: their intercepts are decided then. */
static long enable_disabled_exits(struct x86_vm *vm, const struct kvm_enable_cap *cap)
{
	if (outside(cap, disabled_exits(vm)))
		return -EINVAL;
	vm->disabled_exits |= cap->args[0];
	return 0;
}

static long enable_user_msr(struct x86_vm *vm, const struct kvm_enable_cap *cap)
{
	if (outside(cap, USER_MSR_FLAGS))
		return -EINVAL;
	WRITE_ONCE(vm->user_msr_mask, cap->args[0]);
	return 0;
}

static long enable_user_hypercalls(struct x86_vm *vm, const struct kvm_enable_cap *cap)
{
	if (outside(cap, USER_HYPERCALLS))
		return -EINVAL;
	WRITE_ONCE(vm->user_hypercalls, cap->args[0]);
	return 0;
}

/* A capability that is a switch: args[0] is 0 or 1; the older ones took any number for 1. */
#define SWITCH(name, field, strict)								\
static long enable_##name(struct x86_vm *vm, const struct kvm_enable_cap *cap)			\
{												\
	if ((strict) && outside(cap, 1))							\
		return -EINVAL;									\
	WRITE_ONCE(vm->field, cap->args[0] != 0);						\
	return 0;										\
}
SWITCH(platform_info, msr_platform_info, false)
SWITCH(payload, exception_payload, false)
SWITCH(triple_fault, triple_fault_event, false)
SWITCH(emulation_exit, exit_on_emulation_error, true)

static long enable_max_vcpu_id(struct x86_vm *vm, const struct kvm_enable_cap *cap)
{
	struct kvm *kvm = &vm->kvm;

	if (!cap->args[0] || cap->args[0] > KVM_MAX_VCPU_ID || vm->boot_cpu > cap->args[0])
		return -EINVAL;
	if (kvm->max_vcpu_id == cap->args[0])
		return 0;
	if (kvm->max_vcpu_id || kvm->created_vcpus)
		return -EINVAL;
	kvm->max_vcpu_id = cap->args[0];
	return 0;
}

static long max_vcpu_id(const struct x86_vm *vm)
{
	return vm && vm->kvm.max_vcpu_id ? vm->kvm.max_vcpu_id : KVM_MAX_VCPU_ID;
}

/* Sorted by number. */
static const struct cap_row rows[] = {
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_HLT, 1 },
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1 },
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_EXT_CPUID, 1 },
	{ KVM_CAP_CLOCKSOURCE, 1 },
	{ KVM_CAP_PIT, 1 },
	{ KVM_CAP_NOP_IO_DELAY, 1 },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG, 1 },
	{ KVM_CAP_REINJECT_CONTROL, 1 },
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_MCE, MCE_BANKS },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_ADJUST_CLOCK, CLOCK_FLAGS },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_INTR_SHADOW, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_XCRS, .ask = has_xcrs },
	{ KVM_CAP_TSC_CONTROL, .ask = has_scaling },
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS },
	{ KVM_CAP_KVMCLOCK_CTRL, 1 },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_EXT_EMUL_CPUID, 1 },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, 1 },
	{ KVM_CAP_DISABLE_QUIRKS, 1, .enable = enable_quirks },
	{ KVM_CAP_X86_SMM, 0 },
	{ KVM_CAP_MULTI_ADDRESS_SPACE, 1 },
	{ KVM_CAP_SPLIT_IRQCHIP, 1, .enable = enable_split_irqchip },
	{ KVM_CAP_VCPU_ATTRIBUTES, 1 },
	{ KVM_CAP_MAX_VCPU_ID, .ask = max_vcpu_id, .enable = enable_max_vcpu_id },
	{ KVM_CAP_X2APIC_API, X2APIC_FLAGS, .enable = enable_x2apic_api },
	{ KVM_CAP_X86_DISABLE_EXITS, .ask = disabled_exits, .enable = enable_disabled_exits },
	{ KVM_CAP_GET_MSR_FEATURES, 1 },
	{ KVM_CAP_MSR_PLATFORM_INFO, 1, .enable = enable_platform_info },
	{ KVM_CAP_EXCEPTION_PAYLOAD, 1, .enable = enable_payload },
	{ KVM_CAP_LAST_CPU, 1 },
	{ KVM_CAP_STEAL_TIME, .ask = has_steal_time },
	{ KVM_CAP_X86_USER_SPACE_MSR, 1, .enable = enable_user_msr },
	{ KVM_CAP_X86_MSR_FILTER, 1 },
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG2, GUEST_DEBUG_FLAGS },
	{ KVM_CAP_SREGS2, 1 },
	{ KVM_CAP_EXIT_HYPERCALL, USER_HYPERCALLS, .enable = enable_user_hypercalls },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1, .enable = enable_emulation_exit },
	{ KVM_CAP_XSAVE2, .ask = xsave_size },
	{ KVM_CAP_SYS_ATTRIBUTES, 1 },
	{ KVM_CAP_DISABLE_QUIRKS2, QUIRKS, .enable = enable_quirks2 },
	{ KVM_CAP_VM_TSC_CONTROL, .ask = has_scaling },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1, .enable = enable_triple_fault },
};

int caps_table_check(void)
{
	unsigned int i;

	for (i = 1; i < ARRAY_SIZE(rows); i++) {
		if (rows[i - 1].cap < rows[i].cap)
			continue;
		pr_err("capability table: row %u (%u) is out of order\n", i, rows[i].cap);
		return -EINVAL;
	}
	return 0;
}

static int row_cmp(const void *key, const void *elem)
{
	unsigned long cap = *(const unsigned long *)key, here = ((const struct cap_row *)elem)->cap;

	return cap < here ? -1 : cap > here;
}

static const struct cap_row *row_of(unsigned long cap)
{
	return bsearch(&cap, rows, ARRAY_SIZE(rows), sizeof(rows[0]), row_cmp);
}

long arch_check_extension(struct kvm *kvm, unsigned long cap)
{
	const struct cap_row *r = row_of(cap);

	if (!r)
		return 0;
	return r->ask ? r->ask(kvm ? x86_vm(kvm) : NULL) : r->value;
}

long arch_vm_enable_cap(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	const struct cap_row *r = row_of(cap->cap);
	long ret;

	if (!r || !r->enable || cap->flags)
		return -EINVAL;
	mutex_lock(&kvm->lock);
	ret = r->enable(x86_vm(kvm), cap);
	mutex_unlock(&kvm->lock);
	return ret;
}

long arch_vcpu_enable_cap(struct kvm_vcpu *vcpu, const struct kvm_enable_cap *cap)
{
	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_ENFORCE_PV_FEATURE_CPUID:
		x86_vcpu(vcpu)->pv_enforce = cap->args[0] != 0;
		return 0;
	}
	return -EINVAL;
}

/* --- attributes of /dev/kvm: which components of extended state guests may be given --- */

static bool attr_known(const struct kvm_device_attr *attr)
{
	return !attr->flags && attr->group == 0 && attr->attr == KVM_X86_XCOMP_GUEST_SUPP;
}

long dev_has_attr(struct kvm_call *c)
{
	return attr_known(c->arg) ? 0 : -ENXIO;
}

long dev_get_attr(struct kvm_call *c)
{
	const struct kvm_device_attr *attr = c->arg;

	if (!attr_known(attr))
		return -ENXIO;
	return put_user(guest_xcr0_mask, (u64 __user *)(unsigned long)attr->addr);
}
