/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The seam between virt/kvm and an architecture: what virt/kvm calls. All may sleep unless said.
 */
#ifndef KVM_ARCH_H
#define KVM_ARCH_H

#include <kvm/ioctl.h>
#include <kvm/memslot.h>
#include <kvm/routing.h>
#include <kvm/vcpu.h>
#include <kvm/vm.h>

struct module;

/* The architecture's ioctls, joined with virt/kvm's own. */
extern const struct kvm_ioctl_table arch_dev_ioctls, arch_vm_ioctls, arch_vcpu_ioctls;

/* Value of a capability that virt/kvm does not know; kvm is NULL when asked on /dev/kvm. 0: unknown. */
long arch_check_extension(struct kvm *kvm, unsigned long cap);
/* KVM_ENABLE_CAP that virt/kvm does not know: -EINVAL for an unknown one. */
long arch_vm_enable_cap(struct kvm *kvm, const struct kvm_enable_cap *cap);
long arch_vcpu_enable_cap(struct kvm_vcpu *vcpu, const struct kvm_enable_cap *cap);

/* kvm.ko's module_init() and module_exit() are in virt/kvm/main.c and call these. */
int arch_module_init(void);
void arch_module_exit(void);

/*
 * virt/kvm/main.c offers these to vendor registration. register turns virtualisation on for every online CPU (the
 * error of arch_cpu_on() is its own), follows CPU hotplug, suspend and reboot from then on, and creates /dev/kvm,
 * whose open files hold the vendor module, as every VM does.
 */
int kvm_core_register(struct module *vendor);
void kvm_core_unregister(void);
/* Virtualisation was turned off under the guests' feet (reboot): faults of its instructions are to be ignored. */
extern bool kvm_going_down;

/* Virtualisation on and off on this CPU; IRQs off, no sleep. cpu_on may fail with -errno. */
int arch_cpu_on(void);
void arch_cpu_off(void);
/*
 * After a suspend, when this CPU is on again and before any thread runs: the time-stamp counter may have gone back.
 * IRQs off, the only CPU that is online: kvm_vms is walked without kvm_vms_lock, nothing may sleep.
 */
void arch_resumed(void);

/* VM: alloc checks the type (-EINVAL) and returns zeroed memory with struct kvm at its start. */
struct kvm *arch_vm_alloc(unsigned long type);
int arch_vm_init(struct kvm *kvm);
void arch_vm_pre_destroy(struct kvm *kvm);	/* files gone, vCPUs still there: stop timers and threads */
void arch_vm_destroy(struct kvm *kvm);		/* vCPUs, slots gone */
void arch_vm_free(struct kvm *kvm);

/* vCPU: create returns memory with struct kvm_vcpu at its start, kvm/id/idx not yet set inside. */
/* kvm->lock is held from precreate to init; online runs without it, before the VMM has the file. */
int arch_vcpu_precreate(struct kvm *kvm, u32 id);
struct kvm_vcpu *arch_vcpu_alloc(struct kvm *kvm);
int arch_vcpu_init(struct kvm_vcpu *vcpu);		/* generic part is set up */
void arch_vcpu_online(struct kvm_vcpu *vcpu);		/* visible in kvm->vcpu[] */
void arch_vcpu_free(struct kvm_vcpu *vcpu);		/* undoes init and alloc */
void arch_vcpu_load(struct kvm_vcpu *vcpu, int cpu);	/* preemption off; also from the scheduler */
void arch_vcpu_put(struct kvm_vcpu *vcpu);		/* preemption off; also from the scheduler */
/*
 * KVM_RUN after the generic checks, loaded, in kvm->srcu (vcpu->srcu_idx; left for the time in the guest) and with
 * the VMM's signal mask: 0 with exit_reason set, or -errno.
 */
long arch_vcpu_run(struct kvm_vcpu *vcpu);
bool arch_vcpu_runnable(struct kvm_vcpu *vcpu);		/* no sleeping; another thread may ask: hint only then */
bool arch_vcpu_in_kernel(struct kvm_vcpu *vcpu);	/* guest CPL 0 when it was scheduled out */
void arch_vcpu_blocking(struct kvm_vcpu *vcpu, bool blocking);
void arch_vcpu_kick_sent(struct kvm_vcpu *vcpu);	/* nothing on x86 */

/*
 * Memory slots; kvm->slots_lock. old is NULL for SLOT_CREATE, new for SLOT_DELETE. For SLOT_MOVE and SLOT_FLAGS new
 * starts as a copy of old, arch pointer included; prepare may give it another arch, and then old's is freed by
 * arch_slot_free() after commit. prepare is the last step that may fail and undoes itself then. The new slot is
 * visible, and no reader of the old set is left, when commit is called.
 */
int arch_slot_prepare(struct kvm *kvm, const struct memslot *old, struct memslot *new, enum slot_change c);
void arch_slot_commit(struct kvm *kvm, const struct memslot *old, struct memslot *new, enum slot_change c);
void arch_slot_free(struct kvm *kvm, struct memslot *slot);
/* A slot is being deleted or moved: nothing of it may stay mapped. */
void arch_slot_flush(struct kvm *kvm, struct memslot *slot);

/*
 * MMU notifier and dirty log; mmu_lock is taken by them. unmap/age return whether a TLB flush is due. x86 has flushed
 * what it unmapped before anyone else can have mmu_lock, or a second notifier would find nothing mapped and let the
 * page go. unmap drops mmu_lock and takes it again when r->may_block and others wait: its caller is in kvm->srcu.
 */
bool arch_mmu_unmap(struct kvm *kvm, const struct gfn_range *r);	/* mmu_lock held for write by the caller */
bool arch_mmu_age(struct kvm *kvm, const struct gfn_range *r, bool clear); /* likewise; returns young */
/* kvm->noncoherent_dma became zero or ceased to be: memory types of what is mapped are chosen anew. May sleep. */
void arch_noncoherent_changed(struct kvm *kvm);
void arch_mmu_release(struct kvm *kvm);			/* the mm goes away: drop every mapping; takes mmu_lock */
/* Before bits are collected: what hardware has logged by itself until now is in the bitmaps on return. */
void arch_dirty_sync(struct kvm *kvm);
/* Write-protect (or clear D bits of) the frames slot->base + first + bits of mask; mmu_lock write-held. */
void arch_mmu_protect(struct kvm *kvm, struct memslot *slot, u64 first, unsigned long mask);

/* Interrupts. */
bool arch_has_irqchip(const struct kvm *kvm);		/* in-kernel PIC/IOAPIC or split */
bool arch_has_irq_acks(const struct kvm *kvm);		/* pins in the kernel, whose EOI is seen: resampling works */
/* -EINVAL for an entry that this machine cannot have. */
int arch_irq_route_set(struct kvm *kvm, struct irq_route *out, const struct kvm_irq_routing_entry *in);
/* After the table was replaced. */
void arch_irq_routes_changed(struct kvm *kvm);

#endif
