// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvm.ko: its start and end, /dev/kvm, and virtualisation on the host's CPUs.
 *
 * The module alone does nothing. When a vendor module registers (kvm_core_register()), virtualisation is turned on
 * for every online CPU, and the CPU hotplug, suspend and reboot hooks keep it on exactly where CPUs run; then /dev/kvm
 * appears. Open files of /dev/kvm and every VM hold the vendor module, so it cannot unregister while one exists.
 *
 * virt_on is the CPU's own: changed with IRQs off on that CPU only.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <compat/virt.h>
#include <kvm/arch.h>
#include <kvm/core.h>
#include <linux/cpu.h>
#include <linux/init.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/reboot.h>

/* Pages of a vCPU's mapping: run, port data, coalesced ring. */
#define VCPU_MAP_PAGES	3

LIST_HEAD(kvm_vms);
DEFINE_MUTEX(kvm_vms_lock);
EXPORT_SYMBOL_GPL(kvm_vms);
EXPORT_SYMBOL_GPL(kvm_vms_lock);

bool kvm_going_down __read_mostly;
EXPORT_SYMBOL_GPL(kvm_going_down);

struct module *core_vendor;

static DEFINE_PER_CPU(bool, virt_on);
static int start_error;			/* what arch_cpu_on() said on a CPU whose callback may not fail */
static int confirm_state;		/* dynamic hotplug state, 0: none */

static int virt_cpu_on(void)
{
	int err;

	/* A CPU that comes up during a reboot stays as it is: no guest runs again. */
	if (kvm_going_down || __this_cpu_read(virt_on))
		return 0;
	err = arch_cpu_on();
	if (!err)
		__this_cpu_write(virt_on, true);
	return err;
}

static void virt_cpu_off(void *unused)
{
	if (!__this_cpu_read(virt_on))
		return;
	__this_cpu_write(virt_on, false);
	arch_cpu_off();
}

static int hotplug_start(unsigned int cpu)
{
	unsigned long flags;
	int err;

	local_irq_save(flags);
	err = virt_cpu_on();
	local_irq_restore(flags);
	if (!err || VIRT_CPUHP_MAY_FAIL)
		return err;
	WRITE_ONCE(start_error, err);
	return 0;
}

static int hotplug_stop(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	virt_cpu_off(NULL);
	local_irq_restore(flags);
	return 0;
}

/* Before the scheduler may use a new CPU: without virtualisation a vCPU that is moved there could not run. */
static int hotplug_confirm(unsigned int cpu)
{
	if (per_cpu(virt_on, cpu) || kvm_going_down)
		return 0;
	return READ_ONCE(start_error) ?: -EIO;
}

static void hotplug_exit(void)
{
	if (confirm_state > 0)
		cpuhp_remove_state_nocalls(confirm_state);
	confirm_state = 0;
	cpuhp_remove_state(VIRT_CPUHP_STATE);
}

static int hotplug_init(void)
{
	int err;

	start_error = 0;
	err = cpuhp_setup_state(VIRT_CPUHP_STATE, "kvm:virtualisation", hotplug_start, hotplug_stop);
	if (err || VIRT_CPUHP_MAY_FAIL)
		return err;
	err = READ_ONCE(start_error);
	if (!err) {
		err = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "kvm:confirm", hotplug_confirm, NULL);
		confirm_state = err;
	}
	if (err >= 0 && confirm_state > 0)
		return 0;
	hotplug_exit();
	return err;
}

/* The last CPU that runs, IRQs off; the others left and come back by hotplug. */
static int host_suspend(void)
{
	virt_cpu_off(NULL);
	return 0;
}

static void host_resume(void)
{
	int err = virt_cpu_on();
	struct kvm_vcpu *vcpu;
	struct kvm *kvm;
	unsigned int i;

	if (!err) {
		arch_resumed();
		return;
	}
	pr_crit("no virtualisation after resume (%d): guests cannot go on\n", err);
	kvm_going_down = true;
	/* As kvm_kill(), with nobody to wait for. */
	list_for_each_entry(kvm, &kvm_vms, link) {
		WRITE_ONCE(kvm->dead, true);
		kvm_for_each_vcpu(i, vcpu, kvm)
			vcpu_request(vcpu, REQ_DEAD);
	}
}

