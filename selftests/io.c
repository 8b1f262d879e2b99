// SPDX-License-Identifier: GPL-2.0-only
/* Port and memory-mapped I/O answered by user space: single, string, widths, completion order. */
#include "lib/cpu.h"

GUEST16(out_byte, "mov $0x5a, %al; mov $0x1000, %dx; out %al, (%dx); hlt");
TEST(out_real_mode)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_REAL);

	kt_load(vm, out_byte);
	check_eq(kt_run_to_out(v), 0x5a);
	check_eq(v->run->io.size, 1);
	check_eq(v->run->io.count, 1);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rip, out_byte_end - out_byte);
}

GUEST64(in_dword, "mov $0x1234, %edx; mov $-1, %rax; in (%dx), %eax; mov %rax, 0x30000; hlt");
TEST(in_long_mode)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_LONG);

	kt_load(vm, in_dword);
	kt_run(v, KVM_EXIT_IO);
	check_eq(v->run->io.port, 0x1234);
	check_eq(v->run->io.direction, KVM_EXIT_IO_IN);
	check_eq(v->run->io.size, 4);
	*(uint32_t *)((char *)v->run + v->run->io.data_offset) = 0xcafebabe;
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(vm, KT_DATA), 0xcafebabe);	/* a 32-bit IN clears the upper half */
}

GUEST64(mmio, "mov $0x20000000, %rbx; mov $0x1122334455667788, %rax; mov %rax, (%rbx); mov 8(%rbx), %ecx; mov %rcx, "
	"0x30000; hlt");
TEST(mmio_read_write)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_LONG);

	kt_load(vm, mmio);
	kt_run(v, KVM_EXIT_MMIO);
	check_eq(v->run->mmio.phys_addr, 0x20000000);
	check_eq(v->run->mmio.len, 8);
	check_eq(v->run->mmio.is_write, 1);
	check_eq(*(uint64_t *)v->run->mmio.data, 0x1122334455667788);
	kt_run(v, KVM_EXIT_MMIO);
	check_eq(v->run->mmio.phys_addr, 0x20000008);
	check_eq(v->run->mmio.len, 4);
	check_eq(v->run->mmio.is_write, 0);
	*(uint32_t *)v->run->mmio.data = 0xdeadbeef;
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(vm, KT_DATA), 0xdeadbeef);
}

/* --- port I/O: the accumulator, string instructions --- */

/* Answers and checks exits until HLT; bytes of all OUTs to out, of all INs from in. Returns the bytes moved. */
static size_t serve_ports(struct kt_vcpu *v, uint16_t port, unsigned int size, uint8_t *out, const uint8_t *in)
{
	size_t done = 0;

	while (kt_run_any(v) == KVM_EXIT_IO) {
		uint8_t *data = (uint8_t *)v->run + v->run->io.data_offset;
		size_t n = v->run->io.size * v->run->io.count;

		check_eq(v->run->io.port, port);
		check_eq(v->run->io.size, size);
		check(n && n <= 4096, "%zu bytes in one exit", n);
		check_eq(v->run->io.direction, out ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN);
		if (out)
			memcpy(out + done, data, n);
		else
			memcpy(data, in + done, n);
		done += n;
	}
	check_eq(v->run->exit_reason, KVM_EXIT_HLT);
	return done;
}

GUEST64(in_widths, "mov $-1, %rax; mov $0x1000, %dx; in (%dx), %al; mov %rax, 0x30000; "
	"mov $-1, %rax; in (%dx), %ax; mov %rax, 0x30008; mov $-1, %rax; in $0x80, %eax; mov %rax, 0x30010; hlt");
TEST(in_keeps_what_is_above)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	static const uint64_t want[] = { 0xffffffffffffff21, 0xffffffffffff4321, 0x87654321 };
	static const uint16_t port[] = { 0x1000, 0x1000, 0x80 };

	kt_load(v->vm, in_widths);
	for (int i = 0; i < 3; i++) {
		kt_run(v, KVM_EXIT_IO);
		check_eq(v->run->io.port, port[i]);
		check_eq(v->run->io.size, 1 << i);
		*(uint32_t *)((char *)v->run + v->run->io.data_offset) = 0x87654321;
	}
	kt_run(v, KVM_EXIT_HLT);
	for (int i = 0; i < 3; i++)
		check_eq(kt_guest_u64(v->vm, KT_DATA + 8 * i), want[i]);
}

