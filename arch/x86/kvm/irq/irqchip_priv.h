/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of irq/ share about the VM's interrupt controllers. */
#ifndef IRQ_IRQCHIP_PRIV_H
#define IRQ_IRQCHIP_PRIV_H

#include <kvm/iobus.h>
#include <kvm/x86/irqchip.h>
#include <kvm/x86/vm.h>
#include <linux/workqueue.h>

#define IOAPIC_PINS	KVM_IOAPIC_NUM_PINS
#define IOAPIC_BASE	0xfec00000ull
#define IOAPIC_SIZE	0x100

struct ioapic {
	/* Vectors of edge entries whose EOI somebody listens for; read without the lock at every EOI. */
	unsigned long heard[4];
	raw_spinlock_t lock;		/* everything below; never held while others are called back */
	struct x86_vm *vm;
	struct io_device dev;
	u64 redir[IOAPIC_PINS];		/* as the guest wrote them; remote IRR is kept apart */
	u32 remote_irr;			/* pins: sent to a LAPIC, not yet EOIed */
	u32 high;			/* pins whose input is active */
	u32 listened;			/* pins with an acknowledge notifier */
	u8 sources[IOAPIC_PINS];	/* who holds the input active: bits of IRQ_SOURCE_* */
	u8 select;			/* IOREGSEL */
	u8 id;
	u16 storm[IOAPIC_PINS];		/* times in a row that an EOI found the input still active */
	struct delayed_work resend;	/* what a storm left undelivered */
};

/* pic.c; vectors and levels as irq_route.set's */
int pic_create(struct x86_vm *vm);		/* slots_lock */
void pic_destroy(struct x86_vm *vm);		/* slots_lock */
int pic_set_pin(struct x86_vm *vm, unsigned int pin, int source, bool level);
bool pic_requested(struct x86_vm *vm, unsigned int pin);	/* masked or not; any context, a moment old */
void pic_get_state(struct x86_vm *vm, unsigned int chip, struct kvm_pic_state *s);
void pic_set_state(struct x86_vm *vm, unsigned int chip, const struct kvm_pic_state *s);

/* ioapic.c */
int ioapic_create(struct x86_vm *vm);		/* slots_lock */
void ioapic_stop(struct x86_vm *vm);		/* nothing fires by itself any more */
void ioapic_destroy(struct x86_vm *vm);		/* slots_lock */
int ioapic_set_pin(struct x86_vm *vm, unsigned int pin, int source, bool level);
void ioapic_get_state(struct x86_vm *vm, struct kvm_ioapic_state *s);
void ioapic_set_state(struct x86_vm *vm, const struct kvm_ioapic_state *s);
void ioapic_listeners_changed(struct x86_vm *vm);

/* deliver.c */
void apic_map_free(struct x86_vm *vm);
/* Could this destination mean v? Any thread. */
bool apic_dest_matches(struct x86_vcpu *v, u32 dest, bool logical);

/* route.c */
int irq_default_routes(struct x86_vm *vm);	/* kvm->lock */

#endif
