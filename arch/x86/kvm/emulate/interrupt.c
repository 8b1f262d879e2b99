// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts: delivery through the real-mode vector table, the IDT of protected and long mode and virtual-8086
 * redirection; INT n, INT3, INTO, INT1 and IRET. Delivery serves two users: the instructions here, and the machine
 * (emu_deliver_event()) in states where hardware cannot deliver by itself.
 */
#include "insn.h"
#include "far.h"

/* What is being delivered. */
struct delivery {
	u8 vector;
	bool soft;		/* INT n, INT3, INTO: gate privilege counts, EXT is 0 */
	bool has_error;
	u32 error;
	u64 ret, flags;		/* for the frame */
	u32 ext;
};

static enum emu_result gate_gp(struct emu_ctx *ctx, const struct delivery *d)
{
	return emu_gp(ctx, d->vector * 8 + 2 + d->ext);
}

static enum emu_result push_frame16(struct emu_ctx *ctx, struct emu_stack *st, u64 flags, u64 ret)
{
	enum emu_result res = emu_stack_push(ctx, st, flags & 0xffff, 2);

	if (!res)
		res = emu_stack_push(ctx, st, emu_seg(ctx, EMU_CS)->sel, 2);
	return res ? res : emu_stack_push(ctx, st, ret & 0xffff, 2);
}

/* Vector table of 4-byte entries at base: real mode, and what virtual-8086 mode redirects. */
static enum emu_result through_ivt(struct emu_ctx *ctx, u64 entry, unsigned int acc, u64 flags, u64 ret, u64 clear)
{
	struct emu_stack st;
	enum emu_result res;
	u32 target = 0;

	res = emu_la_access(ctx, entry, &target, 4, acc);
	if (res)
		return res;
	emu_stack_here(ctx, &st);
	res = push_frame16(ctx, &st, flags, ret);
	if (res)
		return res;
	if ((target & 0xffff) > emu_seg(ctx, EMU_CS)->limit)
		return emu_gp0(ctx);
	emu_stack_use(ctx, &st);
	emu_seg_real(ctx, EMU_CS, target >> 16);
	ctx->rflags &= ~clear;
	ctx->rip = target & 0xffff;
	return EMU_DONE;
}

static enum emu_result real_interrupt(struct emu_ctx *ctx, const struct delivery *d)
{
	struct emu_dt idt;

	ctx->ops->get_dt(ctx, true, &idt);
	if (d->vector * 4 + 3 > idt.limit)
		return gate_gp(ctx, d);
	return through_ivt(ctx, idt.base + d->vector * 4, EMU_ACC_SYSTEM, d->flags, d->ret,
			   FL_IF | FL_TF | FL_AC | FL_RF);
}

/* The gate: privilege, presence, type. */
static enum emu_result read_gate(struct emu_ctx *ctx, const struct delivery *d, u64 *gate, u64 *high)
{
	unsigned int size = ctx->lma ? 16 : 8, at = d->vector * size;
	u32 types = 1u << SYS_INT32 | 1u << SYS_TRAP32;
	enum emu_result res;
	struct emu_dt idt;

	if (!ctx->lma)
		types |= 1u << SYS_TASK_GATE | 1u << SYS_INT16 | 1u << SYS_TRAP16;
	*high = 0;
	ctx->ops->get_dt(ctx, true, &idt);
	if (at + size - 1 > idt.limit)
		return gate_gp(ctx, d);
	res = emu_la_access(ctx, idt.base + at, gate, 8, EMU_ACC_SYSTEM);
	if (!res && ctx->lma)
		res = emu_la_access(ctx, idt.base + at + 8, high, 8, EMU_ACC_SYSTEM);
	if (res)
		return res;
	if (DESC_S(*gate) || !(types >> DESC_TYPE(*gate) & 1) || (*high >> 40 & 0x1f))
		return gate_gp(ctx, d);
	if (d->soft && DESC_DPL(*gate) < ctx->cpl)
		return gate_gp(ctx, d);
	if (!DESC_P(*gate))
		return emu_fault(ctx, VEC_NP, true, d->vector * 8 + 2 + d->ext);
	return EMU_DONE;
}

