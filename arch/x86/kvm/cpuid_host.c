// SPDX-License-Identifier: GPL-2.0-only
/*
 * What guests may be given by CPUID: KVM_GET_SUPPORTED_CPUID and KVM_GET_EMULATED_CPUID.
 *
 * Feature words are a table: which bits this version can give where the host has them, and which it makes itself.
 * "The host has them" means both the CPU and the host kernel, which hides what is broken or switched off. Leaves that
 * describe rather than promise (caches, sizes, names) are copied or composed by a small function each. The whole set
 * is computed once, when the vendor has registered, and is constant from then on.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/kernel.h>
#include <linux/kvm.h>
#include <linux/sched/stat.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/fpu/types.h>
#include <asm/kvm_para.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include <kvm/x86/fpu.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/machine.h>
#include "regs.h"

/* VMMs with a fixed buffer have room for so many. */
#define GIVEN_MAX	80
#define MAX_BASIC	0x1fu
#define MAX_EXTENDED	0x80000021u
#define HAS_INDEX	KVM_CPUID_FLAG_SIGNIFCANT_INDEX

static struct kvm_cpuid_entry2 given[GIVEN_MAX];
static unsigned int given_n;

/* XSAVE components as leaf 0DH describes them. */
static struct {
	u32 size, offset;
	bool aligned;
} component[63];

/* --- feature words --- */

enum { EAX, EBX, ECX, EDX };

struct feature_word {
	u32 function;
	u8 index, reg;
	s8 kernel;		/* word of boot_cpu_data.x86_capability, -1: the kernel has none */
	u32 pass;		/* given where the host has it */
	u32 made;		/* given always */
};

