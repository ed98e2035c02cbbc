/* dimr-autoencoder.h — a loaded autoencoder: pictures to latents and back
 *
 * Immutable after loading; may be read from any thread. Told by its tensors, in either layout that
 * people have (dimr-autoencoder-keys.h); its sizes are those of the tensors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/model/dimr-autoencoder-network.h"
#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

#define DIMR_TYPE_AUTOENCODER (dimr_autoencoder_get_type ())
G_DECLARE_FINAL_TYPE (DimrAutoencoder, dimr_autoencoder, DIMR, AUTOENCODER, GObject)

/* @path: a weights file, or a folder with one. Checks every tensor's presence and shape. Blocks.
 * DIMR_ERROR_MODEL says in a sentence what the file is instead, DIMR_ERROR_UNSUPPORTED what an autoencoder of another kind lacks. */
DimrAutoencoder             *dimr_autoencoder_load             (const char       *path,
                                                                GCancellable     *cancellable,
                                                                GError          **error);
/* An autoencoder for @latent_channels beside the model at @model_path (a folder or a file): a file in its folder
 * or the folder above that its tensors tell to be one, the first in the alphabet (transfer full, nullable). Blocks. */
DimrAutoencoder             *dimr_autoencoder_find             (const char       *model_path,
                                                                guint             latent_channels,
                                                                GCancellable     *cancellable);
/* The weights file (transfer none). */
const char                  *dimr_autoencoder_get_path         (DimrAutoencoder  *self);
/* "Autoencoder, 8×, 4 channels, 83.7 M parameters" (transfer none). */
const char                  *dimr_autoencoder_get_summary      (DimrAutoencoder  *self);
const DimrAutoencoderConfig *dimr_autoencoder_peek_config      (DimrAutoencoder  *self);
/* Under the names of dimr-autoencoder-network.h. */
DimrWeights                 *dimr_autoencoder_peek_weights     (DimrAutoencoder  *self);
guint64                      dimr_autoencoder_get_n_parameters (DimrAutoencoder  *self);
/* Numbers that the picture becomes: means, then log-variances [2·c, H, W] (@n = c·H·W numbers each) → a latent
 * DIMR_LATENT_SCALE · (mean + exp (½ · clamp (log-variance, −30, 20)) · noise). @noise: [c, H, W], or NULL for the mean. */
void                         dimr_autoencoder_sample           (const float      *moments,
                                                                const float      *noise,
                                                                gsize             n,
                                                                float            *z);

G_END_DECLS
