/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual machine control block (APM volume 2, appendix B) and the numbers that go into it. One page: controls in
 * the first kilobyte, the save area from 400H on. VMSAVE and VMLOAD use the same save area, also of a page that is
 * never run.
 */
#ifndef ARCH_X86_KVM_SVM_VMCB_H
#define ARCH_X86_KVM_SVM_VMCB_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/mm.h>
#include <uapi/asm/svm.h>		/* numbers of the exit codes */

/* Intercepts: word and bit. */
enum { ICW_CR, ICW_DR, ICW_EXC, ICW_3, ICW_4, ICW_5, NR_ICW };
#define IC_CR_READ(n)	BIT(n)
#define IC_CR_WRITE(n)	BIT(16 + (n))
#define IC_DR_ALL	0x00ff00ff
#define IC3_INTR	BIT(0)
#define IC3_NMI		BIT(1)
#define IC3_SMI		BIT(2)
#define IC3_INIT	BIT(3)
#define IC3_VINTR	BIT(4)
#define IC3_CR0_SEL	BIT(5)		/* CR0 writes that change more than TS and MP */
#define IC3_RDTSC	BIT(14)
#define IC3_RDPMC	BIT(15)
#define IC3_CPUID	BIT(18)
#define IC3_RSM		BIT(19)
#define IC3_IRET	BIT(20)
#define IC3_INVD	BIT(22)
#define IC3_PAUSE	BIT(23)
#define IC3_HLT		BIT(24)
#define IC3_INVLPG	BIT(25)
#define IC3_INVLPGA	BIT(26)
#define IC3_IOIO	BIT(27)
#define IC3_MSR		BIT(28)
#define IC3_TASK	BIT(29)
#define IC3_SHUTDOWN	BIT(31)
#define IC4_VMRUN	BIT(0)
#define IC4_VMMCALL	BIT(1)
#define IC4_VMLOAD	BIT(2)
#define IC4_VMSAVE	BIT(3)
#define IC4_STGI	BIT(4)
#define IC4_CLGI	BIT(5)
#define IC4_SKINIT	BIT(6)
#define IC4_RDTSCP	BIT(7)
#define IC4_WBINVD	BIT(9)
#define IC4_MONITOR	BIT(10)
#define IC4_MWAIT	BIT(11)
#define IC4_MWAIT_ARMED	BIT(12)
#define IC4_XSETBV	BIT(13)
#define IC4_RDPRU	BIT(14)
#define IC5_INVPCID	BIT(2)

#define TLBC_KEEP	0
#define TLBC_FLUSH_ALL	1		/* every ASID */
#define TLBC_FLUSH_ASID	3

/* int_ctl, and what is at 68H */
#define VI_TPR		0x0f
#define VI_IRQ		BIT(8)
#define VI_PRIO		(0xf << 16)
#define VI_IGN_TPR	BIT(20)
#define VI_MASKING	BIT(24)
#define INT_SHADOW	BIT(0)

/* Clean bits: what the CPU may take from its cache of this VMCB. */
#define CLEAN_INTERCEPTS BIT(0)		/* intercepts, TSC offset, pause filter */
#define CLEAN_MAPS	BIT(1)
#define CLEAN_ASID	BIT(2)
#define CLEAN_INTR	BIT(3)
#define CLEAN_NP	BIT(4)		/* nested CR3, PAT */
#define CLEAN_CR	BIT(5)		/* CR0, CR3, CR4, EFER */
#define CLEAN_DR	BIT(6)
#define CLEAN_DT	BIT(7)
#define CLEAN_SEG	BIT(8)		/* CS, DS, SS, ES, CPL */
#define CLEAN_CR2	BIT(9)
#define CLEAN_ALL	0x3ff

/* EVENTINJ and EXITINTINFO */
#define EVINJ_TYPE_SHIFT 8
#define EVINJ_TYPE	(7 << EVINJ_TYPE_SHIFT)
#define EVINJ_ERROR	BIT(11)
#define EVINJ_VALID	BIT_ULL(31)

#define VMCB_SEG_L	BIT(9)

struct vmcb_seg {
	u16 sel;
	u16 attr;			/* access rights, bits 8 to 11 of them where a descriptor has 12 to 15 */
	u32 limit;
	u64 base;
};

struct vmcb {
	u32 intercept[NR_ICW];
	u8 res_18[0x3c - 0x18];
	u16 pause_threshold;
	u16 pause_count;
	u64 iopm;
	u64 msrpm;
	u64 tsc_offset;
	u32 asid;
	u32 tlb_control;
	u32 int_ctl;
	u32 int_vector;
	u64 int_state;
	u64 exit_code;
	u64 exit_info1;
	u64 exit_info2;
	u64 exit_int_info;
	u64 np_enable;
	u64 avic_bar;
	u64 ghcb;
	u64 event_inj;
	u64 nested_cr3;
	u64 virt_ext;
	u32 clean;
	u32 res_c4;
	u64 next_rip;
	u8 insn_len;
	u8 insn_bytes[15];
	u8 res_e0[0x400 - 0xe0];

	struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 res_4a0[0xcb - 0xa0];
	u8 cpl;
	u32 res_4cc;
	u64 efer;
	u8 res_4d8[0x148 - 0xd8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u8 res_580[0x1d8 - 0x180];
	u64 rsp;
	u64 s_cet, ssp, isst;
	u64 rax;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2;
	u8 res_648[0x268 - 0x248];
	u64 g_pat;
	u64 dbgctl, br_from, br_to, excp_from, excp_to;
	u8 res_698[0x2e0 - 0x298];
	u64 spec_ctrl;
	u8 res_6e8[0x1000 - 0x6e8];
};

static_assert(offsetof(struct vmcb, iopm) == 0x40);
static_assert(offsetof(struct vmcb, exit_code) == 0x70);
static_assert(offsetof(struct vmcb, event_inj) == 0xa8);
static_assert(offsetof(struct vmcb, insn_bytes) == 0xd1);
static_assert(offsetof(struct vmcb, tr) == 0x490);
static_assert(offsetof(struct vmcb, cpl) == 0x4cb);
static_assert(offsetof(struct vmcb, cr4) == 0x548);
static_assert(offsetof(struct vmcb, rip) == 0x578);
static_assert(offsetof(struct vmcb, rsp) == 0x5d8);
static_assert(offsetof(struct vmcb, rax) == 0x5f8);
static_assert(offsetof(struct vmcb, cr2) == 0x640);
static_assert(offsetof(struct vmcb, g_pat) == 0x668);
static_assert(offsetof(struct vmcb, spec_ctrl) == 0x6e0);
static_assert(sizeof(struct vmcb) == PAGE_SIZE);

#endif
