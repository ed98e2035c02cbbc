/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-filmstrip.h"

#include <glib/gi18n.h>

#include "ui/studio-thumbnails.h"

#define CELL_SIZE 64

struct _StudioFilmstrip
{
  GtkWidget parent_instance;

  GtkScrolledWindow *window;
  GtkListView *list;
  GListStore *pictures;
  GtkSingleSelection *selection;
  StudioThumbnails *thumbnails;
};

enum
{
  PROP_SELECTED = 1,
  N_PROPS
};

G_DEFINE_FINAL_TYPE (StudioFilmstrip, studio_filmstrip, GTK_TYPE_WIDGET)

static GParamSpec *properties[N_PROPS];

/* --- Cells: the thumbnail, with a star in its corner --- */

static void
on_setup (GtkSignalListItemFactory *factory,
          GtkListItem              *item)
{
  GtkWidget *overlay = gtk_overlay_new ();
  GtkWidget *picture = gtk_picture_new ();
  GtkWidget *star = gtk_image_new_from_icon_name ("starred-symbolic");

  gtk_picture_set_content_fit (GTK_PICTURE (picture), GTK_CONTENT_FIT_COVER);
  gtk_widget_set_size_request (picture, CELL_SIZE, CELL_SIZE);
  gtk_widget_set_overflow (picture, GTK_OVERFLOW_HIDDEN);
  gtk_widget_add_css_class (picture, "thumbnail");
  gtk_overlay_set_child (GTK_OVERLAY (overlay), picture);
  gtk_widget_set_valign (overlay, GTK_ALIGN_CENTER);

  gtk_widget_add_css_class (star, "star");
  gtk_widget_set_halign (star, GTK_ALIGN_END);
  gtk_widget_set_valign (star, GTK_ALIGN_START);
  gtk_overlay_add_overlay (GTK_OVERLAY (overlay), star);
  gtk_list_item_set_child (item, overlay);
}

/* A thumbnail that was let go stays in the cells that show it. */
static void
on_thumbnail (StudioPicture *picture,
              GParamSpec    *pspec,
              GtkListItem   *item)
{
  GtkWidget *overlay = gtk_list_item_get_child (item);
  GtkWidget *view = gtk_overlay_get_child (GTK_OVERLAY (overlay));
  g_autofree char *title = studio_picture_dup_title (picture);

  if (studio_picture_get_thumbnail (picture))
    gtk_picture_set_paintable (GTK_PICTURE (view), GDK_PAINTABLE (studio_picture_get_thumbnail (picture)));
  gtk_picture_set_alternative_text (GTK_PICTURE (view), title);
  gtk_widget_set_tooltip_text (overlay, title);
}

static void
on_bind (GtkSignalListItemFactory *factory,
         GtkListItem              *item,
         StudioFilmstrip          *self)
{
  StudioPicture *picture = gtk_list_item_get_item (item);
  GtkWidget *star = gtk_widget_get_last_child (gtk_list_item_get_child (item));
  GBinding *binding;

  on_thumbnail (picture, NULL, item);
  g_signal_connect (picture, "notify::thumbnail", G_CALLBACK (on_thumbnail), item);
  studio_thumbnails_want (self->thumbnails, picture);
  binding = g_object_bind_property (picture, "starred", star, "visible", G_BINDING_SYNC_CREATE);
  g_object_set_data_full (G_OBJECT (item), "binding", g_object_ref (binding), g_object_unref);
}

static void
on_unbind (GtkSignalListItemFactory *factory,
           GtkListItem              *item,
           StudioFilmstrip          *self)
{
  StudioPicture *picture = gtk_list_item_get_item (item);

  g_signal_handlers_disconnect_by_data (picture, item);
  if (self->thumbnails)
    studio_thumbnails_forget (self->thumbnails, picture);
  g_binding_unbind (g_object_get_data (G_OBJECT (item), "binding"));
  g_object_set_data (G_OBJECT (item), "binding", NULL);
  gtk_picture_set_paintable (GTK_PICTURE (gtk_overlay_get_child (GTK_OVERLAY (gtk_list_item_get_child (item)))), NULL);
}

