// SPDX-License-Identifier: GPL-2.0-only
/*
 * Integer arithmetic: results and flags in plain C. Where the manuals leave a flag undefined we do what is cheapest
 * unless processors agree on something. Handlers see operands already loaded, zero-extended to 64 bits; the driver
 * stores the destination.
 */
#include "insn.h"

static u64 msb(u64 v, unsigned int size)
{
	return v >> (size * 8 - 1) & 1;
}

static bool even_parity(u8 v)
{
	return !(0x6996 >> ((v ^ v >> 4) & 15) & 1);
}

static void put_flags(struct emu_run *r, u64 mask, u64 bits)
{
	r->ctx->rflags = (r->ctx->rflags & ~mask) | (bits & mask);
}

static u64 szp(u64 v, unsigned int size)
{
	v &= emu_mask(size);
	return (v ? 0 : FL_ZF) | (msb(v, size) ? FL_SF : 0) | (even_parity(v) ? FL_PF : 0);
}

static u64 do_add(struct emu_run *r, u64 a, u64 b, u64 carry, u64 mask)
{
	unsigned int size = r->dst.size;
	u64 v = (a + b + carry) & emu_mask(size), c = (a & b) | ((a | b) & ~v);

	put_flags(r, mask, szp(v, size) | (msb(c, size) ? FL_CF : 0) | (c & 8 ? FL_AF : 0) |
			   (msb((a ^ v) & (b ^ v), size) ? FL_OF : 0));
	return v;
}

static u64 do_sub(struct emu_run *r, u64 a, u64 b, u64 borrow, u64 mask)
{
	unsigned int size = r->dst.size;
	u64 v = (a - b - borrow) & emu_mask(size), c = (~a & b) | ((~a | b) & v);

	put_flags(r, mask, szp(v, size) | (msb(c, size) ? FL_CF : 0) | (c & 8 ? FL_AF : 0) |
			   (msb((a ^ b) & (a ^ v), size) ? FL_OF : 0));
	return v;
}

static u64 do_logic(struct emu_run *r, u64 v)
{
	put_flags(r, FL_ARITH, szp(v, r->dst.size));
	return v;
}

static u64 carry(struct emu_run *r)
{
	return r->ctx->rflags & FL_CF;
}

#define ALU_OP(name, expr)									\
	enum emu_result op_##name(struct emu_run *r)						\
	{											\
		u64 a = r->dst.val, b = r->src.val;						\
												\
		(void)b;									\
		r->dst.val = (expr);								\
		return EMU_DONE;								\
	}
ALU_OP(add, do_add(r, a, b, 0, FL_ARITH))
ALU_OP(adc, do_add(r, a, b, carry(r), FL_ARITH))
ALU_OP(sub, do_sub(r, a, b, 0, FL_ARITH))
ALU_OP(sbb, do_sub(r, a, b, carry(r), FL_ARITH))
ALU_OP(cmp, (do_sub(r, a, b, 0, FL_ARITH), a))
ALU_OP(inc, do_add(r, a, 1, 0, FL_ARITH & ~FL_CF))
ALU_OP(dec, do_sub(r, a, 1, 0, FL_ARITH & ~FL_CF))
ALU_OP(neg, do_sub(r, 0, a, 0, FL_ARITH))
ALU_OP(not, ~a)
ALU_OP(or, do_logic(r, a | b))
ALU_OP(and, do_logic(r, a & b))
ALU_OP(xor, do_logic(r, a ^ b))
ALU_OP(test, (do_logic(r, a & b), a))
ALU_OP(bswap, r->dst.size == 8 ? __builtin_bswap64(a) : r->dst.size == 4 ? __builtin_bswap32(a) : 0)

enum emu_result op_xadd(struct emu_run *r)
{
	u64 old = r->dst.val;

	r->dst.val = do_add(r, old, r->src.val, 0, FL_ARITH);
	if (!r->dst.mem && r->dst.reg == r->src.reg && r->dst.high == r->src.high)
		return EMU_DONE;	/* the sum wins */
	if (r->src.high)
		r->ctx->regs[r->src.reg & 3] = (r->ctx->regs[r->src.reg & 3] & ~0xff00ull) | old << 8;
	else
		emu_set_reg(r->ctx, r->src.reg, r->src.size, old);
	return EMU_DONE;
}

