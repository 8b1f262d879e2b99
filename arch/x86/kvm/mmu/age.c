// SPDX-License-Identifier: GPL-2.0-only
/*
 * How recently the guest used its pages, for the host's reclaim: accessed bits where hardware keeps them, else
 * pages are parked (their rights put aside) and the next access gives them back in the fast fault path.
 *
 * mmu_lock held for write; never yields, because the callers may hold page-table locks. Clearing a bit flushes
 * nothing: a TLB that still has the page makes it look older than it is, which costs accuracy and not safety.
 */
#include "internal.h"

bool arch_mmu_age(struct kvm *kvm, const struct gfn_range *r, bool clear)
{
	bool young = false;
	struct pt_iter it;

	lockdep_assert_held_write(&kvm->mmu_lock);
	for (pt_start(&it, slot_space(kvm, r->slot), r->start.v, r->end.v); pt_more(&it); pt_next(&it)) {
		if (!pt_at_page(&it) || !ent_young(it.val))
			continue;
		young = true;
		if (!clear)
			break;
		pt_change(it.ptr, it.val, ent_make_old);
	}
	return young;
}
