/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests of the machine round the processor: vCPU threads, interrupt handlers that count, waiting with a limit. */
#ifndef KT_VM_H
#define KT_VM_H

#include "cpu.h"
#include <pthread.h>
#include <signal.h>

#define KT_COUNTS	0x40000ull	/* u64 a vector: interrupts taken */
#define KT_HANDLERS	0x41000ull	/* 64 bytes a vector */
#define KT_PAGE		0x1000ull
#define KT_BIG		0x200000ull	/* a large page */

/*
 * A vCPU in a thread of its own, which calls KVM_RUN again after each signal, OUT to KT_PORT or KVM_EXIT_INTR, until it is told
 * to stop or something else happens.
 */
struct kt_thread {
	struct kt_vcpu *v;
	pthread_t id;
	volatile bool stop, ended;
	volatile uint32_t out;		/* the last OUT's value */
	volatile uint64_t outs;
	int err;			/* errno of a KVM_RUN that failed otherwise */
	uint32_t reason;		/* the exit that ended it */
};

struct kt_thread *kt_start(struct kt_vcpu *v);
/* Out of the guest and joined. False: it had ended by itself before. */
bool kt_stop(struct kt_thread *t);
/* stop, and need() that it ran well up to now */
void kt_stop_well(struct kt_thread *t);
/* SIGUSR1 without effect other than EINTR; kt_start() calls it. */
void kt_catch_usr1(void);

uint64_t kt_now_ns(void);
/* Waits up to some seconds until the expression is true. */
#define kt_wait(expr)	({ uint64_t end__ = kt_now_ns() + 20000000000ull; bool r__;	\
	while (!(r__ = (expr)) && kt_now_ns() < end__)					\
		usleep(500);								\
	r__; })

/*
 * Vectors with a handler that counts in memory and, if it is to, writes EOI to the APIC (or its MSR) or the PIC. Long mode,
 * after kt_install_idt(). The handler touches no register.
 */
enum kt_eoi { KT_NO_EOI, KT_EOI, KT_EOI_MSR, KT_EOI_PIC };
void kt_count_vector(struct kt_vcpu *v, int vector, enum kt_eoi eoi);
#define kt_counted(vm, vector)	kt_guest_u64(vm, KT_COUNTS + (vector) * 8)
uint32_t kt_lapic_read(struct kt_vcpu *v, uint32_t reg);
void kt_lapic_write(struct kt_vcpu *v, uint32_t reg, uint32_t val);
/* Software-enabled, as it is to be for fixed interrupts. */
void kt_lapic_on(struct kt_vcpu *v);

/* Memory that is like RAM of a VM: private, zero; at a multiple of align. */
void *kt_mem(size_t size, size_t align);

#endif
