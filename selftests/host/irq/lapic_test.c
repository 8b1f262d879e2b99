// SPDX-License-Identifier: GPL-2.0-only
/* The local APIC: priorities, both register interfaces, IPIs and destinations, modes, the ABI's image. */
#include "irqchip_priv.h"
#include "lapic_priv.h"
#include "machine.h"

static struct x86_vm *vm;

static void start(unsigned int vcpus)
{
	unsigned int i;

	vm = machine(vcpus);
	out8(vm, 0x21, 0xff);
	for (i = 0; i < vcpus; i++)
		lapic_on(cpu(vm, i));
}

static bool wr(struct x86_vcpu *v, u32 off, u64 val)
{
	return x2apic_msr_write(v, 0x800 + (off >> 4), val);
}

static bool rd(struct x86_vcpu *v, u32 off, u64 *val)
{
	return x2apic_msr_read(v, 0x800 + (off >> 4), val);
}

static void reset_values(void)
{
	struct x86_vcpu *v;

	vm = machine(2);
	v = cpu(vm, 1);
	CHECK_EQ(lapic_get_base(cpu(vm, 0)), 0xfee00900);
	CHECK_EQ(lapic_get_base(v), 0xfee00800);
	CHECK_EQ(lapic_r(v, R_ID), 1 << 24);
	CHECK_EQ(lapic_r(v, R_VERSION), 0x50014);
	CHECK_EQ(lapic_r(v, R_SVR), 0xff);
	CHECK_EQ(lapic_r(v, R_DFR), ~0u);
	CHECK_EQ(lapic_r(v, R_LINT0), 0x10000);
	CHECK_EQ(lapic_r(cpu(vm, 0), R_LINT0), 0x700);
	CHECK_EQ(lapic_r(v, R_LVTT), 0x10000);
	CHECK(!lapic_enabled(v));
	CHECK(!lapic_post(v, 0x40, false) || lapic_pending(v) == 0x40);
	machine_end(vm);
}

static void priorities(void)
{
	struct x86_vcpu *v;

	start(1);
	v = cpu(vm, 0);
	CHECK(lapic_post(v, 0x41, false));
	CHECK(!lapic_post(v, 0x41, false));
	CHECK_EQ(lapic_pending(v), 0x41);
	CHECK(!lapic_post(v, 0x41, false));	/* merges in the IRR too */
	lapic_post(v, 0x51, false);
	lapic_post(v, 0xfe, false);
	CHECK_EQ(take(v), 0xfe);
	CHECK_EQ(lapic_r(v, R_PPR), 0xf0);
	CHECK_EQ(take(v), -1);
	v->recheck_events = false;
	lapic_w(v, R_EOI, 0);
	CHECK(v->recheck_events);		/* something waits */
	CHECK_EQ(take(v), 0x51);
	lapic_post(v, 0x5f, false);		/* the same class waits */
	CHECK_EQ(take(v), -1);
	lapic_post(v, 0x60, false);
	CHECK_EQ(take(v), 0x60);
	CHECK_EQ(lapic_r(v, R_ISR + 0x20), 1u << 0x11);
	CHECK_EQ(lapic_r(v, R_ISR + 0x30), 1);
	lapic_w(v, R_EOI, 0);
	lapic_w(v, R_EOI, 0);
	lapic_w(v, R_TPR, 0x58);
	CHECK_EQ(lapic_get_cr8(v), 5);
	CHECK_EQ(take(v), -1);
	CHECK(!lapic_maybe_pending(v));
	v->recheck_events = false;
	lapic_set_cr8(v, 4);
	CHECK(v->recheck_events);
	CHECK(lapic_maybe_pending(v));
	CHECK_EQ(lapic_r(v, R_TPR), 0x40);
	CHECK_EQ(take(v), 0x5f);
	lapic_w(v, R_EOI, 0);
	CHECK_EQ(take(v), -1);			/* 0x41 is in the task's class */
	lapic_w(v, R_TPR, 0);
	CHECK_EQ(take(v), 0x41);
	lapic_w(v, R_EOI, 0);
	lapic_w(v, R_EOI, 0);			/* one too many */
	CHECK_EQ(lapic_r(v, R_PPR), 0);
	machine_end(vm);
}

