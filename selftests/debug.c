// SPDX-License-Identifier: GPL-2.0-only
/*
 * Debugging a guest from user space (KVM_SET_GUEST_DEBUG), and the guest's own debug registers. What the guest's own
 * traps look like when they arrive is in exceptions.c. Expected values: SDM vol. 3, chapter 17; APM vol. 2, chapter 13.
 */
#include "lib/cpu.h"

#define STEP	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP)
#define SW_BP	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP)
#define HW_BP	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP)
#define LONG(n)	loaded(n, n##_end)

static struct kt_vcpu *loaded(const uint8_t *code, const uint8_t *end)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	/*
	 * Once through the code's page: where Bochs, as an Intel host, exits for a page that is not mapped yet while TF
	 * is set, it raises a trap before the instruction.
	 */
	kt_put(v->vm, KT_CODE, "\xf4", 1);
	kt_run(v, KVM_EXIT_HLT);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
	kt_put(v->vm, KT_CODE, code, end - code);
	return v;
}

static int guest_debug(struct kt_vcpu *v, uint32_t control)
{
	struct kvm_guest_debug d = { .control = control };

	return ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d);
}

/* One hardware breakpoint, in DR0. */
static void hw_breakpoint(struct kt_vcpu *v, uint64_t addr, uint64_t dr7, uint32_t more)
{
	struct kvm_guest_debug d = { .control = HW_BP | more, .arch.debugreg = { [0] = addr, [7] = dr7 } };

	need_ok(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
}

static void want_debug_exit(struct kt_vcpu *v, uint32_t exception, uint64_t pc, int line)
{
	const struct kvm_debug_exit_arch *d = &v->run->debug.arch;

	kt_run(v, KVM_EXIT_DEBUG);
	if (d->exception != exception || d->pc != pc)
		kt_fail(__FILE__, line, "exception %u at %#llx, want %u at %#llx", d->exception, d->pc, exception,
			(unsigned long long)pc);
}
#define want_debug(v, exception, pc)	want_debug_exit(v, exception, pc, __LINE__)

TEST(capability)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	int want = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_USE_SW_BP |
		   KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_INJECT_DB;

	check_eq(kt_cap(vm, KVM_CAP_SET_GUEST_DEBUG), 1);
	check_eq(kt_cap(vm, KVM_CAP_SET_GUEST_DEBUG2) & want, want);
}

/* --- single steps --- */

static void need_exact_steps(void)
{
	if (kt_host_bochs())
		skip("Bochs keeps the trap of a stepped instruction that exits for the next entry, whoever the "
		     "hypervisor is");
}

LABEL(st_jump);
LABEL(st_cpuid);
GUEST64(steps, "nop; mov $5, %eax; jmp st_jump; ud2; .globl st_jump; st_jump: xor %eax, %eax; "
	".globl st_cpuid; st_cpuid: cpuid; nop; hlt");
TEST(single_steps)
{
	struct kt_vcpu *v = LONG(steps);
	const uint64_t pc[] = { KT_CODE + 1, KT_CODE + 6, at(steps, st_jump), at(steps, st_cpuid), at(steps,
		st_cpuid) + 2 };

	need_exact_steps();
	need_ok(guest_debug(v, STEP));
	for (int i = 0; i < 5; i++) {
		want_debug(v, EX_DB, pc[i]);
		check_eq(v->run->debug.arch.dr6 & 0x4000, 0x4000);
		check_eq(kt_regs(v).rip, pc[i]);
		check_eq(kt_regs(v).rflags & 0x100, 0);		/* TF is user space's, not the guest's */
	}
	need_ok(guest_debug(v, 0));
	kt_run(v, KVM_EXIT_HLT);
}

GUEST64(step_out, "mov $0x80, %dx; out %al, (%dx); nop; in (%dx), %al; nop; hlt");
TEST(step_over_port_io)
{
	struct kt_vcpu *v = LONG(step_out);

	need_exact_steps();
	need_ok(guest_debug(v, STEP));
	want_debug(v, EX_DB, KT_CODE + 4);
	kt_run(v, KVM_EXIT_IO);
	want_debug(v, EX_DB, KT_CODE + 5);
	want_debug(v, EX_DB, KT_CODE + 6);
	kt_run(v, KVM_EXIT_IO);
	*((uint8_t *)v->run + v->run->io.data_offset) = 0x5c;
	want_debug(v, EX_DB, KT_CODE + 7);
	check_eq(kt_regs(v).rax & 0xff, 0x5c);
}

