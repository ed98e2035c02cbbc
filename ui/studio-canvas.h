/* studio-canvas.h — where pictures are looked at
 *
 * Shows one picture or a grid of a batch on a neutral background. Enlarged pictures are drawn by
 * whole factors without smoothing (a 32×32 picture is honest and crisp), unless "smooth" is set.
 * Fit, zoom and pan live in a StudioViewport that canvases may share.
 *
 * Mouse: wheel zooms at the pointer, drag pans, click selects a picture of the grid, double
 * click shows it alone and back. Keys: + and − zoom, arrows pan or select, Enter as double click.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"
#include "ui/studio-viewport.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_CANVAS (studio_canvas_get_type ())
G_DECLARE_FINAL_TYPE (StudioCanvas, studio_canvas, STUDIO, CANVAS, GtkWidget)

/* Properties that notify: "selected" (guint), "solo" (the selected picture alone), "smooth",
 * "scale" (with another size only; the viewport tells of zooming). */
GtkWidget      *studio_canvas_new            (void);
StudioViewport *studio_canvas_get_viewport   (StudioCanvas   *self);   /* transfer none */
/* Empties the canvas and makes room for @n pictures of one size. */
void            studio_canvas_set_n_cells    (StudioCanvas   *self,
                                              guint           n);
guint           studio_canvas_get_n_cells    (StudioCanvas   *self);
/* @final: fades in, where animations are wanted; previews replace one another at once. */
void            studio_canvas_set_image      (StudioCanvas   *self,
                                              guint           cell,
                                              DimrImage      *image,
                                              gboolean        final);
/* NULL where a cell is still empty (transfer none). */
DimrImage      *studio_canvas_peek_image     (StudioCanvas   *self,
                                              guint           cell);
guint           studio_canvas_get_selected   (StudioCanvas   *self);
void            studio_canvas_set_selected   (StudioCanvas   *self,
                                              guint           cell);
gboolean        studio_canvas_get_solo       (StudioCanvas   *self);
void            studio_canvas_set_solo       (StudioCanvas   *self,
                                              gboolean        solo);
gboolean        studio_canvas_get_smooth     (StudioCanvas   *self);
void            studio_canvas_set_smooth     (StudioCanvas   *self,
                                              gboolean        smooth);
void            studio_canvas_set_background (StudioCanvas   *self,
                                              const GdkRGBA  *background);
/* Device pixels a picture pixel as drawn now; 0 while there is nothing to draw. */
double          studio_canvas_get_scale      (StudioCanvas   *self);
/* Next larger or smaller step, the middle staying where it is. */
void            studio_canvas_zoom_in        (StudioCanvas   *self);
void            studio_canvas_zoom_out       (StudioCanvas   *self);

G_END_DECLS
