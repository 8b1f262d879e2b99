/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmrun: a small virtual machine monitor on /dev/kvm, and the worked example of its ABI.
 *
 * One thread a vCPU, one a virtio device, the first thread for the terminal. Devices are found by address in two short
 * lists. Guest memory is one anonymous mapping from guest-physical 0.
 */
#ifndef VMRUN_H
#define VMRUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvm.h>

#define VIRTIO_BASE	0xd0000000u	/* guest-physical window of the first virtio device, 4 KB each */
#define VIRTIO_GSI	5		/* interrupt of the first one */
#define VIRTIO_MAX	4
#define MEM_MAX		0xc0000000ull	/* all memory lies below the device window */

struct vm {
	int kvm, fd;
	uint8_t *mem;
	uint64_t mem_size;
	int cpus;
	int run_size;
	bool irqchip;
	int virtio_devices;
	struct kvm_cpuid2 *cpuid;
};

/* What a loader tells the first vCPU. */
struct entry {
	bool real_mode;		/* flat binary: 16-bit code at 0:7c00; otherwise 32-bit protected mode, flat */
	uint32_t rip, rsi;
};

/* Prints "vmrun: ..." and the error, ends with status 125. */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* End of the machine with this exit status, from any thread. */
void vm_end(int status) __attribute__((noreturn));

/* kvm.c */
void vm_create(struct vm *vm);
void vm_add_memory(struct vm *vm);
void vm_run(struct vm *vm, const struct entry *entry);	/* starts the vCPU threads */
void vm_irqfd(struct vm *vm, int eventfd, uint32_t gsi);
void vm_ioeventfd(struct vm *vm, int eventfd, uint64_t addr, uint32_t len, uint32_t match);
void vm_irq_line(struct vm *vm, uint32_t gsi, bool level);
/* len bytes of guest memory at gpa, or NULL when they are not all memory. */
void *guest_ptr(struct vm *vm, uint64_t gpa, uint64_t len);

/* bus.c */
typedef void (*access_fn)(void *dev, uint32_t offset, void *data, uint32_t len, bool write);
void bus_add_port(uint16_t base, uint16_t len, access_fn fn, void *dev);
void bus_add_mmio(uint64_t base, uint64_t len, access_fn fn, void *dev);
void bus_port(uint16_t port, void *data, uint32_t len, bool write);
void bus_mmio(uint64_t addr, void *data, uint32_t len, bool write);

/* boot.c, acpi.c */
void boot_linux(struct vm *vm, const char *image, const char *initrd, const char *append, struct entry *entry);
void boot_flat(struct vm *vm, const char *image, struct entry *entry);
void acpi_build(struct vm *vm);
#define ACPI_BASE	0xe0000u
#define ACPI_SIZE	0x10000u
#define ACPI_SLEEP_PORT	0x600		/* sleep control, sleep status */
#define ACPI_RESET_PORT	0x602

/* serial.c, terminal.c */
void serial_create(struct vm *vm);
void serial_input(const uint8_t *data, size_t n);
void terminal_start(void);		/* raw mode, put back at the end */
void terminal_loop(void (*input)(const uint8_t *data, size_t n));

/* virtio.c: the MMIO transport (virtio 1.1, 4.2) with up to two queues. */
struct virtio;
struct iov {
	void *base;
	uint32_t len;
	bool device_writes;
};
struct virtio_class {
	uint32_t id;
	int queues;
	uint64_t features;
	/* Device thread: serves one request of queue q; returns the number of bytes written to the guest. */
	uint32_t (*serve)(struct virtio *d, int q, const struct iov *iov, int n);
	void (*config)(struct virtio *d, uint32_t offset, void *data, uint32_t len);
	int unserved;		/* queue that the thread must not drain by itself (console input), -1: none */
};
struct virtio *virtio_create(struct vm *vm, const struct virtio_class *cls, void *priv);
void *virtio_priv(struct virtio *d);
/* Hands data to the guest through one buffer of queue q; false when there is none. Any thread. */
bool virtio_push(struct virtio *d, int q, const void *data, size_t n);

/* blk.c, console.c */
void blk_create(struct vm *vm, const char *path);
void console_create(struct vm *vm);
void console_input(const uint8_t *data, size_t n);

#endif
