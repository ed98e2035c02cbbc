/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diffusion/dimr-walk.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/diffusion/dimr-sampler-private.h"
#include "core/image/dimr-recipe.h"

#include <string.h>

/* Invariants: exactly one of `device_walk` and `sampler` is there; a copy that was requested from the
 * device is fetched before the next one is. */
struct _DimrWalk
{
  DimrDenoiser *denoiser; /* not owned */
  guint n_images;
  guint n_steps;
  guint step;
  guint n_updates;
  double *times;               /* [n_steps] */
  DimrWalkRow *rows;           /* [n_steps] */
  DimrEvaluation *evaluations; /* [n_steps] */

  DimrDeviceWalk *device_walk;
  float *copy;                 /* [n_groups, M, C, H, W] from the device */
  gboolean is_pending;         /* a preview was requested */

  DimrSampler *sampler;
  int *y;                      /* [n_images] */
  float *eps;                  /* [n_images, C, H, W] */
  float *variance;             /* [n_images, C, H, W]; NULL where the network says nothing of it */
  float *noise;                /* [n_images, C, H, W]; NULL where no step draws any */
  DimrWalkNoise fill_noise;
  gpointer noise_data;
};

/* Guidance and form of every evaluation. The lower branches of a guided evaluation are of no use to
 * an unguided one, so a change between the two refreshes them. */
static void
plan_evaluations (DimrWalk               *self,
                  const DimrWalkSettings *settings)
{
  const gboolean guided = dimr_denoiser_peek_settings (self->denoiser)->guided;
  const gboolean keep_low = dimr_denoiser_peek_settings (self->denoiser)->keep_low;
  DimrEvaluation low_of = DIMR_N_EVALUATIONS;
  guint age = 0;

  for (guint i = 0; i < self->n_steps; i++)
    {
      const double g = dimr_guidance_at (&settings->guidance, self->times[i]);
      DimrEvaluation evaluation = DIMR_EVALUATION_WHOLE;

      self->rows[i].guidance = g;
      if (!guided || (settings->skip_unconditional && dimr_guidance_is_near_one (g)))
        evaluation = DIMR_EVALUATION_UNGUIDED;
      if (keep_low && evaluation == low_of && age + 1 < settings->reuse_low_branches)
        {
          evaluation |= DIMR_EVALUATION_LAST_BRANCH;
          age++;
        }
      else
        {
          low_of = evaluation;
          age = 0;
        }
      self->evaluations[i] = evaluation;
    }
}

static gboolean
start_on_device (DimrWalk     *self,
                 const float  *start,
                 const int    *y,
                 GError      **error)
{
  const DimrConfig *config = dimr_model_peek_config (dimr_denoiser_get_model (self->denoiser));
  const guint m = dimr_denoiser_peek_settings (self->denoiser)->micro_batch;
  const guint n_groups = (self->n_images + m - 1) / m;
  const gint32 null_class = (gint32) config->num_classes - 1;
  const gsize len = dimr_denoiser_get_image_len (self->denoiser);
  g_autofree gint32 *classes = g_new (gint32, 2 * (gsize) n_groups * m);
  g_autofree float *padded = g_try_new (float, (gsize) n_groups * m * len);
  DimrWalkSpec spec = {
    .n_groups = n_groups,
    .micro_batch = m,
    .image_len = len,
    .start = padded,
    .y = config->num_classes > 0 ? classes : NULL,
    .rows = self->rows,
    .n_rows = self->n_steps,
  };

  self->copy = g_try_new (float, (gsize) n_groups * m * len);
  if (padded == NULL || self->copy == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_MEMORY,
                      ngettext ("There is not enough memory for a batch of %u picture; choose a smaller model",
                            "There is not enough memory for a batch of %u pictures; use a smaller one", self->n_images), self->n_images);
      return FALSE;
    }
  for (guint i = 0; i < n_groups * m; i++)
    {
      const guint from = MIN (i, self->n_images - 1);
      gint32 *group = classes + 2 * (gsize) (i / m) * m;

      memcpy (padded + i * len, start + from * len, len * sizeof (float));
      group[i % m] = y[from] == DIMR_CLASS_NONE ? null_class : y[from];
      group[m + i % m] = null_class;
    }
  self->device_walk = dimr_device_new_walk (dimr_denoiser_get_device (self->denoiser), &spec, error);
  return self->device_walk != NULL;
}

