/* SPDX-License-Identifier: GPL-2.0-only */
/* Where host kernels differ in looking at user memory from inside the kernel. */
#ifndef COMPAT_MM_H
#define COMPAT_MM_H

#include <linux/mm.h>
#include <linux/sched/mm.h>

/* Lets any signal, not only a fatal one, end the wait for a page (userfaultfd); where there: -EINTR. */
#ifdef HAVE_FOLL_INTERRUPTIBLE
#define COMPAT_FOLL_INTERRUPTIBLE	FOLL_INTERRUPTIBLE
#else
#define COMPAT_FOLL_INTERRUPTIBLE	0
#endif

/*
 * The frame that a VM_IO or VM_PFNMAP mapping has at addr, and whether it may be written. mmap_lock held for
 * reading. The answer holds until the next invalidation of the range, so the caller needs an MMU notifier. -errno:
 * nothing is mapped.
 */
static inline int compat_follow_pfn(struct vm_area_struct *vma, unsigned long addr, unsigned long *pfn, bool *writable)
{
#if defined(HAVE_FOLLOW_PFNMAP)
	struct follow_pfnmap_args args = { .vma = vma, .address = addr };
	int err = follow_pfnmap_start(&args);

	if (err)
		return err;
	*pfn = args.pfn;
	*writable = args.writable;
	follow_pfnmap_end(&args);
#else
	spinlock_t *ptl;
	pte_t *ptep, pte;
	int err = follow_pte(vma->vm_mm, addr, &ptep, &ptl);

	if (err)
		return err;
	__acquire(ptl);		/* for sparse: follow_pte() took it */
	pte = *ptep;
	*pfn = pte_pfn(pte);
	*writable = pte_write(pte);
	pte_unmap_unlock(ptep, ptl);
#endif
	return 0;
}

#endif
