/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of kvm-amd.ko share. */
#ifndef ARCH_X86_KVM_SVM_SVM_H
#define ARCH_X86_KVM_SVM_SVM_H

#include <kvm/x86/vcpu.h>
#include "run.h"
#include "vmcb.h"

/* The part of a vCPU that the entry code reads and writes. */
struct svm_run {
	u64 vmcb_pa;
	u64 host_pa;			/* page that holds the host's VMLOAD state on this CPU */
	u64 *gpr;			/* state.gpr */
	u32 spec_ctrl;			/* the guest's SPEC_CTRL, where hardware does not virtualise it */
	u8 spec_read;			/* the guest writes it without an exit */
};
static_assert(offsetof(struct svm_run, vmcb_pa) == RUN_VMCB_PA);
static_assert(offsetof(struct svm_run, host_pa) == RUN_HOST_PA);
static_assert(offsetof(struct svm_run, gpr) == RUN_GPR);
static_assert(offsetof(struct svm_run, spec_ctrl) == RUN_SPEC);
static_assert(offsetof(struct svm_run, spec_read) == RUN_SPEC_READ);

/* Work that the next entry has to do first; svm_vcpu.todo. */
enum {
	TODO_ASID	= BIT(0),	/* the ASID is of another CPU or generation */
	TODO_FLUSH	= BIT(1),	/* flush what is tagged with it */
	TODO_KICK	= BIT(2),	/* come back before the first instruction */
};

/* What the registers hide from the guest while NMIs are masked or their unmasking is awaited. */
enum {
	NMI_IRET_SEEN	= BIT(0),	/* the IRET that unmasks is at nmi_iret_rip: done once RIP moves on */
	NMI_STEP	= BIT(1),	/* RFLAGS.TF is ours: an exit is wanted after one instruction */
	NMI_STEP_TF	= BIT(2),	/* and the guest had it set itself */
	NMI_KICK	= BIT(3),	/* an interrupt to ourselves ends the next entry at once: look again then */
};

struct svm_vcpu {
	struct x86_vcpu x;		/* first */

	struct vmcb *vmcb;
	struct vmcb *host;		/* this CPU's page of host state, as run.host_pa */
	struct svm_run run;
	u32 todo;
	u32 nmi;			/* NMI_* */
	u64 nmi_iret_rip;
	u64 guest_cr0;			/* CD and NW as the guest set them: hardware runs without */
	u64 soft_rip;			/* an event injected with RIP moved: where the instruction is */
	u8 soft_len;			/* and its length; 0: nothing of the kind */
	bool tpr_window;		/* CR8 writes exit: an interrupt waits for a lower TPR */
	int asid_cpu;
	u64 asid_generation;
	u64 virt_spec_ctrl;		/* MSR C001011FH */
	void *msrpm;			/* two pages */
	u64 de_cfg;
};

static __always_inline struct svm_vcpu *to_svm(const struct x86_vcpu *v)
{
	return (struct svm_vcpu *)v;
}

/* A physical CPU. Its own thread of control only, preemption off. */
struct svm_cpu {
	struct page *hsave;		/* hardware's, VM_HSAVE_PA */
	struct vmcb *host;		/* VMSAVE of the host's FS, GS, TR, LDTR and syscall state */
	u64 host_pa;
	struct vmcb *last;		/* VMCB run last: another one needs a branch predictor barrier */
	u64 tsc_ratio;			/* in the MSR */
	u64 asid_generation;		/* 0 is no generation */
	u32 asid_next;
};
DECLARE_PER_CPU(struct svm_cpu, svm_cpus);

/* caps.c: what the hardware has and the parameters leave of it; constant after init. */
struct svm_features {
	bool nrips, decode_assists, flush_by_asid, tsc_scaling, pause_filter, pause_threshold, v_spec_ctrl;
	u32 asids;
};
extern struct svm_features svm_features;
extern bool svm_param_npt, svm_param_nested, svm_param_nrips, svm_param_tsc_scaling;
int svm_check_cpu(void);		/* -errno and a line that says what is missing */
void svm_probe(struct vendor_caps *caps);

/* pause filter parameters, main.c */
extern unsigned short svm_pause_threshold, svm_pause_count, svm_pause_grow, svm_pause_shrink, svm_pause_max;

/* cpu.c */
int svm_cpus_alloc(void);
void svm_cpus_free(void);
int svm_cpu_on(void);
void svm_cpu_off(void);
void svm_emergency_register(void);
void svm_emergency_unregister(void);
void svm_cpus_forget(struct vmcb *vmcb);
void svm_load(struct x86_vcpu *v, int cpu);
void svm_put(struct x86_vcpu *v);
void svm_prepare(struct x86_vcpu *v);
void svm_write_tsc_ratio(u64 ratio);

/* control.c */
int svm_maps_alloc(void);
void svm_maps_free(void);
int svm_vcpu_init(struct x86_vcpu *v);
void svm_vcpu_free(struct x86_vcpu *v);
void svm_vcpu_reset(struct x86_vcpu *v, bool init);
void svm_cpuid_changed(struct x86_vcpu *v);
void svm_intercepts(struct x86_vcpu *v);
void svm_msr_intercept(struct x86_vcpu *v, u32 msr, bool read, bool write);
void svm_tsc(struct x86_vcpu *v);
void svm_root(struct x86_vcpu *v, hpa_t root);
void svm_flush(struct x86_vcpu *v, enum flush_scope scope, u64 addr);
void svm_todo(struct svm_vcpu *svm);
void svm_tpr(struct x86_vcpu *v, u8 tpr, int pending);
unsigned int svm_logged(struct x86_vcpu *v, const u64 **gpas);
void svm_pause_grew(struct svm_vcpu *svm);

/* state.c */
void svm_fetch(struct x86_vcpu *v, u32 groups);
void svm_commit(struct x86_vcpu *v, u32 groups);
bool svm_cr_ok(struct x86_vcpu *v, u64 cr);
bool svm_state_runs(struct x86_vcpu *v);

/* run.c, enter.S */
enum entry_end svm_enter(struct x86_vcpu *v);
void svm_irq_exit(struct x86_vcpu *v);
asmlinkage void svm_vmrun(struct svm_run *run);

/* exit.c */
void svm_exit(struct x86_vcpu *v, struct vm_exit *x);
bool svm_next_rip(struct x86_vcpu *v);
void svm_dump(struct x86_vcpu *v);

/* event.c */
void svm_inject(struct x86_vcpu *v, const struct x86_event *e);
void svm_uninject(struct x86_vcpu *v);
void svm_vectoring(struct x86_vcpu *v, struct x86_event *e);
bool svm_nmi_tracked(struct svm_vcpu *svm, u32 code);
void svm_nmi_iret(struct svm_vcpu *svm);
void svm_nmi_step(struct svm_vcpu *svm);
void svm_nmi_unstep(struct svm_vcpu *svm);

/* msr.c */
bool svm_get_msr(struct x86_vcpu *v, u32 msr, u64 *val, bool host);
enum vendor_msr svm_set_msr(struct x86_vcpu *v, u32 msr, u64 val, bool host);
bool svm_feature_msr(u32 msr, u64 *val);
void svm_msr_init(void);
void svm_tsc_aux_load(struct x86_vcpu *v);

static __always_inline void vmsave(u64 pa)
{
	asm volatile("vmsave %0" : : "a" (pa) : "memory");
}

static inline void vmcb_unclean(struct vmcb *b, u32 bits)
{
	b->clean &= ~bits;
}

#endif
