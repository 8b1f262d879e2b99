// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest registers between struct x86_state and the VMCS.
 *
 * Control registers have three views. The guest's is in x86_state. Hardware's is in GUEST_CR0/CR4 with the
 * bits VMX insists on added, and those that would disturb a guest without paging (below) taken out. Read
 * shadows show the guest its own. A bit that the guest owns moves without an exit and is the same in all
 * three; all others change only by exits, so x86_state always has them right, whatever `valid` says.
 *
 * Without unrestricted guest hardware runs with PE and PG set only. Real mode is interpreted; a guest in
 * protected mode without paging runs on a page table that maps 4 GB to themselves (vcpu.c), and sees
 * neither that table's CR3 nor PG.
 */
#include "vmx.h"
#include <asm/debugreg.h>
#include <asm/processor-flags.h>

/* Fields of one group that are one 64-bit value each. */
#define FIELD(f, member)	{ f, offsetof(struct x86_state, member) }
static const struct { u32 field; u32 offset; } plain[] = {
	FIELD(GUEST_SYSENTER_CS, sysenter_cs),
	FIELD(GUEST_SYSENTER_ESP, sysenter_esp),
	FIELD(GUEST_SYSENTER_EIP, sysenter_eip),
	FIELD(GUEST_PDPTR0, pdptr[0]),
	FIELD(GUEST_PDPTR1, pdptr[1]),
	FIELD(GUEST_PDPTR2, pdptr[2]),
	FIELD(GUEST_PDPTR3, pdptr[3]),
};
#define PLAIN_SYSENTER	0, 3
#define PLAIN_PDPTR	3, 4

static void plain_read(struct x86_state *s, unsigned int first, unsigned int n)
{
	for (; n; n--, first++)
		*(u64 *)((u8 *)s + plain[first].offset) = vmcs_read(plain[first].field);
}

static void plain_write(const struct x86_state *s, unsigned int first, unsigned int n)
{
	for (; n; n--, first++)
		vmcs_write(plain[first].field, *(const u64 *)((const u8 *)s + plain[first].offset));
}

/* The four fields of a segment lie at the same distance from one another for each, in our order. */
static void seg_read(struct x86_state *s, unsigned int i)
{
	struct x86_seg *seg = &s->seg[i];

	seg->sel = vmcs_read(GUEST_ES_SELECTOR + 2 * i);
	seg->base = vmcs_read(GUEST_ES_BASE + 2 * i);
	seg->limit = vmcs_read(GUEST_ES_LIMIT + 2 * i);
	seg->attr = vmcs_read(GUEST_ES_AR_BYTES + 2 * i);
}

static void seg_write(const struct x86_state *s, unsigned int i)
{
	const struct x86_seg *seg = &s->seg[i];
	u32 attr = seg->attr & (SEG_TYPE | SEG_S | SEG_DPL | SEG_P | SEG_AVL | SEG_L | SEG_DB | SEG_G | SEG_UNUSABLE);

	/* Loading a segment sets its accessed bit, loading TR makes it busy: some callers give them otherwise. */
	if (i == SEG_TR)
		attr = (attr | 2) & ~SEG_UNUSABLE;
	else if (i != SEG_LDTR && !(attr & SEG_UNUSABLE))
		attr |= 1;
	if (!(attr & SEG_P))
		attr |= SEG_UNUSABLE;
	vmcs_write(GUEST_ES_SELECTOR + 2 * i, seg->sel);
	vmcs_write(GUEST_ES_BASE + 2 * i, seg->base);
	vmcs_write(GUEST_ES_LIMIT + 2 * i, seg->limit);
	vmcs_write(GUEST_ES_AR_BYTES + 2 * i, attr);
}

static u8 cpl_by_rules(struct vmx_vcpu *vmx)
{
	struct x86_state *s = &vmx->x.state;

	if (!(s->cr0 & X86_CR0_PE))
		return 0;
	vmx_need(vmx, G_RFLAGS);
	return s->rflags & X86_EFLAGS_VM ? 3 : (s->seg[SEG_SS].attr & SEG_DPL) >> SEG_DPL_SHIFT;
}

/* What nearly every exit needs, what its privilege and mode take, what hardly any does; the rest is an access's. */
#define FETCH_OFTEN	(G_RIP | G_RFLAGS | G_SHADOW | G_RSP)
#define FOR_SKIP	(G_RIP | G_RFLAGS | G_SHADOW)
#define FETCH_MODE	(G_CPL | G_LONG)
#define FETCH_SELDOM	(G_GDTR | G_IDTR | G_SYSENTER | G_PDPTR | G_DR7 | G_DEBUGCTL | G_SYSCALL)

