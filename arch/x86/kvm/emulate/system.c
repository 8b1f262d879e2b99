// SPDX-License-Identifier: GPL-2.0-only
/*
 * System instructions: control and debug registers, descriptor table registers, MSRs, counters, fast system calls, and
 * those whose effect belongs to the machine. Values are the machine's to judge; who may execute is judged here.
 */
#include "insn.h"

enum { MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR = 0xc0000081, MSR_LSTAR,
	MSR_CSTAR, MSR_FMASK, MSR_FS_BASE = 0xc0000100, MSR_GS_BASE, MSR_KERNEL_GS_BASE };

static u64 cr4(struct emu_ctx *ctx)
{
	return ctx->ops->get_sys(ctx, EMU_CR4);
}

static void set_edx_eax(struct emu_ctx *ctx, u64 v)
{
	ctx->regs[EMU_RAX] = (u32)v;
	ctx->regs[EMU_RDX] = v >> 32;
}

static u64 edx_eax(const struct emu_ctx *ctx)
{
	return (u32)ctx->regs[EMU_RAX] | ctx->regs[EMU_RDX] << 32;
}

static bool has_cr(u64 n)
{
	return n == 0 || n == 2 || n == 3 || n == 4 || n == 8;
}

enum emu_result op_rd_cr(struct emu_run *r)
{
	if (!has_cr(r->src.val))
		return emu_ud(r->ctx);
	r->dst.val = r->ctx->ops->get_sys(r->ctx, EMU_CR0 + r->src.val);
	return EMU_DONE;
}

enum emu_result op_wr_cr(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	enum emu_result res;

	if (!has_cr(r->dst.val))
		return emu_ud(ctx);
	res = ctx->ops->set_sys(ctx, EMU_CR0 + r->dst.val, r->src.val);
	if (!res && r->dst.val == 0)
		emu_update_mode(ctx);
	return res;
}

/* DR4 and DR5 are DR6 and DR7, or #UD. General detect faults before any of them is touched. */
static enum emu_result debug_reg(struct emu_ctx *ctx, u64 *n)
{
	if (*n > 7)
		return emu_ud(ctx);
	if (*n == 4 || *n == 5) {
		if (cr4(ctx) & C4_DE)
			return emu_ud(ctx);
		*n += 2;
	}
	if (ctx->ops->get_sys(ctx, EMU_DR7) & 0x2000) {
		emu_fault(ctx, VEC_DB, false, 0);
		ctx->fault.payload = DR6_BD;
		return EMU_FAULT;
	}
	return EMU_DONE;
}

enum emu_result op_rd_dr(struct emu_run *r)
{
	enum emu_result res = debug_reg(r->ctx, &r->src.val);

	if (!res)
		r->dst.val = r->ctx->ops->get_sys(r->ctx, EMU_DR0 + r->src.val);
	return res;
}

enum emu_result op_wr_dr(struct emu_run *r)
{
	enum emu_result res = debug_reg(r->ctx, &r->dst.val);

	if (res)
		return res;
	if (r->dst.val >= 6 && r->src.val >> 32)
		return emu_gp0(r->ctx);
	return r->ctx->ops->set_sys(r->ctx, EMU_DR0 + r->dst.val, r->src.val);
}

static bool umip(struct emu_ctx *ctx)
{
	return ctx->cpl && (cr4(ctx) & C4_UMIP);
}

enum emu_result op_sgdt(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	unsigned int size = emu_is_64(ctx) ? 8 : 4;
	struct emu_dt dt;
	enum emu_result res;

	if (umip(ctx))
		return emu_gp0(ctx);
	ctx->ops->get_dt(ctx, r->row->arg, &dt);
	res = emu_operand_access(r, 0, &dt.limit, 2, EMU_ACC_WRITE);
	return res ? res : emu_operand_access(r, 2, &dt.base, size, EMU_ACC_WRITE);
}

enum emu_result op_lgdt(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	struct emu_dt dt = {};
	enum emu_result res;

	res = emu_operand_access(r, 0, &dt.limit, 2, 0);
	if (!res)
		res = emu_operand_access(r, 2, &dt.base, emu_is_64(ctx) ? 8 : 4, 0);
	if (res)
		return res;
	if (!emu_is_64(ctx) && r->insn->opsize == 2)
		dt.base &= 0xffffff;
	if (emu_is_64(ctx) && !emu_canonical_base(ctx, dt.base))
		return emu_gp0(ctx);
	ctx->ops->set_dt(ctx, r->row->arg, &dt);
	return EMU_DONE;
}

