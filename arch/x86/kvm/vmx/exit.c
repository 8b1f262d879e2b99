// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exits as facts: one row per basic exit reason (SDM appendix C). A row names the core's kind, whether the
 * exit may have interrupted the delivery of an event, whether hardware tells the instruction's length,
 * and the function that reads what else the kind needs. Fields that no row asks for are not read.
 */
#define pr_fmt(fmt) "kvm_intel: " fmt

#include "vmx.h"
#include <linux/nospec.h>
#include <asm/trapnr.h>

struct exit_row {
	u8 kind;
	u8 flags;
	void (*facts)(struct vmx_vcpu *vmx, struct vm_exit *x);
};

static u64 qualification(struct vm_exit *x)
{
	return x->info1 = vmcs_read(EXIT_QUALIFICATION);
}

static void exception_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	u32 info = vmx->intr_info;	/* read by irq_exit() */
	u32 type = info & INTR_INFO_INTR_TYPE_MASK;

	x->vector = info & INTR_INFO_VECTOR_MASK;
	if (type == INTR_TYPE_NMI_INTR || (type == INTR_TYPE_HARD_EXCEPTION && x->vector == X86_TRAP_MC)) {
		x->kind = EXIT_HANDLED;
		return;
	}
	x->has_error = info & INTR_INFO_DELIVER_CODE_MASK;
	x->error = x->has_error ? vmcs_read(VM_EXIT_INTR_ERROR_CODE) : 0;
	x->addr = 0;
	if (x->vector == X86_TRAP_PF || x->vector == X86_TRAP_DB)
		x->addr = qualification(x);
	if (type == INTR_TYPE_SOFT_EXCEPTION || type == INTR_TYPE_PRIV_SW_EXCEPTION)
		x->insn_len = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	if ((info & INTR_INFO_UNBLOCK_NMI) && x->vector != X86_TRAP_DF)
		nmi_unblocked_by_iret(vmx);
}

static void io_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	u64 q = qualification(x);

	x->io.port = q >> 16;
	x->io.size = (q & 7) + 1;
	x->io.in = q & BIT(3);
	x->io.string = q & BIT(4);
	x->io.rep = q & BIT(5);
	if (unlikely(x->io.string)) {
		x->io.seg = SEG_DS;
		x->io.asize = 0;
		x->gva_valid = true;
		x->gva = vmcs_read(GUEST_LINEAR_ADDRESS);
		if (vmx_caps.ins_outs_info) {
			u32 info = vmcs_read(VMX_INSTRUCTION_INFO);

			x->io.asize = 2 << ((info >> 7) & 3);
			x->io.seg = x->io.in ? SEG_ES : (info >> 15) & 7;
		}
	}
}

static void cr_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	u64 q = qualification(x);
	unsigned int access = (q >> 4) & 3;

	x->cr.nr = q & 15;
	x->cr.gpr = (q >> 8) & 15;
	x->cr.write = access != 1;
	x->cr.clts = access == 2;
	x->cr.lmsw = access == 3;
	x->cr.value = q >> 16;
	x->cr.gpr_known = true;
}

static void dr_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	u64 q = qualification(x);

	x->cr.nr = q & 7;
	x->cr.gpr = (q >> 8) & 15;
	x->cr.write = !(q & BIT(4));
	x->cr.clts = false;
	x->cr.lmsw = false;
	x->cr.gpr_known = true;
}

static void linear_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	x->addr = qualification(x);
}

static void invpcid_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	x->cr.gpr = vmcs_read(VMX_INSTRUCTION_INFO) >> 28;
	x->cr.gpr_known = true;
}

static void task_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	u64 q = qualification(x);
	u32 vectoring = vmcs_read(IDT_VECTORING_INFO_FIELD);

	x->task.sel = q;
	x->task.source = (q >> 30) & 3;
	x->task.has_error = false;
	x->task.error = 0;
	/* Hardware has not pushed the error code of an exception whose gate is a task gate. */
	if (x->task.source == 3 && (vectoring & INTR_INFO_VALID_MASK) && (vectoring & INTR_INFO_DELIVER_CODE_MASK)) {
		x->task.has_error = true;
		x->task.error = vmcs_read(IDT_VECTORING_ERROR_CODE);
	}
}

/*
 * AMD's form: the nested walk is always a user access; P if some permission was there. Without a linear
 * address hardware was loading page-directory pointers, which is an access to a page table.
 */
