// SPDX-License-Identifier: GPL-2.0-only
/* Time as guests get it: the VM's clock, kvmclock's pages, steal time, the TSC and its attributes. */
#define _GNU_SOURCE
#include <sched.h>
#include <time.h>
#include "lib/access.h"

#define WALL_NEW	0x4b564d00
#define SYSTEM_NEW	0x4b564d01
#define STEAL		0x4b564d03
#define APF		0x4b564d02
#define MS		1000000ull

struct pvclock {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
} __attribute__((packed));

GUEST64(rdtsc_out, "1: rdtsc\n shl $32, %rdx\n or %rax, %rdx\n mov %rdx, 0x30000\n mov $0x1000, %edx\n out %eax, %dx\n jmp 1b\n");

static struct kvm_clock_data get_clock(struct kt_vm *vm)
{
	struct kvm_clock_data d;

	memset(&d, 0xff, sizeof(d));
	need_ok(ioctl(vm->fd, KVM_GET_CLOCK, &d));
	return d;
}

static int set_clock(struct kt_vm *vm, uint64_t ns, uint32_t flags, uint64_t realtime)
{
	struct kvm_clock_data d = { .clock = ns, .flags = flags, .realtime = realtime };

	return ioctl(vm->fd, KVM_SET_CLOCK, &d);
}

static uint64_t real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t guest_tsc(struct kt_vcpu *v)
{
	kt_run_to_out(v);
	return kt_guest_u64(v->vm, KT_DATA);
}

static struct kt_vcpu *tsc_vcpu(struct kt_vm *vm, int id)
{
	kt_load(vm, rdtsc_out);
	return kt_vcpu_new(vm, id, KT_LONG);
}

/* --- the VM's clock --- */

TEST(clock_runs)
{
	struct kt_vm *vm = kt_vm_new(0, true);
	struct kvm_clock_data a = get_clock(vm), b;
	uint64_t before, after;
	uint32_t known = kt_cap(vm, KVM_CAP_ADJUST_CLOCK);

	check(a.clock < 60000 * MS, "a new VM's clock shows %llu", a.clock);
	check(!(a.flags & ~known), "flags %x", a.flags);
	for (int i = 0; i < 4; i++)
		check_eq(a.pad[i], 0);
	before = kt_now_ns();
	a = get_clock(vm);
	usleep(30000);
	b = get_clock(vm);
	after = kt_now_ns();
	check(b.clock - a.clock >= 30 * MS && b.clock - a.clock <= after - before + MS, "%llu ns in %lu", b.clock - a.clock,
	      after - before);
	if (b.flags & KVM_CLOCK_REALTIME)
		check(real_ns() - b.realtime < 10000 * MS, "real time %llu", b.realtime);
	if (b.flags & KVM_CLOCK_HOST_TSC)
		check(b.host_tsc > a.host_tsc && b.host_tsc <= __builtin_ia32_rdtsc(), "host TSC %llu", b.host_tsc);
}

TEST(clock_set)
{
	struct kt_vm *vm = kt_vm_new(0, true);
	uint64_t now, hour = 3600ull * 1000 * MS, day = 24 * hour;

	check_err(set_clock(vm, 0, 1u << 31, 0), EINVAL);
	check_err(set_clock(vm, 0, 1, 0), EINVAL);
	check_eq(set_clock(vm, day, 0, 0), 0);
	now = get_clock(vm).clock;
	check(now >= day && now < day + 10000 * MS, "%lu", now);
	check_eq(set_clock(vm, hour, KVM_CLOCK_TSC_STABLE, 0), 0);	/* back, as a snapshot does */
	now = get_clock(vm).clock;
	check(now >= hour && now < hour + 10000 * MS, "%lu", now);
	if (!(kt_cap(vm, KVM_CAP_ADJUST_CLOCK) & KVM_CLOCK_REALTIME))
		return;
	/* Read a day ago, it has gone on since. */
	check_eq(set_clock(vm, hour, KVM_CLOCK_REALTIME, real_ns() - day), 0);
	now = get_clock(vm).clock;
	check(now >= day + hour && now < day + hour + 10000 * MS, "%lu", now);
	/* A host whose clock is behind does not turn it back. */
	check_eq(set_clock(vm, hour, KVM_CLOCK_REALTIME, real_ns() + day), 0);
	now = get_clock(vm).clock;
	check(now >= hour && now < hour + 10000 * MS, "%lu", now);
}

