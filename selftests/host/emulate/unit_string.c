// SPDX-License-Identifier: GPL-2.0-only
/* Repeated instructions that stop and go on, ports, devices, lost races; shadows, single steps, breakpoints. */
#include "unit.h"

static void bounded(void)
{
	start(EMU_LONG64, 0, true);
	RCX = EMU_REP_BOUND + 100, RDI = DATA, RAX = 0x5a;
	CHECK_EQ(step("f3 aa"), EMU_RETRY);	/* rep stosb */
	CHECK_EQ(RCX, 100);
	CHECK_EQ(RDI, DATA + EMU_REP_BOUND);
	CHECK_EQ(RIP, CODE);
	CHECK_EQ(FLAG(RF), 1);			/* the instruction is not to hit its breakpoint again */
	DONE("f3 aa");
	CHECK_EQ(RCX, 0);
	CHECK_EQ(RIP, CODE + 2);
	CHECK_EQ(FLAG(RF), 0);
	CHECK_EQ(mem[DATA + EMU_REP_BOUND + 99], 0x5a);
	CHECK_EQ(mem[DATA + EMU_REP_BOUND + 100], 0);
	mem[DATA + EMU_REP_BOUND + 99] = 0;
	memset(mem + DATA, 0, EMU_REP_BOUND + 100);
	start(EMU_LONG64, 0, true);
	RCX = 0, RDI = NOWHERE;
	DONE("f3 aa");				/* count 0 touches nothing */
	CHECK_EQ(RDI, NOWHERE);
	start(EMU_LONG64, 0, true);
	RCX = 0xffffffff00000000, RSI = DATA;
	DONE("67 f3 ac");			/* ECX counts */
	start(EMU_PROT32, 0, false);
	RCX = 0x10002, RDI = DATA;
	DONE("67 f3 aa");			/* CX counts, DI moves */
	CHECK_EQ(RCX, 0x10000);
	CHECK_EQ(RDI, DATA + 2);
}

static void fault_in_the_middle(void)
{
	start(EMU_LONG64, 3, true);
	m.region[0].size = DATA + 0x1000;
	RCX = 8, RSI = DATA, RDI = DATA + 0xff0;
	for (int i = 0; i < 16; i++)
		mem[DATA + i * 4] = i + 1;
	FAULT("f3 a5", VEC_PF, 6);		/* rep movsd: four fit */
	CHECK_EQ(m.ctx.fault.payload, DATA + 0x1000);
	CHECK_EQ(RCX, 4);
	CHECK_EQ(RSI, DATA + 16);
	CHECK_EQ(RDI, DATA + 0x1000);
	CHECK_EQ(mem[DATA + 0xffc], 4);
	CHECK_EQ(RIP, CODE);
	CHECK_EQ(FLAG(RF), 1);
	memset(mem + DATA, 0, 0x1000);
	start(EMU_LONG64, 0, true);		/* a write over the edge changes nothing before it */
	m.region[0].size = DATA + 0x1000;
	RAX = ~0ull, RDI = DATA + 0xffc;
	FAULT("48 ab", VEC_PF, 2);
	CHECK_EQ(get(DATA + 0xffc, 4), 0);
	CHECK_EQ(m.ctx.fault.payload, DATA + 0x1000);
}

static void compare_and_scan(void)
{
	start(EMU_LONG64, 0, true);
	memcpy(mem + DATA, "abcdef", 6);
	memcpy(mem + DATA + 16, "abcxef", 6);
	RSI = DATA, RDI = DATA + 16, RCX = 6;
	DONE("f3 a6");				/* until they differ */
	CHECK_EQ(RCX, 2);
	CHECK_EQ(RSI, DATA + 4);
	CHECK_EQ(FLAG(ZF), 0);
	CHECK_EQ(FLAG(CF), 1);			/* 'd' is less than 'x' */
	RDI = DATA, RCX = 6, RAX = 'c';
	DONE("f2 ae");				/* until found */
	CHECK_EQ(RDI, DATA + 3);
	CHECK_EQ(FLAG(ZF), 1);
	FLAGS |= FL_DF;
	RDI = DATA + 5, RCX = 6, RAX = 'b';
	DONE("f2 ae");
	CHECK_EQ(RDI, DATA);
	memset(mem + DATA, 0, 32);
}

