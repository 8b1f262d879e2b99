// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC: priorities, the way of an interrupt from the posted descriptor to the processor, and lifetime.
 *
 * Any thread posts (lapic_post): the level bit, the PIR bit, ON, a kick. The vCPU thread moves posted bits into the
 * register page's IRR when it looks for work, so IRR, ISR, TMR and PPR have one writer and need no lock. The
 * page is what hardware virtualisation would use; beside it two masks tell which of the eight words of IRR and ISR
 * are not zero, so that the highest vector is found by two bit scans.
 *
 * Registers are in lapic_regs.c, the timer in lapic_timer.c, the mode MSR and the ABI's image in lapic_state.c,
 * destinations in deliver.c. Memory lives as long as the vCPU.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/log2.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <kvm/x86/irqchip.h>
#include <kvm/x86/machine.h>
#include "irqchip_priv.h"
#include "lapic_priv.h"

/* Posting */

/* Is this v's own thread, outside of interrupts? Then it will look before it enters the guest or halts. */
static bool own_thread(const struct x86_vcpu *v)
{
	bool own;

	if (!in_task())
		return false;
	preempt_disable();
	own = kvm_running_vcpu() == &v->vcpu;
	preempt_enable();
	return own;
}

static void kick(struct x86_vcpu *v)
{
	if (own_thread(v))
		v->recheck_events = true;	/* no locked operation */
	else
		vcpu_request_kick(v, REQ_EVENT);
}

bool lapic_post(struct x86_vcpu *v, u8 vector, bool level)
{
	struct pi_desc *pi = v->pi;
	bool waiting;

	if (unlikely(test_bit(vector, pi->level) != level)) {
		if (level)
			set_bit(vector, pi->level);
		else
			clear_bit(vector, pi->level);
	}
	if (test_and_set_bit(vector, pi->pir))
		return false;
	/* Moved to the IRR earlier and not yet taken: it will merge, which the caller wants to know. */
	waiting = reg_vector(v->lapic, R_IRR, vector);
	if (!test_and_set_bit(PI_ON, (unsigned long *)&pi->control))
		kick(v);
	return !waiting;
}

void lapic_error(struct x86_vcpu *v, unsigned int bit)
{
	u32 lvt;

	if (test_and_set_bit(bit, &v->lapic->esr_pending))
		return;
	lvt = reg_get(v->lapic, R_LVTERR);
	if (!(lvt & LVT_MASK) && (u8)lvt >= 16)
		lapic_post(v, lvt, false);
}

void lapic_local(struct x86_vcpu *v, u8 vector)
{
	if (likely(vector >= 16))
		lapic_post(v, vector, false);
	else
		lapic_error(v, ESR_RECEIVE_VECTOR);
}

/* One word of 64 vectors into the IRR and TMR. */
static void take_word(struct lapic *a, unsigned int i, u64 bits, u64 level)
{
	unsigned int half;

	for (half = 0; half < 2; half++, bits >>= 32, level >>= 32) {
		u32 w = bits, off = (2 * i + half) * 16;

		if (!w)
			continue;
		reg_set(a, R_IRR + off, reg_get(a, R_IRR + off) | w);
		reg_set(a, R_TMR + off, (reg_get(a, R_TMR + off) & ~w) | ((u32)level & w));
		a->irr_words |= 1u << (2 * i + half);
	}
}

void lapic_take_posted(struct lapic *a)
{
	unsigned int i;
	u64 bits;

	clear_bit(PI_ON, (unsigned long *)&a->pi.control);
	smp_mb__after_atomic();	/* a bit that we miss below sets ON again */
	for (i = 0; i < ARRAY_SIZE(a->pi.pir); i++) {
		if (!READ_ONCE(a->pi.pir[i]))
			continue;
		bits = xchg(&a->pi.pir[i], 0);
		take_word(a, i, bits, READ_ONCE(a->pi.level[i]));
	}
}

