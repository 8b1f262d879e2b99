// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk of the guest's own page tables, for the emulator, for user space's KVM_TRANSLATE and for everything else
 * that starts from a linear address. paging.c knows the formats; here are memory, registers and the bits that a walk
 * sets.
 *
 * vCPU thread, in kvm->srcu and in the VM's mm. The guest's other vCPUs change the tables at will: each entry is read
 * once, by one load, and an accessed or dirty bit is set by compare-and-exchange against what was read; when that
 * fails the walk starts again.
 */
#include <linux/build_bug.h>
#include <linux/uaccess.h>
#include <asm/processor-flags.h>

#include "internal.h"

#define WALK_TRIES	8

/* paging.c has its own names for these, because it is built into user programs too. */
static_assert(ACC_W == 1 && ACC_X == 2 && ACC_U == 4 && ACC_IMPLICIT == 8);
static_assert(PFERR_P == 1 && PFERR_W == 2 && PFERR_U == 4 && PFERR_RSVD == 8 && PFERR_I == 16 && PFERR_PK == 32);

/* Bits of CR4 that decide how tables are read. */
#define CR4_PAGING	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_LA57 | X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE)

static u8 guest_phys_bits(const struct x86_vcpu *v)
{
	u8 bits = v->cap.maxphyaddr;

	/* without CPUID leaf 80000008: SDM 4.1.4 */
	return bits < 32 || bits > 52 ? 36 : bits;
}

u64 mmu_reserved_gpa_bits(struct x86_vcpu *v)
{
	return GENMASK_ULL(63, guest_phys_bits(v));
}
EXPORT_SYMBOL_GPL(mmu_reserved_gpa_bits);

u64 mmu_pdpte_reserved(struct x86_vcpu *v)
{
	u64 bits = mmu_reserved_gpa_bits(v) | GENMASK_ULL(8, 5) | GENMASK_ULL(2, 1);

	return vendor_ops.amd ? bits & ~GPE_A : bits;
}

void mmu_mode_changed(struct x86_vcpu *v)
{
	v->mmu->paging_valid = false;
}
EXPORT_SYMBOL_GPL(mmu_mode_changed);

static void paging_refresh(struct x86_vcpu *v)
{
	struct paging_regs r = {
		.cr0 = get_cr0(v),
		.cr4 = get_cr4(v),
		.efer = get_efer(v),
		.maxphyaddr = guest_phys_bits(v),
		.page_1g = v->cap.f80000001_edx & BIT(26),
		.pse36 = v->cap.f1_edx & BIT(17),
		.amd = v->cap.amd,
	};

	struct guest_paging old = v->mmu->paging;
	unsigned int i;
	bool same;

	paging_setup(&v->mmu->paging, &r);
	/* Fetches do not know what the guest switches most: write protection (and SMAP). */
	old.wp = v->mmu->paging.wp;
	old.smap = v->mmu->paging.smap;
	same = !memcmp(&old, &v->mmu->paging, sizeof(old));
	for (i = 0; i < WALK_MEMOS; i++)
		if (!same || !(v->mmu->memo[i].acc & ACC_X))
			v->mmu->memo[i].page = ~0ull;
	v->mmu->paging_valid = true;
}

static __always_inline const struct guest_paging *guest_paging_now(struct x86_vcpu *v)
{
	/* a bit that the guest changes without an exit cannot be waited for; of CR4 it owns none that matters here */
	if (unlikely(!v->mmu->paging_valid || v->mmu->paging.wp != !!(get_cr0(v) & X86_CR0_WP)))
		paging_refresh(v);
	return &v->mmu->paging;
}

/* One load from guest memory: entries are naturally aligned, so it does not tear. */
static bool read_entry(struct x86_vcpu *v, u64 gpa, unsigned int bytes, u64 *val)
{
	struct memslot *slot = vcpu_slot(&v->vcpu, GFN(gpa >> PAGE_SHIFT));
	unsigned long hva;
	u32 val32;

	if (!slot)
		return false;
	hva = slot_hva(slot, GFN(gpa >> PAGE_SHIFT)).v + (gpa & ~PAGE_MASK & ~(bytes - 1ul));
	if (bytes == 8)
		return !get_user(*val, (u64 __user *)hva);
	if (get_user(val32, (u32 __user *)hva))
		return false;
	*val = val32;
	return true;
}

/* The PDPTE over va. Intel loads the four with CR3; AMD reads them when they are used (APM 15.25.10). */
static bool read_pdpte(struct x86_vcpu *v, u64 va, u64 *val)
{
	unsigned int i = (va >> 30) & 3;

	if (vendor_ops.amd)
		return read_entry(v, (get_cr3(v) & GENMASK_ULL(31, 5)) + i * sizeof(u64), sizeof(u64), val);
	state_need(v, G_PDPTR);
	*val = v->state.pdptr[i];
	return true;
}

