/* SPDX-License-Identifier: GPL-2.0-only */
/* Cases of emucheck and the world they run in: the same addresses here (regions of the machine) and there (mappings). */
#ifndef EMUCHECK_H
#define EMUCHECK_H

#include "native.h"
#include "insn.h"

#define CODE		0x10000000u	/* two executable pages */
#define CODE_END	0x10010000u	/* one, and nothing behind it */
#define DATA		0x20000000u	/* two pages that may be written, one that may not; nothing round them */
#define DATA_SIZE	0x3000u
#define FS_BASE		(DATA + 0x400u)
#define GS_BASE		(DATA + 0x1400u)

struct kase {
	u8 mode;
	u8 bytes[16];
	u64 rip;		/* linear in 64-bit mode, else an offset in CS */
	u64 regs[16];
	u64 rflags;
	u16 sel[6];
	struct fpu_image fpu;
	u64 memory;		/* seed of what is in it */
	u32 patch_at;		/* except for these bytes, at an offset in DATA */
	u8 patch_len, patch[40];
};

enum verdict { SAME, DIFFER, SKIPPED };

/* One case, run here (m, res) and there (n, fpu). */
struct outcome {
	struct machine m;
	struct native n;
	enum emu_result res;
	struct fpu_image fpu;
	char why[128];
	u32 model_errors;	/* bit n: error n of the model was met */
	bool set_aside;		/* because of it nothing else can be compared */
};

static inline unsigned int kase_mode(const struct kase *k)
{
	return k->mode | (__builtin_cpu_is("amd") ? EMU_MODE_AMD : 0);
}

extern u8 *data_here, *data_there;

/* gen.c */
/* Maps the world, anew in each process. want: sum of 64, 32, 16, or 0 for all; returns those that can be compared. */
unsigned int world_init(u64 seed, unsigned int want);
void world_prepare(const struct kase *k, struct machine *m);
void generate(struct kase *k, u64 number);
void drop_prefix(struct kase *k);

/* lists.c */
const char *excluded(const struct kase *k);
u64 undefined_flags(const struct emu_insn *in, const u64 *regs);
bool touches_bases(const struct emu_insn *in);
void print_exclusions(void);

/* models.c */
#define MODEL_ERRORS	24	/* of one model, at most */
#define MODEL_TRIES	4	/* errors that one case may meet */
bool model_is(const char *name);
/* A difference that the model is known for? Makes o's two sides equal in it, or sets the case aside. */
bool model_error(const struct kase *k, struct outcome *o);
/* A case that the model does not come through; o: what it did here. */
bool model_hangs(const struct kase *k, const struct outcome *o);
void print_model_errors(const u64 *met);

#endif
