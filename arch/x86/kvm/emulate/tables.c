// SPDX-License-Identifier: GPL-2.0-only
/*
 * The opcode maps, as data. A row names its handler, its operands in the manuals' letters, and what is legal; a row may
 * instead lead to a smaller table chosen by ModRM, mandatory prefix or mode. Everything about an opcode that is not its
 * effect is here: the decoder and the executor contain no opcode numbers.
 *
 * Rows of three kinds execute nothing: UD (the manual says #UD), UNK (a real instruction outside our coverage: a
 * named failure, its length still known), and rows that lead on.
 */
#include "insn.h"

#define Eb	(K_E | S_B)
#define Ew	(K_E | S_W)
#define Ev	(K_E | S_V)
#define Ey	(K_E | S_Y)
#define Ed	(K_E | S_D)
#define En	(K_E | S_N)
#define Gb	(K_G | S_B)
#define Gw	(K_G | S_W)
#define Gv	(K_G | S_V)
#define Gy	(K_G | S_Y)
#define Gd	(K_G | S_D)
#define By	(K_B | S_Y)
#define Rn	(K_R | S_N)
#define Rv	(K_R | S_V)
#define Ry	(K_R | S_Y)
#define Ib	(K_I | S_B)
#define Iw	(K_I | S_W)
#define Iz	(K_I | S_Z)
#define Iv	(K_I | S_V)
#define Is	(K_IS | S_V)
#define AL	(K_A | S_B)
#define AX	(K_A | S_V)
#define Ay	(K_A | S_Y)
#define Zb	(K_Z | S_B)
#define Zv	(K_Z | S_V)
#define Zy	(K_Z | S_Y)
#define Jb	(K_J | S_B)
#define Jz	(K_J | S_Z)
#define Ap	(K_F | S_Z)
#define Ob	(K_O | S_B)
#define Ov	(K_O | S_V)
#define Mv	(K_M | S_V)
#define My	(K_M | S_Y)
#define Mb	(K_M | S_B)
#define Sw	(K_S | S_W)
#define Cn	(K_C | S_N)
#define CL	(K_CL | S_B)
#define DX	(K_DX | S_W)
#define ONE	(K_ONE | S_B)
#define V	K_V
#define W	K_W
#define P	K_P
#define Q	K_Q
#define XX	K_NONE

#define R(f, d, s, fl)		{ { .fn = op_##f }, .dst = (d), .src = (s), .flags = (fl) }
#define RA(f, d, s, fl, a)	{ { .fn = op_##f }, .dst = (d), .src = (s), .flags = (fl), .arg = (a) }
#define R3(f, d, s, t, fl)	{ { .fn = op_##f }, .dst = (d), .src = (s), .src2 = (t), .flags = (fl) }
#define R3A(f, d, s, t, fl, a)	\
	{ { .fn = op_##f }, .dst = (d), .src = (s), .src2 = (t), .flags = (fl), .arg = (a) }
#define T(t, by)		{ { .sub = (t) }, .flags = (by) }
#define UD			{ .flags = F_UD }
#define UDM			{ .flags = F_UD, .dst = K_E | S_V }
#define UNK			{ .flags = F_UNK, .dst = K_W }
#define UNKI			{ .flags = F_UNK, .dst = K_W, .src = K_I | S_B }
#define UNK0			{ .flags = F_UNK }

#define ALU(f, fl)	\
	R(f, Eb, Gb, (fl) | F_LOCK), R(f, Ev, Gv, (fl) | F_LOCK), R(f, Gb, Eb, fl), R(f, Gv, Ev, fl),	\
	R(f, AL, Ib, fl), R(f, AX, Iz, fl)
#define EIGHT(m)	m(0), m(1), m(2), m(3), m(4), m(5), m(6), m(7)
#define SIXTEEN(m)	EIGHT(m), m(8), m(9), m(10), m(11), m(12), m(13), m(14), m(15)

#define GRP1(name, e, i, lk)									\
	static const struct emu_row name[8] = {							\
		R(add, e, i, F_RW | (lk)), R(or, e, i, F_RW | (lk)), R(adc, e, i, F_RW | (lk)),		\
		R(sbb, e, i, F_RW | (lk)), R(and, e, i, F_RW | (lk)), R(sub, e, i, F_RW | (lk)),	\
		R(xor, e, i, F_RW | (lk)), R(cmp, e, i, F_RD | ((lk) & F_NO64)) }
GRP1(g80, Eb, Ib, F_LOCK);
GRP1(g81, Ev, Iz, F_LOCK);
GRP1(g82, Eb, Ib, F_LOCK | F_NO64);
GRP1(g83, Ev, Is, F_LOCK);

#define SH(n, e, c)	RA(shift, e, c, F_RW, n)
#define GRP2(name, e, c)	static const struct emu_row name[8] = {				\
	SH(0, e, c), SH(1, e, c), SH(2, e, c), SH(3, e, c), SH(4, e, c), SH(5, e, c), SH(4, e, c), SH(7, e, c) }
GRP2(gc0, Eb, Ib);
GRP2(gc1, Ev, Ib);
GRP2(gd0, Eb, ONE);
GRP2(gd1, Ev, ONE);
GRP2(gd2, Eb, CL);
GRP2(gd3, Ev, CL);

#define GRP3(name, e, i, a)	static const struct emu_row name[8] = {				\
	R(test, e, i, F_RD), R(test, e, i, F_RD), R(not, e, XX, F_RW | F_LOCK),			\
	R(neg, e, XX, F_RW | F_LOCK), R(mul, a, e, F_RD), R(imul, a, e, F_RD), R(div, a, e, F_RD),	\
	R(idiv, a, e, F_RD) }
