// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's extended state on the host's CPU.
 *
 * For the length of a KVM_RUN the guest's register image takes the place of the thread's own: the kernel's context
 * switch saves and restores it like any thread's, so that nothing is moved at an exit. It may be out of the
 * registers after the thread was scheduled out or the kernel used them; fpu_enter() brings it back.
 *
 * XCR0, XSS and PKRU belong to no image. The kernel's own XSAVE and its accesses to user memory depend on them, so
 * they are the guest's between fpu_enter() and fpu_exit() only, and written only where the two sides differ.
 *
 * vCPU thread. The image lives as long as the vCPU.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/sched.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/pkru.h>
#include <kvm/x86/fpu.h>
#include <kvm/x86/vcpu.h>

/* v->xstate_differs: what is switched round guest mode. What a guest that has PKRU leaves there is not known before. */
enum { XCR0_DIFFERS = 1, XSS_DIFFERS = 2, PKRU_DIFFERS = 4 };

#define CPUID_7_ECX_PKU		BIT(3)
#define CPUID_D_1_EAX_XSAVES	BIT(3)

u64 host_xcr0 __read_mostly;
u64 host_xss __read_mostly;
u64 guest_xcr0_mask __read_mostly;
u64 guest_xss_mask __read_mostly;

void fpu_module_init(void)
{
	host_xcr0 = 0;
	host_xss = 0;
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, host_xss);

	/*
	 * What the kernel's guest image has room for without asking the host for more (tiles) and what processors
	 * still have (no bounds registers). PKRU counts only if the host switched protection keys on.
	 */
	guest_xcr0_mask = host_xcr0 & (XFEATURE_MASK_FP | XFEATURE_MASK_SSE | XFEATURE_MASK_YMM |
				       XFEATURE_MASK_OPMASK | XFEATURE_MASK_ZMM_Hi256 | XFEATURE_MASK_Hi16_ZMM);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		guest_xcr0_mask |= host_xcr0 & XFEATURE_MASK_PKRU;
	/* Supervisor components are not offered: the core neither keeps nor migrates any. */
	guest_xss_mask = 0;
}

int fpu_vcpu_init(struct x86_vcpu *v)
{
	return fpu_alloc_guest_fpstate(&v->fpu) ? 0 : -ENOMEM;
}

void fpu_vcpu_free(struct x86_vcpu *v)
{
	if (v->fpu.fpstate)
		fpu_free_guest_fpstate(&v->fpu);
}

/*
 * Power-up; an INIT leaves all of this alone (SDM 3A, table 10-1). The image is as allocated, in its initial state:
 * power-up happens once in a vCPU's life, later resets are the VMM's writes.
 */
void fpu_reset(struct x86_vcpu *v, bool init)
{
	if (init)
		return;
	v->xcr0 = XFEATURE_MASK_FP;
	v->xss = 0;
	v->pkru = 0;
}

void fpu_guest_in(struct x86_vcpu *v)
{
	v->host_pkru = read_pkru();
	fpu_swap_kvm_fpstate(&v->fpu, true);
	v->fpu_loaded = true;
	v->vcpu.stat.fpu_reload++;
}

void fpu_guest_out(struct x86_vcpu *v)
{
	fpu_swap_kvm_fpstate(&v->fpu, false);
	v->fpu_loaded = false;
}

void fpu_switches(struct x86_vcpu *v)
{
	u8 differs = 0;

	if (v->xcr0 != host_xcr0 && boot_cpu_has(X86_FEATURE_XSAVE))
		differs |= XCR0_DIFFERS;
	/* A guest without XSAVES can neither see nor use XSS. */
	if (v->xss != host_xss && (v->cap.fd_1_eax & CPUID_D_1_EAX_XSAVES))
		differs |= XSS_DIFFERS;
	if (cpu_feature_enabled(X86_FEATURE_OSPKE) && (v->cap.f7_ecx & CPUID_7_ECX_PKU))
		differs |= PKRU_DIFFERS;
	v->xstate_differs = differs;
}

void fpu_to_guest(struct x86_vcpu *v)
{
	u8 differs = v->xstate_differs;

	if (differs & XCR0_DIFFERS)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, v->xcr0);
	if (differs & XSS_DIFFERS)
		wrmsrl(MSR_IA32_XSS, v->xss);
	if ((differs & PKRU_DIFFERS) && v->pkru != v->host_pkru)
		wrpkru(v->pkru);
}

void fpu_to_host(struct x86_vcpu *v)
{
	u8 differs = v->xstate_differs;

	if (differs & PKRU_DIFFERS) {
		v->pkru = rdpkru();
		if (v->pkru != v->host_pkru)
			wrpkru(v->host_pkru);
	}
	/* The guest changed neither XCR0 nor XSS: both writes exit. */
	if (differs & XSS_DIFFERS)
		wrmsrl(MSR_IA32_XSS, host_xss);
	if (differs & XCR0_DIFFERS)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, host_xcr0);
}
