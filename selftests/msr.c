// SPDX-License-Identifier: GPL-2.0-only
/*
 * Model-specific registers: the lists, KVM_GET_MSRS and KVM_SET_MSRS, what the guest reads, writes and is refused,
 * filters and accesses that user space answers. Expected values: SDM vol. 4; APM vol. 2, appendix A.
 */
#include "lib/cpu.h"

#define MSR_TSC			0x10
#define MSR_APIC_BASE		0x1b
#define MSR_TSC_ADJUST		0x3b
#define MSR_MTRRCAP		0xfe
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_MCG_CAP		0x179
#define MSR_MCG_STATUS		0x17a
#define MSR_MISC_ENABLE		0x1a0
#define MSR_MTRR_BASE0		0x200
#define MSR_MTRR_MASK0		0x201
#define MSR_MTRR_FIX64K		0x250
#define MSR_MTRR_FIX4K_F8	0x26f
#define MSR_POWER_CTL		0x1fc
#define MSR_PAT			0x277
#define MSR_MTRR_DEF		0x2ff
#define MSR_MC0_CTL		0x400
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_FMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS		0xc0000102
#define MSR_TSC_AUX		0xc0000103
#define MSR_KVM_WALL		0x4b564d00
#define MSR_NOWHERE		0xdead0000

#define MCG_MCIP		4
#define MCI_VAL			(1ull << 63)
#define MCI_UC			(1ull << 61)
#define MCI_EN			(1ull << 60)

/* RCX: register; write: RDX:RAX. What was read is at KT_DATA; then HLT. */
LABEL(rd_insn);
LABEL(wr_insn);
GUEST64(reader, "1: .globl rd_insn; rd_insn: rdmsr; shl $32, %rdx; or %rdx, %rax; mov %rax, 0x30000; hlt; jmp 1b");
GUEST64(tsc_reader, "rdtsc; shl $32, %rdx; or %rdx, %rax; mov %rax, 0x30000; hlt");
GUEST64(writer, "1: .globl wr_insn; wr_insn: wrmsr; hlt; jmp 1b");

static void start(struct kt_vcpu *v, bool write, uint32_t msr, uint64_t val)
{
	if (write)
		kt_load(v->vm, writer);
	else
		kt_load(v->vm, reader);
	kt_set_regs(v, &(struct kvm_regs){ .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2, .rcx = msr,
		.rax = (uint32_t)val,
					   .rdx = val >> 32 });
}

/* An exit for I/O ends with the next KVM_RUN: that it moves no RIP that is set in between. */
static void settle(struct kt_vcpu *v)
{
	v->run->immediate_exit = 1;
	check_err(ioctl(v->fd, KVM_RUN, 0), EINTR);
	v->run->immediate_exit = 0;
}

/* True: HLT was reached. */
static bool to_halt(struct kt_vcpu *v)
{
	if (kt_run_any(v) == KVM_EXIT_HLT)
		return true;
	settle(v);
	return false;
}

/* True: no exception. */
static bool guest_read(struct kt_vcpu *v, uint32_t msr, uint64_t *val)
{
	start(v, false, msr, 0);
	if (!to_halt(v))
		return false;
	*val = kt_guest_u64(v->vm, KT_DATA);
	return true;
}

static bool guest_write(struct kt_vcpu *v, uint32_t msr, uint64_t val)
{
	start(v, true, msr, val);
	return to_halt(v);
}

static uint64_t get(struct kt_vcpu *v, uint32_t msr)
{
	uint64_t val;

	need(kt_get_msr(v, msr, &val) == 1, "MSR %#x cannot be read", msr);
	return val;
}

/* --- lists --- */

static struct kvm_msr_list *list(int kvm, unsigned long cmd)
{
	struct kvm_msr_list probe = { 0 }, *l;

	check_err(ioctl(kvm, cmd, &probe), E2BIG);
	need(probe.nmsrs > 0 && probe.nmsrs < 4096, "%u registers", probe.nmsrs);
	l = calloc(1, sizeof(*l) + 4 * (probe.nmsrs + 1));
	l->nmsrs = probe.nmsrs - 1;
	check_err(ioctl(kvm, cmd, l), E2BIG);
	check_eq(l->nmsrs, probe.nmsrs);
	l->indices[probe.nmsrs] = 0x5a5a5a5a;
	l->nmsrs = probe.nmsrs;
	need_ok(ioctl(kvm, cmd, l));
	check_eq(l->nmsrs, probe.nmsrs);
	check_eq(l->indices[probe.nmsrs], 0x5a5a5a5a);
	for (uint32_t i = 0; i < l->nmsrs; i++)
		for (uint32_t j = 0; j < i; j++)
			check(l->indices[i] != l->indices[j], "%#x twice", l->indices[i]);
	check_err(ioctl(kvm, cmd, 8), EFAULT);
	return l;
}

