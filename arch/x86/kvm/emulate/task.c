// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware task switches with 16- and 32-bit TSSs. Until the new task's registers are in place a fault belongs to the
 * old task and nothing has changed; after that (ctx->switched) the switch stands, and what is wrong with the
 * new task's segments faults in the new task, as the manuals order it.
 */
#include "insn.h"
#include "far.h"

/* A TSS in memory, either form. */
struct task_image {
	u32 cr3, ip, flags, regs[8];
	u16 seg[6], ldt, link;
	bool trap;
};

/* Where the saved part is: instruction pointer, flags, eight registers, segment selectors, in equal slots. */
enum { TSS32_FIRST = 0x20, TSS16_FIRST = 0x0e, TSS32_LIMIT = 0x67, TSS16_LIMIT = 0x2b };

struct task {
	u16 sel;
	bool wide;
	u64 desc, addr;
	struct emu_seg seg;
};

static enum emu_result tss_access(struct emu_ctx *ctx, u64 base, void *buf, unsigned int len, unsigned int acc)
{
	enum emu_result res = EMU_DONE;

	for (unsigned int i = 0; i < len && !res; i += 32) {
		unsigned int n = len - i < 32 ? len - i : 32;

		res = emu_la_access(ctx, base + i, (u8 *)buf + i, n, acc | EMU_ACC_SYSTEM);
	}
	return res;
}

static u32 slot(const u8 *buf, unsigned int i, bool wide)
{
	u32 v = 0;

	memcpy(&v, buf + i * (wide ? 4 : 2), wide ? 4 : 2);
	return v;
}

static void put_slot(u8 *buf, unsigned int i, bool wide, u32 v)
{
	memcpy(buf + i * (wide ? 4 : 2), &v, wide ? 4 : 2);
}

static enum emu_result save_old(struct emu_ctx *ctx, const struct emu_seg *tr, u64 ret, bool clear_nt)
{
	bool wide = tr->attr & 8;
	unsigned int nseg = wide ? 6 : 4, len = (10 + nseg) * (wide ? 4 : 2);
	u64 base = tr->base + (wide ? TSS32_FIRST : TSS16_FIRST);
	u8 buf[64] = {};
	enum emu_result res;

	put_slot(buf, 0, wide, ret);
	put_slot(buf, 1, wide, ctx->rflags & ~(clear_nt ? FL_NT : 0));
	for (unsigned int i = 0; i < 8; i++)
		put_slot(buf, 2 + i, wide, ctx->regs[i]);
	for (unsigned int i = 0; i < nseg; i++)
		put_slot(buf, 10 + i, wide, emu_seg(ctx, i)->sel);
	res = tss_access(ctx, base, NULL, len, EMU_ACC_WRITE | EMU_ACC_PROBE);
	return res ? res : tss_access(ctx, base, buf, len, EMU_ACC_WRITE);
}

static enum emu_result read_new(struct emu_ctx *ctx, const struct task *t, struct task_image *im)
{
	unsigned int nseg = t->wide ? 6 : 4, first = t->wide ? TSS32_FIRST : TSS16_FIRST;
	u8 buf[0x68] = {};
	enum emu_result res = tss_access(ctx, t->seg.base, buf, t->wide ? 0x68 : 0x2c, 0);

	if (res)
		return res;
	memset(im, 0, sizeof(*im));
	im->cr3 = slot(buf + 0x1c, 0, true);
	im->ip = slot(buf + first, 0, t->wide);
	im->flags = slot(buf + first, 1, t->wide);
	for (unsigned int i = 0; i < 8; i++)
		im->regs[i] = slot(buf + first, 2 + i, t->wide) | (t->wide ? 0 : 0xffff0000);
	for (unsigned int i = 0; i < nseg; i++)
		im->seg[i] = slot(buf + first, 10 + i, t->wide);
	im->ldt = slot(buf + (t->wide ? 0x60 : 0x2a), 0, false);
	im->trap = t->wide && (buf[0x64] & 1);
	return EMU_DONE;
}

static enum emu_result find_task(struct emu_ctx *ctx, struct task *t, bool back)
{
	u8 vec = back ? VEC_TS : VEC_GP;
	u32 err = EMU_SEL_ERR(t->sel);
	unsigned int type;
	enum emu_result res;

