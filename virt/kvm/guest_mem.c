// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own access to guest memory, and the host frame behind a guest frame.
 *
 * Reads and writes go through the VMM's page tables like any system call's: no page is pinned, what is swapped out
 * comes back by an ordinary fault, and what the VMM unmapped is -EFAULT. A frame for the MMU is looked up in
 * the same tables; the reference that looking it up takes is given back as soon as it is mapped under the protection
 * of the MMU notifier.
 *
 * Callers are in kvm->srcu and run in the VM's mm. Everything may sleep but where said.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <compat/mm.h>
#include <compat/uaccess.h>
#include <kvm/arch.h>
#include <kvm/guest_mem.h>
#include <kvm/vcpu.h>
#include <kvm/vm.h>
#include <linux/export.h>
#include <linux/hugetlb.h>
#include <linux/pgtable.h>
#include <linux/swap.h>
#include <linux/uaccess.h>

static struct memslot *find(struct kvm *kvm, struct kvm_vcpu *vcpu, gpa_t gpa)
{
	return vcpu ? vcpu_slot(vcpu, gfn_of(gpa)) : kvm_slot(kvm, 0, gfn_of(gpa));
}

static hva_t hva_of(const struct memslot *s, gpa_t gpa)
{
	return HVA(slot_hva(s, gfn_of(gpa)).v + offset_in_page(gpa.v));
}

/* How much of [gpa, gpa + len) the slot holds; gpa is in it. */
static size_t within(const struct memslot *s, gpa_t gpa, size_t len)
{
	return min_t(u64, gpa_of(GFN(s->base.v + s->npages)).v - gpa.v, len);
}

static void mark_written(struct kvm *kvm, struct memslot *s, gpa_t gpa, size_t len)
{
	u64 gfn = gfn_of(gpa).v, last = gfn_of(GPA(gpa.v + len - 1)).v;

	if (!s->dirty)
		return;
	for (; gfn <= last; gfn++)
		slot_mark_dirty(kvm, s, GFN(gfn));
}

static int read_guest(struct kvm *kvm, struct kvm_vcpu *vcpu, gpa_t gpa, void *data, size_t len)
{
	while (len) {
		struct memslot *s = find(kvm, vcpu, gpa);
		size_t n;

		if (!s)
			return -EFAULT;
		n = within(s, gpa, len);
		if (copy_from_user(data, hva_ptr(hva_of(s, gpa)), n))
			return -EFAULT;
		data += n;
		len -= n;
		gpa.v += n;
	}
	return 0;
}

static int write_guest(struct kvm *kvm, struct kvm_vcpu *vcpu, gpa_t gpa, const void *data, size_t len)
{
	while (len) {
		struct memslot *s = find(kvm, vcpu, gpa);
		size_t n, left;

		if (!s || (s->flags & KVM_MEM_READONLY))
			return -EFAULT;
		n = within(s, gpa, len);
		left = copy_to_user(hva_ptr(hva_of(s, gpa)), data, n);
		/* Part of it may be there even so. */
		mark_written(kvm, s, gpa, n);
		if (left)
			return -EFAULT;
		data += n;
		len -= n;
		gpa.v += n;
	}
	return 0;
}

int kvm_read_guest(struct kvm *kvm, gpa_t gpa, void *data, size_t len)
{
	return read_guest(kvm, NULL, gpa, data, len);
}
EXPORT_SYMBOL_GPL(kvm_read_guest);

int kvm_write_guest(struct kvm *kvm, gpa_t gpa, const void *data, size_t len)
{
	return write_guest(kvm, NULL, gpa, data, len);
}
EXPORT_SYMBOL_GPL(kvm_write_guest);

int vcpu_read_guest(struct kvm_vcpu *vcpu, gpa_t gpa, void *data, size_t len)
{
	return read_guest(vcpu->kvm, vcpu, gpa, data, len);
}
EXPORT_SYMBOL_GPL(vcpu_read_guest);

int vcpu_read_guest_16(struct kvm_vcpu *vcpu, gpa_t gpa, u64 data[2])
{
	struct memslot *s = vcpu_slot(vcpu, gfn_of(gpa));
	const u64 __user *p;

	if (!s)
		return -EFAULT;
	p = (const u64 __user *)hva_ptr(hva_of(s, gpa));
	return get_user(data[0], p) || get_user(data[1], p + 1) ? -EFAULT : 0;
}
EXPORT_SYMBOL_GPL(vcpu_read_guest_16);

int vcpu_write_guest(struct kvm_vcpu *vcpu, gpa_t gpa, const void *data, size_t len)
{
	return write_guest(vcpu->kvm, vcpu, gpa, data, len);
}
EXPORT_SYMBOL_GPL(vcpu_write_guest);