GRP3(gf6, Eb, Ib, AL);
GRP3(gf7, Ev, Iz, AX);

static const struct emu_row g8f[8] = {
	R(pop, Ev, XX, F_WR | F_D64), UDM, UDM, UDM, UDM, UDM, UDM, UDM
};

#define UDI(i)			{ .flags = F_UD, .dst = K_E | S_V, .src = (i) }
static const struct emu_row gc6[8] = {
	R(mov, Eb, Ib, F_WR), UDI(Ib), UDI(Ib), UDI(Ib), UDI(Ib), UDI(Ib), UDI(Ib), UDI(Ib)
};
static const struct emu_row gc7[8] = {
	R(mov, Ev, Iz, F_WR), UDI(Iz), UDI(Iz), UDI(Iz), UDI(Iz), UDI(Iz), UDI(Iz), UDI(Iz)
};

static const struct emu_row gfe[8] = {
	R(inc, Eb, XX, F_RW | F_LOCK), R(dec, Eb, XX, F_RW | F_LOCK), UDM, UDM, UDM, UDM, UDM, UDM
};

static const struct emu_row gff[8] = {
	R(inc, Ev, XX, F_RW | F_LOCK), R(dec, Ev, XX, F_RW | F_LOCK),
	R(call_ind, Ev, XX, F_RD | F_F64), R(callf_m, Mv, XX, 0),
	R(jmp_ind, Ev, XX, F_RD | F_F64), R(jmpf_m, Mv, XX, 0), R(push, XX, Ev, F_D64), UDM
};

/* x87: loads, stores and control; the argument is the size of the memory operand. */
#define LD(n)	RA(x87_load, XX, K_M, F_X87, n)
#define ST(n)	RA(x87_store, XX, K_M, F_X87, n)
#define STC	RA(x87_store, XX, K_M, F_X87 | F_NOWAIT, 2)
#define X87C	R(x87_reg, XX, K_E, F_X87 | F_NOWAIT)
static const struct emu_row gd9m[8] = { LD(4), UNK, ST(4), ST(4), UNK, LD(2), UNK, STC };
static const struct emu_row gdbm[8] = { LD(4), ST(4), ST(4), ST(4), UDM, LD(10), UDM, ST(10) };
static const struct emu_row gddm[8] = { LD(8), ST(8), ST(8), ST(8), UNK, UDM, UNK, STC };
static const struct emu_row gdfm[8] = { LD(2), ST(2), ST(2), ST(2), LD(10), LD(8), ST(10), ST(8) };
static const struct emu_row gdbe[8] = { UNK, UNK, X87C, X87C, UNK, UNK, UNK, UNK };
static const struct emu_row gdfe[8] = { X87C, UNK, UNK, UNK, UNK, UNK, UNK, UNK };
static const struct emu_row gdbr[8] = { UNK, UNK, UNK, UNK, T(gdbe, F_BY_RM), UNK, UNK, UNK };
static const struct emu_row gdfr[8] = { UNK, UNK, UNK, UNK, T(gdfe, F_BY_RM), UNK, UNK, UNK };
static const struct emu_row gd9[2] = { T(gd9m, F_BY_REG), UNK };
static const struct emu_row gdb[2] = { T(gdbm, F_BY_REG), T(gdbr, F_BY_REG) };
static const struct emu_row gdd[2] = { T(gddm, F_BY_REG), UNK };
static const struct emu_row gdf[2] = { T(gdfm, F_BY_REG), T(gdfr, F_BY_REG) };

static const struct emu_row g63[2] = {
	R(arpl, Ew, K_G | S_W, F_RW | F_PROT), R(movsx, Gv, Ed, F_WR)
};
static const struct emu_row g90[4] = {	/* F3 90 is PAUSE; XCHG rAX,r8 is made in the decoder's register number */
	R(xchg, AX, Zv, F_RW), R(xchg, AX, Zv, F_RW), R(pause, XX, XX, F_ICEPT), R(xchg, AX, Zv, F_RW)
};

#define INCZ(n)		R(inc, Zv, XX, F_RW | F_NO64)
#define DECZ(n)		R(dec, Zv, XX, F_RW | F_NO64)
#define PUSHZ(n)	R(push, XX, Zv, F_D64)
#define POPZ(n)		R(pop, Zv, XX, F_WR | F_D64)
#define JCCB(n)		R(jcc, XX, Jb, F_F64 | F_JUMP)
#define JCCZ(n)		R(jcc, XX, Jz, F_F64 | F_JUMP)
#define XCHGZ(n)	R(xchg, AX, Zv, F_RW)
#define MOVZB(n)	R(mov, Zb, Ib, F_WR)
#define MOVZV(n)	R(mov, Zv, Iv, F_WR)