#define B(n)	(1u << (n))
static const struct feature_word words[] = {
	/*
	 * SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND; x2APIC and "there is a
	 * hypervisor" are ours. TSC-deadline depends on the local APIC: KVM_CAP_TSC_DEADLINE_TIMER.
	 */
	{ 1, 0, ECX, CPUID_1_ECX,
	  B(0) | B(1) | B(9) | B(12) | B(13) | B(17) | B(19) | B(20) | B(22) | B(23) | B(25) | B(26) | B(28) |
	  B(29) | B(30),
	  B(21) | B(31) },
	/* FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFLUSH MMX FXSR SSE SSE2 SS */
	{ 1, 0, EDX, CPUID_1_EDX,
	  B(0) | B(1) | B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(11) | B(13) | B(15) | B(16) | B(17) |
	  B(19) | B(23) | B(24) | B(25) | B(26) | B(27),
	  B(9) | B(12) | B(14) },
	/*
	 * FSGSBASE BMI1 HLE AVX2 FDP-on-exceptions SMEP BMI2 ERMS INVPCID RTM no-FCS AVX512F/DQ RDSEED ADX SMAP
	 * AVX512IFMA CLFLUSHOPT CLWB AVX512PF/ER/CD SHA AVX512BW/VL; TSC_ADJUST is ours.
	 */
	{ 7, 0, EBX, CPUID_7_0_EBX,
	  B(0) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | B(10) | B(11) | B(13) | B(16) | B(17) | B(18) |
	  B(19) | B(20) | B(21) | B(23) | B(24) | B(26) | B(27) | B(28) | B(29) | B(30) | B(31),
	  B(1) },
	/*
	 * PREFETCHWT1 VBMI UMIP PKU VBMI2 GFNI VAES VPCLMUL VNNI BITALG VPOPCNTDQ LA57 RDPID CLDEMOTE MOVDIRI
	 * MOVDIR64B
	 */
	{ 7, 0, ECX, CPUID_7_ECX,
	  B(0) | B(1) | B(2) | B(3) | B(6) | B(8) | B(9) | B(10) | B(11) | B(12) | B(14) | B(16) | B(22) | B(25) |
	  B(27) | B(28), 0 },
	/*
	 * 4VNNIW 4FMAPS FSRM VP2INTERSECT MD_CLEAR SERIALIZE TSXLDTRK AVX512-FP16 SPEC_CTRL STIBP SSBD;
	 * ARCH_CAPABILITIES is ours: what it says holds on CPUs without the MSR as well
	 */
	{ 7, 0, EDX, CPUID_7_EDX,
	  B(2) | B(3) | B(4) | B(8) | B(10) | B(14) | B(16) | B(23) | B(26) | B(27) | B(31), B(29) },
	/* SHA512 SM3 SM4 AVX-VNNI AVX512-BF16 CMPCCXADD FZRM FSRS FSRC AVX-IFMA */
	{ 7, 1, EAX, CPUID_7_1_EAX,
	  B(0) | B(1) | B(2) | B(4) | B(5) | B(7) | B(10) | B(11) | B(12) | B(23), 0 },
	/* AVX-VNNI-INT8 AVX-NE-CONVERT AVX-VNNI-INT16 PREFETCHI */
	{ 7, 1, EDX, -1, B(4) | B(5) | B(10) | B(14), 0 },
	/* MCDT_NO: the controls of SPEC_CTRL that this leaf also lists are not given. */
	{ 7, 2, EDX, -1, B(5), 0 },
	/* XSAVEOPT XSAVEC XGETBV(1) XSAVES */
	{ 0xd, 1, EAX, CPUID_D_1_EAX, B(0) | B(1) | B(2) | B(3), 0 },
	/* LAHF CR8-by-LOCK ABM SSE4A misaligned-SSE 3DNow-prefetch XOP FMA4 TBM TOPOEXT */
	{ 0x80000001, 0, ECX, CPUID_8000_0001_ECX,
	  B(0) | B(4) | B(5) | B(6) | B(7) | B(8) | B(11) | B(16) | B(21) | B(22), 0 },
	/*
	 * As leaf 1's where AMD repeats it, then SYSCALL NX MMXEXT FXSR-opt 1G-pages RDTSCP LM 3DNowExt 3DNow. The
	 * repeated bits are not masked by the kernel's word: it keeps them in leaf 1's.
	 */
	{ 0x80000001, 0, EDX, -1,
	  B(0) | B(1) | B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | B(11) | B(12) | B(13) | B(14) |
	  B(15) | B(16) | B(17) | B(20) | B(22) | B(23) | B(24) | B(25) | B(26) | B(27) | B(29) | B(30) | B(31),
	  0 },
	/*
	 * CLZERO XSAVEERPTR WBNOINVD IBPB IBRS STIBP, IBRS and STIBP always on, IBRS preferred, same-mode protection,
	 * SSBD SSB_NO PSFD BTC_NO IBPB_RET
	 */
	{ 0x80000008, 0, EBX, CPUID_8000_0008_EBX,
	  B(0) | B(2) | B(9) | B(12) | B(14) | B(15) | B(16) | B(17) | B(18) | B(19) | B(24) | B(26) | B(28) |
	  B(29) | B(30), 0 },
	/*
	 * no nested data breakpoints, LFENCE serialises, VERW clears, null selector clears base, AutoIBRS SBPB
	 * IBPB_BRTYPE SRSO_NO
	 */
	{ 0x80000021, 0, EAX, -1, B(0) | B(2) | B(5) | B(6) | B(8) | B(27) | B(28) | B(29), 0 },
};

static u32 raw_reg(u32 function, u32 index, int reg)
{
	u32 r[4];

	cpuid_count(function, index, &r[EAX], &r[EBX], &r[ECX], &r[EDX]);
	return r[reg & 3];
}

/* Bits that the table gives by the host's word and that something else of ours has to stand behind. */
static u32 without(const struct feature_word *w)
{
	u32 no = 0;

	if (w->function == 1 && w->reg == ECX) {
		no |= vendor_caps.two_dim ? 0 : B(17);				/* PCID */
		no |= host_xcr0 ? 0 : B(12) | B(26) | B(28) | B(29);		/* XSAVE and what lives in it */
	} else if (w->function == 7 && w->index == 0 && w->reg == EBX) {
		no |= vendor_caps.two_dim ? 0 : B(10);				/* INVPCID */
	} else if (w->function == 7 && w->index == 0 && w->reg == ECX) {
		no |= vendor_caps.two_dim ? 0 : B(16);				/* LA57 */
		no |= vendor_caps.two_dim && (guest_xcr0_mask & XFEATURE_MASK_PKRU) ? 0 : B(3);
	} else if (w->function == 0xd) {
		no |= boot_cpu_has(X86_FEATURE_XSAVE) ? 0 : ~0u;
	} else if (w->function == 0x80000001 && w->reg == EDX) {
		no |= vendor_caps.efer_allowed & EFER_NX ? 0 : B(20);
		no |= vendor_caps.efer_allowed & EFER_FFXSR ? 0 : B(25);
		no |= vendor_caps.two_dim && !vendor_caps.page_1g ? B(26) : 0;
	} else if (w->function == 0x80000021) {
		no |= vendor_caps.efer_allowed & BIT_ULL(21) ? 0 : B(8);	/* AutoIBRS is a bit of EFER */
	}
	return no;
}

