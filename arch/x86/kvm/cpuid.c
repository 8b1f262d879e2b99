// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's CPUID: the table that user space gives, its lookup, and what follows from it.
 *
 * The table keeps the order in which it came, because it is handed back in that order. Beside it stands an index: for
 * each of the three ranges of leaves (basic, hypervisor, extended) the first entry of each of the lowest 64 functions,
 * and from every entry the next of the same function; so the CPUID exit finds its answer in a few steps. The bits
 * that follow the guest's state (OSXSAVE, OSPKE, the size of the XSAVE area, ...) are written into the table when
 * that state changes, which is rare, so that the exit need not look at it.
 *
 * vCPU thread. The table may be replaced until the first KVM_RUN; from then on only an identical one is accepted.
 */
#include <linux/export.h>
#include <linux/limits.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/kvm_para.h>
#include <asm/msr-index.h>
#include <asm/traps.h>
#include <kvm/x86/fpu.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/machine.h>
#include <kvm/x86/mmu.h>
#include "regs.h"
#include "trace.h"

#define ENTRIES_MAX	256
#define RANGE_BITS	30	/* bits 31:30 of a function tell the range */
#define RANGES		4
#define INDEXED		64
#define NONE		0xffff

#define MISC_FEATURES_CPUID_FAULT	1ull
#define TSX_CTRL_HIDE			2ull
#define F7_EBX_TSX			(BIT(4) | BIT(11))

enum { EAX, EBX, ECX, EDX };

struct cpuid_table {
	u16 first[RANGES][INDEXED];
	u16 next[ENTRIES_MAX];
	u32 n;
	struct kvm_cpuid_entry2 entry[];
};

static struct cpuid_table *table_of(const struct x86_vcpu *v)
{
	return v->cpuid ? container_of(v->cpuid, struct cpuid_table, entry[0]) : NULL;
}

/* --- lookup --- */

static void table_index(struct cpuid_table *t)
{
	u32 i, f;
	u16 *head;

	memset(t->first, 0xff, sizeof(t->first));
	memset(t->next, 0xff, sizeof(t->next));
	/* From the end, so that a chain has the order of the table: the first that fits wins. */
	for (i = t->n; i--; ) {
		f = t->entry[i].function;
		if ((f & (BIT(RANGE_BITS) - 1)) >= INDEXED)
			continue;
		head = &t->first[f >> RANGE_BITS][f & (INDEXED - 1)];
		t->next[i] = *head;
		*head = i;
	}
}

static bool entry_fits(const struct kvm_cpuid_entry2 *e, u32 function, u32 index)
{
	return e->function == function && (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == index);
}

/* Functions beyond the index: Hyper-V's second block, vendors' oddities. */
static struct kvm_cpuid_entry2 *find_far(struct cpuid_table *t, u32 function, u32 index)
{
	u32 i;

	for (i = 0; i < t->n; i++)
		if (entry_fits(&t->entry[i], function, index))
			return &t->entry[i];
	return NULL;
}

static __always_inline struct kvm_cpuid_entry2 *find_quickly(struct cpuid_table *t, u32 function, u32 index)
{
	u32 low = function & (BIT(RANGE_BITS) - 1), i;

	if (!t)
		return NULL;
	if (low >= INDEXED)
		return find_far(t, function, index);
	low = array_index_nospec(low, INDEXED);
	for (i = t->first[function >> RANGE_BITS][low]; i != NONE; i = t->next[i])
		if (entry_fits(&t->entry[i], function, index))
			return &t->entry[i];
	return NULL;
}

static struct kvm_cpuid_entry2 *find(struct cpuid_table *t, u32 function, u32 index)
{
	return find_quickly(t, function, index);
}

/* One register of a leaf, 0 where there is none. */
static u32 leaf(struct cpuid_table *t, u32 function, u32 index, int reg)
{
	const struct kvm_cpuid_entry2 *e = find(t, function, index);

	return e ? cpuid_reg(e, reg) : 0;
}

