/* dimr-denoiser.h — the guided network on one device: x at t → noise prediction
 *
 * Holds the compiled program of one model. Every image is evaluated by itself, its conditional
 * and unconditional half as one batch of two, so its bytes cannot depend on its neighbours.
 * All memory is taken by the constructor; an evaluation allocates nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "core/model/dimr-model.h"

G_BEGIN_DECLS

typedef struct _DimrDenoiser DimrDenoiser;

/* @guided: whether the unconditional half is evaluated too; FALSE for models without classes.
 * DIMR_ERROR_MEMORY, DIMR_ERROR_UNSUPPORTED, DIMR_ERROR_DEVICE. */
DimrDenoiser *dimr_denoiser_new            (DimrModel      *model,
                                            DimrDevice     *device,
                                            DimrPrecision   precision,
                                            gboolean        guided,
                                            GCancellable   *cancellable,
                                            GError        **error);
void          dimr_denoiser_free           (DimrDenoiser   *self);

/* Floats of one image: C · H · W. */
gsize         dimr_denoiser_get_image_len  (DimrDenoiser   *self);
/* @x, @eps: [n, C, H, W]; @y: [n] class of each image, DIMR_CLASS_NONE for the null class; @scale: g at @t.
 * The cancellable is looked at between the steps of the network. */
gboolean      dimr_denoiser_evaluate       (DimrDenoiser   *self,
                                            const float    *x,
                                            const int      *y,
                                            guint           n,
                                            double          t,
                                            double          scale,
                                            float          *eps,
                                            GCancellable   *cancellable,
                                            GError        **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrDenoiser, dimr_denoiser_free)

G_END_DECLS
