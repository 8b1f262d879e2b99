// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocations and copies from and to user space that fail inside calls, one after the other: the n-th of a call fails, for n = 1,
 * 2, ... until the call has fewer than n of them (fail-nth of the kernel's fault injection). Each call then either succeeds all
 * the same or says ENOMEM or EFAULT; made again it succeeds, and what it did is right. The host's log is part of the result.
 *
 * Stock kernels have no fault injection; tools/lab's debug kernel has.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <kvm/abi.h>
#include "lib/access.h"

#define LIMIT	3000		/* faults in one call: more means that counting has gone wrong */
#define SECONDS	600
#define HOLE	0x30000000ull	/* guest memory of slot 1, and virtual: pages come one by one */
#define DEVICE	0x38000000ull	/* no memory */

static struct kt_vm *vm;
static struct kt_vcpu *v;
static int nth_fd;
static unsigned int nth;		/* the fault of this round */
static bool hit;			/* it was */

/* --- injection --- */

static bool setting(const char *dir, const char *file, const char *value)
{
	char path[128];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", dir, file);
	fd = open(path, O_WRONLY);
	done = fd >= 0 && write(fd, value, strlen(value)) == strlen(value);
	if (fd >= 0)
		close(fd);
	return done;
}

/* Which allocations count: those that may sleep too, of any order; each failure leaves no trace in the log, unless asked to. */
static void injection(void)
{
	const char *words = getenv("KVM_SELFTEST_FAULTS") ?: "0";

	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	if (nth_fd < 0)
		skip("the host kernel has no fault injection");
	if (!setting("failslab", "ignore-gfp-wait", "N") || !setting("fail_page_alloc", "ignore-gfp-wait", "N") ||
	    !setting("fail_page_alloc", "ignore-gfp-highmem", "N") || !setting("fail_page_alloc", "min-order", "0"))
		skip("fault injection without failslab or fail_page_alloc in debugfs");
	setting("failslab", "verbose", words);
	setting("fail_page_alloc", "verbose", words);
	setting("fail_usercopy", "verbose", words);
	alarm(SECONDS);
}

/* Writing counts too, before it takes effect. */
static void arm(unsigned int n)
{
	char s[16];

	sprintf(s, "%u", n);
	need(pwrite(nth_fd, s, strlen(s), 0) > 0 || pwrite(nth_fd, s, strlen(s), 0) > 0, "fail-nth: %s", strerror(errno));
}

/* Was the fault used up? Reading counts itself, after it took the number: it fails only when it is the n-th. */
static bool fired(void)
{
	char s[16] = "";
	bool left = pread(nth_fd, s, sizeof(s) - 1, 0) < 0 || atoi(s);

	arm(0);
	return !left;
}

/* A call that has the fault of this round, unless an earlier one had it. */
#define FAULTY(call)	({ arm(hit ? 0 : nth); long r__ = (call); int e__ = errno; hit = fired() || hit; errno = e__; r__; })

/*
 * before() and after() are not under a fault; call() uses FAULTY() round what is. after() gets what the call that succeeded gave,
 * looks at what it did and undoes it.
 */
static void sweep_(const char *what, void (*before)(void), long (*call)(void), void (*after)(long ret))
{
	unsigned int failed = 0;

	for (nth = 1, hit = true; hit; nth++) {
		long ret;

		need(nth < LIMIT, "%s: no end of faults", what);
		if (before)
			before();
		hit = false;
		ret = call();
		if (ret < 0) {
			failed++;
			need(hit, "%s fails without a fault: %s", what, strerror(errno));
			check(errno == ENOMEM || errno == EFAULT, "%s with fault %u: %s", what, nth, strerror(errno));
			ret = call();
			need(ret >= 0, "%s after fault %u: %s", what, nth, strerror(errno));
		}
		if (after)
			after(ret);
	}
	need(nth > 2, "%s: nothing in it can fail", what);
	printf("# %s: %u faults, %u failures\n", what, nth - 2, failed);
}
#define sweep(before, call, after)	sweep_(#call, before, call, after)

static void close_it(long fd)
{
	check_eq(close(fd), 0);
}

static void new_vm(void)
{
	vm = kt_vm_new(1 << 20, false);
}

static void new_vm_irqchip(void)
{
	vm = kt_vm_new(1 << 20, true);
}

static void end_vm(long ret)
{
	kt_vm_free(vm);
}

/* Copies and calls that say how many: fewer than all is no success. */
static long all(long ret, long want)
{
	if (ret >= 0 && ret != want) {
		errno = EPROTO;
		return -1;
	}
	return ret;
}

/* --- /dev/kvm --- */

static int kvm_fd;

static long create_vm(void)
{
	return FAULTY(ioctl(kvm_fd, KVM_CREATE_VM, 0));
}

static struct kvm_cpuid2 *cpuid_before, *cpuid_now;
#define CPUID_BYTES(n)	(sizeof(*cpuid_now) + (n) * sizeof(cpuid_now->entries[0]))

static void cpuid_room(void)
{
	memset(cpuid_now, 0, CPUID_BYTES(100));
	cpuid_now->nent = 100;
}

static long supported_cpuid(void)
{
	cpuid_room();
	return FAULTY(ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid_now));
}

