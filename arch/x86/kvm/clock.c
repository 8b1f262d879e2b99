// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmclock: nanoseconds since the VM's boot, which the guest computes from its TSC and a page of parameters that we
 * keep for each vCPU (asm/pvclock-abi.h has the layout and the version protocol).
 *
 * While the host's clock source is the TSC and all vCPUs read the same TSC, all pages are made from one pair (host ns,
 * host TSC), the master: then they agree to the nanosecond and the flag TSC_STABLE says so. The pair is taken once and
 * kept, so that no update of a page is ever seen as a jump. Otherwise each page has a pair of its own, renewed when the
 * vCPU is loaded, and the guest itself keeps time from going back.
 *
 * vm->clock.lock (raw, IRQ-safe) orders changes of the pair and the offset; readers use the sequence counter. Pages are
 * written by their vCPU's thread (REQ_CLOCK_UPDATE).
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/math64.h>
#include <linux/timekeeping.h>
#include <asm/pvclock-abi.h>
#include <kvm/guest_mem.h>
#include <kvm/x86/ioctls.h>
#include "time.h"

int clock_module_init(void)
{
	tsc_module_init();
	return host_time_init();
}

void clock_module_exit(void)
{
	host_time_exit();
}

void clock_request_all(struct x86_vm *vm, unsigned int req)
{
	struct kvm_vcpu *vcpu;
	unsigned int i;

	kvm_for_each_vcpu(i, vcpu, &vm->kvm)
		vcpu_request_kick(x86_vcpu(vcpu), req);
}

/* --- the VM's clock --- */

/* What the clock shows at a moment; *master: the same for every vCPU. */
static u64 clock_at(struct x86_vm *vm, const struct host_time *t, bool *master)
{
	unsigned int seq;
	u64 ns;

	do {
		seq = read_seqcount_begin(&vm->clock.seq);
		*master = vm->clock.use_master;
		ns = vm->clock.offset;
		if (*master)
			ns += vm->clock.master_ns + tsc_scaled_ns(t->tsc - vm->clock.master_tsc, host_tsc_scale);
		else
			ns += t->boot_ns;
	} while (read_seqcount_retry(&vm->clock.seq, seq));
	return ns;
}

u64 vm_clock_ns(struct x86_vm *vm)
{
	struct host_time now;
	bool master;

	host_time_read(&now);
	return clock_at(vm, &now, &master);
}

/* Lock held. From now on the clock runs from this moment, showing ns. */
static void clock_start(struct x86_vm *vm, const struct host_time *t, u64 ns, bool master)
{
	write_seqcount_begin(&vm->clock.seq);
	vm->clock.use_master = master;
	vm->clock.master_ns = t->boot_ns;
	vm->clock.master_tsc = t->tsc;
	vm->clock.offset = ns - t->boot_ns;
	write_seqcount_end(&vm->clock.seq);
}

void clock_master_update(struct x86_vm *vm)
{
	struct host_time now;
	unsigned long flags;
	bool want, had;
	u64 ns;

	raw_spin_lock_irqsave(&vm->clock.lock, flags);
	host_time_read(&now);
	want = now.exact && tsc_all_equal(vm);
	had = vm->clock.use_master;
	if (want != had) {
		ns = clock_at(vm, &now, &had);
		clock_start(vm, &now, ns, want);
	}
	raw_spin_unlock_irqrestore(&vm->clock.lock, flags);
	if (want != had)
		clock_request_all(vm, REQ_CLOCK_UPDATE);
}

void clock_vm_init(struct x86_vm *vm)
{
	struct host_time now;

	raw_spin_lock_init(&vm->clock.lock);
	seqcount_raw_spinlock_init(&vm->clock.seq, &vm->clock.lock);
	raw_spin_lock_init(&vm->tsc.lock);
	vm->default_tsc_khz = tsc_khz;
	host_time_read(&now);
	raw_spin_lock_irq(&vm->clock.lock);
	clock_start(vm, &now, 0, false);
	raw_spin_unlock_irq(&vm->clock.lock);
}

/* Nothing fires by itself: pages are written by vCPU threads. */
void clock_vm_destroy(struct x86_vm *vm)
{
}

/* IRQs off, nothing else runs: TSCs go on, and the pair, whose TSC may be of before, is taken again by the vCPUs. */
void clock_resumed(void)
{
	struct kvm *kvm;

	list_for_each_entry(kvm, &kvm_vms, link) {
		struct x86_vm *vm = x86_vm(kvm);
		struct kvm_vcpu *vcpu;
		unsigned int i;

		tsc_rebase_after_resume(vm);
		vm->clock.use_master = false;
		kvm_for_each_vcpu(i, vcpu, kvm) {
			vcpu_request(vcpu, REQ_MASTERCLOCK);
			vcpu_request(vcpu, REQ_CLOCK_UPDATE);
		}
	}
}

