// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's machine, but for memory, ports and FPU: segments, control and debug registers, MSRs, counters, and
 * instructions whose effect is the machine's. Values go to the functions that exits of the same
 * instructions use, so there is one place that judges them.
 *
 * vCPU thread, loaded, in kvm->srcu; may sleep.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <kvm/x86/clock.h>
#include <kvm/x86/debug.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/lapic.h>
#include <kvm/x86/mmu.h>
#include <kvm/x86/vcpu.h>
#include "emulation.h"

#define CPUID_7_EBX_INVPCID	BIT(10)
#define CPUID_D_1_EAX_XGETBV1	BIT(2)
#define MISC_CPUID_FAULT	BIT(0)

static void machine_get_seg(struct emu_ctx *ctx, enum emu_segreg n, struct emu_seg *seg)
{
	const struct x86_seg *s = get_seg(emulation_of(ctx)->v, (enum seg_reg)n);

	*seg = (struct emu_seg){ .base = s->base, .limit = s->limit, .attr = s->attr, .sel = s->sel };
}

static void machine_set_seg(struct emu_ctx *ctx, enum emu_segreg n, const struct emu_seg *seg)
{
	struct emulation *e = emulation_of(ctx);

	e->v->state.seg[n] = (struct x86_seg){
		.base = seg->base, .limit = seg->limit, .sel = seg->sel, .attr = seg->attr,
	};
	state_dirty(e->v, G_SEG(n));
	e->changed = true;
}

static void machine_get_dt(struct emu_ctx *ctx, bool idt, struct emu_dt *dt)
{
	struct x86_vcpu *v = emulation_of(ctx)->v;
	const struct x86_dtable *t = idt ? &v->state.idt : &v->state.gdt;

	state_need(v, idt ? G_IDTR : G_GDTR);
	*dt = (struct emu_dt){ .base = t->base, .limit = t->limit };
}

static void machine_set_dt(struct emu_ctx *ctx, bool idt, const struct emu_dt *dt)
{
	struct x86_vcpu *v = emulation_of(ctx)->v;
	struct x86_dtable *t = idt ? &v->state.idt : &v->state.gdt;

	*t = (struct x86_dtable){ .base = dt->base, .limit = dt->limit };
	state_dirty(v, idt ? G_IDTR : G_GDTR);
}

static u64 machine_get_sys(struct emu_ctx *ctx, enum emu_sysreg reg)
{
	struct x86_vcpu *v = emulation_of(ctx)->v;

	switch (reg) {
	case EMU_CR0:
		return get_cr0(v);
	case EMU_CR2:
		return get_cr2(v);
	case EMU_CR3:
		return get_cr3(v);
	case EMU_CR4:
		return get_cr4(v);
	case EMU_CR8:
		return v->lapic ? lapic_get_cr8(v) : v->cr8;
	case EMU_XCR0:
		return v->xcr0;
	case EMU_EFER:
		return get_efer(v);
	case EMU_DR7:	/* general detection counts for whoever's breakpoints are loaded */
		return dr_get(v, 7);
	default:
		if (reg < EMU_DR0 + 4 && v->guest_debug & KVM_GUESTDBG_USE_HW_BP)
			return v->debug_dr[(reg - EMU_DR0) & 3];
		return dr_get(v, (reg - EMU_DR0) & 7);
	}
}

/* What one of the core's functions made of it. A queued exception is not raised again. */
static enum emu_result result_of(struct emulation *e, enum outcome out)
{
	switch (out) {
	case OUT_OK:
		return EMU_DONE;
	case OUT_FAULT:
		e->queued = true;
		return emu_gp0(&e->ctx);
	case OUT_USER:
		e->out = OUT_USER;
		e->ctx.stop = true;
		return EMU_DONE;
	default:
		e->out = out;
		return emu_unhandled(&e->ctx, EMU_WHY_MACHINE);
	}
}

static enum emu_result machine_set_sys(struct emu_ctx *ctx, enum emu_sysreg reg, u64 val)
{
	struct emulation *e = emulation_of(ctx);
	struct x86_vcpu *v = e->v;

	e->changed = true;
	e->code_len = 0;
	switch (reg) {
	case EMU_CR0:
		return result_of(e, guest_set_cr0(v, val));
	case EMU_CR2:
		put_cr2(v, val);
		return EMU_DONE;
	case EMU_CR3:
		return result_of(e, guest_set_cr3(v, val));
	case EMU_CR4:
		return result_of(e, guest_set_cr4(v, val));
	case EMU_CR8:
		return result_of(e, guest_set_cr8(v, val));
	default:
		if (reg < EMU_DR0 || reg > EMU_DR7)
			return emu_unhandled(ctx, EMU_WHY_MACHINE);
		return dr_set(v, reg - EMU_DR0, val) ? EMU_DONE : emu_gp0(ctx);
	}
}

/* RDMSR and WRMSR are the guest's own; other instructions read what the processor keeps in them. */
static bool explicit_msr(const struct emu_ctx *ctx)
{
	return ctx->insn.map == 1 && (ctx->insn.opcode == 0x30 || ctx->insn.opcode == 0x32);
}

/* These may be filtered, and may be user space's. */
static enum emu_result guest_msr(struct emulation *e, bool write)
{
	e->exit = write ? exit_wrmsr : exit_rdmsr;
	return EMU_RETRY;
}

static enum emu_result machine_get_msr(struct emu_ctx *ctx, u32 index, u64 *val)
{
	struct emulation *e = emulation_of(ctx);

	if (explicit_msr(ctx))
		return guest_msr(e, false);
	return msr_read(e->v, index, val, true) == MSR_OK ? EMU_DONE : emu_gp0(ctx);
}

