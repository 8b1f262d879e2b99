// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ends of KVM_RUN that are no device's business: shutdown, what cannot be interpreted, states that hardware refuses,
 * code where no memory is; and instructions that ask the hypervisor: HLT, PAUSE, hypercalls, those of virtualisation
 * itself.
 */
#include "lib/cpu.h"

#define LONG(n)	loaded(n, n##_end)

static struct kt_vcpu *loaded(const uint8_t *code, const uint8_t *end)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_put(v->vm, KT_CODE, code, end - code);
	return v;
}

static void start(struct kt_vcpu *v)
{
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
}

/* --- shutdown --- */

GUEST64(no_table, "lidt 0x30000; ud2");
TEST(shutdown)
{
	struct kt_vcpu *v = LONG(no_table);
	struct kvm_sregs good = kt_sregs(v);

	kt_need_shutdown();
	kt_run(v, KVM_EXIT_SHUTDOWN);
	check_eq(kt_events(v).exception.injected, 0);
	/* Whatever the vCPU is now, it is set up anew and runs. */
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &good));
	start(v);
	kt_put(v->vm, KT_CODE, "\xf4", 1);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rip, KT_CODE + 1);
}

GUEST32(task_fault, "ljmp $0x30, $0");
TEST(shutdown_in_protected_mode)
{
	struct kt_vcpu *v = kt_prot_vcpu();
	struct kvm_sregs s = kt_sregs(v);

	kt_need_shutdown();
	kt_load(v->vm, task_fault);
	s.idt.limit = 7;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	kt_run(v, KVM_EXIT_SHUTDOWN);
}

/* --- what is not interpreted --- */

/* An instruction on a device that no emulator has reason to know: x87 state as 108 bytes. */
LABEL(fnsave_insn);
GUEST64(fnsave, "nop; .globl fnsave_insn; fnsave_insn: fnsave 0x20000000; hlt");
static const uint8_t fnsave_bytes[] = { 0xdd, 0x34, 0x25, 0x00, 0x00, 0x00, 0x20 };

TEST(unknown_instruction_on_a_device)
{
	struct kt_vcpu *v = LONG(fnsave);

	kt_run(v, KVM_EXIT_INTERNAL_ERROR);
	check_eq(v->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	check_eq(kt_regs(v).rip, at(fnsave, fnsave_insn));
	if (kt_distro())
		return;		/* whose guest goes on with an invalid opcode */
	/* It stays where it is. */
	kt_run(v, KVM_EXIT_INTERNAL_ERROR);
	check_eq(kt_regs(v).rip, at(fnsave, fnsave_insn));
}

static struct kt_vcpu *user_with_failures(uint64_t enable)
{
	struct kt_vcpu *v = LONG(fnsave);

	if (!kt_cap(v->vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE))
		skip("no KVM_CAP_EXIT_ON_EMULATION_FAILURE");
	kt_user_mode(v);
	need_ok(kt_enable_cap(v->vm->fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE, enable));
	return v;
}

TEST(unknown_instruction_of_user_mode)
{
	/* A program of the guest must not stop the guest. */
	want_exception(user_with_failures(0), EX_UD, NO_ERROR, at(fnsave, fnsave_insn));
}

TEST(exit_on_emulation_failure)
{
	struct kt_vcpu *v = user_with_failures(1);
	struct kvm_run *r = v->run;

	check_err(kt_enable_cap(v->vm->fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 2), EINVAL);
	kt_run(v, KVM_EXIT_INTERNAL_ERROR);
	check_eq(r->emulation_failure.suberror, KVM_INTERNAL_ERROR_EMULATION);
	need(r->emulation_failure.ndata >= 3, "%u words", r->emulation_failure.ndata);
	check_eq(r->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES, 1);
	check(r->emulation_failure.insn_size >= sizeof(fnsave_bytes) && r->emulation_failure.insn_size <= 15, "%u "
	      "bytes",
	      r->emulation_failure.insn_size);
	check(!memcmp(r->emulation_failure.insn_bytes, fnsave_bytes, sizeof(fnsave_bytes)), "other bytes");
	check_eq(kt_regs(v).rip, at(fnsave, fnsave_insn));
	/* User space does it itself and goes on. */
	start(v);
	kt_put(v->vm, KT_CODE, "\xcc", 1);
	check_eq(kt_run_to_out(v), 0x100 + EX_GP);		/* INT3 of user mode at a gate of the kernel */
}

/* --- code outside memory --- */

GUEST64(jump_out, "mov $0x20000000, %eax; jmp *%rax");
TEST(fetch_without_memory)
{
	struct kt_vcpu *v = LONG(jump_out);

	kt_run(v, KVM_EXIT_INTERNAL_ERROR);
	check_eq(v->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	check_eq(kt_regs(v).rip, 0x20000000);
}

TEST(no_memory_at_all)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_REAL);

	if (kt_distro()) {
		check_err(ioctl(v->fd, KVM_RUN, 0), ENOSPC);
		return;
	}
	kt_run(v, KVM_EXIT_INTERNAL_ERROR);
	check_eq(kt_regs(v).rip, 0xfff0);
}