long vm_get_clock(struct kvm_call *c)
{
	struct kvm_clock_data *d = c->arg;
	struct host_time now;
	bool master;

	host_time_read(&now);
	memset(d, 0, sizeof(*d));
	d->clock = clock_at(x86_vm(c->kvm), &now, &master);
	if (master)
		d->flags |= KVM_CLOCK_TSC_STABLE;
	if (now.exact) {
		d->flags |= KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
		d->realtime = now.real_ns;
		d->host_tsc = now.tsc;
	}
	return 0;
}

long vm_set_clock(struct kvm_call *c)
{
	const struct kvm_clock_data *d = c->arg;
	struct x86_vm *vm = x86_vm(c->kvm);
	u64 ns = d->clock;
	struct host_time now;

	if (d->flags & ~(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
		return -EINVAL;
	raw_spin_lock_irq(&vm->clock.lock);
	host_time_read(&now);
	/* The time that went by since it was read, on whichever host, passed for the guest too. */
	if ((d->flags & KVM_CLOCK_REALTIME) && now.real_ns > d->realtime)
		ns += now.real_ns - d->realtime;
	clock_start(vm, &now, ns, now.exact && tsc_all_equal(vm));
	raw_spin_unlock_irq(&vm->clock.lock);
	clock_request_all(vm, REQ_CLOCK_UPDATE);
	return 0;
}

/* The VMM stopped the guest for a while: its watchdogs learn of it from the page. */
long vcpu_clock_ctrl(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);

	if (!v->pvclock_set)
		return -EINVAL;
	v->guest_paused_request = true;
	vcpu_request(c->vcpu, REQ_CLOCK_UPDATE);
	return 0;
}

/* --- a vCPU's page --- */

static void page_values(struct x86_vcpu *v, struct pvclock_vcpu_time_info *p)
{
	struct x86_vm *vm = vm_of(v);
	struct tsc_scale scale = tsc_scale_of(v->tsc_hw_khz);
	struct host_time now;
	unsigned int seq;
	u64 ns, tsc;
	bool master;

	host_time_read(&now);
	do {
		seq = read_seqcount_begin(&vm->clock.seq);
		master = vm->clock.use_master;
		ns = vm->clock.offset + (master ? vm->clock.master_ns : now.boot_ns);
		tsc = master ? vm->clock.master_tsc : now.tsc;
	} while (read_seqcount_retry(&vm->clock.seq, seq));
	p->tsc_timestamp = guest_tsc(v, tsc);
	p->system_time = ns;
	p->tsc_to_system_mul = scale.mul;
	p->tsc_shift = scale.shift;
	p->flags = master ? PVCLOCK_TSC_STABLE_BIT : 0;
}

enum outcome clock_update(struct x86_vcpu *v)
{
	struct pvclock_vcpu_time_info *p = &v->hv_clock;
	const u32 body = offsetof(struct pvclock_vcpu_time_info, tsc_timestamp);
	struct kvm *kvm = v->vcpu.kvm;
	u8 old_flags;

	if (!v->pvclock_set)
		return OUT_OK;
	page_values(v, p);
	/* "Stopped" stays until the guest has seen it and cleared it. */
	if (!gpa_cache_read(kvm, &v->pvclock, &old_flags, offsetof(struct pvclock_vcpu_time_info, flags), 1))
		p->flags |= old_flags & PVCLOCK_GUEST_STOPPED;
	if (v->guest_paused_request) {
		p->flags |= PVCLOCK_GUEST_STOPPED;
		v->guest_paused_request = false;
	}
	/* An odd version says: being written. Where the guest has no memory it gets no clock: its own doing. */
	p->version = (p->version | 1) + 2;
	gpa_cache_write(kvm, &v->pvclock, &p->version, 0, sizeof(p->version));
	smp_wmb();
	gpa_cache_write(kvm, &v->pvclock, (u8 *)p + body, body, sizeof(*p) - body);
	smp_wmb();
	p->version++;
	gpa_cache_write(kvm, &v->pvclock, &p->version, 0, sizeof(p->version));
	return OUT_OK;
}

static void set_system_time(struct x86_vcpu *v, u64 val)
{
	struct kvm *kvm = v->vcpu.kvm;
	u32 version = 0;

	v->system_time_msr = val;
	v->pvclock_set = false;
	if (!(val & 1))
		return;
	if (gpa_cache_init(kvm, &v->pvclock, GPA(val & ~1ull), sizeof(struct pvclock_vcpu_time_info)))
		return;
	/* Another VM's host, before a migration, may have counted up to here. */
	gpa_cache_read(kvm, &v->pvclock, &version, 0, sizeof(version));
	v->hv_clock = (struct pvclock_vcpu_time_info){ .version = version };
	v->pvclock_set = true;
	vcpu_request(&v->vcpu, REQ_MASTERCLOCK);
	vcpu_request(&v->vcpu, REQ_CLOCK_UPDATE);
}

/* The wall clock at the moment when the VM's clock showed 0. Written once, when the guest asks. */
static void write_wall_clock(struct x86_vcpu *v, gpa_t gpa)
{
	struct pvclock_wall_clock w = {};
	struct host_time now;
	bool master;
	u64 ns;

	if (vcpu_read_guest(&v->vcpu, gpa, &w.version, sizeof(w.version)))
		return;
	host_time_read(&now);
	ns = now.real_ns - clock_at(vm_of(v), &now, &master);
	w.version = (w.version | 1) + 2;
	if (vcpu_write_guest(&v->vcpu, gpa, &w.version, sizeof(w.version)))
		return;
	smp_wmb();
	w.sec = div_u64_rem(ns, NSEC_PER_SEC, &w.nsec);
	vcpu_write_guest(&v->vcpu, GPA(gpa.v + sizeof(w.version)), &w.sec, sizeof(w) - sizeof(w.version));
	smp_wmb();
	w.version++;
	vcpu_write_guest(&v->vcpu, gpa, &w.version, sizeof(w.version));
}

static void set_wall_clock(struct x86_vcpu *v, u64 val)
{
	vm_of(v)->clock.wall_msr = val;
	write_wall_clock(v, GPA(val));
}

/* --- MSRs --- */

/* Which CPUID bit stands for it; -1: none. */
static int feature_of(u32 msr)
{
	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
		return KVM_FEATURE_CLOCKSOURCE;
	case MSR_KVM_WALL_CLOCK_NEW:
	case MSR_KVM_SYSTEM_TIME_NEW:
		return KVM_FEATURE_CLOCKSOURCE2;
	case MSR_KVM_STEAL_TIME:
		return KVM_FEATURE_STEAL_TIME;
	case MSR_KVM_PV_EOI_EN:
		return KVM_FEATURE_PV_EOI;
	case MSR_KVM_POLL_CONTROL:
		return KVM_FEATURE_POLL_CONTROL;
	case MSR_KVM_ASYNC_PF_EN:
		return KVM_FEATURE_ASYNC_PF;
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		return KVM_FEATURE_ASYNC_PF_INT;
	default:
		return -1;
	}
}