static bool listed(const struct kvm_msr_list *l, uint32_t msr)
{
	for (uint32_t i = 0; i < l->nmsrs; i++)
		if (l->indices[i] == msr)
			return true;
	return false;
}

TEST(index_list)
{
	static const uint32_t want[] = { MSR_TSC, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT,
		MSR_STAR, MSR_LSTAR,
		MSR_CSTAR, MSR_FMASK, MSR_KERNEL_GS, MSR_MISC_ENABLE, MSR_TSC_ADJUST, MSR_TSC_DEADLINE, MSR_MCG_STATUS,
			MSR_KVM_WALL,
		MSR_KVM_WALL + 1, 0x11, 0x12 };
	struct kt_vcpu *v = kt_long_vcpu(true);
	struct kvm_msr_list *l = list(v->vm->kvm, KVM_GET_MSR_INDEX_LIST);

	check(l->nmsrs <= 256, "%u, more than VMMs provide for", l->nmsrs);
	for (unsigned int i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		check(listed(l, want[i]), "%#x is missing", want[i]);
	/* What is listed can be saved and restored. */
	for (uint32_t i = 0; i < l->nmsrs; i++) {
		uint64_t val;

		if (!check(kt_get_msr(v, l->indices[i], &val) == 1, "%#x cannot be read", l->indices[i]))
			continue;
		check(kt_set_msr(v, l->indices[i], val) == 1, "%#x: %#llx is not taken back", l->indices[i],
		      (unsigned long long)val);
	}
}

TEST(feature_list)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	struct kvm_msr_list *l = list(vm->kvm, KVM_GET_MSR_FEATURE_INDEX_LIST);

	need(kt_cap(vm, KVM_CAP_GET_MSR_FEATURES) == 1, "no KVM_CAP_GET_MSR_FEATURES");
	for (uint32_t i = 0; i < l->nmsrs; i++) {
		struct { struct kvm_msrs h; struct kvm_msr_entry e; } m = { .h.nmsrs = 1, .e.index = l->indices[i] };

		check(ioctl(vm->kvm, KVM_GET_MSRS, &m) == 1, "%#x cannot be read", l->indices[i]);
	}
	check(listed(l, 0x8b), "no microcode revision");
	if (kt_host_amd())
		check(listed(l, 0xc0011029), "no DE_CFG");
	/* On any CPU: guests that were started with it must find it wherever they go. */
	check(listed(l, 0x10a), "no ARCH_CAPABILITIES");
	check(kt_cpuid_leaf(kt_supported_cpuid(vm->kvm), 7, 0)->edx & 1 << 29, "no ARCH_CAPABILITIES in CPUID");
}

TEST(feature_get_stops)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	struct { struct kvm_msrs h; struct kvm_msr_entry e[2]; } m = { .h.nmsrs = 2, .e = { { MSR_NOWHERE },
		{ 0x8b } } };

	check_eq(ioctl(vm->kvm, KVM_GET_MSRS, &m), 0);
	m.e[0].index = 0x8b;
	m.e[1].index = MSR_NOWHERE;
	check_eq(ioctl(vm->kvm, KVM_GET_MSRS, &m), 1);
	m.h.nmsrs = 0;
	check_eq(ioctl(vm->kvm, KVM_GET_MSRS, &m), 0);
}

/* --- the calls --- */

TEST(get_and_set_stop_at_the_first_bad)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct { struct kvm_msrs h; struct kvm_msr_entry e[3]; } m = { .h.nmsrs = 3, .e = {
		{ MSR_STAR, 0, 0x1122334455667788 }, { MSR_NOWHERE, 0, 1 }, { MSR_CSTAR, 0, 0x4444 } } };

	check_eq(ioctl(v->fd, KVM_SET_MSRS, &m), 1);
	check_eq(get(v, MSR_STAR), 0x1122334455667788);
	check_eq(get(v, MSR_CSTAR), 0);
	m.e[0].data = m.e[2].data = 0x99;
	check_eq(ioctl(v->fd, KVM_GET_MSRS, &m), 1);
	check_eq(m.e[0].data, 0x1122334455667788);
	check_eq(m.e[2].data, 0x99);
	m.e[0].index = MSR_NOWHERE;
	check_eq(ioctl(v->fd, KVM_GET_MSRS, &m), 0);
	check_eq(ioctl(v->fd, KVM_SET_MSRS, &m), 0);
	m.h.nmsrs = 0;
	check_eq(ioctl(v->fd, KVM_GET_MSRS, &m), 0);
	check_eq(ioctl(v->fd, KVM_SET_MSRS, &m), 0);
}

