/* SPDX-License-Identifier: Apache-2.0 */
#include "autoencoder-fixture.h"

#include "core/weights/dimr-safetensors-writer.h"

#include <math.h>
#include <string.h>

const DimrAutoencoderConfig autoencoder_fixture_small = {
  .latent_channels = 4, .z_channels = 4, .image_channels = 3, .n_levels = 4, .channels = { 32, 32, 64, 64 },
  .decoder_blocks = 2, .encoder_blocks = 1,
};

const DimrAutoencoderConfig autoencoder_fixture_full = {
  .latent_channels = 4, .z_channels = 4, .image_channels = 3, .n_levels = 4, .channels = { 128, 256, 512, 512 },
  .decoder_blocks = 3, .encoder_blocks = 2,
};

static double
uniform (guint32 *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state / 4294967296.;
}

/* Of unit variance; four uniform numbers are normal enough for weights. */
static double
normal (guint32 *state)
{
  return (uniform (state) + uniform (state) + uniform (state) + uniform (state) - 2) * sqrt (3);
}

static DimrTensor *
make_tensor (const char      *name,
             const DimrShape *shape)
{
  const gsize n = dimr_shape_n_elements (shape);
  float *data = g_new (float, n);
  guint32 state = g_str_hash (name) | 1;
  const gboolean norm = strstr (name, "norm") != NULL, bias = g_str_has_suffix (name, ".bias");
  double scale = norm || bias ? .2 : 1, mean = norm && !bias ? 1 : 0;

  if (!norm && !bias)
    scale = sqrt ((double) shape->dims[0] / (double) n);
  for (gsize i = 0; i < n; i++)
    data[i] = (float) (mean + scale * normal (&state));
  return dimr_tensor_new_take (DIMR_DTYPE_F32, shape, data);
}

static void
add_params (GHashTable      *tensors,
            const DimrGraph *graph)
{
  g_assert_nonnull (graph);
  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);

      if (node->op == DIMR_OP_PARAM)
        g_hash_table_insert (tensors, g_strdup (node->name), make_tensor (node->name, &node->shape));
    }
}

void
autoencoder_fixture_write (const DimrAutoencoderConfig *config,
                           const char                  *path)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  g_autoptr (DimrGraph) decoder = NULL;
  g_autoptr (DimrGraph) encoder = NULL;
  g_autoptr (DimrWeights) weights = NULL;
  g_autoptr (GError) error = NULL;

  decoder = dimr_autoencoder_build_decoder (config, &(DimrDecoderPart){ .batch = 1, .height = 1, .width = 1 }, &error);
  add_params (tensors, decoder);
  encoder = dimr_autoencoder_build_encoder (config, 1, dimr_autoencoder_get_factor (config), dimr_autoencoder_get_factor (config), &error);
  add_params (tensors, encoder);
  weights = dimr_weights_new_for_tensors (tensors);
  dimr_weights_convert (weights, path, NULL, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
}

float *
autoencoder_fixture_make_latent (guint height,
                                 guint width)
{
  float *z = g_new (float, 4 * (gsize) height * width);
  guint32 state = 7;

  for (guint c = 0; c < 4; c++)
    for (guint y = 0; y < height; y++)
      for (guint x = 0; x < width; x++)
        {
          const double v = (double) y / height, u = (double) x / width, strength = .3 + u + v;

          z[(c * height + y) * width + x] =
            (float) (strength * (.6 * sin (2 * G_PI * (u * (c + 1) + v * c)) + .4 * normal (&state)) + .5 * (u - v));
        }
  return z;
}

double
autoencoder_fixture_psnr (const float *a,
                          const float *b,
                          gsize        n)
{
  double error = 0;

  for (gsize i = 0; i < n; i++)
    error += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
  return 10 * log10 (4 / (error / (double) n));
}
