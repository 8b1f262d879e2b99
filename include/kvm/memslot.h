/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory slots: which guest frames are which of the VMM's pages. A set of slots is immutable once
 * published: a change builds a new array and publishes it under kvm->srcu, so a lookup takes no lock.
 * The slot objects themselves live across sets (their dirty bitmap and arch part are per slot).
 */
#ifndef KVM_MEMSLOT_H
#define KVM_MEMSLOT_H

#include <kvm/types.h>
#include <linux/rcupdate.h>

#define KVM_ADDRESS_SPACES	2	/* 1: SMM */
#define KVM_USER_SLOTS		32764

struct memslot {
	gfn_t base;
	u64 npages;
	hva_t hva;
	u32 flags;			/* KVM_MEM_* */
	u16 id;
	u16 as;
	unsigned long *dirty;		/* bitmap of KVM_MEM_LOG_DIRTY_PAGES, then a second half as scratch */
	void *arch;			/* owned by arch_slot_*() */
};

struct memslots {
	u64 generation;			/* changes with every publication; low 19 bits tag MMIO SPTEs */
	unsigned int n;
	struct memslot *slot[];		/* sorted by base, no overlap */
};

struct memslots *kvm_slots(struct kvm *kvm, int as);
/* The slot that holds gfn, or NULL. Caller is in kvm->srcu or holds slots_lock. */
struct memslot *memslots_find(const struct memslots *s, gfn_t gfn);
struct memslot *kvm_slot(struct kvm *kvm, int as, gfn_t gfn);
/* The same for a vCPU: its address space, and the slot it used last is looked at first. */
struct memslot *vcpu_slot(struct kvm_vcpu *vcpu, gfn_t gfn);
/* The slot with this user-given id, or NULL; kvm->slots_lock. */
struct memslot *kvm_slot_by_id(struct kvm *kvm, int as, int id);
/* In-kernel owner of a slot (the TSS or APIC page): ids from KVM_USER_SLOTS on; kvm->slots_lock. */
int kvm_private_slot(struct kvm *kvm, u16 id, gpa_t gpa, u64 size);

static inline hva_t slot_hva(const struct memslot *s, gfn_t gfn)
{
	return HVA(s->hva.v + ((gfn.v - s->base.v) << PAGE_SHIFT));
}

static inline bool slot_has(const struct memslot *s, gfn_t gfn)
{
	return gfn.v - s->base.v < s->npages;
}

/* Marks a written frame in the slot's dirty bitmap (nothing when the slot does not log). Any context. */
void slot_mark_dirty(struct kvm *kvm, struct memslot *s, gfn_t gfn);

enum slot_change { SLOT_CREATE, SLOT_DELETE, SLOT_MOVE, SLOT_FLAGS };

/* Frames [start, end) of one slot, as the notifier and the dirty log hand them to arch_mmu_*(). */
struct gfn_range {
	struct memslot *slot;
	gfn_t start, end;
	bool may_block;
};

#endif