static void kicking(void)
{
	struct x86_vcpu *v;

	start(2);
	v = cpu(vm, 1);
	kicks = 0;
	lapic_post(v, 0x41, false);
	lapic_post(v, 0x42, false);
	CHECK_EQ(kicks, 1);			/* one until it has looked */
	CHECK(v->vcpu.requests & BIT(REQ_EVENT));
	lapic_pending(v);
	lapic_post(v, 0x43, false);
	CHECK_EQ(kicks, 2);
	lapic_pending(v);
	run_as(v);
	v->recheck_events = false;
	lapic_post(v, 0x44, false);
	CHECK_EQ(kicks, 2);			/* its own thread needs none */
	CHECK(v->recheck_events);
	lapic_pending(v);
	in_interrupt_now = true;
	lapic_post(v, 0x45, false);
	in_interrupt_now = false;
	CHECK_EQ(kicks, 3);			/* an interrupt may hit it on its way to sleep */
	machine_end(vm);
}

static void software_disable(void)
{
	struct x86_vcpu *v;
	struct apic_msg m = { .vector = 0x40, .assert = true };

	start(1);
	v = cpu(vm, 0);
	lapic_w(v, R_LVTERR, 0xf0);
	lapic_w(v, R_LINT1, 0x400);
	lapic_post(v, 0x33, false);
	lapic_w(v, R_SVR, 0xff);
	CHECK_EQ(lapic_r(v, R_LVTERR), 0x100f0);
	CHECK_EQ(lapic_r(v, R_LINT1), 0x10400);
	lapic_w(v, R_LVTERR, 0xf0);		/* the mask cannot be cleared now */
	CHECK_EQ(lapic_r(v, R_LVTERR), 0x100f0);
	CHECK_EQ(apic_deliver(vm, NULL, &m), -1);
	m.mode = MODE_NMI;
	CHECK_EQ(apic_deliver(vm, NULL, &m), 1);
	CHECK_EQ(take(v), 0x33);		/* held from before */
	machine_end(vm);
}

static void errors(void)
{
	struct x86_vcpu *v;

	start(1);
	v = cpu(vm, 0);
	lapic_w(v, R_LVTERR, 0xf1);
	lapic_w(v, 0x50, 0);			/* no such register */
	CHECK_EQ(take(v), 0xf1);
	CHECK_EQ(lapic_r(v, R_ESR), 0);		/* not before it is written */
	lapic_w(v, R_ESR, 0);
	CHECK_EQ(lapic_r(v, R_ESR), 0x80);
	lapic_w(v, R_ESR, 0);
	CHECK_EQ(lapic_r(v, R_ESR), 0);
	lapic_w(v, R_ICR, 0x4000b);		/* vector 11 to itself */
	lapic_w(v, R_ESR, 0);
	CHECK_EQ(lapic_r(v, R_ESR), 0x20);
	machine_end(vm);
}

static void x2apic_access(void)
{
	static const u16 readable[] = { 2, 3, 8, 0xa, 0xd, 0xf, 0x28, 0x30, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39,
					0x3e };
	static const u16 writable[] = { 8, 0xb, 0xf, 0x28, 0x30, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x3e };
	struct x86_vcpu *v;
	unsigned int i, j;
	u64 val;

	start(1);
	v = cpu(vm, 0);
	CHECK(!rd(v, R_ID, &val));		/* not in this mode yet */
	go_x2apic(v);
	CHECK(!lapic_owns_gpa(v, GPA(0xfee00000)));
	for (i = 0; i < 0x100; i++) {
		bool r = i >= 0x10 && i < 0x28, w = false;

		for (j = 0; j < ARRAY_SIZE(readable); j++)
			r |= readable[j] == i;
		for (j = 0; j < ARRAY_SIZE(writable); j++)
			w |= writable[j] == i;
		CHECK_EQ(x2apic_msr_read(v, 0x800 + i, &val), r);
		if (i == 0x3f || i == 0x30)
			continue;
		if (x2apic_msr_write(v, 0x800 + i, 0) != w)
			check_failed("write of MSR", i, "allowed", !w, w);
	}
	CHECK(!wr(v, R_TPR, 0x100));
	CHECK(!wr(v, R_EOI, 1));
	CHECK(!wr(v, R_ESR, 1));
	CHECK(!wr(v, R_SVR, 0x1ff | BIT(10)));
	CHECK(!wr(v, R_LVTT, BIT(11)));
	CHECK(wr(v, R_LVTT, BIT(12) | LVT_MASK));		/* read-only, not reserved */
	CHECK_EQ(lapic_r(v, R_LVTT), LVT_MASK);
	CHECK(!wr(v, R_DCR, 4));
	CHECK(!wr(v, R_SELF_IPI, 0x100));
	CHECK(!wr(v, R_ICR, BIT(13)));
	CHECK(!wr(v, R_ICR, BIT(16)));
	CHECK(!wr(v, R_ICR, BIT(20)));
	CHECK(wr(v, R_SVR, 0x1ff));
	CHECK(wr(v, R_ICR, 0x500000000ull | BIT(12) | 0x45));
	CHECK(rd(v, R_ICR, &val));
	CHECK_EQ(val, 0x500000045ull);
	CHECK(wr(v, R_SELF_IPI, 0x46));
	CHECK_EQ(take(v), 0x46);
	machine_end(vm);
}

