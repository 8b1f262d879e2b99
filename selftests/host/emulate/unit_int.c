// SPDX-License-Identifier: GPL-2.0-only
/* Delivery of interrupts and exceptions in every mode, INT and its kin, virtual-8086 redirection; IRET. */
#include "unit.h"

static enum emu_result deliver(u8 vector, enum emu_event kind, s64 error)
{
	return emu_deliver_event(&m.ctx, vector, kind, error >= 0, error);
}

static void real_mode(void)
{
	start(EMU_REAL16, 0, false);
	put(0x21 * 4, 0x12345678, 4);
	FLAGS = 2 | FL_IF | FL_TF | FL_AC | FL_CF;
	DONE("cd 21");
	CHECK_EQ(m.seg[EMU_CS].sel, 0x1234);
	CHECK_EQ(m.seg[EMU_CS].base, 0x12340);
	CHECK_EQ(RIP, 0x5678);
	CHECK_EQ(FLAGS, 2 | FL_CF);
	CHECK_EQ(RSP, 0x7fa);
	CHECK_EQ(get(STACK0 + 0x7fa, 2), 2);
	CHECK_EQ(get(STACK0 + 0x7fc, 2), CODE >> 4);
	CHECK_EQ(get(STACK0 + 0x7fe, 2), 2 | FL_IF | FL_TF | FL_CF);
	start(EMU_REAL16, 0, false);
	RIP = 0x77;
	CHECK_EQ(emu_deliver_real_mode_interrupt(&m.ctx, 8), EMU_DONE);
	CHECK_EQ(get(STACK0 + 0x7fa, 2), 0x77);
	m.idt.limit = 0x21 * 4 + 2;
	CHECK_EQ(step("cd 21"), EMU_FAULT);
	CHECK_EQ(m.ctx.fault.vector, VEC_GP);
	start(EMU_PROT32, 0, false);
	CHECK_EQ(emu_deliver_real_mode_interrupt(&m.ctx, 8), EMU_UNHANDLED);
}

static void same_privilege(void)
{
	start(EMU_PROT32, 0, false);
	set_gate(0x40, SYS_INT32, 0, S_CODE32, HANDLER);
	FLAGS |= FL_TF | FL_NT | FL_CF;
	DONE("cd 40");
	CHECK_EQ(RIP, HANDLER);
	CHECK_EQ(FLAGS, 2 | FL_CF);
	CHECK_EQ(RSP, STACK0 - 12);
	CHECK_EQ(get(STACK0 - 12, 4), CODE + 2);
	CHECK_EQ(get(STACK0 - 8, 4), S_CODE32);
	CHECK_EQ(get(STACK0 - 4, 4), 2 | FL_IF | FL_TF | FL_NT | FL_CF);
	start(EMU_PROT32, 0, false);
	set_gate(0x40, SYS_TRAP32, 0, S_CODE32, HANDLER);
	DONE("cd 40");
	CHECK_EQ(FLAG(IF), 1);			/* a trap gate leaves it */
	start(EMU_PROT32, 0, false);
	set_gate(0x40, SYS_INT16, 0, S_CODE16, 0x1234);
	DONE("cd 40");
	CHECK_EQ(RSP, STACK0 - 6);
	CHECK_EQ(get(STACK0 - 6, 2), (CODE + 2) & 0xffff);
	CHECK_EQ(m.ctx.mode, EMU_PROT16);
	start(EMU_PROT32, 0, false);
	set_gate(VEC_GP, SYS_INT32, 0, S_CODE32, HANDLER);
	CHECK_EQ(deliver(VEC_GP, EMU_EV_EXCEPTION, 0x1234), EMU_DONE);
	CHECK_EQ(get(STACK0 - 16, 4), 0x1234);
	CHECK_EQ(get(STACK0 - 12, 4), CODE);
	CHECK_EQ(get(STACK0 - 4, 4), 2 | FL_IF | FL_RF);	/* a fault comes back with RF */
	start(EMU_PROT32, 0, false);
	set_gate(0x40, SYS_INT32, 0, S_CODE32, HANDLER);
	CHECK_EQ(deliver(0x40, EMU_EV_EXTERNAL, -1), EMU_DONE);
	CHECK_EQ(get(STACK0 - 4, 4), 2 | FL_IF);
}