void lapic_forget_posted(struct lapic *a)
{
	unsigned int i;

	clear_bit(PI_ON, (unsigned long *)&a->pi.control);
	for (i = 0; i < ARRAY_SIZE(a->pi.pir); i++) {
		xchg(&a->pi.pir[i], 0);
		WRITE_ONCE(a->pi.level[i], 0);
	}
}

/* Priorities */

/* Highest vector of a 256-bit register of which words says where it is not zero; words is not 0. */
static u8 highest(const struct lapic *a, u32 off, u32 words)
{
	unsigned int w = __fls(words);

	return w * 32 + __fls(reg_get(a, off + w * 16));
}

static void vector_set(struct lapic *a, u32 off, u32 *words, u8 vector)
{
	off += (vector >> 5) * 16;
	reg_set(a, off, reg_get(a, off) | 1u << (vector & 31));
	*words |= 1u << (vector >> 5);
}

static void vector_clear(struct lapic *a, u32 off, u32 *words, u8 vector)
{
	u32 left;

	off += (vector >> 5) * 16;
	left = reg_get(a, off) & ~(1u << (vector & 31));
	reg_set(a, off, left);
	if (!left)
		*words &= ~(1u << (vector >> 5));
}

/* SDM 11.8.3.1: the class in service, or the task's where that is as high. */
static void update_ppr(struct lapic *a)
{
	u8 tpr = reg_get(a, R_TPR);
	u8 isr = a->isr_words ? highest(a, R_ISR, a->isr_words) & 0xf0 : 0;
	u8 ppr = tpr >= isr ? tpr : isr;

	if (ppr < a->ppr && a->irr_words)
		a->v->recheck_events = true;
	a->ppr = ppr;
}

static u32 words_of(const struct lapic *a, u32 off)
{
	u32 words = 0;
	unsigned int w;

	for (w = 0; w < 8; w++)
		if (reg_get(a, off + w * 16))
			words |= 1u << w;
	return words;
}

void lapic_update_accepts(struct lapic *a)
{
	WRITE_ONCE(a->accepts, (a->v->apic_base & BASE_EN) && (reg_get(a, R_SVR) & SVR_ENABLE));
}

void lapic_recount(struct lapic *a)
{
	a->irr_words = words_of(a, R_IRR);
	a->isr_words = words_of(a, R_ISR);
	update_ppr(a);
	lapic_update_accepts(a);
	a->v->recheck_events = true;
}

/* What is held when the guest disables the APIC by software stays and is delivered (SDM 11.4.7.2). */
int lapic_pending(struct x86_vcpu *v)
{
	struct lapic *a = v->lapic;
	u8 vector;

	if (READ_ONCE(a->pi.control) & BIT(PI_ON))
		lapic_take_posted(a);
	if (!a->irr_words)
		return -1;
	vector = highest(a, R_IRR, a->irr_words);
	if ((vector & 0xf0) <= (a->ppr & 0xf0) || unlikely(!(v->apic_base & BASE_EN)))
		return -1;
	return vector;
}

static bool pic_waits(struct x86_vcpu *v)
{
	struct x86_vm *vm = vm_of(v);

	return vm->pic && pic_output(vm) && (lapic_accepts_pic(v) || READ_ONCE(v->lapic->extint));
}

bool vcpu_has_irq(struct x86_vcpu *v)
{
	return v->lapic && (lapic_pending(v) >= 0 || pic_waits(v));
}

int vcpu_ack_irq(struct x86_vcpu *v)
{
	struct lapic *a = v->lapic;
	int vector;

	if (!a)
		return -1;
	if (pic_waits(v)) {
		WRITE_ONCE(a->extint, false);
		return pic_ack(vm_of(v));
	}
	vector = lapic_pending(v);
	if (vector < 0)
		return -1;
	vector_clear(a, R_IRR, &a->irr_words, vector);
	vector_set(a, R_ISR, &a->isr_words, vector);
	a->ppr = vector & 0xf0;		/* it was above the PPR, so above the TPR */
	return vector;
}

