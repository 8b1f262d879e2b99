/* SPDX-License-Identifier: GPL-2.0-only */
/* One instruction on the physical CPU, from any register state, whatever becomes of it. */
#ifndef EMULATE_TEST_NATIVE_H
#define EMULATE_TEST_NATIVE_H

#include "machine.h"

struct native {
	u64 regs[16], rip, rflags;
	u16 sel[6];			/* in the order of instructions: es cs ss ds fs gs */
	u64 fs_base, gs_base;		/* used where the selector is null */
	bool want_bases;		/* read them back */
	bool uses_fs;			/* otherwise FS may stay the program's own */
	struct fpu_image *fpu;		/* in and out, or NULL */
	unsigned int trapno;		/* vector of what ended it; 1: it was executed */
	u64 err, cr2;
};

void native_init(void);
void native_run(struct native *n);
/* As native_run(); next sees what became of it, in a signal handler, and may put another in its place. */
void native_chain(struct native *n, bool (*next)(struct native *n));
bool native_fsgsbase(void);
u16 native_cs(void);
u16 native_ss(void);

#endif
