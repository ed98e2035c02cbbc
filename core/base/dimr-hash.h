/* dimr-hash.h — SHA-256 of large files, read once
 *
 * A checkpoint of gigabytes takes seconds to read, so a hash is kept beside the size, the inode
 * and the modification time that the file had, in the user's cache folder, and believed for as
 * long as all three are the same.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Called in the thread that hashes. */
typedef void (*DimrHashProgress) (guint64  n_done,
                                  guint64  n_total,
                                  gpointer user_data);

/* Lowercase hex (transfer full). Blocks while it reads. DIMR_ERROR_FILE, G_IO_ERROR_CANCELLED.
 * May be called from several threads. @progress: NULL or called about every 8 MiB. */
char    *dimr_hash_file      (const char        *path,
                              DimrHashProgress   progress,
                              gpointer           user_data,
                              GCancellable      *cancellable,
                              GError           **error);
/* The hash that @path is known to have, without reading it (transfer full). NULL where it is not
 * known; @changed: set where another one was known of an earlier content. */
char    *dimr_hash_peek      (const char        *path,
                              gboolean          *changed);
/* Overrides the cache file: for tests. NULL: back to the user's. */
void     dimr_hash_set_cache (const char        *path);

G_END_DECLS
