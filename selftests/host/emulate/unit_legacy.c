// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that 64-bit code does not have: on hosts without an LDT nothing else executes them. And what vendors do in
 * different ways, of which emucheck on one CPU sees one.
 */
#include <stdio.h>
#include "unit.h"

static u32 adjust(const char *hex, u32 ax, u64 flags)
{
	start(EMU_PROT32, 3, false);
	RAX = ax;
	FLAGS |= flags;
	DONE(hex);
	return RAX;
}

static void decimal(void)
{
	CHECK_EQ(adjust("27", 0xae, 0), 0x14);		/* 79 + 35 */
	CHECK_EQ(FLAG(CF) && FLAG(AF), 1);
	CHECK_EQ(adjust("27", 0x12, 0), 0x12);
	CHECK_EQ(FLAG(CF) || FLAG(AF), 0);
	CHECK_EQ(adjust("27", 0x12, FL_AF), 0x18);
	CHECK_EQ(adjust("27", 0x12, FL_CF), 0x72);
	CHECK_EQ(adjust("2f", 0xee, FL_CF | FL_AF), 0x88);	/* 35 - 47 */
	CHECK_EQ(FLAG(CF), 1);
	CHECK_EQ(adjust("37", 0x000f, 0), 0x0105);
	CHECK_EQ(FLAG(CF), 1);
	CHECK_EQ(adjust("37", 0x0012, 0), 0x0002);
	CHECK_EQ(adjust("3f", 0x020b, 0), 0x0105);
	CHECK_EQ(adjust("3f", 0x0203, 0), 0x0203);
	CHECK_EQ(adjust("d4 0a", 0x0037, 0), 0x0505);
	CHECK_EQ(adjust("d4 10", 0x00ab, 0), 0x0a0b);
	CHECK_EQ(adjust("d5 0a", 0x0505, 0), 0x0037);
	CHECK_EQ(adjust("d6", 0x1100, FL_CF), 0x11ff);	/* salc */
	CHECK_EQ(adjust("d6", 0x11aa, 0), 0x1100);
	FAULT("d4 00", VEC_DE, NOERR);
}

static void short_forms(void)
{
	char hex[8];

	for (unsigned int i = 0; i < 8; i++) {
		start(EMU_PROT32, 3, false);
		m.ctx.regs[i] = 0xffffffff;
		snprintf(hex, sizeof(hex), "%02x", 0x40 + i);
		DONE(hex);
		CHECK_EQ(m.ctx.regs[i], 0);
		snprintf(hex, sizeof(hex), "%02x", 0x48 + i);
		DONE(hex);
		CHECK_EQ(m.ctx.regs[i], 0xffffffff);
	}
	/* 82: the byte group again. AL is 0f, the operand 35, carry set. */
	static const u8 want[8] = { 0x44, 0x3f, 0x45, 0xd9, 0x05, 0xda, 0x3a, 0x0f };

	for (unsigned int i = 0; i < 8; i++) {
		start(EMU_PROT32, 3, false);
		RAX = 0x0f;
		FLAGS |= FL_CF;
		snprintf(hex, sizeof(hex), "82%02x35", 0xc0 | i << 3);
		DONE(hex);
		CHECK_EQ(RAX, want[i]);
	}
}

static void stack_forms(void)
{
	static const char *const push[4] = { "06", "0e", "16", "1e" };
	static const u8 seg[4] = { EMU_ES, EMU_CS, EMU_SS, EMU_DS };

	for (unsigned int i = 0; i < 4; i++) {
		start(EMU_PROT32, 3, false);
		DONE(push[i]);
		CHECK_EQ(get(STACK3 - 4, 2), m.seg[seg[i]].sel);
		CHECK_EQ(RSP, STACK3 - 4);
	}
	start(EMU_PROT32, 3, false);
	put(STACK3, S_CONFORM, 4);
	DONE("07");
	CHECK_EQ(m.seg[EMU_ES].sel, S_CONFORM);
	RSP = STACK3;
	DONE("1f");
	CHECK_EQ(m.seg[EMU_DS].sel, S_CONFORM);
	RSP = STACK3;
	FAULT("17", VEC_GP, S_CONFORM);
	put(STACK3, S_DATA32_3 | 3, 4);
	DONE("17");
	CHECK_EQ(m.ctx.shadow, EMU_SHADOW_MOVSS);
	start(EMU_PROT32, 3, false);
	for (unsigned int i = 0; i < 8; i++)
		if (i != EMU_RSP)
			m.ctx.regs[i] = i + 1;
	DONE("60");
	CHECK_EQ(RSP, STACK3 - 32);
	CHECK_EQ(get(STACK3 - 4, 4), 1);
	CHECK_EQ(get(STACK3 - 20, 4), STACK3);		/* ESP as it was */
	CHECK_EQ(get(STACK3 - 32, 4), 8);
	memset(m.ctx.regs, 0, 4 * 8);
	DONE("61");
	CHECK_EQ(RAX, 1);
	CHECK_EQ(RBX, 4);
	CHECK_EQ(RSP, STACK3);
	DONE("66 60");
	CHECK_EQ(RSP, STACK3 - 16);
	DONE("66 61");
}

