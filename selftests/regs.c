// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of a vCPU as user space reads and writes it: general and system registers, FPU and extended state, debug
 * registers, events, run state, translation, and the copies in the run structure.
 */
#include "lib/cpu.h"

GUEST64(store, "mov %rax, 0x30000; mov %rbx, 0x30008; mov %rcx, 0x30010; mov %rdx, 0x30018; mov %rsi, 0x30020; "
	"mov %rdi, 0x30028; mov %rsp, 0x30030; mov %rbp, 0x30038; mov %r8, 0x30040; mov %r9, 0x30048; mov %r10, "
		"0x30050; "
	"mov %r11, 0x30058; mov %r12, 0x30060; mov %r13, 0x30068; mov %r14, 0x30070; mov %r15, 0x30078; "
	"mov $0x20000, %esp; pushf; pop 0x30080; "
	"inc %rax; inc %rbx; inc %rcx; inc %rdx; inc %rsi; inc %rdi; inc %rbp; inc %r8; inc %r9; inc %r10; inc %r11; "
		"inc %r12; "
	"inc %r13; inc %r14; inc %r15; hlt");
TEST(general_registers)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_regs r = { .rip = KT_CODE, .rflags = 0x8c5 }, back;
	uint64_t *g = (uint64_t *)&r;		/* rax rbx rcx rdx rsi rdi rsp rbp r8-r15 */

	for (int i = 0; i < 16; i++)
		g[i] = 0x0101010101010101ull * (i + 1) + (1ull << 63);
	kt_load(v->vm, store);
	kt_set_regs(v, &r);
	back = kt_regs(v);
	r.rflags |= 2;
	check(!memcmp(&r, &back, sizeof(r)), "KVM_GET_REGS gives something else than was set");
	kt_run(v, KVM_EXIT_HLT);
	for (int i = 0; i < 16; i++)
		check(kt_guest_u64(v->vm, KT_DATA + 8 * i) == g[i], "register %d is %llx in the guest", i,
		      (unsigned long long)kt_guest_u64(v->vm, KT_DATA + 8 * i));
	check_eq(kt_guest_u64(v->vm, KT_DATA + 128), 0x8c7);
	back = kt_regs(v);
	for (int i = 0; i < 16; i++)
		check(i == 6 || ((uint64_t *)&back)[i] == g[i] + 1, "register %d is not what the guest left", i);
	check_eq(back.rip, KT_CODE + (store_end - store));
}

/* --- system registers --- */

static void c_pg_without_pe(struct kvm_sregs *s) { s->cr0 = 0x80000010u; }
static void c_nw_without_cd(struct kvm_sregs *s) { s->cr0 = (s->cr0 | 1 << 29) & ~(1ull << 30); }
static void c_cr0_high(struct kvm_sregs *s) { s->cr0 |= 1ull << 32; }
static void c_cr4_reserved(struct kvm_sregs *s) { s->cr4 |= 1ull << 31; }
static void c_cr4_high(struct kvm_sregs *s) { s->cr4 |= 1ull << 63; }
static void c_cr4_vmxe(struct kvm_sregs *s) { s->cr4 |= 1 << 15; }
static void c_efer_reserved(struct kvm_sregs *s) { s->efer |= 1 << 1; }
static void c_efer_high(struct kvm_sregs *s) { s->efer |= 1ull << 63; }
static void c_long_without_lma(struct kvm_sregs *s) { s->efer &= ~(1ull << 10); }
static void c_long_without_pae(struct kvm_sregs *s) { s->cr4 &= ~(1ull << 5); }
static void c_lma_without_lme(struct kvm_sregs *s) { s->efer &= ~(1ull << 8); }
static void c_lma_without_pg(struct kvm_sregs *s) { s->cr0 &= ~0x80000000ull; }
static void c_cr3_reserved(struct kvm_sregs *s) { s->cr3 |= 1ull << 62; }
static void c_apic_base_reserved(struct kvm_sregs *s) { s->apic_base |= 1; }
static void c_x2apic_disabled(struct kvm_sregs *s) { s->apic_base = (s->apic_base & ~(1ull << 11)) | 1 << 10; }
static void c_cr8(struct kvm_sregs *s) { s->cr8 = 16; }
static void c_64bit_code(struct kvm_sregs *s) { s->cs.l = 1; }

