/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-viewport.h"

#include <math.h>

struct _StudioViewport
{
  GObject parent_instance;

  gboolean fit;
  double zoom;
  double x;
  double y;
};

enum
{
  CHANGED,
  N_SIGNALS
};

G_DEFINE_FINAL_TYPE (StudioViewport, studio_viewport, G_TYPE_OBJECT)

static guint signals[N_SIGNALS];

static void
studio_viewport_class_init (StudioViewportClass *klass)
{
  signals[CHANGED] = g_signal_new ("changed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0,
                                   NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
studio_viewport_init (StudioViewport *self)
{
  self->fit = TRUE;
  self->zoom = 1;
  self->x = 0.5;
  self->y = 0.5;
}

StudioViewport *
studio_viewport_new (void)
{
  return g_object_new (STUDIO_TYPE_VIEWPORT, NULL);
}

gboolean
studio_viewport_is_fit (StudioViewport *self)
{
  g_return_val_if_fail (STUDIO_IS_VIEWPORT (self), TRUE);
  return self->fit;
}

double
studio_viewport_get_zoom (StudioViewport *self)
{
  g_return_val_if_fail (STUDIO_IS_VIEWPORT (self), 1);
  return self->zoom;
}

void
studio_viewport_get_center (StudioViewport *self,
                            double         *x,
                            double         *y)
{
  g_return_if_fail (STUDIO_IS_VIEWPORT (self));
  *x = self->x;
  *y = self->y;
}

void
studio_viewport_set_zoom (StudioViewport *self,
                          double          zoom)
{
  g_return_if_fail (STUDIO_IS_VIEWPORT (self));

  zoom = CLAMP (zoom, STUDIO_VIEWPORT_MIN_ZOOM, STUDIO_VIEWPORT_MAX_ZOOM);
  if (!self->fit && zoom == self->zoom)
    return;
  self->fit = FALSE;
  self->zoom = zoom;
  g_signal_emit (self, signals[CHANGED], 0);
}

void
studio_viewport_set_center (StudioViewport *self,
                            double          x,
                            double          y)
{
  g_return_if_fail (STUDIO_IS_VIEWPORT (self));

  x = CLAMP (x, 0, 1);
  y = CLAMP (y, 0, 1);
  if (x == self->x && y == self->y)
    return;
  self->x = x;
  self->y = y;
  g_signal_emit (self, signals[CHANGED], 0);
}

void
studio_viewport_fit (StudioViewport *self)
{
  g_return_if_fail (STUDIO_IS_VIEWPORT (self));

  self->fit = TRUE;
  self->x = self->y = 0.5;
  g_signal_emit (self, signals[CHANGED], 0);
}

double
studio_viewport_next_zoom (double   zoom,
                           gboolean closer)
{
  /* Steps of about a quarter once single whole factors become too fine. */
  double stride = MAX (1, floor (zoom / 4));
  double inverse = 1 / zoom;

  if (closer)
    zoom = zoom < 1 ? 1 / MAX (1, ceil (inverse - 1 - 1e-6)) : floor (zoom + stride + 1e-6);
  else
    zoom = zoom > 1 ? MAX (1, ceil (zoom - stride - 1e-6)) : 1 / floor (inverse + 1 + 1e-6);
  return CLAMP (zoom, STUDIO_VIEWPORT_MIN_ZOOM, STUDIO_VIEWPORT_MAX_ZOOM);
}
