/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The handlers of the x86 ioctls, by the file that has them; ioctl.c joins them into the three tables of
 * include/kvm/arch.h. Contract of a handler: include/kvm/ioctl.h.
 */
#ifndef KVM_X86_IOCTLS_H
#define KVM_X86_IOCTLS_H

#include <kvm/ioctl.h>

#define X86_IOCTL_HANDLERS(X)									\
	/* msr.c, msr_ioctl.c, mce.c */								\
	X(dev_msr_index_list) X(dev_msr_feature_list) X(dev_get_msrs) X(dev_mce_cap)		\
	X(vm_msr_filter) X(vcpu_get_msrs) X(vcpu_set_msrs) X(vcpu_setup_mce) X(vcpu_set_mce)	\
	/* cpuid.c */										\
	X(dev_supported_cpuid) X(dev_emulated_cpuid)						\
	X(vcpu_set_cpuid) X(vcpu_set_cpuid2) X(vcpu_get_cpuid2)				\
	/* caps.c */										\
	X(dev_has_attr) X(dev_get_attr)							\
	/* vm.c */										\
	X(vm_set_tss_addr) X(vm_set_identity_map) X(vm_set_boot_cpu)				\
	/* mmu/root.c */									\
	X(vm_set_nr_mmu_pages) X(vm_get_nr_mmu_pages)						\
	/* irq/ioctl.c */									\
	X(vm_create_irqchip) X(vm_get_irqchip) X(vm_set_irqchip) X(vm_irq_line)		\
	X(vm_irq_line_status) X(vm_signal_msi) X(vm_create_pit) X(vm_create_pit2)		\
	X(vm_get_pit) X(vm_set_pit) X(vm_get_pit2) X(vm_set_pit2) X(vm_reinject)		\
	X(vcpu_get_lapic) X(vcpu_set_lapic)							\
	/* clock.c, tsc.c */									\
	X(vm_set_clock) X(vm_get_clock) X(vm_set_tsc_khz) X(vm_get_tsc_khz)			\
	X(vcpu_set_tsc_khz) X(vcpu_get_tsc_khz) X(vcpu_clock_ctrl)				\
	X(vcpu_set_attr) X(vcpu_get_attr) X(vcpu_has_attr)					\
	/* regs.c, sregs.c, xstate.c, vcpu.c */							\
	X(vcpu_get_regs) X(vcpu_set_regs) X(vcpu_get_sregs) X(vcpu_set_sregs)			\
	X(vcpu_get_sregs2) X(vcpu_set_sregs2) X(vcpu_translate) X(vcpu_get_fpu) X(vcpu_set_fpu)	\
	X(vcpu_get_xsave) X(vcpu_set_xsave) X(vcpu_get_xsave2) X(vcpu_get_xcrs) X(vcpu_set_xcrs)	\
	X(vcpu_get_mp_state) X(vcpu_set_mp_state)						\
	/* event.c, debug.c */									\
	X(vcpu_interrupt) X(vcpu_nmi) X(vcpu_set_vapic_addr) X(vcpu_get_events) X(vcpu_set_events)	\
	X(vcpu_get_debugregs) X(vcpu_set_debugregs) X(vcpu_set_guest_debug)

#define X86_IOCTL_DECLARE(name)	long name(struct kvm_call *c);
X86_IOCTL_HANDLERS(X86_IOCTL_DECLARE)

#endif
