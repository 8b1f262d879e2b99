/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What VMX can do here, read once from the capability MSRs (SDM appendix A) and cut down by the module
 * parameters. Written by module init only; constant while a VM exists.
 */
#ifndef KVM_VMX_CAPS_H
#define KVM_VMX_CAPS_H

#include <linux/types.h>
#include <asm/vmx.h>

/* The five control fields that are managed by bits. */
enum vmx_ctl { VMCTL_PIN, VMCTL_CPU, VMCTL_CPU2, VMCTL_EXIT, VMCTL_ENTRY, NR_VMCTLS };

struct vmx_caps {
	u32 revision;
	u32 must[NR_VMCTLS];		/* hardware insists on 1 */
	u32 may[NR_VMCTLS];		/* hardware allows 1 */
	u64 cr0_fixed0, cr4_fixed0, cr4_fixed1;
	u32 ept_vpid_lo, ept_vpid_hi;	/* IA32_VMX_EPT_VPID_CAP */
	bool ins_outs_info;		/* the instruction-information field is valid for INS and OUTS */
	bool zero_length;		/* software events may be injected with instruction length 0 */
	bool ept, ept_ad, ept_1g, ept_x_only;
	u8 ept_levels;
	bool invept_one;		/* INVEPT of one context; else all */
	bool vpid, invvpid_addr, invvpid_one;
	bool unrestricted;
	bool ple;
	bool x2apic_tpr;		/* the x2APIC's TPR without exits */
	bool mtf, pml, tsc_scaling;
};

extern struct vmx_caps vmx_caps;

/* Fills *c for this CPU; -errno, naming what is missing if loud. */
int vmx_caps_read(struct vmx_caps *c, bool loud);

static inline bool ctl_may(enum vmx_ctl ctl, u32 bits)
{
	return (vmx_caps.may[ctl] & bits) == bits;
}

/* Module parameters (main.c) that the capabilities are cut down by. */
extern bool param_ept, param_eptad, param_vpid, param_unrestricted, param_pml;
extern unsigned int param_ple_gap;

#endif