static void pointers_and_bounds(void)
{
	start(EMU_PROT32, 3, false);
	RBX = DATA;
	put(DATA, 0x12345678, 4);
	put(DATA + 4, S_CONFORM, 2);
	DONE("c4 0b");					/* les (%ebx), %ecx */
	CHECK_EQ(RCX, 0x12345678);
	CHECK_EQ(m.seg[EMU_ES].sel, S_CONFORM);
	DONE("c5 0b");
	CHECK_EQ(m.seg[EMU_DS].sel, S_CONFORM);
	start(EMU_PROT32, 3, false);
	RBX = DATA, RCX = 7;
	put(DATA + 4, S_DATA32, 2);
	FAULT("c5 0b", VEC_GP, S_DATA32);
	CHECK_EQ(RCX, 7);
	put(DATA, -5u, 4), put(DATA + 4, 5, 4);
	RAX = 5;
	DONE("62 03");
	RAX = -5u;
	DONE("62 03");
	RAX = 6;
	FAULT("62 03", VEC_BR, NOERR);
	RAX = -6u;
	FAULT("62 03", VEC_BR, NOERR);
	RAX = 0x10, RCX = 3;
	DONE("63 c8");					/* arpl %cx, %ax */
	CHECK_EQ(RAX, 0x13);
	CHECK_EQ(FLAG(ZF), 1);
	RCX = 1;
	DONE("63 c8");
	CHECK_EQ(RAX, 0x13);
	CHECK_EQ(FLAG(ZF), 0);
	DONE("0f 0d c0");				/* Intel: a NOP; AMD: none */
	m.ctx.amd = true;
	FAULT("0f 0d c0", VEC_UD, NOERR);
	start(EMU_REAL16, 0, false);
	FAULT("63 c8", VEC_UD, NOERR);
}

static void gone_in_64bit(void)
{
	static const char *const gone[] = { "06", "07", "0e", "16", "17", "1e", "1f", "27", "2f", "37", "3f", "60", "61", "82 c0 00",
		"9a 00 00 00 00 00 00", "ce", "d4 0a", "d5 0a", "d6", "ea 00 00 00 00 00 00" };

	start(EMU_LONG64, 3, true);
	for (unsigned int i = 0; i < ARRAY_SIZE(gone); i++)
		FAULT(gone[i], VEC_UD, NOERR);
}

/* What was decoded at an address is used again only for the same bytes in the same mode for the same vendor. */
static void met_again(void)
{
	start(EMU_LONG64, 0, true);
	for (unsigned int i = 0; i < 4; i++) {
		RIP = CODE;
		RAX = 5;
		DONE("48 ff c0 90 90 90 90 90 90 90 90 90 90 90 90");
		CHECK_EQ(RAX, 6);
		CHECK_EQ(RIP, CODE + 3);
		RIP = CODE;
		DONE(i & 1 ? "48 ff c8 90 90 90 90 90 90 90 90 90 90 90 90" : "48 05 01 00 00 00 90 90 90 90 90 90 90 90 90");
		CHECK_EQ(RAX, i & 1 ? 5 : 7);
		RIP = CODE;
		RAX = 5;
		m.ctx.mode = EMU_PROT32;
		DONE("48 ff c0 90 90 90 90 90 90 90 90 90 90 90 90");	/* DEC EAX */
		CHECK_EQ(RAX, 4);
		CHECK_EQ(RIP, CODE + 1);
		m.ctx.mode = EMU_LONG64;
	}
	RIP = CODE;
	DONE("0f 0d c0 90 90 90 90 90 90 90 90 90 90 90 90");	/* Intel: a NOP; AMD: none */
	RIP = CODE;
	m.ctx.amd = true;
	FAULT("0f 0d c0 90 90 90 90 90 90 90 90 90 90 90 90", VEC_UD, NOERR);
}

static void vendors(void)
{
	for (int amd = 0; amd < 2; amd++) {
		start(EMU_LONG64, 3, true);
		m.ctx.amd = amd;
		RAX = 5;
		RBX = 0x100000007;
		DONE("0f b1 cb");			/* cmpxchg %ecx, %ebx: different */
		CHECK_EQ(RAX, 7);
		CHECK_EQ(RBX, 0x100000007);
		RCX = NOWHERE;
		FAULT("63 01", VEC_PF, 4);
	}
	start(EMU_LONG64, 3, true);
	RAX = ~0ull;
	RBX = sizeof(mem) - 2;				/* the last two bytes of memory */
	put(RBX, 0x8001, 2);
	DONE("66 63 03");				/* Intel's MOVSXD of 16 bits reads no more */
	CHECK_EQ(RAX, 0xffffffffffff8001);
	m.ctx.amd = true;
	FAULT("66 63 03", VEC_PF, 4);
	CHECK_EQ(m.ctx.fault.payload, sizeof(mem));
}

void legacy_tests(void)
{
	run_test("decimal arithmetic", decimal);
	run_test("INC, DEC of one byte, group 82", short_forms);
	run_test("segments and all registers on the stack", stack_forms);
	run_test("LES, LDS, BOUND, ARPL", pointers_and_bounds);
	run_test("an instruction met again", met_again);
	run_test("what 64-bit mode does not have", gone_in_64bit);
	run_test("MOVSXD and CMPXCHG, Intel's and AMD's", vendors);
}
