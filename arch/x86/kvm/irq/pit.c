// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254 interval timer at ports 40H to 43H, and port 61H in front of channel 2 where the VMM asked for it.
 *
 * Counters are not run: what one shows is computed from the time it was loaded. Only channel 0 does something by
 * itself: it raises GSI 0, by an hrtimer in soft interrupt context (a broadcast to many vCPUs takes its time).
 *
 * Ticks the guest was too slow to take would be lost, as on hardware, and with them the wall clock of old guests.
 * With reinjection on, a tick that merged into one still pending is counted, and sent when the guest's EOI of GSI 0
 * says there is room. Guests mask the PIC's pin while they serve it, EOI included; what the PIC latches then is
 * delivered all the same, although the routes call it ignored.
 *
 * pit->lock covers the channels; the hrtimer and the acknowledge notifier do without. Lives from KVM_CREATE_PIT2 until
 * the VM's files are gone.
 */
#define pr_fmt(fmt) "kvm: " fmt
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <compat/hrtimer.h>
#include "irqchip_priv.h"
#include "lapic_priv.h"

#define PIT_HZ		1193182u
#define CHANNELS	3
#define MISSED_MAX	(1 << 20)	/* ticks kept for a guest that does not take them: 17 minutes at 1 kHz */
#define MASKED_MAX	4		/* of them in a row at a masked pin: then nobody wants them */
#define LOAD_AGE_MAX	(1ll << 40)	/* ns that user space may date a load back: 18 minutes */

/* Which byte of a count is next; the ABI's image has the same numbers. NEXT_LOW1 and NEXT_HIGH1 alternate. */
enum { NEXT_NONE, NEXT_LOW, NEXT_HIGH, NEXT_LOW1, NEXT_HIGH1 };

/* Control word */
#define CW_READ_BACK		3
#define READ_BACK_NO_COUNT	0x20
#define READ_BACK_NO_STATUS	0x10

struct channel {
	u32 count;		/* 1 .. 65536, in binary */
	u64 loaded;		/* when it was, or when it would have been without the time the gate was low; ns */
	u64 held;		/* gate low: how long it had run */
	bool gate, bcd, unloaded;
	u8 mode, rw;		/* rw: NEXT_LOW, NEXT_HIGH or NEXT_LOW1 */
	u8 read_next, write_next, low_byte;
	u16 latch;
	u8 latch_next, status;
	bool status_latched;
};

struct pit {
	struct mutex lock;
	struct x86_vm *vm;
	struct channel ch[CHANNELS];
	bool hpet;		/* legacy replacement: channel 0 drives nothing */
	bool speaker_on, has_port_61;
	struct hrtimer tick;
	u64 period;		/* ns; 0: one shot. Changed while the hrtimer is idle */
	bool reinject;		/* kvm->lock */
	atomic_t missed;
	unsigned int masked;	/* ticks since the last acknowledgement that merged at a masked pin */
	struct irq_ack_notifier ack;
	struct io_device ports, port_61;
};

/* Time */

static u32 rem(u64 a, u32 b)
{
	u32 r;

	div_u64_rem(a, b, &r);
	return r;
}

static u64 ticks_to_ns(u64 ticks)
{
	return div_u64(ticks * NSEC_PER_SEC, PIT_HZ);
}

static bool gate_holds(const struct channel *c)
{
	return !c->gate && c->mode != 1 && c->mode != 5;
}

static u64 elapsed(const struct channel *c)
{
	s64 ns = gate_holds(c) ? c->held : ktime_get_ns() - c->loaded;

	return ns > 0 ? mul_u64_u32_div(ns, PIT_HZ, NSEC_PER_SEC) : 0;
}

static u16 to_bcd(u32 n)
{
	return n % 10 | n / 10 % 10 << 4 | n / 100 % 10 << 8 | n / 1000 % 10 << 12;
}

static u32 from_bcd(u16 n)
{
	return (n & 15) + (n >> 4 & 15) * 10 + (n >> 8 & 15) * 100 + (n >> 12) * 1000;
}

static u16 counter(const struct channel *c)
{
	u32 wrap = c->bcd ? 10000 : 65536, n;
	u64 t = elapsed(c);

	switch (c->mode) {
	case 2:
		n = c->count - rem(t, c->count);
		break;
	case 3:			/* by two, twice a period */
		n = c->count - rem(2 * t, c->count);
		break;
	default:		/* goes on below 0 */
		n = rem(c->count + wrap - rem(t, wrap), wrap);
	}
	return c->bcd ? to_bcd(n) : n;
}

static bool output(const struct channel *c)
{
	u64 t = elapsed(c);

	if (c->unloaded)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
	case 1:
		return t >= c->count;
	case 2:
		return rem(t, c->count) != c->count - 1;
	case 3:
		return rem(t, c->count) < (c->count + 1) / 2;
	default:
		return t != c->count;
	}
}

