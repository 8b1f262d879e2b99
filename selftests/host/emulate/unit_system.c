// SPDX-License-Identifier: GPL-2.0-only
/* Control, debug and descriptor-table registers, MSRs, counters, the machine's own instructions; fast system calls. */
#include "unit.h"

static void control_registers(void)
{
	start(EMU_LONG64, 0, true);
	RAX = 0x80050031;
	DONE("0f 22 c0");
	CHECK_EQ(m.cr0, 0x80050031);
	DONE("0f 20 c1");
	CHECK_EQ(RCX, 0x80050031);
	RAX = 0x123456789a;
	DONE("0f 22 d0");			/* CR2 */
	CHECK_EQ(m.cr2, 0x123456789aull);
	DONE("0f 20 d1");
	CHECK_EQ(RCX, 0x123456789aull);
	RAX = 0x5000;
	DONE("0f 22 d8");
	CHECK_EQ(m.cr3, 0x5000);
	DONE("40 0f 22 18");			/* mod is taken for 3 */
	RAX = 0x620;
	DONE("0f 22 e0");
	CHECK_EQ(m.cr4, 0x620);
	RAX = 7;
	DONE("44 0f 22 c0");			/* CR8 */
	CHECK_EQ(m.cr8, 7);
	RAX = 16;
	FAULT("44 0f 22 c0", VEC_GP, 0);
	FAULT("0f 20 c8", VEC_UD, NOERR);	/* CR1 */
	FAULT("0f 22 f8", VEC_UD, NOERR);	/* CR7 */
	FAULT("f0 0f 20 c0", VEC_UD, NOERR);
	m.ctx.amd = true;
	DONE("f0 0f 20 c1");			/* AMD's way to CR8 */
	CHECK_EQ(RCX, 7);
	start(EMU_LONG64, 3, true);
	FAULT("0f 20 c0", VEC_GP, 0);
	FAULT("0f 22 c0", VEC_GP, 0);
	FAULT("0f 20 c8", VEC_UD, NOERR);	/* there is no such register for anybody */
}

static void cr0_and_its_word(void)
{
	start(EMU_REAL16, 0, false);
	RAX = 0x80000010;
	FAULT("0f 22 c0", VEC_GP, 0);		/* paging without protection */
	RAX = 0x11;
	DONE("0f 22 c0");
	CHECK_EQ(m.ctx.mode, EMU_PROT16);	/* the next instruction is decoded for it */
	RAX = 0x10;
	DONE("0f 22 c0");
	CHECK_EQ(m.ctx.mode, EMU_REAL16);
	RAX = 0x11 | C0_TS;
	DONE("0f 01 f0");			/* lmsw */
	CHECK_EQ(m.cr0, 0x11 | C0_TS);
	RAX = 0;
	DONE("0f 01 f0");
	CHECK_EQ(m.cr0, 0x11);			/* PE stays */
	DONE("0f 01 e1");			/* smsw */
	CHECK_EQ(RCX, 0x11);
	m.cr0 |= C0_TS;
	DONE("0f 06");
	CHECK_EQ(m.cr0, 0x11);
	put(DATA, C0_TS | 1, 2);
	RBX = 0;
	m.seg[EMU_DS].base = DATA;
	machine_sync(&m);
	DONE("0f 01 37");			/* lmsw from memory */
	CHECK_EQ(m.cr0, 0x11 | C0_TS);
	DONE("0f 01 27");			/* smsw to memory: two bytes */
	CHECK_EQ(get(DATA, 4), 0x11 | C0_TS);
	start(EMU_PROT32, 3, false);
	DONE("0f 01 e1");			/* smsw is for all, */
	m.cr4 |= C4_UMIP;
	FAULT("0f 01 e1", VEC_GP, 0);		/* unless */
	FAULT("0f 01 f0", VEC_GP, 0);
	FAULT("0f 06", VEC_GP, 0);
}

