// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID: what is supported, what user space sets and reads back, what the guest sees, and which features open which
 * control bits. Expected values: SDM vol. 2, CPUID; APM vol. 3, appendix E.
 */
#include <cpuid.h>
#include "lib/cpu.h"

#define MAX_ENTRIES	256

/* Room for n entries. */
static struct kvm_cpuid2 *table(uint32_t n)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));

	c->nent = n;
	return c;
}

static struct kvm_cpuid2 *readback(struct kt_vcpu *v)
{
	struct kvm_cpuid2 *c = table(MAX_ENTRIES);

	memset(c->entries, 0xff, MAX_ENTRIES * sizeof(c->entries[0]));
	need_ok(ioctl(v->fd, KVM_GET_CPUID2, c));
	/* Modules before 6.10 leave the number alone. */
	while (kt_distro() && c->nent && c->entries[c->nent - 1].function == ~0u)
		c->nent--;
	return c;
}

/* --- the lists --- */

static void check_sizes(int kvm, unsigned long cmd)
{
	struct kvm_cpuid2 *all = table(MAX_ENTRIES), *c;
	uint32_t n;

	need_ok(ioctl(kvm, cmd, all));
	n = all->nent;
	need(n > 0 && n <= 80, "%u entries", n);		/* 80: what VMMs make room for */
	c = table(n);
	if (!kt_distro() || cmd != KVM_GET_EMULATED_CPUID) {	/* there it wants room for one more */
		need_ok(ioctl(kvm, cmd, c));
		check_eq(c->nent, n);
		check(!memcmp(c->entries, all->entries, n * sizeof(c->entries[0])), "another answer");
	}
	c->nent = n - 1;
	check_err(ioctl(kvm, cmd, c), E2BIG);
	c->nent = 0;
	check_err(ioctl(kvm, cmd, c), E2BIG);
	check_err(ioctl(kvm, cmd, 8), EFAULT);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < i; j++)
			check(all->entries[i].function != all->entries[j].function ||
			      all->entries[i].index != all->entries[j].index, "leaf %x.%x twice",
				all->entries[i].function,
			      all->entries[i].index);
}

TEST(supported_sizes)
{
	check_sizes(kt_vm_new(0, false)->kvm, KVM_GET_SUPPORTED_CPUID);
}

TEST(emulated_sizes)
{
	struct kt_vm *vm = kt_vm_new(0, false);

	if (!kt_cap(vm, KVM_CAP_EXT_EMUL_CPUID))
		skip("no KVM_CAP_EXT_EMUL_CPUID");
	check_sizes(vm->kvm, KVM_GET_EMULATED_CPUID);
}

static const struct { uint32_t leaf, sub; int reg; uint32_t extra; } words[] = {
	{ 1, 0, 2, 1u << 21 | 1u << 24 | 1u << 31 |
		1u << 22 },	/* ECX; x2APIC, deadline, hypervisor, MOVBE are made here */
	{ 1, 0, 3, 0 },						/* EDX */
	{ 7, 0, 1, 1u << 1 },					/* EBX; TSC_ADJUST */
	{ 7, 0, 2, 1u << 2 | 1u << 22 },			/* ECX; UMIP, RDPID */
	{ 0x80000001, 0, 2, 0 },
	{ 0x80000001, 0, 3, 1u << 27 },				/* RDTSCP */
};

TEST(supported_contents)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	struct kvm_cpuid2 *c = kt_supported_cpuid(vm->kvm);
	struct kvm_cpuid_entry2 *e = kt_cpuid_leaf(c, 0, 0);
	uint32_t host[4];

	need(e && kt_cpuid_leaf(c, 1, 0) && kt_cpuid_leaf(c, 0x80000000, 0), "leaves are missing");
	__cpuid(0, host[0], host[1], host[2], host[3]);
	check(e->ebx == host[1] && e->ecx == host[2] && e->edx == host[3], "another vendor than the host's");
	for (uint32_t i = 0; i < c->nent; i++) {
		uint32_t fn = c->entries[i].function, top = kt_cpuid_leaf(c, fn & 0xc0000000, 0) ?
			kt_cpuid_leaf(c, fn & 0xc0000000, 0)->eax : 0;

		check(fn <= top, "leaf %x beyond the highest, %x", fn, top);
	}
	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		uint32_t got;

		__cpuid_count(words[i].leaf, words[i].sub, host[0], host[1], host[2], host[3]);
		e = kt_cpuid_leaf(c, words[i].leaf, words[i].sub);
		got = e ? (&e->eax)[words[i].reg] : 0;
		check(!(got & ~host[words[i].reg] & ~words[i].extra), "leaf %x, register %d: %#x of %#x are not the "
		      "host's",
		      words[i].leaf, words[i].reg, got & ~host[words[i].reg], got);
	}
	e = kt_cpuid_leaf(c, 1, 0);
	check_eq(e->ecx >> 21 & 1, 1);				/* x2APIC: with the local APIC in the kernel */
	check_eq(e->ecx >> 24 & 1, 0);				/* the deadline timer is told by its capability */
	e = kt_cpuid_leaf(c, 0x40000000, 0);
	need(e, "no hypervisor leaf");
	check(!memcmp(&e->ebx, "KVMKVMKVM\0\0\0", 12), "signature");
	check(kt_cpuid_leaf(c, 0x40000001, 0) != NULL, "no features of the hypervisor");
}