static void same_cpuid(long ret)
{
	check_eq(cpuid_now->nent, cpuid_before->nent);
}

static long emulated_cpuid(void)
{
	cpuid_room();
	return FAULTY(ioctl(kvm_fd, KVM_GET_EMULATED_CPUID, cpuid_now));
}

static struct { struct kvm_msr_list l; uint32_t index[400]; } msr_list;

static long msr_index_list(void)
{
	msr_list.l.nmsrs = 400;
	return FAULTY(ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &msr_list));
}

static long feature_index_list(void)
{
	msr_list.l.nmsrs = 400;
	return FAULTY(ioctl(kvm_fd, KVM_GET_MSR_FEATURE_INDEX_LIST, &msr_list));
}

static struct { struct kvm_msrs h; struct kvm_msr_entry e[400]; } msrs;

static long feature_msrs(void)
{
	msrs.h.nmsrs = msr_list.l.nmsrs;
	for (int i = 0; i < msr_list.l.nmsrs; i++)
		msrs.e[i].index = msr_list.index[i];
	return all(FAULTY(ioctl(kvm_fd, KVM_GET_MSRS, &msrs)), msrs.h.nmsrs);
}

TEST(system_calls)
{
	injection();
	kvm_fd = need_ok(open("/dev/kvm", O_RDWR | O_CLOEXEC));
	cpuid_before = kt_supported_cpuid(kvm_fd);
	cpuid_now = malloc(CPUID_BYTES(100));
	sweep(NULL, supported_cpuid, same_cpuid);
	sweep(NULL, emulated_cpuid, NULL);
	sweep(NULL, msr_index_list, NULL);
	sweep(NULL, feature_index_list, NULL);
	sweep(NULL, feature_msrs, NULL);
}

TEST(create_a_vm)
{
	injection();
	kvm_fd = need_ok(open("/dev/kvm", O_RDWR | O_CLOEXEC));
	sweep(NULL, create_vm, close_it);
}

/* --- the VM --- */

static long create_vcpu(void)
{
	return FAULTY(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
}

static void end_vcpu_and_vm(long ret)
{
	close_it(ret);
	end_vm(0);
}

TEST(create_a_vcpu)
{
	injection();
	sweep(new_vm, create_vcpu, end_vcpu_and_vm);
}

TEST(create_a_vcpu_with_apic)
{
	injection();
	sweep(new_vm_irqchip, create_vcpu, end_vcpu_and_vm);
}

static long create_irqchip(void)
{
	return FAULTY(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0));
}

static void irqchip_is_there(long ret)
{
	struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_irq_level l = { .irq = 5, .level = 1 };

	check_eq(ioctl(vm->fd, KVM_GET_IRQCHIP, &c), 0);
	check_eq(ioctl(vm->fd, KVM_IRQ_LINE, &l), 0);
	check_err(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), EEXIST);
	end_vm(0);
}

static long split_irqchip(void)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	return FAULTY(ioctl(vm->fd, KVM_ENABLE_CAP, &c));
}

static long create_pit(void)
{
	struct kvm_pit_config c = { .flags = KVM_PIT_SPEAKER_DUMMY };

	return FAULTY(ioctl(vm->fd, KVM_CREATE_PIT2, &c));
}

