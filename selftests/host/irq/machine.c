// SPDX-License-Identifier: GPL-2.0-only
/* The rest of a hypervisor, as far as the interrupt controllers see it, and main(). */
#include <kvm/x86/clock.h>
#include <kvm/x86/machine.h>
#include "irqchip_priv.h"
#include "lapic_priv.h"
#include "machine.h"

int locks_held, spins_held;
bool in_interrupt_now;
long fail_alloc_after = -1, live_objects;
u64 clock_ns = 1000;
unsigned int kicks, rounds = 200000;
struct vendor_caps vendor_caps;
struct vendor_ops vendor_ops;
static struct kvm_vcpu *running;
static struct hrtimer *timers;

/* Memory and time */

void *shim_alloc(size_t n)
{
	void *p;

	if (fail_alloc_after >= 0 && fail_alloc_after-- == 0) {
		fail_alloc_after = 0;
		return NULL;
	}
	p = aligned_alloc(64, (n + 63) & ~63ul);
	memset(p, 0, (n + 63) & ~63ul);
	live_objects++;
	return p;
}

void shim_free(const void *p)
{
	if (p)
		live_objects--;
	free((void *)p);
}

void hrtimer_init(struct hrtimer *t, clockid_t clock, enum hrtimer_mode mode)
{
	t->queued = false;
}

int hrtimer_cancel(struct hrtimer *t)
{
	struct hrtimer **p = &timers;

	if (!t->queued)
		return 0;
	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	t->queued = false;
	return 1;
}

void hrtimer_start(struct hrtimer *t, ktime_t at, enum hrtimer_mode mode)
{
	bool relative = mode == HRTIMER_MODE_REL_SOFT || mode == HRTIMER_MODE_REL_PINNED_HARD;

	hrtimer_cancel(t);
	t->expires = relative && at > S64_MAX - (s64)clock_ns ? S64_MAX : at + (relative ? clock_ns : 0);
	t->next = timers;
	timers = t;
	t->queued = true;
}

u64 hrtimer_forward_now(struct hrtimer *t, ktime_t period)
{
	u64 n = 0;

	assert(!t->queued && period > 0);
	if ((s64)clock_ns >= t->expires) {
		n = ((s64)clock_ns - t->expires) / period + 1;
		t->expires += n * period;
	}
	return n;
}

void pass_ns(u64 ns)
{
	u64 end = clock_ns + ns;

	for (;;) {
		struct hrtimer *t, *first = NULL;

		for (t = timers; t; t = t->next)
			if (t->expires <= (s64)end && (!first || t->expires < first->expires))
				first = t;
		if (!first)
			break;
		if (first->expires > (s64)clock_ns)
			clock_ns = first->expires;
		hrtimer_cancel(first);
		in_interrupt_now = true;
		if (first->function(first) == HRTIMER_RESTART && !first->queued)
			hrtimer_start(first, first->expires, HRTIMER_MODE_ABS_HARD);
		in_interrupt_now = false;
	}
	clock_ns = end;
}

/* vCPUs */

struct kvm_vcpu *kvm_running_vcpu(void)
{
	return running;
}

void run_as(struct x86_vcpu *v)
{
	running = v ? &v->vcpu : NULL;
}

void vcpu_kick(struct kvm_vcpu *vcpu)
{
	kicks++;
}

void kvm_request_all(struct kvm *kvm, unsigned int req)
{
}

bool vcpu_is_bsp(const struct x86_vcpu *v)
{
	return v->vcpu.id == vm_of(v)->boot_cpu;
}

u64 guest_tsc(struct x86_vcpu *v, u64 host)
{
	return host + v->tsc_offset;
}

u64 guest_tsc_to_ns(struct x86_vcpu *v, u64 ticks)
{
	return ticks / 2;
}

void cpuid_runtime_update(struct x86_vcpu *v)
{
}

static void no_tpr(struct x86_vcpu *v, u8 tpr, int pending)
{
}

static void no_intercepts(struct x86_vcpu *v)
{
}

__typeof__(*((struct vendor_ops *)0)->tpr) *vendor_tpr = no_tpr;
__typeof__(*((struct vendor_ops *)0)->intercepts) *vendor_intercepts = no_intercepts;

struct x86_vcpu *cpu(struct x86_vm *vm, unsigned int i)
{
	return x86_vcpu(vm->kvm.vcpu[i]);
}

