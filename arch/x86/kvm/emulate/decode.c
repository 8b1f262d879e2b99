// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decoder: bytes and a mode in, an instruction record out. A pure function, bounded by 15 bytes; what an opcode
 * is comes from tables.c. It also answers how long an instruction is, with a short cut for the few that
 * exits are usually about.
 */
#include "insn.h"

/* Reading position. Bytes past the end read as 0 and are remembered as missing. */
struct cursor {
	const u8 *p;
	unsigned int pos, n;
};

static u8 take(struct cursor *c)
{
	u8 b = c->pos < c->n ? c->p[c->pos] : 0;

	c->pos++;
	return b;
}

static u64 take_n(struct cursor *c, unsigned int size)
{
	u64 v = 0;

	for (unsigned int i = 0; i < size; i++)
		v |= (u64)take(c) << (i * 8);
	return v;
}

static unsigned int code_size(enum emu_mode mode)
{
	static const u8 size[EMU_NR_MODES] = { 2, 4, 2, 2, 4, 8 };

	return size[mode];
}

/* UD0 and UD1 take a ModRM byte on Intel only. */
static bool undefined_alone(const struct emu_insn *in)
{
	return in->map == 1 && (in->opcode == 0xff || in->opcode == 0xb9);
}

/* LOCK MOV CR0 is AMD's way to CR8 outside of 64-bit mode. */
static void lock_is_cr8(struct emu_insn *in)
{
	if (in->map == 1 && (in->opcode & 0xfd) == 0x20 && in->lock && !(in->modrm & 0x38) && !(in->rex & 4)) {
		in->lock = false;
		in->rex |= 4;
	}
}

/* Legacy prefixes and REX. Returns the first byte that is none. */
static u8 take_prefixes(struct emu_insn *in, struct cursor *c, bool *adsize_prefix)
{
	static const u8 seg_of[4] = { EMU_ES, EMU_CS, EMU_SS, EMU_DS };

	for (;;) {
		u8 b = take(c);

		if (c->pos > EMU_MAX_INSN || c->pos > c->n)
			return b;
		switch (b) {
		case 0x66:
			in->opsize_prefix = true;
			break;
		case 0x67:
			*adsize_prefix = true;
			break;
		case 0xf0:
			in->lock = true;
			break;
		case 0xf2:
		case 0xf3:
			in->rep = b;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			if (in->mode != EMU_LONG64) {
				in->seg = seg_of[(b >> 3) & 3];
				in->seg_override = true;
			}
			break;
		case 0x64:
		case 0x65:
			in->seg = b == 0x64 ? EMU_FS : EMU_GS;
			in->seg_override = true;
			break;
		default:
			if (in->mode == EMU_LONG64 && (b & 0xf0) == 0x40) {
				in->rex = b;
				continue;	/* only the last byte before the opcode counts */
			}
			return b;
		}
		in->rex = 0;
	}
}

/* C4, C5: fills rex, vvvv, mandatory prefix. Returns the map, or -1 if that map has no instruction. */
static int take_vex(struct emu_insn *in, struct cursor *c, u8 first)
{
	static const u8 pp_rep[4] = { 0, 0, 0xf3, 0xf2 };
	u8 b = take(c), p = b;
	int map = 1;

	in->vex = true;
	in->rex = 0x40 | (~b >> 5 & 4);
	if (first == 0xc4) {
		in->rex |= ~b >> 5 & 3;
		map = (b & 0x1f) - 1;
		p = take(c);
		in->rex |= p >> 4 & 8;
		map = map < 0 || map > 2 ? -1 : map + 1;
	}
	if (in->mode != EMU_LONG64)
		in->rex = 0x40 | (in->rex & 8);		/* only eight registers there */
	in->vvvv = ~p >> 3 & 15;
	in->vex_l = p & 4;
	in->opsize_prefix = (p & 3) == 1;
	in->rep = pp_rep[p & 3];
	in->opcode = take(c);
	return map;
}

static const struct emu_row *find_row(struct emu_insn *in)
{
	switch (in->map) {
	case 0:
		return &emu_map_1[in->opcode];
	case 1:
		return &emu_map_0f[in->opcode];
	case 2:
		return emu_find_0f38(in->opcode);
	default:
		return emu_find_0f3a(in->opcode);
	}
}

/* 90 with REX.B is XCHG, whatever the prefix. */
static bool exchange_r8(const struct emu_insn *in)
{
	return in->map == 0 && (in->rex & 1);
}