const struct emu_row emu_map_1[256] = {
	[0x00] = ALU(add, F_RW), R(push_sreg, XX, K_ES | S_V, F_NO64), R(pop_sreg, K_ES, XX, F_NO64),
	[0x08] = ALU(or, F_RW), R(push_sreg, XX, K_CS | S_V, F_NO64), UD /* two-byte escape */,
	[0x10] = ALU(adc, F_RW), R(push_sreg, XX, K_SS | S_V, F_NO64),
		 R(pop_sreg, K_SS, XX, F_NO64 | F_SHADOWSS),
	[0x18] = ALU(sbb, F_RW), R(push_sreg, XX, K_DS | S_V, F_NO64), R(pop_sreg, K_DS, XX, F_NO64),
	[0x20] = ALU(and, F_RW), UD, R(daa, AL, XX, F_RW | F_NO64),
	[0x28] = ALU(sub, F_RW), UD, R(das, AL, XX, F_RW | F_NO64),
	[0x30] = ALU(xor, F_RW), UD, R(aaa, XX, XX, F_NO64),
	[0x38] = R(cmp, Eb, Gb, F_RD), R(cmp, Ev, Gv, F_RD), R(cmp, Gb, Eb, F_RD), R(cmp, Gv, Ev, F_RD),
		 R(cmp, AL, Ib, F_RD), R(cmp, AX, Iz, F_RD), UD, R(aas, XX, XX, F_NO64),
	[0x40] = EIGHT(INCZ), EIGHT(DECZ), EIGHT(PUSHZ), EIGHT(POPZ),
	[0x60] = R(pusha, XX, XX, F_NO64), R(popa, XX, XX, F_NO64), R(bound, Gv, Mv, F_RD | F_NO64),
		 T(g63, F_BY_64), UD, UD, UD, UD,
	[0x68] = R(push, XX, Iz, F_D64), R3(imul2, Gv, Ev, Iz, F_WR), R(push, XX, Is, F_D64),
		 R3(imul2, Gv, Ev, Is, F_WR), R(ins, K_NONE | S_B, DX, F_STR | F_ICEPT),
		 R(ins, K_NONE | S_V, DX, F_STR | F_ICEPT), R(outs, K_NONE | S_B, DX, F_STR | F_ICEPT),
		 R(outs, K_NONE | S_V, DX, F_STR | F_ICEPT),
	[0x70] = SIXTEEN(JCCB),
	[0x80] = T(g80, F_BY_REG), T(g81, F_BY_REG), T(g82, F_BY_REG), T(g83, F_BY_REG),
		 R(test, Eb, Gb, F_RD), R(test, Ev, Gv, F_RD), R(xchg, Eb, Gb, F_RW | F_LOCK),
		 R(xchg, Ev, Gv, F_RW | F_LOCK),
	[0x88] = R(mov, Eb, Gb, F_WR), R(mov, Ev, Gv, F_WR), R(mov, Gb, Eb, F_WR), R(mov, Gv, Ev, F_WR),
		 R(mov, Ev, Sw, F_WR | F_M16), R(lea, Gv, Mv, F_WR), R(mov_sreg, Sw, Ew, F_SHADOWSS),
		 T(g8f, F_BY_REG),
	[0x90] = T(g90, F_BY_PFX), XCHGZ(1), XCHGZ(2), XCHGZ(3), XCHGZ(4), XCHGZ(5), XCHGZ(6), XCHGZ(7),
	[0x98] = R(cbw, AX, XX, F_RW), R(cwd, XX, XX, 0), R(callf, XX, Ap, F_NO64),
		 R(x87_reg, XX, XX, 0), R(pushf, XX, XX, F_D64), R(popf, XX, XX, F_D64),
		 R(sahf, XX, XX, 0), R(lahf, XX, XX, 0),
	[0xa0] = R(mov, AL, Ob, F_WR), R(mov, AX, Ov, F_WR), R(mov, Ob, AL, F_WR), R(mov, Ov, AX, F_WR),
		 R(movs, K_NONE | S_B, XX, F_STR), R(movs, K_NONE | S_V, XX, F_STR),
		 R(cmps, K_NONE | S_B, XX, F_STR | F_ZF), R(cmps, K_NONE | S_V, XX, F_STR | F_ZF),
	[0xa8] = R(test, AL, Ib, F_RD), R(test, AX, Iz, F_RD),
		 R(stos, K_NONE | S_B, XX, F_STR), R(stos, K_NONE | S_V, XX, F_STR),
		 R(lods, K_NONE | S_B, XX, F_STR), R(lods, K_NONE | S_V, XX, F_STR),
		 R(scas, K_NONE | S_B, XX, F_STR | F_ZF), R(scas, K_NONE | S_V, XX, F_STR | F_ZF),
	[0xb0] = EIGHT(MOVZB), EIGHT(MOVZV),
	[0xc0] = T(gc0, F_BY_REG), T(gc1, F_BY_REG), R(ret, XX, Iw, F_F64), R(ret, XX, XX, F_F64),
		 R(lds, Gv, Mv, F_NO64), R(lds, Gv, Mv, F_NO64), T(gc6, F_BY_REG), T(gc7, F_BY_REG),
	[0xc8] = R3(enter, XX, Iw, Ib, F_D64), R(leave, XX, XX, F_D64), R(retf, XX, Iw, 0),
		 R(retf, XX, XX, 0), R(int3, XX, XX, F_NOTRAP), R(int, XX, Ib, F_NOTRAP | F_ICEPT),
		 R(into, XX, XX, F_NOTRAP | F_NO64), R(iret, XX, XX, F_ICEPT),
	[0xd0] = T(gd0, F_BY_REG), T(gd1, F_BY_REG), T(gd2, F_BY_REG), T(gd3, F_BY_REG),
		 R(aam, XX, Ib, F_NO64), R(aad, XX, Ib, F_NO64), R(salc, XX, XX, F_NO64), R(xlat, XX, XX, 0),
	[0xd8] = UNK, T(gd9, F_BY_MOD), UNK, T(gdb, F_BY_MOD), UNK, T(gdd, F_BY_MOD), UNK, T(gdf, F_BY_MOD),
	[0xe0] = RA(loop, XX, Jb, F_F64 | F_JUMP, 0), RA(loop, XX, Jb, F_F64 | F_JUMP, 1),
		 RA(loop, XX, Jb, F_F64 | F_JUMP, 2), R(jcxz, XX, Jb, F_F64 | F_JUMP),
		 R(in, AL, Ib, F_WR | F_ICEPT), R(in, K_A | S_Z, Ib, F_WR | F_ICEPT),
		 R(out, Ib, AL, F_ICEPT | F_RD), R(out, Ib, K_A | S_Z, F_ICEPT | F_RD),
	[0xe8] = R(call, XX, Jz, F_F64), R(jmp, XX, Jz, F_F64), R(jmpf, XX, Ap, F_NO64), R(jmp, XX, Jb, F_F64),
		 R(in, AL, DX, F_WR | F_ICEPT), R(in, K_A | S_Z, DX, F_WR | F_ICEPT),
		 R(out, DX, AL, F_ICEPT | F_RD), R(out, DX, K_A | S_Z, F_ICEPT | F_RD),
	[0xf0] = UD, R(int1, XX, XX, F_NOTRAP | F_ICEPT), UD, UD, R(hlt, XX, XX, F_PRIV | F_ICEPT),
		 RA(flag, XX, XX, 0, 0), T(gf6, F_BY_REG), T(gf7, F_BY_REG),
	[0xf8] = RA(flag, XX, XX, 0, 1), RA(flag, XX, XX, 0, 2), R(cli, XX, XX, 0), R(sti, XX, XX, 0),
		 RA(flag, XX, XX, 0, 3), RA(flag, XX, XX, 0, 4), T(gfe, F_BY_REG), T(gff, F_BY_REG),
};