/* Everything the frame holds, oldest first. */
static enum emu_result push_frame(struct emu_ctx *ctx, struct emu_stack *st, const struct delivery *d, bool with_stack,
				  unsigned int size)
{
	static const u8 vm_segs[4] = { EMU_GS, EMU_FS, EMU_DS, EMU_ES };
	enum emu_result res = EMU_DONE;
	u16 cs = emu_seg(ctx, EMU_CS)->sel;

	if (d->flags & FL_VM)
		for (unsigned int i = 0; i < 4 && !res; i++)
			res = emu_stack_push(ctx, st, emu_seg(ctx, vm_segs[i])->sel, size);
	if (!res && with_stack)
		res = emu_stack_push(ctx, st, emu_seg(ctx, EMU_SS)->sel, size);
	if (!res && with_stack)
		res = emu_stack_push(ctx, st, emu_get_reg(ctx, EMU_RSP, ctx->lma ? 8 : 4), size);
	if (!res)
		res = emu_stack_push(ctx, st, d->flags, size);
	if (!res)
		res = emu_stack_push(ctx, st, cs, size);
	if (!res)
		res = emu_stack_push(ctx, st, d->ret, size);
	if (!res && d->has_error)
		res = emu_stack_push(ctx, st, d->error, size);
	return res;
}

static void leave_vm86(struct emu_ctx *ctx)
{
	static const u8 which[4] = { EMU_GS, EMU_FS, EMU_DS, EMU_ES };
	struct emu_seg null = { .attr = EMU_AR_UNUSABLE };

	for (unsigned int i = 0; i < 4; i++)
		emu_put_seg(ctx, which[i], &null);
}

/* Interrupt and trap gates. */
static enum emu_result through_gate(struct emu_ctx *ctx, const struct delivery *d, u64 gate, u64 high)
{
	unsigned int type = DESC_TYPE(gate), size = ctx->lma ? 8 : type & 8 ? 4 : 2;
	unsigned int ist = ctx->lma ? gate >> 32 & 7 : 0;
	struct emu_far f = { .sel = gate >> 16, .kind = FAR_CALL_GATE, .need64 = true, .ext = d->ext };
	bool vm86 = d->flags & FL_VM;
	enum emu_result res;
	struct emu_stack st;
	u8 cpl = ctx->cpl;

	f.off = (gate & 0xffff) | high << 32;
	if (size > 2)
		f.off |= gate >> 32 & 0xffff0000;
	res = emu_far_target(ctx, &f, cpl);
	if (res)
		return res;
	if (!(DESC_TYPE(f.desc) & 4))
		cpl = DESC_DPL(f.desc);
	if (vm86 && cpl)
		return emu_gp(ctx, EMU_SEL_ERR(f.sel) | d->ext);
	if (cpl < ctx->cpl || ist) {
		res = emu_stack_from_tss(ctx, &st, cpl, ist, d->ext);
		if (res)
			return res;
		st.changed = cpl < ctx->cpl;
	} else {
		emu_stack_here(ctx, &st);
		st.err = d->ext;
	}
	if (ctx->lma) {
		st.flat = true;
		st.mask = ~0ull;
		st.sp &= ~15ull;
	}
	res = emu_far_offset(ctx, &f);
	ctx->cpl = cpl;
	if (!res)
		res = push_frame(ctx, &st, d, st.changed || ctx->lma, size);
	if (res)
		return res;
	ctx->rflags &= ~(FL_TF | FL_NT | FL_RF | FL_VM | (type & 1 ? 0 : FL_IF));
	res = emu_far_enter(ctx, &f, cpl);
	if (res)
		return res;
	if (st.changed)
		emu_put_seg(ctx, EMU_SS, &st.seg);
	if (vm86)
		leave_vm86(ctx);
	emu_stack_use(ctx, &st);
	ctx->rip = f.off;
	return EMU_DONE;
}

