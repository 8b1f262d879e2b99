// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's port and memory buses as the kernel's devices see them.
 *
 * A bus is an array of windows sorted by their start, never changed once published, but for one pointer:
 * removal without memory for a new array turns the window's device into one that never answers. Windows may overlap
 * (a doorbell inside a coalesced zone), so each element also carries the furthest end of all windows up to it: a
 * search starts at the last window that begins at or below the address and walks down only as long as something there
 * can still reach it. Of several that contain an access, the one that begins latest and is shortest is asked
 * first, and the first that answers wins. Guests come back to few addresses: where the search for one ended is kept.
 *
 * Lookups run in kvm->srcu; changes under kvm->slots_lock. A replaced array is freed after a grace period without
 * anybody waiting, a removed device is out of use when io_bus_remove() returns.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/slab.h>
#include <kvm/iobus.h>
#include <kvm/vcpu.h>
#include <kvm/vm.h>

#define IO_BUS_MAX	4096	/* windows on one bus: what a VMM can make us allocate */

struct io_window {
	u64 start, end;		/* end excluded; start == end: any length at start exactly */
	u64 reach;		/* furthest last byte of this and all windows before, see contains() */
	struct io_device *dev;
};

#define IO_BUS_HINTS	32

struct io_bus {
	struct rcu_head rcu;
	unsigned int n;
	u16 hint[IO_BUS_HINTS];	/* by address: where a search of this array ended; 0: nowhere yet */
	struct io_window win[];
};

static const struct io_device_ops gone_ops;
static struct io_device gone = { .ops = &gone_ops };

static struct io_bus *bus_locked(struct kvm *kvm, enum io_bus_id bus)
{
	return rcu_dereference_protected(kvm->bus[bus], lockdep_is_held(&kvm->slots_lock));
}

static u64 last_byte(const struct io_window *w)
{
	return w->end > w->start ? w->end - 1 : w->start;
}

static bool contains(const struct io_window *w, u64 addr, int len)
{
	if (w->start == w->end)
		return addr == w->start;
	return addr >= w->start && addr < w->end && (u64)len <= w->end - addr;
}

