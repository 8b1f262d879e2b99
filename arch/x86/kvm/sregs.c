// SPDX-License-Identifier: GPL-2.0-only
/*
 * The system registers as user space sees them: KVM_GET/SET_SREGS, KVM_GET/SET_SREGS2, KVM_TRANSLATE.
 *
 * Setting checks everything first, so that a refused call has changed nothing; only then is the state replaced, in an
 * order that needs no intermediate state to be legal. vCPU thread, loaded, in kvm->srcu.
 */
#include <asm/msr-index.h>
#include <asm/traps.h>
#include <kvm/x86/debug.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/lapic.h>
#include <kvm/x86/mmu.h>
#include "regs.h"

/* The part that both structures share, which have the same layout up to here. */
#define SREGS_COMMON	offsetof(struct kvm_sregs, interrupt_bitmap)
static_assert(offsetof(struct kvm_sregs2, flags) == SREGS_COMMON);

#define PDPTE_PRESENT	1ull

/* --- segments: access rights of SDM 25.4.1 and struct kvm_segment --- */

static struct kvm_segment seg_to_user(const struct x86_seg *s)
{
	return (struct kvm_segment) {
		.base = s->base, .limit = s->limit, .selector = s->sel,
		.type = s->attr & SEG_TYPE,
		.s = !!(s->attr & SEG_S),
		.dpl = (s->attr & SEG_DPL) >> SEG_DPL_SHIFT,
		.present = !!(s->attr & SEG_P),
		.avl = !!(s->attr & SEG_AVL),
		.l = !!(s->attr & SEG_L),
		.db = !!(s->attr & SEG_DB),
		.g = !!(s->attr & SEG_G),
		.unusable = !!(s->attr & SEG_UNUSABLE),
	};
}

static struct x86_seg seg_from_user(const struct kvm_segment *in)
{
	struct x86_seg s = { .base = in->base, .limit = in->limit, .sel = in->selector };

	s.attr = (in->type & SEG_TYPE) | ((in->dpl & 3) << SEG_DPL_SHIFT);
	s.attr |= in->s ? SEG_S : 0;
	s.attr |= in->present ? SEG_P : 0;
	s.attr |= in->avl ? SEG_AVL : 0;
	s.attr |= in->l ? SEG_L : 0;
	s.attr |= in->db ? SEG_DB : 0;
	s.attr |= in->g ? SEG_G : 0;
	/* A segment that is not there cannot be used: hardware knows the one word only. */
	s.attr |= in->unusable || !in->present ? SEG_UNUSABLE : 0;
	return s;
}

/* --- reading --- */

/* The common part of either structure. */
static void common_read(struct x86_vcpu *v, struct kvm_sregs *s)
{
	struct x86_state *st = &v->state;

	state_need(v, G_SEGS | G_GDTR | G_IDTR | G_CR0 | G_CR2 | G_CR3 | G_CR4 | G_EFER);
	s->cs = seg_to_user(&st->seg[SEG_CS]);
	s->ds = seg_to_user(&st->seg[SEG_DS]);
	s->es = seg_to_user(&st->seg[SEG_ES]);
	s->fs = seg_to_user(&st->seg[SEG_FS]);
	s->gs = seg_to_user(&st->seg[SEG_GS]);
	s->ss = seg_to_user(&st->seg[SEG_SS]);
	s->tr = seg_to_user(&st->seg[SEG_TR]);
	s->ldt = seg_to_user(&st->seg[SEG_LDTR]);
	s->gdt = (struct kvm_dtable) { .base = st->gdt.base, .limit = st->gdt.limit };
	s->idt = (struct kvm_dtable) { .base = st->idt.base, .limit = st->idt.limit };
	s->cr0 = st->cr0;
	s->cr2 = st->cr2;
	s->cr3 = st->cr3;
	s->cr4 = st->cr4;
	s->efer = st->efer;
	s->cr8 = lapic_get_cr8(v);
	s->apic_base = lapic_get_base(v);
}

