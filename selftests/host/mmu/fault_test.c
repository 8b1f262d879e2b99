// SPDX-License-Identifier: GPL-2.0-only
/* Faults, slots, notifier, dirty log and ageing, one thread: what is mapped is seen through the model's hardware. */
#include <kvm/x86/ioctls.h>
#include "machine.h"
#include "test.h"

static const struct { enum pt_kind kind; u8 levels; } kinds[] = {
	{ PT_EPT, 4 }, { PT_EPT_AD, 4 }, { PT_EPT_AD, 5 }, { PT_NPT, 4 }, { PT_NPT, 5 },
};

static s64 pages(unsigned int level)
{
	struct vm_stats *s = &vm->kvm.stat;

	return (level == PT_4K ? &s->pages_4k : level == PT_2M ? &s->pages_2m : &s->pages_1g)->counter;
}

static struct hw_vcpu *c = &hw[0];

static void simple(void)
{
	host_map(0, 1024, PT_4K, true);
	slot_add(0, 0x100, 1024, 0, 0);
	for (u64 i = 0; i < 1024; i++)
		CHECK_EQ(guest_access(c, 0x100 + i, i & 1, i & 2), host[i].pfn);
	CHECK_EQ(pages(PT_4K), 1024);
	CHECK_EQ(guest_access(c, 0x500, false, false), IS_MMIO);
	CHECK_EQ(guest_access(c, 0xff, true, false), IS_MMIO);
}

static void levels(void)
{
	host_map(0, 2 << 18, PT_1G, true);
	slot_add(0, 1 << 18, 2 << 18, 0, 0);
	CHECK_EQ(guest_access(c, (1 << 18) + 77777, true, true), host[77777].pfn);
	CHECK_EQ(pages(PT_1G), 1);
	host_map(512, 512, PT_2M, true);	/* breaks the first up */
	CHECK_EQ(pages(PT_1G), 0);
	for (u64 i = 0; i < 512; i++)
		host[i].level = host[1024 + i].level = PT_2M;
	CHECK_EQ(guest_access(c, (1 << 18) + 700, true, false), host[700].pfn);
	CHECK_EQ(guest_access(c, (1 << 18) + 5, false, false), host[5].pfn);
	CHECK_EQ(pages(PT_2M), 2);
	/* the other slot's place does not allow large pages */
	slot_add(0, 0x1000001, 4096, 0, 0);
	CHECK_EQ(guest_access(c, 0x1000001, false, false), host[0].pfn);
	CHECK_EQ(pages(PT_4K), 1);
}

static void no_1g(void)
{
	machine_start(PT_NPT, 4, false);
	host_map(0, 1 << 18, PT_1G, true);
	slot_add(0, 0, 1 << 18, 0, 0);
	CHECK_EQ(guest_access(c, 1000, true, false), host[1000].pfn);
	CHECK_EQ(pages(PT_2M), 1);
	machine_end();
}

static void traps(void)
{
	long before, far;

	host_map(0, 16, PT_4K, true);
	slot_add(0, 0x1000, 16, 0, 0);
	guest_access(c, 0x1000, false, false);
	before = live_pages;
	/* anywhere: no table for it, but for those at the slot's edges */
	for (u64 i = 0; i < 20000; i++)
		CHECK_EQ(guest_access(c, rnd() % (1ull << 36), i & 1, false), IS_MMIO);
	CHECK(live_pages - before < 20);
	/* the second time it traps at once */
	for (far = 0; far < 10; far++) {
		u64 pfn, error;

		guest_access(c, 0x2000 + far, false, false);
		CHECK_EQ(hw_access(c, 0x2000 + far, false, false, &pfn, &error), HW_TRAP);
		vm_enter_srcu();
		CHECK(mmu_mmio_valid(c->v, gpa_of(GFN(0x2000 + far))));
		vm_leave_srcu();
	}
	/* a new slot there needs nothing to be revoked */
	host_map(100, 16, PT_4K, true);
	struct memslot *s = slot_add(0, 0x2000, 16, 100, 0);

	CHECK_EQ(guest_access(c, 0x2003, true, false), host[103].pfn);
	CHECK_EQ(guest_access(c, 0x2010, true, false), IS_MMIO);
	slot_del(s);
	CHECK_EQ(guest_access(c, 0x2003, true, false), IS_MMIO);
	/* beyond what tables reach */
	vm_enter_srcu();
	CHECK_EQ(mmu_fault(c->v, GPA(1ull << (12 + 9 * pt.levels)), PFERR_W), FAULT_MMIO);
	CHECK_EQ(mmu_fault(c->v, GPA(~0ull), PFERR_W), FAULT_MMIO);
	vm_leave_srcu();
	CHECK(!slot_add(0, pt_limit() - 8, 16, 0, 0));
}

