/* test-widgets.c — the parts of the window one by one
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include <string.h>

#include "tests/ui/studio-test.h"
#include "ui/studio-canvas.h"
#include "ui/studio-format.h"
#include "ui/studio-markdown.h"
#include "ui/studio-number-row.h"
#include "ui/studio-sampler-row.h"
#include "ui/studio-texture.h"
#include "ui/studio-wrap-layout.h"

/* A picture of @n × @n pixels, each of another colour. */
static DimrImage *
make_image (guint n,
            guint shift)
{
  g_autoptr(GBytes) bytes = NULL;
  guint8 *data = g_malloc (n * n * 4);

  for (guint i = 0; i < n * n; i++)
    {
      data[i * 4] = (i * 37 + shift) % 256;
      data[i * 4 + 1] = (i * 91 + shift) % 256;
      data[i * 4 + 2] = (i * 151 + shift) % 256;
      data[i * 4 + 3] = 255;
    }
  bytes = g_bytes_new_take (data, n * n * 4);
  return dimr_image_new (n, n, bytes);
}

static GtkWindow *
show (GtkWidget *widget,
      int        width,
      int        height)
{
  GtkWindow *window = GTK_WINDOW (gtk_window_new ());

  gtk_widget_set_size_request (widget, width, height);
  gtk_window_set_child (window, widget);
  gtk_window_present (window);
  gtk_test_widget_wait_for_draw (widget);
  return window;
}

/* --- Viewport --- */

static void
count (gpointer instance,
       guint   *n)
{
  (*n)++;
}

static void
count_notify (gpointer    instance,
              GParamSpec *pspec,
              guint      *n)
{
  (*n)++;
}

static void
test_viewport (void)
{
  g_autoptr(StudioViewport) viewport = studio_viewport_new ();
  guint n = 0;

  g_signal_connect (viewport, "changed", G_CALLBACK (count), &n);
  g_assert_true (studio_viewport_is_fit (viewport));
  studio_viewport_set_zoom (viewport, 3);
  g_assert_cmpuint (n, ==, 1);
  studio_viewport_set_zoom (viewport, 3);
  g_assert_cmpuint (n, ==, 1);
  studio_viewport_set_zoom (viewport, 1e9);
  g_assert_cmpfloat (studio_viewport_get_zoom (viewport), ==, STUDIO_VIEWPORT_MAX_ZOOM);
  studio_viewport_fit (viewport);
  g_assert_true (studio_viewport_is_fit (viewport));
}

static void
test_zoom_steps (void)
{
  double zoom = STUDIO_VIEWPORT_MIN_ZOOM;
  guint n = 0;

  /* Up to the end and back again, through whole factors only. */
  while (zoom < STUDIO_VIEWPORT_MAX_ZOOM && n < 100)
    {
      double next = studio_viewport_next_zoom (zoom, TRUE);
      double whole = next < 1 ? 1 / next : next;

      g_assert_cmpfloat (next, >, zoom);
      g_assert_cmpfloat_with_epsilon (whole, (guint) (whole + 0.5), 1e-9);
      zoom = next;
      n++;
    }
  g_assert_cmpfloat (zoom, ==, STUDIO_VIEWPORT_MAX_ZOOM);
  while (zoom > STUDIO_VIEWPORT_MIN_ZOOM && n < 200)
    {
      double next = studio_viewport_next_zoom (zoom, FALSE);

      g_assert_cmpfloat (next, <, zoom);
      zoom = next;
      n++;
    }
  g_assert_cmpfloat (zoom, ==, STUDIO_VIEWPORT_MIN_ZOOM);
  g_assert_cmpfloat (studio_viewport_next_zoom (17.3, TRUE), >, 17.3);
  g_assert_cmpfloat (studio_viewport_next_zoom (1, FALSE), ==, 0.5);
  g_assert_cmpfloat (studio_viewport_next_zoom (0.5, TRUE), ==, 1);
}

/* --- Canvas --- */

