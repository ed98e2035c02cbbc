/* U-ViT and DiT against the numbers of their authors' PyTorch code: every case, every tap, from both
 * kinds of files. Tolerances: those measured for a float32 implementation (2e-5 on U-ViT's
 * predictions, 5e-5 on DiT's, 1e-5 of the largest value on taps, 1e-4 on sines of t).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "golden-model.h"
#include "tests/tested-device.h"

#include <math.h>
#include "core/base/dimr-error.h"

#include <string.h>

typedef struct
{
  const char *folder;
  double allowed;
} Network;

static const Network networks[] = { { "H_uvit", 2e-5 }, { "H_dit", 5e-5 } };

static const char * const out0[] = { "out0" };

static Reference *
open_forward (const Network *network)
{
  g_autofree char *name = g_strconcat (network->folder, "/forward.safetensors", NULL);

  return reference_open (name);
}

static double
check_cases (const Network *network,
             const char    *weights_file)
{
  g_auto (GoldenModel) model = { 0 };
  g_autoptr (Reference) file = open_forward (network);
  double worst = 0;

  golden_model_open (&model, network->folder, weights_file);
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *prefix = g_strdup_printf ("c%u.", i), *out = g_strdup_printf ("c%u.out", i);
      g_autofree char *exact = g_strconcat (out, "_f64", NULL);
      g_autoptr (DimrPlan) plan = NULL;
      g_autoptr (DimrProgram) program = NULL;
      double largest;

      if (!reference_has (file, out))
        continue;
      program = golden_model_evaluate (&model, file, prefix, FALSE, DIMR_PRECISION_F32, out0, 1, &plan);
      g_assert_cmpfloat (golden_difference (program, plan, 0, file, out, &largest), <, network->allowed);
      worst = MAX (worst, golden_difference (program, plan, 0, file, exact, &largest));
    }
  g_assert_cmpfloat (worst, <, network->allowed);
  g_assert_cmpfloat (worst, >, 0);
  return worst;
}

static void
test_forward (gconstpointer data)
{
  const Network *network = data;

  g_test_message ("%s: worst %.2g against float64", network->folder, check_cases (network, "model.safetensors"));
}

static void
test_pth (gconstpointer data)
{
  const Network *network = data;
  g_autofree char *name = g_strconcat (network->folder, "/model.pth", NULL), *path = reference_path (name);

  if (path == NULL)
    g_test_skip ("only in the full reference data");
  else
    g_assert_cmpfloat (check_cases (network, "model.pth"), ==, check_cases (network, "model.safetensors"));
}

static void
test_taps (gconstpointer data)
{
  const Network *network = data;
  const char *prefix = "c0.tap.";
  g_autofree char *forward = g_strconcat (network->folder, "/forward.safetensors", NULL), *path = reference_path (forward);
  g_auto (GoldenModel) model = { 0 };
  g_autoptr (Reference) file = open_forward (network);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (DimrWeights) listing = dimr_weights_open (path, NULL, NULL);
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;

  golden_model_open (&model, network->folder, "model.safetensors");
  for (const char **name = dimr_weights_peek_names (listing); *name != NULL; name++)
    if (g_str_has_prefix (*name, prefix))
      g_ptr_array_add (names, (gpointer) (*name + strlen (prefix)));
  g_assert_cmpuint (names->len, >=, 9);

  program = golden_model_evaluate (&model, file, "c0.", FALSE, DIMR_PRECISION_F32, (const char * const *) names->pdata,
                                   names->len, &plan);
  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *name = g_strconcat (prefix, g_ptr_array_index (names, i), NULL);
      double largest, d = golden_difference (program, plan, i, file, name, &largest);
      double allowed = strstr (name, "timestep_embedding") != NULL ? 1e-4 : 1e-5 * MAX (largest, 1);

      if (!(d < allowed))
        g_error ("%s %s is off by %g, allowed %g", network->folder, name, d, allowed);
    }
  g_test_message ("%s: %u taps", network->folder, names->len);
}

/* One time for all samples gives what the same time for each of them gives. */
static void
test_shared_time (gconstpointer data)
{
  const Network *network = data;
  g_auto (GoldenModel) model = { 0 };
  g_autoptr (Reference) file = open_forward (network);
  g_autoptr (DimrPlan) shared_plan = NULL, single_plan = NULL;
  g_autoptr (DimrProgram) shared = NULL, single = NULL;
  const gsize n = dimr_tensor_get_n_elements (reference_peek (file, "c0.x"));
  const double allowed = g_getenv ("DIMR_TEST_DEVICE") != NULL ? 1e-5 : 0;
  g_autofree float *t = dimr_tensor_dup_f32 (reference_peek (file, "c0.t")), *a = NULL, *b = NULL;
  g_autoptr (GError) error = NULL;
  float equal[3];
  gsize n_out;

  golden_model_open (&model, network->folder, "model.safetensors");
  shared = golden_model_evaluate (&model, file, "c0.", TRUE, DIMR_PRECISION_F32, out0, 1, &shared_plan);
  single = golden_model_evaluate (&model, file, "c0.", FALSE, DIMR_PRECISION_F32, out0, 1, &single_plan);
  equal[0] = equal[1] = equal[2] = t[0];
  dimr_program_write (single, dimr_plan_get_input (single_plan, "t"), equal, sizeof equal);
  g_assert_true (dimr_program_run (single, NULL, &error));
  n_out = n * (model.config->vit.learn_sigma ? 2 : 1);
  a = g_new (float, n_out);
  b = g_new (float, n_out);
  dimr_program_read (shared, dimr_plan_get_output (shared_plan, 0), a, n_out);
  dimr_program_read (single, dimr_plan_get_output (single_plan, 0), b, n_out);
  /* A math library may sum one row in another order than three. */
  for (gsize i = 0; i < n_out; i++)
    g_assert_cmpfloat (fabs ((double) a[i] - b[i]), <=, allowed);
}

