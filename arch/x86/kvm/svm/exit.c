// SPDX-License-Identifier: GPL-2.0-only
/*
 * A #VMEXIT as facts: one table from exit code to kind, and for the kinds that carry more, what EXITINFO1 and 2 say
 * (APM appendix C). Where the CPU has no decode assists, the operand of an instruction is not known: such exits say
 * so (gpr_known), or ask for the emulator.
 *
 * vCPU thread; IRQs on or off.
 */
#define pr_fmt(fmt) "kvm_amd: " fmt
#include <linux/nospec.h>
#include <linux/printk.h>
#include <uapi/asm/debugreg.h>
#include <asm/traps.h>
#include "svm.h"

#define INFO1_MOV_CR	BIT_ULL(63)	/* decode assists: it is MOV, its GPR is in 3:0 */

static const u8 kinds[] = {
	[SVM_EXIT_READ_CR0 ... SVM_EXIT_READ_CR0 + 15]		= EXIT_CR,
	[SVM_EXIT_WRITE_CR0 ... SVM_EXIT_WRITE_CR0 + 15]	= EXIT_CR,
	[SVM_EXIT_READ_DR0 ... SVM_EXIT_READ_DR0 + 15]		= EXIT_DR,
	[SVM_EXIT_WRITE_DR0 ... SVM_EXIT_WRITE_DR0 + 15]	= EXIT_DR,
	[SVM_EXIT_EXCP_BASE ... SVM_EXIT_LAST_EXCP]		= EXIT_EXCEPTION,
	[SVM_EXIT_INTR]		= EXIT_HANDLED,
	[SVM_EXIT_NMI]		= EXIT_HANDLED,		/* STGI took it */
	[SVM_EXIT_SMI]		= EXIT_HANDLED,		/* the host's */
	[SVM_EXIT_INIT]		= EXIT_INIT_SIPI,
	[SVM_EXIT_VINTR]	= EXIT_IRQ_WINDOW,
	[SVM_EXIT_CR0_SEL_WRITE] = EXIT_CR,
	[SVM_EXIT_IDTR_READ ... SVM_EXIT_TR_WRITE] = EXIT_DESC_TABLE,
	[SVM_EXIT_RDTSC]	= EXIT_RDTSC,
	[SVM_EXIT_RDPMC]	= EXIT_RDPMC,
	[SVM_EXIT_PUSHF]	= EXIT_EMULATE,
	[SVM_EXIT_POPF]		= EXIT_EMULATE,
	[SVM_EXIT_CPUID]	= EXIT_CPUID,
	[SVM_EXIT_RSM]		= EXIT_RSM,
	[SVM_EXIT_IRET]		= EXIT_HANDLED,
	[SVM_EXIT_SWINT]	= EXIT_EMULATE,
	[SVM_EXIT_INVD]		= EXIT_INVD,
	[SVM_EXIT_PAUSE]	= EXIT_PAUSE,
	[SVM_EXIT_HLT]		= EXIT_HLT,
	[SVM_EXIT_INVLPG]	= EXIT_INVLPG,
	[SVM_EXIT_INVLPGA]	= EXIT_NESTED_INSN,
	[SVM_EXIT_IOIO]		= EXIT_IO,
	[SVM_EXIT_MSR]		= EXIT_RDMSR,
	[SVM_EXIT_TASK_SWITCH]	= EXIT_TASK_SWITCH,
	[SVM_EXIT_SHUTDOWN]	= EXIT_SHUTDOWN,
	[SVM_EXIT_VMRUN]	= EXIT_NESTED_INSN,
	[SVM_EXIT_VMMCALL]	= EXIT_HYPERCALL,
	[SVM_EXIT_VMLOAD ... SVM_EXIT_SKINIT] = EXIT_NESTED_INSN,
	[SVM_EXIT_RDTSCP]	= EXIT_RDTSCP,
	[SVM_EXIT_WBINVD]	= EXIT_WBINVD,
	[SVM_EXIT_MONITOR]	= EXIT_MONITOR,
	[SVM_EXIT_MWAIT]	= EXIT_MWAIT,
	[SVM_EXIT_MWAIT_COND]	= EXIT_MWAIT,
	[SVM_EXIT_XSETBV]	= EXIT_XSETBV,
	[SVM_EXIT_RDPRU]	= EXIT_UD_INSN,
	[SVM_EXIT_INVPCID]	= EXIT_UD_INSN,
};