enum emu_result emu_interrupt(struct emu_ctx *ctx, u8 vector, enum emu_event kind, u64 ret, bool has_error, u32 error)
{
	struct delivery d = { .vector = vector, .soft = kind == EMU_EV_SOFT, .has_error = has_error, .error = error,
			      .ret = ret, .flags = ctx->rflags, .ext = kind != EMU_EV_SOFT };
	enum emu_result res;
	u64 gate, high;

	/* Faults come back to the same instruction: a breakpoint on it has had its turn. */
	if (kind == EMU_EV_EXCEPTION && vector != VEC_DB && vector != VEC_BP && vector != VEC_OF)
		d.flags |= FL_RF;
	if (kind == EMU_EV_SOFT)
		d.flags &= ~FL_RF;
	if (emu_is_real(ctx))
		return real_interrupt(ctx, &d);
	res = read_gate(ctx, &d, &gate, &high);
	if (res)
		return res;
	if (DESC_TYPE(gate) != SYS_TASK_GATE)
		return through_gate(ctx, &d, gate, high);
	ctx->rflags = d.flags;
	return emu_task(ctx, gate >> 16, EMU_TASK_GATE, ret, has_error, error);
}

enum emu_result emu_deliver_event(struct emu_ctx *ctx, u8 vector, enum emu_event kind, bool has_error, u32 error)
{
	u64 rsp = ctx->regs[EMU_RSP], rip = ctx->rip, flags = ctx->rflags;
	u8 cpl = ctx->cpl, mode = ctx->mode;
	enum emu_result res;

	ctx->shadow = EMU_SHADOW_NONE;
	ctx->why = EMU_WHY_NONE;
	ctx->db_hits = 0;
	ctx->stop = false;
	ctx->switched = false;
	res = emu_interrupt(ctx, vector, kind, ctx->rip, has_error, error);
	if (res && !ctx->switched) {
		ctx->regs[EMU_RSP] = rsp;
		ctx->rip = rip;
		ctx->rflags = flags;
		ctx->cpl = cpl;
		ctx->mode = mode;
	}
	return res;
}

enum emu_result emu_deliver_real_mode_interrupt(struct emu_ctx *ctx, u8 vector)
{
	if (!emu_is_real(ctx))
		return emu_unhandled(ctx, EMU_WHY_MACHINE);
	return emu_deliver_event(ctx, vector, EMU_EV_EXTERNAL, false, 0);
}

static enum emu_result soft_interrupt(struct emu_run *r, u8 vector, enum emu_event kind)
{
	enum emu_result res = emu_interrupt(r->ctx, vector, kind, r->next, false, 0);

	r->next = r->ctx->rip;
	return res;
}

/* CR4.VME: the bit map below the I/O map sends some vectors to the 8086 program's own table. */
static enum emu_result redirected(struct emu_ctx *ctx, u8 vector, bool *yes)
{
	const struct emu_seg *tr = emu_seg(ctx, EMU_TR);
	enum emu_result res;
	u16 map = 0;
	u8 bits = 0;

	*yes = false;
	if ((tr->attr & EMU_AR_UNUSABLE) || !(tr->attr & 8) || tr->limit < 103)
		return emu_gp0(ctx);
	res = emu_la_access(ctx, tr->base + 102, &map, 2, EMU_ACC_SYSTEM);
	if (res)
		return res;
	if (map < 32 || map - 32u + vector / 8 > tr->limit)
		return emu_gp0(ctx);
	res = emu_la_access(ctx, tr->base + map - 32 + vector / 8, &bits, 1, EMU_ACC_SYSTEM);
	*yes = !(bits >> (vector & 7) & 1);
	return res;
}

static enum emu_result vm86_int(struct emu_run *r, u8 vector)
{
	struct emu_ctx *ctx = r->ctx;
	bool iopl3 = (ctx->rflags & FL_IOPL) == FL_IOPL, yes = false;
	u64 flags = ctx->rflags & ~FL_RF;
	enum emu_result res = EMU_DONE;

