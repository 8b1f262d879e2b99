// SPDX-License-Identifier: GPL-2.0-only
/*
 * exits [NAME...]: host instructions per round trip of each kind of exit, one line a measurement:
 *
 *	bench NAME INSTRUCTIONS BEND
 *
 * or "skipped NAME" or "failed NAME" after a line that says why. First the method is proven on loops whose length is known; if they
 * do not measure exactly that, nothing else is printed and the exit status is 2. `exits --list` names what there is.
 * Each measurement is a process with a time limit of its own. One host CPU.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include "bench.h"

#define REPEATS		6
#define WARM_UP		4			/* repeats before, that do not count: caches of the kernel fill */
#define TIME_LIMIT	120		/* seconds of the emulated host's clock */
/*
 * Of a thousand instructions. Every round is exact; what a batch itself costs (KVM_RUN and its way there) differs by up to eight
 * instructions from one to the next, which the rounds of a batch share.
 */
#define ALLOWED		0.5
#define HOST_HZ		250		/* ticks a second of Debian's kernels */

static double frequency;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

double tsc_hz(void)
{
	uint64_t ns, tsc, end;

	if (frequency)
		return frequency;
	ns = now_ns();
	tsc = ticks();
	do
		end = now_ns();
	while (end - ns < 20000000);
	frequency = (ticks() - tsc) * 1e9 / (end - ns);
	return frequency;
}

static uint64_t one(const struct batch *b, unsigned int n)
{
	uint64_t t;

	if (b->before)
		b->before(b->ctx, n);
	t = ticks();
	b->run(b->ctx, n);
	return ticks() - t;
}

/* Rounds in a batch: three times as many take a quarter of the time between two ticks, so that most batches see none. */
static unsigned int batch_size(const struct batch *b)
{
	uint64_t room = tsc_hz() / HOST_HZ / 4 / 3, cost = ~0ull;

	for (int i = 0; i < 4; i++) {
		uint64_t t = one(b, 4);

		cost = t < cost ? t : cost;
	}
	cost = cost / 4 + 1;
	return room / cost < 1 ? 1 : room / cost > 16 ? 16 : room / cost;
}

double slope(const struct batch *b, double *bend)
{
	unsigned int n = b->n ? b->n : batch_size(b);
	uint64_t best[3] = { ~0ull, ~0ull, ~0ull };

	for (int i = -WARM_UP; i < REPEATS; i++) {
		for (unsigned int k = 0; k < 3; k++) {
			uint64_t t = one(b, (k + 1) * n);

			if (i >= 0 && t < best[k])
				best[k] = t;
		}
	}
	*bend = fabs((double)(best[2] - best[1]) - (double)(best[1] - best[0])) / n;
	return (double)(best[1] - best[0]) / n;
}

void measure(const struct bench *b, const struct batch *batch)
{
	double bend, cost = slope(batch, &bend);
	unsigned int per = b->per ? b->per : 1;

	printf("bench %s %.2f %.2f\n", b->name, cost / per, bend / per);
	fflush(stdout);
}

/* --- guests --- */

struct kt_vcpu *bench_vcpu(void)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kt_vcpu *v;

	need_ok(ioctl(vm->fd, KVM_CREATE_PIT2, &pit));
	v = kt_vcpu_new(vm, 0, KT_LONG);
	kt_install_idt(v);
	return v;
}

void bench_cpuid_bit(struct kt_vcpu *v, uint32_t leaf, int reg, int bit)
{
	struct kvm_cpuid2 *c = kt_supported_cpuid(v->vm->kvm);
	struct kvm_cpuid_entry2 *e = kt_cpuid_leaf(c, leaf, 0);

	need(e, "no CPUID leaf %#x", leaf);
	(&e->eax)[reg] |= 1u << bit;
	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	free(c);
}

void guest_rounds(struct kt_vcpu *v, uint32_t n)
{
	struct kvm_run *run = v->run;

	kt_guest_u32(v->vm, COUNT) = n;
	do
		need(!ioctl(v->fd, KVM_RUN, 0), "KVM_RUN: %s", strerror(errno));
	while (run->exit_reason == KVM_EXIT_MMIO || (run->exit_reason == KVM_EXIT_IO && run->io.port == USER_PORT));
	need(run->exit_reason == KVM_EXIT_IO, "the guest ended with exit %s", kt_exit_name(run->exit_reason));
	need(run->io.port == DONE_PORT, "the guest had exception %u at %#llx", *((uint8_t *)run + run->io.data_offset),
	     (unsigned long long)kt_guest_u64(v->vm, KT_DATA - 16));
}

