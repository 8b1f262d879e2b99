/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's FPU and extended state: swapped in once for a KVM_RUN (kernel's fpu_swap_kvm_fpstate), XCR0, XSS and
 * PKRU round each batch of entries. fpu.c has the switching, xstate.c the ioctls.
 */
#ifndef KVM_X86_FPU_H
#define KVM_X86_FPU_H

#include <kvm/types.h>

struct x86_vcpu;

extern u64 host_xcr0, host_xss;			/* read when the vendor registers */
extern u64 guest_xcr0_mask, guest_xss_mask;	/* what a guest may ever enable */
void fpu_module_init(void);
int fpu_vcpu_init(struct x86_vcpu *v);		/* allocates v->fpu */
void fpu_vcpu_free(struct x86_vcpu *v);
void fpu_reset(struct x86_vcpu *v, bool init);
void fpu_guest_in(struct x86_vcpu *v);		/* start of KVM_RUN; sets fpu_loaded */
void fpu_guest_out(struct x86_vcpu *v);		/* end of it */
void fpu_enter(struct x86_vcpu *v);		/* IRQs off, before entry: XCR0, XSS, PKRU where they differ */
void fpu_exit(struct x86_vcpu *v);		/* IRQs off, after exit: the host's again */

#endif
