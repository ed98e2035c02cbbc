/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diffusion/dimr-denoiser.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/image/dimr-recipe.h"
#include "core/model/dimr-network.h"

#include <math.h>
#include <string.h>

/* One form of evaluation, compiled. */
typedef struct
{
  DimrPlan *plan;
  DimrProgram *program;
  DimrWalkPorts ports;
  DimrNodeId time;
  DimrNodeId low; /* output of the whole network, input of the last branch */
  gsize low_len;
} Form;

/* Invariants: `forms` that were announced are compiled and have the series; `low_of` is the form
 * whose program holds the newest part of the lower branches, or −1. */
struct _DimrDenoiser
{
  DimrModel *model;
  DimrDevice *device;
  DimrDenoiserSettings settings;
  gsize image_len;
  gsize output_len;    /* of one image: with the variance twice as long */
  Form forms[DIMR_N_EVALUATIONS];
  float *series;       /* [n_series] what the network is told of the time, as announced */
  guint n_series;
  DimrEvaluation *evaluations; /* [n_series] */
  int low_of;
  gboolean low_handed_on;
  float *x;            /* [2·M, C, H, W] as the program takes it */
  float *out;          /* [2·M, C or 2·C, H, W] */
  gint32 *y;           /* [2·M] */
};

gboolean
dimr_denoiser_settings_equal (const DimrDenoiserSettings *a,
                              const DimrDenoiserSettings *b)
{
  return a->precision == b->precision && a->micro_batch == b->micro_batch && a->guided == b->guided &&
         a->keep_low == b->keep_low && a->variance == b->variance && a->guided_channels == b->guided_channels;
}

static DimrGraph *
build_graph (DimrModel                   *model,
             const DimrDenoiserSettings  *settings,
             DimrEvaluation               evaluation,
             GError                     **error)
{
  const DimrConfig *config = dimr_model_peek_config (model);
  const guint batch = settings->micro_batch * (evaluation & DIMR_EVALUATION_UNGUIDED ? 1 : 2);
  const guint side = config->image_size;

  return evaluation & DIMR_EVALUATION_LAST_BRANCH ? dimr_network_build_last_branch (config, batch, 1, side, side, error)
                                                  : dimr_network_build (config, batch, 1, side, side, error);
}

static DimrPlan *
plan_form (DimrModel                   *model,
           DimrDevice                  *device,
           const DimrDenoiserSettings  *settings,
           DimrEvaluation               evaluation,
           GError                     **error)
{
  const DimrConfig *config = dimr_model_peek_config (model);
  g_autoptr (DimrGraph) graph = build_graph (model, settings, evaluation, error);
  DimrNodeId outputs[2];
  guint n_outputs = 1;

  if (graph == NULL)
    return NULL;
  outputs[0] = settings->variance ? dimr_network_find_output (graph, dimr_config_get_n_branches (config) - 1)
                                  : dimr_network_find_noise (graph, config);
  if (settings->keep_low && !(evaluation & DIMR_EVALUATION_LAST_BRANCH))
    outputs[n_outputs++] = dimr_network_find_low (graph, config);
  return dimr_plan_new (graph, outputs, n_outputs, device, settings->precision, error);
}

/* What a walk begins with. */
static DimrEvaluation
first_evaluation (const DimrDenoiserSettings *settings)
{
  return settings->guided ? DIMR_EVALUATION_WHOLE : DIMR_EVALUATION_UNGUIDED;
}

guint
dimr_denoiser_find_micro_batch (DimrModel                  *model,
                                DimrDevice                 *device,
                                const DimrDenoiserSettings *settings)
{
  DimrDenoiserSettings smaller;

  g_return_val_if_fail (DIMR_IS_MODEL (model) && DIMR_IS_DEVICE (device) && settings != NULL, 0);

  smaller = *settings;
  while ((smaller.micro_batch /= 2) > 0)
    {
      g_autoptr (DimrPlan) plan = plan_form (model, device, &smaller, first_evaluation (&smaller), NULL);

      if (plan != NULL)
        return smaller.micro_batch;
    }
  return 0;
}

