// SPDX-License-Identifier: GPL-2.0-only
/* Segment registers, system segments, questions about selectors; far JMP, CALL and RET with gates. */
#include "unit.h"

static void load_data_segments(void)
{
	start(EMU_PROT32, 0, false);
	RAX = S_DATA32;
	DONE("8e d8");				/* mov %ax, %ds */
	CHECK_EQ(m.seg[EMU_DS].sel, S_DATA32);
	CHECK_EQ(m.seg[EMU_DS].base, 0);
	CHECK_EQ(m.seg[EMU_DS].limit, 0xffffffff);
	CHECK_EQ(m.seg[EMU_DS].attr, 0xc093);
	CHECK_EQ(get(GDT + S_DATA32 + 5, 1), 0x93);	/* now accessed */
	RAX = S_CODE32;
	DONE("8e c0");				/* readable code is data too */
	RAX = S_DATA32_3;
	DONE("8e e0");
	RAX = 3;
	DONE("8e e8");				/* null, any RPL */
	CHECK_EQ(m.seg[EMU_GS].attr & EMU_AR_UNUSABLE, EMU_AR_UNUSABLE);
	CHECK_EQ(m.seg[EMU_GS].sel, 3);
	FAULT("65 8a 00", VEC_GP, 0);		/* and cannot be used */
	RAX = S_EXONLY;
	FAULT("8e d8", VEC_GP, S_EXONLY);
	RAX = S_DATA_NP;
	FAULT("8e d8", VEC_NP, S_DATA_NP);
	RAX = S_LDT;
	FAULT("8e d8", VEC_GP, S_LDT);
	RAX = S_END;
	FAULT("8e d8", VEC_GP, S_END);
	RAX = S_DATA32 | 4;			/* no LDT */
	FAULT("8e d8", VEC_GP, S_DATA32 | 4);
	RAX = S_DATA32 | 3;			/* RPL weaker than DPL */
	FAULT("8e d8", VEC_GP, S_DATA32);
	FAULT("8e c8", VEC_UD, NOERR);		/* CS */
	FAULT("8e f0", VEC_UD, NOERR);		/* no such register */
	CHECK_EQ(m.seg[EMU_DS].sel, S_DATA32);	/* what faulted changed nothing */
	m.gdt.base = NOWHERE;
	RAX = S_DATA32;
	FAULT("8e d8", VEC_PF, 0);		/* a supervisor's read, whoever runs */
	CHECK_EQ(m.ctx.fault.payload, NOWHERE + S_DATA32);
}

static void load_at_user_level(void)
{
	start(EMU_PROT32, 3, false);
	RAX = S_DATA32_3;			/* RPL 0, CPL 3, DPL 3 */
	DONE("8e d8");
	RAX = S_DATA32;
	FAULT("8e d8", VEC_GP, S_DATA32);
	RAX = S_CONFORM;			/* conforming code is open to all */
	DONE("8e d8");
	CHECK_EQ(m.seg[EMU_DS].sel, S_CONFORM);
	m.gdt.base = NOWHERE;
	FAULT("8e d8", VEC_PF, 0);
}

static void load_stack_segment(void)
{
	start(EMU_PROT32, 0, false);
	RAX = S_DATA32;
	DONE("8e d0");
	CHECK_EQ(m.ctx.shadow, EMU_SHADOW_MOVSS);
	DONE("90");
	CHECK_EQ(m.ctx.shadow, EMU_SHADOW_NONE);
	RAX = 0;
	FAULT("8e d0", VEC_GP, 0);
	RAX = S_DATA32 | 1;
	FAULT("8e d0", VEC_GP, S_DATA32);
	RAX = S_DATA32_3;
	FAULT("8e d0", VEC_GP, S_DATA32_3);
	RAX = S_RODATA;
	FAULT("8e d0", VEC_GP, S_RODATA);
	RAX = S_CODE32;
	FAULT("8e d0", VEC_GP, S_CODE32);
	RAX = S_DATA_NP;
	FAULT("8e d0", VEC_SS, S_DATA_NP);
	start(EMU_LONG64, 0, true);
	RAX = 0;
	DONE("8e d0");				/* null SS is fine in 64-bit mode below CPL 3 */
	start(EMU_LONG64, 3, true);
	RAX = 3;
	FAULT("8e d0", VEC_GP, 0);
}

