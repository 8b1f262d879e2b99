// SPDX-License-Identifier: GPL-2.0-only
/*
 * Debug registers, the guest's and user space's (KVM_SET_GUEST_DEBUG).
 *
 * Outside of the guest state.dr[], dr6 and dr7 are the guest's registers; whatever the register cache's valid bits
 * say, nobody fetches them. While MOV DR is intercepted, which is the rule, that is so inside too. A guest that touches
 * a debug register gets them for one entry: exit_dr() lifts the intercept, debug_enter() loads all of them,
 * and debug_exit() takes back what the guest made of them. So a guest that switches breakpoints pays one exit a
 * switch, and one that never does pays nothing.
 *
 * The addresses are loaded as well when DR7 enables a breakpoint, the guest's or user space's; effective_dr7 is the
 * one that runs. #DB always exits, because a breakpoint on its own delivery would keep the CPU busy for ever.
 *
 * User space's single step sets TF for the time in the guest only, so that nobody else ever sees it.
 *
 * vCPU thread, loaded; debug_enter() and debug_exit() with IRQs off.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/kvm.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <asm/processor.h>
#include <asm/debugreg.h>
#include <asm/trapnr.h>
#include <kvm/x86/debug.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/vcpu.h>

#define DR6_ONES		0xffff0ff0ull	/* read as 1 with no event */
#define DR6_BREAKPOINTS		0x0000000full
#define DR6_BLD			BIT_ULL(11)	/* low-active, as RTM */
#define DR6_RTM_BIT		BIT_ULL(16)
#define DR6_EVENTS		(DR6_BREAKPOINTS | DR_STEP | DR6_BD_BIT | DR6_BT_BIT)
#define DR6_BD_BIT		BIT_ULL(13)
#define DR6_BT_BIT		BIT_ULL(15)
#define DR7_ONES		0x00000400ull
#define DR7_WRITABLE		0xffff23ffull
#define DR7_RTM_BIT		BIT_ULL(11)
#define DR7_GD_BIT		BIT_ULL(13)

#define CPUID_7_EBX_RTM		BIT(11)

#define GUESTDBG_INJECT		(KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)
#define GUESTDBG_KNOWN		(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP | \
				 KVM_GUESTDBG_USE_HW_BP | GUESTDBG_INJECT | KVM_GUESTDBG_BLOCKIRQ)

/* Always: #UD may be an instruction of ours; #DB and #AC can loop in their own delivery; #MC is the host's. */
#define ALWAYS_EXIT		(BIT(X86_TRAP_UD) | BIT(X86_TRAP_DB) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_MC))

static bool guest_has_rtm(const struct x86_vcpu *v)
{
	return v->cap.f7_ebx & CPUID_7_EBX_RTM;
}

static u64 dr6_value(const struct x86_vcpu *v, u64 val)
{
	u64 writable = DR6_EVENTS;

	if (guest_has_rtm(v))
		writable |= DR6_RTM_BIT;
	return (val & writable) | (DR6_ONES & ~writable);
}

static u64 dr7_value(const struct x86_vcpu *v, u64 val)
{
	u64 writable = DR7_WRITABLE;

	if (guest_has_rtm(v))
		writable |= DR7_RTM_BIT;
	return (val & writable) | DR7_ONES;
}

static void update_effective(struct x86_vcpu *v)
{
	v->effective_dr7 = v->guest_debug & KVM_GUESTDBG_USE_HW_BP ? v->debug_dr7 : v->state.dr7;
	state_dirty(v, G_DR7);
}

u64 dr_get(struct x86_vcpu *v, unsigned int nr)
{
	switch (nr) {
	case 0 ... 3:
		return v->state.dr[nr];
	case 6:
		return v->state.dr6;
	default:
		return v->state.dr7;
	}
}

bool dr_set(struct x86_vcpu *v, unsigned int nr, u64 val)
{
	switch (nr) {
	case 0 ... 3:
		v->state.dr[nr] = val;
		return true;
	case 6:
		if (val >> 32)
			return false;
		v->state.dr6 = dr6_value(v, val);
		state_dirty(v, G_DR6);
		return true;
	default:
		if (val >> 32)
			return false;
		v->state.dr7 = dr7_value(v, val);
		update_effective(v);
		return true;
	}
}

