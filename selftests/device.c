// SPDX-License-Identifier: GPL-2.0-only
/* /dev/kvm itself and what holds for every file descriptor: versions, capabilities, unknown calls, bad pointers, foreign processes. */
#include <cpuid.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/wait.h>
#include "lib/kt.h"

#define BAD		((void *)8)	/* below mmap_min_addr: never mapped */
#define ANY_ABOVE(n)	(-1000000 - (n))
#define ZERO_OR(n)	(-2000000 - (n))

static int open_kvm(int flags)
{
	return need_ok(open("/dev/kvm", flags | O_CLOEXEC));
}

TEST(api_version)
{
	int kvm = open_kvm(O_RDWR);

	check_eq(ioctl(kvm, KVM_GET_API_VERSION, 0), 12);
	check_err(ioctl(kvm, KVM_GET_API_VERSION, 1), EINVAL);
}

/* libvirt opens the node read-only and uses it all the same. */
TEST(open_mode_does_not_matter)
{
	int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };

	for (int i = 0; i < 3; i++) {
		int kvm = open_kvm(modes[i]), vm = need_ok(ioctl(kvm, KVM_CREATE_VM, 0));

		check_eq(ioctl(kvm, KVM_GET_API_VERSION, 0), 12);
		check(ioctl(vm, KVM_CREATE_VCPU, 0) >= 0);
		free(kt_supported_cpuid(kvm));
		close(vm);
		close(kvm);
	}
}

TEST(create_vm_type)
{
	int kvm = open_kvm(O_RDWR);

	check(ioctl(kvm, KVM_CREATE_VM, 0) >= 0);
	check_err(ioctl(kvm, KVM_CREATE_VM, 0x40000000ul), EINVAL);
	check_err(ioctl(kvm, KVM_CREATE_VM, 1ul << 40), EINVAL);
	check_err(ioctl(kvm, KVM_CREATE_VM, -1ul), EINVAL);
}

TEST(descriptors_close_on_exec)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	int vcpu = need_ok(ioctl(vm->fd, KVM_CREATE_VCPU, 0));

	check(fcntl(vm->fd, F_GETFD) & FD_CLOEXEC);
	check(fcntl(vcpu, F_GETFD) & FD_CLOEXEC);
}

TEST(vcpu_mmap_size)
{
	int kvm = open_kvm(O_RDWR);
	int size = need_ok(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));

	check(size >= 3 * 4096, "run, port data and coalesced pages do not fit in %d", size);
	check_eq(size & 4095, 0);
	check_err(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 1), EINVAL);
}

/* ENOTTY by the book; the distribution's device and vCPUs say EINVAL. */
static bool not_known(int err)
{
	return err == ENOTTY || (err == EINVAL && kt_distro());
}

static void foreign(int fd, unsigned long cmd, const char *what)
{
	int r = ioctl(fd, cmd, 0ul);

	check(r == -1 && not_known(errno), "%s: %d %s", what, r, strerror(errno));
}

static void unknown_on(const char *what, int fd)
{
	unsigned long numbers[] = { _IO(KVMIO, 0x3f), _IO(KVMIO, 0xff), _IOW(KVMIO, 0xfe, char[64]), _IOWR(KVMIO, 0x3e, int),
		_IO(0xad, 0x00), _IOWR(KVMIO, 0x80, char[16383]), 0, 0xffffffff };

	for (int i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		int r = ioctl(fd, numbers[i], 0ul);

		check(r == -1 && not_known(errno), "%lx on the %s: %d %s", numbers[i], what, r, strerror(errno));
	}
}

TEST(unknown_ioctl)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	int vcpu = need_ok(ioctl(vm->fd, KVM_CREATE_VCPU, 0));

	unknown_on("system descriptor", vm->kvm);
	unknown_on("VM", vm->fd);
	unknown_on("vCPU", vcpu);
	/* A call of another descriptor is as unknown. */
	foreign(vm->kvm, KVM_RUN, "KVM_RUN on the system descriptor");
	foreign(vm->fd, KVM_RUN, "KVM_RUN on a VM");
	foreign(vcpu, KVM_CREATE_VCPU, "KVM_CREATE_VCPU on a vCPU");
	foreign(vcpu, KVM_CREATE_VM, "KVM_CREATE_VM on a vCPU");
	foreign(vm->fd, KVM_CREATE_VM, "KVM_CREATE_VM on a VM");
}

