// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moves to and from device memory: each form says address, size and data in KVM_EXIT_MMIO, and leaves the register as the
 * architecture has it (32-bit results clear the upper half, smaller ones leave the rest).
 */
#include "lib/cpu.h"

#define DEV		0x20000000ull		/* no memory there, in reach of RIP-relative operands */
#define ANSWER		0x8877665544332291ull	/* what a read gets */
#define START		0xf1f2f3f4f5f6f7f8ull	/* what the register holds before */

/* The instruction, then OUT; RBX points at the device, RCX is 2. */
#define INSN(n, text)	GUEST64(n, text "\n	mov $0x1000, %dx\n	out %eax, (%dx)\n	hlt\n")

struct want {
	const uint8_t *code, *end;
	uint64_t addr;
	unsigned int len;
	bool write;
	unsigned int reg;	/* index in struct kvm_regs as array of u64: rax rbx rcx rdx rsi rdi rsp rbp r8.. */
	uint64_t val;		/* register after a read, data of a write */
};
enum { RAX_, RBX_, RCX_, RDX_, RSI_, RDI_, RSP_, RBP_, R8_, R9_, R10_, R11_, R12_, R13_, R14_, R15_ };

INSN(load32, "mov (%rbx), %eax");
INSN(load8, "mov (%rbx), %al");
INSN(load16, "mov (%rbx), %ax");
INSN(load64, "mov (%rbx), %rax");
INSN(load_high, "mov (%rbx), %ah");
INSN(load_sil, "mov (%rbx), %sil");
INSN(load_disp8, "mov 8(%rbx), %r9");
INSN(load_disp8_neg, "mov -8(%rbx), %r15d");
INSN(load_sib, "mov 0x100(%rbx,%rcx,4), %esi");
INSN(load_base12, "mov %rbx, %r12\n	mov (%r12), %edi");
INSN(load_base13, "mov %rbx, %r13\n	mov (%r13), %r8w");
INSN(load_index12, "mov $4, %r12d\n	mov (%rbx,%r12,2), %r11d");
INSN(load_absolute, "mov 0x20000010, %edi");
INSN(load_rip, "mov 0x20000020(%rip), %esi");
INSN(zero8_32, "movzbl (%rbx), %esi");
INSN(zero8_16, "movzbw (%rbx), %si");
INSN(zero8_64, "movzbq (%rbx), %r14");
INSN(zero16_32, "movzwl 2(%rbx), %esi");
INSN(zero16_64, "movzwq 2(%rbx), %rsi");
INSN(sign8_32, "movsbl (%rbx), %esi");
INSN(sign32_64, "movslq 4(%rbx), %rsi");
INSN(load_segment, "mov %fs:(%rbx), %esi");
INSN(load_narrow, "mov (%ebx), %esi");

#define READ(n, at, size, r, v)	{ n, n##_end, DEV + (at), size, false, r, v }
static const struct want reads[] = {
	READ(load32, 0, 4, RAX_, 0x44332291),
	READ(load8, 0, 1, RAX_, 0xf1f2f3f4f5f6f791),
	READ(load16, 0, 2, RAX_, 0xf1f2f3f4f5f62291),
	READ(load64, 0, 8, RAX_, ANSWER),
	READ(load_high, 0, 1, RAX_, 0xf1f2f3f4f5f691f8),
	READ(load_sil, 0, 1, RSI_, 0xf1f2f3f4f5f6f791),
	READ(load_disp8, 8, 8, R9_, ANSWER),
	READ(load_disp8_neg, -8, 4, R15_, 0x44332291),
	READ(load_sib, 0x108, 4, RSI_, 0x44332291),
	READ(load_base12, 0, 4, RDI_, 0x44332291),
	READ(load_base13, 0, 2, R8_, 0xf1f2f3f4f5f62291),
	READ(load_index12, 8, 4, R11_, 0x44332291),
	READ(load_absolute, 0x10, 4, RDI_, 0x44332291),
	READ(load_rip, 0x20 + KT_CODE + 6, 4, RSI_, 0x44332291),
	READ(zero8_32, 0, 1, RSI_, 0x91),
	READ(zero8_16, 0, 1, RSI_, 0xf1f2f3f4f5f60091),
	READ(zero8_64, 0, 1, R14_, 0x91),
	READ(zero16_32, 2, 2, RSI_, 0x2291),
	READ(zero16_64, 2, 2, RSI_, 0x2291),
	READ(sign8_32, 0, 1, RSI_, 0xffffff91),
	READ(sign32_64, 4, 4, RSI_, 0x44332291),
	READ(load_segment, 0, 4, RSI_, 0x44332291),
	READ(load_narrow, 0, 4, RSI_, 0x44332291),
};

