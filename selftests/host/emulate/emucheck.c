// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator against the physical CPU: random instructions in random states run on both, and registers, defined
 * flags, memory and faults are compared. 64-bit code, and 32- and 16-bit code in segments of the LDT.
 *
 *   emucheck [N [SEED [MODES [MODEL [FIRST]]]]]	MODES: sum of 64, 32, 16; "" for all
 *						MODEL: bochs or ""; FIRST: case to start with
 *
 * A difference is shrunk (simpler registers, flags, fewer prefixes, as long as it differs) and printed as bytes. Ends in
 * "N compared, N differ"; the exit status is true when nothing differs. gen.c makes the cases, lists.c says
 * what cannot be compared and which flags are undefined, models.c what an emulated CPU is known to do wrong.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#undef F_LOCK
#include "emucheck.h"
#include "rows.h"

#define REPORTS	40	/* differences that are shrunk and shown, for each process */
/* Cases that may differ once and not again: 112 in ten million were seen, on a machine with other work to do. */
#define UNSTABLE_PER	10000
#define UNSTABLE_MIN	10

#define MAX_JOBS	64
#define STUCK_SECONDS	30	/* for one case */

static u64 first_case;

static const char *const reg_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10",
					   "r11", "r12", "r13", "r14", "r15" };
static const char *const seg_names[6] = { "es", "cs", "ss", "ds", "fs", "gs" };

static u64 flags_compared(const struct kase *k, const struct outcome *o)
{
	u64 mask = FL_ARITH | FL_DF | FL_NT | FL_AC | FL_ID | FL_IF | FL_IOPL;

	if (o->res == EMU_DONE || o->res == EMU_RETRY)
		mask &= ~undefined_flags(&o->m.ctx.insn, k->regs);
	return mask;
}

#define WRONG(...)	do { snprintf(o->why, sizeof(o->why), __VA_ARGS__); return DIFFER; } while (0)

static enum verdict compare_fault(const struct kase *k, struct outcome *o)
{
	const struct emu_fault *f = &o->m.ctx.fault;
	u64 err_mask = ~0ull;

	/* Over the end of a 4 GB segment "behavior is implementation-specific" (SDM volume 3, limit checking). */
	if (k->mode != EMU_LONG64 && (f->vector == VEC_GP || f->vector == VEC_SS) && !f->error && o->n.trapno == VEC_PF &&
	    (u32)(o->n.cr2 + 32) < 64)
		return SAME;
	/* How much of a VEX instruction that does not exist is read before #UD is the model's choice. */
	if (f->vector == VEC_UD && o->m.ctx.insn.vex && o->n.trapno == VEC_PF && o->n.err & 16)
		return SAME;
	if (o->n.trapno != f->vector)
		WRONG("fault %u (%x, %llx) here, %u (%llx, %llx) there", f->vector, f->error, f->payload, o->n.trapno,
		      o->n.err, o->n.cr2);
	if (f->vector == VEC_PF && f->payload >= 0x7ffffffff000)
		err_mask = ~1ull;	/* the kernel does not say whether its own pages are there */
	if (f->has_error && ((o->n.err ^ f->error) & err_mask))
		WRONG("fault %u, error %x here, %llx there (at %llx, %llx)", f->vector, f->error, o->n.err, f->payload,
		      o->n.cr2);
	if (f->vector == VEC_PF && o->n.cr2 != f->payload)
		WRONG("page fault at %llx here, %llx there", f->payload, o->n.cr2);
	return SAME;
}

/* How the CPU stopped must fit what the library says. */
static enum verdict compare_end(const struct kase *k, struct outcome *o)
{
	if (o->res == EMU_FAULT)
		return compare_fault(k, o);
	if (o->m.ctx.shadow == EMU_SHADOW_MOVSS) {
		/* the trap came after the INT3 that follows */
		if (o->n.trapno != 3)
			WRONG("shadow here, trap %u there", o->n.trapno);
		o->n.rip--;
		return SAME;
	}
	if (o->n.trapno != 1)
		WRONG("executed here, trap %u error %llx cr2 %llx there", o->n.trapno, o->n.err, o->n.cr2);
	return SAME;
}

static enum verdict compare_fpu(struct outcome *o)
{
	const u8 *a = o->m.fpu.fx, *b = o->fpu.fx;

