// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control registers with the architecture's rules (SDM vol. 3, 2.5 and 4.1; APM vol. 2, 3.1), and the
 * general-purpose registers as user space sees them.
 *
 * A write by the guest is checked as a whole before anything changes; what it means for the page-table walk, for the
 * TLB and for CPUID follows from the bits that changed and from no others, because most writes of CR0 and CR4 touch
 * none that matter. vCPU thread, loaded, in kvm->srcu.
 */
#include <asm/msr-index.h>
#include <asm/traps.h>
#include <kvm/x86/fpu.h>
#include <kvm/x86/handlers.h>
#include <kvm/x86/ioctls.h>
#include <kvm/x86/mmu.h>
#include "regs.h"

#define CR3_NO_FLUSH	BIT_ULL(63)	/* with CR4.PCIDE: entries of the new PCID stay */
#define CR3_PCID	0xfffull

static enum outcome gp(struct x86_vcpu *v)
{
	return x86_raise_error(&v->vcpu, X86_TRAP_GP, 0);
}

bool guest_long_mode(struct x86_vcpu *v)
{
	return get_efer(v) & EFER_LMA;
}

u64 guest_phys_reserved(const struct x86_vcpu *v)
{
	return GENMASK_ULL(63, v->cap.maxphyaddr);
}

/* --- CR0 --- */

bool cr0_value_ok(struct x86_vcpu *v, u64 cr0)
{
	if (cr0 >> 32)
		return false;
	if ((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD))
		return false;
	if ((cr0 & X86_CR0_PG) && !(cr0 & X86_CR0_PE))
		return false;
	return vendor_ops.cr0_ok(v, (cr0 & CR0_DEFINED) | X86_CR0_ET);
}

/*
 * Long mode starts with paging. The task register still holds what a 32-bit LTR left; hardware entry wants it to be
 * the 64-bit kind (SDM 27.3.1.2), of which a busy 32-bit TSS has the same type number and a 16-bit one has not.
 */
static void long_mode_on(struct x86_vcpu *v)
{
	struct x86_seg *tr = get_seg(v, SEG_TR);

	if ((tr->attr & SEG_TYPE) != 11) {
		tr->attr = (tr->attr & ~SEG_TYPE) | 11;
		state_dirty(v, G_SEG(SEG_TR));
	}
	put_efer(v, get_efer(v) | EFER_LMA);
}

/* What turning paging on asks for. */
static bool paging_may_start(struct x86_vcpu *v)
{
	if (!(get_efer(v) & EFER_LME))
		return true;
	return (get_cr4(v) & X86_CR4_PAE) && !(get_seg(v, SEG_CS)->attr & SEG_L);
}

static bool paging_may_stop(struct x86_vcpu *v)
{
	return !guest_64bit(v) && !(get_cr4(v) & X86_CR4_PCIDE);
}

/* Would these values walk through PDPTRs? */
static bool pae_paging(u64 cr0, u64 cr4, u64 efer)
{
	return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !(efer & EFER_LME);
}

enum outcome guest_set_cr0(struct x86_vcpu *v, u64 val)
{
	u64 old = get_cr0(v), changed;

	if (!cr0_value_ok(v, val))
		return gp(v);
	val = (val & CR0_DEFINED) | X86_CR0_ET;
	changed = old ^ val;
	if (!changed)
		return OUT_OK;
	if (changed & X86_CR0_PG) {
		if (val & X86_CR0_PG ? !paging_may_start(v) : !paging_may_stop(v))
			return gp(v);
	}
	/* SDM 4.4.1: the PDPTRs are read again when one of these three changes. */
	if ((changed & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)) && pae_paging(val, get_cr4(v), get_efer(v)) &&
	    !mmu_load_pdptrs(v, get_cr3(v)))
		return gp(v);
	put_cr0(v, val);
	if ((changed & X86_CR0_PG) && (get_efer(v) & EFER_LME)) {
		if (val & X86_CR0_PG)
			long_mode_on(v);
		else
			put_efer(v, get_efer(v) & ~EFER_LMA);
	}
	if (changed & CR0_MMU_BITS)
		mmu_mode_changed(v);
	if (changed & X86_CR0_PG)
		vcpu_request(&v->vcpu, REQ_TLB_GUEST);
	return OUT_OK;
}

/* --- CR3 --- */

enum outcome guest_set_cr3(struct x86_vcpu *v, u64 val)
{
	bool keep = false;

	if (get_cr4(v) & X86_CR4_PCIDE) {
		keep = val & CR3_NO_FLUSH;
		val &= ~CR3_NO_FLUSH;
	}
	if (guest_long_mode(v)) {
		if (val & guest_phys_reserved(v))
			return gp(v);
	} else {
		val = (u32)val;
		if (pae_paging(get_cr0(v), get_cr4(v), get_efer(v)) && !mmu_load_pdptrs(v, val))
			return gp(v);
	}
	put_cr3(v, val);
	mmu_cr3_loaded(v, keep);
	return OUT_OK;
}