static const struct sregs_case {
	const char *name;
	void (*change)(struct kvm_sregs *s);
	enum kt_mode mode;
	bool ours;		/* older modules let it through, to fail later or not at all */
} cases[] = {
	{ "CR0.PG without PE", c_pg_without_pe, KT_PROT, true },
	{ "CR0.NW without CD", c_nw_without_cd, KT_LONG, true },
	{ "CR0 bit 32", c_cr0_high, KT_LONG, true },
	{ "CR4 reserved bit", c_cr4_reserved, KT_LONG },
	{ "CR4 bit 63", c_cr4_high, KT_LONG },
	{ "EFER reserved bit", c_efer_reserved, KT_LONG, true },
	{ "EFER bit 63", c_efer_high, KT_LONG, true },
	{ "LME and PG without LMA", c_long_without_lma, KT_LONG },
	{ "LME and PG without PAE", c_long_without_pae, KT_LONG },
	{ "LMA without LME", c_lma_without_lme, KT_LONG },
	{ "LMA without PG", c_lma_without_pg, KT_LONG },
	{ "CR3 beyond the physical addresses", c_cr3_reserved, KT_LONG },
	{ "APIC base reserved bit", c_apic_base_reserved, KT_LONG },
	{ "x2APIC without APIC", c_x2apic_disabled, KT_LONG },
	{ "CR8 above 15", c_cr8, KT_LONG, true },
	{ "64-bit code segment outside long mode", c_64bit_code, KT_PROT },
	{ "CR4.VMXE without VMX", c_cr4_vmxe, KT_LONG, true },	/* there it is nested virtualisation's */
};

TEST(sregs_refused_and_unchanged)
{
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct sregs_case *c = &cases[i];
		struct kt_vm *vm = kt_vm_new(1 << 20, true);
		struct kt_vcpu *v = kt_vcpu_new(vm, 0, c->mode);
		struct kvm_sregs s = kt_sregs(v), old = s, now;

		c->change(&s);
		s.cr2 = 0x1234;
		s.ds.base = 0x5678;
		s.gdt.limit = 0x77;
		errno = 0;
		if (ioctl(v->fd, KVM_SET_SREGS, &s) >= 0) {
			check(kt_distro() && c->ours, "%s: accepted", c->name);
		} else {
			check(errno == EINVAL, "%s: %s", c->name, strerror(errno));
			now = kt_sregs(v);
			check(kt_distro() || !memcmp(&old, &now, sizeof(now)), "%s: refused, and something changed",
			      c->name);
		}
		kt_vcpu_free(v);
		kt_vm_free(vm);
	}
}

TEST(sregs_round_trip)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_sregs s = kt_sregs(v), back;

	s.fs.base = 0x1122334455667788 & 0x7fffffffffff;
	s.gs.base = 0xffff800000001000;
	s.es.selector = 0x23;
	s.es.dpl = 3;
	s.es.limit = 0xfffff;
	s.es.g = 0;
	s.ldt = (struct kvm_segment){ .base = 0x50000, .limit = 0x27, .selector = 0x38, .type = 2, .present = 1 };
	s.gdt.base = 0xffff900000000000;
	s.idt.limit = 0x123;
	s.cr2 = 0xdead0000;
	s.cr8 = 5;
	s.interrupt_bitmap[1] = 1ull << 3;	/* vector 67 */
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	back = kt_sregs(v);
	check(!memcmp(&s.fs, &back.fs, sizeof(s.fs)), "fs");
	check(!memcmp(&s.gs, &back.gs, sizeof(s.gs)), "gs");
	check(!memcmp(&s.es, &back.es, sizeof(s.es)), "es");
	check(!memcmp(&s.ldt, &back.ldt, sizeof(s.ldt)), "ldt");
	check_eq(back.gdt.base, s.gdt.base);
	check_eq(back.idt.limit, s.idt.limit);
	check_eq(back.cr2, s.cr2);
	check_eq(back.cr8, 5);
	check_eq(back.interrupt_bitmap[1], 1ull << 3);
	check_eq(back.cr0, s.cr0);
	check_eq(back.efer, s.efer);
}