/* A CPU without a spare address bit: no traps, still MMIO. */
static void no_traps(void)
{
	shim_phys_bits = 52;
	machine_start(PT_NPT, 4, true);
	CHECK_EQ(guest_access(c, 5, true, false), IS_MMIO);
	CHECK_EQ(guest_access(c, 5, true, false), IS_MMIO);
	machine_end();
	shim_phys_bits = 48;
}

static void read_only(void)
{
	host_map(0, 16, PT_4K, true);
	host_map(16, 16, PT_4K, false);
	slot_add(0, 0, 16, 0, KVM_MEM_READONLY);
	slot_add(0, 16, 16, 16, 0);
	CHECK_EQ(guest_access(c, 3, false, true), host[3].pfn);
	CHECK_EQ(guest_access(c, 3, true, false), IS_MMIO);
	CHECK_EQ(guest_access(c, 4, true, false), IS_MMIO);
	CHECK_EQ(guest_access(c, 17, false, false), host[17].pfn);
	CHECK_EQ(guest_access(c, 17, true, false), IS_ERROR);	/* the VMM's page is read-only */
	CHECK_EQ(c->v->vcpu.error, -EFAULT);
}

static void host_errors(void)
{
	u64 pfn, error;

	slot_add(0, 0, 16, 0, 0);
	CHECK_EQ(guest_access(c, 3, false, false), IS_ERROR);
	CHECK_EQ(c->v->vcpu.error, -EFAULT);
	host[4].poisoned = true;
	vm_enter_srcu();
	CHECK_EQ(mmu_fault(c->v, GPA(0x4000), 0), FAULT_RETRY);
	vm_leave_srcu();
	CHECK_EQ(poison_signals, 1);
	host[5] = (struct host_pte){ .pfn = SHIM_DEVICE_PFN, .present = true, .writable = true, .device = true, .level = 1 };
	CHECK_EQ(guest_access(c, 5, true, false), SHIM_DEVICE_PFN);
	CHECK_EQ(hw_access(c, 5, false, false, &pfn, &error), HW_OK);
	/* no memory for tables */
	host_map(6, 1, PT_4K, true);
	pt_cache_drain(&c->v->mmu->cache);
	fail_alloc_after = 2;
	CHECK_EQ(guest_access(c, 6, true, false), IS_ERROR);
	CHECK_EQ(c->v->vcpu.error, -ENOMEM);
	fail_alloc_after = -1;
	CHECK_EQ(guest_access(c, 6, true, false), host[6].pfn);
}

static void unmap_now(void)
{
	during_lookup = NULL;
	host_map(3, 1, PT_4K, true);
}

static void notifier(void)
{
	u64 old, pfn, error;

	host_map(0, 1024, PT_2M, true);
	slot_add(0, 0, 1024, 0, 0);
	slot_add(0, 0x8000, 1024, 0, 0);	/* the same memory twice */
	guest_access(c, 3, true, false);
	guest_access(c, 0x8003, true, false);
	host_unmap(3, 1);
	CHECK_EQ(hw_access(c, 3, false, false, &pfn, &error), HW_FAULT);
	CHECK_EQ(hw_access(c, 0x8003, false, false, &pfn, &error), HW_FAULT);
	host_split(0, 512);
	host_map(3, 1, PT_4K, true);
	/* the page goes between lookup and installation */
	old = host[3].pfn;
	vm_enter_srcu();
	CHECK_EQ(mmu_load_root(c->v), OUT_OK);
	vm_leave_srcu();
	during_lookup = unmap_now;
	CHECK_EQ(mmu_fault(c->v, GPA(0x3000), PFERR_W), FAULT_RETRY);
	CHECK(host[3].pfn != old);
	CHECK_EQ(guest_access(c, 3, true, false), host[3].pfn);
	arch_mmu_release(&vm->kvm);
	CHECK_EQ(pages(PT_4K) + pages(PT_2M), 0);
	CHECK_EQ(hw_access(c, 3, false, false, &pfn, &error), HW_FAULT);
}

