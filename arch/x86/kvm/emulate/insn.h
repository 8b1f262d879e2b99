/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside the emulator library: shape of the opcode tables, state of one instruction on its way through execution,
 * and the functions that the parts share. Not for users of the library.
 */
#ifndef EMULATE_INSN_H
#define EMULATE_INSN_H

#include "emulate.h"

#define FL_CF		0x000001ull
#define FL_PF		0x000004ull
#define FL_AF		0x000010ull
#define FL_ZF		0x000040ull
#define FL_SF		0x000080ull
#define FL_TF		0x000100ull
#define FL_IF		0x000200ull
#define FL_DF		0x000400ull
#define FL_OF		0x000800ull
#define FL_IOPL		0x003000ull
#define FL_NT		0x004000ull
#define FL_RF		0x010000ull
#define FL_VM		0x020000ull
#define FL_AC		0x040000ull
#define FL_VIF		0x080000ull
#define FL_VIP		0x100000ull
#define FL_ID		0x200000ull
#define FL_ARITH	(FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

#define C0_PE		(1ull << 0)
#define C0_MP		(1ull << 1)
#define C0_EM		(1ull << 2)
#define C0_TS		(1ull << 3)
#define C0_AM		(1ull << 18)
#define C0_PG		(1ull << 31)
#define C4_VME		(1ull << 0)
#define C4_PVI		(1ull << 1)
#define C4_TSD		(1ull << 2)
#define C4_DE		(1ull << 3)
#define C4_PCE		(1ull << 8)
#define C4_OSFXSR	(1ull << 9)
#define C4_UMIP		(1ull << 11)
#define C4_LA57		(1ull << 12)
#define C4_FSGSBASE	(1ull << 16)
#define C4_OSXSAVE	(1ull << 18)
#define EFER_SCE	(1ull << 0)
#define EFER_LMA	(1ull << 10)

enum { VEC_DE = 0, VEC_DB = 1, VEC_BP = 3, VEC_OF = 4, VEC_BR = 5, VEC_UD = 6, VEC_NM = 7, VEC_TS = 10,
	VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_MF = 16, VEC_AC = 17 };

#define DR6_BD		0x2000u
#define DR6_BS		0x4000u
#define DR6_BT		0x8000u

/*
 * An operand code is a kind and a size class. The kinds follow the letters of the opcode maps in the manuals.
 */
enum {
	K_NONE,
	K_E,		/* register or memory by ModRM.rm */
	K_M,		/* the same, register form is #UD; only the address is made, the handler accesses it */
	K_G,		/* register by ModRM.reg */
	K_R,		/* register by ModRM.rm, whatever mod says */
	K_S,		/* segment register by ModRM.reg */
	K_C,		/* control or debug register by ModRM.reg: number only */
	K_V,		/* xmm/ymm by ModRM.reg */
	K_W,		/* xmm/ymm or memory by ModRM.rm */
	K_P,		/* mmx by ModRM.reg */
	K_Q,		/* mmx or memory by ModRM.rm */
	K_B,		/* general register by VEX.vvvv */
	K_A,		/* accumulator */
	K_Z,		/* register by the opcode's low three bits */
	K_I,		/* immediate */
	K_IS,		/* byte immediate, sign-extended to the operand size */
	K_J,		/* branch displacement */
	K_F,		/* far pointer in the instruction */
	K_O,		/* memory at an absolute offset in the instruction */
	K_CL,
	K_DX,
	K_ONE,
	K_ES, K_CS, K_SS, K_DS, K_FS, K_GS,
};

enum {
	S_B = 1 << 5,	/* byte */
	S_W = 2 << 5,	/* word */
	S_V = 3 << 5,	/* operand size */
	S_Y = 4 << 5,	/* 8 with REX.W, else 4 */
	S_Z = 5 << 5,	/* operand size, immediates at most 4 bytes */
	S_N = 6 << 5,	/* 8 in 64-bit mode, else 4 */
	S_D = 7 << 5,	/* 4 */
};
#define KIND(o)		((o) & 0x1f)
#define SCLASS(o)	((o) & 0xe0)

