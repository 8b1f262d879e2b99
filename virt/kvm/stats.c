// SPDX-License-Identifier: GPL-2.0-only
/*
 * Statistics, in two forms that share one table a kind (VM, vCPU): the binary files of KVM_GET_STATS_FD, which describe
 * themselves, and debugfs' kvm/ directory, with one file a counter that sums over all VMs and the same files again in a
 * directory "PID-FD" for each VM (a vCPU counter is the sum over its vCPUs there).
 *
 * Counters are 64-bit words that their owners write as they like; readers take each by itself. A statistics file
 * holds the VM, and vCPUs live as long as the VM, so it outlives the files it came from. debugfs does not: a
 * directory is removed, and its readers waited for, before the VM is torn down.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/core.h>
#include <linux/anon_inodes.h>
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#define COUNT	(KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define NOW	(KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define PEAK	(KVM_STATS_TYPE_PEAK | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define FLAG	(KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_BOOLEAN | KVM_STATS_BASE_POW10)
#define NSEC	(KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_SECONDS | KVM_STATS_BASE_POW10)

#define VM_STATS(X)									\
	X(COUNT, mmu_shadow_zapped) X(COUNT, mmu_pte_write) X(COUNT, mmu_pde_zapped)	\
	X(COUNT, mmu_flooded) X(COUNT, mmu_recycled) X(COUNT, mmu_cache_miss)		\
	X(NOW, mmu_unsync) X(NOW, pages_4k) X(NOW, pages_2m) X(NOW, pages_1g)		\
	X(NOW, nx_lpage_splits) X(PEAK, max_mmu_page_hash_collisions)			\
	X(PEAK, max_mmu_rmap_size) X(COUNT, remote_tlb_flush)

#define VCPU_STATS(X)									\
	X(COUNT, halt_successful_poll) X(COUNT, halt_attempted_poll)			\
	X(COUNT, halt_poll_invalid) X(COUNT, halt_wakeup) X(NSEC, halt_poll_success_ns)	\
	X(NSEC, halt_poll_fail_ns) X(NSEC, halt_wait_ns) X(FLAG, blocking)		\
	X(COUNT, pf_taken) X(COUNT, pf_fixed) X(COUNT, pf_emulate) X(COUNT, pf_spurious)	\
	X(COUNT, pf_fast) X(COUNT, pf_mmio_spte_created) X(COUNT, pf_guest)		\
	X(COUNT, tlb_flush) X(COUNT, invlpg)						\
	X(COUNT, exits) X(COUNT, io_exits) X(COUNT, mmio_exits) X(COUNT, signal_exits)	\
	X(COUNT, irq_window_exits) X(COUNT, nmi_window_exits) X(COUNT, l1d_flush)	\
	X(COUNT, halt_exits) X(COUNT, request_irq_exits) X(COUNT, irq_exits)		\
	X(COUNT, host_state_reload) X(COUNT, fpu_reload) X(COUNT, insn_emulation)	\
	X(COUNT, insn_emulation_fail) X(COUNT, hypercalls) X(COUNT, irq_injections)	\
	X(COUNT, nmi_injections) X(COUNT, req_event) X(COUNT, nested_run)		\
	X(COUNT, directed_yield_attempted) X(COUNT, directed_yield_successful)		\
	X(COUNT, preemption_reported) X(COUNT, preemption_other) X(FLAG, guest_mode)	\
	X(COUNT, notify_window_exits)

/* In the file the data block has every counter in the table's order, whatever order the structure has. */
enum {
#define INDEX(kind, field) VM_##field,
	VM_STATS(INDEX)
#undef INDEX
	VM_STATS_N
};
enum {
#define INDEX(kind, field) VCPU_##field,
	VCPU_STATS(INDEX)
#undef INDEX
	VCPU_STATS_N
};

/* struct kvm_stats_desc with its name's size, which is ours to choose. */
struct stats_desc {
	u32 flags;
	s16 exponent;
	u16 size;
	u32 offset;
	u32 bucket_size;
	char name[KVM_STATS_NAME_SIZE];
};
static_assert(offsetof(struct stats_desc, name) == offsetof(struct kvm_stats_desc, name));

#define DESC(kind, field, i)	{ .flags = kind, .exponent = (kind) == NSEC ? -9 : 0, .size = 1,	\
				  .offset = (i) * sizeof(u64), .name = #field }
