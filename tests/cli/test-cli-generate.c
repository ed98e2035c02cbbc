/* SPDX-License-Identifier: Apache-2.0 */
#include "cli-fixture.h"

#include "core/base/dimr-rng.h"
#include "core/classes/dimr-classes.h"
#include "core/image/dimr-png.h"
#include "core/weights/dimr-safetensors-writer.h"

#include <signal.h>
#include <string.h>

/* The path of every line of @out (transfer full). */
static char **
split_paths (const char *out)
{
  g_autofree char *text = g_strchomp (g_strdup (out));

  return g_strsplit (text, "\n", -1);
}

static void
assert_same_pictures (char **a,
                      char **b)
{
  g_assert_cmpuint (g_strv_length (a), ==, g_strv_length (b));
  for (guint i = 0; a[i] != NULL; i++)
    {
      g_autofree char *x = g_path_get_basename (a[i]);
      g_autofree char *y = g_path_get_basename (b[i]);

      g_assert_cmpstr (x, ==, y);
      cli_assert_same_files (a[i], b[i]);
    }
}

static void
test_pictures_carry_their_recipes (void)
{
  g_auto (CliResult) result = { 0 };
  g_auto (GStrv) paths = NULL;
  char *folder = cli_make_folder ();
  int class = cli_get_class ();

  cli_run (&result, "generate --class %d,%d --count 2 --seed 7 --index 10 --steps 4 --cfg 1.5 --guidance cosine "
                    "--power 2 --sampler dpm-solver-2m --grid log-snr --out %s/new/folder", class, class, folder);
  cli_assert_status (&result, 0);
  paths = split_paths (result.out);
  g_assert_cmpuint (g_strv_length (paths), ==, 4);
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (DimrRecipe) recipe = NULL;
      g_autoptr (DimrImage) image = dimr_png_load (paths[i], &recipe, &error);
      g_autofree char *start = g_strdup_printf ("%s/new/folder/0000%u-", folder, 10 + i);

      g_assert_no_error (error);
      g_assert_nonnull (recipe);
      g_assert_true (g_str_has_prefix (paths[i], start));
      g_assert_true (g_str_has_suffix (paths[i], "-s7.png"));
      g_assert_cmpint (recipe->class_index, ==, class);
      g_assert_cmpstr (recipe->class_name, ==, dimr_classes_get (class)->name);
      g_assert_cmpuint (recipe->seed, ==, 7);
      g_assert_cmpuint (recipe->image_index, ==, 10 + i);
      g_assert_cmpuint (recipe->n_steps, ==, 4);
      g_assert_cmpint (recipe->sampler, ==, DIMR_SAMPLER_DPM_SOLVER_2M);
      g_assert_cmpint (recipe->time_grid, ==, DIMR_TIME_GRID_LOG_SNR);
      g_assert_cmpint (recipe->guidance.kind, ==, DIMR_GUIDANCE_COSINE);
      g_assert_true (recipe->guidance.scale == 1.5 && recipe->guidance.power == 2);
      g_assert_false (recipe->own_noise);
      g_assert_cmpuint (recipe->width, ==, dimr_image_get_width (image));
      g_assert_cmpuint (strlen (recipe->model_hash), ==, 64);
      g_assert_nonnull (recipe->device);
      g_assert_nonnull (recipe->version);
    }
  g_assert_nonnull (strstr (result.err, "4 pictures in "));
  cli_remove_folder (folder);
}

/* One class, five pictures, four steps; @extra more options. */
static char **
make_five (const char *folder,
           const char *name,
           int         class,
           const char *extra)
{
  g_auto (CliResult) result = { 0 };

  cli_run (&result, "generate --class %d --count 5 --seed 3 --steps 4 --out %s/%s%s", class, folder, name, extra);
  cli_assert_status (&result, 0);
  return split_paths (result.out);
}

static void
test_bytes_do_not_depend_on_the_batch (void)
{
  static const char *const batches[] = { " --batch 2", " --batch 3", " --batch 4", " --batch 5" };
  char *folder = cli_make_folder ();
  int class = cli_get_class ();
  g_auto (GStrv) one = make_five (folder, "1", class, " --batch 1");

  g_assert_cmpuint (g_strv_length (one), ==, 5);
  for (guint i = 0; i < G_N_ELEMENTS (batches); i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i + 2);
      g_auto (GStrv) more = make_five (folder, name, class, batches[i]);

      assert_same_pictures (one, more);
    }
  cli_remove_folder (folder);
}