/* Reads down to the page. false: w->error has P and RSVD of the fault. */
static bool walk(struct x86_vcpu *v, const struct guest_paging *p, u64 va, struct guest_walk *w)
{
	enum walk_end end;
	u64 top, val;

	if (p->pae_root) {
		w->error = 0;
		if (!read_pdpte(v, va, &top) || !(top & GPE_P))
			return false;
		if (top & mmu_pdpte_reserved(v)) {
			w->error = PFERR_P | PFERR_RSVD;
			return false;
		}
	} else {
		top = get_cr3(v);
	}
	walk_begin(p, w, va, top & p->addr);
	walk_index(p, w);
	do {
		/* a table outside memory reads as nothing present */
		if (!read_entry(v, w->at, p->entry_bytes, &val))
			return false;
		end = walk_step(p, w, val);
	} while (end == WALK_MORE);
	return end == WALK_PAGE;
}

enum bits_set { BITS_SET, BITS_LOST };

static enum bits_set set_bit_in_entry(struct x86_vcpu *v, const struct guest_paging *p, u64 gpa, u64 *val, u64 bits)
{
	u64 old = *val, new = old | bits;
	u32 old32 = old, new32 = new;
	bool done = false;
	int err;

	if (p->entry_bytes == 8)
		err = vcpu_cmpxchg_guest(&v->vcpu, GPA(gpa), 8, &old, &new, &done);
	else
		err = vcpu_cmpxchg_guest(&v->vcpu, GPA(gpa), 4, &old32, &new32, &done);
	/* tables in read-only memory: the write goes nowhere, as on a machine that has them in ROM */
	if (err)
		return BITS_SET;
	if (done)
		*val = new;
	return done ? BITS_SET : BITS_LOST;
}

/* Accessed bits of the entries used, the dirty bit of the last one on a write. */
static enum bits_set set_accessed(struct x86_vcpu *v, const struct guest_paging *p, struct guest_walk *w, bool write)
{
	unsigned int i;

	for (i = 0; i < w->n; i++) {
		u64 bits = GPE_A;

		if (write && i == w->n - 1u)
			bits |= GPE_D;
		if (!(bits & ~w->e[i].val))
			continue;
		if (set_bit_in_entry(v, p, w->e[i].gpa, &w->e[i].val, bits) == BITS_LOST)
			return BITS_LOST;
	}
	return BITS_SET;
}

/* --- walks made before --- */

static struct walk_memo *memo_of(struct x86_vcpu *v, u64 va, u32 acc)
{
	return &v->mmu->memo[((va >> PAGE_SHIFT) ^ acc) % WALK_MEMOS];
}

/* Is it about this access, and has nothing changed that a walk depends on besides the entries? */
static bool memo_fits(struct x86_vcpu *v, const struct walk_memo *m, u64 va, u32 acc)
{
	int as = v->vcpu.as;

	return m->page == (va & PAGE_MASK) && m->acc == acc && m->cr3 == get_cr3(v) && m->as == as &&
	       m->generation == READ_ONCE(kvm_slots(v->vcpu.kvm, as)->generation);
}

/*
 * Reads the entries as a walk would. code: 16 bytes of the page as well, at va. Slots lie in the VMM's half of the
 * address space, so one check of where is enough for all.
 */
static __always_inline bool memo_holds(struct x86_vcpu *v, const struct walk_memo *m, u64 va, u32 acc, u64 *code)
{
	const u64 __user *page;
	unsigned int i;
	u64 val;

	if (!memo_fits(v, m, va, acc) || !user_access_begin(hva_ptr(m->at[0]), sizeof(u64)))
		return false;
	for (i = 0; i < m->n; i++) {
		unsafe_get_user(val, (const u64 __user *)hva_ptr(m->at[i]), fail);
		if (val != m->val[i])
			goto fail;
	}
	if (code) {
		page = hva_ptr(HVA(m->data.v + (va & ~PAGE_MASK)));
		unsafe_get_user(code[0], page, fail);
		unsafe_get_user(code[1], page + 1, fail);
	}
	user_access_end();
	return true;
fail:
	user_access_end();
	return false;
}

/*
 * The accessed and dirty bits are set, and EFLAGS.AC and PKRU have no say: those count for data of user pages only,
 * where SMAP or protection keys are on.
 */
