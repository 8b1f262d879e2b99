// SPDX-License-Identifier: GPL-2.0-only
/*
 * ACPI tables (ACPI 6.3): how the guest finds its CPUs, the IOAPIC, the virtio devices and its power switch. The
 * hardware-reduced model: no PM timer, no SCI, two registers for sleep and reset.
 */
#include <stdlib.h>
#include <string.h>
#include "vmrun.h"

static uint8_t *base, *at;

static void put(const void *data, size_t n)
{
	if (at + n > base + ACPI_SIZE)
		die("ACPI tables too large");
	memcpy(at, data, n);
	at += n;
}

static void put8(uint8_t v) { put(&v, 1); }
static void put16(uint16_t v) { put(&v, 2); }
static void put32(uint32_t v) { put(&v, 4); }
static void put64(uint64_t v) { put(&v, 8); }
static void text(const char *s) { put(s, strlen(s)); }

static void checksum(uint8_t *start, size_t n, uint8_t *where)
{
	uint8_t sum = 0;

	*where = 0;
	for (size_t i = 0; i < n; i++)
		sum += start[i];
	*where = -sum;
}

static uint8_t *table_begin(const char *signature, uint8_t revision)
{
	uint8_t *t;

	at = base + ((at - base + 15) & ~15ul);
	t = at;
	text(signature);
	put32(0);			/* length, at the end */
	put8(revision);
	put8(0);
	text("VMRUN VMRUN   ");
	put32(1);
	text("VMRN");
	put32(1);
	return t;
}

static uint32_t table_end(uint8_t *t)
{
	uint32_t n = at - t;

	memcpy(t + 4, &n, 4);
	checksum(t, n, t + 9);
	return ACPI_BASE + (t - base);
}

/* AML (ACPI 6.3, 20.2). A package's length comes before it: two bytes are always enough here. */
static uint8_t *package_begin(void)
{
	at += 2;
	return at - 2;
}

static void package_end(uint8_t *p)
{
	uint32_t n = at - p;

	if (n >= 1 << 12)
		die("AML package too large");
	p[0] = 0x40 | (n & 0xf);
	p[1] = n >> 4;
}

static void name(const char *n) { put8(0x08); text(n); }

/* Device (name) with a hardware ID, a unique number and one window and interrupt (consumer, edge, active high). */
static void aml_device(const char *device_name, const char *hid, int uid, bool port, uint32_t where, uint32_t len, uint32_t gsi)
{
	uint8_t *device, *buffer, *crs;

	put8(0x5b), put8(0x82);
	device = package_begin();
	text(device_name);
	name("_HID"), put8(0x0d), put(hid, strlen(hid) + 1);
	name("_UID"), put8(0x0a), put8(uid);
	name("_CCA"), put8(0x01);
	name("_CRS"), put8(0x11);
	buffer = package_begin();
	put8(0x0a), put8(0);		/* buffer size, set below */
	crs = at;
	if (port)
		put8(0x47), put8(1), put16(where), put16(where), put8(1), put8(len);
	else
		put8(0x86), put16(9), put8(1), put32(where), put32(len);
	put8(0x89), put16(6), put8(0x03), put8(1), put32(gsi);
	put8(0x79), put8(0);
	crs[-1] = at - crs;
	package_end(buffer);
	package_end(device);
}

static void aml_virtio(int i)
{
	char device_name[5] = { 'V', '0', '0', '0' + i, 0 };

	aml_device(device_name, "LNRO0005", i, false, VIRTIO_BASE + i * 0x1000, 0x1000, VIRTIO_GSI + i);
}

static uint32_t dsdt(struct vm *vm)
{
	uint8_t *t = table_begin("DSDT", 2), *scope, *s5;

	put8(0x10);			/* Scope (\_SB) */
	scope = package_begin();
	text("\\_SB_");
	aml_device("COM1", "PNP0501", 0, true, 0x3f8, 8, 4);
	for (int i = 0; i < vm->virtio_devices; i++)
		aml_virtio(i);
	package_end(scope);
	name("_S5_"), put8(0x12);	/* Package () { 5, 0 } */
	s5 = package_begin();
	put8(2), put8(0x0a), put8(5), put8(0);
	package_end(s5);
	return table_end(t);
}

static uint32_t madt(struct vm *vm)
{
	uint8_t *t = table_begin("APIC", 4);

	put32(0xfee00000), put32(0);
	for (int i = 0; i < vm->cpus; i++)
		put8(0), put8(8), put8(i), put8(i), put32(1);
	put8(1), put8(12), put8(0), put8(0), put32(0xfec00000), put32(0);
	return table_end(t);
}

static void port_register(uint16_t port)
{
	put8(1), put8(8), put8(0), put8(1), put64(port);	/* generic address: I/O space, byte */
}

static uint32_t fadt(uint32_t dsdt_at)
{
	uint8_t *t = table_begin("FACP", 6);

	at = t + 40;
	memcpy(at, &dsdt_at, 4);
	t[109] = 1 << 2 | 1 << 5;			/* IA-PC boot flags: no VGA, no RTC (nor an 8042) */
	t[113] = 0x04, t[114] = 0x10;	/* RESET_REG supported, HW_REDUCED_ACPI */
	at = t + 116;
	port_register(ACPI_RESET_PORT);
	put8(1);					/* value that resets */
	at = t + 131;
	put8(3);					/* minor version */
	at = t + 140;
	put64(dsdt_at);
	at = t + 244;
	port_register(ACPI_SLEEP_PORT);
	port_register(ACPI_SLEEP_PORT + 1);
	at = t + 276;
	return table_end(t);
}

void acpi_build(struct vm *vm)
{
	uint32_t dsdt_at, madt_at, fadt_at, xsdt_at;
	uint8_t *t;

	base = guest_ptr(vm, ACPI_BASE, ACPI_SIZE);
	if (!base)
		die("guest memory too small");
	memset(base, 0, ACPI_SIZE);
	at = base + 64;			/* the RSDP comes first */
	dsdt_at = dsdt(vm);
	madt_at = madt(vm);
	fadt_at = fadt(dsdt_at);
	t = table_begin("XSDT", 1);
	put64(fadt_at), put64(madt_at);
	xsdt_at = table_end(t);
	at = base;
	text("RSD PTR ");
	put8(0), text("VMRUN "), put8(2), put32(0), put32(36), put64(xsdt_at), put8(0);
	checksum(base, 20, base + 8);
	checksum(base, 36, base + 32);
}
