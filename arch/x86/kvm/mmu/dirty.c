// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty logging: a logged page is mapped without write permission, and the write fault that restores it marks the
 * frame (slot_mark_dirty()) after the permission is in place, so that a harvest in between reports it next time.
 *
 * Where the CPU logs what it sets a dirty bit for (PML), a logged 4K page is mapped writable with that bit clear, and
 * its first write costs no exit. While a slot of the VM logs, each exit carries the CPU's log over (mmu_drain_log())
 * before the vCPU counts as outside the guest: so a harvest that has waited for guest mode to end has all writes that
 * came before it. A write that comes later is in the log or the bitmap, and its dirty bit stays set until that
 * bit is harvested: it is reported next time.
 *
 * Frames are logged in units of 4K. Large pages are only write-protected when logging starts, and split by the write
 * fault that needs a part of them; when it ends, tables that keep a large page out are detached, and faults map the
 * large page again. What was write-protected and not written since becomes writable by the fast path.
 */
#include <linux/srcu.h>

#include "internal.h"

/*
 * Only for slots that log: a frame's slot may have stopped, or gone, since the write. IRQs may be off, and then
 * kvm->srcu is not held.
 */
void mmu_drain_log(struct x86_vcpu *v)
{
	struct kvm *kvm = v->vcpu.kvm;
	unsigned int n;
	const u64 *gpa;
	int idx;

	n = vendor_call(logged)(v, &gpa);
	if (likely(!n))
		return;
	idx = srcu_read_lock(&kvm->srcu);
	for (; n; n--, gpa++) {
		gfn_t gfn = gfn_of(GPA(*gpa));
		struct memslot *slot = vcpu_slot(&v->vcpu, gfn);

		if (slot && slot->flags & KVM_MEM_LOG_DIRTY_PAGES)
			slot_mark_dirty(kvm, slot, gfn);
	}
	srcu_read_unlock(&kvm->srcu, idx);
}

void arch_dirty_sync(struct kvm *kvm)
{
	if (READ_ONCE(x86_vm(kvm)->log_slots))
		kvm_request_all(kvm, REQ_DIRTY_LOG);
}

static bool logs(const struct memslot *slot)
{
	return slot && slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
}

/*
 * Frames slot->base + first + bits of mask. Neighbours share their table: it is found once for each 512 frames.
 * The caller, who holds mmu_lock for write, flushes.
 */
void arch_mmu_protect(struct kvm *kvm, struct memslot *slot, u64 first, unsigned long mask)
{
	struct pt_space *sp = slot_space(kvm, slot);

	lockdep_assert_held_write(&kvm->mmu_lock);
	if (!sp->root)
		return;
	while (mask) {
		unsigned int bit = __ffs(mask);
		u64 gfn = slot->base.v + first + bit, val, *p;
		u8 level;

		mask &= mask - 1;
		if (first + bit >= slot->npages)
			return;
		p = pt_find(sp, gfn, &level, &val);
		if (!ent_mapped(val))
			continue;
		pt_change(p, val, ent_protect);
		if (level > PT_4K)
			continue;
		/* the others of this table */
		while (mask) {
			unsigned int more = __ffs(mask);

			if ((gfn ^ (gfn + more - bit)) >> PT_BITS || first + more >= slot->npages)
				break;
			val = READ_ONCE(p[more - bit]);
			if (ent_mapped(val))
				pt_change(&p[more - bit], val, ent_protect);
			mask &= mask - 1;
		}
	}
}

static void protect_slot(struct kvm *kvm, struct memslot *slot)
{
	struct mmu_batch b = { .kvm = kvm, .sp = slot_space(kvm, slot), .may_yield = true };
	u64 end = slot->base.v + slot->npages;
	struct pt_iter it;

	mmu_batch_lock(&b);
	pt_start(&it, b.sp, slot->base.v, end);
	while (pt_more(&it)) {
		if (pt_at_page(&it) && pt_change(it.ptr, it.val, ent_protect))
			b.flush = true;
		pt_next(&it);
		if (mmu_yield(&b))
			pt_start(&it, b.sp, it.gfn, end);
	}
	mmu_batch_unlock(&b);
}

/* Detaches the tables where the VMM's own tables have a large page, so that the next fault maps one here. */
static void merge_slot(struct kvm *kvm, struct memslot *slot)
{
	struct mmu_batch b = { .kvm = kvm, .sp = slot_space(kvm, slot), .may_yield = true };
	u64 end = slot->base.v + slot->npages;
	struct pt_iter it;

	mmu_batch_lock(&b);
	pt_start(&it, b.sp, slot->base.v, end);
	while (pt_more(&it)) {
		u64 first = pt_first(&it);

		if (ent_is_link(it.val, it.level) && it.level <= mmu_slot_level(slot, it.gfn) &&
		    host_mapping_level(kvm, slot_hva(slot, GFN(first))) >= it.level) {
			mmu_detach(&b, it.ptr);
			it.val = 0;
		}
		pt_next(&it);
		if (mmu_yield(&b))
			pt_start(&it, b.sp, it.gfn, end);
	}
	mmu_batch_unlock(&b);
}

void arch_slot_commit(struct kvm *kvm, const struct memslot *old, struct memslot *new, enum slot_change c)
{
	struct x86_vm *vm = x86_vm(kvm);
	u32 set, cleared;

	if (pt.hw_log) {
		WRITE_ONCE(vm->log_slots, vm->log_slots + logs(new) - logs(old));
		if (logs(new))
			WRITE_ONCE(vm->log_ever, true);
	}
	if (c != SLOT_FLAGS)
		return;
	set = new->flags & ~old->flags;
	cleared = old->flags & ~new->flags;
	if (set & KVM_MEM_READONLY)
		arch_slot_flush(kvm, new);
	if (set & KVM_MEM_LOG_DIRTY_PAGES) {
		/* with every frame reported dirty at first, each is protected when it is cleared */
		if (!(kvm->dirty_protect & KVM_DIRTY_LOG_INITIALLY_SET))
			protect_slot(kvm, new);
	} else if (cleared & KVM_MEM_LOG_DIRTY_PAGES) {
		merge_slot(kvm, new);
	}
}