GUEST64(step_mmio, "mov $0x20000000, %ebx; mov %eax, (%rbx); nop; mov (%rbx), %eax; nop; hlt");
TEST(step_over_mmio)
{
	struct kt_vcpu *v = LONG(step_mmio);

	need_exact_steps();
	if (kt_distro())
		skip("the distribution's modules step one instruction too far");
	need_ok(guest_debug(v, STEP));
	want_debug(v, EX_DB, KT_CODE + 5);
	kt_run(v, KVM_EXIT_MMIO);
	want_debug(v, EX_DB, KT_CODE + 7);
	want_debug(v, EX_DB, KT_CODE + 8);
	kt_run(v, KVM_EXIT_MMIO);
	memcpy(v->run->mmio.data, "\x11\x22\x33\x44", 4);
	want_debug(v, EX_DB, KT_CODE + 10);
	check_eq(kt_regs(v).rax, 0x44332211);
}

GUEST64(guest_tf, "pushf; pop %rax; mov %rax, 0x30000; hlt");
TEST(steps_leave_flags_alone)
{
	struct kt_vcpu *v = LONG(guest_tf);

	need_exact_steps();
	need_ok(guest_debug(v, STEP));
	want_debug(v, EX_DB, KT_CODE + 1);
	need_ok(guest_debug(v, 0));
	check_eq(kt_regs(v).rflags, 2);
	kt_run(v, KVM_EXIT_HLT);
	/* The guest sets TF itself: that is its own trap, delivered when nobody steps. */
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 0x102 });
	check_eq(kt_regs(v).rflags, 0x102);
	want_exception(v, EX_DB, NO_ERROR, KT_CODE + 1);
}

/* The in-kernel local APIC, software-enabled. */
static void lapic_on(struct kt_vcpu *v)
{
	struct kvm_lapic_state s;

	need_ok(ioctl(v->fd, KVM_GET_LAPIC, &s));
	*(uint32_t *)(s.regs + 0xf0) = 0x1ff;
	need_ok(ioctl(v->fd, KVM_SET_LAPIC, &s));
}

TEST(step_with_interrupts_blocked)
{
	struct kt_vcpu *v = kt_long_vcpu(true);
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x50 };

	kt_need_traps();
	kt_put(v->vm, KT_CODE, "\xe6\x80", 2);			/* once through the page, as loaded() does */
	kt_run(v, KVM_EXIT_IO);
	v->run->immediate_exit = 1;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	v->run->immediate_exit = 0;
	kt_load(v->vm, steps);
	lapic_on(v);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 0x202 });
	if (!(kt_cap(v->vm, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ))
		skip("no KVM_GUESTDBG_BLOCKIRQ");
	need_ok(guest_debug(v, STEP | KVM_GUESTDBG_BLOCKIRQ));
	check_eq(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi), 1);
	want_debug(v, EX_DB, KT_CODE + 1);
	want_debug(v, EX_DB, KT_CODE + 6);
	/* Held off until now, and then taken where the guest is. */
	need_ok(guest_debug(v, 0));
	want_exception(v, 0x50, NO_ERROR, KT_CODE + 6);
}

/* --- breakpoints --- */

GUEST64(int3, "nop; int3; nop; hlt");
TEST(software_breakpoint)
{
	struct kt_vcpu *v = LONG(int3);

	kt_need_traps();
	if (kt_host_tcg())
		skip("QEMU's emulation does not intercept INT3");
	need_ok(guest_debug(v, SW_BP));
	want_debug(v, EX_BP, KT_CODE + 1);
	check_eq(kt_regs(v).rip, KT_CODE + 1);			/* on the INT3, not behind it */
	v->vm->mem[KT_CODE + 1] = 0x90;				/* as a debugger does: the instruction that was there */
	kt_run(v, KVM_EXIT_HLT);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
	v->vm->mem[KT_CODE + 1] = 0xcc;
	need_ok(guest_debug(v, STEP));				/* stepping alone leaves INT3 to the guest */
	want_debug(v, EX_DB, KT_CODE + 1);
	need_ok(guest_debug(v, 0));
	want_exception(v, EX_BP, NO_ERROR, KT_CODE + 2);
}

LABEL(hb_target);
GUEST64(hw_bp, "mov $0x7777, %eax; mov %rax, %dr1; mov %dr7, %rbx; nop; .globl hb_target; hb_target: nop; mov %dr1, "
	"%rcx; "
	"mov %dr0, %rdx; mov %dr7, %rsi; hlt");
