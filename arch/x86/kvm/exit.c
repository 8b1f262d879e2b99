// SPDX-License-Identifier: GPL-2.0-only
/*
 * What to do about an exit: one row a kind, and a row for the unknown. Handlers that belong to a subject with a file
 * of its own are there (kvm/x86/handlers.h); those here are short or have none.
 *
 * A handler finds the facts in v->exit, which the guest chose, and answers with an outcome. It moves RIP itself
 * when the instruction is done. A queued exception (OUT_FAULT) is as good as done: the guest goes on with it.
 *
 * vCPU thread, loaded, in kvm->srcu, IRQs and preemption on.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/kvm.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <asm/cpu.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <kvm/iobus.h>
#include <kvm/x86/debug.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/io.h>
#include <kvm/x86/irqchip.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/mmu.h>
#include <kvm/x86/vcpu.h>
#include "trace.h"

#define CPUID_1_ECX_MWAIT	BIT(3)
#define CPUID_80000001_EDX_RDTSCP BIT(27)
#define LMSW_WRITES		(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS)

enum exit_flags {
	MAY_VECTOR	= 1 << 0,	/* may find an event of ours undelivered */
	DELIVERY	= 1 << 1,	/* may interrupt a delivery that the guest began itself */
};

struct exit_row {
	const char *name;
	enum outcome (*fn)(struct x86_vcpu *v);
	u8 flags;
};

/* --- to user space --- */

static enum outcome internal_error(struct x86_vcpu *v, u32 suberror, unsigned int n, const u64 *data)
{
	struct kvm_run *run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_INTERNAL_ERROR);

	n = min_t(unsigned int, n, ARRAY_SIZE(run->internal.data));
	run->internal.suberror = suberror;
	run->internal.ndata = n;
	memcpy(run->internal.data, data, n * sizeof(*data));
	return OUT_USER;
}

static enum outcome exit_unknown(struct x86_vcpu *v)
{
	const u64 data[] = { v->exit.hw_reason, v->vcpu.cpu };

	pr_err_ratelimited("vcpu %u: exit for a reason without handler, %#x\n", v->vcpu.id, v->exit.hw_reason);
	return internal_error(v, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, ARRAY_SIZE(data), data);
}

static enum outcome exit_entry_failed(struct x86_vcpu *v)
{
	static DEFINE_RATELIMIT_STATE(dumps, 5 * HZ, 2);
	struct kvm_run *run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_FAIL_ENTRY);

	run->fail_entry.hardware_entry_failure_reason = v->exit.hw_reason;
	run->fail_entry.cpu = v->vcpu.cpu;
	if (__ratelimit(&dumps))
		vendor_ops.dump(v);
	return OUT_USER;
}

/*
 * Whatever was being delivered ended in this. What AMD's hardware saved of the guest is undefined then (APM vol. 2,
 * 15.14.3): the vCPU is left as an INIT leaves it.
 */
static enum outcome exit_shutdown(struct x86_vcpu *v)
{
	v->ev.injected.type = EV_NONE;
	if (vendor_ops.amd)
		vcpu_power_reset(v, true);
	vcpu_exit_to_user(&v->vcpu, KVM_EXIT_SHUTDOWN);
	return OUT_USER;
}

/* An event was on its way in and met something that its delivery cannot wait for. */
static enum outcome delivery_failed(struct x86_vcpu *v)
{
	const struct x86_event *e = &v->ev.injected;
	const u64 data[] = {
		e->vector | e->type << 8 | e->has_error << 11 | BIT(31), v->exit.hw_reason, v->exit.info1,
		v->exit.gpa.v, v->vcpu.cpu,
	};

	return internal_error(v, KVM_INTERNAL_ERROR_DELIVERY_EV, ARRAY_SIZE(data), data);
}

/* --- nothing to decide --- */

static enum outcome exit_nothing(struct x86_vcpu *v)
{
	return OUT_OK;
}

/* If nobody wants the log any more, it was not taken on the way here. */
static enum outcome exit_log_full(struct x86_vcpu *v)
{
	mmu_drain_log(v);
	return OUT_OK;
}

static enum outcome exit_recheck(struct x86_vcpu *v)
{
	v->recheck_events = true;
	return OUT_OK;
}

static enum outcome exit_irq_window(struct x86_vcpu *v)
{
	v->vcpu.stat.irq_window_exits++;
	return exit_recheck(v);
}

static enum outcome exit_nmi_window(struct x86_vcpu *v)
{
	v->vcpu.stat.nmi_window_exits++;
	return exit_recheck(v);
}

