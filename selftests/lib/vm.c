// SPDX-License-Identifier: GPL-2.0-only
/* A VM with one slot of memory at 0, and vCPUs in real, protected (flat, unpaged) or long mode (identity-mapped). */
#include <fcntl.h>
#include <sys/stat.h>
#include "cpu.h"

#define PML4	KT_TABLES
#define PDPT	(KT_TABLES + 0x1000)
#define GDT	(KT_TABLES + 0x2000)
#define IDT	(KT_TABLES + 0x3000)
#define STUBS	(KT_TABLES + 0x5000)

bool kt_distro(void)
{
	const char *m = getenv("KVM_SELFTEST_MODULES");

	return m && !strcmp(m, "distro");
}

bool kt_host_amd(void)
{
	struct stat st;

	return !stat("/sys/module/kvm_amd", &st);
}

struct kt_vm *kt_vm_new(size_t size, bool irqchip)
{
	struct kt_vm *vm = calloc(1, sizeof(*vm));

	vm->kvm = need_ok(open("/dev/kvm", O_RDWR | O_CLOEXEC));
	do	/* the freezer before a suspend interrupts it, as any signal does */
		vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	while (vm->fd < 0 && errno == EINTR);
	need_ok(vm->fd);
	need_ok(ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000));
	if (irqchip)
		need_ok(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0));
	vm->size = size;
	if (size) {
		vm->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		need(vm->mem != MAP_FAILED, "mmap: %s", strerror(errno));
		need_ok(kt_slot(vm, 0, 0, 0, size, vm->mem));
	}
	return vm;
}

void kt_vm_free(struct kt_vm *vm)
{
	close(vm->fd);
	close(vm->kvm);
	if (vm->mem)
		munmap(vm->mem, vm->size);
	free(vm);
}

int kt_slot(struct kt_vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, void *hva)
{
	struct kvm_userspace_memory_region r = { slot, flags, gpa, size, (uintptr_t)hva };

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

int kt_cap(struct kt_vm *vm, int cap)
{
	return ioctl(vm->kvm, KVM_CHECK_EXTENSION, cap);
}

struct kvm_cpuid2 *kt_supported_cpuid(int kvm)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 100 * sizeof(c->entries[0]));

	c->nent = 100;
	need_ok(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, c));
	return c;
}

struct kvm_cpuid_entry2 *kt_cpuid_leaf(struct kvm_cpuid2 *c, uint32_t fn, uint32_t index)
{
	for (uint32_t i = 0; i < c->nent; i++)
		if (c->entries[i].function == fn && c->entries[i].index == index)
			return &c->entries[i];
	return NULL;
}

static struct kvm_segment segment(uint16_t sel, uint8_t type, bool l, bool db)
{
	return (struct kvm_segment){ .selector = sel, .type = type, .limit = 0xffffffff, .present = 1, .s = 1, .g = 1, .l = l, .db = db };
}

/* One gigabyte pages would need CPUID; 2 MB pages for the first gigabyte do everywhere. */
static void build_tables(struct kt_vm *vm)
{
	uint64_t *pml4 = (void *)(vm->mem + PML4), *pdpt = (void *)(vm->mem + PDPT), *pd = (void *)(vm->mem + KT_TABLES + 0x9000);
	uint64_t *gdt = (void *)(vm->mem + GDT);

	pml4[0] = PDPT | 7;
	pdpt[0] = (KT_TABLES + 0x9000) | 7;
	for (uint64_t i = 0; i < 512; i++)
		pd[i] = i << 21 | 0x87;
	/* fee00000 and its like lie in the fourth gigabyte. */
	pdpt[3] = (KT_TABLES + 0xa000) | 7;
	pd = (void *)(vm->mem + KT_TABLES + 0xa000);
	for (uint64_t i = 0; i < 512; i++)
		pd[i] = (0xc0000000 + (i << 21)) | 0x87;
	gdt[1] = 0x00af9b000000ffffull;		/* 08: 64-bit code */
	gdt[2] = 0x00cf93000000ffffull;		/* 10: data */
	gdt[3] = 0x00cf9b000000ffffull;		/* 18: 32-bit code */
	gdt[4] = 0x00cff3000000ffffull;		/* 20: data, DPL 3 */
	gdt[5] = 0x00affb000000ffffull;		/* 28: 64-bit code, DPL 3 */
}

