// SPDX-License-Identifier: GPL-2.0-only
/*
 * The I/O APIC (82093AA, version 11H: 24 pins, no EOI register): pins to interrupt messages.
 *
 * An input is active while any source holds it. An edge entry sends when its input becomes active; a level entry
 * sends while it is active and remote IRR is clear, sets remote IRR when a LAPIC took the message, and looks again when
 * the EOI of the vector clears it. What arrives at a masked pin is lost as an edge and remembered as a level.
 *
 * ioapic->lock is taken in any context with IRQs off. Acknowledge notifiers are called without it, since they
 * drive pins. A guest that leaves a level active without serving it would interrupt itself for ever: after many EOIs
 * in a row the next message is left to a delayed work.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/nospec.h>
#include <linux/slab.h>
#include "irqchip_priv.h"
#include "lapic_priv.h"

/* Redirection entry (82093AA, 3.2.4) */
#define E_LOGICAL	BIT_ULL(11)
#define E_STATUS	BIT_ULL(12)
#define E_REMOTE_IRR	BIT_ULL(14)
#define E_LEVEL		BIT_ULL(15)
#define E_MASKED	BIT_ULL(16)
#define E_EXT_DEST	GENMASK_ULL(55, 49)
#define E_WRITABLE	(GENMASK_ULL(63, 56) | E_EXT_DEST | (GENMASK_ULL(16, 0) & ~(E_STATUS | E_REMOTE_IRR)))

#define STORM_LIMIT	10000
#define STORM_PAUSE	(HZ / 100)
#define VERSION_REG	(0x11 | (IOAPIC_PINS - 1) << 16)

static u32 entry_dest(const struct ioapic *io, u64 e)
{
	u32 dest = e >> 56;

	if (io->vm->ext_dest_id)
		dest |= (e >> 49 & 0x7f) << 8;
	return dest;
}

/* Sends what the pin's entry says. Lock held. Result as irq_route.set's. */
static int send(struct ioapic *io, unsigned int pin)
{
	u64 e = io->redir[pin];
	struct apic_msg m = {
		.dest = entry_dest(io, e), .vector = e, .mode = e >> 8 & 7, .logical = e & E_LOGICAL,
		.level = e & E_LEVEL, .assert = true,
	};
	int r;

	if (e & E_MASKED)
		return -1;
	r = apic_deliver(io->vm, NULL, &m);
	if (r >= 0 && m.level)
		io->remote_irr |= BIT(pin);
	return r;
}

/* A level that waits goes out. Lock held. */
static void send_level(struct ioapic *io, unsigned int pin)
{
	if (io->redir[pin] & E_LEVEL && io->high & ~io->remote_irr & BIT(pin))
		send(io, pin);
}

int ioapic_set_pin(struct x86_vm *vm, unsigned int pin, int source, bool level)
{
	struct ioapic *io = vm->ioapic;
	unsigned long irqs;
	bool was;
	int r = 1;

	pin = array_index_nospec(pin, IOAPIC_PINS);
	raw_spin_lock_irqsave(&io->lock, irqs);
	was = io->high & BIT(pin);
	if (level)
		io->sources[pin] |= 1 << source;
	else
		io->sources[pin] &= ~(1 << source);
	if (!io->sources[pin]) {
		io->high &= ~BIT(pin);
		io->storm[pin] = 0;
	} else {
		io->high |= BIT(pin);
		if (io->redir[pin] & E_LEVEL)
			r = io->remote_irr & BIT(pin) ? 0 : send(io, pin);
		else
			r = was ? 0 : send(io, pin);
	}
	raw_spin_unlock_irqrestore(&io->lock, irqs);
	return r;
}

/* End of interrupt */

/* The pin's interrupt was served. Lock held. */
static void after_eoi(struct ioapic *io, unsigned int pin)
{
	io->remote_irr &= ~BIT(pin);
	if (!(io->high & BIT(pin)) || !(io->redir[pin] & E_LEVEL)) {
		io->storm[pin] = 0;
		return;
	}
	if (++io->storm[pin] < STORM_LIMIT) {
		send_level(io, pin);
		return;
	}
	io->storm[pin] = 0;
	schedule_delayed_work(&io->resend, STORM_PAUSE);
}

static void resend_work(struct work_struct *work)
{
	struct ioapic *io = container_of(work, struct ioapic, resend.work);
	unsigned int pin;

	raw_spin_lock_irq(&io->lock);
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		send_level(io, pin);
	raw_spin_unlock_irq(&io->lock);
}

