/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * GSI routing: which interrupt-controller pins or messages a GSI (Global System Interrupt) drives.
 * The table is published under kvm->irq_srcu and replaced whole by KVM_SET_GSI_ROUTING.
 */
#ifndef KVM_ROUTING_H
#define KVM_ROUTING_H

#include <kvm/types.h>
#include <linux/kvm.h>
#include <linux/list.h>

#define KVM_MAX_GSI	4096
/* Who drives a line: an input stays high while any source holds it high. */
#define IRQ_SOURCE_USER		0
#define IRQ_SOURCE_RESAMPLE	1
#define IRQ_SOURCE_PIT		2

struct irq_route {
	u32 gsi;
	u32 type;			/* KVM_IRQ_ROUTING_* */
	/*
	 * Set by arch_irq_route_set(). Returns > 0 delivered to that many vCPUs, 0 coalesced, < 0 ignored.
	 * May be called with IRQs off and must not sleep.
	 */
	int (*set)(struct kvm *kvm, const struct irq_route *r, int source, bool level);
	union {
		struct { u32 chip, pin; } pin;
		struct { u64 addr; u32 data; u32 devid; u32 flags; } msi;
		struct { u32 vcpu, sint; } hv_sint;
	};
};

struct irq_routing;

/* Drives a GSI. Any context (IRQs may be off). Result: as irq_route.set, the last route that counts. */
int kvm_set_irq(struct kvm *kvm, int source, u32 gsi, bool level);
/* The GSI is a message: sends it, true. Else nothing happens. Any context, for wakeups. */
bool kvm_send_if_msi(struct kvm *kvm, int source, u32 gsi);
/* Replaces the table; n entries of the ABI's form (already in kernel memory). kvm->lock. */
int kvm_set_routing(struct kvm *kvm, const struct kvm_irq_routing_entry *e, unsigned int n);
void kvm_free_routing(struct kvm *kvm);
/* Calls fn for each route of a pin's GSI; used by acknowledge notification. irq_srcu read-held inside. */
int kvm_pin_to_gsi(struct kvm *kvm, u32 chip, u32 pin);
/* Walks every route of the table inside irq_srcu (split irqchip's IOAPIC routes, MSI scans). */
void kvm_for_each_route(struct kvm *kvm, void (*fn)(const struct irq_route *r, void *data), void *data);

/* The guest acknowledged (EOI) the pin: resample irqfds and the PIT listen. Atomic context. */
struct irq_ack_notifier {
	struct hlist_node link;
	u32 gsi;
	void (*acked)(struct irq_ack_notifier *n);
};

void kvm_irq_ack_register(struct kvm *kvm, struct irq_ack_notifier *n);
void kvm_irq_ack_unregister(struct kvm *kvm, struct irq_ack_notifier *n);
void kvm_irq_acked(struct kvm *kvm, u32 chip, u32 pin);
bool kvm_irq_has_ack_notifier(struct kvm *kvm, u32 chip, u32 pin);

#endif
