/* SPDX-License-Identifier: GPL-2.0-only */
/* irqfd (an eventfd raises a GSI) and ioeventfd (a guest write signals an eventfd). */
#ifndef KVM_EVENTFD_H
#define KVM_EVENTFD_H

#include <kvm/ioctl.h>

void kvm_eventfd_init(struct kvm *kvm);
/* The VM's file is closing: drop every irqfd and wait until none can fire. May sleep. */
void kvm_irqfd_release(struct kvm *kvm);
long vm_irqfd(struct kvm_call *c);		/* takes its own locks */
long vm_ioeventfd(struct kvm_call *c);		/* kvm->slots_lock */

#endif
