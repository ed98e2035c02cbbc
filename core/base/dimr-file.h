/* dimr-file.h — files that appear whole or not at all
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* FALSE where @path is something that a file must not take the place of: a device, as /dev/null, or a pipe, also behind
 * a link. A folder is none of that: renaming to it fails by itself. DIMR_ERROR_FILE. */
gboolean dimr_file_check_target (const char  *path,
                                 GError     **error);
/* Writes @bytes to a temporary file beside @path, flushes it to the disk, renames it to @path and
 * flushes the folder: after a crash or a power cut there is the old file or the new one, never a
 * part. Replaces an existing file; keeps no link to it. Blocks on the disk: for worker threads.
 * DIMR_ERROR_FILE names the path and the cause, and leaves nothing behind. */
gboolean dimr_file_write_atomic (const char  *path,
                                 GBytes      *bytes,
                                 GError     **error);

/* Makes what was created, renamed or removed in a folder durable. DIMR_ERROR_FILE. */
gboolean dimr_file_sync_folder  (const char  *folder,
                                 GError     **error);
/* Removes a folder and the files in it, but no folders below it. */
void     dimr_file_remove_folder (const char *folder);

G_END_DECLS
