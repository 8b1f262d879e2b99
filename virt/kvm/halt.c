// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU with nothing to do: its thread polls for a while, because a sleep and a wake-up cost more than most waits
 * are long, and then sleeps.
 *
 * How long it polls is learnt per vCPU between 0 and a ceiling: a wait that a longer poll within the ceiling would
 * have caught makes it grow, one that no allowed poll could have caught makes it shrink. The module parameters
 * (documented in the kernel's virt/kvm/halt-polling) set ceiling and steps; KVM_CAP_HALT_POLL sets a VM's own ceiling.
 *
 * vCPU thread only. The vCPU stays loaded: a sleep unloads it by the scheduler's hooks.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/arch.h>
#include <kvm/core.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>

static unsigned int halt_poll_ns = 200000;
module_param(halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns, "longest time in ns that a halted vCPU polls before it sleeps; 0: never");

static unsigned int halt_poll_ns_grow = 2;
module_param(halt_poll_ns_grow, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_grow, "factor by which the time of polling grows; 0: it does not");

static unsigned int halt_poll_ns_grow_start = 10000;
module_param(halt_poll_ns_grow_start, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_grow_start, "what the time of polling grows to from 0");

static unsigned int halt_poll_ns_shrink;
module_param(halt_poll_ns_shrink, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_shrink, "divisor by which the time of polling shrinks; 0: to nothing at once");

static unsigned int poll_ceiling(const struct kvm *kvm)
{
	return READ_ONCE(kvm->halt_poll_set) ? READ_ONCE(kvm->halt_poll_ns) : READ_ONCE(halt_poll_ns);
}

/* waited: from the halt to the reason to go on. */
static void poll_learn(struct kvm_vcpu *vcpu, u64 waited, unsigned int ceiling)
{
	unsigned int cur = vcpu->halt_poll_ns;
	unsigned int grow = READ_ONCE(halt_poll_ns_grow), shrink = READ_ONCE(halt_poll_ns_shrink);
	u64 next = cur;

	if (waited <= cur)
		return;
	if (waited < ceiling) {
		if (grow)
			next = max_t(u64, (u64)cur * grow, READ_ONCE(halt_poll_ns_grow_start));
	} else {
		next = shrink ? cur / shrink : 0;
		if (next < READ_ONCE(halt_poll_ns_grow_start))
			next = 0;
	}
	vcpu->halt_poll_ns = min_t(u64, next, ceiling);
}

/* What ends a halt. The order of their causes: see vcpu_kick(). */
static bool halt_over(struct kvm_vcpu *vcpu)
{
	return arch_vcpu_runnable(vcpu) || vcpu_has_request(vcpu) || signal_pending(current);
}

static bool poll(struct kvm_vcpu *vcpu, u64 start)
{
	u64 end = start + vcpu->halt_poll_ns, now;
	bool over;

	vcpu->stat.halt_attempted_poll++;
	do {
		over = halt_over(vcpu);
		if (!over)
			cpu_relax();
		now = ktime_get_ns();
	} while (!over && now < end && !need_resched() && single_task_running());

	if (over) {
		vcpu->stat.halt_successful_poll++;
		vcpu->stat.halt_poll_success_ns += now - start;
		if (!arch_vcpu_runnable(vcpu))
			vcpu->stat.halt_poll_invalid++;
	} else {
		vcpu->stat.halt_poll_fail_ns += now - start;
	}
	return over;
}

static void sleep(struct kvm_vcpu *vcpu)
{
	vcpu->stat.blocking = 1;
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (halt_over(vcpu))
			break;
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
	vcpu->stat.blocking = 0;
}

void vcpu_block(struct kvm_vcpu *vcpu, bool may_poll)
	__must_hold(&vcpu->kvm->srcu)
{
	unsigned int ceiling = may_poll ? poll_ceiling(vcpu->kvm) : 0;
	u64 start = ktime_get_ns(), slept;

	/* No reader while waiting: those who change slots or buses wait for readers. */
	srcu_read_unlock(&vcpu->kvm->srcu, vcpu->srcu_idx);
	arch_vcpu_blocking(vcpu, true);
	vcpu->halt_poll_ns = min(vcpu->halt_poll_ns, ceiling);
	if (!vcpu->halt_poll_ns || !poll(vcpu, start)) {
		slept = ktime_get_ns();
		sleep(vcpu);
		vcpu->stat.halt_wait_ns += ktime_get_ns() - slept;
	}
	arch_vcpu_blocking(vcpu, false);
	if (ceiling)
		poll_learn(vcpu, ktime_get_ns() - start, ceiling);
	vcpu_take_request(vcpu, REQ_UNBLOCK);
	vcpu->srcu_idx = srcu_read_lock(&vcpu->kvm->srcu);
}
EXPORT_SYMBOL_GPL(vcpu_block);
