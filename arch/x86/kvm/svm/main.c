// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvm-amd.ko: AMD-V as the vendor behind kvm.ko's x86 machine. This file has the module, its parameters and the
 * table of operations; what they do is in the files beside it. Parameters keep the names that tools read; those for
 * what this version has not (avic, sev, nested) stay N whatever is asked.
 */
#define pr_fmt(fmt) "kvm_amd: " fmt
#include <linux/module.h>
#include <asm/cpu_device_id.h>
#include "svm.h"

MODULE_DESCRIPTION("AMD-V for the kernel-based virtual machine");
MODULE_LICENSE("GPL");

static const struct x86_cpu_id svm_cpu_ids[] = {
	X86_MATCH_FEATURE(X86_FEATURE_SVM, NULL),
	{}
};
MODULE_DEVICE_TABLE(x86cpu, svm_cpu_ids);

bool svm_param_npt = true;
module_param_named(npt, svm_param_npt, bool, 0444);
MODULE_PARM_DESC(npt, "nested page tables");
bool svm_param_nested;
module_param_named(nested, svm_param_nested, bool, 0444);
MODULE_PARM_DESC(nested, "SVM for guests");
bool svm_param_nrips = true;
module_param_named(nrips, svm_param_nrips, bool, 0444);
MODULE_PARM_DESC(nrips, "use the next RIP that hardware saves");
bool svm_param_tsc_scaling = true;
module_param_named(tsc_scaling, svm_param_tsc_scaling, bool, 0444);
MODULE_PARM_DESC(tsc_scaling, "TSC ratio register");
static bool avic;
module_param(avic, bool, 0444);
MODULE_PARM_DESC(avic, "interrupt controller in hardware");
static bool sev;
module_param(sev, bool, 0444);
MODULE_PARM_DESC(sev, "encrypted guests");
static bool vgif = true;
module_param(vgif, bool, 0444);
MODULE_PARM_DESC(vgif, "global interrupt flag in hardware, for nested guests");
static bool vls = true;
module_param(vls, bool, 0444);
MODULE_PARM_DESC(vls, "VMLOAD and VMSAVE in hardware, for nested guests");

unsigned short svm_pause_threshold = 128, svm_pause_count = 3000, svm_pause_grow = 2, svm_pause_shrink,
	       svm_pause_max = USHRT_MAX;
module_param_named(pause_filter_thresh, svm_pause_threshold, ushort, 0444);
MODULE_PARM_DESC(pause_filter_thresh, "cycles between PAUSEs of one spin loop; 0: count all");
module_param_named(pause_filter_count, svm_pause_count, ushort, 0444);
MODULE_PARM_DESC(pause_filter_count, "PAUSEs of a spin loop until it exits");
module_param_named(pause_filter_count_grow, svm_pause_grow, ushort, 0444);
MODULE_PARM_DESC(pause_filter_count_grow, "factor after such an exit");
module_param_named(pause_filter_count_shrink, svm_pause_shrink, ushort, 0444);
MODULE_PARM_DESC(pause_filter_count_shrink, "divisor when scheduled in again; 0: back to pause_filter_count");
module_param_named(pause_filter_count_max, svm_pause_max, ushort, 0444);
MODULE_PARM_DESC(pause_filter_count_max, "limit of growth");

static int svm_vm_init(struct x86_vm *vm)
{
	return 0;		/* nothing of a VM is AMD's: all of it is the vCPU's VMCB */
}

static void svm_vm_destroy(struct x86_vm *vm)
{
}

static const struct vendor_ops svm_ops = {
	.name		= "kvm_amd",
	.owner		= THIS_MODULE,
	.amd		= true,
	.vm_size	= sizeof(struct x86_vm),
	.vcpu_size	= sizeof(struct svm_vcpu),
	.cpu_on		= svm_cpu_on,
	.cpu_off	= svm_cpu_off,
	.vm_init	= svm_vm_init,
	.vm_destroy	= svm_vm_destroy,
	.vcpu_init	= svm_vcpu_init,
	.vcpu_free	= svm_vcpu_free,
	.vcpu_reset	= svm_vcpu_reset,
	.cpuid_changed	= svm_cpuid_changed,
	.load		= svm_load,
	.put		= svm_put,
	.fetch		= svm_fetch,
	.commit		= svm_commit,
	.cr0_ok		= svm_cr_ok,
	.cr4_ok		= svm_cr_ok,
	.state_runs	= svm_state_runs,
	.prepare	= svm_prepare,
	.enter		= svm_enter,
	.irq_exit	= svm_irq_exit,
	.exit		= svm_exit,
	.next_rip	= svm_next_rip,
	.dump		= svm_dump,
	.inject		= svm_inject,
	.uninject	= svm_uninject,
	.vectoring	= svm_vectoring,
	.intercepts	= svm_intercepts,
	.msr_intercept	= svm_msr_intercept,
	.tsc		= svm_tsc,
	.root		= svm_root,
	.flush		= svm_flush,
	.logged		= svm_logged,
	.tpr		= svm_tpr,
	.get_msr	= svm_get_msr,
	.set_msr	= svm_set_msr,
	.feature_msr	= svm_feature_msr,
};

static void refuse_params(void)
{
	if (svm_param_nested)
		pr_info("nested: not in this version\n");
	if (avic)
		pr_info("avic: not in this version\n");
	if (sev)
		pr_info("sev: encrypted guests are not supported\n");
	svm_param_nested = avic = sev = false;
	vgif = vgif && boot_cpu_has(X86_FEATURE_VGIF);
	vls = vls && boot_cpu_has(X86_FEATURE_V_VMSAVE_VMLOAD);
}

static int __init svm_module_init(void)
{
	struct vendor_caps caps = {};
	int err = svm_check_cpu();

	if (err)
		return err;
	refuse_params();
	svm_probe(&caps);
	caps.tpr_shift = 4;		/* V_TPR is the priority class, as CR8 */
	err = svm_cpus_alloc();
	if (err)
		return err;
	err = svm_maps_alloc();
	if (err)
		goto free_cpus;
	svm_msr_init();
	svm_emergency_register();
	err = vendor_register(&svm_ops, &caps);
	if (err)
		goto unregister;
	return 0;

unregister:
	svm_emergency_unregister();
	svm_maps_free();
free_cpus:
	svm_cpus_free();
	return err;
}

static void __exit svm_module_exit(void)
{
	vendor_unregister();
	svm_emergency_unregister();
	svm_maps_free();
	svm_cpus_free();
}

module_init(svm_module_init);
module_exit(svm_module_exit);
