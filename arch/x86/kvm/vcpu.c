// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual CPU's life: making and unmaking, power-up and INIT, binding to a host CPU, and the states it can be in
 * for other processors (KVM_GET/SET_MP_STATE, INIT, SIPI).
 *
 * Who may run what: arch_vcpu_init() under kvm->lock before anybody knows the vCPU; load and put with preemption off,
 * also from the scheduler; arch_vcpu_runnable() and arch_vcpu_in_kernel() from any thread, as hints; the rest on the
 * vCPU thread.
 */
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/srcu.h>
#include <asm/fpu/types.h>
#include <kvm/arch.h>
#include <kvm/x86/clock.h>
#include <kvm/x86/debug.h>
#include <kvm/x86/fpu.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/lapic.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/mmu.h>
#include "regs.h"

/* --- making and unmaking --- */

int arch_vcpu_precreate(struct kvm *kvm, u32 id)
{
	return id < (kvm->max_vcpu_id ?: KVM_MAX_VCPU_ID) ? 0 : -EINVAL;
}

/* Whole pages: few vCPUs exist, and the vendor's structure may hold parts that hardware wants aligned. */
struct kvm_vcpu *arch_vcpu_alloc(struct kvm *kvm)
{
	struct x86_vcpu *v = alloc_pages_exact(vendor_ops.vcpu_size, GFP_KERNEL_ACCOUNT | __GFP_ZERO);

	if (!v)
		return ERR_PTR(-ENOMEM);
	/* Pages are not searched by themselves, and all that a vCPU has hangs on these. */
	kmemleak_alloc(v, vendor_ops.vcpu_size, 1, GFP_KERNEL);
	return &v->vcpu;
}

bool vcpu_is_bsp(const struct x86_vcpu *v)
{
	return v->vcpu.id == vm_of(v)->boot_cpu;
}

/* The parts with memory of their own, each undone by its entry here when a later one fails. */
static int parts_init(struct x86_vcpu *v)
{
	int err;

	err = mmu_vcpu_init(v);
	if (err)
		return err;
	err = emulate_vcpu_init(v);
	if (err)
		goto no_emulator;
	err = mce_vcpu_init(v);
	if (err)
		goto no_mce;
	err = fpu_vcpu_init(v);
	if (err)
		goto no_fpu;
	err = vm_lapic_in_kernel(vm_of(v)) ? lapic_create(v) : 0;
	if (err)
		goto no_lapic;
	tsc_vcpu_init(v);
	err = vendor_ops.vcpu_init(v);
	if (err)
		goto no_vendor;
	return 0;
no_vendor:
	if (v->lapic)
		lapic_free(v);
no_lapic:
	fpu_vcpu_free(v);
no_fpu:
	mce_vcpu_free(v);
no_mce:
	emulate_vcpu_free(v);
no_emulator:
	mmu_vcpu_free(v);
	return err;
}

/* Intercepts that every guest has, less those that KVM_CAP_X86_DISABLE_EXITS took away. */
static u32 base_intercepts(const struct x86_vcpu *v)
{
	u32 off = vm_of(v)->disabled_exits, icpt = 0;

	icpt |= off & KVM_X86_DISABLE_EXITS_HLT ? 0 : ICPT_HLT;
	icpt |= off & KVM_X86_DISABLE_EXITS_PAUSE ? 0 : ICPT_PAUSE;
	icpt |= off & KVM_X86_DISABLE_EXITS_MWAIT ? 0 : ICPT_MWAIT;
	if (!vendor_caps.two_dim)
		icpt |= ICPT_CR3 | ICPT_INVLPG;
	if (!v->lapic)
		icpt |= ICPT_CR8;	/* the task priority is user space's */
	return icpt;
}

int arch_vcpu_init(struct kvm_vcpu *vcpu)
{
	struct x86_vcpu *v = x86_vcpu(vcpu);
	int err, idx;

	v->last_cpu = -1;
	cpuid_vcpu_init(v);
	err = parts_init(v);
	if (err)
		return err;
	v->intercepts = base_intercepts(v);
	vcpu_load(vcpu);
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	vcpu_power_reset(v, false);
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	vcpu_put(vcpu);
	/* With local APICs in user space it is user space that holds processors back until SIPI. */
	v->mp_state = !v->lapic || vcpu_is_bsp(v) ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
	v->initialised = true;
	return 0;
}

void arch_vcpu_online(struct kvm_vcpu *vcpu)
{
	struct x86_vcpu *v = x86_vcpu(vcpu);

	if (v->lapic)
		apic_map_changed(vm_of(v));
	/* One more TSC that the VM's clock has to agree with. */
	vcpu_request(vcpu, REQ_MASTERCLOCK);
}

