// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptors and far transfers: reading a descriptor table, loading a segment register with every check of the
 * architecture, far JMP, CALL (with gates and stack switch) and RET, and the instructions that only ask
 * about selectors (LAR, LSL, VERR, VERW, ARPL). Interrupts and IRET are in interrupt.c, task switches in task.c.
 *
 * Order inside each handler: checks that may fault, memory that may fault, then segments. So nothing is left half
 * done when something faults; general registers, CPL and mode are put back by the driver.
 */
#include "insn.h"
#include "far.h"

void emu_seg_from_desc(struct emu_seg *seg, u16 sel, u64 desc)
{
	seg->sel = sel;
	seg->base = (desc >> 16 & 0xffffff) | (desc >> 56 << 24);
	seg->limit = (desc & 0xffff) | (desc >> 32 & 0xf0000);
	seg->attr = desc >> 40 & 0xf0ff;
	if (seg->attr & EMU_AR_G)
		seg->limit = seg->limit << 12 | 0xfff;
}

/* A segment register loaded in real or virtual-8086 mode. Real mode leaves limit and attributes alone. */
void emu_seg_real(struct emu_ctx *ctx, enum emu_segreg n, u16 sel)
{
	struct emu_seg seg = *emu_seg(ctx, n);

	seg.sel = sel;
	seg.base = (u32)sel << 4;
	if (ctx->rflags & FL_VM) {
		seg.limit = 0xffff;
		seg.attr = EMU_AR_P | EMU_AR_S | 3 | 3 << EMU_AR_DPL_SHIFT;
	}
	emu_put_seg(ctx, n, &seg);
}

/* Linear address of the descriptor; false when it (len bytes of it) is not inside its table. */
static bool desc_address(struct emu_ctx *ctx, u16 sel, unsigned int len, u64 *addr)
{
	u32 first = sel & 0xfff8u, limit;
	u64 base;

	if (sel & 4) {
		const struct emu_seg *ldt = emu_seg(ctx, EMU_LDTR);

		if (ldt->attr & EMU_AR_UNUSABLE)
			return false;
		base = ldt->base;
		limit = ldt->limit;
	} else {
		struct emu_dt gdt;

		ctx->ops->get_dt(ctx, false, &gdt);
		base = gdt.base;
		limit = gdt.limit;
	}
	*addr = base + first;
	if (!ctx->lma)
		*addr = (u32)*addr;
	return (u64)first + len - 1 <= limit;
}

enum emu_result emu_read_desc(struct emu_ctx *ctx, u16 sel, u8 vec, u64 *desc, u64 *addr)
{
	if (!desc_address(ctx, sel, 8, addr))
		return emu_fault(ctx, vec, true, EMU_SEL_ERR(sel));
	return emu_la_access(ctx, *addr, desc, 8, EMU_ACC_SYSTEM);
}

/* The upper half that system descriptors have in long mode. */
enum emu_result emu_read_desc_high(struct emu_ctx *ctx, u16 sel, u8 vec, u64 *high)
{
	u64 addr;

	*high = 0;
	if (!ctx->lma)
		return EMU_DONE;
	if (!desc_address(ctx, sel, 16, &addr))
		return emu_fault(ctx, vec, true, EMU_SEL_ERR(sel));
	return emu_la_access(ctx, addr + 8, high, 8, EMU_ACC_SYSTEM);
}

/* Change type bits (accessed, busy) of a descriptor in memory: all of them are in its sixth byte. */
enum emu_result emu_desc_access(struct emu_ctx *ctx, u64 addr, u64 *desc, u64 set, u64 clear)
{
	u64 want = (*desc | set) & ~clear;
	u8 old = *desc >> 40, new = want >> 40;
	enum emu_result res;

	if (old == new)
		return EMU_DONE;
	res = ctx->ops->cmpxchg(ctx, addr + 5, &old, &new, 1, EMU_ACC_SYSTEM);
	if (!res)
		*desc = want;
	return res;
}

/* Register n becomes a null selector's: nothing can be accessed through it. */
static void put_null(struct emu_ctx *ctx, enum emu_segreg n, u16 sel)
{
	struct emu_seg seg = { .sel = sel, .attr = EMU_AR_UNUSABLE };

	if (n == EMU_SS)
		seg.attr |= (u32)ctx->cpl << EMU_AR_DPL_SHIFT;
	emu_put_seg(ctx, n, &seg);
}