static void pit_is_there(long ret)
{
	struct kvm_pit_state2 s;

	check_eq(ioctl(vm->fd, KVM_GET_PIT2, &s), 0);
	end_vm(0);
}

TEST(create_interrupt_controllers)
{
	injection();
	sweep(new_vm, create_irqchip, irqchip_is_there);
	sweep(new_vm, split_irqchip, end_vm);
	sweep(new_vm_irqchip, create_pit, pit_is_there);
}

static void *ram;
static uint64_t slot_size;
static uint32_t slot_flags;
static uint64_t slot_gpa;

static long set_slot(void)
{
	struct kvm_userspace_memory_region r = { 1, slot_flags, slot_gpa, slot_size, (uintptr_t)ram };

	return FAULTY(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r));
}

static void slot_is(uint32_t flags, uint64_t gpa, uint64_t size)
{
	slot_flags = flags;
	slot_gpa = gpa;
	slot_size = size;
}

/* Slot 1 is not there, whether it was or not. */
static void delete_slot(void)
{
	if (kt_slot(vm, 1, 0, 0, 0, NULL))
		check_eq(errno, EINVAL);
}

static void no_slot(void)
{
	delete_slot();
	slot_is(0, HOLE, 2 * KT_BIG);
}

static void no_slot_logged(void)
{
	no_slot();
	slot_flags = KVM_MEM_LOG_DIRTY_PAGES;
}

static void a_slot(uint32_t flags)
{
	delete_slot();
	need_ok(kt_slot(vm, 1, flags, HOLE, 2 * KT_BIG, ram));
	kt_guest_write(v, HOLE, 1);
	kt_guest_write(v, HOLE + KT_BIG, 2);
}

static void slot_to_log(void)
{
	a_slot(0);
	slot_is(KVM_MEM_LOG_DIRTY_PAGES, HOLE, 2 * KT_BIG);
}

static void slot_to_forget(void)
{
	a_slot(KVM_MEM_LOG_DIRTY_PAGES);
	slot_is(0, HOLE, 2 * KT_BIG);
}

static void slot_to_move(void)
{
	a_slot(KVM_MEM_LOG_DIRTY_PAGES);
	slot_is(KVM_MEM_LOG_DIRTY_PAGES, HOLE + 4 * KT_BIG, 2 * KT_BIG);
}

static void slot_to_delete(void)
{
	a_slot(0);
	slot_is(0, 0, 0);
}

/* The guest sees the slot where it was put last, and a log has what it writes. */
static void slot_works(long ret)
{
	uint64_t n = kt_guest_u64(vm, 0);

	if (!slot_size) {
		check_eq(kt_try_read(v, HOLE), KVM_EXIT_MMIO);
		kt_finish(v);
		return;
	}
	*(volatile uint64_t *)ram = ++n;
	check_eq(kt_guest_read(v, slot_gpa), n);
	kt_guest_write(v, slot_gpa + 3 * KT_PAGE, n);
	check_eq(*(volatile uint64_t *)(ram + 3 * KT_PAGE), n);
	if (slot_flags) {
		static uint64_t bits[16];
		struct kvm_dirty_log l = { .slot = 1, .dirty_bitmap = bits };

		need_ok(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &l));
		check(bits[0] & 8, "a write is not in the log: %lx", bits[0]);
	}
}

/* A vCPU and a window of 8 large pages from HOLE on, where the guest's addresses are guest-physical ones. */
static void machine(bool irqchip)
{
	injection();
	v = kt_access_vcpu(irqchip);
	vm = v->vm;
	ram = kt_mem(2 * KT_BIG, KT_BIG);
}

TEST(memory_slots)
{
	machine(false);
	sweep(no_slot, set_slot, slot_works);
	sweep(no_slot_logged, set_slot, slot_works);
	sweep(slot_to_log, set_slot, slot_works);
	sweep(slot_to_forget, set_slot, slot_works);
	sweep(slot_to_move, set_slot, slot_works);
	sweep(slot_to_delete, set_slot, slot_works);
}

static uint64_t log_bits[16];

static void slot_logged(void)
{
	a_slot(KVM_MEM_LOG_DIRTY_PAGES);
	memset(log_bits, 0, sizeof(log_bits));
}

