// SPDX-License-Identifier: GPL-2.0-only
/*
 * The register cache against the save area of the VMCB. All of it is memory: to fetch is to copy. What hardware
 * holds and the guest sees differ in four places: CR0.CD and NW (never set in hardware, or the guest would run
 * uncached), CR4.MCE (the host's: or a machine check would shut the machine down), EFER.SVME (must be 1 to run), and
 * RFLAGS.TF while we step for an NMI window. Segment attributes are packed into 12 bits here; state.h has VMX's form.
 *
 * vCPU thread, loaded.
 */
#define pr_fmt(fmt) "kvm_amd: " fmt
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/tlbflush.h>
#include "svm.h"

#define CR0_CACHE	(X86_CR0_CD | X86_CR0_NW)
#define TYPE_BUSY	2

static struct vmcb_seg *vmcb_seg(struct vmcb *b, enum seg_reg s)
{
	switch (s) {
	case SEG_ES:	return &b->es;
	case SEG_CS:	return &b->cs;
	case SEG_SS:	return &b->ss;
	case SEG_DS:	return &b->ds;
	case SEG_FS:	return &b->fs;
	case SEG_GS:	return &b->gs;
	case SEG_LDTR:	return &b->ldtr;
	default:	return &b->tr;
	}
}

static void fetch_seg(struct x86_vcpu *v, struct vmcb *b, enum seg_reg s)
{
	const struct vmcb_seg *h = vmcb_seg(b, s);
	struct x86_seg *g = &v->state.seg[s];

	g->sel = h->sel;
	g->base = h->base;
	g->limit = h->limit;
	g->attr = (h->attr & 0xff) | (h->attr & 0xf00) << 4;
	/* A null selector leaves P clear: to VMX that is unusable. */
	if (!(g->attr & SEG_P))
		g->attr |= SEG_UNUSABLE;
	/* Not every CPU saves G; a limit beyond 1 MB has it. */
	if (g->limit > 0xfffff)
		g->attr |= SEG_G;
	if (s == SEG_TR)
		g->attr |= TYPE_BUSY;
	else if (s == SEG_SS)
		g->attr = (g->attr & ~SEG_DPL) | b->cpl << SEG_DPL_SHIFT;
}

static void commit_seg(struct x86_vcpu *v, struct vmcb *b, enum seg_reg s)
{
	struct vmcb_seg *h = vmcb_seg(b, s);
	const struct x86_seg *g = &v->state.seg[s];

	h->sel = g->sel;
	h->base = g->base;
	h->limit = g->limit;
	h->attr = g->attr & SEG_UNUSABLE ? 0 : (g->attr & 0xff) | (g->attr >> 4 & 0xf00);
	if (s == SEG_SS)
		b->cpl = (g->attr & SEG_DPL) >> SEG_DPL_SHIFT;
}

static void fetch_syscall(struct x86_state *st, const struct vmcb *b)
{
	st->star = b->star;
	st->lstar = b->lstar;
	st->cstar = b->cstar;
	st->fmask = b->sfmask;
	st->kernel_gs_base = b->kernel_gs_base;
}

static void fetch_rare(struct x86_vcpu *v, u32 groups)
{
	struct vmcb *b = to_svm(v)->vmcb;
	struct x86_state *st = &v->state;
	u32 segs;

	for (segs = groups & G_SEGS; segs; segs &= segs - 1)
		fetch_seg(v, b, __ffs(segs / G_SEG0));
	if (!(groups & ~(u32)G_SEGS))
		return;
	if (groups & G_GDTR) {
		st->gdt.base = b->gdtr.base;
		st->gdt.limit = b->gdtr.limit;
	}
	if (groups & G_IDTR) {
		st->idt.base = b->idtr.base;
		st->idt.limit = b->idtr.limit;
	}
	if (groups & G_SYSENTER) {
		st->sysenter_cs = b->sysenter_cs;
		st->sysenter_esp = b->sysenter_esp;
		st->sysenter_eip = b->sysenter_eip;
	}
	if (groups & G_SYSCALL)
		fetch_syscall(st, b);
	if (groups & G_DR6)
		st->dr6 = b->dr6;
	/* While DR accesses exit, hardware has effective_dr7, and ours is the guest's. */
	if ((groups & G_DR7) && !(v->intercepts & ICPT_DR))
		st->dr7 = b->dr7;
}

