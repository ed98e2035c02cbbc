/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diffusion/dimr-denoiser.h"

#include "core/image/dimr-recipe.h"
#include "core/model/dimr-network.h"

#include <math.h>
#include <string.h>

struct _DimrDenoiser
{
  DimrModel *model;
  DimrPlan *plan;
  DimrProgram *program;
  gboolean guided;
  gsize image_len;
  float *x;   /* [1 or 2, C, H, W] as the program takes it */
  float *eps; /* [1 or 2, C, H, W] conditional first */
  DimrNodeId in_x, in_log_snr, in_y, out;
};

DimrDenoiser *
dimr_denoiser_new (DimrModel      *model,
                   DimrDevice     *device,
                   DimrPrecision   precision,
                   gboolean        guided,
                   GCancellable   *cancellable,
                   GError        **error)
{
  g_autoptr (DimrDenoiser) self = NULL;
  g_autoptr (DimrGraph) graph = NULL;
  const DimrConfig *config;
  DimrNodeId output;
  guint batch;

  g_return_val_if_fail (DIMR_IS_MODEL (model) && DIMR_IS_DEVICE (device), NULL);

  config = dimr_model_peek_config (model);
  self = g_new0 (DimrDenoiser, 1);
  self->model = g_object_ref (model);
  self->guided = guided && config->num_classes > 0;
  batch = self->guided ? 2 : 1;

  graph = dimr_network_build (config, batch, 1, config->image_size, config->image_size, error);
  if (graph == NULL)
    return NULL;
  output = dimr_network_find_output (graph, config->n_stages - 1);
  self->plan = dimr_plan_new (graph, &output, 1, device, precision, error);
  if (self->plan == NULL)
    return NULL;
  self->program = dimr_device_compile (device, self->plan, dimr_model_peek_weights (model), cancellable, error);
  if (self->program == NULL)
    return NULL;

  self->in_x = dimr_plan_get_input (self->plan, "x");
  self->in_log_snr = dimr_plan_get_input (self->plan, "log_snr");
  self->in_y = dimr_plan_get_input (self->plan, "y");
  self->out = dimr_plan_get_output (self->plan, 0);
  self->image_len = (gsize) config->channels * config->image_size * config->image_size;
  self->x = g_new (float, batch * self->image_len);
  self->eps = g_new (float, batch * self->image_len);
  return g_steal_pointer (&self);
}

void
dimr_denoiser_free (DimrDenoiser *self)
{
  g_return_if_fail (self != NULL);
  g_clear_object (&self->program);
  g_clear_pointer (&self->plan, dimr_plan_unref);
  g_clear_object (&self->model);
  g_free (self->x);
  g_free (self->eps);
  g_free (self);
}

gsize
dimr_denoiser_get_image_len (DimrDenoiser *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->image_len;
}

/* The 512 px option of the released configurations: the network sees x divided by its own standard
 * deviation (unbiased, over C, H and W). The solver goes on with x itself. */
static void
normalize (float       *out,
           const float *x,
           gsize        n)
{
  double mean = 0, variance = 0;
  float factor;

  for (gsize i = 0; i < n; i++)
    mean += x[i];
  mean /= (double) n;
  for (gsize i = 0; i < n; i++)
    variance += (x[i] - mean) * (x[i] - mean);
  factor = (float) (1 / sqrt (variance / (double) (n - 1)));
  for (gsize i = 0; i < n; i++)
    out[i] = x[i] * factor;
}

static gboolean
evaluate_one (DimrDenoiser  *self,
              const float   *x,
              int            y,
              double         scale,
              float         *eps,
              GCancellable  *cancellable,
              GError       **error)
{
  const DimrConfig *config = dimr_model_peek_config (self->model);
  const gint32 null_class = (gint32) config->num_classes - 1;
  const gint32 classes[2] = { y == DIMR_CLASS_NONE ? null_class : y, null_class };
  gsize n = self->image_len, batch = self->guided ? 2 : 1;

  if (config->normalize_input)
    normalize (self->x, x, n);
  else
    memcpy (self->x, x, n * sizeof (float));
  if (self->guided)
    memcpy (self->x + n, self->x, n * sizeof (float));

  dimr_program_write (self->program, self->in_x, self->x, batch * n * sizeof (float));
  if (self->in_y != DIMR_NODE_NONE)
    dimr_program_write (self->program, self->in_y, classes, batch * sizeof classes[0]);
  if (!dimr_program_run (self->program, cancellable, error))
    return FALSE;
  dimr_program_read (self->program, self->out, self->eps, batch * n);

  if (!self->guided)
    {
      memcpy (eps, self->eps, n * sizeof (float));
      return TRUE;
    }
  for (gsize i = 0; i < n; i++)
    {
      double uncond = self->eps[n + i];
      eps[i] = (float) (uncond + scale * (self->eps[i] - uncond));
    }
  return TRUE;
}

gboolean
dimr_denoiser_evaluate (DimrDenoiser  *self,
                        const float   *x,
                        const int     *y,
                        guint          n,
                        double         t,
                        double         scale,
                        float         *eps,
                        GCancellable  *cancellable,
                        GError       **error)
{
  float log_snr;

  g_return_val_if_fail (self != NULL && x != NULL && y != NULL && eps != NULL, FALSE);

  log_snr = (float) dimr_schedule_condition (dimr_model_peek_schedule (self->model),
                                             dimr_model_peek_config (self->model)->time_condition, t);
  if (self->in_log_snr != DIMR_NODE_NONE)
    dimr_program_write (self->program, self->in_log_snr, &log_snr, sizeof log_snr);
  for (guint i = 0; i < n; i++)
    if (!evaluate_one (self, x + i * self->image_len, y[i], scale, eps + i * self->image_len, cancellable, error))
      return FALSE;
  return TRUE;
}
