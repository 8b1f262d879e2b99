// SPDX-License-Identifier: GPL-2.0-only
/* Interrupt controllers as the VMM sees them: creation, state, lines, messages, routes, and interrupts by hand without any. */
#include "lib/vm.h"

#define IDLE	"sti\n 1: hlt\n incq 0x30000\n jmp 1b\n"
GUEST64(idle, IDLE);
GUEST64(spin_on, "sti\n 1: incq 0x30000\n jmp 1b\n");
/* Both PICs at vectors 30 and 38, all open. */
GUEST64(pic_idle, "mov $0x11, %al\n out %al, $0x20\n out %al, $0xa0\n mov $0x30, %al\n out %al, $0x21\n mov $0x38, %al\n"
	"out %al, $0xa1\n mov $4, %al\n out %al, $0x21\n mov $2, %al\n out %al, $0xa1\n mov $1, %al\n out %al, $0x21\n"
	"out %al, $0xa1\n xor %eax, %eax\n out %al, $0x21\n out %al, $0xa1\n mov $0x1000, %dx\n out %eax, %dx\n" IDLE);

static int irq_line(struct kt_vm *vm, uint32_t gsi, uint32_t level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	return ioctl(vm->fd, KVM_IRQ_LINE, &l);
}

/* A pin of the IOAPIC; bits as in the redirection entry. */
#define MASKED	(1ull << 16)
#define LEVEL	(1ull << 15)
#define REMOTE_IRR	(1ull << 14)

static struct kvm_irqchip ioapic(struct kt_vm *vm)
{
	struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC };

	need_ok(ioctl(vm->fd, KVM_GET_IRQCHIP, &c));
	return c;
}

static void set_pin(struct kt_vm *vm, int pin, uint64_t entry)
{
	struct kvm_irqchip c = ioapic(vm);

	c.chip.ioapic.redirtbl[pin].bits = entry;
	need_ok(ioctl(vm->fd, KVM_SET_IRQCHIP, &c));
}

/* A vCPU with its APIC on and handlers that count and write EOI for vectors 40 to 4f. */
static struct kt_vcpu *vcpu_with(const uint8_t *code, size_t n)
{
	struct kt_vcpu *v = kt_long_vcpu(true);

	kt_put(v->vm, KT_CODE, code, n);
	kt_lapic_on(v);
	kt_lapic_write(v, 0x350, 0x10000);	/* the PIC, which has the same lines, is not asked */
	for (int vec = 0x40; vec < 0x50; vec++)
		kt_count_vector(v, vec, KT_EOI);
	return v;
}
#define VCPU_WITH(code)	vcpu_with(code, code##_end - code)

#define want_count(vm, vec, n)	check(kt_wait(kt_counted(vm, vec) == (n)), "vector %#x was taken %lu times, want %d", vec,	\
				      kt_counted(vm, vec), n)
/* Long enough for an interrupt that should not come. */
#define quiet()	usleep(20000)

/* --- creation --- */

TEST(creation_order)
{
	struct kvm_irqchip c = { .chip_id = 0 };
	struct kt_vm *vm = kt_vm_new(0, false);

	check_err(ioctl(vm->fd, KVM_GET_IRQCHIP, &c), ENXIO);
	check_err(ioctl(vm->fd, KVM_SET_IRQCHIP, &c), ENXIO);
	check_err(irq_line(vm, 1, 1), ENXIO);
	check_eq(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), 0);
	check_err(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), EEXIST);
	for (c.chip_id = 0; c.chip_id < 3; c.chip_id++)
		check_eq(ioctl(vm->fd, KVM_GET_IRQCHIP, &c), 0);
	check_err(ioctl(vm->fd, KVM_GET_IRQCHIP, &c), EINVAL);
	check_err(ioctl(vm->fd, KVM_SET_IRQCHIP, &c), EINVAL);
	vm = kt_vm_new(0, false);
	need_ok(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
	check_err(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), EINVAL);
}