/* What cannot be read is no picture of ours: the strip does without. */
static void
on_unreadable (StudioPicture *picture,
               gpointer       user_data)
{
  StudioFilmstrip *self = user_data;
  guint position;

  if (g_list_store_find (self->pictures, picture, &position))
    g_list_store_remove (self->pictures, position);
}

static void
on_selected (StudioFilmstrip *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_SELECTED]);
}

static void
studio_filmstrip_dispose (GObject *object)
{
  StudioFilmstrip *self = STUDIO_FILMSTRIP (object);

  if (self->selection)
    g_signal_handlers_disconnect_by_data (self->selection, self);
  g_clear_pointer (&self->thumbnails, studio_thumbnails_free);
  if (self->window)
    {
      gtk_widget_unparent (GTK_WIDGET (self->window));
      self->window = NULL;
    }
  g_clear_object (&self->selection);
  g_clear_object (&self->pictures);
  G_OBJECT_CLASS (studio_filmstrip_parent_class)->dispose (object);
}

static void
studio_filmstrip_get_property (GObject    *object,
                               guint       prop_id,
                               GValue     *value,
                               GParamSpec *pspec)
{
  g_value_set_object (value, studio_filmstrip_get_selected (STUDIO_FILMSTRIP (object)));
}

static void
studio_filmstrip_class_init (StudioFilmstripClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  object_class->dispose = studio_filmstrip_dispose;
  object_class->get_property = studio_filmstrip_get_property;
  properties[PROP_SELECTED] = g_param_spec_object ("selected", NULL, NULL, STUDIO_TYPE_PICTURE,
                                                   G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);

  gtk_widget_class_set_css_name (widget_class, "studio-filmstrip");
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
}

static void
studio_filmstrip_init (StudioFilmstrip *self)
{
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();

  self->thumbnails = studio_thumbnails_new (on_unreadable, self);
  self->pictures = g_list_store_new (STUDIO_TYPE_PICTURE);
  self->selection = gtk_single_selection_new (g_object_ref (G_LIST_MODEL (self->pictures)));
  gtk_single_selection_set_autoselect (self->selection, FALSE);
  gtk_single_selection_set_can_unselect (self->selection, TRUE);
  g_signal_connect_swapped (self->selection, "notify::selected-item", G_CALLBACK (on_selected), self);

  g_signal_connect (factory, "setup", G_CALLBACK (on_setup), NULL);
  g_signal_connect (factory, "bind", G_CALLBACK (on_bind), self);
  g_signal_connect (factory, "unbind", G_CALLBACK (on_unbind), self);
  self->list = GTK_LIST_VIEW (gtk_list_view_new (GTK_SELECTION_MODEL (g_object_ref (self->selection)), factory));
  gtk_orientable_set_orientation (GTK_ORIENTABLE (self->list), GTK_ORIENTATION_HORIZONTAL);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->list), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Finished pictures"), -1);

  self->window = GTK_SCROLLED_WINDOW (gtk_scrolled_window_new ());
  gtk_scrolled_window_set_policy (self->window, GTK_POLICY_AUTOMATIC, GTK_POLICY_NEVER);
  gtk_scrolled_window_set_child (self->window, GTK_WIDGET (self->list));
  gtk_widget_set_parent (GTK_WIDGET (self->window), GTK_WIDGET (self));
}

static guint
find_picture (StudioFilmstrip *self,
              StudioPicture   *picture)
{
  guint position;

  if (picture && g_list_store_find (self->pictures, picture, &position))
    return position;
  return G_MAXUINT;
}

