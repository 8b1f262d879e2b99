// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the emulator library (emulate/) meets a vCPU: loading its context from the register cache, running an
 * instruction, and what follows from the result: exceptions, single steps, exits to user space, failure.
 *
 * Two ways to be here. An exit needs one instruction done: a device access, string port I/O, an intercept whose operand
 * hardware does not decode. Or the vCPU is in a state that hardware does not run (real mode without unrestricted
 * guest, and what lies between the modes): then instructions are interpreted one after the other, a bounded number an
 * exit, with the context kept loaded.
 *
 * An instruction that waits for user space stays in the context (ctx.insn) and is run again from there, never fetched a
 * second time. vCPU thread, loaded, in kvm->srcu; may sleep.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <kvm/guest_mem.h>
#include <kvm/x86/debug.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/io.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/mmu.h>
#include <kvm/x86/vcpu.h>
#include "emulation.h"

/* UD2 and the letters kvm: the guest asks for emulation of what follows. Bit 1: it also clears RF. */
static const u8 force_prefix[5] = { 0x0f, 0x0b, 'k', 'v', 'm' };
static int force_emulation_prefix;
module_param(force_emulation_prefix, int, 0644);

int emulate_vcpu_init(struct x86_vcpu *v)
{
	struct emulation *e = kzalloc(sizeof(*e), GFP_KERNEL_ACCOUNT);

	v->scratch = (u8 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!e || !v->scratch) {
		kfree(e);
		free_page((unsigned long)v->scratch);
		v->scratch = NULL;
		return -ENOMEM;
	}
	e->v = v;
	e->ctx.ops = &kvm_emu_ops;
	v->emu = e;
	return 0;
}

void emulate_vcpu_free(struct x86_vcpu *v)
{
	kfree(v->emu);
	v->emu = NULL;
	free_page((unsigned long)v->scratch);
	v->scratch = NULL;
}

enum emu_mode emulate_mode(struct x86_vcpu *v)
{
	u32 cs;

	state_need(v, G_CR0 | G_EFER | G_RFLAGS | G_SEG(SEG_CS));
	cs = v->state.seg[SEG_CS].attr;
	if (!(v->state.cr0 & X86_CR0_PE))
		return cs & SEG_DB ? EMU_REAL32 : EMU_REAL16;
	if (v->state.rflags & X86_EFLAGS_VM)
		return EMU_VM86;
	if ((cs & SEG_L) && guest_long_mode(v))
		return EMU_LONG64;
	return cs & SEG_DB ? EMU_PROT32 : EMU_PROT16;
}

/* The context from the register cache. Segments follow when they are used. */
static void load_context(struct emulation *e)
{
	struct emu_ctx *ctx = &e->ctx;
	struct x86_vcpu *v = e->v;

	state_need(v, G_RIP | G_RSP | G_RFLAGS | G_CR0 | G_EFER | G_CPL | G_SEG(SEG_CS));
	memcpy(ctx->regs, v->state.gpr, sizeof(ctx->regs));
	ctx->rip = v->state.rip;
	ctx->rflags = v->state.rflags;
	ctx->cpl = v->state.cpl;
	ctx->mode = emulate_mode(v);
	ctx->lma = guest_long_mode(v);
	ctx->amd = v->cap.amd;
	ctx->la57 = v->cap.linear_bits > 48;
	ctx->dr7 = v->effective_dr7 & 0xff ? v->effective_dr7 : 0;
	ctx->shadow = EMU_SHADOW_NONE;
	if (ctx->dr7) {
		state_need(v, G_SHADOW);
		if (v->state.intr_shadow & SHADOW_MOV_SS)
			ctx->shadow = EMU_SHADOW_MOVSS;
	}
	ctx->seg_valid = 0;
	e->out = OUT_OK;
	e->queued = false;
	e->halt = false;
	e->exit = NULL;
	e->pio_out = false;
	e->pos = 0;
}

static void new_instruction(struct emulation *e)
{
	e->hint = false;
	e->nr_writes = 0;
	e->at_write = 0;
	e->at_byte = 0;
	e->write_bytes = 0;
	e->db_bits = 0;
	e->step = 0;
	e->code_len = 0;
	e->keep_code = false;
	e->v->io.pio.valid = false;
	emulation_reads_reset(e);
}

