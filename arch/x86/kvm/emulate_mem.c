// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory as the emulator sees it: linear addresses translated as hardware would, then guest RAM, the kernel's devices,
 * or user space.
 *
 * A device read that nobody in the kernel answers makes the instruction pend (EMU_IO_PENDING); user space's answer is
 * appended to the list of this iteration's device reads, and the same record runs again. So that no device
 * sees a read twice, answers of the kernel's own devices are in that list as well. Device writes that belong to user
 * space are queued and delivered when the instruction (or iteration) is finished.
 *
 * vCPU thread, in kvm->srcu; may sleep.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <kvm/x86/io.h>
#include <kvm/x86/mmu.h>
#include <kvm/x86/vcpu.h>
#include "emulation.h"
#include "trace.h"

void emulation_reads_reset(struct emulation *e)
{
	e->nr_reads = 0;
	e->pos = 0;
	e->commits = e->ctx.commits;
}

static enum emu_result translate(struct emulation *e, u64 la, unsigned int acc, bool exec, u64 *gpa)
{
	struct x86_vcpu *v = e->v;
	struct guest_fault f = {};
	u32 kind = 0;
	gpa_t to;

	if (e->hint && !exec && !(acc & EMU_ACC_SYSTEM) && !((la ^ e->hint_gpa) & ~PAGE_MASK)) {
		*gpa = e->hint_gpa;
		return EMU_DONE;
	}
	if (!guest_paging(v)) {
		*gpa = la;
		return EMU_DONE;
	}
	if (exec)
		kind = ACC_X;
	else if (acc & (EMU_ACC_WRITE | EMU_ACC_RMW))
		kind = ACC_W;
	if (acc & EMU_ACC_SYSTEM)
		kind |= ACC_IMPLICIT;
	else if (e->ctx.cpl == 3)
		kind |= ACC_U;
	if (likely(mmu_translate(v, la, kind, &to, &f))) {
		*gpa = to.v;
		return EMU_DONE;
	}
	emu_fault(&e->ctx, 14, true, f.error);
	e->ctx.fault.payload = f.cr2;
	return EMU_FAULT;
}

/* Could this be the local APIC's page? It comes before memory. */
static bool maybe_apic(const struct x86_vcpu *v, u64 gpa)
{
	return v->lapic && !((gpa ^ v->apic_base) >> PAGE_SHIFT);
}

/* Guest memory that is in a slot could not be accessed: the VMM's fault. */
static enum emu_result host_fault(struct emulation *e)
{
	e->out = vcpu_fail(&e->v->vcpu, -EFAULT);
	return emu_unhandled(&e->ctx, EMU_WHY_MACHINE);
}

/* One piece of a device read. */
static enum emu_result read_piece(struct emulation *e, u64 gpa, void *buf, unsigned int len)
{
	struct emu_read *r;

	if (e->commits != e->ctx.commits)
		emulation_reads_reset(e);
	if (e->pos >= EMU_READS)
		return emu_unhandled(&e->ctx, EMU_WHY_MACHINE);
	r = &e->read[e->pos];
	if (e->pos < e->nr_reads && r->gpa == gpa && r->len == len) {
		memcpy(buf, r->data, len);
		e->pos++;
		return EMU_DONE;
	}
	/* Not what was asked the last time: the guest changed its memory meanwhile. */
	e->nr_reads = e->pos;
	memset(r->data, 0, sizeof(r->data));
	if (!io_kernel_read(e->v, GPA(gpa), len, r->data)) {
		trace_kvm_mmio(TRACE_MMIO_READ_UNSATISFIED, len, gpa, NULL);
		e->want_gpa = gpa;
		e->want_len = len;
		return EMU_IO_PENDING;
	}
	r->gpa = gpa;
	r->len = len;
	memcpy(buf, r->data, len);
	e->nr_reads = ++e->pos;
	trace_kvm_mmio(TRACE_MMIO_READ, len, gpa, r->data);
	return EMU_DONE;
}

