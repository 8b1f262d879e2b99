// SPDX-License-Identifier: GPL-2.0-only
/* See rows.h. */
#include <stdio.h>
#include <stdlib.h>
#include "rows.h"

#define SLOTS	4096u

static struct { const struct emu_row *row; u16 number; } slots[SLOTS];
static struct { const struct emu_row *row; char name[64]; } rows[MAX_ROWS];
static unsigned int nrows;

static unsigned int slot_of(const struct emu_row *row)
{
	unsigned int i = (unsigned long)row / sizeof(*row) * 2654435761u % SLOTS;

	while (slots[i].row && slots[i].row != row)
		i = (i + 1) % SLOTS;
	return i;
}

static unsigned int width(u32 flags)
{
	return flags & (F_BY_REG | F_BY_RM) ? 8 : flags & F_BY_PFX ? 4 : 2;
}

static void add(const struct emu_row *row, const char *name)
{
	static const char *const pfx[4] = { "", " 66", " f3", " f2" };
	char below[64];

	if (!(row->flags & F_BY)) {
		unsigned int i = slot_of(row);

		if (!row->fn || slots[i].row)	/* nothing to execute, or there by another way */
			return;
		if (nrows == MAX_ROWS)
			abort();
		rows[nrows].row = row;
		snprintf(rows[nrows].name, sizeof(rows[nrows].name), "%s", name);
		slots[i].row = row;
		slots[i].number = nrows++;
		return;
	}
	for (unsigned int i = 0; i < width(row->flags); i++) {
		if (row->flags & F_BY_REG)
			snprintf(below, sizeof(below), "%.40s /%u", name, i);
		else if (row->flags & F_BY_RM)
			snprintf(below, sizeof(below), "%.40s rm%u", name, i);
		else if (row->flags & F_BY_PFX)
			snprintf(below, sizeof(below), "%.40s%s", name, pfx[i]);
		else if (row->flags & F_BY_MOD)
			snprintf(below, sizeof(below), "%.40s %s", name, i ? "reg" : "mem");
		else
			snprintf(below, sizeof(below), "%.40s %s", name, i ? "64" : "not64");
		add(&row->sub[i], below);
	}
}

static void number_rows(void)
{
	char name[16];

	if (nrows)
		return;
	for (unsigned int i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "%02x", i);
		add(&emu_map_1[i], name);
		snprintf(name, sizeof(name), "0f %02x", i);
		add(&emu_map_0f[i], name);
		snprintf(name, sizeof(name), "0f38 %02x", i);
		add(emu_find_0f38(i), name);
		snprintf(name, sizeof(name), "0f3a %02x", i);
		add(emu_find_0f3a(i), name);
	}
}

void row_hit(u8 *hits, const struct emu_row *row)
{
	number_rows();
	if (row)
		hits[slots[slot_of(row)].number] = 1;
}

/* What user code cannot run, or emucheck does not compare: see lists.c. */
static bool for_unit_tests(const struct emu_row *row)
{
	static const emu_fn fns[] = {
		op_int, op_int3, op_into, op_int1, op_syscall, op_sysenter, op_sysret, op_sysexit, op_sldt, op_verr, op_lar, op_lsl,
		op_sgdt, op_smsw, op_action, op_rdtsc, op_rdtscp, op_rdpmc, op_rdpid, op_cpuid, op_xgetbv, op_xsetbv, op_rsm,
		op_monitor, op_mwait, op_in, op_out, op_ins, op_outs, op_cli, op_sti,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(fns); i++)
		if (row->fn == fns[i])
			return true;
	return row->flags & F_PRIV;
}

/* Of what 64-bit code on any host does not have. */
static bool is_not64(const struct emu_row *row)
{
	return row->flags & F_NO64 || row->fn == op_arpl || row->fn == op_fsgsbase || row == &emu_map_0f[0x0d].sub[1];
}

static unsigned int missing(const u8 *hits, bool unit, unsigned int modes)
{
	unsigned int n = 0;

	number_rows();
	for (unsigned int i = 0; i < nrows; i++) {
		const struct emu_row *row = rows[i].row;
		bool mine = for_unit_tests(row);

		/* What 64-bit code does not have is left to both: no LDT, no comparison. */
		if (unit ? !mine && !is_not64(row) : mine || (is_not64(row) && !(modes & (32 | 16))))
			continue;
		if (hits[i])
			continue;
		printf("%s never executed: %s\n", n++ ? "" : "rows of the opcode tables", rows[i].name);
	}
	return n;
}

unsigned int rows_missing(const u8 *hits, unsigned int modes)
{
	return missing(hits, false, modes);
}

unsigned int unit_rows_missing(const u8 *hits)
{
	return missing(hits, true, 0);
}