void kt_vcpu_mode(struct kt_vcpu *v, enum kt_mode mode)
{
	struct kvm_regs r = { .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 };
	struct kvm_sregs s = kt_sregs(v);

	if (mode == KT_REAL) {
		s.cs.selector = KT_CODE >> 4;
		s.cs.base = KT_CODE;
		r.rip = 0;
		r.rsp = 0xff00;
	} else {
		build_tables(v->vm);
		s.gdt.base = GDT;
		s.gdt.limit = 47;
		s.cs = mode == KT_LONG ? segment(0x08, 0xb, true, false) : segment(0x18, 0xb, false, true);
		s.ds = s.es = s.fs = s.gs = s.ss = segment(0x10, 3, false, true);
		s.cr0 |= 1;
		if (mode == KT_LONG) {
			s.cr3 = PML4;
			s.cr4 |= 1 << 5 | 1 << 9;
			s.cr0 |= 1u << 31 | 1 << 5;
			s.efer |= 1 << 8 | 1 << 10;
		}
	}
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	kt_set_regs(v, &r);
}

struct kt_vcpu *kt_vcpu_new(struct kt_vm *vm, int id, enum kt_mode mode)
{
	struct kvm_cpuid2 *c = kt_supported_cpuid(vm->kvm);
	struct kt_vcpu *v = calloc(1, sizeof(*v));
	struct kvm_cpuid_entry2 *e = kt_cpuid_leaf(c, 1, 0);

	v->vm = vm;
	v->fd = need_ok(ioctl(vm->fd, KVM_CREATE_VCPU, (long)id));
	v->run_size = need_ok(ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	v->run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	need(v->run != MAP_FAILED, "mmap of the run structure: %s", strerror(errno));
	if (e)
		e->ebx = (e->ebx & 0xffffff) | id << 24;
	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	free(c);
	if (vm->mem)
		kt_vcpu_mode(v, mode);
	return v;
}

void kt_vcpu_free(struct kt_vcpu *v)
{
	munmap(v->run, v->run_size);
	close(v->fd);
	free(v);
}

void kt_put(struct kt_vm *vm, uint64_t gpa, const void *data, size_t n)
{
	need(gpa + n <= vm->size, "guest code does not fit");
	memcpy(vm->mem + gpa, data, n);
}

const char *kt_exit_name(uint32_t reason)
{
	static const char *const names[] = { "UNKNOWN", "EXCEPTION", "IO", "HYPERCALL", "DEBUG", "HLT", "MMIO", "IRQ_WINDOW_OPEN",
		"SHUTDOWN", "FAIL_ENTRY", "INTR", "SET_TPR", "TPR_ACCESS", [17] = "INTERNAL_ERROR", [24] = "SYSTEM_EVENT",
		[26] = "IOAPIC_EOI", [27] = "HYPERV", [29] = "X86_RDMSR", [30] = "X86_WRMSR" };

	return reason < sizeof(names) / sizeof(names[0]) && names[reason] ? names[reason] : "other";
}

/*
 * Documentation/lab.md, VMRUN on a busy machine: the guest has a CR3 that is no page of its memory but the host's, runs
 * in the host's kernel, and ended in a nested page fault on the way to its handler.
 */
static bool host_in_the_vmcb(struct kt_vcpu *v)
{
	const struct kvm_run *run = v->run;

	return kt_host_tcg() && run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
	       run->internal.suberror == KVM_INTERNAL_ERROR_DELIVERY_EV && run->internal.data[1] == 0x400 &&
	       kt_regs(v).rip >= 0xffffffff80000000 && kt_sregs(v).cr3 >= v->vm->size;
}

/* Ends the test: the exit that came, with what the run structure says of it. */
static void other_exit(struct kt_vcpu *v, uint32_t want)
{
	struct kvm_run *run = v->run;
	char more[160] = "";

	if (host_in_the_vmcb(v))
		skip("QEMU's VMRUN came back with the host's registers as the guest's");
	if (run->exit_reason == KVM_EXIT_IO)
		snprintf(more, sizeof(more), "port %#x", run->io.port);
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		snprintf(more, sizeof(more), "hardware %#llx", run->fail_entry.hardware_entry_failure_reason);
	else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		snprintf(more, sizeof(more), "suberror %u, %u data %#llx %#llx %#llx %#llx", run->internal.suberror, run->internal.ndata,
			 run->internal.data[0], run->internal.data[1], run->internal.data[2], run->internal.data[3]);
	need(false, "exit %s (%u), want %s; rip %#llx %s", kt_exit_name(run->exit_reason), run->exit_reason, kt_exit_name(want),
	     kt_regs(v).rip, more);
}

void kt_run(struct kt_vcpu *v, uint32_t want)
{
	int ret;

	do
		ret = ioctl(v->fd, KVM_RUN, 0);
	while (ret < 0 && errno == EAGAIN);
	need(ret == 0, "KVM_RUN: %s", strerror(errno));
	if (v->run->exit_reason != want)
		other_exit(v, want);
}

uint32_t kt_run_to_out(struct kt_vcpu *v)
{
	uint32_t val = 0;

	kt_run(v, KVM_EXIT_IO);
	need(v->run->io.port == KT_PORT && v->run->io.direction == KVM_EXIT_IO_OUT, "I/O on port %x", v->run->io.port);
	memcpy(&val, (uint8_t *)v->run + v->run->io.data_offset, v->run->io.size);
	return val;
}

struct kvm_regs kt_regs(struct kt_vcpu *v)
{
	struct kvm_regs r;

