// SPDX-License-Identifier: GPL-2.0-only
/* Memory slots: what is refused, what changes do, and changes under a running guest. */
#include "lib/access.h"

#define GPA	0x40000000ull	/* where the slots of the tests lie: shown at KT_WINDOW */
#define PAGES(n)	((n) * KT_PAGE)

GUEST64(second_page_code, "mov $0x5a5a, %eax\n mov $0x1000, %dx\n out %eax, %dx\n hlt\n");

/* A vCPU whose window shows 8 MB from GPA on; no slot there yet. */
static struct kt_vcpu *vcpu(void)
{
	struct kt_vcpu *v = kt_access_vcpu(false);

	kt_window(v, GPA, 4);
	return v;
}

/* --- refusals --- */

TEST(invalid_arguments)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	uint8_t *m = kt_mem(PAGES(16), KT_PAGE);
	uint32_t nr = need_ok(kt_cap(vm, KVM_CAP_NR_MEMSLOTS));

	check_err(kt_slot(vm, 0, 0, 0x100, PAGES(1), m), EINVAL);
	check_err(kt_slot(vm, 0, 0, 0, 0x800, m), EINVAL);
	check_err(kt_slot(vm, 0, 0, 0, PAGES(1) + 1, m), EINVAL);
	check_err(kt_slot(vm, 0, 0, 0, PAGES(1), m + 1), EINVAL);
	check_err(kt_slot(vm, 0, 0, 0, PAGES(1), m + 0x800), EINVAL);
	for (int bit = 2; bit < 32; bit++)
		check_err(kt_slot(vm, 0, 1u << bit, 0, PAGES(1), m), EINVAL);
	check_err(kt_slot(vm, nr, 0, 0, PAGES(1), m), EINVAL);
	check_err(kt_slot(vm, 0xffff, 0, 0, PAGES(1), m), EINVAL);
	check_err(kt_slot(vm, 0xffff0000, 0, 0, PAGES(1), m), EINVAL);
	check_err(kt_slot(vm, 0, 0, -PAGES(1), PAGES(2), m), EINVAL);
	check_err(kt_slot(vm, 0, 0, PAGES(1), -PAGES(1), m), EINVAL);
	check_err(kt_slot(vm, 0, 0, 0, PAGES(1), (void *)0xffff888000000000ul), EINVAL);	/* the kernel's */
	check_err(kt_slot(vm, 0, 0, 0, PAGES(1), (void *)0x800000000000000ul), EINVAL);		/* nobody's */
	check_err(kt_slot(vm, 0, 0, 0, 1ull << 44, m), EINVAL);		/* more pages than the dirty log can count */
	check_err(kt_slot(vm, 0, 0, 0, 0, m), EINVAL);			/* deletes what is not there */
	check_eq(kt_slot(vm, 0, 0, 0, PAGES(1), m), 0);
	check_eq(kt_slot(vm, nr - 1, 0, PAGES(1), PAGES(1), m), 0);
}

TEST(address_spaces)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	int n = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE);
	uint8_t *m = kt_mem(PAGES(16), KT_PAGE);

	n = n < 1 ? 1 : n;
	for (int as = 0; as < n; as++)		/* the same place in each */
		check_eq(kt_slot(vm, as << 16, 0, 0, PAGES(1), m), 0);
	check_err(kt_slot(vm, n << 16, 0, 0, PAGES(1), m), EINVAL);
}

