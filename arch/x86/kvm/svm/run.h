/* SPDX-License-Identifier: GPL-2.0-only */
/* Offsets in struct svm_run, for enter.S; svm.h asserts them. */
#ifndef ARCH_X86_KVM_SVM_RUN_H
#define ARCH_X86_KVM_SVM_RUN_H

#define RUN_VMCB_PA	0
#define RUN_HOST_PA	8
#define RUN_GPR		16
#define RUN_SPEC	24
#define RUN_SPEC_READ	28

#endif
