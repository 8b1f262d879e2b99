// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMIO without the emulator: MOV and MOVZX between a general register (or an immediate) and one memory operand, in
 * 64-bit code. That is how drivers reach device registers.
 *
 * The exit came from this access, so hardware has made every check that precedes it: segment, canonical form, paging,
 * alignment, breakpoints on the instruction. What is left is to find which register and how many bytes, from the
 * instruction's bytes, and the operand must be at the exit's offset in the page. Whatever is not plain (prefixes,
 * single-stepping, an operand across pages, memory below) is the emulator's.
 *
 * vCPU thread, loaded, in kvm->srcu; may sleep.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/kvm.h>
#include <asm/processor-flags.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/io.h>
#include <kvm/x86/mmu.h>
#include <kvm/x86/vcpu.h>
#include "emulation.h"
#include "trace.h"

/* Reading position in the instruction. It does not get past its end: the forms taken here have 14 bytes at most. */
struct code {
	const u8 *p;
	u8 rex;
	bool opsize;
};

static s32 take(struct code *c, unsigned int n)
{
	s32 val;

	if (n == 1) {
		val = (s8)*c->p;
	} else if (n == 2) {
		val = (s16)(c->p[0] | c->p[1] << 8);
	} else if (n == 4) {
		memcpy(&val, c->p, 4);
	} else {
		return 0;
	}
	c->p += n;
	return val;
}

/* Address by ModRM and what follows it, but for RIP: *rip says that it has to be added. */
static u64 address(struct x86_vcpu *v, struct code *c, u8 modrm, bool *rip)
{
	unsigned int mod = modrm >> 6, rm = modrm & 7, n = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	unsigned int base = rm | (c->rex & 1) << 3;
	u64 ea = 0;
	u8 sib;

	*rip = false;
	if (rm == 4) {
		sib = *c->p++;
		base = (sib & 7) | (c->rex & 1) << 3;
		rm = (sib >> 3 & 7) | (c->rex & 2) << 2;
		if (rm != 4)
			ea = gpr_get(v, rm) << (sib >> 6);
		if (mod == 0 && (sib & 7) == 5)
			return ea + take(c, 4);
	} else if (mod == 0 && rm == 5) {
		*rip = true;
		return take(c, 4);
	}
	return ea + gpr_get(v, base) + take(c, n);
}

/* Opcode: direction, sizes, and whether the value is an immediate. */
static bool operation(struct code *c, struct mmio_move *m, bool *imm)
{
	unsigned int wide = c->rex & 8 ? 8 : c->opsize ? 2 : 4;
	u8 op = *c->p++;

	*imm = false;
	m->reg_size = wide;
	m->size = wide;
	switch (op) {
	case 0x88:
	case 0x8a:
		m->size = m->reg_size = 1;
		fallthrough;
	case 0x89:
	case 0x8b:
		m->write = !(op & 2);
		return true;
	case 0xc6:
		m->size = 1;
		fallthrough;
	case 0xc7:
		m->write = true;
		*imm = true;
		return true;
	case 0x0f:
		op = *c->p++;
		m->write = false;
		m->size = op & 1 ? 2 : 1;
		return (op & 0xfe) == 0xb6;
	}
	return false;
}

/* Is it a move that is done here? Then m says all about it. */
static bool decode(struct x86_vcpu *v, const u8 *bytes, gpa_t gpa, struct mmio_move *m)
{
	struct code c = { .p = bytes };
	bool imm, rip_relative;
	u64 ea, val;
	u8 modrm;

	if (*c.p == 0x66) {
		c.opsize = true;
		c.p++;
	}
	if ((*c.p & 0xf0) == 0x40)
		c.rex = *c.p++;
	if (!operation(&c, m, &imm))
		return false;
	modrm = *c.p++;
	m->reg = (modrm >> 3 & 7) | (c.rex & 4) << 1;
	/* registers to registers; AH to BH; C6 and C7 have one form */
	if (modrm >= 0xc0 || (m->reg_size == 1 && !c.rex && m->reg >= 4) || (imm && (modrm & 0x38)))
		return false;
	ea = address(v, &c, modrm, &rip_relative);
	val = imm ? (s64)take(&c, min_t(u8, m->size, 4)) : m->write ? gpr_get(v, m->reg) : 0;
	memcpy(m->data, &val, sizeof(m->data));
	m->len = c.p - bytes;
	if (rip_relative)
		ea += get_rip(v) + m->len;
	return !((ea ^ gpa.v) & ~PAGE_MASK) && offset_in_page(gpa.v) + m->size <= PAGE_SIZE;
}

