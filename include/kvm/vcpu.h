/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual CPU, as far as it has no architecture in it: an ordinary thread runs it under
 * vcpu->mutex; others reach it by requests and kicks only (Documentation/requests.md).
 */
#ifndef KVM_VCPU_H
#define KVM_VCPU_H

#include <kvm/types.h>
#include <linux/kvm.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <linux/signal_types.h>

/* vcpu->mode: who changes it is the vCPU thread, but for IN_GUEST -> EXITING, which kickers do. */
enum vcpu_mode { VCPU_OUTSIDE, VCPU_IN_GUEST, VCPU_EXITING };

/* Requests: bits of vcpu->requests. WAIT in the name's flag: the requester waits for guest mode to end. */
enum {
	REQ_TLB_FLUSH,		/* translations of the whole guest are stale (wait) */
	REQ_RELOAD_ROOT,	/* the root page table was freed (wait) */
	REQ_DEAD,		/* the VM is dead (wait) */
	REQ_DIRTY_LOG,		/* leave the guest: what hardware logged is wanted in the bitmaps (wait) */
	REQ_UNBLOCK,		/* stop halting, look again */
	REQ_ARCH,		/* first of the architecture's own */
};
#define REQ_WAITS	(BIT(REQ_TLB_FLUSH) | BIT(REQ_RELOAD_ROOT) | BIT(REQ_DIRTY_LOG) | BIT(REQ_DEAD))

struct vcpu_stats {
	u64 exits, io_exits, mmio_exits, signal_exits, irq_window_exits, nmi_window_exits;
	u64 halt_exits, irq_exits, host_state_reload, fpu_reload, insn_emulation, insn_emulation_fail;
	u64 hypercalls, irq_injections, nmi_injections, req_event, nested_run, directed_yield_attempted,
	    directed_yield_successful, preemption_reported, preemption_other, guest_mode,
	    notify_window_exits, l1d_flush, request_irq_exits;
	u64 pf_taken, pf_fixed, pf_emulate, pf_spurious, pf_fast, pf_mmio_spte_created, pf_guest,
	    tlb_flush, invlpg;
	u64 halt_successful_poll, halt_attempted_poll, halt_poll_invalid, halt_wakeup,
	    halt_poll_success_ns, halt_poll_fail_ns, halt_wait_ns, blocking;
};

struct kvm_vcpu {
	struct kvm *kvm;
	u32 id;				/* given by the VMM; the initial APIC ID on x86 */
	u32 idx;			/* place in kvm->vcpu[] */
	int cpu;			/* loaded here; -1: nowhere */
	int mode;			/* enum vcpu_mode */
	int as;				/* address space: 1 in SMM; the architecture writes it, vCPU thread */
	unsigned long requests;		/* atomic bits REQ_* */
	int error;			/* -errno of the last OUT_ERROR */
	bool preempted;			/* scheduled out while it wanted to run */
	bool ready;			/* woken, not yet run again */
	bool sigset_active;
	int srcu_idx;			/* kvm->srcu, held while KVM_RUN runs outside a block */
	struct kvm_run *run;		/* page 0 of the mapping; user space writes it at any time */
	struct page *pio_page;		/* page 1 */
	void *pio_data;
	struct mutex mutex;		/* one thread at a time runs or reads it */
	struct pid __rcu *pid;		/* the thread that ran it last */
	struct rcuwait wait;
	struct preempt_notifier preempt_notifier;
	struct memslot *last_slot[2];	/* and the generation it belongs to; vCPU thread */
	u64 last_slot_gen;
	unsigned int halt_poll_ns;
	sigset_t sigset;
	struct vcpu_stats stat;
	char stats_id[48];
};

/* vCPU thread (vcpu->mutex): bind to and release from the CPU. */
void vcpu_load(struct kvm_vcpu *vcpu);
void vcpu_put(struct kvm_vcpu *vcpu);

static inline void vcpu_request(struct kvm_vcpu *vcpu, unsigned int req)
{
	smp_wmb();	/* what the request is about is seen by whom sees the bit */
	set_bit(req, &vcpu->requests);
}

static inline bool vcpu_has_request(const struct kvm_vcpu *vcpu)
{
	return READ_ONCE(vcpu->requests);
}

/* vCPU thread: takes the request if there; what was written before it is visible after. */
static inline bool vcpu_take_request(struct kvm_vcpu *vcpu, unsigned int req)
{
	if (!test_bit(req, &vcpu->requests))
		return false;
	clear_bit(req, &vcpu->requests);
	smp_mb__after_atomic();
	return true;
}

/* Makes the vCPU look at its requests soon: wakes it if it halts, interrupts it if it is in the guest. */
void vcpu_kick(struct kvm_vcpu *vcpu);
/* Wakes it if it blocks; true if it did. Any context. */
bool vcpu_wake(struct kvm_vcpu *vcpu);
/*
 * vCPU thread, loaded, in kvm->srcu (left and taken again inside): sleeps until arch_vcpu_runnable(),
 * a signal or a request; polls for up to halt_poll_ns first when poll is set.
 */
void vcpu_block(struct kvm_vcpu *vcpu, bool poll);
/* PAUSE exits: give the CPU to another vCPU of the VM that can use it. */
void vcpu_yield_to_other(struct kvm_vcpu *vcpu, bool kernel_only);
bool vcpu_yield_to(struct kvm_vcpu *target);

/* vCPU that this CPU runs now, or NULL; preemption off. */
struct kvm_vcpu *kvm_running_vcpu(void);

static inline struct kvm_run *vcpu_exit_to_user(struct kvm_vcpu *vcpu, u32 reason)
{
	vcpu->run->exit_reason = reason;
	return vcpu->run;
}

static inline enum outcome vcpu_fail(struct kvm_vcpu *vcpu, int err)
{
	vcpu->error = err;
	return OUT_ERROR;
}

#endif
