// SPDX-License-Identifier: GPL-2.0-only
/*
 * The processor's modes as a guest goes through them: real, protected of 16 and 32 bits, virtual-8086, compatibility
 * and 64-bit; paging of 32 bits and PAE; changes of privilege by gates and SYSCALL; task switches; control registers
 * that do not go together. Expected values: SDM vol. 3, chapters 2, 4, 5, 7, 9, 20; APM vol. 2, chapters 1, 3, 4, 12,
 * 14.
 */
#include "lib/cpu.h"

#define TABLES32	0x8c000ull	/* for 32-bit paging, as far as KT_TABLES */
#define TASK_A		KT_TSS
#define TASK_B		0x8f000ull

/* Reports from any mode. */
#define SAY(n)	"mov $" #n ", %al; mov $0x1000, %dx; out %al, %dx\n"

static void gdt(struct kt_vcpu *v, int selector, uint64_t descriptor)
{
	kt_guest_u64(v->vm, KT_GDT + selector) = descriptor;
}

static void gdt_limit(struct kt_vcpu *v, uint16_t limit)
{
	struct kvm_sregs s = kt_sregs(v);

	s.gdt.limit = limit;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
}

/* --- the whole way up and down again, by the guest alone --- */

LABEL(tour_16);
GUEST16(tour, "cli; lgdtl %cs:(tour_gdtr - tour)\n" SAY(1)
	"mov %cr0, %eax; or $1, %al; mov %eax, %cr0; ljmpl $0x18, $0x10000 + tour_32 - tour\n"
	"tour_gdtr: .word 0x3f; .long 0x82000\n"
	".code32; tour_32: mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss; mov $0x20000, %esp\n" SAY(2)
	"mov %cr4, %eax; or $0x20, %eax; mov %eax, %cr4; mov $0x80000, %eax; mov %eax, %cr3\n"
	"mov $0xc0000080, %ecx; rdmsr; or $0x100, %eax; wrmsr\n"
	"mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n" SAY(3)
	"ljmp $0x08, $0x10000 + tour_64 - tour\n"
	".code64; tour_64: mov $0x123456789abcdef0, %r15\n" SAY(4)
	"pushq $0x18; pushq $0x10000 + tour_down - tour; lretq\n"
	".code32; tour_down: mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n" SAY(5)
	"mov $0xc0000080, %ecx; rdmsr; and $0xfffffeff, %eax; wrmsr; ljmp $0x30, $tour_16 - tour\n"
	".globl tour_16; .code16; tour_16: mov $0x38, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss\n" SAY(6)
	"mov %cr0, %eax; and $0xfe, %al; mov %eax, %cr0; ljmp $0x1000, $tour_real - tour\n"
	"tour_real: xor %ax, %ax; mov %ax, %ss; mov $0xff00, %sp; mov %ax, %ds\n" SAY(7) "hlt");

/* In real mode, with the page tables and GDT of the other modes in memory. */
static struct kt_vcpu *real_vcpu(void)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_REAL);
	struct kvm_sregs real = kt_sregs(v);
	struct kvm_regs r = kt_regs(v);

	kt_vcpu_mode(v, KT_LONG);
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &real));
	kt_set_regs(v, &r);
	return v;
}

TEST(tour_of_the_modes)
{
	struct kt_vcpu *v = real_vcpu();
	static const struct { bool pe, pg, lma, l, db; uint16_t cs; } want[] = {
		{ .cs = 0x1000 }, { true, .db = true, .cs = 0x18 }, { true, true, true, false, true, 0x18 },
		{ true, true, true, true, false, 0x08 }, { true, .db = true, .cs = 0x18 }, { true, .cs = 0x30 },
			{ .cs = 0x1000 } };

	kt_load(v->vm, tour);
	gdt(v, 0x30, 0x00009b010000ffff);		/* 16-bit code at KT_CODE */
	gdt(v, 0x38, 0x000093000000ffff);		/* 16-bit data */
	for (int i = 0; i < 7; i++) {
		struct kvm_sregs s;

		check_eq(kt_run_to_out(v), i + 1);
		s = kt_sregs(v);
		check(s.cs.selector == want[i].cs && (s.cr0 & 1) == want[i].pe && s.cr0 >> 31 == want[i].pg &&
		      (s.efer >> 10 & 1) == want[i].lma && s.cs.l == want[i].l && s.cs.db == want[i].db,
		      "stage %d: CS %x l %u d %u, CR0 %llx, EFER %llx", i + 1, s.cs.selector, s.cs.l, s.cs.db, s.cr0,
			s.efer);
		if (i == 3)
			check_eq(kt_regs(v).r15, 0x123456789abcdef0);
	}
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_sregs(v).cs.base, 0x10000);
}