/* CR4, EFER, PAT and DEBUGCTL are never fetched: the guest changes them by exits only. PDPTEs are the MMU's to read. */
#define COMMON	(G_RSP | G_RFLAGS | G_CPL | G_LONG | G_SHADOW | G_CR0 | G_CR3 | G_CR2)
#define RARE	(G_SEGS | G_GDTR | G_IDTR | G_SYSENTER | G_SYSCALL | G_DR6 | G_DR7)
#define FOR_SKIP	(G_RFLAGS | G_SHADOW)	/* an exit that is only skipped needs no more than these */

static void fetch_rflags(struct svm_vcpu *svm, struct x86_state *st)
{
	st->rflags = svm->vmcb->rflags;
	if (unlikely(svm->nmi & NMI_STEP) && !(svm->nmi & NMI_STEP_TF))
		st->rflags &= ~(u64)X86_EFLAGS_TF;
}

/* Which kind of shadow it is, hardware does not tell. */
static u8 shadow_of(const struct vmcb *b)
{
	return b->int_state & INT_SHADOW ? SHADOW_STI | SHADOW_MOV_SS : 0;
}

/* Nothing of it is here yet: to copy all at once costs less than to find out who wants what, time after time. */
static void fetch_common(struct svm_vcpu *svm, struct x86_state *st)
{
	const struct vmcb *b = svm->vmcb;

	if (!(st->valid & G_RIP))
		st->rip = b->rip;
	st->gpr[RSP] = b->rsp;
	fetch_rflags(svm, st);
	st->cpl = b->cpl;
	st->cs_l = b->cs.attr & VMCB_SEG_L;
	st->intr_shadow = shadow_of(b);
	st->cr0 = b->cr0 | svm->guest_cr0;
	st->cr3 = b->cr3;
	st->cr2 = b->cr2;
	st->valid |= COMMON | G_RIP;
}

static void fetch_each(struct svm_vcpu *svm, struct x86_state *st, u32 groups)
{
	const struct vmcb *b = svm->vmcb;

	if (groups & RARE)
		fetch_rare(&svm->x, groups & RARE);
	if (!(groups & ~(u32)RARE))
		return;
	if (groups & G_RIP)
		st->rip = b->rip;
	if (groups & G_RSP)
		st->gpr[RSP] = b->rsp;
	if (groups & G_RFLAGS)
		fetch_rflags(svm, st);
	if (groups & G_SHADOW)
		st->intr_shadow = shadow_of(b);
	if (groups & G_CPL)
		st->cpl = b->cpl;
	if (groups & G_LONG)
		st->cs_l = b->cs.attr & VMCB_SEG_L;
	if (groups & G_CR0)
		st->cr0 = b->cr0 | svm->guest_cr0;
	if (groups & G_CR3)
		st->cr3 = b->cr3;
	if (groups & G_CR2)
		st->cr2 = b->cr2;
}

void svm_fetch(struct x86_vcpu *v, u32 groups)
{
	struct svm_vcpu *svm = to_svm(v);
	struct x86_state *st = &v->state;

	if (likely(groups == FOR_SKIP)) {
		fetch_rflags(svm, st);
		st->intr_shadow = shadow_of(svm->vmcb);
		st->valid |= groups;
		return;
	}
	if (groups & COMMON & ~FOR_SKIP && !(st->valid & COMMON)) {
		fetch_common(svm, st);
		groups &= ~(u32)(COMMON | G_RIP);
	}
	st->valid |= groups;
	if (groups)
		fetch_each(svm, st, groups);
}

static void commit_control(struct svm_vcpu *svm, u32 groups)
{
	const struct x86_state *st = &svm->x.state;
	struct vmcb *b = svm->vmcb;

	if (groups & G_CR0) {
		b->cr0 = st->cr0 & ~(u64)CR0_CACHE;
		svm->guest_cr0 = st->cr0 & CR0_CACHE;
	}
	if (groups & G_CR3)
		b->cr3 = st->cr3;
	if (groups & G_CR4)
		b->cr4 = st->cr4 | (cr4_read_shadow() & X86_CR4_MCE);
	if (groups & G_EFER)
		b->efer = st->efer | EFER_SVME;
	vmcb_unclean(b, CLEAN_CR);
	if (groups & (G_CR0 | G_CR4))
		svm_intercepts(&svm->x);
}