VIRT_SYSCORE(kvm_syscore, host_suspend, host_resume);

/* Firmware and a next kernel want CPUs without virtualisation; guests that still run lose it. */
static int host_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	struct kvm *kvm;

	kvm_going_down = true;
	mutex_lock(&kvm_vms_lock);
	list_for_each_entry(kvm, &kvm_vms, link)
		kvm_kill(kvm);
	mutex_unlock(&kvm_vms_lock);
	on_each_cpu(virt_cpu_off, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block kvm_reboot = {
	.notifier_call = host_reboot,
};

static long dev_api_version(struct kvm_call *c)
{
	return c->raw ? -EINVAL : KVM_API_VERSION;
}

static long dev_check_extension(struct kvm_call *c)
{
	return core_check_extension(NULL, c->raw);
}

static long dev_vcpu_map_size(struct kvm_call *c)
{
	return c->raw ? -EINVAL : VCPU_MAP_PAGES * PAGE_SIZE;
}

static const struct kvm_ioctl dev_rows[] = {
	{ KVM_GET_API_VERSION,		IOC_RAW,	dev_api_version },
	{ KVM_CREATE_VM,		IOC_RAW,	dev_create_vm },
	{ KVM_CHECK_EXTENSION,		IOC_RAW,	dev_check_extension },
	{ KVM_GET_VCPU_MMAP_SIZE,	IOC_RAW,	dev_vcpu_map_size },
};
const struct kvm_ioctl_table core_dev_ioctls = { dev_rows, ARRAY_SIZE(dev_rows) };

static long dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct kvm_call c = { .uarg = (void __user *)arg, .raw = arg };

	return core_ioctl(&core_dev_ioctls, &arch_dev_ioctls, cmd, &c);
}

/* owner is the vendor that registered. */
static struct file_operations dev_fops = {
	.unlocked_ioctl	= dev_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
};

static struct miscdevice kvm_dev = {
	.minor	= KVM_MINOR,
	.name	= "kvm",
	.fops	= &dev_fops,
};

int kvm_core_register(struct module *vendor)
{
	int err;

	if (core_vendor)
		return -EEXIST;
	kvm_going_down = false;
	err = hotplug_init();
	if (err)
		return err;
	register_reboot_notifier(&kvm_reboot);
	virt_syscore_register(&kvm_syscore);
	core_vendor = vendor;
	dev_fops.owner = vendor;
	err = misc_register(&kvm_dev);
	if (!err)
		return 0;
	pr_err("/dev/kvm: %d\n", err);
	core_vendor = NULL;
	virt_syscore_unregister(&kvm_syscore);
	unregister_reboot_notifier(&kvm_reboot);
	hotplug_exit();
	return err;
}

void kvm_core_unregister(void)
{
	misc_deregister(&kvm_dev);
	core_vendor = NULL;
	virt_syscore_unregister(&kvm_syscore);
	unregister_reboot_notifier(&kvm_reboot);
	hotplug_exit();
}

static int __init kvm_init(void)
{
	int err;

	err = core_ioctl_check() ?: core_caps_check();
	if (err)
		return err;
	err = core_sched_init();
	if (err)
		return err;
	core_stats_init();
	err = arch_module_init();
	if (err) {
		core_stats_exit();
		core_sched_exit();
	}
	return err;
}

static void __exit kvm_exit(void)
{
	arch_module_exit();
	core_stats_exit();
	core_sched_exit();
}

module_init(kvm_init);
module_exit(kvm_exit);

MODULE_DESCRIPTION("Hypervisor behind /dev/kvm, the part without a CPU vendor in it");
MODULE_LICENSE("GPL");
MODULE_ALIAS_MISCDEV(KVM_MINOR);
MODULE_ALIAS("devname:kvm");