/* Marks the descriptor accessed and loads the register from it. */
enum emu_result emu_put_desc(struct emu_ctx *ctx, enum emu_segreg n, u16 sel, u64 desc, u64 addr)
{
	enum emu_result res = emu_desc_access(ctx, addr, &desc, DESC_ACCESSED, 0);
	struct emu_seg seg;

	if (res)
		return res;
	emu_seg_from_desc(&seg, sel, desc);
	emu_put_seg(ctx, n, &seg);
	return EMU_DONE;
}

/* May this be a stack segment at privilege cpl? vec: what is wrong with it is reported as #GP or #TS. */
enum emu_result emu_check_stack(struct emu_ctx *ctx, u16 sel, u8 cpl, u8 vec, u32 ext, u64 *desc, u64 *addr)
{
	u32 err = EMU_SEL_ERR(sel) | ext;
	enum emu_result res;

	if (!EMU_SEL_ERR(sel))
		return emu_fault(ctx, vec, true, ext);
	res = emu_read_desc(ctx, sel, vec, desc, addr);
	if (res == EMU_FAULT && ctx->fault.vector == vec)
		ctx->fault.error |= ext;
	if (res)
		return res;
	if ((sel & 3) != cpl || !DESC_S(*desc) || (DESC_TYPE(*desc) & 0xa) != 2 || DESC_DPL(*desc) != cpl)
		return emu_fault(ctx, vec, true, err);
	if (!DESC_P(*desc))
		return emu_fault(ctx, VEC_SS, true, err);
	return EMU_DONE;
}

/* A segment register that is not CS or SS, at privilege cpl. */
enum emu_result emu_load_data(struct emu_ctx *ctx, enum emu_segreg n, u16 sel, u8 cpl, u8 vec)
{
	unsigned int type;
	enum emu_result res;
	u64 desc, addr;
	u8 rpl = sel & 3;

	if (!EMU_SEL_ERR(sel)) {
		put_null(ctx, n, sel);
		return EMU_DONE;
	}
	res = emu_read_desc(ctx, sel, vec, &desc, &addr);
	if (res)
		return res;
	type = DESC_TYPE(desc);
	if (!DESC_S(desc) || (type & 0xa) == 8)
		return emu_fault(ctx, vec, true, EMU_SEL_ERR(sel));
	if ((type & 0xc) != 0xc && (DESC_DPL(desc) < rpl || DESC_DPL(desc) < cpl))
		return emu_fault(ctx, vec, true, EMU_SEL_ERR(sel));
	if (!DESC_P(desc))
		return emu_fault(ctx, VEC_NP, true, EMU_SEL_ERR(sel));
	return emu_put_desc(ctx, n, sel, desc, addr);
}

/* MOV, POP and the LDS family: any segment register but CS. */
enum emu_result emu_load_seg(struct emu_ctx *ctx, enum emu_segreg n, u16 sel)
{
	enum emu_result res;
	u64 desc, addr;

	if (!emu_is_prot(ctx)) {
		emu_seg_real(ctx, n, sel);
		return EMU_DONE;
	}
	if (n != EMU_SS)
		return emu_load_data(ctx, n, sel, ctx->cpl, VEC_GP);
	if (!EMU_SEL_ERR(sel) && emu_is_64(ctx) && ctx->cpl < 3 && (sel & 3) == ctx->cpl) {
		put_null(ctx, EMU_SS, sel);
		return EMU_DONE;
	}
	res = emu_check_stack(ctx, sel, ctx->cpl, VEC_GP, 0, &desc, &addr);
	return res ? res : emu_put_desc(ctx, EMU_SS, sel, desc, addr);
}

/*
 * A code segment that control is about to reach. Conforming ones keep the privilege, others must have it: the caller
 * says what privilege the descriptor is measured against and how.
 */
static enum emu_result check_code(struct emu_ctx *ctx, const struct emu_far *f, u8 cpl)
{
	u32 err = EMU_SEL_ERR(f->sel) | f->ext;
	unsigned int type = DESC_TYPE(f->desc);
	u8 dpl = DESC_DPL(f->desc), rpl = f->sel & 3;
	bool ok = DESC_S(f->desc) && (type & 8);

