/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The PC's interrupt controllers and timer in the kernel: 8259A pair, IOAPIC (82093AA), 8254, and how
 * routes reach them. Locks: pic->lock, ioapic->lock are IRQ-safe spinlocks, taken from any context.
 */
#ifndef KVM_X86_IRQCHIP_H
#define KVM_X86_IRQCHIP_H

#include <kvm/routing.h>
#include <kvm/x86/lapic.h>

struct pic;
struct ioapic;
struct pit;

/* KVM_CREATE_IRQCHIP: PIC + IOAPIC + default routes; kvm->lock and slots_lock held. */
int irqchip_create(struct x86_vm *vm);
/* No vCPU runs any more, but they are still there (arch_vm_pre_destroy): nothing fires by itself afterwards. */
void irqchip_stop(struct x86_vm *vm);
void irqchip_destroy(struct x86_vm *vm);	/* also where none was created */
long irqchip_get(struct x86_vm *vm, struct kvm_irqchip *chip);
long irqchip_set(struct x86_vm *vm, const struct kvm_irqchip *chip);

/* PIC: output to the boot CPU's LINT0. */
bool pic_output(struct x86_vm *vm);			/* INTR is high; any context */
int pic_ack(struct x86_vm *vm);			/* INTA: the vector; vCPU thread */

/* An EOI for a level-triggered vector reached the bus: IOAPIC entries with it drop remote IRR. */
void ioapic_eoi(struct x86_vm *vm, u8 vector);
/* Is the vector level-triggered in some IOAPIC entry that targets v (EOI must exit)? */
void ioapic_scan_levels(struct x86_vcpu *v, unsigned long *levels /* 256 bits */);

/* KVM_CREATE_PIT2 and friends; kvm->lock held. */
int pit_create(struct x86_vm *vm, u32 flags);
void pit_destroy(struct x86_vm *vm);
long pit_get(struct x86_vm *vm, struct kvm_pit_state2 *s);
long pit_set(struct x86_vm *vm, const struct kvm_pit_state2 *s);
long pit_reinject(struct x86_vm *vm, bool on);

/* MSI: address/data to message (SDM 11.11; bits 11:5 as high destination bits when ext_dest). */
void msi_to_msg(struct x86_vm *vm, u64 addr, u32 data, struct apic_msg *m);
long irqchip_signal_msi(struct x86_vm *vm, const struct kvm_msi *msi);

#endif