static void
test_bf16 (gconstpointer data)
{
  const Network *network = data;
  g_auto (GoldenModel) model = { 0 };
  g_autoptr (Reference) file = open_forward (network);
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;
  double error;

  golden_model_open (&model, network->folder, "model.safetensors");
  program = golden_model_evaluate (&model, file, "c0.", FALSE, DIMR_PRECISION_BF16, out0, 1, &plan);
  error = golden_relative_l2 (program, plan, 0, file, "c0.out_f64");
  g_test_message ("%s: relative L2 %.3g in bfloat16", network->folder, error);
  g_assert_cmpfloat (error, <, 2e-2);
  g_assert_cmpfloat (error, >, 1e-5);
}

/* Weights alone: everything but the number of heads is in their shapes. */
static void
test_heads_are_asked_for (gconstpointer data)
{
  const Network *network = data;
  g_autofree char *name = g_strconcat (network->folder, "/model.safetensors", NULL), *path = reference_path (name);
  g_autoptr (DimrWeights) weights = dimr_weights_open (path, NULL, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_null (dimr_config_recognise (weights, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MODEL);
  g_assert_nonnull (strstr (error->message, "config.json"));
}

static void
add (const char     *room,
     const Network  *network,
     void          (*test) (gconstpointer data))
{
  g_autofree char *name = g_strdup_printf ("/golden/%s/%s", room, network->folder);

  g_test_add_data_func (name, network, test);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!tested_device_is_here ())
    return 0;
  for (guint i = 0; i < G_N_ELEMENTS (networks); i++)
    {
      add ("forward", &networks[i], test_forward);
      add ("forward-pth", &networks[i], test_pth);
      add ("taps", &networks[i], test_taps);
      add ("shared-time", &networks[i], test_shared_time);
      add ("bf16", &networks[i], test_bf16);
      add ("heads-are-asked-for", &networks[i], test_heads_are_asked_for);
    }
  return g_test_run ();
}