static u32 feature_value(const struct feature_word *w)
{
	bool addresses = w->function == 7 && w->index == 0 && w->reg == ECX;
	u32 has = raw_reg(w->function, w->index, w->reg);

	/* A kernel that runs without LA57 strikes it from its own list, which is no matter of the guest's. */
	if (w->kernel >= 0)
		has &= boot_cpu_data.x86_capability[w->kernel] | (addresses ? B(16) : 0);
	return (has & w->pass & ~without(w)) | w->made;
}

/* --- entries --- */

static struct kvm_cpuid_entry2 *add(u32 function, u32 index, u32 flags)
{
	struct kvm_cpuid_entry2 *e;

	if (given_n == GIVEN_MAX)
		return NULL;
	e = &given[given_n++];
	*e = (struct kvm_cpuid_entry2) { .function = function, .index = index, .flags = flags };
	return e;
}

/* A leaf of the host's as it is; the caller cuts it down. */
static struct kvm_cpuid_entry2 *add_host(u32 function, u32 index, u32 flags)
{
	struct kvm_cpuid_entry2 *e = add(function, index, flags);

	if (e)
		cpuid_count(function, index, &e->eax, &e->ebx, &e->ecx, &e->edx);
	return e;
}

/* A leaf that consists of feature words: zero but for them. */
static void add_features(u32 function, u32 index, u32 flags)
{
	struct kvm_cpuid_entry2 *e = add(function, index, flags);
	unsigned int i;

	if (!e)
		return;
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		u32 *const reg[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

		if (words[i].function == function && words[i].index == index)
			*reg[words[i].reg] = feature_value(&words[i]);
	}
}

/* The leaf that was added last. */
static struct kvm_cpuid_entry2 *last(void)
{
	return &given[given_n - 1];
}

static void leaf_0(u32 f)
{
	struct kvm_cpuid_entry2 *e = add_host(f, 0, 0);

	if (e)
		e->eax = min(e->eax, MAX_BASIC);
}

/* Model and features; EBX keeps the size of a cache line, the rest of it is the VMM's (APIC ID, number of CPUs). */
static void leaf_1(u32 f)
{
	add_features(f, 0, 0);
	last()->eax = raw_reg(1, 0, EAX);
	last()->ebx = raw_reg(1, 0, EBX) & 0xff00;
}

static void leaf_copy(u32 f)
{
	add_host(f, 0, 0);
}

/* Caches, one a sub-leaf until one of type 0 ends the list. How many CPUs share them is the VMM's to say. */
static void leaf_caches(u32 f)
{
	struct kvm_cpuid_entry2 *e;
	u32 i;

	for (i = 0; i < 6; i++) {
		e = add_host(f, i, HAS_INDEX);
		if (!e || !(e->eax & 0x1f))
			return;
		e->eax &= 0x3ff;
	}
}

/* Only that the timer runs in every sleep state. */
static void leaf_thermal(u32 f)
{
	struct kvm_cpuid_entry2 *e = add(f, 0, 0);

	if (e)
		e->eax = B(2);
}

static void leaf_7(u32 f)
{
	u32 host_max = raw_reg(f, 0, EAX), first = given_n, used = 0, i;

	for (i = 0; i <= min(host_max, 2u); i++) {
		add_features(f, i, HAS_INDEX);
		if (last()->eax | last()->ebx | last()->ecx | last()->edx)
			used = i;
	}
	/* Sub-leaves at the end that give nothing are not announced. */
	given_n = first + used + 1;
	given[first].eax = used;
}

/* Nothing here: the leaf is in range, and there is no performance monitoring or no topology but the VMM's. */
static void leaf_zero(u32 f)
{
	add(f, 0, 0);
}

static void leaf_zero_indexed(u32 f)
{
	add(f, 0, HAS_INDEX);
}

