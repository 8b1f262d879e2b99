// SPDX-License-Identifier: GPL-2.0-only
/* The machine of machine.h, and the parts of the kernel and of virt/kvm that the MMU calls. */
#include <sys/mman.h>

#include "machine.h"
#include "test.h"

/* ---- the kernel ---- */

long live_pages, live_objects, fail_alloc_after = -1;
struct cpuinfo boot_cpu_data = { .extended_cpuid_level = 0x80000008 };
u32 shim_phys_bits = 48;	/* user addresses are the physical ones here */
bool shim_itlb_bug;
bool shim_pml;
bool itlb_multihit_kvm_mitigation;
unsigned int poison_signals;

static bool may_allocate(void)
{
	return fail_alloc_after < 0 || fail_alloc_after-- > 0;
}

struct page *alloc_page(int gfp)
{
	void *p;

	if (!may_allocate() || posix_memalign(&p, PAGE_SIZE, 2 * PAGE_SIZE))
		return NULL;
	memset(p, 0, 2 * PAGE_SIZE);
	__atomic_fetch_add(&live_pages, 1, __ATOMIC_RELAXED);
	return p;
}

void __free_page(struct page *p)
{
	u64 *e = page_address(p);

	/* whoever still walks here follows a link that faults, or changes what must not change */
	for (unsigned int i = 0; i < PT_ENTRIES; i++)
		e[i] = ENT_ADDR | ENT_MAPPED | ENT_R | ENT_HOST_W;
	p->private = 0xa5a5;
	__atomic_fetch_sub(&live_pages, 1, __ATOMIC_RELAXED);
	free(p);
}

struct kmem_cache *shim_cache(size_t size)
{
	struct kmem_cache *c = malloc(sizeof(*c));

	c->size = size;
	return c;
}

void kmem_cache_destroy(struct kmem_cache *c)
{
	free(c);
}

void *kmem_cache_zalloc(struct kmem_cache *c, int gfp)
{
	if (!may_allocate())
		return NULL;
	__atomic_fetch_add(&live_objects, 1, __ATOMIC_RELAXED);
	return calloc(1, c->size);
}

void kmem_cache_free(struct kmem_cache *c, void *p)
{
	__atomic_fetch_sub(&live_objects, 1, __ATOMIC_RELAXED);
	free(p);
}

void shim_dawdle(void)
{
	if (!(rnd() % 64))
		sched_yield();
}

static pthread_rwlock_t rcu = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static pthread_mutex_t rcu_list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rcu_head *rcu_list;
static int writers_waiting;
static __thread rwlock_t *held_write;
__thread bool shim_in_rcu;

void rcu_read_lock(void)
{
	pthread_rwlock_rdlock(&rcu);
	shim_in_rcu = true;
}

void rcu_read_unlock(void)
{
	shim_in_rcu = false;
	pthread_rwlock_unlock(&rcu);
}

void rcu_barrier(void)
{
	struct rcu_head *h;

	pthread_mutex_lock(&rcu_list_lock);
	h = rcu_list;
	rcu_list = NULL;
	pthread_mutex_unlock(&rcu_list_lock);
	pthread_rwlock_wrlock(&rcu);
	pthread_rwlock_unlock(&rcu);
	while (h) {
		struct rcu_head *next = h->next;

		h->func(h);
		h = next;
	}
}

void call_rcu(struct rcu_head *h, void (*func)(struct rcu_head *))
{
	h->func = func;
	pthread_mutex_lock(&rcu_list_lock);
	h->next = rcu_list;
	rcu_list = h;
	pthread_mutex_unlock(&rcu_list_lock);
}

void write_lock(rwlock_t *p)
{
	__atomic_fetch_add(&writers_waiting, 1, __ATOMIC_SEQ_CST);
	pthread_rwlock_wrlock(&p->l);
	__atomic_fetch_sub(&writers_waiting, 1, __ATOMIC_SEQ_CST);
	held_write = p;
}

void write_unlock(rwlock_t *p)
{
	held_write = NULL;
	pthread_rwlock_unlock(&p->l);
	if (!(rnd() % 4))
		sched_yield();		/* whoever flushes only now is too late */
}

/* Contended at random as well, so that every yield happens. */
bool rwlock_is_contended(rwlock_t *p)
{
	return READ_ONCE(writers_waiting) > 0 || !(rnd() % 7);
}

