// SPDX-License-Identifier: GPL-2.0-only
/*
 * What emulated CPUs do otherwise, on which emucheck is run where no silicon has what it needs (16- and 32-bit code). Each is one
 * form of instruction and one kind of difference: what the two sides show has to be just that, everything else is still
 * compared, and each run prints how often it was met. In the list is only what the manuals, or the physical CPU in
 * 64-bit mode, say is the model's; and what no manual says, where we do as the physical CPU.
 */
#include <stdio.h>
#include "emucheck.h"

struct model_error {
	bool (*is)(const struct kase *k, struct outcome *o);
	const char *what, *why;
};

#define SILICON	"the physical CPU does as we do in 64-bit code"

static emu_fn fn_of(const struct outcome *o)
{
	return o->m.ctx.insn.row ? o->m.ctx.insn.row->fn : NULL;
}

static bool faulted_here(const struct outcome *o, unsigned int vector)
{
	return o->res == EMU_FAULT && o->m.ctx.fault.vector == vector;
}

static bool faulted_there(const struct outcome *o)
{
	return o->n.trapno != VEC_DB && o->n.trapno != VEC_BP;
}

/* Both faulted, in different ways: goes on as if in the same. */
static bool same_fault(struct outcome *o)
{
	if (o->res != EMU_FAULT || !faulted_there(o))
		return false;
	o->n.trapno = o->m.ctx.fault.vector;
	o->n.err = o->m.ctx.fault.error;
	o->n.cr2 = o->m.ctx.fault.payload;
	return true;
}

static bool set_aside(struct outcome *o)
{
	o->set_aside = true;
	return true;
}

static bool far_pointer(const struct kase *k, struct outcome *o)
{
	const struct emu_fault *f = &o->m.ctx.fault;

	(void)k;
	if (fn_of(o) != op_lds || o->n.trapno < VEC_SS || o->n.trapno > VEC_PF)
		return false;
	if (o->n.trapno == f->vector && (f->vector != VEC_PF || o->n.cr2 == f->payload))
		return false;
	return same_fault(o);
}

static bool vex_w(const struct kase *k, struct outcome *o)
{
	const struct emu_insn *in = &o->m.ctx.insn;

	return in->vex && in->rex & 8 && k->mode != EMU_LONG64 && o->n.trapno == VEC_UD && set_aside(o);
}

/* The return address may have been pushed, and what faults is the push. */
static bool call_limit(const struct kase *k, struct outcome *o)
{
	unsigned int size = o->m.ctx.insn.opsize;
	bool call = fn_of(o) == op_call || fn_of(o) == op_call_ind;
	u64 at = emu_stack_at(&o->m.ctx, -(s64)size), base = k->mode == EMU_LONG64 ? 0 : o->m.seg[EMU_SS].base;

	if (!call || !faulted_here(o, VEC_GP) || o->m.ctx.fault.error)
		return false;
	if (o->n.trapno == VEC_PF || o->n.trapno == VEC_SS)
		return same_fault(o);
	at = k->mode == EMU_LONG64 ? at + base : (u32)(at + base);
	at -= DATA;
	if (o->n.trapno != VEC_GP || at > DATA_SIZE - size || !memcmp(data_here + at, data_there + at, size))
		return false;
	memcpy(data_there + at, data_here + at, size);
	return true;
}

static bool x87_memory(const struct outcome *o)
{
	return fn_of(o) == op_x87_store || fn_of(o) == op_x87_load;
}

/* C1 and the exception flags of an instruction whose memory operand then faults. */
static bool x87_status(const struct kase *k, struct outcome *o)
{
	u8 *here = o->m.fpu.fx + 2, *there = o->fpu.fx + 2;

	(void)k;
	if (!x87_memory(o) || o->res != EMU_FAULT || !faulted_there(o) || !memcmp(here, there, 2) || (here[1] ^ there[1]) & ~2)
		return false;
	if (here[0] & ~there[0] || there[0] & 0x80)
		return false;
	memcpy(there, here, 2);
	return true;
}

/* An unmasked exception keeps the store from being made; whether it could have been is not looked at. */
static bool x87_no_store(const struct kase *k, struct outcome *o)
{
	(void)k;
	return fn_of(o) == op_x87_store && o->res == EMU_FAULT && !faulted_there(o) && o->fpu.fx[2] & 0x80 && set_aside(o);
}

static bool fbld(const struct kase *k, struct outcome *o)
{
	const struct emu_insn *in = &o->m.ctx.insn;

	(void)k;
	if (fn_of(o) != op_x87_load || in->opcode != 0xdf || (in->modrm >> 3 & 7) != 4)
		return false;
	if (o->n.trapno < VEC_SS || o->n.trapno > VEC_PF ||
	    (faulted_here(o, o->n.trapno) && (o->n.trapno != VEC_PF || o->n.cr2 == o->m.ctx.fault.payload)))
		return false;
	return same_fault(o);
}

