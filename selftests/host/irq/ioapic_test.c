// SPDX-License-Identifier: GPL-2.0-only
/* The I/O APIC, message routes, and acknowledgement. */
#include "irqchip_priv.h"
#include "lapic_priv.h"
#include "machine.h"

#define LEVEL	BIT_ULL(15)
#define MASKED	BIT_ULL(16)
#define TO(id)	((u64)(id) << 56)

static struct x86_vm *vm;

static void start(unsigned int vcpus)
{
	unsigned int i;

	vm = machine(vcpus);
	for (i = 0; i < vcpus; i++)
		lapic_on(cpu(vm, i));
}

static int line(unsigned int gsi, bool level)
{
	return kvm_set_irq(&vm->kvm, IRQ_SOURCE_USER, gsi, level);
}

static void registers(void)
{
	start(1);
	CHECK_EQ(ioapic_r(vm, 1), 0x170011);
	ioapic_w(vm, 0, 0xff000000);
	CHECK_EQ(ioapic_r(vm, 0), 0x0f000000);
	CHECK_EQ(ioapic_r(vm, 0x10), MASKED);
	ioapic_entry(vm, 5, ~0ull);
	CHECK_EQ(ioapic_r(vm, 0x10 + 2 * 5), 0x1afff);	/* status and remote IRR are read-only */
	CHECK_EQ(ioapic_r(vm, 0x40), ~0u);		/* beyond pin 23 */
	ioapic_w(vm, 0x40, 0);
	CHECK_EQ(mmio_r(cpu(vm, 0), IOAPIC_BASE), 0x40);
	machine_end(vm);
}

static void edges(void)
{
	start(2);
	out8(vm, 0x21, 0xff);
	CHECK_EQ(line(4, true), -1);		/* masked: lost */
	line(4, false);
	ioapic_entry(vm, 4, 0x51 | TO(1));
	CHECK_EQ(take(cpu(vm, 1)), -1);
	CHECK_EQ(line(4, true), 1);
	CHECK_EQ(line(4, true), 0);
	CHECK_EQ(line(4, false), 1);
	CHECK_EQ(line(4, true), 0);		/* not taken yet: merges */
	CHECK_EQ(take(cpu(vm, 1)), 0x51);
	line(4, false);
	CHECK_EQ(line(4, true), 1);		/* behind the one in service */
	CHECK_EQ(take(cpu(vm, 1)), -1);
	lapic_w(cpu(vm, 1), R_EOI, 0);
	CHECK_EQ(take(cpu(vm, 1)), 0x51);
	lapic_w(cpu(vm, 1), R_EOI, 0);
	CHECK_EQ(line(4, true), 0);		/* no new edge */
	CHECK_EQ(take(cpu(vm, 1)), -1);
	CHECK_EQ(take(cpu(vm, 0)), -1);
	machine_end(vm);
}

static void levels(void)
{
	struct x86_vcpu *v;

	start(1);
	v = cpu(vm, 0);
	out8(vm, 0xa1, 0xff);
	line(10, true);
	ioapic_entry(vm, 10, 0x61 | LEVEL);	/* was waiting behind the mask */
	CHECK_EQ(ioapic_r(vm, 0x24) & BIT(14), BIT(14));
	CHECK_EQ(take(v), 0x61);
	CHECK_EQ(line(10, true), 0);
	lapic_w(v, R_EOI, 0);
	CHECK_EQ(take(v), 0x61);		/* still active */
	line(10, false);
	lapic_w(v, R_EOI, 0);
	CHECK_EQ(take(v), -1);
	CHECK_EQ(ioapic_r(vm, 0x24) & BIT(14), 0);
	/* A remote IRR that hangs goes by turning to edge. */
	line(10, true);
	CHECK_EQ(ioapic_r(vm, 0x24) & BIT(14), BIT(14));
	ioapic_w(vm, 0x24, 0x61 | MASKED);
	ioapic_w(vm, 0x24, 0x61 | MASKED | LEVEL);
	CHECK_EQ(ioapic_r(vm, 0x24) & BIT(14), 0);
	machine_end(vm);
}

static void storms(void)
{
	struct x86_vcpu *v;
	unsigned int n;

	start(1);
	v = cpu(vm, 0);
	out8(vm, 0xa1, 0xff);
	ioapic_entry(vm, 11, 0x71 | LEVEL);
	line(11, true);
	for (n = 0; n < 20000 && take(v) == 0x71; n++)
		lapic_w(v, R_EOI, 0);
	CHECK(n >= 5000 && n < 20000);
	CHECK(vm->ioapic->resend.due);
	vm->ioapic->resend.due = false;
	vm->ioapic->resend.fn(&vm->ioapic->resend.work);
	CHECK_EQ(take(v), 0x71);
	machine_end(vm);
}

static void destinations(void)
{
	unsigned int i;

	start(4);
	out8(vm, 0x21, 0xff);
	for (i = 0; i < 4; i++)
		lapic_w(cpu(vm, i), R_LDR, 1u << (24 + i));
	ioapic_entry(vm, 4, 0x52 | BIT(11) | TO(6));	/* logical, fixed: two of them */
	CHECK_EQ(line(4, true), 2);
	for (i = 0; i < 4; i++)
		CHECK_EQ(take(cpu(vm, i)), i == 1 || i == 2 ? 0x52 : -1);
	line(4, false);
	ioapic_entry(vm, 4, 0x53 | BIT(11) | 1 << 8 | TO(15));	/* lowest priority: one */
	CHECK_EQ(line(4, true), 1);
	line(4, false);
	ioapic_entry(vm, 4, 0x54 | TO(255));		/* everybody */
	CHECK_EQ(line(4, true), 4);
	line(4, false);
	ioapic_entry(vm, 4, 0x55 | TO(9));		/* nobody */
	CHECK_EQ(line(4, true), -1);
	line(4, false);
	ioapic_entry(vm, 4, 4 << 8 | TO(3));		/* NMI */
	CHECK_EQ(line(4, true), 1);
	CHECK_EQ(atomic_read(&cpu(vm, 3)->ev.nmi_queued), 1);
	machine_end(vm);
}

