/* studio-format.h — numbers as sentences show them
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

#include "core/dimr.h"

G_BEGIN_DECLS

/* "41 ms", "3.2 s", "2 min 5 s", "1 h 20 min" (transfer full). */
char *studio_format_seconds  (double              seconds);
/* "1.4 (w = 0.4)", with the course where it is not constant (transfer full). */
char *studio_format_guidance (const DimrGuidance *guidance);
/* "lion", "lion and orca", "lion and 3 more" (transfer full). */
char *studio_format_classes  (const DimrRequest  *request);

G_END_DECLS
