/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instruction emulator: bytes in, effects out.
 *
 * Three parts. emu_decode() is a pure function from at most 15 bytes and a mode to an instruction record;
 * emu_execute() runs a record on an abstract machine; the machine is a struct emu_ctx (registers, by
 * value) and the operations in struct emu_ops (everything else). The kernel supplies one machine, the
 * tests in selftests/host others. Nothing here allocates, sleeps by itself or uses floating point.
 *
 * Contract between library and machine
 *  - Results are named (enum emu_result). An operation that returns EMU_FAULT has filled ctx->fault, normally with
 *    emu_fault(); the library adds nothing.
 *  - On any result but EMU_DONE the registers in the context are as they were at the last commit (the start of the
 *    instruction, or the last finished iteration of a repeated string instruction). ctx->commits counts them.
 *  - EMU_IO_PENDING from a read or port input: user space must supply the value. The library stops with nothing
 *    changed. The caller later runs the same record again (emu_execute() without a new fetch and
 *    decode), and the operation then answers from its completed buffer. An instruction may read more than
 *    once (MOVS, CMPS, pops, accesses that cross a page): the machine keeps each completed read, by address and
 *    size, until the instruction ends or ctx->commits moves on.
 *  - A write never pends. One that user space must carry out is queued by the operation, which sets ctx->stop and
 *    returns EMU_DONE; the library finishes the instruction or iteration and then returns, and the caller
 *    delivers the queue. So a read-modify-write of MMIO is one read and one write.
 *  - A write is checked as a whole (both pages) before its first byte changes.
 *  - EMU_RETRY: nothing wrong, the instruction is not finished (bound of a repeated instruction reached, lost race of a
 *    locked one, or an operation asked for it). Enter the guest or call again; RIP is still at the instruction.
 *  - EMU_UNHANDLED: a named failure (ctx->why): not an instruction we know, or a machine that cannot do it.
 *
 * Who may run here: the thread that owns the vCPU. Lifetime: a context is reusable for ever; emu_execute() does not
 * keep pointers. The caller sets regs, rip, rflags, mode (emu_update_mode()), cpl, ops and clears seg_valid when its
 * segments may have changed behind the library; it reads back regs, rip, rflags and the "out" fields.
 */
#ifndef EMULATE_EMULATE_H
#define EMULATE_EMULATE_H

#include "env.h"

#define EMU_MAX_INSN	15
#define EMU_REP_BOUND	4096	/* iterations of a repeated instruction per entry */
#define EMU_IO_BUF	1024	/* bytes of one bulk port transfer */

enum emu_result {
	EMU_DONE,		/* instruction finished, RIP moved on */
	EMU_FAULT,		/* exception in ctx->fault, to be delivered to the guest */
	EMU_RETRY,
	EMU_IO_PENDING,
	EMU_UNHANDLED,
};

enum emu_why {			/* reason of EMU_UNHANDLED */
	EMU_WHY_NONE,
	EMU_WHY_OPCODE,		/* a real instruction that the library does not execute */
	EMU_WHY_MACHINE,	/* an operation gave up */
	EMU_WHY_TRUNCATED,	/* fewer bytes than the instruction needs */
};

/* Code size and protection together: what decoding and execution need to know everywhere. */
enum emu_mode {
	EMU_REAL16,
	EMU_REAL32,		/* CR0.PE clear with a 32-bit CS left over ("unreal") */
	EMU_VM86,
	EMU_PROT16,
	EMU_PROT32,		/* PROT16 and PROT32 include compatibility mode */
	EMU_LONG64,
	EMU_NR_MODES,
	EMU_MODE_AMD = 0x80,	/* or-ed to emu_decode()'s mode: an operand-size prefix counts for near branches */
};

enum { EMU_RAX, EMU_RCX, EMU_RDX, EMU_RBX, EMU_RSP, EMU_RBP, EMU_RSI, EMU_RDI };

enum emu_segreg { EMU_ES, EMU_CS, EMU_SS, EMU_DS, EMU_FS, EMU_GS, EMU_LDTR, EMU_TR, EMU_NR_SEGS };

/* attr: VMX access rights. limit: in bytes, granularity applied. */
#define EMU_AR_TYPE		0x000fu
#define EMU_AR_S		0x0010u
#define EMU_AR_DPL_SHIFT	5
#define EMU_AR_P		0x0080u
#define EMU_AR_AVL		0x1000u
#define EMU_AR_L		0x2000u
#define EMU_AR_DB		0x4000u
#define EMU_AR_G		0x8000u
#define EMU_AR_UNUSABLE		0x10000u

