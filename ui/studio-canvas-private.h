/* studio-canvas-private.h — shared by studio-canvas.c (state, drawing) and studio-canvas-input.c
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "ui/studio-canvas.h"

G_BEGIN_DECLS

/* Where everything is, in widget coordinates. Cells lie in rows with a fixed gap between them. */
typedef struct
{
  guint n_columns;
  guint n_rows;
  double scale;  /* widget pixels a picture pixel */
  double x;      /* left edge of the first cell */
  double y;
  double cell_w;
  double cell_h;
  double width;  /* of all cells and gaps */
  double height;
} StudioCanvasLayout;

/* FALSE while there is nothing to show. */
gboolean _studio_canvas_layout          (StudioCanvas       *self,
                                         StudioCanvasLayout *layout);
/* The cell at a point; −1 for none. */
int      _studio_canvas_cell_at         (StudioCanvas       *self,
                                         double              x,
                                         double              y);
/* Changes the scale so that what lies at (x, y) stays there. */
void     _studio_canvas_zoom_at         (StudioCanvas       *self,
                                         double              zoom,
                                         double              x,
                                         double              y);
/* Moves the content by widget pixels. */
void     _studio_canvas_pan             (StudioCanvas       *self,
                                         double              dx,
                                         double              dy);
void     _studio_canvas_class_add_input (GtkWidgetClass     *widget_class);
void     _studio_canvas_add_input       (StudioCanvas       *self);

G_END_DECLS