static void expand_down(void)
{
	start(EMU_PROT32, 0, false);
	RAX = S_DOWN;				/* limit ffff: offsets 10000 and up, of a 32-bit segment */
	DONE("8e d8");
	FAULT("a0 ff ff 00 00", VEC_GP, 0);
	DONE("a0 00 00 01 00");
	FAULT("66 a1 ff ff ff ff", VEC_GP, 0);	/* over the end */
}

static void system_segments(void)
{
	start(EMU_PROT32, 0, false);
	RAX = S_LDT;
	DONE("0f 00 d0");			/* lldt */
	CHECK_EQ(m.seg[EMU_LDTR].base, LDT);
	CHECK_EQ(m.seg[EMU_LDTR].limit, 0x1f);
	put(LDT + 8, make_desc(0x5000, 0xf, 0x92), 8);
	RAX = 8 | 4;
	DONE("8e d8");				/* through the LDT */
	CHECK_EQ(m.seg[EMU_DS].base, 0x5000);
	RAX = 0x20 | 4;
	FAULT("8e d8", VEC_GP, 0x24);		/* over its limit */
	DONE("0f 00 c1");			/* sldt %ecx */
	CHECK_EQ(RCX, S_LDT);
	RAX = 0;
	DONE("0f 00 d0");
	CHECK_EQ(m.seg[EMU_LDTR].attr & EMU_AR_UNUSABLE, EMU_AR_UNUSABLE);
	RAX = S_TSS2;
	FAULT("0f 00 d0", VEC_GP, S_TSS2);
	RAX = S_LDT | 4;
	FAULT("0f 00 d0", VEC_GP, S_LDT | 4);
	RAX = S_TSS2;
	DONE("0f 00 d8");			/* ltr */
	CHECK_EQ(m.seg[EMU_TR].sel, S_TSS2);
	CHECK_EQ(m.seg[EMU_TR].attr & 15, SYS_TSS32_BUSY);
	CHECK_EQ(get(GDT + S_TSS2 + 5, 1), 0x8b);
	FAULT("0f 00 d8", VEC_GP, S_TSS2);	/* it is busy */
	RAX = 0;
	FAULT("0f 00 d8", VEC_GP, 0);
	RAX = S_TSS_NP;
	FAULT("0f 00 d8", VEC_NP, S_TSS_NP);
	DONE("0f 00 c9");			/* str %ecx */
	CHECK_EQ(RCX, S_TSS2);
	start(EMU_PROT32, 3, false);
	FAULT("0f 00 d0", VEC_GP, 0);
	FAULT("0f 00 d8", VEC_GP, 0);
	DONE("0f 00 c1");
	m.cr4 |= C4_UMIP;
	FAULT("0f 00 c1", VEC_GP, 0);
	FAULT("0f 00 c9", VEC_GP, 0);
	start(EMU_REAL16, 0, false);
	FAULT("0f 00 d0", VEC_UD, NOERR);
	FAULT("0f 00 c0", VEC_UD, NOERR);
}