/* Whatever slots come and go, tables exist for those that are there. */
static void no_growth(void)
{
	long base;

	host_map(0, 2048, PT_4K, true);
	guest_access(c, 0, false, false);
	base = 0;
	for (unsigned int i = 0; i < 300; i++) {
		u64 gfn = rnd() % (1ull << 34);
		struct memslot *s = slot_add(0, gfn, 1 + rnd() % 2048, 0, 0);

		for (unsigned int j = 0; j < 10; j++)
			guest_access(c, gfn + rnd() % s->npages, true, false);
		guest_access(c, gfn - 1, true, false);
		slot_del(s);
		rcu_barrier();
		if (i == 10)
			base = live_pages;
		CHECK(i < 10 || live_pages <= base + 2 * PT_MAX_LEVELS);
		CHECK_EQ(pages(PT_4K), 0);
	}
}

/* User space's limit: the guest sees its memory all the same. */
static void table_limit(void)
{
	struct kvm_call call = { .kvm = &vm->kvm };
	const atomic_t *tables = &vm->mmu->space[0].tables;

	call.uarg = (void *)63ul;
	CHECK_EQ(vm_set_nr_mmu_pages(&call), -EINVAL);
	call.uarg = (void *)(1ul << 31);
	CHECK_EQ(vm_set_nr_mmu_pages(&call), -EINVAL);
	CHECK_EQ(vm_get_nr_mmu_pages(&call), 0);
	host_map(0, 512 * 200, PT_4K, true);
	slot_add(0, 0, 512 * 200, 0, 0);
	for (u64 i = 0; i < 200; i++)
		guest_access(c, 512 * i, true, false);
	CHECK(tables->counter >= 200);
	call.uarg = (void *)64ul;
	CHECK_EQ(vm_set_nr_mmu_pages(&call), 0);
	CHECK_EQ(vm_get_nr_mmu_pages(&call), 64);
	CHECK_EQ(tables->counter, 0);
	for (u64 i = 0; i < 2000; i++) {
		u64 gfn = rnd() % (512 * 200);

		CHECK_EQ(guest_access(c, gfn, i & 1, false), host[gfn].pfn);
		CHECK(tables->counter <= 64);
	}
	CHECK(tables->counter > 0);
}

static unsigned long harvest(struct memslot *s, u64 word)
{
	unsigned long mask = __atomic_exchange_n(&s->dirty[word], 0, __ATOMIC_SEQ_CST);

	write_lock(&vm->kvm.mmu_lock);
	arch_mmu_protect(&vm->kvm, s, word * 64, mask);
	write_unlock(&vm->kvm.mmu_lock);
	kvm_flush_remote_tlbs(&vm->kvm);
	return mask;
}

static void dirty_log(void)
{
	struct memslot *s;
	u64 fast;

	host_map(0, 2048, PT_2M, true);
	s = slot_add(0, 512 + 40, 1400, 40, 0);		/* large pages inside, not at the edges */
	for (u64 i = 0; i < 1400; i += 100)
		CHECK_EQ(guest_access(c, 552 + i, true, false), host[40 + i].pfn);
	CHECK_EQ(pages(PT_2M), 1);
	s = slot_set_flags(s, KVM_MEM_LOG_DIRTY_PAGES);
	CHECK_EQ(pages(PT_2M), 1);
	for (u64 w = 0; w < 22; w++)
		CHECK_EQ(harvest(s, w), 0);
	CHECK_EQ(guest_access(c, 552 + 700, false, false), host[740].pfn);
	CHECK_EQ(pages(PT_2M), 1);			/* a read does not split */
	CHECK_EQ(guest_access(c, 552 + 700, true, false), host[740].pfn);
	CHECK_EQ(pages(PT_2M), 0);
	for (u64 w = 0; w < 22; w++)
		CHECK_EQ(harvest(s, w), w == 700 / 64 ? 1ul << 700 % 64 : 0);
	/* again, by the fast path this time, on both sides of a table's edge */
	fast = c->v->vcpu.stat.pf_fast;
	for (u64 i = 460; i < 480; i++)
		guest_access(c, 552 + i, true, false);
	CHECK_EQ(harvest(s, 7), 0xfffff000ul);
	for (u64 i = 448; i < 512; i++)
		guest_access(c, 552 + i, true, false);
	CHECK_EQ(harvest(s, 7), ~0ul);
	fast = c->v->vcpu.stat.pf_fast;
	for (u64 i = 448; i < 512; i++)
		guest_access(c, 552 + i, true, false);
	CHECK_EQ(c->v->vcpu.stat.pf_fast - fast, 64);
	CHECK_EQ(harvest(s, 7), ~0ul);
	/* the end: the large page comes back */
	s = slot_set_flags(s, 0);
	CHECK_EQ(guest_access(c, 552 + 600, true, false), host[640].pfn);
	CHECK_EQ(pages(PT_2M), 1);
}

