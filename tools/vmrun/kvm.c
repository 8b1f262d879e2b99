// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ABI at work: create a VM, give it memory and interrupt controllers, create vCPUs and run them.
 * Order follows Documentation/virt/kvm/api.rst of the kernel: interrupt controllers before vCPUs, CPUID before the rest of a
 * vCPU's state.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "vmrun.h"

#define CPUID_ROOM	128

struct vcpu {
	struct vm *vm;
	int fd, id;
	struct kvm_run *run;
	pthread_t thread;
};

static void need(struct vm *vm, int cap, const char *name)
{
	if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, cap) <= 0)
		die("/dev/kvm has no %s", name);
}

void vm_create(struct vm *vm)
{
	uint64_t identity = 0xfeffc000;
	struct kvm_pit_config pit = { 0 };

	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		die("/dev/kvm: %s (are the modules loaded?)", strerror(errno));
	if (ioctl(vm->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		die("/dev/kvm speaks another API version than %d", KVM_API_VERSION);
	need(vm, KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY");
	need(vm, KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT");
	if (vm->irqchip) {
		need(vm, KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP");
		need(vm, KVM_CAP_IRQFD, "KVM_CAP_IRQFD");
		need(vm, KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD");
	}
	vm->run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	do
		vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		die("KVM_CREATE_VM: %s", strerror(errno));
	/* Pages that VT-x without unrestricted guests needs in the guest's address space, where nothing else is. */
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) || ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfeffd000))
		die("KVM_SET_TSS_ADDR: %s", strerror(errno));
	if (vm->irqchip && (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) || ioctl(vm->fd, KVM_CREATE_PIT2, &pit)))
		die("KVM_CREATE_IRQCHIP: %s", strerror(errno));
	vm->cpuid = calloc(1, sizeof(*vm->cpuid) + CPUID_ROOM * sizeof(vm->cpuid->entries[0]));
	vm->cpuid->nent = CPUID_ROOM;
	if (ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, vm->cpuid))
		die("KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
}

void vm_add_memory(struct vm *vm)
{
	struct kvm_userspace_memory_region r = { .memory_size = vm->mem_size };

	vm->mem = mmap(NULL, vm->mem_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (vm->mem == MAP_FAILED)
		die("%llu MB of guest memory: %s", (unsigned long long)vm->mem_size >> 20, strerror(errno));
	r.userspace_addr = (uintptr_t)vm->mem;
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r))
		die("KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
}

void *guest_ptr(struct vm *vm, uint64_t gpa, uint64_t len)
{
	if (gpa >= vm->mem_size || len > vm->mem_size - gpa)
		return NULL;
	return vm->mem + gpa;
}

void vm_irqfd(struct vm *vm, int eventfd, uint32_t gsi)
{
	struct kvm_irqfd i = { .fd = eventfd, .gsi = gsi };

	if (ioctl(vm->fd, KVM_IRQFD, &i))
		die("KVM_IRQFD: %s", strerror(errno));
}

void vm_ioeventfd(struct vm *vm, int eventfd, uint64_t addr, uint32_t len, uint32_t match)
{
	struct kvm_ioeventfd e = { .fd = eventfd, .addr = addr, .len = len, .datamatch = match,
				   .flags = KVM_IOEVENTFD_FLAG_DATAMATCH };

	if (ioctl(vm->fd, KVM_IOEVENTFD, &e))
		die("KVM_IOEVENTFD: %s", strerror(errno));
}

void vm_irq_line(struct vm *vm, uint32_t gsi, bool level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	if (vm->irqchip && ioctl(vm->fd, KVM_IRQ_LINE, &l))
		die("KVM_IRQ_LINE: %s", strerror(errno));
}

/* What the supported set leaves to the VMM: APIC IDs, and features that depend on how the VM was made. */
static void set_cpuid(struct vcpu *v)
{
	size_t size = sizeof(*v->vm->cpuid) + v->vm->cpuid->nent * sizeof(v->vm->cpuid->entries[0]);
	struct kvm_cpuid2 *c = malloc(size);

	memcpy(c, v->vm->cpuid, size);
	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == 1) {
			e->ebx = (e->ebx & 0x00ffff) | v->id << 24 | (v->vm->cpus & 0xff) << 16;
			e->ecx |= 1u << 31;		/* a hypervisor is there: the guest looks at 40000000H */
			if (v->vm->irqchip)
				e->ecx |= 1 << 24;	/* TSC-deadline timer: the in-kernel LAPIC has it */
		} else if (e->function == 0xb || e->function == 0x1f) {
			e->edx = v->id;
		} else if (e->function == 0x80000007) {
			e->edx &= ~(1u << 8);		/* no invariant TSC: the guest's clock is then kvm-clock */
		}
	}
	if (ioctl(v->fd, KVM_SET_CPUID2, c))
		die("KVM_SET_CPUID2: %s", strerror(errno));
	free(c);
}