static void
test_bytes_do_not_depend_on_what_shares_a_micro_batch (void)
{
  static const char *const cuts[] = { " --micro-batch 3 --batch 1", " --micro-batch 3 --batch 4 --no-previews" };
  g_auto (CliResult) result = { 0 };
  g_autoptr (DimrRecipe) recipe = NULL;
  g_autoptr (DimrImage) image = NULL;
  char *folder = cli_make_folder ();
  int class = cli_get_class ();
  g_auto (GStrv) five = make_five (folder, "5", class, " --micro-batch 3 --batch 5");
  g_auto (GStrv) alone = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (cuts); i++)
    {
      g_autofree char *name = g_strdup_printf ("cut-%u", i);
      g_auto (GStrv) more = make_five (folder, name, class, cuts[i]);

      assert_same_pictures (five, more);
    }
  cli_run (&result, "generate --class %d --seed 3 --index 4 --steps 4 --micro-batch 3 --out %s/alone", class, folder);
  cli_assert_status (&result, 0);
  alone = split_paths (result.out);
  cli_assert_same_files (five[4], alone[0]);
  image = dimr_png_load (alone[0], &recipe, NULL);
  g_assert_cmpuint (recipe->micro_batch, ==, 3);
  g_assert_cmpint (recipe->precision, !=, DIMR_PRECISION_AUTO);
  cli_remove_folder (folder);
}

static void
test_what_is_not_exact_says_so (void)
{
  g_auto (CliResult) result = { 0 };
  g_auto (GStrv) paths = NULL;
  g_autoptr (DimrRecipe) recipe = NULL;
  g_autoptr (DimrImage) image = NULL;
  char *folder = cli_make_folder ();

  cli_run (&result, "generate --class %d --seed 3 --steps 6 --reuse-low-branches 3 --skip-unconditional --guidance cosine "
                    "--power 4 --cfg 2 --out %s", cli_get_class (), folder);
  cli_assert_status (&result, 0);
  paths = split_paths (result.out);
  image = dimr_png_load (paths[0], &recipe, NULL);
  g_assert_cmpuint (recipe->reuse_low_branches, ==, 3);
  g_assert_true (recipe->skip_unconditional);
  cli_remove_folder (folder);
}

static void
test_bytes_do_not_depend_on_previews (void)
{
  char *folder = cli_make_folder ();
  int class = cli_get_class ();
  g_auto (GStrv) with = make_five (folder, "with", class, "");
  g_auto (GStrv) without = make_five (folder, "without", class, " --no-previews");

  assert_same_pictures (with, without);
  cli_remove_folder (folder);
}

static void
test_a_picture_does_not_depend_on_the_others (void)
{
  g_auto (CliResult) result = { 0 };
  char *folder = cli_make_folder ();
  int class = cli_get_class ();
  g_auto (GStrv) five = make_five (folder, "five", class, "");
  g_auto (GStrv) alone = NULL;

  cli_run (&result, "generate --class %d --seed 3 --index 3 --steps 4 --out %s/alone", class, folder);
  cli_assert_status (&result, 0);
  alone = split_paths (result.out);
  cli_assert_same_files (five[3], alone[0]);
  g_clear_pointer (&alone, g_strfreev);

  /* A file of its own name holds the same bytes, and an old one is replaced. */
  for (guint k = 0; k < 2; k++)
    {
      g_clear_pointer (&alone, g_strfreev);
      cli_run (&result, "generate --class %d --seed 3 --index 3 --steps 4 --out %s/sub/one.PNG", class, folder);
      cli_assert_status (&result, 0);
      alone = split_paths (result.out);
      g_assert_true (g_str_has_suffix (alone[0], "/sub/one.PNG"));
      cli_assert_same_files (five[3], alone[0]);
    }
  cli_remove_folder (folder);
}

static void
test_seeds_and_classes_are_chosen_where_none_are_given (void)
{
  g_auto (CliResult) result = { 0 };
  g_autoptr (GPtrArray) first = NULL;
  g_autoptr (GPtrArray) second = NULL;
  g_autoptr (JsonObject) info = cli_dup_model_info ();
  JsonArray *trained = json_object_get_array_member (info, "trained_classes");
  char *folder = cli_make_folder ();
  gint64 class;
  gboolean known = json_array_get_length (trained) == 0;

  cli_run (&result, "generate --json --steps 1 --seed -1 --out %s", folder);
  cli_assert_status (&result, 0);
  first = cli_parse_lines (result.out);
  cli_run (&result, "generate --json --steps 1 --out %s", folder);
  cli_assert_status (&result, 0);
  second = cli_parse_lines (result.out);
  /* One chance in 2^32 of being wrong. */
  g_assert_cmpint (json_object_get_int_member (cli_find_event (first, "start"), "seed"), !=,
                   json_object_get_int_member (cli_find_event (second, "start"), "seed"));

  class = json_object_get_int_member (cli_find_event (first, "image"), "class_index");
  for (guint i = 0; i < json_array_get_length (trained); i++)
    known |= json_array_get_int_element (trained, i) == class;
  g_assert_true (known);
  cli_remove_folder (folder);
}

