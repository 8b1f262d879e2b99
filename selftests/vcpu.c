// SPDX-License-Identifier: GPL-2.0-only
/* vCPUs as objects: ids, the mapping, KVM_RUN and signals, threads, MP state. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "lib/vm.h"

/* Interrupts on: Bochs lets no interrupt of the host through to a guest that has them off and does not exit by itself. */
GUEST64(spin, "sti\n 1: incq 0x30000\n jmp 1b\n");
GUEST64(count_out, "xor %eax, %eax\n mov $0x1000, %dx\n 1: inc %eax\n out %eax, %dx\n jmp 1b\n");
GUEST64(halts, "1: hlt\n incq 0x30000\n jmp 1b\n");
GUEST64(reads_port, "mov $0x1234, %dx\n in %dx, %eax\n mov %rax, 0x30000\n mov $0x1000, %dx\n out %eax, %dx\n hlt\n");

/* --- ids --- */

static int create(struct kt_vm *vm, unsigned long id)
{
	return ioctl(vm->fd, KVM_CREATE_VCPU, id);
}

TEST(ids)
{
	struct kt_vm *vm = kt_vm_new(0, true);
	unsigned long limit = need_ok(kt_cap(vm, KVM_CAP_MAX_VCPU_ID));

	check(create(vm, 0) >= 0);
	check(create(vm, 7) >= 0);
	check(create(vm, limit - 1) >= 0, "the last id: %s", strerror(errno));
	check_err(create(vm, 0), EEXIST);
	check_err(create(vm, limit - 1), EEXIST);
	check_err(create(vm, limit), EINVAL);
	check_err(create(vm, -1ul), EINVAL);
	if (kt_distro())
		return;			/* 6.1 looks at the lower half only */
	check_err(create(vm, 1ul << 32), EINVAL);
	check_err(create(vm, 1ul << 32 | 3), EINVAL);
	check(create(vm, 3) >= 0, "an id that was refused with high bits set: %s", strerror(errno));
}

TEST(many)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	int n = 40;

	for (int i = 0; i < n; i++)
		need(create(vm, i * 3) >= 0, "vCPU %d: %s", i, strerror(errno));
	check_err(create(vm, 3), EEXIST);
}

TEST(limit_set_by_vmm)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	unsigned long limit = need_ok(kt_cap(vm, KVM_CAP_MAX_VCPU_ID));

	if (kt_enable_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, 0) < 0 && kt_enable_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, 4) < 0)
		skip("KVM_CAP_MAX_VCPU_ID cannot be enabled");
	vm = kt_vm_new(0, false);
	check_err(kt_enable_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, limit + 1), EINVAL);
	check_eq(kt_enable_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, 4), 0);
	check_err(kt_enable_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, 5), EINVAL);
	check_err(create(vm, 4), EINVAL);
	check(create(vm, 3) >= 0);
	if (!kt_distro()) {		/* 6.1 does not look at the boot CPU */
		vm = kt_vm_new(0, true);
		check_eq(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 4ul), 0);
		check_err(kt_enable_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, 3), EINVAL);
		check_eq(kt_enable_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, 4), 0);
	}
	vm = kt_vm_new(0, false);
	check(create(vm, 0) >= 0);
	check_err(kt_enable_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, 4), EINVAL);
}

TEST(boot_cpu)
{
	struct kt_vm *vm = kt_vm_new(0, true);
	unsigned long limit = need_ok(kt_cap(vm, KVM_CAP_MAX_VCPU_ID));
	struct kt_vcpu *v[2];

	if (!kt_distro()) {		/* 6.1 takes anything */
		check_err(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, limit + 1), EINVAL);
		check_err(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 1ul << 32), EINVAL);
	}
	check_eq(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 1ul), 0);
	v[0] = kt_vcpu_new(vm, 0, KT_LONG);
	v[1] = kt_vcpu_new(vm, 1, KT_LONG);
	check_err(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 0ul), EBUSY);
	check_eq(kt_sregs(v[0]).apic_base & 0x100, 0);
	check_eq(kt_sregs(v[1]).apic_base & 0x100, 0x100);
}

