// SPDX-License-Identifier: GPL-2.0-only
/* Several vCPUs: starting them by INIT and SIPI, interrupts between them, HLT and waking. */
#include "lib/vm.h"

#define ICR_LOW		0x300
#define AP_PAGE		0x9000ull	/* where a started processor begins: SIPI vector 9 */

GUEST64(idle, "sti\n 1: hlt\n lock incq 0x30000\n jmp 1b\n");
/* Says for ever, at 30100 + 8 * APIC id, that it is alive: its stack pointer tells who it is. */
GUEST64(alive, "sti\n 1: incq (%rbp)\n jmp 1b\n");
/* Waits for a command (destination << 32 | low half of ICR) at 30010, sends it, counts at 30018. */
GUEST64(sender, "sti\n mov $0xfee00000, %ebx\n 1: pause\n mov 0x30010, %rax\n test %rax, %rax\n jz 1b\n mov %rax, %rcx\n"
	"shr $32, %rcx\n shl $24, %ecx\n mov %ecx, 0x310(%rbx)\n mov %eax, 0x300(%rbx)\n movq $0, 0x30010\n incq 0x30018\n jmp 1b\n");
/* Real mode, at the page that SIPI names: CS must be 0900, IP 0. */
GUEST16(started, "cli\n mov %cs, %ax\n mov $0x1000, %dx\n out %ax, %dx\n hlt\n");

#define VCPUS	3
static struct kt_vm *vm;
static struct kt_vcpu *v[VCPUS];
static struct kt_thread *t[VCPUS];

static void runnable(struct kt_vcpu *vcpu)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	need_ok(ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp));
}

static void set_entry(struct kt_vcpu *vcpu, uint64_t rip, int i)
{
	struct kvm_regs r = { .rip = rip, .rsp = KT_STACK + i * 0x2000, .rflags = 2, .rbp = 0x30100 + 8 * i };

	kt_set_regs(vcpu, &r);
}

/* vCPU 0 runs the sender; the others halt with interrupts on, each on a stack of its own. */
static void make(bool aps_run)
{
	vm = kt_vm_new(1 << 20, true);
	kt_load(vm, sender);
	kt_put(vm, 0x11000, idle, idle_end - idle);
	kt_put(vm, 0x12000, alive, alive_end - alive);
	for (int i = 0; i < VCPUS; i++) {
		v[i] = kt_vcpu_new(vm, i, KT_LONG);
		kt_install_idt(v[i]);
		kt_lapic_on(v[i]);
		set_entry(v[i], i ? 0x11000 : KT_CODE, i);
		if (i && aps_run)
			runnable(v[i]);
	}
	for (int vec = 0x40; vec < 0x50; vec++)
		kt_count_vector(v[0], vec, KT_EOI);
	kt_count_vector(v[0], 2, KT_NO_EOI);
}

static void start_all(void)
{
	for (int i = 0; i < VCPUS; i++)
		t[i] = kt_start(v[i]);
}

static void stop_all(void)
{
	for (int i = 0; i < VCPUS; i++)
		kt_stop_well(t[i]);
}

static void send(uint32_t dest, uint32_t low)
{
	uint64_t n = kt_guest_u64(vm, 0x30018);

	kt_guest_u64(vm, 0x30010) = (uint64_t)dest << 32 | low;
	need(kt_wait(kt_guest_u64(vm, 0x30018) == n + 1), "the sender stands");
}

/*
 * On QEMU's software emulation with several CPUs about one IPI in a hundred is seen twice, with the distribution's modules as
 * with ours; Bochs has none of that. So there "at least" must do.
 */
static bool counted(int vec, uint64_t n)
{
	uint64_t now = kt_counted(vm, vec);

	return kt_host_tcg() ? now >= n && now <= n + n / 8 + 1 : now == n;
}
#define want_count(vec, n)	check(kt_wait(counted(vec, n)), "vector %#x was taken %lu times, want %d", vec,	\
				      kt_counted(vm, vec), n)

TEST(fixed_physical)
{
	make(true);
	start_all();
	for (int i = 1; i <= 20; i++) {
		send(1 + i % 2, 0x41);
		want_count(0x41, i);
	}
	send(0, 0x42);
	want_count(0x42, 1);
	send(7, 0x43);			/* nobody: no harm */
	send(1, 0x44);
	want_count(0x44, 1);
	stop_all();
	check_eq(kt_counted(vm, 0x43), 0);
	/* Each woke a processor from HLT. VMRUN of QEMU's emulation loads no shadow of STI: it may come before HLT there. */
	if (!kt_host_tcg())
		check(kt_guest_u64(vm, KT_DATA) >= 21, "%lu wake-ups", kt_guest_u64(vm, KT_DATA));
}