static void
test_json_tells_the_whole_story (void)
{
  g_auto (CliResult) result = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  char *folder = cli_make_folder ();
  JsonObject *start, *done;
  guint n_images = 0;
  double fraction = 0;

  cli_run (&result, "generate --json --class %d --count 3 --batch 2 --steps 4 --seed 18446744073709551615 --out %s",
           cli_get_class (), folder);
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  start = lines->pdata[0];
  done = lines->pdata[lines->len - 1];
  g_assert_cmpstr (json_object_get_string_member (start, "event"), ==, "start");
  /* Too large for the numbers of many JSON readers. */
  g_assert_cmpstr (json_object_get_string_member (start, "seed"), ==, "18446744073709551615");
  g_assert_cmpint (json_object_get_int_member (start, "images"), ==, 3);
  g_assert_cmpint (json_object_get_int_member (start, "steps"), ==, 4);
  g_assert_cmpstr (json_object_get_string_member (done, "event"), ==, "done");
  g_assert_cmpint (json_object_get_int_member (done, "images"), ==, 3);
  g_assert_true (json_object_get_double_member (done, "seconds") > 0);
  for (guint i = 0; i < lines->len; i++)
    {
      const char *event = json_object_get_string_member (lines->pdata[i], "event");

      if (strcmp (event, "image") == 0)
        {
          g_assert_cmpint (json_object_get_int_member (lines->pdata[i], "index"), ==, n_images++);
          g_assert_true (g_file_test (json_object_get_string_member (lines->pdata[i], "path"), G_FILE_TEST_EXISTS));
        }
      if (strcmp (event, "progress") == 0)
        {
          g_assert_true (json_object_get_double_member (lines->pdata[i], "fraction") >= fraction);
          fraction = json_object_get_double_member (lines->pdata[i], "fraction");
        }
    }
  g_assert_cmpuint (n_images, ==, 3);
  cli_remove_folder (folder);
}

/* [n, C, H, W] of the bundled model, drawn as the engine draws it (transfer full). */
static DimrTensor *
draw_noise (guint64 seed,
            gint64  n)
{
  g_autoptr (JsonObject) info = cli_dup_model_info ();
  gint64 channels = json_object_get_int_member (info, "channels");
  gint64 side = json_object_get_int_member (info, "image_size");
  DimrShape shape = DIMR_SHAPE (n, channels, side, side);
  gsize each = (gsize) (channels * side * side);
  float *noise = g_new (float, n * each);

  for (gint64 i = 0; i < n; i++)
    dimr_rng_normal (seed, i, DIMR_STREAM_START_NOISE, 0, noise + i * each, each);
  return dimr_tensor_new_take (DIMR_DTYPE_F32, &shape, noise);
}

/* [n_steps, n, C, H, W]: what the steps draw. */
static DimrTensor *
draw_step_noise (guint64 seed,
                 gint64  n_steps,
                 gint64  n)
{
  g_autoptr (JsonObject) info = cli_dup_model_info ();
  gint64 channels = json_object_get_int_member (info, "channels");
  gint64 side = json_object_get_int_member (info, "image_size");
  DimrShape shape = DIMR_SHAPE (n_steps, n, channels, side, side);
  gsize each = (gsize) (channels * side * side);
  float *noise = g_new (float, n_steps * n * each);

  for (gint64 s = 0; s < n_steps; s++)
    for (gint64 i = 0; i < n; i++)
      dimr_rng_normal (seed, i, DIMR_STREAM_STEP_NOISE, (guint16) s, noise + (s * n + i) * each, each);
  return dimr_tensor_new_take (DIMR_DTYPE_F32, &shape, noise);
}