GUEST16(unreal, "cli; lgdtl %cs:(unreal_gdtr - unreal); mov %cr0, %eax; or $1, %al; mov %eax, %cr0; jmp 1f; 1: mov "
	"$0x10, %bx; "
	"mov %bx, %fs; and $0xfe, %al; mov %eax, %cr0; jmp 1f; 1: mov $0x30000, %ebx; addr32 movl $0x5ca1ab1e, "
		"%fs:(%ebx)\n" SAY(1)
	"unreal_gdtr: .word 0x2f; .long 0x82000");
TEST(limits_survive_into_real_mode)
{
	struct kt_vcpu *v = real_vcpu();

	kt_load(v->vm, unreal);
	check_eq(kt_run_to_out(v), 1);
	check_eq(kt_guest_u32(v->vm, KT_DATA), 0x5ca1ab1e);
	check_eq(kt_sregs(v).fs.limit, 0xffffffff);
}

GUEST16(real_limit, "movb $1, 0; mov $0xffff, %bx; movw $0, (%bx); hlt; .org real_limit + 0x200\n" SAY(9));
TEST(real_mode_has_limits)
{
	struct kt_vcpu *v = real_vcpu();

	if (kt_host_tcg())
		skip("QEMU's emulation checks no segment limits");
	kt_load(v->vm, real_limit);
	*(uint32_t *)(v->vm->mem + 13 * 4) = 0x10000200;	/* #GP's vector */
	check_eq(kt_run_to_out(v), 9);
	check_eq(v->vm->mem[0xffff], 0);
}

/* --- paging of 32 bits --- */

LABEL(pae_gp);
GUEST32(pae, "mov %cr4, %eax; or $0x20, %eax; mov %eax, %cr4; mov $0x8c000, %eax; mov %eax, %cr3; mov %cr0, %eax; "
	"or $0x80000000, %eax; mov %eax, %cr0; mov 0x200010, %ebx; movl $0x77, 0x200014\n" SAY(1)
	/* An entry of the third level counts when CR3 is loaded. */
	"movl $0x8d001, 0x8c008; mov %cr3, %eax; mov %eax, %cr3; mov 0x40200010, %esi\n" SAY(2)
	/* What the host reads through these tables: an instruction, and its operand (at 1f0000 there is no memory). */
	"xor %eax, %eax; cpuid; mov 0x1f0000, %ecx\n" SAY(3)
	"movl $0x8d1e1, 0x8c018; mov %cr3, %eax; .globl pae_gp; pae_gp: mov %eax, %cr3; hlt");
TEST(pae_paging)
{
	struct kt_vcpu *v = kt_prot_vcpu();

	kt_load(v->vm, pae);
	memset(v->vm->mem + TABLES32, 0, 0x3000);
	kt_guest_u64(v->vm, TABLES32) = (TABLES32 + 0x1000) | 1;
	kt_guest_u64(v->vm, TABLES32 + 0x1000) = 0x83;			/* 2 MB as they are */
	kt_guest_u64(v->vm, TABLES32 + 0x1008) = (TABLES32 + 0x2000) | 3;
	kt_guest_u64(v->vm, TABLES32 + 0x2000) = KT_DATA | 3;		/* 200000 is KT_DATA */
	kt_guest_u32(v->vm, KT_DATA + 0x10) = 0xfeedf00d;
	check_eq(kt_run_to_out(v), 1);
	check_eq(kt_regs(v).rbx, 0xfeedf00d);
	check_eq(kt_guest_u32(v->vm, KT_DATA + 0x14), 0x77);
	check_eq(kt_guest_u64(v->vm, TABLES32 + 0x2000), KT_DATA | 0x63);	/* accessed, dirty */
	if (!kt_host_tcg())						/* which marks the third level as well */
		check_eq(kt_guest_u64(v->vm, TABLES32), (TABLES32 + 0x1000) | 1);
	check_eq(kt_run_to_out(v), 2);
	check_eq(kt_regs(v).rsi, 0xfeedf00d);
	kt_run(v, KVM_EXIT_MMIO);
	check_eq(v->run->mmio.phys_addr, 0x1f0000);
	memcpy(v->run->mmio.data, "abcd", 4);
	check_eq(kt_run_to_out(v), 3);
	check_eq(kt_regs(v).rcx, 0x64636261);
	if (kt_host_tcg())
		return;		/* checks no reserved bits there */
	if (!kt_host_amd())	/* with nested paging AMD's looks when it walks */
		want_exception(v, EX_GP, 0, at(pae, pae_gp));
}

