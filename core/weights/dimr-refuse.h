/* dimr-refuse.h — how every reader of weights says no
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-error.h"

G_BEGIN_DECLS

/* Sets DIMR_ERROR_FORMAT: "@file was refused at byte @offset: " and the reason, a clause without a
 * full stop. Always FALSE, so that a reader can return it; a macro, so that compilers know. */
#define dimr_refuse(error, file, offset, ...) \
  ({ dimr_refuse_with ((error), DIMR_ERROR_FORMAT, (file), (offset), __VA_ARGS__); FALSE; })
/* The same sentence as DIMR_ERROR_MODEL: a sound file that holds no weights. */
#define dimr_refuse_model(error, file, offset, ...) \
  ({ dimr_refuse_with ((error), DIMR_ERROR_MODEL, (file), (offset), __VA_ARGS__); FALSE; })

void  dimr_refuse_with  (GError     **error,
                         DimrError    code,
                         const char  *file,
                         guint64      offset,
                         const char  *format,
                         ...) G_GNUC_PRINTF (5, 6);
/* Text out of a file, fit for a sentence: at most 80 bytes of it, valid UTF-8, with what cannot be
 * printed (control and direction characters) written as numbers (transfer full). */
char *dimr_refuse_quote (const char  *text,
                         gsize        length);

G_END_DECLS
