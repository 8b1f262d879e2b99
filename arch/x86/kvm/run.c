// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_RUN: what comes in from user space, the loop of entries and exits, what goes out.
 *
 * A turn of the loop: requests of other threads are served; a vCPU that does not run waits; events are chosen if
 * somebody asked; IRQs go off and the guest runs; the exit is handled. The last look at requests and at the thread's
 * own pending work comes after vcpu->mode says IN_GUEST and a full barrier: who asks later sees the mode and sends an
 * IPI, which ends the guest at once (virt/kvm/sched.c has the other half).
 *
 * From the exit to IRQs on the order mirrors the entry: guest's debug registers and XCR0 leave before the host's
 * interrupt is handled, because its softirqs may use the FPU.
 *
 * A few exits are so cheap that leaving the inner loop would cost more than they do: quick_exit().
 *
 * vCPU thread, loaded. kvm->srcu is held except in the guest, while waiting, and while the thread does other work.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/context_tracking.h>
#include <linux/irqflags.h>
#include <linux/kvm.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/srcu.h>
#include <linux/vtime.h>
#include <asm/processor-flags.h>
#include <compat/entry_work.h>
#include <compat/run_page.h>
#include <kvm/arch.h>
#include <kvm/x86/clock.h>
#include <kvm/x86/debug.h>
#include <kvm/x86/fpu.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/io.h>
#include <kvm/x86/irqchip.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/mmu.h>
#include <kvm/x86/vcpu.h>
#include "entry_work.h"
#include "trace.h"

static __always_inline bool goes_on(enum outcome out)
{
	return out <= OUT_FAULT;	/* a queued exception is the guest's business */
}

static __always_inline void leave_srcu(struct x86_vcpu *v)
{
	srcu_read_unlock(&v->vcpu.kvm->srcu, v->vcpu.srcu_idx);
}

static __always_inline void take_srcu(struct x86_vcpu *v)
{
	v->vcpu.srcu_idx = srcu_read_lock(&v->vcpu.kvm->srcu);
}

/* --- requests --- */

static enum outcome serve_time(struct x86_vcpu *v)
{
	struct kvm_vcpu *vcpu = &v->vcpu;
	enum outcome out;

	/* The master clock asks for an update of each vCPU's page, so it comes first. */
	if (vcpu_take_request(vcpu, REQ_MASTERCLOCK))
		clock_master_update(vm_of(v));
	if (vcpu_take_request(vcpu, REQ_CLOCK_UPDATE)) {
		out = clock_update(v);
		if (!goes_on(out))
			return out;
	}
	if (vcpu_take_request(vcpu, REQ_STEAL_UPDATE))
		steal_update(v);
	if (vcpu_take_request(vcpu, REQ_TIMER) && v->lapic)
		lapic_timer_work(v);
	return OUT_OK;
}

static void serve_translations(struct x86_vcpu *v)
{
	struct kvm_vcpu *vcpu = &v->vcpu;

	vcpu_take_request(vcpu, REQ_RELOAD_ROOT);	/* run_once() looks for itself */
	vcpu_take_request(vcpu, REQ_DIRTY_LOG);		/* the exit was all that it asked for */
	if (vcpu_take_request(vcpu, REQ_TLB_FLUSH)) {
		vcpu_take_request(vcpu, REQ_TLB_GUEST);	/* included */
		vcpu->stat.tlb_flush++;
		vendor_call(flush)(v, FLUSH_ALL, 0);
	}
	if (vcpu_take_request(vcpu, REQ_TLB_GUEST)) {
		vcpu->stat.tlb_flush++;
		vendor_call(flush)(v, FLUSH_GUEST, 0);
	}
}

static enum outcome serve_interrupts(struct x86_vcpu *v)
{
	struct kvm_vcpu *vcpu = &v->vcpu;
	struct kvm_run *run;
	enum outcome out;

	if (vcpu_take_request(vcpu, REQ_APIC_EVENT)) {
		out = vcpu_apic_events(v);
		if (!goes_on(out))
			return out;
	}
	if (vcpu_take_request(vcpu, REQ_LOAD_LEVELS) && v->lapic && vm_of(v)->ioapic)
		ioapic_scan_levels(v, v->level_vectors);
	if (vcpu_take_request(vcpu, REQ_TRIPLE_FAULT))
		v->ev.triple_fault = true;
	if (vcpu_take_request(vcpu, REQ_IOAPIC_EOI)) {
		run = vcpu_exit_to_user(vcpu, KVM_EXIT_IOAPIC_EOI);
		run->eoi.vector = v->eoi_vector;
		return OUT_USER;
	}
	return OUT_OK;
}

