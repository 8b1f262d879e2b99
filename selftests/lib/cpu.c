// SPDX-License-Identifier: GPL-2.0-only
/* See cpu.h. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include "cpu.h"

struct kt_vcpu *kt_long_vcpu(bool irqchip)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, irqchip);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_LONG);

	kt_install_idt(v);
	return v;
}

struct kt_vcpu *kt_prot_vcpu(void)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_PROT);

	kt_install_idt(v);
	return v;
}

void kt_load_tss(struct kt_vcpu *v)
{
	uint8_t *tss = v->vm->mem + KT_TSS;
	struct kvm_sregs s = kt_sregs(v);
	uint64_t rsp0 = KT_RSP0, ist1 = KT_IST1;

	memset(tss, 0, 104);
	memcpy(tss + 4, &rsp0, 8);
	memcpy(tss + 0x24, &ist1, 8);
	tss[0x66] = 104;	/* the I/O map starts behind the limit: no port for user mode */
	s.tr = (struct kvm_segment){ .base = KT_TSS, .limit = 103, .selector = 0x30, .type = 11, .present = 1 };
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
}

void kt_user_mode(struct kt_vcpu *v)
{
	struct kvm_sregs s;

	kt_load_tss(v);
	s = kt_sregs(v);
	s.cs.selector = 0x2b;
	s.cs.dpl = 3;
	s.ds.selector = s.es.selector = s.fs.selector = s.gs.selector = s.ss.selector = 0x23;
	s.ds.dpl = s.es.dpl = s.fs.dpl = s.gs.dpl = s.ss.dpl = 3;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
}

void kt_gate(struct kt_vcpu *v, int vector, uint64_t handler, int dpl, int ist)
{
	uint8_t *gate = v->vm->mem + KT_IDT + vector * 16;

	memset(gate, 0, 16);
	gate[0] = handler, gate[1] = handler >> 8, gate[6] = handler >> 16, gate[7] = handler >> 24;
	gate[2] = 0x08;
	gate[4] = ist;
	gate[5] = 0x8e | dpl << 5;
}

void kt_want_exception(struct kt_vcpu *v, int vector, uint32_t error, uint64_t rip, const char *file, int line)
{
	uint32_t got = kt_run_to_out(v), code = kt_guest_u32(v->vm, KT_DATA - 8);
	uint64_t at = kt_guest_u64(v->vm, KT_DATA - 16);

	if (!(kt_sregs(v).efer & 1 << 10))
		at = (uint32_t)at;
	if (got != 0x100 + vector)
		kt_fail(file, line, "OUT of %#x instead of exception %d (error %#x, RIP %#llx)", got, vector, code,
			(unsigned long long)at);
	else if (code != error)
		kt_fail(file, line, "exception %d with error code %#x, want %#x", vector, code, error);
	else if (at != rip)
		kt_fail(file, line, "exception %d at RIP %#llx, want %#llx", vector, (unsigned long long)at,
			(unsigned long long)rip);
}

uint32_t kt_gate_error(int vector, bool external)
{
	/* QEMU's emulation takes the offset into the table of long mode instead of the vector, and knows no EXT. */
	return kt_host_tcg() ? vector << 4 | 2 : vector << 3 | 2 | external;
}

void kt_unmask_nmis(struct kt_vcpu *v)
{
	static const uint8_t code[] = { 0x48, 0xcf, 0xf4 };	/* iretq; hlt */
	const uint64_t frame[] = { KT_CODE + 2, 0x08, 2, KT_STACK, 0x10 };
	struct kvm_vcpu_events e = kt_events(v);

	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	e.nmi.pending = e.nmi.injected = 0;
	need_ok(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	kt_put(v->vm, KT_CODE, code, sizeof(code));
	kt_put(v->vm, KT_STACK - sizeof(frame), frame, sizeof(frame));
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK - sizeof(frame), .rflags = 2 });
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_events(v).nmi.masked, 0);
}

uint32_t kt_run_any(struct kt_vcpu *v)
{
	int ret;

	do
		ret = ioctl(v->fd, KVM_RUN, 0);
	while (ret < 0 && errno == EAGAIN);
	need(ret == 0, "KVM_RUN: %s", strerror(errno));
	return v->run->exit_reason;
}

static bool file_says(const char *path, const char *what)
{
	char line[256];
	bool found = false;
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		found = found || strstr(line, what);
	if (f)
		fclose(f);
	return found;
}

long kt_read_number(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (f && fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

bool kt_force_prefix(void)
{
	static const char path[] = "/sys/module/kvm/parameters/force_emulation_prefix";
	int fd = open(path, O_WRONLY);
	bool written = fd >= 0 && write(fd, "1", 1) == 1;

	if (fd >= 0)
		close(fd);
	return written || kt_read_number(path) > 0;
}

bool kt_cpu_flag(const char *name)
{
	char *line = NULL, want[64];
	size_t size = 0;
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "r");

	snprintf(want, sizeof(want), " %s ", name);
	while (f && !found && getline(&line, &size, f) > 0) {
		line[strcspn(line, "\n")] = ' ';
		found = !strncmp(line, "flags", 5) && strstr(line, want);
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

bool kt_host_tcg(void)
{
	return file_says("/proc/cpuinfo", "QEMU TCG");
}

bool kt_host_bochs(void)
{
	return file_says("/sys/class/dmi/id/bios_vendor", "Bochs");
}

bool kt_host_bochs_svm(void)
{
	return kt_host_amd() && kt_host_bochs();
}

void kt_need_shutdown(void)
{
	if (kt_host_bochs_svm())
		skip("Bochs ends at a triple fault of an SVM guest");
}

void kt_need_events(void)
{
	if (kt_host_bochs_svm())
		skip("Bochs gets INT n, NMIs and shadows of SVM guests wrong");
}

void kt_need_traps(void)
{
	if (kt_host_bochs_svm())
		skip("Bochs raises the trap that ended an SVM guest again in the host");
}

void kt_pin(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (kt_host_tcg())
		need_ok(sched_setaffinity(0, sizeof(one), &one));
}

/*
 * The first access of a vCPU may be the hypervisor's to do, and so is not the one that counts. QEMU looks for what it
 * armed only where a MOV changes a type or length: R/W0 is set and cleared, while none is enabled.
 */
GUEST64(disarm, "mov %dr0, %rcx; mov $0x10400, %ecx; mov $0x400, %eax; mov %rax, %dr7; mov %rcx, %dr7; mov %rax, %dr7; "
	"mov %rcx, %dr7; mov %rax, %dr7; hlt");

void kt_disarm(struct kt_vcpu *v)
{
	kt_load(v->vm, disarm);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
	kt_run(v, KVM_EXIT_HLT);
}

int kt_enable_cap(int fd, uint32_t cap, uint64_t arg0)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg0 } };

	return ioctl(fd, KVM_ENABLE_CAP, &c);
}

struct kvm_vcpu_events kt_events(struct kt_vcpu *v)
{
	struct kvm_vcpu_events e;

	need_ok(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	return e;
}

void kt_need_breakpoints(void)
{
	if (kt_host_tcg())
		skip("QEMU's emulation does not arm the breakpoints of a DR7 that VMRUN loads");
}
