// SPDX-License-Identifier: GPL-2.0-only
/* The I/O bus, coalesced writes and the routing table. */
#include <kvm/iobus.h>
#include "machine.h"

struct probe {
	struct io_device dev;
	bool answers;
	unsigned int asked, freed;
	u64 addr;
};

static bool probe_write(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, const void *data)
{
	struct probe *p = container_of(d, struct probe, dev);

	p->asked++;
	p->addr = addr;
	return p->answers;
}

static void probe_free(struct io_device *d)
{
	container_of(d, struct probe, dev)->freed++;
}

static const struct io_device_ops probe_ops = { .write = probe_write, .free = probe_free };

static struct x86_vm *vm;

static int add(struct probe *p, u64 addr, u32 len)
{
	int err;

	p->dev.ops = &probe_ops;
	mutex_lock(&vm->kvm.slots_lock);
	err = io_bus_add(&vm->kvm, BUS_MMIO, addr, len, &p->dev);
	mutex_unlock(&vm->kvm.slots_lock);
	return err;
}

static int del(struct probe *p)
{
	int err;

	mutex_lock(&vm->kvm.slots_lock);
	err = io_bus_remove(&vm->kvm, BUS_MMIO, &p->dev);
	mutex_unlock(&vm->kvm.slots_lock);
	return err;
}

static bool put(u64 addr, int len)
{
	u64 data = 0x1122334455667788ull;

	return io_bus_write(vm->kvm.vcpu[0], BUS_MMIO, addr, len, &data);
}

static void overlap(void)
{
	struct probe wide = { .answers = true }, narrow = { .answers = true }, any = { .answers = false };

	vm = machine(1);
	CHECK_EQ(add(&wide, 0x1000, 0x1000), 0);
	CHECK_EQ(add(&narrow, 0x1800, 4), 0);
	CHECK_EQ(add(&any, 0x1800, 0), 0);
	CHECK_EQ(add(&wide, ~0ull, 2), -EINVAL);
	CHECK(put(0x1000, 1) && wide.asked == 1);
	CHECK(put(0x1ff8, 8) && wide.asked == 2);
	CHECK(!put(0x1ffc, 8));
	CHECK(!put(0x2000, 1));
	CHECK(!put(0xfff, 1));
	CHECK(put(0x1800, 4) && narrow.asked == 1 && any.asked == 1 && wide.asked == 2);
	CHECK(put(0x1800, 8) && narrow.asked == 1 && any.asked == 2 && wide.asked == 3);
	CHECK(put(0x1802, 2) && narrow.asked == 2);
	CHECK(put(0x1900, 2) && wide.asked == 4);
	CHECK_EQ(del(&narrow), 0);
	CHECK_EQ(del(&narrow), -ENOENT);
	CHECK(put(0x1800, 4) && wide.asked == 5 && narrow.asked == 2);
	/* Without memory it is out of use all the same, and gone with the next change. */
	fail_alloc_after = 0;
	CHECK_EQ(del(&any), 0);
	fail_alloc_after = -1;
	CHECK(put(0x1800, 4) && any.asked == 3 && wide.asked == 6);
	CHECK_EQ(del(&any), -ENOENT);
	CHECK_EQ(add(&narrow, 0x1800, 4), 0);
	CHECK(put(0x1800, 4) && narrow.asked == 3);
	CHECK_EQ(del(&narrow), 0);
	machine_end(vm);
	CHECK_EQ(wide.freed, 1);
	CHECK_EQ(narrow.freed + any.freed, 0);
}

static long zone(long (*fn)(struct kvm_call *c), u64 addr, u32 size, u32 pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size, .pio = pio };
	struct kvm_call c = { .kvm = &vm->kvm, .arg = &z };
	long ret;

	mutex_lock(&vm->kvm.slots_lock);
	ret = fn(&c);
	mutex_unlock(&vm->kvm.slots_lock);
	return ret;
}

static void coalescing(void)
{
	struct kvm_coalesced_mmio_ring *ring;
	unsigned int i;

	vm = machine(1);
	ring = vm->kvm.coalesced.ring;
	CHECK_EQ(zone(vm_coalesced_register, 0xa0000, 0, 0), -EINVAL);
	CHECK_EQ(zone(vm_coalesced_register, 0xa0000, 16, 2), -EINVAL);
	CHECK_EQ(zone(vm_coalesced_register, 0xa0000, 0x20000, 0), 0);
	CHECK(put(0xa0010, 4));
	CHECK_EQ(ring->last, 1);
	CHECK_EQ(ring->coalesced_mmio[0].phys_addr, 0xa0010);
	CHECK_EQ(ring->coalesced_mmio[0].len, 4);
	CHECK(!memcmp(ring->coalesced_mmio[0].data, "\x88\x77\x66\x55", 4));
	for (i = 0; put(0xa0020, 1); i++)
		;
	CHECK_EQ(i, KVM_COALESCED_MMIO_MAX - 2);
	ring->first = ring->last;
	CHECK(put(0xa0020, 1));
	ring->last = 0xfffffff0;		/* the VMM's own fault, and only its own */
	CHECK(!put(0xa0020, 1));
	CHECK_EQ(zone(vm_coalesced_unregister, 0xa0000, 0x20000, 1), 0);
	ring->last = ring->first = 0;
	CHECK(put(0xa0020, 1));
	CHECK_EQ(zone(vm_coalesced_unregister, 0xa0000, 0x20000, 0), 0);
	CHECK(!put(0xa0020, 1));
	CHECK_EQ(zone(vm_coalesced_register, 0xa0000, 0x20000, 0), 0);
	machine_end(vm);
}

