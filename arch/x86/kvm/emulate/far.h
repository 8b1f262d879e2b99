/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors and the pieces that far transfers, interrupts and task switches are made of. far.c has the functions.
 */
#ifndef EMULATE_FAR_H
#define EMULATE_FAR_H

#include "insn.h"

/* Fields of an 8-byte descriptor or gate. */
#define DESC_TYPE(d)	((unsigned int)((d) >> 40) & 15)
#define DESC_S(d)	((d) >> 44 & 1)
#define DESC_DPL(d)	((u8)((d) >> 45 & 3))
#define DESC_P(d)	((d) >> 47 & 1)
#define DESC_L(d)	((d) >> 53 & 1)
#define DESC_DB(d)	((d) >> 54 & 1)
#define DESC_ACCESSED	(1ull << 40)
#define DESC_BUSY	(1ull << 41)

enum { SYS_TSS16 = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK_GATE = 5, SYS_INT16 = 6, SYS_TRAP16 = 7,
	SYS_TSS32 = 9, SYS_TSS32_BUSY = 11, SYS_CALL32 = 12, SYS_INT32 = 14, SYS_TRAP32 = 15 };

/* How control reaches a code segment: which rule of privilege holds. */
enum emu_far_kind { FAR_DIRECT, FAR_JMP_GATE, FAR_CALL_GATE /* and interrupt gates */, FAR_RETURN };

struct emu_far {
	u16 sel;
	u8 kind;
	bool need64;		/* in long mode the target must be 64-bit code */
	bool to64;		/* it is */
	u32 ext;		/* bit 0 of error codes */
	u64 off;
	u64 desc, addr;
};

/* A stack that is not yet, or not only, in SS:RSP. */
struct emu_stack {
	struct emu_seg seg;
	u64 sp, mask;
	bool flat;		/* 64-bit: no base, no limit */
	bool changed;		/* other than the current one */
	u32 err;		/* error code of #SS */
};

static inline enum emu_result emu_gp(struct emu_ctx *ctx, u32 error)
{
	return emu_fault(ctx, VEC_GP, true, error);
}

enum emu_result emu_read_desc_high(struct emu_ctx *ctx, u16 sel, u8 vec, u64 *high);
enum emu_result emu_put_desc(struct emu_ctx *ctx, enum emu_segreg n, u16 sel, u64 desc, u64 addr);
enum emu_result emu_check_stack(struct emu_ctx *ctx, u16 sel, u8 cpl, u8 vec, u32 ext, u64 *desc, u64 *addr);
enum emu_result emu_load_data(struct emu_ctx *ctx, enum emu_segreg n, u16 sel, u8 cpl, u8 vec);

/* Reads and checks the descriptor of f->sel; checks the offset; loads CS. In this order. */
enum emu_result emu_far_target(struct emu_ctx *ctx, struct emu_far *f, u8 cpl);
enum emu_result emu_far_offset(struct emu_ctx *ctx, const struct emu_far *f);
enum emu_result emu_far_enter(struct emu_ctx *ctx, const struct emu_far *f, u8 cpl);

void emu_stack_here(struct emu_ctx *ctx, struct emu_stack *st);
enum emu_result emu_stack_from_tss(struct emu_ctx *ctx, struct emu_stack *st, u8 cpl, unsigned int ist, u32 ext);
enum emu_result emu_stack_push(struct emu_ctx *ctx, struct emu_stack *st, u64 val, unsigned int size);
enum emu_result emu_stack_slot(struct emu_ctx *ctx, s64 off, u64 *val, unsigned int size);
enum emu_result emu_return_stack(struct emu_ctx *ctx, struct emu_stack *st, u16 sel, u64 sp, u8 cpl, bool to64);
void emu_stack_use(struct emu_ctx *ctx, const struct emu_stack *st);	/* RSP only */
void emu_drop_inner_segs(struct emu_ctx *ctx);

#endif
