// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs that are AMD's, and the two speculation and TSC_AUX registers whose place in hardware differs by vendor. What
 * guests read at boot and no emulation can give a meaning (north bridge, load-store configuration) reads as 0; a
 * guest's own CPU model decides about the others. host: user space, which may write back what it read, and 0.
 *
 * vCPU thread, loaded.
 */
#define pr_fmt(fmt) "kvm_amd: " fmt
#include <linux/bits.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/spec-ctrl.h>
#include <kvm/x86/host_msr.h>
#include "svm.h"

#define MSR_AMD_CPUID_FN_1	0xc0011004
#define MSR_AMD_TW_CFG		0xc0011023
#define VM_CR_BITS		0x1fULL
#define VM_CR_LOCK		BIT_ULL(3)
#define VM_CR_SVMDIS		BIT_ULL(4)
/* HWCR bits that software writes for old errata, and what they mean to nobody here. */
#define HWCR_IGNORED		(BIT_ULL(3) | BIT_ULL(6) | BIT_ULL(8))
/* Kept: writable MCi_STATUS; the TSC counts at the P0 frequency, as firmware says. */
#define HWCR_KEPT		(BIT_ULL(18) | BIT_ULL(24))
#define SPEC_CTRL_KNOWN		(SPEC_CTRL_IBRS | SPEC_CTRL_STIBP | SPEC_CTRL_SSBD | BIT_ULL(7))

static int tsc_aux_slot = -1;

void svm_msr_init(void)
{
	if (boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID))
		tsc_aux_slot = host_msr_slot(MSR_TSC_AUX);
}

static bool guest_has_tsc_aux(const struct x86_vcpu *v)
{
	return (v->cap.f80000001_edx & BIT(27)) || (v->cap.f7_ecx & BIT(22));
}

/* Preemption off. The register keeps the guest's value until the thread goes back to user space. */
void svm_tsc_aux_load(struct x86_vcpu *v)
{
	if (tsc_aux_slot >= 0 && guest_has_tsc_aux(v))
		host_msr_set(tsc_aux_slot, v->tsc_aux, ~0ull);
}

static enum vendor_msr set_tsc_aux(struct x86_vcpu *v, u64 val, bool host)
{
	if (tsc_aux_slot < 0 || (!host && !guest_has_tsc_aux(v)) || (!host && val >> 32))
		return VMSR_BAD;
	v->tsc_aux = (u32)val;
	preempt_disable();
	if (v->guest_loaded)
		svm_tsc_aux_load(v);
	preempt_enable();
	return VMSR_OK;
}

/* IBRS, STIBP or SSBD in the guest's CPUID 80000008H EBX, or Intel's bits of 7.EDX. */
static bool guest_has_spec_ctrl(const struct x86_vcpu *v)
{
	return (v->cap.f80000008_ebx & (BIT(14) | BIT(15) | BIT(24))) ||
	       (v->cap.f7_edx & (BIT(26) | BIT(27) | BIT(31)));
}

static u64 get_spec_ctrl(const struct svm_vcpu *svm)
{
	return svm_features.v_spec_ctrl ? svm->vmcb->spec_ctrl : svm->run.spec_ctrl;
}

static enum vendor_msr set_spec_ctrl(struct svm_vcpu *svm, u64 val, bool host)
{
	if (!boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL))
		return host && !val ? VMSR_OK : VMSR_BAD;
	if ((!host && !guest_has_spec_ctrl(&svm->x)) || (val & ~SPEC_CTRL_KNOWN))
		return VMSR_BAD;
	if (svm_features.v_spec_ctrl)
		svm->vmcb->spec_ctrl = val;
	else
		svm->run.spec_ctrl = val;
	svm->x.spec_ctrl = val;
	/* A guest that uses it writes it often (each kernel entry): from now on without an exit. */
	if (val && !host)
		svm_msr_intercept(&svm->x, MSR_IA32_SPEC_CTRL, false, false);
	return VMSR_OK;
}