void arch_vcpu_free(struct kvm_vcpu *vcpu)
{
	struct x86_vcpu *v = x86_vcpu(vcpu);

	if (v->initialised) {
		vendor_ops.vcpu_free(v);
		if (v->lapic)
			lapic_free(v);
		fpu_vcpu_free(v);
		mce_vcpu_free(v);
		emulate_vcpu_free(v);
		mmu_vcpu_free(v);
	}
	cpuid_vcpu_free(v);
	kmemleak_free(v);
	free_pages_exact(v, vendor_ops.vcpu_size);
}

/* --- power-up and INIT (SDM table 10-1; APM table 14-1) --- */

static void reset_segments(struct x86_state *s)
{
	unsigned int i;

	for (i = SEG_ES; i <= SEG_GS; i++)
		s->seg[i] = (struct x86_seg) { .limit = 0xffff, .attr = SEG_P | SEG_S | 3 };
	s->seg[SEG_CS] = (struct x86_seg) {
		.base = 0xffff0000, .limit = 0xffff, .sel = 0xf000, .attr = SEG_P | SEG_S | 11,
	};
	s->seg[SEG_LDTR] = (struct x86_seg) { .limit = 0xffff, .attr = SEG_P | 2 };
	s->seg[SEG_TR] = (struct x86_seg) { .limit = 0xffff, .attr = SEG_P | 11 };
	s->gdt = s->idt = (struct x86_dtable) { .limit = 0xffff };
	s->cpl = 0;
}

/* MSRs that INIT leaves alone and that the register cache holds. */
static void reset_cached_msrs(struct x86_vcpu *v)
{
	struct x86_state *s = &v->state;

	s->sysenter_cs = s->sysenter_esp = s->sysenter_eip = 0;
	s->star = s->lstar = s->cstar = s->fmask = s->kernel_gs_base = 0;
	s->pat = 0x0007040600070406ull;
	state_dirty(v, G_SYSENTER | G_SYSCALL | G_PAT);
}

static void reset_registers(struct x86_vcpu *v, bool init)
{
	const u64 keep = X86_CR0_CD | X86_CR0_NW;
	struct x86_state *s = &v->state;
	u64 cr0 = X86_CR0_ET | (init ? get_cr0(v) & keep : keep);
	u32 eax = 1, ebx, ecx = 0, edx;

	memset(s->gpr, 0, sizeof(s->gpr));
	/* EDX: family, model, stepping. */
	s->gpr[RDX] = guest_cpuid(v, &eax, &ebx, &ecx, &edx) ? eax : 0x600;
	s->rip = 0xfff0;
	s->rflags = X86_EFLAGS_FIXED;
	s->cr0 = cr0;
	s->cr2 = s->cr3 = s->cr4 = s->efer = 0;
	memset(s->dr, 0, sizeof(s->dr));
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	memset(s->pdptr, 0, sizeof(s->pdptr));
	s->debugctl = 0;
	s->intr_shadow = 0;
	s->nmi_masked = false;
	reset_segments(s);
	state_dirty(v, G_RIP | G_RSP | G_RFLAGS | G_CR0 | G_CR2 | G_CR3 | G_CR4 | G_EFER | G_GDTR | G_IDTR | G_SHADOW |
		       G_DR6 | G_DR7 | G_PDPTR | G_DEBUGCTL | G_SEGS);
	s->valid |= G_CPL;
	if (init)
		return;
	reset_cached_msrs(v);
	v->xcr0 = XFEATURE_MASK_FP;
	v->xss = 0;
	v->pkru = 0;
}

/*
 * Power-up (init false) or INIT: after an INIT caching mode, FPU state, XCR0, time and most MSRs stay as they were.
 * vCPU thread, loaded, in kvm->srcu.
 */
void vcpu_power_reset(struct x86_vcpu *v, bool init)
{
	reset_registers(v, init);
	v->parked = false;
	v->fail_count = 0;
	v->cr8 = 0;
	vendor_ops.vcpu_reset(v, init);
	events_reset(v);
	lapic_reset(v, init);
	fpu_reset(v, init);
	msr_vcpu_reset(v, init);
	pv_vcpu_reset(v);
	cpuid_runtime_update(v);
	debug_intercepts(v);	/* all intercepts go to the vendor here */
	msr_intercepts_update(v);
	mmu_mode_changed(v);
	vcpu_request(&v->vcpu, REQ_TLB_GUEST);
	x86_events_changed(&v->vcpu);
}

