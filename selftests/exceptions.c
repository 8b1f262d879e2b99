// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions and interrupts as the guest sees them: vector, error code, the address in the frame; double and triple
 * faults; NMIs and their masking; interrupts that user space queues, and the shadows that hold them off.
 * Expected values: SDM vol. 3, chapter 6; APM vol. 2, chapter 8.
 */
#include "lib/cpu.h"

static struct kt_vcpu *loaded(struct kt_vcpu *v, const uint8_t *code, const uint8_t *end)
{
	kt_put(v->vm, KT_CODE, code, end - code);
	return v;
}
#define LONG(n)	loaded(kt_long_vcpu(false), n, n##_end)
#define PROT(n)	loaded(kt_prot_vcpu(), n, n##_end)

/* --- faults and traps --- */

GUEST64(div0, "xor %ecx, %ecx; div %ecx");
TEST(divide_error)
{
	want_exception(LONG(div0), EX_DE, NO_ERROR, KT_CODE + 2);
}

GUEST64(icebp, "nop; .byte 0xf1; nop");
TEST(int1)
{
	kt_need_traps();
	if (kt_host_tcg())
		skip("QEMU's emulation takes INT1 for an invalid opcode in a guest");
	want_exception(LONG(icebp), EX_DB, NO_ERROR, KT_CODE + 2);
}