/* 0 done, 1 memory held something else (now in *old), -EFAULT. The label that the macro defines is per function. */
#define USER_CMPXCHG(bits)								\
static int user_cmpxchg##bits(void __user *p, void *old, const void *new)		\
{											\
	return __try_cmpxchg_user((u##bits __user *)p, (u##bits *)old, *(const u##bits *)new, fault); \
}
USER_CMPXCHG(8)
USER_CMPXCHG(16)
USER_CMPXCHG(32)
USER_CMPXCHG(64)

static int user_cmpxchg(void __user *p, unsigned int len, void *old, const void *new, bool *done)
{
	int ret;

	switch (len) {
	case 1:
		ret = user_cmpxchg8(p, old, new);
		break;
	case 2:
		ret = user_cmpxchg16(p, old, new);
		break;
	case 4:
		ret = user_cmpxchg32(p, old, new);
		break;
	case 8:
		ret = user_cmpxchg64(p, old, new);
		break;
	case 16:
		return user_cmpxchg_pair(p, old, new, done);
	default:
		return -EFAULT;
	}
	*done = !ret;
	return min(ret, 0);
}

int vcpu_cmpxchg_guest(struct kvm_vcpu *vcpu, gpa_t gpa, unsigned int len, void *old, const void *new, bool *done)
{
	struct memslot *s = vcpu_slot(vcpu, gfn_of(gpa));
	void __user *p;
	int err;

	*done = false;
	if (!s || (s->flags & KVM_MEM_READONLY) || !len)
		return -EFAULT;
	if (offset_in_page(gpa.v) + len > PAGE_SIZE || (len == 16 && (gpa.v & 15)))
		return -EFAULT;
	if ((gpa.v & (GUEST_LINE - 1)) + len > GUEST_LINE && !user_cmpxchg_may_split())
		return -EFAULT;
	p = hva_ptr(hva_of(s, gpa));
	if (!access_ok(p, len))
		return -EFAULT;
	err = user_cmpxchg(p, len, old, new, done);
	if (*done)
		slot_mark_dirty(vcpu->kvm, s, gfn_of(gpa));
	return err;
}
EXPORT_SYMBOL_GPL(vcpu_cmpxchg_guest);

/* Looks the slot up again; NULL when the range is not in one slot, and then each access goes the long way. */
static void cache_fill(struct kvm *kvm, struct gpa_cache *c, gpa_t gpa, u32 len)
{
	const struct memslots *s = kvm_slots(kvm, 0);

	c->generation = READ_ONCE(s->generation);
	c->gpa = gpa;
	c->len = len;
	c->slot = memslots_find(s, gfn_of(gpa));
	if (c->slot && within(c->slot, gpa, len) < len)
		c->slot = NULL;
	if (c->slot)
		c->hva = hva_of(c->slot, gpa);
}

int gpa_cache_init(struct kvm *kvm, struct gpa_cache *c, gpa_t gpa, u32 len)
{
	u64 end = gpa.v + len;
	struct memslot *s;

	if (!len || end < gpa.v)
		return -EINVAL;
	cache_fill(kvm, c, gpa, len);
	if (c->slot)
		return 0;
	/* Across slots, then, but every byte in one. */
	while (gpa.v < end) {
		s = kvm_slot(kvm, 0, gfn_of(gpa));
		if (!s)
			return -EFAULT;
		gpa = gpa_of(GFN(s->base.v + s->npages));
	}
	return 0;
}
EXPORT_SYMBOL_GPL(gpa_cache_init);

/* Is the part within what was asked for at the start, and is the slot known? */
static bool cache_ready(struct kvm *kvm, struct gpa_cache *c)
{
	if (unlikely(c->generation != READ_ONCE(kvm_slots(kvm, 0)->generation)))
		cache_fill(kvm, c, c->gpa, c->len);
	return c->slot;
}

static bool cache_spans(const struct gpa_cache *c, u32 offset, u32 len)
{
	return offset <= c->len && len <= c->len - offset;
}

int gpa_cache_read(struct kvm *kvm, struct gpa_cache *c, void *data, u32 offset, u32 len)
{
	if (!cache_spans(c, offset, len))
		return -EFAULT;
	if (!cache_ready(kvm, c))
		return kvm_read_guest(kvm, GPA(c->gpa.v + offset), data, len);
	return copy_from_user(data, hva_ptr(c->hva) + offset, len) ? -EFAULT : 0;
}
EXPORT_SYMBOL_GPL(gpa_cache_read);

int gpa_cache_write(struct kvm *kvm, struct gpa_cache *c, const void *data, u32 offset, u32 len)
{
	unsigned long left;

	if (!cache_spans(c, offset, len) || !len)
		return len ? -EFAULT : 0;
	if (!cache_ready(kvm, c))
		return kvm_write_guest(kvm, GPA(c->gpa.v + offset), data, len);
	if (c->slot->flags & KVM_MEM_READONLY)
		return -EFAULT;
	left = copy_to_user(hva_ptr(c->hva) + offset, data, len);
	mark_written(kvm, c->slot, GPA(c->gpa.v + offset), len);
	return left ? -EFAULT : 0;
}
EXPORT_SYMBOL_GPL(gpa_cache_write);

/* Without sleeping: the page if the VMM's tables have it ready for writing, whatever is asked. */
static bool page_fast(hva_t hva, struct host_page *hp)
{
	if (get_user_pages_fast_only(hva.v, 1, FOLL_WRITE, &hp->page) != 1) {
		hp->page = NULL;
		return false;
	}
	hp->hfn = HFN(page_to_pfn(hp->page));
	hp->writable = true;
	return true;
}

/* Device memory and the like: a frame without a page of the kernel's behind it. */
static enum pin_result pfnmap_get(struct kvm *kvm, hva_t hva, bool write, struct host_page *hp)
{
	struct vm_area_struct *vma;
	enum pin_result ret = PIN_FAULT;
	bool unlocked = false;
	unsigned long pfn;
	int err;

	mmap_read_lock(kvm->mm);
	vma = vma_lookup(kvm->mm, hva.v);
	if (!vma || !(vma->vm_flags & (VM_IO | VM_PFNMAP)))
		goto out;
	err = compat_follow_pfn(vma, hva.v, &pfn, &hp->writable);
	if (err || (write && !hp->writable)) {
		if (fixup_user_fault(kvm->mm, hva.v, write ? FAULT_FLAG_WRITE : 0, &unlocked))
			goto out;
		/* The lock was given up on the way: vma may be gone. */
		if (unlocked) {
			ret = PIN_AGAIN;
			goto out;
		}
		err = compat_follow_pfn(vma, hva.v, &pfn, &hp->writable);
	}
	if (!err && (!write || hp->writable)) {
		hp->hfn = HFN(pfn);
		hp->page = NULL;
		ret = PIN_OK;
	}
out:
	mmap_read_unlock(kvm->mm);
	return ret;
}

static enum pin_result page_slow(struct kvm *kvm, hva_t hva, bool write, struct host_page *hp)
{
	const unsigned int flags = FOLL_HWPOISON | COMPAT_FOLL_INTERRUPTIBLE | (write ? FOLL_WRITE : 0);
	struct host_page better;
	long n;

	n = get_user_pages_unlocked(hva.v, 1, &hp->page, flags);
	switch (n) {
	case 1:
		break;
	case -EHWPOISON:
		return PIN_HWPOISON;
	case -EINTR:
	case -ERESTARTSYS:
		return PIN_INTR;
	case -EAGAIN:
	case -EBUSY:
		return PIN_AGAIN;
	default:
		return pfnmap_get(kvm, hva, write, hp);
	}
	hp->hfn = HFN(page_to_pfn(hp->page));
	hp->writable = write;
	/* Brought in for reading; if the tables happen to allow writing, that spares a second fault. */
	if (!write && page_fast(hva, &better)) {
		put_page(hp->page);
		*hp = better;
	}
	return PIN_OK;
}

enum pin_result host_page_get(struct kvm *kvm, hva_t hva, bool write, bool atomic, struct host_page *hp)
{
	if (page_fast(hva, hp))
		return PIN_OK;
	if (atomic)
		return PIN_AGAIN;
	might_sleep();
	return page_slow(kvm, hva, write, hp);
}
EXPORT_SYMBOL_GPL(host_page_get);

/*
 * Called while the page is mapped (mmu_lock) or was not mapped at all. A page of a file that is mapped for writing
 * is dirty already, because its file system wants to know, so the flag alone is enough.
 */
void host_page_put(struct host_page *hp, bool dirty, bool accessed)
{
	struct page *page = hp->page;

	if (!page)
		return;
	if (!PageReserved(page)) {
		if (dirty && !PageDirty(page))
			SetPageDirty(page);
		if (accessed)
			mark_page_accessed(page);
	}
	put_page(page);
	hp->page = NULL;
}
EXPORT_SYMBOL_GPL(host_page_put);

/* IRQs off keep page tables from being freed under the walk, on any CPU. */
static int mapping_level(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgdp, pgd;
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t pmd;

	pgdp = pgd_offset(mm, addr);
	pgd = READ_ONCE(*pgdp);
	if (pgd_none(pgd))
		return 1;
	p4dp = p4d_offset_lockless(pgdp, pgd, addr);
	p4d = READ_ONCE(*p4dp);
	if (p4d_none(p4d) || !p4d_present(p4d))
		return 1;
	pudp = pud_offset_lockless(p4dp, p4d, addr);
	pud = READ_ONCE(*pudp);
	if (pud_none(pud) || !pud_present(pud))
		return 1;
	if (pud_leaf(pud))
		return 3;
	pmd = READ_ONCE(*pmd_offset_lockless(pudp, pud, addr));
	if (pmd_none(pmd) || !pmd_present(pmd))
		return 1;
	return pmd_leaf(pmd) ? 2 : 1;
}

int host_mapping_level(struct kvm *kvm, hva_t hva)
{
	unsigned long flags;
	int level;

	local_irq_save(flags);
	level = mapping_level(kvm->mm, hva.v);
	local_irq_restore(flags);
	return level;
}
EXPORT_SYMBOL_GPL(host_mapping_level);
