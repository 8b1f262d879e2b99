// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page-table engine: allocation, installing, splitting, iteration, freeing. Who may call what and under
 * which lock is in table.h.
 */
#include <linux/gfp.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "table.h"

/* A compare-and-exchange that fails means that somebody else went on; this often in one fault is a storm. */
#define PT_TRIES	32

static struct kmem_cache *pt_page_cache;

int pt_module_init(void)
{
	pt_page_cache = KMEM_CACHE(pt_page, SLAB_ACCOUNT);
	return pt_page_cache ? 0 : -ENOMEM;
}

void pt_module_exit(void)
{
	rcu_barrier();
	kmem_cache_destroy(pt_page_cache);
	pt_page_cache = NULL;
}

static struct pt_page *pt_alloc(void)
{
	struct pt_page *p = kmem_cache_zalloc(pt_page_cache, GFP_KERNEL_ACCOUNT);
	struct page *page;

	if (!p)
		return NULL;
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page) {
		kmem_cache_free(pt_page_cache, p);
		return NULL;
	}
	set_page_private(page, (unsigned long)p);
	p->ent = page_address(page);
	return p;
}

static void pt_free(struct pt_page *p)
{
	struct page *page = virt_to_page(p->ent);

	set_page_private(page, 0);
	__free_page(page);
	kmem_cache_free(pt_page_cache, p);
}

static void pt_free_rcu(struct rcu_head *rcu)
{
	pt_free(container_of(rcu, struct pt_page, rcu));
}

static void pt_give(struct pt_cache *c, struct pt_page *p)
{
	p->next = c->head;
	c->head = p;
	c->n++;
}

static struct pt_page *pt_take(struct pt_cache *c)
{
	struct pt_page *p = c->head;

	if (p) {
		c->head = p->next;
		c->n--;
		p->next = NULL;
	}
	return p;
}

int pt_cache_fill(struct pt_cache *c, unsigned int n)
{
	while (c->n < n) {
		struct pt_page *p = pt_alloc();

		if (!p)
			return -ENOMEM;
		pt_give(c, p);
	}
	return 0;
}

void pt_cache_drain(struct pt_cache *c)
{
	struct pt_page *p;

	while ((p = pt_take(c)))
		pt_free(p);
}

struct pt_page *pt_new_root(u8 as)
{
	struct pt_page *p = pt_alloc();

	if (p) {
		p->role.level = pt.levels;
		p->role.as = as;
		p->role.direct = 1;
	}
	return p;
}

/* Prepares a table to stand below an entry that holds `above`: the parts of a page, else nothing. */
static void pt_fill(struct pt_page *p, u64 above, unsigned int level, u64 gfn, u8 as)
{
	unsigned int i;

	p->gfn = gfn & ~(pt_frames(level) - 1);
	p->role.level = level - 1;
	p->role.as = as;
	p->role.direct = 1;
	if (!ent_mapped(above))
		return;
	for (i = 0; i < PT_ENTRIES; i++)
		p->ent[i] = ent_part(above, level, i);
}

/*
 * Puts a table below *ptr, which held val at `level`. Splitting a page changes no translation and takes no right away,
 * so stale TLB entries of the page stay true and need no flush; whoever later revokes a part flushes as always.
 */
static enum pt_end pt_push(struct pt_space *sp, struct pt_cache *c, struct pt_map *m, u64 *ptr, u64 val, u8 level)
{
	struct pt_page *p = pt_take(c);

	if (!p)
		return PT_EMPTY;
	pt_fill(p, val, level, m->gfn, sp->as);
	/* full barrier: the table's contents are seen by whom sees the link */
	if (!try_cmpxchg64(ptr, &val, ent_link(pt_phys(p)))) {
		clear_page(p->ent);
		pt_give(c, p);
		return PT_LOST;
	}
	atomic_inc(&sp->tables);
	if (p->ent[0]) {
		pt_count(sp, level, -1);
		pt_count(sp, level - 1, PT_ENTRIES);
		m->splits++;
	}
	return PT_DONE;
}

