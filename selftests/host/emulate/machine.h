/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine for the emulator library in a user program: memory as a list of regions, registers as plain fields. What
 * emucheck (against the physical CPU), the unit tests and the fuzzer run on. No paging: an address outside of
 * every region, or without the permission, is a page fault.
 */
#ifndef EMULATE_TEST_MACHINE_H
#define EMULATE_TEST_MACHINE_H

#include "emulate.h"

enum { P_R = 1, P_W = 2, P_X = 4, P_U = 8 };

struct region {
	u64 base, size;
	u8 *bytes;
	unsigned int perm;
};

#define MAX_REGIONS	16
#define MAX_MSRS	32

struct fpu_image {
	u8 fx[512] __attribute__((aligned(64)));	/* as FXSAVE64 makes it */
	u8 ymm_hi[16][16];
};

struct machine {
	struct emu_ctx ctx;			/* first */
	struct region region[MAX_REGIONS];
	unsigned int nregions;
	struct emu_seg seg[EMU_NR_SEGS];
	struct emu_dt gdt, idt;
	u64 cr0, cr2, cr3, cr4, cr8, efer, xcr0, dr[8];
	struct { u32 index; u64 val; } msr[MAX_MSRS];
	unsigned int nmsrs;
	struct fpu_image fpu;
	bool native_cpuid, accept;		/* accept: instructions that a machine may refuse */
	/* What the instruction did outside of registers and memory. */
	unsigned int actions[EMU_ACT_NMI_UNBLOCK + 1];
	u64 action_a, action_b;
	unsigned int intercepts, pio_in, pio_out, sets;
	u16 port;
	u32 out_value, in_value;
	unsigned int pio_limit;			/* items a port takes at once; 0: all */
	u64 mmio_base, mmio_size;		/* reads pend, writes stop */
	bool mmio_ready;
	u64 mmio_value;
	unsigned int mmio_reads, mmio_writes;
	bool lose_race;				/* the next cmpxchg finds something else */
};

void machine_init(struct machine *m);
struct region *machine_map(struct machine *m, u64 base, u64 size, u8 *bytes, unsigned int perm);
struct region *machine_find(struct machine *m, u64 la);
u64 *machine_msr(struct machine *m, u32 index);
/* Registers of the library that follow from the machine's: mode, long mode. Segments are read again. */
void machine_sync(struct machine *m);

#endif
