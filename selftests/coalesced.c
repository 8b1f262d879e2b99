// SPDX-License-Identifier: GPL-2.0-only
/* Coalesced zones: writes that are queued in the ring instead of ending KVM_RUN. */
#include "lib/vm.h"

#define ZONE	0x20000000ull

static struct kvm_coalesced_mmio_ring *ring_of(struct kt_vcpu *v)
{
	return (void *)((char *)v->run + 4096 * kt_cap(v->vm, KVM_CAP_COALESCED_MMIO));
}

static long zone(struct kt_vm *vm, unsigned long cmd, uint64_t addr, uint32_t size, uint32_t pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size, .pio = pio };

	return ioctl(vm->fd, cmd, &z);
}

static struct kt_vcpu *coalescing_vcpu(void)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	if (kt_cap(v->vm, KVM_CAP_COALESCED_MMIO) <= 0)
		skip("no KVM_CAP_COALESCED_MMIO");
	return v;
}

GUEST64(three, "mov $0x20000010, %ebx; movl $0x11223344, (%rbx); movb $0x55, 5(%rbx); movq $-2, 8(%rbx); "
	"movw $0x6677, 0xf0(%rbx); hlt");
TEST(writes_are_queued_in_order)
{
	static const struct { uint64_t addr; uint32_t len; uint64_t val; } want[] = {
		{ ZONE + 0x10, 4, 0x11223344 }, { ZONE + 0x15, 1, 0x55 }, { ZONE + 0x18, 8, -2ull },
	};
	struct kt_vcpu *v = coalescing_vcpu();
	struct kvm_coalesced_mmio_ring *r = ring_of(v);

	need_ok(zone(v->vm, KVM_REGISTER_COALESCED_MMIO, ZONE, 0x100, 0));
	kt_load(v->vm, three);
	kt_run(v, KVM_EXIT_MMIO);		/* the last one is behind the zone's end */
	check_eq(v->run->mmio.phys_addr, ZONE + 0x100);
	check_eq(v->run->mmio.len, 2);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(r->first, 0);
	need(r->last == 3, "%u queued", r->last);
	for (int i = 0; i < 3; i++) {
		check_eq(r->coalesced_mmio[i].phys_addr, want[i].addr);
		check_eq(r->coalesced_mmio[i].len, want[i].len);
		check_eq(r->coalesced_mmio[i].pio, 0);
		check(!memcmp(r->coalesced_mmio[i].data, &want[i].val, want[i].len), "entry %d has other data", i);
	}
}

GUEST64(one_read, "mov 0x20000010, %eax; mov %rax, 0x30000; hlt");
TEST(reads_are_the_vmms)
{
	struct kt_vcpu *v = coalescing_vcpu();

	need_ok(zone(v->vm, KVM_REGISTER_COALESCED_MMIO, ZONE, 0x100, 0));
	kt_load(v->vm, one_read);
	kt_run(v, KVM_EXIT_MMIO);
	check_eq(v->run->mmio.is_write, 0);
	*(uint32_t *)v->run->mmio.data = 0xabcd;
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0xabcd);
	check_eq(ring_of(v)->last, 0);
}

GUEST64(many, "mov $0x20000000, %ebx; xor %eax, %eax; 1: mov %eax, (%rbx); inc %eax; cmp $1000, %eax; jne 1b; hlt");
TEST(a_full_ring_exits_and_loses_nothing)
{
	struct kt_vcpu *v = coalescing_vcpu();
	struct kvm_coalesced_mmio_ring *r = ring_of(v);
	uint32_t next = 0, exits = 0, max = (4096 - sizeof(*r)) / sizeof(r->coalesced_mmio[0]);

	need_ok(zone(v->vm, KVM_REGISTER_COALESCED_MMIO, ZONE, 0x100, 0));
	kt_load(v->vm, many);
	for (;;) {
		uint32_t reason = kt_run_any(v), queued = 0;

		for (; r->first != r->last; r->first = (r->first + 1) % max, queued++)
			check_eq(*(uint32_t *)r->coalesced_mmio[r->first].data, next++);
		if (reason == KVM_EXIT_HLT)
			break;
		need(reason == KVM_EXIT_MMIO, "exit %s", kt_exit_name(reason));
		check(queued > max / 4, "left after %u of %u", queued, max);
		check_eq(*(uint32_t *)v->run->mmio.data, next++);
		exits++;
	}
	check_eq(next, 1000);
	check(exits >= 1000 / max, "%u exits", exits);
}

