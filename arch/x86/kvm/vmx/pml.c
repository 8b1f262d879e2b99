// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page-modification logging (SDM 29.3.6): whenever the CPU sets the dirty bit of an EPT entry, it writes the page's
 * guest-physical address into a log of 512 entries, filled from the end, and exits when there is no room for the next.
 * The control is on for as long as the vCPU lives: entries of pages that nobody logs have their dirty bits set from the
 * start, so nothing is written for them.
 *
 * vCPU thread, loaded.
 */
#include "vmx.h"
#include <linux/gfp.h>

#define ENTRIES	(PAGE_SIZE / sizeof(u64))

int pml_vcpu_init(struct vmx_vcpu *vmx)
{
	if (!vmx_caps.pml)
		return 0;
	vmx->pml = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return vmx->pml ? 0 : -ENOMEM;
}

void pml_vcpu_free(struct vmx_vcpu *vmx)
{
	free_page((unsigned long)vmx->pml);
	vmx->pml = NULL;
}

void pml_constants(struct vmx_vcpu *vmx)
{
	if (!vmx->pml)
		return;
	vmcs_write(PML_ADDRESS, __pa(vmx->pml));
	vmcs_write(GUEST_PML_INDEX, ENTRIES - 1);
}

/* The index names the next entry to be written; it has wrapped below 0 where all are. */
unsigned int vmx_logged(struct x86_vcpu *v, const u64 **gpas)
{
	struct vmx_vcpu *vmx = to_vmx(v);
	unsigned int first;

	if (!vmx->pml)
		return 0;
	first = (u16)(vmcs_read(GUEST_PML_INDEX) + 1);
	if (first >= ENTRIES)
		return 0;
	vmcs_write(GUEST_PML_INDEX, ENTRIES - 1);
	*gpas = vmx->pml + first;
	return ENTRIES - first;
}
