/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a guest's own page tables are read: one walk over a descriptor for 32-bit, PAE, 4- and 5-level paging (SDM
 * 4.3 to 4.7, APM 5.2 to 5.6). The descriptor is computed from the control registers when the mode changed; the
 * walk is then a few masks a level. Pure: reading memory, setting accessed bits and raising the fault are the caller's
 * (guest_walk.c). Also built into user programs by selftests/host/mmu.
 *
 *	walk_begin(p, &w, va, top);
 *	while (...) {
 *		read p->entry_bytes at w.at into val;
 *		end = walk_step(p, &w, val);
 *	}
 *	w.error = walk_check(p, &w, acc, ...);
 */
#ifndef MMU_PAGING_H
#define MMU_PAGING_H

#include <linux/bits.h>
#include <linux/types.h>

enum { GP_MAX_LEVELS = 5 };

#define GPE_P		BIT_ULL(0)
#define GPE_W		BIT_ULL(1)
#define GPE_U		BIT_ULL(2)
#define GPE_A		BIT_ULL(5)
#define GPE_D		BIT_ULL(6)
#define GPE_PAGE	BIT_ULL(7)
#define GPE_NX		BIT_ULL(63)

struct paging_regs {
	u64 cr0, cr4, efer;
	u8 maxphyaddr;
	bool page_1g, pse36, amd;	/* CPUID */
};

struct guest_paging {
	u8 levels;			/* 0: paging is off */
	u8 entry_bytes;			/* 4 or 8 */
	u8 index_bits;			/* 10 or 9 */
	bool pae_root;			/* the top entries are the four PDPTEs: levels 2 and 1 are walked */
	bool wp, smep, smap, pke;
	bool tell_fetch;		/* the error code's I bit is defined */
	u64 va_mask;			/* linear addresses have 32 or 64 bits */
	u64 addr;			/* address bits of an entry */
	u64 pse36;			/* bits of a 4M entry that are address bits 39:32 */
	u64 nx;				/* GPE_NX where it forbids execution */
	u64 page_ok[GP_MAX_LEVELS + 1];	/* GPE_PAGE where it makes the entry a page */
	u64 reserved[GP_MAX_LEVELS + 1][2];	/* by level; [1]: the entry is a page */
};

struct guest_walk {
	u64 va;
	u64 at;				/* guest-physical address of the entry to be read next */
	u64 gpa;			/* the result */
	u64 rights;			/* GPE_W and GPE_U: what every level allows; GPE_NX: some level forbids */
	u32 error;			/* P and RSVD of the fault that ended the walk */
	u8 level;
	u8 n;				/* entries read */
	struct {
		u64 gpa, val;
	} e[GP_MAX_LEVELS];
};

enum walk_end { WALK_MORE, WALK_PAGE, WALK_FAULT };

void paging_setup(struct guest_paging *p, const struct paging_regs *r);

/* top: the address field of CR3, or of the PDPTE. */
static inline void walk_begin(const struct guest_paging *p, struct guest_walk *w, u64 va, u64 top)
{
	w->va = va & p->va_mask;
	w->level = p->levels;
	w->n = 0;
	w->error = 0;
	w->rights = GPE_W | GPE_U;
	w->at = top;
}

static inline unsigned int walk_shift(const struct guest_paging *p, unsigned int level)
{
	return 12 + p->index_bits * (level - 1);
}

/* Completes w->at from the table's address to the entry's. */
static inline void walk_index(const struct guest_paging *p, struct guest_walk *w)
{
	u64 index = (w->va >> walk_shift(p, w->level)) & ((1u << p->index_bits) - 1);

	w->at += index * p->entry_bytes;
}

/* val was read at w->at. */
enum walk_end walk_step(const struct guest_paging *p, struct guest_walk *w, u64 val);

/* After WALK_PAGE: may the access be made? 0, or the error code of the page fault. acc: ACC_*, ac: EFLAGS.AC. */
u32 walk_check(const struct guest_paging *p, const struct guest_walk *w, u32 acc, bool ac, u32 pkru);

/* W, U and I of an error code. */
u32 walk_access_error(const struct guest_paging *p, u32 acc);

#endif
