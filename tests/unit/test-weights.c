/* SPDX-License-Identifier: Apache-2.0 */
#include "weights-builder.h"

#include <json-glib/json-glib.h>
#include <string.h>

#define FORMATS TEST_DATA_DIR "/reference/I_formats/"

static DimrWeights *
open_ok (const char *path)
{
  g_autoptr (GError) error = NULL;
  DimrWeights *weights = dimr_weights_open (path, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (weights);
  return weights;
}

static void
test_checkpoint_equals_its_expectation (gconstpointer user_data)
{
  const char *const *row = user_data; /* file, expectation, format, table */
  g_autofree char *file = g_strconcat (FORMATS "good/", row[0], NULL);
  g_autofree char *expectation = g_strconcat (FORMATS "good/", row[1], ".expect.safetensors", NULL);
  g_autoptr (DimrWeights) got = open_ok (file), expected = open_ok (expectation);

  assert_same_weights (got, expected);
  g_assert_cmpstr (dimr_weights_get_format (got), ==, row[2]);
  g_assert_cmpstr (dimr_weights_get_table (got), ==, row[3]);
  g_assert_cmpstr (dimr_weights_get_path (got), ==, file);
  g_assert_cmpstr (dimr_weights_get_format (expected), ==, "safetensors");
}

#define ZIP "PyTorch"
#define LEGACY "PyTorch (before 1.6)"

static const char *const good[][4] = {
  { "bf16.pth", "bf16", ZIP, NULL },
  { "dtypes.pth", "dtypes", ZIP, NULL },
  { "half.pth", "half", ZIP, NULL },
  { "legacy.pth", "legacy", LEGACY, NULL },
  { "legacy_views.pth", "legacy_views", LEGACY, NULL },
  { "manykeys.pth", "manykeys", ZIP, NULL },
  { "metadata.pth", "metadata", ZIP, NULL },
  { "nested.pth", "nested.ema", ZIP, "ema" },
  { "nested_args.pth", "nested_args.ema", ZIP, "ema" },
  { "nested_legacy.pth", "nested_legacy.ema", LEGACY, "ema" },
  { "params.pth", "params", ZIP, NULL },
  { "proto4.pth", "proto4", ZIP, NULL },
  { "torch2_style.pth", "torch2_style", ZIP, NULL },
  { "views.pth", "views", ZIP, NULL },
  { "zip64_local.pth", "zip64_local", ZIP, NULL },
  { "zip_pkl_last.pth", "zip_pkl_last", ZIP, NULL },
  { "zip_streamed.pth", "zip_streamed", ZIP, NULL },
  { "train_state.ckpt/nnet.pth", "train_state.ckpt/nnet", ZIP, NULL },
  { "train_state.ckpt/nnet_ema.pth", "train_state.ckpt/nnet_ema", ZIP, NULL },
};

/* Every checkpoint of the folder is in the list above: a new one cannot be forgotten. */
static void
test_no_good_checkpoint_is_left_out (void)
{
  g_autoptr (GDir) dir = g_dir_open (FORMATS "good", 0, NULL);
  const char *name;
  guint n = 0;

  g_assert_nonnull (dir);
  while ((name = g_dir_read_name (dir)) != NULL)
    n += g_str_has_suffix (name, ".pth");
  g_assert_cmpuint (n, ==, G_N_ELEMENTS (good) - 2);
}

/* Numbers of a JSON value, however deeply nested, in order. */
static void
collect_numbers (JsonNode *node,
                 GArray   *out)
{
  if (JSON_NODE_HOLDS_ARRAY (node))
    {
      JsonArray *array = json_node_get_array (node);

      for (guint i = 0; i < json_array_get_length (array); i++)
        collect_numbers (json_array_get_element (array, i), out);
    }
  else
    {
      float value = (float) json_node_get_double (node);

      g_array_append_val (out, value);
    }
}

static void
test_safetensors_by_hand (gconstpointer user_data)
{
  g_autofree char *path = g_strconcat (FORMATS "good/", user_data, NULL);
  g_autoptr (DimrWeights) weights = open_ok (path);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GList) members = NULL;
  JsonObject *keys;

  g_assert_true (json_parser_load_from_file (parser, FORMATS "good/st_expected.json", NULL));
  keys = json_object_get_object_member (json_node_get_object (json_parser_get_root (parser)), "keys");
  g_assert_cmpuint (dimr_weights_get_n_tensors (weights), ==, json_object_get_size (keys));
  members = json_object_get_members (keys);
  for (GList *l = members; l != NULL; l = l->next)
    {
      DimrTensor *tensor = dimr_weights_peek (weights, l->data);
      g_autoptr (GArray) expected = g_array_new (FALSE, FALSE, sizeof (float));
      g_autofree float *got = NULL;

      g_assert_nonnull (tensor);
      collect_numbers (json_object_get_member (keys, l->data), expected);
      got = dimr_tensor_dup_f32 (tensor);
      g_assert_cmpmem (got, dimr_tensor_get_n_elements (tensor) * sizeof (float),
                       expected->data, expected->len * sizeof (float));
    }
  g_assert_cmpstr (dimr_weights_get_metadata (weights, "format"), ==, "pt");
  g_assert_cmpstr (dimr_weights_get_metadata (weights, "k"), ==, "v");
  g_assert_null (dimr_weights_get_metadata (weights, "other"));
}

