// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual machine's life and its file.
 *
 * kvm->users counts files (VM, vCPUs, devices, statistics) and vfio's references; the last one tears the VM down in
 * the order of vm_destroy(), where nothing of it runs any more. A VM holds the vendor's module and counts as a user
 * of the scheduler's preemption hooks. It belongs to the mm that made it: ioctls from another one are refused, the MMU
 * notifier tells when the mm goes, and only the mm's structure outlives that, never its pages.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/abi.h>
#include <kvm/arch.h>
#include <kvm/coalesced.h>
#include <kvm/core.h>
#include <kvm/eventfd.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

void kvm_get(struct kvm *kvm)
{
	refcount_inc(&kvm->users);
}
EXPORT_SYMBOL_GPL(kvm_get);

/* The last user is gone, and with it every file: no vCPU runs, no ioctl is under way. */
static void vm_destroy(struct kvm *kvm)
{
	struct module *vendor = kvm->vendor;

	mutex_lock(&kvm_vms_lock);
	list_del(&kvm->link);
	mutex_unlock(&kvm_vms_lock);
	core_stats_vm_del(kvm);
	arch_vm_pre_destroy(kvm);
	core_free_devices(kvm);
	/* Drops every mapping if the mm is still there; else that was done when it went. */
	core_notifier_exit(kvm);
	kvm_free_routing(kvm);
	io_bus_destroy(kvm);
	coalesced_free(kvm);
	core_free_vcpus(kvm);
	core_slots_free(kvm);
	arch_vm_destroy(kvm);
	srcu_barrier(&kvm->srcu);
	srcu_barrier(&kvm->irq_srcu);
	cleanup_srcu_struct(&kvm->irq_srcu);
	cleanup_srcu_struct(&kvm->srcu);
	mmdrop(kvm->mm);
	arch_vm_free(kvm);
	preempt_notifier_dec();
	module_put(vendor);
}

void kvm_put(struct kvm *kvm)
{
	if (refcount_dec_and_test(&kvm->users))
		vm_destroy(kvm);
}
EXPORT_SYMBOL_GPL(kvm_put);

bool kvm_get_kvm_safe(struct kvm *kvm)
{
	return refcount_inc_not_zero(&kvm->users);
}
EXPORT_SYMBOL_GPL(kvm_get_kvm_safe);

void kvm_put_kvm(struct kvm *kvm)
{
	kvm_put(kvm);
}
EXPORT_SYMBOL_GPL(kvm_put_kvm);

static void vm_setup(struct kvm *kvm, struct module *vendor)
{
	kvm->vendor = vendor;
	kvm->mm = current->mm;
	mmgrab(kvm->mm);
	refcount_set(&kvm->users, 1);
	INIT_LIST_HEAD(&kvm->link);
	mutex_init(&kvm->lock);
	mutex_init(&kvm->slots_lock);
	mutex_init(&kvm->irq_lock);
	rwlock_init(&kvm->mmu_lock);
	INIT_HLIST_HEAD(&kvm->irq_ack_list);
	INIT_LIST_HEAD(&kvm->devices);
	atomic_set(&kvm->online_vcpus, 0);
	atomic_set(&kvm->noncoherent_dma, 0);
	snprintf(kvm->stats_id, sizeof(kvm->stats_id), "kvm-%d", task_pid_nr(current));
	kvm_eventfd_init(kvm);
}

/* Complete but for a file and a place in kvm_vms; the caller gave a reference to the vendor's module. */
static struct kvm *vm_create(unsigned long type, struct module *vendor)
{
	struct kvm *kvm = arch_vm_alloc(type);
	int err;

	if (IS_ERR_OR_NULL(kvm))
		return kvm ?: ERR_PTR(-ENOMEM);
	vm_setup(kvm, vendor);
	preempt_notifier_inc();
	err = init_srcu_struct(&kvm->srcu);
	if (err)
		goto free;
	err = init_srcu_struct(&kvm->irq_srcu);
	if (err)
		goto srcu;
	err = core_slots_init(kvm);
	if (err)
		goto irq_srcu;
	err = coalesced_init(kvm);
	if (err)
		goto slots;
	err = arch_vm_init(kvm);
	if (err)
		goto coalesced;
	err = core_notifier_init(kvm);
	if (!err)
		return kvm;

	arch_vm_pre_destroy(kvm);
	kvm_free_routing(kvm);
	io_bus_destroy(kvm);
	arch_vm_destroy(kvm);
coalesced:
	coalesced_free(kvm);
slots:
	core_slots_free(kvm);
irq_srcu:
	cleanup_srcu_struct(&kvm->irq_srcu);
srcu:
	cleanup_srcu_struct(&kvm->srcu);
free:
	preempt_notifier_dec();
	mmdrop(kvm->mm);
	arch_vm_free(kvm);
	return ERR_PTR(err);
}

static long vm_check_extension(struct kvm_call *c)
{
	return core_check_extension(c->kvm, c->raw);
}

static long vm_set_region(struct kvm_call *c)
{
	return core_set_region(c->kvm, c->arg);
}