static int routes(const struct kvm_irq_routing_entry *e, unsigned int n)
{
	int err;

	mutex_lock(&vm->kvm.lock);
	err = kvm_set_routing(&vm->kvm, e, n);
	mutex_unlock(&vm->kvm.lock);
	return err;
}

#define PIN(g, c, p)	{ .gsi = g, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { .irqchip = c, .pin = p } }
#define MSG(g, to, v)	{ .gsi = g, .type = KVM_IRQ_ROUTING_MSI, \
			  .u.msi = { .address_lo = 0xfee00000 | (to) << 12, .data = v } }

static void routing(void)
{
	struct kvm_irq_routing_entry ok[] = { MSG(4095, 0, 0x55), PIN(0, 2, 2), PIN(0, 0, 0), MSG(30, 0, 0x56) };
	struct kvm_irq_routing_entry bad[][2] = {
		{ PIN(1, 2, 24) }, { PIN(1, 0, 8) }, { PIN(1, 3, 0) }, { MSG(4096, 0, 1) }, { { .gsi = 1, .type = 9 } },
		{ PIN(1, 2, 3), PIN(1, 2, 4) }, { MSG(1, 0, 1), PIN(1, 2, 1) }, { MSG(1, 0, 1), MSG(1, 0, 2) },
		{ { .gsi = 1, .type = KVM_IRQ_ROUTING_MSI, .flags = KVM_MSI_VALID_DEVID } },
	};
	struct x86_vcpu *v;
	unsigned int i;

	vm = machine(1);
	v = cpu(vm, 0);
	lapic_on(v);
	CHECK_EQ(kvm_pin_to_gsi(&vm->kvm, KVM_IRQCHIP_IOAPIC, 23), 23);
	CHECK_EQ(kvm_pin_to_gsi(&vm->kvm, KVM_IRQCHIP_PIC_SLAVE, 0), 8);
	CHECK_EQ(kvm_pin_to_gsi(&vm->kvm, 3, 0), -1);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(routes(bad[i], 2 - !bad[i][1].type), -EINVAL);
	CHECK_EQ(kvm_pin_to_gsi(&vm->kvm, KVM_IRQCHIP_IOAPIC, 23), 23);	/* nothing changed */
	for (i = 0; i < 2; i++) {
		fail_alloc_after = i;
		CHECK_EQ(routes(ok, 4), -ENOMEM);
	}
	fail_alloc_after = -1;
	CHECK_EQ(routes(ok, 4), 0);
	CHECK_EQ(kvm_pin_to_gsi(&vm->kvm, KVM_IRQCHIP_IOAPIC, 2), 0);
	CHECK_EQ(kvm_pin_to_gsi(&vm->kvm, KVM_IRQCHIP_IOAPIC, 3), -1);
	CHECK_EQ(kvm_set_irq(&vm->kvm, 0, 4095, true), 1);
	CHECK_EQ(kvm_set_irq(&vm->kvm, 0, 4095, false), -1);
	CHECK_EQ(take(v), 0x55);
	lapic_eoi(v);
	CHECK_EQ(kvm_set_irq(&vm->kvm, 0, 4096, true), -1);
	CHECK_EQ(kvm_set_irq(&vm->kvm, 0, 29, true), -1);
	CHECK_EQ(kvm_send_if_msi(&vm->kvm, 0, 30), true);
	CHECK_EQ(take(v), 0x56);
	CHECK_EQ(kvm_send_if_msi(&vm->kvm, 0, 0), false);
	CHECK_EQ(kvm_send_if_msi(&vm->kvm, 0, 77777), false);
	CHECK_EQ(routes(NULL, 0), 0);
	CHECK_EQ(kvm_set_irq(&vm->kvm, 0, 0, true), -1);
	machine_end(vm);
}

static void creation_without_memory(void)
{
	struct kvm_call c;
	long err, n;

	/* Fails at every allocation in turn, and leaves nothing. */
	vm = machine(0);
	mutex_lock(&vm->kvm.slots_lock);
	mutex_unlock(&vm->kvm.slots_lock);
	c = (struct kvm_call){ .kvm = &vm->kvm };
	mutex_lock(&vm->kvm.lock);
	mutex_lock(&vm->kvm.slots_lock);
	CHECK_EQ(vm_create_irqchip(&c), -EEXIST);
	mutex_unlock(&vm->kvm.slots_lock);
	mutex_unlock(&vm->kvm.lock);
	irqchip_destroy(vm);
	kvm_free_routing(&vm->kvm);
	vm->irqchip = IRQCHIP_NONE;
	for (n = 0, err = -ENOMEM; n < 100 && err; n++) {
		mutex_lock(&vm->kvm.lock);
		mutex_lock(&vm->kvm.slots_lock);
		fail_alloc_after = n;
		err = vm_create_irqchip(&c);
		fail_alloc_after = -1;
		mutex_unlock(&vm->kvm.slots_lock);
		mutex_unlock(&vm->kvm.lock);
		CHECK(err == 0 || err == -ENOMEM);
		CHECK_EQ(arch_has_irqchip(&vm->kvm), !err);
	}
	CHECK(!err && n > 5);
	machine_end(vm);
}

void bus_tests(void)
{
	run_test("bus: overlapping windows", overlap);
	run_test("bus: coalesced writes", coalescing);
	run_test("routing: tables", routing);
	run_test("irqchip: creation without memory", creation_without_memory);
}