static void transitions(void)
{
	const u64 base = 0xfee00900, off = 0xfee00100, x2 = 0xfee00d00, bad = 0xfee00500;
	struct x86_vcpu *v;
	u64 val;

	start(1);
	v = cpu(vm, 0);
	CHECK(!lapic_set_base(v, bad, false));
	CHECK(!lapic_set_base(v, bad, true));
	CHECK(!lapic_set_base(v, base | 1, false));
	CHECK(!lapic_set_base(v, base | BIT_ULL(40), false));
	CHECK(lapic_set_base(v, off, false));
	CHECK(!lapic_set_base(v, x2, false));
	CHECK(lapic_set_base(v, base, false));
	CHECK_EQ(lapic_r(v, R_SVR), 0xff);
	lapic_w(v, R_LDR, 0x01000000);
	CHECK(lapic_set_base(v, x2, false));
	CHECK(!lapic_set_base(v, base, false));
	CHECK(rd(v, R_LDR, &val));
	CHECK_EQ(val, 1);
	CHECK(lapic_set_base(v, base, true));	/* user space may do anything that is a state */
	CHECK_EQ(lapic_r(v, R_ID), 0);
	CHECK(lapic_set_base(v, x2, true));
	CHECK(lapic_set_base(v, off, false));
	CHECK(lapic_set_base(v, base | 0x1000, false));
	CHECK(lapic_owns_gpa(v, GPA(0xfee01234)));
	v->cap.f1_ecx = 0;
	CHECK(!lapic_set_base(v, x2, false));
	machine_end(vm);
}

static u32 who(u8 vector)
{
	u32 mask = 0;
	unsigned int i;

	for (i = 0; i < vm->kvm.online_vcpus.counter; i++) {
		struct x86_vcpu *v = cpu(vm, i);

		if (take(v) != vector)
			continue;
		mask |= 1u << i;
		lapic_eoi(v);
	}
	return mask;
}

static u32 ipi(unsigned int from, u32 high, u32 low)
{
	lapic_w(cpu(vm, from), R_ICR2, high << 24);
	lapic_w(cpu(vm, from), R_ICR, low | 0x90);
	return who(0x90);
}

static void xapic_destinations(void)
{
	unsigned int i;

	start(8);
	CHECK_EQ(ipi(0, 3, 0), 0x08);
	CHECK_EQ(ipi(0, 9, 0), 0);
	CHECK_EQ(ipi(2, 0, 1 << 18), 0x04);
	CHECK_EQ(ipi(2, 0, 2 << 18), 0xff);
	CHECK_EQ(ipi(2, 0, 3 << 18), 0xfb);
	CHECK_EQ(ipi(2, 0xff, 0), 0xff);
	for (i = 0; i < 8; i++)
		lapic_w(cpu(vm, i), R_LDR, 1u << (24 + i));
	CHECK_EQ(ipi(1, 0x81, 1 << 11), 0x81);
	CHECK_EQ(hweight8(ipi(1, 0x3c, 1 << 11 | 1 << 8)), 1);
	lapic_w(cpu(vm, 5), R_LDR, 0xa0000000);	/* two bits of its own, one of them another's too */
	CHECK_EQ(ipi(1, 0x80, 1 << 11), 0xa0);
	CHECK_EQ(ipi(1, 0xa0, 1 << 11), 0xa0);
	for (i = 0; i < 8; i++) {
		lapic_w(cpu(vm, i), R_DFR, 0);
		lapic_w(cpu(vm, i), R_LDR, ((i / 4) << 4 | 1u << i % 4) << 24);
	}
	CHECK_EQ(ipi(1, 0x03, 1 << 11), 0x03);
	CHECK_EQ(ipi(1, 0x1c, 1 << 11), 0xc0);
	CHECK_EQ(ipi(1, 0xf1, 1 << 11), 0x11);
	CHECK_EQ(ipi(1, 0x21, 1 << 11), 0);
	/* An ID that the guest gave twice. */
	lapic_w(cpu(vm, 6), R_ID, 0x03000000);
	CHECK_EQ(ipi(0, 3, 0), 0x48);
	CHECK_EQ(ipi(0, 6, 0), 0);
	machine_end(vm);
}