void debug_delivered(struct x86_vcpu *v, u64 bits)
{
	u64 low_active = bits & (DR6_RTM_BIT | DR6_BLD);

	/* Breakpoint bits are the last event's; BS, BT and BD stay until software clears them. */
	v->state.dr6 = ((v->state.dr6 & ~DR6_BREAKPOINTS) | DR6_ONES | (bits & DR6_EVENTS)) & ~low_active;
	state_dirty(v, G_DR6);
	if (v->state.dr7 & DR7_GD_BIT) {
		v->state.dr7 &= ~DR7_GD_BIT;
		update_effective(v);
	}
}

void debug_intercepts(struct x86_vcpu *v)
{
	v->exception_bitmap = ALWAYS_EXIT;
	if (v->guest_debug & KVM_GUESTDBG_USE_SW_BP)
		v->exception_bitmap |= BIT(X86_TRAP_BP);
	v->intercepts |= ICPT_DR;
	v->dr_switched = false;
	update_effective(v);
	vendor_call(intercepts)(v);
}

static void load_breakpoints(const u64 *dr)
{
	set_debugreg(dr[0], 0);
	set_debugreg(dr[1], 1);
	set_debugreg(dr[2], 2);
	set_debugreg(dr[3], 3);
}

static void step_begin(struct x86_vcpu *v)
{
	u64 flags = get_rflags(v);

	v->step_tf = flags & X86_EFLAGS_TF;
	put_rflags(v, flags | X86_EFLAGS_TF);
	/* TF set behind the guest's back inside an interrupt shadow is no state that entry takes. */
	state_need(v, G_SHADOW);
	if (v->state.intr_shadow) {
		v->state.intr_shadow = 0;
		state_dirty(v, G_SHADOW);
	}
}

void debug_to_guest(struct x86_vcpu *v)
{
	if (unlikely(v->guest_debug & KVM_GUESTDBG_SINGLESTEP))
		step_begin(v);
	if (unlikely(v->dr_switched)) {
		load_breakpoints(v->state.dr);
		set_debugreg(v->state.dr6, 6);
	} else if (unlikely(v->effective_dr7 & DR7_ENABLES)) {
		load_breakpoints(v->guest_debug & KVM_GUESTDBG_USE_HW_BP ? v->debug_dr : v->state.dr);
	}
}

/* The entry with the guest's own MOV DR is over: the registers are ours again, and intercepted. */
static void take_back(struct x86_vcpu *v)
{
	unsigned long val;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		switch (i) {
		case 0: get_debugreg(val, 0); break;
		case 1: get_debugreg(val, 1); break;
		case 2: get_debugreg(val, 2); break;
		default: get_debugreg(val, 3); break;
		}
		v->state.dr[i] = val;
	}
	/* SVM keeps DR6 and DR7 in its control block, VMX only DR7. */
	if (vendor_ops.amd) {
		vendor_call(fetch)(v, G_DR6 | G_DR7);
	} else {
		get_debugreg(val, 6);
		v->state.dr6 = val;
		vendor_call(fetch)(v, G_DR7);
	}
	set_debugreg(DR6_RESERVED, 6);
	v->dr_switched = false;
	v->effective_dr7 = v->state.dr7;
	v->intercepts |= ICPT_DR;
	vendor_call(intercepts)(v);
}

void debug_to_host(struct x86_vcpu *v)
{
	if (unlikely(v->dr_switched))
		take_back(v);
	/* An exit leaves DR7 cleared. */
	if (unlikely(hw_breakpoint_active()))
		hw_breakpoint_restore();
	if (unlikely(v->guest_debug & KVM_GUESTDBG_SINGLESTEP) && !v->step_tf)
		put_rflags(v, get_rflags(v) & ~(u64)X86_EFLAGS_TF);
}

enum outcome debug_to_user(struct x86_vcpu *v, u8 vector, u64 dr6)
{
	struct kvm_run *run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_DEBUG);
	struct kvm_debug_exit_arch *d = &run->debug.arch;
	u64 pc = get_rip(v);

	if (!guest_64bit(v))
		pc = (u32)(pc + get_seg(v, SEG_CS)->base);
	*d = (struct kvm_debug_exit_arch){
		.exception = vector, .pc = pc, .dr7 = v->effective_dr7,
		.dr6 = vector == X86_TRAP_DB ? dr6 | DR6_ONES : 0,
	};
	/* Where hardware updated its copy before the exit, the guest must not see that. */
	state_dirty(v, G_DR6);
	return OUT_USER;
}

