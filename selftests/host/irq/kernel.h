/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As much of the kernel as the interrupt controllers and the contracts of include/kvm need, for a user program with
 * one thread. Included by force before every file; the kernel's own header names lead to empty files (Makefile).
 * Locks are counted, an index that nospec would have to clamp is a failure, and time passes when a test says so.
 */
#ifndef SHIM_KERNEL_H
#define SHIM_KERNEL_H

#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/types.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;

#define __user
#define __rcu
#define __aligned(n)		__attribute__((aligned(n)))
#define __acquires(x)
#define __releases(x)
#ifndef __always_inline
#define __always_inline		inline __attribute__((always_inline))
#endif
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define BUILD_BUG_ON(e)		_Static_assert(!(e), #e)
#define S64_MAX			((s64)(~0ull >> 1))

#define BIT(n)			(1ul << (n))
#define BIT_ULL(n)		(1ull << (n))
#define GENMASK_ULL(h, l)	((~0ull >> (63 - (h))) & (~0ull << (l)))
#define GENMASK(h, l)		((unsigned long)GENMASK_ULL(h, l))
#define min(a, b)		({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b)		({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })
#define min_t(t, a, b)		({ t x_ = (a); t y_ = (b); x_ < y_ ? x_ : y_; })
#define max_t(t, a, b)		({ t x_ = (a); t y_ = (b); x_ > y_ ? x_ : y_; })
#define max3(a, b, c)		({ __typeof__(a) m_ = max(a, b); __typeof__(c) c_ = (c); m_ > c_ ? m_ : c_; })
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define struct_size(p, m, n)	(sizeof(*(p)) + sizeof((p)->m[0]) * (n))
#define container_of(p, t, m)	((t *)((char *)(p) - offsetof(t, m)))
#define __ffs(x)		((unsigned int)__builtin_ctzl(x))
#define __fls(x)		((unsigned int)(63 - __builtin_clzl(x)))
#define hweight8(x)		__builtin_popcount((u8)(x))
#define is_power_of_2(x)	((x) && !((x) & ((x) - 1)))
#define for_each_set_bit(b, p, n)	for ((b) = 0; (b) < (n); (b)++) if (*(p) >> (b) & 1)
#define array_index_nospec(i, n)	({ __typeof__(i) i_ = (i); assert(i_ < (n)); i_; })

static inline unsigned long roundup_pow_of_two(unsigned long n)
{
	return 1ul << (64 - __builtin_clzl(n - 1));
}

#define READ_ONCE(x)		(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v)	((void)(*(volatile __typeof__(x) *)&(x) = (v)))
#define smp_load_acquire(p)	READ_ONCE(*(p))
#define smp_store_release(p, v)	WRITE_ONCE(*(p), v)
#define xchg(p, v)		({ __typeof__(*(p)) o_ = *(p); *(p) = (v); o_; })
#define cmpxchg(p, o, n)	({ __typeof__(*(p)) was_ = *(p); if (was_ == (o)) *(p) = (n); was_; })
#define smp_wmb()		((void)0)
#define smp_mb__after_atomic()	((void)0)
#define BITWORD(n, p)		((p)[(n) / 64])
#define set_bit(n, p)		((void)(BITWORD(n, p) |= 1ul << (n) % 64))
#define __set_bit(n, p)		set_bit(n, p)
#define clear_bit(n, p)		((void)(BITWORD(n, p) &= ~(1ul << (n) % 64)))
#define test_bit(n, p)		((bool)(BITWORD(n, p) >> (n) % 64 & 1))
#define test_and_set_bit(n, p)	({ bool o_ = test_bit(n, p); set_bit(n, p); o_; })

typedef struct { int counter; } atomic_t;
typedef struct { s64 counter; } atomic64_t;
#define atomic_read(a)			READ_ONCE((a)->counter)
#define atomic_read_acquire(a)		atomic_read(a)
#define atomic_set(a, v)		((void)((a)->counter = (v)))
#define atomic_add(n, a)		((void)((a)->counter += (n)))
#define atomic_inc(a)			atomic_add(1, a)
#define atomic_xchg(a, v)		xchg(&(a)->counter, v)
#define atomic_dec_if_positive(a)	((a)->counter > 0 ? --(a)->counter : -1)

/* Types that appear in the contracts and are of no concern here. */
struct xarray { int unused; };
struct mmu_notifier { int unused; };
struct preempt_notifier { int unused; };
struct rcuwait { int unused; };
struct fpu_guest { int unused; };
struct pvclock_vcpu_time_info { int unused; };
struct rcu_head { int unused; };
struct srcu_struct { int unused; };
typedef struct { int unused; } refcount_t, rwlock_t, seqcount_raw_spinlock_t;

/* Lists */
struct list_head { struct list_head *next, *prev; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct hlist_head { struct hlist_node *first; };

static inline void INIT_LIST_HEAD(struct list_head *h)
{
	h->next = h->prev = h;
}

static inline void list_add_tail(struct list_head *n, struct list_head *h)
{
	n->next = h;
	n->prev = h->prev;
	h->prev->next = n;
	h->prev = n;
}

static inline void list_del(struct list_head *n)
{
	n->next->prev = n->prev;
	n->prev->next = n->next;
}

#define list_entry_of(p, n, m)	container_of(n, __typeof__(*p), m)
#define list_for_each_entry(p, h, m) \
	for (p = list_entry_of(p, (h)->next, m); &p->m != (h); p = list_entry_of(p, p->m.next, m))
#define list_for_each_entry_safe(p, n, h, m) \
	for (p = list_entry_of(p, (h)->next, m), n = list_entry_of(p, p->m.next, m); &p->m != (h); \
	     p = n, n = list_entry_of(n, n->m.next, m))

static inline void hlist_add_head_rcu(struct hlist_node *n, struct hlist_head *h)
{
	n->next = h->first;
	n->pprev = &h->first;
	if (n->next)
		n->next->pprev = &n->next;
	h->first = n;
}

static inline void hlist_del_init_rcu(struct hlist_node *n)
{
	if (!n->pprev)
		return;
	*n->pprev = n->next;
	if (n->next)
		n->next->pprev = n->pprev;
	n->pprev = NULL;
}

#define hlist_empty(h)		(!(h)->first)
#define hlist_for_each_entry_srcu(p, h, m, c) \
	for (p = (h)->first ? list_entry_of(p, (h)->first, m) : NULL; p; \
	     p = p->m.next ? list_entry_of(p, p->m.next, m) : NULL)

/* Locks: how many are held. None is taken twice. */
struct mutex { bool held; };
typedef struct { bool held; } spinlock_t, raw_spinlock_t;
extern int locks_held, spins_held;

#define LOCK(l, n)		((void)(assert(!(l)->held), (l)->held = true, (n)++))
#define UNLOCK(l, n)		((void)(assert((l)->held), (l)->held = false, (n)--))
#define mutex_init(l)		((void)((l)->held = false))
#define mutex_lock(l)		LOCK(l, locks_held)
#define mutex_unlock(l)		UNLOCK(l, locks_held)
#define spin_lock_init(l)	((void)((l)->held = false))
#define raw_spin_lock_init(l)	((void)((l)->held = false))
#define spin_lock(l)		LOCK(l, spins_held)
#define spin_unlock(l)		UNLOCK(l, spins_held)
#define raw_spin_lock_irq(l)	LOCK(l, spins_held)
#define raw_spin_unlock_irq(l)	UNLOCK(l, spins_held)
#define raw_spin_lock_irqsave(l, f)	((void)(f = 0), LOCK(l, spins_held))
#define raw_spin_unlock_irqrestore(l, f) ((void)(f), UNLOCK(l, spins_held))
#define lockdep_assert_held(l)	assert((l)->held)
#define lockdep_is_held(l)	((l)->held)
#define preempt_disable()	((void)0)
#define preempt_enable()	((void)0)
extern bool in_interrupt_now;
#define in_task()		(!in_interrupt_now)

/* RCU: a grace period is over at once. */
#define rcu_read_lock()		((void)0)
#define rcu_read_unlock()	((void)0)
#define rcu_dereference(p)	(p)
#define rcu_dereference_protected(p, c)	(p)
#define srcu_dereference(p, s)	(p)
#define rcu_assign_pointer(p, v)	((void)((p) = (v)))
#define RCU_INIT_POINTER(p, v)	((void)((p) = (v)))
#define rcu_replace_pointer(p, v, c)	({ __typeof__(p) o_ = (p); (void)(c); (p) = (v); o_; })
#define srcu_read_lock(s)	((void)(s), 0)
#define srcu_read_unlock(s, i)	((void)(i))
#define srcu_read_lock_held(s)	true
#define synchronize_srcu(s)	((void)(s))
#define synchronize_srcu_expedited(s)	((void)(s))
#define srcu_barrier(s)		((void)(s))
#define call_srcu(s, h, fn)	fn(h)
#define kvfree_rcu(p, m)	shim_free(p)

/* Memory */
#define PAGE_SHIFT		12
#define PAGE_SIZE		4096ul
#define GFP_KERNEL_ACCOUNT	0
extern long fail_alloc_after;	/* >= 0: so many allocations succeed, the next ones fail */
void *shim_alloc(size_t n);
void shim_free(const void *p);
#define kzalloc(n, g)		shim_alloc(n)
#define kcalloc(n, s, g)	shim_alloc((size_t)(n) * (s))
#define kvzalloc(n, g)		shim_alloc(n)
#define kvcalloc(n, s, g)	shim_alloc((size_t)(n) * (s))
#define kvmalloc(n, g)		shim_alloc(n)
#define kfree(p)		shim_free(p)
#define kvfree(p)		shim_free(p)
#define get_zeroed_page(g)	((unsigned long)shim_alloc(PAGE_SIZE))
#define free_page(p)		shim_free((void *)(p))
#define IS_ERR(p)		((unsigned long)(p) >= -4095ul)
#define ERR_PTR(e)		((void *)(long)(e))
#define PTR_ERR(p)		((long)(p))

/* Time: clock_ns, and timers that go off when it is moved on. */
typedef s64 ktime_t;
#define NSEC_PER_SEC		1000000000l
#define NSEC_PER_USEC		1000l
#define HZ			250
#define CLOCK_MONOTONIC		1
extern u64 clock_ns;
#define ktime_get()		((ktime_t)clock_ns)
#define ktime_get_ns()		clock_ns
#define ns_to_ktime(n)		((ktime_t)(n))
#define ktime_to_ns(k)		((s64)(k))
#define ktime_sub(a, b)		((a) - (b))
#define rdtsc()			(clock_ns * 2)
#define div_u64(a, b)		((u64)(a) / (u32)(b))
#define div_u64_rem(a, b, r)	((void)(*(r) = (u64)(a) % (u32)(b)))
#define div64_u64_rem(a, b, r)	((void)(*(r) = (u64)(a) % (u64)(b)))
#define mul_u64_u32_div(a, m, d)	((u64)((unsigned __int128)(u64)(a) * (u32)(m) / (u32)(d)))

enum hrtimer_mode { HRTIMER_MODE_ABS_HARD, HRTIMER_MODE_REL_SOFT, HRTIMER_MODE_REL_PINNED_HARD,
		    HRTIMER_MODE_ABS_PINNED_HARD };
enum hrtimer_restart { HRTIMER_NORESTART, HRTIMER_RESTART };
typedef int shim_clockid_t;
struct hrtimer {
	enum hrtimer_restart (*function)(struct hrtimer *t);
	ktime_t expires;
	bool queued;
	struct hrtimer *next;
};
void hrtimer_init(struct hrtimer *t, clockid_t clock, enum hrtimer_mode mode);
void hrtimer_start(struct hrtimer *t, ktime_t at, enum hrtimer_mode mode);
int hrtimer_cancel(struct hrtimer *t);
u64 hrtimer_forward_now(struct hrtimer *t, ktime_t period);
#define hrtimer_try_to_cancel(t)	hrtimer_cancel(t)
#define hrtimer_start_expires(t, m)	hrtimer_start(t, (t)->expires, m)
#define hrtimer_get_expires(t)		((t)->expires)

struct work_struct { int unused; };
struct delayed_work { struct work_struct work; void (*fn)(struct work_struct *w); bool due; };
#define INIT_DELAYED_WORK(w, f)	((void)((w)->fn = (f), (w)->due = false))
#define schedule_delayed_work(w, t)	((void)((w)->due = true))
#define cancel_delayed_work_sync(w)	((void)((w)->due = false))

#define DECLARE_STATIC_CALL(n, f)	extern __typeof__(f) *n
#define static_call(n)		(*n)
#define module_param(n, t, m)	_Static_assert(sizeof(n) > 0, #n)
#define MODULE_PARM_DESC(n, d)	_Static_assert(sizeof(d) > 1, #n)

#endif