/* Two-byte map. */
static const struct emu_row g0f00[8] = {
	RA(sldt, Ev, XX, F_WR | F_PROT | F_ICEPT | F_M16, EMU_LDTR),
	RA(sldt, Ev, XX, F_WR | F_PROT | F_ICEPT | F_M16, EMU_TR),
	R(lldt, XX, Ew, F_PROT | F_PRIV | F_ICEPT), R(ltr, XX, Ew, F_PROT | F_PRIV | F_ICEPT),
	RA(verr, XX, Ew, F_PROT, 0), RA(verr, XX, Ew, F_PROT, 1), UDM, UDM
};
#define VIRT	RA(action, XX, K_E, F_ICEPT, EMU_ACT_VIRT)
static const struct emu_row g01_0[8] = {
	UDM, RA(action, XX, K_E, F_ICEPT, EMU_ACT_VMCALL), VIRT, VIRT, VIRT, UNK, UNK, UNK
};
static const struct emu_row g01_1[8] = {
	R(monitor, XX, K_E, F_ICEPT), R(mwait, XX, K_E, F_ICEPT), UNK, UNK, UDM, UDM, UDM, UNK
};
static const struct emu_row g01_2[8] = {
	R(xgetbv, XX, K_E, 0), R(xsetbv, XX, K_E, F_ICEPT), UDM, UDM, VIRT, UNK, UNK, UNK
};
static const struct emu_row g01_3[8] = {
	VIRT, RA(action, XX, K_E, F_ICEPT, EMU_ACT_VMMCALL), VIRT, VIRT, VIRT, VIRT, VIRT, VIRT
};
static const struct emu_row g01_7s[2] = { UDM, R(swapgs, XX, K_E, F_PRIV) };
static const struct emu_row g01_7[8] = {
	T(g01_7s, F_BY_64), R(rdtscp, XX, K_E, F_ICEPT), UNK, UNK, UNK, UNK, UNK, UNK
};
static const struct emu_row g0f01r[8] = {
	T(g01_0, F_BY_RM), T(g01_1, F_BY_RM), T(g01_2, F_BY_RM), T(g01_3, F_BY_RM), R(smsw, Ev, XX, F_WR | F_ICEPT),
	UNK, R(lmsw, XX, Ew, F_PRIV | F_ICEPT), T(g01_7, F_BY_RM)
};
static const struct emu_row g0f01m[8] = {
	RA(sgdt, XX, Mv, F_ICEPT, 0), RA(sgdt, XX, Mv, F_ICEPT, 1), RA(lgdt, XX, Mv, F_ICEPT | F_PRIV, 0),
	RA(lgdt, XX, Mv, F_ICEPT | F_PRIV, 1), R(smsw, Ew, XX, F_WR | F_ICEPT), UNK,
	R(lmsw, XX, Ew, F_PRIV | F_ICEPT), R(invlpg, XX, Mb, F_PRIV | F_ICEPT)
};
static const struct emu_row g0f01[2] = { T(g0f01m, F_BY_REG), T(g0f01r, F_BY_REG) };