static void
test_crisp (void)
{
  GtkWidget *canvas = studio_canvas_new ();
  GtkWindow *window = show (canvas, 300, 280);
  g_autoptr(DimrImage) image = make_image (8, 0);
  g_autoptr(GdkTexture) texture = NULL;
  g_autoptr(GBytes) pixels = NULL;
  const guint8 *shown, *in;
  int width, height, factor, x0, y0;

  studio_canvas_set_n_cells (STUDIO_CANVAS (canvas), 1);
  studio_canvas_set_image (STUDIO_CANVAS (canvas), 0, image, FALSE);
  gtk_test_widget_wait_for_draw (canvas);
  factor = (int) studio_canvas_get_scale (STUDIO_CANVAS (canvas));
  g_assert_cmpfloat (studio_canvas_get_scale (STUDIO_CANVAS (canvas)), ==, factor);
  g_assert_cmpint (factor, >, 20);

  texture = studio_test_render (canvas);
  pixels = studio_test_pixels (texture);
  width = gdk_texture_get_width (texture);
  height = gdk_texture_get_height (texture);
  x0 = (int) (gtk_widget_get_width (canvas) / 2.0 - 4 * factor + 0.5);
  y0 = (int) (gtk_widget_get_height (canvas) / 2.0 - 4 * factor + 0.5);
  shown = g_bytes_get_data (pixels, NULL);
  in = g_bytes_get_data (dimr_image_peek_pixels (image), NULL);
  g_assert_cmpint (x0 + 8 * factor, <=, width);
  g_assert_cmpint (y0 + 8 * factor, <=, height);

  /* Every screen pixel is the very colour of its picture pixel: no smoothing, no half pixels. */
  for (int y = 0; y < 8 * factor; y++)
    for (int x = 0; x < 8 * factor; x++)
      g_assert_cmpmem (shown + ((y0 + y) * width + x0 + x) * 4, 3, in + ((y / factor) * 8 + x / factor) * 4, 3);
  gtk_window_destroy (window);
}

static void
test_smooth (void)
{
  GtkWidget *canvas = studio_canvas_new ();
  GtkWindow *window = show (canvas, 300, 280);
  g_autoptr(DimrImage) image = make_image (8, 0);
  g_autoptr(GdkTexture) a = NULL;
  g_autoptr(GdkTexture) b = NULL;
  g_autoptr(GBytes) x = NULL;
  g_autoptr(GBytes) y = NULL;

  studio_canvas_set_n_cells (STUDIO_CANVAS (canvas), 1);
  studio_canvas_set_image (STUDIO_CANVAS (canvas), 0, image, FALSE);
  a = studio_test_render (canvas);
  studio_canvas_set_smooth (STUDIO_CANVAS (canvas), TRUE);
  gtk_test_widget_wait_for_draw (canvas);
  b = studio_test_render (canvas);
  x = studio_test_pixels (a);
  y = studio_test_pixels (b);
  g_assert_false (g_bytes_equal (x, y));
  gtk_window_destroy (window);
}

static void
test_grid_selection (void)
{
  GtkWidget *canvas = studio_canvas_new ();
  GtkWindow *window = show (canvas, 300, 280);
  guint n = 0;

  studio_canvas_set_n_cells (STUDIO_CANVAS (canvas), 6);
  for (guint i = 0; i < 6; i++)
    {
      g_autoptr(DimrImage) image = make_image (8, i * 7);

      studio_canvas_set_image (STUDIO_CANVAS (canvas), i, image, TRUE);
    }
  g_signal_connect (canvas, "notify::selected", G_CALLBACK (count_notify), &n);
  studio_canvas_set_selected (STUDIO_CANVAS (canvas), 4);
  studio_canvas_set_selected (STUDIO_CANVAS (canvas), 4);
  g_assert_cmpuint (studio_canvas_get_selected (STUDIO_CANVAS (canvas)), ==, 4);
  g_assert_cmpuint (n, ==, 1);
  studio_canvas_set_selected (STUDIO_CANVAS (canvas), 40);
  g_assert_cmpuint (studio_canvas_get_selected (STUDIO_CANVAS (canvas)), ==, 5);
  studio_canvas_set_solo (STUDIO_CANVAS (canvas), TRUE);
  /* A new batch begins with all of its pictures, whatever was looked at before. */
  studio_canvas_set_n_cells (STUDIO_CANVAS (canvas), 2);
  g_assert_false (studio_canvas_get_solo (STUDIO_CANVAS (canvas)));
  g_assert_cmpuint (studio_canvas_get_selected (STUDIO_CANVAS (canvas)), ==, 0);
  g_assert_null (studio_canvas_peek_image (STUDIO_CANVAS (canvas), 0));
  gtk_window_destroy (window);
}

static void
test_canvas_goes (void)
{
  GtkWidget *canvas = studio_canvas_new ();
  GtkWindow *window = show (canvas, 200, 200);
  g_autoptr(DimrImage) a = make_image (8, 0);
  g_autoptr(DimrImage) b = make_image (8, 9);

  /* A fade that plays when the canvas goes must not keep it, nor come back to it. */
  g_object_ref (canvas);
  studio_canvas_set_n_cells (STUDIO_CANVAS (canvas), 1);
  studio_canvas_set_image (STUDIO_CANVAS (canvas), 0, a, FALSE);
  studio_canvas_set_image (STUDIO_CANVAS (canvas), 0, b, TRUE);
  gtk_window_destroy (window);
  studio_test_settle ();
  g_assert_finalize_object (canvas);
}

