/* studio-class-picker-list.c — what the picker offers: sections, marks and filters
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "ui/studio-class-picker-private.h"

#include <glib/gi18n.h>

#include "ui/studio-class-row.h"
#include "ui/studio-settings.h"

static const char *
group_label (DimrClassGroup group)
{
  static const char * const labels[DIMR_N_CLASS_GROUPS] = {
    [DIMR_CLASS_GROUP_BIRDS] = N_("Birds"),
    [DIMR_CLASS_GROUP_DOGS] = N_("Dogs"),
    [DIMR_CLASS_GROUP_MAMMALS] = N_("Other mammals"),
    [DIMR_CLASS_GROUP_REPTILES] = N_("Reptiles"),
    [DIMR_CLASS_GROUP_SEA_LIFE] = N_("Sea life"),
    [DIMR_CLASS_GROUP_INSECTS] = N_("Insects"),
    [DIMR_CLASS_GROUP_FOOD] = N_("Food and plants"),
    [DIMR_CLASS_GROUP_VEHICLES] = N_("Vehicles"),
    [DIMR_CLASS_GROUP_PLACES] = N_("Places"),
    [DIMR_CLASS_GROUP_OBJECTS] = N_("Objects"),
  };

  return _(labels[group]);
}

/* Each class once: a list may hold an item only once, and the first section is where it belongs. */
static void
append_class (StudioClassPicker *self,
              GPtrArray         *rows,
              gboolean          *listed,
              int                class_index)
{
  if (class_index < 0 || class_index >= DIMR_N_IMAGENET_CLASSES || listed[class_index])
    return;
  if (self->filter == FILTER_TRAINED && !_studio_class_picker_knows_class (self, class_index))
    return;
  if (self->filter >= 0 && dimr_classes_get (class_index)->group != (DimrClassGroup) self->filter)
    return;
  listed[class_index] = TRUE;
  g_ptr_array_add (rows, g_object_ref (g_ptr_array_index (self->items, class_index)));
}

static void
append_section (StudioClassPicker *self,
                GPtrArray         *rows,
                gboolean          *listed,
                const char        *heading,
                GArray            *classes,
                guint              limit)
{
  guint at = rows->len;

  for (guint i = 0; i < MIN (classes->len, limit); i++)
    append_class (self, rows, listed, g_array_index (classes, int, i));
  if (heading && rows->len > at)
    g_ptr_array_insert (rows, at, studio_class_item_new_heading (heading));
}

void
_studio_class_picker_update_list (StudioClassPicker *self)
{
  const char *text = gtk_editable_get_text (GTK_EDITABLE (self->entry));
  g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GArray) found = dimr_classes_search (text);
  g_autofree gboolean *listed = g_new0 (gboolean, DIMR_N_IMAGENET_CLASSES);

  /* Those a person used before come first while nothing is searched for. */
  if (*text == '\0' && self->filter == FILTER_ALL)
    {
      g_autoptr(GArray) favourites = studio_settings_dup_ints ("favourite-classes");
      g_autoptr(GArray) recent = studio_settings_dup_ints ("recent-classes");

      append_section (self, rows, listed, _("Favourites"), favourites, G_MAXUINT);
      append_section (self, rows, listed, _("Recent"), recent, N_RECENT);
      append_section (self, rows, listed, rows->len ? _("All classes") : NULL, found, G_MAXUINT);
    }
  else
    {
      append_section (self, rows, listed, NULL, found, G_MAXUINT);
    }

  g_list_store_splice (self->rows, 0, g_list_model_get_n_items (G_LIST_MODEL (self->rows)), rows->pdata, rows->len);
  gtk_single_selection_set_selected (self->selection, GTK_INVALID_LIST_POSITION);
  if (rows->len == 0)
    {
      g_autofree char *message = NULL;

      if (*text == '\0')
        message = g_strdup (_("No class of this group"));
      else if (self->filter == FILTER_ALL)
        message = g_strdup_printf (_("No class is called “%s”"), text);
      else
        message = g_strdup_printf (_("No class of this group is called “%s”"), text);
      gtk_label_set_text (self->empty_label, message);
    }
  gtk_stack_set_visible_child_name (self->stack, rows->len ? "list" : "empty");
}

