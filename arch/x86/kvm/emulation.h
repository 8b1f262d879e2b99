/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's machine round the emulator library (emulate/): what emulate.c, emulate_mem.c, emulate_ops.c,
 * emulate_fpu.c, skip.c and io.c share. One struct emulation a vCPU, made with it; only the vCPU thread uses it, in
 * kvm->srcu.
 */
#ifndef ARCH_X86_KVM_EMULATION_H
#define ARCH_X86_KVM_EMULATION_H

#include <kvm/x86/vcpu.h>
#include "emulate/emulate.h"

#define EMU_READS	160	/* pieces of 8 bytes that one iteration may read from devices: OUTS moves EMU_IO_BUF */
#define EMU_WRITES	40	/* ENTER may push 33 times */
#define EMU_CODE	256	/* bytes of code kept while states that hardware refuses are interpreted */
#define EMU_BATCH	128	/* instructions interpreted for one exit */

/* A piece of device memory that has been read: the same when the instruction runs again. */
struct emu_read {
	u64 gpa;
	u8 len;
	u8 data[8];
};

/* A write that user space must carry out; its bytes are at off in vcpu->scratch. */
struct emu_write {
	u64 gpa;
	u16 len, off;
};

/* mmio.c: a MOV between a register or immediate and memory, as its bytes say. */
struct mmio_form {
	u64 bytes[2];			/* the 16 that begin with it; the rest follows from them alone */
	u64 imm;			/* sign-extended */
	s64 disp;
	u8 base, index, scale;		/* registers; MMIO_NO_REG, MMIO_RIP */
	struct mmio_kind {
		u8 len;			/* of the instruction; 0: nothing is here, or no such move */
		u8 size, reg_size;	/* of the access, and of the register that is loaded */
		u8 reg;
		bool write, from_imm;
	} __aligned(8) kind;
};
#define MMIO_NO_REG	16
#define MMIO_RIP	17
#define MMIO_FORMS	8

/* One that is under way. */
struct mmio_move {
	u64 gpa, rip;
	u8 data[8];			/* to be written, or what was read */
	struct mmio_kind kind;
};

struct emulation {
	struct emu_ctx ctx;		/* first: emulation_of() */
	struct x86_vcpu *v;

	/* About this instruction. */
	bool hint;			/* its only operand is at hint_gpa, says the exit */
	bool queued;			/* the fault is in v->ev already */
	bool halt;			/* it was HLT */
	enum outcome (*exit)(struct x86_vcpu *v);	/* it is what this exit is: VMCALL, RDMSR and WRMSR */
	bool pio_out;			/* user space has to do the output in v->io.pio */
	bool changed;			/* mode, segments or control registers may be others */
	u8 skip_len;			/* its length, for skip_insn(); 0: as hardware or decoding says */
	u8 step;			/* single step due when the queue is delivered: 1, 2: TF was the guest's */
	u64 hint_gpa;
	u64 db_bits;			/* likewise: breakpoints hit */
	enum outcome out;		/* OUT_USER, OUT_ERROR: from an operation */

	/* Device reads of this iteration, in order; pos: how far this run of it has come. */
	u32 commits;			/* ctx.commits that they belong to */
	u32 nr_reads, pos;
	u64 want_gpa;
	u8 want_len;
	/* Device writes, delivered one piece at a time. */
	u32 nr_writes, at_write, at_byte, write_bytes;
	/* Code bytes, while interpreting. */
	bool keep_code;
	u8 code_cpl;
	u16 code_len;
	u64 code_la, code_gpa;

	struct mmio_move move;
	struct mmio_form form[MMIO_FORMS];	/* by RIP: what was decoded there last */

	struct emu_write write[EMU_WRITES];
	struct emu_read read[EMU_READS];
	u8 code[EMU_CODE];
};

static inline struct emulation *emulation_of(struct emu_ctx *ctx)
{
	return container_of(ctx, struct emulation, ctx);
}

extern const struct emu_ops kvm_emu_ops;

/* emulate_mem.c */
enum emu_result emulation_fetch(struct emu_ctx *ctx, u64 la, void *buf, unsigned int len);
enum emu_result emulation_mem(struct emu_ctx *ctx, u64 la, void *buf, unsigned int len, unsigned int acc);
enum emu_result emulation_cmpxchg(struct emu_ctx *ctx, u64 la, const void *old, const void *new, unsigned int len,
				  unsigned int acc);
void emulation_reads_reset(struct emulation *e);

/* emulate_fpu.c */
enum emu_result emulation_fpu(struct emu_ctx *ctx, enum emu_fpu_op op, unsigned int index, void *image);

/* io.c: string port I/O of the emulator; queued writes and the read that is wanted, through vcpu->run. */
enum emu_result emulation_pio(struct emu_ctx *ctx, bool out, u16 port, unsigned int size, void *buf,
			      unsigned int *count);
enum outcome emulation_write_out(struct emulation *e);
enum outcome emulation_read_in(struct emulation *e);
enum outcome emulation_pio_out(struct emulation *e);

/* emulate.c */
enum outcome emulate_resume(struct emulation *e);	/* what was pending is there: the record runs again */
enum outcome emulate_delivered(struct emulation *e);	/* queued output is done */
enum emu_mode emulate_mode(struct x86_vcpu *v);		/* of the guest, for decoding */
enum outcome emulate_failure(struct x86_vcpu *v, const u8 *bytes, unsigned int n);

#endif