TEST(shorthands)
{
	make(true);
	start_all();
	send(0, 1 << 18 | 0x41);		/* self */
	want_count(0x41, 1);
	send(0, 2 << 18 | 0x42);		/* all */
	want_count(0x42, VCPUS);
	send(0, 3 << 18 | 0x43);		/* all but self */
	want_count(0x43, VCPUS - 1);
	send(0xff, 0x44);			/* everybody by address */
	want_count(0x44, VCPUS);
	usleep(20000);
	want_count(0x43, VCPUS - 1);
	stop_all();
}

TEST(logical_and_lowest_priority)
{
	make(true);
	for (int i = 0; i < VCPUS; i++)
		kt_lapic_write(v[i], 0xd0, 1u << (24 + i));	/* flat model is the reset state */
	start_all();
	send(6, 1 << 11 | 0x41);
	want_count(0x41, 2);
	send(1, 1 << 11 | 0x42);
	want_count(0x42, 1);
	send(0x80, 1 << 11 | 0x43);
	for (int i = 1; i <= 10; i++) {
		send(7, 1 << 11 | 1 << 8 | 0x44);	/* lowest priority: one of them */
		want_count(0x44, i);
	}
	usleep(20000);
	want_count(0x44, 10);
	check_eq(kt_counted(vm, 0x43), 0);
	stop_all();
}

TEST(nmi_ipi)
{
	make(true);
	start_all();
	for (int i = 1; i <= 5; i++) {
		send(1, 4 << 8);
		want_count(2, i);
	}
	send(0, 3 << 18 | 4 << 8);
	want_count(2, 5 + VCPUS - 1);
	stop_all();
}

/* INIT and SIPI start a processor in real mode at the page named; a second SIPI is ignored. */
TEST(init_sipi)
{
	make(false);
	kt_put(vm, AP_PAGE, started, started_end - started);
	start_all();
	usleep(20000);
	check_eq(t[1]->outs, 0);
	send(1, 6 << 8 | 9);			/* SIPI alone, to one that has not seen INIT */
	send(1, 5 << 8 | 1 << 14);
	send(1, 6 << 8 | 9);
	send(1, 6 << 8 | 9);
	check(kt_wait(t[1]->outs == 1), "not started");
	check_eq(t[1]->out, 0x900);
	usleep(20000);
	check_eq(t[1]->outs, 1);
	check_eq(t[2]->outs, 0);
	/* Once more, from HLT with interrupts off. */
	send(1, 5 << 8 | 1 << 14);
	send(1, 6 << 8 | 9);
	check(kt_wait(t[1]->outs == 2), "not started again");
	/* And the other by broadcast: all but self. */
	send(0, 3 << 18 | 5 << 8 | 1 << 14);
	send(0, 3 << 18 | 6 << 8 | 9);
	check(kt_wait(t[2]->outs == 1 && t[1]->outs == 3), "broadcast: %lu and %lu", t[1]->outs, t[2]->outs);
	stop_all();
	check_eq(kt_sregs(v[1]).cs.base, AP_PAGE);
	check_eq(kt_sregs(v[1]).cs.selector, AP_PAGE >> 4);
	check_eq(kt_sregs(v[1]).cr0 & 0x80000001, 0);
	check_eq(kt_sregs(v[1]).efer, 0);
}

/* What INIT leaves, and MP states on the way. */
TEST(init_stops_a_running_processor)
{
	struct kvm_mp_state mp;
	uint64_t n;

	make(true);
	set_entry(v[1], 0x12000, 1);
	start_all();
	check(kt_wait(kt_guest_u64(vm, 0x30108) > 0));
	send(1, 5 << 8 | 1 << 14);
	usleep(50000);
	n = kt_guest_u64(vm, 0x30108);
	usleep(20000);
	check_eq(kt_guest_u64(vm, 0x30108), n);
	kt_stop_well(t[1]);
	need_ok(ioctl(v[1]->fd, KVM_GET_MP_STATE, &mp));
	check_eq(mp.mp_state, KVM_MP_STATE_INIT_RECEIVED);
	check_eq(kt_regs(v[1]).rip, 0xfff0);
	check_eq(kt_sregs(v[1]).cs.base, 0xffff0000);
	check_eq(kt_sregs(v[1]).cr0 & 0x80000001, 0);
	check_eq(kt_regs(v[1]).rflags, 2);
	kt_stop_well(t[0]);
	kt_stop_well(t[2]);
}

