// SPDX-License-Identifier: GPL-2.0-only
/* See access.h. */
#include "access.h"

#define READ_AT		KT_CODE
#define WRITE_AT	(KT_CODE + 0x100)
#define WATCH_AT	(KT_CODE + 0x200)
#define FILL_AT		(KT_CODE + 0x300)

GUEST64(read_once, "mov (%rsi), %rax\n mov $0x1000, %dx\n out %eax, %dx\n hlt\n");
GUEST64(write_once, "mov %rax, (%rsi)\n mov $0x1000, %dx\n out %eax, %dx\n hlt\n");
/* rsi first, rcx how many, rbx stride, rdi out */
GUEST64(watch, "xor %rbp, %rbp\n 1: mov %rsi, %r8\n mov %rcx, %r9\n"
	"2: mov (%r8), %rax\n mov %rax, (%rdi)\n inc %rbp\n mov %rbp, 8(%rdi)\n add %rbx, %r8\n dec %r9\n jnz 2b\n jmp 1b\n");
GUEST64(fill, "xor %rax, %rax\n 1: inc %rax\n mov %rsi, %r8\n mov %rcx, %r9\n"
	"2: mov %rax, (%r8)\n add %rbx, %r8\n dec %r9\n jnz 2b\n mov %rax, (%rdi)\n jmp 1b\n");

struct kt_vcpu *kt_access_vcpu(bool irqchip)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, irqchip);

	kt_put(vm, READ_AT, read_once, read_once_end - read_once);
	kt_put(vm, WRITE_AT, write_once, write_once_end - write_once);
	kt_put(vm, WATCH_AT, watch, watch_end - watch);
	kt_put(vm, FILL_AT, fill, fill_end - fill);
	return kt_vcpu_new(vm, 0, KT_LONG);
}

void kt_window(struct kt_vcpu *v, uint64_t gpa, int n)
{
	uint64_t *pd = (uint64_t *)(v->vm->mem + KT_PD) + (KT_WINDOW >> 21);
	struct kvm_sregs s = kt_sregs(v);

	for (int i = 0; i < n; i++)
		pd[i] = (gpa + i * KT_BIG) | 0x87;
	s.cr4 ^= 1 << 7;		/* a change of PGE flushes everything */
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
}

static void set_up(struct kt_vcpu *v, uint64_t rip, uint64_t addr, uint64_t val)
{
	struct kvm_regs r = kt_regs(v);

	r.rip = rip;
	r.rsi = addr;
	r.rax = val;
	kt_set_regs(v, &r);
}

static int once(struct kt_vcpu *v)
{
	int ret;

	do
		ret = ioctl(v->fd, KVM_RUN, 0);
	while (ret < 0 && errno == EAGAIN);
	return ret ? -errno : v->run->exit_reason;
}

int kt_try_read(struct kt_vcpu *v, uint64_t addr)
{
	set_up(v, READ_AT, addr, 0);
	return once(v);
}

int kt_try_write(struct kt_vcpu *v, uint64_t addr, uint64_t val)
{
	set_up(v, WRITE_AT, addr, val);
	return once(v);
}

uint64_t kt_guest_read(struct kt_vcpu *v, uint64_t addr)
{
	int r = kt_try_read(v, addr);

	need(r == KVM_EXIT_IO, "read at %#lx: %d (%s)", addr, r, r < 0 ? strerror(-r) : kt_exit_name(r));
	return kt_regs(v).rax;
}

void kt_guest_write(struct kt_vcpu *v, uint64_t addr, uint64_t val)
{
	int r = kt_try_write(v, addr, val);

	need(r == KVM_EXIT_IO, "write at %#lx: %d (%s)", addr, r, r < 0 ? strerror(-r) : kt_exit_name(r));
}

void kt_finish(struct kt_vcpu *v)
{
	v->run->immediate_exit = 1;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	v->run->immediate_exit = 0;
}

static void set_loop(struct kt_vcpu *v, uint64_t rip, uint64_t addr, uint64_t n, uint64_t stride, uint64_t out)
{
	struct kvm_regs r = { .rip = rip, .rsi = addr, .rcx = n, .rbx = stride, .rdi = out, .rsp = KT_STACK,
		.rflags = 0x202 };	/* as Bochs lets no host interrupt through to a guest with interrupts off */

	kt_set_regs(v, &r);
}

void kt_watch(struct kt_vcpu *v, uint64_t addr, uint64_t n, uint64_t stride, uint64_t out)
{
	set_loop(v, WATCH_AT, addr, n, stride, out);
}

void kt_fill(struct kt_vcpu *v, uint64_t addr, uint64_t n, uint64_t stride, uint64_t out)
{
	set_loop(v, FILL_AT, addr, n, stride, out);
}