static void store_context(struct emulation *e)
{
	const struct emu_ctx *ctx = &e->ctx;
	struct x86_vcpu *v = e->v;
	u64 old = v->state.rflags;

	if (ctx->regs[EMU_RSP] != v->state.gpr[RSP])
		state_dirty(v, G_RSP);
	memcpy(v->state.gpr, ctx->regs, sizeof(ctx->regs));
	if (ctx->rip != v->state.rip)
		put_rip(v, ctx->rip);
	if (ctx->rflags != old) {
		put_rflags(v, ctx->rflags);
		if (ctx->rflags & ~old & X86_EFLAGS_IF)
			x86_events_changed(&v->vcpu);
	}
	v->state.cpl = ctx->cpl;
}

/* The interrupt shadow that the finished instruction leaves. */
static void set_shadow(struct emulation *e)
{
	static const u8 of[] = { [EMU_SHADOW_STI] = SHADOW_STI, [EMU_SHADOW_MOVSS] = SHADOW_MOV_SS };
	u8 shadow = of[e->ctx.shadow];
	struct x86_vcpu *v = e->v;

	state_need(v, G_SHADOW);
	if (v->state.intr_shadow == shadow)
		return;
	v->state.intr_shadow = shadow;
	state_dirty(v, G_SHADOW);
	x86_events_changed(&v->vcpu);
}

static enum outcome raise(struct emulation *e)
{
	const struct emu_fault *f = &e->ctx.fault;
	struct x86_vcpu *v = e->v;

	if (e->queued)
		return OUT_FAULT;
	if (f->vector == X86_TRAP_PF)
		return x86_raise_pf(&v->vcpu, f->payload, f->error);
	if (f->vector == X86_TRAP_DB) {
		if (v->guest_debug & KVM_GUESTDBG_USE_HW_BP)
			return debug_to_user(v, X86_TRAP_DB, f->payload);
		return x86_raise_db(&v->vcpu, f->payload);
	}
	if (f->has_error && guest_protected(v))
		return x86_raise_error(&v->vcpu, f->vector, f->error);
	return x86_raise(&v->vcpu, f->vector);
}

/* Traps due after the instruction: user space's own come first. */
static enum outcome debug_traps(struct emulation *e)
{
	struct x86_vcpu *v = e->v;
	u64 bits = e->db_bits;
	u8 step = e->step;

	e->db_bits = 0;
	e->step = 0;
	if (bits && (v->guest_debug & KVM_GUESTDBG_USE_HW_BP))
		return debug_to_user(v, X86_TRAP_DB, bits | (step ? DR_STEP : 0));
	if (v->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		return debug_step(v, step == 2);
	if (step == 2)
		bits |= DR_STEP;
	return bits ? x86_raise_db(&v->vcpu, bits) : OUT_OK;
}

static enum outcome halt_guest(struct x86_vcpu *v)
{
	v->vcpu.stat.halt_exits++;
	if (v->lapic) {
		state_need(v, G_RFLAGS | G_SHADOW);	/* looked at by who wakes it */
		WRITE_ONCE(v->mp_state, KVM_MP_STATE_HALTED);
		return OUT_OK;
	}
	vcpu_exit_to_user(&v->vcpu, KVM_EXIT_HLT);
	return OUT_USER;
}

/* The instruction is finished, its output delivered. */
enum outcome emulate_delivered(struct emulation *e)
{
	enum outcome out = e->db_bits || e->step ? debug_traps(e) : OUT_OK;

	return out == OUT_OK && e->halt ? halt_guest(e->v) : out;
}

/*
 * The other vendor's VMCALL or VMMCALL becomes this one's, so that the next does without the emulator. Where the guest
 * may not write, as kernels protect their code, it stays: it was carried out all the same.
 */
static void rewrite_hypercall(struct emulation *e)
{
	static const u8 vmcall[] = { 0x0f, 0x01, 0xc1 }, vmmcall[] = { 0x0f, 0x01, 0xd9 };
	const u8 *insn = vendor_ops.amd ? vmmcall : vmcall;
	struct x86_vcpu *v = e->v;
	u64 la = get_rip(v);
	struct guest_fault fault;
	gpa_t gpa;

	if (!vm_quirk(vm_of(v), KVM_X86_QUIRK_FIX_HYPERCALL_INSN) || e->ctx.insn.len != sizeof(vmcall) ||
	    !memcmp(e->ctx.insn.bytes, insn, sizeof(vmcall)))
		return;
	if (e->ctx.mode != EMU_LONG64)
		la = (u32)(la + get_seg(v, SEG_CS)->base);
	if (offset_in_page(la) <= PAGE_SIZE - sizeof(vmcall) &&
	    mmu_translate(v, la, ACC_W | (get_cpl(v) == 3 ? ACC_U : 0), &gpa, &fault))
		vcpu_write_guest(&v->vcpu, gpa, insn, sizeof(vmcall));
}

/* An instruction that has an exit of its own: the same handler, told the length. */
static enum outcome as_exit(struct emulation *e)
{
	enum outcome (*fn)(struct x86_vcpu *v) = e->exit;
	enum outcome out;