static enum emu_result device_read(struct emulation *e, u64 gpa, u8 *buf, unsigned int len)
{
	enum emu_result res = EMU_DONE;

	for (unsigned int off = 0; off < len && !res; off += 8)
		res = read_piece(e, gpa + off, buf + off, min(len - off, 8u));
	return res;
}

static enum emu_result device_write(struct emulation *e, u64 gpa, const u8 *buf, unsigned int len)
{
	unsigned int n = min(len, 8u);
	struct emu_write *w;

	/* Once a piece is queued, what follows of the instruction is queued behind it. */
	while (len && !e->nr_writes) {
		n = min(len, 8u);
		trace_kvm_mmio(TRACE_MMIO_WRITE, n, gpa, buf);
		if (!io_kernel_write(e->v, GPA(gpa), n, buf))
			break;
		gpa += n;
		buf += n;
		len -= n;
	}
	if (!len)
		return EMU_DONE;
	if (e->nr_writes >= EMU_WRITES || e->write_bytes + len > PAGE_SIZE)
		return emu_unhandled(&e->ctx, EMU_WHY_MACHINE);
	w = &e->write[e->nr_writes++];
	*w = (struct emu_write){ .gpa = gpa, .len = len, .off = e->write_bytes };
	memcpy(e->v->scratch + e->write_bytes, buf, len);
	e->write_bytes += len;
	e->ctx.stop = true;
	return EMU_DONE;
}

static enum emu_result read_part(struct emulation *e, u64 gpa, void *buf, unsigned int len)
{
	struct kvm_vcpu *vcpu = &e->v->vcpu;

	if (!e->hint && !maybe_apic(e->v, gpa)) {
		if (likely(!vcpu_read_guest(vcpu, GPA(gpa), buf, len)))
			return EMU_DONE;
		if (vcpu_slot(vcpu, gfn_of(GPA(gpa))))
			return host_fault(e);
	} else if (!maybe_apic(e->v, gpa) && vcpu_slot(vcpu, gfn_of(GPA(gpa)))) {
		return vcpu_read_guest(vcpu, GPA(gpa), buf, len) ? host_fault(e) : EMU_DONE;
	}
	return device_read(e, gpa, buf, len);
}

static enum emu_result write_part(struct emulation *e, u64 gpa, const void *buf, unsigned int len)
{
	struct kvm_vcpu *vcpu = &e->v->vcpu;
	struct memslot *slot;

	if (e->code_len && gpa < e->code_gpa + EMU_CODE && gpa + len > e->code_gpa)
		e->code_len = 0;
	if (!maybe_apic(e->v, gpa)) {
		if (!e->hint && likely(!vcpu_write_guest(vcpu, GPA(gpa), buf, len)))
			return EMU_DONE;
		slot = vcpu_slot(vcpu, gfn_of(GPA(gpa)));
		if (slot && !(slot->flags & KVM_MEM_READONLY))
			return vcpu_write_guest(vcpu, GPA(gpa), buf, len) ? host_fault(e) : EMU_DONE;
	}
	return device_write(e, gpa, buf, len);
}

/* What follows la: 32-bit addresses wrap, but those of tables that long mode has above 4 GB. */
static u64 behind(const struct emulation *e, u64 la, unsigned int off)
{
	return e->ctx.mode == EMU_LONG64 || la >> 32 ? la + off : (u32)(la + off);
}

enum emu_result emulation_mem(struct emu_ctx *ctx, u64 la, void *buf, unsigned int len, unsigned int acc)
{
	struct emulation *e = emulation_of(ctx);
	unsigned int first = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(la));
	u64 gpa, gpa2 = 0;
	enum emu_result res = translate(e, la, acc, false, &gpa);

	if (!res && first < len)
		res = translate(e, behind(e, la, first), acc, false, &gpa2);
	if (res || (acc & EMU_ACC_PROBE))
		return res;
	if (acc & EMU_ACC_WRITE) {
		res = write_part(e, gpa, buf, first);
		if (!res && first < len)
			res = write_part(e, gpa2, (u8 *)buf + first, len - first);
	} else {
		res = read_part(e, gpa, buf, first);
		if (!res && first < len)
			res = read_part(e, gpa2, (u8 *)buf + first, len - first);
	}
	return res;
}