/* #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX push an error code. */
#define HAS_ERROR	(BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17) | BIT(21) | BIT(29) | \
			 BIT(30))

static void exception(const struct svm_vcpu *svm, struct vm_exit *x)
{
	const struct vmcb *b = svm->vmcb;

	x->vector = x->hw_reason & 0x1f;
	x->has_error = HAS_ERROR >> x->vector & 1;
	x->error = x->info1;
	switch (x->vector) {
	case X86_TRAP_PF:
		x->addr = x->info2;
		break;
	case X86_TRAP_DB:
		/* DR6 in the VMCB is up to date; the core adds these bits to it, which changes nothing. */
		x->addr = (b->dr6 ^ DR6_RESERVED) &
			  (DR_TRAP_BITS | DR_STEP | DR_SWITCH | DR_BUS_LOCK | BIT(13) | BIT(16));
		break;
	case X86_TRAP_BP:
	case X86_TRAP_OF:
		x->insn_len = svm_features.nrips && b->next_rip > b->rip && b->next_rip - b->rip < 16 ?
			      b->next_rip - b->rip : 1;
		break;
	case X86_TRAP_MC:
		x->kind = EXIT_HANDLED;		/* svm_irq_exit() gave it to the host */
		break;
	}
}

static void nested_fault(const struct svm_vcpu *svm, struct vm_exit *x)
{
	const struct vmcb *b = svm->vmcb;

	x->error = x->info1;
	x->gpa = GPA(x->info2);
	x->gva_valid = false;
	x->kind = x->info1 & PFERR_RSVD ? EXIT_MMIO : EXIT_NESTED_PF;
	if (svm_features.decode_assists) {
		x->insn_bytes_len = min_t(u8, b->insn_len, sizeof(x->insn_bytes));
		memcpy(x->insn_bytes, b->insn_bytes, sizeof(x->insn_bytes));
	}
}

static void port(struct vm_exit *x)
{
	u32 info = x->info1;

	x->io.port = info >> 16;
	x->io.size = info >> 4 & 7;
	x->io.in = info & 1;
	x->io.string = info & BIT(2);
	x->io.rep = info & BIT(3);
	x->io.seg = min_t(u8, info >> 10 & 7, SEG_GS);
	x->io.asize = (info >> 7 & 7) << 1;
}

/* CLTS, LMSW, SMSW come here as well; for the selective intercept of CR0 nothing promises an operand. */
static void control_register(struct vm_exit *x)
{
	bool selective = x->hw_reason == SVM_EXIT_CR0_SEL_WRITE;

	x->cr.nr = selective ? 0 : x->hw_reason & 0xf;
	x->cr.write = selective || (x->hw_reason & 0x10);
	x->cr.clts = x->cr.lmsw = false;
	x->cr.gpr = x->info1 & 0xf;
	x->cr.gpr_known = !selective && svm_features.decode_assists && (x->info1 & INFO1_MOV_CR);
}

static void debug_register(struct vm_exit *x)
{
	x->cr.nr = x->hw_reason & 0xf;
	x->cr.write = x->hw_reason & 0x10;
	x->cr.clts = x->cr.lmsw = false;
	x->cr.gpr = x->info1 & 0xf;
	x->cr.gpr_known = svm_features.decode_assists;
}

static void task_switch(const struct svm_vcpu *svm, struct vm_exit *x)
{
	x->task.sel = x->info1;
	x->task.source = x->info2 & BIT_ULL(36) ? 1 : x->info2 & BIT_ULL(38) ? 2 :
			 svm->vmcb->exit_int_info & EVINJ_VALID ? 3 : 0;
	x->task.has_error = x->info2 & BIT_ULL(44);
	x->task.error = x->info2;
}

