// SPDX-License-Identifier: GPL-2.0-only
/*
 * What guests that know us do to spare exits and waiting: time stolen by the host, interrupts ended without an exit,
 * and hypercalls. The addresses come from the guest; a page that is not there is its own loss.
 *
 * vCPU thread, loaded, in kvm->srcu; steal_put() from the scheduler.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/kvm_para.h>
#include <linux/sched.h>
#include <linux/time64.h>
#include <linux/uaccess.h>
#include <compat/run_page.h>
#include <kvm/guest_mem.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/lapic.h>
#include "time.h"
#include "trace.h"

/* All of it is there for a guest that does not ask CPUID, unless the VMM had that enforced. */
bool pv_offered(const struct x86_vcpu *v, unsigned int feature)
{
	return !v->pv_enforce || (v->cap.pv_features & BIT(feature));
}

void pv_vcpu_reset(struct x86_vcpu *v)
{
	v->system_time_msr = 0;
	v->pvclock_set = false;
	v->guest_paused_request = false;
	v->steal_msr = 0;
	v->pv_eoi_msr = 0;
	v->pv_eoi_armed = false;
	v->apf_msr = 0;
	v->apf_int_msr = 0;
	v->poll_control = 1;
}

/* --- steal time --- */

#define STEAL_FIELD(f)	offsetof(struct kvm_steal_time, f), sizeof(((struct kvm_steal_time *)0)->f)

static u64 run_delay(void)
{
#ifdef CONFIG_SCHED_INFO
	return current->sched_info.run_delay;
#else
	return 0;
#endif
}

bool steal_set_msr(struct x86_vcpu *v, u64 val)
{
	struct kvm *kvm = v->vcpu.kvm;
	u64 so_far = 0;

	if (val & KVM_STEAL_RESERVED_MASK)
		return false;
	v->steal_msr = 0;
	if (!(val & KVM_MSR_ENABLED))
		return true;
	if (gpa_cache_init(kvm, &v->steal, GPA(val & KVM_STEAL_VALID_BITS), sizeof(struct kvm_steal_time)))
		return false;
	gpa_cache_read(kvm, &v->steal, &so_far, STEAL_FIELD(steal));	/* goes on from there, after a migration too */
	v->steal_accumulated = so_far;
	v->steal_last = run_delay();
	v->steal_preempted = 0;
	v->steal_msr = val;
	vcpu_request(&v->vcpu, REQ_STEAL_UPDATE);
	return true;
}

/*
 * No longer preempted. Other vCPUs that found it so left a flush for it to do (KVM_FEATURE_PV_TLB_FLUSH) where they
 * would have interrupted it: byte and bit are taken at once. A guest that keeps on changing the byte gets its flush.
 */
static void steal_running(struct x86_vcpu *v)
{
	const gpa_t where = GPA(v->steal.gpa.v + offsetof(struct kvm_steal_time, preempted));
	u8 was = v->steal_preempted, zero = 0;
	unsigned int tries = 16;
	bool done;

	do {
		if (vcpu_cmpxchg_guest(&v->vcpu, where, sizeof(was), &was, &zero, &done))
			return;
	} while (!done && --tries);
	if (!done)
		gpa_cache_write(v->vcpu.kvm, &v->steal, &zero, STEAL_FIELD(preempted));
	if (!done || (was & KVM_VCPU_FLUSH_TLB))
		vcpu_request(&v->vcpu, REQ_TLB_GUEST);
	v->steal_preempted = 0;
}

/* Runs again: how long it was kept waiting, under the version protocol, and that it is no longer preempted. */
void steal_update(struct x86_vcpu *v)
{
	struct kvm *kvm = v->vcpu.kvm;
	u64 delay = run_delay();
	u32 version;

	if (!v->steal_msr)
		return;
	v->steal_accumulated += delay - v->steal_last;
	v->steal_last = delay;
	steal_running(v);
	if (gpa_cache_read(kvm, &v->steal, &version, STEAL_FIELD(version)))
		return;
	version = (version | 1) + 2;
	gpa_cache_write(kvm, &v->steal, &version, STEAL_FIELD(version));
	smp_wmb();
	gpa_cache_write(kvm, &v->steal, &v->steal_accumulated, STEAL_FIELD(steal));
	smp_wmb();
	version++;
	gpa_cache_write(kvm, &v->steal, &version, STEAL_FIELD(version));
}

/*
 * Scheduled out: other vCPUs of the guest need not wait for this one. Only if the byte can be written at once, and only
 * between instructions: in the middle of one the emulator may hold an address that it translated, and a flush that is
 * left for later would come too late for it.
 */
