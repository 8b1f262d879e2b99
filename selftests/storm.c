// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs that interrupt each other and their own timers without pause, while the host takes their memory away: each checks all
 * the time that nothing it relies on was lost. An interrupt only where interrupts are on; registers and the stack as they
 * were; GS base and its shadow where SWAPGS put them; counters in memory equal to those in registers, whatever page
 * is behind them.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include "lib/cpu.h"

#define VCPUS	4
#define STACK(i)	(0x40000 + (i) * 0x1000 + 0x1000)
#define BLOCK(i)	(0x100000 + (i) * 0x20000)	/* 16 counters, a page apart; then two pages that GS may point to */
#define GS_A(i)		(BLOCK(i) + 0x10000)
#define GS_B(i)		(BLOCK(i) + 0x11000)
#define MARK_A		0xa5a5
#define MARK_B		0x5b5b
#define STATE(i)	(BLOCK(i) + 0x12000)		/* +0 interrupts, +8 IPIs, +16 RIP, CS and RFLAGS of a wrong frame */

/*
 * RDI the block, RBP the state page, R15 rounds to go, R14 the next vCPU's APIC ID, R12 what all counters are. Reports by
 * OUT: 1 done; 2 counter wrong; 3 interrupt with IF clear; 4 GS wrong; 5 RSP wrong; 6 register wrong.
 */
GUEST64(work,
	"mov $0x80f, %ecx; mov $0x1ff, %eax; xor %edx, %edx; wrmsr;"	/* LAPIC on */
	"mov $0x83e, %ecx; mov $0xb, %eax; wrmsr;"			/* divide by 1: 1 ns */
	"mov $0x832, %ecx; mov $0x20040, %eax; wrmsr;"			/* periodic, vector 40H */
	"mov $0x838, %ecx; mov $1500000, %eax; wrmsr;"
	"xor %r12d, %r12d; mov %rsp, %r13;"
	"1: sti; inc %r12; mov %rdi, %rbx; mov $16, %r11d;"
	"2: incq (%rbx); cmp (%rbx), %r12; jne 92f; add $0x1000, %rbx; dec %r11d; jnz 2b;"
	"cli; mov $0x1234567, %r8d; swapgs; cmpw $0x5b5b, %gs:0; jne 94f; swapgs; cmpw $0xa5a5, %gs:0; jne 94f;"
	"cmp $0x1234567, %r8d; jne 96f; push %r12; pop %r10; cmp %r10, %r12; jne 92f; cmp %rsp, %r13; jne 95f; sti;"
	"test $63, %r12d; jnz 3f; mov $0x830, %ecx; mov %r14d, %edx; mov $0x4041, %eax; wrmsr;"
	"3: test $255, %r12d; jnz 4f; hlt;"
	"4: dec %r15; jnz 1b; mov $1, %eax; jmp 99f;"
	"92: mov $2, %eax; jmp 99f; 94: mov $4, %eax; jmp 99f; 95: mov $5, %eax; jmp 99f; 96: mov $6, %eax;"
	"99: mov $0x1000, %dx; out %eax, (%dx); hlt");
/* Both handlers: the frame must be that of code with interrupts on. */
#define HANDLER(count)										\
	"push %rax; push %rcx; push %rdx; testl $0x200, 0x28(%rsp); jz 93f; cmpw $8, 0x20(%rsp); jne 93f;"	\
	"cmpw $0xa5a5, %gs:0; jne 94f; incq " count "(%rbp);"						\
	"mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr; pop %rdx; pop %rcx; pop %rax; iretq;"	\
	"93: mov 0x18(%rsp), %rax; mov %rax, 16(%rbp); mov 0x20(%rsp), %rax; mov %rax, 24(%rbp); mov 0x28(%rsp), %rax; "	\
	"mov %rax, 32(%rbp); mov $3, %eax; jmp 99f; 94: mov $4, %eax; 99: mov $0x1000, %dx; out %eax, (%dx); hlt"
GUEST64(on_timer, HANDLER("0"));
GUEST64(on_ipi, HANDLER("8"));

struct worker {
	struct kt_vcpu *v;
	pthread_t thread;
	uint32_t said;
	bool done;
};

static void *run(void *arg)
{
	struct worker *w = arg;

	do
		w->said = kt_run_to_out(w->v);
	while (w->said > 0x1000);
	w->done = true;
	return NULL;
}

static struct kt_vm *set_up(struct worker *w, int n, uint64_t rounds)
{
	struct kt_vm *vm = kt_vm_new(2 << 20, true);

