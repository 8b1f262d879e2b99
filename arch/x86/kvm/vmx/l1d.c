// SPDX-License-Identifier: GPL-2.0-only
/*
 * L1 Terminal Fault: what the host left in the L1 data cache must not be there while a guest runs on EPT.
 *
 * never: nothing. always: flush at every entry. cond: flush at entries before which the host touched
 * data that is not the guest's: the first of a batch (a thread was scheduled, user space ran), after exits
 * whose handlers walk host memory, after host interrupts (the kernel's IRQ entries set a per-CPU mark).
 * By the FLUSH_CMD register where microcode has it, else by reading a buffer larger than the cache.
 *
 * The policy follows the kernel's l1tf= mitigation unless the parameter vmentry_l1d_flush says otherwise;
 * l1tf_vmx_mitigation tells sysfs.
 */
#define pr_fmt(fmt) "kvm_intel: " fmt

#include "vmx.h"
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <asm/cpufeature.h>
#include <asm/hardirq.h>
#include <asm/processor.h>

#define FILL_ORDER	4		/* 64 KB: no L1 data cache is larger */
#define FILL_SIZE	(PAGE_SIZE << FILL_ORDER)

DEFINE_STATIC_KEY_FALSE(l1d_flushing);
static DEFINE_STATIC_KEY_FALSE(l1d_conditional);

static const struct { const char *option; bool settable; } policies[] = {
	[VMENTER_L1D_FLUSH_AUTO]		= { "auto", true },
	[VMENTER_L1D_FLUSH_NEVER]		= { "never", true },
	[VMENTER_L1D_FLUSH_COND]		= { "cond", true },
	[VMENTER_L1D_FLUSH_ALWAYS]		= { "always", true },
	[VMENTER_L1D_FLUSH_EPT_DISABLED]	= { "EPT disabled", false },
	[VMENTER_L1D_FLUSH_NOT_REQUIRED]	= { "not required", false },
};

static enum vmx_l1d_flush_state wanted = VMENTER_L1D_FLUSH_AUTO;
static bool ready;			/* the CPU is known; policy_lock */
static u8 *fill;
static DEFINE_MUTEX(policy_lock);

static bool not_vulnerable(void)
{
	u64 caps = 0;

	if (!boot_cpu_has_bug(X86_BUG_L1TF))
		return true;
	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl(MSR_IA32_ARCH_CAPABILITIES, caps);
	return caps & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH;
}

static enum vmx_l1d_flush_state choose(void)
{
	if (not_vulnerable())
		return VMENTER_L1D_FLUSH_NOT_REQUIRED;
	if (!vmx_caps.ept)
		return VMENTER_L1D_FLUSH_EPT_DISABLED;
	if (l1tf_mitigation == L1TF_MITIGATION_FULL_FORCE)
		return VMENTER_L1D_FLUSH_ALWAYS;
	if (wanted != VMENTER_L1D_FLUSH_AUTO)
		return wanted;
	switch (l1tf_mitigation) {
	case L1TF_MITIGATION_OFF:
		return VMENTER_L1D_FLUSH_NEVER;
	case L1TF_MITIGATION_FULL:
		return VMENTER_L1D_FLUSH_ALWAYS;
	default:
		return VMENTER_L1D_FLUSH_COND;
	}
}

static int apply_policy(void)
{
	enum vmx_l1d_flush_state state = choose();
	bool flushes = state == VMENTER_L1D_FLUSH_COND || state == VMENTER_L1D_FLUSH_ALWAYS;

	if (flushes && !fill && !boot_cpu_has(X86_FEATURE_FLUSH_L1D)) {
		struct page *page = alloc_pages(GFP_KERNEL | __GFP_ZERO, FILL_ORDER);

		if (!page)
			return -ENOMEM;
		fill = page_address(page);
		/* Pages that differ: merging of equal ones by an outer hypervisor would make the buffer small. */
		memset(fill, 0x5a, FILL_SIZE);
		for (unsigned int i = 0; i < FILL_SIZE; i += PAGE_SIZE)
			fill[i] = i / PAGE_SIZE;
	}
	l1tf_vmx_mitigation = state;
	if (state == VMENTER_L1D_FLUSH_COND)
		static_branch_enable(&l1d_conditional);
	else
		static_branch_disable(&l1d_conditional);
	if (flushes)
		static_branch_enable(&l1d_flushing);
	else
		static_branch_disable(&l1d_flushing);
	return 0;
}

static int l1d_param_set(const char *val, const struct kernel_param *kp)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(policies); i++)
		if (policies[i].settable && sysfs_streq(val, policies[i].option))
			break;
	if (i == ARRAY_SIZE(policies))
		return -EINVAL;
	mutex_lock(&policy_lock);
	wanted = i;
	if (ready)
		err = apply_policy();
	mutex_unlock(&policy_lock);
	return err;
}

static int l1d_param_get(char *buf, const struct kernel_param *kp)
{
	unsigned int state = ready ? l1tf_vmx_mitigation : wanted;

	if (state >= ARRAY_SIZE(policies))
		return sysfs_emit(buf, "?\n");
	return sysfs_emit(buf, "%s\n", policies[state].option);
}

const struct kernel_param_ops l1d_param_ops = { .set = l1d_param_set, .get = l1d_param_get };

int l1d_init(void)
{
	int err;

	mutex_lock(&policy_lock);
	err = apply_policy();
	ready = !err;
	mutex_unlock(&policy_lock);
	return err;
}

void l1d_exit(void)
{
	mutex_lock(&policy_lock);
	ready = false;
	l1tf_vmx_mitigation = VMENTER_L1D_FLUSH_AUTO;
	mutex_unlock(&policy_lock);
	if (fill)
		free_pages((unsigned long)fill, FILL_ORDER);
	fill = NULL;
}

/* First every page, so that no TLB miss loads other lines in between; then every line. */
static void read_through(void)
{
	unsigned int i;

	for (i = 0; i < FILL_SIZE; i += PAGE_SIZE)
		(void)READ_ONCE(fill[i]);
	rmb();		/* LFENCE */
	for (i = 0; i < FILL_SIZE; i += 64)
		(void)READ_ONCE(fill[i]);
	rmb();
}

void l1d_flush(struct vmx_vcpu *vmx)
{
	if (static_branch_likely(&l1d_conditional)) {
		bool due = vmx->l1d_dirty | kvm_get_cpu_l1tf_flush_l1d();

		vmx->l1d_dirty = false;
		kvm_clear_cpu_l1tf_flush_l1d();
		if (!due)
			return;
	}
	vmx->x.vcpu.stat.l1d_flush++;
	if (static_cpu_has(X86_FEATURE_FLUSH_L1D))
		native_wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	else
		read_through();
}