TEST(pit_creation)
{
	struct kvm_pit_config pit = { 0 }, bad = { .flags = 2 };
	struct kt_vm *vm = kt_vm_new(0, false);
	struct kvm_reinject_control rc = { 0 };
	struct kvm_pit_state2 ps;

	check_err(ioctl(vm->fd, KVM_GET_PIT2, &ps), ENXIO);
	check_err(ioctl(vm->fd, KVM_REINJECT_CONTROL, &rc), ENXIO);
	if (!kt_distro())		/* 6.1 makes one that drives nothing */
		check_err(ioctl(vm->fd, KVM_CREATE_PIT2, &pit), ENOENT);
	vm = kt_vm_new(0, true);
	check_err(ioctl(vm->fd, KVM_GET_PIT2, &ps), ENXIO);
	check_err(ioctl(vm->fd, KVM_REINJECT_CONTROL, &rc), ENXIO);
	if (!kt_distro())		/* 6.1 takes any flags */
		check_err(ioctl(vm->fd, KVM_CREATE_PIT2, &bad), EINVAL);
	check_eq(ioctl(vm->fd, KVM_CREATE_PIT2, &pit), 0);
	check_err(ioctl(vm->fd, KVM_CREATE_PIT2, &pit), EEXIST);
	check_eq(ioctl(vm->fd, KVM_GET_PIT2, &ps), 0);
	check_eq(ioctl(vm->fd, KVM_REINJECT_CONTROL, &rc), 0);
}

TEST(split_creation)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	struct kvm_irqchip c = { .chip_id = 0 };

	if (kt_cap(vm, KVM_CAP_SPLIT_IRQCHIP) != 1)
		skip("no KVM_CAP_SPLIT_IRQCHIP");
	check_err(kt_enable_cap(vm->fd, KVM_CAP_SPLIT_IRQCHIP, 1000000), EINVAL);
	check_eq(kt_enable_cap(vm->fd, KVM_CAP_SPLIT_IRQCHIP, 24), 0);
	check_err(kt_enable_cap(vm->fd, KVM_CAP_SPLIT_IRQCHIP, 24), EEXIST);
	check_err(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), EEXIST);
	check_err(ioctl(vm->fd, KVM_GET_IRQCHIP, &c), ENXIO);
	vm = kt_vm_new(0, true);
	check_err(kt_enable_cap(vm->fd, KVM_CAP_SPLIT_IRQCHIP, 24), EEXIST);
	vm = kt_vm_new(0, false);
	need_ok(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
	check_err(kt_enable_cap(vm->fd, KVM_CAP_SPLIT_IRQCHIP, 24), EEXIST);
}

TEST(lapic_needs_irqchip)
{
	struct kvm_lapic_state s = { 0 };
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_msi msi = { 0xfee00000, 0, 0x40 };

	check_err(ioctl(v->fd, KVM_GET_LAPIC, &s), EINVAL);
	check_err(ioctl(v->fd, KVM_SET_LAPIC, &s), EINVAL);
	check_err(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &msi), EINVAL);
}

/* --- state --- */

TEST(state_at_creation)
{
	struct kt_vcpu *v = kt_long_vcpu(true);
	struct kvm_irqchip c = ioapic(v->vm);

	check_eq(c.chip.ioapic.base_address, 0xfec00000);
	for (int i = 0; i < 24; i++)
		check_eq(c.chip.ioapic.redirtbl[i].bits & (MASKED | REMOTE_IRR), MASKED);
	check_eq(kt_sregs(v).apic_base, 0xfee00900);
	check_eq(kt_lapic_read(v, 0x20), 0);			/* id */
	check_eq(kt_lapic_read(v, 0x30) & 0xff, 0x14);		/* version */
	check(((kt_lapic_read(v, 0x30) >> 16) & 0xff) >= 5);
	check_eq(kt_lapic_read(v, 0xf0) & 0x1ff, 0xff);
	check_eq(kt_lapic_read(v, 0xe0), 0xffffffff);
	for (int reg = 0x320; reg <= 0x370; reg += 0x10)
		if (reg != 0x350)				/* LINT0 of the boot CPU may be open for the PIC */
			check_eq(kt_lapic_read(v, reg), 0x10000);
	check_eq(kt_lapic_read(v, 0x380), 0);
	check_eq(kt_lapic_read(v, 0x390), 0);
}

