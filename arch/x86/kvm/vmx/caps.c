// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hardware floor and the optional features. The floor is a table of named control bits: the first
 * one that a CPU lacks is what the refusal says. Optional features are derived from the same MSRs and the
 * module parameters. Runs at module init and, to find CPUs that differ from the first, in cpu_on().
 */
#define pr_fmt(fmt) "kvm_intel: " fmt

#include "caps.h"
#include <linux/array_size.h>
#include <linux/bits.h>
#include <linux/cache.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <asm/msr.h>
#include <asm/page.h>

struct vmx_caps vmx_caps __ro_after_init;

static const u32 ctl_msr[NR_VMCTLS] = {
	[VMCTL_PIN]	= MSR_IA32_VMX_TRUE_PINBASED_CTLS,
	[VMCTL_CPU]	= MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
	[VMCTL_CPU2]	= MSR_IA32_VMX_PROCBASED_CTLS2,
	[VMCTL_EXIT]	= MSR_IA32_VMX_TRUE_EXIT_CTLS,
	[VMCTL_ENTRY]	= MSR_IA32_VMX_TRUE_ENTRY_CTLS,
};

/* What nothing here works without. In the order of the fields, so that secondary controls are read last. */
static const struct { enum vmx_ctl ctl; u32 bit; const char *name; } hw_floor[] = {
	{ VMCTL_PIN,	PIN_BASED_EXT_INTR_MASK,		"external-interrupt exiting" },
	{ VMCTL_PIN,	PIN_BASED_NMI_EXITING,			"NMI exiting" },
	{ VMCTL_PIN,	PIN_BASED_VIRTUAL_NMIS,			"virtual NMIs" },
	{ VMCTL_CPU,	CPU_BASED_ACTIVATE_SECONDARY_CONTROLS,	"secondary controls" },
	{ VMCTL_CPU,	CPU_BASED_USE_MSR_BITMAPS,		"MSR bitmaps" },
	{ VMCTL_CPU,	CPU_BASED_TPR_SHADOW,			"TPR shadow" },
	{ VMCTL_CPU,	CPU_BASED_USE_TSC_OFFSETTING,		"TSC offsetting" },
	{ VMCTL_CPU,	CPU_BASED_UNCOND_IO_EXITING,		"unconditional I/O exiting" },
	{ VMCTL_CPU,	CPU_BASED_HLT_EXITING,			"HLT exiting" },
	{ VMCTL_CPU,	CPU_BASED_MWAIT_EXITING,		"MWAIT exiting" },
	{ VMCTL_CPU,	CPU_BASED_MONITOR_EXITING,		"MONITOR exiting" },
	{ VMCTL_CPU,	CPU_BASED_INVLPG_EXITING,		"INVLPG exiting" },
	{ VMCTL_CPU,	CPU_BASED_RDPMC_EXITING,		"RDPMC exiting" },
	{ VMCTL_CPU,	CPU_BASED_RDTSC_EXITING,		"RDTSC exiting" },
	{ VMCTL_CPU,	CPU_BASED_MOV_DR_EXITING,		"MOV-DR exiting" },
	{ VMCTL_CPU,	CPU_BASED_CR3_LOAD_EXITING,		"CR3-load exiting" },
	{ VMCTL_CPU,	CPU_BASED_CR3_STORE_EXITING,		"CR3-store exiting" },
	{ VMCTL_CPU,	CPU_BASED_CR8_LOAD_EXITING,		"CR8-load exiting" },
	{ VMCTL_CPU,	CPU_BASED_CR8_STORE_EXITING,		"CR8-store exiting" },
	{ VMCTL_CPU,	CPU_BASED_INTR_WINDOW_EXITING,		"interrupt-window exiting" },
	{ VMCTL_CPU,	CPU_BASED_NMI_WINDOW_EXITING,		"NMI-window exiting" },
	{ VMCTL_EXIT,	VM_EXIT_HOST_ADDR_SPACE_SIZE,		"64-bit host" },
	{ VMCTL_EXIT,	VM_EXIT_ACK_INTR_ON_EXIT,		"interrupt acknowledge on exit" },
	{ VMCTL_EXIT,	VM_EXIT_SAVE_DEBUG_CONTROLS,		"saving debug controls" },
	{ VMCTL_EXIT,	VM_EXIT_LOAD_IA32_EFER,			"loading EFER on exit" },
	{ VMCTL_EXIT,	VM_EXIT_LOAD_IA32_PAT,			"loading PAT on exit" },
	{ VMCTL_ENTRY,	VM_ENTRY_LOAD_DEBUG_CONTROLS,		"loading debug controls" },
	{ VMCTL_ENTRY,	VM_ENTRY_IA32E_MODE,			"64-bit guests" },
	{ VMCTL_ENTRY,	VM_ENTRY_LOAD_IA32_EFER,		"loading EFER on entry" },
	{ VMCTL_ENTRY,	VM_ENTRY_LOAD_IA32_PAT,			"loading PAT on entry" },
};

/* Controls that would change what the guest sees if hardware forced them on: TRUE MSRs let all of them be 0. */
static const struct { enum vmx_ctl ctl; u32 bit; const char *name; } hw_unforced[] = {
	{ VMCTL_CPU,	CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING, "CR3 access without exit" },
	{ VMCTL_CPU,	CPU_BASED_INVLPG_EXITING,		"INVLPG without exit" },
};

