/* studio-canvas-cell.h — one picture of the canvas: what is drawn, and how a finished one fades in
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"

G_BEGIN_DECLS

typedef struct _StudioCanvasCell StudioCanvasCell;

/* @canvas: not owned; drawn anew whenever the cell changes. It must outlive the cell. */
StudioCanvasCell *studio_canvas_cell_new        (GtkWidget              *canvas);
void              studio_canvas_cell_free       (StudioCanvasCell       *self);
/* The picture as it will be when nothing fades any more, or NULL (transfer none). */
DimrImage        *studio_canvas_cell_peek_image (StudioCanvasCell       *self);
/* @fade: over the picture before, where there is one of the same size. */
void              studio_canvas_cell_set_image  (StudioCanvasCell       *self,
                                                 DimrImage              *image,
                                                 gboolean                fade);
/* Draws it into @rect of the canvas; enlarged without smoothing unless @smooth. */
void              studio_canvas_cell_snapshot   (StudioCanvasCell       *self,
                                                 GtkSnapshot            *snapshot,
                                                 const graphene_rect_t  *rect,
                                                 gboolean                smooth);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StudioCanvasCell, studio_canvas_cell_free)

G_END_DECLS
