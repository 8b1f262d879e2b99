// SPDX-License-Identifier: GPL-2.0-only
/*
 * FPU, MMX, SSE and AVX operands of emulated instructions. The guest's registers are the thread's for the length of a
 * KVM_RUN, so the same instruction runs here on a buffer. Only moves and control instructions come this way;
 * nothing computes, and nothing of the kernel's own state is involved.
 *
 * An x87 instruction may find an unmasked exception pending: it faults here and becomes the guest's #MF. The
 * instruction and operand pointers that x87 keeps would name kernel addresses afterwards: they are replaced.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/thread_info.h>
#include <asm/asm.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <kvm/x86/fpu.h>
#include <kvm/x86/vcpu.h>
#include "emulation.h"

static void regs_begin(struct x86_vcpu *v)
{
	if (!v->fpu_loaded)
		fpu_guest_in(v);
	fpregs_lock();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

static void regs_end(void)
{
	fpregs_unlock();
}

#define MEM(image)		(*(u8 (*)[32])(image))

/* One instruction with a memory operand; bad is not 0 when it faulted. */
#define TRY(insn, image, bad)									\
	asm volatile("1: " insn " %1\n2:\n"							\
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG, %0)			\
		     : "+r" (bad), "+m" (MEM(image)))

#define PICK16(op, reg, image)									\
	switch ((reg) & 15) {									\
	case 0: op(0, image); break;   case 1: op(1, image); break;   case 2: op(2, image); break;	\
	case 3: op(3, image); break;   case 4: op(4, image); break;   case 5: op(5, image); break;	\
	case 6: op(6, image); break;   case 7: op(7, image); break;   case 8: op(8, image); break;	\
	case 9: op(9, image); break;   case 10: op(10, image); break; case 11: op(11, image); break;	\
	case 12: op(12, image); break; case 13: op(13, image); break; case 14: op(14, image); break;	\
	case 15: op(15, image); break;								\
	}
#define XMM_OUT(n, image)	asm volatile("movups %%xmm" #n ", %0" : "=m" (MEM(image)))
#define XMM_IN(n, image)	asm volatile("movups %0, %%xmm" #n : : "m" (MEM(image)))
#define YMM_OUT(n, image)	asm volatile("vmovups %%ymm" #n ", %0" : "=m" (MEM(image)))
#define YMM_IN(n, image)	asm volatile("vmovups %0, %%ymm" #n : : "m" (MEM(image)))

#define PICK8(op, reg, image, bad)								\
	switch ((reg) & 7) {									\
	case 0: op(0, image, bad); break; case 1: op(1, image, bad); break;			\
	case 2: op(2, image, bad); break; case 3: op(3, image, bad); break;			\
	case 4: op(4, image, bad); break; case 5: op(5, image, bad); break;			\
	case 6: op(6, image, bad); break; case 7: op(7, image, bad); break;			\
	}
#define MMX_OUT(n, image, bad)	TRY("movq %%mm" #n ",", image, bad)
#define MMX_IN(n, image, bad)									\
	asm volatile("1: movq %1, %%mm" #n "\n2:\n"						\
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG, %0)			\
		     : "+r" (bad) : "m" (MEM(image)))

static void get_xmm(unsigned int reg, u8 *image)
{
	PICK16(XMM_OUT, reg, image);
}

static void set_xmm(unsigned int reg, const u8 *image)
{
	PICK16(XMM_IN, reg, image);
}

static void get_ymm(unsigned int reg, u8 *image)
{
	PICK16(YMM_OUT, reg, image);
}

static void set_ymm(unsigned int reg, const u8 *image)
{
	PICK16(YMM_IN, reg, image);
}

/* The guest's own addresses into the x87 environment: protected-mode 32-bit layout, as FNSTENV makes it here. */
struct x87_env {
	u32 control, status, tags, ip, cs_opcode, dp, ds;
};

static void name_x87_insn(struct emulation *e)
{
	const struct emu_insn *in = &e->ctx.insn;
	struct x87_env env;

	asm volatile("fnstenv %0" : "=m" (env));
	env.ip = e->ctx.rip;
	env.cs_opcode = e->ctx.seg[EMU_CS].sel | ((in->opcode & 7) << 8 | in->modrm) << 16;
	env.dp = 0;
	env.ds = e->ctx.seg[EMU_DS].sel;
	asm volatile("fldenv %0" : : "m" (env));
}

#define X87_CASE(op, reg, insn)	case (op) << 3 | (reg): TRY(insn, image, bad); break

/* index: opcode bits 2:0, ModRM.reg. Control words do not touch the instruction pointers. */
static enum emu_result x87_memory(struct emulation *e, unsigned int index, void *image)
{
	bool control = index == (1 << 3 | 5) || index == (1 << 3 | 7) || index == (5 << 3 | 7);
	int bad = 0;