	switch (f->kind) {
	case FAR_DIRECT:
		ok = ok && (type & 4 ? dpl <= cpl : rpl <= cpl && dpl == cpl);
		break;
	case FAR_JMP_GATE:
		ok = ok && (type & 4 ? dpl <= cpl : dpl == cpl);
		break;
	case FAR_CALL_GATE:
		ok = ok && dpl <= cpl;
		break;
	case FAR_RETURN:
		ok = ok && rpl >= cpl && (type & 4 ? dpl <= rpl : dpl == rpl);
		break;
	}
	if (!ok)
		return emu_gp(ctx, err);
	if (ctx->lma && DESC_L(f->desc) && DESC_DB(f->desc))
		return emu_gp(ctx, err);
	if (ctx->lma && f->need64 && !DESC_L(f->desc))
		return emu_gp(ctx, err);
	return DESC_P(f->desc) ? EMU_DONE : emu_fault(ctx, VEC_NP, true, err);
}

enum emu_result emu_far_target(struct emu_ctx *ctx, struct emu_far *f, u8 cpl)
{
	enum emu_result res;

	if (!EMU_SEL_ERR(f->sel))
		return emu_gp(ctx, f->ext);
	res = emu_read_desc(ctx, f->sel, VEC_GP, &f->desc, &f->addr);
	if (res == EMU_FAULT && ctx->fault.vector == VEC_GP)
		ctx->fault.error |= f->ext;
	if (res)
		return res;
	f->to64 = ctx->lma && DESC_L(f->desc);
	return check_code(ctx, f, cpl);
}

/* Does the new code segment hold the target? */
enum emu_result emu_far_offset(struct emu_ctx *ctx, const struct emu_far *f)
{
	struct emu_seg seg;

	if (f->to64)
		return emu_canonical(ctx, f->off) ? EMU_DONE : emu_gp(ctx, f->ext);
	emu_seg_from_desc(&seg, f->sel, f->desc);
	return (u32)f->off > seg.limit ? emu_gp(ctx, f->ext) : EMU_DONE;
}

/* CS at privilege cpl; the mode follows. */
enum emu_result emu_far_enter(struct emu_ctx *ctx, const struct emu_far *f, u8 cpl)
{
	enum emu_result res = emu_put_desc(ctx, EMU_CS, (f->sel & 0xfffc) | cpl, f->desc, f->addr);

	if (res)
		return res;
	ctx->cpl = cpl;
	emu_update_mode(ctx);
	return EMU_DONE;
}

/* The current stack, as something to push on before any register changes. */
void emu_stack_here(struct emu_ctx *ctx, struct emu_stack *st)
{
	unsigned int width = emu_stack_size(ctx);

	*st = (struct emu_stack){ .seg = *emu_seg(ctx, EMU_SS), .sp = emu_stack_at(ctx, 0),
				  .mask = emu_mask(width), .flat = emu_is_64(ctx) };
}

static enum emu_result stack_linear(struct emu_ctx *ctx, const struct emu_stack *st, u64 sp, unsigned int size,
				    u64 *la)
{
	bool ok;

	if (st->flat) {
		*la = sp;
		ok = emu_canonical(ctx, sp) && emu_canonical(ctx, sp + size - 1);
	} else {
		*la = (u32)(st->seg.base + sp);
		ok = emu_limit_ok(&st->seg, sp, size);
	}
	return ok ? EMU_DONE : emu_fault(ctx, VEC_SS, true, st->err);
}

enum emu_result emu_stack_push(struct emu_ctx *ctx, struct emu_stack *st, u64 val, unsigned int size)
{
	u64 sp = (st->sp - size) & st->mask, la;
	enum emu_result res = stack_linear(ctx, st, sp, size, &la);

	if (!res && emu_misaligned(ctx, la, size))
		return emu_fault(ctx, VEC_AC, true, 0);
	if (!res)
		res = emu_la_access(ctx, la, &val, size, EMU_ACC_WRITE);
	if (!res)
		st->sp = sp;
	return res;
}

void emu_stack_use(struct emu_ctx *ctx, const struct emu_stack *st)
{
	emu_set_reg(ctx, EMU_RSP, st->mask == 0xffff ? 2 : st->flat ? 8 : 4, st->sp);
}

