// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's time-stamp counter: what hardware adds to the host's (offset) after scaling it (ratio).
 *
 * Several vCPUs should read the same. A VMM sets their counters one after the other, each with the value it saved,
 * and means one moment: a whole value that is within a second of where an earlier one has got to by now, at the
 * same frequency, takes the earlier one's offset. The master clock (clock.c) needs offsets that are equal.
 *
 * A guest that writes its TSC or TSC_ADJUST moves both; user space moves the one it writes.
 *
 * On hosts whose TSC is not synchronised between CPUs a vCPU that was moved may find an earlier or a stopped counter:
 * loading compares with the host's clock and catches up.
 *
 * vCPU thread, loaded, unless said; vm->tsc.lock for what the vCPUs of a VM share.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/kvm.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>
#include <kvm/x86/ioctls.h>
#include "time.h"

static unsigned int tsc_tolerance_ppm = 250;
module_param(tsc_tolerance_ppm, uint, 0644);
MODULE_PARM_DESC(tsc_tolerance_ppm, "TSC frequency difference that is ignored rather than scaled");

#define MATCH_WINDOW_MS	1000	/* writes that mean the same moment */

struct tsc_scale host_tsc_scale;

void tsc_module_init(void)
{
	host_tsc_scale = tsc_scale_of(tsc_khz);
}

/* --- arithmetic --- */

/* ns = (ticks shifted by .shift) * .mul >> 32, with .mul as large as fits. */
struct tsc_scale tsc_scale_of(u32 khz)
{
	u64 ns = NSEC_PER_SEC, hz = (u64)(khz ? : 1) * 1000;
	struct tsc_scale s = {};

	while (ns >= hz) {
		hz <<= 1;
		s.shift++;
	}
	while (ns * 2 < hz) {
		ns <<= 1;
		s.shift--;
	}
	s.mul = mul_u64_u64_div_u64(ns, 1ull << 32, hz);
	return s;
}

u64 tsc_scaled_ns(u64 ticks, struct tsc_scale s)
{
	return pvclock_scale_delta(ticks, s.mul, s.shift);
}

static u64 ratio_one(void)
{
	return 1ull << vendor_caps.tsc_frac_bits;
}

static u64 scaled(const struct x86_vcpu *v, u64 host_tsc)
{
	if (likely(v->tsc_ratio == ratio_one()))
		return host_tsc;
	return mul_u64_u64_shr(host_tsc, v->tsc_ratio, vendor_caps.tsc_frac_bits);
}

u64 guest_tsc(struct x86_vcpu *v, u64 host_tsc)
{
	return scaled(v, host_tsc) + v->tsc_offset;
}

/* Saturates at half of what 64 bits hold. */
u64 guest_tsc_to_ns(struct x86_vcpu *v, u64 ticks)
{
	u32 khz = v->tsc_hw_khz;
	u64 ms = ticks / khz;

	if (ms >= S64_MAX / NSEC_PER_MSEC)
		return S64_MAX;
	return ms * NSEC_PER_MSEC + (ticks % khz) * NSEC_PER_MSEC / khz;
}

static u64 ns_to_ticks(u64 ns, u32 khz)
{
	return ns / NSEC_PER_MSEC * khz + ns % NSEC_PER_MSEC * khz / NSEC_PER_MSEC;
}

/* --- setting --- */

/* The counter jumps: hardware, the deadline timer and the clock pages follow. */
static void set_offset(struct x86_vcpu *v, u64 offset)
{
	if (v->tsc_offset == offset)
		return;
	WRITE_ONCE(v->tsc_offset, offset);
	vendor_ops.tsc(v);
	if (v->lapic)
		lapic_tsc_changed(v);
	vcpu_request(&v->vcpu, REQ_MASTERCLOCK);
	vcpu_request(&v->vcpu, REQ_CLOCK_UPDATE);
}

/* Does this value mean the moment that the last one meant? Zero does whenever there was one: a vCPU that starts. */
static bool means_the_same(const struct x86_vm *vm, const struct x86_vcpu *v, u64 val, u64 now_ns)
{
	u64 expected;

	if (vm->tsc.last_khz != v->tsc_khz)
		return false;
	if (!val)
		return true;
	expected = vm->tsc.last_write + ns_to_ticks(now_ns - vm->tsc.last_ns, v->tsc_khz);
	return val - expected + (u64)v->tsc_khz * MATCH_WINDOW_MS < 2ull * v->tsc_khz * MATCH_WINDOW_MS;
}

