/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Port and memory-mapped I/O: the kernel's devices first, else user space through vcpu->run. io.c; vCPU
 * thread, in kvm->srcu. What user space has to answer is completed at the next KVM_RUN by io_complete().
 */
#ifndef KVM_X86_IO_H
#define KVM_X86_IO_H

#include <kvm/types.h>

struct x86_vcpu;

/* KVM_RUN, before anything else: takes user space's answer. OUT_OK: go on; OUT_USER: another exit first. */
enum outcome io_complete(struct x86_vcpu *v);
/* Access to guest-physical memory that is no memory, at most 8 bytes within a page: LAPIC, then buses. true: done. */
bool io_kernel_read(struct x86_vcpu *v, gpa_t gpa, int len, void *data);
bool io_kernel_write(struct x86_vcpu *v, gpa_t gpa, int len, const void *data);
/*
 * An exit for this address, which is no memory: done at once if the instruction is a plain move (mmio.c). false: it is
 * the emulator's.
 */
bool mmio_by_move(struct x86_vcpu *v, gpa_t gpa, enum outcome *out);

#endif