static const struct emu_row g0fae_fs[2] = { UDM, RA(fsgsbase, Ry, XX, 0, 0) };
static const struct emu_row g0fae_gs[2] = { UDM, RA(fsgsbase, Ry, XX, 0, 1) };
static const struct emu_row g0fae_wfs[2] = { UDM, RA(fsgsbase, XX, Ry, 0, 2) };
static const struct emu_row g0fae_wgs[2] = { UDM, RA(fsgsbase, XX, Ry, 0, 3) };
static const struct emu_row g0faef3[8] = {
	T(g0fae_fs, F_BY_64), T(g0fae_gs, F_BY_64), T(g0fae_wfs, F_BY_64), T(g0fae_wgs, F_BY_64), UNK, UNK, UNK, UNK
};
static const struct emu_row g0faen[8] = {
	UDM, UDM, UDM, UDM, UDM, R(nop, XX, W, 0), R(nop, XX, W, 0), R(nop, XX, W, 0)
};
static const struct emu_row g0faer[4] = { T(g0faen, F_BY_REG), UNK, T(g0faef3, F_BY_REG), UNK };
static const struct emu_row g0fae_2[4] = { R(ldmxcsr, XX, K_M, F_SSE | F_VEX | F_L0), UDM, UDM, UDM };
static const struct emu_row g0fae_3[4] = { R(stmxcsr, XX, K_M, F_SSE | F_VEX | F_L0), UDM, UDM, UDM };
static const struct emu_row g0fae_6[4] = { UNK, R(clflush, XX, Mb, 0), UNK, UDM };
static const struct emu_row g0fae_7[4] = { R(clflush, XX, Mb, F_ICEPT), R(clflush, XX, Mb, 0), UDM, UDM };
static const struct emu_row g0faem[8] = {
	UNK, UNK, T(g0fae_2, F_BY_PFX), T(g0fae_3, F_BY_PFX), UNK, UNK, T(g0fae_6, F_BY_PFX),
	T(g0fae_7, F_BY_PFX)
};
static const struct emu_row g0fae[2] = { T(g0faem, F_BY_REG), T(g0faer, F_BY_PFX) };

static const struct emu_row g0fba[8] = {
	UDI(Ib), UDI(Ib), UDI(Ib), UDI(Ib),
	R(bt, Ev, Ib, F_RD), R(bts, Ev, Ib, F_RW | F_LOCK), R(btr, Ev, Ib, F_RW | F_LOCK), R(btc, Ev, Ib, F_RW | F_LOCK)
};
static const struct emu_row g0fc7r6[4] = { UNK, UNK, UNK, UNK };
static const struct emu_row g0fc7r7[4] = { UNK, UNK, R(rdpid, Rn, XX, F_WR), UNK };
static const struct emu_row g0fc7r[8] = {
	UDM, UDM, UDM, UDM, UDM, UDM, T(g0fc7r6, F_BY_PFX), T(g0fc7r7, F_BY_PFX)
};
static const struct emu_row g0fc7m[8] = {
	UDM, R(cmpxchg8b, XX, My, F_LOCK), UDM, UNK, UNK, UNK, UNK, UNK
};
static const struct emu_row g0fc7[2] = { T(g0fc7m, F_BY_REG), T(g0fc7r, F_BY_REG) };

static const struct emu_row g0fb8[4] = { UDM, UDM, R(popcnt, Gv, Ev, F_WR), UDM };
static const struct emu_row g0fbc[4] = {
	R(bsf, Gv, Ev, F_RW), R(bsf, Gv, Ev, F_RW), R(tzcnt, Gv, Ev, F_WR), R(bsf, Gv, Ev, F_RW)
};
static const struct emu_row g0fbd[4] = {
	R(bsr, Gv, Ev, F_RW), R(bsr, Gv, Ev, F_RW), R(lzcnt, Gv, Ev, F_WR), R(bsr, Gv, Ev, F_RW)
};

/*
 * Vector moves. Argument: bytes moved (low six bits, 32: the vector's length), then where in the source and the
 * destination, whether the rest of a register destination stays (VEX: comes from vvvv), whether an
 * unaligned operand faults.
 */
#define VM(n, so, do, merge, al)	\
	((n) | ((so) ? 1 << 6 : 0) | ((do) ? 1 << 7 : 0) | ((merge) ? 1 << 8 : 0) | ((al) ? 1 << 9 : 0))
