// SPDX-License-Identifier: GPL-2.0-only
/* Timers of the machine: the APIC's in its three modes, the PIT with its interrupt and its speaker channel; and the x2APIC. */
#include "lib/vm.h"

#define MS	1000000ull

GUEST64(idle, "sti\n 1: hlt\n incq 0x30000\n jmp 1b\n");
/* LVT timer, divider and count from 30010, 30018, 30020; then it idles. */
GUEST64(apic_timer, "mov $0xfee00000, %ebx\n mov 0x30010, %eax\n mov %eax, 0x320(%rbx)\n mov 0x30018, %eax\n mov %eax, 0x3e0(%rbx)\n"
	"mov 0x30020, %eax\n mov %eax, 0x380(%rbx)\n mov $0x1000, %dx\n out %eax, %dx\n sti\n 1: hlt\n incq 0x30000\n jmp 1b\n");
/* TSC deadlines 30010 ticks ahead, again and again; at 30028 those that came too early. */
GUEST64(deadlines, "mov $0xfee00000, %ebx\n movl $0x40041, 0x320(%rbx)\n mfence\n sti\n"
	"1: mov 0x40208, %rbp\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n add 0x30010, %rax\n mov %rax, %rsi\n mov %rax, %rdx\n"
	"shr $32, %rdx\n mov $0x6e0, %ecx\n wrmsr\n 2: cli\n cmp %rbp, 0x40208\n jne 3f\n sti\n hlt\n jmp 2b\n"
	"3: sti\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n cmp %rsi, %rax\n jae 1b\n incq 0x30028\n jmp 1b\n");

static struct kt_vcpu *vcpu_with(const uint8_t *code, size_t n)
{
	struct kt_vcpu *v = kt_long_vcpu(true);

	kt_put(v->vm, KT_CODE, code, n);
	kt_lapic_on(v);
	kt_lapic_write(v, 0x350, 0x10000);
	kt_count_vector(v, 0x41, KT_EOI);
	return v;
}
#define VCPU_WITH(code)	vcpu_with(code, code##_end - code)

static void program(struct kt_vcpu *v, uint32_t lvt, uint32_t divide, uint32_t count)
{
	kt_guest_u64(v->vm, 0x30010) = lvt;
	kt_guest_u64(v->vm, 0x30018) = divide;
	kt_guest_u64(v->vm, 0x30020) = count;
	kt_run_to_out(v);
}

/* The APIC's bus is taken to run at 1 GHz, as QEMU tells guests. */
TEST(one_shot)
{
	struct kt_vcpu *v = VCPU_WITH(apic_timer);
	struct kt_thread *t;
	uint64_t began = kt_now_ns();

	program(v, 0x41, 0xb, 30 * MS);
	t = kt_start(v);
	check(kt_wait(kt_counted(v->vm, 0x41) == 1), "it did not come");
	check(kt_now_ns() - began >= 30 * MS, "it came after %lu us", (kt_now_ns() - began) / 1000);
	usleep(80000);
	check_eq(kt_counted(v->vm, 0x41), 1);
	kt_stop_well(t);
	check_eq(kt_lapic_read(v, 0x390), 0);
}

/* A one-shot that is over does not come back as a periodic timer before a count is written. */
TEST(mode_after_the_end)
{
	GUEST64(over, "mov $0xfee00000, %ebx\n movl $0xb, 0x3e0(%rbx)\n movl $0x10041, 0x320(%rbx)\n movl $100000, 0x380(%rbx)\n"
		"1: cmpl $0, 0x390(%rbx)\n jne 1b\n movl $0x30041, 0x320(%rbx)\n mov $0x1000, %dx\n"
		"mov 0x390(%rbx), %eax\n out %eax, %dx\n mov 0x390(%rbx), %eax\n out %eax, %dx\n"
		"movl $0x70000000, 0x380(%rbx)\n mov 0x390(%rbx), %eax\n out %eax, %dx\n hlt\n");
	struct kt_vcpu *v = VCPU_WITH(over);

	if (kt_distro())
		skip("these modules let it count again");
	check_eq(kt_run_to_out(v), 0);
	usleep(1000);
	check_eq(kt_run_to_out(v), 0);
	check(kt_run_to_out(v) > 0, "a new count does not start it");
}

