// SPDX-License-Identifier: GPL-2.0-only
/* eventfds that raise interrupts, and writes of the guest that signal eventfds. */
#include <sys/eventfd.h>
#include <poll.h>
#include "lib/access.h"

GUEST64(idle, "sti\n 1: hlt\n incq 0x30000\n jmp 1b\n");
/* What rdi, rax and rcx name: OUT of 1, 2, 4 bytes, then to KT_PORT. */
GUEST64(outs, "mov %edi, %edx\n cmp $1, %ecx\n jne 1f\n out %al, %dx\n jmp 3f\n 1: cmp $2, %ecx\n jne 2f\n out %ax, %dx\n jmp 3f\n"
	"2: out %eax, %dx\n 3: mov $0x1000, %edx\n out %eax, %dx\n hlt\n");
/* The same for memory at rdi. */
GUEST64(stores, "cmp $1, %ecx\n jne 1f\n mov %al, (%rdi)\n jmp 4f\n 1: cmp $2, %ecx\n jne 2f\n mov %ax, (%rdi)\n jmp 4f\n"
	"2: cmp $4, %ecx\n jne 3f\n mov %eax, (%rdi)\n jmp 4f\n 3: mov %rax, (%rdi)\n 4: mov $0x1000, %edx\n out %eax, %dx\n hlt\n");

static int event(void)
{
	return need_ok(eventfd(0, EFD_NONBLOCK));
}

/* Its count, which is 0 afterwards. */
static uint64_t taken(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, 8) == 8 ? n : 0;
}

static void signal_event(int fd)
{
	uint64_t one = 1;

	check_eq(write(fd, &one, 8), 8);
}

/* --- irqfd --- */

static int irqfd(struct kt_vm *vm, int fd, uint32_t gsi, uint32_t flags, int resample)
{
	struct kvm_irqfd f = { .fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resample };

	return ioctl(vm->fd, KVM_IRQFD, &f);
}

static void set_pin(struct kt_vm *vm, int pin, uint64_t entry)
{
	struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC };

	need_ok(ioctl(vm->fd, KVM_GET_IRQCHIP, &c));
	c.chip.ioapic.redirtbl[pin].bits = entry;
	need_ok(ioctl(vm->fd, KVM_SET_IRQCHIP, &c));
}

static void route_msi(struct kt_vm *vm, uint32_t gsi, uint32_t data)
{
	struct kvm_irq_routing *r = calloc(1, sizeof(*r) + sizeof(r->entries[0]));

	r->nr = 1;
	r->entries[0] = (struct kvm_irq_routing_entry){ .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { 0xfee00000, 0, data } };
	need_ok(ioctl(vm->fd, KVM_SET_GSI_ROUTING, r));
	free(r);
}

static struct kt_vcpu *irq_vcpu(void)
{
	struct kt_vcpu *v = kt_long_vcpu(true);

	kt_load(v->vm, idle);
	kt_lapic_on(v);
	kt_lapic_write(v, 0x350, 0x10000);
	for (int vec = 0x40; vec < 0x48; vec++)
		kt_count_vector(v, vec, KT_EOI);
	return v;
}

#define want_count(vm, vec, n)	check(kt_wait(kt_counted(vm, vec) == (n)), "vector %#x was taken %lu times, want %d", vec,	\
				      kt_counted(vm, vec), n)