static void memo_keep(struct x86_vcpu *v, const struct guest_paging *p, const struct guest_walk *w, u32 acc)
{
	struct walk_memo *m = memo_of(v, w->va, acc);
	struct memslot *slot;
	unsigned int i;

	m->page = ~0ull;
	if (p->entry_bytes != 8 || p->pae_root ||
	    (!(acc & ACC_X) && w->rights & GPE_U && (p->smap || p->pke)))
		return;
	m->as = v->vcpu.as;
	m->generation = READ_ONCE(kvm_slots(v->vcpu.kvm, m->as)->generation);
	m->cr3 = get_cr3(v);
	m->acc = acc;
	m->n = w->n;
	for (i = 0; i < w->n; i++) {
		slot = vcpu_slot(&v->vcpu, GFN(w->e[i].gpa >> PAGE_SHIFT));
		if (!slot)
			return;
		m->at[i] = HVA(slot_hva(slot, GFN(w->e[i].gpa >> PAGE_SHIFT)).v + (w->e[i].gpa & ~PAGE_MASK & ~7ul));
		m->val[i] = w->e[i].val;
	}
	m->gpa = w->gpa & PAGE_MASK;
	slot = vcpu_slot(&v->vcpu, GFN(w->gpa >> PAGE_SHIFT));
	m->data = HVA(slot ? slot_hva(slot, GFN(w->gpa >> PAGE_SHIFT)).v : 0);
	m->page = w->va & PAGE_MASK;
}

bool mmu_translate(struct x86_vcpu *v, u64 gva, u32 acc, gpa_t *gpa, struct guest_fault *f)
{
	const struct guest_paging *p = guest_paging_now(v);
	const struct walk_memo *m = memo_of(v, gva, acc);
	unsigned int tries;
	struct guest_walk w;

	if (memo_holds(v, m, gva, acc, NULL)) {
		*gpa = GPA(m->gpa | (gva & ~PAGE_MASK));
		return true;
	}
	if (!p->levels) {
		*gpa = GPA(gva & p->va_mask);
		return true;
	}
	/* a guest that keeps changing its tables under the walk gets the last translation without the bits */
	for (tries = 0; tries < WALK_TRIES; tries++) {
		u32 error;

		if (walk(v, p, gva, &w)) {
			bool ac = p->smap && !(acc & (ACC_U | ACC_IMPLICIT)) && get_rflags(v) & X86_EFLAGS_AC;

			error = walk_check(p, &w, acc, ac, v->pkru);
		} else {
			error = w.error | walk_access_error(p, acc);
			w.n = 0;
		}
		if (error || !w.n) {
			*f = (struct guest_fault){ .failed = true, .error = error, .cr2 = gva };
			return false;
		}
		if (set_accessed(v, p, &w, acc & ACC_W) == BITS_SET) {
			memo_keep(v, p, &w, acc);
			break;
		}
	}
	*gpa = GPA(w.gpa);
	return true;
}

bool mmu_fetch(struct x86_vcpu *v, u64 la, u64 code[2])
{
	const struct guest_paging *p = guest_paging_now(v);
	u32 acc = ACC_X | (get_cpl(v) == 3 ? ACC_U : 0);
	const struct walk_memo *m = memo_of(v, la, acc);
	struct guest_fault f;
	gpa_t gpa;

	if ((la & ~PAGE_MASK) > PAGE_SIZE - 2 * sizeof(*code))
		return false;
	if (p->levels && m->data.v && memo_holds(v, m, la, acc, code))
		return true;
	return mmu_translate(v, la, acc, &gpa, &f) && !vcpu_read_guest_16(&v->vcpu, gpa, code);
}

bool mmu_peek(struct x86_vcpu *v, u64 gva, gpa_t *gpa, bool *writable, bool *user)
{
	const struct guest_paging *p = guest_paging_now(v);
	struct guest_walk w;

	if (!p->levels) {
		*gpa = GPA(gva & p->va_mask);
		*writable = true;
		*user = false;
		return true;
	}
	if (!walk(v, p, gva, &w))
		return false;
	*gpa = GPA(w.gpa);
	*writable = w.rights & GPE_W;
	*user = w.rights & GPE_U;
	return true;
}

bool mmu_load_pdptrs(struct x86_vcpu *v, u64 cr3)
{
	u64 reserved = mmu_pdpte_reserved(v), pdpte[4];
	unsigned int i;

	if (vcpu_read_guest(&v->vcpu, GPA(cr3 & GENMASK_ULL(31, 5)), pdpte, sizeof(pdpte)))
		return false;
	for (i = 0; i < 4; i++)
		if (pdpte[i] & GPE_P && pdpte[i] & reserved)
			return false;
	memcpy(v->state.pdptr, pdpte, sizeof(pdpte));
	state_dirty(v, G_PDPTR);
	return true;
}
EXPORT_SYMBOL_GPL(mmu_load_pdptrs);