/* Follow the smaller tables. Every index is masked to the size of the table it goes into. */
static const struct emu_row *walk_rows(const struct emu_insn *in, const struct emu_row *row)
{
	while (row->flags & F_BY) {
		unsigned int i;

		if (row->flags & F_BY_REG)
			i = in->modrm >> 3 & 7;
		else if (row->flags & F_BY_RM)
			i = in->modrm & 7;
		else if (row->flags & F_BY_MOD)
			i = !in->is_mem;
		else if (row->flags & F_BY_PFX)
			i = in->rep == 0xf3 && !exchange_r8(in) ? 2 : in->rep == 0xf2 ? 3 : in->opsize_prefix;
		else
			i = in->mode == EMU_LONG64;
		row = &row->sub[i];
	}
	return row;
}

/* Does any row below this one take a ModRM byte? All rows of one opcode agree. */
static bool wants_modrm(const struct emu_row *row)
{
	const u32 kinds = 1u << K_E | 1u << K_M | 1u << K_G | 1u << K_R | 1u << K_S | 1u << K_C | 1u << K_V |
			  1u << K_W | 1u << K_P | 1u << K_Q;

	while (row->flags & F_BY) {
		if (row->flags & (F_BY_REG | F_BY_RM | F_BY_MOD))
			return true;
		row = row->sub;
	}
	return (1u << KIND(row->dst) | 1u << KIND(row->src) | 1u << KIND(row->src2)) & kinds;
}

static void take_mem16(struct emu_insn *in, struct cursor *c)
{
	static const u8 base[8] = { EMU_RBX, EMU_RBX, EMU_RBP, EMU_RBP, EMU_RSI, EMU_RDI, EMU_RBP, EMU_RBX };
	static const u8 index[8] = { EMU_RSI, EMU_RDI, EMU_RSI, EMU_RDI, 0xff, 0xff, 0xff, 0xff };
	unsigned int mod = in->modrm >> 6, rm = in->modrm & 7;

	in->base = base[rm];
	in->index = index[rm];
	if (mod == 0 && rm == 6) {
		in->base = 0xff;
		mod = 2;
	}
	in->disp = emu_sext(take_n(c, mod), mod ? mod : 8);
}

static void take_mem(struct emu_insn *in, struct cursor *c)
{
	unsigned int mod = in->modrm >> 6, rm = in->modrm & 7, size = mod == 1 ? 1 : mod == 2 ? 4 : 0;

	in->base = rm | (in->rex & 1) << 3;
	in->index = 0xff;
	if (rm == 4) {
		u8 sib = take(c);

		in->scale = sib >> 6;
		in->index = (sib >> 3 & 7) | (in->rex & 2) << 2;
		in->base = (sib & 7) | (in->rex & 1) << 3;
		if (in->index == 4)
			in->index = 0xff;
		rm = sib & 7;
		if (mod == 0 && rm == 5) {
			in->base = 0xff;
			size = 4;
		}
	} else if (mod == 0 && rm == 5) {
		in->base = 0xff;
		in->rip_relative = in->mode == EMU_LONG64;
		size = 4;
	}
	in->disp = emu_sext(take_n(c, size), size ? size : 8);
}

static void take_operand_bytes(struct emu_insn *in, struct cursor *c, const struct emu_row *row)
{
	const u8 code[3] = { row->dst, row->src, row->src2 };
	unsigned int wide = in->opsize, z = wide == 2 ? 2 : 4;
	u64 *imm = &in->imm;

	for (int i = 0; i < 3; i++) {
		unsigned int cls = SCLASS(code[i]);
		unsigned int size = cls == S_B ? 1 : cls == S_W ? 2 : cls == S_V ? wide : z;

		switch (KIND(code[i])) {
		case K_I:	/* what fills a 64-bit operand from 4 bytes is sign-extended */
			*imm = take_n(c, size);
			if (cls == S_Z)
				*imm = emu_sext(*imm, size);
			imm = &in->imm2;
			break;
		case K_IS:
			*imm = emu_sext(take(c), 1);
			imm = &in->imm2;
			break;
		case K_J:
			*imm = emu_sext(take_n(c, size), size);
			break;
		case K_F:
			*imm = take_n(c, size);
			in->imm2 = take_n(c, 2);
			break;
		case K_O:
			in->disp = take_n(c, in->adsize);
			in->is_mem = true;
			break;
		}
	}
}

