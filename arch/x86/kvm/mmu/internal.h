/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of this folder share with each other and with nobody else. */
#ifndef MMU_INTERNAL_H
#define MMU_INTERNAL_H

#include <kvm/arch.h>
#include <kvm/x86/mmu.h>
#include <kvm/x86/vcpu.h>

#include "paging.h"
#include "table.h"

struct mmu_vm {
	/* Guest-physical trees by address space. root is set once, by compare-and-exchange, and stays. */
	struct pt_space space[KVM_ADDRESS_SPACES];
	unsigned int max_tables;	/* of all spaces; 0: as many as it takes */
};

/* A page that was found to be no memory, and the slots' generation in which that is so. */
struct mmio_hint {
	u64 gfn;
	u64 generation;
	u8 as;
};

#define MMIO_HINTS	8

/*
 * A walk of the guest's tables that succeeded: guest_walk.c. While CR3, the mode and the slots are the same and each
 * entry on the way still has the value it had, another walk would end where this one did.
 */
struct walk_memo {
	u64 page;			/* linear; ~0: empty */
	u64 cr3, gpa;
	u64 generation;
	u32 acc;
	u8 as, n;
	hva_t at[GP_MAX_LEVELS];
	u64 val[GP_MAX_LEVELS];
	hva_t data;			/* of the page; 0: it is in no slot */
};

#define WALK_MEMOS	4

struct mmu_vcpu {
	struct pt_cache cache;
	bool paging_valid;		/* paging describes the guest's current mode */
	struct guest_paging paging;
	struct walk_memo memo[WALK_MEMOS];	/* of this paging */
	struct mmio_hint hint[MMIO_HINTS];
};

static inline struct pt_space *mmu_space(struct kvm *kvm, unsigned int as)
{
	return &x86_vm(kvm)->mmu->space[as];
}

static inline struct pt_space *slot_space(struct kvm *kvm, const struct memslot *slot)
{
	return mmu_space(kvm, slot->as);
}

/* root.c: the tree's root, made if need be; false: no memory. */
bool mmu_need_root(struct pt_space *sp);

/* fault.c: the largest page that the slot's place in guest and in host memory allows at gfn. */
u8 mmu_slot_level(const struct memslot *slot, u64 gfn);

/* zap.c. mmu_lock held for write by the caller of these. */
struct mmu_batch {
	struct kvm *kvm;
	struct pt_space *sp;
	bool may_yield;
	bool flush;			/* something was revoked that TLBs may still hold */
	struct pt_page *detached;	/* out of the tree; freed after the flush, without the lock */
};

/* Lets others have the lock if they want it, after the flush that is due. true: start the iterator anew at it->gfn. */
bool mmu_yield(struct mmu_batch *b);
/* A link leaves the tree with all below it. */
void mmu_detach(struct mmu_batch *b, u64 *link);
/* Not held: the flush that is due, and the memory of what was detached. */
void mmu_batch_lock(struct mmu_batch *b);
void mmu_batch_unlock(struct mmu_batch *b);
/* Takes and drops the lock itself: nothing stays mapped in [start, end), tables wholly inside or left empty go. */
void mmu_zap(struct kvm *kvm, struct pt_space *sp, u64 start, u64 end);
/* Every page of every address space. */
void mmu_zap_all(struct kvm *kvm);
/* More tables than user space allowed: they all go, what the guest touches comes back. May sleep. */
void mmu_trim(struct kvm *kvm);

#endif
