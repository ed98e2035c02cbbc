/* Loss, gradients, three steps of AdamW and the moving average against the authors' numbers, from
 * file to file as `dimr gradients` does it, on any device. Tolerances are those measured for a float32
 * implementation: loss 2e-6 of it, each gradient 2e-5 of its norm, parameters 2e-5, average 4e-6.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/train/dimr-gradients.h"
#include "core/weights/dimr-safetensors-writer.h"
#include "kernels/dimr-kernels.h"
#include "tests/reference.h"
#include "tests/tested-device.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static const char * const folders[] = { "A_dimr_2r_latent", "B_dimr_3r_pixel" };

static const DimrGradientsOptions three_steps = { .n_steps = 3, .lr = 2e-4, .ema = .9, .precision = DIMR_PRECISION_F32 };

static char *
path_in (const char *folder,
         const char *file)
{
  g_autofree char *name = g_build_filename (folder, file, NULL);

  return reference_path (name);
}

/* The same model in a new folder, with @members first in its configuration. */
static char *
make_variant (const char *model_path,
              const char *members)
{
  char *folder = g_dir_make_tmp ("dimr-variant-XXXXXX", NULL);
  g_autofree char *config = g_build_filename (model_path, "config.json", NULL), *copy = g_build_filename (folder, "config.json", NULL);
  g_autofree char *weights = g_build_filename (model_path, "model.safetensors", NULL);
  g_autofree char *link = g_build_filename (folder, "model.safetensors", NULL), *text = NULL;
  g_autoptr (GString) changed = NULL;

  g_assert_true (g_file_get_contents (config, &text, NULL, NULL));
  changed = g_string_new (text);
  g_string_replace (changed, "\"block_grad_to_lowres\": false,", "", 0);
  g_string_insert (changed, 1 + (gssize) strcspn (changed->str, "{"), members);
  g_assert_true (g_file_set_contents (copy, changed->str, -1, NULL));
  g_assert_cmpint (symlink (weights, link), ==, 0);
  return folder;
}

static void
remove_variant (const char *folder)
{
  g_autofree char *config = g_build_filename (folder, "config.json", NULL), *link = g_build_filename (folder, "model.safetensors", NULL);

  g_unlink (config);
  g_unlink (link);
  g_rmdir (folder);
}

/* What dimr_gradients_file() writes for @batches; NULL where the reference set lacks something. @members: of the
 * configuration, or NULL. */
static Reference *
compute_with (const char                 *folder,
              const char                 *batches,
              const DimrGradientsOptions *options,
              guint                       n_threads,
              const char                 *members)
{
  g_autofree char *weights = path_in (folder, "model.safetensors");
  g_autofree char *model_path = weights != NULL ? g_path_get_dirname (weights) : NULL;
  g_autofree char *output = NULL, *variant = NULL;
  g_autoptr (DimrModel) model = NULL;
  g_autoptr (GError) error = NULL;
  Reference *result;
  int fd;

  if (weights == NULL || batches == NULL)
    return NULL;
  fd = g_file_open_tmp ("dimr-gradients-XXXXXX", &output, &error);
  g_assert_no_error (error);
  g_close (fd, NULL);
  if (members != NULL)
    variant = make_variant (model_path, members);
  model = dimr_model_load (variant != NULL ? variant : model_path, NULL, &error);
  g_assert_no_error (error);
  dimr_gradients_file (model, tested_device (), n_threads, options, batches, output, NULL, &error);
  g_assert_no_error (error);
  result = reference_open (output);
  g_unlink (output);
  if (variant != NULL)
    remove_variant (variant);
  return result;
}

static Reference *
compute (const char                 *folder,
         const DimrGradientsOptions *options,
         guint                       n_threads)
{
  g_autofree char *batches = path_in (folder, "train_batches.safetensors");

  return compute_with (folder, batches, options, n_threads, NULL);
}

/* ‖a − b‖ / ‖b‖ and the largest difference. */
static double
compare (Reference  *a,
         const char *a_name,
         Reference  *b,
         const char *b_name,
         double     *largest)
{
  gsize n, n_b;
  g_autofree double *x = reference_dup_f64 (a, a_name, &n), *y = reference_dup_f64 (b, b_name, &n_b);
  double error = 0, norm = 0;

  g_assert_cmpuint (n, ==, n_b);
  *largest = 0;
  for (gsize i = 0; i < n; i++)
    {
      g_assert_true (isfinite (x[i]));
      error += (x[i] - y[i]) * (x[i] - y[i]);
      norm += y[i] * y[i];
      *largest = MAX (*largest, fabs (x[i] - y[i]));
    }
  return norm > 0 ? sqrt (error / norm) : sqrt (error);
}

/* Every tensor of @file whose name begins with @prefix, which @ours has under @our_prefix instead.
 * Returns their number. */