/*
 * The bytes as hardware tells them, or from memory; then as if hardware had told them: the emulator may want them
 * next.
 */
static bool fetch(struct x86_vcpu *v)
{
	u64 bytes[2];

	if (v->exit.insn_bytes_len >= EMU_MAX_INSN)
		return true;
	if (!mmu_fetch(v, get_rip(v), bytes))
		return false;
	memcpy(v->exit.insn_bytes, bytes, EMU_MAX_INSN);
	v->exit.insn_bytes_len = EMU_MAX_INSN;
	return true;
}

/* A state in which nothing but the access happens, and the exit is about an operand. */
static bool plain(struct x86_vcpu *v)
{
	state_need(v, G_RIP | G_RFLAGS | G_CPL | G_CR0 | G_CR3 | G_EFER | G_SHADOW | G_SEG(SEG_CS));
	return !(v->exit.error & (PFERR_GUEST_PAGE | PFERR_I)) && guest_64bit(v) && !v->guest_debug &&
	       !(v->state.rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF | X86_EFLAGS_AC)) && !(v->effective_dr7 & 0xff);
}

/* In 64-bit code, and mostly nothing happens at the end of the instruction. */
static enum outcome skip(struct x86_vcpu *v, const struct mmio_move *m)
{
	struct emulation *e = v->emu;
	enum outcome out;

	state_need(v, G_RIP | G_RFLAGS | G_SHADOW);
	if (likely(!(v->state.rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF)) && !v->state.intr_shadow && !v->guest_debug)) {
		put_rip(v, v->state.rip + m->len);
		return OUT_OK;
	}
	e->skip_len = m->len;
	out = skip_insn(v);
	e->skip_len = 0;
	return out;
}

/* The value is there: into the register, as wide as the instruction has it. */
static enum outcome loaded(struct x86_vcpu *v, const struct mmio_move *m)
{
	u64 val, keep = m->reg_size == 1 ? ~0xffull : m->reg_size == 2 ? ~0xffffull : 0;

	memcpy(&val, m->data, sizeof(val));
	if (m->size < 8)
		val &= BIT_ULL(m->size * 8) - 1;
	gpr_set(v, m->reg, keep ? (gpr_get(v, m->reg) & keep) | val : val);
	trace_kvm_mmio(TRACE_MMIO_READ, m->size, m->gpa, m->data);
	return skip(v, m);
}

static struct kvm_run *to_user(struct x86_vcpu *v, const struct mmio_move *m)
{
	struct kvm_run *run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_MMIO);

	v->vcpu.stat.mmio_exits++;
	run->mmio.phys_addr = m->gpa;
	run->mmio.len = m->size;
	run->mmio.is_write = m->write;
	return run;
}

/* User space answered. If it moved the vCPU meanwhile, that is void. */
static enum outcome answered(struct x86_vcpu *v)
{
	struct emulation *e = v->emu;
	struct mmio_move *m = &e->move;

	if (get_rip(v) != m->rip || !guest_64bit(v))
		return OUT_OK;
	memcpy(m->data, v->vcpu.run->mmio.data, sizeof(m->data));
	return loaded(v, m);
}

static enum outcome load(struct x86_vcpu *v, struct mmio_move *m)
{
	if (io_kernel_read(v, GPA(m->gpa), m->size, m->data))
		return loaded(v, m);
	trace_kvm_mmio(TRACE_MMIO_READ_UNSATISFIED, m->size, m->gpa, NULL);
	m->rip = get_rip(v);
	v->io.complete = answered;
	to_user(v, m);
	return OUT_USER;
}

static enum outcome store(struct x86_vcpu *v, const struct mmio_move *m)
{
	struct kvm_run *run;
	enum outcome out;
	u64 val = 0;

	trace_kvm_mmio(TRACE_MMIO_WRITE, m->size, m->gpa, m->data);
	if (io_kernel_write(v, GPA(m->gpa), m->size, m->data))
		return skip(v, m);
	/* RIP is behind a write when user space sees it. */
	out = skip(v, m);
	if (out != OUT_OK)
		return out;
	run = to_user(v, m);
	memcpy(&val, m->data, m->size);
	memcpy(run->mmio.data, &val, sizeof(val));
	return OUT_USER;
}

bool mmio_by_move(struct x86_vcpu *v, gpa_t gpa, enum outcome *out)
{
	struct emulation *e = v->emu;
	struct mmio_move *m = &e->move;

	if (!plain(v) || !fetch(v) || !decode(v, v->exit.insn_bytes, gpa, m))
		return false;
	v->vcpu.stat.insn_emulation++;
	m->gpa = gpa.v;
	*out = m->write ? store(v, m) : load(v, m);
	return true;
}
