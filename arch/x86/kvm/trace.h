/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trace events of system "kvm". Names and field names are what perf kvm stat and kvm_stat look for; the rest of a
 * record is ours. Included by whoever traces; trace.c makes the definitions.
 *
 * What TP_printk() has becomes text that user space evaluates: perf and trace-cmd know neither sizeof nor enumerators.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvm

#if !defined(KVM_X86_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KVM_X86_TRACE_H

#include <linux/kvm.h>
#include <linux/tracepoint.h>
#include <uapi/asm/svm.h>
#include <uapi/asm/vmx.h>

#ifndef KVM_X86_TRACE_CONSTANTS
#define KVM_X86_TRACE_CONSTANTS
/* kvm_mmio.type, as perf's matching of exit and answer wants it */
#define TRACE_MMIO_READ_UNSATISFIED	0
#define TRACE_MMIO_READ			1
#define TRACE_MMIO_WRITE		2
/* kvm_pio.rw */
#define TRACE_PIO_IN			0
#define TRACE_PIO_OUT			1
/* kvm_exit.isa */
#define TRACE_ISA_VMX			1
#define TRACE_ISA_SVM			2
#endif

/* Before an entry. */
TRACE_EVENT(kvm_entry,
	TP_PROTO(u32 vcpu_id, u64 rip),
	TP_ARGS(vcpu_id, rip),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned long, rip)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->rip = rip;
	),
	TP_printk("vcpu %u at 0x%lx", __entry->vcpu_id, __entry->rip)
);

/* After an exit. exit_reason: as the vendor's manual numbers it, without flag bits. */
TRACE_EVENT(kvm_exit,
	TP_PROTO(u32 vcpu_id, u32 exit_reason, u32 isa, u64 rip, u64 info1, u64 info2),
	TP_ARGS(vcpu_id, exit_reason, isa, rip, info1, info2),
	TP_STRUCT__entry(
		__field(unsigned int, exit_reason)
		__field(unsigned int, isa)
		__field(unsigned int, vcpu_id)
		__field(unsigned long, guest_rip)
		__field(u64, info1)
		__field(u64, info2)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->guest_rip = rip;
		__entry->exit_reason = exit_reason;
		__entry->isa = isa;
		__entry->info1 = info1;
		__entry->info2 = info2;
	),
	TP_printk("vcpu %u reason %s at 0x%lx info1 0x%llx info2 0x%llx", __entry->vcpu_id,
		  __entry->isa == TRACE_ISA_SVM ? __print_symbolic(__entry->exit_reason, SVM_EXIT_REASONS) :
						  __print_symbolic(__entry->exit_reason, VMX_EXIT_REASONS),
		  __entry->guest_rip, __entry->info1, __entry->info2)
);

/* len <= 8; data may be NULL: a read that nobody in the kernel answers. */
TRACE_EVENT(kvm_mmio,
	TP_PROTO(int type, int len, u64 gpa, const void *data),
	TP_ARGS(type, len, gpa, data),
	TP_STRUCT__entry(
		__field(u32, type)
		__field(u32, len)
		__field(u64, gpa)
		__field(u64, val)
	),
	TP_fast_assign(
		__entry->gpa = gpa;
		__entry->len = len;
		__entry->type = type;
		__entry->val = 0;
		if (data)
			memcpy(&__entry->val, data, min_t(u32, len, sizeof(__entry->val)));
	),
	TP_printk("%s gpa 0x%llx len %u val 0x%llx",
		  __print_symbolic(__entry->type, { TRACE_MMIO_READ_UNSATISFIED, "read-unanswered" },
				   { TRACE_MMIO_READ, "read" }, { TRACE_MMIO_WRITE, "write" }),
		  __entry->gpa, __entry->len, __entry->val)
);

/* rw: 1 = out. data: the first item of count. */
TRACE_EVENT(kvm_pio,
	TP_PROTO(unsigned int rw, unsigned int port, unsigned int size, unsigned int count, const void *data),
	TP_ARGS(rw, port, size, count, data),
	TP_STRUCT__entry(
		__field(unsigned int, rw)
		__field(unsigned int, port)
		__field(unsigned int, size)
		__field(unsigned int, count)
		__field(unsigned int, val)
	),
	TP_fast_assign(
		__entry->count = count;
		__entry->size = size;
		__entry->port = port;
		__entry->rw = rw;
		__entry->val = 0;
		if (data)
			memcpy(&__entry->val, data, min_t(u32, size, sizeof(__entry->val)));
	),
	TP_printk("%s port 0x%x size %u count %u val 0x%x", __entry->rw ? "out" : "in", __entry->port, __entry->size,
		  __entry->count, __entry->val)
);

