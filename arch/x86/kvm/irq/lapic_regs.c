// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's registers: one table for the xAPIC's page and the x2APIC's MSRs.
 *
 * A row says which of the four kinds of access exist and which bits software can write. What is not allowed, the page
 * answers with an error noted in the ESR, the MSRs with #GP. EOI, ICR and TPR are looked at before the table: they are
 * nearly all writes there are. vCPU thread only.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <kvm/x86/irqchip.h>
#include "lapic_priv.h"

enum { PAGE_R = 1, PAGE_W = 2, MSR_R = 4, MSR_W = 8 };
#define PAGE_RW	(PAGE_R | PAGE_W)
#define ALL	(PAGE_RW | MSR_R | MSR_W)
#define RO	(PAGE_R | MSR_R)

#define LVT_PLAIN	(0xff | LVT_MASK)			/* vector, mask */
#define LVT_MODAL	(0xff | 7 << 8 | LVT_MASK)		/* and delivery mode */
#define LVT_PIN		(LVT_MODAL | BIT(13) | BIT(15))		/* and polarity, trigger mode */
#define LVTT_PERIODIC	BIT(17)
#define LVTT_DEADLINE	BIT(18)

/* x2APIC: what must be 0 in the ICR's low half. Bit 12, delivery status elsewhere, is ignored. */
#define ICR_RESERVED	(GENMASK(31, 20) | GENMASK(17, 16) | BIT(13))
#define ICR_BUSY	BIT(12)

/* Bits that an LVT shows and a write leaves alone: read-only, not reserved (SDM 11.5.1), so no fault in x2APIC mode. */
#define LVT_PENDING	BIT(12)		/* delivery status */
#define LVT_REMOTE_IRR	BIT(14)

struct reg_row {
	u8 access;
	u32 bits;	/* that software can write */
	u32 status;	/* that it may write in vain */
};

#define ROW(off)	[(off) >> 4]
#define ROWS8(off)	[(off) >> 4 ... ((off) >> 4) + 7]

static const struct reg_row rows[64] = {
	ROW(R_ID)	= { PAGE_RW | MSR_R, 0xff000000 },
	ROW(R_VERSION)	= { RO, 0 },
	ROW(R_TPR)	= { ALL, 0xff },
	ROW(R_APR)	= { PAGE_R, 0 },
	ROW(R_PPR)	= { RO, 0 },
	ROW(R_EOI)	= { PAGE_W | MSR_W, 0 },
	ROW(R_RRD)	= { PAGE_R, 0 },
	ROW(R_LDR)	= { PAGE_RW | MSR_R, 0xff000000 },
	ROW(R_DFR)	= { PAGE_RW, 0xf0000000 },
	ROW(R_SVR)	= { ALL, 0x3ff },
	ROWS8(R_ISR)	= { RO, 0 },
	ROWS8(R_TMR)	= { RO, 0 },
	ROWS8(R_IRR)	= { RO, 0 },
	ROW(R_ESR)	= { ALL, 0 },
	ROW(R_CMCI)	= { ALL, LVT_MODAL, LVT_PENDING },
	ROW(R_ICR)	= { ALL, ~0u },
	ROW(R_ICR2)	= { PAGE_RW, 0xff000000 },
	ROW(R_LVTT)	= { ALL, LVT_PLAIN | LVTT_PERIODIC, LVT_PENDING },
	ROW(R_THERMAL)	= { ALL, LVT_MODAL, LVT_PENDING },
	ROW(R_PERF)	= { ALL, LVT_MODAL, LVT_PENDING },
	ROW(R_LINT0)	= { ALL, LVT_PIN, LVT_PENDING | LVT_REMOTE_IRR },
	ROW(R_LINT1)	= { ALL, LVT_PIN, LVT_PENDING | LVT_REMOTE_IRR },
	ROW(R_LVTERR)	= { ALL, LVT_PLAIN, LVT_PENDING },
	ROW(R_TMICT)	= { ALL, ~0u },
	ROW(R_TMCCT)	= { RO, 0 },
	ROW(R_DCR)	= { ALL, 0xb },
	ROW(R_SELF_IPI)	= { MSR_W, 0xff },
};

static bool has_cmci(const struct x86_vcpu *v)
{
	return v->mcg_cap & MCG_CMCI;
}

/* 14H: integrated, as since the Pentium 4; the index of the last LVT above it. */
u32 lapic_version(const struct x86_vcpu *v)
{
	return 0x14 | (has_cmci(v) ? 6 : 5) << 16;
}