void ioapic_eoi(struct x86_vm *vm, u8 vector)
{
	struct ioapic *io = vm->ioapic;
	unsigned long irqs, waiting, pins = 0;
	unsigned int pin;

	if (!io)
		return;
	raw_spin_lock_irqsave(&io->lock, irqs);
	waiting = io->remote_irr | io->listened;
	for_each_set_bit(pin, &waiting, IOAPIC_PINS)
		if ((u8)io->redir[pin] == vector && (io->remote_irr & BIT(pin) || !(io->redir[pin] & E_LEVEL)))
			pins |= BIT(pin);
	raw_spin_unlock_irqrestore(&io->lock, irqs);

	for_each_set_bit(pin, &pins, IOAPIC_PINS)
		kvm_irq_acked(&vm->kvm, KVM_IRQCHIP_IOAPIC, pin);

	raw_spin_lock_irqsave(&io->lock, irqs);
	for_each_set_bit(pin, &pins, IOAPIC_PINS)
		after_eoi(io, pin);
	raw_spin_unlock_irqrestore(&io->lock, irqs);
}

/* Listeners and hardware's EOI exits */

/* Edge vectors that somebody listens to. Lock held. */
static void update_heard(struct ioapic *io)
{
	unsigned long listened = io->listened, heard[4] = {};
	unsigned int pin, i;

	for_each_set_bit(pin, &listened, IOAPIC_PINS)
		if (!(io->redir[pin] & (E_MASKED | E_LEVEL)))
			__set_bit((u8)io->redir[pin], heard);
	for (i = 0; i < ARRAY_SIZE(heard); i++)
		WRITE_ONCE(io->heard[i], heard[i]);
}

/* With APIC virtualisation hardware does EOIs by itself but for vectors it is told. */
static void levels_changed(struct x86_vm *vm)
{
	if (vendor_caps.apicv)
		kvm_request_all(&vm->kvm, REQ_LOAD_LEVELS);
}

void ioapic_listeners_changed(struct x86_vm *vm)
{
	struct ioapic *io = vm->ioapic;
	unsigned int pin;

	raw_spin_lock_irq(&io->lock);	/* round the question, so that of two changes the later answer stays */
	io->listened = 0;
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		if (kvm_irq_has_ack_notifier(&vm->kvm, KVM_IRQCHIP_IOAPIC, pin))
			io->listened |= BIT(pin);
	update_heard(io);
	raw_spin_unlock_irq(&io->lock);
	levels_changed(vm);
}

/* A route of a split irqchip: messages of user space's IOAPIC. */
static void scan_route(const struct irq_route *r, void *data)
{
	struct { struct x86_vcpu *v; unsigned long *levels; } *to = data;
	struct x86_vm *vm = vm_of(to->v);
	struct apic_msg m;

	if (r->type != KVM_IRQ_ROUTING_MSI || r->gsi >= vm->split_pins)
		return;
	msi_to_msg(vm, r->msi.addr, r->msi.data, &m);
	if (m.level && apic_dest_matches(to->v, m.dest, m.logical))
		__set_bit(m.vector, to->levels);
}

void ioapic_scan_levels(struct x86_vcpu *v, unsigned long *levels)
{
	struct { struct x86_vcpu *v; unsigned long *levels; } to = { v, levels };
	struct ioapic *io = vm_of(v)->ioapic;
	unsigned int pin;

	memset(levels, 0, 256 / 8);
	if (!io) {
		kvm_for_each_route(v->vcpu.kvm, scan_route, &to);
		return;
	}
	raw_spin_lock_irq(&io->lock);
	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		u64 e = io->redir[pin];

		if (e & E_MASKED || !(e & E_LEVEL || io->listened & BIT(pin)))
			continue;
		if (apic_dest_matches(v, entry_dest(io, e), e & E_LOGICAL))
			__set_bit((u8)e, levels);
	}
	raw_spin_unlock_irq(&io->lock);
}

/* Registers */

/* Lock held. */
static void write_entry(struct ioapic *io, unsigned int pin, bool high, u32 val)
{
	u64 e = io->redir[pin];

	if (high)
		e = (u32)e | (u64)val << 32;
	else
		e = (e & ~0xffffffffull) | val;
	io->redir[pin] = e & E_WRITABLE;
	/* Turning an entry to edge is how software gets rid of a remote IRR that hangs. */
	if (!(e & E_LEVEL))
		io->remote_irr &= ~BIT(pin);
	io->storm[pin] = 0;
	update_heard(io);
	send_level(io, pin);
}

static u64 read_entry(const struct ioapic *io, unsigned int pin)
{
	return io->redir[pin] | (io->remote_irr & BIT(pin) ? E_REMOTE_IRR : 0);
}

static u32 read_window(const struct ioapic *io)
{
	unsigned int pin = (io->select - 0x10) >> 1;

	switch (io->select) {
	case 0:
	case 2:
		return io->id << 24;
	case 1:
		return VERSION_REG;
	}
	if (io->select < 0x10 || pin >= IOAPIC_PINS)
		return ~0u;
	return read_entry(io, array_index_nospec(pin, IOAPIC_PINS)) >> (io->select & 1) * 32;
}

