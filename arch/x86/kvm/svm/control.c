// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control half of the VMCB: what exits, the permission maps, address space identifiers, TSC, virtual TPR.
 *
 * ASIDs are given out per CPU, counted up; when they run out a new generation begins, whose first entry flushes the
 * TLB of all of them. A vCPU keeps its ASID while it stays on the CPU and in the generation. So a new ASID is a clean
 * one, and where hardware cannot flush a single one, a flush is a new ASID.
 *
 * Whatever is written here takes the clean bit that covers it; vCPU thread, the VMCB not running.
 */
#define pr_fmt(fmt) "kvm_amd: " fmt
#include <linux/gfp.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <trace/events/ipi.h>
#include <asm/msr-index.h>
#include <asm/traps.h>
#include "svm.h"

#define IOPM_ORDER	2	/* 12 KB and a bit: 65,536 ports, one bit each */
#define MSRPM_ORDER	1	/* 8 KB: three ranges of 8,192 MSRs, two bits each */

static void *iopm;		/* all ones, one for all guests: the core decides on every port access */

int svm_maps_alloc(void)
{
	iopm = (void *)__get_free_pages(GFP_KERNEL, IOPM_ORDER);
	if (!iopm)
		return -ENOMEM;
	memset(iopm, 0xff, PAGE_SIZE << IOPM_ORDER);
	return 0;
}

void svm_maps_free(void)
{
	free_pages((unsigned long)iopm, IOPM_ORDER);
	iopm = NULL;
}

/* --- lifetime --- */

int svm_vcpu_init(struct x86_vcpu *v)
{
	struct svm_vcpu *svm = to_svm(v);

	svm->vmcb = (struct vmcb *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	svm->msrpm = (void *)__get_free_pages(GFP_KERNEL_ACCOUNT, MSRPM_ORDER);
	if (!svm->vmcb || !svm->msrpm) {
		svm_vcpu_free(v);
		return -ENOMEM;
	}
	memset(svm->msrpm, 0xff, PAGE_SIZE << MSRPM_ORDER);
	svm->run.vmcb_pa = __pa(svm->vmcb);
	svm->run.gpr = v->state.gpr;
	v->hw_tpr = (const u8 *)&svm->vmcb->int_ctl;
	svm->asid_cpu = -1;
	svm_feature_msr(MSR_AMD64_DE_CFG, &svm->de_cfg);
	return 0;
}

void svm_vcpu_free(struct x86_vcpu *v)
{
	struct svm_vcpu *svm = to_svm(v);

	if (svm->vmcb)
		svm_cpus_forget(svm->vmcb);
	free_page((unsigned long)svm->vmcb);
	free_pages((unsigned long)svm->msrpm, MSRPM_ORDER);
	svm->vmcb = NULL;
	svm->msrpm = NULL;
}

void svm_vcpu_reset(struct x86_vcpu *v, bool init)
{
	struct svm_vcpu *svm = to_svm(v);
	struct vmcb *b = svm->vmcb;

	b->iopm = __pa(iopm);
	b->msrpm = __pa(svm->msrpm);
	b->np_enable = 1;
	b->int_ctl = VI_MASKING;
	b->int_state = 0;
	b->event_inj = 0;
	b->exit_int_info = 0;
	b->tsc_offset = v->tsc_offset;
	if (svm_features.pause_filter) {
		b->pause_count = svm_pause_count;
		b->pause_threshold = svm_features.pause_threshold ? svm_pause_threshold : 0;
	}
	if (!init) {
		b->spec_ctrl = 0;
		svm->run.spec_ctrl = 0;
		svm->virt_spec_ctrl = 0;
	}
	svm->nmi = 0;
	svm->soft_len = 0;
	svm->x.tpr_known = 0;
	svm->tpr_window = false;
	svm->todo = TODO_ASID;
	svm->asid_generation = 0;
	b->clean = 0;
	svm_intercepts(v);
}

void svm_cpuid_changed(struct x86_vcpu *v)
{
	svm_intercepts(v);
	if (v->guest_loaded)
		svm_tsc_aux_load(v);
}

/* --- intercepts --- */

/* Instructions that always exit, and what belongs to the host. */
#define ALWAYS_3	(IC3_INTR | IC3_NMI | IC3_SMI | IC3_INIT | IC3_CR0_SEL | IC3_RDPMC | IC3_CPUID | IC3_RSM | \
			 IC3_INVD | IC3_INVLPGA | IC3_IOIO | IC3_MSR | IC3_TASK | IC3_SHUTDOWN)
#define ALWAYS_4	(IC4_VMRUN | IC4_VMMCALL | IC4_VMLOAD | IC4_VMSAVE | IC4_STGI | IC4_CLGI | IC4_SKINIT | \
			 IC4_WBINVD | IC4_XSETBV | IC4_RDPRU)