/* Row flags. */
#define F_RD		(1u << 0)	/* destination is read first */
#define F_WR		(1u << 1)	/* destination is written */
#define F_RW		(F_RD | F_WR)
#define F_LOCK		(1u << 2)	/* LOCK allowed with a memory destination */
#define F_D64		(1u << 3)	/* operand size defaults to 64 in 64-bit mode */
#define F_F64		(1u << 4)	/* operand size is 64 in 64-bit mode */
#define F_NO64		(1u << 5)	/* #UD in 64-bit mode */
#define F_PROT		(1u << 6)	/* #UD in real and virtual-8086 mode */
#define F_PRIV		(1u << 7)	/* #GP(0) unless CPL 0 */
#define F_ICEPT		(1u << 8)	/* ask ops->intercept */
#define F_UNK		(1u << 9)	/* real, not executed here */
#define F_UD		(1u << 10)	/* #UD by definition */
#define F_STR		(1u << 11)	/* string instruction: repeat prefixes mean repetition */
#define F_ZF		(1u << 12)	/* CMPS, SCAS: repetition looks at ZF */
#define F_VEX		(1u << 13)	/* a VEX form exists, two operands */
#define F_VEX3		(1u << 14)	/* a VEX form exists, vvvv is an operand */
#define F_VEXONLY	(1u << 15)
#define F_L0		(1u << 16)	/* VEX.L must be 0 */
#define F_X87		(1u << 17)	/* CR0.EM or TS: #NM */
#define F_MMX		(1u << 18)
#define F_SSE		(1u << 19)
#define F_JUMP		(1u << 20)	/* handler sets r->next itself or leaves it */
#define F_NOTRAP	(1u << 21)	/* single step looks at the flags after the instruction */
#define F_SHADOWSS	(1u << 22)	/* loading SS with it shadows interrupts and traps */
#define F_NOAC		(1u << 23)	/* memory operand is not alignment-checked */
#define F_M16		(1u << 24)	/* a memory operand is 16 bits whatever the operand size */
/* Tables below a row. */
#define F_BY_REG	(1u << 25)	/* by ModRM.reg */
#define F_BY_MOD	(1u << 26)	/* 0: memory, 1: register */
#define F_BY_PFX	(1u << 27)	/* 0: none, 1: 66, 2: f3, 3: f2 */
#define F_BY_RM		(1u << 28)	/* by ModRM.rm */
#define F_BY_64		(1u << 29)	/* 1: 64-bit mode */
#define F_BITSTR	(1u << 30)	/* memory operand moves with the bit offset in src */
#define F_NOWAIT	(1u << 31)	/* x87 control: a pending exception does not matter */
#define F_BY		(F_BY_REG | F_BY_MOD | F_BY_PFX | F_BY_RM | F_BY_64)

struct emu_run;
typedef enum emu_result (*emu_fn)(struct emu_run *r);

struct emu_row {
	union {
		emu_fn fn;
		const struct emu_row *sub;
	};
	u32 flags;
	u8 dst, src, src2;
	u16 arg;		/* handler's own */
};

/* One operand on its way: where it lives and what it holds. */
struct emu_opnd {
	bool mem;
	bool high;		/* AH, CH, DH, BH */
	u8 size;
	u8 reg;
	u64 val;
	u64 was;		/* value before the instruction, for LOCK */
};

/* Registers as of the last commit. */
struct emu_snap {
	u64 regs[16], rip, rflags;
	u8 cpl, mode;
};

struct emu_run {
	struct emu_ctx *ctx;
	const struct emu_insn *insn;
	const struct emu_row *row;
	struct emu_opnd dst, src, src2;
	u64 ea;			/* offset of the memory operand */
	u64 next;		/* RIP after the instruction */
	bool skip_write;	/* leave the destination alone */
	bool locked;
	struct emu_snap snap;
};

/* tables.c */
extern const struct emu_row emu_map_1[256], emu_map_0f[256];
const struct emu_row *emu_find_0f38(u8 opcode);
const struct emu_row *emu_find_0f3a(u8 opcode);

/* access.c */
static inline bool emu_is_real(const struct emu_ctx *ctx)
{
	return ctx->mode <= EMU_REAL32;
}

static inline bool emu_is_prot(const struct emu_ctx *ctx)	/* protected, not vm86 */
{
	return ctx->mode >= EMU_PROT16;
}

static inline bool emu_is_64(const struct emu_ctx *ctx)
{
	return ctx->mode == EMU_LONG64;
}

static inline u64 emu_mask(unsigned int size)
{
	return size >= 8 ? ~0ull : (1ull << size * 8) - 1;
}

static inline s64 emu_sext(u64 v, unsigned int size)
{
	unsigned int sh = 64 - size * 8;

	return (s64)(v << sh) >> sh;
}

const struct emu_seg *emu_seg(struct emu_ctx *ctx, enum emu_segreg n);
void emu_put_seg(struct emu_ctx *ctx, enum emu_segreg n, const struct emu_seg *seg);
bool emu_canonical(struct emu_ctx *ctx, u64 la);
bool emu_canonical_base(struct emu_ctx *ctx, u64 base);
bool emu_limit_ok(const struct emu_seg *s, u32 off, unsigned int len);
enum emu_result emu_linear(struct emu_ctx *ctx, enum emu_segreg seg, u64 ea, unsigned int len, bool write,
			   u64 *la);
/* Is #AC due? align: 0 or 1 for never. */
bool emu_misaligned(struct emu_ctx *ctx, u64 la, unsigned int align);
/* Access through a segment; align: 0 or the alignment that #AC wants. */
enum emu_result emu_seg_access(struct emu_ctx *ctx, enum emu_segreg seg, u64 ea, void *buf,
			       unsigned int len, unsigned int acc, unsigned int align);
enum emu_result emu_la_access(struct emu_ctx *ctx, u64 la, void *buf, unsigned int len, unsigned int acc);
/* The instruction's memory operand. */
enum emu_result emu_operand_access(struct emu_run *r, unsigned int off, void *buf, unsigned int len,
				   unsigned int acc);
