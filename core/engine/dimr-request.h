/* dimr-request.h — what a user asks the engine for
 *
 * A plain value: filled in, checked against a model, copied into a job.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/image/dimr-recipe.h"

G_BEGIN_DECLS

/* How latents are shown while they form. */
typedef enum
{
  DIMR_PREVIEW_AUTO,    /* decoded where a decoding takes less than a step */
  DIMR_PREVIEW_SKETCH,  /* a linear projection */
  DIMR_PREVIEW_DECODED,
} DimrPreviewKind;

/* "auto", "sketch", "decoded"; FALSE for others. */
gboolean dimr_preview_kind_from_string (const char      *text,
                                        DimrPreviewKind *kind);

/* Every class gets @count images, in order: image i is of class classes[i / count], and its noise
 * is that of (seed, first_index + i). */
typedef struct
{
  int            *classes;          /* [n_classes]; ignored by unconditional models */
  guint           n_classes;
  guint           count;            /* images a class, ≥ 1 */
  guint64         seed;
  guint64         first_index;
  guint           n_steps;
  DimrSamplerKind sampler;
  DimrTimeGrid    time_grid;
  DimrSamplerOptions options;       /* of DDPM and DDIM */
  DimrGuidance    guidance;
  DimrPrecision   precision;        /* AUTO: the device's */
  guint           batch;            /* images advanced together, ≥ 1; never changes a picture; rounded up to whole micro-batches */
  guint           micro_batch;      /* images that one evaluation computes together; 0: the device's, or fewer where memory is short */
  gboolean        skip_unconditional; /* faster, not exact: see DimrWalkSettings */
  guint           reuse_low_branches; /* likewise; 0 or 1: off */
  gboolean        previews;         /* never changes a picture either */
  DimrPreviewKind preview_kind;     /* nor does this */
  char           *output_folder;    /* each picture is saved here before it is announced; NULL: not saved */
  float          *noise;            /* [n_images, C, H, W] instead of (seed, index); NULL: Philox */
  gsize           n_noise;          /* floats in @noise */
  float          *noises;           /* [n_steps, n_images, C, H, W]: what the steps draw, likewise; NULL: Philox */
  gsize           n_noises;
  gboolean        trace;            /* keep times, x after every outer update and the last x for the job's trace */
} DimrRequest;

#define DIMR_TYPE_REQUEST (dimr_request_get_type ())
GType        dimr_request_get_type     (void);
/* One image of class 0, seed 0, 25 steps, fast, guidance off, precision and micro-batch the device's. */
DimrRequest *dimr_request_new          (void);
DimrRequest *dimr_request_copy         (const DimrRequest *self);
void         dimr_request_free         (DimrRequest       *self);
guint        dimr_request_get_n_images (const DimrRequest *self);
/* A seed that nobody chose, below 2^32 so that it can be read out loud. */
guint64      dimr_request_random_seed  (void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrRequest, dimr_request_free)

G_END_DECLS
