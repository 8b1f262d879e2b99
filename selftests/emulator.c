// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator against the processor under it, in rings that selftests/host/emulate cannot reach: each instruction runs natively
 * in a guest and, behind the prefix that asks for emulation, by force; registers, segments, control, debug and model-specific
 * registers, memory and the exception have to agree. And instructions that nobody executes: how they fail.
 */
#include <fcntl.h>
#include <pthread.h>
#include "lib/cpu.h"

#define MMIO		0x20000000u

static const uint8_t prefix[5] = { 0x0f, 0x0b, 'k', 'v', 'm' };

static void need_prefix(void)
{
	if (kt_distro())
		skip("our emulator is on trial: the distribution's leaves some of these instructions out");
	if (kt_host_bochs_svm())
		skip("Bochs as an AMD host loads no CR2 and faults INT n: nothing to compare with");
	if (!kt_force_prefix())
		skip("force_emulation_prefix is off and cannot be written");
}

struct step {
	const char *what, *hex;
	uint64_t rax, rcx, rdx;
	uint64_t undefined;	/* flags */
	bool user;		/* CPL 3 */
	bool not_tcg;		/* QEMU's software emulation leaves a check out */
	uint8_t mem[48];	/* at RBX, which is KT_DATA + 0x100; RSI and RDI are behind */
};

struct state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs dr;
	uint64_t msr[8];
	uint8_t mem[0x1000], tables[0x1000];
	uint32_t stack[0x100];
	uint32_t exit, exception, error;
	uint64_t rip;
};

static const uint32_t msrs[8] = { 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000102, 0x174, 0x277, 0xc0000103 };

static size_t from_hex(uint8_t *out, const char *hex)
{
	size_t n = 0;
	unsigned int b;
	int used;

	while (sscanf(hex, "%2x%n", &b, &used) == 1) {
		out[n++] = b;
		for (hex += used; *hex == ' '; hex++)
			;
	}
	return n;
}

/* Descriptors beside the library's: 30 TSS of 16 bytes, 40 not present, 48 32-bit TSS, 50 call gate, 58 conforming, 60 16-bit code. */
static void more_descriptors(struct kt_vcpu *v, bool lng)
{
	uint64_t *gdt = (uint64_t *)(v->vm->mem + KT_GDT), base = KT_TSS;
	struct kvm_sregs s = kt_sregs(v);

	gdt[6] = 103 | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24) << 56;
	gdt[7] = 0;
	gdt[8] = 0x00cf13000000ffffull;
	base = KT_TSS + 0x800;
	gdt[9] = 103 | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24) << 56;
	gdt[10] = (KT_CODE + 0x200) % 0x10000 | 0x18ull << 16 | 0xecull << 40 | (KT_CODE + 0x200) / 0x10000 << 48;
	gdt[11] = 0x00cf9f000000ffffull;
	gdt[12] = 0x00009b000000ffffull | (uint64_t)KT_CODE << 16;
	gdt[13] = 0x00cffb000000ffffull;
	s.gdt.limit = 14 * 8 - 1;
	if (!lng) {
		s.tr = (struct kvm_segment){ .base = KT_TSS, .limit = 103, .selector = 0x30, .type = 11, .present = 1 };
		((uint8_t *)gdt)[0x35] = 0x8b;
	}
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
}

/* What a 32-bit task of the second TSS starts with. */
static void second_task(struct kt_vcpu *v)
{
	uint32_t *t = (uint32_t *)(v->vm->mem + KT_TSS + 0x800);

	memset(t, 0, 104);
	t[8] = KT_CODE + 0x200;
	t[9] = 2;
	for (int i = 10; i < 18; i++)
		t[i] = 0x100 * i;
	t[14] = KT_STACK - 0x100;
	for (int i = 18; i < 24; i++)
		t[i] = 0x10;
	t[19] = 0x18;
	t[25] = 104 << 16;
}

