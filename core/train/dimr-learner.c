/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-learner.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/graph/dimr-device-training.h"

/* Where the device can keep all that a step changes, it does, and what the host has is old until dimr_learner_fetch(). */
struct _DimrLearner
{
  DimrParameters *parameters;
  DimrParameters *average;
  DimrOptimizer *optimizer;
  DimrTrainer *trainer;
  DimrCollective *group;      /* NULL: none */
  DimrDeviceTraining *device; /* NULL: the host's memory */
  gboolean joined;            /* the device sums with the group's by itself */
  gboolean old;               /* the host's copies are */
  char *remark;
  gsize length;
  guint64 n_leaves;           /* of the step */
  guint64 next;               /* leaf */
  DimrTreeStack stack;
  guint n_sums;
  GPtrArray *sums;            /* [length] floats for each node of the stack, at most n_sums; with a device, those on their way */
  float *buffer;              /* of the largest gradient; NULL with a device */
};

/* ---- making ---- */

static DimrDeviceTraining *
open_device (DimrLearner  *self,
             DimrDevice   *device,
             GError      **error)
{
  const guint n = dimr_parameters_get_n (self->parameters);
  const gboolean *learns = dimr_trainer_peek_has_gradient (self->trainer);
  g_autofree DimrTrainingParameter *parameters = g_new (DimrTrainingParameter, MAX (n, 1));
  const DimrTrainingSpec spec = {
    .weights = dimr_parameters_peek_weights (self->parameters),
    .parameters = parameters,
    .n_parameters = n,
    .n_sums = self->n_sums,
    .average = self->average != NULL,
  };

  for (guint i = 0; i < n; i++)
    {
      const DimrParameter *parameter = dimr_parameters_peek (self->parameters, i);

      parameters[i] = (DimrTrainingParameter){ parameter->name, parameter->first, parameter->n, learns[i], parameter->decays };
    }
  return dimr_device_new_training (device, &spec, error);
}

static float *
get_host (DimrLearner       *self,
          DimrTrainingArray  array)
{
  switch (array)
    {
    case DIMR_TRAINING_VALUES: return dimr_parameters_get_values (self->parameters);
    case DIMR_TRAINING_M: return dimr_optimizer_get_m (self->optimizer);
    case DIMR_TRAINING_V: return dimr_optimizer_get_v (self->optimizer);
    case DIMR_TRAINING_AVERAGE: return self->average != NULL ? dimr_parameters_get_values (self->average) : NULL;
    default: g_assert_not_reached ();
    }
}

/* What the host has, to the device. */
static gboolean
send (DimrLearner  *self,
      GError      **error)
{
  for (guint array = DIMR_TRAINING_VALUES; array <= DIMR_TRAINING_AVERAGE; array++)
    if (get_host (self, array) != NULL && !dimr_device_training_write (self->device, array, get_host (self, array), error))
      return FALSE;
  return TRUE;
}

/* The device and the group's others, without the host. All processes do the same: one that cannot keeps all from it. */
static gboolean
join (DimrLearner   *self,
      GCancellable  *cancellable,
      GError       **error)
{
  const guint n_ranks = dimr_collective_get_size (self->group);
  g_autoptr (GError) problem = NULL;
  g_autofree guint8 *all = g_malloc (n_ranks);
  guint8 can = self->device != NULL;

  if (!dimr_collective_gather (self->group, &can, 1, all, cancellable, error))
    return FALSE;
  for (guint r = 0; r < n_ranks; r++)
    can &= all[r];
  if (!can)
    return TRUE;
  can = dimr_device_training_join (self->device, self->group, cancellable, &problem);
  if (!can && !g_error_matches (problem, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED))
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (!dimr_collective_gather (self->group, &can, 1, all, cancellable, error))
    return FALSE;
  self->joined = TRUE;
  for (guint r = 0; r < n_ranks; r++)
    self->joined &= all[r];
  g_clear_pointer (&self->remark, g_free);
  if (!self->joined)
    self->remark = g_strdup_printf (_("Gradients go from process to process over the hosts' memory, which is slower: %s"),
                                    problem != NULL ? problem->message : _("another process has to"));
  return TRUE;
}