/* --- kvmclock --- */

static struct pvclock page_of(struct kt_vm *vm, uint64_t gpa)
{
	struct pvclock p;

	memcpy(&p, vm->mem + gpa, sizeof(p));
	return p;
}

static uint64_t pv_ns(const struct pvclock *p, uint64_t tsc)
{
	uint64_t d = tsc - p->tsc;

	d = p->shift >= 0 ? d << p->shift : d >> -p->shift;
	return p->ns + (uint64_t)((unsigned __int128)d * p->mul >> 32);
}

TEST(kvmclock_page)
{
	struct kt_vcpu *v = tsc_vcpu(kt_vm_new(1 << 20, true), 0);
	struct kvm_clock_data a, b;
	struct pvclock p;
	uint64_t ns, val;

	check_eq(kt_set_msr(v, SYSTEM_NEW, 0x31000 | 1), 1);
	guest_tsc(v);
	a = get_clock(v->vm);
	val = guest_tsc(v);
	b = get_clock(v->vm);
	p = page_of(v->vm, 0x31000);
	check(p.version > 0 && !(p.version & 1), "version %u", p.version);
	ns = pv_ns(&p, val);
	check(ns + MS >= a.clock && ns <= b.clock + MS, "the guest's clock shows %lu, the VMM's %llu and %llu", ns, a.clock, b.clock);
	check_eq(kt_get_msr(v, SYSTEM_NEW, &val), 1);
	check_eq(val, 0x31000 | 1);
	/* Moved: the old page is left alone. */
	memset(v->vm->mem + 0x31000, 0xee, 64);
	check_eq(kt_set_msr(v, SYSTEM_NEW, 0x31100 | 1), 1);
	guest_tsc(v);
	check_eq(v->vm->mem[0x31000], 0xee);
	check(page_of(v->vm, 0x31100).mul != 0);
	/* Off: nothing is written. */
	check_eq(kt_set_msr(v, SYSTEM_NEW, 0x31200), 1);
	check_eq(set_clock(v->vm, 77, 0, 0), 0);
	guest_tsc(v);
	check_eq(page_of(v->vm, 0x31200).mul, 0);
}

TEST(kvmclock_follows_the_clock)
{
	struct kt_vcpu *v = tsc_vcpu(kt_vm_new(1 << 20, true), 0);
	uint64_t hour = 3600ull * 1000 * MS, ns;
	struct pvclock p;

	check_eq(kt_set_msr(v, SYSTEM_NEW, 0x31000 | 1), 1);
	guest_tsc(v);
	check_eq(set_clock(v->vm, hour, 0, 0), 0);
	guest_tsc(v);				/* updated at an entry */
	p = page_of(v->vm, 0x31000);
	ns = pv_ns(&p, guest_tsc(v));
	check(ns >= hour && ns < hour + 20000 * MS, "%lu", ns);
	check_err(ioctl(tsc_vcpu(kt_vm_new(1 << 20, true), 0)->fd, KVM_KVMCLOCK_CTRL, 0), EINVAL);
	check_eq(ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0), 0);
	guest_tsc(v);
	check_eq(page_of(v->vm, 0x31000).flags & 2, 2);		/* "was stopped" */
}

TEST(kvmclock_bad_addresses)
{
	struct kt_vcpu *v = tsc_vcpu(kt_vm_new(1 << 20, true), 0);
	uint64_t bad[] = { 0x40000000, 0x000fffe0, 0xfffffffffffff000, 0x0000fffffffff000, 0xfee00000 };

	for (int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		kt_set_msr(v, SYSTEM_NEW, bad[i] | 1);
		guest_tsc(v);
		kt_set_msr(v, STEAL, (bad[i] & ~63ull) | 1);
		guest_tsc(v);
		kt_set_msr(v, WALL_NEW, bad[i]);
		guest_tsc(v);
	}
	check_eq(kt_set_msr(v, SYSTEM_NEW, 0x31000 | 1), 1);
	guest_tsc(v);
	check(page_of(v->vm, 0x31000).mul != 0, "a good address after bad ones is not used");
}