GUEST64(outs, "mov $0x30ff8, %esi; mov $4, %ecx; mov $0x1000, %dx; cld; rep outsl; hlt");
TEST(rep_outs_over_a_page)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint8_t got[64] = {}, want[16];

	kt_load(v->vm, outs);
	for (int i = 0; i < 16; i++)
		want[i] = 0xa0 + i;
	kt_put(v->vm, 0x30ff8, want, 16);
	check_eq(serve_ports(v, 0x1000, 4, got, NULL), 16);
	check(!memcmp(got, want, 16), "other bytes than those in memory");
	check_eq(kt_regs(v).rcx, 0);
	check_eq(kt_regs(v).rsi, 0x31008);
}

GUEST64(outs_down, "mov $0x30004, %esi; mov $3, %ecx; mov $0x1000, %dx; std; rep outsw; cld; hlt");
TEST(rep_outs_downwards)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	static const uint16_t words[] = { 0x1111, 0x2222, 0x3333 };
	uint16_t got[8] = {};

	kt_load(v->vm, outs_down);
	kt_put(v->vm, KT_DATA, words, 6);
	check_eq(serve_ports(v, 0x1000, 2, (uint8_t *)got, NULL), 6);
	check(got[0] == 0x3333 && got[1] == 0x2222 && got[2] == 0x1111, "%x %x %x", got[0], got[1], got[2]);
	check_eq(kt_regs(v).rsi, 0x2fffe);
}

GUEST64(ins, "mov $0x30ffe, %edi; mov $4, %ecx; mov $0x1000, %dx; cld; rep insw; hlt");
TEST(rep_ins_over_a_page)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint8_t in[16];

	for (int i = 0; i < 16; i++)
		in[i] = 0x50 + i;
	kt_load(v->vm, ins);
	check_eq(serve_ports(v, 0x1000, 2, NULL, in), 8);
	check(!memcmp(v->vm->mem + 0x30ffe, in, 8), "the data did not arrive");
	check_eq(v->vm->mem[0x31006], 0);
	check_eq(kt_regs(v).rcx, 0);
	check_eq(kt_regs(v).rdi, 0x31006);
}

GUEST64(ins_many, "mov $0x30001, %edi; mov $9001, %ecx; mov $0x1000, %dx; cld; rep insb; hlt");
TEST(rep_ins_more_than_the_data_page)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	static uint8_t in[16384];

	for (unsigned int i = 0; i < sizeof(in); i++)
		in[i] = i * 7 + i / 256;
	kt_load(v->vm, ins_many);
	check_eq(serve_ports(v, 0x1000, 1, NULL, in), 9001);
	check(!memcmp(v->vm->mem + 0x30001, in, 9001), "the data did not arrive");
	check_eq(v->vm->mem[0x30000], 0);
	check_eq(v->vm->mem[0x30001 + 9001], 0);
	check_eq(kt_regs(v).rdi, 0x30001 + 9001);
}

GUEST64(ins_down, "mov $0x30008, %edi; mov $3, %ecx; mov $0x1000, %dx; std; rep insl; cld; hlt");
TEST(rep_ins_downwards)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	static const uint32_t in[4] = { 0x11111111, 0x22222222, 0x33333333 };

	kt_load(v->vm, ins_down);
	check_eq(serve_ports(v, 0x1000, 4, NULL, (const uint8_t *)in), 12);
	check_eq(kt_guest_u32(v->vm, 0x30008), 0x11111111);
	check_eq(kt_guest_u32(v->vm, 0x30004), 0x22222222);
	check_eq(kt_guest_u32(v->vm, 0x30000), 0x33333333);
	check_eq(kt_regs(v).rdi, 0x2fffc);
}

GUEST64(outs_none, "mov $0x30000, %esi; xor %ecx, %ecx; mov $0x1000, %dx; rep outsb; rep insb; hlt");
TEST(rep_with_count_zero)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, outs_none);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rsi, 0x30000);
}

GUEST16(outs16, "mov $0x3000, %ax; mov %ax, %ds; mov $0xfffe, %si; mov $2, %cx; mov $0x1000, %dx; cld; rep outsw; hlt");
TEST(rep_outs_wraps_the_segment)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_REAL);
	uint16_t got[8] = {};

	kt_load(vm, outs16);
	*(uint16_t *)(vm->mem + 0x3fffe) = 0xaaaa;
	*(uint16_t *)(vm->mem + 0x30000) = 0xbbbb;
	check_eq(serve_ports(v, 0x1000, 2, (uint8_t *)got, NULL), 4);
	check(got[0] == 0xaaaa && got[1] == 0xbbbb, "%x %x", got[0], got[1]);
	check_eq(kt_regs(v).rsi & 0xffff, 2);
}