TEST(overlaps)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	uint8_t *m = kt_mem(PAGES(64), KT_PAGE);

	need_ok(kt_slot(vm, 1, 0, PAGES(16), PAGES(8), m));
	check_err(kt_slot(vm, 2, 0, PAGES(16), PAGES(8), m), EEXIST);
	check_err(kt_slot(vm, 2, 0, PAGES(15), PAGES(2), m), EEXIST);
	check_err(kt_slot(vm, 2, 0, PAGES(23), PAGES(2), m), EEXIST);
	check_err(kt_slot(vm, 2, 0, PAGES(18), PAGES(1), m), EEXIST);
	check_err(kt_slot(vm, 2, 0, 0, PAGES(64), m), EEXIST);
	check_eq(kt_slot(vm, 2, 0, PAGES(15), PAGES(1), m), 0);
	check_eq(kt_slot(vm, 3, 0, PAGES(24), PAGES(1), m), 0);
	/* Host memory may be shown twice. */
	check_eq(kt_slot(vm, 4, 0, PAGES(32), PAGES(8), m), 0);
	/* Moves: onto another, onto itself. */
	check_err(kt_slot(vm, 2, 0, PAGES(20), PAGES(1), m), EEXIST);
	check_eq(kt_slot(vm, 4, 0, PAGES(34), PAGES(8), m), 0);
	check_eq(kt_slot(vm, 4, 0, PAGES(25), PAGES(8), m), 0);
	check_err(kt_slot(vm, 4, 0, PAGES(24), PAGES(8), m), EEXIST);
	/* What is deleted is free. */
	check_eq(kt_slot(vm, 1, 0, 0, 0, NULL), 0);
	check_err(kt_slot(vm, 1, 0, 0, 0, NULL), EINVAL);
	check_eq(kt_slot(vm, 5, 0, PAGES(16), PAGES(8), m), 0);
}

TEST(what_may_change)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	uint8_t *m = kt_mem(PAGES(64), KT_PAGE);

	need_ok(kt_slot(vm, 1, 0, 0, PAGES(8), m));
	check_eq(kt_slot(vm, 1, 0, 0, PAGES(8), m), 0);				/* nothing */
	check_err(kt_slot(vm, 1, 0, 0, PAGES(9), m), EINVAL);
	check_err(kt_slot(vm, 1, 0, 0, PAGES(7), m), EINVAL);
	check_err(kt_slot(vm, 1, 0, 0, PAGES(8), m + PAGES(1)), EINVAL);
	check_err(kt_slot(vm, 1, KVM_MEM_READONLY, 0, PAGES(8), m), EINVAL);
	check_eq(kt_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, 0, PAGES(8), m), 0);
	check_eq(kt_slot(vm, 1, 0, 0, PAGES(8), m), 0);
	check_eq(kt_slot(vm, 1, 0, PAGES(64), PAGES(8), m), 0);
	check_eq(kt_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, PAGES(128), PAGES(8), m), 0);	/* both at once */
	check_eq(kt_slot(vm, 1, 0, 0, 0, NULL), 0);
	check_eq(kt_slot(vm, 1, KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES, 0, PAGES(9), m), 0);
}

TEST(second_form)
{
#ifdef KVM_SET_USER_MEMORY_REGION2
	struct kt_vm *vm = kt_vm_new(0, false);
	struct kvm_userspace_memory_region2 r = { .slot = 1, .memory_size = PAGES(1) };

	if (kt_cap(vm, KVM_CAP_USER_MEMORY2) <= 0)
		skip("no KVM_CAP_USER_MEMORY2");
	r.userspace_addr = (uintptr_t)kt_mem(PAGES(1), KT_PAGE);
	check_eq(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &r), 0);
	r.guest_phys_addr = PAGES(4);
	check_eq(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &r), 0);
	r.slot = 2;
	check_err(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &r), EEXIST);
	r.flags = 1u << 31;
	check_err(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &r), EINVAL);
#else
	skip("the headers do not know KVM_SET_USER_MEMORY_REGION2");
#endif
}

/* --- what the guest sees --- */