static void prepare(struct kt_vcpu *v, const struct step *s, enum kt_mode mode, bool forced)
{
	struct kvm_regs r = { .rip = KT_CODE, .rsp = KT_STACK - 0x200, .rflags = 0x202, .rbx = KT_DATA + 0x100, .rsi = KT_DATA + 0x140,
			      .rdi = KT_DATA + 0x180, .rbp = 0x1111222233334444, .r8 = 8, .r9 = KT_STACK - 0x80, .r15 = ~15ull };
	struct kvm_debugregs dr = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	uint8_t code[64] = {};
	size_t n = 0;

	memset(v->vm->mem, 0, v->vm->size);
	kt_vcpu_mode(v, mode);
	if (mode == KT_REAL) {
		uint16_t ivt[2] = { 0x200, KT_CODE >> 4 };

		for (int i = 0; i < 256; i++)
			kt_put(v->vm, i * 4, ivt, 4);
		r.rip = 0;
		r.rsp = 0xfe00;
		r.rbx = 0x3100, r.rsi = 0x3140, r.rdi = 0x3180;
	} else {
		kt_install_idt(v);
		if (mode == KT_LONG)
			kt_load_tss(v);
		more_descriptors(v, mode == KT_LONG);
		second_task(v);
		if (s->user)
			kt_user_mode(v);
	}
	need_ok(ioctl(v->fd, KVM_SET_DEBUGREGS, &dr));
	kt_set_msr(v, 0x175, KT_STACK - 0x100);
	kt_set_msr(v, 0x176, KT_CODE + 0x200);
	for (int i = 1; i < 6; i++)
		kt_set_msr(v, msrs[i], i == 1 ? 0x0013000800000000 : i == 2 ? KT_CODE + 0x200 : i == 3 ? 0x40200 : i == 5 ? 8 : 0x12345000);
	if (forced)
		memcpy(code, prefix, n = sizeof(prefix));
	n += from_hex(code + n, s->hex);
	code[n] = 0xf4;
	kt_put(v->vm, KT_CODE, code, sizeof(code));
	memset(v->vm->mem + KT_CODE + 0x200, 0xf4, 0x100);	/* where transfers lead */
	kt_put(v->vm, mode == KT_REAL ? 0x3100 : KT_DATA + 0x100, s->mem, sizeof(s->mem));
	for (int i = 0; i < 64; i++)
		v->vm->mem[(mode == KT_REAL ? 0x3140 : KT_DATA + 0x140) + i] = 0x80 + i;
	r.rax = s->rax, r.rcx = s->rcx, r.rdx = s->rdx;
	kt_set_regs(v, &r);
}

static void collect(struct kt_vcpu *v, struct state *st, bool forced)
{
	struct kvm_sregs *s = &st->sregs;

	memset(st, 0, sizeof(*st));
	st->exit = kt_run_any(v);
	st->regs = kt_regs(v);
	*s = kt_sregs(v);
	need_ok(ioctl(v->fd, KVM_GET_DEBUGREGS, &st->dr));
	for (int i = 0; i < 8; i++)
		kt_get_msr(v, msrs[i], &st->msr[i]);
	if (st->exit == KVM_EXIT_IO && v->run->io.port == KT_PORT) {
		st->exception = *(uint32_t *)((char *)v->run + v->run->io.data_offset);
		st->error = kt_guest_u32(v->vm, KT_DATA - 8);
		st->rip = kt_guest_u64(v->vm, KT_DATA - 16);
		memset(v->vm->mem + KT_DATA - 16, 0, 8);
		if (forced && st->rip >= KT_CODE && st->rip < KT_CODE + 0x100)
			st->rip -= sizeof(prefix);
	} else if (forced && st->regs.rip < KT_CODE + 0x100 && st->regs.rip >= (s->cs.base ? 0 : KT_CODE) &&
		   st->regs.rip < (s->cs.base ? 0x100 : KT_CODE + 0x100)) {
		st->regs.rip -= sizeof(prefix);
	}
	memcpy(st->mem, v->vm->mem + KT_DATA, sizeof(st->mem));
	memcpy(st->tables, v->vm->mem + KT_GDT, sizeof(st->tables));
	memcpy(st->stack, v->vm->mem + KT_STACK - sizeof(st->stack), sizeof(st->stack));
}