/* --- Thumbnails --- */

static void
test_thumbnail (void)
{
  g_autoptr(DimrImage) small = make_image (8, 0);
  g_autoptr(DimrImage) large = make_image (30, 0);
  g_autoptr(GdkTexture) a = studio_texture_new_thumbnail (small, 16);
  g_autoptr(GdkTexture) b = studio_texture_new_thumbnail (large, 16);
  g_autoptr(GdkTexture) crisp = studio_texture_new_thumbnail (small, 35);
  g_autoptr(GBytes) pixels = studio_test_pixels (b);
  g_autoptr(GBytes) enlarged = NULL;
  const guint8 *in = g_bytes_get_data (dimr_image_peek_pixels (large), NULL);
  const guint8 *out = g_bytes_get_data (pixels, NULL);
  guint sum = in[0] + in[4] + in[30 * 4] + in[31 * 4];

  g_assert_cmpint (gdk_texture_get_width (a), ==, 16);
  g_assert_cmpint (gdk_texture_get_width (b), ==, 15);
  g_assert_cmpuint (out[0], ==, (sum + 2) / 4);

  /* Enlarged four times, without smoothing: a block is one colour up to its edge. */
  enlarged = studio_test_pixels (crisp);
  out = g_bytes_get_data (enlarged, NULL);
  in = g_bytes_get_data (dimr_image_peek_pixels (small), NULL);
  g_assert_cmpint (gdk_texture_get_width (crisp), ==, 32);
  for (guint y = 0; y < 32; y++)
    for (guint x = 0; x < 32; x++)
      g_assert_cmpmem (out + (y * 32 + x) * 4, 4, in + (y / 4 * 8 + x / 4) * 4, 4);
}

/* --- Numbers --- */

static void
test_number_row (void)
{
  GtkWidget *row = g_object_new (STUDIO_TYPE_NUMBER_ROW, "title", "Number", "lower", 0.0, "upper", 30.0,
                                 "slider-lower", 1.0, "slider-upper", 8.0, "step", 0.1, "digits", 2,
                                 "default-value", 1.5, NULL);
  GtkWindow *window = show (row, 200, 80);
  GtkEditable *entry = studio_test_child (row, STUDIO_TYPE_NUMBER_ROW, "entry");
  GtkAdjustment *slider = studio_test_child (row, STUDIO_TYPE_NUMBER_ROW, "adjustment");
  guint n = 0;

  g_signal_connect (row, "notify::value", G_CALLBACK (count_notify), &n);
  g_assert_cmpfloat (studio_number_row_get_value (STUDIO_NUMBER_ROW (row)), ==, 1.5);
  g_assert_cmpstr (gtk_editable_get_text (entry), ==, "1.5");

  /* Typing wins over the slider and may leave its range; a comma is as good as a point. */
  gtk_editable_set_text (entry, "12,25");
  g_assert_cmpfloat (studio_number_row_get_value (STUDIO_NUMBER_ROW (row)), ==, 12.25);
  g_assert_cmpfloat (gtk_adjustment_get_value (slider), ==, 8);
  g_assert_cmpstr (gtk_editable_get_text (entry), ==, "12,25");

  g_assert_cmpuint (n, ==, 1);

  gtk_editable_set_text (entry, "31");
  g_assert_false (studio_number_row_get_valid (STUDIO_NUMBER_ROW (row)));
  g_assert_cmpfloat (studio_number_row_get_value (STUDIO_NUMBER_ROW (row)), ==, 12.25);
  gtk_editable_set_text (entry, "many");
  g_assert_false (studio_number_row_check (STUDIO_NUMBER_ROW (row)));
  g_assert_cmpstr (gtk_editable_get_text (entry), ==, "many");

  gtk_adjustment_set_value (slider, 2.512);
  g_assert_cmpfloat_with_epsilon (studio_number_row_get_value (STUDIO_NUMBER_ROW (row)), 2.5, 1e-9);
  g_assert_cmpstr (gtk_editable_get_text (entry), ==, "2.5");
  g_assert_true (studio_number_row_get_valid (STUDIO_NUMBER_ROW (row)));

  studio_number_row_reset (STUDIO_NUMBER_ROW (row));
  g_assert_cmpfloat (studio_number_row_get_value (STUDIO_NUMBER_ROW (row)), ==, 1.5);
  studio_number_row_set_default_value (STUDIO_NUMBER_ROW (row), 4);
  g_assert_cmpfloat (studio_number_row_get_value (STUDIO_NUMBER_ROW (row)), ==, 4);
  studio_number_row_set_value (STUDIO_NUMBER_ROW (row), 5);
  studio_number_row_set_default_value (STUDIO_NUMBER_ROW (row), 6);
  g_assert_cmpfloat (studio_number_row_get_value (STUDIO_NUMBER_ROW (row)), ==, 5);
  gtk_window_destroy (window);
}

