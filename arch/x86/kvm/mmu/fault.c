// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on guest-physical addresses.
 *
 * In order of how often they happen: rights that only need to be given back (dirty logging, parked pages): the fast
 * path, under RCU alone. A page that is not mapped: the VMM's memory is looked up without a lock, then the page
 * is installed under mmu_lock held for read, beside other vCPUs, unless the notifier says that the lookup is stale.
 * No memory: a trap is installed, so that the next access exits as EXIT_MMIO at once.
 *
 * Traps carry nothing. Whether one is still right is asked of the slots (mmu_mmio_valid()), with a small cache of
 * answers that a new generation of slots outdates: so a trap can never be stale in effect, a new slot has nothing
 * to revoke, and no counter can wrap. A trap covers as much as lies between two slots, up to a whole entry of
 * the root: a guest that touches addresses at random gets no table per address out of the host.
 *
 * vCPU thread, in kvm->srcu: the slot found stays what it is until the fault is done, and a slot that goes is flushed
 * after the last such fault. May sleep.
 */
#include <linux/sched/signal.h>

#include "internal.h"

struct fault {
	struct kvm *kvm;
	struct pt_space *sp;
	struct memslot *slot;
	u64 gfn;
	hva_t hva;
	bool write, exec, logging;
};

static unsigned int mmio_hash(u64 gfn)
{
	/* LAPIC fee00, IOAPIC fec00 and HPET fed00 differ above bit 8, a device's pages below */
	return (gfn ^ gfn >> 8) % MMIO_HINTS;
}

bool mmu_mmio_valid(struct x86_vcpu *v, gpa_t gpa)
{
	u64 gfn = gfn_of(gpa).v;
	struct mmio_hint *h = &v->mmu->hint[mmio_hash(gfn)];
	int as = v->vcpu.as;
	const struct memslots *slots = kvm_slots(v->vcpu.kvm, as);
	/* before the search: what it finds holds for this generation at least. 0 marks a hint never filled. */
	u64 generation = READ_ONCE(slots->generation) + 1;

	if (likely(h->gfn == gfn && h->generation == generation && h->as == as))
		return true;
	if (memslots_find(slots, GFN(gfn)))
		return false;
	h->gfn = gfn;
	h->generation = generation;
	h->as = as;
	return true;
}

