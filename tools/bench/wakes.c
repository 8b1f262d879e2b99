// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts, and vCPUs that wait for them. All on one host CPU: the thread that is woken has the higher real-time priority, so
 * it runs at once and until it waits again, and every instruction of a round trip, the scheduler's included, is
 * counted. Nothing is ever idle, which would make the emulator's clock jump.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include "bench.h"

#define PRIO_SENDER	5
#define PRIO_WAITER	10
#define VECTOR		0x40			/* as the guests below have it */
#define HANDLER_AT	(KT_CODE + 0x1000)
#define WAITER_AT	(KT_CODE + 0x2000)
#define WAITER_STACK	(KT_STACK + 0x8000)

#define XAPIC_ON	"mov $0xfee00000, %r13d\n	movl $0x1ff, 0xf0(%r13)"
#define X2APIC_ON	"mov $0x80f, %ecx\n	mov $0x1ff, %eax\n	xor %edx, %edx\n	wrmsr"

#define TAKE_IT		"\n	sti\n3:	cmp 0x30008, %ebx\n	je 3b\n	cli"	/* until the handler has counted */
ROUNDS(self_xapic, XAPIC_ON, "mov 0x30008, %ebx\n	movl $0x40040, 0x300(%r13)" TAKE_IT);
ROUNDS(self_x2apic, X2APIC_ON "\n	mov $0x83f, %ecx\n	mov $0x40, %eax\n	xor %edx, %edx",
       "mov 0x30008, %ebx\n	wrmsr" TAKE_IT);
/* Handlers count, end the interrupt, and return. */
GUEST64(handler_xapic, "incl 0x30008\n	movl $0, 0xb0(%r13)\n	iretq\n");
GUEST64(handler_x2apic, "push %rax\n	push %rcx\n	push %rdx\n	incl 0x30008\n	mov $0x80b, %ecx\n	xor %eax, %eax\n"
	"	xor %edx, %edx\n	wrmsr\n	pop %rdx\n	pop %rcx\n	pop %rax\n	iretq\n");
GUEST64(waiting, X2APIC_ON "\n1:	sti\n	hlt\n	jmp 1b\n");
/* To APIC ID 1; the round is over when its handler has counted. */
ROUNDS(ipi, X2APIC_ON "\n	mov $0x830, %ecx\n	mov $0x40, %eax\n	mov $1, %edx",
       "mov 0x30008, %ebx\n	wrmsr\n3:	cmp 0x30008, %ebx\n	je 3b");

struct scene {
	struct kt_vcpu *v, *waiter;
	uint32_t sent;			/* interrupts that must have arrived */
};

static uint32_t arrived(const struct scene *s)
{
	return kt_guest_u32(s->v->vm, DONE);
}

static void x2apic(struct kt_vcpu *v)
{
	uint64_t base;

	bench_cpuid_bit(v, 1, 2, 21);
	need(kt_get_msr(v, 0x1b, &base) == 1 && kt_set_msr(v, 0x1b, base | 0xc00) == 1, "no x2APIC mode");
}

static void handler(struct kt_vcpu *v, const uint8_t *code, const uint8_t *end)
{
	kt_put(v->vm, HANDLER_AT, code, end - code);
	kt_gate(v, VECTOR, HANDLER_AT, 0, 0);
}

static void scene_rounds(void *ctx, unsigned int n)
{
	struct scene *s = ctx;

	s->sent += n;
	guest_rounds(s->v, n);
}

/* Measures, and wants every interrupt to have arrived. */
static void measure_scene(const struct bench *b, struct scene *s, void (*run)(void *, unsigned int))
{
	measure(b, &(struct batch){ run, NULL, s });
	check(arrived(s) == s->sent, "%u of %u interrupts arrived", arrived(s), s->sent);
}

static void self_by_mmio(const struct bench *b)
{
	struct scene s = { bench_vcpu() };

	kt_load(s.v->vm, self_xapic);
	handler(s.v, handler_xapic, handler_xapic_end);
	measure_scene(b, &s, scene_rounds);
}

static void self_by_msr(const struct bench *b)
{
	struct scene s = { bench_vcpu() };

	x2apic(s.v);
	kt_load(s.v->vm, self_x2apic);
	handler(s.v, handler_x2apic, handler_x2apic_end);
	measure_scene(b, &s, scene_rounds);
}

/* --- a second thread --- */

static void *waiter_thread(void *arg)
{
	struct kt_vcpu *v = arg;

	while (!ioctl(v->fd, KVM_RUN, 0) || errno == EAGAIN)
		;
	fprintf(stderr, "# the waiting vCPU ended: %s\n", strerror(errno));
	return NULL;
}

/* Runs the waiter until it waits. */
static void start_waiter(struct kt_vcpu *v)
{
	struct sched_param waiter = { .sched_priority = PRIO_WAITER }, sender = { .sched_priority = PRIO_SENDER };
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_regs r = { .rip = WAITER_AT, .rsp = WAITER_STACK, .rflags = 2 };
	pthread_attr_t attr;
	pthread_t thread;

	need_ok(sched_setscheduler(0, SCHED_FIFO, &sender));
	kt_put(v->vm, WAITER_AT, waiting, waiting_end - waiting);
	kt_set_regs(v, &r);
	need_ok(ioctl(v->fd, KVM_SET_MP_STATE, &runnable));
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &waiter);
	need(!pthread_create(&thread, &attr, waiter_thread, v), "no thread");
}

static void send_msi(void *ctx, unsigned int n)
{
	struct scene *s = ctx;
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = VECTOR };

	s->sent += n;
	while (n--)
		ioctl(s->v->vm->fd, KVM_SIGNAL_MSI, &msi);
}

static void wake_by_msi(const struct bench *b)
{
	struct scene s = { bench_vcpu() };

	x2apic(s.v);
	handler(s.v, handler_x2apic, handler_x2apic_end);
	start_waiter(s.v);
	measure_scene(b, &s, send_msi);
}

static void wake_by_ipi(const struct bench *b)
{
	struct scene s = { bench_vcpu() };

	s.waiter = kt_vcpu_new(s.v->vm, 1, KT_LONG);
	kt_install_idt(s.waiter);
	x2apic(s.v);
	x2apic(s.waiter);
	kt_load(s.v->vm, ipi);
	handler(s.v, handler_x2apic, handler_x2apic_end);
	start_waiter(s.waiter);
	measure_scene(b, &s, scene_rounds);
}

const struct bench wake_benches[] = {
	{ "ipi-self-xapic", "self-IPI by MOV, taken, EOI by MOV", self_by_mmio },
	{ "ipi-self-x2apic", "self-IPI by WRMSR, taken, EOI by WRMSR", self_by_msr },
	{ "hlt-wake", "KVM_SIGNAL_MSI to a halted vCPU until it halts again", wake_by_msi },
	{ "ipi-wake", "IPI to a halted vCPU until it halts again", wake_by_ipi },
	{ 0 }
};
