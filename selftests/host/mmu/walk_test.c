// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's own tables, in real memory, read through mmu_translate() and mmu_peek(). Expected faults are those of SDM
 * 4.6 and 4.7; a matrix of all rights is compared with an oracle written from 4.6.1 in another form.
 */
#include "machine.h"
#include "test.h"

#define RAM_PAGES	64
static u8 ram[RAM_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE);
static struct x86_vcpu *v;

#define CR0_PE_PG	(BIT(31) | 1)
#define CR0_WP		BIT(16)
#define NXE		BIT(11)
#define LMA		(BIT(10) | BIT(8))
#define PRESENT		1ull
#define RW		2ull
#define USER		4ull

static void mode(u64 cr0, u64 cr4, u64 efer)
{
	v->state.valid = ~0u;
	v->state.cr0 = cr0;
	v->state.cr4 = cr4;
	v->state.efer = efer;
	v->state.cr3 = 0x1000;
	v->state.rflags = 0;
	mmu_mode_changed(v);
}

static u64 *entry(u64 page, unsigned int i)
{
	return (u64 *)(ram + page * PAGE_SIZE) + i;
}

static u32 *entry32(u64 page, unsigned int i)
{
	return (u32 *)(ram + page * PAGE_SIZE) + i;
}

/* ~0: no fault. */
static u64 error_of(u64 gva, u32 acc)
{
	struct guest_fault f = {};
	gpa_t gpa;

	if (mmu_translate(v, gva, acc, &gpa, &f))
		return ~0ull;
	CHECK(f.failed);
	CHECK_EQ(f.cr2, gva);
	return f.error;
}

static u64 gpa_at(u64 gva, u32 acc)
{
	struct guest_fault f = {};
	gpa_t gpa;

	return mmu_translate(v, gva, acc, &gpa, &f) ? gpa.v : ~0ull;
}

static void start(void)
{
	machine_start(PT_EPT_AD, 4, true);
	memset(ram, 0, sizeof(ram));
	slot_add_ram(0, 0, ram, RAM_PAGES);
	v = hw[0].v;
	v->cap.maxphyaddr = 40;
	v->cap.f80000001_edx = BIT(26);
	v->cap.f1_edx = BIT(17);
	v->cap.amd = false;
	vm_enter_srcu();
}

static void end(void)
{
	vm_leave_srcu();
	machine_end();
}

static void paging_off(void)
{
	start();
	mode(1, 0, 0);
	CHECK_EQ(gpa_at(0x12345678, ACC_W), 0x12345678);
	CHECK_EQ(gpa_at(0x112345678ull, 0), 0x12345678);
	end();
}

/* CR3 1000: one page-table page a level, indexes all 1. */
static u64 build64(unsigned int levels, u64 flags)
{
	u64 va = 0;

	for (unsigned int i = 0; i < levels; i++) {
		*entry(1 + i, 1) = ((u64)(2 + i) << 12) | flags;
		va |= 1ull << (12 + 9 * i);
	}
	return va;
}

static void long_mode(void)
{
	for (unsigned int levels = 4; levels <= 5; levels++) {
		u64 va;

		start();
		va = build64(levels, PRESENT | RW | USER);
		mode(CR0_PE_PG, X86_CR4_PAE | (levels == 5 ? X86_CR4_LA57 : 0), LMA);
		CHECK_EQ(gpa_at(va | 0x123, 0), ((1 + levels) << 12) | 0x123);
		for (unsigned int i = 1; i <= levels; i++)
			CHECK_EQ(*entry(i, 1) & 0x60, 0x20);
		CHECK_EQ(gpa_at(va | 0x123, ACC_W | ACC_U), ((1 + levels) << 12) | 0x123);
		CHECK_EQ(*entry(levels, 1) & 0x60, 0x60);
		CHECK_EQ(*entry(1, 1) & 0x60, 0x20);
		/* absent at each level */
		for (unsigned int i = 1; i <= levels; i++) {
			*entry(i, 1) ^= PRESENT;
			CHECK_EQ(error_of(va, ACC_W | ACC_U), PFERR_W | PFERR_U);
			CHECK_EQ(error_of(va, 0), 0);
			*entry(i, 1) ^= PRESENT;
		}
		/* reserved: beyond the physical width, NX without NXE, PS above the places for it */
		for (unsigned int i = 1; i <= levels; i++) {
			*entry(i, 1) |= BIT_ULL(40);
			CHECK_EQ(error_of(va, 0), PFERR_P | PFERR_RSVD);
			*entry(i, 1) ^= BIT_ULL(40) | BIT_ULL(63);
			CHECK_EQ(error_of(va, ACC_X), PFERR_P | PFERR_RSVD);
			*entry(i, 1) ^= BIT_ULL(63);
			*entry(i, 1) |= BIT_ULL(52);	/* software's */
			CHECK(error_of(va, 0) == ~0ull);
		}
		for (unsigned int i = 1; i + 3 <= levels; i++) {
			*entry(i, 1) |= 0x80;
			CHECK_EQ(error_of(va, 0), PFERR_P | PFERR_RSVD);
			*entry(i, 1) ^= 0x80;
		}
		end();
	}
}