TEST(calls_refused)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_msrs *m = calloc(1, sizeof(*m) + 300 * sizeof(m->entries[0]));

	for (int i = 0; i < 300; i++)
		m->entries[i].index = MSR_TSC;
	m->nmsrs = 255;
	check_eq(ioctl(v->fd, KVM_GET_MSRS, m), 255);
	m->nmsrs = 257;
	check_err(ioctl(v->fd, KVM_GET_MSRS, m), E2BIG);
	check_err(ioctl(v->fd, KVM_SET_MSRS, m), E2BIG);
	m->nmsrs = ~0u;
	check_err(ioctl(v->fd, KVM_GET_MSRS, m), E2BIG);
	check_err(ioctl(v->fd, KVM_GET_MSRS, 8), EFAULT);
	check_err(ioctl(v->fd, KVM_SET_MSRS, 8), EFAULT);
}

/* --- values of user space and of the guest --- */

static const struct { uint32_t msr; uint64_t a, b; } plain[] = {
	{ MSR_SYSENTER_CS, 0x10, 0x18 },
	{ MSR_SYSENTER_ESP, 0x12345678, 0x1000 },
	{ MSR_SYSENTER_EIP, 0x22345678, 0x2000 },
	{ MSR_POWER_CTL, 0x1234, 0 },
	{ MSR_PAT, 0x0007040600070406, 0x0105040600010406 },
	{ MSR_STAR, 0x0013000800000000, 0xfedcba9876543210 },
	{ MSR_LSTAR, 0xffffffff81000000, 0x00007fffffffffff },
	{ MSR_CSTAR, 0xffff800000000000, 0x1000 },
	{ MSR_FMASK, 0x47700, 0x200 },
	{ MSR_FS_BASE, 0x7fff12345000, 0xffffc90000000000 },
	{ MSR_GS_BASE, 0xffff888000001000, 0x5000 },
	{ MSR_KERNEL_GS, 0xffff888000002000, 0x6000 },
	{ MSR_MTRR_BASE0, 0x80000006, 0x40000000 },
	{ MSR_MTRR_MASK0, 0xf80000800, 0xfc0000000 },
	{ MSR_MTRR_FIX64K, 0x0606060606060606, 0 },
	{ MSR_MTRR_FIX4K_F8, 0x0505050505050505, 0x0406050400010104 },
	{ MSR_MTRR_DEF, 0xc06, 0x806 },
};

TEST(values)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	for (unsigned int i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		uint32_t msr = plain[i].msr;
		uint64_t val = 0;

		check(kt_set_msr(v, msr, plain[i].a) == 1, "%#x: KVM_SET_MSRS refuses %#llx", msr,
		      (unsigned long long)plain[i].a);
		check(guest_read(v, msr, &val) && val == plain[i].a, "%#x: the guest reads %#llx, set was %#llx", msr,
		      (unsigned long long)val, (unsigned long long)plain[i].a);
		check(guest_write(v, msr, plain[i].b), "%#x: the guest cannot write %#llx", msr,
		      (unsigned long long)plain[i].b);
		check(get(v, msr) == plain[i].b, "%#x: %#llx after the guest wrote %#llx", msr,
		      (unsigned long long)get(v, msr), (unsigned long long)plain[i].b);
	}
	check_eq(kt_sregs(v).fs.base, 0xffffc90000000000);
	check_eq(kt_sregs(v).gs.base, 0x5000);
}

TEST(efer)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint64_t val = 0;

	check(guest_read(v, MSR_EFER, &val));
	check_eq(val, 0x500);
	check(guest_write(v, MSR_EFER, 0xd01));
	check_eq(kt_sregs(v).efer, 0xd01);
	check(guest_write(v, MSR_EFER, 0x901), "LMA is not writable, and no fault");
	check_eq(kt_sregs(v).efer, 0xd01);
	check(!guest_write(v, MSR_EFER, 0xc01), "LME cleared while paging");
	check_eq(kt_sregs(v).efer, 0xd01);
}

/* --- refused to the guest --- */

static void want_gp(struct kt_vcpu *v, bool write, uint32_t msr, uint64_t val, int line)
{
	uint32_t got;

	start(v, write, msr, val);
	if (kt_run_any(v) != KVM_EXIT_IO || v->run->io.port != KT_PORT) {
		kt_fail(__FILE__, line, "%s of %#x, %#llx: exit %s", write ? "write" : "read", msr,
			(unsigned long long)val,
			kt_exit_name(v->run->exit_reason));
		return;
	}
	got = *(uint32_t *)((char *)v->run + v->run->io.data_offset);
	if (got != 0x100 + EX_GP || kt_guest_u32(v->vm, KT_DATA - 8) || kt_guest_u64(v->vm, KT_DATA - 16) != KT_CODE)
		kt_fail(__FILE__, line, "MSR %#x: OUT of %#x, error code %#x", msr, got, kt_guest_u32(v->vm,
			KT_DATA - 8));
	settle(v);
}

