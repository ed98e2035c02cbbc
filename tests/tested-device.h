/* tested-device.h — the device on which the golden tests compute
 *
 * DIMR_TEST_DEVICE names it as --device does; without it that is the CPU.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

const char *tested_device         (void);
gboolean    tested_device_is_cpu  (void);
/* TRUE where the device computes so slowly that a test shall take examples (DIMR_TEST_EXAMPLES=1, as for an emulated
 * one), unless DIMR_TEST_ALL=1 asks for everything. */
gboolean    tested_device_is_slow (void);
/* Registers the backends. FALSE, and the TAP line that says so, where this computer has no such device. */
gboolean    tested_device_is_here (void);

G_END_DECLS
