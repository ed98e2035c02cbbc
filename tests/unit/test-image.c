/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/base/dimr-file.h"
#include "core/image/dimr-png.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static DimrRecipe *
make_recipe (void)
{
  DimrRecipe *recipe = dimr_recipe_new ();

  recipe->model_name = g_strdup ("Starter: 32, small");
  recipe->model_hash = g_strdup ("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
  recipe->autoencoder_name = g_strdup ("sd-vae-ft-ema.safetensors");
  recipe->autoencoder_hash = g_strdup ("fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210");
  recipe->class_index = 134;
  recipe->class_name = g_strdup ("crane (bird)");
  recipe->seed = G_MAXUINT64 - 5;
  recipe->image_index = 12;
  recipe->n_steps = 30;
  recipe->sampler = DIMR_SAMPLER_DPM_SOLVER_2M;
  recipe->time_grid = DIMR_TIME_GRID_LOG_SNR;
  recipe->options = (DimrSamplerOptions){ 0.3, TRUE };
  recipe->guidance = (DimrGuidance){ DIMR_GUIDANCE_COSINE, 1.4, 2.5, 3 };
  recipe->precision = DIMR_PRECISION_BF16;
  recipe->micro_batch = 8;
  recipe->skip_unconditional = TRUE;
  recipe->reuse_low_branches = 3;
  recipe->device = g_strdup ("A processor, 2 threads");
  recipe->width = 32;
  recipe->height = 24;
  recipe->version = g_strdup ("0.1.0");
  return recipe;
}

static DimrImage *
make_image (guint width,
            guint height)
{
  g_autoptr (GBytes) bytes = NULL;
  gsize n = (gsize) width * height * 4;
  guint8 *pixels = g_malloc (n);

  for (gsize i = 0; i < n; i++)
    pixels[i] = i % 4 == 3 ? 255 : (guint8) (i * i / 7);
  bytes = g_bytes_new_take (pixels, n);
  return dimr_image_new (width, height, bytes);
}

/* A folder that lives as long as a test. */
static char *
make_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("dimr-image-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

static guint
count_files (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
assert_same_recipe (const DimrRecipe *a,
                    const DimrRecipe *b)
{
  g_assert_cmpstr (a->model_name, ==, b->model_name);
  g_assert_cmpstr (a->autoencoder_name, ==, b->autoencoder_name);
  g_assert_cmpint (a->class_index, ==, b->class_index);
  g_assert_cmpstr (a->class_name, ==, b->class_name);
  g_assert_cmpuint (a->seed, ==, b->seed);
  g_assert_cmpuint (a->image_index, ==, b->image_index);
  g_assert_cmpuint (a->n_steps, ==, b->n_steps);
  g_assert_cmpint (a->sampler, ==, b->sampler);
  g_assert_cmpint (a->time_grid, ==, b->time_grid);
  g_assert_cmpint (a->guidance.kind, ==, b->guidance.kind);
  g_assert_true (a->guidance.scale == b->guidance.scale);
  g_assert_true (a->guidance.power == b->guidance.power);
  g_assert_cmpuint (a->guidance.channels, ==, b->guidance.channels);
  g_assert_true (a->options.eta == b->options.eta);
  g_assert_cmpint (a->options.clip, ==, b->options.clip);
  g_assert_cmpint (a->precision, ==, b->precision);
  g_assert_cmpuint (a->micro_batch, ==, b->micro_batch);
  g_assert_cmpint (a->skip_unconditional, ==, b->skip_unconditional);
  g_assert_cmpuint (a->reuse_low_branches, ==, b->reuse_low_branches);
  g_assert_cmpstr (a->device, ==, b->device);
  g_assert_cmpuint (a->width, ==, b->width);
  g_assert_cmpuint (a->height, ==, b->height);
  g_assert_cmpstr (a->version, ==, b->version);
  g_assert_cmpint (a->own_noise, ==, b->own_noise);
}

static void
test_planes_become_bytes (void)
{
  const float planes[3 * 2] = { -1, 1, 0, NAN, -7, 7 };
  g_autoptr (DimrImage) image = dimr_image_new_planar (2, 1, planes);
  const guint8 *pixels = g_bytes_get_data (dimr_image_peek_pixels (image), NULL);
  const guint8 expected[8] = { 0, 128, 0, 255, 255, 128, 255, 255 };

  g_assert_cmpmem (pixels, 8, expected, 8);
}

/* Files of earlier versions, whose pictures were made one at a time and exactly. */
static void
test_recipes_without_a_micro_batch_are_of_one (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrRecipe) old = dimr_recipe_from_json ("{\"dimr\":1,\"seed\":7,\"precision\":\"f32\"}", &error);
  g_autoptr (DimrRecipe) text = NULL, bad = NULL;

  g_assert_no_error (error);
  g_assert_cmpuint (old->micro_batch, ==, 1);
  g_assert_false (old->skip_unconditional);
  g_assert_cmpuint (old->reuse_low_branches, ==, 0);
  text = dimr_recipe_from_parameters ("lion\nSteps: 25, CFG scale: 2, Seed: 7, Size: 32x32", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (text->micro_batch, ==, 1);
  bad = dimr_recipe_from_json ("{\"dimr\":1,\"skip_unconditional\":3}", &error);
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
  g_assert_null (bad);
}

static void
test_json_loses_nothing (void)
{
  g_autoptr (DimrRecipe) recipe = make_recipe ();
  g_autoptr (DimrRecipe) copy = dimr_recipe_copy (recipe);
  g_autoptr (DimrRecipe) read = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *json = dimr_recipe_to_json (copy);

  read = dimr_recipe_from_json (json, &error);
  g_assert_no_error (error);
  assert_same_recipe (recipe, read);
  g_assert_cmpstr (recipe->model_hash, ==, read->model_hash);
  g_assert_cmpstr (recipe->autoencoder_hash, ==, read->autoencoder_hash);

  recipe->own_noise = TRUE;
  recipe->class_index = DIMR_CLASS_NONE;
  g_clear_pointer (&recipe->class_name, g_free);
  g_clear_pointer (&json, g_free);
  g_clear_pointer (&read, dimr_recipe_free);
  json = dimr_recipe_to_json (recipe);
  read = dimr_recipe_from_json (json, &error);
  g_assert_no_error (error);
  assert_same_recipe (recipe, read);
}

static void
test_wrong_json_is_refused (void)
{
  static const char *const texts[] = {
    "", "[]", "7", "{}", "{\"dimr\":1", "{\"dimr\":1,\"seed\":-1}", "{\"dimr\":1,\"seed\":\"x\"}",
    "{\"dimr\":1,\"seed\":1.5}", "{\"dimr\":1,\"steps\":99999999999}", "{\"dimr\":1,\"steps\":[]}",
    "{\"dimr\":1,\"class\":7}", "{\"dimr\":1,\"class\":{\"index\":1000}}",
    "{\"dimr\":1,\"guidance\":{\"scale\":\"2\"}}", "{\"dimr\":1,\"guidance\":{\"schedule\":\"sine\"}}",
    "{\"dimr\":1,\"sampler\":\"magic\"}", "{\"dimr\":1,\"model\":\"x\"}",
  };
  g_autofree char *deep = g_strnfill (500000, '[');
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_assert_null (dimr_recipe_from_json (texts[i], &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
      g_clear_error (&error);
    }
  g_assert_null (dimr_recipe_from_json (deep, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
}

static void
test_unknown_members_are_ignored (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrRecipe) recipe = dimr_recipe_from_json ("{\"dimr\":9,\"new\":[1,{}],\"seed\":7}", &error);

  g_assert_no_error (error);
  g_assert_cmpuint (recipe->seed, ==, 7);
  g_assert_cmpint (recipe->class_index, ==, DIMR_CLASS_NONE);
}

static void
test_parameters_follow_the_grammar (void)
{
  g_autoptr (DimrRecipe) recipe = make_recipe ();
  g_autoptr (DimrRecipe) read = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = dimr_recipe_to_parameters (recipe);
  const char *last = strchr (text, '\n') + 1;

  g_assert_true (g_str_has_prefix (text, "crane (bird)\nSteps: 30, Sampler: "));
  g_assert_null (strchr (last, '\n'));
  g_assert_nonnull (strstr (last, ", CFG scale: 1.4, Seed: 18446744073709551610, Size: 32x24, Model hash: 0123456789, "
                                  "Model: \"Starter: 32, small\", "));
  g_assert_nonnull (strstr (last, ", RNG: Philox, "));
  g_assert_nonnull (strstr (last, ", Version: dimr-studio 0.1.0"));

  read = dimr_recipe_from_parameters (text, &error);
  g_assert_no_error (error);
  assert_same_recipe (recipe, read);
  g_assert_cmpstr (read->model_hash, ==, "0123456789");
}

static void
test_parameters_of_other_programs_are_read (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrRecipe) lion = NULL;
  g_autoptr (DimrRecipe) prose = NULL;

  lion = dimr_recipe_from_parameters ("red panda\nNegative prompt: blurry, Steps: 3\n"
                                      "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 512x768, "
                                      "Lora hashes: \"a: 1, b: \\\"2\\\"\", Model: some\n",
                                      &error);
  g_assert_no_error (error);
  g_assert_cmpint (lion->class_index, ==, 387);
  g_assert_cmpuint (lion->n_steps, ==, 20);
  g_assert_cmpuint (lion->seed, ==, 965400086);
  g_assert_cmpuint (lion->width, ==, 512);
  g_assert_cmpuint (lion->height, ==, 768);
  g_assert_true (lion->guidance.scale == 7);
  g_assert_cmpstr (lion->model_name, ==, "some");
  g_assert_true (lion->own_noise);

  prose = dimr_recipe_from_parameters ("a cat,\non a mat\nSteps: 20, Seed: 1, Size: 8x8", &error);
  g_assert_no_error (error);
  g_assert_cmpint (prose->class_index, ==, DIMR_CLASS_NONE);
  g_assert_cmpstr (prose->class_name, ==, "a cat,\non a mat");
}

static void
test_wrong_parameters_are_refused (void)
{
  static const char *const texts[] = {
    "", "lion", "lion\nSteps: 1, Seed: 2", "a\nSteps: x, Seed: 2, Size: 3x3", "a\nSteps: 1, Seed: -1, Size: 3x3",
    "a\nSteps: 1, Seed: 2, Size: 3", "a\nSteps: 1, Seed: 2, CFG scale: nan", "a\n\"\"\"\"\\", "::::,,,,::,:",
    "a\nSteps: \"1, Seed: 2, Size: 3x3",
  };
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_assert_null (dimr_recipe_from_parameters (texts[i], &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
      g_clear_error (&error);
    }
}

static void
test_png_keeps_pixels_and_recipe (void)
{
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "a.png", NULL);
  g_autoptr (DimrImage) image = make_image (32, 24);
  g_autoptr (DimrImage) read = NULL;
  g_autoptr (DimrRecipe) recipe = make_recipe ();
  g_autoptr (DimrRecipe) read_recipe = NULL;
  g_autoptr (DimrRecipe) other = NULL;
  g_autoptr (GBytes) once = NULL;
  g_autoptr (GBytes) twice = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (dimr_png_save (path, image, recipe, &error));
  g_assert_no_error (error);
  read = dimr_png_load (path, &read_recipe, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (dimr_image_peek_pixels (image), dimr_image_peek_pixels (read)));
  assert_same_recipe (recipe, read_recipe);

  once = dimr_png_encode (image, recipe, &error);
  twice = dimr_png_encode (image, recipe, &error);
  g_assert_true (g_bytes_equal (once, twice));
  other = dimr_png_read_recipe (once, &error);
  g_assert_no_error (error);
  assert_same_recipe (recipe, other);

  g_unlink (path);
  g_rmdir (folder);
}

static gboolean
has_chunk (GBytes     *bytes,
           const char *chunk)
{
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  return memmem (data, size, chunk, strlen (chunk)) != NULL;
}

static void
test_text_is_latin1_where_it_can_be (void)
{
  g_autoptr (DimrImage) image = make_image (3, 3);
  g_autoptr (DimrRecipe) recipe = make_recipe ();
  g_autoptr (DimrRecipe) read = NULL;
  g_autoptr (GBytes) latin = NULL;
  g_autoptr (GBytes) wide = NULL;

  g_free (recipe->model_name);
  recipe->model_name = g_strdup ("Modèle");
  latin = dimr_png_encode (image, recipe, NULL);
  g_assert_true (has_chunk (latin, "tEXtparameters") && has_chunk (latin, "tEXtdimr"));
  g_assert_true (has_chunk (latin, "Mod\xe8le"));
  read = dimr_png_read_recipe (latin, NULL);
  g_assert_cmpstr (read->model_name, ==, "Modèle");

  g_free (recipe->model_name);
  recipe->model_name = g_strdup ("模型");
  wide = dimr_png_encode (image, recipe, NULL);
  g_assert_true (has_chunk (wide, "iTXtparameters") && has_chunk (wide, "iTXtdimr"));
  g_clear_pointer (&read, dimr_recipe_free);
  read = dimr_png_read_recipe (wide, NULL);
  g_assert_cmpstr (read->model_name, ==, "模型");
}

static void
test_picture_without_recipe (void)
{
  g_autoptr (DimrImage) image = make_image (5, 4);
  g_autoptr (GBytes) bytes = dimr_png_encode (image, NULL, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_null (dimr_png_read_recipe (bytes, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
}

static guint32
crc32_of (const guint8 *data,
          gsize         size)
{
  guint32 crc = ~0u;

  for (gsize i = 0; i < size; i++)
    {
      crc ^= data[i];
      for (int k = 0; k < 8; k++)
        crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
  return ~crc;
}

/* The bytes of a small picture whose header says another width and height, its checksum made right. */
static GBytes *
with_size (GBytes  *png,
           guint32  width,
           guint32  height)
{
  gsize size;
  guint8 *data = g_bytes_unref_to_data (g_bytes_ref (png), &size);
  guint32 fields[2] = { GUINT32_TO_BE (width), GUINT32_TO_BE (height) };
  guint32 crc;

  memcpy (data + 16, fields, 8);
  crc = GUINT32_TO_BE (crc32_of (data + 12, 17));
  memcpy (data + 29, &crc, 4);
  return g_bytes_new_take (data, size);
}

static void
test_damaged_pictures_are_refused (void)
{
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "bad.png", NULL);
  g_autoptr (DimrImage) image = make_image (17, 13);
  g_autoptr (DimrRecipe) recipe = make_recipe ();
  g_autoptr (GBytes) good = dimr_png_encode (image, recipe, NULL);
  g_autoptr (GBytes) huge = with_size (good, 16384, 16384);
  g_autoptr (GBytes) absurd = with_size (good, 0x7fffffff, 0x7fffffff);
  g_autoptr (GError) error = NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data (good, &size);
  guint n_refused = 0;

  /* Every prefix of the file. */
  for (gsize n = 0; n < size; n += 7)
    {
      g_assert_true (g_file_set_contents (path, (const char *) data, n, NULL));
      g_assert_null (dimr_png_load (path, NULL, &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
      g_clear_error (&error);
    }
  /* One wrong byte anywhere: refused, or (in a text chunk) read without its recipe; never a crash. */
  for (gsize at = 0; at < size; at += 3)
    {
      g_autofree guint8 *copy = g_memdup2 (data, size);
      g_autoptr (DimrImage) read = NULL;

      copy[at] ^= 0x55;
      g_assert_true (g_file_set_contents (path, (const char *) copy, size, NULL));
      read = dimr_png_load (path, NULL, &error);
      g_assert_true ((read == NULL) == (error != NULL));
      n_refused += read == NULL;
      g_clear_error (&error);
    }
  g_assert_cmpuint (n_refused, >, 50);

  g_assert_true (g_file_set_contents (path, g_bytes_get_data (huge, NULL), g_bytes_get_size (huge), NULL));
  g_assert_null (dimr_png_load (path, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
  g_assert_nonnull (strstr (error->message, "too short"));
  g_clear_error (&error);
  g_assert_null (dimr_png_read_recipe (absurd, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
  g_clear_error (&error);

  g_assert_null (dimr_png_load (folder, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_failed_write_leaves_nothing (void)
{
  g_autofree char *folder = make_folder ();
  g_autofree char *blocked = g_build_filename (folder, "taken", NULL);
  g_autofree char *nowhere = g_build_filename (folder, "absent", "a.png", NULL);
  g_autoptr (GBytes) bytes = g_bytes_new_static ("abc", 3);
  g_autoptr (GError) error = NULL;

  g_mkdir (blocked, 0700);
  g_assert_false (dimr_file_write_atomic (blocked, bytes, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  g_assert_nonnull (strstr (error->message, blocked));
  g_clear_error (&error);
  g_assert_cmpuint (count_files (folder), ==, 1);

  g_assert_false (dimr_file_write_atomic (nowhere, bytes, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  g_rmdir (blocked);
  g_rmdir (folder);
}

/* As root, a run with “--output /dev/null” must not leave the machine without it. */
static void
test_devices_are_not_replaced (void)
{
  g_autofree char *folder = make_folder ();
  g_autofree char *pipe = g_build_filename (folder, "pipe", NULL);
  g_autofree char *link = g_build_filename (folder, "link", NULL);
  g_autoptr (GBytes) bytes = g_bytes_new_static ("abc", 3);

  g_assert_cmpint (mkfifo (pipe, 0600), ==, 0);
  g_assert_cmpint (symlink ("/dev/null", link), ==, 0);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (dimr_file_write_atomic (i == 0 ? pipe : link, bytes, &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
    }
  g_assert_false (g_file_test (pipe, G_FILE_TEST_IS_REGULAR));
  g_assert_true (g_file_test (link, G_FILE_TEST_IS_SYMLINK));
  g_assert_cmpuint (count_files (folder), ==, 2);
  g_unlink (pipe);
  g_unlink (link);
  g_rmdir (folder);
}

static void
test_write_replaces_the_old_file (void)
{
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "a", NULL);
  g_autofree char *content = NULL;
  g_autoptr (GBytes) first = g_bytes_new_static ("first version", 13);
  g_autoptr (GBytes) second = g_bytes_new_static ("second", 6);
  g_autoptr (GError) error = NULL;

  g_assert_true (dimr_file_write_atomic (path, first, &error));
  g_assert_true (dimr_file_write_atomic (path, second, &error));
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (path, &content, NULL, NULL));
  g_assert_cmpstr (content, ==, "second");
  g_assert_cmpuint (count_files (folder), ==, 1);
  g_unlink (path);
  g_rmdir (folder);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/image/planes/become-bytes", test_planes_become_bytes);
  g_test_add_func ("/image/recipe/json-loses-nothing", test_json_loses_nothing);
  g_test_add_func ("/image/recipe/without-a-micro-batch-is-of-one", test_recipes_without_a_micro_batch_are_of_one);
  g_test_add_func ("/image/recipe/wrong-json-is-refused", test_wrong_json_is_refused);
  g_test_add_func ("/image/recipe/unknown-members-are-ignored", test_unknown_members_are_ignored);
  g_test_add_func ("/image/recipe/parameters-follow-the-grammar", test_parameters_follow_the_grammar);
  g_test_add_func ("/image/recipe/parameters-of-other-programs-are-read", test_parameters_of_other_programs_are_read);
  g_test_add_func ("/image/recipe/wrong-parameters-are-refused", test_wrong_parameters_are_refused);
  g_test_add_func ("/image/png/keeps-pixels-and-recipe", test_png_keeps_pixels_and_recipe);
  g_test_add_func ("/image/png/text-is-latin-1-where-it-can-be", test_text_is_latin1_where_it_can_be);
  g_test_add_func ("/image/png/says-that-there-is-no-recipe", test_picture_without_recipe);
  g_test_add_func ("/image/png/damaged-pictures-are-refused", test_damaged_pictures_are_refused);
  g_test_add_func ("/image/file/failed-write-leaves-nothing", test_failed_write_leaves_nothing);
  g_test_add_func ("/image/file/devices-are-not-replaced", test_devices_are_not_replaced);
  g_test_add_func ("/image/file/write-replaces-the-old-file", test_write_replaces_the_old_file);
  return g_test_run ();
}