TEST(stats_descriptor_has_no_ioctl)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	int stats = need_ok(ioctl(vm->fd, KVM_GET_STATS_FD, NULL));

	unknown_on("statistics", stats);
}

/* perf and trace-cmd evaluate the text after "print fmt" without a compiler: no sizeof, no name but REC and functions. */
static void check_format(const char *path)
{
	char text[16384] = "", *fmt;
	FILE *f = fopen(path, "r");

	need(f && fread(text, 1, sizeof(text) - 1, f), "%s is not readable", path);
	fclose(f);
	fmt = strstr(text, "print fmt:");
	need(fmt, "%s has no print fmt", path);
	check(!strstr(fmt, "sizeof") && !strstr(fmt, "TRACE_"), "%s: %s", path, fmt);
}

TEST(trace_formats)
{
	glob_t g;

	if (kt_distro())
		skip("perf does not understand all of the distribution's");
	if (glob("/sys/kernel/tracing/events/kvm/*/format", 0, NULL, &g))
		skip("no trace events here");
	for (size_t i = 0; i < g.gl_pathc; i++)
		check_format(g.gl_pathv[i]);
}

TEST(create_device)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	struct kvm_create_device d = { .type = 0x7fffffff };

	check_err(ioctl(vm->fd, KVM_CREATE_DEVICE, &d), ENODEV);
	d.flags = KVM_CREATE_DEVICE_TEST;
	check_err(ioctl(vm->fd, KVM_CREATE_DEVICE, &d), ENODEV);
	check_err(ioctl(vm->fd, KVM_CREATE_DEVICE, BAD), EFAULT);
}

/* Where its number cannot be written there is no device: the VM may have its one vfio device after that. */
TEST(device_without_answer)
{
	struct kvm_create_device *d = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kt_vm *vm = kt_vm_new(0, false);
	int next;

	if (kt_distro())
		skip("the distribution's leave a device behind");
	d->type = KVM_DEV_TYPE_VFIO;
	d->flags = KVM_CREATE_DEVICE_TEST;
	check_eq(ioctl(vm->fd, KVM_CREATE_DEVICE, d), 0);
	d->flags = 0;
	next = need_ok(dup(vm->fd));
	close(next);
	need_ok(mprotect(d, 4096, PROT_READ));
	check_err(ioctl(vm->fd, KVM_CREATE_DEVICE, d), EFAULT);
	need_ok(mprotect(d, 4096, PROT_READ | PROT_WRITE));
	check_eq(ioctl(vm->fd, KVM_CREATE_DEVICE, d), 0);
	check_eq(d->fd, next);
}