#define MSR_HWCR	0xc0010015
TEST(hardware_configuration)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	if (!kt_host_amd())
		skip("HWCR is AMD's");
	check_eq(kt_set_msr(v, MSR_HWCR, 1 << 18 | 1 << 3 | 1 << 6 | 1 << 8), 1);
	check_eq(get(v, MSR_HWCR), 1 << 18);		/* the others are for old errata */
	if (!kt_distro()) {				/* 6.1 does not keep TscFreqSel */
		check_eq(kt_set_msr(v, MSR_HWCR, 1 << 24), 1);
		check_eq(get(v, MSR_HWCR), 1 << 24);
	}
	check_eq(kt_set_msr(v, MSR_HWCR, 1 << 5), 0);
}

TEST(unknown_registers)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	want_gp(v, false, MSR_NOWHERE, 0, __LINE__);
	want_gp(v, true, MSR_NOWHERE, 0, __LINE__);
	want_gp(v, false, 0xffffffff, 0, __LINE__);
	want_gp(v, false, 0x1fff + 1, 0, __LINE__);
	want_gp(v, true, 0xc0002000, 0, __LINE__);
	want_gp(v, true, 0xc0001fff, 0, __LINE__);
}

static const struct { uint32_t msr; uint64_t val; bool tcg, intel; } bad[] = {
	{ MSR_EFER, 0x502 },				/* reserved bit 1 */
	{ MSR_EFER, 1ull << 32 | 0x500 },
	{ MSR_PAT, 0x0007040600070402 },		/* type 2 */
	{ MSR_PAT, 0x0807040600070406 },
	{ MSR_APIC_BASE, 0xfee00901 },
	{ MSR_APIC_BASE, 0xfee00500 },			/* x2APIC without enable */
	{ MSR_MTRR_DEF, 0x807 },			/* type 7 */
	{ MSR_MTRR_DEF, 0x1806 },
	{ MSR_MTRR_FIX64K, 0x0606060606060602 },
	{ MSR_MTRR_BASE0, 0x80000003 },
	{ MSR_MTRR_MASK0, 0xf80000900 },
	{ MSR_MTRRCAP, 0 },				/* read-only */
	{ MSR_LSTAR, 0x0100000000000000, true },	/* not canonical, be it of 48 bits or 57 */
	{ MSR_CSTAR, 0x0100000000000000, true },
	{ MSR_KERNEL_GS, 0x0200000000000000, true },
	{ MSR_FS_BASE, 0x7f00900000000000, true },
	{ MSR_GS_BASE, 0x7fff800000000000, true },
	{ MSR_TSC_AUX, 1ull << 32, true, true },	/* AMD's drops the upper half */
	{ MSR_MCG_CAP, 0 },
};

TEST(reserved_values)
{
	struct kt_vcpu *v = kt_long_vcpu(true);

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		/* QEMU's emulation lets the guest write these itself, and checks nothing. */
		if ((kt_host_tcg() && bad[i].tcg) || (kt_host_amd() && bad[i].intel))
			continue;
		want_gp(v, true, bad[i].msr, bad[i].val, __LINE__);
	}
}

TEST(reserved_values_of_user_space)
{
	struct kt_vcpu *v = kt_long_vcpu(true);

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		/* What is read-only to the guest may be user space's to set. */
		if (bad[i].msr == MSR_MTRRCAP || bad[i].msr == MSR_MCG_CAP || (kt_host_amd() && bad[i].intel))
			continue;
		check(kt_set_msr(v, bad[i].msr, bad[i].val) == 0, "%#x: %#llx is taken", bad[i].msr,
		      (unsigned long long)bad[i].val);
	}
}

/* Base registers are as wide as the processor's addresses may get, in any paging mode. */
TEST(wide_addresses)
{
	static const uint32_t msrs[] = { MSR_LSTAR, MSR_CSTAR, MSR_KERNEL_GS, MSR_FS_BASE, MSR_GS_BASE };
	struct kt_vcpu *v = kt_long_vcpu(true);
	uint64_t val = 0x00aaaaaaaaaaaaaa, got = 0;
	bool la57 = kt_cpuid_leaf(kt_supported_cpuid(v->vm->kvm), 7, 0)->ecx >> 16 & 1;

	if (kt_distro())
		skip("these modules go by CR4.LA57");
	for (unsigned int i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		check(kt_set_msr(v, msrs[i], val) == la57, "%#x", msrs[i]);
		if (la57) {
			check_eq(kt_get_msr(v, msrs[i], &got), 1);
			check_eq(got, val);
		} else if (!kt_host_tcg()) {
			want_gp(v, true, msrs[i], val, __LINE__);
		}
	}
}

