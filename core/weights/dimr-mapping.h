/* dimr-mapping.h — a mapped file that is read ahead of its use, and let go after it
 *
 * A checkpoint of gigabytes is read once, a tensor at a time. Left to itself the system reads at most a little
 * beyond a page that is missing and only when it is missing, so that the disk rests while the numbers
 * are converted; and what was converted stays mapped, as if the program held the weights twice.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* May be used from any thread. */
typedef struct _DimrMapping DimrMapping;

/* Errors: DIMR_ERROR_FILE (cannot be read, is no file). */
DimrMapping *dimr_mapping_new      (const char     *path,
                                    GError        **error);
void         dimr_mapping_free     (DimrMapping    *self);
/* The whole file (transfer full); it stays mapped for as long as one of its bytes' owners lives. */
GBytes      *dimr_mapping_ref_bytes (DimrMapping   *self);

/* Says that single pages will be looked at here and there, as in an archive's headers; or no longer. */
void         dimr_mapping_set_sparse (DimrMapping  *self,
                                    gboolean        sparse);
/* Begins to read @size bytes at @data and what follows them, and returns. Nothing where they lie outside of the file. */
void         dimr_mapping_prefetch (DimrMapping    *self,
                                    gconstpointer   data,
                                    gsize           size);
/* Takes @size bytes at @data out of the program's memory; who reads them again has them from the system's cache. */
void         dimr_mapping_release  (DimrMapping    *self,
                                    gconstpointer   data,
                                    gsize           size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrMapping, dimr_mapping_free)

G_END_DECLS