/* The memory of the page is taken away: the guest's loss only. */
TEST(kvmclock_page_vanishes)
{
	struct kt_vcpu *v = tsc_vcpu(kt_vm_new(1 << 20, true), 0);
	uint8_t *m = kt_mem(KT_PAGE, KT_PAGE);

	need_ok(kt_slot(v->vm, 1, 0, 0x40000000, KT_PAGE, m));
	check_eq(kt_set_msr(v, SYSTEM_NEW, 0x40000000 | 1), 1);
	check_eq(kt_set_msr(v, STEAL, 0x40000040 | 1), 1);
	guest_tsc(v);
	check(((struct pvclock *)m)->mul != 0);
	memset(m, 0, KT_PAGE);
	need_ok(kt_slot(v->vm, 1, 0, 0, 0, NULL));
	check_eq(set_clock(v->vm, 77, 0, 0), 0);
	guest_tsc(v);
	check_eq(((struct pvclock *)m)->mul, 0);
	need_ok(kt_slot(v->vm, 1, 0, 0x40000000, KT_PAGE, m));
	check_eq(set_clock(v->vm, 78, 0, 0), 0);
	guest_tsc(v);
	check(((struct pvclock *)m)->mul != 0, "back, it is not used again");
	need_ok(munmap(m, KT_PAGE));
	check_eq(set_clock(v->vm, 79, 0, 0), 0);
	guest_tsc(v);
}

TEST(wall_clock)
{
	struct kt_vcpu *v = tsc_vcpu(kt_vm_new(1 << 20, true), 0);
	uint32_t *w = (uint32_t *)(v->vm->mem + 0x31000);
	int64_t then, now, clock;

	check_eq(kt_set_msr(v, WALL_NEW, 0x31000), 1);
	check(w[0] > 0 && !(w[0] & 1), "version %u", w[0]);
	check(w[2] < 1000000000);
	then = w[1] * 1000000000ull + w[2];
	now = real_ns();
	clock = get_clock(v->vm).clock;
	check(llabs(now - then - clock) < 2000000000ll, "boot at %ld, now %ld, the VM's clock shows %ld", then, now, clock);
}

/* Pages of two vCPUs agree: reading one after the other never goes back, if the host's clock is good for that. */
TEST(two_vcpus_agree)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kt_vcpu *v[2] = { tsc_vcpu(vm, 0), tsc_vcpu(vm, 1) };
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct pvclock p;
	uint64_t last = 0, last_tsc = 0;

	need_ok(ioctl(v[1]->fd, KVM_SET_MP_STATE, &mp));
	for (int i = 0; i < 2; i++)
		check_eq(kt_set_msr(v[i], SYSTEM_NEW, (0x31000 + i * 0x40) | 1), 1);
	for (int i = 0; i < 4; i++)
		guest_tsc(v[i & 1]);
	p = page_of(vm, 0x31000);
	if (!(p.flags & 1))
		skip("the host's clock is not the TSC");
	check_eq(page_of(vm, 0x31040).flags & 1, 1);
	for (int i = 0; i < 400; i++) {
		uint64_t tsc = guest_tsc(v[i & 1]), ns;

		p = page_of(vm, 0x31000 + (i & 1) * 0x40);
		ns = pv_ns(&p, tsc);
		check(tsc > last_tsc, "TSC %lu after %lu", tsc, last_tsc);
		check(ns >= last, "clock %lu after %lu", ns, last);
		last = ns;
		last_tsc = tsc;
	}
}

/* --- steal time --- */

TEST(steal_time)
{
	GUEST64(spin, "sti\n 1: incq 0x30000\n jmp 1b\n");
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kt_vcpu *a = kt_vcpu_new(vm, 0, KT_LONG), *b = kt_vcpu_new(vm, 1, KT_LONG);
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kt_thread *t[2];
	uint64_t val;

	if (kt_cap(vm, KVM_CAP_STEAL_TIME) <= 0)
		skip("no KVM_CAP_STEAL_TIME");
	check(kt_set_msr(a, STEAL, 0x31000 | 3) != 1, "a reserved bit is taken");
	check_eq(kt_set_msr(a, STEAL, 0x31000 | 1), 1);
	check_eq(kt_get_msr(a, STEAL, &val), 1);
	check_eq(val, 0x31000 | 1);
	kt_load(vm, spin);
	need_ok(ioctl(b->fd, KVM_SET_MP_STATE, &mp));
	/* Both on one CPU: each waits for the other. */
	{
		cpu_set_t one;

		CPU_ZERO(&one);
		CPU_SET(0, &one);
		need_ok(sched_setaffinity(0, sizeof(one), &one));
	}
	t[0] = kt_start(a);
	t[1] = kt_start(b);
	check(kt_wait(kt_guest_u64(vm, 0x31000) > 0), "nothing is stolen");
	check_eq(kt_guest_u32(vm, 0x31008) & 1, 0);
	kt_stop_well(t[0]);
	kt_stop_well(t[1]);
}