static void large_pages(void)
{
	u64 va = BIT_ULL(39) | BIT_ULL(30) | BIT_ULL(21);

	start();
	build64(4, PRESENT | RW | USER);
	*entry(3, 1) = 0x40000000 | PRESENT | RW | 0x80;
	mode(CR0_PE_PG, X86_CR4_PAE, LMA);
	CHECK_EQ(gpa_at(va | 0x12345, 0), 0x40012345);
	*entry(3, 1) |= 0x2000;
	CHECK_EQ(error_of(va, 0), PFERR_P | PFERR_RSVD);
	*entry(3, 1) = 0x40001000 | PRESENT | 0x80;	/* bit 12 is the PAT's */
	CHECK_EQ(gpa_at(va, 0), 0x40000000);
	*entry(2, 1) = 0x80000000 | PRESENT | 0x80;
	CHECK_EQ(gpa_at(va | 0x12345, 0), 0x80000000 + 0x212345);
	*entry(2, 1) |= BIT(29);
	CHECK_EQ(error_of(va, 0), PFERR_P | PFERR_RSVD);
	*entry(2, 1) = 0x80000000 | PRESENT | 0x80;
	v->cap.f80000001_edx = 0;
	mode(CR0_PE_PG, X86_CR4_PAE, LMA);
	CHECK_EQ(error_of(va, 0), PFERR_P | PFERR_RSVD);
	end();
}

static void pae(void)
{
	u64 va = (3ull << 30) | (1 << 21) | (1 << 12) | 0x10;

	start();
	v->cap.maxphyaddr = 36;
	*entry(4, 3) = 0x2000 | PRESENT;		/* PDPTEs at 4000, found by CR3 = 4000 */
	*entry(2, 1) = 0x3000 | PRESENT | RW | USER;
	*entry(3, 1) = 0x9000 | PRESENT | USER;
	mode(CR0_PE_PG, X86_CR4_PAE, 0);
	v->state.cr3 = 0x4000;
	CHECK(mmu_load_pdptrs(v, 0x4000));
	CHECK_EQ(gpa_at(va, ACC_U), 0x9010);
	CHECK_EQ(gpa_at(va | 0xffffffff00000000ull, ACC_U), 0x9010);
	CHECK_EQ(error_of(va, ACC_U | ACC_W), PFERR_P | PFERR_U | PFERR_W);
	CHECK_EQ(gpa_at(va, ACC_W), 0x9010);		/* WP clear */
	CHECK_EQ(error_of(va & ~(3ull << 30), 0), 0);
	*entry(3, 1) |= BIT_ULL(52);			/* PAE reserves 62:MAXPHYADDR */
	CHECK_EQ(error_of(va, 0), PFERR_P | PFERR_RSVD);
	*entry(2, 1) = 0x200000 | PRESENT | RW | USER | 0x80;
	CHECK_EQ(gpa_at(va, 0), 0x201010);
	/* Intel goes on with the loaded PDPTEs, AMD reads them */
	*entry(4, 3) = 0;
	CHECK_EQ(gpa_at(va, 0), 0x201010);
	vendor_ops.amd = true;
	CHECK_EQ(error_of(va, 0), 0);
	*entry(4, 3) = 0x2000 | PRESENT | BIT_ULL(6);
	CHECK_EQ(error_of(va, 0), PFERR_P | PFERR_RSVD);
	*entry(4, 3) = 0x2000 | PRESENT | BIT_ULL(5);	/* set by the walk of some */
	CHECK_EQ(gpa_at(va, 0), 0x201010);
	CHECK(mmu_load_pdptrs(v, 0x4000));
	vendor_ops.amd = false;
	CHECK(!mmu_load_pdptrs(v, 0x4000));
	*entry(4, 3) = 0;
	*entry(4, 2) = 0x2000 | PRESENT | RW;
	CHECK(!mmu_load_pdptrs(v, 0x4000));
	*entry(4, 2) = 0x2000 | PRESENT | BIT_ULL(36);
	CHECK(!mmu_load_pdptrs(v, 0x4000));
	*entry(4, 2) = 0x2000 | RW;			/* not present: nothing is checked */
	CHECK(mmu_load_pdptrs(v, 0x4000));
	end();
}

