/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-gradients.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/graph/dimr-device.h"
#include "core/train/dimr-learner.h"
#include "core/weights/dimr-safetensors-writer.h"

/* The samples of one step, and what belongs to them. */
typedef struct
{
  guint n;
  guint height;
  guint width;
  float *x0;
  float *noise;
  double *t;
  gint32 *y;
} Samples;

static void
samples_clear (Samples *self)
{
  g_free (self->x0);
  g_free (self->noise);
  g_free (self->t);
  g_free (self->y);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Samples, samples_clear)

/* The tensor "s@step.@name"; NULL with an error, or without one where it is not @required. */
static DimrTensor *
find (DimrWeights  *file,
      guint         step,
      const char   *name,
      gboolean      required,
      GError      **error)
{
  g_autofree char *full = g_strdup_printf ("s%u.%s", step, name);
  DimrTensor *tensor = dimr_weights_peek (file, full);

  if (tensor == NULL && required)
    dimr_error_set (error, DIMR_ERROR_REQUEST, _("%s: there is no tensor '%s' in it"), dimr_weights_get_path (file), full);
  return tensor;
}

static gboolean
read_times (Samples      *self,
            DimrWeights  *file,
            guint         step,
            GError      **error)
{
  DimrTensor *t = find (file, step, "t", FALSE, NULL), *n = t == NULL ? find (file, step, "n", TRUE, error) : NULL;
  g_autofree float *values = NULL;

  if (t == NULL && n == NULL)
    return FALSE;
  if (dimr_tensor_get_n_elements (t != NULL ? t : n) != self->n)
    {
      dimr_error_set (error, DIMR_ERROR_SHAPE, _("%s: the times of step %u are not one for each sample"),
                      dimr_weights_get_path (file), step);
      return FALSE;
    }
  values = dimr_tensor_dup_f32 (t != NULL ? t : n);
  self->t = g_new (double, self->n);
  for (guint i = 0; i < self->n; i++)
    {
      self->t[i] = t != NULL ? (double) values[i] : (double) values[i] / 1000;
      if (!(self->t[i] > 0 && self->t[i] <= 1))
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST, _("%s: time %u of step %u is outside of %s"),
                          dimr_weights_get_path (file), i, step, t != NULL ? "(0, 1]" : "1 … 1000");
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
read_classes (Samples           *self,
              DimrWeights       *file,
              guint              step,
              const DimrConfig  *config,
              GError           **error)
{
  DimrTensor *y = find (file, step, "y", TRUE, error);
  g_autofree gint64 *values = NULL;

  if (y == NULL)
    return FALSE;
  if (dimr_tensor_get_n_elements (y) != self->n)
    {
      dimr_error_set (error, DIMR_ERROR_SHAPE, _("%s: 's%u.y' is not one class for each sample"),
                      dimr_weights_get_path (file), step);
      return FALSE;
    }
  values = dimr_tensor_dup_i64 (y);
  self->y = g_new (gint32, self->n);
  for (guint i = 0; i < self->n; i++)
    {
      if (values[i] < 0 || values[i] >= (gint64) config->num_classes)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST,
                          _("Entry %u of 's%u.y' is %" PRId64
                            ", but the classes of this model are 0 to %u"), i, step, values[i], config->num_classes - 1);
          return FALSE;
        }
      self->y[i] = (gint32) values[i];
    }
  return TRUE;
}