TEST(move_and_delete)
{
	struct kt_vcpu *v = vcpu();
	uint64_t *m = kt_mem(PAGES(4), KT_PAGE);

	m[0] = 0x1111;
	need_ok(kt_slot(v->vm, 1, 0, GPA, PAGES(4), m));
	check_eq(kt_guest_read(v, KT_WINDOW), 0x1111);
	need_ok(kt_slot(v->vm, 1, 0, GPA + PAGES(8), PAGES(4), m));
	check_eq(kt_try_read(v, KT_WINDOW), KVM_EXIT_MMIO);
	check_eq(v->run->mmio.phys_addr, GPA);
	kt_finish(v);
	check_eq(kt_guest_read(v, KT_WINDOW + PAGES(8)), 0x1111);
	kt_guest_write(v, KT_WINDOW + PAGES(8), 0x2222);
	check_eq(m[0], 0x2222);
	need_ok(kt_slot(v->vm, 1, 0, 0, 0, NULL));
	check_eq(kt_try_write(v, KT_WINDOW + PAGES(8), 0x3333), KVM_EXIT_MMIO);
	check_eq(v->run->mmio.phys_addr, GPA + PAGES(8));
	kt_finish(v);
	check_eq(m[0], 0x2222);
}

TEST(hole_is_mmio)
{
	struct kt_vcpu *v = vcpu();
	uint64_t val = 0x1122334455667788;

	check_eq(kt_try_write(v, KT_WINDOW + 0x120, val), KVM_EXIT_MMIO);
	check_eq(v->run->mmio.phys_addr, GPA + 0x120);
	check_eq(v->run->mmio.len, 8);
	check_eq(v->run->mmio.is_write, 1);
	check(!memcmp(v->run->mmio.data, &val, 8), "other data");
	kt_finish(v);
	check_eq(kt_try_read(v, KT_WINDOW + 0x128), KVM_EXIT_MMIO);
	check_eq(v->run->mmio.is_write, 0);
	memcpy(v->run->mmio.data, &val, 8);
	kt_run(v, KVM_EXIT_IO);
	check_eq(kt_regs(v).rax, val);
	/* Then memory is put there, and the exits end; and again the other way. */
	for (int i = 0; i < 3; i++) {
		need_ok(kt_slot(v->vm, 1, 0, GPA, PAGES(1), kt_mem(PAGES(1), KT_PAGE)));
		kt_guest_write(v, KT_WINDOW + 0x128, 7 + i);
		check_eq(kt_guest_read(v, KT_WINDOW + 0x128), 7 + i);
		need_ok(kt_slot(v->vm, 1, 0, 0, 0, NULL));
		check_eq(kt_try_read(v, KT_WINDOW + 0x128), KVM_EXIT_MMIO);
		kt_finish(v);
	}
}

TEST(read_only)
{
	struct kt_vcpu *v = vcpu();
	uint64_t *m = kt_mem(PAGES(2), KT_PAGE);
	struct kvm_regs r;

	if (kt_cap(v->vm, KVM_CAP_READONLY_MEM) != 1)
		skip("no KVM_CAP_READONLY_MEM");
	m[1] = 0x77;
	memcpy((uint8_t *)m + KT_PAGE, second_page_code, second_page_code_end - second_page_code);
	need_ok(kt_slot(v->vm, 1, KVM_MEM_READONLY, GPA, PAGES(2), m));
	check_eq(kt_guest_read(v, KT_WINDOW + 8), 0x77);
	for (int i = 0; i < 2; i++) {
		check_eq(kt_try_write(v, KT_WINDOW + 8, 0x99), KVM_EXIT_MMIO);
		check_eq(v->run->mmio.is_write, 1);
		check_eq(v->run->mmio.phys_addr, GPA + 8);
		check_eq(v->run->mmio.data[0], 0x99);
		kt_finish(v);
		check_eq(m[1], 0x77);
		check_eq(kt_guest_read(v, KT_WINDOW + 8), 0x77);
	}
	m[1] = 0x78;			/* the host may write */
	check_eq(kt_guest_read(v, KT_WINDOW + 8), 0x78);
	r = kt_regs(v);
	r.rip = KT_WINDOW + KT_PAGE;
	kt_set_regs(v, &r);
	check_eq(kt_run_to_out(v), 0x5a5a);
	/* Deleted and made writable, as flash is. */
	need_ok(kt_slot(v->vm, 1, 0, 0, 0, NULL));
	need_ok(kt_slot(v->vm, 1, 0, GPA, PAGES(2), m));
	kt_guest_write(v, KT_WINDOW + 8, 0x99);
	check_eq(m[1], 0x99);
}

