/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A field of struct kvm_run that newer headers call by another name inside a kernel, because user space may change it
 * between two looks: the reader below looks once. The ABI puts it in byte 1.
 */
#ifndef COMPAT_RUN_PAGE_H
#define COMPAT_RUN_PAGE_H

#include <linux/build_bug.h>
#include <linux/kvm.h>
#include <linux/stddef.h>

static inline bool run_immediate_exit(const struct kvm_run *run)
{
	static_assert(offsetof(struct kvm_run, exit_reason) == 8);
	return READ_ONCE(((const u8 *)run)[1]);
}

#endif
