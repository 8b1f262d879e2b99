/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the files that hold register state: regs.c, sregs.c, xstate.c, cpuid.c, cpuid_host.c, caps.c. */
#ifndef ARCH_X86_KVM_REGS_H
#define ARCH_X86_KVM_REGS_H

#include <asm/processor-flags.h>
#include <kvm/x86/vcpu.h>

/* regs.c: what the architecture says about a value alone, without the guest's current state. */
#define CR0_DEFINED	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | \
			 X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
/* Changes that alter how the guest's page tables are read. */
#define CR0_MMU_BITS	(X86_CR0_PG | X86_CR0_WP)
#define CR4_MMU_BITS	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_LA57 | X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE)
/* Bits that CPUID mirrors. */
#define CR4_CPUID_BITS	(X86_CR4_OSXSAVE | X86_CR4_PKE)

bool cr0_value_ok(struct x86_vcpu *v, u64 cr0);
bool cr4_value_ok(struct x86_vcpu *v, u64 cr4);
/* Bits 63:MAXPHYADDR of the guest. */
u64 guest_phys_reserved(const struct x86_vcpu *v);

/* xstate.c */
bool xcr0_value_ok(const struct x86_vcpu *v, u64 xcr0);
void xcr0_set(struct x86_vcpu *v, u64 xcr0);
u32 xstate_user_size(void);		/* of KVM_GET_XSAVE2's buffer: KVM_CAP_XSAVE2 */

/* cpuid_host.c: what guests may have, fixed when the module loads. */
const struct kvm_cpuid_entry2 *cpuid_supported(u32 function, u32 index);
/* Bytes of an XSAVE area with these components, in standard or compacted form (SDM vol. 1, 13.4). */
u32 xsave_area_size(u64 components, bool compacted);

/* reg: 0 EAX, 1 EBX, 2 ECX, 3 EDX. */
static inline u32 cpuid_reg(const struct kvm_cpuid_entry2 *e, int reg)
{
	const u32 r[] = { e->eax, e->ebx, e->ecx, e->edx };

	return r[reg & 3];
}

#endif