/* Return addresses on the stack that lie behind the instruction: as without the prefix. */
static void move_addresses(struct state *st)
{
	for (size_t i = 0; i < sizeof(st->stack) / 4; i++)
		if (st->stack[i] > KT_CODE && st->stack[i] < KT_CODE + 0x40)
			st->stack[i] -= sizeof(prefix);
}

#define SAME(field)	check(a->field == b->field, "%s: " #field " is %#llx natively, %#llx emulated", s->what, \
			      (unsigned long long)a->field, (unsigned long long)b->field)

/* Of a segment that cannot be used selector and base are what there is. */
static bool same_segment(const struct kvm_segment *a, const struct kvm_segment *b)
{
	if (a->selector != b->selector || a->base != b->base)
		return false;
	return a->selector < 4 || !memcmp(a, b, sizeof(*a));
}

/* TCG leaves RF out of the frame of a fault. */
static bool same_word(uint32_t a, uint32_t b)
{
	return a == b || (kt_host_tcg() && (a ^ b) == 0x10000);
}

#define SAME_SEG(n)	check(same_segment(&a->sregs.n, &b->sregs.n), \
			      "%s: " #n " %x %llx %x type %x natively, %x %llx %x type %x emulated", s->what, a->sregs.n.selector, \
			      a->sregs.n.base, a->sregs.n.limit, a->sregs.n.type, b->sregs.n.selector, b->sregs.n.base, b->sregs.n.limit, \
			      b->sregs.n.type)

static void compare(const struct step *s, struct state *a, struct state *b)
{
	if (!SAME(exit))
		return;
	SAME(exception);
	SAME(error);
	SAME(rip);
	if (!a->exception) {
		SAME(regs.rax), SAME(regs.rdx), SAME(regs.rip);
		a->regs.rflags &= ~s->undefined, b->regs.rflags &= ~s->undefined;
		SAME(regs.rflags);
	}
	SAME(regs.rcx), SAME(regs.rbx), SAME(regs.rsp), SAME(regs.rbp), SAME(regs.rsi), SAME(regs.rdi);
	SAME(regs.r8), SAME(regs.r9), SAME(regs.r10), SAME(regs.r11), SAME(regs.r15);
	SAME_SEG(cs), SAME_SEG(ss), SAME_SEG(ds), SAME_SEG(es), SAME_SEG(fs), SAME_SEG(gs), SAME_SEG(tr), SAME_SEG(ldt);
	SAME(sregs.gdt.base), SAME(sregs.gdt.limit), SAME(sregs.idt.base), SAME(sregs.idt.limit);
	SAME(sregs.cr0), SAME(sregs.cr2), SAME(sregs.cr3), SAME(sregs.cr4), SAME(sregs.cr8), SAME(sregs.efer);
	SAME(dr.db[0]), SAME(dr.db[3]), SAME(dr.dr6), SAME(dr.dr7);
	for (int i = 0; i < 8; i++)
		SAME(msr[i]);
	check(!memcmp(a->mem, b->mem, sizeof(a->mem)), "%s: memory differs", s->what);
	check(!memcmp(a->tables, b->tables, sizeof(a->tables)), "%s: descriptors differ", s->what);
	for (unsigned int i = 0; i < sizeof(a->stack) / 4; i++)
		if (!check(same_word(a->stack[i], b->stack[i]), "%s: the stack at %#llx is %#x natively, %#x emulated", s->what,
			   KT_STACK - sizeof(a->stack) + i * 4, a->stack[i], b->stack[i]))
			break;
}

static void both_ways(const struct step *list, size_t n, enum kt_mode mode)
{
	static struct state native, forced;
	struct kt_vm *vm;
	struct kt_vcpu *v;

	need_prefix();
	vm = kt_vm_new(1 << 20, false);
	v = kt_vcpu_new(vm, 0, mode);
	for (size_t i = 0; i < n; i++) {
		if (list[i].not_tcg && kt_host_tcg())
			continue;
		prepare(v, &list[i], mode, false);
		collect(v, &native, false);
		kt_vcpu_free(v);		/* nothing of one run is left for the other */
		kt_vm_free(vm);
		vm = kt_vm_new(1 << 20, false);
		v = kt_vcpu_new(vm, 0, mode);
		prepare(v, &list[i], mode, true);
		collect(v, &forced, true);
		move_addresses(&forced);
		compare(&list[i], &native, &forced);
		kt_vcpu_free(v);
		kt_vm_free(vm);
		vm = kt_vm_new(1 << 20, false);
		v = kt_vcpu_new(vm, 0, mode);
	}
}