static void device_read_pends(void)
{
	start(EMU_LONG64, 0, true);
	m.mmio_base = 0x180000, m.mmio_size = 0x1000;
	RSI = 0x180000, RDI = DATA, RCX = 2;
	CHECK_EQ(step("f3 a5"), EMU_IO_PENDING);
	CHECK_EQ(RCX, 2);
	CHECK_EQ(RSI, 0x180000);
	m.mmio_ready = true;
	m.mmio_value = 0x11223344;
	DONE("f3 a5");
	CHECK_EQ(get(DATA, 8), 0x1122334411223344ull);
	CHECK_EQ(m.mmio_reads, 2);
	start(EMU_LONG64, 0, true);
	m.mmio_base = 0x180000, m.mmio_size = 0x1000, m.mmio_ready = true;
	RSI = DATA, RDI = 0x180000, RCX = 3;
	CHECK_EQ(step("f3 a5"), EMU_RETRY);	/* a write that is queued ends the iteration */
	CHECK_EQ(RCX, 2);
	CHECK_EQ(m.mmio_writes, 1);
	CHECK_EQ(again(), EMU_RETRY);
	CHECK_EQ(again(), EMU_DONE);
	CHECK_EQ(m.mmio_writes, 3);
	start(EMU_LONG64, 0, true);
	m.mmio_base = 0x180000, m.mmio_size = 0x1000;
	RBX = 0x180000, RAX = 1;
	CHECK_EQ(step("01 03"), EMU_IO_PENDING);
	CHECK_EQ(RIP, CODE);
	m.mmio_ready = true;
	m.mmio_value = 0x41;
	CHECK_EQ(again(), EMU_DONE);		/* one read and one write, locked or not */
	CHECK_EQ(m.mmio_reads, 1);
	CHECK_EQ(m.mmio_writes, 1);
	CHECK_EQ(m.mmio_value, 0x42);
	RIP = CODE;
	DONE("f0 01 03");
	CHECK_EQ(m.mmio_reads, 2);
	CHECK_EQ(m.mmio_writes, 2);
	CHECK_EQ(m.mmio_value, 0x43);
}

static void locked(void)
{
	start(EMU_LONG64, 0, true);
	RBX = DATA, RAX = 5;
	put(DATA, 10, 8);
	m.lose_race = true;
	CHECK_EQ(step("f0 48 0f c1 03"), EMU_RETRY);	/* lock xadd: somebody was faster */
	CHECK_EQ(RAX, 5);
	CHECK_EQ(RIP, CODE);
	CHECK_EQ(get(DATA, 8), 10);
	DONE("f0 48 0f c1 03");
	CHECK_EQ(RAX, 10);
	CHECK_EQ(get(DATA, 8), 15);
	m.lose_race = true;
	CHECK_EQ(step("87 03"), EMU_RETRY);		/* XCHG is locked without the prefix */
	RIP = CODE;
	put(DATA, 1, 8), put(DATA + 8, 2, 8);
	RAX = 1, RDX = 2, RCX = 4;
	m.ctx.regs[3] = DATA;
	DONE("f0 48 0f c7 0b");
	CHECK_EQ(get(DATA, 8), DATA);
	CHECK_EQ(get(DATA + 8, 8), 4);
	CHECK_EQ(FLAG(ZF), 1);
	RBX = DATA + 8;
	FAULT("f0 48 0f c7 0b", VEC_GP, 0);		/* 16 bytes have to be aligned */
	RBP = 1ull << 47 | 8;
	FAULT("48 0f c7 4d 00", VEC_GP, 0);		/* before anything else is looked at */
	RBP = 1ull << 47;
	FAULT("48 0f c7 4d 00", VEC_SS, 0);
	FAULT("f0 01 c0", VEC_UD, NOERR);
	FAULT("f0 8b 03", VEC_UD, NOERR);
	memset(mem + DATA, 0, 16);
}

static void ports(void)
{
	start(EMU_LONG64, 0, true);
	m.in_value = 0x87654321;
	RAX = ~0ull, RDX = 0x11000;
	DONE("ec");
	CHECK_EQ(RAX, 0xffffffffffffff21ull);
	CHECK_EQ(m.port, 0x1000);
	DONE("66 e5 80");
	CHECK_EQ(RAX, 0xffffffffffff4321ull);
	CHECK_EQ(m.port, 0x80);
	DONE("ed");
	CHECK_EQ(RAX, 0x87654321);
	DONE("e4 10");
	RAX = 0xaabbccdd;
	DONE("ee");
	CHECK_EQ(m.out_value, 0xdd);
	m.out_value = 0;
	DONE("e7 10");
	CHECK_EQ(m.out_value, 0xaabbccdd);
	DONE("e6 10");
	DONE("48 ef");				/* REX.W: still 32 bits */
	CHECK_EQ(m.out_value, 0xaabbccdd);
	start(EMU_LONG64, 0, true);
	m.in_value = 0x0201;
	m.pio_limit = 5;
	RDI = DATA, RCX = 12, RDX = 0x1000;
	DONE("66 f3 6d");			/* in pieces of five */
	CHECK_EQ(m.pio_in, 12);
	CHECK_EQ(RDI, DATA + 24);
	CHECK_EQ(get(DATA + 22, 4), 0x0201);
	memset(mem + DATA, 0, 32);
	start(EMU_LONG64, 0, true);
	m.region[0].size = DATA + 0x1000;
	RDI = DATA + 0xffe, RCX = 4, RDX = 0x1000;
	FAULT("f3 6c", VEC_PF, 2);		/* the port is not read when there is no place for it */
	CHECK_EQ(m.pio_in, 2);
	CHECK_EQ(RCX, 2);
	start(EMU_LONG64, 0, true);
	FLAGS |= FL_DF;
	RSI = DATA + 8, RCX = 3, RDX = 0x1000;
	put(DATA, 0x1111, 4), put(DATA + 4, 0x2222, 4), put(DATA + 8, 0x3333, 4);
	DONE("f3 6f");
	CHECK_EQ(m.out_value, 0x1111);
	CHECK_EQ(RSI, DATA - 4);
	DONE("6e");
	FLAGS &= ~FL_DF;
	DONE("6c");
	DONE("6d");
}

