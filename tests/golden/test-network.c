/* The network against the numbers of the authors' PyTorch code: every case, every branch, every
 * tap. Tolerances: those measured for a float32 implementation (2e-5 on predictions up to 5, 1e-5
 * of the largest value on taps, 1e-6 on time-dependent parameters).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/graph/dimr-device.h"
#include "core/model/dimr-network.h"
#include "core/weights/dimr-weights.h"
#include "kernels/dimr-kernels.h"
#include "tests/reference.h"
#include "tests/tested-device.h"

#include <math.h>
#include <string.h>

static const char * const folders[] = {
  "A_dimr_2r_latent", "B_dimr_3r_pixel", "C1_headdim15", "C2_n1_n6_k5", "C3_uncond_area2_n7_n1",
  "D_layernorm", "D2_plain_rmsnorm",
};

/* A model of the reference data, ready to be evaluated. */
typedef struct
{
  DimrConfig *config;
  DimrWeights *weights;
  DimrDevice *device;
} Model;

static void
model_clear (Model *self)
{
  g_clear_pointer (&self->config, dimr_config_free);
  g_clear_pointer (&self->weights, dimr_weights_unref);
  g_clear_object (&self->device);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Model, model_clear)

static void
model_open (Model      *self,
            const char *folder)
{
  g_autofree char *config_name = g_strconcat (folder, "/config.json", NULL);
  g_autofree char *weights_name = g_strconcat (folder, "/model.safetensors", NULL);
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
  DimrNodeId input = dimr_plan_get_input (plan, name);
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

/* Evaluates the network on @prefix's inputs and returns the program; outputs are @names. */
static DimrProgram *
evaluate (Model               *model,
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
  write_input (program, *plan, file, prefix, "log_snr", times);
  write_input (program, *plan, file, prefix, "y", batch);
  g_assert_true (dimr_program_run (program, NULL, &error));
  return program;
}

/* Largest difference between output @i and the tensor @name; @largest: the largest value there. */
static double
difference (DimrProgram *program,
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

static gboolean
times_are_equal (Reference  *file,
                 const char *prefix)
{
  g_autofree char *name = g_strconcat (prefix, "log_snr", NULL);
  g_autofree double *values = reference_dup_f64 (file, name, NULL);
  gsize n = dimr_tensor_get_n_elements (reference_peek (file, name));

  for (gsize i = 1; i < n; i++)
    if (values[i] != values[0])
      return FALSE;
  return TRUE;
}

static void
check_case (Model      *model,
            Reference  *file,
            const char *name,
            gboolean    shared_time,
            double     *worst)
{
  static const char * const outs[] = { "out0", "out1", "out2" };
  g_autofree char *prefix = g_strconcat (name, ".", NULL);
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = evaluate (model, file, prefix, shared_time, DIMR_PRECISION_F32, outs,
                                              model->config->n_stages, &plan);

  for (guint i = 0; i < model->config->n_stages; i++)
    {
      g_autofree char *out = g_strconcat (prefix, outs[i], NULL), *exact = g_strconcat (out, "_f64", NULL);
      double largest, d = difference (program, plan, i, file, out, &largest);

      g_assert_cmpfloat (d, <, 2e-5);
      g_assert_cmpfloat (difference (program, plan, i, file, exact, &largest), <, 2e-5);
      *worst = MAX (*worst, d);
    }
}

/* Every case with a time per sample, and those whose samples share their time also that way. */
static void
test_forward (gconstpointer data)
{
  static const char * const cases[] = {
    "same", "same0", "same1", "same2", "same3", "same4", "mixed", "single", "nulls", "smaller",
  };
  g_auto (Model) model = { 0 };
  g_autofree char *name = g_strconcat (data, "/forward.safetensors", NULL);
  g_autoptr (Reference) file = reference_open (name);
  double worst = 0;
  guint n = 0;

  model_open (&model, data);
  for (guint i = 0; i < G_N_ELEMENTS (cases) && (n < 2 || !tested_device_is_slow ()); i++)
    {
      g_autofree char *x = g_strconcat (cases[i], ".x", NULL), *prefix = g_strconcat (cases[i], ".", NULL);

      if (!reference_has (file, x))
        continue;
      check_case (&model, file, cases[i], FALSE, &worst);
      if (times_are_equal (file, prefix))
        check_case (&model, file, cases[i], TRUE, &worst);
      n++;
    }
  g_assert_cmpuint (n, >=, 2);
  g_test_message ("%s: %u cases, worst %.2g", (const char *) data, n, worst);
}

static void
test_taps (gconstpointer data)
{
  g_autofree char *path = reference_path (data);
  g_auto (GStrv) parts = g_strsplit (data, "/", 2);
  g_auto (Model) model = { 0 };
  g_autoptr (Reference) file = NULL;
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;
  g_autoptr (DimrWeights) listing = NULL;

  if (path == NULL)
    {
      g_test_skip ("only in the full reference data");
      return;
    }
  model_open (&model, parts[0]);
  file = reference_open (data);
  listing = dimr_weights_open (path, NULL, NULL);
  for (const char **name = dimr_weights_peek_names (listing); *name != NULL; name++)
    if (strcmp (*name, "x") != 0 && strcmp (*name, "y") != 0 && strcmp (*name, "log_snr") != 0)
      g_ptr_array_add (names, (gpointer) *name);

  program = evaluate (&model, file, "", times_are_equal (file, ""), DIMR_PRECISION_F32,
                      (const char * const *) names->pdata, names->len, &plan);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      double largest, d = difference (program, plan, i, file, name, &largest);
      double allowed = g_str_has_prefix (name, "td.") ? 1e-6 : g_str_has_prefix (name, "out") ? 2e-5 : 1e-5 * largest;

      if (d >= allowed)
        g_error ("%s %s is off by %g, allowed %g", (const char *) data, name, d, allowed);
    }
  g_test_message ("%s: %u taps", (const char *) data, names->len);
}

/* Products of bfloat16 may be off by 2 % of the whole prediction, and must be off by something. */
static void
test_bf16 (gconstpointer data)
{
  static const char * const outs[] = { "out0", "out1", "out2" };
  g_auto (Model) model = { 0 };
  g_autofree char *name = g_strconcat (data, "/forward.safetensors", NULL);
  g_autoptr (Reference) file = reference_open (name);
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;
  g_autofree double *wanted = NULL;
  g_autofree float *found = NULL;
  g_autofree char *last = NULL;
  double error = 0, norm = 0;
  guint r;
  gsize n;

  model_open (&model, data);
  r = model.config->n_stages - 1;
  program = evaluate (&model, file, "mixed.", FALSE, DIMR_PRECISION_BF16, outs, r + 1, &plan);
  last = g_strconcat ("mixed.", outs[r], "_f64", NULL);
  wanted = reference_dup_f64 (file, last, NULL);
  n = dimr_tensor_get_n_elements (reference_peek (file, last));
  found = g_new (float, n);
  dimr_program_read (program, dimr_plan_get_output (plan, r), found, n);
  for (gsize i = 0; i < n; i++)
    {
      error += (found[i] - wanted[i]) * (found[i] - wanted[i]);
      norm += wanted[i] * wanted[i];
    }
  g_test_message ("%s: relative L2 %.3g in bfloat16", (const char *) data, sqrt (error / norm));
  g_assert_cmpfloat (sqrt (error / norm), <, 2e-2);
  g_assert_cmpfloat (sqrt (error / norm), >, 1e-5);
}

/* The same samples one by one and together: a batch is nothing but its samples. */
static void
test_batch_is_its_samples (void)
{
  static const char * const outs[] = { "out0", "out1" };
  g_auto (Model) model = { 0 };
  g_autoptr (Reference) file = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;
  double largest, first;

  model_open (&model, folders[0]);
  file = reference_open ("A_dimr_2r_latent/forward.safetensors");
  program = evaluate (&model, file, "single.", FALSE, DIMR_PRECISION_F32, outs, 2, &plan);
  first = difference (program, plan, 1, file, "single.out1", &largest);
  g_assert_cmpfloat (first, <, 2e-5);
  for (guint i = 0; i < 3; i++) /* and again, after each other, with the same bytes */
    {
      g_autoptr (GError) error = NULL;

      g_assert_true (dimr_program_run (program, NULL, &error));
      g_assert_cmpfloat (difference (program, plan, 1, file, "single.out1", &largest), ==, first);
    }
}

int
main (int argc, char **argv)
{
  static const char * const taps[] = {
    "A_dimr_2r_latent/taps_same.safetensors", "A_dimr_2r_latent/taps_mixed.safetensors",
    "B_dimr_3r_pixel/taps_mixed.safetensors", "D_layernorm/taps_mixed.safetensors",
  };

  g_test_init (&argc, &argv, NULL);
  if (!tested_device_is_here ())
    return 0;
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *forward = g_strconcat ("/golden/forward/", folders[i], NULL);
      g_autofree char *bf16 = g_strconcat ("/golden/bf16/", folders[i], NULL);

      g_test_add_data_func (forward, folders[i], test_forward);
      g_test_add_data_func (bf16, folders[i], test_bf16);
    }
  for (guint i = 0; i < G_N_ELEMENTS (taps); i++)
    {
      g_autofree char *name = g_strdelimit (g_strconcat ("/golden/taps/", taps[i], NULL), ".", '-');

      g_test_add_data_func (name, taps[i], test_taps);
    }
  g_test_add_func ("/golden/repeated-runs-are-equal", test_batch_is_its_samples);
  return g_test_run ();
}
