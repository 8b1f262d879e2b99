// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events into the guest (APM 15.20) and the two things that AMD-V leaves to software.
 *
 * Software interrupts: an instruction's own exception or INT n pushes the RIP behind it. Not every CPU takes that
 * from the VMCB, so RIP is moved there before, and moved back should the delivery come out unfinished (the core
 * then has the event as it was). One that the guest began itself is not handed back at all: RIP still
 * is at the instruction, which simply runs again.
 *
 * NMI masking: hardware does not tell when the guest's handler is done. The IRET intercept fires before the IRET;
 * NMIs are unmasked once RIP has moved on. If the core waits for that (ICPT_NMI_WINDOW), the instruction runs under
 * RFLAGS.TF, whose #DB is the window. The same step takes the guest past an interrupt shadow. Behind an event that is
 * being injected no step is possible (its frame would hold TF): an interrupt to ourselves brings the guest back right
 * after the delivery. A fault in the stepped IRET leaves TF in the flags it pushes, as the price of having no better
 * means.
 *
 * vCPU thread, loaded.
 */
#define pr_fmt(fmt) "kvm_amd: " fmt
#include <uapi/asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/traps.h>
#include "svm.h"

/* EVENTINJ's types; it has none for the ICEBP and INT3 kinds of exception. */
enum { INJ_INTR = 0, INJ_NMI = 2, INJ_EXCEPTION = 3, INJ_SOFT = 4 };

static bool soft(const struct x86_event *e)
{
	return e->type == EV_SOFT_INT || e->type == EV_SOFT_EXC || e->type == EV_PRIV_SOFT;
}

static void soft_advance(struct svm_vcpu *svm, const struct x86_event *e)
{
	u64 rip = get_rip(&svm->x);

	svm->soft_rip = rip;
	svm->soft_len = e->insn_len;
	put_rip(&svm->x, rip + e->insn_len);
	svm->vmcb->next_rip = rip + e->insn_len;
}

static void soft_retreat(struct svm_vcpu *svm)
{
	put_rip(&svm->x, svm->soft_rip);
	svm->soft_len = 0;
}

/* The event's handler comes before the instruction that we waited for, and its frame must not hold our TF. */
static void leave_tracks(struct svm_vcpu *svm)
{
	if (svm->nmi & NMI_STEP)
		svm_nmi_unstep(svm);
	if (svm->nmi & NMI_IRET_SEEN) {
		svm->nmi &= ~NMI_IRET_SEEN;
		svm_intercepts(&svm->x);
	}
}

void svm_inject(struct x86_vcpu *v, const struct x86_event *e)
{
	struct svm_vcpu *svm = to_svm(v);
	u32 type = INJ_EXCEPTION;
	u64 inj = EVINJ_VALID | e->vector;

	if (unlikely(svm->soft_len))
		soft_retreat(svm);	/* put there before, not entered, and chosen again */
	if (unlikely(svm->nmi))
		leave_tracks(svm);
	if (e->type == EV_EXTINT) {
		type = INJ_INTR;
	} else if (e->type == EV_NMI) {
		type = INJ_NMI;
		v->state.nmi_masked = true;
		svm_intercepts(v);
	} else if (e->type == EV_SOFT_INT) {
		type = INJ_SOFT;
	}
	if (soft(e) && e->insn_len)
		soft_advance(svm, e);
	if (e->has_error)
		inj |= EVINJ_ERROR | (u64)e->error << 32;
	svm->vmcb->event_inj = inj | type << EVINJ_TYPE_SHIFT;
}

void svm_uninject(struct x86_vcpu *v)
{
	struct svm_vcpu *svm = to_svm(v);
	u64 inj = svm->vmcb->event_inj;

	if (!(inj & EVINJ_VALID))
		return;
	svm->vmcb->event_inj = 0;
	if (svm->soft_len)
		soft_retreat(svm);
	if ((inj & EVINJ_TYPE) >> EVINJ_TYPE_SHIFT == INJ_NMI) {
		v->state.nmi_masked = false;
		svm_intercepts(v);
	}
}

