/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-banner.h"

#include <glib/gi18n.h>

struct _StudioBanner
{
  GtkWidget parent_instance;

  GtkRevealer *revealer;
  GtkLabel *label;
  GtkButton *button;
  GtkWidget *close_button;
};

enum
{
  CLOSED,
  N_SIGNALS
};

G_DEFINE_FINAL_TYPE (StudioBanner, studio_banner, GTK_TYPE_WIDGET)

static guint signals[N_SIGNALS];

static void
on_close (StudioBanner *self)
{
  gtk_revealer_set_reveal_child (self->revealer, FALSE);
  g_signal_emit (self, signals[CLOSED], 0);
}

static void
studio_banner_dispose (GObject *object)
{
  StudioBanner *self = STUDIO_BANNER (object);

  if (self->revealer)
    {
      gtk_widget_unparent (GTK_WIDGET (self->revealer));
      self->revealer = NULL;
    }
  G_OBJECT_CLASS (studio_banner_parent_class)->dispose (object);
}

static void
studio_banner_class_init (StudioBannerClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = studio_banner_dispose;
  signals[CLOSED] = g_signal_new ("closed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0,
                                  NULL, NULL, NULL, G_TYPE_NONE, 0);

  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_ALERT);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-banner.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioBanner, revealer);
  gtk_widget_class_bind_template_child (widget_class, StudioBanner, label);
  gtk_widget_class_bind_template_child (widget_class, StudioBanner, button);
  gtk_widget_class_bind_template_child (widget_class, StudioBanner, close_button);
  gtk_widget_class_bind_template_callback (widget_class, on_close);
}

static void
studio_banner_init (StudioBanner *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->close_button), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Close"), -1);
}

void
studio_banner_show (StudioBanner *self,
                    const char   *text,
                    const char   *button,
                    const char   *action)
{
  g_return_if_fail (STUDIO_IS_BANNER (self));

  if (text)
    {
      gtk_label_set_text (self->label, text);
      gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, text, -1);
      gtk_button_set_label (self->button, button ? button : "");
      gtk_actionable_set_action_name (GTK_ACTIONABLE (self->button), action);
      gtk_widget_set_visible (GTK_WIDGET (self->button), button != NULL);
    }
  gtk_revealer_set_reveal_child (self->revealer, text != NULL);
}

const char *
studio_banner_get_text (StudioBanner *self)
{
  g_return_val_if_fail (STUDIO_IS_BANNER (self), NULL);
  return gtk_revealer_get_reveal_child (self->revealer) ? gtk_label_get_text (self->label) : NULL;
}
