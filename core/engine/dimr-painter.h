/* dimr-painter.h — what a model makes, as pictures: pixels as they are, latents decoded or guessed at
 *
 * Latents of a model with an autoencoder are decoded; without one, and in previews unless decoding keeps up, a linear
 * projection shows one pixel a latent: a fit of Stable Diffusion's decoder that costs nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/engine/dimr-request.h"
#include "core/graph/dimr-device.h"
#include "core/image/dimr-image.h"
#include "core/model/dimr-model.h"

G_BEGIN_DECLS

typedef struct _DimrPainter DimrPainter;

/* @device (transfer none) */
DimrPainter *dimr_painter_new       (DimrDevice          *device);
void         dimr_painter_free      (DimrPainter         *self);
/* Compiles what the pictures of @model need; the same again costs nothing. Errors of dimr_decoder_new(). */
gboolean     dimr_painter_prepare   (DimrPainter         *self,
                                     DimrModel           *model,
                                     DimrPrecision        precision,
                                     GCancellable        *cancellable,
                                     GError             **error);
/* Gives the memory back. */
void         dimr_painter_forget    (DimrPainter         *self);
/* @x: [C, H, W] of the prepared model (transfer full). */
DimrImage   *dimr_painter_paint     (DimrPainter         *self,
                                     const float         *x,
                                     GCancellable        *cancellable,
                                     GError             **error);
/* TRUE where previews of @n images after a step of @seconds are to be decoded. */
gboolean     dimr_painter_keeps_up  (DimrPainter         *self,
                                     DimrPreviewKind      kind,
                                     guint                n,
                                     double               seconds);
/* Multiply-accumulates of dimr_painter_paint(); 0 where it does not decode. */
guint64      dimr_painter_get_macs  (DimrPainter         *self);
/* Without decoding; cannot fail (transfer full). */
DimrImage   *dimr_painter_sketch    (DimrPainter         *self,
                                     const float         *x);
/* A sentence for a model whose pictures can only be sketched: what is missing, and where it is published; NULL else (static). */
const char  *dimr_painter_describe_missing (DimrModel    *model);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrPainter, dimr_painter_free)

G_END_DECLS
