/* dimr-library-scan.h — which paths a library looks at
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/model/dimr-autoencoder.h"

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

/* An autoencoder for latents of @latent_channels from the user's library or Hugging Face's cache, the
 * first in the alphabet (transfer full, nullable). Reads headers only; blocks. */
DimrAutoencoder *dimr_library_load_autoencoder (guint         latent_channels,
                                                GCancellable *cancellable);
/* `dimr-studio/models` in the user's data folder (transfer full). */
char            *dimr_library_dup_default_folder (void);

G_END_DECLS