static long get_dirty_log(void)
{
	struct kvm_dirty_log l = { .slot = 1, .dirty_bitmap = log_bits };

	return FAULTY(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &l));
}

static long clear_dirty_log(void)
{
	struct kvm_clear_dirty_log l = { .slot = 1, .num_pages = 1024, .dirty_bitmap = log_bits };

	log_bits[0] = log_bits[8] = ~0ull;
	return FAULTY(ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &l));
}

/* Whatever the call that failed took out of the log: what is written now is in it. */
static void log_works(long ret)
{
	struct kvm_dirty_log l = { .slot = 1, .dirty_bitmap = log_bits };

	kt_guest_write(v, HOLE + 5 * KT_PAGE, nth);
	need_ok(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &l));
	check(log_bits[0] & 1 << 5, "a write is not in the log: %lx", log_bits[0]);
}

TEST(dirty_log)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 1 } };

	machine(false);
	sweep(slot_logged, get_dirty_log, log_works);
	need_ok(ioctl(vm->fd, KVM_ENABLE_CAP, &c));
	sweep(slot_logged, get_dirty_log, log_works);
	sweep(slot_logged, clear_dirty_log, log_works);
}

/* --- eventfds, routes, zones, devices, filters --- */

static int event, event2;

static void irqfd_(uint32_t flags)
{
	struct kvm_irqfd f = { .fd = event, .gsi = 9, .flags = flags, .resamplefd = event2 };

	need_ok(ioctl(vm->fd, KVM_IRQFD, &f));
}

static long irqfd_on(void)
{
	struct kvm_irqfd f = { .fd = event, .gsi = 9 };

	return FAULTY(ioctl(vm->fd, KVM_IRQFD, &f));
}

static long irqfd_resample(void)
{
	struct kvm_irqfd f = { .fd = event, .gsi = 9, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = event2 };

	return FAULTY(ioctl(vm->fd, KVM_IRQFD, &f));
}

/* The eventfd's count is taken, so the irqfd is there; and it can go. */
static void irqfd_works(long ret)
{
	uint64_t one = 1;

	check_eq(write(event, &one, 8), 8);
	check(kt_wait(read(event, &one, 8) < 0));
	irqfd_(KVM_IRQFD_FLAG_DEASSIGN);
}

static void irqfd_there(void)
{
	irqfd_(0);
}

static long irqfd_off(void)
{
	struct kvm_irqfd f = { .fd = event, .gsi = 9, .flags = KVM_IRQFD_FLAG_DEASSIGN };

	return FAULTY(ioctl(vm->fd, KVM_IRQFD, &f));
}

static long set_routes(void)
{
	static struct { struct kvm_irq_routing h; struct kvm_irq_routing_entry e[64]; } r;

	r.h.nr = 64;
	for (int i = 0; i < 64; i++)
		r.e[i] = (struct kvm_irq_routing_entry){ .gsi = i, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { 0xfee00000, 0, 0x30 } };
	return FAULTY(ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r));
}

static long ioevent(uint32_t flags, uint64_t addr)
{
	struct kvm_ioeventfd e = { .addr = addr, .len = 4, .fd = event, .flags = flags };

	return ioctl(vm->fd, KVM_IOEVENTFD, &e);
}

static long ioeventfd_mmio(void)
{
	return FAULTY(ioevent(0, DEVICE));
}

static long ioeventfd_port(void)
{
	return FAULTY(ioevent(KVM_IOEVENTFD_FLAG_PIO, 0x500));
}

static long ioeventfd_off(void)
{
	return FAULTY(ioevent(KVM_IOEVENTFD_FLAG_DEASSIGN, DEVICE));
}

static void ioeventfd_there(void)
{
	need_ok(ioevent(0, DEVICE));
}

static void ioeventfd_end(long ret)
{
	need_ok(ioevent(KVM_IOEVENTFD_FLAG_DEASSIGN, DEVICE));
}

static void ioeventfd_port_end(long ret)
{
	need_ok(ioevent(KVM_IOEVENTFD_FLAG_DEASSIGN | KVM_IOEVENTFD_FLAG_PIO, 0x500));
}