enum emu_result op_smsw(struct emu_run *r)
{
	if (umip(r->ctx))
		return emu_gp0(r->ctx);
	r->dst.val = r->ctx->ops->get_sys(r->ctx, EMU_CR0);
	return EMU_DONE;
}

/* PE can be set by it but not cleared. */
enum emu_result op_lmsw(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	u64 cr0 = ctx->ops->get_sys(ctx, EMU_CR0);
	enum emu_result res = ctx->ops->set_sys(ctx, EMU_CR0, (cr0 & ~0xeull) | (r->src.val & 0xf));

	if (!res)
		emu_update_mode(ctx);
	return res;
}

enum emu_result op_clts(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;

	return ctx->ops->set_sys(ctx, EMU_CR0, ctx->ops->get_sys(ctx, EMU_CR0) & ~C0_TS);
}

static u64 segment_base(struct emu_run *r, unsigned int seg)
{
	if (emu_is_64(r->ctx) && seg != EMU_FS && seg != EMU_GS)
		return 0;
	return emu_seg(r->ctx, emu_clamp(seg, EMU_GS + 1))->base;
}

/* A non-canonical address invalidates nothing and does not fault. */
enum emu_result op_invlpg(struct emu_run *r)
{
	u64 la = segment_base(r, r->insn->seg) + r->ea;

	if (!emu_is_64(r->ctx))
		la = (u32)la;
	return emu_canonical(r->ctx, la) ? r->ctx->ops->action(r->ctx, EMU_ACT_INVLPG, la, 0) : EMU_DONE;
}

enum emu_result op_invpcid(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	enum emu_result res;
	u64 la;

	res = emu_linear(ctx, r->insn->seg, r->ea, 16, false, &la);
	if (res)
		return res;
	return ctx->ops->action(ctx, EMU_ACT_INVPCID, emu_get_reg(ctx, r->insn->modrm >> 3 & 7, 8), la);
}

enum emu_result op_clflush(struct emu_run *r)
{
	u64 la;
	enum emu_result res = emu_linear(r->ctx, r->insn->seg, r->ea, 1, false, &la);

	if (!res)	/* it reads as far as protection goes */
		res = emu_la_access(r->ctx, la, NULL, 1, EMU_ACC_PROBE);
	return res ? res : r->ctx->ops->action(r->ctx, EMU_ACT_CLFLUSH, la, 0);
}

enum emu_result op_cpuid(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	u32 regs[4] = { ctx->regs[EMU_RAX], 0, ctx->regs[EMU_RCX], 0 };
	enum emu_result res = ctx->ops->cpuid(ctx, regs);

	if (res)
		return res;
	ctx->regs[EMU_RAX] = regs[0];
	ctx->regs[EMU_RBX] = regs[1];
	ctx->regs[EMU_RCX] = regs[2];
	ctx->regs[EMU_RDX] = regs[3];
	return EMU_DONE;
}

enum emu_result op_rdmsr(struct emu_run *r)
{
	u64 v;
	enum emu_result res = r->ctx->ops->get_msr(r->ctx, r->ctx->regs[EMU_RCX], &v);

	if (!res)
		set_edx_eax(r->ctx, v);
	return res;
}

enum emu_result op_wrmsr(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;

	return ctx->ops->set_msr(ctx, ctx->regs[EMU_RCX], edx_eax(ctx));
}

static enum emu_result counter(struct emu_ctx *ctx, enum emu_counter which, u32 index, u64 *v)
{
	u64 allow = which == EMU_CNT_PMC ? cr4(ctx) & C4_PCE : !(cr4(ctx) & C4_TSD);

	if (ctx->cpl && !allow && (ctx->ops->get_sys(ctx, EMU_CR0) & C0_PE))
		return emu_gp0(ctx);
	return ctx->ops->counter(ctx, which, index, v);
}

enum emu_result op_rdtsc(struct emu_run *r)
{
	u64 v;
	enum emu_result res = counter(r->ctx, EMU_CNT_TSC, 0, &v);

	if (!res)
		set_edx_eax(r->ctx, v);
	return res;
}

enum emu_result op_rdtscp(struct emu_run *r)
{
	u64 v, aux;
	enum emu_result res = counter(r->ctx, EMU_CNT_TSC, 0, &v);

	if (!res)
		res = r->ctx->ops->counter(r->ctx, EMU_CNT_TSC_AUX, 0, &aux);
	if (res)
		return res;
	set_edx_eax(r->ctx, v);
	r->ctx->regs[EMU_RCX] = (u32)aux;
	return EMU_DONE;
}

enum emu_result op_rdpmc(struct emu_run *r)
{
	u64 v;
	enum emu_result res = counter(r->ctx, EMU_CNT_PMC, r->ctx->regs[EMU_RCX], &v);

