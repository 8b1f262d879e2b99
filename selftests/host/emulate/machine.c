// SPDX-License-Identifier: GPL-2.0-only
/* The test machine's operations; see machine.h. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "insn.h"
#include "machine.h"

static u32 mxcsr_mask;	/* this CPU's */

static struct machine *of(struct emu_ctx *ctx)
{
	return (struct machine *)ctx;
}

struct region *machine_find(struct machine *m, u64 la)
{
	for (unsigned int i = 0; i < m->nregions; i++)
		if (la - m->region[i].base < m->region[i].size)
			return &m->region[i];
	return NULL;
}

struct region *machine_map(struct machine *m, u64 base, u64 size, u8 *bytes, unsigned int perm)
{
	struct region *r = &m->region[m->nregions++];

	if (m->nregions > MAX_REGIONS)
		abort();
	*r = (struct region){ .base = base, .size = size, .bytes = bytes, .perm = perm };
	return r;
}

u64 *machine_msr(struct machine *m, u32 index)
{
	for (unsigned int i = 0; i < m->nmsrs; i++)
		if (m->msr[i].index == index)
			return &m->msr[i].val;
	return NULL;
}

static enum emu_result page_fault(struct machine *m, u64 la, unsigned int err)
{
	emu_fault(&m->ctx, 14, true, err);
	m->ctx.fault.payload = la;
	return EMU_FAULT;
}

/* Is the byte at la there for this kind of access? */
static enum emu_result check(struct machine *m, u64 la, unsigned int need, bool user)
{
	struct region *r = machine_find(m, la);
	unsigned int err = (need & P_W ? 2 : 0) | (user ? 4 : 0) | (need & P_X ? 16 : 0);

	if (!r)
		return page_fault(m, la, err);
	if ((r->perm & need) != need || (user && !(r->perm & P_U)))
		return page_fault(m, la, err | 1);
	return EMU_DONE;
}

/* An address behind la: 32-bit ones wrap, unless they are of tables that long mode has elsewhere. */
static u64 behind(const struct machine *m, u64 la, unsigned int off)
{
	return m->ctx.mode == EMU_LONG64 || la >> 32 ? la + off : (u32)(la + off);
}

static enum emu_result check_range(struct machine *m, u64 la, unsigned int len, unsigned int need, bool user)
{
	enum emu_result res = check(m, la, need, user);

	if (!res && (la & 4095) + len > 4096)
		res = check(m, behind(m, la, 4096 - (la & 4095)), need, user);
	return res;
}

static void copy(struct machine *m, u64 la, u8 *buf, unsigned int len, bool write)
{
	for (unsigned int i = 0; i < len; i++) {
		u64 at = behind(m, la, i);
		struct region *r = machine_find(m, at);
		u8 *p;

		if (!r)
			continue;
		p = &r->bytes[at - r->base];
		if (write)
			*p = buf[i];
		else
			buf[i] = *p;
	}
}

static enum emu_result m_fetch(struct emu_ctx *ctx, u64 la, void *buf, unsigned int len)
{
	enum emu_result res = check(of(ctx), la, P_X, ctx->cpl == 3);

	if (len > 15 || (la & 4095) + len > 4096)
		abort();
	if (!res)
		copy(of(ctx), la, buf, len, false);
	return res;
}

static bool in_mmio(const struct machine *m, u64 la)
{
	return la - m->mmio_base < m->mmio_size;
}

static enum emu_result mmio(struct machine *m, void *buf, unsigned int len, bool write)
{
	if (write) {
		m->mmio_writes++;
		m->mmio_value = 0;
		memcpy(&m->mmio_value, buf, len < 8 ? len : 8);
		m->ctx.stop = true;
		return EMU_DONE;
	}
	if (!m->mmio_ready)
		return EMU_IO_PENDING;
	m->mmio_reads++;
	memset(buf, 0, len);
	memcpy(buf, &m->mmio_value, len < 8 ? len : 8);
	return EMU_DONE;
}