/* --- time --- */

TEST(tsc)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint64_t val = 0, before, adjust = 0;

	check_eq(kt_set_msr(v, MSR_TSC, 1ull << 40), 1);
	if (!kt_host_tcg())					/* which has no such register, only the instruction */
		check(guest_read(v, MSR_TSC, &val) && val >> 36 == 1 << 4, "%#llx", (unsigned long long)val);
	start(v, false, 0, 0);
	kt_load(v->vm, tsc_reader);
	kt_run(v, KVM_EXIT_HLT);
	val = kt_guest_u64(v->vm, KT_DATA);
	check(val >= 1ull << 40 && val < (1ull << 40) + (1ull << 36), "%#llx", (unsigned long long)val);
	/* User space moves the counter: the adjustment stays; and the other way round. The guest moves both. */
	check_eq(get(v, MSR_TSC_ADJUST), 0);
	before = get(v, MSR_TSC);
	check_eq(kt_set_msr(v, MSR_TSC_ADJUST, 1ull << 44), 1);
	check(get(v, MSR_TSC) - before < 1ull << 36, "user space's write of TSC_ADJUST moved the counter");
	check(guest_read(v, MSR_TSC_ADJUST, &adjust));
	check_eq(adjust, 1ull << 44);
	before = get(v, MSR_TSC);
	check(guest_write(v, MSR_TSC_ADJUST, 1ull << 45));
	val = get(v, MSR_TSC) - before - (1ull << 44);
	check(val < 1ull << 36, "the guest's write of TSC_ADJUST moved the counter by %#llx more",
	      (unsigned long long)val);
	check(guest_write(v, MSR_TSC, 0));
	val = get(v, MSR_TSC_ADJUST);
	check((1ull << 45) - val > 1ull << 44, "the guest's write of TSC left TSC_ADJUST at %#llx",
	      (unsigned long long)val);
}

TEST(tsc_deadline)
{
	struct kt_vcpu *v = kt_long_vcpu(true);
	struct kvm_cpuid2 *c = kt_supported_cpuid(v->vm->kvm);
	uint64_t val;

	need(kt_cap(v->vm, KVM_CAP_TSC_DEADLINE_TIMER) == 1, "no TSC deadline timer");
	kt_cpuid_leaf(c, 1, 0)->ecx |= 1u << 24;
	kt_cpuid_leaf(c, 1, 0)->ebx &= 0xffffff;
	v = kt_vcpu_new(v->vm, 1, KT_LONG);		/* one that has not run: its CPUID may change */
	need_ok(ioctl(v->fd, KVM_SET_MP_STATE, &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE }));
	kt_cpuid_leaf(c, 1, 0)->ebx |= 1 << 24;
	need_ok(ioctl(v->fd, KVM_SET_CPUID2, c));
	kt_install_idt(v);
	/* Not in deadline mode: writes are ignored, reads give 0. */
	check_eq(kt_set_msr(v, MSR_TSC_DEADLINE, 1ull << 62), 1);
	check_eq(kt_get_msr(v, MSR_TSC_DEADLINE, &val), 1);
	check_eq(val, 0);
}

/* --- the local APIC's base, MISC_ENABLE --- */

TEST(apic_base)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, true);
	struct kt_vcpu *v = kt_vcpu_new(vm, 0, KT_LONG), *ap = kt_vcpu_new(vm, 1, KT_LONG);

	kt_install_idt(v);
	check_eq(get(v, MSR_APIC_BASE), 0xfee00900);
	check_eq(get(ap, MSR_APIC_BASE), 0xfee00800);
	check_eq(kt_set_msr(v, MSR_APIC_BASE, 0xfee00d00), 1);
	check_eq(kt_sregs(v).apic_base, 0xfee00d00);
	check_eq(kt_set_msr(v, MSR_APIC_BASE, 0xfee00900), 1);	/* user space may do what the guest may not */
	check_eq(kt_set_msr(v, MSR_APIC_BASE, 0xfee00d00), 1);
	want_gp(v, true, MSR_APIC_BASE, 0xfee00900, __LINE__);
	check_eq(get(v, MSR_APIC_BASE), 0xfee00d00);
}