/* Does the guest's CPU announce a range that reaches to this function? Hypervisor ranges start every 256 leaves. */
static bool reaches(struct cpuid_table *t, u32 function)
{
	u32 base = function & (3u << RANGE_BITS);
	const struct kvm_cpuid_entry2 *e;

	if (base == KVM_CPUID_SIGNATURE)
		base = function & ~0xffu;
	e = find(t, base, 0);
	return e && function <= e->eax;
}

/*
 * Topology leaves list levels until an empty one, and a level that is not there still tells two things: the number
 * asked for and the APIC ID.
 */
static void missing_level(struct cpuid_table *t, u32 function, u32 *ecx, u32 *edx)
{
	const struct kvm_cpuid_entry2 *e = find(t, function, 1);

	if (!e || e->function != function)
		return;
	*ecx &= 0xff;
	*edx = e->edx;
}

/*
 * SDM, CPUID: a function above the range gives what the highest basic leaf gives; AMD's CPUs give zeros. In range
 * and not in the table: zeros. Returns whether the table has it.
 */
static bool lookup_missing(struct x86_vcpu *v, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	struct cpuid_table *t = table_of(v);
	u32 function = *eax, index = *ecx;
	const struct kvm_cpuid_entry2 *e = NULL;

	*eax = *ebx = *ecx = *edx = 0;
	if (!t)
		return false;
	if (!v->cap.amd && !reaches(t, function))
		e = find(t, v->cap.max_basic, index);
	if (e) {
		*eax = e->eax;
		*ebx = e->ebx;
		*ecx = e->ecx;
		*edx = e->edx;
	} else if (function == 0xb || function == 0x1f) {
		*ecx = index;
		missing_level(t, function, ecx, edx);
	}
	return false;
}

bool guest_cpuid(struct x86_vcpu *v, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	const struct kvm_cpuid_entry2 *e = find(table_of(v), *eax, *ecx);

	if (unlikely(!e))
		return lookup_missing(v, eax, ebx, ecx, edx);
	*eax = e->eax;
	*ebx = e->ebx;
	*ecx = e->ecx;
	*edx = e->edx;
	return true;
}
EXPORT_SYMBOL_GPL(guest_cpuid);

static noinline void missing_in_gprs(struct x86_vcpu *v)
{
	u64 *r = v->state.gpr;
	u32 eax = r[RAX], ecx = r[RCX], ebx, edx;

	lookup_missing(v, &eax, &ebx, &ecx, &edx);
	r[RAX] = eax;
	r[RBX] = ebx;
	r[RCX] = ecx;
	r[RDX] = edx;
}

static __always_inline bool cpuid_in_gprs(struct x86_vcpu *v)
{
	const struct kvm_cpuid_entry2 *e;
	u64 *r = v->state.gpr;

	e = find_quickly(table_of(v), r[RAX], r[RCX]);
	if (unlikely(!e)) {
		missing_in_gprs(v);
		return false;
	}
	r[RAX] = e->eax;
	r[RBX] = e->ebx;
	r[RCX] = e->ecx;
	r[RDX] = e->edx;
	return true;
}

/* Apart, so that who does not trace keeps no question for it. */
static noinline void traced_cpuid(struct x86_vcpu *v)
{
	const u64 *r = v->state.gpr;
	u32 function = r[RAX], index = r[RCX];
	bool found = cpuid_in_gprs(v);

	trace_kvm_cpuid(function, index, r[RAX], r[RBX], r[RCX], r[RDX], found);
}

enum outcome exit_cpuid(struct x86_vcpu *v)
{
	if (unlikely(v->misc_features & MISC_FEATURES_CPUID_FAULT) && get_cpl(v))
		return x86_raise_error(&v->vcpu, X86_TRAP_GP, 0);
	if (trace_kvm_cpuid_enabled())
		traced_cpuid(v);
	else
		cpuid_in_gprs(v);
	return skip_insn(v);
}

