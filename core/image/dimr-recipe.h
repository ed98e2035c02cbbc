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
  int             class_index;  /* ImageNet-1K index, or DIMR_CLASS_NONE */
  char           *class_name;   /* NULL where unknown */
  guint64         seed;
  guint64         image_index;  /* the noise is a function of (seed, image_index) */
  guint           n_steps;
  DimrSamplerKind sampler;
  DimrGuidance    guidance;
  DimrPrecision   precision;
  char           *device;       /* what computed it; NULL where unknown */
  guint           width;
  guint           height;
  char           *version;      /* of this program; NULL where unknown */
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
/* Reads what the A1111 grammar can tell: for files whose `dimr` chunk an editor has dropped. */
DimrRecipe *dimr_recipe_from_parameters (const char     *text,
                                       GError          **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrRecipe, dimr_recipe_free)

G_END_DECLS