static guint
check_all (Reference  *ours,
           const char *our_prefix,
           const char *folder,
           const char *file,
           const char *prefix,
           double      relative,
           double      absolute)
{
  g_autofree char *path = path_in (folder, file);
  g_autoptr (DimrWeights) weights = path != NULL ? dimr_weights_open (path, NULL, NULL) : NULL;
  g_autoptr (Reference) expected = path != NULL ? reference_open (path) : NULL;
  const char **names = weights != NULL ? dimr_weights_peek_names (weights) : NULL;
  guint n = 0;

  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      g_autofree char *ours_name = NULL;
      double largest, ratio;

      if (!g_str_has_prefix (names[i], prefix))
        continue;
      ours_name = g_strconcat (our_prefix, names[i] + strlen (prefix), NULL);
      ratio = compare (ours, ours_name, expected, names[i], &largest);
      if (!(ratio <= relative && largest <= absolute))
        g_error ("%s %s: off by %g of its norm, at most %g", folder, names[i], ratio, largest);
      n++;
    }
  return n;
}

static void
check_losses (Reference  *ours,
              const char *folder)
{
  g_autofree char *path = path_in (folder, "train_loss.safetensors");
  g_autoptr (Reference) expected = reference_open (path);

  for (guint k = 0; k < 3; k++)
    {
      g_autofree char *name = g_strdup_printf ("s%u.loss", k), *exact = g_strdup_printf ("s%u.loss_f64", k);
      gsize n;
      g_autofree double *x = reference_dup_f64 (ours, name, &n), *y = reference_dup_f64 (expected, exact, NULL);

      for (gsize i = 0; i < n; i++)
        g_assert_cmpfloat (fabs (x[i] - y[i]), <=, 2e-6 * y[i]);
    }
}

/* Norms of all gradients are in the file even where the gradients are not. */
static void
check_norms (Reference  *ours,
             const char *folder,
             const char *prefix)
{
  g_autofree char *path = path_in (folder, "train_loss.safetensors");
  g_autoptr (DimrWeights) weights = dimr_weights_open (path, NULL, NULL);
  const char **names = dimr_weights_peek_names (weights);
  guint n_norms = 0;

  for (guint i = 0; names[i] != NULL; i++)
    {
      g_autofree char *name = NULL;
      g_autofree double *g = NULL;
      double norm = 0;
      float expected;
      gsize n;

      if (!g_str_has_prefix (names[i], prefix))
        continue;
      name = g_strconcat ("grad.", names[i] + strlen (prefix), NULL);
      g = reference_dup_f64 (ours, name, &n);
      dimr_tensor_read_f32 (dimr_weights_peek (weights, names[i]), 0, 1, &expected);
      for (gsize k = 0; k < n; k++)
        norm += g[k] * g[k];
      g_assert_cmpfloat (fabs (sqrt (norm) - (double) expected), <=, 2e-5 * (double) expected);
      n_norms++;
    }
  g_assert_cmpuint (n_norms, >, 150);
}

static void
test_steps (gconstpointer data)
{
  const char *folder = data;
  g_autoptr (Reference) ours = compute (folder, &three_steps, 0);

  if (ours == NULL)
    {
      g_test_skip ("the reference set is not here");
      return;
    }
  check_losses (ours, folder);
  check_norms (ours, folder, "gradnorm.");
  g_test_message ("%u gradients", check_all (ours, "grad.", folder, "train_grads.safetensors", "", 2e-5, INFINITY));
  g_test_message ("%u parameters", check_all (ours, "param.", folder, "train_params_step3.safetensors", "", INFINITY, 2e-5));
  g_test_message ("%u averages", check_all (ours, "ema.", folder, "train_ema_step3.safetensors", "ema0.9.", INFINITY, 4e-6));
}

/* "block_grad_to_lowres": the same loss, other gradients. */
static void
test_blocked (gconstpointer data)
{
  const char *folder = data;
  const DimrGradientsOptions once = { .precision = DIMR_PRECISION_F32 };
  g_autofree char *batches = path_in (folder, "train_batches.safetensors");
  g_autoptr (Reference) ours = compute_with (folder, batches, &once, 0, "\"block_grad_to_lowres\": true,");

  if (ours == NULL)
    {
      g_test_skip ("the reference set is not here");
      return;
    }
  check_norms (ours, folder, "blockgrad_norm.");
}