static void inner_privilege(void)
{
	start(EMU_PROT32, 3, false);
	set_gate(0x40, SYS_INT32, 3, S_CODE32, HANDLER);
	DONE("cd 40");
	CHECK_EQ(m.ctx.cpl, 0);
	CHECK_EQ(m.seg[EMU_SS].sel, S_DATA32);
	CHECK_EQ(m.seg[EMU_DS].sel, S_DATA32_3 | 3);	/* the others stay */
	CHECK_EQ(RSP, STACK0 + 0x800 - 20);
	CHECK_EQ(get(STACK0 + 0x800 - 4, 4), S_DATA32_3 | 3);
	CHECK_EQ(get(STACK0 + 0x800 - 8, 4), STACK3);
	CHECK_EQ(get(STACK0 + 0x800 - 16, 4), S_CODE32_3 | 3);
	start(EMU_PROT32, 3, false);
	set_gate(0x40, SYS_INT32, 3, S_CONFORM, HANDLER);
	DONE("cd 40");
	CHECK_EQ(m.ctx.cpl, 3);
	CHECK_EQ(RSP, STACK3 - 12);
}

/* Error codes: vector times 8, bit 1 for the IDT, bit 0 when the program did not ask for it. */
static void gate_checks(void)
{
	start(EMU_PROT32, 3, false);
	set_gate(0x40, SYS_INT32, 0, S_CODE32, HANDLER);
	FAULT("cd 40", VEC_GP, 0x40 * 8 + 2);
	CHECK_EQ(deliver(0x40, EMU_EV_EXTERNAL, -1), EMU_DONE);
	start(EMU_PROT32, 0, false);
	set_gate(0x40, SYS_CALL32, 3, S_CODE32, HANDLER);
	FAULTED(deliver(0x40, EMU_EV_EXTERNAL, -1), VEC_GP, 0x40 * 8 + 3);
	set_gate(0x40, SYS_INT32, 3, S_CODE32, HANDLER);
	mem[IDT + 0x40 * 8 + 5] &= 0x7f;
	FAULT("cd 40", VEC_NP, 0x40 * 8 + 2);
	FAULTED(deliver(0x40, EMU_EV_EXCEPTION, -1), VEC_NP, 0x40 * 8 + 3);
	set_gate(0x40, SYS_INT32, 3, 0, HANDLER);
	FAULT("cd 40", VEC_GP, 0);
	FAULTED(deliver(0x40, EMU_EV_EXTERNAL, -1), VEC_GP, 1);
	set_gate(0x40, SYS_INT32, 3, S_DATA32, HANDLER);
	FAULTED(deliver(0x40, EMU_EV_EXTERNAL, -1), VEC_GP, S_DATA32 | 1);
	set_gate(0x40, SYS_INT32, 3, S_CODE_NP, HANDLER);
	FAULT("cd 40", VEC_NP, S_CODE_NP);
	set_gate(0x40, SYS_INT32, 3, S_SMALL, 0x100);
	FAULT("cd 40", VEC_GP, 0);
	m.idt.limit = 0x40 * 8 + 6;
	FAULT("cd 40", VEC_GP, 0x40 * 8 + 2);
	m.idt.base = NOWHERE;
	FAULT("cd 3f", VEC_PF, 0);
	CHECK_EQ(RSP, STACK0);
	CHECK_EQ(RIP, CODE);
	CHECK_EQ(FLAGS, 2 | FL_IF);
}

