// SPDX-License-Identifier: GPL-2.0-only
/* virtio-blk (virtio 1.1, 5.2) on a file. Writes go to the file unless it is read-only. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include "vmrun.h"

struct blk {
	int fd;
	bool read_only;
	uint64_t sectors;
};

static ssize_t transfer(struct blk *b, const struct iov *iov, uint32_t type, uint64_t at)
{
	if (type == VIRTIO_BLK_T_IN)
		return iov->device_writes ? pread(b->fd, iov->base, iov->len, at) : -1;
	return !iov->device_writes && !b->read_only ? pwrite(b->fd, iov->base, iov->len, at) : -1;
}

/* Header, data buffers, one status byte. */
static uint32_t serve(struct virtio *d, int q, const struct iov *iov, int n)
{
	struct blk *b = virtio_priv(d);
	struct virtio_blk_outhdr hdr;
	uint8_t status = VIRTIO_BLK_S_OK;
	uint32_t written = 0;
	uint64_t at;

	if (n < 2 || iov[0].len < sizeof(hdr) || !iov[n - 1].device_writes || !iov[n - 1].len)
		return 0;
	memcpy(&hdr, iov[0].base, sizeof(hdr));
	at = hdr.sector * 512;
	for (int i = 1; i < n - 1 && status == VIRTIO_BLK_S_OK; i++) {
		if (hdr.type == VIRTIO_BLK_T_GET_ID && iov[i].device_writes) {
			strncpy(iov[i].base, "vmrun", iov[i].len);
		} else if (hdr.type == VIRTIO_BLK_T_IN || hdr.type == VIRTIO_BLK_T_OUT) {
			if (hdr.sector >= b->sectors || iov[i].len > b->sectors * 512 - at ||
			    transfer(b, &iov[i], hdr.type, at) != (ssize_t)iov[i].len)
				status = VIRTIO_BLK_S_IOERR;
			at += iov[i].len;
		} else {
			status = VIRTIO_BLK_S_UNSUPP;
		}
		if (iov[i].device_writes && status == VIRTIO_BLK_S_OK)
			written += iov[i].len;
	}
	if (hdr.type == VIRTIO_BLK_T_FLUSH && fdatasync(b->fd))
		status = VIRTIO_BLK_S_IOERR;
	*(uint8_t *)iov[n - 1].base = status;
	return written + 1;
}

static void config(struct virtio *d, uint32_t offset, void *data, uint32_t len)
{
	struct blk *b = virtio_priv(d);
	struct virtio_blk_config c = { .capacity = b->sectors };

	if (offset < sizeof(c) && len <= sizeof(c) - offset)
		memcpy(data, (uint8_t *)&c + offset, len);
}

void blk_create(struct vm *vm, const char *path)
{
	static struct virtio_class cls = { .id = VIRTIO_ID_BLOCK, .queues = 1, .serve = serve, .config = config, .unserved = -1 };
	struct blk *b = calloc(1, sizeof(*b));
	struct stat st;

	b->fd = open(path, O_RDWR | O_CLOEXEC);
	if (b->fd < 0) {
		b->read_only = true;
		b->fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (b->fd < 0 || fstat(b->fd, &st))
		die("%s: %s", path, strerror(errno));
	b->sectors = st.st_size / 512;
	cls.features = 1ull << VIRTIO_BLK_F_FLUSH | (b->read_only ? 1ull << VIRTIO_BLK_F_RO : 0);
	virtio_create(vm, &cls, b);
}