static void ept_violation_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	u64 q = qualification(x), error = PFERR_U;

	if (q & EPT_VIOLATION_ACC_WRITE)
		error |= PFERR_W;
	if (q & EPT_VIOLATION_ACC_INSTR)
		error |= PFERR_I;
	if (q & EPT_VIOLATION_RWX_MASK)
		error |= PFERR_P;
	x->gva_valid = q & EPT_VIOLATION_GVA_IS_VALID;
	if (x->gva_valid)
		x->gva = vmcs_read(GUEST_LINEAR_ADDRESS);
	error |= x->gva_valid && (q & EPT_VIOLATION_GVA_TRANSLATED) ? PFERR_GUEST_FINAL : PFERR_GUEST_PAGE;
	x->error = error;
	x->gpa = GPA(vmcs_read(GUEST_PHYSICAL_ADDRESS));
	if (unlikely(q & INTR_INFO_UNBLOCK_NMI))
		nmi_unblocked_by_iret(vmx);
}

static void ept_misconfig_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	x->gpa = GPA(vmcs_read(GUEST_PHYSICAL_ADDRESS));
	x->gva_valid = false;
	/* Not told: a read at first, should there be memory by now. */
	x->error = PFERR_U | PFERR_GUEST_FINAL;
}

static void pml_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	if (qualification(x) & INTR_INFO_UNBLOCK_NMI)
		nmi_unblocked_by_iret(vmx);
}

static void apic_access_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	x->addr = qualification(x) & APIC_ACCESS_OFFSET;
}

static void apic_write_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	x->addr = qualification(x) & 0xff0;
}

static void eoi_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	x->vector = qualification(x);
}

static void pause_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	ple_grow(vmx);
}

static void notify_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	u64 q = qualification(x);

	x->info1 = !(q & NOTIFY_VM_CONTEXT_INVALID);
	if (q & INTR_INFO_UNBLOCK_NMI)
		nmi_unblocked_by_iret(vmx);
}

static void failed_facts(struct vmx_vcpu *vmx, struct vm_exit *x)
{
	x->hw_reason = vmx->reason == ~0u ? vmx->insn_error : vmx->reason;
}

/* Rows for what is no basic reason; those in between that are all zeroes read EXIT_UNKNOWN. */
enum { ROW_FAILED = EXIT_REASON_NOTIFY + 1, ROW_UNKNOWN };
static_assert(EXIT_UNKNOWN == 0);

