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

/* Address by ModRM and what follows it. */
static void address(struct code *c, u8 modrm, struct mmio_form *f)
{
	unsigned int mod = modrm >> 6, rm = modrm & 7, n = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	u8 sib;

	f->base = rm | (c->rex & 1) << 3;
	f->index = MMIO_NO_REG;
	if (rm == 4) {
		sib = *c->p++;
		f->base = (sib & 7) | (c->rex & 1) << 3;
		f->scale = sib >> 6;
		rm = (sib >> 3 & 7) | (c->rex & 2) << 2;
		if (rm != 4)
			f->index = rm;
		if (mod == 0 && (sib & 7) == 5) {
			f->base = MMIO_NO_REG;
			n = 4;
		}
	} else if (mod == 0 && rm == 5) {
		f->base = MMIO_RIP;
		n = 4;
	}
	f->disp = take(c, n);
}

/* Opcode: direction, sizes, and whether the value is an immediate. */
static bool operation(struct code *c, struct mmio_form *f)
{
	u8 op = *c->p++;

	f->kind.reg_size = c->rex & 8 ? 8 : c->opsize ? 2 : 4;
	f->kind.size = f->kind.reg_size;
	switch (op) {
	case 0x88:
	case 0x8a:
		f->kind.size = f->kind.reg_size = 1;
		fallthrough;
	case 0x89:
	case 0x8b:
		f->kind.write = !(op & 2);
		return true;
	case 0xc6:
		f->kind.size = 1;
		fallthrough;
	case 0xc7:
		f->kind.write = true;
		f->kind.from_imm = true;
		return true;
	case 0x0f:
		op = *c->p++;
		f->kind.size = op & 1 ? 2 : 1;
		return (op & 0xfe) == 0xb6;
	}
	return false;
}

/* Is it a move that is done here? Then f says all about it. */
static bool decode(const u64 bytes[2], struct mmio_form *f)
{
	struct code c = { .p = (const u8 *)bytes };
	u8 modrm;

	*f = (struct mmio_form){ .bytes = { bytes[0], bytes[1] } };
	if (*c.p == 0x66) {
		c.opsize = true;
		c.p++;
	}
	if ((*c.p & 0xf0) == 0x40)
		c.rex = *c.p++;
	if (!operation(&c, f))
		return false;
	modrm = *c.p++;
	f->kind.reg = (modrm >> 3 & 7) | (c.rex & 4) << 1;
	/* registers to registers; AH to BH; C6 and C7 have one form */
	if (modrm >= 0xc0 || (f->kind.reg_size == 1 && !c.rex && f->kind.reg >= 4) ||
	    (f->kind.from_imm && (modrm & 0x38)))
		return false;
	address(&c, modrm, f);
	if (f->kind.from_imm)
		f->imm = (s64)take(&c, min_t(u8, f->kind.size, 4));
	f->kind.len = c.p - (const u8 *)bytes;
	return true;
}

static u64 linear(struct x86_vcpu *v, const struct mmio_form *f)
{
	u64 ea = f->disp;

	if (f->base < MMIO_NO_REG)
		ea += gpr_get(v, f->base);
	else if (f->base == MMIO_RIP)
		ea += v->state.rip + f->kind.len;
	if (f->index < MMIO_NO_REG)
		ea += gpr_get(v, f->index) << f->scale;
	return ea;
}

/*
 * The form that the bytes at RIP have, as hardware tells them or from memory: decoded anew only if there were others
 * here the last time. Bytes that are no such move are left for the emulator, as if hardware had told them.
 */
static const struct mmio_form *form_here(struct x86_vcpu *v)
{
	struct emulation *e = v->emu;
	struct vm_exit *x = &v->exit;
	struct mmio_form *f = &e->form[v->state.rip % MMIO_FORMS];
	u64 bytes[2] = {};

	if (x->insn_bytes_len >= EMU_MAX_INSN)
		memcpy(bytes, x->insn_bytes, EMU_MAX_INSN);
	else if (unlikely(!mmu_fetch(v, v->state.rip, bytes)))
		return NULL;
	if (likely(f->kind.len && f->bytes[0] == bytes[0] && f->bytes[1] == bytes[1]))
		return f;
	if (decode(bytes, f))
		return f;
	f->kind.len = 0;
	memcpy(x->insn_bytes, bytes, EMU_MAX_INSN);
	x->insn_bytes_len = EMU_MAX_INSN;
	return NULL;
}

/* A state in which nothing but the access happens, and the exit is about an operand. */
static bool plain(struct x86_vcpu *v)
{
	state_need(v, G_RIP | G_RFLAGS | G_CPL | G_CR0 | G_CR3 | G_EFER | G_SHADOW | G_LONG);
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
		put_rip(v, v->state.rip + m->kind.len);
		return OUT_OK;
	}
	e->skip_len = m->kind.len;
	out = skip_insn(v);
	e->skip_len = 0;
	return out;
}

/* The value is there: into the register, as wide as the instruction has it. */
static enum outcome loaded(struct x86_vcpu *v, const struct mmio_move *m)
{
	u64 val, keep = m->kind.reg_size == 1 ? ~0xffull : m->kind.reg_size == 2 ? ~0xffffull : 0;

	memcpy(&val, m->data, sizeof(val));
	if (m->kind.size < 8)
		val &= BIT_ULL(m->kind.size * 8) - 1;
	gpr_set(v, m->kind.reg, keep ? (gpr_get(v, m->kind.reg) & keep) | val : val);
	trace_kvm_mmio(TRACE_MMIO_READ, m->kind.size, m->gpa, m->data);
	return skip(v, m);
}

static struct kvm_run *to_user(struct x86_vcpu *v, const struct mmio_move *m)
{
	struct kvm_run *run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_MMIO);

	v->vcpu.stat.mmio_exits++;
	run->mmio.phys_addr = m->gpa;
	run->mmio.len = m->kind.size;
	run->mmio.is_write = m->kind.write;
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
	if (io_kernel_read(v, GPA(m->gpa), m->kind.size, m->data))
		return loaded(v, m);
	trace_kvm_mmio(TRACE_MMIO_READ_UNSATISFIED, m->kind.size, m->gpa, NULL);
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

	trace_kvm_mmio(TRACE_MMIO_WRITE, m->kind.size, m->gpa, m->data);
	if (io_kernel_write(v, GPA(m->gpa), m->kind.size, m->data))
		return skip(v, m);
	/* RIP is behind a write when user space sees it. */
	out = skip(v, m);
	if (out != OUT_OK)
		return out;
	run = to_user(v, m);
	memcpy(&val, m->data, m->kind.size);
	memcpy(run->mmio.data, &val, sizeof(val));
	return OUT_USER;
}

bool mmio_by_move(struct x86_vcpu *v, gpa_t gpa, enum outcome *out)
{
	struct emulation *e = v->emu;
	struct mmio_move *m = &e->move;
	const struct mmio_form *f;
	u64 val;

	if (!plain(v))
		return false;
	f = form_here(v);
	if (!f || (linear(v, f) ^ gpa.v) & ~PAGE_MASK || offset_in_page(gpa.v) + f->kind.size > PAGE_SIZE)
		return false;
	v->vcpu.stat.insn_emulation++;
	m->gpa = gpa.v;
	m->kind = f->kind;
	if (!f->kind.write) {
		*out = load(v, m);
		return true;
	}
	val = f->kind.from_imm ? f->imm : gpr_get(v, f->kind.reg);
	memcpy(m->data, &val, sizeof(m->data));
	*out = store(v, m);
	return true;
}