/* Requests that only say: look at the events again. */
#define EVENT_REQUESTS	(BIT(REQ_EVENT) | BIT(REQ_NMI) | BIT(REQ_SMI) | BIT(REQ_PIC) | BIT(REQ_APF_READY) | \
			 BIT(REQ_TRIPLE_FAULT))
#define TIME_REQUESTS	(BIT(REQ_MASTERCLOCK) | BIT(REQ_CLOCK_UPDATE) | BIT(REQ_STEAL_UPDATE) | BIT(REQ_TIMER))
#define PAGING_REQUESTS	(BIT(REQ_TLB_FLUSH) | BIT(REQ_RELOAD_ROOT) | BIT(REQ_TLB_GUEST) | BIT(REQ_DIRTY_LOG))
#define INTR_REQUESTS	(BIT(REQ_APIC_EVENT) | BIT(REQ_LOAD_LEVELS) | BIT(REQ_TRIPLE_FAULT) | BIT(REQ_IOAPIC_EOI))

static noinline enum outcome serve_requests(struct x86_vcpu *v)
{
	struct kvm_vcpu *vcpu = &v->vcpu;
	unsigned long all = READ_ONCE(vcpu->requests), req;
	enum outcome out = OUT_OK;

	if (unlikely(all & BIT(REQ_DEAD)))
		return vcpu_fail(vcpu, -EIO);
	if (all & EVENT_REQUESTS) {
		for (req = REQ_ARCH; req < BITS_PER_LONG; req++) {
			if (EVENT_REQUESTS & ~BIT(REQ_TRIPLE_FAULT) & BIT(req))
				vcpu_take_request(vcpu, req);
		}
		v->recheck_events = true;
	}
	vcpu_take_request(vcpu, REQ_UNBLOCK);
	if (all & PAGING_REQUESTS)
		serve_translations(v);
	if (all & TIME_REQUESTS)
		out = serve_time(v);
	if (goes_on(out) && (all & INTR_REQUESTS))
		out = serve_interrupts(v);
	if (vcpu_take_request(vcpu, REQ_MSR_FILTER))
		msr_intercepts_update(v);
	if (vcpu_take_request(vcpu, REQ_INTERCEPTS))
		vendor_call(intercepts)(v);
	return out;
}

/* --- waiting --- */

/*
 * The guest may have ended an interrupt without telling (PV EOI). Before anybody looks at the local APIC for what it
 * could deliver, the flag is taken back.
 */
static void settle_pv_eoi(struct x86_vcpu *v)
{
	if (likely(!v->pv_eoi_armed))
		return;
	v->pv_eoi_armed = false;
	if (pv_eoi_taken(v))
		lapic_eoi(v);
}

/* Halted, or an application processor before its SIPI. */
static noinline enum outcome wait_to_run(struct x86_vcpu *v)
{
	/* Others read these while we sleep; nobody fetches for them. */
	state_need(v, G_RFLAGS | G_SHADOW);
	settle_pv_eoi(v);
	if (!arch_vcpu_runnable(&v->vcpu)) {
		v->between_insns = true;
		vcpu_block(&v->vcpu, v->mp_state == KVM_MP_STATE_HALTED);
		v->between_insns = false;
	}
	if (v->mp_state == KVM_MP_STATE_HALTED && events_wake(v)) {
		WRITE_ONCE(v->mp_state, KVM_MP_STATE_RUNNABLE);
		WRITE_ONCE(v->parked, false);
		v->recheck_events = true;
	}
	return vcpu_apic_events(v);
}

/* --- in and out of the guest --- */

/*
 * The last and the first instruction on the host, as far as tracing and RCU are concerned: between them RCU may
 * not watch this CPU, so that nothing there may be traced or use RCU.
 */
static __always_inline void guest_context_enter(void)
{
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	context_tracking_guest_enter();
	lockdep_hardirqs_on(CALLER_ADDR0);
}

