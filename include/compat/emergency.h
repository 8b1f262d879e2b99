/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The callback by which a crashing or kexec'ing kernel has each CPU leave virtualisation (x86). It runs with IRQs
 * off, maybe in an NMI, on a machine in an unknown state: no locks, no printing. Where the kernel has none it does
 * what is needed itself.
 */
#ifndef COMPAT_EMERGENCY_H
#define COMPAT_EMERGENCY_H

#ifdef HAVE_EMERGENCY_CALLBACK
#include <asm/reboot.h>

#define virt_emergency_register(fn)	cpu_emergency_register_virt_callback(fn)
#define virt_emergency_unregister(fn)	cpu_emergency_unregister_virt_callback(fn)
#else
#define virt_emergency_register(fn)	((void)(fn))
#define virt_emergency_unregister(fn)	((void)(fn))
#endif

#endif