#define INSN(k)			{ k, ROW_LENGTH }
#define INSN_FACTS(k, f)	{ k, ROW_LENGTH, f }
static const struct exit_row rows[] = {
	[EXIT_REASON_EXCEPTION_NMI]	= { EXIT_EXCEPTION, ROW_VECTOR, exception_facts },
	[EXIT_REASON_EXTERNAL_INTERRUPT] = { EXIT_HANDLED },
	[EXIT_REASON_TRIPLE_FAULT]	= { EXIT_SHUTDOWN },
	[EXIT_REASON_INIT_SIGNAL]	= { EXIT_INIT_SIPI },
	[EXIT_REASON_SIPI_SIGNAL]	= { EXIT_INIT_SIPI },
	[EXIT_REASON_INTERRUPT_WINDOW]	= { EXIT_IRQ_WINDOW },
	[EXIT_REASON_NMI_WINDOW]	= { EXIT_NMI_WINDOW },
	[EXIT_REASON_TASK_SWITCH]	= { EXIT_TASK_SWITCH, ROW_VECTOR | ROW_LENGTH | ROW_HOST_DATA, task_facts },
	[EXIT_REASON_CPUID]		= INSN(EXIT_CPUID),
	[11 /* GETSEC */]		= INSN(EXIT_UD_INSN),
	[EXIT_REASON_HLT]		= { EXIT_HLT, ROW_LENGTH | ROW_HOST_DATA },
	[EXIT_REASON_INVD]		= INSN(EXIT_INVD),
	[EXIT_REASON_INVLPG]		= INSN_FACTS(EXIT_INVLPG, linear_facts),
	[EXIT_REASON_RDPMC]		= INSN(EXIT_RDPMC),
	[EXIT_REASON_RDTSC]		= INSN(EXIT_RDTSC),
	[EXIT_REASON_VMCALL]		= { EXIT_HYPERCALL, ROW_LENGTH | ROW_HOST_DATA },
	[EXIT_REASON_VMCLEAR ... EXIT_REASON_VMON] = INSN(EXIT_NESTED_INSN),
	[EXIT_REASON_CR_ACCESS]		= INSN_FACTS(EXIT_CR, cr_facts),
	[EXIT_REASON_DR_ACCESS]		= INSN_FACTS(EXIT_DR, dr_facts),
	[EXIT_REASON_IO_INSTRUCTION]	= { EXIT_IO, ROW_LENGTH | ROW_HOST_DATA, io_facts },
	[EXIT_REASON_MSR_READ]		= INSN(EXIT_RDMSR),
	[EXIT_REASON_MSR_WRITE]		= INSN(EXIT_WRMSR),
	[EXIT_REASON_INVALID_STATE]	= { EXIT_ENTRY_FAILED },
	[EXIT_REASON_MSR_LOAD_FAIL]	= { EXIT_ENTRY_FAILED },
	[EXIT_REASON_MWAIT_INSTRUCTION]	= INSN(EXIT_MWAIT),
	[EXIT_REASON_MONITOR_TRAP_FLAG]	= { EXIT_MTF },
	[EXIT_REASON_MONITOR_INSTRUCTION] = INSN(EXIT_MONITOR),
	[EXIT_REASON_PAUSE_INSTRUCTION]	= INSN_FACTS(EXIT_PAUSE, pause_facts),
	[EXIT_REASON_MCE_DURING_VMENTRY] = { EXIT_ENTRY_FAILED },
	[EXIT_REASON_TPR_BELOW_THRESHOLD] = { EXIT_TPR_BELOW },
	[EXIT_REASON_APIC_ACCESS]	= { EXIT_APIC_ACCESS, ROW_VECTOR | ROW_HOST_DATA, apic_access_facts },
	[EXIT_REASON_EOI_INDUCED]	= { EXIT_EOI, 0, eoi_facts },
	[EXIT_REASON_GDTR_IDTR]		= { EXIT_DESC_TABLE, ROW_LENGTH | ROW_HOST_DATA },
	[EXIT_REASON_LDTR_TR]		= { EXIT_DESC_TABLE, ROW_LENGTH | ROW_HOST_DATA },
	[EXIT_REASON_EPT_VIOLATION]	= { EXIT_NESTED_PF, ROW_VECTOR | ROW_HOST_DATA, ept_violation_facts },
	[EXIT_REASON_EPT_MISCONFIG]	= { EXIT_MMIO, ROW_VECTOR | ROW_HOST_DATA, ept_misconfig_facts },
	[EXIT_REASON_INVEPT]		= INSN(EXIT_NESTED_INSN),
	[EXIT_REASON_RDTSCP]		= INSN(EXIT_RDTSCP),
	[EXIT_REASON_PREEMPTION_TIMER]	= { EXIT_PREEMPT_TIMER },
	[EXIT_REASON_INVVPID]		= INSN(EXIT_NESTED_INSN),
	[EXIT_REASON_WBINVD]		= INSN(EXIT_WBINVD),
	[EXIT_REASON_XSETBV]		= INSN(EXIT_XSETBV),
	[EXIT_REASON_APIC_WRITE]	= { EXIT_APIC_WRITE, 0, apic_write_facts },
	[EXIT_REASON_RDRAND]		= INSN(EXIT_RDRAND),
	[EXIT_REASON_INVPCID]		= INSN_FACTS(EXIT_INVPCID, invpcid_facts),
	[EXIT_REASON_VMFUNC]		= INSN(EXIT_UD_INSN),
	[EXIT_REASON_ENCLS]		= INSN(EXIT_UD_INSN),
	[EXIT_REASON_RDSEED]		= INSN(EXIT_RDSEED),
	[EXIT_REASON_PML_FULL]		= { EXIT_PML_FULL, ROW_VECTOR, pml_facts },
	[EXIT_REASON_XSAVES]		= INSN(EXIT_UD_INSN),
	[EXIT_REASON_XRSTORS]		= INSN(EXIT_UD_INSN),
	[EXIT_REASON_UMWAIT]		= INSN(EXIT_UD_INSN),
	[EXIT_REASON_TPAUSE]		= INSN(EXIT_UD_INSN),
	[EXIT_REASON_BUS_LOCK]		= { EXIT_BUS_LOCK, ROW_VECTOR },
	[EXIT_REASON_NOTIFY]		= { EXIT_NOTIFY, ROW_VECTOR, notify_facts },
	[ROW_FAILED]			= { EXIT_ENTRY_FAILED, 0, failed_facts },
	[ROW_UNKNOWN]			= { EXIT_UNKNOWN },
};