/* A slot that shows host memory which the VMM itself may only read, as a mapped image file. */
TEST(read_only_slot_on_read_only_mapping)
{
	struct kt_vcpu *v = vcpu();
	uint64_t *m = kt_mem(PAGES(1), KT_PAGE);

	m[0] = 5;
	need_ok(mprotect(m, KT_PAGE, PROT_READ));
	need_ok(kt_slot(v->vm, 1, KVM_MEM_READONLY, GPA, PAGES(1), m));
	check_eq(kt_guest_read(v, KT_WINDOW), 5);
	check_eq(kt_try_write(v, KT_WINDOW, 6), KVM_EXIT_MMIO);
	kt_finish(v);
	check_eq(m[0], 5);
}

TEST(host_memory_seen_twice)
{
	struct kt_vcpu *v = vcpu();
	uint64_t *m = kt_mem(PAGES(2), KT_PAGE);

	need_ok(kt_slot(v->vm, 1, 0, GPA, PAGES(2), m));
	need_ok(kt_slot(v->vm, 2, 0, GPA + KT_BIG, PAGES(1), (uint8_t *)m + KT_PAGE));
	kt_guest_write(v, KT_WINDOW + KT_BIG, 42);
	check_eq(kt_guest_read(v, KT_WINDOW + KT_PAGE), 42);
	kt_guest_write(v, KT_WINDOW + KT_PAGE, 43);
	check_eq(kt_guest_read(v, KT_WINDOW + KT_BIG), 43);
	need_ok(kt_slot(v->vm, 1, 0, 0, 0, NULL));
	check_eq(kt_guest_read(v, KT_WINDOW + KT_BIG), 43);
}

TEST(many_slots)
{
	struct kt_vcpu *v = vcpu();
	uint64_t *m = kt_mem(PAGES(1024), KT_PAGE);
	int n = 500;

	need(kt_cap(v->vm, KVM_CAP_NR_MEMSLOTS) >= n + 1);
	for (int i = 0; i < n; i++) {		/* in an order that is not that of the addresses; neighbours in reverse */
		int k = (i * 7) % n;

		m[k * 512] = 1000 + k;
		need_ok(kt_slot(v->vm, 1 + i, 0, GPA + PAGES(k), PAGES(1), m + k * 512));
	}
	for (int k = 0; k < n; k += 13)
		check_eq(kt_guest_read(v, KT_WINDOW + PAGES(k)), 1000 + k);
	for (int i = 0; i < n; i += 2)
		need_ok(kt_slot(v->vm, 1 + i, 0, 0, 0, NULL));
	for (int i = 0; i < n; i += 13) {
		int k = (i * 7) % n, r = kt_try_read(v, KT_WINDOW + PAGES(k));

		check(r == (i & 1 ? KVM_EXIT_IO : KVM_EXIT_MMIO), "slot %d: exit %d", 1 + i, r);
		if (r == KVM_EXIT_MMIO)
			kt_finish(v);
	}
}

/* Large pages must not be used where guest and host addresses differ in their lower 21 bits, or at a slot's rim. */
static void odd_slot(uint64_t gpa_off, uint64_t hva_off, uint64_t pages)
{
	struct kt_vcpu *v = vcpu();
	uint8_t *area = kt_mem(4 * KT_BIG, KT_BIG);
	uint64_t step = PAGES(37);

	madvise(area, 4 * KT_BIG, MADV_HUGEPAGE);
	memset(area, 0xee, 4 * KT_BIG);
	need_ok(kt_slot(v->vm, 1, 0, GPA + gpa_off, PAGES(pages), area + hva_off));
	for (uint64_t at = 0; at < PAGES(pages); at += step)
		kt_guest_write(v, KT_WINDOW + gpa_off + at, 0x10000 + at);
	for (uint64_t at = 0; at < PAGES(pages); at += step)
		check_eq(*(uint64_t *)(area + hva_off + at), 0x10000 + at);
	for (uint64_t at = 0; at < 4 * KT_BIG; at += KT_PAGE) {
		bool written = at >= hva_off && at < hva_off + PAGES(pages) && (at - hva_off) % step == 0;

		check(written || *(uint64_t *)(area + at) == 0xeeeeeeeeeeeeeeee, "host offset %#lx was written", at);
	}
	if (gpa_off)
		check_eq(kt_try_read(v, KT_WINDOW + gpa_off - KT_PAGE), KVM_EXIT_MMIO), kt_finish(v);
	check_eq(kt_try_read(v, KT_WINDOW + gpa_off + PAGES(pages)), KVM_EXIT_MMIO);
}