/* Channel 0's interrupt */

enum pulse { PULSE_GOES, PULSE_MERGED, PULSE_MERGED_MASKED };

/* Any context. */
static enum pulse pulse(struct pit *p)
{
	bool waits = pic_requested(p->vm, 0);
	int r = kvm_set_irq(&p->vm->kvm, IRQ_SOURCE_PIT, 0, true);

	kvm_set_irq(&p->vm->kvm, IRQ_SOURCE_PIT, 0, false);
	if (!r)
		return PULSE_MERGED;
	return r < 0 && waits ? PULSE_MERGED_MASKED : PULSE_GOES;
}

static void miss(struct pit *p, u64 n)
{
	if (READ_ONCE(p->reinject) && atomic_read(&p->missed) < MISSED_MAX)
		atomic_add(min_t(u64, n, MISSED_MAX), &p->missed);
}

static enum hrtimer_restart ticked(struct hrtimer *hr)
{
	struct pit *p = container_of(hr, struct pit, tick);
	enum pulse end;
	u64 rounds;

	if (!READ_ONCE(p->hpet)) {
		end = pulse(p);
		if (end == PULSE_MERGED || (end == PULSE_MERGED_MASKED && p->masked++ < MASKED_MAX))
			miss(p, 1);
	}
	if (!p->period)
		return HRTIMER_NORESTART;
	rounds = hrtimer_forward_now(hr, ns_to_ktime(p->period));
	if (rounds > 1 && !READ_ONCE(p->hpet))
		miss(p, rounds - 1);
	return HRTIMER_RESTART;
}

/* The guest has served one: there is room for one that it missed. */
static void acked(struct irq_ack_notifier *n)
{
	struct pit *p = container_of(n, struct pit, ack);

	p->masked = 0;
	if (atomic_read(&p->missed) > 0 && pulse(p) == PULSE_GOES)
		atomic_dec_if_positive(&p->missed);
}

/* Channel 0 was loaded or restored: starts what its mode makes of it. Lock held. */
static void restart_tick(struct pit *p)
{
	struct channel *c = &p->ch[0];
	u64 done, period;

	hrtimer_cancel(&p->tick);
	p->period = 0;
	if (c->unloaded || p->hpet)
		return;
	period = ticks_to_ns(c->count);
	done = ktime_get_ns() - c->loaded;
	switch (c->mode) {
	case 2:
	case 3:
		p->period = max(period, irq_min_period_ns());
		div64_u64_rem(done, p->period, &done);
		hrtimer_start(&p->tick, ns_to_ktime(p->period - done), HRTIMER_MODE_REL_SOFT);
		break;
	case 0:
	case 4:
		if (done < period)
			hrtimer_start(&p->tick, ns_to_ktime(period - done), HRTIMER_MODE_REL_SOFT);
		break;
	}			/* modes 1 and 5 wait for a gate that never moves */
}

/* Counts and control words. Lock held. */

static void load(struct pit *p, struct channel *c, u16 val)
{
	c->count = c->bcd ? from_bcd(val) ?: 10000 : val ?: 65536;
	c->loaded = ktime_get_ns();
	c->held = 0;
	c->unloaded = false;
	if (c == &p->ch[0]) {
		atomic_set(&p->missed, 0);
		restart_tick(p);
	}
}

static void write_count(struct pit *p, struct channel *c, u8 val)
{
	switch (c->write_next) {
	case NEXT_LOW:
		load(p, c, val);
		break;
	case NEXT_HIGH:
		load(p, c, val << 8);
		break;
	case NEXT_LOW1:
		c->low_byte = val;
		c->write_next = NEXT_HIGH1;
		break;
	case NEXT_HIGH1:
		c->write_next = NEXT_LOW1;
		load(p, c, c->low_byte | val << 8);
		break;
	}
}

static u8 read_count(struct channel *c)
{
	u16 val;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->latch_next) {
		u8 now = c->latch_next;

		c->latch_next = now == NEXT_LOW1 ? NEXT_HIGH1 : NEXT_NONE;
		return now == NEXT_HIGH || now == NEXT_HIGH1 ? c->latch >> 8 : c->latch;
	}
	val = counter(c);
	switch (c->read_next) {
	case NEXT_HIGH:
		return val >> 8;
	case NEXT_LOW1:
		c->read_next = NEXT_HIGH1;
		return val;
	case NEXT_HIGH1:
		c->read_next = NEXT_LOW1;
		return val >> 8;
	}
	return val;
}

static void latch_count(struct channel *c)
{
	if (c->latch_next)
		return;			/* the first one stays until it is read */
	c->latch = counter(c);
	c->latch_next = c->rw;
}