static void permission(void)
{
	start(EMU_PROT32, 3, false);
	RDX = 0x10;
	FAULT("ec", VEC_GP, 0);			/* IOPL 0, bits set */
	FAULT("6e", VEC_GP, 0);
	FAULT("e6 10", VEC_GP, 0);
	mem[TSS + 0x88 + 2] = 0xf0;		/* ports 10 to 13 */
	DONE("ec");
	DONE("ed");
	RDX = 0x11;
	FAULT("ed", VEC_GP, 0);			/* one of four is closed */
	RDX = 0xffff;
	FAULT("ec", VEC_GP, 0);			/* behind the TSS limit */
	FLAGS |= FL_IOPL;
	DONE("ec");
	start(EMU_VM86, 3, false);		/* IOPL does not matter there */
	RDX = 0x20;
	FAULT("ec", VEC_GP, 0);
	mem[TSS + 0x88 + 4] = 0xfe;
	DONE("ec");
	start(EMU_PROT32, 0, false);
	DONE("ec");
	start(EMU_PROT32, 3, false);
	DONE("90");
	FAULT("fa", VEC_GP, 0);
	FAULT("fb", VEC_GP, 0);
	m.cr4 |= C4_PVI;
	DONE("fb");
	CHECK_EQ(FLAG(VIF), 1);
	DONE("fa");
	CHECK_EQ(FLAG(VIF), 0);
	CHECK_EQ(FLAG(IF), 1);
}

void string_tests(void)
{
	run_test("repeated instructions are bounded", bounded);
	run_test("a fault in the middle", fault_in_the_middle);
	run_test("CMPS and SCAS", compare_and_scan);
	run_test("device accesses: reads pend, writes are queued, once each", device_read_pends);
	run_test("locked instructions", locked);
	run_test("ports", ports);
	run_test("port and interrupt-flag permission", permission);
}

static void steps_and_shadows(void)
{
	start(EMU_LONG64, 0, true);
	FLAGS |= FL_TF;
	DONE("90");
	CHECK_EQ(m.ctx.db_hits, DR6_BS);
	RAX = S_DATA32;
	DONE("8e d0");
	CHECK_EQ(m.ctx.db_hits, 0);		/* not behind MOV SS */
	DONE("90");
	CHECK_EQ(m.ctx.db_hits, DR6_BS);
	RCX = 3, RDI = DATA;
	CHECK_EQ(step("f3 aa"), EMU_RETRY);	/* each iteration is a step */
	CHECK_EQ(m.ctx.db_hits, DR6_BS);
	CHECK_EQ(RCX, 2);
	put(STACK0 - 8, 2, 8);
	RSP = STACK0 - 8;
	DONE("9d");				/* POPF that clears TF: the flag as it was counts */
	CHECK_EQ(m.ctx.db_hits, DR6_BS);
	put(STACK0 - 8, 2 | FL_TF, 8);
	RSP = STACK0 - 8;
	DONE("9d");
	CHECK_EQ(m.ctx.db_hits, 0);
	FLAGS = 2;
	DONE("fb");
	CHECK_EQ(m.ctx.shadow, EMU_SHADOW_STI);
	DONE("fb");
	CHECK_EQ(m.ctx.shadow, EMU_SHADOW_NONE);	/* it was on already */
	DONE("fa");
	CHECK_EQ(FLAG(IF), 0);
	FLAGS |= FL_RF;
	DONE("90");
	CHECK_EQ(FLAG(RF), 0);
}

