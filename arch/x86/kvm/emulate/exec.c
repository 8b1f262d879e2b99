// SPDX-License-Identifier: GPL-2.0-only
/*
 * Execution driver: fetch, the checks that the tables order, operands in, handler, operands out, what an instruction
 * leaves behind (RIP, RF, single step). Registers are restored to the last commit on any result but EMU_DONE, so a
 * handler may fail at any point that precedes its effects outside the registers.
 */
#include "insn.h"

void emu_update_mode(struct emu_ctx *ctx)
{
	u64 cr0 = ctx->ops->get_sys(ctx, EMU_CR0);
	u32 cs = emu_seg(ctx, EMU_CS)->attr;

	ctx->lma = ctx->ops->get_sys(ctx, EMU_EFER) & EFER_LMA;
	if (!(cr0 & C0_PE))
		ctx->mode = cs & EMU_AR_DB ? EMU_REAL32 : EMU_REAL16;
	else if (ctx->rflags & FL_VM)
		ctx->mode = EMU_VM86;
	else if (ctx->lma && (cs & EMU_AR_L))
		ctx->mode = EMU_LONG64;
	else
		ctx->mode = cs & EMU_AR_DB ? EMU_PROT32 : EMU_PROT16;
}

static void snap(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;

	memcpy(r->snap.regs, ctx->regs, sizeof(ctx->regs));
	r->snap.rip = ctx->rip;
	r->snap.rflags = ctx->rflags;
	r->snap.cpl = ctx->cpl;
	r->snap.mode = ctx->mode;
}

static void restore(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;

	memcpy(ctx->regs, r->snap.regs, sizeof(ctx->regs));
	ctx->rip = r->snap.rip;
	ctx->rflags = r->snap.rflags;
	ctx->cpl = r->snap.cpl;
	ctx->mode = r->snap.mode;
}

void emu_commit(struct emu_run *r)
{
	r->ctx->commits++;
	snap(r);
}

static unsigned int size_of(const struct emu_run *r, unsigned int code, bool mem)
{
	const struct emu_insn *in = r->insn;

	switch (SCLASS(code)) {
	case S_B:
		return 1;
	case S_W:
		return 2;
	case S_V:
		return mem && (r->row->flags & F_M16) ? 2 : in->opsize;
	case S_Y:
		return in->rex & 8 && emu_is_64(r->ctx) ? 8 : 4;
	case S_Z:
		return in->opsize == 2 ? 2 : 4;
	case S_N:
		return emu_is_64(r->ctx) ? 8 : 4;
	case S_D:	/* MOVSXD: Intel's source is no wider than its destination */
		return in->opsize == 2 && !r->ctx->amd ? 2 : 4;
	}
	return in->opsize;
}

/* AH to BH are numbers 4 to 7 of the byte registers. */
static void take_high_byte(struct emu_opnd *o)
{
	o->high = true;
	o->reg -= 4;
}

/* Say where an operand is, and its value unless it is a register or in memory. */
static void place(struct emu_run *r, struct emu_opnd *o, unsigned int code)
{
	const struct emu_insn *in = r->insn;
	unsigned int kind = KIND(code), rexb = (in->rex & 1) << 3, reg = (in->modrm >> 3 & 7) | (in->rex & 4) << 1;

	o->mem = in->is_mem && (kind == K_E || kind == K_M || kind == K_O);
	o->size = size_of(r, code, o->mem);
	o->reg = 0xff;
	o->high = false;
	switch (kind) {
	case K_E:
	case K_R:
		o->reg = (in->modrm & 7) | rexb;
		break;
	case K_G:
		o->reg = reg;
		break;
	case K_B:
		o->reg = in->vvvv;
		break;
	case K_A:
		o->reg = EMU_RAX;
		break;
	case K_Z:
		o->reg = (in->opcode & 7) | rexb;
		break;
	case K_C:
		o->val = reg;
		break;
	case K_S:
		o->val = in->modrm >> 3 & 7;
		if (o->val <= EMU_GS)
			o->val = emu_seg(r->ctx, emu_clamp(o->val, EMU_GS + 1))->sel;
		break;
	case K_ES ... K_GS:
		o->val = emu_seg(r->ctx, kind - K_ES)->sel;
		break;
	case K_CL:
		o->val = r->ctx->regs[EMU_RCX] & 0xff;
		break;
	case K_DX:
		o->val = r->ctx->regs[EMU_RDX] & 0xffff;
		break;
	case K_ONE:
		o->val = 1;
		break;
	case K_I:
	case K_IS:
		if (SCLASS(code) == S_Z)	/* sign-extended to the operand, not cut to the immediate */
			o->size = in->opsize;
		o->val = (o == &r->src2 && KIND(r->row->src) == K_I ? in->imm2 : in->imm) & emu_mask(o->size);
		break;
	case K_J:
	case K_F:
		o->val = in->imm;
		break;
	}
	if (o->mem)
		o->reg = 0xff;
	else if (o->size == 1 && !in->rex && o->reg >= 4 && o->reg < 8)
		take_high_byte(o);
}