static void debug_registers(void)
{
	start(EMU_LONG64, 0, true);
	RAX = 0x123456789abc;
	DONE("0f 23 c0");
	CHECK_EQ(m.dr[0], 0x123456789abcull);
	DONE("0f 21 c1");
	CHECK_EQ(RCX, 0x123456789abcull);
	RAX = 0xffff4ff0;
	DONE("0f 23 e0");			/* DR4 is DR6 */
	CHECK_EQ(m.dr[6], 0xffff4ff0);
	DONE("0f 21 f1");
	CHECK_EQ(RCX, 0xffff4ff0);
	RAX = 1ull << 32;
	FAULT("0f 23 f8", VEC_GP, 0);
	FAULT("0f 23 f0", VEC_GP, 0);
	m.cr4 |= C4_DE;
	FAULT("0f 21 e0", VEC_UD, NOERR);
	FAULT("44 0f 21 c0", VEC_UD, NOERR);	/* DR8 */
	m.dr[7] = 0x2400;			/* general detect */
	FAULT("0f 21 c0", VEC_DB, NOERR);
	CHECK_EQ(m.ctx.fault.payload, DR6_BD);
	FAULT("0f 23 c0", VEC_DB, NOERR);
	start(EMU_LONG64, 3, true);
	FAULT("0f 21 c0", VEC_GP, 0);
	FAULT("0f 23 c0", VEC_GP, 0);
}

static void table_registers(void)
{
	start(EMU_LONG64, 0, true);
	RBX = DATA;
	DONE("0f 01 03");			/* sgdt */
	CHECK_EQ(get(DATA, 2), S_END - 1);
	CHECK_EQ(get(DATA + 2, 8), GDT);
	DONE("0f 01 0b");			/* sidt */
	CHECK_EQ(get(DATA, 2), 0xfff);
	CHECK_EQ(get(DATA + 2, 8), IDT);
	put(DATA, 0x1234, 2);
	put(DATA + 2, 0xffff800012345678ull, 8);
	DONE("0f 01 13");			/* lgdt */
	CHECK_EQ(m.gdt.base, 0xffff800012345678ull);
	CHECK_EQ(m.gdt.limit, 0x1234);
	DONE("0f 01 1b");
	CHECK_EQ(m.idt.base, 0xffff800012345678ull);
	put(DATA + 2, 1ull << 47, 8);
	FAULT("0f 01 13", VEC_GP, 0);
	m.ctx.la57 = true;			/* the width that the processor has, not the paging mode's */
	DONE("0f 01 13");
	CHECK_EQ(m.gdt.base, 1ull << 47);
	put(DATA + 2, 1ull << 56, 8);
	FAULT("0f 01 1b", VEC_GP, 0);
	m.ctx.la57 = false;
	start(EMU_PROT32, 0, false);
	RBX = DATA;
	put(DATA + 2, 0x12345678, 4);
	DONE("0f 01 13");
	CHECK_EQ(m.gdt.base, 0x12345678);
	DONE("66 0f 01 1b");			/* 16-bit operand: 24 bits of base */
	CHECK_EQ(m.idt.base, 0x345678);
	put(DATA + 6, 0xaaaa, 2);
	DONE("66 0f 01 0b");
	CHECK_EQ(get(DATA + 2, 4), 0x345678);
	CHECK_EQ(get(DATA + 6, 2), 0xaaaa);
	start(EMU_PROT32, 3, false);
	RBX = DATA;
	FAULT("0f 01 13", VEC_GP, 0);
	FAULT("0f 01 1b", VEC_GP, 0);
	DONE("0f 01 03");
	m.cr4 |= C4_UMIP;
	FAULT("0f 01 03", VEC_GP, 0);
	FAULT("0f 01 0b", VEC_GP, 0);
}