/* Kinds that say more than their name. */
static void details(struct svm_vcpu *svm, struct vm_exit *x)
{
	switch (x->kind) {
	case EXIT_IO:
		port(x);
		break;
	case EXIT_RDMSR:
		x->kind = x->info1 & 1 ? EXIT_WRMSR : EXIT_RDMSR;
		break;
	case EXIT_EXCEPTION:
		exception(svm, x);
		break;
	case EXIT_CR:
		control_register(x);
		break;
	case EXIT_DR:
		debug_register(x);
		break;
	case EXIT_INVLPG:
		x->addr = x->info1;
		if (!svm_features.decode_assists)
			x->kind = EXIT_EMULATE;
		break;
	case EXIT_TASK_SWITCH:
		task_switch(svm, x);
		break;
	case EXIT_PAUSE:
		svm_pause_grew(svm);
		break;
	case EXIT_HANDLED:
		if (x->hw_reason == SVM_EXIT_INTR)
			svm->x.vcpu.stat.irq_exits++;
		else if (x->hw_reason == SVM_EXIT_IRET)
			svm_nmi_iret(svm);
		break;
	}
}

void svm_exit(struct x86_vcpu *v, struct vm_exit *x)
{
	struct svm_vcpu *svm = to_svm(v);
	const struct vmcb *b = svm->vmcb;
	u32 code = b->exit_code;

	x->hw_reason = code;
	x->info1 = b->exit_info1;
	x->info2 = b->exit_info2;
	x->insn_len = 0;
	x->insn_bytes_len = 0;
	if (unlikely(svm->nmi) && svm_nmi_tracked(svm, code)) {
		x->kind = EXIT_NMI_WINDOW;
		return;
	}
	if (likely(code < ARRAY_SIZE(kinds))) {
		x->kind = kinds[array_index_nospec(code, ARRAY_SIZE(kinds))];
		details(svm, x);
	} else if (code == SVM_EXIT_NPF) {
		nested_fault(svm, x);
	} else {
		x->kind = (s32)code < 0 ? EXIT_ENTRY_FAILED : EXIT_UNKNOWN;
	}
}

bool svm_next_rip(struct x86_vcpu *v)
{
	const struct vmcb *b = to_svm(v)->vmcb;
	u32 code = b->exit_code;

	if (code == SVM_EXIT_IOIO) {
		put_rip(v, b->exit_info2);
		return true;
	}
	/* Faults and interrupts have no next instruction. */
	if (!svm_features.nrips || code >= SVM_EXIT_NPF || (code >= SVM_EXIT_EXCP_BASE && code <= SVM_EXIT_VINTR) ||
	    !b->next_rip)
		return false;
	put_rip(v, b->next_rip);
	return true;
}

void svm_dump(struct x86_vcpu *v)
{
	const struct vmcb *b = to_svm(v)->vmcb;

	pr_err("vcpu %u: exit %llx info %llx %llx int %llx inject %llx next rip %llx\n", v->vcpu.id, b->exit_code,
	       b->exit_info1, b->exit_info2, b->exit_int_info, b->event_inj, b->next_rip);
	pr_err("  intercepts %08x %08x %08x %08x %08x %08x asid %u int_ctl %x state %llx clean %x ncr3 %llx\n",
	       b->intercept[0], b->intercept[1], b->intercept[2], b->intercept[3], b->intercept[4], b->intercept[5],
	       b->asid, b->int_ctl, b->int_state, b->clean, b->nested_cr3);
	pr_err("  rip %llx rsp %llx rflags %llx cpl %u cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx pat %llx\n",
	       b->rip, b->rsp, b->rflags, b->cpl, b->cr0, b->cr2, b->cr3, b->cr4, b->efer, b->g_pat);
	pr_err("  cs %04x %03x %x %llx ss %04x %03x %x %llx tr %04x %03x %x %llx dr6 %llx dr7 %llx\n",
	       b->cs.sel, b->cs.attr, b->cs.limit, b->cs.base, b->ss.sel, b->ss.attr, b->ss.limit, b->ss.base,
	       b->tr.sel, b->tr.attr, b->tr.limit, b->tr.base, b->dr6, b->dr7);
	pr_err("  gdt %llx/%x idt %llx/%x ldt %04x %03x fs %llx gs %llx\n", b->gdtr.base, b->gdtr.limit, b->idtr.base,
	       b->idtr.limit, b->ldtr.sel, b->ldtr.attr, b->fs.base, b->gs.base);
}
