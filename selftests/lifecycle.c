// SPDX-License-Identifier: GPL-2.0-only
/* The ends of VMs: descriptors closed in any order, processes that fork, exec, are killed; what is counted while they live. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include "lib/access.h"

/* Interrupts on: Bochs lets no interrupt of the host through to a guest that has them off and does not exit by itself. */
GUEST64(spin, "sti\n 1: incq 0x30000\n jmp 1b\n");
GUEST64(count_out, "mov $0x1000, %dx\n 1: inc %eax\n out %eax, %dx\n jmp 1b\n");
GUEST64(idle, "sti\n 1: hlt\n jmp 1b\n");

static struct kt_vcpu *vcpu_with(const uint8_t *code, size_t n, bool irqchip)
{
	struct kt_vm *vm = kt_vm_new(1 << 20, irqchip);

	kt_put(vm, KT_CODE, code, n);
	return kt_vcpu_new(vm, 0, KT_LONG);
}
#define VCPU_WITH(code, irqchip)	vcpu_with(code, code##_end - code, irqchip)

/* Users of the vendor's module: each VM is one. */
static long module_users(void)
{
	return kt_read_number(kt_host_amd() ? "/sys/module/kvm_amd/refcnt" : "/sys/module/kvm_intel/refcnt");
}

/* --- closing --- */