struct x86_vm *machine(unsigned int vcpus)
{
	struct x86_vm *vm = shim_alloc(sizeof(*vm));
	struct kvm_call c = { .kvm = &vm->kvm };
	unsigned int i;

	coalesced_init(&vm->kvm);
	mutex_lock(&vm->kvm.lock);
	mutex_lock(&vm->kvm.slots_lock);
	assert(!vm_create_irqchip(&c));
	mutex_unlock(&vm->kvm.slots_lock);
	mutex_unlock(&vm->kvm.lock);
	for (i = 0; i < vcpus; i++) {
		struct x86_vcpu *v = shim_alloc(sizeof(*v));

		v->vcpu.kvm = &vm->kvm;
		v->vcpu.id = v->vcpu.idx = i;
		v->cap.f1_ecx = BIT(21) | BIT(24);
		v->cap.maxphyaddr = 40;
		assert(!lapic_create(v));
		lapic_reset(v, false);
		vm->kvm.vcpu[i] = &v->vcpu;
		vm->kvm.online_vcpus.counter++;
	}
	apic_map_changed(vm);
	run_as(NULL);
	kicks = 0;
	return vm;
}

void machine_end(struct x86_vm *vm)
{
	unsigned int i;

	pit_destroy(vm);
	irqchip_stop(vm);
	for (i = 0; i < vm->kvm.online_vcpus.counter; i++) {
		lapic_free(cpu(vm, i));
		shim_free(vm->kvm.vcpu[i]);
	}
	kvm_free_routing(&vm->kvm);
	io_bus_destroy(&vm->kvm);
	coalesced_free(&vm->kvm);
	irqchip_destroy(vm);
	assert(!locks_held && !spins_held);
	shim_free(vm);
}

/* The guest's instructions */

void out8(struct x86_vm *vm, u16 port, u8 val)
{
	CHECK(io_bus_write(vm->kvm.vcpu[0], BUS_PIO, port, 1, &val));
}

u8 in8(struct x86_vm *vm, u16 port)
{
	u8 val = 0;

	CHECK(io_bus_read(vm->kvm.vcpu[0], BUS_PIO, port, 1, &val));
	return val;
}

void mmio_w(struct x86_vcpu *v, u64 addr, u32 val)
{
	if (lapic_owns_gpa(v, GPA(addr)))
		lapic_mmio_write(v, addr & 0xfff, 4, &val);
	else
		CHECK(io_bus_write(&v->vcpu, BUS_MMIO, addr, 4, &val));
}

u32 mmio_r(struct x86_vcpu *v, u64 addr)
{
	u32 val = 0;

	if (lapic_owns_gpa(v, GPA(addr)))
		lapic_mmio_read(v, addr & 0xfff, 4, &val);
	else
		CHECK(io_bus_read(&v->vcpu, BUS_MMIO, addr, 4, &val));
	return val;
}

void ioapic_w(struct x86_vm *vm, u8 reg, u32 val)
{
	mmio_w(cpu(vm, 0), IOAPIC_BASE, reg);
	mmio_w(cpu(vm, 0), IOAPIC_BASE + 0x10, val);
}

u32 ioapic_r(struct x86_vm *vm, u8 reg)
{
	mmio_w(cpu(vm, 0), IOAPIC_BASE, reg);
	return mmio_r(cpu(vm, 0), IOAPIC_BASE + 0x10);
}

void ioapic_entry(struct x86_vm *vm, unsigned int pin, u64 e)
{
	ioapic_w(vm, 0x11 + 2 * pin, e >> 32);
	ioapic_w(vm, 0x10 + 2 * pin, e);
}

void lapic_w(struct x86_vcpu *v, u32 off, u32 val)
{
	lapic_mmio_write(v, off, 4, &val);
}

u32 lapic_r(struct x86_vcpu *v, u32 off)
{
	u32 val;

	lapic_mmio_read(v, off, 4, &val);
	return val;
}

void lapic_on(struct x86_vcpu *v)
{
	lapic_w(v, R_SVR, 0x1ff);
}

void go_x2apic(struct x86_vcpu *v)
{
	CHECK(lapic_set_base(v, lapic_get_base(v) | BASE_EXTD, false));
}

int take(struct x86_vcpu *v)
{
	return vcpu_has_irq(v) ? vcpu_ack_irq(v) : -1;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		rounds = atoi(argv[1]);
	balance = &live_objects;
	pic_tests();
	ioapic_tests();
	lapic_tests();
	timer_tests();
	bus_tests();
	random_tests();
	return tests_done();
}