/* Everything about it is gone: once more is not found, and it can be there again. */
static void ioeventfd_gone(long ret)
{
	check_err(ioevent(KVM_IOEVENTFD_FLAG_DEASSIGN, DEVICE), ENOENT);
	need_ok(ioevent(0, DEVICE));
	need_ok(ioevent(KVM_IOEVENTFD_FLAG_DEASSIGN, DEVICE));
}

TEST(eventfds)
{
	machine(true);
	event = need_ok(eventfd(0, EFD_NONBLOCK));
	event2 = need_ok(eventfd(0, EFD_NONBLOCK));
	sweep(NULL, irqfd_on, irqfd_works);
	sweep(NULL, irqfd_resample, irqfd_works);
	sweep(irqfd_there, irqfd_off, NULL);
	sweep(NULL, ioeventfd_mmio, ioeventfd_end);
	sweep(NULL, ioeventfd_port, ioeventfd_port_end);
	sweep(ioeventfd_there, ioeventfd_off, ioeventfd_gone);
	sweep(NULL, set_routes, NULL);
}

static long zone(unsigned long cmd)
{
	struct kvm_coalesced_mmio_zone z = { .addr = DEVICE, .size = 0x100 };

	return ioctl(vm->fd, cmd, &z);
}

static long zone_on(void)
{
	return FAULTY(zone(KVM_REGISTER_COALESCED_MMIO));
}

static long zone_off(void)
{
	return FAULTY(zone(KVM_UNREGISTER_COALESCED_MMIO));
}

static void zone_there(void)
{
	need_ok(zone(KVM_REGISTER_COALESCED_MMIO));
}

static struct kvm_coalesced_mmio_ring *ring(void)
{
	return (void *)v->run + KT_PAGE * kt_cap(vm, KVM_CAP_COALESCED_MMIO);
}

static void zone_works(long ret)
{
	uint32_t last = ring()->last;

	check_eq(kt_try_write(v, DEVICE, 1), KVM_EXIT_IO);
	check(ring()->last != last, "a write is not in the ring");
	ring()->first = ring()->last;
	need_ok(zone(KVM_UNREGISTER_COALESCED_MMIO));
}

static void zone_gone(long ret)
{
	check_eq(kt_try_write(v, DEVICE, 1), KVM_EXIT_MMIO);
	kt_finish(v);
}

static long vfio_device(void)
{
	struct kvm_create_device d = { .type = KVM_DEV_TYPE_VFIO };
	long ret = FAULTY(ioctl(vm->fd, KVM_CREATE_DEVICE, &d));

	return ret < 0 ? ret : d.fd;
}

/* One of them a VM: it ends with it. */
static void vfio_end(long ret)
{
	close_it(ret);
	end_vm(0);
}

static long vm_stats(void)
{
	return FAULTY(ioctl(vm->fd, KVM_GET_STATS_FD, NULL));
}

static long vcpu_stats(void)
{
	return FAULTY(ioctl(v->fd, KVM_GET_STATS_FD, NULL));
}

static long msr_filter(void)
{
	static uint8_t bits[0x600];
	struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };

	for (int i = 0; i < 3; i++)
		f.ranges[i] = (struct kvm_msr_filter_range){ KVM_MSR_FILTER_READ, 0x1000, 0xc0000000 + i * 0x1000, bits };
	return FAULTY(ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
}

static void no_filter(long ret)
{
	struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };

	need_ok(ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
}

TEST(zones_statistics_filters)
{
	machine(false);
	sweep(NULL, zone_on, zone_works);
	sweep(zone_there, zone_off, zone_gone);
	sweep(NULL, vm_stats, close_it);
	sweep(NULL, vcpu_stats, close_it);
	sweep(NULL, msr_filter, no_filter);
}

TEST(devices)
{
	injection();
	sweep(new_vm, vfio_device, vfio_end);
}

/* --- the vCPU's state --- */

static long set_cpuid2(void)
{
	return FAULTY(ioctl(v->fd, KVM_SET_CPUID2, cpuid_before));
}

static long get_cpuid2(void)
{
	cpuid_room();
	return FAULTY(ioctl(v->fd, KVM_GET_CPUID2, cpuid_now));
}