static gboolean
read_samples (Samples           *self,
              DimrWeights       *file,
              guint              step,
              const DimrConfig  *config,
              GError           **error)
{
  const gboolean classifies = dimr_config_is_classifier (config);
  DimrTensor *x0 = find (file, step, "x0", TRUE, error), *noise = x0 != NULL && !classifies ? find (file, step, "eps", TRUE, error) : x0;
  const DimrShape *shape;

  if (noise == NULL)
    return FALSE;
  shape = dimr_tensor_peek_shape (x0);
  if (shape->n_dims != 4 || shape->dims[0] < 1 || shape->dims[0] > 65536 || shape->dims[1] != (gint64) config->channels ||
      shape->dims[2] < 1 || shape->dims[2] > 65536 || shape->dims[3] < 1 || shape->dims[3] > 65536 ||
      !dimr_shape_equal (shape, dimr_tensor_peek_shape (noise)))
    {
      g_autofree char *text = dimr_shape_to_string (shape);

      dimr_error_set (error, DIMR_ERROR_SHAPE, _("%s: 's%u.x0' is %s, and it and 's%u.eps' should be [B, %u, H, W]"),
                      dimr_weights_get_path (file), step, text, step, config->channels);
      return FALSE;
    }
  self->n = (guint) shape->dims[0];
  self->height = (guint) shape->dims[2];
  self->width = (guint) shape->dims[3];
  self->x0 = dimr_tensor_dup_f32 (x0);
  self->noise = classifies ? NULL : dimr_tensor_dup_f32 (noise);
  if (self->x0 == NULL || (self->noise == NULL && !classifies))
    {
      dimr_error_set (error, DIMR_ERROR_MEMORY, _("There is not enough memory for the input"));
      return FALSE;
    }
  return (classifies || read_times (self, file, step, error)) && (config->num_classes == 0 || read_classes (self, file, step, config, error));
}

/* What is computed, and what will be written of it. */
typedef struct
{
  const DimrConfig *config;
  DimrSchedule *schedule;
  DimrDevice *device;
  const DimrGradientsOptions *options;
  DimrParameters *parameters;
  DimrOptimizer *optimizer;
  DimrTrainer *trainer;
  DimrLearner *learner;
  float *ema;
  GPtrArray *names;
  GPtrArray *tensors;
} Gradients;

static void
gradients_clear (Gradients *self)
{
  g_clear_pointer (&self->learner, dimr_learner_free);
  g_clear_pointer (&self->trainer, dimr_trainer_free);
  g_clear_pointer (&self->optimizer, dimr_optimizer_free);
  g_clear_pointer (&self->parameters, dimr_parameters_free);
  g_clear_object (&self->device);
  g_free (self->ema);
  g_ptr_array_unref (self->names);
  g_ptr_array_unref (self->tensors);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Gradients, gradients_clear)

static void
add_loss (Gradients   *self,
          const float *terms,
          guint        n,
          guint        step)
{
  float *loss = g_new (float, n), mean;
  double sum = 0;

  for (guint i = 0; i < n; i++)
    {
      const double value = dimr_trainer_get_loss (self->trainer, terms, n, i);

      loss[i] = (float) value;
      sum += value;
    }
  mean = (float) (sum / n);
  g_ptr_array_add (self->names, g_strdup_printf ("s%u.loss", step));
  g_ptr_array_add (self->tensors, dimr_tensor_new_take (DIMR_DTYPE_F32, &DIMR_SHAPE (n), loss));
  g_ptr_array_add (self->names, g_strdup_printf ("s%u.loss_mean", step));
  g_ptr_array_add (self->tensors, dimr_tensor_new_copy (DIMR_DTYPE_F32, &DIMR_SHAPE (1), &mean));
}