enum emu_result op_xchg(struct emu_run *r)
{
	u64 old = r->dst.val;

	/* 90 is NOP: it does not even clear the upper half. */
	if (r->insn->map == 0 && r->insn->opcode == 0x90 && r->src.reg == EMU_RAX) {
		r->skip_write = true;
		return EMU_DONE;
	}
	r->dst.val = r->src.val;
	r->locked = r->dst.mem;
	if (r->src.high)
		r->ctx->regs[r->src.reg & 3] = (r->ctx->regs[r->src.reg & 3] & ~0xff00ull) | old << 8;
	else
		emu_set_reg(r->ctx, r->src.reg, r->src.size, old);
	return EMU_DONE;
}

/*
 * The destination is written even when the comparison fails, with what it holds; a 32-bit register loses its upper half
 * by that on Intel, not on AMD.
 */
enum emu_result op_cmpxchg(struct emu_run *r)
{
	u64 old = r->dst.val, acc = emu_get_reg(r->ctx, EMU_RAX, r->dst.size);
	bool same = acc == old;

	do_sub(r, acc, old, 0, FL_ARITH);
	if (same) {
		r->dst.val = r->src.val;
		return EMU_DONE;
	}
	/* Memory is written back; a register stays as it is, its upper half too. */
	r->skip_write = !r->dst.mem;
	emu_set_reg(r->ctx, EMU_RAX, r->dst.size, old);
	return EMU_DONE;
}

enum emu_result op_cmpxchg8b(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int half = r->src.size, size = half * 2;
	u8 old[16] = {}, new[16] = {};
	enum emu_result res;
	u64 la, m = emu_mask(half), lo = 0, hi = 0;

	/* Looked at before the address is: #GP even where it is not canonical and SS would make #SS of it. */
	if (size == 16) {
		la = r->ea;
		if (r->insn->seg == EMU_FS || r->insn->seg == EMU_GS)
			la += emu_seg(ctx, r->insn->seg)->base;
		if (la & 15)
			return emu_gp0(ctx);
	}
	res = emu_operand_access(r, 0, old, size, EMU_ACC_RMW);
	if (res)
		return res;
	memcpy(&lo, old, half);
	memcpy(&hi, old + half, half);
	if (lo == (ctx->regs[EMU_RAX] & m) && hi == (ctx->regs[EMU_RDX] & m)) {
		memcpy(new, &ctx->regs[EMU_RBX], half);
		memcpy(new + half, &ctx->regs[EMU_RCX], half);
		put_flags(r, FL_ZF, FL_ZF);
	} else {
		memcpy(new, old, size);
		put_flags(r, FL_ZF, 0);
		emu_set_reg(ctx, EMU_RAX, half, lo);
		emu_set_reg(ctx, EMU_RDX, half, hi);
	}
	if (!r->insn->lock)
		return emu_operand_access(r, 0, new, size, EMU_ACC_WRITE);
	res = emu_linear(ctx, r->insn->seg, r->ea, size, true, &la);
	return res ? res : ctx->ops->cmpxchg(ctx, la, old, new, size, 0);
}

/* Write a double-width product or a quotient and remainder: AX for bytes, rDX:rAX otherwise. */
static void put_pair(struct emu_run *r, u64 lo, u64 hi)
{
	unsigned int size = r->src.size;

	if (size == 1) {
		emu_set_reg(r->ctx, EMU_RAX, 2, (lo & 0xff) | hi << 8);
		return;
	}
	emu_set_reg(r->ctx, EMU_RAX, size, lo);
	emu_set_reg(r->ctx, EMU_RDX, size, hi);
}

enum emu_result op_mul(struct emu_run *r)
{
	unsigned int size = r->src.size;
	unsigned __int128 p = (unsigned __int128)r->dst.val * r->src.val;
	u64 lo = p & emu_mask(size), hi = (u64)(p >> (size * 8)) & emu_mask(size);

