/* studio-canvas-input.c — mouse, touch and keys of the canvas
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "ui/studio-canvas-private.h"

#define PAN_STEP 48.0

static void
on_pressed (GtkGestureClick *gesture,
            int              n_press,
            double           x,
            double           y,
            StudioCanvas    *self)
{
  int cell = _studio_canvas_cell_at (self, x, y);

  gtk_widget_grab_focus (GTK_WIDGET (self));
  if (cell < 0)
    return;

  studio_canvas_set_selected (self, cell);
  if (n_press == 2 && studio_canvas_get_n_cells (self) > 1)
    studio_canvas_set_solo (self, !studio_canvas_get_solo (self));
}

static void
on_drag_update (GtkGestureDrag *gesture,
                double          dx,
                double          dy,
                StudioCanvas   *self)
{
  double *last = g_object_get_data (G_OBJECT (gesture), "last-offset");

  _studio_canvas_pan (self, dx - last[0], dy - last[1]);
  last[0] = dx;
  last[1] = dy;
}

static void
on_drag_begin (GtkGestureDrag *gesture,
               double          x,
               double          y,
               StudioCanvas   *self)
{
  double *last = g_object_get_data (G_OBJECT (gesture), "last-offset");

  last[0] = last[1] = 0;
}

static gboolean
on_scroll (GtkEventControllerScroll *scroll,
           double                    dx,
           double                    dy,
           StudioCanvas             *self)
{
  GdkEvent *event = gtk_event_controller_get_current_event (GTK_EVENT_CONTROLLER (scroll));
  GdkDevice *device = gtk_event_controller_get_current_event_device (GTK_EVENT_CONTROLLER (scroll));
  double scale = studio_canvas_get_scale (self);
  graphene_point_t point;
  double x, y;

  if (scale <= 0)
    return GDK_EVENT_PROPAGATE;

  /* Two fingers on a touchpad pan, as everywhere; a wheel zooms. */
  if (device && gdk_device_get_source (device) == GDK_SOURCE_TOUCHPAD)
    {
      _studio_canvas_pan (self, -dx, -dy);
      return GDK_EVENT_STOP;
    }

  if (dy == 0)
    return GDK_EVENT_PROPAGATE;
  if (event && gdk_event_get_position (event, &x, &y))
    {
      GtkNative *native = gtk_widget_get_native (GTK_WIDGET (self));
      double nx, ny;

      gtk_native_get_surface_transform (native, &nx, &ny);
      if (!gtk_widget_compute_point (GTK_WIDGET (native), GTK_WIDGET (self),
                                     &GRAPHENE_POINT_INIT (x - nx, y - ny), &point))
        return GDK_EVENT_PROPAGATE;
    }
  else
    {
      graphene_point_init (&point, gtk_widget_get_width (GTK_WIDGET (self)) / 2.0,
                           gtk_widget_get_height (GTK_WIDGET (self)) / 2.0);
    }

  _studio_canvas_zoom_at (self, studio_viewport_next_zoom (scale, dy < 0), point.x, point.y);
  return GDK_EVENT_STOP;
}

static void
on_pinch_begin (GtkGesture       *gesture,
                GdkEventSequence *sequence,
                StudioCanvas     *self)
{
  double *start = g_object_get_data (G_OBJECT (gesture), "start-scale");

  *start = studio_canvas_get_scale (self);
}

static void
on_pinch (GtkGestureZoom *gesture,
          double          factor,
          StudioCanvas   *self)
{
  double *start = g_object_get_data (G_OBJECT (gesture), "start-scale");
  double x, y;

  if (*start > 0 && gtk_gesture_get_bounding_box_center (GTK_GESTURE (gesture), &x, &y))
    _studio_canvas_zoom_at (self, *start * factor, x, y);
}