/* The stack that the TSS names for privilege cpl; in long mode (or an interrupt stack-table entry) a pointer alone. */
enum emu_result emu_stack_from_tss(struct emu_ctx *ctx, struct emu_stack *st, u8 cpl, unsigned int ist, u32 ext)
{
	const struct emu_seg *tr = emu_seg(ctx, EMU_TR);
	bool wide = tr->attr & 8;
	unsigned int off = ctx->lma ? (ist ? 0x1c + ist * 8 : 4 + cpl * 8) : wide ? 4 + cpl * 8 : 2 + cpl * 4;
	unsigned int size = ctx->lma ? 8 : wide ? 6 : 4;
	enum emu_result res;
	u64 val = 0, desc, addr;
	u16 sel;

	*st = (struct emu_stack){ .changed = true };
	if ((tr->attr & EMU_AR_UNUSABLE) || off + size - 1 > tr->limit)
		return emu_fault(ctx, VEC_TS, true, EMU_SEL_ERR(tr->sel) | ext);
	res = emu_la_access(ctx, tr->base + off, &val, size, EMU_ACC_SYSTEM);
	if (res)
		return res;
	if (ctx->lma) {
		st->seg = (struct emu_seg){ .sel = cpl, .attr = EMU_AR_UNUSABLE | (u32)cpl << EMU_AR_DPL_SHIFT };
		st->sp = val;
		st->mask = ~0ull;
		st->flat = true;
		st->err = ext;
		return EMU_DONE;
	}
	sel = val >> (wide ? 32 : 16);
	res = emu_check_stack(ctx, sel, cpl, VEC_TS, ext, &desc, &addr);
	if (!res)
		res = emu_desc_access(ctx, addr, &desc, DESC_ACCESSED, 0);
	if (res)
		return res;
	emu_seg_from_desc(&st->seg, sel, desc);
	st->mask = st->seg.attr & EMU_AR_DB ? 0xffffffff : 0xffff;
	st->sp = val & (wide ? 0xffffffff : 0xffff) & st->mask;
	st->err = EMU_SEL_ERR(sel) | ext;
	return EMU_DONE;
}

static enum emu_result push_return(struct emu_run *r, struct emu_stack *st, unsigned int size)
{
	enum emu_result res = emu_stack_push(r->ctx, st, emu_seg(r->ctx, EMU_CS)->sel, size);

	return res ? res : emu_stack_push(r->ctx, st, r->next, size);
}

/* Gate parameters, from the old stack to the new one, in the order they lie. */
static enum emu_result copy_params(struct emu_ctx *ctx, struct emu_stack *st, unsigned int n, unsigned int size, u8 cpl)
{
	u8 inner = ctx->cpl;
	enum emu_result res = EMU_DONE;

	while (n-- && !res) {
		u64 v = 0;

		ctx->cpl = cpl;
		res = emu_seg_access(ctx, EMU_SS, emu_stack_at(ctx, (s64)n * size), &v, size, 0, 0);
		ctx->cpl = inner;
		if (!res)
			res = emu_stack_push(ctx, st, v, size);
	}
	return res;
}

/* CALL through a gate to more privilege. */
static enum emu_result call_inner(struct emu_run *r, const struct emu_far *f, u64 gate, unsigned int size)
{
	struct emu_ctx *ctx = r->ctx;
	u8 outer = ctx->cpl, inner = DESC_DPL(f->desc);
	u64 sp = emu_stack_at(ctx, 0);
	struct emu_stack st;
	enum emu_result res = emu_stack_from_tss(ctx, &st, inner, 0, 0);

	if (!res)
		res = emu_far_offset(ctx, f);
	if (res)
		return res;
	ctx->cpl = inner;
	res = emu_stack_push(ctx, &st, emu_seg(ctx, EMU_SS)->sel, size);
	if (!res)
		res = emu_stack_push(ctx, &st, sp, size);
	if (!res && !ctx->lma)
		res = copy_params(ctx, &st, gate >> 32 & 31, size, outer);
	if (!res)
		res = push_return(r, &st, size);
	if (!res)
		res = emu_far_enter(ctx, f, inner);
	if (res)
		return res;
	emu_put_seg(ctx, EMU_SS, &st.seg);
	emu_stack_use(ctx, &st);
	return EMU_DONE;
}

