// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moves, the stack, near control transfers and flag instructions.
 */
#include "insn.h"

enum emu_result op_mov(struct emu_run *r)
{
	r->dst.val = r->src.val;
	return EMU_DONE;
}

enum emu_result op_movnti(struct emu_run *r)
{
	unsigned int size = r->src.size;

	return emu_operand_access(r, 0, &r->src.val, size, EMU_ACC_WRITE);
}

enum emu_result op_movsx(struct emu_run *r)
{
	r->dst.val = emu_sext(r->src.val, r->src.size);
	if (r->dst.size < r->src.size)
		r->dst.val = r->src.val;
	return EMU_DONE;
}

enum emu_result op_movbe(struct emu_run *r)
{
	r->dst.val = __builtin_bswap64(r->src.val) >> (64 - r->dst.size * 8);
	return EMU_DONE;
}

enum emu_result op_lea(struct emu_run *r)
{
	r->dst.val = r->ea;
	return EMU_DONE;
}

/* Condition code, low four bits of the opcode. */
static bool condition(const struct emu_run *r)
{
	u64 fl = r->ctx->rflags;
	bool s_ne_o = !(fl & FL_SF) != !(fl & FL_OF), c;

	switch (r->insn->opcode >> 1 & 7) {
	case 0:
		c = fl & FL_OF;
		break;
	case 1:
		c = fl & FL_CF;
		break;
	case 2:
		c = fl & FL_ZF;
		break;
	case 3:
		c = fl & (FL_CF | FL_ZF);
		break;
	case 4:
		c = fl & FL_SF;
		break;
	case 5:
		c = fl & FL_PF;
		break;
	case 6:
		c = s_ne_o;
		break;
	default:
		c = s_ne_o || (fl & FL_ZF);
		break;
	}
	return c != (r->insn->opcode & 1);
}

/* The destination is written in any case: a 32-bit one loses its upper half. */
enum emu_result op_cmov(struct emu_run *r)
{
	if (condition(r))
		r->dst.val = r->src.val;
	return EMU_DONE;
}

enum emu_result op_setcc(struct emu_run *r)
{
	r->dst.val = condition(r);
	return EMU_DONE;
}

enum emu_result op_salc(struct emu_run *r)
{
	emu_set_reg(r->ctx, EMU_RAX, 1, r->ctx->rflags & FL_CF ? 0xff : 0);
	return EMU_DONE;
}

enum emu_result op_xlat(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	u64 ea = (ctx->regs[EMU_RBX] + (ctx->regs[EMU_RAX] & 0xff)) & emu_mask(r->insn->adsize);
	u8 b = 0;
	enum emu_result res = emu_seg_access(ctx, r->insn->seg, ea, &b, 1, 0, 0);

	if (res == EMU_DONE)
		emu_set_reg(ctx, EMU_RAX, 1, b);
	return res;
}

enum emu_result op_push(struct emu_run *r)
{
	return emu_push(r->ctx, r->src.val, r->insn->opsize);
}

/* The stack slot is as wide as the operand, but only the selector's 16 bits are written. */
enum emu_result op_push_sreg(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int size = r->insn->opsize;
	u64 sp = emu_stack_at(ctx, -(s64)size);
	enum emu_result res = emu_seg_access(ctx, EMU_SS, sp, &r->src.val, size == 4 ? 2 : size, EMU_ACC_WRITE,
					     size);

	if (res == EMU_DONE)
		emu_set_reg(ctx, EMU_RSP, emu_stack_size(ctx), sp);
	return res;
}

enum emu_result op_pop(struct emu_run *r)
{
	enum emu_result res = emu_pop(r->ctx, &r->dst.val, r->insn->opsize);

	if (r->dst.mem)
		r->ea = emu_ea(r);	/* made with the stack pointer after the pop */
	return res;
}

static enum emu_result load_seg(struct emu_run *r, unsigned int n, u16 sel)
{
	enum emu_result res = emu_load_seg(r->ctx, n, sel);

	if (res == EMU_DONE && n == EMU_SS)
		r->ctx->shadow = EMU_SHADOW_MOVSS;
	return res;
}

enum emu_result op_pop_sreg(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int size = r->insn->opsize;
	u64 sel = 0, sp = emu_stack_at(ctx, size), old = ctx->regs[EMU_RSP];
	unsigned int width = emu_stack_size(ctx);
	enum emu_result res;

	res = emu_seg_access(ctx, EMU_SS, emu_stack_at(ctx, 0), &sel, size == 4 ? 2 : size, 0, size);
	if (res)
		return res;
	res = load_seg(r, KIND(r->row->dst) - K_ES, sel);
	ctx->regs[EMU_RSP] = old;
	if (res == EMU_DONE)
		emu_set_reg(ctx, EMU_RSP, width, sp);
	return res;
}

enum emu_result op_mov_sreg(struct emu_run *r)
{
	unsigned int n = r->insn->modrm >> 3 & 7;