static unsigned int acks;
static void count_ack(struct irq_ack_notifier *n)
{
	CHECK_EQ(spins_held, 0);
	acks++;
}

static void acknowledgement(void)
{
	struct irq_ack_notifier n = { .gsi = 6, .acked = count_ack };
	struct x86_vcpu *v;

	start(1);
	v = cpu(vm, 0);
	acks = 0;
	out8(vm, 0x21, 0xff);
	ioapic_entry(vm, 6, 0x81);		/* an edge is heard only if somebody listens */
	kvm_irq_ack_register(&vm->kvm, &n);
	CHECK(lapic_eoi_unheard(v) == false);
	line(6, true);
	CHECK_EQ(take(v), 0x81);
	CHECK(!lapic_eoi_unheard(v));
	lapic_w(v, R_EOI, 0);
	CHECK_EQ(acks, 1);
	kvm_irq_ack_unregister(&vm->kvm, &n);
	line(6, false);
	line(6, true);
	CHECK_EQ(take(v), 0x81);
	CHECK(lapic_eoi_unheard(v));
	lapic_w(v, R_EOI, 0);
	CHECK_EQ(acks, 1);
	kvm_irq_ack_register(&vm->kvm, &n);
	out8(vm, 0x21, 0);
	line(6, false);
	ioapic_entry(vm, 6, MASKED);
	line(6, true);
	pic_ack(vm);
	out8(vm, 0x20, 0x20);
	CHECK_EQ(acks, 2);
	kvm_irq_ack_unregister(&vm->kvm, &n);
	machine_end(vm);
}

static void messages(void)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000 | 1 << 12, .data = 0x41 };

	start(2);
	CHECK_EQ(irqchip_signal_msi(vm, &msi), 1);
	CHECK_EQ(irqchip_signal_msi(vm, &msi), 0);
	CHECK_EQ(take(cpu(vm, 1)), 0x41);
	msi.address_lo = 0xfee00000 | 7 << 12;
	CHECK_EQ(irqchip_signal_msi(vm, &msi), 0);
	lapic_w(cpu(vm, 0), R_LDR, 0x01000000);
	lapic_w(cpu(vm, 1), R_LDR, 0x02000000);
	msi.address_lo = 0xfee00000 | 3 << 12 | BIT(2);
	CHECK_EQ(irqchip_signal_msi(vm, &msi), 2);	/* CPU 1 has it in service: it waits behind */
	CHECK_EQ(take(cpu(vm, 0)), 0x41);
	msi.address_lo |= BIT(3);		/* one of the two */
	msi.data = 0x42;
	CHECK_EQ(irqchip_signal_msi(vm, &msi), 1);
	msi.flags = 1;
	CHECK_EQ(irqchip_signal_msi(vm, &msi), -EINVAL);
	vm->x2apic_ids = true;
	msi.flags = 0;
	msi.address_hi = 1;
	CHECK_EQ(irqchip_signal_msi(vm, &msi), -EINVAL);
	machine_end(vm);
}

static void images(void)
{
	struct kvm_irqchip a = { .chip_id = KVM_IRQCHIP_IOAPIC }, b = a;

	start(1);
	out8(vm, 0xa1, 0xff);
	ioapic_entry(vm, 10, 0x61 | LEVEL);
	line(10, true);
	CHECK_EQ(irqchip_get(vm, &a), 0);
	CHECK_EQ(a.chip.ioapic.irr, BIT(10));
	CHECK_EQ(a.chip.ioapic.base_address, IOAPIC_BASE);
	CHECK_EQ(a.chip.ioapic.redirtbl[10].bits, 0x61 | LEVEL | BIT(14));
	ioapic_entry(vm, 10, MASKED);
	line(10, false);
	CHECK_EQ(irqchip_set(vm, &a), 0);
	CHECK_EQ(irqchip_get(vm, &b), 0);
	CHECK(!memcmp(&a, &b, sizeof(a)));
	machine_end(vm);
}

static void lint0(void)
{
	struct x86_vcpu *v;

	vm = machine(1);
	v = cpu(vm, 0);
	out8(vm, 0x20, 0x11);
	out8(vm, 0x21, 0x30);
	out8(vm, 0x21, 4);
	out8(vm, 0x21, 1);
	line(1, true);
	CHECK(kicks > 0);
	CHECK(lapic_maybe_pending(v));
	lapic_on(v);
	lapic_w(v, R_LINT0, 0x10700);
	CHECK_EQ(take(v), -1);
	lapic_w(v, R_LINT0, 0x700);
	CHECK_EQ(take(v), 0x31);
	out8(vm, 0x20, 0x20);
	lapic_w(v, R_LINT0, 0x45);		/* fixed: the "virtual wire" some kernels try */
	line(1, false);
	line(1, true);
	CHECK_EQ(take(v), 0x45);
	machine_end(vm);
}

void ioapic_tests(void)
{
	run_test("ioapic: registers", registers);
	run_test("ioapic: edges", edges);
	run_test("ioapic: levels", levels);
	run_test("ioapic: storms", storms);
	run_test("ioapic: destinations", destinations);
	run_test("ioapic: acknowledgement", acknowledgement);
	run_test("ioapic: messages", messages);
	run_test("ioapic: images", images);
	run_test("ioapic: PIC through LINT0", lint0);
}