/* SS.DPL is the CPL in every state that hardware runs (SDM 25.4.1); what is in the cache need not be such a state. */
static void fetch_mode(struct vmx_vcpu *vmx, u32 groups)
{
	struct x86_state *s = &vmx->x.state;

	if (groups & G_CPL)
		s->cpl = s->valid & G_SEG(SEG_SS) ? cpl_by_rules(vmx) :
			 (vmcs_read(GUEST_SS_AR_BYTES) & SEG_DPL) >> SEG_DPL_SHIFT;
	if (groups & G_LONG)
		s->cs_l = vmcs_read(GUEST_CS_AR_BYTES) & SEG_L;
}

static void fetch_seldom(struct vmx_vcpu *vmx, u32 groups)
{
	struct x86_state *s = &vmx->x.state;

	if (groups & G_GDTR) {
		s->gdt.base = vmcs_read(GUEST_GDTR_BASE);
		s->gdt.limit = vmcs_read(GUEST_GDTR_LIMIT);
	}
	if (groups & G_IDTR) {
		s->idt.base = vmcs_read(GUEST_IDTR_BASE);
		s->idt.limit = vmcs_read(GUEST_IDTR_LIMIT);
	}
	if (groups & G_SYSENTER)
		plain_read(s, PLAIN_SYSENTER);
	if ((groups & G_PDPTR) && vmx_caps.ept)
		plain_read(s, PLAIN_PDPTR);
	if (groups & G_DR7)
		s->dr7 = vmcs_read(GUEST_DR7);
	if (groups & G_DEBUGCTL)
		s->debugctl = vmcs_read(GUEST_IA32_DEBUGCTL);
	/* The four SYSCALL registers are intercepted; SWAPGS is not. */
	if (groups & G_SYSCALL) {
		if (vmx->prepared)
			rdmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
		s->kernel_gs_base = vmx->kernel_gs_base;
	}
}

static noinline void fetch_more(struct vmx_vcpu *vmx, u32 groups)
{
	struct x86_state *s = &vmx->x.state;
	unsigned long segs;

	if (groups & G_CR0)
		s->cr0 = (s->cr0 & ~vmx_cr0_owned()) | (vmcs_read(GUEST_CR0) & vmx_cr0_owned());
	if (groups & G_CR3)
		s->cr3 = vmcs_read(GUEST_CR3);
	if (groups & G_CR4)
		s->cr4 = (s->cr4 & ~vmx->cr4_owned) | (vmcs_read(GUEST_CR4) & vmx->cr4_owned);
	for (segs = groups / G_SEG0; segs; segs &= segs - 1)
		seg_read(s, __ffs(segs));
	if (unlikely(groups & FETCH_SELDOM))
		fetch_seldom(vmx, groups);
}

static noinline void fetch_rare(struct vmx_vcpu *vmx, u32 groups)
{
	if (groups & ~(FETCH_OFTEN | FETCH_MODE))
		fetch_more(vmx, groups);
	if (groups & FETCH_MODE)
		fetch_mode(vmx, groups);	/* from SS, if that is here */
}

static __always_inline void fetch_shadow(struct x86_state *s)
{
	u32 info = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);

	static_assert(SHADOW_STI == GUEST_INTR_STATE_STI && SHADOW_MOV_SS == GUEST_INTR_STATE_MOV_SS);
	s->intr_shadow = info & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS);
	s->nmi_masked = info & GUEST_INTR_STATE_NMI;
}

void vmx_fetch(struct x86_vcpu *v, u32 groups)
{
	struct x86_state *s = &v->state;

	if (groups & G_RIP)
		s->rip = vmcs_read(GUEST_RIP);
	if (groups & G_RFLAGS)
		s->rflags = vmcs_read(GUEST_RFLAGS);
	if (groups & G_SHADOW)
		fetch_shadow(s);
	if (groups & G_RSP)
		s->gpr[RSP] = vmcs_read(GUEST_RSP);
	s->valid |= groups;
	if (groups & ~FETCH_OFTEN)
		fetch_rare(to_vmx(v), groups);
}

/* RIP did not stay in its 4 GB: only in 64-bit code may it leave them. */
static noinline u64 wrapped(struct vmx_vcpu *vmx, u64 next)
{
	struct x86_state *s = &vmx->x.state;

	vmx_need(vmx, G_SEG(SEG_CS));
	return (s->efer & EFER_LMA) && (s->seg[SEG_CS].attr & SEG_L) ? next : (u32)next;
}

