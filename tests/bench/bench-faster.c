/* bench-faster.c — what is faster but not exact: how much faster, and how far from the exact picture
 *
 *   bench-faster MODEL|VARIANT [PICTURES [STEPS [f32|bf16]]]
 *
 * MODEL is a folder or a weights file; VARIANT, such as DiMR-M/3R, has random weights, whose times are
 * right and whose errors say little. Every picture is made in every way, one way after the other, so a busy
 * machine slows all of them; a ratio is that of one picture's times. PSNR is that of the final x
 * against the exact way with the same guidance, over the range of pixels, or of the exact latents.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/base/dimr-rng.h"
#include "core/diffusion/dimr-walk.h"
#include "core/model/dimr-synthetic.h"
#include "kernels/dimr-kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 7

typedef struct
{
  const char *name;
  DimrGuidanceKind guidance;
  gboolean skip_unconditional;
  guint reuse_low_branches;
  guint exact; /* the way that it is compared with */
} Way;

static const Way ways[] = {
  { "constant guidance, exact", DIMR_GUIDANCE_CONSTANT, FALSE, 0, 0 },
  { "  lower branches every 2nd", DIMR_GUIDANCE_CONSTANT, FALSE, 2, 0 },
  { "  lower branches every 3rd", DIMR_GUIDANCE_CONSTANT, FALSE, 3, 0 },
  { "  lower branches every 5th", DIMR_GUIDANCE_CONSTANT, FALSE, 5, 0 },
  { "power-cosine guidance (4), exact", DIMR_GUIDANCE_COSINE, FALSE, 0, 4 },
  { "  no unconditional half near 1", DIMR_GUIDANCE_COSINE, TRUE, 0, 4 },
  { "  both, every 2nd", DIMR_GUIDANCE_COSINE, TRUE, 2, 4 },
};

#define N_WAYS G_N_ELEMENTS (ways)

typedef struct
{
  DimrModel *model;
  DimrDevice *device;
  DimrPrecision precision;
  guint n_steps;
  guint n_pictures;
  gsize len;
  DimrDenoiser *denoisers[2]; /* without and with the lower branches kept */
  float *x;                   /* [n_ways, C, H, W] of the picture at hand */
  double *seconds;            /* [n_pictures][N_WAYS] */
  double *psnr;               /* [n_pictures][N_WAYS] */
} Bench;

static DimrModel *
get_model (const char     *subject,
           DimrPrecision   precision,
           GError        **error)
{
  g_autoptr (DimrConfig) config = dimr_config_new_for_variant (subject);
  g_autoptr (DimrWeights) weights = NULL;

  if (config == NULL)
    return dimr_model_load (subject, NULL, error);
  weights = dimr_weights_new_synthetic (config, precision == DIMR_PRECISION_BF16 ? DIMR_DTYPE_BF16 : DIMR_DTYPE_F32, SEED,
                                        NULL, error);
  return weights != NULL ? dimr_model_new_for_weights (config, weights, error) : NULL;
}

static gboolean
prepare (Bench   *self,
         GError **error)
{
  for (guint k = 0; k < 2; k++)
    {
      const DimrDenoiserSettings settings = { self->precision, 1, TRUE, k == 1 };

      self->denoisers[k] = dimr_denoiser_new (self->model, self->device, &settings, NULL, error);
      if (self->denoisers[k] == NULL)
        return FALSE;
    }
  self->len = dimr_denoiser_get_image_len (self->denoisers[0]);
  self->x = g_new (float, N_WAYS * self->len);
  self->seconds = g_new0 (double, self->n_pictures * N_WAYS);
  self->psnr = g_new0 (double, self->n_pictures * N_WAYS);
  return TRUE;
}

static double
get_psnr (Bench       *self,
          const float *x,
          const float *exact)
{
  const gboolean is_latent = dimr_model_peek_config (self->model)->channels == 4;
  double square = 0, low = is_latent ? INFINITY : -1, high = is_latent ? -INFINITY : 1;

  for (gsize i = 0; i < self->len; i++)
    {
      const double a = is_latent ? x[i] : CLAMP (x[i], -1, 1), b = is_latent ? exact[i] : CLAMP (exact[i], -1, 1);

      square += (a - b) * (a - b);
      if (is_latent)
        {
          low = MIN (low, b);
          high = MAX (high, b);
        }
    }
  return 10 * log10 ((high - low) * (high - low) * (double) self->len / square);
}

