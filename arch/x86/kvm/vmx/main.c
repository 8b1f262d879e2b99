// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvm-intel.ko: parameters, the vendor seam's table, load and unload.
 *
 * Parameters read back what is in use, not what was asked for: what this CPU lacks reads N. Those of
 * features that this version does not use (APIC virtualisation, the preemption timer, nested guests) are
 * there because tools read them, and read N.
 */
#define pr_fmt(fmt) "kvm_intel: " fmt

#include "vmx.h"
#include <kvm/x86/host_msr.h>
#include <compat/emergency.h>
#include <linux/module.h>
#include <linux/mod_devicetable.h>
#include <asm/cpu_device_id.h>
#include <asm/cpufeature.h>

MODULE_DESCRIPTION("Virtual machines on Intel VT-x");
MODULE_LICENSE("GPL");

bool param_ept = true, param_eptad = true, param_vpid = true, param_unrestricted = true, param_pml = true;
bool param_dump_invalid;
unsigned int param_ple_gap = 128;
static bool param_flexpriority, param_apicv, param_preemption_timer, param_nested, param_vnmi = true;

module_param_named(ept, param_ept, bool, 0444);
MODULE_PARM_DESC(ept, "Use extended page tables");
module_param_named(eptad, param_eptad, bool, 0444);
MODULE_PARM_DESC(eptad, "Use accessed and dirty bits in extended page tables");
module_param_named(vpid, param_vpid, bool, 0444);
MODULE_PARM_DESC(vpid, "Tag TLB entries by vCPU");
module_param_named(unrestricted_guest, param_unrestricted, bool, 0444);
MODULE_PARM_DESC(unrestricted_guest, "Run real mode and unpaged protected mode on the CPU");
module_param_named(emulate_invalid_guest_state, param_emulate_invalid, bool, 0444);
MODULE_PARM_DESC(emulate_invalid_guest_state, "Interpret the guest in states that the CPU refuses");
module_param_named(dump_invalid_vmcs, param_dump_invalid, bool, 0644);
MODULE_PARM_DESC(dump_invalid_vmcs, "Log the VMCS when an entry fails");
module_param_named(ple_gap, param_ple_gap, uint, 0444);
MODULE_PARM_DESC(ple_gap, "Most cycles between two PAUSEs of one spin loop; 0: never exit on PAUSE");
module_param_named(ple_window, param_ple_window, uint, 0444);
MODULE_PARM_DESC(ple_window, "Cycles a spin loop may take before it exits");
module_param_named(ple_window_grow, param_ple_window_grow, uint, 0444);
MODULE_PARM_DESC(ple_window_grow, "Factor (or, from ple_window on, step) by which the window grows on an exit");
module_param_named(ple_window_shrink, param_ple_window_shrink, uint, 0444);
MODULE_PARM_DESC(ple_window_shrink, "Divisor (or step) by which it shrinks when the vCPU is scheduled; 0: to start");
module_param_named(ple_window_max, param_ple_window_max, uint, 0444);
MODULE_PARM_DESC(ple_window_max, "Longest window");
module_param_cb(vmentry_l1d_flush, &l1d_param_ops, NULL, 0644);
MODULE_PARM_DESC(vmentry_l1d_flush, "L1 data cache flush on entry: never, cond, always, auto");
module_param_named(flexpriority, param_flexpriority, bool, 0444);
MODULE_PARM_DESC(flexpriority, "APIC-access page (not in this version)");
module_param_named(enable_apicv, param_apicv, bool, 0444);
MODULE_PARM_DESC(enable_apicv, "APIC virtualisation and posted interrupts (not in this version)");
module_param_named(preemption_timer, param_preemption_timer, bool, 0444);
MODULE_PARM_DESC(preemption_timer, "LAPIC timer by the VMX preemption timer (not in this version)");
module_param_named(nested, param_nested, bool, 0444);
MODULE_PARM_DESC(nested, "VMX inside guests (not in this version)");
module_param_named(pml, param_pml, bool, 0444);
MODULE_PARM_DESC(pml, "Page-modification logging by the CPU, for the dirty log");
module_param_named(vnmi, param_vnmi, bool, 0444);
MODULE_PARM_DESC(vnmi, "Virtual NMIs (always: CPUs without are refused)");

static const struct x86_cpu_id vmx_cpu_ids[] = {
	X86_MATCH_FEATURE(X86_FEATURE_VMX, NULL),
	{}
};
MODULE_DEVICE_TABLE(x86cpu, vmx_cpu_ids);

