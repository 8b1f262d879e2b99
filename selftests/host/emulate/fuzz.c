// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coverage-guided fuzzing of decoder and executor. The input is a guest (registers, segments, tables, memory, some
 * instructions) and a hostile machine: operations that fail, pend, lose races, do less than asked. What must hold whatever
 * comes: nothing outside of its memory is touched (sanitizers, and the checks in machine.c that calls keep the contract), the work
 * is bounded, a result other than "done" leaves the registers at the last commit, and the decoder is a pure function.
 */
#include <stdio.h>
#include <stdlib.h>
#include "insn.h"
#include "machine.h"

#define MEM	0x10000u
#define STEPS	24

static struct machine m;
static u8 mem[MEM], readonly[0x1000];

struct input {
	const u8 *p;
	size_t n;
};

static u8 take(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

static u64 take_n(struct input *in, unsigned int n)
{
	u64 v = 0;

	while (n--)
		v = v << 8 | take(in);
	return v;
}

#define MUST(e)		do { if (!(e)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #e); abort(); } } while (0)

/* A value that may well be an address in memory. */
static u64 take_value(struct input *in)
{
	u8 kind = take(in);

	if (kind < 0xa0)
		return (u64)kind << 8 | take(in);
	if (kind < 0xc0)
		return 0x10000 + (kind & 15) * 0x400 + take(in);
	if (kind < 0xe0)
		return (s8)take(in);
	return take_n(in, 8);
}

static void check_decoder(const u8 *bytes, unsigned int n, unsigned int mode)
{
	struct emu_insn a, b;
	enum emu_decode_result res = emu_decode(&a, bytes, n, mode);
	u8 other[EMU_MAX_INSN];

	if (res != EMU_DEC_OK && res != EMU_DEC_UNKNOWN)
		return;
	MUST(a.len && a.len <= EMU_MAX_INSN && a.len <= n);
	MUST(a.opsize == 2 || a.opsize == 4 || a.opsize == 8);
	MUST(a.adsize == 2 || a.adsize == 4 || a.adsize == 8);
	MUST(a.seg <= EMU_GS);
	MUST(res != EMU_DEC_OK || a.row);
	/* What follows the instruction has no say, and less than it is not enough. */
	memset(other, 0xa5, sizeof(other));
	memcpy(other, bytes, a.len);
	MUST(emu_decode(&b, other, EMU_MAX_INSN, mode) == res && b.len == a.len && b.row == a.row && b.imm == a.imm);
	MUST(emu_decode(&b, other, a.len, mode) == res && b.len == a.len && b.row == a.row);
	for (unsigned int i = 0; i < a.len; i++)
		MUST(emu_decode(&b, other, i, mode) != EMU_DEC_OK);
	MUST(emu_insn_length(bytes, n, mode) == a.len);
}

/* --- operations that go wrong --- */

static const struct emu_ops *good;
static struct emu_ops bad;
static struct input trouble;

static bool strikes(enum emu_result *res, bool may_pend)
{
	u8 b = take(&trouble);

	if (b < 0xf0)
		return false;
	switch (b & 3) {
	case 0:
		*res = emu_fault(&m.ctx, 14, true, b);
		return true;
	case 1:
		*res = EMU_RETRY;
		return true;
	case 2:
		*res = emu_unhandled(&m.ctx, EMU_WHY_MACHINE);
		return true;
	}
	*res = EMU_IO_PENDING;
	return may_pend;
}

static enum emu_result bad_mem(struct emu_ctx *ctx, u64 la, void *buf, unsigned int len, unsigned int acc)
{
	enum emu_result res;

	return strikes(&res, !(acc & (EMU_ACC_WRITE | EMU_ACC_PROBE))) ? res : good->mem(ctx, la, buf, len, acc);
}

static enum emu_result bad_cmpxchg(struct emu_ctx *ctx, u64 la, const void *old, const void *new, unsigned int len,
				   unsigned int acc)
{
	enum emu_result res;

	return strikes(&res, false) ? res : good->cmpxchg(ctx, la, old, new, len, acc);
}

static enum emu_result bad_pio(struct emu_ctx *ctx, bool out, u16 port, unsigned int size, void *buf, unsigned int *count)
{
	enum emu_result res;

	if (strikes(&res, !out))
		return res;
	res = good->pio(ctx, out, port, size, buf, count);
	if (out && (port & 1))
		ctx->stop = true;
	return res;
}

static enum emu_result bad_set_sys(struct emu_ctx *ctx, enum emu_sysreg reg, u64 val)
{
	enum emu_result res;

	return strikes(&res, false) ? res : good->set_sys(ctx, reg, val);
}

static enum emu_result bad_fpu(struct emu_ctx *ctx, enum emu_fpu_op op, unsigned int index, void *image)
{
	enum emu_result res;

	return strikes(&res, false) ? res : good->fpu(ctx, op, index, image);
}

static void make_segments(struct input *in)
{
	for (unsigned int i = 0; i < EMU_NR_SEGS; i++) {
		struct emu_seg *s = &m.seg[i];
		u8 kind = take(in);

		s->sel = kind & 0x80 ? take_n(in, 2) : (kind & 0x1f) << 3;
		s->attr = kind & 0x40 ? take_n(in, 3) & 0x1f0ff : i == EMU_CS ? 0x9b : i == EMU_TR ? 0x8b : 0x93;
		s->base = kind & 0x20 ? take_n(in, 8) : 0;
		s->limit = kind & 0x10 ? take_n(in, 4) : 0xfffff;
		if (i == EMU_CS)
			s->attr |= kind & 1 ? EMU_AR_DB : kind & 2 ? EMU_AR_L : 0;
	}
}

static void make_machine(struct input *in)
{
	u8 how = take(in);

	machine_init(&m);
	machine_map(&m, 0, MEM, mem, P_R | P_W | P_X | P_U);
	machine_map(&m, MEM, sizeof(readonly), readonly, P_R | P_U);
	m.mmio_base = 0x11000, m.mmio_size = 0x1000;
	m.mmio_ready = how & 1;
	m.accept = how & 2;
	m.ctx.amd = how & 4;
	m.ctx.cpl = how & 8 ? 3 : how & 16 ? 1 : 0;
	m.cr0 = 0x10 | (how & 32 ? C0_PE : 0) | (how & 64 ? C0_PE | C0_PG | C0_AM : 0);
	m.efer = EFER_SCE | ((how & 0xc0) == 0xc0 ? 0x100 | EFER_LMA : 0);
	m.cr4 = take_n(in, 3);
	m.xcr0 = 7;
	m.ctx.rflags = (take_n(in, 3) & 0x3f7fd5) | 2;
	if (!(m.cr0 & C0_PE) || (m.efer & EFER_LMA))
		m.ctx.rflags &= ~FL_VM;
	if (m.ctx.rflags & FL_VM)
		m.ctx.cpl = 3;
	m.ctx.dr7 = how & 128 && take(in) > 0xe0 ? take_n(in, 4) : 0;
	m.dr[0] = take_value(in);
	m.pio_limit = take(in) & 7;
	m.gdt = (struct emu_dt){ .base = 0x100, .limit = 0xff };
	m.idt = (struct emu_dt){ .base = 0x200, .limit = take(in) << 4 };
	make_segments(in);
	for (unsigned int i = 0; i < 16; i++)
		m.ctx.regs[i] = take_value(in);
	m.ctx.rip = 0x4000 - (m.efer & EFER_LMA && m.seg[EMU_CS].attr & EMU_AR_L ? 0 : m.seg[EMU_CS].base & 0xfff);
	good = m.ctx.ops;
	bad = *good;
	bad.mem = bad_mem;
	bad.cmpxchg = bad_cmpxchg;
	bad.pio = bad_pio;
	bad.set_sys = bad_set_sys;
	bad.fpu = bad_fpu;
	m.ctx.ops = &bad;
	machine_sync(&m);
}

static void check_step(const struct emu_ctx *before, enum emu_result res)
{
	const struct emu_ctx *c = &m.ctx;

	MUST(res <= EMU_UNHANDLED);
	MUST(res != EMU_UNHANDLED || c->why);
	MUST(res != EMU_FAULT || c->fault.vector < 32);
	MUST(c->mode < EMU_NR_MODES && c->cpl <= 3);
	if (res == EMU_DONE || c->switched || c->commits != before->commits)
		return;
	MUST(!memcmp(c->regs, before->regs, sizeof(c->regs)) && c->rip == before->rip && c->rflags == before->rflags &&
	     c->cpl == before->cpl && c->mode == before->mode);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	static struct emu_ctx before;
	enum emu_result res;

	memset(mem, 0, sizeof(mem));
	memset(readonly, 0x11, sizeof(readonly));
	make_machine(&in);
	trouble = (struct input){ in.p + in.n / 2, in.n / 2 };
	in.n -= in.n / 2;
	/* Instructions, then descriptors and gates, then what is left all over memory. */
	for (unsigned int i = 0; i < 96 && in.n; i++)
		mem[0x4000 + i] = take(&in);
	for (unsigned int i = 0; i < 64; i++)
		check_decoder(mem + 0x4000 + i, 15, m.ctx.mode | (m.ctx.amd ? EMU_MODE_AMD : 0));
	for (unsigned int i = 0; i < 0x200 && in.n; i++)
		mem[0x100 + i] = take(&in);
	for (unsigned int i = 0; in.n && i < 256; i++)
		mem[0x5000 + i * 0x51 % 0xa000] = take(&in);
	for (unsigned int i = 0; i < STEPS; i++) {
		before = m.ctx;
		res = emu_step(&m.ctx);
		check_step(&before, res);
		if (res == EMU_IO_PENDING) {
			m.mmio_ready = true;
			before = m.ctx;
			res = emu_execute(&m.ctx);
			check_step(&before, res);
		}
		if (res == EMU_FAULT) {
			u8 vector = m.ctx.fault.vector;

			before = m.ctx;
			res = emu_deliver_event(&m.ctx, vector, EMU_EV_EXCEPTION, m.ctx.fault.has_error, m.ctx.fault.error);
			check_step(&before, res);
		}
		if (res == EMU_UNHANDLED || res == EMU_FAULT)
			break;
	}
	return 0;
}