static void
assert_refused (GError     *error,
                const char *path,
                DimrError   code)
{
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *pattern = g_strdup_printf ("^%s was refused at byte [0-9]+: [^.]", name);

  g_test_message ("%s", error != NULL ? error->message : "(no error)");
  g_assert_error (error, DIMR_ERROR, (int) code);
  g_assert_true (g_regex_match_simple (pattern, error->message, 0, 0));
  g_assert_false (g_str_has_suffix (error->message, "."));
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
}

static void
test_every_bad_file_is_refused (void)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonArray *files;
  guint n_refused = 0;

  g_assert_true (json_parser_load_from_file (parser, FORMATS "bad/manifest.json", NULL));
  files = json_node_get_array (json_parser_get_root (parser));
  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      const char *file = json_object_get_string_member (json_array_get_object_element (files, i), "file");
      g_autofree char *path = g_strconcat (FORMATS "bad/", file, NULL);
      g_autoptr (GError) error = NULL;

      g_assert_null (dimr_weights_open (path, NULL, &error));
      assert_refused (error, path, DIMR_ERROR_FORMAT);
      n_refused++;
    }
  g_assert_cmpuint (n_refused, ==, 32);
}

static void
test_refusal_says_what_was_asked_for (void)
{
  static const char *const files[][2] = {
    { "evil_reduce.pth", "evil_reduce.pth was refused at byte 48: it asks to run 'os.system'" },
    { "evil_reduce_legacy.pth", "evil_reduce_legacy.pth was refused at byte 2: it asks to run 'os.system'" },
    { "evil_in_dict.pth", "it asks to run 'os.system', which weights never need; nothing was run" },
    { "bad_storage_type.pth", "'torch.QInt8Storage'" },
    { "unknown_dtype.safetensors", "'F33'" },
    { "storage_short.pth", "has 16 bytes where 1000 elements of F32" },
    { "missing_storage.pth", "storage '7' is not in the archive" },
    { "dup_pickle_keys.pth", "the same key twice" },
    { "dup_keys.safetensors", "'a' stands twice" },
    { "deflated.pth", "compressed" },
    { "oob.safetensors", "beyond the end of the file" },
    { "overlap.safetensors", "overlaps" },
    { "deep_nesting.pth", "64 levels" },
    { "huge_strlen.pth", "4294967295 bytes" },
    { "empty.pth", "empty" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_strconcat (FORMATS "bad/", files[i][0], NULL);
      g_autoptr (GError) error = NULL;

      g_assert_null (dimr_weights_open (path, NULL, &error));
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, files[i][1]));
    }
}