TEST(sregs_reset_state)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_REAL);
	struct kvm_sregs s = kt_sregs(v);
	struct kvm_regs r = kt_regs(v);

	/* SDM table 10-1 */
	check_eq(s.cr0, 0x60000010);
	check_eq(s.cr4, 0);
	check_eq(s.efer, 0);
	check_eq(s.cs.selector, 0xf000);
	check_eq(s.cs.base, 0xffff0000);
	check_eq(s.cs.limit, 0xffff);
	check_eq(s.ds.base | s.ds.selector, 0);
	check_eq(s.idt.base, 0);
	check_eq(s.idt.limit, 0xffff);
	check_eq(s.apic_base & ~0x100ull, 0xfee00800);
	check_eq(r.rip, 0xfff0);
	check_eq(r.rflags, 2);
}

TEST(interrupt_bitmap_is_delivered)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_sregs s = kt_sregs(v);

	kt_load(v->vm, store);
	s.interrupt_bitmap[1] = 1;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 0x202 });
	want_exception(v, 64, NO_ERROR, KT_CODE);
}

TEST(sregs2)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_PROT);
	struct kvm_sregs2 s, back;
	uint64_t *pdpt = (void *)(vm->mem + KT_TABLES + 0x1000);

	if (!kt_cap(vm, KVM_CAP_SREGS2))
		skip("no KVM_CAP_SREGS2");
	need_ok(ioctl(v->fd, KVM_GET_SREGS2, &s));
	check_eq(s.flags, 0);
	s.flags = 2;
	check_err(ioctl(v->fd, KVM_SET_SREGS2, &s), EINVAL);
	s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;		/* without PAE paging */
	check_err(ioctl(v->fd, KVM_SET_SREGS2, &s), EINVAL);
	/* PAE paging, with the entries given. */
	s.cr0 |= 0x80000000u;
	s.cr4 |= 1 << 5;
	s.cr3 = KT_TABLES + 0x1000;
	for (int i = 0; i < 4; i++)
		pdpt[i] = s.pdptrs[i] = i == 0 ? KT_PD | 1 : 0;
	need_ok(ioctl(v->fd, KVM_SET_SREGS2, &s));
	need_ok(ioctl(v->fd, KVM_GET_SREGS2, &back));
	check_eq(back.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
	check_eq(back.pdptrs[0], KT_PD | 1);
	check_eq(back.pdptrs[3], 0);
	check_eq(back.cr3, s.cr3);
	if (!kt_distro()) {
		s.pdptrs[1] = 0x1e1;				/* reserved bits in a present entry */
		check_err(ioctl(v->fd, KVM_SET_SREGS2, &s), EINVAL);
	}
	s.flags = 0;
	s.cr4 |= 1ull << 31;
	check_err(ioctl(v->fd, KVM_SET_SREGS2, &s), EINVAL);
}

/* --- FPU, extended state --- */

GUEST64(fpu, "movups %xmm3, 0x30000; fstpt 0x30010; stmxcsr 0x30020; fnstcw 0x30024; mov $0x30030, %eax; movups "
	"(%rax), %xmm4; hlt");
TEST(fpu_state)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_fpu f = { .fcw = 0x27f, .mxcsr = 0x1fa0, .fsw = 7 << 11, .ftwx = 0x80 }, back;

	if (kt_distro())
		skip("these modules lose what KVM_SET_FPU set before the first run");
	kt_load(v->vm, fpu);
	for (int i = 0; i < 16; i++) {
		f.xmm[3][i] = 0x30 + i;
		f.xmm[15][i] = 0x80 + i;
		v->vm->mem[KT_DATA + 0x30 + i] = i * 3;
	}
	memcpy(f.fpr[0], "\0\0\0\0\0\0\0\xc0\x00\x40", 10);	/* 3.0 in ST(0) */
	need_ok(ioctl(v->fd, KVM_SET_FPU, &f));
	need_ok(ioctl(v->fd, KVM_GET_FPU, &back));
	check_eq(back.fcw, 0x27f);
	check_eq(back.fsw, 7 << 11);
	check_eq(back.ftwx, 0x80);
	check_eq(back.mxcsr, 0x1fa0);
	check(!memcmp(f.xmm, back.xmm, sizeof(f.xmm)), "xmm registers");
	check(!memcmp(f.fpr[0], back.fpr[0], 10), "ST(0)");
	kt_run(v, KVM_EXIT_HLT);
	check(!memcmp(v->vm->mem + KT_DATA, f.xmm[3], 16), "xmm3 in the guest");
	check(!memcmp(v->vm->mem + KT_DATA + 16, f.fpr[0], 10), "ST(0) in the guest");
	check_eq(kt_guest_u32(v->vm, KT_DATA + 0x20), 0x1fa0);
	check_eq(kt_guest_u32(v->vm, KT_DATA + 0x24) & 0xffff, 0x27f);
	need_ok(ioctl(v->fd, KVM_GET_FPU, &back));
	check(!memcmp(v->vm->mem + KT_DATA + 0x30, back.xmm[4], 16), "xmm4 of the guest");
	check(!memcmp(f.xmm[15], back.xmm[15], 16), "xmm15 stays");
	check_eq(back.ftwx, 0);
}

