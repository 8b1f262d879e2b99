// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events from and for user space: KVM_INTERRUPT, KVM_NMI, KVM_GET/SET_VCPU_EVENTS, KVM_SET_VAPIC_ADDR.
 *
 * The ABI's picture is wider than ours: it can show an exception, an NMI and an interrupt injected at once. We keep
 * the one that goes first as injected and the others as pending, which the guest cannot tell apart. Software
 * interrupts and exceptions are left out of the picture: RIP is still at their instruction, which runs again.
 *
 * vCPU thread, loaded; KVM_NMI may run beside KVM_RUN.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/kvm.h>
#include <asm/trapnr.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/vcpu.h>

#define FLAGS_KNOWN	(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR | \
			 KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_PAYLOAD | \
			 KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
#define MAX_EXCEPTION	31

long vcpu_interrupt(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	const struct kvm_interrupt *irq = c->arg;

	if (irq->irq > 255)
		return -EINVAL;
	if (vm_of(v)->irqchip == IRQCHIP_KERNEL)
		return -ENXIO;
	if (v->ev.queued_irq >= 0)
		return -EEXIST;
	v->ev.queued_irq = irq->irq;
	x86_events_changed(c->vcpu);
	return 0;
}

/* Any thread. */
long vcpu_nmi(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);

	/* More than hardware remembers are lost anyway; the sum must not wrap. */
	atomic_add_unless(&v->ev.nmi_queued, 1, 2);
	vcpu_request_kick(v, REQ_NMI);
	return 0;
}

/*
 * Where the VMM's option ROM keeps a copy of the TPR, for guests whose TPR accesses it patches. Accesses are not
 * reported to it (KVM_TPR_ACCESS_REPORTING), so it patches none and no page can be in use; at each reset it says so.
 */
long vcpu_set_vapic_addr(struct kvm_call *c)
{
	const struct kvm_vapic_addr *va = c->arg;

	return x86_vcpu(c->vcpu)->lapic && !va->vapic_addr ? 0 : -EINVAL;
}

static u8 shadow_to_user(u8 shadow)
{
	return (shadow & SHADOW_STI ? KVM_X86_SHADOW_INT_STI : 0) |
	       (shadow & SHADOW_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0);
}

static u8 shadow_from_user(u8 shadow)
{
	return (shadow & KVM_X86_SHADOW_INT_STI ? SHADOW_STI : 0) |
	       (shadow & KVM_X86_SHADOW_INT_MOV_SS ? SHADOW_MOV_SS : 0);
}

static void read_exception(struct x86_vcpu *v, struct kvm_vcpu_events *e)
{
	struct x86_event *x = v->ev.pending.type != EV_NONE ? &v->ev.pending : &v->ev.injected;
	bool pending = x == &v->ev.pending;

	if (x->type != EV_EXCEPTION)
		return;
	if (!vm_of(v)->exception_payload) {
		/* Without the capability there is no word for it: registers as if it were delivered already. */
		event_apply_payload(v, x);
		e->exception.injected = 1;
	} else {
		e->exception.injected = !pending;
		e->exception.pending = pending;
		e->exception_has_payload = x->has_payload;
		e->exception_payload = x->payload;
		e->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	}
	e->exception.nr = x->vector;
	e->exception.has_error_code = x->has_error;
	e->exception.error_code = x->error;
}

