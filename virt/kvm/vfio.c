// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VFIO device: the VMM's way to tell which vfio groups and devices the VM uses, so that vfio knows the VM, and the
 * VM knows whether a device's DMA bypasses the caches.
 *
 * vfio may be absent or loaded later: its functions are looked up by name each time. A file that was added is held
 * until it is taken out or the VM goes. One such device a VM; vfio_files.lock protects its list.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <compat/vfio.h>
#include <kvm/abi.h>
#include <kvm/device.h>
#include <kvm/vm.h>
#include <linux/file.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

struct vfio_files {
	struct mutex lock;
	struct list_head files;
	bool noncoherent;		/* counted in kvm->noncoherent_dma */
};

struct vfio_entry {
	struct list_head link;
	struct file *file;
};

/* A file whose module is gone is nobody's: false. */
static bool file_is_vfio(struct file *file)
{
	bool (*fn)(struct file *file) = symbol_get(compat_vfio_file_check);
	bool yes;

	if (!fn)
		return false;
	yes = fn(file);
	symbol_put(compat_vfio_file_check);
	return yes;
}

static bool file_is_coherent(struct file *file)
{
	bool (*fn)(struct file *file) = symbol_get(vfio_file_enforced_coherent);
	bool yes;

	if (!fn)
		return false;
	yes = fn(file);
	symbol_put(vfio_file_enforced_coherent);
	return yes;
}

static void file_set_kvm(struct file *file, struct kvm *kvm)
{
	void (*fn)(struct file *file, struct kvm *kvm) = symbol_get(vfio_file_set_kvm);

	if (!fn)
		return;
	fn(file, kvm);
	symbol_put(vfio_file_set_kvm);
}

static void update_coherency(struct kvm_device *d)
{
	struct vfio_files *v = d->data;
	struct vfio_entry *e;
	bool noncoherent = false;

	list_for_each_entry(e, &v->files, link)
		noncoherent |= !file_is_coherent(e->file);
	if (noncoherent != v->noncoherent)
		atomic_add(noncoherent ? 1 : -1, &d->kvm->noncoherent_dma);
	v->noncoherent = noncoherent;
}

static struct vfio_entry *entry_of(struct vfio_files *v, const struct file *file)
{
	struct vfio_entry *e;

	list_for_each_entry(e, &v->files, link) {
		if (e->file == file)
			return e;
	}
	return NULL;
}

/* On success the entry has the caller's reference. */
static long entry_add(struct kvm_device *d, struct file *file)
{
	struct vfio_files *v = d->data;
	struct vfio_entry *e;

	if (!file_is_vfio(file))
		return -EINVAL;
	if (entry_of(v, file))
		return -EEXIST;
	e = kzalloc(sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	e->file = file;
	list_add_tail(&e->link, &v->files);
	file_set_kvm(file, d->kvm);
	update_coherency(d);
	return 0;
}

static void entry_free(struct vfio_entry *e)
{
	list_del(&e->link);
	file_set_kvm(e->file, NULL);
	fput(e->file);
	kfree(e);
}

static long entry_remove(struct kvm_device *d, const struct file *file)
{
	struct vfio_entry *e = entry_of(d->data, file);

	if (!e)
		return -ENOENT;
	entry_free(e);
	update_coherency(d);
	return 0;
}

static long vfio_set_attr(struct kvm_device *d, const struct kvm_device_attr *a)
{
	struct vfio_files *v = d->data;
	struct file *file;
	s32 fd;
	long ret;

	if (a->group != KVM_DEV_VFIO_FILE ||
	    (a->attr != KVM_DEV_VFIO_FILE_ADD && a->attr != KVM_DEV_VFIO_FILE_DEL))
		return -ENXIO;
	if (get_user(fd, (s32 __user *)(unsigned long)a->addr))
		return -EFAULT;
	file = fget(fd);
	if (!file)
		return -EBADF;
	mutex_lock(&v->lock);
	ret = a->attr == KVM_DEV_VFIO_FILE_ADD ? entry_add(d, file) : entry_remove(d, file);
	mutex_unlock(&v->lock);
	if (ret || a->attr == KVM_DEV_VFIO_FILE_DEL)
		fput(file);
	return ret;
}

static long vfio_has_attr(struct kvm_device *d, const struct kvm_device_attr *a)
{
	if (a->group == KVM_DEV_VFIO_FILE && (a->attr == KVM_DEV_VFIO_FILE_ADD || a->attr == KVM_DEV_VFIO_FILE_DEL))
		return 0;
	return -ENXIO;
}

static int vfio_create(struct kvm_device *d)
{
	struct kvm_device *other;
	struct vfio_files *v;

	list_for_each_entry(other, &d->kvm->devices, link) {
		if (other->type == d->type)
			return -EBUSY;
	}
	v = kzalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);
	if (!v)
		return -ENOMEM;
	mutex_init(&v->lock);
	INIT_LIST_HEAD(&v->files);
	d->data = v;
	return 0;
}

static void vfio_destroy(struct kvm_device *d)
{
	struct vfio_files *v = d->data;
	struct vfio_entry *e, *next;

	list_for_each_entry_safe(e, next, &v->files, link)
		entry_free(e);
	kfree(v);
}

const struct kvm_device_class vfio_device_type = {
	.type		= KVM_DEV_TYPE_VFIO,
	.name		= "kvm-vfio",
	.create		= vfio_create,
	.destroy	= vfio_destroy,
	.set_attr	= vfio_set_attr,
	.has_attr	= vfio_has_attr,
};
