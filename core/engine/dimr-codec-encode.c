/* dimr-codec-encode.c — pictures to latents: a tensor, PNG files, or class folders with their labels
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/engine/dimr-codec-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/base/dimr-rng.h"
#include "core/engine/dimr-encoder.h"
#include "core/image/dimr-png.h"
#include "core/train/dimr-dataset.h"
#include "core/weights/dimr-safetensors-stream.h"

#include <string.h>

/* Of the pictures that the paper's latent models learn from. */
#define DEFAULT_SIDE 256

/* What is encoded: a tensor of pictures, PNG files, or a set of them with classes. */
typedef struct
{
  DimrWeights *file;
  DimrTensor *image; /* of @file, or NULL */
  DimrTensor *noise; /* NULL: the seed's */
  GPtrArray *paths;  /* of PNG files, or NULL */
  DimrDataset *set;  /* or NULL */
  guint n;
  guint height;
  guint width;
} Source;

static void
source_clear (Source *self)
{
  g_clear_pointer (&self->file, dimr_weights_unref);
  g_clear_pointer (&self->paths, g_ptr_array_unref);
  g_clear_pointer (&self->set, dimr_dataset_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Source, source_clear)

static int
compare_paths (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char * const *) a, *(const char * const *) b);
}

static gboolean
is_png (const char *name)
{
  g_autofree char *lower = g_ascii_strdown (name, -1);

  return g_str_has_suffix (lower, ".png");
}

static gboolean
list_pictures (Source      *self,
               const char  *input,
               GError     **error)
{
  g_autoptr (GError) reason = NULL;
  g_autoptr (GDir) dir = NULL;
  const char *name;

  self->paths = g_ptr_array_new_with_free_func (g_free);
  if (!g_file_test (input, G_FILE_TEST_IS_DIR))
    {
      g_ptr_array_add (self->paths, g_strdup (input));
      self->n = 1;
      return TRUE;
    }
  dir = g_dir_open (input, 0, &reason);
  if (dir == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("The folder cannot be read: %s"), reason->message);
      return FALSE;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    if (is_png (name))
      g_ptr_array_add (self->paths, g_build_filename (input, name, NULL));
  g_ptr_array_sort (self->paths, compare_paths);
  self->n = self->paths->len;
  if (self->n > 0 && self->n <= DIMR_CODEC_MAX_BATCH)
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_REQUEST, self->n == 0 ? _("%s: there are no PNG files in this folder")
                                                                      : _("%s: there are more PNG files in this folder than fit into one tensor"), input);
  return FALSE;
}

/* Class folders, or a tar of them: an archive, or a folder of folders without PNG files of its own. */
static gboolean
is_set (const char *input)
{
  g_autoptr (GDir) dir = NULL;
  gboolean folders = FALSE;
  const char *name;

  if (!g_file_test (input, G_FILE_TEST_IS_DIR))
    return g_str_has_suffix (input, ".tar");
  dir = g_dir_open (input, 0, NULL);
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (input, name, NULL);

      if (is_png (name))
        return FALSE;
      folders |= name[0] != '.' && g_file_test (path, G_FILE_TEST_IS_DIR);
    }
  return folders;
}

static gboolean
open_set (Source        *self,
          const char    *input,
          guint          side,
          GCancellable  *cancellable,
          GError       **error)
{
  self->set = dimr_dataset_open (input, 0, 3, side, cancellable, error);
  if (self->set == NULL)
    return FALSE;
  self->height = self->width = side;
  self->n = (guint) MIN (dimr_dataset_get_n (self->set), G_MAXUINT);
  if (self->n <= DIMR_CODEC_MAX_BATCH)
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_REQUEST, _("%s: there are more pictures in it than fit into one tensor"), input);
  return FALSE;
}

