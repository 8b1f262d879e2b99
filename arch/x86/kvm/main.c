// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvm.ko on x86: start and end of the module, and the vendor module's registration.
 *
 * kvm.ko alone offers nothing: /dev/kvm appears when kvm-intel.ko or kvm-amd.ko registers its operations. They are
 * copied, and those on the counted paths are patched into their call sites (static calls). One vendor at a time; it
 * cannot be unloaded while a file of /dev/kvm, a VM or anything else of its is open, because those hold its module.
 *
 * Module init and exit, vendor init and exit: process context. arch_cpu_on() and arch_cpu_off() run on every CPU with
 * IRQs off.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/static_call.h>
#include <linux/string.h>
#include <kvm/arch.h>
#include <kvm/x86/clock.h>
#include <kvm/x86/fpu.h>
#include <kvm/x86/host_msr.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/mmu.h>
#include <kvm/x86/vendor.h>
#include "entry_work.h"

struct vendor_ops vendor_ops __read_mostly;
EXPORT_SYMBOL_GPL(vendor_ops);
struct vendor_caps vendor_caps __read_mostly;
EXPORT_SYMBOL_GPL(vendor_caps);

/* Vendors use the register cache's inline functions, so they need keys and trampolines too. */
#define VENDOR_DEFINE(op)								\
	DEFINE_STATIC_CALL_NULL(vendor_##op, *(((struct vendor_ops *)0)->op));		\
	EXPORT_STATIC_CALL_GPL(vendor_##op);
VENDOR_STATIC_OPS(VENDOR_DEFINE)

static DEFINE_MUTEX(vendor_lock);		/* vendor_ops and vendor_caps change */

int arch_cpu_on(void)
{
	return vendor_ops.cpu_on();
}

void arch_cpu_off(void)
{
	host_msr_cpu_off();
	vendor_ops.cpu_off();
}

void arch_resumed(void)
{
	clock_resumed();
}

/* Every operation has to be there; they are all function pointers from cpu_on on. */
static bool ops_complete(const struct vendor_ops *ops)
{
	const unsigned long *p = (const unsigned long *)&ops->cpu_on;

	for (; p < (const unsigned long *)(ops + 1); p++) {
		if (!*p)
			return false;
	}
	return ops->name && ops->owner && ops->vm_size && ops->vcpu_size;
}

/* With NULL operations: nothing of a module that is going away stays in the call sites. */
static void set_vendor(const struct vendor_ops *ops, const struct vendor_caps *caps)
{
	if (ops) {
		vendor_ops = *ops;
		vendor_caps = *caps;
	} else {
		memset(&vendor_ops, 0, sizeof(vendor_ops));
		memset(&vendor_caps, 0, sizeof(vendor_caps));
	}
#define VENDOR_UPDATE(op) static_call_update(vendor_##op, vendor_ops.op);
	VENDOR_STATIC_OPS(VENDOR_UPDATE)
#undef VENDOR_UPDATE
}

/* Order matters: what guests may have (CPUID) follows from extended state, page-table formats and the clock. */
static int start_machine(const struct vendor_ops *ops, const struct vendor_caps *caps)
{
	int err;

	fpu_module_init();
	err = mmu_module_init(caps);
	if (err)
		return err;
	err = clock_module_init();
	if (err)
		goto no_clock;
	err = cpuid_module_init();
	if (err)
		goto no_cpuid;
	err = kvm_core_register(ops->owner);
	if (err)
		goto no_cpuid;
	return 0;

no_cpuid:
	clock_module_exit();
no_clock:
	mmu_module_exit();
	return err;
}

int vendor_register(const struct vendor_ops *ops, const struct vendor_caps *caps)
{
	int err;

	if (!ops_complete(ops)) {
		pr_err("a vendor module with operations missing is refused\n");
		return -EINVAL;
	}
	mutex_lock(&vendor_lock);
	if (vendor_ops.name) {
		pr_err("%s is registered already, %s is refused\n", vendor_ops.name, ops->name);
		err = -EEXIST;
	} else {
		set_vendor(ops, caps);
		err = start_machine(ops, caps);
		if (err) {
			set_vendor(NULL, NULL);
			host_msr_forget();
		}
	}
	mutex_unlock(&vendor_lock);
	return err;
}
EXPORT_SYMBOL_GPL(vendor_register);

void vendor_unregister(void)
{
	mutex_lock(&vendor_lock);
	kvm_core_unregister();
	clock_module_exit();
	mmu_module_exit();
	host_msr_forget();
	set_vendor(NULL, NULL);
	mutex_unlock(&vendor_lock);
}
EXPORT_SYMBOL_GPL(vendor_unregister);

/* The tables are data, and data can be wrong: a module that contradicts itself does not load. */
int __init arch_module_init(void)
{
	static int (*const check[])(void) = {
		msr_table_check, caps_table_check, ioctl_tables_check, exit_table_check,
	};
	unsigned int i;
	int err;

	entry_work_init();
	for (i = 0; i < ARRAY_SIZE(check); i++) {
		err = check[i]();
		if (err) {
			pr_err("table %u of MSRs, capabilities, ioctls, exits is not in order\n", i + 1);
			return err;
		}
	}
	return 0;
}

/* Vendor modules use our symbols, so none is left by now. */
void arch_module_exit(void)
{
}