/* The VP-SDE with the true log-SNR: times between 0 and 1, and their losses. */
static void
test_continuous (void)
{
  static const char * const names[] = { "s0.x0", "s0.eps", "s0.t", "s0.y", NULL };
  const DimrGradientsOptions once = { .precision = DIMR_PRECISION_F32 };
  g_autofree char *path = path_in ("B_dimr_3r_pixel", "sde_lsimple.safetensors"), *batches = NULL;
  g_autoptr (Reference) file = NULL, ours = NULL;
  g_autofree double *found = NULL, *expected = NULL;
  gsize n;
  int fd;

  if (path == NULL)
    {
      g_test_skip ("the reference set is not here");
      return;
    }
  file = reference_open (path);
  fd = g_file_open_tmp ("dimr-batches-XXXXXX", &batches, NULL);
  g_close (fd, NULL);
  g_assert_true (dimr_safetensors_write (batches, names, (DimrTensor *[]){ reference_peek (file, "x0"), reference_peek (file, "noise"),
                                         reference_peek (file, "t"), reference_peek (file, "y") }, NULL, NULL, NULL, NULL, NULL));
  ours = compute_with ("B_dimr_3r_pixel", batches, &once, 0,
                       "\"schedule\": { \"kind\": \"vp_linear\", \"beta_0\": 0.1, \"beta_1\": 20 }, \"time_condition\": \"log_snr\",");
  g_unlink (batches);
  g_assert_nonnull (ours);
  found = reference_dup_f64 (ours, "s0.loss", &n);
  expected = reference_dup_f64 (file, "loss", NULL);
  for (gsize i = 0; i < n; i++)
    g_assert_cmpfloat (fabs (found[i] - expected[i]), <=, 2e-6 * expected[i]);
}

/* Every tensor of two results. */
static double
worst (Reference  *a,
       Reference  *b,
       const char *folder,
       const char *prefix)
{
  g_autofree char *path = path_in (folder, "model.safetensors");
  g_autoptr (DimrWeights) weights = dimr_weights_open (path, NULL, NULL);
  const char **names = dimr_weights_peek_names (weights);
  double result = 0;

  for (guint i = 0; names[i] != NULL; i++)
    {
      g_autofree char *name = g_strconcat (prefix, names[i], NULL);
      double largest;

      result = MAX (result, compare (a, name, b, name, &largest));
    }
  return result;
}

/* Threads change no byte; how many samples go together, and what is computed twice, only rounding. */
static void
test_ways (gconstpointer data)
{
  const char *folder = data;
  const DimrGradientsOptions once = { .precision = DIMR_PRECISION_F32 };
  const DimrGradientsOptions in_parts = { .precision = DIMR_PRECISION_F32, .micro_batch = 3 };
  const DimrGradientsOptions twice = { .precision = DIMR_PRECISION_F32, .recompute = TRUE };
  g_autoptr (Reference) one = compute (folder, &once, 1), three = NULL, parts = NULL, recomputed = NULL;

  if (one == NULL)
    {
      g_test_skip ("the reference set is not here");
      return;
    }
  three = compute (folder, &once, 3);
  parts = compute (folder, &in_parts, 2);
  recomputed = compute (folder, &twice, 2);
  g_assert_cmpfloat (worst (one, three, folder, "grad."), ==, 0);
  g_assert_cmpfloat (worst (parts, one, folder, "grad."), <, 1e-5);
  g_assert_cmpfloat (worst (recomputed, one, folder, "grad."), <, 1e-5);
}

/* bfloat16 has eight bits: each tensor keeps its direction. */
static void
test_bf16 (gconstpointer data)
{
  const char *folder = data;
  const DimrGradientsOptions exact = { .precision = DIMR_PRECISION_F32 }, rounded = { .precision = DIMR_PRECISION_BF16 };
  g_autoptr (Reference) a = compute (folder, &exact, 2), b = NULL;
  double ratio;

  if (a == NULL)
    {
      g_test_skip ("the reference set is not here");
      return;
    }
  b = compute (folder, &rounded, 2);
  ratio = worst (b, a, folder, "grad.");
  g_test_message ("worst tensor: %g of its norm", ratio);
  g_assert_cmpfloat (ratio, >, 1e-5); /* else nothing was rounded */
  g_assert_cmpfloat (ratio, <, .1);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  if (!tested_device_is_here ())
    return 0;
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *steps = g_strdup_printf ("/training/%s/three-steps", folders[i]);
      g_autofree char *ways = g_strdup_printf ("/training/%s/same-gradients-any-way", folders[i]);
      g_autofree char *blocked = g_strdup_printf ("/training/%s/branches-by-themselves", folders[i]);
      g_autofree char *bf16 = g_strdup_printf ("/training/%s/bfloat16", folders[i]);

      g_test_add_data_func (steps, folders[i], test_steps);
      if (i > 0 && tested_device_is_slow ())
        continue;
      g_test_add_data_func (ways, folders[i], test_ways);
      g_test_add_data_func (blocked, folders[i], test_blocked);
      g_test_add_data_func (bf16, folders[i], test_bf16);
    }
  g_test_add_func ("/training/continuous-times", test_continuous);
  return g_test_run ();
}
