/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ioctls as data: a table row names the command, the handler and what the dispatcher does round it.
 * The dispatcher (virt/kvm/ioctl.c) copies _IOC_SIZE bytes in for _IOC_WRITE commands and out for
 * _IOC_READ commands (when the handler returned >= 0), so a handler sees kernel memory only.
 * A vCPU's handlers run in kvm->srcu, which they cannot leave, but for those of IOC_NO_MUTEX, IOC_VM_LOCK and
 * IOC_SLOTS_LOCK rows, which may thus change slots and buses and wait for readers.
 */
#ifndef KVM_IOCTL_H
#define KVM_IOCTL_H

#include <linux/types.h>

struct kvm;
struct kvm_vcpu;

struct kvm_call {
	struct kvm *kvm;		/* NULL on /dev/kvm */
	struct kvm_vcpu *vcpu;		/* NULL but on a vCPU's fd */
	void *arg;			/* the kernel's copy of the structure */
	void __user *uarg;		/* the argument as a pointer, for trailing arrays */
	unsigned long raw;		/* the argument as a number */
};

enum kvm_ioctl_flags {
	IOC_RAW		= 1 << 0,	/* copy nothing: the handler reads raw/uarg itself */
	IOC_VM_LOCK	= 1 << 1,	/* kvm->lock held round the handler */
	IOC_SLOTS_LOCK	= 1 << 2,	/* kvm->slots_lock held (inside kvm->lock when both) */
	IOC_LOAD	= 1 << 3,	/* vCPU ioctl that needs the vCPU loaded on this CPU */
	IOC_NO_MUTEX	= 1 << 4,	/* vCPU ioctl that runs beside KVM_RUN: no vcpu->mutex */
	IOC_NO_OUT	= 1 << 5,	/* _IOC_READ command whose handler copies out itself */
};

struct kvm_ioctl {
	u32 cmd;
	u32 flags;
	long (*fn)(struct kvm_call *c);
};

/* Tables are sorted by _IOC_NR, then by command; checked when the module loads. */
struct kvm_ioctl_table {
	const struct kvm_ioctl *row;
	unsigned int n;
};

#endif
