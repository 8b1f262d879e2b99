// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading: a Linux bzImage by the 32-bit boot protocol (Documentation/x86/boot.rst of the kernel), or a flat binary
 * that starts in real mode at 0:7c00 as a boot sector does.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <asm/bootparam.h>
#include "vmrun.h"

#define PARAMS		0x10000u	/* struct boot_params */
#define CMDLINE		0x20000u
#define CMDLINE_MAX	2048
#define KERNEL		0x100000u

static uint64_t load(struct vm *vm, const char *path, uint64_t skip, uint64_t gpa)
{
	struct stat st;
	uint64_t n, done = 0;
	uint8_t *to;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st))
		die("%s: %s", path, strerror(errno));
	if ((uint64_t)st.st_size < skip)
		die("%s: too short", path);
	n = st.st_size - skip;
	to = guest_ptr(vm, gpa, n);
	if (!to)
		die("%s does not fit into %llu MB of guest memory", path, (unsigned long long)vm->mem_size >> 20);
	while (done < n) {
		ssize_t got = pread(fd, to + done, n - done, skip + done);

		if (got <= 0)
			die("%s: %s", path, got ? strerror(errno) : "truncated");
		done += got;
	}
	close(fd);
	return n;
}

static void add_e820(struct boot_params *p, uint64_t addr, uint64_t size, uint32_t type)
{
	p->e820_table[p->e820_entries++] = (struct boot_e820_entry){ .addr = addr, .size = size, .type = type };
}

static void read_header(const char *image, uint8_t head[4096])
{
	FILE *f = fopen(image, "rb");

	if (!f)
		die("%s: %s", image, strerror(errno));
	if (fread(head, 1, 4096, f) < 1024)
		die("%s: too short for a kernel", image);
	fclose(f);
}

static void load_initrd(struct vm *vm, const char *initrd, struct setup_header *hdr)
{
	uint64_t limit = hdr->initrd_addr_max ? hdr->initrd_addr_max + 1ull : 0x38000000;
	struct stat st;
	uint64_t at;

	if (stat(initrd, &st))
		die("%s: %s", initrd, strerror(errno));
	if (limit > vm->mem_size)
		limit = vm->mem_size;
	if ((uint64_t)st.st_size > limit / 2)
		die("%s does not fit into %llu MB of guest memory", initrd, (unsigned long long)vm->mem_size >> 20);
	at = (limit - st.st_size) & ~0xfffull;
	hdr->ramdisk_image = at;
	hdr->ramdisk_size = load(vm, initrd, 0, at);
}

void boot_linux(struct vm *vm, const char *image, const char *initrd, const char *append, struct entry *entry)
{
	struct boot_params *p = guest_ptr(vm, PARAMS, sizeof(*p));
	uint8_t head[4096] = { 0 };
	struct setup_header *hdr = (void *)(head + 0x1f1);

	read_header(image, head);
	if (memcmp(head + 0x202, "HdrS", 4) || hdr->version < 0x206)
		die("%s: not a bzImage of boot protocol 2.06 or later", image);
	memset(p, 0, sizeof(*p));
	memcpy(&p->hdr, hdr, sizeof(*hdr));
	load(vm, image, ((hdr->setup_sects ?: 4) + 1) * 512, KERNEL);
	if (strlen(append) >= CMDLINE_MAX)
		die("kernel command line too long");
	strcpy(guest_ptr(vm, CMDLINE, CMDLINE_MAX), append);
	p->hdr.cmd_line_ptr = CMDLINE;
	p->hdr.type_of_loader = 0xff;
	p->hdr.loadflags |= LOADED_HIGH;
	if (initrd)
		load_initrd(vm, initrd, &p->hdr);
	add_e820(p, 0, 0x9fc00, 1);
	add_e820(p, ACPI_BASE, ACPI_SIZE, 2);
	add_e820(p, KERNEL, vm->mem_size - KERNEL, 1);
	acpi_build(vm);
	p->acpi_rsdp_addr = ACPI_BASE;
	entry->rip = KERNEL;
	entry->rsi = PARAMS;
}

void boot_flat(struct vm *vm, const char *image, struct entry *entry)
{
	load(vm, image, 0, 0x7c00);
	entry->real_mode = true;
	entry->rip = 0x7c00;
}