static void
test_training_state_is_named (void)
{
  static const char *const files[][2] = {
    { "optimizer.pth", "optimizer state" },
    { "lr_scheduler.pth", "learning-rate schedule" },
    { "step.pth", "step counter" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_strconcat (FORMATS "good/train_state.ckpt/", files[i][0], NULL);
      g_autoptr (GError) error = NULL;

      g_assert_null (dimr_weights_open (path, NULL, &error));
      assert_refused (error, path, DIMR_ERROR_MODEL);
      g_assert_nonnull (strstr (error->message, files[i][1]));
    }
}

/* What a download leaves behind under the name of a checkpoint. */
static void
test_strangers_are_named (void)
{
  static const char *const files[][2] = {
    { "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull" },
    { "<!DOCTYPE html><html></html>", "a web page" },
    { "GGUF\3\0\0\0", "GGUF" },
    { "\x1f\x8b\x08", "gzip" },
    { "something else", "needed is one of them (.safetensors, .pth, .pt or .ckpt)" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new_static (files[i][0], strlen (files[i][0]));
      g_autoptr (GError) error = NULL;

      g_assert_null (dimr_weights_open_bytes (bytes, "model.pth", NULL, &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
      if (strstr (error->message, files[i][1]) == NULL)
        g_error ("'%s' does not say '%s'", error->message, files[i][1]);
    }
}

static void
test_what_is_no_file_is_said (void)
{
  g_autoptr (GError) missing = NULL, folder = NULL, device = NULL, cancelled = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  g_assert_null (dimr_weights_open (FORMATS "good/no-such-file.pth", NULL, &missing));
  g_assert_error (missing, DIMR_ERROR, DIMR_ERROR_FILE);
  g_assert_nonnull (strstr (missing->message, "no-such-file.pth"));
  g_assert_null (dimr_weights_open (FORMATS "good/train_state.ckpt", NULL, &folder));
  g_assert_error (folder, DIMR_ERROR, DIMR_ERROR_FILE);
  g_assert_null (dimr_weights_open ("/dev/zero", NULL, &device));
  g_assert_error (device, DIMR_ERROR, DIMR_ERROR_FILE);
  g_cancellable_cancel (cancellable);
  g_assert_null (dimr_weights_open (FORMATS "good/half.pth", cancellable, &cancelled));
  g_assert_error (cancelled, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* --- Damage --- */

static GBytes *
load (const char *file)
{
  g_autofree char *path = g_strconcat (FORMATS, file, NULL);
  char *data;
  gsize size;

  g_assert_true (g_file_get_contents (path, &data, &size, NULL));
  return g_bytes_new_take (data, size);
}

static const char *const seeds[] = {
  "good/half.pth", "good/legacy_views.pth", "good/nested_args.pth", "good/proto4.pth", "good/st_escapes.safetensors",
  "good/st_utf8_pretty.safetensors", "good/torch2_style.pth", "good/zip64_local.pth", "good/zip_streamed.pth",
};

/* Cut anywhere, a file is refused: none of these formats has an end that may be missing. */
static void
test_every_truncation_is_refused (gconstpointer seed)
{
  g_autoptr (GBytes) whole = load (seed);

  for (gsize size = 0; size < g_bytes_get_size (whole); size++)
    {
      /* A copy of its own, so that a checker of memory sees every byte read beyond it. */
      g_autoptr (GBytes) part = g_bytes_new (g_bytes_get_data (whole, NULL), size);
      g_autoptr (GError) error = NULL;

      g_assert_null (dimr_weights_open_bytes (part, "cut.pth", NULL, &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
      g_assert_true (g_str_has_prefix (error->message, "cut.pth was refused at byte "));
    }
}

/* One wrong bit anywhere: refused with a sentence, or read as a checkpoint whose tensors can be read. */
static void
test_every_flipped_bit_is_survived (gconstpointer seed)
{
  g_autoptr (GBytes) whole = load (seed);
  gsize size, n_refused = 0;
  const guint8 *data = g_bytes_get_data (whole, &size);

  for (gsize bit = 0; bit < 8 * size; bit++)
    {
      guint8 *copy = g_memdup2 (data, size);
      g_autoptr (GBytes) bytes = g_bytes_new_take (copy, size);
      g_autoptr (GError) error = NULL;
      g_autoptr (DimrWeights) weights = NULL;

      copy[bit / 8] ^= (guint8) (1u << bit % 8);
      weights = dimr_weights_open_bytes (bytes, "flipped.pth", NULL, &error);
      if (weights == NULL)
        {
          g_assert_true (error->domain == DIMR_ERROR);
          g_assert_true (g_str_has_prefix (error->message, "flipped.pth was refused at byte "));
          n_refused++;
          continue;
        }
      g_assert_no_error (error);
      for (const char **name = dimr_weights_peek_names (weights); *name != NULL; name++)
        g_free (dimr_tensor_dup_f32 (dimr_weights_peek (weights, *name)));
    }
  g_assert_cmpuint (n_refused, >, size); /* more than one bit in eight matters */
}

static void
test_model_equals_its_safetensors (gconstpointer folder)
{
  g_autofree char *pth = g_build_filename (folder, "model.pth", NULL);
  g_autofree char *safetensors = g_build_filename (folder, "model.safetensors", NULL);
  g_autoptr (DimrWeights) got = open_ok (pth), expected = open_ok (safetensors);

  assert_same_weights (got, expected);
  g_assert_cmpstr (dimr_weights_get_table (got), ==, NULL);
}

/* Every safetensors file below @folder but those made to be bad; returns how many. */
static guint
read_all_below (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  guint n = 0;

  g_assert_nonnull (dir);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR) && strcmp (name, "bad") != 0)
        n += read_all_below (path);
      else if (g_str_has_suffix (name, ".safetensors") && !g_file_test (path, G_FILE_TEST_IS_DIR))
        {
          g_autoptr (DimrWeights) weights = open_ok (path);

          g_assert_cmpuint (dimr_weights_get_n_tensors (weights), >, 0);
          n++;
        }
    }
  return n;
}

static void
test_all_reference_data_is_read (gconstpointer folder)
{
  g_assert_cmpuint (read_all_below (folder), >=, 40);
}

static void
test_tensors_outlive_the_weights (void)
{
  g_autoptr (DimrTensor) tensor = NULL;
  g_autofree float *values = NULL;

  {
    g_autoptr (DimrWeights) weights = open_ok (FORMATS "good/st_escapes.safetensors");
    tensor = dimr_tensor_ref (dimr_weights_peek (weights, "zz"));
  }
  values = dimr_tensor_dup_f32 (tensor);
  g_assert_cmpfloat (values[0], ==, 1.5f);
  g_assert_cmpfloat (values[1], ==, -2.f);
}

/* Reading ahead and letting go change where numbers lie, never what they are; what is no part of the file is left alone. */
static void
test_pages_come_and_go (void)
{
  static const char *const files[] = { "C2_n1_n6_k5/model.pth", "C2_n1_n6_k5/model.safetensors" };
  const DimrShape shape = DIMR_SHAPE (3, 2048);
  g_autofree float *values = g_new0 (float, 3 * 2048);
  g_autoptr (DimrTensor) stranger = dimr_tensor_new_copy (DIMR_DTYPE_F32, &shape, values);

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_build_filename (TEST_DATA_DIR "/reference", files[i], NULL);
      g_autoptr (DimrWeights) weights = open_ok (path), untouched = open_ok (path);
      const char **names = dimr_weights_peek_names (weights);

      for (guint round = 0; round < 2; round++)
        for (guint k = 0; names[k] != NULL; k++)
          {
            DimrTensor *tensor = dimr_weights_peek (weights, names[k]);

            dimr_weights_prefetch (weights, tensor);
            dimr_weights_release (weights, tensor);
          }
      dimr_weights_prefetch (weights, stranger);
      dimr_weights_release (weights, stranger);
      assert_same_weights (weights, untouched);
    }
  g_assert_cmpmem (dimr_tensor_peek_data (stranger), dimr_tensor_get_n_bytes (stranger), values, 3 * 2048 * sizeof *values);
}

static void
test_table_made_in_memory (void)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  const float data[6] = { 1, 2, 3, 4, 5, 6 };
  DimrShape shape = DIMR_SHAPE (2, 3), scalar = DIMR_SHAPE_SCALAR;
  g_autoptr (DimrWeights) weights = NULL, same = NULL;

  g_hash_table_insert (tensors, g_strdup ("b"), dimr_tensor_new_copy (DIMR_DTYPE_F32, &shape, data));
  g_hash_table_insert (tensors, g_strdup ("a"), dimr_tensor_new_copy (DIMR_DTYPE_F32, &scalar, data));
  weights = dimr_weights_new_for_tensors (tensors);
  g_assert_cmpstr (dimr_weights_get_format (weights), ==, "memory");
  g_assert_null (dimr_weights_get_path (weights));
  g_assert_null (dimr_weights_get_metadata (weights, "k"));
  g_assert_cmpuint (dimr_weights_get_n_bytes (weights), ==, 28);
  g_assert_cmpstr (dimr_weights_peek_names (weights)[0], ==, "a");
  g_assert_cmpstr (dimr_weights_peek_names (weights)[1], ==, "b");
  g_assert_null (dimr_weights_peek (weights, "c"));
  same = dimr_weights_ref (weights);
  g_clear_pointer (&weights, dimr_weights_unref);
  g_assert_cmpuint (dimr_weights_get_n_tensors (same), ==, 2);
}

static void
add_models_of (const char *root)
{
  g_autoptr (GDir) dir = g_dir_open (root, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      char *folder = g_build_filename (root, name, NULL);
      g_autofree char *pth = g_build_filename (folder, "model.pth", NULL);
      g_autofree char *path = g_strconcat ("/weights/model-equals-its-safetensors/full/", name, NULL);

      if (g_file_test (pth, G_FILE_TEST_EXISTS))
        g_test_add_data_func_full (path, folder, test_model_equals_its_safetensors, g_free);
      else
        g_free (folder);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autofree char *name = g_strconcat ("/weights/good/", good[i][1], "-equals-its-expectation", NULL);
      g_test_add_data_func (name, good[i], test_checkpoint_equals_its_expectation);
    }
  g_test_add_func ("/weights/good/none-is-left-out", test_no_good_checkpoint_is_left_out);
  g_test_add_data_func ("/weights/safetensors/escapes-in-names", "st_escapes.safetensors", test_safetensors_by_hand);
  g_test_add_data_func ("/weights/safetensors/spaces-and-utf8", "st_utf8_pretty.safetensors", test_safetensors_by_hand);
  g_test_add_func ("/weights/bad/every-file-is-refused", test_every_bad_file_is_refused);
  g_test_add_func ("/weights/bad/refusal-says-what-was-asked-for", test_refusal_says_what_was_asked_for);
  g_test_add_func ("/weights/bad/training-state-is-named", test_training_state_is_named);
  g_test_add_func ("/weights/bad/strangers-are-named", test_strangers_are_named);
  g_test_add_func ("/weights/bad/what-is-no-file-is-said", test_what_is_no_file_is_said);
  for (guint i = 0; i < G_N_ELEMENTS (seeds); i++)
    {
      g_autofree char *base = g_path_get_basename (seeds[i]);
      g_autofree char *cut = g_strconcat ("/weights/damage/every-truncation-is-refused/", base, NULL);
      g_autofree char *flip = g_strconcat ("/weights/damage/every-flipped-bit-is-survived/", base, NULL);

      g_test_add_data_func (cut, seeds[i], test_every_truncation_is_refused);
      g_test_add_data_func (flip, seeds[i], test_every_flipped_bit_is_survived);
    }
  g_test_add_data_func ("/weights/model-equals-its-safetensors/bundled", TEST_DATA_DIR "/reference/C2_n1_n6_k5",
                        test_model_equals_its_safetensors);
  g_test_add_data_func ("/weights/all-reference-data-is-read/bundled", TEST_DATA_DIR "/reference",
                        test_all_reference_data_is_read);
  if (g_getenv ("DIMR_REFERENCE_DIR") != NULL)
    {
      add_models_of (g_getenv ("DIMR_REFERENCE_DIR"));
      g_test_add_data_func ("/weights/all-reference-data-is-read/full", g_getenv ("DIMR_REFERENCE_DIR"),
                            test_all_reference_data_is_read);
    }
  g_test_add_func ("/weights/tensors-outlive-the-weights", test_tensors_outlive_the_weights);
  g_test_add_func ("/weights/pages-come-and-go", test_pages_come_and_go);
  g_test_add_func ("/weights/table-made-in-memory", test_table_made_in_memory);
  return g_test_run ();
}
