/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page-table engine: one walker and one entry type for all formats.
 *
 * Three kinds of user, told apart by what they hold:
 *   mapper   mmu_lock for read: pt_map(). Puts links and pages where there are none, splits pages, widens
 *            rights; never turns a link into anything else. Mappers race by compare-and-exchange.
 *   zapper   mmu_lock for write: the iterator. May do anything, but by atomic operations, because hardware sets
 *            accessed and dirty bits and fixers run at any time.
 *   fixer    only rcu_read_lock(): pt_find(). May widen the rights of a page by compare-and-exchange.
 * So a table can only leave the tree under the write lock, when no mapper is there; its memory waits for an RCU
 * grace period (fixers) that starts after the TLB flush (hardware walks the tree too, and a running guest does not
 * hold up RCU). See Documentation/mmu.md for the races and why they are harmless.
 */
#ifndef MMU_TABLE_H
#define MMU_TABLE_H

#include <linux/atomic.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>

#include "format.h"

/* What a table is for. Direct tables need no more than their level; shadow pages will be looked up by the word. */
union pt_role {
	u32 word;
	struct {
		u8 level;
		u8 as;		/* address space: 1 in SMM */
		u8 direct:1;	/* maps guest-physical addresses, no guest table behind it */
	};
};

/* One table of 512 entries. Owned by the entry that links to it, or by pt_space.root. */
struct pt_page {
	u64 *ent;
	u64 gfn;		/* first frame below it */
	union pt_role role;
	struct pt_page *next;	/* in a pt_cache, or on the zapper's list of detached tables */
	struct rcu_head rcu;
};

/* One tree. */
struct pt_space {
	struct pt_page *root;		/* NULL until first used; then for the life of the VM */
	atomic64_t *count[PT_1G + 1];	/* pages mapped, by level */
	atomic_t tables;		/* linked below the root */
	u8 as;
};

/* Zeroed tables at hand, so that nothing is allocated under a lock. vCPU thread. */
struct pt_cache {
	struct pt_page *head;
	unsigned int n;
};

int pt_module_init(void);
void pt_module_exit(void);		/* waits for tables that RCU still holds */

int pt_cache_fill(struct pt_cache *c, unsigned int n);	/* may sleep; -ENOMEM */
void pt_cache_drain(struct pt_cache *c);
struct pt_page *pt_new_root(u8 as);	/* may sleep; NULL: no memory */

static inline u64 *pt_table(u64 link)
{
	return __va(ent_phys(link));
}

static inline struct pt_page *pt_page_of(u64 link)
{
	return (struct pt_page *)page_private(virt_to_page(pt_table(link)));
}

static inline u64 pt_phys(const struct pt_page *p)
{
	return __pa(p->ent);
}

/* Any holder. The entry that decides about gfn: the page that maps it, or the highest entry that does not. */
static inline u64 *pt_find(const struct pt_space *sp, u64 gfn, u8 *level, u64 *val)
{
	u64 *table = sp->root->ent, *p;

	for (*level = sp->root->role.level;; --*level, table = pt_table(*val)) {
		p = &table[pt_index(gfn, *level)];
		*val = READ_ONCE(*p);
		if (!ent_is_link(*val, *level))
			return p;
	}
}

/* Mapper. */
struct pt_map {
	u64 gfn;
	u64 phys;		/* of gfn's frame */
	u8 level;		/* in: largest page wished; out: what it became */
	u8 flags;		/* enum ent_flags */
	bool write, exec;	/* what the access needs */
	bool trap;		/* install pt.trap instead of a page */
	bool flush;		/* out: another frame was replaced; flush before the lock is dropped */
	u32 splits;		/* out: large pages split on the way */
};

enum pt_end {
	PT_DONE,
	PT_SPURIOUS,		/* there already */
	PT_LOST,		/* others were faster, or hold the place: look again */
	PT_EMPTY,		/* the cache ran out of tables */
};

enum pt_end pt_map(struct pt_space *sp, struct pt_cache *c, struct pt_map *m);

/*
 * Zapper: visits entries of [gfn, end) that are not zero, tables before what is below them.
 *	for (pt_start(&it, sp, gfn, end); pt_more(&it); pt_next(&it))
 * It goes down into a link unless the visitor cleared it.val. After the lock was dropped start anew at it.gfn.
 */
struct pt_iter {
	u64 gfn, end;
	u64 *ptr;		/* the entry */
	u64 val;		/* as read */
	u8 level, top;
	u64 *path[PT_MAX_LEVELS + 1];
};

void pt_start(struct pt_iter *it, const struct pt_space *sp, u64 gfn, u64 end);
void pt_next(struct pt_iter *it);

static inline bool pt_more(const struct pt_iter *it)
{
	return it->gfn < it->end;
}

static inline bool pt_at_page(const struct pt_iter *it)
{
	return ent_is_page(it->val, it->level);
}

/* First frame of the entry. */
static inline u64 pt_first(const struct pt_iter *it)
{
	return it->gfn & ~(pt_frames(it->level) - 1);
}

/* Atomically replaces the entry's value by fn of it; false if that changes nothing. */
static inline bool pt_change(u64 *p, u64 val, u64 (*fn)(u64))
{
	u64 new;

	do {
		new = fn(val);
		if (new == val)
			return false;
	} while (!try_cmpxchg64(p, &val, new));
	return true;
}

static inline u64 pt_clear(u64 *p)
{
	return xchg(p, 0);
}

static inline void pt_count(struct pt_space *sp, unsigned int level, long n)
{
	atomic64_add(n, sp->count[level]);
}

/* No page and no link in it (traps do not count). */
bool pt_is_empty(const struct pt_page *p);
/*
 * A detached table and all below: uncounts its pages and frees. Process context, no lock; the TLBs were flushed
 * after it was detached. now: no fixer can be in it (the VM is gone).
 */
void pt_free_tree(struct pt_space *sp, struct pt_page *p, bool now);

#endif