static void rounds(void *ctx, unsigned int n)
{
	guest_rounds(ctx, n);
}

void measure_guest(const struct bench *b)
{
	struct kt_vcpu *v = bench_vcpu();

	kt_put(v->vm, KT_CODE, b->code, b->code_end - b->code);
	if (b->prepare)
		b->prepare(v);
	guest_rounds(v, 4);
	need(kt_regs(v).rip < KT_CODE + (b->code_end - b->code), "the guest is not where its code is");
	measure(b, &(struct batch){ rounds, NULL, v });
}

/* --- the method, on loops of known length --- */

static void host_loop(void *ctx, unsigned int n)
{
	asm volatile("1:	.rept 998\n	nop\n	.endr\n	dec %0\n	jnz 1b" : "+r" (n));
}

ROUNDS(guest_loop_998, "", ".rept 996\n	nop\n	.endr\n");
ROUNDS(guest_loop_1000, "", ".rept 998\n	nop\n	.endr\n");

/* Three times at most: what a batch itself costs may differ by more than the rounds have room for. */
static bool exactly(const char *name, double want, const struct batch *b)
{
	double bend, got;

	for (int i = 0; i < 3; i++) {
		got = slope(b, &bend);
		printf("method %s %.2f %.2f\n", name, got, bend);
		if (fabs(got - want) <= ALLOWED && bend <= ALLOWED)
			return true;
	}
	printf("# %s measures %.2f instructions (%.2f from linear), not %.0f: this machine's TSC does not count them\n",
	       name, got, bend, want);
	return false;
}

static void check_method(const struct bench *b)
{
	struct kt_vcpu *v = bench_vcpu();
	bool ok = exactly("host-loop-of-1000", 1000, &(struct batch){ host_loop });

	kt_load(v->vm, guest_loop_998);
	ok &= exactly("guest-loop-of-998", 998, &(struct batch){ rounds, NULL, v });
	v = bench_vcpu();
	kt_load(v->vm, guest_loop_1000);
	ok &= exactly("guest-loop-of-1000", 1000, &(struct batch){ rounds, NULL, v });
	need(ok, "the method does not hold");
}

/* --- each in a process --- */

static bool in_process(const struct bench *b)
{
	uint64_t began = ticks();
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		alarm(TIME_LIMIT);
		b->fn(b);
		kt_leave();
	}
	waitpid(pid, &status, 0);
	if (getenv("BENCH_TIMES"))
		printf("# %s took %.1f million instructions\n", b->name, (ticks() - began) / 1e6);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
		printf("skipped %s\n", b->name);
	if (!status || (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED))
		return true;
	if (WIFSIGNALED(status))
		printf("# signal %d%s\n", WTERMSIG(status), WTERMSIG(status) == SIGALRM ? ": time limit" : "");
	printf("failed %s\n", b->name);
	return false;
}

static bool wanted(const struct bench *b, int argc, char **argv)
{
	if (argc < 2)
		return !b->named_only;
	for (int i = 1; i < argc; i++)
		if (!strncmp(b->name, argv[i], strlen(argv[i])))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	static const struct bench method = { .name = "method", .fn = check_method };
	const struct bench *groups[] = { exit_benches, fault_benches, wake_benches };
	bool list = argc > 1 && !strcmp(argv[1], "--list"), failed = false;
	cpu_set_t cpu0;

	CPU_ZERO(&cpu0);
	CPU_SET(0, &cpu0);
	sched_setaffinity(0, sizeof(cpu0), &cpu0);
	tsc_hz();			/* the children inherit it */
	if (!list && !in_process(&method))
		return 2;
	for (int g = 0; g < 3; g++) {
		for (const struct bench *b = groups[g]; b->name; b++) {
			if (list)
				printf("%s\t%s%s\n", b->name, b->what, b->named_only ? "\t*" : "");
			else if (wanted(b, argc, argv))
				failed |= !in_process(b);
		}
	}
	return failed;
}