/* --- set and read back --- */

static struct kvm_cpuid2 *sample(void)
{
	struct kvm_cpuid2 *c = table(7);

	c->entries[0] = (struct kvm_cpuid_entry2){ .function = 0, .eax = 7, .ebx = 0x756e6547, .ecx = 0x6c65746e,
		.edx = 0x49656e69 };
	c->entries[1] = (struct kvm_cpuid_entry2){ .function = 1, .eax = 0x663, .edx = 0x078bfbff };
	c->entries[2] = (struct kvm_cpuid_entry2){ .function = 4, .index = 0, .flags = 1, .eax = 0x121,
		.ebx = 0x1c0003f };
	c->entries[3] = (struct kvm_cpuid_entry2){ .function = 4, .index = 1, .flags = 1, .eax = 0x122,
		.ebx = 0x1c0003e };
	c->entries[4] = (struct kvm_cpuid_entry2){ .function = 7, .flags = 1, .ecx = 0, .edx = 0x40 };
	c->entries[5] = (struct kvm_cpuid_entry2){ .function = 0x80000000, .eax = 0x80000001, .ebx = 0x11, .ecx = 0x22,
		.edx = 0x33 };
	c->entries[6] = (struct kvm_cpuid_entry2){ .function = 0x80000001, .edx = 0x20100800 };
	return c;
}

static struct kt_vcpu *bare_vcpu(void)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, false);

	return kt_vcpu_new(vm, 0, KT_REAL);
}

TEST(set_and_get)
{
	struct kt_vcpu *v = bare_vcpu();
	struct kvm_cpuid2 *c = sample(), *back, *small = table(8);

	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	back = readback(v);
	check_eq(back->nent, 7);
	for (int i = 0; i < 7; i++) {
		struct kvm_cpuid_entry2 *a = &c->entries[i], *b = &back->entries[i];

		check(a->function == b->function && a->index == b->index && a->flags == b->flags && a->eax == b->eax &&
		      a->ebx == b->ebx && a->ecx == b->ecx && a->edx == b->edx, "entry %d, leaf %x.%x", i, a->function,
			a->index);
	}
	small->nent = 6;
	check_err(ioctl(v->fd, KVM_GET_CPUID2, small), E2BIG);
	if (!kt_distro())		/* which writes the true number there until 6.12 */
		check_eq(small->nent, 6);
	check_err(ioctl(v->fd, KVM_GET_CPUID2, 8), EFAULT);
	small->nent = 0;
	need_ok(ioctl(v->fd, KVM_SET_CPUID2, small));
	check_eq(readback(v)->nent, 0);
}

TEST(set_refused)
{
	struct kt_vcpu *v = bare_vcpu();
	struct kvm_cpuid2 *c = table(300), *old = readback(v), *now;

	c->nent = MAX_ENTRIES + 1;
	check_err(ioctl(v->fd, KVM_SET_CPUID2, c), E2BIG);
	check_err(ioctl(v->fd, KVM_SET_CPUID, c), E2BIG);
	c->nent = ~0u;
	check_err(ioctl(v->fd, KVM_SET_CPUID2, c), E2BIG);
	check_err(ioctl(v->fd, KVM_SET_CPUID2, 8), EFAULT);
	c->nent = 1;
	c->entries[0] = (struct kvm_cpuid_entry2){ .function = 0x80000008, .eax = 39 << 8 | 36 };
	check_err(ioctl(v->fd, KVM_SET_CPUID2, c), EINVAL);	/* neither 48 nor 57 linear bits */
	now = readback(v);
	check(now->nent == old->nent && !memcmp(now->entries, old->entries, old->nent * sizeof(old->entries[0])),
	      "a refused table is there");
}

TEST(old_format)
{
	struct kt_vcpu *v = bare_vcpu();
	struct { struct kvm_cpuid h; struct kvm_cpuid_entry e[2]; } old = { .h.nent = 2, .e = {
		{ .function = 0, .eax = 1, .ebx = 5, .ecx = 6, .edx = 7 }, { .function = 1, .eax = 0x633,
			.edx = 0x3ff } } };
	struct kvm_cpuid2 *c;

	need_ok(ioctl(v->fd, KVM_SET_CPUID, &old));
	c = readback(v);
	check_eq(c->nent, 2);
	check_eq(c->entries[0].ecx, 6);
	check_eq(c->entries[0].flags | c->entries[0].index, 0);
	check_eq(c->entries[1].eax, 0x633);
}