static bool write_window(struct ioapic *io, u32 val)
{
	unsigned int pin = (io->select - 0x10) >> 1;

	if (io->select == 0)
		io->id = val >> 24 & 15;
	if (io->select < 0x10 || pin >= IOAPIC_PINS)
		return false;
	write_entry(io, array_index_nospec(pin, IOAPIC_PINS), io->select & 1, val);
	return true;
}

static bool ioapic_read(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, void *data)
{
	struct ioapic *io = container_of(d, struct ioapic, dev);
	unsigned int off = addr & (IOAPIC_SIZE - 1);
	u32 val = 0;

	raw_spin_lock_irq(&io->lock);
	if (off == 0)
		val = io->select;
	else if (off == 0x10)
		val = read_window(io);
	raw_spin_unlock_irq(&io->lock);
	memset(data, 0, len);
	memcpy(data, &val, min_t(int, len, sizeof(val)));
	return true;
}

static bool ioapic_write(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, const void *data)
{
	struct ioapic *io = container_of(d, struct ioapic, dev);
	unsigned int off = addr & (IOAPIC_SIZE - 1);
	bool entry = false;
	u32 val = 0;

	memcpy(&val, data, min_t(int, len, sizeof(val)));
	raw_spin_lock_irq(&io->lock);
	if (off == 0)
		io->select = val;
	else if (off == 0x10 && len >= 4)
		entry = write_window(io, val);
	raw_spin_unlock_irq(&io->lock);
	if (entry)
		levels_changed(io->vm);
	return true;
}

static const struct io_device_ops ioapic_ops = { .read = ioapic_read, .write = ioapic_write };

/* The ABI's image. Its irr has the levels that are active: an edge is sent when it comes or lost. */

void ioapic_get_state(struct x86_vm *vm, struct kvm_ioapic_state *s)
{
	struct ioapic *io = vm->ioapic;
	unsigned int pin;

	memset(s, 0, sizeof(*s));
	raw_spin_lock_irq(&io->lock);
	s->base_address = IOAPIC_BASE;
	s->ioregsel = io->select;
	s->id = io->id;
	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		s->redirtbl[pin].bits = read_entry(io, pin);
		if (io->redir[pin] & E_LEVEL)
			s->irr |= io->high & BIT(pin);
	}
	raw_spin_unlock_irq(&io->lock);
}

void ioapic_set_state(struct x86_vm *vm, const struct kvm_ioapic_state *s)
{
	struct ioapic *io = vm->ioapic;
	unsigned int pin;

	raw_spin_lock_irq(&io->lock);
	io->select = s->ioregsel;
	io->id = s->id & 15;
	io->remote_irr = 0;
	io->high = 0;
	memset(io->storm, 0, sizeof(io->storm));
	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		u64 e = s->redirtbl[pin].bits;

		io->redir[pin] = e & E_WRITABLE;
		if (e & E_REMOTE_IRR && e & E_LEVEL)
			io->remote_irr |= BIT(pin);
		io->sources[pin] &= ~(1 << IRQ_SOURCE_USER);
		if (s->irr & BIT(pin))
			io->sources[pin] |= 1 << IRQ_SOURCE_USER;
		if (io->sources[pin])
			io->high |= BIT(pin);
	}
	update_heard(io);
	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		if (io->redir[pin] & E_LEVEL)
			send_level(io, pin);
		else if (s->irr & BIT(pin))
			send(io, pin);	/* others' images have edges that were not sent yet */
	}
	raw_spin_unlock_irq(&io->lock);
	levels_changed(vm);
}

int ioapic_create(struct x86_vm *vm)
{
	struct ioapic *io = kzalloc(sizeof(*io), GFP_KERNEL_ACCOUNT);
	unsigned int pin;
	int err;

	if (!io)
		return -ENOMEM;
	raw_spin_lock_init(&io->lock);
	INIT_DELAYED_WORK(&io->resend, resend_work);
	io->vm = vm;
	io->dev.ops = &ioapic_ops;
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		io->redir[pin] = E_MASKED;
	err = io_bus_add(&vm->kvm, BUS_MMIO, IOAPIC_BASE, IOAPIC_SIZE, &io->dev);
	if (err) {
		kfree(io);
		return err;
	}
	vm->ioapic = io;
	return 0;
}

void ioapic_stop(struct x86_vm *vm)
{
	if (vm->ioapic)
		cancel_delayed_work_sync(&vm->ioapic->resend);
}

void ioapic_destroy(struct x86_vm *vm)
{
	struct ioapic *io = vm->ioapic;

	if (!io)
		return;
	io_bus_remove(&vm->kvm, BUS_MMIO, &io->dev);
	ioapic_stop(vm);
	vm->ioapic = NULL;
	kfree(io);
}