TEST(xsave_state)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	int size = kt_cap(v->vm, KVM_CAP_XSAVE2);
	struct kvm_xsave *x = calloc(1, 16384), *y = calloc(1, 16384), *bad = calloc(1, 16384);
	uint64_t *header;

	check(!size || size >= 4096, "KVM_CAP_XSAVE2 is %d", size);
	need(size <= 16384, "larger than this test's buffer: %d", size);
	kt_load(v->vm, fpu);
	need_ok(ioctl(v->fd, KVM_GET_XSAVE, x));
	check_eq(x->region[0] & 0xffff, 0x37f);			/* FCW after reset: SDM, XINIT */
	check_eq(x->region[6], 0x1f80);				/* MXCSR */
	header = (uint64_t *)&x->region[128];
	header[0] |= 3;
	for (int i = 0; i < 4; i++)
		x->region[40 + 12 + i] = 0x11111111 * (i + 1);	/* XMM3 */
	x->region[6] = 0x1fc0;
	need_ok(ioctl(v->fd, KVM_SET_XSAVE, x));
	need_ok(ioctl(v->fd, size ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, y));
	check(!memcmp(&x->region[52], &y->region[52], 16), "XMM3 does not come back");
	check_eq(y->region[6], 0x1fc0);
	kt_run(v, KVM_EXIT_HLT);
	check(!memcmp(v->vm->mem + KT_DATA, &x->region[52], 16), "XMM3 in the guest");
	check_eq(kt_guest_u32(v->vm, KT_DATA + 0x20), 0x1fc0);

	memcpy(bad, x, 4096);
	((uint64_t *)&bad->region[128])[0] |= 1ull << 62;
	check_err(ioctl(v->fd, KVM_SET_XSAVE, bad), EINVAL);
	if (kt_cap(v->vm, KVM_CAP_XCRS)) {			/* without XSAVE the header is nobody's business */
		memcpy(bad, x, 4096);
		((uint64_t *)&bad->region[128])[2] = 1;		/* reserved there */
		check_err(ioctl(v->fd, KVM_SET_XSAVE, bad), EINVAL);
	}
	memcpy(bad, x, 4096);
	bad->region[6] |= 1u << 31;
	check_err(ioctl(v->fd, KVM_SET_XSAVE, bad), EINVAL);
	need_ok(ioctl(v->fd, KVM_GET_XSAVE, y));
	check(!memcmp(&x->region[52], &y->region[52], 16), "a refused KVM_SET_XSAVE changed XMM3");
	check_err(ioctl(v->fd, KVM_SET_XSAVE, 8), EFAULT);
	check_err(ioctl(v->fd, KVM_GET_XSAVE, 8), EFAULT);
	if (size)
		check_err(ioctl(v->fd, KVM_GET_XSAVE2, 8), EFAULT);
}

TEST(xcrs)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_xcrs x, bad;

	if (!kt_cap(v->vm, KVM_CAP_XCRS))
		skip("the host has no XSAVE");
	need_ok(ioctl(v->fd, KVM_GET_XCRS, &x));
	check_eq(x.nr_xcrs, 1);
	check_eq(x.flags, 0);
	check_eq(x.xcrs[0].xcr, 0);
	check_eq(x.xcrs[0].value, 1);				/* x87 alone after reset */
	x.xcrs[0].value = 3;
	need_ok(ioctl(v->fd, KVM_SET_XCRS, &x));
	need_ok(ioctl(v->fd, KVM_GET_XCRS, &x));
	check_eq(x.xcrs[0].value, 3);
	bad = x;
	bad.xcrs[0].value = 2;					/* without x87 */
	check_err(ioctl(v->fd, KVM_SET_XCRS, &bad), EINVAL);
	bad.xcrs[0].value = 5;					/* AVX without SSE */
	check_err(ioctl(v->fd, KVM_SET_XCRS, &bad), EINVAL);
	bad.xcrs[0].value = 3 | 1ull << 62;
	check_err(ioctl(v->fd, KVM_SET_XCRS, &bad), EINVAL);
	bad = x;
	bad.flags = 1;
	check_err(ioctl(v->fd, KVM_SET_XCRS, &bad), EINVAL);
	bad = x;
	bad.nr_xcrs = KVM_MAX_XCRS + 1;
	check_err(ioctl(v->fd, KVM_SET_XCRS, &bad), EINVAL);
	need_ok(ioctl(v->fd, KVM_GET_XCRS, &x));
	check_eq(x.xcrs[0].value, 3);
}