GUEST32(pse, "mov %cr4, %eax; or $0x10, %eax; mov %eax, %cr4; mov $0x8c000, %eax; mov %eax, %cr3; mov %cr0, %eax; "
	"or $0x80000000, %eax; mov %eax, %cr0; mov 0x830010, %ebx; movl $0x88, 0xc00014\n" SAY(1) "mov 0x1000000, "
		"%eax; hlt");
TEST(two_level_paging)
{
	struct kt_vcpu *v = kt_prot_vcpu();

	kt_load(v->vm, pse);
	memset(v->vm->mem + TABLES32, 0, 0x2000);
	kt_guest_u32(v->vm, TABLES32) = 0x83;
	kt_guest_u32(v->vm, TABLES32 + 8) = 0x83;			/* 4 MB pages: 800000 is 0 */
	kt_guest_u32(v->vm, TABLES32 + 12) = (TABLES32 + 0x1000) | 3;	/* c00000 is KT_DATA */
	kt_guest_u32(v->vm, TABLES32 + 0x1000) = KT_DATA | 3;
	kt_guest_u32(v->vm, KT_DATA + 0x10) = 0xfeedf00d;
	check_eq(kt_run_to_out(v), 1);
	check_eq(kt_regs(v).rbx, 0xfeedf00d);
	check_eq(kt_guest_u32(v->vm, KT_DATA + 0x14), 0x88);
	check_eq(kt_guest_u32(v->vm, TABLES32 + 0x1000) & 0x60, 0x60);
	want_exception(v, EX_PF, 0, KT_CODE + (pse_end - pse) - 6);
	check_eq(kt_sregs(v).cr2, 0x1000000);
}

/* --- virtual-8086 mode --- */

static void need_tss(void)
{
	if (kt_host_tcg() && kt_distro())
		skip("QEMU's emulation aborts on a busy TSS, and these modules enter with one");
}

static void task_registers(struct kt_vcpu *v)
{
	struct kvm_sregs s = kt_sregs(v);

	memset(v->vm->mem + TASK_A, 0, 104);
	kt_guest_u32(v->vm, TASK_A + 4) = KT_RSP0;
	kt_guest_u32(v->vm, TASK_A + 8) = 0x10;
	v->vm->mem[TASK_A + 0x66] = 104;
	/* QEMU's emulation gives up when it needs a stack of a TSS that is marked busy, as it is on any processor. */
	s.tr = (struct kvm_segment){ .base = TASK_A, .limit = 103, .selector = 0x30, .type = kt_host_tcg() ? 9 : 11,
		.present = 1 };
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
}

GUEST32(vm86, "pushl $0x4444; pushl $0x3333; pushl $0x2222; pushl $0x1111; pushl $0x5000; pushl $0x800; pushl "
	"$0x23002; "
	"pushl $0x1000; pushl $vm86_code - vm86; iretl; .code16; vm86_code: mov %ds, %ax; mov $0x5678, %bx; push %bx; "
	"mov $0x3000, %cx; mov %cx, %es; mov %bx, %es:0x20; int $0x21; .code32");
