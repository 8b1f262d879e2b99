// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest states that hardware without unrestricted guest refuses (SDM 27.3.1.2 to 27.3.1.4): real mode, and
 * what a guest leaves in segment registers on its way between modes. The core interprets the guest while
 * vmx_state_runs() says no. A state that runs stays one until the core changes something, because no
 * instruction leads from it into one that does not without an exit; so the checks are made only when
 * dirty groups tell of such a change.
 */
#include "vmx.h"

bool param_emulate_invalid = true;

#define CHECKED		(G_SEGS | G_CR0 | G_EFER | G_RFLAGS | G_RIP)

static unsigned int dpl(const struct x86_seg *s)
{
	return (s->attr & SEG_DPL) >> SEG_DPL_SHIFT;
}

static unsigned int rpl(const struct x86_seg *s)
{
	return s->sel & 3;
}

static bool usable(const struct x86_seg *s)
{
	return !(s->attr & SEG_UNUSABLE) && (s->attr & SEG_P);
}

/* Granularity has to be able to express the limit. */
static bool limit_ok(const struct x86_seg *s)
{
	if ((s->limit & 0xfff) != 0xfff && (s->attr & SEG_G))
		return false;
	return !(s->limit & 0xfff00000) || (s->attr & SEG_G);
}

static bool vm86_ok(const struct x86_state *st)
{
	unsigned int i;

	for (i = SEG_ES; i <= SEG_GS; i++) {
		const struct x86_seg *s = &st->seg[i];

		if (s->base != (u64)s->sel << 4 || s->limit != 0xffff || (s->attr & 0x1f0ff) != 0xf3)
			return false;
	}
	return true;
}

static bool cs_ok(const struct x86_state *st)
{
	const struct x86_seg *cs = &st->seg[SEG_CS], *ss = &st->seg[SEG_SS];
	bool conforming = cs->attr & 4;

	if (!usable(cs) || !(cs->attr & SEG_S) || !(cs->attr & 8) || cs->base >> 32 || !limit_ok(cs))
		return false;
	if (conforming ? dpl(cs) > dpl(ss) : dpl(cs) != dpl(ss))
		return false;
	return !((st->efer & EFER_LMA) && (cs->attr & SEG_L) && (cs->attr & SEG_DB));
}

static bool ss_ok(const struct x86_state *st)
{
	const struct x86_seg *cs = &st->seg[SEG_CS], *ss = &st->seg[SEG_SS];

	if (rpl(ss) != rpl(cs) || dpl(ss) != rpl(ss))
		return false;
	if (!usable(ss))
		return true;
	/* Writable data, expand-down or not. */
	return (ss->attr & SEG_S) && (ss->attr & 10) == 2 && !(ss->base >> 32) && limit_ok(ss);
}

static bool data_ok(const struct x86_state *st, unsigned int i)
{
	const struct x86_seg *s = &st->seg[i];

	if (!usable(s))
		return true;
	if (!(s->attr & SEG_S) || (s->attr & 10) == 8)		/* code that cannot be read */
		return false;
	if ((s->attr & 12) != 12 && dpl(s) < rpl(s))		/* all but conforming code */
		return false;
	return limit_ok(s) && (i == SEG_FS || i == SEG_GS || !(s->base >> 32));
}

static bool system_ok(const struct x86_state *st)
{
	const struct x86_seg *tr = &st->seg[SEG_TR], *ldt = &st->seg[SEG_LDTR];
	unsigned int type = (tr->attr & SEG_TYPE) | 2;

	if (!(tr->attr & SEG_P) || (tr->attr & SEG_S) || (tr->sel & 4) || !limit_ok(tr))
		return false;
	if (type != 11 && (type != 3 || (st->efer & EFER_LMA)))
		return false;
	return !usable(ldt) ||
	       (!(ldt->attr & SEG_S) && (ldt->attr & SEG_TYPE) == 2 && !(ldt->sel & 4) && limit_ok(ldt));
}

static bool runs(const struct x86_state *st)
{
	unsigned int i;

	if (!(st->cr0 & X86_CR0_PE))
		return false;
	if (!system_ok(st))
		return false;
	if (st->rflags & X86_EFLAGS_VM)
		return vm86_ok(st);
	if (!cs_ok(st) || !ss_ok(st))
		return false;
	for (i = SEG_ES; i <= SEG_GS; i++)
		if (i != SEG_CS && i != SEG_SS && !data_ok(st, i))
			return false;
	/* Outside 64-bit code RIP has 32 bits. */
	return ((st->efer & EFER_LMA) && (st->seg[SEG_CS].attr & SEG_L)) || !(st->rip >> 32);
}

bool vmx_state_runs(struct x86_vcpu *v)
{
	struct vmx_vcpu *vmx = to_vmx(v);

	if (vmx_caps.unrestricted || !param_emulate_invalid)
		return true;
	if (!(v->state.dirty & CHECKED) && vmx->runs)
		return true;
	vmx_need(vmx, CHECKED);
	vmx->runs = runs(&v->state);
	return vmx->runs;
}