/* --- capabilities --- */
static const struct want { const char *who; int cap; const char *name; long value; } wants[] = {
#define C(who, cap, value)	{ who, KVM_CAP_##cap, #cap, value }
	C("QEMU", USER_MEMORY, 1), C("QEMU", DESTROY_MEMORY_REGION_WORKS, 1), C("QEMU", JOIN_MEMORY_REGIONS_WORKS, 1),
	C("QEMU", SET_TSS_ADDR, 1), C("QEMU", EXT_CPUID, 1), C("QEMU", MP_STATE, 1),
	C("QEMU 10", INTERNAL_ERROR_DATA, 1), C("QEMU 10", IOEVENTFD, 1), C("QEMU 10", IOEVENTFD_ANY_LENGTH, 1),
	C("QEMU 10", SIGNAL_MSI, 1), C("QEMU 10", DEBUGREGS, 1), C("QEMU 10", XSAVE, 1), C("QEMU 10", VCPU_EVENTS, 1),
	C("QEMU 10", X86_ROBUST_SINGLESTEP, 1), C("QEMU 10", SET_IDENTITY_MAP_ADDR, 1), C("QEMU 10", IRQFD, 1),
	C("QEMU 10: MCE banks", MCE, ANY_ABOVE(9)), C("QEMU: GSIs", IRQ_ROUTING, ANY_ABOVE(1023)),
	C("QEMU: clock flags", ADJUST_CLOCK, 0xe), C("QEMU: slots", NR_MEMSLOTS, ANY_ABOVE(508)),
	C("QEMU", NR_VCPUS, ANY_ABOVE(0)), C("libvirt", MAX_VCPUS, ANY_ABOVE(254)), C("QEMU", MAX_VCPU_ID, ANY_ABOVE(254)),
	C("QEMU: balloon", SYNC_MMU, 1), C("QEMU: pflash", READONLY_MEM, 1), C("QEMU: VFIO INTx", IRQFD_RESAMPLE, 1),
	C("QEMU: per-VM answers", CHECK_EXTENSION_VM, 1), C("QEMU", ENABLE_CAP_VM, 1), C("QEMU: VFIO", DEVICE_CTRL, ZERO_OR(1)),
	C("QEMU: migration", MANUAL_DIRTY_LOG_PROTECT2, 3), C("QEMU", EXCEPTION_PAYLOAD, 1), C("QEMU", X86_TRIPLE_FAULT_EVENT, 1),
	C("QEMU", SREGS2, 1), C("QEMU", XSAVE2, ANY_ABOVE(4095)), C("QEMU", SYS_ATTRIBUTES, 1), C("QEMU", BINARY_STATS_FD, 1),
	C("QEMU: MSR 35", X86_USER_SPACE_MSR, 1), C("QEMU: MSR 35", X86_MSR_FILTER, 1), C("QEMU", GET_MSR_FEATURES, 1),
	C("QEMU", INTR_SHADOW, ZERO_OR(1)), C("QEMU", REINJECT_CONTROL, 1), C("QEMU", SET_GUEST_DEBUG, 1), C("QEMU", VAPIC, ZERO_OR(1)),
	C("QEMU: coalesced port I/O", COALESCED_PIO, 1), C("QEMU", STEAL_TIME, ZERO_OR(1)),
	C("kvmtool: ring page", COALESCED_MMIO, 2), C("kvmtool", PIT2, 1), C("kvmtool", IRQCHIP, 1), C("kvmtool", HLT, 1),
	C("kvmtool", IRQ_INJECT_STATUS, 1),
	C("Firecracker", PIT_STATE2, 1), C("Firecracker", XCRS, 1),
	C("cloud-hypervisor", GET_TSC_KHZ, 1), C("cloud-hypervisor", IMMEDIATE_EXIT, 1), C("cloud-hypervisor", SPLIT_IRQCHIP, 1),
	C("cloud-hypervisor", TSC_DEADLINE_TIMER, 1), C("cloud-hypervisor", USER_NMI, 1), C("cloud-hypervisor", X2APIC_API, ANY_ABOVE(2)),
	C("cloud-hypervisor", ENABLE_CAP, 1),
	C("crosvm", KVMCLOCK_CTRL, 1), C("selftests", SYNC_REGS, 7), C("selftests", SET_BOOT_CPU_ID, 1),
	C("selftests", EXIT_ON_EMULATION_FAILURE, 1), C("selftests", MSR_PLATFORM_INFO, 1), C("selftests", DISABLE_QUIRKS, 1),
	C("", CLOCKSOURCE, 1), C("", NOP_IO_DELAY, 1), C("", IOAPIC_POLARITY_IGNORED, 1), C("", VCPU_ATTRIBUTES, 1),
	C("", IOEVENTFD_NO_LENGTH, 1), C("", LAST_CPU, 1), C("", HALT_POLL, 1),
	/* crosvm panics on the first of these; the rest belong to other architectures. */
	C("crosvm", MSI_DEVID, 0), C("", IOMMU, 0), C("", ASSIGN_DEV_IRQ, 0), C("", PPC_SMT, 0), C("", S390_PSW, 0),
	C("", ARM_PSCI, 0),
#undef C
};

/* XCR0 is there for guests where the host's kernel uses it. */
static bool host_has_xsave(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE);
}

static void wanted(const struct want *w, long got, const char *fd)
{
	const char *who = *w->who ? w->who : "the ABI";

	if (w->value <= ZERO_OR(0))
		check(got == 0 || got == ZERO_OR(0) - w->value, "KVM_CAP_%s on the %s is %ld, %s wants 0 or 1", w->name, fd, got, who);
	else if (w->value <= ANY_ABOVE(0))
		check(got > ANY_ABOVE(0) - w->value, "KVM_CAP_%s on the %s is %ld, too small for %s", w->name, fd, got, who);
	else
		check(got == w->value, "KVM_CAP_%s on the %s is %ld, %s wants %ld", w->name, fd, got, who, w->value);
}