	if (!res)
		set_edx_eax(r->ctx, v);
	return res;
}

enum emu_result op_rdpid(struct emu_run *r)
{
	return r->ctx->ops->counter(r->ctx, EMU_CNT_TSC_AUX, 0, &r->dst.val);
}

enum emu_result op_hlt(struct emu_run *r)
{
	return r->ctx->ops->action(r->ctx, EMU_ACT_HLT, 0, 0);
}

enum emu_result op_pause(struct emu_run *r)
{
	return r->ctx->ops->action(r->ctx, EMU_ACT_PAUSE, 0, 0);
}

enum emu_result op_action(struct emu_run *r)
{
	return r->ctx->ops->action(r->ctx, r->row->arg, 0, 0);
}

enum emu_result op_rsm(struct emu_run *r)
{
	return r->ctx->ops->action(r->ctx, EMU_ACT_RSM, 0, 0);
}

enum emu_result op_monitor(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	u64 la, ea = emu_get_reg(ctx, EMU_RAX, r->insn->adsize);
	enum emu_result res;

	if (ctx->cpl)
		return emu_ud(ctx);
	if ((u32)ctx->regs[EMU_RCX])
		return emu_gp0(ctx);
	res = emu_linear(ctx, r->insn->seg, ea, 1, false, &la);
	if (!res)
		res = emu_la_access(ctx, la, NULL, 1, EMU_ACC_PROBE);
	return res ? res : ctx->ops->action(ctx, EMU_ACT_MONITOR, la, 0);
}

enum emu_result op_mwait(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;

	if (ctx->cpl)
		return emu_ud(ctx);
	return ctx->ops->action(ctx, EMU_ACT_MWAIT, ctx->regs[EMU_RAX], ctx->regs[EMU_RCX]);
}

/* 66, F2 and F3 would make another instruction of it. */
static bool prefixed(const struct emu_insn *in)
{
	return in->opsize_prefix || in->rep;
}

enum emu_result op_xgetbv(struct emu_run *r)
{
	if (!(cr4(r->ctx) & C4_OSXSAVE) || prefixed(r->insn))
		return emu_ud(r->ctx);
	return r->ctx->ops->action(r->ctx, EMU_ACT_XGETBV, (u32)r->ctx->regs[EMU_RCX], 0);
}

enum emu_result op_xsetbv(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;

	if (!(cr4(ctx) & C4_OSXSAVE) || prefixed(r->insn))
		return emu_ud(ctx);
	if (ctx->cpl)
		return emu_gp0(ctx);
	return ctx->ops->action(ctx, EMU_ACT_XSETBV, (u32)ctx->regs[EMU_RCX], edx_eax(ctx));
}

static void set_base(struct emu_ctx *ctx, enum emu_segreg n, u64 base)
{
	struct emu_seg seg = *emu_seg(ctx, n);

	seg.base = base;
	emu_put_seg(ctx, n, &seg);
}

enum emu_result op_swapgs(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	u64 old = emu_seg(ctx, EMU_GS)->base, v;
	enum emu_result res = ctx->ops->get_msr(ctx, MSR_KERNEL_GS_BASE, &v);

	if (!res)
		res = ctx->ops->set_msr(ctx, MSR_KERNEL_GS_BASE, old);
	if (!res)
		set_base(ctx, EMU_GS, v);
	return res;
}

/* Argument: bit 0 GS, bit 1 write. */
enum emu_result op_fsgsbase(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	enum emu_segreg n = r->row->arg & 1 ? EMU_GS : EMU_FS;

	if (!(cr4(ctx) & C4_FSGSBASE))
		return emu_ud(ctx);
	if (!(r->row->arg & 2)) {
		emu_set_reg(ctx, r->dst.reg, r->dst.size, emu_seg(ctx, n)->base);
		return EMU_DONE;
	}
	if (!emu_canonical_base(ctx, r->src.val))
		return emu_gp0(ctx);
	set_base(ctx, n, r->src.val);
	return EMU_DONE;
}

/* Flat segments of the fast system calls. cs_attr: code with L or D as the target wants. */
static void flat_segments(struct emu_ctx *ctx, u16 cs, u16 ss, u8 dpl, bool code64)
{
	u32 base = EMU_AR_S | EMU_AR_P | EMU_AR_G | dpl << EMU_AR_DPL_SHIFT;
	struct emu_seg seg = { .limit = 0xffffffff, .sel = cs };

	seg.attr = base | 0xb | (code64 ? EMU_AR_L : EMU_AR_DB);
	emu_put_seg(ctx, EMU_CS, &seg);
	seg.sel = ss;
	seg.attr = base | 0x3 | EMU_AR_DB;
	emu_put_seg(ctx, EMU_SS, &seg);
	ctx->cpl = dpl;
	emu_update_mode(ctx);
}