void lockdep_assert_held_write(rwlock_t *p)
{
	CHECK(held_write == p);
}

void send_sig_mceerr(int code, void *addr, short lsb, void *task)
{
	poison_signals++;
}

bool sysfs_streq(const char *a, const char *b)
{
	size_t n = strlen(b);

	return !strncmp(a, b, n) && (!a[n] || !strcmp(a + n, "\n"));
}

int kstrtobool(const char *s, bool *v)
{
	if (*s == '1' || *s == 'y' || *s == 'Y' || !strncmp(s, "on", 2))
		*v = true;
	else if (*s == '0' || *s == 'n' || *s == 'N' || !strncmp(s, "off", 3))
		*v = false;
	else
		return -EINVAL;
	return 0;
}

u64 rnd(void)
{
	static __thread u64 s;

	if (!s)
		s = 0x9e3779b97f4a7c15ull * ((u64)pthread_self() >> 8 | 1);
	s ^= s << 13;
	s ^= s >> 7;
	s ^= s << 17;
	return s >> 11;
}

/* ---- virt/kvm ---- */

struct x86_vm *vm;
struct hw_vcpu hw[TEST_VCPUS];
struct host_pte *host;
u8 *frame_state;
unsigned int remote_flushes;
u64 guest_rflags;
void (*during_lookup)(void);
struct vendor_caps vendor_caps;
struct list_head kvm_vms = { &kvm_vms, &kvm_vms };
struct mutex kvm_vms_lock;

static u64 next_frame = 1;
static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;	/* the VMM's page table, frames */
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t srcu = PTHREAD_RWLOCK_INITIALIZER;	/* readers never wait for a writer that waits */
static u64 generation;
static int flushes_waiting;		/* vCPUs stay out of guest mode for them, or mutexes let nobody in */

void vm_enter_srcu(void)
{
	pthread_rwlock_rdlock(&srcu);
}

void vm_leave_srcu(void)
{
	pthread_rwlock_unlock(&srcu);
}

int srcu_read_lock(struct srcu_struct *s)
{
	vm_enter_srcu();
	return 1;
}

void srcu_read_unlock(struct srcu_struct *s, int idx)
{
	CHECK_EQ(idx, 1);
	vm_leave_srcu();
}

struct memslots *kvm_slots(struct kvm *kvm, int as)
{
	return __atomic_load_n(&kvm->slots[as], __ATOMIC_ACQUIRE);
}

struct memslot *memslots_find(const struct memslots *s, gfn_t gfn)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (slot_has(s->slot[i], gfn))
			return s->slot[i];
	return NULL;
}

struct memslot *vcpu_slot(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	return memslots_find(kvm_slots(vcpu->kvm, vcpu->as), gfn);
}

static void publish(u16 as, struct memslot *drop, struct memslot *add, struct memslot *leaving)
{
	struct memslots *old = vm->kvm.slots[as], *s = calloc(1, sizeof(*s) + (old->n + 1) * sizeof(s->slot[0]));

	for (unsigned int i = 0; i < old->n; i++) {
		if (add && add->base.v < old->slot[i]->base.v) {
			s->slot[s->n++] = add;
			add = NULL;
		}
		if (old->slot[i] != drop)
			s->slot[s->n++] = old->slot[i];
	}
	if (add)
		s->slot[s->n++] = add;
	s->generation = ++generation;
	write_lock(&vm->kvm.mmu_lock);
	vm->kvm.leaving = leaving;
	__atomic_store_n(&vm->kvm.slots[as], s, __ATOMIC_RELEASE);
	write_unlock(&vm->kvm.mmu_lock);
	WRITE_ONCE(vm->kvm.slots[!as]->generation, generation);
	pthread_rwlock_wrlock(&srcu);
	pthread_rwlock_unlock(&srcu);
	free(old);
}

static struct memslot *slot_new(u16 as, u64 gfn, u64 npages, unsigned long hva, u32 flags)
{
	struct memslot *s = calloc(1, sizeof(*s));

	s->base = GFN(gfn);
	s->npages = npages;
	s->hva = HVA(hva);
	s->flags = flags;
	s->as = as;
	if (flags & KVM_MEM_LOG_DIRTY_PAGES)
		s->dirty = calloc(npages / 64 + 1, sizeof(long));
	return s;
}