TEST(chip_state_is_kept)
{
	struct kt_vm *vm = kt_vm_new(0, true);
	struct kvm_irqchip c[3], now;

	for (int i = 0; i < 3; i++) {
		c[i] = (struct kvm_irqchip){ .chip_id = i };
		need_ok(ioctl(vm->fd, KVM_GET_IRQCHIP, &c[i]));
	}
	for (int i = 0; i < 2; i++) {
		c[i].chip.pic.irq_base = 0x30 + 8 * i;
		c[i].chip.pic.imr = 0x5a;
		c[i].chip.pic.isr = 0;
		c[i].chip.pic.elcr = i ? 0x0c : 0x20;
		c[i].chip.pic.init4 = 1;
	}
	c[2].chip.ioapic.ioregsel = 0x12;
	c[2].chip.ioapic.id = 3;
	for (int i = 0; i < 24; i++)
		c[2].chip.ioapic.redirtbl[i].bits = MASKED | (i & 1 ? LEVEL : 0) | (0x40 + i) | (uint64_t)i << 56;
	for (int i = 0; i < 3; i++) {
		need_ok(ioctl(vm->fd, KVM_SET_IRQCHIP, &c[i]));
		now = (struct kvm_irqchip){ .chip_id = i };
		need_ok(ioctl(vm->fd, KVM_GET_IRQCHIP, &now));
		check(!memcmp(&now.chip, &c[i].chip, i < 2 ? sizeof(now.chip.pic) : sizeof(now.chip.ioapic)),
		      "chip %d is not as it was set", i);
	}
}

