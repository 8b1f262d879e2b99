// SPDX-License-Identifier: GPL-2.0-only
/* Entries against the bits that the manuals give, written out as numbers. */
#include "format.h"
#include "test.h"

static void ept_entries(void)
{
	u64 e;

	pt_configure(PT_EPT_AD, 4, true, 46, 0);
	pt.nx_huge = false;
	e = ent_page(0x12345678, PT_4K, ENT_MAY_WRITE | ENT_WRITE_NOW | ENT_IS_RAM);
	/* R W X, type 6, ignore PAT, A, D */
	CHECK_EQ(e & ~ENT_SOFT, 0x12345377);
	CHECK(e & ENT_HOST_W && ent_permits(e, true, true) && ent_is_page(e, PT_4K));
	e = ent_page(0x12345678, PT_2M, ENT_IS_RAM);
	CHECK_EQ(e & ~ENT_SOFT, 0x122001f5);
	CHECK(ent_permits(e, false, true) && !ent_permits(e, true, false) && !(e & ENT_HOST_W));
	e = ent_page(0xfee00000, PT_4K, ENT_MAY_WRITE | ENT_WRITE_NOW);
	CHECK_EQ(e & ~ENT_SOFT, 0xfee00307);		/* a device: uncacheable */
	e = ent_page(0x12345678, PT_4K, ENT_MAY_WRITE | ENT_IS_RAM | ENT_GUEST_TYPE);
	CHECK_EQ(e & ~ENT_SOFT, 0x12345135);		/* the guest's PAT counts */
	e = ent_link(0x7000);
	CHECK_EQ(e & ~ENT_SOFT, 0x7107);
	CHECK(ent_is_link(e, PT_2M) && !ent_is_page(e, PT_2M));
	CHECK_EQ(pt.trap & 7, 6);
	CHECK(!ent_mapped(pt.trap) && !(pt.trap & ENT_PAGE));
	pt_configure(PT_EPT, 4, true, 46, 0);
	CHECK_EQ(ent_page(0x12345678, PT_4K, ENT_MAY_WRITE | ENT_WRITE_NOW | ENT_IS_RAM) & ~ENT_SOFT, 0x12345077);
}

static void npt_entries(void)
{
	u64 e;

	pt_configure(PT_NPT, 4, true, 46, 0);
	pt.nx_huge = false;
	e = ent_page(0x12345678, PT_4K, ENT_MAY_WRITE | ENT_WRITE_NOW | ENT_IS_RAM);
	CHECK_EQ(e & ~ENT_SOFT, 0x12345067);
	e = ent_page(0x52345678, PT_1G, ENT_IS_RAM);
	CHECK_EQ(e & ~ENT_SOFT, 0x400000a5);
	CHECK_EQ(ent_link(0x7000) & ~ENT_SOFT, 0x7027);
	CHECK_EQ(pt.trap, BIT_ULL(51) | 7);
	pt.nx_huge = true;
	e = ent_page(0x12345678, PT_2M, ENT_IS_RAM);
	CHECK(!ent_executable(e) && e >> 63);
	CHECK(ent_executable(ent_page(0x12345678, PT_4K, ENT_IS_RAM)));
	pt.nx_huge = false;
	pt_configure(PT_NPT, 4, true, 52, 0);
	CHECK_EQ(pt.trap, 0);
	/* the C bit is in links and RAM, and not part of an address */
	pt_configure(PT_NPT, 4, true, 48, BIT_ULL(47));
	e = ent_page(0x12345000, PT_4K, ENT_IS_RAM);
	CHECK_EQ(ent_phys(e), 0x12345000);
	CHECK(e & BIT_ULL(47) && !(ent_page(0x12345000, PT_4K, 0) & BIT_ULL(47)) && ent_link(0x7000) & BIT_ULL(47));
	CHECK_EQ(ent_phys(ent_link(0x7000)), 0x7000);
}