static enum emu_result machine_set_msr(struct emu_ctx *ctx, u32 index, u64 val)
{
	struct emulation *e = emulation_of(ctx);

	e->changed = true;
	if (explicit_msr(ctx))
		return guest_msr(e, true);
	return msr_write(e->v, index, val, true) == MSR_OK ? EMU_DONE : emu_gp0(ctx);
}

static enum emu_result machine_cpuid(struct emu_ctx *ctx, u32 regs[4])
{
	struct x86_vcpu *v = emulation_of(ctx)->v;

	if ((v->misc_features & MISC_CPUID_FAULT) && ctx->cpl)
		return emu_gp0(ctx);
	guest_cpuid(v, &regs[0], &regs[1], &regs[2], &regs[3]);
	return EMU_DONE;
}

static enum emu_result machine_counter(struct emu_ctx *ctx, enum emu_counter which, u32 index, u64 *val)
{
	struct x86_vcpu *v = emulation_of(ctx)->v;

	switch (which) {
	case EMU_CNT_TSC:
		*val = guest_tsc(v, rdtsc());
		return EMU_DONE;
	case EMU_CNT_TSC_AUX:
		*val = v->tsc_aux;
		return EMU_DONE;
	default:
		return emu_gp0(ctx);	/* no counters are offered */
	}
}

static enum emu_result invpcid(struct emulation *e, u64 type, u64 la)
{
	struct x86_vcpu *v = e->v;
	enum emu_result res;
	u64 desc[2] = {};

	if (!(v->cap.f7_ebx & CPUID_7_EBX_INVPCID))
		return emu_ud(&e->ctx);
	res = emulation_mem(&e->ctx, la, desc, sizeof(desc), 0);
	if (res)
		return res;
	if (type > 3 || (type < 2 && (desc[0] >> 12)) || (type < 2 && desc[0] && !(get_cr4(v) & X86_CR4_PCIDE)))
		return emu_gp0(&e->ctx);
	if (type == 0) {
		if (desc[1] != (u64)sign_extend64(desc[1], v->cap.linear_bits - 1))
			return emu_gp0(&e->ctx);
		mmu_invlpg(v, desc[1]);
	} else {
		vendor_call(flush)(v, FLUSH_GUEST, 0);
	}
	return EMU_DONE;
}

static enum emu_result xgetbv_for(struct emulation *e, u32 index)
{
	struct emu_ctx *ctx = &e->ctx;
	u64 val = e->v->xcr0;

	/* Index 1: components that may be in use; all of them may. */
	if (index > 1 || (index == 1 && !(e->v->cap.fd_1_eax & CPUID_D_1_EAX_XGETBV1)))
		return emu_gp0(ctx);
	ctx->regs[EMU_RAX] = (u32)val;
	ctx->regs[EMU_RDX] = val >> 32;
	return EMU_DONE;
}

static enum emu_result machine_action(struct emu_ctx *ctx, enum emu_action what, u64 a, u64 b)
{
	struct emulation *e = emulation_of(ctx);
	struct x86_vcpu *v = e->v;

	switch (what) {
	case EMU_ACT_HLT:
		e->halt = true;
		ctx->stop = true;
		return EMU_DONE;
	case EMU_ACT_INVLPG:
		e->code_len = 0;
		mmu_invlpg(v, a);
		return EMU_DONE;
	case EMU_ACT_INVPCID:
		e->code_len = 0;
		return invpcid(e, a, b);
	case EMU_ACT_INVD:
	case EMU_ACT_WBINVD:
	case EMU_ACT_CLFLUSH:
	case EMU_ACT_PAUSE:
	case EMU_ACT_MONITOR:
	case EMU_ACT_MWAIT:
		return EMU_DONE;
	case EMU_ACT_VMCALL:
	case EMU_ACT_VMMCALL:
		/* The other vendor's is taken for this one's until user space wants it invalid. */
		if ((what == EMU_ACT_VMCALL) == vendor_ops.amd &&
		    !vm_quirk(vm_of(v), KVM_X86_QUIRK_FIX_HYPERCALL_INSN))
			return emu_ud(ctx);
		e->exit = exit_hypercall;
		return EMU_RETRY;
	case EMU_ACT_XGETBV:
		return xgetbv_for(e, a);
	case EMU_ACT_XSETBV:
		return result_of(e, guest_set_xcr(v, a, b));
	case EMU_ACT_NMI_UNBLOCK:
		state_need(v, G_SHADOW);
		if (v->state.nmi_masked) {
			v->state.nmi_masked = false;
			state_dirty(v, G_SHADOW);
			x86_events_changed(&v->vcpu);
		}
		return EMU_DONE;
	default:	/* virtualisation instructions, RSM: as on a processor without them */
		return emu_ud(ctx);
	}
}

static enum emu_result machine_intercept(struct emu_ctx *ctx, const struct emu_insn *insn)
{
	return EMU_DONE;
}

const struct emu_ops kvm_emu_ops = {
	.fetch = emulation_fetch,
	.mem = emulation_mem,
	.cmpxchg = emulation_cmpxchg,
	.get_seg = machine_get_seg,
	.set_seg = machine_set_seg,
	.get_dt = machine_get_dt,
	.set_dt = machine_set_dt,
	.get_sys = machine_get_sys,
	.set_sys = machine_set_sys,
	.get_msr = machine_get_msr,
	.set_msr = machine_set_msr,
	.pio = emulation_pio,
	.cpuid = machine_cpuid,
	.counter = machine_counter,
	.fpu = emulation_fpu,
	.action = machine_action,
	.intercept = machine_intercept,
};