TEST(indexes_of_the_ring_are_not_trusted)
{
	static const uint32_t bad[] = { ~0u, 0x80000000, 170, 4096 };
	struct kt_vcpu *v = coalescing_vcpu();
	struct kvm_coalesced_mmio_ring *r = ring_of(v);

	need_ok(zone(v->vm, KVM_REGISTER_COALESCED_MMIO, ZONE, 0x100, 0));
	for (int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
		kt_load(v->vm, three);
		r->first = 0;
		r->last = bad[i];
		kt_run(v, KVM_EXIT_MMIO);	/* nowhere to put it: an exit */
		check_eq(v->run->mmio.phys_addr, ZONE + 0x10);
		r->last = 0;
	}
}

GUEST64(ports, "mov $0x3f0, %dx; mov $0x77, %al; out %al, (%dx); inc %dx; mov $0x1234, %ax; out %ax, (%dx); in (%dx), %al; hlt");
TEST(ports)
{
	struct kt_vcpu *v = coalescing_vcpu();
	struct kvm_coalesced_mmio_ring *r = ring_of(v);

	if (!kt_cap(v->vm, KVM_CAP_COALESCED_PIO))
		skip("no KVM_CAP_COALESCED_PIO");
	need_ok(zone(v->vm, KVM_REGISTER_COALESCED_MMIO, 0x3f0, 8, 1));
	kt_load(v->vm, ports);
	kt_run(v, KVM_EXIT_IO);
	check_eq(v->run->io.direction, KVM_EXIT_IO_IN);
	kt_run(v, KVM_EXIT_HLT);
	need(r->last == 2, "%u queued", r->last);
	check_eq(r->coalesced_mmio[0].phys_addr, 0x3f0);
	check_eq(r->coalesced_mmio[0].pio, 1);
	check_eq(r->coalesced_mmio[0].data[0], 0x77);
	check_eq(r->coalesced_mmio[1].phys_addr, 0x3f1);
	check_eq(r->coalesced_mmio[1].len, 2);
	check_eq(*(uint16_t *)r->coalesced_mmio[1].data, 0x1234);
}

TEST(a_zone_ends)
{
	struct kt_vcpu *v = coalescing_vcpu();

	need_ok(zone(v->vm, KVM_REGISTER_COALESCED_MMIO, ZONE, 0x100, 0));
	need_ok(zone(v->vm, KVM_UNREGISTER_COALESCED_MMIO, ZONE, 0x100, 0));
	kt_load(v->vm, three);
	kt_run(v, KVM_EXIT_MMIO);
	check_eq(v->run->mmio.phys_addr, ZONE + 0x10);
	check_eq(ring_of(v)->last, 0);
	/* One that was never there: no error, as VMMs expect. */
	check_eq(zone(v->vm, KVM_UNREGISTER_COALESCED_MMIO, ZONE + 0x1000, 0x100, 0), 0);
}

TEST(refused)
{
	struct kt_vcpu *v = coalescing_vcpu();

	check_err(zone(v->vm, KVM_REGISTER_COALESCED_MMIO, ZONE, 0x100, 2), EINVAL);
	check_err(zone(v->vm, KVM_UNREGISTER_COALESCED_MMIO, ZONE, 0x100, 2), EINVAL);
	check_err(ioctl(v->vm->fd, KVM_REGISTER_COALESCED_MMIO, (void *)8), EFAULT);
	if (!kt_distro()) {		/* which takes an empty zone and one over the end of the address space */
		check_err(zone(v->vm, KVM_REGISTER_COALESCED_MMIO, ZONE, 0, 0), EINVAL);
		check_err(zone(v->vm, KVM_REGISTER_COALESCED_MMIO, -0x10ull, 0x100, 0), EINVAL);
	}
}

KT_MAIN
