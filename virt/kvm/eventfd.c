// SPDX-License-Identifier: GPL-2.0-only
/*
 * irqfd: an eventfd raises a GSI. The other way round is in ioeventfd.c.
 *
 * An irqfd waits first and alone in its eventfd's queue and takes the count itself, so user space or vhost signals
 * and nobody has to read. Called there with the queue's lock held and IRQs off, it sends a message route at once and
 * leaves pins to a work item, whose acknowledgements may signal other eventfds. Routes are looked up when
 * the event comes: an irqfd may exist before its GSI has a route, and follows every new table.
 *
 * RESAMPLE is for level interrupts: the event raises the line, the guest's EOI lowers it and signals the resample
 * eventfd, whose owner raises it again if the device still wants attention. All such irqfds of a GSI share one line
 * and one acknowledge notifier (struct resampler).
 *
 * Lifetime: who takes an irqfd off kvm->irqfds.items (under irqfds.lock) ends it: removal by the VMM, the closing of
 * the eventfd (EPOLLHUP in the wakeup) or of the VM. The rest happens in a work item, because the wakeup can do
 * none of it. resampler_lock makes one configuration change at a time.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/kvm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <compat/eventfd.h>
#include <kvm/arch.h>
#include <kvm/eventfd.h>
#include <kvm/routing.h>
#include <kvm/vm.h>

/* One GSI's line that resampling irqfds hold up together. */
struct resampler {
	struct kvm *kvm;
	struct irq_ack_notifier ack;
	struct list_head irqfds;	/* resampler_lock; readers in irq_srcu */
	struct list_head link;		/* in kvm->irqfds.resamplers; resampler_lock */
};

struct irqfd {
	struct kvm *kvm;
	u32 gsi;
	struct eventfd_ctx *event;
	struct eventfd_ctx *resample;	/* NULL: an edge */
	struct resampler *line;
	struct list_head line_link;
	struct list_head link;		/* in kvm->irqfds.items; irqfds.lock */
	wait_queue_entry_t wait;
	poll_table poll;
	int wait_error;
	struct work_struct raise, end;
};

static void raise_work(struct work_struct *work)
{
	struct irqfd *f = container_of(work, struct irqfd, raise);

	if (f->resample) {
		kvm_set_irq(f->kvm, IRQ_SOURCE_RESAMPLE, f->gsi, true);
	} else {
		kvm_set_irq(f->kvm, IRQ_SOURCE_USER, f->gsi, true);
		kvm_set_irq(f->kvm, IRQ_SOURCE_USER, f->gsi, false);
	}
}

/* The event came. Any context. */
static void fire(struct irqfd *f)
{
	if (f->resample || !kvm_send_if_msi(f->kvm, IRQ_SOURCE_USER, f->gsi))
		schedule_work(&f->raise);
}

/* Guest's EOI: in irq_srcu, maybe atomic. The line goes down before anybody is told, who may raise it again. */
static void resampler_acked(struct irq_ack_notifier *n)
{
	struct resampler *r = container_of(n, struct resampler, ack);
	struct irqfd *f;

	kvm_set_irq(r->kvm, IRQ_SOURCE_RESAMPLE, n->gsi, false);
	list_for_each_entry_srcu(f, &r->irqfds, line_link, srcu_read_lock_held(&r->kvm->irq_srcu))
		compat_eventfd_signal(f->resample);
}

static int resampler_join(struct irqfd *f)
{
	struct kvm *kvm = f->kvm;
	struct resampler *r;

	list_for_each_entry(r, &kvm->irqfds.resamplers, link)
		if (r->ack.gsi == f->gsi)
			goto join;
	r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
	if (!r)
		return -ENOMEM;
	r->kvm = kvm;
	INIT_LIST_HEAD(&r->irqfds);
	r->ack.gsi = f->gsi;
	r->ack.acked = resampler_acked;
	list_add(&r->link, &kvm->irqfds.resamplers);
	kvm_irq_ack_register(kvm, &r->ack);
join:
	f->line = r;
	list_add_rcu(&f->line_link, &r->irqfds);
	return 0;
}