#define VA	VM(32, 0, 0, 0, 1)
#define VU	VM(32, 0, 0, 0, 0)
#define VX	(F_SSE | F_VEX)
static const struct emu_row g10ss[2] = {
	RA(vmov, V, W, VX, VM(4, 0, 0, 0, 0)), RA(vmov, V, W, F_SSE | F_VEX3, VM(4, 0, 0, 1, 0))
};
static const struct emu_row g10sd[2] = {
	RA(vmov, V, W, VX, VM(8, 0, 0, 0, 0)), RA(vmov, V, W, F_SSE | F_VEX3, VM(8, 0, 0, 1, 0))
};
static const struct emu_row g11ss[2] = {
	RA(vmov, W, V, VX, VM(4, 0, 0, 0, 0)), RA(vmov, W, V, F_SSE | F_VEX3, VM(4, 0, 0, 1, 0))
};
static const struct emu_row g11sd[2] = {
	RA(vmov, W, V, VX, VM(8, 0, 0, 0, 0)), RA(vmov, W, V, F_SSE | F_VEX3, VM(8, 0, 0, 1, 0))
};
static const struct emu_row g0f10[4] = {
	RA(vmov, V, W, VX, VU), RA(vmov, V, W, VX, VU), T(g10ss, F_BY_MOD), T(g10sd, F_BY_MOD)
};
static const struct emu_row g0f11[4] = {
	RA(vmov, W, V, VX, VU), RA(vmov, W, V, VX, VU), T(g11ss, F_BY_MOD), T(g11sd, F_BY_MOD)
};
#define V3	(F_SSE | F_VEX3 | F_L0)
static const struct emu_row g12n[2] = {
	RA(vmov, V, W, V3, VM(8, 0, 0, 1, 0)), RA(vmov, V, W, V3, VM(8, 1, 0, 1, 0))
};
static const struct emu_row g12p[2] = { RA(vmov, V, W, V3, VM(8, 0, 0, 1, 0)), UDM };
static const struct emu_row g13p[2] = { RA(vmov, W, V, VX | F_L0, VM(8, 0, 0, 0, 0)), UDM };
static const struct emu_row g16n[2] = {
	RA(vmov, V, W, V3, VM(8, 0, 1, 1, 0)), RA(vmov, V, W, V3, VM(8, 0, 1, 1, 0))
};
static const struct emu_row g16p[2] = { RA(vmov, V, W, V3, VM(8, 0, 1, 1, 0)), UDM };
static const struct emu_row g17p[2] = { RA(vmov, W, V, VX | F_L0, VM(8, 1, 0, 0, 0)), UDM };
static const struct emu_row g0f12[4] = { T(g12n, F_BY_MOD), T(g12p, F_BY_MOD), UNK, UNK };
static const struct emu_row g0f13[4] = { T(g13p, F_BY_MOD), T(g13p, F_BY_MOD), UDM, UDM };
static const struct emu_row g0f16[4] = { T(g16n, F_BY_MOD), T(g16p, F_BY_MOD), UNK, UDM };
static const struct emu_row g0f17[4] = { T(g17p, F_BY_MOD), T(g17p, F_BY_MOD), UDM, UDM };
static const struct emu_row g0f28[4] = { RA(vmov, V, W, VX, VA), RA(vmov, V, W, VX, VA), UDM, UDM };
static const struct emu_row g0f29[4] = { RA(vmov, W, V, VX, VA), RA(vmov, W, V, VX, VA), UDM, UDM };
static const struct emu_row g2bm[2] = { RA(vmov, W, V, VX, VA), UDM };
static const struct emu_row g0f2b[4] = { T(g2bm, F_BY_MOD), T(g2bm, F_BY_MOD), UNK, UNK };
#define VD	RA(vmov, V, Ey, VX | F_L0, VM(0, 0, 0, 0, 0))
#define VS	RA(vmov, Ey, V, VX | F_L0, VM(0, 0, 0, 0, 0))
static const struct emu_row g0f6e[4] = { RA(mmx, P, Ey, F_MMX, 0), VD, UDM, UDM };
static const struct emu_row g0f7e[4] = {
	RA(mmx, Ey, P, F_MMX, 0), VS, RA(vmov, V, W, VX | F_L0, VM(8, 0, 0, 0, 0)), UDM
};
static const struct emu_row g0f6f[4] = { RA(mmx, P, Q, F_MMX, 8), RA(vmov, V, W, VX, VA), RA(vmov, V, W, VX, VU), UDM };
static const struct emu_row g0f7f[4] = { RA(mmx, Q, P, F_MMX, 8), RA(vmov, W, V, VX, VA), RA(vmov, W, V, VX, VU), UDM };
static const struct emu_row g0fd6[4] = { UDM, RA(vmov, W, V, VX | F_L0, VM(8, 0, 0, 0, 0)), UNK, UNK };
static const struct emu_row ge7m[2] = { RA(mmx, Q, P, F_MMX, 8), UDM };
static const struct emu_row ge7v[2] = { RA(vmov, W, V, VX, VA), UDM };
static const struct emu_row g0fe7[4] = { T(ge7m, F_BY_MOD), T(ge7v, F_BY_MOD), UNK, UDM };
static const struct emu_row gf0v[2] = { RA(vmov, V, W, VX, VU), UDM };
static const struct emu_row g0ff0[4] = { UDM, UDM, UDM, T(gf0v, F_BY_MOD) };

