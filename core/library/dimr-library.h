/* dimr-library.h — the models on this machine: one folder, and what other programs left behind
 *
 * A GListModel of DimrEntry, models first, then autoencoders, then what is neither, each by title. It looks at its own
 * folder (one level: files and folders), at the bundled models, at any further paths it is given,
 * and at Hugging Face's cache, of which only what can be used is listed. Lives in one main
 * context; all reading happens in threads.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/library/dimr-entry.h"
#include "core/library/dimr-library-scan.h"

G_BEGIN_DECLS

#define DIMR_TYPE_LIBRARY (dimr_library_get_type ())
G_DECLARE_FINAL_TYPE (DimrLibrary, dimr_library, DIMR, LIBRARY, GObject)

/* @folder: NULL for `dimr-studio/models` in the user's data folder; it need not exist. */
DimrLibrary *dimr_library_new               (const char           *folder);
/* (transfer none) */
const char  *dimr_library_get_folder        (DimrLibrary          *self);
/* More files or folders to list, wherever they are: NULL-terminated, copied. Takes effect with the next scan. */
void         dimr_library_set_paths         (DimrLibrary          *self,
                                             const char * const   *paths);

/* Looks again; all entries are new objects afterwards. */
void         dimr_library_scan_async        (DimrLibrary          *self,
                                             GCancellable         *cancellable,
                                             GAsyncReadyCallback   callback,
                                             gpointer              user_data);
gboolean     dimr_library_scan_finish       (DimrLibrary          *self,
                                             GAsyncResult         *result,
                                             GError              **error);

/* Hashes the weights of every entry that has no hash yet, one after the other, telling each how far it is. */
void         dimr_library_hash_async        (DimrLibrary          *self,
                                             GCancellable         *cancellable,
                                             GAsyncReadyCallback   callback,
                                             gpointer              user_data);
gboolean     dimr_library_hash_finish       (DimrLibrary          *self,
                                             GAsyncResult         *result,
                                             GError              **error);

/* The listed entry of that path; NULL where there is none (transfer none). */
DimrEntry   *dimr_library_find              (DimrLibrary          *self,
                                             const char           *path);
/* An autoencoder for the latents of @model: one in its folder or beside it first, then any that is listed (transfer none, nullable). */
DimrEntry   *dimr_library_find_autoencoder  (DimrLibrary          *self,
                                             DimrEntry            *model);

/* Bytes copied so far and in all; called in the thread that copies. */
typedef void (*DimrImportProgress)          (guint64               n_done,
                                             guint64               n_total,
                                             gpointer              user_data);

/* Copies the file or folder @path into @folder (made if need be), or where @link makes a symbolic
 * link to it. Only what is a model or an autoencoder is taken; it appears whole or not at all, and
 * never replaces another content: the same content is found again. Returns the path in the library
 * (transfer full). Blocks: for worker threads. DIMR_ERROR_MODEL, DIMR_ERROR_FORMAT (what it is
 * instead), DIMR_ERROR_FILE, DIMR_ERROR_REQUEST (a name that is taken), G_IO_ERROR_CANCELLED. */
char        *dimr_library_import            (const char           *folder,
                                             const char           *path,
                                             gboolean              link,
                                             DimrImportProgress    progress,
                                             gpointer              user_data,
                                             GCancellable         *cancellable,
                                             GError              **error);
G_END_DECLS
