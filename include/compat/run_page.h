/* SPDX-License-Identifier: GPL-2.0-only */
/* Fields of struct kvm_run that newer headers call by other names. */
#ifndef COMPAT_RUN_PAGE_H
#define COMPAT_RUN_PAGE_H

#include <linux/build_bug.h>
#include <linux/kvm.h>
#include <linux/stddef.h>

/* Another name inside a kernel, because user space may change it between two looks. The ABI puts it in byte 1. */
static inline bool run_immediate_exit(const struct kvm_run *run)
{
	static_assert(offsetof(struct kvm_run, exit_reason) == 8);
	return READ_ONCE(((const u8 *)run)[1]);
}

/* KVM_EXIT_HYPERCALL's `longmode` became bit 0 of `flags`, in the same place. */
static inline void run_hypercall_longmode(struct kvm_run *run, bool wide)
{
#ifdef KVM_EXIT_HYPERCALL_LONG_MODE
	run->hypercall.flags = wide ? KVM_EXIT_HYPERCALL_LONG_MODE : 0;
#else
	run->hypercall.longmode = wide;
#endif
}

#endif