TEST(name_of_descriptor)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	char path[64], name[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", create(vm, 5));
	check(readlink(path, name, sizeof(name) - 1) > 0);
	check(!strcmp(name, "anon_inode:kvm-vcpu:5"), "it is %s", name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", vm->fd);
	memset(name, 0, sizeof(name));
	check(readlink(path, name, sizeof(name) - 1) > 0);
	check(!strcmp(name, "anon_inode:kvm-vm"), "it is %s", name);
}

/* --- the mapping --- */

static bool page_is_there(void *p)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		*(volatile char *)p;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

TEST(pages_beyond_the_mapping)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	int fd = need_ok(create(vm, 0)), size = need_ok(ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	uint8_t *p = mmap(NULL, size + 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		skip("a longer mapping is refused");
	for (int at = 0; at < size; at += 4096)
		check(page_is_there(p + at), "page at %#x is missing", at);
	for (int at = size; at < size + 0x10000; at += 4096)
		check(!page_is_there(p + at), "page at %#x should not exist", at);
}

TEST(mapping_is_shared_and_outlives_the_descriptor)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_LONG);
	struct kvm_run *again = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);

	need(again != MAP_FAILED);
	kt_load(vm, count_out);
	check_eq(kt_run_to_out(v), 1);
	check_eq(again->exit_reason, KVM_EXIT_IO);
	v->run->cr8 = 5;
	check_eq(again->cr8, 5);
	close(v->fd);
	close(vm->fd);
	check_eq(again->io.port, KT_PORT);
	check_eq(*(uint32_t *)((uint8_t *)again + again->io.data_offset), 1);
	munmap(again, v->run_size);
	munmap(v->run, v->run_size);
}

/* --- KVM_RUN --- */

static struct kt_vcpu *vcpu_with(const uint8_t *code, size_t n, bool irqchip)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, irqchip);

	kt_put(vm, KT_CODE, code, n);
	return kt_vcpu_new(vm, 0, KT_LONG);
}
#define VCPU_WITH(code, irqchip)	vcpu_with(code, code##_end - code, irqchip)

TEST(run_takes_no_argument)
{
	struct kt_vcpu *v = VCPU_WITH(count_out, false);

	check_err(ioctl(v->fd, KVM_RUN, 1ul), EINVAL);
	check_eq(kt_run_to_out(v), 1);
}

TEST(immediate_exit_runs_nothing)
{
	struct kt_vcpu *v = VCPU_WITH(count_out, false);

	v->run->immediate_exit = 1;
	v->run->exit_reason = 0xabcd;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	check_eq(v->run->exit_reason, 0xabcd);		/* not an exit: what was said before stands */
	check_eq(kt_regs(v).rip, KT_CODE);
	check_eq(v->run->immediate_exit, 1);
	v->run->immediate_exit = 0;
	check_eq(kt_run_to_out(v), 1);
}

/* QEMU and others finish an access this way before they save registers. */
TEST(immediate_exit_completes_an_access)
{
	struct kt_vcpu *v = VCPU_WITH(reads_port, false);
	uint32_t val = 0xcafe1234;

	kt_run(v, KVM_EXIT_IO);
	check_eq(v->run->io.port, 0x1234);
	memcpy((uint8_t *)v->run + v->run->io.data_offset, &val, 4);
	v->run->immediate_exit = 1;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	check_eq(kt_regs(v).rax, val);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0);
	v->run->immediate_exit = 0;
	check_eq(kt_run_to_out(v), val);
}

static void *kick_later(void *arg)
{
	usleep(30000);
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

static void kicked(pthread_t *kicker)
{
	static pthread_t self;

	self = pthread_self();
	kt_catch_usr1();
	need(!pthread_create(kicker, NULL, kick_later, &self));
}

TEST(signal_ends_a_running_guest)
{
	struct kt_vcpu *v = VCPU_WITH(spin, false);
	pthread_t t;

	for (int i = 0; i < 5; i++) {
		uint64_t before = kt_guest_u64(v->vm, KT_DATA);

		kicked(&t);
		check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
		check_eq(v->run->exit_reason, KVM_EXIT_INTR);
		check(kt_guest_u64(v->vm, KT_DATA) > before, "the guest did not run");
		pthread_join(t, NULL);
	}
}

TEST(signal_ends_a_halted_guest)
{
	struct kt_vcpu *v = VCPU_WITH(halts, true);
	struct kvm_mp_state mp;
	pthread_t t;

	kicked(&t);
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	check_eq(v->run->exit_reason, KVM_EXIT_INTR);
	pthread_join(t, NULL);
	need_ok(ioctl(v->fd, KVM_GET_MP_STATE, &mp));
	check_eq(mp.mp_state, KVM_MP_STATE_HALTED);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0);
	/* The VMM may wake it. */
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	check_eq(ioctl(v->fd, KVM_SET_MP_STATE, &mp), 0);
	kicked(&t);
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	pthread_join(t, NULL);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 1);
}

static void block_usr1(bool block)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &s, NULL);
}

static int set_signal_mask(int fd, const uint64_t *mask, uint32_t len)
{
	struct { struct kvm_signal_mask h; uint64_t mask; } __attribute__((packed)) m = { .h.len = len };

	memcpy(m.h.sigset, mask, 8);
	return ioctl(fd, KVM_SET_SIGNAL_MASK, &m);
}