static void latch_status(struct channel *c)
{
	if (c->status_latched)
		return;
	c->status = output(c) << 7 | c->unloaded << 6 | c->rw << 4 | c->mode << 1 | c->bcd;
	c->status_latched = true;
}

/* Modes 6 and 7 are 2 and 3. */
static u8 sane_mode(u8 mode)
{
	mode &= 7;
	return mode > 5 ? mode - 4 : mode;
}

static void control(struct pit *p, u8 val)
{
	unsigned int i, which = val >> 6;
	struct channel *c;

	if (which == CW_READ_BACK) {
		for (i = 0; i < CHANNELS; i++) {
			if (!(val & 2 << i))
				continue;
			if (!(val & READ_BACK_NO_COUNT))
				latch_count(&p->ch[i]);
			if (!(val & READ_BACK_NO_STATUS))
				latch_status(&p->ch[i]);
		}
		return;
	}
	c = &p->ch[which];
	if (!(val & 0x30)) {
		latch_count(c);
		return;
	}
	c->rw = val >> 4 & 3;
	c->read_next = c->write_next = c->rw;
	c->latch_next = NEXT_NONE;
	c->status_latched = false;
	c->mode = sane_mode(val >> 1);
	c->bcd = val & 1;
	c->unloaded = true;
	if (which == 0)
		restart_tick(p);
}

static void set_gate(struct channel *c, bool gate)
{
	u64 now = ktime_get_ns();

	if (c->gate == gate)
		return;
	if (!gate) {
		c->held = now - c->loaded;
	} else if (c->mode == 0 || c->mode == 4) {
		c->loaded = now - c->held;	/* goes on */
	} else {
		c->loaded = now;		/* triggers */
	}
	c->gate = gate;
}

/* Ports. Wider accesses fall into bytes, as the bus does it. */

static bool ports_read(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, void *data)
{
	struct pit *p = container_of(d, struct pit, ports);
	u8 *out = data;
	int i;

	mutex_lock(&p->lock);
	for (i = 0; i < len; i++) {
		unsigned int reg = (addr + i) & 3;

		out[i] = reg < CHANNELS ? read_count(&p->ch[reg]) : 0;
	}
	mutex_unlock(&p->lock);
	return true;
}

static bool ports_write(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, const void *data)
{
	struct pit *p = container_of(d, struct pit, ports);
	const u8 *in = data;
	int i;

	mutex_lock(&p->lock);
	for (i = 0; i < len; i++) {
		unsigned int reg = (addr + i) & 3;

		if (reg < CHANNELS)
			write_count(p, &p->ch[reg], in[i]);
		else
			control(p, in[i]);
	}
	mutex_unlock(&p->lock);
	return true;
}

/* Bit 0 gate of channel 2, bit 1 speaker, bit 4 the refresh of memory every 15 us, bit 5 output of channel 2. */
static bool port_61_read(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, void *data)
{
	struct pit *p = container_of(d, struct pit, port_61);
	bool refresh = div_u64(ktime_get_ns(), 15000) & 1;

	memset(data, 0, len);
	mutex_lock(&p->lock);
	*(u8 *)data = p->ch[2].gate | p->speaker_on << 1 | refresh << 4 | output(&p->ch[2]) << 5;
	mutex_unlock(&p->lock);
	return true;
}

static bool port_61_write(struct io_device *d, struct kvm_vcpu *vcpu, u64 addr, int len, const void *data)
{
	struct pit *p = container_of(d, struct pit, port_61);
	u8 val = *(const u8 *)data;

	mutex_lock(&p->lock);
	p->speaker_on = val & 2;
	set_gate(&p->ch[2], val & 1);
	mutex_unlock(&p->lock);
	return true;
}

static const struct io_device_ops ports_ops = { .read = ports_read, .write = ports_write };
static const struct io_device_ops port_61_ops = { .read = port_61_read, .write = port_61_write };

/* The ABI's image */

static void channel_get(const struct channel *c, struct kvm_pit_channel_state *s)
{
	s->count = c->count;
	s->latched_count = c->latch;
	s->count_latched = c->latch_next;
	s->status_latched = c->status_latched;
	s->status = c->status;
	s->read_state = c->read_next;
	s->write_state = c->write_next;
	s->write_latch = c->low_byte;
	s->rw_mode = c->rw;
	s->mode = c->mode;
	s->bcd = c->bcd;
	s->gate = c->gate;
	s->count_load_time = c->loaded;
}

static u8 sane_next(u8 next)
{
	return next <= NEXT_HIGH1 ? next : NEXT_NONE;
}

