/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-optimizer.h"

#include <math.h>

struct _DimrOptimizer
{
  DimrParameters *parameters; /* borrowed */
  guint64 step;
  float *m;
  float *v;
};

DimrOptimizer *
dimr_optimizer_new (DimrParameters *parameters)
{
  DimrOptimizer *self = g_new0 (DimrOptimizer, 1);

  self->parameters = parameters;
  self->m = g_new0 (float, MAX (dimr_parameters_get_length (parameters), 1));
  self->v = g_new0 (float, MAX (dimr_parameters_get_length (parameters), 1));
  return self;
}

void
dimr_optimizer_free (DimrOptimizer *self)
{
  g_return_if_fail (self != NULL);
  g_free (self->m);
  g_free (self->v);
  g_free (self);
}

guint64
dimr_optimizer_get_step (const DimrOptimizer *self)
{
  return self->step;
}

void
dimr_optimizer_set_step (DimrOptimizer *self,
                         guint64        step)
{
  self->step = step;
}

float *
dimr_optimizer_get_m (DimrOptimizer *self)
{
  return self->m;
}

float *
dimr_optimizer_get_v (DimrOptimizer *self)
{
  return self->v;
}

static void
update_range (const DimrTrainingUpdate * restrict u,
              float                               keep,
              const float              * restrict g,
              float                    * restrict p,
              float                    * restrict m,
              float                    * restrict v,
              gsize                               n)
{
  for (gsize i = 0; i < n; i++)
    {
      const float gradient = g[i] * u->scale;

      m[i] = u->beta1 * m[i] + (1 - u->beta1) * gradient;
      v[i] = u->beta2 * v[i] + (1 - u->beta2) * gradient * gradient;
      p[i] = p[i] * keep - u->rate * m[i] / (sqrtf (v[i]) * u->correction + u->eps);
    }
}

void
dimr_optimizer_plan (DimrOptimizer      *self,
                     const DimrAdamW    *options,
                     double              scale,
                     DimrTrainingUpdate *update)
{
  const double t = (double) ++self->step;

  *update = (DimrTrainingUpdate){
    .keep = (float) (1 - options->lr * options->weight_decay),
    .beta1 = (float) options->beta1,
    .beta2 = (float) options->beta2,
    .rate = (float) (options->lr / (1 - pow (options->beta1, t))),
    .correction = (float) (1 / sqrt (1 - pow (options->beta2, t))),
    .eps = (float) options->eps,
    .scale = (float) scale,
  };
}

void
dimr_optimizer_update (DimrOptimizer   *self,
                       const DimrAdamW *options,
                       const float     *gradients,
                       double           scale,
                       const gboolean  *has_gradient)
{
  float *values = dimr_parameters_get_values (self->parameters);
  DimrTrainingUpdate update;

  dimr_optimizer_plan (self, options, scale, &update);
  for (guint i = 0; i < dimr_parameters_get_n (self->parameters); i++)
    {
      const DimrParameter *parameter = dimr_parameters_peek (self->parameters, i);
      const gsize first = parameter->first;

      if (has_gradient[i])
        update_range (&update, parameter->decays ? update.keep : 1, gradients + first, values + first, self->m + first, self->v + first,
                      parameter->n);
    }
}

void
dimr_average_update (float       *average,
                     const float *values,
                     gsize        n,
                     double       rate)
{
  const float keep = (float) rate, take = (float) (1 - rate);

  for (gsize i = 0; i < n; i++)
    average[i] = keep * average[i] + take * values[i];
}

double
dimr_norm (const float *x,
           gsize        n)
{
  double sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += (double) x[i] * (double) x[i];
  return sqrt (sum);
}