static void
test_wheel (void)
{
  GtkWidget *row = g_object_new (STUDIO_TYPE_NUMBER_ROW, "title", "Number", "upper", 10.0, "slider-upper", 10.0, NULL);
  GtkWindow *window = show (row, 200, 80);
  GtkWidget *scale = studio_test_child (row, STUDIO_TYPE_NUMBER_ROW, "scale");
  g_autoptr(GListModel) controllers = gtk_widget_observe_controllers (scale);
  GtkEventController *wheel = NULL;

  for (guint i = 0; i < g_list_model_get_n_items (controllers); i++)
    {
      g_autoptr(GtkEventController) controller = g_list_model_get_item (controllers, i);

      if (GTK_IS_EVENT_CONTROLLER_SCROLL (controller))
        wheel = controller;
    }
  g_assert_nonnull (wheel);
  gtk_widget_grab_focus (studio_test_child (row, STUDIO_TYPE_NUMBER_ROW, "entry"));
  g_assert_cmpint (gtk_event_controller_get_propagation_phase (wheel), ==, GTK_PHASE_NONE);
  gtk_widget_grab_focus (scale);
  g_assert_cmpint (gtk_event_controller_get_propagation_phase (wheel), ==, GTK_PHASE_BUBBLE);
  gtk_widget_grab_focus (studio_test_child (row, STUDIO_TYPE_NUMBER_ROW, "entry"));
  g_assert_cmpint (gtk_event_controller_get_propagation_phase (wheel), ==, GTK_PHASE_NONE);
  gtk_window_destroy (window);
}

/* --- Texts --- */

static void
test_markdown (void)
{
  static const struct
  {
    const char *in;
    const char *out;
  } cases[] = {
    { "a\nb\n\nc", "a b\n\nc" },
    { "**bold** and *leaning* and `a<b`", "<b>bold</b> and <i>leaning</i> and <tt>a&lt;b</tt>" },
    { "- one\n- two", "• one\n• two" },
    { "---\nlicense: x\n---\ntext", "text" },
    { "5 * 3 * 2 & <b>", "5 * 3 * 2 &amp; &lt;b&gt;" },
    { "[here](https://example.org/?a=1&b=2)", "<a href=\"https://example.org/?a=1&amp;b=2\">here</a>" },
    { "[no](javascript:x)", "[no](javascript:x)" },
  };
  const char *odd[] = { "**", "*", "`", "[", "[](", "[x](http://", "# ", "**a*b**c*", "\xff\xfe", "**a\n\n**", "*[*](http://a)" };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *markup = studio_markdown_to_markup (cases[i].in);

      g_assert_cmpstr (markup, ==, cases[i].out);
    }
  for (guint i = 0; i < G_N_ELEMENTS (odd); i++)
    {
      g_autofree char *markup = studio_markdown_to_markup (odd[i]);
      g_autofree char *plain = NULL;

      /* Links are GtkLabel's; the rest is Pango's, who is strict about what is markup. */
      if (!strstr (markup, "<a "))
        g_assert_true (pango_parse_markup (markup, -1, 0, NULL, &plain, NULL, NULL));
      g_assert_true (g_utf8_validate (markup, -1, NULL));
    }
}

