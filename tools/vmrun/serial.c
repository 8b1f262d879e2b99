// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 16550A at port 3f8, interrupt 4, with standard output and input at its other end. Its registers are behind one lock: vCPU
 * threads and the terminal thread meet here.
 */
#include <pthread.h>
#include <unistd.h>
#include "vmrun.h"

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
enum { IER_RX = 1, IER_TX = 2, LSR_RX = 1, LSR_TX_EMPTY = 0x60, LCR_DLAB = 0x80, MCR_LOOP = 0x10 };
#define FIFO	4096
#define GSI	4

static struct {
	struct vm *vm;
	pthread_mutex_t lock;
	uint8_t ier, lcr, mcr, scr, fcr, dll, dlm;
	bool tx_pending, line;
	uint8_t fifo[FIFO];
	unsigned int head, tail;
} s = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool has_input(void)
{
	return s.head != s.tail;
}

static void update_line(void)
{
	bool want = ((s.ier & IER_RX) && has_input()) || ((s.ier & IER_TX) && s.tx_pending);

	if (want != s.line)
		vm_irq_line(s.vm, GSI, s.line = want);
}

static uint8_t reg_read(uint32_t reg)
{
	uint8_t v;

	switch (reg) {
	case RBR_THR:
		if (s.lcr & LCR_DLAB)
			return s.dll;
		return has_input() ? s.fifo[s.tail++ % FIFO] : 0;
	case IER:
		return s.lcr & LCR_DLAB ? s.dlm : s.ier;
	case IIR_FCR:
		v = s.fcr & 1 ? 0xc0 : 0;
		if ((s.ier & IER_RX) && has_input())
			return v | 4;
		if ((s.ier & IER_TX) && s.tx_pending) {
			s.tx_pending = false;
			return v | 2;
		}
		return v | 1;
	case LCR:
		return s.lcr;
	case MCR:
		return s.mcr;
	case LSR:
		return LSR_TX_EMPTY | (has_input() ? LSR_RX : 0);
	case MSR:	/* carrier, ready, clear to send; in loop-back what MCR drives */
		if (s.mcr & MCR_LOOP)
			return (s.mcr & 1) << 5 | (s.mcr & 2) << 3 | (s.mcr & 4) << 4 | (s.mcr & 8) << 4;
		return 0xb0;
	default:
		return s.scr;
	}
}

static void reg_write(uint32_t reg, uint8_t v)
{
	switch (reg) {
	case RBR_THR:
		if (s.lcr & LCR_DLAB) {
			s.dll = v;
		} else if (s.mcr & MCR_LOOP) {
			s.fifo[s.head++ % FIFO] = v;
		} else {
			if (write(1, &v, 1) != 1)
				vm_end(125);
			s.tx_pending = true;
		}
		break;
	case IER:
		if (s.lcr & LCR_DLAB) {
			s.dlm = v;
		} else {
			s.tx_pending |= (v & IER_TX) && !(s.ier & IER_TX);
			s.ier = v & 0xf;
		}
		break;
	case IIR_FCR:
		s.fcr = v;
		if (v & 2)
			s.head = s.tail;
		break;
	case LCR:
		s.lcr = v;
		break;
	case MCR:
		s.mcr = v & 0x1f;
		break;
	case SCR:
		s.scr = v;
		break;
	}
}

static void access_port(void *dev, uint32_t offset, void *data, uint32_t len, bool write)
{
	uint8_t *b = data;

	pthread_mutex_lock(&s.lock);
	for (uint32_t i = 0; i < len; i++) {
		if (write)
			reg_write(offset + i, b[i]);
		else
			b[i] = reg_read(offset + i);
	}
	update_line();
	pthread_mutex_unlock(&s.lock);
}

void serial_create(struct vm *vm)
{
	s.vm = vm;
	bus_add_port(0x3f8, 8, access_port, NULL);
}

void serial_input(const uint8_t *data, size_t n)
{
	pthread_mutex_lock(&s.lock);
	for (size_t i = 0; i < n && s.head - s.tail < FIFO; i++)
		s.fifo[s.head++ % FIFO] = data[i];
	update_line();
	pthread_mutex_unlock(&s.lock);
}
