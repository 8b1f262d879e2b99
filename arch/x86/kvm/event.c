// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is delivered to the guest at the next entry.
 *
 * The order of SDM table 7-2, as far as software decides it: a delivery that an exit interrupted, then an exception,
 * an NMI, an external interrupt. Nothing of it is looked at unless REQ_EVENT or recheck_events asks: whoever changes
 * what may be delivered says so. What cannot be delivered yet opens a window: an exit as soon as it can.
 *
 * An event becomes `injected` here and stays that until the exit after: then it either went in or, its delivery
 * interrupted, is what the vendor reads back. An exception that is raised meanwhile merges with it.
 *
 * External interrupts of a VMM with its own interrupt controller, and acknowledged ones that had to give way to an
 * exception, wait in queued_irq.
 *
 * vCPU thread, loaded, in kvm->srcu; events_wake() from any thread as a hint. State: v->ev, as long as the vCPU.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/kvm.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <kvm/x86/debug.h>
#include <kvm/x86/irqchip.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/vcpu.h>
#include "trace.h"

#define MAX_NMIS	2	/* one in its handler, one held pending */

static const struct x86_event no_event = { .type = EV_NONE };

static bool is_exception(const struct x86_event *e)
{
	return e->type == EV_EXCEPTION || e->type == EV_SOFT_EXC || e->type == EV_PRIV_SOFT;
}

/* --- exceptions --- */

enum merge { MERGE_SERIAL, MERGE_DOUBLE, MERGE_TRIPLE };

static bool contributory(u8 vector)
{
	return vector == X86_TRAP_DE || (vector >= X86_TRAP_TS && vector <= X86_TRAP_GP) || vector == X86_TRAP_CP;
}

static bool page_fault(u8 vector)
{
	return vector == X86_TRAP_PF || vector == X86_TRAP_VE;
}

/* SDM tables 6-4 and 6-5: a second exception while the first is being delivered. */
static enum merge merge_rule(u8 first, u8 second)
{
	if (first == X86_TRAP_DF)
		return contributory(second) || page_fault(second) || second == X86_TRAP_DF ? MERGE_TRIPLE :
											     MERGE_SERIAL;
	if (contributory(first) && contributory(second))
		return MERGE_DOUBLE;
	if (page_fault(first) && (contributory(second) || page_fault(second)))
		return MERGE_DOUBLE;
	return MERGE_SERIAL;
}

/* What an exception leaves in registers; once, when it is certain to be delivered or user space looks. */
void event_apply_payload(struct x86_vcpu *v, struct x86_event *e)
{
	if (!e->has_payload)
		return;
	e->has_payload = false;
	if (e->vector == X86_TRAP_PF)
		put_cr2(v, e->payload);
	else if (e->vector == X86_TRAP_DB)
		debug_delivered(v, e->payload);
}

static enum outcome raise(struct x86_vcpu *v, struct x86_event *e)
{
	struct x86_events *ev = &v->ev;
	struct x86_event *first = NULL;

	v->recheck_events = true;
	if (ev->pending.type != EV_NONE)
		first = &ev->pending;
	else if (is_exception(&ev->injected))
		first = &ev->injected;
	if (!first) {
		ev->pending = *e;
		return OUT_FAULT;
	}
	switch (merge_rule(first->vector, e->vector)) {
	case MERGE_TRIPLE:
		ev->triple_fault = true;
		ev->pending = ev->injected = no_event;
		break;
	case MERGE_DOUBLE:
		if (e->vector == X86_TRAP_PF)
			event_apply_payload(v, e);
		*first = no_event;
		ev->pending = (struct x86_event){ .type = EV_EXCEPTION, .vector = X86_TRAP_DF, .has_error = true };
		break;
	case MERGE_SERIAL:
		/* The first one's instruction runs again after the second's handler, and raises it again. */
		*first = no_event;
		ev->pending = *e;
		break;
	}
	return OUT_FAULT;
}

enum outcome x86_raise(struct kvm_vcpu *vcpu, u8 vector)
{
	struct x86_event e = { .type = EV_EXCEPTION, .vector = vector };

	/* INT3 and INTO: the frame holds the address after the instruction, which is one byte long. */
	if (vector == X86_TRAP_BP || vector == X86_TRAP_OF) {
		e.type = EV_SOFT_EXC;
		e.insn_len = 1;
	}
	return raise(x86_vcpu(vcpu), &e);
}
EXPORT_SYMBOL_GPL(x86_raise);

enum outcome x86_raise_error(struct kvm_vcpu *vcpu, u8 vector, u32 error)
{
	struct x86_event e = { .type = EV_EXCEPTION, .vector = vector, .has_error = true, .error = error };

	return raise(x86_vcpu(vcpu), &e);
}
EXPORT_SYMBOL_GPL(x86_raise_error);

