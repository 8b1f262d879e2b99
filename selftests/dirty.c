// SPDX-License-Identifier: GPL-2.0-only
/* The dirty log: what it shows, what clears it, and that no write is lost while guests run. */
#include "lib/access.h"

#define GPA		0x40000000ull
#define SLOT_PAGES	2048ull			/* 8 MB */
#define SIZE		(SLOT_PAGES * KT_PAGE)
#define WORDS		(SLOT_PAGES / 64)
#define LOG		KVM_MEM_LOG_DIRTY_PAGES

static uint64_t bits[WORDS];

static int get_log(struct kt_vm *vm, uint32_t slot, void *to)
{
	struct kvm_dirty_log l = { .slot = slot, .dirty_bitmap = to };

	return ioctl(vm->fd, KVM_GET_DIRTY_LOG, &l);
}

static int clear_log(struct kt_vm *vm, uint32_t slot, uint64_t first, uint32_t n, void *from)
{
	struct kvm_clear_dirty_log l = { .slot = slot, .first_page = first, .num_pages = n, .dirty_bitmap = from };

	return ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &l);
}

static bool bit(uint64_t page)
{
	return bits[page / 64] >> page % 64 & 1;
}

static uint64_t count(void)
{
	uint64_t n = 0;

	for (int i = 0; i < WORDS; i++)
		n += __builtin_popcountll(bits[i]);
	return n;
}

/* The log now; need()s that it comes. */
static uint64_t log_of(struct kt_vm *vm)
{
	memset(bits, 0x5a, sizeof(bits));
	need_ok(get_log(vm, 1, bits));
	return count();
}

static uint64_t *mem;

/* A vCPU, slot 1 over 8 MB (advice as given) at KT_WINDOW, with protect as KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 unless 0. */
static struct kt_vcpu *vcpu_with(int advice, uint32_t flags, uint64_t protect)
{
	struct kt_vcpu *v = kt_access_vcpu(false);

	if (protect && kt_enable_cap(v->vm->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, protect))
		skip("no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 of %lu", protect);
	mem = kt_mem(SIZE, KT_BIG);
	madvise(mem, SIZE, advice);
	memset(mem, 0, SIZE);
	kt_window(v, GPA, 4);
	need_ok(kt_slot(v->vm, 1, flags, GPA, SIZE, mem));
	return v;
}

static void set_flags(struct kt_vcpu *v, uint32_t flags)
{
	need_ok(kt_slot(v->vm, 1, flags, GPA, SIZE, mem));
}

static void write_page(struct kt_vcpu *v, uint64_t page)
{
	kt_guest_write(v, KT_WINDOW + page * KT_PAGE + 8, page);
}

/* --- refusals --- */

