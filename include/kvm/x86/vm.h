/* SPDX-License-Identifier: GPL-2.0-only */
/* The x86 part of a virtual machine; the vendor's structure embeds it at offset 0. */
#ifndef KVM_X86_VM_H
#define KVM_X86_VM_H

#include <kvm/vm.h>
#include <linux/kvm.h>
#include <linux/pvclock_gtod.h>
#include <asm/pvclock-abi.h>

struct apic_map;
struct msr_filter;

enum irqchip_mode { IRQCHIP_NONE, IRQCHIP_KERNEL, IRQCHIP_SPLIT };

struct x86_vm {
	struct kvm kvm;

	u8 irqchip;				/* enum irqchip_mode; kvm->lock, set before vCPUs */
	u8 split_pins;				/* IRQCHIP_SPLIT: routes reserved for IOAPIC pins */
	bool x2apic_ids;			/* KVM_CAP_X2APIC_API bit 0: 32-bit IDs in the ABI */
	bool x2apic_no_bcast_quirk;		/* bit 1 */
	bool ext_dest_id;
	u32 boot_cpu;				/* vCPU id of the bootstrap processor */
	struct pic *pic;
	struct ioapic *ioapic;
	struct pit *pit;
	struct apic_map __rcu *apic_map;	/* destination ID to vCPU; lapic.c */
	struct mutex apic_map_lock;
	atomic_t apic_map_dirty;

	struct mmu_vm *mmu;
	unsigned int log_slots;			/* slots that log, where the CPU helps (PML); slots_lock */
	bool log_ever;				/* some did once: entries without D may be left over; slots_lock */
	gpa_t tss_addr;				/* KVM_SET_TSS_ADDR; GPA_NONE: not set */
	gpa_t identity_map;			/* KVM_SET_IDENTITY_MAP_ADDR */

	/* Clock: one master pair (host ns, host TSC) for all vCPUs while the host clock is the TSC. */
	struct {
		raw_spinlock_t lock;
		seqcount_raw_spinlock_t seq;
		bool use_master;		/* all vCPUs have the same TSC and the host runs on it */
		u64 master_ns, master_tsc;
		s64 offset;			/* guest clock = host boottime + offset; clock->lock */
		u64 wall_msr;
	} clock;
	struct {				/* matching TSC writes of several vCPUs; tsc.c */
		raw_spinlock_t lock;
		u64 last_ns, last_write;	/* the last write of a whole value: when, and what */
		u64 cur_offset;			/* and the offset that came of it */
		u32 last_khz;			/* 0: none yet */
	} tsc;
	u32 default_tsc_khz;

	/* Capabilities switched on by KVM_ENABLE_CAP; kvm->lock, before vCPUs where the ABI says so. */
	u64 disabled_quirks;
	u32 disabled_exits;			/* KVM_X86_DISABLE_EXITS_* */
	u32 user_hypercalls;			/* 1 << KVM_HC_*: user space answers them */
	u32 user_msr_mask;			/* KVM_MSR_EXIT_REASON_* */
	bool exception_payload;
	bool triple_fault_event;
	bool exit_on_emulation_error;
	bool msr_platform_info;
	bool pmu_disabled;
	struct msr_filter __rcu *msr_filter;	/* kvm->srcu */
};

static inline struct x86_vm *x86_vm(const struct kvm *kvm)
{
	return (struct x86_vm *)kvm;
}

static inline bool vm_lapic_in_kernel(const struct x86_vm *vm)
{
	return vm->irqchip != IRQCHIP_NONE;
}

static inline bool vm_quirk(const struct x86_vm *vm, u64 quirk)
{
	return !(READ_ONCE(vm->disabled_quirks) & quirk);
}

#endif
