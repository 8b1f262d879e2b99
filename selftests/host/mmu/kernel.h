/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As much of the kernel as arch/x86/kvm/mmu and the contracts of include/kvm need, for a user program. Included by
 * force before every file; the kernel's own header names lead to empty files (Makefile). What the tests watch or
 * steer (locks, RCU, allocation) is in machine.c.
 */
#ifndef SHIM_KERNEL_H
#define SHIM_KERNEL_H

#define _GNU_SOURCE
#include <errno.h>
#include <linux/types.h>
#include <pthread.h>
#include <sched.h>
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
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;

#define __user
#define __rcu
#define __read_mostly
#define __aligned(n)		__attribute__((aligned(n)))
#define __acquires(x)
#define __releases(x)
#ifndef __always_inline
#define __always_inline		inline __attribute__((always_inline))
#endif
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define static_assert(...)	SHIM_ASSERT(__VA_ARGS__, "")
#define SHIM_ASSERT(e, ...)	_Static_assert(e, #e)

#define BIT(n)			(1ul << (n))
#define BIT_ULL(n)		(1ull << (n))
#define GENMASK_ULL(h, l)	((~0ull >> (63 - (h))) & (~0ull << (l)))
#define min(a, b)		({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define min_t(t, a, b)		min((t)(a), (t)(b))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define container_of(p, t, m)	((t *)((char *)(p) - offsetof(t, m)))
#define __ffs(x)		((unsigned int)__builtin_ctzl(x))

