/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What entry code in assembly owes to the host's speculation mitigations, under the names of the newest kernels.
 * Each is nothing where the host does not need it: alternatives, patched when the module loads.
 */
#ifndef COMPAT_SPEC_ASM_H
#define COMPAT_SPEC_ASM_H

#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>

/* After an exit, before the first RET. Older kernels have one macro for all entries and know the barrier apart. */
#ifndef UNTRAIN_RET_VM
.macro UNTRAIN_RET_VM
	UNTRAIN_RET
	ALTERNATIVE "", "call entry_ibpb", X86_FEATURE_IBPB_ON_VMEXIT
.endm
#endif

#ifndef VM_CLEAR_CPU_BUFFERS
#define VM_CLEAR_CPU_BUFFERS
#endif

#endif