static enum emu_result m_mem(struct emu_ctx *ctx, u64 la, void *buf, unsigned int len, unsigned int acc)
{
	struct machine *m = of(ctx);
	bool write = acc & EMU_ACC_WRITE, user = ctx->cpl == 3 && !(acc & EMU_ACC_SYSTEM);
	unsigned int need = acc & (EMU_ACC_WRITE | EMU_ACC_RMW) ? P_R | P_W : P_R;
	enum emu_result res;

	if (!len || len > EMU_IO_BUF || (len > 32 && (la & 4095) + len > 4096))
		abort();
	if (in_mmio(m, la))
		return acc & EMU_ACC_PROBE ? EMU_DONE : mmio(m, buf, len, write);
	res = check_range(m, la, len, need, user);
	if (!res && !(acc & EMU_ACC_PROBE))
		copy(m, la, buf, len, write);
	return res;
}

static enum emu_result m_cmpxchg(struct emu_ctx *ctx, u64 la, const void *old, const void *new, unsigned int len,
				  unsigned int acc)
{
	struct machine *m = of(ctx);
	enum emu_result res;
	u8 now[16], want[16];

	if (!len || len > 16)
		abort();
	memcpy(want, new, len);
	if (in_mmio(m, la))
		return mmio(m, want, len, true);
	res = check_range(m, la, len, P_R | P_W, ctx->cpl == 3 && !(acc & EMU_ACC_SYSTEM));
	if (res)
		return res;
	copy(m, la, now, len, false);
	if (memcmp(now, old, len) || m->lose_race) {
		m->lose_race = false;
		return EMU_RETRY;
	}
	copy(m, la, want, len, true);
	return EMU_DONE;
}

static void m_get_seg(struct emu_ctx *ctx, enum emu_segreg n, struct emu_seg *seg)
{
	*seg = of(ctx)->seg[n];
}

static void m_set_seg(struct emu_ctx *ctx, enum emu_segreg n, const struct emu_seg *seg)
{
	of(ctx)->seg[n] = *seg;
	of(ctx)->sets |= 1u << n;
}

static void m_get_dt(struct emu_ctx *ctx, bool idt, struct emu_dt *dt)
{
	*dt = idt ? of(ctx)->idt : of(ctx)->gdt;
}

static void m_set_dt(struct emu_ctx *ctx, bool idt, const struct emu_dt *dt)
{
	*(idt ? &of(ctx)->idt : &of(ctx)->gdt) = *dt;
}

static u64 *sysreg(struct machine *m, enum emu_sysreg reg)
{
	switch (reg) {
	case EMU_CR0:
		return &m->cr0;
	case EMU_CR2:
		return &m->cr2;
	case EMU_CR3:
		return &m->cr3;
	case EMU_CR4:
		return &m->cr4;
	case EMU_CR8:
		return &m->cr8;
	case EMU_XCR0:
		return &m->xcr0;
	case EMU_EFER:
		return &m->efer;
	default:
		return &m->dr[(reg - EMU_DR0) & 7];
	}
}

static u64 m_get_sys(struct emu_ctx *ctx, enum emu_sysreg reg)
{
	return *sysreg(of(ctx), reg);
}

/* The rules of a machine that are needed to tell tests apart, not all of the architecture's. */
static enum emu_result m_set_sys(struct emu_ctx *ctx, enum emu_sysreg reg, u64 val)
{
	struct machine *m = of(ctx);

	if (reg == EMU_CR0 && (((val & C0_PG) && !(val & C0_PE)) || val >> 32))
		return emu_gp0(ctx);
	if (reg == EMU_CR0) {
		bool lme = m->efer & 0x100;

		m->efer = (m->efer & ~EFER_LMA) | (lme && (val & C0_PG) ? EFER_LMA : 0);
		val |= 0x10;
	}
	if (reg == EMU_CR4 && val >> 32)
		return emu_gp0(ctx);
	if (reg == EMU_CR8 && val > 15)
		return emu_gp0(ctx);
	*sysreg(m, reg) = val;
	return EMU_DONE;
}

