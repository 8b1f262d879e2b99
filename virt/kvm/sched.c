// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs on host CPUs: loading and unloading, also from the scheduler, requests and kicks, and giving a CPU away.
 *
 * The protocol of requests. The vCPU thread, with IRQs off: mode = IN_GUEST, full barrier, look at requests, enter.
 * A requester: set the bit, full barrier, look at mode. One of them sees the other. Who finds IN_GUEST turns it to
 * EXITING, so that one IPI is sent however many ask, and the IPI's only effect is the exit. Because IRQs are off
 * from before mode changes until after the exit, an IPI that a CPU has answered proves that no vCPU that was in guest
 * mode there when it was sent still is.
 *
 * vcpu->cpu and the scheduler's hooks run with preemption off on the vCPU's thread. Kicks come from any context.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/arch.h>
#include <kvm/core.h>
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <trace/events/ipi.h>

/* Requests that only matter to a vCPU on its way into the guest: one that sleeps may sleep on. */
#define REQ_LETS_SLEEP	(BIT(REQ_TLB_FLUSH) | BIT(REQ_RELOAD_ROOT) | BIT(REQ_DIRTY_LOG))

/* How many vCPUs a yield tries before it gives up. */
#define YIELD_TRIES	3

static DEFINE_PER_CPU(struct kvm_vcpu *, running_vcpu);
/* Scratch of wait_guest_mode(), preemption off. */
static DEFINE_PER_CPU(cpumask_var_t, wait_mask);

struct kvm_vcpu *kvm_running_vcpu(void)
{
	return __this_cpu_read(running_vcpu);
}
EXPORT_SYMBOL_GPL(kvm_running_vcpu);

static void bind(struct kvm_vcpu *vcpu, int cpu)
{
	WRITE_ONCE(vcpu->cpu, cpu);
	__this_cpu_write(running_vcpu, vcpu);
	arch_vcpu_load(vcpu, cpu);
}

static void unbind(struct kvm_vcpu *vcpu)
{
	arch_vcpu_put(vcpu);
	__this_cpu_write(running_vcpu, NULL);
	WRITE_ONCE(vcpu->cpu, -1);
}

void vcpu_load(struct kvm_vcpu *vcpu)
{
	int cpu = get_cpu();

	preempt_notifier_register(&vcpu->preempt_notifier);
	bind(vcpu, cpu);
	put_cpu();
}
EXPORT_SYMBOL_GPL(vcpu_load);

void vcpu_put(struct kvm_vcpu *vcpu)
{
	preempt_disable();
	unbind(vcpu);
	preempt_notifier_unregister(&vcpu->preempt_notifier);
	preempt_enable();
}
EXPORT_SYMBOL_GPL(vcpu_put);

static void sched_in(struct preempt_notifier *pn, int cpu)
{
	struct kvm_vcpu *vcpu = container_of(pn, struct kvm_vcpu, preempt_notifier);

	WRITE_ONCE(vcpu->preempted, false);
	WRITE_ONCE(vcpu->ready, false);
	bind(vcpu, cpu);
}

static void sched_out(struct preempt_notifier *pn, struct task_struct *next)
{
	struct kvm_vcpu *vcpu = container_of(pn, struct kvm_vcpu, preempt_notifier);

	if (task_is_running(current)) {
		WRITE_ONCE(vcpu->preempted, true);
		WRITE_ONCE(vcpu->ready, true);
	}
	unbind(vcpu);
}

static struct preempt_ops preempt_hooks = {
	.sched_in = sched_in,
	.sched_out = sched_out,
};

void core_vcpu_sched_init(struct kvm_vcpu *vcpu)
{
	vcpu->cpu = -1;
	rcuwait_init(&vcpu->wait);
	preempt_notifier_init(&vcpu->preempt_notifier, &preempt_hooks);
}

bool vcpu_wake(struct kvm_vcpu *vcpu)
{
	if (!rcuwait_wake_up(&vcpu->wait))
		return false;
	WRITE_ONCE(vcpu->ready, true);
	vcpu->stat.halt_wakeup++;
	return true;
}
EXPORT_SYMBOL_GPL(vcpu_wake);

void vcpu_kick(struct kvm_vcpu *vcpu)
{
	int me, cpu;

	/* Its full barrier is the requester's one. */
	if (vcpu_wake(vcpu))
		return;
	if (READ_ONCE(vcpu->mode) != VCPU_IN_GUEST ||
	    cmpxchg(&vcpu->mode, VCPU_IN_GUEST, VCPU_EXITING) != VCPU_IN_GUEST)
		return;
	/* It may have left the guest and this CPU meanwhile; preemption off keeps a CPU from going offline. */
	me = get_cpu();
	cpu = READ_ONCE(vcpu->cpu);
	if (cpu >= 0 && cpu != me && cpu_online(cpu)) {
		smp_send_reschedule(cpu);
		arch_vcpu_kick_sent(vcpu);
	}
	put_cpu();
}
EXPORT_SYMBOL_GPL(vcpu_kick);

