/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside the MSR files: a row of the table (msr.c), and the owners that have a file of their own. */
#ifndef ARCH_X86_KVM_MSR_H
#define ARCH_X86_KVM_MSR_H

#include <kvm/x86/vcpu.h>

enum msr_flags {
	MSR_LISTED	= 1 << 0,	/* in KVM_GET_MSR_INDEX_LIST */
	MSR_PASS_READ	= 1 << 1,	/* the guest may read it without an exit */
	MSR_PASS_WRITE	= 1 << 2,
	MSR_PASS	= MSR_PASS_READ | MSR_PASS_WRITE,
	MSR_INTEL	= 1 << 3,	/* only on Intel hosts */
	MSR_AMD		= 1 << 4,
};

struct msr_row {
	u32 first, last;		/* inclusive */
	u32 flags;
	enum msr_result (*get)(struct x86_vcpu *v, u32 msr, u64 *val, bool host);
	enum msr_result (*set)(struct x86_vcpu *v, u32 msr, u64 val, bool host);
	bool (*exists)(void);		/* NULL: on every host */
};

extern const struct msr_row msr_table[];
extern const unsigned int msr_table_rows;

/* mtrr.c: MTRRs and PAT's memory types */
enum msr_result mtrr_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host);
enum msr_result mtrr_set(struct x86_vcpu *v, u32 msr, u64 val, bool host);
bool pat_ok(u64 pat);

/* mce.c */
enum msr_result mce_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host);
enum msr_result mce_set(struct x86_vcpu *v, u32 msr, u64 val, bool host);

/* msr_filter.c: may the guest access it? kvm->srcu. */
bool msr_allowed(struct x86_vm *vm, u32 msr, bool write);

/* MSRs that describe the CPU model: their value for a new vCPU and for KVM_GET_MSRS on /dev/kvm. */
bool msr_feature_value(u32 msr, u64 *val);

#endif
