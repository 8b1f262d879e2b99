// SPDX-License-Identifier: GPL-2.0-only
/*
 * Anything from the guest and the VMM in any order, and what must be true in between: the masks of IRR and ISR words
 * match the page, what is taken is above what is in service, and time goes on.
 */
#include "irqchip_priv.h"
#include "lapic_priv.h"
#include "machine.h"

static u64 seed = 88172645463325252ull;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static struct x86_vm *vm;

/* Vectors below 16 that a state image brought in: no message may add one. */
static u16 low_of(struct x86_vcpu *v)
{
	return reg_get(v->lapic, R_IRR) | reg_get(v->lapic, R_ISR);
}

static void consistent(struct x86_vcpu *v)
{
	const struct lapic *a = v->lapic;
	u32 irr = 0, isr = 0, w;

	for (w = 0; w < 8; w++) {
		irr |= (reg_get(a, R_IRR + w * 16) != 0) << w;
		isr |= (reg_get(a, R_ISR + w * 16) != 0) << w;
	}
	CHECK_EQ(a->irr_words, irr);
	CHECK_EQ(a->isr_words, isr);
	CHECK_EQ(a->accepts, (v->apic_base & BASE_EN) && (reg_get(a, R_SVR) & SVR_ENABLE));
	CHECK_EQ(spins_held + locks_held, 0);
}

static void guest_step(struct x86_vcpu *v)
{
	static const u16 ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61 };
	u32 val = rnd(), off = (rnd() & 63) << 4;
	u64 wide = rnd();
	int vec;

	switch (rnd() % 12) {
	case 0:
		out8(vm, ports[rnd() % ARRAY_SIZE(ports)], val);
		break;
	case 1:
		in8(vm, ports[rnd() % ARRAY_SIZE(ports)]);
		break;
	case 2:
		ioapic_w(vm, rnd() & 0x3f, rnd() & 1 ? val : val & 0xcfff);
		break;
	case 3:
		ioapic_r(vm, val);
		break;
	case 4:
	case 5:
		if (is_x2apic(v))
			x2apic_msr_write(v, 0x800 + (rnd() & 63), rnd() & 1 ? wide : wide & 0x1f000000fffull);
		else
			lapic_w(v, off, rnd() & 1 ? val : val & 0x1f0fff);
		break;
	case 6:
		if (is_x2apic(v))
			x2apic_msr_read(v, 0x800 + (rnd() & 255), &wide);
		else
			lapic_r(v, off + (rnd() & 15));
		break;
	case 7:
		lapic_set_base(v, 0xfee00000 | (val & 0xd00), rnd() & 1);
		break;
	case 8:
		lapic_set_deadline(v, rdtsc() + (val & 0xfffff));
		break;
	case 9:
		lapic_set_cr8(v, val & 15);
		break;
	default:
		vec = take(v);
		CHECK(vec >= -1 && vec < 256);
		lapic_on(v);
		lapic_eoi(v);
	}
}

static void scramble(void *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		((u8 *)p)[i] = rnd() & 1 ? rnd() : 0;
}

static void vmm_step(struct x86_vcpu *v)
{
	struct kvm_lapic_state *lapic = shim_alloc(sizeof(*lapic));
	struct kvm_irqchip chip = {};
	struct kvm_pit_state2 pit;

	switch (rnd() % 6) {
	case 0:
		scramble(lapic, sizeof(*lapic));
		lapic_set_state(v, lapic);
		break;
	case 1:
		scramble(&chip, sizeof(chip));
		chip.chip_id = rnd() % 4;
		irqchip_set(vm, &chip);
		break;
	case 2:
		scramble(&pit, sizeof(pit));
		pit_set(vm, &pit);
		break;
	case 3:
		lapic_get_state(v, lapic);
		irqchip_get(vm, &chip);
		pit_get(vm, &pit);
		break;
	default:
		kvm_set_irq(&vm->kvm, rnd() % 3, rnd() % 26, rnd() & 1);
	}
	shim_free(lapic);
}

static void anything(void)
{
	unsigned int i;

	vm = machine(6);
	mutex_lock(&vm->kvm.lock);
	CHECK_EQ(pit_create(vm, KVM_PIT_SPEAKER_DUMMY), 0);
	mutex_unlock(&vm->kvm.lock);
	for (i = 0; i < rounds; i++) {
		struct x86_vcpu *v = cpu(vm, rnd() % 6);

		u16 low = low_of(v);

		run_as(v);
		guest_step(v);
		consistent(v);
		CHECK_EQ(low_of(v) & ~low, 0);
		if (i % 8 == 0) {
			run_as(NULL);
			vmm_step(v);
			consistent(v);
			pass_ns(rnd() & 0xfffff);
		}
	}
	machine_end(vm);
}

void random_tests(void)
{
	run_test("random: anything in any order", anything);
}