/* One of the vCPU's counters, from its statistics file; without such a counter the test ends. */
static uint64_t vcpu_stat(struct kt_vcpu *v, const char *name)
{
	int fd = need_ok(ioctl(v->fd, KVM_GET_STATS_FD, NULL));
	struct kvm_stats_header h;
	struct kvm_stats_desc *d;
	uint64_t val = 0;
	size_t len;
	char *descs;

	need(pread(fd, &h, sizeof(h), 0) == sizeof(h));
	len = sizeof(*d) + h.name_size;
	descs = malloc(h.num_desc * len);
	need(pread(fd, descs, h.num_desc * len, h.desc_offset) == (ssize_t)(h.num_desc * len));
	for (uint32_t i = 0; i < h.num_desc; i++) {
		d = (struct kvm_stats_desc *)(descs + i * len);
		if (strcmp(d->name, name))
			continue;
		need(pread(fd, &val, sizeof(val), h.data_offset + d->offset) == sizeof(val));
		free(descs);
		close(fd);
		return val;
	}
	skip("no counter %s", name);
}

/*
 * Others leave a flush for a vCPU that is marked as not running, where they would have interrupted it. The counter must
 * say that it was done: whether stale translations would have shown depends on the processor.
 */
TEST(flush_left_for_one_that_does_not_run)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_LONG);
	uint64_t before, without, with;

	if (kt_cap(vm, KVM_CAP_STEAL_TIME) <= 0)
		skip("no KVM_CAP_STEAL_TIME");
	check_eq(kt_set_msr(v, STEAL, 0x31000 | 1), 1);
	kt_load(vm, rdtsc_out);
	for (int i = 0; i < 3; i++)
		kt_run_to_out(v);
	before = vcpu_stat(v, "tlb_flush");
	kt_run_to_out(v);
	without = vcpu_stat(v, "tlb_flush") - before;
	before += without;
	/* A host that schedules the thread out on its way in marks the vCPU itself, over what is written here. */
	for (int i = 0; i < 10; i++) {
		vm->mem[0x31010] = 1 | 2;
		kt_run_to_out(v);
		with = vcpu_stat(v, "tlb_flush") - before;
		if (with > without)
			break;
		before += with;
	}
	check(with > without, "%lu flushes with, %lu without", with, without);
	check_eq(kt_guest_u32(vm, 0x31010) & 2, 0);
	before += with;
	kt_run_to_out(v);
	check_eq(vcpu_stat(v, "tlb_flush") - before, without);
}

/* --- asynchronous page faults --- */

TEST(async_page_faults_without_an_interrupt)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_LONG);
	struct kvm_cpuid_entry2 *e = kt_cpuid_leaf(kt_supported_cpuid(vm->kvm), 0x40000001, 0);
	uint64_t val = 1;

	check(e && (e->eax & 1 << 4), "the feature is not offered, QEMU's named models with enforce want it");
	check_eq(kt_get_msr(v, APF, &val), 1);
	check_eq(val, 0);
	check_eq(kt_set_msr(v, APF, 0x31000 | 3), 1);
	check_eq(kt_get_msr(v, APF, &val), 1);
	check_eq(val, 0x31000 | 3);
	check(kt_set_msr(v, APF, 0x31000 | 0x11) != 1, "a reserved bit is taken");
	check_eq(kt_set_msr(v, APF, 0x31000 | 9), 1);	/* by interrupt: a guest's from a host that has it */
	check_eq(kt_set_msr(v, APF, 0), 1);
}

/* --- TSC --- */