static void cpuid_is_set(long ret)
{
	cpuid_room();
	need_ok(ioctl(v->fd, KVM_GET_CPUID2, cpuid_now));
	check_eq(cpuid_now->nent, cpuid_before->nent);
	for (int i = 0; i < cpuid_before->nent; i++)
		check_eq(cpuid_now->entries[i].function, cpuid_before->entries[i].function);
}

static long get_msrs(void)
{
	msrs.h.nmsrs = 3;
	msrs.e[0].index = 0xc0000081;
	msrs.e[1].index = 0xc0000082;
	msrs.e[2].index = 0x277;
	return all(FAULTY(ioctl(v->fd, KVM_GET_MSRS, &msrs)), 3);
}

static long set_msrs(void)
{
	return all(FAULTY(ioctl(v->fd, KVM_SET_MSRS, &msrs)), 3);
}

static struct kvm_lapic_state lapic;
static struct kvm_xsave xsave;
static struct kvm_fpu fpu;
static struct kvm_regs regs;
static struct kvm_sregs sregs;
static struct kvm_vcpu_events events;
static struct kvm_debugregs debugregs;
static struct kvm_xcrs xcrs;
static struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
static struct { struct kvm_signal_mask h; uint64_t set; } mask = { .h.len = 8 };
static uint64_t mce_cap = 10 | 1 << 8;

#define STATES(X)	\
	X(KVM_GET_LAPIC, lapic) X(KVM_SET_LAPIC, lapic) X(KVM_GET_XSAVE, xsave) X(KVM_SET_XSAVE, xsave)			\
	X(KVM_GET_FPU, fpu) X(KVM_SET_FPU, fpu) X(KVM_GET_REGS, regs) X(KVM_SET_REGS, regs) X(KVM_GET_SREGS, sregs)	\
	X(KVM_SET_SREGS, sregs) X(KVM_GET_VCPU_EVENTS, events) X(KVM_SET_VCPU_EVENTS, events)				\
	X(KVM_GET_DEBUGREGS, debugregs) X(KVM_SET_DEBUGREGS, debugregs) X(KVM_GET_XCRS, xcrs) X(KVM_SET_XCRS, xcrs)	\
	X(KVM_SET_SIGNAL_MASK, mask) X(KVM_X86_SETUP_MCE, mce_cap)
#define STATE_CALL(cmd, what)	static long do_##cmd(void) { return FAULTY(ioctl(v->fd, cmd, &what)); }
STATES(STATE_CALL)

static long get_irqchip(void)
{
	return FAULTY(ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
}

static long set_irqchip(void)
{
	return FAULTY(ioctl(vm->fd, KVM_SET_IRQCHIP, &chip));
}

TEST(vcpu_state)
{
	machine(true);
	cpuid_before = kt_supported_cpuid(vm->kvm);
	cpuid_now = malloc(CPUID_BYTES(100));
	sweep(NULL, set_cpuid2, cpuid_is_set);
	sweep(NULL, get_cpuid2, same_cpuid);
	sweep(NULL, get_msrs, NULL);
	sweep(NULL, set_msrs, NULL);
	sweep(NULL, get_irqchip, NULL);
	sweep(NULL, set_irqchip, NULL);
#define STATE_SWEEP(cmd, what)	sweep(NULL, do_##cmd, NULL);
	STATES(STATE_SWEEP)
	kt_guest_write(v, KT_DATA, 5);
	check_eq(kt_guest_u64(vm, KT_DATA), 5);
}

/* --- running --- */

static long run_on(void)
{
	long ret;

	do
		ret = FAULTY(ioctl(v->fd, KVM_RUN, 0));
	while (ret < 0 && (errno == EAGAIN || errno == EINTR));
	return ret;
}

/* From regs on; after a failure it goes on where the first stood. */
static long run(void)
{
	if (!hit)
		kt_set_regs(v, &regs);
	return run_on();
}

static void guest(const uint8_t *code, size_t n)
{
	kt_put(vm, KT_CODE, code, n);
	regs = (struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 };
}
#define GUEST(code)	guest(code, code##_end - code)

/* Sixteen pages in each of two large pages, written and read back; the sum is left in rax. */
GUEST64(touch, "xor %eax, %eax\n mov $0x30000000, %esi\n mov $16, %ecx\n"
	"1: movq $3, (%rsi)\n add (%rsi), %rax\n movq $4, 0x200000(%rsi)\n add 0x200000(%rsi), %rax\n add $0x1000, %rsi\n"
	"dec %ecx\n jnz 1b\n mov $0x1000, %dx\n out %eax, %dx\n hlt\n");

/* Neither the VMM nor the tables under the guest have any of its pages. */
static void all_unmapped(void)
{
	delete_slot();
	need_ok(madvise(ram, 2 * KT_BIG, MADV_DONTNEED));
	need_ok(madvise(vm->mem + KT_DATA, KT_PAGE, MADV_DONTNEED));
	need_ok(kt_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, HOLE, 2 * KT_BIG, ram));
}