INSN(store32, "mov %eax, (%rbx)");
INSN(store8, "mov %al, (%rbx)");
INSN(store16, "mov %ax, (%rbx)");
INSN(store64, "mov %rax, (%rbx)");
INSN(store_high, "mov %ah, (%rbx)");
INSN(store_dil, "mov %dil, (%rbx)");
INSN(store_r10, "mov %r10d, 0x7f(%rbx)");
INSN(store_rsp, "mov %rsp, (%rbx)");
INSN(store_imm8, "movb $0x9a, (%rbx)");
INSN(store_imm16, "movw $0x9abc, (%rbx,%rcx)");
INSN(store_imm32, "movl $0x9abcdef0, 0x300(%rbx)");
INSN(store_imm64, "movq $-2, (%rbx)");
INSN(store_rip_imm, "movl $0x12345678, 0x20000020(%rip)");
INSN(store_rip_imm8, "movb $0x12, 0x20000020(%rip)");

#define WRITE(n, at, size, v)	{ n, n##_end, DEV + (at), size, true, 0, v }
static const struct want writes[] = {
	WRITE(store32, 0, 4, 0xf5f6f7f8),
	WRITE(store8, 0, 1, 0xf8),
	WRITE(store16, 0, 2, 0xf7f8),
	WRITE(store64, 0, 8, START),
	WRITE(store_high, 0, 1, 0xf7),
	WRITE(store_dil, 0, 1, 0xf8),
	WRITE(store_r10, 0x7f, 4, 0xf5f6f7f8),
	WRITE(store_rsp, 0, 8, KT_STACK),
	WRITE(store_imm8, 0, 1, 0x9a),
	WRITE(store_imm16, 2, 2, 0x9abc),
	WRITE(store_imm32, 0x300, 4, 0x9abcdef0),
	WRITE(store_imm64, 0, 8, 0xfffffffffffffffe),
	WRITE(store_rip_imm, 0x20 + KT_CODE + 10, 4, 0x12345678),
	WRITE(store_rip_imm8, 0x20 + KT_CODE + 7, 1, 0x12),
};

static void start(struct kt_vcpu *v, const struct want *w)
{
	struct kvm_regs r;
	uint64_t *reg = (uint64_t *)&r;

	for (int i = 0; i < 16; i++)
		reg[i] = START;
	r.rsp = KT_STACK;
	r.rbx = DEV;
	r.rcx = 2;
	r.rip = KT_CODE;
	r.rflags = 2;
	kt_set_regs(v, &r);
	kt_put(v->vm, KT_CODE, w->code, w->end - w->code);
}

static bool exit_is(struct kt_vcpu *v, uint64_t addr, unsigned int len, bool write, int which)
{
	struct kvm_run *run = v->run;

	kt_run(v, KVM_EXIT_MMIO);
	return check(run->mmio.phys_addr == addr && run->mmio.len == len && run->mmio.is_write == write,
		     "form %d: %s of %u at %#llx, want %s of %u at %#llx", which, run->mmio.is_write ? "write" : "read", run->mmio.len,
		     (unsigned long long)run->mmio.phys_addr, write ? "write" : "read", len, (unsigned long long)addr);
}

/* Twice each: the first exit for a page may take another way than later ones. */
TEST(reads)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	for (int i = 0; i < 2 * sizeof(reads) / sizeof(reads[0]); i++) {
		const struct want *w = &reads[i / 2];
		uint64_t answer = ANSWER, reg;
		struct kvm_regs r;

		start(v, w);
		exit_is(v, w->addr, w->len, false, i / 2);
		memset(v->run->mmio.data, 0xee, 8);
		memcpy(v->run->mmio.data, &answer, w->len);
		kt_run_to_out(v);
		r = kt_regs(v);
		reg = ((uint64_t *)&r)[w->reg];
		check(reg == w->val, "form %d: register holds %#llx, want %#llx", i / 2, (unsigned long long)reg,
		      (unsigned long long)w->val);
		check_eq(r.rip, KT_CODE + (w->end - w->code) - 2);	/* at the OUT */
	}
}

