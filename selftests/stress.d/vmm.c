// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMM of selftests/stress.
 *
 *   vmm once        a VM with two vCPUs that do some work, then its orderly end
 *   vmm hold        a VM that is there until the process is killed
 *   vmm spin N      two vCPUs for N seconds, each of which must get on all the time
 *   vmm kill N SEED N times: a process with a running VM, killed at a random moment
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/wait.h>
#include "../lib/access.h"

#define GPA	0x40000000ull

GUEST64(idle, "sti\n 1: hlt\n jmp 1b\n");
GUEST64(outs, "mov $0x1000, %dx\n 1: inc %eax\n out %eax, %dx\n jmp 1b\n");

/* Two vCPUs that write all over 4 MB, with a log of what they write, an interrupt controller and an irqfd. */
static struct kt_vcpu *make(struct kt_vcpu **second)
{
	struct kt_vcpu *v = kt_access_vcpu(true);
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	uint8_t *m = kt_mem(2 * KT_BIG, KT_BIG);
	struct kvm_irqfd f = { .fd = eventfd(0, 0), .gsi = 10 };

	need_ok(kt_slot(v->vm, 1, KVM_MEM_LOG_DIRTY_PAGES, GPA, 2 * KT_BIG, m));
	need_ok(ioctl(v->vm->fd, KVM_IRQFD, &f));
	*second = kt_vcpu_new(v->vm, 1, KT_LONG);
	need_ok(ioctl((*second)->fd, KVM_SET_MP_STATE, &mp));
	kt_window(v, GPA, 2);
	kt_window(*second, GPA, 2);
	kt_fill(v, KT_WINDOW, 64, 0x5000, KT_DATA);
	kt_fill(*second, KT_WINDOW + 8, 64, 0x7000, KT_DATA + 8);
	return v;
}

static int once(void)
{
	struct kt_vcpu *v[2];
	struct kt_thread *t[2];

	v[0] = make(&v[1]);
	for (int i = 0; i < 2; i++)
		t[i] = kt_start(v[i]);
	for (int i = 0; i < 2; i++)
		need(kt_wait(kt_guest_u64(v[0]->vm, KT_DATA + 8 * i) > 10), "vCPU %d stands", i);
	for (int i = 0; i < 2; i++)
		kt_stop_well(t[i]);
	return 0;
}

static int spin(int seconds)
{
	struct kt_vcpu *v[2];
	struct kt_thread *t[2];
	uint64_t end = kt_now_ns() + seconds * 1000000000ull;

	v[0] = make(&v[1]);
	for (int i = 0; i < 2; i++)
		t[i] = kt_start(v[i]);
	while (kt_now_ns() < end) {
		for (int i = 0; i < 2; i++) {
			uint64_t n = kt_guest_u64(v[0]->vm, KT_DATA + 8 * i);

			need(kt_wait(kt_guest_u64(v[0]->vm, KT_DATA + 8 * i) > n), "vCPU %d stands", i);
		}
	}
	for (int i = 0; i < 2; i++)
		kt_stop_well(t[i]);
	return 0;
}

/* What the victims do when they are hit. */
static void victim(int kind)
{
	struct kt_vcpu *v[2];

	if (kind == 0) {		/* making and ending VMs */
		for (;;) {
			v[0] = make(&v[1]);
			close(v[0]->vm->fd);
			kt_vcpu_free(v[0]);
			kt_vcpu_free(v[1]);
		}
	}
	v[0] = make(&v[1]);
	if (kind == 1)
		kt_load(v[0]->vm, idle);
	if (kind == 2)
		kt_load(v[0]->vm, outs);
	if (kind <= 2) {
		struct kvm_regs r = { .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 };

		kt_set_regs(v[0], &r);
	}
	kt_start(v[0]);
	kt_start(v[1]);
	for (int i = 0;; i++) {		/* slots and logs change meanwhile */
		static uint64_t bits[16];
		struct kvm_dirty_log l = { .slot = 1, .dirty_bitmap = bits };

		if (kind == 3)
			ioctl(v[0]->vm->fd, KVM_GET_DIRTY_LOG, &l);
		else
			kt_slot(v[0]->vm, 2, 0, 0x50000000, i & 1 ? 0 : KT_PAGE, v[0]->vm->mem);
	}
}

static int kills(int n, int seed)
{
	srand(seed);
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		int status;

		if (!pid)
			victim(rand() % 4);
		usleep(rand() % 80000);
		kill(pid, SIGKILL);
		need(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "status %x", status);
		need(WTERMSIG(status) == SIGKILL, "signal %d", WTERMSIG(status));
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "once"))
		return once();
	if (!strcmp(what, "spin") && argc > 2)
		return spin(atoi(argv[2]));
	if (!strcmp(what, "kill") && argc > 3)
		return kills(atoi(argv[2]), atoi(argv[3]));
	if (!strcmp(what, "hold")) {
		kt_vm_new(0, false);
		puts("held");
		fflush(stdout);
		pause();
	}
	return 2;
}