#define BOTH(list, mode)	both_ways(list, sizeof(list) / sizeof(list[0]), mode)
#define AF	0x10
#define ARITH	0x8d5

static const struct step plain[] = {
	{ "add to memory", "48 01 03", .rax = 0x8000000000000001, .mem = { 1 } },
	{ "adc", "11 c8", .rax = ~0u, .rcx = 1 },
	{ "sbb of bytes", "1a 03", .rax = 3, .mem = { 9 } },
	{ "lock xadd", "f0 48 0f c1 03", .rax = 5, .mem = { 7 } },
	{ "lock xadd, misaligned", "f0 48 0f c1 43 01", .rax = 5, .mem = { 7, 1 } },
	{ "xchg with memory", "87 03", .rax = 0x1234, .mem = { 7, 1 } },
	{ "cmpxchg, equal", "f0 0f b1 0b", .rax = 7, .rcx = 9, .mem = { 7 } },
	{ "cmpxchg, different", "f0 0f b1 0b", .rax = 8, .rcx = 9, .mem = { 7 } },
	{ "cmpxchg8b", "0f c7 0b", .rax = 7, .rcx = 9, .mem = { 7 } },
	{ "cmpxchg16b", "48 0f c7 0b", .rax = 7, .rcx = 9, .mem = { 7 } },
	{ "cmpxchg16b, misaligned", "48 0f c7 4b 08", .not_tcg = true },
	{ "bts by register", "48 0f ab 03", .rax = 70, .undefined = ARITH & ~1 },
	{ "shl", "48 d3 e0", .rax = 0x4000000000000001, .rcx = 1, .undefined = AF },
	{ "imul", "48 0f af c1", .rax = 1ull << 40, .rcx = 1 << 30, .undefined = ARITH & ~0x801 },
	{ "div", "f7 f1", .rax = 100, .rcx = 7, .undefined = ARITH },
	{ "div by zero", "f7 f1", .rax = 100, .undefined = ARITH },
	{ "movsx", "48 63 03", .mem = { 0, 0, 0, 0x80 } },
	{ "rep movsb", "f3 a4", .rcx = 20 },
	{ "rep stosq", "f3 48 ab", .rax = 0x1122334455667788, .rcx = 3 },
	{ "repe cmpsb", "f3 a6", .rcx = 9 },
	{ "repne scasb", "f2 ae", .rax = 0, .rcx = 9 },
	{ "lodsw", "66 ad", .rax = ~0ull },
	{ "pushf", "9c" },
	{ "push of memory", "ff 33", .mem = { 1, 2, 3, 4, 5, 6, 7, 8 } },
	{ "enter, two levels", "c8 10 00 02", .not_tcg = true },
	{ "call through memory", "ff 13", .mem = { 0, 2, 1 } },
	{ "jmp through memory", "ff 23", .mem = { 0, 2, 1 } },
	{ "lock on a register", "f0 01 c0" },
	{ "lock mov", "f0 89 03", .not_tcg = true },
	{ "sixteen bytes", "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90" },
	{ "ud2", "0f 0b" },
	{ "not canonical", "48 8b 00", .rax = 1ull << 47 },
	{ "not canonical stack", "48 8b 04 04", .rax = 1ull << 47, .not_tcg = true },
	{ "page fault", "48 89 00", .rax = 1ull << 40 },
	{ "popcnt", "f3 48 0f b8 c1", .rcx = 0xff00ff },
	{ "bswap", "48 0f c8", .rax = 0x0102030405060708 },
	{ "cwd, cdq, cqo", "48 99", .rax = 1ull << 63 },
	{ "into in 64-bit mode", "ce" },
};

TEST(ordinary_instructions)
{
	BOTH(plain, KT_LONG);
}

