/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-request.h"

G_DEFINE_BOXED_TYPE (DimrRequest, dimr_request, dimr_request_copy, dimr_request_free)

DimrRequest *
dimr_request_new (void)
{
  DimrRequest *self = g_new0 (DimrRequest, 1);

  self->classes = g_new0 (int, 1);
  self->n_classes = 1;
  self->count = 1;
  self->n_steps = 25;
  self->sampler = DIMR_SAMPLER_DPM_SOLVER_FAST;
  self->time_grid = DIMR_TIME_GRID_UNIFORM;
  self->guidance = (DimrGuidance){ .kind = DIMR_GUIDANCE_CONSTANT, .scale = 1, .power = 1 };
  self->precision = DIMR_PRECISION_AUTO;
  self->batch = 1;
  self->previews = TRUE;
  return self;
}

DimrRequest *
dimr_request_copy (const DimrRequest *self)
{
  DimrRequest *copy;

  g_return_val_if_fail (self != NULL, NULL);

  copy = g_new (DimrRequest, 1);
  *copy = *self;
  copy->classes = g_memdup2 (self->classes, self->n_classes * sizeof (int));
  copy->output_folder = g_strdup (self->output_folder);
  copy->noise = g_memdup2 (self->noise, self->n_noise * sizeof (float));
  copy->noises = g_memdup2 (self->noises, self->n_noises * sizeof (float));
  return copy;
}

void
dimr_request_free (DimrRequest *self)
{
  if (self == NULL)
    return;
  g_free (self->classes);
  g_free (self->output_folder);
  g_free (self->noise);
  g_free (self->noises);
  g_free (self);
}

guint
dimr_request_get_n_images (const DimrRequest *self)
{
  guint n;

  g_return_val_if_fail (self != NULL, 0);
  /* An unconditional model is asked with no classes at all. */
  if (__builtin_mul_overflow (MAX (self->n_classes, 1), self->count, &n))
    return G_MAXUINT;
  return n;
}

guint64
dimr_request_random_seed (void)
{
  return g_random_int ();
}

gboolean
dimr_preview_kind_from_string (const char      *text,
                               DimrPreviewKind *kind)
{
  static const char * const names[] = { "auto", "sketch", "decoded" };

  g_return_val_if_fail (text != NULL && kind != NULL, FALSE);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_strcmp0 (text, names[i]) == 0)
      {
        *kind = (DimrPreviewKind) i;
        return TRUE;
      }
  return FALSE;
}
