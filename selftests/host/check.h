/* SPDX-License-Identifier: GPL-2.0-only */
/* Checks and TAP output of the host-side unit tests. A test is a function; it fails when a check in it did. */
#ifndef HOST_CHECK_H
#define HOST_CHECK_H

/* Any thread. The first ten of a test are shown. */
void check_failed(const char *file, int line, const char *what, unsigned long long got, unsigned long long want);
void run_test(const char *name, void (*fn)(void));
/* Plan and totals; the exit status of the program. */
int tests_done(void);
/* Where set: a count that a test must leave as it found it. */
extern long *balance;

#define CHECK(e)	do { if (!(e)) check_failed(__FILE__, __LINE__, #e, 0, 1); } while (0)
#define CHECK_EQ(a, b)								\
	do {									\
		unsigned long long a_ = (a), b_ = (b);				\
		if (a_ != b_)							\
			check_failed(__FILE__, __LINE__, #a " == " #b, a_, b_);	\
	} while (0)

#endif