static enum outcome exit_ud(struct x86_vcpu *v)
{
	return x86_raise(&v->vcpu, X86_TRAP_UD);
}

static enum outcome exit_emulate(struct x86_vcpu *v)
{
	return emulate_insn(v, 0, GPA_NONE);
}

/*
 * A state that hardware refuses: software goes on with it, and may change what can be delivered. To be looked at
 * afterwards: who finds it set before it starts stops after one instruction.
 */
enum outcome exit_bad_state(struct x86_vcpu *v)
{
	enum outcome out = emulate_insn(v, 0, GPA_NONE);

	v->recheck_events = true;
	return out;
}

/* --- exceptions --- */

static enum outcome db_exit(struct x86_vcpu *v)
{
	u64 bits = v->exit.addr;

	/* A length comes only with INT1, whose trap is taken behind it. */
	if (unlikely(v->exit.insn_len))
		put_rip(v, get_rip(v) + v->exit.insn_len);
	if (v->guest_debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))
		return debug_to_user(v, X86_TRAP_DB, bits);
	return x86_raise_db(&v->vcpu, bits);
}

static enum outcome bp_exit(struct x86_vcpu *v)
{
	if (v->guest_debug & KVM_GUESTDBG_USE_SW_BP)
		return debug_to_user(v, X86_TRAP_BP, 0);
	return x86_raise(&v->vcpu, X86_TRAP_BP);
}

/* #AC of an alignment check that the guest asked for is the guest's; any other is the host's split-lock detection. */
static enum outcome ac_exit(struct x86_vcpu *v)
{
	struct kvm_run *run;

	if (!boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT) ||
	    (get_cpl(v) == 3 && (get_cr0(v) & X86_CR0_AM) && (get_rflags(v) & X86_EFLAGS_AC)))
		return x86_raise_error(&v->vcpu, X86_TRAP_AC, v->exit.error);
	if (handle_guest_split_lock(get_rip(v)))
		return OUT_OK;
	run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_EXCEPTION);
	run->ex.exception = X86_TRAP_AC;
	run->ex.error_code = v->exit.error;
	return OUT_USER;
}

static enum outcome exit_exception(struct x86_vcpu *v)
{
	struct vm_exit *x = &v->exit;
	struct kvm_run *run;

	switch (x->vector) {
	case X86_TRAP_UD:
		return emulate_insn(v, EMUL_UD, GPA_NONE);
	case X86_TRAP_DB:
		return db_exit(v);
	case X86_TRAP_BP:
		return bp_exit(v);
	case X86_TRAP_AC:
		return ac_exit(v);
	case X86_TRAP_PF:
		return x86_raise_pf(&v->vcpu, x->addr, x->error);
	case X86_TRAP_MC:
	case X86_TRAP_NMI:
		return OUT_OK;		/* the host has had it */
	default:
		run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_EXCEPTION);
		run->ex.exception = x->vector;
		run->ex.error_code = x->error;
		return OUT_USER;
	}
}

/* --- instructions --- */

static enum outcome exit_hlt(struct x86_vcpu *v)
{
	enum outcome out = skip_insn(v);

	v->vcpu.stat.halt_exits++;
	if (!v->lapic) {
		if (out != OUT_OK)
			return out;
		vcpu_exit_to_user(&v->vcpu, KVM_EXIT_HLT);
		return OUT_USER;
	}
	/* What decides on the end of the halt must be in the cache: the sleeper's flags are read by others. */
	state_need(v, G_RFLAGS | G_SHADOW);
	WRITE_ONCE(v->mp_state, KVM_MP_STATE_HALTED);
	return out;
}

static enum outcome exit_pause(struct x86_vcpu *v)
{
	bool kernel = !get_cpl(v);

	vcpu_yield_to_other(&v->vcpu, kernel);
	return skip_insn(v);
}

/* As the guest would see it now: MISC_ENABLE may decide. */
static bool guest_has_mwait(struct x86_vcpu *v)
{
	u32 eax = 1, ebx, ecx = 0, edx;

	guest_cpuid(v, &eax, &ebx, &ecx, &edx);
	return ecx & CPUID_1_ECX_MWAIT;
}

/* Intercepted, they do nothing; on real hardware they may also return at once. */
static enum outcome exit_monitor_mwait(struct x86_vcpu *v)
{
	if (!guest_has_mwait(v) && !vm_quirk(vm_of(v), KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS))
		return exit_ud(v);
	return skip_insn(v);
}

static enum outcome exit_rdtsc(struct x86_vcpu *v)
{
	u64 tsc = guest_tsc(v, rdtsc());

