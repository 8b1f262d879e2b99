// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one place that defines the trace events declared in trace.h. They live as long as kvm.ko; any context may fire
 * one.
 */
#include <linux/string.h>

#define CREATE_TRACE_POINTS
#include "trace.h"