TEST(virtual_8086_mode)
{
	struct kt_vcpu *v = kt_prot_vcpu();
	uint32_t *frame;
	struct kvm_regs r;

	need_tss();
	if (kt_host_bochs())
		skip("Bochs delivers no exception of virtual-8086 code in a guest, whoever the hypervisor is");
	kt_load(v->vm, vm86);
	task_registers(v);
	/* INT n with IOPL 3 goes to the gate of protected mode, which user code may not use. */
	want_exception(v, EX_GP, 0x21 * 8 + 2, vm86_end - vm86 - 2);
	r = kt_regs(v);
	frame = (uint32_t *)(v->vm->mem + r.rsp);		/* CS EFLAGS ESP SS ES DS FS GS */
	check_eq(r.rsp, KT_RSP0 - 32);
	check_eq(frame[0], 0x1000);
	check_eq(frame[1] & 0x23000, 0x23000);
	check_eq(frame[2] & 0xffff, 0x7fe);
	check_eq(frame[3], 0x5000);
	check_eq(frame[4], 0x3000);
	check_eq(frame[5], 0x2222);
	check_eq(frame[6], 0x3333);
	check_eq(frame[7], 0x4444);
	check_eq(kt_sregs(v).ds.selector, 0);
	check_eq(r.rflags & 1 << 17, 0);
	check_eq(kt_guest_u32(v->vm, KT_DATA + 0x20), 0x5678);
	check_eq(kt_guest_u32(v->vm, 0x507fe) & 0xffff, 0x5678);
}

/* --- privilege by gates --- */

LABEL(gate_code);
LABEL(gate_back);
GUEST32(gate, "pushl $0x1234; pushl $0x5678; lcall $0x50, $0; .globl gate_back; gate_back: hlt; .globl gate_code; "
	"gate_code: "
	"mov (%esp), %eax; mov 4(%esp), %ebx; mov 8(%esp), %ecx; mov 12(%esp), %edx; mov 16(%esp), %esi; mov 20(%esp), "
		"%edi; "
	"mov %eax, 0x30000; mov %ebx, 0x30004; mov %ecx, 0x30008; mov %edx, 0x3000c; mov %esi, 0x30010; mov %edi, "
		"0x30014; "
	"mov %cs, 0x30018; lret $8");
TEST(call_gate)
{
	struct kt_vcpu *v = kt_prot_vcpu();
	uint32_t to = at(gate, gate_code);
	const uint32_t want[] = { at(gate, gate_back), 0x4b, 0x5678, 0x1234, KT_STACK - 8, 0x23, 0x18 };
	struct kvm_sregs s;

	need_tss();
	kt_load(v->vm, gate);
	task_registers(v);
	gdt(v, 0x48, 0x00cffb000000ffff);				/* code, DPL 3 */
	gdt(v, 0x50, (uint64_t)(to >> 16) << 48 | 0xec02ull << 32 | 0x18 << 16 | (to & 0xffff));
	s = kt_sregs(v);
	s.gdt.limit = 0x57;
	s.cs.selector = 0x4b;
	s.cs.dpl = 3;
	s.ss.selector = s.ds.selector = 0x23;
	s.ss.dpl = s.ds.dpl = 3;
	s.es = s.fs = s.gs = s.ds;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	want_exception(v, EX_GP, 0, at(gate, gate_back));		/* HLT of user mode, back from the gate */
	for (int i = 0; i < 7; i++)
		check(kt_guest_u32(v->vm, KT_DATA + 4 * i) == want[i], "word %d is %x, want %x", i,
		      kt_guest_u32(v->vm, KT_DATA + 4 * i), want[i]);
	check_eq(kt_guest_u32(v->vm, kt_regs(v).rsp + 8), KT_STACK);	/* the parameters are gone */
}

LABEL(sc_next);
LABEL(sc_entry);
GUEST64(sysc, "mov $0x10246, %r11d; syscall; .globl sc_next; sc_next: mov %rcx, %rsi; mov %cs, %ebx; hlt; "
	".globl sc_entry; sc_entry: mov %rcx, %rax; mov %r11, %r9; mov %cs, %edi; mov %ss, %ebp; pushf; pop %r8; "
		"sysretq");