static void answer(void *unused)
{
}

/* Returns when every vCPU that was in guest mode has left it. IRQs on; locks may be held that no IRQ takes. */
static void wait_guest_mode(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	struct cpumask *mask;
	unsigned int i;
	int cpu;

	preempt_disable();
	mask = this_cpu_cpumask_var_ptr(wait_mask);
	cpumask_clear(mask);
	smp_mb();	/* the requests are set before modes are read */
	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (READ_ONCE(vcpu->mode) == VCPU_OUTSIDE)
			continue;
		cmpxchg(&vcpu->mode, VCPU_IN_GUEST, VCPU_EXITING);
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu >= 0)
			__cpumask_set_cpu(cpu, mask);
	}
	if (!cpumask_empty(mask))
		smp_call_function_many(mask, answer, NULL, true);
	preempt_enable();
}

void kvm_request_all(struct kvm *kvm, unsigned int req)
{
	bool wait = REQ_WAITS & BIT(req);
	bool wake = !(REQ_LETS_SLEEP & BIT(req));
	struct kvm_vcpu *vcpu;
	unsigned int i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		vcpu_request(vcpu, req);
		if (!wait)
			vcpu_kick(vcpu);
		else if (wake)
			vcpu_wake(vcpu);
	}
	if (wait)
		wait_guest_mode(kvm);
}
EXPORT_SYMBOL_GPL(kvm_request_all);

void kvm_flush_remote_tlbs(struct kvm *kvm)
{
	kvm->stat.remote_tlb_flush++;
	kvm_request_all(kvm, REQ_TLB_FLUSH);
}
EXPORT_SYMBOL_GPL(kvm_flush_remote_tlbs);

void kvm_kill(struct kvm *kvm)
{
	WRITE_ONCE(kvm->dead, true);
	kvm_request_all(kvm, REQ_DEAD);
}
EXPORT_SYMBOL_GPL(kvm_kill);

bool vcpu_yield_to(struct kvm_vcpu *target)
{
	struct task_struct *task = NULL;
	struct pid *pid;
	int ret;

	rcu_read_lock();
	pid = rcu_dereference(target->pid);
	if (pid)
		task = get_pid_task(pid, PIDTYPE_PID);
	rcu_read_unlock();
	if (!task)
		return false;
	ret = yield_to(task, 1);
	put_task_struct(task);
	return ret > 0;
}
EXPORT_SYMBOL_GPL(vcpu_yield_to);

/* Would a CPU be of use to it now? Hints only. */
static bool wants_cpu(struct kvm_vcpu *vcpu, bool kernel_only)
{
	if (!READ_ONCE(vcpu->ready))
		return false;
	/* One that sleeps was woken for nothing, or not yet. */
	if (rcuwait_active(&vcpu->wait) && !arch_vcpu_runnable(vcpu))
		return false;
	return !kernel_only || !READ_ONCE(vcpu->preempted) || arch_vcpu_in_kernel(vcpu);
}

void vcpu_yield_to_other(struct kvm_vcpu *vcpu, bool kernel_only)
{
	struct kvm *kvm = vcpu->kvm;
	unsigned int n = atomic_read_acquire(&kvm->online_vcpus);
	unsigned int next = READ_ONCE(kvm->yield_next);
	unsigned int i, tries = 0;

	vcpu->stat.directed_yield_attempted++;
	for (i = 0; i < n && tries < YIELD_TRIES; i++) {
		struct kvm_vcpu *other;

		if (++next >= n)
			next = 0;
		other = kvm->vcpu[next];
		if (other == vcpu || !wants_cpu(other, kernel_only))
			continue;
		if (vcpu_yield_to(other)) {
			WRITE_ONCE(kvm->yield_next, next);
			vcpu->stat.directed_yield_successful++;
			return;
		}
		tries++;
	}
}
EXPORT_SYMBOL_GPL(vcpu_yield_to_other);

void core_sched_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		free_cpumask_var(per_cpu(wait_mask, cpu));
}

int core_sched_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		if (!zalloc_cpumask_var_node(&per_cpu(wait_mask, cpu), GFP_KERNEL, cpu_to_node(cpu))) {
			core_sched_exit();
			return -ENOMEM;
		}
	}
	return 0;
}
