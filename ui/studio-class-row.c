/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-class-row.h"

#include <glib/gi18n.h>
#include <string.h>

#include "ui/studio-settings.h"

struct _StudioClassRow
{
  GtkBox parent_instance;

  GtkLabel *heading;
  GtkBox *content;
  GtkLabel *number;
  GtkLabel *name;
  GtkLabel *synonyms;
  GtkWidget *unseen;
  GtkWidget *check;
  GtkToggleButton *star;

  StudioClassItem *item;
  GBinding *bindings[3];
};

G_DEFINE_FINAL_TYPE (StudioClassRow, studio_class_row, GTK_TYPE_BOX)

static void
on_star_toggled (StudioClassRow *self)
{
  gboolean active = gtk_toggle_button_get_active (self->star);
  gboolean was = FALSE;

  gtk_button_set_icon_name (GTK_BUTTON (self->star), active ? "starred-symbolic" : "non-starred-symbolic");
  if (!self->item)
    return;

  /* Only a click differs from the item; the binding does not. */
  g_object_get (self->item, "favourite", &was, NULL);
  if (active == was)
    return;
  if (active)
    studio_settings_prepend_int ("favourite-classes", studio_class_item_get_index (self->item), DIMR_N_IMAGENET_CLASSES);
  else
    studio_settings_remove_int ("favourite-classes", studio_class_item_get_index (self->item));
}

static void
studio_class_row_dispose (GObject *object)
{
  StudioClassRow *self = STUDIO_CLASS_ROW (object);
  GtkWidget *child;

  studio_class_row_set_item (self, NULL);
  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self))))
    gtk_box_remove (GTK_BOX (self), child);
  G_OBJECT_CLASS (studio_class_row_parent_class)->dispose (object);
}

static void
studio_class_row_class_init (StudioClassRowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = studio_class_row_dispose;
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-class-row.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioClassRow, heading);
  gtk_widget_class_bind_template_child (widget_class, StudioClassRow, content);
  gtk_widget_class_bind_template_child (widget_class, StudioClassRow, number);
  gtk_widget_class_bind_template_child (widget_class, StudioClassRow, name);
  gtk_widget_class_bind_template_child (widget_class, StudioClassRow, synonyms);
  gtk_widget_class_bind_template_child (widget_class, StudioClassRow, unseen);
  gtk_widget_class_bind_template_child (widget_class, StudioClassRow, check);
  gtk_widget_class_bind_template_child (widget_class, StudioClassRow, star);
  gtk_widget_class_bind_template_callback (widget_class, on_star_toggled);
}

static void
studio_class_row_init (StudioClassRow *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
}

GtkWidget *
studio_class_row_new (void)
{
  return g_object_new (STUDIO_TYPE_CLASS_ROW, NULL);
}

static void
show_class (StudioClassRow  *self,
            const DimrClass *class)
{
  g_autofree char *number = g_strdup_printf ("%d", class->index);
  g_autofree char *star = g_strdup_printf (_("Favourite: %s"), class->name);
  const char *rest = class->names;

  /* The name is usually the first of the synonyms: only the others are told below it. */
  if (g_str_has_prefix (rest, class->name) && rest[strlen (class->name)] == ',')
    rest += strlen (class->name) + 2;
  else if (strcmp (rest, class->name) == 0)
    rest = "";

  gtk_label_set_text (self->number, number);
  gtk_label_set_text (self->name, class->name);
  gtk_label_set_text (self->synonyms, rest);
  gtk_widget_set_visible (GTK_WIDGET (self->synonyms), *rest != '\0');
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->content), class->names);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->star), GTK_ACCESSIBLE_PROPERTY_LABEL, star, -1);
}

void
studio_class_row_set_item (StudioClassRow  *self,
                           StudioClassItem *item)
{
  const char *heading;

  g_return_if_fail (STUDIO_IS_CLASS_ROW (self));

  for (guint i = 0; i < G_N_ELEMENTS (self->bindings); i++)
    if (self->bindings[i])
      {
        g_binding_unbind (self->bindings[i]);
        self->bindings[i] = NULL;
      }
  g_set_object (&self->item, item);
  if (!item)
    return;

  heading = studio_class_item_get_heading (item);
  gtk_widget_set_visible (GTK_WIDGET (self->heading), heading != NULL);
  gtk_widget_set_visible (GTK_WIDGET (self->content), heading == NULL);
  if (heading)
    {
      gtk_label_set_text (self->heading, heading);
      return;
    }

  show_class (self, dimr_classes_get (studio_class_item_get_index (item)));
  self->bindings[0] = g_object_bind_property (item, "chosen", self->check, "visible", G_BINDING_SYNC_CREATE);
  self->bindings[1] = g_object_bind_property (item, "unseen", self->unseen, "visible", G_BINDING_SYNC_CREATE);
  self->bindings[2] = g_object_bind_property (item, "favourite", self->star, "active", G_BINDING_SYNC_CREATE);
}