static void breakpoints(void)
{
	start(EMU_LONG64, 0, true);
	m.dr[0] = CODE;
	m.ctx.dr7 = 0x402;			/* execution, at 0 */
	FAULT("90", VEC_DB, NOERR);
	CHECK_EQ(m.ctx.fault.payload, 1);
	FLAGS |= FL_RF;
	DONE("90");
	CHECK_EQ(FLAG(RF), 0);
	for (int amd = 0; amd < 2; amd++) {	/* behind MOV SS: there on AMD, not on Intel */
		start(EMU_LONG64, 0, true);
		m.dr[0] = CODE + 2;
		m.ctx.dr7 = 0x402;
		m.ctx.amd = amd;
		RAX = S_DATA32;
		DONE("8e d0 90");
		CHECK_EQ(m.ctx.shadow, EMU_SHADOW_MOVSS);
		if (amd) {
			CHECK_EQ(emu_step(&m.ctx), EMU_FAULT);
			CHECK_EQ(m.ctx.fault.payload, 1);
		} else {
			CHECK_EQ(emu_step(&m.ctx), EMU_DONE);
		}
	}
	start(EMU_LONG64, 0, true);
	m.dr[1] = DATA + 4;
	m.ctx.dr7 = 8 | 0xdu << 20;		/* write, four bytes, at 1 */
	RBX = DATA;
	DONE("8b 43 04");
	CHECK_EQ(m.ctx.db_hits, 0);
	DONE("88 43 03");
	CHECK_EQ(m.ctx.db_hits, 0);
	DONE("88 43 07");
	CHECK_EQ(m.ctx.db_hits, 2);
	DONE("89 43 01");			/* overlaps */
	CHECK_EQ(m.ctx.db_hits, 2);
	m.ctx.dr7 = 8 | 0xfu << 20;
	DONE("8b 43 04");
	CHECK_EQ(m.ctx.db_hits, 2);
	RDI = DATA, RCX = 4;
	CHECK_EQ(step("f3 ab"), EMU_RETRY);	/* after the iteration that hit it */
	CHECK_EQ(RCX, 2);
	CHECK_EQ(m.ctx.db_hits, 2);
	start(EMU_LONG64, 0, true);
	m.dr[2] = 0x80;
	m.ctx.dr7 = 0x20 | 2u << 24;		/* port, at 2 */
	DONE("e6 80");
	CHECK_EQ(m.ctx.db_hits, 0);		/* wants CR4.DE */
	m.cr4 |= C4_DE;
	DONE("e6 80");
	CHECK_EQ(m.ctx.db_hits, 4);
	memset(mem + DATA, 0, 32);
}

static void fetch_limits(void)
{
	start(EMU_LONG64, 0, true);
	FAULT("66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", VEC_GP, 0);	/* sixteen bytes */
	DONE("66 66 66 66 66 66 66 66 66 66 66 66 66 66 90");
	RIP = 1ull << 47;
	FAULTED(emu_step(&m.ctx), VEC_GP, 0);
	RIP = NOWHERE;
	FAULTED(emu_step(&m.ctx), VEC_PF, 16);
	RIP = sizeof(mem) - 1;
	mem[sizeof(mem) - 1] = 0xb8;
	FAULTED(emu_step(&m.ctx), VEC_PF, 16);
	CHECK_EQ(m.ctx.fault.payload, sizeof(mem));
	mem[sizeof(mem) - 1] = 0;
	RIP = CODE;
	CHECK_EQ(step("0f 58 c0"), EMU_UNHANDLED);	/* ADDPS: known, not ours */
	CHECK_EQ(m.ctx.why, EMU_WHY_OPCODE);
	CHECK_EQ(m.ctx.insn.len, 3);
	DONE("90");
	RIP = CODE;
	m.ctx.insn.mode = EMU_REAL16;
	CHECK_EQ(again(), EMU_UNHANDLED);		/* a record of another mode */
	start(EMU_LONG64, 3, true);
	m.cr0 |= C0_TS;
	FAULT("0f 28 c1", VEC_NM, NOERR);
	FAULT("d9 03", VEC_NM, NOERR);
	m.cr0 = (m.cr0 & ~C0_TS) | C0_EM;
	FAULT("0f 28 c1", VEC_UD, NOERR);
	FAULT("d9 03", VEC_NM, NOERR);
	m.cr0 &= ~C0_EM;
	m.cr4 &= ~(C4_OSFXSR | C4_OSXSAVE);
	FAULT("0f 28 c1", VEC_UD, NOERR);
	FAULT("c5 f8 28 c1", VEC_UD, NOERR);
}

void debug_tests(void)
{
	run_test("single steps and shadows", steps_and_shadows);
	run_test("breakpoints", breakpoints);
	run_test("fetching, and what is not executed", fetch_limits);
}