/* The offset for a counter that is to read val now. */
static u64 offset_for(struct x86_vcpu *v, u64 val)
{
	struct x86_vm *vm = vm_of(v);
	struct host_time now;
	unsigned long flags;
	u64 offset;

	raw_spin_lock_irqsave(&vm->tsc.lock, flags);
	host_time_read(&now);
	offset = val - scaled(v, now.tsc);
	if (means_the_same(vm, v, val, now.boot_ns)) {
		/* Equal offsets are equal counters only where the host's are. */
		if (now.exact)
			offset = vm->tsc.cur_offset;
		else
			offset += vm->tsc.last_write + ns_to_ticks(now.boot_ns - vm->tsc.last_ns, v->tsc_khz) - val;
	} else {
		vm->tsc.cur_offset = offset;
		vm->tsc.last_write = val;
		vm->tsc.last_ns = now.boot_ns;
		vm->tsc.last_khz = v->tsc_khz;
	}
	raw_spin_unlock_irqrestore(&vm->tsc.lock, flags);
	return offset;
}

u64 tsc_get(struct x86_vcpu *v)
{
	return guest_tsc(v, rdtsc());
}

void guest_set_tsc(struct x86_vcpu *v, u64 val, bool host)
{
	u64 delta;

	if (host) {
		set_offset(v, offset_for(v, val));
		return;
	}
	delta = val - tsc_get(v);
	v->tsc_adjust += delta;
	set_offset(v, v->tsc_offset + delta);
}

void tsc_set_adjust(struct x86_vcpu *v, u64 val, bool host)
{
	u64 delta = val - v->tsc_adjust;

	v->tsc_adjust = val;
	if (!host)
		set_offset(v, v->tsc_offset + delta);
}

/* Any thread. Do all vCPUs read the same at any moment? */
bool tsc_all_equal(struct x86_vm *vm)
{
	struct x86_vcpu *first = NULL;
	struct kvm_vcpu *vcpu;
	unsigned int i;

	kvm_for_each_vcpu(i, vcpu, &vm->kvm) {
		struct x86_vcpu *v = x86_vcpu(vcpu);

		if (!first)
			first = v;
		if (READ_ONCE(v->tsc_offset) != READ_ONCE(first->tsc_offset) ||
		    READ_ONCE(v->tsc_ratio) != READ_ONCE(first->tsc_ratio))
			return false;
	}
	return first;
}

/* --- frequency --- */

static bool within_tolerance(u32 khz)
{
	u64 diff = khz > tsc_khz ? khz - tsc_khz : tsc_khz - khz;

	return diff * 1000000 <= (u64)tsc_khz * READ_ONCE(tsc_tolerance_ppm);
}

/* The ratio for a frequency; false: this CPU cannot. */
static bool ratio_for(u32 khz, u64 *ratio)
{
	*ratio = ratio_one();
	if (!khz)
		return false;
	if (within_tolerance(khz))
		return true;
	if (!vendor_caps.tsc_scaling)
		return false;
	/* More than that would not fit into the division, nor into any hardware. */
	if (khz / tsc_khz >= 1ull << (63 - vendor_caps.tsc_frac_bits))
		return false;
	*ratio = mul_u64_u64_div_u64(ratio_one(), khz, tsc_khz);
	return *ratio && *ratio <= vendor_caps.tsc_max_ratio;
}

static void set_frequency(struct x86_vcpu *v, u32 khz, u64 ratio)
{
	WRITE_ONCE(v->tsc_ratio, ratio);
	v->tsc_khz = khz;
	v->tsc_hw_khz = scaled(v, tsc_khz) ? : 1;
}

long vcpu_set_tsc_khz(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	u64 ratio, now;

	if (c->raw != (u32)c->raw || !ratio_for(c->raw, &ratio))
		return -EINVAL;
	if (v->tsc_khz == c->raw && v->tsc_ratio == ratio)
		return 0;
	now = tsc_get(v);
	set_frequency(v, c->raw, ratio);
	WRITE_ONCE(v->tsc_offset, offset_for(v, now));	/* the counter goes on from where it was */
	vendor_ops.tsc(v);
	if (v->lapic)
		lapic_tsc_changed(v);
	vcpu_request(c->vcpu, REQ_MASTERCLOCK);
	vcpu_request(c->vcpu, REQ_CLOCK_UPDATE);
	return 0;
}

