// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_CREATE_DEVICE and the files it gives: attributes that are set, read and probed. The kinds of devices are a table.
 *
 * A device joins kvm->devices under kvm->lock and stays until the VM goes; its file holds the VM.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/core.h>
#include <kvm/device.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

static const struct kvm_device_class *const types[] = {
	&vfio_device_type,
};

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct kvm_device *d = file->private_data;
	struct kvm_device_attr attr;
	long (*fn)(struct kvm_device *d, const struct kvm_device_attr *a);

	if (!core_usable(d->kvm))
		return -EIO;
	switch (cmd) {
	case KVM_SET_DEVICE_ATTR:
		fn = d->type->set_attr;
		break;
	case KVM_GET_DEVICE_ATTR:
		fn = d->type->get_attr;
		break;
	case KVM_HAS_DEVICE_ATTR:
		fn = d->type->has_attr;
		break;
	default:
		return -ENOTTY;
	}
	if (!fn)
		return -EPERM;
	if (copy_from_user(&attr, (void __user *)arg, sizeof(attr)))
		return -EFAULT;
	if (attr.flags)
		return -EINVAL;
	return fn(d, &attr);
}

static int device_release(struct inode *inode, struct file *file)
{
	struct kvm_device *d = file->private_data;

	kvm_put(d->kvm);
	return 0;
}

static const struct file_operations device_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= device_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.release	= device_release,
	.llseek		= noop_llseek,
};

static void device_free(struct kvm_device *d)
{
	d->type->destroy(d);
	kfree(d);
}

void core_free_devices(struct kvm *kvm)
{
	struct kvm_device *d, *next;

	list_for_each_entry_safe(d, next, &kvm->devices, link) {
		list_del(&d->link);
		device_free(d);
	}
}

static struct kvm_device *device_create(struct kvm *kvm, const struct kvm_device_class *type)
{
	struct kvm_device *d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	int err;

	if (!d)
		return ERR_PTR(-ENOMEM);
	d->type = type;
	d->kvm = kvm;
	mutex_lock(&kvm->lock);
	err = type->create(d);
	if (!err)
		list_add(&d->link, &kvm->devices);
	mutex_unlock(&kvm->lock);
	if (!err)
		return d;
	kfree(d);
	return ERR_PTR(err);
}

static void device_drop(struct kvm_device *d)
{
	mutex_lock(&d->kvm->lock);
	list_del(&d->link);
	mutex_unlock(&d->kvm->lock);
	device_free(d);
}

long vm_create_device(struct kvm_call *c)
{
	struct kvm_create_device __user *u = c->uarg;
	const struct kvm_create_device *req = c->arg;
	const struct kvm_device_class *type = NULL;
	struct kvm_device *d;
	struct file *file;
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		if (types[i]->type == req->type)
			type = types[i];
	}
	if (!type)
		return -ENODEV;
	if (req->flags & ~KVM_CREATE_DEVICE_TEST)
		return -EINVAL;
	if (req->flags & KVM_CREATE_DEVICE_TEST)
		return 0;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	/* Its number goes out before there is anything: a call that fails leaves no device behind. */
	if (put_user(fd, &u->fd)) {
		put_unused_fd(fd);
		return -EFAULT;
	}
	d = device_create(c->kvm, type);
	if (IS_ERR(d)) {
		put_unused_fd(fd);
		return PTR_ERR(d);
	}
	file = anon_inode_getfile(type->name, &device_fops, d, O_RDWR);
	if (IS_ERR(file)) {
		device_drop(d);
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	kvm_get(c->kvm);
	fd_install(fd, file);
	return 0;
}