	e->exit = NULL;
	if (fn == exit_hypercall)
		rewrite_hypercall(e);
	e->skip_len = e->ctx.insn.len;
	out = fn(e->v);
	e->skip_len = 0;
	return out;
}

/* What the library's result means for the vCPU. */
static enum outcome finish(struct emulation *e, enum emu_result res)
{
	struct x86_vcpu *v = e->v;

	store_context(e);
	switch (res) {
	case EMU_FAULT:
		return raise(e);
	case EMU_IO_PENDING:
		return emulation_read_in(e);
	case EMU_UNHANDLED:
		if (e->out != OUT_OK)
			return e->out;
		return emulate_failure(v, e->ctx.insn.bytes, e->ctx.insn.len);
	case EMU_DONE:
		set_shadow(e);
		break;
	case EMU_RETRY:
		if (e->exit)
			return as_exit(e);
		break;
	}
	e->db_bits = e->ctx.db_hits & ~(u64)DR_STEP;
	e->step = e->ctx.db_hits & DR_STEP ? 2 : v->guest_debug & KVM_GUESTDBG_SINGLESTEP && res == EMU_DONE;
	if (unlikely(e->out != OUT_OK))
		return e->out;
	if (e->nr_writes)
		return emulation_write_out(e);
	if (e->pio_out)
		return emulation_pio_out(e);
	return emulate_delivered(e);
}

enum outcome emulate_resume(struct emulation *e)
{
	struct x86_vcpu *v = e->v;
	u64 rip = e->ctx.rip;

	/* User space set another state meanwhile: what was under way is void. */
	if (get_rip(v) != rip || emulate_mode(v) != e->ctx.insn.mode)
		return OUT_OK;
	load_context(e);
	return finish(e, emu_execute(&e->ctx));
}

/* User code that does odd things gets #UD; a kernel that does is for the VMM's eyes. */
enum outcome emulate_failure(struct x86_vcpu *v, const u8 *bytes, unsigned int n)
{
	struct kvm_run *run;

	v->vcpu.stat.insn_emulation_fail++;
	if (!vm_of(v)->exit_on_emulation_error && guest_protected(v) && get_cpl(v) == 3 &&
	    v->exit.kind != EXIT_BAD_STATE)
		return x86_raise(&v->vcpu, X86_TRAP_UD);
	run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_INTERNAL_ERROR);
	memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 1;
	if (n && n <= sizeof(run->emulation_failure.insn_bytes)) {
		run->emulation_failure.ndata = 3;
		run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = n;
		memcpy(run->emulation_failure.insn_bytes, bytes, n);
	}
	return OUT_USER;
}

/* The instruction at RIP into ctx.insn: from the bytes that came with the exit, else from memory. */
static enum emu_result fetch(struct emulation *e)
{
	const struct vm_exit *x = &e->v->exit;
	unsigned int n = min_t(unsigned int, x->insn_bytes_len, EMU_MAX_INSN);

	if (n && !e->ctx.dr7 && emu_decode(&e->ctx.insn, x->insn_bytes, n, emu_decode_mode(&e->ctx)) == EMU_DEC_OK)
		return EMU_DONE;
	return emu_fetch(&e->ctx);
}

/* #UD exits: of an instruction of the other vendor that we stand in for, or after the prefix that asks for it. */
static bool stands_in(const struct emu_insn *in)
{
	if (in->map != 1)
		return false;
	switch (in->opcode) {
	case 0x01:
		return in->modrm == 0xc1 || in->modrm == 0xd9;
	case 0x05:
	case 0x34:
	case 0x35:
		return true;
	}
	return false;
}

static enum outcome undefined(struct emulation *e)
{
	u64 la = e->ctx.rip, start = e->ctx.rip;
	struct x86_vcpu *v = e->v;
	u8 bytes[sizeof(force_prefix)];
	enum emu_result res;

	if (e->ctx.mode != EMU_LONG64)
		la = (u32)(la + get_seg(v, SEG_CS)->base);
	if (READ_ONCE(force_emulation_prefix) && offset_in_page(la) <= PAGE_SIZE - sizeof(bytes) &&
	    emulation_fetch(&e->ctx, la, bytes, sizeof(bytes)) == EMU_DONE &&
	    !memcmp(bytes, force_prefix, sizeof(bytes))) {
		e->ctx.rip += sizeof(bytes);
		if (READ_ONCE(force_emulation_prefix) & 2)
			e->ctx.rflags &= ~(u64)X86_EFLAGS_RF;
		res = emu_fetch(&e->ctx);
		if (!res)
			res = emu_execute(&e->ctx);
		return finish(e, res);
	}
	res = emu_fetch(&e->ctx);
	if (e->out != OUT_OK)	/* what it is cannot be read */
		return e->out;
	if (res || !stands_in(&e->ctx.insn)) {
		e->ctx.rip = start;
		return x86_raise(&v->vcpu, X86_TRAP_UD);
	}
	return finish(e, emu_execute(&e->ctx));
}

