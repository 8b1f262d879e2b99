// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moves between memory and the x87, MMX, SSE and AVX registers. Registers are seen as images of bytes through
 * ops->fpu; what an x87 load or store converts is left to the machine, which runs the same instruction on a buffer.
 */
#include "insn.h"

/* The row's argument, see VM() in tables.c. */
struct vspec {
	unsigned int n, from, to;
	bool merge, aligned;
};

static struct vspec unpack(const struct emu_run *r)
{
	unsigned int a = r->row->arg;
	struct vspec s = { .n = a & 63, .from = a & 64 ? 8 : 0, .to = a & 128 ? 8 : 0,
			   .merge = a & 256, .aligned = a & 512 };

	if (s.n == 32 && !r->insn->vex_l)
		s.n = 16;
	if (!s.n)
		s.n = r->insn->rex & 8 && emu_is_64(r->ctx) ? 8 : 4;
	return s;
}

static unsigned int reg_of(const struct emu_insn *in, bool rm)
{
	return rm ? (in->modrm & 7) | (in->rex & 1) << 3 : (in->modrm >> 3 & 7) | (in->rex & 4) << 1;
}

static enum emu_result vector_memory(struct emu_run *r, void *buf, const struct vspec *s, unsigned int acc)
{
	u64 base = emu_is_64(r->ctx) && r->insn->seg != EMU_FS && r->insn->seg != EMU_GS ? 0 :
		   emu_seg(r->ctx, r->insn->seg)->base;

	if (s->aligned && ((base + r->ea) & (s->n - 1)))
		return emu_gp0(r->ctx);
	return emu_operand_access(r, 0, buf, s->n, acc);
}

/* Register forms write a register too; only which field names it differs. */
static enum emu_result put_vector(struct emu_run *r, unsigned int reg, const u8 *val, const struct vspec *s)
{
	struct emu_ctx *ctx = r->ctx;
	u8 image[32] = {};
	enum emu_result res;

	if (s->merge) {
		unsigned int old = r->insn->vex ? r->insn->vvvv : reg;

		res = ctx->ops->fpu(ctx, EMU_FPU_GET_XMM, old, image);
		if (res)
			return res;
	}
	memcpy(image + s->to, val, s->n);
	return ctx->ops->fpu(ctx, r->insn->vex ? EMU_FPU_SET_YMM : EMU_FPU_SET_XMM, reg, image);
}

enum emu_result op_vmov(struct emu_run *r)
{
	const struct emu_insn *in = r->insn;
	struct vspec s = unpack(r);
	struct emu_ctx *ctx = r->ctx;
	bool store = KIND(r->row->src) == K_V, general = KIND(r->row->dst) == K_E || KIND(r->row->src) == K_E;
	enum emu_result res;
	u8 image[32] = {};

	if (store) {
		res = ctx->ops->fpu(ctx, EMU_FPU_GET_YMM, reg_of(in, false), image);
		if (res)
			return res;
		if (in->is_mem)
			return vector_memory(r, image + s.from, &s, EMU_ACC_WRITE);
		if (!general)
			return put_vector(r, reg_of(in, true), image + s.from, &s);
		memcpy(&r->src.val, image, 8);
		emu_set_reg(ctx, reg_of(in, true), s.n, r->src.val);
		return EMU_DONE;
	}
	if (in->is_mem)
		res = vector_memory(r, image + s.from, &s, 0);
	else if (general)
		res = (memcpy(image, &ctx->regs[reg_of(in, true)], 8), EMU_DONE);
	else
		res = ctx->ops->fpu(ctx, EMU_FPU_GET_YMM, reg_of(in, true), image);
	return res ? res : put_vector(r, reg_of(in, false), image + s.from, &s);
}

/* MOVD, MOVQ, MOVNTQ with MMX registers. Argument: bytes, 0 for 4 or 8 by REX.W. */
enum emu_result op_mmx(struct emu_run *r)
{
	const struct emu_insn *in = r->insn;
	struct emu_ctx *ctx = r->ctx;
	bool store = KIND(r->row->src) == K_P, general = !r->row->arg;
	unsigned int n = r->row->arg ? r->row->arg : in->rex & 8 ? 8 : 4, reg = in->modrm >> 3 & 7;
	u64 v = 0;
	enum emu_result res;

