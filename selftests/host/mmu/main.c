// SPDX-License-Identifier: GPL-2.0-only
/* The test program: mmu-test [SECONDS of each concurrent test]. */
#include "test.h"

static unsigned int passed, failed, failures_here;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
unsigned int stress_seconds = 2;

void check_failed(const char *file, int line, const char *what, unsigned long long got, unsigned long long want)
{
	pthread_mutex_lock(&lock);
	if (failures_here++ < 10)
		printf("# %s:%d: %s (%#llx, wanted %#llx)\n", file, line, what, got, want);
	pthread_mutex_unlock(&lock);
}

void run_test(const char *name, void (*fn)(void))
{
	failures_here = 0;
	fn();
	failures_here ? failed++ : passed++;
	printf("%sok %u - %s\n", failures_here ? "not " : "", passed + failed, name);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		stress_seconds = atoi(argv[1]);
	puts("TAP version 13");
	format_tests();
	walk_tests();
	fault_tests();
	stress_tests();
	printf("1..%u\n%u passed, %u failed\n", passed + failed, passed, failed);
	return failed != 0;
}