TEST(page_tables_outside_memory)
{
	struct kt_vcpu *v = LONG(jump_out);
	struct kvm_sregs s = kt_sregs(v);
	uint32_t reason;

	kt_need_shutdown();
	if (kt_distro())
		skip("the distribution's modules walk such tables for ever");
	s.cr3 = 0x20000000;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	reason = kt_run_any(v);
	check(reason == KVM_EXIT_INTERNAL_ERROR || reason == KVM_EXIT_SHUTDOWN, "exit %s", kt_exit_name(reason));
}

/* --- states that hardware refuses --- */

static void bad_l_and_d(struct kvm_sregs *s) { s->cs.db = 1; }
static void bad_code_type(struct kvm_sregs *s) { s->cs.type = 0; }
static void bad_tr(struct kvm_sregs *s) { s->tr.type = 2; }
static void bad_tr_absent(struct kvm_sregs *s) { s->tr.present = 0; }

static const struct {
	const char *name;
	void (*change)(struct kvm_sregs *s);
	bool amd, intel;	/* which checks it: APM vol. 2, 15.5.1; SDM vol. 3, 26.3.1.2 */
} refused[] = {
	{ "64-bit code segment of 32 bits", bad_l_and_d, true, true },
	{ "code segment of a data type", bad_code_type, false, true },
	{ "TR that is an LDT", bad_tr, false, true },
	{ "TR not present", bad_tr_absent, false, true },
};

GUEST64(halts, "hlt");
TEST(state_that_hardware_refuses)
{
	for (unsigned int i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct kt_vcpu *v = LONG(halts);
		struct kvm_sregs good = kt_sregs(v), s = good;
		uint32_t reason;

		if (kt_host_tcg() || !(kt_host_amd() ? refused[i].amd : refused[i].intel))
			continue;
		refused[i].change(&s);
		if (ioctl(v->fd, KVM_SET_SREGS, &s) < 0) {
			check(errno == EINVAL, "%s: %s", refused[i].name, strerror(errno));
			continue;
		}
		reason = kt_run_any(v);
		check(reason == KVM_EXIT_FAIL_ENTRY, "%s: exit %s", refused[i].name, kt_exit_name(reason));
		if (reason == KVM_EXIT_FAIL_ENTRY) {
			check(v->run->fail_entry.hardware_entry_failure_reason != 0, "%s: no reason", refused[i].name);
			check(v->run->fail_entry.cpu < 4096, "on CPU %u", v->run->fail_entry.cpu);
		}
		/* And with a good one it runs. */
		need_ok(ioctl(v->fd, KVM_SET_SREGS, &good));
		start(v);
		kt_run(v, KVM_EXIT_HLT);
		kt_vcpu_free(v);
	}
	if (kt_host_tcg())
		skip("QEMU's emulation does not check what VMRUN enters");
}

/* --- HLT, PAUSE --- */

GUEST64(halt_again, "hlt; mov $1, %ebx; hlt");
TEST(halt)
{
	struct kt_vcpu *v = LONG(halt_again);

	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rip, KT_CODE + 1);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rbx, 1);
}

