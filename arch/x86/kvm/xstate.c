// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended state as user space sees it: KVM_GET/SET_FPU, _XSAVE, _XSAVE2, _XCRS, and the rules for XCR0.
 *
 * The guest's state lives in v->fpu in the kernel's own layout, which may be compacted and leaves components in
 * their initial state unwritten. So nobody here reads it directly: the kernel's converters go to and from the
 * standard layout, also for the few fields of KVM_GET_FPU.
 *
 * vCPU thread, outside of KVM_RUN: the registers hold nothing of the guest's.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <kvm/x86/fpu.h>
#include <kvm/x86/ioctls.h>
#include "regs.h"

#define XF_FP_SSE	(XFEATURE_MASK_FP | XFEATURE_MASK_SSE)
#define XF_AVX512	(XFEATURE_MASK_OPMASK | XFEATURE_MASK_ZMM_Hi256 | XFEATURE_MASK_Hi16_ZMM)
#define XF_BOUNDS	(XFEATURE_MASK_BNDREGS | XFEATURE_MASK_BNDCSR)
#define XF_TILES	(XFEATURE_MASK_XTILE_CFG | XFEATURE_MASK_XTILE_DATA)

/* All of a group or none of it. */
static bool whole(u64 xcr0, u64 group)
{
	return !(xcr0 & group) || (xcr0 & group) == group;
}

/* SDM 13.3: what XSETBV accepts of the features that the guest was given. */
bool xcr0_value_ok(const struct x86_vcpu *v, u64 xcr0)
{
	if (xcr0 & ~(v->cap.xcr0_allowed | XFEATURE_MASK_FP))
		return false;
	if (!(xcr0 & XFEATURE_MASK_FP))
		return false;
	if ((xcr0 & XFEATURE_MASK_YMM) && !(xcr0 & XFEATURE_MASK_SSE))
		return false;
	if ((xcr0 & XF_AVX512) && !(xcr0 & XFEATURE_MASK_YMM))
		return false;
	return whole(xcr0, XF_AVX512) && whole(xcr0, XF_BOUNDS) && whole(xcr0, XF_TILES);
}

void xcr0_set(struct x86_vcpu *v, u64 xcr0)
{
	if (v->xcr0 == xcr0)
		return;
	v->xcr0 = xcr0;
	cpuid_runtime_update(v);	/* the size in leaf 0DH */
}

/* At least the fixed structure; no component that needs more is offered unless the host maps it into XCR0. */
u32 xstate_user_size(void)
{
	return max_t(u32, sizeof(struct kvm_xsave), xsave_area_size(guest_xcr0_mask | XF_FP_SSE, false));
}

static void to_user_layout(struct x86_vcpu *v, void *buf, u32 size)
{
	fpu_copy_guest_fpstate_to_uabi(&v->fpu, buf, size, guest_xcr0_mask | XF_FP_SSE, v->pkru);
}

static int from_user_layout(struct x86_vcpu *v, const void *buf)
{
	return fpu_copy_uabi_to_guest_fpstate(&v->fpu, buf, guest_xcr0_mask | XF_FP_SSE, &v->pkru);
}

long vcpu_get_xsave(struct kvm_call *c)
{
	/* Components beyond the structure are for KVM_GET_XSAVE2. */
	to_user_layout(x86_vcpu(c->vcpu), c->arg, sizeof(struct kvm_xsave));
	return 0;
}

long vcpu_get_xsave2(struct kvm_call *c)
{
	u32 size = xstate_user_size();
	void *buf = kvzalloc(size, GFP_KERNEL_ACCOUNT);
	long err = 0;

	if (!buf)
		return -ENOMEM;
	to_user_layout(x86_vcpu(c->vcpu), buf, size);
	if (copy_to_user(c->uarg, buf, size))
		err = -EFAULT;
	kvfree(buf);
	return err;
}

/* The converter refuses components outside of the mask, reserved header bits and bad MXCSR bits with -EINVAL. */
long vcpu_set_xsave(struct kvm_call *c)
{
	void *buf = vmemdup_user(c->uarg, xstate_user_size());
	long err;

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	err = from_user_layout(x86_vcpu(c->vcpu), buf);
	kvfree(buf);
	return err;
}

long vcpu_get_fpu(struct kvm_call *c)
{
	u32 size = xstate_user_size();
	struct kvm_fpu *out = c->arg;
	struct xregs_state *x;
	struct fxregs_state *fx;

	x = kvzalloc(size, GFP_KERNEL_ACCOUNT);
	if (!x)
		return -ENOMEM;
	to_user_layout(x86_vcpu(c->vcpu), x, size);
	fx = &x->i387;
	memcpy(out->fpr, fx->st_space, sizeof(out->fpr));
	memcpy(out->xmm, fx->xmm_space, sizeof(out->xmm));
	out->fcw = fx->cwd;
	out->fsw = fx->swd;
	out->ftwx = fx->twd;
	out->last_opcode = fx->fop;
	out->last_ip = fx->rip;
	out->last_dp = fx->rdp;
	out->mxcsr = fx->mxcsr;
	kvfree(x);
	return 0;
}

long vcpu_set_fpu(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	const struct kvm_fpu *in = c->arg;
	u32 size = xstate_user_size();
	struct xregs_state *x;
	struct fxregs_state *fx;
	long err;

	x = kvzalloc(size, GFP_KERNEL_ACCOUNT);
	if (!x)
		return -ENOMEM;
	to_user_layout(v, x, size);
	fx = &x->i387;
	memcpy(fx->st_space, in->fpr, sizeof(in->fpr));
	memcpy(fx->xmm_space, in->xmm, sizeof(in->xmm));
	fx->cwd = in->fcw;
	fx->swd = in->fsw;
	fx->twd = in->ftwx;
	fx->fop = in->last_opcode;
	fx->rip = in->last_ip;
	fx->rdp = in->last_dp;
	fx->mxcsr = in->mxcsr;
	x->header.xfeatures |= XF_FP_SSE;
	err = from_user_layout(v, x);
	kvfree(x);
	return err;
}

long vcpu_get_xcrs(struct kvm_call *c)
{
	struct kvm_xcrs *out = c->arg;

	memset(out, 0, sizeof(*out));
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return 0;
	out->nr_xcrs = 1;
	out->xcrs[0].value = x86_vcpu(c->vcpu)->xcr0;
	return 0;
}

long vcpu_set_xcrs(struct kvm_call *c)
{
	struct x86_vcpu *v = x86_vcpu(c->vcpu);
	const struct kvm_xcrs *in = c->arg;
	unsigned int i;
	u64 xcr0 = v->xcr0;

	if (!boot_cpu_has(X86_FEATURE_XSAVE) || in->flags || in->nr_xcrs > KVM_MAX_XCRS)
		return -EINVAL;
	for (i = 0; i < in->nr_xcrs; i++) {
		if (in->xcrs[i].xcr)
			return -EINVAL;
		xcr0 = in->xcrs[i].value;
	}
	if (xcr0 != v->xcr0 && !xcr0_value_ok(v, xcr0))
		return -EINVAL;
	xcr0_set(v, xcr0);
	return 0;
}
