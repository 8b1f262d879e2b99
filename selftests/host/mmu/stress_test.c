// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once: vCPUs that access, a host that unmaps, remaps, splits, merges and ages, a VMM that logs, harvests and
 * replaces slots. Checked at each access: the frame that hardware reaches is alive and, for a write, writable, and the
 * slot is there. Checked whenever logging ends, with the vCPUs at rest: a migration by the dirty log has copied the last
 * write of every page.
 */
#include <time.h>
#include <unistd.h>

#include "machine.h"
#include "test.h"

#define REGION		512			/* pages: 2 MB */
#define REGIONS		8
#define MAIN_PAGES	(REGION * REGIONS)
#define MAIN_GFN	0x800
#define SMALL_GFN	0x4000			/* a slot that comes and goes */
#define SMALL_PAGES	700

static bool stop;
static bool small_there;
static struct memslot *main_slot;
static u64 writes[MAIN_PAGES], copied[MAIN_PAGES];
static u64 accesses, lost, phases;
static pthread_rwlock_t world = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;	/* vCPUs hold it while they run */

static void use(struct hw_vcpu *c, u64 gfn, bool write)
{
	u64 pfn, error;
	u8 state;

	guest_lock(c);
	if (hw_access(c, gfn, write, false, &pfn, &error) == HW_OK) {
		state = pfn < MAX_FRAMES ? READ_ONCE(frame_state[pfn]) : FRAME_DEAD;
		CHECK(state >= (write ? FRAME_WRITE : FRAME_READ));
		if (gfn >= SMALL_GFN)
			CHECK(READ_ONCE(small_there));
		else if (write)
			__atomic_fetch_add(&writes[gfn - MAIN_GFN], 1, __ATOMIC_SEQ_CST);
	}
	guest_unlock(c);
}

/* Often the same few pages, so that vCPUs and host meet. */
static u64 pick_gfn(void)
{
	switch (rnd() % 8) {
	case 0:
		return SMALL_GFN + rnd() % SMALL_PAGES;
	case 1:
		return MAIN_GFN + rnd() % MAIN_PAGES;
	default:
		return MAIN_GFN + rnd() % 3 * REGION + rnd() % 16;
	}
}

static void *vcpu_thread(void *arg)
{
	struct hw_vcpu *c = arg;
	u64 n = 0;

	vm_enter_srcu();
	mmu_load_root(c->v);
	vm_leave_srcu();
	while (!READ_ONCE(stop)) {
		u64 gfn = pick_gfn(), pfn, error;
		bool write = rnd() & 1, exec = !write && !(rnd() % 8);
		enum hw_end r;

		pthread_rwlock_rdlock(&world);
		guest_lock(c);
		r = hw_access(c, gfn, write, exec, &pfn, &error);
		guest_unlock(c);
		if (r == HW_FAULT || r == HW_TRAP) {
			vm_enter_srcu();
			if (r == HW_FAULT || !mmu_mmio_valid(c->v, gpa_of(GFN(gfn))))
				mmu_fault(c->v, gpa_of(GFN(gfn)), r == HW_FAULT ? error : 0);
			vm_leave_srcu();
		}
		use(c, gfn, write);
		pthread_rwlock_unlock(&world);
		if (!(++n % 32))
			sched_yield();
	}
	__atomic_fetch_add(&accesses, n, __ATOMIC_SEQ_CST);
	return NULL;
}

/* No part of a large page changes alone: the host splits it first, and nobody merges it in between. */
static pthread_mutex_t region_lock[REGIONS];

static void change_region(u64 region)
{
	u64 page = region + rnd() % 24;

	switch (rnd() % 8) {
	case 0:
		host_map(region, REGION, PT_2M, rnd() % 4);
		break;
	case 1:
		host_split(region, REGION);
		break;
	case 2:
		if (!(rnd() % 8))
			host_unmap(region, REGION);
		break;
	default:
		host_split(region, REGION);
		for (unsigned int i = rnd() % 16; i; i--, page = region + rnd() % 24)
			host_map(page, 1 + rnd() % 4 % (region + REGION - page), PT_4K, rnd() % 4);
	}
}

/* An invalidation after which all is as before; it may overlap one that takes the page away. */
static void no_change(u64 page, u64 n)
{
}

static void *host_thread(void *arg)
{
	while (!READ_ONCE(stop)) {
		unsigned int i = rnd() & 1 ? rnd() % 3 : rnd() % (REGIONS + 1);

		if (i == REGIONS) {			/* the slot that comes and goes */
			host_map(MAIN_PAGES + rnd() % SMALL_PAGES, 1, PT_4K, true);
		} else if (rnd() & 1) {
			host_invalidate(i * REGION, 24, no_change, rnd() & 1);
		} else if (!(rnd() % 4)) {
			host_age(i * REGION, REGION, rnd() & 1);
		} else if (!(rnd() % 4)) {
			host_age(i * REGION + rnd() % REGION, 1, true);
		} else {
			pthread_mutex_lock(&region_lock[i]);
			change_region(i * REGION);
			pthread_mutex_unlock(&region_lock[i]);
		}
	}
	return NULL;
}

