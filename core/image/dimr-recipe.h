/* dimr-recipe.h — everything that is needed to make one picture again, and its spelling in files
 *
 * Two text chunks of a PNG carry it: `parameters` in the grammar that AUTOMATIC1111 started and
 * many galleries read (prompt line, then "Steps: 25, Sampler: …, CFG scale: 2, Seed: 7, Size:
 * 32x32, Model hash: …, Model: …, Version: …"), and `dimr`, one JSON object that loses nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/diffusion/dimr-guidance.h"
#include "core/diffusion/dimr-sampler.h"
#include "core/graph/dimr-plan.h"

G_BEGIN_DECLS

#define DIMR_CLASS_NONE (-1) /* an unconditional picture */

typedef struct
{
  char           *model_name;
  char           *model_hash;   /* SHA-256 of the weights file, 64 hex digits; NULL where unknown */
  char           *autoencoder_name; /* file that decoded the latent; NULL where none did */
  char           *autoencoder_hash; /* as model_hash */
  int             class_index;  /* ImageNet-1K index, or DIMR_CLASS_NONE */
  char           *class_name;   /* NULL where unknown */
  guint64         seed;
  guint64         image_index;  /* the noise is a function of (seed, image_index) */
  guint           n_steps;
  DimrSamplerKind sampler;
  DimrTimeGrid    time_grid;
  DimrSamplerOptions options;   /* of DDPM and DDIM */
  DimrGuidance    guidance;
  DimrPrecision   precision;
  guint           micro_batch;  /* images that one evaluation of the network computed together */
  gboolean        skip_unconditional; /* faster, not exact: the unconditional half left out where g(t) was near 1 */
  guint           reuse_low_branches; /* faster, not exact: lower branches refreshed every k-th evaluation; 0 or 1: off */
  char           *device;       /* what computed it; NULL where unknown */
  guint           width;
  guint           height;
  char           *version;      /* of this program; NULL where unknown */
  gboolean        own_noise;    /* it started from noise that the user gave, so that (seed, image_index) do not make it again */
} DimrRecipe;

#define DIMR_TYPE_RECIPE (dimr_recipe_get_type ())
GType       dimr_recipe_get_type      (void);
DimrRecipe *dimr_recipe_new           (void);
DimrRecipe *dimr_recipe_copy          (const DimrRecipe *self);
void        dimr_recipe_free          (DimrRecipe       *self);

/* The `parameters` text (transfer full). */
char       *dimr_recipe_to_parameters (const DimrRecipe *self);
/* The `dimr` JSON (transfer full). */
char       *dimr_recipe_to_json       (const DimrRecipe *self);
/* DIMR_ERROR_FORMAT where @json is no recipe: unknown members are ignored, wrong types are not. */
DimrRecipe *dimr_recipe_from_json     (const char       *json,
                                       GError          **error);
/* Reads what the A1111 grammar can tell: for files whose `dimr` chunk an editor has dropped, and
 * for pictures of other programs, whose prompt is a class only where it is the name of one.
 * DIMR_ERROR_FORMAT where the last line holds fewer than three settings, or a number that is none. */
DimrRecipe *dimr_recipe_from_parameters (const char     *text,
                                       GError          **error);

/* How files and command lines spell these choices (static): "uniform", "log-snr"; "constant",
 * "cosine"; "f32", "bf16", "auto". The readers ignore case. */
const char *dimr_time_grid_to_string        (DimrTimeGrid      grid);
gboolean    dimr_time_grid_from_string      (const char       *string,
                                             DimrTimeGrid     *grid);
const char *dimr_guidance_kind_to_string    (DimrGuidanceKind  kind);
gboolean    dimr_guidance_kind_from_string  (const char       *string,
                                             DimrGuidanceKind *kind);
const char *dimr_precision_to_string        (DimrPrecision     precision);
gboolean    dimr_precision_from_string      (const char       *string,
                                             DimrPrecision    *precision);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrRecipe, dimr_recipe_free)

G_END_DECLS
