// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's timer: one hrtimer, whose callback posts the interrupt itself.
 *
 * One-shot and periodic modes count at 1 GHz (1 ns a tick, as the ABI's default bus clock) through the divider. Their
 * registers and the hrtimer's period change only while it is cancelled. TSC-deadline mode is what guests
 * use all day, so a write there costs no cancelling: `deadline` is the truth, the callback takes it by compare-and-
 * exchange and finds 0 or another value when the guest was quicker. An hrtimer that is too early for the guest's
 * TSC (the host's clock is disciplined, its TSC is not) is started again for the rest.
 *
 * All functions run on the vCPU thread but the callback, which runs in hard interrupt context on any CPU.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/math64.h>
#include <linux/module.h>
#include <asm/tsc.h>
#include <compat/hrtimer.h>
#include "lapic_priv.h"

#define EARLY_MAX	4		/* restarts of one deadline before it counts as reached */
#define NS_MAX		(S64_MAX / 2)

static unsigned int min_timer_period_us = 200;
module_param(min_timer_period_us, uint, 0644);
MODULE_PARM_DESC(min_timer_period_us, "Shortest period of a guest's periodic timers in microseconds");

u64 irq_min_period_ns(void)
{
	return max(1u, READ_ONCE(min_timer_period_us)) * (u64)NSEC_PER_USEC;
}

static unsigned int mode(const struct lapic *a)
{
	return LVTT_MODE(reg_get(a, R_LVTT));
}

static unsigned int divide_shift(u32 dcr)
{
	return ((dcr & 3) + (dcr >> 1 & 4) + 1) & 7;
}

static void fire(struct lapic *a)
{
	u32 lvt = reg_get(a, R_LVTT);

	if (!(lvt & LVT_MASK))
		lapic_local(a->v, lvt);
}

static void start(struct lapic *a, u64 ns)
{
	hrtimer_start(&a->timer.hr, ns_to_ktime(min_t(u64, ns, NS_MAX)), HRTIMER_MODE_REL_PINNED_HARD);
}

static void deadline_expired(struct lapic *a)
{
	struct apic_timer *t = &a->timer;
	u64 d = READ_ONCE(t->deadline), now = guest_tsc(a->v, rdtsc());

	if (!d)
		return;
	if (d > now && t->early < EARLY_MAX) {
		t->early++;
		start(a, max_t(u64, guest_tsc_to_ns(a->v, d - now), NSEC_PER_USEC));
		return;
	}
	if (cmpxchg(&t->deadline, d, 0) == d)
		fire(a);
}

static enum hrtimer_restart expired(struct hrtimer *hr)
{
	struct lapic *a = container_of(hr, struct lapic, timer.hr);

	if (mode(a) == TIMER_DEADLINE) {
		deadline_expired(a);
		return HRTIMER_NORESTART;
	}
	fire(a);
	if (mode(a) != TIMER_PERIODIC || !a->timer.period)
		return HRTIMER_NORESTART;
	/* Periods that passed unseen merge, as they would in the IRR. */
	hrtimer_forward_now(hr, ns_to_ktime(a->timer.period));
	return HRTIMER_RESTART;
}

void lapic_timer_init(struct lapic *a)
{
	compat_hrtimer_setup(&a->timer.hr, expired, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
}

void lapic_timer_stop(struct lapic *a)
{
	WRITE_ONCE(a->timer.deadline, 0);
	hrtimer_cancel(&a->timer.hr);
	a->timer.period = 0;
}

/* Counting modes */

static u64 count_to_ns(const struct lapic *a, u32 count)
{
	return (u64)count << divide_shift(reg_get(a, R_DCR));
}

u32 lapic_timer_count(const struct lapic *a)
{
	u64 period = a->timer.period;
	s64 left;

	if (!reg_get(a, R_TMICT) || mode(a) == TIMER_DEADLINE)
		return 0;
	left = ktime_to_ns(ktime_sub(hrtimer_get_expires(&a->timer.hr), ktime_get()));
	if (left <= 0) {
		u64 past = -left, into;

		if (mode(a) != TIMER_PERIODIC || !period)
			return 0;
		div64_u64_rem(past, period, &into);
		left = period - into;
	}
	return min_t(u64, left >> divide_shift(reg_get(a, R_DCR)), reg_get(a, R_TMICT));
}

/* Stops counting. What was left; 0: it had run out, and stays so whatever mode it gets, until a count is written. */
static u32 hold(struct lapic *a)
{
	u32 left;

	if (hrtimer_cancel(&a->timer.hr) <= 0)
		return 0;
	left = lapic_timer_count(a);
	if (left || mode(a) == TIMER_PERIODIC)
		return max(left, 1u);
	fire(a);		/* the count was over before the callback came */
	return 0;
}

/* The hrtimer is idle; count is what is left of the first round. */
static void count_down(struct lapic *a, u32 count)
{
	a->timer.period = 0;
	if (!count || mode(a) == TIMER_DEADLINE)
		return;
	if (mode(a) == TIMER_PERIODIC)
		a->timer.period = max(count_to_ns(a, reg_get(a, R_TMICT)), irq_min_period_ns());
	start(a, count_to_ns(a, count));
}

void lapic_timer_set_count(struct lapic *a, u32 count)
{
	if (mode(a) == TIMER_DEADLINE)
		return;			/* ignored there (SDM 11.5.4.1) */
	hrtimer_cancel(&a->timer.hr);
	reg_set(a, R_TMICT, count);
	count_down(a, count);
}

void lapic_timer_set_divide(struct lapic *a, u32 dcr)
{
	u32 left;

	if (mode(a) == TIMER_DEADLINE || !reg_get(a, R_TMICT)) {
		reg_set(a, R_DCR, dcr);
		return;
	}
	left = hold(a);
	reg_set(a, R_DCR, dcr);
	count_down(a, left);
}

void lapic_timer_set_lvtt(struct lapic *a, u32 lvtt)
{
	unsigned int old = mode(a), new = LVTT_MODE(lvtt);
	u32 left;

	if (old == new) {
		reg_set(a, R_LVTT, lvtt);
		return;
	}
	if (old == TIMER_DEADLINE || new == TIMER_DEADLINE) {
		/* Going there or back disarms it. */
		lapic_timer_stop(a);
		reg_set(a, R_LVTT, lvtt);
		reg_set(a, R_TMICT, 0);
		return;
	}
	left = hold(a);
	reg_set(a, R_LVTT, lvtt);
	count_down(a, left);
}

/*
 * The registers were replaced, the hrtimer is idle: go on from the count that came with them. A periodic timer was seen
 * at the end of its round when it is 0.
 */
void lapic_timer_restore(struct lapic *a, u32 count)
{
	u32 initial = reg_get(a, R_TMICT);

	count_down(a, !count && mode(a) == TIMER_PERIODIC ? initial : min(count, initial));
}

/* Deadline mode */

static void arm_deadline(struct x86_vcpu *v)
{
	struct lapic *a = v->lapic;
	u64 d = READ_ONCE(a->timer.deadline), now;

	if (!d) {
		hrtimer_try_to_cancel(&a->timer.hr);	/* a callback that runs finds 0 */
		return;
	}
	now = guest_tsc(v, rdtsc());
	if (d > now)
		start(a, guest_tsc_to_ns(v, d - now));
	else if (cmpxchg(&a->timer.deadline, d, 0) == d)
		fire(a);
}

u64 lapic_get_deadline(struct x86_vcpu *v)
{
	if (!v->lapic || mode(v->lapic) != TIMER_DEADLINE)
		return 0;
	return READ_ONCE(v->lapic->timer.deadline);
}

void lapic_set_deadline(struct x86_vcpu *v, u64 tsc)
{
	struct lapic *a = v->lapic;

	if (!a || mode(a) != TIMER_DEADLINE)
		return;
	a->timer.early = 0;
	WRITE_ONCE(a->timer.deadline, tsc);
	arm_deadline(v);
}

void lapic_tsc_changed(struct x86_vcpu *v)
{
	struct lapic *a = v->lapic;

	if (!a || mode(a) != TIMER_DEADLINE || !READ_ONCE(a->timer.deadline))
		return;
	a->timer.early = 0;
	arm_deadline(v);
}

/* What expires should interrupt the CPU that the guest runs on, and so cost no IPI. */
void lapic_migrate_timer(struct x86_vcpu *v)
{
	struct lapic *a = v->lapic;

	if (a && hrtimer_cancel(&a->timer.hr) > 0)
		hrtimer_start_expires(&a->timer.hr, HRTIMER_MODE_ABS_PINNED_HARD);
}

/* Posting needs no help from the vCPU thread; what may be due is a deadline whose hrtimer cannot be trusted. */
void lapic_timer_work(struct x86_vcpu *v)
{
	lapic_tsc_changed(v);
}