static enum emu_result through_call_gate(struct emu_run *r, u16 sel, u64 gate, bool call)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int size = ctx->lma ? 8 : DESC_TYPE(gate) == SYS_CALL32 ? 4 : 2;
	struct emu_far f = { .sel = gate >> 16, .kind = call ? FAR_CALL_GATE : FAR_JMP_GATE, .need64 = true };
	struct emu_stack st;
	enum emu_result res;
	u64 high;

	if (DESC_DPL(gate) < ctx->cpl || DESC_DPL(gate) < (sel & 3))
		return emu_gp(ctx, EMU_SEL_ERR(sel));
	if (!DESC_P(gate))
		return emu_fault(ctx, VEC_NP, true, EMU_SEL_ERR(sel));
	res = emu_read_desc_high(ctx, sel, VEC_GP, &high);
	if (res)
		return res;
	if (high >> 40 & 0x1f)
		return emu_gp(ctx, EMU_SEL_ERR(sel));
	f.off = (gate & 0xffff) | high << 32;
	if (size > 2)
		f.off |= gate >> 32 & 0xffff0000;
	res = emu_far_target(ctx, &f, ctx->cpl);
	if (res)
		return res;
	if (call && !(DESC_TYPE(f.desc) & 4) && DESC_DPL(f.desc) < ctx->cpl) {
		res = call_inner(r, &f, gate, size);
	} else {
		emu_stack_here(ctx, &st);
		if (ctx->lma)
			st.flat = true, st.mask = ~0ull;
		res = emu_far_offset(ctx, &f);
		if (!res && call)
			res = push_return(r, &st, size);
		if (!res)
			res = emu_far_enter(ctx, &f, ctx->cpl);
		if (!res && call)
			emu_stack_use(ctx, &st);
	}
	r->next = f.off;
	return res;
}

/* A far JMP or CALL whose selector names a system descriptor. */
static enum emu_result through_system(struct emu_run *r, u16 sel, u64 desc, bool call)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int type = DESC_TYPE(desc);
	enum emu_result res;

	if (type == SYS_CALL32 || (type == SYS_CALL16 && !ctx->lma))
		return through_call_gate(r, sel, desc, call);
	if (ctx->lma || (type != SYS_TASK_GATE && type != SYS_TSS16 && type != SYS_TSS32))
		return emu_gp(ctx, EMU_SEL_ERR(sel));
	if (DESC_DPL(desc) < ctx->cpl || DESC_DPL(desc) < (sel & 3))
		return emu_gp(ctx, EMU_SEL_ERR(sel));
	if (!DESC_P(desc))
		return emu_fault(ctx, VEC_NP, true, EMU_SEL_ERR(sel));
	if (type == SYS_TASK_GATE)
		sel = desc >> 16;
	res = emu_task(ctx, sel, call ? EMU_TASK_CALL : EMU_TASK_JMP, r->next, false, 0);
	r->next = ctx->rip;
	return res;
}

static enum emu_result far_real(struct emu_run *r, u16 sel, u64 off, bool call)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int size = r->insn->opsize;
	struct emu_stack st;
	enum emu_result res = EMU_DONE;

	if (off > emu_seg(ctx, EMU_CS)->limit)
		return emu_gp0(ctx);
	if (call) {
		emu_stack_here(ctx, &st);
		res = push_return(r, &st, size);
		if (res)
			return res;
		emu_stack_use(ctx, &st);
	}
	emu_seg_real(ctx, EMU_CS, sel);
	r->next = off;
	return EMU_DONE;
}

static enum emu_result far_to(struct emu_run *r, u16 sel, u64 off, bool call)
{
	struct emu_ctx *ctx = r->ctx;
	struct emu_far f = { .sel = sel, .off = off, .kind = FAR_DIRECT };
	struct emu_stack st;
	enum emu_result res;

	if (!emu_is_prot(ctx))
		return far_real(r, sel, off, call);
	if (!EMU_SEL_ERR(sel))
		return emu_gp0(ctx);
	res = emu_read_desc(ctx, sel, VEC_GP, &f.desc, &f.addr);
	if (res)
		return res;
	if (!DESC_S(f.desc))
		return through_system(r, sel, f.desc, call);
	f.to64 = ctx->lma && DESC_L(f.desc);
	emu_stack_here(ctx, &st);
	res = check_code(ctx, &f, ctx->cpl);
	if (!res && !call)
		res = emu_far_offset(ctx, &f);
	if (!res && call)
		res = push_return(r, &st, r->insn->opsize);
	if (!res && call)
		res = emu_far_offset(ctx, &f);
	if (!res)
		res = emu_far_enter(ctx, &f, ctx->cpl);
	if (res)
		return res;
	if (call)
		emu_stack_use(ctx, &st);
	r->next = off;
	return EMU_DONE;
}