TEST(misc_enable)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint64_t old = get(v, MSR_MISC_ENABLE), val = 0;

	check_eq(kt_set_msr(v, MSR_MISC_ENABLE, old ^ 1), 1);	/* fast strings */
	check(guest_read(v, MSR_MISC_ENABLE, &val));
	check_eq(val, old ^ 1);
	check(guest_write(v, MSR_MISC_ENABLE, old));
	check_eq(get(v, MSR_MISC_ENABLE), old);
}

TEST(mtrr_capability)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint64_t val = 0;

	check(guest_read(v, MSR_MTRRCAP, &val));
	check_eq(val & 0xff, 8);				/* variable ranges */
	check_eq(val & 0x500, 0x500);				/* fixed ranges, write combining */
	want_gp(v, false, MSR_MTRR_BASE0 + 16, 0, __LINE__);	/* no ninth */
}

/* --- machine checks --- */

static struct kt_vcpu *mce_vcpu(bool enabled)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_sregs s;
	uint64_t cap = 4;

	need_ok(ioctl(v->fd, KVM_X86_SETUP_MCE, &cap));
	if (enabled) {
		s = kt_sregs(v);
		s.cr4 |= 1 << 6;
		need_ok(ioctl(v->fd, KVM_SET_SREGS, &s));
	}
	return v;
}

TEST(machine_check_setup)
{
	struct kt_vcpu *v = mce_vcpu(false);
	uint64_t cap, val = 0;

	check(guest_read(v, MSR_MCG_CAP, &val));
	check_eq(val & 0xff, 4);
	check_eq(get(v, MSR_MC0_CTL), ~0ull);
	check(guest_write(v, MSR_MC0_CTL + 4 * 3, 0));
	check_eq(get(v, MSR_MC0_CTL + 4 * 3), 0);
	want_gp(v, false, MSR_MC0_CTL + 4 * 4, 0, __LINE__);	/* no such bank */
	want_gp(v, true, MSR_MC0_CTL, 0x1234, __LINE__);	/* all or nothing */
	cap = 33;
	check_err(ioctl(v->fd, KVM_X86_SETUP_MCE, &cap), EINVAL);
	cap = 0;
	check_err(ioctl(v->fd, KVM_X86_SETUP_MCE, &cap), EINVAL);
	cap = 1ull << 40 | 4;
	check_err(ioctl(v->fd, KVM_X86_SETUP_MCE, &cap), EINVAL);
}

TEST(machine_check)
{
	struct kt_vcpu *v = mce_vcpu(true);
	struct kvm_x86_mce m = { .status = MCI_VAL | MCI_UC | MCI_EN | 0x99, .addr = 0x1234000, .misc = 0x8c,
		.mcg_status = MCG_MCIP,
				 .bank = 2 };

	check_err(ioctl(v->fd, KVM_X86_SET_MCE, &(struct kvm_x86_mce){ .status = MCI_UC, .bank = 2 }), EINVAL);
	m.bank = 4;
	check_err(ioctl(v->fd, KVM_X86_SET_MCE, &m), EINVAL);
	m.bank = 2;
	kt_load(v->vm, reader);
	need_ok(ioctl(v->fd, KVM_X86_SET_MCE, &m));
	check_eq(get(v, MSR_MC0_CTL + 4 * 2 + 1), m.status);
	check_eq(get(v, MSR_MC0_CTL + 4 * 2 + 2), m.addr);
	check_eq(get(v, MSR_MC0_CTL + 4 * 2 + 3), m.misc);
	check_eq(get(v, MSR_MCG_STATUS), MCG_MCIP);
	want_exception(v, EX_MC, NO_ERROR, KT_CODE);
}

TEST(machine_check_that_nobody_takes)
{
	struct kt_vcpu *v = mce_vcpu(false);
	struct kvm_x86_mce m = { .status = MCI_VAL | MCI_UC | MCI_EN, .mcg_status = MCG_MCIP, .bank = 1 };

	kt_need_shutdown();
	kt_load(v->vm, reader);
	need_ok(ioctl(v->fd, KVM_X86_SET_MCE, &m));
	kt_run(v, KVM_EXIT_SHUTDOWN);
}

/* --- answered by user space, filtered --- */

static void want_access(struct kt_vcpu *v, uint32_t exit, uint32_t msr, uint32_t reason)
{
	kt_run(v, exit);
	check_eq(v->run->msr.index, msr);
	check_eq(v->run->msr.reason, reason);
	check_eq(v->run->msr.error, 0);
}

static void user_msrs(struct kt_vcpu *v, uint64_t reasons)
{
	need(kt_cap(v->vm, KVM_CAP_X86_USER_SPACE_MSR), "no KVM_CAP_X86_USER_SPACE_MSR");
	need_ok(kt_enable_cap(v->vm->fd, KVM_CAP_X86_USER_SPACE_MSR, reasons));
}