void sregs_read(struct x86_vcpu *v, struct kvm_sregs *s)
{
	memset(s, 0, sizeof(*s));
	common_read(v, s);
	if (v->ev.injected.type == EV_EXTINT)
		__set_bit(v->ev.injected.vector, (unsigned long *)s->interrupt_bitmap);
	else if (v->ev.queued_irq >= 0)
		__set_bit(v->ev.queued_irq, (unsigned long *)s->interrupt_bitmap);
}

static bool pae_values(const struct kvm_sregs *s)
{
	return (s->cr0 & X86_CR0_PG) && (s->cr4 & X86_CR4_PAE) && !(s->efer & EFER_LME);
}

/* Intel's processors keep the four entries from the load of CR3 on; AMD's read them where they are (APM 15.25.10). */
static bool pdptrs_fresh(struct x86_vcpu *v)
{
	if (vendor_ops.amd)
		return mmu_load_pdptrs(v, get_cr3(v));
	state_need(v, G_PDPTR);
	return true;
}

/* --- checking --- */

static bool mode_ok(struct x86_vcpu *v, const struct kvm_sregs *s)
{
	if ((s->cr0 & X86_CR0_PG) && (s->efer & EFER_LME))
		return (s->efer & EFER_LMA) && (s->cr4 & X86_CR4_PAE) && !(s->cr3 & guest_phys_reserved(v));
	return !(s->efer & EFER_LMA) && !s->cs.l;
}

static bool common_ok(struct x86_vcpu *v, const struct kvm_sregs *s)
{
	return cr0_value_ok(v, s->cr0) && cr4_value_ok(v, s->cr4) && efer_ok(v, s->efer & ~EFER_LMA) &&
	       s->cr8 <= 15 && mode_ok(v, s);
}

static bool pdptrs_ok(struct x86_vcpu *v, const u64 *pdptr)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		if ((pdptr[i] & PDPTE_PRESENT) && (pdptr[i] & mmu_pdpte_reserved(v)))
			return false;
	return true;
}

/* --- writing --- */

static void segs_write(struct x86_vcpu *v, const struct kvm_sregs *s)
{
	struct x86_state *st = &v->state;

	st->seg[SEG_CS] = seg_from_user(&s->cs);
	st->seg[SEG_DS] = seg_from_user(&s->ds);
	st->seg[SEG_ES] = seg_from_user(&s->es);
	st->seg[SEG_FS] = seg_from_user(&s->fs);
	st->seg[SEG_GS] = seg_from_user(&s->gs);
	st->seg[SEG_SS] = seg_from_user(&s->ss);
	st->seg[SEG_TR] = seg_from_user(&s->tr);
	st->seg[SEG_LDTR] = seg_from_user(&s->ldt);
	st->gdt = (struct x86_dtable) { .base = s->gdt.base, .limit = s->gdt.limit };
	st->idt = (struct x86_dtable) { .base = s->idt.base, .limit = s->idt.limit };
	state_dirty(v, G_SEGS | G_GDTR | G_IDTR);
	st->cpl = s->cr0 & X86_CR0_PE ? s->ss.dpl & 3 : 0;
	st->valid |= G_CPL;	/* follows SS: nothing to write */
}

/*
 * Replaces what common_ok() passed. pdptr: the four entries of PAE paging, or NULL to read them where CR3 points;
 * there may be no memory yet, then they stay and the guest's next load of CR3 counts.
 */