enum emu_result op_syscall(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	bool from64 = emu_is_64(ctx);
	u64 star, target = 0, mask = 0;
	enum emu_result res;

	if (!(ctx->ops->get_sys(ctx, EMU_EFER) & EFER_SCE) || (!from64 && !ctx->amd))
		return emu_ud(ctx);
	res = ctx->ops->get_msr(ctx, MSR_STAR, &star);
	if (!res && ctx->lma)
		res = ctx->ops->get_msr(ctx, from64 ? MSR_LSTAR : MSR_CSTAR, &target);
	if (!res && ctx->lma)
		res = ctx->ops->get_msr(ctx, MSR_FMASK, &mask);
	if (res)
		return res;
	ctx->regs[EMU_RCX] = r->next;
	if (ctx->lma) {
		ctx->regs[11] = ctx->rflags & ~FL_RF;
		ctx->rflags &= ~(mask | FL_RF);
	} else {
		target = (u32)star;
		ctx->rflags &= ~(FL_VM | FL_IF | FL_RF);
	}
	r->next = target;
	flat_segments(ctx, star >> 32 & 0xfffc, (star >> 32 & 0xfffc) + 8, 0, ctx->lma);
	return EMU_DONE;
}

enum emu_result op_sysret(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	bool to64 = r->insn->opsize == 8;
	enum emu_result res;
	u64 star, keep;
	u16 sel;

	if (!(ctx->ops->get_sys(ctx, EMU_EFER) & EFER_SCE) || (!emu_is_64(ctx) && !ctx->amd))
		return emu_ud(ctx);
	if (ctx->cpl)
		return emu_gp0(ctx);
	if (to64 && !ctx->amd && !emu_canonical(ctx, ctx->regs[EMU_RCX]))
		return emu_gp0(ctx);
	res = ctx->ops->get_msr(ctx, MSR_STAR, &star);
	if (res)
		return res;
	sel = star >> 48;
	r->next = to64 ? ctx->regs[EMU_RCX] : (u32)ctx->regs[EMU_RCX];
	keep = FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_AC | FL_VIF | FL_VIP | FL_ID;
	if (ctx->lma)
		ctx->rflags = (ctx->regs[11] & keep) | 2;
	else
		ctx->rflags |= FL_IF;
	flat_segments(ctx, (to64 ? sel + 16 : sel) | 3, (sel + 8) | 3, 3, to64);
	return EMU_DONE;
}

enum emu_result op_sysenter(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	u64 cs, sp, ip;
	enum emu_result res;

	if (emu_is_real(ctx))
		return emu_gp0(ctx);
	if (ctx->amd && ctx->lma)
		return emu_ud(ctx);
	res = ctx->ops->get_msr(ctx, MSR_SYSENTER_CS, &cs);
	if (!res)
		res = ctx->ops->get_msr(ctx, MSR_SYSENTER_ESP, &sp);
	if (!res)
		res = ctx->ops->get_msr(ctx, MSR_SYSENTER_EIP, &ip);
	if (res)
		return res;
	if (!(cs & 0xfffc))
		return emu_gp0(ctx);
	ctx->rflags &= ~(FL_VM | FL_IF | FL_RF);
	ctx->regs[EMU_RSP] = ctx->lma ? sp : (u32)sp;
	r->next = ctx->lma ? ip : (u32)ip;
	flat_segments(ctx, cs & 0xfffc, (cs & 0xfffc) + 8, 0, ctx->lma);
	return EMU_DONE;
}

enum emu_result op_sysexit(struct emu_run *r)
{
	struct emu_ctx *ctx = r->ctx;
	bool to64 = r->insn->opsize == 8;
	u64 cs, ip = ctx->regs[EMU_RDX], sp = ctx->regs[EMU_RCX];
	enum emu_result res;

	if (ctx->amd && ctx->lma)
		return emu_ud(ctx);
	if (ctx->cpl)
		return emu_gp0(ctx);
	res = ctx->ops->get_msr(ctx, MSR_SYSENTER_CS, &cs);
	if (res)
		return res;
	if (!(cs & 0xfffc) || (to64 && (!emu_canonical(ctx, ip) || !emu_canonical(ctx, sp))))
		return emu_gp0(ctx);
	r->next = to64 ? ip : (u32)ip;
	ctx->regs[EMU_RSP] = to64 ? sp : (u32)sp;
	cs = (cs & 0xfffc) + (to64 ? 32 : 16);
	flat_segments(ctx, cs | 3, (cs + 8) | 3, 3, to64);
	return EMU_DONE;
}