static void commit_rare(struct x86_vcpu *v, u32 groups)
{
	struct vmcb *b = to_svm(v)->vmcb;
	const struct x86_state *st = &v->state;
	unsigned int s;

	if (groups & G_SEGS) {
		for (s = 0; s < NR_SEGS; s++)
			if (groups & G_SEG(s))
				commit_seg(v, b, s);
		vmcb_unclean(b, CLEAN_SEG);
	}
	if (groups & (G_GDTR | G_IDTR)) {
		b->gdtr.base = groups & G_GDTR ? st->gdt.base : b->gdtr.base;
		b->gdtr.limit = groups & G_GDTR ? st->gdt.limit : b->gdtr.limit;
		b->idtr.base = groups & G_IDTR ? st->idt.base : b->idtr.base;
		b->idtr.limit = groups & G_IDTR ? st->idt.limit : b->idtr.limit;
		vmcb_unclean(b, CLEAN_DT);
	}
	if (groups & G_SYSENTER) {
		b->sysenter_cs = st->sysenter_cs;
		b->sysenter_esp = st->sysenter_esp;
		b->sysenter_eip = st->sysenter_eip;
	}
	if (groups & G_SYSCALL) {
		b->star = st->star;
		b->lstar = st->lstar;
		b->cstar = st->cstar;
		b->sfmask = st->fmask;
		b->kernel_gs_base = st->kernel_gs_base;
	}
	if (groups & (G_DR6 | G_DR7)) {
		b->dr6 = groups & G_DR6 ? st->dr6 : b->dr6;
		b->dr7 = groups & G_DR7 ? v->effective_dr7 : b->dr7;
		vmcb_unclean(b, CLEAN_DR);
	}
	if (groups & G_PAT) {
		b->g_pat = st->pat;
		vmcb_unclean(b, CLEAN_NP);
	}
}

static void commit_rflags(struct svm_vcpu *svm)
{
	u64 flags = svm->x.state.rflags;

	if (unlikely(svm->nmi & NMI_STEP)) {
		svm->nmi &= ~NMI_STEP_TF;
		svm->nmi |= flags & X86_EFLAGS_TF ? NMI_STEP_TF : 0;
		flags |= X86_EFLAGS_TF;
	}
	svm->vmcb->rflags = flags;
}

void svm_commit(struct x86_vcpu *v, u32 groups)
{
	struct svm_vcpu *svm = to_svm(v);
	struct vmcb *b = svm->vmcb;
	const struct x86_state *st = &v->state;

	v->state.dirty &= ~groups;
	if (groups & G_RIP)
		b->rip = st->rip;
	if (groups & G_RSP)
		b->rsp = st->gpr[RSP];
	if (groups & G_RFLAGS)
		commit_rflags(svm);
	if (groups & G_SHADOW) {
		u32 masked;

		if (!st->nmi_masked)
			svm->nmi &= ~NMI_IRET_SEEN;
		masked = st->nmi_masked && !(svm->nmi & NMI_IRET_SEEN) ? IC3_IRET : 0;
		b->int_state = st->intr_shadow ? INT_SHADOW : 0;
		if ((b->intercept[ICW_3] & IC3_IRET) != masked)
			svm_intercepts(v);
	}
	if (likely(!(groups & ~(G_RIP | G_RSP | G_RFLAGS | G_SHADOW))))
		return;
	if (groups & G_CR2) {
		b->cr2 = st->cr2;
		vmcb_unclean(b, CLEAN_CR2);
	}
	if (groups & (G_CR0 | G_CR3 | G_CR4 | G_EFER))
		commit_control(svm, groups);
	commit_rare(v, groups);
}

/* Hardware holds every value that the architecture allows. */
bool svm_cr_ok(struct x86_vcpu *v, u64 cr)
{
	return true;
}

bool svm_state_runs(struct x86_vcpu *v)
{
	return true;
}