static enum emu_result m_get_msr(struct emu_ctx *ctx, u32 index, u64 *val)
{
	u64 *msr = machine_msr(of(ctx), index);

	if (!msr)
		return emu_gp0(ctx);
	*val = *msr;
	return EMU_DONE;
}

static enum emu_result m_set_msr(struct emu_ctx *ctx, u32 index, u64 val)
{
	u64 *msr = machine_msr(of(ctx), index);

	if (!msr)
		return emu_gp0(ctx);
	*msr = val;
	return EMU_DONE;
}

static enum emu_result m_pio(struct emu_ctx *ctx, bool out, u16 port, unsigned int size, void *buf,
			      unsigned int *count)
{
	struct machine *m = of(ctx);

	if (!*count || *count * size > EMU_IO_BUF)
		abort();
	if (m->pio_limit && *count > m->pio_limit)
		*count = m->pio_limit;
	m->port = port;
	*(out ? &m->pio_out : &m->pio_in) += *count;
	if (out)
		memcpy(&m->out_value, buf, size);
	for (unsigned int i = 0; !out && i < *count; i++)
		memcpy((u8 *)buf + i * size, &m->in_value, size);
	return EMU_DONE;
}

static enum emu_result m_cpuid(struct emu_ctx *ctx, u32 regs[4])
{
	if (of(ctx)->native_cpuid)
		asm volatile("cpuid" : "+a" (regs[0]), "=b" (regs[1]), "+c" (regs[2]), "=d" (regs[3]));
	else
		regs[0] = 0x11, regs[1] = 0x22, regs[2] = 0x33, regs[3] = 0x44;
	return EMU_DONE;
}

static enum emu_result m_counter(struct emu_ctx *ctx, enum emu_counter which, u32 index, u64 *val)
{
	if (which == EMU_CNT_PMC && (index > 3 || of(ctx)->native_cpuid))
		return emu_gp0(ctx);
	*val = which == EMU_CNT_TSC ? 0x1234567890ull : which == EMU_CNT_PMC ? 0x700000000ull + index : 0x42;
	return EMU_DONE;
}

/* Runs two bytes of opcode and ModRM on rax as address, on the image's registers instead of the program's. */
static void on_image(struct machine *m, const u8 *code, unsigned int n, void *operand)
{
	static u8 own[512] __attribute__((aligned(64)));
	static u8 *stub;

	if (!stub) {
		stub = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (stub == MAP_FAILED)
			abort();
	}
	memcpy(stub, code, n);
	stub[n] = 0xc3;
	asm volatile("fxsave64 %0\n\tfxrstor64 %1\n\tcall *%2\n\tfxsave64 %1\n\tfxrstor64 %0"
		     : "+m" (own), "+m" (m->fpu.fx) : "r" (stub), "a" (operand) : "memory");
}

static u16 status(const struct machine *m)
{
	u16 v;

	memcpy(&v, m->fpu.fx + 2, 2);
	return v;
}

static enum emu_result x87(struct machine *m, enum emu_fpu_op op, unsigned int index, void *image)
{
	u8 code[2] = { 0xd8 | index >> 3, (index & 7) << 3 };

	if (op == EMU_FPU_X87_REG) {
		code[0] = 0xd8 | index >> 8;
		code[1] = index;
	}
	if (op == EMU_FPU_X87_REG && code[0] == 0xdf) {
		u16 sw = status(m);

		memcpy(image, &sw, 2);
		return EMU_DONE;
	}
	on_image(m, code, 2, image);
	return EMU_DONE;
}

static enum emu_result mmx(struct machine *m, bool set, unsigned int index, void *image)
{
	u8 code[3] = { 0x0f, set ? 0x6f : 0x7f, (index & 7) << 3 };

	on_image(m, code, 3, image);
	return EMU_DONE;
}

static enum emu_result m_fpu(struct emu_ctx *ctx, enum emu_fpu_op op, unsigned int index, void *image)
{
	struct machine *m = of(ctx);
	u8 *xmm = m->fpu.fx + 160 + (index & 15) * 16, *hi = m->fpu.ymm_hi[index & 15];
	u32 mask, val;