TEST(tsc_frequency)
{
	struct kt_vcpu *v = tsc_vcpu(kt_vm_new(1 << 20, true), 0);
	long khz = need_ok(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
	uint64_t a, b, before, after;

	check(khz > 1000, "%ld kHz", khz);
	before = kt_now_ns();
	a = guest_tsc(v);
	usleep(50000);
	b = guest_tsc(v);
	after = kt_now_ns();
	check((b - a) <= (after - before + MS) * (khz + khz / 100) / 1000000 && (b - a) >= 50 * MS * (khz - khz / 20) / 1000000,
	      "%lu ticks in %lu ns at %ld kHz", b - a, after - before, khz);
	if (kt_cap(v->vm, KVM_CAP_TSC_CONTROL) > 0) {
		check_eq(ioctl(v->fd, KVM_SET_TSC_KHZ, khz / 2), 0);
		check_eq(ioctl(v->fd, KVM_GET_TSC_KHZ, 0), khz / 2);
	} else {
		/* Near enough counts as the same; half is not to be had without scaling. */
		check_eq(ioctl(v->fd, KVM_SET_TSC_KHZ, khz), 0);
		check(ioctl(v->fd, KVM_SET_TSC_KHZ, khz / 2) < 0, "half the frequency without scaling");
	}
}

TEST(tsc_is_set)
{
	struct kt_vcpu *v = tsc_vcpu(kt_vm_new(1 << 20, true), 0);
	uint64_t khz = need_ok(ioctl(v->fd, KVM_GET_TSC_KHZ, 0)), second = khz * 1000, val, tsc;

	check(guest_tsc(v) < 60 * second, "a new vCPU's TSC");
	val = 1000 * second;
	check_eq(kt_set_msr(v, 0x10, val), 1);
	tsc = guest_tsc(v);
	check(tsc >= val && tsc < val + 20 * second, "TSC %#lx, was set to %#lx", tsc, val);
	check_eq(kt_get_msr(v, 0x10, &tsc), 1);
	check(tsc >= val && tsc < val + 20 * second);
}

TEST(tsc_offset_attribute)
{
	struct kt_vcpu *v = tsc_vcpu(kt_vm_new(1 << 20, true), 0);
	uint64_t offset = 0, lo, hi, tsc;
	struct kvm_device_attr a = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset };
	struct kvm_device_attr bad = a;

	if (kt_cap(v->vm, KVM_CAP_VCPU_ATTRIBUTES) <= 0 || ioctl(v->fd, KVM_HAS_DEVICE_ATTR, &a))
		skip("no TSC attributes");
	check_eq(ioctl(v->fd, KVM_GET_DEVICE_ATTR, &a), 0);
	lo = __builtin_ia32_rdtsc();
	tsc = guest_tsc(v) - offset;
	hi = __builtin_ia32_rdtsc();
	check(tsc >= lo && tsc <= hi, "%lu is not between %lu and %lu", tsc, lo, hi);
	offset = 12345678901ull - __builtin_ia32_rdtsc();
	check_eq(ioctl(v->fd, KVM_SET_DEVICE_ATTR, &a), 0);
	tsc = guest_tsc(v);
	check(tsc >= 12345678901ull && tsc < 12345678901ull + (hi << 3), "%lu", tsc);
	bad.attr = 5;
	check_err(ioctl(v->fd, KVM_HAS_DEVICE_ATTR, &bad), ENXIO);
	check_err(ioctl(v->fd, KVM_GET_DEVICE_ATTR, &bad), ENXIO);
	check_err(ioctl(v->fd, KVM_SET_DEVICE_ATTR, &bad), ENXIO);
	bad = a;
	bad.addr = 1;
	check_err(ioctl(v->fd, KVM_GET_DEVICE_ATTR, &bad), EFAULT);
	check_err(ioctl(v->fd, KVM_SET_DEVICE_ATTR, &bad), EFAULT);
}

/* Host's writes of TSC_ADJUST leave the TSC; a guest's would move it. */
TEST(tsc_adjust)
{
	struct kt_vcpu *v = tsc_vcpu(kt_vm_new(1 << 20, true), 0);
	uint64_t a, b, val, second = need_ok(ioctl(v->fd, KVM_GET_TSC_KHZ, 0)) * 1000ull;

	a = guest_tsc(v);
	if (kt_set_msr(v, 0x3b, 1ull << 50) != 1)
		skip("no TSC_ADJUST");
	b = guest_tsc(v);
	check(b >= a && b < a + 20 * second, "TSC jumps by %#lx", b - a);
	check_eq(kt_get_msr(v, 0x3b, &val), 1);
	check_eq(val, 1ull << 50);
}

KT_MAIN