GUEST64(tf, "pushf; orl $0x100, (%rsp); popf; nop; nop; hlt");
TEST(single_step)
{
	struct kt_vcpu *v = LONG(tf);
	struct kvm_debugregs d;
	uint64_t flags;

	kt_need_traps();
	want_exception(v, EX_DB, NO_ERROR, KT_CODE + 10);
	need_ok(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	check_eq(d.dr6 & 0x400f, 0x4000);
	/* The frame has TF, the handler has not: CS, RFLAGS, RSP, SS are left of it. */
	flags = kt_guest_u64(v->vm, kt_regs(v).rsp + 8);
	check_eq(flags & 0x100, 0x100);
	check_eq(kt_regs(v).rflags & 0x100, 0);
}

GUEST64(tf_cpuid, "xor %eax, %eax; pushf; orl $0x100, (%rsp); popf; cpuid; nop; hlt");
TEST(single_step_over_an_exit)
{
	kt_need_traps();
	want_exception(LONG(tf_cpuid), EX_DB, NO_ERROR, KT_CODE + 13);
}

GUEST64(tf_port, "mov $0x80, %dx; pushf; orl $0x100, (%rsp); popf; out %al, (%dx); nop; hlt");
TEST(single_step_over_user_io)
{
	struct kt_vcpu *v = LONG(tf_port);

	kt_need_traps();
	kt_run(v, KVM_EXIT_IO);
	check_eq(v->run->io.port, 0x80);
	want_exception(v, EX_DB, NO_ERROR, KT_CODE + 14);
}

GUEST64(tf_mmio, "pushf; orl $0x100, (%rsp); popf; mov %al, 0x20000000; nop; hlt");
TEST(single_step_over_mmio)
{
	struct kt_vcpu *v = LONG(tf_mmio);

	kt_need_traps();
	if (kt_distro())
		skip("the distribution's modules trap one instruction late");
	kt_run(v, KVM_EXIT_MMIO);
	want_exception(v, EX_DB, NO_ERROR, KT_CODE + 16);
}

LABEL(ib_target);
GUEST64(insn_bp, "mov $0x10000 + ib_target - insn_bp, %eax; mov %rax, %dr0; mov $0x402, %eax; mov %rax, %dr7; nop; "
	".globl ib_target; ib_target: inc %ebx; hlt");
TEST(instruction_breakpoint)
{
	struct kt_vcpu *v = LONG(insn_bp);
	struct kvm_debugregs d;

	kt_need_traps();
	kt_need_breakpoints();
	want_exception(v, EX_DB, NO_ERROR, at(insn_bp, ib_target));
	need_ok(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	check_eq(d.dr6 & 0xe00f, 1);
	check_eq(d.dr7, 0x402);
	check_eq(d.db[0], at(insn_bp, ib_target));
	check_eq(kt_regs(v).rbx, 0);
	kt_disarm(v);
}

LABEL(db_after);
GUEST64(data_bp, "mov $0x30100, %eax; mov %rax, %dr1; mov $0x00d00408, %eax; mov %rax, %dr7; mov 0x30104, %ecx; "
	"movl $1, 0x30100; .globl db_after; db_after: nop; hlt");
TEST(data_breakpoint)
{
	struct kt_vcpu *v = LONG(data_bp);
	struct kvm_debugregs d;

	kt_need_traps();
	kt_need_breakpoints();
	want_exception(v, EX_DB, NO_ERROR, at(data_bp, db_after));
	need_ok(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	check_eq(d.dr6 & 0xe00f, 2);
	check_eq(kt_guest_u32(v->vm, 0x30100), 1);
	kt_disarm(v);
}

LABEL(gd_insn);
GUEST64(gd, "mov $0x2400, %eax; mov %rax, %dr7; .globl gd_insn; gd_insn: mov %dr3, %rax; hlt");
TEST(general_detect)
{
	struct kt_vcpu *v = LONG(gd);
	struct kvm_debugregs d;

	kt_need_traps();
	if (kt_host_tcg() && kt_distro())
		skip("QEMU's emulation ignores DR7.GD, and these modules leave it to the processor");
	want_exception(v, EX_DB, NO_ERROR, at(gd, gd_insn));
	need_ok(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	check_eq(d.dr6 & 0xe00f, 0x2000);
	check_eq(d.dr7 & 0x2000, 0);	/* the handler may use them */
}

GUEST64(bp, "nop; int3; nop");
TEST(breakpoint)
{
	want_exception(LONG(bp), EX_BP, NO_ERROR, KT_CODE + 2);
}

GUEST32(of, "mov $0x7fffffff, %eax; inc %eax; into; hlt");
TEST(overflow)
{
	want_exception(PROT(of), EX_OF, NO_ERROR, KT_CODE + 7);
}

GUEST32(br, "movl $5, 0x30000; movl $9, 0x30004; mov $7, %eax; bound %eax, 0x30000; mov $10, %eax; bound %eax, "
	"0x30000; hlt");
TEST(bound_range)
{
	struct kt_vcpu *v = PROT(br);

	want_exception(v, EX_BR, NO_ERROR, KT_CODE + 20 + 5 + 6 + 5);
	check_eq(kt_guest_u32(v->vm, KT_DATA), 5);
}

GUEST64(ud, "nop; ud2");
TEST(invalid_opcode)
{
	want_exception(LONG(ud), EX_UD, NO_ERROR, KT_CODE + 1);
}

GUEST64(lock_ud, ".byte 0xf0, 0x90");
TEST(invalid_lock)
{
	want_exception(LONG(lock_ud), EX_UD, NO_ERROR, KT_CODE);
}

GUEST64(nm, "mov %cr0, %rax; or $8, %eax; mov %rax, %cr0; fnop; hlt");
TEST(device_not_available)
{
	want_exception(LONG(nm), EX_NM, NO_ERROR, KT_CODE + 9);
}

GUEST64(clts, "mov %cr0, %rax; or $8, %eax; mov %rax, %cr0; clts; fnop; hlt");
TEST(clts_ends_it)
{
	struct kt_vcpu *v = LONG(clts);

	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_sregs(v).cr0 & 8, 0);
}

GUEST64(np, "mov $0x30, %eax; mov %eax, %ds; hlt");
TEST(segment_not_present)
{
	struct kt_vcpu *v = LONG(np);
	struct kvm_sregs s = kt_sregs(v);

	s.gdt.limit = 63;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	kt_guest_u64(v->vm, KT_GDT + 0x30) = 0x00cf13000000ffff;	/* data, not present */
	want_exception(v, EX_NP, 0x30, KT_CODE + 5);
}

GUEST64(ss, "movabs $0x900000000000, %rsp; push %rax; hlt");
TEST(stack_fault_not_canonical)
{
	struct kt_vcpu *v = LONG(ss);

	if (kt_host_tcg())
		skip("QEMU's emulation raises #GP for the stack as well");
	kt_load_tss(v);
	kt_gate(v, EX_SS, KT_TABLES + 0x5000 + EX_SS * 48, 0, 1);	/* the reporting stub, on a good stack */
	want_exception(v, EX_SS, 0, KT_CODE + 10);
}

GUEST64(gp, "movabs $0x800000000000, %rax; mov (%rax), %ebx; hlt");
TEST(general_protection_not_canonical)
{
	want_exception(LONG(gp), EX_GP, 0, KT_CODE + 10);
}

GUEST64(gp_sel, "mov $0x103, %eax; mov %eax, %es; hlt");
TEST(general_protection_selector)
{
	want_exception(LONG(gp_sel), EX_GP, 0x100, KT_CODE + 5);
}

/* --- page faults: the error code's bits --- */

GUEST64(pf_read, "mov 0x40000123, %eax; hlt");
GUEST64(pf_write, "movb $1, 0x40000123; hlt");
GUEST64(pf_fetch, "mov $0x40000000, %eax; jmp *%rax");
GUEST64(pf_ro, "mov %cr0, %rax; or $0x10000, %eax; mov %rax, %cr0; movb $1, 0x2000010; hlt");
GUEST64(pf_rmw, "lock incl 0x40000010; hlt");

static void want_pf(struct kt_vcpu *v, uint32_t error, uint64_t rip, uint64_t cr2)
{
	want_exception(v, EX_PF, error, rip);
	check_eq(kt_sregs(v).cr2, cr2);
}

TEST(page_fault_read)
{
	want_pf(LONG(pf_read), 0, KT_CODE, 0x40000123);
}

TEST(page_fault_write)
{
	want_pf(LONG(pf_write), 2, KT_CODE, 0x40000123);
}

TEST(page_fault_read_modify_write)
{
	if (kt_host_tcg())
		skip("QEMU's emulation may read before it writes");
	want_pf(LONG(pf_rmw), 2, KT_CODE, 0x40000010);
}

TEST(page_fault_fetch)
{
	struct kt_vcpu *v = LONG(pf_fetch);

	want_pf(v, 0, 0x40000000, 0x40000000);		/* no bit 4 while EFER.NXE and CR4.SMEP are clear */
}

TEST(page_fault_fetch_nx)
{
	struct kt_vcpu *v = LONG(pf_fetch);
	struct kvm_sregs s = kt_sregs(v);

	s.efer |= 1 << 11;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	want_pf(v, 0x10, 0x40000000, 0x40000000);
}

GUEST64(pf_nx, "mov $0x2000000, %eax; jmp *%rax");
TEST(page_fault_no_execute)
{
	struct kt_vcpu *v = LONG(pf_nx);
	struct kvm_sregs s = kt_sregs(v);

	s.efer |= 1 << 11;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	kt_guest_u64(v->vm, KT_PD + 8 * 16) = 1ull << 63 | 0x87;	/* to memory that is there */
	want_pf(v, 0x11, 0x2000000, 0x2000000);
}

TEST(page_fault_write_protected)
{
	struct kt_vcpu *v = LONG(pf_ro);

	kt_guest_u64(v->vm, KT_PD + 8 * 16) = 0x2000000 | 0x85;
	want_pf(v, 3, KT_CODE + 11, 0x2000010);
}

TEST(page_fault_reserved_bit)
{
	struct kt_vcpu *v = LONG(pf_read);

	if (kt_host_tcg())
		skip("QEMU's emulation reports reserved bits without bit 0");
	kt_guest_u64(v->vm, KT_TABLES + 0x1000 + 8) = 1ull << 51 | (KT_PD + 7);	/* bit 51: above MAXPHYADDR */
	want_pf(v, 9, KT_CODE, 0x40000123);
}

TEST(page_fault_user)
{
	static const struct { const uint8_t *code, *end; uint64_t pde; uint32_t error; uint64_t cr2; } t[] = {
		{ pf_read, pf_read_end, 0, 4, 0x40000123 },
		{ pf_write, pf_write_end, 0, 6, 0x40000123 },
		{ pf_write, pf_write_end, 0x83, 7, 0x40000123 },	/* a supervisor's page */
		{ pf_read, pf_read_end, 0x83, 5, 0x40000123 },
	};

	for (int i = 0; i < 4; i++) {
		struct kt_vcpu *v = loaded(kt_long_vcpu(false), t[i].code, t[i].end);

		kt_user_mode(v);
		if (t[i].pde) {
			kt_guest_u64(v->vm, KT_TABLES + 0x1008) = 0x8f000 | 7;
			kt_guest_u64(v->vm, 0x8f000) = t[i].pde;
		}
		want_pf(v, t[i].error, KT_CODE, t[i].cr2);
		kt_vm_free(v->vm);
	}
}

LABEL(ac_insn);
GUEST64(ac, "pushf; orl $0x40000, (%rsp); popf; mov 0x30004, %eax; .globl ac_insn; ac_insn: mov 0x30001, %eax; hlt");
TEST(alignment_check)
{
	struct kt_vcpu *v = LONG(ac);
	struct kvm_sregs s;

	if (kt_host_bochs_svm())
		skip("Bochs goes on checking in the next SVM guests");
	kt_user_mode(v);
	s = kt_sregs(v);
	s.cr0 |= 1 << 18;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	if (kt_host_tcg())
		skip("QEMU's emulation does no alignment checks");
	want_exception(v, EX_AC, 0, at(ac, ac_insn));
}

/* --- software interrupts and gates --- */

GUEST64(intn, "int $0x80; hlt");
TEST(software_interrupt)
{
	kt_need_events();
	want_exception(LONG(intn), 0x80, NO_ERROR, KT_CODE + 2);
}

TEST(software_interrupt_not_allowed)
{
	struct kt_vcpu *v = LONG(intn);

	kt_need_events();
	kt_user_mode(v);
	want_exception(v, EX_GP, kt_gate_error(0x80, false), KT_CODE);
}

TEST(software_interrupt_from_user_mode)
{
	struct kt_vcpu *v = LONG(intn);
	uint64_t rsp;

	kt_need_events();
	kt_user_mode(v);
	kt_gate(v, 0x80, KT_TABLES + 0x5000 + 0x80 * 48, 3, 0);
	want_exception(v, 0x80, NO_ERROR, KT_CODE + 2);
	rsp = kt_regs(v).rsp;
	check_eq(rsp, KT_RSP0 - 32);				/* CS, RFLAGS, RSP, SS */
	check_eq(kt_guest_u64(v->vm, rsp), 0x2b);
	check_eq(kt_guest_u64(v->vm, rsp + 16), KT_STACK);
	check_eq(kt_guest_u64(v->vm, rsp + 24), 0x23);
}

GUEST64(int3_user, "nop; int3");
TEST(breakpoint_gate_not_allowed)
{
	struct kt_vcpu *v = LONG(int3_user);

	if (kt_host_tcg() && kt_distro())
		skip("these modules move RIP on a processor without next-RIP saving");
	kt_user_mode(v);
	want_exception(v, EX_GP, kt_gate_error(EX_BP, false), KT_CODE + 1);
}

TEST(gate_not_present)
{
	struct kt_vcpu *v = LONG(intn);

	kt_need_events();
	v->vm->mem[KT_IDT + 0x80 * 16 + 5] = 0x0e;
	want_exception(v, EX_NP, kt_gate_error(0x80, false), KT_CODE);
}

TEST(idt_too_short)
{
	struct kt_vcpu *v = LONG(intn);
	struct kvm_sregs s = kt_sregs(v);

	s.idt.limit = 0x80 * 16 - 1;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	want_exception(v, EX_GP, kt_gate_error(0x80, false), KT_CODE);
}

/* --- one fault in another's delivery --- */

TEST(double_fault_contributory)
{
	struct kt_vcpu *v = LONG(gp);

	kt_need_shutdown();
	if (kt_host_tcg())
		skip("QEMU's emulation merges no exception with an injected one");
	v->vm->mem[KT_IDT + EX_GP * 16 + 5] = 0x0e;		/* #GP, then #NP for its gate */
	want_exception(v, EX_DF, 0, KT_CODE + 10);
}

TEST(second_fault_serially)
{
	struct kt_vcpu *v = LONG(ud);

	v->vm->mem[KT_IDT + EX_UD * 16 + 5] = 0x0e;		/* #UD is benign: #NP follows on its own */
	want_exception(v, EX_NP, kt_gate_error(EX_UD, true), KT_CODE + 1);
}

GUEST64(bad_stack, "mov $0x40000800, %esp; ud2");
TEST(page_fault_in_delivery)
{
	struct kt_vcpu *v = LONG(bad_stack);

	kt_need_shutdown();
	kt_load_tss(v);
	kt_gate(v, EX_PF, KT_TABLES + 0x5000 + EX_PF * 48, 0, 1);
	want_exception(v, EX_PF, 2, KT_CODE + 5);
	check_eq(kt_sregs(v).cr2, 0x400007f8);
}

GUEST64(bad_stack_pf, "mov $0x40000800, %esp; push %rax");
TEST(double_fault_page_faults)
{
	struct kt_vcpu *v = LONG(bad_stack_pf);

	kt_need_shutdown();
	kt_load_tss(v);
	kt_gate(v, EX_DF, KT_TABLES + 0x5000 + EX_DF * 48, 0, 1);
	want_exception(v, EX_DF, 0, KT_CODE + 5);
}

TEST(triple_fault_stack)
{
	kt_need_shutdown();
	kt_run(LONG(bad_stack_pf), KVM_EXIT_SHUTDOWN);
}

TEST(triple_fault_no_idt)
{
	struct kt_vcpu *v = LONG(ud);
	struct kvm_sregs s = kt_sregs(v);

	kt_need_shutdown();
	s.idt.limit = 0;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	kt_run(v, KVM_EXIT_SHUTDOWN);
}

TEST(runs_again_after_shutdown)
{
	struct kt_vcpu *v = LONG(ud);
	struct kvm_sregs s = kt_sregs(v), good = s;

	kt_need_shutdown();
	s.idt.limit = 0;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	kt_run(v, KVM_EXIT_SHUTDOWN);
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &good));
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
	want_exception(v, EX_UD, NO_ERROR, KT_CODE + 1);
}

GUEST16(real_ivt, "movw $0x200, 0x0; movw $0x1000, 0x2; xor %cx, %cx; sti; div %cx; .org real_ivt + 0x200; "
	"pop %ax; pushf; pop %bx; mov $0x1000, %dx; out %ax, (%dx); mov %bx, %ax; out %ax, (%dx)");
TEST(real_mode_exception)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_REAL);

	kt_load(vm, real_ivt);
	check_eq(kt_run_to_out(v), 15);				/* the DIV's own offset */
	check_eq(kt_run_to_out(v) & 0x300, 0);			/* IF and TF are off */
}