void steal_put(struct x86_vcpu *v)
{
	const u32 where = offsetof(struct kvm_steal_time, preempted);
	const u8 preempted = KVM_VCPU_PREEMPTED;
	struct kvm *kvm = v->vcpu.kvm;
	struct gpa_cache *c = &v->steal;
	int idx;

	if (v->steal_preempted || !v->between_insns || current->mm != kvm->mm)
		return;
	idx = srcu_read_lock(&kvm->srcu);
	if (c->slot && c->generation == READ_ONCE(kvm_slots(kvm, 0)->generation) &&
	    !(c->slot->flags & KVM_MEM_READONLY) &&
	    !copy_to_user_nofault(hva_ptr(c->hva) + where, &preempted, sizeof(preempted))) {
		v->steal_preempted = preempted;
		slot_mark_dirty(kvm, c->slot, gfn_of(GPA(c->gpa.v + where)));
	}
	srcu_read_unlock(&kvm->srcu, idx);
}

/* --- ending an interrupt without an exit --- */

bool pv_eoi_set_msr(struct x86_vcpu *v, u64 val)
{
	if (val & 2)
		return false;
	v->pv_eoi_msr = 0;
	if (!(val & KVM_MSR_ENABLED))
		return true;
	if (!v->lapic || gpa_cache_init(v->vcpu.kvm, &v->pv_eoi, GPA(val & ~3ull), sizeof(u32)))
		return false;
	v->pv_eoi_msr = val;
	return true;
}

/*
 * The caller has made sure that one interrupt is in service, edge-triggered, and that no other waits. A guest that
 * finds the bit set clears it in place of an EOI.
 */
bool pv_eoi_arm(struct x86_vcpu *v)
{
	const u8 set = KVM_PV_EOI_ENABLED;

	return !gpa_cache_write(v->vcpu.kvm, &v->pv_eoi, &set, 0, sizeof(set));
}

bool pv_eoi_taken(struct x86_vcpu *v)
{
	const u8 clear = KVM_PV_EOI_DISABLED;
	u8 now;

	if (gpa_cache_read(v->vcpu.kvm, &v->pv_eoi, &now, 0, sizeof(now)))
		return false;
	if (!(now & KVM_PV_EOI_MASK))
		return true;
	gpa_cache_write(v->vcpu.kvm, &v->pv_eoi, &clear, 0, sizeof(clear));
	return false;
}

/* --- asynchronous page faults --- */

#define APF_RESERVED	GENMASK(5, 4)
#define APF_NOT_OFFERED	(KVM_ASYNC_PF_DELIVERY_AS_PF_VMEXIT | KVM_ASYNC_PF_DELIVERY_AS_INT)

/*
 * A guest that takes "the page is there" by no interrupt is sent nothing, says the ABI, and the interrupt
 * (KVM_FEATURE_ASYNC_PF_INT) is not offered: a register and no more, whose area nobody writes. VMMs insist on the
 * feature, though. What another host's guest had in it is user space's to put back.
 */
bool apf_set_msr(struct x86_vcpu *v, u64 val, bool host)
{
	if ((val & APF_RESERVED) || (!host && (val & APF_NOT_OFFERED)))
		return false;
	v->apf_msr = val;
	return true;
}

/* --- hypercalls --- */

/* KVM_HC_SEND_IPI: the ICR's fields. */
#define ICR_VECTOR	0xff
#define ICR_MODE_SHIFT	8
#define ICR_MODE	(7 << ICR_MODE_SHIFT)
#define ICR_FIXED	0
#define ICR_NMI		4
#define ICR_LEVEL	BIT(14)
#define ICR_TRIGGER	BIT(15)
#define ICR_NOT_HERE	(3ul << 18 | BIT(11))	/* shorthand and logical mode make no sense with a bitmap */

/* An argument as wide as the guest's code is. */
static u64 arg(const struct x86_vcpu *v, unsigned int reg, bool wide)
{
	return wide ? v->state.gpr[reg] : (u32)v->state.gpr[reg];
}

static long send_ipi(struct x86_vcpu *v, bool wide)
{
	const unsigned int word = wide ? 64 : 32;
	struct x86_vm *vm = vm_of(v);
	u32 icr = arg(v, RSI, wide), first = arg(v, RDX, wide);
	struct apic_msg m = {
		.vector = icr & ICR_VECTOR,
		.mode = (icr & ICR_MODE) >> ICR_MODE_SHIFT,
		.assert = true,
	};
	unsigned long map[2] = { arg(v, RBX, wide), arg(v, RCX, wide) };
	unsigned int i, bit;
	long count = 0;

	if (!v->lapic)
		return -KVM_ENOSYS;
	if ((icr & ICR_NOT_HERE) || (m.mode != ICR_FIXED && m.mode != ICR_NMI))
		return -KVM_EINVAL;
	m.level = (icr & ICR_TRIGGER) && (icr & ICR_LEVEL);
	for (i = 0; i < 2; i++) {
		for_each_set_bit(bit, &map[i], word) {
			m.dest = first + i * word + bit;
			if (m.dest < first)
				return count;
			if (apic_deliver(vm, v, &m) > 0)
				count++;
		}
	}
	return count;
}

/* A vCPU by the number that guests know it by: the APIC ID it started with. */
static struct x86_vcpu *by_apic_id(struct x86_vcpu *v, u64 id)
{
	struct kvm_vcpu *vcpu = id < KVM_MAX_VCPU_ID ? kvm_vcpu_by_id(v->vcpu.kvm, id) : NULL;