TEST(lapic_state_is_kept)
{
	struct kt_vcpu *v = kt_long_vcpu(true);
	struct kvm_lapic_state s, now;
	static const struct { uint16_t reg; uint32_t val; } want[] = { { 0x80, 0x20 }, { 0xd0, 0x05000000 }, { 0xf0, 0x1ff },
		{ 0x320, 0x200ec }, { 0x350, 0x10700 }, { 0x360, 0x400 }, { 0x370, 0xfe }, { 0x3e0, 0xb },
		{ 0x230, 0x10 }, { 0x120, 0x10000 } };

	need_ok(ioctl(v->fd, KVM_GET_LAPIC, &s));
	for (int i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		memcpy(s.regs + want[i].reg, &want[i].val, 4);
	need_ok(ioctl(v->fd, KVM_SET_LAPIC, &s));
	need_ok(ioctl(v->fd, KVM_GET_LAPIC, &now));
	for (int i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		check(!memcmp(now.regs + want[i].reg, &want[i].val, 4), "register %#x is %#x, was set to %#x", want[i].reg,
		      *(uint32_t *)(now.regs + want[i].reg), want[i].val);
	if (!kt_distro())					/* leaves PPR to the next entry */
		check_eq(*(uint32_t *)(now.regs + 0xa0), 0x50);	/* follows ISR (vector 50) and TPR */
}

/* Vectors in IRR when the state is set are delivered. */
TEST(pending_vector_in_state)
{
	struct kt_vcpu *v = VCPU_WITH(idle);
	struct kt_thread *t;

	kt_lapic_write(v, 0x220, 1 << 2);		/* 42 */
	t = kt_start(v);
	want_count(v->vm, 0x42, 1);
	quiet();			/* the handler counts before it writes EOI */
	kt_stop_well(t);
	check_eq(kt_lapic_read(v, 0x220), 0);
	check_eq(kt_lapic_read(v, 0x120), 0);
}

/* The IRR comes back as it was given; vectors below 16 outrank nothing. */
TEST(low_vectors_in_state)
{
	struct kt_vcpu *v = VCPU_WITH(idle);
	struct kt_thread *t;

	kt_lapic_write(v, 0x200, 0x5000);
	kt_lapic_write(v, 0x220, 1 << 2);		/* 42 */
	t = kt_start(v);
	want_count(v->vm, 0x42, 1);
	quiet();
	kt_stop_well(t);
	check_eq(kt_lapic_read(v, 0x200), 0x5000);
}

/* --- pins --- */

TEST(ioapic_edge)
{
	struct kt_vcpu *v = VCPU_WITH(idle);
	struct kt_thread *t = kt_start(v);
	struct kt_vm *vm = v->vm;

	set_pin(vm, 10, 0x41);
	for (int i = 1; i <= 5; i++) {
		check_eq(irq_line(vm, 10, 1), 0);
		want_count(vm, 0x41, i);
		check(kt_wait(kt_guest_u64(vm, KT_DATA) == i), "woke %lu times, not %d", kt_guest_u64(vm, KT_DATA), i);
		check_eq(irq_line(vm, 10, 1), 0);	/* still up: no edge */
		quiet();
		want_count(vm, 0x41, i);
		check_eq(irq_line(vm, 10, 0), 0);
	}
	set_pin(vm, 10, 0x41 | MASKED);			/* an edge behind the mask is lost */
	irq_line(vm, 10, 1);
	irq_line(vm, 10, 0);
	set_pin(vm, 10, 0x41);
	quiet();
	want_count(vm, 0x41, 5);
	kt_stop_well(t);
	check_eq(kt_guest_u64(vm, KT_DATA), 5);		/* each woke it from HLT */
}

/* A level stays until it is served: the handler here lowers the line by an OUT that the VMM sees. */
TEST(ioapic_level)
{
	GUEST64(lowers, "push %rax\n push %rdx\n lock incq 0x40218\n mov $0x1000, %dx\n mov $0x43, %eax\n out %eax, %dx\n"
		"mov $0xfee000b0, %eax\n movl $0, (%rax)\n pop %rdx\n pop %rax\n iretq\n");
	struct kt_vcpu *v = VCPU_WITH(idle);
	struct kt_vm *vm = v->vm;
	struct kvm_regs r;

	kt_put(vm, KT_HANDLERS + 0x43 * 64, lowers, lowers_end - lowers);
	set_pin(vm, 11, 0x43 | LEVEL);
	check_eq(irq_line(vm, 11, 1), 0);
	check_eq(kt_run_to_out(v), 0x43);
	check_eq(kt_counted(vm, 0x43), 1);
	check_eq(ioapic(vm).chip.ioapic.redirtbl[11].bits & REMOTE_IRR, REMOTE_IRR);
	check_eq(ioapic(vm).chip.ioapic.irr >> 11 & 1, 1);
	check_eq(kt_run_to_out(v), 0x43);	/* the line was not lowered: again after EOI */
	check_eq(kt_counted(vm, 0x43), 2);
	check_eq(irq_line(vm, 11, 0), 0);
	check_eq(irq_line(vm, 11, 1), 0);	/* down and up before EOI is one more */
	check_eq(kt_run_to_out(v), 0x43);
	check_eq(irq_line(vm, 11, 0), 0);
	r = kt_regs(v);
	check(r.rip > KT_HANDLERS && r.rip < KT_HANDLERS + 0x44 * 64);
	kt_stop_well(kt_start(v));
	quiet();
	check_eq(kt_counted(vm, 0x43), 3);
	check_eq(ioapic(vm).chip.ioapic.irr >> 11 & 1, 0);
}

TEST(ioapic_level_behind_mask)
{
	struct kt_vcpu *v = VCPU_WITH(idle);
	struct kt_vm *vm = v->vm;
	struct kt_thread *t;

	set_pin(vm, 11, 0x43 | LEVEL | MASKED);
	irq_line(vm, 11, 1);
	t = kt_start(v);
	quiet();
	want_count(vm, 0x43, 0);
	set_pin(vm, 11, 0x43 | LEVEL);
	check(kt_wait(kt_counted(vm, 0x43) >= 1), "the level is lost behind the mask");
	irq_line(vm, 11, 0);
	kt_stop_well(t);
}

/* By the guest, through the registers. */
TEST(ioapic_programmed_by_guest)
{
	GUEST64(program, "mov $0xfec00000, %ebx\n movl $0x26, (%rbx)\n movl $0x44, 0x10(%rbx)\n movl $0x27, (%rbx)\n"
		"movl $0, 0x10(%rbx)\n movl $1, (%rbx)\n mov 0x10(%rbx), %eax\n mov $0x1000, %dx\n out %eax, %dx\n" IDLE);
	struct kt_vcpu *v = VCPU_WITH(program);
	struct kt_thread *t;
	uint32_t version = kt_run_to_out(v);

	check_eq(version & 0xff, 0x11);
	check_eq(version >> 16, 23);
	check_eq(ioapic(v->vm).chip.ioapic.redirtbl[11].bits, 0x44);
	t = kt_start(v);
	irq_line(v->vm, 11, 1);
	want_count(v->vm, 0x44, 1);
	kt_stop_well(t);
}

static struct kt_vcpu *pic_vcpu(void)
{
	struct kt_vcpu *v = VCPU_WITH(pic_idle);

	for (int vec = 0x30; vec < 0x40; vec++)
		kt_count_vector(v, vec, KT_EOI_PIC);
	kt_lapic_write(v, 0x350, 0x700);	/* LINT0: the PIC */
	kt_run_to_out(v);
	return v;
}

TEST(pic_lines)
{
	struct kt_vcpu *v = pic_vcpu();
	struct kt_thread *t = kt_start(v);

	for (int irq = 1; irq < 16; irq++) {
		if (irq == 2)
			continue;
		for (int i = 1; i <= 2; i++) {
			check_eq(irq_line(v->vm, irq, 1), 0);
			want_count(v->vm, 0x30 + irq, i);
			check_eq(irq_line(v->vm, irq, 0), 0);
		}
	}
	kt_stop_well(t);
}

TEST(line_status)
{
	struct kt_vcpu *v = VCPU_WITH(idle);
	struct kvm_irq_level l = { .irq = 10, .level = 1 };

	set_pin(v->vm, 10, 0x41);
	check_eq(ioctl(v->vm->fd, KVM_IRQ_LINE_STATUS, &l), 0);
	check((int)l.status > 0, "delivered: %d", (int)l.status);
	l = (struct kvm_irq_level){ .irq = 10, .level = 0 };
	need_ok(ioctl(v->vm->fd, KVM_IRQ_LINE_STATUS, &l));
	l = (struct kvm_irq_level){ .irq = 300, .level = 1 };
	check_eq(ioctl(v->vm->fd, KVM_IRQ_LINE_STATUS, &l), 0);
	check((int)l.status < 0, "a GSI without a route: %d", (int)l.status);
}

/* --- interrupts without a controller --- */

TEST(interrupt_by_hand)
{
	struct kt_vcpu *v = kt_long_vcpu(false), *with = kt_long_vcpu(true);
	struct kvm_interrupt i = { .irq = 0x41 };

	check_err(ioctl(with->fd, KVM_INTERRUPT, &i), ENXIO);
	i.irq = 256;
	check_err(ioctl(v->fd, KVM_INTERRUPT, &i), EINVAL);
	i.irq = 0x41;
	kt_load(v->vm, idle);
	kt_count_vector(v, 0x41, KT_NO_EOI);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(v->run->if_flag, 1);
	check_eq(v->run->ready_for_interrupt_injection, 1);
	check_eq(ioctl(v->fd, KVM_INTERRUPT, &i), 0);
	if (!kt_distro())			/* replaces the one before */
		check_err(ioctl(v->fd, KVM_INTERRUPT, &i), EEXIST);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_counted(v->vm, 0x41), 1);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 1);
}