	gpr_set(v, RAX, (u32)tsc);
	gpr_set(v, RDX, tsc >> 32);
	return skip_insn(v);
}

static enum outcome exit_rdtscp(struct x86_vcpu *v)
{
	if (!(v->cap.f80000001_edx & CPUID_80000001_EDX_RDTSCP))
		return exit_ud(v);
	gpr_set(v, RCX, (u32)v->tsc_aux);
	return exit_rdtsc(v);
}

/* There are no performance counters. */
static enum outcome exit_rdpmc(struct x86_vcpu *v)
{
	return x86_raise_error(&v->vcpu, X86_TRAP_GP, 0);
}

/* Guest memory is coherent, whatever is done to the caches. */
static enum outcome exit_cache(struct x86_vcpu *v)
{
	return skip_insn(v);
}

static enum outcome exit_xsetbv(struct x86_vcpu *v)
{
	u64 val = (u32)gpr_get(v, RAX) | gpr_get(v, RDX) << 32;
	enum outcome out;

	if (!(get_cr4(v) & X86_CR4_OSXSAVE))
		return exit_ud(v);
	out = guest_set_xcr(v, gpr_get(v, RCX), val);
	return out == OUT_OK ? skip_insn(v) : out;
}

static enum outcome exit_invlpg(struct x86_vcpu *v)
{
	mmu_invlpg(v, v->exit.addr);
	return skip_insn(v);
}

/* --- control registers --- */

static enum outcome write_cr(struct x86_vcpu *v, unsigned int nr, u64 val)
{
	switch (nr) {
	case 0:
		return guest_set_cr0(v, val);
	case 3:
		return guest_set_cr3(v, val);
	case 4:
		return guest_set_cr4(v, val);
	case 8:
		return guest_set_cr8(v, val);
	default:
		return exit_ud(v);
	}
}

static bool read_cr(struct x86_vcpu *v, unsigned int nr, u64 *val)
{
	switch (nr) {
	case 0:
		*val = get_cr0(v);
		return true;
	case 2:
		*val = get_cr2(v);
		return true;
	case 3:
		*val = get_cr3(v);
		return true;
	case 4:
		*val = get_cr4(v);
		return true;
	case 8:
		*val = v->lapic ? lapic_get_cr8(v) : v->cr8;
		return true;
	default:
		return false;
	}
}

static enum outcome cr_by_operand(struct x86_vcpu *v)
{
	struct vm_exit *x = &v->exit;
	bool wide = guest_64bit(v);
	enum outcome out = OUT_OK;
	u64 val;

	if (x->cr.clts) {
		out = guest_set_cr0(v, get_cr0(v) & ~(u64)X86_CR0_TS);
	} else if (x->cr.lmsw) {
		/* LMSW sets PE and never clears it. */
		val = (get_cr0(v) & ~(u64)(LMSW_WRITES & ~X86_CR0_PE)) | (x->cr.value & LMSW_WRITES);
		out = guest_set_cr0(v, val);
	} else if (x->cr.write) {
		val = gpr_get(v, x->cr.gpr);
		out = write_cr(v, x->cr.nr, wide ? val : (u32)val);
	} else if (read_cr(v, x->cr.nr, &val)) {
		gpr_set(v, x->cr.gpr & 15, wide ? val : (u32)val);
	} else {
		out = exit_ud(v);
	}
	return out == OUT_OK ? skip_insn(v) : out;
}

static enum outcome exit_cr(struct x86_vcpu *v)
{
	struct vm_exit *x = &v->exit;
	u8 cr8 = v->cr8;
	enum outcome out;

	if (!x->cr.clts && !x->cr.lmsw && !x->cr.gpr_known)
		cr_operand_from_code(v);
	if (x->cr.clts || x->cr.lmsw || x->cr.gpr_known)
		out = cr_by_operand(v);
	else
		out = emulate_insn(v, 0, GPA_NONE);
	/* A local APIC in user space may have something for the lowered priority. */
	if (x->cr.nr == 8 && !v->lapic && v->cr8 < cr8 && out == OUT_OK) {
		vcpu_exit_to_user(&v->vcpu, KVM_EXIT_SET_TPR);
		out = OUT_USER;
	}
	return out;
}

/* --- task switch --- */

/*
 * The instruction that switches is left behind, or the event that came through a task gate is delivered by it. Such an
 * event that hardware does not name is an INT n, INT3 or INTO of the guest's own.
 */
static enum outcome exit_task_switch(struct x86_vcpu *v)
{
	struct x86_event e = v->ev.injected;
	bool gate = v->exit.task.source == 3;
	enum outcome out;

