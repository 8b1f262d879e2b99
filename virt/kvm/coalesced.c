// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coalesced I/O zones: a write inside one is put into the ring instead of making the VMM run.
 *
 * A zone is a device on the MMIO or PIO bus. The ring page is shared with the VMM, which may write anything into it
 * at any time: its two indexes are read once and checked, and nothing that was read from it is used otherwise.
 * When there is no room (or the indexes make no sense) the write is not ours and goes to the VMM as an exit, which
 * empties the ring first.
 *
 * Writers run in kvm->srcu on any vCPU's thread, and meet under coalesced.lock; zones change under kvm->slots_lock.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/kvm.h>
#include <kvm/coalesced.h>
#include <kvm/iobus.h>
#include <kvm/vm.h>

#define ZONES_MAX	1000

struct co_zone {
	struct io_device dev;
	struct kvm *kvm;
	struct list_head link;
	struct kvm_coalesced_mmio_zone z;
};

static bool zone_write(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, const void *data)
{
	struct co_zone *zone = container_of(d, struct co_zone, dev);
	struct kvm_coalesced_mmio_ring *ring = zone->kvm->coalesced.ring;
	struct kvm_coalesced_mmio *slot;
	u32 put, next;
	bool room;

	if (len < 1 || len > sizeof(slot->data))
		return false;
	spin_lock(&zone->kvm->coalesced.lock);
	put = READ_ONCE(ring->last);
	next = put + 1 == KVM_COALESCED_MMIO_MAX ? 0 : put + 1;
	room = put < KVM_COALESCED_MMIO_MAX && next != READ_ONCE(ring->first);
	if (room) {
		slot = &ring->coalesced_mmio[array_index_nospec(put, KVM_COALESCED_MMIO_MAX)];
		slot->phys_addr = addr;
		slot->len = len;
		memcpy(slot->data, data, len);
		slot->pio = zone->z.pio;
		smp_wmb();	/* whoever sees the index sees the entry */
		WRITE_ONCE(ring->last, next);
	}
	spin_unlock(&zone->kvm->coalesced.lock);
	return room;
}

static void zone_free(struct io_device *d)
{
	struct co_zone *zone = container_of(d, struct co_zone, dev);

	list_del(&zone->link);
	kfree(zone);
}

static const struct io_device_ops zone_ops = { .write = zone_write, .free = zone_free };

int coalesced_init(struct kvm *kvm)
{
	BUILD_BUG_ON(sizeof(struct kvm_coalesced_mmio_ring) > PAGE_SIZE);
	spin_lock_init(&kvm->coalesced.lock);
	INIT_LIST_HEAD(&kvm->coalesced.zones);
	kvm->coalesced.ring = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return kvm->coalesced.ring ? 0 : -ENOMEM;
}

void coalesced_free(struct kvm *kvm)
{
	free_page((unsigned long)kvm->coalesced.ring);
	kvm->coalesced.ring = NULL;
}

static enum io_bus_id zone_bus(const struct kvm_coalesced_mmio_zone *z)
{
	return z->pio ? BUS_PIO : BUS_MMIO;
}

static bool zone_sane(const struct kvm_coalesced_mmio_zone *z)
{
	return z->pio <= 1 && z->size && z->addr + z->size > z->addr;
}

long vm_coalesced_register(struct kvm_call *c)
{
	const struct kvm_coalesced_mmio_zone *z = c->arg;
	struct kvm *kvm = c->kvm;
	struct co_zone *zone;
	unsigned int n = 0;
	int err;

	lockdep_assert_held(&kvm->slots_lock);
	if (!zone_sane(z))
		return -EINVAL;
	list_for_each_entry(zone, &kvm->coalesced.zones, link)
		n++;
	if (n >= ZONES_MAX)
		return -ENOSPC;
	zone = kzalloc(sizeof(*zone), GFP_KERNEL_ACCOUNT);
	if (!zone)
		return -ENOMEM;
	zone->dev.ops = &zone_ops;
	zone->kvm = kvm;
	zone->z = *z;
	err = io_bus_add(kvm, zone_bus(z), z->addr, z->size, &zone->dev);
	if (err) {
		kfree(zone);
		return err;
	}
	list_add_tail(&zone->link, &kvm->coalesced.zones);
	return 0;
}

/* Every zone that holds the range named: what the VMM says must no longer be coalesced is not. */
long vm_coalesced_unregister(struct kvm_call *c)
{
	const struct kvm_coalesced_mmio_zone *z = c->arg;
	struct kvm *kvm = c->kvm;
	struct co_zone *zone, *next;

	lockdep_assert_held(&kvm->slots_lock);
	if (!zone_sane(z))
		return -EINVAL;
	list_for_each_entry_safe(zone, next, &kvm->coalesced.zones, link) {
		if (zone->z.pio != z->pio || z->addr < zone->z.addr ||
		    z->addr - zone->z.addr > zone->z.size || z->size > zone->z.size - (z->addr - zone->z.addr))
			continue;
		if (!io_bus_remove(kvm, zone_bus(&zone->z), &zone->dev))
			zone_free(&zone->dev);
	}
	return 0;
}