DimrLearner *
dimr_learner_new (DimrParameters  *parameters,
                  DimrParameters  *average,
                  DimrOptimizer   *optimizer,
                  DimrTrainer     *trainer,
                  DimrDevice      *device,
                  guint            n_sums,
                  GError         **error)
{
  g_autoptr (DimrLearner) self = g_new0 (DimrLearner, 1);
  g_autoptr (GError) problem = NULL;
  gsize largest = 1;

  self->parameters = parameters;
  self->average = average;
  self->optimizer = optimizer;
  self->trainer = trainer;
  self->n_sums = MAX (n_sums, 1);
  self->length = dimr_parameters_get_length (parameters);
  self->sums = g_ptr_array_new_with_free_func (g_free);
  self->device = open_device (self, device, &problem);
  if (self->device != NULL)
    return send (self, error) ? g_steal_pointer (&self) : NULL;
  if (!g_error_matches (problem, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED))
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return NULL;
    }
  if (DIMR_DEVICE_GET_CLASS (device)->new_training != NULL)
    self->remark = g_strdup_printf (_("The host learns instead of the device, which is slower: %s"), problem->message);
  for (guint i = 0; i < dimr_parameters_get_n (parameters); i++)
    largest = MAX (largest, dimr_parameters_peek (parameters, i)->n);
  self->buffer = g_new (float, largest);
  return g_steal_pointer (&self);
}

void
dimr_learner_free (DimrLearner *self)
{
  g_return_if_fail (self != NULL);
  g_clear_object (&self->device);
  g_clear_object (&self->group);
  g_ptr_array_unref (self->sums);
  g_free (self->buffer);
  g_free (self->remark);
  g_free (self);
}

gboolean
dimr_learner_set_group (DimrLearner     *self,
                        DimrCollective  *group,
                        GCancellable    *cancellable,
                        GError         **error)
{
  g_set_object (&self->group, group);
  return group == NULL || join (self, cancellable, error);
}

gboolean
dimr_learner_is_resident (DimrLearner *self)
{
  return self->device != NULL;
}

const char *
dimr_learner_get_remark (DimrLearner *self)
{
  return self->remark;
}

/* ---- summing ---- */

void
dimr_learner_begin (DimrLearner *self,
                    guint64      n_leaves,
                    guint64      first)
{
  self->n_leaves = n_leaves;
  self->next = first;
  self->stack.n = 0;
}

/* The sum at @depth of the stack. Parameters without gradients stay the zeros that they begin as. */
static float *
get_sum (DimrLearner  *self,
         guint         depth,
         GError      **error)
{
  while (depth >= self->sums->len)
    {
      float *sum = g_try_new0 (float, MAX (self->length, 1));

      if (sum == NULL)
        {
          dimr_error_set (error, DIMR_ERROR_MEMORY,
                          _("There is no memory for the gradients, %zu MiB: use a larger --micro-batch, whose sums are fewer"),
                          (self->length * sizeof (float)) >> 20);
          return NULL;
        }
      g_ptr_array_add (self->sums, sum);
    }
  return g_ptr_array_index (self->sums, depth);
}

static void
add (float       * restrict sum,
     const float * restrict x,
     gsize                  n)
{
  for (gsize i = 0; i < n; i++)
    sum[i] += x[i];
}

/* The last two sums become one. */
static gboolean
merge (DimrLearner  *self,
       GError      **error)
{
  const guint left = self->stack.n - 2;

  dimr_tree_merge (&self->stack);
  if (self->device != NULL)
    return dimr_device_training_merge (self->device, left, error);
  add (g_ptr_array_index (self->sums, left), g_ptr_array_index (self->sums, left + 1), self->length);
  return TRUE;
}

static gboolean
add_outputs (DimrLearner       *self,
             DimrProgram       *program,
             const DimrNodeId  *gradients,
             guint              depth,
             gboolean           first,
             GError           **error)
{
  float *sum;

  if (self->device != NULL)
    return dimr_device_training_add (self->device, program, gradients, depth, first, error);
  sum = get_sum (self, depth, error);
  for (guint i = 0; sum != NULL && i < dimr_parameters_get_n (self->parameters); i++)
    {
      const DimrParameter *parameter = dimr_parameters_peek (self->parameters, i);

      if (gradients[i] == DIMR_NODE_NONE)
        continue;
      dimr_program_read (program, gradients[i], first ? sum + parameter->first : self->buffer, parameter->n);
      if (!first)
        add (sum + parameter->first, self->buffer, parameter->n);
    }
  return sum != NULL;
}

