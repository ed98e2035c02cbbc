/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-seed-row.h"

#include <glib/gi18n.h>
#include <string.h>

#include "core/dimr.h"

struct _StudioSeedRow
{
  GtkBox parent_instance;

  GtkEntry *entry;
  GtkWidget *dice_button;
  GtkToggleButton *lock_button;
  GtkWidget *index_box;
  GtkLabel *index_label;
  GtkWidget *index_button;
  GtkRevealer *error_revealer;

  gboolean valid;
  gboolean random;
  guint64 seed;
  guint64 first_index;
  gboolean has_used;
  guint64 used;
  gboolean updating;
};

enum
{
  CHANGED,
  N_SIGNALS
};

G_DEFINE_FINAL_TYPE (StudioSeedRow, studio_seed_row, GTK_TYPE_BOX)

static guint signals[N_SIGNALS];

static void
update_widgets (StudioSeedRow *self,
                gboolean       with_entry)
{
  self->updating = TRUE;
  if (with_entry)
    {
      g_autofree char *text = self->random ? g_strdup ("-1") : g_strdup_printf ("%" G_GUINT64_FORMAT, self->seed);

      gtk_editable_set_text (GTK_EDITABLE (self->entry), text);
    }
  gtk_toggle_button_set_active (self->lock_button, !self->random);
  gtk_button_set_icon_name (GTK_BUTTON (self->lock_button),
                            self->random ? "changes-allow-symbolic" : "changes-prevent-symbolic");
  gtk_widget_set_sensitive (self->dice_button, !self->random || !self->valid);
  gtk_widget_set_visible (self->index_box, !self->random && self->first_index > 0);
  if (self->first_index > 0)
    {
      g_autofree char *number = g_strdup_printf ("%" G_GUINT64_FORMAT, self->first_index + 1);
      g_autofree char *text = g_strdup_printf (_("Begins with picture %s of this seed"), number);

      gtk_label_set_text (self->index_label, text);
    }
  if (self->valid)
    {
      gtk_widget_remove_css_class (GTK_WIDGET (self->entry), "error");
      gtk_accessible_reset_state (GTK_ACCESSIBLE (self->entry), GTK_ACCESSIBLE_STATE_INVALID);
      gtk_revealer_set_reveal_child (self->error_revealer, FALSE);
    }
  self->updating = FALSE;
}

static void
change (StudioSeedRow *self,
        gboolean       random,
        guint64        seed,
        guint64        first_index,
        gboolean       with_entry)
{
  self->valid = TRUE;
  self->random = random;
  self->seed = seed;
  self->first_index = first_index;
  update_widgets (self, with_entry);
  g_signal_emit (self, signals[CHANGED], 0);
}

static void
on_entry_changed (StudioSeedRow *self)
{
  g_autofree char *text = g_strstrip (g_strdup (gtk_editable_get_text (GTK_EDITABLE (self->entry))));
  guint64 seed;

  if (self->updating)
    return;
  /* The typographic minus is what the explanation shows. */
  if (strcmp (text, "-1") == 0 || strcmp (text, "−1") == 0 || *text == '\0')
    change (self, TRUE, 0, 0, FALSE);
  else if (g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &seed, NULL))
    change (self, FALSE, seed, 0, FALSE);
  else
    self->valid = FALSE;
}

static void
on_entry_activate (StudioSeedRow *self)
{
  if (self->valid)
    {
      update_widgets (self, TRUE);
      return;
    }
  gtk_widget_add_css_class (GTK_WIDGET (self->entry), "error");
  gtk_accessible_update_state (GTK_ACCESSIBLE (self->entry),
                               GTK_ACCESSIBLE_STATE_INVALID, GTK_ACCESSIBLE_INVALID_TRUE, -1);
  gtk_revealer_set_reveal_child (self->error_revealer, TRUE);
}

static void
on_lock_toggled (StudioSeedRow *self)
{
  if (self->updating)
    return;
  if (gtk_toggle_button_get_active (self->lock_button))
    change (self, FALSE, self->has_used ? self->used : dimr_request_random_seed (), 0, TRUE);
  else
    change (self, TRUE, 0, 0, TRUE);
}