/* In long mode system descriptors are 16 bytes, with 64-bit bases. */
static void system_segments_long(void)
{
	start(EMU_LONG64, 0, true);
	RAX = S_LDT64;
	DONE("0f 00 d0");
	CHECK_EQ(m.seg[EMU_LDTR].base, 0x123400000000ull | LDT);
	RAX = S_TSS64;
	DONE("0f 00 d8");
	CHECK_EQ(m.seg[EMU_TR].base, 0xffff800000000000ull | TSS);
	put(GDT + S_LDT64 + 8, 0x8000, 8);	/* not canonical */
	RAX = S_LDT64;
	FAULT("0f 00 d0", VEC_GP, S_LDT64);
	put(GDT + S_LDT64 + 8, 0x1f0000000000, 8);	/* a type where 0 has to be */
	FAULT("0f 00 d0", VEC_GP, S_LDT64);
	m.gdt.limit = S_LDT64 + 7;		/* half a descriptor */
	FAULT("0f 00 d0", VEC_GP, S_LDT64);
}

static void questions(void)
{
	start(EMU_PROT32, 3, false);
	RAX = 0x12345678, RCX = S_DATA32_3;
	DONE("0f 02 c1");			/* lar %ecx, %eax */
	CHECK_EQ(RAX, 0xcff200);
	CHECK_EQ(FLAG(ZF), 1);
	DONE("66 0f 02 c1");
	CHECK_EQ(RAX, 0xcff200);		/* 16 bits: f200 */
	DONE("0f 03 c1");			/* lsl */
	CHECK_EQ(RAX, 0xffffffff);
	DONE("0f 00 e1");			/* verr */
	CHECK_EQ(FLAG(ZF), 1);
	DONE("0f 00 e9");			/* verw */
	CHECK_EQ(FLAG(ZF), 1);
	RCX = S_DATA32;				/* privileged */
	DONE("0f 02 c1");
	CHECK_EQ(FLAG(ZF), 0);
	CHECK_EQ(RAX, 0xffffffff);		/* left alone */
	DONE("0f 00 e1");
	CHECK_EQ(FLAG(ZF), 0);
	RCX = 0;
	DONE("0f 03 c1");
	CHECK_EQ(FLAG(ZF), 0);
	RCX = S_END;
	DONE("0f 02 c1");
	CHECK_EQ(FLAG(ZF), 0);
	RCX = S_CONFORM;
	DONE("0f 00 e1");
	CHECK_EQ(FLAG(ZF), 1);
	DONE("0f 00 e9");			/* code is not written */
	CHECK_EQ(FLAG(ZF), 0);
	start(EMU_PROT32, 0, false);
	RCX = S_RODATA;
	DONE("0f 00 e9");
	CHECK_EQ(FLAG(ZF), 0);
	RCX = S_EXONLY;
	DONE("0f 00 e1");
	CHECK_EQ(FLAG(ZF), 0);
	RCX = S_GATE32;
	DONE("0f 02 c1");			/* LAR knows gates, LSL does not */
	CHECK_EQ(FLAG(ZF), 1);
	DONE("0f 03 c1");
	CHECK_EQ(FLAG(ZF), 0);
	RCX = S_TSS3;
	DONE("0f 03 c1");
	CHECK_EQ(RAX, 0x2b);
	start(EMU_LONG64, 0, true);
	RCX = S_TSS3;				/* no 16-bit TSS in long mode */
	DONE("0f 03 c1");
	CHECK_EQ(FLAG(ZF), 0);
	start(EMU_REAL16, 0, false);
	FAULT("0f 02 c1", VEC_UD, NOERR);
	FAULT("0f 00 e1", VEC_UD, NOERR);
}

void segment_tests(void)
{
	run_test("data segments are loaded with every check", load_data_segments);
	run_test("segments at user level", load_at_user_level);
	run_test("SS, and its shadow", load_stack_segment);
	run_test("expand-down segments", expand_down);
	run_test("LLDT, LTR, SLDT, STR", system_segments);
	run_test("LLDT, LTR in long mode", system_segments_long);
	run_test("LAR, LSL, VERR, VERW", questions);
}

