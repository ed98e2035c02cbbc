/* `dimr decode` and `dimr encode`, with an autoencoder of random weights.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli-fixture.h"

#include <glib/gstdio.h>

#include "core/image/dimr-png.h"
#include "core/weights/dimr-safetensors-writer.h"
#include "tests/autoencoder-fixture.h"

#include <math.h>
#include <signal.h>
#include <string.h>

static char *folder;
static char *autoencoder;

static char *
in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

static DimrWeights *
open_weights (const char *path)
{
  g_autoptr (GError) error = NULL;
  DimrWeights *weights = dimr_weights_open (path, NULL, &error);

  g_assert_no_error (error);
  return weights;
}

/* @n latents of 6 × 5 with numbers up to about 2, or bigger ones (transfer full: the path). */
static char *
write_latents (const char *name,
               const char *tensor_name,
               guint       n,
               guint       height,
               guint       width)
{
  const DimrShape shape = DIMR_SHAPE (n, 4, height, width);
  const gsize len = (gsize) 4 * height * width;
  float *data = g_new (float, n * len);
  g_autofree float *one = autoencoder_fixture_make_latent (height, width);
  g_autoptr (DimrTensor) tensor = NULL;
  const char *const names[] = { tensor_name, NULL };
  g_autoptr (GError) error = NULL;
  char *path = in_folder (name);

  for (guint i = 0; i < n; i++)
    for (gsize k = 0; k < len; k++)
      data[i * len + k] = one[k] * (1 + .1f * i);
  tensor = dimr_tensor_new_take (DIMR_DTYPE_F32, &shape, data);
  dimr_safetensors_write (path, names, (DimrTensor *[]){ tensor }, NULL, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  return path;
}

static void
assert_shape (DimrWeights *weights,
              const char  *name,
              gint64       n,
              gint64       c,
              gint64       h,
              gint64       w)
{
  DimrTensor *tensor = dimr_weights_peek (weights, name);

  g_assert_nonnull (tensor);
  g_assert_true (dimr_shape_equal (dimr_tensor_peek_shape (tensor), &DIMR_SHAPE (n, c, h, w)));
}

/* The tensor and the PNG files are the same pictures. */
static void
test_decode (void)
{
  g_auto (CliResult) result = { 0 };
  g_autofree char *latents = write_latents ("z.safetensors", "z", 3, 6, 5);
  g_autofree char *decoded = in_folder ("decoded.safetensors"), *pictures = in_folder ("pictures");
  g_autofree char *last = g_build_filename (pictures, "000002.png", NULL);
  g_autoptr (DimrWeights) weights = NULL;
  g_autoptr (DimrImage) image = NULL;
  g_autoptr (GPtrArray) lines = NULL;
  g_autofree float *values = NULL;
  const guint8 *pixels;
  JsonObject *done;

  cli_run (&result, "decode -a %s -i %s -o %s --precision f32", autoencoder, latents, decoded);
  cli_assert_status (&result, 0);
  weights = open_weights (decoded);
  assert_shape (weights, "decoded", 3, 3, 48, 40);
  values = dimr_tensor_dup_f32 (dimr_weights_peek (weights, "decoded"));

  cli_run (&result, "decode -a %s -i %s -o %s --precision f32 --json", autoencoder, latents, pictures);
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  g_assert_cmpuint (lines->len, ==, 4);
  done = cli_find_event (lines, "done");
  g_assert_nonnull (done);
  g_assert_cmpint (json_object_get_int_member (done, "images"), ==, 3);
  g_assert_cmpint (json_object_get_int_member (done, "tiles"), ==, 1);
  g_assert_cmpuint (cli_count_files (pictures), ==, 3);
  image = dimr_png_load (last, NULL, NULL);
  g_assert_nonnull (image);
  pixels = g_bytes_get_data (dimr_image_peek_pixels (image), NULL);
  for (gsize i = 0; i < 48 * 40; i++)
    for (guint c = 0; c < 3; c++)
      g_assert_cmpint (ABS (pixels[4 * i + c] - 127.5f * (1 + CLAMP (values[((2 * 3) + c) * 48 * 40 + i], -1, 1))), <=, 1);
}

/* In tiles where a picture may take less than it needs; and one picture does not depend on its neighbours. */
static void
test_decode_in_tiles (void)
{
  g_auto (CliResult) result = { 0 };
  g_autofree char *latents = write_latents ("z.safetensors", "latent", 1, 40, 48);
  g_autofree char *whole = in_folder ("whole.safetensors"), *tiled = in_folder ("tiled.safetensors");
  g_autoptr (DimrWeights) a = NULL;
  g_autoptr (DimrWeights) b = NULL;
  g_autoptr (GPtrArray) lines = NULL;
  g_autofree float *x = NULL;
  g_autofree float *y = NULL;

  cli_run (&result, "decode -a %s -i %s -o %s --precision f32 -q", autoencoder, latents, whole);
  cli_assert_status (&result, 0);
  cli_run (&result, "decode -a %s -i %s -o %s --precision f32 --memory 8 --json", autoencoder, latents, tiled);
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  g_assert_cmpint (json_object_get_int_member (cli_find_event (lines, "done"), "tiles"), >, 1);
  g_assert_cmpint (json_object_get_int_member (cli_find_event (lines, "done"), "bytes"), <=, 8 << 20);
  a = open_weights (whole);
  b = open_weights (tiled);
  x = dimr_tensor_dup_f32 (dimr_weights_peek (a, "decoded"));
  y = dimr_tensor_dup_f32 (dimr_weights_peek (b, "decoded"));
  g_assert_cmpfloat (autoencoder_fixture_psnr (x, y, dimr_tensor_get_n_elements (dimr_weights_peek (a, "decoded"))), >, 45);

  cli_run (&result, "decode -a %s -i %s -o %s --memory 1", autoencoder, latents, tiled);
  cli_assert_status (&result, 1);
  g_assert_nonnull (strstr (result.err, "MiB"));
}

static void
test_encode (void)
{
  g_auto (CliResult) result = { 0 };
  g_autofree char *latents = write_latents ("z.safetensors", "z", 2, 4, 3), *pictures = in_folder ("to-encode");
  g_autofree char *first = in_folder ("first.safetensors"), *again = in_folder ("again.safetensors"), *other = in_folder ("other.safetensors");
  g_autoptr (DimrWeights) a = NULL;
  g_autoptr (DimrWeights) b = NULL;

  cli_run (&result, "decode -a %s -i %s -o %s -q", autoencoder, latents, pictures);
  cli_assert_status (&result, 0);
  cli_run (&result, "encode -a %s -i %s -o %s --seed 5 --json", autoencoder, pictures, first);
  cli_assert_status (&result, 0);
  cli_run (&result, "encode -a %s -i %s -o %s --seed 5 --threads 1", autoencoder, pictures, again);
  cli_assert_status (&result, 0);
  cli_run (&result, "encode -a %s -i %s -o %s", autoencoder, pictures, other);
  cli_assert_status (&result, 0);
  cli_assert_same_files (first, again);

  a = open_weights (first);
  b = open_weights (other);
  assert_shape (a, "moments", 2, 8, 4, 3);
  assert_shape (a, "z", 2, 4, 4, 3);
  g_assert_cmpstr (dimr_weights_get_metadata (a, "names"), ==, "000000.png\n000001.png");
  g_assert_cmpmem (dimr_tensor_peek_data (dimr_weights_peek (a, "moments")), dimr_tensor_get_n_bytes (dimr_weights_peek (a, "moments")),
                   dimr_tensor_peek_data (dimr_weights_peek (b, "moments")), dimr_tensor_get_n_bytes (dimr_weights_peek (b, "moments")));
  g_assert_cmpint (memcmp (dimr_tensor_peek_data (dimr_weights_peek (a, "z")), dimr_tensor_peek_data (dimr_weights_peek (b, "z")),
                           dimr_tensor_get_n_bytes (dimr_weights_peek (a, "z"))), !=, 0);
}

static void
test_refusals (void)
{
  g_auto (CliResult) result = { 0 };
  g_autofree char *latents = write_latents ("z.safetensors", "z", 1, 4, 3), *out = in_folder ("out.safetensors");
  g_autofree char *small = in_folder ("small"), *mixed = in_folder ("mixed"), *empty = in_folder ("empty");

  cli_run (&result, "decode -i %s -o %s", latents, out);
  cli_assert_status (&result, 2);
  cli_run (&result, "decode -a %s -i %s -o %s", latents, latents, out);
  cli_assert_status (&result, 1);
  g_assert_nonnull (strstr (result.err, "autoencoder"));
  cli_run (&result, "decode -a %s -i %s -o %s", autoencoder, autoencoder, out);
  cli_assert_status (&result, 2);
  g_assert_nonnull (strstr (result.err, "'z'"));
  cli_run (&result, "encode -a %s -i %s -o %s/x.png", autoencoder, latents, folder);
  cli_assert_status (&result, 2);
  cli_run (&result, "encode -a %s -i %s -o %s --size 4", autoencoder, latents, out);
  cli_assert_status (&result, 2);
  g_assert_nonnull (strstr (result.err, "from 8 to"));
  cli_run (&result, "decode -a %s -i %s -o %s --precision f8", autoencoder, latents, out);
  cli_assert_status (&result, 2);
  g_assert_nonnull (strstr (result.err, "not “f8”"));
  g_assert_cmpint (g_mkdir (empty, 0700), ==, 0);
  cli_run (&result, "encode -a %s -i %s -o %s", autoencoder, empty, out);
  cli_assert_status (&result, 2);
  g_assert_nonnull (strstr (result.err, "no PNG files"));

  /* Two sizes in one folder. */
  cli_run (&result, "decode -a %s -i %s -o %s -q", autoencoder, latents, mixed);
  cli_assert_status (&result, 0);
  {
    g_autofree char *bigger = write_latents ("z.safetensors", "z", 1, 5, 3), *path = g_build_filename (small, "000000.png", NULL);
    g_autofree char *to = g_build_filename (mixed, "000001.png", NULL);

    cli_run (&result, "decode -a %s -i %s -o %s -q", autoencoder, bigger, small);
    cli_assert_status (&result, 0);
    g_assert_cmpint (g_rename (path, to), ==, 0);
  }
  cli_run (&result, "encode -a %s -i %s -o %s", autoencoder, mixed, out);
  cli_assert_status (&result, 2);
  g_assert_nonnull (strstr (result.err, "one size"));
  g_assert_false (g_file_test (out, G_FILE_TEST_EXISTS));
}

/* Class folders become latents with labels, and those are learnt from. */
static void
test_class_folders (void)
{
  static const char config[] =
    "{\"model\": \"MRModel\", \"channels\": 4, \"image_size\": 4, \"num_classes\": 1001, \"norm_type\": \"TDRMSN\","
    " \"stage_configs\": [{\"block_type\": \"TransformerBlock\", \"dim\": 16, \"hidden_dim\": 32, \"num_attention_heads\": 2,"
    " \"num_blocks\": 1, \"max_height\": 4, \"max_width\": 4, \"image_input_ratio\": 1, \"input_feature_ratio\": 1,"
    " \"final_kernel_size\": 3}]}";
  static const char * const classes[] = { "n01440764", "n01443537" }; /* 0 and 1 */
  g_auto (CliResult) result = { 0 };
  g_autofree char *latents = write_latents ("z.safetensors", "z", 3, 6, 5), *pictures = in_folder ("for-classes"), *set = in_folder ("set");
  g_autofree char *out = in_folder ("set.safetensors"), *path = in_folder ("latents.json"), *run = in_folder ("latents-run");
  g_autofree gint64 *labels = NULL;
  g_autoptr (DimrWeights) weights = NULL;

  cli_run (&result, "decode -a %s -i %s -o %s -q", autoencoder, latents, pictures);
  cli_assert_status (&result, 0);
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *name = g_strdup_printf ("%06u.png", i), *from = g_build_filename (pictures, name, NULL);
      g_autofree char *class_folder = g_build_filename (set, classes[i / 2], NULL), *to = g_build_filename (class_folder, name, NULL);

      g_assert_cmpint (g_mkdir_with_parents (class_folder, 0700), ==, 0);
      g_assert_cmpint (g_rename (from, to), ==, 0);
    }
  cli_run (&result, "encode -a %s -i %s -o %s --size 33", autoencoder, set, out);
  cli_assert_status (&result, 1);
  g_assert_nonnull (strstr (result.err, "multiples of 8"));
  cli_run (&result, "encode -a %s -i %s -o %s --size 32", autoencoder, set, out);
  cli_assert_status (&result, 0);
  weights = open_weights (out);
  assert_shape (weights, "moments", 3, 8, 4, 4);
  assert_shape (weights, "z", 3, 4, 4, 4);
  labels = dimr_tensor_dup_i64 (dimr_weights_peek (weights, "y"));
  g_assert_cmpint (labels[0], ==, 0);
  g_assert_cmpint (labels[1], ==, 0);
  g_assert_cmpint (labels[2], ==, 1);
  g_assert_cmpstr (dimr_weights_get_metadata (weights, "names"), ==, "n01440764/000000.png\nn01440764/000001.png\nn01443537/000002.png");
  g_assert_cmpstr (dimr_weights_get_metadata (weights, "classes"), ==, "0 n01440764\n1 n01443537");

  g_assert_true (g_file_set_contents (path, config, -1, NULL));
  cli_run (&result, "train --config %s --data %s --output %s --steps 2 --batch 2 --sheet-columns 0", path, out, run);
  cli_assert_status (&result, 0);
  g_assert_nonnull (strstr (result.err, "3 pictures of 2 classes"));
}