GUEST64(outs_mmio, "mov $0x20000000, %esi; mov $0x1000, %dx; cld; outsb; hlt");
TEST(outs_from_a_device)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, outs_mmio);
	kt_run(v, KVM_EXIT_MMIO);
	check_eq(v->run->mmio.phys_addr, 0x20000000);
	check_eq(v->run->mmio.is_write, 0);
	v->run->mmio.data[0] = 0x77;
	check_eq(kt_run_to_out(v), 0x77);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rsi, 0x20000001);
}

GUEST64(quirk, "out %al, $0x7e; hlt");
TEST(port_7e_quirk)
{
	for (int off = 0; off < 2; off++) {
		struct kt_vm *vm = kt_vm_new(1 << 20, false);
		struct kt_vcpu *v;

		if (off && !(kt_cap(vm, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_OUT_7E_INC_RIP))
			skip("the quirk cannot be switched off here");
		if (off)
			need_ok(kt_enable_cap(vm->fd, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_OUT_7E_INC_RIP));
		v = kt_vcpu_new(vm, 0, KT_LONG);
		kt_load(vm, quirk);
		kt_run(v, KVM_EXIT_IO);
		if (!off)
			check_eq(kt_regs(v).rip, KT_CODE + 2);
		kt_run(v, KVM_EXIT_HLT);
		check_eq(kt_regs(v).rip, KT_CODE + 3);
		kt_vcpu_free(v);
		kt_vm_free(vm);
	}
}

TEST(run_page_is_not_trusted)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, in_dword);
	kt_run(v, KVM_EXIT_IO);
	*(uint32_t *)((char *)v->run + v->run->io.data_offset) = 0x12345678;
	v->run->io.size = 200;
	v->run->io.count = 0x7fffffff;
	v->run->io.port = 7;
	v->run->io.direction = 9;
	v->run->io.data_offset = ~0ull << 40;
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0x12345678);
}

TEST(mmio_in_the_run_page_is_not_trusted)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, mmio);
	kt_run(v, KVM_EXIT_MMIO);
	v->run->mmio.len = ~0u;
	v->run->mmio.phys_addr = KT_DATA;
	v->run->mmio.is_write = 0;
	kt_run(v, KVM_EXIT_MMIO);
	check_eq(v->run->mmio.phys_addr, 0x20000008);
	*(uint64_t *)v->run->mmio.data = ~0ull;
	v->run->mmio.len = 1u << 31;
	v->run->mmio.is_write = 1;
	v->run->mmio.phys_addr = 0;
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0xffffffff);
}

/* --- KVM_RUN with immediate_exit: what was begun is finished, nothing else runs --- */

TEST(immediate_exit_finishes_a_port_read)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, in_dword);
	kt_run(v, KVM_EXIT_IO);
	*(uint32_t *)((char *)v->run + v->run->io.data_offset) = 0x600df00d;
	v->run->immediate_exit = 1;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	check_eq(v->run->exit_reason, KVM_EXIT_IO);		/* as it was */
	check_eq(v->run->immediate_exit, 1);
	check_eq(kt_regs(v).rax, 0x600df00d);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0);
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0);
	v->run->immediate_exit = 0;
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0x600df00d);
}

TEST(immediate_exit_finishes_mmio)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint64_t rip;

	kt_load(v->vm, mmio);
	kt_run(v, KVM_EXIT_MMIO);
	kt_run(v, KVM_EXIT_MMIO);
	rip = kt_regs(v).rip;
	*(uint32_t *)v->run->mmio.data = 0x1badcafe;
	v->run->immediate_exit = 1;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	check_eq(kt_regs(v).rcx, 0x1badcafe);
	check_eq(kt_regs(v).rip, rip + 3);
	v->run->immediate_exit = 0;
	kt_run(v, KVM_EXIT_HLT);
}

TEST(immediate_exit_runs_nothing)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, mmio);
	v->run->immediate_exit = 1;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	check_eq(kt_regs(v).rip, KT_CODE);
}

/* --- memory-mapped I/O --- */

struct mmio_log {
	unsigned int reads, writes;
	uint8_t written[4096];		/* by offset into a window */
	uint8_t touched[4096];
	const uint8_t *source;		/* what reads give, by offset */
	uint64_t base;
};

