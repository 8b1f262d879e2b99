// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes of control registers by every form of instruction, with low and high general registers: where hardware does not say
 * which register it was, the instruction's bytes have to.
 */
#include "lib/cpu.h"

#define CR0_MP	0x2
#define CR0_TS	0x8
#define CR0_NE	0x20
#define CR0_WP	0x10000
#define CR0_AM	0x40000
#define CR4_PGE	0x80
#define CR4_DE	0x8
#define CR4_TSD	0x4

#define PAUSE_	"\n	mov $0x1000, %dx\n	out %eax, (%dx)\n"

GUEST64(cr0_low, "mov %cr0, %rbx\n	or $0x10000, %rbx\n	mov %rbx, %cr0" PAUSE_ "hlt\n");
GUEST64(cr0_high, "mov %cr0, %r9\n	or $0x40000, %r9\n	xor %ecx, %ecx\n	mov %r9, %cr0" PAUSE_ "hlt\n");
GUEST64(cr4_low, "mov %cr4, %rsi\n	or $0x80, %rsi\n	mov %rsi, %cr4" PAUSE_ "hlt\n");
GUEST64(cr4_high, "mov %cr4, %r15\n	or $0x4, %r15\n	xor %edi, %edi\n	mov %r15, %cr4" PAUSE_ "hlt\n");
GUEST64(cr4_rex, "mov %cr4, %rsi\n	or $0x8, %rsi\n	.byte 0x48, 0x0f, 0x22, 0xe6" PAUSE_ "hlt\n");	/* REX.W */
GUEST64(cr4_prefixed, "mov %cr4, %rsi\n	or $0x8, %rsi\n	.byte 0x66, 0x0f, 0x22, 0xe6" PAUSE_ "hlt\n");
GUEST64(msw, "mov $0xa, %eax\n	lmsw %ax\n	mov $1, %ecx" PAUSE_ "hlt\n");	/* MP and TS; PE stays */
GUEST64(lmsw_clts, "mov $0xa, %eax\n	lmsw %ax\n	clts" PAUSE_ "hlt\n");
GUEST64(cr3_high, "mov %cr3, %r8\n	mov %r8, %cr3\n	mov %cr3, %r14\n	mov %r14, %rax" PAUSE_ "hlt\n");

/* Runs the guest; registers afterwards. */
static struct kvm_sregs after(const uint8_t *code, const uint8_t *end)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_put(v->vm, KT_CODE, code, end - code);
	kt_run_to_out(v);
	check_eq(kt_regs(v).rip, KT_CODE + (end - code) - 2);
	return kt_sregs(v);
}
#define AFTER(n)	after(n, n##_end)

TEST(cr0_from_registers)
{
	check(AFTER(cr0_low).cr0 & CR0_WP, "WP is not set");
	check(AFTER(cr0_high).cr0 & CR0_AM, "AM is not set");
}

TEST(cr4_from_registers)
{
	check(AFTER(cr4_low).cr4 & CR4_PGE, "PGE is not set");
	check(AFTER(cr4_high).cr4 & CR4_TSD, "TSD is not set");
	check(AFTER(cr4_rex).cr4 & CR4_DE, "DE is not set after a REX.W prefix");
	check(AFTER(cr4_prefixed).cr4 & CR4_DE, "DE is not set after a prefix that means nothing");
}

/*
 * Write protection, which hardware may let the guest switch without an exit, holds for what the kernel writes in its place:
 * INS to a page that the guest's tables do not let it write. WP on, off and on again; last with a translation made before.
 */
GUEST64(wp, "mov $0x20000000, %edi\n mov $0x1000, %edx\n mov %cr0, %rbx\n mov %rbx, %rcx\n and $~0x10000, %rbx\n"
	"or $0x10000, %rcx\n mov %rbx, %cr0\n insl\n mov %rcx, %cr0\n mov %rbx, %cr0\n insl\n"
	"mov %rcx, %cr0\n mov $0x20000000, %edi\n insl\n hlt\n");

TEST(write_protection_of_ins)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint64_t *pd = (uint64_t *)(v->vm->mem + KT_PD);
	uint32_t *mem = (uint32_t *)v->vm->mem, n = 0;

	kt_load(v->vm, wp);
	pd[0x20000000 >> 21] = 0x85;			/* the first 2 MB once more, not writable */
	mem[0] = mem[1] = 0;
	for (;;) {
		kt_run(v, KVM_EXIT_IO);
		if (v->run->io.direction == KVM_EXIT_IO_OUT)
			break;
		need(++n <= 3);
		*(uint32_t *)((uint8_t *)v->run + v->run->io.data_offset) = n * 0x11111111;
	}
	check_eq(*(uint32_t *)((uint8_t *)v->run + v->run->io.data_offset), 0x10e);
	check_eq(kt_guest_u64(v->vm, KT_DATA - 8), 3);	/* present, write, supervisor */
	check_eq(mem[0], 0x11111111);
	check_eq(mem[1], 0x22222222);
}

TEST(machine_status_word)
{
	check_eq(AFTER(msw).cr0 & (CR0_MP | CR0_TS | 1), CR0_MP | CR0_TS | 1);
	check_eq(AFTER(lmsw_clts).cr0 & (CR0_MP | CR0_TS | 1), CR0_MP | 1);
}

TEST(cr3_from_registers)
{
	check_eq(AFTER(cr3_high).cr3, KT_TABLES);
}

GUEST64(user_cr0, "xor %eax, %eax\n	mov %rax, %cr0\n	hlt\n");
LABEL(user_cr0_insn);
asm(".globl user_cr0_insn\n.set user_cr0_insn, user_cr0 + 2");

/* Privilege comes before the register is looked at. */
TEST(not_for_user_mode)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, user_cr0);
	kt_user_mode(v);
	want_exception(v, EX_GP, 0, at(user_cr0, user_cr0_insn));
}

KT_MAIN
