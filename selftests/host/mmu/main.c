// SPDX-License-Identifier: GPL-2.0-only
/* The test program: mmu-test [SECONDS of each concurrent test]. */
#include "test.h"

unsigned int stress_seconds = 2;

int main(int argc, char **argv)
{
	if (argc > 1)
		stress_seconds = atoi(argv[1]);
	puts("TAP version 13");
	format_tests();
	walk_tests();
	fault_tests();
	stress_tests();
	return tests_done();
}