/* Is there reason to leave the interpreter: something for the run loop to look at? */
static bool interrupted(const struct emulation *e)
{
	return e->ctx.db_hits || e->out != OUT_OK || e->nr_writes || e->pio_out || e->halt || e->v->guest_debug ||
	       vcpu_has_request(&e->v->vcpu) || e->v->recheck_events || signal_pending(current) || need_resched();
}

static enum outcome interpret(struct emulation *e)
{
	struct x86_vcpu *v = e->v;
	enum emu_result res = EMU_DONE;
	bool enabled = false;
	u64 flags;

	e->keep_code = true;
	e->changed = false;
	for (unsigned int n = 0; n < EMU_BATCH; n++) {
		flags = e->ctx.rflags;
		res = emu_step(&e->ctx);
		if (res != EMU_DONE)
			break;
		v->vcpu.stat.insn_emulation++;
		/* Interrupts became possible: look for one behind the shadow of STI. */
		enabled = enabled || (e->ctx.rflags & ~flags & X86_EFLAGS_IF);
		if ((enabled && e->ctx.shadow == EMU_SHADOW_NONE) || interrupted(e))
			break;
		if (e->changed) {
			e->changed = false;
			store_context(e);
			if (vendor_call(state_runs)(v))
				break;
		}
	}
	return finish(e, res);
}

static enum outcome skip_decoded(struct emulation *e)
{
	enum outcome out;

	e->skip_len = e->ctx.insn.len;
	out = skip_insn(e->v);
	e->skip_len = 0;
	return out;
}

enum outcome emulate_insn(struct x86_vcpu *v, int flags, gpa_t gpa)
{
	struct emulation *e = v->emu;
	enum emu_result res;

	load_context(e);
	new_instruction(e);
	if (v->exit.kind == EXIT_BAD_STATE)
		return interpret(e);
	v->vcpu.stat.insn_emulation++;
	if (flags & EMUL_UD)
		return undefined(e);
	res = fetch(e);
	if (!res && (flags & EMUL_SKIP))
		return skip_decoded(e);
	if (!res && (flags & EMUL_MMIO) && !(v->exit.error & PFERR_GUEST_PAGE) && emu_one_access(&e->ctx.insn)) {
		e->hint = true;
		e->hint_gpa = gpa.v;
	}
	if (!res)
		res = emu_execute(&e->ctx);
	return finish(e, res);
}

/* RIP is what the old task's TSS keeps, and the event that came through a task gate is nobody's any more: exit.c. */
enum outcome emulate_task_switch(struct x86_vcpu *v)
{
	static const u8 reason[4] = { EMU_TASK_CALL, EMU_TASK_IRET, EMU_TASK_JMP, EMU_TASK_GATE };
	struct emulation *e = v->emu;

	load_context(e);
	new_instruction(e);
	v->vcpu.stat.insn_emulation++;
	return finish(e, emu_task_switch(&e->ctx, v->exit.task.sel, reason[v->exit.task.source & 3],
					 v->exit.task.has_error, v->exit.task.error));
}

enum outcome emulate_real_mode_int(struct x86_vcpu *v, const struct x86_event *ev)
{
	struct emulation *e = v->emu;
	enum emu_event kind = EMU_EV_EXTERNAL;
	enum emu_result res;

	load_context(e);
	new_instruction(e);
	switch (ev->type) {
	case EV_EXCEPTION:
		kind = EMU_EV_EXCEPTION;
		break;
	case EV_SOFT_INT:
	case EV_SOFT_EXC:
		kind = EMU_EV_SOFT;
		fallthrough;
	case EV_PRIV_SOFT:
		e->ctx.rip += ev->insn_len;
		break;
	}
	res = emu_deliver_event(&e->ctx, ev->vector, kind, ev->has_error && guest_protected(v), ev->error);
	if (res != EMU_DONE && !e->ctx.switched)
		e->ctx.rip = v->state.rip;
	/* A fault on the way in may make a double fault of an exception. */
	if (res == EMU_FAULT && ev->type != EV_EXTINT && ev->type != EV_NMI)
		v->ev.injected = *ev;
	return finish(e, res);
}