GUEST16(real_int, "movw $0x200, 0x84; movw $0x1000, 0x86; int $0x21; mov $0x77, %al; mov $0x1000, %dx; out %al, (%dx); "
	"hlt; "
	".org real_int + 0x200; iret");
TEST(real_mode_int_and_iret)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_REAL);

	kt_need_events();
	kt_load(vm, real_int);
	check_eq(kt_run_to_out(v), 0x77);
	check_eq(kt_regs(v).rsp & 0xffff, 0xff00);
}

GUEST16(real_triple, "lidt %cs:8; int3; .org real_triple + 8; .word 0; .long 0");
TEST(real_mode_triple_fault)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_REAL);

	kt_need_shutdown();
	kt_load(vm, real_triple);
	kt_run(v, KVM_EXIT_SHUTDOWN);
}

/* --- NMI --- */

LABEL(nmi_handler);
GUEST64(nmi, "mov $0x1000, %dx; 1: mov $0x11, %eax; out %eax, (%dx); jmp 1b; .globl nmi_handler; nmi_handler: "
	"push %rax; incl 0x30000; mov $0x22, %eax; out %eax, (%dx); pop %rax; iretq");

static struct kt_vcpu *nmi_guest(bool irqchip)
{
	struct kt_vcpu *v = loaded(kt_long_vcpu(irqchip), nmi, nmi_end);

