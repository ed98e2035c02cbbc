/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-canvas-cell.h"

#include <adwaita.h>

#include "ui/studio-texture.h"

#define FADE_MS 180

/* One picture, drawn as a texture or, enlarged without smoothing, from a cairo surface. */
typedef struct
{
  DimrImage *image;
  GdkTexture *texture;
  cairo_surface_t *surface;
} Layer;

/* @below shows through @top while @fade plays; without a fade it is empty. */
struct _StudioCanvasCell
{
  GtkWidget *canvas;
  Layer top;
  Layer below;
  AdwAnimation *fade;
};

static void
layer_clear (Layer *layer)
{
  g_clear_pointer (&layer->image, dimr_image_unref);
  g_clear_object (&layer->texture);
  g_clear_pointer (&layer->surface, cairo_surface_destroy);
}

StudioCanvasCell *
studio_canvas_cell_new (GtkWidget *canvas)
{
  StudioCanvasCell *self = g_new0 (StudioCanvasCell, 1);

  self->canvas = canvas;
  return self;
}

void
studio_canvas_cell_free (StudioCanvasCell *self)
{
  /* An animation that plays keeps itself alive and would come back to a cell that is gone. */
  if (self->fade)
    {
      g_signal_handlers_disconnect_by_data (self->fade, self);
      adw_animation_reset (self->fade);
    }
  g_clear_object (&self->fade);
  layer_clear (&self->top);
  layer_clear (&self->below);
  g_free (self);
}

DimrImage *
studio_canvas_cell_peek_image (StudioCanvasCell *self)
{
  return self->top.image;
}

static void
on_fade (double   value,
         gpointer user_data)
{
  gtk_widget_queue_draw (GTK_WIDGET (user_data));
}

static void
on_fade_done (AdwAnimation     *animation,
              StudioCanvasCell *self)
{
  layer_clear (&self->below);
}

static void
begin_fade (StudioCanvasCell *self)
{
  AdwAnimationTarget *target;

  self->below = self->top;
  self->top = (Layer) { NULL };
  if (!self->fade)
    {
      target = adw_callback_animation_target_new (on_fade, self->canvas, NULL);
      self->fade = adw_timed_animation_new (self->canvas, 0, 1, FADE_MS, target);
      g_signal_connect (self->fade, "done", G_CALLBACK (on_fade_done), self);
    }
}

void
studio_canvas_cell_set_image (StudioCanvasCell *self,
                              DimrImage        *image,
                              gboolean          fade)
{
  if (self->top.image == image)
    return;

  layer_clear (&self->below);
  if (self->fade)
    adw_animation_reset (self->fade);

  /* Pictures of different sizes would jump, not fade. */
  fade = fade && self->top.image && gtk_widget_get_mapped (self->canvas) &&
         dimr_image_get_width (self->top.image) == dimr_image_get_width (image) &&
         dimr_image_get_height (self->top.image) == dimr_image_get_height (image);
  if (fade)
    begin_fade (self);
  else
    layer_clear (&self->top);
  self->top.image = dimr_image_ref (image);

  if (fade)
    adw_animation_play (self->fade);
  gtk_widget_queue_draw (self->canvas);
}

static void
snapshot_layer (StudioCanvasCell      *self,
                Layer                 *layer,
                GtkSnapshot           *snapshot,
                const graphene_rect_t *rect,
                gboolean               smooth)
{
  double device = gtk_widget_get_scale_factor (self->canvas);
  double scale = rect->size.width / dimr_image_get_width (layer->image);
  graphene_rect_t visible;
  cairo_t *cr;

  if (smooth || scale * device <= 1)
    {
      if (!layer->texture)
        layer->texture = studio_texture_new (layer->image);
      gtk_snapshot_append_texture (snapshot, layer->texture, rect);
      return;
    }

  /* Only what can be seen is painted, so a large zoom costs no memory. */
  if (!graphene_rect_intersection (rect,
                                   &GRAPHENE_RECT_INIT (0, 0, gtk_widget_get_width (self->canvas),
                                                        gtk_widget_get_height (self->canvas)),
                                   &visible))
    return;
  if (!layer->surface)
    layer->surface = studio_surface_new (layer->image);
  cr = gtk_snapshot_append_cairo (snapshot, &visible);
  cairo_translate (cr, rect->origin.x, rect->origin.y);
  cairo_scale (cr, scale, scale);
  cairo_set_source_surface (cr, layer->surface, 0, 0);
  cairo_pattern_set_filter (cairo_get_source (cr), CAIRO_FILTER_NEAREST);
  cairo_paint (cr);
  cairo_destroy (cr);
}

void
studio_canvas_cell_snapshot (StudioCanvasCell      *self,
                             GtkSnapshot           *snapshot,
                             const graphene_rect_t *rect,
                             gboolean               smooth)
{
  if (!self->top.image)
    {
      /* Room for a picture that is still to come. */
      gtk_snapshot_append_color (snapshot, &(GdkRGBA) { 0, 0, 0, 0.12 }, rect);
      return;
    }

  if (self->below.image)
    {
      snapshot_layer (self, &self->below, snapshot, rect, smooth);
      gtk_snapshot_push_opacity (snapshot, adw_animation_get_value (self->fade));
      snapshot_layer (self, &self->top, snapshot, rect, smooth);
      gtk_snapshot_pop (snapshot);
    }
  else
    {
      snapshot_layer (self, &self->top, snapshot, rect, smooth);
    }
}
