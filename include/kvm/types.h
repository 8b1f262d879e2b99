/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses that the compiler keeps apart, and the named outcomes of everything that can
 * end in more than one way.
 */
#ifndef KVM_TYPES_H
#define KVM_TYPES_H

#include <linux/types.h>
#include <linux/kvm_types.h>
#include <linux/mm.h>

struct kvm;
struct kvm_vcpu;

/* Guest virtual, guest physical, host virtual, host physical; frame numbers of the physical ones. */
typedef struct { u64 v; } kvm_gva_t;
typedef struct { u64 v; } kvm_gpa_t;
typedef struct { u64 v; } kvm_gfn_t;
typedef struct { unsigned long v; } kvm_hva_t;
typedef struct { u64 v; } kvm_hpa_t;
typedef struct { u64 v; } kvm_hfn_t;

/*
 * Newer kernels' linux/kvm.h brings in linux/kvm_types.h, which has plain integers under these names. So it
 * is read first, and the names mean ours from here on.
 */
#define gva_t	kvm_gva_t
#define gpa_t	kvm_gpa_t
#define gfn_t	kvm_gfn_t
#define hva_t	kvm_hva_t
#define hpa_t	kvm_hpa_t
#define hfn_t	kvm_hfn_t

#define GVA(x)	((gva_t){ (x) })
#define GPA(x)	((gpa_t){ (x) })
#define GFN(x)	((gfn_t){ (x) })
#define HVA(x)	((hva_t){ (unsigned long)(x) })
#define HPA(x)	((hpa_t){ (x) })
#define HFN(x)	((hfn_t){ (x) })

static inline gfn_t gfn_of(gpa_t a) { return GFN(a.v >> PAGE_SHIFT); }
static inline gpa_t gpa_of(gfn_t n) { return GPA(n.v << PAGE_SHIFT); }
static inline hfn_t hfn_of(hpa_t a) { return HFN(a.v >> PAGE_SHIFT); }
static inline hpa_t hpa_of(hfn_t n) { return HPA(n.v << PAGE_SHIFT); }
static inline void __user *hva_ptr(hva_t a) { return (void __user *)a.v; }

#define GPA_NONE	GPA(~0ull)

/* How a piece of work for the guest ended. */
enum outcome {
	OUT_OK,		/* finished; the guest goes on */
	OUT_FAULT,	/* an exception is queued for the guest, which goes on with it */
	OUT_USER,	/* vcpu->run says what user space has to do first */
	OUT_ERROR,	/* the host failed: vcpu->error holds -errno */
};

#endif
