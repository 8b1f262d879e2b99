/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The x86 part of a virtual CPU; the vendor's structure embeds it at offset 0. Unless a field says
 * otherwise only the vCPU thread touches it, with vcpu->mutex held.
 */
#ifndef KVM_X86_VCPU_H
#define KVM_X86_VCPU_H

#include <kvm/vcpu.h>
#include <kvm/x86/event.h>
#include <kvm/x86/exit.h>
#include <kvm/x86/lapic.h>
#include <kvm/x86/state.h>
#include <kvm/x86/vendor.h>
#include <kvm/x86/vm.h>
#include <kvm/guest_mem.h>
#include <asm/fpu/types.h>

/* Requests of the x86 part. */
enum {
	REQ_EVENT = REQ_ARCH,	/* something may have become deliverable */
	REQ_NMI,		/* events.nmi_queued */
	REQ_SMI,
	REQ_TRIPLE_FAULT,
	REQ_CLOCK_UPDATE,	/* write the guest's pvclock page */
	REQ_MASTERCLOCK,	/* compute the VM's master clock again */
	REQ_STEAL_UPDATE,
	REQ_TLB_GUEST,		/* FLUSH_GUEST */
	REQ_APF_READY,
	REQ_TIMER,		/* LAPIC timer fired */
	REQ_LOAD_LEVELS,	/* IOAPIC levels changed: EOI exits */
	REQ_MSR_FILTER,
	REQ_APIC_EVENT,		/* INIT or SIPI */
	REQ_PIC,		/* the PIC's output rose */
	REQ_INTERCEPTS,		/* v->intercepts changed by another thread's doing */
	REQ_IOAPIC_EOI,		/* IRQCHIP_SPLIT: user space has to hear of the EOI of eoi_vector (exit IOAPIC_EOI) */
};

struct cpuid_cache {			/* what the guest's CPUID says, decoded once by cpuid.c */
	u32 f1_ecx, f1_edx, f7_ebx, f7_ecx, f7_edx, f7_1_eax, fd_1_eax, f80000001_ecx, f80000001_edx,
	    f80000008_ebx, f80000007_edx, pv_features, max_basic, f80000021_eax;
	u64 xcr0_allowed, xss_allowed;
	u8 maxphyaddr, linear_bits;
	bool amd;			/* vendor string AuthenticAMD or HygonGenuine */
	u64 cr4_reserved;		/* CR4 bits that the guest must not set */
	u64 efer_allowed;
};

struct x86_io {				/* what user space was asked for and completes */
	enum outcome (*complete)(struct x86_vcpu *v);	/* NULL: nothing outstanding */
	u64 rip;			/* ask_user(): where the instruction was, */
	u8 insn_len;			/* and its length; 0: the exit knows */
	/* Port I/O; valid: an emulated instruction that runs again finds its input answered. */
	struct { u16 port; u8 size; bool in; bool valid; u32 count; } pio;
};

struct x86_vcpu {
	struct kvm_vcpu vcpu;
	struct x86_state state;
	struct x86_events ev;
	struct vm_exit exit;			/* facts of the last exit */
	u32 intercepts;				/* ICPT_* wanted */
	u32 exception_bitmap;			/* vectors that exit */
	bool guest_loaded;			/* prepare() is done since the vCPU was loaded here */
	bool fpu_loaded;			/* guest FPU state is in the registers (this KVM_RUN) */
	bool recheck_events;			/* REQ_EVENT, set by the thread itself */

	struct lapic *lapic;			/* NULL: in user space */
	struct pi_desc *pi;			/* any thread; inside lapic */
	const u8 *hw_tpr;			/* the guest's TPR as hardware keeps it, vendor_caps.tpr_shift lower */
	u8 tpr_known;				/* the same as both sides last knew it */
	u64 apic_base;				/* MSR 1BH */
	u8 cr8;					/* without in-kernel LAPIC */
	u32 mp_state;				/* KVM_MP_STATE_*; others read it */
	bool parked;				/* woken from a halt that it has to re-enter */
	u8 sipi_vector;
	unsigned long apic_events;		/* APIC_EVENT_*; any thread */
	unsigned long level_vectors[4];		/* vectors whose EOI must be seen */
	u8 eoi_vector;				/* REQ_IOAPIC_EOI */

	struct mmu_vcpu *mmu;
	int root_as;				/* address space whose root the vendor runs on; -1: none */

	/* CPUID */
	struct kvm_cpuid_entry2 *cpuid;
	u32 cpuid_n;
	struct cpuid_cache cap;
	u32 pv_enforce;
	bool ran;				/* KVM_RUN happened: CPUID is frozen */