TEST(syscall_and_sysret)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_sregs s;
	struct kvm_regs r;

	kt_load(v->vm, sysc);
	kt_user_mode(v);
	s = kt_sregs(v);
	s.efer |= 1;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	check_eq(kt_set_msr(v, 0xc0000081, 0x18ull << 48 | 0x08ull << 32), 1);
	check_eq(kt_set_msr(v, 0xc0000082, at(sysc, sc_entry)), 1);
	check_eq(kt_set_msr(v, 0xc0000084, 0x40), 1);			/* ZF is cleared on entry */
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 0x47 });
	want_exception(v, EX_GP, 0, at(sysc, sc_entry) - 1);		/* HLT of user mode */
	r = kt_regs(v);
	check_eq(r.rsi, at(sysc, sc_next));
	check_eq(r.r9, 0x47);
	check_eq(r.rdi, 0x08);
	check_eq(r.rbp, 0x10);
	/* QEMU's emulation clears all arithmetic flags. */
	check_eq(r.r8 & (kt_host_tcg() ? 0x40 : 0x47), kt_host_tcg() ? 0 : 0x07);
	check_eq(r.rbx, 0x2b);
	check_eq(kt_guest_u64(v->vm, r.rsp + 8) & 0x47, 0x47);		/* and back with SYSRET */
}

GUEST32(sysenter, "sysenter; hlt");
TEST(sysenter_32)
{
	struct kt_vcpu *v = kt_prot_vcpu();
	static const uint8_t halt = 0xf4;
	struct kvm_sregs s;

	kt_load(v->vm, sysenter);
	kt_put(v->vm, KT_CODE + 0x100, &halt, 1);
	check_eq(kt_set_msr(v, 0x174, 0x18), 1);
	check_eq(kt_set_msr(v, 0x175, 0x21000), 1);
	check_eq(kt_set_msr(v, 0x176, KT_CODE + 0x100), 1);
	kt_run(v, KVM_EXIT_HLT);
	s = kt_sregs(v);
	check_eq(kt_regs(v).rip, KT_CODE + 0x101);
	check_eq(kt_regs(v).rsp, 0x21000);
	check_eq(s.cs.selector, 0x18);
	check_eq(s.ss.selector, 0x20);
	/* No selector, no kernel to enter. */
	check_eq(kt_set_msr(v, 0x174, 0), 1);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
	want_exception(v, EX_GP, 0, KT_CODE);
}

/* --- tasks --- */

LABEL(task_b);
LABEL(task_next);
LABEL(task_back);
GUEST32(tasks, "ljmp $0x38, $0; .globl task_next; task_next:\n" SAY(3) "hlt; .globl task_b; task_b:\n" SAY(2)
	"ljmp $0x30, $0; hlt");
GUEST32(task_call, "lcall $0x40, $0; .globl task_back; task_back:\n" SAY(3) "hlt; .org task_call + "
	"0x40\n" SAY(2) "iret; hlt");

/* Task B at entry, behind 38 and the gate 40. */
static struct kt_vcpu *two_tasks(uint32_t entry)
{
	struct kt_vcpu *v;
	uint32_t *b;

	if (kt_host_tcg())
		skip("QEMU's emulation does not intercept task switches, and does them without most of the checks");
	v = kt_prot_vcpu();
	b = (uint32_t *)(v->vm->mem + TASK_B);
	task_registers(v);
	memset(b, 0, 104);
	b[8] = entry;
	b[9] = 2;
	b[10] = 0xaaaa;			/* EAX, ECX, EDX, EBX */
	b[13] = 0xbbbb;
	b[14] = 0x24000;		/* ESP */
	b[18] = b[20] = b[21] = b[22] = b[23] = 0x10;
	b[19] = 0x18;
	gdt(v, 0x30, 0x00008b0000000067 | (TASK_A & 0xffff) << 16 | (TASK_A >> 16) << 32);
	gdt(v, 0x38, 0x0000890000000067 | (TASK_B & 0xffff) << 16 | (TASK_B >> 16) << 32);
	gdt(v, 0x40, 0x0000850000380000);
	gdt_limit(v, 0x47);
	return v;
}

static unsigned int tss_type(struct kt_vcpu *v, int selector)
{
	return kt_guest_u64(v->vm, KT_GDT + selector) >> 40 & 15;
}