static void jump_direct(void)
{
	start(EMU_PROT32, 0, false);
	DONE("ea 00 80 00 00 08 00");
	CHECK_EQ(RIP, HANDLER);
	CHECK_EQ(m.seg[EMU_CS].sel, S_CODE32);
	DONE("ea 34 12 00 00 18 00");		/* 16-bit code */
	CHECK_EQ(m.ctx.mode, EMU_PROT16);
	CHECK_EQ(RIP, 0x1234);
	start(EMU_PROT32, 0, false);
	FAULT("ea 00 80 00 00 00 00", VEC_GP, 0);
	FAULT("ea 00 80 00 00 10 00", VEC_GP, S_DATA32);
	FAULT("ea 00 80 00 00 50 00", VEC_NP, S_CODE_NP);
	FAULT("ea 00 01 00 00 e0 00", VEC_GP, 0);		/* over the limit of S_SMALL */
	DONE("ea ff 00 00 00 e0 00");
	start(EMU_PROT32, 0, false);
	FAULT("ea 00 80 00 00 0b 00", VEC_GP, S_CODE32);	/* RPL over CPL */
	FAULT("ea 00 80 00 00 08 01", VEC_GP, S_END);
	FAULT("ea 00 80 00 00 30 00", VEC_GP, S_CODE32_3);	/* to less privilege */
	put(DATA, HANDLER | (u64)S_CODE32 << 32, 8);
	RBX = DATA;
	DONE("ff 2b");
	CHECK_EQ(RIP, HANDLER);
	start(EMU_PROT32, 3, false);
	FAULT("ea 00 80 00 00 08 00", VEC_GP, S_CODE32);
	DONE("ea 00 80 00 00 48 00");				/* conforming: privilege stays */
	CHECK_EQ(m.ctx.cpl, 3);
	CHECK_EQ(m.seg[EMU_CS].sel, S_CONFORM | 3);
}

static void jump_in_long_mode(void)
{
	start(EMU_PROT32, 0, true);
	FAULT("ea 00 80 00 00 e8 00", VEC_GP, S_L_AND_D);
	DONE("ea 00 80 00 00 28 00");
	CHECK_EQ(m.ctx.mode, EMU_LONG64);
	FAULT("ea 00 80 00 00 08 00", VEC_UD, NOERR);
	put(DATA, 0x100008000ull, 8);
	put(DATA + 8, S_CODE64, 2);
	RBX = DATA;
	DONE("48 ff 2b");			/* Intel: a 64-bit offset */
	CHECK_EQ(RIP, 0x100008000ull);
	put(DATA + 8, S_CODE32, 2);
	RIP = CODE;
	DONE("48 ff 2b");			/* of which compatibility mode takes half */
	CHECK_EQ(m.ctx.mode, EMU_PROT32);
	CHECK_EQ(RIP, HANDLER);
	start(EMU_LONG64, 0, true);
	put(STACK0 - 16, 0x8000100000000ull + HANDLER, 8);
	put(STACK0 - 8, S_CODE32, 8);
	RSP = STACK0 - 16;
	DONE("48 cb");				/* and of what a far return pops */
	CHECK_EQ(m.ctx.mode, EMU_PROT32);
	CHECK_EQ(RIP, HANDLER);
	start(EMU_LONG64, 0, true);
	RBX = DATA;
	put(DATA, 1ull << 47, 8);
	put(DATA + 8, S_CODE64, 2);
	FAULT("48 ff 2b", VEC_GP, 0);		/* not canonical */
	put(DATA, HANDLER | (u64)S_CODE32 << 32, 8);
	DONE("ff 2b");				/* back to compatibility mode */
	CHECK_EQ(m.ctx.mode, EMU_PROT32);
	start(EMU_LONG64, 0, true);
	RBX = DATA;
	m.ctx.amd = true;			/* makes no difference, see read_pointer() */
	put(DATA, HANDLER, 8);
	put(DATA + 8, S_CODE64, 2);
	DONE("48 ff 2b");
	CHECK_EQ(RIP, HANDLER);
}

