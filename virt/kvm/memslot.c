// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory slots: looking them up, and changing them while guests run.
 *
 * A set is an array sorted by guest frame that never changes once published. A change under kvm->slots_lock builds the
 * next array, publishes it and waits until no reader of the old one is left, so what follows (write protection, the
 * freeing of a bitmap) meets nobody who saw the old state. A slot that goes away or moves is first taken out of the
 * set, then, when no fault can still be using it, unmapped.
 *
 * Between these two steps guests may still reach its pages although lookups do not find it. The MMU notifier must, or
 * the host could give away a page under a guest: kvm->leaving names the slot, and is set in the same section of
 * mmu_lock in which the set without it is published, so a notifier, which holds mmu_lock, sees the slot in one place
 * or in the other.
 *
 * Every publication takes a new generation, and all sets carry the latest one: equal generations mean that nothing
 * has changed since. kvm->slots_generation itself follows when the readers of the old set are gone.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/abi.h>
#include <kvm/arch.h>
#include <kvm/core.h>
#include <linux/bitops.h>
#include <linux/export.h>
#include <linux/mman.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

/* The dirty bitmap's interface counts bytes in 32 bits. */
#define SLOT_MAX_PAGES	((1ul << 31) - 1)

struct memslots *kvm_slots(struct kvm *kvm, int as)
{
	return srcu_dereference_check(kvm->slots[as], &kvm->srcu, lockdep_is_held(&kvm->slots_lock));
}
EXPORT_SYMBOL_GPL(kvm_slots);