enum emu_result op_jmpf(struct emu_run *r)
{
	return far_to(r, r->insn->imm2, r->insn->imm, false);
}

enum emu_result op_callf(struct emu_run *r)
{
	return far_to(r, r->insn->imm2, r->insn->imm, true);
}

/*
 * Offset and selector in memory. AMD's processors know no 64-bit offset there, but software that reaches the emulator
 * with one means Intel's: tests of hypervisors do, on both vendors' hosts, and nothing else is known to.
 */
static enum emu_result read_pointer(struct emu_run *r, unsigned int *size, u64 *off, u16 *sel)
{
	enum emu_result res;

	*size = r->insn->opsize;
	*off = 0;
	res = emu_operand_access(r, 0, off, *size, 0);
	return res ? res : emu_operand_access(r, *size, sel, 2, 0);
}

static enum emu_result far_by_pointer(struct emu_run *r, bool call)
{
	unsigned int size;
	enum emu_result res;
	u16 sel = 0;
	u64 off;

	res = read_pointer(r, &size, &off, &sel);
	return res ? res : far_to(r, sel, off, call);
}

enum emu_result op_jmpf_m(struct emu_run *r)
{
	return far_by_pointer(r, false);
}

enum emu_result op_callf_m(struct emu_run *r)
{
	return far_by_pointer(r, true);
}

/* LDS, LES, LSS, LFS, LGS. */
enum emu_result op_lds(struct emu_run *r)
{
	u8 op = r->insn->opcode;
	enum emu_segreg n = op == 0xc4 ? EMU_ES : op == 0xc5 ? EMU_DS : op == 0xb2 ? EMU_SS :
			    op == 0xb4 ? EMU_FS : EMU_GS;
	unsigned int size;
	enum emu_result res;
	u16 sel = 0;
	u64 off;

	res = read_pointer(r, &size, &off, &sel);
	if (!res)
		res = emu_load_seg(r->ctx, n, sel);
	if (!res)
		emu_set_reg(r->ctx, r->dst.reg, size, off);
	return res;
}

enum emu_result emu_stack_slot(struct emu_ctx *ctx, s64 off, u64 *val, unsigned int size)
{
	*val = 0;
	return emu_seg_access(ctx, EMU_SS, emu_stack_at(ctx, off), val, size, 0, size);
}

/* Going out to less privilege: data segments that it could not have loaded become null. */
void emu_drop_inner_segs(struct emu_ctx *ctx)
{
	static const u8 which[4] = { EMU_ES, EMU_DS, EMU_FS, EMU_GS };

	for (unsigned int i = 0; i < ARRAY_SIZE(which); i++) {
		const struct emu_seg *s = emu_seg(ctx, which[i]);
		u32 dpl = s->attr >> EMU_AR_DPL_SHIFT & 3;

		if (!EMU_SEL_ERR(s->sel) || (s->attr & EMU_AR_UNUSABLE) ||
		    (dpl < ctx->cpl && (s->attr & 0xc) != 0xc))
			put_null(ctx, which[i], 0);
	}
}

/* The stack segment and pointer that a return to privilege cpl takes from its frame. */
enum emu_result emu_return_stack(struct emu_ctx *ctx, struct emu_stack *st, u16 sel, u64 sp, u8 cpl, bool to64)
{
	enum emu_result res;
	u64 desc, addr;

	*st = (struct emu_stack){ .changed = true, .sp = sp, .mask = ~0ull, .flat = to64 };
	if (!EMU_SEL_ERR(sel) && to64 && cpl < 3 && (sel & 3) == cpl) {
		st->seg = (struct emu_seg){ .sel = sel, .attr = EMU_AR_UNUSABLE | (u32)cpl << EMU_AR_DPL_SHIFT };
		return EMU_DONE;
	}
	res = emu_check_stack(ctx, sel, cpl, VEC_GP, 0, &desc, &addr);
	if (!res)
		res = emu_desc_access(ctx, addr, &desc, DESC_ACCESSED, 0);
	if (res)
		return res;
	emu_seg_from_desc(&st->seg, sel, desc);
	if (!to64)
		st->mask = st->seg.attr & EMU_AR_DB ? 0xffffffff : 0xffff;
	st->sp &= st->mask;
	return EMU_DONE;
}

