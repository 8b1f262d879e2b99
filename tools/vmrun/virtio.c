// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio over MMIO (virtio 1.1, 4.2), split virtqueues. The guest's notification is an ioeventfd, so that it does not leave
 * the kernel; a thread a device waits for it, serves the queues and raises the interrupt by irqfd.
 *
 * d->lock is for the registers and queues; the guest's rings are hostile: every index is masked, every address looked up.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include "vmrun.h"

#define QUEUES		2
#define QUEUE_MAX	128
#define CHAIN_MAX	QUEUE_MAX
#define NOTIFY		VIRTIO_MMIO_QUEUE_NOTIFY

struct queue {
	uint32_t num;
	bool ready;
	uint64_t desc, avail, used;
	uint16_t seen;
};

struct virtio {
	struct vm *vm;
	const struct virtio_class *cls;
	void *priv;
	pthread_mutex_t lock;
	uint32_t status, isr, sel, dev_sel, drv_sel;
	uint64_t driver_features;
	struct queue q[QUEUES];
	int kick, irq;		/* eventfds */
	pthread_t thread;
};

void *virtio_priv(struct virtio *d)
{
	return d->priv;
}

/* One descriptor chain of the guest as host pointers; -1 when it is broken. */
static int chain(struct virtio *d, struct queue *q, uint16_t head, struct iov *iov)
{
	struct vring_desc *table = guest_ptr(d->vm, q->desc, q->num * sizeof(*table));
	int n = 0;

	while (table && n < CHAIN_MAX) {
		struct vring_desc desc = table[head % q->num];

		iov[n] = (struct iov){ guest_ptr(d->vm, desc.addr, desc.len), desc.len, desc.flags & VRING_DESC_F_WRITE };
		if (!iov[n++].base || (desc.flags & VRING_DESC_F_INDIRECT))
			return -1;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return n;
		head = desc.next;
	}
	return -1;
}

/* The next request of a queue: number of its buffers, 0 when there is none. d->lock. */
static int pop(struct virtio *d, struct queue *q, struct iov *iov, uint16_t *head)
{
	struct vring_avail *a = q->ready ? guest_ptr(d->vm, q->avail, sizeof(*a) + q->num * 2) : NULL;
	int n;

	while (a && __atomic_load_n(&a->idx, __ATOMIC_ACQUIRE) != q->seen) {
		*head = a->ring[q->seen++ % q->num];
		n = chain(d, q, *head, iov);
		if (n > 0)
			return n;
	}
	return 0;
}

static void push_used(struct virtio *d, struct queue *q, uint16_t head, uint32_t len)
{
	struct vring_used *u = guest_ptr(d->vm, q->used, sizeof(*u) + q->num * sizeof(u->ring[0]));
	struct vring_avail *a = guest_ptr(d->vm, q->avail, sizeof(*a));
	uint64_t one = 1;

	if (!u || !a)
		return;
	u->ring[u->idx % q->num] = (struct vring_used_elem){ .id = head, .len = len };
	__atomic_store_n(&u->idx, u->idx + 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_or_fetch(&d->isr, VIRTIO_MMIO_INT_VRING, __ATOMIC_SEQ_CST);
	if (!(a->flags & VRING_AVAIL_F_NO_INTERRUPT) && write(d->irq, &one, sizeof(one)) != sizeof(one))
		die("irqfd does not take an interrupt");
}

static void *device_thread(void *arg)
{
	struct virtio *d = arg;
	struct iov iov[CHAIN_MAX];
	uint64_t count;
	uint16_t head;
	int i, n;

	while (read(d->kick, &count, sizeof(count)) == sizeof(count)) {
		pthread_mutex_lock(&d->lock);
		for (i = 0; i < d->cls->queues; i++)
			while (i != d->cls->unserved && (n = pop(d, &d->q[i], iov, &head)))
				push_used(d, &d->q[i], head, d->cls->serve(d, i, iov, n));
		pthread_mutex_unlock(&d->lock);
	}
	return NULL;
}

bool virtio_push(struct virtio *d, int qi, const void *data, size_t n)
{
	struct iov iov[CHAIN_MAX];
	uint16_t head;
	bool done = false;

	pthread_mutex_lock(&d->lock);
	if (pop(d, &d->q[qi], iov, &head) && iov[0].device_writes) {
		n = n < iov[0].len ? n : iov[0].len;
		memcpy(iov[0].base, data, n);
		push_used(d, &d->q[qi], head, n);
		done = true;
	}
	pthread_mutex_unlock(&d->lock);
	return done;
}

static void reset(struct virtio *d)
{
	memset(d->q, 0, sizeof(d->q));
	d->status = d->isr = 0;
	d->driver_features = 0;
}

static uint32_t reg_read(struct virtio *d, uint32_t reg)
{
	uint64_t features = d->cls->features | 1ull << VIRTIO_F_VERSION_1;

	switch (reg) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return 0x74726976;
	case VIRTIO_MMIO_VERSION:
		return 2;
	case VIRTIO_MMIO_DEVICE_ID:
		return d->cls->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return 0x4e524d56;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return d->dev_sel < 2 ? features >> (32 * d->dev_sel) : 0;
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return d->sel < (uint32_t)d->cls->queues ? QUEUE_MAX : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return d->sel < QUEUES && d->q[d->sel].ready;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return __atomic_load_n(&d->isr, __ATOMIC_SEQ_CST);
	case VIRTIO_MMIO_STATUS:
		return d->status;
	default:
		return 0;
	}
}