StudioPicture *
studio_filmstrip_get_selected (StudioFilmstrip *self)
{
  g_return_val_if_fail (STUDIO_IS_FILMSTRIP (self), NULL);
  return gtk_single_selection_get_selected_item (self->selection);
}

void
studio_filmstrip_select (StudioFilmstrip *self,
                         StudioPicture   *picture)
{
  guint position;

  g_return_if_fail (STUDIO_IS_FILMSTRIP (self));

  /* Asked at every step of a run: who has scrolled elsewhere meanwhile stays there. */
  if (picture == studio_filmstrip_get_selected (self))
    return;
  position = find_picture (self, picture);
  gtk_single_selection_set_selected (self->selection, position == G_MAXUINT ? GTK_INVALID_LIST_POSITION : position);
  if (position != G_MAXUINT)
    gtk_widget_activate_action (GTK_WIDGET (self->list), "list.scroll-to-item", "u", position);
}

void
studio_filmstrip_insert (StudioFilmstrip *self,
                         guint            position,
                         StudioPicture   *picture)
{
  g_return_if_fail (STUDIO_IS_FILMSTRIP (self));
  g_return_if_fail (STUDIO_IS_PICTURE (picture));
  g_list_store_insert (self->pictures, MIN (position, studio_filmstrip_get_n (self)), picture);
}

void
studio_filmstrip_prepend (StudioFilmstrip *self,
                          StudioPicture   *picture)
{
  GtkAdjustment *adjustment = gtk_scrolled_window_get_hadjustment (self->window);
  gboolean at_start = gtk_adjustment_get_value (adjustment) <= gtk_adjustment_get_lower (adjustment) + CELL_SIZE;

  studio_filmstrip_insert (self, 0, picture);
  /* The list keeps what was in sight in sight; who was at the start wants to see what comes. */
  if (at_start)
    gtk_widget_activate_action (GTK_WIDGET (self->list), "list.scroll-to-item", "u", 0);
}

guint
studio_filmstrip_remove (StudioFilmstrip *self,
                         StudioPicture   *picture)
{
  guint position;

  g_return_val_if_fail (STUDIO_IS_FILMSTRIP (self), G_MAXUINT);

  position = find_picture (self, picture);
  if (position == G_MAXUINT)
    return position;
  g_list_store_remove (self->pictures, position);
  if (studio_filmstrip_get_n (self) > 0)
    gtk_single_selection_set_selected (self->selection, MIN (position, studio_filmstrip_get_n (self) - 1));
  return position;
}

guint
studio_filmstrip_get_n (StudioFilmstrip *self)
{
  g_return_val_if_fail (STUDIO_IS_FILMSTRIP (self), 0);
  return g_list_model_get_n_items (G_LIST_MODEL (self->pictures));
}

void
studio_filmstrip_clear (StudioFilmstrip *self)
{
  g_return_if_fail (STUDIO_IS_FILMSTRIP (self));
  g_list_store_remove_all (self->pictures);
}

void
studio_filmstrip_append_new (StudioFilmstrip *self,
                             GPtrArray       *pictures)
{
  const guint n = studio_filmstrip_get_n (self);
  g_autoptr(GHashTable) known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr(GPtrArray) new = g_ptr_array_new ();

  g_return_if_fail (STUDIO_IS_FILMSTRIP (self));

  for (guint i = 0; i < n; i++)
    {
      g_autoptr(StudioPicture) picture = g_list_model_get_item (G_LIST_MODEL (self->pictures), i);

      if (studio_picture_peek_path (picture))
        g_hash_table_add (known, g_strdup (studio_picture_peek_path (picture)));
    }
  for (guint i = 0; i < pictures->len; i++)
    if (!g_hash_table_contains (known, studio_picture_peek_path (g_ptr_array_index (pictures, i))))
      g_ptr_array_add (new, g_ptr_array_index (pictures, i));
  g_list_store_splice (self->pictures, n, 0, new->pdata, new->len);
}
