/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices that the VMM creates by KVM_CREATE_DEVICE and configures through a file of their own. They live until the
 * VM does (kvm->devices), whether or not their file is open. virt/kvm/device.c has the table of types.
 */
#ifndef KVM_DEVICE_H
#define KVM_DEVICE_H

#include <kvm/types.h>
#include <linux/kvm.h>
#include <linux/list.h>

struct kvm_device;

struct kvm_device_class {
	u32 type;			/* KVM_DEV_TYPE_* */
	const char *name;		/* of its file */
	/* kvm->lock held; -EBUSY and the like when the VM cannot have another one. */
	int (*create)(struct kvm_device *d);
	void (*destroy)(struct kvm_device *d);		/* the VM goes away; no file is open any more */
	/* -ENXIO: no such attribute. May sleep; callers may be many. */
	long (*set_attr)(struct kvm_device *d, const struct kvm_device_attr *a);
	long (*get_attr)(struct kvm_device *d, const struct kvm_device_attr *a);
	long (*has_attr)(struct kvm_device *d, const struct kvm_device_attr *a);
};

struct kvm_device {
	const struct kvm_device_class *type;
	struct kvm *kvm;
	void *data;
	struct list_head link;		/* kvm->devices */
};

extern const struct kvm_device_class vfio_device_type;

#endif