	v->ev.injected.type = EV_NONE;
	if (gate && e.type == EV_NMI) {
		state_need(v, G_SHADOW);
		v->state.nmi_masked = true;
		state_dirty(v, G_SHADOW);
	} else if (gate && e.insn_len && (e.type == EV_SOFT_INT || e.type == EV_SOFT_EXC || e.type == EV_PRIV_SOFT)) {
		put_rip(v, get_rip(v) + e.insn_len);
	} else if (!gate || e.type == EV_NONE) {
		out = skip_insn(v);
		if (out != OUT_OK)
			return out;
	}
	return emulate_task_switch(v);
}

/* --- memory --- */

static enum outcome no_memory(struct x86_vcpu *v, gpa_t gpa)
{
	/* The stack or the descriptor table of a delivery is a device: not an instruction that could be emulated. */
	if (unlikely(v->ev.injected.type != EV_NONE))
		return delivery_failed(v);
	return emulate_insn(v, EMUL_MMIO, gpa);
}

static enum outcome resolve_fault(struct x86_vcpu *v, gpa_t gpa, u64 error)
{
	switch (mmu_fault(v, gpa, error)) {
	case FAULT_FIXED:
	case FAULT_RETRY:
		return OUT_OK;
	case FAULT_MMIO:
		return no_memory(v, gpa);
	case FAULT_USER:
		return OUT_USER;
	default:
		return OUT_ERROR;
	}
}

static enum outcome exit_nested_pf(struct x86_vcpu *v)
{
	struct vm_exit *x = &v->exit;

	if (trace_kvm_page_fault_enabled())
		trace_kvm_page_fault(v->vcpu.id, get_rip(v), x->gpa.v, x->error);
	return resolve_fault(v, x->gpa, x->error);
}

static enum outcome exit_mmio(struct x86_vcpu *v)
{
	gpa_t gpa = v->exit.gpa;
	enum outcome out;
	bool valid;

	/* A misconfiguration comes without an error code: a write exits again once a readable page is there. */
	if (!vendor_ops.amd)
		v->exit.error = PFERR_U;
	valid = mmu_mmio_valid(v, gpa);
	if (likely(v->ev.injected.type == EV_NONE)) {
		if (likely(valid) && mmio_by_move(v, gpa, &out))
			return out;
		/* An ioeventfd that takes any write there: value and size do not matter, only the instruction's end. */
		if (io_bus_write(&v->vcpu, BUS_FAST_MMIO, gpa.v, 0, NULL))
			return skip_insn(v);
	}
	if (valid)
		return no_memory(v, gpa);
	return resolve_fault(v, gpa, v->exit.error);
}

/* --- local APIC --- */

/* Hardware put the value into the register page; the write's effects are ours. */
static enum outcome exit_apic_write(struct x86_vcpu *v)
{
	u32 offset = v->exit.addr & 0xff0, val = 0;

	if (!v->lapic)
		return exit_unknown(v);
	lapic_mmio_read(v, offset, sizeof(val), &val);
	lapic_mmio_write(v, offset, sizeof(val), &val);
	return OUT_OK;
}

static enum outcome exit_eoi(struct x86_vcpu *v)
{
	struct x86_vm *vm = vm_of(v);
	struct kvm_run *run;

	if (vm->irqchip == IRQCHIP_KERNEL) {
		ioapic_eoi(vm, v->exit.vector);
		return OUT_OK;
	}
	run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_IOAPIC_EOI);
	run->eoi.vector = v->exit.vector;
	return OUT_USER;
}

static enum outcome exit_preempt_timer(struct x86_vcpu *v)
{
	if (v->lapic)
		lapic_timer_work(v);
	return OUT_OK;
}

/* --- what hardware reports about the guest's manners --- */

static enum outcome exit_bus_lock(struct x86_vcpu *v)
{
	struct kvm_run *run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_X86_BUS_LOCK);

	run->flags = KVM_RUN_X86_BUS_LOCK;
	return OUT_USER;
}

static enum outcome exit_notify(struct x86_vcpu *v)
{
	bool context_valid = v->exit.info1;
	struct kvm_run *run;

	v->vcpu.stat.notify_window_exits++;
	if (context_valid)
		return OUT_OK;
	run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_NOTIFY);
	run->notify.flags = KVM_NOTIFY_CONTEXT_INVALID;
	return OUT_USER;
}

#define ROW(kind, fn, flags)	[EXIT_##kind] = { #kind, fn, flags }

