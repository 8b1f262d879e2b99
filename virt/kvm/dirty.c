// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty log: which pages of a slot were written since the VMM asked last.
 *
 * A slot that logs has a bitmap; whoever lets a write through (a write-protection fault, the hardware's log, the
 * kernel's own writes) sets the page's bit. The VMM collects bits, and a page whose bit is collected is protected again
 * and flushed from the TLBs before the bit reaches the VMM, so the next write sets it anew: no write is lost between
 * the VMM's reading of the bit and of the page.
 *
 * Without KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 collecting is one step over the whole slot. With it the VMM first reads the
 * bitmap, which changes nothing, and then names the pages to be protected again, in portions of its own size.
 *
 * kvm->slots_lock keeps slot and bitmap; the bitmap's second half is scratch under it. Bits are set by others at any
 * time, so words are taken out by atomic operations.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/arch.h>
#include <kvm/core.h>
#include <linux/bitops.h>
#include <linux/compat.h>
#include <linux/nospec.h>
#include <linux/uaccess.h>

/* What the VMM may switch on. */
#define PROTECT_FLAGS	(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

static unsigned long *scratch_of(struct memslot *s)
{
	return s->dirty + slot_dirty_bytes(s) / sizeof(long);
}

/* The ABI's slot number: address space in the upper half. */
static int slot_of(struct kvm *kvm, u32 number, struct memslot **slot)
{
	u16 as = number >> 16, id = number;

	if (!core_slot_number_ok(kvm, as, id))
		return -EINVAL;
	*slot = kvm_slot_by_id(kvm, array_index_nospec(as, KVM_ADDRESS_SPACES), id);
	return *slot && (*slot)->dirty ? 0 : -ENOENT;
}

/* A 32-bit VMM leaves the pointer's upper half as it was. */
static void __user *bitmap_ptr(void __user *p)
{
	return in_compat_syscall() ? compat_ptr(ptr_to_compat(p)) : p;
}

/*
 * Takes the bits of want (NULL: all) out of words words of the bitmap from word first on, leaves what was there in
 * scratch[0 ..] and protects those pages. True if there were any.
 */
static bool collect(struct kvm *kvm, struct memslot *s, size_t first, size_t words, const unsigned long *want)
{
	unsigned long *scratch = scratch_of(s);
	bool any = false;
	size_t i;

	write_lock(&kvm->mmu_lock);
	for (i = 0; i < words; i++) {
		atomic_long_t *word = (atomic_long_t *)&s->dirty[first + i];
		unsigned long mask = want ? want[i] : ~0ul;

		if (mask && READ_ONCE(s->dirty[first + i]) & mask)
			mask &= atomic_long_fetch_andnot(mask, word);
		else
			mask = 0;
		scratch[i] = mask;
		if (mask) {
			any = true;
			arch_mmu_protect(kvm, s, (first + i) * BITS_PER_LONG, mask);
		}
		/* Nothing is kept across a break: each word stands for itself. */
		if (mask || i % 1024 == 0)
			cond_resched_rwlock_write(&kvm->mmu_lock);
	}
	write_unlock(&kvm->mmu_lock);
	return any;
}

/* The VMM could not take them: they are dirty still. */
static void give_back(struct memslot *s)
{
	unsigned long *scratch = scratch_of(s);
	size_t i, words = slot_dirty_bytes(s) / sizeof(long);

	for (i = 0; i < words; i++) {
		if (scratch[i])
			atomic_long_or(scratch[i], (atomic_long_t *)&s->dirty[i]);
	}
}

long vm_get_dirty_log(struct kvm_call *c)
{
	const struct kvm_dirty_log *log = c->arg;
	void __user *to = bitmap_ptr(log->dirty_bitmap);
	struct kvm *kvm = c->kvm;
	struct memslot *s;
	size_t bytes;
	int err;

	err = slot_of(kvm, log->slot, &s);
	if (err)
		return err;
	bytes = slot_dirty_bytes(s);
	arch_dirty_sync(kvm);
	if (kvm->dirty_protect & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		return copy_to_user(to, s->dirty, bytes) ? -EFAULT : 0;
	if (collect(kvm, s, 0, bytes / sizeof(long), NULL))
		kvm_flush_remote_tlbs(kvm);
	if (!copy_to_user(to, scratch_of(s), bytes))
		return 0;
	give_back(s);
	return -EFAULT;
}

long vm_clear_dirty_log(struct kvm_call *c)
{
	const struct kvm_clear_dirty_log *log = c->arg;
	void __user *from = bitmap_ptr(log->dirty_bitmap);
	struct kvm *kvm = c->kvm;
	struct memslot *s;
	size_t words;
	u64 left;
	int err;

	if (log->first_page % BITS_PER_LONG)
		return -EINVAL;
	err = slot_of(kvm, log->slot, &s);
	if (err)
		return err;
	if (log->first_page > s->npages)
		return -EINVAL;
	left = s->npages - log->first_page;
	if (log->num_pages > left || (log->num_pages < left && log->num_pages % BITS_PER_LONG))
		return -EINVAL;
	words = BITS_TO_LONGS(log->num_pages);
	if (copy_from_user(scratch_of(s), from, words * sizeof(long)))
		return -EFAULT;
	if (collect(kvm, s, log->first_page / BITS_PER_LONG, words, scratch_of(s)))
		kvm_flush_remote_tlbs(kvm);
	return 0;
}

long core_dirty_enable_cap(struct kvm *kvm, u64 flags)
{
	if (flags & ~(u64)PROTECT_FLAGS)
		return -EINVAL;
	/* All pages dirty at first is only of use to who then clears them in portions. */
	if (flags == KVM_DIRTY_LOG_INITIALLY_SET)
		return -EINVAL;
	mutex_lock(&kvm->slots_lock);
	WRITE_ONCE(kvm->dirty_protect, flags);
	mutex_unlock(&kvm->slots_lock);
	return 0;
}
