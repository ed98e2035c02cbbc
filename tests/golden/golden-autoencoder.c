/* SPDX-License-Identifier: Apache-2.0 */
#include "golden-autoencoder.h"

#include "core/weights/dimr-safetensors-writer.h"
#include "tests/reference.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

static char *folder;

static GBytes *
read_zipped (const char *path)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInputStream) raw = g_file_read (file, NULL, NULL);
  g_autoptr (GZlibDecompressor) decompressor = g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP);
  g_autoptr (GInputStream) stream = g_converter_input_stream_new (G_INPUT_STREAM (raw), G_CONVERTER (decompressor));
  g_autoptr (GOutputStream) memory = g_memory_output_stream_new_resizable ();
  g_autoptr (GError) error = NULL;

  g_output_stream_splice (memory, stream, G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL, &error);
  g_assert_no_error (error);
  return g_memory_output_stream_steal_as_bytes (G_MEMORY_OUTPUT_STREAM (memory));
}

static void
write_parts (const char *path,
             const char *head,
             gsize       head_size,
             const char *data,
             gsize       data_size)
{
  g_autoptr (GString) all = g_string_new_len (head, (gssize) head_size);
  g_autoptr (GError) error = NULL;

  g_string_append_len (all, data, (gssize) data_size);
  g_file_set_contents (path, all->str, (gssize) all->len, &error);
  g_assert_no_error (error);
}

static void
make_folder (void)
{
  if (folder == NULL)
    folder = g_dir_make_tmp ("dimr-autoencoder-XXXXXX", NULL);
  g_assert_nonnull (folder);
}

char *
golden_autoencoder_unpack (const char *layout)
{
  g_autofree char *zipped = reference_path ("G_vae/vae_ldm.safetensors.gz");
  g_autofree char *name = g_strdup_printf ("%s.safetensors", layout);
  g_autofree char *path = NULL;
  g_autoptr (GBytes) bytes = NULL;
  const char *data;
  gsize size;
  guint64 header;

  if (zipped == NULL)
    return NULL;
  make_folder ();
  path = g_build_filename (folder, name, NULL);
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&path);

  bytes = read_zipped (zipped);
  data = g_bytes_get_data (bytes, &size);
  memcpy (&header, data, 8);
  header = 8 + GUINT64_FROM_LE (header);
  if (strcmp (layout, "ldm") == 0)
    write_parts (path, data, header, data + header, size - header);
  else
    {
      /* The same numbers under other names. */
      g_autofree char *head_name = g_strdup_printf ("G_vae/vae_%s.header", layout);
      g_autofree char *head_path = reference_path (head_name);
      g_autofree char *head = NULL;
      gsize head_size;

      g_assert_nonnull (head_path);
      g_assert_true (g_file_get_contents (head_path, &head, &head_size, NULL));
      write_parts (path, head, head_size, data + header, size - header);
    }
  return g_steal_pointer (&path);
}

/* Numbers for indices (transfer full). */
static DimrTensor *
look_up (DimrTensor *indices,
         DimrTensor *values)
{
  const gsize n = dimr_tensor_get_n_elements (indices), n_values = dimr_tensor_get_n_elements (values);
  const guint8 *index = dimr_tensor_peek_data (indices);
  g_autofree float *value = dimr_tensor_dup_f32 (values);
  float *data = g_new (float, n);

  for (gsize i = 0; i < n; i++)
    {
      g_assert_cmpuint (index[i], <, n_values);
      data[i] = value[index[i]];
    }
  return dimr_tensor_new_take (DIMR_DTYPE_F32, dimr_tensor_peek_shape (indices), data);
}

char *
golden_autoencoder_unpack_decoder (void)
{
  g_autofree char *zipped = reference_path ("G_vae/decoder.safetensors.gz"), *packed = NULL;
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  g_autoptr (GBytes) bytes = read_zipped (zipped);
  g_autoptr (DimrWeights) coded = NULL;
  g_autoptr (DimrWeights) decoder = NULL;
  g_autoptr (GError) error = NULL;
  char *path;

  make_folder ();
  packed = g_build_filename (folder, "packed.safetensors", NULL);
  path = g_build_filename (folder, "decoder.safetensors", NULL);
  g_file_set_contents (packed, g_bytes_get_data (bytes, NULL), (gssize) g_bytes_get_size (bytes), &error);
  g_assert_no_error (error);
  coded = dimr_weights_open (packed, NULL, &error);
  g_assert_no_error (error);
  for (const char **name = dimr_weights_peek_names (coded); *name != NULL; name++)
    {
      g_autofree char *values = g_strconcat (*name, ".values", NULL);

      if (!g_str_has_suffix (*name, ".values"))
        g_hash_table_insert (tensors, g_strdup (*name), look_up (dimr_weights_peek (coded, *name), dimr_weights_peek (coded, values)));
    }
  decoder = dimr_weights_new_for_tensors (tensors);
  dimr_weights_convert (decoder, path, NULL, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  return path;
}

void
golden_autoencoder_remove (void)
{
  static const char * const layouts[] = { "ldm", "hf_old", "hf_new", "packed", "decoder" };

  if (folder == NULL)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (layouts); i++)
    {
      g_autofree char *name = g_strdup_printf ("%s.safetensors", layouts[i]);
      g_autofree char *path = g_build_filename (folder, name, NULL);

      g_unlink (path);
    }
  g_rmdir (folder);
  g_clear_pointer (&folder, g_free);
}