/* SIPI as the VMM restores it. */
TEST(sipi_by_state)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_SIPI_RECEIVED };
	struct kvm_vcpu_events e;

	vm = kt_vm_new(1 << 20, true);
	v[1] = kt_vcpu_new(vm, 1, KT_REAL);	/* SIPI by itself changes CS and IP only */
	kt_put(vm, AP_PAGE, started, started_end - started);
	need_ok(ioctl(v[1]->fd, KVM_GET_VCPU_EVENTS, &e));
	e.flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	e.sipi_vector = 9;
	need_ok(ioctl(v[1]->fd, KVM_SET_VCPU_EVENTS, &e));
	need_ok(ioctl(v[1]->fd, KVM_SET_MP_STATE, &mp));
	t[1] = kt_start(v[1]);
	check(kt_wait(t[1]->outs == 1), "not started");
	check_eq(t[1]->out, 0x900);
	kt_stop_well(t[1]);
}

/* Ping-pong over HLT: no wake-up may be lost. */
TEST(wakeups_are_not_lost)
{
	GUEST64(ping, "mov $0xfee00000, %ebx\n mov $400, %ecx\n mov $1, %eax\n shl $24, %eax\n mov %eax, 0x310(%rbx)\n"
		"1: movl $0x46, 0x300(%rbx)\n 2: cli\n mov 0x40238, %rax\n cmp %rbp, %rax\n jne 3f\n sti\n hlt\n jmp 2b\n"
		"3: mov %rax, %rbp\n sti\n dec %ecx\n jnz 1b\n mov $0x1000, %dx\n out %eax, %dx\n cli\n hlt\n");
	GUEST64(pong, "lock incq 0x40230\n push %rax\n mov $0xfee00000, %eax\n movl $0, 0xb0(%rax)\n movl $0, 0x310(%rax)\n"
		"movl $0x47, 0x300(%rax)\n pop %rax\n iretq\n");

	make(true);
	kt_load(vm, ping);
	set_entry(v[0], KT_CODE, 0);
	v[0]->run->immediate_exit = 0;
	kt_put(vm, KT_HANDLERS + 0x46 * 64, pong, pong_end - pong);
	{
		struct kvm_regs r = kt_regs(v[0]);

		r.rbp = 0;
		kt_set_regs(v[0], &r);
	}
	t[1] = kt_start(v[1]);
	t[0] = kt_start(v[0]);
	if (!kt_wait(t[0]->outs == 1) && kt_host_tcg())
		skip("QEMU's VMRUN loads no shadow of STI: an IPI was taken before the HLT that it should have ended");
	check(t[0]->outs == 1, "stopped after %lu of 400", kt_counted(vm, 0x47));
	want_count(0x46, 400);
	kt_stop_well(t[0]);
	kt_stop_well(t[1]);
}

/* Writes of one vCPU to memory are seen by the other in order, and locked operations are whole. */
TEST(locked_increments)
{
	GUEST64(adds, "mov $20000, %ecx\n 1: lock incq 0x30040\n dec %ecx\n jnz 1b\n mov $0x1000, %dx\n out %eax, %dx\n cli\n hlt\n");

	make(true);
	kt_load(vm, adds);
	for (int i = 0; i < VCPUS; i++)
		set_entry(v[i], KT_CODE, i);
	start_all();
	for (int i = 0; i < VCPUS; i++)
		check(kt_wait(t[i]->outs == 1), "vCPU %d", i);
	check_eq(kt_guest_u64(vm, 0x30040), VCPUS * 20000);
	stop_all();
}

/* With interrupts off only an NMI ends HLT. */
TEST(processors_without_interrupts_halt_for_good)
{
	GUEST64(dead, "cli\n hlt\n incq 0x30050\n cli\n hlt\n");

	make(true);
	kt_put(vm, 0x13000, dead, dead_end - dead);
	set_entry(v[1], 0x13000, 1);
	start_all();
	usleep(20000);
	for (int i = 0; i < 5; i++)
		send(1, 0x41);
	usleep(20000);
	check_eq(kt_guest_u64(vm, 0x30050), 0);
	check_eq(kt_counted(vm, 0x41), 0);
	send(1, 4 << 8);		/* an NMI gets through */
	check(kt_wait(kt_guest_u64(vm, 0x30050) == 1));
	stop_all();
}

KT_MAIN