TEST(divider)
{
	struct kt_vcpu *v = VCPU_WITH(apic_timer);
	struct kt_thread *t;
	uint64_t began = kt_now_ns();

	program(v, 0x41, 0x3, 2 * MS);		/* by 16 */
	t = kt_start(v);
	check(kt_wait(kt_counted(v->vm, 0x41) == 1), "it did not come");
	check(kt_now_ns() - began >= 32 * MS, "it came after %lu us", (kt_now_ns() - began) / 1000);
	kt_stop_well(t);
}

TEST(periodic)
{
	struct kt_vcpu *v = VCPU_WITH(apic_timer);
	struct kt_thread *t;
	uint64_t began = kt_now_ns(), n;

	program(v, 0x20041, 0xb, 5 * MS);
	t = kt_start(v);
	check(kt_wait(kt_counted(v->vm, 0x41) >= 20), "%lu only", kt_counted(v->vm, 0x41));
	n = kt_counted(v->vm, 0x41);
	check(kt_now_ns() - began >= (n - 1) * 5 * MS, "%lu in %lu us", n, (kt_now_ns() - began) / 1000);
	kt_stop_well(t);
	kt_lapic_write(v, 0x380, 0);		/* stopped */
	kt_lapic_write(v, 0x220, 0);		/* and none is pending */
	t = kt_start(v);
	usleep(30000);
	n = kt_counted(v->vm, 0x41);
	usleep(30000);
	check_eq(kt_counted(v->vm, 0x41), n);
	kt_stop_well(t);
}

TEST(masked)
{
	struct kt_vcpu *v = VCPU_WITH(apic_timer);
	struct kt_thread *t;

	program(v, 0x30041, 0xb, 2 * MS);
	t = kt_start(v);
	usleep(30000);
	kt_stop_well(t);
	check_eq(kt_counted(v->vm, 0x41), 0);
}

/* The current count runs down between reads. */
TEST(current_count)
{
	GUEST64(reads, "mov $0xfee00000, %ebx\n movl $0xb, 0x3e0(%rbx)\n movl $0x10041, 0x320(%rbx)\n movl $0x70000000, 0x380(%rbx)\n"
		"mov $0x1000, %dx\n 1: mov 0x390(%rbx), %eax\n out %eax, %dx\n jmp 1b\n");
	struct kt_vcpu *v = VCPU_WITH(reads);
	uint32_t last = 0x70000001;

	for (int i = 0; i < 20; i++) {
		uint32_t now = kt_run_to_out(v);

		check(now < last, "%#x after %#x", now, last);
		last = now;
	}
	check(last > 0x10000000, "%#x", last);
}

/* A count under way goes on where it is restored. */
TEST(restored_timer)
{
	struct kt_vcpu *v = VCPU_WITH(apic_timer), *w = VCPU_WITH(idle);
	struct kvm_lapic_state s;
	struct kt_thread *t;

	program(v, 0x20041, 0xb, 5 * MS);
	need_ok(ioctl(v->fd, KVM_GET_LAPIC, &s));
	need_ok(ioctl(w->fd, KVM_SET_LAPIC, &s));
	t = kt_start(w);
	check(kt_wait(kt_counted(w->vm, 0x41) >= 3), "%lu only", kt_counted(w->vm, 0x41));
	kt_stop_well(t);
}

static void give_deadline(struct kt_vcpu *v)
{
	struct kvm_cpuid2 *c = kt_supported_cpuid(v->vm->kvm);

	if (kt_cap(v->vm, KVM_CAP_TSC_DEADLINE_TIMER) <= 0)
		skip("no KVM_CAP_TSC_DEADLINE_TIMER");
	kt_cpuid_leaf(c, 1, 0)->ecx |= 1 << 24;
	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
}

