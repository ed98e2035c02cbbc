/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"

G_DEFINE_QUARK (dimr-error-quark, dimr_error)

gboolean
dimr_error_refuse (GError     **error,
                   const char  *format,
                   ...)
{
  va_list args;

  va_start (args, format);
  if (error != NULL)
    *error = g_error_new_valist (DIMR_ERROR, DIMR_ERROR_REQUEST, format, args);
  va_end (args);
  return FALSE;
}