static const struct vendor_ops vmx_ops = {
	.name		= "kvm_intel",
	.owner		= THIS_MODULE,
	.amd		= false,
	.vm_size	= sizeof(struct vmx_vm),
	.vcpu_size	= sizeof(struct vmx_vcpu),
	.cpu_on		= vmx_cpu_on,
	.cpu_off	= vmx_cpu_off,
	.vm_init	= vmx_vm_init,
	.vm_destroy	= vmx_vm_destroy,
	.vcpu_init	= vmx_vcpu_init,
	.vcpu_free	= vmx_vcpu_free,
	.vcpu_reset	= vmx_vcpu_reset,
	.cpuid_changed	= vmx_cpuid_changed,
	.load		= vmx_load,
	.put		= vmx_put,
	.fetch		= vmx_fetch,
	.commit		= vmx_commit,
	.cr0_ok		= vmx_cr0_ok,
	.cr4_ok		= vmx_cr4_ok,
	.state_runs	= vmx_state_runs,
	.prepare	= vmx_prepare,
	.enter		= vmx_enter,
	.irq_exit	= vmx_irq_exit,
	.exit		= vmx_exit,
	.next_rip	= vmx_next_rip,
	.dump		= vmx_dump,
	.inject		= vmx_inject,
	.uninject	= vmx_uninject,
	.vectoring	= vmx_vectoring,
	.intercepts	= vmx_intercepts,
	.msr_intercept	= vmx_msr_intercept,
	.tsc		= vmx_tsc,
	.root		= vmx_root,
	.flush		= vmx_flush,
	.logged		= vmx_logged,
	.tpr		= vmx_tpr,
	.get_msr	= vmx_get_msr,
	.set_msr	= vmx_set_msr,
	.feature_msr	= vmx_feature_msr,
};

static struct vendor_caps seam_caps(void)
{
	return (struct vendor_caps) {
		.efer_allowed		= EFER_SCE | EFER_LME | EFER_LMA | (boot_cpu_has(X86_FEATURE_NX) ? EFER_NX : 0),
		.debugctl_allowed	= DEBUGCTLMSR_BTF,
		.tsc_max_ratio		= vmx_caps.tsc_scaling ? ~0ull : 1ull << 48,
		.tsc_frac_bits		= 48,
		.tsc_scaling		= vmx_caps.tsc_scaling,
		.two_dim		= vmx_caps.ept,
		.ept_format		= vmx_caps.ept,
		.ept_ad			= vmx_caps.ept_ad,
		.ept_exec_only		= vmx_caps.ept_x_only,
		.two_dim_levels		= vmx_caps.ept_levels,
		.page_1g		= vmx_caps.ept_1g,
		.unrestricted		= vmx_caps.unrestricted,
		.vnmi			= true,
		.mtf			= vmx_caps.mtf,
		.pml			= vmx_caps.pml,
		.dr_intercept_default	= true,
		.flush_by_asid		= vmx_caps.vpid,
	};
}

/* What the parameters asked for and this CPU or version does not have reads N. */
static void settle_params(void)
{
	param_ept = vmx_caps.ept;
	param_eptad = vmx_caps.ept_ad;
	param_vpid = vmx_caps.vpid;
	param_unrestricted = vmx_caps.unrestricted;
	if (!vmx_caps.ple)
		param_ple_gap = 0;
	param_flexpriority = false;
	param_apicv = false;
	param_preemption_timer = false;
	param_nested = false;
	param_pml = vmx_caps.pml;
	param_vnmi = true;
}

static int __init vmx_module_init(void)
{
	struct vendor_caps caps;
	int err;

	if (!(cpuid_ecx(1) & BIT(5))) {
		pr_err("this CPU has no VMX\n");
		return -EOPNOTSUPP;
	}
	if (!boot_cpu_has(X86_FEATURE_VMX)) {
		pr_err("VMX is switched off by the firmware\n");
		return -EOPNOTSUPP;
	}
	err = vmx_caps_read(&vmx_caps, true);
	if (err)
		return err;
	settle_params();
	host_init();
	perf_init();

	err = vmx_cpus_alloc();
	if (err)
		return err;
	err = l1d_init();
	if (err)
		goto free_cpus;
	vmx_msr_slots();
	virt_emergency_register(vmx_emergency);
	caps = seam_caps();
	err = vendor_register(&vmx_ops, &caps);
	if (err)
		goto forget;
	return 0;

forget:
	virt_emergency_unregister(vmx_emergency);
	host_msr_forget();
	l1d_exit();
free_cpus:
	vmx_cpus_free();
	return err;
}
module_init(vmx_module_init);

static void __exit vmx_module_exit(void)
{
	vendor_unregister();
	virt_emergency_unregister(vmx_emergency);
	host_msr_forget();
	l1d_exit();
	vmx_cpus_free();
}
module_exit(vmx_module_exit);
