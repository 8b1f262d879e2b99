// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pair of 8259A interrupt controllers at 20H and A0H, the second on the first one's input 2, with the edge/level
 * registers of the PIIX at 4D0H and 4D1H.
 *
 * Requests are latched in the IRR: an edge until it is acknowledged, a level while it is active. What a chip wants to
 * interrupt with is the highest request that is not masked and beats what is in service. The second chip's wish
 * is input 2, as long as it lasts; the first one's is the output to LINT0, which processors sample without the lock.
 *
 * pic->lock is taken in any context with IRQs off. Acknowledge notifiers and processors' LINT0 are told after it is
 * released.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/bitops.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <kvm/vcpu.h>
#include "irqchip_priv.h"
#include "lapic_priv.h"

#define PIC_PINS	16
#define CASCADE		2
#define NO_IRQ		8

/* ICW1 to ICW4, OCW2 and OCW3 as in the data sheet */
#define ICW1_START	0x10
#define ICW1_NEEDS_4	0x01
#define ICW4_AEOI	0x02
#define ICW4_SFNM	0x10
#define OCW3_SELECT	0x08
#define OCW3_POLL	0x04
#define OCW3_READ	0x02
#define OCW3_READ_ISR	0x01
#define OCW3_SMM_SET	0x40
#define OCW3_SMM	0x20

struct chip {
	u8 high;		/* inputs as they are */
	u8 irr, imr, isr;
	u8 lowest;		/* input of the lowest priority, plus one: where counting begins */
	u8 base;		/* vector of input 0 */
	u8 elcr, elcr_mask;	/* inputs that are levels */
	u8 init_step;		/* 0: operating, else the ICW that comes next */
	bool read_isr, poll, special_mask, aeoi, rotate_aeoi, sfnm, need_4;
};

struct pic {
	raw_spinlock_t lock;
	struct x86_vm *vm;
	struct chip chip[2];
	u8 sources[PIC_PINS];	/* who holds the input active: bits of IRQ_SOURCE_* */
	bool output;
	u16 acked;		/* pins whose listeners are told after the lock is released */
	bool rose;		/* likewise the processors */
	struct io_device port[3];
};

/* Priority of the highest of a set of inputs: 0 is the highest, NO_IRQ: none. */
static unsigned int priority(const struct chip *c, u8 set)
{
	u16 twice = set | set << 8;

	return set ? __ffs(twice >> c->lowest & 0xff) : NO_IRQ;
}

/* The input a chip interrupts with, or -1. */
static int wish(const struct chip *c, bool master)
{
	unsigned int want = priority(c, c->irr & ~c->imr), have;
	u8 service = c->isr;

	if (want == NO_IRQ || c->init_step)
		return -1;
	if (c->special_mask)
		service &= ~c->imr;
	/* Special fully nested: a higher request of the second chip gets through while one of it is in service. */
	if (master && c->sfnm)
		service &= ~BIT(CASCADE);
	have = priority(c, service);
	return want < have ? (want + c->lowest) & 7 : -1;
}

/* An input moves. true: its request is new. */
static bool drive(struct chip *c, unsigned int in, bool high)
{
	u8 bit = 1 << in;
	bool fresh = false;

	if (c->elcr & bit) {
		fresh = high && !(c->irr & bit);
		c->irr = high ? c->irr | bit : c->irr & ~bit;
	} else if (high && !(c->high & bit)) {
		fresh = !(c->irr & bit);
		c->irr |= bit;
	}
	c->high = high ? c->high | bit : c->high & ~bit;
	return fresh;
}

/* Lock held. */
static void update(struct pic *p)
{
	struct chip *m = &p->chip[0];
	bool out;

	if (wish(&p->chip[1], false) >= 0)
		m->irr |= BIT(CASCADE);
	else
		m->irr &= ~BIT(CASCADE);	/* nobody is there to give a vector */
	out = wish(m, true) >= 0;
	if (out && !p->output)
		p->rose = true;
	WRITE_ONCE(p->output, out);
}

