/* SPDX-License-Identifier: GPL-2.0-only */
/* Where host kernels differ in how a file is recognised as vfio's. vfio may be absent: always by symbol_get(). */
#ifndef COMPAT_VFIO_H
#define COMPAT_VFIO_H

#include <linux/vfio.h>

#ifdef HAVE_VFIO_FILE_IS_VALID
#define compat_vfio_file_check	vfio_file_is_valid	/* a group or a device */
#else
#define compat_vfio_file_check	vfio_file_is_group
#endif

#endif