	if (n == EMU_CS || n > EMU_GS)
		return emu_ud(r->ctx);
	return load_seg(r, emu_clamp(n, EMU_GS + 1), r->src.val);
}

/* Eight registers at once: both ends are checked before the first byte moves. */
enum emu_result op_pusha(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int size = r->insn->opsize;
	u64 sp = ctx->regs[EMU_RSP];
	enum emu_result res = EMU_DONE;

	for (unsigned int i = 0; i < 8 && !res; i++)
		res = emu_push(ctx, i == EMU_RSP ? sp : ctx->regs[i], size);
	return res;
}

enum emu_result op_popa(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int size = r->insn->opsize;
	enum emu_result res = EMU_DONE;
	u64 v;

	for (int i = 7; i >= 0 && !res; i--) {
		res = emu_pop(ctx, &v, size);
		if (!res && i != EMU_RSP)
			emu_set_reg(ctx, i, size, v);
	}
	return res;
}

/* IOPL-sensitive in virtual-8086 mode, where VME may virtualise IF in VIF. */
enum emu_result op_pushf(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	u64 fl = ctx->rflags & ~(FL_RF | FL_VM);

	if (ctx->mode == EMU_VM86 && (fl & FL_IOPL) != FL_IOPL) {
		if (r->insn->opsize != 2 || !(ctx->ops->get_sys(ctx, EMU_CR4) & C4_VME))
			return emu_gp0(ctx);
		fl = (fl & ~FL_IF) | FL_IOPL | (fl & FL_VIF ? FL_IF : 0);
	}
	return emu_push(ctx, fl, r->insn->opsize);
}

enum emu_result op_popf(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	u64 fl = ctx->rflags, v, mask = FL_ARITH | FL_TF | FL_DF | FL_NT | FL_AC | FL_ID;
	unsigned int iopl = (fl & FL_IOPL) >> 12, size = r->insn->opsize;
	bool vme = ctx->mode == EMU_VM86 && iopl < 3;
	enum emu_result res;

	if (vme && (size != 2 || !(ctx->ops->get_sys(ctx, EMU_CR4) & C4_VME)))
		return emu_gp0(ctx);
	res = emu_pop(ctx, &v, size);
	if (res)
		return res;
	if (vme) {
		if ((v & FL_TF) || ((v & FL_IF) && (fl & FL_VIP)))
			return emu_gp0(ctx);
		fl = (fl & ~FL_VIF) | (v & FL_IF ? FL_VIF : 0);
	} else if (ctx->cpl <= iopl) {
		mask |= FL_IF;
	}
	if (ctx->cpl == 0)
		mask |= FL_IOPL;
	mask &= emu_mask(size);
	ctx->rflags = (fl & ~(mask | FL_RF)) | (v & mask);
	return EMU_DONE;
}

enum emu_result op_enter(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int size = r->insn->opsize, level = r->src2.val & 31, width = emu_stack_size(ctx);
	u64 frame, v = 0, bp = ctx->regs[EMU_RBP];
	enum emu_result res = emu_push(ctx, bp, size);

	frame = ctx->regs[EMU_RSP];
	for (unsigned int i = 1; i < level && !res; i++) {
		bp = (bp & ~emu_mask(width)) | ((bp - size) & emu_mask(width));
		v = 0;
		res = emu_seg_access(ctx, EMU_SS, bp & emu_mask(width), &v, size, 0, size);
		if (!res)
			res = emu_push(ctx, v, size);
	}
	if (level && !res)
		res = emu_push(ctx, frame, size);
	if (res)
		return res;
	emu_set_reg(ctx, EMU_RBP, size, frame);
	emu_set_reg(ctx, EMU_RSP, width, ctx->regs[EMU_RSP] - r->src.val);
	/* The processor makes sure that the new top of stack can be written. */
	return emu_seg_access(ctx, EMU_SS, emu_stack_at(ctx, 0), NULL, size, EMU_ACC_WRITE | EMU_ACC_PROBE, size);
}

enum emu_result op_leave(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int size = r->insn->opsize;
	enum emu_result res;
	u64 v;

	emu_set_reg(ctx, EMU_RSP, emu_stack_size(ctx), ctx->regs[EMU_RBP]);
	res = emu_pop(ctx, &v, size);
	if (!res)
		emu_set_reg(ctx, EMU_RBP, size, v);
	return res;
}

enum emu_result op_jmp(struct emu_run *r)
{
	return emu_branch(r, r->next + r->src.val);
}

enum emu_result op_jcc(struct emu_run *r)
{
	return condition(r) ? op_jmp(r) : EMU_DONE;
}

enum emu_result op_jmp_ind(struct emu_run *r)
{
	return emu_branch(r, r->dst.val);
}

static enum emu_result call_to(struct emu_run *r, u64 target)
{
	u64 ret = r->next, sp = emu_stack_at(r->ctx, -(s64)r->insn->opsize);
	enum emu_result res = EMU_DONE;

