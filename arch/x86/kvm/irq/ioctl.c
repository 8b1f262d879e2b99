// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of the in-kernel interrupt controllers. Each handler says which locks it wants of its row; the others
 * take their own.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <kvm/arch.h>
#include <kvm/x86/ioctls.h>
#include "irqchip_priv.h"
#include "lapic_priv.h"

/* All or nothing; kvm->lock and slots_lock held. */
int irqchip_create(struct x86_vm *vm)
{
	int err;

	err = pic_create(vm);
	if (err)
		return err;
	err = ioapic_create(vm);
	if (err)
		goto no_ioapic;
	err = irq_default_routes(vm);
	if (err)
		goto no_routes;
	/* Who sees the mode sees the chips; from here on nothing can fail and take them away again. */
	smp_store_release(&vm->irqchip, IRQCHIP_KERNEL);
	return 0;
no_routes:
	ioapic_destroy(vm);
no_ioapic:
	pic_destroy(vm);
	return err;
}

/* vCPUs are still there, but none runs. */
void irqchip_stop(struct x86_vm *vm)
{
	ioapic_stop(vm);
}

/* Also for VMs that never had one. */
void irqchip_destroy(struct x86_vm *vm)
{
	mutex_lock(&vm->kvm.slots_lock);
	ioapic_destroy(vm);
	pic_destroy(vm);
	mutex_unlock(&vm->kvm.slots_lock);
	apic_map_free(vm);
}

long irqchip_get(struct x86_vm *vm, struct kvm_irqchip *chip)
{
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_get_state(vm, chip->chip_id == KVM_IRQCHIP_PIC_SLAVE, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_get_state(vm, &chip->chip.ioapic);
		return 0;
	}
	return -EINVAL;
}

long irqchip_set(struct x86_vm *vm, const struct kvm_irqchip *chip)
{
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_set_state(vm, chip->chip_id == KVM_IRQCHIP_PIC_SLAVE, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_set_state(vm, &chip->chip.ioapic);
		return 0;
	}
	return -EINVAL;
}

/* IOC_VM_LOCK, IOC_SLOTS_LOCK */
long vm_create_irqchip(struct kvm_call *c)
{
	struct x86_vm *vm = x86_vm(c->kvm);

	lockdep_assert_held(&c->kvm->lock);
	lockdep_assert_held(&c->kvm->slots_lock);
	if (vm->irqchip != IRQCHIP_NONE)
		return -EEXIST;
	if (c->kvm->created_vcpus)
		return -EINVAL;
	return irqchip_create(vm);
}

static bool has_chips(const struct x86_vm *vm)
{
	return smp_load_acquire(&vm->irqchip) == IRQCHIP_KERNEL;
}

long vm_get_irqchip(struct kvm_call *c)
{
	struct x86_vm *vm = x86_vm(c->kvm);

	return has_chips(vm) ? irqchip_get(vm, c->arg) : -ENXIO;
}

long vm_set_irqchip(struct kvm_call *c)
{
	struct x86_vm *vm = x86_vm(c->kvm);

	return has_chips(vm) ? irqchip_set(vm, c->arg) : -ENXIO;
}

long vm_irq_line(struct kvm_call *c)
{
	const struct kvm_irq_level *line = c->arg;

	if (!arch_has_irqchip(c->kvm))
		return -ENXIO;
	kvm_set_irq(c->kvm, IRQ_SOURCE_USER, line->irq, line->level);
	return 0;
}

long vm_irq_line_status(struct kvm_call *c)
{
	struct kvm_irq_level *line = c->arg;

	if (!arch_has_irqchip(c->kvm))
		return -ENXIO;
	line->status = kvm_set_irq(c->kvm, IRQ_SOURCE_USER, line->irq, line->level);
	return 0;
}

long vm_signal_msi(struct kvm_call *c)
{
	return irqchip_signal_msi(x86_vm(c->kvm), c->arg);
}

/* IOC_VM_LOCK */
static long create_pit(struct kvm *kvm, u32 flags)
{
	struct x86_vm *vm = x86_vm(kvm);

	lockdep_assert_held(&kvm->lock);
	if (vm->pit)
		return -EEXIST;
	if (vm->irqchip != IRQCHIP_KERNEL)
		return -ENOENT;
	return pit_create(vm, flags);
}

long vm_create_pit(struct kvm_call *c)
{
	return create_pit(c->kvm, KVM_PIT_SPEAKER_DUMMY);	/* as it was when there were no flags */
}

long vm_create_pit2(struct kvm_call *c)
{
	const struct kvm_pit_config *config = c->arg;

	if (config->flags & ~KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	return create_pit(c->kvm, config->flags);
}

/* IOC_VM_LOCK, and those below */
long vm_get_pit2(struct kvm_call *c)
{
	lockdep_assert_held(&c->kvm->lock);
	return pit_get(x86_vm(c->kvm), c->arg);
}

long vm_set_pit2(struct kvm_call *c)
{
	lockdep_assert_held(&c->kvm->lock);
	return pit_set(x86_vm(c->kvm), c->arg);
}

/* The old form: no flags. */
long vm_get_pit(struct kvm_call *c)
{
	struct kvm_pit_state *old = c->arg;
	struct kvm_pit_state2 s;
	long err;

	lockdep_assert_held(&c->kvm->lock);
	err = pit_get(x86_vm(c->kvm), &s);
	if (!err)
		memcpy(old->channels, s.channels, sizeof(old->channels));
	return err;
}

long vm_set_pit(struct kvm_call *c)
{
	const struct kvm_pit_state *old = c->arg;
	struct kvm_pit_state2 s;
	long err;

	lockdep_assert_held(&c->kvm->lock);
	err = pit_get(x86_vm(c->kvm), &s);
	if (err)
		return err;
	memcpy(s.channels, old->channels, sizeof(s.channels));
	return pit_set(x86_vm(c->kvm), &s);
}

long vm_reinject(struct kvm_call *c)
{
	const struct kvm_reinject_control *control = c->arg;

	lockdep_assert_held(&c->kvm->lock);
	return pit_reinject(x86_vm(c->kvm), control->pit_reinject);
}

long vcpu_get_lapic(struct kvm_call *c)
{
	return lapic_get_state(x86_vcpu(c->vcpu), c->arg);
}

long vcpu_set_lapic(struct kvm_call *c)
{
	return lapic_set_state(x86_vcpu(c->vcpu), c->arg);
}