TEST(capabilities_that_vmms_require)
{
	struct kt_vm *vm = kt_vm_new(0, false);

	for (int i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
		if (wants[i].cap == KVM_CAP_XCRS && !host_has_xsave()) {
			check_eq(ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_XCRS), 0);
			continue;
		}
		wanted(&wants[i], ioctl(vm->kvm, KVM_CHECK_EXTENSION, wants[i].cap), "system descriptor");
		wanted(&wants[i], ioctl(vm->fd, KVM_CHECK_EXTENSION, wants[i].cap), "VM");
	}
}

TEST(capability_values_agree)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	int nr = kt_cap(vm, KVM_CAP_NR_VCPUS), max = kt_cap(vm, KVM_CAP_MAX_VCPUS), id = kt_cap(vm, KVM_CAP_MAX_VCPU_ID);
	int spaces = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE);
	int smm = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM);

	check(nr <= max, "%d vCPUs recommended, %d the limit", nr, max);
	check(max <= id, "%d vCPUs, ids below %d", max, id);
	check(!smm || spaces >= 2, "SMM needs a second address space");
	check(spaces >= 0);
}

TEST(unknown_capabilities_are_zero)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	unsigned long none[] = { 5, 100000, 0x7fffffff, 0x80000000, -1ul, 1ul << 32 };

	for (int i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		/* The ioctl takes a long; one with bits above 31 must not be taken for the small number below them. */
		if (none[i] > 0xffffffff && kt_distro())
			continue;
		check_eq(ioctl(vm->kvm, KVM_CHECK_EXTENSION, none[i]), 0);
		check_eq(ioctl(vm->fd, KVM_CHECK_EXTENSION, none[i]), 0);
	}
	for (int i = 0; i < 1000; i++)
		check(ioctl(vm->kvm, KVM_CHECK_EXTENSION, i) >= 0, "KVM_CHECK_EXTENSION(%d) fails", i);
}

TEST(enable_cap_refuses)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	int vcpu = need_ok(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
	struct kvm_enable_cap c = { .cap = 100000 };

	check_err(ioctl(vm->fd, KVM_ENABLE_CAP, &c), EINVAL);
	check_err(ioctl(vcpu, KVM_ENABLE_CAP, &c), EINVAL);
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_EXCEPTION_PAYLOAD, .flags = 1, .args = { 1 } };
	check_err(ioctl(vm->fd, KVM_ENABLE_CAP, &c), EINVAL);
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 4 } };
	check_err(ioctl(vm->fd, KVM_ENABLE_CAP, &c), EINVAL);
	c.args[0] = KVM_DIRTY_LOG_INITIALLY_SET;	/* means nothing without the other */
	check_err(ioctl(vm->fd, KVM_ENABLE_CAP, &c), EINVAL);
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { 1 << 20 } };
	check_err(ioctl(vm->fd, KVM_ENABLE_CAP, &c), EINVAL);
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_X2APIC_API, .args = { 1ull << 40 } };
	check_err(ioctl(vm->fd, KVM_ENABLE_CAP, &c), EINVAL);
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_USER_MEMORY };		/* exists, is not enabled */
	check_err(ioctl(vm->fd, KVM_ENABLE_CAP, &c), EINVAL);
}

TEST(system_attributes)
{
	int kvm = open_kvm(O_RDWR);
	uint64_t mask = 0;
	struct kvm_device_attr a = { .group = 0, .attr = KVM_X86_XCOMP_GUEST_SUPP, .addr = (uintptr_t)&mask };

	check_eq(ioctl(kvm, KVM_HAS_DEVICE_ATTR, &a), 0);
	check_eq(ioctl(kvm, KVM_GET_DEVICE_ATTR, &a), 0);
	check(mask == 0 || (mask & 3) == 3, "XCR0 mask %lx", mask);
	a.addr = (uintptr_t)BAD;
	check_err(ioctl(kvm, KVM_GET_DEVICE_ATTR, &a), EFAULT);
	a = (struct kvm_device_attr){ .group = 0, .attr = 77, .addr = (uintptr_t)&mask };
	check_err(ioctl(kvm, KVM_HAS_DEVICE_ATTR, &a), ENXIO);
	check_err(ioctl(kvm, KVM_GET_DEVICE_ATTR, &a), ENXIO);
	a = (struct kvm_device_attr){ .group = 99, .addr = (uintptr_t)&mask };
	check_err(ioctl(kvm, KVM_HAS_DEVICE_ATTR, &a), ENXIO);
	check_err(ioctl(kvm, KVM_HAS_DEVICE_ATTR, BAD), EFAULT);
}