static void
on_index_clicked (StudioSeedRow *self)
{
  gtk_widget_grab_focus (GTK_WIDGET (self->entry));
  change (self, self->random, self->seed, 0, TRUE);
}

static void
studio_seed_row_dispose (GObject *object)
{
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (object))))
    gtk_box_remove (GTK_BOX (object), child);
  G_OBJECT_CLASS (studio_seed_row_parent_class)->dispose (object);
}

static void
studio_seed_row_class_init (StudioSeedRowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = studio_seed_row_dispose;
  signals[CHANGED] = g_signal_new ("changed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0,
                                   NULL, NULL, NULL, G_TYPE_NONE, 0);

  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_GROUP);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-seed-row.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioSeedRow, entry);
  gtk_widget_class_bind_template_child (widget_class, StudioSeedRow, dice_button);
  gtk_widget_class_bind_template_child (widget_class, StudioSeedRow, lock_button);
  gtk_widget_class_bind_template_child (widget_class, StudioSeedRow, index_box);
  gtk_widget_class_bind_template_child (widget_class, StudioSeedRow, index_label);
  gtk_widget_class_bind_template_child (widget_class, StudioSeedRow, index_button);
  gtk_widget_class_bind_template_child (widget_class, StudioSeedRow, error_revealer);
  gtk_widget_class_bind_template_callback (widget_class, on_entry_changed);
  gtk_widget_class_bind_template_callback (widget_class, on_entry_activate);
  gtk_widget_class_bind_template_callback (widget_class, on_lock_toggled);
  gtk_widget_class_bind_template_callback (widget_class, on_index_clicked);
  gtk_widget_class_bind_template_callback (widget_class, studio_seed_row_set_random);
}

static void
studio_seed_row_init (StudioSeedRow *self)
{
  GtkEventController *focus = gtk_event_controller_focus_new ();

  self->valid = TRUE;
  self->random = TRUE;
  self->updating = TRUE; /* until the template's own text is in */
  gtk_widget_init_template (GTK_WIDGET (self));
  update_widgets (self, TRUE);

  g_signal_connect_swapped (focus, "leave", G_CALLBACK (on_entry_activate), self);
  gtk_widget_add_controller (GTK_WIDGET (self->entry), focus);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->entry),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, _("Seed"),
                                  GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, _("−1 takes a new seed each time"), -1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->dice_button),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, _("Take a new seed each time"), -1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->lock_button),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, _("Keep the last seed"), -1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->index_button),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, _("Begin with the first picture of the seed"), -1);
}

gboolean
studio_seed_row_get_seed (StudioSeedRow *self,
                          guint64       *seed,
                          guint64       *first_index)
{
  g_return_val_if_fail (STUDIO_IS_SEED_ROW (self), FALSE);

  if (self->random)
    return FALSE;
  *seed = self->seed;
  *first_index = self->first_index;
  return TRUE;
}

void
studio_seed_row_set_seed (StudioSeedRow *self,
                          guint64        seed,
                          guint64        first_index)
{
  g_return_if_fail (STUDIO_IS_SEED_ROW (self));
  change (self, FALSE, seed, first_index, TRUE);
}

void
studio_seed_row_set_random (StudioSeedRow *self)
{
  g_return_if_fail (STUDIO_IS_SEED_ROW (self));

  if (gtk_widget_has_focus (self->dice_button))
    gtk_widget_grab_focus (GTK_WIDGET (self->entry));
  change (self, TRUE, 0, 0, TRUE);
}

void
studio_seed_row_set_used_seed (StudioSeedRow *self,
                               guint64        seed)
{
  g_return_if_fail (STUDIO_IS_SEED_ROW (self));
  self->has_used = TRUE;
  self->used = seed;
}

gboolean
studio_seed_row_check (StudioSeedRow *self)
{
  g_return_val_if_fail (STUDIO_IS_SEED_ROW (self), TRUE);

  if (!self->valid)
    {
      on_entry_activate (self);
      gtk_widget_grab_focus (GTK_WIDGET (self->entry));
    }
  return self->valid;
}
