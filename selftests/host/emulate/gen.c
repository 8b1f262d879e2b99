// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cases: instructions, registers, segments and memory at random, but with a bias to what is interesting: operands in
 * memory that is there or straddles its edges, boundary values, selectors and pointers in memory.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#undef F_LOCK
#include "emucheck.h"

#define TABLES		0xffff800000000000ull	/* GDT, LDT, IDT of the machine: out of user code's reach */
#define TABLES_LDT	0x1000u
#define TABLES_IDT	0x2000u

u8 *data_here, *data_there;
static u8 *code_alias, *code_end_alias;
static u8 tables[0x3000];
static u64 seed0, state;
static unsigned int modes;	/* sum of 64, 32, 16 */
static bool have_ldt;

/* LDT entries. Kernel rule: only data and non-conforming code, all of privilege 3. */
enum { L_CODE32, L_CODE32_LOW, L_CODE16, L_FLAT, L_DATA, L_STACK16, L_DOWN, L_RO, L_ABSENT, L_XONLY, L_SMALL, L_N };
#define SEL(i)		((u16)((i) << 3 | 7))

static const struct user_desc ldt[L_N] = {
	[L_CODE32] = { .entry_number = L_CODE32, .limit = 0xfffff, .limit_in_pages = 1, .seg_32bit = 1, .contents = 2, .useable = 1 },
	[L_CODE32_LOW] = { .entry_number = L_CODE32_LOW, .base_addr = CODE, .limit = 0x1fff, .seg_32bit = 1, .contents = 2 },
	[L_CODE16] = { .entry_number = L_CODE16, .base_addr = CODE, .limit = 0xffff, .contents = 2 },
	[L_FLAT] = { .entry_number = L_FLAT, .limit = 0xfffff, .limit_in_pages = 1, .seg_32bit = 1 },
	[L_DATA] = { .entry_number = L_DATA, .base_addr = DATA, .limit = 0x2fff, .seg_32bit = 1 },
	[L_STACK16] = { .entry_number = L_STACK16, .base_addr = DATA, .limit = 0xffff },
	[L_DOWN] = { .entry_number = L_DOWN, .base_addr = DATA, .limit = 0xfff, .seg_32bit = 1, .contents = 1 },
	[L_RO] = { .entry_number = L_RO, .base_addr = DATA, .limit = 0xfffff, .limit_in_pages = 1, .seg_32bit = 1, .read_exec_only = 1 },
	[L_ABSENT] = { .entry_number = L_ABSENT, .limit = 0xfffff, .seg_32bit = 1, .seg_not_present = 1 },
	[L_XONLY] = { .entry_number = L_XONLY, .base_addr = CODE, .limit = 0xffff, .seg_32bit = 1, .contents = 2, .read_exec_only = 1 },
	[L_SMALL] = { .entry_number = L_SMALL, .base_addr = DATA + 0xff0, .limit = 0x1f },
};