static int refuse(bool loud, const char *what)
{
	if (loud)
		pr_err("this CPU's VMX cannot be used: %s is missing\n", what);
	return -EOPNOTSUPP;
}

static int read_controls(struct vmx_caps *c, bool loud)
{
	unsigned int i;

	for (i = 0; i < NR_VMCTLS; i++) {
		/* Reading the secondary controls' MSR faults unless the primary ones announce it. */
		if (i == VMCTL_CPU2 && !(c->may[VMCTL_CPU] & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS))
			continue;
		rdmsr(ctl_msr[i], c->must[i], c->may[i]);
	}
	for (i = 0; i < ARRAY_SIZE(hw_floor); i++)
		if (!(c->may[hw_floor[i].ctl] & hw_floor[i].bit))
			return refuse(loud, hw_floor[i].name);
	for (i = 0; i < ARRAY_SIZE(hw_unforced); i++)
		if (c->must[hw_unforced[i].ctl] & hw_unforced[i].bit)
			return refuse(loud, hw_unforced[i].name);
	return 0;
}

/* EPT and VPID with the invalidations they need to be of use. */
static void read_ept_vpid(struct vmx_caps *c)
{
	const u32 ept_need = VMX_EPT_PAGE_WALK_4_BIT | VMX_EPTP_WB_BIT | VMX_EPT_2MB_PAGE_BIT | VMX_EPT_INVEPT_BIT;
	const u32 vpid_one = VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT, vpid_all = VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT;
	u32 cpu2 = c->may[VMCTL_CPU2];

	if (cpu2 & (SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_ENABLE_VPID))
		rdmsr(MSR_IA32_VMX_EPT_VPID_CAP, c->ept_vpid_lo, c->ept_vpid_hi);

	c->ept = param_ept && (cpu2 & SECONDARY_EXEC_ENABLE_EPT) && (c->ept_vpid_lo & ept_need) == ept_need &&
		 (c->ept_vpid_lo & (VMX_EPT_EXTENT_CONTEXT_BIT | VMX_EPT_EXTENT_GLOBAL_BIT));
	if (c->ept) {
		c->ept_ad = param_eptad && (c->ept_vpid_lo & VMX_EPT_AD_BIT);
		c->ept_1g = c->ept_vpid_lo & VMX_EPT_1GB_PAGE_BIT;
		c->ept_x_only = c->ept_vpid_lo & VMX_EPT_EXECUTE_ONLY_BIT;
		c->ept_levels = 4;
		c->invept_one = c->ept_vpid_lo & VMX_EPT_EXTENT_CONTEXT_BIT;
		c->unrestricted = param_unrestricted && (cpu2 & SECONDARY_EXEC_UNRESTRICTED_GUEST);
		c->pml = param_pml && c->ept_ad && (cpu2 & SECONDARY_EXEC_ENABLE_PML);
	}

	c->vpid = param_vpid && (cpu2 & SECONDARY_EXEC_ENABLE_VPID) && (c->ept_vpid_hi & VMX_VPID_INVVPID_BIT) &&
		  (c->ept_vpid_hi & (vpid_one | vpid_all));
	if (c->vpid) {
		c->invvpid_addr = c->ept_vpid_hi & VMX_VPID_EXTENT_INDIVIDUAL_ADDR_BIT;
		c->invvpid_one = c->ept_vpid_hi & vpid_one;
	}
}

int vmx_caps_read(struct vmx_caps *c, bool loud)
{
	u64 basic, misc;
	int err;

	memset(c, 0, sizeof(*c));
	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	if (!(basic & BIT_ULL(55)))
		return refuse(loud, "the set of TRUE control MSRs");
	if (basic & BIT_ULL(48))
		return refuse(loud, "VMX structures beyond 4 GB");
	if (((basic >> 32) & 0x1fff) > PAGE_SIZE)
		return refuse(loud, "a VMCS that fits a page");
	if (((basic >> 50) & 15) != 6)
		return refuse(loud, "write-back memory for VMX structures");
	c->revision = basic & GENMASK(30, 0);
	c->ins_outs_info = basic & BIT_ULL(54);

	err = read_controls(c, loud);
	if (err)
		return err;
	read_ept_vpid(c);

	rdmsrl(MSR_IA32_VMX_CR0_FIXED0, c->cr0_fixed0);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, c->cr4_fixed0);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED1, c->cr4_fixed1);
	rdmsrl(MSR_IA32_VMX_MISC, misc);
	c->zero_length = misc & BIT_ULL(30);
	c->mtf = c->may[VMCTL_CPU] & CPU_BASED_MONITOR_TRAP_FLAG;
	c->ple = param_ple_gap && (c->may[VMCTL_CPU2] & SECONDARY_EXEC_PAUSE_LOOP_EXITING);
	c->x2apic_tpr = c->may[VMCTL_CPU2] & SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE;
	c->tsc_scaling = c->may[VMCTL_CPU2] & SECONDARY_EXEC_TSC_SCALING;
	return 0;
}
