// SPDX-License-Identifier: GPL-2.0-only
/*
 * GSI routing: the table from interrupt numbers, as the VMM and eventfds use them, to pins and messages.
 *
 * A table is one block that never changes once published under kvm->irq_srcu: routes sorted by GSI, the place where
 * each GSI's routes begin, and for each controller pin the GSI that drives it. So raising an interrupt is two loads
 * and a call, in any context but NMI. Writers hold kvm->irq_lock; KVM_SET_GSI_ROUTING replaces the table
 * whole and returns when no interrupt goes by the old one.
 *
 * Acknowledge notifiers ride along: who wants to know that the guest is done with a GSI's pin. They are few, so they
 * are a list.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <kvm/arch.h>
#include <kvm/routing.h>
#include <kvm/vm.h>

#define ROUTES_MAX	(4 * KVM_MAX_GSI)
#define CHIPS		3
#define CHIP_PINS	24

struct irq_routing {
	unsigned int n_gsi;			/* GSIs beyond have no route */
	s16 gsi_of[CHIPS][CHIP_PINS];		/* -1: nobody drives the pin */
	u16 *begin;				/* [n_gsi + 1]: first route of each GSI */
	struct irq_route route[];
};

static struct irq_routing *table(struct kvm *kvm)
{
	return srcu_dereference(kvm->routing, &kvm->irq_srcu);
}

/* The routes of one GSI are route[*from] up to route[to]; the result is to. */
static unsigned int routes_of(const struct irq_routing *t, u32 gsi, unsigned int *from)
{
	if (!t || gsi >= t->n_gsi) {
		*from = 0;
		return 0;
	}
	gsi = array_index_nospec(gsi, t->n_gsi);
	*from = t->begin[gsi];
	return t->begin[gsi + 1];
}

int kvm_set_irq(struct kvm *kvm, int source, u32 gsi, bool level)
{
	const struct irq_routing *t;
	unsigned int i, end;
	int idx, r, sum = -1;

	idx = srcu_read_lock(&kvm->irq_srcu);
	t = table(kvm);
	end = routes_of(t, gsi, &i);
	for (; i < end; i++) {
		r = t->route[i].set(kvm, &t->route[i], source, level);
		if (r >= 0)
			sum = sum < 0 ? r : sum + r;
	}
	srcu_read_unlock(&kvm->irq_srcu, idx);
	return sum;
}

bool kvm_send_if_msi(struct kvm *kvm, int source, u32 gsi)
{
	const struct irq_routing *t;
	unsigned int i, end;
	bool msi;
	int idx;

	idx = srcu_read_lock(&kvm->irq_srcu);
	t = table(kvm);
	end = routes_of(t, gsi, &i);
	msi = i < end && t->route[i].type == KVM_IRQ_ROUTING_MSI;
	if (msi)
		t->route[i].set(kvm, &t->route[i], source, true);
	srcu_read_unlock(&kvm->irq_srcu, idx);
	return msi;
}

/* May this entry stand beside those before it? One route of a GSI to each controller; other kinds stand alone. */
static bool fits(const struct irq_routing *t, unsigned int from, unsigned int to, const struct irq_route *r)
{
	unsigned int i;

	for (i = from; i < to; i++) {
		if (r->type != KVM_IRQ_ROUTING_IRQCHIP || t->route[i].type != KVM_IRQ_ROUTING_IRQCHIP ||
		    t->route[i].pin.chip == r->pin.chip)
			return false;
	}
	return true;
}

static int fill(struct kvm *kvm, struct irq_routing *t, u16 *used, const struct kvm_irq_routing_entry *e,
		unsigned int n)
{
	unsigned int i, at;
	int err;

	for (i = 0; i < n; i++, e++) {
		struct irq_route r = { .gsi = e->gsi, .type = e->type };

		err = arch_irq_route_set(kvm, &r, e);
		if (err)
			return err;
		at = t->begin[r.gsi];
		if (!fits(t, at, at + used[r.gsi], &r))
			return -EINVAL;
		t->route[at + used[r.gsi]++] = r;
		if (r.type != KVM_IRQ_ROUTING_IRQCHIP)
			continue;
		if (r.pin.chip >= CHIPS || r.pin.pin >= CHIP_PINS)
			return -EINVAL;
		t->gsi_of[r.pin.chip][r.pin.pin] = r.gsi;
	}
	return 0;
}

/* A table for entries whose GSIs are in range, or an error: sorts by counting. */
static struct irq_routing *build(struct kvm *kvm, const struct kvm_irq_routing_entry *e, unsigned int n)
{
	unsigned int i, n_gsi = 0, sum = 0;
	struct irq_routing *t;
	u16 *used;
	int err;

