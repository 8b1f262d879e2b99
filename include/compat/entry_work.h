/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Work that a thread has to do before it enters a guest (signals, rescheduling, task work): the kernel's function
 * for it. Kernels before the header linux/entry-virt.h give it a vCPU of their own layout, in which they write when a
 * signal is pending; arch/x86/kvm/entry_work.c has what to pass there.
 */
#ifndef COMPAT_ENTRY_WORK_H
#define COMPAT_ENTRY_WORK_H

#ifdef HAVE_ENTRY_VIRT
#include <linux/entry-virt.h>
#define xfer_work_handle(scratch)	((void)(scratch), xfer_to_guest_mode_handle_work())
#else
#include <linux/entry-kvm.h>
#define xfer_work_handle(scratch)	xfer_to_guest_mode_handle_work((struct kvm_vcpu *)(scratch))
#endif

#endif
