/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-run-button.h"

#include <glib/gi18n.h>

struct _StudioRunButton
{
  GtkButton parent_instance;
};

G_DEFINE_FINAL_TYPE (StudioRunButton, studio_run_button, GTK_TYPE_BUTTON)

static void
studio_run_button_class_init (StudioRunButtonClass *klass)
{
}

static void
studio_run_button_init (StudioRunButton *self)
{
  gtk_button_set_use_underline (GTK_BUTTON (self), TRUE);
  gtk_actionable_set_action_name (GTK_ACTIONABLE (self), "win.run");
  gtk_widget_add_css_class (GTK_WIDGET (self), "numeric");
  studio_run_button_show_job (self, NULL);
}

static void
describe (StudioRunButton *self,
          const char      *name,
          const char      *description,
          const char      *tooltip)
{
  gtk_accessible_update_property (GTK_ACCESSIBLE (self),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, name,
                                  GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, description, -1);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self), tooltip);
}

void
studio_run_button_show_job (StudioRunButton *self,
                            DimrJob         *job)
{
  g_autofree char *text = NULL;

  g_return_if_fail (STUDIO_IS_RUN_BUTTON (self));

  if (job)
    {
      guint step = dimr_job_get_step (job), n_steps = dimr_job_get_n_steps (job);

      /* Translators: the step that the run has reached, and how many there are. */
      text = n_steps ? g_strdup_printf (_("Stop · %u of %u"), step, n_steps) : g_strdup (_("Stop"));
      gtk_widget_remove_css_class (GTK_WIDGET (self), "suggested-action");
      describe (self, _("Stop"), _("Stops the run within one step and keeps the pictures that are finished"),
                _("Stop this run (Shift+X)"));
    }
  else
    {
      text = g_strdup (_("_Generate"));
      gtk_widget_add_css_class (GTK_WIDGET (self), "suggested-action");
      describe (self, _("Generate"), _("Makes pictures with these settings"), _("Make the pictures (Ctrl+Enter)"));
    }
  gtk_button_set_label (GTK_BUTTON (self), text);
}
