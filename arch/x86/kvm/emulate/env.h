/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the emulator library takes from its surroundings: fixed-width types, memcpy and memset, and the
 * clamp for guest-chosen table indexes. The only file of the library that knows whether it
 * is built into the kernel or into a user program.
 */
#ifndef EMULATE_ENV_H
#define EMULATE_ENV_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/nospec.h>
#include <linux/build_bug.h>
#define emu_clamp(i, n)		array_index_nospec((i), (n))
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef long long s64;
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define emu_clamp(i, n)		((i) < (n) ? (i) : 0)
#define fallthrough		__attribute__((__fallthrough__))
#ifndef __always_inline
#define __always_inline		inline __attribute__((__always_inline__))
#endif
#endif

#endif