static void set_half(uint64_t *v, bool high, uint32_t val)
{
	*v = high ? (uint32_t)*v | (uint64_t)val << 32 : (*v & ~0xffffffffull) | val;
}

static void queue_write(struct queue *q, uint32_t reg, uint32_t val)
{
	switch (reg) {
	case VIRTIO_MMIO_QUEUE_NUM:
		q->num = val && val <= QUEUE_MAX && !(val & (val - 1)) ? val : QUEUE_MAX;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		q->ready = (val & 1) && q->num;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW: case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&q->desc, reg == VIRTIO_MMIO_QUEUE_DESC_HIGH, val);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW: case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&q->avail, reg == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, val);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW: case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_half(&q->used, reg == VIRTIO_MMIO_QUEUE_USED_HIGH, val);
		break;
	}
}

static void reg_write(struct virtio *d, uint32_t reg, uint32_t val)
{
	uint64_t one = 1;

	switch (reg) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		d->dev_sel = val;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		d->drv_sel = val;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (d->drv_sel < 2)
			set_half(&d->driver_features, d->drv_sel, val);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		d->sel = val;
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		__atomic_and_fetch(&d->isr, ~val, __ATOMIC_SEQ_CST);
		break;
	case VIRTIO_MMIO_STATUS:
		if (!val)
			reset(d);
		else
			d->status = val;
		break;
	case NOTIFY:		/* only when the ioeventfd did not take it */
		if (write(d->kick, &one, sizeof(one)) != sizeof(one))
			die("eventfd is full");
		break;
	default:
		if (d->sel < (uint32_t)d->cls->queues)
			queue_write(&d->q[d->sel], reg, val);
	}
}

static void access_mmio(void *dev, uint32_t offset, void *data, uint32_t len, bool write)
{
	struct virtio *d = dev;
	uint32_t val = 0;

	pthread_mutex_lock(&d->lock);
	if (offset >= VIRTIO_MMIO_CONFIG) {
		if (!write) {
			memset(data, 0, len);
			d->cls->config(d, offset - VIRTIO_MMIO_CONFIG, data, len);
		}
	} else if (write) {
		memcpy(&val, data, len < 4 ? len : 4);
		reg_write(d, offset, val);
	} else {
		memset(data, 0, len);
		val = reg_read(d, offset);
		memcpy(data, &val, len < 4 ? len : 4);
	}
	pthread_mutex_unlock(&d->lock);
}

struct virtio *virtio_create(struct vm *vm, const struct virtio_class *cls, void *priv)
{
	struct virtio *d = calloc(1, sizeof(*d));
	int n = vm->virtio_devices++;
	uint64_t base = VIRTIO_BASE + n * 0x1000ull;

	if (!d || n >= VIRTIO_MAX)
		die("too many virtio devices");
	d->vm = vm;
	d->cls = cls;
	d->priv = priv;
	pthread_mutex_init(&d->lock, NULL);
	d->kick = eventfd(0, EFD_CLOEXEC);
	d->irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->kick < 0 || d->irq < 0)
		die("no eventfd");
	for (int q = 0; q < cls->queues; q++)
		vm_ioeventfd(vm, d->kick, base + NOTIFY, 4, q);
	vm_irqfd(vm, d->irq, VIRTIO_GSI + n);
	bus_add_mmio(base, 0x1000, access_mmio, d);
	if (pthread_create(&d->thread, NULL, device_thread, d))
		die("no thread for a device");
	return d;
}