/* Reads at once what else the skipping of an instruction looks at; mostly nothing of it is here yet. */
bool vmx_next_rip(struct x86_vcpu *v)
{
	struct vmx_vcpu *vmx = to_vmx(v);
	struct x86_state *s = &v->state;
	u64 next;

	if (unlikely(!(vmx->row_flags & ROW_LENGTH)))
		return false;
	if (likely(!(s->valid & FOR_SKIP))) {
		s->rip = vmcs_read(GUEST_RIP);
		s->rflags = vmcs_read(GUEST_RFLAGS);
		fetch_shadow(s);
	} else {
		vmx_need(vmx, FOR_SKIP);
	}
	next = s->rip + vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	if (unlikely((next ^ s->rip) >> 32))
		next = wrapped(vmx, next);
	s->rip = next;
	state_dirty(v, G_RIP);
	s->valid |= FOR_SKIP;
	return true;
}

/* --- commit --- */

static void commit_cr0(struct vmx_vcpu *vmx)
{
	const struct x86_state *s = &vmx->x.state;
	u64 must = vmx_caps.cr0_fixed0, cr0;

	if (vmx_caps.unrestricted)
		must &= ~(u64)(X86_CR0_PE | X86_CR0_PG);
	cr0 = s->cr0 | must;
	/* Entry keeps the host's caching bits whatever is here; with EPT the guest's have no effect. */
	vmcs_write(GUEST_CR0, cr0 & ~(u64)(X86_CR0_CD | X86_CR0_NW));
	vmcs_write(CR0_READ_SHADOW, s->cr0);
}

static void commit_cr4(struct vmx_vcpu *vmx)
{
	const struct x86_state *s = &vmx->x.state;
	u64 cr4 = s->cr4 | vmx_caps.cr4_fixed0;

	if (vmx_fakes_paging(&vmx->x)) {
		/* Two-level table of 4 MB pages that everyone may use. */
		cr4 |= X86_CR4_PSE;
		cr4 &= ~(u64)(X86_CR4_PAE | X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE | X86_CR4_PCIDE);
	}
	vmcs_write(GUEST_CR4, cr4);
	vmcs_write(CR4_READ_SHADOW, s->cr4);
}

static void commit_cr3(struct vmx_vcpu *vmx)
{
	struct x86_vcpu *v = &vmx->x;

	vmcs_write(GUEST_CR3, vmx_fakes_paging(v) ? vm_of(v)->identity_map.v : v->state.cr3);
}

/* EFER and PAT are switched only while the guest's value is another than the host's. */
static void commit_efer(struct vmx_vcpu *vmx)
{
	u64 efer = vmx->x.state.efer;
	bool differs;

	/* Entry wants LME to follow LMA where paging is on (SDM 27.3.1.1); the guest reads its own by exits. */
	if (!(efer & EFER_LMA))
		efer &= ~(u64)EFER_LME;
	differs = efer != host_efer;
	vmcs_write(GUEST_IA32_EFER, efer);
	ctl_assign(&vmx->vmcs, VMCTL_EXIT, VM_EXIT_LOAD_IA32_EFER, differs);
	ctl_write(&vmx->vmcs, VMCTL_ENTRY,
		  (vmx->vmcs.ctl[VMCTL_ENTRY] & ~(VM_ENTRY_LOAD_IA32_EFER | VM_ENTRY_IA32E_MODE)) |
		  (differs ? VM_ENTRY_LOAD_IA32_EFER : 0) | ((efer & EFER_LMA) ? VM_ENTRY_IA32E_MODE : 0));
	vmx->todo |= TODO_MSRS;		/* SYSCALL may have become possible */
}

static void commit_pat(struct vmx_vcpu *vmx)
{
	bool differs = vmx->x.state.pat != host_pat;

	if (differs)
		vmcs_write(GUEST_IA32_PAT, vmx->x.state.pat);
	ctl_assign(&vmx->vmcs, VMCTL_EXIT, VM_EXIT_LOAD_IA32_PAT, differs);
	ctl_assign(&vmx->vmcs, VMCTL_ENTRY, VM_ENTRY_LOAD_IA32_PAT, differs);
}

/*
 * Interruptibility, and the check of SDM 27.3.1.5 that goes with it: in a shadow, a pending single-step trap
 * has to be there exactly when TF is on (and BTF off).
 */
