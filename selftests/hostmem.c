// SPDX-License-Identifier: GPL-2.0-only
/* Memory slots over host memory that changes: what the VMM's mm does, the guest sees, also while it runs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/wait.h>
#include "lib/access.h"

#define GPA	0x40000000ull
#define SEEN(vm)	kt_guest_u64(vm, KT_DATA)
#define READS(vm)	kt_guest_u64(vm, KT_DATA + 8)

/* One vCPU and a slot of size bytes at GPA over mem, shown at KT_WINDOW. */
static struct kt_vcpu *vcpu_over(void *mem, uint64_t size)
{
	struct kt_vcpu *v = kt_access_vcpu(false);

	kt_window(v, GPA, 8);
	need_ok(kt_slot(v->vm, 1, 0, GPA, size, mem));
	return v;
}

static void next_reads(struct kt_vm *vm)
{
	uint64_t n = READS(vm);

	need(kt_wait(READS(vm) > n + 2), "the guest stands");
}

static int tmp_file(size_t size)
{
	int fd = memfd_create("selftest", 0);

	need(fd >= 0, "memfd: %s", strerror(errno));
	need_ok(ftruncate(fd, size));
	return fd;
}

/* --- standing guests --- */

TEST(untouched_memory_reads_zero)
{
	volatile uint64_t *m = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over((void *)m, KT_BIG);

	check_eq(kt_guest_read(v, KT_WINDOW), 0);
	m[0] = 7;			/* replaces the zero page that the guest read */
	check_eq(kt_guest_read(v, KT_WINDOW), 7);
	kt_guest_write(v, KT_WINDOW + 0x5000, 8);
	check_eq(m[0x5000 / 8], 8);
}