	/* FPU and extended state */
	struct fpu_guest fpu;
	u64 xcr0, xss;
	u8 xstate_differs;			/* fpu.c: which of XCR0, XSS, PKRU are switched round guest mode */
	u32 pkru;
	u32 host_pkru;			/* of this thread, during KVM_RUN */

	/* MSRs kept by the core */
	u64 misc_enable, arch_capabilities, ucode_rev, platform_info, misc_features, power_ctl;
	u64 spec_ctrl, tsc_aux, tsx_ctrl, feature_control, smbase, hwcr, umwait_control;
	u64 mtrr_def, mtrr_fix[11], mtrr_var[16];
	u64 mcg_cap, mcg_status, mcg_ctl, mcg_ext_ctl, *mce_banks;	/* 4 a bank */
	u64 poll_control;

	/* Time */
	u64 tsc_offset;				/* guest TSC = scaled host TSC + offset */
	u64 tsc_ratio;				/* in units of 1 << vendor_caps.tsc_frac_bits */
	u64 tsc_adjust;
	u64 last_host_tsc, last_guest_tsc;
	u64 last_tsc_ns;			/* host time of these two: when it was put */
	u32 tsc_khz;				/* as the VMM asked */
	u32 tsc_hw_khz;				/* as the guest's TSC runs */
	bool tsc_stale;				/* hardware does not have offset and ratio yet: tsc_vcpu_load() */
	u64 system_time_msr;
	struct gpa_cache pvclock;
	struct pvclock_vcpu_time_info hv_clock;
	bool pvclock_set, guest_paused_request;
	u64 steal_msr;
	struct gpa_cache steal;
	u64 steal_last, steal_accumulated;
	u8 steal_preempted;			/* what is written there */
	bool between_insns;			/* the thread may sleep, and the emulator holds no address */
	u64 pv_eoi_msr;
	bool pv_eoi_armed;			/* run.c: the guest may skip its next EOI */
	struct gpa_cache pv_eoi;
	u64 apf_msr, apf_int_msr;

	/* Debugging */
	u32 guest_debug;			/* KVM_GUESTDBG_* */
	u64 debug_dr[4], debug_dr7;		/* user space's breakpoints */
	u64 effective_dr7;			/* state.dr7 or user space's; the vendor loads this one */
	u64 singlestep_rip;
	bool step_tf;				/* user space steps: TF is the guest's own as well */
	bool dr_switched;			/* guest's DR0-3 are in the registers */

	struct x86_io io;
	bool emulating_again;
	u8 *scratch;				/* one page: string I/O, emulator */
	void *emu;				/* emulator context; emulate.c */
	u8 fail_count;				/* emulation failures in a row */
	u64 lastrun_tsc;
	int last_cpu;				/* vcpu.c: where it was loaded last, -1: never */
	bool initialised;			/* vcpu.c: arch_vcpu_init() went through */
	bool in_kernel;				/* CPL was 0 when it was preempted; others read it */
};

static inline struct x86_vcpu *x86_vcpu(const struct kvm_vcpu *vcpu)
{
	return (struct x86_vcpu *)vcpu;
}

static inline struct x86_vm *vm_of(const struct x86_vcpu *v)
{
	return x86_vm(v->vcpu.kvm);
}

/* Register cache. */
static __always_inline void state_need(struct x86_vcpu *v, u32 groups)
{
	u32 missing = groups & ~v->state.valid;

	if (unlikely(missing))
		vendor_call(fetch)(v, missing);
}

static __always_inline void state_dirty(struct x86_vcpu *v, u32 groups)
{
	v->state.valid |= groups;
	v->state.dirty |= groups;
}

static inline u64 gpr_get(struct x86_vcpu *v, unsigned int r)
{
	if (r == RSP)
		state_need(v, G_RSP);
	return v->state.gpr[r & 15];
}

static inline void gpr_set(struct x86_vcpu *v, unsigned int r, u64 val)
{
	v->state.gpr[r & 15] = val;
	if (r == RSP)
		state_dirty(v, G_RSP);
}

#define STATE_ACCESSORS(name, field, group)						\
static inline u64 get_##name(struct x86_vcpu *v)					\
{											\
	state_need(v, group);								\
	return v->state.field;								\
}											\
static inline void put_##name(struct x86_vcpu *v, u64 val)				\
{											\
	v->state.field = val;								\
	state_dirty(v, group);								\
}
STATE_ACCESSORS(rip, rip, G_RIP)
STATE_ACCESSORS(rflags, rflags, G_RFLAGS)
STATE_ACCESSORS(cr0, cr0, G_CR0)
STATE_ACCESSORS(cr2, cr2, G_CR2)
STATE_ACCESSORS(cr3, cr3, G_CR3)
STATE_ACCESSORS(cr4, cr4, G_CR4)
STATE_ACCESSORS(efer, efer, G_EFER)

