// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMX operation on and off, CPU by CPU. The core calls with IRQs off: when the first VM comes and the last
 * goes, on hotplug, suspend and reboot. vmx_emergency() is for crashes: any context, NMI included.
 */
#define pr_fmt(fmt) "kvm_intel: " fmt

#include "vmx.h"
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/topology.h>
#include <asm/msr-index.h>
#include <asm/perf_event.h>
#include <asm/tlbflush.h>

static DEFINE_PER_CPU(u32 *, vmxon_region);

int vmx_cpus_alloc(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct page *page = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		u32 *region;

		if (!page) {
			vmx_cpus_free();
			return -ENOMEM;
		}
		region = page_address(page);
		region[0] = vmx_caps.revision;
		per_cpu(vmxon_region, cpu) = region;
		vmcs_cpu_init(cpu);
	}
	return 0;
}

void vmx_cpus_free(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		free_page((unsigned long)per_cpu(vmxon_region, cpu));
		per_cpu(vmxon_region, cpu) = NULL;
	}
}

/*
 * VMXON needs the register locked with the bit of the mode that the machine was started in. Which of the two
 * that is the kernel has looked at already: it drops the CPU's VMX flag where it is the wrong one.
 */
static int feature_control(void)
{
	const u64 either = FEAT_CTL_VMX_ENABLED_INSIDE_SMX | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX;
	u64 val;

	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &val)) {
		pr_err("CPU %d: no IA32_FEATURE_CONTROL register\n", smp_processor_id());
		return -EOPNOTSUPP;
	}
	if ((val & FEAT_CTL_LOCKED) && (val & either))
		return 0;
	if (!(val & FEAT_CTL_LOCKED) &&
	    !wrmsrl_safe(MSR_IA32_FEAT_CTL, val | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX | FEAT_CTL_LOCKED))
		return 0;
	pr_err("CPU %d: VMX is switched off by the firmware (IA32_FEATURE_CONTROL %llx)\n", smp_processor_id(), val);
	return -EOPNOTSUPP;
}

int vmx_cpu_on(void)
{
	u32 *region = this_cpu_read(vmxon_region);
	struct vmx_caps caps;
	int err;

	if (native_read_cr4() & X86_CR4_VMXE) {
		pr_err("CPU %d: another hypervisor uses VMX\n", smp_processor_id());
		return -EBUSY;
	}
	err = feature_control();
	if (err)
		return err;
	err = vmx_caps_read(&caps, true);
	if (err)
		return err;
	if (memcmp(&caps, &vmx_caps, sizeof(caps))) {
		pr_err("CPU %d: its VMX capabilities differ from the first CPU's\n", smp_processor_id());
		return -EIO;
	}

	intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	if (!vmx_vmxon(__pa(region))) {
		cr4_clear_bits(X86_CR4_VMXE);
		intel_pt_handle_vmx(0);
		pr_err("CPU %d: VMXON failed\n", smp_processor_id());
		return -EIO;
	}
	/* Tags left from an earlier time in VMX operation may be given out again. */
	flush_cpu();
	return 0;
}

void vmx_cpu_off(void)
{
	vmcs_clear_all();
	if (!vmx_vmxoff())
		pr_warn("CPU %d: VMXOFF failed\n", smp_processor_id());
	cr4_clear_bits(X86_CR4_VMXE);
	intel_pt_handle_vmx(0);
}

/* Memory must be whole for the crash kernel, and INIT must work for it: VMCLEAR, VMXOFF, nothing more. */
void vmx_emergency(void)
{
	if (!(native_read_cr4() & X86_CR4_VMXE))
		return;
	vmcs_crash_clear();
	vmx_vmxoff();
	cr4_clear_bits(X86_CR4_VMXE);
}