static void
test_seconds (void)
{
  static const struct
  {
    double seconds;
    const char *text;
  } cases[] = {
    { 0.0412, "41 ms" }, { 0.2, "0.2 s" }, { 9.9, "9.9 s" }, { 9.97, "10 s" }, { 59.4, "59 s" },
    { 59.6, "1 min 0 s" }, { 125, "2 min 5 s" }, { 4800, "1 h 20 min" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = studio_format_seconds (cases[i].seconds);

      g_assert_cmpstr (text, ==, cases[i].text);
    }
}

static void
test_wrap (void)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 0);
  GtkWidget *children[3];
  GtkWindow *window;
  graphene_rect_t a, b, c;

  gtk_widget_set_layout_manager (box, studio_wrap_layout_new (6));
  for (guint i = 0; i < 3; i++)
    {
      children[i] = gtk_drawing_area_new ();
      gtk_widget_set_size_request (children[i], 80, 20);
      gtk_box_append (GTK_BOX (box), children[i]);
    }
  window = show (box, 180, -1);
  g_assert_true (gtk_widget_compute_bounds (children[0], box, &a));
  g_assert_true (gtk_widget_compute_bounds (children[1], box, &b));
  g_assert_true (gtk_widget_compute_bounds (children[2], box, &c));
  if (gtk_widget_get_width (box) < 252)
    {
      g_assert_cmpfloat (b.origin.x, ==, 86);
      g_assert_cmpfloat (b.origin.y, ==, 0);
      g_assert_cmpfloat (c.origin.x, ==, 0);
      g_assert_cmpfloat (c.origin.y, ==, 26);
    }
  else
    {
      g_assert_cmpfloat (c.origin.x, ==, 172);
    }
  gtk_window_destroy (window);
}

/* Every sampler says what it does, and only those that can be told something show what. */
static void
test_sampler_row (void)
{
  StudioSamplerRow *row = g_object_new (STUDIO_TYPE_SAMPLER_ROW, NULL);
  GtkWindow *window = show (GTK_WIDGET (row), 300, 300);
  GtkLabel *explanation = studio_test_child (row, STUDIO_TYPE_SAMPLER_ROW, "explanation");
  GtkWidget *eta = studio_test_child (row, STUDIO_TYPE_SAMPLER_ROW, "eta_row");
  GtkWidget *clip = studio_test_child (row, STUDIO_TYPE_SAMPLER_ROW, "clip_check");
  const DimrSamplerOptions wanted = { 0.25, TRUE };
  guint n_changed = 0;

  g_signal_connect (row, "changed", G_CALLBACK (count), &n_changed);
  studio_sampler_row_set_options (row, &wanted);
  for (guint kind = DIMR_N_SAMPLERS; kind-- > 0;)
    {
      DimrSamplerOptions options;

      n_changed = 0;
      studio_sampler_row_set_kind (row, kind);
      g_assert_cmpuint (n_changed, >=, 1);
      g_assert_cmpint (studio_sampler_row_get_kind (row), ==, kind);
      g_assert_cmpuint (strlen (gtk_label_get_text (explanation)), >, 20);
      options = studio_sampler_row_get_options (row);
      g_assert_cmpfloat (options.eta, ==, kind == DIMR_SAMPLER_DDIM ? 0.25 : 0);
      g_assert_cmpint (options.clip, ==, dimr_sampler_kind_has_options (kind));
      g_assert_cmpint (gtk_widget_get_visible (eta), ==, kind == DIMR_SAMPLER_DDIM);
      g_assert_cmpint (gtk_widget_get_visible (clip), ==, dimr_sampler_kind_has_options (kind));
      g_assert_true (studio_sampler_row_check (row));
    }
  g_assert_cmpuint (studio_test_count_unnamed (GTK_WIDGET (window)), ==, 0);
  gtk_window_destroy (window);
}

int
main (int    argc,
      char **argv)
{
  studio_test_init (&argc, &argv);
  g_test_add_func ("/widgets/viewport/notifies-once-and-stays-in-range", test_viewport);
  g_test_add_func ("/widgets/viewport/steps-are-whole-factors-up-and-down", test_zoom_steps);
  g_test_add_func ("/widgets/canvas/enlarges-by-whole-factors-without-smoothing", test_crisp);
  g_test_add_func ("/widgets/canvas/smooths-on-request", test_smooth);
  g_test_add_func ("/widgets/canvas/selects-in-the-grid-and-forgets-with-a-new-batch", test_grid_selection);
  g_test_add_func ("/widgets/canvas/goes-away-during-a-fade", test_canvas_goes);
  g_test_add_func ("/widgets/texture/a-thumbnail-averages-or-repeats-whole-blocks", test_thumbnail);
  g_test_add_func ("/widgets/number-row/typing-wins-and-nothing-is-clipped", test_number_row);
  g_test_add_func ("/widgets/number-row/the-wheel-turns-only-what-has-the-focus", test_wheel);
  g_test_add_func ("/widgets/sampler-row/explains-itself", test_sampler_row);
  g_test_add_func ("/widgets/text/markdown-becomes-valid-markup", test_markdown);
  g_test_add_func ("/widgets/text/seconds-read-well", test_seconds);
  g_test_add_func ("/widgets/layout/children-wrap-like-words", test_wrap);
  return g_test_run ();
}