TEST(interrupt_window)
{
	GUEST64(closed, "cli\n mov $0x1000, %dx\n out %eax, %dx\n nop\n out %eax, %dx\n sti\n nop\n 1: incq 0x30000\n jmp 1b\n");
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_interrupt i = { .irq = 0x41 };
	struct kt_thread *t;

	kt_load(v->vm, closed);
	kt_count_vector(v, 0x41, KT_NO_EOI);
	kt_run_to_out(v);
	check_eq(v->run->if_flag, 0);
	check_eq(v->run->ready_for_interrupt_injection, 0);
	v->run->request_interrupt_window = 1;
	kt_run_to_out(v);				/* no window yet */
	kt_run(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	check_eq(v->run->if_flag, 1);
	check_eq(v->run->ready_for_interrupt_injection, 1);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0);	/* at the first chance */
	check_eq(ioctl(v->fd, KVM_INTERRUPT, &i), 0);
	v->run->request_interrupt_window = 0;
	t = kt_start(v);
	want_count(v->vm, 0x41, 1);
	check(kt_wait(kt_guest_u64(v->vm, KT_DATA) > 0));
	kt_stop_well(t);
	v->run->request_interrupt_window = 1;		/* it is open now */
	kt_run(v, KVM_EXIT_IRQ_WINDOW_OPEN);
}

