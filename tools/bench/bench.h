/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the measurements share.
 *
 * The host is emulated, and its time-stamp counter goes up by one with every instruction, whoever executes it. A batch
 * is n round trips between two RDTSC. Batches of n, 2n and 3n are run several times over and the cheapest of each kept:
 * without the host's timer tick all of a kind cost the same. (2n - n) / n is the cost of a round trip, without
 * what a batch itself costs; (3n - 2n) / n must agree with it, or the figure is marked as not linear.
 */
#ifndef BENCH_H
#define BENCH_H

#include "../../selftests/lib/cpu.h"

#define COUNT		KT_DATA			/* how many rounds the guest makes, u32 */
#define DONE		(KT_DATA + 8)		/* what an interrupt handler counts, u32 */
#define SCRATCH		(KT_DATA + 64)
#define MMIO		0xd0000000u		/* no memory there */
#define USER_PORT	0x5000			/* nothing in the kernel there */
#define REGION		0x10000000ull		/* guest-physical, 2 MB aligned: the memory of the fault measurements */
#define DONE_PORT	0x1008
#define SKIPPED		77			/* exit status of a measurement that this host does not allow */

struct bench {
	const char *name, *what;
	void (*fn)(const struct bench *b);
	const uint8_t *code, *code_end;		/* measure_guest(): the guest, made by ROUNDS() */
	void (*prepare)(struct kt_vcpu *v);
	unsigned int per;			/* rounds that one turn of the guest's loop stands for; 0: one */
	bool named_only;			/* needs a host set up for it */
};

/*
 * A guest that does setup once, and then body as often as COUNT says between two OUTs to DONE_PORT. R12 and R15 are the
 * loop's. An exception reports to KT_PORT.
 */
#define ROUNDS(n, setup, body)							\
	GUEST64(n, setup "\n1:	mov 0x30000, %r15d\n2:	" body			\
		"\n	dec %r15d\n	jnz 2b\n	mov %edx, %r12d\n	mov $0x1008, %dx\n"	\
		"	out %eax, (%dx)\n	mov %r12d, %edx\n	jmp 1b\n")
_Static_assert(COUNT == 0x30000 && DONE_PORT == 0x1008, "ROUNDS() has these as text");

struct batch {
	void (*run)(void *ctx, unsigned int n);
	void (*before)(void *ctx, unsigned int n);	/* not measured; may be NULL */
	void *ctx;
	unsigned int n;					/* 0: as many as fit well between two ticks */
};

static inline uint64_t ticks(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a" (lo), "=d" (hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

/* Measures, and prints the result under the bench's name. */
void measure(const struct bench *b, const struct batch *batch);
/* The same without printing: instructions per round, *bend how far from linear. */
double slope(const struct batch *batch, double *bend);
/* Instructions per second, as the host's clock has it. */
double tsc_hz(void);

/* A VM of 1 MB with the in-kernel interrupt controllers and PIT, a vCPU in long mode with an IDT. */
struct kt_vcpu *bench_vcpu(void);
void bench_cpuid_bit(struct kt_vcpu *v, uint32_t leaf, int reg, int bit);	/* reg: 0 EAX .. 3 EDX */
/* KVM_RUN in an empty loop until the guest says that it has made its n rounds. */
void guest_rounds(struct kt_vcpu *v, uint32_t n);
void measure_guest(const struct bench *b);

extern const struct bench exit_benches[], fault_benches[], wake_benches[];	/* end with a NULL name */

#endif