static const struct emu_row g0fc3[4] = { R(movnti, My, Gy, 0), UDM, UDM, UDM };
static const struct emu_row g0f0d[2] = { R(nop, XX, W, 0), R(nop, XX, W, 0) };
static const struct emu_row g0f1e[4] = { R(nop, XX, W, 0), R(nop, XX, W, 0), R(nop, XX, W, 0), R(nop, XX, W, 0) };
static const struct emu_row g0f09[4] = {
	RA(action, XX, XX, F_PRIV | F_ICEPT, EMU_ACT_WBINVD), RA(action, XX, XX, F_PRIV | F_ICEPT, EMU_ACT_WBINVD),
	RA(action, XX, XX, F_PRIV | F_ICEPT, EMU_ACT_WBINVD), RA(action, XX, XX, F_PRIV | F_ICEPT, EMU_ACT_WBINVD)
};
static const struct emu_row g0f05[2] = { R(syscall, XX, XX, F_NOTRAP | F_PROT), R(syscall, XX, XX, F_NOTRAP) };

#define CMOV(n)		R(cmov, Gv, Ev, F_RW)
#define SETCC(n)	R(setcc, Eb, XX, F_WR)
#define BSWAP(n)	R(bswap, Zv, XX, F_RW)
#define HINT		R(nop, XX, W, 0)

const struct emu_row emu_map_0f[256] = {
	[0x00] = T(g0f00, F_BY_REG), T(g0f01, F_BY_MOD), R(lar, Gv, Ew, F_RW | F_PROT | F_NOAC),
		 R(lsl, Gv, Ew, F_RW | F_PROT | F_NOAC), UD, T(g0f05, F_BY_64), R(clts, XX, XX, F_PRIV | F_ICEPT),
		 R(sysret, XX, XX, F_PROT),
	[0x08] = RA(action, XX, XX, F_PRIV | F_ICEPT, EMU_ACT_INVD), T(g0f09, F_BY_PFX), UD, UD, UD,
		 T(g0f0d, F_BY_MOD), UNK0, UNKI,
	[0x10] = T(g0f10, F_BY_PFX), T(g0f11, F_BY_PFX), T(g0f12, F_BY_PFX), T(g0f13, F_BY_PFX), UNK, UNK,
		 T(g0f16, F_BY_PFX), T(g0f17, F_BY_PFX),
	[0x18] = HINT, HINT, UNK, UNK, HINT, HINT, T(g0f1e, F_BY_PFX), HINT,
	[0x20] = R(rd_cr, Rn, Cn, F_WR | F_PRIV | F_ICEPT), R(rd_dr, Rn, Cn, F_WR | F_PRIV | F_ICEPT),
		 R(wr_cr, Cn, Rn, F_PRIV | F_ICEPT), R(wr_dr, Cn, Rn, F_PRIV | F_ICEPT), UD, UD, UD, UD,
	[0x28] = T(g0f28, F_BY_PFX), T(g0f29, F_BY_PFX), UNK, T(g0f2b, F_BY_PFX), UNK, UNK, UNK, UNK,
	[0x30] = R(wrmsr, XX, XX, F_PRIV | F_ICEPT), R(rdtsc, XX, XX, F_ICEPT), R(rdmsr, XX, XX, F_PRIV | F_ICEPT),
		 R(rdpmc, XX, XX, F_ICEPT), R(sysenter, XX, XX, F_NOTRAP), R(sysexit, XX, XX, F_PROT),
		 UD, UNK0, UNK /* 38 */, UD, UNKI /* 3a */, UD, UD, UD, UD, UD,
	[0x40] = SIXTEEN(CMOV),
	[0x50 ... 0x6d] = UNK,
	[0x6e] = T(g0f6e, F_BY_PFX), T(g0f6f, F_BY_PFX),
	[0x70 ... 0x73] = UNKI,
	[0x74 ... 0x76] = UNK,
	[0x77] = UNK0, UNK, UNK, UD, UD, UNK, UNK, T(g0f7e, F_BY_PFX), T(g0f7f, F_BY_PFX),
	[0x80] = SIXTEEN(JCCZ),
	[0x90] = SIXTEEN(SETCC),
	[0xa0] = R(push_sreg, XX, K_FS | S_V, F_D64), R(pop_sreg, K_FS, XX, F_D64), R(cpuid, XX, XX, F_ICEPT),
		 R(bt, Ev, Gv, F_RD | F_BITSTR), R3(shld, Ev, Gv, Ib, F_RW), R3(shld, Ev, Gv, CL, F_RW), UD, UD,
	[0xa8] = R(push_sreg, XX, K_GS | S_V, F_D64), R(pop_sreg, K_GS, XX, F_D64), R(rsm, XX, XX, 0),
		 R(bts, Ev, Gv, F_RW | F_LOCK | F_BITSTR), R3(shrd, Ev, Gv, Ib, F_RW), R3(shrd, Ev, Gv, CL, F_RW),
		 T(g0fae, F_BY_MOD), R(imul2, Gv, Ev, F_RW),
	[0xb0] = R(cmpxchg, Eb, Gb, F_RW | F_LOCK), R(cmpxchg, Ev, Gv, F_RW | F_LOCK), R(lds, Gv, Mv, 0),
		 R(btr, Ev, Gv, F_RW | F_LOCK | F_BITSTR), R(lds, Gv, Mv, 0), R(lds, Gv, Mv, 0), R(mov, Gv, Eb, F_WR),
		 R(mov, Gv, Ew, F_WR),
	[0xb8] = T(g0fb8, F_BY_PFX), UDM, T(g0fba, F_BY_REG), R(btc, Ev, Gv, F_RW | F_LOCK | F_BITSTR),
		 T(g0fbc, F_BY_PFX), T(g0fbd, F_BY_PFX), R(movsx, Gv, Eb, F_WR), R(movsx, Gv, Ew, F_WR),
	[0xc0] = R(xadd, Eb, Gb, F_RW | F_LOCK), R(xadd, Ev, Gv, F_RW | F_LOCK), UNKI, T(g0fc3, F_BY_PFX),
		 UNKI, UNKI, UNKI, T(g0fc7, F_BY_MOD), EIGHT(BSWAP),
	[0xd0 ... 0xd5] = UNK,
	[0xd6] = T(g0fd6, F_BY_PFX),
	[0xd7 ... 0xe6] = UNK,
	[0xe7] = T(g0fe7, F_BY_PFX),
	[0xe8 ... 0xef] = UNK,
	[0xf0] = T(g0ff0, F_BY_PFX),
	[0xf1 ... 0xfe] = UNK,
	[0xff] = UDM,
};

