/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-learner.h"

#include "core/base/dimr-error.h"

struct _DimrLearner
{
  DimrParameters *parameters;
  DimrParameters *average;
  DimrOptimizer *optimizer;
  DimrTrainer *trainer;
  gsize length;
  guint64 n_leaves;     /* of the step */
  guint64 next;         /* leaf */
  DimrTreeStack stack;
  GPtrArray *sums;      /* [length] floats for each node of the stack, and more from deeper ones */
  float *buffer;        /* of the largest gradient */
};

DimrLearner *
dimr_learner_new (DimrParameters *parameters,
                  DimrParameters *average,
                  DimrOptimizer  *optimizer,
                  DimrTrainer    *trainer)
{
  DimrLearner *self = g_new0 (DimrLearner, 1);
  gsize largest = 1;

  self->parameters = parameters;
  self->average = average;
  self->optimizer = optimizer;
  self->trainer = trainer;
  self->length = dimr_parameters_get_length (parameters);
  self->sums = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < dimr_parameters_get_n (parameters); i++)
    largest = MAX (largest, dimr_parameters_peek (parameters, i)->n);
  self->buffer = g_new (float, largest);
  return self;
}

void
dimr_learner_free (DimrLearner *self)
{
  g_return_if_fail (self != NULL);
  g_ptr_array_unref (self->sums);
  g_free (self->buffer);
  g_free (self);
}

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
  if (depth == self->sums->len)
    {
      float *sum = g_try_new0 (float, MAX (self->length, 1));

      if (sum == NULL)
        {
          g_set_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY,
                       "There is no memory for the gradients, %" G_GSIZE_FORMAT " MiB: use a larger --micro-batch, whose sums are fewer",
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
static void
merge (DimrLearner *self)
{
  add (g_ptr_array_index (self->sums, self->stack.n - 2), g_ptr_array_index (self->sums, self->stack.n - 1), self->length);
  dimr_tree_merge (&self->stack);
}

gboolean
dimr_learner_add (DimrLearner       *self,
                  DimrProgram       *program,
                  const DimrNodeId  *gradients,
                  GError           **error)
{
  /* The second half of a pair is added to the first where it comes from, and has no sum of its own. */
  const gboolean pair = dimr_tree_push (&self->stack, (DimrTreeNode){ 0, self->next++ });
  float *sum = get_sum (self, self->stack.n - (pair ? 2 : 1), error);

  if (sum == NULL)
    return FALSE;
  for (guint i = 0; i < dimr_parameters_get_n (self->parameters); i++)
    {
      const DimrParameter *parameter = dimr_parameters_peek (self->parameters, i);

      if (gradients[i] == DIMR_NODE_NONE)
        continue;
      dimr_program_read (program, gradients[i], pair ? self->buffer : sum + parameter->first, parameter->n);
      if (pair)
        add (sum + parameter->first, self->buffer, parameter->n);
    }
  if (pair)
    dimr_tree_merge (&self->stack);
  while (dimr_tree_is_pair (&self->stack))
    merge (self);
  return TRUE;
}

gboolean
dimr_learner_sum (DimrLearner     *self,
                  DimrCollective  *group,
                  double          *norm,
                  GCancellable    *cancellable,
                  GError         **error)
{
  float *sum = g_ptr_array_index (self->sums, 0);

  g_return_val_if_fail (self->stack.n > 0, FALSE);
  if (group != NULL && !dimr_collective_sum (group, self->n_leaves, (float * const *) self->sums->pdata, sum, self->length, cancellable, error))
    return FALSE;
  while (group == NULL && self->stack.n > 1)
    merge (self);
  *norm = dimr_norm (sum, self->length);
  return TRUE;
}

gboolean
dimr_learner_update (DimrLearner      *self,
                     const DimrAdamW  *adam,
                     double            scale,
                     double            average_rate,
                     GError          **error)
{
  dimr_optimizer_update (self->optimizer, adam, g_ptr_array_index (self->sums, 0), scale, dimr_trainer_peek_has_gradient (self->trainer));
  if (self->average != NULL)
    dimr_average_update (dimr_parameters_get_values (self->average), dimr_parameters_get_values (self->parameters), self->length,
                         average_rate);
  return dimr_trainer_reload (self->trainer, error);
}

const float *
dimr_learner_peek_gradients (DimrLearner *self)
{
  return g_ptr_array_index (self->sums, 0);
}