static bool refused(struct x86_vcpu *v, u32 msr, bool host)
{
	int feature = feature_of(msr);

	return !host && feature >= 0 && !pv_offered(v, feature);
}

bool clock_get_msr(struct x86_vcpu *v, u32 msr, u64 *val, bool host, bool *ok)
{
	*ok = !refused(v, msr, host);
	switch (msr) {
	case MSR_IA32_TSC:
		*val = tsc_get(v);
		return true;
	case MSR_IA32_TSC_ADJUST:
		*val = v->tsc_adjust;
		return true;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*val = vm_of(v)->clock.wall_msr;
		return true;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*val = v->system_time_msr;
		return true;
	case MSR_KVM_STEAL_TIME:
		*val = v->steal_msr;
		return true;
	case MSR_KVM_PV_EOI_EN:
		*val = v->pv_eoi_msr;
		return true;
	case MSR_KVM_POLL_CONTROL:
		*val = v->poll_control;
		return true;
	case MSR_KVM_ASYNC_PF_EN:
		*val = v->apf_msr;
		return true;
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		*val = 0;		/* not offered, so never enabled */
		return true;
	}
	return false;
}

bool clock_set_msr(struct x86_vcpu *v, u32 msr, u64 val, bool host, bool *ok)
{
	*ok = !refused(v, msr, host);
	if (!*ok)
		return true;
	switch (msr) {
	case MSR_IA32_TSC:
		guest_set_tsc(v, val, host);
		return true;
	case MSR_IA32_TSC_ADJUST:
		tsc_set_adjust(v, val, host);
		return true;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		set_wall_clock(v, val);
		return true;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		set_system_time(v, val);
		return true;
	case MSR_KVM_STEAL_TIME:
		*ok = steal_set_msr(v, val);
		return true;
	case MSR_KVM_PV_EOI_EN:
		*ok = pv_eoi_set_msr(v, val);
		return true;
	case MSR_KVM_POLL_CONTROL:
		*ok = !(val & ~1ull);
		if (*ok)
			v->poll_control = val;
		return true;
	case MSR_KVM_ASYNC_PF_EN:
		*ok = apf_set_msr(v, val, host);
		return true;
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		*ok = !val;
		return true;
	}
	return false;
}