static gboolean
open_source (Source                       *self,
             const DimrCodecRequest       *request,
             const DimrAutoencoderConfig  *config,
             GCancellable                 *cancellable,
             GError                      **error)
{
  const char *input = request->input;
  const DimrShape *shape;

  if (is_set (input))
    return open_set (self, input, request->side > 0 ? request->side : DEFAULT_SIDE, cancellable, error);
  if (g_file_test (input, G_FILE_TEST_IS_DIR) || is_png (input))
    {
      g_autoptr (DimrImage) first = NULL;

      if (!list_pictures (self, input, error))
        return FALSE;
      first = dimr_png_load (g_ptr_array_index (self->paths, 0), NULL, error);
      if (first == NULL)
        return FALSE;
      self->height = dimr_image_get_height (first);
      self->width = dimr_image_get_width (first);
      return TRUE;
    }
  self->file = dimr_weights_open (input, cancellable, error);
  self->image = self->file != NULL ? dimr_codec_require (self->file, "image", config->image_channels, error) : NULL;
  if (self->image == NULL)
    return FALSE;
  shape = dimr_tensor_peek_shape (self->image);
  self->n = (guint) shape->dims[0];
  self->height = (guint) shape->dims[2];
  self->width = (guint) shape->dims[3];
  if (dimr_weights_peek (self->file, "noise") == NULL)
    return TRUE;
  self->noise = dimr_codec_require (self->file, "noise", config->latent_channels, error);
  if (self->noise == NULL)
    return FALSE;
  shape = dimr_tensor_peek_shape (self->noise);
  if (shape->dims[0] == self->n && shape->dims[2] == self->height / dimr_autoencoder_get_factor (config) &&
      shape->dims[3] == self->width / dimr_autoencoder_get_factor (config))
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_REQUEST, _("%s: the tensor 'noise' has not the size of the latents of 'image'"), input);
  return FALSE;
}

/* 0 … 255 → [−1, 1]; what is transparent is white. */
static void
unpack_pixels (DimrImage *image,
               float     *planes)
{
  const guint8 *pixels = g_bytes_get_data (dimr_image_peek_pixels (image), NULL);
  const gsize n = (gsize) dimr_image_get_height (image) * dimr_image_get_width (image);

  for (gsize i = 0; i < n; i++)
    for (guint c = 0; c < 3; c++)
      {
        const float alpha = pixels[4 * i + 3] / 255.f;

        planes[c * n + i] = (pixels[4 * i + c] * alpha + 255.f * (1 - alpha)) / 127.5f - 1;
      }
}

static gboolean
read_picture (const Source  *self,
              guint          index,
              float         *planes,
              GError       **error)
{
  const gsize len = (gsize) 3 * self->height * self->width;
  g_autoptr (DimrImage) image = NULL;
  const char *path;

  if (self->set != NULL)
    return dimr_dataset_read (self->set, index, 0, FALSE, planes, error);
  if (self->image != NULL)
    {
      dimr_tensor_read_f32 (self->image, index * len, len, planes);
      return TRUE;
    }
  path = g_ptr_array_index (self->paths, index);
  image = dimr_png_load (path, NULL, error);
  if (image == NULL)
    return FALSE;
  if (dimr_image_get_height (image) != self->height || dimr_image_get_width (image) != self->width)
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST, _("%s is %u × %u, but the pictures before it are %u × %u: one tensor holds one size"),
                      path, dimr_image_get_width (image), dimr_image_get_height (image), self->width, self->height);
      return FALSE;
    }
  unpack_pixels (image, planes);
  return TRUE;
}

/* The name of picture @index, of a set with its class folder (transfer full); NULL where it has none. */
static char *
dup_name (const Source *self,
          guint         index)
{
  if (self->set != NULL)
    return dimr_dataset_dup_name (self->set, index);
  return self->paths != NULL ? g_filename_display_basename (g_ptr_array_index (self->paths, index)) : NULL;
}

/* "names": of the files, one a line, and "classes": number and folder of each, likewise; NULL where there are no files (transfer full). */
static GHashTable *
make_metadata (const Source *self)
{
  GHashTable *metadata;
  g_autoptr (GString) names = g_string_new (NULL), classes = g_string_new (NULL);
  const int *numbers;
  guint n_classes = 0;

  if (self->paths == NULL && self->set == NULL)
    return NULL;
  for (guint i = 0; i < self->n; i++)
    {
      g_autofree char *name = dup_name (self, i);

      g_string_append_printf (names, "%s%s", i > 0 ? "\n" : "", name);
    }
  metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_insert (metadata, g_strdup ("names"), g_strdup (names->str));
  if (self->set == NULL)
    return metadata;
  numbers = dimr_dataset_peek_classes (self->set, &n_classes);
  for (guint i = 0; i < n_classes; i++)
    {
      g_autofree char *name = dimr_dataset_dup_class_name (self->set, numbers[i]);

      g_string_append_printf (classes, "%s%d %s", i > 0 ? "\n" : "", numbers[i], name);
    }
  g_hash_table_insert (metadata, g_strdup ("classes"), g_strdup (classes->str));
  return metadata;
}