TEST(unknown_to_user_space)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	user_msrs(v, KVM_MSR_EXIT_REASON_UNKNOWN);
	start(v, false, MSR_NOWHERE, 0);
	want_access(v, KVM_EXIT_X86_RDMSR, MSR_NOWHERE, KVM_MSR_EXIT_REASON_UNKNOWN);
	check_eq(kt_regs(v).rip, KT_CODE);
	v->run->msr.data = 0x1122334455667788;
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0x1122334455667788);
	start(v, true, MSR_NOWHERE, 0x99887766aabbccdd);
	want_access(v, KVM_EXIT_X86_WRMSR, MSR_NOWHERE, KVM_MSR_EXIT_REASON_UNKNOWN);
	check_eq(v->run->msr.data, 0x99887766aabbccdd);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rip, KT_CODE + 3);
	/* Refused by user space. */
	start(v, false, MSR_NOWHERE, 0);
	want_access(v, KVM_EXIT_X86_RDMSR, MSR_NOWHERE, KVM_MSR_EXIT_REASON_UNKNOWN);
	v->run->msr.error = 1;
	want_exception(v, EX_GP, 0, KT_CODE);
	/* A bad value is another matter. */
	want_gp(v, true, MSR_PAT, 2, __LINE__);
}

/* The VMM sends the vCPU elsewhere instead of answering: nothing is skipped there, no register written. */
TEST(no_answer_after_a_move)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	struct kvm_regs r;

	if (kt_distro())
		skip("these modules skip wherever the vCPU is then");
	user_msrs(v, KVM_MSR_EXIT_REASON_UNKNOWN);
	start(v, false, MSR_NOWHERE, 0);
	want_access(v, KVM_EXIT_X86_RDMSR, MSR_NOWHERE, KVM_MSR_EXIT_REASON_UNKNOWN);
	v->run->msr.data = 0x1122334455667788;
	memcpy(v->vm->mem + KT_CODE + 0x100, "\xf4\x0f\x0b\x0f\x0b", 5);		/* hlt; ud2; ud2 */
	r = kt_regs(v);
	r.rip = KT_CODE + 0x100;
	r.rax = 7;
	kt_set_regs(v, &r);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rip, KT_CODE + 0x101);
	check_eq(kt_regs(v).rax, 7);
}

TEST(invalid_to_user_space)
{
	struct kt_vcpu *v = kt_long_vcpu(false);

	user_msrs(v, KVM_MSR_EXIT_REASON_INVAL);
	start(v, true, MSR_PAT, 0x0802);
	want_access(v, KVM_EXIT_X86_WRMSR, MSR_PAT, KVM_MSR_EXIT_REASON_INVAL);
	check_eq(v->run->msr.data, 0x0802);
	v->run->msr.error = 1;
	want_exception(v, EX_GP, 0, KT_CODE);
	check(get(v, MSR_PAT) != 0x0802);
}

static int set_filter(struct kt_vcpu *v, uint32_t flags, uint32_t range_flags, uint32_t base, uint32_t n,
		      uint8_t *bitmap)
{
	struct kvm_msr_filter f = { .flags = flags };

	if (n)
		f.ranges[0] = (struct kvm_msr_filter_range){ range_flags, n, base, bitmap };
	return ioctl(v->vm->fd, KVM_X86_SET_MSR_FILTER, &f);
}

TEST(filter_denies)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint8_t bits[8] = { 0xfb };				/* 0xc0000082 denied, neighbours allowed */
	uint64_t val;

	need_ok(set_filter(v, KVM_MSR_FILTER_DEFAULT_ALLOW, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, MSR_EFER, 8,
			   bits));
	want_gp(v, false, MSR_LSTAR, 0, __LINE__);
	want_gp(v, true, MSR_LSTAR, 5, __LINE__);
	check(guest_read(v, MSR_STAR, &val) && guest_write(v, MSR_CSTAR, 7), "a neighbour");
	check_eq(kt_set_msr(v, MSR_LSTAR, 0x1000), 1);		/* user space is not filtered */
	check_eq(get(v, MSR_LSTAR), 0x1000);
	/* Writes only. */
	need_ok(set_filter(v, KVM_MSR_FILTER_DEFAULT_ALLOW, KVM_MSR_FILTER_WRITE, MSR_EFER, 8, bits));
	check(guest_read(v, MSR_LSTAR, &val) && val == 0x1000, "a read");
	want_gp(v, true, MSR_LSTAR, 5, __LINE__);
	/* And off again. */
	need_ok(set_filter(v, KVM_MSR_FILTER_DEFAULT_ALLOW, 0, 0, 0, NULL));
	check(guest_write(v, MSR_LSTAR, 5) && get(v, MSR_LSTAR) == 5, "the filter is still there");
}