/* --- what follows the guest's state --- */

static void put_bit(u32 *reg, u32 bit, bool on)
{
	*reg = on ? *reg | bit : *reg & ~bit;
}

/* The leaf of KVM's features, wherever user space put the hypervisor's signature. */
static struct kvm_cpuid_entry2 *kvm_features(struct cpuid_table *t)
{
	const struct kvm_cpuid_entry2 *e;
	u32 i;

	for (i = 0; t && i < t->n; i++) {
		e = &t->entry[i];
		if ((e->function & 0xffff00ff) == KVM_CPUID_SIGNATURE && !memcmp(&e->ebx, KVM_SIGNATURE, 12))
			return find(t, e->function + 1, 0);
	}
	return NULL;
}

static void runtime_features(struct x86_vcpu *v, struct cpuid_table *t)
{
	u64 cr4 = get_cr4(v);
	struct kvm_cpuid_entry2 *e = find(t, 1, 0);

	if (e) {
		if (e->ecx & BIT(26))
			put_bit(&e->ecx, BIT(27), cr4 & X86_CR4_OSXSAVE);
		put_bit(&e->edx, BIT(9), v->apic_base & MSR_IA32_APICBASE_ENABLE);
		/* MONITOR/MWAIT follows MISC_ENABLE once user space asks for it by switching the quirk off. */
		if (!vm_quirk(vm_of(v), KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
			put_bit(&e->ecx, BIT(3), v->misc_enable & MSR_IA32_MISC_ENABLE_MWAIT);
	}
	e = find(t, 7, 0);
	if (!e)
		return;
	if (e->ecx & BIT(3))
		put_bit(&e->ecx, BIT(4), cr4 & X86_CR4_PKE);
	if (v->tsx_ctrl & TSX_CTRL_HIDE)
		e->ebx &= ~F7_EBX_TSX;
	else if (t == table_of(v))
		e->ebx |= v->cap.f7_ebx & F7_EBX_TSX;
}

static void runtime_apply(struct x86_vcpu *v, struct cpuid_table *t)
{
	struct kvm_cpuid_entry2 *e;

	if (!t)
		return;
	runtime_features(v, t);
	e = find(t, 0xd, 0);
	if (e && e->eax)
		e->ebx = xsave_area_size(v->xcr0, false);
	e = find(t, 0xd, 1);
	if (e && (e->eax & (BIT(1) | BIT(3))))
		e->ebx = xsave_area_size(v->xcr0 | v->xss, true);
	e = kvm_features(t);
	/* A guest that halts without exit cannot be woken by another's hypercall. */
	if (e && (vm_of(v)->disabled_exits & KVM_X86_DISABLE_EXITS_HLT))
		e->eax &= ~BIT(KVM_FEATURE_PV_UNHALT);
}

void cpuid_runtime_update(struct x86_vcpu *v)
{
	fpu_switches(v);
	runtime_apply(v, table_of(v));
}

/* --- decoding --- */

/* Bits of CR4 that need a feature; the others of the list below are always there. */
static const struct { u64 cr4; u32 function; u8 reg, bit; } cr4_features[] = {
	{ X86_CR4_UMIP, 7, ECX, 2 },
	{ X86_CR4_LA57, 7, ECX, 16 },
	{ X86_CR4_FSGSBASE, 7, EBX, 0 },
	{ X86_CR4_PCIDE, 1, ECX, 17 },
	{ X86_CR4_OSXSAVE, 1, ECX, 26 },
	{ X86_CR4_SMEP, 7, EBX, 7 },
	{ X86_CR4_SMAP, 7, EBX, 20 },
	{ X86_CR4_PKE, 7, ECX, 3 },
};
#define CR4_ALWAYS	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | \
			 X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT)

/* t NULL: no table yet, and what we support is allowed. */
static bool has_feature(struct cpuid_table *t, u32 function, int reg, unsigned int bit)
{
	return cpuid_supports(function, 0, reg, bit) && (!t || (leaf(t, function, 0, reg) & BIT(bit)));
}

static u64 cr4_reserved(struct cpuid_table *t)
{
	u64 allowed = CR4_ALWAYS;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cr4_features); i++)
		if (has_feature(t, cr4_features[i].function, cr4_features[i].reg, cr4_features[i].bit))
			allowed |= cr4_features[i].cr4;
	return ~allowed;
}

