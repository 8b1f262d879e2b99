// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pending work of the thread, before it enters the guest.
 *
 * The kernel's function takes a struct kvm_vcpu, and means the one of the kernel's own build: when a signal is
 * pending it stores an exit reason through the pointer `run` in it and adds one to a counter. Ours has another layout,
 * so it gets a scratch area instead, every word of which points at a run structure that nobody reads: wherever the
 * kernel looks for `run`, it finds one. The counter is another word, which is a strange pointer from then on and never
 * used as one. Both are shared by all vCPUs: nothing that is written there means anything.
 *
 * entry_work_init() once, at module load; entry_work_handle() in process context, IRQs on, may sleep.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <linux/kvm.h>
#include <linux/sched.h>
#include <compat/entry_work.h>
#include "entry_work.h"

/* Several times what the kernel's structure has in any build (6.5 KB without debugging aids). */
#define SCRATCH_BYTES	(32 * 1024)

static struct kvm_run nobody_reads;
static struct kvm_run *scratch[SCRATCH_BYTES / sizeof(void *)];

void entry_work_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(scratch); i++)
		scratch[i] = &nobody_reads;
}

int entry_work_handle(void)
{
	return xfer_work_handle(scratch);
}