/*
 * Machine checks are the host's. A guest can make #DB and #AC raise themselves for ever inside one instruction,
 * with interrupts held off: they must come out.
 */
#define ALWAYS_EXC	(BIT(X86_TRAP_MC) | BIT(X86_TRAP_DB) | BIT(X86_TRAP_AC))

static u32 cr_intercepts(struct svm_vcpu *svm)
{
	u32 icpt = svm->x.intercepts, w = IC_CR_WRITE(4);
	struct vmcb *b = svm->vmcb;

	/* Where hardware runs with other values than the guest set, the guest must not read or re-write them. */
	if (svm->guest_cr0)
		w |= IC_CR_READ(0) | IC_CR_WRITE(0);
	if (b->cr4 != svm->x.state.cr4)
		w |= IC_CR_READ(4);
	if (icpt & ICPT_CR3)
		w |= IC_CR_READ(3) | IC_CR_WRITE(3);
	if (icpt & ICPT_CR8)
		w |= IC_CR_READ(8) | IC_CR_WRITE(8);
	/* With V_IRQ pending too: QEMU before 11.1 aborts on a CR8 write then, and windows are short. */
	if (svm->tpr_window || (icpt & ICPT_IRQ_WINDOW))
		w |= IC_CR_WRITE(8);
	return w;
}

static u32 word3_intercepts(struct svm_vcpu *svm)
{
	u32 icpt = svm->x.intercepts, w = ALWAYS_3;

	if (icpt & ICPT_HLT)
		w |= IC3_HLT;
	/* Without the filter every PAUSE of a spin loop would exit: dearer than what it could save. */
	if ((icpt & ICPT_PAUSE) && svm_features.pause_filter)
		w |= IC3_PAUSE;
	if (icpt & ICPT_RDTSC)
		w |= IC3_RDTSC;
	if (icpt & ICPT_INVLPG)
		w |= IC3_INVLPG;
	if (icpt & ICPT_IRQ_WINDOW)
		w |= IC3_VINTR;
	if (svm->x.state.nmi_masked && !(svm->nmi & NMI_IRET_SEEN))
		w |= IC3_IRET;
	return w;
}

static u32 word4_intercepts(const struct svm_vcpu *svm)
{
	u32 icpt = svm->x.intercepts, w = ALWAYS_4;

	if (icpt & ICPT_MWAIT)
		w |= IC4_MONITOR | IC4_MWAIT | IC4_MWAIT_ARMED;
	if (icpt & ICPT_RDTSC)
		w |= IC4_RDTSCP;
	return w;
}

/* The virtual interrupt that makes hardware exit as soon as the guest could take one. */
static void irq_window(struct vmcb *b, bool on)
{
	u32 ctl = b->int_ctl & ~(VI_IRQ | VI_PRIO | VI_IGN_TPR);

	if (on)
		ctl |= VI_IRQ | VI_PRIO | VI_IGN_TPR;
	if (ctl == b->int_ctl)
		return;
	b->int_ctl = ctl;
	b->int_vector = 0;
	vmcb_unclean(b, CLEAN_INTR);
}

/* NMIs cannot be taken now: after the IRET under way, or after the instruction in whose shadow we are. */
static void nmi_window(struct svm_vcpu *svm)
{
	if (!(svm->x.intercepts & ICPT_NMI_WINDOW)) {
		if (unlikely(svm->nmi & NMI_STEP))
			svm_nmi_unstep(svm);
		return;
	}
	if (svm->x.state.nmi_masked && !(svm->nmi & NMI_IRET_SEEN))
		return;			/* the IRET intercept comes first */
	if (svm->vmcb->event_inj & EVINJ_VALID) {
		svm->nmi |= NMI_KICK;
		svm->todo |= TODO_KICK;
	} else {
		svm_nmi_step(svm);
	}
}

void svm_intercepts(struct x86_vcpu *v)
{
	struct svm_vcpu *svm = to_svm(v);
	struct vmcb *b = svm->vmcb;
	u32 w[NR_ICW] = {
		[ICW_CR]  = cr_intercepts(svm),
		[ICW_DR]  = v->intercepts & ICPT_DR ? IC_DR_ALL : 0,
		[ICW_EXC] = v->exception_bitmap | ALWAYS_EXC,
		[ICW_3]   = word3_intercepts(svm),
		[ICW_4]   = word4_intercepts(svm),
		/* INVPCID that the guest's CPUID does not have is #UD. */
		[ICW_5]   = boot_cpu_has(X86_FEATURE_INVPCID) && !(v->cap.f7_ebx & BIT(10)) ? IC5_INVPCID : 0,
	};

	if (memcmp(b->intercept, w, sizeof(w))) {
		memcpy(b->intercept, w, sizeof(w));
		vmcb_unclean(b, CLEAN_INTERCEPTS);
	}
	irq_window(b, v->intercepts & ICPT_IRQ_WINDOW);
	nmi_window(svm);
}