static __always_inline void guest_context_exit(void)
{
	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();
	trace_hardirqs_off_finish();
}

/*
 * CPU time as the guest's. With tick-based accounting the tick that ends the guest must still find it marked,
 * and is handled when IRQs go on; with precise accounting the guest's time ends now.
 */
static __always_inline void irqs_on_guest_time_over(void)
{
	if (vtime_accounting_enabled_this_cpu()) {
		vtime_account_guest_exit();
		local_irq_enable();
		return;
	}
	local_irq_enable();
	asm volatile("nop" : : : "memory");	/* STI holds interrupts off for one instruction */
	vtime_account_guest_exit();
}

/*
 * RCU waits for this CPU only if something went on for a tick or more, and then an interrupt of the host ended the
 * guest. So that is when it is told that this thread uses nothing of its own.
 */
static noinline void note_quiescent(void)
{
	if (context_tracking_enabled_this_cpu())
		return;
	local_irq_disable();
	rcu_note_context_switch(false);
	local_irq_enable();
}

static __always_inline void trace_entry(struct x86_vcpu *v)
{
	if (trace_kvm_entry_enabled())
		trace_kvm_entry(v->vcpu.id, get_rip(v));
}

static __always_inline void trace_exit(struct x86_vcpu *v)
{
	if (trace_kvm_exit_enabled())
		trace_kvm_exit(v->vcpu.id, v->exit.hw_reason, vendor_ops.amd ? TRACE_ISA_SVM : TRACE_ISA_VMX,
			       get_rip(v), v->exit.info1, v->exit.info2);
}

/* Is there anything to look at before the guest may run? IRQs off; mode is IN_GUEST, so from now on others kick. */
static __always_inline bool must_stay(const struct x86_vcpu *v)
{
	return vcpu_has_request(&v->vcpu) || v->recheck_events || __xfer_to_guest_mode_work_pending();
}

/*
 * Exits that need neither memory slots nor sleep, and come often: handled with IRQs off, and back. True: enter again.
 * When one is done but something else came up, the outer loop finds an exit that needs nothing.
 */
static bool quick_exit(struct x86_vcpu *v)
{
	u32 kind = v->exit.kind;
	enum outcome out;

	if (likely(kind != EXIT_CPUID && kind != EXIT_WRMSR))
		return false;
	/* The length must be hardware's: reading the instruction could sleep. */
	if ((vendor_ops.amd && !vendor_caps.nrips) || v->guest_debug || v->ev.injected.type != EV_NONE)
		return false;
	if (kind == EXIT_CPUID)
		out = exit_cpuid(v);
	else if (!exit_deadline(v, &out))
		return false;
	if (unlikely(!goes_on(out)))
		return false;
	v->exit.kind = EXIT_HANDLED;
	return !must_stay(v);
}

/* IRQs off. Runs the guest until an exit that the outer loop has to handle. */
static __always_inline void run_guest(struct x86_vcpu *v)
{
	do {
		trace_entry(v);
		fpu_enter(v);
		debug_enter(v);
		guest_context_enter();
		vendor_call(enter)(v);
		guest_context_exit();
		debug_exit(v);
		fpu_exit(v);
		v->vcpu.stat.exits++;
		/* Before a host interrupt is answered: it may be the one by which a harvest asks for this. */
		if (unlikely(READ_ONCE(vm_of(v)->log_slots)))
			mmu_drain_log(v);
		vendor_call(irq_exit)(v);
		vendor_call(exit)(v, &v->exit);
		trace_exit(v);
	} while (quick_exit(v));
}

/* False: did not enter, there is something to do first. Comes and goes with kvm->srcu held. */
static bool enter_guest(struct x86_vcpu *v) __must_hold(&v->vcpu.kvm->srcu)
{
	struct kvm_vcpu *vcpu = &v->vcpu;
	bool entered;

	preempt_disable();
	if (unlikely(!v->guest_loaded)) {
		vendor_call(prepare)(v);
		v->guest_loaded = true;
		vcpu->stat.host_state_reload++;
	}
	local_irq_disable();
	leave_srcu(v);
	xfer_to_guest_mode_prepare();
	smp_store_mb(vcpu->mode, VCPU_IN_GUEST);
	entered = likely(!must_stay(v));
	if (entered) {
		vtime_account_guest_enter();
		run_guest(v);
	}
	WRITE_ONCE(vcpu->mode, VCPU_OUTSIDE);
	if (entered)
		irqs_on_guest_time_over();
	else
		local_irq_enable();
	if (v->exit.kind == EXIT_HANDLED && entered)
		note_quiescent();
	preempt_enable();
	take_srcu(v);
	return entered;
}

