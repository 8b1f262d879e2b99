/* SPDX-License-Identifier: GPL-2.0-only */
/* entry_work.c: what the thread has to do before it may enter the guest. */
#ifndef ARCH_X86_KVM_ENTRY_WORK_H
#define ARCH_X86_KVM_ENTRY_WORK_H

void entry_work_init(void);
/* Does it; 0, or -EINTR when a signal is pending. May sleep. */
int entry_work_handle(void);

#endif
