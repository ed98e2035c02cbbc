/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-guidance-curve.h"

#include <adwaita.h>
#include <glib/gi18n.h>

#define HEIGHT 84
#define PAD 10.0

struct _StudioGuidanceCurve
{
  GtkWidget parent_instance;

  DimrGuidance guidance;
  guint n_steps;
};

G_DEFINE_FINAL_TYPE (StudioGuidanceCurve, studio_guidance_curve, GTK_TYPE_WIDGET)

static void
draw_text (GtkSnapshot    *snapshot,
           GtkWidget      *widget,
           const char     *text,
           double          x,
           double          y,
           double          x_align,
           const GdkRGBA  *color)
{
  g_autoptr(PangoLayout) layout = gtk_widget_create_pango_layout (widget, text);
  int width, height;

  pango_layout_get_pixel_size (layout, &width, &height);
  gtk_snapshot_save (snapshot);
  gtk_snapshot_translate (snapshot, &GRAPHENE_POINT_INIT (x - x_align * width, y - height / 2.0));
  gtk_snapshot_append_layout (snapshot, layout, color);
  gtk_snapshot_restore (snapshot);
}

static void
studio_guidance_curve_snapshot (GtkWidget   *widget,
                                GtkSnapshot *snapshot)
{
  StudioGuidanceCurve *self = STUDIO_GUIDANCE_CURVE (widget);
  double width = gtk_widget_get_width (widget), height = gtk_widget_get_height (widget);
  double low = MIN (1, self->guidance.scale), high = MAX (1, self->guidance.scale);
  double left = PAD + 26, right = width - PAD, top = PAD, bottom = height - PAD;
  g_autofree char *label = g_strdup_printf ("%.3g", self->guidance.scale);
  GdkRGBA color, faint, accent;
  cairo_t *cr;

  gtk_style_context_get_color (gtk_widget_get_style_context (widget), &color);
  if (!gtk_style_context_lookup_color (gtk_widget_get_style_context (widget), "accent_color", &accent))
    accent = color;
  faint = color;
  faint.alpha *= 0.2;
  if (high - low < 1e-9)
    high = low + 1;

  cr = gtk_snapshot_append_cairo (snapshot, &GRAPHENE_RECT_INIT (0, 0, width, height));
  gdk_cairo_set_source_rgba (cr, &faint);
  cairo_set_line_width (cr, 1);
  for (guint i = 0; i < 2; i++)
    {
      double y = (i ? bottom : top) + 0.5;

      cairo_move_to (cr, left, y);
      cairo_line_to (cr, right, y);
    }
  cairo_stroke (cr);

  /* The run goes from t = 1 at the left to t = 0 at the right. */
  for (int i = 0; i <= 100; i++)
    {
      double g = dimr_guidance_at (&self->guidance, 1 - i / 100.0);
      double x = left + (right - left) * i / 100;
      double y = bottom - (bottom - top) * (g - low) / (high - low);

      if (i == 0)
        cairo_move_to (cr, x, y);
      else
        cairo_line_to (cr, x, y);
    }
  gdk_cairo_set_source_rgba (cr, &accent);
  cairo_set_line_width (cr, 2);
  cairo_set_line_join (cr, CAIRO_LINE_JOIN_ROUND);
  cairo_stroke (cr);
  cairo_destroy (cr);

  draw_text (snapshot, widget, self->guidance.scale < 1 ? "1" : label, left - 6, top, 1, &color);
  draw_text (snapshot, widget, self->guidance.scale < 1 ? label : "1", left - 6, bottom, 1, &color);
}

static void
studio_guidance_curve_measure (GtkWidget      *widget,
                               GtkOrientation  orientation,
                               int             for_size,
                               int            *minimum,
                               int            *natural,
                               int            *minimum_baseline,
                               int            *natural_baseline)
{
  *minimum = *natural = orientation == GTK_ORIENTATION_HORIZONTAL ? 120 : HEIGHT;
}

static void
studio_guidance_curve_class_init (StudioGuidanceCurveClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  widget_class->snapshot = studio_guidance_curve_snapshot;
  widget_class->measure = studio_guidance_curve_measure;
  gtk_widget_class_set_css_name (widget_class, "guidance-curve");
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_IMG);
}

static void
studio_guidance_curve_init (StudioGuidanceCurve *self)
{
  self->guidance = (DimrGuidance) { DIMR_GUIDANCE_CONSTANT, 1, 1 };
  self->n_steps = 1;
}

void
studio_guidance_curve_set_guidance (StudioGuidanceCurve *self,
                                    const DimrGuidance  *guidance,
                                    guint                n_steps)
{
  g_autofree char *text = NULL;

  g_return_if_fail (STUDIO_IS_GUIDANCE_CURVE (self));

  self->guidance = *guidance;
  self->n_steps = MAX (n_steps, 1);
  /* Translators: the numbers are guidance at the first, the middle and the last step. */
  text = g_strdup_printf (_("Guidance over the %u steps: %.2f at first, %.2f in the middle, %.2f at the end"),
                          self->n_steps, dimr_guidance_at (guidance, 1), dimr_guidance_at (guidance, 0.5),
                          dimr_guidance_at (guidance, 0));
  gtk_widget_set_tooltip_text (GTK_WIDGET (self), text);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, text, -1);
  gtk_widget_queue_draw (GTK_WIDGET (self));
}