static void nmi_wakes(bool irqchip)
{
	struct kt_vcpu *v;
	struct kt_thread *t;

	if (kt_distro() && kt_host_tcg())
		skip("these modules do not come back from NMIs on QEMU's emulation");
	v = kt_long_vcpu(irqchip);
	kt_load(v->vm, spin_on);
	kt_count_vector(v, 2, KT_NO_EOI);
	t = kt_start(v);
	for (int i = 1; i <= 5; i++) {
		uint64_t at;

		check_eq(ioctl(v->fd, KVM_NMI), 0);
		want_count(v->vm, 2, i);
		at = kt_guest_u64(v->vm, KT_DATA);	/* on: the handler is over; nmi_in_nmi has what comes before */
		check(kt_wait(kt_guest_u64(v->vm, KT_DATA) != at));
	}
	kt_stop_well(t);
	if (!irqchip)
		return;
	GUEST64(deaf, "cli\n 1: incq 0x30008\n hlt\n incq 0x30000\n jmp 1b\n");
	v = kt_long_vcpu(true);
	kt_load(v->vm, deaf);
	kt_count_vector(v, 2, KT_NO_EOI);
	t = kt_start(v);
	for (int i = 1; i <= 5; i++) {
		check(kt_wait(kt_guest_u64(v->vm, KT_DATA + 8) == i), "not before HLT");
		quiet();		/* ... and in it */
		check_eq(ioctl(v->fd, KVM_NMI), 0);
		want_count(v->vm, 2, i);
		check(kt_wait(kt_guest_u64(v->vm, KT_DATA) == i), "not out of HLT");
	}
	kt_stop_well(t);
}

TEST(nmi_with_irqchip)
{
	nmi_wakes(true);
}

TEST(nmi_without_irqchip)
{
	nmi_wakes(false);
}

/* One is held while another is served, no more. */
TEST(nmi_in_nmi)
{
	GUEST64(slow, "lock incq 0x40010\n mov $0x1000, %dx\n out %eax, %dx\n iretq\n");
	struct kt_vcpu *v = kt_long_vcpu(true);
	struct kt_thread *t;

	kt_need_events();
	kt_load(v->vm, spin_on);
	kt_count_vector(v, 2, KT_NO_EOI);
	kt_put(v->vm, KT_HANDLERS + 2 * 64, slow, slow_end - slow);
	need_ok(ioctl(v->fd, KVM_NMI));
	kt_run_to_out(v);
	for (int i = 0; i < 4; i++)
		need_ok(ioctl(v->fd, KVM_NMI));
	check_eq(kt_events(v).nmi.masked, 1);
	t = kt_start(v);
	check(kt_wait(kt_guest_u64(v->vm, KT_DATA) > 0));
	quiet();
	kt_stop_well(t);
	check_eq(kt_counted(v->vm, 2), 2);
	check_eq(kt_events(v).nmi.masked, 0);
}

/* --- messages and routes --- */

