/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time as the guest sees it: TSC (tsc.c), kvmclock and KVM_SET/GET_CLOCK (clock.c), steal time, PV EOI and
 * hypercalls (pv.c). vCPU thread, loaded, in kvm->srcu unless said.
 */
#ifndef KVM_X86_CLOCK_H
#define KVM_X86_CLOCK_H

#include <kvm/types.h>

struct x86_vm;
struct x86_vcpu;

int clock_module_init(void);			/* host TSC properties, the pvclock_gtod notifier */
void clock_module_exit(void);
void clock_vm_init(struct x86_vm *vm);
void clock_vm_destroy(struct x86_vm *vm);
void clock_resumed(void);			/* the host's TSC may have gone back; every VM */

void tsc_vcpu_init(struct x86_vcpu *v);
void tsc_vcpu_load(struct x86_vcpu *v, int cpu);	/* preemption off, maybe from the scheduler; no sleeping */
void tsc_vcpu_put(struct x86_vcpu *v);			/* likewise */
extern bool tsc_host_stable;				/* the host's clock source is the TSC on all CPUs */

enum outcome clock_update(struct x86_vcpu *v);	/* REQ_CLOCK_UPDATE */
void clock_master_update(struct x86_vm *vm);	/* REQ_MASTERCLOCK */
void steal_update(struct x86_vcpu *v);		/* REQ_STEAL_UPDATE */
void steal_put(struct x86_vcpu *v);		/* scheduled out: "preempted"; atomic context */
bool pv_eoi_arm(struct x86_vcpu *v);		/* before entry, one ISR bit and nothing else pending: skip the EOI */
bool pv_eoi_taken(struct x86_vcpu *v);		/* after exit: the guest cleared it, an EOI is due; disarms */
void pv_vcpu_reset(struct x86_vcpu *v);

/* MSRs 10, 3b, 11, 12, 4b564d00..08: true if this is one of them; *ok: no #GP. */
bool clock_get_msr(struct x86_vcpu *v, u32 msr, u64 *val, bool host, bool *ok);
bool clock_set_msr(struct x86_vcpu *v, u32 msr, u64 val, bool host, bool *ok);

#endif