/* One picture in one way, into its place of x. */
static gboolean
make_picture (Bench   *self,
              guint    picture,
              guint    w,
              GError **error)
{
  const Way *way = &ways[w];
  const DimrWalkSettings settings = {
    .sampler = dimr_model_get_default_sampler (self->model),
    .n_steps = self->n_steps,
    .guidance = { way->guidance, MAX (dimr_model_get_default_guidance (self->model).scale, 1.5), 4 },
    .skip_unconditional = way->skip_unconditional,
    .reuse_low_branches = way->reuse_low_branches,
  };
  g_autofree float *start = g_new (float, self->len);
  guint n_trained;
  const int *trained = dimr_model_peek_trained_classes (self->model, &n_trained);
  const int y = n_trained > 0 ? trained[picture % n_trained] : (int) (picture * 37 % 1000);
  g_autoptr (DimrWalk) walk = NULL;
  const float *x;
  gint64 began;

  dimr_rng_normal (SEED, picture, DIMR_STREAM_START_NOISE, 0, start, self->len);
  walk = dimr_walk_new (self->denoisers[way->reuse_low_branches > 1], &settings, start, &y, 1, NULL, error);
  if (walk == NULL)
    return FALSE;
  began = g_get_monotonic_time ();
  while (dimr_walk_get_step (walk) < self->n_steps)
    if (!dimr_walk_advance (walk, NULL, error))
      return FALSE;
  if (!dimr_walk_read_x (walk, &x, error))
    return FALSE;
  self->seconds[picture * N_WAYS + w] = (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC;
  memcpy (self->x + w * self->len, x, self->len * sizeof *x);
  self->psnr[picture * N_WAYS + w] = get_psnr (self, x, self->x + way->exact * self->len);
  return TRUE;
}

static int
by_value (gconstpointer a,
          gconstpointer b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

static void
print_way (Bench *self,
           guint  w)
{
  g_autofree double *ratios = g_new (double, self->n_pictures), *ms = g_new (double, self->n_pictures);
  g_autofree double *psnr = g_new (double, self->n_pictures);
  const guint middle = self->n_pictures / 2;

  for (guint p = 0; p < self->n_pictures; p++)
    {
      const double *seconds = self->seconds + p * N_WAYS;

      ratios[p] = seconds[ways[w].exact] / seconds[w];
      ms[p] = 1000 * seconds[w] / self->n_steps;
      psnr[p] = self->psnr[p * N_WAYS + w];
    }
  qsort (ratios, self->n_pictures, sizeof ratios[0], by_value);
  qsort (ms, self->n_pictures, sizeof ms[0], by_value);
  qsort (psnr, self->n_pictures, sizeof psnr[0], by_value);
  if (ways[w].exact == w)
    printf ("%-34s %8.2f ms a step\n", ways[w].name, ms[middle]);
  else
    printf ("%-34s %8.2f ms a step, %.2f times as fast (%.2f–%.2f), PSNR %.1f dB (%.1f–%.1f)\n", ways[w].name, ms[middle],
            ratios[middle], ratios[0], ratios[self->n_pictures - 1], psnr[middle], psnr[0], psnr[self->n_pictures - 1]);
}

int
main (int argc, char **argv)
{
  Bench self = { .n_pictures = argc > 2 ? (guint) atoi (argv[2]) : 8, .n_steps = argc > 3 ? (guint) atoi (argv[3]) : 25 };
  g_autoptr (GError) error = NULL;
  gboolean ok;

  if (argc < 2 || self.n_pictures < 1 || self.n_steps < 1 || self.n_steps > 1000)
    {
      fprintf (stderr, "usage: bench-faster MODEL|VARIANT [PICTURES [STEPS [f32|bf16]]]\n");
      return 2;
    }
  dimr_kernels_init ();
  self.precision = argc > 4 && strcmp (argv[4], "bf16") == 0 ? DIMR_PRECISION_BF16 : DIMR_PRECISION_F32;
  self.model = get_model (argv[1], self.precision, &error);
  self.device = self.model != NULL ? dimr_device_open ("auto", 0, &error) : NULL;
  ok = self.device != NULL && prepare (&self, &error);
  /* The first picture warms caches up, and is made once more. */
  for (guint w = 0; ok && w < N_WAYS; w++)
    ok = make_picture (&self, 0, w, &error);
  for (guint p = 0; ok && p < self.n_pictures; p++)
    for (guint w = 0; ok && w < N_WAYS; w++)
      ok = make_picture (&self, p, w, &error);
  if (ok)
    {
      printf ("%s, %s, %s, %u pictures of %u steps; medians (extremes)\n", dimr_model_get_name (self.model),
              dimr_device_get_name (self.device), self.precision == DIMR_PRECISION_BF16 ? "bf16" : "f32",
              self.n_pictures, self.n_steps);
      for (guint w = 0; w < N_WAYS; w++)
        print_way (&self, w);
    }
  else
    fprintf (stderr, "%s\n", error->message);

  for (guint k = 0; k < 2; k++)
    g_clear_pointer (&self.denoisers[k], dimr_denoiser_free);
  g_clear_object (&self.device);
  g_clear_object (&self.model);
  g_free (self.x);
  g_free (self.seconds);
  g_free (self.psnr);
  return ok ? 0 : 1;
}