static const struct step ring0[] = {
	{ "mov from cr0", "0f 20 c0" },
	{ "mov to cr0: AM, MP", "0f 22 c0", .rax = 0x80040033 },
	{ "mov to cr0: NW without CD", "0f 22 c0", .rax = 0xa0000033 },
	{ "mov to cr0: paging off", "0f 22 c0", .rax = 0x33 },
	{ "mov to cr0: upper half", "0f 22 c0", .rax = 0x180000033 },
	{ "mov to cr2", "0f 22 d0", .rax = 0x123456789abc },
	{ "mov to cr3", "0f 22 d8", .rax = KT_TABLES },
	{ "mov to cr4", "0f 22 e0", .rax = 0x6a0 },
	{ "mov to cr4: no PAE", "0f 22 e0", .rax = 0x200 },
	{ "mov to cr4: reserved", "0f 22 e0", .rax = 1ull << 40 },
	{ "mov to cr8", "44 0f 22 c0", .rax = 5 },
	{ "mov to cr8: 16", "44 0f 22 c0", .rax = 16, .not_tcg = true },
	{ "cr1", "0f 20 c8" },
	{ "mov to dr0", "0f 23 c0", .rax = 0x1234567890 },
	{ "mov to dr7", "0f 23 f8", .rax = 0x401 },
	{ "mov to dr7: upper half", "0f 23 f8", .rax = 1ull << 40, .not_tcg = true },
	{ "mov from dr6", "0f 21 f0" },
	{ "mov from dr4", "0f 21 e0" },
	{ "clts", "0f 06" },
	{ "lmsw", "0f 01 f0", .rax = 0xb },
	{ "smsw", "48 0f 01 e0" },
	{ "sgdt", "0f 01 03" },
	{ "sidt", "0f 01 0b" },
	{ "lgdt", "0f 01 13", .mem = { 0x6f, 0, 0, 0x20, 8 } },
	{ "lgdt, not canonical", "0f 01 13", .mem = { 0x6f, 0, 0, 0, 0, 0, 0, 0, 0, 0x80 }, .not_tcg = true },
	{ "lidt", "0f 01 1b", .mem = { 0xff, 0xf, 0, 0x30, 8 } },
	{ "sldt", "0f 00 c0", .rax = ~0ull },
	{ "str", "0f 00 c8", .rax = ~0ull },
	{ "ltr, busy", "0f 00 d8", .rax = 0x10 },
	{ "ltr", "0f 00 d8", .rax = 0x30 },
	{ "lldt null", "0f 00 d0" },
	{ "lldt of a code segment", "0f 00 d0", .rax = 8 },
	{ "lar", "0f 02 c1", .rcx = 8, .not_tcg = true },
	{ "lar, over the limit", "0f 02 c1", .rcx = 0x100 },
	{ "lsl", "0f 03 c1", .rcx = 0x30 },
	{ "verw", "0f 00 e9", .rcx = 0x10 },
	{ "mov to ds", "8e d8", .rax = 0x20 },
	{ "mov to ds, not present", "8e d8", .rax = 0x40 },
	{ "mov to ds, a TSS", "8e d8", .rax = 0x30 },
	{ "mov to ds, over the limit", "8e d8", .rax = 0x100 },
	{ "mov to ss null", "8e d0" },
	{ "mov to ss, of user code", "8e d0", .rax = 0x23 },
	{ "mov to fs null", "8e e0" },
	{ "lss", "0f b2 03", .mem = { 0, 1, 2, 3, 0x10 } },
	{ "invlpg", "0f 01 3b" },
	{ "wbinvd", "0f 09" },
	{ "rdmsr STAR", "0f 32", .rcx = 0xc0000081 },
	{ "rdmsr, none", "0f 32", .rcx = 0xdead },
	{ "wrmsr LSTAR", "0f 30", .rcx = 0xc0000082, .rax = 0x1234, .rdx = 0x10 },
	{ "wrmsr LSTAR, not canonical", "0f 30", .rcx = 0xc0000082, .rdx = 0x8000, .not_tcg = true },
	{ "wrmsr EFER", "0f 30", .rcx = 0xc0000080, .rax = 0xd01 },
	{ "wrmsr PAT", "0f 30", .rcx = 0x277, .rax = 0x00070406, .rdx = 0x00070406 },
	{ "wrmsr PAT, reserved type", "0f 30", .rcx = 0x277, .rax = 2, .not_tcg = true },
	{ "cpuid", "0f a2", .rax = 1 },
	{ "swapgs", "0f 01 f8" },
	{ "xgetbv without OSXSAVE", "0f 01 d0" },
	{ "rdfsbase without FSGSBASE", "f3 48 0f ae c0" },
	{ "sti", "fb" },
	{ "cli", "fa" },
	{ "popf", "9d" },
};

