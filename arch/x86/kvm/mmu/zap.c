// SPDX-License-Identifier: GPL-2.0-only
/*
 * Taking mappings away: for the MMU notifier, for slots that go, for a VM whose memory goes.
 *
 * All run with mmu_lock held for write, so no mapper is under way; fixers and hardware are. The rule that
 * everything here keeps: whoever removes a translation flushes the TLBs before it lets go of the lock.
 * Otherwise another zapper could find the entry gone, conclude that nothing is mapped and free the page while a
 * vCPU still writes to it. So the notifier's unmapping, too, is flushed here and not left to its caller.
 *
 * A table is detached by clearing the one link to it; what is below stays as it is and is counted and freed later,
 * without the lock. Hardware may walk in it until the flush, fixers until an RCU grace period has passed: so first
 * the flush, then call_rcu(). A fixer in a detached table only widens an entry that nobody will use.
 *
 * Tables wholly inside a slot are detached with it, those at its edges when nothing is left in them: so
 * the number of tables is bounded by the slots that exist, whatever a VMM does with them.
 */
#include <linux/sched.h>

#include "internal.h"

bool mmu_yield(struct mmu_batch *b)
{
	if (!b->may_yield || !(need_resched() || rwlock_is_contended(&b->kvm->mmu_lock)))
		return false;
	if (b->flush)
		kvm_flush_remote_tlbs(b->kvm);
	b->flush = false;
	write_unlock(&b->kvm->mmu_lock);
	cond_resched();
	write_lock(&b->kvm->mmu_lock);
	return true;
}

void mmu_batch_lock(struct mmu_batch *b) __acquires(&b->kvm->mmu_lock)
{
	write_lock(&b->kvm->mmu_lock);
}

void mmu_batch_unlock(struct mmu_batch *b) __releases(&b->kvm->mmu_lock)
{
	struct pt_page *p;

	if (b->flush)
		kvm_flush_remote_tlbs(b->kvm);
	b->flush = false;
	write_unlock(&b->kvm->mmu_lock);
	while ((p = b->detached)) {
		b->detached = p->next;
		pt_free_tree(b->sp, p, false);
	}
}

void mmu_detach(struct mmu_batch *b, u64 *link)
{
	struct pt_page *p = pt_page_of(*link);

	pt_clear(link);
	p->next = b->detached;
	b->detached = p;
	b->flush = true;
}

static void zap_page(struct mmu_batch *b, struct pt_iter *it)
{
	pt_clear(it->ptr);
	it->val = 0;
	pt_count(b->sp, it->level, -1);
	b->flush = true;
}

/* Pages only: the tables stay for what will be mapped there next. A page that reaches over the edge goes whole. */
static void zap_pages(struct mmu_batch *b, u64 start, u64 end)
{
	struct pt_iter it;

	pt_start(&it, b->sp, start, end);
	while (pt_more(&it)) {
		if (pt_at_page(&it))
			zap_page(b, &it);
		pt_next(&it);
		if (mmu_yield(b))
			pt_start(&it, b->sp, it.gfn, end);
	}
}

/* Tables on the way to gfn that have become empty, lowest first. */
static void zap_empty_path(struct mmu_batch *b, u64 gfn)
{
	u64 *link[PT_MAX_LEVELS + 1], *table = b->sp->root->ent;
	unsigned int top = b->sp->root->role.level, level;

	for (level = top; level > PT_4K; level--) {
		link[level] = &table[pt_index(gfn, level)];
		if (!ent_is_link(*link[level], level))
			break;
		table = pt_table(*link[level]);
	}
	while (++level <= top) {
		if (!pt_is_empty(pt_page_of(*link[level])))
			break;
		mmu_detach(b, link[level]);
	}
}

static void zap_with_tables(struct mmu_batch *b, u64 start, u64 end)
{
	struct pt_iter it;

	pt_start(&it, b->sp, start, end);
	while (pt_more(&it)) {
		if (pt_at_page(&it)) {
			zap_page(b, &it);
		} else if (ent_mapped(it.val) && pt_first(&it) >= start && pt_first(&it) + pt_frames(it.level) <= end) {
			mmu_detach(b, it.ptr);
			it.val = 0;
		}
		pt_next(&it);
		if (mmu_yield(b))
			pt_start(&it, b->sp, it.gfn, end);
	}
	zap_empty_path(b, start);
	zap_empty_path(b, end - 1);
}

void mmu_zap(struct kvm *kvm, struct pt_space *sp, u64 start, u64 end)
{
	struct mmu_batch b = { .kvm = kvm, .sp = sp, .may_yield = true };

	end = min(end, pt_limit());
	if (!READ_ONCE(sp->root) || start >= end)
		return;
	mmu_batch_lock(&b);
	zap_with_tables(&b, start, end);
	mmu_batch_unlock(&b);
}

void mmu_zap_all(struct kvm *kvm)
{
	unsigned int as;

	for (as = 0; as < KVM_ADDRESS_SPACES; as++)
		mmu_zap(kvm, mmu_space(kvm, as), 0, pt_limit());
}

void mmu_trim(struct kvm *kvm)
{
	const struct mmu_vm *m = x86_vm(kvm)->mmu;
	unsigned int max = READ_ONCE(m->max_tables), as;
	long n = PT_MAX_LEVELS;		/* room for the path that the caller is about to build */

	if (likely(!max))
		return;
	for (as = 0; as < KVM_ADDRESS_SPACES; as++)
		n += atomic_read(&m->space[as].tables);
	if (n > max)
		mmu_zap_all(kvm);
}

bool arch_mmu_unmap(struct kvm *kvm, const struct gfn_range *r)
{
	struct mmu_batch b = { .kvm = kvm, .sp = slot_space(kvm, r->slot), .may_yield = r->may_block };

	lockdep_assert_held_write(&kvm->mmu_lock);
	zap_pages(&b, r->start.v, r->end.v);
	if (b.flush)
		kvm_flush_remote_tlbs(kvm);
	return false;
}

void arch_mmu_release(struct kvm *kvm)
{
	mmu_zap_all(kvm);
}

/*
 * The memory types of what is mapped are those of before. Formats that leave them to the guest have nothing to
 * change.
 */
void arch_noncoherent_changed(struct kvm *kvm)
{
	if (pt.f.fixed_type)
		mmu_zap_all(kvm);
}

int arch_slot_prepare(struct kvm *kvm, const struct memslot *old, struct memslot *new, enum slot_change c)
{
	/* frames that the tables cannot reach cannot be memory */
	if (new && new->base.v + new->npages > pt_limit())
		return -EINVAL;
	return 0;
}

void arch_slot_free(struct kvm *kvm, struct memslot *slot)
{
}

void arch_slot_flush(struct kvm *kvm, struct memslot *slot)
{
	mmu_zap(kvm, slot_space(kvm, slot), slot->base.v, slot->base.v + slot->npages);
}