/* --- what the guest sees --- */

GUEST64(ask, "1: cpuid; mov %eax, 0x30000; mov %ebx, 0x30004; mov %ecx, 0x30008; mov %edx, 0x3000c; hlt; jmp 1b");

static void guest_cpuid(struct kt_vcpu *v, uint32_t leaf, uint32_t sub, uint32_t *r)
{
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2, .rcx = ~0ull << 32 | sub,
					   .rax = ~0ull << 32 | leaf });
	kt_run(v, KVM_EXIT_HLT);
	memcpy(r, v->vm->mem + KT_DATA, 16);
	check_eq(kt_regs(v).rbx >> 32, 0);
}

TEST(guest_sees_it)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_cpuid2 *c = sample();
	uint32_t r[4];

	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	kt_load(v->vm, ask);
	for (int i = 0; i < 7; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		guest_cpuid(v, e->function, e->index, r);
		check(r[0] == e->eax && r[1] == e->ebx && (r[2] | 1 << 27) == (e->ecx | 1 << 27) && r[3] == e->edx,
		      "leaf %x.%x: %x %x %x %x", e->function, e->index, r[0], r[1], r[2], r[3]);
	}
	/* A leaf without sub-leaves has one answer. */
	guest_cpuid(v, 0x80000000, 17, r);
	check_eq(r[1], 0x11);
	/* A sub-leaf that is not there. */
	guest_cpuid(v, 4, 2, r);
	check_eq(r[0] | r[1] | r[2] | r[3], 0);
	/* Beyond the highest: Intel answers with the highest basic leaf (this table says Intel). */
	guest_cpuid(v, 0x20, 0, r);
	check_eq(r[3], 0x40);
	guest_cpuid(v, 0x80000020, 0, r);
	check_eq(r[3], 0x40);
}

TEST(guest_of_amd_sees_zeros_beyond)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_cpuid2 *c = sample();
	uint32_t r[4];

	memcpy(&c->entries[0].ebx, "AuthcAMDenti", 12);
	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	kt_load(v->vm, ask);
	guest_cpuid(v, 0x20, 0, r);
	check_eq(r[0] | r[1] | r[2] | r[3], 0);
	guest_cpuid(v, 0x80000020, 0, r);
	check_eq(r[0] | r[1] | r[2] | r[3], 0);
}

TEST(follows_the_state)
{
	struct kt_vcpu *v = kt_long_vcpu(true);
	struct kvm_cpuid2 *c = kt_supported_cpuid(v->vm->kvm);
	struct kvm_sregs s = kt_sregs(v);
	struct kvm_cpuid_entry2 *e;

	if (!(kt_cpuid_leaf(c, 1, 0)->ecx >> 26 & 1))
		skip("no XSAVE");
	s.cr4 |= 1 << 18;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	e = kt_cpuid_leaf(readback(v), 1, 0);
	check_eq(e->ecx >> 27 & 1, 1);				/* OSXSAVE is CR4.OSXSAVE */
	check_eq(e->edx >> 9 & 1, 1);				/* APIC */
	s.cr4 &= ~(1ull << 18);
	s.apic_base &= ~0x800ull;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	e = kt_cpuid_leaf(readback(v), 1, 0);
	check_eq(e->ecx >> 27 & 1, 0);
	check_eq(e->edx >> 9 & 1, 0);				/* switched off by its base register */
}

TEST(not_changed_after_a_run)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_cpuid2 *c = sample();
	uint32_t r[4];

	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	kt_load(v->vm, ask);
	guest_cpuid(v, 0, 0, r);
	c = readback(v);
	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));		/* the same */
	c->entries[6].edx ^= 1 << 20;
	check_err(ioctl(v->fd, KVM_SET_CPUID2, c), EINVAL);
	c->entries[6].edx ^= 1 << 20;
	c->nent--;
	check_err(ioctl(v->fd, KVM_SET_CPUID2, c), EINVAL);
	guest_cpuid(v, 0x80000001, 0, r);
	check_eq(r[3], 0x20100800);
}

/* --- features and what they open --- */

