/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-queue-button.h"

#include <adwaita.h>
#include <glib/gi18n.h>

#include "ui/studio-format.h"

struct _StudioQueueButton
{
  GtkWidget parent_instance;

  GtkMenuButton *button;
  GtkLabel *count;
  GtkListBox *list;
  GtkWidget *empty;
  GtkWidget *clear_button;

  DimrEngine *engine;
};

G_DEFINE_FINAL_TYPE (StudioQueueButton, studio_queue_button, GTK_TYPE_WIDGET)

static void
on_cancel (GtkButton         *button,
           StudioQueueButton *self)
{
  DimrJob *job = g_object_get_data (G_OBJECT (button), "job");

  if (self->engine)
    dimr_engine_cancel (self->engine, job);
}

static void
update_row (AdwActionRow *row,
            DimrJob      *job)
{
  const DimrRequest *request = dimr_job_peek_request (job);
  guint n_images = dimr_job_get_n_images (job);
  g_autofree char *text = NULL;

  if (dimr_job_is_decoding (job) && dimr_job_get_state (job) == DIMR_JOB_RUNNING)
    text = g_strdup (_("Running · decoding"));
  else if (dimr_job_get_state (job) == DIMR_JOB_RUNNING)
    text = g_strdup_printf (_("Running · step %u of %u"), dimr_job_get_step (job), dimr_job_get_n_steps (job));
  else
    {
      g_autofree char *pictures = g_strdup_printf (ngettext ("%u picture", "%u pictures", n_images), n_images);
      g_autofree char *steps = g_strdup_printf (ngettext ("%u step", "%u steps", request->n_steps), request->n_steps);

      text = g_strconcat (pictures, " · ", steps, NULL);
    }
  adw_action_row_set_subtitle (row, text);
}

static void
on_job_changed (DimrJob      *job,
                AdwActionRow *row)
{
  update_row (row, job);
}

static void
add_row (StudioQueueButton *self,
         DimrJob           *job)
{
  GtkWidget *row = adw_action_row_new ();
  GtkWidget *cancel = gtk_button_new_from_icon_name ("window-close-symbolic");
  g_autofree char *title = studio_format_classes (dimr_job_peek_request (job));
  g_autofree char *name = g_strdup_printf (_("Cancel %s"), title);

  adw_preferences_row_set_use_markup (ADW_PREFERENCES_ROW (row), FALSE);
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  gtk_widget_add_css_class (row, "numeric");
  update_row (ADW_ACTION_ROW (row), job);
  g_signal_connect_object (job, "changed", G_CALLBACK (on_job_changed), row, 0);

  gtk_widget_set_valign (cancel, GTK_ALIGN_CENTER);
  gtk_widget_add_css_class (cancel, "flat");
  gtk_widget_add_css_class (cancel, "circular");
  gtk_widget_set_tooltip_text (cancel, _("Cancel"));
  gtk_accessible_update_property (GTK_ACCESSIBLE (cancel), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
  g_object_set_data_full (G_OBJECT (cancel), "job", g_object_ref (job), g_object_unref);
  g_signal_connect (cancel, "clicked", G_CALLBACK (on_cancel), self);
  adw_action_row_add_suffix (ADW_ACTION_ROW (row), cancel);
  gtk_list_box_append (self->list, row);
}

/* Rebuilt whenever a job begins, ends or joins: queues are short. */
static void
update (StudioQueueButton *self)
{
  DimrJob *current = self->engine ? dimr_engine_get_current_job (self->engine) : NULL;
  GListModel *queue = self->engine ? dimr_engine_get_queue (self->engine) : NULL;
  guint n_waiting = queue ? g_list_model_get_n_items (queue) : 0;
  guint n = n_waiting + (current != NULL);
  g_autofree char *count = g_strdup_printf ("%u", n);
  g_autofree char *name = NULL;
  GtkListBoxRow *row;

  while ((row = gtk_list_box_get_row_at_index (self->list, 0)))
    gtk_list_box_remove (self->list, GTK_WIDGET (row));
  if (current)
    add_row (self, current);
  for (guint i = 0; i < n_waiting; i++)
    {
      g_autoptr(DimrJob) job = g_list_model_get_item (queue, i);

      add_row (self, job);
    }

  gtk_label_set_text (self->count, count);
  gtk_widget_set_visible (GTK_WIDGET (self->count), n > 0);
  gtk_widget_set_visible (GTK_WIDGET (self->list), n > 0);
  gtk_widget_set_visible (self->empty, n == 0);
  gtk_widget_set_visible (self->clear_button, n_waiting > 0);
  name = n ? g_strdup_printf (ngettext ("Queue: %u job", "Queue: %u jobs", n), n) : g_strdup (_("Queue: empty"));
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->button), name);
}

static void
studio_queue_button_dispose (GObject *object)
{
  StudioQueueButton *self = STUDIO_QUEUE_BUTTON (object);

  if (self->button)
    {
      studio_queue_button_set_engine (self, NULL);
      gtk_widget_unparent (GTK_WIDGET (self->button));
      self->button = NULL;
    }
  G_OBJECT_CLASS (studio_queue_button_parent_class)->dispose (object);
}

static void
studio_queue_button_class_init (StudioQueueButtonClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = studio_queue_button_dispose;
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-queue-button.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioQueueButton, button);
  gtk_widget_class_bind_template_child (widget_class, StudioQueueButton, count);
  gtk_widget_class_bind_template_child (widget_class, StudioQueueButton, list);
  gtk_widget_class_bind_template_child (widget_class, StudioQueueButton, empty);
  gtk_widget_class_bind_template_child (widget_class, StudioQueueButton, clear_button);
}

static void
studio_queue_button_init (StudioQueueButton *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->list), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Jobs"), -1);
  update (self);
}

void
studio_queue_button_set_engine (StudioQueueButton *self,
                                DimrEngine        *engine)
{
  g_return_if_fail (STUDIO_IS_QUEUE_BUTTON (self));

  if (self->engine)
    {
      g_signal_handlers_disconnect_by_data (self->engine, self);
      g_signal_handlers_disconnect_by_data (dimr_engine_get_queue (self->engine), self);
    }
  g_set_object (&self->engine, engine);
  if (engine)
    {
      g_signal_connect_swapped (engine, "notify::current-job", G_CALLBACK (update), self);
      g_signal_connect_swapped (dimr_engine_get_queue (engine), "items-changed", G_CALLBACK (update), self);
    }
  update (self);
}
