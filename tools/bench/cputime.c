// SPDX-License-Identifier: GPL-2.0-only
/*
 * cputime NAME COMMAND...: instructions that COMMAND and what it starts took, guest included. Where the time-stamp counter counts
 * instructions the scheduler's clock does so as well, and does not run for a program that waits. Prints
 *
 *	boot NAME INSTRUCTIONS
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static double instructions_per_second(void)
{
	uint64_t ns = now_ns(), tsc = __builtin_ia32_rdtsc(), end;

	do
		end = now_ns();
	while (end - ns < 50000000);
	return (__builtin_ia32_rdtsc() - tsc) * 1e9 / (end - ns);
}

int main(int argc, char **argv)
{
	struct rusage u;
	int status;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: cputime NAME COMMAND...\n");
		return 2;
	}
	pid = fork();
	if (!pid) {
		execv(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	if (wait4(pid, &status, 0, &u) < 0)
		return 2;
	printf("boot %s %.0f\n", argv[1], instructions_per_second() *
	       (u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6));
	return status ? 1 : 0;
}
