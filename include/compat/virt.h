/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where host kernels differ in how virtualisation follows CPUs that come and go, and suspend.
 *
 * VIRT_CPUHP_STATE is the hotplug state whose callbacks turn virtualisation on and off. Old kernels have it among
 * the starting states, whose callbacks must not fail (VIRT_CPUHP_MAY_FAIL is 0 then): the caller keeps the
 * failure and refuses the CPU in a later state.
 */
#ifndef COMPAT_VIRT_H
#define COMPAT_VIRT_H

#include <linux/cpuhotplug.h>
#include <linux/syscore_ops.h>

#ifdef HAVE_CPUHP_KVM_ONLINE
#define VIRT_CPUHP_STATE	CPUHP_AP_KVM_ONLINE
#define VIRT_CPUHP_MAY_FAIL	1
#else
#define VIRT_CPUHP_STATE	CPUHP_AP_KVM_STARTING
#define VIRT_CPUHP_MAY_FAIL	0
#endif

/* A static pair of suspend and resume functions without arguments, and how it is registered. */
#ifdef HAVE_REGISTER_SYSCORE
#define VIRT_SYSCORE(name, suspend_fn, resume_fn)				\
static int name##_suspend(void *data) { return suspend_fn(); }			\
static void name##_resume(void *data) { resume_fn(); }				\
static const struct syscore_ops name##_ops = {					\
	.suspend = name##_suspend, .resume = name##_resume,			\
};										\
static struct syscore name = { .ops = &name##_ops }
#define virt_syscore_register(p)	register_syscore(p)
#define virt_syscore_unregister(p)	unregister_syscore(p)
#else
#define VIRT_SYSCORE(name, suspend_fn, resume_fn)				\
static struct syscore_ops name = { .suspend = suspend_fn, .resume = resume_fn }
#define virt_syscore_register(p)	register_syscore_ops(p)
#define virt_syscore_unregister(p)	unregister_syscore_ops(p)
#endif

#endif
