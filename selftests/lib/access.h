/* SPDX-License-Identifier: GPL-2.0-only */
/* Single reads and writes that the guest does, and guests that read or write a place for ever. */
#ifndef KT_ACCESS_H
#define KT_ACCESS_H

#include "vm.h"

#define KT_WINDOW	0x20000000ull	/* guest virtual: 2 MB pages to anywhere, from here to the end of the first gigabyte */

/* A vCPU in long mode with the code for all this in place; memory of 1 MB at 0. */
struct kt_vcpu *kt_access_vcpu(bool irqchip);
/* Lets n large pages from KT_WINDOW on show gpa (a multiple of 2 MB). Flushes the TLB. */
void kt_window(struct kt_vcpu *v, uint64_t gpa, int n);
/* need()s that it works */
uint64_t kt_guest_read(struct kt_vcpu *v, uint64_t addr);
void kt_guest_write(struct kt_vcpu *v, uint64_t addr, uint64_t val);
/* One KVM_RUN of an 8-byte access: the exit reason (KVM_EXIT_IO: done), or -errno. */
int kt_try_read(struct kt_vcpu *v, uint64_t addr);
int kt_try_write(struct kt_vcpu *v, uint64_t addr, uint64_t val);
/* After KVM_EXIT_MMIO and its like: lets KVM finish the instruction, runs nothing. */
void kt_finish(struct kt_vcpu *v);
/*
 * Sets the vCPU on a loop over n places from addr on, stride bytes apart. watch: reads each and leaves value and number of
 * reads at out and out + 8. fill: writes an ever larger number to each, leaves the last one that is everywhere at out.
 */
void kt_watch(struct kt_vcpu *v, uint64_t addr, uint64_t n, uint64_t stride, uint64_t out);
void kt_fill(struct kt_vcpu *v, uint64_t addr, uint64_t n, uint64_t stride, uint64_t out);

#endif