static void long_mode(void)
{
	start(EMU_LONG64, 0, true);
	set_gate(0x40, SYS_INT32, 0, S_CODE64, 0xffff800012345678ull);
	RSP = STACK0 + 5;
	DONE("cd 40");
	CHECK_EQ(RIP, 0xffff800012345678ull);
	CHECK_EQ(RSP, STACK0 - 40);		/* aligned, and SS:RSP always pushed */
	CHECK_EQ(get(STACK0 - 8, 8), S_DATA32);
	CHECK_EQ(get(STACK0 - 16, 8), STACK0 + 5);
	CHECK_EQ(get(STACK0 - 40, 8), CODE + 2);
	CHECK_EQ(m.seg[EMU_SS].sel, S_DATA32);	/* same privilege: SS stays */
	start(EMU_LONG64, 3, true);
	set_gate(0x40, SYS_INT32, 3, S_CODE64, HANDLER);
	DONE("cd 40");
	CHECK_EQ(RSP, STACK0 + 0x800 - 40);
	CHECK_EQ(m.seg[EMU_SS].sel, 0);
	start(EMU_LONG64, 0, true);
	set_gate(VEC_PF, SYS_INT32, 0, S_CODE64, HANDLER);
	mem[IDT + VEC_PF * 16 + 4] = 1;		/* IST 1 */
	CHECK_EQ(deliver(VEC_PF, EMU_EV_EXCEPTION, 6), EMU_DONE);
	CHECK_EQ(RSP, STACK0 + 0x900 - 48);
	CHECK_EQ(get(STACK0 + 0x900 - 48, 8), 6);
	start(EMU_LONG64, 0, true);
	set_gate(0x40, SYS_INT32, 0, S_CODE32, HANDLER);
	FAULT("cd 40", VEC_GP, S_CODE32);
	set_gate(0x40, SYS_INT32, 0, S_CODE64, 1ull << 47);
	FAULT("cd 40", VEC_GP, 0);
	set_gate(0x40, SYS_INT16, 0, S_CODE64, HANDLER);
	FAULT("cd 40", VEC_GP, 0x40 * 8 + 2);
	set_gate(0x40, SYS_INT32, 0, S_CODE64, HANDLER);
	RSP = (1ull << 47) + 0x100;
	FAULT("cd 40", VEC_SS, 0);
	start(EMU_PROT32, 3, true);		/* from compatibility mode */
	set_gate(0x40, SYS_INT32, 3, S_CODE64, HANDLER);
	DONE("cd 40");
	CHECK_EQ(m.ctx.mode, EMU_LONG64);
	CHECK_EQ(get(STACK0 + 0x800 - 32, 8), S_CODE32_3 | 3);
}

static void one_byte_forms(void)
{
	start(EMU_PROT32, 3, false);
	set_gate(VEC_BP, SYS_INT32, 3, S_CODE32, HANDLER);
	set_gate(VEC_OF, SYS_INT32, 3, S_CODE32, HANDLER);
	set_gate(VEC_DB, SYS_INT32, 0, S_CODE32, HANDLER);
	FAULT("cd 01", VEC_GP, 8 + 2);
	DONE("ce");				/* OF is clear */
	CHECK_EQ(RIP, CODE + 1);
	DONE("cc");
	CHECK_EQ(get(STACK0 + 0x800 - 20, 4), CODE + 2);
	start(EMU_PROT32, 3, false);
	set_gate(VEC_OF, SYS_INT32, 3, S_CODE32, HANDLER);
	FLAGS |= FL_OF;
	DONE("ce");
	CHECK_EQ(get(STACK0 + 0x800 - 20, 4), CODE + 1);
	start(EMU_PROT32, 3, false);
	set_gate(VEC_DB, SYS_INT32, 0, S_CODE32, HANDLER);
	DONE("f1");				/* the gate's privilege does not count */
	CHECK_EQ(m.ctx.cpl, 0);
	start(EMU_LONG64, 0, true);
	FAULT("ce", VEC_UD, NOERR);
}

