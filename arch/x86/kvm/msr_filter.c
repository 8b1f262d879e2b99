// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_X86_SET_MSR_FILTER: which MSRs the guest may reach at all. A filter is immutable once published; readers hold
 * kvm->srcu, a writer replaces it under kvm->lock and frees the old one after a grace period. The local APIC's
 * MSRs (800H-8FFH) are never filtered.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/machine.h>
#include "msr.h"

#define FILTER_BITMAP_MAX	0x600		/* bytes */

struct filter_range {
	u32 base, count, flags;
	unsigned long *allowed;
};

struct msr_filter {
	bool default_allow;
	unsigned int n;
	struct filter_range range[KVM_MSR_FILTER_MAX_RANGES];
};

bool msr_allowed(struct x86_vm *vm, u32 msr, bool write)
{
	const struct msr_filter *f = srcu_dereference(vm->msr_filter, &vm->kvm.srcu);
	u32 kind = write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;
	unsigned int i;

	if (likely(!f) || (msr >= 0x800 && msr <= 0x8ff))
		return true;
	for (i = 0; i < f->n; i++) {
		const struct filter_range *r = &f->range[i];

		if ((r->flags & kind) && msr - r->base < r->count)
			return test_bit(array_index_nospec(msr - r->base, r->count), r->allowed);
	}
	return f->default_allow;
}

static void filter_destroy(struct msr_filter *f)
{
	unsigned int i;

	if (!f)
		return;
	for (i = 0; i < f->n; i++)
		kfree(f->range[i].allowed);
	kfree(f);
}

void msr_filter_free(struct x86_vm *vm)
{
	filter_destroy(rcu_dereference_protected(vm->msr_filter, true));
	RCU_INIT_POINTER(vm->msr_filter, NULL);
}

static int filter_add(struct msr_filter *f, const struct kvm_msr_filter_range *in)
{
	struct filter_range *r = &f->range[f->n];
	size_t bytes = BITS_TO_LONGS((u64)in->nmsrs) * sizeof(long);

	if (!in->nmsrs)
		return 0;
	if (!in->flags || (in->flags & ~(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)) || bytes > FILTER_BITMAP_MAX)
		return -EINVAL;
	r->allowed = kmalloc(bytes, GFP_KERNEL_ACCOUNT);
	if (!r->allowed)
		return -ENOMEM;
	r->base = in->base;
	r->count = in->nmsrs;
	r->flags = in->flags;
	f->n++;
	return copy_from_user(r->allowed, (void __user *)in->bitmap, bytes) ? -EFAULT : 0;
}

static struct msr_filter *filter_build(const struct kvm_msr_filter *in)
{
	struct msr_filter *f;
	int i, err = 0;

	if (in->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return ERR_PTR(-EINVAL);
	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return ERR_PTR(-ENOMEM);
	f->default_allow = !(in->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES && !err; i++)
		err = filter_add(f, &in->ranges[i]);
	/* A filter that denies everything cannot be meant: the guest would not run. */
	if (!err && !f->n && !f->default_allow)
		err = -EINVAL;
	if (err) {
		filter_destroy(f);
		return ERR_PTR(err);
	}
	return f;
}

/* kvm->lock is taken by the dispatcher. */
long vm_msr_filter(struct kvm_call *c)
{
	struct x86_vm *vm = x86_vm(c->kvm);
	struct msr_filter *f = filter_build(c->arg), *old;

	if (IS_ERR(f))
		return PTR_ERR(f);
	old = rcu_replace_pointer(vm->msr_filter, f, lockdep_is_held(&c->kvm->lock));
	synchronize_srcu(&c->kvm->srcu);
	filter_destroy(old);
	kvm_request_all(c->kvm, REQ_MSR_FILTER);
	return 0;
}
