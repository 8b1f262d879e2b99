// SPDX-License-Identifier: GPL-2.0-only
/* Counting and printing for check.h. */
#include <pthread.h>
#include <stdio.h>
#include "check.h"

static unsigned int passed, failed, failures_here;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
long *balance;

void check_failed(const char *file, int line, const char *what, unsigned long long got, unsigned long long want)
{
	pthread_mutex_lock(&lock);
	if (failures_here++ < 10)
		printf("# %s:%d: %s (%#llx, wanted %#llx)\n", file, line, what, got, want);
	pthread_mutex_unlock(&lock);
}

void run_test(const char *name, void (*fn)(void))
{
	long before = balance ? *balance : 0;

	failures_here = 0;
	fn();
	if (balance && *balance != before)
		check_failed(name, 0, "objects left", *balance - before, 0);
	failures_here ? failed++ : passed++;
	printf("%sok %u - %s\n", failures_here ? "not " : "", passed + failed, name);
	fflush(stdout);
}

int tests_done(void)
{
	printf("1..%u\n# %u passed, %u failed\n", passed + failed, passed, failed);
	return failed || !passed;
}
