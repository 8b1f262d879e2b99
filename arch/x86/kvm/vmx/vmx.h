/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VMX vCPU, and what its files offer each other. Only the vCPU thread touches a struct vmx_vcpu,
 * with preemption off where hardware is meant. Most operations of the seam only note in `todo` what the
 * next entry has to write: they may be called with the vCPU loaded or not, and several changes between
 * two entries cost one write.
 */
#ifndef KVM_VMX_VMX_H
#define KVM_VMX_VMX_H

#include "vmcs.h"
#include "entry.h"
#include <kvm/x86/vcpu.h>

/* Work for the next entry; vmx_vcpu.todo, done by control.c in vmx_apply(). */
enum {
	TODO_INTERCEPTS		= BIT(0),	/* processor controls and exception bitmap */
	TODO_CPUID		= BIT(1),	/* secondary controls and CR4 ownership that follow the guest's CPUID */
	TODO_TSC		= BIT(2),
	TODO_ROOT		= BIT(3),
	TODO_FLUSH_ALL		= BIT(4),
	TODO_FLUSH_GUEST	= BIT(5),
	TODO_MSRS		= BIT(6),	/* user-return MSRs */
	TODO_PLE		= BIT(7),
	TODO_THRESHOLD		= BIT(8),
};

/* What exit.c's table says of the last exit. */
enum {
	ROW_VECTOR		= BIT(0),	/* IDT-vectoring information may be there */
	ROW_LENGTH		= BIT(1),	/* an instruction caused it: VM_EXIT_INSTRUCTION_LEN is right */
	ROW_HOST_DATA		= BIT(2),	/* handling it brings data of others into the L1 cache */
};

/* Groups that are right in x86_state after every exit, because hardware never changes them behind us. */
#define VMX_VALID	(G_CR2 | G_EFER | G_PAT | G_DR6)

struct vmx_host {			/* this thread's state that the guest's replaced; prepare() to put() */
	u16 fs, gs, ds, es, ldt;
	u64 fs_base, kernel_gs_base;
	u64 debugctl;
};

struct vmx_vcpu {
	struct x86_vcpu x;		/* at offset 0 */
	struct vmx_entry entry;
	struct vmx_vmcs vmcs;
	u32 todo;
	u32 valid;			/* VMX_VALID and what the intercepts add */

	/* The last exit. */
	u32 reason;			/* VM_EXIT_REASON, or ~0 after VMfail */
	u32 insn_error;			/* VMfail: VM_INSTRUCTION_ERROR */
	u8 row_flags;			/* ROW_* */
	u32 intr_info;			/* of exceptions, NMIs and interrupts */
	bool inject_nmi;		/* the next entry injects one: hardware sets the NMI mask itself */

	/* Host. */
	bool runs;			/* last answer of vmx_state_runs() */
	bool prepared;
	bool l1d_dirty;			/* host data may be in the L1 cache since the last flush */
	struct vmx_host host;
	int host_cpu;			/* whose bases the host-state fields hold */
	u64 host_cr3, host_cr4, host_fs_base;	/* what the host-state fields hold */

	/* Controls. */
	u16 vpid;			/* 0: none was free, translations go with every entry and exit */
	u64 eptp;
	hpa_t root;
	u64 cr4_owned;			/* CR4 bits that the guest changes without an exit */
	bool spec_ctrl_used;		/* the guest's CPUID has SPEC_CTRL */
	unsigned int ple_window;
	unsigned long *msr_bitmap;	/* one page, SDM 25.6.9 */

	/* TPR shadow: used while the LAPIC is in the kernel. */
	u8 *vapic;			/* virtual-APIC page */
	u8 threshold;

	u64 *pml;			/* pml.c; NULL: this CPU does not log */

	u64 kernel_gs_base;		/* the guest's, while not prepared; then it is in the MSR */
	u64 tsc_aux_loaded;
	struct vmx_msr_lists *perf;	/* perf.c; NULL: no host PMU */
};

struct vmx_vm {
	struct x86_vm x;		/* at offset 0 */
	bool identity_ready;		/* slots_lock */
};

static inline struct vmx_vcpu *to_vmx(struct x86_vcpu *v)
{
	return (struct vmx_vcpu *)v;
}

/* This CPU's current VMCS is the vCPU's: fields may be accessed. */
static inline bool vmx_loaded(struct vmx_vcpu *vmx)
{
	return this_cpu_read(vmx_current) == &vmx->vmcs;
}

/* cpu.c */
int vmx_cpus_alloc(void);
void vmx_cpus_free(void);
int vmx_cpu_on(void);
void vmx_cpu_off(void);
void vmx_emergency(void);		/* NMI or crash context */

/* vcpu.c */
int vmx_vm_init(struct x86_vm *vm);
void vmx_vm_destroy(struct x86_vm *vm);
int vmx_vcpu_init(struct x86_vcpu *v);
void vmx_vcpu_free(struct x86_vcpu *v);
void vmx_vcpu_reset(struct x86_vcpu *v, bool init);
void vmx_cpuid_changed(struct x86_vcpu *v);

