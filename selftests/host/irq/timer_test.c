// SPDX-License-Identifier: GPL-2.0-only
/* The timers: the local APIC's in its three modes, and the 8254. */
#include "irqchip_priv.h"
#include "lapic_priv.h"
#include "machine.h"

#define MS	1000000ull

static struct x86_vm *vm;
static struct x86_vcpu *v;

static void start(void)
{
	vm = machine(1);
	v = cpu(vm, 0);
	out8(vm, 0x21, 0xff);
	lapic_on(v);
	lapic_w(v, R_LINT0, 0x10000);
	lapic_w(v, R_DCR, 0xb);			/* by 1: 1 ns a tick */
}

static void one_shot(void)
{
	start();
	lapic_w(v, R_LVTT, 0x40);
	lapic_w(v, R_TMICT, 1000000);
	pass_ns(400000);
	CHECK_EQ(lapic_r(v, R_TMCCT), 600000);
	CHECK_EQ(take(v), -1);
	pass_ns(600000);
	CHECK_EQ(lapic_r(v, R_TMCCT), 0);
	CHECK_EQ(take(v), 0x40);
	lapic_w(v, R_EOI, 0);
	pass_ns(5 * MS);
	CHECK_EQ(take(v), -1);
	lapic_w(v, R_DCR, 3);			/* by 16 */
	lapic_w(v, R_TMICT, 1000);
	pass_ns(8000);
	CHECK_EQ(lapic_r(v, R_TMCCT), 500);
	lapic_w(v, R_DCR, 0);			/* by 2: what is left stays */
	CHECK_EQ(lapic_r(v, R_TMCCT), 500);
	pass_ns(1000);
	CHECK_EQ(take(v), 0x40);
	lapic_w(v, R_EOI, 0);
	lapic_w(v, R_TMICT, 1000);
	lapic_w(v, R_TMICT, 0);
	pass_ns(MS);
	CHECK_EQ(take(v), -1);
	lapic_w(v, R_LVTT, 0x10040);
	lapic_w(v, R_TMICT, 100);
	pass_ns(MS);
	CHECK_EQ(take(v), -1);
	machine_end(vm);
}

static void periodic(void)
{
	unsigned int i;

	start();
	lapic_w(v, R_LVTT, 0x20041);
	lapic_w(v, R_TMICT, MS);
	for (i = 0; i < 5; i++) {
		pass_ns(MS - 1);
		CHECK_EQ(take(v), -1);
		pass_ns(1);
		CHECK_EQ(take(v), 0x41);
		lapic_w(v, R_EOI, 0);
	}
	pass_ns(MS / 4);
	CHECK_EQ(lapic_r(v, R_TMCCT), MS * 3 / 4);
	clock_ns += MS;				/* the host's interrupt is late */
	CHECK_EQ(lapic_r(v, R_TMCCT), MS * 3 / 4);
	pass_ns(0);
	CHECK_EQ(take(v), 0x41);
	lapic_w(v, R_EOI, 0);
	lapic_w(v, R_LVTT, 0x41);		/* to one-shot: ends its round */
	pass_ns(MS);
	CHECK_EQ(take(v), 0x41);
	lapic_w(v, R_EOI, 0);
	pass_ns(3 * MS);
	CHECK_EQ(take(v), -1);
	lapic_w(v, R_LVTT, 0x20041);		/* and back: over is over until a count is written */
	CHECK_EQ(lapic_r(v, R_TMCCT), 0);
	pass_ns(3 * MS);
	CHECK_EQ(lapic_r(v, R_TMCCT), 0);
	CHECK_EQ(take(v), -1);
	lapic_w(v, R_DCR, 0);
	pass_ns(3 * MS);
	CHECK_EQ(take(v), -1);
	lapic_w(v, R_DCR, 0xb);
	lapic_w(v, R_LVTT, 0x41);
	lapic_w(v, R_TMICT, MS);
	clock_ns += 2 * MS;			/* over, but the host's interrupt is late */
	CHECK_EQ(lapic_r(v, R_TMCCT), 0);
	lapic_w(v, R_LVTT, 0x20041);
	CHECK_EQ(lapic_r(v, R_TMCCT), 0);
	CHECK_EQ(take(v), 0x41);
	lapic_w(v, R_EOI, 0);
	pass_ns(3 * MS);
	CHECK_EQ(take(v), -1);
	lapic_w(v, R_LVTT, 0x41);
	/* A period of 1 ns must not hold the host. */
	lapic_w(v, R_LVTT, 0x20041);
	lapic_w(v, R_TMICT, 1);
	pass_ns(MS);
	CHECK_EQ(take(v), 0x41);
	machine_end(vm);
}

