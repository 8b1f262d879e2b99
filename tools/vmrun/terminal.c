// SPDX-License-Identifier: GPL-2.0-only
/* The terminal that vmrun was started on: raw while the guest runs; Ctrl-A X ends the machine. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>
#include "vmrun.h"

static struct termios saved;
static bool raw;

static void restore(void)
{
	if (raw)
		tcsetattr(0, TCSANOW, &saved);
}

void terminal_start(void)
{
	struct termios t;

	if (tcgetattr(0, &saved))
		return;
	t = saved;
	cfmakeraw(&t);
	t.c_oflag |= OPOST;
	raw = !tcsetattr(0, TCSANOW, &t);
	atexit(restore);
}

void terminal_loop(void (*input)(const uint8_t *data, size_t n))
{
	uint8_t buf[256];
	bool escape = false;
	ssize_t n;

	while ((n = read(0, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; raw && i < n; i++) {
			if (escape && (buf[i] | 0x20) == 'x')
				vm_end(0);
			escape = buf[i] == 1;
		}
		input(buf, n);
	}
	for (;;)		/* no more input: the vCPU threads go on */
		pause();
}