	kt_gate(v, EX_NMI, at(nmi, nmi_handler), 0, 0);
	return v;
}

static void nmi_masked_until_iret(bool irqchip)
{
	struct kt_vcpu *v = nmi_guest(irqchip);

	kt_need_events();
	check_eq(kt_run_to_out(v), 0x11);
	need_ok(ioctl(v->fd, KVM_NMI, 0));
	check_eq(kt_run_to_out(v), 0x22);
	check_eq(kt_events(v).nmi.masked, 1);
	/* While one is handled, hardware remembers one more. */
	need_ok(ioctl(v->fd, KVM_NMI, 0));
	need_ok(ioctl(v->fd, KVM_NMI, 0));
	check_eq(kt_events(v).nmi.pending, 1);
	check_eq(kt_run_to_out(v), 0x22);
	check_eq(kt_guest_u32(v->vm, KT_DATA), 2);
	check_eq(kt_events(v).nmi.masked, 1);
	check_eq(kt_events(v).nmi.pending, 0);
	check_eq(kt_run_to_out(v), 0x11);
	check_eq(kt_events(v).nmi.masked, 0);
	for (int i = 0; i < 5; i++)
		check_eq(kt_run_to_out(v), 0x11);
	check_eq(kt_guest_u32(v->vm, KT_DATA), 2);
	check_eq(kt_regs(v).rsp, KT_STACK);
}