enum outcome debug_step(struct x86_vcpu *v, bool tf)
{
	if (unlikely(v->guest_debug & KVM_GUESTDBG_SINGLESTEP))
		return debug_to_user(v, X86_TRAP_DB, DR_STEP);
	if (unlikely(tf))
		return x86_raise_db(&v->vcpu, DR_STEP);
	return OUT_OK;
}

/* The guest gets its registers for the next entry, unless user space holds them or watches every instruction. */
static bool hand_over(struct x86_vcpu *v)
{
	if (v->guest_debug & (KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_SINGLESTEP))
		return false;
	if (v->state.dr7 & DR7_GD_BIT)
		return false;
	v->dr_switched = true;
	v->intercepts &= ~ICPT_DR;
	vendor_call(intercepts)(v);
	return true;
}

static enum outcome move_dr(struct x86_vcpu *v, unsigned int nr)
{
	unsigned int gpr = v->exit.cr.gpr & 15;
	bool wide = guest_64bit(v);
	u64 val;

	if (!v->exit.cr.write) {
		val = dr_get(v, nr);
		gpr_set(v, gpr, wide ? val : (u32)val);
		return OUT_OK;
	}
	val = gpr_get(v, gpr);
	if (!dr_set(v, nr, wide ? val : (u32)val))
		return x86_raise_error(&v->vcpu, X86_TRAP_GP, 0);
	return OUT_OK;
}

enum outcome exit_dr(struct x86_vcpu *v)
{
	unsigned int nr = v->exit.cr.nr & 7;
	enum outcome out;

	/* Runs again, and on hardware. A write of DR7 does not: it may be what sets GD, which is to be seen here. */
	if (!(v->exit.cr.write && (nr == 5 || nr == 7)) && hand_over(v))
		return OUT_OK;
	if (get_cpl(v))
		return x86_raise_error(&v->vcpu, X86_TRAP_GP, 0);
	if (nr == 4 || nr == 5) {
		if (get_cr4(v) & X86_CR4_DE)
			return x86_raise(&v->vcpu, X86_TRAP_UD);
		nr += 2;
	}
	/* The intercept comes before general detection would, so that is done here. */
	if (v->effective_dr7 & DR7_GD_BIT) {
		if (v->guest_debug & KVM_GUESTDBG_USE_HW_BP)
			return debug_to_user(v, X86_TRAP_DB, DR6_BD_BIT);
		return x86_raise_db(&v->vcpu, DR6_BD_BIT);
	}
	if (!v->exit.cr.gpr_known) {
		out = emulate_insn(v, 0, GPA_NONE);
	} else {
		out = move_dr(v, nr);
		if (out == OUT_OK)
			out = skip_insn(v);
	}
	if (out == OUT_OK)
		hand_over(v);
	return out;
}

long vcpu_get_debugregs(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	struct kvm_debugregs *r = c->arg;

	memset(r, 0, sizeof(*r));
	memcpy(r->db, v->state.dr, sizeof(r->db));
	r->dr6 = v->state.dr6;
	r->dr7 = v->state.dr7;
	return 0;
}

long vcpu_set_debugregs(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	const struct kvm_debugregs *r = c->arg;

	if (r->flags || r->dr6 >> 32 || r->dr7 >> 32)
		return -EINVAL;
	memcpy(v->state.dr, r->db, sizeof(r->db));
	dr_set(v, 6, r->dr6);
	dr_set(v, 7, r->dr7);
	return 0;
}

long vcpu_set_guest_debug(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	const struct kvm_guest_debug *d = c->arg;
	u32 control = d->control;

	if (control & ~GUESTDBG_KNOWN)
		return -EINVAL;
	if (control & GUESTDBG_INJECT) {
		if (v->ev.pending.type != EV_NONE)
			return -EBUSY;
		x86_raise(c->vcpu, control & KVM_GUESTDBG_INJECT_DB ? X86_TRAP_DB : X86_TRAP_BP);
	}
	v->guest_debug = control & KVM_GUESTDBG_ENABLE ? control & ~GUESTDBG_INJECT : 0;
	memset(v->debug_dr, 0, sizeof(v->debug_dr));
	v->debug_dr7 = DR7_ONES;
	if (v->guest_debug & KVM_GUESTDBG_USE_HW_BP) {
		memcpy(v->debug_dr, d->arch.debugreg, sizeof(v->debug_dr));
		v->debug_dr7 = dr7_value(v, d->arch.debugreg[7]);
	}
	debug_intercepts(v);
	x86_events_changed(c->vcpu);	/* BLOCKIRQ may have come or gone */
	return 0;
}
