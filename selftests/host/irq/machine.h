/* SPDX-License-Identifier: GPL-2.0-only */
/* A VM with in-kernel interrupt controllers and a few vCPUs whose threads are the test, one at a time. */
#ifndef IRQ_TEST_MACHINE_H
#define IRQ_TEST_MACHINE_H

#include <kvm/arch.h>
#include <kvm/coalesced.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/irqchip.h>
#include <kvm/x86/vcpu.h>
#include "check.h"

struct x86_vm *machine(unsigned int vcpus);	/* with KVM_CREATE_IRQCHIP done */
void machine_end(struct x86_vm *vm);		/* as the VM's files close */
struct x86_vcpu *cpu(struct x86_vm *vm, unsigned int i);
void run_as(struct x86_vcpu *v);		/* the test is this vCPU's thread; NULL: a device */
void pass_ns(u64 ns);

void out8(struct x86_vm *vm, u16 port, u8 val);
u8 in8(struct x86_vm *vm, u16 port);
void mmio_w(struct x86_vcpu *v, u64 addr, u32 val);
u32 mmio_r(struct x86_vcpu *v, u64 addr);
void ioapic_w(struct x86_vm *vm, u8 reg, u32 val);
u32 ioapic_r(struct x86_vm *vm, u8 reg);
void ioapic_entry(struct x86_vm *vm, unsigned int pin, u64 e);
void lapic_w(struct x86_vcpu *v, u32 off, u32 val);
u32 lapic_r(struct x86_vcpu *v, u32 off);
void lapic_on(struct x86_vcpu *v);		/* SVR */
void go_x2apic(struct x86_vcpu *v);
int take(struct x86_vcpu *v);			/* what the processor would do: vcpu_has_irq, vcpu_ack_irq */
extern unsigned int kicks;

extern unsigned int rounds;

void pic_tests(void);
void ioapic_tests(void);
void lapic_tests(void);
void timer_tests(void);
void bus_tests(void);
void random_tests(void);

#endif