TEST(task_by_jump)
{
	struct kt_vcpu *v = two_tasks(at(tasks, task_b));
	uint32_t *a = (uint32_t *)(v->vm->mem + TASK_A);

	kt_load(v->vm, tasks);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2, .rcx = 0xcccc,
		.rbp = 0xdddd });
	check_eq(kt_run_to_out(v), 2);
	check_eq(kt_sregs(v).tr.selector, 0x38);
	check_eq(kt_sregs(v).tr.base, TASK_B);
	check_eq(kt_regs(v).rbx, 0xbbbb);
	check_eq(kt_regs(v).rsp, 0x24000);
	check_eq(kt_regs(v).rflags & 1 << 14, 0);		/* NT: nested tasks are called */
	check_eq(kt_sregs(v).cr0 & 8, 8);
	check_eq(tss_type(v, 0x30), 9);
	check_eq(tss_type(v, 0x38), 11);
	check_eq(a[8], at(tasks, task_next));
	check_eq(a[11], 0xcccc);
	check_eq(a[14], KT_STACK);
	check_eq(a[15], 0xdddd);
	check_eq(a[19], 0x18);
	check_eq(kt_run_to_out(v), 3);
	check_eq(kt_regs(v).rbp, 0xdddd);
	check_eq(tss_type(v, 0x30), 11);
	check_eq(tss_type(v, 0x38), 9);
}

TEST(task_by_call_and_iret)
{
	struct kt_vcpu *v = two_tasks(KT_CODE + 0x40);

	kt_load(v->vm, task_call);
	check_eq(kt_run_to_out(v), 2);
	check_eq(kt_regs(v).rflags & 1 << 14, 1 << 14);
	check_eq(kt_guest_u32(v->vm, TASK_B) & 0xffff, 0x30);	/* back link */
	check_eq(tss_type(v, 0x30), 11);
	check_eq(tss_type(v, 0x38), 11);
	check_eq(kt_run_to_out(v), 3);
	check_eq(kt_regs(v).rflags & 1 << 14, 0);
	check_eq(kt_sregs(v).tr.selector, 0x30);
	check_eq(tss_type(v, 0x38), 9);
	check_eq(kt_regs(v).rsp, KT_STACK);
}

static void task_gate(struct kt_vcpu *v, int vector)
{
	kt_guest_u64(v->vm, KT_IDT + vector * 8) = 0x0000850000380000;
}

GUEST32(task_ud, "nop; ud2; .org task_ud + 0x40\n" SAY(2) "hlt");
TEST(task_by_exception)
{
	struct kt_vcpu *v = two_tasks(KT_CODE + 0x40);

	kt_load(v->vm, task_ud);
	task_gate(v, EX_UD);
	check_eq(kt_run_to_out(v), 2);
	check_eq(kt_guest_u32(v->vm, TASK_A + 32), KT_CODE + 1);
	check_eq(kt_regs(v).rsp, 0x24000);
	check_eq(kt_guest_u32(v->vm, TASK_B) & 0xffff, 0x30);
}

GUEST32(task_gp, "mov $0x100, %eax; mov %eax, %es; .org task_gp + 0x40\n" SAY(2) "hlt");
TEST(task_by_exception_with_error_code)
{
	struct kt_vcpu *v = two_tasks(KT_CODE + 0x40);

	kt_load(v->vm, task_gp);
	task_gate(v, EX_GP);
	check_eq(kt_run_to_out(v), 2);
	check_eq(kt_regs(v).rsp, 0x23ffc);
	check_eq(kt_guest_u32(v->vm, 0x23ffc), 0x100);
	check_eq(kt_guest_u32(v->vm, TASK_A + 32), KT_CODE + 5);
}

TEST(task_by_interrupt)
{
	struct kt_vcpu *v = two_tasks(KT_CODE + 0x40);

	kt_load(v->vm, task_ud);
	task_gate(v, 0x66);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 0x202 });
	need_ok(ioctl(v->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x66 }));
	check_eq(kt_run_to_out(v), 2);
	check_eq(kt_guest_u32(v->vm, TASK_A + 32), KT_CODE);
	check_eq(kt_guest_u32(v->vm, TASK_A + 36) & 0x200, 0x200);
}