static inline struct x86_seg *get_seg(struct x86_vcpu *v, enum seg_reg s)
{
	state_need(v, G_SEG(s));
	return &v->state.seg[s];
}

static inline u8 get_cpl(struct x86_vcpu *v)
{
	state_need(v, G_CPL);
	return v->state.cpl;
}

bool guest_long_mode(struct x86_vcpu *v);	/* EFER.LMA */
/* LMA and CS.L, without reading all of CS. */
static inline bool guest_64bit(struct x86_vcpu *v)
{
	if (!(get_efer(v) & BIT(10) /* LMA */))
		return false;
	if (v->state.valid & G_SEG(SEG_CS))
		return v->state.seg[SEG_CS].attr & SEG_L;
	state_need(v, G_LONG);
	return v->state.cs_l;
}
static inline bool guest_paging(struct x86_vcpu *v) { return get_cr0(v) & (1ul << 31); }
static inline bool guest_protected(struct x86_vcpu *v) { return get_cr0(v) & 1; }

/* regs.c: control registers with the architecture's checks; OUT_FAULT: #GP is queued. */
enum outcome guest_set_cr0(struct x86_vcpu *v, u64 val);
enum outcome guest_set_cr3(struct x86_vcpu *v, u64 val);
enum outcome guest_set_cr4(struct x86_vcpu *v, u64 val);
enum outcome guest_set_cr8(struct x86_vcpu *v, u64 val);
enum outcome guest_set_xcr(struct x86_vcpu *v, u32 nr, u64 val);
bool efer_ok(struct x86_vcpu *v, u64 efer);	/* may the guest write this value now? */

/* The instruction of the last exit is done: RIP goes past it (decoding it if hardware did not say). */
enum outcome skip_insn(struct x86_vcpu *v);
/*
 * skip.c: an exit whose instruction user space answers. complete() does nothing but return OUT_OK unless
 * answer_wanted(), and ends with skip_answered().
 */
void ask_user(struct x86_vcpu *v, enum outcome (*complete)(struct x86_vcpu *v));
enum outcome skip_answered(struct x86_vcpu *v);
/* No longer where user space moved the vCPU meanwhile. */
static inline bool answer_wanted(struct x86_vcpu *v)
{
	return get_rip(v) == v->io.rip;
}

void cr_operand_from_code(struct x86_vcpu *v);	/* skip.c: fills v->exit.cr from the instruction, if it is a MOV */

/* msr.c; OUT_FAULT: the caller raises #GP (nothing is queued). */
enum msr_result { MSR_OK, MSR_FAULT, MSR_UNKNOWN, MSR_FILTERED };
enum msr_result msr_read(struct x86_vcpu *v, u32 msr, u64 *val, bool host);
enum msr_result msr_write(struct x86_vcpu *v, u32 msr, u64 val, bool host);

/* cpuid.c */
bool guest_cpuid(struct x86_vcpu *v, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
void cpuid_runtime_update(struct x86_vcpu *v);	/* CR4.OSXSAVE, OSPKE, APIC base, MISC_ENABLE changed */

/* emulate.c */
enum emulate_flags { EMUL_SKIP = 1, EMUL_NO_DECODE_CACHE = 2, EMUL_MMIO = 4, EMUL_UD = 8 };
enum outcome emulate_insn(struct x86_vcpu *v, int flags, gpa_t gpa);
enum outcome emulate_task_switch(struct x86_vcpu *v);
enum outcome emulate_real_mode_int(struct x86_vcpu *v, const struct x86_event *e);

/* tsc.c, clock.c */
u64 guest_tsc(struct x86_vcpu *v, u64 host_tsc);
void guest_set_tsc(struct x86_vcpu *v, u64 val, bool host);
u64 guest_tsc_to_ns(struct x86_vcpu *v, u64 ticks);	/* duration */
u64 vm_clock_ns(struct x86_vm *vm);

/* vcpu.c */
void vcpu_power_reset(struct x86_vcpu *v, bool init);
bool vcpu_is_bsp(const struct x86_vcpu *v);
static inline void vcpu_request_kick(struct x86_vcpu *v, unsigned int req)
{
	vcpu_request(&v->vcpu, req);
	vcpu_kick(&v->vcpu);
}

#endif