	put_pair(r, lo, hi);
	put_flags(r, FL_ARITH, szp(lo, size) | (hi ? FL_CF | FL_OF : 0));
	return EMU_DONE;
}

static u64 do_imul(struct emu_run *r, u64 a, u64 b, unsigned int size, u64 *hi)
{
	__int128 p = (__int128)emu_sext(a, size) * emu_sext(b, size);
	u64 lo = (u64)p & emu_mask(size);

	*hi = (u64)(p >> (size * 8)) & emu_mask(size);
	put_flags(r, FL_ARITH, szp(lo, size) | (p != emu_sext(lo, size) ? FL_CF | FL_OF : 0));
	return lo;
}

enum emu_result op_imul(struct emu_run *r)
{
	u64 hi, lo = do_imul(r, r->dst.val, r->src.val, r->src.size, &hi);

	put_pair(r, lo, hi);
	return EMU_DONE;
}

/* Two and three operands: the first factor is the destination itself or, with an immediate, the source. */
enum emu_result op_imul2(struct emu_run *r)
{
	u64 hi, b = KIND(r->row->src2) ? r->src2.val : r->dst.val;

	r->dst.val = do_imul(r, r->src.val, b, r->dst.size, &hi);
	return EMU_DONE;
}

/* 128 by 64 bits, quotient known to fit; no division helper exists in the kernel. */
static u64 div128(u64 hi, u64 lo, u64 d, u64 *rem)
{
	u64 q;

	asm("divq %4" : "=a"(q), "=d"(*rem) : "a"(lo), "d"(hi), "rm"(d) : "cc");
	return q;
}

static void get_pair(struct emu_run *r, u64 *lo, u64 *hi)
{
	unsigned int size = r->src.size;

	*lo = r->dst.val;
	*hi = size == 1 ? r->ctx->regs[EMU_RAX] >> 8 & 0xff : emu_get_reg(r->ctx, EMU_RDX, size);
}

/* Unsigned division of hi:lo; false if the quotient does not fit. */
static bool divide(u64 hi, u64 lo, u64 d, unsigned int size, u64 *q, u64 *rem)
{
	if (hi >= d)
		return false;
	if (size == 8) {
		*q = div128(hi, lo, d, rem);
	} else {
		lo |= hi << (size * 8);
		*q = lo / d;
		*rem = lo % d;
	}
	return true;
}

enum emu_result op_div(struct emu_run *r)
{
	u64 lo, hi, q, rem;

	get_pair(r, &lo, &hi);
	if (!divide(hi, lo, r->src.val, r->src.size, &q, &rem))
		return emu_fault(r->ctx, VEC_DE, false, 0);
	put_pair(r, q, rem);
	return EMU_DONE;
}

enum emu_result op_idiv(struct emu_run *r)
{
	unsigned int size = r->src.size;
	u64 lo, hi, q, rem, d = r->src.val, m = emu_mask(size);
	bool neg, negd = msb(d, size);

	get_pair(r, &lo, &hi);
	neg = msb(hi, size);
	if (neg) {
		lo = -lo & m;
		hi = (~hi + !lo) & m;
	}
	if (negd)
		d = -d & m;
	if (!divide(hi, lo, d, size, &q, &rem))
		return emu_fault(r->ctx, VEC_DE, false, 0);
	if (q > (m >> 1) + (neg != negd))
		return emu_fault(r->ctx, VEC_DE, false, 0);
	put_pair(r, neg != negd ? -q : q, neg ? -rem : rem);
	return EMU_DONE;
}

