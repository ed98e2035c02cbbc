/* SPDX-License-Identifier: Apache-2.0 */
#include "op-case.h"

#include "core/graph/dimr-gradient.h"
#include "op-device.h"
#include "op-reference.h"

#include <math.h>
#include <string.h>

struct _OpCase
{
  DimrGraph *graph;
  GRand *rand;
  GHashTable *values;  /* leaf id → double* */
  guint depth;
};

OpCase *
op_case_new (void)
{
  OpCase *self = g_new0 (OpCase, 1);

  self->graph = dimr_graph_new ();
  self->rand = g_rand_new_with_seed (1);
  self->depth = 1;
  self->values = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  return self;
}

void
op_case_free (OpCase *self)
{
  dimr_graph_unref (self->graph);
  g_rand_free (self->rand);
  g_hash_table_unref (self->values);
  g_free (self);
}

DimrGraph *
op_case_graph (OpCase *self)
{
  return self->graph;
}

static double
normal (GRand *rand)
{
  const double radius = sqrt (-2 * log (1 - g_rand_double (rand)));
  return radius * cos (2 * G_PI * g_rand_double (rand));
}

static void
fill (OpCase     *self,
      DimrNodeId  id,
      double      mean,
      double      scale)
{
  const gsize n = dimr_shape_n_elements (&dimr_graph_peek_node (self->graph, id)->shape);
  double *values = g_new (double, n);

  for (gsize i = 0; i < n; i++)
    values[i] = (double) (float) (mean + scale * normal (self->rand));
  g_hash_table_insert (self->values, GUINT_TO_POINTER (id), values);
}

DimrNodeId
op_case_input (OpCase    *self,
               DimrShape  shape,
               double     mean,
               double     scale)
{
  g_autofree char *name = g_strdup_printf ("input%u", dimr_graph_get_n_nodes (self->graph));
  DimrNodeId id = dimr_graph_add_input (self->graph, name, DIMR_DTYPE_F32, shape);

  fill (self, id, mean, scale);
  return id;
}

DimrNodeId
op_case_param (OpCase    *self,
               DimrShape  shape,
               double     mean,
               double     scale)
{
  g_autofree char *name = g_strdup_printf ("param%u", dimr_graph_get_n_nodes (self->graph));
  DimrNodeId id = dimr_graph_add_param (self->graph, name, shape);

  fill (self, id, mean, scale);
  return id;
}

DimrNodeId
op_case_indices (OpCase *self,
                 gint64  n,
                 guint   limit)
{
  DimrNodeId id = dimr_graph_add_input (self->graph, "indices", DIMR_DTYPE_I32, DIMR_SHAPE (n));
  double *values = g_new (double, n);

  for (gint64 i = 0; i < n; i++)
    values[i] = g_rand_int_range (self->rand, 0, (gint32) limit);
  values[0] = limit - 1;
  g_hash_table_insert (self->values, GUINT_TO_POINTER (id), values);
  return id;
}

/* Parameters at addresses that are no multiple of four, as files may have them. */
static DimrWeights *
make_weights (OpCase *self)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);

  for (guint id = 0; id < dimr_graph_get_n_nodes (self->graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (self->graph, id);
      const gsize n = dimr_shape_n_elements (&node->shape);
      const double *values = g_hash_table_lookup (self->values, GUINT_TO_POINTER (id));
      g_autoptr (GBytes) bytes = NULL;
      guint8 *data;

      if (node->op != DIMR_OP_PARAM)
        continue;
      data = g_malloc (n * 4 + 1);
      for (gsize i = 0; i < n; i++)
        {
          float f = (float) values[i];
          memcpy (data + 1 + 4 * i, &f, 4);
        }
      bytes = g_bytes_new_take (data, n * 4 + 1);
      g_hash_table_insert (tensors, g_strdup (node->name),
                           dimr_tensor_new_for_bytes (DIMR_DTYPE_F32, &node->shape, bytes, 1, NULL));
    }
  return dimr_weights_new_for_tensors (tensors);
}

static void
round_all (double *values,
           gsize   n)
{
  for (gsize i = 0; i < n; i++)
    values[i] = (double) dimr_bf16_to_f32 (dimr_f32_to_bf16 ((float) values[i]));
}

static gsize
n_elements (OpCase     *self,
            DimrNodeId  id)
{
  return dimr_shape_n_elements (&dimr_graph_peek_node (self->graph, id)->shape);
}