static void leaf_xsave(u32 f)
{
	u64 all = guest_xcr0_mask | guest_xss_mask;
	struct kvm_cpuid_entry2 *e;
	unsigned int i;

	if (!boot_cpu_has(X86_FEATURE_XSAVE)) {
		add(f, 0, HAS_INDEX);
		return;
	}
	e = add(f, 0, HAS_INDEX);
	if (!e)
		return;
	e->eax = guest_xcr0_mask;
	e->edx = guest_xcr0_mask >> 32;
	e->ebx = e->ecx = xsave_area_size(guest_xcr0_mask, false);
	add_features(f, 1, HAS_INDEX);
	e = last();
	if (e->eax & (B(1) | B(3)))
		e->ebx = xsave_area_size(e->eax & B(3) ? all : guest_xcr0_mask, true);
	if (e->eax & B(3)) {
		e->ecx = guest_xss_mask;
		e->edx = guest_xss_mask >> 32;
	}
	for (i = 2; i < 63; i++) {
		if (!(all & BIT_ULL(i)))
			continue;
		e = add_host(f, i, HAS_INDEX);
		if (!e)
			return;
		e->ecx &= 3;	/* supervisor, aligned; not "can be disabled" */
		e->edx = 0;
	}
}

static void leaf_kvm(u32 f)
{
	struct kvm_cpuid_entry2 *e = add(f, 0, 0);

	if (!e)
		return;
	e->eax = KVM_CPUID_FEATURES;
	memcpy(&e->ebx, &KVM_SIGNATURE[0], 4);
	memcpy(&e->ecx, &KVM_SIGNATURE[4], 4);
	memcpy(&e->edx, &KVM_SIGNATURE[8], 4);
}

static void leaf_kvm_features(u32 f)
{
	struct kvm_cpuid_entry2 *e = add(f, 0, 0);

	if (!e)
		return;
	e->eax = B(KVM_FEATURE_CLOCKSOURCE) | B(KVM_FEATURE_NOP_IO_DELAY) | B(KVM_FEATURE_CLOCKSOURCE2) |
		 B(KVM_FEATURE_ASYNC_PF) | B(KVM_FEATURE_PV_EOI) | B(KVM_FEATURE_PV_UNHALT) |
		 B(KVM_FEATURE_PV_SEND_IPI) |
		 B(KVM_FEATURE_POLL_CONTROL) | B(KVM_FEATURE_PV_SCHED_YIELD) | B(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT);
	if (sched_info_on())
		e->eax |= B(KVM_FEATURE_STEAL_TIME) | B(KVM_FEATURE_PV_TLB_FLUSH);
}

static void leaf_ext_0(u32 f)
{
	struct kvm_cpuid_entry2 *e = add_host(f, 0, 0);

	if (e)
		e->eax = min(e->eax, MAX_EXTENDED);
}

static void leaf_ext_1(u32 f)
{
	add_features(f, 0, 0);
	last()->eax = raw_reg(f, 0, EAX);
}

static void leaf_power(u32 f)
{
	struct kvm_cpuid_entry2 *e = add(f, 0, 0);

	if (e && boot_cpu_has(X86_FEATURE_CONSTANT_TSC) && boot_cpu_has(X86_FEATURE_NONSTOP_TSC))
		e->edx = raw_reg(f, 0, EDX) & B(8);
}

/*
 * Address sizes. Four levels of second translation reach 48 bits: a wider MAXPHYADDR stays, because hardware checks
 * the guest's reserved bits by it, and the guest is told how far it can use it.
 */
static void leaf_sizes(u32 f)
{
	u32 phys = raw_reg(f, 0, EAX) & 0xff, linear = cpuid_supports(7, 0, ECX, 16) ? 57 : 48;

	if (!vendor_caps.two_dim)
		phys = boot_cpu_data.x86_phys_bits;
	add_features(f, 0, 0);
	/* What a processor without the flaw does not say itself where it came before the bit. */
	if (vendor_ops.amd && !boot_cpu_has_bug(X86_BUG_SPEC_STORE_BYPASS))
		last()->ebx |= B(26);
	last()->eax = phys | linear << 8;
	if (vendor_caps.two_dim && vendor_caps.two_dim_levels < 5 && phys > 48)
		last()->eax |= 48 << 16;
}

static void leaf_features(u32 f)
{
	add_features(f, 0, 0);
}