static void commit_shadow(struct vmx_vcpu *vmx, u32 groups)
{
	const struct x86_state *s = &vmx->x.state;
	u64 pending;

	vmx_need(vmx, G_SHADOW);
	if (groups & G_SHADOW) {
		u32 info = 0;

		if (s->intr_shadow & SHADOW_MOV_SS)
			info = GUEST_INTR_STATE_MOV_SS;
		else if (s->intr_shadow & SHADOW_STI)
			info = GUEST_INTR_STATE_STI;
		/* Injecting an NMI sets the mask; entry refuses to find it set already. */
		if (s->nmi_masked && !vmx->inject_nmi)
			info |= GUEST_INTR_STATE_NMI;
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO, info);
	}
	if (likely(!s->intr_shadow))
		return;
	vmx_need(vmx, G_RFLAGS | G_DEBUGCTL);
	pending = vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS) & ~(u64)DR_STEP;
	if ((s->rflags & X86_EFLAGS_TF) && !(s->debugctl & DEBUGCTLMSR_BTF))
		pending |= DR_STEP;
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, pending);
}

static void commit_rare(struct vmx_vcpu *vmx, u32 groups)
{
	struct x86_state *s = &vmx->x.state;
	unsigned int i;

	if (groups & G_SEGS)
		for (i = 0; i < NR_SEGS; i++)
			if (groups & G_SEG(i))
				seg_write(s, i);
	if (groups & G_GDTR) {
		vmcs_write(GUEST_GDTR_BASE, s->gdt.base);
		vmcs_write(GUEST_GDTR_LIMIT, s->gdt.limit);
	}
	if (groups & G_IDTR) {
		vmcs_write(GUEST_IDTR_BASE, s->idt.base);
		vmcs_write(GUEST_IDTR_LIMIT, s->idt.limit);
	}
	if (groups & G_SYSENTER)
		plain_write(s, PLAIN_SYSENTER);
	if ((groups & G_PDPTR) && vmx_caps.ept)
		plain_write(s, PLAIN_PDPTR);
	if (groups & G_EFER)
		commit_efer(vmx);
	if (groups & G_PAT)
		commit_pat(vmx);
	if (groups & G_DR7)
		vmcs_write(GUEST_DR7, vmx->x.effective_dr7);
	if (groups & G_DEBUGCTL)
		vmcs_write(GUEST_IA32_DEBUGCTL, s->debugctl);
	if (groups & G_SYSCALL) {
		vmx->kernel_gs_base = s->kernel_gs_base;
		if (vmx->prepared)
			wrmsrl(MSR_KERNEL_GS_BASE, s->kernel_gs_base);
		vmx->todo |= TODO_MSRS;
	}
}

/* Without unrestricted guest, CR3, CR4 and the CR3 intercept depend on whether paging is on. */
static void commit_crs(struct vmx_vcpu *vmx, u32 groups)
{
	if ((groups & G_CR0) && !vmx_caps.unrestricted) {
		vmx_need(vmx, G_CR3 | G_CR4);
		groups |= G_CR3 | G_CR4;
		vmx->todo |= TODO_INTERCEPTS;
	}
	if (groups & G_CR0)
		commit_cr0(vmx);
	if (groups & G_CR3)
		commit_cr3(vmx);
	if (groups & G_CR4)
		commit_cr4(vmx);
}

void vmx_commit(struct x86_vcpu *v, u32 groups)
{
	struct vmx_vcpu *vmx = to_vmx(v);
	struct x86_state *s = &v->state;

	s->dirty &= ~groups;
	if (groups & G_RIP)
		vmcs_write(GUEST_RIP, s->rip);
	if (groups & G_RSP)
		vmcs_write(GUEST_RSP, s->gpr[RSP]);
	if (groups & G_RFLAGS)
		vmcs_write(GUEST_RFLAGS, s->rflags | X86_EFLAGS_FIXED);
	if (groups & ~(G_RIP | G_RSP | G_RFLAGS | G_SHADOW | G_CR2)) {
		if (groups & (G_CR0 | G_CR3 | G_CR4))
			commit_crs(vmx, groups);
		commit_rare(vmx, groups);
	}
	if (groups & (G_SHADOW | G_RFLAGS))
		commit_shadow(vmx, groups);
}

/* Hardware's own wishes (PE, NE, PG) are added behind the guest's back, so any CR0 will do. */
bool vmx_cr0_ok(struct x86_vcpu *v, u64 cr0)
{
	return !(cr0 >> 32);
}

bool vmx_cr4_ok(struct x86_vcpu *v, u64 cr4)
{
	return !(cr4 & ~vmx_caps.cr4_fixed1);
}
