/* dimr-safetensors.h — the safetensors reader
 *
 * A file is: the header's length (64-bit, little-endian), the header (a JSON object), the data.
 * Refused: a header over 100,000,000 bytes or longer than the file; JSON with duplicate keys or
 * numbers that are not plain integers; an entry with other members than dtype, shape and
 * data_offsets; data that the entries do not tile exactly (overlap, hole, trailing bytes); a size
 * that is not shape times type; more than 100,000 tensors or 8 dimensions; an unknown type.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* TRUE if @data looks like safetensors: a length, then an object. */
gboolean    dimr_safetensors_sniff (const guint8  *data,
                                    gsize          size);
/* name → DimrTensor, views of @bytes (transfer full). @file is what errors call the file.
 * @metadata: `__metadata__`, str → str (transfer full), empty where the file has none. */
GHashTable *dimr_safetensors_read  (GBytes        *bytes,
                                    const char    *file,
                                    GHashTable   **metadata,
                                    GError       **error);

G_END_DECLS