/* --- debug registers --- */

GUEST64(drs, "mov %dr0, %rax; mov %rax, 0x30000; mov %dr3, %rax; mov %rax, 0x30008; mov %dr7, %rax; mov %rax, 0x30010; "
	"mov $0x4444, %eax; mov %rax, %dr1; mov %dr1, %rbx; mov %rbx, 0x30018; mov %dr6, %rax; mov %rax, 0x30020; hlt");
TEST(debug_registers)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_debugregs d, bad;

	need_ok(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	check_eq(d.dr6, 0xffff0ff0);
	check_eq(d.dr7, 0x400);
	check_eq(d.flags, 0);
	for (int i = 0; i < 4; i++)
		d.db[i] = 0x7000000 + i;
	d.dr6 = 0xffff4ff2;
	d.dr7 = 0x400;
	need_ok(ioctl(v->fd, KVM_SET_DEBUGREGS, &d));
	bad = d;
	bad.flags = 1;
	check_err(ioctl(v->fd, KVM_SET_DEBUGREGS, &bad), EINVAL);
	bad = d;
	bad.dr6 |= 1ull << 32;
	check_err(ioctl(v->fd, KVM_SET_DEBUGREGS, &bad), EINVAL);
	bad = d;
	bad.dr7 |= 1ull << 40;
	check_err(ioctl(v->fd, KVM_SET_DEBUGREGS, &bad), EINVAL);
	need_ok(ioctl(v->fd, KVM_GET_DEBUGREGS, &bad));
	check(!memcmp(&d, &bad, sizeof(d)), "not what was set");
	kt_load(v->vm, drs);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0x7000000);
	check_eq(kt_guest_u64(v->vm, KT_DATA + 8), 0x7000003);
	check_eq(kt_guest_u64(v->vm, KT_DATA + 16), 0x400);
	check_eq(kt_guest_u64(v->vm, KT_DATA + 24), 0x4444);
	check_eq(kt_guest_u64(v->vm, KT_DATA + 32), 0xffff4ff2);
	need_ok(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	check_eq(d.db[1], 0x4444);
}

/* --- events --- */

GUEST64(nops, "nop; nop; 1: jmp 1b");

TEST(events_refused)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_vcpu_events e = kt_events(v), bad;

	check_eq(e.exception.injected | e.exception.pending | e.nmi.injected | e.interrupt.injected, 0);
	bad = e;
	bad.flags |= 1 << 20;
	check_err(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &bad), EINVAL);
	bad = e;
	bad.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;		/* the capability is not enabled */
	check_err(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &bad), EINVAL);
	bad = e;
	bad.exception.injected = 1;
	bad.exception.nr = 32;
	check_err(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &bad), EINVAL);
	bad.exception.nr = EX_NMI;
	check_err(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &bad), EINVAL);
	if (kt_cap(v->vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT)) {
		bad = e;
		bad.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
		check_err(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &bad), EINVAL);
	}
	check_err(ioctl(v->fd, KVM_SET_VCPU_EVENTS, 8), EFAULT);
	check_err(ioctl(v->fd, KVM_GET_VCPU_EVENTS, 8), EFAULT);
}

TEST(event_exception_injected)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_vcpu_events e = kt_events(v);

	kt_load(v->vm, nops);
	e.exception.injected = 1;
	e.exception.nr = EX_GP;
	e.exception.has_error_code = 1;
	e.exception.error_code = 0x1234;
	need_ok(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	e = kt_events(v);
	check_eq(e.exception.injected, 1);
	check_eq(e.exception.nr, EX_GP);
	check_eq(e.exception.error_code, 0x1234);
	want_exception(v, EX_GP, 0x1234, KT_CODE);
	check_eq(kt_events(v).exception.injected, 0);
}

