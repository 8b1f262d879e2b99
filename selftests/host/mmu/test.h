/* SPDX-License-Identifier: GPL-2.0-only */
/* The groups of tests. */
#ifndef MMU_TEST_H
#define MMU_TEST_H

#include "check.h"

extern unsigned int stress_seconds;

void format_tests(void);
void walk_tests(void);
void fault_tests(void);
void stress_tests(void);

#endif
