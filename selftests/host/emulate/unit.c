// SPDX-License-Identifier: GPL-2.0-only
/* The unit tests' machine, their main program, and the check that every row of the opcode tables was executed. */
#include <stdio.h>
#include <stdlib.h>
#include "rows.h"
#include "unit.h"

struct machine m;
u8 mem[0x100000];
u8 hits[MAX_ROWS];

void expect_fault(const char *file, int line, const char *what, enum emu_result res, u8 vec, s64 err)
{
	const struct emu_fault *f = &m.ctx.fault;

	if (res != EMU_FAULT)
		check_failed(file, line, what, res, EMU_FAULT);
	else if (f->vector != vec)
		check_failed(file, line, what, f->vector, vec);
	else if ((f->has_error ? (s64)f->error : NOERR) != err)
		check_failed(file, line, what, f->has_error ? f->error : ~0ull, err);
}

u64 get(u32 at, unsigned int size)
{
	u64 v = 0;

	memcpy(&v, mem + at, size);
	return v;
}

void put(u32 at, u64 val, unsigned int size)
{
	memcpy(mem + at, &val, size);
}

u64 make_desc(u32 base, u32 limit, u32 attr)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attr & 0xf0ff) << 40 | (u64)(limit & 0xf0000) << 32 |
	       (u64)(base >> 24) << 56;
}

void set_desc(u16 sel, u64 desc)
{
	put(GDT + (sel & 0xfff8), desc, 8);
}

void set_gate(unsigned int vector, unsigned int type, u8 dpl, u16 sel, u64 off)
{
	u64 gate = (off & 0xffff) | (u64)sel << 16 | (u64)(type | 0x80 | dpl << 5) << 40 | (off & 0xffff0000) << 32;

	put(IDT + vector * (m.ctx.lma ? 16 : 8), gate, 8);
	if (m.ctx.lma)
		put(IDT + vector * 16 + 8, off >> 32, 8);
}

static u64 call_gate(unsigned int type, u8 dpl, u16 sel, u32 off, unsigned int params)
{
	return (off & 0xffff) | (u64)sel << 16 | (u64)params << 32 | (u64)(type | 0x80 | dpl << 5) << 40 |
	       (u64)(off & 0xffff0000) << 32;
}

static void build_gdt(void)
{
	memset(mem + GDT, 0, 0x200);
	set_desc(S_CODE32, make_desc(0, 0xfffff, 0xc09a));
	set_desc(S_DATA32, make_desc(0, 0xfffff, 0xc092));
	set_desc(S_CODE16, make_desc(CODE, 0xffff, 0x009a));
	set_desc(S_DATA16, make_desc(0, 0xffff, 0x0092));
	set_desc(S_CODE64, make_desc(0, 0xfffff, 0xa09a));
	set_desc(S_CODE32_3, make_desc(0, 0xfffff, 0xc0fa));
	set_desc(S_DATA32_3, make_desc(0, 0xfffff, 0xc0f2));
	set_desc(S_CODE64_3, make_desc(0, 0xfffff, 0xa0fa));
	set_desc(S_CONFORM, make_desc(0, 0xfffff, 0xc09e));
	set_desc(S_CODE_NP, make_desc(0, 0xfffff, 0xc01a));
	set_desc(S_DATA_NP, make_desc(0, 0xfffff, 0xc012));
	set_desc(S_LDT, make_desc(LDT, 0x1f, 0x82));
	set_desc(S_TSS, make_desc(TSS, 0x2ff, 0x8b));
	set_desc(S_TSS2, make_desc(TSS2, 0x67, 0x89));
	set_desc(S_TSS3, make_desc(TSS3, 0x2b, 0x81));
	set_desc(S_GATE32, call_gate(SYS_CALL32, 3, S_CODE32, HANDLER, 2));
	set_desc(S_GATE16, call_gate(SYS_CALL16, 3, S_CODE32, HANDLER, 1));
	set_desc(S_TASKGATE, call_gate(SYS_TASK_GATE, 3, S_TSS2, 0, 0));
	set_desc(S_EXONLY, make_desc(0, 0xfffff, 0xc098));
	set_desc(S_DOWN, make_desc(0, 0xffff, 0x4096));
	set_desc(S_RODATA, make_desc(0, 0xfffff, 0xc090));
	set_desc(S_GATE64, call_gate(SYS_CALL32, 3, S_CODE64, HANDLER, 0));
	set_desc(S_TSS64, make_desc(TSS, 0x2ff, 0x89));
	put(GDT + S_TSS64 + 8, 0xffff8000, 8);
	set_desc(S_LDT64, make_desc(LDT, 0x1f, 0x82));
	put(GDT + S_LDT64 + 8, 0x1234, 8);
	set_desc(S_SMALL, make_desc(0, 0xff, 0x409a));
	set_desc(S_L_AND_D, make_desc(0, 0xfffff, 0xe09a));
	set_desc(S_GATE_NP, call_gate(SYS_CALL32, 3, S_CODE32, HANDLER, 0) & ~(1ull << 47));
	set_desc(S_TSS_NP, make_desc(TSS2, 0x67, 0x09));
	set_desc(S_TSS_SHORT, make_desc(TSS2, 0x66, 0x89));
}