enum outcome x86_raise_pf(struct kvm_vcpu *vcpu, u64 cr2, u32 error)
{
	struct x86_event e = {
		.type = EV_EXCEPTION, .vector = X86_TRAP_PF, .has_error = true, .error = error,
		.has_payload = true, .payload = cr2,
	};

	vcpu->stat.pf_guest++;
	return raise(x86_vcpu(vcpu), &e);
}
EXPORT_SYMBOL_GPL(x86_raise_pf);

enum outcome x86_raise_db(struct kvm_vcpu *vcpu, u64 dr6_bits)
{
	struct x86_event e = {
		.type = EV_EXCEPTION, .vector = X86_TRAP_DB, .has_payload = true, .payload = dr6_bits,
	};

	return raise(x86_vcpu(vcpu), &e);
}
EXPORT_SYMBOL_GPL(x86_raise_db);

void x86_events_changed(struct kvm_vcpu *vcpu)
{
	x86_vcpu(vcpu)->recheck_events = true;
}
EXPORT_SYMBOL_GPL(x86_events_changed);

/* --- choosing --- */

bool vcpu_interruptible(struct x86_vcpu *v)
{
	state_need(v, G_RFLAGS | G_SHADOW);
	return (v->state.rflags & X86_EFLAGS_IF) && !v->state.intr_shadow && v->ev.injected.type == EV_NONE;
}

static bool nmi_allowed(struct x86_vcpu *v)
{
	state_need(v, G_SHADOW);
	return !v->state.nmi_masked && !v->state.intr_shadow && v->ev.injected.type == EV_NONE;
}

static bool irq_waiting(struct x86_vcpu *v)
{
	return v->ev.queued_irq >= 0 || (v->lapic && vcpu_has_irq(v));
}

/* The ExtINT line comes before the local APIC's own. */
static int take_irq(struct x86_vcpu *v)
{
	int vector = v->ev.queued_irq;

	if (vector < 0)
		return v->lapic ? vcpu_ack_irq(v) : -1;
	v->ev.queued_irq = -1;
	return vector;
}

/* NMIs that other threads posted. Beyond what hardware could hold they are lost, as there. */
void events_take_nmis(struct x86_vcpu *v)
{
	struct x86_events *ev = &v->ev;
	int limit = MAX_NMIS, n;

	if (likely(!atomic_read(&ev->nmi_queued)))
		return;
	state_need(v, G_SHADOW);
	if (v->state.nmi_masked || ev->injected.type == EV_NMI)
		limit--;
	n = ev->nmi_pending + atomic_xchg(&ev->nmi_queued, 0);
	ev->nmi_pending = clamp(n, 0, limit);
}

/*
 * An interrupted delivery meets an exception, which goes first: its fault address is the interrupted RIP. An
 * interrupt and an NMI are kept; INT n runs again.
 */
static void give_way(struct x86_vcpu *v)
{
	struct x86_events *ev = &v->ev;

	if (ev->injected.type == EV_EXTINT && ev->queued_irq < 0)
		ev->queued_irq = ev->injected.vector;
	else if (ev->injected.type == EV_NMI && ev->nmi_pending < MAX_NMIS)
		ev->nmi_pending++;
	ev->injected = no_event;
}

static void choose_exception(struct x86_vcpu *v)
{
	struct x86_events *ev = &v->ev;

	if (ev->injected.type != EV_NONE)
		give_way(v);
	event_apply_payload(v, &ev->pending);
	/* The frame of a fault has RF set, so that an instruction breakpoint does not hit again on return. */
	if (ev->pending.type == EV_EXCEPTION && ev->pending.vector != X86_TRAP_DB)
		put_rflags(v, get_rflags(v) | X86_EFLAGS_RF);
	ev->injected = ev->pending;
	ev->pending = no_event;
}

static void choose_interrupt(struct x86_vcpu *v)
{
	struct x86_events *ev = &v->ev;
	int vector;

	if (ev->nmi_pending && nmi_allowed(v)) {
		ev->nmi_pending--;
		ev->injected = (struct x86_event){ .type = EV_NMI, .vector = X86_TRAP_NMI };
		v->vcpu.stat.nmi_injections++;
		return;
	}
	if (!irq_waiting(v) || !vcpu_interruptible(v))
		return;
	vector = take_irq(v);
	if (vector < 0)
		return;
	ev->injected = (struct x86_event){ .type = EV_EXTINT, .vector = vector };
	v->vcpu.stat.irq_injections++;
}

/* User space has an interrupt for its own controller and wants to know when it can be taken. */
static bool window_asked(struct x86_vcpu *v)
{
	return vm_of(v)->irqchip != IRQCHIP_KERNEL && READ_ONCE(v->vcpu.run->request_interrupt_window) &&
	       (!v->lapic || lapic_accepts_pic(v));
}