/* --- pointers --- */
struct call { unsigned long nr; const char *name; };
#define P(n)	{ KVM_##n, #n }

static void all_fault(int fd, const struct call *c, int n)
{
	for (int i = 0; i < n; i++) {
		int r = ioctl(fd, c[i].nr, BAD);

		check(r == -1 && errno == EFAULT, "KVM_%s with a bad pointer: %d %s", c[i].name, r, r < 0 ? strerror(errno) : "");
	}
}

TEST(bad_pointers_system)
{
	static const struct call calls[] = { P(GET_MSR_INDEX_LIST), P(GET_SUPPORTED_CPUID), P(GET_EMULATED_CPUID),
		P(GET_MSR_FEATURE_INDEX_LIST), P(GET_MSRS), P(X86_GET_MCE_CAP_SUPPORTED) };

	all_fault(open_kvm(O_RDWR), calls, sizeof(calls) / sizeof(calls[0]));
}

TEST(bad_pointers_vm)
{
	static const struct call calls[] = { P(SET_USER_MEMORY_REGION), P(GET_DIRTY_LOG), P(CLEAR_DIRTY_LOG), P(SET_IDENTITY_MAP_ADDR),
		P(IRQ_LINE), P(IRQ_LINE_STATUS), P(GET_IRQCHIP), P(SET_IRQCHIP), P(SET_PIT2), P(REINJECT_CONTROL), P(SET_GSI_ROUTING),
		P(IRQFD), P(IOEVENTFD), P(SIGNAL_MSI), P(REGISTER_COALESCED_MMIO), P(UNREGISTER_COALESCED_MMIO), P(SET_CLOCK),
		P(GET_CLOCK), P(ENABLE_CAP), P(X86_SET_MSR_FILTER) };
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kvm_pit_config pit = { 0 };

	need_ok(ioctl(vm->fd, KVM_CREATE_PIT2, &pit));
	all_fault(vm->fd, calls, sizeof(calls) / sizeof(calls[0]));
}

TEST(bad_pointer_create_pit2)
{
	check_err(ioctl(kt_vm_new(0, true)->fd, KVM_CREATE_PIT2, BAD), EFAULT);
}

TEST(bad_pointers_vcpu)
{
	static const struct call calls[] = { P(GET_REGS), P(SET_REGS), P(GET_SREGS), P(SET_SREGS), P(GET_SREGS2), P(SET_SREGS2),
		P(GET_FPU), P(SET_FPU), P(GET_LAPIC), P(SET_LAPIC), P(GET_MP_STATE), P(SET_MP_STATE), P(GET_VCPU_EVENTS),
		P(SET_VCPU_EVENTS), P(GET_DEBUGREGS), P(SET_DEBUGREGS), P(GET_XSAVE), P(SET_XSAVE), P(GET_XSAVE2), P(GET_XCRS), P(SET_XCRS),
		P(SET_CPUID), P(SET_CPUID2), P(GET_CPUID2), P(GET_MSRS), P(SET_MSRS), P(SET_SIGNAL_MASK), P(SET_GUEST_DEBUG), P(TRANSLATE),
		P(X86_SETUP_MCE), P(X86_SET_MCE), P(ENABLE_CAP), P(GET_DEVICE_ATTR), P(SET_DEVICE_ATTR), P(HAS_DEVICE_ATTR) };
	static const struct call vapic[] = { P(TPR_ACCESS_REPORTING), P(SET_VAPIC_ADDR) };
	struct kt_vcpu *v = kt_vcpu_new(kt_vm_new(1 << 20, true), 0, KT_LONG);

	all_fault(v->fd, calls, sizeof(calls) / sizeof(calls[0]));
	if (kt_cap(v->vm, KVM_CAP_VAPIC) > 0)
		all_fault(v->fd, vapic, sizeof(vapic) / sizeof(vapic[0]));
}

