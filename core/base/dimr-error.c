/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"

G_DEFINE_QUARK (dimr-error-quark, dimr_error)

static void
take_valist (GError     **error,
             DimrError    code,
             const char  *format,
             va_list      args) G_GNUC_PRINTF (3, 0);

static void
take_valist (GError     **error,
             DimrError    code,
             const char  *format,
             va_list      args)
{
  g_autofree char *message = NULL, *valid = NULL;

  if (error == NULL)
    return;
  message = g_strdup_vprintf (format, args);
  valid = g_utf8_make_valid (message, -1);
  g_set_error_literal (error, DIMR_ERROR, code, valid);
}

gboolean
dimr_error_set (GError     **error,
                DimrError    code,
                const char  *format,
                ...)
{
  va_list args;

  va_start (args, format);
  take_valist (error, code, format, args);
  va_end (args);
  return FALSE;
}

gboolean
dimr_error_refuse (GError     **error,
                   const char  *format,
                   ...)
{
  va_list args;

  va_start (args, format);
  take_valist (error, DIMR_ERROR_REQUEST, format, args);
  va_end (args);
  return FALSE;
}