u64 emu_ea(const struct emu_run *r);
u64 emu_get_reg(const struct emu_ctx *ctx, unsigned int reg, unsigned int size);
void emu_set_reg(struct emu_ctx *ctx, unsigned int reg, unsigned int size, u64 val);
unsigned int emu_stack_size(struct emu_ctx *ctx);
enum emu_result emu_push(struct emu_ctx *ctx, u64 val, unsigned int size);
enum emu_result emu_pop(struct emu_ctx *ctx, u64 *val, unsigned int size);
u64 emu_stack_at(struct emu_ctx *ctx, s64 off);
/* Near branch target: limit or canonical check, sets r->next. */
enum emu_result emu_branch(struct emu_run *r, u64 target);
void emu_commit(struct emu_run *r);
void emu_watch(struct emu_ctx *ctx, u64 la, unsigned int len, unsigned int kind);
enum emu_result emu_io_allowed(struct emu_ctx *ctx, u16 port, unsigned int size);

/* far.c */
enum emu_result emu_load_seg(struct emu_ctx *ctx, enum emu_segreg n, u16 sel);
enum emu_result emu_read_desc(struct emu_ctx *ctx, u16 sel, u8 vec, u64 *desc, u64 *addr);
enum emu_result emu_desc_access(struct emu_ctx *ctx, u64 addr, u64 *desc, u64 set, u64 clear);
void emu_seg_from_desc(struct emu_seg *seg, u16 sel, u64 desc);
void emu_seg_real(struct emu_ctx *ctx, enum emu_segreg n, u16 sel);

/* interrupt.c */
enum emu_result emu_interrupt(struct emu_ctx *ctx, u8 vector, enum emu_event kind, u64 ret, bool has_error,
			      u32 error);
#define EMU_SEL_ERR(sel)	((sel) & 0xfffcu)

/* task.c */
enum emu_result emu_task(struct emu_ctx *ctx, u16 sel, enum emu_task_reason why, u64 ret, bool has_error,
			 u32 error);

/* Handlers, by file. */
#define EMU_HANDLERS(X)										\
	/* alu.c */										\
	X(add) X(or) X(adc) X(sbb) X(and) X(sub) X(xor) X(cmp) X(test) X(inc) X(dec) X(neg) X(not)	\
	X(mul) X(imul) X(imul2) X(div) X(idiv) X(shift) X(shld) X(shrd) X(bt) X(bts) X(btr) X(btc)	\
	X(bsf) X(bsr) X(popcnt) X(lzcnt) X(tzcnt) X(bswap) X(daa) X(das) X(aaa) X(aas) X(aam) X(aad)	\
	X(cbw) X(cwd) X(xadd) X(cmpxchg) X(cmpxchg8b) X(xchg) X(crc32) X(adcx) X(adox)			\
	X(andn) X(bls) X(bzhi) X(bextr) X(shx) X(rorx) X(mulx) X(pdep) X(pext)				\
	/* move.c */										\
	X(mov) X(movsx) X(movbe) X(lea) X(cmov) X(setcc) X(xlat) X(push) X(pop) X(pusha) X(popa)	\
	X(pushf) X(popf) X(enter) X(leave) X(jcc) X(jmp) X(jmp_ind) X(call) X(call_ind) X(ret)		\
	X(loop) X(jcxz) X(lahf) X(sahf) X(flag) X(cli) X(sti) X(nop) X(salc) X(bound) X(mov_sreg)		\
	X(push_sreg) X(pop_sreg) X(movnti)							\
	/* string.c */										\
	X(movs) X(cmps) X(stos) X(lods) X(scas) X(ins) X(outs) X(in) X(out)				\
	/* system.c */										\
	X(rd_cr) X(wr_cr) X(rd_dr) X(wr_dr) X(sgdt) X(lgdt) X(smsw) X(lmsw) X(clts) X(invlpg)		\
	X(invpcid) X(cpuid) X(rdmsr) X(wrmsr) X(rdtsc) X(rdtscp) X(rdpmc) X(rdpid) X(hlt) X(action)	\
	X(monitor) X(mwait) X(xgetbv) X(xsetbv) X(clflush) X(swapgs) X(fsgsbase) X(rsm)			\
	X(syscall) X(sysret) X(sysenter) X(sysexit) X(pause)						\
	/* far.c, interrupt.c */								\
	X(lldt) X(ltr) X(sldt) X(verr) X(lar) X(lsl) X(arpl) X(lds) X(jmpf) X(callf) X(jmpf_m)		\
	X(callf_m) X(retf) X(int) X(int3) X(into) X(int1) X(iret)						\
	/* simd.c */										\
	X(vmov) X(mmx) X(ldmxcsr) X(stmxcsr) X(x87_load) X(x87_store) X(x87_reg)

#define EMU_DECLARE(n)	enum emu_result op_##n(struct emu_run *r);
EMU_HANDLERS(EMU_DECLARE)
#undef EMU_DECLARE

#endif