static void channel_set(struct channel *c, const struct kvm_pit_channel_state *s, u64 now)
{
	s64 age = now - s->count_load_time;

	c->count = s->count && s->count <= 65536 ? s->count : 65536;
	c->latch = s->latched_count;
	c->latch_next = sane_next(s->count_latched);
	c->status_latched = s->status_latched;
	c->status = s->status;
	c->read_next = sane_next(s->read_state);
	c->write_next = sane_next(s->write_state);
	c->low_byte = s->write_latch;
	c->rw = s->rw_mode & 3;
	c->mode = sane_mode(s->mode);
	c->bcd = s->bcd;
	c->gate = s->gate;
	c->unloaded = false;
	/* Another host's clock says nothing here. */
	c->loaded = age >= 0 && age <= LOAD_AGE_MAX ? (u64)s->count_load_time : now;
	c->held = 0;
}

long pit_get(struct x86_vm *vm, struct kvm_pit_state2 *s)
{
	struct pit *p = vm->pit;
	unsigned int i;

	if (!p)
		return -ENXIO;
	memset(s, 0, sizeof(*s));
	mutex_lock(&p->lock);
	for (i = 0; i < CHANNELS; i++)
		channel_get(&p->ch[i], &s->channels[i]);
	if (p->hpet)
		s->flags |= KVM_PIT_FLAGS_HPET_LEGACY;
	if (p->speaker_on)
		s->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	mutex_unlock(&p->lock);
	return 0;
}

long pit_set(struct x86_vm *vm, const struct kvm_pit_state2 *s)
{
	struct pit *p = vm->pit;
	u64 now = ktime_get_ns();
	unsigned int i;

	if (!p)
		return -ENXIO;
	mutex_lock(&p->lock);
	for (i = 0; i < CHANNELS; i++)
		channel_set(&p->ch[i], &s->channels[i], now);
	/* The gates of the first two are wired high. */
	p->ch[0].gate = p->ch[1].gate = true;
	WRITE_ONCE(p->hpet, s->flags & KVM_PIT_FLAGS_HPET_LEGACY);
	p->speaker_on = s->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	atomic_set(&p->missed, 0);
	restart_tick(p);
	mutex_unlock(&p->lock);
	return 0;
}

/* Lifetime */

/* kvm->lock held. */
static void listen(struct pit *p, bool on)
{
	if (p->reinject == on)
		return;
	WRITE_ONCE(p->reinject, on);
	atomic_set(&p->missed, 0);
	if (on)
		kvm_irq_ack_register(&p->vm->kvm, &p->ack);
	else
		kvm_irq_ack_unregister(&p->vm->kvm, &p->ack);
}

long pit_reinject(struct x86_vm *vm, bool on)
{
	if (!vm->pit)
		return -ENXIO;
	listen(vm->pit, on);
	return 0;
}

static void channels_reset(struct pit *p)
{
	unsigned int i;

	for (i = 0; i < CHANNELS; i++) {
		struct channel *c = &p->ch[i];

		c->mode = 3;
		c->count = 65536;
		c->gate = i != 2;
		c->rw = c->read_next = c->write_next = NEXT_LOW1;
		c->loaded = ktime_get_ns();
		c->unloaded = true;	/* silent until somebody loads a count */
	}
}

static int add_ports(struct pit *p)
{
	struct kvm *kvm = &p->vm->kvm;
	int err;

	mutex_lock(&kvm->slots_lock);
	err = io_bus_add(kvm, BUS_PIO, 0x40, 4, &p->ports);
	if (!err && p->has_port_61) {
		err = io_bus_add(kvm, BUS_PIO, 0x61, 1, &p->port_61);
		if (err)
			io_bus_remove(kvm, BUS_PIO, &p->ports);
	}
	mutex_unlock(&kvm->slots_lock);
	return err;
}

int pit_create(struct x86_vm *vm, u32 flags)
{
	struct pit *p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	int err;

	if (!p)
		return -ENOMEM;
	mutex_init(&p->lock);
	p->vm = vm;
	p->has_port_61 = flags & KVM_PIT_SPEAKER_DUMMY;
	p->ports.ops = &ports_ops;
	p->port_61.ops = &port_61_ops;
	p->ack.gsi = 0;
	p->ack.acked = acked;
	compat_hrtimer_setup(&p->tick, ticked, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	channels_reset(p);
	err = add_ports(p);
	if (err) {
		kfree(p);
		return err;
	}
	vm->pit = p;
	listen(p, true);
	return 0;
}

/* No vCPU runs any more. */
void pit_destroy(struct x86_vm *vm)
{
	struct kvm *kvm = &vm->kvm;
	struct pit *p = vm->pit;

	if (!p)
		return;
	mutex_lock(&kvm->slots_lock);
	io_bus_remove(kvm, BUS_PIO, &p->ports);
	if (p->has_port_61)
		io_bus_remove(kvm, BUS_PIO, &p->port_61);
	mutex_unlock(&kvm->slots_lock);
	hrtimer_cancel(&p->tick);
	listen(p, false);
	vm->pit = NULL;
	kfree(p);
}