static void call_direct(void)
{
	start(EMU_PROT32, 0, false);
	DONE("9a 00 80 00 00 08 00");
	CHECK_EQ(RIP, HANDLER);
	CHECK_EQ(RSP, STACK0 - 8);
	CHECK_EQ(get(STACK0 - 4, 4), S_CODE32);
	CHECK_EQ(get(STACK0 - 8, 4), CODE + 7);
	start(EMU_PROT32, 0, false);
	DONE("66 9a 00 80 08 00");		/* two-byte frame */
	CHECK_EQ(RSP, STACK0 - 4);
	CHECK_EQ(get(STACK0 - 4, 4), S_CODE32 << 16 | ((CODE + 6) & 0xffff));
	start(EMU_PROT32, 0, false);
	RSP = NOWHERE + 8;
	FAULT("9a 00 80 00 00 08 00", VEC_PF, 2);
	CHECK_EQ(m.seg[EMU_CS].sel, S_CODE32);
	CHECK_EQ(RIP, CODE);
	start(EMU_REAL16, 0, false);
	DONE("9a 34 12 00 20");
	CHECK_EQ(m.seg[EMU_CS].base, 0x20000);
	CHECK_EQ(RIP, 0x1234);
	CHECK_EQ(get(STACK0 + 0x7fc, 4), CODE >> 4 << 16 | 5);
	start(EMU_PROT32, 3, false);
	FLAGS |= FL_AC;
	m.cr0 |= C0_AM;
	RSP = STACK3 + 2;
	FAULT("9a 00 80 00 00 33 00", VEC_AC, 0);
	put(DATA, HANDLER | (u64)(S_CODE32_3 | 3) << 32, 8);
	RBX = DATA;
	RSP = STACK3;
	DONE("ff 1b");
	CHECK_EQ(get(STACK3 - 8, 4), CODE + 2);
}

static void call_gate_inner(void)
{
	start(EMU_PROT32, 3, false);
	put(STACK3, 0x1111, 4);
	put(STACK3 + 4, 0x2222, 4);
	DONE("9a ff ff ff ff 83 00");		/* the offset does not matter */
	CHECK_EQ(RIP, HANDLER);
	CHECK_EQ(m.ctx.cpl, 0);
	CHECK_EQ(m.seg[EMU_CS].sel, S_CODE32);
	CHECK_EQ(m.seg[EMU_SS].sel, S_DATA32);
	CHECK_EQ(RSP, STACK0 + 0x800 - 24);
	CHECK_EQ(get(STACK0 + 0x800 - 4, 4), S_DATA32_3 | 3);
	CHECK_EQ(get(STACK0 + 0x800 - 8, 4), STACK3);
	CHECK_EQ(get(STACK0 + 0x800 - 12, 4), 0x2222);
	CHECK_EQ(get(STACK0 + 0x800 - 16, 4), 0x1111);
	CHECK_EQ(get(STACK0 + 0x800 - 20, 4), S_CODE32_3 | 3);
	CHECK_EQ(get(STACK0 + 0x800 - 24, 4), CODE + 7);
	start(EMU_PROT32, 3, false);
	put(STACK3, 0x3333, 2);
	DONE("9a 00 00 00 00 88 00");		/* 16-bit gate: words */
	CHECK_EQ(RSP, STACK0 + 0x800 - 10);
	CHECK_EQ(get(STACK0 + 0x800 - 6, 2), 0x3333);
	CHECK_EQ(get(STACK0 + 0x800 - 10, 2), (CODE + 7) & 0xffff);
}

