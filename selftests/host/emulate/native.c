// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instruction runs on the CPU like this: UD2 brings us into a signal handler, which replaces the interrupted
 * registers by the test's, with TF set; the return from the signal starts the instruction; the single step after it, or
 * its fault, is another signal, whose handler takes the registers and puts the program's own back. In a chain it starts
 * the next instruction instead: one signal for each, and what compares them runs inside the handler.
 *
 * Handlers run on their own stack and, until the segment registers are the program's again, without thread-local storage.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "native.h"

static struct native *volatile current;
static bool (*volatile next_in_chain)(struct native *n);
static volatile bool running;
static bool own_fp_kept;
static gregset_t own;
static u64 own_fs, own_gs;
static u64 gs_base = ~0ull;	/* what it is known to be */
static bool fs_changed;
static u16 own_cs, own_ss;
static bool fsgsbase;
static struct _libc_fpstate own_fp;
static u8 own_hi[256];

static const int order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8,
			       REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

static long raw_prctl(long code, u64 arg)
{
	long ret;

	asm volatile("syscall" : "=a" (ret) : "0" ((long)SYS_arch_prctl), "D" (code), "S" (arg)
		     : "rcx", "r11", "memory");
	return ret;
}

static void set_base(bool gs, u64 base)
{
	if (!fsgsbase)
		raw_prctl(gs ? ARCH_SET_GS : ARCH_SET_FS, base);
	else if (gs)
		asm volatile("wrgsbase %0" : : "r" (base));
	else
		asm volatile("wrfsbase %0" : : "r" (base));
}

static u64 get_base(bool gs)
{
	u64 base = 0;

	if (!fsgsbase)
		raw_prctl(gs ? ARCH_GET_GS : ARCH_GET_FS, (u64)(unsigned long)&base);
	else if (gs)
		asm volatile("rdgsbase %0" : "=r" (base));
	else
		asm volatile("rdfsbase %0" : "=r" (base));
	return base;
}

bool native_fsgsbase(void)
{
	return fsgsbase;
}

u16 native_cs(void)
{
	return own_cs;
}

u16 native_ss(void)
{
	return own_ss;
}

static void load_segs(const struct native *n)
{
	if (n->sel[EMU_ES] | n->sel[EMU_DS] | n->sel[EMU_FS] | n->sel[EMU_GS]) {
		asm volatile("movw %0, %%es\n\tmovw %1, %%ds" : : "r" (n->sel[EMU_ES]), "r" (n->sel[EMU_DS]));
		asm volatile("movw %0, %%gs" : : "r" (n->sel[EMU_GS]));
		asm volatile("movw %0, %%fs" : : "r" (n->sel[EMU_FS]));
	}
	if (!(n->sel[EMU_GS] & 0xfffc) && gs_base != n->gs_base)
		set_base(true, n->gs_base);
	gs_base = n->want_bases || n->sel[EMU_GS] ? ~0ull : n->gs_base;
	fs_changed = n->uses_fs || n->sel[EMU_FS];
	if (n->uses_fs && !(n->sel[EMU_FS] & 0xfffc))
		set_base(false, n->fs_base);
}

/* The part of the signal frame that has the upper halves of YMM: standard XSAVE layout. */
static u8 *ymm_high(struct _libc_fpstate *fp)
{
	u8 *p = (u8 *)fp;
	u32 magic;

	memcpy(&magic, p + 464, 4);
	return magic == 0x46505853 ? p + 576 : NULL;
}

static void put_fpu(ucontext_t *uc, const u8 *fx, const void *hi)
{
	u8 *fp = (u8 *)uc->uc_mcontext.fpregs, *high = ymm_high(uc->uc_mcontext.fpregs);

	u64 bv;

	memcpy(fp, fx, 464);	/* what is behind is the kernel's */
	if (!high)
		return;
	memcpy(high, hi, 256);
	memcpy(&bv, fp + 512, 8);
	bv |= 7;		/* all three are there: parts in their initial state need not have been */
	memcpy(fp + 512, &bv, 8);
}

static void get_fpu(ucontext_t *uc, u8 *fx, void *hi)
{
	u8 *fp = (u8 *)uc->uc_mcontext.fpregs, *high;
	u64 bv = 0;
	u32 magic;

	memcpy(fx, fp, 464);
	memcpy(&magic, fp + 464, 4);
	if (magic == 0x46505853)
		memcpy(&bv, fp + 512, 8);
	high = ymm_high(uc->uc_mcontext.fpregs);
	if (high && (bv & 4))
		memcpy(hi, high, 256);
	else
		memset(hi, 0, 256);
	if (magic == 0x46505853 && !(bv & 2))
		memset(fx + 160, 0, 256);
	if (magic == 0x46505853 && !(bv & 1)) {
		memset(fx, 0, 24);
		memset(fx + 32, 0, 128);
		fx[0] = 0x7f;
		fx[1] = 3;
	}
}