	for (int i = 0; i < n; i++) {
		struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
		struct kvm_regs r;
		struct kvm_sregs s;

		w[i] = (struct worker){ .v = kt_vcpu_new(vm, i, KT_LONG) };
		need_ok(ioctl(w[i].v->fd, KVM_SET_MP_STATE, &runnable));
		s = kt_sregs(w[i].v);
		s.apic_base |= 0xc00;
		s.gs.base = GS_A(i);
		need_ok(ioctl(w[i].v->fd, KVM_SET_SREGS, &s));
		need(kt_set_msr(w[i].v, 0xc0000102, GS_B(i)) == 1, "KERNEL_GS_BASE");
		r = kt_regs(w[i].v);
		r.rsp = STACK(i);
		r.rdi = BLOCK(i);
		r.rbp = STATE(i);
		r.r15 = rounds;
		r.r14 = (i + 1) % n;
		kt_set_regs(w[i].v, &r);
		*(uint16_t *)(vm->mem + GS_A(i)) = MARK_A;
		*(uint16_t *)(vm->mem + GS_B(i)) = MARK_B;
	}
	kt_install_idt(w[0].v);
	for (int i = 1; i < n; i++) {	/* the same table */
		struct kvm_sregs s = kt_sregs(w[i].v), first = kt_sregs(w[0].v);

		s.idt = first.idt;
		need_ok(ioctl(w[i].v->fd, KVM_SET_SREGS, &s));
	}
	kt_put(vm, 0x12000, on_timer, on_timer_end - on_timer);
	kt_put(vm, 0x13000, on_ipi, on_ipi_end - on_ipi);
	kt_gate(w[0].v, 0x40, 0x12000, 0, 0);
	kt_gate(w[0].v, 0x41, 0x13000, 0, 0);
	kt_load(vm, work);
	return vm;
}

static void verdict(struct kt_vm *vm, struct worker *w, int n)
{
	static const char *const what[] = { "", "", "a counter in memory is wrong", "an interrupt came where interrupts are off",
					    "GS base is wrong", "RSP is wrong", "a register is wrong" };

	for (int i = 0; i < n; i++) {
		uint64_t *frame = (uint64_t *)(vm->mem + STATE(i) + 16);

		need(!pthread_join(w[i].thread, NULL));
		check(w[i].said == 1, "vCPU %d: %s (%#x), RIP of the last exception %#lx, frame %#lx %#lx %#lx", i,
		      w[i].said < 7 ? what[w[i].said] : "an exception", w[i].said, kt_guest_u64(vm, KT_DATA - 16),
		      frame[0], frame[1], frame[2]);
		check(kt_guest_u64(vm, STATE(i)) > 0, "vCPU %d: no timer interrupt", i);
	}
	/* One that the host ran to its end before the others began has its IPI before it still. */
	for (int i = 0; i < n; i++) {
		struct kvm_lapic_state s;

		need_ok(ioctl(w[i].v->fd, KVM_GET_LAPIC, &s));
		check(kt_guest_u64(vm, STATE(i) + 8) > 0 || s.regs[0x220] & 2, "vCPU %d: no IPI", i);
	}
}

/* What the host does meanwhile. */
enum { NOTHING, FORK, MIGRATE };

static void storm(int n, uint64_t rounds, int meanwhile)
{
	struct worker w[VCPUS];
	struct kt_vm *vm = set_up(w, n, rounds);
	bool going = true;

	for (int i = 0; i < n; i++)
		need(!pthread_create(&w[i].thread, NULL, run, &w[i]));
	while (going) {
		if (meanwhile == FORK) {
			/* every page becomes read-only and is copied when the guest writes to it again */
			pid_t child = fork();

			if (!child)
				_exit(0);
			need(child > 0);
			waitpid(child, NULL, 0);
		} else if (meanwhile == MIGRATE) {
			for (int i = 0; i < n; i++) {
				cpu_set_t one;

				CPU_ZERO(&one);
				CPU_SET(rand() % sysconf(_SC_NPROCESSORS_ONLN), &one);
				pthread_setaffinity_np(w[i].thread, sizeof(one), &one);
			}
		}
		usleep(3000);
		going = false;
		for (int i = 0; i < n; i++)
			going |= !__atomic_load_n(&w[i].done, __ATOMIC_ACQUIRE);
	}
	verdict(vm, w, n);
}

static uint64_t rounds(void)
{
	const char *factor = getenv("STORM_FACTOR");	/* longer, by hand */

	return 20000ull * (factor ? atoi(factor) : 1);
}

TEST(interrupts) { storm(VCPUS, rounds(), NOTHING); }
TEST(interrupts_while_memory_is_copied) { storm(VCPUS, rounds(), FORK); }
TEST(interrupts_while_threads_migrate) { storm(VCPUS, rounds(), MIGRATE); }
TEST(one_vcpu_while_memory_is_copied) { storm(1, rounds(), FORK); }

KT_MAIN