static void set_windows(struct x86_vcpu *v)
{
	const u32 windows = ICPT_IRQ_WINDOW | ICPT_NMI_WINDOW;
	u32 want = 0;

	/* While user space steps with interrupts blocked, no window may come in between. */
	if (!(v->guest_debug & KVM_GUESTDBG_BLOCKIRQ)) {
		if (v->ev.nmi_pending)
			want |= ICPT_NMI_WINDOW;
		if (irq_waiting(v) || window_asked(v))
			want |= ICPT_IRQ_WINDOW;
	}
	/*
	 * An NMI window that hardware does not have is made by the vendor from where the guest is now: tell it again.
	 */
	if ((v->intercepts & windows) == want && !(want & ICPT_NMI_WINDOW))
		return;
	v->intercepts = (v->intercepts & ~windows) | want;
	vendor_call(intercepts)(v);
}

static void trace_injected(const struct x86_event *e, bool again)
{
	switch (e->type) {
	case EV_EXTINT:
	case EV_SOFT_INT:
		trace_kvm_inj_virq(e->vector, e->type == EV_SOFT_INT, again);
		break;
	case EV_EXCEPTION:
	case EV_SOFT_EXC:
	case EV_PRIV_SOFT:
		trace_kvm_inj_exception(e->vector, e->has_error, e->error, again);
		break;
	}
}

/* Hardware cannot run this state, so it cannot deliver into it either. */
static enum outcome deliver_by_software(struct x86_vcpu *v)
{
	struct x86_event e = v->ev.injected;

	v->ev.injected = no_event;
	v->recheck_events = true;
	if (e.type == EV_NMI) {
		state_need(v, G_SHADOW);
		v->state.nmi_masked = true;
		state_dirty(v, G_SHADOW);
	}
	return emulate_real_mode_int(v, &e);
}

enum outcome events_before_entry(struct x86_vcpu *v)
{
	struct x86_events *ev = &v->ev;
	bool again = ev->injected.type != EV_NONE;
	enum outcome out = OUT_OK;

	v->recheck_events = false;
	v->vcpu.stat.req_event++;
	events_take_nmis(v);
	if (unlikely(ev->triple_fault)) {
		ev->triple_fault = false;
		vcpu_exit_to_user(&v->vcpu, KVM_EXIT_SHUTDOWN);
		return OUT_USER;
	}

	/* Hardware brings back none with IF clear and accepts none; user space may have made one up. */
	if (unlikely(ev->injected.type == EV_EXTINT) && !(get_rflags(v) & X86_EFLAGS_IF))
		give_way(v);
	if (ev->pending.type != EV_NONE) {
		choose_exception(v);
		again = false;
	} else if (ev->injected.type == EV_NONE && !(v->guest_debug & KVM_GUESTDBG_BLOCKIRQ)) {
		choose_interrupt(v);
	}
	if (ev->injected.type != EV_NONE) {
		trace_injected(&ev->injected, again);
		if (unlikely(!vendor_caps.unrestricted) && !vendor_call(state_runs)(v))
			out = deliver_by_software(v);
		else
			vendor_call(inject)(v, &ev->injected);
	}
	set_windows(v);
	if (v->lapic)
		lapic_sync_tpr(v);
	return out;
}

void events_after_exit(struct x86_vcpu *v)
{
	if (v->exit.kind != EXIT_ENTRY_FAILED)
		vendor_call(vectoring)(v, &v->ev.injected);
	/* What did not go in is put there again, because hardware forgets it. */
	if (v->ev.injected.type != EV_NONE)
		v->recheck_events = true;
}

void events_reset(struct x86_vcpu *v)
{
	struct x86_events *ev = &v->ev;

	ev->injected = ev->pending = no_event;
	ev->nmi_pending = 0;
	atomic_set(&ev->nmi_queued, 0);
	ev->smi_pending = false;
	ev->triple_fault = false;
	ev->queued_irq = -1;
	v->intercepts &= ~(ICPT_IRQ_WINDOW | ICPT_NMI_WINDOW);
	v->recheck_events = true;
}

/*
 * A halting vCPU's flags are in the cache (exit_hlt() saw to it) and nobody changes them while it sleeps; other
 * threads get a hint only.
 */
bool events_wake(struct x86_vcpu *v)
{
	const struct x86_events *ev = &v->ev;

	if (READ_ONCE(v->parked) || ev->pending.type != EV_NONE || ev->injected.type != EV_NONE || ev->triple_fault)
		return true;
	if (READ_ONCE(v->apic_events))
		return true;
	if ((ev->nmi_pending || atomic_read(&ev->nmi_queued)) && !READ_ONCE(v->state.nmi_masked))
		return true;
	if (!(READ_ONCE(v->state.rflags) & X86_EFLAGS_IF))
		return false;
	if (READ_ONCE(ev->queued_irq) >= 0)
		return true;
	if (!v->lapic)
		return false;
	return lapic_maybe_pending(v) || (vm_of(v)->pic && pic_output(vm_of(v)) && lapic_accepts_pic(v));
}