/* SIPI (SDM 9.4.3): real mode at vector * 4 KiB. */
static void start_at(struct x86_vcpu *v, u8 vector)
{
	struct x86_seg *cs = get_seg(v, SEG_CS);

	cs->sel = vector << 8;
	cs->base = vector << 12;
	state_dirty(v, G_SEG(SEG_CS));
	put_rip(v, 0);
}

static void set_mp_state(struct x86_vcpu *v, u32 state)
{
	WRITE_ONCE(v->mp_state, state);
}

/*
 * INIT and SIPI as they arrived, in the order in which they make sense: a SIPI that came with an INIT is the one
 * after it. A SIPI finds only a processor that waits for it.
 */
enum outcome vcpu_apic_events(struct x86_vcpu *v)
{
	if (!READ_ONCE(v->apic_events))
		return OUT_OK;
	if (test_and_clear_bit(APIC_EVENT_INIT, &v->apic_events)) {
		vcpu_power_reset(v, true);
		set_mp_state(v, vcpu_is_bsp(v) ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED);
	}
	if (test_and_clear_bit(APIC_EVENT_SIPI, &v->apic_events) && v->mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		smp_rmb();	/* the vector was written before the bit */
		start_at(v, READ_ONCE(v->sipi_vector));
		set_mp_state(v, KVM_MP_STATE_RUNNABLE);
	}
	return OUT_OK;
}

long vcpu_get_mp_state(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	struct kvm_mp_state *out = c->arg;

	/* What has arrived shows, so that the registers read after this call belong to the state it gives. */
	if (vcpu_apic_events(v) != OUT_OK)
		return -EIO;
	out->mp_state = v->mp_state;
	return 0;
}

long vcpu_set_mp_state(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	u32 state = ((const struct kvm_mp_state *)c->arg)->mp_state;

	switch (state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		if (!v->lapic)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	v->parked = false;
	if (state == KVM_MP_STATE_SIPI_RECEIVED) {
		/* The vector is what KVM_SET_VCPU_EVENTS gave; the next KVM_RUN starts there. */
		set_mp_state(v, KVM_MP_STATE_INIT_RECEIVED);
		set_bit(APIC_EVENT_SIPI, &v->apic_events);
	} else {
		set_mp_state(v, state);
	}
	x86_events_changed(c->vcpu);
	return 0;
}

/* --- what other threads ask --- */

bool arch_vcpu_runnable(struct kvm_vcpu *vcpu)
{
	struct x86_vcpu *v = x86_vcpu(vcpu);
	unsigned long arrived = READ_ONCE(v->apic_events);
	u32 state = READ_ONCE(v->mp_state);

	if (arrived & BIT(APIC_EVENT_INIT))
		return true;
	switch (state) {
	case KVM_MP_STATE_RUNNABLE:
		return true;
	case KVM_MP_STATE_INIT_RECEIVED:
		return arrived & BIT(APIC_EVENT_SIPI);
	case KVM_MP_STATE_HALTED:
		return events_wake(v);
	default:
		return false;
	}
}

bool arch_vcpu_in_kernel(struct kvm_vcpu *vcpu)
{
	return READ_ONCE(x86_vcpu(vcpu)->in_kernel);
}

/* Nothing to arrange: an interrupt that is posted to a sleeping vCPU comes with a kick, and kicks wake. */
void arch_vcpu_blocking(struct kvm_vcpu *vcpu, bool blocking)
{
}

void arch_vcpu_kick_sent(struct kvm_vcpu *vcpu)
{
}

/* --- binding to a host CPU --- */

void arch_vcpu_load(struct kvm_vcpu *vcpu, int cpu)
{
	struct x86_vcpu *v = x86_vcpu(vcpu);

	vendor_call(load)(v, cpu);
	tsc_vcpu_load(v, cpu);
	if (v->last_cpu != cpu) {
		if (v->lapic && v->last_cpu >= 0)
			lapic_migrate_timer(v);
		v->last_cpu = cpu;
	}
	if (v->steal_msr)
		vcpu_request(vcpu, REQ_STEAL_UPDATE);
}

void arch_vcpu_put(struct kvm_vcpu *vcpu)
{
	struct x86_vcpu *v = x86_vcpu(vcpu);

	/* Preempted in the middle of running: yielding threads ask where the guest was. */
	if (vcpu->preempted)
		WRITE_ONCE(v->in_kernel, !get_cpl(v));
	if (v->steal_msr)
		steal_put(v);
	tsc_vcpu_put(v);
	vendor_call(put)(v);
	v->guest_loaded = false;	/* prepare() is due again */
}