/* Index one past the last window that begins at or below addr. */
static unsigned int upper_bound(struct io_bus *b, u64 addr)
{
	u16 *hint = &b->hint[(addr ^ addr >> PAGE_SHIFT) % IO_BUS_HINTS];
	unsigned int lo = READ_ONCE(*hint), hi = b->n;

	if (lo && b->win[lo - 1].start <= addr && (lo == hi || b->win[lo].start > addr))
		return lo;
	lo = 0;
	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (b->win[mid].start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	WRITE_ONCE(*hint, lo);
	return lo;
}

bool io_bus_read(struct kvm_vcpu *vcpu, enum io_bus_id bus, u64 addr, int len, void *data)
{
	struct io_bus *b = srcu_dereference(vcpu->kvm->bus[bus], &vcpu->kvm->srcu);
	unsigned int i;

	if (!b)
		return false;
	for (i = upper_bound(b, addr); i && b->win[i - 1].reach >= addr; i--) {
		const struct io_window *w = &b->win[i - 1];
		struct io_device *d;

		if (!contains(w, addr, len))
			continue;
		d = READ_ONCE(w->dev);
		if (d->ops->read && d->ops->read(d, vcpu, addr, len, data))
			return true;
	}
	return false;
}

bool io_bus_write(struct kvm_vcpu *vcpu, enum io_bus_id bus, u64 addr, int len, const void *data)
{
	struct io_bus *b = srcu_dereference(vcpu->kvm->bus[bus], &vcpu->kvm->srcu);
	unsigned int i;

	if (!b)
		return false;
	for (i = upper_bound(b, addr); i && b->win[i - 1].reach >= addr; i--) {
		const struct io_window *w = &b->win[i - 1];
		struct io_device *d;

		if (!contains(w, addr, len))
			continue;
		d = READ_ONCE(w->dev);
		if (d->ops->write && d->ops->write(d, vcpu, addr, len, data))
			return true;
	}
	return false;
}

static void bus_free_rcu(struct rcu_head *rcu)
{
	kvfree(container_of(rcu, struct io_bus, rcu));
}

/* Puts new (or nothing) in old's place; old goes when its last reader has. */
static void publish(struct kvm *kvm, enum io_bus_id bus, struct io_bus *new, struct io_bus *old)
{
	u64 reach = 0;
	unsigned int i;

	for (i = 0; new && i < new->n; i++) {
		reach = max(reach, last_byte(&new->win[i]));
		new->win[i].reach = reach;
	}
	rcu_assign_pointer(kvm->bus[bus], new);
	if (old)
		call_srcu(&kvm->srcu, &old->rcu, bus_free_rcu);
}

/* At one start the shortest window comes last, so that it is asked first. */
static bool sorts_before(const struct io_window *a, const struct io_window *b)
{
	if (a->start != b->start)
		return a->start < b->start;
	return a->end > b->end;
}

int io_bus_add(struct kvm *kvm, enum io_bus_id bus, u64 addr, u32 len, struct io_device *d)
{
	struct io_window w = { .start = addr, .end = addr + len, .dev = d };
	struct io_bus *old, *new;
	unsigned int n, i;

	lockdep_assert_held(&kvm->slots_lock);
	if (w.end < addr)
		return -EINVAL;
	old = bus_locked(kvm, bus);
	n = old ? old->n : 0;
	if (n >= IO_BUS_MAX)
		return -ENOSPC;
	new = kvmalloc(struct_size(new, win, n + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	new->n = n + 1;
	memset(new->hint, 0, sizeof(new->hint));
	for (i = 0; i < n && sorts_before(&old->win[i], &w); i++)
		new->win[i] = old->win[i];
	new->win[i] = w;
	for (; i < n; i++)
		new->win[i + 1] = old->win[i];
	publish(kvm, bus, new, old);
	return 0;
}

/* Without memory the window stays, with nobody behind it. */
static void tombstone(struct io_bus *b, unsigned int at)
{
	WRITE_ONCE(b->win[at].dev, &gone);
}

int io_bus_remove(struct kvm *kvm, enum io_bus_id bus, struct io_device *d)
{
	struct io_bus *old, *new = NULL;
	unsigned int at, i, n = 0;

	lockdep_assert_held(&kvm->slots_lock);
	old = bus_locked(kvm, bus);
	if (!old)
		return -ENOENT;
	for (at = 0; at < old->n && old->win[at].dev != d; at++)
		;
	if (at == old->n)
		return -ENOENT;

	if (old->n > 1)
		new = kvmalloc(struct_size(new, win, old->n - 1), GFP_KERNEL_ACCOUNT);
	if (!new && old->n > 1) {
		tombstone(old, at);
	} else {
		for (i = 0; i < old->n; i++)
			if (i != at && old->win[i].dev != &gone)
				new->win[n++] = old->win[i];
		if (new) {
			new->n = n;
			memset(new->hint, 0, sizeof(new->hint));
		}
		publish(kvm, bus, new, old);
	}
	synchronize_srcu_expedited(&kvm->srcu);
	return 0;
}

/* Nobody looks things up any more. */
void io_bus_destroy(struct kvm *kvm)
{
	unsigned int bus, i;

	for (bus = 0; bus < BUS_COUNT; bus++) {
		struct io_bus *b = rcu_dereference_protected(kvm->bus[bus], true);

		RCU_INIT_POINTER(kvm->bus[bus], NULL);
		if (!b)
			continue;
		for (i = 0; i < b->n; i++)
			if (b->win[i].dev->ops->free)
				b->win[i].dev->ops->free(b->win[i].dev);
		kvfree(b);
	}
	srcu_barrier(&kvm->srcu);	/* arrays that publish() gave up are freed by code of this module */
}