TEST(tsc_deadline)
{
	struct kt_vcpu *v = VCPU_WITH(deadlines);
	struct kt_thread *t;
	uint64_t khz = need_ok(ioctl(v->fd, KVM_GET_TSC_KHZ, 0)), msr;

	give_deadline(v);
	kt_guest_u64(v->vm, 0x30010) = khz * 3;
	t = kt_start(v);
	check(kt_wait(kt_counted(v->vm, 0x41) >= 20), "%lu only", kt_counted(v->vm, 0x41));
	kt_stop_well(t);
	check_eq(kt_guest_u64(v->vm, 0x30028), 0);
	/* One that has passed fires at once; one that is disarmed does not. */
	t = kt_start(v);
	check(kt_wait(kt_counted(v->vm, 0x41) >= 25));
	kt_stop_well(t);
	check_eq(kt_get_msr(v, 0x6e0, &msr), 1);
}

/* A deadline that has passed fires at once, and reads as 0 then. */
TEST(tsc_deadline_passed)
{
	GUEST64(past, "mov $0xfee00000, %ebx\n movl $0x40041, 0x320(%rbx)\n mfence\n xor %edx, %edx\n mov $1, %eax\n mov $0x6e0, %ecx\n"
		"wrmsr\n sti\n 1: pause\n cmpq $1, 0x40208\n jne 1b\n rdmsr\n mov $0x1000, %edx\n out %eax, %dx\n hlt\n");
	struct kt_vcpu *v = VCPU_WITH(past);

	give_deadline(v);
	check_eq(kt_run_to_out(v), 0);
	check_eq(kt_counted(v->vm, 0x41), 1);
}

/* --- x2APIC --- */

TEST(x2apic)
{
	GUEST64(x2, "mov $0x1b, %ecx\n rdmsr\n or $0x400, %eax\n wrmsr\n mov $0x802, %ecx\n rdmsr\n mov $0x1000, %edx\n out %eax, %dx\n"
		"mov $0x80d, %ecx\n rdmsr\n mov $0x1000, %edx\n out %eax, %dx\n sti\n"
		"1: mov $0x83f, %ecx\n mov $0x41, %eax\n xor %edx, %edx\n"
		"wrmsr\n nop\n incq 0x30000\n mov 0x30000, %rax\n cmp $10, %rax\n jb 1b\n"
		"mov $0x830, %ecx\n mov $0x42, %eax\n mov $3, %edx\n wrmsr\n nop\n mov $0x1000, %edx\n out %eax, %dx\n cli\n hlt\n");
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kt_vcpu *v = kt_vcpu_new(vm, 3, KT_LONG);
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	need_ok(ioctl(v->fd, KVM_SET_MP_STATE, &mp));
	kt_install_idt(v);
	kt_load(vm, x2);
	kt_lapic_on(v);
	kt_count_vector(v, 0x41, KT_EOI_MSR);
	kt_count_vector(v, 0x42, KT_EOI_MSR);
	check_eq(kt_run_to_out(v), 3);			/* id */
	check_eq(kt_run_to_out(v), 1 << 3);		/* logical: cluster 0, bit 3 */
	kt_run_to_out(v);
	check_eq(kt_counted(vm, 0x41), 10);		/* one self-IPI at a time */
	check_eq(kt_counted(vm, 0x42), 1);		/* by ICR, to id 3 */
	check_eq(kt_sregs(v).apic_base & 0xc00, 0xc00);
}

/*
 * The task priority by its MSR, which hardware may serve without an exit: it is read back, holds interrupts back until it
 * is lowered, is seen by user space, by the register page in the other mode, and after user space set it.
 */