/* host.c */
extern u64 host_efer, host_pat;
void host_init(void);
void host_constants(struct vmx_vcpu *vmx);	/* host-state fields that never change; loaded */
void vmx_load(struct x86_vcpu *v, int cpu);
void vmx_put(struct x86_vcpu *v);
void vmx_prepare(struct x86_vcpu *v);

/* control.c */
void vmx_apply(struct vmx_vcpu *vmx);		/* IRQs off, before entry */
void ctl_constants(struct vmx_vcpu *vmx);	/* first values of all controls; loaded */
void vmx_intercepts(struct x86_vcpu *v);
void vmx_tsc(struct x86_vcpu *v);
void vmx_root(struct x86_vcpu *v, hpa_t root);
void vmx_flush(struct x86_vcpu *v, enum flush_scope scope, u64 addr);
void vmx_tpr(struct x86_vcpu *v, u8 tpr, int pending);
void ple_grow(struct vmx_vcpu *vmx);
void ple_shrink(struct vmx_vcpu *vmx);
extern unsigned int param_ple_window, param_ple_window_grow, param_ple_window_shrink, param_ple_window_max;
u16 vpid_get(void);
void vpid_put(u16 vpid);
void flush_cpu(void);				/* everything on this CPU, when VMX was switched on */

/* state.c */
void vmx_fetch(struct x86_vcpu *v, u32 groups);
void vmx_commit(struct x86_vcpu *v, u32 groups);
bool vmx_next_rip(struct x86_vcpu *v);
bool vmx_cr0_ok(struct x86_vcpu *v, u64 cr0);
bool vmx_cr4_ok(struct x86_vcpu *v, u64 cr4);
static inline void vmx_need(struct vmx_vcpu *vmx, u32 groups)
{
	u32 missing = groups & ~vmx->x.state.valid;

	if (missing)
		vmx_fetch(&vmx->x, missing);
}
/* CR0 bits that the guest changes without an exit. Shadow tables depend on WP, EPT does not. */
static inline u64 vmx_cr0_owned(void)
{
	return X86_CR0_TS | (vmx_caps.ept ? X86_CR0_WP : 0);
}
/* CR4 bits that a guest may own: nothing that changes how its tables are read, and nothing CPUID shows. */
static inline u64 vmx_cr4_owned(void)
{
	return X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT |
	       X86_CR4_FSGSBASE | (vmx_caps.ept ? X86_CR4_PGE : 0);
}
/* Guest thinks paging is off, hardware cannot: it runs on the identity page table. */
static inline bool vmx_fakes_paging(const struct x86_vcpu *v)
{
	return !vmx_caps.unrestricted && !(v->state.cr0 & BIT(31));
}

/* runs.c */
extern bool param_emulate_invalid;
bool vmx_state_runs(struct x86_vcpu *v);

/* msr.c */
void vmx_msr_slots(void);
void vmx_load_msrs(struct vmx_vcpu *vmx);	/* preemption off, prepared */
void vmx_msr_intercept(struct x86_vcpu *v, u32 msr, bool read, bool write);
void msr_pass_tpr(struct vmx_vcpu *vmx, bool pass);	/* hardware answers for the x2APIC's TPR */
void msr_defaults(struct vmx_vcpu *vmx, bool init);
bool vmx_get_msr(struct x86_vcpu *v, u32 msr, u64 *val, bool host);
enum vendor_msr vmx_set_msr(struct x86_vcpu *v, u32 msr, u64 val, bool host);
bool vmx_feature_msr(u32 msr, u64 *val);

/* run.c */
enum entry_end vmx_enter(struct x86_vcpu *v);
void vmx_irq_exit(struct x86_vcpu *v);

/* exit.c */
void vmx_exit(struct x86_vcpu *v, struct vm_exit *x);
extern bool param_dump_invalid;
void vmx_dump(struct x86_vcpu *v);

/* event.c */
void vmx_inject(struct x86_vcpu *v, const struct x86_event *e);
void vmx_uninject(struct x86_vcpu *v);
void vmx_vectoring(struct x86_vcpu *v, struct x86_event *e);
void nmi_unblocked_by_iret(struct vmx_vcpu *vmx);

/* l1d.c */
DECLARE_STATIC_KEY_FALSE(l1d_flushing);
extern const struct kernel_param_ops l1d_param_ops;
int l1d_init(void);
void l1d_exit(void);
void l1d_flush(struct vmx_vcpu *vmx);		/* IRQs off, right before entry */

/* pml.c */
int pml_vcpu_init(struct vmx_vcpu *vmx);
void pml_vcpu_free(struct vmx_vcpu *vmx);
void pml_constants(struct vmx_vcpu *vmx);	/* loaded */
unsigned int vmx_logged(struct x86_vcpu *v, const u64 **gpas);

/* perf.c */
DECLARE_STATIC_KEY_FALSE(host_pmu);
void perf_init(void);
int perf_vcpu_init(struct vmx_vcpu *vmx);
void perf_vcpu_free(struct vmx_vcpu *vmx);
void perf_constants(struct vmx_vcpu *vmx);	/* loaded */
void perf_switch(struct vmx_vcpu *vmx);		/* IRQs off, before entry */

#endif