static enum emu_result ret_far_prot(struct emu_run *r, u64 off, u16 sel, unsigned int size, u64 release)
{
	struct emu_ctx *ctx = r->ctx;
	struct emu_far f = { .sel = sel, .off = off, .kind = FAR_RETURN };
	struct emu_stack st = {};
	unsigned int width = emu_stack_size(ctx);
	u8 rpl = sel & 3;
	enum emu_result res = EMU_DONE;
	u64 sp, ss;

	/* AMD reads the whole frame before it looks at the selector. */
	if (ctx->amd && rpl != ctx->cpl)
		res = emu_stack_slot(ctx, 3 * size + release, &ss, size);
	if (!res)
		res = emu_far_target(ctx, &f, ctx->cpl);
	if (!res && rpl > ctx->cpl) {
		res = emu_stack_slot(ctx, 2 * size + release, &sp, size);
		if (!res)
			res = emu_stack_slot(ctx, 3 * size + release, &ss, size);
		if (!res)
			res = emu_return_stack(ctx, &st, ss, sp, rpl, f.to64);
	}
	if (!res)
		res = emu_far_offset(ctx, &f);
	if (!res)
		res = emu_far_enter(ctx, &f, rpl);
	if (res)
		return res;
	if (st.changed) {
		emu_put_seg(ctx, EMU_SS, &st.seg);
		st.sp = (st.sp + release) & st.mask;
		emu_stack_use(ctx, &st);
		emu_drop_inner_segs(ctx);
	} else {
		emu_set_reg(ctx, EMU_RSP, width, ctx->regs[EMU_RSP] + 2 * size + release);
	}
	return EMU_DONE;
}

enum emu_result op_retf(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int size = r->insn->opsize;
	u64 off, sel, release = KIND(r->row->src) == K_I ? r->src.val : 0;
	enum emu_result res = emu_stack_slot(ctx, size, &sel, size);

	if (!res)
		res = emu_stack_slot(ctx, 0, &off, size);
	if (res)
		return res;
	if (emu_is_prot(ctx)) {
		res = ret_far_prot(r, off, sel, size, release);
	} else if (off > emu_seg(ctx, EMU_CS)->limit) {
		res = emu_gp0(ctx);
	} else {
		emu_seg_real(ctx, EMU_CS, sel);
		emu_set_reg(ctx, EMU_RSP, emu_stack_size(ctx), ctx->regs[EMU_RSP] + 2 * size + release);
	}
	r->next = off;
	return res;
}

static bool umip_forbids(struct emu_ctx *ctx)
{
	return ctx->cpl && (ctx->ops->get_sys(ctx, EMU_CR4) & C4_UMIP);
}

/* SLDT, STR: the row says which register. */
enum emu_result op_sldt(struct emu_run *r)
{
	if (umip_forbids(r->ctx))
		return emu_gp0(r->ctx);
	r->dst.val = emu_seg(r->ctx, r->row->arg == EMU_TR ? EMU_TR : EMU_LDTR)->sel;
	return EMU_DONE;
}

/* A system segment for LDTR or TR: descriptor in the GDT, 16 bytes in long mode. */
static enum emu_result read_system(struct emu_ctx *ctx, u16 sel, u32 types, u64 *desc, u64 *addr,
				   struct emu_seg *seg)
{
	u32 err = EMU_SEL_ERR(sel);
	enum emu_result res;
	u64 high;

	if (sel & 4)
		return emu_gp(ctx, err);
	res = emu_read_desc(ctx, sel, VEC_GP, desc, addr);
	if (!res)
		res = emu_read_desc_high(ctx, sel, VEC_GP, &high);
	if (res)
		return res;
	if (DESC_S(*desc) || !(types >> DESC_TYPE(*desc) & 1) || (high >> 40 & 0x1f))
		return emu_gp(ctx, err);
	if (!DESC_P(*desc))
		return emu_fault(ctx, VEC_NP, true, err);
	emu_seg_from_desc(seg, sel, *desc);
	seg->base |= high << 32;
	return ctx->lma && !emu_canonical_base(ctx, seg->base) ? emu_gp(ctx, err) : EMU_DONE;
}