static void registers_of_models(void)
{
	start(EMU_LONG64, 0, true);
	*machine_msr(&m, 0xc0000082) = 0x1122334455667788;
	RCX = 0xffffffffc0000082;
	RAX = RDX = ~0ull;
	DONE("0f 32");
	CHECK_EQ(RAX, 0x55667788);
	CHECK_EQ(RDX, 0x11223344);
	RAX = 0xffffffff00000001, RDX = 0xffffffff00000002;
	DONE("0f 30");
	CHECK_EQ(*machine_msr(&m, 0xc0000082), 0x200000001ull);
	RCX = 0x12345;
	FAULT("0f 32", VEC_GP, 0);
	FAULT("0f 30", VEC_GP, 0);
	CHECK_EQ(RAX, 0xffffffff00000001ull);
	start(EMU_LONG64, 3, true);
	FAULT("0f 32", VEC_GP, 0);
	FAULT("0f 30", VEC_GP, 0);
}

static void counters(void)
{
	start(EMU_LONG64, 3, true);
	DONE("0f 31");
	CHECK_EQ(RAX, 0x34567890);
	CHECK_EQ(RDX, 0x12);
	RCX = ~0ull;
	DONE("0f 01 f9");
	CHECK_EQ(RCX, 0x42);
	DONE("f3 0f c7 fb");			/* rdpid %rbx */
	CHECK_EQ(RBX, 0x42);
	FAULT("0f 33", VEC_GP, 0);		/* RDPMC without CR4.PCE */
	m.cr4 |= C4_PCE;
	RCX = 2;
	DONE("0f 33");
	CHECK_EQ(RAX, 2);
	CHECK_EQ(RDX, 7);
	RCX = 4;
	FAULT("0f 33", VEC_GP, 0);
	m.cr4 |= C4_TSD;
	FAULT("0f 31", VEC_GP, 0);
	FAULT("0f 01 f9", VEC_GP, 0);
	start(EMU_REAL16, 0, false);
	m.cr4 |= C4_TSD;
	DONE("0f 31");
	start(EMU_LONG64, 3, true);
	RAX = 1, RCX = 2;
	DONE("0f a2");
	CHECK_EQ(RAX, 0x11);
	CHECK_EQ(RDX, 0x44);
}

static void left_to_the_machine(void)
{
	static const struct { const char *hex; u8 act; bool priv; } list[] = {
		{ "f4", EMU_ACT_HLT, true }, { "0f 08", EMU_ACT_INVD, true }, { "0f 09", EMU_ACT_WBINVD, true },
		{ "66 0f 09", EMU_ACT_WBINVD, true }, { "f3 0f 09", EMU_ACT_WBINVD, true }, { "f2 0f 09", EMU_ACT_WBINVD, true },
		{ "f3 90", EMU_ACT_PAUSE, false }, { "0f 01 c1", EMU_ACT_VMCALL, false }, { "0f 01 d9", EMU_ACT_VMMCALL, false },
		{ "0f ae 3b", EMU_ACT_CLFLUSH, false }, { "66 0f ae 3b", EMU_ACT_CLFLUSH, false },
		{ "66 0f ae 33", EMU_ACT_CLFLUSH, false }, { "0f aa", EMU_ACT_RSM, false }, { "0f 01 3b", EMU_ACT_INVLPG, true },
		{ "0f 01 c2", EMU_ACT_VIRT, false }, { "0f 01 c3", EMU_ACT_VIRT, false }, { "0f 01 c4", EMU_ACT_VIRT, false },
		{ "0f 01 d4", EMU_ACT_VIRT, false }, { "0f 01 d8", EMU_ACT_VIRT, false }, { "0f 01 da", EMU_ACT_VIRT, false },
		{ "0f 01 db", EMU_ACT_VIRT, false }, { "0f 01 dc", EMU_ACT_VIRT, false }, { "0f 01 dd", EMU_ACT_VIRT, false },
		{ "0f 01 de", EMU_ACT_VIRT, false }, { "0f 01 df", EMU_ACT_VIRT, false },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(list); i++) {
		start(EMU_LONG64, 0, true);
		RBX = DATA + 0x10;
		DONE(list[i].hex);
		CHECK_EQ(m.actions[list[i].act], 1);
		start(EMU_LONG64, 3, true);
		RBX = DATA + 0x10;
		if (list[i].priv)
			FAULT(list[i].hex, VEC_GP, 0);
		else
			DONE(list[i].hex);
	}
	start(EMU_LONG64, 0, true);
	m.accept = false;
	FAULT("0f 01 c2", VEC_UD, NOERR);
	FAULT("0f aa", VEC_UD, NOERR);
	RBX = 1ull << 47;
	DONE("0f 01 3b");			/* not canonical: nothing to invalidate */
	CHECK_EQ(m.actions[EMU_ACT_INVLPG], 0);
	FAULT("0f ae 3b", VEC_GP, 0);
	RBX = NOWHERE;
	DONE("0f 01 3b");
	CHECK_EQ(m.action_a, NOWHERE);
	FAULT("0f ae 3b", VEC_PF, 0);
	RAX = 2, RBX = DATA;
	DONE("66 0f 38 82 03");			/* invpcid */
	CHECK_EQ(m.action_a, 2);
	CHECK_EQ(m.action_b, DATA);
	FAULT("0f 38 82 03", VEC_UD, NOERR);
	start(EMU_LONG64, 3, true);
	FAULT("66 0f 38 82 03", VEC_GP, 0);
}