TEST(halt_of_user_mode)
{
	struct kt_vcpu *v = LONG(halts);

	kt_user_mode(v);
	want_exception(v, EX_GP, 0, KT_CODE);
}

GUEST64(pauses, "mov $20000, %ecx; 1: pause; dec %ecx; jnz 1b; mov $0x1000, %dx; mov $0x77, %eax; out %eax, (%dx)");
TEST(pause_goes_on)
{
	check_eq(kt_run_to_out(LONG(pauses)), 0x77);
}

GUEST64(caches, "wbinvd; invd; mov $0x1000, %dx; mov $0x78, %eax; out %eax, (%dx)");
TEST(cache_flushes_go_on)
{
	check_eq(kt_run_to_out(LONG(caches)), 0x78);
}

/* --- hypercalls --- */

#define CALLS	"mov %rax, 0x30000; hlt"
GUEST64(call_amd, "vmmcall; " CALLS);
GUEST64(call_intel, "vmcall; " CALLS);

static uint64_t hypercall(struct kt_vcpu *v, const struct kvm_regs *args)
{
	struct kvm_regs r = *args;

	r.rip = KT_CODE;
	r.rsp = KT_STACK;
	r.rflags = 2;
	kt_set_regs(v, &r);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rip, KT_CODE + 12);
	check_eq(kt_regs(v).rbx, args->rbx);
	return kt_guest_u64(v->vm, KT_DATA);
}

static struct kt_vcpu *caller(bool amd)
{
	return amd ? LONG(call_amd) : LONG(call_intel);
}

TEST(hypercalls)
{
	struct kt_vcpu *v = caller(kt_host_amd());

	check_eq(hypercall(v, &(struct kvm_regs){ .rax = 0x1234, .rbx = 5 }), -1000);	/* KVM_ENOSYS */
	check_eq(hypercall(v, &(struct kvm_regs){ .rax = ~0ull }), -1000);
	check_eq(hypercall(v, &(struct kvm_regs){ .rax = 1ull << 32 | 1 }), -1000);	/* all 64 bits count */
	check_eq(hypercall(v, &(struct kvm_regs){ .rax = 1 }), 0);			/* KVM_HC_VAPIC_POLL_IRQ */
}

TEST(hypercall_of_user_mode)
{
	struct kt_vcpu *v = caller(kt_host_amd());

	kt_user_mode(v);
	kt_gate(v, EX_GP, KT_TABLES + 0x5000 + EX_GP * 48, 3, 0);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2, .rax = 1 });
	check_eq(kt_run_to_out(v), 0x100 + EX_GP);					/* at the HLT */
	check_eq(kt_guest_u64(v->vm, KT_DATA), -1);					/* KVM_EPERM */
}

TEST(hypercall_of_the_other_vendor)
{
	struct kt_vcpu *v = caller(!kt_host_amd());
	struct kvm_sregs s;

	/* Rewritten where it may be written, and carried out also where not. */
	check_eq(hypercall(v, &(struct kvm_regs){ .rax = 1 }), 0);
	check(!memcmp(v->vm->mem + KT_CODE, kt_host_amd() ? call_amd : call_intel, 3), "not rewritten");
	if (kt_distro())
		return;
	v = caller(!kt_host_amd());
	memcpy(v->vm->mem + KT_CODE + 3, "\xf4", 1);			/* no store before the HLT */
	kt_guest_u64(v->vm, KT_PD) = 0x85;
	s = kt_sregs(v);
	s.cr0 |= 1 << 16;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2, .rax = 1 });
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rax, 0);
	check(!memcmp(v->vm->mem + KT_CODE, kt_host_amd() ? call_intel : call_amd, 3), "written in a page that is read-only");
}