TEST(x2apic_task_priority)
{
	GUEST64(tpr, "mov $0x1b, %ecx\n rdmsr\n or $0x400, %eax\n wrmsr\n sti\n xor %edx, %edx\n"
		"mov $0x808, %ecx\n mov $0x50, %eax\n wrmsr\n mov $0x83f, %ecx\n mov $0x45, %eax\n wrmsr\n nop\n nop\n"
		"mov $0x808, %ecx\n rdmsr\n mov $0x1000, %edx\n out %eax, %dx\n"	/* 50: vector 45 waits */
		"rdmsr\n mov $0x1000, %edx\n out %eax, %dx\n"			/* what user space wrote */
		"xor %edx, %edx\n xor %eax, %eax\n wrmsr\n nop\n mov %cr8, %rax\n mov $0x1000, %edx\n out %eax, %dx\n"
		"xor %edx, %edx\n mov $0x31, %eax\n wrmsr\n mov %cr8, %rax\n mov $0x1000, %edx\n out %eax, %dx\n"
		"xor %edx, %edx\n mov $0x100, %eax\n wrmsr\n hlt\n");
	struct kt_vcpu *v = VCPU_WITH(tpr);
	struct kvm_lapic_state s;

	kt_count_vector(v, 0x45, KT_EOI_MSR);
	check_eq(kt_run_to_out(v), 0x50);
	check_eq(kt_counted(v->vm, 0x45), 0);
	need_ok(ioctl(v->fd, KVM_GET_LAPIC, &s));
	check_eq(*(uint32_t *)(s.regs + 0x80), 0x50);
	check_eq(v->run->cr8, 5);
	*(uint32_t *)(s.regs + 0x80) = 0x60;
	need_ok(ioctl(v->fd, KVM_SET_LAPIC, &s));
	check_eq(kt_run_to_out(v), 0x60);
	check_eq(kt_counted(v->vm, 0x45), 0);
	check_eq(kt_run_to_out(v), 0);
	check_eq(kt_counted(v->vm, 0x45), 1);			/* taken when it was lowered */
	check_eq(kt_run_to_out(v), 3);
	if (!kt_distro())					/* 6.1 drops bits above 7, which are #GP (SDM 11.12.1.3) */
		check_eq(kt_run_to_out(v), 0x10d);
}

/* --- PIT --- */

static struct kt_vcpu *pit_vcpu(const uint8_t *code, size_t n, uint32_t flags)
{
	struct kt_vcpu *v = kt_long_vcpu(true);
	struct kvm_pit_config c = { .flags = flags };

	need_ok(ioctl(v->vm->fd, KVM_CREATE_PIT2, &c));
	kt_put(v->vm, KT_CODE, code, n);
	kt_lapic_on(v);
	kt_lapic_write(v, 0x350, 0x700);
	kt_count_vector(v, 0x30, KT_EOI_PIC);
	return v;
}
#define PIT_VCPU(code, flags)	pit_vcpu(code, code##_end - code, flags)

/* The PIC at 30, and channel 0 at 200 Hz. */
GUEST64(pit_tick, "mov $0x11, %al\n out %al, $0x20\n mov $0x30, %al\n out %al, $0x21\n mov $4, %al\n out %al, $0x21\n mov $1, %al\n"
	"out %al, $0x21\n mov $0xfe, %al\n out %al, $0x21\n mov $0x34, %al\n out %al, $0x43\n mov $0x4d, %al\n out %al, $0x40\n"
	"mov $0x17, %al\n out %al, $0x40\n sti\n 1: hlt\n incq 0x30000\n jmp 1b\n");

TEST(pit_interrupt)
{
	struct kt_vcpu *v = PIT_VCPU(pit_tick, 0);
	uint64_t began = kt_now_ns(), n, ns;
	struct kvm_pit_state2 s;
	struct kt_thread *t = kt_start(v);

	check(kt_wait(kt_counted(v->vm, 0x30) >= 20), "%lu only", kt_counted(v->vm, 0x30));
	n = kt_counted(v->vm, 0x30);
	ns = kt_now_ns() - began;
	check(ns >= (n - 1) * 5 * MS * 99 / 100, "%lu in %lu us", n, ns / 1000);
	need_ok(ioctl(v->vm->fd, KVM_GET_PIT2, &s));
	check_eq(s.channels[0].count, 0x174d);
	check_eq(s.channels[0].mode, 2);
	check_eq(s.channels[0].rw_mode, 3);
	kt_stop_well(t);
}

