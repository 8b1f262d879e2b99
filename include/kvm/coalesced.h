/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Coalesced writes: guest writes to registered zones are queued in a ring page that the VMM drains later, instead of
 * leaving to it each time. The ring is page COALESCED_PAGE of every vCPU's mapping.
 */
#ifndef KVM_COALESCED_H
#define KVM_COALESCED_H

#include <kvm/ioctl.h>

#define COALESCED_PAGE	2

int coalesced_init(struct kvm *kvm);		/* VM creation: the ring page, lock, empty zone list */
void coalesced_free(struct kvm *kvm);		/* after the buses are gone */
/* Rows of the ioctl table with IOC_SLOTS_LOCK. */
long vm_coalesced_register(struct kvm_call *c);
long vm_coalesced_unregister(struct kvm_call *c);

#endif