long vcpu_get_tsc_khz(struct kvm_call *c)
{
	return check_tsc_unstable() ? -EIO : x86_vcpu(c->vcpu)->tsc_khz;
}

/* The frequency of vCPUs that are made from now on. */
long vm_set_tsc_khz(struct kvm_call *c)
{
	u64 ratio;

	if (c->raw != (u32)c->raw || !ratio_for(c->raw, &ratio))
		return -EINVAL;
	x86_vm(c->kvm)->default_tsc_khz = c->raw;
	return 0;
}

long vm_get_tsc_khz(struct kvm_call *c)
{
	return READ_ONCE(x86_vm(c->kvm)->default_tsc_khz);
}

/* --- life --- */

/* Under kvm->lock, not loaded. Counters start near 0, and together. */
void tsc_vcpu_init(struct x86_vcpu *v)
{
	u32 khz = vm_of(v)->default_tsc_khz;
	u64 ratio;

	if (!ratio_for(khz, &ratio)) {
		khz = tsc_khz;
		ratio = ratio_one();
	}
	set_frequency(v, khz, ratio);
	v->tsc_offset = offset_for(v, 0);
	v->tsc_stale = true;
}

/* The host's counters disagree: did ours fall behind the time that went by? */
static void catch_up(struct x86_vcpu *v)
{
	u64 tsc = tsc_get(v), due;

	if (!v->last_tsc_ns)
		return;
	due = v->last_guest_tsc + ns_to_ticks(ktime_get_mono_fast_ns() - v->last_tsc_ns, v->tsc_hw_khz);
	if ((s64)(due - tsc) <= 0)
		return;
	v->tsc_offset += due - tsc;
	v->tsc_stale = true;
}

void tsc_vcpu_load(struct x86_vcpu *v, int cpu)
{
	if (unlikely(!tsc_host_stable)) {
		if (check_tsc_unstable())
			catch_up(v);
		if (v->pvclock_set)
			vcpu_request(&v->vcpu, REQ_CLOCK_UPDATE);
	}
	if (unlikely(v->tsc_stale)) {
		v->tsc_stale = false;
		vendor_ops.tsc(v);
	}
}

void tsc_vcpu_put(struct x86_vcpu *v)
{
	v->last_host_tsc = rdtsc();
	if (unlikely(!tsc_host_stable)) {
		v->last_guest_tsc = guest_tsc(v, v->last_host_tsc);
		v->last_tsc_ns = ktime_get_mono_fast_ns();
	}
}

/*
 * The host slept, and its counter may have started again: the guest's must not go back. No vCPU runs; the one that
 * was put last says where the VM had got to.
 */
void tsc_rebase_after_resume(struct x86_vm *vm)
{
	u64 now = rdtsc(), last = 0;
	struct kvm_vcpu *vcpu;
	unsigned int i;

	kvm_for_each_vcpu(i, vcpu, &vm->kvm)
		last = max(last, x86_vcpu(vcpu)->last_host_tsc);
	if (last <= now)
		return;
	kvm_for_each_vcpu(i, vcpu, &vm->kvm) {
		struct x86_vcpu *v = x86_vcpu(vcpu);

		v->tsc_offset += scaled(v, last - now);
		v->last_host_tsc = now;
		v->last_tsc_ns = 0;
		v->tsc_stale = true;
	}
	vm->tsc.last_khz = 0;	/* offsets from before mean nothing now */
}

/* --- the offset as an attribute of the vCPU --- */

static bool is_offset(const struct kvm_device_attr *a)
{
	return !a->flags && a->group == KVM_VCPU_TSC_CTRL && a->attr == KVM_VCPU_TSC_OFFSET;
}

long vcpu_has_attr(struct kvm_call *c)
{
	return is_offset(c->arg) ? 0 : -ENXIO;
}

long vcpu_get_attr(struct kvm_call *c)
{
	const struct kvm_device_attr *a = c->arg;

	if (!is_offset(a))
		return -ENXIO;
	return put_user(x86_vcpu(c->vcpu)->tsc_offset, (u64 __user *)u64_to_user_ptr(a->addr));
}

long vcpu_set_attr(struct kvm_call *c)
{
	const struct kvm_device_attr *a = c->arg;
	u64 offset;

	if (!is_offset(a))
		return -ENXIO;
	if (get_user(offset, (u64 __user *)u64_to_user_ptr(a->addr)))
		return -EFAULT;
	set_offset(x86_vcpu(c->vcpu), offset);
	return 0;
}
