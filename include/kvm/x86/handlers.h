/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exit handlers that live with their subject; exit.c's table has the rest. vCPU thread, loaded, in kvm->srcu, IRQs
 * on; facts in v->exit. OUT_OK: enter again. They move RIP themselves (skip_insn()) where the instruction is done.
 */
#ifndef KVM_X86_HANDLERS_H
#define KVM_X86_HANDLERS_H

#include <kvm/types.h>

struct x86_vcpu;

enum outcome exit_io(struct x86_vcpu *v);		/* io.c */
enum outcome exit_rdmsr(struct x86_vcpu *v);		/* msr.c */
enum outcome exit_wrmsr(struct x86_vcpu *v);		/* msr.c */
/* WRMSR of the TSC deadline, with IRQs off and without kvm->srcu. false: nothing done, not that. msr.c */
bool exit_deadline(struct x86_vcpu *v, enum outcome *out);
enum outcome exit_cpuid(struct x86_vcpu *v);		/* cpuid.c */
enum outcome exit_hypercall(struct x86_vcpu *v);	/* pv.c */

/* ioctl-side users that need the wide state in one go: regs.c */
struct kvm_regs;
struct kvm_sregs;
void regs_read(struct x86_vcpu *v, struct kvm_regs *r);
long regs_write(struct x86_vcpu *v, const struct kvm_regs *r);
void sregs_read(struct x86_vcpu *v, struct kvm_sregs *s);
long sregs_write(struct x86_vcpu *v, const struct kvm_sregs *s);
struct kvm_vcpu_events;
void events_read(struct x86_vcpu *v, struct kvm_vcpu_events *e);	/* event.c */
long events_write(struct x86_vcpu *v, const struct kvm_vcpu_events *e);

#endif