/* What was given to hardware for this entry is chosen again before the next. */
static noinline void take_back_events(struct x86_vcpu *v)
{
	if (v->ev.injected.type == EV_NONE)
		return;
	vendor_ops.uninject(v);
	v->recheck_events = true;
}

/* Hardware refuses the state the guest is in: the exit is made up, and its handler interprets. */
static noinline enum outcome interpret(struct x86_vcpu *v)
{
	v->exit = (struct vm_exit){ .kind = EXIT_BAD_STATE };
	return exit_bad_state(v);
}

static noinline enum outcome prepare_events(struct x86_vcpu *v)
{
	enum outcome out;

	settle_pv_eoi(v);
	out = events_before_entry(v);
	if ((v->pv_eoi_msr & 1) && lapic_eoi_unheard(v))
		v->pv_eoi_armed = pv_eoi_arm(v);
	return out;
}

/* What the guest did to its TPR without an exit. */
static __always_inline void tpr_from_guest(struct x86_vcpu *v)
{
	u8 now;

	if (!v->lapic)
		return;
	now = *v->hw_tpr;
	if (likely(now == v->tpr_known))
		return;
	v->tpr_known = now;
	lapic_set_tpr(v, (u8)(now << vendor_caps.tpr_shift));
}

/* One turn. */
static enum outcome run_once(struct x86_vcpu *v)
{
	enum outcome out;

	if (unlikely(vcpu_has_request(&v->vcpu))) {
		out = serve_requests(v);
		if (!goes_on(out))
			return out;
	}
	if (unlikely(v->mp_state != KVM_MP_STATE_RUNNABLE))
		return wait_to_run(v);
	if (unlikely(v->root_as != v->vcpu.as)) {
		out = mmu_load_root(v);
		if (!goes_on(out))
			return out;
	}
	if (v->recheck_events) {
		out = prepare_events(v);
		if (unlikely(!goes_on(out)))
			return out;
	}
	if (unlikely(!vendor_caps.unrestricted) && !vendor_call(state_runs)(v))
		return interpret(v);
	if (unlikely(!enter_guest(v))) {
		take_back_events(v);
		return OUT_OK;
	}
	tpr_from_guest(v);
	return handle_exit(v);
}

/* --- leaving for user space --- */

/* Signals, rescheduling, task work. 0: go on. */
static noinline long thread_work(struct x86_vcpu *v)
{
	int err;

	leave_srcu(v);
	v->between_insns = true;
	err = entry_work_handle();
	v->between_insns = false;
	take_srcu(v);
	if (!err)
		return 0;
	vcpu_exit_to_user(&v->vcpu, KVM_EXIT_INTR);
	v->vcpu.stat.signal_exits++;
	return -EINTR;
}

static bool user_irq_ready(struct x86_vcpu *v)
{
	return v->ev.queued_irq < 0 && v->ev.pending.type == EV_NONE && (!v->lapic || lapic_accepts_pic(v)) &&
	       vcpu_interruptible(v);
}

