/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-sample-sheet.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/base/dimr-rng.h"
#include "core/diffusion/dimr-walk.h"
#include "core/image/dimr-png.h"

#include <string.h>

#define GAP 2 /* pixels around each picture */

/* Pictures [row, column, 3, side, side] on a light ground. */
static DimrImage *
make_grid (const float *pictures,
           guint        rows,
           guint        columns,
           guint        side)
{
  const guint cell = side + GAP, width = columns * cell + GAP, height = rows * cell + GAP;
  guint8 *pixels = g_malloc ((gsize) width * height * 4);
  g_autoptr (GBytes) bytes = NULL;

  memset (pixels, 0xff, (gsize) width * height * 4);
  for (guint i = 0; i < rows * columns; i++)
    {
      g_autoptr (DimrImage) picture = dimr_image_new_planar (side, side, pictures + (gsize) i * 3 * side * side);
      const guint8 *from = g_bytes_get_data (dimr_image_peek_pixels (picture), NULL);

      for (guint y = 0; y < side; y++)
        memcpy (pixels + (((gsize) i / columns * cell + GAP + y) * width + i % columns * cell + GAP) * 4,
                from + (gsize) y * side * 4, (gsize) side * 4);
    }
  bytes = g_bytes_new_take (pixels, (gsize) width * height * 4);
  return dimr_image_new (width, height, bytes);
}

/* One row after the other, so that the memory is that of a row. */
static gboolean
draw_rows (DimrDenoiser            *denoiser,
           DimrModel               *model,
           const DimrSheetOptions  *options,
           const DimrGuidance      *guidance,
           float                   *pictures,
           GCancellable            *cancellable,
           GError                 **error)
{
  const gsize each = dimr_denoiser_get_image_len (denoiser);
  const guint columns = options->n_columns;
  const DimrWalkSettings settings = {
    .sampler = dimr_model_get_default_sampler (model),
    .time_grid = DIMR_TIME_GRID_UNIFORM,
    .n_steps = options->n_steps,
    .guidance = *guidance,
  };
  g_autofree float *start = g_new (float, columns * each);
  g_autofree int *y = g_new (int, columns);

  for (guint c = 0; c < columns; c++)
    dimr_rng_normal (options->seed, c, DIMR_STREAM_START_NOISE, 0, start + c * each, each);
  for (guint row = 0; row < options->n_classes; row++)
    {
      g_autoptr (DimrWalk) walk = NULL;
      const float *x;

      for (guint c = 0; c < columns; c++)
        y[c] = options->classes != NULL ? options->classes[row] : DIMR_CLASS_NONE;
      walk = dimr_walk_new (denoiser, &settings, start, y, columns, cancellable, error);
      if (walk == NULL)
        return FALSE;
      while (dimr_walk_get_step (walk) < dimr_walk_get_n_steps (walk))
        if (!dimr_walk_advance (walk, cancellable, error))
          return FALSE;
      if (!dimr_walk_read_x (walk, &x, error))
        return FALSE;
      memcpy (pictures + row * columns * each, x, columns * each * sizeof *x);
    }
  return TRUE;
}

gboolean
dimr_sample_sheet_save (DimrModel               *model,
                        DimrDevice              *device,
                        const DimrSheetOptions  *options,
                        const char              *path,
                        GCancellable            *cancellable,
                        GError                 **error)
{
  const DimrConfig *config = dimr_model_peek_config (model);
  const DimrGuidance guidance = { DIMR_GUIDANCE_CONSTANT, options->cfg, 2 };
  const DimrDenoiserSettings settings = {
    .precision = DIMR_PRECISION_F32,
    .micro_batch = dimr_device_get_micro_batch (device),
    .guided = dimr_guidance_is_on (&guidance) && dimr_model_is_conditional (model),
  };
  g_autoptr (DimrDenoiser) denoiser = NULL;
  g_autoptr (DimrImage) grid = NULL;
  g_autofree float *pictures = NULL;

  if (config->channels != 3)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED, _("A sample sheet needs a model of pixels, not of latents"));
      return FALSE;
    }
  denoiser = dimr_denoiser_new (model, device, &settings, cancellable, error);
  if (denoiser == NULL)
    return FALSE;
  pictures = g_new (float, (gsize) options->n_classes * options->n_columns * dimr_denoiser_get_image_len (denoiser));
  if (!draw_rows (denoiser, model, options, &guidance, pictures, cancellable, error))
    return FALSE;
  grid = make_grid (pictures, options->n_classes, options->n_columns, config->image_size);
  return dimr_png_save (path, grid, NULL, error);
}
