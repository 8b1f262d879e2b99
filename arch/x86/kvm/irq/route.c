// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a GSI's routes do on this machine: pins of the PIC and the IOAPIC, and messages (MSI).
 *
 * A route gets its function when the table is built, so that raising an interrupt asks nothing. The functions run in
 * any context with the table held (kvm->irq_srcu).
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/slab.h>
#include <kvm/arch.h>
#include "irqchip_priv.h"
#include "lapic_priv.h"

#define MSI_LOGICAL	BIT(2)		/* address: destination mode, redirection hint */
#define MSI_HINT	BIT(3)
#define MSI_LEVEL	BIT(15)		/* data: trigger mode */

/* SDM 11.11. An MSI is a write, so there is no de-assertion of a level; the trigger mode still marks the vector. */
void msi_to_msg(struct x86_vm *vm, u64 addr, u32 data, struct apic_msg *m)
{
	u32 low = addr, high = addr >> 32;

	*m = (struct apic_msg) {
		.dest = low >> 12 & 0xff, .vector = data, .mode = data >> 8 & 7, .logical = low & MSI_LOGICAL,
		.level = data & MSI_LEVEL, .assert = true,
	};
	if (vm->x2apic_ids)
		m->dest |= high & 0xffffff00;
	if (vm->ext_dest_id)
		m->dest |= (low >> 5 & 0x7f) << 8;
	/* Redirection hint: one of those the logical destination names. */
	if (low & MSI_HINT && m->logical && m->mode == MODE_FIXED)
		m->mode = MODE_LOWEST;
}

static bool msi_sane(const struct x86_vm *vm, u64 addr)
{
	return !vm->x2apic_ids || !(addr >> 32 & 0xff);
}

static int set_msi(struct kvm *kvm, const struct irq_route *r, int source, bool level)
{
	struct apic_msg m;

	if (!level)
		return -1;
	msi_to_msg(x86_vm(kvm), r->msi.addr, r->msi.data, &m);
	return apic_deliver(x86_vm(kvm), NULL, &m);
}

static int set_pic(struct kvm *kvm, const struct irq_route *r, int source, bool level)
{
	return pic_set_pin(x86_vm(kvm), (r->pin.chip == KVM_IRQCHIP_PIC_SLAVE) * 8 + r->pin.pin, source, level);
}

static int set_ioapic(struct kvm *kvm, const struct irq_route *r, int source, bool level)
{
	return ioapic_set_pin(x86_vm(kvm), r->pin.pin, source, level);
}

static int pin_route(const struct x86_vm *vm, struct irq_route *out, const struct kvm_irq_routing_irqchip *in)
{
	unsigned int pins;

	if (!vm->pic || !vm->ioapic)
		return -EINVAL;
	switch (in->irqchip) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		out->set = set_pic;
		pins = 8;
		break;
	case KVM_IRQCHIP_IOAPIC:
		out->set = set_ioapic;
		pins = IOAPIC_PINS;
		break;
	default:
		return -EINVAL;
	}
	if (in->pin >= pins)
		return -EINVAL;
	out->pin.chip = in->irqchip;
	out->pin.pin = in->pin;
	return 0;
}

int arch_irq_route_set(struct kvm *kvm, struct irq_route *out, const struct kvm_irq_routing_entry *in)
{
	const struct x86_vm *vm = x86_vm(kvm);

	/* KVM_MSI_VALID_DEVID, the only flag there is, is for machines whose messages name their device. */
	if (in->flags)
		return -EINVAL;
	switch (in->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		return pin_route(vm, out, &in->u.irqchip);
	case KVM_IRQ_ROUTING_MSI:
		if (!vm_lapic_in_kernel(vm))
			return -EINVAL;
		out->set = set_msi;
		out->msi.addr = in->u.msi.address_lo | (u64)in->u.msi.address_hi << 32;
		out->msi.data = in->u.msi.data;
		return msi_sane(vm, out->msi.addr) ? 0 : -EINVAL;
	}
	return -EINVAL;
}

void arch_irq_routes_changed(struct kvm *kvm)
{
	struct x86_vm *vm = x86_vm(kvm);

	if (vm->ioapic)
		ioapic_listeners_changed(vm);
	else if (vm->irqchip == IRQCHIP_SPLIT && vendor_caps.apicv)
		kvm_request_all(kvm, REQ_LOAD_LEVELS);
}

bool arch_has_irqchip(const struct kvm *kvm)
{
	return smp_load_acquire(&x86_vm(kvm)->irqchip) != IRQCHIP_NONE;
}

bool arch_has_irq_acks(const struct kvm *kvm)
{
	return smp_load_acquire(&x86_vm(kvm)->irqchip) == IRQCHIP_KERNEL;
}

long irqchip_signal_msi(struct x86_vm *vm, const struct kvm_msi *msi)
{
	u64 addr = msi->address_lo | (u64)msi->address_hi << 32;
	struct apic_msg m;
	int r;

	if (msi->flags || !vm_lapic_in_kernel(vm) || !msi_sane(vm, addr))
		return -EINVAL;
	msi_to_msg(vm, addr, msi->data, &m);
	r = apic_deliver(vm, NULL, &m);
	return max(r, 0);	/* nobody takes it: "blocked by the guest" */
}

/* GSI n is pin n of the IOAPIC and, up to 15, of the PICs. */
int irq_default_routes(struct x86_vm *vm)
{
	struct kvm_irq_routing_entry *e;
	unsigned int gsi, n = 0;
	int err;

	e = kcalloc(IOAPIC_PINS + 16, sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	for (gsi = 0; gsi < IOAPIC_PINS; gsi++) {
		if (gsi < 16) {
			e[n].gsi = gsi;
			e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
			e[n].u.irqchip.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
			e[n++].u.irqchip.pin = gsi & 7;
		}
		e[n].gsi = gsi;
		e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[n].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e[n++].u.irqchip.pin = gsi;
	}
	err = kvm_set_routing(&vm->kvm, e, n);
	kfree(e);
	return err;
}
