// SPDX-License-Identifier: GPL-2.0-only
/* Faults of the second-dimension page tables: a guest that writes one word in each page of a region. */
#include "bench.h"

#define SMALL		4096u
#define LARGE		(2u << 20)
#define POPULATED	2048u			/* pages: more than all batches of a measurement touch */
#define VERIFIED	4u
#define BATCH_LARGE	4u
#define ROOM		(64u << 20)
#define SLOT		1

/* SCRATCH (u64) is where a batch begins, SCRATCH + 8 (u32) the distance of its pages. */
GUEST64(touch_from, "1:	mov 0x30040, %r14\n	mov 0x30048, %eax\n	mov 0x30000, %r15d\n2:	addl $1, (%r14)\n"
	"	add %rax, %r14\n	dec %r15d\n	jnz 2b\n	mov $0x1008, %dx\n	out %eax, (%dx)\n	jmp 1b\n");

struct region {
	struct kt_vcpu *v;
	uint8_t *mem;
	uint32_t step, flags;
	uint64_t next;			/* fresh pages: where the next batch begins */
};

static void slot(struct region *r, uint64_t size)
{
	need_ok(kt_slot(r->v->vm, SLOT, r->flags, REGION, size, r->mem));
}

static void make(struct region *r, uint32_t step, uint32_t flags, bool populated)
{
	uint8_t *p = mmap(NULL, ROOM + LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	need(p != MAP_FAILED, "mmap: %s", strerror(errno));
	r->mem = (uint8_t *)(((uintptr_t)p + LARGE - 1) & -(uintptr_t)LARGE);
	need_ok(madvise(r->mem, ROOM, step == LARGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
	for (uint32_t i = 0; populated && i < POPULATED && (uint64_t)i * step < ROOM; i++)
		r->mem[(size_t)i * step] = 1;
	r->step = step;
	r->flags = flags;
	r->v = bench_vcpu();
	slot(r, ROOM);
	kt_load(r->v->vm, touch_from);
	kt_guest_u32(r->v->vm, SCRATCH + 8) = step;
	r->next = REGION;
}

static void touch_pages(void *ctx, unsigned int n)
{
	struct region *r = ctx;

	kt_guest_u64(r->v->vm, SCRATCH) = r->next;
	guest_rounds(r->v, n);
}

/* Pages that nobody has touched through this VM. */
static void move_on(void *ctx, unsigned int n)
{
	struct region *r = ctx;
	static uint64_t used;

	r->next += used;
	used = (uint64_t)n * r->step;
	need(r->next + used <= REGION + POPULATED * SMALL, "the region is used up");
}

/* The slot goes and comes back: its tables are empty, the host's pages are there. */
static void zap(void *ctx, unsigned int n)
{
	struct region *r = ctx;

	slot(r, 0);
	slot(r, ROOM);
}

static void forget_dirty(void *ctx, unsigned int n)
{
	static uint64_t bitmap[ROOM / SMALL / 64];
	struct region *r = ctx;
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };

	need_ok(ioctl(r->v->vm->fd, KVM_GET_DIRTY_LOG, &log));
}

/* Guest and host agree that the last page of a batch was written. */
static void verify(struct region *r, unsigned int n)
{
	uint32_t *word = (void *)(r->mem + (r->next - REGION) + (size_t)(n - 1) * r->step), before = *word;

	touch_pages(r, n);
	need(*word == before + 1, "the guest's write is not in the host's page");
}

static void fault_fresh(const struct bench *b)
{
	struct region r;

	make(&r, SMALL, 0, false);
	measure(b, &(struct batch){ touch_pages, move_on, &r });
	verify(&r, VERIFIED);
}

static void fault_mapped(const struct bench *b)
{
	struct region r;

	make(&r, SMALL, 0, true);
	measure(b, &(struct batch){ touch_pages, move_on, &r });
	verify(&r, VERIFIED);
}

static void fault_zapped(const struct bench *b)
{
	struct region r;

	make(&r, SMALL, 0, true);
	measure(b, &(struct batch){ touch_pages, zap, &r });
	verify(&r, VERIFIED);
}

static bool has_huge_pages(const void *p)
{
	char line[256], want[32];
	bool here = false;
	long kb = 0;
	FILE *f = fopen("/proc/self/smaps", "r");

	snprintf(want, sizeof(want), "%lx-", (unsigned long)p);
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, want, strlen(want)))
			here = true;
		else if (here && sscanf(line, "AnonHugePages: %ld kB", &kb) == 1)
			break;
	}
	if (f)
		fclose(f);
	return kb >= (long)(3 * BATCH_LARGE * LARGE >> 10);
}

static void fault_large(const struct bench *b)
{
	struct region r;

	make(&r, LARGE, 0, true);
	need(has_huge_pages(r.mem), "the host gives no 2 MB pages");
	measure(b, &(struct batch){ touch_pages, zap, &r, BATCH_LARGE });
	verify(&r, BATCH_LARGE);
}

static void fault_dirty(const struct bench *b)
{
	struct region r;

	make(&r, SMALL, KVM_MEM_LOG_DIRTY_PAGES, true);
	measure(b, &(struct batch){ touch_pages, forget_dirty, &r });
	verify(&r, VERIFIED);
}

const struct bench fault_benches[] = {
	{ "fault-fresh", "4K page that neither host nor guest had", fault_fresh },
	{ "fault-mapped", "4K page that the host has, first touch", fault_mapped },
	{ "fault-zapped", "4K page again after its slot was gone", fault_zapped },
	{ "fault-large", "2M page again after its slot was gone", fault_large },
	{ "fault-dirty", "first write to a 4K page after KVM_GET_DIRTY_LOG", fault_dirty },
	{ 0 }
};