static int msi(struct kt_vm *vm, uint32_t addr, uint32_t data)
{
	struct kvm_msi m = { .address_lo = addr, .data = data };

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &m);
}

TEST(signal_msi)
{
	struct kt_vcpu *v = VCPU_WITH(idle);
	struct kvm_msi bad = { .address_lo = 0xfee00000, .data = 0x45, .flags = 4 };
	struct kt_thread *t;

	check_err(ioctl(v->vm->fd, KVM_SIGNAL_MSI, &bad), EINVAL);
	t = kt_start(v);
	for (int i = 1; i <= 10; i++) {
		check(msi(v->vm, 0xfee00000, 0x45) > 0);
		want_count(v->vm, 0x45, i);
	}
	check_eq(msi(v->vm, 0xfee05000, 0x45), 0);		/* nobody has id 5 */
	check(msi(v->vm, 0xfeeff000, 0x46) > 0);		/* everybody */
	want_count(v->vm, 0x46, 1);
	check_eq(kt_counted(v->vm, 0x45), 10);
	kt_stop_well(t);
	kt_lapic_write(v, 0xf0, 0xff);				/* software-disabled */
	check_eq(msi(v->vm, 0xfee00000, 0x45), 0);
}

static int set_routes(struct kt_vm *vm, int n, const struct kvm_irq_routing_entry *e, uint32_t flags)
{
	struct kvm_irq_routing *r = calloc(1, sizeof(*r) + n * sizeof(*e));
	int ret;

	r->nr = n;
	r->flags = flags;
	memcpy(r->entries, e, n * sizeof(*e));
	ret = ioctl(vm->fd, KVM_SET_GSI_ROUTING, r);
	free(r);
	return ret;
}

static struct kvm_irq_routing_entry pin_entry(uint32_t gsi, uint32_t chip, uint32_t pin)
{
	return (struct kvm_irq_routing_entry){ .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { chip, pin } };
}

static struct kvm_irq_routing_entry msi_entry(uint32_t gsi, uint32_t addr, uint32_t data)
{
	return (struct kvm_irq_routing_entry){ .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { addr, 0, data } };
}

TEST(routes_refused)
{
	struct kt_vm *vm = kt_vm_new(0, true);
	uint32_t limit = need_ok(kt_cap(vm, KVM_CAP_IRQ_ROUTING));
	struct kvm_irq_routing head = { .nr = limit + 1 };
	struct kvm_irq_routing_entry e[2] = { pin_entry(1, KVM_IRQCHIP_IOAPIC, 1) };

	check_err(set_routes(vm, 1, e, 1), EINVAL);
	check_err(ioctl(vm->fd, KVM_SET_GSI_ROUTING, &head), EINVAL);
	e[0] = pin_entry(1, KVM_IRQCHIP_IOAPIC, 24);
	check_err(set_routes(vm, 1, e, 0), EINVAL);
	e[0] = pin_entry(1, KVM_IRQCHIP_PIC_MASTER, 8);
	check_err(set_routes(vm, 1, e, 0), EINVAL);
	e[0] = pin_entry(1, 3, 0);
	check_err(set_routes(vm, 1, e, 0), EINVAL);
	e[0] = pin_entry(limit, KVM_IRQCHIP_IOAPIC, 1);
	check_err(set_routes(vm, 1, e, 0), EINVAL);
	e[0] = pin_entry(1, KVM_IRQCHIP_IOAPIC, 1);
	e[0].type = 99;
	check_err(set_routes(vm, 1, e, 0), EINVAL);
	e[0] = pin_entry(1, KVM_IRQCHIP_IOAPIC, 1);
	e[1] = pin_entry(1, KVM_IRQCHIP_IOAPIC, 2);		/* twice to one controller */
	check_err(set_routes(vm, 2, e, 0), EINVAL);
	e[1] = msi_entry(1, 0xfee00000, 0x45);			/* a pin and a message */
	check_err(set_routes(vm, 2, e, 0), EINVAL);
	e[1] = pin_entry(1, KVM_IRQCHIP_PIC_MASTER, 1);
	check_eq(set_routes(vm, 2, e, 0), 0);
	check_eq(set_routes(vm, 0, e, 0), 0);
}

