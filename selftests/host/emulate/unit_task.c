// SPDX-License-Identifier: GPL-2.0-only
/* Hardware task switches: by JMP, CALL, IRET and task gates, 16- and 32-bit, and what can go wrong before and after. */
#include "unit.h"

static void put_tss32(u32 at, u32 cs, u32 ss)
{
	put(at + 0x1c, 0x5000, 4);		/* CR3 */
	put(at + 0x20, HANDLER, 4);
	put(at + 0x24, FL_CF | 2, 4);
	for (unsigned int i = 0; i < 8; i++)
		put(at + 0x28 + i * 4, 0x1000 * (i + 1), 4);
	put(at + 0x38, STACK0 + 0x400, 4);	/* ESP */
	for (unsigned int i = 0; i < 6; i++)
		put(at + 0x48 + i * 4, S_DATA32, 4);
	put(at + 0x4c, cs, 4);
	put(at + 0x50, ss, 4);
	put(at + 0x60, 0, 4);
	put(at + 0x64, 0, 4);
}

static void begin(void)
{
	start(EMU_PROT32, 0, false);
	put_tss32(TSS2, S_CODE32, S_DATA32);
	RAX = 0x11, RBX = 0x44;
}

static void by_jmp(void)
{
	begin();
	DONE("ea 00 00 00 00 70 00");
	CHECK_EQ(RIP, HANDLER);
	CHECK_EQ(FLAGS, 2 | FL_CF);
	CHECK_EQ(RAX, 0x1000);
	CHECK_EQ(RDI, 0x8000);
	CHECK_EQ(RSP, STACK0 + 0x400);
	CHECK_EQ(m.seg[EMU_TR].sel, S_TSS2);
	CHECK_EQ(m.seg[EMU_TR].attr, 0x8b);
	CHECK_EQ(get(GDT + S_TSS2 + 5, 1), 0x8b);	/* busy, the old one not */
	CHECK_EQ(get(GDT + S_TSS + 5, 1), 0x89);
	CHECK_EQ(m.cr0 & C0_TS, C0_TS);
	CHECK_EQ(get(TSS + 0x20, 4), CODE + 7);		/* where the old task goes on */
	CHECK_EQ(get(TSS + 0x24, 4), 2 | FL_IF);
	CHECK_EQ(get(TSS + 0x28, 4), 0x11);
	CHECK_EQ(get(TSS + 0x34, 4), 0x44);
	CHECK_EQ(get(TSS + 0x4c, 2), S_CODE32);
	CHECK_EQ(m.cr3, 0);				/* paging is off */
	CHECK_EQ(FLAG(NT), 0);
}

static void by_call_and_back(void)
{
	begin();
	m.cr0 |= C0_PG;
	machine_sync(&m);
	DONE("9a 00 00 00 00 70 00");
	CHECK_EQ(FLAG(NT), 1);
	CHECK_EQ(get(TSS2, 2), S_TSS);			/* the way back */
	CHECK_EQ(get(GDT + S_TSS + 5, 1), 0x8b);	/* both are busy */
	CHECK_EQ(get(GDT + S_TSS2 + 5, 1), 0x8b);
	CHECK_EQ(m.cr3, 0x5000);
	RAX = 0x99;
	DONE("cf");					/* with NT: back to the caller */
	CHECK_EQ(m.seg[EMU_TR].sel, S_TSS);
	CHECK_EQ(RIP, CODE + 7);
	CHECK_EQ(RAX, 0x11);
	CHECK_EQ(get(GDT + S_TSS2 + 5, 1), 0x89);
	CHECK_EQ(get(TSS2 + 0x24, 4) & FL_NT, 0);	/* saved without NT */
	CHECK_EQ(get(TSS2 + 0x28, 4), 0x99);
}

static void by_gate(void)
{
	begin();
	put(IDT + 0x40 * 8, (u64)S_TSS2 << 16 | 0xe5ull << 40, 8);
	DONE("cd 40");
	CHECK_EQ(m.seg[EMU_TR].sel, S_TSS2);
	CHECK_EQ(FLAG(NT), 1);
	CHECK_EQ(get(TSS + 0x20, 4), CODE + 2);
	begin();
	DONE("9a 00 00 00 00 90 00");			/* a task gate of the GDT */
	CHECK_EQ(m.seg[EMU_TR].sel, S_TSS2);
	begin();
	CHECK_EQ(emu_task_switch(&m.ctx, S_TSS2, EMU_TASK_GATE, true, 0xabcd), EMU_DONE);
	CHECK_EQ(RSP, STACK0 + 0x400 - 4);
	CHECK_EQ(get(STACK0 + 0x400 - 4, 4), 0xabcd);
	CHECK_EQ(get(TSS + 0x20, 4), CODE);
}

static void old_form(void)
{
	start(EMU_PROT32, 0, false);
	put(TSS3 + 0x0e, 0x1234, 2);
	put(TSS3 + 0x10, 2, 2);
	for (unsigned int i = 0; i < 8; i++)
		put(TSS3 + 0x12 + i * 2, 0x100 + i, 2);
	for (unsigned int i = 0; i < 4; i++)
		put(TSS3 + 0x22 + i * 2, S_DATA16, 2);
	put(TSS3 + 0x24, S_CODE16, 2);
	put(TSS3 + 0x2a, 0, 2);
	RAX = 0x12345678;
	DONE("9a 00 00 00 00 78 00");
	CHECK_EQ(m.ctx.mode, EMU_PROT16);
	CHECK_EQ(RIP, 0x1234);
	CHECK_EQ(RAX & 0xffff, 0x100);
	CHECK_EQ(m.seg[EMU_DS].sel, S_DATA16);
	CHECK_EQ(m.seg[EMU_FS].sel, 0);
	CHECK_EQ(get(TSS3, 2), S_TSS);
	CHECK_EQ(get(TSS + 0x28, 4), 0x12345678);
}