static struct memslot *slot_publish(struct memslot *s)
{
	pthread_mutex_lock(&slots_lock);
	if (arch_slot_prepare(&vm->kvm, NULL, s, SLOT_CREATE)) {
		pthread_mutex_unlock(&slots_lock);
		free(s->dirty);
		free(s);
		return NULL;
	}
	publish(s->as, NULL, s, NULL);
	arch_slot_commit(&vm->kvm, NULL, s, SLOT_CREATE);
	pthread_mutex_unlock(&slots_lock);
	return s;
}

struct memslot *slot_add(u16 as, u64 gfn, u64 npages, u64 host_page, u32 flags)
{
	return slot_publish(slot_new(as, gfn, npages, HOST_HVA + (host_page << PAGE_SHIFT), flags));
}

struct memslot *slot_add_ram(u16 as, u64 gfn, void *mem, u64 npages)
{
	return slot_publish(slot_new(as, gfn, npages, (unsigned long)mem, 0));
}

void slot_del(struct memslot *s)
{
	pthread_mutex_lock(&slots_lock);
	publish(s->as, s, NULL, s);
	arch_slot_flush(&vm->kvm, s);
	write_lock(&vm->kvm.mmu_lock);
	vm->kvm.leaving = NULL;
	write_unlock(&vm->kvm.mmu_lock);
	arch_slot_commit(&vm->kvm, s, NULL, SLOT_DELETE);
	pthread_mutex_unlock(&slots_lock);
	free(s->dirty);
	free(s);
}

struct memslot *slot_set_flags(struct memslot *s, u32 flags)
{
	struct memslot *n = slot_new(s->as, s->base.v, s->npages, s->hva.v, flags);

	pthread_mutex_lock(&slots_lock);
	arch_slot_prepare(&vm->kvm, s, n, SLOT_FLAGS);
	publish(s->as, s, n, NULL);
	arch_slot_commit(&vm->kvm, s, n, SLOT_FLAGS);
	pthread_mutex_unlock(&slots_lock);
	free(s->dirty);
	free(s);
	return n;
}

void slot_mark_dirty(struct kvm *kvm, struct memslot *s, gfn_t gfn)
{
	u64 rel = gfn.v - s->base.v;

	if (s->dirty)
		__atomic_fetch_or(&s->dirty[rel / 64], 1ul << (rel % 64), __ATOMIC_SEQ_CST);
}

void kvm_flush_remote_tlbs(struct kvm *kvm)
{
	remote_flushes++;
	__atomic_fetch_add(&flushes_waiting, 1, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < TEST_VCPUS; i++) {
		pthread_mutex_lock(&hw[i].guest);
		memset(hw[i].tlb, 0, sizeof(hw[i].tlb));
		memset(hw[i].psc, 0, sizeof(hw[i].psc));
		pthread_mutex_unlock(&hw[i].guest);
	}
	__atomic_fetch_sub(&flushes_waiting, 1, __ATOMIC_SEQ_CST);
}

void guest_lock(struct hw_vcpu *c)
{
	while (READ_ONCE(flushes_waiting))
		sched_yield();
	pthread_mutex_lock(&c->guest);
}

/* The exit: what hardware logged is taken before anyone can see the vCPU outside. */
void guest_unlock(struct hw_vcpu *c)
{
	if (READ_ONCE(vm->log_slots) || c->logged == HW_LOG)
		mmu_drain_log(c->v);
	pthread_mutex_unlock(&c->guest);
}

static unsigned int take_log(struct x86_vcpu *v, const u64 **gpas)
{
	for (unsigned int i = 0; i < TEST_VCPUS; i++) {
		if (hw[i].v == v) {
			unsigned int n = hw[i].logged;

			*gpas = hw[i].log;
			hw[i].logged = 0;
			return n;
		}
	}
	return 0;
}

/* Waits until every vCPU has left the guest once. */
void kvm_request_all(struct kvm *kvm, unsigned int req)
{
	CHECK_EQ(req, REQ_DIRTY_LOG);
	__atomic_fetch_add(&flushes_waiting, 1, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < TEST_VCPUS; i++) {
		pthread_mutex_lock(&hw[i].guest);
		pthread_mutex_unlock(&hw[i].guest);
	}
	__atomic_fetch_sub(&flushes_waiting, 1, __ATOMIC_SEQ_CST);
}