TEST(routes)
{
	struct kt_vcpu *v = VCPU_WITH(idle);
	struct kt_vm *vm = v->vm;
	struct kvm_irq_routing_entry e[2] = { msi_entry(40, 0xfee00000, 0x45), pin_entry(41, KVM_IRQCHIP_IOAPIC, 10) };
	struct kt_thread *t = kt_start(v);

	set_pin(vm, 10, 0x46);
	check_eq(set_routes(vm, 2, e, 0), 0);
	irq_line(vm, 40, 1);
	want_count(vm, 0x45, 1);
	irq_line(vm, 40, 0);
	irq_line(vm, 41, 1);
	want_count(vm, 0x46, 1);
	irq_line(vm, 41, 0);
	irq_line(vm, 10, 1);			/* has no route any more */
	quiet();
	want_count(vm, 0x46, 1);
	for (int i = 0; i < 20; i++) {		/* changed under the running guest */
		e[0] = msi_entry(40, 0xfee00000, 0x47 + i % 3);
		check_eq(set_routes(vm, 1 + i % 2, e, 0), 0);
		irq_line(vm, 40, 1);
		want_count(vm, 0x47 + i % 3, 1 + i / 3);
	}
	kt_stop_well(t);
}

/* The VMM has the IOAPIC: it is told of the EOI of a level-triggered message that belongs to one of its pins. */
TEST(split_eoi)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kvm_irq_routing_entry e[2] = { msi_entry(4, 0xfee00000, 0x8045), msi_entry(5, 0xfee00000, 0x46) };
	struct kt_vcpu *v;

	if (kt_enable_cap(vm->fd, KVM_CAP_SPLIT_IRQCHIP, 24))
		skip("no KVM_CAP_SPLIT_IRQCHIP");
	v = kt_vcpu_new(vm, 0, KT_LONG);
	kt_install_idt(v);
	kt_lapic_on(v);
	kt_load(vm, idle);
	kt_count_vector(v, 0x45, KT_EOI);
	kt_count_vector(v, 0x46, KT_EOI);
	check_eq(set_routes(vm, 2, e, 0), 0);
	for (int i = 1; i < 4; i++) {
		struct kt_thread *t;

		check(msi(vm, 0xfee00000, 0x8045) > 0);
		kt_run(v, KVM_EXIT_IOAPIC_EOI);
		check_eq(v->run->eoi.vector, 0x45);
		check_eq(kt_counted(vm, 0x45), i);
		t = kt_start(v);
		check(msi(vm, 0xfee00000, 0x46) > 0);	/* an edge: nobody is told */
		want_count(vm, 0x46, i);
		kt_stop_well(t);
	}
}

/* A window that the VMM asks for while the pin to the processor is closed must not keep the guest from running. */
TEST(split_window_of_a_closed_pin)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_thread *t;
	struct kt_vcpu *v;
	uint64_t at;

	if (kt_enable_cap(vm->fd, KVM_CAP_SPLIT_IRQCHIP, 24))
		skip("no KVM_CAP_SPLIT_IRQCHIP");
	v = kt_vcpu_new(vm, 0, KT_LONG);
	kt_install_idt(v);
	kt_lapic_on(v);
	kt_lapic_write(v, 0x350, 0x10700);		/* LINT0: ExtINT, masked */
	kt_load(vm, spin_on);
	v->run->request_interrupt_window = 1;
	t = kt_start(v);
	for (int i = 0; i < 3; i++) {
		at = kt_guest_u64(vm, KT_DATA);
		check(kt_wait(kt_guest_u64(vm, KT_DATA) != at), "the guest stands");
	}
	kt_stop_well(t);
	check_eq(v->run->ready_for_interrupt_injection, 0);
	kt_lapic_write(v, 0x350, 0x700);		/* open */
	kt_run(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	check_eq(v->run->ready_for_interrupt_injection, 1);
}

KT_MAIN