	if (!err || (t->sel & 4))
		return emu_fault(ctx, vec, true, err);
	res = emu_read_desc(ctx, t->sel, vec, &t->desc, &t->addr);
	if (res)
		return res;
	type = DESC_TYPE(t->desc);
	if (DESC_S(t->desc) || (type & ~8u) != (back ? SYS_TSS16_BUSY : SYS_TSS16))
		return emu_fault(ctx, vec, true, err);
	if (!DESC_P(t->desc))
		return emu_fault(ctx, VEC_NP, true, err);
	t->wide = type & 8;
	emu_seg_from_desc(&t->seg, t->sel, t->desc);
	if (t->seg.limit < (t->wide ? TSS32_LIMIT : TSS16_LIMIT))
		return emu_fault(ctx, VEC_TS, true, err);
	return EMU_DONE;
}

/* The busy bit of the task that is left. */
static enum emu_result old_not_busy(struct emu_ctx *ctx, u16 sel)
{
	enum emu_result res;
	u64 desc, addr;

	res = emu_read_desc(ctx, sel, VEC_TS, &desc, &addr);
	return res ? res : emu_desc_access(ctx, addr, &desc, 0, DESC_BUSY);
}

static enum emu_result load_ldt(struct emu_ctx *ctx, u16 sel)
{
	struct emu_seg seg = { .sel = sel, .attr = EMU_AR_UNUSABLE };
	enum emu_result res;
	u64 desc, addr;

	if (EMU_SEL_ERR(sel)) {
		if (sel & 4)
			return emu_fault(ctx, VEC_TS, true, EMU_SEL_ERR(sel));
		res = emu_read_desc(ctx, sel, VEC_TS, &desc, &addr);
		if (res)
			return res;
		if (DESC_S(desc) || DESC_TYPE(desc) != SYS_LDT || !DESC_P(desc))
			return emu_fault(ctx, VEC_TS, true, EMU_SEL_ERR(sel));
		emu_seg_from_desc(&seg, sel, desc);
	}
	emu_put_seg(ctx, EMU_LDTR, &seg);
	return EMU_DONE;
}

static enum emu_result load_cs(struct emu_ctx *ctx, u16 sel)
{
	u32 err = EMU_SEL_ERR(sel);
	u8 rpl = sel & 3, dpl;
	unsigned int type;
	enum emu_result res;
	u64 desc, addr;

	if (!err)
		return emu_fault(ctx, VEC_TS, true, 0);
	res = emu_read_desc(ctx, sel, VEC_TS, &desc, &addr);
	if (res)
		return res;
	type = DESC_TYPE(desc);
	dpl = DESC_DPL(desc);
	if (!DESC_S(desc) || !(type & 8) || (type & 4 ? dpl > rpl : dpl != rpl))
		return emu_fault(ctx, VEC_TS, true, err);
	if (!DESC_P(desc))
		return emu_fault(ctx, VEC_NP, true, err);
	return emu_put_desc(ctx, EMU_CS, sel, desc, addr);
}

/* Selectors first, so that whoever looks after a fault finds the new task's; then one by one with their checks. */
static void name_segs(struct emu_ctx *ctx, const struct task_image *im, bool vm86)
{
	for (unsigned int i = 0; i < 6; i++) {
		struct emu_seg seg = { .sel = im->seg[i], .attr = EMU_AR_UNUSABLE };

		if (i == EMU_SS || i == EMU_CS)
			seg.attr |= (u32)ctx->cpl << EMU_AR_DPL_SHIFT;
		if (vm86)
			emu_seg_real(ctx, i, im->seg[i]);
		else
			emu_put_seg(ctx, i, &seg);
	}
}

static enum emu_result load_segs(struct emu_ctx *ctx, const struct task_image *im)
{
	static const u8 data[4] = { EMU_ES, EMU_DS, EMU_FS, EMU_GS };
	enum emu_result res;
	u64 desc, addr;

