// SPDX-License-Identifier: GPL-2.0-only
/*
 * What emucheck does not compare, with the reason, and which flags an instruction leaves undefined (SDM volume 2, APM
 * volume 3: a flag is listed when either manual says so).
 */
#include <stdio.h>
#include "emucheck.h"

static const struct exclusion {
	u8 map, opcode;
	int modrm;			/* -1: any; -2: memory forms; -3: reg field not 0; else this value */
	int imm;			/* -1: any */
	const char *why;
} exclusions[] = {
	{ 0, 0xcc, -1, -1, "INT3: delivered through the kernel's IDT" },
	{ 0, 0xce, -1, -1, "INTO: delivered through the kernel's IDT" },
	{ 0, 0xf1, -1, -1, "INT1: delivered through the kernel's IDT" },
	{ 0, 0xcd, -1, -1, "INT n: system calls, and hypervisors take some vectors" },
	{ 0, 0x8f, -3, -1, "8F /1 to /7: AMD's XOP space, which models treat in different ways" },
	{ 1, 0x05, -1, -1, "SYSCALL: a system call" },
	{ 1, 0x34, -1, -1, "SYSENTER: a system call" },
	{ 1, 0x00, -1, -1, "SLDT, STR, VERR, VERW: the kernel's tables, UMIP" },
	{ 1, 0x01, -2, -1, "SGDT, SIDT, SMSW: UMIP, which the kernel may emulate" },
	{ 1, 0x01, 0xc1, -1, "VMCALL: goes to the hypervisor under us" },
	{ 1, 0x01, 0xd9, -1, "VMMCALL: goes to the hypervisor under us" },
	{ 1, 0x01, 0xd0, -1, "XGETBV: in-use bits change" },
	{ 1, 0x01, 0xf9, -1, "RDTSCP: time" },
	{ 1, 0x02, -1, -1, "LAR: the kernel's tables" },
	{ 1, 0x03, -1, -1, "LSL: the kernel's tables" },
	{ 1, 0x31, -1, -1, "RDTSC: time" },
	{ 1, 0x78, -1, -1, "0F 78: VMREAD, or AMD's EXTRQ and INSERTQ, two bytes longer" },
	{ 1, 0x33, -1, -1, "RDPMC: CR4.PCE is the kernel's choice" },
	{ 1, 0xa2, -1, -1, "CPUID: the hypervisor under us answers" },
};

/* CLFLUSHOPT and CLWB: 66 0F AE /7 and /6. Without them #UD, or CLFLUSH with a prefix that means nothing. */
static bool no_such_flush(const struct emu_insn *in)
{
	static u32 ebx;
	u32 eax = 7, ecx = 0, edx, bit = (in->modrm & 0x38) == 0x38 ? 1u << 23 : 1u << 24;

	if (!in->row || in->row->fn != op_clflush || !in->opsize_prefix)
		return false;
	if (!ebx)
		asm volatile("cpuid" : "+a" (eax), "=b" (ebx), "+c" (ecx), "=d" (edx));
	return !(ebx & bit);
}