	return vcpu ? x86_vcpu(vcpu) : NULL;
}

/* The holder of a lock hands it over to one that halted waiting for it. */
static long kick_cpu(struct x86_vcpu *v, u64 id)
{
	struct x86_vcpu *target = by_apic_id(v, id);

	if (!target || target == v)
		return 0;
	WRITE_ONCE(target->parked, true);
	vcpu_kick(&target->vcpu);
	return 0;
}

static long sched_yield(struct x86_vcpu *v, u64 id)
{
	struct x86_vcpu *target = by_apic_id(v, id);

	v->vcpu.stat.directed_yield_attempted++;
	if (target && target != v && READ_ONCE(target->vcpu.ready) && vcpu_yield_to(&target->vcpu))
		v->vcpu.stat.directed_yield_successful++;
	return 0;
}

/* The host's wall clock and the guest's TSC at the same instant. */
static long clock_pairing(struct x86_vcpu *v, u64 gpa, u64 type)
{
	struct kvm_clock_pairing p = {};
	struct host_time now;
	u32 nsec;

	if (type != KVM_CLOCK_PAIRING_WALLCLOCK)
		return -KVM_EOPNOTSUPP;
	host_time_read(&now);
	if (!now.exact)
		return -KVM_EOPNOTSUPP;
	p.sec = div_u64_rem(now.real_ns, NSEC_PER_SEC, &nsec);
	p.nsec = nsec;
	p.tsc = guest_tsc(v, now.tsc);
	return vcpu_write_guest(&v->vcpu, GPA(gpa), &p, sizeof(p)) ? -KVM_EFAULT : 0;
}

static long hypercall(struct x86_vcpu *v, u64 nr, bool wide)
{
	u64 a0 = arg(v, RBX, wide);

	switch (nr) {
	case KVM_HC_VAPIC_POLL_IRQ:
		return 0;	/* the exit is all that it asks for: what is pending has said so */
	case KVM_HC_KICK_CPU:
		return pv_offered(v, KVM_FEATURE_PV_UNHALT) ? kick_cpu(v, arg(v, RCX, wide)) : -KVM_ENOSYS;
	case KVM_HC_CLOCK_PAIRING:
		return clock_pairing(v, a0, arg(v, RCX, wide));
	case KVM_HC_SEND_IPI:
		return pv_offered(v, KVM_FEATURE_PV_SEND_IPI) ? send_ipi(v, wide) : -KVM_ENOSYS;
	case KVM_HC_SCHED_YIELD:
		return pv_offered(v, KVM_FEATURE_PV_SCHED_YIELD) ? sched_yield(v, a0) : -KVM_ENOSYS;
	default:
		return -KVM_ENOSYS;
	}
}

static enum outcome complete_hypercall(struct x86_vcpu *v)
{
	u64 ret = READ_ONCE(v->vcpu.run->hypercall.ret);

	if (!answer_wanted(v))
		return OUT_OK;
	gpr_set(v, RAX, guest_64bit(v) ? ret : (u32)ret);
	return skip_answered(v);
}

/* KVM_CAP_EXIT_HYPERCALL: what the guest says of these pages is user space's to judge. */
static enum outcome map_gpa_range(struct x86_vcpu *v, bool wide)
{
	struct kvm_run *run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_HYPERCALL);

	memset(&run->hypercall, 0, sizeof(run->hypercall));
	run->hypercall.nr = KVM_HC_MAP_GPA_RANGE;
	run->hypercall.args[0] = arg(v, RBX, wide);
	run->hypercall.args[1] = arg(v, RCX, wide);
	run->hypercall.args[2] = arg(v, RDX, wide);
	run_hypercall_longmode(run, wide);
	ask_user(v, complete_hypercall);
	return OUT_USER;
}

static bool range_ok(u64 gpa, u64 npages)
{
	u64 gfn = gpa >> PAGE_SHIFT;

	return PAGE_ALIGNED(gpa) && gfn + npages > gfn;
}

enum outcome exit_hypercall(struct x86_vcpu *v)
{
	bool wide;
	long ret;
	u64 nr;

	state_need(v, G_RIP | G_RFLAGS | G_SHADOW | G_CPL | G_LONG);	/* at once */
	wide = guest_64bit(v);
	nr = arg(v, RAX, wide);
	v->vcpu.stat.hypercalls++;
	trace_kvm_hypercall(nr, arg(v, RBX, wide), arg(v, RCX, wide), arg(v, RDX, wide), arg(v, RSI, wide));
	if (unlikely(get_cpl(v))) {
		ret = -KVM_EPERM;
	} else if (nr == KVM_HC_MAP_GPA_RANGE && READ_ONCE(vm_of(v)->user_hypercalls) & BIT(KVM_HC_MAP_GPA_RANGE)) {
		if (range_ok(arg(v, RBX, wide), arg(v, RCX, wide)))
			return map_gpa_range(v, wide);
		ret = -KVM_EINVAL;
	} else {
		ret = hypercall(v, nr, wide);
	}
	gpr_set(v, RAX, wide ? ret : (u32)ret);
	return skip_insn(v);
}