/* @args: (nn) columns and rows to go. */
static gboolean
move_key (GtkWidget *widget,
          GVariant  *args,
          gpointer   user_data)
{
  StudioCanvas *self = STUDIO_CANVAS (widget);
  StudioCanvasLayout layout;
  gint16 dx, dy;

  g_variant_get (args, "(nn)", &dx, &dy);
  if (!_studio_canvas_layout (self, &layout))
    return GDK_EVENT_PROPAGATE;

  if (studio_viewport_is_fit (studio_canvas_get_viewport (self)))
    {
      int target = (int) studio_canvas_get_selected (self) + dx + dy * (int) layout.n_columns;

      if (target < 0 || target >= (int) studio_canvas_get_n_cells (self))
        return GDK_EVENT_PROPAGATE;
      studio_canvas_set_selected (self, target);
      return GDK_EVENT_STOP;
    }

  _studio_canvas_pan (self, -dx * PAN_STEP, -dy * PAN_STEP);
  return GDK_EVENT_STOP;
}

static gboolean
zoom_key (GtkWidget *widget,
          GVariant  *args,
          gpointer   user_data)
{
  if (g_variant_get_boolean (args))
    studio_canvas_zoom_in (STUDIO_CANVAS (widget));
  else
    studio_canvas_zoom_out (STUDIO_CANVAS (widget));
  return GDK_EVENT_STOP;
}

static gboolean
solo_key (GtkWidget *widget,
          GVariant  *args,
          gpointer   user_data)
{
  StudioCanvas *self = STUDIO_CANVAS (widget);

  if (studio_canvas_get_n_cells (self) < 2)
    return GDK_EVENT_PROPAGATE;
  studio_canvas_set_solo (self, !studio_canvas_get_solo (self));
  return GDK_EVENT_STOP;
}

void
_studio_canvas_class_add_input (GtkWidgetClass *widget_class)
{
  static const struct
  {
    guint key;
    guint keypad;
    gint16 dx;
    gint16 dy;
  } arrows[] = {
    { GDK_KEY_Left, GDK_KEY_KP_Left, -1, 0 },
    { GDK_KEY_Right, GDK_KEY_KP_Right, 1, 0 },
    { GDK_KEY_Up, GDK_KEY_KP_Up, 0, -1 },
    { GDK_KEY_Down, GDK_KEY_KP_Down, 0, 1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (arrows); i++)
    {
      gtk_widget_class_add_binding (widget_class, arrows[i].key, 0, move_key, "(nn)", arrows[i].dx, arrows[i].dy);
      gtk_widget_class_add_binding (widget_class, arrows[i].keypad, 0, move_key, "(nn)", arrows[i].dx, arrows[i].dy);
    }
  gtk_widget_class_add_binding (widget_class, GDK_KEY_plus, 0, zoom_key, "b", TRUE);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_KP_Add, 0, zoom_key, "b", TRUE);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_minus, 0, zoom_key, "b", FALSE);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_KP_Subtract, 0, zoom_key, "b", FALSE);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_Return, 0, solo_key, NULL);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_KP_Enter, 0, solo_key, NULL);
}

void
_studio_canvas_add_input (StudioCanvas *self)
{
  GtkGesture *click = gtk_gesture_click_new ();
  GtkGesture *drag = gtk_gesture_drag_new ();
  GtkGesture *pinch = gtk_gesture_zoom_new ();
  GtkEventController *scroll = gtk_event_controller_scroll_new (GTK_EVENT_CONTROLLER_SCROLL_BOTH_AXES);

  g_signal_connect (click, "pressed", G_CALLBACK (on_pressed), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (click));

  g_object_set_data_full (G_OBJECT (drag), "last-offset", g_new0 (double, 2), g_free);
  g_signal_connect (drag, "drag-begin", G_CALLBACK (on_drag_begin), self);
  g_signal_connect (drag, "drag-update", G_CALLBACK (on_drag_update), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (drag));

  g_object_set_data_full (G_OBJECT (pinch), "start-scale", g_new0 (double, 1), g_free);
  g_signal_connect (pinch, "begin", G_CALLBACK (on_pinch_begin), self);
  g_signal_connect (pinch, "scale-changed", G_CALLBACK (on_pinch), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (pinch));

  g_signal_connect (scroll, "scroll", G_CALLBACK (on_scroll), self);
  gtk_widget_add_controller (GTK_WIDGET (self), scroll);
}