static void deadline(void)
{
	u64 now;

	start();
	lapic_set_deadline(v, 1);
	CHECK_EQ(lapic_get_deadline(v), 0);	/* not in this mode */
	lapic_w(v, R_LVTT, 0x40042);
	now = guest_tsc(v, rdtsc());
	lapic_set_deadline(v, now + 2 * MS);
	CHECK_EQ(lapic_get_deadline(v), now + 2 * MS);
	pass_ns(MS - 1);
	CHECK_EQ(take(v), -1);
	pass_ns(1);
	CHECK_EQ(take(v), 0x42);
	CHECK_EQ(lapic_get_deadline(v), 0);
	lapic_w(v, R_EOI, 0);
	lapic_set_deadline(v, now);		/* past */
	CHECK_EQ(take(v), 0x42);
	lapic_w(v, R_EOI, 0);
	lapic_set_deadline(v, now + 8 * MS);
	lapic_set_deadline(v, 0);
	pass_ns(10 * MS);
	CHECK_EQ(take(v), -1);
	/* The guest's TSC jumps. */
	lapic_set_deadline(v, guest_tsc(v, rdtsc()) + 20 * MS);
	v->tsc_offset += 18 * MS;
	lapic_tsc_changed(v);
	pass_ns(MS);
	CHECK_EQ(take(v), 0x42);
	lapic_w(v, R_EOI, 0);
	/* It ran slow: the first expiry is too early. */
	lapic_set_deadline(v, guest_tsc(v, rdtsc()) + 2 * MS);
	v->tsc_offset -= 1000;
	pass_ns(MS);
	CHECK_EQ(take(v), -1);
	pass_ns(2000);
	CHECK_EQ(take(v), 0x42);
	lapic_w(v, R_EOI, 0);
	lapic_set_deadline(v, ~0ull);
	lapic_w(v, R_LVTT, 0x42);		/* leaving the mode disarms */
	CHECK_EQ(lapic_get_deadline(v), 0);
	pass_ns(MS);
	CHECK_EQ(take(v), -1);
	machine_end(vm);
}

static void restored(void)
{
	struct kvm_lapic_state s;

	start();
	lapic_w(v, R_LVTT, 0x43);
	lapic_w(v, R_TMICT, 4 * MS);
	pass_ns(MS);
	lapic_get_state(v, &s);
	lapic_reset(v, false);
	pass_ns(50 * MS);
	CHECK_EQ(take(v), -1);
	lapic_set_state(v, &s);
	pass_ns(3 * MS - 1);
	CHECK_EQ(take(v), -1);
	pass_ns(1);
	CHECK_EQ(take(v), 0x43);
	machine_end(vm);
}

/* The 8254 */

static void pit_start(u32 flags)
{
	start();
	mutex_lock(&vm->kvm.lock);
	CHECK_EQ(pit_create(vm, flags), 0);
	mutex_unlock(&vm->kvm.lock);
	ioapic_entry(vm, 0, 0x60);
}

static void load(unsigned int ch, u8 mode, u16 count)
{
	out8(vm, 0x43, ch << 6 | 0x30 | mode << 1);
	out8(vm, 0x40 + ch, count);
	out8(vm, 0x40 + ch, count >> 8);
}

static u16 latched(unsigned int ch)
{
	u8 low;

	out8(vm, 0x43, ch << 6);
	low = in8(vm, 0x40 + ch);
	return low | in8(vm, 0x40 + ch) << 8;
}

static unsigned int ticks_taken(void)
{
	unsigned int n = 0;

	while (take(v) == 0x60) {
		lapic_w(v, R_EOI, 0);
		n++;
	}
	return n;
}

static void pit_channel_0(void)
{
	unsigned int i, n = 0;

	pit_start(0);
	load(0, 2, 11932);			/* 100 Hz */
	for (i = 0; i < 100; i++) {
		pass_ns(10 * MS);
		n += ticks_taken();
	}
	CHECK(n >= 99 && n <= 101);
	load(0, 0, 11932);
	pass_ns(100 * MS);
	CHECK_EQ(ticks_taken(), 1);
	pass_ns(100 * MS);
	CHECK_EQ(ticks_taken(), 0);
	machine_end(vm);
}

static void pit_reinjection(void)
{
	pit_start(0);
	load(0, 2, 11932);
	pass_ns(205 * MS);			/* the guest was away */
	CHECK_EQ(ticks_taken(), 20);
	mutex_lock(&vm->kvm.lock);
	CHECK_EQ(pit_reinject(vm, false), 0);
	mutex_unlock(&vm->kvm.lock);
	pass_ns(200 * MS);
	CHECK_EQ(ticks_taken(), 1);
	machine_end(vm);
}

