/* SPDX-License-Identifier: GPL-2.0-only */
/* eventfd: signalling lost its count, and the waiter that eats the event changed its name. */
#ifndef COMPAT_EVENTFD_H
#define COMPAT_EVENTFD_H

#include <linux/eventfd.h>
#include <linux/wait.h>

static inline void compat_eventfd_signal(struct eventfd_ctx *ctx)
{
#ifdef HAVE_EVENTFD_SIGNAL_ONE
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* First in the queue and the only one to see an event that it takes: 0, or -EBUSY if another one is. */
static inline int compat_add_exclusive_waiter(struct wait_queue_head *wqh, struct wait_queue_entry *wait)
{
#ifdef HAVE_WAIT_PRIORITY_EXCLUSIVE
	return add_wait_queue_priority_exclusive(wqh, wait);
#else
	add_wait_queue_priority(wqh, wait);
	return 0;
#endif
}

#endif
