// SPDX-License-Identifier: GPL-2.0-only
/*
 * String instructions and port I/O. A repeated one commits its registers after each iteration, so that it can stop at
 * any: at the bound, at a value that user space must supply, after a queued write, at a single step. Repeated
 * port I/O upwards moves in bulk, a page and a buffer at a time.
 */
#include "insn.h"

static unsigned int item_size(const struct emu_run *r)
{
	return SCLASS(r->row->dst) == S_B ? 1 : r->insn->opsize;
}

static void advance(struct emu_run *r, unsigned int reg, s64 by)
{
	struct emu_ctx *ctx = r->ctx;

	emu_set_reg(ctx, reg, r->insn->adsize, ctx->regs[reg] + (ctx->rflags & FL_DF ? -by : by));
}

static enum emu_result si_read(struct emu_run *r, u64 *v, unsigned int size)
{
	*v = 0;
	return emu_seg_access(r->ctx, r->insn->seg, emu_get_reg(r->ctx, EMU_RSI, r->insn->adsize), v, size, 0,
			      size);
}

static enum emu_result di_access(struct emu_run *r, void *buf, unsigned int size, unsigned int acc)
{
	return emu_seg_access(r->ctx, EMU_ES, emu_get_reg(r->ctx, EMU_RDI, r->insn->adsize), buf, size, acc,
			      size);
}

static enum emu_result one_movs(struct emu_run *r, unsigned int size)
{
	u64 v;
	enum emu_result res = si_read(r, &v, size);

	if (!res)
		res = di_access(r, &v, size, EMU_ACC_WRITE);
	if (res)
		return res;
	advance(r, EMU_RSI, size);
	advance(r, EMU_RDI, size);
	return EMU_DONE;
}

static enum emu_result compare(struct emu_run *r, u64 a, u64 b, unsigned int size)
{
	r->dst = (struct emu_opnd){ .size = size, .val = a };
	r->src.val = b;
	return op_cmp(r);
}

static enum emu_result one_cmps(struct emu_run *r, unsigned int size)
{
	u64 a, b = 0;
	enum emu_result res = si_read(r, &a, size);

	if (!res)
		res = di_access(r, &b, size, 0);
	if (res)
		return res;
	advance(r, EMU_RSI, size);
	advance(r, EMU_RDI, size);
	return compare(r, a, b, size);
}

static enum emu_result one_scas(struct emu_run *r, unsigned int size)
{
	u64 b = 0;
	enum emu_result res = di_access(r, &b, size, 0);

	if (res)
		return res;
	advance(r, EMU_RDI, size);
	return compare(r, emu_get_reg(r->ctx, EMU_RAX, size), b, size);
}

static enum emu_result one_stos(struct emu_run *r, unsigned int size)
{
	u64 v = r->ctx->regs[EMU_RAX];
	enum emu_result res = di_access(r, &v, size, EMU_ACC_WRITE);

	if (!res)
		advance(r, EMU_RDI, size);
	return res;
}

static enum emu_result one_lods(struct emu_run *r, unsigned int size)
{
	u64 v;
	enum emu_result res = si_read(r, &v, size);

	if (res)
		return res;
	emu_set_reg(r->ctx, EMU_RAX, size, v);
	advance(r, EMU_RSI, size);
	return EMU_DONE;
}

typedef enum emu_result (*one_fn)(struct emu_run *r, unsigned int size);

/* After an iteration: go on (true), or stop with the result set. */
static bool repeat_again(struct emu_run *r, unsigned int n, enum emu_result *res)
{
	struct emu_ctx *ctx = r->ctx;
	u64 zf = ctx->rflags & FL_ZF;

	*res = EMU_DONE;
	if (!emu_get_reg(ctx, EMU_RCX, r->insn->adsize))
		return false;
	if ((r->row->flags & F_ZF) && (r->insn->rep == 0xf3 ? !zf : zf))
		return false;
	if (ctx->stop || n >= EMU_REP_BOUND || (ctx->rflags & FL_TF) || ctx->db_hits) {
		if (ctx->rflags & FL_TF)
			ctx->db_hits |= DR6_BS;
		*res = EMU_RETRY;
	}
	ctx->rflags |= FL_RF;	/* a breakpoint on this instruction has had its turn */
	emu_commit(r);
	return *res == EMU_DONE;
}

static enum emu_result repeat(struct emu_run *r, one_fn one)
{
	unsigned int size = item_size(r);
	struct emu_ctx *ctx = r->ctx;
	enum emu_result res;
	unsigned int n = 0;
	u64 count;

	if (!r->insn->rep)
		return one(r, size);
	count = emu_get_reg(ctx, EMU_RCX, r->insn->adsize);
	if (!count)
		return EMU_DONE;
	do {
		res = one(r, size);
		if (res)
			return res;
		emu_set_reg(ctx, EMU_RCX, r->insn->adsize, --count);
	} while (repeat_again(r, ++n, &res));
	return res;
}