int vcpu_read_guest(struct kvm_vcpu *vcpu, gpa_t gpa, void *data, size_t len)
{
	struct memslot *s = vcpu_slot(vcpu, gfn_of(gpa));

	if (!s)
		return -EFAULT;
	memcpy(data, (void *)(slot_hva(s, gfn_of(gpa)).v + (gpa.v & ~PAGE_MASK)), len);
	return 0;
}

int vcpu_read_guest_16(struct kvm_vcpu *vcpu, gpa_t gpa, u64 data[2])
{
	return vcpu_read_guest(vcpu, gpa, data, 16);
}

int vcpu_cmpxchg_guest(struct kvm_vcpu *vcpu, gpa_t gpa, unsigned int len, void *old, const void *new, bool *done)
{
	struct memslot *s = vcpu_slot(vcpu, gfn_of(gpa));
	void *p;

	if (!s || s->flags & KVM_MEM_READONLY)
		return -EFAULT;
	p = (void *)(slot_hva(s, gfn_of(gpa)).v + (gpa.v & ~PAGE_MASK));
	if (len == 8)
		*done = try_cmpxchg64((u64 *)p, (u64 *)old, *(u64 *)new);
	else
		*done = try_cmpxchg64((u32 *)p, (u32 *)old, *(u32 *)new);
	return 0;
}

/* ---- the VMM's memory ---- */

u64 frames_new(u64 n, u64 align, bool writable)
{
	u64 pfn = (next_frame + align - 1) & ~(align - 1);

	if (pfn + n > MAX_FRAMES) {
		fprintf(stderr, "the machine ran out of frames\n");
		exit(2);
	}
	next_frame = pfn + n;
	memset(frame_state + pfn, writable ? FRAME_WRITE : FRAME_READ, n);
	return pfn;
}

enum pin_result host_page_get(struct kvm *kvm, hva_t hva, bool write, bool atomic, struct host_page *hp)
{
	struct host_pte *p = &host[(hva.v - HOST_HVA) >> PAGE_SHIFT];
	enum pin_result r = PIN_OK;

	pthread_mutex_lock(&host_lock);
	if (p->poisoned) {
		r = PIN_HWPOISON;
	} else if (!p->present || (write && !p->writable)) {
		r = PIN_FAULT;
	} else {
		hp->hfn = HFN(p->pfn);
		hp->page = p->device ? NULL : (void *)1;
		hp->writable = p->writable;
	}
	pthread_mutex_unlock(&host_lock);
	if (during_lookup)
		during_lookup();
	return r;
}

void host_page_put(struct host_page *hp, bool dirty, bool accessed)
{
}

int host_mapping_level(struct kvm *kvm, hva_t hva)
{
	return host[(hva.v - HOST_HVA) >> PAGE_SHIFT].level;
}

static u64 range_of(const struct memslot *s, u64 page, u64 n, struct gfn_range *r)
{
	u64 first = (s->hva.v - HOST_HVA) >> PAGE_SHIFT, from = page > first ? page : first;
	u64 to = min(page + n, first + s->npages);

	if (s->hva.v < HOST_HVA || from >= to)
		return 0;
	r->slot = (struct memslot *)s;
	r->start = GFN(s->base.v + from - first);
	r->end = GFN(s->base.v + to - first);
	return to - from;
}

/* The slots of a range as the notifier finds them: all sets and the one that leaves, in one section of the lock. */
static unsigned int ranges_of(u64 page, u64 n, bool may_block, struct gfn_range *r, unsigned int max)
{
	unsigned int k = 0;

	for (int as = 0; as < KVM_ADDRESS_SPACES; as++) {
		struct memslots *s = kvm_slots(&vm->kvm, as);

		for (unsigned int i = 0; i < s->n && k < max; i++)
			k += range_of(s->slot[i], page, n, &r[k]) != 0;
	}
	if (vm->kvm.leaving && k < max)
		k += range_of(vm->kvm.leaving, page, n, &r[k]) != 0;
	for (unsigned int i = 0; i < k; i++)
		r[i].may_block = may_block;
	return k;
}