static void from_vm86(void)
{
	start(EMU_VM86, 3, false);
	set_gate(0x40, SYS_INT32, 3, S_CODE32, HANDLER);
	DONE("cd 40");				/* IOPL 3, no VME: through the IDT */
	CHECK_EQ(m.ctx.mode, EMU_PROT32);
	CHECK_EQ(m.ctx.cpl, 0);
	CHECK_EQ(RSP, STACK0 + 0x800 - 36);
	CHECK_EQ(get(STACK0 + 0x800 - 4, 4), DATA >> 4);	/* GS, FS, DS, ES */
	CHECK_EQ(get(STACK0 + 0x800 - 16, 4), DATA >> 4);
	CHECK_EQ(get(STACK0 + 0x800 - 20, 4), STACK0 >> 4);
	CHECK_EQ(get(STACK0 + 0x800 - 24, 4), 0x800);
	CHECK_EQ(get(STACK0 + 0x800 - 28, 4), 2 | FL_IF | FL_VM | FL_IOPL);
	CHECK_EQ(get(STACK0 + 0x800 - 32, 4), CODE >> 4);
	CHECK_EQ(get(STACK0 + 0x800 - 36, 4), 2);
	CHECK_EQ(FLAG(VM), 0);
	CHECK_EQ(m.seg[EMU_DS].sel, 0);
	CHECK_EQ(m.seg[EMU_GS].attr & EMU_AR_UNUSABLE, EMU_AR_UNUSABLE);
	start(EMU_VM86, 3, false);
	FLAGS &= ~FL_IOPL;
	set_gate(0x40, SYS_INT32, 3, S_CODE32, HANDLER);
	FAULT("cd 40", VEC_GP, 0);
	FAULT("cf", VEC_GP, 0);
	FAULT("9c", VEC_GP, 0);
	FAULT("9d", VEC_GP, 0);
	FAULT("fa", VEC_GP, 0);
	FAULT("fb", VEC_GP, 0);
	start(EMU_VM86, 3, false);
	set_gate(0x40, SYS_INT32, 3, S_CODE32_3, HANDLER);
	FAULT("cd 40", VEC_GP, S_CODE32_3);	/* the handler has to be of privilege 0 */
}

static void redirection(void)
{
	start(EMU_VM86, 3, false);
	m.cr4 |= C4_VME;
	put(0x40 * 4, 0x20001234, 4);
	mem[TSS + 0x88 - 32 + 8] = 0;		/* bit of vector 40 is clear: the program's own table */
	DONE("cd 40");
	CHECK_EQ(m.ctx.mode, EMU_VM86);
	CHECK_EQ(m.seg[EMU_CS].base, 0x20000);
	CHECK_EQ(RIP, 0x1234);
	CHECK_EQ(FLAG(IF), 0);
	CHECK_EQ(get(STACK0 + 0x7fe, 2), 2 | FL_IF | FL_IOPL);
	start(EMU_VM86, 3, false);
	m.cr4 |= C4_VME;
	FLAGS = (FLAGS & ~FL_IOPL) | FL_VIF;
	put(0x40 * 4, 0x20001234, 4);
	DONE("cd 40");				/* IOPL below 3: the virtual flag stands in */
	CHECK_EQ(FLAG(VIF), 0);
	CHECK_EQ(FLAG(IF), 1);
	CHECK_EQ(get(STACK0 + 0x7fe, 2), 2 | FL_IF | FL_IOPL);
	start(EMU_VM86, 3, false);
	m.cr4 |= C4_VME;
	FLAGS &= ~FL_IOPL;
	mem[TSS + 0x88 - 32 + 8] = 1;
	FAULT("cd 40", VEC_GP, 0);
	put(TSS + 102, 31, 2);
	FAULT("cd 40", VEC_GP, 0);		/* no room for the map */
	start(EMU_VM86, 3, false);		/* CLI, STI, PUSHF, POPF with VME */
	m.cr4 |= C4_VME;
	FLAGS = (FLAGS & ~FL_IOPL) | FL_VIF;
	DONE("fa");
	CHECK_EQ(FLAG(VIF), 0);
	CHECK_EQ(FLAG(IF), 1);
	DONE("fb");
	CHECK_EQ(FLAG(VIF), 1);
	FLAGS |= FL_VIP;
	FAULT("fb", VEC_GP, 0);
	DONE("9c");
	CHECK_EQ(get(STACK0 + 0x7fe, 2), 2 | FL_IF | FL_IOPL);	/* IF shows VIF */
	FAULT("66 9c", VEC_GP, 0);
	FAULT("9d", VEC_GP, 0);			/* would set VIF with VIP pending */
	put(STACK0 + 0x7fe, 2, 2);
	DONE("9d");
	CHECK_EQ(FLAG(VIF), 0);
}

void interrupt_tests(void)
{
	run_test("interrupts in real mode", real_mode);
	run_test("interrupt gates, same privilege", same_privilege);
	run_test("interrupt gates, more privilege", inner_privilege);
	run_test("gates' checks and error codes", gate_checks);
	run_test("interrupts in long mode", long_mode);
	run_test("INT3, INTO, INT1", one_byte_forms);
	run_test("interrupts from virtual-8086 mode", from_vm86);
	run_test("virtual-8086 redirection and virtual interrupt flag", redirection);
}