gboolean
dimr_learner_add (DimrLearner       *self,
                  DimrProgram       *program,
                  const DimrNodeId  *gradients,
                  GError           **error)
{
  /* The second half of a pair is added to the first where it comes from, and has no sum of its own. */
  const gboolean second = dimr_tree_push (&self->stack, (DimrTreeNode){ 0, self->next++ });

  if (!add_outputs (self, program, gradients, self->stack.n - (second ? 2 : 1), !second, error))
    return FALSE;
  if (second)
    dimr_tree_merge (&self->stack);
  while (dimr_tree_is_pair (&self->stack))
    if (!merge (self, error))
      return FALSE;
  return TRUE;
}

/* Over the host: what a device has comes here and goes back. */
static gboolean
sum_group (DimrLearner   *self,
           GCancellable  *cancellable,
           GError       **error)
{
  for (guint i = 0; self->device != NULL && i < self->stack.n; i++)
    {
      float *sum = get_sum (self, i, error);

      if (sum == NULL || !dimr_device_training_read (self->device, DIMR_TRAINING_SUM + i, sum, error))
        return FALSE;
    }
  return dimr_collective_sum (self->group, self->n_leaves, (float * const *) self->sums->pdata, g_ptr_array_index (self->sums, 0),
                              self->length, cancellable, error) &&
         (self->device == NULL || dimr_device_training_write (self->device, DIMR_TRAINING_SUM, g_ptr_array_index (self->sums, 0), error));
}

gboolean
dimr_learner_sum (DimrLearner   *self,
                  double        *norm,
                  GCancellable  *cancellable,
                  GError       **error)
{
  g_return_val_if_fail (self->stack.n > 0, FALSE);

  if (self->group != NULL)
    {
      if (self->joined ? !dimr_device_training_sum (self->device, self->n_leaves, cancellable, error) : !sum_group (self, cancellable, error))
        return FALSE;
    }
  else
    while (self->stack.n > 1)
      if (!merge (self, error))
        return FALSE;
  if (self->device != NULL)
    return dimr_device_training_norm (self->device, norm, error);
  *norm = dimr_norm (g_ptr_array_index (self->sums, 0), self->length);
  return TRUE;
}

/* ---- learning ---- */

gboolean
dimr_learner_update (DimrLearner      *self,
                     const DimrAdamW  *adam,
                     double            scale,
                     double            average_rate,
                     GError          **error)
{
  DimrTrainingUpdate update;

  if (self->device != NULL)
    {
      dimr_optimizer_plan (self->optimizer, adam, scale, &update);
      update.average_keep = (float) average_rate;
      update.average_take = (float) (1 - average_rate);
      self->old = TRUE;
      return dimr_device_training_update (self->device, &update, error);
    }
  dimr_optimizer_update (self->optimizer, adam, g_ptr_array_index (self->sums, 0), scale, dimr_trainer_peek_has_gradient (self->trainer));
  if (self->average != NULL)
    dimr_average_update (dimr_parameters_get_values (self->average), dimr_parameters_get_values (self->parameters), self->length,
                         average_rate);
  return dimr_trainer_reload (self->trainer, error);
}

gboolean
dimr_learner_fetch (DimrLearner  *self,
                    GError      **error)
{
  if (!self->old)
    return TRUE;
  for (guint array = DIMR_TRAINING_VALUES; array <= DIMR_TRAINING_AVERAGE; array++)
    if (get_host (self, array) != NULL && !dimr_device_training_read (self->device, array, get_host (self, array), error))
      return FALSE;
  self->old = FALSE;
  return TRUE;
}

const float *
dimr_learner_fetch_gradients (DimrLearner  *self,
                              GError      **error)
{
  float *sum = get_sum (self, 0, error);

  if (sum != NULL && self->device != NULL && !dimr_device_training_read (self->device, DIMR_TRAINING_SUM, sum, error))
    return NULL;
  return sum;
}
