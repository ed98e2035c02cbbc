/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-encoder.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

struct _DimrEncoder
{
  DimrPlan *plan;
  DimrProgram *program;
  gsize n_pixels;   /* numbers of a picture */
  gsize n_moments;
};

DimrEncoder *
dimr_encoder_new (DimrAutoencoder  *autoencoder,
                  DimrDevice       *device,
                  DimrPrecision     precision,
                  guint             height,
                  guint             width,
                  GCancellable     *cancellable,
                  GError          **error)
{
  g_autoptr (DimrEncoder) self = NULL;
  g_autoptr (DimrGraph) graph = NULL;
  const DimrAutoencoderConfig *config;
  const gsize factor = dimr_autoencoder_get_factor (dimr_autoencoder_peek_config (autoencoder));
  DimrNodeId output;

  g_return_val_if_fail (DIMR_IS_AUTOENCODER (autoencoder) && DIMR_IS_DEVICE (device), NULL);

  config = dimr_autoencoder_peek_config (autoencoder);
  if (config->encoder_blocks == 0)
    {
      dimr_error_set (error, DIMR_ERROR_MODEL, _("%s: this autoencoder has no encoder"), dimr_autoencoder_get_path (autoencoder));
      return NULL;
    }
  graph = dimr_autoencoder_build_encoder (config, 1, height, width, error);
  if (graph == NULL)
    return NULL;
  self = g_new0 (DimrEncoder, 1);
  self->n_pixels = (gsize) config->image_channels * height * width;
  self->n_moments = (gsize) 2 * config->latent_channels * (height / factor) * (width / factor);
  output = dimr_graph_find (graph, "quant_conv");
  self->plan = dimr_plan_new (graph, &output, 1, device, precision, error);
  if (self->plan == NULL)
    return NULL;
  self->program = dimr_device_compile (device, self->plan, dimr_autoencoder_peek_weights (autoencoder), cancellable, error);
  return self->program != NULL ? g_steal_pointer (&self) : NULL;
}

void
dimr_encoder_free (DimrEncoder *self)
{
  g_return_if_fail (self != NULL);
  g_clear_object (&self->program);
  g_clear_pointer (&self->plan, dimr_plan_unref);
  g_free (self);
}

gboolean
dimr_encoder_encode (DimrEncoder   *self,
                     const float   *picture,
                     float         *moments,
                     GCancellable  *cancellable,
                     GError       **error)
{
  g_return_val_if_fail (self != NULL && picture != NULL && moments != NULL, FALSE);

  dimr_program_write (self->program, dimr_plan_get_input (self->plan, "image"), picture, self->n_pixels * sizeof *picture);
  if (!dimr_program_run (self->program, cancellable, error))
    return FALSE;
  dimr_program_read (self->program, dimr_plan_get_output (self->plan, 0), moments, self->n_moments);
  return TRUE;
}
