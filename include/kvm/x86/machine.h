/* SPDX-License-Identifier: GPL-2.0-only */
/* Pieces of arch/x86/kvm that call each other and belong to no contract of their own. vCPU thread unless said. */
#ifndef KVM_X86_MACHINE_H
#define KVM_X86_MACHINE_H

#include <kvm/types.h>
#include <kvm/x86/event.h>

struct x86_vm;
struct x86_vcpu;
struct kvm_enable_cap;

/* run.c */
long run_vcpu(struct x86_vcpu *v);		/* the loop of KVM_RUN: 0 or -errno; runnable vCPU, run->* valid */
bool vcpu_interruptible(struct x86_vcpu *v);	/* IF set and no shadow, nothing injected */
/* exit.c: decides on v->exit. */
enum outcome handle_exit(struct x86_vcpu *v);	/* of the hardware */
enum outcome exit_bad_state(struct x86_vcpu *v);	/* made up: hardware refuses the guest's state */
int exit_table_check(void);			/* module load: every kind has its row */

/* event.c */
void events_reset(struct x86_vcpu *v);
void events_after_exit(struct x86_vcpu *v);	/* interrupted delivery comes back as ev.injected */
enum outcome events_before_entry(struct x86_vcpu *v);	/* chooses what to inject, opens windows */
void events_take_nmis(struct x86_vcpu *v);	/* posted by other threads: into nmi_pending */
void event_apply_payload(struct x86_vcpu *v, struct x86_event *e);	/* CR2 or DR6, once */
bool events_wake(struct x86_vcpu *v);		/* has something that ends a halt; any thread as a hint */

/* vcpu.c */
enum outcome vcpu_apic_events(struct x86_vcpu *v);	/* commits INIT and SIPI */
/* cpuid.c */
void cpuid_vcpu_init(struct x86_vcpu *v);	/* no table yet: v->cap allows what we support */
void cpuid_vcpu_free(struct x86_vcpu *v);
int cpuid_module_init(void);			/* host and vendor capabilities are known: what guests may have */
bool cpuid_supports(u32 function, u32 index, int reg, unsigned int bit);	/* reg 0 eax .. 3 edx */
/* msr.c */
int msr_table_check(void);			/* module load: sorted, no duplicates */
void msr_vcpu_reset(struct x86_vcpu *v, bool init);
int mce_vcpu_init(struct x86_vcpu *v);		/* allocates mce_banks */
void mce_vcpu_free(struct x86_vcpu *v);
void msr_filter_free(struct x86_vm *vm);
void msr_intercepts_update(struct x86_vcpu *v);	/* which MSRs pass through: filter, x2APIC, features */
/* caps.c */
int caps_table_check(void);
/* ioctl.c */
int ioctl_tables_check(void);
/* emulate.c */
int emulate_vcpu_init(struct x86_vcpu *v);	/* v->emu, v->scratch */
void emulate_vcpu_free(struct x86_vcpu *v);

#endif