/* The PIC's pin is masked from before the EOI until the handler is done, as Linux does it. */
static unsigned int ticks_by_pic(void)
{
	unsigned int n = 0;

	while (n < 1000 && take(v) == 0x30) {
		out8(vm, 0x21, 0xff);
		out8(vm, 0x20, 0x60);
		out8(vm, 0x21, 0xfe);
		n++;
	}
	return n;
}

static void pit_reinjection_by_pic(void)
{
	unsigned int i, n = 0;

	pit_start(0);
	ioapic_entry(vm, 0, 0x10000);
	lapic_w(v, R_LINT0, 0x700);
	out8(vm, 0x20, 0x11);
	out8(vm, 0x21, 0x30);
	out8(vm, 0x21, 4);
	out8(vm, 0x21, 1);
	out8(vm, 0x21, 0xfe);
	load(0, 2, 11932);
	pass_ns(205 * MS);
	CHECK_EQ(ticks_by_pic(), 20);
	for (i = 0; i < 100; i++) {
		pass_ns(10 * MS);
		n += ticks_by_pic();
	}
	CHECK(n >= 99 && n <= 101);
	/* Masked for good, nobody wants them back. */
	out8(vm, 0x21, 0xff);
	pass_ns(5000 * MS);
	out8(vm, 0x21, 0xfe);
	CHECK(ticks_by_pic() < 8);
	machine_end(vm);
}

static void pit_counters(void)
{
	u64 before;
	u16 low;

	pit_start(KVM_PIT_SPEAKER_DUMMY);
	load(1, 2, 1000);
	pass_ns(100);
	CHECK_EQ(latched(1), 1000);
	pass_ns(NSEC_PER_SEC / 1193182 * 500);
	CHECK(latched(1) >= 499 && latched(1) <= 502);
	out8(vm, 0x43, 0x40);
	pass_ns(100000);
	out8(vm, 0x43, 0x40);			/* the first one stays */
	low = in8(vm, 0x41);
	CHECK((low | in8(vm, 0x41) << 8) >= 499);
	CHECK(latched(1) < 499 || latched(1) > 502);
	/* Read-back of count and status of channel 1. */
	out8(vm, 0x43, 0xc4);
	CHECK_EQ(in8(vm, 0x41) & 0x3f, 0x34);
	in8(vm, 0x41);
	in8(vm, 0x41);
	/* BCD */
	out8(vm, 0x43, 0x75);
	out8(vm, 0x41, 0x34);
	out8(vm, 0x41, 0x12);
	CHECK_EQ(latched(1), 0x1234);
	/* Channel 2 waits for its gate, as TSC calibration does it. */
	out8(vm, 0x61, 0);
	load(2, 0, 11932);
	pass_ns(50 * MS);
	CHECK_EQ(in8(vm, 0x61) & 0x21, 0);
	CHECK_EQ(latched(2), 11932);
	out8(vm, 0x61, 1);
	before = clock_ns;
	while (!(in8(vm, 0x61) & 0x20) && clock_ns - before < 50 * MS)
		pass_ns(10000);
	CHECK(clock_ns - before >= 9990000 && clock_ns - before <= 10020000);
	machine_end(vm);
}

static void pit_images(void)
{
	struct kvm_pit_state2 a, b;

	pit_start(0);
	load(0, 2, 11932);
	pass_ns(3 * MS);
	CHECK_EQ(pit_get(vm, &a), 0);
	CHECK_EQ(a.channels[0].count, 11932);
	CHECK_EQ(a.channels[0].mode, 2);
	CHECK_EQ(pit_set(vm, &a), 0);
	CHECK_EQ(pit_get(vm, &b), 0);
	CHECK(!memcmp(&a, &b, sizeof(a)));
	pass_ns(6 * MS);
	CHECK_EQ(ticks_taken(), 0);
	pass_ns(2 * MS);
	CHECK_EQ(ticks_taken(), 1);
	a.flags = KVM_PIT_FLAGS_HPET_LEGACY;
	CHECK_EQ(pit_set(vm, &a), 0);
	pass_ns(100 * MS);
	CHECK_EQ(ticks_taken(), 0);
	memset(&a, 0xff, sizeof(a));
	CHECK_EQ(pit_set(vm, &a), 0);
	CHECK_EQ(pit_get(vm, &b), 0);
	CHECK_EQ(b.channels[0].count, 65536);
	CHECK_EQ(b.channels[0].mode, 3);
	machine_end(vm);
}

void timer_tests(void)
{
	run_test("timer: one-shot", one_shot);
	run_test("timer: periodic", periodic);
	run_test("timer: TSC deadline", deadline);
	run_test("timer: restored", restored);
	run_test("pit: channel 0", pit_channel_0);
	run_test("pit: reinjection", pit_reinjection);
	run_test("pit: reinjection by the PIC", pit_reinjection_by_pic);
	run_test("pit: counters", pit_counters);
	run_test("pit: images", pit_images);
}
