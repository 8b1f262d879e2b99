/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Paging: the tables under the guest (EPT, NPT, later shadow) and the walk of the guest's own.
 */
#ifndef KVM_X86_MMU_H
#define KVM_X86_MMU_H

#include <kvm/types.h>
#include <kvm/x86/exit.h>

struct x86_vm;
struct x86_vcpu;
struct vendor_caps;
struct mmu_vm;
struct mmu_vcpu;

int mmu_module_init(const struct vendor_caps *caps);	/* vendor registration: picks the formats */
void mmu_module_exit(void);
int mmu_vm_init(struct x86_vm *vm);
void mmu_vm_destroy(struct x86_vm *vm);
int mmu_vcpu_init(struct x86_vcpu *v);
void mmu_vcpu_free(struct x86_vcpu *v);

/* vCPU thread, before entry, in kvm->srcu: the root to run on is there and the vendor knows it. May sleep. */
enum outcome mmu_load_root(struct x86_vcpu *v);
/* CR0, CR3, CR4, EFER, CPUID or SMM changed in a way that changes how the guest's tables are read. */
void mmu_mode_changed(struct x86_vcpu *v);
/* The guest loaded CR3 (new value in state): what that flushes. */
void mmu_cr3_loaded(struct x86_vcpu *v, bool keep_tlb);
void mmu_invlpg(struct x86_vcpu *v, u64 gva);

/* What a fault on a guest-physical address needs. vCPU thread, in kvm->srcu; may sleep. */
enum fault_end {
	FAULT_FIXED,		/* mapped: run again */
	FAULT_MMIO,		/* no memory there (or read-only and written): emulate the instruction */
	FAULT_USER,		/* vcpu->run is filled (memory fault exit) */
	FAULT_RETRY,		/* something changed meanwhile: run again */
	FAULT_ERROR,		/* host error in vcpu->error */
};
enum fault_end mmu_fault(struct x86_vcpu *v, gpa_t gpa, u64 error /* PFERR_* */);
/* The trapping mapping (EXIT_MMIO): true and *gpa unchanged if the page is still no memory. */
bool mmu_mmio_valid(struct x86_vcpu *v, gpa_t gpa);

/* Writes that the CPU logged (PML), into the slots' bitmaps. vCPU thread, loaded; IRQs may be off. */
void mmu_drain_log(struct x86_vcpu *v);

/* The guest's own tables. */
enum { ACC_W = 1, ACC_X = 2, ACC_U = 4, ACC_IMPLICIT = 8 /* supervisor access made by hardware: ignores EFLAGS.AC */ };
struct guest_fault {
	bool failed;
	u32 error;		/* of the #PF */
	u64 cr2;
};
/*
 * Linear to guest-physical as the hardware would now translate an access of kind acc (ACC_U only if CPL is 3
 * or the access is a user one); sets A/D bits. false: *f is the #PF to raise. vCPU thread, in kvm->srcu.
 */
bool mmu_translate(struct x86_vcpu *v, u64 gva, u32 acc, gpa_t *gpa, struct guest_fault *f);
/* 16 bytes of code at la, as it would be fetched at the CPL. false: not in one page, or a fault, or no memory. */
bool mmu_fetch(struct x86_vcpu *v, u64 la, u64 code[2]);
/* KVM_TRANSLATE: without side effects. */
bool mmu_peek(struct x86_vcpu *v, u64 gva, gpa_t *gpa, bool *writable, bool *user);
/* PAE: reads the four PDPTEs CR3 points at into state; false: a reserved bit is set (#GP). */
bool mmu_load_pdptrs(struct x86_vcpu *v, u64 cr3);
/* Highest guest-physical bit allowed by guest CPUID: reserved-bit mask for CR3 and tables. */
u64 mmu_reserved_gpa_bits(struct x86_vcpu *v);
/*
 * Bits that must be zero in a present PDPTE (SDM table 4-8). On AMD-V the accessed bit is let through: a processor that
 * walks by one routine for all formats (QEMU's emulation) sets it in PDPTEs too, and the guest goes on.
 */
u64 mmu_pdpte_reserved(struct x86_vcpu *v);

#endif