static void frame(u32 at, unsigned int size, u64 ip, u64 cs, u64 flags, u64 sp, u64 ss)
{
	const u64 v[5] = { ip, cs, flags, sp, ss };

	for (unsigned int i = 0; i < 5; i++)
		put(at + i * size, v[i], size);
}

static void iret_real(void)
{
	start(EMU_REAL16, 0, false);
	frame(STACK0 + 0x800, 2, 0x1234, 0x2000, 0xffff, 0, 0);
	DONE("cf");
	CHECK_EQ(m.seg[EMU_CS].base, 0x20000);
	CHECK_EQ(RIP, 0x1234);
	CHECK_EQ(RSP, 0x806);
	CHECK_EQ(FLAGS, 0x7fd7);
	CHECK_EQ(m.actions[EMU_ACT_NMI_UNBLOCK], 1);
	start(EMU_REAL16, 0, false);
	frame(STACK0 + 0x800, 4, 0x1234, 0x2000, FL_AC | FL_VM | FL_VIP, 0, 0);
	DONE("66 cf");
	CHECK_EQ(RSP, 0x80c);
	CHECK_EQ(FLAGS, 2 | FL_AC);		/* VM, VIF, VIP do not come from there */
	start(EMU_REAL16, 0, false);
	frame(STACK0 + 0x800, 4, 0x10000, 0x2000, 0, 0, 0);
	FAULT("66 cf", VEC_GP, 0);
	CHECK_EQ(RSP, 0x800);
	CHECK_EQ(m.actions[EMU_ACT_NMI_UNBLOCK], 0);
}

static void iret_prot(void)
{
	start(EMU_PROT32, 0, false);
	frame(STACK0, 4, HANDLER, S_CODE32, FL_IOPL | FL_IF | FL_RF | FL_CF, 0, 0);
	DONE("cf");
	CHECK_EQ(RIP, HANDLER);
	CHECK_EQ(RSP, STACK0 + 12);
	CHECK_EQ(FLAGS, 2 | FL_IOPL | FL_IF | FL_RF | FL_CF);	/* RF as the frame has it */
	start(EMU_PROT32, 0, false);
	frame(STACK0, 4, HANDLER, S_CODE32_3 | 3, FL_IF, STACK3, S_DATA32_3 | 3);
	DONE("cf");
	CHECK_EQ(m.ctx.cpl, 3);
	CHECK_EQ(RSP, STACK3);
	CHECK_EQ(m.seg[EMU_SS].sel, S_DATA32_3 | 3);
	CHECK_EQ(m.seg[EMU_DS].sel, 0);
	start(EMU_PROT32, 3, false);
	frame(STACK3, 4, HANDLER, S_CODE32_3 | 3, FL_IOPL | FL_VIF, 0, 0);
	DONE("cf");
	CHECK_EQ(FLAGS, 2 | FL_IF);		/* user code changes neither IOPL nor, without it, IF */
	start(EMU_PROT32, 3, false);
	frame(STACK3, 4, HANDLER, S_CODE32, 0, 0, 0);
	FAULT("cf", VEC_GP, S_CODE32);
	frame(STACK3, 4, HANDLER, 3, 0, 0, 0);
	FAULT("cf", VEC_GP, 0);
	start(EMU_PROT32, 0, false);
	frame(STACK0, 4, HANDLER, S_CODE32_3 | 3, FL_IF, STACK3, S_DATA32);
	FAULT("cf", VEC_GP, S_DATA32);
	frame(STACK0, 4, HANDLER, S_CODE32_3 | 3, FL_IF, STACK3, 0);
	FAULT("cf", VEC_GP, 0);
	frame(STACK0, 4, 0x100, S_SMALL, 0, 0, 0);
	FAULT("cf", VEC_GP, 0);
	CHECK_EQ(m.ctx.cpl, 0);
	CHECK_EQ(RSP, STACK0);
}