/* What input @slot of the node @id is computed with: the value @values itself, or that rounded and added to @rounded. */
static const double *
pick_input (OpCase        *self,
            DimrNodeId     id,
            guint          slot,
            DimrPrecision  precision,
            const double  *values,
            GPtrArray     *rounded)
{
  const DimrNodeId input = dimr_graph_peek_node (self->graph, id)->inputs[slot];
  const gsize n = n_elements (self, input);
  double *copy;

  if (op_device.is_rounded == NULL || !op_device.is_rounded (self->graph, id, slot, precision))
    return values;
  copy = g_memdup2 (values, n * sizeof (double));
  round_all (copy, n);
  g_ptr_array_add (rounded, copy);
  return copy;
}

/* Values of every node up to @output, by id, rounded where @device computes so; NULL: exact. */
static GPtrArray *
compute_reference (OpCase        *self,
                   DimrDevice    *device,
                   DimrNodeId     output,
                   DimrPrecision  precision)
{
  GPtrArray *all = g_ptr_array_new_with_free_func (g_free);

  for (guint id = 0; id <= output; id++)
    {
      const DimrNode *node = dimr_graph_peek_node (self->graph, id);
      const gsize n = n_elements (self, id);
      const double *leaf = g_hash_table_lookup (self->values, GUINT_TO_POINTER (id));
      g_autoptr (GPtrArray) rounded = g_ptr_array_new_with_free_func (g_free);
      g_autofree const double **inputs = g_new0 (const double *, MAX (node->n_inputs, 1));

      if (leaf != NULL || node->op == DIMR_OP_RESHAPE)
        {
          g_ptr_array_add (all, g_memdup2 (leaf != NULL ? leaf : g_ptr_array_index (all, node->inputs[0]), n * sizeof (double)));
          continue;
        }
      for (guint i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] != DIMR_NODE_NONE)
          inputs[i] = device == NULL ? g_ptr_array_index (all, node->inputs[i])
                                     : pick_input (self, id, i, precision, g_ptr_array_index (all, node->inputs[i]), rounded);
      g_ptr_array_add (all, op_reference (self->graph, node, inputs, precision));
      if (device != NULL && dimr_device_get_storage (device, self->graph, id, precision) == DIMR_DTYPE_BF16)
        round_all (g_ptr_array_index (all, id), n);
    }
  return all;
}