	for (i = 0; i < n; i++) {
		if (e[i].gsi >= KVM_MAX_GSI)
			return ERR_PTR(-EINVAL);
		n_gsi = max(n_gsi, e[i].gsi + 1);
	}
	t = kvzalloc(struct_size(t, route, n) + (n_gsi + 1) * sizeof(*t->begin), GFP_KERNEL_ACCOUNT);
	used = kvcalloc(n_gsi + 1, sizeof(*used), GFP_KERNEL_ACCOUNT);
	if (!t || !used) {
		err = -ENOMEM;
		goto fail;
	}
	t->n_gsi = n_gsi;
	t->begin = (u16 *)&t->route[n];
	memset(t->gsi_of, 0xff, sizeof(t->gsi_of));
	for (i = 0; i < n; i++)
		used[e[i].gsi]++;
	for (i = 0; i <= n_gsi; i++) {
		t->begin[i] = sum;
		sum += used[i];
		used[i] = 0;
	}
	err = fill(kvm, t, used, e, n);
	if (err)
		goto fail;
	kvfree(used);
	return t;
fail:
	kvfree(used);
	kvfree(t);
	return ERR_PTR(err);
}

int kvm_set_routing(struct kvm *kvm, const struct kvm_irq_routing_entry *e, unsigned int n)
{
	struct irq_routing *old, *new;

	lockdep_assert_held(&kvm->lock);
	if (n > ROUTES_MAX)
		return -EINVAL;
	new = build(kvm, e, n);
	if (IS_ERR(new))
		return PTR_ERR(new);
	mutex_lock(&kvm->irq_lock);
	old = rcu_replace_pointer(kvm->routing, new, lockdep_is_held(&kvm->irq_lock));
	mutex_unlock(&kvm->irq_lock);
	synchronize_srcu_expedited(&kvm->irq_srcu);
	kvfree(old);
	arch_irq_routes_changed(kvm);
	return 0;
}

void kvm_free_routing(struct kvm *kvm)
{
	kvfree(rcu_replace_pointer(kvm->routing, NULL, true));
}

void kvm_for_each_route(struct kvm *kvm, void (*fn)(const struct irq_route *r, void *data), void *data)
{
	int idx = srcu_read_lock(&kvm->irq_srcu);
	const struct irq_routing *t = table(kvm);
	unsigned int i;

	for (i = 0; t && i < t->begin[t->n_gsi]; i++)
		fn(&t->route[i], data);
	srcu_read_unlock(&kvm->irq_srcu, idx);
}

/* Caller in irq_srcu. */
static int pin_gsi(struct kvm *kvm, u32 chip, u32 pin)
{
	const struct irq_routing *t = table(kvm);

	if (!t || chip >= CHIPS || pin >= CHIP_PINS)
		return -1;
	return t->gsi_of[array_index_nospec(chip, CHIPS)][array_index_nospec(pin, CHIP_PINS)];
}

int kvm_pin_to_gsi(struct kvm *kvm, u32 chip, u32 pin)
{
	int idx = srcu_read_lock(&kvm->irq_srcu);
	int gsi = pin_gsi(kvm, chip, pin);

	srcu_read_unlock(&kvm->irq_srcu, idx);
	return gsi;
}

void kvm_irq_ack_register(struct kvm *kvm, struct irq_ack_notifier *n)
{
	mutex_lock(&kvm->irq_lock);
	hlist_add_head_rcu(&n->link, &kvm->irq_ack_list);
	mutex_unlock(&kvm->irq_lock);
	arch_irq_routes_changed(kvm);
}

/* When it returns the notifier is not running and will not run. */
void kvm_irq_ack_unregister(struct kvm *kvm, struct irq_ack_notifier *n)
{
	mutex_lock(&kvm->irq_lock);
	hlist_del_init_rcu(&n->link);
	mutex_unlock(&kvm->irq_lock);
	synchronize_srcu(&kvm->irq_srcu);
	arch_irq_routes_changed(kvm);
}

void kvm_irq_acked(struct kvm *kvm, u32 chip, u32 pin)
{
	struct irq_ack_notifier *n;
	int idx, gsi;

	if (hlist_empty(&kvm->irq_ack_list))
		return;
	idx = srcu_read_lock(&kvm->irq_srcu);
	gsi = pin_gsi(kvm, chip, pin);
	if (gsi >= 0) {
		hlist_for_each_entry_srcu(n, &kvm->irq_ack_list, link, srcu_read_lock_held(&kvm->irq_srcu)) {
			if (n->gsi == gsi)
				n->acked(n);
		}
	}
	srcu_read_unlock(&kvm->irq_srcu, idx);
}

bool kvm_irq_has_ack_notifier(struct kvm *kvm, u32 chip, u32 pin)
{
	struct irq_ack_notifier *n;
	bool found = false;
	int idx, gsi;

	idx = srcu_read_lock(&kvm->irq_srcu);
	gsi = pin_gsi(kvm, chip, pin);
	if (gsi >= 0) {
		hlist_for_each_entry_srcu(n, &kvm->irq_ack_list, link, srcu_read_lock_held(&kvm->irq_srcu))
			found |= n->gsi == gsi;
	}
	srcu_read_unlock(&kvm->irq_srcu, idx);
	return found;
}