TEST(nmi_masked_until_iret)
{
	nmi_masked_until_iret(false);
}

TEST(nmi_masked_until_iret_irqchip)
{
	nmi_masked_until_iret(true);
}

LABEL(nmi_hlt_handler);
GUEST64(nmi_hlt, "mov $0x1000, %dx; out %al, (%dx); hlt; mov $0x33, %eax; out %eax, (%dx); .globl nmi_hlt_handler; "
	"nmi_hlt_handler: iretq");
TEST(nmi_ends_a_halt)
{
	struct kt_vcpu *v = loaded(kt_long_vcpu(true), nmi_hlt, nmi_hlt_end);

	kt_gate(v, EX_NMI, at(nmi_hlt, nmi_hlt_handler), 0, 0);
	kt_run_to_out(v);
	v->run->immediate_exit = 1;				/* past the OUT, before the HLT */
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	v->run->immediate_exit = 0;
	need_ok(ioctl(v->fd, KVM_SET_MP_STATE, &(struct kvm_mp_state){ KVM_MP_STATE_HALTED }));
	need_ok(ioctl(v->fd, KVM_NMI, 0));
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE + 6, .rsp = KT_STACK, .rflags = 2, .rdx = KT_PORT });
	check_eq(kt_run_to_out(v), 0x33);
}

