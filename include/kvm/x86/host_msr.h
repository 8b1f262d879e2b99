/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Host MSRs that only user space uses (syscall entry points, TSC_AUX): they hold the guest's values until the thread
 * returns to user space, so that exits and entries need not switch them (kernel user-return notifier).
 */
#ifndef KVM_X86_HOST_MSR_H
#define KVM_X86_HOST_MSR_H

#include <linux/types.h>

/* Vendor init, before any vCPU: a slot for the MSR, or -1 where this CPU does not have it (probed). */
int host_msr_slot(u32 msr);
/* Preemption off. Bits outside mask stay the host's. Writes only when the register differs. */
void host_msr_set(unsigned int slot, u64 val, u64 mask);
/* IRQs off: this CPU stops virtualising; the host's values are put back. */
void host_msr_cpu_off(void);
void host_msr_forget(void);			/* the vendor unregisters: no slot remains */

#endif