static void monitor_mwait(void)
{
	start(EMU_LONG64, 0, true);
	RAX = DATA;
	DONE("0f 01 c8");
	CHECK_EQ(m.action_a, DATA);
	DONE("0f 01 c9");
	CHECK_EQ(m.actions[EMU_ACT_MWAIT], 1);
	RCX = 1;
	FAULT("0f 01 c8", VEC_GP, 0);
	RCX = 0, RAX = NOWHERE;
	FAULT("0f 01 c8", VEC_PF, 0);
	start(EMU_LONG64, 3, true);
	FAULT("0f 01 c8", VEC_UD, NOERR);
	FAULT("0f 01 c9", VEC_UD, NOERR);
}

static void extended_control(void)
{
	start(EMU_LONG64, 0, true);
	RCX = 0;
	DONE("0f 01 d0");
	CHECK_EQ(RAX, 7);
	CHECK_EQ(RDX, 0);
	RAX = 3, RDX = 1;
	DONE("0f 01 d1");
	CHECK_EQ(m.action_b, 0x100000003ull);
	RCX = 5;
	FAULT("0f 01 d0", VEC_GP, 0);
	FAULT("66 0f 01 d1", VEC_UD, NOERR);
	m.cr4 &= ~C4_OSXSAVE;
	FAULT("0f 01 d0", VEC_UD, NOERR);
	FAULT("0f 01 d1", VEC_UD, NOERR);
	start(EMU_LONG64, 3, true);
	RCX = 0;
	DONE("0f 01 d0");
	FAULT("0f 01 d1", VEC_GP, 0);
}

static void bases(void)
{
	start(EMU_LONG64, 0, true);
	m.seg[EMU_GS].base = 0x1234;
	*machine_msr(&m, 0xc0000102) = 0xffff888000000000ull;
	machine_sync(&m);
	DONE("0f 01 f8");			/* swapgs */
	CHECK_EQ(m.seg[EMU_GS].base, 0xffff888000000000ull);
	CHECK_EQ(*machine_msr(&m, 0xc0000102), 0x1234);
	DONE("f3 48 0f ae c9");			/* rdgsbase %rcx */
	CHECK_EQ(RCX, 0xffff888000000000ull);
	DONE("f3 0f ae c9");
	CHECK_EQ(RCX, 0);			/* 32 bits of it */
	RCX = 0x7fff12345678;
	DONE("f3 48 0f ae d1");			/* wrfsbase */
	CHECK_EQ(m.seg[EMU_FS].base, 0x7fff12345678ull);
	DONE("f3 0f ae d9");
	CHECK_EQ(m.seg[EMU_GS].base, 0x12345678);
	DONE("f3 48 0f ae c1");
	CHECK_EQ(RCX, 0x7fff12345678ull);
	RCX = 1ull << 47;
	FAULT("f3 48 0f ae d1", VEC_GP, 0);
	m.cr4 &= ~C4_FSGSBASE;
	FAULT("f3 0f ae c1", VEC_UD, NOERR);
	start(EMU_LONG64, 3, true);
	FAULT("0f 01 f8", VEC_GP, 0);
	start(EMU_PROT32, 0, false);
	FAULT("0f 01 f8", VEC_UD, NOERR);
	FAULT("f3 0f ae c1", VEC_UD, NOERR);
}