/* FBSTP and FSTP of 80 bits over the end of a page: eight bytes in front of it are written, and the other two fault. */
static bool ten_bytes(const struct kase *k, struct outcome *o)
{
	const struct emu_insn *in = &o->m.ctx.insn;
	unsigned int kind = in->opcode << 8 | (in->modrm & 0x38), end = o->m.ctx.fault.payload - DATA;

	(void)k;
	if (fn_of(o) != op_x87_store || (kind != 0xdf30 && kind != 0xdb38) || !faulted_here(o, VEC_PF) || o->n.trapno != VEC_PF)
		return false;
	if (end & 4095 || !end || end > DATA_SIZE || !memcmp(data_here + end - 9, data_there + end - 9, 9))
		return false;
	memcpy(data_there + end - 9, data_here + end - 9, 9);
	return true;
}

static bool mov_sreg_rex(const struct kase *k, struct outcome *o)
{
	const struct emu_insn *in = &o->m.ctx.insn;

	(void)k;
	return !in->map && (in->opcode & 0xfd) == 0x8c && in->rex & 4 && o->n.trapno == VEC_UD && set_aside(o);
}

/* The bytes behind the opcode of an instruction that does not exist. */
static bool undefined_tail(const struct kase *k, struct outcome *o)
{
	struct emu_insn in;

	if (!faulted_here(o, VEC_PF) || !(o->m.ctx.fault.error & 16) || o->n.trapno != VEC_UD)
		return false;
	return emu_decode(&in, k->bytes, 15, kase_mode(k)) == EMU_DEC_UD && same_fault(o);
}

/* The same privilege, an operand size below 64 bits: what it would have popped may have been bad as well. */
static bool iret_stack(const struct kase *k, struct outcome *o)
{
	unsigned int size = o->m.ctx.insn.opsize;

	return fn_of(o) == op_iret && k->mode == EMU_LONG64 && size < 8 && !faulted_there(o) &&
	       o->n.regs[EMU_RSP] == k->regs[EMU_RSP] + 3 * size && set_aside(o);
}

static bool frame_size(const struct kase *k, struct outcome *o)
{
	return (fn_of(o) == op_enter || fn_of(o) == op_leave) && k->mode == EMU_LONG64 && o->m.ctx.insn.opsize == 2 && set_aside(o);
}

static bool adox_flag(const struct kase *k, struct outcome *o)
{
	(void)k;
	if (fn_of(o) != op_adox || o->res != EMU_DONE || !((o->m.ctx.rflags ^ o->n.rflags) & FL_OF))
		return false;
	o->n.rflags ^= FL_OF;
	return true;
}

/* Pushes through ESP. */
static bool call_far_stack(const struct kase *k, struct outcome *o)
{
	bool call = fn_of(o) == op_callf || fn_of(o) == op_callf_m;

	if (!call || k->mode != EMU_LONG64 || !faulted_here(o, VEC_PF) || o->n.trapno != VEC_PF)
		return false;
	return o->n.cr2 == (u32)o->m.ctx.fault.payload && o->m.ctx.fault.payload >> 32 && same_fault(o);
}

static bool unaligned(const struct kase *k, struct outcome *o)
{
	emu_fn fn = fn_of(o);

	if (!(k->rflags & FL_AC) || !faulted_here(o, VEC_AC) || o->n.trapno == VEC_AC)
		return false;
	if (fn != op_pop_sreg && fn != op_push_sreg && !x87_memory(o) && fn != op_vmov)
		return false;
	return faulted_there(o) ? same_fault(o) : set_aside(o);
}

static bool aligned_first(const struct kase *k, struct outcome *o)
{
	bool segment = (faulted_here(o, VEC_SS) || faulted_here(o, VEC_GP)) && !o->m.ctx.fault.error;

	return k->rflags & FL_AC && segment && o->n.trapno == VEC_AC && same_fault(o);
}

/* In 64-bit mode: eight bytes are popped, and six of them need not be there, or may be beyond the canonical addresses. */
static bool pop_selector(const struct kase *k, struct outcome *o)
{
	u64 sp = k->regs[EMU_RSP];
	bool page = faulted_here(o, VEC_PF) && o->m.ctx.fault.payload == (sp | 4095) + 1;
	bool canonical = faulted_here(o, VEC_SS) && !((sp + 1) >> 47) && (sp + 7) >> 47;

	if (fn_of(o) != op_pop_sreg || k->mode != EMU_LONG64 || (!page && !canonical))
		return false;
	return faulted_there(o) ? same_fault(o) : set_aside(o);
}