static long common_write(struct x86_vcpu *v, const struct kvm_sregs *s, const u64 *pdptr)
{
	struct x86_state *st = &v->state;
	u64 cr0 = (s->cr0 & CR0_DEFINED) | X86_CR0_ET, cr4_was = get_cr4(v);
	bool mmu;

	/* The one check that belongs to somebody else: it changes this register or nothing. */
	if (s->apic_base != lapic_get_base(v) && !lapic_set_base(v, s->apic_base, true))
		return -EINVAL;
	mmu = ((get_cr0(v) ^ cr0) & CR0_MMU_BITS) || ((cr4_was ^ s->cr4) & CR4_MMU_BITS) ||
	      get_cr3(v) != s->cr3 || ((get_efer(v) ^ s->efer) & (EFER_LME | EFER_LMA | EFER_NX)) || pae_values(s);
	st->cr0 = cr0;
	st->cr2 = s->cr2;
	st->cr3 = s->cr3;
	st->cr4 = s->cr4;
	st->efer = s->efer;
	state_dirty(v, G_CR0 | G_CR2 | G_CR3 | G_CR4 | G_EFER);
	segs_write(v, s);
	lapic_set_cr8(v, s->cr8);
	if (pdptr) {
		memcpy(st->pdptr, pdptr, sizeof(st->pdptr));
		state_dirty(v, G_PDPTR);
	} else if (pae_values(s)) {
		mmu_load_pdptrs(v, s->cr3);
	}
	if ((cr4_was ^ s->cr4) & CR4_CPUID_BITS)
		cpuid_runtime_update(v);
	if (mmu) {
		mmu_mode_changed(v);
		mmu_cr3_loaded(v, false);
		vcpu_request(&v->vcpu, REQ_TLB_GUEST);
	}
	x86_events_changed(&v->vcpu);
	return 0;
}

long sregs_write(struct x86_vcpu *v, const struct kvm_sregs *s)
{
	unsigned long vector = find_first_bit((const unsigned long *)s->interrupt_bitmap, KVM_NR_INTERRUPTS);
	long err;

	if (!common_ok(v, s))
		return -EINVAL;
	err = common_write(v, s, NULL);
	if (err || vector >= KVM_NR_INTERRUPTS)
		return err;
	/* The one interrupt on its way, which is this one; it waits for IF like any that user space queues. */
	if (v->ev.injected.type == EV_EXTINT)
		v->ev.injected.type = EV_NONE;
	v->ev.queued_irq = vector;
	return 0;
}

/* --- ioctls --- */

long vcpu_get_sregs(struct kvm_call *c)
{
	sregs_read(x86_vcpu(c->vcpu), c->arg);
	return 0;
}

long vcpu_set_sregs(struct kvm_call *c)
{
	return sregs_write(x86_vcpu(c->vcpu), c->arg);
}

long vcpu_get_sregs2(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	struct kvm_sregs2 *out = c->arg;
	struct kvm_sregs s = {};

	common_read(v, &s);
	memset(out, 0, sizeof(*out));
	memcpy(out, &s, SREGS_COMMON);
	if (pae_values(&s) && pdptrs_fresh(v)) {
		memcpy(out->pdptrs, v->state.pdptr, sizeof(out->pdptrs));
		out->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	}
	return 0;
}

long vcpu_set_sregs2(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	const struct kvm_sregs2 *in = c->arg;
	const u64 *pdptr = NULL;
	struct kvm_sregs s = {};

	memcpy(&s, in, SREGS_COMMON);
	if (!common_ok(v, &s) || (in->flags & ~KVM_SREGS2_FLAGS_PDPTRS_VALID))
		return -EINVAL;
	if (in->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID) {
		if (!pae_values(&s) || !pdptrs_ok(v, in->pdptrs))
			return -EINVAL;
		pdptr = in->pdptrs;
	}
	return common_write(v, &s, pdptr);
}

long vcpu_translate(struct kvm_call *c)
{
	struct kvm_translation *t = c->arg;
	bool writable = false, user = false;
	gpa_t gpa = GPA_NONE;

	t->valid = mmu_peek(x86_vcpu(c->vcpu), t->linear_address, &gpa, &writable, &user);
	t->physical_address = t->valid ? gpa.v : GPA_NONE.v;
	t->writeable = writable;
	t->usermode = user;
	return 0;
}
