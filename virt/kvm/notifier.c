// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host does to the VMM's memory (unmapping, swapping, migration, ageing), carried over to the guest's
 * mappings of it. This is why no page is ever pinned: the MM core calls here before it takes a page away.
 *
 * From the start of an invalidation to its end notifier_active counts it, and its addresses are in the hull
 * [notifier_start, notifier_end); at the end notifier_seq moves. A fault samples the sequence, looks its page up
 * without locks, and asks notifier_retry() under mmu_lock before it installs anything: an invalidation is
 * then either seen as active, or has ended and moved the sequence, or will find the new mapping. Invalidations that
 * meet no slot count too, because a slot may appear between their start and end.
 *
 * Called with any of the MM's locks held, by any thread that works on the mm; here kvm->srcu (reading) and mmu_lock
 * are taken, nothing else. Where blocking is forbidden mmu_lock, a spinning lock, is still allowed.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/arch.h>
#include <kvm/core.h>
#include <linux/mmu_notifier.h>

struct hva_range {
	unsigned long start, end;
	bool may_block;
};

typedef bool (*range_fn)(struct kvm *kvm, const struct gfn_range *r, bool clear);

static struct kvm *kvm_of(struct mmu_notifier *mn)
{
	return container_of(mn, struct kvm, notifier);
}

static bool slot_do(struct kvm *kvm, struct memslot *slot, const struct hva_range *h, range_fn fn, bool clear)
{
	unsigned long first = slot->hva.v, last = first + (slot->npages << PAGE_SHIFT);
	struct gfn_range r = { .slot = slot, .may_block = h->may_block };
	unsigned long start = max(h->start, first), end = min(h->end, last);

	if (start >= end)
		return false;
	r.start = GFN(slot->base.v + ((start - first) >> PAGE_SHIFT));
	r.end = GFN(slot->base.v + ((PAGE_ALIGN(end) - first) >> PAGE_SHIFT));
	return fn(kvm, &r, clear);
}

/*
 * mmu_lock for writing and kvm->srcu. fn may give the lock up between pages where blocking is allowed: sets and their
 * slots stay, but the leaving slot is only there as long as the lock is held without a break.
 */
static bool slots_do(struct kvm *kvm, const struct hva_range *h, range_fn fn, bool clear)
{
	struct hva_range now = *h;
	bool any = false;
	unsigned int i;
	int as;

	for (as = 0; as < KVM_ADDRESS_SPACES; as++) {
		struct memslots *s = kvm_slots(kvm, as);

		for (i = 0; i < s->n; i++)
			any |= slot_do(kvm, s->slot[i], h, fn, clear);
	}
	now.may_block = false;
	if (kvm->leaving)
		any |= slot_do(kvm, kvm->leaving, &now, fn, clear);
	return any;
}

static bool do_unmap(struct kvm *kvm, const struct gfn_range *r, bool unused)
{
	return arch_mmu_unmap(kvm, r);
}

static int on_invalidate_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct kvm *kvm = kvm_of(mn);
	const struct hva_range h = { range->start, range->end, mmu_notifier_range_blockable(range) };
	int idx;

	idx = srcu_read_lock(&kvm->srcu);
	write_lock(&kvm->mmu_lock);
	if (!kvm->notifier_active++) {
		kvm->notifier_start = HVA(h.start);
		kvm->notifier_end = HVA(h.end);
	} else {
		kvm->notifier_start = HVA(min(kvm->notifier_start.v, h.start));
		kvm->notifier_end = HVA(max(kvm->notifier_end.v, h.end));
	}
	/*
	 * Before the page may go, no CPU may know it any more. Under the lock, or a second invalidation of the range
	 * would find nothing mapped, not flush, and let the page go while the first has yet to.
	 */
	if (slots_do(kvm, &h, do_unmap, false))
		kvm_flush_remote_tlbs(kvm);
	write_unlock(&kvm->mmu_lock);
	srcu_read_unlock(&kvm->srcu, idx);
	return 0;
}

static void on_invalidate_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct kvm *kvm = kvm_of(mn);

	write_lock(&kvm->mmu_lock);
	kvm->notifier_seq++;
	kvm->notifier_active--;
	write_unlock(&kvm->mmu_lock);
}

/* The mm is being torn down: nobody runs in it any more, and after this its pages go one and all. */
static void on_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct kvm *kvm = kvm_of(mn);
	int idx;

	idx = srcu_read_lock(&kvm->srcu);
	arch_mmu_release(kvm);
	srcu_read_unlock(&kvm->srcu, idx);
}

/*
 * Was anything in the range used since it was last asked? With clear the next answer starts from now; TLBs are not
 * flushed for that, which makes a page look older than it is and harms nobody.
 */
static bool age(struct kvm *kvm, unsigned long start, unsigned long end, bool clear)
{
	const struct hva_range h = { start, end, false };
	bool young;
	int idx;

	idx = srcu_read_lock(&kvm->srcu);
	write_lock(&kvm->mmu_lock);
	young = slots_do(kvm, &h, arch_mmu_age, clear);
	write_unlock(&kvm->mmu_lock);
	srcu_read_unlock(&kvm->srcu, idx);
	return young;
}

static int on_clear_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long start, unsigned long end)
{
	return age(kvm_of(mn), start, end, true);
}

static int on_test_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long address)
{
	return age(kvm_of(mn), address, address + PAGE_SIZE, false);
}

static const struct mmu_notifier_ops notifier_ops = {
	.invalidate_range_start	= on_invalidate_start,
	.invalidate_range_end	= on_invalidate_end,
	.test_young		= on_test_young,
	.clear_young		= on_clear_young,
	.clear_flush_young	= on_clear_young,
	.release		= on_release,
};

int core_notifier_init(struct kvm *kvm)
{
	kvm->notifier.ops = &notifier_ops;
	return mmu_notifier_register(&kvm->notifier, kvm->mm);
}

/* Calls on_release() if the mm is still there, and waits for callbacks under way. */
void core_notifier_exit(struct kvm *kvm)
{
	mmu_notifier_unregister(&kvm->notifier, kvm->mm);
}