TEST(signal_mask)
{
	struct kt_vcpu *v = VCPU_WITH(count_out, false);
	uint64_t none = 0, usr1 = 1ull << (SIGUSR1 - 1), all = ~0ull;
	sigset_t pending, now;

	kt_catch_usr1();
	block_usr1(true);
	pthread_kill(pthread_self(), SIGUSR1);
	check_eq(kt_run_to_out(v), 1);		/* blocked: without effect */
	check_err(set_signal_mask(v->fd, &none, 4), EINVAL);
	check_err(set_signal_mask(v->fd, &none, 16), EINVAL);
	check_eq(set_signal_mask(v->fd, &none, 8), 0);
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	check_eq(v->run->exit_reason, KVM_EXIT_INTR);
	sigpending(&pending);
	check(sigismember(&pending, SIGUSR1), "KVM_RUN took the signal");
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	check(sigismember(&now, SIGUSR1), "the thread's mask is not what it was");
	check_eq(set_signal_mask(v->fd, &usr1, 8), 0);
	check_eq(kt_run_to_out(v), 2);
	check_eq(set_signal_mask(v->fd, &all, 8), 0);
	check_eq(kt_run_to_out(v), 3);
	check_eq(set_signal_mask(v->fd, &none, 8), 0);
	check_eq(ioctl(v->fd, KVM_SET_SIGNAL_MASK, NULL), 0);
	check_eq(kt_run_to_out(v), 4);		/* as if none had been set */
}