/* Bytes of the picture's pixels (transfer full), its side in @side. */
static guint8 *
read_pixels (const char *picture,
             guint      *side)
{
  g_autoptr (DimrImage) image = dimr_png_load (picture, NULL, NULL);

  g_assert_nonnull (image);
  *side = dimr_image_get_width (image);
  g_assert_cmpuint (dimr_image_get_height (image), ==, *side);
  return g_memdup2 (g_bytes_get_data (dimr_image_peek_pixels (image), NULL), (gsize) 4 * *side * *side);
}

static void
check_generated (const char *model) /* with its options */
{
  g_auto (CliResult) result = { 0 };
  g_autofree char *picture = in_folder ("generated.png"), *again = in_folder ("again.png"), *trace = in_folder ("trace.safetensors");
  g_autofree char *decoded = in_folder ("from-trace"), *other = g_build_filename (decoded, "000000.png", NULL);
  g_autofree guint8 *a = NULL;
  g_autofree guint8 *b = NULL;
  g_autoptr (DimrImage) image = NULL;
  g_autoptr (DimrRecipe) recipe = NULL;
  guint side, other_side;

  cli_run (&result, "generate -m %s --class 3 --seed 4 --steps 5 --cfg 1.5 --precision f32 -o %s --trace %s", model, picture, trace);
  cli_assert_status (&result, 0);
  g_assert_null (strstr (result.err, "projection"));
  cli_run (&result, "generate -m %s --class 3 --seed 4 --steps 5 --cfg 1.5 --precision f32 -o %s --previews decoded", model, again);
  cli_assert_status (&result, 0);
  cli_assert_same_files (picture, again);
  image = dimr_png_load (picture, &recipe, NULL);
  g_assert_nonnull (recipe);
  g_assert_nonnull (recipe->autoencoder_name);
  g_assert_cmpuint (strlen (recipe->autoencoder_hash), ==, 64);

  /* The same latent by the other command. */
  cli_run (&result, "decode -a %s -i %s -o %s --precision f32", autoencoder, trace, decoded);
  cli_assert_status (&result, 0);
  a = read_pixels (picture, &side);
  b = read_pixels (other, &other_side);
  g_assert_cmpuint (side, ==, 16 * 8);
  g_assert_cmpuint (other_side, ==, side);
  g_assert_cmpmem (a, 4 * side * side, b, 4 * side * side);
  g_assert_cmpint (g_unlink (picture) | g_unlink (again) | g_unlink (other), ==, 0);
}

