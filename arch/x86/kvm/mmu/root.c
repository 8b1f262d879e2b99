// SPDX-License-Identifier: GPL-2.0-only
/*
 * Roots, and the lifetime of the MMU's part of modules, VMs and vCPUs.
 *
 * With two-dimensional paging all vCPUs of a VM share one tree per address space (0 normally, 1 in SMM). A root is
 * made by the first vCPU that runs in the address space and lives as long as the VM, even when all below it is
 * zapped: so a vCPU that has loaded it never needs to look again, and REQ_RELOAD_ROOT is never sent. Roots
 * of shadow pages will come and go; they bring reference counts and use the request.
 *
 * The vendor is told of a root when a vCPU's address space changes. A flush goes with it: hardware tags translations
 * with the root's address, which may have been another VM's before.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/cpu.h>
#include <linux/mem_encrypt.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <asm/cpufeature.h>
#include <asm/processor.h>

#include <compat/itlb.h>

#include <kvm/x86/ioctls.h>

#include "internal.h"

/* Limits of KVM_SET_NR_MMU_PAGES; the upper one is what KVM_GET_NR_MMU_PAGES can return. */
#define MIN_TABLES	64
#define MAX_TABLES	0x7fffffff

/*
 * nx_huge_pages: some Intel CPUs can be brought to a machine check by changing the size of a page from which
 * instructions are fetched. Against guests that would do it, pages above 4K are mapped without execute
 * permission and split when the guest executes there. auto: where the CPU has the bug.
 */
enum nx_wish { NX_AUTO, NX_OFF, NX_FORCE };
static enum nx_wish nx_wish;

static bool nx_decide(void)
{
	if (nx_wish == NX_AUTO)
		return boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off();
	return nx_wish == NX_FORCE;
}

/* Pages mapped under the old rule must go. A fault reads pt.nx_huge with mmu_lock held, so it is before or after. */
static void nx_apply(void)
{
	struct kvm *kvm;
	bool on = nx_decide();

	mutex_lock(&kvm_vms_lock);
	itlb_multihit_kvm_mitigation = on;
	if (pt.nx_huge != on) {
		WRITE_ONCE(pt.nx_huge, on);
		list_for_each_entry(kvm, &kvm_vms, link)
			mmu_zap_all(kvm);
	}
	mutex_unlock(&kvm_vms_lock);
}

static int nx_set(const char *val, const struct kernel_param *kp)
{
	bool on;

	if (sysfs_streq(val, "auto"))
		nx_wish = NX_AUTO;
	else if (sysfs_streq(val, "force"))
		nx_wish = NX_FORCE;
	else if (sysfs_streq(val, "never"))
		nx_wish = NX_OFF;
	else if (!kstrtobool(val, &on))		/* takes "on" and "off" too */
		nx_wish = on ? NX_FORCE : NX_OFF;
	else
		return -EINVAL;
	if (pt.levels)
		nx_apply();
	return 0;
}

static int nx_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%c\n", nx_decide() ? 'Y' : 'N');
}

static const struct kernel_param_ops nx_ops = { .set = nx_set, .get = nx_get };
module_param_cb(nx_huge_pages, &nx_ops, NULL, 0644);
__MODULE_PARM_TYPE(nx_huge_pages, "string");
MODULE_PARM_DESC(nx_huge_pages, "large pages are not executable: auto (where the CPU needs it), force, off");

static unsigned int host_phys_bits(void)
{
	return boot_cpu_data.extended_cpuid_level >= 0x80000008 ? cpuid_eax(0x80000008) & 0xff : 36;
}

int mmu_module_init(const struct vendor_caps *caps)
{
	enum pt_kind kind = !caps->ept_format ? PT_NPT : caps->ept_ad ? PT_EPT_AD : PT_EPT;
	int err;

	if (!caps->two_dim) {
		pr_err("EPT or NPT is missing or switched off, and shadow paging is not supported\n");
		return -EOPNOTSUPP;
	}
	if (caps->two_dim_levels < 4 || caps->two_dim_levels > PT_MAX_LEVELS) {
		pr_err("page tables of %u levels are not supported\n", caps->two_dim_levels);
		return -EOPNOTSUPP;
	}
	err = pt_module_init();
	if (err)
		return err;
	pt_configure(kind, caps->two_dim_levels, caps->page_1g, host_phys_bits(), sme_me_mask);
	pt.hw_log = caps->pml;
	nx_apply();
	pr_debug("%s, %u levels\n", pt.f.name, pt.levels);
	return 0;
}

