// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving RIP past the instruction of an exit.
 *
 * Hardware mostly says how long it was. Where it does not, the bytes say: exits are about a handful of instructions,
 * whose plain forms are recognised without decoding. Anything else takes the decoder.
 *
 * vCPU thread, in kvm->srcu. This is on the path of most exits.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <asm/processor-flags.h>
#include <kvm/arch.h>
#include <kvm/guest_mem.h>
#include <kvm/x86/debug.h>
#include <kvm/x86/mmu.h>
#include <kvm/x86/vcpu.h>
#include "emulation.h"

/* Second byte after 0f of the instruction that an exit is about; 0: told otherwise. */
static const u8 second_byte[NR_EXIT_KINDS] = {
	[EXIT_CPUID] = 0xa2, [EXIT_RDMSR] = 0x32, [EXIT_WRMSR] = 0x30, [EXIT_RDTSC] = 0x31, [EXIT_RDPMC] = 0x33,
	[EXIT_WBINVD] = 0x09, [EXIT_INVD] = 0x08, [EXIT_RDTSCP] = 0x01, [EXIT_XSETBV] = 0x01, [EXIT_HYPERCALL] = 0x01,
	[EXIT_MONITOR] = 0x01, [EXIT_MWAIT] = 0x01,
};

static unsigned int io_length(u8 b)
{
	return b >= 0xe4 && b <= 0xe7 ? 2 : b >= 0xec && b <= 0xef ? 1 : 0;
}

/* Length if the bytes are, without prefixes, the instruction that exits with this kind; 0: they are not. */
static unsigned int plain_length(u32 kind, const u8 *b, bool wide)
{
	u8 op2;

	if (kind >= NR_EXIT_KINDS)
		return 0;
	switch (kind) {
	case EXIT_IO:
		return io_length(b[0]);
	case EXIT_HLT:
		return b[0] == 0xf4;
	case EXIT_PAUSE:
		return b[0] == 0xf3 && b[1] == 0x90 ? 2 : 0;
	case EXIT_CR:
	case EXIT_CR8_WRITE:
		if (wide && (b[0] & 0xf0) == 0x40)
			return b[1] == 0x0f && (b[2] & 0xfd) == 0x20 ? 4 : 0;
		if (b[0] != 0x0f)
			return 0;
		return (b[1] & 0xfd) == 0x20 ? 3 : b[1] == 0x06 ? 2 : 0;
	case EXIT_DR:
		return b[0] == 0x0f && (b[1] & 0xfd) == 0x21 ? 3 : 0;
	}
	op2 = second_byte[array_index_nospec(kind, NR_EXIT_KINDS)];
	if (!op2 || b[0] != 0x0f || b[1] != op2)
		return 0;
	return op2 != 0x01 ? 2 : b[2] >= 0xc0 ? 3 : 0;
}

static u64 linear_rip(struct x86_vcpu *v, u64 rip, enum emu_mode mode)
{
	return mode == EMU_LONG64 ? rip : (u32)(rip + get_seg(v, SEG_CS)->base);
}

static bool translate_code(struct x86_vcpu *v, u64 la, gpa_t *gpa)
{
	struct guest_fault f;

	if (!guest_paging(v)) {
		*gpa = GPA(la);
		return true;
	}
	return mmu_translate(v, la, ACC_X | (get_cpl(v) == 3 ? ACC_U : 0), gpa, &f);
}

static unsigned int bytes_at(struct x86_vcpu *v, u64 la, u8 *buf)
{
	unsigned int n = min_t(unsigned int, EMU_MAX_INSN, PAGE_SIZE - offset_in_page(la));
	gpa_t gpa;

	if (!translate_code(v, la, &gpa) || vcpu_read_guest(&v->vcpu, gpa, buf, n))
		return 0;
	return n;
}

/* All bytes that the instruction may have, over a page boundary if it has to be. */
static unsigned int all_bytes(struct x86_vcpu *v, u64 la, u8 *buf)
{
	unsigned int n = bytes_at(v, la, buf), more;
	u8 rest[EMU_MAX_INSN];

	if (!n || n == EMU_MAX_INSN)
		return n;
	more = bytes_at(v, la + n, rest);
	more = min_t(unsigned int, more, EMU_MAX_INSN - n);
	memcpy(buf + n, rest, more);
	return n + more;
}