/* A model of latents becomes a maker of pictures by an autoencoder that is named, or lies beside it. */
static void
test_generate (void)
{
  static const char * const parts[] = { "model.safetensors", "config.json" };
  g_auto (CliResult) result = { 0 };
  g_autofree char *model = in_folder ("model"), *sketch = in_folder ("sketch.png"), *named = g_strdup_printf ("%s -a %s", model, autoencoder);
  g_autofree char *beside = g_build_filename (model, "vae.safetensors", NULL);
  g_autofree guint8 *pixels = NULL;
  g_autoptr (GPtrArray) lines = NULL;
  guint side;

  g_assert_cmpint (g_mkdir (model, 0700), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      g_autofree char *from = g_build_filename (TEST_DATA_DIR, "reference/A_dimr_2r_latent", parts[i], NULL);
      g_autofree char *to = g_build_filename (model, parts[i], NULL);
      g_autoptr (GFile) source = g_file_new_for_path (from);
      g_autoptr (GFile) target = g_file_new_for_path (to);

      g_assert_true (g_file_copy (source, target, 0, NULL, NULL, NULL, NULL));
    }
  check_generated (named);
  cli_run (&result, "info %s --json", named);
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  g_assert_cmpstr (json_object_get_string_member (cli_find_event (lines, "info"), "autoencoder"), ==, autoencoder);
  g_assert_cmpint (json_object_get_int_member (cli_find_event (lines, "info"), "decoder_bytes"), >, 1 << 20);

  /* The last step is not the end: decoding is counted. */
  cli_run (&result, "generate -m %s --class 3 --count 2 --batch 2 --steps 2 -o %s --json", named, folder);
  cli_assert_status (&result, 0);
  g_clear_pointer (&lines, g_ptr_array_unref);
  lines = cli_parse_lines (result.out);
  for (guint i = 0, last = 0; i < lines->len; i++)
    {
      JsonObject *event = lines->pdata[i];

      if (g_strcmp0 (json_object_get_string_member (event, "event"), "progress") != 0 || json_object_get_int_member (event, "step") < 2)
        continue;
      if (last++ == 0)
        {
          g_assert_cmpfloat (json_object_get_double_member (event, "fraction"), <, 1);
          g_assert_cmpfloat (json_object_get_double_member (event, "seconds_left"), >, 0);
        }
    }

  /* The fixture lies in the folder above the model's: taken away, there is a sketch and a sentence. */
  check_generated (model);
  g_assert_cmpint (g_rename (autoencoder, beside), ==, 0);
  cli_run (&result, "generate -m %s --class 3 --steps 2 -o %s", model, sketch);
  cli_assert_status (&result, 0);
  g_unlink (sketch);
  g_assert_cmpint (g_rename (beside, autoencoder), ==, 0);
  {
    g_autofree char *away = g_strconcat (autoencoder, ".away", NULL);

    g_assert_cmpint (g_rename (autoencoder, away), ==, 0);
    cli_run (&result, "generate -m %s --class 3 --steps 2 -o %s", model, sketch);
    cli_assert_status (&result, 0);
    g_assert_nonnull (strstr (result.err, "autoencoder_kl_ema.pth"));
    pixels = read_pixels (sketch, &side);
    g_assert_cmpuint (side, ==, 16);
    g_assert_cmpint (g_rename (away, autoencoder), ==, 0);
  }

  cli_run (&result, "generate -m %s -a %s/model.safetensors --class 3 --steps 2 -o %s", model, model, sketch);
  cli_assert_status (&result, 1);
  g_assert_nonnull (strstr (result.err, "a DiMR model, not an autoencoder"));
}