/* What is to stand in an entry of m->level that holds old; old itself if nothing is to change. */
static u64 pt_wanted(struct pt_map *m, u64 old)
{
	u64 new, was = ent_unpark(old);

	if (m->trap)
		return pt.trap;
	new = ent_page(m->phys, m->level, m->flags);
	if (!ent_mapped(old))
		return new;
	if (ent_phys(was) != ent_phys(new)) {
		m->flush = true;
		return new;
	}
	/* rights were given for good reasons and end by being revoked, not by a fault that needs fewer */
	new |= was & (ENT_W | ENT_HOST_W | pt.f.accessed | pt.f.dirty);
	return new;
}

/* Does the entry already do what the access needs? */
static bool pt_serves(const struct pt_map *m, u64 e, u8 level)
{
	u64 offset = (pt_frames(level) << PAGE_SHIFT) - 1;

	return ent_mapped(e) && ent_permits(e, m->write, m->exec) && ent_phys(e) == (m->phys & ~offset);
}

enum pt_end pt_map(struct pt_space *sp, struct pt_cache *c, struct pt_map *m)
{
	u64 *table = sp->root->ent, *p, old, new;
	u8 level = sp->root->role.level;
	unsigned int tries = PT_TRIES;
	enum pt_end r;

	while (tries) {
		p = &table[pt_index(m->gfn, level)];
		old = READ_ONCE(*p);
		if (ent_is_link(old, level)) {
			table = pt_table(old);
			level--;
			continue;
		}
		if (ent_mapped(old) && m->trap)
			return PT_LOST;
		if (pt_serves(m, old, level))
			return PT_SPURIOUS;
		if (level > m->level) {
			r = pt_push(sp, c, m, p, old, level);
			if (r == PT_EMPTY)
				return r;
			tries -= r == PT_LOST;
			continue;
		}
		m->level = level;	/* smaller than wished where a table is in the way */
		new = pt_wanted(m, old);
		if (new == old)
			return PT_SPURIOUS;
		if (try_cmpxchg64(p, &old, new)) {
			if (!m->trap && !ent_mapped(old))
				pt_count(sp, level, 1);
			return PT_DONE;
		}
		tries--;
	}
	return PT_LOST;
}

static void pt_read(struct pt_iter *it)
{
	it->ptr = &it->path[it->level][pt_index(it->gfn, it->level)];
	it->val = READ_ONCE(*it->ptr);
}

static void pt_skip_holes(struct pt_iter *it)
{
	while (!it->val && pt_more(it)) {
		it->gfn = (it->gfn | (pt_frames(it->level) - 1)) + 1;
		/* an index that wrapped means that the table is done */
		while (it->level < it->top && !pt_index(it->gfn, it->level))
			it->level++;
		if (pt_more(it))
			pt_read(it);
	}
}

void pt_start(struct pt_iter *it, const struct pt_space *sp, u64 gfn, u64 end)
{
	it->gfn = gfn;
	it->end = sp->root ? min(end, pt_limit()) : 0;
	if (!pt_more(it))
		return;
	it->level = it->top = sp->root->role.level;
	it->path[it->top] = sp->root->ent;
	pt_read(it);
	pt_skip_holes(it);
}

void pt_next(struct pt_iter *it)
{
	if (ent_is_link(it->val, it->level)) {
		it->level--;
		it->path[it->level] = pt_table(it->val);
		pt_read(it);
	} else {
		it->val = 0;
	}
	pt_skip_holes(it);
}

bool pt_is_empty(const struct pt_page *p)
{
	unsigned int i;

	for (i = 0; i < PT_ENTRIES; i++)
		if (ent_mapped(READ_ONCE(p->ent[i])))
			return false;
	return true;
}

void pt_free_tree(struct pt_space *sp, struct pt_page *p, bool now)
{
	unsigned int level = p->role.level, i;
	long pages = 0;

	for (i = 0; i < PT_ENTRIES; i++) {
		u64 e = READ_ONCE(p->ent[i]);

		if (ent_is_link(e, level))
			pt_free_tree(sp, pt_page_of(e), now);	/* at most PT_MAX_LEVELS deep */
		else if (ent_mapped(e))
			pages++;
	}
	if (pages)
		pt_count(sp, level, -pages);
	if (level < pt.levels)
		atomic_dec(&sp->tables);
	cond_resched();
	if (now)
		pt_free(p);
	else
		call_rcu(&p->rcu, pt_free_rcu);
}
