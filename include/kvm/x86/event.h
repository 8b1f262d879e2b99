/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events on their way into the guest. Two places: `pending` is wished for and may still be merged,
 * prioritised or intercepted; `injected` is what the next entry delivers, and what comes back when the
 * delivery was interrupted by an exit (SDM 28.2.4, APM 15.20). event.c decides; vCPU thread only.
 */
#ifndef KVM_X86_EVENT_H
#define KVM_X86_EVENT_H

#include <kvm/types.h>
#include <linux/elf.h>
#undef EV_NONE		/* ELF's, which everything that includes linux/module.h has */

/* As VMX's interruption type and SVM's EVENTINJ type encode them (SDM 25.8.3); NONE is our own. */
enum event_type {
	EV_EXTINT = 0, EV_NMI = 2, EV_EXCEPTION = 3, EV_SOFT_INT = 4, EV_PRIV_SOFT = 5, EV_SOFT_EXC = 6,
	EV_NONE = 7,
};

struct x86_event {
	u8 type;			/* enum event_type */
	u8 vector;
	u8 insn_len;			/* of INT n, INT3, INTO: RIP of the frame is after it */
	bool has_error;
	bool has_payload;		/* CR2 of #PF, DR6 bits of #DB: not yet in the registers */
	u32 error;
	u64 payload;
};

struct x86_events {
	struct x86_event injected;	/* type EV_NONE: nothing */
	struct x86_event pending;	/* an exception, or EV_NONE */
	u8 nmi_pending;			/* 0..2 */
	atomic_t nmi_queued;		/* posted by other threads; REQ_NMI */
	bool smi_pending;
	bool triple_fault;
	bool nmi_injected_this_entry;
	s16 queued_irq;			/* KVM_INTERRUPT, or an acknowledged vector put off: waits for IF; -1: none */
};

/* Queue an exception; a second one merges by the rules of SDM 6.15 table 6-5 (#DF, triple fault). */
enum outcome x86_raise(struct kvm_vcpu *vcpu, u8 vector);
enum outcome x86_raise_error(struct kvm_vcpu *vcpu, u8 vector, u32 error);
enum outcome x86_raise_pf(struct kvm_vcpu *vcpu, u64 cr2, u32 error);
enum outcome x86_raise_db(struct kvm_vcpu *vcpu, u64 dr6_bits);
/* Something that decides what may be delivered changed (IF, TPR, shadow, LAPIC): look again at entry. */
void x86_events_changed(struct kvm_vcpu *vcpu);

#endif
