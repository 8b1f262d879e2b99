// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU's file: creation, the mapping it shares with the VMM, KVM_RUN, and what else is the same for every machine.
 *
 * A vCPU comes to life under kvm->lock and lives as long as the VM: its file and mappings hold the VM, and closing
 * them leaves the vCPU in place, to be found by its number. One thread at a time is in its ioctls (vcpu->mutex), but
 * for those that the table lets in beside.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/arch.h>
#include <kvm/coalesced.h>
#include <kvm/core.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

enum { PAGE_RUN, PAGE_PIO };

struct kvm_vcpu *kvm_vcpu_by_id(struct kvm *kvm, u32 id)
{
	unsigned int n = atomic_read_acquire(&kvm->online_vcpus);
	struct kvm_vcpu *vcpu;
	unsigned int i;

	/* Most VMMs number in order of creation. */
	if (id < n) {
		vcpu = kvm->vcpu[array_index_nospec(id, n)];
		if (vcpu->id == id)
			return vcpu;
	}
	for (i = 0; i < n; i++) {
		if (kvm->vcpu[i]->id == id)
			return kvm->vcpu[i];
	}
	return NULL;
}
EXPORT_SYMBOL_GPL(kvm_vcpu_by_id);

static vm_fault_t map_fault(struct vm_fault *vmf)
{
	struct kvm_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;

	switch (vmf->pgoff) {
	case PAGE_RUN:
		page = virt_to_page(vcpu->run);
		break;
	case PAGE_PIO:
		page = vcpu->pio_page;
		break;
	case COALESCED_PAGE:
		page = vcpu->kvm->coalesced.ring ? virt_to_page(vcpu->kvm->coalesced.ring) : NULL;
		break;
	default:
		page = NULL;
	}
	if (!page)
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct map_ops = {
	.fault = map_fault,
};

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &map_ops;
	return 0;
}

/* The thread that runs it, for those who want to give it their CPU. Threads change rarely. */
static void note_thread(struct kvm_vcpu *vcpu)
{
	struct pid *old = rcu_dereference_protected(vcpu->pid, lockdep_is_held(&vcpu->mutex));

	if (likely(old == task_pid(current)))
		return;
	rcu_assign_pointer(vcpu->pid, get_task_pid(current, PIDTYPE_PID));
	if (!old)
		return;
	synchronize_rcu();
	put_pid(old);
}

static long vcpu_run(struct kvm_call *c)
{
	struct kvm_vcpu *vcpu = c->vcpu;
	sigset_t saved;
	long ret;

	if (c->raw)
		return -EINVAL;
	note_thread(vcpu);
	vcpu_load(vcpu);
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &vcpu->sigset, &saved);
	vcpu->srcu_idx = srcu_read_lock(&vcpu->kvm->srcu);

	ret = arch_vcpu_run(vcpu);

	srcu_read_unlock(&vcpu->kvm->srcu, vcpu->srcu_idx);
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &saved, NULL);
	vcpu_put(vcpu);
	return ret;
}

/* As the table's row for KVM_RUN would have it, without the search for the row: this is what a VMM does all day. */
static long vcpu_run_locked(struct kvm_call *c)
{
	struct kvm_vcpu *vcpu = c->vcpu;
	long ret;

	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	ret = vcpu_run(c);
	mutex_unlock(&vcpu->mutex);
	return ret;
}

/* A compat task's set of signals has the same bytes. */
static long vcpu_set_signal_mask(struct kvm_call *c)
{
	struct kvm_signal_mask __user *u = c->uarg;
	struct kvm_vcpu *vcpu = c->vcpu;
	struct kvm_signal_mask head;
	sigset_t set;

	if (!u) {
		vcpu->sigset_active = false;
		return 0;
	}
	if (copy_from_user(&head, u, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, u->sigset, sizeof(set)))
		return -EFAULT;
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigset = set;
	vcpu->sigset_active = true;
	return 0;
}

static long vcpu_enable_cap(struct kvm_call *c)
{
	const struct kvm_enable_cap *cap = c->arg;

	if (cap->flags)
		return -EINVAL;
	return arch_vcpu_enable_cap(c->vcpu, cap);
}