u32 lapic_reg_bits(const struct x86_vcpu *v, u32 off)
{
	u32 bits = rows[off >> 4 & 63].bits;

	if (off == R_LVTT && v->cap.f1_ecx & BIT(24))
		bits |= LVTT_DEADLINE;
	if (off == R_CMCI && !has_cmci(v))
		bits = 0;
	return bits;
}

static u8 reg_access(const struct x86_vcpu *v, u32 off)
{
	if (off == R_CMCI && !has_cmci(v))
		return 0;
	return rows[off >> 4 & 63].access;
}

static u32 top_vector(const struct lapic *a, u32 off)
{
	int w;

	for (w = 7; w >= 0; w--)
		if (reg_get(a, off + w * 16))
			return w * 32 + __fls(reg_get(a, off + w * 16));
	return 0;
}

/* Arbitration priority (SDM of the P6 family; later ones keep no such register, and nobody minds its being right). */
static u32 arbitration(struct lapic *a)
{
	u32 tpr = reg_get(a, R_TPR), isr = top_vector(a, R_ISR) & 0xf0, irr = top_vector(a, R_IRR) & 0xf0;

	if ((tpr & 0xf0) >= irr && (tpr & 0xf0) > isr)
		return tpr;
	return max3(tpr & 0xf0, isr, irr);
}

static u32 reg_read(struct x86_vcpu *v, u32 off)
{
	struct lapic *a = v->lapic;

	switch (off) {
	case R_VERSION:
		return lapic_version(v);
	case R_PPR:
		return a->ppr;
	case R_APR:
		lapic_take_posted(a);
		return arbitration(a);
	case R_TMCCT:
		return lapic_timer_count(a);
	case R_TMR ... R_IRR + 0x70:
		lapic_take_posted(a);
		break;
	}
	return reg_get(a, off);
}

/* IPIs */

static void send_ipi(struct x86_vcpu *v, u32 low, u32 dest)
{
	struct apic_msg m = {
		.dest = dest, .vector = low, .mode = low >> 8 & 7, .logical = low >> 11 & 1,
		.assert = true, .shorthand = low >> 18 & 3,
	};

	switch (m.mode) {
	case MODE_FIXED:
	case MODE_LOWEST:
		if (unlikely(m.vector < 16)) {
			lapic_error(v, ESR_SEND_VECTOR);
			return;
		}
		break;
	case MODE_INIT:
		/* Level and not asserted: the de-assert message that only old APICs know. */
		if ((low & BIT(15)) && !(low & BIT(14)))
			return;
		break;
	case MODE_SMI:
	case MODE_NMI:
	case MODE_SIPI:
		break;
	default:
		return;		/* reserved, and ExtINT, which the ICR cannot send */
	}
	apic_deliver(vm_of(v), v, &m);
}

static void write_icr(struct x86_vcpu *v, u32 low, u32 high)
{
	reg_set(v->lapic, R_ICR, low & ~ICR_BUSY);
	reg_set(v->lapic, R_ICR2, high);
	send_ipi(v, low, is_x2apic(v) ? high : high >> 24);
}

/* Writes */

static void mask_all_lvts(struct x86_vcpu *v)
{
	struct lapic *a = v->lapic;
	u32 off;

	for (off = R_LVTT; off <= R_LVTERR; off += 16)
		reg_set(a, off, reg_get(a, off) | LVT_MASK);
	reg_set(a, R_CMCI, reg_get(a, R_CMCI) | LVT_MASK);
}

static void write_svr(struct x86_vcpu *v, u32 val)
{
	struct lapic *a = v->lapic;
	bool changed = (reg_get(a, R_SVR) ^ val) & SVR_ENABLE;

	reg_set(a, R_SVR, val);
	/*
	 * On each write, not only the one that disables: LINT0 may stand open after reset (a quirk) until Linux does
	 * this.
	 */
	if (!(val & SVR_ENABLE))
		mask_all_lvts(v);
	if (!changed)
		return;
	lapic_update_accepts(a);
	v->recheck_events = true;
}

static void write_lvt(struct x86_vcpu *v, u32 off, u32 val)
{
	struct lapic *a = v->lapic;

	if (!(reg_get(a, R_SVR) & SVR_ENABLE))
		val |= LVT_MASK;
	if (off == R_LVTT)
		lapic_timer_set_lvtt(a, val);
	else
		reg_set(a, off, val);
	if (off == R_LINT0)
		v->recheck_events = true;	/* the PIC may be let through now */
}