TRACE_EVENT(kvm_msr,
	TP_PROTO(bool write, u32 ecx, u64 data, bool exception),
	TP_ARGS(write, ecx, data, exception),
	TP_STRUCT__entry(
		__field(u64, data)
		__field(u32, ecx)
		__field(bool, write)
		__field(bool, exception)
	),
	TP_fast_assign(
		__entry->data = data;
		__entry->ecx = ecx;
		__entry->write = write;
		__entry->exception = exception;
	),
	TP_printk("%s 0x%x = 0x%llx%s", __entry->write ? "wrmsr" : "rdmsr", __entry->ecx, __entry->data,
		  __entry->exception ? " #GP" : "")
);

TRACE_EVENT(kvm_cpuid,
	TP_PROTO(u32 function, u32 index, u32 rax, u32 rbx, u32 rcx, u32 rdx, bool found),
	TP_ARGS(function, index, rax, rbx, rcx, rdx, found),
	TP_STRUCT__entry(
		__field(unsigned int, function)
		__field(unsigned int, index)
		__field(unsigned long, rax)
		__field(unsigned long, rbx)
		__field(unsigned long, rcx)
		__field(unsigned long, rdx)
		__field(bool, found)
	),
	TP_fast_assign(
		__entry->found = found;
		__entry->function = function;
		__entry->index = index;
		__entry->rax = rax;
		__entry->rbx = rbx;
		__entry->rcx = rcx;
		__entry->rdx = rdx;
	),
	TP_printk("leaf 0x%x.%u eax 0x%lx ebx 0x%lx ecx 0x%lx edx 0x%lx%s", __entry->function, __entry->index,
		  __entry->rax, __entry->rbx, __entry->rcx, __entry->rdx, __entry->found ? "" : " (not there)")
);

TRACE_EVENT(kvm_hypercall,
	TP_PROTO(u64 nr, u64 a0, u64 a1, u64 a2, u64 a3),
	TP_ARGS(nr, a0, a1, a2, a3),
	TP_STRUCT__entry(
		__field(u64, nr)
		__field(u64, a0)
		__field(u64, a1)
		__field(u64, a2)
		__field(u64, a3)
	),
	TP_fast_assign(
		__entry->nr = nr;
		__entry->a0 = a0;
		__entry->a1 = a1;
		__entry->a2 = a2;
		__entry->a3 = a3;
	),
	TP_printk("nr %llu args 0x%llx 0x%llx 0x%llx 0x%llx", __entry->nr, __entry->a0, __entry->a1, __entry->a2,
		  __entry->a3)
);

/* An external interrupt, an INT n, or an interrupted delivery of one, goes into the guest. */
TRACE_EVENT(kvm_inj_virq,
	TP_PROTO(u8 vector, bool soft, bool again),
	TP_ARGS(vector, soft, again),
	TP_STRUCT__entry(
		__field(bool, reinjected)
		__field(bool, soft)
		__field(u8, vector)
	),
	TP_fast_assign(
		__entry->reinjected = again;
		__entry->soft = soft;
		__entry->vector = vector;
	),
	TP_printk("%s 0x%x%s", __entry->soft ? "int" : "irq", __entry->vector, __entry->reinjected ? " again" : "")
);

TRACE_EVENT(kvm_inj_exception,
	TP_PROTO(u8 exception, bool has_error, u32 error_code, bool reinjected),
	TP_ARGS(exception, has_error, error_code, reinjected),
	TP_STRUCT__entry(
		__field(u32, error_code)
		__field(u8, exception)
		__field(bool, has_error)
		__field(bool, reinjected)
	),
	TP_fast_assign(
		__entry->exception = exception;
		__entry->has_error = has_error;
		__entry->error_code = has_error ? error_code : 0;
		__entry->reinjected = reinjected;
	),
	TP_printk("vector %u error 0x%x%s%s", __entry->exception, __entry->error_code,
		  __entry->has_error ? "" : " (none)", __entry->reinjected ? " again" : "")
);

TRACE_EVENT(kvm_page_fault,
	TP_PROTO(u32 vcpu_id, u64 rip, u64 fault_address, u64 error_code),
	TP_ARGS(vcpu_id, rip, fault_address, error_code),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned long, guest_rip)
		__field(u64, fault_address)
		__field(u64, error_code)
	),
	TP_fast_assign(
		__entry->error_code = error_code;
		__entry->fault_address = fault_address;
		__entry->guest_rip = rip;
		__entry->vcpu_id = vcpu_id;
	),
	TP_printk("vcpu %u at 0x%lx address 0x%llx error 0x%llx", __entry->vcpu_id, __entry->guest_rip,
		  __entry->fault_address, __entry->error_code)
);

/* KVM_RUN returns. error: its -errno, or 0. */
TRACE_EVENT(kvm_userspace_exit,
	TP_PROTO(u32 reason, int error),
	TP_ARGS(reason, error),
	TP_STRUCT__entry(
		__field(u32, reason)
		__field(int, errno)
	),
	TP_fast_assign(
		__entry->errno = error;
		__entry->reason = reason;
	),
	TP_printk("reason %u result %d", __entry->reason, __entry->errno)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace

#include <trace/define_trace.h>