/* A failure for memory says what would fit. */
static void
advise (DimrDenoiser  *self,
        GError       **error)
{
  guint fits;
  char *message;

  if (error == NULL || !g_error_matches (*error, DIMR_ERROR, DIMR_ERROR_MEMORY))
    return;
  fits = dimr_denoiser_find_micro_batch (self->model, self->device, &self->settings);
  if (fits == 0)
    return;
  message = g_strdup_printf (ngettext ("%s: %u image per evaluation instead of %u fits",
                                       "%s: %u images per evaluation instead of %u fit", fits),
                             (*error)->message, fits, self->settings.micro_batch);
  g_free ((*error)->message);
  (*error)->message = message;
}

static gboolean
announce_series (DimrDenoiser  *self,
                 Form          *form,
                 GError       **error)
{
  return self->n_series == 0 || form->time == DIMR_NODE_NONE ||
         dimr_program_set_series (form->program, form->time, self->series, 1, self->n_series, error);
}

static gboolean
compile_form (DimrDenoiser    *self,
              DimrEvaluation   evaluation,
              GCancellable    *cancellable,
              GError         **error)
{
  Form *form = &self->forms[evaluation];

  if (form->program != NULL)
    return TRUE;
  g_clear_pointer (&form->plan, dimr_plan_unref);
  form->plan = plan_form (self->model, self->device, &self->settings, evaluation, error);
  if (form->plan == NULL)
    return FALSE;
  form->program = dimr_device_compile (self->device, form->plan, dimr_model_peek_weights (self->model), cancellable, error);
  if (form->program == NULL)
    return FALSE;

  form->ports.x = dimr_plan_get_input (form->plan, "x");
  form->ports.y = dimr_plan_get_input (form->plan, "y");
  form->ports.eps = dimr_plan_get_output (form->plan, 0);
  form->ports.guided = !(evaluation & DIMR_EVALUATION_UNGUIDED);
  form->time = dimr_plan_get_input (form->plan, dimr_network_get_time_input (dimr_model_peek_config (self->model)));
  if (self->settings.keep_low)
    {
      form->low = evaluation & DIMR_EVALUATION_LAST_BRANCH ? dimr_plan_get_input (form->plan, "low")
                                                           : dimr_plan_get_output (form->plan, 1);
      form->low_len = dimr_shape_n_elements (&dimr_graph_peek_node (dimr_plan_peek_graph (form->plan), form->low)->shape);
    }
  return announce_series (self, form, error);
}

DimrDenoiser *
dimr_denoiser_new (DimrModel                   *model,
                   DimrDevice                  *device,
                   const DimrDenoiserSettings  *settings,
                   GCancellable                *cancellable,
                   GError                     **error)
{
  g_autoptr (DimrDenoiser) self = NULL;
  const DimrConfig *config;
  gsize n;

  g_return_val_if_fail (DIMR_IS_MODEL (model) && DIMR_IS_DEVICE (device) && settings != NULL, NULL);
  g_return_val_if_fail (settings->micro_batch >= 1 && settings->micro_batch <= DIMR_MAX_MICRO_BATCH, NULL);
  g_return_val_if_fail (settings->precision != DIMR_PRECISION_AUTO, NULL);

  config = dimr_model_peek_config (model);
  self = g_new0 (DimrDenoiser, 1);
  self->model = g_object_ref (model);
  self->device = g_object_ref (device);
  self->settings = *settings;
  self->settings.guided &= config->has_null_class;
  self->settings.variance = settings->variance && dimr_config_tells_variance (config);
  self->output_len = (self->settings.variance ? 2 : 1) * (gsize) config->channels * config->image_size * config->image_size;
  self->image_len = (gsize) config->channels * config->image_size * config->image_size;
  self->low_of = -1;
  if (!compile_form (self, first_evaluation (&self->settings), cancellable, error))
    {
      advise (self, error);
      return NULL;
    }

  n = 2 * (gsize) settings->micro_batch;
  self->x = g_try_new (float, n * self->image_len);
  self->out = g_try_new (float, n * self->output_len);
  self->y = g_new (gint32, n);
  if (self->x != NULL && self->out != NULL)
    return g_steal_pointer (&self);
  dimr_error_set (error, DIMR_ERROR_MEMORY,
                  _("There is not enough memory for %u images per evaluation; use fewer"), settings->micro_batch);
  return NULL;
}

void
dimr_denoiser_free (DimrDenoiser *self)
{
  g_return_if_fail (self != NULL);
  for (guint f = 0; f < DIMR_N_EVALUATIONS; f++)
    {
      g_clear_object (&self->forms[f].program);
      g_clear_pointer (&self->forms[f].plan, dimr_plan_unref);
    }
  g_clear_object (&self->model);
  g_clear_object (&self->device);
  g_free (self->series);
  g_free (self->evaluations);
  g_free (self->x);
  g_free (self->out);
  g_free (self->y);
  g_free (self);
}

