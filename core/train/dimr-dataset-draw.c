/* dimr-dataset-draw.c — a set of pictures that needs no files: eight classes of shapes and textures
 *
 * 0 disc, 1 square, 2 triangle, 3 ring, 4 horizontal stripes, 5 vertical stripes, 6 chequers, 7 spots.
 * Size, place, turn and colours differ from picture to picture; each class has its own range of hues,
 * so that colour is learnt first and form after it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/train/dimr-dataset-private.h"

#include "core/base/dimr-rng.h"

#include <math.h>

/* Places inside a pixel that are looked at, a side. */
#define SAMPLES 3

typedef struct
{
  guint kind;
  double x, y;        /* middle, of 1 */
  double size;        /* radius, or a period */
  double turn;        /* cosine and sine follow */
  double cosine, sine;
  double front[3];
  double back[3];
} Drawing;

static double
unit (guint32 bits)
{
  return ((double) bits + .5) * 0x1p-32;
}

/* Hue in turns, saturation and value to red, green, blue. */
static void
set_colour (double  hue,
            double  saturation,
            double  value,
            double *rgb)
{
  for (guint c = 0; c < 3; c++)
    {
      const double k = fmod (hue * 6 + 5 - 2. * c + 6, 6);

      rgb[c] = value - value * saturation * CLAMP (MIN (k, 4 - k), 0, 1);
    }
}

static void
choose (Drawing *self,
        guint64  seed,
        guint64  i)
{
  guint32 a[4], b[4], c[4];

  dimr_rng_words (seed, i, DIMR_STREAM_PROCEDURAL, 0, a);
  dimr_rng_words (seed, i, DIMR_STREAM_PROCEDURAL, 1, b);
  dimr_rng_words (seed, i, DIMR_STREAM_PROCEDURAL, 2, c);
  self->kind = (guint) (i % DIMR_N_DRAWN_CLASSES);
  self->x = .35 + .3 * unit (a[0]);
  self->y = .35 + .3 * unit (a[1]);
  self->size = self->kind < 4 ? .18 + .14 * unit (a[2]) : .16 + .12 * unit (a[2]);
  self->turn = self->kind == 4 || self->kind == 5 ? .3 * (unit (a[3]) - .5) : 2 * G_PI * unit (a[3]);
  self->cosine = cos (self->turn);
  self->sine = sin (self->turn);
  set_colour ((self->kind + .6 * (unit (b[0]) - .5)) / DIMR_N_DRAWN_CLASSES, .75 + .25 * unit (b[1]), .8 + .2 * unit (b[2]), self->front);
  set_colour (unit (b[3]), .1 + .2 * unit (c[0]), .15 + .3 * unit (c[1]), self->back);
}

/* Whether the point lies on what is drawn in front. */
static gboolean
covers (const Drawing *self,
        double         px,
        double         py)
{
  const double x = px - self->x, y = py - self->y;
  const double u = x * self->cosine + y * self->sine, v = y * self->cosine - x * self->sine;
  const double radius = sqrt (x * x + y * y), cell_u = u / self->size - floor (u / self->size), cell_v = v / self->size - floor (v / self->size);

  switch (self->kind)
    {
    case 0: return radius < self->size;
    case 1: return fabs (u) < self->size * .9 && fabs (v) < self->size * .9;
    case 2: return v < self->size * .6 && v > 1.7 * fabs (u) - self->size * 1.1;
    case 3: return radius < self->size * 1.1 && radius > self->size * .6;
    case 4: return cell_v < .5;
    case 5: return cell_u < .5;
    case 6: return (cell_u < .5) != (cell_v < .5);
    default: return hypot (cell_u - .5, cell_v - .5) < .3;
    }
}

void
dimr_dataset_draw (guint64  seed,
                   guint64  i,
                   guint    side,
                   guint8  *planes)
{
  Drawing drawing;

  choose (&drawing, seed, i);
  for (guint y = 0; y < side; y++)
    for (guint x = 0; x < side; x++)
      {
        double share = 0;

        for (guint s = 0; s < SAMPLES * SAMPLES; s++)
          if (covers (&drawing, (x + (s % SAMPLES + .5) / SAMPLES) / side, (y + (s / SAMPLES + .5) / SAMPLES) / side))
            share += 1. / (SAMPLES * SAMPLES);
        for (guint c = 0; c < 3; c++)
          planes[(c * side + y) * side + x] = (guint8) lrint (255 * (share * drawing.front[c] + (1 - share) * drawing.back[c]));
      }
}

const char *
dimr_dataset_get_drawn_name (guint class_index)
{
  static const char * const names[DIMR_N_DRAWN_CLASSES] = {
    "disc", "square", "triangle", "ring", "rows", "columns", "checks", "dots",
  };

  g_return_val_if_fail (class_index < DIMR_N_DRAWN_CLASSES, NULL);
  return names[class_index];
}