TEST(hardware_breakpoint)
{
	struct kt_vcpu *v = LONG(hw_bp);
	struct kvm_debugregs d;

	kt_need_traps();
	kt_need_breakpoints();
	hw_breakpoint(v, at(hw_bp, hb_target), 0x402, 0);
	want_debug(v, EX_DB, at(hw_bp, hb_target));
	check_eq(v->run->debug.arch.dr6 & 0xf, 1);
	check_eq(v->run->debug.arch.dr7 & 3, 2);
	/* Without being moved it hits again. */
	want_debug(v, EX_DB, at(hw_bp, hb_target));
	need_ok(guest_debug(v, 0));
	kt_run(v, KVM_EXIT_HLT);
	/* The guest's own registers are its own all the while. */
	check_eq(kt_regs(v).rbx, 0x400);
	check_eq(kt_regs(v).rcx, 0x7777);
	check_eq(kt_regs(v).rdx, 0);
	check_eq(kt_regs(v).rsi, 0x400);
	need_ok(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	check_eq(d.db[1], 0x7777);
	check_eq(d.dr6 & 0xf, 0);
}

LABEL(wp_after);
GUEST64(data_watch, "mov 0x30200, %eax; movl $1, 0x30200; .globl wp_after; wp_after: nop; hlt");
TEST(hardware_watchpoint)
{
	struct kt_vcpu *v = LONG(data_watch);

	kt_need_traps();
	kt_need_breakpoints();
	hw_breakpoint(v, 0x30200, 0xd0602, 0);			/* four bytes, writes */
	want_debug(v, EX_DB, at(data_watch, wp_after));
	check_eq(v->run->debug.arch.dr6 & 0xf, 1);
	check_eq(kt_guest_u32(v->vm, 0x30200), 1);
	kt_run(v, KVM_EXIT_HLT);
}

LABEL(fight_bp);
GUEST64(fight, "mov $0x30200, %eax; mov %rax, %dr0; mov $0xd0402, %eax; mov %rax, %dr7; .globl fight_bp; fight_bp: "
	"nop; "
	"mov %dr7, %rbx; movl $1, 0x30200; hlt");
TEST(host_breakpoints_go_before_the_guests)
{
	struct kt_vcpu *v = LONG(fight);

	kt_need_traps();
	kt_need_breakpoints();
	hw_breakpoint(v, at(fight, fight_bp), 0x402, 0);
	want_debug(v, EX_DB, at(fight, fight_bp));
	need_ok(guest_debug(v, 0));
	/* Now the guest's own take effect. */
	want_exception(v, EX_DB, NO_ERROR, KT_CODE + fight_end - fight - 1);
	check_eq(kt_regs(v).rbx, 0xd0402);
}

/* --- exceptions from the debugger --- */

TEST(inject)
{
	struct kt_vcpu *v = LONG(steps);

	if (kt_host_tcg() && kt_distro())
		skip("these modules lose the breakpoint on a processor without next-RIP saving");
	need_ok(guest_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB));
	want_exception(v, EX_DB, NO_ERROR, KT_CODE);
	v = LONG(steps);
	need_ok(guest_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP));
	check_eq(kt_run_to_out(v), 0x100 + EX_BP);
}

TEST(inject_into_a_pending_exception)
{
	struct kt_vcpu *v;
	struct kvm_vcpu_events e;
	struct kt_vm *vm = kt_vm_new(1 << 20, false);

	if (!kt_cap(vm, KVM_CAP_EXCEPTION_PAYLOAD))
		skip("no KVM_CAP_EXCEPTION_PAYLOAD");
	need_ok(kt_enable_cap(vm->fd, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	v = kt_vcpu_new(vm, 0, KT_LONG);
	e = kt_events(v);
	e.flags = KVM_VCPUEVENT_VALID_PAYLOAD;
	e.exception.pending = 1;
	e.exception.nr = EX_UD;
	need_ok(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	check_err(guest_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB), EBUSY);
}

/* --- the guest's own registers --- */

LABEL(rf_bp);
LABEL(rf_handler);
GUEST64(rf, "mov $0x10000 + rf_bp - rf, %eax; mov %rax, %dr0; mov $0x402, %eax; mov %rax, %dr7; xor %ecx, %ecx; "
	".globl rf_bp; rf_bp: inc %ecx; hlt; "
	".globl rf_handler; rf_handler: inc %edx; orl $0x10000, 16(%rsp); iretq");
TEST(resume_flag)
{
	struct kt_vcpu *v = LONG(rf);

	kt_need_breakpoints();	/* an interrupt of the host between MOV to DR7 and the breakpoint enters anew */
	kt_gate(v, EX_DB, at(rf, rf_handler), 0, 0);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rdx, 1);
	check_eq(kt_regs(v).rcx, 1);
	check_eq(kt_regs(v).rflags & 0x10000, 0);
	kt_disarm(v);
}

LABEL(moved_bp);
LABEL(moved_handler);
GUEST64(moved, "mov $0x402, %eax; mov %rax, %dr7; mov $0x10000 + moved_bp - moved, %eax; mov %rax, %dr0; xor %ecx, %ecx; "
	".globl moved_bp; moved_bp: inc %ecx; hlt; "
	".globl moved_handler; moved_handler: inc %edx; mov %dr6, %rsi; orl $0x10000, 16(%rsp); iretq");
/* QEMU's emulation arms only what a MOV puts there: the guest's own has to run. */
TEST(breakpoint_moved_while_it_is_enabled)
{
	struct kt_vcpu *v = LONG(moved);

	kt_gate(v, EX_DB, at(moved, moved_handler), 0, 0);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rdx, 1);
	check_eq(kt_regs(v).rcx, 1);
	if (!kt_host_bochs_svm())	/* there the guest's DR6 is lost, on the distribution's modules as well */
		check_eq(kt_regs(v).rsi, 0xffff0ff1);
	kt_disarm(v);
}