const DimrDenoiserSettings *
dimr_denoiser_peek_settings (DimrDenoiser *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return &self->settings;
}

DimrModel *
dimr_denoiser_get_model (DimrDenoiser *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->model;
}

DimrDevice *
dimr_denoiser_get_device (DimrDenoiser *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->device;
}

gboolean
dimr_denoiser_suits_device_walk (DimrDenoiser *self)
{
  const DimrConfig *config;

  g_return_val_if_fail (self != NULL, FALSE);
  config = dimr_model_peek_config (self->model);
  return !config->normalize_input && !self->settings.variance &&
         (!self->settings.guided || self->settings.guided_channels == 0 || self->settings.guided_channels >= config->channels);
}

gsize
dimr_denoiser_get_image_len (DimrDenoiser *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->image_len;
}

/* A walk with the times of the one before it, as the next batch of a job is, changes nothing. */
static gboolean
keep_series (DimrDenoiser  *self,
             const double  *times,
             guint          n,
             GError       **error)
{
  const DimrSchedule *schedule = dimr_model_peek_schedule (self->model);
  const DimrTimeCondition condition = dimr_model_peek_config (self->model)->time_condition;
  g_autofree float *series = g_new (float, n);

  for (guint i = 0; i < n; i++)
    series[i] = (float) dimr_schedule_condition (schedule, condition, times[i]);
  if (self->n_series == n && memcmp (self->series, series, n * sizeof *series) == 0)
    return TRUE;
  g_free (self->series);
  self->series = g_steal_pointer (&series);
  self->n_series = n;
  for (guint f = 0; f < DIMR_N_EVALUATIONS; f++)
    if (self->forms[f].program != NULL && !announce_series (self, &self->forms[f], error))
      {
        self->n_series = 0;
        return FALSE;
      }
  return TRUE;
}

gboolean
dimr_denoiser_announce (DimrDenoiser          *self,
                        const double          *times,
                        const DimrEvaluation  *evaluations,
                        guint                  n,
                        GCancellable          *cancellable,
                        GError               **error)
{
  g_return_val_if_fail (self != NULL && times != NULL && evaluations != NULL && n > 0, FALSE);

  if (!keep_series (self, times, n, error))
    {
      advise (self, error);
      return FALSE;
    }
  g_free (self->evaluations);
  self->evaluations = g_memdup2 (evaluations, n * sizeof *evaluations);
  self->low_of = -1;
  for (guint i = 0; i < n; i++)
    {
      g_return_val_if_fail (evaluations[i] < DIMR_N_EVALUATIONS, FALSE);
      g_return_val_if_fail (self->settings.guided || evaluations[i] & DIMR_EVALUATION_UNGUIDED, FALSE);
      g_return_val_if_fail (self->settings.keep_low || !(evaluations[i] & DIMR_EVALUATION_LAST_BRANCH), FALSE);
      if (!compile_form (self, evaluations[i], cancellable, error))
        {
          advise (self, error);
          return FALSE;
        }
    }
  return TRUE;
}

