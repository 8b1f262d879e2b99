// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmrun [OPTIONS] IMAGE: options, exit status, and the machine's few ports.
 *
 * Exit status: 0 when the guest powers off or resets, what a flat guest writes to port f4, 124 for a triple fault, 125
 * when vmrun itself cannot go on.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "vmrun.h"

#define EXIT_PORT	0xf4
#define DEBUG_PORT	0xe9

void die(const char *fmt, ...)
{
	va_list args;

	fputs("vmrun: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	vm_end(125);
}

void vm_end(int status)
{
	fflush(NULL);
	exit(status);
}

static void exit_port(void *dev, uint32_t offset, void *data, uint32_t len, bool write)
{
	if (write)
		vm_end(*(uint8_t *)data);
	memset(data, 0xff, len);
}

static void debug_port(void *dev, uint32_t offset, void *data, uint32_t len, bool is_write)
{
	if (!is_write)
		memset(data, DEBUG_PORT, len);	/* reads as its own number: present */
	else if (write(1, data, len) < 0)
		vm_end(125);
}

static void sleep_ports(void *dev, uint32_t offset, void *data, uint32_t len, bool write)
{
	uint8_t v = *(uint8_t *)data;

	if (write && offset == 0 && (v & 0x20) && (v >> 2 & 7) == 5)
		vm_end(0);		/* SLP_EN with the type of S5 */
	if (write && offset == ACPI_RESET_PORT - ACPI_SLEEP_PORT)
		vm_end(0);
	if (!write)
		memset(data, 0, len);
}

/* Keyboard controller: only its reset line. */
static void i8042(void *dev, uint32_t offset, void *data, uint32_t len, bool write)
{
	if (write && *(uint8_t *)data == 0xfe)
		vm_end(0);
	if (!write)
		memset(data, 0xff, len);
}

static void usage(void)
{
	fputs("usage: vmrun [--cpus N] [--mem MB] [--disk FILE] [--initrd FILE] [--append WORDS] BZIMAGE\n"
	      "       vmrun --flat [--cpus N] [--mem MB] [--no-irqchip] BINARY   (starts in real mode at 0:7c00)\n"
	      "The guest's console=ttyS0 or console=hvc0 is this terminal (--input hvc for the second); Ctrl-A X ends.\n", stderr);
	exit(125);
}

static long number(const char *what, long low, long high)
{
	char *end;
	long n = strtol(optarg, &end, 0);

	if (*end || n < low || n > high)
		die("--%s: %ld to %ld, not '%s'", what, low, high, optarg);
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "cpus", 1, 0, 'c' }, { "mem", 1, 0, 'm' }, { "disk", 1, 0, 'd' }, { "initrd", 1, 0, 'i' },
		{ "append", 1, 0, 'a' }, { "flat", 0, 0, 'f' }, { "no-irqchip", 0, 0, 'n' }, { "input", 1, 0, 'I' }, { 0 }
	};
	struct vm vm = { .cpus = 1, .mem_size = 128ull << 20, .irqchip = true };
	const char *disk = NULL, *initrd = NULL, *append = "console=ttyS0";
	struct entry entry = { 0 };
	bool flat = false, hvc = false;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 'c': vm.cpus = number("cpus", 1, 254); break;
		case 'm': vm.mem_size = (uint64_t)number("mem", 1, MEM_MAX >> 20) << 20; break;
		case 'd': disk = optarg; break;
		case 'i': initrd = optarg; break;
		case 'a': append = optarg; break;
		case 'f': flat = true; break;
		case 'n': vm.irqchip = false; break;
		case 'I': hvc = !strcmp(optarg, "hvc"); break;
		default: usage();
		}
	}
	if (optind != argc - 1 || (!flat && !vm.irqchip))
		usage();
	vm_create(&vm);
	vm_add_memory(&vm);
	serial_create(&vm);
	bus_add_port(EXIT_PORT, 4, exit_port, NULL);
	bus_add_port(DEBUG_PORT, 1, debug_port, NULL);
	bus_add_port(ACPI_SLEEP_PORT, 4, sleep_ports, NULL);
	bus_add_port(0x64, 1, i8042, NULL);
	if (vm.irqchip) {
		console_create(&vm);
		if (disk)
			blk_create(&vm, disk);
	}
	if (flat)
		boot_flat(&vm, argv[optind], &entry);
	else
		boot_linux(&vm, argv[optind], initrd, append, &entry);
	terminal_start();
	vm_run(&vm, &entry);
	terminal_loop(hvc ? console_input : serial_input);
}
