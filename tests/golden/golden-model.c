/* SPDX-License-Identifier: Apache-2.0 */
#include "golden-model.h"

#include "core/base/dimr-error.h"
#include "core/model/dimr-architecture.h"
#include "tests/tested-device.h"

#include <math.h>
#include <string.h>

void
golden_model_clear (GoldenModel *self)
{
  g_clear_pointer (&self->config, dimr_config_free);
  g_clear_pointer (&self->weights, dimr_weights_unref);
  g_clear_object (&self->device);
}

void
golden_model_open (GoldenModel *self,
                   const char  *folder,
                   const char  *weights_file)
{
  g_autofree char *config_name = g_strconcat (folder, "/config.json", NULL);
  g_autofree char *weights_name = g_strconcat (folder, "/", weights_file, NULL);
  g_autofree char *config_path = reference_path (config_name), *weights_path = reference_path (weights_name);
  g_autoptr (GError) error = NULL;

  self->config = dimr_config_load (config_path, &error);
  g_assert_no_error (error);
  self->weights = dimr_weights_open (weights_path, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (dimr_network_check (self->config, self->weights, NULL, &error));
  self->device = dimr_device_open (tested_device (), 0, &error);
  g_assert_no_error (error);
}

static void
write_input (DimrProgram *program,
             DimrPlan    *plan,
             Reference   *file,
             const char  *prefix,
             const char  *name,
             gsize        n)
{
  const DimrNodeId input = name != NULL ? dimr_plan_get_input (plan, name) : DIMR_NODE_NONE; /* a classifier has no time */
  g_autofree char *full = g_strconcat (prefix, name, NULL);
  DimrTensor *tensor;

  if (input == DIMR_NODE_NONE)
    return;
  tensor = reference_peek (file, full);
  g_assert_cmpuint (dimr_tensor_get_n_elements (tensor), >=, n);
  if (strcmp (name, "y") == 0)
    {
      g_autofree gint64 *wide = dimr_tensor_dup_i64 (tensor);
      g_autofree gint32 *y = g_new (gint32, n);

      for (gsize i = 0; i < n; i++)
        y[i] = (gint32) wide[i];
      dimr_program_write (program, input, y, n * sizeof y[0]);
    }
  else
    {
      g_autofree float *values = dimr_tensor_dup_f32 (tensor);

      dimr_program_write (program, input, values, n * sizeof values[0]);
    }
}

DimrProgram *
golden_model_evaluate (GoldenModel         *model,
                       Reference           *file,
                       const char          *prefix,
                       gboolean             shared_time,
                       DimrPrecision        precision,
                       const char * const  *names,
                       guint                n_names,
                       DimrPlan           **plan)
{
  g_autofree char *x_name = g_strconcat (prefix, "x", NULL);
  DimrTensor *x = reference_peek (file, x_name);
  const DimrShape *shape = dimr_tensor_peek_shape (x);
  guint batch = (guint) shape->dims[0], times = shared_time ? 1 : batch;
  g_autofree DimrNodeId *outputs = g_new (DimrNodeId, n_names);
  g_autoptr (DimrGraph) graph = NULL;
  g_autoptr (GError) error = NULL;
  DimrProgram *program;

  graph = dimr_network_build (model->config, batch, times, (guint) shape->dims[2], (guint) shape->dims[3], &error);
  g_assert_no_error (error);
  for (guint i = 0; i < n_names; i++)
    {
      outputs[i] = dimr_graph_find (graph, names[i]);
      if (outputs[i] == DIMR_NODE_NONE)
        g_error ("the network has no node %s", names[i]);
    }
  *plan = dimr_plan_new (graph, outputs, n_names, model->device, precision, &error);
  g_assert_no_error (error);
  program = dimr_device_compile (model->device, *plan, model->weights, NULL, &error);
  g_assert_no_error (error);
  write_input (program, *plan, file, prefix, "x", dimr_tensor_get_n_elements (x));
  write_input (program, *plan, file, prefix, model->config->architecture->time_input, times);
  write_input (program, *plan, file, prefix, "y", batch);
  g_assert_true (dimr_program_run (program, NULL, &error));
  return program;
}

double
golden_difference (DimrProgram *program,
                   DimrPlan    *plan,
                   guint        i,
                   Reference   *file,
                   const char  *name,
                   double      *largest)
{
  DimrTensor *tensor = reference_peek (file, name);
  gsize n = dimr_tensor_get_n_elements (tensor);
  const DimrNode *node = dimr_graph_peek_node (dimr_plan_peek_graph (plan), dimr_plan_get_output (plan, i));
  g_autofree double *wanted = reference_dup_f64 (file, name, NULL);
  g_autofree float *found = g_new (float, n);
  double worst = 0;

  g_assert_cmpuint (dimr_shape_n_elements (&node->shape), ==, n);
  dimr_program_read (program, dimr_plan_get_output (plan, i), found, n);
  *largest = 0;
  for (gsize k = 0; k < n; k++)
    {
      g_assert_false (isnan (found[k]));
      worst = MAX (worst, fabs (found[k] - wanted[k]));
      *largest = MAX (*largest, fabs (wanted[k]));
    }
  return worst;
}

double
golden_relative_l2 (DimrProgram *program,
                    DimrPlan    *plan,
                    guint        i,
                    Reference   *file,
                    const char  *name)
{
  g_autofree double *wanted = NULL;
  g_autofree float *found = NULL;
  double error = 0, norm = 0;
  gsize n;

  wanted = reference_dup_f64 (file, name, &n);
  found = g_new (float, n);
  dimr_program_read (program, dimr_plan_get_output (plan, i), found, n);
  for (gsize k = 0; k < n; k++)
    {
      error += (found[k] - wanted[k]) * (found[k] - wanted[k]);
      norm += wanted[k] * wanted[k];
    }
  return sqrt (error / norm);
}