static u64 efer_allowed(struct cpuid_table *t)
{
	u64 no = EFER_SVME;

	if (!has_feature(t, 0x80000001, EDX, 29))
		no |= EFER_LME | EFER_LMA;
	if (!has_feature(t, 0x80000001, EDX, 20))
		no |= EFER_NX;
	if (!has_feature(t, 0x80000001, EDX, 25))
		no |= EFER_FFXSR;
	if (!has_feature(t, 0x80000021, EAX, 8))
		no |= BIT_ULL(21);
	return vendor_caps.efer_allowed & ~no;
}

static u64 leaf_pair(struct cpuid_table *t, u32 function, u32 index, int low, int high)
{
	return leaf(t, function, index, low) | (u64)leaf(t, function, index, high) << 32;
}

static bool vendor_is(const struct kvm_cpuid_entry2 *e, const char *name)
{
	/* Read in the order EBX, EDX, ECX. */
	return !memcmp(&e->ebx, name, 4) && !memcmp(&e->edx, name + 4, 4) && !memcmp(&e->ecx, name + 8, 4);
}

static u8 phys_bits(struct cpuid_table *t)
{
	const struct kvm_cpuid_entry2 *e = find(t, 0x80000008, 0);

	/* What CPUs without the leaf have, and the bounds of what page tables can express. */
	return e && leaf(t, 0x80000000, 0, EAX) >= 0x80000008 ? clamp(e->eax & 0xff, 32u, 52u) : 36;
}

static void decode(struct x86_vcpu *v, struct cpuid_table *t)
{
	const struct kvm_cpuid_entry2 *vendor = find(t, 0, 0), *kvm = kvm_features(t);
	struct cpuid_cache *c = &v->cap;

	*c = (struct cpuid_cache) {
		.f1_ecx = leaf(t, 1, 0, ECX),
		.f1_edx = leaf(t, 1, 0, EDX),
		.f7_ebx = leaf(t, 7, 0, EBX),
		.f7_ecx = leaf(t, 7, 0, ECX),
		.f7_edx = leaf(t, 7, 0, EDX),
		.f7_1_eax = leaf(t, 7, 1, EAX),
		.fd_1_eax = leaf(t, 0xd, 1, EAX),
		.f80000001_ecx = leaf(t, 0x80000001, 0, ECX),
		.f80000001_edx = leaf(t, 0x80000001, 0, EDX),
		.f80000007_edx = leaf(t, 0x80000007, 0, EDX),
		.f80000008_ebx = leaf(t, 0x80000008, 0, EBX),
		.f80000021_eax = leaf(t, 0x80000021, 0, EAX),
		.pv_features = kvm ? kvm->eax : 0,
		.max_basic = vendor ? vendor->eax : 0,
		.xcr0_allowed = leaf_pair(t, 0xd, 0, EAX, EDX) & guest_xcr0_mask,
		.xss_allowed = leaf_pair(t, 0xd, 1, ECX, EDX) & guest_xss_mask,
		.maxphyaddr = phys_bits(t),
		.amd = vendor ? vendor_is(vendor, "AuthenticAMD") || vendor_is(vendor, "HygonGenuine") : vendor_ops.amd,
		.cr4_reserved = cr4_reserved(t),
		.efer_allowed = efer_allowed(t),
	};
	c->linear_bits = (c->f7_ecx & BIT(16)) && cpuid_supports(7, 0, ECX, 16) ? 57 : 48;
}

