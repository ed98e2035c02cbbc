/* dimr-config-reader.h — reads members of a configuration one by one and remembers the first that is wrong
 *
 * So the parser of an architecture is a list of its members, and one question at the end. After
 * the first error every call still returns a value within its range.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <json-glib/json-glib.h>

#include "core/base/dimr-error.h"

G_BEGIN_DECLS

/* Limits of every architecture. */
#define DIMR_MAX_DIM 16384
#define DIMR_MAX_BLOCKS 1024
#define DIMR_MAX_SIDE 4096
#define DIMR_MAX_CLASSES 1000000

typedef struct
{
  const char *file;  /* what messages call it */
  GError     *error; /* the first one */
} DimrReader;

/* "FILE: reason" */
void        dimr_reader_fail        (DimrReader          *self,
                                     DimrError            code,
                                     const char          *format,
                                     ...) G_GNUC_PRINTF (3, 4);
/* The member; NULL where it is absent or null. */
JsonNode   *dimr_reader_find        (JsonObject          *object,
                                     const char          *name);
/* NULL where it is absent; an error where it is no object. */
JsonObject *dimr_reader_get_object  (DimrReader          *self,
                                     JsonObject          *object,
                                     const char          *name);
double      dimr_reader_get_number  (DimrReader          *self,
                                     JsonObject          *object,
                                     const char          *name,
                                     double               fallback,
                                     double               min,
                                     double               max);
/* A whole number from 1 to @max; @fallback 0 makes the member required. */
guint       dimr_reader_get_count   (DimrReader          *self,
                                     JsonObject          *object,
                                     const char          *name,
                                     guint                fallback,
                                     guint                max);
const char *dimr_reader_get_string  (DimrReader          *self,
                                     JsonObject          *object,
                                     const char          *name,
                                     const char          *fallback);
gboolean    dimr_reader_get_boolean (DimrReader          *self,
                                     JsonObject          *object,
                                     const char          *name,
                                     gboolean             fallback);
/* The index of the string in @values, which ends with NULL; @fallback NULL makes the member required. */
guint       dimr_reader_get_choice  (DimrReader          *self,
                                     JsonObject          *object,
                                     const char          *name,
                                     const char          *fallback,
                                     const char * const  *values);

G_END_DECLS
