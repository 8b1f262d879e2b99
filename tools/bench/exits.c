// SPDX-License-Identifier: GPL-2.0-only
/* Exits that an instruction of the guest causes: each a loop around that instruction. */
#include <sys/eventfd.h>
#include "bench.h"

/* --- instructions --- */

ROUNDS(cpuid, "", "xor %eax, %eax\n	cpuid");
ROUNDS(hypercall_intel, "", "mov $1, %eax\n	vmcall");
ROUNDS(hypercall_amd, "", "mov $1, %eax\n	vmmcall");
ROUNDS(rdmsr_apicbase, "mov $0x1b, %ecx", "rdmsr");
ROUNDS(wrmsr_adjust, "mov $0x3b, %ecx\n	xor %eax, %eax\n	xor %edx, %edx", "wrmsr");
ROUNDS(wbinvd, "", "wbinvd");
ROUNDS(cr4, "mov %cr4, %rbx", "xor $0x80, %rbx\n	mov %rbx, %cr4");
ROUNDS(cr0, "mov %cr0, %rbx", "xor $0x10000, %rbx\n	mov %rbx, %cr0");
ROUNDS(dr7, "mov $0x400, %ebx", "mov %rbx, %dr7");
ROUNDS(xsetbv, "mov %cr4, %rax\n	bts $18, %rax\n	mov %rax, %cr4\n	xor %ecx, %ecx\n	xgetbv", "xsetbv");
/* TSC-deadline mode, vector 32 masked by EFLAGS.IF; a quarter of a second from now on a clock of 1 GHz */
ROUNDS(deadline, "mov $0xfee00000, %r13d\n	movl $0x1ff, 0xf0(%r13)\n	movl $0x40020, 0x320(%r13)\n	mov $0x6e0, %ecx",
       "rdtsc\n	add $0x10000000, %eax\n	adc $0, %edx\n	wrmsr");
ROUNDS(x2apic_tpr, "mov $0x808, %ecx\n	xor %eax, %eax\n	xor %edx, %edx", "wrmsr");
ROUNDS(emulated_nop, "", "ud2\n	.ascii \"kvm\"\n	nop");
ROUNDS(emulated_store, "", "ud2\n	.ascii \"kvm\"\n	mov %eax, 0x30040");

static void hypercall(const struct bench *b)
{
	struct bench own = *b;

	own.code = kt_host_amd() ? hypercall_amd : hypercall_intel;
	own.code_end = kt_host_amd() ? hypercall_amd_end : hypercall_intel_end;
	measure_guest(&own);
}

static void want_deadline(struct kt_vcpu *v)
{
	bench_cpuid_bit(v, 1, 2, 24);
}

static void want_x2apic(struct kt_vcpu *v)
{
	bench_cpuid_bit(v, 1, 2, 21);
	need(kt_set_msr(v, 0x1b, 0xfee00d00) == 1, "no x2APIC mode");
}

static void want_xsave(struct kt_vcpu *v)
{
	struct kvm_cpuid2 *c = kt_supported_cpuid(v->vm->kvm);

	if (!(kt_cpuid_leaf(c, 1, 0)->ecx & 1 << 26)) {
		printf("skip: no XSAVE for guests\n");
		fflush(NULL);
		_exit(SKIPPED);
	}
	free(c);
}

/* --- ports --- */

ROUNDS(in_pic, "", "in $0x21, %al");
ROUNDS(out_pic, "mov $0xff, %al", "out %al, $0x21");
ROUNDS(in_pit, "", "in $0x61, %al");
ROUNDS(in_user, "", "mov $0x5000, %dx\n	in (%dx), %al");
ROUNDS(out_user, "", "mov $0x5000, %dx\n	out %al, (%dx)");
ROUNDS(outs_user, "cld", "mov $0x5000, %dx\n	mov $0x30040, %esi\n	mov $64, %ecx\n	rep outsb");
ROUNDS(out_event, "", "mov $0x5000, %dx\n	out %ax, (%dx)");

static void event(struct kt_vcpu *v, uint64_t addr, uint32_t len, uint32_t flags)
{
	struct kvm_ioeventfd e = { .addr = addr, .len = len, .flags = flags, .fd = need_ok(eventfd(0, EFD_NONBLOCK)) };

	need_ok(ioctl(v->vm->fd, KVM_IOEVENTFD, &e));
}

static void event_port(struct kt_vcpu *v)
{
	event(v, USER_PORT, 2, KVM_IOEVENTFD_FLAG_PIO);
}

/* --- memory-mapped devices --- */

#define AT_LAPIC	"mov $0xfee00000, %r13d"
#define AT_IOAPIC	"mov $0xfec00000, %r13d"
#define AT_MMIO		"mov $0xd0000000, %r13d\n	mov %r13, %rsi\n	mov $0x30040, %edi"

ROUNDS(lapic_read, AT_LAPIC, "mov 0x30(%r13), %eax");
ROUNDS(lapic_write, AT_LAPIC "\n	movl $0x1ff, 0xf0(%r13)\n	xor %eax, %eax", "mov %eax, 0x80(%r13)");
ROUNDS(lapic_eoi, AT_LAPIC "\n	movl $0x1ff, 0xf0(%r13)\n	xor %eax, %eax", "mov %eax, 0xb0(%r13)");
ROUNDS(ioapic_read, AT_IOAPIC, "mov 0x10(%r13), %eax");
ROUNDS(mmio_read, AT_MMIO, "mov (%r13), %eax");
ROUNDS(mmio_write, AT_MMIO, "mov %eax, (%r13)");
ROUNDS(mmio_movs, AT_MMIO, "mov %r13, %rsi\n	mov $0x30040, %edi\n	movsl");
ROUNDS(mmio_sse, AT_MMIO, "movups %xmm0, (%r13)");
ROUNDS(mmio_rmw, AT_MMIO, "addl $1, (%r13)");
ROUNDS(mmio_event, AT_MMIO, "mov %eax, (%r13)");

