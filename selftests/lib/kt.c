// SPDX-License-Identifier: GPL-2.0-only
/* The test runner: every test in a process of its own, results as TAP. */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include "kt.h"

#define TIME_LIMIT	60	/* seconds of wall clock: emulated hosts are slow */
enum { ST_OK, ST_FAILED, ST_SKIPPED };

static struct kt_test *tests, **last = &tests;
static int state;		/* of the test, in its process */
static bool any_failed;
static char reason[256];
static int reason_fd;

void kt_register(struct kt_test *t)
{
	*last = t;
	last = &t->next;
}

void kt_leave(void)
{
	fflush(NULL);
	if (state == ST_SKIPPED && write(reason_fd, reason, strlen(reason)) < 0)
		_exit(ST_FAILED);
	_exit(state);
}

void kt_fail(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	state = ST_FAILED;
	printf("# %s:%d: ", file, line);
	va_start(args, fmt);
	vprintf(*fmt ? fmt : "check failed", args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void kt_skip(const char *fmt, ...)
{
	va_list args;

	if (state == ST_OK)
		state = ST_SKIPPED;
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	kt_leave();
}

static void run_one(struct kt_test *t, int n)
{
	char why[256] = "";
	int fds[2], status;
	pid_t pid;

	fflush(NULL);
	if (pipe(fds))
		abort();
	pid = fork();
	if (!pid) {
		close(fds[0]);
		reason_fd = fds[1];
		alarm(TIME_LIMIT);
		t->fn();
		kt_leave();
	}
	close(fds[1]);
	if (read(fds[0], why, sizeof(why) - 1) < 0)
		why[0] = 0;
	close(fds[0]);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status)) {
		printf("# killed by signal %d%s\n", WTERMSIG(status), WTERMSIG(status) == SIGALRM ? " (time limit)" :
		       "");
		any_failed = true;
		printf("not ok %d - %s\n", n, t->name);
	} else if (WEXITSTATUS(status) == ST_SKIPPED) {
		printf("ok %d - %s # SKIP %s\n", n, t->name, why);
	} else if (WEXITSTATUS(status)) {
		any_failed = true;
		printf("not ok %d - %s\n", n, t->name);
	} else {
		printf("ok %d - %s\n", n, t->name);
	}
	fflush(stdout);
}

/*
 * A VM that lasts as long as the program. The first VM of a host and the end of the last one make the kernel rewrite
 * its scheduler's code (preemption notifiers), and QEMU's software emulation with several CPUs now and then goes on
 * with the code before: both CPUs then loop in int3 for ever. One VM a run instead of one a test makes that rare.
 */
static void hold_a_vm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm >= 0)
		ioctl(kvm, KVM_CREATE_VM, 0);
}

int kt_main(int argc, char **argv)
{
	int n = 0;

	hold_a_vm();
	if (argc > 1 && !strcmp(argv[1], "--hold"))	/* for a whole run of programs: selftests/run */
		pause();
	for (struct kt_test *t = tests; t; t = t->next)
		n++;
	printf("TAP version 13\n1..%d\n", n);
	n = 0;
	for (struct kt_test *t = tests; t; t = t->next) {
		n++;
		if (argc < 2 || !strcmp(argv[1], t->name))
			run_one(t, n);
	}
	return any_failed;
}