static gboolean
make_step (Gradients      *self,
           const Samples  *samples,
           guint           step,
           GCancellable   *cancellable,
           GError        **error)
{
  const gsize length = dimr_parameters_get_length (self->parameters);
  const DimrTrainingBatch batch = { samples->n, samples->x0, samples->noise, samples->t, samples->y, NULL, 0 };
  g_autofree float *terms = g_new (float, (gsize) DIMR_LOSS_MAX_TERMS * samples->n);
  const DimrAdamW adam = DIMR_ADAMW_PAPER (self->options->lr);
  const float *gradients;
  double norm;
  guint micro, n_leaves;

  if (self->trainer == NULL)
    {
      const DimrTrainerOptions options = {
        .micro_batch = self->options->micro_batch > 0 ? self->options->micro_batch : samples->n,
        .height = samples->height,
        .width = samples->width,
        .precision = self->options->precision,
        .recompute = self->options->recompute ? DIMR_RECOMPUTE_BLOCKS : DIMR_RECOMPUTE_NONE,
        .label_smoothing = self->options->label_smoothing,
      };

      self->trainer = dimr_trainer_new (self->config, self->schedule, self->parameters, self->device, &options, cancellable, error);
      if (self->trainer == NULL)
        return FALSE;
    }
  micro = dimr_trainer_get_micro_batch (self->trainer);
  n_leaves = (samples->n + micro - 1) / micro;
  if (self->learner == NULL)
    self->learner = dimr_learner_new (self->parameters, NULL, self->optimizer, self->trainer, self->device,
                                      dimr_tree_get_depth (0, n_leaves), error);
  if (self->learner == NULL)
    return FALSE;
  dimr_learner_begin (self->learner, n_leaves, 0);
  if (!dimr_trainer_evaluate (self->trainer, &batch, self->learner, terms, cancellable, error) ||
      !dimr_learner_sum (self->learner, &norm, cancellable, error))
    return FALSE;
  add_loss (self, terms, samples->n, step);
  if (step == 0)
    {
      gradients = dimr_learner_fetch_gradients (self->learner, error);
      if (gradients == NULL)
        return FALSE;
      dimr_parameters_list (self->parameters, gradients, "grad.", self->names, self->tensors);
    }
  if (self->options->n_steps == 0)
    return TRUE;
  if (!dimr_learner_update (self->learner, &adam, 1, 1, error) || !dimr_learner_fetch (self->learner, error))
    return FALSE;
  dimr_average_update (self->ema, dimr_parameters_get_values (self->parameters), length, self->options->ema);
  return TRUE;
}

gboolean
dimr_gradients_file (DimrModel                   *model,
                     const char                  *device,
                     guint                        n_threads,
                     const DimrGradientsOptions  *options,
                     const char                  *input_path,
                     const char                  *output_path,
                     GCancellable                *cancellable,
                     GError                     **error)
{
  g_autoptr (DimrWeights) file = NULL;
  g_auto (Gradients) self = {
    .options = options,
    .names = g_ptr_array_new_with_free_func (g_free),
    .tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) dimr_tensor_unref),
  };
  guint height = 0, width = 0;
  gsize length;

  g_return_val_if_fail (DIMR_IS_MODEL (model) && input_path != NULL && output_path != NULL && options != NULL, FALSE);

  self.config = dimr_model_peek_config (model);
  self.schedule = dimr_model_peek_schedule (model);
  file = dimr_weights_open (input_path, cancellable, error);
  self.device = file != NULL ? dimr_device_open (device, n_threads, error) : NULL;
  self.parameters = self.device != NULL ? dimr_parameters_new (self.config, dimr_model_peek_weights (model), 0, error) : NULL;
  if (self.parameters == NULL)
    return FALSE;
  length = dimr_parameters_get_length (self.parameters);
  self.optimizer = dimr_optimizer_new (self.parameters);
  self.ema = g_memdup2 (dimr_parameters_get_values (self.parameters), length * sizeof (float));

  for (guint step = 0; step < MAX (options->n_steps, 1); step++)
    {
      g_auto (Samples) samples = { 0 };

      if (!read_samples (&samples, file, step, self.config, error))
        return FALSE;
      if (step > 0 && (samples.height != height || samples.width != width))
        {
          dimr_error_set (error, DIMR_ERROR_SHAPE, _("%s: the samples of step %u have another size than those before"),
                          input_path, step);
          return FALSE;
        }
      height = samples.height;
      width = samples.width;
      if (!make_step (&self, &samples, step, cancellable, error))
        return FALSE;
    }
  if (options->n_steps > 0)
    {
      dimr_parameters_list (self.parameters, dimr_parameters_get_values (self.parameters), "param.", self.names, self.tensors);
      dimr_parameters_list (self.parameters, self.ema, "ema.", self.names, self.tensors);
    }
  g_ptr_array_add (self.names, NULL);
  return dimr_safetensors_write (output_path, (const char * const *) self.names->pdata,
                                 (DimrTensor * const *) self.tensors->pdata, NULL, cancellable, NULL, NULL, error);
}
