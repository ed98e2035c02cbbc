/* dimr-json-strict.h — a scanner for JSON that leaves nothing to interpretation
 *
 * The headers of weight files are read with it: where two parsers could see two different files
 * (duplicate keys, "1e3" as an integer, lone surrogates), this one refuses. It pulls tokens and
 * allocates nothing but the strings it hands out. Grammar: RFC 8259.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  const char *text; /* need not end in NUL */
  gsize size;
  gsize position;
  const char *problem; /* static; what was wrong at @position once a call has returned FALSE */
} DimrJsonScanner;

/* Skips white space; the next character, or '\0' at the end. */
char     dimr_json_peek        (DimrJsonScanner *self);
/* Skips white space, then exactly @c. */
gboolean dimr_json_expect      (DimrJsonScanner *self,
                                char             c);
/* A string of at most @max_length bytes once decoded (transfer full). NUL, control characters,
 * lone surrogates and invalid UTF-8 are refused. */
gboolean dimr_json_read_string (DimrJsonScanner *self,
                                gsize            max_length,
                                char           **out);
/* An integer of digits only, without a leading zero, at most 2^53. */
gboolean dimr_json_read_uint   (DimrJsonScanner *self,
                                guint64         *out);
/* In a list or an object after its opening bracket, or after one of its items: FALSE where @close
 * ends it. Check @problem after that: a comma may have been missing. */
gboolean dimr_json_next_item   (DimrJsonScanner *self,
                                gboolean        *first,
                                char             close);

G_END_DECLS