static __always_inline const struct exit_row *row_of(u32 reason)
{
	unsigned int i = (u16)reason;

	if (unlikely(reason & VMX_EXIT_REASONS_FAILED_VMENTRY))
		i = ROW_FAILED;
	else if (unlikely(i >= ROW_FAILED))
		i = ROW_UNKNOWN;
	return &rows[array_index_nospec(i, ARRAY_SIZE(rows))];
}

void vmx_exit(struct x86_vcpu *v, struct vm_exit *x)
{
	struct vmx_vcpu *vmx = to_vmx(v);
	u32 reason = vmx->reason;
	const struct exit_row *row = row_of(reason);

	OPTIMIZER_HIDE_VAR(row);	/* one address, not the index scaled for every field */
	x->kind = row->kind;
	x->hw_reason = (u16)reason;
	x->info1 = 0;
	x->info2 = 0;
	x->insn_len = 0;
	x->insn_bytes_len = 0;
	vmx->row_flags = row->flags;
	if (row->flags & ROW_HOST_DATA)
		vmx->l1d_dirty = true;
	if (row->facts)
		row->facts(vmx, x);
}

static void dump_group(const char *name, u32 first, u32 last, u32 step)
{
	u32 f;

	for (f = first; f <= last; f += step * 4)
		pr_err("%s %04x: %016lx %016lx %016lx %016lx\n", name, f, vmcs_read(f),
		       f + step <= last ? vmcs_read(f + step) : 0, f + 2 * step <= last ? vmcs_read(f + 2 * step) : 0,
		       f + 3 * step <= last ? vmcs_read(f + 3 * step) : 0);
}

void vmx_dump(struct x86_vcpu *v)
{
	struct vmx_vcpu *vmx = to_vmx(v);

	if (!param_dump_invalid)
		return;
	pr_err("vcpu %u: exit reason %x, instruction error %u, qualification %lx, VMCS %llx\n", v->vcpu.id, vmx->reason,
	       vmx->insn_error, vmcs_read(EXIT_QUALIFICATION), vmx->vmcs.pa);
	dump_group("guest CR0, CR3, CR4, ES..TR, GDT, IDT bases, DR7, RSP, RIP, RFLAGS, pending #DB, SYSENTER",
		   GUEST_CR0, GUEST_SYSENTER_EIP, 2);
	dump_group("guest selectors ES..TR", GUEST_ES_SELECTOR, GUEST_TR_SELECTOR, 2);
	dump_group("guest limits, access rights, interruptibility, activity", GUEST_ES_LIMIT, GUEST_ACTIVITY_STATE, 2);
	dump_group("guest link, DEBUGCTL, PAT, EFER", VMCS_LINK_POINTER, GUEST_IA32_EFER, 2);
	dump_group("host CR0, CR3, CR4, FS, GS, TR, GDT, IDT, SYSENTER, RSP, RIP", HOST_CR0, HOST_RIP, 2);
	dump_group("host selectors", HOST_ES_SELECTOR, HOST_TR_SELECTOR, 2);
	dump_group("CR masks and shadows", CR0_GUEST_HOST_MASK, CR4_READ_SHADOW, 2);
	pr_err("pin %x cpu %x %x exit %x entry %x exceptions %lx, event %lx %lx %lx, EPT %llx VPID %u TPR %x/%x\n",
	       vmx->vmcs.ctl[VMCTL_PIN], vmx->vmcs.ctl[VMCTL_CPU], vmx->vmcs.ctl[VMCTL_CPU2], vmx->vmcs.ctl[VMCTL_EXIT],
	       vmx->vmcs.ctl[VMCTL_ENTRY], vmcs_read(EXCEPTION_BITMAP), vmcs_read(VM_ENTRY_INTR_INFO_FIELD),
	       vmcs_read(VM_ENTRY_EXCEPTION_ERROR_CODE), vmcs_read(VM_ENTRY_INSTRUCTION_LEN), vmx->eptp, vmx->vpid,
	       v->tpr_known, vmx->threshold);
	pr_err("interrupted delivery %lx %lx, guest linear %lx, physical %lx\n", vmcs_read(IDT_VECTORING_INFO_FIELD),
	       vmcs_read(IDT_VECTORING_ERROR_CODE), vmcs_read(GUEST_LINEAR_ADDRESS), vmcs_read(GUEST_PHYSICAL_ADDRESS));
}
