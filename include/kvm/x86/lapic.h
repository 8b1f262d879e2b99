/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC and the one interrupt path: any thread posts an interrupt by setting a bit in the
 * target's posted-interrupt descriptor and kicking it; the vCPU thread alone touches IRR, ISR, TPR.
 */
#ifndef KVM_X86_LAPIC_H
#define KVM_X86_LAPIC_H

#include <kvm/types.h>
#include <linux/kvm.h>

struct x86_vm;
struct x86_vcpu;
struct lapic;

/* SDM 30.6: posted-interrupt descriptor; pir and on are hardware's where it posts. 64-byte aligned. */
struct pi_desc {
	unsigned long pir[4];
	u64 control;			/* bit 0 ON, bit 1 SN, 23:16 NV, 63:32 NDST */
	u64 reserved[3];
	/* Ours, beside hardware's part: which posted vectors are level-triggered. Set before the PIR bit. */
	unsigned long level[4];
} __aligned(64);

/* An interrupt message (SDM 11.11, 11.6.1). dest is the full destination ID. */
struct apic_msg {
	u32 dest;
	u8 vector;
	u8 mode;			/* delivery: 0 fixed 1 lowest 2 SMI 4 NMI 5 INIT 6 SIPI 7 ExtINT */
	bool logical;
	bool level;			/* trigger mode */
	bool assert;
	u8 shorthand;			/* 0 none 1 self 2 all 3 all but self */
};

int lapic_create(struct x86_vcpu *v);		/* on vCPU creation when the VM has in-kernel LAPICs */
void lapic_free(struct x86_vcpu *v);
void lapic_reset(struct x86_vcpu *v, bool init);
/* Delivers; source may be NULL. Any context. > 0: accepted by that many, 0: coalesced, -1: no target. */
int apic_deliver(struct x86_vm *vm, struct x86_vcpu *source, const struct apic_msg *m);
/* Posts one vector to one vCPU and kicks it. Any context. true if it was not already pending. */
bool lapic_post(struct x86_vcpu *v, u8 vector, bool level);
/* A LAPIC was enabled, moved, renamed, changed mode: delivery tables are rebuilt on next use. */
void apic_map_changed(struct x86_vm *vm);

/* vCPU thread: what it can take now, or -1 (moves PIR to IRR first); from PIC ExtINT too. */
int lapic_pending(struct x86_vcpu *v);		/* highest IRR vector above PPR, or -1 */
bool vcpu_has_irq(struct x86_vcpu *v);		/* LAPIC or PIC has something to deliver, IF aside */
int vcpu_ack_irq(struct x86_vcpu *v);		/* takes it: IRR to ISR (or PIC INTA); the vector or -1 */
/* Other threads and the block path: could it be woken by an interrupt? Reads only. */
bool lapic_maybe_pending(struct x86_vcpu *v);

/* vCPU thread: registers. */
int lapic_mmio_read(struct x86_vcpu *v, u32 offset, int len, void *data);
int lapic_mmio_write(struct x86_vcpu *v, u32 offset, int len, const void *data);
bool lapic_owns_gpa(struct x86_vcpu *v, gpa_t gpa);	/* the enabled xAPIC page holds it */
bool x2apic_msr_read(struct x86_vcpu *v, u32 msr, u64 *val);	/* false: #GP */
bool x2apic_msr_write(struct x86_vcpu *v, u32 msr, u64 val);
void lapic_eoi(struct x86_vcpu *v);			/* the EOI register, also by a virtualised write */
bool lapic_eoi_unheard(struct x86_vcpu *v);		/* PV EOI: the EOI due next may go untold */
u64 lapic_get_base(struct x86_vcpu *v);			/* MSR 1BH */
bool lapic_set_base(struct x86_vcpu *v, u64 val, bool host);	/* false: #GP */
u64 lapic_get_deadline(struct x86_vcpu *v);		/* MSR 6E0H */
void lapic_set_deadline(struct x86_vcpu *v, u64 tsc);
u8 lapic_get_cr8(struct x86_vcpu *v);
void lapic_set_cr8(struct x86_vcpu *v, u8 cr8);
void lapic_set_tpr(struct x86_vcpu *v, u8 tpr);
void lapic_sync_tpr(struct x86_vcpu *v);	/* tells the vendor TPR and highest pending (tpr operation) */
void lapic_tsc_changed(struct x86_vcpu *v);	/* guest TSC jumped: rearm the deadline timer */
bool lapic_enabled(struct x86_vcpu *v);			/* globally and by the spurious-vector register */
void lapic_migrate_timer(struct x86_vcpu *v);		/* the vCPU moved to another CPU */
void lapic_timer_work(struct x86_vcpu *v);		/* REQ_TIMER: a timer fired while it could not post */
/* INIT and SIPI that arrived by message: bits until the vCPU thread commits them (vcpu.c). */
enum { APIC_EVENT_INIT, APIC_EVENT_SIPI };
long lapic_get_state(struct x86_vcpu *v, struct kvm_lapic_state *s);
long lapic_set_state(struct x86_vcpu *v, const struct kvm_lapic_state *s);
/* LINT0 as the PIC's ExtINT line, NMI by LINT1. */
bool lapic_accepts_pic(struct x86_vcpu *v);
void lapic_local_nmi(struct x86_vcpu *v);		/* KVM_NMI, PIT watchdog: through LVT LINT1 */

#endif