struct emu_seg {
	u64 base;
	u32 limit;
	u32 attr;
	u16 sel;
};

struct emu_dt {			/* GDTR, IDTR */
	u64 base;
	u16 limit;
};

struct emu_fault {
	u8 vector;
	bool has_error;
	u32 error;
	u64 payload;		/* #PF: linear address; #DB: DR6 bits */
};

enum emu_sysreg {		/* EMU_CR0 + n, EMU_DR0 + n are register n */
	EMU_CR0 = 0,
	EMU_CR2 = 2,
	EMU_CR3 = 3,
	EMU_CR4 = 4,
	EMU_CR8 = 8,
	EMU_DR0 = 16,
	EMU_DR6 = EMU_DR0 + 6,
	EMU_DR7 = EMU_DR0 + 7,
	EMU_XCR0 = 32,
	EMU_EFER = 33,		/* read only here; written with WRMSR */
};

/* Kind of memory access, or-ed. User or supervisor follows ctx->cpl unless EMU_ACC_SYSTEM. */
#define EMU_ACC_WRITE	1u	/* otherwise a read */
#define EMU_ACC_RMW	2u	/* a read before a write of the same bytes: check and report as a write */
#define EMU_ACC_PROBE	4u	/* only check; no byte moves and buf may be 0 */
#define EMU_ACC_SYSTEM	8u	/* implicit supervisor access: descriptor tables, TSS */

enum emu_fpu_op {		/* index: register number; image: bytes as in memory, little endian */
	EMU_FPU_GET_MMX, EMU_FPU_SET_MMX,	/* 8 bytes; set also marks the x87 tags as MMX instructions do */
	EMU_FPU_GET_XMM, EMU_FPU_SET_XMM,	/* 16 bytes; set keeps the rest of the register */
	EMU_FPU_GET_YMM, EMU_FPU_SET_YMM,	/* 32 bytes; set clears the rest of the register */
	EMU_FPU_GET_MXCSR, EMU_FPU_SET_MXCSR,	/* 4 bytes */
	EMU_FPU_WAIT,		/* #MF if an unmasked x87 exception is pending */
	EMU_FPU_GET_X87,	/* 4 bytes: control word, status word */
	EMU_FPU_X87,		/* index: opcode bits 2:0 << 3 | modrm.reg; image: the memory operand, in or out */
	EMU_FPU_X87_REG,	/* index: (opcode << 8 | modrm) & 0x7ff: FNINIT, FNCLEX, FNSTSW AX (image) */
};

enum emu_counter { EMU_CNT_TSC, EMU_CNT_PMC, EMU_CNT_TSC_AUX };

/* Instructions whose whole effect is the machine's. Privilege and operand checks that need no machine are done. */
enum emu_action {
	EMU_ACT_HLT,
	EMU_ACT_INVLPG,		/* a: linear address */
	EMU_ACT_INVPCID,	/* a: type, b: linear address of the 16-byte descriptor */
	EMU_ACT_INVD, EMU_ACT_WBINVD,
	EMU_ACT_CLFLUSH,	/* a: linear address; CLFLUSHOPT, CLWB too */
	EMU_ACT_PAUSE,
	EMU_ACT_MONITOR,	/* a: linear address */
	EMU_ACT_MWAIT,
	EMU_ACT_VMCALL, EMU_ACT_VMMCALL,
	EMU_ACT_XGETBV,		/* a: index; machine sets RAX, RDX */
	EMU_ACT_XSETBV,		/* a: index, b: value */
	EMU_ACT_VIRT,		/* a VMX or SVM instruction: ctx->insn says which; the machine may refuse */
	EMU_ACT_RSM,
	EMU_ACT_NMI_UNBLOCK,	/* an IRET finished */
};

struct emu_ctx;
struct emu_row;