/* Windows between reads, and between a read and its exchange, are widened at random. */
void shim_dawdle(void);
extern __thread bool shim_in_rcu;
#define READ_ONCE(x)		((void)(shim_in_rcu ? shim_dawdle() : (void)0), __atomic_load_n(&(x), __ATOMIC_RELAXED))
#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define xchg(p, v)		(shim_dawdle(), __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST))
#define try_cmpxchg64(p, o, n) \
	(shim_dawdle(), __atomic_compare_exchange_n(p, o, n, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
#define cmpxchg(p, o, n) \
	({ __typeof__(*(p)) o_ = (o); \
	   __atomic_compare_exchange_n(p, &o_, n, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); o_; })
#define smp_rmb()		__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb()		__atomic_thread_fence(__ATOMIC_RELEASE)
#define smp_mb__after_atomic()	__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define set_bit(n, p)		((void)__atomic_fetch_or(p, 1ul << (n), __ATOMIC_SEQ_CST))
#define clear_bit(n, p)		((void)__atomic_fetch_and(p, ~(1ul << (n)), __ATOMIC_SEQ_CST))
#define test_bit(n, p)		(READ_ONCE(*(p)) >> (n) & 1)

typedef struct { int counter; } atomic_t;
typedef struct { s64 counter; } atomic64_t;
#define atomic_read(a)		READ_ONCE((a)->counter)
#define atomic_read_acquire(a)	__atomic_load_n(&(a)->counter, __ATOMIC_ACQUIRE)
#define atomic_inc(a)		((void)__atomic_fetch_add(&(a)->counter, 1, __ATOMIC_RELAXED))
#define atomic_dec(a)		((void)__atomic_fetch_sub(&(a)->counter, 1, __ATOMIC_RELAXED))
#define atomic64_add(n, a)	((void)__atomic_fetch_add(&(a)->counter, n, __ATOMIC_RELAXED))

/* Types that appear in the contracts and are of no concern here. */
struct list_head { struct list_head *next, *prev; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct hlist_head { struct hlist_node *first; };
struct mutex { int unused; };
struct srcu_struct { int unused; };
int srcu_read_lock(struct srcu_struct *s);
void srcu_read_unlock(struct srcu_struct *s, int idx);
struct xarray { int unused; };
struct mmu_notifier { int unused; };
struct preempt_notifier { int unused; };
struct rcuwait { int unused; };
struct fpu_guest { int unused; };
struct pvclock_vcpu_time_info { int unused; };
struct rcu_head { struct rcu_head *next; void (*func)(struct rcu_head *); };
typedef struct { int unused; } refcount_t, spinlock_t, raw_spinlock_t, seqcount_raw_spinlock_t;
#define list_for_each_entry(p, head, m) \
	for (p = container_of((head)->next, __typeof__(*p), m); &p->m != (head); p = container_of(p->m.next, __typeof__(*p), m))
#define mutex_lock(m)		((void)(m))
#define mutex_unlock(m)		((void)(m))
#define DECLARE_STATIC_CALL(n, f)	extern __typeof__(f) *n
#define static_call(n)		(*n)

/* Locks and RCU: machine.c. */
typedef struct { pthread_rwlock_t l; } rwlock_t;
#define read_lock(p)		pthread_rwlock_rdlock(&(p)->l)
#define read_unlock(p)		pthread_rwlock_unlock(&(p)->l)
void write_lock(rwlock_t *p);
void write_unlock(rwlock_t *p);
bool rwlock_is_contended(rwlock_t *p);
void lockdep_assert_held_write(rwlock_t *p);
void rcu_read_lock(void);
void rcu_read_unlock(void);
void call_rcu(struct rcu_head *h, void (*func)(struct rcu_head *));
void rcu_barrier(void);
#define need_resched()		false
#define cond_resched()		sched_yield()

/* Memory: a table page is preceded by a page that holds its struct page. */
#define PAGE_SHIFT		12
#define PAGE_SIZE		4096ul
#define PAGE_MASK		(~(PAGE_SIZE - 1))
struct page { unsigned long private; };
struct kmem_cache { size_t size; };
#define GFP_KERNEL_ACCOUNT	0
#define __GFP_ZERO		0
#define SLAB_ACCOUNT		0
extern long live_pages, live_objects;	/* what is allocated now */
extern long fail_alloc_after;		/* >= 0: so many allocations succeed, the next ones fail */
struct page *alloc_page(int gfp);
void __free_page(struct page *p);
void *kmem_cache_zalloc(struct kmem_cache *c, int gfp);
void kmem_cache_free(struct kmem_cache *c, void *p);
struct kmem_cache *shim_cache(size_t size);
#define KMEM_CACHE(t, flags)	shim_cache(sizeof(struct t))
void kmem_cache_destroy(struct kmem_cache *c);
#define kzalloc(n, gfp)		calloc(1, n)
#define kfree(p)		free(p)
#define page_address(p)		((void *)((char *)(p) + PAGE_SIZE))
#define virt_to_page(v)		((struct page *)((char *)(v) - PAGE_SIZE))
#define page_private(p)		((p)->private)
#define set_page_private(p, v)	((void)((p)->private = (v)))
#define clear_page(p)		memset(p, 0, PAGE_SIZE)
#define __va(x)			((void *)(unsigned long)(x))
#define __pa(x)			((unsigned long)(x))
#define user_access_begin(p, n)	true
#define user_access_end()	do { } while (0)
#define unsafe_get_user(x, p, label)	do { if (0) goto label; (x) = *(const volatile __typeof__(*(p)) *)(p); } while (0)
#define get_user(x, p)		({ (x) = *(volatile __typeof__(*(p)) *)(p); 0; })

/* Host frames beyond the machine's are a device's. */
#define SHIM_DEVICE_PFN		0x80000000ul
#define pfn_valid(pfn)		((pfn) < SHIM_DEVICE_PFN)
#define is_zero_pfn(pfn)	((pfn) == 0)
#define pfn_to_page(pfn)	((struct page *)NULL)
#define PageReserved(p)		false
#define current			NULL
void send_sig_mceerr(int code, void *addr, short lsb, void *task);

/* The boot CPU, module parameters, messages. */
struct cpuinfo { u32 extended_cpuid_level; };
extern struct cpuinfo boot_cpu_data;
extern u32 shim_phys_bits;
extern bool shim_itlb_bug;
extern bool shim_pml;			/* the vendor reports page-modification logging */
#define cpuid_eax(leaf)		shim_phys_bits
#define X86_BUG_ITLB_MULTIHIT	0
#define boot_cpu_has_bug(b)	shim_itlb_bug
#define cpu_mitigations_off()	false
#define sme_me_mask		0ull
struct kernel_param;
struct kernel_param_ops {
	int (*set)(const char *val, const struct kernel_param *kp);
	int (*get)(char *buf, const struct kernel_param *kp);
};
#define module_param_cb(n, ops, arg, perm)	const struct kernel_param_ops *shim_param_##n = ops
#define __MODULE_PARM_TYPE(n, t)
#define MODULE_PARM_DESC(n, d)	static_assert(sizeof(d) > 1)
#define EXPORT_SYMBOL_GPL(x)	static_assert(sizeof(&x) > 0)
#define sysfs_emit(buf, ...)	sprintf(buf, __VA_ARGS__)
bool sysfs_streq(const char *a, const char *b);
int kstrtobool(const char *s, bool *v);
#define pr_err(...)		((void)0)
#define pr_debug(...)		((void)0)

#define X86_CR0_WP		BIT(16)
#define X86_CR4_PSE		BIT(4)
#define X86_CR4_PAE		BIT(5)
#define X86_CR4_LA57		BIT(12)
#define X86_CR4_SMEP		BIT(20)
#define X86_CR4_SMAP		BIT(21)
#define X86_CR4_PKE		BIT(22)
#define X86_EFLAGS_AC		BIT(18)

#endif