/* Rotate through a register of n bits (with carry: one more). */
static u64 do_rotate(struct emu_run *r, u64 v, unsigned int count)
{
	unsigned int size = r->dst.size, bits = size * 8, kind = r->row->arg;
	u64 m = emu_mask(size), cf = carry(r), of;

	if (kind >= 2) {
		for (count %= bits + 1; count; count--) {
			u64 out = kind == 2 ? msb(v, size) : v & 1;

			v = kind == 2 ? (v << 1 | cf) & m : v >> 1 | cf << (bits - 1);
			cf = out;
		}
	} else {
		count %= bits;
		if (kind == 1)
			count = (bits - count) % bits;
		if (count)
			v = (v << count | v >> (bits - count)) & m;
		cf = kind ? msb(v, size) : v & 1;
	}
	of = kind & 1 ? msb(v, size) ^ (v >> (bits - 2) & 1) : msb(v, size) ^ cf;
	put_flags(r, FL_CF | FL_OF, (cf ? FL_CF : 0) | (of ? FL_OF : 0));
	return v;
}

enum emu_result op_shift(struct emu_run *r)
{
	unsigned int size = r->dst.size, bits = size * 8, kind = r->row->arg;
	unsigned int count = r->src.val & (size == 8 ? 63 : 31);
	u64 v = r->dst.val, cf, of = 0;
	s64 s = emu_sext(v, size);

	if (!count)
		return EMU_DONE;
	if (kind < 4) {
		r->dst.val = do_rotate(r, v, count);
		return EMU_DONE;
	}
	if (kind == 4) {
		cf = count <= bits ? v >> (bits - count) & 1 : 0;
		r->dst.val = count < bits ? v << count & emu_mask(size) : 0;
		of = msb(r->dst.val, size) ^ cf;
	} else if (kind == 5) {
		cf = v >> (count - 1) & 1;
		r->dst.val = v >> count;
		of = msb(v, size);
	} else {
		cf = (s >> (count - 1)) & 1;
		r->dst.val = (u64)(s >> count) & emu_mask(size);
	}
	put_flags(r, FL_ARITH, szp(r->dst.val, size) | (cf ? FL_CF : 0) | (of ? FL_OF : 0));
	return EMU_DONE;
}

static enum emu_result do_shd(struct emu_run *r, bool left)
{
	unsigned int size = r->dst.size, bits = size * 8;
	unsigned int count = r->src2.val & (size == 8 ? 63 : 31);
	u64 a = r->dst.val, b = r->src.val, v, cf;

	if (!count)
		return EMU_DONE;
	if (count > bits) {	/* 16-bit operands: undefined; Intel goes on with the pair, AMD with the source */
		count -= bits;
		v = a;
		a = b;
		b = r->ctx->amd ? b : v;
	}
	if (left) {
		cf = a >> (bits - count) & 1;
		v = count == bits ? b : a << count | b >> (bits - count);
	} else {
		cf = a >> (count - 1) & 1;
		v = count == bits ? b : a >> count | b << (bits - count);
	}
	r->dst.val = v & emu_mask(size);
	put_flags(r, FL_ARITH, szp(v, size) | (cf ? FL_CF : 0) | (msb(v ^ a, size) ? FL_OF : 0));
	return EMU_DONE;
}

enum emu_result op_shld(struct emu_run *r)
{
	return do_shd(r, true);
}

enum emu_result op_shrd(struct emu_run *r)
{
	return do_shd(r, false);
}

static u64 the_bit(struct emu_run *r)
{
	u64 bit = r->src.val & (r->dst.size * 8 - 1);

	put_flags(r, FL_CF, r->dst.val >> bit);
	return 1ull << bit;
}

ALU_OP(bt, (the_bit(r), a))
ALU_OP(bts, a | the_bit(r))
ALU_OP(btr, a & ~the_bit(r))
ALU_OP(btc, a ^ the_bit(r))

/* BSF, BSR of 0: the destination stays as it is, in all 64 bits. */
static enum emu_result do_bitscan(struct emu_run *r, bool up)
{
	u64 v = r->src.val;

	put_flags(r, FL_ARITH, v ? 0 : FL_ZF | FL_PF);
	if (v)
		r->dst.val = up ? __builtin_ctzll(v) : 63 - __builtin_clzll(v);
	else
		r->skip_write = true;
	return EMU_DONE;
}

enum emu_result op_bsf(struct emu_run *r)
{
	return do_bitscan(r, true);
}

