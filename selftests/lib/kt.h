/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the selftests share: TAP output, a VM with memory, vCPUs in three modes, and guests written in assembly in the
 * test.
 *
 * A test file consists of TEST(name) { ... } functions and KT_MAIN. Inside a test, check(cond, ...) records a failure
 * and goes on, need(cond, ...) records it and leaves the test; both print file and line. skip("why") leaves it as
 * skipped. A test that neither fails nor skips is "ok". Each test runs in a process of its own with a time limit.
 */
#ifndef KT_H
#define KT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>

struct kt_test {
	const char *name;
	void (*fn)(void);
	struct kt_test *next;
};

void kt_register(struct kt_test *t);
int kt_main(int argc, char **argv);
void kt_fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void kt_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void kt_leave(void) __attribute__((noreturn));

#define TEST(n)									\
	static void test_##n(void);						\
	static struct kt_test kt_##n = { #n, test_##n, NULL };			\
	static void __attribute__((constructor)) reg_##n(void) { kt_register(&kt_##n); }	\
	static void test_##n(void)
#define KT_MAIN	int main(int argc, char **argv) { return kt_main(argc, argv); }

#define check(cond, ...)	({ bool ok__ = (cond); if (!ok__) kt_fail(__FILE__, __LINE__, "" __VA_ARGS__); ok__; })
#define need(cond, ...)	\
	do { if (!(cond)) { kt_fail(__FILE__, __LINE__, "" __VA_ARGS__); kt_leave(); } } while (0)
#define skip(...)		kt_skip(__VA_ARGS__)
/* Equality of integers, both shown. */
#define check_eq(a, b)	({ unsigned long long a__ = (a), b__ = (b);		\
	check(a__ == b__, "%s is %#llx, want %#llx", #a, a__, b__); })
/* A call that must fail with this errno. */
#define check_err(call, err)	({ errno = 0; long r__ = (call);		\
	check(r__ < 0 && errno == (err), "%s gives %ld (%s), want %s", #call, r__, strerror(errno), strerror(err)); })
#define need_ok(call)	({ long r__ = (call); need(r__ >= 0, "%s: %s", #call, strerror(errno)); r__; })

/* Distribution's modules under test? (environment KVM_SELFTEST_MODULES=distro, set by selftests/run) */
bool kt_distro(void);
bool kt_host_amd(void);
/* The number that a file of /sys or /proc holds; -1: none. */
long kt_read_number(const char *path);
/* Turns the prefix that asks for emulation on, where the parameter is writable. False: it is off. */
bool kt_force_prefix(void);
#define KT_FORCE	"ud2; .ascii \"kvm\"; "

/* --- machine --- */
#define KT_CODE		0x10000ull	/* where guest code goes */
#define KT_STACK	0x20000ull	/* initial stack pointer */
#define KT_DATA		0x30000ull	/* free for the test */
#define KT_TABLES	0x80000ull	/* page tables, GDT, IDT */
#define KT_PORT		0x1000		/* kt_run() returns at an OUT to here; value in kt.io */

struct kt_vm {
	int kvm, fd;
	uint8_t *mem;
	size_t size;
};

struct kt_vcpu {
	struct kt_vm *vm;
	int fd;
	struct kvm_run *run;
	size_t run_size;
};

enum kt_mode { KT_REAL, KT_PROT, KT_LONG };

/* size 0: no memory. irqchip: KVM_CREATE_IRQCHIP (and no PIT). All need() what they do. */
struct kt_vm *kt_vm_new(size_t size, bool irqchip);
void kt_vm_free(struct kt_vm *vm);
/* With the supported CPUID set; in mode at KT_CODE. id 0 is runnable. */
struct kt_vcpu *kt_vcpu_new(struct kt_vm *vm, int id, enum kt_mode mode);
void kt_vcpu_mode(struct kt_vcpu *v, enum kt_mode mode);
void kt_vcpu_free(struct kt_vcpu *v);
struct kvm_cpuid2 *kt_supported_cpuid(int kvm);
struct kvm_cpuid_entry2 *kt_cpuid_leaf(struct kvm_cpuid2 *c, uint32_t fn, uint32_t index);
int kt_cap(struct kt_vm *vm, int cap);
int kt_slot(struct kt_vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, void *hva);

/* Guest code: GUEST16/32/64(name, "assembly") makes name and name_end. */
#define GUEST__(bits, n, text)						\
	asm(".pushsection .rodata\n.globl " #n ", " #n "_end\n" #n ":\n.code" #bits "\n" text	\
	    "\n.code64\n" #n "_end:\n.popsection");				\
	extern const uint8_t n[], n##_end[]
#define GUEST16(n, text)	GUEST__(16, n, text)
#define GUEST32(n, text)	GUEST__(32, n, text)
#define GUEST64(n, text)	GUEST__(64, n, text)
#define kt_load(vm, n)		kt_put(vm, KT_CODE, n, n##_end - n)
void kt_put(struct kt_vm *vm, uint64_t gpa, const void *data, size_t n);
#define kt_guest_u64(vm, gpa)	(*(volatile uint64_t *)((vm)->mem + (gpa)))
#define kt_guest_u32(vm, gpa)	(*(volatile uint32_t *)((vm)->mem + (gpa)))

/* KVM_RUN; need()s that it returns 0, and that the exit reason is this one. */
void kt_run(struct kt_vcpu *v, uint32_t want_exit);
/* Runs to an OUT to KT_PORT (also skipping none): the value written. */
uint32_t kt_run_to_out(struct kt_vcpu *v);
const char *kt_exit_name(uint32_t reason);
struct kvm_regs kt_regs(struct kt_vcpu *v);
void kt_set_regs(struct kt_vcpu *v, const struct kvm_regs *r);
struct kvm_sregs kt_sregs(struct kt_vcpu *v);
int kt_get_msr(struct kt_vcpu *v, uint32_t msr, uint64_t *val);	/* 1: read */
int kt_set_msr(struct kt_vcpu *v, uint32_t msr, uint64_t val);
/*
 * An IDT for protected and long mode in which each vector reports: OUT of 0x100 + vector to KT_PORT, with the error
 * code (or ~0) at KT_DATA - 8 and the frame's RIP at KT_DATA - 16; then the guest must not be resumed.
 */
void kt_install_idt(struct kt_vcpu *v);

#endif