void cpuid_vcpu_init(struct x86_vcpu *v)
{
	decode(v, NULL);
}

void cpuid_vcpu_free(struct x86_vcpu *v)
{
	kvfree(table_of(v));
	v->cpuid = NULL;
	v->cpuid_n = 0;
}

/* --- setting --- */

static struct cpuid_table *table_alloc(u32 n)
{
	struct cpuid_table *t;

	if (n > ENTRIES_MAX)
		return ERR_PTR(-E2BIG);
	t = kvzalloc(struct_size(t, entry, n), GFP_KERNEL_ACCOUNT);
	if (!t)
		return ERR_PTR(-ENOMEM);
	t->n = n;
	return t;
}

/* Linear addresses have 48 or 57 bits; some VMMs leave the field empty. */
static bool table_ok(struct cpuid_table *t)
{
	u32 linear = leaf(t, 0x80000008, 0, EAX) >> 8 & 0xff;

	return !linear || linear == 48 || linear == 57;
}

/* Takes the table over. The bits that follow the guest's state are made true first, also for the comparison. */
static long table_set(struct x86_vcpu *v, struct cpuid_table *t)
{
	const struct cpuid_table *old = table_of(v);
	long err = -EINVAL;

	table_index(t);
	if (!table_ok(t))
		goto drop;
	if (v->ran) {
		runtime_apply(v, t);
		if (t->n == v->cpuid_n && (!t->n || !memcmp(t->entry, old->entry, t->n * sizeof(t->entry[0]))))
			err = 0;
		goto drop;
	}
	cpuid_vcpu_free(v);
	if (t->n) {
		v->cpuid = t->entry;
		v->cpuid_n = t->n;
	}
	decode(v, t);
	cpuid_runtime_update(v);
	if (!t->n)
		kvfree(t);
	vendor_ops.cpuid_changed(v);
	msr_intercepts_update(v);
	mmu_mode_changed(v);
	return 0;
drop:
	kvfree(t);
	return err;
}

long vcpu_set_cpuid2(struct kvm_call *c)
{
	const struct kvm_cpuid2 *head = c->arg;
	struct kvm_cpuid2 __user *user = c->uarg;
	struct cpuid_table *t = table_alloc(head->nent);

	if (IS_ERR(t))
		return PTR_ERR(t);
	if (copy_from_user(t->entry, user->entries, t->n * sizeof(t->entry[0]))) {
		kvfree(t);
		return -EFAULT;
	}
	return table_set(x86_vcpu(c->vcpu), t);
}

/* The older form has no index: each function has one entry. */
long vcpu_set_cpuid(struct kvm_call *c)
{
	const struct kvm_cpuid *head = c->arg;
	struct kvm_cpuid __user *user = c->uarg;
	struct cpuid_table *t = table_alloc(head->nent);
	struct kvm_cpuid_entry e;
	u32 i;

	if (IS_ERR(t))
		return PTR_ERR(t);
	for (i = 0; i < t->n; i++) {
		if (copy_from_user(&e, &user->entries[i], sizeof(e))) {
			kvfree(t);
			return -EFAULT;
		}
		t->entry[i] = (struct kvm_cpuid_entry2) {
			.function = e.function, .eax = e.eax, .ebx = e.ebx, .ecx = e.ecx, .edx = e.edx,
		};
	}
	return table_set(x86_vcpu(c->vcpu), t);
}

long vcpu_get_cpuid2(struct kvm_call *c)
{
	const struct x86_vcpu *v = x86_vcpu(c->vcpu);
	struct kvm_cpuid2 __user *user = c->uarg;
	u32 room;

	if (get_user(room, &user->nent))
		return -EFAULT;
	if (room < v->cpuid_n)
		return -E2BIG;
	if (copy_to_user(user->entries, v->cpuid, v->cpuid_n * sizeof(*v->cpuid)) ||
	    put_user(v->cpuid_n, &user->nent))
		return -EFAULT;
	return 0;
}
