// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host registers that only user space looks at, held at a guest's values for as long as the thread stays in the
 * kernel. The first difference on a CPU arms the kernel's user-return notifier there; it puts the host's values back
 * before anybody could use them.
 *
 * Slots are given out while the vendor module initialises, before any vCPU exists, and never change while it is
 * registered. The rest is per CPU and touched only by that CPU: with preemption off by host_msr_set(), with IRQs off by
 * the notifier and by host_msr_cpu_off(), which may arrive as an interrupt (reboot). So set() closes IRQs round its
 * update.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/export.h>
#include <linux/irqflags.h>
#include <linux/nospec.h>
#include <linux/percpu.h>
#include <linux/user-return-notifier.h>
#include <asm/msr.h>
#include <kvm/x86/host_msr.h>

#define MAX_SLOTS	16

struct host_msrs {
	struct user_return_notifier notifier;
	bool armed;
	u16 known;			/* slots whose host value was read since this CPU came up */
	u16 changed;			/* slots that hold something else than the host's value */
	u64 host[MAX_SLOTS];
	u64 now[MAX_SLOTS];
};

static u32 slot_msr[MAX_SLOTS] __read_mostly;
static unsigned int nr_slots __read_mostly;
static DEFINE_PER_CPU(struct host_msrs, host_msrs);

static bool msr_is_there(u32 msr)
{
	u64 val;
	bool there;

	preempt_disable();
	there = !rdmsrl_safe(msr, &val) && !wrmsrl_safe(msr, val);
	preempt_enable();
	return there;
}

int host_msr_slot(u32 msr)
{
	unsigned int i;

	for (i = 0; i < nr_slots; i++) {
		if (slot_msr[i] == msr)
			return i;
	}
	if (nr_slots == MAX_SLOTS || !msr_is_there(msr))
		return -1;
	slot_msr[nr_slots] = msr;
	return nr_slots++;
}
EXPORT_SYMBOL_GPL(host_msr_slot);

/* IRQs off. */
static void put_back(struct host_msrs *h)
{
	unsigned long changed = h->changed;
	unsigned int i;

	for_each_set_bit(i, &changed, MAX_SLOTS) {
		wrmsrl(slot_msr[i], h->host[i]);
		h->now[i] = h->host[i];
	}
	h->changed = 0;
	if (h->armed) {
		user_return_notifier_unregister(&h->notifier);
		h->armed = false;
	}
}

/* On the way to user space, IRQs off or on: the notifier's callers differ. */
static void on_user_return(struct user_return_notifier *urn)
{
	unsigned long flags;

	local_irq_save(flags);
	put_back(container_of(urn, struct host_msrs, notifier));
	local_irq_restore(flags);
}

void host_msr_set(unsigned int slot, u64 val, u64 mask)
{
	struct host_msrs *h = this_cpu_ptr(&host_msrs);
	unsigned long flags;

	if (slot >= nr_slots)
		return;
	slot = array_index_nospec(slot, MAX_SLOTS);
	if (likely(h->known & BIT(slot))) {
		val = (val & mask) | (h->host[slot] & ~mask);
		if (val == h->now[slot])
			return;
	}

	local_irq_save(flags);
	if (!(h->known & BIT(slot))) {
		rdmsrl(slot_msr[slot], h->host[slot]);
		h->now[slot] = h->host[slot];
		h->known |= BIT(slot);
		val = (val & mask) | (h->host[slot] & ~mask);
	}
	/* A value that the register refuses would be the guest's, which was checked: the host's then stays. */
	if (val != h->now[slot] && !wrmsrl_safe(slot_msr[slot], val)) {
		h->now[slot] = val;
		if (val == h->host[slot])
			h->changed &= ~BIT(slot);
		else
			h->changed |= BIT(slot);
		if (!h->armed) {
			h->notifier.on_user_return = on_user_return;
			user_return_notifier_register(&h->notifier);
			h->armed = true;
		}
	}
	local_irq_restore(flags);
}
EXPORT_SYMBOL_GPL(host_msr_set);

void host_msr_cpu_off(void)
{
	struct host_msrs *h = this_cpu_ptr(&host_msrs);

	put_back(h);
	h->known = 0;
}

void host_msr_forget(void)
{
	nr_slots = 0;
}
EXPORT_SYMBOL_GPL(host_msr_forget);
