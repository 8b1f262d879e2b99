/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of irq/ know of a local APIC. Who may touch what: the vCPU thread everything; other threads post
 * into pi, set esr_pending bits and the extint flag, and read `accepts` and single registers (READ_ONCE), which is as
 * good as the guest's own view of them: a moment old.
 */
#ifndef IRQ_LAPIC_PRIV_H
#define IRQ_LAPIC_PRIV_H

#include <kvm/x86/lapic.h>
#include <kvm/x86/vcpu.h>
#include <linux/hrtimer.h>

/* Register offsets (SDM table 11-1); an x2APIC MSR is 800H + offset / 16. */
enum {
	R_ID = 0x20, R_VERSION = 0x30, R_TPR = 0x80, R_APR = 0x90, R_PPR = 0xa0, R_EOI = 0xb0, R_RRD = 0xc0,
	R_LDR = 0xd0, R_DFR = 0xe0, R_SVR = 0xf0, R_ISR = 0x100, R_TMR = 0x180, R_IRR = 0x200, R_ESR = 0x280,
	R_CMCI = 0x2f0, R_ICR = 0x300, R_ICR2 = 0x310, R_LVTT = 0x320, R_THERMAL = 0x330, R_PERF = 0x340,
	R_LINT0 = 0x350, R_LINT1 = 0x360, R_LVTERR = 0x370, R_TMICT = 0x380, R_TMCCT = 0x390, R_DCR = 0x3e0,
	R_SELF_IPI = 0x3f0,
};

#define BASE_BSP	BIT_ULL(8)
#define BASE_EXTD	BIT_ULL(10)
#define BASE_EN		BIT_ULL(11)
#define BASE_DEFAULT	0xfee00000ull

#define SVR_ENABLE	BIT(8)
#define LVT_MASK	BIT(16)
#define LVT_MODE(lvt)	((lvt) >> 8 & 7)
#define LVTT_MODE(lvt)	((lvt) >> 17 & 3)
enum { TIMER_ONESHOT, TIMER_PERIODIC, TIMER_DEADLINE };
enum { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_NMI = 4, MODE_INIT, MODE_SIPI, MODE_EXTINT };
enum { SHORT_NONE, SHORT_SELF, SHORT_ALL, SHORT_OTHERS };
enum { ESR_SEND_VECTOR = 5, ESR_RECEIVE_VECTOR, ESR_REGISTER };
#define MCG_CMCI	BIT_ULL(10)	/* IA32_MCG_CAP: there is an LVT CMCI */

#define PI_ON		0		/* bit of pi_desc.control */

struct apic_timer {
	struct hrtimer hr;
	u64 deadline;		/* guest TSC; 0: none. The callback takes it by compare-and-exchange */
	u64 period;		/* ns, of periodic mode; changed while the hrtimer is idle */
	unsigned int early;	/* how often the deadline's hrtimer came too soon */
};

struct lapic {
	struct pi_desc pi;
	u8 *regs;		/* a page in hardware's layout */
	struct x86_vcpu *v;
	u32 irr_words, isr_words;	/* which words of the page's IRR and ISR are not 0 */
	u8 ppr;
	bool accepts;		/* enabled in the base MSR and the SVR: takes fixed interrupts */
	bool extint;		/* an ExtINT message came: the PIC has the vector */
	unsigned long esr_pending;	/* bits ESR_*, any thread */
	struct apic_timer timer;
};

static inline u32 reg_get(const struct lapic *a, u32 off)
{
	return READ_ONCE(*(const u32 *)(a->regs + off));
}

static inline void reg_set(struct lapic *a, u32 off, u32 val)
{
	WRITE_ONCE(*(u32 *)(a->regs + off), val);
}

static inline bool reg_vector(const struct lapic *a, u32 off, u8 vector)
{
	return reg_get(a, off + (vector >> 5) * 16) >> (vector & 31) & 1;
}

static inline bool is_x2apic(const struct x86_vcpu *v)
{
	return READ_ONCE(v->apic_base) & BASE_EXTD;
}

static inline u32 x2apic_ldr(u32 id)
{
	return id >> 4 << 16 | 1u << (id & 15);
}

/* lapic.c */
void lapic_take_posted(struct lapic *a);
void lapic_recount(struct lapic *a);		/* IRR and ISR words, PPR, accepts: after the page was replaced */
void lapic_write_tpr(struct x86_vcpu *v, u8 tpr);	/* by an intercepted instruction */
void lapic_update_accepts(struct lapic *a);
void lapic_forget_posted(struct lapic *a);
/* Any thread: an interrupt from inside the APIC, or an IPI to itself; an illegal vector is noted in the ESR. */
void lapic_local(struct x86_vcpu *v, u8 vector);
void lapic_error(struct x86_vcpu *v, unsigned int bit);
void lapic_lint0_rose(struct x86_vcpu *v);	/* any thread: the PIC's output */

/* lapic_regs.c */
u32 lapic_version(const struct x86_vcpu *v);
u32 lapic_reg_bits(const struct x86_vcpu *v, u32 off);	/* writable bits */

/* lapic_timer.c: vCPU thread */
void lapic_timer_init(struct lapic *a);
void lapic_timer_stop(struct lapic *a);
void lapic_timer_set_lvtt(struct lapic *a, u32 lvtt);
void lapic_timer_set_count(struct lapic *a, u32 count);
void lapic_timer_set_divide(struct lapic *a, u32 dcr);
u32 lapic_timer_count(const struct lapic *a);
void lapic_timer_restore(struct lapic *a, u32 count);
u64 irq_min_period_ns(void);		/* shortest period of a guest's timer that we follow */

/* deliver.c: any thread */
int lapic_accept(struct x86_vcpu *v, const struct apic_msg *m);

#endif