static void to_vm86(void)
{
	begin();
	put(TSS2 + 0x24, FL_VM | FL_IOPL | 2, 4);
	put(TSS2 + 0x20, 0x123, 4);
	put(TSS2 + 0x4c, 0x1000, 4);
	DONE("ea 00 00 00 00 70 00");
	CHECK_EQ(m.ctx.mode, EMU_VM86);
	CHECK_EQ(m.ctx.cpl, 3);
	CHECK_EQ(m.seg[EMU_CS].base, 0x10000);
	CHECK_EQ(m.seg[EMU_DS].base, S_DATA32 << 4);
}

static void faults_before(void)
{
	begin();
	FAULT("ea 00 00 00 00 68 00", VEC_GP, S_TSS);	/* the running task is busy */
	FAULT("ea 00 00 00 00 f8 00", VEC_NP, S_TSS_NP);
	FAULT("ea 00 00 00 01 00 01", VEC_TS, S_TSS_SHORT);
	FLAGS |= FL_NT;
	put(TSS, S_TSS2, 2);
	FAULT("cf", VEC_TS, S_TSS2);			/* IRET wants a busy one */
	put(TSS, 0, 2);
	FAULT("cf", VEC_TS, 0);
	put(TSS, S_DATA32, 2);
	FAULT("cf", VEC_TS, S_DATA32);
	FLAGS &= ~FL_NT;
	mem[GDT + S_TSS2 + 5] = 0x89;
	put(GDT + S_TSS2 + 2, NOWHERE & 0xffff, 2);
	mem[GDT + S_TSS2 + 4] = NOWHERE >> 16;
	FAULT("ea 00 00 00 00 70 00", VEC_PF, 0);
	CHECK_EQ(m.seg[EMU_TR].sel, S_TSS);		/* still in the old task, untouched */
	CHECK_EQ(RAX, 0x11);
	CHECK_EQ(RIP, CODE);
	CHECK_EQ(m.ctx.switched, false);
	CHECK_EQ(get(GDT + S_TSS + 5, 1), 0x8b);
	start(EMU_PROT32, 3, false);
	FAULT("ea 00 00 00 00 70 00", VEC_GP, S_TSS2);	/* privilege of the descriptor */
	start(EMU_PROT32, 0, true);
	FAULT("ea 00 00 00 00 70 00", VEC_GP, S_TSS2);
	CHECK_EQ(emu_task_switch(&m.ctx, S_TSS2, EMU_TASK_JMP, false, 0), EMU_UNHANDLED);
}

/* What is wrong with the new task's segments faults in the new task. */
static void faults_after(void)
{
	static const struct { u16 cs, ss, ldt; u8 vec; s32 err; } bad[] = {
		{ 0, S_DATA32, 0, VEC_TS, 0 },
		{ S_DATA32, S_DATA32, 0, VEC_TS, S_DATA32 },
		{ S_CODE_NP, S_DATA32, 0, VEC_NP, S_CODE_NP },
		{ S_CODE32, 0, 0, VEC_TS, 0 },
		{ S_CODE32, S_DATA32_3, 0, VEC_TS, S_DATA32_3 },
		{ S_CODE32, S_DATA_NP, 0, VEC_SS, S_DATA_NP },
		{ S_CODE32, S_DATA32, S_TSS2, VEC_TS, S_TSS2 },
		{ S_CODE32, S_DATA32, 4, VEC_TS, 4 },
		{ S_CODE32_3, S_DATA32, 0, VEC_TS, S_CODE32_3 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		begin();
		put_tss32(TSS2, bad[i].cs, bad[i].ss);
		put(TSS2 + 0x60, bad[i].ldt, 2);
		FAULT("ea 00 00 00 00 70 00", bad[i].vec, bad[i].err);
		CHECK_EQ(m.ctx.switched, true);
		CHECK_EQ(m.seg[EMU_TR].sel, S_TSS2);
		CHECK_EQ(RIP, HANDLER);
		CHECK_EQ(RAX, 0x1000);
	}
	begin();
	put(TSS2 + 0x20, 0x100, 4);
	put(TSS2 + 0x4c, S_SMALL, 4);
	FAULT("ea 00 00 00 00 70 00", VEC_GP, 0);	/* EIP over the limit */
	begin();
	put(TSS2 + 0x64, 1, 2);				/* debug trap on a switch */
	DONE("ea 00 00 00 00 70 00");
	CHECK_EQ(m.ctx.db_hits, DR6_BT);
	begin();
	put(TSS2 + 0x60, S_LDT, 2);
	DONE("ea 00 00 00 00 70 00");
	CHECK_EQ(m.seg[EMU_LDTR].base, LDT);
}

void task_tests(void)
{
	run_test("task switch by JMP", by_jmp);
	run_test("task switch by CALL, and IRET back", by_call_and_back);
	run_test("task gates", by_gate);
	run_test("16-bit TSS", old_form);
	run_test("a task in virtual-8086 mode", to_vm86);
	run_test("faults before the switch change nothing", faults_before);
	run_test("faults in the new task", faults_after);
}