TEST(tasks_refused)
{
	struct kt_vcpu *v = two_tasks(at(tasks, task_b));

	kt_load(v->vm, tasks);
	gdt(v, 0x38, kt_guest_u64(v->vm, KT_GDT + 0x38) | 2ull << 40);		/* busy */
	want_exception(v, EX_GP, 0x38, KT_CODE);
	v = two_tasks(at(tasks, task_b));
	kt_load(v->vm, tasks);
	gdt(v, 0x38, kt_guest_u64(v->vm, KT_GDT + 0x38) & ~(1ull << 47));	/* not present */
	want_exception(v, EX_NP, 0x38, KT_CODE);
	v = two_tasks(at(tasks, task_b));
	kt_load(v->vm, tasks);
	gdt(v, 0x38, kt_guest_u64(v->vm, KT_GDT + 0x38) - 1);			/* one byte too short */
	want_exception(v, 10, 0x38, KT_CODE);
}

/* --- control registers --- */

GUEST64(to_cr0, "mov %rax, %cr0; hlt");
GUEST64(to_cr3, "mov %rax, %cr3; hlt");
GUEST64(to_cr4, "mov %rax, %cr4; hlt");
GUEST64(to_cr8, "mov %rax, %cr8; hlt");

static const struct control { const char *name; const uint8_t *code; uint64_t set, clear; bool tcg; } controls[] = {
	{ "PG without PE", to_cr0, 0, 1 },
	{ "NW without CD", to_cr0, 1 << 29, 1 << 30, true },
	{ "CR0 bit 32", to_cr0, 1ull << 32, 0, true },
	{ "CR0 bit 63", to_cr0, 1ull << 63, 0, true },
	{ "PG cleared by 64-bit code", to_cr0, 0, 1u << 31, true },
	{ "PAE cleared in long mode", to_cr4, 0, 1 << 5 },
	{ "CR4 bit 31", to_cr4, 1u << 31, 0 },
	{ "CR4 bit 63", to_cr4, 1ull << 63, 0, true },
	{ "CR4 bit 15", to_cr4, 1 << 15, 0 },
	{ "LA57 in long mode", to_cr4, 1 << 12, 0 },
	{ "CR3 bit 62", to_cr3, 1ull << 62, 0, true },
	{ "CR8 of 16", to_cr8, 16, 0, true },
};

TEST(control_registers_refused)
{
	for (unsigned int i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
		const struct control *c = &controls[i];
		struct kt_vcpu *v = kt_long_vcpu(false);
		struct kvm_sregs s = kt_sregs(v), now;
		uint64_t old = c->code == to_cr0 ? s.cr0 : c->code == to_cr3 ? s.cr3 : c->code == to_cr4 ? s.cr4 : 0;
		uint32_t got;

		/* What is not intercepted is up to the processor, and QEMU's emulation does not check it. */
		if (kt_host_tcg() && c->tcg)
			continue;
		kt_put(v->vm, KT_CODE, c->code, 8);
		kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2,
						   .rax = (old & ~c->clear) | c->set });
		if (kt_run_any(v) != KVM_EXIT_IO) {
			check(false, "%s: exit %s", c->name, kt_exit_name(v->run->exit_reason));
			continue;
		}
		got = *(uint32_t *)((char *)v->run + v->run->io.data_offset);
		check(got == 0x100 + EX_GP && kt_guest_u32(v->vm, KT_DATA - 8) == 0 &&
		      kt_guest_u64(v->vm, KT_DATA - 16) == KT_CODE,
		      "%s: OUT of %#x", c->name, got);
		now = kt_sregs(v);
		check(now.cr0 == s.cr0 && now.cr3 == s.cr3 && now.cr4 == s.cr4 && now.cr8 == s.cr8, "%s: changed",
		      c->name);
	}
}

GUEST32(pg_no_pae, "mov $0xc0000080, %ecx; rdmsr; or $0x100, %eax; wrmsr; mov %cr0, %eax; or $0x80000000, %eax; mov "
	"%eax, %cr0; hlt");