static unsigned long lock(struct pic *p) __acquires(&p->lock)
{
	unsigned long irqs;

	raw_spin_lock_irqsave(&p->lock, irqs);
	return irqs;
}

static void unlock(struct pic *p, unsigned long irqs) __releases(&p->lock)
{
	unsigned long acked = p->acked;
	bool rose = p->rose;
	struct kvm_vcpu *v;
	unsigned int i;

	p->acked = 0;
	p->rose = false;
	raw_spin_unlock_irqrestore(&p->lock, irqs);
	if (likely(!acked && !rose))
		return;
	for_each_set_bit(i, &acked, PIC_PINS)
		kvm_irq_acked(&p->vm->kvm, i / 8 ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER, i & 7);
	if (!rose)
		return;
	kvm_for_each_vcpu(i, v, &p->vm->kvm)
		lapic_lint0_rose(x86_vcpu(v));
}

bool pic_output(struct x86_vm *vm)
{
	return READ_ONCE(vm->pic->output);
}

int pic_set_pin(struct x86_vm *vm, unsigned int pin, int source, bool level)
{
	struct pic *p = vm->pic;
	unsigned long irqs;
	struct chip *c;
	bool fresh;
	int r;

	if (pin == CASCADE)
		return -1;
	pin = array_index_nospec(pin, PIC_PINS);
	c = &p->chip[pin / 8];
	irqs = lock(p);
	p->sources[pin] = level ? p->sources[pin] | 1 << source : p->sources[pin] & ~(1 << source);
	fresh = drive(c, pin & 7, p->sources[pin]);
	if (c->imr & 1 << (pin & 7))
		r = -1;
	else
		r = fresh || !level;
	update(p);
	unlock(p, irqs);
	return r;
}

bool pic_requested(struct x86_vm *vm, unsigned int pin)
{
	return READ_ONCE(vm->pic->chip[pin / 8 & 1].irr) & 1 << (pin & 7);
}

/* Service */

static void end_service(struct pic *p, struct chip *c, u8 bits)
{
	unsigned int chip = c - p->chip;

	p->acked |= (c->isr & bits) << chip * 8;
	c->isr &= ~bits;
}

static void take(struct pic *p, struct chip *c, unsigned int in)
{
	u8 bit = 1 << in;

	c->isr |= bit;
	if (!(c->elcr & bit))
		c->irr &= ~bit;
	if (!c->aeoi)
		return;
	end_service(p, c, bit);
	if (c->rotate_aeoi)
		c->lowest = (in + 1) & 7;
}

/* INTA to a chip: the vector of its wish, or of input 7 if that vanished. */
static u8 inta(struct pic *p, struct chip *c)
{
	int in = wish(c, c == p->chip);

	if (in < 0)
		return c->base + 7;
	take(p, c, in);
	return c == p->chip && in == CASCADE ? inta(p, &p->chip[1]) : c->base + in;
}

int pic_ack(struct x86_vm *vm)
{
	struct pic *p = vm->pic;
	unsigned long irqs = lock(p);
	u8 vector = inta(p, p->chip);

	update(p);
	unlock(p, irqs);
	return vector;
}

/* Command words */

static void icw1(struct pic *p, struct chip *c, u8 val)
{
	u8 kept = c->irr & c->elcr;	/* levels are as active as they were */

	/* Who waits for an acknowledgement will not get another one. */
	p->acked |= (c->isr | (c->irr & ~kept)) << (c - p->chip) * 8;
	c->irr = kept;
	c->imr = c->isr = c->lowest = 0;
	c->read_isr = c->poll = c->special_mask = c->aeoi = c->rotate_aeoi = c->sfnm = false;
	c->need_4 = val & ICW1_NEEDS_4;
	c->init_step = 2;
}

/* The highest of what is in service, for a non-specific EOI. */
static int in_service(const struct chip *c)
{
	unsigned int p = priority(c, c->special_mask ? c->isr & ~c->imr : c->isr);

	return p == NO_IRQ ? -1 : (p + c->lowest) & 7;
}

