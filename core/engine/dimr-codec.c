/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-codec.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-rng.h"
#include "core/engine/dimr-decoder.h"
#include "core/engine/dimr-encoder.h"
#include "core/image/dimr-png.h"
#include "core/weights/dimr-safetensors-writer.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#define MAX_BATCH 1000000

/* Tensors to be written, in order. */
typedef struct
{
  GPtrArray *names;
  GPtrArray *tensors;
} Output;

static void
output_clear (Output *self)
{
  g_clear_pointer (&self->names, g_ptr_array_unref);
  g_clear_pointer (&self->tensors, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Output, output_clear)

/* @data (transfer full) */
static void
output_take (Output     *self,
             const char *name,
             DimrShape   shape,
             float      *data)
{
  if (self->names == NULL)
    {
      self->names = g_ptr_array_new ();
      self->tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) dimr_tensor_unref);
    }
  g_ptr_array_add (self->names, (gpointer) name);
  g_ptr_array_add (self->tensors, dimr_tensor_new_take (DIMR_DTYPE_F32, &shape, data));
}

static gboolean
output_write (Output        *self,
              const char    *path,
              GHashTable    *metadata,
              GCancellable  *cancellable,
              GError       **error)
{
  g_ptr_array_add (self->names, NULL);
  return dimr_safetensors_write (path, (const char * const *) self->names->pdata, (DimrTensor * const *) self->tensors->pdata,
                                 metadata, cancellable, NULL, NULL, error);
}

/* Floats for a tensor of @shape (transfer full); NULL with DIMR_ERROR_MEMORY. */
static float *
try_floats (const DimrShape  *shape,
            GError          **error)
{
  guint64 bytes;
  float *data = NULL;

  if (dimr_shape_n_bytes (shape, DIMR_DTYPE_F32, &bytes) && bytes <= G_MAXSSIZE)
    data = g_try_malloc (MAX (bytes, 1));
  if (data == NULL)
    g_set_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY, "There is not enough memory for a tensor of %" G_GINT64_FORMAT " pictures; take fewer at a time",
                 shape->dims[0]);
  return data;
}

/* The tensor @name of @file: [B, @channels, H, W]. */
static DimrTensor *
require (DimrWeights  *file,
         const char   *name,
         gint64        channels,
         GError      **error)
{
  DimrTensor *tensor = dimr_weights_peek (file, name);
  const DimrShape *shape = tensor != NULL ? dimr_tensor_peek_shape (tensor) : NULL;
  g_autofree char *text = NULL;

  if (shape != NULL && shape->n_dims == 4 && shape->dims[0] >= 1 && shape->dims[0] <= MAX_BATCH && shape->dims[1] == channels &&
      shape->dims[2] >= 1 && shape->dims[2] <= 65536 && shape->dims[3] >= 1 && shape->dims[3] <= 65536)
    return tensor;
  text = shape != NULL ? dimr_shape_to_string (shape) : NULL;
  if (shape == NULL)
    g_set_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST, "%s: there is no tensor '%s' in it", dimr_weights_get_path (file), name);
  else
    g_set_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST, "%s: the tensor '%s' is %s, not [B, %" G_GINT64_FORMAT ", H, W]",
                 dimr_weights_get_path (file), name, text, channels);
  return NULL;
}

typedef struct
{
  const DimrCodecRequest *request;
  guint index;
  guint n;
} Position;

static void
report (const Position *self,
        double          fraction,
        const char     *path)
{
  if (self->request->progress != NULL)
    self->request->progress ((self->index + fraction) / self->n, self->index, path, self->request->user_data);
}

static void
on_decoded (double   fraction,
            gpointer user_data)
{
  if (fraction < 1)
    report (user_data, fraction, NULL);
}

static DimrPrecision
choose_precision (const DimrCodecRequest *request,
                  DimrDevice             *device)
{
  return request->precision != DIMR_PRECISION_AUTO ? request->precision : dimr_device_get_default_precision (device);
}

/* Saves picture @index of a folder of pictures. */
static gboolean
save_picture (const char   *folder,
              guint         index,
              guint         height,
              guint         width,
              const float  *planes,
              char        **path,
              GError      **error)
{
  g_autofree char *name = g_strdup_printf ("%06u.png", index);
  g_autoptr (DimrImage) image = dimr_image_new_planar (width, height, planes);

  *path = g_build_filename (folder, name, NULL);
  return dimr_png_save (*path, image, NULL, error);
}