TEST(closed_in_any_order)
{
	static const int order[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	for (int i = 0; i < 12; i++) {
		struct kt_vcpu *v = VCPU_WITH(count_out, i & 1);
		int fds[3] = { v->vm->kvm, v->vm->fd, v->fd };

		check_eq(kt_run_to_out(v), 1);
		if (i & 2)
			munmap(v->run, v->run_size);
		if (i & 4)
			munmap(v->vm->mem, v->vm->size);
		for (int k = 0; k < 3; k++)
			check_eq(close(fds[order[i / 2][k]]), 0);
		if (!(i & 2))
			munmap(v->run, v->run_size);
	}
}

TEST(vcpu_works_after_the_vm_is_closed)
{
	struct kt_vcpu *v = VCPU_WITH(count_out, true);

	close(v->vm->fd);
	close(v->vm->kvm);
	for (int i = 1; i < 5; i++)
		check_eq(kt_run_to_out(v), i);
}

TEST(every_descriptor_holds_the_vm)
{
	struct kt_vcpu *v;
	long users;
	int stats;

	kt_vm_new(0, false);
	users = module_users();
	if (users < 0)
		skip("no count of users");
	v = VCPU_WITH(count_out, true);
	stats = need_ok(ioctl(v->fd, KVM_GET_STATS_FD, NULL));
	check(module_users() > users, "a VM does not hold the module");
	munmap(v->run, v->run_size);
	close(v->vm->fd);
	close(v->vm->kvm);
	check(module_users() > users, "a vCPU does not hold the VM");
	close(v->fd);
	check(module_users() > users, "statistics do not hold the VM");
	close(stats);
	check(kt_wait(module_users() <= users), "%ld users, %ld before", module_users(), users);
}

TEST(mapping_holds_the_vcpu)
{
	struct kt_vcpu *v = VCPU_WITH(count_out, true);

	check_eq(kt_run_to_out(v), 1);
	close(v->fd);
	close(v->vm->fd);
	check_eq(v->run->io.port, KT_PORT);
	v->run->immediate_exit = 1;
	munmap(v->run, v->run_size);
}

TEST(many_vms)
{
	long users = module_users();

	for (int i = 0; i < 60; i++) {
		struct kt_vcpu *v = VCPU_WITH(count_out, i & 1);

		check_eq(kt_run_to_out(v), 1);
		kt_vm_free(v->vm);
		kt_vcpu_free(v);
	}
	check(kt_wait(module_users() <= users), "%ld users, %ld before", module_users(), users);
}

/* All at once: none may disturb another. */
TEST(vms_side_by_side)
{
	struct kt_vcpu *v[8];

	for (int i = 0; i < 8; i++)
		v[i] = VCPU_WITH(count_out, true);
	for (int round = 1; round <= 10; round++)
		for (int i = 0; i < 8; i++)
			if (i < 4 || round <= 5)
				check_eq(kt_run_to_out(v[i]), round);
	for (int i = 0; i < 4; i++)
		check_eq(kt_guest_u64(v[i]->vm, KT_DATA), 0);
}

static void *closes(void *arg)
{
	struct kt_vcpu *v = arg;

	usleep(20000);
	close(v->fd);
	close(v->vm->fd);
	return NULL;
}

/* The descriptors go while another thread is in KVM_RUN: it runs on, and the VM goes with it. */
TEST(closed_while_it_runs)
{
	for (int i = 0; i < 5; i++) {
		struct kt_vcpu *v = VCPU_WITH(spin, true);
		struct kt_thread *t = kt_start(v);
		pthread_t id;

		need(!pthread_create(&id, NULL, closes, v));
		pthread_join(id, NULL);
		check(kt_wait(kt_guest_u64(v->vm, KT_DATA) > 0));
		kt_stop(t);		/* the next KVM_RUN finds no descriptor */
		check(t->err == EBADF || t->err == 0, "%s", strerror(t->err));
	}
}

/* --- processes --- */

/* A child has the descriptors, not the VM. What it does to its copy of the memory is its own. */
TEST(forked_child_outlives_parent)
{
	int status, up[2];
	char c;
	pid_t pid;

	need_ok(pipe(up));
	pid = fork();
	if (!pid) {
		struct kt_vcpu *v = VCPU_WITH(count_out, true);
		struct kvm_regs r;

		ioctl(v->fd, KVM_RUN, 0);
		if (fork())
			_exit(0);
		usleep(100000);			/* the VM's mm is gone */
		c = ioctl(v->fd, KVM_RUN, 0) == -1 && errno == EIO && ioctl(v->fd, KVM_GET_REGS, &r) == -1 && errno == EIO ? 'y' : 'n';
		if (write(up[1], &c, 1) != 1)
			_exit(1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	check_eq(status, 0);
	check_eq(read(up[0], &c, 1), 1);
	check_eq(c, 'y');
}

TEST(exec_closes)
{
	long users = module_users();
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct kt_vcpu *v = VCPU_WITH(count_out, true);

		ioctl(v->fd, KVM_RUN, 0);
		dup2(open("/dev/null", O_WRONLY), 1);
		/* As /proc/self/exe knows no test of this name, it ends at once. */
		execl("/proc/self/exe", "lifecycle", "no such test", NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	check_eq(status, 0);
	check(kt_wait(module_users() <= users), "%ld users, %ld before", module_users(), users);
}

static void be_vmm(int kind)
{
	struct kt_vcpu *v = kind == 1 ? VCPU_WITH(idle, true) : kind == 2 ? VCPU_WITH(count_out, true) : VCPU_WITH(spin, true);
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	if (kind == 3) {
		struct kt_vcpu *w = kt_vcpu_new(v->vm, 1, KT_LONG);

		need_ok(ioctl(w->fd, KVM_SET_MP_STATE, &mp));
		kt_start(w);
	}
	for (;;)
		ioctl(v->fd, KVM_RUN, 0);
}

TEST(killed)
{
	long users = module_users();

	for (int i = 0; i < 40; i++) {
		int status;
		pid_t pid = fork();

		if (!pid)
			be_vmm(i % 4);
		usleep(i * 1500);
		kill(pid, SIGKILL);
		check_eq(waitpid(pid, &status, 0), pid);
		check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %x", status);
	}
	check(kt_wait(module_users() <= users), "%ld users, %ld before", module_users(), users);
}

static void *run_once(void *arg)
{
	struct kt_vcpu *v = arg;

	kt_catch_usr1();
	ioctl(v->fd, KVM_RUN, 0);
	return NULL;
}

/* Threads that ran a vCPU come and go; another one kicks it by the id that a former one had. */
TEST(threads_exit)
{
	struct kt_vcpu *v = VCPU_WITH(count_out, true);

	for (int i = 1; i <= 60; i++) {
		pthread_t id;

		need(!pthread_create(&id, NULL, run_once, v));
		pthread_join(id, NULL);
		check_eq(*(uint32_t *)((uint8_t *)v->run + v->run->io.data_offset), i);
	}
}

/* The main thread leaves, the VM's thread stays. */
TEST(main_thread_exits)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		kt_start(VCPU_WITH(spin, true));
		pthread_exit(NULL);
	}
	usleep(100000);
	check_eq(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGKILL);
	check_eq(waitpid(pid, &status, 0), pid);
	check(WIFSIGNALED(status));
}

/* All guest memory and the VMM's own go while it runs, up to the end of the process. */
TEST(memory_unmapped_while_it_runs)
{
	struct kt_vcpu *v = VCPU_WITH(spin, true);
	struct kt_thread *t = kt_start(v);

	need(kt_wait(kt_guest_u64(v->vm, KT_DATA) > 0));
	need_ok(munmap(v->vm->mem, v->vm->size));
	check(kt_wait(t->ended), "the guest runs on");
	kt_stop(t);
	check(t->err == EFAULT || t->reason == KVM_EXIT_INTERNAL_ERROR || t->reason == KVM_EXIT_SHUTDOWN, "%s, exit %s", strerror(t->err),
	      kt_exit_name(t->reason));
}

/* Descriptors passed to another process hold the VM after its maker's end. */
TEST(inherited_descriptors)
{
	long users = module_users();
	int status, go[2];
	char c;
	pid_t maker = fork();

	if (!maker) {
		struct kt_vcpu *v = VCPU_WITH(spin, true);
		int e = eventfd(0, 0);
		struct kvm_irqfd f = { .fd = e, .gsi = 10 };

		need_ok(ioctl(v->vm->fd, KVM_IRQFD, &f));
		need_ok(pipe(go));
		if (!fork()) {
			uint64_t one = 1;

			close(go[1]);
			_exit(read(go[0], &c, 1) != 0 || write(e, &one, 8) != 8);	/* its end: the maker's */
		}
		kt_start(v);
		usleep(30000);
		kill(getpid(), SIGKILL);
	}
	waitpid(maker, &status, 0);
	check(WIFSIGNALED(status));
	check(kt_wait(module_users() <= users), "%ld users, %ld before", module_users(), users);
}

/* --- what is counted --- */

struct stats {
	struct kvm_stats_header h;
	uint8_t *desc;
	uint64_t *data;
	size_t data_size;
};

static struct stats read_stats(int fd)
{
	struct stats s = { 0 };
	size_t each;

	need(pread(fd, &s.h, sizeof(s.h), 0) == sizeof(s.h), "no header");
	each = sizeof(struct kvm_stats_desc) + s.h.name_size;
	s.desc = malloc(each * s.h.num_desc);
	need(pread(fd, s.desc, each * s.h.num_desc, s.h.desc_offset) == (ssize_t)(each * s.h.num_desc), "no descriptors");
	for (unsigned int i = 0; i < s.h.num_desc; i++) {
		struct kvm_stats_desc *d = (void *)(s.desc + each * i);

		if (d->offset + d->size * 8 > s.data_size)
			s.data_size = d->offset + d->size * 8;
	}
	s.data = calloc(1, s.data_size);
	need(pread(fd, s.data, s.data_size, s.h.data_offset) == (ssize_t)s.data_size, "no data");
	return s;
}

static uint64_t stat_of(int fd, const char *name)
{
	struct stats s = read_stats(fd);
	size_t each = sizeof(struct kvm_stats_desc) + s.h.name_size;

	for (unsigned int i = 0; i < s.h.num_desc; i++) {
		struct kvm_stats_desc *d = (void *)(s.desc + each * i);

		if (!strcmp(d->name, name))
			return s.data[d->offset / 8];
	}
	return ~0ull;
}

static void stats_sane(int fd, const char *prefix)
{
	struct stats s = read_stats(fd);
	size_t each = sizeof(struct kvm_stats_desc) + s.h.name_size;
	uint8_t *used = calloc(1, s.data_size);
	char id[64] = "";

	check_eq(s.h.flags, 0);
	check(s.h.num_desc > 0 && s.h.num_desc < 1000 && s.h.name_size > 8 && s.h.name_size <= 256);
	check_eq(s.h.id_offset, sizeof(s.h));
	check(pread(fd, id, sizeof(id) - 1, s.h.id_offset) > 0 && !strncmp(id, prefix, strlen(prefix)), "id %s", id);
	for (unsigned int i = 0; i < s.h.num_desc; i++) {
		struct kvm_stats_desc *d = (void *)(s.desc + each * i);

		check(memchr(d->name, 0, s.h.name_size) && d->name[0], "name %u", i);
		check((d->flags & KVM_STATS_TYPE_MASK) <= KVM_STATS_TYPE_MAX, "%s: type %x", d->name, d->flags);
		check((d->flags & KVM_STATS_UNIT_MASK) <= KVM_STATS_UNIT_MAX, "%s: unit %x", d->name, d->flags);
		check(d->size >= 1 && d->offset % 8 == 0, "%s: %u at %u", d->name, d->size, d->offset);
		check((d->bucket_size != 0) == ((d->flags & KVM_STATS_TYPE_MASK) == KVM_STATS_TYPE_LINEAR_HIST), "%s: buckets", d->name);
		for (unsigned int k = 0; k < d->size * 8u; k++)
			check(!used[d->offset + k]++, "%s overlaps another", d->name);
	}
}

TEST(statistics)
{
	struct kt_vcpu *v = VCPU_WITH(count_out, true);
	int vm = need_ok(ioctl(v->vm->fd, KVM_GET_STATS_FD, NULL)), vcpu = need_ok(ioctl(v->fd, KVM_GET_STATS_FD, NULL));
	uint64_t before = stat_of(vcpu, "exits");

	stats_sane(vm, "kvm-");
	stats_sane(vcpu, "kvm-");
	check(before != ~0ull, "no statistic of exits");
	for (int i = 1; i <= 10; i++)
		kt_run_to_out(v);
	check(stat_of(vcpu, "exits") >= before + 10, "10 exits are %lu", stat_of(vcpu, "exits") - before);
	check(stat_of(vm, "pages_4k") != ~0ull);
	close(v->vm->fd);
	kt_vcpu_free(v);
	check(stat_of(vm, "pages_4k") != ~0ull, "not readable after the VM is closed");
	check(stat_of(vcpu, "exits") >= before + 10);
}

/* Directories of this process under debugfs. */
static int vm_dirs(void)
{
	DIR *d = opendir("/sys/kernel/debug/kvm");
	struct dirent *e;
	char mine[32];
	int n = 0;

	if (!d)
		return -1;
	snprintf(mine, sizeof(mine), "%d-", getpid());
	while ((e = readdir(d)))
		n += !strncmp(e->d_name, mine, strlen(mine));
	closedir(d);
	return n;
}

TEST(debugfs)
{
	struct kt_vm *a, *b;
	char path[96];
	int n = vm_dirs();
	FILE *f;
	long pages = -1;

	if (n < 0)
		skip("no debugfs");
	a = kt_vm_new(1 << 20, true);
	b = kt_vm_new(0, false);
	check_eq(vm_dirs(), n + 2);
	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%d-%d/pages_4k", getpid(), a->fd);
	f = fopen(path, "r");
	check(f && fscanf(f, "%ld", &pages) == 1 && pages >= 0, "%s", path);
	if (f)
		fclose(f);
	close(a->fd);
	check(kt_wait(vm_dirs() == n + 1));
	close(b->fd);
	check(kt_wait(vm_dirs() == n));
}

KT_MAIN
