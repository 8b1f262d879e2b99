// SPDX-License-Identifier: GPL-2.0-only
/*
 * May the guest end its interrupt without telling (PV EOI)? Only if nobody would notice: one vector is in service, none
 * waits behind it, and its end concerns nobody outside of the local APIC. run.c arms the flag and settles it.
 *
 * vCPU thread.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/bitops.h>
#include <linux/log2.h>
#include "irqchip_priv.h"
#include "lapic_priv.h"

bool lapic_eoi_unheard(struct x86_vcpu *v)
{
	const struct lapic *a = v->lapic;
	const struct ioapic *io = vm_of(v)->ioapic;
	u32 bits, word;
	u8 vector;

	if (!a || a->irr_words || !is_power_of_2(a->isr_words) || READ_ONCE(a->pi.control) & BIT(PI_ON))
		return false;
	word = __ffs(a->isr_words);
	bits = reg_get(a, R_ISR + word * 16);
	if (!is_power_of_2(bits))
		return false;
	vector = word * 32 + __ffs(bits);
	return !reg_vector(a, R_TMR, vector) && !(io && test_bit(vector, io->heard));
}