static gboolean
make_folder (const char  *path,
             GError     **error)
{
  if (g_mkdir_with_parents (path, 0777) == 0)
    return TRUE;
  g_set_error (error, DIMR_ERROR, DIMR_ERROR_FILE, "The folder %s cannot be made: %s", path, g_strerror (errno));
  return FALSE;
}

static gboolean
decode_all (const DimrCodecRequest  *request,
            DimrDecoder             *decoder,
            DimrTensor              *z,
            DimrCodecResult         *result,
            GCancellable            *cancellable,
            GError                 **error)
{
  const gboolean one_file = g_str_has_suffix (request->output, ".safetensors");
  const DimrShape shape = DIMR_SHAPE (one_file ? result->n_pictures : 1, 3, result->height, result->width);
  const gsize z_len = dimr_tensor_get_n_elements (z) / result->n_pictures, len = (gsize) 3 * result->height * result->width;
  g_autofree float *latent = g_new (float, z_len);
  g_autofree float *pictures = try_floats (&shape, error);
  g_auto (Output) output = { 0 };

  if (pictures == NULL || (!one_file && !make_folder (request->output, error)))
    return FALSE;
  for (guint i = 0; i < result->n_pictures; i++)
    {
      Position position = { request, i, result->n_pictures };
      float *picture = one_file ? pictures + i * len : pictures;
      g_autofree char *path = NULL;

      dimr_tensor_read_f32 (z, i * z_len, z_len, latent);
      if (!dimr_decoder_decode (decoder, latent, picture, on_decoded, &position, cancellable, error) ||
          (!one_file && !save_picture (request->output, i, result->height, result->width, picture, &path, error)))
        return FALSE;
      report (&position, 1, path);
    }
  if (!one_file)
    return TRUE;
  output_take (&output, "decoded", shape, g_steal_pointer (&pictures));
  return output_write (&output, request->output, NULL, cancellable, error);
}

gboolean
dimr_codec_decode (const DimrCodecRequest  *request,
                   DimrCodecResult         *result,
                   GCancellable            *cancellable,
                   GError                 **error)
{
  g_autoptr (DimrAutoencoder) autoencoder = NULL;
  g_autoptr (DimrDevice) device = NULL;
  g_autoptr (DimrDecoder) decoder = NULL;
  g_autoptr (DimrWeights) file = NULL;
  DimrDecoderSettings settings;
  DimrTensor *z;

  g_return_val_if_fail (request != NULL && result != NULL, FALSE);

  autoencoder = dimr_autoencoder_load (request->autoencoder, cancellable, error);
  file = autoencoder != NULL ? dimr_weights_open (request->input, cancellable, error) : NULL;
  if (file == NULL)
    return FALSE;
  z = require (file, dimr_weights_peek (file, "z") == NULL && dimr_weights_peek (file, "latent") != NULL ? "latent" : "z",
               dimr_autoencoder_peek_config (autoencoder)->latent_channels, error);
  device = z != NULL ? dimr_device_open (request->device, request->n_threads, error) : NULL;
  if (device == NULL)
    return FALSE;
  settings = (DimrDecoderSettings){
    .precision = choose_precision (request, device),
    .height = (guint) dimr_tensor_peek_shape (z)->dims[2],
    .width = (guint) dimr_tensor_peek_shape (z)->dims[3],
    .memory = request->memory,
  };
  decoder = dimr_decoder_new (autoencoder, device, &settings, cancellable, error);
  if (decoder == NULL)
    return FALSE;
  *result = (DimrCodecResult){
    .n_pictures = (guint) dimr_tensor_peek_shape (z)->dims[0],
    .height = dimr_decoder_get_height (decoder),
    .width = dimr_decoder_get_width (decoder),
    .n_tiles = dimr_decoder_get_n_tiles (decoder),
    .memory = dimr_decoder_get_memory (decoder, NULL),
  };
  return decode_all (request, decoder, z, result, cancellable, error);
}

/* What is encoded: a tensor of pictures, or PNG files. */
typedef struct
{
  DimrWeights *file;
  DimrTensor *image; /* NULL: PNG files */
  DimrTensor *noise; /* NULL: the seed's */
  GPtrArray *paths;
  guint n;
  guint height;
  guint width;
} Source;

static void
source_clear (Source *self)
{
  g_clear_pointer (&self->file, dimr_weights_unref);
  g_clear_pointer (&self->paths, g_ptr_array_unref);
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
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_FILE, "The folder cannot be read: %s", reason->message);
      return FALSE;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    if (is_png (name))
      g_ptr_array_add (self->paths, g_build_filename (input, name, NULL));
  g_ptr_array_sort (self->paths, compare_paths);
  self->n = self->paths->len;
  if (self->n > 0 && self->n <= MAX_BATCH)
    return TRUE;
  g_set_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST, self->n == 0 ? "%s: there are no PNG files in this folder"
                                                                   : "%s: there are more PNG files in this folder than fit into one tensor", input);
  return FALSE;
}