/* Bit pair of an MSR in the map; false: in none of its ranges, always intercepted. */
static bool msrpm_bit(u32 msr, unsigned int *bit)
{
	u32 range = msr < 0x2000 ? 0 : msr >= 0xc0000000 && msr < 0xc0002000 ? 1 :
		    msr >= 0xc0010000 && msr < 0xc0012000 ? 2 : 3;

	*bit = range * 0x4000 + (msr & 0x1fff) * 2;
	return range < 3;
}

void svm_msr_intercept(struct x86_vcpu *v, u32 msr, bool read, bool write)
{
	struct svm_vcpu *svm = to_svm(v);
	unsigned int bit;

	if (!msrpm_bit(msr, &bit))
		return;
	__assign_bit(bit, svm->msrpm, read);
	__assign_bit(bit + 1, svm->msrpm, write);
	if (msr == MSR_IA32_SPEC_CTRL)
		svm->run.spec_read = !write;
	vmcb_unclean(svm->vmcb, CLEAN_MAPS);
}

/* --- address space identifiers and flushes --- */

static void new_asid(struct svm_vcpu *svm)
{
	struct svm_cpu *c = this_cpu_ptr(&svm_cpus);
	struct vmcb *b = svm->vmcb;

	b->tlb_control = TLBC_KEEP;
	if (c->asid_next >= svm_features.asids) {
		c->asid_generation++;
		c->asid_next = 1;
		b->tlb_control = TLBC_FLUSH_ALL;
	}
	b->asid = c->asid_next++;
	vmcb_unclean(b, CLEAN_ASID);
	svm->asid_generation = c->asid_generation;
}

/* IRQs off, before entry, when todo is not 0. */
void svm_todo(struct svm_vcpu *svm)
{
	if (svm->todo & TODO_ASID)
		new_asid(svm);
	else if (svm->todo & TODO_FLUSH)
		svm->vmcb->tlb_control = TLBC_FLUSH_ASID;
	if (svm->todo & TODO_KICK)
		smp_send_reschedule(smp_processor_id());
	svm->todo = 0;
}

void svm_flush(struct x86_vcpu *v, enum flush_scope scope, u64 addr)
{
	struct svm_vcpu *svm = to_svm(v);

	if (scope == FLUSH_ADDR && !(svm->todo & (TODO_ASID | TODO_FLUSH))) {
		asm volatile("invlpga %0, %1" : : "a" (addr), "c" (svm->vmcb->asid) : "memory");
		return;
	}
	svm->todo |= svm_features.flush_by_asid ? TODO_FLUSH : TODO_ASID;
}

void svm_root(struct x86_vcpu *v, hpa_t root)
{
	struct vmcb *b = to_svm(v)->vmcb;

	b->nested_cr3 = root.v;
	vmcb_unclean(b, CLEAN_NP);
}

/* --- time, TPR, PAUSE --- */

void svm_tsc(struct x86_vcpu *v)
{
	struct vmcb *b = to_svm(v)->vmcb;

	if (b->tsc_offset != v->tsc_offset) {
		b->tsc_offset = v->tsc_offset;
		vmcb_unclean(b, CLEAN_INTERCEPTS);
	}
	if (!svm_features.tsc_scaling)
		return;
	preempt_disable();
	if (v->vcpu.cpu == smp_processor_id())
		svm_write_tsc_ratio(v->tsc_ratio);
	preempt_enable();
}

void svm_tpr(struct x86_vcpu *v, u8 tpr, int pending)
{
	struct svm_vcpu *svm = to_svm(v);
	struct vmcb *b = svm->vmcb;
	bool window = pending >= 0 && (pending >> 4) <= (tpr >> 4);
	u32 ctl = (b->int_ctl & ~VI_TPR) | tpr >> 4;

	v->tpr_known = tpr >> 4;
	if (ctl != b->int_ctl) {
		b->int_ctl = ctl;
		vmcb_unclean(b, CLEAN_INTR);
	}
	if (window != svm->tpr_window) {
		svm->tpr_window = window;
		svm_intercepts(v);
	}
}

/* This hardware keeps no log. */
unsigned int svm_logged(struct x86_vcpu *v, const u64 **gpas)
{
	return 0;
}

/* A PAUSE exit: the next spin of this vCPU may be longer before it costs an exit. */
void svm_pause_grew(struct svm_vcpu *svm)
{
	u32 n = svm->vmcb->pause_count * (svm_pause_grow ? : 1);

	svm->vmcb->pause_count = min_t(u32, n, svm_pause_max);
	vmcb_unclean(svm->vmcb, CLEAN_INTERCEPTS);
}