enum emu_result op_movs(struct emu_run *r)
{
	return repeat(r, one_movs);
}

enum emu_result op_cmps(struct emu_run *r)
{
	return repeat(r, one_cmps);
}

enum emu_result op_stos(struct emu_run *r)
{
	return repeat(r, one_stos);
}

enum emu_result op_lods(struct emu_run *r)
{
	return repeat(r, one_lods);
}

enum emu_result op_scas(struct emu_run *r)
{
	return repeat(r, one_scas);
}

/* Port I/O. */
static enum emu_result port_io(struct emu_run *r, bool out, u16 port, unsigned int size, void *buf,
			       unsigned int *count)
{
	enum emu_result res = r->ctx->ops->pio(r->ctx, out, port, size, buf, count);

	if (res == EMU_DONE && (r->ctx->dr7 & 0xff))
		emu_watch(r->ctx, port, size, 2);
	return res;
}

enum emu_result op_in(struct emu_run *r)
{
	enum emu_result res = emu_io_allowed(r->ctx, r->src.val, r->dst.size);
	unsigned int one = 1;

	r->dst.val = 0;
	return res ? res : port_io(r, false, r->src.val, r->dst.size, &r->dst.val, &one);
}

enum emu_result op_out(struct emu_run *r)
{
	enum emu_result res = emu_io_allowed(r->ctx, r->dst.val, r->src.size);
	unsigned int one = 1;

	return res ? res : port_io(r, true, r->dst.val, r->src.size, &r->src.val, &one);
}

/* How many items one bulk transfer may take: upwards, within the page, the buffer and the index register. */
static unsigned int bulk_items(struct emu_run *r, u64 ea, u64 la, unsigned int size)
{
	u64 n = emu_get_reg(r->ctx, EMU_RCX, r->insn->adsize), room = 4096 - (la & 4095);

	if (!r->insn->rep || (r->ctx->rflags & (FL_DF | FL_TF)) || (r->ctx->dr7 & 0xff))
		return 1;
	if (room > EMU_IO_BUF)
		room = EMU_IO_BUF;
	if (room > emu_mask(r->insn->adsize) - ea)
		room = emu_mask(r->insn->adsize) - ea;
	if (n > room / size)
		n = room / size;
	return n ? n : 1;
}

static enum emu_result ports_move(struct emu_run *r, bool out, unsigned int size, unsigned int *items)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int reg = out ? EMU_RSI : EMU_RDI, seg = out ? r->insn->seg : EMU_ES, n;
	u64 ea = emu_get_reg(ctx, reg, r->insn->adsize), la = 0;
	enum emu_result res = emu_linear(ctx, seg, ea, size, !out, &la);

	if (res)
		return res;
	n = *items = bulk_items(r, ea, la, size);
	if (n > 1 && emu_linear(ctx, seg, ea, n * size, !out, &la))
		n = *items = 1;
	/* Reading a port has effects: make sure first that there is a place for what it gives. */
	res = emu_seg_access(ctx, seg, ea, ctx->io, n * size, out ? 0 : EMU_ACC_WRITE | EMU_ACC_PROBE, size);
	if (!res)
		res = port_io(r, out, ctx->regs[EMU_RDX], size, ctx->io, &n);
	if (!res && (!n || n > *items))
		res = emu_unhandled(ctx, EMU_WHY_MACHINE);
	if (!res && !out)
		res = emu_la_access(ctx, la, ctx->io, n * size, EMU_ACC_WRITE);
	if (res)
		return res;
	advance(r, reg, n * size);
	*items = n;
	return EMU_DONE;
}

static enum emu_result repeat_ports(struct emu_run *r, bool out)
{
	unsigned int size = item_size(r) == 1 ? 1 : r->insn->opsize == 2 ? 2 : 4, n = 0, items;
	struct emu_ctx *ctx = r->ctx;
	enum emu_result res;
	u64 count;

	count = emu_get_reg(ctx, EMU_RCX, r->insn->adsize);
	res = emu_io_allowed(ctx, r->src.val, size);
	if (res)
		return res;
	if (r->insn->rep && !count)
		return EMU_DONE;
	if (!r->insn->rep)
		return ports_move(r, out, size, &items);
	do {
		res = ports_move(r, out, size, &items);
		if (res)
			return res;
		count -= items;
		n += items;
		emu_set_reg(ctx, EMU_RCX, r->insn->adsize, count);
	} while (repeat_again(r, n, &res));
	return res;
}

enum emu_result op_ins(struct emu_run *r)
{
	return repeat_ports(r, false);
}

enum emu_result op_outs(struct emu_run *r)
{
	return repeat_ports(r, true);
}