static void mode32(void)
{
	u64 va = (3u << 22) | (5 << 12) | 7;

	start();
	*entry32(1, 3) = 0x2000 | PRESENT | RW | USER;
	*entry32(2, 5) = 0x8000 | PRESENT | USER;
	mode(CR0_PE_PG | CR0_WP, 0, 0);
	CHECK_EQ(gpa_at(va, ACC_X), 0x8007);
	CHECK_EQ(error_of(va, ACC_W), PFERR_P | PFERR_W);
	CHECK_EQ(*entry32(2, 5) & 0x60, 0x20);
	*entry32(1, 3) |= 0x80;				/* ignored without PSE */
	CHECK_EQ(gpa_at(va, 0), 0x8007);
	mode(CR0_PE_PG, X86_CR4_PSE, 0);
	*entry32(1, 3) = 0x00c00000 | PRESENT | 0x80;
	CHECK_EQ(gpa_at(va, 0), 0xc05007);
	*entry32(1, 3) |= 1 << 13 | 1 << 20;		/* PSE-36 */
	CHECK_EQ(gpa_at(va, 0), 0x8100c05007ull);
	*entry32(1, 3) |= 1 << 21;
	CHECK_EQ(error_of(va, 0), PFERR_P | PFERR_RSVD);
	*entry32(1, 3) = 0x00c00000 | PRESENT | 0x80 | 1 << 17;
	v->cap.maxphyaddr = 36;
	mode(CR0_PE_PG, X86_CR4_PSE, 0);
	CHECK_EQ(error_of(va, 0), PFERR_P | PFERR_RSVD);
	CHECK_EQ(error_of(va, ACC_X), PFERR_P | PFERR_RSVD);	/* no I bit without SMEP or NX */
	end();
}

/* SDM 4.6.1 as sentences. */
static bool allowed(u64 leaf, u32 acc, bool wp, bool smep, bool smap, bool nxe, bool ac)
{
	bool user_addr = leaf & USER, writable = leaf & RW, nx = nxe && leaf >> 63;

	if (acc & ACC_U)
		return user_addr && (!(acc & ACC_W) || writable) && (!(acc & ACC_X) || !nx);
	if (acc & ACC_X)
		return !nx && !(smep && user_addr);
	if (user_addr && smap && (acc & ACC_IMPLICIT || !ac))
		return false;
	return !(acc & ACC_W) || writable || !wp;
}

static void rights(void)
{
	static const u32 kinds[] = { 0, ACC_W, ACC_X };
	u64 va;

	start();
	va = build64(4, PRESENT | RW | USER);
	for (unsigned int bits = 0; bits < 32; bits++) {
		bool wp = bits & 1, smep = bits & 2, smap = bits & 4, nxe = bits & 8, ac = bits & 16;

		mode(CR0_PE_PG | (wp ? CR0_WP : 0), X86_CR4_PAE | (smep ? X86_CR4_SMEP : 0) | (smap ? X86_CR4_SMAP : 0),
		     LMA | (nxe ? NXE : 0));
		v->state.rflags = ac ? X86_EFLAGS_AC : 0;
		for (unsigned int i = 0; i < 3 * 3 * 8; i++) {
			u64 leaf = (i & 1 ? RW : 0) | (i & 2 ? USER : 0) | (i & 4 && nxe ? BIT_ULL(63) : 0);
			u32 who = (u32[]){ 0, ACC_U, ACC_IMPLICIT }[i / 24], acc = kinds[i / 8 % 3] | who;
			u32 want = PFERR_P | (acc & ACC_W ? PFERR_W : 0) | (acc & ACC_U ? PFERR_U : 0) |
				   (acc & ACC_X && (smep || nxe) ? PFERR_I : 0);

			/* each level can be the one that forbids */
			*entry(1 + i % 4, 1) = ((u64)(2 + i % 4) << 12) | PRESENT | leaf;
			CHECK_EQ(error_of(va, acc), allowed(leaf, acc, wp, smep, smap, nxe, ac) ? ~0ull : want);
			*entry(1 + i % 4, 1) = ((u64)(2 + i % 4) << 12) | PRESENT | RW | USER;
		}
	}
	end();
}

