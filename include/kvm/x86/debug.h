/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Debug registers and KVM_SET_GUEST_DEBUG (debug.c). The guest's DR0-3 live in state.dr[] and go into the
 * registers only when DR7 (the guest's or user space's) has a breakpoint enabled, or the guest touches them.
 */
#ifndef KVM_X86_DEBUG_H
#define KVM_X86_DEBUG_H

#include <kvm/x86/vcpu.h>
#include <linux/kvm.h>
#include <asm/debugreg.h>

#define DR7_ENABLES	0xffull		/* breakpoints, local and global */

u64 dr_get(struct x86_vcpu *v, unsigned int nr);		/* nr 0..3, 6, 7 (4, 5 resolved by the caller) */
bool dr_set(struct x86_vcpu *v, unsigned int nr, u64 val);		/* false: #GP */
void debug_to_guest(struct x86_vcpu *v);
void debug_to_host(struct x86_vcpu *v);
void debug_intercepts(struct x86_vcpu *v);	/* recomputes exception_bitmap, ICPT_DR, effective_dr7 */
/*
 * An instruction was finished by software, with TF in the flags before it: the single-step trap that hardware would
 * have taken, for user space or for the guest. OUT_OK: none due.
 */
enum outcome debug_step(struct x86_vcpu *v, bool tf);
/* KVM_EXIT_DEBUG for #DB (dr6: its bits) or #BP; RIP is what user space is told. OUT_USER. */
enum outcome debug_to_user(struct x86_vcpu *v, u8 vector, u64 dr6);
enum outcome exit_dr(struct x86_vcpu *v);		/* EXIT_DR */
/* #DB goes into the guest: what its delivery does to DR6 and DR7. */
void debug_delivered(struct x86_vcpu *v, u64 dr6_bits);

/* IRQs off, before entry: breakpoints go into the registers where somebody has any. */
static __always_inline void debug_enter(struct x86_vcpu *v)
{
	if (unlikely((v->guest_debug & KVM_GUESTDBG_SINGLESTEP) || v->dr_switched || (v->effective_dr7 & DR7_ENABLES)))
		debug_to_guest(v);
}

/* IRQs off, after exit: DR0-3 and DR6 come back, the host's own breakpoints are on again. */
static __always_inline void debug_exit(struct x86_vcpu *v)
{
	if (unlikely((v->guest_debug & KVM_GUESTDBG_SINGLESTEP) || v->dr_switched || hw_breakpoint_active()))
		debug_to_host(v);
}

#endif