/* Three-byte maps: few rows, found by opcode. */
struct sparse {
	u8 opcode;
	struct emu_row row;
};

#define BMI	(F_VEXONLY | F_VEX3 | F_L0)
static const struct emu_row g2am[2] = { RA(vmov, V, W, VX, VA), UDM };
static const struct emu_row g38_2a[4] = { UDM, T(g2am, F_BY_MOD), UNK, UNK };
static const struct emu_row g38_82[4] = { UDM, R(invpcid, Gv, K_M, F_PRIV | F_ICEPT), UDM, UDM };
static const struct emu_row g38_f0m[2] = { R(movbe, Gv, Ev, F_WR), UDM };
static const struct emu_row g38_f1m[2] = { R(movbe, Ev, Gv, F_WR), UDM };
static const struct emu_row g38_f0[4] = {
	T(g38_f0m, F_BY_MOD), T(g38_f0m, F_BY_MOD), UDM, R(crc32, Gy, Eb, F_RW)
};
static const struct emu_row g38_f1[4] = {
	T(g38_f1m, F_BY_MOD), T(g38_f1m, F_BY_MOD), UDM, R(crc32, Gy, Ev, F_RW)
};
static const struct emu_row g38_f2[4] = { R3(andn, Gy, By, Ey, F_WR | BMI), UDM, UDM, UDM };
static const struct emu_row g38_f3r[8] = {
	UDM, RA(bls, By, Ey, F_WR | BMI, 1), RA(bls, By, Ey, F_WR | BMI, 2), RA(bls, By, Ey, F_WR | BMI, 3),
	UDM, UDM, UDM, UDM
};
static const struct emu_row g38_f3[4] = { T(g38_f3r, F_BY_REG), UDM, UDM, UDM };
static const struct emu_row g38_f5[4] = {
	R3(bzhi, Gy, Ey, By, F_WR | BMI), UNK, R3(pext, Gy, By, Ey, F_WR | BMI), R3(pdep, Gy, By, Ey, F_WR | BMI)
};
static const struct emu_row g38_f6[4] = {
	UNK, R(adcx, Gy, Ey, F_RW), R(adox, Gy, Ey, F_RW), R3(mulx, Gy, By, Ey, F_WR | BMI)
};
static const struct emu_row g38_f7[4] = {
	R3(bextr, Gy, Ey, By, F_WR | BMI), R3A(shx, Gy, Ey, By, F_WR | BMI, 4), R3A(shx, Gy, Ey, By, F_WR | BMI, 7),
	R3A(shx, Gy, Ey, By, F_WR | BMI, 5)
};
static const struct emu_row g3a_f0[4] = {
	UDI(Ib), UDI(Ib), UDI(Ib), R3(rorx, Gy, Ey, Ib, F_WR | F_VEXONLY | F_VEX | F_L0)
};

static const struct sparse map_0f38[] = {
	{ 0x2a, T(g38_2a, F_BY_PFX) }, { 0x82, T(g38_82, F_BY_PFX) }, { 0xf0, T(g38_f0, F_BY_PFX) },
	{ 0xf1, T(g38_f1, F_BY_PFX) }, { 0xf2, T(g38_f2, F_BY_PFX) }, { 0xf3, T(g38_f3, F_BY_PFX) },
	{ 0xf5, T(g38_f5, F_BY_PFX) }, { 0xf6, T(g38_f6, F_BY_PFX) }, { 0xf7, T(g38_f7, F_BY_PFX) },
};
static const struct sparse map_0f3a[] = { { 0xf0, T(g3a_f0, F_BY_PFX) } };
static const struct emu_row unknown = UNK, unknown_imm = UNKI;

const struct emu_row *emu_find_0f38(u8 opcode)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(map_0f38); i++)
		if (map_0f38[i].opcode == opcode)
			return &map_0f38[i].row;
	return &unknown;
}

const struct emu_row *emu_find_0f3a(u8 opcode)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(map_0f3a); i++)
		if (map_0f3a[i].opcode == opcode)
			return &map_0f3a[i].row;
	return &unknown_imm;
}