/* Answers MMIO in [base, base + 4096) until another exit, whose reason it returns. */
static uint32_t serve_mmio(struct kt_vcpu *v, struct mmio_log *log)
{
	uint32_t reason;

	while ((reason = kt_run_any(v)) == KVM_EXIT_MMIO) {
		uint64_t gpa = v->run->mmio.phys_addr, off = gpa - log->base;
		uint32_t len = v->run->mmio.len;

		need(len && len <= 8, "an access of %u bytes", len);
		need(off < 4096 && off + len <= 4096, "an access to %llx", (unsigned long long)gpa);
		check((gpa & 0xfff) + len <= 4096, "over a page boundary");
		if (v->run->mmio.is_write) {
			log->writes++;
			memcpy(log->written + off, v->run->mmio.data, len);
			memset(log->touched + off, 1, len);
		} else {
			log->reads++;
			if (log->source)
				memcpy(v->run->mmio.data, log->source + off, len);
		}
	}
	if (reason == KVM_EXIT_IO && v->run->io.port == KT_PORT)
		check(false, "OUT of %#x; error code %#x, RIP %#llx, CR2 %#llx",
		      *(uint32_t *)((char *)v->run + v->run->io.data_offset), kt_guest_u32(v->vm, KT_DATA - 8),
		      (unsigned long long)kt_guest_u64(v->vm, KT_DATA - 16), kt_sregs(v).cr2);
	return reason;
}

/* The pattern of reads: every byte its own offset. */
static const uint8_t *pattern(void)
{
	static uint8_t p[4096];

	for (int i = 0; i < 4096; i++)
		p[i] = i ^ i >> 8;
	return p;
}

GUEST64(split, "mov $0x1122334455667788, %rax; mov %rax, 0x20000ffc; mov 0x20000ffd, %rbx; mov %rbx, 0x30000; hlt");
TEST(mmio_over_a_page)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct mmio_log log = { .base = 0x20000800, .source = pattern() };

	kt_load(v->vm, split);
	check_eq(serve_mmio(v, &log), KVM_EXIT_HLT);
	check_eq(log.writes, 2);
	check_eq(log.reads, 2);
	check_eq(*(uint64_t *)(log.written + 0x7fc), 0x1122334455667788);
	check_eq(kt_guest_u64(v->vm, KT_DATA), *(uint64_t *)(log.source + 0x7fd));
}

GUEST64(edge, "mov $0x1122334455667788, %rax; mov %rax, 0xffffc; mov 0xffffa, %rbx; mov %rbx, 0x30000; hlt");
TEST(half_memory_half_device)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct mmio_log log = { .base = 0x100000, .source = pattern() };
	uint64_t want = 0;

	kt_load(v->vm, edge);
	*(uint16_t *)(v->vm->mem + 0xffffa) = 0xbeef;
	check_eq(serve_mmio(v, &log), KVM_EXIT_HLT);
	check_eq(log.writes, 1);
	check_eq(log.reads, 1);
	check_eq(kt_guest_u32(v->vm, 0xffffc), 0x55667788);
	check_eq(*(uint32_t *)log.written, 0x11223344);
	want = 0xbeef | 0x55667788ull << 16 | (uint64_t)*(uint16_t *)log.source << 48;
	check_eq(kt_guest_u64(v->vm, KT_DATA), want);
}

GUEST64(rmw, "movl $0x20000010, %ebx; addl $5, (%rbx); lock orb $0x80, 4(%rbx); mov $0x99, %ecx; xchg %rcx, 8(%rbx); "
	"mov %rcx, 0x30000; incw 16(%rbx); btsl $3, 20(%rbx); setc 0x30008; hlt");
TEST(read_modify_write_once)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct mmio_log log = { .base = 0x20000000, .source = pattern() };

	kt_load(v->vm, rmw);
	check_eq(serve_mmio(v, &log), KVM_EXIT_HLT);
	check_eq(log.reads, 5);
	check_eq(log.writes, 5);
	check_eq(*(uint32_t *)(log.written + 0x10), 0x13121110 + 5);
	check_eq(log.written[0x14], 0x94);
	check_eq(*(uint64_t *)(log.written + 0x18), 0x99);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0x1f1e1d1c1b1a1918);
	check_eq(*(uint16_t *)(log.written + 0x20), 0x2121);
	check_eq(*(uint32_t *)(log.written + 0x24), 0x2726252c);
	check_eq(kt_guest_u64(v->vm, KT_DATA + 8), 0);
}

