// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port and memory-mapped I/O: the kernel's devices first, else user space.
 *
 * IN and OUT that are no string instructions never enter the emulator: port, size and direction come with the exit.
 * What user space answers is taken at the next KVM_RUN by v->io.complete; until then the instruction is not
 * skipped, so that a VMM that resets or moves the vCPU meanwhile finds it where it says it is.
 *
 * vCPU thread, in kvm->srcu; may sleep. vcpu->run and the PIO page are shared with user space, which may change them
 * at any time: everything read from there is read once.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/kvm.h>
#include <kvm/iobus.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/io.h>
#include <kvm/x86/vcpu.h>
#include "emulation.h"
#include "trace.h"

#define PIO_OFFSET	PAGE_SIZE	/* of the data, in the mapping of the vCPU */
#define QUIRK_PORT	0x7e		/* RIP is past an OUT to it when user space sees it */

bool io_kernel_read(struct x86_vcpu *v, gpa_t gpa, int len, void *data)
{
	if (v->lapic && lapic_owns_gpa(v, gpa)) {
		lapic_mmio_read(v, gpa.v & ~PAGE_MASK, len, data);
		return true;
	}
	return io_bus_read(&v->vcpu, BUS_MMIO, gpa.v, len, data);
}

bool io_kernel_write(struct x86_vcpu *v, gpa_t gpa, int len, const void *data)
{
	if (v->lapic && lapic_owns_gpa(v, gpa)) {
		lapic_mmio_write(v, gpa.v & ~PAGE_MASK, len, data);
		return true;
	}
	return io_bus_write(&v->vcpu, BUS_MMIO, gpa.v, len, data);
}

enum outcome io_complete(struct x86_vcpu *v)
{
	enum outcome (*complete)(struct x86_vcpu *v) = v->io.complete;

	if (likely(!complete))
		return OUT_OK;
	v->io.complete = NULL;
	return complete(v);
}

/* KVM_EXIT_IO for what v->io.pio says; data of an output is in the PIO page. */
static enum outcome pio_to_user(struct x86_vcpu *v)
{
	struct kvm_run *run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_IO);

	run->io.direction = v->io.pio.in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = v->io.pio.size;
	run->io.port = v->io.pio.port;
	run->io.count = v->io.pio.count;
	run->io.data_offset = PIO_OFFSET;
	return OUT_USER;
}

/* The value of an IN, as wide as it is; a 32-bit one clears the upper half as any such register write. */
static void set_accumulator(struct x86_vcpu *v, unsigned int size, u32 val)
{
	u64 *rax = &v->state.gpr[RAX];

	if (size == 1)
		*rax = (*rax & ~0xffull) | (u8)val;
	else if (size == 2)
		*rax = (*rax & ~0xffffull) | (u16)val;
	else
		*rax = val;
}

static enum outcome in_complete(struct x86_vcpu *v)
{
	u32 val = 0;

	if (!answer_wanted(v))
		return OUT_OK;
	memcpy(&val, v->vcpu.pio_data, min_t(u8, v->io.pio.size, sizeof(val)));
	trace_kvm_pio(TRACE_PIO_IN, v->io.pio.port, v->io.pio.size, 1, &val);
	set_accumulator(v, v->io.pio.size, val);
	return skip_answered(v);
}

static enum outcome out_complete(struct x86_vcpu *v)
{
	return answer_wanted(v) ? skip_answered(v) : OUT_OK;
}

static enum outcome single_to_user(struct x86_vcpu *v, bool in, u16 port, u8 size)
{
	v->io.pio.in = in;
	v->io.pio.port = port;
	v->io.pio.size = size;
	v->io.pio.count = 1;
	ask_user(v, in ? in_complete : out_complete);
	return pio_to_user(v);
}

static enum outcome port_out(struct x86_vcpu *v, u16 port, u8 size)
{
	u32 val = v->state.gpr[RAX];
	enum outcome out;

	trace_kvm_pio(TRACE_PIO_OUT, port, size, 1, &val);
	if (io_bus_write(&v->vcpu, BUS_PIO, port, size, &val))
		return skip_insn(v);
	memcpy(v->vcpu.pio_data, &val, sizeof(val));
	if (port == QUIRK_PORT && vm_quirk(vm_of(v), KVM_X86_QUIRK_OUT_7E_INC_RIP)) {
		out = skip_insn(v);
		if (out != OUT_OK)
			return out;
		single_to_user(v, false, port, size);
		v->io.complete = NULL;
		return OUT_USER;
	}
	return single_to_user(v, false, port, size);
}

enum outcome exit_io(struct x86_vcpu *v)
{
	u16 port = v->exit.io.port;
	u8 size = v->exit.io.size;
	u32 val = 0;

	v->vcpu.stat.io_exits++;
	if (v->exit.io.string)
		return emulate_insn(v, 0, GPA_NONE);
	if (!v->exit.io.in)
		return port_out(v, port, size);
	if (!io_bus_read(&v->vcpu, BUS_PIO, port, size, &val))
		return single_to_user(v, true, port, size);
	trace_kvm_pio(TRACE_PIO_IN, port, size, 1, &val);
	set_accumulator(v, size, val);
	return skip_insn(v);
}

