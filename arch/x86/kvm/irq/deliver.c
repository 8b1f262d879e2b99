// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupt messages: which local APICs a destination means, and what each does with the message.
 *
 * Nearly every message goes to one vCPU by its ID. For these the VM has a map, published under RCU: an array from ID to
 * vCPU and, where all addressed APICs use the same logical mode, the few that a logical destination can name.
 * What the map cannot answer (IDs given twice, mixed modes, broadcasts) is answered by asking every vCPU's registers,
 * which is always right. A vCPU thread that changes a register of addressing builds the map anew before it goes on,
 * so nobody ever sees a map older than a finished guest instruction.
 *
 * Delivery runs in any context; vCPUs live as long as the VM, whose caller holds it.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/bitops.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include "irqchip_priv.h"
#include "lapic_priv.h"

#define XAPIC_BROADCAST		0xffu
#define X2APIC_BROADCAST	0xffffffffu
#define XAPIC_IDS		256

enum logical_kind { LOG_NONE, LOG_FLAT, LOG_CLUSTER, LOG_X2APIC, LOG_ASK };

struct apic_map {
	struct rcu_head rcu;
	unsigned int vcpus;		/* online when it was built: a later one is not in it */
	u32 size;			/* of id[] */
	bool unique;			/* no ID is given twice */
	u8 logical;			/* enum logical_kind */
	struct x86_vcpu *log[64];	/* flat: by bit; cluster: by cluster * 4 + bit */
	struct x86_vcpu *id[];
};

/* Building */

/* IDs above 255 are there before the guest turns x2APIC on, so that the first CPU can start the others. */
static u32 physical_id(const struct x86_vcpu *v)
{
	if (is_x2apic(v) || v->vcpu.id >= XAPIC_IDS)
		return v->vcpu.id;
	return reg_get(v->lapic, R_ID) >> 24;
}

static bool is_flat(const struct x86_vcpu *v)
{
	return reg_get(v->lapic, R_DFR) >> 28 == 0xf;
}

static void map_log(struct apic_map *m, unsigned int slot, struct x86_vcpu *v)
{
	if (m->log[slot])
		m->logical = LOG_ASK;
	m->log[slot] = v;
}

static void map_logical(struct apic_map *m, struct x86_vcpu *v)
{
	u8 ldr = reg_get(v->lapic, R_LDR) >> 24;
	unsigned int kind, bit;

	if (is_x2apic(v))
		kind = LOG_X2APIC;
	else if (!ldr)
		return;
	else
		kind = is_flat(v) ? LOG_FLAT : LOG_CLUSTER;
	if (m->logical == LOG_NONE)
		m->logical = kind;
	if (m->logical != kind)
		m->logical = LOG_ASK;

	/* One that listens to several bits must still get a message once. */
	if (kind != LOG_X2APIC && hweight8(kind == LOG_FLAT ? ldr : ldr & 15) > 1)
		m->logical = LOG_ASK;

	switch (m->logical) {
	case LOG_FLAT:
		for (bit = 0; bit < 8; bit++)
			if (ldr & 1u << bit)
				map_log(m, bit, v);
		break;
	case LOG_CLUSTER:
		if (ldr >> 4 == 15)
			m->logical = LOG_ASK;
		for (bit = 0; bit < 4; bit++)
			if (ldr & 1u << bit)
				map_log(m, (ldr >> 4) * 4 + bit, v);
		break;
	}
}

static void map_vcpu(struct apic_map *m, struct x86_vcpu *v)
{
	u32 id;

	if (!v->lapic || !(READ_ONCE(v->apic_base) & BASE_EN))
		return;
	id = physical_id(v);
	if (id >= m->size) {
		m->unique = false;	/* came after the size was taken */
		return;
	}
	if (m->id[id])
		m->unique = false;
	m->id[id] = v;
	map_logical(m, v);
}

static struct apic_map *map_build(struct x86_vm *vm)
{
	unsigned int i, n = atomic_read_acquire(&vm->kvm.online_vcpus);
	u32 size = XAPIC_IDS;
	struct apic_map *m;

	for (i = 0; i < n; i++)
		size = max(size, vm->kvm.vcpu[i]->id + 1);
	m = kvzalloc(struct_size(m, id, size), GFP_KERNEL_ACCOUNT);
	if (!m)
		return NULL;
	m->vcpus = n;
	m->size = size;
	m->unique = true;
	for (i = 0; i < n; i++)
		map_vcpu(m, x86_vcpu(vm->kvm.vcpu[i]));
	return m;
}