GUEST64(sse, "movl $0x20000000, %ebx; movdqu 1(%rbx), %xmm1; movups 16(%rbx), %xmm2; movaps 32(%rbx), %xmm3; "
	"movups %xmm1, 0x30000; movups %xmm2, 0x30010; movups %xmm3, 0x30020; "
	"movdqu %xmm1, 65(%rbx); movups %xmm2, 80(%rbx); movaps %xmm3, 96(%rbx); hlt");
TEST(sse_moves)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct mmio_log log = { .base = 0x20000000, .source = pattern() };

	kt_load(v->vm, sse);
	check_eq(serve_mmio(v, &log), KVM_EXIT_HLT);
	check_eq(log.reads, 6);
	check_eq(log.writes, 6);
	check(!memcmp(v->vm->mem + KT_DATA, log.source + 1, 16), "movdqu load");
	check(!memcmp(v->vm->mem + KT_DATA + 16, log.source + 16, 32), "movups, movaps load");
	check(!memcmp(log.written + 65, log.source + 1, 15) && !memcmp(log.written + 80, log.source + 16, 32),
	      "stores");
}

GUEST64(sse_unaligned, "movl $0x20000001, %ebx; movaps (%rbx), %xmm1; hlt");
TEST(movaps_to_a_device_wants_alignment)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	if (kt_host_tcg())
		skip("QEMU's emulation does not check the alignment before it translates the address");
	kt_load(v->vm, sse_unaligned);
	want_exception(v, EX_GP, 0, KT_CODE + 5);
}

GUEST64(movs, "mov $0x20000100, %esi; mov $0x30003, %edi; mov $11, %ecx; cld; rep movsb; "
	"mov $0x30000, %esi; mov $0x20000200, %edi; mov $3, %ecx; rep movsq; mov $0x20000300, %edi; mov $0x41424344, "
		"%eax; "
	"mov $2, %ecx; rep stosl; mov $0x20000400, %esi; lodsb; hlt");
TEST(string_moves)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct mmio_log log = { .base = 0x20000000, .source = pattern() };

	kt_load(v->vm, movs);
	check_eq(serve_mmio(v, &log), KVM_EXIT_HLT);
	check(!memcmp(v->vm->mem + 0x30003, log.source + 0x100, 11), "from the device");
	check(!memcmp(v->vm->mem + 0x30000, log.written + 0x200, 24), "to the device");
	check(!memcmp(log.written + 0x300, "DCBADCBA", 8), "stos");
	check_eq(kt_regs(v).rax & 0xff, log.source[0x400]);
	check_eq(log.touched[0x1ff] | log.touched[0x218] | log.touched[0x2ff] | log.touched[0x308], 0);
	check_eq(kt_regs(v).rsi, 0x20000401);
	check_eq(kt_regs(v).rcx, 0);
}

GUEST64(extend, "movl $0x20000080, %ebx; movzbl (%rbx), %ecx; mov %rcx, 0x30000; movsbq (%rbx), %rcx; mov %rcx, "
	"0x30008; "
	"movswl (%rbx), %ecx; mov %rcx, 0x30010; movslq 16(%rbx), %rcx; mov %rcx, 0x30018; "
	"cmpb $0x80, (%rbx); sete 0x30020; testl $1, 1(%rbx); setnz 0x30021; movb $1, %ah; mov %ah, 3(%rbx); hlt");
TEST(widths_and_extensions)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct mmio_log log = { .base = 0x20000000, .source = pattern() };

	kt_load(v->vm, extend);
	check_eq(serve_mmio(v, &log), KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0x80);
	check_eq(kt_guest_u64(v->vm, KT_DATA + 8), 0xffffffffffffff80);
	check_eq(kt_guest_u64(v->vm, KT_DATA + 16), 0xffff8180);
	check_eq(kt_guest_u64(v->vm, KT_DATA + 24), 0xffffffff93929190);
	check_eq(v->vm->mem[KT_DATA + 32], 1);
	check_eq(v->vm->mem[KT_DATA + 33], 1);
	check_eq(log.writes, 1);
	check_eq(log.written[0x83], 1);
}

GUEST64(stack, "mov $0x20000100, %esp; push $0x77; pop %rax; pushf; mov $0x20000, %esp; push 0x20000008; pop "
	"0x20000018; hlt");
