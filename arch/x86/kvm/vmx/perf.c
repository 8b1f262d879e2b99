// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's performance counters round guest mode. perf says which registers must hold something else
 * while a guest runs (counters that exclude guests; PEBS, whose records would go to guest addresses);
 * hardware swaps them by the VM-entry and VM-exit MSR-load lists. Hosts without a PMU skip all of it.
 *
 * PEBS is turned off before the entry instead: it may still be writing a record when the counters stop.
 */
#include "vmx.h"
#include <linux/gfp.h>
#include <linux/mm.h>
#include <asm/perf_event.h>

#define LIST_MAX	64		/* perf's own arrays are smaller; each list has room for half a page */

struct vmx_msr_lists {			/* one page */
	struct vmx_msr_entry entry[LIST_MAX], exit[LIST_MAX];
	u32 entries, exits;		/* what the VMCS says */
};
static_assert(sizeof(struct vmx_msr_lists) <= PAGE_SIZE);

DEFINE_STATIC_KEY_FALSE(host_pmu);

/* A CPU with a PMU always has at least one register to switch. */
void perf_init(void)
{
	int n = 0;

	preempt_disable();
	perf_guest_get_msrs(&n, NULL);
	preempt_enable();
	if (n)
		static_branch_enable(&host_pmu);
}

int perf_vcpu_init(struct vmx_vcpu *vmx)
{
	if (!static_key_enabled(&host_pmu))
		return 0;
	vmx->perf = (struct vmx_msr_lists *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return vmx->perf ? 0 : -ENOMEM;
}

void perf_vcpu_free(struct vmx_vcpu *vmx)
{
	free_page((unsigned long)vmx->perf);
	vmx->perf = NULL;
}

void perf_constants(struct vmx_vcpu *vmx)
{
	vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	if (vmx->perf) {
		vmcs_write(VM_ENTRY_MSR_LOAD_ADDR, __pa(vmx->perf->entry));
		vmcs_write(VM_EXIT_MSR_LOAD_ADDR, __pa(vmx->perf->exit));
	}
}

void perf_switch(struct vmx_vcpu *vmx)
{
	struct vmx_msr_lists *l = vmx->perf;
	struct perf_guest_switch_msr *msrs;
	u32 entries = 0, exits = 0;
	int i, n = 0;

	msrs = perf_guest_get_msrs(&n, NULL);
	for (i = 0; msrs && i < n; i++) {
		if (msrs[i].host == msrs[i].guest)
			continue;
		if (exits == LIST_MAX)
			break;
		l->exit[exits].index = msrs[i].msr;
		l->exit[exits++].value = msrs[i].host;
		if (msrs[i].msr == MSR_IA32_PEBS_ENABLE) {
			wrmsrl(MSR_IA32_PEBS_ENABLE, msrs[i].guest);
			continue;
		}
		l->entry[entries].index = msrs[i].msr;
		l->entry[entries++].value = msrs[i].guest;
	}
	if (entries != l->entries) {
		l->entries = entries;
		vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, entries);
	}
	if (exits != l->exits) {
		l->exits = exits;
		vmcs_write(VM_EXIT_MSR_LOAD_COUNT, exits);
	}
}