	if (store) {
		if (in->is_mem) {	/* the store may fault; reading the register already changes x87 state */
			res = emu_operand_access(r, 0, NULL, n, EMU_ACC_WRITE | EMU_ACC_PROBE);
			if (res)
				return res;
		}
		res = ctx->ops->fpu(ctx, EMU_FPU_GET_MMX, reg, &v);
		if (res)
			return res;
		if (in->is_mem)
			return emu_operand_access(r, 0, &v, n, EMU_ACC_WRITE);
		if (!general)
			return ctx->ops->fpu(ctx, EMU_FPU_SET_MMX, in->modrm & 7, &v);
		emu_set_reg(ctx, reg_of(in, true), n, v);
		return EMU_DONE;
	}
	if (in->is_mem)
		res = emu_operand_access(r, 0, &v, n, 0);
	else if (general)
		res = (v = emu_get_reg(ctx, reg_of(in, true), n), EMU_DONE);
	else
		res = ctx->ops->fpu(ctx, EMU_FPU_GET_MMX, in->modrm & 7, &v);
	return res ? res : ctx->ops->fpu(ctx, EMU_FPU_SET_MMX, reg, &v);
}

enum emu_result op_ldmxcsr(struct emu_run *r)
{
	u32 v = 0;
	enum emu_result res = emu_operand_access(r, 0, &v, 4, 0);

	return res ? res : r->ctx->ops->fpu(r->ctx, EMU_FPU_SET_MXCSR, 0, &v);
}

enum emu_result op_stmxcsr(struct emu_run *r)
{
	u32 v = 0;
	enum emu_result res = r->ctx->ops->fpu(r->ctx, EMU_FPU_GET_MXCSR, 0, &v);

	return res ? res : emu_operand_access(r, 0, &v, 4, EMU_ACC_WRITE);
}

static unsigned int x87_index(const struct emu_insn *in)
{
	return (in->opcode & 7) << 3 | (in->modrm >> 3 & 7);
}

enum emu_result op_x87_load(struct emu_run *r)
{
	u8 image[16] = {};
	enum emu_result res = emu_operand_access(r, 0, image, r->row->arg, 0);

	return res ? res : r->ctx->ops->fpu(r->ctx, EMU_FPU_X87, x87_index(r->insn), image);
}

/*
 * The store may pop: make sure of the destination first. An unmasked exception (but precision) keeps it from being
 * made; whatever unmasked flag is there now is this instruction's, or it would not have come this far.
 */
enum emu_result op_x87_store(struct emu_run *r)
{
	u8 image[16] = {};
	u16 words[2] = {};
	enum emu_result res = emu_operand_access(r, 0, NULL, r->row->arg, EMU_ACC_WRITE | EMU_ACC_PROBE);

	if (!res)
		res = r->ctx->ops->fpu(r->ctx, EMU_FPU_X87, x87_index(r->insn), image);
	if (!res && !(r->row->flags & F_NOWAIT))
		res = r->ctx->ops->fpu(r->ctx, EMU_FPU_GET_X87, 0, words);
	if (res || (words[1] & ~words[0] & 0x1f))
		return res;
	return emu_operand_access(r, 0, image, r->row->arg, EMU_ACC_WRITE);
}

/* FNINIT, FNCLEX, FNSTSW AX, FWAIT. FWAIT alone looks at MP instead of EM, and does nothing but wait. */
enum emu_result op_x87_reg(struct emu_run *r)
{
	const struct emu_insn *in = r->insn;
	struct emu_ctx *ctx = r->ctx;
	u16 image = ctx->regs[EMU_RAX];
	enum emu_result res;

	if (in->opcode == 0x9b) {
		if ((ctx->ops->get_sys(ctx, EMU_CR0) & (C0_MP | C0_TS)) == (C0_MP | C0_TS))
			return emu_fault(ctx, VEC_NM, false, 0);
		return ctx->ops->fpu(ctx, EMU_FPU_WAIT, 0, NULL);
	}
	res = ctx->ops->fpu(ctx, EMU_FPU_X87_REG, (in->opcode << 8 | in->modrm) & 0x7ff, &image);
	if (!res && in->opcode == 0xdf)
		emu_set_reg(ctx, EMU_RAX, 2, image);
	return res;
}