/* The largest entry round gfn that touches no slot. */
static u8 gap_level(const struct memslots *slots, u64 gfn)
{
	unsigned int lo = 0, hi = slots->n;
	u64 start, end;
	u8 level;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (slots->slot[mid]->base.v <= gfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	start = lo ? slots->slot[lo - 1]->base.v + slots->slot[lo - 1]->npages : 0;
	end = lo < slots->n ? slots->slot[lo]->base.v : pt_limit();
	for (level = pt.levels; level > PT_4K; level--) {
		u64 n = pt_frames(level), first = gfn & ~(n - 1);

		if (first >= start && first + n <= end)
			break;
	}
	return level;
}

/* A trap is a help, not a duty: without it the next access faults here again. */
static enum fault_end fault_no_memory(struct x86_vcpu *v, const struct fault *f)
{
	struct pt_map m = {
		.gfn = f->gfn,
		.level = gap_level(kvm_slots(f->kvm, f->sp->as), f->gfn),
		.trap = true,
	};

	v->vcpu.stat.pf_emulate++;
	if (!pt.trap || pt_cache_fill(&v->mmu->cache, pt.levels))
		return FAULT_MMIO;
	read_lock(&f->kvm->mmu_lock);
	if (pt_map(f->sp, &v->mmu->cache, &m) == PT_DONE)
		v->vcpu.stat.pf_mmio_spte_created++;
	read_unlock(&f->kvm->mmu_lock);
	return FAULT_MMIO;
}

/*
 * Rights to give back without asking anyone: ENT_HOST_W says that the VMM's mapping allows writing, and it would be
 * gone with the whole entry, had the notifier been told otherwise.
 */
static bool fault_fast(const struct fault *f)
{
	bool done = false;
	u64 val, new, *p;
	u8 level;

	rcu_read_lock();
	p = pt_find(f->sp, f->gfn, &level, &val);
	while (ent_is_page(val, level)) {
		new = ent_unpark(val);
		if (f->write && !(new & ENT_W)) {
			if (!(new & ENT_HOST_W) || (f->logging && level > PT_4K))
				break;
			new = ent_allow_write(new);
		}
		if (f->exec && !ent_executable(new))
			break;
		done = new == val || try_cmpxchg64(p, &val, new);
		if (done)
			break;
	}
	rcu_read_unlock();
	/* after the right is there: a harvest in between reports the frame once more, never once too few */
	if (done && f->write && f->logging)
		slot_mark_dirty(f->kvm, f->slot, GFN(f->gfn));
	return done;
}

u8 mmu_slot_level(const struct memslot *slot, u64 gfn)
{
	u64 skew = (slot->hva.v >> PAGE_SHIFT) ^ slot->base.v;
	u8 level;

	for (level = pt.max_page; level > PT_4K; level--) {
		u64 n = pt_frames(level), first = gfn & ~(n - 1);

		if (!(skew & (n - 1)) && first >= slot->base.v && first + n <= slot->base.v + slot->npages)
			break;
	}
	return level;
}

/* mmu_lock held, the lookup known to be fresh: the VMM's page table cannot change its page size meanwhile. */
static u8 fault_level(const struct fault *f, const struct host_page *hp)
{
	u8 level;

	if (f->logging || !hp->page || (f->exec && pt.nx_huge))
		return PT_4K;
	level = mmu_slot_level(f->slot, f->gfn);
	if (level > PT_4K)
		level = min_t(int, level, host_mapping_level(f->kvm, f->hva));
	while (level > PT_4K && (hp->hfn.v ^ f->gfn) & (pt_frames(level) - 1))
		level--;
	return level;
}

static u8 fault_flags(const struct fault *f, const struct host_page *hp)
{
	unsigned long pfn = hp->hfn.v;
	u8 flags = 0;

	if (hp->writable && !(f->slot->flags & KVM_MEM_READONLY))
		flags = ENT_MAY_WRITE | (f->write || !f->logging ? ENT_WRITE_NOW : pt.hw_log ? ENT_WRITE_LOGGED : 0);
	/* what has no struct page, or one that nobody manages, is a device's, but for the page of zeroes */
	if (hp->page || (pfn_valid(pfn) && (is_zero_pfn(pfn) || !PageReserved(pfn_to_page(pfn)))))
		flags |= ENT_IS_RAM;
	/* a device that does not snoop caches sees what the guest writes only by the guest's own memory types */
	if (atomic_read(&f->kvm->noncoherent_dma))
		flags |= ENT_GUEST_TYPE;
	return flags;
}

/* mmu_lock held for read. */
static enum pt_end fault_install(struct x86_vcpu *v, const struct fault *f, struct host_page *hp)
{
	struct pt_map m = {
		.gfn = f->gfn,
		.phys = hpa_of(hp->hfn).v,
		.level = fault_level(f, hp),
		.flags = fault_flags(f, hp),
		.write = f->write,
		.exec = f->exec,
	};
	enum pt_end end = pt_map(f->sp, &v->mmu->cache, &m);

	if (m.flush)
		kvm_flush_remote_tlbs(f->kvm);
	if (m.splits && f->exec && pt.nx_huge)
		f->kvm->stat.nx_lpage_splits += m.splits;
	if (end == PT_DONE && f->write && f->logging)
		slot_mark_dirty(f->kvm, f->slot, GFN(f->gfn));
	host_page_put(hp, end == PT_DONE && m.flags & (ENT_WRITE_NOW | ENT_WRITE_LOGGED), end == PT_DONE);
	return end;
}

static enum fault_end fault_map(struct x86_vcpu *v, const struct fault *f)
{
	struct kvm *kvm = f->kvm;
	struct host_page hp = {};
	enum pt_end end = PT_LOST;
	unsigned long seq;

	mmu_trim(kvm);
	if (pt_cache_fill(&v->mmu->cache, pt.levels)) {
		vcpu_fail(&v->vcpu, -ENOMEM);
		return FAULT_ERROR;
	}
	seq = READ_ONCE(kvm->notifier_seq);
	smp_rmb();	/* seq before the lookup: see notifier_retry() */
	switch (host_page_get(kvm, f->hva, f->write, false, &hp)) {
	case PIN_OK:
		break;
	case PIN_INTR:
	case PIN_AGAIN:
		return FAULT_RETRY;
	case PIN_HWPOISON:
		/* as if the VMM's thread had read the poisoned page itself */
		send_sig_mceerr(BUS_MCEERR_AR, hva_ptr(f->hva), PAGE_SHIFT, current);
		return FAULT_RETRY;
	case PIN_FAULT:
	default:
		vcpu_fail(&v->vcpu, -EFAULT);
		return FAULT_ERROR;
	}
	read_lock(&kvm->mmu_lock);
	if (!notifier_retry(kvm, seq, f->hva))
		end = fault_install(v, f, &hp);
	else
		host_page_put(&hp, false, false);
	read_unlock(&kvm->mmu_lock);
	switch (end) {
	case PT_DONE:
		v->vcpu.stat.pf_fixed++;
		return FAULT_FIXED;
	case PT_SPURIOUS:
		v->vcpu.stat.pf_spurious++;
		return FAULT_FIXED;
	default:
		return FAULT_RETRY;
	}
}

enum fault_end mmu_fault(struct x86_vcpu *v, gpa_t gpa, u64 error)
{
	struct fault f = {
		.kvm = v->vcpu.kvm,
		.sp = mmu_space(v->vcpu.kvm, v->vcpu.as),
		.gfn = gfn_of(gpa).v,
		.write = error & PFERR_W,
		.exec = error & PFERR_I,
	};

	v->vcpu.stat.pf_taken++;
	if (unlikely(f.gfn >= pt_limit())) {
		v->vcpu.stat.pf_emulate++;
		return FAULT_MMIO;
	}
	if (!mmu_need_root(f.sp)) {
		vcpu_fail(&v->vcpu, -ENOMEM);
		return FAULT_ERROR;
	}
	f.slot = vcpu_slot(&v->vcpu, GFN(f.gfn));
	if (!f.slot)
		return fault_no_memory(v, &f);
	if (f.write && f.slot->flags & KVM_MEM_READONLY) {
		v->vcpu.stat.pf_emulate++;
		return FAULT_MMIO;
	}
	f.logging = f.slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
	f.hva = slot_hva(f.slot, GFN(f.gfn));
	/* an absent page has no rights to give back, unless pages are parked */
	if ((error & PFERR_P || !pt.f.accessed) && fault_fast(&f)) {
		v->vcpu.stat.pf_fast++;
		return FAULT_FIXED;
	}
	return fault_map(v, &f);
}