static const struct kvm_ioctl vcpu_rows[] = {
	{ KVM_RUN,		IOC_RAW | IOC_NO_MUTEX,	vcpu_run_locked },
	{ KVM_SET_SIGNAL_MASK,	IOC_RAW,		vcpu_set_signal_mask },
	{ KVM_ENABLE_CAP,	0,			vcpu_enable_cap },
	{ KVM_GET_STATS_FD,	IOC_RAW | IOC_NO_MUTEX,	vcpu_stats_fd },
};
const struct kvm_ioctl_table core_vcpu_ioctls = { vcpu_rows, ARRAY_SIZE(vcpu_rows) };

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct kvm_vcpu *vcpu = file->private_data;
	struct kvm_call c = {
		.kvm = vcpu->kvm, .vcpu = vcpu, .uarg = (void __user *)arg, .raw = arg,
	};

	if (!core_usable(vcpu->kvm))
		return -EIO;
	if (likely(cmd == KVM_RUN))
		return vcpu_run_locked(&c);
	return core_ioctl(&core_vcpu_ioctls, &arch_vcpu_ioctls, cmd, &c);
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct kvm_vcpu *vcpu = file->private_data;

	kvm_put(vcpu->kvm);
	return 0;
}

static const struct file_operations vcpu_fops = {
	.owner		= THIS_MODULE,
	.release	= vcpu_release,
	.unlocked_ioctl	= vcpu_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.mmap		= vcpu_mmap,
	.llseek		= noop_llseek,
};

static void vcpu_free(struct kvm_vcpu *vcpu)
{
	struct page *pio = vcpu->pio_page;
	struct kvm_run *run = vcpu->run;

	put_pid(rcu_dereference_protected(vcpu->pid, true));
	arch_vcpu_free(vcpu);
	free_page((unsigned long)run);
	if (pio)
		__free_page(pio);
}

void core_free_vcpus(struct kvm *kvm)
{
	unsigned int i, n = atomic_read(&kvm->online_vcpus);

	for (i = 0; i < n; i++) {
		vcpu_free(kvm->vcpu[i]);
		kvm->vcpu[i] = NULL;
	}
	atomic_set(&kvm->online_vcpus, 0);
}

/* Everything but a place in kvm->vcpu[]; kvm->lock. */
static struct kvm_vcpu *vcpu_alloc(struct kvm *kvm, u32 id)
{
	struct kvm_vcpu *vcpu = arch_vcpu_alloc(kvm);
	int err = -ENOMEM;

	if (IS_ERR_OR_NULL(vcpu))
		return vcpu ?: ERR_PTR(-ENOMEM);
	vcpu->kvm = kvm;
	vcpu->id = id;
	vcpu->idx = atomic_read(&kvm->online_vcpus);
	mutex_init(&vcpu->mutex);
	core_vcpu_sched_init(vcpu);
	snprintf(vcpu->stats_id, sizeof(vcpu->stats_id), "kvm-%d/vcpu-%u", task_pid_nr(current), id);
	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vcpu->pio_page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!vcpu->run || !vcpu->pio_page)
		goto free;
	vcpu->pio_data = page_address(vcpu->pio_page);
	err = arch_vcpu_init(vcpu);
	if (!err)
		return vcpu;
free:
	vcpu_free(vcpu);
	return ERR_PTR(err);
}

/* kvm->lock. The file is not in the process's table yet: fd waits for it. */
static struct kvm_vcpu *vcpu_create(struct kvm *kvm, u32 id, struct file **file)
{
	struct kvm_vcpu *vcpu;
	char name[24];
	int err;

	if (kvm->created_vcpus >= KVM_MAX_VCPUS)
		return ERR_PTR(-EINVAL);
	if (kvm_vcpu_by_id(kvm, id))
		return ERR_PTR(-EEXIST);
	err = arch_vcpu_precreate(kvm, id);
	if (err)
		return ERR_PTR(err);
	/* Counted before it is set up: what must be decided before the first vCPU is decided now. */
	kvm->created_vcpus++;
	vcpu = vcpu_alloc(kvm, id);
	if (IS_ERR(vcpu))
		goto uncount;

	snprintf(name, sizeof(name), "kvm-vcpu:%u", id);
	*file = anon_inode_getfile(name, &vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(*file)) {
		vcpu_free(vcpu);
		vcpu = ERR_CAST(*file);
		goto uncount;
	}
	kvm_get(kvm);
	kvm->vcpu[vcpu->idx] = vcpu;
	atomic_set_release(&kvm->online_vcpus, vcpu->idx + 1);
	return vcpu;
uncount:
	kvm->created_vcpus--;
	return vcpu;
}

long vm_create_vcpu(struct kvm_call *c)
{
	struct kvm *kvm = c->kvm;
	struct kvm_vcpu *vcpu;
	struct file *file;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	mutex_lock(&kvm->lock);
	if (c->raw < (kvm->max_vcpu_id ?: KVM_MAX_VCPU_ID))
		vcpu = vcpu_create(kvm, c->raw, &file);
	else
		vcpu = ERR_PTR(-EINVAL);
	mutex_unlock(&kvm->lock);
	if (IS_ERR(vcpu)) {
		put_unused_fd(fd);
		return PTR_ERR(vcpu);
	}
	arch_vcpu_online(vcpu);
	fd_install(fd, file);
	return fd;
}