static const struct gate { const char *name; uint32_t leaf; int reg, bit; uint64_t cr4, efer; } gates[] = {
	{ "UMIP", 7, 2, 2, 1 << 11 },
	{ "LA57", 7, 2, 16, 1 << 12 },
	{ "FSGSBASE", 7, 1, 0, 1 << 16 },
	{ "PCID", 1, 2, 17, 1 << 17 },
	{ "XSAVE", 1, 2, 26, 1 << 18 },
	{ "SMEP", 7, 1, 7, 1 << 20 },
	{ "SMAP", 7, 1, 20, 1 << 21 },
	{ "PKU", 7, 2, 3, 1 << 22 },
	{ "NX", 0x80000001, 3, 20, 0, 1 << 11 },
};

GUEST64(set_cr4, "mov %rax, %cr4; mov %cr4, %rbx; hlt");
GUEST64(set_efer, "wrmsr; rdmsr; mov %eax, %ebx; hlt");

/* Guest and user space try the bit. */
static void try_gate(const struct gate *g, struct kvm_cpuid2 *c, bool on)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_sregs s = kt_sregs(v);
	uint64_t want;
	uint32_t exit;

	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	kt_guest_u64(v->vm, KT_PD) = 0x83;			/* nothing of user mode's: SMEP, SMAP */
	want = g->efer ? s.efer | g->efer : s.cr4 | g->cr4;
	if (g->efer)
		kt_load(v->vm, set_efer);
	else
		kt_load(v->vm, set_cr4);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2, .rcx = 0xc0000080,
		.rax = want });
	if (on && g->cr4 != 1 << 12) {				/* LA57 may not be changed in long mode at all */
		exit = kt_run_any(v);
		check(exit == KVM_EXIT_HLT && kt_regs(v).rbx == want, "%s: exit %s, the register is %llx", g->name,
		      kt_exit_name(exit), kt_regs(v).rbx);
	} else {
		want_exception(v, EX_GP, 0, KT_CODE);
	}
	kt_vm_free(v->vm);
	v = kt_long_vcpu(false);
	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	s = kt_sregs(v);
	s.cr4 |= g->cr4;
	s.efer |= g->efer;
	if (g->cr4 != 1 << 12 && !(kt_distro() && g->efer))
		check((ioctl(v->fd, KVM_SET_SREGS, &s) == 0) == on, "%s: KVM_SET_SREGS", g->name);
	kt_vm_free(v->vm);
}

TEST(gates)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	struct kvm_cpuid2 *c = kt_supported_cpuid(vm->kvm);

	for (unsigned int i = 0; i < sizeof(gates) / sizeof(gates[0]); i++) {
		const struct gate *g = &gates[i];
		struct kvm_cpuid_entry2 *e = kt_cpuid_leaf(c, g->leaf, 0);
		uint32_t *word = e ? &(&e->eax)[g->reg] : NULL, old = word ? *word : 0;

		if (old >> g->bit & 1) {
			try_gate(g, c, true);
			*word &= ~(1u << g->bit);
		}
		try_gate(g, c, false);
		if (word)
			*word = old;
	}
}

TEST(physical_addresses)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_cpuid2 *c = kt_supported_cpuid(v->vm->kvm);
	struct kvm_cpuid_entry2 *e = kt_cpuid_leaf(c, 0x80000008, 0);
	struct kvm_sregs s = kt_sregs(v);

	need(e && (e->eax & 0xff) > 36, "physical addresses of %u bits", e ? e->eax & 0xff : 0);
	e->eax = (e->eax & ~0xffu) | 36;
	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	s.cr3 |= 1ull << 36;
	check_err(ioctl(v->fd, KVM_SET_SREGS, &s), EINVAL);
	s.cr3 ^= 1ull << 36 | 1ull << 35;
	need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
}

/* Registers that a feature brings with it. */
TEST(registers_follow)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_cpuid2 *c = kt_supported_cpuid(v->vm->kvm);
	static const struct { uint32_t leaf; int reg, bit; uint32_t msr; } t[] = {
		{ 7, 1, 1, 0x3b },				/* TSC_ADJUST */
		{ 7, 3, 29, 0x10a },				/* ARCH_CAPABILITIES */
	};

	GUEST64(rd, "rdmsr; hlt");
	for (int i = 0; i < 2; i++) {
		struct kvm_cpuid_entry2 *e = kt_cpuid_leaf(c, t[i].leaf, 0);

		if (!e || !((&e->eax)[t[i].reg] >> t[i].bit & 1))
			continue;
		for (int on = 1; on >= 0; on--) {
			v = kt_long_vcpu(false);
			if (!on)
				(&e->eax)[t[i].reg] &= ~(1u << t[i].bit);
			need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
			kt_load(v->vm, rd);
			kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2,
				.rcx = t[i].msr });
			/* Without its feature TSC_ADJUST may still read as what user space keeps there. */
			if (on || t[i].msr == 0x3b)
				kt_run(v, KVM_EXIT_HLT);
			else
				want_exception(v, EX_GP, 0, KT_CODE);
		}
	}
}

KT_CPU_MAIN