static void ocw2(struct pic *p, struct chip *c, u8 val)
{
	unsigned int named = val & 7;
	int in;

	switch (val >> 5) {
	case 0:		/* rotate in automatic EOI: off, on */
	case 4:
		c->rotate_aeoi = val >> 7;
		break;
	case 1:		/* non-specific EOI, and with rotation */
	case 5:
		in = in_service(c);
		if (in < 0)
			break;
		end_service(p, c, 1 << in);
		if (val & 0x80)
			c->lowest = (in + 1) & 7;
		break;
	case 3:		/* specific EOI, and with rotation */
	case 7:
		end_service(p, c, 1 << named);
		if (val & 0x80)
			c->lowest = (named + 1) & 7;
		break;
	case 6:		/* set priority */
		c->lowest = (named + 1) & 7;
		break;
	}
}

static void ocw3(struct chip *c, u8 val)
{
	if (val & OCW3_POLL)
		c->poll = true;
	if (val & OCW3_READ)
		c->read_isr = val & OCW3_READ_ISR;
	if (val & OCW3_SMM_SET)
		c->special_mask = val & OCW3_SMM;
}

static void write_command(struct pic *p, struct chip *c, u8 val)
{
	if (val & ICW1_START)
		icw1(p, c, val);
	else if (val & OCW3_SELECT)
		ocw3(c, val);
	else
		ocw2(p, c, val);
}

static void write_data(struct chip *c, u8 val)
{
	switch (c->init_step) {
	case 0:
		c->imr = val;
		break;
	case 2:
		c->base = val & 0xf8;
		c->init_step = 3;
		break;
	case 3:			/* the wiring of the cascade is fixed */
		c->init_step = c->need_4 ? 4 : 0;
		break;
	default:
		c->sfnm = val & ICW4_SFNM;
		c->aeoi = val & ICW4_AEOI;
		c->init_step = 0;
	}
}

static void write_elcr(struct chip *c, u8 val)
{
	c->elcr = val & c->elcr_mask;
	c->irr = (c->irr & ~c->elcr) | (c->high & c->elcr);
}

/* Reading after a poll command acknowledges like INTA and tells the input. */
static u8 poll(struct pic *p, struct chip *c)
{
	int in = wish(c, c == p->chip);

	c->poll = false;
	if (in < 0)
		return 0;
	take(p, c, in);
	return 0x80 | in;
}

/* Ports. Wider accesses fall into bytes, as the bus does it. */

enum { PORT_MASTER, PORT_SLAVE, PORT_ELCR };

/* A byte that only tells. */
static u8 peek(const struct pic *p, unsigned int which, bool odd)
{
	const struct chip *c = &p->chip[which == PORT_ELCR ? odd : which];

	if (which == PORT_ELCR)
		return READ_ONCE(c->elcr);
	if (odd)
		return READ_ONCE(c->imr);
	return READ_ONCE(c->read_isr) ? READ_ONCE(c->isr) : READ_ONCE(c->irr);
}

static bool pic_read(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, void *data)
{
	struct pic *p = x86_vm(vcpu->kvm)->pic;
	unsigned int which = d - p->port;
	unsigned long irqs;
	u8 *out = data;

	for (; len; len--, addr++, out++) {
		if (likely(which == PORT_ELCR || !READ_ONCE(p->chip[which].poll))) {
			*out = peek(p, which, addr & 1);
			continue;
		}
		irqs = lock(p);
		/* unless another processor's read has taken the poll meanwhile */
		if (p->chip[which].poll) {
			*out = poll(p, &p->chip[which]);
			update(p);
		} else {
			*out = peek(p, which, addr & 1);
		}
		unlock(p, irqs);
	}
	return true;
}

static bool pic_write(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, const void *data)
{
	struct pic *p = x86_vm(vcpu->kvm)->pic;
	unsigned int which = d - p->port;
	unsigned long irqs = lock(p);
	const u8 *in = data;
	int i;

	for (i = 0; i < len; i++) {
		bool odd = (addr + i) & 1;

		if (which == PORT_ELCR)
			write_elcr(&p->chip[odd], in[i]);
		else if (odd)
			write_data(&p->chip[which], in[i]);
		else
			write_command(p, &p->chip[which], in[i]);
	}
	update(p);
	unlock(p, irqs);
	return true;
}