TEST(system_instructions)
{
	BOTH(ring0, KT_LONG);
}

/* Frames are popped by "mov rsp, rbx" done in registers: the instruction itself works on RBX's memory through XCHG first. */
static const struct step transfers[] = {
	{ "int 80", "cd 80" },
	{ "int3", "cc" },
	{ "int1", "f1", .not_tcg = true },
	{ "jmp far, 32-bit code", "ff 2b", .mem = { 0, 2, 1, 0, 0x18 } },
	{ "jmp far, data segment", "ff 2b", .mem = { 0, 2, 1, 0, 0x10 } },
	{ "jmp far, null", "ff 2b" },
	{ "jmp far, not present", "ff 2b", .mem = { 0, 2, 1, 0, 0x40 } },
	{ "jmp far, user code", "ff 2b", .mem = { 0, 2, 1, 0, 0x2b } },
	{ "jmp far, TSS", "ff 2b", .mem = { 0, 2, 1, 0, 0x30 } },
	{ "call far", "ff 1b", .mem = { 0, 2, 1, 0, 8 } },
	{ "call far, gate of 32-bit code", "ff 1b", .mem = { 0, 0, 0, 0, 0x50 }, .not_tcg = true },
	{ "ret far, zeroes on the stack", "48 cb" },
	{ "iret, zeroes on the stack", "48 cf" },
	{ "syscall without SCE", "0f 05" },
	{ "sysret without SCE", "48 0f 07" },
	{ "rsm", "0f aa", .not_tcg = true },
};

TEST(transfers_of_control)
{
	BOTH(transfers, KT_LONG);
}

static const struct step ring3[] = {
	{ "cli", "fa", .user = true },
	{ "hlt", "f4", .user = true },
	{ "in", "ec", .rdx = 0x80, .user = true },
	{ "mov from cr0", "0f 20 c0", .user = true },
	{ "mov from dr0", "0f 21 c0", .user = true },
	{ "rdmsr", "0f 32", .rcx = 0xc0000080, .user = true },
	{ "lgdt", "0f 01 13", .user = true },
	{ "lldt", "0f 00 d0", .user = true },
	{ "invlpg", "0f 01 3b", .user = true },
	{ "int 80, gate of ring 0", "cd 80", .user = true, .not_tcg = true },
	{ "int3, gate of ring 0", "cc", .user = true, .not_tcg = true },
	{ "mov to ds of ring 0", "8e d8", .rax = 0x10, .user = true },
	{ "mov to ss null", "8e d0", .rax = 3, .user = true },
	{ "swapgs", "0f 01 f8", .user = true },
	{ "clts", "0f 06", .user = true },
	{ "wbinvd", "0f 09", .user = true },
	{ "monitor", "0f 01 c8", .user = true },
	{ "add to memory", "48 01 03", .rax = 9, .user = true, .mem = { 1 } },
};

/* HLT in user mode ends every instruction that is executed: that #GP is the same both ways, too. */
TEST(instructions_of_user_code)
{
	BOTH(ring3, KT_LONG);
}