TEST(event_interrupt_and_nmi_injected)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_vcpu_events e = kt_events(v);

	kt_load(v->vm, nops);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 0x202 });
	e.interrupt.injected = 1;
	e.interrupt.nr = 0x77;
	need_ok(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	check_eq(kt_events(v).interrupt.injected, 1);
	check_eq(kt_events(v).interrupt.nr, 0x77);
	want_exception(v, 0x77, NO_ERROR, KT_CODE);
	check_eq(kt_events(v).interrupt.injected, 0);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
	e = kt_events(v);
	e.nmi.pending = 1;
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	need_ok(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	want_exception(v, EX_NMI, NO_ERROR, KT_CODE);
	check_eq(kt_events(v).nmi.masked, 1);
	kt_unmask_nmis(v);
}

TEST(event_masked_nmi_stays_pending)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_vcpu_events e = kt_events(v);

	kt_load(v->vm, fpu);
	e.nmi.masked = 1;
	e.nmi.pending = 1;
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	need_ok(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_events(v).nmi.masked, 1);
	check_eq(kt_events(v).nmi.pending, 1);
	kt_unmask_nmis(v);
}

TEST(event_payload)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v;
	struct kvm_vcpu_events e;

	if (!kt_cap(vm, KVM_CAP_EXCEPTION_PAYLOAD))
		skip("no KVM_CAP_EXCEPTION_PAYLOAD");
	need_ok(kt_enable_cap(vm->fd, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	v = kt_vcpu_new(vm, 0, KT_LONG);
	kt_install_idt(v);
	kt_load(vm, nops);
	e = kt_events(v);
	check_eq(e.flags & KVM_VCPUEVENT_VALID_PAYLOAD, KVM_VCPUEVENT_VALID_PAYLOAD);
	e.flags = KVM_VCPUEVENT_VALID_PAYLOAD;
	e.exception.pending = 1;
	e.exception.nr = EX_PF;
	e.exception.has_error_code = 1;
	e.exception.error_code = 6;
	e.exception_has_payload = 1;
	e.exception_payload = 0xabcdef000;
	need_ok(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	e = kt_events(v);
	check_eq(e.exception.pending, 1);
	check_eq(e.exception.injected, 0);
	check_eq(e.exception_payload, 0xabcdef000);
	check_eq(kt_sregs(v).cr2, 0);				/* not delivered yet */
	want_exception(v, EX_PF, 6, KT_CODE);
	if (!kt_host_bochs_svm())				/* whose VMRUN does not load it */
		check_eq(kt_sregs(v).cr2, 0xabcdef000);
}

TEST(event_triple_fault)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v;
	struct kvm_vcpu_events e;

	if (!kt_cap(vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT))
		skip("no KVM_CAP_X86_TRIPLE_FAULT_EVENT");
	need_ok(kt_enable_cap(vm->fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1));
	v = kt_vcpu_new(vm, 0, KT_LONG);
	kt_load(vm, nops);
	e = kt_events(v);
	check_eq(e.triple_fault.pending, 0);
	e.flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	e.triple_fault.pending = 1;
	need_ok(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	check_eq(kt_events(v).triple_fault.pending, 1);
	kt_run(v, KVM_EXIT_SHUTDOWN);
}

TEST(set_regs_drops_a_pending_exception)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);
	struct kt_vcpu *v;
	struct kvm_vcpu_events e;

	if (!kt_cap(vm, KVM_CAP_EXCEPTION_PAYLOAD))
		skip("no KVM_CAP_EXCEPTION_PAYLOAD");
	need_ok(kt_enable_cap(vm->fd, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	v = kt_vcpu_new(vm, 0, KT_LONG);
	kt_install_idt(v);
	kt_load(vm, fpu);
	e = kt_events(v);
	e.flags = KVM_VCPUEVENT_VALID_PAYLOAD;
	e.exception.pending = 1;
	e.exception.nr = EX_UD;
	need_ok(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2 });
	check_eq(kt_events(v).exception.pending, 0);
	kt_run(v, KVM_EXIT_HLT);
}

/* --- run state --- */

static int set_mp(struct kt_vcpu *v, uint32_t state)
{
	return ioctl(v->fd, KVM_SET_MP_STATE, &(struct kvm_mp_state){ state });
}

static uint32_t get_mp(struct kt_vcpu *v)
{
	struct kvm_mp_state s;

	need_ok(ioctl(v->fd, KVM_GET_MP_STATE, &s));
	return s.mp_state;
}

TEST(mp_state_without_irqchip)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	check_eq(get_mp(v), KVM_MP_STATE_RUNNABLE);
	need_ok(set_mp(v, KVM_MP_STATE_RUNNABLE));
	check_err(set_mp(v, KVM_MP_STATE_INIT_RECEIVED), EINVAL);
	check_err(set_mp(v, KVM_MP_STATE_SIPI_RECEIVED), EINVAL);
	check_err(set_mp(v, 11), EINVAL);
	check_err(ioctl(v->fd, KVM_SET_MP_STATE, 8), EFAULT);
	check_eq(get_mp(v), KVM_MP_STATE_RUNNABLE);
}