/* --- interrupts from user space's own controller --- */

GUEST64(window, "mov $0x1000, %dx; out %al, (%dx); sti; nop; nop; movl $1, 0x30000; 1: jmp 1b");
static bool opens_behind_the_shadow(struct kt_vcpu *v)
{
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
	v->run->request_interrupt_window = 1;
	kt_run_to_out(v);
	check_eq(v->run->if_flag, 0);
	check_eq(v->run->ready_for_interrupt_injection, 0);
	kt_run(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	check_eq(v->run->if_flag, 1);
	check_eq(v->run->ready_for_interrupt_injection, 1);
	v->run->request_interrupt_window = 0;
	return kt_regs(v).rip >= KT_CODE + 7;
}

TEST(interrupt_window)
{
	struct kt_vcpu *v = LONG(window);
	bool good = false;

	/* QEMU's VMRUN loads no shadow, so that an exit that happens to fall inside one loses it: not three times. */
	for (int i = 0; i < (kt_host_tcg() ? 3 : 1) && !good; i++)
		good = opens_behind_the_shadow(v);
	check(good, "at %llx, inside STI's shadow", kt_regs(v).rip);
	need_ok(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x40 }));
	check_eq(kt_run_to_out(v), 0x140);
	check_eq(v->run->if_flag, 0);
}