/* The manuals do not say that a frame may; ours is popped item by item, as it was pushed. */
static bool frame_wraps(const struct kase *k, struct outcome *o)
{
	unsigned int size = o->m.ctx.insn.opsize;
	u64 end = o->m.seg[EMU_SS].attr & EMU_AR_DB ? 1ull << 32 : 1 << 16, sp = k->regs[EMU_RSP] & (end - 1);

	if ((fn_of(o) != op_iret && fn_of(o) != op_retf) || k->mode == EMU_LONG64)
		return false;
	if (sp + 3 * size <= end || o->n.trapno != VEC_SS || o->n.err)
		return false;
	return o->res == EMU_FAULT ? same_fault(o) : set_aside(o);
}

static const struct model_error bochs[] = {
	{ far_pointer, "LDS and its like: the selector is read first", "no manual says; " SILICON },
	{ vex_w, "VEX.W outside of 64-bit mode: not ignored", "SDM 2, ANDN and others: VEX.W1 is ignored in non-64-bit modes" },
	{ call_limit, "near CALL: the push comes before the limit", "SDM 2, CALL, operation" },
	{ x87_status, "x87 loads and stores: C1 and exception flags change even when memory faults",
	  "SDM 3, 6.5: a fault leaves the state as it was; " SILICON },
	{ x87_no_store, "x87 stores: memory is not looked at when an unmasked exception keeps the store from being made", SILICON },
	{ fbld, "FBLD: the last two bytes are read first", "no manual says; " SILICON },
	{ ten_bytes, "FBSTP, FSTP of 80 bits: eight bytes are written before the other two fault",
	  "SDM 3, 6.5: a fault leaves the state as it was; " SILICON },
	{ mov_sreg_rex, "MOV of and to segment registers: REX.R is not ignored", "SDM 2, 2.2.1.2; " SILICON },
	{ undefined_tail, "#UD before the whole of an undefined instruction is fetched", "SDM 3, table 6-2: fetching first; " SILICON },
	{ iret_stack, "IRET in 64-bit mode, operand size not 64, same privilege: SS and RSP are not popped",
	  "SDM 2, IRET: in 64-bit mode always; " SILICON },
	{ frame_size, "ENTER and LEAVE in 64-bit mode: the operand-size prefix is ignored", "SDM 2, ENTER; " SILICON },
	{ adox_flag, "ADOX: OF is not the carry", "SDM 2, ADOX; " SILICON },
	{ call_far_stack, "far CALL in 64-bit mode: pushes through ESP", "SDM 1, 6.2.3: stack addresses have 64 bits there" },
	{ unaligned, "alignment: not or later checked by PUSH and POP of a segment register, x87 and SSE moves",
	  "SDM 3, interrupt 17, alignment by data type; " SILICON },
	{ aligned_first, "alignment: looked at before limit and canonical form", "SDM 3, table 6-2; " SILICON },
	{ pop_selector, "POP of a segment register in 64-bit mode: no more than the selector is read", "APM 3, POP: 64 bits; " SILICON },
	{ frame_wraps, "IRET, far RET: a frame that wraps round a 16- or 32-bit stack is over its limit",
	  "no manual says; item by item, as PUSH and POP, it is inside" },
};

/* It pushes through the whole of RSP, and when that faults, faults for ever. Where the call goes is not known if it faults here. */
static bool bochs_hangs(const struct kase *k, const struct outcome *o)
{
	if (k->mode == EMU_LONG64)
		return false;
	if (fn_of(o) == op_callf)
		return (o->m.ctx.insn.imm2 | 3) == native_cs();
	if (fn_of(o) != op_callf_m)
		return false;
	return o->res == EMU_DONE ? o->m.ctx.mode == EMU_LONG64 :
	       (faulted_here(o, VEC_PF) && o->m.ctx.fault.error & 2) || faulted_here(o, VEC_SS) || faulted_here(o, VEC_AC);
}

static const struct model {
	const char *name;
	const struct model_error *error;
	unsigned int n;
	bool (*hangs)(const struct kase *k, const struct outcome *o);
	const char *why;
} models[] = {
	{ "bochs", bochs, ARRAY_SIZE(bochs), bochs_hangs, "far CALL from 16- and 32-bit code to 64-bit code" },
}, *model;

bool model_is(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(models); i++)
		if (!strcmp(models[i].name, name))
			model = &models[i];
	return model;
}

bool model_error(const struct kase *k, struct outcome *o)
{
	for (unsigned int i = 0; model && i < model->n; i++) {
		if (!model->error[i].is(k, o))
			continue;
		o->model_errors |= 1u << i;
		return true;
	}
	return false;
}

bool model_hangs(const struct kase *k, const struct outcome *o)
{
	return model && model->hangs(k, o);
}

void print_model_errors(const u64 *met)
{
	if (model)
		printf("not run, since %s hangs: %s\n", model->name, model->why);
	for (unsigned int i = 0; model && i < model->n; i++)
		printf("%s differs, met %llu times: %s (%s)\n", model->name, met[i], model->error[i].what, model->error[i].why);
}