TEST(mp_state_with_irqchip)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_LONG), *ap = kt_vcpu_new(vm, 1, KT_REAL);

	check_eq(get_mp(v), KVM_MP_STATE_RUNNABLE);
	check_eq(get_mp(ap), KVM_MP_STATE_UNINITIALIZED);
	need_ok(set_mp(v, KVM_MP_STATE_HALTED));
	check_eq(get_mp(v), KVM_MP_STATE_HALTED);
	if (!kt_distro()) {
		check_err(set_mp(v, 5), EINVAL);
		check_err(set_mp(v, ~0u), EINVAL);
		check_eq(get_mp(v), KVM_MP_STATE_HALTED);
	}
	need_ok(set_mp(v, KVM_MP_STATE_RUNNABLE));
	need_ok(set_mp(ap, KVM_MP_STATE_INIT_RECEIVED));
	check_eq(get_mp(ap), KVM_MP_STATE_INIT_RECEIVED);
	kt_load(vm, fpu);
	need_ok(set_mp(ap, KVM_MP_STATE_RUNNABLE));
	check_eq(get_mp(ap), KVM_MP_STATE_RUNNABLE);
}

/* --- address translation --- */

TEST(translate)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_translation t = { .linear_address = 0x234567 };

	need_ok(ioctl(v->fd, KVM_TRANSLATE, &t));
	check_eq(t.valid, 1);
	check_eq(t.physical_address, 0x234567);
	t.linear_address = 0x40000000;
	need_ok(ioctl(v->fd, KVM_TRANSLATE, &t));
	check_eq(t.valid, 0);
	/* A page of 4 KB elsewhere. */
	kt_guest_u64(v->vm, KT_TABLES + 0x1008) = 0x8f000 | 7;
	kt_guest_u64(v->vm, 0x8f000) = 0x90000 | 7;
	kt_guest_u64(v->vm, 0x90000 + 8 * 5) = 0x77000 | 7;
	t.linear_address = 0x40005abc;
	need_ok(ioctl(v->fd, KVM_TRANSLATE, &t));
	check_eq(t.valid, 1);
	check_eq(t.physical_address, 0x77abc);
	if (!kt_distro()) {	/* which says 1 and 0 whatever the entries say */
		check_eq(t.writeable, 1);
		check_eq(t.usermode, 1);
		kt_guest_u64(v->vm, 0x90000 + 8 * 5) = 0x77000 | 1;
		need_ok(ioctl(v->fd, KVM_TRANSLATE, &t));
		check_eq(t.writeable, 0);
		check_eq(t.usermode, 0);
	}
	check_err(ioctl(v->fd, KVM_TRANSLATE, 8), EFAULT);
}

/* --- copies in the run structure --- */

GUEST64(sync_loop, "1: inc %rbx; mov $0x1000, %dx; out %al, (%dx); jmp 1b");
TEST(sync_regs)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_sync_regs *s = &v->run->s.regs;
	int all = kt_cap(v->vm, KVM_CAP_SYNC_REGS);
	struct kvm_regs r;
	struct kvm_sregs sr;
	struct kvm_vcpu_events e;

	check_eq(all, KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS);
	kt_load(v->vm, sync_loop);
	v->run->kvm_valid_regs = all;
	kt_run_to_out(v);
	r = kt_regs(v);
	sr = kt_sregs(v);
	e = kt_events(v);
	check(!memcmp(&r, &s->regs, sizeof(r)), "registers");
	check(!memcmp(&sr, &s->sregs, sizeof(sr)), "system registers");
	check(!memcmp(&e, &s->events, sizeof(e)), "events");
	/* Changed, but not said to be: ignored. */
	s->regs.rbx = 0xbad;
	kt_run_to_out(v);
	check_eq(s->regs.rbx, 2);
	s->regs.rbx = 0x1000;
	s->sregs.cr2 = 0x4321;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	kt_run_to_out(v);
	check_eq(v->run->kvm_dirty_regs, 0);
	check_eq(s->regs.rbx, 0x1001);
	if (!kt_host_bochs_svm())
		check_eq(kt_sregs(v).cr2, 0x4321);
	/* Not asked for: left alone. */
	v->run->kvm_valid_regs = 0;
	s->regs.rbx = 0xaaaa;
	kt_run_to_out(v);
	check_eq(s->regs.rbx, 0xaaaa);
	check_eq(kt_regs(v).rbx, 0x1002);
}