/* Code outside of memory is no instruction that we could execute. */
static enum emu_result fetch_failed(struct emulation *e, u64 gpa)
{
	return vcpu_slot(&e->v->vcpu, gfn_of(GPA(gpa))) ? host_fault(e) : emu_unhandled(&e->ctx, EMU_WHY_MACHINE);
}

/* Bytes out of the block that is kept while interpreting; fills it when they are not in it. */
static enum emu_result fetch_kept(struct emulation *e, u64 la, void *buf, unsigned int len)
{
	u64 block = la & ~(u64)(EMU_CODE - 1), gpa;
	unsigned int off = la & (EMU_CODE - 1), n = min(len, EMU_CODE - off);
	enum emu_result res;

	if (!e->code_len || e->code_la != block || e->code_cpl != e->ctx.cpl) {
		e->code_len = 0;
		res = translate(e, la, 0, true, &gpa);
		if (res)
			return res;
		gpa &= ~(u64)(EMU_CODE - 1);
		if (vcpu_read_guest(&e->v->vcpu, GPA(gpa), e->code, EMU_CODE))
			return fetch_failed(e, gpa);
		e->code_la = block;
		e->code_gpa = gpa;
		e->code_cpl = e->ctx.cpl;
		e->code_len = EMU_CODE;
	}
	memcpy(buf, e->code + off, n);
	return n < len ? fetch_kept(e, la + n, (u8 *)buf + n, len - n) : EMU_DONE;
}

enum emu_result emulation_fetch(struct emu_ctx *ctx, u64 la, void *buf, unsigned int len)
{
	struct emulation *e = emulation_of(ctx);
	enum emu_result res;
	u64 gpa, wide[2];

	if (e->keep_code)
		return fetch_kept(e, la, buf, len);
	if (len <= sizeof(wide) && ctx->cpl == get_cpl(e->v) && mmu_fetch(e->v, la, wide)) {
		memcpy(buf, wide, len);
		return EMU_DONE;
	}
	res = translate(e, la, 0, true, &gpa);
	if (res)
		return res;
	return vcpu_read_guest(&e->v->vcpu, GPA(gpa), buf, len) ? fetch_failed(e, gpa) : EMU_DONE;
}

/*
 * Atomic where memory can be: inside a page, or a cache line of hosts that detect split locks. Anything else (and
 * devices) was read before and is written now.
 */
enum emu_result emulation_cmpxchg(struct emu_ctx *ctx, u64 la, const void *old, const void *new, unsigned int len,
				  unsigned int acc)
{
	struct emulation *e = emulation_of(ctx);
	u8 expected[16], want[16];
	enum emu_result res;
	bool done;
	u64 gpa;

	if (len > sizeof(want) || !is_power_of_2(len))
		return emu_unhandled(ctx, EMU_WHY_MACHINE);
	memcpy(expected, old, len);
	memcpy(want, new, len);
	acc |= EMU_ACC_WRITE;
	if (offset_in_page(la) + len > PAGE_SIZE)
		return emulation_mem(ctx, la, want, len, acc);
	res = translate(e, la, acc, false, &gpa);
	if (res)
		return res;
	if (e->hint || maybe_apic(e->v, gpa) || vcpu_cmpxchg_guest(&e->v->vcpu, GPA(gpa), len, expected, want, &done))
		return write_part(e, gpa, want, len);
	if (e->code_len && gpa < e->code_gpa + EMU_CODE && gpa + len > e->code_gpa)
		e->code_len = 0;
	return done ? EMU_DONE : EMU_RETRY;
}