	/* AMD looks at the stack before it looks at the target. */
	if (r->ctx->amd)
		res = emu_seg_access(r->ctx, EMU_SS, sp, NULL, r->insn->opsize, EMU_ACC_WRITE | EMU_ACC_PROBE,
				     r->insn->opsize);
	if (!res)
		res = emu_branch(r, target);
	return res ? res : emu_push(r->ctx, ret, r->insn->opsize);
}

enum emu_result op_call(struct emu_run *r)
{
	return call_to(r, r->next + r->src.val);
}

enum emu_result op_call_ind(struct emu_run *r)
{
	return call_to(r, r->dst.val);
}

enum emu_result op_ret(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	enum emu_result res;
	u64 target;

	res = emu_pop(ctx, &target, r->insn->opsize);
	if (!res)
		res = emu_branch(r, target);
	if (!res && KIND(r->row->src) == K_I)
		emu_set_reg(ctx, EMU_RSP, emu_stack_size(ctx), ctx->regs[EMU_RSP] + r->src.val);
	return res;
}

/*
 * LOOPNE, LOOPE, LOOP by row argument. The count is as wide as addresses are. On AMD a repeat prefix, which means
 * nothing here by the manual, decides which value of ZF is looked for.
 */
enum emu_result op_loop(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int size = r->insn->adsize;
	u64 n = (ctx->regs[EMU_RCX] - 1) & emu_mask(size);
	bool zf = ctx->rflags & FL_ZF, want = r->row->arg;

	if (ctx->amd && r->insn->rep)
		want = r->insn->rep == 0xf3;
	emu_set_reg(ctx, EMU_RCX, size, n);
	return n && (r->row->arg == 2 || zf == want) ? op_jmp(r) : EMU_DONE;
}

enum emu_result op_jcxz(struct emu_run *r)
{
	return emu_get_reg(r->ctx, EMU_RCX, r->insn->adsize) ? EMU_DONE : op_jmp(r);
}

enum emu_result op_lahf(struct emu_run *r)
{
	u64 fl = (r->ctx->rflags & 0xd5) | 2;

	r->ctx->regs[EMU_RAX] = (r->ctx->regs[EMU_RAX] & ~0xff00ull) | fl << 8;
	return EMU_DONE;
}

enum emu_result op_sahf(struct emu_run *r)
{
	r->ctx->rflags = (r->ctx->rflags & ~0xd5ull) | (r->ctx->regs[EMU_RAX] >> 8 & 0xd5);
	return EMU_DONE;
}

/* CMC, CLC, STC, CLD, STD by row argument. */
enum emu_result op_flag(struct emu_run *r)
{
	static const struct {
		u64 clear, set, flip;
	} what[5] = { { 0, 0, FL_CF }, { FL_CF, 0, 0 }, { 0, FL_CF, 0 }, { FL_DF, 0, 0 }, { 0, FL_DF, 0 } };
	unsigned int i = r->row->arg;

	r->ctx->rflags = ((r->ctx->rflags & ~what[i].clear) | what[i].set) ^ what[i].flip;
	return EMU_DONE;
}

/* CLI and STI, where IOPL is not enough, may still change VIF: VME in virtual-8086 mode, PVI at CPL 3. */
static enum emu_result set_if(struct emu_run *r, bool on)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int iopl = (ctx->rflags & FL_IOPL) >> 12;
	u64 flag = FL_IF, need = ctx->mode == EMU_VM86 ? C4_VME : C4_PVI;

	if (!emu_is_real(ctx) && ctx->cpl > iopl) {
		if (ctx->cpl != 3 || !(ctx->ops->get_sys(ctx, EMU_CR4) & need))
			return emu_gp0(ctx);
		if (on && (ctx->rflags & FL_VIP))
			return emu_gp0(ctx);
		flag = FL_VIF;
	} else if (on && !(ctx->rflags & FL_IF)) {
		ctx->shadow = EMU_SHADOW_STI;
	}
	ctx->rflags = (ctx->rflags & ~flag) | (on ? flag : 0);
	return EMU_DONE;
}

enum emu_result op_cli(struct emu_run *r)
{
	return set_if(r, false);
}

enum emu_result op_sti(struct emu_run *r)
{
	return set_if(r, true);
}

enum emu_result op_nop(struct emu_run *r)
{
	(void)r;
	return EMU_DONE;
}

enum emu_result op_bound(struct emu_run *r)
{
	unsigned int size = r->dst.size;
	u64 lo = 0, hi = 0;
	enum emu_result res = emu_operand_access(r, 0, &lo, size, 0);

	if (!res)
		res = emu_operand_access(r, size, &hi, size, 0);
	if (res)
		return res;
	if (emu_sext(r->dst.val, size) < emu_sext(lo, size) || emu_sext(r->dst.val, size) > emu_sext(hi, size))
		return emu_fault(r->ctx, VEC_BR, false, 0);
	return EMU_DONE;
}