/* Length by decoding; 0: the instruction cannot be read any more. */
static unsigned int decoded_length(struct x86_vcpu *v, u64 rip, enum emu_mode mode)
{
	u64 la = linear_rip(v, rip, mode), code[2];
	u8 buf[EMU_MAX_INSN] = {};
	unsigned int n, len, amd = v->cap.amd ? EMU_MODE_AMD : 0;

	if (v->exit.insn_bytes_len) {
		n = min_t(unsigned int, v->exit.insn_bytes_len, EMU_MAX_INSN);
		len = emu_insn_length(v->exit.insn_bytes, n, mode | amd);
		if (len)
			return len;
	}
	if (likely(mmu_fetch(v, la, code))) {
		len = plain_length(v->exit.kind, (const u8 *)code, mode == EMU_LONG64);
		return likely(len) ? len : emu_insn_length((const u8 *)code, EMU_MAX_INSN, mode | amd);
	}
	n = all_bytes(v, la, buf);
	return emu_insn_length(buf, n, mode | amd);
}

/*
 * Hardware did not say which register a MOV to or from the control register of this exit has: its bytes do. Nothing
 * changes if it is another instruction, and where privilege is in question.
 */
void cr_operand_from_code(struct x86_vcpu *v)
{
	struct vm_exit *x = &v->exit;
	enum emu_mode mode = emulate_mode(v);
	u64 code[2];
	const u8 *b = (const u8 *)code;
	u8 rex = 0;

	if (get_cpl(v) || !mmu_fetch(v, linear_rip(v, get_rip(v), mode), code))
		return;
	if (mode == EMU_LONG64 && (b[0] & 0xf0) == 0x40)
		rex = *b++;
	if (b[0] != 0x0f || (b[1] & 0xfd) != 0x20 || x->cr.write != !!(b[1] & 2) ||
	    x->cr.nr != ((b[2] >> 3 & 7) | (rex & 4) << 1))
		return;
	x->cr.gpr = (b[2] & 7) | (rex & 1) << 3;
	x->cr.gpr_known = true;
}

static noinline enum outcome skip_by_decoding(struct x86_vcpu *v)
{
	struct emulation *e = v->emu;
	unsigned int len = e->skip_len;
	enum emu_mode mode;
	u64 rip;

	state_need(v, G_RIP | G_RFLAGS | G_CR0 | G_EFER | G_CPL | G_SEG(SEG_CS));
	mode = emulate_mode(v);
	rip = get_rip(v);

	if (!len)
		len = decoded_length(v, rip, mode);
	if (unlikely(!len))
		return emulate_failure(v, NULL, 0);
	put_rip(v, mode == EMU_LONG64 ? rip + len : (u32)(rip + len));
	return OUT_OK;
}

/* The end of an instruction at which something happens or may happen. */
static noinline enum outcome skipped(struct x86_vcpu *v)
{
	u64 flags;

	if (v->state.intr_shadow) {
		v->state.intr_shadow = 0;
		state_dirty(v, G_SHADOW);
		x86_events_changed(&v->vcpu);
	}
	flags = v->state.rflags;
	if (likely(!(flags & (X86_EFLAGS_TF | X86_EFLAGS_RF)) && !v->guest_debug))
		return OUT_OK;
	if (flags & X86_EFLAGS_RF)
		put_rflags(v, flags & ~(u64)X86_EFLAGS_RF);
	return debug_step(v, flags & X86_EFLAGS_TF);
}

enum outcome skip_insn(struct x86_vcpu *v)
{
	const struct emulation *e = v->emu;
	enum outcome out;

	if (unlikely(e->skip_len) || !vendor_call(next_rip)(v)) {
		out = skip_by_decoding(v);
		if (out != OUT_OK)
			return out;
	}
	state_need(v, G_SHADOW | G_RFLAGS);
	if (likely(!(v->state.rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF)) && !v->state.intr_shadow && !v->guest_debug))
		return OUT_OK;
	return skipped(v);
}

/* The exit's instruction is user space's to answer: where it is and how long is kept with the question. */
void ask_user(struct x86_vcpu *v, enum outcome (*complete)(struct x86_vcpu *v))
{
	const struct emulation *e = v->emu;

	v->io.complete = complete;
	v->io.rip = get_rip(v);
	v->io.insn_len = e->skip_len;
}

/* And skipped with the answer. */
enum outcome skip_answered(struct x86_vcpu *v)
{
	struct emulation *e = v->emu;
	enum outcome out;

	if (likely(!v->io.insn_len))
		return skip_insn(v);
	e->skip_len = v->io.insn_len;
	out = skip_insn(v);
	e->skip_len = 0;
	return out;
}
