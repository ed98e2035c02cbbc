/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/ui/studio-test.h"

#include <glib/gstdio.h>

#include "kernels/dimr-kernels.h"
#include "ui/studio-banner.h"

void
studio_test_init (int    *argc,
                  char ***argv)
{
  gtk_test_init (argc, argv, NULL);
  adw_init ();
  dimr_kernels_init ();
}

static gboolean
on_wake (gpointer data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

void
studio_test_wait (StudioCondition condition,
                  gpointer        data,
                  double          seconds)
{
  gint64 end = g_get_monotonic_time () + (gint64) (seconds * G_USEC_PER_SEC);

  while (!condition (data))
    {
      gboolean woken = FALSE;
      guint id = g_timeout_add (10, on_wake, &woken);

      g_main_context_iteration (NULL, TRUE);
      if (!woken)
        g_source_remove (id);
      g_assert_cmpint (g_get_monotonic_time (), <, end);
    }
}

void
studio_test_settle (void)
{
  for (guint i = 0; i < 1000 && g_main_context_iteration (NULL, FALSE); i++)
    ;
}

void
studio_test_sleep (guint milliseconds)
{
  gboolean woken = FALSE;

  g_timeout_add (milliseconds, on_wake, &woken);
  while (!woken)
    g_main_context_iteration (NULL, TRUE);
}

GdkTexture *
studio_test_render (GtkWidget *widget)
{
  GskRenderer *renderer = gtk_native_get_renderer (gtk_widget_get_native (widget));
  gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;
  g_autoptr(GskRenderNode) node = NULL;
  int width = 0, height = 0;

  /* A widget that waits for its size, or to be drawn, has no image: one of the next frames gives it one. */
  while (!node)
    {
      g_autoptr(GdkPaintable) paintable = gtk_widget_paintable_new (widget);
      g_autoptr(GtkSnapshot) snapshot = gtk_snapshot_new ();

      g_assert_cmpint (g_get_monotonic_time (), <, end);
      width = gtk_widget_get_width (widget);
      height = gtk_widget_get_height (widget);
      if (width > 0 && height > 0)
        {
          gdk_paintable_snapshot (paintable, snapshot, width, height);
          node = gtk_snapshot_to_node (snapshot);
        }
      if (!node)
        studio_test_sleep (5);
    }
  return gsk_renderer_render_texture (renderer, node, &GRAPHENE_RECT_INIT (0, 0, width, height));
}

GBytes *
studio_test_pixels (GdkTexture *texture)
{
  gsize width = gdk_texture_get_width (texture), height = gdk_texture_get_height (texture);
  guint8 *data = g_malloc (width * height * 4);

  gdk_texture_download (texture, data, width * 4);
  /* The download is premultiplied BGRA; everything that is compared here is opaque. */
  for (gsize i = 0; i < width * height; i++)
    {
      guint8 blue = data[i * 4];

      data[i * 4] = data[i * 4 + 2];
      data[i * 4 + 2] = blue;
    }
  return g_bytes_new_take (data, width * height * 4);
}

void
studio_test_keep (GtkWidget  *widget,
                  const char *name)
{
  const char *folder = g_getenv ("DIMR_TEST_ARTEFACTS");
  g_autoptr(GdkTexture) texture = NULL;
  g_autofree char *path = NULL;

  if (!folder)
    return;
  texture = studio_test_render (widget);
  path = g_strdup_printf ("%s/%s.png", folder, name);
  g_assert_true (gdk_texture_save_to_png (texture, path));
  g_test_message ("kept %s", path);
}

GtkWidget *
studio_test_find (GtkWidget *root,
                  GType      type)
{
  if (G_TYPE_CHECK_INSTANCE_TYPE (root, type))
    return root;
  for (GtkWidget *child = gtk_widget_get_first_child (root); child; child = gtk_widget_get_next_sibling (child))
    {
      GtkWidget *found = studio_test_find (child, type);

      if (found)
        return found;
    }
  return NULL;
}

GtkWidget *
studio_test_find_named (GtkWidget  *root,
                        const char *label)
{
  if (GTK_IS_BUTTON (root))
    {
      g_autofree char *difference = gtk_test_accessible_check_property (GTK_ACCESSIBLE (root),
                                                                        GTK_ACCESSIBLE_PROPERTY_LABEL, label);

      if (!difference)
        return root;
    }
  for (GtkWidget *child = gtk_widget_get_first_child (root); child; child = gtk_widget_get_next_sibling (child))
    {
      GtkWidget *found = studio_test_find_named (child, label);

      if (found)
        return found;
    }
  return NULL;
}

gpointer
studio_test_child (gpointer    widget,
                   GType       type,
                   const char *name)
{
  GObject *child = gtk_widget_get_template_child (widget, type, name);

  g_assert_nonnull (child);
  return child;
}

guint
studio_test_count_unnamed (GtkWidget *widget)
{
  guint n = 0;

  if (gtk_widget_get_focusable (widget) &&
      !gtk_test_accessible_has_property (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_PROPERTY_LABEL) &&
      !gtk_test_accessible_has_relation (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_RELATION_LABELLED_BY))
    {
      GtkWidget *parent = gtk_widget_get_parent (widget);
      gboolean excused;

      /* Inside of a control that is named: the text of an entry, the button of a drop-down. Boxes that can be
       * focused only so that what is in them can be scrolled, and labels and rows, whose name is their content. */
      excused = GTK_IS_TEXT (widget) || GTK_IS_LABEL (widget) || GTK_IS_SCROLLED_WINDOW (widget) || GTK_IS_VIEWPORT (widget) ||
                GTK_IS_WINDOW (widget) || GTK_IS_POPOVER (widget) || GTK_IS_LIST_BOX_ROW (widget) ||
                (GTK_IS_TOGGLE_BUTTON (widget) && (GTK_IS_DROP_DOWN (parent) || GTK_IS_MENU_BUTTON (parent))) ||
                g_str_has_suffix (G_OBJECT_TYPE_NAME (widget), "ListItemWidget") ||
                g_str_has_prefix (G_OBJECT_TYPE_NAME (widget), "GtkModel") ||
                gtk_widget_get_ancestor (widget, GTK_TYPE_WINDOW_CONTROLS) ||
                /* libadwaita's own: the rows of a group, and the list that a combo row drops. */
                (GTK_IS_LIST_BOX (widget) && gtk_widget_get_ancestor (widget, ADW_TYPE_PREFERENCES_GROUP)) ||
                gtk_widget_get_ancestor (widget, ADW_TYPE_COMBO_ROW) ||
                /* A banner names its button when it shows it. */
                (!gtk_widget_get_visible (widget) && gtk_widget_get_ancestor (widget, STUDIO_TYPE_BANNER));
      if (!excused)
        {
          g_test_message ("no name: %s in %s (%s)", G_OBJECT_TYPE_NAME (widget), G_OBJECT_TYPE_NAME (parent),
                          gtk_widget_get_tooltip_text (widget) ? gtk_widget_get_tooltip_text (widget) : "");
          n++;
        }
    }

  for (GtkWidget *child = gtk_widget_get_first_child (widget); child; child = gtk_widget_get_next_sibling (child))
    if (!GTK_IS_DROP_DOWN (widget) || !GTK_IS_POPOVER (child))
      n += studio_test_count_unnamed (child);
  return n;
}

char *
studio_test_make_folder (void)
{
  g_autoptr(GError) error = NULL;
  char *folder = g_dir_make_tmp ("dimr-test-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

void
studio_test_remove_folder (const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir)))
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        studio_test_remove_folder (path);
      else
        g_unlink (path);
    }
  g_rmdir (folder);
}