/* Tests of shadows that need V_IRQ's, or that of an entry. */
static void need_shadows(bool entry)
{
	kt_need_events();
	if (kt_host_tcg() && (entry || kt_distro()))
		skip("QEMU's emulation has no interrupt shadow for virtual interrupts and at VMRUN");
}

TEST(interrupt_waits_for_if)
{
	struct kt_vcpu *v = LONG(window);

	need_shadows(false);
	kt_run_to_out(v);
	need_ok(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x41 }));
	/* STI holds it off for one instruction more. */
	want_exception(v, 0x41, NO_ERROR, KT_CODE + 7);
	check_eq(kt_guest_u32(v->vm, KT_DATA), 0);
}

TEST(interrupt_errors)
{
	struct kt_vcpu *v = LONG(window), *w;

	check_err(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 256 }), EINVAL);
	check_err(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ ~0u }), EINVAL);
	check_err(ioctl(v->fd, KVM_INTERRUPT, 8), EFAULT);
	need_ok(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x40 }));
	if (!kt_distro())
		check_err(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x41 }), EEXIST);
	w = kt_long_vcpu(true);
	check_err(ioctl(w->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x40 }), ENXIO);
}

GUEST64(plain, "nop; mov $1, %ecx; mov $2, %ecx; 1: jmp 1b");
TEST(interrupt_with_if_set)
{
	struct kt_vcpu *v = LONG(plain);

	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 0x202 });
	need_ok(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0xf1 }));
	want_exception(v, 0xf1, NO_ERROR, KT_CODE);
	check_eq(kt_guest_u64(v->vm, kt_regs(v).rsp + 8) & 0x200, 0x200);
}

static void shadow_from_user_space(uint8_t shadow)
{
	struct kt_vcpu *v = LONG(plain);
	struct kvm_vcpu_events e;

	need_shadows(true);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 0x202 });
	e = kt_events(v);
	e.flags = KVM_VCPUEVENT_VALID_SHADOW;
	e.interrupt.shadow = shadow;
	need_ok(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	check(kt_events(v).interrupt.shadow, "the shadow is gone");
	need_ok(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x42 }));
	want_exception(v, 0x42, NO_ERROR, KT_CODE + 1);
}

TEST(shadow_of_sti)
{
	shadow_from_user_space(KVM_X86_SHADOW_INT_STI);
}

TEST(shadow_of_mov_ss)
{
	shadow_from_user_space(KVM_X86_SHADOW_INT_MOV_SS);
}

GUEST64(sti_cpuid, "mov $0x1000, %dx; out %al, (%dx); sti; cpuid; nop; hlt");
TEST(shadow_over_an_exit)
{
	struct kt_vcpu *v = LONG(sti_cpuid);

	need_shadows(false);
	kt_run_to_out(v);
	need_ok(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x43 }));
	want_exception(v, 0x43, NO_ERROR, KT_CODE + 8);		/* behind CPUID, which the shadow covers */
}

GUEST64(sti_hlt, "mov $0x1000, %dx; out %al, (%dx); sti; hlt; nop; hlt");
TEST(interrupt_after_sti_hlt)
{
	struct kt_vcpu *v = LONG(sti_hlt);

	kt_run(v, KVM_EXIT_IO);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(v->run->if_flag, 1);
	check_eq(v->run->ready_for_interrupt_injection, 1);
	need_ok(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x44 }));
	want_exception(v, 0x44, NO_ERROR, KT_CODE + 7);
}

TEST(nmi_before_interrupt)
{
	struct kt_vcpu *v = LONG(plain);

	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 0x202 });
	need_ok(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x45 }));
	need_ok(ioctl(v->fd, KVM_NMI, 0));
	check_eq(kt_run_to_out(v), 0x102);
	/* An interrupt that came first would not be wrong, but then the NMI interrupts its handler at once. */
	if (!kt_distro())
		check_eq(kt_guest_u64(v->vm, KT_DATA - 16), KT_CODE);
	kt_unmask_nmis(v);
}

KT_CPU_MAIN