static void *slot_thread(void *arg)
{
	while (!READ_ONCE(stop)) {
		struct memslot *s;

		WRITE_ONCE(small_there, true);
		s = slot_add(0, SMALL_GFN, SMALL_PAGES, MAIN_PAGES, 0);
		usleep(rnd() % 2000);
		slot_del(s);
		WRITE_ONCE(small_there, false);
		usleep(rnd() % 500);
		rcu_barrier();
	}
	return NULL;
}

static void harvest(void)
{
	arch_dirty_sync(&vm->kvm);
	for (u64 w = 0; w < MAIN_PAGES / 64; w++) {
		unsigned long mask;

		write_lock(&vm->kvm.mmu_lock);
		mask = __atomic_exchange_n(&main_slot->dirty[w], 0, __ATOMIC_SEQ_CST);
		if (mask)
			arch_mmu_protect(&vm->kvm, main_slot, w * 64, mask);
		write_unlock(&vm->kvm.mmu_lock);
		if (mask)
			kvm_flush_remote_tlbs(&vm->kvm);
		for (; mask; mask &= mask - 1)
			copied[w * 64 + __ffs(mask)] = READ_ONCE(writes[w * 64 + __ffs(mask)]);
	}
}

/* Everything that was written has been copied. */
static void last_harvest(void)
{
	pthread_rwlock_wrlock(&world);
	harvest();
	for (u64 i = 0; i < MAIN_PAGES; i++)
		lost += writes[i] != copied[i];
	phases++;
	pthread_rwlock_unlock(&world);
}

static void *log_thread(void *arg)
{
	while (!READ_ONCE(stop)) {
		bool go;

		main_slot = slot_set_flags(main_slot, KVM_MEM_LOG_DIRTY_PAGES);
		for (u64 i = 0; i < MAIN_PAGES; i++)
			copied[i] = READ_ONCE(writes[i]);
		do {
			harvest();
			usleep(rnd() % 300);
			go = rnd() % 12;
		} while (go && !READ_ONCE(stop));
		last_harvest();
		main_slot = slot_set_flags(main_slot, 0);
		usleep(rnd() % 3000);
	}
	return NULL;
}

static void stress(enum pt_kind kind)
{
	void *(*const others[])(void *) = { host_thread, host_thread, host_thread, slot_thread, log_thread };
	pthread_t t[TEST_VCPUS + ARRAY_SIZE(others)];
	u64 total = 0;
	unsigned int i;

	machine_start(kind, 4, true);
	stop = false;
	accesses = lost = phases = 0;
	memset(writes, 0, sizeof(writes));
	host_map(0, MAIN_PAGES, PT_2M, true);
	host_map(MAIN_PAGES, SMALL_PAGES, PT_4K, true);
	main_slot = slot_add(0, MAIN_GFN, MAIN_PAGES, 0, 0);
	for (i = 0; i < TEST_VCPUS; i++)
		pthread_create(&t[i], NULL, vcpu_thread, &hw[i]);
	for (i = 0; i < ARRAY_SIZE(others); i++)
		pthread_create(&t[TEST_VCPUS + i], NULL, others[i], NULL);
	sleep(stress_seconds);
	WRITE_ONCE(stop, true);
	for (i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	for (i = 0; i < MAIN_PAGES; i++)
		total += writes[i];
	CHECK_EQ(lost, 0);
	CHECK(total > 0 && phases > 0);
	printf("# %llu accesses, %llu writes, %u flushes, %llu times logged\n", (unsigned long long)accesses, (unsigned long long)total,
	       remote_flushes, (unsigned long long)phases);
	machine_end();
}

static void stress_ept(void)
{
	stress(PT_EPT);
}

static void stress_ept_ad(void)
{
	stress(PT_EPT_AD);
}

static void stress_pml(void)
{
	shim_pml = true;
	stress(PT_EPT_AD);
	shim_pml = false;
}

static void stress_npt(void)
{
	stress(PT_NPT);
}

static void stress_nx(void)
{
	shim_itlb_bug = true;
	stress(PT_EPT_AD);
	shim_itlb_bug = false;
}

void stress_tests(void)
{
	run_test("all at once, EPT without accessed bits", stress_ept);
	run_test("all at once, EPT", stress_ept_ad);
	run_test("all at once, EPT, dirty bits logged by hardware", stress_pml);
	run_test("all at once, NPT", stress_npt);
	run_test("all at once, EPT, large pages without execution", stress_nx);
}