static void
write_inputs (OpCase      *self,
              DimrPlan    *plan,
              DimrProgram *program)
{
  for (guint id = 0; id < dimr_graph_get_n_nodes (self->graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (self->graph, id);
      const gsize n = dimr_shape_n_elements (&node->shape);
      const double *values = g_hash_table_lookup (self->values, GUINT_TO_POINTER (id));
      g_autofree gint32 *words = NULL;

      if (node->op != DIMR_OP_INPUT || dimr_plan_get_input (plan, node->name) == DIMR_NODE_NONE)
        continue;
      words = g_new (gint32, n);
      for (gsize i = 0; i < n; i++)
        if (node->dtype == DIMR_DTYPE_I32)
          words[i] = (gint32) values[i];
        else
          {
            float f = (float) values[i];
            memcpy (&words[i], &f, 4);
          }
      dimr_program_write (program, dimr_plan_get_input (plan, node->name), words, n * 4);
    }
}

static void
check_inputs (OpCase      *self,
              DimrPlan    *plan,
              DimrProgram *program)
{
  for (guint id = 0; id < dimr_graph_get_n_nodes (self->graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (self->graph, id);
      const gsize n = dimr_shape_n_elements (&node->shape);
      const double *values = g_hash_table_lookup (self->values, GUINT_TO_POINTER (id));
      g_autofree float *read = g_new (float, n);

      if (node->op != DIMR_OP_INPUT || dimr_plan_get_input (plan, node->name) == DIMR_NODE_NONE)
        continue;
      dimr_program_read (program, dimr_plan_get_input (plan, node->name), read, n);
      for (gsize i = 0; i < n; i++)
        g_assert_cmpfloat (read[i], ==, (float) values[i]);
    }
}

static gsize n_gaps_checked;

/* Bytes of the arena that belong to no node and to no workspace are as they were: all ones. */
static void
check_gaps (DimrPlan    *plan,
            DimrProgram *program)
{
  DimrGraph *graph = dimr_plan_peek_graph (plan);
  gsize size, workspace_size, workspace = dimr_plan_get_workspace (plan, &workspace_size), n_gaps = 0;
  g_autofree guint8 *arena = op_device.dup_arena (program, plan, &size);
  g_autofree guint8 *owned = g_malloc0 (size);

  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      const gsize offset = dimr_plan_get_offset (plan, id);

      if (offset != DIMR_OFFSET_NONE)
        memset (owned + offset, 1, dimr_shape_n_elements (&node->shape) * dimr_dtype_size (dimr_plan_get_storage (plan, id)));
    }
  for (gsize i = 0; i < size; i = i + 1 == workspace ? i + 1 + workspace_size : i + 1)
    if (!owned[i])
      {
        g_assert_cmphex (arena[i], ==, 0xff);
        n_gaps++;
      }
  /* Sizes of whole kilobytes leave none; the cases have others, too. */
  n_gaps_checked += n_gaps;
}

static void
check_values (const float  *y,
              const double *expected,
              gsize         n,
              double        bound)
{
  double error = 0, norm = 0;

  for (gsize i = 0; i < n; i++)
    {
      g_assert_true (isfinite (y[i]));
      error += ((double) y[i] - expected[i]) * ((double) y[i] - expected[i]);
      norm += expected[i] * expected[i];
    }
  g_assert_cmpfloat (norm, >, 0);
  g_assert_cmpfloat (error, <=, bound * norm);
}

static DimrDevice *
open_device (guint kind,
             guint variant)
{
  g_autoptr (GError) error = NULL;
  DimrDevice *device = op_device.open (kind, variant, &error);

  g_assert_no_error (error);
  return device;
}

/* One device, one precision (transfer full): the output's values. */
static float *
compute (OpCase        *self,
         DimrNodeId     output,
         DimrWeights   *weights,
         DimrDevice    *device,
         DimrPrecision  precision)
{
  const gsize n = n_elements (self, output);
  g_autoptr (DimrProgram) program = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree float *again = g_new (float, n);
  float *y = g_new (float, n);

  plan = dimr_plan_new (self->graph, &output, 1, device, precision, &error);
  g_assert_no_error (error);
  program = dimr_device_compile (device, plan, weights, NULL, &error);
  g_assert_no_error (error);
  write_inputs (self, plan, program);
  for (guint run = 0; run < 2; run++)
    {
      dimr_program_run (program, NULL, &error);
      g_assert_no_error (error);
      dimr_program_read (program, dimr_plan_get_output (plan, 0), run == 0 ? y : again, n);
    }
  g_assert_cmpmem (y, n * sizeof *y, again, n * sizeof *again);
  check_inputs (self, plan, program);
  check_gaps (plan, program);
  return y;
}

static void
check_kind (OpCase        *self,
            DimrNodeId     output,
            DimrWeights   *weights,
            guint          kind,
            DimrPrecision  precision,
            double         bound)
{
  const gsize n = n_elements (self, output);
  g_autoptr (DimrDevice) device = open_device (kind, 0);
  g_autoptr (GPtrArray) expected = compute_reference (self, device, output, precision);
  g_autofree float *first = compute (self, output, weights, device, precision);

  check_values (first, g_ptr_array_index (expected, output), n,
                precision == DIMR_PRECISION_BF16 && bound > OP_EXACT ? MAX (bound, self->depth * op_device.bf16_bound) : bound);
  for (guint variant = 1; variant < op_device.n_variants; variant++)
    {
      g_autoptr (DimrDevice) other = open_device (kind, variant);
      g_autofree float *same = compute (self, output, weights, other, precision);

      g_assert_cmpmem (first, n * sizeof *first, same, n * sizeof *same);
    }
}

/* Against op-reference on every kind of device in both precisions. */
static void
check_output (OpCase      *self,
              DimrWeights *weights,
              DimrNodeId   output,
              double       bound)
{
  static const DimrPrecision precisions[] = { DIMR_PRECISION_F32, DIMR_PRECISION_BF16 };

  for (guint p = 0; p < G_N_ELEMENTS (precisions); p++)
    for (guint kind = 0; kind < op_device.get_n_kinds (); kind++)
      check_kind (self, output, weights, kind, precisions[p], bound);
}

static void
check_end (void)
{
  g_assert_cmpuint (n_gaps_checked, >=, 64);
  if (op_device.check != NULL)
    op_device.check ();
}

void
op_case_check (OpCase     *self,
               DimrNodeId  output,
               double      bound)
{
  g_autoptr (DimrWeights) weights = NULL;
  g_autoptr (GError) error = NULL;

  dimr_graph_finish (self->graph, &error);
  g_assert_no_error (error);
  weights = make_weights (self);
  check_output (self, weights, output, bound);
  check_end ();
}

/* Σ y · r, with the leaf values as they are. @magnitude: Σ |y · r|, which says how it is rounded. */
static double
total (OpCase       *self,
       DimrNodeId    y,
       const double *r,
       double       *magnitude)
{
  g_autoptr (GPtrArray) all = compute_reference (self, NULL, y, DIMR_PRECISION_F32);
  const double *values = g_ptr_array_index (all, y);
  double sum = 0;

  *magnitude = 0;
  for (gsize i = 0; i < dimr_shape_n_elements (&dimr_graph_peek_node (self->graph, y)->shape); i++)
    {
      sum += values[i] * r[i];
      *magnitude += fabs (values[i] * r[i]);
    }
  return sum;
}

/* The derivative of the total along @direction in the values of @leaf, which may be one element.
 * @noise: what rounding may do to it. */
static double
difference (OpCase       *self,
            DimrNodeId    y,
            const double *r,
            DimrNodeId    leaf,
            const double *direction,
            double       *noise)
{
  const gsize n = dimr_shape_n_elements (&dimr_graph_peek_node (self->graph, leaf)->shape);
  double *values = g_hash_table_lookup (self->values, GUINT_TO_POINTER (leaf)), result = 0, largest = 0, step, magnitude = 0;
  g_autofree double *before = g_memdup2 (values, n * sizeof *values);

  for (gsize i = 0; i < n; i++)
    largest = MAX (largest, fabs (before[i]));
  step = 1e-5 * (largest > 0 ? largest : 1);
  for (int sign = -1; sign <= 1; sign += 2)
    {
      for (gsize i = 0; i < n; i++)
        values[i] = before[i] + sign * step * direction[i];
      result += sign * total (self, y, r, &magnitude) / (2 * step);
    }
  *noise = 1e-14 * magnitude / step;
  memcpy (values, before, n * sizeof *values);
  return result;
}

#define N_DIRECTIONS 8

static void
check_differences (OpCase       *self,
                   DimrNodeId    y,
                   const double *r,
                   DimrNodeId    leaf,
                   const double *gradient)
{
  const gsize n = dimr_shape_n_elements (&dimr_graph_peek_node (self->graph, leaf)->shape);
  g_autofree double *direction = g_new0 (double, n);

  for (guint k = 0; k < N_DIRECTIONS; k++)
    {
      double expected = 0, found, norm = 0, noise;

      memset (direction, 0, n * sizeof *direction);
      if (k % 2 == 0)
        direction[g_rand_int_range (self->rand, 0, (gint32) n)] = 1;
      else
        for (gsize i = 0; i < n; i++)
          direction[i] = normal (self->rand);
      for (gsize i = 0; i < n; i++)
        {
          expected += gradient[i] * direction[i];
          norm += pow (gradient[i], 2);
        }
      found = difference (self, y, r, leaf, direction, &noise);
      if (!(fabs (found - expected) <= 1e-6 * (fabs (expected) + sqrt (norm)) + noise))
        g_error ("%s of node %u: the difference along a direction is %.12g, the gradient says %.12g",
                 dimr_op_get_info (dimr_graph_peek_node (self->graph, y)->op)->name, leaf, found, expected);
    }
}

void
op_case_check_gradients (OpCase           *self,
                         DimrNodeId        y,
                         const DimrNodeId *wanted,
                         guint             n_wanted,
                         double            bound)
{
  DimrNodeId seed = op_case_input (self, dimr_graph_peek_node (self->graph, y)->shape, 0, 1);
  const double *r = g_hash_table_lookup (self->values, GUINT_TO_POINTER (seed));
  g_autofree DimrNodeId *gradients = g_new (DimrNodeId, n_wanted);
  g_autoptr (DimrWeights) weights = NULL;
  g_autoptr (GError) error = NULL;

  dimr_graph_add_gradients (self->graph, &(DimrSeed){ y, seed }, 1, wanted, n_wanted, NULL, gradients);
  dimr_graph_finish (self->graph, &error);
  g_assert_no_error (error);
  weights = make_weights (self);
  for (guint i = 0; i < n_wanted; i++)
    {
      g_autoptr (GPtrArray) all = compute_reference (self, NULL, gradients[i], DIMR_PRECISION_F32);

      g_assert_true (dimr_shape_equal (&dimr_graph_peek_node (self->graph, gradients[i])->shape,
                                       &dimr_graph_peek_node (self->graph, wanted[i])->shape));
      check_differences (self, y, r, wanted[i], g_ptr_array_index (all, gradients[i]));
      check_output (self, weights, gradients[i], bound);
    }
  check_end ();
}

void
op_case_set_depth (OpCase *self,
                   guint   n)
{
  self->depth = n;
}

double
op_case_sum_bound (gint64 n)
{
  return MAX (OP_F32, op_device.bound_of_term * (double) n);
}

gboolean
op_case_can_run (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrDevice) device = op_device.open (0, 0, &error);

  if (device == NULL)
    g_print ("1..0 # SKIP %s\n", error->message);
  return device != NULL;
}
