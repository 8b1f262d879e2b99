// SPDX-License-Identifier: GPL-2.0-only
/* The 8259A pair against its data sheet. */
#include "irqchip_priv.h"
#include "machine.h"

static struct x86_vm *vm;

static void chip_init(u16 port, u8 base, u8 icw4)
{
	out8(vm, port, 0x11);
	out8(vm, port + 1, base);
	out8(vm, port + 1, port == 0x20 ? 4 : 2);
	out8(vm, port + 1, icw4);
	out8(vm, port + 1, 0);
}

static void start(u8 icw4)
{
	vm = machine(1);
	run_as(cpu(vm, 0));
	chip_init(0x20, 0x30, icw4);
	chip_init(0xa0, 0x38, icw4);
}

static int up(unsigned int pin)
{
	return pic_set_pin(vm, pin, IRQ_SOURCE_USER, true);
}

static int down(unsigned int pin)
{
	return pic_set_pin(vm, pin, IRQ_SOURCE_USER, false);
}

static void pulse(unsigned int pin)
{
	up(pin);
	down(pin);
}

static u8 isr(u16 port)
{
	out8(vm, port, 0x0b);
	return in8(vm, port);
}

static u8 irr(u16 port)
{
	out8(vm, port, 0x0a);
	return in8(vm, port);
}

static void edges_and_eoi(void)
{
	start(1);
	CHECK(!pic_output(vm));
	CHECK_EQ(up(3), 1);
	CHECK(pic_output(vm));
	CHECK_EQ(up(3), 0);			/* still the same edge */
	CHECK_EQ(irr(0x20), 8);
	CHECK_EQ(pic_ack(vm), 0x33);
	CHECK_EQ(irr(0x20), 0);
	CHECK_EQ(isr(0x20), 8);
	CHECK(!pic_output(vm));
	down(3);
	CHECK_EQ(up(3), 1);			/* waits behind itself */
	CHECK(!pic_output(vm));
	out8(vm, 0x20, 0x20);
	CHECK(pic_output(vm));
	CHECK_EQ(take(cpu(vm, 0)), 0x33);	/* LINT0 of the boot CPU is ExtINT after reset */
	out8(vm, 0x20, 0x63);			/* specific */
	CHECK_EQ(isr(0x20), 0);
	machine_end(vm);
}

static void nesting(void)
{
	start(1);
	pulse(5);
	CHECK_EQ(pic_ack(vm), 0x35);
	pulse(6);
	CHECK(!pic_output(vm));
	pulse(1);
	CHECK(pic_output(vm));
	CHECK_EQ(pic_ack(vm), 0x31);
	CHECK_EQ(isr(0x20), 0x22);
	out8(vm, 0x20, 0x20);			/* non-specific: the highest */
	CHECK_EQ(isr(0x20), 0x20);
	CHECK(!pic_output(vm));
	out8(vm, 0x20, 0x20);
	CHECK_EQ(pic_ack(vm), 0x36);
	machine_end(vm);
}

static void masks(void)
{
	start(1);
	out8(vm, 0x21, 0x10);
	CHECK_EQ(in8(vm, 0x21), 0x10);
	CHECK_EQ(up(4), -1);
	CHECK(!pic_output(vm));
	CHECK_EQ(irr(0x20), 0x10);		/* latched nevertheless */
	out8(vm, 0x21, 0);
	CHECK(pic_output(vm));
	/* Special mask mode lets the lower ones through while a masked one is in service. */
	CHECK_EQ(pic_ack(vm), 0x34);
	pulse(6);
	CHECK(!pic_output(vm));
	out8(vm, 0x21, 0x10);
	out8(vm, 0x20, 0x68);
	CHECK(pic_output(vm));
	CHECK_EQ(pic_ack(vm), 0x36);
	out8(vm, 0x20, 0x48);
	machine_end(vm);
}

static void cascade(void)
{
	start(1);
	CHECK_EQ(up(2), -1);			/* nothing but the second chip is there */
	CHECK_EQ(up(12), 1);
	CHECK_EQ(irr(0x20), 4);
	CHECK_EQ(pic_ack(vm), 0x3c);
	CHECK_EQ(isr(0x20), 4);
	CHECK_EQ(isr(0xa0), 0x10);
	pulse(9);				/* higher on the second chip: not while input 2 is in service */
	CHECK(!pic_output(vm));
	out8(vm, 0xa0, 0x20);
	CHECK(!pic_output(vm));
	out8(vm, 0x20, 0x20);
	CHECK_EQ(pic_ack(vm), 0x39);
	machine_end(vm);

	start(0x11);				/* special fully nested: it is */
	pulse(12);
	CHECK_EQ(pic_ack(vm), 0x3c);
	pulse(9);
	CHECK(pic_output(vm));
	CHECK_EQ(pic_ack(vm), 0x39);
	machine_end(vm);
}