	res = load_cs(ctx, im->seg[EMU_CS]);
	if (!res)
		res = emu_check_stack(ctx, im->seg[EMU_SS], ctx->cpl, VEC_TS, 0, &desc, &addr);
	if (!res)
		res = emu_put_desc(ctx, EMU_SS, im->seg[EMU_SS], desc, addr);
	for (unsigned int i = 0; i < ARRAY_SIZE(data) && !res; i++)
		res = emu_load_data(ctx, data[i], im->seg[data[i]], ctx->cpl, VEC_TS);
	return res;
}

/* From here on the new task runs; vm86 and privilege come from its own image. */
static enum emu_result enter_task(struct emu_ctx *ctx, const struct task *t, const struct task_image *im)
{
	bool vm86 = im->flags & FL_VM;
	enum emu_result res = EMU_DONE;

	ctx->rflags = (im->flags & 0x3f7fd5) | 2;
	ctx->rip = im->ip;
	for (unsigned int i = 0; i < 8; i++)
		ctx->regs[i] = im->regs[i];
	ctx->cpl = vm86 ? 3 : im->seg[EMU_CS] & 3;
	name_segs(ctx, im, vm86);
	emu_update_mode(ctx);
	ctx->switched = true;
	if (t->wide && (ctx->ops->get_sys(ctx, EMU_CR0) & C0_PG))
		res = ctx->ops->set_sys(ctx, EMU_CR3, im->cr3);
	if (!res)
		res = load_ldt(ctx, im->ldt);
	if (!res && !vm86)
		res = load_segs(ctx, im);
	emu_update_mode(ctx);
	if (!res && im->ip > emu_seg(ctx, EMU_CS)->limit)
		res = emu_gp0(ctx);
	return res;
}

static enum emu_result push_error(struct emu_ctx *ctx, bool wide, u32 error)
{
	struct emu_stack st;
	enum emu_result res;

	emu_stack_here(ctx, &st);
	res = emu_stack_push(ctx, &st, error, wide ? 4 : 2);
	if (!res)
		emu_stack_use(ctx, &st);
	return res;
}

enum emu_result emu_task(struct emu_ctx *ctx, u16 sel, enum emu_task_reason why, u64 ret, bool has_error, u32 error)
{
	struct emu_seg old = *emu_seg(ctx, EMU_TR);
	bool back = why == EMU_TASK_IRET, nested = why == EMU_TASK_CALL || why == EMU_TASK_GATE;
	struct task t = { .sel = sel };
	struct task_image im;
	enum emu_result res;

	if (ctx->lma || (old.attr & EMU_AR_UNUSABLE))
		return emu_unhandled(ctx, EMU_WHY_MACHINE);
	res = find_task(ctx, &t, back);
	if (!res)
		res = read_new(ctx, &t, &im);
	if (!res)
		res = save_old(ctx, &old, ret, back);
	if (!res && !nested)
		res = old_not_busy(ctx, old.sel);
	if (!res && !back)
		res = emu_desc_access(ctx, t.addr, &t.desc, DESC_BUSY, 0);
	if (!res && nested)
		res = tss_access(ctx, t.seg.base, &old.sel, 2, EMU_ACC_WRITE);
	if (!res)
		res = ctx->ops->set_sys(ctx, EMU_CR0, ctx->ops->get_sys(ctx, EMU_CR0) | C0_TS);
	if (res)
		return res;
	t.seg.attr |= 2;
	emu_put_seg(ctx, EMU_TR, &t.seg);
	if (nested)
		im.flags |= FL_NT;
	res = enter_task(ctx, &t, &im);
	if (!res && has_error)
		res = push_error(ctx, t.wide, error);
	if (im.trap)
		ctx->db_hits |= DR6_BT;
	return res;
}

enum emu_result emu_task_switch(struct emu_ctx *ctx, u16 sel, enum emu_task_reason reason, bool has_error, u32 error)
{
	u64 rsp = ctx->regs[EMU_RSP], rflags = ctx->rflags;
	enum emu_result res;

	ctx->shadow = EMU_SHADOW_NONE;
	ctx->why = EMU_WHY_NONE;
	ctx->db_hits = 0;
	ctx->stop = false;
	ctx->switched = false;
	res = emu_task(ctx, sel, reason, ctx->rip, has_error, error);
	if (res && !ctx->switched) {
		ctx->regs[EMU_RSP] = rsp;
		ctx->rflags = rflags;
	}
	return res;
}