enum emu_result op_bsr(struct emu_run *r)
{
	return do_bitscan(r, false);
}

static enum emu_result count_result(struct emu_run *r, unsigned int n, bool cf)
{
	put_flags(r, FL_ARITH, (n ? 0 : FL_ZF) | (cf ? FL_CF : 0));
	r->dst.val = n;
	return EMU_DONE;
}

enum emu_result op_tzcnt(struct emu_run *r)
{
	u64 v = r->src.val;

	return count_result(r, v ? __builtin_ctzll(v) : r->src.size * 8, !v);
}

enum emu_result op_lzcnt(struct emu_run *r)
{
	u64 v = r->src.val;
	unsigned int bits = r->src.size * 8;

	return count_result(r, v ? __builtin_clzll(v) - (64 - bits) : bits, !v);
}

enum emu_result op_popcnt(struct emu_run *r)
{
	unsigned int n = 0;

	for (u64 v = r->src.val; v; v &= v - 1)
		n++;
	return count_result(r, n, false);
}

enum emu_result op_crc32(struct emu_run *r)
{
	u32 crc = r->dst.val;

	for (unsigned int i = 0; i < r->src.size; i++) {
		crc ^= r->src.val >> (i * 8) & 0xff;
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	r->dst.val = crc;
	return EMU_DONE;
}

static enum emu_result do_adx(struct emu_run *r, u64 flag)
{
	u64 cin = !!(r->ctx->rflags & flag);
	unsigned __int128 sum = (unsigned __int128)r->dst.val + r->src.val + cin;

	r->dst.val = (u64)sum & emu_mask(r->dst.size);
	put_flags(r, flag, sum >> (r->dst.size * 8) ? flag : 0);
	return EMU_DONE;
}

enum emu_result op_adcx(struct emu_run *r)
{
	return do_adx(r, FL_CF);
}

enum emu_result op_adox(struct emu_run *r)
{
	return do_adx(r, FL_OF);
}

enum emu_result op_andn(struct emu_run *r)
{
	r->dst.val = do_logic(r, ~r->src.val & r->src2.val);
	return EMU_DONE;
}

enum emu_result op_bls(struct emu_run *r)
{
	unsigned int size = r->dst.size;
	u64 v = r->src.val, res;
	bool cf = r->row->arg == 3 ? v : !v;

	res = r->row->arg == 1 ? v & (v - 1) : r->row->arg == 2 ? v ^ (v - 1) : v & -v;
	r->dst.val = res & emu_mask(size);
	put_flags(r, FL_ARITH, szp(res, size) | (cf ? FL_CF : 0));
	return EMU_DONE;
}

enum emu_result op_bzhi(struct emu_run *r)
{
	unsigned int size = r->dst.size, n = r->src2.val & 0xff;

	r->dst.val = n < size * 8 ? r->src.val & ((1ull << n) - 1) : r->src.val;
	put_flags(r, FL_ARITH, szp(r->dst.val, size) | (n >= size * 8 ? FL_CF : 0));
	return EMU_DONE;
}

enum emu_result op_bextr(struct emu_run *r)
{
	unsigned int start = r->src2.val & 0xff, len = r->src2.val >> 8 & 0xff;
	u64 v = start < 64 ? r->src.val >> start : 0;

	if (len < 64)
		v &= (1ull << len) - 1;
	r->dst.val = v;
	put_flags(r, FL_ARITH, szp(v, r->dst.size));
	return EMU_DONE;
}

enum emu_result op_shx(struct emu_run *r)
{
	unsigned int size = r->dst.size, n = r->src2.val & (size * 8 - 1);
	u64 v = r->src.val;

	r->dst.val = r->row->arg == 4 ? v << n : r->row->arg == 5 ? v >> n : (u64)(emu_sext(v, size) >> n);
	return EMU_DONE;
}

enum emu_result op_rorx(struct emu_run *r)
{
	unsigned int bits = r->dst.size * 8, n = r->src2.val & (bits - 1);

