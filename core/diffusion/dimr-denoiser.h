/* dimr-denoiser.h — the guided network on one device: x at t → noise prediction
 *
 * Holds the compiled programs of one model. The network always sees the same number of images, the
 * micro-batch M: with guidance [2·M, C, H, W], the conditional halves first. The last group of a
 * batch is filled up with copies of its last image, whose predictions nobody reads. So an image's
 * bytes can depend on M, but neither on how many were asked for nor on its neighbours. All memory is
 * taken by the constructor and announce(); an evaluation allocates nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "core/model/dimr-model.h"

G_BEGIN_DECLS

typedef struct _DimrDenoiser DimrDenoiser;

#define DIMR_MAX_MICRO_BATCH 256

typedef struct
{
  DimrPrecision precision;
  guint         micro_batch; /* M, 1 … DIMR_MAX_MICRO_BATCH */
  gboolean      guided;      /* whether the unconditional half is evaluated too; FALSE for models without classes */
  gboolean      keep_low;    /* whether the lower branches' part can be used again; models of several branches */
  gboolean      variance;    /* whether what the network says of the variance is wanted; FALSE for models that say nothing */
  guint         guided_channels; /* DimrGuidance.channels */
} DimrDenoiserSettings;

gboolean        dimr_denoiser_settings_equal  (const DimrDenoiserSettings  *a,
                                               const DimrDenoiserSettings  *b);
/* How one evaluation is made: bits. Everything is computed where none is set. */
typedef enum
{
  DIMR_EVALUATION_WHOLE       = 0,
  DIMR_EVALUATION_UNGUIDED    = 1 << 0, /* the conditional half alone */
  DIMR_EVALUATION_LAST_BRANCH = 1 << 1, /* the lower branches' part from the last evaluation without this bit */
} DimrEvaluation;

#define DIMR_N_EVALUATIONS 4

/* DIMR_ERROR_MEMORY, whose sentence names the micro-batch that fits, if there is one;
 * DIMR_ERROR_UNSUPPORTED, DIMR_ERROR_DEVICE, DIMR_ERROR_DEVICE_LOST. */
DimrDenoiser   *dimr_denoiser_new             (DimrModel                   *model,
                                               DimrDevice                  *device,
                                               const DimrDenoiserSettings  *settings,
                                               GCancellable                *cancellable,
                                               GError                     **error);
void            dimr_denoiser_free            (DimrDenoiser                *self);

const DimrDenoiserSettings *dimr_denoiser_peek_settings (DimrDenoiser      *self);
DimrModel      *dimr_denoiser_get_model       (DimrDenoiser                *self);
DimrDevice     *dimr_denoiser_get_device      (DimrDenoiser                *self);
/* TRUE where a walk can be kept in the device's memory: what crosses it there is the noise, guided in all channels. */
gboolean        dimr_denoiser_suits_device_walk (DimrDenoiser              *self);
/* Floats of one image: C · H · W. */
gsize           dimr_denoiser_get_image_len   (DimrDenoiser                *self);

/* Tells all times of a walk before it begins: evaluation i will be at @times[i], in the form
 * @evaluations[i], both [n]. Compiles the forms that are new, and lets the device compute ahead
 * what depends on time alone. Errors as of the constructor. */
gboolean        dimr_denoiser_announce        (DimrDenoiser                *self,
                                               const double                *times,
                                               const DimrEvaluation        *evaluations,
                                               guint                        n,
                                               GCancellable                *cancellable,
                                               GError                     **error);
/* Evaluation @index of those announced, in this process's memory. @x, @eps: [n, C, H, W]; @y: [n] class of
 * each image, DIMR_CLASS_NONE for the null class; @scale: g at that time. n ≤ M with the lower branches kept.
 * @variance: [n, C, H, W] where the settings ask for it, never guided; else NULL.
 * The cancellable is looked at between the steps of the network. */
gboolean        dimr_denoiser_evaluate        (DimrDenoiser                *self,
                                               guint                        index,
                                               const float                 *x,
                                               const int                   *y,
                                               guint                        n,
                                               double                       scale,
                                               float                       *eps,
                                               float                       *variance,
                                               GCancellable                *cancellable,
                                               GError                     **error);
/* The same in the device's: row @index of @walk. One group only with the lower branches kept. */
gboolean        dimr_denoiser_step            (DimrDenoiser                *self,
                                               guint                        index,
                                               DimrDeviceWalk              *walk,
                                               GCancellable                *cancellable,
                                               GError                     **error);

/* The largest micro-batch below settings->micro_batch, by halves, whose plan fits into the memory that
 * is free on @device now; 0 where none does. Plans, and allocates nothing there. */
guint           dimr_denoiser_find_micro_batch (DimrModel                  *model,
                                               DimrDevice                  *device,
                                               const DimrDenoiserSettings  *settings);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrDenoiser, dimr_denoiser_free)

G_END_DECLS