/* Slots of the file; "y", the classes of a set, is there with one only. */
enum { MOMENTS, Z, Y };

static gboolean
encode_all (const DimrCodecRequest       *request,
            DimrEncoder                  *encoder,
            const DimrAutoencoderConfig  *config,
            const Source                 *source,
            GCancellable                 *cancellable,
            GError                      **error)
{
  const guint factor = dimr_autoencoder_get_factor (config);
  const gint64 h = source->height / factor, w = source->width / factor, c = config->latent_channels;
  const DimrSafetensorsSlot slots[] = {
    [MOMENTS] = { "moments", DIMR_DTYPE_F32, DIMR_SHAPE (source->n, 2 * c, h, w) },
    [Z] = { "z", DIMR_DTYPE_F32, DIMR_SHAPE (source->n, c, h, w) },
    [Y] = { "y", DIMR_DTYPE_I64, DIMR_SHAPE (source->n) },
  };
  const gsize len = (gsize) (c * h * w);
  g_autofree float *picture = g_new (float, (gsize) 3 * source->height * source->width);
  g_autofree float *noise = g_new (float, len);
  g_autofree float *moments = g_new (float, 2 * len);
  g_autofree float *z = g_new (float, len);
  g_autoptr (GHashTable) metadata = make_metadata (source);
  g_autoptr (DimrSafetensorsStream) stream = NULL;

  stream = dimr_safetensors_stream_new (request->output, slots, source->set != NULL ? 3 : 2, metadata, error);
  if (stream == NULL)
    return FALSE;
  for (guint i = 0; i < source->n; i++)
    {
      DimrCodecPosition position = { request, i, source->n };
      const gint64 label = source->set != NULL ? dimr_dataset_get_class (source->set, i) : 0;
      g_autofree char *name = dup_name (source, i);

      if (!read_picture (source, i, picture, error) ||
          !dimr_encoder_encode (encoder, picture, moments, cancellable, error))
        return FALSE;
      if (source->noise != NULL)
        dimr_tensor_read_f32 (source->noise, i * len, len, noise);
      else
        dimr_rng_normal (request->seed, i, DIMR_STREAM_LATENT_NOISE, 0, noise, len);
      dimr_autoencoder_sample (moments, noise, len, z);
      if (!dimr_safetensors_stream_put (stream, MOMENTS, 2 * i * len, 2 * len, moments, error) ||
          !dimr_safetensors_stream_put (stream, Z, i * len, len, z, error) ||
          (source->set != NULL && !dimr_safetensors_stream_put (stream, Y, i, 1, &label, error)))
        return FALSE;
      dimr_codec_report (&position, 1, source->paths != NULL ? g_ptr_array_index (source->paths, i) : name);
    }
  return dimr_safetensors_stream_finish (stream, error);
}

gboolean
dimr_codec_encode (const DimrCodecRequest  *request,
                   DimrCodecResult         *result,
                   GCancellable            *cancellable,
                   GError                 **error)
{
  g_autoptr (DimrAutoencoder) autoencoder = NULL;
  g_autoptr (DimrDevice) device = NULL;
  g_autoptr (DimrEncoder) encoder = NULL;
  g_auto (Source) source = { 0 };
  const DimrAutoencoderConfig *config;

  g_return_val_if_fail (request != NULL && result != NULL, FALSE);

  autoencoder = dimr_autoencoder_load (request->autoencoder, cancellable, error);
  if (autoencoder == NULL)
    return FALSE;
  config = dimr_autoencoder_peek_config (autoencoder);
  if (!open_source (&source, request, config, cancellable, error))
    return FALSE;
  device = dimr_device_open (request->device, request->n_threads, error);
  if (device == NULL)
    return FALSE;
  encoder = dimr_encoder_new (autoencoder, device, dimr_codec_choose_precision (request, device), source.height, source.width, cancellable, error);
  if (encoder == NULL)
    return FALSE;
  *result = (DimrCodecResult){ .n_pictures = source.n, .height = source.height, .width = source.width, .n_tiles = 1 };
  return encode_all (request, encoder, config, &source, cancellable, error);
}