/* Hardware may let the guest own CR0.WP: nobody calls mmu_mode_changed(), walks made before must not answer. */
static void wp_without_notice(void)
{
	u64 va;

	start();
	va = build64(4, PRESENT | USER);
	for (unsigned int i = 0; i < 6; i++) {
		bool wp = i & 1;

		if (!i)
			mode(CR0_PE_PG, X86_CR4_PAE, LMA);
		v->state.cr0 = CR0_PE_PG | (wp ? CR0_WP : 0);
		CHECK_EQ(error_of(va, ACC_W), wp ? PFERR_P | PFERR_W : ~0ull);
		CHECK_EQ(error_of(va, ACC_W), wp ? PFERR_P | PFERR_W : ~0ull);
		CHECK_EQ(error_of(va, 0), ~0ull);
	}
	end();
}

static void keys(void)
{
	u64 va;

	start();
	va = build64(4, PRESENT | RW | USER);
	*entry(4, 1) |= 5ull << 59;
	mode(CR0_PE_PG | CR0_WP, X86_CR4_PAE | X86_CR4_PKE, LMA | NXE);
	v->pkru = 1u << 10;
	CHECK_EQ(error_of(va, ACC_U), PFERR_P | PFERR_U | PFERR_PK);
	CHECK_EQ(error_of(va, 0), PFERR_P | PFERR_PK);
	CHECK_EQ(error_of(va, ACC_U | ACC_X), ~0ull);
	v->pkru = 2u << 10;
	CHECK_EQ(error_of(va, ACC_U), ~0ull);
	CHECK_EQ(error_of(va, ACC_W), PFERR_P | PFERR_W | PFERR_PK);
	mode(CR0_PE_PG, X86_CR4_PAE | X86_CR4_PKE, LMA | NXE);
	CHECK_EQ(error_of(va, ACC_W), ~0ull);
	CHECK_EQ(error_of(va, ACC_W | ACC_U), PFERR_P | PFERR_W | PFERR_U | PFERR_PK);
	*entry(4, 1) &= ~USER;
	CHECK_EQ(error_of(va, ACC_W), ~0ull);
	v->pkru = 0;
	end();
}

static void peek(void)
{
	bool w, u;
	gpa_t gpa;
	u64 va;

	start();
	va = build64(4, PRESENT | RW | USER);
	*entry(2, 1) &= ~RW;
	mode(CR0_PE_PG | CR0_WP, X86_CR4_PAE, LMA);
	CHECK(mmu_peek(v, va | 5, &gpa, &w, &u));
	CHECK(gpa.v == 0x5005 && !w && u);
	CHECK_EQ(*entry(4, 1) & 0x60, 0);	/* leaves no trace */
	*entry(3, 1) = 0x77000000 | PRESENT;	/* a table in no memory */
	CHECK(!mmu_peek(v, va, &gpa, &w, &u));
	CHECK_EQ(error_of(va, ACC_W), PFERR_W);
	CHECK_EQ(mmu_reserved_gpa_bits(v), ~0ull << 40);
	v->cap.maxphyaddr = 0;
	CHECK_EQ(mmu_reserved_gpa_bits(v), ~0ull << 36);
	end();
}

void walk_tests(void)
{
	run_test("guest paging off", paging_off);
	run_test("guest 4- and 5-level paging", long_mode);
	run_test("guest large pages", large_pages);
	run_test("guest PAE paging", pae);
	run_test("guest 32-bit paging", mode32);
	run_test("guest access rights, all combinations", rights);
	run_test("guest write protection switched without notice", wp_without_notice);
	run_test("guest protection keys", keys);
	run_test("translation without side effects", peek);
}