	/* control, status, tags; then MXCSR; registers. The instruction's address and opcode are the machine's to set. */
	if (memcmp(a, b, 5))
		WRONG("x87 control %02x%02x status %02x%02x tags %02x here, %02x%02x %02x%02x %02x there", a[1], a[0], a[3],
		      a[2], a[4], b[1], b[0], b[3], b[2], b[4]);
	if (memcmp(a + 24, b + 24, 4))
		WRONG("mxcsr");
	for (int i = 0; i < 8; i++)
		if (memcmp(a + 32 + i * 16, b + 32 + i * 16, 10))
			WRONG("st%d", i);
	for (int i = 0; i < 16; i++)
		if (memcmp(a + 160 + i * 16, b + 160 + i * 16, 16) || memcmp(o->m.fpu.ymm_hi[i], o->fpu.ymm_hi[i], 16))
			WRONG("ymm%d", i);
	return SAME;
}

static enum verdict compare_once(const struct kase *k, struct outcome *o)
{
	const struct emu_ctx *ctx = &o->m.ctx;
	enum verdict v = compare_end(k, o);
	unsigned int last = k->mode == EMU_LONG64 ? 16 : 8;
	u64 diff;

	if (v != SAME)
		return v;
	for (unsigned int i = 0; i < last; i++) {
		u64 mask = k->mode == EMU_LONG64 ? ~0ull : 0xffffffff;

		if ((ctx->regs[i] ^ o->n.regs[i]) & mask)
			WRONG("%s %llx here, %llx there", reg_names[i], ctx->regs[i], o->n.regs[i]);
	}
	if (ctx->rip != o->n.rip)
		WRONG("rip %llx here, %llx there", ctx->rip, o->n.rip);
	diff = (ctx->rflags ^ o->n.rflags) & flags_compared(k, o);
	if (diff)
		WRONG("flags %llx here, %llx there, %llx differ", ctx->rflags, o->n.rflags, diff);
	/* A context switch may make any null selector 0. */
	for (unsigned int i = 0; i < 6; i++)
		if ((o->m.seg[i].sel > 3 ? o->m.seg[i].sel : 0) != (o->n.sel[i] > 3 ? o->n.sel[i] : 0))
			WRONG("%s %x here, %x there", seg_names[i], o->m.seg[i].sel, o->n.sel[i]);
	if (k->mode == EMU_LONG64 && o->n.want_bases &&
	    (o->m.seg[EMU_FS].base != o->n.fs_base || o->m.seg[EMU_GS].base != o->n.gs_base))
		WRONG("fs, gs base %llx %llx here, %llx %llx there", o->m.seg[EMU_FS].base, o->m.seg[EMU_GS].base,
		      o->n.fs_base, o->n.gs_base);
	if (memcmp(data_here, data_there, DATA_SIZE))
		for (unsigned int i = 0; i < DATA_SIZE; i++)
			if (data_here[i] != data_there[i])
				WRONG("memory at %x: %02x here, %02x there", DATA + i, data_here[i], data_there[i]);
	return o->n.fpu ? compare_fpu(o) : SAME;
}

/* What a model of a CPU is known to do otherwise is made equal, and the rest compared. */
static enum verdict compare(const struct kase *k, struct outcome *o)
{
	enum verdict v = compare_once(k, o);

	for (unsigned int i = 0; v == DIFFER && i < MODEL_TRIES && model_error(k, o); i++)
		v = o->set_aside ? SAME : compare_once(k, o);
	return v;
}

/* Runs the case here, and says what is to run there. */
static enum verdict run_here(const struct kase *k, struct outcome *o)
{
	struct native *n = &o->n;
	struct emu_insn in;
	u64 flags = (k->rflags & (FL_ARITH | FL_DF | FL_AC)) | FL_IF | FL_TF | 2;

	memset(n, 0, sizeof(*n));
	o->why[0] = 0;
	o->model_errors = 0;
	o->set_aside = false;
	/* Whether such an instruction exists is the model's affair, even when its end is on a page that is not there. */
	if (emu_decode(&in, k->bytes, 15, kase_mode(k)) == EMU_DEC_UNKNOWN)
		return SKIPPED;
	world_prepare(k, &o->m);
	memcpy(o->m.ctx.regs, k->regs, sizeof(k->regs));
	o->m.ctx.rip = k->rip;
	o->m.ctx.rflags = flags;
	machine_sync(&o->m);
	o->res = emu_step(&o->m.ctx);
	if (o->res == EMU_UNHANDLED || o->res == EMU_IO_PENDING || model_hangs(k, o))
		return SKIPPED;
	memcpy(n->regs, k->regs, sizeof(k->regs));
	n->rip = k->rip;
	n->rflags = flags;
	memcpy(n->sel, k->sel, sizeof(n->sel));
	n->fs_base = FS_BASE;
	n->gs_base = GS_BASE;
	n->want_bases = touches_bases(&in);
	n->uses_fs = n->want_bases || in.seg == EMU_FS || k->mode != EMU_LONG64;
	if (o->m.ctx.insn.row && (o->m.ctx.insn.row->flags & (F_X87 | F_MMX | F_SSE) || o->m.ctx.insn.opcode == 0x9b)) {
		o->fpu = k->fpu;
		n->fpu = &o->fpu;
	}
	return SAME;
}