/* The decoded instruction. Pure data: same bytes and mode, same record. */
struct emu_insn {
	const struct emu_row *row;	/* 0: no such instruction */
	u8 len;
	u8 mode;			/* enum emu_mode it was decoded for */
	u8 opsize;			/* 2, 4, 8 */
	u8 adsize;			/* 2, 4, 8 */
	u8 map;				/* 0: one byte, 1: 0f, 2: 0f38, 3: 0f3a */
	u8 opcode;
	u8 modrm;
	u8 rex;				/* 4x byte, or its bits rebuilt from VEX; 0: none */
	u8 rep;				/* 0, 0xf2 or 0xf3: the last such prefix */
	u8 seg;				/* segment of the memory operand, overrides applied */
	u8 base, index, scale;		/* register numbers, 0xff: none */
	u8 vvvv;			/* VEX.vvvv, already inverted */
	bool lock, opsize_prefix, has_modrm, is_mem, vex, vex_l, rip_relative, seg_override;
	s64 disp;
	u64 imm, imm2;			/* imm2: ENTER's level, selector of a far pointer */
	u8 bytes[EMU_MAX_INSN];
};

enum emu_decode_result {
	EMU_DEC_OK,
	EMU_DEC_MORE,		/* the bytes end inside the instruction */
	EMU_DEC_TOO_LONG,	/* over 15 bytes: #GP(0) */
	EMU_DEC_UD,		/* #UD by definition */
	EMU_DEC_UNKNOWN,	/* a real instruction, length known, that the library does not execute */
};

/* The machine. No operation is optional. */
struct emu_ops {
	/* Instruction bytes at a linear address, exactly len, never crossing a page. */
	enum emu_result (*fetch)(struct emu_ctx *ctx, u64 la, void *buf, unsigned int len);
	/* len <= 32, or up to EMU_IO_BUF within a page for bulk port I/O. */
	enum emu_result (*mem)(struct emu_ctx *ctx, u64 la, void *buf, unsigned int len, unsigned int acc);
	/* Atomic compare and exchange of 1..16 bytes; EMU_RETRY when memory no longer holds *old. */
	enum emu_result (*cmpxchg)(struct emu_ctx *ctx, u64 la, const void *old, const void *new,
				   unsigned int len, unsigned int acc /* 0 or EMU_ACC_SYSTEM */);
	void (*get_seg)(struct emu_ctx *ctx, enum emu_segreg n, struct emu_seg *seg);
	void (*set_seg)(struct emu_ctx *ctx, enum emu_segreg n, const struct emu_seg *seg);
	void (*get_dt)(struct emu_ctx *ctx, bool idt, struct emu_dt *dt);
	void (*set_dt)(struct emu_ctx *ctx, bool idt, const struct emu_dt *dt);
	/* The machine checks values (reserved bits, order of paging changes) and faults. */
	u64 (*get_sys)(struct emu_ctx *ctx, enum emu_sysreg reg);
	enum emu_result (*set_sys)(struct emu_ctx *ctx, enum emu_sysreg reg, u64 val);
	enum emu_result (*get_msr)(struct emu_ctx *ctx, u32 index, u64 *val);
	enum emu_result (*set_msr)(struct emu_ctx *ctx, u32 index, u64 val);
	/* *count items of size bytes; the machine may do fewer and says how many. Output may be queued (ctx->stop). */
	enum emu_result (*pio)(struct emu_ctx *ctx, bool out, u16 port, unsigned int size, void *buf,
			       unsigned int *count);
	/* regs: eax, ebx, ecx, edx in and out */
	enum emu_result (*cpuid)(struct emu_ctx *ctx, u32 regs[4]);
	enum emu_result (*counter)(struct emu_ctx *ctx, enum emu_counter which, u32 index, u64 *val);
	enum emu_result (*fpu)(struct emu_ctx *ctx, enum emu_fpu_op op, unsigned int index, void *image);
	enum emu_result (*action)(struct emu_ctx *ctx, enum emu_action what, u64 a, u64 b);
	/*
	 * Asked once for each instruction that a hypervisor can intercept (rows marked so), after its privilege
	 * checks and before any effect. EMU_DONE: go on.
	 */
	enum emu_result (*intercept)(struct emu_ctx *ctx, const struct emu_insn *insn);
};

enum emu_shadow { EMU_SHADOW_NONE, EMU_SHADOW_STI, EMU_SHADOW_MOVSS };

#define EMU_MET		8