static gboolean
start_here (DimrWalk                *self,
            const DimrWalkSettings  *settings,
            const float             *start,
            const int               *y,
            GError                 **error)
{
  const gsize len = dimr_denoiser_get_image_len (self->denoiser);

  const gboolean draws = dimr_sampler_kind_draws_noise (settings->sampler, &settings->options);
  const gboolean variance = dimr_denoiser_peek_settings (self->denoiser)->variance;

  self->sampler = dimr_sampler_new (settings->sampler, settings->time_grid, &settings->options,
                                    dimr_model_peek_schedule (dimr_denoiser_get_model (self->denoiser)),
                                    self->n_steps, start, self->n_images * len, error);
  if (self->sampler == NULL)
    return FALSE;
  self->y = g_memdup2 (y, self->n_images * sizeof *y);
  self->fill_noise = settings->fill_noise;
  self->noise_data = settings->noise_data;
  self->eps = g_try_new (float, self->n_images * len);
  if (variance)
    self->variance = g_try_new (float, self->n_images * len);
  if (draws)
    self->noise = g_try_new (float, self->n_images * len);
  if (self->eps != NULL && (self->variance != NULL || !variance) && (self->noise != NULL || !draws))
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_MEMORY,
                  ngettext ("There is not enough memory for a batch of %u picture; choose a smaller model",
                            "There is not enough memory for a batch of %u pictures; use a smaller one", self->n_images), self->n_images);
  return FALSE;
}

DimrWalk *
dimr_walk_new (DimrDenoiser            *denoiser,
               const DimrWalkSettings  *settings,
               const float             *start,
               const int               *y,
               guint                    n,
               GCancellable            *cancellable,
               GError                 **error)
{
  g_autoptr (DimrWalk) self = NULL;
  g_autoptr (GError) reason = NULL;
  DimrModel *model;

  g_return_val_if_fail (denoiser != NULL && settings != NULL && start != NULL && y != NULL && n > 0, NULL);
  g_return_val_if_fail (n <= dimr_denoiser_peek_settings (denoiser)->micro_batch ||
                        !dimr_denoiser_peek_settings (denoiser)->keep_low, NULL);
  g_return_val_if_fail (settings->fill_noise != NULL ||
                        !dimr_sampler_kind_draws_noise (settings->sampler, &settings->options), NULL);

  model = dimr_denoiser_get_model (denoiser);
  self = g_new0 (DimrWalk, 1);
  self->denoiser = denoiser;
  self->n_images = n;
  self->n_steps = settings->n_steps;
  self->times = g_new0 (double, MAX (settings->n_steps, 1));
  self->rows = g_new0 (DimrWalkRow, MAX (settings->n_steps, 1));
  self->evaluations = g_new0 (DimrEvaluation, MAX (settings->n_steps, 1));
  if (!dimr_sampler_plan (settings->sampler, settings->time_grid, &settings->options, dimr_model_peek_schedule (model),
                          settings->n_steps, self->times, self->rows, error))
    return NULL;
  plan_evaluations (self, settings);
  if (!dimr_denoiser_announce (denoiser, self->times, self->evaluations, self->n_steps, cancellable, error))
    return NULL;

  /* A device's walk hands x to the network as it is, and is linear. */
  if (dimr_denoiser_suits_device_walk (denoiser) && !settings->options.clip &&
      !dimr_sampler_kind_draws_noise (settings->sampler, &settings->options))
    {
      if (start_on_device (self, start, y, &reason))
        return g_steal_pointer (&self);
      if (!g_error_matches (reason, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED))
        {
          g_propagate_error (error, g_steal_pointer (&reason));
          return NULL;
        }
      g_clear_pointer (&self->copy, g_free);
    }
  return start_here (self, settings, start, y, error) ? g_steal_pointer (&self) : NULL;
}

