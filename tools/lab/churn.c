// SPDX-License-Identifier: GPL-2.0-only
/*
 * churn MB THREADS: what a migrated guest does meanwhile. Each thread fills its part of memory with words that only
 * (thread, pass, place) give, having looked whether the words of the pass before are still there. Twice a second it
 * says how many pages each thread has looked at; a wrong word ends it.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_WORDS	512
#define MAX_THREADS	64

static size_t pages;
static volatile unsigned long seen[MAX_THREADS];

static uint64_t word_of(uint64_t thread, uint64_t pass, uint64_t place)
{
	uint64_t x = (thread << 56 ^ pass << 32 ^ place) * 0x9e3779b97f4a7c15ull;

	return x ^ x >> 29;
}

static void *churn(void *arg)
{
	uint64_t thread = (uintptr_t)arg, *mem, want;

	mem = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		puts("guest: churn has no memory");
		exit(1);
	}
	for (uint64_t pass = 0;; pass++) {
		for (size_t i = 0; i < pages * PAGE_WORDS; i += 8) {
			want = pass ? word_of(thread, pass - 1, i) : 0;
			if (mem[i] != want) {
				printf("guest: churn bad: thread %lu pass %lu word %zu: %#lx, not %#lx\n", thread, pass, i,
				       mem[i], want);
				exit(1);
			}
			mem[i] = word_of(thread, pass, i);
			if (!(i % PAGE_WORDS))
				seen[thread] += pass > 0;
		}
	}
}

int main(int argc, char **argv)
{
	int threads = argc == 3 ? atoi(argv[2]) : 0;
	pthread_t id;

	if (threads < 1 || threads > MAX_THREADS || atoi(argv[1]) < 1)
		return 2;
	pages = (size_t)atoi(argv[1]) * 256 / threads;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (uintptr_t i = 0; i < (uintptr_t)threads; i++)
		if (pthread_create(&id, NULL, churn, (void *)i))
			return 2;
	for (;;) {
		usleep(500000);
		printf("guest: churn");
		for (int i = 0; i < threads; i++)
			printf(" %lu", seen[i]);
		printf("\n");
	}
}