/* The boot protocols' state: flat 32-bit segments, or the reset state with execution at 0:7c00. */
static void set_entry(struct vcpu *v, const struct entry *entry)
{
	struct kvm_regs regs = { .rip = entry->rip, .rsi = entry->rsi, .rflags = 2 };
	struct kvm_segment code = { .limit = 0xffffffff, .selector = 0x10, .type = 0xb, .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_segment data = code;
	struct kvm_sregs s;

	if (ioctl(v->fd, KVM_GET_SREGS, &s))
		die("KVM_GET_SREGS: %s", strerror(errno));
	if (entry->real_mode) {
		s.cs.selector = 0;
		s.cs.base = 0;
		regs.rsp = 0x7c00;
	} else {
		data.selector = 0x18;
		data.type = 3;
		s.cs = code;
		s.ds = s.es = s.fs = s.gs = s.ss = data;
		s.cr0 |= 1;
	}
	if (ioctl(v->fd, KVM_SET_SREGS, &s) || ioctl(v->fd, KVM_SET_REGS, &regs))
		die("KVM_SET_SREGS: %s", strerror(errno));
}

static void internal_error(struct vcpu *v)
{
	struct kvm_run *r = v->run;
	struct kvm_regs regs;

	fprintf(stderr, "vmrun: vCPU %d: internal error %u:", v->id, r->internal.suberror);
	for (uint32_t i = 0; i < r->internal.ndata && i < 16; i++)
		fprintf(stderr, " %llx", r->internal.data[i]);
	if (!ioctl(v->fd, KVM_GET_REGS, &regs))
		fprintf(stderr, "; rip %llx", regs.rip);
	fprintf(stderr, "\n");
	vm_end(125);
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	struct kvm_run *r = v->run;

	for (;;) {
		if (ioctl(v->fd, KVM_RUN, 0)) {
			if (errno != EINTR && errno != EAGAIN)
				die("vCPU %d: KVM_RUN: %s", v->id, strerror(errno));
			continue;	/* a signal, or a vCPU that still waits for its SIPI */
		}
		switch (r->exit_reason) {
		case KVM_EXIT_IO:
			for (uint32_t i = 0; i < r->io.count; i++)
				bus_port(r->io.port, (uint8_t *)r + r->io.data_offset + i * r->io.size, r->io.size,
					 r->io.direction == KVM_EXIT_IO_OUT);
			break;
		case KVM_EXIT_MMIO:
			bus_mmio(r->mmio.phys_addr, r->mmio.data, r->mmio.len, r->mmio.is_write);
			break;
		case KVM_EXIT_HLT:	/* only without in-kernel LAPIC: nothing could wake it */
			vm_end(0);
		case KVM_EXIT_SHUTDOWN:
			fprintf(stderr, "vmrun: vCPU %d: triple fault\n", v->id);
			vm_end(124);
		case KVM_EXIT_INTERNAL_ERROR:
			internal_error(v);
			break;
		case KVM_EXIT_FAIL_ENTRY:
			die("vCPU %d: entry failed, hardware reason %llx", v->id, r->fail_entry.hardware_entry_failure_reason);
		default:
			die("vCPU %d: unexpected exit %u", v->id, r->exit_reason);
		}
	}
	return NULL;
}

void vm_run(struct vm *vm, const struct entry *entry)
{
	struct vcpu *v = calloc(vm->cpus, sizeof(*v));

	for (int i = 0; i < vm->cpus; i++) {
		v[i].vm = vm;
		v[i].id = i;
		v[i].fd = ioctl(vm->fd, KVM_CREATE_VCPU, i);
		if (v[i].fd < 0)
			die("KVM_CREATE_VCPU: %s", strerror(errno));
		v[i].run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v[i].fd, 0);
		if (v[i].run == MAP_FAILED)
			die("vCPU %d's run structure: %s", i, strerror(errno));
		set_cpuid(&v[i]);
		if (!i)		/* the others wait for INIT and SIPI */
			set_entry(&v[i], entry);
	}
	for (int i = 0; i < vm->cpus; i++)
		if (pthread_create(&v[i].thread, NULL, vcpu_thread, &v[i]))
			die("no thread for vCPU %d", i);
}