void host_invalidate(u64 page, u64 n, void (*change)(u64, u64), bool may_block)
{
	struct kvm *kvm = &vm->kvm;
	struct gfn_range r[16];
	unsigned int k, i;
	bool flush = false;
	hva_t start = HVA(HOST_HVA + (page << PAGE_SHIFT)), end = HVA(start.v + (n << PAGE_SHIFT));

	vm_enter_srcu();
	write_lock(&kvm->mmu_lock);
	if (!kvm->notifier_active++) {
		kvm->notifier_start = start;
		kvm->notifier_end = end;
	} else {
		kvm->notifier_start = HVA(min(kvm->notifier_start.v, start.v));
		kvm->notifier_end = HVA(kvm->notifier_end.v > end.v ? kvm->notifier_end.v : end.v);
	}
	k = ranges_of(page, n, may_block, r, ARRAY_SIZE(r));
	for (i = 0; i < k; i++)
		flush |= arch_mmu_unmap(kvm, &r[i]);
	write_unlock(&kvm->mmu_lock);
	if (flush)
		kvm_flush_remote_tlbs(kvm);
	vm_leave_srcu();

	pthread_mutex_lock(&host_lock);
	change(page, n);
	pthread_mutex_unlock(&host_lock);

	write_lock(&kvm->mmu_lock);
	kvm->notifier_seq++;
	kvm->notifier_active--;
	write_unlock(&kvm->mmu_lock);
}

bool host_age(u64 page, u64 n, bool clear)
{
	struct gfn_range r[16];
	bool young = false;
	unsigned int k, i;

	vm_enter_srcu();
	write_lock(&vm->kvm.mmu_lock);
	k = ranges_of(page, n, false, r, ARRAY_SIZE(r));
	for (i = 0; i < k; i++)
		young |= arch_mmu_age(&vm->kvm, &r[i], clear);
	write_unlock(&vm->kvm.mmu_lock);
	vm_leave_srcu();
	return young;
}

static u8 map_level;
static bool map_writable;

static void drop(u64 page, u64 n)
{
	for (u64 i = page; i < page + n; i++) {
		if (host[i].present && !host[i].device)
			__atomic_store_n(&frame_state[host[i].pfn], FRAME_DEAD, __ATOMIC_SEQ_CST);
		memset(&host[i], 0, sizeof(host[i]));
	}
}

static void do_map(u64 page, u64 n)
{
	u64 pfn;

	drop(page, n);
	pfn = frames_new(n, pt_frames(map_level), map_writable);
	for (u64 i = 0; i < n; i++)
		host[page + i] = (struct host_pte){ .pfn = pfn + i, .present = true, .writable = map_writable, .level = map_level };
}

void host_map(u64 page, u64 n, u8 level, bool writable)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&one);
	map_level = level;
	map_writable = writable;
	host_invalidate(page, n, do_map, true);
	pthread_mutex_unlock(&one);
}

void host_unmap(u64 page, u64 n)
{
	host_invalidate(page, n, drop, rnd() & 1);
}

static void do_split(u64 page, u64 n)
{
	for (u64 i = page; i < page + n; i++)
		host[i].level = PT_4K;
}

void host_split(u64 page, u64 n)
{
	host_invalidate(page, n, do_split, true);
}

/* ---- hardware ---- */

static void no_op_root(struct x86_vcpu *v, hpa_t root)
{
}

static void count_flush(struct x86_vcpu *v, enum flush_scope scope, u64 addr)
{
	for (unsigned int i = 0; i < TEST_VCPUS; i++)
		if (hw[i].v == v)
			hw[i].flushes++;
}

static void no_fetch(struct x86_vcpu *v, u32 groups)
{
	v->state.valid |= groups;
	v->state.rflags = guest_rflags;
}

struct vendor_ops vendor_ops;
__typeof__(vendor_ops.logged) vendor_logged = take_log;

__typeof__(vendor_ops.root) vendor_root = no_op_root;
__typeof__(vendor_ops.flush) vendor_flush = count_flush;
__typeof__(vendor_ops.fetch) vendor_fetch = no_fetch;

static enum pt_kind kind;

/* Bits as the manuals give them: SDM 29.3.2 for EPT, APM 5.3.3 and 15.25 for NPT. */
static enum hw_end walk_ept(u64 *table, int level, u64 gfn, bool write, bool exec, struct tlb_entry *t, u64 *error)
{
	u64 need = exec ? 4 : write ? 2 : 1, rights = 7;
	bool ad = kind == PT_EPT_AD;