GUEST64(fixed, "mov $0xfffffff0, %eax; mov %rax, %dr6; mov %dr6, %rbx; xor %eax, %eax; mov %rax, %dr6; mov %dr6, %rcx; "
	"mov %rax, %dr7; mov %dr7, %rdx; mov $0xffff0fff, %eax; mov %rax, %dr7; mov %dr7, %rsi; "
	"xor %eax, %eax; mov %rax, %dr7; hlt");
static void want_fixed_bits(struct kt_vcpu *v)
{
	struct kvm_regs r;

	kt_run(v, KVM_EXIT_HLT);
	r = kt_regs(v);
	check_eq(r.rbx, 0xffffeff0);
	check_eq(r.rcx & ~0x10800ull, 0xfffe07f0);	/* bits 11 and 16, and DR7's bit 11: newer processors' */
	check_eq(r.rdx, 0x400);
	check_eq(r.rsi & ~0x800ull, 0xffff07ff);
}

TEST(fixed_bits)
{
	struct kt_vcpu *v = LONG(fixed);

	if (kt_host_tcg())
		skip("QEMU's emulation has no fixed bits in DR6, and the guest's moves are the processor's");
	want_fixed_bits(v);
}

/* While user space holds the registers the moves are the hypervisor's, on any processor. */
TEST(fixed_bits_of_moves_that_exit)
{
	struct kt_vcpu *v = LONG(fixed);

	hw_breakpoint(v, 0, 0x400, 0);
	want_fixed_bits(v);
}

GUEST64(dr7_high, "mov $1, %rax; shl $32, %rax; mov %rax, %dr7; hlt");
GUEST64(dr6_high, "mov $1, %rax; shl $32, %rax; mov %rax, %dr6; hlt");
TEST(upper_halves)
{
	if (kt_host_tcg() && kt_distro())
		skip("QEMU's emulation does not check them, and these modules leave it to the processor");
	want_exception(LONG(dr7_high), EX_GP, 0, KT_CODE + 11);
	want_exception(LONG(dr6_high), EX_GP, 0, KT_CODE + 11);
}

GUEST64(dr4, "mov $0x400, %eax; mov %rax, %db5; mov %db4, %rbx; mov %cr4, %rax; or $8, %eax; mov %rax, %cr4; "
	".byte 0x0f, 0x21, 0xe0; hlt");
TEST(dr4_and_dr5)
{
	struct kt_vcpu *v = LONG(dr4);

	if (kt_host_tcg() && kt_distro())
		skip("QEMU's emulation intercepts no access to DR4 and DR5");
	want_exception(v, EX_UD, NO_ERROR, KT_CODE + (dr4_end - dr4) - 4);
	check_eq(kt_regs(v).rbx & 0xffff0000, 0xffff0000);	/* an alias of DR6 while CR4.DE is clear */
}

GUEST64(dr_user, "mov %dr0, %rax; hlt");
TEST(not_for_user_mode)
{
	struct kt_vcpu *v = LONG(dr_user);

	kt_user_mode(v);
	want_exception(v, EX_GP, 0, KT_CODE);
}

/* An instruction's breakpoint and the single-step trap of the instruction before it arrive as one. */
LABEL(both_bp);
GUEST64(both, "mov $0x10000 + both_bp - both, %eax; mov %rax, %dr2; mov $0x420, %eax; mov %rax, %dr7; hlt; "
	"nop; .globl both_bp; both_bp: nop; hlt");
TEST(breakpoint_behind_a_step)
{
	struct kt_vcpu *v = LONG(both);
	struct kvm_debugregs d;

	kt_need_traps();
	kt_need_breakpoints();	/* and QEMU does not always take this one back */
	kt_run(v, KVM_EXIT_HLT);
	kt_set_regs(v, &(struct kvm_regs){ .rip = at(both, both_bp) - 1, .rsp = KT_STACK, .rflags = 0x102 });
	want_exception(v, EX_DB, NO_ERROR, at(both, both_bp));
	need_ok(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	check_eq(d.dr6 & 0x4000, 0x4000);
	kt_disarm(v);
}

KT_CPU_MAIN