static const struct leaf {
	u32 function;
	void (*make)(u32 function);
	bool amd_only;
} leaves[] = {
	{ 0, leaf_0 }, { 1, leaf_1 }, { 2, leaf_copy }, { 4, leaf_caches }, { 6, leaf_thermal }, { 7, leaf_7 },
	{ 0xa, leaf_zero }, { 0xb, leaf_zero_indexed }, { 0xd, leaf_xsave }, { 0x1f, leaf_zero_indexed },
	{ KVM_CPUID_SIGNATURE, leaf_kvm }, { KVM_CPUID_FEATURES, leaf_kvm_features },
	{ 0x80000000, leaf_ext_0 }, { 0x80000001, leaf_ext_1 },
	{ 0x80000002, leaf_copy }, { 0x80000003, leaf_copy }, { 0x80000004, leaf_copy },
	{ 0x80000005, leaf_copy }, { 0x80000006, leaf_copy }, { 0x80000007, leaf_power }, { 0x80000008, leaf_sizes },
	{ 0x80000019, leaf_copy, true }, { 0x8000001d, leaf_caches, true }, { 0x8000001e, leaf_zero, true },
	{ 0x80000021, leaf_features },
};

/* Is the leaf within the host's range? The hypervisor's range is our own. */
static bool in_host_range(u32 f)
{
	if (f >= KVM_CPUID_SIGNATURE && f < 0x80000000)
		return true;
	return f <= (f < KVM_CPUID_SIGNATURE ? cpuid_eax(0) : cpuid_eax(0x80000000));
}

static void read_components(void)
{
	unsigned int i;
	u32 ecx, edx;

	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return;
	for (i = 2; i < ARRAY_SIZE(component); i++) {
		if (!((guest_xcr0_mask | guest_xss_mask) & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &component[i].size, &component[i].offset, &ecx, &edx);
		component[i].aligned = ecx & 2;
	}
}

u32 xsave_area_size(u64 components, bool compacted)
{
	u32 size = 512 + 64;	/* legacy region and header */
	unsigned int i;

	for (i = 2; i < ARRAY_SIZE(component); i++) {
		if (!(components & BIT_ULL(i)))
			continue;
		if (!compacted)
			size = max(size, component[i].offset + component[i].size);
		else
			size = (component[i].aligned ? ALIGN(size, 64) : size) + component[i].size;
	}
	return size;
}

int cpuid_module_init(void)
{
	unsigned int i;

	given_n = 0;
	read_components();
	for (i = 0; i < ARRAY_SIZE(leaves); i++)
		if (in_host_range(leaves[i].function) && !(leaves[i].amd_only && !vendor_ops.amd))
			leaves[i].make(leaves[i].function);
	if (given_n == GIVEN_MAX) {
		pr_err("CPUID: more than %u leaves to offer\n", GIVEN_MAX);
		return -EINVAL;
	}
	return 0;
}

const struct kvm_cpuid_entry2 *cpuid_supported(u32 function, u32 index)
{
	unsigned int i;

	for (i = 0; i < given_n; i++)
		if (given[i].function == function && (!(given[i].flags & HAS_INDEX) || given[i].index == index))
			return &given[i];
	return NULL;
}

bool cpuid_supports(u32 function, u32 index, int reg, unsigned int bit)
{
	const struct kvm_cpuid_entry2 *e = cpuid_supported(function, index);

	return e && (cpuid_reg(e, reg) & B(bit & 31));
}

/* --- ioctls --- */

/* nent says how many fit and afterwards how many there are. */
static long hand_out(struct kvm_call *c, const struct kvm_cpuid_entry2 *e, u32 n)
{
	struct kvm_cpuid2 __user *user = c->uarg;
	u32 room;

	if (get_user(room, &user->nent))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	if (copy_to_user(user->entries, e, n * sizeof(*e)) || put_user(n, &user->nent))
		return -EFAULT;
	return 0;
}

long dev_supported_cpuid(struct kvm_call *c)
{
	return hand_out(c, given, given_n);
}

/* Instructions that the emulator runs for guests whose CPU has them not: slow, so not in the set above. */
long dev_emulated_cpuid(struct kvm_call *c)
{
	static const struct kvm_cpuid_entry2 emulated[] = {
		{ .function = 0, .eax = 7 },
		{ .function = 1, .ecx = B(22) },			/* MOVBE */
		{ .function = 7, .flags = HAS_INDEX, .ecx = B(22) },	/* RDPID */
	};

	return hand_out(c, emulated, ARRAY_SIZE(emulated));
}