	if (ctx->ops->get_sys(ctx, EMU_CR4) & C4_VME)
		res = redirected(ctx, vector, &yes);
	if (res)
		return res;
	if (!yes)
		return iopl3 ? soft_interrupt(r, vector, EMU_EV_SOFT) : emu_gp0(ctx);
	if (!iopl3)
		flags = (flags & ~FL_IF) | FL_IOPL | (flags & FL_VIF ? FL_IF : 0);
	res = through_ivt(ctx, vector * 4, 0, flags, r->next, FL_TF | (iopl3 ? FL_IF : FL_VIF));
	r->next = ctx->rip;
	return res;
}

enum emu_result op_int(struct emu_run *r)
{
	if (r->ctx->mode == EMU_VM86)
		return vm86_int(r, r->src.val);
	return soft_interrupt(r, r->src.val, EMU_EV_SOFT);
}

enum emu_result op_int3(struct emu_run *r)
{
	return soft_interrupt(r, VEC_BP, EMU_EV_SOFT);
}

enum emu_result op_into(struct emu_run *r)
{
	return r->ctx->rflags & FL_OF ? soft_interrupt(r, VEC_OF, EMU_EV_SOFT) : EMU_DONE;
}

enum emu_result op_int1(struct emu_run *r)
{
	return soft_interrupt(r, VEC_DB, EMU_EV_EXCEPTION);
}

/* The frame that IRET reads, without moving the stack pointer. */
struct iret_frame {
	u64 off, sel, flags, sp, ss;
};

static enum emu_result read_frame(struct emu_run *r, struct iret_frame *f)
{
	unsigned int size = r->insn->opsize;
	enum emu_result res = emu_stack_slot(r->ctx, size * 2, &f->flags, size);

	if (!res)
		res = emu_stack_slot(r->ctx, size, &f->sel, size);
	if (!res)
		res = emu_stack_slot(r->ctx, 0, &f->off, size);
	f->sel &= 0xffff;
	return res;
}

static enum emu_result read_frame_stack(struct emu_run *r, struct iret_frame *f)
{
	unsigned int size = r->insn->opsize;
	enum emu_result res = emu_stack_slot(r->ctx, size * 4, &f->ss, size);

	return res ? res : emu_stack_slot(r->ctx, size * 3, &f->sp, size);
}

static void set_flags(struct emu_run *r, u64 val, u64 mask)
{
	mask &= emu_mask(r->insn->opsize);
	r->ctx->rflags = (r->ctx->rflags & ~mask) | (val & mask);
}

/* Real mode, and virtual-8086 mode with IOPL 3 or, for 16 bits, VME. */
static enum emu_result iret_8086(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	bool vm86 = ctx->mode == EMU_VM86, vme = vm86 && (ctx->rflags & FL_IOPL) != FL_IOPL;
	u64 mask = FL_ARITH | FL_TF | FL_IF | FL_DF | FL_NT | FL_RF | FL_AC | FL_ID;
	struct iret_frame f;
	enum emu_result res;

	if (vme && (r->insn->opsize != 2 || !(ctx->ops->get_sys(ctx, EMU_CR4) & C4_VME)))
		return emu_gp0(ctx);
	res = read_frame(r, &f);
	if (res)
		return res;
	if (f.off > emu_seg(ctx, EMU_CS)->limit)
		return emu_gp0(ctx);
	if (vme) {
		if ((f.flags & FL_TF) || ((f.flags & FL_IF) && (ctx->rflags & FL_VIP)))
			return emu_gp0(ctx);
		mask &= ~FL_IF;
		ctx->rflags = (ctx->rflags & ~FL_VIF) | (f.flags & FL_IF ? FL_VIF : 0);
	}
	if (!vm86)
		mask |= FL_IOPL;
	emu_seg_real(ctx, EMU_CS, f.sel);
	emu_set_reg(ctx, EMU_RSP, emu_stack_size(ctx), ctx->regs[EMU_RSP] + 3 * r->insn->opsize);
	set_flags(r, f.flags, mask);
	r->next = f.off;
	return EMU_DONE;
}

static enum emu_result iret_to_vm86(struct emu_run *r, struct iret_frame *f)
{
	static const u8 which[4] = { EMU_ES, EMU_DS, EMU_FS, EMU_GS };
	struct emu_ctx *ctx = r->ctx;
	enum emu_result res = read_frame_stack(r, f);
	u64 sel[4];

