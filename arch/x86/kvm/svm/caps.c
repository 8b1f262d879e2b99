// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this machine's AMD-V can do: CPUID 8000000AH through the kernel's own view of it, so that clearcpuid= on the
 * host's command line reaches us too. svm_check_cpu() is the one place that refuses hardware, by name.
 */
#define pr_fmt(fmt) "kvm_amd: " fmt
#include <linux/module.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include "svm.h"

#define VM_CR_LOCK	BIT_ULL(3)
#define VM_CR_SVMDIS	BIT_ULL(4)

/* CPUID 8000000AH EDX */
enum {
	F_NPT = 0, F_NRIPS = 3, F_TSC_RATIO = 4, F_FLUSH_BY_ASID = 6, F_DECODE_ASSISTS = 7,
	F_PAUSE_FILTER = 10, F_PAUSE_THRESHOLD = 12, F_V_SPEC_CTRL = 20,
};

struct svm_features svm_features;

static bool has(unsigned int bit)
{
	return boot_cpu_data.x86_capability[CPUID_8000_000A_EDX] & BIT(bit);
}

int svm_check_cpu(void)
{
	u64 vm_cr;

	if (boot_cpu_data.x86_vendor != X86_VENDOR_AMD && boot_cpu_data.x86_vendor != X86_VENDOR_HYGON) {
		pr_err("not an AMD or Hygon CPU\n");
		return -EOPNOTSUPP;
	}
	if (!boot_cpu_has(X86_FEATURE_SVM)) {
		pr_err("the CPU has no SVM (or the firmware hides it)\n");
		return -EOPNOTSUPP;
	}
	if (cpuid_eax(0x80000000) < 0x8000000a || cpuid_ebx(0x8000000a) < 2) {
		pr_err("SVM without address space identifiers\n");
		return -EOPNOTSUPP;
	}
	if (rdmsrl_safe(MSR_VM_CR, &vm_cr)) {
		pr_err("the VM_CR register cannot be read\n");
		return -EOPNOTSUPP;
	}
	if (vm_cr & VM_CR_SVMDIS) {
		pr_err("SVM is disabled%s in VM_CR by the firmware\n", vm_cr & VM_CR_LOCK ? " and locked" : "");
		return -EOPNOTSUPP;
	}
	if (!has(F_NPT)) {
		pr_err("the CPU has no nested paging\n");
		return -EOPNOTSUPP;
	}
	if (!svm_param_npt) {
		pr_err("npt=0: shadow paging is not in this version\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

void svm_probe(struct vendor_caps *caps)
{
	struct svm_features *f = &svm_features;

	f->asids = cpuid_ebx(0x8000000a);
	f->nrips = svm_param_nrips = svm_param_nrips && has(F_NRIPS);
	f->decode_assists = has(F_DECODE_ASSISTS);
	f->flush_by_asid = has(F_FLUSH_BY_ASID);
	f->tsc_scaling = svm_param_tsc_scaling = svm_param_tsc_scaling && has(F_TSC_RATIO);
	f->pause_filter = has(F_PAUSE_FILTER);
	f->pause_threshold = has(F_PAUSE_THRESHOLD);
	f->v_spec_ctrl = has(F_V_SPEC_CTRL);

	caps->efer_allowed = EFER_SCE | EFER_LME | EFER_LMA;
	if (boot_cpu_has(X86_FEATURE_NX))
		caps->efer_allowed |= EFER_NX;
	if (boot_cpu_has(X86_FEATURE_FXSR_OPT))
		caps->efer_allowed |= EFER_FFXSR;
	if (boot_cpu_has(X86_FEATURE_AUTOIBRS))
		caps->efer_allowed |= EFER_AUTOIBRS;
	caps->tsc_frac_bits = 32;
	caps->tsc_scaling = f->tsc_scaling;
	caps->tsc_max_ratio = f->tsc_scaling ? GENMASK_ULL(39, 0) : BIT_ULL(32);
	caps->two_dim = true;
	/* Nested tables have the shape of the host's own. */
	caps->two_dim_levels = native_read_cr4() & X86_CR4_LA57 ? 5 : 4;
	caps->page_1g = boot_cpu_has(X86_FEATURE_GBPAGES);
	caps->unrestricted = true;
	caps->nrips = f->nrips;
	caps->dr_intercept_default = true;
	caps->flush_by_asid = f->flush_by_asid;
}