TEST(writes)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	for (int i = 0; i < 2 * sizeof(writes) / sizeof(writes[0]); i++) {
		const struct want *w = &writes[i / 2];
		uint64_t data = 0;

		start(v, w);
		exit_is(v, w->addr, w->len, true, i / 2);
		memcpy(&data, v->run->mmio.data, w->len);
		check(data == w->val, "form %d: writes %#llx, want %#llx", i / 2, (unsigned long long)data,
		      (unsigned long long)w->val);
		kt_run_to_out(v);
		check_eq(kt_regs(v).rip, KT_CODE + (w->end - w->code) - 2);	/* at the OUT */
	}
}

INSN(load_crossing, "mov 0xffe(%rbx), %eax");
INSN(store_crossing, "mov %rax, 0xffd(%rbx)");

TEST(across_pages)
{
	static const struct want load = { load_crossing, load_crossing_end }, store = { store_crossing, store_crossing_end };
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint64_t data = 0;

	start(v, &load);
	exit_is(v, DEV + 0xffe, 2, false, 0);
	memcpy(v->run->mmio.data, "\x11\x22", 2);
	exit_is(v, DEV + 0x1000, 2, false, 0);
	memcpy(v->run->mmio.data, "\x33\x44", 2);
	kt_run_to_out(v);
	check_eq(kt_regs(v).rax, 0x44332211);

	start(v, &store);
	exit_is(v, DEV + 0xffd, 3, true, 1);
	memcpy(&data, v->run->mmio.data, 3);
	check_eq(data, 0xf6f7f8);
	exit_is(v, DEV + 0x1000, 5, true, 1);
	memcpy(&data, v->run->mmio.data, 5);
	check_eq(data, 0xf1f2f3f4f5);
	kt_run_to_out(v);
}

/* From memory into the device's page and back: the half in memory is no exit. */
INSN(store_into, "movq $0x20000, %rbx\n	mov 0xfffff, %rsi\n	mov %rax, 0xffffc");

TEST(half_in_memory)
{
	static const struct want w = { store_into, store_into_end };
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint64_t data = 0;

	kt_guest_u64(v->vm, 0xffff8) = 0x5500000000000000;
	start(v, &w);
	exit_is(v, 0x100000, 7, false, 0);
	memcpy(v->run->mmio.data, "\1\2\3\4\5\6\7", 7);
	exit_is(v, 0x100000, 4, true, 0);
	memcpy(&data, v->run->mmio.data, 4);
	check_eq(data, 0xf1f2f3f4);
	kt_run_to_out(v);
	check_eq(kt_regs(v).rsi, 0x0706050403020155);
	check_eq(kt_guest_u32(v->vm, 0xffffc), 0xf5f6f7f8);
}

/* A code page that is remapped without a CR3 load (INVLPG only) is read where it is now. */
GUEST64(remapped, "mov $0x40000000, %rbp\n"
	"1:	mov (%rbx), %eax\n	invlpg (%rbp)\n	mov $0x1000, %dx\n	out %eax, (%dx)\n	jmp 1b\n");

TEST(code_page_moves)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct want w = { remapped, remapped_end };
	uint64_t *pdpt = (void *)(v->vm->mem + KT_TABLES + 0x1000), *pd = (void *)(v->vm->mem + 0xa0000);
	uint64_t *pt = (void *)(v->vm->mem + 0xa1000);
	struct kvm_regs r;

	/* A second address for the code, by a page table of its own. */
	start(v, &w);
	pdpt[1] = 0xa0000 | 7;
	pd[0] = 0xa1000 | 7;
	pt[0] = KT_CODE | 7;
	kt_put(v->vm, 0x50000, remapped, remapped_end - remapped);
	v->vm->mem[0x50000 + 7] = 0x8a;		/* there it is mov (%rbx), %al */
	need(v->vm->mem[KT_CODE + 7] == 0x8b, "the guest's code is laid out differently");
	r = kt_regs(v);
	r.rip = 0x40000000;
	kt_set_regs(v, &r);
	for (int i = 0; i < 3; i++) {
		exit_is(v, DEV, 4, false, i);
		kt_run_to_out(v);
	}
	pt[0] = 0x50000 | 7;
	for (int i = 0; i < 3; i++) {
		if (i)
			exit_is(v, DEV, 1, false, i);
		else
			kt_run(v, KVM_EXIT_MMIO);	/* the TLB may have had the old page until INVLPG */
		kt_run_to_out(v);
	}
}

KT_MAIN
