/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unit tests: instructions on the test machine in states that emucheck cannot reach, against what the manuals say. The
 * machine has a megabyte of memory at 0 that everybody may use, and descriptor tables with one of each kind.
 */
#ifndef EMULATE_TEST_UNIT_H
#define EMULATE_TEST_UNIT_H

#include "machine.h"
#include "insn.h"
#include "far.h"
#include "check.h"

enum { GDT = 0x1000, IDT = 0x2000, TSS = 0x4000, TSS2 = 0x4400, TSS3 = 0x4800, LDT = 0x4c00, CODE = 0x10000, HANDLER = 0x8000,
	STACK0 = 0x20000, STACK3 = 0x28000, DATA = 0x30000, NOWHERE = 0x200000 };

/* Selectors of the GDT. */
enum {
	S_CODE32 = 0x08, S_DATA32 = 0x10, S_CODE16 = 0x18, S_DATA16 = 0x20, S_CODE64 = 0x28, S_CODE32_3 = 0x30, S_DATA32_3 = 0x38,
	S_CODE64_3 = 0x40, S_CONFORM = 0x48, S_CODE_NP = 0x50, S_DATA_NP = 0x58, S_LDT = 0x60, S_TSS = 0x68, S_TSS2 = 0x70, S_TSS3 = 0x78,
	S_GATE32 = 0x80, S_GATE16 = 0x88, S_TASKGATE = 0x90, S_EXONLY = 0x98, S_DOWN = 0xa0, S_RODATA = 0xa8, S_GATE64 = 0xb0,
	S_TSS64 = 0xc0, S_LDT64 = 0xd0, S_SMALL = 0xe0, S_L_AND_D = 0xe8, S_GATE_NP = 0xf0, S_TSS_NP = 0xf8, S_TSS_SHORT = 0x100,
	S_END = 0x108
};

extern struct machine m;
extern u8 mem[0x100000];
extern u8 hits[];

#define RAX	m.ctx.regs[0]
#define RCX	m.ctx.regs[1]
#define RDX	m.ctx.regs[2]
#define RBX	m.ctx.regs[3]
#define RSP	m.ctx.regs[4]
#define RBP	m.ctx.regs[5]
#define RSI	m.ctx.regs[6]
#define RDI	m.ctx.regs[7]
#define FLAGS	m.ctx.rflags
#define RIP	m.ctx.rip

/* A fresh machine. lma: the protected modes are long mode's compatibility mode. */
void start(enum emu_mode mode, u8 cpl, bool lma);
/* Runs these bytes, put where RIP is; "66 0f a2". */
enum emu_result step(const char *hex);
/* Runs the decoded instruction again. */
enum emu_result again(void);
void set_gate(unsigned int vector, unsigned int type, u8 dpl, u16 sel, u64 off);
void set_desc(u16 sel, u64 desc);
u64 get(u32 at, unsigned int size);
void put(u32 at, u64 val, unsigned int size);
/* Descriptor from base, limit (in its own units), and access rights as in struct emu_seg. */
u64 make_desc(u32 base, u32 limit, u32 attr);

void expect_fault(const char *file, int line, const char *what, enum emu_result res, u8 vec, s64 err);

#define DONE(hex)		CHECK_EQ(step(hex), EMU_DONE)
#define NOERR			(-1)
#define FAULT(hex, vec, err)	expect_fault(__FILE__, __LINE__, hex, step(hex), vec, err)
#define FAULTED(res, vec, err)	expect_fault(__FILE__, __LINE__, #res, res, vec, err)
#define FLAG(f)			(!!(FLAGS & FL_##f))

void segment_tests(void);
void far_tests(void);
void interrupt_tests(void);
void iret_tests(void);
void task_tests(void);
void system_tests(void);
void syscall_tests(void);
void string_tests(void);
void debug_tests(void);
void legacy_tests(void);

#endif