	for (unsigned int i = 0; i < 4 && !res; i++)
		res = emu_stack_slot(ctx, 20 + i * 4, &sel[i], 4);
	if (!res && (f->off & 0xffffffff) > 0xffff)
		res = emu_gp0(ctx);
	if (res)
		return res;
	ctx->rflags = (f->flags & (FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF |
				   FL_VIP | FL_ID)) | 2;
	emu_seg_real(ctx, EMU_CS, f->sel);
	emu_seg_real(ctx, EMU_SS, f->ss);
	for (unsigned int i = 0; i < 4; i++)
		emu_seg_real(ctx, which[i], sel[i]);
	ctx->regs[EMU_RSP] = (u32)f->sp;
	ctx->cpl = 3;
	emu_update_mode(ctx);
	r->next = f->off;
	return EMU_DONE;
}

/* Protected and long mode: a code segment of the same or less privilege. */
static enum emu_result iret_prot(struct emu_run *r, struct iret_frame *fr)
{
	struct emu_ctx *ctx = r->ctx;
	struct emu_far f = { .sel = fr->sel, .off = fr->off, .kind = FAR_RETURN };
	u64 mask = FL_ARITH | FL_TF | FL_DF | FL_NT | FL_RF | FL_AC | FL_ID;
	unsigned int width = emu_stack_size(ctx), size = r->insn->opsize;
	bool outer, from64 = emu_is_64(ctx);
	u8 cpl = ctx->cpl, rpl = fr->sel & 3;
	struct emu_stack st = {};
	enum emu_result res = EMU_DONE;

	outer = rpl > cpl;
	/* AMD reads all of the frame that may be needed before it looks at the selector. */
	if (ctx->amd && (rpl != cpl || from64))
		res = read_frame_stack(r, fr);
	if (!res)
		res = emu_far_target(ctx, &f, cpl);
	if (!res && !ctx->amd && (outer || from64))
		res = read_frame_stack(r, fr);
	if (!res && (outer || from64))
		res = emu_return_stack(ctx, &st, fr->ss, fr->sp, rpl, f.to64);
	if (!res)
		res = emu_far_offset(ctx, &f);
	if (!res)
		res = emu_far_enter(ctx, &f, rpl);
	if (res)
		return res;
	if (cpl == 0)
		mask |= FL_IOPL | FL_VIF | FL_VIP;
	if (cpl <= (ctx->rflags & FL_IOPL) >> 12)
		mask |= FL_IF;
	set_flags(r, fr->flags, mask);
	if (st.changed) {
		emu_put_seg(ctx, EMU_SS, &st.seg);
		emu_stack_use(ctx, &st);
	} else {
		emu_set_reg(ctx, EMU_RSP, width, ctx->regs[EMU_RSP] + 3 * size);
	}
	if (outer)
		emu_drop_inner_segs(ctx);
	r->next = fr->off;
	return EMU_DONE;
}

/* NT: back to the task whose TSS links to this one. */
static enum emu_result iret_task(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	enum emu_result res;
	u16 link = 0;

	if (ctx->lma)
		return emu_gp0(ctx);
	res = emu_la_access(ctx, emu_seg(ctx, EMU_TR)->base, &link, 2, EMU_ACC_SYSTEM);
	if (res)
		return res;
	res = emu_task(ctx, link, EMU_TASK_IRET, r->next, false, 0);
	r->next = ctx->rip;
	return res;
}

enum emu_result op_iret(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	struct iret_frame f;
	enum emu_result res;

	if (!emu_is_prot(ctx)) {
		res = iret_8086(r);
	} else if (ctx->rflags & FL_NT) {
		res = iret_task(r);
	} else {
		res = read_frame(r, &f);
		if (res)
			return res;
		if ((f.flags & FL_VM) && r->insn->opsize == 4 && !ctx->cpl && !ctx->lma)
			res = iret_to_vm86(r, &f);
		else
			res = iret_prot(r, &f);
	}
	return res ? res : ctx->ops->action(ctx, EMU_ACT_NMI_UNBLOCK, 0, 0);
}