void system_tests(void)
{
	run_test("control registers", control_registers);
	run_test("CR0, LMSW, SMSW, CLTS", cr0_and_its_word);
	run_test("debug registers", debug_registers);
	run_test("descriptor-table registers", table_registers);
	run_test("RDMSR, WRMSR", registers_of_models);
	run_test("counters, CPUID", counters);
	run_test("instructions that are the machine's", left_to_the_machine);
	run_test("MONITOR, MWAIT", monitor_mwait);
	run_test("XGETBV, XSETBV", extended_control);
	run_test("FS and GS bases", bases);
}

static void msr(u32 index, u64 val)
{
	*machine_msr(&m, index) = val;
}

static void fast_long(void)
{
	start(EMU_LONG64, 3, true);
	msr(0xc0000081, 0x0023001000000000ull | 0x11111111);	/* user 23, kernel 10 */
	msr(0xc0000082, 0xffffffff81000000ull);
	msr(0xc0000084, FL_IF | FL_DF);
	FLAGS |= FL_DF | FL_RF | FL_CF;
	DONE("0f 05");
	CHECK_EQ(RIP, 0xffffffff81000000ull);
	CHECK_EQ(RCX, CODE + 2);
	CHECK_EQ(m.ctx.regs[11], 2 | FL_IF | FL_DF | FL_CF);
	CHECK_EQ(FLAGS, 2 | FL_CF);
	CHECK_EQ(m.ctx.cpl, 0);
	CHECK_EQ(m.seg[EMU_CS].sel, 0x10);
	CHECK_EQ(m.seg[EMU_CS].attr, 0xa09b);
	CHECK_EQ(m.seg[EMU_SS].sel, 0x18);
	CHECK_EQ(m.seg[EMU_SS].attr, 0xc093);
	RIP = CODE;
	m.ctx.regs[11] = FL_IF | FL_VM | FL_RF | FL_CF;
	RCX = 0x12345678;
	DONE("48 0f 07");
	CHECK_EQ(RIP, 0x12345678);
	CHECK_EQ(m.ctx.cpl, 3);
	CHECK_EQ(FLAGS, 2 | FL_IF | FL_CF);
	CHECK_EQ(m.seg[EMU_CS].sel, 0x33);
	CHECK_EQ(m.seg[EMU_SS].sel, 0x2b);
	CHECK_EQ(m.ctx.mode, EMU_LONG64);
	start(EMU_LONG64, 0, true);
	msr(0xc0000081, 0x0023001000000000ull);
	RCX = 0x123456789;
	DONE("0f 07");				/* to compatibility mode */
	CHECK_EQ(RIP, 0x23456789);
	CHECK_EQ(m.ctx.mode, EMU_PROT32);
	CHECK_EQ(m.seg[EMU_CS].sel, 0x23);
	CHECK_EQ(m.seg[EMU_CS].attr, 0xc0fb);
	start(EMU_LONG64, 0, true);
	RCX = 1ull << 47;
	FAULT("48 0f 07", VEC_GP, 0);		/* Intel looks at it before, AMD after */
	m.efer &= ~EFER_SCE;
	FAULT("0f 07", VEC_UD, NOERR);
	FAULT("0f 05", VEC_UD, NOERR);
	start(EMU_LONG64, 3, true);
	FAULT("0f 07", VEC_GP, 0);
}

