/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Formats of the tables under the guest.
 *
 * Intel's EPT (SDM 29.3.2) and AMD's nested tables (APM 15.25, ordinary long-mode entries) agree on all
 * that the engine does often: 512 entries of 8 bytes, address in bits 51:12, bit 0 read/present, bit 1 write,
 * bit 7 "this is a page" above the lowest level. What differs is the small struct pt_format. It is
 * copied into the global `pt` when a vendor registers, together with what the CPU at hand adds (depth, largest
 * page, trap pattern, memory encryption), and never changes while a VM exists, but for pt.nx_huge.
 *
 * Bits that both formats leave to software say what the hardware bits cannot:
 *   ENT_MAPPED  the engine made this entry a link or a page. Absent: nothing there, or pt.trap.
 *   ENT_HOST_W  the VMM's mapping and the slot allow writing; ENT_W may be given without asking again.
 *   ENT_PARKED  permissions are moved to bits 56:54, so that the next access faults and is seen (EPT
 *               without accessed bits). A parked entry is mapped in every other respect.
 *
 * Pure functions of their arguments and of `pt`; anyone may call them. Also built into user programs by
 * selftests/host/mmu.
 */
#ifndef MMU_FORMAT_H
#define MMU_FORMAT_H

#include <linux/bits.h>
#include <linux/types.h>

enum { PT_4K = 1, PT_2M = 2, PT_1G = 3, PT_MAX_LEVELS = 5 };

#define PT_BITS		9
#define PT_ENTRIES	512

#define ENT_R		BIT_ULL(0)
#define ENT_W		BIT_ULL(1)
#define ENT_PAGE	BIT_ULL(7)
#define ENT_ADDR	GENMASK_ULL(51, 12)
#define ENT_RIGHTS	GENMASK_ULL(2, 0)

#define ENT_MAPPED	BIT_ULL(11)
#define ENT_HOST_W	BIT_ULL(52)
#define ENT_PARKED	BIT_ULL(53)
#define ENT_PARK_SHIFT	54
#define ENT_SOFT	(ENT_MAPPED | ENT_HOST_W | ENT_PARKED | (ENT_RIGHTS << ENT_PARK_SHIFT))

struct pt_format {
	const char *name;
	u64 link;		/* of an entry that leads to a lower table */
	u64 leaf;		/* of every page: readable */
	u64 exec, noexec;	/* set to allow, set to forbid execution: a format has one of them */
	u64 accessed, dirty;	/* 0: hardware keeps none */
	u64 ram, device;	/* memory type */
	u64 fixed_type;		/* with ram: the guest's PAT has no say */
};

enum pt_kind { PT_EPT, PT_EPT_AD, PT_NPT, PT_KINDS };

struct pt_config {
	struct pt_format f;
	u64 trap;		/* an entry that makes hardware exit as a misconfiguration; 0: this CPU has none */
	u64 encrypt;		/* SME: the C bit, in links and in pages of RAM */
	u8 levels;		/* of the root */
	u8 max_page;		/* PT_2M or PT_1G */
	bool hw_log;		/* PML: hardware logs a 4K page when it sets D, so protecting one means clearing D */
	bool nx_huge;		/* pages above 4K are not executable (parameter nx_huge_pages) */
};

extern struct pt_config pt;

/* phys_bits: physical-address width as CPUID reports it, before any reduction by memory encryption. */
void pt_configure(enum pt_kind kind, unsigned int levels, bool page_1g, unsigned int phys_bits, u64 encrypt);

static inline unsigned int pt_index(u64 gfn, unsigned int level)
{
	return (gfn >> (PT_BITS * (level - 1))) & (PT_ENTRIES - 1);
}

/* 4K frames below one entry of a level. */
static inline u64 pt_frames(unsigned int level)
{
	return 1ull << (PT_BITS * (level - 1));
}

/* First frame that the tables do not reach. */
static inline u64 pt_limit(void)
{
	return pt_frames(pt.levels + 1);
}

static inline bool ent_mapped(u64 e)
{
	return e & ENT_MAPPED;
}

static inline bool ent_is_link(u64 e, unsigned int level)
{
	return level > PT_4K && (e & (ENT_MAPPED | ENT_PAGE)) == ENT_MAPPED;
}