static void resampler_leave(struct irqfd *f)
{
	struct resampler *r = f->line;
	struct kvm *kvm = f->kvm;

	mutex_lock(&kvm->irqfds.resampler_lock);
	list_del_rcu(&f->line_link);
	if (!list_empty(&r->irqfds)) {
		synchronize_srcu(&kvm->irq_srcu);
		goto out;
	}
	/* The last one: unregistering waits for readers too, and then nobody is left who could lower the line. */
	kvm_irq_ack_unregister(kvm, &r->ack);
	kvm_set_irq(kvm, IRQ_SOURCE_RESAMPLE, r->ack.gsi, false);
	list_del(&r->link);
	kfree(r);
out:
	mutex_unlock(&kvm->irqfds.resampler_lock);
}

/* It is off the list: nobody else ends it. */
static void end_work(struct work_struct *work)
{
	struct irqfd *f = container_of(work, struct irqfd, end);
	u64 count;

	eventfd_ctx_remove_wait_queue(f->event, &f->wait, &count);
	flush_work(&f->raise);
	if (f->line) {
		resampler_leave(f);
		eventfd_ctx_put(f->resample);
	}
	eventfd_ctx_put(f->event);
	kfree(f);
}

/* irqfds.lock held. */
static void start_ending(struct irqfd *f)
{
	list_del_init(&f->link);
	queue_work(f->kvm->irqfds.cleanup, &f->end);
}

/* The eventfd's queue lock is held, IRQs are off. */
static int wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *f = container_of(wait, struct irqfd, wait);
	__poll_t flags = key_to_poll(key);
	unsigned long irqs;
	int took = 0;

	if (flags & EPOLLIN) {
		u64 count;

		eventfd_ctx_do_read(f->event, &count);
		fire(f);
		took = 1;
	}
	if (flags & EPOLLHUP) {
		spin_lock_irqsave(&f->kvm->irqfds.lock, irqs);
		if (!list_empty(&f->link))
			start_ending(f);
		spin_unlock_irqrestore(&f->kvm->irqfds.lock, irqs);
	}
	return took;
}

static void queue_in(struct file *file, wait_queue_head_t *wqh, poll_table *pt)
{
	struct irqfd *f = container_of(pt, struct irqfd, poll);

	f->wait_error = compat_add_exclusive_waiter(wqh, &f->wait);
}

/* Allocated once per VM that has irqfds: flushing it waits for the VM's own endings only. */
static int need_cleanup_queue(struct kvm *kvm)
{
	if (!kvm->irqfds.cleanup)
		kvm->irqfds.cleanup = alloc_workqueue("kvm-irqfd", WQ_UNBOUND, 0);
	return kvm->irqfds.cleanup ? 0 : -ENOMEM;
}

static bool event_in_use(struct kvm *kvm, const struct eventfd_ctx *event)
{
	const struct irqfd *f;
	bool used = false;

	spin_lock_irq(&kvm->irqfds.lock);
	list_for_each_entry(f, &kvm->irqfds.items, link)
		used |= f->event == event;
	spin_unlock_irq(&kvm->irqfds.lock);
	return used;
}

static struct irqfd *irqfd_new(struct kvm *kvm, const struct kvm_irqfd *a, struct file *file)
{
	struct irqfd *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	int err;

	if (!f)
		return ERR_PTR(-ENOMEM);
	f->kvm = kvm;
	f->gsi = a->gsi;
	INIT_LIST_HEAD(&f->link);
	INIT_WORK(&f->raise, raise_work);
	INIT_WORK(&f->end, end_work);
	init_waitqueue_func_entry(&f->wait, wakeup);
	init_poll_funcptr(&f->poll, queue_in);
	f->event = eventfd_ctx_fileget(file);
	if (IS_ERR(f->event)) {
		err = PTR_ERR(f->event);
		goto no_event;
	}
	if (a->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		f->resample = eventfd_ctx_fdget(a->resamplefd);
		if (IS_ERR(f->resample)) {
			err = PTR_ERR(f->resample);
			goto no_resample;
		}
	}
	return f;
no_resample:
	eventfd_ctx_put(f->event);
no_event:
	kfree(f);
	return ERR_PTR(err);
}

/* Never waited on, not on a list. */
static void irqfd_drop(struct irqfd *f)
{
	if (f->resample)
		eventfd_ctx_put(f->resample);
	eventfd_ctx_put(f->event);
	kfree(f);
}