static u32 x2ipi(unsigned int from, u32 dest, u32 low)
{
	CHECK(wr(cpu(vm, from), R_ICR, (u64)dest << 32 | low | 0x90));
	return who(0x90);
}

static void x2apic_destinations(void)
{
	struct apic_msg m = { .dest = 0xff, .vector = 0x90, .assert = true };
	unsigned int i;

	start(20);
	go_x2apic(cpu(vm, 0));
	CHECK_EQ(x2ipi(0, 7, 0), 0x80);		/* in xAPIC mode still */
	CHECK_EQ(x2ipi(0, ~0u, 0), 0xfffff);
	CHECK_EQ(x2ipi(0, 0x0003, 1 << 11), 1);	/* the others have no logical ID yet */
	for (i = 1; i < 20; i++)
		go_x2apic(cpu(vm, i));
	CHECK_EQ(x2ipi(0, 17, 0), 0x20000);
	CHECK_EQ(x2ipi(0, 0x10005, 1 << 11), 0x50000);
	CHECK_EQ(x2ipi(0, 0x8001, 1 << 11), 0x8001);
	CHECK_EQ(x2ipi(0, 0x70001, 1 << 11), 0);
	CHECK_EQ(x2ipi(0, 0xff, 0), 0);
	CHECK_EQ(x2ipi(3, ~0u, 0), 0xfffff);
	CHECK_EQ(x2ipi(3, 0, 3 << 18), 0xffff7);
	CHECK_EQ(hweight8(x2ipi(0, 0xf, 1 << 11 | 1 << 8)), 1);
	CHECK_EQ(apic_deliver(vm, NULL, &m), 20);	/* a device's FFH, by our old habit */
	CHECK_EQ(who(0x90), 0xfffff);
	vm->x2apic_no_bcast_quirk = true;
	CHECK_EQ(apic_deliver(vm, NULL, &m), -1);
	machine_end(vm);
}

static void without_a_map(void)
{
	start(4);
	fail_alloc_after = 0;
	lapic_w(cpu(vm, 1), R_LDR, 0x02000000);
	fail_alloc_after = -1;
	CHECK(!vm->apic_map);
	CHECK_EQ(ipi(0, 3, 0), 8);
	CHECK_EQ(ipi(0, 2, 1 << 11), 2);
	machine_end(vm);
}

static void startup_messages(void)
{
	struct x86_vcpu *v;

	start(2);
	v = cpu(vm, 1);
	lapic_w(cpu(vm, 0), R_ICR2, 1 << 24);
	lapic_w(cpu(vm, 0), R_ICR, 0xc500);	/* INIT, level, assert */
	CHECK_EQ(v->apic_events, BIT(APIC_EVENT_INIT));
	CHECK(v->vcpu.requests & BIT(REQ_APIC_EVENT));
	v->apic_events = 0;
	lapic_w(cpu(vm, 0), R_ICR, 0x8500);	/* INIT, de-assert */
	CHECK_EQ(v->apic_events, 0);
	lapic_w(cpu(vm, 0), R_ICR, 0x4612);
	CHECK_EQ(v->apic_events, BIT(APIC_EVENT_SIPI));
	CHECK_EQ(v->sipi_vector, 0x12);
	lapic_w(cpu(vm, 0), R_ICR, 0x4500);
	CHECK_EQ(v->apic_events, BIT(APIC_EVENT_INIT));
	lapic_w(cpu(vm, 0), R_ICR, 0x4400);
	CHECK_EQ(atomic_read(&v->ev.nmi_queued), 1);
	lapic_w(cpu(vm, 0), R_ICR, 0x4200);
	CHECK(v->vcpu.requests & BIT(REQ_SMI));
	lapic_w(cpu(vm, 0), R_ICR, 0x4720);	/* ExtINT: not by the ICR */
	CHECK(!v->lapic->extint);
	machine_end(vm);
}