/* A guest stopped within its handler takes the EOI with it, so the first one is stopped outside of it. */
TEST(pit_restored)
{
	struct kt_vcpu *v = PIT_VCPU(pit_tick, 0), *w = PIT_VCPU(idle, 0);
	struct kvm_irqchip pic = { .chip_id = 0 };
	struct kvm_pit_state2 s;
	struct kt_thread *t;

	do {
		uint64_t seen = kt_counted(v->vm, 0x30);

		t = kt_start(v);
		need(kt_wait(kt_counted(v->vm, 0x30) >= seen + 2));
		kt_stop_well(t);
		need_ok(ioctl(v->vm->fd, KVM_GET_IRQCHIP, &pic));
	} while (pic.chip.pic.isr & 1);
	need_ok(ioctl(v->vm->fd, KVM_GET_PIT2, &s));
	need_ok(ioctl(w->vm->fd, KVM_SET_IRQCHIP, &pic));
	need_ok(ioctl(w->vm->fd, KVM_SET_PIT2, &s));
	t = kt_start(w);
	check(kt_wait(kt_counted(w->vm, 0x30) >= 3), "the clock does not tick on: %lu", kt_counted(w->vm, 0x30));
	kt_stop_well(t);
}

/* Channel 2 behind port 61, as Linux calibrates its TSC: gate on, count down 10 ms, output goes high. */
TEST(pit_speaker_channel)
{
	GUEST64(calibrate, "in $0x61, %al\n and $0xfc, %al\n or $1, %al\n out %al, $0x61\n mov $0xb0, %al\n out %al, $0x43\n"
		"mov $0x9c, %al\n out %al, $0x42\n mov $0x2e, %al\n out %al, $0x42\n in $0x61, %al\n mov $0x1000, %dx\n out %eax, %dx\n"
		"1: in $0x61, %al\n test $0x20, %al\n jz 1b\n out %eax, %dx\n hlt\n");
	struct kt_vcpu *v = PIT_VCPU(calibrate, KVM_PIT_SPEAKER_DUMMY);
	uint64_t began = kt_now_ns();

	check_eq(kt_run_to_out(v) & 0x21, 1);
	check_eq(kt_run_to_out(v) & 0x21, 0x21);
	check(kt_now_ns() - began >= 10 * MS * 99 / 100, "after %lu us", (kt_now_ns() - began) / 1000);
}

/* Without that flag port 61 is the VMM's. */
TEST(pit_without_speaker)
{
	GUEST64(asks, "in $0x61, %al\n mov $0x1000, %dx\n out %eax, %dx\n hlt\n");
	struct kt_vcpu *v = PIT_VCPU(asks, 0);

	kt_run(v, KVM_EXIT_IO);
	check_eq(v->run->io.port, 0x61);
}

TEST(pit_state_refused)
{
	struct kt_vcpu *v = PIT_VCPU(idle, 0);
	struct kvm_pit_state2 s, t;

	need_ok(ioctl(v->vm->fd, KVM_GET_PIT2, &s));
	s.flags = KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	if (!ioctl(v->vm->fd, KVM_SET_PIT2, &s)) {
		need_ok(ioctl(v->vm->fd, KVM_GET_PIT2, &t));
		check_eq(t.flags, kt_distro() ? t.flags : KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	}
	s.flags = KVM_PIT_FLAGS_HPET_LEGACY;		/* channel 0 drives nothing */
	check_eq(ioctl(v->vm->fd, KVM_SET_PIT2, &s), 0);
	need_ok(ioctl(v->vm->fd, KVM_GET_PIT2, &t));
	check_eq(t.flags & KVM_PIT_FLAGS_HPET_LEGACY, KVM_PIT_FLAGS_HPET_LEGACY);
}

KT_MAIN