static void initially_set(void)
{
	struct memslot *s;
	u64 pfn, error;

	host_map(0, 1024, PT_2M, true);
	s = slot_add(0, 0, 1024, 0, 0);
	guest_access(c, 3, true, false);
	vm->kvm.dirty_protect = KVM_DIRTY_LOG_INITIALLY_SET;
	s = slot_set_flags(s, KVM_MEM_LOG_DIRTY_PAGES);
	CHECK_EQ(hw_access(c, 3, true, false, &pfn, &error), HW_OK);
	s->dirty[0] = 8;
	harvest(s, 0);
	CHECK_EQ(hw_access(c, 3, true, false, &pfn, &error), HW_FAULT);
	guest_access(c, 3, true, false);
	CHECK_EQ(s->dirty[0], 8);
}

static void ageing(void)
{
	u64 fixed;

	host_map(0, 1024, PT_4K, true);
	slot_add(0, 0, 1024, 0, 0);
	guest_access(c, 3, true, true);
	CHECK(host_age(0, 1024, false));
	CHECK(host_age(3, 1, true));
	CHECK(!host_age(0, 1024, false));
	CHECK(!host_age(0, 1024, true));
	kvm_flush_remote_tlbs(&vm->kvm);
	fixed = c->v->vcpu.stat.pf_fixed;
	CHECK_EQ(guest_access(c, 3, false, false), host[3].pfn);
	CHECK_EQ(c->v->vcpu.stat.pf_fixed, fixed);
	CHECK(host_age(0, 1024, false));
	/* an old page can be unmapped, and is then flushed */
	host_age(3, 1, true);
	host_unmap(3, 1);
	CHECK_EQ(pages(PT_4K), 0);
}

static void nx_huge(void)
{
	u64 pfn, error;

	host_map(0, 1024, PT_2M, true);
	slot_add(0, 0, 1024, 0, 0);
	pt.nx_huge = true;
	guest_access(c, 3, true, false);
	CHECK_EQ(pages(PT_2M), 1);
	CHECK_EQ(hw_access(c, 3, false, true, &pfn, &error), HW_FAULT);
	CHECK_EQ(guest_access(c, 3, false, true), host[3].pfn);
	CHECK_EQ(pages(PT_4K), 512);
	CHECK_EQ(vm->kvm.stat.nx_lpage_splits, 1);
	CHECK_EQ(hw_access(c, 4, true, false, &pfn, &error), HW_OK);
	CHECK_EQ(hw_access(c, 4, false, true, &pfn, &error), HW_FAULT);
	CHECK_EQ(guest_access(c, 600, false, true), host[600].pfn);
	CHECK_EQ(pages(PT_2M), 0);
	pt.nx_huge = false;
}

static void smm(void)
{
	unsigned int flushes = c->flushes;

	host_map(0, 64, PT_4K, true);
	slot_add(0, 0, 16, 0, 0);
	slot_add(1, 0, 32, 16, 0);
	CHECK_EQ(guest_access(c, 3, true, false), host[3].pfn);
	CHECK_EQ(guest_access(c, 20, true, false), IS_MMIO);
	c->v->vcpu.as = 1;
	memset(c->tlb, 0, sizeof(c->tlb));	/* the root operation's flush */
	memset(c->psc, 0, sizeof(c->psc));
	CHECK_EQ(guest_access(c, 3, true, false), host[19].pfn);
	CHECK_EQ(guest_access(c, 20, true, false), host[36].pfn);
	CHECK_EQ(c->flushes - flushes, 2);
	c->v->vcpu.as = 0;
}

static void (*body)(void);

static void on_each_kind(void)
{
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++) {
		machine_start(kinds[k].kind, kinds[k].levels, true);
		body();
		machine_end();
	}
}

static void run_kinds(const char *name, void (*fn)(void))
{
	body = fn;
	run_test(name, on_each_kind);
}

void fault_tests(void)
{
	run_kinds("faults", simple);
	run_kinds("large pages", levels);
	run_test("no 1G pages", no_1g);
	run_kinds("traps where no memory is", traps);
	run_test("no traps", no_traps);
	run_kinds("read-only memory", read_only);
	run_kinds("errors of the host", host_errors);
	run_kinds("notifier", notifier);
	run_kinds("tables do not accumulate", no_growth);
	run_kinds("a limit on tables", table_limit);
	run_kinds("dirty log", dirty_log);
	run_kinds("dirty log, all set at first", initially_set);
	run_kinds("ageing", ageing);
	run_kinds("large pages without execution", nx_huge);
	run_kinds("address space of SMM", smm);
}
