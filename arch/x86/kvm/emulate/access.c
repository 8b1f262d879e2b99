// SPDX-License-Identifier: GPL-2.0-only
/*
 * Access: from segment and offset to linear addresses with every check of segmentation, canonical form and alignment;
 * general registers; the stack; port permission; breakpoints on data. All memory of the
 * emulator goes through emu_la_access().
 */
#include "insn.h"

const struct emu_seg *emu_seg(struct emu_ctx *ctx, enum emu_segreg n)
{
	if (!(ctx->seg_valid & 1u << n)) {
		ctx->ops->get_seg(ctx, n, &ctx->seg[n]);
		ctx->seg_valid |= 1u << n;
	}
	return &ctx->seg[n];
}

void emu_put_seg(struct emu_ctx *ctx, enum emu_segreg n, const struct emu_seg *seg)
{
	ctx->seg[n] = *seg;
	ctx->seg_valid |= 1u << n;
	ctx->ops->set_seg(ctx, n, &ctx->seg[n]);
}

bool emu_canonical(struct emu_ctx *ctx, u64 la)
{
	if (emu_sext(la, 6) == (s64)la)
		return true;
	return (ctx->ops->get_sys(ctx, EMU_CR4) & C4_LA57) && (u64)((s64)(la << 7) >> 7) == la;
}

/* Of what registers hold: as wide as the processor's addresses can be, in any paging mode. */
bool emu_canonical_base(struct emu_ctx *ctx, u64 base)
{
	return emu_sext(base, 6) == (s64)base || (ctx->la57 && (u64)((s64)(base << 7) >> 7) == base);
}

static bool type_allows(const struct emu_seg *s, bool write)
{
	bool code = s->attr & 8, rw = s->attr & 2;

	if (s->attr & EMU_AR_UNUSABLE)
		return false;
	return write ? !code && rw : !code || rw;
}

bool emu_limit_ok(const struct emu_seg *s, u32 off, unsigned int len)
{
	u64 last = (u64)off + len - 1;

	if ((s->attr & 0xc) != 4)	/* not expand-down data */
		return last <= s->limit;
	return off > s->limit && last <= (s->attr & EMU_AR_DB ? 0xffffffffu : 0xffffu);
}

enum emu_result emu_linear(struct emu_ctx *ctx, enum emu_segreg seg, u64 ea, unsigned int len, bool write,
			   u64 *la)
{
	u8 vec = seg == EMU_SS ? VEC_SS : VEC_GP;
	const struct emu_seg *s;

	if (emu_is_64(ctx)) {
		*la = ea;
		if (seg == EMU_FS || seg == EMU_GS) {
			*la += emu_seg(ctx, seg)->base;
			if (ctx->amd && !emu_canonical(ctx, ea))	/* the offset has to be that as well */
				return emu_fault(ctx, vec, true, 0);
		}
		if (!emu_canonical(ctx, *la) || !emu_canonical(ctx, *la + len - 1))
			return emu_fault(ctx, vec, true, 0);
		return EMU_DONE;
	}
	s = emu_seg(ctx, seg);
	if ((emu_is_prot(ctx) && !type_allows(s, write)) || !emu_limit_ok(s, ea, len))
		return emu_fault(ctx, vec, true, 0);
	*la = (u32)(s->base + ea);
	return EMU_DONE;
}

/* Which armed breakpoints does this access hit? kind: 1 write, 3 read, 2 port; as DR7 encodes them. */
void emu_watch(struct emu_ctx *ctx, u64 la, unsigned int len, unsigned int kind)
{
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int ctl = ctx->dr7 >> (16 + i * 4) & 15, type = ctl & 3, size = ctl >> 2;
		u64 at;

		if (!(ctx->dr7 >> (i * 2) & 3) || (type == 2) != (kind == 2))
			continue;
		if (!type || (type == 1 && kind != 1) ||
		    (type == 2 && !(ctx->ops->get_sys(ctx, EMU_CR4) & C4_DE)))
			continue;
		size = size == 2 ? 8 : size + 1;
		at = ctx->ops->get_sys(ctx, EMU_DR0 + i) & ~(u64)(size - 1);
		if (la < at + size && at < la + len)
			ctx->db_hits |= 1u << i;
	}
}

enum emu_result emu_la_access(struct emu_ctx *ctx, u64 la, void *buf, unsigned int len, unsigned int acc)
{
	enum emu_result res = ctx->ops->mem(ctx, la, buf, len, acc);

	if ((ctx->dr7 & 0xff) && res == EMU_DONE && !(acc & (EMU_ACC_SYSTEM | EMU_ACC_PROBE)))
		emu_watch(ctx, la, len, acc & EMU_ACC_WRITE ? 1 : 3);
	return res;
}

bool emu_misaligned(struct emu_ctx *ctx, u64 la, unsigned int align)
{
	return align > 1 && (la & (align - 1)) && (ctx->rflags & FL_AC) && ctx->cpl == 3 &&
	       (ctx->ops->get_sys(ctx, EMU_CR0) & C0_AM);
}

