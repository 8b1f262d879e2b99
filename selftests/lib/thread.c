// SPDX-License-Identifier: GPL-2.0-only
/* See vm.h. */
#include <time.h>
#include "vm.h"

uint64_t kt_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void nothing(int sig)
{
}

void kt_catch_usr1(void)
{
	struct sigaction sa = { .sa_handler = nothing };

	sigaction(SIGUSR1, &sa, NULL);
}

static bool goes_on(struct kt_thread *t)
{
	struct kvm_run *run = t->v->run;
	uint32_t val = 0;

	if (run->exit_reason == KVM_EXIT_INTR)
		return true;
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != KT_PORT || run->io.direction != KVM_EXIT_IO_OUT)
		return false;
	memcpy(&val, (uint8_t *)run + run->io.data_offset, run->io.size);
	t->out = val;
	t->outs++;
	return true;
}

static void *run_loop(void *arg)
{
	struct kt_thread *t = arg;

	while (!t->stop) {
		if (ioctl(t->v->fd, KVM_RUN, 0) == 0) {
			if (goes_on(t))
				continue;
			t->reason = t->v->run->exit_reason;
			break;
		}
		if (errno == EINTR || errno == EAGAIN)
			continue;
		t->err = errno;
		break;
	}
	t->ended = true;
	return NULL;
}

struct kt_thread *kt_start(struct kt_vcpu *v)
{
	struct kt_thread *t = calloc(1, sizeof(*t));

	kt_catch_usr1();
	v->run->immediate_exit = 0;
	t->v = v;
	t->reason = ~0u;
	need(!pthread_create(&t->id, NULL, run_loop, t), "no thread");
	return t;
}

bool kt_stop(struct kt_thread *t)
{
	bool ended = t->ended;

	t->stop = true;
	t->v->run->immediate_exit = 1;
	while (!t->ended) {
		pthread_kill(t->id, SIGUSR1);
		usleep(1000);
	}
	pthread_join(t->id, NULL);
	t->v->run->immediate_exit = 0;
	return !ended;
}

void kt_stop_well(struct kt_thread *t)
{
	need(kt_stop(t), "vCPU ended by itself: %s, exit %s (%u), rip %llx", strerror(t->err), kt_exit_name(t->reason), t->reason,
	     kt_regs(t->v).rip);
}

static uint8_t *bytes(uint8_t *p, const void *from, size_t n)
{
	memcpy(p, from, n);
	return p + n;
}

void kt_count_vector(struct kt_vcpu *v, int vector, enum kt_eoi eoi)
{
	uint64_t at = KT_HANDLERS + vector * 64;
	uint32_t count = KT_COUNTS + vector * 8;
	uint8_t *p = v->vm->mem + at;

	p = bytes(p, "\xf0\x48\xff\x04\x25", 5);				/* lock incq count */
	p = bytes(p, &count, 4);
	if (eoi == KT_EOI)		/* push rax; mov $0xfee000b0, %eax; movl $0, (%rax); pop rax */
		p = bytes(p, "\x50\xb8\xb0\x00\xe0\xfe\xc7\x00\x00\x00\x00\x00\x58", 13);
	else if (eoi == KT_EOI_MSR)						/* all saved; ecx = 0x80b, eax = edx = 0; wrmsr */
		p = bytes(p, "\x50\x51\x52\xb9\x0b\x08\x00\x00\x31\xc0\x31\xd2\x0f\x30\x5a\x59\x58", 17);
	else if (eoi == KT_EOI_PIC)						/* push rax; mov $0x20, %al; out to a0 and 20; pop rax */
		p = bytes(p, "\x50\xb0\x20\xe6\xa0\xe6\x20\x58", 8);
	p = bytes(p, "\x48\xcf", 2);						/* iretq */
	kt_gate(v, vector, at, 0, 0);
}

uint32_t kt_lapic_read(struct kt_vcpu *v, uint32_t reg)
{
	struct kvm_lapic_state s;
	uint32_t val;

	need_ok(ioctl(v->fd, KVM_GET_LAPIC, &s));
	memcpy(&val, s.regs + reg, 4);
	return val;
}

void kt_lapic_write(struct kt_vcpu *v, uint32_t reg, uint32_t val)
{
	struct kvm_lapic_state s;

	need_ok(ioctl(v->fd, KVM_GET_LAPIC, &s));
	memcpy(s.regs + reg, &val, 4);
	need_ok(ioctl(v->fd, KVM_SET_LAPIC, &s));
}

void kt_lapic_on(struct kt_vcpu *v)
{
	kt_lapic_write(v, 0xf0, 0x1ff);
}

void *kt_mem(size_t size, size_t align)
{
	uint8_t *p = mmap(NULL, size + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	need(p != MAP_FAILED, "mmap: %s", strerror(errno));
	return (void *)(((uintptr_t)p + align - 1) / align * align);
}