void apic_map_changed(struct x86_vm *vm)
{
	struct apic_map *old, *new;

	atomic_inc(&vm->apic_map_dirty);
	mutex_lock(&vm->apic_map_lock);
	/* 0: somebody built it after our increment, with our change in it. */
	if (atomic_xchg(&vm->apic_map_dirty, 0)) {
		new = map_build(vm);	/* without memory: every message asks */
		old = rcu_replace_pointer(vm->apic_map, new, lockdep_is_held(&vm->apic_map_lock));
		if (old)
			kvfree_rcu(old, rcu);
	}
	mutex_unlock(&vm->apic_map_lock);
}

void apic_map_free(struct x86_vm *vm)
{
	kvfree(rcu_replace_pointer(vm->apic_map, NULL, true));
}

/* Asking */

static bool physical_match(const struct x86_vcpu *v, u32 dest)
{
	return dest == physical_id(v) || dest == (is_x2apic(v) ? X2APIC_BROADCAST : XAPIC_BROADCAST);
}

static bool logical_match(const struct x86_vcpu *v, u32 dest)
{
	u32 ldr = reg_get(v->lapic, R_LDR);

	if (is_x2apic(v))
		return dest == X2APIC_BROADCAST || (dest >> 16 == ldr >> 16 && dest & ldr & 0xffff);
	if (dest > 0xff)
		return false;
	ldr >>= 24;
	if (is_flat(v))
		return dest & ldr;
	return dest == XAPIC_BROADCAST || ((dest >> 4 == 15 || dest >> 4 == ldr >> 4) && dest & ldr & 15);
}

bool apic_dest_matches(struct x86_vcpu *v, u32 dest, bool logical)
{
	if (!v->lapic || !(READ_ONCE(v->apic_base) & BASE_EN))
		return false;
	return logical ? logical_match(v, dest) : physical_match(v, dest);
}

/* Accepting */

static int accept_init_sipi(struct x86_vcpu *v, const struct apic_msg *m)
{
	if (m->mode == MODE_INIT) {
		if (m->level && !m->assert)
			return -1;
		WRITE_ONCE(v->apic_events, BIT(APIC_EVENT_INIT));	/* a SIPI before it is void */
	} else {
		WRITE_ONCE(v->sipi_vector, m->vector);
		smp_wmb();	/* the vector is seen with the bit */
		set_bit(APIC_EVENT_SIPI, &v->apic_events);
	}
	vcpu_request_kick(v, REQ_APIC_EVENT);
	return 1;
}

int lapic_accept(struct x86_vcpu *v, const struct apic_msg *m)
{
	switch (m->mode) {
	case MODE_FIXED:
	case MODE_LOWEST:
		if (unlikely(!READ_ONCE(v->lapic->accepts)))
			return -1;
		if (unlikely(m->vector < 16)) {
			lapic_error(v, ESR_RECEIVE_VECTOR);
			return -1;
		}
		return lapic_post(v, m->vector, m->level);
	case MODE_NMI:
		atomic_inc(&v->ev.nmi_queued);
		vcpu_request_kick(v, REQ_NMI);
		return 1;
	case MODE_SMI:
		vcpu_request_kick(v, REQ_SMI);
		return 1;
	case MODE_INIT:
	case MODE_SIPI:
		return accept_init_sipi(v, m);
	case MODE_EXTINT:
		WRITE_ONCE(v->lapic->extint, true);
		vcpu_request_kick(v, REQ_EVENT);
		return 1;
	}
	return -1;
}

static void count_in(int *sum, int r)
{
	if (r >= 0)
		*sum = *sum < 0 ? r : *sum + r;
}

/* Who gets a lowest-priority message of n that would take it: the vector decides, so that it stays with one CPU. */
static unsigned int arbitrate(const struct apic_msg *m, unsigned int n)
{
	return m->vector % n;
}

static int deliver_few(struct x86_vcpu **to, unsigned int n, const struct apic_msg *m)
{
	unsigned int i, takers = 0;
	int sum = -1;

	if (m->mode != MODE_LOWEST) {
		for (i = 0; i < n; i++)
			count_in(&sum, lapic_accept(to[i], m));
		return sum;
	}
	for (i = 0; i < n; i++)
		if (READ_ONCE(to[i]->lapic->accepts))
			to[takers++] = to[i];
	return takers ? lapic_accept(to[arbitrate(m, takers)], m) : -1;
}

/* Every vCPU of the VM that pick() wants. */
struct choice {
	const struct apic_msg *m;
	const struct x86_vcpu *source;
	bool everybody;
};

static bool pick(const struct choice *c, struct x86_vcpu *v)
{
	if (!c->everybody)
		return apic_dest_matches(v, c->m->dest, c->m->logical);
	if (!v->lapic || !(READ_ONCE(v->apic_base) & BASE_EN))
		return false;
	return c->m->shorthand != SHORT_OTHERS || v != c->source;
}