/* Commands: nothing is kept, and reading is #GP. */
static enum vendor_msr set_pred_cmd(struct x86_vcpu *v, u64 val, bool host)
{
	if (host)
		return val & ~(u64)PRED_CMD_IBPB ? VMSR_BAD : VMSR_OK;
	if (!(v->cap.f80000008_ebx & BIT(12)) && !(v->cap.f7_edx & BIT(26)))
		return VMSR_BAD;
	if ((val & ~(u64)PRED_CMD_IBPB) || !boot_cpu_has(X86_FEATURE_IBPB))
		return VMSR_BAD;
	if (val)
		wrmsrl(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	return VMSR_OK;
}

static bool has_virt_ssbd(const struct x86_vcpu *v, bool host)
{
	return host || (v->cap.f80000008_ebx & BIT(25));
}

static enum vendor_msr set_hwcr(struct x86_vcpu *v, u64 val)
{
	val &= ~HWCR_IGNORED;
	if (val & ~HWCR_KEPT)
		return VMSR_BAD;
	v->hwcr = val;
	return VMSR_OK;
}

bool svm_get_msr(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	const struct svm_vcpu *svm = to_svm(v);

	*val = 0;
	switch (msr) {
	case MSR_IA32_SPEC_CTRL:
		*val = get_spec_ctrl(svm);
		return host || guest_has_spec_ctrl(v);
	case MSR_TSC_AUX:
		*val = v->tsc_aux;
		return tsc_aux_slot >= 0 && (host || guest_has_tsc_aux(v));
	case MSR_AMD64_VIRT_SPEC_CTRL:
		*val = svm->virt_spec_ctrl;
		return has_virt_ssbd(v, host);
	case MSR_K7_HWCR:
		*val = v->hwcr;
		return true;
	case MSR_VM_CR:
		*val = VM_CR_LOCK | VM_CR_SVMDIS;	/* no SVM for the guest */
		return true;
	case MSR_AMD64_DE_CFG:
		*val = svm->de_cfg;
		return true;
	case MSR_AMD_CPUID_FN_1:	/* what CPUID 1 says in ECX and EDX */
		*val = (u64)v->cap.f1_ecx << 32 | v->cap.f1_edx;
		return true;
	case MSR_VM_HSAVE_PA:
	case MSR_AMD64_SYSCFG:
	case MSR_AMD64_NB_CFG:
	case MSR_AMD64_LS_CFG:
	case MSR_AMD64_DC_CFG:
	case MSR_AMD64_BU_CFG2:
	case MSR_F15H_IC_CFG:
	case MSR_AMD_TW_CFG:
	case MSR_AMD64_PATCH_LOADER:
	case MSR_AMD64_OSVW_ID_LENGTH:
	case MSR_AMD64_OSVW_STATUS:
	case MSR_FAM10H_MMIO_CONF_BASE:
	case MSR_K8_INT_PENDING_MSG:
	case MSR_K8_TSEG_ADDR:
	case MSR_K8_TSEG_MASK:
		return true;
	}
	return false;
}

enum vendor_msr svm_set_msr(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	struct svm_vcpu *svm = to_svm(v);

	switch (msr) {
	case MSR_IA32_SPEC_CTRL:
		return set_spec_ctrl(svm, val, host);
	case MSR_IA32_PRED_CMD:
		return set_pred_cmd(v, val, host);
	case MSR_TSC_AUX:
		return set_tsc_aux(v, val, host);
	case MSR_AMD64_VIRT_SPEC_CTRL:
		if (!has_virt_ssbd(v, host) || (val & ~(u64)SPEC_CTRL_SSBD))
			return VMSR_BAD;
		svm->virt_spec_ctrl = val;
		return VMSR_OK;
	case MSR_K7_HWCR:
		return set_hwcr(v, val);
	case MSR_VM_CR:			/* locked, with SVM disabled: writes are ignored, changes are #GP */
		return (val & ~VM_CR_BITS) || (!host && (val & VM_CR_BITS) != (VM_CR_LOCK | VM_CR_SVMDIS)) ?
		       VMSR_BAD : VMSR_OK;
	case MSR_AMD64_DE_CFG:
		/* Only LFENCE's being serialising is real, and it is a fact about the host. */
		if (host ? val & ~(u64)MSR_AMD64_DE_CFG_LFENCE_SERIALIZE : val != svm->de_cfg)
			return VMSR_BAD;
		if (host)
			svm->de_cfg = val;
		return VMSR_OK;
	case MSR_VM_HSAVE_PA:
		return val ? VMSR_BAD : VMSR_OK;
	case MSR_AMD64_SYSCFG:
	case MSR_AMD64_NB_CFG:
	case MSR_AMD64_LS_CFG:
	case MSR_AMD64_DC_CFG:
	case MSR_AMD64_BU_CFG2:
	case MSR_F15H_IC_CFG:
	case MSR_AMD_TW_CFG:
	case MSR_AMD64_PATCH_LOADER:
	case MSR_FAM10H_MMIO_CONF_BASE:
	case MSR_K8_INT_PENDING_MSG:
	case MSR_K8_TSEG_ADDR:
	case MSR_K8_TSEG_MASK:
		return VMSR_OK;		/* configuration of a chip that is not there */
	case MSR_AMD64_OSVW_ID_LENGTH:
	case MSR_AMD64_OSVW_STATUS:
		return val ? VMSR_BAD : VMSR_OK;
	}
	return VMSR_NONE;
}

bool svm_feature_msr(u32 msr, u64 *val)
{
	*val = 0;
	if (msr != MSR_AMD64_DE_CFG)
		return false;
	if (boot_cpu_has(X86_FEATURE_LFENCE_RDTSC))
		*val = MSR_AMD64_DE_CFG_LFENCE_SERIALIZE;
	return true;
}