void
_studio_class_picker_update_flags (StudioClassPicker *self)
{
  g_autoptr(GArray) favourites = studio_settings_dup_ints ("favourite-classes");
  g_autofree gboolean *is_favourite = g_new0 (gboolean, DIMR_N_IMAGENET_CLASSES);

  for (guint i = 0; i < favourites->len; i++)
    {
      int class_index = g_array_index (favourites, int, i);

      if (class_index >= 0 && class_index < DIMR_N_IMAGENET_CLASSES)
        is_favourite[class_index] = TRUE;
    }
  for (int i = 0; i < DIMR_N_IMAGENET_CLASSES; i++)
    g_object_set (g_ptr_array_index (self->items, i),
                  "favourite", is_favourite[i],
                  "unseen", !_studio_class_picker_knows_class (self, i),
                  "chosen", _studio_class_picker_find_class (self, i) >= 0,
                  NULL);
}

static void
on_row_setup (GtkSignalListItemFactory *factory,
              GtkListItem              *list_item)
{
  gtk_list_item_set_child (list_item, studio_class_row_new ());
}

static void
on_row_bind (GtkSignalListItemFactory *factory,
             GtkListItem              *list_item)
{
  StudioClassItem *item = gtk_list_item_get_item (list_item);
  gboolean is_class = studio_class_item_get_heading (item) == NULL;

  studio_class_row_set_item (STUDIO_CLASS_ROW (gtk_list_item_get_child (list_item)), item);
  gtk_list_item_set_activatable (list_item, is_class);
  gtk_list_item_set_selectable (list_item, is_class);
}

static void
on_row_unbind (GtkSignalListItemFactory *factory,
               GtkListItem              *list_item)
{
  studio_class_row_set_item (STUDIO_CLASS_ROW (gtk_list_item_get_child (list_item)), NULL);
}

static void
on_filter_toggled (GtkToggleButton   *button,
                   StudioClassPicker *self)
{
  if (!gtk_toggle_button_get_active (button))
    return;
  self->filter = GPOINTER_TO_INT (g_object_get_data (G_OBJECT (button), "filter"));
  _studio_class_picker_update_list (self);
}

static GtkWidget *
add_filter (StudioClassPicker *self,
            const char        *label,
            int                filter,
            GtkWidget         *group)
{
  GtkWidget *button = gtk_toggle_button_new_with_label (label);

  gtk_widget_add_css_class (button, "pill-filter");
  gtk_toggle_button_set_group (GTK_TOGGLE_BUTTON (button), GTK_TOGGLE_BUTTON (group));
  gtk_toggle_button_set_active (GTK_TOGGLE_BUTTON (button), filter == self->filter);
  g_object_set_data (G_OBJECT (button), "filter", GINT_TO_POINTER (filter));
  g_signal_connect (button, "toggled", G_CALLBACK (on_filter_toggled), self);
  gtk_box_append (self->groups, button);
  return button;
}

static void
add_filters (StudioClassPicker *self)
{
  GtkWidget *all = add_filter (self, _("All"), FILTER_ALL, NULL);

  self->trained_filter = add_filter (self, _("Known to the model"), FILTER_TRAINED, all);
  for (int i = 0; i < DIMR_N_CLASS_GROUPS; i++)
    add_filter (self, group_label (i), i, all);
  g_object_bind_property (self->trained_filter, "visible", self->trained_filter, "sensitive", G_BINDING_SYNC_CREATE);
  gtk_widget_set_visible (self->trained_filter, FALSE);
}

static void
on_favourites_changed (StudioClassPicker *self)
{
  _studio_class_picker_update_flags (self);
}

void
_studio_class_picker_init_list (StudioClassPicker *self)
{
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();

  self->items = g_ptr_array_new_with_free_func (g_object_unref);
  for (int i = 0; i < DIMR_N_IMAGENET_CLASSES; i++)
    g_ptr_array_add (self->items, studio_class_item_new (i));
  self->filter = FILTER_ALL;

  self->rows = g_list_store_new (STUDIO_TYPE_CLASS_ITEM);
  self->selection = gtk_single_selection_new (g_object_ref (G_LIST_MODEL (self->rows)));
  gtk_single_selection_set_autoselect (self->selection, FALSE);
  gtk_single_selection_set_can_unselect (self->selection, TRUE);
  g_signal_connect (factory, "setup", G_CALLBACK (on_row_setup), NULL);
  g_signal_connect (factory, "bind", G_CALLBACK (on_row_bind), NULL);
  g_signal_connect (factory, "unbind", G_CALLBACK (on_row_unbind), NULL);
  gtk_list_view_set_factory (self->list, factory);
  g_object_unref (factory);
  gtk_list_view_set_model (self->list, GTK_SELECTION_MODEL (self->selection));

  add_filters (self);
  g_signal_connect_object (studio_settings_get (), "changed::favourite-classes",
                           G_CALLBACK (on_favourites_changed), self, G_CONNECT_SWAPPED);
}