static void spurious(void)
{
	start(1);
	CHECK_EQ(pic_ack(vm), 0x37);
	CHECK_EQ(isr(0x20), 0);
	up(10);
	out8(vm, 0xa1, 0xff);
	CHECK(!pic_output(vm));
	CHECK_EQ(pic_ack(vm), 0x37);
	machine_end(vm);
}

static void automatic_eoi_and_rotation(void)
{
	start(3);
	out8(vm, 0x20, 0x80);			/* rotate in AEOI */
	pulse(0);
	CHECK_EQ(pic_ack(vm), 0x30);
	CHECK_EQ(isr(0x20), 0);
	up(0);
	up(1);
	CHECK_EQ(pic_ack(vm), 0x31);		/* 0 is the lowest now */
	CHECK_EQ(pic_ack(vm), 0x30);
	machine_end(vm);

	start(1);
	out8(vm, 0x20, 0xc4);			/* 4 is the lowest */
	pulse(4);
	pulse(5);
	CHECK_EQ(pic_ack(vm), 0x35);
	out8(vm, 0x20, 0xa0);			/* EOI, and 5 becomes the lowest */
	pulse(5);
	CHECK_EQ(pic_ack(vm), 0x34);
	machine_end(vm);
}

static void levels(void)
{
	start(1);
	out8(vm, 0x4d0, 0xff);
	CHECK_EQ(in8(vm, 0x4d0), 0xf8);
	CHECK_EQ(up(5), 1);
	CHECK_EQ(pic_ack(vm), 0x35);
	CHECK_EQ(irr(0x20), 0x20);		/* as long as it lasts */
	out8(vm, 0x20, 0x20);
	CHECK(pic_output(vm));
	down(5);
	CHECK(!pic_output(vm));
	/* Two drivers of one line. */
	up(5);
	pic_set_pin(vm, 5, IRQ_SOURCE_RESAMPLE, true);
	down(5);
	CHECK(pic_output(vm));
	pic_set_pin(vm, 5, IRQ_SOURCE_RESAMPLE, false);
	CHECK(!pic_output(vm));
	machine_end(vm);
}

static void polling(void)
{
	start(1);
	out8(vm, 0x20, 0x0c);
	CHECK_EQ(in8(vm, 0x20), 0);
	pulse(6);
	out8(vm, 0x20, 0x0c);
	CHECK_EQ(in8(vm, 0x20), 0x86);
	CHECK_EQ(isr(0x20), 0x40);
	machine_end(vm);
}

static void images(void)
{
	struct kvm_irqchip a = { .chip_id = 0 }, b = { .chip_id = 0 };

	start(1);
	out8(vm, 0x21, 0x55);
	up(3);
	CHECK_EQ(irqchip_get(vm, &a), 0);
	CHECK_EQ(a.chip.pic.imr, 0x55);
	CHECK_EQ(a.chip.pic.irq_base, 0x30);
	CHECK_EQ(a.chip.pic.irr, 8);
	chip_init(0x20, 0x70, 1);
	down(3);
	CHECK_EQ(irqchip_set(vm, &a), 0);
	CHECK_EQ(irqchip_get(vm, &b), 0);
	CHECK(!memcmp(&a, &b, sizeof(a)));
	CHECK_EQ(pic_ack(vm), 0x33);
	a.chip_id = 3;
	CHECK_EQ(irqchip_get(vm, &a), -EINVAL);
	machine_end(vm);
}

void pic_tests(void)
{
	run_test("pic: edges and EOI", edges_and_eoi);
	run_test("pic: nesting", nesting);
	run_test("pic: masks", masks);
	run_test("pic: cascade", cascade);
	run_test("pic: spurious", spurious);
	run_test("pic: automatic EOI and rotation", automatic_eoi_and_rotation);
	run_test("pic: levels", levels);
	run_test("pic: polling", polling);
	run_test("pic: images", images);
}
