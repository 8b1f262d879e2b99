// SPDX-License-Identifier: GPL-2.0-only
/* Port and memory-mapped I/O answered by user space: single, string, widths, completion order. */
#include "lib/kt.h"

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

GUEST64(mmio, "mov $0x20000000, %rbx; mov $0x1122334455667788, %rax; mov %rax, (%rbx); mov 8(%rbx), %ecx; mov %rcx, 0x30000; hlt");
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

KT_MAIN
