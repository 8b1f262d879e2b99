/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's access to guest memory: through the VMM's page tables (copy_to/from_user), never by a
 * pinned page. All may sleep unless named atomic; the caller is in kvm->srcu and runs in the VM's mm.
 */
#ifndef KVM_GUEST_MEM_H
#define KVM_GUEST_MEM_H

#include <kvm/memslot.h>

/* 0, or -EFAULT when a byte of it is in no slot, read-only for a write, or not mapped by the VMM. */
int kvm_read_guest(struct kvm *kvm, gpa_t gpa, void *data, size_t len);
int kvm_write_guest(struct kvm *kvm, gpa_t gpa, const void *data, size_t len);
/* As above through the vCPU's address space and slot cache. */
int vcpu_read_guest(struct kvm_vcpu *vcpu, gpa_t gpa, void *data, size_t len);
int vcpu_write_guest(struct kvm_vcpu *vcpu, gpa_t gpa, const void *data, size_t len);
/* 16 bytes that lie in one page: what an instruction is in. */
int vcpu_read_guest_16(struct kvm_vcpu *vcpu, gpa_t gpa, u64 data[2]);
/*
 * Atomic compare-and-exchange of 1, 2, 4 or 8 bytes inside a page (inside a cache line where the host detects split
 * locks), or 16 aligned ones. Returns 0 and sets *done to whether memory held *old (else *old is what it held), or
 * -EFAULT.
 */
#define GUEST_LINE	64
int vcpu_cmpxchg_guest(struct kvm_vcpu *vcpu, gpa_t gpa, unsigned int len, void *old,
		       const void *new, bool *done);

/* A guest address that is accessed again and again: the slot is looked up when the layout changed. */
struct gpa_cache {
	u64 generation;
	gpa_t gpa;
	hva_t hva;
	u32 len;
	struct memslot *slot;
};

int gpa_cache_init(struct kvm *kvm, struct gpa_cache *c, gpa_t gpa, u32 len);
int gpa_cache_read(struct kvm *kvm, struct gpa_cache *c, void *data, u32 offset, u32 len);
int gpa_cache_write(struct kvm *kvm, struct gpa_cache *c, const void *data, u32 offset, u32 len);

/*
 * The host frame behind a guest frame, brought in if need be. Takes no reference that outlives the
 * call's use: the caller installs it under kvm->mmu_lock after checking notifier_retry(seq, hva), then
 * calls host_page_put(). Asked for writing, *writable tells on a read whether a write mapping is allowed.
 */
struct host_page {
	hfn_t hfn;
	struct page *page;	/* NULL: no struct page or not refcounted (VM_PFNMAP) */
	bool writable;
};

enum pin_result { PIN_OK, PIN_HWPOISON, PIN_FAULT, PIN_INTR, PIN_AGAIN };
enum pin_result host_page_get(struct kvm *kvm, hva_t hva, bool write, bool atomic, struct host_page *hp);
void host_page_put(struct host_page *hp, bool dirty, bool accessed);

/* The largest page (level 1: 4K, 2: 2M, 3: 1G) by which the VMM's own page table maps hva. IRQs on. */
int host_mapping_level(struct kvm *kvm, hva_t hva);

#endif