static u64 rnd(void)
{
	u64 z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static bool chance(unsigned int percent)
{
	return rnd() % 100 < percent;
}

static u64 ldt_desc(const struct user_desc *d)
{
	u64 v = (d->limit & 0xffff) | (u64)(d->base_addr & 0xffffff) << 16 | (u64)(d->base_addr >> 24) << 56;
	u64 type = 1 | (!d->read_exec_only) << 1 | d->contents << 2;

	v |= (u64)(d->limit >> 16 & 15) << 48 | type << 40 | 1ull << 44 | 3ull << 45;
	v |= (u64)!d->seg_not_present << 47 | (u64)d->useable << 52;
	return v | (u64)d->seg_32bit << 54 | (u64)d->limit_in_pages << 55;
}

/* What user code may see of the kernel's GDT; the rest is as good as not there. */
static u64 seen_desc(u16 sel)
{
	u32 ar = 0, limit = 0;
	u8 ok;

	asm("larl %2, %0\n\tsetz %1" : "+r" (ar), "=q" (ok) : "r" ((u32)sel) : "cc");
	if (!ok)
		return 0;
	asm("lsll %1, %0" : "+r" (limit) : "r" ((u32)sel) : "cc");
	if (ar & 0x800000)
		limit >>= 12;
	return (u64)(ar & 0xf0ff00) << 32 | (limit & 0xffff) | (u64)(limit & 0xf0000) << 32;
}

static u8 *map_twice(u32 at, unsigned int size, int prot)
{
	int fd = memfd_create("emucheck", 0);
	u8 *alias;

	if (fd < 0 || ftruncate(fd, size))
		abort();
	if (mmap((void *)(unsigned long)at, size, prot, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		abort();
	alias = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (alias == MAP_FAILED)
		abort();
	close(fd);
	return alias;
}

/* What is in memory before the instruction; the same for some cases in a row. */
static const u8 *memory_image(u64 seed)
{
	static u8 image[DATA_SIZE];
	static u64 made = ~0ull;
	u64 keep = state;

	if (seed == made)
		return image;
	made = state = seed;
	for (unsigned int i = 0; i < DATA_SIZE; i += 8) {
		u64 v = rnd(), kind = rnd() % 12;

		switch (kind) {
		case 0:
			v = 0;
			break;
		case 1:
			v &= 0xff;
			break;
		case 2:
			v = DATA + v % DATA_SIZE;
			break;
		case 3:
			v = (CODE + v % 0x1000) | (u64)SEL(v >> 32 & 15) << 32;
			break;
		case 4:
			v = (v & 0xfff) | (u64)SEL(v >> 32 & 15) << 16 | (u64)SEL(v >> 40 & 15) << 32;
			break;
		case 5:
			v = (v >> 3 & 1 ? 0x33 : 0x2b) + (v & 8 ? -8 : 0);
			break;
		case 6:
			v = CODE + (v & 0xfff);
			break;
		}
		memcpy(image + i, &v, 8);
	}
	state = keep;
	return image;
}

static void init_tables(void)
{
	for (unsigned int i = 1; i < 16; i++) {
		u64 d = seen_desc(i << 3 | 3);

		memcpy(tables + i * 8, &d, 8);
	}
	for (unsigned int i = 0; i < L_N; i++) {
		u64 d = ldt_desc(&ldt[i]);

		memcpy(tables + TABLES_LDT + i * 8, &d, 8);
	}
	for (unsigned int i = 0; i < 256; i++) {
		u64 gate = 0x8e00ull << 32 | 0x10 << 16;

		memcpy(tables + TABLES_IDT + i * 16, &gate, 8);
	}
}

/* Not every host has an LDT, and a hypervisor may take the call and not load the table. */
static bool make_ldt(void)
{
	for (unsigned int i = 0; i < L_N; i++) {
		struct user_desc d = ldt[i];

		if (syscall(SYS_modify_ldt, 17, &d, sizeof(d)))
			return false;
	}
	return seen_desc(SEL(L_FLAT));
}

unsigned int world_init(u64 seed, unsigned int want)
{
	seed0 = seed;
	code_alias = map_twice(CODE, 0x2000, PROT_READ | PROT_EXEC);
	code_end_alias = map_twice(CODE_END, 0x1000, PROT_READ | PROT_EXEC);
	data_there = map_twice(DATA, DATA_SIZE, PROT_READ | PROT_WRITE);
	if (mprotect((void *)(unsigned long)(DATA + 0x2000), 0x1000, PROT_READ))
		abort();
	/* Present from the start, so that error codes are the same each time. */
	for (unsigned int i = 0; i < DATA_SIZE; i += 0x1000)
		(void)*(volatile u8 *)(unsigned long)(DATA + i);
	data_here = malloc(DATA_SIZE);
	have_ldt = make_ldt();
	init_tables();
	modes = (want ? want : 64 | 32 | 16) & (have_ldt ? 64 | 32 | 16 : 64);
	return modes;
}

static void seg_of(struct machine *m, unsigned int n, u16 sel)
{
	struct emu_seg *s = &m->seg[n];
	u64 desc;

	*s = (struct emu_seg){ .sel = sel, .attr = EMU_AR_UNUSABLE };
	if (!(sel & 0xfffc))
		return;
	memcpy(&desc, tables + (sel & 4 ? TABLES_LDT : 0) + (sel & 0x7f8), 8);
	emu_seg_from_desc(s, sel, desc);
}

void world_prepare(const struct kase *k, struct machine *m)
{
	u64 at = k->mode == EMU_LONG64 || k->sel[EMU_CS] == SEL(L_CODE32) ? k->rip - CODE : k->rip;
	u8 *p = k->mode == EMU_LONG64 && k->rip >= CODE_END ? code_end_alias + (k->rip - CODE_END) : code_alias + at;
	unsigned int room = p >= code_end_alias && p < code_end_alias + 0x1000 ? code_end_alias + 0x1000 - p : 16;
	struct emu_insn in;

	memcpy(p, k->bytes, room < 15 ? room : 15);
	if (emu_decode(&in, k->bytes, 15, kase_mode(k)) == EMU_DEC_OK && in.len < room)
		p[in.len] = 0xcc;
	machine_init(m);
	machine_map(m, CODE, 0x2000, code_alias, P_R | P_X | P_U);
	machine_map(m, CODE_END, 0x1000, code_end_alias, P_R | P_X | P_U);
	machine_map(m, DATA, 0x2000, data_here, P_R | P_W | P_U);
	machine_map(m, DATA + 0x2000, 0x1000, data_here + 0x2000, P_R | P_U);
	machine_map(m, TABLES, sizeof(tables), tables, P_R | P_W);
	memcpy(data_here, memory_image(k->memory), DATA_SIZE);
	memcpy(data_here + k->patch_at, k->patch, k->patch_len);
	memcpy(data_there, data_here, DATA_SIZE);
	m->gdt = (struct emu_dt){ .base = TABLES, .limit = 127 };
	m->idt = (struct emu_dt){ .base = TABLES + TABLES_IDT, .limit = 0xfff };
	m->seg[EMU_LDTR] = (struct emu_seg){ .base = TABLES + TABLES_LDT, .limit = L_N * 8 - 1, .attr = 0x82 };
	if (!have_ldt)
		m->seg[EMU_LDTR].attr = EMU_AR_UNUSABLE;
	m->seg[EMU_TR] = (struct emu_seg){ .attr = EMU_AR_UNUSABLE };
	m->cr0 = 0x80050033;
	m->cr4 = C4_OSFXSR | C4_OSXSAVE | C4_TSD * 0 | (native_fsgsbase() ? C4_FSGSBASE : 0);
	m->efer = 0xd01;
	m->xcr0 = 7;
	m->native_cpuid = true;
	for (unsigned int i = 0; i < 6; i++)
		seg_of(m, i, k->sel[i]);
	if (k->mode == EMU_LONG64) {
		m->seg[EMU_FS].base = FS_BASE;
		m->seg[EMU_GS].base = GS_BASE;
	}
	m->fpu = k->fpu;
	m->ctx.cpl = 3;
	m->ctx.amd = __builtin_cpu_is("amd");
}

static u64 edge_address(void)
{
	static const u32 edges[] = { 0, 0x1000, 0x2000, 0x3000 };

	if (chance(60))
		return DATA + rnd() % DATA_SIZE;
	return DATA + edges[rnd() % 4] + rnd() % 48 - 32;
}

static u64 value(void)
{
	static const u64 edges[] = {
		0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		0x7fffffffffffffff, 0x8000000000000000, ~0ull, ~1ull, 0x7fffffffffff, 0x800000000000, 0xffff800000000000,
	};

	switch (rnd() % 8) {
	case 0:
	case 1:
		return edges[rnd() % ARRAY_SIZE(edges)];
	case 2:
		return rnd() % 70;
	case 3:
	case 4:
		return edge_address();
	case 5:
		return (u32)rnd();
	case 6:
		return SEL(rnd() % (L_N + 2)) ^ (chance(10) ? rnd() & 7 : 0);
	default:
		return rnd();
	}
}

static void random_fpu(struct fpu_image *f)
{
	u16 cw = chance(80) ? 0x37f : (rnd() & 0x1f3f) | 0x40, sw = rnd() & 0x4700;
	u32 mxcsr = 0x1f80 | (rnd() & 0xe03f);

	for (unsigned int i = 0; i < sizeof(*f); i += 8) {
		u64 v = rnd();

		memcpy((u8 *)f + i, &v, 8);
	}
	memset(f->fx + 5, 0, 19);
	memcpy(f->fx, &cw, 2);
	if (chance(20))
		sw |= rnd() & 0x3f;
	if (sw & ~cw & 0x3f)
		sw |= 0x8080;
	memcpy(f->fx + 2, &sw, 2);
	f->fx[4] = rnd();
	memcpy(f->fx + 24, &mxcsr, 4);
	memset(f->fx + 28, 0, 4);
	for (int i = 0; i < 8; i++) {
		memset(f->fx + 32 + i * 16 + 10, 0, 6);
		if (chance(50)) {	/* an ordinary number */
			u64 mantissa = rnd() | 1ull << 63;
			u16 exp = 0x3fff + (rnd() % 80) - 20 + (chance(50) ? 0x8000 : 0);

			memcpy(f->fx + 32 + i * 16, &mantissa, 8);
			memcpy(f->fx + 40 + i * 16, &exp, 2);
		}
	}
	memset(f->fx + 416, 0, 96);
}

static void random_bytes(struct kase *k)
{
	static const u8 prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0xf3 };
	static const u8 ops38[] = { 0x2a, 0x82, 0xf0, 0xf1, 0xf2, 0xf3, 0xf5, 0xf6, 0xf7, 0x10 };
	u8 *p = k->bytes, modrm = rnd();
	u32 tail;

	while (chance(40) && p < k->bytes + 4)
		*p++ = prefixes[rnd() % ARRAY_SIZE(prefixes)];
	if (chance(4))
		*p++ = 0xf0;
	if (k->mode == EMU_LONG64 && chance(45))
		*p++ = 0x40 | (rnd() & 15);
	switch (rnd() % 20) {
	case 0 ... 10:
		*p++ = rnd();
		break;
	case 11 ... 15:
		*p++ = 0x0f;
		*p++ = rnd();
		break;
	case 16:
		*p++ = 0x0f;
		*p++ = 0x38;
		*p++ = ops38[rnd() % ARRAY_SIZE(ops38)];
		break;
	case 17:
		if (chance(90))
			p = k->bytes;
		*p++ = 0xc5;
		*p++ = rnd() | (chance(60) ? 0x78 : 0);
		*p++ = rnd();
		break;
	default:
		if (chance(90))
			p = k->bytes;
		*p++ = 0xc4;
		*p++ = (rnd() & 0xe0) | (chance(95) ? 1 + rnd() % 3 : rnd() & 31);
		*p++ = rnd() & (chance(70) ? 0xfb : 0xff);
		*p++ = chance(60) ? ops38[rnd() % ARRAY_SIZE(ops38)] : rnd();
		break;
	}
	if (chance(8))
		modrm = (modrm & 0x38) | 5;
	*p++ = modrm;
	if ((modrm & 7) == 4 && modrm < 0xc0)
		*p++ = rnd();
	tail = chance(50) ? edge_address() : value();
	memcpy(p, &tail, 4);
	for (p += 4; p < k->bytes + 15; p++)
		*p = rnd() & (chance(50) ? 0xff : 7);
}

static u64 base_of(const struct kase *k, unsigned int seg)
{
	struct machine m;

	if (k->mode == EMU_LONG64)
		return seg == EMU_FS ? FS_BASE : seg == EMU_GS ? GS_BASE : 0;
	memset(&m.seg[seg], 0, sizeof(m.seg[seg]));
	seg_of(&m, seg, k->sel[seg]);
	return m.seg[seg].base;
}

static u16 code_selector(const struct kase *k)
{
	static const u8 codes[] = { L_CODE32, L_CODE32_LOW, L_CODE16 };

	if (k->mode == EMU_LONG64 && (!have_ldt || chance(50)))
		return native_cs();
	return SEL(codes[rnd() % ARRAY_SIZE(codes)]);
}

/* A far pointer, or the frame of a far return or IRET, that may well be good. */
static void far_patch(struct kase *k, const struct emu_insn *in, u64 at)
{
	bool frame = in->row->fn == op_retf || in->row->fn == op_iret;
	unsigned int size = in->opsize == 8 && !frame && (kase_mode(k) & EMU_MODE_AMD) ? 4 : in->opsize, n = 0;
	u64 slot[5] = { CODE + (rnd() & 0xfff), code_selector(k), rnd() & 0x3f4fd5, edge_address(), k->sel[EMU_SS] };
	unsigned int pad = in->row->fn == op_retf ? in->imm & 15 : 0;

	if (slot[1] != SEL(L_CODE32) && slot[1] != native_cs())
		slot[0] -= CODE;
	if (k->mode == EMU_LONG64)
		slot[3] &= 0x7fffffffffff;
	for (unsigned int i = 0; i < (!frame ? 2 : 5); i++) {
		if (chance(4))
			slot[i] ^= 1ull << rnd() % 64;
		if (i == 2 && in->row->fn == op_retf)
			continue;	/* no flags there */
		memcpy(k->patch + n, &slot[i], size);
		n += size;
		if (i == 1 && pad && n + pad < 24)
			n += pad;
	}
	if (at - DATA >= DATA_SIZE - sizeof(k->patch))
		return;
	k->patch_at = at - DATA;
	k->patch_len = n;
}

static bool goes_far(emu_fn fn)
{
	return fn == op_retf || fn == op_iret || fn == op_callf_m || fn == op_jmpf_m;
}

/* Most memory operands are to be in memory. */
static void aim(struct kase *k)
{
	u64 mask, target = edge_address();
	struct emu_insn in;

	if (emu_decode(&in, k->bytes, 15, kase_mode(k)) != EMU_DEC_OK)
		return;
	mask = emu_mask(in.adsize);
	if (in.is_mem && in.base < 16 && in.base != in.index && chance(85)) {
		u64 rest = in.disp + (in.index < 16 ? k->regs[in.index] << in.scale : 0);

		k->regs[in.base] = (target - base_of(k, in.seg) - rest) & mask;
		if (chance(10))
			k->regs[in.base] |= rnd() & ~mask;
	}
	if (goes_far(in.row->fn) && chance(80))
		far_patch(k, &in, in.is_mem ? target : ((k->regs[EMU_RSP] & mask) + base_of(k, EMU_SS)));
	/* Hypervisors that run their guests in user mode keep no bases in the upper half. */
	if (in.row->fn == op_fsgsbase && k->regs[(in.modrm & 7) | (in.rex & 1) << 3] >> 47 == 0x1ffff)
		k->regs[(in.modrm & 7) | (in.rex & 1) << 3] >>= 17;
	if (in.row->flags & F_STR) {
		if (chance(85))
			k->regs[EMU_RSI] = (edge_address() - base_of(k, in.seg)) & mask;
		if (chance(85))
			k->regs[EMU_RDI] = (edge_address() - base_of(k, EMU_ES)) & mask;
	}
	if ((in.row->fn == op_cmpxchg || in.row->fn == op_cmpxchg8b) && in.is_mem && chance(40)) {
		const u8 *image = memory_image(k->memory);

		if (target - DATA < DATA_SIZE - 16) {
			memcpy(&k->regs[EMU_RAX], image + (target - DATA), 8);
			memcpy(&k->regs[EMU_RDX], image + (target - DATA) + (in.rex & 8 ? 8 : 4), 8);
		}
	}
	if (in.row->fn == op_cmpxchg && !in.is_mem && chance(40))
		k->regs[EMU_RAX] = k->regs[(in.modrm & 7) | (in.rex & 1) << 3];
}

static void random_segments(struct kase *k)
{
	static const u8 data[] = { L_FLAT, L_FLAT, L_FLAT, L_DATA, L_DATA, L_STACK16, L_DOWN, L_RO, L_SMALL, L_CODE32 };
	static const u8 stacks[] = { L_FLAT, L_FLAT, L_DATA, L_STACK16, L_STACK16, L_DOWN, L_SMALL };

	if (k->mode == EMU_LONG64) {
		memset(k->sel, 0, sizeof(k->sel));
		k->sel[EMU_CS] = native_cs();
		k->sel[EMU_SS] = native_ss();
		return;
	}
	k->sel[EMU_CS] = SEL(k->mode == EMU_PROT16 ? L_CODE16 : chance(60) ? L_CODE32 : L_CODE32_LOW);
	k->sel[EMU_SS] = SEL(stacks[rnd() % ARRAY_SIZE(stacks)]);
	for (unsigned int i = 0; i < 6; i++)
		if (i != EMU_CS && i != EMU_SS)
			k->sel[i] = chance(5) ? 0 : SEL(data[rnd() % ARRAY_SIZE(data)]);
}

void generate(struct kase *k, u64 number)
{
	static const struct { u8 bits, mode; } weight[] = {
		{ 64, EMU_LONG64 }, { 64, EMU_LONG64 }, { 32, EMU_PROT32 }, { 16, EMU_PROT16 }
	};
	unsigned int i;

	state = seed0 * 0x2545f4914f6cdd1dull + number * 0x9e3779b97f4a7c15ull;
	do
		i = rnd() % ARRAY_SIZE(weight);
	while (!(weight[i].bits & modes));
	k->mode = weight[i].mode;
	k->memory = seed0 + number / 16;
	k->patch_len = 0;
	random_segments(k);
	random_bytes(k);
	for (i = 0; i < 16; i++)
		k->regs[i] = k->mode == EMU_LONG64 ? value() : (u32)value();
	if (chance(85))
		k->regs[EMU_RSP] = edge_address() - base_of(k, EMU_SS);
	if (chance(50))
		k->regs[EMU_RCX] = rnd() % 40;
	k->rflags = rnd() & (FL_ARITH | FL_DF);
	if (chance(8))
		k->rflags |= FL_AC;
	k->rip = CODE + rnd() % 0x1800;
	if (k->mode == EMU_LONG64 && chance(10))
		k->rip = CODE_END + 0x1000 - 1 - rnd() % 15;
	else if (chance(10))
		k->rip = CODE + 0x1000 - 1 - rnd() % 15;
	if (k->sel[EMU_CS] != SEL(L_CODE32) && k->mode != EMU_LONG64)
		k->rip -= CODE;
	random_fpu(&k->fpu);
	aim(k);
	/* The way back to user space is not made for anything else on every host. */
	k->regs[EMU_RSP] &= 0x7fffffffffff;
	if (k->mode != EMU_LONG64)
		for (i = 0; i < 16; i++)
			k->regs[i] = (u32)k->regs[i];
}

void drop_prefix(struct kase *k)
{
	memmove(k->bytes, k->bytes + 1, 14);
	k->bytes[14] = 0;
}
