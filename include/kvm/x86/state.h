/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's register state as the core sees it: a cache of what hardware holds. After an exit only
 * the groups in `valid` are here; state_need() has the vendor fetch others on first use. What the core
 * changes it marks dirty, and the vendor writes dirty groups to hardware before the next entry. So no
 * field crosses between hardware and memory unless somebody uses it.
 *
 * Only the vCPU thread (vcpu->mutex held, vCPU loaded) may touch it.
 */
#ifndef KVM_X86_STATE_H
#define KVM_X86_STATE_H

#include <linux/types.h>
#include <linux/bits.h>

/* Index in gpr[]: the encoding of instructions. RSP belongs to group G_RSP, the others are always valid. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NR_GPRS };

/* Index in seg[]: the encoding of instructions, then the system segments. */
enum seg_reg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, NR_SEGS };

/* Groups: what is fetched and committed together. */
enum {
	G_RIP		= BIT(0),
	G_RSP		= BIT(1),
	G_RFLAGS	= BIT(2),
	G_CR0		= BIT(3),
	G_CR3		= BIT(4),
	G_CR4		= BIT(5),
	G_EFER		= BIT(6),
	G_CR2		= BIT(7),	/* always valid where hardware does not switch it */
	G_GDTR		= BIT(8),
	G_IDTR		= BIT(9),
	G_SHADOW	= BIT(10),	/* interruptibility: intr_shadow and nmi_masked */
	G_DR6		= BIT(11),
	G_DR7		= BIT(12),
	G_SYSENTER	= BIT(13),
	G_PAT		= BIT(14),
	G_DEBUGCTL	= BIT(15),
	G_PDPTR		= BIT(16),
	G_SYSCALL	= BIT(17),	/* STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE */
	G_CPL		= BIT(18),	/* fetch only: follows SS or VMCB.CPL */
	G_LONG		= BIT(19),	/* fetch only, like it: CS.L */
	G_SEG0		= BIT(24),	/* one bit a segment, ES first */
	G_SEGS		= 0xff << 24,
};
#define G_SEG(s)	BIT(24 + (s))

/* A segment register with its hidden part; attributes in the layout of VMX access rights (SDM 25.4.1). */
struct x86_seg {
	u64 base;
	u32 limit;			/* in bytes, granularity applied */
	u16 sel;
	u32 attr;
};
#define SEG_TYPE	0x000f
#define SEG_S		0x0010
#define SEG_DPL_SHIFT	5
#define SEG_DPL		0x0060
#define SEG_P		0x0080
#define SEG_AVL		0x1000
#define SEG_L		0x2000
#define SEG_DB		0x4000
#define SEG_G		0x8000
#define SEG_UNUSABLE	0x10000

struct x86_dtable {
	u64 base;
	u16 limit;
};

struct x86_state {
	u64 gpr[NR_GPRS];
	u64 rip, rflags;
	u64 cr0, cr2, cr3, cr4;		/* as the guest sees them */
	u64 efer;
	u64 dr[4], dr6, dr7;		/* dr[]: see debug.c for who holds them */
	u64 pdptr[4];
	struct x86_seg seg[NR_SEGS];
	struct x86_dtable gdt, idt;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 star, lstar, cstar, fmask, kernel_gs_base;
	u64 pat, debugctl;
	u8 cpl;
	bool cs_l;			/* G_LONG: where CS itself is not here */
	u8 intr_shadow;			/* SHADOW_* */
	bool nmi_masked;		/* an NMI handler runs: until IRET */
	u32 valid, dirty;		/* groups */
};
#define SHADOW_STI	1		/* as KVM_X86_SHADOW_INT_STI, _MOV_SS are 2 and 1 in the ABI: converted there */
#define SHADOW_MOV_SS	2

#endif
