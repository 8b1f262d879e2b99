/* SPDX-License-Identifier: GPL-2.0-only */
/* Checks and TAP output. A test is a function; it fails when a check in it did. */
#ifndef MMU_TEST_H
#define MMU_TEST_H

void check_failed(const char *file, int line, const char *what, unsigned long long got, unsigned long long want);

#define CHECK(e)	do { if (!(e)) check_failed(__FILE__, __LINE__, #e, 0, 1); } while (0)
#define CHECK_EQ(a, b)								\
	do {									\
		unsigned long long a_ = (a), b_ = (b);				\
		if (a_ != b_)							\
			check_failed(__FILE__, __LINE__, #a " == " #b, a_, b_);	\
	} while (0)

void run_test(const char *name, void (*fn)(void));

extern unsigned int stress_seconds;

void format_tests(void);
void walk_tests(void);
void fault_tests(void);
void stress_tests(void);

#endif
