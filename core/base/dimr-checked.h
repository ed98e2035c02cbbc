/* dimr-checked.h — size arithmetic that cannot wrap
 *
 * Every size that comes from a file passes through here before it is used: each function
 * returns FALSE where the mathematical result does not fit, and leaves *out alone then.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

static inline gboolean
dimr_checked_add (guint64 a, guint64 b, guint64 *out)
{
  guint64 r;
  if (__builtin_add_overflow (a, b, &r))
    return FALSE;
  *out = r;
  return TRUE;
}

static inline gboolean
dimr_checked_mul (guint64 a, guint64 b, guint64 *out)
{
  guint64 r;
  if (__builtin_mul_overflow (a, b, &r))
    return FALSE;
  *out = r;
  return TRUE;
}

/* TRUE if [offset, offset + length) lies inside [0, size). */
static inline gboolean
dimr_checked_range (guint64 offset, guint64 length, guint64 size)
{
  return offset <= size && length <= size - offset;
}

G_END_DECLS
