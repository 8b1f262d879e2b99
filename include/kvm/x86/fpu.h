/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's FPU and extended state: swapped in once for a KVM_RUN (kernel's fpu_swap_kvm_fpstate), XCR0, XSS and
 * PKRU round each batch of entries. fpu.c has the switching, xstate.c the ioctls.
 */
#ifndef KVM_X86_FPU_H
#define KVM_X86_FPU_H

#include <kvm/x86/vcpu.h>
#include <linux/thread_info.h>
#include <asm/fpu/api.h>

extern u64 host_xcr0, host_xss;			/* read when the vendor registers */
extern u64 guest_xcr0_mask, guest_xss_mask;	/* what a guest may ever enable */
void fpu_module_init(void);
int fpu_vcpu_init(struct x86_vcpu *v);		/* allocates v->fpu */
void fpu_vcpu_free(struct x86_vcpu *v);
void fpu_reset(struct x86_vcpu *v, bool init);
void fpu_guest_in(struct x86_vcpu *v);		/* start of KVM_RUN; sets fpu_loaded */
void fpu_guest_out(struct x86_vcpu *v);		/* end of it */
void fpu_switches(struct x86_vcpu *v);		/* XCR0, XSS or CPUID changed */
void fpu_to_guest(struct x86_vcpu *v);
void fpu_to_host(struct x86_vcpu *v);

/* IRQs off, before entry: the guest's image is in the registers, XCR0, XSS and PKRU are its own where they differ. */
static __always_inline void fpu_enter(struct x86_vcpu *v)
{
	if (unlikely(test_thread_flag(TIF_NEED_FPU_LOAD)))
		switch_fpu_return();
	if (unlikely(v->xstate_differs))
		fpu_to_guest(v);
}

/* IRQs off, after exit: the host's again. */
static __always_inline void fpu_exit(struct x86_vcpu *v)
{
	if (unlikely(v->xstate_differs))
		fpu_to_host(v);
}

#endif