	switch (op) {
	case EMU_FPU_GET_MMX:
	case EMU_FPU_SET_MMX:
		return mmx(m, op == EMU_FPU_SET_MMX, index, image);
	case EMU_FPU_GET_XMM:
		memcpy(image, xmm, 16);
		break;
	case EMU_FPU_SET_XMM:
		memcpy(xmm, image, 16);
		break;
	case EMU_FPU_GET_YMM:
		memcpy(image, xmm, 16);
		memcpy((u8 *)image + 16, hi, 16);
		break;
	case EMU_FPU_SET_YMM:
		memcpy(xmm, image, 16);
		memcpy(hi, (u8 *)image + 16, 16);
		break;
	case EMU_FPU_GET_MXCSR:
		memcpy(image, m->fpu.fx + 24, 4);
		break;
	case EMU_FPU_SET_MXCSR:
		mask = mxcsr_mask;
		memcpy(&val, image, 4);
		if (val & ~(mask ? mask : 0xffbf))
			return emu_gp0(ctx);
		memcpy(m->fpu.fx + 24, image, 4);
		break;
	case EMU_FPU_GET_X87:
		memcpy(image, m->fpu.fx, 4);
		break;
	case EMU_FPU_WAIT:
		if (status(m) & 0x80)
			return emu_fault(ctx, 16, false, 0);
		break;
	default:
		return x87(m, op, index, image);
	}
	return EMU_DONE;
}

static enum emu_result m_act(struct emu_ctx *ctx, enum emu_action what, u64 a, u64 b)
{
	struct machine *m = of(ctx);

	m->actions[what]++;
	m->action_a = a;
	m->action_b = b;
	switch (what) {
	case EMU_ACT_XGETBV:
		if (a > 1)
			return emu_gp0(ctx);
		ctx->regs[EMU_RAX] = (u32)m->xcr0;
		ctx->regs[EMU_RDX] = m->xcr0 >> 32;
		break;
	case EMU_ACT_VIRT:
	case EMU_ACT_RSM:
	case EMU_ACT_VMCALL:
	case EMU_ACT_VMMCALL:
		return m->accept ? EMU_DONE : emu_ud(ctx);
	default:
		break;
	}
	return EMU_DONE;
}

static enum emu_result m_intercept(struct emu_ctx *ctx, const struct emu_insn *insn)
{
	(void)insn;
	of(ctx)->intercepts++;
	return EMU_DONE;
}

static const struct emu_ops ops = {
	.fetch = m_fetch, .mem = m_mem, .cmpxchg = m_cmpxchg, .get_seg = m_get_seg, .set_seg = m_set_seg,
	.get_dt = m_get_dt, .set_dt = m_set_dt, .get_sys = m_get_sys, .set_sys = m_set_sys,
	.get_msr = m_get_msr, .set_msr = m_set_msr, .pio = m_pio, .cpuid = m_cpuid, .counter = m_counter,
	.fpu = m_fpu, .action = m_act, .intercept = m_intercept,
};

void machine_init(struct machine *m)
{
	static const u32 msrs[] = { 0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100,
				    0xc0000101, 0xc0000102, 0x10 };
	static u8 own[512] __attribute__((aligned(64)));
	u16 cw = 0x37f;
	u32 mxcsr = 0x1f80;

	asm volatile("fxsave64 %0" : "=m" (own));
	memcpy(&mxcsr_mask, own + 28, 4);
	memset(m, 0, sizeof(*m));
	m->ctx.ops = &ops;
	m->cr0 = 0x10;
	for (unsigned int i = 0; i < ARRAY_SIZE(msrs); i++)
		m->msr[m->nmsrs++].index = msrs[i];
	memcpy(m->fpu.fx, &cw, 2);
	memcpy(m->fpu.fx + 24, &mxcsr, 4);
	m->ctx.rflags = 2;
}

void machine_sync(struct machine *m)
{
	m->ctx.seg_valid = 0;
	emu_update_mode(&m->ctx);
}