static void interrupted(struct svm_vcpu *svm, u64 info, struct x86_event *e)
{
	u8 len = svm->soft_len;

	memset(e, 0, sizeof(*e));
	e->type = EV_NONE;
	e->vector = info & 0xff;
	switch ((info & EVINJ_TYPE) >> EVINJ_TYPE_SHIFT) {
	case INJ_INTR:
		e->type = EV_EXTINT;
		break;
	case INJ_NMI:
		e->type = EV_NMI;
		svm->x.state.nmi_masked = false;
		svm_intercepts(&svm->x);
		break;
	case INJ_EXCEPTION:
		if (e->vector == X86_TRAP_BP || e->vector == X86_TRAP_OF) {
			if (!len)
				break;		/* the guest's own INT3 or INTO: runs again */
			e->type = EV_SOFT_EXC;
			break;
		}
		e->type = len ? EV_PRIV_SOFT : EV_EXCEPTION;
		if (info & EVINJ_ERROR) {
			e->has_error = true;
			e->error = info >> 32;
		}
		break;
	case INJ_SOFT:
		if (len)
			e->type = EV_SOFT_INT;
		break;
	}
	if (len) {
		e->insn_len = len;
		soft_retreat(svm);
	}
}

void svm_vectoring(struct x86_vcpu *v, struct x86_event *e)
{
	struct svm_vcpu *svm = to_svm(v);
	u64 info = svm->vmcb->exit_int_info;

	if (unlikely(info & EVINJ_VALID))
		interrupted(svm, info, e);
	else
		e->type = EV_NONE;
	svm->soft_len = 0;
}

/* --- NMI masking and windows --- */

/* RFLAGS.TF is ours from now on; the cache keeps the guest's value, state.c keeps them apart. */
void svm_nmi_step(struct svm_vcpu *svm)
{
	struct vmcb *b = svm->vmcb;

	if (svm->nmi & NMI_STEP)
		return;
	svm->nmi |= NMI_STEP | (b->rflags & X86_EFLAGS_TF ? NMI_STEP_TF : 0);
	b->rflags |= X86_EFLAGS_TF;
}

void svm_nmi_unstep(struct svm_vcpu *svm)
{
	if (!(svm->nmi & NMI_STEP_TF))
		svm->vmcb->rflags &= ~(u64)X86_EFLAGS_TF;
	svm->nmi &= ~(NMI_STEP | NMI_STEP_TF);
}

/* The IRET that ends the handler is about to run. */
void svm_nmi_iret(struct svm_vcpu *svm)
{
	svm->nmi |= NMI_IRET_SEEN;
	svm->nmi_iret_rip = svm->vmcb->rip;
	svm_intercepts(&svm->x);
}

/* After an exit while any of NMI_* is set. true: it was the #DB of our own step, and nobody else's. */
bool svm_nmi_tracked(struct svm_vcpu *svm, u32 code)
{
	struct vmcb *b = svm->vmcb;
	bool returned = false, step = svm->nmi & NMI_STEP, others;

	if (svm->nmi & NMI_KICK) {
		svm->nmi &= ~NMI_KICK;
		svm->x.recheck_events = true;
	}
	if ((svm->nmi & NMI_IRET_SEEN) && b->rip != svm->nmi_iret_rip) {
		svm->nmi &= ~NMI_IRET_SEEN;
		svm->x.state.nmi_masked = false;
		svm->x.recheck_events = true;
		returned = true;
	}
	if (!step || code != SVM_EXIT_EXCP_BASE + X86_TRAP_DB || !(b->dr6 & DR_STEP))
		return false;
	others = (svm->nmi & NMI_STEP_TF) || (b->dr6 & DR_TRAP_BITS);
	if (returned)			/* IRET loaded the flags: TF there is the guest's */
		svm->nmi &= ~(NMI_STEP | NMI_STEP_TF);
	else
		svm_nmi_unstep(svm);
	svm->x.recheck_events = true;
	if (others)
		return false;
	b->dr6 &= ~(u64)DR_STEP;
	vmcb_unclean(b, CLEAN_DR);
	return true;
}