static const struct io_device_ops pic_ops = { .read = pic_read, .write = pic_write };

/* The ABI's image */

void pic_get_state(struct x86_vm *vm, unsigned int chip, struct kvm_pic_state *s)
{
	struct pic *p = vm->pic;
	const struct chip *c = &p->chip[chip & 1];
	unsigned long irqs = lock(p);

	memset(s, 0, sizeof(*s));
	s->last_irr = c->high;
	s->irr = c->irr;
	s->imr = c->imr;
	s->isr = c->isr;
	s->priority_add = c->lowest;
	s->irq_base = c->base;
	s->read_reg_select = c->read_isr;
	s->poll = c->poll;
	s->special_mask = c->special_mask;
	s->init_state = c->init_step ? c->init_step - 1 : 0;
	s->auto_eoi = c->aeoi;
	s->rotate_on_auto_eoi = c->rotate_aeoi;
	s->special_fully_nested_mode = c->sfnm;
	s->init4 = c->need_4;
	s->elcr = c->elcr;
	s->elcr_mask = c->elcr_mask;
	unlock(p, irqs);
}

void pic_set_state(struct x86_vm *vm, unsigned int chip, const struct kvm_pic_state *s)
{
	struct pic *p = vm->pic;
	struct chip *c = &p->chip[chip & 1];
	unsigned long irqs = lock(p);
	unsigned int i;

	c->high = s->last_irr;
	c->irr = s->irr;
	c->imr = s->imr;
	c->isr = s->isr;
	c->lowest = s->priority_add & 7;
	c->base = s->irq_base & 0xf8;
	c->read_isr = s->read_reg_select;
	c->poll = s->poll;
	c->special_mask = s->special_mask;
	c->init_step = s->init_state ? min(s->init_state, 3) + 1 : 0;
	c->aeoi = s->auto_eoi;
	c->rotate_aeoi = s->rotate_on_auto_eoi;
	c->sfnm = s->special_fully_nested_mode;
	c->need_4 = s->init4;
	c->elcr = s->elcr & c->elcr_mask;	/* the mask is wiring */
	for (i = 0; i < 8; i++) {
		u8 *sources = &p->sources[(chip & 1) * 8 + i];

		*sources &= ~(1 << IRQ_SOURCE_USER);
		if (c->high & 1 << i)
			*sources |= 1 << IRQ_SOURCE_USER;
	}
	update(p);
	unlock(p, irqs);
}

/* Lifetime */

static const u16 windows[] = { [PORT_MASTER] = 0x20, [PORT_SLAVE] = 0xa0, [PORT_ELCR] = 0x4d0 };

static void remove_ports(struct pic *p, unsigned int n)
{
	while (n--)
		io_bus_remove(&p->vm->kvm, BUS_PIO, &p->port[n]);
}

int pic_create(struct x86_vm *vm)
{
	struct pic *p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	unsigned int i;
	int err;

	if (!p)
		return -ENOMEM;
	raw_spin_lock_init(&p->lock);
	p->vm = vm;
	/* Timer, keyboard, cascade, and clock and coprocessor on the second chip are always edges. */
	p->chip[0].elcr_mask = 0xf8;
	p->chip[1].elcr_mask = 0xde;
	vm->pic = p;
	for (i = 0; i < ARRAY_SIZE(windows); i++) {
		p->port[i].ops = &pic_ops;
		err = io_bus_add(&vm->kvm, BUS_PIO, windows[i], 2, &p->port[i]);
		if (err) {
			remove_ports(p, i);
			vm->pic = NULL;
			kfree(p);
			return err;
		}
	}
	return 0;
}

void pic_destroy(struct x86_vm *vm)
{
	struct pic *p = vm->pic;

	if (!p)
		return;
	remove_ports(p, ARRAY_SIZE(windows));
	vm->pic = NULL;
	kfree(p);
}