static void event_mmio(struct kt_vcpu *v)
{
	event(v, MMIO, 4, 0);
}

static void event_mmio_any(struct kt_vcpu *v)
{
	event(v, MMIO, 0, 0);
}

/* --- not a guest's instruction --- */

static void immediate(void *ctx, unsigned int n)
{
	struct kt_vcpu *v = ctx;

	while (n--)
		ioctl(v->fd, KVM_RUN, 0);
}

static void run_immediate(const struct bench *b)
{
	struct kt_vcpu *v = bench_vcpu();

	kt_load(v->vm, cpuid);
	guest_rounds(v, 4);
	v->run->immediate_exit = 1;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	measure(b, &(struct batch){ immediate, NULL, v });
}

/* --- real mode that VT-x without unrestricted guest refuses: a data segment of 4 GB --- */

GUEST16(real_loop, "1:	mov 0, %si\n2:	inc %ax\n	add %ax, %bx\n	mov %bx, 0x40\n	dec %si\n	jnz 2b\n"
	"	mov $0x1008, %dx\n	out %ax, (%dx)\n	jmp 1b\n");
#define REAL_LOOP_INSNS	5

static void real_rounds(void *ctx, unsigned int n)
{
	guest_rounds(ctx, n);
}

static void real_mode(const struct bench *b)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_REAL);
	struct kvm_sregs s = kt_sregs(v);

	kt_load(vm, real_loop);
	s.ds.selector = KT_DATA >> 4;
	s.ds.base = KT_DATA;
	s.ds.limit = 0xffffffff;
	s.ds.g = 1;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	guest_rounds(v, 4);
	measure(b, &(struct batch){ real_rounds, NULL, v });
}

#define GUEST(n, text, code, ...)	{ n, text, measure_guest, code, code##_end, ##__VA_ARGS__ }

const struct bench exit_benches[] = {
	GUEST("cpuid", "CPUID, leaf 0", cpuid),
	{ "hypercall", "hypercall that does nothing", hypercall },
	GUEST("port-in-kernel", "IN from the PIC's mask", in_pic),
	GUEST("port-out-kernel", "OUT to the PIC's mask", out_pic),
	GUEST("port-in-pit", "IN from port 61H", in_pit),
	GUEST("port-in-user", "IN, empty loop in user space", in_user),
	GUEST("port-out-user", "OUT, empty loop in user space", out_user),
	GUEST("port-outs-user", "REP OUTSB of 64 bytes, user space", outs_user),
	GUEST("port-ioeventfd", "OUT to an ioeventfd", out_event, event_port),
	GUEST("msr-deadline", "WRMSR of the TSC deadline", deadline, want_deadline),
	GUEST("msr-x2apic", "WRMSR of the x2APIC's TPR", x2apic_tpr, want_x2apic),
	GUEST("msr-adjust", "WRMSR of TSC_ADJUST", wrmsr_adjust),
	GUEST("msr-read", "RDMSR of APICBASE", rdmsr_apicbase),
	GUEST("mmio-lapic-read", "MOV from the LAPIC", lapic_read),
	GUEST("mmio-lapic-write", "MOV to the LAPIC's TPR", lapic_write),
	GUEST("mmio-lapic-eoi", "MOV to the LAPIC's EOI", lapic_eoi),
	GUEST("mmio-ioapic-read", "MOV from the IOAPIC", ioapic_read),
	GUEST("mmio-ioeventfd", "MOV to an ioeventfd, 4 bytes", mmio_event, event_mmio),
	GUEST("mmio-ioeventfd-any", "MOV to an ioeventfd, any size", mmio_event, event_mmio_any),
	GUEST("mmio-read-user", "MOV from MMIO, user space", mmio_read),
	GUEST("mmio-write-user", "MOV to MMIO, user space", mmio_write),
	GUEST("mmio-movs-user", "MOVSD from MMIO, user space", mmio_movs),
	GUEST("mmio-sse-user", "MOVUPS to MMIO, user space (2 exits)", mmio_sse),
	GUEST("mmio-rmw-user", "ADD to MMIO, user space (2 exits)", mmio_rmw),
	GUEST("skip-wbinvd", "WBINVD: an instruction that is only skipped", wbinvd),
	GUEST("cr0-write", "MOV to CR0 (WP on and off)", cr0),
	GUEST("cr4-write", "MOV to CR4 (PGE on and off)", cr4),
	GUEST("dr7-write", "MOV to DR7", dr7),
	GUEST("xsetbv", "XSETBV", xsetbv, want_xsave),
	GUEST("emulated-nop", "NOP by the emulator (forced, #UD exit)", emulated_nop),
	GUEST("emulated-store", "MOV to memory by the emulator (forced)", emulated_store),
	{ "run-immediate", "KVM_RUN with immediate_exit", run_immediate },
	{ "real-mode", "an interpreted instruction of real mode", real_mode, .per = REAL_LOOP_INSNS, .named_only = true },
	{ 0 }
};