static void write_address(struct x86_vcpu *v, u32 off, u32 val)
{
	if (reg_get(v->lapic, off) == val)
		return;
	reg_set(v->lapic, off, val);
	apic_map_changed(vm_of(v));
}

/* val has no bits that the register lacks; off is a writable register. */
static void reg_write(struct x86_vcpu *v, u32 off, u32 val)
{
	struct lapic *a = v->lapic;

	switch (off) {
	case R_TPR:
		lapic_write_tpr(v, val);
		break;
	case R_EOI:
		lapic_eoi(v);
		break;
	case R_ID:
	case R_LDR:
		write_address(v, off, val);
		break;
	case R_DFR:
		write_address(v, off, val | 0x0fffffff);
		break;
	case R_SVR:
		write_svr(v, val);
		break;
	case R_ESR:
		reg_set(a, off, xchg(&a->esr_pending, 0));
		break;
	case R_ICR:
		write_icr(v, val, reg_get(a, R_ICR2));
		break;
	case R_CMCI:
	case R_LVTT ... R_LVTERR:
		write_lvt(v, off, val);
		break;
	case R_TMICT:
		lapic_timer_set_count(a, val);
		break;
	case R_DCR:
		lapic_timer_set_divide(a, val);
		break;
	case R_SELF_IPI:
		lapic_local(v, val);
		break;
	default:
		reg_set(a, off, val);
	}
}

/* The page of the xAPIC */

bool lapic_owns_gpa(struct x86_vcpu *v, gpa_t gpa)
{
	if (!v->lapic || (v->apic_base & (BASE_EN | BASE_EXTD)) != BASE_EN)
		return false;
	return gpa.v >> PAGE_SHIFT == v->apic_base >> PAGE_SHIFT;
}

/* Registers are the first four of every 16 bytes; what is beyond reads as 0 and ignores writes. */
int lapic_mmio_read(struct x86_vcpu *v, u32 offset, int len, void *data)
{
	u32 off = offset & 0xff0, at = offset & 15, val = 0;

	memset(data, 0, len);
	if (offset >= 0x400 || at >= 4)
		return 0;
	if (reg_access(v, off) & PAGE_R)
		val = reg_read(v, off);
	else
		lapic_error(v, ESR_REGISTER);
	val >>= at * 8;
	memcpy(data, &val, min_t(int, len, 4 - at));
	return 0;
}

int lapic_mmio_write(struct x86_vcpu *v, u32 offset, int len, const void *data)
{
	u32 val;

	/* Anything but aligned 32 bits is undefined (SDM 11.4.1). */
	if (len != 4 || (offset & 15) || offset >= 0x400)
		return 0;
	memcpy(&val, data, 4);
	if (likely(offset == R_EOI)) {
		lapic_eoi(v);
		return 0;
	}
	if (reg_access(v, offset) & PAGE_W)
		reg_write(v, offset, val & lapic_reg_bits(v, offset));
	else
		lapic_error(v, ESR_REGISTER);
	return 0;
}

/* The MSRs of the x2APIC: 800H to 8FFH, of which only the first 64 exist. */

bool x2apic_msr_read(struct x86_vcpu *v, u32 msr, u64 *val)
{
	u32 off = (msr - 0x800) << 4;

	if (!v->lapic || !is_x2apic(v) || msr - 0x800 >= ARRAY_SIZE(rows) || !(reg_access(v, off) & MSR_R))
		return false;
	*val = reg_read(v, off);
	if (off == R_ICR)
		*val |= (u64)reg_get(v->lapic, R_ICR2) << 32;
	return true;
}

bool x2apic_msr_write(struct x86_vcpu *v, u32 msr, u64 val)
{
	u32 off = (msr - 0x800) << 4, bits;

	if (unlikely(!v->lapic || !is_x2apic(v) || msr - 0x800 >= ARRAY_SIZE(rows)))
		return false;
	if (off == R_EOI) {
		if (unlikely(val))
			return false;
		lapic_eoi(v);
		return true;
	}
	if (off == R_ICR) {
		if (unlikely(val & ICR_RESERVED))
			return false;
		write_icr(v, val, val >> 32);
		return true;
	}
	bits = lapic_reg_bits(v, off);
	if (!(reg_access(v, off) & MSR_W) || val & ~(u64)(bits | rows[off >> 4 & 63].status))
		return false;
	reg_write(v, off, val & bits);
	return true;
}