	r->dst.val = n ? r->src.val >> n | r->src.val << (bits - n) : r->src.val;
	return EMU_DONE;
}

/* The low half goes to vvvv first: with one register for both, the high half stays. */
enum emu_result op_mulx(struct emu_run *r)
{
	unsigned int size = r->dst.size;
	unsigned __int128 p = (unsigned __int128)emu_get_reg(r->ctx, EMU_RDX, size) * r->src2.val;

	emu_set_reg(r->ctx, r->insn->vvvv, size, (u64)p);
	r->dst.val = (u64)(p >> (size * 8));
	return EMU_DONE;
}

enum emu_result op_pdep(struct emu_run *r)
{
	u64 v = 0, from = r->src.val;

	for (u64 m = r->src2.val; m; m &= m - 1, from >>= 1)
		if (from & 1)
			v |= m & -m;
	r->dst.val = v;
	return EMU_DONE;
}

enum emu_result op_pext(struct emu_run *r)
{
	u64 v = 0, to = 1;

	for (u64 m = r->src2.val; m; m &= m - 1, to <<= 1)
		if (r->src.val & m & -m)
			v |= to;
	r->dst.val = v;
	return EMU_DONE;
}

/* Decimal adjustment. AL is the destination; the carry out of the low digit can itself carry. */
static enum emu_result decimal(struct emu_run *r, bool sub)
{
	u64 fl = r->ctx->rflags, out = 0;
	u8 al = r->dst.val, old = al;

	if ((old & 15) > 9 || (fl & FL_AF)) {
		al = sub ? al - 6 : al + 6;
		out |= FL_AF | (sub && old < 6 ? FL_CF : 0);
	}
	if (old > 0x99 || (fl & FL_CF)) {
		al = sub ? al - 0x60 : al + 0x60;
		out |= FL_CF;
	}
	r->dst.val = al;
	put_flags(r, FL_ARITH, szp(al, 1) | out);
	return EMU_DONE;
}

enum emu_result op_daa(struct emu_run *r)
{
	return decimal(r, false);
}

enum emu_result op_das(struct emu_run *r)
{
	return decimal(r, true);
}

static enum emu_result ascii(struct emu_run *r, bool sub)
{
	u16 ax = r->ctx->regs[EMU_RAX];
	bool adjust = (ax & 15) > 9 || (r->ctx->rflags & FL_AF);

	if (adjust)
		ax += sub ? -0x106 : 0x106;
	ax &= 0xff0f;
	put_flags(r, FL_ARITH, szp(ax, 1) | (adjust ? FL_AF | FL_CF : 0));
	emu_set_reg(r->ctx, EMU_RAX, 2, ax);
	return EMU_DONE;
}

enum emu_result op_aaa(struct emu_run *r)
{
	return ascii(r, false);
}

enum emu_result op_aas(struct emu_run *r)
{
	return ascii(r, true);
}

enum emu_result op_aam(struct emu_run *r)
{
	u8 al = r->ctx->regs[EMU_RAX], by = r->src.val;

	if (!by)
		return emu_fault(r->ctx, VEC_DE, false, 0);
	emu_set_reg(r->ctx, EMU_RAX, 2, al % by | (al / by) << 8);
	put_flags(r, FL_ARITH, szp(al % by, 1));
	return EMU_DONE;
}

enum emu_result op_aad(struct emu_run *r)
{
	u16 ax = r->ctx->regs[EMU_RAX];
	u8 v = (ax & 0xff) + (ax >> 8) * r->src.val;

	emu_set_reg(r->ctx, EMU_RAX, 2, v);
	put_flags(r, FL_ARITH, szp(v, 1));
	return EMU_DONE;
}

enum emu_result op_cbw(struct emu_run *r)
{
	r->dst.val = emu_sext(r->dst.val & emu_mask(r->dst.size / 2), r->dst.size / 2);
	return EMU_DONE;
}

enum emu_result op_cwd(struct emu_run *r)
{
	unsigned int size = r->insn->opsize;

	emu_set_reg(r->ctx, EMU_RDX, size, msb(emu_get_reg(r->ctx, EMU_RAX, size), size) ? ~0ull : 0);
	return EMU_DONE;
}