void
dimr_walk_free (DimrWalk *self)
{
  g_return_if_fail (self != NULL);
  g_clear_object (&self->device_walk);
  g_clear_pointer (&self->sampler, dimr_sampler_free);
  g_free (self->times);
  g_free (self->rows);
  g_free (self->evaluations);
  g_free (self->copy);
  g_free (self->y);
  g_free (self->eps);
  g_free (self->variance);
  g_free (self->noise);
  g_free (self);
}

gboolean
dimr_walk_advance (DimrWalk      *self,
                   GCancellable  *cancellable,
                   GError       **error)
{
  const float *x;

  g_return_val_if_fail (self != NULL && self->step < self->n_steps, FALSE);

  if (self->device_walk != NULL)
    {
      if (!dimr_denoiser_step (self->denoiser, self->step, self->device_walk, cancellable, error))
        return FALSE;
    }
  else
    {
      dimr_sampler_next (self->sampler, &x, NULL);
      if (!dimr_denoiser_evaluate (self->denoiser, self->step, x, self->y, self->n_images,
                                   self->rows[self->step].guidance, self->eps, self->variance, cancellable, error))
        return FALSE;
      if (dimr_sampler_wants_noise (self->sampler))
        self->fill_noise (self->step, self->noise, self->noise_data);
      dimr_sampler_feed_noise (self->sampler, self->eps, self->variance, self->noise);
    }
  self->n_updates += self->rows[self->step].outer;
  self->step++;
  return TRUE;
}

guint
dimr_walk_get_step (DimrWalk *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->step;
}

guint
dimr_walk_get_n_steps (DimrWalk *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->n_steps;
}

double
dimr_walk_get_time (DimrWalk *self)
{
  g_return_val_if_fail (self != NULL && self->step > 0, 1);
  return self->times[self->step - 1];
}

guint
dimr_walk_get_n_updates (DimrWalk *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->n_updates;
}

gboolean
dimr_walk_is_on_device (DimrWalk *self)
{
  g_return_val_if_fail (self != NULL, FALSE);
  return self->device_walk != NULL;
}

/* Takes over the copy that was requested, where it is there. */
static gboolean
fetch (DimrWalk   *self,
       gboolean    wait,
       gboolean   *is_there,
       GError    **error)
{
  g_autoptr (GError) reason = NULL;

  *is_there = dimr_device_walk_fetch (self->device_walk, wait, self->copy, &reason);
  if (*is_there || reason == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&reason));
  return FALSE;
}

gboolean
dimr_walk_poll_preview (DimrWalk      *self,
                        gboolean       want,
                        const float  **x0,
                        GError       **error)
{
  gboolean is_there = FALSE;

  g_return_val_if_fail (self != NULL && x0 != NULL, FALSE);

  *x0 = NULL;
  if (self->device_walk == NULL)
    {
      if (want)
        *x0 = dimr_sampler_peek_x0 (self->sampler);
      return TRUE;
    }
  if (self->is_pending)
    {
      if (!fetch (self, FALSE, &is_there, error))
        return FALSE;
      self->is_pending = !is_there;
    }
  if (want && !self->is_pending)
    {
      if (!dimr_device_walk_request (self->device_walk, DIMR_WALK_X0, error))
        return FALSE;
      self->is_pending = TRUE;
    }
  if (is_there)
    *x0 = self->copy;
  return TRUE;
}

gboolean
dimr_walk_read_x (DimrWalk      *self,
                  const float  **x,
                  GError       **error)
{
  gboolean is_there;

  g_return_val_if_fail (self != NULL && x != NULL, FALSE);

  if (self->device_walk == NULL)
    {
      *x = dimr_sampler_peek_x (self->sampler);
      return TRUE;
    }
  if (self->is_pending && !fetch (self, TRUE, &is_there, error))
    return FALSE;
  self->is_pending = FALSE;
  if (!dimr_device_walk_request (self->device_walk, DIMR_WALK_X, error) || !fetch (self, TRUE, &is_there, error))
    return FALSE;
  if (!is_there)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_DEVICE, _("The device did not hand out the picture; try again"));
      return FALSE;
    }
  *x = self->copy;
  return TRUE;
}