static int deliver_lowest(struct x86_vm *vm, const struct choice *c)
{
	unsigned int i, takers = 0, chosen;
	struct kvm_vcpu *t;

	kvm_for_each_vcpu(i, t, &vm->kvm)
		takers += pick(c, x86_vcpu(t)) && READ_ONCE(x86_vcpu(t)->lapic->accepts);
	if (!takers)
		return -1;
	chosen = arbitrate(c->m, takers);
	kvm_for_each_vcpu(i, t, &vm->kvm) {
		if (!pick(c, x86_vcpu(t)) || !READ_ONCE(x86_vcpu(t)->lapic->accepts))
			continue;
		if (!chosen--)
			return lapic_accept(x86_vcpu(t), c->m);
	}
	return -1;
}

static int deliver_asking(struct x86_vm *vm, const struct choice *c)
{
	struct kvm_vcpu *t;
	unsigned int i;
	int sum = -1;

	if (c->m->mode == MODE_LOWEST)
		return deliver_lowest(vm, c);
	kvm_for_each_vcpu(i, t, &vm->kvm)
		if (pick(c, x86_vcpu(t)))
			count_in(&sum, lapic_accept(x86_vcpu(t), c->m));
	return sum;
}

/* By the map */

/* Those of a cluster of the x2APIC; an AP that is not in that mode yet does not listen. */
static unsigned int x2apic_cluster(const struct apic_map *map, u32 dest, struct x86_vcpu **to)
{
	u32 base = dest >> 16 << 4;
	unsigned int n = 0;
	unsigned long bits = dest & 0xffff;
	unsigned int bit;

	for_each_set_bit(bit, &bits, 16) {
		struct x86_vcpu *v;

		if (base + bit >= map->size)
			break;
		v = map->id[array_index_nospec(base + bit, map->size)];
		if (v && is_x2apic(v))
			to[n++] = v;
	}
	return n;
}

static int deliver_logical(const struct apic_map *map, const struct apic_msg *m)
{
	struct x86_vcpu *to[16];
	unsigned int n = 0, first = 0, bit;
	unsigned long bits = m->dest & 0xff;

	if (map->logical == LOG_X2APIC)
		return deliver_few(to, x2apic_cluster(map, m->dest, to), m);
	if (m->dest > 0xff)
		return -1;
	if (map->logical == LOG_CLUSTER) {
		first = (m->dest >> 4 & 15) * 4;
		bits &= 15;
	}
	for_each_set_bit(bit, &bits, 8)
		if (map->log[array_index_nospec(first + bit, 64)])
			to[n++] = map->log[array_index_nospec(first + bit, 64)];
	return deliver_few(to, n, m);
}

static bool map_knows(const struct x86_vm *vm, const struct apic_map *map, const struct apic_msg *m)
{
	if (!map)
		return false;
	/* A device's 8-bit FFH is a broadcast for those in xAPIC mode, whatever x2APICs make of it. */
	if (m->dest == XAPIC_BROADCAST && map->logical != LOG_X2APIC)
		return false;
	if (!m->logical)
		return map->unique;
	if (map->logical == LOG_CLUSTER && m->dest >> 4 == 15)
		return false;
	return map->logical != LOG_ASK;
}

/* Do all LAPICs of the VM take this destination for themselves? */
static bool is_broadcast(const struct x86_vm *vm, const struct x86_vcpu *source, u32 dest)
{
	if (likely(dest != XAPIC_BROADCAST))
		return dest == X2APIC_BROADCAST;
	return source ? !is_x2apic(source) : !vm->x2apic_no_bcast_quirk;
}

int apic_deliver(struct x86_vm *vm, struct x86_vcpu *source, const struct apic_msg *m)
{
	struct choice c = { .m = m, .source = source };
	const struct apic_map *map;
	struct x86_vcpu *v;
	bool known;
	int r = -1;

	if (m->shorthand == SHORT_SELF)
		return source ? lapic_accept(source, m) : -1;
	c.everybody = m->shorthand || is_broadcast(vm, source, m->dest);
	if (c.everybody)
		return deliver_asking(vm, &c);

	rcu_read_lock();
	map = rcu_dereference(vm->apic_map);
	known = map_knows(vm, map, m);
	if (known && !m->logical) {
		v = m->dest < map->size ? map->id[array_index_nospec(m->dest, map->size)] : NULL;
		if (likely(v))
			r = lapic_accept(v, m);
		else
			known = map->vcpus == atomic_read(&vm->kvm.online_vcpus);
	} else if (known) {
		r = deliver_logical(map, m);
	}
	rcu_read_unlock();
	return known ? r : deliver_asking(vm, &c);
}