	for (;; level--) {
		u64 *p = &table[(gfn >> (9 * (level - 1))) & 511], e = READ_ONCE(*p);
		bool leaf = level == 1 || (level <= 3 && e & 0x80);

		while (1) {
			u64 set = e | (ad ? 0x100 | (leaf && write ? 0x200 : 0) : 0);

			if (!(e & 7)) {
				*error = (write ? 2 : 0) | (exec ? 16 : 0);
				return HW_FAULT;
			}
			if ((e & 3) == 2 || (leaf && ((e >> 3 & 7) == 2 || (e >> 3 & 7) == 3 || (e >> 3 & 7) == 7)))
				return HW_TRAP;
			if (level > 3 && e & 0x80)
				return HW_TRAP;
			if (!leaf && e & 0x78)
				return HW_TRAP;
			if (!(rights & e & need)) {
				*error = 1 | (write ? 2 : 0) | (exec ? 16 : 0);
				return HW_FAULT;
			}
			if (set == e || try_cmpxchg64(p, &e, set)) {
				t->dirtied = set & ~e & 0x200;
				break;
			}
		}
		rights &= e;
		if (!leaf) {
			table = (u64 *)(e & 0xffffffffff000ull);
			t->table = level == 2 ? table : NULL;
			continue;
		}
		t->write = rights & 2 && (!ad || e & 0x200 || write);
		t->exec = rights & 4;
		t->pfn = ((e & 0xffffffffff000ull) >> 12) + (gfn & ((1ull << (9 * (level - 1))) - 1));
		return HW_OK;
	}
}

static enum hw_end walk_npt(u64 *table, int level, u64 gfn, bool write, bool exec, struct tlb_entry *t, u64 *error)
{
	u64 reserved = GENMASK_ULL(51, 0) & ~GENMASK_ULL(shim_phys_bits - 1, 0);
	bool w = true, nx = false;

	for (;; level--) {
		u64 *p = &table[(gfn >> (9 * (level - 1))) & 511], e = READ_ONCE(*p);
		bool leaf = level == 1 || (level <= 3 && e & 0x80);

		*error = 4 | (write ? 2 : 0) | (exec ? 16 : 0);
		while (1) {
			u64 set = e | 0x20 | (leaf && write ? 0x40 : 0);

			if (!(e & 1))
				return HW_FAULT;
			*error |= 1;
			if (e & reserved || (level > 3 && e & 0x80) ||
			    (leaf && level > 1 && e & (((1ull << (12 + 9 * (level - 1))) - 1) & ~0x1fffull)))
				return HW_TRAP;
			if (!(e & 4) || (write && !(w && e & 2)) || (exec && (nx || e >> 63)))
				return HW_FAULT;
			if (set == e || try_cmpxchg64(p, &e, set))
				break;
			*error &= ~1ull;
		}
		w &= !!(e & 2);
		nx |= e >> 63;
		if (!leaf) {
			table = (u64 *)(e & 0xffffffffff000ull);
			t->table = level == 2 ? table : NULL;
			continue;
		}
		t->write = w && (e & 0x40 || write);
		t->exec = !nx;
		t->pfn = ((e & 0xffffffffff000ull) >> 12) + (gfn & ((1ull << (9 * (level - 1))) - 1));
		return HW_OK;
	}
}

enum hw_end hw_access(struct hw_vcpu *c, u64 gfn, bool write, bool exec, u64 *pfn, u64 *error)
{
	struct tlb_entry *t = &c->tlb[gfn % TLB_SIZE], n = { .valid = true, .gfn = gfn };
	struct pt_space *sp = mmu_space(&vm->kvm, c->v->vcpu.as);
	struct psc_entry *psc = &c->psc[(gfn >> 9) % ARRAY_SIZE(c->psc)];
	u64 *table = sp->root->ent;
	int level = pt.levels;
	enum hw_end r;

	if (psc->valid && psc->region == gfn >> 9) {
		table = psc->table;
		level = PT_4K;
		n.table = table;
	}
	if (!(t->valid && t->gfn == gfn && (!write || t->write) && (!exec || t->exec))) {
		r = (kind == PT_NPT ? walk_npt : walk_ept)(table, level, gfn, write, exec, &n, error);
		if (n.table)
			*psc = (struct psc_entry){ .valid = true, .region = gfn >> 9, .table = n.table };
		if (r != HW_OK)
			return r;
		if (pt.hw_log && n.dirtied) {
			CHECK(c->logged < HW_LOG);	/* hw_exit() comes long before */
			c->log[c->logged++] = gfn << 12;
		}
		*t = n;
	}
	*pfn = t->pfn;
	return HW_OK;
}