static gboolean
open_source (Source                       *self,
             const char                   *input,
             const DimrAutoencoderConfig  *config,
             GCancellable                 *cancellable,
             GError                      **error)
{
  const DimrShape *shape;

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
  self->image = self->file != NULL ? require (self->file, "image", config->image_channels, error) : NULL;
  if (self->image == NULL)
    return FALSE;
  shape = dimr_tensor_peek_shape (self->image);
  self->n = (guint) shape->dims[0];
  self->height = (guint) shape->dims[2];
  self->width = (guint) shape->dims[3];
  if (dimr_weights_peek (self->file, "noise") == NULL)
    return TRUE;
  self->noise = require (self->file, "noise", config->latent_channels, error);
  if (self->noise == NULL)
    return FALSE;
  shape = dimr_tensor_peek_shape (self->noise);
  if (shape->dims[0] == self->n && shape->dims[2] == self->height / dimr_autoencoder_get_factor (config) &&
      shape->dims[3] == self->width / dimr_autoencoder_get_factor (config))
    return TRUE;
  g_set_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST, "%s: the tensor 'noise' has not the size of the latents of 'image'", input);
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
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST, "%s is %u × %u, but the pictures before it are %u × %u: one tensor holds one size",
                   path, dimr_image_get_width (image), dimr_image_get_height (image), self->width, self->height);
      return FALSE;
    }
  unpack_pixels (image, planes);
  return TRUE;
}

/* File names, one a line, or NULL (transfer full). */
static GHashTable *
make_metadata (const Source *self)
{
  GHashTable *metadata;
  g_autoptr (GString) names = g_string_new (NULL);

  if (self->paths == NULL)
    return NULL;
  for (guint i = 0; i < self->paths->len; i++)
    {
      g_autofree char *name = g_filename_display_basename (g_ptr_array_index (self->paths, i));

      g_string_append_printf (names, "%s%s", i > 0 ? "\n" : "", name);
    }
  metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_insert (metadata, g_strdup ("names"), g_strdup (names->str));
  return metadata;
}

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
  const DimrShape moments_shape = DIMR_SHAPE (source->n, 2 * c, h, w), z_shape = DIMR_SHAPE (source->n, c, h, w);
  const gsize len = (gsize) (c * h * w);
  g_autofree float *picture = g_new (float, (gsize) 3 * source->height * source->width);
  g_autofree float *noise = g_new (float, len);
  g_autofree float *moments = try_floats (&moments_shape, error);
  g_autofree float *z = moments != NULL ? try_floats (&z_shape, error) : NULL;
  g_autoptr (GHashTable) metadata = make_metadata (source);
  g_auto (Output) output = { 0 };

  if (z == NULL)
    return FALSE;
  for (guint i = 0; i < source->n; i++)
    {
      Position position = { request, i, source->n };

      if (!read_picture (source, i, picture, error) ||
          !dimr_encoder_encode (encoder, picture, moments + 2 * i * len, cancellable, error))
        return FALSE;
      if (source->noise != NULL)
        dimr_tensor_read_f32 (source->noise, i * len, len, noise);
      else
        dimr_rng_normal (request->seed, i, DIMR_STREAM_LATENT_NOISE, 0, noise, len);
      dimr_autoencoder_sample (moments + 2 * i * len, noise, len, z + i * len);
      report (&position, 1, source->paths != NULL ? g_ptr_array_index (source->paths, i) : NULL);
    }
  output_take (&output, "moments", moments_shape, g_steal_pointer (&moments));
  output_take (&output, "z", z_shape, g_steal_pointer (&z));
  return output_write (&output, request->output, metadata, cancellable, error);
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
  if (!open_source (&source, request->input, config, cancellable, error))
    return FALSE;
  device = dimr_device_open (request->device, request->n_threads, error);
  if (device == NULL)
    return FALSE;
  encoder = dimr_encoder_new (autoencoder, device, choose_precision (request, device), source.height, source.width, cancellable, error);
  if (encoder == NULL)
    return FALSE;
  *result = (DimrCodecResult){ .n_pictures = source.n, .height = source.height, .width = source.width, .n_tiles = 1 };
  return encode_all (request, encoder, config, &source, cancellable, error);
}