TEST(large_pages_aligned_alike)
{
	odd_slot(0, 0, 1024);
}

TEST(large_pages_shifted_together)
{
	odd_slot(PAGES(3), PAGES(3), 1200);
}

TEST(large_pages_aligned_differently)
{
	odd_slot(0, PAGES(5), 1024);
	odd_slot(PAGES(511), 0, 1025);
}

/* --- under a running guest --- */

/* Answers reads of a hole with 2, as long as it is told to. */
struct player {
	struct kt_vcpu *v;
	volatile bool stop;
	volatile uint64_t mmio;
	volatile int err;
	pthread_t id;
};

static void *play(void *arg)
{
	struct player *p = arg;
	uint64_t two = 2;

	while (!p->stop) {
		int r = ioctl(p->v->fd, KVM_RUN, 0);

		if (r < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (r < 0 || p->v->run->exit_reason != KVM_EXIT_MMIO) {
			p->err = r < 0 ? errno : 1000 + p->v->run->exit_reason;
			break;
		}
		p->mmio++;
		memcpy(p->v->run->mmio.data, &two, 8);
	}
	return NULL;
}

static void start_play(struct player *p)
{
	kt_catch_usr1();
	need(!pthread_create(&p->id, NULL, play, p));
}

static void stop_play(struct player *p)
{
	p->stop = true;
	p->v->run->immediate_exit = 1;
	pthread_kill(p->id, SIGUSR1);
	pthread_join(p->id, NULL);
	check(!p->err, "the vCPU ended with %d", p->err);
}

/* The guest's last read and how many there were. */
#define SEEN(vm)	kt_guest_u64(vm, KT_DATA)
#define READS(vm)	kt_guest_u64(vm, KT_DATA + 8)

static void next_reads(struct kt_vm *vm)
{
	uint64_t n = READS(vm);

	need(kt_wait(READS(vm) > n + 2), "the guest stands");
}

TEST(limit_on_page_tables)
{
	enum { REGIONS = 96 };
	uint8_t *m = kt_mem(REGIONS * KT_BIG, KT_BIG);
	struct kt_vcpu *v = kt_access_vcpu(false);

	madvise(m, REGIONS * KT_BIG, MADV_NOHUGEPAGE);
	need_ok(kt_slot(v->vm, 1, 0, 0x40000000, REGIONS * KT_BIG, m));
	check_err(ioctl(v->vm->fd, KVM_SET_NR_MMU_PAGES, 63), EINVAL);
	need_ok(ioctl(v->vm->fd, KVM_SET_NR_MMU_PAGES, 64));
	check_eq(ioctl(v->vm->fd, KVM_GET_NR_MMU_PAGES, 0), 64);
	for (int round = 0; round < 2; round++)
		for (uint64_t i = 0; i < REGIONS; i++) {
			kt_window(v, 0x40000000 + i * KT_BIG, 1);
			kt_guest_write(v, KT_WINDOW + 8 * round, i + 1);
		}
	for (uint64_t i = 0; i < REGIONS; i++) {
		check_eq(*(uint64_t *)(m + i * KT_BIG), i + 1);
		check_eq(*(uint64_t *)(m + i * KT_BIG + 8), i + 1);
	}
	munmap(m, REGIONS * KT_BIG);
}

TEST(deleted_and_made_again_while_it_runs)
{
	struct player p = { vcpu() };
	struct kt_vm *vm = p.v->vm;
	uint64_t *m = kt_mem(PAGES(1), KT_PAGE);

	m[0] = 1;
	need_ok(kt_slot(vm, 1, 0, GPA, PAGES(1), m));
	kt_watch(p.v, KT_WINDOW, 1, 0, KT_DATA);
	start_play(&p);
	for (int i = 0; i < 60; i++) {
		next_reads(vm);
		check_eq(SEEN(vm), 1);
		need_ok(kt_slot(vm, 1, 0, 0, 0, NULL));
		next_reads(vm);
		check_eq(SEEN(vm), 2);
		need_ok(kt_slot(vm, 1, 0, GPA, PAGES(1), m));
	}
	stop_play(&p);
	check(p.mmio > 100, "%lu MMIO exits", p.mmio);
}

/* After KVM_SET_USER_MEMORY_REGION returned, nothing is read from or written to the memory any more. */
TEST(no_access_after_deletion)
{
	struct player p = { vcpu() };
	struct kt_vm *vm = p.v->vm;
	uint64_t *m = kt_mem(PAGES(1), KT_PAGE), last;

	need_ok(kt_slot(vm, 1, 0, GPA, PAGES(1), m));
	kt_fill(p.v, KT_WINDOW, 1, 0, KT_DATA);
	start_play(&p);
	for (int i = 0; i < 60; i++) {
		uint64_t done = SEEN(vm);

		need(kt_wait(SEEN(vm) > done + 2), "the guest stands");
		need_ok(kt_slot(vm, 1, 0, 0, 0, NULL));
		last = *(volatile uint64_t *)m;
		done = SEEN(vm);
		need(kt_wait(SEEN(vm) > done + 2), "the guest stands");
		check_eq(*(volatile uint64_t *)m, last);
		need_ok(kt_slot(vm, 1, 0, GPA, PAGES(1), m));
	}
	stop_play(&p);
}

TEST(moved_to_and_fro_while_it_runs)
{
	struct player p = { vcpu() };
	struct kt_vm *vm = p.v->vm;
	uint64_t *m = kt_mem(PAGES(1), KT_PAGE);

	m[0] = 1;
	need_ok(kt_slot(vm, 1, 0, GPA, PAGES(1), m));
	kt_watch(p.v, KT_WINDOW, 1, 0, KT_DATA);
	start_play(&p);
	for (int i = 0; i < 40; i++) {
		need_ok(kt_slot(vm, 1, 0, GPA + PAGES(i + 1), PAGES(1), m));
		next_reads(vm);
		check_eq(SEEN(vm), 2);
		need_ok(kt_slot(vm, 1, 0, GPA, PAGES(1), m));
		next_reads(vm);
		check_eq(SEEN(vm), 1);
	}
	stop_play(&p);
}

/* What a firmware's shadowing makes of it: many small slots come and go while the guest runs from another one. */
TEST(churn_beside_a_running_guest)
{
	struct player p = { vcpu() };
	struct kt_vm *vm = p.v->vm;
	uint8_t *m = kt_mem(PAGES(64), KT_PAGE);

	*(uint64_t *)m = 1;
	need_ok(kt_slot(vm, 1, 0, GPA, PAGES(1), m));
	kt_watch(p.v, KT_WINDOW, 1, 0, KT_DATA);
	start_play(&p);
	for (int i = 0; i < 10; i++) {
		for (int k = 1; k < 16; k++)
			need_ok(kt_slot(vm, 1 + k, k & 1 ? KVM_MEM_READONLY : 0, GPA + PAGES(k), PAGES(1), m + PAGES(k)));
		next_reads(vm);
		check_eq(SEEN(vm), 1);
		for (int k = 1; k < 16; k++)
			need_ok(kt_slot(vm, 1 + k, 0, 0, 0, NULL));
	}
	stop_play(&p);
	check_eq(p.mmio, 0);
}

KT_MAIN