TEST(irqfd_refused)
{
	struct kt_vm *vm = kt_vm_new(0, true), *plain = kt_vm_new(0, false);
	int e = event(), r = event(), file = fileno(stdout);

	check_err(irqfd(plain, e, 10, 0, 0), EINVAL);
	check_err(irqfd(vm, -1, 10, 0, 0), EBADF);
	check_err(irqfd(vm, 999, 10, 0, 0), EBADF);
	check_err(irqfd(vm, file, 10, 0, 0), EINVAL);
	check_err(irqfd(vm, e, 10, 4, 0), EINVAL);
	check_err(irqfd(vm, e, 10, 1u << 31, 0), EINVAL);
	if (!kt_distro())
		check_err(irqfd(vm, e, 0x7fffffff, 0, 0), EINVAL);
	check_err(irqfd(vm, e, 10, KVM_IRQFD_FLAG_RESAMPLE, -1), EBADF);
	check_err(irqfd(vm, e, 10, KVM_IRQFD_FLAG_RESAMPLE, file), EINVAL);
	check_eq(irqfd(vm, e, 10, 0, 0), 0);
	check_err(irqfd(vm, e, 10, 0, 0), EBUSY);
	check_err(irqfd(vm, e, 11, 0, 0), EBUSY);
	check_eq(irqfd(vm, r, 10, 0, 0), 0);		/* two for one GSI */
	check_eq(irqfd(vm, e, 10, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	check_eq(irqfd(vm, e, 10, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);	/* nothing there: no error */
	check_err(irqfd(vm, -1, 10, KVM_IRQFD_FLAG_DEASSIGN, 0), EBADF);
	check_eq(irqfd(vm, e, 11, 0, 0), 0);
}

TEST(irqfd_edge)
{
	struct kt_vcpu *v = irq_vcpu();
	struct kt_thread *t = kt_start(v);
	int e = event();

	set_pin(v->vm, 10, 0x41);
	need_ok(irqfd(v->vm, e, 10, 0, 0));
	for (int i = 1; i <= 10; i++) {
		signal_event(e);
		want_count(v->vm, 0x41, i);
	}
	check_eq(taken(e), 0);				/* KVM has taken the count */
	need_ok(irqfd(v->vm, e, 10, KVM_IRQFD_FLAG_DEASSIGN, 0));
	signal_event(e);
	usleep(20000);
	want_count(v->vm, 0x41, 10);
	check_eq(taken(e), 1);
	kt_stop_well(t);
}

/* Before its route, with an event pending; and it follows the route. */
TEST(irqfd_msi)
{
	struct kt_vcpu *v = irq_vcpu();
	struct kt_thread *t = kt_start(v);
	int e = event();

	need_ok(irqfd(v->vm, e, 50, 0, 0));
	signal_event(e);				/* goes nowhere */
	usleep(20000);
	route_msi(v->vm, 50, 0x42);
	for (int i = 1; i <= 10; i++) {
		signal_event(e);
		want_count(v->vm, 0x42, i);
	}
	route_msi(v->vm, 50, 0x43);
	signal_event(e);
	want_count(v->vm, 0x43, 1);
	want_count(v->vm, 0x42, 10);
	kt_stop_well(t);
}

TEST(irqfd_signalled_before)
{
	struct kt_vcpu *v = irq_vcpu();
	struct kt_thread *t = kt_start(v);
	int e = event();

	route_msi(v->vm, 50, 0x42);
	signal_event(e);
	need_ok(irqfd(v->vm, e, 50, 0, 0));
	want_count(v->vm, 0x42, 1);
	kt_stop_well(t);
}

TEST(irqfd_closed)
{
	struct kt_vcpu *v = irq_vcpu();
	struct kt_thread *t = kt_start(v);

	route_msi(v->vm, 50, 0x42);
	for (int i = 0; i < 50; i++) {
		int e = event();

		need_ok(irqfd(v->vm, e, 50, 0, 0));
		if (i & 1) {
			signal_event(e);
			want_count(v->vm, 0x42, (i + 1) / 2);
		}
		close(e);
	}
	want_count(v->vm, 0x42, 25);
	kt_stop_well(t);
}

TEST(resample)
{
	struct kt_vcpu *v = irq_vcpu();
	struct kt_thread *t;
	int e = event(), r = event();
	struct pollfd p = { .fd = r, .events = POLLIN };

	set_pin(v->vm, 11, 0x43 | 1 << 15);
	need_ok(irqfd(v->vm, e, 11, KVM_IRQFD_FLAG_RESAMPLE, r));
	t = kt_start(v);
	for (int i = 1; i <= 10; i++) {
		signal_event(e);
		want_count(v->vm, 0x43, i);
		check_eq(poll(&p, 1, 5000), 1);		/* the guest is done: the device looks again */
		check_eq(taken(r), 1);
	}
	usleep(20000);
	want_count(v->vm, 0x43, 10);			/* and the line is down */
	need_ok(irqfd(v->vm, e, 11, KVM_IRQFD_FLAG_DEASSIGN, 0));
	signal_event(e);
	usleep(20000);
	want_count(v->vm, 0x43, 10);
	kt_stop_well(t);
}

TEST(resample_shared)
{
	struct kt_vcpu *v = irq_vcpu();
	struct kt_thread *t = kt_start(v);
	int e[2] = { event(), event() }, r[2] = { event(), event() };

	set_pin(v->vm, 11, 0x43 | 1 << 15);
	for (int i = 0; i < 2; i++)
		need_ok(irqfd(v->vm, e[i], 11, KVM_IRQFD_FLAG_RESAMPLE, r[i]));
	signal_event(e[0]);
	want_count(v->vm, 0x43, 1);
	check(kt_wait(taken(r[0]) == 1));
	check(kt_wait(taken(r[1]) == 1), "the other on the line is not told");
	need_ok(irqfd(v->vm, e[0], 11, KVM_IRQFD_FLAG_DEASSIGN, 0));
	signal_event(e[1]);
	want_count(v->vm, 0x43, 2);
	check(kt_wait(taken(r[1]) == 1));
	check_eq(taken(r[0]), 0);
	kt_stop_well(t);
}

/* All orders of closing eventfd, resample eventfd and VM. */
TEST(resample_closed_in_any_order)
{
	static const int order[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	for (int i = 0; i < 12; i++) {
		struct kt_vm *vm = kt_vm_new(0, true);
		int fds[3] = { event(), event(), vm->fd };

		need_ok(irqfd(vm, fds[0], 11, KVM_IRQFD_FLAG_RESAMPLE, fds[1]));
		if (i & 1)
			signal_event(fds[0]);
		for (int k = 0; k < 3; k++)
			check_eq(close(fds[order[i / 2][k]]), 0);
	}
}

/* --- ioeventfd --- */

static int ioeventfd(struct kt_vm *vm, int fd, uint64_t addr, uint32_t len, uint32_t flags, uint64_t data)
{
	struct kvm_ioeventfd f = { .datamatch = data, .addr = addr, .len = len, .fd = fd, .flags = flags };

	return ioctl(vm->fd, KVM_IOEVENTFD, &f);
}
#define PIO	KVM_IOEVENTFD_FLAG_PIO
#define MATCH	KVM_IOEVENTFD_FLAG_DATAMATCH
#define GONE	KVM_IOEVENTFD_FLAG_DEASSIGN

static struct kt_vcpu *io_vcpu(void)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, outs);
	kt_put(v->vm, KT_CODE + 0x100, stores, stores_end - stores);
	return v;
}

/* True: the write did not come to the VMM. */
static bool swallowed(struct kt_vcpu *v, bool pio, uint64_t addr, int len, uint64_t val)
{
	struct kvm_regs r = kt_regs(v);
	bool mine;

	r.rip = pio ? KT_CODE : KT_CODE + 0x100;
	r.rdi = addr;
	r.rax = val;
	r.rcx = len;
	kt_set_regs(v, &r);
	need_ok(ioctl(v->fd, KVM_RUN, 0));
	mine = v->run->exit_reason == (pio ? KVM_EXIT_IO : KVM_EXIT_MMIO) &&
	       (pio ? v->run->io.port == addr : v->run->mmio.phys_addr == addr);
	if (!mine)
		need(v->run->exit_reason == KVM_EXIT_IO && v->run->io.port == KT_PORT, "exit %s", kt_exit_name(v->run->exit_reason));
	else
		kt_finish(v);
	return !mine;
}

TEST(ioeventfd_refused)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	int e = event(), e2 = event();

	check_err(ioeventfd(vm, -1, 0x500, 2, PIO, 0), EBADF);
	check_err(ioeventfd(vm, fileno(stdout), 0x500, 2, PIO, 0), EINVAL);
	check_err(ioeventfd(vm, e, 0x500, 3, PIO, 0), EINVAL);
	check_err(ioeventfd(vm, e, 0x500, 16, PIO, 0), EINVAL);
	check_err(ioeventfd(vm, e, -1ull, 2, 0, 0), EINVAL);
	check_err(ioeventfd(vm, e, 0x500, 2, 1u << 10, 0), EINVAL);
	check_err(ioeventfd(vm, e, 0x500, 0, MATCH, 0), EINVAL);
	check_err(ioeventfd(vm, e, 0x500, 2, PIO | GONE, 0), ENOENT);
	check_eq(ioeventfd(vm, e, 0x500, 2, PIO | MATCH, 1), 0);
	check_err(ioeventfd(vm, e2, 0x500, 2, PIO | MATCH, 1), EEXIST);
	check_eq(ioeventfd(vm, e2, 0x500, 2, PIO | MATCH, 2), 0);
	check_err(ioeventfd(vm, e2, 0x500, 2, PIO, 0), EEXIST);
	check_eq(ioeventfd(vm, e2, 0x500, 4, PIO, 0), 0);	/* another width is another register */
	check_eq(ioeventfd(vm, e2, 0x500, 2, 0, 0), 0);		/* another space too */
	check_err(ioeventfd(vm, e, 0x500, 2, PIO | MATCH | GONE, 2), ENOENT);	/* not this eventfd's */
	check_err(ioeventfd(vm, e, 0x500, 2, PIO | MATCH | GONE, 3), ENOENT);
	check_eq(ioeventfd(vm, e, 0x500, 2, PIO | MATCH | GONE, 1), 0);
	check_err(ioeventfd(vm, e, 0x500, 2, PIO | MATCH | GONE, 1), ENOENT);
	check_eq(ioeventfd(vm, e, 0x500, 2, PIO | MATCH, 1), 0);
}

static void any_value(bool pio, uint64_t addr)
{
	struct kt_vcpu *v = io_vcpu();
	int e = event();

	need_ok(ioeventfd(v->vm, e, addr, 4, pio ? PIO : 0, 0));
	check(swallowed(v, pio, addr, 4, 0x1234));
	check_eq(taken(e), 1);
	check(swallowed(v, pio, addr, 4, 0));
	check(swallowed(v, pio, addr, 4, -1ull));
	check_eq(taken(e), 2);
	check(!swallowed(v, pio, addr, 2, 0x1234));	/* other widths and neighbours are the VMM's */
	check(!swallowed(v, pio, addr, 1, 0x1234));
	check(!swallowed(v, pio, addr + 4, 4, 0x1234));
	check(!swallowed(v, pio, addr - 4, 4, 0x1234));
	check_eq(taken(e), 0);
	need_ok(ioeventfd(v->vm, e, addr, 4, GONE | (pio ? PIO : 0), 0));
	check(!swallowed(v, pio, addr, 4, 0x1234));
	check_eq(taken(e), 0);
}

TEST(pio_any_value)
{
	any_value(true, 0x500);
}

TEST(mmio_any_value)
{
	any_value(false, 0x20000100);
}

static void matched(bool pio, uint64_t addr)
{
	struct kt_vcpu *v = io_vcpu();
	int e[2] = { event(), event() };

	for (int i = 0; i < 2; i++)
		need_ok(ioeventfd(v->vm, e[i], addr, 2, MATCH | (pio ? PIO : 0), 0x10 + i));
	check(swallowed(v, pio, addr, 2, 0x10));
	check(swallowed(v, pio, addr, 2, 0x11));
	check(swallowed(v, pio, addr, 2, 0x11));
	check(!swallowed(v, pio, addr, 2, 0x12));
	check(!swallowed(v, pio, addr, 4, 0x10));
	check(swallowed(v, pio, addr, 2, 0xffff0010));	/* the upper half is not written */
	check_eq(taken(e[0]), 2);
	check_eq(taken(e[1]), 2);
}

TEST(pio_matched)
{
	matched(true, 0x500);
}

TEST(mmio_matched)
{
	matched(false, 0x20000100);
}

/* Length 0: any width, whatever the value. */
TEST(mmio_any_length)
{
	struct kt_vcpu *v = io_vcpu();
	uint64_t addr = 0x20000200;
	int e = event();

	if (kt_cap(v->vm, KVM_CAP_IOEVENTFD_ANY_LENGTH) <= 0)
		skip("no KVM_CAP_IOEVENTFD_ANY_LENGTH");
	need_ok(ioeventfd(v->vm, e, addr, 0, 0, 0));
	for (int len = 1; len <= 8; len *= 2)
		check(swallowed(v, false, addr, len, 0x77), "width %d", len);
	check_eq(taken(e), 4);
	check(!swallowed(v, false, addr + 4, 4, 0x77));
	check(!swallowed(v, false, addr + 0x1000, 4, 0x77));
	need_ok(ioeventfd(v->vm, e, addr, 0, GONE, 0));
	check(!swallowed(v, false, addr, 4, 0x77));
	check_eq(taken(e), 0);
}

TEST(pio_any_length)
{
	struct kt_vcpu *v = io_vcpu();
	int e = event();

	need_ok(ioeventfd(v->vm, e, 0x510, 0, PIO, 0));
	for (int len = 1; len <= 4; len *= 2)
		check(swallowed(v, true, 0x510, len, 0x77), "width %d", len);
	check_eq(taken(e), 3);
	check(!swallowed(v, true, 0x514, 4, 0x77));
}

/* Reads are never swallowed, and memory put over the place hides it. */
TEST(reads_and_memory)
{
	struct kt_vcpu *v = kt_access_vcpu(false);
	uint64_t *m = kt_mem(KT_PAGE, KT_PAGE);
	int e = event();

	kt_window(v, 0x40000000, 1);
	need_ok(ioeventfd(v->vm, e, 0x40000000, 8, 0, 0));
	check_eq(kt_try_read(v, KT_WINDOW), KVM_EXIT_MMIO);
	kt_finish(v);
	check_eq(kt_try_write(v, KT_WINDOW, 5), KVM_EXIT_IO);
	check_eq(taken(e), 1);
	need_ok(kt_slot(v->vm, 1, 0, 0x40000000, KT_PAGE, m));
	kt_guest_write(v, KT_WINDOW, 6);
	check_eq(m[0], 6);
	check_eq(taken(e), 0);
	need_ok(kt_slot(v->vm, 1, 0, 0, 0, NULL));
	check_eq(kt_try_write(v, KT_WINDOW, 5), KVM_EXIT_IO);
	check_eq(taken(e), 1);
}

TEST(many_doorbells)
{
	struct kt_vcpu *v = io_vcpu();
	int e = event(), n;

	for (n = 0; n < 900; n++)
		need_ok(ioeventfd(v->vm, e, 0x20000000 + n * 4, 4, 0, 0));
	for (int i = 0; i < n; i += 101)
		check(swallowed(v, false, 0x20000000 + i * 4, 4, i));
	check_eq(taken(e), (n + 100) / 101);
	for (int i = 0; i < n; i += 2)
		need_ok(ioeventfd(v->vm, e, 0x20000000 + i * 4, 4, GONE, 0));
	check(!swallowed(v, false, 0x20000000 + 100 * 4, 4, 0));
	check(swallowed(v, false, 0x20000000 + 101 * 4, 4, 0));
}

/* Changed while the guest writes: each write goes to one of both. */
TEST(changed_while_the_guest_writes)
{
	struct kt_vcpu *v = kt_access_vcpu(false);
	struct kt_thread *t;
	int e = event();

	kt_window(v, 0x40000000, 1);
	need_ok(ioeventfd(v->vm, e, 0x40000000, 8, 0, 0));
	need_ok(ioeventfd(v->vm, e, 0x40000008, 8, 0, 0));
	kt_fill(v, KT_WINDOW, 1, 0, KT_DATA);
	t = kt_start(v);
	for (int i = 0; i < 100; i++) {
		uint64_t n = kt_guest_u64(v->vm, KT_DATA);

		need_ok(ioeventfd(v->vm, e, 0x40000008, 8, i & 1 ? 0 : GONE, 0));
		need(kt_wait(kt_guest_u64(v->vm, KT_DATA) > n), "the guest stands");
	}
	kt_stop_well(t);
	check(taken(e) + 1 >= kt_guest_u64(v->vm, KT_DATA), "signals are lost");
}

/* The eventfd and the VM go in either order. */
TEST(closed_in_any_order)
{
	for (int i = 0; i < 2; i++) {
		struct kt_vcpu *v = io_vcpu();
		int e = event();

		need_ok(ioeventfd(v->vm, e, 0x500, 4, PIO, 0));
		if (i) {
			close(e);			/* KVM holds it: writes go there still */
			check(swallowed(v, true, 0x500, 4, 1));
		}
		close(v->vm->fd);
		kt_vcpu_free(v);
		if (!i) {
			check_eq(taken(e), 0);
			close(e);
		}
	}
}

KT_MAIN