static void real_segment(unsigned int n, u16 sel, bool vm86)
{
	m.seg[n] = (struct emu_seg){ .sel = sel, .base = sel << 4, .limit = 0xffff, .attr = vm86 ? 0xf3 : 0x93 };
}

static void from_gdt(unsigned int n, u16 sel)
{
	emu_seg_from_desc(&m.seg[n], sel, get(GDT + (sel & 0xfff8), 8));
	m.seg[n].attr |= 1;
}

static void set_segments(enum emu_mode mode, u8 cpl)
{
	if (mode <= EMU_VM86) {
		for (unsigned int n = 0; n < 6; n++)
			real_segment(n, DATA >> 4, mode == EMU_VM86);
		real_segment(EMU_CS, CODE >> 4, mode == EMU_VM86);
		real_segment(EMU_SS, STACK0 >> 4, mode == EMU_VM86);
		if (mode == EMU_REAL32)
			m.seg[EMU_CS].attr |= EMU_AR_DB;
		return;
	}
	for (unsigned int n = 0; n < 6; n++)
		from_gdt(n, (cpl == 3 ? S_DATA32_3 : S_DATA32) | cpl);
	if (mode == EMU_PROT16) {
		from_gdt(EMU_CS, S_CODE16);
		from_gdt(EMU_SS, S_DATA16);
		from_gdt(EMU_DS, S_DATA16);
	} else if (mode == EMU_LONG64) {
		from_gdt(EMU_CS, (cpl == 3 ? S_CODE64_3 : S_CODE64) | cpl);
	} else {
		from_gdt(EMU_CS, (cpl == 3 ? S_CODE32_3 : S_CODE32) | cpl);
	}
}

/* What the TSS holds is its own affair; here: the stacks of privilege 0 and the maps. */
static void build_tss(bool lma)
{
	memset(mem + TSS, 0, 0xc00);
	if (lma) {
		put(TSS + 4, STACK0 + 0x800, 8);
		put(TSS + 0x24, STACK0 + 0x900, 8);		/* IST 1 */
	} else {
		put(TSS + 4, STACK0 + 0x800, 4);
		put(TSS + 8, S_DATA32, 2);
	}
	put(TSS + 102, 0x88, 2);		/* I/O map, redirection map before it */
	mem[TSS + 0x88 + 8192] = 0xff;
	memset(mem + TSS + 0x88, 0xff, 0x178);
}

void start(enum emu_mode mode, u8 cpl, bool lma)
{
	bool prot = mode >= EMU_VM86;

	machine_init(&m);
	machine_map(&m, 0, sizeof(mem), mem, P_R | P_W | P_X | P_U);
	m.accept = true;
	m.cr0 = 0x10 | (prot ? 1 : 0) | (lma ? C0_PG : 0);
	m.cr4 = C4_OSFXSR | C4_OSXSAVE | C4_FSGSBASE;
	m.efer = lma ? EFER_SCE | 0x100 | EFER_LMA : EFER_SCE;
	m.xcr0 = 7;
	memset(mem + IDT, 0, 0x1000);
	build_gdt();
	build_tss(lma);
	m.gdt = (struct emu_dt){ .base = GDT, .limit = S_END - 1 };
	m.idt = prot ? (struct emu_dt){ .base = IDT, .limit = 0xfff } : (struct emu_dt){ .base = 0, .limit = 0x3ff };
	m.seg[EMU_LDTR].attr = EMU_AR_UNUSABLE;
	from_gdt(EMU_TR, S_TSS);
	set_segments(mode, cpl);
	m.ctx.cpl = cpl;
	FLAGS = 2 | FL_IF | (mode == EMU_VM86 ? FL_VM | FL_IOPL : 0);
	RIP = mode <= EMU_VM86 || mode == EMU_PROT16 ? 0 : CODE;
	RSP = mode <= EMU_VM86 ? 0x800 : cpl == 3 ? STACK3 : mode == EMU_PROT16 ? 0x8000 : STACK0;
	machine_sync(&m);
	if (m.ctx.mode != mode || m.ctx.lma != lma)
		abort();
}

enum emu_result step(const char *hex)
{
	u64 base = m.ctx.mode == EMU_LONG64 ? 0 : m.seg[EMU_CS].base;
	u8 *p = mem + ((base + RIP) & 0xfffff);
	enum emu_result res;
	unsigned int b;
	int n;

	while (sscanf(hex, "%2x%n", &b, &n) == 1) {
		*p++ = b;
		for (hex += n; *hex == ' '; hex++)
			;
	}
	res = emu_step(&m.ctx);
	if (res == EMU_DONE)
		row_hit(hits, m.ctx.insn.row);
	return res;
}

enum emu_result again(void)
{
	enum emu_result res = emu_execute(&m.ctx);

	if (res == EMU_DONE)
		row_hit(hits, m.ctx.insn.row);
	return res;
}

static void every_row(void)
{
	CHECK_EQ(unit_rows_missing(hits), 0);
}

int main(void)
{
	puts("TAP version 13");
	segment_tests();
	far_tests();
	interrupt_tests();
	iret_tests();
	task_tests();
	system_tests();
	syscall_tests();
	string_tests();
	debug_tests();
	legacy_tests();
	run_test("every row that emucheck leaves out was executed", every_row);
	return tests_done();
}