TEST(long_mode_without_pae)
{
	struct kt_vcpu *v = kt_prot_vcpu();

	if (kt_host_tcg())
		skip("QEMU's emulation ignores such a write");
	kt_load(v->vm, pg_no_pae);
	want_exception(v, EX_GP, 0, KT_CODE + (pg_no_pae_end - pg_no_pae) - 4);
	check_eq(kt_sregs(v).cr0 >> 31, 0);
}

GUEST64(lmsw, "xor %eax, %eax; lmsw %ax; smsw %ebx; mov $0xe, %eax; lmsw %ax; smsw %ecx; clts; smsw %edx; hlt");
TEST(machine_status_word)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint64_t cr0 = kt_sregs(v).cr0;
	struct kvm_regs r;

	kt_load(v->vm, lmsw);
	kt_run(v, KVM_EXIT_HLT);
	r = kt_regs(v);
	check_eq(r.rbx & 0xf, 1);				/* PE stays */
	check_eq(r.rcx & 0xf, 0xf);
	check_eq(r.rdx & 0xf, 7);
	check_eq(kt_sregs(v).cr0, (cr0 & ~0xfull) | 7);
}

GUEST64(xset, "xsetbv; hlt");
TEST(extended_control_register)
{
	static const struct { uint32_t xcr; uint64_t val; bool ok; } t[] = {
		{ 0, 3, true }, { 0, 1, true }, { 0, 0 }, { 0, 2 }, { 0, 5 }, { 0, 1ull << 62 }, { 1, 1 }, { 5, 3 } };
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_sregs s = kt_sregs(v);

	if (!kt_cap(v->vm, KVM_CAP_XCRS))
		skip("the host has no XSAVE");
	if (kt_host_tcg())
		skip("QEMU's emulation does not intercept XSETBV");
	s.cr4 |= 1 << 18;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	kt_load(v->vm, xset);
	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2, .rcx = t[i].xcr,
			.rax = t[i].val,
						   .rdx = t[i].val >> 32 });
		check((kt_run_any(v) == KVM_EXIT_HLT) == t[i].ok, "XCR%u = %#llx", t[i].xcr,
		      (unsigned long long)t[i].val);
		v->run->immediate_exit = 1;
		check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
		v->run->immediate_exit = 0;
	}
}

#define PML5	(TABLES32 + 0x2000)
GUEST64(wide, "mov $0xff00001234, %rax; mov $0x0001000000060000, %rbx; mov %rax, (%rbx); mov 0x60000, %rcx; "
	"mov $0x0001000020000010, %rsi; mov (%rsi), %eax; lea 8(%rbx), %rdi; movsl; mov 0x60008, %edx; hlt");
/* RAM and a device behind addresses that four levels of tables do not reach; the string move is walked by software. */
TEST(five_levels)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_sregs s = kt_sregs(v);
	struct kvm_translation t = { .linear_address = 0x0001000000061234 };
	struct kvm_regs r;

	if (!(kt_cpuid_leaf(kt_supported_cpuid(v->vm->kvm), 7, 0)->ecx >> 16 & 1))
		skip("LA57 is not offered");
	kt_guest_u64(v->vm, PML5) = kt_guest_u64(v->vm, PML5 + 8) = KT_TABLES | 7;
	s.cr3 = PML5;
	s.cr4 |= 1 << 12;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	need_ok(ioctl(v->fd, KVM_TRANSLATE, &t));
	check_eq(t.valid, 1);
	check_eq(t.physical_address, 0x61234);
	kt_load(v->vm, wide);
	for (int i = 0; i < 2; i++) {			/* MOV, then MOVS */
		kt_run(v, KVM_EXIT_MMIO);
		check_eq(v->run->mmio.phys_addr, 0x20000010);
		check_eq(v->run->mmio.len, 4);
		memcpy(v->run->mmio.data, i ? "\x78\x56\x34\x12" : "\x21\x43\x65\x07", 4);
	}
	kt_run(v, KVM_EXIT_HLT);
	r = kt_regs(v);
	check_eq(r.rcx, 0xff00001234);
	check_eq(r.rax, 0x07654321);
	check_eq(r.rdx, 0x12345678);
}

KT_CPU_MAIN