static enum emu_result load(struct emu_run *r, struct emu_opnd *o, unsigned int acc)
{
	if (o->mem) {
		o->val = 0;
		return emu_operand_access(r, 0, &o->val, o->size, acc);
	}
	if (o->reg != 0xff)
		o->val = emu_get_reg(r->ctx, o->reg, 8) >> (o->high ? 8 : 0) & emu_mask(o->size);
	return EMU_DONE;
}

static enum emu_result store(struct emu_run *r, struct emu_opnd *o)
{
	struct emu_ctx *ctx = r->ctx;
	enum emu_result res;
	u64 la;

	if (o->mem && r->locked) {
		res = emu_linear(ctx, r->insn->seg, r->ea, o->size, true, &la);
		if (res == EMU_DONE)
			res = ctx->ops->cmpxchg(ctx, la, &o->was, &o->val, o->size, 0);
		return res;
	}
	if (o->mem)
		return emu_operand_access(r, 0, &o->val, o->size, EMU_ACC_WRITE);
	if (o->high)
		ctx->regs[o->reg & 3] = (ctx->regs[o->reg & 3] & ~0xff00ull) | (o->val & 0xff) << 8;
	else if (o->reg != 0xff)
		emu_set_reg(ctx, o->reg, o->size, o->val);
	return EMU_DONE;
}

/* A bit offset in a register reaches beyond the operand: move the address by whole operands. */
static void move_bit_operand(struct emu_run *r)
{
	unsigned int size = r->dst.size;
	s64 bit = emu_sext(emu_get_reg(r->ctx, r->src.reg, size), size);

	r->ea = (r->ea + (bit >> 3 & -(s64)size)) & emu_mask(r->insn->adsize);
}

static enum emu_result check_fpu(struct emu_ctx *ctx, u32 flags, bool vex)
{
	u64 cr0 = ctx->ops->get_sys(ctx, EMU_CR0), cr4;

	if ((flags & F_X87) && (cr0 & (C0_EM | C0_TS)))
		return emu_fault(ctx, VEC_NM, false, 0);
	if (flags & F_X87)
		return flags & F_NOWAIT ? EMU_DONE : ctx->ops->fpu(ctx, EMU_FPU_WAIT, 0, NULL);
	if (vex) {
		if (!(ctx->ops->get_sys(ctx, EMU_CR4) & C4_OSXSAVE) ||
		    (ctx->ops->get_sys(ctx, EMU_XCR0) & 6) != 6)
			return emu_ud(ctx);
	} else {
		cr4 = ctx->ops->get_sys(ctx, EMU_CR4);
		if ((cr0 & C0_EM) || ((flags & F_SSE) && !(cr4 & C4_OSFXSR)))
			return emu_ud(ctx);
	}
	if (cr0 & C0_TS)
		return emu_fault(ctx, VEC_NM, false, 0);
	return flags & F_MMX ? ctx->ops->fpu(ctx, EMU_FPU_WAIT, 0, NULL) : EMU_DONE;
}

/* What must hold before operands are touched, in the order in which the CPU looks. */
static enum emu_result check(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	u32 flags = r->row->flags;
	enum emu_result res = EMU_DONE;

	if (flags & (F_X87 | F_MMX | F_SSE))
		res = check_fpu(ctx, flags, r->insn->vex);
	if (!res && (flags & F_PRIV) && ctx->cpl)
		res = emu_gp0(ctx);
	if (!res && (flags & F_ICEPT))
		res = ctx->ops->intercept(ctx, r->insn);
	return res;
}

static enum emu_result run(struct emu_run *r)
{
	const struct emu_row *row = r->row;
	enum emu_result res = check(r);

	if (res)
		return res;
	if (r->insn->is_mem)
		r->ea = emu_ea(r);
	place(r, &r->dst, row->dst);
	place(r, &r->src, row->src);
	if (row->src2)
		place(r, &r->src2, row->src2);
	if ((row->flags & F_BITSTR) && r->dst.mem)
		move_bit_operand(r);
	if (KIND(row->src) != K_M)
		res = load(r, &r->src, 0);
	if (!res && row->src2)
		res = load(r, &r->src2, 0);
	if (!res && (row->flags & F_RD)) {
		res = load(r, &r->dst, row->flags & F_WR ? EMU_ACC_RMW : 0);
		r->dst.was = r->dst.val;
	}
	if (!res)
		res = row->fn(r);
	if (!res && (row->flags & F_WR) && !r->skip_write)
		res = store(r, &r->dst);
	return res;
}

enum emu_result emu_execute(struct emu_ctx *ctx)
{
	struct emu_run r = { .ctx = ctx, .insn = &ctx->insn, .row = ctx->insn.row, .locked = ctx->insn.lock };
	u64 flags = ctx->rflags;
	enum emu_result res;