/* Reads only, and may be wrong for a moment when another thread asks: whoever changes the answer kicks. */
bool lapic_maybe_pending(struct x86_vcpu *v)
{
	const struct lapic *a = v->lapic;
	int i, best = -1;
	u32 words;

	if (!a)
		return false;
	words = READ_ONCE(a->irr_words);
	for (i = 7; words && i >= 0 && best < 0; i--) {
		u32 w = reg_get(a, R_IRR + i * 16);

		if (w)
			best = i * 32 + __fls(w);
	}
	for (i = 3; READ_ONCE(a->pi.control) & BIT(PI_ON) && i >= 0; i--) {
		u64 w = READ_ONCE(a->pi.pir[i]);

		if (w) {
			best = max_t(int, best, i * 64 + __fls(w));
			break;
		}
	}
	if (best >= 0 && (best & 0xf0) > (READ_ONCE(a->ppr) & 0xf0) && READ_ONCE(v->apic_base) & BASE_EN)
		return true;
	return pic_waits(v);
}

/* Somebody outside wants to hear of this vector's EOI: the IOAPIC of a level, or a listener on its pin. */
static void eoi_to_bus(struct x86_vcpu *v, u8 vector)
{
	struct x86_vm *vm = vm_of(v);

	if (vm->ioapic) {
		ioapic_eoi(vm, vector);
	} else if (vm->irqchip == IRQCHIP_SPLIT) {
		v->eoi_vector = vector;
		vcpu_request(&v->vcpu, REQ_IOAPIC_EOI);
	}
}

void lapic_eoi(struct x86_vcpu *v)
{
	struct lapic *a = v->lapic;
	const struct ioapic *io = vm_of(v)->ioapic;
	u8 vector;

	if (!a->isr_words)
		return;
	vector = highest(a, R_ISR, a->isr_words);
	vector_clear(a, R_ISR, &a->isr_words, vector);
	update_ppr(a);
	if (unlikely(reg_vector(a, R_TMR, vector) || (io && test_bit(vector, io->heard))))
		eoi_to_bus(v, vector);
}

/* TPR */

void lapic_set_tpr(struct x86_vcpu *v, u8 tpr)
{
	reg_set(v->lapic, R_TPR, tpr);
	update_ppr(v->lapic);
}

/* Hardware does not know of it yet. */
void lapic_write_tpr(struct x86_vcpu *v, u8 tpr)
{
	lapic_set_tpr(v, tpr);
	v->recheck_events = true;
}

u8 lapic_get_cr8(struct x86_vcpu *v)
{
	return v->lapic ? (u8)reg_get(v->lapic, R_TPR) >> 4 : v->cr8;
}

void lapic_set_cr8(struct x86_vcpu *v, u8 cr8)
{
	if (v->lapic)
		lapic_write_tpr(v, cr8 << 4);
	else
		v->cr8 = cr8;
}

void lapic_sync_tpr(struct x86_vcpu *v)
{
	const struct lapic *a = v->lapic;
	int top;

	if (!a)
		return;
	top = a->irr_words && (v->apic_base & BASE_EN) ? highest(a, R_IRR, a->irr_words) : -1;
	vendor_call(tpr)(v, reg_get(a, R_TPR), top);
}

bool lapic_enabled(struct x86_vcpu *v)
{
	return v->lapic && READ_ONCE(v->lapic->accepts);
}

/* LINT pins */

bool lapic_accepts_pic(struct x86_vcpu *v)
{
	u32 lvt;

	if (!v->lapic)
		return false;
	if (!(READ_ONCE(v->apic_base) & BASE_EN))
		return vcpu_is_bsp(v);
	lvt = reg_get(v->lapic, R_LINT0);
	return !(lvt & LVT_MASK) && LVT_MODE(lvt) == MODE_EXTINT;
}

