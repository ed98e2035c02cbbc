/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-painter.h"

#include "core/base/dimr-i18n.h"
#include "core/engine/dimr-decoder.h"

struct _DimrPainter
{
  DimrDevice *device;
  DimrModel *model;       /* the prepared one */
  DimrDecoder *decoder;   /* NULL where its pictures are not decoded */
  float *picture;         /* [3, H, W] of the decoder */
  double seconds;         /* of the last decoding; 0 before the first one */
};

DimrPainter *
dimr_painter_new (DimrDevice *device)
{
  DimrPainter *self;

  g_return_val_if_fail (DIMR_IS_DEVICE (device), NULL);
  self = g_new0 (DimrPainter, 1);
  self->device = g_object_ref (device);
  return self;
}

void
dimr_painter_forget (DimrPainter *self)
{
  g_return_if_fail (self != NULL);
  g_clear_pointer (&self->decoder, dimr_decoder_free);
  g_clear_pointer (&self->picture, g_free);
  g_clear_object (&self->model);
  self->seconds = 0;
}

void
dimr_painter_free (DimrPainter *self)
{
  g_return_if_fail (self != NULL);
  dimr_painter_forget (self);
  g_clear_object (&self->device);
  g_free (self);
}

gboolean
dimr_painter_prepare (DimrPainter    *self,
                      DimrModel      *model,
                      DimrPrecision   precision,
                      GCancellable   *cancellable,
                      GError        **error)
{
  DimrAutoencoder *autoencoder;
  const guint side = dimr_model_peek_config (model)->image_size;
  const DimrDecoderSettings settings = { .precision = precision, .height = side, .width = side };

  g_return_val_if_fail (self != NULL && DIMR_IS_MODEL (model), FALSE);

  if (self->model == model && (self->decoder == NULL || dimr_decoder_peek_settings (self->decoder)->precision == precision))
    return TRUE;
  dimr_painter_forget (self);
  autoencoder = dimr_model_get_autoencoder (model);
  if (autoencoder != NULL)
    {
      self->decoder = dimr_decoder_new (autoencoder, self->device, &settings, cancellable, error);
      if (self->decoder == NULL)
        return FALSE;
      self->picture = g_new (float, (gsize) 3 * dimr_decoder_get_height (self->decoder) * dimr_decoder_get_width (self->decoder));
    }
  self->model = g_object_ref (model);
  return TRUE;
}

/* A linear fit of Stable Diffusion's decoder, one pixel a latent. Coefficients as published by the community
 * for latents scaled by 0.18215. */
static DimrImage *
project_latent (const float *latent,
                guint        size)
{
  static const float factors[4][3] = {
    { 0.3512f, 0.2297f, 0.3227f },
    { 0.3250f, 0.4974f, 0.2350f },
    { -0.2829f, 0.1762f, 0.2721f },
    { -0.2120f, -0.2616f, -0.7177f },
  };
  gsize n = (gsize) size * size;
  g_autofree float *planes = g_new0 (float, 3 * n);

  for (guint c = 0; c < 4; c++)
    for (guint k = 0; k < 3; k++)
      for (gsize i = 0; i < n; i++)
        planes[k * n + i] += factors[c][k] * latent[c * n + i];
  return dimr_image_new_planar (size, size, planes);
}

DimrImage *
dimr_painter_sketch (DimrPainter *self,
                     const float *x)
{
  const DimrConfig *config;

  g_return_val_if_fail (self != NULL && self->model != NULL && x != NULL, NULL);
  config = dimr_model_peek_config (self->model);
  return config->channels == 4 ? project_latent (x, config->image_size)
                               : dimr_image_new_planar (config->image_size, config->image_size, x);
}

DimrImage *
dimr_painter_paint (DimrPainter   *self,
                    const float   *x,
                    GCancellable  *cancellable,
                    GError       **error)
{
  const gint64 began = g_get_monotonic_time ();

  g_return_val_if_fail (self != NULL && self->model != NULL && x != NULL, NULL);
  if (self->decoder == NULL)
    return dimr_painter_sketch (self, x);
  if (!dimr_decoder_decode (self->decoder, x, self->picture, NULL, NULL, cancellable, error))
    return NULL;
  self->seconds = (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC;
  return dimr_image_new_planar (dimr_decoder_get_width (self->decoder), dimr_decoder_get_height (self->decoder), self->picture);
}

guint64
dimr_painter_get_macs (DimrPainter *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->decoder != NULL ? dimr_decoder_get_macs (self->decoder) : 0;
}

gboolean
dimr_painter_keeps_up (DimrPainter     *self,
                       DimrPreviewKind  kind,
                       guint            n,
                       double           seconds)
{
  g_return_val_if_fail (self != NULL, FALSE);

  if (self->decoder == NULL || kind == DIMR_PREVIEW_SKETCH)
    return FALSE;
  /* Before the first decoding nobody knows; that one finds out. */
  return kind == DIMR_PREVIEW_DECODED || self->seconds == 0 || self->seconds * n < seconds;
}

const char *
dimr_painter_describe_missing (DimrModel *model)
{
  g_return_val_if_fail (DIMR_IS_MODEL (model), NULL);

  if (dimr_model_peek_config (model)->channels != 4 || dimr_model_get_autoencoder (model) != NULL)
    return NULL;
  return _("This model makes latents, and Stable Diffusion's autoencoder, which makes pictures of them, was not found: "
           "what is shown is a rough projection; import autoencoder_kl_ema.pth (as published with U-ViT) or "
           "diffusion_pytorch_model.safetensors of stabilityai/sd-vae-ft-ema (Hugging Face) into the library, put it beside the model, "
           "or name it with --autoencoder or in the preferences.");
}
