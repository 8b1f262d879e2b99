// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_CHECK_EXTENSION for what virt/kvm itself offers: a table of constants, sorted by number. Everything else is the
 * architecture's to answer, and what nobody knows is 0, never an error.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/abi.h>
#include <kvm/arch.h>
#include <kvm/coalesced.h>
#include <kvm/core.h>
#include <linux/cpumask.h>
#include <linux/kernel.h>

/* Asked for again at each call: CPUs come and go. */
#define CAP_ONLINE_CPUS	(-1)

static const struct cap {
	u16 nr;
	s32 value;
} caps[] = {
	{ KVM_CAP_USER_MEMORY,				1 },
	{ KVM_CAP_NR_VCPUS,				CAP_ONLINE_CPUS },
	{ KVM_CAP_NR_MEMSLOTS,				KVM_USER_SLOTS },
	{ KVM_CAP_COALESCED_MMIO,			COALESCED_PAGE },
	{ KVM_CAP_SYNC_MMU,				1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS,		1 },
	{ KVM_CAP_IRQ_ROUTING,				KVM_MAX_GSI },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS,		1 },
	{ KVM_CAP_IRQFD,				1 },
	{ KVM_CAP_IOEVENTFD,				1 },
	{ KVM_CAP_INTERNAL_ERROR_DATA,			1 },
	{ KVM_CAP_ENABLE_CAP,				1 },
	{ KVM_CAP_MAX_VCPUS,				KVM_MAX_VCPUS },
	{ KVM_CAP_READONLY_MEM,				1 },
	{ KVM_CAP_IRQFD_RESAMPLE,			1 },
	{ KVM_CAP_DEVICE_CTRL,				1 },
	{ KVM_CAP_ENABLE_CAP_VM,			1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH,			1 },
	{ KVM_CAP_CHECK_EXTENSION_VM,			1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH,			1 },
	{ KVM_CAP_MAX_VCPU_ID,				KVM_MAX_VCPU_ID },
	{ KVM_CAP_IMMEDIATE_EXIT,			1 },
	{ KVM_CAP_COALESCED_PIO,			1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,		KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
							KVM_DIRTY_LOG_INITIALLY_SET },
	{ KVM_CAP_HALT_POLL,				1 },
	{ KVM_CAP_BINARY_STATS_FD,			1 },
	{ KVM_CAP_USER_MEMORY2,				1 },
};

long core_check_extension(struct kvm *kvm, unsigned long cap)
{
	unsigned int lo = 0, hi = ARRAY_SIZE(caps);

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (caps[mid].nr == cap) {
			if (caps[mid].value != CAP_ONLINE_CPUS)
				return caps[mid].value;
			return min_t(unsigned int, num_online_cpus(), KVM_MAX_VCPUS);
		}
		if (caps[mid].nr < cap)
			lo = mid + 1;
		else
			hi = mid;
	}
	return max(arch_check_extension(kvm, cap), 0L);
}

int core_caps_check(void)
{
	unsigned int i;

	for (i = 1; i < ARRAY_SIZE(caps); i++) {
		if (caps[i - 1].nr >= caps[i].nr) {
			pr_err("capability %u is not in its place\n", caps[i].nr);
			return -EINVAL;
		}
	}
	return 0;
}