static enum verdict run_case(const struct kase *k, struct outcome *o)
{
	if (run_here(k, o) == SKIPPED)
		return SKIPPED;
	native_run(&o->n);
	return compare(k, o);
}

/* Simpler values, as long as the difference stays. */
static void shrink(struct kase *k, struct outcome *o)
{
	static const u64 simple[] = { 0, 1, DATA + 0x100 };
	struct kase t;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 16; i++)
			for (unsigned int s = 0; s < ARRAY_SIZE(simple); s++) {
				t = *k;
				if (t.regs[i] == simple[s])
					break;
				t.regs[i] = simple[s];
				if (run_case(&t, o) == DIFFER) {
					*k = t;
					break;
				}
			}
		for (u64 bit = 1; bit <= FL_AC; bit <<= 1) {
			t = *k;
			t.rflags &= ~bit;
			if (t.rflags != k->rflags && run_case(&t, o) == DIFFER)
				*k = t;
		}
		t = *k;
		drop_prefix(&t);
		if (!excluded(&t) && run_case(&t, o) == DIFFER)
			*k = t;
	}
	run_case(k, o);
}

static void show(const struct kase *k, u64 number, const char *what)
{
	struct emu_insn in;

	emu_decode(&in, k->bytes, 15, kase_mode(k));
	printf("case %llu, %s:", number, k->mode == EMU_LONG64 ? "64 bit" : k->mode == EMU_PROT32 ? "32 bit" : "16 bit");
	for (unsigned int i = 0; i < (in.len && in.len < 15 ? in.len : 15); i++)
		printf(" %02x", k->bytes[i]);
	printf("  at %llx: %s\n ", k->rip, what);
	for (int i = 0; i < (k->mode == EMU_LONG64 ? 16 : 8); i++)
		printf(" %s=%llx", reg_names[i], k->regs[i]);
	printf(" flags=%llx", k->rflags);
	for (int i = 0; i < 6; i++)
		printf(" %s=%x", seg_names[i], k->sel[i]);
	printf("\n");
}

/* As it came, and, when it still differs then, as small as it gets. */
static void report(struct kase *k, struct outcome *o, u64 number)
{
	show(k, number, o->why);
	shrink(k, o);
	if (o->why[0])
		show(k, number, o->why);
}

/* Counted by each worker for itself, added up at the end. */
struct counts {
	u64 number;			/* the case under way */
	u64 compared, differ, faults, unstable, not_executed, excluded, model[MODEL_ERRORS];
	u8 rows[MAX_ROWS];
};

static struct work {
	u64 number, step, want;		/* next case, distance to the one after, how many to compare */
	struct counts *c;
	struct kase k;
	struct outcome o;
	enum verdict last;
	const struct emu_row *row;
} w;

/* The next case that can be compared, run here. */
static bool next_case(void)
{
	while (w.c->compared < w.want && w.number / w.step < first_case + w.want * 8) {
		w.c->number = w.number;
		generate(&w.k, w.number);
		w.number += w.step;
		if (excluded(&w.k))
			w.c->excluded++;
		else if (run_here(&w.k, &w.o) == SKIPPED)
			w.c->not_executed++;
		else
			return true;
	}
	return false;
}

static void count(void)
{
	w.c->compared++;
	if (w.o.res == EMU_FAULT)
		w.c->faults++;
	else if (w.o.res == EMU_DONE)
		row_hit(w.c->rows, w.o.m.ctx.insn.row);
	for (unsigned int i = 0; i < MODEL_ERRORS; i++)
		w.c->model[i] += w.o.model_errors >> i & 1;
}

static bool chained(struct native *n)
{
	(void)n;
	w.last = compare(&w.k, &w.o);
	if (w.last != SAME)
		return false;
	count();
	return next_case();
}

static long context_switches(void)
{
	struct rusage r;

	return getrusage(RUSAGE_SELF, &r) ? 0 : r.ru_nvcsw + r.ru_nivcsw;
}

/*
 * A context switch in between may change a segment base or selector: Linux gives FS and GS the base back that they had
 * before a null selector was loaded. On a busy machine that was seen four times in a row.
 * A repetition without a switch is the last word.
 */
