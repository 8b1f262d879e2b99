/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vendor seam: all that VMX and SVM do for the core. Vendors translate, the core decides. Called
 * through static calls (vendor_call(op)(...)); every operation is there.
 */
#ifndef KVM_X86_VENDOR_H
#define KVM_X86_VENDOR_H

#include <kvm/x86/exit.h>
#include <kvm/x86/state.h>
#include <linux/static_call.h>

struct x86_vm;
struct x86_vcpu;
struct module;

enum flush_scope {
	FLUSH_ALL,		/* everything tagged with this guest, guest-physical mappings too */
	FLUSH_GUEST,		/* linear and combined mappings of this vCPU's tag: as the guest's CR3/CR4 writes */
	FLUSH_ADDR,		/* one linear address */
};

/* Intercepts beyond those always on; x86_vcpu.intercepts, applied by ->intercepts(). */
enum {
	ICPT_HLT	= BIT(0),
	ICPT_PAUSE	= BIT(1),
	ICPT_MWAIT	= BIT(2),	/* and MONITOR */
	ICPT_RDTSC	= BIT(3),	/* and RDTSCP */
	ICPT_DR		= BIT(4),
	ICPT_CR3	= BIT(5),	/* loads (and stores where hardware cannot split them) */
	ICPT_INVLPG	= BIT(6),
	ICPT_IRQ_WINDOW	= BIT(7),
	ICPT_NMI_WINDOW	= BIT(8),
	ICPT_CR8	= BIT(9),	/* loads and stores of CR8 */
	ICPT_MTF	= BIT(10),	/* single step below the guest's sight, where there */
};

enum entry_end {
	ENTRY_EXITED,		/* the guest ran: ->exit() tells */
	ENTRY_FAILED,		/* it did not: ->exit() gives EXIT_ENTRY_FAILED */
};

/* What this CPU's hardware and the module parameters allow; filled by the vendor's init. */
struct vendor_caps {
	u64 efer_allowed;
	u64 debugctl_allowed;
	u64 tsc_max_ratio;		/* 1 << tsc_frac_bits when there is no scaling */
	u8 tsc_frac_bits;
	bool tsc_scaling;
	bool two_dim;			/* EPT or NPT */
	bool ept_format;		/* two_dim tables are EPT's, not ordinary ones */
	bool ept_ad;			/* EPT accessed/dirty bits in use */
	bool ept_exec_only;
	u8 two_dim_levels;		/* page-table levels in use: 4 or 5 */
	bool page_1g;
	bool unrestricted;		/* real mode and unpaged protected mode run natively (always on SVM) */
	bool nrips;			/* next RIP is given on every instruction exit */
	bool apicv;			/* hardware APIC virtualisation with posted interrupts */
	bool vnmi;
	bool mtf;
	bool pml;
	bool bus_lock_exit, notify_exit;
	u8 tpr_shift;				/* x86_vcpu.hw_tpr has this many bits fewer */
	bool dr_intercept_default;
	bool nested;
	bool flush_by_asid;
};

struct vendor_ops {
	const char *name;		/* "kvm_intel", "kvm_amd" */
	struct module *owner;
	bool amd;			/* shape of vendor MSRs, VMMCALL, nested state format */
	size_t vm_size, vcpu_size;	/* of the vendor's structures, which embed the core's at offset 0 */

	/* This CPU, IRQs off. Errors by -errno and pr_err naming what is missing. */
	int (*cpu_on)(void);
	void (*cpu_off)(void);

	/* Lifetime. vcpu_reset: hardware controls for power-up (init false) or INIT; state is the core's. */
	int (*vm_init)(struct x86_vm *vm);
	void (*vm_destroy)(struct x86_vm *vm);
	int (*vcpu_init)(struct x86_vcpu *v);
	void (*vcpu_free)(struct x86_vcpu *v);
	void (*vcpu_reset)(struct x86_vcpu *v, bool init);
	void (*cpuid_changed)(struct x86_vcpu *v);

	/* Binding to a CPU; preemption off. */
	void (*load)(struct x86_vcpu *v, int cpu);
	void (*put)(struct x86_vcpu *v);