static void
test_stop (void)
{
  g_autofree char *latents = write_latents ("z.safetensors", "z", 400, 12, 12), *pictures = in_folder ("stopped");
  g_autoptr (GSubprocess) process = cli_start ("decode -a %s -i %s -o %s --json", autoencoder, latents, pictures);
  g_autoptr (GDataInputStream) stream = g_data_input_stream_new (g_subprocess_get_stdout_pipe (process));
  g_autofree char *line = g_data_input_stream_read_line (stream, NULL, NULL, NULL);

  g_assert_nonnull (line);
  g_subprocess_send_signal (process, SIGINT);
  g_assert_true (g_subprocess_wait (process, NULL, NULL));
  g_assert_true (g_subprocess_get_if_exited (process));
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 130);
  g_assert_cmpuint (cli_count_files (pictures), <, 400);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = cli_make_folder ();
  autoencoder = in_folder ("autoencoder.safetensors");
  autoencoder_fixture_write (&autoencoder_fixture_small, autoencoder);
  g_test_add_func ("/cli/decode/writes-tensors-and-pictures", test_decode);
  g_test_add_func ("/cli/decode/makes-do-with-less-memory", test_decode_in_tiles);
  g_test_add_func ("/cli/encode/draws-latents-by-seed", test_encode);
  g_test_add_func ("/cli/encode/labels-class-folders", test_class_folders);
  g_test_add_func ("/cli/codec/says-what-is-wrong", test_refusals);
  g_test_add_func ("/cli/generate/decodes-latents", test_generate);
  g_test_add_func ("/cli/codec/stops-between-pictures", test_stop);
  status = g_test_run ();
  cli_remove_folder (folder);
  g_free (autoencoder);
  return status;
}