	ctx->shadow = EMU_SHADOW_NONE;
	ctx->why = EMU_WHY_NONE;
	ctx->db_hits = 0;
	ctx->stop = false;
	ctx->switched = false;
	if (!r.row || ctx->insn.mode != ctx->mode)
		return emu_unhandled(ctx, EMU_WHY_OPCODE);
	snap(&r);
	r.next = ctx->rip + ctx->insn.len;
	if (!emu_is_64(ctx))
		r.next = (u32)r.next;
	res = run(&r);
	if (res != EMU_DONE) {
		if (!ctx->switched)
			restore(&r);
		if (res != EMU_RETRY)
			ctx->db_hits = 0;
		return res;
	}
	/* A far transfer out of 64-bit mode may have brought a wider offset than its segment knows. */
	ctx->rip = emu_is_64(ctx) ? r.next : (u32)r.next;
	if (r.row->flags & F_NOTRAP)
		flags = ctx->rflags;
	if ((flags & FL_TF) && ctx->shadow != EMU_SHADOW_MOVSS)
		ctx->db_hits |= DR6_BS;
	if (r.row->fn != op_iret)
		ctx->rflags &= ~FL_RF;
	ctx->commits++;
	return EMU_DONE;
}

/*
 * An execution breakpoint at this address? It faults before the instruction, unless RF; on Intel's processors not
 * behind MOV SS and POP SS either (SDM 6.8.3), whose shadow is still the last instruction's.
 */
static bool code_breakpoint(struct emu_ctx *ctx, u64 la)
{
	u64 hits = 0;

	if ((ctx->rflags & FL_RF) || (ctx->shadow == EMU_SHADOW_MOVSS && !ctx->amd))
		return false;
	for (unsigned int i = 0; i < 4; i++)
		if ((ctx->dr7 >> (i * 2) & 3) && !(ctx->dr7 >> (16 + i * 4) & 15) &&
		    ctx->ops->get_sys(ctx, EMU_DR0 + i) == la)
			hits |= 1u << i;
	if (hits) {
		emu_fault(ctx, VEC_DB, false, 0);
		ctx->fault.payload = hits;
	}
	return hits;
}

/* How many instruction bytes may be read at CS:RIP + off, up to the end of the page. */
static unsigned int fetchable(struct emu_ctx *ctx, unsigned int off, u64 *la)
{
	const struct emu_seg *cs = emu_seg(ctx, EMU_CS);
	u64 ip = ctx->rip + off, n = EMU_MAX_INSN - off, page;

	if (emu_is_64(ctx)) {
		*la = ip;
		if (!emu_canonical(ctx, ip))
			return 0;
	} else {
		ip = (u32)ip;
		*la = (u32)(cs->base + ip);
		if (ip > cs->limit)
			return 0;
		if (n > cs->limit - ip + 1ull)
			n = cs->limit - ip + 1ull;
	}
	page = 4096 - (*la & 4095);
	return n < page ? n : page;
}

static bool same_bytes(const u8 *a, const u8 *b)
{
	u64 a1, a2, b1, b2;

	memcpy(&a1, a, 8);
	memcpy(&a2, a + EMU_MAX_INSN - 8, 8);
	memcpy(&b1, b, 8);
	memcpy(&b2, b + EMU_MAX_INSN - 8, 8);
	return a1 == b1 && a2 == b2;
}

/*
 * Decoding is a function of bytes and mode alone: where all 15 bytes are those of last time at this place, so is the
 * result. Only what can be executed is kept.
 */
static enum emu_decode_result decode_met(struct emu_ctx *ctx, const u8 *bytes, unsigned int have)
{
	unsigned int mode = emu_decode_mode(ctx), i = (unsigned int)ctx->rip % EMU_MET;
	enum emu_decode_result dec;

	if (ctx->met[i].insn.row && ctx->met[i].mode == mode && have == EMU_MAX_INSN &&
	    same_bytes(ctx->met[i].insn.bytes, bytes)) {
		ctx->insn = ctx->met[i].insn;
		return EMU_DEC_OK;
	}
	dec = emu_decode(&ctx->insn, bytes, have, mode);
	if (dec == EMU_DEC_OK && have == EMU_MAX_INSN) {
		ctx->met[i].insn = ctx->insn;
		ctx->met[i].mode = mode;
	}
	return dec;
}

enum emu_result emu_fetch(struct emu_ctx *ctx)
{
	u8 bytes[EMU_MAX_INSN];
	enum emu_decode_result dec = EMU_DEC_MORE;
	unsigned int have = 0, n;
	enum emu_result res;
	u64 la;

	while (dec == EMU_DEC_MORE) {
		n = fetchable(ctx, have, &la);
		if (!n)
			return emu_gp0(ctx);
		if (!have && (ctx->dr7 & 0xff) && code_breakpoint(ctx, la))
			return EMU_FAULT;
		res = ctx->ops->fetch(ctx, la, bytes + have, n);
		if (res)
			return res;
		have += n;
		dec = decode_met(ctx, bytes, have);
	}
	switch (dec) {
	case EMU_DEC_OK:
		return EMU_DONE;
	case EMU_DEC_TOO_LONG:
		return emu_gp0(ctx);
	case EMU_DEC_UD:
		return emu_ud(ctx);
	default:
		return emu_unhandled(ctx, EMU_WHY_OPCODE);
	}
}

enum emu_result emu_step(struct emu_ctx *ctx)
{
	enum emu_result res = emu_fetch(ctx);

	return res ? res : emu_execute(ctx);
}
