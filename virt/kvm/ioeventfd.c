// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfd: a guest write to a port or address signals an eventfd, and the guest goes on at once.
 *
 * It is a device on the bus that takes writes of its length (any, if 0) and, with DATAMATCH, of its value only; so
 * several may share an address. One that takes any length on the MMIO bus is also put on BUS_FAST_MMIO, where a vendor
 * looks with the address alone, before anybody decodes the instruction.
 *
 * Changes under kvm->slots_lock; writes in kvm->srcu. It goes by DEASSIGN or with the VM's buses; the eventfd itself
 * may be closed at any time, we keep its context.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/eventfd.h>
#include <linux/kvm.h>
#include <linux/slab.h>
#include <compat/eventfd.h>
#include <kvm/eventfd.h>
#include <kvm/iobus.h>
#include <kvm/vm.h>

#define IOEVENTFD_FLAGS	(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN)

struct ioeventfd {
	struct io_device dev;
	struct io_device fast;		/* on BUS_FAST_MMIO, if any length */
	struct list_head link;		/* in kvm->ioeventfds */
	struct eventfd_ctx *event;
	u64 addr, data;
	u32 len;
	bool any_data;
	u8 bus;
};

#define LOW_PART_IS(type, data, val) ({ type t; memcpy(&t, data, sizeof(t)); t == (type)(val); })

static bool same_value(const struct ioeventfd *e, int len, const void *data)
{
	switch (len) {
	case 1:
		return LOW_PART_IS(u8, data, e->data);
	case 2:
		return LOW_PART_IS(u16, data, e->data);
	case 4:
		return LOW_PART_IS(u32, data, e->data);
	case 8:
		return LOW_PART_IS(u64, data, e->data);
	}
	return false;
}

static bool doorbell(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, const void *data)
{
	const struct ioeventfd *e = container_of(d, struct ioeventfd, dev);

	if (addr != e->addr || (e->len && len != e->len))
		return false;
	if (!e->any_data && !same_value(e, len, data))
		return false;
	compat_eventfd_signal(e->event);
	return true;
}

static bool doorbell_fast(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, const void *data)
{
	const struct ioeventfd *e = container_of(d, struct ioeventfd, fast);

	if (addr != e->addr)
		return false;
	compat_eventfd_signal(e->event);
	return true;
}

static void doorbell_free(struct io_device *d)
{
	struct ioeventfd *e = container_of(d, struct ioeventfd, dev);

	list_del(&e->link);
	eventfd_ctx_put(e->event);
	kfree(e);
}

static const struct io_device_ops doorbell_ops = { .write = doorbell, .free = doorbell_free };
static const struct io_device_ops fast_ops = { .write = doorbell_fast };

static bool has_fast(const struct ioeventfd *e)
{
	return e->bus == BUS_MMIO && !e->len;
}

/* Two that would take the same write. */
static bool collide(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (a->bus != b->bus || a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len && (a->any_data || b->any_data || a->data == b->data);
}

static long assign(struct kvm *kvm, struct ioeventfd *e)
{
	struct ioeventfd *other;
	int err;

	list_for_each_entry(other, &kvm->ioeventfds, link)
		if (collide(e, other))
			return -EEXIST;
	err = io_bus_add(kvm, e->bus, e->addr, e->len, &e->dev);
	if (err)
		return err;
	if (has_fast(e)) {
		err = io_bus_add(kvm, BUS_FAST_MMIO, e->addr, 0, &e->fast);
		if (err) {
			io_bus_remove(kvm, e->bus, &e->dev);
			return err;
		}
	}
	list_add_tail(&e->link, &kvm->ioeventfds);
	return 0;
}

static long deassign(struct kvm *kvm, const struct ioeventfd *like)
{
	struct ioeventfd *e, *next;

	list_for_each_entry_safe(e, next, &kvm->ioeventfds, link) {
		if (e->bus != like->bus || e->event != like->event || e->addr != like->addr || e->len != like->len ||
		    e->any_data != like->any_data || (!e->any_data && e->data != like->data))
			continue;
		if (has_fast(e))
			io_bus_remove(kvm, BUS_FAST_MMIO, &e->fast);
		io_bus_remove(kvm, e->bus, &e->dev);
		doorbell_free(&e->dev);
		return 0;
	}
	return -ENOENT;
}

static bool args_sane(const struct kvm_ioeventfd *a)
{
	if (a->flags & ~IOEVENTFD_FLAGS || a->addr + a->len < a->addr)
		return false;
	if (a->len > 8 || (a->len & (a->len - 1)))
		return false;
	return a->len || !(a->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
}

long vm_ioeventfd(struct kvm_call *c)
{
	const struct kvm_ioeventfd *a = c->arg;
	struct ioeventfd *e;
	long err;

	lockdep_assert_held(&c->kvm->slots_lock);
	if (!args_sane(a))
		return -EINVAL;
	e = kzalloc(sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	e->dev.ops = &doorbell_ops;
	e->fast.ops = &fast_ops;
	e->bus = a->flags & KVM_IOEVENTFD_FLAG_PIO ? BUS_PIO : BUS_MMIO;
	e->addr = a->addr;
	e->len = a->len;
	e->any_data = !(a->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
	e->data = a->datamatch;
	e->event = eventfd_ctx_fdget(a->fd);
	if (IS_ERR(e->event)) {
		err = PTR_ERR(e->event);
		goto no_event;
	}
	if (!(a->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)) {
		err = assign(c->kvm, e);
		if (!err)
			return 0;
	} else {
		err = deassign(c->kvm, e);
	}
	eventfd_ctx_put(e->event);
no_event:
	kfree(e);
	return err;
}
