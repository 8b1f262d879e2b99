/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Compare-and-exchange on user memory. The kernel's own helper stops at eight bytes, so the sixteen-byte form is
 * here (CMPXCHG16B, SDM vol. 2; every CPU with VT-x or AMD-V has it).
 */
#ifndef COMPAT_UACCESS_H
#define COMPAT_UACCESS_H

#include <linux/uaccess.h>
#include <asm/asm.h>
#include <asm/cpufeature.h>

/*
 * p is 16-byte aligned. 0: *done tells whether memory held old[], which now is what it held; -EFAULT. May sleep.
 */
static inline int user_cmpxchg_pair(u64 __user *p, u64 old[2], const u64 new[2], bool *done)
{
	int err = 0;
	bool ok = false;

	if (!user_access_begin(p, 16))
		return -EFAULT;
	asm volatile("1:	lock cmpxchg16b %[mem]\n"
		     "	setz %[ok]\n"
		     "2:\n"
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG, %[err])
		     : [mem] "+m" (*(__force u64 (*)[2])p), [ok] "+q" (ok), [err] "+r" (err),
		       "+a" (old[0]), "+d" (old[1])
		     : "b" (new[0]), "c" (new[1])
		     : "memory", "cc");
	user_access_end();
	*done = ok;
	return err;
}

/*
 * May an exchange reach over the end of a cache line? The processor takes the bus for it, as for the same access from
 * user mode; but where split locks are detected, one in the kernel is an exception that the host does not survive.
 */
static inline bool user_cmpxchg_may_split(void)
{
	return !boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT);
}

#endif
