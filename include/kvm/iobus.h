/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In-kernel devices on the guest's port and memory buses. A bus is an immutable sorted array
 * published under kvm->srcu; a device says whether an access is its own by returning true.
 */
#ifndef KVM_IOBUS_H
#define KVM_IOBUS_H

#include <kvm/types.h>

enum io_bus_id { BUS_PIO, BUS_MMIO, BUS_FAST_MMIO, BUS_COUNT };

struct io_device;

struct io_device_ops {
	/* true: done. Called in kvm->srcu, may sleep; vcpu is the one that made the access. */
	bool (*read)(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, void *data);
	bool (*write)(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, const void *data);
	void (*free)(struct io_device *d);	/* the VM goes away, or the device was removed; may be NULL */
};

struct io_device {
	const struct io_device_ops *ops;
};

/* addr, len: the window. len 0 matches an access of any length at addr exactly. kvm->slots_lock. */
int io_bus_add(struct kvm *kvm, enum io_bus_id bus, u64 addr, u32 len, struct io_device *d);
/* Unpublishes and waits for readers; does not call ops->free. kvm->slots_lock. */
int io_bus_remove(struct kvm *kvm, enum io_bus_id bus, struct io_device *d);
/* true: a device answered. Caller in kvm->srcu. */
bool io_bus_read(struct kvm_vcpu *vcpu, enum io_bus_id bus, u64 addr, int len, void *data);
bool io_bus_write(struct kvm_vcpu *vcpu, enum io_bus_id bus, u64 addr, int len, const void *data);
void io_bus_destroy(struct kvm *kvm);

#endif