	switch (index) {
	X87_CASE(1, 0, "flds");
	X87_CASE(1, 2, "fsts");
	X87_CASE(1, 3, "fstps");
	X87_CASE(1, 5, "fldcw");
	X87_CASE(1, 7, "fnstcw");
	X87_CASE(3, 0, "fildl");
	X87_CASE(3, 1, "fisttpl");
	X87_CASE(3, 2, "fistl");
	X87_CASE(3, 3, "fistpl");
	X87_CASE(3, 5, "fldt");
	X87_CASE(3, 7, "fstpt");
	X87_CASE(5, 0, "fldl");
	X87_CASE(5, 1, "fisttpll");
	X87_CASE(5, 2, "fstl");
	X87_CASE(5, 3, "fstpl");
	X87_CASE(5, 7, "fnstsw");
	X87_CASE(7, 0, "filds");
	X87_CASE(7, 1, "fisttps");
	X87_CASE(7, 2, "fists");
	X87_CASE(7, 3, "fistps");
	X87_CASE(7, 4, "fbld");
	X87_CASE(7, 5, "fildll");
	X87_CASE(7, 6, "fbstp");
	X87_CASE(7, 7, "fistpll");
	default:
		return emu_unhandled(&e->ctx, EMU_WHY_OPCODE);
	}
	if (bad)
		return emu_fault(&e->ctx, 16, false, 0);
	if (!control)
		name_x87_insn(e);
	return EMU_DONE;
}

static enum emu_result x87_register(struct emulation *e, unsigned int index, void *image)
{
	switch (index) {
	case 0x300 | 0xe2:
		asm volatile("fnclex");
		break;
	case 0x300 | 0xe3:
		asm volatile("fninit");
		break;
	case 0x700 | 0xe0:
		asm volatile("fnstsw %0" : "=m" (*(u16 *)image));
		break;
	default:
		return emu_unhandled(&e->ctx, EMU_WHY_OPCODE);
	}
	return EMU_DONE;
}

static enum emu_result load_mxcsr(struct emulation *e, void *image)
{
	int bad = 0;

	TRY("ldmxcsr", image, bad);
	return bad ? emu_gp0(&e->ctx) : EMU_DONE;
}

static enum emu_result vector(enum emu_fpu_op op, unsigned int reg, u8 *image)
{
	bool avx = boot_cpu_has(X86_FEATURE_AVX);

	switch (op) {
	case EMU_FPU_GET_XMM:
		get_xmm(reg, image);
		break;
	case EMU_FPU_SET_XMM:
		set_xmm(reg, image);
		break;
	case EMU_FPU_GET_YMM:
		if (avx)
			get_ymm(reg, image);
		else
			get_xmm(reg, image);
		break;
	default:
		if (avx)
			set_ymm(reg, image);
		else
			set_xmm(reg, image);
		break;
	}
	return EMU_DONE;
}

static enum emu_result mmx(struct emulation *e, bool set, unsigned int reg, u8 *image)
{
	int bad = 0;

	if (set) {
		PICK8(MMX_IN, reg, image, bad);
	} else {
		PICK8(MMX_OUT, reg, image, bad);
	}
	return bad ? emu_fault(&e->ctx, 16, false, 0) : EMU_DONE;
}

/* Is an unmasked x87 exception pending? FWAIT has no operand; the constraint is for the macro's sake. */
static enum emu_result wait_x87(struct emulation *e, void *image)
{
	int bad = 0;

	TRY("fwait #", image, bad);
	return bad ? emu_fault(&e->ctx, 16, false, 0) : EMU_DONE;
}

/* Images of the library may be shorter than what the instructions above move: a copy of full length is between. */
enum emu_result emulation_fpu(struct emu_ctx *ctx, enum emu_fpu_op op, unsigned int index, void *image)
{
	static const u8 bytes[] = {
		[EMU_FPU_GET_MMX] = 8, [EMU_FPU_SET_MMX] = 8, [EMU_FPU_GET_XMM] = 16, [EMU_FPU_SET_XMM] = 16,
		[EMU_FPU_GET_YMM] = 32, [EMU_FPU_SET_YMM] = 32, [EMU_FPU_GET_MXCSR] = 4, [EMU_FPU_SET_MXCSR] = 4,
		[EMU_FPU_WAIT] = 0, [EMU_FPU_GET_X87] = 4, [EMU_FPU_X87] = 16, [EMU_FPU_X87_REG] = 2,
	};
	struct emulation *e = emulation_of(ctx);
	enum emu_result res = EMU_DONE;
	u8 copy[32] __aligned(32) = {};

	if (bytes[op])
		memcpy(copy, image, bytes[op]);
	regs_begin(e->v);
	switch (op) {
	case EMU_FPU_GET_MMX:
	case EMU_FPU_SET_MMX:
		res = mmx(e, op == EMU_FPU_SET_MMX, index, copy);
		break;
	case EMU_FPU_GET_MXCSR:
		asm volatile("stmxcsr %0" : "=m" (*(u32 *)copy));
		break;
	case EMU_FPU_SET_MXCSR:
		res = load_mxcsr(e, copy);
		break;
	case EMU_FPU_WAIT:
		res = wait_x87(e, copy);
		break;
	case EMU_FPU_GET_X87:
		asm volatile("fnstcw %0\n\tfnstsw %1" : "=m" (*(u16 *)copy), "=m" (*(u16 *)(copy + 2)));
		break;
	case EMU_FPU_X87:
		res = x87_memory(e, index, copy);
		break;
	case EMU_FPU_X87_REG:
		res = x87_register(e, index, copy);
		break;
	default:
		res = vector(op, index, copy);
		break;
	}
	regs_end();
	if (bytes[op])
		memcpy(image, copy, bytes[op]);
	return res;
}