static const struct step protected_mode[] = {
	{ "add", "01 03", .rax = 0x80000001, .mem = { 1 } },
	{ "pusha", "60", .rax = 1, .rcx = 2 },
	{ "daa", "27", .rax = 0xae, .undefined = 0x800 },
	{ "aam", "d4 0a", .rax = 0x37, .undefined = 0x811 },
	{ "bound", "62 03", .rax = 5, .mem = { 6, 0, 0, 0, 7 } },
	{ "bound, inside", "62 03", .rax = 6, .mem = { 6, 0, 0, 0, 7 } },
	{ "arpl", "63 c8", .rax = 0x10, .rcx = 3 },
	{ "les", "c4 03", .mem = { 1, 2, 3, 4, 0x10 } },
	{ "lds, not present", "c5 03", .mem = { 1, 2, 3, 4, 0x40 } },
	{ "jmp far", "ea 00 02 01 00 18 00" },
	{ "jmp far, 16-bit code", "ea 00 02 00 00 60 00" },
	{ "jmp far, conforming", "ea 00 02 01 00 58 00" },
	{ "jmp far, over the limit", "ea 00 02 01 00 60 00", .not_tcg = true },
	{ "call far", "9a 00 02 01 00 18 00" },
	{ "call gate", "9a 00 00 00 00 50 00" },
	{ "jmp to a task", "ea 00 00 00 00 48 00" },
	{ "call of a task", "9a 00 00 00 00 48 00" },
	{ "jmp to a busy task", "ea 00 00 00 00 30 00" },
	{ "int 80", "cd 80" },
	{ "int3", "cc" },
	{ "into, OF clear", "ce" },
	{ "ltr", "0f 00 d8", .rax = 0x48 },
	{ "lmsw cannot clear PE", "0f 01 f0", .rax = 0 },
	{ "mov to cr0: real mode", "0f 22 c0", .rax = 0x10 },
	{ "pop ss", "17" },
	{ "16-bit push", "66 50", .rax = 0x1234 },
	{ "sysenter", "0f 34", .not_tcg = true },
	{ "sgdt, 16-bit operand", "66 0f 01 03" },
};

TEST(protected_mode_32)
{
	BOTH(protected_mode, KT_PROT);
}

static const struct step real_mode[] = {
	{ "add", "00 07", .rax = 0x81 },
	{ "int 21", "cd 21" },
	{ "into", "ce" },
	{ "pushf", "9c" },
	{ "jmp far", "ea 00 02 00 10" },
	{ "call far", "9a 00 02 00 10" },
	{ "mov to ds", "8e d8", .rax = 0x1234 },
	{ "mov to ss", "8e d0", .rax = 0x1234 },
	{ "les", "c4 07", .mem = { 1, 2, 3, 4 } },
	{ "rep movsw", "f3 a5", .rcx = 5 },
	{ "lodsd", "66 ad" },
	{ "smsw", "0f 01 e0" },
	{ "lgdt", "0f 01 17", .mem = { 0x6f, 0, 0, 0x20, 8, 0x55 } },
	{ "lldt", "0f 00 d0" },
	{ "mov to cr0: PE", "0f 22 c0", .rax = 0x11 },
	{ "div by zero", "f6 f1", .rax = 100, .undefined = ARITH },
	{ "aad", "d5 0a", .rax = 0x505, .undefined = 0x811 },
	{ "imul", "6b c1 10", .rcx = 3, .undefined = ARITH & ~0x801 },
};

TEST(real_mode_16)
{
	BOTH(real_mode, KT_REAL);
}

/* --- LOCK against another processor --- */

#define COUNTER	(KT_DATA + 0x13d)	/* eight bytes, three of them in one cache line and five in the next */
#define ROUNDS	5000u

struct other_side {
	volatile uint64_t *counter;
	uint64_t added;
	bool stop;
};

/* Adds to the counter as well, with pauses of many lengths: long enough that the other side gets through at all. */
static void *other_side(void *arg)
{
	struct other_side *o = arg;

	while (!__atomic_load_n(&o->stop, __ATOMIC_ACQUIRE)) {
		asm volatile("lock incq %0" : "+m" (*o->counter));
		o->added++;
		for (unsigned int i = o->added * 37 % 500; i; i--)
			asm volatile("pause");
	}
	return NULL;
}