static void iret_vm86(void)
{
	start(EMU_PROT32, 0, false);
	frame(STACK0, 4, 0x1234, 0x1000, FL_VM | FL_IF | FL_IOPL, 0x800, 0x2000);
	for (unsigned int i = 0; i < 4; i++)
		put(STACK0 + 20 + i * 4, 0x3000 + i, 4);	/* ES, DS, FS, GS */
	DONE("cf");
	CHECK_EQ(m.ctx.mode, EMU_VM86);
	CHECK_EQ(m.ctx.cpl, 3);
	CHECK_EQ(m.seg[EMU_CS].base, 0x10000);
	CHECK_EQ(m.seg[EMU_SS].base, 0x20000);
	CHECK_EQ(m.seg[EMU_ES].base, 0x30000);
	CHECK_EQ(m.seg[EMU_DS].base, 0x30010);
	CHECK_EQ(m.seg[EMU_GS].base, 0x30030);
	CHECK_EQ(m.seg[EMU_GS].attr, 0xf3);
	CHECK_EQ(RSP, 0x800);
	CHECK_EQ(RIP, 0x1234);
	start(EMU_VM86, 3, false);		/* and inside of it */
	frame(STACK0 + 0x800, 2, 0x1234, 0x2000, FL_TF | FL_CF, 0, 0);
	DONE("cf");
	CHECK_EQ(FLAGS, 2 | FL_VM | FL_IOPL | FL_TF | FL_CF);
	start(EMU_VM86, 3, false);
	m.cr4 |= C4_VME;
	FLAGS &= ~FL_IOPL;
	frame(STACK0 + 0x800, 2, 0x1234, 0x2000, FL_IF, 0, 0);
	DONE("cf");
	CHECK_EQ(FLAGS, 2 | FL_VM | FL_IF | FL_VIF);
	frame(0x20000 + RSP, 2, 0x1234, 0x2000, FL_TF, 0, 0);
	FAULT("cf", VEC_GP, 0);
	FAULT("66 cf", VEC_GP, 0);
	frame(0x20000 + RSP, 2, 0x1234, 0x2000, FL_IF, 0, 0);
	FLAGS |= FL_VIP;
	FAULT("cf", VEC_GP, 0);
}

static void iret_long(void)
{
	start(EMU_LONG64, 0, true);
	frame(STACK0, 8, HANDLER, S_CODE64, FL_IF, STACK3, 0);
	DONE("48 cf");
	CHECK_EQ(RSP, STACK3);			/* always taken from the frame */
	CHECK_EQ(m.seg[EMU_SS].sel, 0);		/* null below CPL 3 */
	start(EMU_LONG64, 0, true);
	frame(STACK0, 8, HANDLER, S_CODE64_3 | 3, FL_IF, 0xffff800000001000ull, S_DATA32_3 | 3);
	DONE("48 cf");
	CHECK_EQ(m.ctx.cpl, 3);
	CHECK_EQ(RSP, 0xffff800000001000ull);
	start(EMU_LONG64, 0, true);
	frame(STACK0, 8, HANDLER, S_CODE32_3 | 3, FL_IF, STACK3, S_DATA32_3 | 3);
	DONE("48 cf");
	CHECK_EQ(m.ctx.mode, EMU_PROT32);
	start(EMU_LONG64, 0, true);
	frame(STACK0, 8, HANDLER, S_CODE64_3 | 3, FL_IF, STACK3, 3);
	FAULT("48 cf", VEC_GP, 0);		/* null SS at CPL 3 */
	frame(STACK0, 8, 1ull << 47, S_CODE64, FL_IF, STACK3, 0);
	FAULT("48 cf", VEC_GP, 0);
	frame(STACK0, 8, HANDLER, S_L_AND_D, FL_IF, STACK3, 0);
	FAULT("48 cf", VEC_GP, S_L_AND_D);
	FLAGS |= FL_NT;
	FAULT("48 cf", VEC_GP, 0);		/* no tasks in long mode */
	CHECK_EQ(RSP, STACK0);
}

void iret_tests(void)
{
	run_test("IRET in real mode", iret_real);
	run_test("IRET in protected mode", iret_prot);
	run_test("IRET to and in virtual-8086 mode", iret_vm86);
	run_test("IRET in long mode", iret_long);
}