/* Sizes that depend on the row. */
static void set_opsize(struct emu_insn *in, u32 flags, bool amd)
{
	unsigned int size = code_size(in->mode);

	if (size == 8) {
		in->opsize = in->rex & 8 ? 8 : in->opsize_prefix ? 2 : 4;
		if (((flags & F_F64) && !(amd && in->opsize == 2)) || ((flags & F_D64) && in->opsize == 4))
			in->opsize = 8;
	} else {
		in->opsize = in->opsize_prefix ? 6 - size : size;
	}
	if (in->vex && in->opsize == 2)
		in->opsize = 4;
}

/* Register numbers that do not exist: #UD before anything else is looked at. */
static bool bad_register(const struct emu_insn *in, const struct emu_row *row)
{
	unsigned int reg = (in->modrm >> 3 & 7) | (in->rex & 4) << 1;

	if (KIND(row->dst) == K_S || KIND(row->src) == K_S) {
		reg &= 7;
		return reg > EMU_GS || (KIND(row->dst) == K_S && reg == EMU_CS);
	}
	if (KIND(row->dst) != K_C && KIND(row->src) != K_C)
		return false;
	return in->opcode & 1 ? reg > 7 : !(0x11du >> reg & 1);
}

/* #UD that bytes and mode alone decide. */
static bool illegal(const struct emu_insn *in, const struct emu_row *row, bool amd)
{
	u32 fl = row->flags;
	bool v86 = in->mode <= EMU_VM86, l64 = in->mode == EMU_LONG64;

	if (bad_register(in, row) || (fl & F_UD) || (l64 && (fl & F_NO64)) || (v86 && (fl & F_PROT)))
		return true;
	if (in->lock && (in->vex || !(fl & F_LOCK) || !in->is_mem))
		return true;
	if (amd && in->map == 1 && in->opcode == 0x0d && !in->is_mem)	/* PREFETCH of a register: Intel's NOP */
		return true;
	if ((KIND(row->dst) == K_M || KIND(row->src) == K_M) && !in->is_mem)
		return true;
	if (in->vex) {
		if (in->map == 1 && ((in->opcode & 0xf0) == 0x40 || (in->opcode & 0xf0) == 0x90))
			return false;	/* opmask registers: see opmask() */
		if (!(fl & (F_VEX | F_VEX3)) || ((fl & F_VEX) && in->vvvv))
			return !(fl & F_UNK);
		if ((fl & F_L0) && in->vex_l)
			return true;
	}
	return !in->vex && (fl & F_VEXONLY);
}

/* VEX forms of CMOVcc and SETcc are instructions on opmask registers: real ones. */
static bool opmask(const struct emu_insn *in)
{
	return in->vex && in->map == 1 && ((in->opcode & 0xf0) == 0x40 || (in->opcode & 0xf0) == 0x90);
}

static enum emu_decode_result finish(struct emu_insn *in, const struct cursor *c,
				     enum emu_decode_result res)
{
	in->len = c->pos;
	if (c->pos <= c->n)
		return res;
	return c->n == EMU_MAX_INSN ? EMU_DEC_TOO_LONG : EMU_DEC_MORE;
}

/* 62: no instruction of ours, but the length is wanted. The map, as far as that goes. */
static int take_evex(struct emu_insn *in, struct cursor *c)
{
	u8 p0 = take(c);

	take_n(c, 2);
	in->vex = true;
	in->opcode = take(c);
	return (p0 & 7) == 1 ? 1 : (p0 & 7) == 3 ? 3 : 2;
}

/* VEX and EVEX, unless they are LES, LDS and BOUND: by what follows, in 64-bit mode only by a REX before them. */
static bool vex_here(const struct emu_insn *in, const struct cursor *c, unsigned int mode)
{
	if (mode == EMU_LONG64)
		return !in->rex;
	return (mode == EMU_PROT16 || mode == EMU_PROT32) && c->pos < c->n && c->p[c->pos] >= 0xc0;
}

enum emu_decode_result emu_decode(struct emu_insn *in, const u8 *bytes, unsigned int n, unsigned int mode)
{
	struct cursor c = { .p = bytes, .n = n < EMU_MAX_INSN ? n : EMU_MAX_INSN };
	bool adsize_prefix = false, evex = false, prefixed, amd = mode & EMU_MODE_AMD;
	const struct emu_row *row;
	unsigned int size;
	u8 b;

