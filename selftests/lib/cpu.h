/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests of the processor itself: user mode, gates, what an exception left behind, hosts with known flaws. */
#ifndef KT_CPU_H
#define KT_CPU_H

#include "kt.h"

#define KT_GDT		(KT_TABLES + 0x2000)
#define KT_IDT		(KT_TABLES + 0x3000)
#define KT_PD		(KT_TABLES + 0x9000)	/* 2 MB pages of the first gigabyte */
#define KT_TSS		(KT_TABLES + 0xb000)
#define KT_RSP0		(KT_TABLES + 0xd000)	/* stack of handlers that come from user mode */
#define KT_IST1		(KT_TABLES + 0xe000)

#define EX_DE	0
#define EX_DB	1
#define EX_NMI	2
#define EX_BP	3
#define EX_OF	4
#define EX_BR	5
#define EX_UD	6
#define EX_NM	7
#define EX_DF	8
#define EX_NP	11
#define EX_SS	12
#define EX_GP	13
#define EX_PF	14
#define EX_AC	17
#define EX_MC	18
#define NO_ERROR	0xffffffffu

/* A VM of 1 MB and one vCPU with an IDT that reports: what most tests of exceptions want. */
struct kt_vcpu *kt_long_vcpu(bool irqchip);
struct kt_vcpu *kt_prot_vcpu(void);
/* A 64-bit TSS with RSP0 and IST1, in TR. */
void kt_load_tss(struct kt_vcpu *v);
/* Long mode, CPL 3 from the next KVM_RUN on; loads the TSS. */
void kt_user_mode(struct kt_vcpu *v);
/* Another handler for a vector, long mode. */
void kt_gate(struct kt_vcpu *v, int vector, uint64_t handler, int dpl, int ist);
/* Runs, and wants this exception reported with this error code (NO_ERROR: none) and frame RIP. */
void kt_want_exception(struct kt_vcpu *v, int vector, uint32_t error, uint64_t rip, const char *file, int line);
#define want_exception(v, vector, error, rip)	kt_want_exception(v, vector, error, rip, __FILE__, __LINE__)
/* The error code of a fault at the gate of a vector: APM vol. 2, 8.4.1; with the EXT bit where `external`. */
uint32_t kt_gate_error(int vector, bool external);
/*
 * To end tests in long mode that leave NMIs masked: the guest executes an IRET. Bochs 2.7 forgets to lift the mask when
 * the next guest is entered, which would then run with it.
 */
void kt_unmask_nmis(struct kt_vcpu *v);
/* KVM_RUN that may end anyhow; the exit reason. */
uint32_t kt_run_any(struct kt_vcpu *v);
/* Is it among the host's flags in /proc/cpuinfo? */
bool kt_cpu_flag(const char *name);
/* QEMU's software emulation as host: leaves out some of the checks and intercepts that hardware does. */
bool kt_host_tcg(void);
/*
 * main() of tests of the processor: on one CPU if that is QEMU's emulation, which with several now and then runs code
 * that another CPU has overwritten.
 */
#define KT_CPU_MAIN	int main(int argc, char **argv) { kt_pin(); return kt_main(argc, argv); }
void kt_pin(void);
/*
 * Skips where the breakpoints of a DR7 that an entry loads do not work: also for guests that write DR7 themselves, because
 * any interrupt of the host between that and the breakpoint makes for another entry.
 */
void kt_need_breakpoints(void);
/*
 * To end tests in long mode whose guest set breakpoints: the guest takes them back. QEMU's emulation knows no other way
 * out of its list of breakpoints and would hit them in later guests.
 */
void kt_disarm(struct kt_vcpu *v);
/*
 * Bochs 2.7 as an AMD host, whoever the hypervisor is: a trap (#DB) that ends a guest is raised once more in the host,
 * which does not survive it; #DB tells nothing in DR6; a guest's triple fault ends Bochs, and faults in the delivery of
 * injected events count as one; alignment checks of one guest go on in the next; INT n faults; VMRUN loads neither CR2
 * nor an interrupt shadow.
 */
bool kt_host_bochs(void);
bool kt_host_bochs_svm(void);
void kt_need_traps(void);
void kt_need_shutdown(void);
void kt_need_events(void);
int kt_enable_cap(int fd, uint32_t cap, uint64_t arg0);
struct kvm_vcpu_events kt_events(struct kt_vcpu *v);
/* Offset of a label (GUEST64 text ending it with .globl) inside a guest's code, as guest address. */
#define at(n, label)	(KT_CODE + (label - n))
#define LABEL(l)	extern const uint8_t l[]

#endif
