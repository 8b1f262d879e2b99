// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's clocks and its time-stamp counter, read at one instant.
 *
 * The timekeeper tells us its parameters at each update (pvclock_gtod notifier); a copy under a sequence counter lets
 * us turn any TSC value into the host's time, which no exported clock function does. Guests are given the raw rate:
 * they extrapolate with a constant frequency, and a clock that NTP slews would run away from them.
 *
 * The notifier runs with the timekeeper's lock held and IRQs off: it copies, and leaves the rest to an irq_work that
 * starts a work item. Alive from vendor registration to its end.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/clocksource.h>
#include <linux/irq_work.h>
#include <linux/pvclock_gtod.h>
#include <linux/seqlock.h>
#include <linux/timekeeper_internal.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>
#include <asm/tsc.h>
#include "time.h"

struct base {
	u64 cycles, mask, ns, frac;	/* ns + (frac >> shift) at cycles */
	u32 mult, shift;
};

static struct {
	seqcount_t seq;
	struct base mono, raw;
	s64 to_boot, to_real;		/* from the monotonic clock */
} keeper = { .seq = SEQCNT_ZERO(keeper.seq) };

bool tsc_host_stable;

static void clock_source_changed(struct work_struct *work)
{
	struct kvm *kvm;

	mutex_lock(&kvm_vms_lock);
	list_for_each_entry(kvm, &kvm_vms, link)
		clock_request_all(x86_vm(kvm), REQ_MASTERCLOCK);
	mutex_unlock(&kvm_vms_lock);
}
static DECLARE_WORK(changed_work, clock_source_changed);

static void start_changed_work(struct irq_work *work)
{
	schedule_work(&changed_work);
}
static DEFINE_IRQ_WORK(changed_irq, start_changed_work);

static void copy_base(struct base *to, const struct tk_read_base *from)
{
	to->cycles = from->cycle_last;
	to->mask = from->mask;
	to->ns = ktime_to_ns(from->base);
	to->frac = from->xtime_nsec;
	to->mult = from->mult;
	to->shift = from->shift;
}

static int timekeeper_updated(struct notifier_block *nb, unsigned long stepped, void *data)
{
	const struct timekeeper *tk = data;
	bool stable = tk->tkr_mono.clock->vdso_clock_mode == VDSO_CLOCKMODE_TSC && !check_tsc_unstable();

	write_seqcount_begin(&keeper.seq);
	copy_base(&keeper.mono, &tk->tkr_mono);
	copy_base(&keeper.raw, &tk->tkr_raw);
	keeper.to_boot = ktime_to_ns(tk->offs_boot);
	keeper.to_real = ktime_to_ns(tk->offs_real);
	write_seqcount_end(&keeper.seq);
	if (stable != tsc_host_stable) {
		WRITE_ONCE(tsc_host_stable, stable);
		irq_work_queue(&changed_irq);
	}
	return NOTIFY_OK;
}

static struct notifier_block gtod_notifier = { .notifier_call = timekeeper_updated };

static u64 base_at(const struct base *b, u64 cycles)
{
	u64 delta = (cycles - b->cycles) & b->mask;

	/* Another CPU's counter may be a hair behind the one that the timekeeper read. */
	if ((s64)delta < 0)
		delta = 0;
	return b->ns + ((delta * b->mult + b->frac) >> b->shift);
}

void host_time_read(struct host_time *t)
{
	unsigned int seq;

	t->exact = READ_ONCE(tsc_host_stable);
	if (!t->exact) {
		t->tsc = rdtsc_ordered();
		t->boot_ns = ktime_to_ns(ktime_get_raw()) + READ_ONCE(keeper.to_boot);
		t->real_ns = ktime_get_real_ns();
		return;
	}
	do {
		seq = read_seqcount_begin(&keeper.seq);
		t->tsc = rdtsc_ordered();
		t->boot_ns = base_at(&keeper.raw, t->tsc) + keeper.to_boot;
		t->real_ns = base_at(&keeper.mono, t->tsc) + keeper.to_real;
	} while (read_seqcount_retry(&keeper.seq, seq));
}

int host_time_init(void)
{
	return pvclock_gtod_register_notifier(&gtod_notifier);
}

void host_time_exit(void)
{
	pvclock_gtod_unregister_notifier(&gtod_notifier);
	irq_work_sync(&changed_irq);
	cancel_work_sync(&changed_work);
}