struct emu_ctx {
	/* in and out */
	u64 regs[16];		/* hardware order: rax rcx rdx rbx rsp rbp rsi rdi r8.. */
	u64 rip;
	u64 rflags;
	u8 mode;		/* enum emu_mode */
	u8 cpl;
	bool lma;		/* EFER.LMA: gates and system descriptors are those of long mode */
	/* in */
	bool amd;		/* the guest's CPUID says AMD (or Hygon) */
	bool la57;		/* the guest's CPUID says that addresses may have 57 bits */
	u32 dr7;		/* 0 when no breakpoint is armed */
	const struct emu_ops *ops;
	/* out */
	u8 shadow;		/* enum emu_shadow after this instruction, until then after the last one */
	u8 why;			/* enum emu_why */
	bool stop;		/* set by an operation: return at the next commit point */
	u32 commits;
	u64 db_hits;		/* DR6 bits of a #DB trap due after this instruction (BS, BT, B0-B3) */
	struct emu_fault fault;
	/* the library's */
	bool switched;		/* a task switch took place: a fault belongs to the new task */
	u16 seg_valid;		/* bit n: seg[n] is loaded; the caller clears it to have segments read again */
	struct emu_seg seg[EMU_NR_SEGS];
	struct emu_insn insn;
	u8 io[EMU_IO_BUF];
	/* Instructions met before, by address: what their bytes decoded to. Zeroed once. */
	struct { struct emu_insn insn; u8 mode; } met[EMU_MET];
};

/* Pure. n bytes are there; at most 15 are looked at. mode: enum emu_mode, maybe with EMU_MODE_AMD. */
enum emu_decode_result emu_decode(struct emu_insn *insn, const u8 *bytes, unsigned int n, unsigned int mode);

/* Length of the instruction, 0 when it cannot be told from these bytes. Cheap for what exits usually are. */
unsigned int emu_insn_length(const u8 *bytes, unsigned int n, unsigned int mode);

/* Does the instruction, as far as memory goes, access nothing but its one memory operand? */
bool emu_one_access(const struct emu_insn *insn);

/* Fetch (through ops->fetch, limit-checked) and decode at CS:RIP into ctx->insn. EMU_DONE: ready to execute. */
enum emu_result emu_fetch(struct emu_ctx *ctx);

/* Run ctx->insn (from emu_fetch(), or from emu_decode() on bytes that the hardware gave). */
enum emu_result emu_execute(struct emu_ctx *ctx);

/* emu_fetch() and emu_execute(). */
enum emu_result emu_step(struct emu_ctx *ctx);

/* mode, lma from CR0, EFER, RFLAGS.VM and CS; call when they changed. Leaves cpl alone. */
void emu_update_mode(struct emu_ctx *ctx);

enum emu_task_reason { EMU_TASK_CALL, EMU_TASK_JMP, EMU_TASK_IRET, EMU_TASK_GATE };

/* Switch to the task of TSS selector sel; error code pushed on the new stack if has_error. */
enum emu_result emu_task_switch(struct emu_ctx *ctx, u16 sel, enum emu_task_reason reason,
				bool has_error, u32 error);

enum emu_event { EMU_EV_EXTERNAL, EMU_EV_EXCEPTION, EMU_EV_SOFT };

/*
 * Deliver an interrupt or exception through the IVT or IDT as the CPU would, return address ctx->rip. For guest states
 * in which hardware cannot. EMU_FAULT: the delivery itself faulted (the caller decides on double fault).
 */
enum emu_result emu_deliver_event(struct emu_ctx *ctx, u8 vector, enum emu_event kind, bool has_error,
				  u32 error);
enum emu_result emu_deliver_real_mode_interrupt(struct emu_ctx *ctx, u8 vector);

/* What emu_decode() has to know of this machine. */
static inline unsigned int emu_decode_mode(const struct emu_ctx *ctx)
{
	return ctx->mode | (ctx->amd ? EMU_MODE_AMD : 0);
}

static inline enum emu_result emu_fault(struct emu_ctx *ctx, u8 vector, bool has_error, u32 error)
{
	ctx->fault = (struct emu_fault){ .vector = vector, .has_error = has_error, .error = error };
	return EMU_FAULT;
}

static inline enum emu_result emu_gp0(struct emu_ctx *ctx)
{
	return emu_fault(ctx, 13, true, 0);
}

static inline enum emu_result emu_ud(struct emu_ctx *ctx)
{
	return emu_fault(ctx, 6, false, 0);
}

static inline enum emu_result emu_unhandled(struct emu_ctx *ctx, enum emu_why why)
{
	ctx->why = why;
	return EMU_UNHANDLED;
}

#endif
