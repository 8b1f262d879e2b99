/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hardware exit as facts, in the core's terms: the vendor fills what the kind needs, nothing else,
 * and the core's table (exit.c) decides. Everything here is guest-controlled.
 */
#ifndef KVM_X86_EXIT_H
#define KVM_X86_EXIT_H

#include <kvm/x86/event.h>

enum exit_kind {
	EXIT_UNKNOWN,		/* no row in the vendor's table: hw_reason */
	EXIT_HANDLED,		/* the vendor dealt with it wholly (a host IRQ or NMI, a window it opened itself) */
	EXIT_ENTRY_FAILED,	/* hardware refused the state: hw_reason is what user space is told */
	EXIT_SHUTDOWN,		/* triple fault */
	EXIT_EXCEPTION,		/* vector, has_error/error, addr (CR2 of #PF, DR6 bits of #DB) */
	EXIT_IRQ_WINDOW,
	EXIT_NMI_WINDOW,	/* NMIs are no longer masked */
	EXIT_INIT_SIPI,		/* INIT/SIPI signals: ignored */
	EXIT_CPUID,
	EXIT_HLT,
	EXIT_PAUSE,
	EXIT_MONITOR,
	EXIT_MWAIT,
	EXIT_RDTSC,
	EXIT_RDTSCP,
	EXIT_RDPMC,
	EXIT_RDRAND, EXIT_RDSEED,
	EXIT_INVD,
	EXIT_WBINVD,
	EXIT_XSETBV,
	EXIT_RDMSR,
	EXIT_WRMSR,
	EXIT_HYPERCALL,		/* VMCALL / VMMCALL */
	EXIT_IO,		/* io */
	EXIT_CR,		/* cr */
	EXIT_DR,		/* cr (nr = debug register, write, gpr) */
	EXIT_INVLPG,		/* addr */
	EXIT_INVPCID,		/* gpr = register operand of the type, gva of descriptor by the emulator */
	EXIT_TASK_SWITCH,	/* task */
	EXIT_DESC_TABLE,	/* LGDT.. LTR under interception: emulate */
	EXIT_NESTED_PF,		/* gpa, error = PFERR_* as AMD's (P W U R I) + PFERR_GUEST_*, gva_valid */
	EXIT_MMIO,		/* gpa: a mapping that the MMU made to trap (EPT misconfiguration, NPT reserved bit) */
	EXIT_APIC_ACCESS,	/* addr = page offset; emulate */
	EXIT_APIC_WRITE,	/* addr = page offset: hardware wrote the register, the core acts on it */
	EXIT_EOI,		/* vector: virtualised EOI of a level interrupt */
	EXIT_TPR_BELOW,		/* TPR threshold */
	EXIT_CR8_WRITE,
	EXIT_PREEMPT_TIMER,
	EXIT_PML_FULL,
	EXIT_MTF,
	EXIT_BAD_STATE,		/* guest state that hardware cannot run: interpret */
	EXIT_NESTED_INSN,	/* a VMX or SVM instruction: hw_reason says which */
	EXIT_SMI, EXIT_RSM,
	EXIT_BUS_LOCK,
	EXIT_NOTIFY,		/* info1: context valid? */
	EXIT_UD_INSN,		/* intercepted only to be refused: #UD (ENCLS, GETSEC, ...) */
	EXIT_EMULATE,		/* run the emulator on the instruction at RIP */
	NR_EXIT_KINDS
};

/* Page-fault error code (SDM 4.7); the nested ones as AMD's EXITINFO1 (APM 15.25.6). */
#define PFERR_P		BIT_ULL(0)
#define PFERR_W		BIT_ULL(1)
#define PFERR_U		BIT_ULL(2)
#define PFERR_RSVD	BIT_ULL(3)
#define PFERR_I		BIT_ULL(4)
#define PFERR_PK	BIT_ULL(5)
#define PFERR_GUEST_FINAL	BIT_ULL(32)	/* the access itself */
#define PFERR_GUEST_PAGE	BIT_ULL(33)	/* a guest page-table access on the way */

struct vm_exit {
	u32 kind;
	u32 hw_reason;			/* as the vendor's manual numbers it; traces, FAIL_ENTRY */
	u64 info1, info2;		/* raw qualification; traces */
	u8 insn_len;			/* 0: not given by hardware */
	u8 insn_bytes_len;		/* decode assists */
	u8 insn_bytes[15];
	u8 vector;
	bool has_error;
	bool gva_valid;
	u64 error;			/* exception's or nested page fault's */
	u64 addr;			/* linear address or offset, by kind */
	gpa_t gpa;
	u64 gva;
	union {
		struct { u16 port; u8 size; bool in, string, rep; u8 seg; u8 asize; } io;
		struct { u8 nr; u8 gpr; bool write; bool clts, lmsw; u16 value; bool gpr_known; } cr;
		struct { u16 sel; u8 source; /* 0 CALL 1 IRET 2 JMP 3 gate */ bool has_error; u32 error; } task;
	};
};

#endif
