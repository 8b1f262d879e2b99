/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the files of the guest's time: host_time.c, tsc.c, clock.c, pv.c. */
#ifndef ARCH_X86_KVM_TIME_H
#define ARCH_X86_KVM_TIME_H

#include <kvm/x86/clock.h>
#include <kvm/x86/vcpu.h>

/* host_time.c: the host's clocks at one moment. */
struct host_time {
	u64 boot_ns;		/* since boot, asleep or not, at the raw rate of the clock source: never slewed */
	u64 real_ns;		/* wall clock */
	u64 tsc;		/* the time-stamp counter */
	bool exact;		/* all three are of the same instant, because the clock source is the TSC */
};
void host_time_read(struct host_time *t);
int host_time_init(void);
void host_time_exit(void);

/* tsc.c */
struct tsc_scale {		/* ticks to nanoseconds, as the guest computes it */
	u32 mul;
	s8 shift;
};
struct tsc_scale tsc_scale_of(u32 khz);
u64 tsc_scaled_ns(u64 ticks, struct tsc_scale s);
extern struct tsc_scale host_tsc_scale;
bool tsc_all_equal(struct x86_vm *vm);
u64 tsc_get(struct x86_vcpu *v);
void tsc_set_adjust(struct x86_vcpu *v, u64 val, bool host);
void tsc_module_init(void);
void tsc_rebase_after_resume(struct x86_vm *vm);

/* clock.c: everybody's page of the VM is to be written again. */
void clock_request_all(struct x86_vm *vm, unsigned int req);

/* pv.c */
bool pv_offered(const struct x86_vcpu *v, unsigned int feature);
bool steal_set_msr(struct x86_vcpu *v, u64 val);
bool pv_eoi_set_msr(struct x86_vcpu *v, u64 val);
bool apf_set_msr(struct x86_vcpu *v, u64 val, bool host);

#endif