enum emu_result emu_seg_access(struct emu_ctx *ctx, enum emu_segreg seg, u64 ea, void *buf,
			       unsigned int len, unsigned int acc, unsigned int align)
{
	enum emu_result res;
	u64 la;

	res = emu_linear(ctx, seg, ea, len, acc & (EMU_ACC_WRITE | EMU_ACC_RMW), &la);
	if (res)
		return res;
	if (emu_misaligned(ctx, la, align))
		return emu_fault(ctx, VEC_AC, true, 0);
	return emu_la_access(ctx, la, buf, len, acc);
}

u64 emu_ea(const struct emu_run *r)
{
	const struct emu_insn *in = r->insn;
	u64 ea = in->disp;

	if (in->base < 16)
		ea += r->ctx->regs[in->base];
	if (in->index < 16)
		ea += r->ctx->regs[in->index] << in->scale;
	if (in->rip_relative)
		ea += r->next;
	return ea & emu_mask(in->adsize);
}

enum emu_result emu_operand_access(struct emu_run *r, unsigned int off, void *buf, unsigned int len,
				   unsigned int acc)
{
	unsigned int align = r->row->flags & F_NOAC ? 0 : len & (len - 1) ? 8 : len > 16 ? 16 : len;

	return emu_seg_access(r->ctx, r->insn->seg, (r->ea + off) & emu_mask(r->insn->adsize), buf, len, acc,
			      align);
}

u64 emu_get_reg(const struct emu_ctx *ctx, unsigned int reg, unsigned int size)
{
	return ctx->regs[reg & 15] & emu_mask(size);
}

/* As the CPU writes registers: 32-bit results clear the upper half, smaller ones leave the rest. */
void emu_set_reg(struct emu_ctx *ctx, unsigned int reg, unsigned int size, u64 val)
{
	u64 keep = size >= 4 ? 0 : ~emu_mask(size);

	ctx->regs[reg & 15] = (ctx->regs[reg & 15] & keep) | (val & emu_mask(size));
}

/* Width of the stack pointer. */
unsigned int emu_stack_size(struct emu_ctx *ctx)
{
	if (emu_is_64(ctx))
		return 8;
	return emu_seg(ctx, EMU_SS)->attr & EMU_AR_DB ? 4 : 2;
}

u64 emu_stack_at(struct emu_ctx *ctx, s64 off)
{
	return (ctx->regs[EMU_RSP] + off) & emu_mask(emu_stack_size(ctx));
}

enum emu_result emu_push(struct emu_ctx *ctx, u64 val, unsigned int size)
{
	u64 sp = emu_stack_at(ctx, -(s64)size);
	enum emu_result res = emu_seg_access(ctx, EMU_SS, sp, &val, size, EMU_ACC_WRITE, size);

	if (res == EMU_DONE)
		emu_set_reg(ctx, EMU_RSP, emu_stack_size(ctx), sp);
	return res;
}

enum emu_result emu_pop(struct emu_ctx *ctx, u64 *val, unsigned int size)
{
	enum emu_result res;

	*val = 0;
	res = emu_seg_access(ctx, EMU_SS, emu_stack_at(ctx, 0), val, size, 0, size);
	if (res == EMU_DONE)
		emu_set_reg(ctx, EMU_RSP, emu_stack_size(ctx), emu_stack_at(ctx, size));
	return res;
}

enum emu_result emu_branch(struct emu_run *r, u64 target)
{
	struct emu_ctx *ctx = r->ctx;

	target &= emu_mask(r->insn->opsize);
	if (emu_is_64(ctx)) {
		if (!emu_canonical(ctx, target))
			return emu_gp0(ctx);
	} else {
		if (target > emu_seg(ctx, EMU_CS)->limit)
			return emu_gp0(ctx);
	}
	r->next = target;
	return EMU_DONE;
}

/* The I/O permission bit map of the current TSS, where IOPL does not decide. */
enum emu_result emu_io_allowed(struct emu_ctx *ctx, u16 port, unsigned int size)
{
	const struct emu_seg *tr;
	enum emu_result res;
	u16 map = 0, bits = 0;
	u64 at;

	if (emu_is_real(ctx) || (ctx->mode != EMU_VM86 && ctx->cpl <= (ctx->rflags & FL_IOPL) >> 12))
		return EMU_DONE;
	tr = emu_seg(ctx, EMU_TR);
	if ((tr->attr & EMU_AR_UNUSABLE) || (tr->attr & 0xd) != 9 || tr->limit < 103)
		return emu_gp0(ctx);
	res = emu_la_access(ctx, tr->base + 102, &map, 2, EMU_ACC_SYSTEM);
	if (res)
		return res;
	at = (u64)map + port / 8;
	if (at + 1 > tr->limit)
		return emu_gp0(ctx);
	res = emu_la_access(ctx, tr->base + at, &bits, 2, EMU_ACC_SYSTEM);
	if (res)
		return res;
	return bits >> (port & 7) & ((1u << size) - 1) ? emu_gp0(ctx) : EMU_DONE;
}