static void touched(long ret)
{
	check_eq(v->run->exit_reason, KVM_EXIT_IO);
	check_eq(kt_regs(v).rax, 16 * 7);
	for (int i = 0; i < 16; i++)
		check(*(uint64_t *)(ram + i * KT_PAGE) == 3 && *(uint64_t *)(ram + KT_BIG + i * KT_PAGE) == 4, "page %d", i);
}

TEST(run_with_pages_to_map)
{
	machine(false);
	madvise(ram, 2 * KT_BIG, MADV_NOHUGEPAGE);
	GUEST(touch);
	sweep(all_unmapped, run, touched);
}

TEST(run_with_large_pages_to_map)
{
	machine(true);
	madvise(ram, 2 * KT_BIG, MADV_HUGEPAGE);
	GUEST(touch);
	sweep(all_unmapped, run, touched);
}

/* Device memory to RAM and back by instructions that are interpreted. */
GUEST64(copies, "mov $0x38000000, %esi\n mov $0x30001ffc, %edi\n mov %rsp, %rbp\n movsq\n"
	"mov $0x30001ffc, %esi\n mov $0x38000000, %edi\n movsq\n"
	"mov $0x1000, %dx\n out %eax, %dx\n hlt\n");

static long run_with_device(void)
{
	long ret = run();

	while (!ret && v->run->exit_reason == KVM_EXIT_MMIO) {
		uint64_t *data = (void *)v->run->mmio.data, at = v->run->mmio.phys_addr;

		need(at == DEVICE && v->run->mmio.len == 8, "device access at %lx, %u bytes", at, v->run->mmio.len);
		if (v->run->mmio.is_write)
			check_eq(*data, 0x1122334455667788);
		*data = 0x1122334455667788;
		ret = run_on();
	}
	return ret;
}

static void copied(long ret)
{
	check_eq(v->run->exit_reason, KVM_EXIT_IO);
	check_eq(*(uint64_t *)(ram + 0x1ffc), 0x1122334455667788);
}

TEST(run_with_instructions_to_interpret)
{
	machine(false);
	GUEST(copies);
	sweep(all_unmapped, run_with_device, copied);
}

/* --- the end --- */

static long close_vm(void)
{
	return FAULTY(close(vm->fd));
}

static void full_vm(void)
{
	struct kvm_pit_config p = {};
	struct kvm_irqfd f = { .fd = event, .gsi = 9 };

	v = kt_access_vcpu(true);
	vm = v->vm;
	need_ok(ioctl(vm->fd, KVM_CREATE_PIT2, &p));
	need_ok(ioctl(vm->fd, KVM_IRQFD, &f));
	need_ok(ioevent(0, DEVICE + 8));
	need_ok(ioevent(KVM_IOEVENTFD_FLAG_PIO, 0x500));
	need_ok(zone(KVM_REGISTER_COALESCED_MMIO));
	need_ok(kt_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, HOLE, 2 * KT_BIG, ram));
	kt_guest_write(v, HOLE, nth);
	munmap(v->run, v->run_size);
	close(v->fd);
	close(vm->kvm);
}

static void closed(long ret)
{
	munmap(vm->mem, vm->size);
	free(v);
	free(vm);
}

TEST(close_a_vm)
{
	injection();
	event = need_ok(eventfd(0, EFD_NONBLOCK));
	ram = kt_mem(2 * KT_BIG, KT_BIG);
	sweep(full_vm, close_vm, closed);
}

KT_MAIN
