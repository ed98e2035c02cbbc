/* The network against the numbers of the authors' PyTorch code: every case, every branch, every
 * tap. Tolerances: those measured for a float32 implementation (2e-5 on predictions up to 5, 1e-5
 * of the largest value on taps, 1e-6 on time-dependent parameters).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "golden-model.h"

#include "core/base/dimr-error.h"
#include "tests/tested-device.h"

#include <math.h>
#include <string.h>

/* Relative L2 of a prediction with float8 products: twice and a half the worst that was measured. */
#define F8_BOUND 2e-2

static const char * const folders[] = {
  "A_dimr_2r_latent", "B_dimr_3r_pixel", "C1_headdim15", "C2_n1_n6_k5", "C3_uncond_area2_n7_n1",
  "D_layernorm", "D2_plain_rmsnorm",
};
/* Ablation forms. */
static const char * const ablations[] = { "F1_adarmsn", "F2_axial_rope" };

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
check_case (GoldenModel *model,
            Reference  *file,
            const char *name,
            gboolean    shared_time,
            double     *worst)
{
  static const char * const outs[] = { "out0", "out1", "out2" };
  g_autofree char *prefix = g_strconcat (name, ".", NULL);
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = golden_model_evaluate (model, file, prefix, shared_time, DIMR_PRECISION_F32, outs,
                                              model->config->n_stages, &plan);

  for (guint i = 0; i < model->config->n_stages; i++)
    {
      g_autofree char *out = g_strconcat (prefix, outs[i], NULL), *exact = g_strconcat (out, "_f64", NULL);
      double largest, d = golden_difference (program, plan, i, file, out, &largest);

      g_assert_cmpfloat (d, <, 2e-5);
      g_assert_cmpfloat (golden_difference (program, plan, i, file, exact, &largest), <, 2e-5);
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
  g_auto (GoldenModel) model = { 0 };
  g_autofree char *name = g_strconcat (data, "/forward.safetensors", NULL);
  g_autoptr (Reference) file = reference_open (name);
  double worst = 0;
  guint n = 0;

  golden_model_open (&model, data, "model.safetensors");
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
  g_auto (GoldenModel) model = { 0 };
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
  golden_model_open (&model, parts[0], "model.safetensors");
  file = reference_open (data);
  listing = dimr_weights_open (path, NULL, NULL);
  for (const char **name = dimr_weights_peek_names (listing); *name != NULL; name++)
    if (strcmp (*name, "x") != 0 && strcmp (*name, "y") != 0 && strcmp (*name, "log_snr") != 0)
      g_ptr_array_add (names, (gpointer) *name);

  program = golden_model_evaluate (&model, file, "", times_are_equal (file, ""), DIMR_PRECISION_F32,
                      (const char * const *) names->pdata, names->len, &plan);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      double largest, d = golden_difference (program, plan, i, file, name, &largest);
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
  g_auto (GoldenModel) model = { 0 };
  g_autofree char *name = g_strconcat (data, "/forward.safetensors", NULL);
  g_autoptr (Reference) file = reference_open (name);
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;
  g_autofree char *last = NULL;
  double error;
  guint r;

  golden_model_open (&model, data, "model.safetensors");
  r = model.config->n_stages - 1;
  program = golden_model_evaluate (&model, file, "mixed.", FALSE, DIMR_PRECISION_BF16, outs, r + 1, &plan);
  last = g_strconcat ("mixed.", outs[r], "_f64", NULL);
  error = golden_relative_l2 (program, plan, r, file, last);
  g_test_message ("%s: relative L2 %.3g in bfloat16", (const char *) data, error);
  g_assert_cmpfloat (error, <, 2e-2);
  g_assert_cmpfloat (error, >, 1e-5);
}

/* Float8 in the inner blocks: off by more than bfloat16, and by as much as rounding to four digits lets expect. A
 * device without it says so in a sentence. */
static void
test_f8 (gconstpointer data)
{
  static const char * const outs[] = { "out0", "out1", "out2" };
  g_auto (GoldenModel) model = { 0 };
  g_autofree char *name = g_strconcat (data, "/forward.safetensors", NULL);
  g_autoptr (Reference) file = reference_open (name);
  g_autoptr (GError) refusal = NULL;
  double errors[2];

  golden_model_open (&model, data, "model.safetensors");
  if (!dimr_device_check_precision (model.device, DIMR_PRECISION_F8, &refusal))
    {
      g_assert_error (refusal, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED);
      g_test_skip (refusal->message);
      return;
    }
  for (guint i = 0; i < 2; i++)
    {
      const guint r = model.config->n_stages - 1;
      const DimrPrecision precision = i == 0 ? DIMR_PRECISION_BF16 : DIMR_PRECISION_F8;
      g_autoptr (DimrPlan) plan = NULL;
      g_autoptr (DimrProgram) program = golden_model_evaluate (&model, file, "mixed.", FALSE, precision, outs, r + 1, &plan);
      g_autofree char *last = g_strconcat ("mixed.", outs[r], "_f64", NULL);

      errors[i] = golden_relative_l2 (program, plan, r, file, last);
    }
  g_test_message ("%s: relative L2 %.3g in float8, %.3g in bfloat16", (const char *) data, errors[1], errors[0]);
  g_assert_cmpfloat (errors[1], <, F8_BOUND);
  g_assert_cmpfloat (errors[1], >, errors[0]);
}

/* The same samples one by one and together: a batch is nothing but its samples. */
static void
test_batch_is_its_samples (void)
{
  static const char * const outs[] = { "out0", "out1" };
  g_auto (GoldenModel) model = { 0 };
  g_autoptr (Reference) file = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;
  double largest, first;

  golden_model_open (&model, folders[0], "model.safetensors");
  file = reference_open ("A_dimr_2r_latent/forward.safetensors");
  program = golden_model_evaluate (&model, file, "single.", FALSE, DIMR_PRECISION_F32, outs, 2, &plan);
  first = golden_difference (program, plan, 1, file, "single.out1", &largest);
  g_assert_cmpfloat (first, <, 2e-5);
  for (guint i = 0; i < 3; i++) /* and again, after each other, with the same bytes */
    {
      g_autoptr (GError) error = NULL;

      g_assert_true (dimr_program_run (program, NULL, &error));
      g_assert_cmpfloat (golden_difference (program, plan, 1, file, "single.out1", &largest), ==, first);
    }
}

static void
add_folder (const char *folder)
{
  g_autofree char *forward = g_strconcat ("/golden/forward/", folder, NULL);
  g_autofree char *bf16 = g_strconcat ("/golden/bf16/", folder, NULL);

  g_test_add_data_func (forward, folder, test_forward);
  g_test_add_data_func (bf16, folder, test_bf16);
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
    add_folder (folders[i]);
  for (guint i = 0; i < G_N_ELEMENTS (ablations); i++)
    add_folder (ablations[i]);
  g_test_add_data_func ("/golden/f8/A_dimr_2r_latent", "A_dimr_2r_latent", test_f8);
  g_test_add_data_func ("/golden/f8/B_dimr_3r_pixel", "B_dimr_3r_pixel", test_f8);
  for (guint i = 0; i < G_N_ELEMENTS (taps); i++)
    {
      g_autofree char *name = g_strdelimit (g_strconcat ("/golden/taps/", taps[i], NULL), ".", '-');

      g_test_add_data_func (name, taps[i], test_taps);
    }
  g_test_add_func ("/golden/repeated-runs-are-equal", test_batch_is_its_samples);
  return g_test_run ();
}