	mode &= ~EMU_MODE_AMD;
	*in = (struct emu_insn){ .mode = mode, .seg = EMU_DS, .base = 0xff, .index = 0xff };
	memcpy(in->bytes, bytes, c.n);
	b = take_prefixes(in, &c, &adsize_prefix);
	size = code_size(mode);
	in->adsize = size == 8 ? (adsize_prefix ? 4 : 8) : adsize_prefix ? 6 - size : size;
	in->opcode = b;
	prefixed = in->lock || in->rep || in->opsize_prefix || in->rex;
	if ((b == 0xc4 || b == 0xc5 || b == 0x62) && vex_here(in, &c, mode)) {
		int map;

		evex = b == 0x62;
		map = evex ? take_evex(in, &c) : take_vex(in, &c, b);
		if (map == 1 && (in->opcode == 0x38 || in->opcode == 0x3a))
			return finish(in, &c, EMU_DEC_UD);	/* escapes that VEX has no use for */
		in->map = map < 0 ? 2 : map;	/* an unknown map: as long as others */
		prefixed |= map < 0;
	} else if (b == 0x0f) {
		in->map = 1;
		in->opcode = take(&c);
		if (in->opcode == 0x38 || in->opcode == 0x3a) {
			in->map = in->opcode == 0x38 ? 2 : 3;
			in->opcode = take(&c);
		}
	}
	row = find_row(in);
	in->has_modrm = wants_modrm(row) && !(amd && undefined_alone(in));
	if (in->has_modrm) {
		in->modrm = take(&c);
		in->is_mem = in->modrm < 0xc0;
	}
	if (amd)
		lock_is_cr8(in);
	row = walk_rows(in, row);
	/* Moves to and from control and debug registers take mod for 3. */
	if (KIND(row->dst) == K_C || KIND(row->src) == K_C)
		in->is_mem = false;
	set_opsize(in, row->flags, amd);
	if (in->is_mem && in->adsize == 2)
		take_mem16(in, &c);
	else if (in->is_mem)
		take_mem(in, &c);
	if (!in->seg_override && (in->base == EMU_RBP || in->base == EMU_RSP))
		in->seg = EMU_SS;
	take_operand_bytes(in, &c, row);
	if ((in->vex && prefixed) || (!evex && illegal(in, row, amd)))
		return finish(in, &c, EMU_DEC_UD);
	if (evex || (row->flags & F_UNK) || opmask(in))
		return finish(in, &c, EMU_DEC_UNKNOWN);
	in->row = row;
	return finish(in, &c, EMU_DEC_OK);
}

unsigned int emu_insn_length(const u8 *bytes, unsigned int n, unsigned int mode)
{
	struct emu_insn in;

	if (n >= 3 && bytes[0] == 0x0f) {
		switch (bytes[1]) {
		case 0x01:	/* VMCALL, VMMCALL, MONITOR, XSETBV, RDTSCP ...: register forms only */
			if (bytes[2] >= 0xc0)
				return 3;
			break;
		case 0x06:	/* CLTS INVD WBINVD, WRMSR RDTSC RDMSR RDPMC, CPUID RSM */
		case 0x08:
		case 0x09:
		case 0x30 ... 0x33:
		case 0xa2:
		case 0xaa:
			return 2;
		case 0x20 ... 0x23:
			return 3;
		}
	} else if (n && (bytes[0] == 0xf4 || (bytes[0] >= 0xec && bytes[0] <= 0xef))) {
		return 1;	/* HLT; IN and OUT by DX */
	}
	switch (emu_decode(&in, bytes, n, mode)) {
	case EMU_DEC_OK:
	case EMU_DEC_UNKNOWN:
	case EMU_DEC_UD:
		return in.len;
	default:
		return 0;
	}
}

bool emu_one_access(const struct emu_insn *in)
{
	static const emu_fn others[] = {
		op_push, op_pop, op_call_ind, op_callf_m, op_jmpf_m, op_lds, op_mov_sreg, op_lar, op_lsl, op_verr,
		op_lldt, op_ltr, op_bound, op_lgdt, op_sgdt, op_invpcid, op_invlpg, op_clflush,
	};

	if (!in->row || !in->is_mem || (in->row->flags & F_STR))
		return false;
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++)
		if (in->row->fn == others[i])
			return false;
	return true;
}