static void start(ucontext_t *uc, struct native *n)
{
	greg_t *g = uc->uc_mcontext.gregs;

	for (int i = 0; i < 16; i++)
		g[order[i]] = n->regs[i];
	g[REG_RIP] = n->rip;
	g[REG_EFL] = n->rflags;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & 0x0000ffffffff0000ull) | n->sel[EMU_CS] | (u64)n->sel[EMU_SS] << 48;
	if (n->fpu && !own_fp_kept) {
		get_fpu(uc, (u8 *)&own_fp, own_hi);
		own_fp_kept = true;
	}
	if (n->fpu)
		put_fpu(uc, n->fpu->fx, n->fpu->ymm_hi);
	running = true;
	load_segs(n);
}

static void finish(ucontext_t *uc, struct native *n, const u16 sel[4])
{
	greg_t *g = uc->uc_mcontext.gregs;

	if (n->want_bases) {
		n->fs_base = get_base(false);
		n->gs_base = get_base(true);
	}
	if (sel[0] | sel[1] | sel[2] | sel[3]) {
		asm volatile("movw %0, %%es\n\tmovw %0, %%ds\n\tmovw %0, %%gs\n\tmovw %0, %%fs" : : "r" ((u16)0));
		gs_base = ~0ull;
	}
	if (fs_changed || sel[2])
		set_base(false, own_fs);
	for (int i = 0; i < 16; i++)
		n->regs[i] = g[order[i]];
	n->rip = g[REG_RIP];
	n->rflags = g[REG_EFL];
	n->sel[EMU_ES] = sel[0];
	n->sel[EMU_DS] = sel[1];
	n->sel[EMU_FS] = sel[2];
	n->sel[EMU_GS] = sel[3];
	n->sel[EMU_CS] = g[REG_CSGSFS];
	n->sel[EMU_SS] = g[REG_CSGSFS] >> 48;
	n->trapno = g[REG_TRAPNO];
	n->err = g[REG_ERR];
	n->cr2 = g[REG_CR2];
	if (n->fpu)
		get_fpu(uc, n->fpu->fx, n->fpu->ymm_hi);
	running = false;
}

/* Back behind UD2. */
static void leave(ucontext_t *uc)
{
	if (own_fp_kept)
		put_fpu(uc, (u8 *)&own_fp, own_hi);
	own_fp_kept = false;
	set_base(true, own_gs);
	gs_base = ~0ull;
	memcpy(uc->uc_mcontext.gregs, own, sizeof(own));
	uc->uc_mcontext.gregs[REG_RIP] += 2;
	current = NULL;
}

static void handler(int sig, siginfo_t *info, void *context)
{
	u16 sel[4];

	asm volatile("movw %%es, %0\n\tmovw %%ds, %1\n\tmovw %%fs, %2\n\tmovw %%gs, %3"
		     : "=r" (sel[0]), "=r" (sel[1]), "=r" (sel[2]), "=r" (sel[3]));
	/* Alignment checking may be on. A signal return leaves ID and NT as they are here. */
	asm volatile("pushfq\n\tandl $~0x244000, (%%rsp)\n\tpopfq" : : : "cc", "memory");
	if (!current) {
		signal(sig, SIG_DFL);
		return;
	}
	(void)info;
	if (!running) {
		memcpy(own, ((ucontext_t *)context)->uc_mcontext.gregs, sizeof(own));
		start(context, current);
		return;
	}
	finish(context, current, sel);
	if (next_in_chain && next_in_chain(current))
		start(context, current);
	else
		leave(context);
}

void native_chain(struct native *n, bool (*next)(struct native *n))
{
	running = false;
	current = n;
	next_in_chain = next;
	asm volatile("ud2" : : : "memory");
}

void native_run(struct native *n)
{
	native_chain(n, NULL);
}

void native_init(void)
{
	static const int signals[] = { SIGILL, SIGSEGV, SIGFPE, SIGTRAP, SIGBUS };
	static u8 stack[1 << 16] __attribute__((aligned(64)));
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigfillset(&sa.sa_mask);
	fsgsbase = getauxval(AT_HWCAP2) & 2;
	raw_prctl(ARCH_GET_FS, (u64)(unsigned long)&own_fs);
	raw_prctl(ARCH_GET_GS, (u64)(unsigned long)&own_gs);
	asm("movw %%cs, %0\n\tmovw %%ss, %1" : "=r" (own_cs), "=r" (own_ss));
	if (sigaltstack(&ss, NULL))
		abort();
	for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], &sa, NULL))
			abort();
}