#define VM_DESC(kind, field)	DESC(kind, field, VM_##field),
#define VCPU_DESC(kind, field)	DESC(kind, field, VCPU_##field),
static const struct stats_desc vm_desc[] = { VM_STATS(VM_DESC) };
static const struct stats_desc vcpu_desc[] = { VCPU_STATS(VCPU_DESC) };

#define VM_WORD(kind, field)							\
	static_assert(sizeof(((struct vm_stats *)0)->field) == sizeof(u64));
VM_STATS(VM_WORD)
#define VM_OFFSET(kind, field)		offsetof(struct kvm, stat.field),
#define VCPU_OFFSET(kind, field)	offsetof(struct kvm_vcpu, stat.field),
static const u32 vm_offset[] = { VM_STATS(VM_OFFSET) };
static const u32 vcpu_offset[] = { VCPU_STATS(VCPU_OFFSET) };

/* One counter, by the object (VM or vCPU) and the table's offset. */
static u64 word_at(const void *object, u32 offset)
{
	return READ_ONCE(*(const u64 *)(object + offset));
}

struct stats_kind {
	const struct stats_desc *desc;
	const u32 *offset;
	unsigned int n;
};
static const struct stats_kind vm_kind = { vm_desc, vm_offset, VM_STATS_N };
static const struct stats_kind vcpu_kind = { vcpu_desc, vcpu_offset, VCPU_STATS_N };

/* A read in progress: what of it falls into the next piece of the file is copied, pos being the piece's place. */
struct stats_read {
	char __user *to;
	size_t left;
	loff_t want;		/* file position of what is wanted next */
	loff_t pos;
};

static int piece(struct stats_read *r, const void *data, size_t size)
{
	size_t skip, n;

	if (r->left && r->want >= r->pos && r->want < r->pos + size) {
		skip = r->want - r->pos;
		n = min(r->left, size - skip);
		if (copy_to_user(r->to, data + skip, n))
			return -EFAULT;
		r->to += n;
		r->left -= n;
		r->want += n;
	}
	r->pos += size;
	return 0;
}

/* The file: header, identity, descriptors, data. */
static ssize_t stats_read(const struct stats_kind *kind, const char *id, const void *object,
			  char __user *to, size_t size, loff_t *ppos)
{
	const struct kvm_stats_header head = {
		.name_size = KVM_STATS_NAME_SIZE,
		.num_desc = kind->n,
		.id_offset = sizeof(head),
		.desc_offset = sizeof(head) + KVM_STATS_NAME_SIZE,
		.data_offset = sizeof(head) + KVM_STATS_NAME_SIZE + kind->n * sizeof(*kind->desc),
	};
	struct stats_read r = { to, size, *ppos, 0 };
	unsigned int i;
	int err;

	if (*ppos < 0)
		return -EINVAL;
	err = piece(&r, &head, sizeof(head)) ?: piece(&r, id, KVM_STATS_NAME_SIZE) ?:
	      piece(&r, kind->desc, kind->n * sizeof(*kind->desc));
	for (i = 0; i < kind->n && !err; i++) {
		u64 val = word_at(object, kind->offset[i]);

		err = piece(&r, &val, sizeof(val));
	}
	if (err)
		return err;
	size -= r.left;
	*ppos += size;
	return size;
}

static ssize_t vm_stats_read(struct file *file, char __user *to, size_t size, loff_t *ppos)
{
	struct kvm *kvm = file->private_data;

	return stats_read(&vm_kind, kvm->stats_id, kvm, to, size, ppos);
}

static ssize_t vcpu_stats_read(struct file *file, char __user *to, size_t size, loff_t *ppos)
{
	struct kvm_vcpu *vcpu = file->private_data;

	return stats_read(&vcpu_kind, vcpu->stats_id, vcpu, to, size, ppos);
}

static int vm_stats_release(struct inode *inode, struct file *file)
{
	kvm_put(file->private_data);
	return 0;
}

static int vcpu_stats_release(struct inode *inode, struct file *file)
{
	struct kvm_vcpu *vcpu = file->private_data;

	kvm_put(vcpu->kvm);
	return 0;
}