static inline bool ent_is_page(u64 e, unsigned int level)
{
	return ent_mapped(e) && !ent_is_link(e, level);
}

static inline u64 ent_phys(u64 e)
{
	return e & ENT_ADDR & ~pt.encrypt;
}

static inline u64 ent_link(u64 table_phys)
{
	return table_phys | pt.f.link | pt.encrypt | ENT_MAPPED;
}

static inline bool ent_executable(u64 e)
{
	return (e & (pt.f.exec | pt.f.noexec)) == pt.f.exec;
}

static inline u64 ent_park(u64 e)
{
	return (e & ~ENT_RIGHTS) | ENT_PARKED | (e & ENT_RIGHTS) << ENT_PARK_SHIFT;
}

static inline u64 ent_unpark(u64 e)
{
	if (!(e & ENT_PARKED))
		return e;
	return (e & ~(ENT_PARKED | ENT_RIGHTS << ENT_PARK_SHIFT)) | ((e >> ENT_PARK_SHIFT) & ENT_RIGHTS);
}

/* Does hardware let this access through? */
static inline bool ent_permits(u64 e, bool write, bool exec)
{
	if (e & ENT_PARKED)
		return false;
	return (!write || e & ENT_W) && (!exec || ent_executable(e));
}

/* The same page so that the next write is noticed: without permission to write, parked or not, or not dirty. */
static inline u64 ent_protect(u64 e)
{
	if (pt.hw_log && !(e & ENT_PAGE))
		return e & ~pt.f.dirty;
	if (e & ENT_PARKED)
		return e & ~(ENT_W << ENT_PARK_SHIFT);
	return e & ~ENT_W;
}

/* Writable again; a set dirty bit saves hardware the update. */
static inline u64 ent_allow_write(u64 e)
{
	return e | ENT_W | pt.f.dirty;
}

/* Accessed since it was last asked: by the bit, or by not being parked. */
static inline bool ent_young(u64 e)
{
	return pt.f.accessed ? e & pt.f.accessed : !(e & ENT_PARKED);
}

static inline u64 ent_make_old(u64 e)
{
	return pt.f.accessed ? e & ~pt.f.accessed : ent_young(e) ? ent_park(e) : e;
}

/* ENT_WRITE_LOGGED: writable, and hardware logs the first write. */
enum ent_flags { ENT_MAY_WRITE = 1, ENT_WRITE_NOW = 2, ENT_IS_RAM = 4, ENT_GUEST_TYPE = 8, ENT_WRITE_LOGGED = 16 };

/* The page of a level that holds the frame at phys; the frame's offset in it is dropped. */
static inline u64 ent_page(u64 phys, unsigned int level, unsigned int flags)
{
	u64 e = (phys & ~((pt_frames(level) << 12) - 1)) | pt.f.leaf | pt.f.accessed | ENT_MAPPED;

	if (flags & ENT_MAY_WRITE)
		e |= ENT_HOST_W;
	if (flags & ENT_WRITE_NOW)
		e = ent_allow_write(e);
	else if (flags & ENT_WRITE_LOGGED)
		e |= ENT_W;
	e |= flags & ENT_IS_RAM ? pt.f.ram | pt.encrypt : pt.f.device;
	if ((flags & (ENT_IS_RAM | ENT_GUEST_TYPE)) == ENT_IS_RAM)
		e |= pt.f.fixed_type;
	if (level == PT_4K)
		return e | pt.f.exec;
	return e | ENT_PAGE | (pt.nx_huge ? pt.f.noexec : pt.f.exec);
}

/* Part i of a page of `level`, as an entry one level below. */
static inline u64 ent_part(u64 e, unsigned int level, unsigned int i)
{
	if (level == PT_2M) {
		e &= ~ENT_PAGE;
		/* it was protected as a whole; its parts hardware can log */
		if (pt.hw_log && (e & (ENT_HOST_W | ENT_W)) == ENT_HOST_W)
			e = (e & ~pt.f.dirty) | ENT_W;
	}
	return e + ((u64)i << (12 + PT_BITS * (level - 2)));
}

#endif