/* --- CR4 --- */

bool cr4_value_ok(struct x86_vcpu *v, u64 cr4)
{
	return !(cr4 & v->cap.cr4_reserved) && vendor_ops.cr4_ok(v, cr4);
}

/* SDM 4.10.4.1: the changes of CR4 after which cached translations may not be used. */
static bool cr4_flushes(u64 old, u64 val)
{
	u64 changed = old ^ val;

	if (changed & (X86_CR4_PGE | X86_CR4_PAE | X86_CR4_PSE | X86_CR4_LA57))
		return true;
	return (changed & old & X86_CR4_PCIDE) || (changed & val & X86_CR4_SMEP);
}

static bool cr4_change_ok(struct x86_vcpu *v, u64 old, u64 val)
{
	u64 changed = old ^ val;

	if (guest_long_mode(v)) {
		if (changed & (X86_CR4_LA57 | X86_CR4_PAE))
			return false;
		return !(changed & val & X86_CR4_PCIDE) || !(get_cr3(v) & CR3_PCID);
	}
	if (val & X86_CR4_PCIDE)
		return false;
	if ((changed & (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)) &&
	    pae_paging(get_cr0(v), val, get_efer(v)))
		return mmu_load_pdptrs(v, get_cr3(v));
	return true;
}

enum outcome guest_set_cr4(struct x86_vcpu *v, u64 val)
{
	u64 old = get_cr4(v), changed = old ^ val;

	if (!cr4_value_ok(v, val) || !cr4_change_ok(v, old, val))
		return gp(v);
	if (!changed)
		return OUT_OK;
	put_cr4(v, val);
	if (changed & CR4_MMU_BITS)
		mmu_mode_changed(v);
	if (cr4_flushes(old, val))
		vcpu_request(&v->vcpu, REQ_TLB_GUEST);
	if (changed & CR4_CPUID_BITS)
		cpuid_runtime_update(v);
	return OUT_OK;
}

/* --- CR8, XCR0, EFER --- */

enum outcome guest_set_cr8(struct x86_vcpu *v, u64 val)
{
	if (val > 15)
		return gp(v);
	lapic_set_cr8(v, val);
	return OUT_OK;
}

enum outcome guest_set_xcr(struct x86_vcpu *v, u32 nr, u64 val)
{
	if (nr || get_cpl(v) || !xcr0_value_ok(v, val))
		return gp(v);
	xcr0_set(v, val);
	return OUT_OK;
}

bool efer_ok(struct x86_vcpu *v, u64 efer)
{
	return !(efer & ~v->cap.efer_allowed);
}

/* --- KVM_GET_REGS, KVM_SET_REGS --- */

void regs_read(struct x86_vcpu *v, struct kvm_regs *r)
{
	const u64 *g = v->state.gpr;

	state_need(v, G_RSP | G_RIP | G_RFLAGS);
	*r = (struct kvm_regs) {
		.rax = g[RAX], .rbx = g[RBX], .rcx = g[RCX], .rdx = g[RDX],
		.rsi = g[RSI], .rdi = g[RDI], .rsp = g[RSP], .rbp = g[RBP],
		.r8 = g[R8], .r9 = g[R9], .r10 = g[R10], .r11 = g[R11],
		.r12 = g[R12], .r13 = g[R13], .r14 = g[R14], .r15 = g[R15],
		.rip = v->state.rip, .rflags = v->state.rflags,
	};
}

long regs_write(struct x86_vcpu *v, const struct kvm_regs *r)
{
	const u64 gpr[NR_GPRS] = {
		[RAX] = r->rax, [RCX] = r->rcx, [RDX] = r->rdx, [RBX] = r->rbx,
		[RSP] = r->rsp, [RBP] = r->rbp, [RSI] = r->rsi, [RDI] = r->rdi,
		[R8] = r->r8, [R9] = r->r9, [R10] = r->r10, [R11] = r->r11,
		[R12] = r->r12, [R13] = r->r13, [R14] = r->r14, [R15] = r->r15,
	};

	memcpy(v->state.gpr, gpr, sizeof(gpr));
	v->state.rip = r->rip;
	v->state.rflags = r->rflags | X86_EFLAGS_FIXED;
	state_dirty(v, G_RSP | G_RIP | G_RFLAGS);
	/* The instruction that raised it is no longer the one to run. */
	v->ev.pending.type = EV_NONE;
	x86_events_changed(&v->vcpu);
	return 0;
}

long vcpu_get_regs(struct kvm_call *c)
{
	regs_read(x86_vcpu(c->vcpu), c->arg);
	return 0;
}

long vcpu_set_regs(struct kvm_call *c)
{
	return regs_write(x86_vcpu(c->vcpu), c->arg);
}