/* The end of what a pointer names may be missing, too. */
TEST(structure_across_the_end_of_memory)
{
	struct kt_vcpu *v = kt_vcpu_new(kt_vm_new(1 << 20, true), 0, KT_LONG);
	uint8_t *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_regs before = kt_regs(v), after;

	need(two != MAP_FAILED);
	need_ok(mprotect(two + 4096, 4096, PROT_NONE));
	check_err(ioctl(v->fd, KVM_GET_REGS, two + 4096 - 64), EFAULT);
	memset(two, 0x55, 4096);
	check_err(ioctl(v->fd, KVM_SET_REGS, two + 4096 - 64), EFAULT);
	check_err(ioctl(v->fd, KVM_SET_LAPIC, two + 4096 - 64), EFAULT);
	check_err(ioctl(v->fd, KVM_SET_XSAVE, two + 64), EFAULT);
	after = kt_regs(v);
	check(!memcmp(&before, &after, sizeof(after)), "a failed SET_REGS changed registers");
	need_ok(mprotect(two, 4096, PROT_READ));
	check_err(ioctl(v->fd, KVM_GET_REGS, two), EFAULT);
}

/* --- another process --- */
TEST(another_process_gets_eio)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_LONG);
	struct kvm_regs r;
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		int bad = 0;

		bad |= !(ioctl(vm->fd, KVM_CREATE_VCPU, 1) == -1 && errno == EIO) << 0;
		bad |= !(ioctl(vm->fd, KVM_CHECK_EXTENSION, 0) == -1 && errno == EIO) << 1;
		bad |= !(kt_slot(vm, 1, 0, 1 << 20, 4096, vm->mem) == -1 && errno == EIO) << 2;
		bad |= !(ioctl(v->fd, KVM_RUN, 0) == -1 && errno == EIO) << 3;
		bad |= !(ioctl(v->fd, KVM_GET_REGS, &r) == -1 && errno == EIO) << 4;
		bad |= !(ioctl(vm->kvm, KVM_GET_API_VERSION, 0) == 12) << 5;	/* belongs to nobody */
		_exit(bad);
	}
	waitpid(pid, &status, 0);
	check(WIFEXITED(status), "killed by %d", WTERMSIG(status));
	check(WEXITSTATUS(status) == 0, "not EIO: bits %x", WEXITSTATUS(status));
	check_eq(ioctl(v->fd, KVM_GET_REGS, &r), 0);	/* and its own goes on */
}

/* The VM belongs to the one who made it, even if its descriptors were inherited; the parent's copy of the opener does not matter. */
TEST(child_makes_its_own_vm)
{
	int kvm = open_kvm(O_RDWR), status = 0;
	pid_t pid = fork();

	if (!pid) {
		int vm = ioctl(kvm, KVM_CREATE_VM, 0);

		_exit(vm < 0 || ioctl(vm, KVM_CREATE_VCPU, 0) < 0);
	}
	waitpid(pid, &status, 0);
	check_eq(status, 0);
}

TEST(list_sizes)
{
	int kvm = open_kvm(O_RDWR);
	struct { struct kvm_msr_list h; uint32_t i[1024]; } l = { .h.nmsrs = 0 };
	uint32_t n;

	check_err(ioctl(kvm, KVM_GET_MSR_INDEX_LIST, &l), E2BIG);
	n = l.h.nmsrs;
	check(n > 10 && n <= 256, "%u MSRs", n);		/* rust-vmm and crosvm have room for 256 */
	l.h.nmsrs = n - 1;
	check_err(ioctl(kvm, KVM_GET_MSR_INDEX_LIST, &l), E2BIG);
	check_eq(l.h.nmsrs, n);
	l.h.nmsrs = 1024;
	check_eq(ioctl(kvm, KVM_GET_MSR_INDEX_LIST, &l), 0);
	check_eq(l.h.nmsrs, n);
	l.h.nmsrs = 0;
	check_err(ioctl(kvm, KVM_GET_MSR_FEATURE_INDEX_LIST, &l), E2BIG);
	check(l.h.nmsrs > 0, "QEMU wants at least one feature MSR");
}

KT_MAIN
