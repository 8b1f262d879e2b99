/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual machine, as far as it has no architecture in it. The architecture embeds it at offset 0 of
 * a larger structure. It lives until the last reference (VM, vCPU, device and stats files) goes.
 */
#ifndef KVM_VM_H
#define KVM_VM_H

#include <kvm/memslot.h>
#include <kvm/iobus.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/xarray.h>

#define KVM_MAX_VCPUS		1024
#define KVM_MAX_VCPU_ID		4096

struct irq_routing;
struct workqueue_struct;

struct vm_stats {
	u64 mmu_shadow_zapped, mmu_pte_write, mmu_pde_zapped, mmu_flooded, mmu_recycled;
	u64 mmu_cache_miss, mmu_unsync;
	atomic64_t pages_4k, pages_2m, pages_1g;
	u64 nx_lpage_splits, max_mmu_page_hash_collisions, max_mmu_rmap_size, remote_tlb_flush;
};

struct kvm {
	struct mm_struct *mm;			/* whose memory the guest uses; immutable, mmgrab()bed */
	refcount_t users;
	struct list_head link;			/* in kvm_vms, kvm_vms_lock */
	struct mutex lock;			/* the VM's configuration; outermost */
	struct mutex slots_lock;		/* memory slots and buses; inside lock */
	struct srcu_struct srcu;		/* readers of slots and buses */
	struct srcu_struct irq_srcu;		/* readers of routing and ack notifiers */
	struct memslots __rcu *slots[KVM_ADDRESS_SPACES];
	struct memslot *leaving;		/* mmu_lock; out of the set but maybe still mapped */
	struct xarray slot_ids[KVM_ADDRESS_SPACES];	/* slots_lock */
	u64 slots_generation;			/* slots_lock; read by READ_ONCE */
	struct io_bus __rcu *bus[BUS_COUNT];
	struct irq_routing __rcu *routing;
	struct hlist_head irq_ack_list;		/* irq_srcu readers, irq_lock writers */
	struct mutex irq_lock;			/* routing and ack-notifier writers; inside lock */

	struct mmu_notifier notifier;
	rwlock_t mmu_lock;			/* page tables against each other and against the notifier */
	unsigned long notifier_seq;		/* mmu_lock; bumped when an invalidation ends */
	long notifier_active;			/* mmu_lock; invalidations under way */
	hva_t notifier_start, notifier_end;	/* mmu_lock; hull of those under way */

	struct {
		spinlock_t lock;		/* IRQ-safe: taken from eventfd wakeups */
		struct list_head items;
		struct list_head resamplers;
		struct mutex resampler_lock;	/* also: one assignment or removal at a time; takes irq_srcu, lock */
		struct workqueue_struct *cleanup;	/* resampler_lock; NULL until the first irqfd */
	} irqfds;
	struct list_head ioeventfds;		/* slots_lock */
	struct list_head devices;		/* lock */
	struct {
		struct kvm_coalesced_mmio_ring *ring;	/* one page, shared with the VMM */
		struct list_head zones;			/* slots_lock */
		spinlock_t lock;			/* the ring */
	} coalesced;

	atomic_t online_vcpus;			/* vcpu[0 .. online) are visible */
	int created_vcpus;			/* lock */
	struct kvm_vcpu *vcpu[KVM_MAX_VCPUS];	/* by index, in order of creation */
	u32 max_vcpu_id;			/* lock; 0: KVM_MAX_VCPU_ID */
	u32 dirty_protect;			/* KVM_DIRTY_LOG_* flags enabled; slots_lock */
	unsigned int halt_poll_ns;		/* ceiling for this VM, if halt_poll_set: KVM_CAP_HALT_POLL */
	bool halt_poll_set;
	u32 yield_next;				/* where the search for a vCPU to yield to goes on; a hint */
	atomic_t noncoherent_dma;		/* assigned devices whose DMA does not snoop caches */
	bool dead;				/* the host gave up on it: every ioctl gives EIO */
	struct vm_stats stat;
	char stats_id[48];
	struct dentry *debugfs;
	struct module *vendor;			/* held while the VM lives */
};

extern struct list_head kvm_vms;
extern struct mutex kvm_vms_lock;

void kvm_get(struct kvm *kvm);
void kvm_put(struct kvm *kvm);		/* may sleep */
/* The same under the names that vfio looks up (symbol_get). safe: false when the VM is going already. */
bool kvm_get_kvm_safe(struct kvm *kvm);
void kvm_put_kvm(struct kvm *kvm);

#define kvm_for_each_vcpu(i, v, kvm) \
	for (i = 0; i < (unsigned int)atomic_read_acquire(&(kvm)->online_vcpus) && \
	     ((v) = (kvm)->vcpu[i], true); i++)

struct kvm_vcpu *kvm_vcpu_by_id(struct kvm *kvm, u32 id);
/* The host gives up on the VM: no vCPU enters the guest again, every ioctl gives EIO. Any context but IRQs off. */
void kvm_kill(struct kvm *kvm);

/*
 * mmu_lock held: must a fault that read notifier_seq as seq before it looked up hva start again?
 * (The usual protocol: sample, smp_rmb, look up, lock, ask.)
 */
static inline bool notifier_retry(const struct kvm *kvm, unsigned long seq, hva_t hva)
{
	if (kvm->notifier_active && hva.v >= kvm->notifier_start.v && hva.v < kvm->notifier_end.v)
		return true;
	return kvm->notifier_seq != seq;
}

/* Sets a request on every vCPU and, if wait, returns only when none of them is still in guest mode. */
void kvm_request_all(struct kvm *kvm, unsigned int req);
/* The guest's translations of the whole VM are stale: every vCPU flushes before it enters again. */
void kvm_flush_remote_tlbs(struct kvm *kvm);

#endif
