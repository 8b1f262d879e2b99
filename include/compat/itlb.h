/* SPDX-License-Identifier: GPL-2.0-only */
/* itlb_multihit_kvm_mitigation: exported by every host kernel, declared by 6.1 in none of the headers we include. */
#ifndef COMPAT_ITLB_H
#define COMPAT_ITLB_H

#include <linux/types.h>

/* What /sys/devices/system/cpu/vulnerabilities/itlb_multihit tells; ours to set. */
extern bool itlb_multihit_kvm_mitigation;

#endif