/* A VMM with an interrupt controller of its own asked to be told when the guest can take an interrupt. */
static bool user_window_open(struct x86_vcpu *v)
{
	if (likely(vm_of(v)->irqchip == IRQCHIP_KERNEL) || !READ_ONCE(v->vcpu.run->request_interrupt_window))
		return false;
	if (!user_irq_ready(v))
		return false;
	vcpu_exit_to_user(&v->vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	v->vcpu.stat.request_irq_exits++;
	return true;
}

long run_vcpu(struct x86_vcpu *v)
{
	enum outcome out;
	long err;

	/* What user space was asked for comes first, even if it wants the vCPU back at once. */
	out = io_complete(v);
	if (goes_on(out)) {
		if (run_immediate_exit(v->vcpu.run)) {
			v->vcpu.stat.signal_exits++;
			return -EINTR;	/* exit_reason stays: VMMs look at the exit whose access they had finished */
		}
		v->vcpu.run->exit_reason = KVM_EXIT_UNKNOWN;
	}
	while (goes_on(out)) {
		if (unlikely(__xfer_to_guest_mode_work_pending())) {
			err = thread_work(v);
			if (err)
				return err;
		}
		out = run_once(v);
		if (goes_on(out) && unlikely(user_window_open(v)))
			break;
	}
	return out == OUT_ERROR ? v->vcpu.error : 0;
}

/* --- KVM_RUN --- */

/* State that user space put into the run structure. It may write there at any time: copied, then checked. */
static long registers_in(struct x86_vcpu *v, u64 dirty)
{
	struct kvm_sync_regs *shared = &v->vcpu.run->s.regs;
	union {
		struct kvm_regs regs;
		struct kvm_sregs sregs;
		struct kvm_vcpu_events events;
	} own;
	long err = 0;

	if (dirty & KVM_SYNC_X86_REGS) {
		memcpy(&own.regs, &shared->regs, sizeof(own.regs));
		barrier();
		err = regs_write(v, &own.regs);
	}
	if (!err && (dirty & KVM_SYNC_X86_SREGS)) {
		memcpy(&own.sregs, &shared->sregs, sizeof(own.sregs));
		barrier();
		err = sregs_write(v, &own.sregs);
	}
	if (!err && (dirty & KVM_SYNC_X86_EVENTS)) {
		memcpy(&own.events, &shared->events, sizeof(own.events));
		barrier();
		err = events_write(v, &own.events);
	}
	return err;
}

static void registers_out(struct x86_vcpu *v, u64 valid)
{
	struct kvm_sync_regs *shared = &v->vcpu.run->s.regs;

	if (valid & KVM_SYNC_X86_REGS)
		regs_read(v, &shared->regs);
	if (valid & KVM_SYNC_X86_SREGS)
		sregs_read(v, &shared->sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		events_read(v, &shared->events);
}

static long from_user(struct x86_vcpu *v, u64 *valid)
{
	struct kvm_run *run = v->vcpu.run;
	u64 dirty = READ_ONCE(run->kvm_dirty_regs), cr8;
	long err;

	*valid = READ_ONCE(run->kvm_valid_regs);
	if ((*valid | dirty) & ~(u64)KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	if (unlikely(dirty)) {
		run->kvm_dirty_regs = 0;
		err = registers_in(v, dirty);
		if (err)
			return err;
	}
	if (unlikely(!v->lapic)) {
		cr8 = READ_ONCE(run->cr8);
		if (cr8 > 15)
			return -EINVAL;
		v->cr8 = cr8;
	}
	run->flags = 0;
	return 0;
}

static void to_user(struct x86_vcpu *v, u64 valid)
{
	struct kvm_run *run = v->vcpu.run;

	settle_pv_eoi(v);
	/* What an earlier time of logging left over must not count for the next. */
	if (unlikely(READ_ONCE(vm_of(v)->log_ever)))
		mmu_drain_log(v);
	run->if_flag = !!(get_rflags(v) & X86_EFLAGS_IF);
	run->cr8 = v->lapic ? lapic_get_cr8(v) : v->cr8;
	run->apic_base = v->apic_base;
	run->ready_for_interrupt_injection = vm_of(v)->irqchip == IRQCHIP_KERNEL || user_irq_ready(v);
	if (unlikely(valid))
		registers_out(v, valid);
}

long arch_vcpu_run(struct kvm_vcpu *vcpu)
{
	struct x86_vcpu *v = x86_vcpu(vcpu);
	u64 valid;
	long ret;

	ret = from_user(v, &valid);
	if (ret)
		return ret;
	v->ran = true;
	/* Left over from before, or a window that user space wants or wants no longer: nobody else would ask. */
	if (v->ev.injected.type != EV_NONE || v->ev.pending.type != EV_NONE ||
	    READ_ONCE(vcpu->run->request_interrupt_window) != !!(v->intercepts & ICPT_IRQ_WINDOW))
		v->recheck_events = true;
	fpu_guest_in(v);
	ret = run_vcpu(v);
	fpu_guest_out(v);
	to_user(v, valid);
	trace_kvm_userspace_exit(vcpu->run->exit_reason, ret);
	return ret;
}