void mmu_module_exit(void)
{
	pt.levels = 0;
	itlb_multihit_kvm_mitigation = false;
	pt_module_exit();
}

int mmu_vm_init(struct x86_vm *vm)
{
	struct vm_stats *stat = &vm->kvm.stat;
	unsigned int as;

	vm->mmu = kzalloc(sizeof(*vm->mmu), GFP_KERNEL_ACCOUNT);
	if (!vm->mmu)
		return -ENOMEM;
	for (as = 0; as < KVM_ADDRESS_SPACES; as++) {
		struct pt_space *sp = &vm->mmu->space[as];

		sp->as = as;
		sp->count[PT_4K] = &stat->pages_4k;
		sp->count[PT_2M] = &stat->pages_2m;
		sp->count[PT_1G] = &stat->pages_1g;
	}
	return 0;
}

/* KVM_SET_NR_MMU_PAGES: how many tables a VM may keep; fewer than 64 are refused. */
long vm_set_nr_mmu_pages(struct kvm_call *c)
{
	unsigned long n = (unsigned long)c->uarg;

	if (n < MIN_TABLES || n > MAX_TABLES)
		return -EINVAL;
	WRITE_ONCE(x86_vm(c->kvm)->mmu->max_tables, n);
	mmu_trim(c->kvm);
	return 0;
}

long vm_get_nr_mmu_pages(struct kvm_call *c)
{
	return READ_ONCE(x86_vm(c->kvm)->mmu->max_tables);
}

/* vCPUs and slots are gone, the notifier is unregistered: nobody else is in the trees. */
void mmu_vm_destroy(struct x86_vm *vm)
{
	unsigned int as;

	if (!vm->mmu)
		return;
	for (as = 0; as < KVM_ADDRESS_SPACES; as++) {
		struct pt_space *sp = &vm->mmu->space[as];

		if (sp->root)
			pt_free_tree(sp, sp->root, true);
	}
	kfree(vm->mmu);
	vm->mmu = NULL;
}

int mmu_vcpu_init(struct x86_vcpu *v)
{
	v->mmu = kzalloc(sizeof(*v->mmu), GFP_KERNEL_ACCOUNT);
	if (!v->mmu)
		return -ENOMEM;
	v->root_as = -1;
	return 0;
}

void mmu_vcpu_free(struct x86_vcpu *v)
{
	if (!v->mmu)
		return;
	pt_cache_drain(&v->mmu->cache);
	kfree(v->mmu);
	v->mmu = NULL;
}

bool mmu_need_root(struct pt_space *sp)
{
	struct pt_page *root;

	if (likely(READ_ONCE(sp->root)))
		return true;
	root = pt_new_root(sp->as);
	if (!root)
		return false;
	if (cmpxchg(&sp->root, NULL, root))
		pt_free_tree(sp, root, true);	/* another vCPU's is there */
	return true;
}

enum outcome mmu_load_root(struct x86_vcpu *v)
{
	int as = v->vcpu.as;
	struct pt_space *sp;

	sp = mmu_space(v->vcpu.kvm, as);
	if (!mmu_need_root(sp))
		return vcpu_fail(&v->vcpu, -ENOMEM);
	vendor_call(root)(v, HPA(pt_phys(sp->root) | pt.encrypt));
	vendor_call(flush)(v, FLUSH_ALL, 0);
	v->root_as = as;
	return OUT_OK;
}

/*
 * What the guest's CR3 loads and INVLPG flush. They reach us only when intercepted or emulated: hardware keeps the
 * guest's own translations, and the trees here know nothing of them.
 */
void mmu_cr3_loaded(struct x86_vcpu *v, bool keep_tlb)
{
	if (keep_tlb)
		return;
	v->vcpu.stat.tlb_flush++;
	vendor_call(flush)(v, FLUSH_GUEST, 0);
}

void mmu_invlpg(struct x86_vcpu *v, u64 gva)
{
	v->vcpu.stat.invlpg++;
	vendor_call(flush)(v, FLUSH_ADDR, gva);
}
