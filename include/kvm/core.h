/* SPDX-License-Identifier: GPL-2.0-only */
/* Pieces of virt/kvm that call each other and belong to no contract of their own. */
#ifndef KVM_CORE_H
#define KVM_CORE_H

#include <kvm/ioctl.h>
#include <kvm/memslot.h>
#include <kvm/vcpu.h>
#include <kvm/vm.h>
#include <linux/sched.h>

struct file;

/* ioctl.c: the tables of virt/kvm, by the file that has them, and the dispatcher that joins the architecture's. */
extern const struct kvm_ioctl_table core_dev_ioctls, core_vm_ioctls, core_vcpu_ioctls;
int core_ioctl_check(void);		/* module load: order, duplicates, sizes */
long core_ioctl(const struct kvm_ioctl_table *core, const struct kvm_ioctl_table *arch, u32 cmd, struct kvm_call *c);

/* main.c */
extern struct module *core_vendor;	/* set while /dev/kvm exists */
struct miscdevice;

/* caps.c */
int core_caps_check(void);
long core_check_extension(struct kvm *kvm, unsigned long cap);

/* vm.c */
long dev_create_vm(struct kvm_call *c);

/* An ioctl on a VM's file is for the process that made it, and only while virtualisation is on. */
static inline bool core_usable(const struct kvm *kvm)
{
	return kvm->mm == current->mm && !READ_ONCE(kvm->dead);
}

/* vcpu.c */
long vm_create_vcpu(struct kvm_call *c);
void core_free_vcpus(struct kvm *kvm);

/* sched.c */
int core_sched_init(void);
void core_sched_exit(void);
void core_vcpu_sched_init(struct kvm_vcpu *vcpu);

/* memslot.c */
int core_slots_init(struct kvm *kvm);
void core_slots_free(struct kvm *kvm);
long core_set_region(struct kvm *kvm, const struct kvm_userspace_memory_region *r);	/* slots_lock */
bool core_slot_number_ok(struct kvm *kvm, u16 as, u16 id);
/* Bytes of one half of a slot's dirty bitmap. */
static inline size_t slot_dirty_bytes(const struct memslot *s)
{
	return BITS_TO_LONGS(s->npages) * sizeof(long);
}

/* notifier.c */
int core_notifier_init(struct kvm *kvm);
void core_notifier_exit(struct kvm *kvm);

/* dirty.c; slots_lock */
long vm_get_dirty_log(struct kvm_call *c);
long vm_clear_dirty_log(struct kvm_call *c);
long core_dirty_enable_cap(struct kvm *kvm, u64 flags);

/* device.c */
long vm_create_device(struct kvm_call *c);
void core_free_devices(struct kvm *kvm);

/* stats.c */
void core_stats_init(void);
void core_stats_exit(void);
void core_stats_vm_add(struct kvm *kvm, int fd);	/* debugfs; the VM is complete */
void core_stats_vm_del(struct kvm *kvm);
long vm_stats_fd(struct kvm_call *c);
long vcpu_stats_fd(struct kvm_call *c);

#endif