/* resampler_lock held; our reference on the file keeps EPOLLHUP away until we are done. */
static long assign_locked(struct kvm *kvm, const struct kvm_irqfd *a, struct file *file)
{
	struct irqfd *f;
	long err;

	err = need_cleanup_queue(kvm);
	if (err)
		return err;
	f = irqfd_new(kvm, a, file);
	if (IS_ERR(f))
		return PTR_ERR(f);
	err = event_in_use(kvm, f->event) ? -EBUSY : 0;
	if (!err && f->resample)
		err = resampler_join(f);
	if (err) {
		irqfd_drop(f);
		return err;
	}
	spin_lock_irq(&kvm->irqfds.lock);
	list_add_tail(&f->link, &kvm->irqfds.items);
	spin_unlock_irq(&kvm->irqfds.lock);

	/* From here on it fires. What was signalled before is in the count, which nobody else will take. */
	if (vfs_poll(file, &f->poll) & EPOLLIN && !f->wait_error)
		fire(f);
	if (f->wait_error) {
		err = f->wait_error;
		INIT_LIST_HEAD(&f->wait.entry);
		spin_lock_irq(&kvm->irqfds.lock);
		start_ending(f);
		spin_unlock_irq(&kvm->irqfds.lock);
	}
	return err;
}

static long assign(struct kvm *kvm, const struct kvm_irqfd *a)
{
	bool resample = a->flags & KVM_IRQFD_FLAG_RESAMPLE;
	struct file *file;
	long err;

	if (!arch_has_irqchip(kvm) || (resample && !arch_has_irq_acks(kvm)))
		return -EINVAL;
	file = eventfd_fget(a->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	mutex_lock(&kvm->irqfds.resampler_lock);
	err = assign_locked(kvm, a, file);
	mutex_unlock(&kvm->irqfds.resampler_lock);
	fput(file);
	return err;
}

/* When it returns, what is removed does not fire any more. */
static long deassign(struct kvm *kvm, const struct kvm_irqfd *a)
{
	struct eventfd_ctx *event = eventfd_ctx_fdget(a->fd);
	struct workqueue_struct *cleanup;
	struct irqfd *f, *next;

	if (IS_ERR(event))
		return PTR_ERR(event);
	mutex_lock(&kvm->irqfds.resampler_lock);
	cleanup = kvm->irqfds.cleanup;
	spin_lock_irq(&kvm->irqfds.lock);
	list_for_each_entry_safe(f, next, &kvm->irqfds.items, link)
		if (f->event == event && f->gsi == a->gsi)
			start_ending(f);
	spin_unlock_irq(&kvm->irqfds.lock);
	mutex_unlock(&kvm->irqfds.resampler_lock);
	eventfd_ctx_put(event);
	if (cleanup)
		flush_workqueue(cleanup);
	return 0;
}

long vm_irqfd(struct kvm_call *c)
{
	const struct kvm_irqfd *a = c->arg;

	if (a->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE) || a->gsi >= KVM_MAX_GSI)
		return -EINVAL;
	return a->flags & KVM_IRQFD_FLAG_DEASSIGN ? deassign(c->kvm, a) : assign(c->kvm, a);
}

void kvm_eventfd_init(struct kvm *kvm)
{
	spin_lock_init(&kvm->irqfds.lock);
	INIT_LIST_HEAD(&kvm->irqfds.items);
	INIT_LIST_HEAD(&kvm->irqfds.resamplers);
	mutex_init(&kvm->irqfds.resampler_lock);
	INIT_LIST_HEAD(&kvm->ioeventfds);
}

/* No ioctl runs any more, but eventfds may still be signalled and closed. */
void kvm_irqfd_release(struct kvm *kvm)
{
	struct irqfd *f, *next;

	spin_lock_irq(&kvm->irqfds.lock);
	list_for_each_entry_safe(f, next, &kvm->irqfds.items, link)
		start_ending(f);
	spin_unlock_irq(&kvm->irqfds.lock);
	/* ... and those whose eventfd closed meanwhile */
	if (kvm->irqfds.cleanup)
		destroy_workqueue(kvm->irqfds.cleanup);
	kvm->irqfds.cleanup = NULL;
}
