// SPDX-License-Identifier: GPL-2.0-only
/* Runs the fuzzer's entry point on files, without the fuzzer: for coverage, and to look at what it found. */
#include <stdio.h>
#include "emulate.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int main(int argc, char **argv)
{
	static u8 buf[1 << 16];

	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");

		if (!f)
			return 1;
		LLVMFuzzerTestOneInput(buf, fread(buf, 1, sizeof(buf), f));
		fclose(f);
	}
	return 0;
}