static void call_gate_checks(void)
{
	start(EMU_PROT32, 3, false);
	FAULT("ea 00 00 00 00 80 00", VEC_GP, S_CODE32);	/* JMP does not change privilege */
	FAULT("9a 00 00 00 00 f0 00", VEC_NP, S_GATE_NP);
	mem[GDT + S_GATE32 + 5] &= ~0x60;			/* gate of DPL 0 */
	FAULT("9a 00 00 00 00 80 00", VEC_GP, S_GATE32);
	mem[GDT + S_GATE32 + 5] |= 0x60;
	put(GDT + S_GATE32 + 2, S_DATA32, 2);
	FAULT("9a 00 00 00 00 80 00", VEC_GP, S_DATA32);
	put(GDT + S_GATE32 + 2, S_CODE_NP, 2);
	FAULT("9a 00 00 00 00 80 00", VEC_NP, S_CODE_NP);
	put(GDT + S_GATE32 + 2, 0, 2);
	FAULT("9a 00 00 00 00 80 00", VEC_GP, 0);
	put(GDT + S_GATE32 + 2, S_CONFORM, 2);
	DONE("9a 00 00 00 00 80 00");				/* conforming: same stack */
	CHECK_EQ(m.ctx.cpl, 3);
	CHECK_EQ(RSP, STACK3 - 8);
	start(EMU_PROT32, 3, false);
	put(TSS + 8, S_DATA32_3 | 3, 2);
	FAULT("9a 00 00 00 00 80 00", VEC_TS, S_DATA32_3);
	put(TSS + 8, S_DATA_NP, 2);
	FAULT("9a 00 00 00 00 80 00", VEC_SS, S_DATA_NP);
	put(TSS + 8, 0, 2);
	FAULT("9a 00 00 00 00 80 00", VEC_TS, 0);
	m.seg[EMU_TR].limit = 8;
	machine_sync(&m);
	FAULT("9a 00 00 00 00 80 00", VEC_TS, S_TSS);
	CHECK_EQ(m.ctx.cpl, 3);
	CHECK_EQ(RSP, STACK3);
	start(EMU_PROT32, 0, false);
	DONE("9a 00 00 00 00 80 00");				/* same privilege: same stack, no parameters */
	CHECK_EQ(RSP, STACK0 - 8);
	start(EMU_PROT32, 0, false);
	DONE("ea 00 00 00 00 80 00");
	CHECK_EQ(RIP, HANDLER);
}

static void call_gate_long(void)
{
	start(EMU_LONG64, 3, true);
	put(DATA, (u64)S_GATE64 << 32, 8);
	RBX = DATA;
	DONE("ff 1b");
	CHECK_EQ(m.ctx.cpl, 0);
	CHECK_EQ(RIP, HANDLER);
	CHECK_EQ(RSP, STACK0 + 0x800 - 32);
	CHECK_EQ(get(STACK0 + 0x800 - 8, 8), S_DATA32_3 | 3);
	CHECK_EQ(get(STACK0 + 0x800 - 16, 8), STACK3);
	CHECK_EQ(get(STACK0 + 0x800 - 24, 8), S_CODE64_3 | 3);
	CHECK_EQ(get(STACK0 + 0x800 - 32, 8), CODE + 2);
	CHECK_EQ(m.seg[EMU_SS].sel, 0);
	start(EMU_LONG64, 3, true);
	RBX = DATA;
	put(GDT + S_GATE64 + 2, S_CODE32, 2);
	FAULT("ff 1b", VEC_GP, S_CODE32);	/* gates lead to 64-bit code only */
	put(GDT + S_GATE64 + 12, 0x1f00, 4);
	FAULT("ff 1b", VEC_GP, S_GATE64);
	put(DATA, (u64)S_GATE16 << 32, 8);
	FAULT("ff 1b", VEC_GP, S_GATE16);	/* no such type there */
	put(DATA, (u64)S_TASKGATE << 32, 8);
	FAULT("ff 1b", VEC_GP, S_TASKGATE);
}