static bool is_evex(const struct kase *k)
{
	static const u8 prefixes[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
	const u8 *p = k->bytes;

	while (p < k->bytes + 14 && (memchr(prefixes, *p, sizeof(prefixes)) || (k->mode == EMU_LONG64 && (*p & 0xf0) == 0x40)))
		p++;
	return *p == 0x62 && (k->mode == EMU_LONG64 || p[1] >= 0xc0);
}

/* Far pointers in memory with an offset of 64 bits: ours are Intel's on any CPU, see read_pointer() in far.c. */
static bool wide_pointer(const struct emu_insn *in)
{
	emu_fn fn = in->row ? in->row->fn : NULL;

	return __builtin_cpu_is("amd") && in->opsize == 8 && (fn == op_jmpf_m || fn == op_callf_m || fn == op_lds);
}

const char *excluded(const struct kase *k)
{
	struct emu_insn in;

	emu_decode(&in, k->bytes, 15, kase_mode(k));
	if (is_evex(k))
		return "EVEX: never executed here, and how much of it is read before #UD is the model's choice";
	for (unsigned int i = 0; i < ARRAY_SIZE(exclusions); i++) {
		const struct exclusion *x = &exclusions[i];

		if (in.map != x->map || in.opcode != x->opcode || in.vex)
			continue;
		if (x->modrm == -3 && !(in.modrm & 0x38))
			continue;
		if (x->modrm == -2 ? !in.is_mem : x->modrm >= 0 && in.modrm != x->modrm)
			continue;
		if (x->imm >= 0 && (in.imm & 0xff) != (u64)x->imm)
			continue;
		return x->why;
	}
	if (in.map == 1 && in.opcode == 0x01 && (in.modrm & 0xf8) == 0xd8)
		return "SVM instructions: EFER.SVME is the host's choice";
	if (in.map == 1 && in.opcode == 0x01 && (in.modrm & 0xf8) == 0xe0)
		return "SMSW: UMIP";
	if (in.row && in.row->fn == op_rdpid)
		return "RDPID: changes with the CPU";
	if (wide_pointer(&in))
		return "far pointers with REX.W: not of this CPU";
	if (no_such_flush(&in))
		return "CLFLUSHOPT, CLWB: not of this CPU";
	/* A processor may have it on behind the kernel's back, and context switches then lose what was written. */
	if (in.row && in.row->fn == op_fsgsbase && !native_fsgsbase())
		return "RDFSBASE and its like: not of this kernel";
	return NULL;
}

void print_exclusions(void)
{
	printf("not compared:");
	for (unsigned int i = 0; i < ARRAY_SIZE(exclusions); i++)
		printf(" %s;", exclusions[i].why);
	printf(" CLFLUSHOPT, CLWB: where the CPU has none;");
	if (!native_fsgsbase())
		printf(" RDFSBASE and its like: not of this kernel;");
	if (__builtin_cpu_is("amd"))
		printf(" far pointers with REX.W: not of this CPU;");
	printf(" EVEX: never executed here, and how much of it is read before #UD is the model's choice;");
	printf(" SVM instructions: EFER.SVME is the host's choice; RDPID: changes with the CPU\n");
}

static u64 shift_flags(const struct emu_insn *in, unsigned int count)
{
	unsigned int kind = in->modrm >> 3 & 7, bits = (in->opcode & 1 ? in->opsize : 1) * 8;
	u64 undef = 0;

	count &= bits == 64 ? 63 : 31;
	if (!count)
		return 0;
	if (kind >= 4)
		undef |= FL_AF;
	if (count > 1)
		undef |= FL_OF;
	if (kind >= 4 && kind != 7 && count >= bits)
		undef |= FL_CF;
	return undef;
}

u64 undefined_flags(const struct emu_insn *in, const u64 *regs)
{
	emu_fn fn = in->row ? in->row->fn : NULL;
	unsigned int n;

	if (fn == op_and || fn == op_or || fn == op_xor || fn == op_test)
		return FL_AF;
	if (fn == op_shift) {
		n = in->opcode < 0xd0 ? in->imm : in->opcode < 0xd2 ? 1 : regs[EMU_RCX];
		return shift_flags(in, n & 0xff);
	}
	if (fn == op_shld || fn == op_shrd) {
		n = (in->opcode & 1 ? regs[EMU_RCX] : in->imm) & (in->opsize == 8 ? 63 : 31);
		if (n > in->opsize * 8u)
			return FL_ARITH;
		return n ? FL_AF | (n > 1 ? FL_OF : 0) : 0;
	}
	if (fn == op_mul || fn == op_imul || fn == op_imul2)
		return FL_SF | FL_ZF | FL_AF | FL_PF;
	if (fn == op_div || fn == op_idiv)
		return FL_ARITH;
	if (fn == op_bsf || fn == op_bsr)
		return FL_ARITH & ~FL_ZF;
	if (fn == op_bt || fn == op_bts || fn == op_btr || fn == op_btc)
		return FL_OF | FL_SF | FL_AF | FL_PF;
	if (fn == op_aaa || fn == op_aas)
		return FL_OF | FL_SF | FL_ZF | FL_PF;
	if (fn == op_aam || fn == op_aad)
		return FL_OF | FL_AF | FL_CF;
	if (fn == op_daa || fn == op_das)
		return FL_OF;
	if (fn == op_tzcnt || fn == op_lzcnt)
		return FL_OF | FL_SF | FL_PF | FL_AF;
	if (fn == op_andn || fn == op_bls || fn == op_bzhi)
		return FL_AF | FL_PF;
	if (fn == op_bextr)
		return FL_AF | FL_SF | FL_PF;
	return 0;
}

bool touches_bases(const struct emu_insn *in)
{
	if (!in->row)
		return false;
	return in->row->fn == op_fsgsbase || in->row->fn == op_mov_sreg || in->row->fn == op_pop_sreg ||
	       in->row->fn == op_lds;
}