static void init_keeps(void)
{
	struct x86_vcpu *v;
	u64 val;

	start(2);
	v = cpu(vm, 1);
	lapic_w(v, R_ID, 0x05000000);
	lapic_post(v, 0x50, true);
	lapic_reset(v, true);
	CHECK_EQ(lapic_r(v, R_ID), 0x05000000);
	CHECK_EQ(take(v), -1);
	CHECK_EQ(lapic_r(v, R_TMR + 0x20), 0);
	go_x2apic(v);
	lapic_reset(v, true);
	CHECK(rd(v, R_ID, &val));
	CHECK_EQ(val, 1);
	lapic_reset(v, false);
	CHECK_EQ(lapic_r(v, R_ID), 0x01000000);
	machine_end(vm);
}

static void images(void)
{
	struct kvm_lapic_state a, b;
	struct x86_vcpu *v;
	u32 id = 0;

	start(2);
	v = cpu(vm, 1);
	lapic_w(v, R_LDR, 0x02000000);
	lapic_w(v, R_LVTERR, 0xf1);
	lapic_post(v, 0x50, false);
	lapic_post(v, 0x71, true);
	CHECK_EQ(take(v), 0x71);
	CHECK_EQ(lapic_get_state(v, &a), 0);
	lapic_reset(v, false);
	CHECK_EQ(lapic_set_state(v, &a), 0);
	CHECK_EQ(lapic_get_state(v, &b), 0);
	CHECK(!memcmp(&a, &b, sizeof(a)));
	CHECK_EQ(lapic_r(v, R_TMR + 0x30), 1u << 17);
	lapic_w(v, R_EOI, 0);
	CHECK_EQ(take(v), 0x50);

	/* At reset VMMs let the PIC through while the rest is disabled. */
	lapic_reset(v, false);
	lapic_get_state(v, &a);
	*(u32 *)&a.regs[R_LINT0] = 0x8700;
	lapic_set_state(v, &a);
	CHECK(!lapic_enabled(v) && lapic_accepts_pic(v));
	CHECK_EQ(lapic_r(v, R_LINT0), 0x8700);

	go_x2apic(v);
	lapic_get_state(v, &a);
	memcpy(&id, &a.regs[R_ID], 4);
	CHECK_EQ(id, 1 << 24);
	vm->x2apic_ids = true;
	lapic_get_state(v, &a);
	memcpy(&id, &a.regs[R_ID], 4);
	CHECK_EQ(id, 1);
	CHECK_EQ(lapic_set_state(v, &a), 0);
	a.regs[R_ID] = 2;
	CHECK_EQ(lapic_set_state(v, &a), -EINVAL);

	/* Everything set, by a hostile hand: no writable bit that is not. */
	vm->x2apic_ids = false;
	memset(&a, 0xff, sizeof(a));
	CHECK_EQ(lapic_set_state(v, &a), 0);
	lapic_get_state(v, &b);
	CHECK_EQ(*(u32 *)&b.regs[R_IRR], ~0u);
	CHECK_EQ(*(u32 *)&b.regs[R_SVR], 0x3ff);
	CHECK_EQ(*(u32 *)&b.regs[R_LVTT], 0x700ff);
	CHECK_EQ(*(u32 *)&b.regs[R_VERSION], 0x50014);

	/* Vectors below 16 are kept and outrank nothing. */
	memset(&a, 0, sizeof(a));
	*(u32 *)&a.regs[R_ID] = 1 << 24;
	*(u32 *)&a.regs[R_SVR] = 0x1ff;
	*(u32 *)&a.regs[R_IRR] = 0x45000 & 0xffff;
	CHECK_EQ(lapic_set_state(v, &a), 0);
	CHECK_EQ(take(v), -1);
	lapic_get_state(v, &b);
	CHECK_EQ(*(u32 *)&b.regs[R_IRR], 0x5000);
	machine_end(vm);
}

void lapic_tests(void)
{
	run_test("lapic: reset values", reset_values);
	run_test("lapic: priorities", priorities);
	run_test("lapic: kicking", kicking);
	run_test("lapic: software disable", software_disable);
	run_test("lapic: errors", errors);
	run_test("lapic: x2APIC access", x2apic_access);
	run_test("lapic: transitions", transitions);
	run_test("lapic: xAPIC destinations", xapic_destinations);
	run_test("lapic: x2APIC destinations", x2apic_destinations);
	run_test("lapic: without a map", without_a_map);
	run_test("lapic: startup messages", startup_messages);
	run_test("lapic: INIT keeps mode and ID", init_keeps);
	run_test("lapic: images", images);
}
