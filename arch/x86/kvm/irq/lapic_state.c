// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's mode (IA32_APIC_BASE) and its image in the ABI (KVM_GET_LAPIC, KVM_SET_LAPIC).
 *
 * The image is the register page. Two things in it are not as the page has them: the ID of an x2APIC, which old user
 * space expects in the xAPIC's place unless it asked for 32-bit IDs, and registers that are computed when read. What
 * comes from user space is cut down to what software could have written, for only these values are ever acted on.
 *
 * vCPU thread only.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <kvm/x86/irqchip.h>
#include <kvm/x86/machine.h>
#include "lapic_priv.h"

static bool base_sane(const struct x86_vcpu *v, u64 val)
{
	u64 reserved = GENMASK_ULL(7, 0) | BIT_ULL(9);
	unsigned int bits = v->cap.maxphyaddr ?: 36;

	if (bits < 64)
		reserved |= ~0ull << bits;
	if (!(v->cap.f1_ecx & BIT(21)))
		reserved |= BASE_EXTD;
	return !(val & reserved) && (val & (BASE_EXTD | BASE_EN)) != BASE_EXTD;
}

/* SDM figure 11-9: from the xAPIC anywhere, from the x2APIC only off, from off only to the xAPIC. */
static bool transition_legal(u64 from, u64 to)
{
	const u64 mode = BASE_EXTD | BASE_EN;

	from &= mode;
	to &= mode;
	if (from == to || from == BASE_EN)
		return true;
	return from ? !to : to == BASE_EN;
}

/* The address registers as the new mode has them; other registers go over as they are. */
static void enter_mode(struct x86_vcpu *v, bool x2)
{
	struct lapic *a = v->lapic;

	if (x2) {
		reg_set(a, R_ID, v->vcpu.id);
		reg_set(a, R_LDR, x2apic_ldr(v->vcpu.id));
	} else {
		reg_set(a, R_ID, v->vcpu.id << 24);
		reg_set(a, R_LDR, 0);
		reg_set(a, R_DFR, ~0u);
	}
	reg_set(a, R_ICR2, 0);
}

u64 lapic_get_base(struct x86_vcpu *v)
{
	return v->apic_base;
}

bool lapic_set_base(struct x86_vcpu *v, u64 val, bool host)
{
	u64 old = v->apic_base, diff = old ^ val;

	if (!base_sane(v, val) || (!host && !transition_legal(old, val)))
		return false;
	if (!diff)
		return true;
	if (v->lapic && !host && diff & BASE_EN) {
		/* Off, it counts no more; and it comes back as after power-up (SDM 11.4.3). */
		if (val & BASE_EN)
			lapic_reset(v, false);
		else
			lapic_timer_stop(v->lapic);
	}
	WRITE_ONCE(v->apic_base, val);
	if (v->lapic && diff & (BASE_EN | BASE_EXTD)) {
		if (diff & BASE_EXTD)
			enter_mode(v, val & BASE_EXTD);
		lapic_update_accepts(v->lapic);
		v->recheck_events = true;
		apic_map_changed(vm_of(v));
		vendor_call(intercepts)(v);	/* hardware may serve registers of one of the modes */
	}
	if (diff & BASE_EN)
		cpuid_runtime_update(v);
	return true;
}

/* The ABI's image */

static void image_put(struct kvm_lapic_state *s, u32 off, u32 val)
{
	memcpy(&s->regs[off], &val, sizeof(val));
}

static u32 image_get(const struct kvm_lapic_state *s, u32 off)
{
	u32 val;

	memcpy(&val, &s->regs[off], sizeof(val));
	return val;
}

long lapic_get_state(struct x86_vcpu *v, struct kvm_lapic_state *s)
{
	struct lapic *a = v->lapic;

	if (!a)
		return -EINVAL;
	lapic_take_posted(a);
	memcpy(s->regs, a->regs, sizeof(s->regs));
	image_put(s, R_VERSION, lapic_version(v));
	image_put(s, R_PPR, a->ppr);
	image_put(s, R_TMCCT, lapic_timer_count(a));
	if (is_x2apic(v) && !vm_of(v)->x2apic_ids)
		image_put(s, R_ID, v->vcpu.id << 24);
	return 0;
}

/* IRR, ISR and TMR as they are: of the first 16 vectors, which no message can carry, none outranks any priority. */
static void load_vectors(struct lapic *a, const struct kvm_lapic_state *s)
{
	static const u32 regs[] = { R_ISR, R_TMR, R_IRR };
	unsigned int i, w;

	for (i = 0; i < ARRAY_SIZE(regs); i++)
		for (w = 0; w < 8; w++)
			reg_set(a, regs[i] + w * 16, image_get(s, regs[i] + w * 16));
}

static void load_addresses(struct x86_vcpu *v, const struct kvm_lapic_state *s)
{
	struct lapic *a = v->lapic;

	reg_set(a, R_DFR, image_get(s, R_DFR) | 0x0fffffff);
	if (is_x2apic(v)) {
		reg_set(a, R_ID, v->vcpu.id);
		reg_set(a, R_LDR, x2apic_ldr(v->vcpu.id));
		reg_set(a, R_ICR2, image_get(s, R_ICR2));
	} else {
		reg_set(a, R_ID, image_get(s, R_ID) & lapic_reg_bits(v, R_ID));
		reg_set(a, R_LDR, image_get(s, R_LDR) & lapic_reg_bits(v, R_LDR));
		reg_set(a, R_ICR2, image_get(s, R_ICR2) & lapic_reg_bits(v, R_ICR2));
	}
}

static void load_controls(struct x86_vcpu *v, const struct kvm_lapic_state *s)
{
	static const u32 regs[] = { R_TPR, R_SVR, R_ICR, R_TMICT, R_DCR };
	static const u32 lvts[] = { R_CMCI, R_LVTT, R_THERMAL, R_PERF, R_LINT0, R_LINT1, R_LVTERR };
	struct lapic *a = v->lapic;
	unsigned int i;
	u32 bits;

	for (i = 0; i < ARRAY_SIZE(regs); i++)
		reg_set(a, regs[i], image_get(s, regs[i]) & lapic_reg_bits(v, regs[i]));
	reg_set(a, R_ESR, image_get(s, R_ESR) & 0xff);
	/* Unmasked in a disabled APIC, as no guest could write it: so VMMs hand the PIC's line to the firmware. */
	for (i = 0; i < ARRAY_SIZE(lvts); i++) {
		bits = lapic_reg_bits(v, lvts[i]);
		/* One that is not there may come with the machine-check banks, and is masked then. */
		reg_set(a, lvts[i], bits ? image_get(s, lvts[i]) & bits : LVT_MASK);
	}
}

long lapic_set_state(struct x86_vcpu *v, const struct kvm_lapic_state *s)
{
	struct lapic *a = v->lapic;
	u64 deadline;

	if (!a)
		return -EINVAL;
	if (is_x2apic(v) && vm_of(v)->x2apic_ids && image_get(s, R_ID) != v->vcpu.id)
		return -EINVAL;
	deadline = lapic_get_deadline(v);	/* is an MSR of its own, not part of the image */
	lapic_timer_stop(a);
	lapic_forget_posted(a);
	load_addresses(v, s);
	load_controls(v, s);
	load_vectors(a, s);
	lapic_recount(a);
	lapic_timer_restore(a, image_get(s, R_TMCCT));
	if (deadline)
		lapic_set_deadline(v, deadline);
	apic_map_changed(vm_of(v));
	return 0;
}