static void fast_legacy(void)
{
	start(EMU_PROT32, 3, false);
	FAULT("0f 05", VEC_UD, NOERR);		/* Intel has it in 64-bit mode only */
	m.ctx.amd = true;
	msr(0xc0000081, 0x0023001012345678ull);
	DONE("0f 05");
	CHECK_EQ(RIP, 0x12345678);
	CHECK_EQ(RCX, CODE + 2);
	CHECK_EQ(FLAG(IF), 0);
	CHECK_EQ(m.ctx.cpl, 0);
	RIP = CODE;
	RCX = 0x4000;
	DONE("0f 07");
	CHECK_EQ(RIP, 0x4000);
	CHECK_EQ(FLAG(IF), 1);
	CHECK_EQ(m.ctx.cpl, 3);
	start(EMU_PROT32, 3, true);		/* compatibility mode of an AMD processor: CSTAR */
	m.ctx.amd = true;
	msr(0xc0000083, HANDLER);
	DONE("0f 05");
	CHECK_EQ(RIP, HANDLER);
	CHECK_EQ(m.ctx.mode, EMU_LONG64);
	start(EMU_REAL16, 0, false);
	FAULT("0f 07", VEC_UD, NOERR);
}

static void sysenter_sysexit(void)
{
	start(EMU_PROT32, 3, false);
	FAULT("0f 34", VEC_GP, 0);		/* MSR 174 is 0 */
	msr(0x174, 0x13);
	msr(0x175, 0x100004000ull);
	msr(0x176, 0x100008000ull);
	FLAGS |= FL_CF;
	DONE("0f 34");
	CHECK_EQ(RIP, HANDLER);			/* 32 bits of both */
	CHECK_EQ(RSP, 0x4000);
	CHECK_EQ(FLAGS, 2 | FL_CF);
	CHECK_EQ(m.seg[EMU_CS].sel, 0x10);
	CHECK_EQ(m.seg[EMU_CS].attr, 0xc09b);
	CHECK_EQ(m.seg[EMU_SS].sel, 0x18);
	RDX = CODE, RCX = STACK3;
	RIP = CODE;
	DONE("0f 35");
	CHECK_EQ(m.ctx.cpl, 3);
	CHECK_EQ(RSP, STACK3);
	CHECK_EQ(m.seg[EMU_CS].sel, 0x23);
	CHECK_EQ(m.seg[EMU_SS].sel, 0x2b);
	FAULT("0f 35", VEC_GP, 0);
	start(EMU_LONG64, 3, true);
	msr(0x174, 0x10);
	msr(0x175, 0xffff800000001000ull);
	msr(0x176, 0xffff800000002000ull);
	DONE("0f 34");
	CHECK_EQ(RIP, 0xffff800000002000ull);
	CHECK_EQ(RSP, 0xffff800000001000ull);
	CHECK_EQ(m.seg[EMU_CS].attr, 0xa09b);
	start(EMU_LONG64, 0, true);
	msr(0x174, 0x10);
	RDX = HANDLER, RCX = STACK3;
	DONE("48 0f 35");
	CHECK_EQ(m.seg[EMU_CS].sel, 0x33);
	CHECK_EQ(m.seg[EMU_SS].sel, 0x3b);
	start(EMU_LONG64, 0, true);
	msr(0x174, 0x10);
	RDX = 1ull << 47;
	FAULT("48 0f 35", VEC_GP, 0);
	start(EMU_LONG64, 0, true);
	m.ctx.amd = true;
	FAULT("0f 34", VEC_UD, NOERR);		/* AMD: not in long mode */
	FAULT("0f 35", VEC_UD, NOERR);
	start(EMU_REAL16, 0, false);
	FAULT("0f 34", VEC_GP, 0);
}

void syscall_tests(void)
{
	run_test("SYSCALL, SYSRET in long mode", fast_long);
	run_test("SYSCALL, SYSRET elsewhere", fast_legacy);
	run_test("SYSENTER, SYSEXIT", sysenter_sysexit);
}