	need_ok(ioctl(v->fd, KVM_GET_REGS, &r));
	return r;
}

void kt_set_regs(struct kt_vcpu *v, const struct kvm_regs *r)
{
	need_ok(ioctl(v->fd, KVM_SET_REGS, r));
}

struct kvm_sregs kt_sregs(struct kt_vcpu *v)
{
	struct kvm_sregs s;

	need_ok(ioctl(v->fd, KVM_GET_SREGS, &s));
	return s;
}

static int one_msr(struct kt_vcpu *v, unsigned long cmd, uint32_t msr, uint64_t *val)
{
	struct { struct kvm_msrs h; struct kvm_msr_entry e; } m = { .h.nmsrs = 1, .e = { .index = msr, .data = *val } };
	int r = ioctl(v->fd, cmd, &m);

	*val = m.e.data;
	return r;
}

int kt_get_msr(struct kt_vcpu *v, uint32_t msr, uint64_t *val)
{
	*val = 0;
	return one_msr(v, KVM_GET_MSRS, msr, val);
}

int kt_set_msr(struct kt_vcpu *v, uint32_t msr, uint64_t val)
{
	return one_msr(v, KVM_SET_MSRS, msr, &val);
}

static const uint32_t with_error = 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21;

/* A stub a vector: pop the error code if there is one, leave it and the frame's RIP below KT_DATA, report. */
static size_t stub(uint8_t *p, int vector, bool lng)
{
	uint8_t *q = p;
	uint32_t err = KT_DATA - 8, rip = KT_DATA - 16, val = 0x100 + vector;

	if (vector < 32 && (with_error >> vector & 1)) {
		*q++ = 0x58;						/* pop (e)ax */
	} else {
		*q++ = 0xb8;						/* mov $~0, %eax */
		memset(q, 0xff, 4);
		q += 4;
	}
	*q++ = 0x89, *q++ = 0x04, *q++ = 0x25;				/* mov %eax, (err) */
	memcpy(q, &err, 4), q += 4;
	*q++ = 0x58;							/* pop (e)ax: RIP */
	if (lng)
		*q++ = 0x48;
	*q++ = 0x89, *q++ = 0x04, *q++ = 0x25;
	memcpy(q, &rip, 4), q += 4;
	*q++ = 0x66, *q++ = 0xba, *q++ = KT_PORT & 0xff, *q++ = KT_PORT >> 8;	/* mov $KT_PORT, %dx */
	*q++ = 0xb8;
	memcpy(q, &val, 4), q += 4;
	*q++ = 0xef;							/* out %eax, (%dx) */
	*q++ = 0xf4;							/* hlt */
	return q - p;
}

void kt_install_idt(struct kt_vcpu *v)
{
	struct kvm_sregs s = kt_sregs(v);
	bool lng = s.efer & 1 << 10;
	uint8_t *idt = v->vm->mem + IDT;

	for (int i = 0; i < 256; i++) {
		uint32_t at = STUBS + i * 48;
		uint8_t *gate = idt + i * (lng ? 16 : 8);

		memset(gate, 0, lng ? 16 : 8);
		gate[0] = at, gate[1] = at >> 8, gate[6] = at >> 16, gate[7] = at >> 24;
		gate[2] = lng ? 0x08 : 0x18;
		gate[5] = 0x8e;
		stub(v->vm->mem + at, i, lng);
	}
	s.idt.base = IDT;
	s.idt.limit = lng ? 0xfff : 0x7ff;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
}