/* Index of the first slot that ends above gfn. */
static unsigned int first_above(const struct memslots *s, gfn_t gfn)
{
	unsigned int lo = 0, hi = s->n;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (s->slot[mid]->base.v + s->slot[mid]->npages <= gfn.v)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct memslot *memslots_find(const struct memslots *s, gfn_t gfn)
{
	unsigned int i = first_above(s, gfn);
	struct memslot *slot;

	if (i >= s->n)
		return NULL;
	slot = s->slot[array_index_nospec(i, s->n)];
	return slot_has(slot, gfn) ? slot : NULL;
}
EXPORT_SYMBOL_GPL(memslots_find);

struct memslot *kvm_slot(struct kvm *kvm, int as, gfn_t gfn)
{
	return memslots_find(kvm_slots(kvm, as), gfn);
}
EXPORT_SYMBOL_GPL(kvm_slot);

struct memslot *vcpu_slot(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	int as = vcpu->as;
	struct memslots *s = kvm_slots(vcpu->kvm, as);
	u64 generation = READ_ONCE(s->generation);
	struct memslot *slot;

	if (likely(vcpu->last_slot_gen == generation)) {
		slot = vcpu->last_slot[as];
		if (slot && slot_has(slot, gfn))
			return slot;
	} else {
		vcpu->last_slot[0] = NULL;
		vcpu->last_slot[1] = NULL;
		vcpu->last_slot_gen = generation;
	}
	slot = memslots_find(s, gfn);
	if (slot)
		vcpu->last_slot[as] = slot;
	return slot;
}
EXPORT_SYMBOL_GPL(vcpu_slot);

struct memslot *kvm_slot_by_id(struct kvm *kvm, int as, int id)
{
	lockdep_assert_held(&kvm->slots_lock);
	return xa_load(&kvm->slot_ids[as], id);
}
EXPORT_SYMBOL_GPL(kvm_slot_by_id);

void slot_mark_dirty(struct kvm *kvm, struct memslot *s, gfn_t gfn)
{
	u64 rel = gfn.v - s->base.v;

	if (!s->dirty || rel >= s->npages)
		return;
	/* The write comes before the bit, or whoever collects the bit misses the write. */
	smp_mb__before_atomic();
	set_bit_le(array_index_nospec(rel, s->npages), s->dirty);
}
EXPORT_SYMBOL_GPL(slot_mark_dirty);

static struct memslots *slots_locked(struct kvm *kvm, int as)
{
	return rcu_dereference_protected(kvm->slots[as], lockdep_is_held(&kvm->slots_lock));
}

/* A copy of old without drop and with add in its place; each may be NULL. */
static struct memslots *set_build(const struct memslots *old, const struct memslot *drop, struct memslot *add)
{
	unsigned int n = old->n - !!drop + !!add;
	struct memslots *s = kvmalloc(struct_size(s, slot, n), GFP_KERNEL_ACCOUNT);
	unsigned int i, to = 0;

	if (!s)
		return NULL;
	s->n = n;
	for (i = 0; i < old->n; i++) {
		struct memslot *slot = old->slot[i];

		if (slot == drop)
			continue;
		if (add && add->base.v < slot->base.v) {
			s->slot[to++] = add;
			add = NULL;
		}
		s->slot[to++] = slot;
	}
	if (add)
		s->slot[to] = add;
	return s;
}

/* Consumes the set. On return no reader of the one before is left. */
static void set_publish(struct kvm *kvm, int as, struct memslots *s, struct memslot *leaving)
{
	struct memslots *old = slots_locked(kvm, as);
	u64 generation = kvm->slots_generation + 1;
	int i;

	s->generation = generation;
	write_lock(&kvm->mmu_lock);
	kvm->leaving = leaving;
	rcu_assign_pointer(kvm->slots[as], s);
	write_unlock(&kvm->mmu_lock);
	for (i = 0; i < KVM_ADDRESS_SPACES; i++)
		WRITE_ONCE(slots_locked(kvm, i)->generation, generation);
	/* Readers leave this for the time in the guest, so the wait is short; and VMMs change slots often. */
	synchronize_srcu_expedited(&kvm->srcu);
	WRITE_ONCE(kvm->slots_generation, generation);
	kvfree(old);
}

/* Sets that a change needs, allocated before anything is changed. */
struct change_sets {
	struct memslots *without;	/* DELETE, MOVE */
	struct memslots *with;		/* all but DELETE */
};

static int sets_alloc(struct change_sets *cs, const struct memslots *now, struct memslot *old, struct memslot *new,
		      enum slot_change c)
{
	if (c == SLOT_DELETE || c == SLOT_MOVE)
		cs->without = set_build(now, old, NULL);
	if (c != SLOT_DELETE)
		cs->with = set_build(now, old, new);
	if ((cs->without || c == SLOT_CREATE || c == SLOT_FLAGS) && (cs->with || c == SLOT_DELETE))
		return 0;
	kvfree(cs->without);
	kvfree(cs->with);
	return -ENOMEM;
}

/* Frees what of old did not pass to new (NULL: everything). No reader is left. */
static void slot_free(struct kvm *kvm, struct memslot *old, const struct memslot *new)
{
	if (!new || new->dirty != old->dirty)
		kvfree(old->dirty);
	if (!new || new->arch != old->arch)
		arch_slot_free(kvm, old);
	kfree(old);
}

static void slot_unmap(struct kvm *kvm, struct memslot *slot)
{
	arch_slot_flush(kvm, slot);
	write_lock(&kvm->mmu_lock);
	kvm->leaving = NULL;
	write_unlock(&kvm->mmu_lock);
}

/* Carries out a change; on an error nothing has changed and new is the caller's still. */
static int change_apply(struct kvm *kvm, struct memslot *old, struct memslot *new, enum slot_change c)
{
	const struct memslot *any = new ?: old;
	struct xarray *ids = &kvm->slot_ids[any->as];
	struct change_sets cs = { };
	int err;

	err = sets_alloc(&cs, slots_locked(kvm, any->as), old, new, c);
	if (err)
		return err;
	if (c == SLOT_CREATE)
		err = xa_reserve(ids, new->id, GFP_KERNEL_ACCOUNT);
	if (!err)
		err = arch_slot_prepare(kvm, old, new, c);
	if (err) {
		if (c == SLOT_CREATE)
			xa_release(ids, new->id);
		kvfree(cs.without);
		kvfree(cs.with);
		return err;
	}

	if (cs.without) {
		set_publish(kvm, any->as, cs.without, old);
		slot_unmap(kvm, old);
	}
	if (cs.with) {
		set_publish(kvm, any->as, cs.with, NULL);
		xa_store(ids, new->id, new, GFP_KERNEL_ACCOUNT);	/* the place is there already */
	} else {
		xa_erase(ids, old->id);
	}
	arch_slot_commit(kvm, old, new, c);
	if (old)
		slot_free(kvm, old, new);
	return 0;
}

static bool overlaps(const struct memslots *s, gfn_t base, u64 npages, const struct memslot *except)
{
	unsigned int i = first_above(s, base);

	for (; i < s->n && s->slot[i]->base.v < base.v + npages; i++) {
		if (s->slot[i] != except)
			return true;
	}
	return false;
}

/* The bitmap that the flags call for: the old slot's, a fresh one, or none. */
static int slot_dirty_setup(struct kvm *kvm, struct memslot *new, const struct memslot *old)
{
	if (!(new->flags & KVM_MEM_LOG_DIRTY_PAGES)) {
		new->dirty = NULL;
		return 0;
	}
	if (old && old->dirty)
		return 0;
	new->dirty = kvcalloc(2, slot_dirty_bytes(new), GFP_KERNEL_ACCOUNT);
	if (!new->dirty)
		return -ENOMEM;
	if (kvm->dirty_protect & KVM_DIRTY_LOG_INITIALLY_SET)
		bitmap_set(new->dirty, 0, new->npages);
	return 0;
}

/* want: a slot as it shall be; old: as it is, or NULL. Both are valid by themselves. */
static int slot_set(struct kvm *kvm, const struct memslot *want, struct memslot *old)
{
	enum slot_change c = SLOT_CREATE;
	struct memslot *new;
	int err;

	if (old) {
		if (want->npages != old->npages || want->hva.v != old->hva.v ||
		    ((want->flags ^ old->flags) & KVM_MEM_READONLY))
			return -EINVAL;
		if (want->base.v != old->base.v)
			c = SLOT_MOVE;
		else if (want->flags != old->flags)
			c = SLOT_FLAGS;
		else
			return 0;
	}
	if (c != SLOT_FLAGS && overlaps(slots_locked(kvm, want->as), want->base, want->npages, old))
		return -EEXIST;

	new = kmemdup(old ?: want, sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	new->base = want->base;
	new->flags = want->flags;
	err = slot_dirty_setup(kvm, new, old);
	if (!err)
		err = change_apply(kvm, old, new, c);
	if (!err)
		return 0;
	if (!old || new->dirty != old->dirty)
		kvfree(new->dirty);
	kfree(new);
	return err;
}

/* The VMM uses as many address spaces as it was told that there are. */
bool core_slot_number_ok(struct kvm *kvm, u16 as, u16 id)
{
	return as < KVM_ADDRESS_SPACES && as < core_check_extension(kvm, KVM_CAP_MULTI_ADDRESS_SPACE) &&
	       id < KVM_USER_SLOTS;
}

long core_set_region(struct kvm *kvm, const struct kvm_userspace_memory_region *r)
{
	const u64 unaligned = (r->guest_phys_addr | r->memory_size | r->userspace_addr) & ~PAGE_MASK;
	struct memslot want = {
		.base = GFN(r->guest_phys_addr >> PAGE_SHIFT),
		.npages = r->memory_size >> PAGE_SHIFT,
		.hva = HVA(r->userspace_addr),
		.flags = r->flags,
		.id = r->slot & 0xffff,
		.as = r->slot >> 16,
	};
	struct memslot *old;

	lockdep_assert_held(&kvm->slots_lock);
	if (r->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	if (!core_slot_number_ok(kvm, want.as, want.id) || unaligned)
		return -EINVAL;
	if (r->guest_phys_addr + r->memory_size < r->guest_phys_addr || want.npages > SLOT_MAX_PAGES)
		return -EINVAL;
	if (!access_ok(hva_ptr(want.hva), r->memory_size))
		return -EINVAL;
	want.as = array_index_nospec(want.as, KVM_ADDRESS_SPACES);
	old = kvm_slot_by_id(kvm, want.as, want.id);
	if (want.npages)
		return slot_set(kvm, &want, old);
	return old ? change_apply(kvm, old, NULL, SLOT_DELETE) : -EINVAL;
}

/* Takes the private slot out of the first n address spaces; these changes can only fail for memory. */
static void private_delete(struct kvm *kvm, u16 id, int n)
{
	struct memslot *old;
	hva_t hva = HVA(0);
	u64 size = 0;

	while (n--) {
		old = kvm_slot_by_id(kvm, n, id);
		if (!old)
			continue;
		hva = old->hva;
		size = old->npages << PAGE_SHIFT;
		if (change_apply(kvm, old, NULL, SLOT_DELETE))
			return;
	}
	/* When the VM is torn down by somebody else, its mm unmaps for itself. */
	if (size && current->mm == kvm->mm)
		vm_munmap(hva.v, size);
}

int kvm_private_slot(struct kvm *kvm, u16 id, gpa_t gpa, u64 size)
{
	struct memslot want = { .base = gfn_of(gpa), .npages = size >> PAGE_SHIFT, .id = id };
	unsigned long hva;
	int err = 0, as;

	lockdep_assert_held(&kvm->slots_lock);
	if (id < KVM_USER_SLOTS || ((gpa.v | size) & ~PAGE_MASK))
		return -EINVAL;
	if (!size) {
		private_delete(kvm, id, KVM_ADDRESS_SPACES);
		return 0;
	}
	if (kvm_slot_by_id(kvm, 0, id))
		return -EEXIST;
	if (current->mm != kvm->mm)
		return -EIO;
	hva = vm_mmap(NULL, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(hva))
		return hva;
	want.hva = HVA(hva);
	for (as = 0; as < KVM_ADDRESS_SPACES && !err; as++) {
		want.as = as;
		err = slot_set(kvm, &want, NULL);
	}
	if (!err)
		return 0;
	/* The one that failed is not there. */
	if (as > 1)
		private_delete(kvm, id, as - 1);
	else
		vm_munmap(hva, size);
	return err;
}
EXPORT_SYMBOL_GPL(kvm_private_slot);

int core_slots_init(struct kvm *kvm)
{
	struct memslots *s;
	int as;

	for (as = 0; as < KVM_ADDRESS_SPACES; as++)
		xa_init(&kvm->slot_ids[as]);
	for (as = 0; as < KVM_ADDRESS_SPACES; as++) {
		s = kvzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
		if (!s) {
			core_slots_free(kvm);
			return -ENOMEM;
		}
		rcu_assign_pointer(kvm->slots[as], s);
	}
	return 0;
}

/* Nobody else knows the VM any more. */
void core_slots_free(struct kvm *kvm)
{
	unsigned int i;
	int as;

	for (as = 0; as < KVM_ADDRESS_SPACES; as++) {
		struct memslots *s = rcu_dereference_protected(kvm->slots[as], true);

		RCU_INIT_POINTER(kvm->slots[as], NULL);
		for (i = 0; s && i < s->n; i++)
			slot_free(kvm, s->slot[i], NULL);
		kvfree(s);
		xa_destroy(&kvm->slot_ids[as]);
	}
}