static enum outcome resume_in(struct x86_vcpu *v)
{
	v->io.pio.valid = true;
	return emulate_resume(v->emu);
}

/* Kernel devices, item by item; how many items one of them took. */
static unsigned int kernel_items(struct x86_vcpu *v, bool out, u16 port, unsigned int size, u8 *buf, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++, buf += size) {
		if (out ? !io_bus_write(&v->vcpu, BUS_PIO, port, size, buf) :
			  !io_bus_read(&v->vcpu, BUS_PIO, port, size, buf))
			break;
	}
	return i;
}

enum emu_result emulation_pio(struct emu_ctx *ctx, bool out, u16 port, unsigned int size, void *buf,
			      unsigned int *count)
{
	struct emulation *e = emulation_of(ctx);
	struct x86_vcpu *v = e->v;
	unsigned int n = min_t(unsigned int, *count, PAGE_SIZE / size);

	if (!out && v->io.pio.valid) {
		v->io.pio.valid = false;
		if (v->io.pio.in && v->io.pio.port == port && v->io.pio.size == size && v->io.pio.count <= n) {
			*count = v->io.pio.count;
			memcpy(buf, v->vcpu.pio_data, *count * size);
			trace_kvm_pio(TRACE_PIO_IN, port, size, *count, buf);
			return EMU_DONE;
		}
	}
	*count = kernel_items(v, out, port, size, buf, n);
	if (*count) {
		trace_kvm_pio(out ? TRACE_PIO_OUT : TRACE_PIO_IN, port, size, *count, buf);
		return EMU_DONE;
	}
	v->io.pio.port = port;
	v->io.pio.size = size;
	v->io.pio.count = n;
	v->io.pio.in = !out;
	*count = n;
	if (!out) {
		e->want_len = 0;
		return EMU_IO_PENDING;
	}
	trace_kvm_pio(TRACE_PIO_OUT, port, size, n, buf);
	memcpy(v->vcpu.pio_data, buf, n * size);
	e->pio_out = true;
	ctx->stop = true;
	return EMU_DONE;
}

static enum outcome delivered(struct x86_vcpu *v)
{
	return emulate_delivered(v->emu);
}

enum outcome emulation_pio_out(struct emulation *e)
{
	e->pio_out = false;
	e->v->io.complete = delivered;
	return pio_to_user(e->v);
}

static enum outcome resume_mmio(struct x86_vcpu *v)
{
	struct emulation *e = v->emu;
	struct emu_read *r;

	if (e->nr_reads < EMU_READS) {
		r = &e->read[e->nr_reads++];
		r->gpa = e->want_gpa;
		r->len = e->want_len;
		memcpy(r->data, v->vcpu.run->mmio.data, sizeof(r->data));
		trace_kvm_mmio(TRACE_MMIO_READ, r->len, r->gpa, r->data);
	}
	return emulate_resume(e);
}

/* The instruction pends: for a port that is in v->io.pio, or the piece of memory that is wanted. */
enum outcome emulation_read_in(struct emulation *e)
{
	struct x86_vcpu *v = e->v;
	struct kvm_run *run;

	if (!e->want_len) {
		v->io.pio.valid = false;
		v->io.complete = resume_in;
		return pio_to_user(v);
	}
	v->vcpu.stat.mmio_exits++;
	run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_MMIO);
	run->mmio.phys_addr = e->want_gpa;
	run->mmio.len = e->want_len;
	run->mmio.is_write = 0;
	v->io.complete = resume_mmio;
	return OUT_USER;
}

static enum outcome write_on(struct x86_vcpu *v)
{
	return emulation_write_out(v->emu);
}

/* Takes the next piece, of eight bytes at most, from the queue; false: there is none. */
static bool next_piece(struct emulation *e, u64 *gpa, const u8 **data, unsigned int *len)
{
	const struct emu_write *w = &e->write[e->at_write];

	if (e->at_write >= e->nr_writes)
		return false;
	*len = min(w->len - e->at_byte, 8u);
	*gpa = w->gpa + e->at_byte;
	*data = e->v->scratch + w->off + e->at_byte;
	e->at_byte += *len;
	if (e->at_byte >= w->len) {
		e->at_write++;
		e->at_byte = 0;
	}
	return true;
}

/* Delivers the queue. The kernel declined its first piece already; what is behind that may be the kernel's. */
enum outcome emulation_write_out(struct emulation *e)
{
	bool first = !e->at_write && !e->at_byte;
	struct x86_vcpu *v = e->v;
	struct kvm_run *run;
	unsigned int len;
	const u8 *data;
	u64 gpa;

	do {
		if (!next_piece(e, &gpa, &data, &len))
			return emulate_delivered(e);
		if (first)
			break;
		trace_kvm_mmio(TRACE_MMIO_WRITE, len, gpa, data);
	} while (io_kernel_write(v, GPA(gpa), len, data));

	v->vcpu.stat.mmio_exits++;
	run = vcpu_exit_to_user(&v->vcpu, KVM_EXIT_MMIO);
	run->mmio.phys_addr = gpa;
	run->mmio.len = len;
	run->mmio.is_write = 1;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	memcpy(run->mmio.data, data, len);
	v->io.complete = write_on;
	return OUT_USER;
}