/* No set keeps SIGKILL out. */
TEST(signal_mask_does_not_block_kill)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct kt_vcpu *v = VCPU_WITH(spin, false);
		uint64_t all = ~0ull;

		set_signal_mask(v->fd, &all, 8);
		ioctl(v->fd, KVM_RUN, 0);
		_exit(0);
	}
	usleep(300000);
	kill(pid, SIGKILL);
	check_eq(waitpid(pid, &status, 0), pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(without_memory)
{
	struct kt_vcpu *v = kt_vcpu_new(kt_vm_new(0, false), 0, KT_LONG);

	if (kt_distro())
		skip("what this gives depends on the paging of the host");
	check_eq(ioctl(v->fd, KVM_RUN, 0), 0);
	check_eq(v->run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
}

TEST(halt_is_the_vmms_without_irqchip)
{
	struct kt_vcpu *v = VCPU_WITH(halts, false);

	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 1);
	check_eq(kt_regs(v).rip, KT_CODE + 1);
}

/* --- threads --- */

static void *run_elsewhere(void *arg)
{
	struct kt_vcpu *v = arg;

	ioctl(v->fd, KVM_RUN, 0);
	return NULL;
}

TEST(any_thread_may_run_it)
{
	struct kt_vcpu *v = VCPU_WITH(count_out, false);
	pthread_t t;

	for (int i = 1; i < 40; i++) {
		if (i & 1) {
			check_eq(kt_run_to_out(v), i);
			continue;
		}
		need(!pthread_create(&t, NULL, run_elsewhere, v));
		pthread_join(t, NULL);
		check_eq(v->run->exit_reason, KVM_EXIT_IO);
		check_eq(*(uint32_t *)((uint8_t *)v->run + v->run->io.data_offset), i);
	}
}

struct waiter {
	struct kt_vcpu *v;
	volatile int done;
};

static void *get_regs_while_it_runs(void *arg)
{
	struct waiter *w = arg;
	struct kvm_regs r;

	w->done = ioctl(w->v->fd, KVM_GET_REGS, &r) ? -1 : 1;
	return NULL;
}

TEST(other_calls_wait_for_the_run)
{
	struct waiter w = { VCPU_WITH(spin, false) };
	struct kt_thread *t = kt_start(w.v);
	pthread_t id;

	need(kt_wait(kt_guest_u64(w.v->vm, KT_DATA)));
	need(!pthread_create(&id, NULL, get_regs_while_it_runs, &w));
	usleep(200000);
	check_eq(w.done, 0);
	kt_stop_well(t);
	pthread_join(id, NULL);
	check_eq(w.done, 1);
}

/* Two vCPUs share one CPU: neither starves. */
TEST(two_on_one_cpu)
{
	GUEST64(spin2, "sti\n 1: incq 0x30008\n jmp 1b\n");
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *a = kt_vcpu_new(vm, 0, KT_LONG), *b = kt_vcpu_new(vm, 1, KT_LONG);
	struct kt_thread *ta, *tb;
	struct kvm_regs r = kt_regs(b);
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	need_ok(sched_setaffinity(0, sizeof(one), &one));
	kt_load(vm, spin);
	kt_put(vm, 0x11000, spin2, spin2_end - spin2);
	r.rip = 0x11000;
	kt_set_regs(b, &r);
	ta = kt_start(a);
	tb = kt_start(b);
	for (int i = 0; i < 5; i++) {
		uint64_t x = kt_guest_u64(vm, KT_DATA), y = kt_guest_u64(vm, KT_DATA + 8);

		check(kt_wait(kt_guest_u64(vm, KT_DATA) > x), "the first stands");
		check(kt_wait(kt_guest_u64(vm, KT_DATA + 8) > y), "the second stands");
	}
	kt_stop_well(ta);
	kt_stop_well(tb);
}

/* All registers travel with the thread from CPU to CPU. */
TEST(moved_between_cpus)
{
	GUEST64(keeps, "sti\n mov $0x1122334455667788, %rax\n movq %rax, %xmm3\n mov %rax, %r13\n"
		"1: incq 0x30000\n movq %xmm3, %rbx\n cmp %rbx, %r13\n je 1b\n mov $0x1000, %dx\n out %eax, %dx\n hlt\n");
	struct kt_vcpu *v = VCPU_WITH(keeps, true);
	struct kt_thread *t;
	cpu_set_t set;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip("one CPU");
	t = kt_start(v);
	for (int i = 0; i < 40; i++) {
		uint64_t x = kt_guest_u64(v->vm, KT_DATA);

		CPU_ZERO(&set);
		CPU_SET(i & 1, &set);
		need(!pthread_setaffinity_np(t->id, sizeof(set), &set));
		need(kt_wait(kt_guest_u64(v->vm, KT_DATA) > x), "stands after move %d", i);
	}
	check_eq(t->outs, 0);
	kt_stop_well(t);
}

/* --- MP state --- */

static int mp_state(struct kt_vcpu *v)
{
	struct kvm_mp_state s = { .mp_state = 99 };

	need_ok(ioctl(v->fd, KVM_GET_MP_STATE, &s));
	return s.mp_state;
}

static int set_mp_state(struct kt_vcpu *v, uint32_t state)
{
	struct kvm_mp_state s = { .mp_state = state };

	return ioctl(v->fd, KVM_SET_MP_STATE, &s);
}

TEST(mp_state_at_creation)
{
	struct kt_vm *vm = kt_vm_new(0, true);
	struct kt_vm *plain = kt_vm_new(0, false);

	check_eq(mp_state(kt_vcpu_new(vm, 0, KT_LONG)), KVM_MP_STATE_RUNNABLE);
	check_eq(mp_state(kt_vcpu_new(vm, 1, KT_LONG)), KVM_MP_STATE_UNINITIALIZED);
	check_eq(mp_state(kt_vcpu_new(plain, 0, KT_LONG)), KVM_MP_STATE_RUNNABLE);
	check_eq(mp_state(kt_vcpu_new(plain, 1, KT_LONG)), KVM_MP_STATE_RUNNABLE);
}

TEST(mp_state_values)
{
	struct kt_vcpu *v = kt_vcpu_new(kt_vm_new(1 << 20, true), 0, KT_LONG);
	struct kt_vcpu *plain = kt_vcpu_new(kt_vm_new(1 << 20, false), 0, KT_LONG);

	for (int s = KVM_MP_STATE_RUNNABLE; s <= KVM_MP_STATE_HALTED; s++) {
		check(set_mp_state(v, s) == 0, "state %d: %s", s, strerror(errno));
		check_eq(mp_state(v), s);
	}
	check_err(set_mp_state(v, 1000), EINVAL);
	check_err(set_mp_state(v, -1u), EINVAL);
	check_eq(mp_state(v), KVM_MP_STATE_HALTED);
	check_eq(set_mp_state(plain, KVM_MP_STATE_RUNNABLE), 0);
	check_err(set_mp_state(plain, KVM_MP_STATE_INIT_RECEIVED), EINVAL);
	check_err(set_mp_state(plain, KVM_MP_STATE_SIPI_RECEIVED), EINVAL);
	check_eq(mp_state(plain), KVM_MP_STATE_RUNNABLE);
}

TEST(uninitialised_waits)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kt_vcpu *v;
	pthread_t t;

	kt_load(vm, spin);
	kt_vcpu_new(vm, 0, KT_LONG);
	v = kt_vcpu_new(vm, 1, KT_LONG);
	kicked(&t);
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	pthread_join(t, NULL);
	check_eq(kt_guest_u64(vm, KT_DATA), 0);
	check_eq(mp_state(v), KVM_MP_STATE_UNINITIALIZED);
	check_eq(set_mp_state(v, KVM_MP_STATE_RUNNABLE), 0);
	/* On a slow host the signal may come before the guest does. */
	for (int i = 0; i < 50 && !kt_guest_u64(vm, KT_DATA); i++) {
		kicked(&t);
		check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
		pthread_join(t, NULL);
	}
	check(kt_guest_u64(vm, KT_DATA) > 0, "made runnable, it does not run");
}

KT_MAIN