GUEST64(locked_adds, "again: ud2; .ascii \"kvm\"; lock incq (%rbx); dec %rcx; jnz again; hlt");
TEST(a_locked_add_across_two_cache_lines_loses_nothing)
{
	struct kvm_regs r = { .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2, .rbx = COUNTER, .rcx = ROUNDS };
	struct other_side o = {};
	struct kt_vcpu *v;
	pthread_t id;

	need_prefix();
	if (kt_cpu_flag("split_lock_detect"))
		skip("this host detects split locks: no locked access across two lines, and none by the emulator");
	v = kt_long_vcpu(false);
	o.counter = &kt_guest_u64(v->vm, COUNTER);
	kt_load(v->vm, locked_adds);
	kt_set_regs(v, &r);
	need(!pthread_create(&id, NULL, other_side, &o));
	kt_run(v, KVM_EXIT_HLT);
	__atomic_store_n(&o.stop, true, __ATOMIC_RELEASE);
	need(!pthread_join(id, NULL));
	check_eq(kt_regs(v).rcx, 0);
	check(o.added > 0, "the other side did not run");
	check(*o.counter == ROUNDS + o.added, "%llu added here and %u by the emulator, but %llu counted",
	      (unsigned long long)o.added, ROUNDS, (unsigned long long)*o.counter);
}

/* --- what nobody executes --- */

GUEST64(addps, "mov $0x20000000, %ebx; addps (%rbx), %xmm0; hlt");
TEST(an_unknown_instruction_is_reported_with_its_bytes)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_run *run = v->run;

	kt_load(v->vm, addps);
	kt_run(v, KVM_EXIT_INTERNAL_ERROR);
	check_eq(run->emulation_failure.suberror, KVM_INTERNAL_ERROR_EMULATION);
	check_eq(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
		 KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	check(run->emulation_failure.insn_size >= 3 && run->emulation_failure.insn_size <= 15, "%u bytes",
	      run->emulation_failure.insn_size);
	check(!memcmp(run->emulation_failure.insn_bytes, "\x0f\x58\x03", 3), "other bytes");
	check_eq(kt_regs(v).rip, KT_CODE + 5);
}

TEST(user_code_gets_ud)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_user_mode(v);
	kt_load(v->vm, addps);
	want_exception(v, EX_UD, NO_ERROR, KT_CODE + 5);
}

LABEL(ss_bp);
LABEL(ss_handler);
GUEST64(behind_ss, "mov $0x10000 + ss_bp - behind_ss, %eax; mov %rax, %dr0; mov $0x402, %eax; mov %rax, %dr7; xor %ecx, %ecx; "
	"mov %ss, %ebx; mov %ebx, %ss; .byte 0x0f, 0x0b, 'k', 'v', 'm'; .globl ss_bp; ss_bp: inc %ecx; hlt; "
	".globl ss_handler; ss_handler: inc %edx; orl $0x10000, 16(%rsp); iretq");
/* Intel's processors do not look for a breakpoint on the instruction behind MOV SS, AMD's do. */
TEST(breakpoint_behind_mov_ss)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	need_prefix();
	if (kt_host_bochs() && !kt_host_amd())
		skip("Bochs's exit on #UD says nothing of the shadow of MOV SS");
	kt_load(v->vm, behind_ss);
	kt_gate(v, EX_DB, at(behind_ss, ss_handler), 0, 0);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rcx, 1);
	check_eq(kt_regs(v).rdx, kt_host_amd());
	kt_disarm(v);
}

TEST(exit_on_emulation_failure)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	if (kt_cap(v->vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE) <= 0)
		skip("no KVM_CAP_EXIT_ON_EMULATION_FAILURE");
	check_err(kt_enable_cap(v->vm->fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 2), EINVAL);
	need_ok(kt_enable_cap(v->vm->fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1));
	kt_user_mode(v);
	kt_load(v->vm, addps);
	kt_run(v, KVM_EXIT_INTERNAL_ERROR);
	check_eq(v->run->emulation_failure.suberror, KVM_INTERNAL_ERROR_EMULATION);
	check_eq(kt_regs(v).rip, KT_CODE + 5);
}

GUEST64(outside, "mov $0x20000000, %eax; jmp *%rax");
TEST(code_outside_of_memory)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, outside);
	kt_run(v, KVM_EXIT_INTERNAL_ERROR);
	check_eq(v->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	check_eq(kt_regs(v).rip, MMIO);
}

KT_CPU_MAIN