/* @step_noise: NULL for none */
static void
write_noise (const char *path,
             DimrTensor *noise,
             DimrTensor *step_noise)
{
  const char *const names[] = { "noise", step_noise != NULL ? "noises" : NULL, NULL };
  DimrTensor *tensors[] = { noise, step_noise };
  g_autoptr (GError) error = NULL;

  dimr_safetensors_write (path, names, tensors, NULL, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
}

static void
assert_same_tensor (DimrWeights *a,
                    DimrWeights *b,
                    const char  *name)
{
  DimrTensor *x = dimr_weights_peek (a, name), *y = dimr_weights_peek (b, name);

  g_assert_true (x != NULL && y != NULL);
  g_assert_true (dimr_shape_equal (dimr_tensor_peek_shape (x), dimr_tensor_peek_shape (y)));
  g_assert_cmpmem (dimr_tensor_peek_data (x), dimr_tensor_get_n_bytes (x),
                   dimr_tensor_peek_data (y), dimr_tensor_get_n_bytes (y));
}

static void
test_noise_from_a_file_is_what_a_seed_means (void)
{
  g_auto (CliResult) result = { 0 };
  g_auto (GStrv) paths = NULL;
  char *folder = cli_make_folder ();
  g_autofree char *noise_path = g_build_filename (folder, "noise.safetensors", NULL);
  g_autofree char *seeded_path = g_build_filename (folder, "seeded.safetensors", NULL);
  g_autofree char *given_path = g_build_filename (folder, "given.safetensors", NULL);
  g_autoptr (DimrTensor) noise = draw_noise (9, 2);
  g_autoptr (DimrWeights) seeded = NULL;
  g_autoptr (DimrWeights) given = NULL;
  g_autoptr (DimrRecipe) recipe = NULL;
  g_autoptr (DimrImage) image = NULL;
  g_autoptr (GError) error = NULL;
  int class = cli_get_class ();

  write_noise (noise_path, noise, NULL);
  cli_run (&result, "generate --class %d --count 2 --seed 9 --steps 5 --out %s --trace %s", class, folder, seeded_path);
  cli_assert_status (&result, 0);
  cli_run (&result, "generate --class %d --count 2 --noise %s --steps 5 --batch 1 --out %s/given --trace %s", class,
           noise_path, folder, given_path);
  cli_assert_status (&result, 0);

  seeded = dimr_weights_open (seeded_path, NULL, &error);
  g_assert_no_error (error);
  given = dimr_weights_open (given_path, NULL, &error);
  g_assert_no_error (error);
  assert_same_tensor (seeded, given, "times");
  assert_same_tensor (seeded, given, "xs");
  assert_same_tensor (seeded, given, "latent");
  g_assert_true (dimr_shape_equal (dimr_tensor_peek_shape (dimr_weights_peek (given, "latent")),
                                   dimr_tensor_peek_shape (noise)));
  g_assert_cmpuint (dimr_tensor_get_n_elements (dimr_weights_peek (given, "times")), ==, 5);
  assert_same_tensor (seeded, given, "log_snr");
  g_assert_cmpuint (dimr_tensor_get_n_elements (dimr_weights_peek (given, "log_snr")), ==, 5);

  /* The picture says that its seed does not make it again. */
  paths = split_paths (result.out);
  image = dimr_png_load (paths[0], &recipe, &error);
  g_assert_no_error (error);
  g_assert_true (recipe->own_noise);

  cli_run (&result, "generate --class %d --count 3 --noise %s --steps 5 --out %s/other", class, noise_path, folder);
  cli_assert_status (&result, 2);
  g_assert_nonnull (strstr (result.err, "but these pictures need [3, "));
  cli_remove_folder (folder);
}

/* The same for samplers whose steps draw noise; and their options are in the recipe. */
static void
test_step_noise_from_a_file_is_what_a_seed_means (void)
{
  g_auto (CliResult) result = { 0 };
  g_auto (GStrv) paths = NULL;
  char *folder = cli_make_folder ();
  g_autofree char *noise_path = g_build_filename (folder, "noise.safetensors", NULL);
  g_autofree char *seeded_path = g_build_filename (folder, "seeded.safetensors", NULL);
  g_autofree char *given_path = g_build_filename (folder, "given.safetensors", NULL);
  g_autoptr (DimrTensor) noise = draw_noise (9, 2), steps = draw_step_noise (9, 4, 2);
  g_autoptr (DimrWeights) seeded = NULL;
  g_autoptr (DimrWeights) given = NULL;
  g_autoptr (DimrRecipe) recipe = NULL;
  g_autoptr (DimrImage) image = NULL;
  g_autoptr (GError) error = NULL;
  int class = cli_get_class ();

  write_noise (noise_path, noise, steps);
  cli_run (&result, "generate --class %d --count 2 --seed 9 --steps 4 --sampler ddim --eta 0.5 --clip --guided-channels 2 "
           "--out %s --trace %s", class, folder, seeded_path);
  cli_assert_status (&result, 0);
  paths = split_paths (result.out);
  image = dimr_png_load (paths[1], &recipe, &error);
  g_assert_no_error (error);
  g_assert_cmpint (recipe->sampler, ==, DIMR_SAMPLER_DDIM);
  g_assert_cmpfloat (recipe->options.eta, ==, 0.5);
  g_assert_true (recipe->options.clip);
  g_assert_cmpuint (recipe->guidance.channels, ==, 2);

  cli_run (&result, "generate --class %d --count 2 --noise %s --steps 4 --sampler ddim --eta 0.5 --clip --guided-channels 2 "
           "--batch 1 --out %s/given --trace %s", class, noise_path, folder, given_path);
  cli_assert_status (&result, 0);
  seeded = dimr_weights_open (seeded_path, NULL, &error);
  g_assert_no_error (error);
  given = dimr_weights_open (given_path, NULL, &error);
  g_assert_no_error (error);
  assert_same_tensor (seeded, given, "times");
  assert_same_tensor (seeded, given, "xs");
  assert_same_tensor (seeded, given, "latent");

  cli_run (&result, "generate --class %d --count 2 --noise %s --steps 5 --sampler ddpm --out %s/other", class, noise_path, folder);
  cli_assert_status (&result, 2);
  g_assert_nonnull (strstr (result.err, "“noises”"));
  cli_run (&result, "generate --class %d --sampler ddim --eta 1.5 --out %s/other", class, folder);
  cli_assert_status (&result, 2);
  cli_run (&result, "generate --class %d --sampler dpm-solver-fast --eta 0.5 --out %s/other", class, folder);
  cli_assert_status (&result, 2);
  cli_remove_folder (folder);
}

static void
test_interrupt_stops_cleanly (void)
{
  char *folder = cli_make_folder ();
  g_autoptr (GSubprocess) process = cli_start ("generate --json --class %d --count 100 --steps 1000 --out %s",
                                               cli_get_class (), folder);
  g_autoptr (GDataInputStream) lines = g_data_input_stream_new (g_subprocess_get_stdout_pipe (process));
  gboolean cancelled = FALSE;
  gint64 stopped_at = 0;

  for (;;)
    {
      g_autofree char *line = g_data_input_stream_read_line (lines, NULL, NULL, NULL);

      if (line == NULL)
        break;
      if (stopped_at == 0 && strstr (line, "\"progress\"") != NULL)
        {
          g_subprocess_send_signal (process, SIGINT);
          stopped_at = g_get_monotonic_time ();
        }
      cancelled |= strstr (line, "\"event\":\"cancelled\"") != NULL;
    }
  g_assert_true (g_subprocess_wait (process, NULL, NULL));
  g_assert_cmpint (stopped_at, >, 0);
  g_assert_true (cancelled);
  g_assert_true (g_subprocess_get_if_exited (process));
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 130);
  g_test_message ("stopped %.0f ms after the signal", (double) (g_get_monotonic_time () - stopped_at) / 1000);
  g_assert_cmpuint (cli_count_files (folder), ==, 0);
  cli_remove_folder (folder);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/generate/pictures-carry-their-recipes", test_pictures_carry_their_recipes);
  g_test_add_func ("/cli/generate/bytes-do-not-depend-on-the-batch", test_bytes_do_not_depend_on_the_batch);
  g_test_add_func ("/cli/generate/bytes-do-not-depend-on-what-shares-a-micro-batch",
                   test_bytes_do_not_depend_on_what_shares_a_micro_batch);
  g_test_add_func ("/cli/generate/what-is-not-exact-says-so", test_what_is_not_exact_says_so);
  g_test_add_func ("/cli/generate/bytes-do-not-depend-on-previews", test_bytes_do_not_depend_on_previews);
  g_test_add_func ("/cli/generate/a-picture-does-not-depend-on-the-others", test_a_picture_does_not_depend_on_the_others);
  g_test_add_func ("/cli/generate/seed-and-class-are-chosen-where-none-are-given",
                   test_seeds_and_classes_are_chosen_where_none_are_given);
  g_test_add_func ("/cli/generate/json-tells-the-whole-story", test_json_tells_the_whole_story);
  g_test_add_func ("/cli/generate/noise-from-a-file-is-what-a-seed-means", test_noise_from_a_file_is_what_a_seed_means);
  g_test_add_func ("/cli/generate/step-noise-from-a-file-is-what-a-seed-means", test_step_noise_from_a_file_is_what_a_seed_means);
  g_test_add_func ("/cli/generate/interrupt-stops-cleanly", test_interrupt_stops_cleanly);
  return g_test_run ();
}