static void ret_far(void)
{
	start(EMU_PROT32, 0, false);
	put(STACK0, HANDLER, 4);
	put(STACK0 + 4, S_CODE32, 4);
	DONE("ca 08 00");
	CHECK_EQ(RIP, HANDLER);
	CHECK_EQ(RSP, STACK0 + 16);
	start(EMU_PROT32, 0, false);		/* to user level, releasing parameters of both stacks */
	put(STACK0 + 4, S_CODE32_3 | 3, 4);
	put(STACK0 + 16, STACK3, 4);
	put(STACK0 + 20, S_DATA32_3 | 3, 4);
	m.seg[EMU_ES].attr = 0xc0f3;
	m.seg[EMU_FS].attr = 0xc09f;		/* conforming code */
	DONE("ca 08 00");
	CHECK_EQ(m.ctx.cpl, 3);
	CHECK_EQ(RSP, STACK3 + 8);
	CHECK_EQ(m.seg[EMU_SS].sel, S_DATA32_3 | 3);
	CHECK_EQ(m.seg[EMU_DS].sel, 0);		/* privileged data is dropped */
	CHECK_EQ(m.seg[EMU_ES].sel, S_DATA32);
	CHECK_EQ(m.seg[EMU_FS].sel, S_DATA32);
	start(EMU_PROT32, 3, false);
	put(STACK3, HANDLER, 4);
	put(STACK3 + 4, S_CODE32, 4);
	FAULT("cb", VEC_GP, S_CODE32);		/* no way to more privilege */
	put(STACK3 + 4, 0, 4);
	FAULT("cb", VEC_GP, 0);
	put(STACK3 + 4, S_CODE_NP | 3, 4);
	mem[GDT + S_CODE_NP + 5] = 0x7a;
	FAULT("cb", VEC_NP, S_CODE_NP);
	start(EMU_PROT32, 0, false);
	put(STACK0 + 4, S_CODE32_3 | 3, 4);
	put(STACK0 + 8, STACK3, 4);
	put(STACK0 + 12, S_DATA32, 4);		/* a stack of the wrong privilege */
	FAULT("cb", VEC_GP, S_DATA32);
	CHECK_EQ(RSP, STACK0);
	start(EMU_REAL16, 0, false);
	put(STACK0 + 0x800, 0x20001234, 4);
	DONE("cb");
	CHECK_EQ(m.seg[EMU_CS].base, 0x20000);
	CHECK_EQ(RIP, 0x1234);
	CHECK_EQ(RSP, 0x804);
}

static void real_mode_limits(void)
{
	start(EMU_REAL16, 0, false);
	FAULT("66 ea 00 00 01 00 00 20", VEC_GP, 0);	/* offset over ffff */
	RSP = 1;
	FAULT("50", VEC_SS, 0);				/* a word over the end of the segment */
	RSP = 0;
	DONE("50");					/* wraps to fffe */
	CHECK_EQ(RSP, 0xfffe);
	RBX = 0xffff;
	FAULT("8b 07", VEC_GP, 0);
	DONE("8a 07");
	RIP = 0xffff;
	FAULT("b0", VEC_GP, 0);				/* the instruction does not end inside the segment */
	RIP = 0xfffe;
	DONE("eb 00");
	start(EMU_REAL32, 0, false);			/* a 32-bit code segment left over: "unreal" mode */
	m.seg[EMU_DS].limit = 0xffffffff;
	machine_sync(&m);
	put(DATA + 0x12345, 0xabcd, 2);
	RBX = 0x12345;
	DONE("66 8b 03");
	CHECK_EQ(RAX, 0xabcd);
}

void far_tests(void)
{
	run_test("far JMP", jump_direct);
	run_test("far JMP between the modes of long mode", jump_in_long_mode);
	run_test("far CALL", call_direct);
	run_test("call gates to more privilege", call_gate_inner);
	run_test("call gates' checks", call_gate_checks);
	run_test("call gates of long mode", call_gate_long);
	run_test("far RET", ret_far);
	run_test("real mode's limits", real_mode_limits);
}