static const struct file_operations vm_stats_fops = {
	.owner		= THIS_MODULE,
	.read		= vm_stats_read,
	.release	= vm_stats_release,
	.llseek		= noop_llseek,
};

static const struct file_operations vcpu_stats_fops = {
	.owner		= THIS_MODULE,
	.read		= vcpu_stats_read,
	.release	= vcpu_stats_release,
	.llseek		= noop_llseek,
};

static long stats_fd(struct kvm *kvm, const char *name, const struct file_operations *fops, void *data)
{
	struct file *file;
	int fd = get_unused_fd_flags(O_CLOEXEC);

	if (fd < 0)
		return fd;
	file = anon_inode_getfile(name, fops, data, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	kvm_get(kvm);
	file->f_mode |= FMODE_PREAD;
	fd_install(fd, file);
	return fd;
}

long vm_stats_fd(struct kvm_call *c)
{
	return stats_fd(c->kvm, "kvm-vm-stats", &vm_stats_fops, c->kvm);
}

long vcpu_stats_fd(struct kvm_call *c)
{
	char name[32];

	snprintf(name, sizeof(name), "kvm-vcpu-stats:%u", c->vcpu->id);
	return stats_fd(c->kvm, name, &vcpu_stats_fops, c->vcpu);
}

/*
 * debugfs: a file's inode points at its descriptor, its directory's inode at the VM, or at nothing in kvm/ itself.
 */
static struct dentry *top;

static u64 vm_sum(struct kvm *kvm, const struct stats_desc *d)
{
	struct kvm_vcpu *vcpu;
	unsigned int i;
	u64 sum = 0;

	if (d >= vm_desc && d < vm_desc + ARRAY_SIZE(vm_desc))
		return word_at(kvm, vm_offset[d - vm_desc]);
	kvm_for_each_vcpu(i, vcpu, kvm)
		sum += word_at(vcpu, vcpu_offset[d - vcpu_desc]);
	return sum;
}

static ssize_t debug_read(struct file *file, char __user *to, size_t size, loff_t *ppos)
{
	const struct stats_desc *d = file_inode(file)->i_private;
	struct kvm *kvm = d_inode(file->f_path.dentry->d_parent)->i_private;
	char text[24];
	u64 val = 0;
	int n;

	if (kvm) {
		val = vm_sum(kvm, d);
	} else {
		mutex_lock(&kvm_vms_lock);
		list_for_each_entry(kvm, &kvm_vms, link)
			val += vm_sum(kvm, d);
		mutex_unlock(&kvm_vms_lock);
	}
	n = snprintf(text, sizeof(text), "%llu\n", val);
	return simple_read_from_buffer(to, size, ppos, text, n);
}

static const struct file_operations debug_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.read	= debug_read,
	.llseek	= default_llseek,
};

static void debug_files(struct dentry *dir)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vm_desc); i++)
		debugfs_create_file(vm_desc[i].name, 0444, dir, (void *)&vm_desc[i], &debug_fops);
	for (i = 0; i < ARRAY_SIZE(vcpu_desc); i++)
		debugfs_create_file(vcpu_desc[i].name, 0444, dir, (void *)&vcpu_desc[i], &debug_fops);
}

void core_stats_vm_add(struct kvm *kvm, int fd)
{
	struct dentry *dir;
	char name[32];

	snprintf(name, sizeof(name), "%d-%d", task_pid_nr(current), fd);
	/* The name is free but for a VM that lives on although its file was closed. */
	dir = debugfs_lookup(name, top);
	if (dir) {
		dput(dir);
		return;
	}
	dir = debugfs_create_dir(name, top);
	if (IS_ERR(dir))
		return;
	d_inode(dir)->i_private = kvm;
	debug_files(dir);
	kvm->debugfs = dir;
}

void core_stats_vm_del(struct kvm *kvm)
{
	debugfs_remove(kvm->debugfs);
	kvm->debugfs = NULL;
}

void core_stats_init(void)
{
	BUILD_BUG_ON(sizeof(((struct kvm *)0)->stats_id) != KVM_STATS_NAME_SIZE);
	BUILD_BUG_ON(sizeof(((struct kvm_vcpu *)0)->stats_id) != KVM_STATS_NAME_SIZE);
	top = debugfs_create_dir("kvm", NULL);
	debug_files(top);
}

void core_stats_exit(void)
{
	debugfs_remove(top);
}