static bool same_when_repeated(const struct kase *k, struct outcome *o)
{
	for (int i = 0; i < 100; i++) {
		long before = context_switches();

		if (run_case(k, o) == SAME)
			return true;
		if (context_switches() == before)
			return false;
	}
	return false;
}

static void work(void)
{
	bool more = next_case();

	while (more) {
		native_chain(&w.o.n, chained);
		if (w.last == SAME)
			break;
		if (same_when_repeated(&w.k, &w.o))
			w.c->unstable++;
		else if (++w.c->differ <= REPORTS)
			report(&w.k, &w.o, w.number - w.step);
		count();
		more = next_case();
	}
}

/* Waits for a worker. One that dies, or does not come through a case, takes the verdict with it. */
static bool finished(pid_t pid, const struct counts *c)
{
	u64 last = ~0ull;
	int status = 0, still = 0;
	struct kase k;
	pid_t done;

	while (!(done = waitpid(pid, &status, WNOHANG))) {
		u64 now = *(volatile const u64 *)&c->number;

		still = now == last ? still + 1 : 0;
		last = now;
		if (still > STUCK_SECONDS)
			kill(pid, SIGKILL);
		sleep(1);
	}
	if (done == pid && !status)
		return true;
	printf("a process of this test %s of %d:\n", still > STUCK_SECONDS ? "was stuck and died" : "died", status);
	generate(&k, c->number);
	show(&k, c->number, "under way");
	return false;
}

/* A process a CPU. */
static bool work_in_parallel(struct counts *c, unsigned int jobs, u64 n, u64 seed, unsigned int modes)
{
	pid_t pids[MAX_JOBS];
	bool ok = true;

	for (unsigned int i = 0; i < jobs; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			abort();
		if (pids[i])
			continue;
		world_init(seed, modes);
		native_init();
		w.c = &c[i];
		w.number = first_case + i;
		w.step = jobs;
		w.want = n / jobs + (i < n % jobs);
		work();
		exit(0);	/* not _exit(): coverage is written on the way */
	}
	for (unsigned int i = 0; i < jobs; i++)
		ok &= finished(pids[i], &c[i]);
	for (unsigned int i = 1; i < jobs; i++) {
		for (unsigned int j = 0; j < offsetof(struct counts, rows) / sizeof(u64); j++)
			((u64 *)c)[j] += ((u64 *)&c[i])[j];
		for (unsigned int j = 0; j < MAX_ROWS; j++)
			c->rows[j] |= c[i].rows[j];
	}
	return ok;
}

int main(int argc, char **argv)
{
	u64 n = argc > 1 && *argv[1] ? strtoull(argv[1], NULL, 0) : 200000;
	u64 seed = argc > 2 && *argv[2] ? strtoull(argv[2], NULL, 0) : (u64)time(NULL);
	unsigned int want = argc > 3 && *argv[3] ? atoi(argv[3]) : 0, modes = world_init(seed, want), missing = 0;
	long jobs = n < 10000 ? 1 : sysconf(_SC_NPROCESSORS_ONLN);
	struct counts *c;

	if (argc > 4 && *argv[4] && !model_is(argv[4]))
		return 1;
	first_case = argc > 5 ? strtoull(argv[5], NULL, 0) : 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("emucheck: N=%llu SEED=%llu, code of%s%s%s bits\n", n, seed, modes & 64 ? " 64" : "", modes & 32 ? " 32" : "",
	       modes & 16 ? " 16" : "");
	if (want != 64 && modes == 64)
		printf("this host has no LDT, which 32- and 16-bit code needs: not compared\n");
	if (jobs > MAX_JOBS)
		jobs = MAX_JOBS;
	c = mmap(NULL, jobs * sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED)
		return 1;
	if (!work_in_parallel(c, jobs, n, seed, modes))
		c->differ++;
	printf("%llu faulted, %llu differed once and not again; %llu instructions that the emulator does not execute, %llu that "
	       "cannot be compared\n", c->faults, c->unstable, c->not_executed, c->excluded);
	print_exclusions();
	print_model_errors(c->model);
	if (n >= ROWS_WANT)
		missing = rows_missing(c->rows, modes);
	if (c->unstable > c->compared / UNSTABLE_PER + UNSTABLE_MIN) {
		printf("more differed once than context switches explain\n");
		c->differ += c->unstable;
	}
	printf("%llu compared, %llu differ\n", c->compared, c->differ);
	return c->differ || missing || !c->compared;
}
