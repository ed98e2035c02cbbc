/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-codec-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/engine/dimr-decoder.h"
#include "core/image/dimr-png.h"
#include "core/weights/dimr-safetensors-stream.h"

#include <errno.h>
#include <glib/gstdio.h>

DimrTensor *
dimr_codec_require (DimrWeights  *file,
                    const char   *name,
                    gint64        channels,
                    GError      **error)
{
  DimrTensor *tensor = dimr_weights_peek (file, name);
  const DimrShape *shape = tensor != NULL ? dimr_tensor_peek_shape (tensor) : NULL;
  g_autofree char *text = NULL;

  if (shape != NULL && shape->n_dims == 4 && shape->dims[0] >= 1 && shape->dims[0] <= DIMR_CODEC_MAX_BATCH && shape->dims[1] == channels &&
      shape->dims[2] >= 1 && shape->dims[2] <= 65536 && shape->dims[3] >= 1 && shape->dims[3] <= 65536)
    return tensor;
  text = shape != NULL ? dimr_shape_to_string (shape) : NULL;
  if (shape == NULL)
    dimr_error_set (error, DIMR_ERROR_REQUEST, _("%s: there is no tensor '%s' in it"), dimr_weights_get_path (file), name);
  else
    dimr_error_set (error, DIMR_ERROR_REQUEST, _("%s: the tensor '%s' is %s, not [B, %" PRId64 ", H, W]"),
                    dimr_weights_get_path (file), name, text, channels);
  return NULL;
}

void
dimr_codec_report (const DimrCodecPosition *self,
                   double                   fraction,
                   const char              *path)
{
  if (self->request->progress != NULL)
    self->request->progress ((self->index + fraction) / self->n, self->index, path, self->request->user_data);
}

static void
on_decoded (double   fraction,
            gpointer user_data)
{
  if (fraction < 1)
    dimr_codec_report (user_data, fraction, NULL);
}

DimrPrecision
dimr_codec_choose_precision (const DimrCodecRequest *request,
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
  dimr_error_set (error, DIMR_ERROR_FILE, _("The folder %s cannot be made: %s"), path, g_strerror (errno));
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
  const DimrSafetensorsSlot slot = { "decoded", DIMR_DTYPE_F32, DIMR_SHAPE (result->n_pictures, 3, result->height, result->width) };
  const gsize z_len = dimr_tensor_get_n_elements (z) / result->n_pictures, len = (gsize) 3 * result->height * result->width;
  g_autofree float *latent = g_new (float, z_len);
  g_autofree float *picture = g_try_new (float, len);
  g_autoptr (DimrSafetensorsStream) stream = NULL;

  if (picture == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_MEMORY, _("There is not enough memory for a picture of %u × %u; decode smaller latents"),
                      result->width, result->height);
      return FALSE;
    }
  if (one_file)
    stream = dimr_safetensors_stream_new (request->output, &slot, 1, NULL, error);
  if (one_file ? stream == NULL : !make_folder (request->output, error))
    return FALSE;
  for (guint i = 0; i < result->n_pictures; i++)
    {
      DimrCodecPosition position = { request, i, result->n_pictures };
      g_autofree char *path = NULL;

      dimr_tensor_read_f32 (z, i * z_len, z_len, latent);
      if (!dimr_decoder_decode (decoder, latent, picture, on_decoded, &position, cancellable, error) ||
          (one_file ? !dimr_safetensors_stream_put (stream, 0, i * len, len, picture, error)
                    : !save_picture (request->output, i, result->height, result->width, picture, &path, error)))
        return FALSE;
      dimr_codec_report (&position, 1, path);
    }
  return !one_file || dimr_safetensors_stream_finish (stream, error);
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
  z = dimr_codec_require (file, dimr_weights_peek (file, "z") == NULL && dimr_weights_peek (file, "latent") != NULL ? "latent" : "z",
               dimr_autoencoder_peek_config (autoencoder)->latent_channels, error);
  device = z != NULL ? dimr_device_open (request->device, request->n_threads, error) : NULL;
  if (device == NULL)
    return FALSE;
  settings = (DimrDecoderSettings){
    .precision = dimr_codec_choose_precision (request, device),
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