/* The same request with room for memory that only the guest has, which there is none of: its flag is unknown. */
static long vm_set_region2(struct kvm_call *c)
{
	const struct kvm_userspace_memory_region2 *r = c->arg;
	const struct kvm_userspace_memory_region old = {
		.slot = r->slot,
		.flags = r->flags,
		.guest_phys_addr = r->guest_phys_addr,
		.memory_size = r->memory_size,
		.userspace_addr = r->userspace_addr,
	};

	return core_set_region(c->kvm, &old);
}

static long vm_set_gsi_routing(struct kvm_call *c)
{
	const struct kvm_irq_routing *head = c->arg;
	const struct kvm_irq_routing __user *u = c->uarg;
	struct kvm_irq_routing_entry *e = NULL;
	size_t size;
	long ret = -EFAULT;

	if (head->flags || head->nr > KVM_MAX_GSI)
		return -EINVAL;
	size = head->nr * sizeof(*e);
	if (size) {
		e = kvmalloc(size, GFP_KERNEL_ACCOUNT);
		if (!e)
			return -ENOMEM;
		if (copy_from_user(e, u->entries, size))
			goto out;
	}
	mutex_lock(&c->kvm->lock);
	ret = kvm_set_routing(c->kvm, e, head->nr);
	mutex_unlock(&c->kvm->lock);
out:
	kvfree(e);
	return ret;
}

static long vm_enable_cap(struct kvm_call *c)
{
	const struct kvm_enable_cap *cap = c->arg;
	struct kvm *kvm = c->kvm;

	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return core_dirty_enable_cap(kvm, cap->args[0]);
	case KVM_CAP_HALT_POLL:
		if (cap->args[0] > UINT_MAX)
			return -EINVAL;
		WRITE_ONCE(kvm->halt_poll_ns, cap->args[0]);
		WRITE_ONCE(kvm->halt_poll_set, true);
		return 0;
	default:
		return arch_vm_enable_cap(kvm, cap);
	}
}

static const struct kvm_ioctl vm_rows[] = {
	{ KVM_CHECK_EXTENSION,			IOC_RAW,	vm_check_extension },
	{ KVM_CREATE_VCPU,			IOC_RAW,	vm_create_vcpu },
	{ KVM_GET_DIRTY_LOG,			IOC_SLOTS_LOCK,	vm_get_dirty_log },
	{ KVM_SET_USER_MEMORY_REGION,		IOC_SLOTS_LOCK,	vm_set_region },
	{ KVM_SET_USER_MEMORY_REGION2,		IOC_SLOTS_LOCK,	vm_set_region2 },
	{ KVM_REGISTER_COALESCED_MMIO,		IOC_SLOTS_LOCK,	vm_coalesced_register },
	{ KVM_UNREGISTER_COALESCED_MMIO,	IOC_SLOTS_LOCK,	vm_coalesced_unregister },
	{ KVM_SET_GSI_ROUTING,			0,		vm_set_gsi_routing },
	{ KVM_IRQFD,				0,		vm_irqfd },
	{ KVM_IOEVENTFD,			IOC_SLOTS_LOCK,	vm_ioeventfd },
	{ KVM_ENABLE_CAP,			0,		vm_enable_cap },
	{ KVM_CLEAR_DIRTY_LOG,			IOC_SLOTS_LOCK,	vm_clear_dirty_log },
	{ KVM_GET_STATS_FD,			IOC_RAW,	vm_stats_fd },
	{ KVM_CREATE_DEVICE,			IOC_NO_OUT,	vm_create_device },
};
const struct kvm_ioctl_table core_vm_ioctls = { vm_rows, ARRAY_SIZE(vm_rows) };

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct kvm *kvm = file->private_data;
	struct kvm_call c = { .kvm = kvm, .uarg = (void __user *)arg, .raw = arg };

	if (!core_usable(kvm))
		return -EIO;
	return core_ioctl(&core_vm_ioctls, &arch_vm_ioctls, cmd, &c);
}

static int vm_release(struct inode *inode, struct file *file)
{
	struct kvm *kvm = file->private_data;

	kvm_irqfd_release(kvm);
	kvm_put(kvm);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner		= THIS_MODULE,
	.release	= vm_release,
	.unlocked_ioctl	= vm_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
};

/* The open file of /dev/kvm holds the vendor's module, so it is there and can be held once more. */
long dev_create_vm(struct kvm_call *c)
{
	struct file *file;
	struct kvm *kvm;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	__module_get(core_vendor);
	kvm = vm_create(c->raw, core_vendor);
	if (IS_ERR(kvm)) {
		module_put(core_vendor);
		put_unused_fd(fd);
		return PTR_ERR(kvm);
	}
	mutex_lock(&kvm_vms_lock);
	list_add(&kvm->link, &kvm_vms);
	/* The reboot's walk of the list may be over. */
	if (kvm_going_down)
		kvm_kill(kvm);
	mutex_unlock(&kvm_vms_lock);
	file = anon_inode_getfile("kvm-vm", &vm_fops, kvm, O_RDWR);
	if (IS_ERR(file)) {
		kvm_put(kvm);
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	core_stats_vm_add(kvm, fd);
	fd_install(fd, file);
	return fd;
}
