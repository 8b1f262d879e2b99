// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs as user space sees them: the list to migrate, the list of those that describe the CPU model, and reading and
 * writing many in one call.
 *
 * vcpu_* run with the vCPU loaded; entries are handled one by one until the first that fails, and the number done
 * is returned (0 is a number, not an error).
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/msr-index.h>
#include <asm/kvm_para.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/machine.h>
#include "msr.h"

#define MSRS_MAX	256		/* of a list, and entries of one call */

/* Listed, and owned by other files than msr.c. */
static const u32 others_listed[] = {
	MSR_IA32_TSC, MSR_IA32_TSC_ADJUST, 0x11, 0x12, MSR_IA32_SPEC_CTRL, MSR_TSC_AUX,
	MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_STEAL_TIME, MSR_KVM_PV_EOI_EN, MSR_KVM_POLL_CONTROL,
	MSR_KVM_ASYNC_PF_EN,
};

static bool other_exists(u32 msr)
{
	switch (msr) {
	case MSR_IA32_SPEC_CTRL:
		return cpuid_supports(7, 0, 3, 26) || cpuid_supports(0x80000008, 0, 1, 14);
	case MSR_TSC_AUX:
		return cpuid_supports(0x80000001, 0, 3, 27) || cpuid_supports(7, 0, 2, 22);
	case MSR_IA32_TSC_ADJUST:
		return cpuid_supports(7, 0, 1, 1);
	}
	return true;
}

static bool row_here(const struct msr_row *r)
{
	if ((r->flags & (MSR_INTEL | MSR_AMD)) && !(r->flags & (vendor_ops.amd ? MSR_AMD : MSR_INTEL)))
		return false;
	return !r->exists || r->exists();
}

static unsigned int list_msrs(u32 *list)
{
	unsigned int n = 0, i;
	u32 msr;

	for (i = 0; i < msr_table_rows; i++) {
		if (!(msr_table[i].flags & MSR_LISTED) || !row_here(&msr_table[i]))
			continue;
		for (msr = msr_table[i].first; msr <= msr_table[i].last && n < MSRS_MAX; msr++)
			list[n++] = msr;
	}
	for (i = 0; i < ARRAY_SIZE(others_listed) && n < MSRS_MAX; i++)
		if (other_exists(others_listed[i]))
			list[n++] = others_listed[i];
	return n;
}

/* What a CPU model may be asked for; the vendor's (VMX capabilities, AMD's LFENCE bit) among them. */
static unsigned int list_features(u32 *list)
{
	static const u32 candidates[] = { MSR_IA32_UCODE_REV, MSR_IA32_ARCH_CAPABILITIES, MSR_IA32_PERF_CAPABILITIES,
					  MSR_AMD64_DE_CFG };
	unsigned int n = 0, i;
	u64 val;

	for (i = 0; i < ARRAY_SIZE(candidates); i++)
		if (msr_feature_value(candidates[i], &val))
			list[n++] = candidates[i];
	return n;
}

/* The header's nmsrs says how many fit; the true number is always handed back. */
static long copy_list(struct kvm_call *c, unsigned int (*fill)(u32 *list))
{
	struct kvm_msr_list __user *user = c->uarg;
	u32 room, n, *list;
	long err = 0;

	if (get_user(room, &user->nmsrs))
		return -EFAULT;
	list = kmalloc_array(MSRS_MAX, sizeof(*list), GFP_KERNEL_ACCOUNT);
	if (!list)
		return -ENOMEM;
	n = fill(list);
	if (put_user(n, &user->nmsrs))
		err = -EFAULT;
	else if (room < n)
		err = -E2BIG;
	else if (copy_to_user(user->indices, list, n * sizeof(*list)))
		err = -EFAULT;
	kfree(list);
	return err;
}

long dev_msr_index_list(struct kvm_call *c)
{
	return copy_list(c, list_msrs);
}

long dev_msr_feature_list(struct kvm_call *c)
{
	return copy_list(c, list_features);
}

/* Runs one() over the caller's entries; copies them back when they were read. */
static long each_msr(struct kvm_call *c, bool out, bool (*one)(struct kvm_call *c, struct kvm_msr_entry *e))
{
	struct kvm_msrs __user *user = c->uarg;
	struct kvm_msr_entry *entry;
	u32 n, i;
	long done;

	if (get_user(n, &user->nmsrs))
		return -EFAULT;
	if (n > MSRS_MAX)
		return -E2BIG;
	entry = memdup_user(user->entries, n * sizeof(*entry));
	if (IS_ERR(entry))
		return PTR_ERR(entry);
	for (i = 0; i < n; i++)
		if (!one(c, &entry[i]))
			break;
	done = i;
	if (out && copy_to_user(user->entries, entry, n * sizeof(*entry)))
		done = -EFAULT;
	kfree(entry);
	return done;
}

static bool get_feature(struct kvm_call *c, struct kvm_msr_entry *e)
{
	u64 val = 0;
	bool ok = msr_feature_value(e->index, &val);

	e->data = val;
	return ok;
}

static bool get_one(struct kvm_call *c, struct kvm_msr_entry *e)
{
	u64 val = 0;
	bool ok = msr_read(x86_vcpu(c->vcpu), e->index, &val, true) == MSR_OK;

	e->data = val;
	return ok;
}

static bool set_one(struct kvm_call *c, struct kvm_msr_entry *e)
{
	return msr_write(x86_vcpu(c->vcpu), e->index, e->data, true) == MSR_OK;
}

long dev_get_msrs(struct kvm_call *c)
{
	return each_msr(c, true, get_feature);
}

static long each_vcpu_msr(struct kvm_call *c, bool out, bool (*one)(struct kvm_call *c, struct kvm_msr_entry *e))
{
	long n;

	c->vcpu->srcu_idx = srcu_read_lock(&c->kvm->srcu);
	n = each_msr(c, out, one);
	srcu_read_unlock(&c->kvm->srcu, c->vcpu->srcu_idx);
	return n;
}

long vcpu_get_msrs(struct kvm_call *c)
{
	return each_vcpu_msr(c, true, get_one);
}

long vcpu_set_msrs(struct kvm_call *c)
{
	return each_vcpu_msr(c, false, set_one);
}