TEST(stack_on_a_device)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct mmio_log log = { .base = 0x20000000, .source = pattern() };

	kt_load(v->vm, stack);
	check_eq(serve_mmio(v, &log), KVM_EXIT_HLT);
	check_eq(*(uint64_t *)(log.written + 0xf8) & ~0x40ull, 2);
	check_eq(kt_regs(v).rax, *(uint64_t *)(log.source + 0xf8));
	check_eq(*(uint64_t *)(log.written + 0x18), *(uint64_t *)(log.source + 8));
	check_eq(kt_regs(v).rsp, 0x20000);
}

GUEST64(rom, "mov 0x200000, %rax; mov %rax, 0x30000; movl $0x55, 0x200004; mov 0x200000, %rax; mov %rax, 0x30008; "
	"addl $1, 0x200008; hlt");
TEST(writes_to_a_readonly_slot)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct mmio_log log = { .base = 0x200000 };
	uint64_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	page[0] = 0x1234567890abcdef;
	page[1] = 41;
	need_ok(kt_slot(v->vm, 1, KVM_MEM_READONLY, 0x200000, 4096, page));
	kt_load(v->vm, rom);
	check_eq(serve_mmio(v, &log), KVM_EXIT_HLT);
	check_eq(log.reads, 0);
	check_eq(log.writes, 2);
	check_eq(*(uint32_t *)(log.written + 4), 0x55);
	check_eq(*(uint32_t *)(log.written + 8), 42);
	check_eq(page[0], 0x1234567890abcdef);
	check_eq(page[1], 41);
	check_eq(kt_guest_u64(v->vm, KT_DATA + 8), 0x1234567890abcdef);
}

GUEST16(mmio16, "mov $0xa000, %ax; mov %ax, %es; movb $0x33, %es:5; mov %es:6, %bx; movl $0x01020304, %es:8; hlt");
TEST(mmio_in_real_mode)
{
	struct kt_vm *vm = kt_vm_new(0x90000, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_REAL);
	struct mmio_log log = { .base = 0xa0000, .source = pattern() };

	kt_load(vm, mmio16);
	check_eq(serve_mmio(v, &log), KVM_EXIT_HLT);
	check_eq(log.written[5], 0x33);
	check_eq(*(uint32_t *)(log.written + 8), 0x01020304);
	check_eq(kt_regs(v).rbx & 0xffff, 0x0706);
}

GUEST64(lapic, "mov 0xfee00030, %eax; mov %eax, %ebx; mov $0x1000, %dx; out %eax, (%dx); mov 0xfec00010, %eax; out "
	"%eax, (%dx)");
TEST(kernel_devices_do_not_exit)
{
	struct kt_vcpu *v = kt_long_vcpu(true);
	uint32_t version;

	kt_load(v->vm, lapic);
	version = kt_run_to_out(v);
	check((version & 0xff) >= 0x10 && (version & 0xff) <= 0x15, "version %#x", version);
	kt_run_to_out(v);
}

GUEST64(no_lapic, "mov 0xfee00030, %eax; hlt");
TEST(without_irqchip_the_apic_page_is_the_vmms)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, no_lapic);
	kt_run(v, KVM_EXIT_MMIO);
	check_eq(v->run->mmio.phys_addr, 0xfee00030);
	check_eq(v->run->mmio.len, 4);
	kt_run(v, KVM_EXIT_HLT);
}

GUEST64(user_in, "mov $0x1000, %dx; in (%dx), %al; hlt");
TEST(ports_are_closed_to_user_mode)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_user_mode(v);
	kt_load(v->vm, user_in);
	want_exception(v, EX_GP, 0, KT_CODE + 4);
}

GUEST64(user_outs, "mov $0x30000, %esi; mov $0x1000, %dx; outsb; hlt");
TEST(ports_open_by_the_bitmap)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_sregs s;

	if (kt_host_tcg())
		skip("QEMU's emulation does not find the bitmap of a TSS that is marked busy");
	kt_user_mode(v);
	s = kt_sregs(v);
	s.tr.limit = 104 + 0x1010 / 8;	/* the map with its last byte, all zero but that */
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	memset(v->vm->mem + KT_TSS + 104, 0, 0x1010 / 8);
	v->vm->mem[KT_TSS + 104 + 0x1010 / 8] = 0xff;
	v->vm->mem[KT_DATA] = 0x42;
	kt_load(v->vm, user_outs);
	check_eq(kt_run_to_out(v), 0x42);
	want_exception(v, EX_GP, 0, KT_CODE + 10);	/* HLT in user mode */
}

KT_CPU_MAIN
