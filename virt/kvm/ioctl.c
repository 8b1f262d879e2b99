// SPDX-License-Identifier: GPL-2.0-only
/*
 * From an ioctl number to its handler. Two sorted tables a file kind, virt/kvm's and the architecture's, are searched
 * by halves; the whole command decides, because the ABI reuses numbers with another direction or size. What a
 * handler needs round it (its argument in kernel memory, locks, the vCPU on this CPU) is a flag of its row.
 *
 * Locks in this order: kvm->lock or vcpu->mutex, kvm->slots_lock, kvm->srcu for reading. No row has the first two
 * together: a vCPU's mutex is held for as long as the VMM lets the guest run.
 *
 * The caller has checked that the process may use the file at all (core_usable()).
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/arch.h>
#include <kvm/core.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

/* Arguments up to here live on the stack; larger ones are few and rare. */
#define ARG_ON_STACK	512

static int row_cmp(const struct kvm_ioctl *row, u32 cmd)
{
	unsigned int a = _IOC_NR(row->cmd), b = _IOC_NR(cmd);

	if (a != b)
		return a < b ? -1 : 1;
	if (row->cmd != cmd)
		return row->cmd < cmd ? -1 : 1;
	return 0;
}

static const struct kvm_ioctl *table_find(const struct kvm_ioctl_table *t, u32 cmd)
{
	unsigned int lo = 0, hi = t->n;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;
		int c = row_cmp(&t->row[mid], cmd);

		if (!c)
			return &t->row[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static long call_loaded(const struct kvm_ioctl *row, struct kvm_call *c)
{
	long ret;

	if (!(row->flags & IOC_LOAD))
		return row->fn(c);
	vcpu_load(c->vcpu);
	ret = row->fn(c);
	vcpu_put(c->vcpu);
	return ret;
}

static long call_in_srcu(const struct kvm_ioctl *row, struct kvm_call *c)
{
	struct kvm *kvm = c->kvm;
	int idx = srcu_read_lock(&kvm->srcu);
	long ret = call_loaded(row, c);

	srcu_read_unlock(&kvm->srcu, idx);
	return ret;
}

/* Takes what the row asks for, in the order of this file's head, and gives it back. */
static long call_locked(const struct kvm_ioctl *row, struct kvm_call *c)
{
	const u32 locks = row->flags & (IOC_VM_LOCK | IOC_SLOTS_LOCK);
	struct kvm_vcpu *vcpu = row->flags & IOC_NO_MUTEX ? NULL : c->vcpu;
	long ret;

	if (vcpu && mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	if (locks & IOC_VM_LOCK)
		mutex_lock(&c->kvm->lock);
	if (locks & IOC_SLOTS_LOCK)
		mutex_lock(&c->kvm->slots_lock);

	ret = vcpu && !locks ? call_in_srcu(row, c) : call_loaded(row, c);

	if (locks & IOC_SLOTS_LOCK)
		mutex_unlock(&c->kvm->slots_lock);
	if (locks & IOC_VM_LOCK)
		mutex_unlock(&c->kvm->lock);
	if (vcpu)
		mutex_unlock(&vcpu->mutex);
	return ret;
}

static long call_copied(const struct kvm_ioctl *row, struct kvm_call *c)
{
	bool in = _IOC_DIR(row->cmd) & _IOC_WRITE;
	bool out = (_IOC_DIR(row->cmd) & _IOC_READ) && !(row->flags & IOC_NO_OUT);
	size_t size = _IOC_SIZE(row->cmd);
	long ret = -EFAULT;

	/* What a handler leaves unwritten must not show the kernel's memory. */
	if (!in)
		memset(c->arg, 0, size);
	else if (copy_from_user(c->arg, c->uarg, size))
		return ret;
	ret = call_locked(row, c);
	if (ret >= 0 && out && copy_to_user(c->uarg, c->arg, size))
		ret = -EFAULT;
	return ret;
}

long core_ioctl(const struct kvm_ioctl_table *core, const struct kvm_ioctl_table *arch, u32 cmd, struct kvm_call *c)
{
	const struct kvm_ioctl *row = table_find(core, cmd) ?: table_find(arch, cmd);
	u64 small[ARG_ON_STACK / sizeof(u64)];
	size_t size;
	long ret;

	if (!row)
		return -ENOTTY;
	size = _IOC_SIZE(cmd);
	if ((row->flags & IOC_RAW) || !size)
		return call_locked(row, c);
	if (size <= sizeof(small)) {
		c->arg = small;
		return call_copied(row, c);
	}
	c->arg = kvmalloc(size, GFP_KERNEL_ACCOUNT);
	if (!c->arg)
		return -ENOMEM;
	ret = call_copied(row, c);
	kvfree(c->arg);
	return ret;
}

static bool row_sane(const struct kvm_ioctl *row, bool vm, bool vcpu)
{
	if (!row->fn || _IOC_TYPE(row->cmd) != KVMIO)
		return false;
	if (!vm && (row->flags & (IOC_VM_LOCK | IOC_SLOTS_LOCK)))
		return false;
	if (!vcpu && (row->flags & (IOC_LOAD | IOC_NO_MUTEX)))
		return false;
	/* Without the mutex another thread may be running it; with it kvm->lock would be held up. */
	if (row->flags & IOC_NO_MUTEX)
		return !(row->flags & IOC_LOAD);
	return !vcpu || !(row->flags & IOC_VM_LOCK);
}

/* Every row in order, sane, and not in other. */
static bool table_ok(const struct kvm_ioctl_table *t, const struct kvm_ioctl_table *other, bool vm, bool vcpu)
{
	unsigned int i;

	for (i = 0; i < t->n; i++) {
		const struct kvm_ioctl *row = &t->row[i];

		if (i && row_cmp(row - 1, row->cmd) >= 0) {
			pr_err("ioctl %#x is not in its place\n", row->cmd);
			return false;
		}
		if (!row_sane(row, vm, vcpu)) {
			pr_err("ioctl %#x has a row that contradicts itself\n", row->cmd);
			return false;
		}
		if (table_find(other, row->cmd)) {
			pr_err("ioctl %#x has two handlers\n", row->cmd);
			return false;
		}
	}
	return true;
}

int core_ioctl_check(void)
{
	static const struct {
		const struct kvm_ioctl_table *core, *arch;
		bool vm, vcpu;
	} file[] = {
		{ &core_dev_ioctls, &arch_dev_ioctls, false, false },
		{ &core_vm_ioctls, &arch_vm_ioctls, true, false },
		{ &core_vcpu_ioctls, &arch_vcpu_ioctls, true, true },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(file); i++) {
		if (!table_ok(file[i].core, file[i].arch, file[i].vm, file[i].vcpu) ||
		    !table_ok(file[i].arch, file[i].core, file[i].vm, file[i].vcpu))
			return -EINVAL;
	}
	return 0;
}