TEST(no_memory_behind_the_slot)
{
	uint8_t *m = kt_mem(2 * KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over(m, KT_BIG);

	need_ok(munmap(m, KT_PAGE));
	check_eq(kt_try_read(v, KT_WINDOW), -EFAULT);
	check_eq(kt_try_write(v, KT_WINDOW, 1), -EFAULT);
	need(mmap(m, KT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == m);
	kt_run(v, KVM_EXIT_IO);			/* the same instruction goes on */
	check_eq(*(uint64_t *)m, 1);
	check_eq(kt_guest_read(v, KT_WINDOW + KT_PAGE), 0);
}

TEST(unmapped_after_use)
{
	uint8_t *m = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over(m, KT_BIG);

	for (uint64_t at = 0; at < 0x10000; at += KT_PAGE)
		kt_guest_write(v, KT_WINDOW + at, at + 1);
	need_ok(munmap(m + 0x4000, 0x2000));
	for (uint64_t at = 0; at < 0x10000; at += KT_PAGE) {
		bool gone = at == 0x4000 || at == 0x5000;

		check_eq(kt_try_read(v, KT_WINDOW + at), gone ? -EFAULT : KVM_EXIT_IO);
		if (!gone)
			check_eq(kt_regs(v).rax, at + 1);
	}
}

TEST(protection_counts)
{
	uint8_t *m = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over(m, KT_BIG);

	kt_guest_write(v, KT_WINDOW, 1);
	need_ok(mprotect(m, KT_PAGE, PROT_READ));
	check_eq(kt_guest_read(v, KT_WINDOW), 1);
	check_eq(kt_try_write(v, KT_WINDOW, 2), -EFAULT);
	check_eq(*(uint64_t *)m, 1);
	check_eq(kt_guest_read(v, KT_WINDOW), 1);
	need_ok(mprotect(m, KT_PAGE, PROT_NONE));
	check_eq(kt_try_read(v, KT_WINDOW), -EFAULT);
	need_ok(mprotect(m, KT_PAGE, PROT_READ | PROT_WRITE));
	kt_guest_write(v, KT_WINDOW, 3);
	check_eq(*(uint64_t *)m, 3);
}

TEST(discarded)
{
	uint8_t *m = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over(m, KT_BIG);

	madvise(m, KT_BIG, MADV_HUGEPAGE);
	memset(m, 0x11, KT_BIG);
	for (uint64_t at = 0; at < KT_BIG; at += 0x10000)
		check_eq(kt_guest_read(v, KT_WINDOW + at), 0x1111111111111111);
	need_ok(madvise(m + 0x40000, 0x10000, MADV_DONTNEED));
	for (uint64_t at = 0; at < KT_BIG; at += 0x10000)
		check_eq(kt_guest_read(v, KT_WINDOW + at), at == 0x40000 ? 0 : 0x1111111111111111);
	need_ok(madvise(m, KT_BIG, MADV_DONTNEED));
	for (uint64_t at = 0; at < KT_BIG; at += 0x10000)
		check_eq(kt_guest_read(v, KT_WINDOW + at), 0);
}

TEST(moved_away)
{
	uint8_t *m = kt_mem(KT_BIG, KT_BIG), *away = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over(m, KT_BIG);

	memset(m, 0x22, KT_BIG);
	check_eq(kt_guest_read(v, KT_WINDOW + 0x3000), 0x2222222222222222);
	need(mremap(m, KT_BIG, KT_BIG, MREMAP_MAYMOVE | MREMAP_FIXED, away) == away);
	check_eq(kt_try_read(v, KT_WINDOW + 0x3000), -EFAULT);
	need(mmap(m, KT_BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == m);
	check_eq(kt_guest_read(v, KT_WINDOW + 0x3000), 0);
	kt_guest_write(v, KT_WINDOW + 0x3000, 5);
	check_eq(*(uint64_t *)(away + 0x3000), 0x2222222222222222);
	check_eq(*(uint64_t *)(m + 0x3000), 5);
}

TEST(shared_file)
{
	int fd = tmp_file(KT_BIG);
	uint64_t val = 0x1234;
	uint8_t *m = mmap(NULL, KT_BIG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct kt_vcpu *v = vcpu_over(m, KT_BIG);

	check_eq(pwrite(fd, &val, 8, 0x3000), 8);
	check_eq(kt_guest_read(v, KT_WINDOW + 0x3000), val);
	kt_guest_write(v, KT_WINDOW + 0x3000, 0x5678);
	check_eq(pread(fd, &val, 8, 0x3000), 8);
	check_eq(val, 0x5678);
	/* A hole is punched, and the file cut. */
	need_ok(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0x3000, KT_PAGE));
	check_eq(kt_guest_read(v, KT_WINDOW + 0x3000), 0);
	kt_guest_write(v, KT_WINDOW + 0x8000, 1);
	need_ok(ftruncate(fd, 0x8000));
	check_eq(kt_guest_read(v, KT_WINDOW + 0x3000), 0);
	check_eq(kt_try_read(v, KT_WINDOW + 0x8000), -EFAULT);
}

TEST(private_file)
{
	int fd = tmp_file(KT_BIG);
	uint64_t val = 0x1234;
	uint8_t *m = mmap(NULL, KT_BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	struct kt_vcpu *v = vcpu_over(m, KT_BIG);

	check_eq(pwrite(fd, &val, 8, 0), 8);
	check_eq(kt_guest_read(v, KT_WINDOW), val);
	kt_guest_write(v, KT_WINDOW, 0x9999);		/* a copy of its own */
	check_eq(*(uint64_t *)m, 0x9999);
	check_eq(pread(fd, &val, 8, 0), 8);
	check_eq(val, 0x1234);
	check_eq(kt_guest_read(v, KT_WINDOW), 0x9999);
}

TEST(hugetlb)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "r+");
	struct kt_vcpu *v;
	uint8_t *m;

	if (!f || fprintf(f, "4\n") < 0 || fflush(f))
		skip("no large pages can be reserved");
	m = mmap(NULL, 2 * KT_BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (m == MAP_FAILED)
		skip("no large pages to be had: %s", strerror(errno));
	v = vcpu_over(m, 2 * KT_BIG);
	for (uint64_t at = 0; at < 2 * KT_BIG; at += 0x8000)
		kt_guest_write(v, KT_WINDOW + at, at + 1);
	for (uint64_t at = 0; at < 2 * KT_BIG; at += 0x8000)
		check_eq(*(uint64_t *)(m + at), at + 1);
	need_ok(munmap(m, KT_BIG));
	check_eq(kt_try_read(v, KT_WINDOW), -EFAULT);
	check_eq(kt_guest_read(v, KT_WINDOW + KT_BIG), KT_BIG + 1);
	munmap(m + KT_BIG, KT_BIG);
	rewind(f);
	fprintf(f, "0\n");
	fclose(f);
}

/* Pages of a parent and its child are shared until one writes: the guest's writes are the parent's. */
static void forked(uint8_t *m)
{
	struct kt_vcpu *v = vcpu_over(m, KT_BIG);
	int go[2], status;
	char c;
	pid_t pid;

	for (uint64_t at = 0; at < 0x20000; at += KT_PAGE)
		kt_guest_write(v, KT_WINDOW + at, 0xaaaa);
	need_ok(pipe(go));
	pid = fork();
	if (!pid) {
		int bad = read(go[0], &c, 1) != 1;

		for (uint64_t at = 0; at < 0x20000; at += KT_PAGE)
			bad |= *(volatile uint64_t *)(m + at) != 0xaaaa;
		*(volatile uint64_t *)(m + 0x10000) = 0xcccc;
		_exit(bad);
	}
	for (uint64_t at = 0; at < 0x10000; at += KT_PAGE)
		kt_guest_write(v, KT_WINDOW + at, 0xbbbb);
	check_eq(write(go[1], "x", 1), 1);
	waitpid(pid, &status, 0);
	check_eq(status, 0);
	for (uint64_t at = 0; at < 0x20000; at += KT_PAGE) {
		uint64_t want = at < 0x10000 ? 0xbbbb : 0xaaaa;

		check_eq(*(uint64_t *)(m + at), want);
		check_eq(kt_guest_read(v, KT_WINDOW + at), want);
	}
}

TEST(fork_small_pages)
{
	uint8_t *m = kt_mem(KT_BIG, KT_BIG);

	madvise(m, KT_BIG, MADV_NOHUGEPAGE);
	forked(m);
}

TEST(fork_large_page)
{
	uint8_t *m = kt_mem(KT_BIG, KT_BIG);

	madvise(m, KT_BIG, MADV_HUGEPAGE);
	forked(m);
}

/* Written out to where there is no swap, pages stay; where there is, they come back. */
TEST(paged_out)
{
	uint8_t *m = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over(m, KT_BIG);

	for (uint64_t at = 0; at < KT_BIG; at += 0x8000)
		kt_guest_write(v, KT_WINDOW + at, at + 5);
	if (madvise(m, KT_BIG, 21 /* MADV_PAGEOUT */))
		skip("no MADV_PAGEOUT: %s", strerror(errno));
	for (uint64_t at = 0; at < KT_BIG; at += 0x8000)
		check_eq(kt_guest_read(v, KT_WINDOW + at), at + 5);
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

TEST(merged_pages)
{
	uint8_t *m = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v;

	madvise(m, KT_BIG, MADV_NOHUGEPAGE);
	if (madvise(m, KT_BIG, MADV_MERGEABLE) || !write_file("/sys/kernel/mm/ksm/pages_to_scan", "4000") ||
	    !write_file("/sys/kernel/mm/ksm/sleep_millisecs", "10"))
		skip("no KSM");
	v = vcpu_over(m, KT_BIG);
	for (uint64_t at = 0; at < 0x20000; at += KT_PAGE)
		kt_guest_write(v, KT_WINDOW + at, 0xabcdef);
	write_file("/sys/kernel/mm/ksm/run", "1");
	if (!kt_wait(kt_read_number("/sys/kernel/mm/ksm/pages_sharing") > 20)) {
		write_file("/sys/kernel/mm/ksm/run", "0");
		skip("KSM merges nothing");
	}
	kt_guest_write(v, KT_WINDOW + 0x3000, 1);
	kt_guest_write(v, KT_WINDOW + 0x7000, 2);
	write_file("/sys/kernel/mm/ksm/run", "0");
	for (uint64_t at = 0; at < 0x20000; at += KT_PAGE) {
		uint64_t want = at == 0x3000 ? 1 : at == 0x7000 ? 2 : 0xabcdef;

		check_eq(*(uint64_t *)(m + at), want);
		check_eq(kt_guest_read(v, KT_WINDOW + at), want);
	}
}

/* --- running guests --- */

TEST(replaced_while_the_guest_reads)
{
	volatile uint64_t *m = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over((void *)m, KT_BIG);
	struct kt_thread *t;

	kt_watch(v, KT_WINDOW, 1, 0, KT_DATA);
	t = kt_start(v);
	for (uint64_t i = 1; i < 100; i++) {
		if (i % 3 == 0)
			need_ok(madvise((void *)m, KT_BIG, i & 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
		need_ok(madvise((void *)m, i & 4 ? KT_BIG : KT_PAGE, MADV_DONTNEED));
		next_reads(v->vm);
		check_eq(SEEN(v->vm), 0);
		m[0] = i;
		next_reads(v->vm);
		check_eq(SEEN(v->vm), i);
	}
	kt_stop_well(t);
}

/* The guest's writes to a page that is thrown away are gone; those after it are there. */
TEST(replaced_while_the_guest_writes)
{
	volatile uint64_t *m = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over((void *)m, KT_BIG);
	struct kt_thread *t;

	kt_fill(v, KT_WINDOW, 4, KT_PAGE, KT_DATA);
	t = kt_start(v);
	for (int i = 0; i < 100; i++) {
		uint64_t n;

		need_ok(madvise((void *)m, KT_BIG, MADV_DONTNEED));
		n = SEEN(v->vm);
		need(kt_wait(SEEN(v->vm) > n + 2), "the guest stands");
		for (int k = 0; k < 4; k++)
			check(m[k * 512] >= n, "page %d holds %lu after the guest wrote %lu", k, m[k * 512], n);
	}
	kt_stop_well(t);
}

/* What a child holds of a page must not change when the guest goes on writing. */
TEST(fork_while_the_guest_writes)
{
	uint64_t *m = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over(m, KT_BIG);
	struct kt_thread *t;

	kt_fill(v, KT_WINDOW, 1, 0, KT_DATA);
	t = kt_start(v);
	for (int i = 0; i < 12; i++) {
		int status;
		uint64_t n = SEEN(v->vm);
		pid_t pid;

		madvise(m, KT_BIG, i & 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		if (i % 4 == 3)
			need_ok(madvise(m, KT_BIG, MADV_DONTNEED));
		need(kt_wait(SEEN(v->vm) > n + 2), "the guest stands");
		pid = fork();
		if (!pid) {
			volatile uint64_t *p = m;
			uint64_t first = p[0];

			for (int k = 0; k < 20; k++) {
				usleep(500);
				if (p[0] != first)
					_exit(1);
			}
			_exit(0);
		}
		waitpid(pid, &status, 0);
		check(WIFEXITED(status) && !WEXITSTATUS(status), "round %d: the guest writes into the child's copy", i);
		n = SEEN(v->vm);
		need(kt_wait(SEEN(v->vm) > n + 2), "the guest stands after round %d", i);
		check(*(volatile uint64_t *)m >= n, "the guest's writes are lost after round %d", i);
	}
	kt_stop_well(t);
}

TEST(taken_away_while_the_guest_runs)
{
	uint8_t *m = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over(m, KT_BIG);
	struct kt_thread *t;

	kt_watch(v, KT_WINDOW, 16, KT_PAGE, KT_DATA);
	for (int i = 0; i < 10; i++) {
		t = kt_start(v);
		next_reads(v->vm);
		if (i & 1)
			need_ok(mprotect(m + 0x8000, KT_PAGE, PROT_NONE));
		else
			need_ok(munmap(m + 0x8000, KT_PAGE));
		check(kt_wait(t->ended), "the guest goes on");
		kt_stop(t);
		check_eq(t->err, EFAULT);
		need(mmap(m + 0x8000, KT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	}
}

/* Protection under a writing guest: after mprotect() returned no write goes through. */
TEST(protected_while_the_guest_writes)
{
	volatile uint64_t *m = kt_mem(KT_BIG, KT_BIG);
	struct kt_vcpu *v = vcpu_over((void *)m, KT_BIG);
	struct kt_thread *t;

	kt_fill(v, KT_WINDOW, 1, 0, KT_DATA);
	for (int i = 0; i < 30; i++) {
		uint64_t n = SEEN(v->vm), now;

		t = kt_start(v);
		need(kt_wait(SEEN(v->vm) > n + 2), "the guest stands");
		need_ok(mprotect((void *)m, KT_PAGE, PROT_READ));
		now = m[0];
		for (int k = 0; k < 1000; k++)
			check_eq(m[0], now);
		check(kt_wait(t->ended), "the guest goes on");
		kt_stop(t);
		check_eq(t->err, EFAULT);
		check_eq(m[0], now);
		need_ok(mprotect((void *)m, KT_PAGE, PROT_READ | PROT_WRITE));
	}
}

KT_MAIN
