/* dimr-model.h — a loaded model: its weights, its configuration, what it is good at
 *
 * Immutable after loading; may be read from any thread. A model is a folder with `config.json`
 * and a weights file, or a weights file alone whose architecture is told by its tensors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/diffusion/dimr-sampler.h"
#include "core/diffusion/dimr-guidance.h"
#include "core/model/dimr-autoencoder.h"
#include "core/model/dimr-config.h"
#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

#define DIMR_TYPE_MODEL (dimr_model_get_type ())
G_DECLARE_FINAL_TYPE (DimrModel, dimr_model, DIMR, MODEL, GObject)

/* @path: a folder or a weights file. Checks every tensor's presence and shape against the architecture. DIMR_ERROR_MODEL for
 * a classifier, which makes no pictures. Blocks. */
DimrModel        *dimr_model_load                 (const char    *path,
                                                   GCancellable  *cancellable,
                                                   GError       **error);
/* The same for networks of every kind: also for a classifier. */
DimrModel        *dimr_model_load_any             (const char    *path,
                                                   GCancellable  *cancellable,
                                                   GError       **error);
/* The same for a model that makes pictures, and gives a model of latents its autoencoder: that of the file or folder @autoencoder, or where that is
 * NULL one that is found beside the model or in the user's library, if any. DIMR_ERROR_MODEL where the two do not fit together. */
DimrModel        *dimr_model_load_paired          (const char    *path,
                                                   const char    *autoencoder,
                                                   GCancellable  *cancellable,
                                                   GError       **error);
/* A model that has no file: it has no path, no hash and no card. Checks the tensors likewise. */
DimrModel        *dimr_model_new_for_weights      (const DimrConfig *config,
                                                   DimrWeights   *weights,
                                                   GError       **error);
/* A person's name for it: the model card's title, or the folder's or file's name (transfer none). */
const char       *dimr_model_get_name             (DimrModel     *self);
/* "DiMR, 3 branches, 4.3 M parameters, 32×32" (transfer none). */
const char       *dimr_model_get_summary          (DimrModel     *self);
/* The folder or file that was loaded; NULL where there is none (transfer none). */
const char       *dimr_model_get_path             (DimrModel     *self);
/* SHA-256 of the weights file in hex; NULL while a thread that the first call starts is still reading the
 * file, or where it failed (transfer none). */
const char       *dimr_model_get_hash             (DimrModel     *self);
/* The same, after waiting for it: for worker threads. */
const char       *dimr_model_wait_for_hash        (DimrModel     *self);
/* Markdown of the model card beside the weights; NULL where there is none (transfer none). */
const char       *dimr_model_get_card             (DimrModel     *self);
const DimrConfig *dimr_model_peek_config          (DimrModel     *self);
DimrWeights      *dimr_model_peek_weights         (DimrModel     *self);
DimrSchedule     *dimr_model_peek_schedule        (DimrModel     *self);
/* What decodes the latents that it makes; NULL for a model of pixels, and where none was found (transfer none). */
DimrAutoencoder  *dimr_model_get_autoencoder      (DimrModel     *self);
/* SHA-256 of the autoencoder's file; known together with the model's own hash; NULL before, and where there is none
 * (transfer none). */
const char       *dimr_model_get_autoencoder_hash (DimrModel     *self);
/* TRUE where it makes latents rather than pixels. */
gboolean          dimr_model_is_latent            (DimrModel     *self);
/* Pixels of the pictures it makes. */
guint             dimr_model_get_image_size       (DimrModel     *self);
guint64           dimr_model_get_n_parameters     (DimrModel     *self);
gboolean          dimr_model_is_conditional       (DimrModel     *self);
/* TRUE where the model is known to have been trained on that ImageNet class, or where nothing is known. */
gboolean          dimr_model_knows_class          (DimrModel     *self,
                                                   int            class_index);
/* [n] indices; NULL and 0 where the model does not say (transfer none). */
const int        *dimr_model_peek_trained_classes (DimrModel     *self,
                                                   guint         *n);
/* Defaults that its makers chose. */
guint             dimr_model_get_default_steps    (DimrModel     *self);
DimrSamplerKind   dimr_model_get_default_sampler  (DimrModel     *self);
DimrGuidance      dimr_model_get_default_guidance (DimrModel     *self);

G_END_DECLS