static const struct exit_row rows[NR_EXIT_KINDS] = {
	ROW(UNKNOWN,		exit_unknown,		MAY_VECTOR),
	ROW(HANDLED,		exit_nothing,		MAY_VECTOR),
	ROW(ENTRY_FAILED,	exit_entry_failed,	MAY_VECTOR),
	ROW(SHUTDOWN,		exit_shutdown,		MAY_VECTOR),
	ROW(EXCEPTION,		exit_exception,		MAY_VECTOR | DELIVERY),
	ROW(IRQ_WINDOW,		exit_irq_window,	MAY_VECTOR),
	ROW(NMI_WINDOW,		exit_nmi_window,	MAY_VECTOR),
	ROW(INIT_SIPI,		exit_nothing,		MAY_VECTOR),
	ROW(CPUID,		exit_cpuid,		0),
	ROW(HLT,		exit_hlt,		0),
	ROW(PAUSE,		exit_pause,		0),
	ROW(MONITOR,		exit_monitor_mwait,	0),
	ROW(MWAIT,		exit_monitor_mwait,	0),
	ROW(RDTSC,		exit_rdtsc,		0),
	ROW(RDTSCP,		exit_rdtscp,		0),
	ROW(RDPMC,		exit_rdpmc,		0),
	ROW(RDRAND,		exit_ud,		0),
	ROW(RDSEED,		exit_ud,		0),
	ROW(INVD,		exit_cache,		0),
	ROW(WBINVD,		exit_cache,		0),
	ROW(XSETBV,		exit_xsetbv,		0),
	ROW(RDMSR,		exit_rdmsr,		0),
	ROW(WRMSR,		exit_wrmsr,		0),
	ROW(HYPERCALL,		exit_hypercall,		0),
	ROW(IO,			exit_io,		0),
	ROW(CR,			exit_cr,		0),
	ROW(DR,			exit_dr,		0),
	ROW(INVLPG,		exit_invlpg,		0),
	ROW(INVPCID,		exit_emulate,		0),
	ROW(TASK_SWITCH,	exit_task_switch,	MAY_VECTOR | DELIVERY),
	ROW(DESC_TABLE,		exit_emulate,		0),
	ROW(NESTED_PF,		exit_nested_pf,		MAY_VECTOR | DELIVERY),
	ROW(MMIO,		exit_mmio,		MAY_VECTOR | DELIVERY),
	ROW(APIC_ACCESS,	exit_emulate,		0),
	ROW(APIC_WRITE,		exit_apic_write,	MAY_VECTOR),
	ROW(EOI,		exit_eoi,		MAY_VECTOR),
	ROW(TPR_BELOW,		exit_recheck,		MAY_VECTOR),
	ROW(CR8_WRITE,		exit_cr,		0),
	ROW(PREEMPT_TIMER,	exit_preempt_timer,	MAY_VECTOR),
	ROW(PML_FULL,		exit_log_full,		MAY_VECTOR | DELIVERY),
	ROW(MTF,		exit_recheck,		MAY_VECTOR),
	ROW(BAD_STATE,		exit_bad_state,		MAY_VECTOR),
	ROW(NESTED_INSN,	exit_ud,		0),
	ROW(SMI,		exit_nothing,		MAY_VECTOR),
	ROW(RSM,		exit_ud,		0),
	ROW(BUS_LOCK,		exit_bus_lock,		MAY_VECTOR),
	ROW(NOTIFY,		exit_notify,		MAY_VECTOR | DELIVERY),
	ROW(UD_INSN,		exit_ud,		0),
	ROW(EMULATE,		exit_emulate,		0),
};

int exit_table_check(void)
{
	unsigned int i;

	for (i = 0; i < NR_EXIT_KINDS; i++) {
		if (!rows[i].fn || !rows[i].name) {
			pr_err("exit kind %u has no row\n", i);
			return -EINVAL;
		}
	}
	return 0;
}

static noinline enum outcome handle_with_event(struct x86_vcpu *v, const struct exit_row *row)
{
	events_after_exit(v);
	if (v->ev.injected.type != EV_NONE && !(row->flags & MAY_VECTOR))
		return delivery_failed(v);
	return row->fn(v);
}

/* Every kind is a constant of the vendor's, or from its table, whose index it clamps: rows[] is not clamped again. */
enum outcome handle_exit(struct x86_vcpu *v)
{
	const struct exit_row *row = &rows[v->exit.kind];

	if (unlikely(v->ev.injected.type != EV_NONE || (row->flags & DELIVERY)))
		return handle_with_event(v, row);
	return row->fn(v);
}
