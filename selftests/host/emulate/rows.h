/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rows of the opcode tables that execute something, each with a number and a name, so that a test can tell which of
 * them no instruction has been through to its end.
 */
#ifndef EMULATE_TEST_ROWS_H
#define EMULATE_TEST_ROWS_H

#include "insn.h"

#define MAX_ROWS	1024
#define ROWS_WANT	2000000u	/* so many random cases reach every row that they can reach */

/* The row was executed to its end. hits: MAX_ROWS bytes. */
void row_hit(u8 *hits, const struct emu_row *row);
/*
 * Prints and counts the rows that emucheck should have reached: all but those that only the unit tests can run.
 * modes: as world_init() returns them.
 */
unsigned int rows_missing(const u8 *hits, unsigned int modes);
/* The same for what is left to the unit tests. */
unsigned int unit_rows_missing(const u8 *hits);

#endif