TEST(sync_regs_refused)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, sync_loop);
	for (int bit = 3; bit < 64; bit += 20) {
		v->run->kvm_valid_regs = 1ull << bit;
		check_err(ioctl(v->fd, KVM_RUN, 0), EINVAL);
		v->run->kvm_valid_regs = 0;
		v->run->kvm_dirty_regs = 1ull << bit;
		check_err(ioctl(v->fd, KVM_RUN, 0), EINVAL);
		v->run->kvm_dirty_regs = 0;
	}
	v->run->kvm_valid_regs = KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
	kt_run_to_out(v);
	v->run->s.regs.sregs.cr4 |= 1ull << 63;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINVAL);
	v->run->s.regs.events.flags = ~0u;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_EVENTS;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINVAL);
	v->run->kvm_dirty_regs = 0;
	kt_run_to_out(v);
	check_eq(kt_regs(v).rbx, 2);
}

/* --- the calls themselves --- */

TEST(run_refused)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	kt_load(v->vm, sync_loop);
	check_err(ioctl(v->fd, KVM_RUN, 1), EINVAL);
	v->run->cr8 = 16;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINVAL);
	v->run->cr8 = 3;
	kt_run_to_out(v);
	check_eq(kt_sregs(v).cr8, 3);
	check_eq(v->run->apic_base & ~0xfffull, 0xfee00000);
}

TEST(unknown_ioctl_and_bad_pointers)
{
	struct kt_vcpu *v = kt_long_vcpu(true);
	static const struct { unsigned long cmd; const char *name; } out[] = {
#define C(c)	{ c, #c }
		C(KVM_GET_REGS), C(KVM_GET_SREGS), C(KVM_GET_FPU), C(KVM_GET_LAPIC), C(KVM_GET_MP_STATE),
		C(KVM_GET_VCPU_EVENTS), C(KVM_GET_DEBUGREGS), C(KVM_GET_XSAVE), C(KVM_GET_XCRS), C(KVM_GET_SREGS2),
		C(KVM_SET_REGS), C(KVM_SET_SREGS), C(KVM_SET_FPU), C(KVM_SET_LAPIC), C(KVM_SET_MP_STATE),
		C(KVM_SET_VCPU_EVENTS), C(KVM_SET_DEBUGREGS), C(KVM_SET_XSAVE), C(KVM_SET_XCRS), C(KVM_SET_SREGS2),
		C(KVM_TRANSLATE), C(KVM_SET_CPUID2), C(KVM_GET_CPUID2), C(KVM_SET_CPUID), C(KVM_GET_MSRS),
			C(KVM_SET_MSRS),
		C(KVM_SET_GUEST_DEBUG), C(KVM_X86_SETUP_MCE), C(KVM_X86_SET_MCE), C(KVM_SET_SIGNAL_MASK),
		C(KVM_ENABLE_CAP), C(KVM_SET_VAPIC_ADDR),
	};
	struct kvm_regs before = kt_regs(v), after;
	int unknown = kt_distro() ? EINVAL : ENOTTY;

	for (unsigned int i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
		errno = 0;
		check(ioctl(v->fd, out[i].cmd, 8) < 0 && errno == EFAULT, "%s: %s", out[i].name, strerror(errno));
	}
	after = kt_regs(v);
	check(!memcmp(&before, &after, sizeof(after)), "a failed call changed registers");
	errno = 0;
	check_err(ioctl(v->fd, _IO(KVMIO, 0xfe), 0), unknown);
	check_err(ioctl(v->fd, KVM_CREATE_VCPU, 5), unknown);
	check_err(ioctl(v->fd, KVM_GET_API_VERSION, 0), unknown);
	check_err(ioctl(v->fd, _IOR(KVMIO, 0x81, char[7]), &before), unknown);
}

KT_CPU_MAIN
