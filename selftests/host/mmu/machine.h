/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine for the MMU to work on: a VM with slots, the VMM's memory with its own page table and notifier, and vCPUs
 * whose hardware walks the tables by its own reading of the manuals, with a TLB that forgets only when flushed.
 */
#ifndef MMU_MACHINE_H
#define MMU_MACHINE_H

#include "internal.h"

#define HOST_HVA	0x7000000000ul
#define HOST_PAGES	(3ul << 18)	/* 3 GB of the VMM's address space */
#define MAX_FRAMES	(1u << 24)
#define TEST_VCPUS	4
#define TLB_SIZE	256
#define HW_LOG		512

/* What the VMM's page table says of a page, and the state of a host frame. */
struct host_pte {
	u64 pfn;
	bool present, writable, poisoned, device;
	u8 level;
};

enum frame_state { FRAME_DEAD, FRAME_READ, FRAME_WRITE };

struct tlb_entry {
	bool valid, write, exec, dirtied;
	u64 gfn, pfn;
	u64 *table;			/* what the walk ended in, if the lowest level */
};

/* Paging-structure cache: the lowest table over 2 MB. */
struct psc_entry {
	bool valid;
	u64 region;
	u64 *table;
};

struct hw_vcpu {
	struct x86_vcpu *v;
	pthread_mutex_t guest;		/* held while it is in guest mode; a flush takes it */
	struct tlb_entry tlb[TLB_SIZE];
	struct psc_entry psc[16];
	unsigned int flushes;
	u64 log[HW_LOG];		/* page-modification log (SDM 29.3.6), from the start and not from the end */
	unsigned int logged;
};

extern struct x86_vm *vm;
extern struct hw_vcpu hw[TEST_VCPUS];
extern struct host_pte *host;
extern u8 *frame_state;
extern unsigned int remote_flushes;
extern unsigned int poison_signals;
extern u64 guest_rflags;
/* Called by host_page_get() after the lookup: what another thread might do just then. */
extern void (*during_lookup)(void);

void machine_start(enum pt_kind kind, unsigned int levels, bool page_1g);
void machine_end(void);			/* checks that nothing leaked */

/* Slots: as KVM_SET_USER_MEMORY_REGION would, with the steps of virt/kvm. */
struct memslot *slot_add(u16 as, u64 gfn, u64 npages, u64 host_page, u32 flags);
void slot_del(struct memslot *s);
struct memslot *slot_set_flags(struct memslot *s, u32 flags);
struct memslot *slot_add_ram(u16 as, u64 gfn, void *mem, u64 npages);	/* real memory, for the guest's tables */

/* Host memory. map: fresh frames, in one page of the level if aligned. All with the notifier round them. */
u64 frames_new(u64 n, u64 align, bool writable);
void host_map(u64 page, u64 n, u8 level, bool writable);
void host_unmap(u64 page, u64 n);
void host_split(u64 page, u64 n);	/* large to small, the frames stay */
void host_invalidate(u64 page, u64 n, void (*change)(u64 page, u64 n), bool may_block);
bool host_age(u64 page, u64 n, bool clear);

/* One access by hardware. OK: through TLB or tables, to *pfn. */
enum hw_end { HW_OK, HW_FAULT, HW_TRAP };
enum hw_end hw_access(struct hw_vcpu *c, u64 gfn, bool write, bool exec, u64 *pfn, u64 *error);
/* The same, faulting in until it works. Returns the frame, or ~0 for MMIO, ~1 for an error. */
u64 guest_access(struct hw_vcpu *c, u64 gfn, bool write, bool exec);
#define IS_MMIO		(~0ull)
#define IS_ERROR	(~1ull)

/* Guest mode: what a flush waits for. */
void guest_lock(struct hw_vcpu *c);
void guest_unlock(struct hw_vcpu *c);

void vm_enter_srcu(void);
void vm_leave_srcu(void);

u64 rnd(void);

#endif