/* Makes @evaluation's program ready for value @index of the series. */
static Form *
select_form (DimrDenoiser    *self,
             DimrEvaluation   evaluation,
             guint            index,
             GError         **error)
{
  Form *form = &self->forms[evaluation];

  if (evaluation & DIMR_EVALUATION_LAST_BRANCH)
    {
      Form *from = &self->forms[evaluation & ~DIMR_EVALUATION_LAST_BRANCH];

      g_return_val_if_fail (self->low_of == (int) (from - self->forms), NULL);
      if (!self->low_handed_on &&
          !dimr_program_copy (form->program, form->low, from->program, from->low, form->low_len, error))
        return NULL;
      self->low_handed_on = TRUE;
    }
  else
    {
      self->low_of = (int) evaluation;
      self->low_handed_on = FALSE;
    }
  if (form->time != DIMR_NODE_NONE)
    dimr_program_select (form->program, index);
  return form;
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

/* Fills x and y of the program: @n images, the last one repeated up to M, and the same again for the null class. */
static void
fill_inputs (DimrDenoiser *self,
             const float  *x,
             const int    *y,
             guint         n)
{
  const DimrConfig *config = dimr_model_peek_config (self->model);
  const gint32 null_class = (gint32) config->num_classes - 1;
  const gsize len = self->image_len;
  const guint m = self->settings.micro_batch;

  for (guint i = 0; i < m; i++)
    {
      const guint from = MIN (i, n - 1);

      if (i >= n)
        memcpy (self->x + i * len, self->x + from * len, len * sizeof (float));
      else if (config->normalize_input)
        normalize (self->x + i * len, x + i * len, len);
      else
        memcpy (self->x + i * len, x + i * len, len * sizeof (float));
      self->y[i] = y[from] == DIMR_CLASS_NONE ? null_class : y[from];
      self->y[m + i] = null_class;
    }
  memcpy (self->x + m * len, self->x, m * len * sizeof (float));
}

/* The noise of one image, guided in the channels that are to be, from what the network said with its
 * class and without it. */
static void
guide (DimrDenoiser *self,
       const float  *cond,
       const float  *uncond,
       double        scale,
       float        *eps)
{
  const DimrConfig *config = dimr_model_peek_config (self->model);
  const guint channels = self->settings.guided_channels;
  gsize n = self->image_len;

  if (channels > 0 && channels < config->channels)
    n = n / config->channels * channels;
  for (gsize i = 0; i < n; i++)
    eps[i] = (float) (uncond[i] + scale * (cond[i] - (double) uncond[i]));
  memcpy (eps + n, cond + n, (self->image_len - n) * sizeof (float));
}

static gboolean
evaluate_group (DimrDenoiser  *self,
                Form          *form,
                const float   *x,
                const int     *y,
                guint          n,
                double         scale,
                float         *eps,
                float         *variance,
                GCancellable  *cancellable,
                GError       **error)
{
  const guint m = self->settings.micro_batch;
  const gsize batch = form->ports.guided ? 2 * m : m, len = self->image_len;

  fill_inputs (self, x, y, n);
  dimr_program_write (form->program, form->ports.x, self->x, batch * len * sizeof (float));
  if (form->ports.y != DIMR_NODE_NONE)
    dimr_program_write (form->program, form->ports.y, self->y, batch * sizeof self->y[0]);
  if (!dimr_program_run (form->program, cancellable, error))
    return FALSE;
  dimr_program_read (form->program, form->ports.eps, self->out, batch * self->output_len);

  for (guint i = 0; i < n; i++)
    {
      const float *cond = self->out + i * self->output_len, *uncond = cond + m * self->output_len;

      if (form->ports.guided)
        guide (self, cond, uncond, scale, eps + i * len);
      else
        memcpy (eps + i * len, cond, len * sizeof (float));
      if (variance != NULL)
        memcpy (variance + i * len, cond + len, len * sizeof (float));
    }
  return TRUE;
}

gboolean
dimr_denoiser_evaluate (DimrDenoiser  *self,
                        guint          index,
                        const float   *x,
                        const int     *y,
                        guint          n,
                        double         scale,
                        float         *eps,
                        float         *variance,
                        GCancellable  *cancellable,
                        GError       **error)
{
  const guint m = self->settings.micro_batch;
  Form *form;

  g_return_val_if_fail (self != NULL && x != NULL && y != NULL && eps != NULL, FALSE);
  g_return_val_if_fail (index < self->n_series, FALSE);
  g_return_val_if_fail (n <= m || !self->settings.keep_low, FALSE);
  g_return_val_if_fail (variance == NULL || self->settings.variance, FALSE);

  form = select_form (self, self->evaluations[index], index, error);
  if (form == NULL)
    return FALSE;
  for (guint first = 0; first < n; first += m)
    if (!evaluate_group (self, form, x + first * self->image_len, y + first, MIN (m, n - first), scale,
                         eps + first * self->image_len, variance != NULL ? variance + first * self->image_len : NULL,
                         cancellable, error))
      return FALSE;
  return TRUE;
}

gboolean
dimr_denoiser_step (DimrDenoiser    *self,
                    guint            index,
                    DimrDeviceWalk  *walk,
                    GCancellable    *cancellable,
                    GError         **error)
{
  Form *form;

  g_return_val_if_fail (self != NULL && DIMR_IS_DEVICE_WALK (walk), FALSE);
  g_return_val_if_fail (index < self->n_series, FALSE);

  form = select_form (self, self->evaluations[index], index, error);
  return form != NULL && dimr_device_walk_step (walk, form->program, &form->ports, index, cancellable, error);
}