enum emu_result op_lldt(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	u16 sel = r->src.val;
	struct emu_seg seg;
	enum emu_result res;
	u64 desc, addr;

	if (!EMU_SEL_ERR(sel)) {
		put_null(ctx, EMU_LDTR, sel);
		return EMU_DONE;
	}
	res = read_system(ctx, sel, 1u << SYS_LDT, &desc, &addr, &seg);
	if (!res)
		emu_put_seg(ctx, EMU_LDTR, &seg);
	return res;
}

enum emu_result op_ltr(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	u16 sel = r->src.val;
	struct emu_seg seg;
	enum emu_result res;
	u64 desc, addr;

	if (!EMU_SEL_ERR(sel))
		return emu_gp0(ctx);
	res = read_system(ctx, sel, ctx->lma ? 1u << SYS_TSS32 : 1u << SYS_TSS16 | 1u << SYS_TSS32, &desc, &addr,
			  &seg);
	if (!res)
		res = emu_desc_access(ctx, addr, &desc, DESC_BUSY, 0);
	if (res)
		return res;
	seg.attr |= 2;
	emu_put_seg(ctx, EMU_TR, &seg);
	return EMU_DONE;
}

/* A descriptor that is only asked about: anything wrong with the selector is an answer, not a fault. */
static enum emu_result ask_desc(struct emu_run *r, u64 *desc, bool *there)
{
	u16 sel = r->src.val;
	u64 addr;

	r->ctx->rflags &= ~FL_ZF;
	*there = EMU_SEL_ERR(sel) && desc_address(r->ctx, sel, 8, &addr);
	return *there ? emu_la_access(r->ctx, addr, desc, 8, EMU_ACC_SYSTEM) : EMU_DONE;
}

/* Could this privilege use it? Conforming code is open to all. */
static bool visible(const struct emu_run *r, u64 desc)
{
	u8 dpl = DESC_DPL(desc);

	if (DESC_S(desc) && (DESC_TYPE(desc) & 0xc) == 0xc)
		return true;
	return dpl >= r->ctx->cpl && dpl >= (r->src.val & 3);
}

/* VERR, VERW (argument 1). */
enum emu_result op_verr(struct emu_run *r)
{
	unsigned int type;
	enum emu_result res;
	bool there, ok;
	u64 desc = 0;

	res = ask_desc(r, &desc, &there);
	if (res || !there)
		return res;
	type = DESC_TYPE(desc);
	ok = r->row->arg ? (type & 0xa) == 2 : (type & 0xa) != 8;
	if (ok && DESC_S(desc) && visible(r, desc))
		r->ctx->rflags |= FL_ZF;
	return EMU_DONE;
}

/* System types that LAR and LSL know: without gates for LSL; fewer in long mode. */
static enum emu_result ask(struct emu_run *r, u32 types, u64 *desc, bool *ok)
{
	enum emu_result res = ask_desc(r, desc, ok);

	if (!res && *ok)
		*ok = (DESC_S(*desc) || (types >> DESC_TYPE(*desc) & 1)) && visible(r, *desc);
	r->skip_write = !*ok;
	if (!res && *ok)
		r->ctx->rflags |= FL_ZF;
	return res;
}

enum emu_result op_lar(struct emu_run *r)
{
	u64 desc = 0;
	bool ok;
	enum emu_result res = ask(r, r->ctx->lma ? 0x1a04 : 0x1a3e, &desc, &ok);

	r->dst.val = desc >> 32 & 0xffff00;	/* 19:16: undefined, on processors the limit's */
	return res;
}

enum emu_result op_lsl(struct emu_run *r)
{
	u64 desc = 0;
	bool ok;
	enum emu_result res = ask(r, r->ctx->lma ? 0x0a04 : 0x0a0e, &desc, &ok);
	struct emu_seg seg;

	emu_seg_from_desc(&seg, 0, desc);
	r->dst.val = seg.limit;
	return res;
}

enum emu_result op_arpl(struct emu_run *r)
{
	u64 want = r->src.val & 3;

	r->ctx->rflags &= ~FL_ZF;
	if ((r->dst.val & 3) >= want) {
		r->skip_write = true;
		return EMU_DONE;
	}
	r->dst.val = (r->dst.val & ~3ull) | want;
	r->ctx->rflags |= FL_ZF;
	return EMU_DONE;
}
