/* dimr-kernels.h — the backends of this build
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Registers every backend that was built, best first. Call once, before any thread is started;
 * more calls do nothing. */
void dimr_kernels_init (void);

G_END_DECLS
