/* dimr-library-scan.h — which paths a library looks at
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A path that may hold a model. */
typedef struct
{
  char     *path;
  gboolean  quiet; /* found by chance: listed only where it can be used */
} DimrCandidate;

/* DimrCandidate (transfer full): the bundled models, the files and folders in @folder, @paths, and
 * the weights in Hugging Face's cache. Each place once, however it was found. */
GPtrArray *dimr_library_list_candidates (const char         *folder,
                                         const char * const *paths);

G_END_DECLS