	/* Register cache. fetch: hardware to v->state, sets valid. commit: dirty groups to hardware. Loaded. */
	void (*fetch)(struct x86_vcpu *v, u32 groups);
	void (*commit)(struct x86_vcpu *v, u32 groups);
	/* Can hardware hold these values (fixed bits)? The architecture's own rules are the core's. */
	bool (*cr0_ok)(struct x86_vcpu *v, u64 cr0);
	bool (*cr4_ok)(struct x86_vcpu *v, u64 cr4);
	/* Guest state that entry would refuse and the emulator must run (no unrestricted guest). */
	bool (*state_runs)(struct x86_vcpu *v);

	/*
	 * Running. prepare: preemption off, IRQs on, once before a batch of entries: host state that user
	 * space or the scheduler may change (segment bases, host MSRs). enter: IRQs off; writes dirty state,
	 * runs the guest, reads nothing but the exit reason. irq_exit: IRQs off, right after: hands a pending
	 * host NMI, machine check or IRQ exit to the host. exit: facts of the exit; IRQs on or off.
	 */
	void (*prepare)(struct x86_vcpu *v);
	enum entry_end (*enter)(struct x86_vcpu *v);
	void (*irq_exit)(struct x86_vcpu *v);
	void (*exit)(struct x86_vcpu *v, struct vm_exit *x);
	/* Moves the cache's RIP past the instruction, if hardware told its length; false: the core must decode. */
	bool (*next_rip)(struct x86_vcpu *v);
	void (*dump)(struct x86_vcpu *v);	/* hardware state to the log, rate-limited by the caller */

	/* Events. inject: at the next entry. uninject: what was put there and not entered is taken back. */
	void (*inject)(struct x86_vcpu *v, const struct x86_event *e);
	void (*uninject)(struct x86_vcpu *v);
	/* After an exit: the event whose delivery the exit interrupted, or type EV_NONE. */
	void (*vectoring)(struct x86_vcpu *v, struct x86_event *e);

	/* Controls recomputed from x86_vcpu: intercepts + exception bitmap; one MSR; TSC; page-table root. */
	void (*intercepts)(struct x86_vcpu *v);
	void (*msr_intercept)(struct x86_vcpu *v, u32 msr, bool read, bool write);
	void (*tsc)(struct x86_vcpu *v);		/* v->tsc_offset, v->tsc_ratio */
	void (*root)(struct x86_vcpu *v, hpa_t root);	/* of the two-dimensional (or shadow) tables */
	void (*flush)(struct x86_vcpu *v, enum flush_scope scope, u64 addr);
	/* Addresses that hardware logged as written (PML), taken out of its log: how many. Loaded; good until entry. */
	unsigned int (*logged)(struct x86_vcpu *v, const u64 **gpas);
	void (*tpr)(struct x86_vcpu *v, u8 tpr, int pending); /* bits 7:0; highest pending vector or -1 */

	/* MSRs that only this vendor has. false: not this vendor's. *val as in the manual; host: set by user space. */
	bool (*get_msr)(struct x86_vcpu *v, u32 msr, u64 *val, bool host);
	enum vendor_msr { VMSR_OK, VMSR_BAD, VMSR_NONE } (*set_msr)(struct x86_vcpu *v, u32 msr, u64 val, bool host);
	bool (*feature_msr)(u32 msr, u64 *val);		/* KVM_GET_MSRS on /dev/kvm */
};

/* The vendor module's init and exit. caps is copied. */
int vendor_register(const struct vendor_ops *ops, const struct vendor_caps *caps);
void vendor_unregister(void);

extern struct vendor_ops vendor_ops;	/* copy; valid while a vendor is registered */
extern struct vendor_caps vendor_caps;

/* Operations on the paths that are counted in instructions go by static call. */
#define VENDOR_STATIC_OPS(X) X(fetch) X(commit) X(prepare) X(enter) X(irq_exit) X(exit) X(next_rip) \
	X(inject) X(vectoring) X(load) X(put) X(tpr) X(flush) X(root) X(intercepts) X(state_runs) X(logged)
#define VENDOR_DECLARE(op) DECLARE_STATIC_CALL(vendor_##op, *(((struct vendor_ops *)0)->op));
VENDOR_STATIC_OPS(VENDOR_DECLARE)
#define vendor_call(op) static_call(vendor_##op)

#endif
