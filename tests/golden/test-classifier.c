/* The ViT classifier against PyTorch in float64: logits, taps, and what training makes of it.
 * The training is smoothed cross entropy and AdamW that leaves vectors, positions and the class token
 * undecayed, as timm does.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/train/dimr-gradients.h"
#include "golden-model.h"
#include "tests/tested-device.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#define FOLDER "J_vit"

static const char * const names[] = { "out0", "patch_embed", "blocks.0", "blocks.1", "features" };

static void
test_forward (void)
{
  g_auto (GoldenModel) model = { 0 };
  g_autoptr (Reference) file = reference_open (FOLDER "/forward.safetensors");
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;

  golden_model_open (&model, FOLDER, "model.safetensors");
  program = golden_model_evaluate (&model, file, "c0.", FALSE, DIMR_PRECISION_F32, names, G_N_ELEMENTS (names), &plan);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *name = i == 0 ? g_strdup ("c0.out_f64") : g_strconcat ("c0.tap.", names[i], NULL);

      g_assert_cmpfloat (golden_relative_l2 (program, plan, i, file, name), <, 2e-6);
    }
}

/* bfloat16 has eight bits: a few thousandths after two blocks. */
static void
test_bf16 (void)
{
  g_auto (GoldenModel) model = { 0 };
  g_autoptr (Reference) file = reference_open (FOLDER "/forward.safetensors");
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;

  golden_model_open (&model, FOLDER, "model.safetensors");
  program = golden_model_evaluate (&model, file, "c0.", FALSE, DIMR_PRECISION_BF16, names, 1, &plan);
  g_assert_cmpfloat (golden_relative_l2 (program, plan, 0, file, "c0.out_f64"), <, 2e-2);
}

/* Other sizes have no positions. */
static void
test_size (void)
{
  g_auto (GoldenModel) model = { 0 };
  g_autoptr (GError) error = NULL;

  golden_model_open (&model, FOLDER, "model.safetensors");
  g_assert_null (dimr_network_build (model.config, 1, 1, 16, 16, &error));
  g_assert_nonnull (strstr (error->message, "12 × 12"));
}

static Reference *
compute (const DimrGradientsOptions *options)
{
  g_autofree char *weights = reference_path (FOLDER "/model.safetensors"), *folder = g_path_get_dirname (weights);
  g_autofree char *batches = reference_path (FOLDER "/train_batches.safetensors"), *output = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrModel) model = dimr_model_load_any (folder, NULL, &error);
  Reference *result;
  int fd;

  g_assert_no_error (error);
  fd = g_file_open_tmp ("dimr-classifier-XXXXXX", &output, &error);
  g_assert_no_error (error);
  g_close (fd, NULL);
  dimr_gradients_file (model, tested_device (), 0, options, batches, output, NULL, &error);
  g_assert_no_error (error);
  result = reference_open (output);
  g_unlink (output);
  return result;
}

/* ‖a − b‖ / ‖b‖; below 1e-6 of the gradients' size a norm is rounding: nothing depends on the bias of the keys. */
static double
compare (Reference  *ours,
         Reference  *expected,
         const char *name)
{
  gsize n, n_expected;
  g_autofree double *x = reference_dup_f64 (ours, name, &n), *y = reference_dup_f64 (expected, name, &n_expected);
  double error = 0, norm = 0;

  g_assert_cmpuint (n, ==, n_expected);
  for (gsize i = 0; i < n; i++)
    {
      error += (x[i] - y[i]) * (x[i] - y[i]);
      norm += y[i] * y[i];
    }
  return sqrt (error / MAX (norm, 1e-12));
}

static void
check_training (const DimrGradientsOptions *options)
{
  g_autofree char *path = reference_path (FOLDER "/train.safetensors");
  g_autoptr (DimrWeights) listing = dimr_weights_open (path, NULL, NULL);
  g_autoptr (Reference) ours = compute (options), expected = reference_open (path);
  guint n = 0;

  for (const char **name = dimr_weights_peek_names (listing); *name != NULL; name++, n++)
    {
      /* The keys' bias changes nothing: its gradient is rounding, of which AdamW makes steps as large as any. */
      const gboolean has_keys = g_str_has_prefix (*name, "param.") && g_str_has_suffix (*name, ".attn.qkv.bias");
      const double allowed = has_keys ? 2e-3 : g_str_has_prefix (*name, "grad.") ? 2e-5 : 2e-6;
      const double d = compare (ours, expected, *name);

      if (!(d <= allowed))
        g_error ("%s is off by %g, allowed %g", *name, d, allowed);
    }
  g_assert_cmpuint (n, ==, 3 + 2 * 32);
}

static void
test_training (void)
{
  check_training (&(DimrGradientsOptions){ .n_steps = 3, .lr = 2e-4, .ema = .9, .label_smoothing = .1,
                                           .precision = DIMR_PRECISION_F32 });
}

/* Two samples at a time, the last alone, with activations computed twice. */
static void
test_micro_batches (void)
{
  check_training (&(DimrGradientsOptions){ .n_steps = 3, .lr = 2e-4, .ema = .9, .label_smoothing = .1, .micro_batch = 2,
                                           .recompute = TRUE, .precision = DIMR_PRECISION_F32 });
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  if (!tested_device_is_here ())
    return 0;
  g_test_add_func ("/classifier/forward", test_forward);
  g_test_add_func ("/classifier/bfloat16", test_bf16);
  g_test_add_func ("/classifier/other-sizes-are-refused", test_size);
  g_test_add_func ("/classifier/training", test_training);
  g_test_add_func ("/classifier/training-in-parts", test_micro_batches);
  return g_test_run ();
}
