// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory type range registers (SDM 12.11). The guest's MTRRs are kept and checked as hardware does, and decide
 * nothing: guest memory is ordinary host memory, always write-back (mmu/ sets the type of what is not).
 *
 * vCPU thread.
 */
#include <linux/nospec.h>
#include <asm/msr-index.h>
#include "msr.h"

#define MTRR_VARIABLE	8
#define MTRR_CAP	(0x500 | MTRR_VARIABLE)		/* WC, fixed ranges */
#define MTRR_DEF_BITS	0xcffull

static bool type_ok(u8 type)
{
	return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

bool pat_ok(u64 pat)
{
	int i;

	for (i = 0; i < 8; i++, pat >>= 8)
		if (!type_ok(pat & 0xff) && (pat & 0xff) != 7)
			return false;
	return true;
}

static bool fixed_ok(u64 val)
{
	int i;

	for (i = 0; i < 8; i++, val >>= 8)
		if (!type_ok(val & 0xff))
			return false;
	return true;
}

/* Place of a fixed-range register in mtrr_fix[], or -1. */
static int fixed_index(u32 msr)
{
	switch (msr) {
	case MSR_MTRRfix64K_00000:
		return 0;
	case MSR_MTRRfix16K_80000:
	case MSR_MTRRfix16K_A0000:
		return 1 + msr - MSR_MTRRfix16K_80000;
	case MSR_MTRRfix4K_C0000 ... MSR_MTRRfix4K_F8000:
		return 3 + array_index_nospec(msr - MSR_MTRRfix4K_C0000, 8);
	}
	return -1;
}

enum msr_result mtrr_get(struct x86_vcpu *v, u32 msr, u64 *val, bool host)
{
	int i = fixed_index(msr);

	if (msr == MSR_MTRRcap)
		*val = MTRR_CAP;
	else if (msr == MSR_MTRRdefType)
		*val = v->mtrr_def;
	else if (i >= 0)
		*val = v->mtrr_fix[i];
	else if (msr - 0x200 < 2 * MTRR_VARIABLE)
		*val = v->mtrr_var[array_index_nospec(msr - 0x200, 2 * MTRR_VARIABLE)];
	else
		return MSR_UNKNOWN;
	return MSR_OK;
}

static bool variable_ok(struct x86_vcpu *v, u32 n, u64 val)
{
	u64 reserved = ~0ull << v->cap.maxphyaddr;

	if (val & reserved)
		return false;
	return n & 1 ? !(val & 0x7ff) : type_ok(val & 0xff) && !(val & 0xf00);
}

enum msr_result mtrr_set(struct x86_vcpu *v, u32 msr, u64 val, bool host)
{
	int i = fixed_index(msr);
	u32 n = msr - 0x200;

	if (msr == MSR_MTRRdefType) {
		if ((val & ~MTRR_DEF_BITS) || !type_ok(val & 0xff))
			return MSR_FAULT;
		v->mtrr_def = val;
	} else if (i >= 0) {
		if (!fixed_ok(val))
			return MSR_FAULT;
		v->mtrr_fix[i] = val;
	} else if (n < 2 * MTRR_VARIABLE) {
		if (!variable_ok(v, n, val))
			return MSR_FAULT;
		v->mtrr_var[array_index_nospec(n, 2 * MTRR_VARIABLE)] = val;
	} else {
		return msr == MSR_MTRRcap ? MSR_FAULT : MSR_UNKNOWN;
	}
	return MSR_OK;
}
