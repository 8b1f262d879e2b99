// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest paging modes and the steps of a walk: see paging.h. Pure functions, any context.
 */
#include <linux/string.h>

#include "paging.h"

/* The architecture's bits, named here because this file is also built where the kernel's headers are not. */
#define CR0_WP		BIT_ULL(16)
#define CR0_PG		BIT_ULL(31)
#define CR4_PSE		BIT_ULL(4)
#define CR4_PAE		BIT_ULL(5)
#define CR4_LA57	BIT_ULL(12)
#define CR4_SMEP	BIT_ULL(20)
#define CR4_SMAP	BIT_ULL(21)
#define CR4_PKE		BIT_ULL(22)
#define EFER_LMA_BIT	BIT_ULL(10)
#define EFER_NXE	BIT_ULL(11)

/* As include/kvm/x86/mmu.h and exit.h have them. */
#define A_WRITE		1u
#define A_FETCH		2u
#define A_USER		4u
#define A_IMPLICIT	8u
#define E_P		BIT(0)
#define E_W		BIT(1)
#define E_U		BIT(2)
#define E_RSVD		BIT(3)
#define E_I		BIT(4)
#define E_PK		BIT(5)

#define PKEY_SHIFT	59

static void setup_32bit(struct guest_paging *p, const struct paging_regs *r)
{
	p->levels = 2;
	p->entry_bytes = 4;
	p->index_bits = 10;
	p->addr = GENMASK_ULL(31, 12);
	if (!(r->cr4 & CR4_PSE))
		return;
	p->page_ok[2] = GPE_PAGE;
	/* address bits 39:32 are in 20:13, as many as the guest's physical addresses have; bit 21 is reserved */
	if (r->pse36 && r->maxphyaddr > 32) {
		unsigned int top = r->maxphyaddr < 40 ? r->maxphyaddr : 40;

		p->pse36 = GENMASK_ULL(top - 20, 13);
	}
	p->reserved[2][1] = GENMASK_ULL(21, 13) & ~p->pse36;
}

static void setup_wide(struct guest_paging *p, const struct paging_regs *r)
{
	u64 beyond = r->maxphyaddr < 52 ? GENMASK_ULL(51, r->maxphyaddr) : 0;
	bool lma = r->efer & EFER_LMA_BIT;
	u64 always = beyond;
	unsigned int level;

	p->entry_bytes = 8;
	p->index_bits = 9;
	p->addr = GENMASK_ULL(51, 12);
	p->levels = !lma ? 2 : r->cr4 & CR4_LA57 ? 5 : 4;
	p->pae_root = !lma;
	if (r->efer & EFER_NXE)
		p->nx = GPE_NX;
	else
		always |= GPE_NX;
	if (!lma)
		always |= GENMASK_ULL(62, 52);	/* long mode leaves them to software */
	for (level = 1; level <= p->levels; level++)
		p->reserved[level][0] = p->reserved[level][1] = always;

	p->page_ok[2] = GPE_PAGE;
	p->reserved[2][1] |= GENMASK_ULL(20, 13);
	if (!lma)
		return;
	if (r->page_1g) {
		p->page_ok[3] = GPE_PAGE;
		p->reserved[3][1] |= GENMASK_ULL(29, 13);
	} else {
		p->reserved[3][0] |= GPE_PAGE;
	}
	for (level = 4; level <= p->levels; level++) {
		p->reserved[level][0] |= GPE_PAGE;
		if (r->amd)
			p->reserved[level][0] |= BIT_ULL(8);
	}
}

void paging_setup(struct guest_paging *p, const struct paging_regs *r)
{
	memset(p, 0, sizeof(*p));
	p->va_mask = r->efer & EFER_LMA_BIT ? ~0ull : GENMASK_ULL(31, 0);
	p->wp = r->cr0 & CR0_WP;
	if (!(r->cr0 & CR0_PG))
		return;
	p->smep = r->cr4 & CR4_SMEP;
	p->smap = r->cr4 & CR4_SMAP;
	if (r->cr4 & CR4_PAE)
		setup_wide(p, r);
	else
		setup_32bit(p, r);
	p->pke = r->cr4 & CR4_PKE && p->levels >= 4;
	p->tell_fetch = p->smep || p->nx;
}

enum walk_end walk_step(const struct guest_paging *p, struct guest_walk *w, u64 val)
{
	unsigned int level = w->level, shift;
	bool page;

	w->e[w->n].gpa = w->at;
	w->e[w->n].val = val;
	w->n++;
	if (!(val & GPE_P))
		return WALK_FAULT;
	page = level == 1 || val & p->page_ok[level];
	if (val & p->reserved[level][page]) {
		w->error = E_P | E_RSVD;
		return WALK_FAULT;
	}
	w->rights &= val | ~(GPE_W | GPE_U);
	w->rights |= val & p->nx;
	if (!page) {
		w->at = val & p->addr;
		w->level--;
		walk_index(p, w);
		return WALK_MORE;
	}
	shift = walk_shift(p, level);
	w->gpa = (val & p->addr & ~(BIT_ULL(shift) - 1)) | (w->va & (BIT_ULL(shift) - 1));
	if (p->pse36 && level == 2)
		w->gpa |= (val & p->pse36) << 19;
	return WALK_PAGE;
}

u32 walk_access_error(const struct guest_paging *p, u32 acc)
{
	u32 e = 0;

	if (acc & A_WRITE)
		e |= E_W;
	if (acc & A_USER)
		e |= E_U;
	if (acc & A_FETCH && p->tell_fetch)
		e |= E_I;
	return e;
}

/* SDM 4.6.2: keys guard data accesses to user pages, writes of the supervisor only with CR0.WP. */
static bool key_denies(const struct guest_paging *p, const struct guest_walk *w, u32 acc, u32 pkru)
{
	unsigned int key;
	u32 rights;

	if (!p->pke || acc & A_FETCH || !(w->rights & GPE_U))
		return false;
	key = (w->e[w->n - 1].val >> PKEY_SHIFT) & 15;
	rights = pkru >> (2 * key);
	return rights & 1 || (rights & 2 && acc & A_WRITE && (acc & A_USER || p->wp));
}

u32 walk_check(const struct guest_paging *p, const struct guest_walk *w, u32 acc, bool ac, u32 pkru)
{
	bool user_page = w->rights & GPE_U, user = acc & A_USER, key = key_denies(p, w, acc, pkru), bad = key;

	if (user && !user_page)
		bad = true;
	if (acc & A_WRITE && !(w->rights & GPE_W) && (user || p->wp))
		bad = true;
	if (acc & A_FETCH && w->rights & GPE_NX)
		bad = true;
	if (!user && user_page) {
		if (acc & A_FETCH)
			bad |= p->smep;
		else if (p->smap)
			bad |= acc & A_IMPLICIT || !ac;
	}
	return bad ? E_P | walk_access_error(p, acc) | (key ? E_PK : 0) : 0;
}
