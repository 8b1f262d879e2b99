// SPDX-License-Identifier: GPL-2.0-only
/* Where devices are: ports and memory windows. Filled before the first vCPU runs, read-only afterwards. */
#include <string.h>
#include "vmrun.h"

#define WINDOWS	32

static struct window {
	uint64_t base, len;
	access_fn fn;
	void *dev;
} ports[WINDOWS], mmio[WINDOWS];
static int n_ports, n_mmio;

static void add(struct window *list, int *n, uint64_t base, uint64_t len, access_fn fn, void *dev)
{
	if (*n == WINDOWS)
		die("too many devices");
	list[(*n)++] = (struct window){ base, len, fn, dev };
}

void bus_add_port(uint16_t base, uint16_t len, access_fn fn, void *dev)
{
	add(ports, &n_ports, base, len, fn, dev);
}

void bus_add_mmio(uint64_t base, uint64_t len, access_fn fn, void *dev)
{
	add(mmio, &n_mmio, base, len, fn, dev);
}

static void access(const struct window *list, int n, uint64_t addr, void *data, uint32_t len, bool write)
{
	for (const struct window *w = list; w < list + n; w++) {
		if (addr - w->base < w->len && len <= w->len - (addr - w->base)) {
			w->fn(w->dev, addr - w->base, data, len, write);
			return;
		}
	}
	if (!write)
		memset(data, 0xff, len);	/* nobody drives the bus */
}

void bus_port(uint16_t port, void *data, uint32_t len, bool write)
{
	access(ports, n_ports, port, data, len, write);
}

void bus_mmio(uint64_t addr, void *data, uint32_t len, bool write)
{
	access(mmio, n_mmio, addr, data, len, write);
}
