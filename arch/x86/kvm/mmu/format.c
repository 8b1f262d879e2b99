// SPDX-License-Identifier: GPL-2.0-only
/*
 * The three formats as data, and the choice among them when a vendor registers. pt_configure() runs before
 * any VM exists; afterwards `pt` is only read.
 */
#include <linux/build_bug.h>
#include <linux/cache.h>

#include "format.h"

struct pt_config pt __read_mostly;

/* EPT: SDM 29.3.2. Bits 5:3 are the memory type (6 write-back, 0 uncacheable), bit 6 makes it stand against the PAT. */
#define EPT_X		BIT_ULL(2)
#define EPT_WB		(6ull << 3)
#define EPT_IGNORE_PAT	BIT_ULL(6)
#define EPT_A		BIT_ULL(8)
#define EPT_D		BIT_ULL(9)

/* Long-mode entries: APM 5.3.3. The nested walk is a user access, so U is in every entry. */
#define LM_U		BIT_ULL(2)
#define LM_A		BIT_ULL(5)
#define LM_D		BIT_ULL(6)
#define LM_NX		BIT_ULL(63)

/*
 * The guest's PAT may weaken the type of a device (write combining over uncacheable), but not of RAM, which the host
 * maps write-back, unless a device that does not snoop caches is assigned (its MTRRs never count). Nested entries of
 * AMD leave RAM to the guest's PAT: that CPU keeps mixed types coherent.
 */
#define EPT_COMMON						\
	.exec = EPT_X, .ram = EPT_WB, .fixed_type = EPT_IGNORE_PAT, .leaf = ENT_R

static const struct pt_format formats[PT_KINDS] = {
	[PT_EPT] = {
		.name = "EPT", EPT_COMMON,
		.link = ENT_R | ENT_W | EPT_X,
	},
	[PT_EPT_AD] = {
		.name = "EPT with accessed and dirty bits", EPT_COMMON,
		.link = ENT_R | ENT_W | EPT_X | EPT_A,
		.accessed = EPT_A, .dirty = EPT_D,
	},
	[PT_NPT] = {
		.name = "NPT",
		.link = ENT_R | ENT_W | LM_U | LM_A,
		.leaf = ENT_R | LM_U,
		.noexec = LM_NX,
		.accessed = LM_A, .dirty = LM_D,
	},
};

/* What hardware defines, and what software keeps beside it, may not meet; the parked rights fit their place. */
#define EPT_HARD	(ENT_RIGHTS | GENMASK_ULL(10, 3) | ENT_ADDR | GENMASK_ULL(58, 57) | GENMASK_ULL(61, 60) | \
			 BIT_ULL(63))
#define LM_HARD		(GENMASK_ULL(8, 0) | ENT_ADDR | GENMASK_ULL(63, 59))
static_assert(!(ENT_SOFT & EPT_HARD));
static_assert(!(ENT_SOFT & LM_HARD));
static_assert(PT_ENTRIES * sizeof(u64) == 4096 && PT_ENTRIES == 1 << PT_BITS);
static_assert((ENT_RIGHTS << ENT_PARK_SHIFT) < BIT_ULL(57));

/*
 * A trap must make hardware exit differently from an absent entry, at every level, and never be cached in a TLB.
 * EPT: write without read is a misconfiguration whatever the CPU offers (SDM 29.3.3.1). The address is all ones: a
 * CPU that speculates past a terminal fault (L1TF) then reads no memory. Long mode: a physical-address bit that the
 * CPU does not have; if it has all 52 there is none to use.
 */
static u64 trap_entry(enum pt_kind kind, unsigned int phys_bits)
{
	if (kind != PT_NPT)
		return ENT_W | EPT_X | ENT_ADDR;
	return phys_bits < 52 ? ENT_R | ENT_W | LM_U | BIT_ULL(51) : 0;
}

void pt_configure(enum pt_kind kind, unsigned int levels, bool page_1g, unsigned int phys_bits, u64 encrypt)
{
	pt.f = formats[kind];
	pt.trap = trap_entry(kind, phys_bits);
	pt.encrypt = encrypt;
	pt.levels = levels;
	pt.max_page = page_1g ? PT_1G : PT_2M;
	pt.hw_log = false;
}