TEST(hypercall_left_as_it_is)
{
	struct kt_vcpu *v = caller(!kt_host_amd());

	if (!(kt_cap(v->vm, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_FIX_HYPERCALL_INSN))
		skip("the quirk cannot be switched off here");
	need_ok(kt_enable_cap(v->vm->fd, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_FIX_HYPERCALL_INSN));
	want_exception(v, EX_UD, NO_ERROR, KT_CODE);
	check(!memcmp(v->vm->mem + KT_CODE, kt_host_amd() ? call_intel : call_amd, 3), "changed");
	/* What is switched off is what the last call says. */
	need_ok(kt_enable_cap(v->vm->fd, KVM_CAP_DISABLE_QUIRKS2, 0));
	check_eq(hypercall(v, &(struct kvm_regs){ .rax = 1 }), 0);
}

TEST(hypercall_for_user_space)
{
	struct kt_vcpu *v = caller(kt_host_amd());
	struct kvm_regs args = { .rax = 12, .rbx = 0x40000, .rcx = 2, .rdx = 0x10 };	/* KVM_HC_MAP_GPA_RANGE */

	if (!(kt_cap(v->vm, KVM_CAP_EXIT_HYPERCALL) & 1 << 12))
		skip("no KVM_CAP_EXIT_HYPERCALL");
	check_eq(hypercall(v, &args), -1000);
	check_err(kt_enable_cap(v->vm->fd, KVM_CAP_EXIT_HYPERCALL, 1 << 5), EINVAL);
	need_ok(kt_enable_cap(v->vm->fd, KVM_CAP_EXIT_HYPERCALL, 1 << 12));
	args.rip = KT_CODE;
	args.rsp = KT_STACK;
	args.rflags = 2;
	kt_set_regs(v, &args);
	kt_run(v, KVM_EXIT_HYPERCALL);
	check_eq(v->run->hypercall.nr, 12);
	check_eq(v->run->hypercall.args[0], 0x40000);
	check_eq(v->run->hypercall.args[1], 2);
	check_eq(v->run->hypercall.args[2], 0x10);
	v->run->hypercall.ret = 0x55;
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0x55);
	/* Refused before anybody is asked: not aligned; no pages. */
	args.rbx = 0x40001;
	check_eq(hypercall(v, &args), -22);
	args.rbx = 0x40000;
	args.rcx = 0;
	check_eq(hypercall(v, &args), -22);
}

GUEST32(call32_amd, "vmmcall; mov %eax, 0x30000; hlt");
GUEST32(call32_intel, "vmcall; mov %eax, 0x30000; hlt");
TEST(hypercall_of_32_bits)
{
	struct kt_vcpu *v = kt_prot_vcpu();

	if (kt_host_amd())
		kt_load(v->vm, call32_amd);
	else
		kt_load(v->vm, call32_intel);
	/* Upper halves do not exist. */
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2, .rax = 7ull << 32 | 1 });
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u32(v->vm, KT_DATA), 0);
}

/* --- virtualisation inside, not offered --- */

GUEST64(vmrun, "vmrun");
GUEST64(vmload, "vmload");
GUEST64(clgi, "clgi");
GUEST64(vmxoff, "vmxoff");
GUEST64(vmread, "vmread %rax, %rbx");
GUEST64(vmlaunch, "vmlaunch");
GUEST64(rsm, "rsm");

/* Without SVM and VMX in its CPUID. */
static struct kt_vcpu *plain_vcpu(const uint8_t *code, const uint8_t *end)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_LONG);
	struct kvm_cpuid2 *c = kt_supported_cpuid(vm->kvm);
	struct kvm_cpuid_entry2 *e = kt_cpuid_leaf(c, 1, 0);

	e->ecx &= ~(1u << 5);
	e = kt_cpuid_leaf(c, 0x80000001, 0);
	if (e)
		e->ecx &= ~(1u << 2);
	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	free(c);
	kt_install_idt(v);
	kt_put(vm, KT_CODE, code, end - code);
	return v;
}

TEST(no_nesting_no_instructions)
{
#define I(n)	{ #n, n, n##_end }
	static const struct { const char *name; const uint8_t *code, *end; } t[] = {
		I(vmrun), I(vmload), I(clgi), I(vmxoff), I(vmread), I(vmlaunch), I(rsm),
	};

	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct kt_vcpu *v = plain_vcpu(t[i].code, t[i].end);
		uint32_t got = kt_run_to_out(v);

		check(got == 0x100 + EX_UD, "%s: OUT of %#x", t[i].name, got);
		kt_vcpu_free(v);
	}
}

KT_CPU_MAIN