static void parking(void)
{
	u64 e, p;

	pt_configure(PT_EPT, 4, true, 46, 0);
	e = ent_page(0x12345000, PT_4K, ENT_MAY_WRITE | ENT_WRITE_NOW | ENT_IS_RAM);
	CHECK(ent_young(e));
	p = ent_make_old(e);
	CHECK_EQ(p & 7, 0);
	CHECK(!ent_young(p) && ent_is_page(p, PT_4K) && !ent_permits(p, false, false));
	CHECK_EQ(ent_make_old(p), p);
	CHECK_EQ(ent_unpark(p), e);
	CHECK_EQ(ent_phys(p), 0x12345000);
	CHECK_EQ(ent_unpark(ent_protect(p)), ent_protect(e));
	CHECK_EQ(ent_protect(e), e & ~2ull);
	pt_configure(PT_EPT_AD, 4, true, 46, 0);
	e = ent_page(0x12345000, PT_4K, ENT_IS_RAM);
	CHECK_EQ(ent_make_old(e), e & ~0x100ull);
}

/* Page-modification logging: protecting a 4K page is clearing D, parts of a protected large page are writable without D. */
static void hardware_log(void)
{
	u64 e, part;

	pt_configure(PT_EPT_AD, 4, true, 46, 0);
	CHECK(!pt.hw_log);
	e = ent_page(0x12345000, PT_4K, ENT_MAY_WRITE | ENT_WRITE_NOW | ENT_IS_RAM);
	CHECK_EQ(ent_protect(e), e & ~2ull);
	pt.hw_log = true;
	CHECK_EQ(ent_protect(e), e & ~0x200ull);
	CHECK(ent_permits(ent_protect(e), true, true));
	CHECK_EQ(ent_page(0x12345000, PT_4K, ENT_MAY_WRITE | ENT_WRITE_LOGGED | ENT_IS_RAM), ent_protect(e));
	/* hardware logs a large page by its first address only: those lose the right to write */
	e = ent_page(0x12200000, PT_2M, ENT_MAY_WRITE | ENT_WRITE_NOW | ENT_IS_RAM);
	CHECK_EQ(ent_protect(e), e & ~2ull);
	part = ent_part(ent_protect(e), PT_2M, 3);
	CHECK_EQ(part & ~ENT_SOFT, 0x12203177);
	CHECK_EQ(ent_part(e, PT_2M, 3) & ~ENT_SOFT, 0x12203377);
	/* what the VMM may not write stays so */
	e = ent_page(0x12200000, PT_2M, ENT_IS_RAM);
	CHECK(!ent_permits(ent_part(ent_protect(e), PT_2M, 3), true, false));
	e = ent_page(0x40000000, PT_1G, ENT_MAY_WRITE | ENT_WRITE_NOW | ENT_IS_RAM);
	CHECK(!ent_permits(ent_part(ent_protect(e), PT_1G, 3), true, false));
	pt_configure(PT_EPT_AD, 4, true, 46, 0);
}

static void parts(void)
{
	u64 e;

	pt_configure(PT_NPT, 4, true, 46, 0);
	e = ent_page(0x40000000, PT_1G, ENT_MAY_WRITE | ENT_IS_RAM);
	CHECK_EQ(ent_part(e, PT_1G, 3), e + 3 * 0x200000);
	CHECK(ent_is_page(ent_part(e, PT_1G, 3), PT_2M));
	e = ent_page(0x40000000, PT_2M, ENT_MAY_WRITE | ENT_IS_RAM);
	CHECK_EQ(ent_part(e, PT_2M, 511), (e & ~ENT_PAGE) + 511 * 0x1000);
}

void format_tests(void)
{
	run_test("EPT entries", ept_entries);
	run_test("NPT entries", npt_entries);
	run_test("parked entries", parking);
	run_test("parts of a large page", parts);
	run_test("pages that hardware logs", hardware_log);
}
