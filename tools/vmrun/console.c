// SPDX-License-Identifier: GPL-2.0-only
/* virtio-console (virtio 1.1, 5.3), one port: queue 0 to the guest, queue 1 from it to standard output. */
#include <unistd.h>
#include <linux/virtio_ids.h>
#include "vmrun.h"

static struct virtio *console;

static uint32_t serve(struct virtio *d, int q, const struct iov *iov, int n)
{
	for (int i = 0; i < n; i++)
		if (!iov[i].device_writes && write(1, iov[i].base, iov[i].len) < 0)
			vm_end(125);
	return 0;
}

static void config(struct virtio *d, uint32_t offset, void *data, uint32_t len)
{
}

void console_create(struct vm *vm)
{
	static const struct virtio_class cls = { .id = VIRTIO_ID_CONSOLE, .queues = 2, .serve = serve, .config = config,
						 .unserved = 0 };

	console = virtio_create(vm, &cls, NULL);
}

void console_input(const uint8_t *data, size_t n)
{
	virtio_push(console, 0, data, n);
}