void events_read(struct x86_vcpu *v, struct kvm_vcpu_events *e)
{
	struct x86_events *ev = &v->ev;

	memset(e, 0, sizeof(*e));
	events_take_nmis(v);
	state_need(v, G_SHADOW);
	e->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (vm_of(v)->exception_payload)
		e->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	read_exception(v, e);

	if (ev->injected.type == EV_EXTINT || ev->queued_irq >= 0) {
		e->interrupt.injected = 1;
		e->interrupt.nr = ev->injected.type == EV_EXTINT ? ev->injected.vector : ev->queued_irq;
	}
	e->interrupt.shadow = shadow_to_user(v->state.intr_shadow);
	e->nmi.injected = ev->injected.type == EV_NMI;
	e->nmi.pending = ev->nmi_pending;
	e->nmi.masked = v->state.nmi_masked;
	if (vm_of(v)->triple_fault_event) {
		e->triple_fault.pending = ev->triple_fault;
		e->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
}

static bool events_valid(const struct x86_vcpu *v, const struct kvm_vcpu_events *e)
{
	const struct x86_vm *vm = vm_of(v);

	if (e->flags & ~FLAGS_KNOWN)
		return false;
	if ((e->flags & KVM_VCPUEVENT_VALID_PAYLOAD) && !vm->exception_payload)
		return false;
	if ((e->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) && !vm->triple_fault_event)
		return false;
	if ((e->exception.injected || e->exception.pending) &&
	    (e->exception.nr > MAX_EXCEPTION || e->exception.nr == X86_TRAP_NMI))
		return false;
	/* There is no system management mode to be in. */
	if ((e->flags & KVM_VCPUEVENT_VALID_SMM) && (e->smi.smm || e->smi.pending || e->smi.smm_inside_nmi))
		return false;
	return true;
}

static void write_exception(struct x86_vcpu *v, const struct kvm_vcpu_events *e)
{
	bool payload = e->flags & KVM_VCPUEVENT_VALID_PAYLOAD, pending = payload && e->exception.pending;
	struct x86_event x = {
		.type = EV_EXCEPTION, .vector = e->exception.nr,
		.has_error = e->exception.has_error_code, .error = e->exception.error_code,
	};

	v->ev.pending.type = EV_NONE;
	if (!pending && !e->exception.injected)
		return;
	if (e->exception.nr == X86_TRAP_BP || e->exception.nr == X86_TRAP_OF) {
		x.type = EV_SOFT_EXC;
		x.insn_len = 1;
	}
	if (pending) {
		x.has_payload = e->exception_has_payload;
		x.payload = e->exception_payload;
		v->ev.pending = x;
	} else {
		v->ev.injected = x;
	}
}

long events_write(struct x86_vcpu *v, const struct kvm_vcpu_events *e)
{
	struct x86_events *ev = &v->ev;

	if (!events_valid(v, e))
		return -EINVAL;
	events_take_nmis(v);
	ev->injected.type = EV_NONE;
	ev->queued_irq = -1;
	write_exception(v, e);

	if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		ev->nmi_pending = min_t(u8, e->nmi.pending, 2);
	if (e->nmi.injected) {
		if (ev->injected.type == EV_NONE)
			ev->injected = (struct x86_event){ .type = EV_NMI, .vector = X86_TRAP_NMI };
		else
			ev->nmi_pending = min(ev->nmi_pending + 1, 2);
	}
	/* Not as injected: hardware refuses that with IF clear, and user space's word for IF is not to be trusted. */
	if (e->interrupt.injected && !e->interrupt.soft)
		ev->queued_irq = e->interrupt.nr;
	state_need(v, G_SHADOW);
	v->state.nmi_masked = e->nmi.masked;
	if (e->flags & KVM_VCPUEVENT_VALID_SHADOW)
		v->state.intr_shadow = shadow_from_user(e->interrupt.shadow);
	state_dirty(v, G_SHADOW);
	if ((e->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && v->lapic)
		v->sipi_vector = e->sipi_vector;
	if ((e->flags & KVM_VCPUEVENT_VALID_SMM) && v->lapic) {
		if (e->smi.latched_init)
			set_bit(APIC_EVENT_INIT, &v->apic_events);
		else
			clear_bit(APIC_EVENT_INIT, &v->apic_events);
	}
	if (e->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
		ev->triple_fault = e->triple_fault.pending;
	x86_events_changed(&v->vcpu);
	return 0;
}

long vcpu_get_events(struct kvm_call *c)
{
	events_read(x86_vcpu(c->vcpu), c->arg);
	return 0;
}

long vcpu_set_events(struct kvm_call *c)
{
	return events_write(x86_vcpu(c->vcpu), c->arg);
}
