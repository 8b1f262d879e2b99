// SPDX-License-Identifier: GPL-2.0-only
/*
 * Event injection and what an exit interrupted (SDM 27.6, 28.2.4). vCPU thread, loaded.
 */
#include "vmx.h"

void vmx_inject(struct x86_vcpu *v, const struct x86_event *e)
{
	struct vmx_vcpu *vmx = to_vmx(v);
	u32 info = INTR_INFO_VALID_MASK | (u32)e->type << 8 | e->vector;

	/* Real mode pushes no error codes, and entry refuses one there. CR0.PE is always right in the cache. */
	if (e->has_error && e->type == EV_EXCEPTION && (v->state.cr0 & X86_CR0_PE)) {
		info |= INTR_INFO_DELIVER_CODE_MASK;
		vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, e->error);
	}
	if (e->type >= EV_SOFT_INT) {
		u8 len = e->insn_len;

		/* One that never was an instruction: only newer CPUs take length 0. */
		if (!len && !vmx_caps.zero_length)
			len = 1;
		vmcs_write(VM_ENTRY_INSTRUCTION_LEN, len);
	}
	vmx->inject_nmi = e->type == EV_NMI;
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, info);
}

void vmx_uninject(struct x86_vcpu *v)
{
	struct vmx_vcpu *vmx = to_vmx(v);

	if (vmx_loaded(vmx))
		vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	vmx->inject_nmi = false;
}

void vmx_vectoring(struct x86_vcpu *v, struct x86_event *e)
{
	struct vmx_vcpu *vmx = to_vmx(v);
	u32 info;

	e->type = EV_NONE;
	if (!(vmx->row_flags & ROW_VECTOR))
		return;
	info = vmcs_read(IDT_VECTORING_INFO_FIELD);
	if (!(info & INTR_INFO_VALID_MASK))
		return;

	e->type = (info & INTR_INFO_INTR_TYPE_MASK) >> 8;
	e->vector = info & INTR_INFO_VECTOR_MASK;
	e->has_error = info & INTR_INFO_DELIVER_CODE_MASK;
	e->error = e->has_error ? vmcs_read(IDT_VECTORING_ERROR_CODE) : 0;
	e->has_payload = false;
	e->payload = 0;
	e->insn_len = e->type >= EV_SOFT_INT ? vmcs_read(VM_EXIT_INSTRUCTION_LEN) : 0;
	if (e->type == EV_NMI) {
		/* It was masked for the delivery that did not happen; injected again, it must not be. */
		vmx_need(vmx, G_SHADOW);
		v->state.nmi_masked = false;
		v->state.dirty |= G_SHADOW;
	}
}

/* The exit came from an IRET that had unmasked NMIs and will run again: masked, as if it had not started. */
void nmi_unblocked_by_iret(struct vmx_vcpu *vmx)
{
	struct x86_state *s = &vmx->x.state;

	if (vmcs_read(IDT_VECTORING_INFO_FIELD) & INTR_INFO_VALID_MASK)
		return;
	vmx_need(vmx, G_SHADOW);
	s->nmi_masked = true;
	s->dirty |= G_SHADOW;
}