TEST(refusals)
{
	struct kt_vcpu *v = vcpu_with(MADV_NOHUGEPAGE, LOG, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	uint32_t nr = need_ok(kt_cap(v->vm, KVM_CAP_NR_MEMSLOTS));

	check_err(get_log(v->vm, 0, bits), ENOENT);		/* it does not log */
	check_err(get_log(v->vm, 2, bits), ENOENT);		/* there is none */
	check_err(get_log(v->vm, nr, bits), EINVAL);
	check_err(get_log(v->vm, 0xffff0001, bits), EINVAL);
	check_err(get_log(v->vm, 1, (void *)1), EFAULT);
	memset(bits, 0, sizeof(bits));
	check_err(clear_log(v->vm, 0, 0, 64, bits), ENOENT);
	check_err(clear_log(v->vm, 2, 0, 64, bits), ENOENT);
	check_err(clear_log(v->vm, nr, 0, 64, bits), EINVAL);
	check_err(clear_log(v->vm, 0xffff0001, 0, 64, bits), EINVAL);
	check_err(clear_log(v->vm, 1, 1, 64, bits), EINVAL);
	check_err(clear_log(v->vm, 1, 63, 64, bits), EINVAL);
	check_err(clear_log(v->vm, 1, 0, 63, bits), EINVAL);
	check_err(clear_log(v->vm, 1, 64, SLOT_PAGES, bits), EINVAL);
	check_err(clear_log(v->vm, 1, SLOT_PAGES + 64, 64, bits), EINVAL);
	check_err(clear_log(v->vm, 1, -64ull, 64, bits), EINVAL);
	check_err(clear_log(v->vm, 1, 0, 64, (void *)1), EFAULT);
	check_eq(clear_log(v->vm, 1, 0, SLOT_PAGES, bits), 0);
	check_eq(clear_log(v->vm, 1, SLOT_PAGES - 64, 64, bits), 0);
}

/* A slot's last pages may be cleared although they are no multiple of 64. */
TEST(odd_end)
{
	struct kt_vcpu *v = vcpu_with(MADV_NOHUGEPAGE, 0, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	uint64_t some[4] = { 0 }, all[4] = { -1ull, -1ull, -1ull, -1ull };

	need_ok(kt_slot(v->vm, 1, 0, 0, 0, NULL));
	need_ok(kt_slot(v->vm, 1, LOG, GPA, 100 * KT_PAGE, mem));
	kt_guest_write(v, KT_WINDOW + 99 * KT_PAGE, 1);
	kt_guest_write(v, KT_WINDOW, 1);
	need_ok(get_log(v->vm, 1, some));
	check_eq(some[0], 1);
	check_eq(some[1], 1ull << 35);
	check_eq(some[2], 0);			/* two words and no more */
	check_err(clear_log(v->vm, 1, 64, 35, all), EINVAL);
	check_err(clear_log(v->vm, 1, 64, 37, all), EINVAL);
	check_eq(clear_log(v->vm, 1, 64, 36, all), 0);
	need_ok(get_log(v->vm, 1, some));
	check_eq(some[0], 1);
	check_eq(some[1], 0);
	check_eq(clear_log(v->vm, 1, 0, 100, all), 0);
	need_ok(get_log(v->vm, 1, some));
	check_eq(some[0] | some[1], 0);
}

TEST(protect_flags)
{
	struct kt_vm *vm = kt_vm_new(0, false);
	int all = kt_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);

	if (all <= 0)
		skip("no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	check_err(kt_enable_cap(vm->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, all + 1), EINVAL);
	check_err(kt_enable_cap(vm->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1ull << 40 | 1), EINVAL);
	check_err(kt_enable_cap(vm->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_INITIALLY_SET), EINVAL);
	check_eq(kt_enable_cap(vm->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, all), 0);
	check_eq(kt_enable_cap(vm->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 0), 0);
}

/* --- get and clear in one --- */

static void logs_writes(int advice)
{
	struct kt_vcpu *v = vcpu_with(advice, 0, 0);

	write_page(v, 3);			/* mapped writable, maybe large, before logging starts */
	write_page(v, 700);
	set_flags(v, LOG);
	check_eq(log_of(v->vm), 0);
	write_page(v, 3);
	write_page(v, 511);
	write_page(v, 512);
	write_page(v, SLOT_PAGES - 1);
	check_eq(log_of(v->vm), 4);
	check(bit(3) && bit(511) && bit(512) && bit(SLOT_PAGES - 1));
	check_eq(log_of(v->vm), 0);
	write_page(v, 3);
	check_eq(log_of(v->vm), 1);
	check(bit(3));
	mem[10 * 512] = 1;			/* the host's own writes are its own business */
	check_eq(log_of(v->vm), 0);
	set_flags(v, 0);
	check_err(get_log(v->vm, 1, bits), ENOENT);
	write_page(v, 5);
	set_flags(v, LOG);			/* from the beginning */
	check_eq(log_of(v->vm), 0);
	write_page(v, 5);
	check_eq(log_of(v->vm), 1);
	for (uint64_t p = 0; p < SLOT_PAGES; p += 61)
		write_page(v, p);
	check_eq(log_of(v->vm), (SLOT_PAGES + 60) / 61);
	for (uint64_t p = 0; p < SLOT_PAGES; p++)
		check_eq(bit(p), p % 61 == 0);
}

TEST(small_pages)
{
	logs_writes(MADV_NOHUGEPAGE);
}

TEST(large_pages)
{
	logs_writes(MADV_HUGEPAGE);
}

/* The bits that could not be handed over are not lost. */
TEST(bad_pointer_keeps_the_bits)
{
	struct kt_vcpu *v = vcpu_with(MADV_NOHUGEPAGE, LOG, 0);

	log_of(v->vm);
	write_page(v, 77);
	check_err(get_log(v->vm, 1, (void *)1), EFAULT);
	if (kt_distro())
		return;				/* loses them */
	check_eq(log_of(v->vm), 1);
	check(bit(77));
}

/* Writes by KVM itself: an emulated or string access, and the state it keeps in guest memory. */
TEST(kernels_writes_count)
{
	GUEST64(ins, "mov $0x1234, %edx\n mov $4, %ecx\n cld\n rep insl\n mov $0x1000, %edx\n out %eax, %dx\n hlt\n");
	struct kt_vcpu *v = vcpu_with(MADV_NOHUGEPAGE, LOG, 0);
	struct kvm_regs r = kt_regs(v);

	kt_put(v->vm, KT_CODE + 0x800, ins, ins_end - ins);
	log_of(v->vm);
	r.rip = KT_CODE + 0x800;
	r.rdi = KT_WINDOW + 20 * KT_PAGE - 8;	/* two to either side */
	kt_set_regs(v, &r);
	for (;;) {
		kt_run(v, KVM_EXIT_IO);
		if (v->run->io.port != 0x1234)
			break;
		memset((uint8_t *)v->run + v->run->io.data_offset, 0x77, v->run->io.size * v->run->io.count);
	}
	check_eq(mem[20 * 512], 0x7777777777777777);
	check_eq(log_of(v->vm), 2);
	check(bit(19) && bit(20));
	if (kt_set_msr(v, 0x4b564d01, (GPA + 30 * KT_PAGE) | 1) != 1)
		return;
	kt_guest_read(v, KT_WINDOW);		/* and may count as a write, if it maps the page writable */
	log_of(v->vm);
	check(bit(30), "kvmclock's page is not in the log");
	check(!bit(31) && !bit(20));
}

/* --- get and clear apart --- */

TEST(manual_clear)
{
	struct kt_vcpu *v = vcpu_with(MADV_HUGEPAGE, 0, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	uint64_t some[2] = { 1ull << 5, 0 };

	write_page(v, 5);
	set_flags(v, LOG);
	check_eq(log_of(v->vm), 0);
	write_page(v, 5);
	write_page(v, 6);
	write_page(v, 70);
	for (int i = 0; i < 2; i++)		/* reading changes nothing */
		check_eq(log_of(v->vm), 3);
	check_eq(clear_log(v->vm, 1, 0, 64, some), 0);
	check_eq(log_of(v->vm), 2);
	check(!bit(5) && bit(6) && bit(70));
	write_page(v, 5);			/* protected again, so seen again */
	write_page(v, 6);
	check_eq(log_of(v->vm), 3);
	some[0] = 0;
	some[1] = -1ull;
	check_eq(clear_log(v->vm, 1, 0, 128, some), 0);
	check_eq(log_of(v->vm), 2);
	check(bit(5) && bit(6));
	memset(bits, 0xff, sizeof(bits));	/* also pages that are not dirty */
	check_eq(clear_log(v->vm, 1, 0, SLOT_PAGES, bits), 0);
	check_eq(log_of(v->vm), 0);
	write_page(v, 2000);
	check_eq(log_of(v->vm), 1);
	check(bit(2000));
}

TEST(all_dirty_at_first)
{
	struct kt_vcpu *v = vcpu_with(MADV_HUGEPAGE, 0, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);

	for (uint64_t p = 0; p < SLOT_PAGES; p += 100)
		write_page(v, p);
	set_flags(v, LOG);
	check_eq(log_of(v->vm), SLOT_PAGES);
	check_eq(clear_log(v->vm, 1, 0, SLOT_PAGES, bits), 0);
	check_eq(log_of(v->vm), 0);
	for (uint64_t p = 0; p < SLOT_PAGES; p += 100)
		write_page(v, p);
	check_eq(log_of(v->vm), (SLOT_PAGES + 99) / 100);
	for (uint64_t p = 0; p < SLOT_PAGES; p += 100)
		check(bit(p), "page %lu is missing", p);
}

/* A part is cleared: the rest of a large page stays dirty, and may be written without being noted twice. */
TEST(portions_of_a_large_page)
{
	struct kt_vcpu *v = vcpu_with(MADV_HUGEPAGE, LOG, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	uint64_t all[2] = { -1ull, -1ull };

	for (uint64_t first = 0; first < SLOT_PAGES; first += 128) {
		check_eq(clear_log(v->vm, 1, first, 128, all), 0);
		write_page(v, first + 65);
		check_eq(log_of(v->vm), SLOT_PAGES - first - 128 + first / 128 + 1);
		check(bit(first + 65));
	}
}

/* --- running guests --- */

/*
 * As a migration does it: guests write all the time; pages in the log are copied once their bits are taken. When the guests have
 * stopped and the last bits are served, the copy must be the memory.
 */
struct copy {
	uint64_t start[SLOT_PAGES][2];		/* each page's first words are all that is written */
};
static struct copy copy;

static void copy_page(uint64_t p)
{
	copy.start[p][0] = ((volatile uint64_t *)mem)[p * 512];
	copy.start[p][1] = ((volatile uint64_t *)mem)[p * 512 + 1];
}

static void collect(struct kt_vm *vm, bool manual)
{
	need_ok(get_log(vm, 1, bits));
	/* In portions, so that large pages are split in parts of them. */
	for (uint64_t first = 0; manual && first < SLOT_PAGES; first += 256)
		need_ok(clear_log(vm, 1, first, 256, bits + first / 64));
	for (uint64_t p = 0; p < SLOT_PAGES; p++)
		if (bit(p))
			copy_page(p);
}

#define PLACE(i)	((i) * 37ull)		/* page i of the guests' loops */
#define PLACES		50

static void nothing_lost(int advice, uint64_t protect, int vcpus)
{
	struct kt_vcpu *v[2] = { vcpu_with(advice, 0, protect) };
	struct kt_thread *t[2];
	uint64_t wrong = 0;

	if (vcpus == 2)
		v[1] = kt_vcpu_new(v[0]->vm, 1, KT_LONG);
	for (int i = 0; i < vcpus; i++) {
		kt_window(v[i], GPA, 4);
		kt_fill(v[i], KT_WINDOW + i * 8, PLACES, 37 * KT_PAGE, KT_DATA + i * 8);
		t[i] = kt_start(v[i]);
	}
	for (int i = 0; i < vcpus; i++)
		need(kt_wait(kt_guest_u64(v[i]->vm, KT_DATA + i * 8) > 2));
	set_flags(v[0], LOG);
	for (uint64_t p = 0; p < SLOT_PAGES; p++)
		copy_page(p);
	for (int round = 0; round < 30; round++) {
		uint64_t old = kt_guest_u64(v[0]->vm, KT_DATA);

		/* Some rounds find the guests in the middle of their loop. */
		need(kt_wait(kt_guest_u64(v[0]->vm, KT_DATA) > old + round % 3), "the guest stands");
		collect(v[0]->vm, protect);
	}
	for (int i = 0; i < vcpus; i++)
		kt_stop_well(t[i]);
	collect(v[0]->vm, protect);
	for (uint64_t p = 0; p < SLOT_PAGES; p++)
		wrong += copy.start[p][0] != mem[p * 512] || copy.start[p][1] != mem[p * 512 + 1];
	check(!wrong, "%lu pages differ from the copy", wrong);
	collect(v[0]->vm, protect);
	check_eq(count(), 0);
	for (int i = 0; i < PLACES; i += 3)
		write_page(v[0], PLACE(i));
	check_eq(log_of(v[0]->vm), (PLACES + 2) / 3);
}

TEST(nothing_lost_one_vcpu)
{
	nothing_lost(MADV_NOHUGEPAGE, 0, 1);
}

TEST(nothing_lost_two_vcpus)
{
	nothing_lost(MADV_NOHUGEPAGE, 0, 2);
}

TEST(nothing_lost_large_pages)
{
	nothing_lost(MADV_HUGEPAGE, 0, 2);
}

TEST(nothing_lost_manual)
{
	nothing_lost(MADV_HUGEPAGE, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, 2);
}

TEST(nothing_lost_all_dirty_at_first)
{
	nothing_lost(MADV_HUGEPAGE, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET, 2);
}

/* Logging is switched on and off, as for a framebuffer or a migration that is called off; the guest goes on at full speed. */
TEST(on_and_off_while_it_writes)
{
	struct kt_vcpu *v = vcpu_with(MADV_HUGEPAGE, 0, 0);
	struct kt_thread *t;

	kt_fill(v, KT_WINDOW, PLACES, 37 * KT_PAGE, KT_DATA);
	t = kt_start(v);
	for (int i = 0; i < 15; i++) {
		uint64_t n;

		set_flags(v, LOG);
		n = kt_guest_u64(v->vm, KT_DATA);
		need(kt_wait(kt_guest_u64(v->vm, KT_DATA) > n + 1), "the guest stands");
		check_eq(log_of(v->vm), PLACES);
		n = kt_guest_u64(v->vm, KT_DATA);
		set_flags(v, 0);
		need(kt_wait(kt_guest_u64(v->vm, KT_DATA) > n + 1), "the guest stands");
	}
	kt_stop_well(t);
	for (int i = 0; i < PLACES; i++)
		check(mem[PLACE(i) * 512] >= kt_guest_u64(v->vm, KT_DATA));
}

/* Many more pages than a log kept by hardware takes, written by one KVM_RUN. */
TEST(every_page_at_once)
{
	struct kt_vcpu *v = vcpu_with(MADV_NOHUGEPAGE, LOG, 0);
	struct kt_thread *t;

	for (int i = 0; i < 3; i++) {
		kt_guest_u64(v->vm, KT_DATA) = 0;
		kt_fill(v, KT_WINDOW, SLOT_PAGES, KT_PAGE, KT_DATA);
		t = kt_start(v);
		need(kt_wait(kt_guest_u64(v->vm, KT_DATA) > 0), "the guest stands");
		kt_stop_well(t);
		check_eq(log_of(v->vm), SLOT_PAGES);
		check_eq(log_of(v->vm), 0);
		write_page(v, 7);
		check_eq(log_of(v->vm), 1);
		check(bit(7));
	}
}

/* What was written while nobody logged is not in the log, though the page was not touched since it was harvested. */
TEST(writes_before_logging_do_not_count)
{
	struct kt_vcpu *v = vcpu_with(MADV_NOHUGEPAGE, LOG, 0);

	for (uint64_t p = 0; p < 20; p++)
		write_page(v, p);
	check_eq(log_of(v->vm), 20);
	set_flags(v, 0);
	for (uint64_t p = 5; p < 15; p++)
		write_page(v, p);
	set_flags(v, LOG);
	check_eq(log_of(v->vm), 0);
	for (uint64_t p = 0; p < 40; p += 2)
		write_page(v, p);
	check_eq(log_of(v->vm), 20);
	kt_guest_read(v, KT_WINDOW + 1000 * KT_PAGE);
	if (!kt_distro())		/* 6.1 reports a page that was mapped for reading */
		check_eq(log_of(v->vm), 0);
}

/* A moved slot logs on under its new address. */
TEST(moved_slot)
{
	struct kt_vcpu *v = vcpu_with(MADV_NOHUGEPAGE, LOG, 0);

	kt_window(v, GPA, 8);
	write_page(v, 1);
	need_ok(kt_slot(v->vm, 1, LOG, GPA + 4 * KT_BIG, SIZE, mem));
	log_of(v->vm);
	write_page(v, SLOT_PAGES + 9);
	check_eq(log_of(v->vm), 1);
	check(bit(9));
}

KT_MAIN
