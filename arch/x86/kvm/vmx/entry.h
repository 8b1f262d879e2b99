/* SPDX-License-Identifier: GPL-2.0-only */
/* What enter.S reads: plain offsets, pinned to the structure by run.c. */
#ifndef KVM_VMX_ENTRY_H
#define KVM_VMX_ENTRY_H

#define ENTRY_HOST_RSP		0
#define ENTRY_GUEST_SPEC	8
#define ENTRY_HOST_SPEC		16
#define ENTRY_FLAGS		24

/* entry.flags */
#define ENTRY_LAUNCHED_BIT	0	/* VMRESUME, not VMLAUNCH */
#define ENTRY_SAVE_SPEC_BIT	1	/* the guest writes SPEC_CTRL itself: read it back */

#ifndef __ASSEMBLY__
#include <linux/bits.h>
#include <linux/types.h>

#define ENTRY_LAUNCHED		BIT(ENTRY_LAUNCHED_BIT)
#define ENTRY_SAVE_SPEC		BIT(ENTRY_SAVE_SPEC_BIT)

struct vmx_entry {
	u64 host_rsp;			/* what the VMCS's HOST_RSP holds */
	u64 guest_spec, host_spec;	/* SPEC_CTRL of either side */
	u32 flags;
};

/* enter.S. Returns 0 after a VM exit, 1 if VM entry failed before the guest state was looked at. */
unsigned long vmx_enter_guest(u64 *gpr, struct vmx_entry *e);
void vmx_exited(void);			/* HOST_RIP: not a function */
#endif

#endif