u64 guest_access(struct hw_vcpu *c, u64 gfn, bool write, bool exec)
{
	u64 pfn = 0, error = 0;

	for (int tries = 0; tries < 1000; tries++) {
		enum fault_end end;
		enum hw_end r;

		vm_enter_srcu();
		if (c->v->root_as != c->v->vcpu.as && mmu_load_root(c->v) != OUT_OK) {
			vm_leave_srcu();
			return IS_ERROR;
		}
		guest_lock(c);
		r = hw_access(c, gfn, write, exec, &pfn, &error);
		guest_unlock(c);
		if (r == HW_OK)
			end = FAULT_FIXED;
		else if (r == HW_TRAP && mmu_mmio_valid(c->v, gpa_of(GFN(gfn))))
			end = FAULT_MMIO;
		else
			end = mmu_fault(c->v, gpa_of(GFN(gfn)), r == HW_TRAP ? 0 : error);
		vm_leave_srcu();
		if (r == HW_OK)
			return pfn;
		if (end == FAULT_MMIO)
			return IS_MMIO;
		if (end == FAULT_ERROR)
			return IS_ERROR;
	}
	CHECK(!"no progress");
	return IS_ERROR;
}

/* ---- start and end ---- */

void machine_start(enum pt_kind k, unsigned int levels, bool page_1g)
{
	struct vendor_caps caps = {
		.two_dim = true, .ept_format = k != PT_NPT, .ept_ad = k == PT_EPT_AD, .two_dim_levels = levels, .page_1g = page_1g,
		.pml = shim_pml,
	};
	pthread_rwlockattr_t attr;
	unsigned int i;

	kind = k;
	if (!host) {
		host = mmap(NULL, HOST_PAGES * sizeof(*host), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		frame_state = mmap(NULL, MAX_FRAMES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	}
	madvise(host, HOST_PAGES * sizeof(*host), MADV_DONTNEED);
	madvise(frame_state, MAX_FRAMES, MADV_DONTNEED);
	next_frame = 1;
	remote_flushes = poison_signals = 0;
	during_lookup = NULL;
	fail_alloc_after = -1;
	CHECK_EQ(mmu_module_init(&caps), 0);

	vm = calloc(1, sizeof(*vm));
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&vm->kvm.mmu_lock.l, &attr);
	CHECK_EQ(mmu_vm_init(vm), 0);
	kvm_vms.next = kvm_vms.prev = &vm->kvm.link;
	vm->kvm.link.next = vm->kvm.link.prev = &kvm_vms;
	for (i = 0; i < KVM_ADDRESS_SPACES; i++)
		vm->kvm.slots[i] = calloc(1, sizeof(struct memslots));
	for (i = 0; i < TEST_VCPUS; i++) {
		memset(&hw[i], 0, sizeof(hw[i]));
		pthread_mutex_init(&hw[i].guest, NULL);
		hw[i].v = calloc(1, sizeof(struct x86_vcpu));
		hw[i].v->vcpu.kvm = &vm->kvm;
		hw[i].v->vcpu.id = i;
		CHECK_EQ(mmu_vcpu_init(hw[i].v), 0);
	}
}

void machine_end(void)
{
	unsigned int i, j;

	for (i = 0; i < TEST_VCPUS; i++) {
		mmu_vcpu_free(hw[i].v);
		free(hw[i].v);
	}
	mmu_zap_all(&vm->kvm);
	for (i = 0; i < KVM_ADDRESS_SPACES; i++)
		CHECK_EQ(vm->mmu->space[i].tables.counter, 0);
	mmu_vm_destroy(vm);
	for (i = 0; i < KVM_ADDRESS_SPACES; i++) {
		for (j = 0; j < vm->kvm.slots[i]->n; j++) {
			free(vm->kvm.slots[i]->slot[j]->dirty);
			free(vm->kvm.slots[i]->slot[j]);
		}
		free(vm->kvm.slots[i]);
	}
	mmu_module_exit();
	CHECK_EQ(live_pages, 0);
	CHECK_EQ(live_objects, 0);
	CHECK_EQ(vm->kvm.stat.pages_4k.counter, 0);
	CHECK_EQ(vm->kvm.stat.pages_2m.counter, 0);
	CHECK_EQ(vm->kvm.stat.pages_1g.counter, 0);
	kvm_vms.next = kvm_vms.prev = &kvm_vms;
	free(vm);
	vm = NULL;
}