TEST(filter_to_user_space)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint8_t bits[8] = { 0x04 };				/* 0xc0000082 alone allowed */

	user_msrs(v, KVM_MSR_EXIT_REASON_FILTER);
	need_ok(set_filter(v, KVM_MSR_FILTER_DEFAULT_DENY, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, MSR_EFER, 8,
			   bits));
	check(guest_write(v, MSR_LSTAR, 5) && get(v, MSR_LSTAR) == 5, "the one that is allowed");
	start(v, false, MSR_STAR, 0);
	want_access(v, KVM_EXIT_X86_RDMSR, MSR_STAR, KVM_MSR_EXIT_REASON_FILTER);
	v->run->msr.data = 0x42;
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0x42);
	start(v, true, MSR_PAT, 0x0606060606060606);		/* outside of the ranges: the default */
	want_access(v, KVM_EXIT_X86_WRMSR, MSR_PAT, KVM_MSR_EXIT_REASON_FILTER);
	kt_run(v, KVM_EXIT_HLT);
	check(get(v, MSR_PAT) != 0x0606060606060606, "user space had it");
}

GUEST64(emulated_reader, KT_FORCE "rdmsr; shl $32, %rdx; or %rdx, %rax; mov %rax, 0x30000; hlt");
GUEST64(emulated_writer, KT_FORCE "wrmsr; hlt");

/* The emulator is no way round a filter. */
TEST(filter_of_emulated_accesses)
{
	struct kvm_regs r = { .rip = KT_CODE, .rsp = KT_STACK, .rflags = 2, .rcx = MSR_STAR, .rax = 5 };
	struct kt_vcpu *v = kt_long_vcpu(false);
	uint8_t bits[8] = { 0x04 };

	if (!kt_force_prefix())
		skip("force_emulation_prefix is off and cannot be written");
	need_ok(set_filter(v, KVM_MSR_FILTER_DEFAULT_DENY, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, MSR_EFER, 8,
			   bits));
	kt_load(v->vm, emulated_writer);
	kt_set_regs(v, &r);
	want_exception(v, EX_GP, 0, KT_CODE + 5);
	check(get(v, MSR_STAR) != 5);
	user_msrs(v, KVM_MSR_EXIT_REASON_FILTER);
	kt_load(v->vm, emulated_writer);
	kt_set_regs(v, &r);
	want_access(v, KVM_EXIT_X86_WRMSR, MSR_STAR, KVM_MSR_EXIT_REASON_FILTER);
	check_eq(v->run->msr.data, 5);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_regs(v).rip, KT_CODE + 8);
	kt_load(v->vm, emulated_reader);
	kt_set_regs(v, &r);
	want_access(v, KVM_EXIT_X86_RDMSR, MSR_STAR, KVM_MSR_EXIT_REASON_FILTER);
	v->run->msr.data = 0x42;
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), 0x42);
	r.rcx = MSR_LSTAR;
	kt_set_regs(v, &r);
	kt_run(v, KVM_EXIT_HLT);
	check_eq(kt_guest_u64(v->vm, KT_DATA), get(v, MSR_LSTAR));
}

TEST(filter_arguments)
{
	struct kt_vcpu *v = kt_long_vcpu(false);
	static uint8_t bits[0x1000];
	struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	const uint32_t both = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;

	check_err(set_filter(v, KVM_MSR_FILTER_DEFAULT_DENY, 0, 0, 0, NULL), EINVAL);	/* denies all */
	check_err(set_filter(v, 2, both, MSR_EFER, 8, bits), EINVAL);
	check_err(set_filter(v, 0, 4, MSR_EFER, 8, bits), EINVAL);
	check_err(set_filter(v, 0, 0, MSR_EFER, 8, bits), EINVAL);
	check_err(set_filter(v, 0, both, MSR_EFER, 0x600 * 8 + 1, bits), EINVAL);
	check_err(ioctl(v->vm->fd, KVM_X86_SET_MSR_FILTER, 8), EFAULT);
	f.ranges[3] = (struct kvm_msr_filter_range){ both, 64, MSR_EFER, (uint8_t *)8 };
	check_err(ioctl(v->vm->fd, KVM_X86_SET_MSR_FILTER, &f), EFAULT);
	check(guest_write(v, MSR_LSTAR, 5), "a refused filter is in force");
	check_err(kt_enable_cap(v->vm->fd, KVM_CAP_X86_USER_SPACE_MSR, 1 << 10), EINVAL);
}

KT_CPU_MAIN