static void local_nmi(struct x86_vcpu *v)
{
	static const struct apic_msg nmi = { .mode = MODE_NMI, .assert = true };

	lapic_accept(v, &nmi);
}

void lapic_lint0_rose(struct x86_vcpu *v)
{
	u32 lvt;

	if (lapic_accepts_pic(v)) {
		kick(v);
		return;
	}
	if (!v->lapic || !(READ_ONCE(v->apic_base) & BASE_EN))
		return;
	lvt = reg_get(v->lapic, R_LINT0);
	if (lvt & LVT_MASK)
		return;
	if (LVT_MODE(lvt) == MODE_FIXED)
		lapic_local(v, lvt);
	else if (LVT_MODE(lvt) == MODE_NMI)
		local_nmi(v);
}

void lapic_local_nmi(struct x86_vcpu *v)
{
	u32 lvt;

	if (!v->lapic) {
		local_nmi(v);
		return;
	}
	lvt = reg_get(v->lapic, R_LINT1);
	if (!(lvt & LVT_MASK) && LVT_MODE(lvt) == MODE_NMI)
		local_nmi(v);
}

/* Lifetime */

int lapic_create(struct x86_vcpu *v)
{
	struct lapic *a;

	BUILD_BUG_ON(offsetof(struct lapic, pi) != 0);
	/* powers of two are naturally aligned by kmalloc, as the descriptor must be */
	a = kzalloc(roundup_pow_of_two(sizeof(*a)), GFP_KERNEL_ACCOUNT);
	if (!a)
		return -ENOMEM;
	a->regs = (u8 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!a->regs) {
		kfree(a);
		return -ENOMEM;
	}
	a->v = v;
	lapic_timer_init(a);
	v->lapic = a;
	v->pi = &a->pi;
	return 0;
}

void lapic_free(struct x86_vcpu *v)
{
	struct lapic *a = v->lapic;

	if (!a)
		return;
	lapic_timer_stop(a);
	v->lapic = NULL;
	v->pi = NULL;
	free_page((unsigned long)a->regs);
	kfree(a);
}

/* The state after power-up or reset (SDM 11.4.7.1), and after INIT (11.4.7.3), which keeps mode and ID. */
static void reset_regs(struct x86_vcpu *v, bool init)
{
	static const u32 lvts[] = { R_CMCI, R_LVTT, R_THERMAL, R_PERF, R_LINT0, R_LINT1, R_LVTERR };
	struct lapic *a = v->lapic;
	u32 xapic_id = reg_get(a, R_ID);
	unsigned int i;

	memset(a->regs, 0, PAGE_SIZE);
	if (is_x2apic(v)) {
		reg_set(a, R_ID, v->vcpu.id);
		reg_set(a, R_LDR, x2apic_ldr(v->vcpu.id));
	} else {
		reg_set(a, R_ID, init ? xapic_id : v->vcpu.id << 24);
	}
	reg_set(a, R_DFR, ~0u);
	reg_set(a, R_SVR, 0xff);
	for (i = 0; i < ARRAY_SIZE(lvts); i++)
		reg_set(a, lvts[i], LVT_MASK);
	if (vcpu_is_bsp(v) && vm_quirk(vm_of(v), KVM_X86_QUIRK_LINT0_REENABLED))
		reg_set(a, R_LINT0, MODE_EXTINT << 8);
}

void lapic_reset(struct x86_vcpu *v, bool init)
{
	struct lapic *a = v->lapic;

	if (!init)
		v->apic_base = BASE_DEFAULT | BASE_EN | (vcpu_is_bsp(v) ? BASE_BSP : 0);
	if (!a)
		return;
	lapic_timer_stop(a);
	lapic_forget_posted(a);
	a->esr_pending = 0;
	WRITE_ONCE(a->extint, false);
	reset_regs(v, init);
	a->ppr = 0;
	lapic_recount(a);
	apic_map_changed(vm_of(v));
}
