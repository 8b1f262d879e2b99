// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving RIP past the instruction of an exit.
 *
 * Hardware mostly says how long it was. Where it does not, the bytes say: exits are about a handful of instructions,
 * whose plain forms are recognised without decoding. The translation of the code page is kept from one skip to
 * the next, the bytes are read each time; they have to be the instruction that exited, without a prefix, to be
 * believed. Anything else takes the long way, a walk of the guest's tables and the decoder.
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

/* The kept translation, if it is of this page and address space. */
static bool kept_bytes(struct x86_vcpu *v, struct emulation *e, u64 la, u8 *buf)
{
	unsigned int off = offset_in_page(la);

	if ((la & PAGE_MASK) != e->skip_page || off > PAGE_SIZE - 4 || e->skip_cpl != get_cpl(v) ||
	    e->skip_cr3 != get_cr3(v))
		return false;
	return !gpa_cache_read(v->vcpu.kvm, &e->skip_cache, buf, off, 4);
}

static void keep(struct x86_vcpu *v, struct emulation *e, u64 la)
{
	gpa_t gpa;

	e->skip_page = ~0ull;
	if (arch_vcpu_as(&v->vcpu) || !translate_code(v, la & PAGE_MASK, &gpa))
		return;
	if (gpa_cache_init(v->vcpu.kvm, &e->skip_cache, gpa, PAGE_SIZE))
		return;
	e->skip_page = la & PAGE_MASK;
	e->skip_cr3 = get_cr3(v);
	e->skip_cpl = get_cpl(v);
}

/* Length by decoding; 0: the instruction cannot be read any more. */
static unsigned int decoded_length(struct x86_vcpu *v, u64 rip, enum emu_mode mode)
{
	u64 la = linear_rip(v, rip, mode);
	struct emulation *e = v->emu;
	u8 buf[EMU_MAX_INSN] = {};
	unsigned int n, len, amd = v->cap.amd ? EMU_MODE_AMD : 0;

	if (v->exit.insn_bytes_len) {
		n = min_t(unsigned int, v->exit.insn_bytes_len, EMU_MAX_INSN);
		len = emu_insn_length(v->exit.insn_bytes, n, mode | amd);
		if (len)
			return len;
	}
	if (kept_bytes(v, e, la, buf)) {
		len = plain_length(v->exit.kind, buf, mode == EMU_LONG64);
		if (likely(len))
			return len;
	}
	n = all_bytes(v, la, buf);
	keep(v, e, la);
	return emu_insn_length(buf, n, mode | amd);
}

static enum outcome skip_by_decoding(struct x86_vcpu *v, u64 *next)
{
	struct emulation *e = v->emu;
	enum emu_mode mode = emulate_mode(v);
	unsigned int len = e->skip_len;
	u64 rip = get_rip(v);

	if (!len)
		len = decoded_length(v, rip, mode);
	if (unlikely(!len))
		return emulate_failure(v, NULL, 0);
	*next = mode == EMU_LONG64 ? rip + len : (u32)(rip + len);
	return OUT_OK;
}

enum outcome skip_insn(struct x86_vcpu *v)
{
	const struct emulation *e = v->emu;
	enum outcome out;
	u64 next, flags;

	if (unlikely(e->skip_len) || !vendor_call(next_rip)(v, &next)) {
		out = skip_by_decoding(v, &next);
		if (out != OUT_OK)
			return out;
	}
	put_rip(v, next);
	state_need(v, G_SHADOW | G_RFLAGS);
	if (unlikely(v->state.intr_shadow)) {
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
