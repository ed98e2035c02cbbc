/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/studio-application.h"

#include <glib/gi18n.h>

#include "ui/studio-preferences.h"
#include "ui/studio-window.h"

struct _StudioApplication
{
  AdwApplication parent_instance;

  gboolean exit_after_startup;
};

G_DEFINE_FINAL_TYPE (StudioApplication, studio_application, ADW_TYPE_APPLICATION)

static StudioWindow *
get_window (StudioApplication *self)
{
  GtkWindow *window = gtk_application_get_active_window (GTK_APPLICATION (self));

  /* A dialog may be the active one. */
  while (window && !STUDIO_IS_WINDOW (window))
    window = gtk_window_get_transient_for (window);
  return window ? STUDIO_WINDOW (window) : studio_window_new (ADW_APPLICATION (self));
}

static void
show_preferences (GSimpleAction *action,
                  GVariant      *parameter,
                  gpointer       user_data)
{
  StudioWindow *window = get_window (user_data);

  gtk_window_present (GTK_WINDOW (studio_preferences_new (GTK_WINDOW (window), studio_window_get_engine (window))));
}

static void
show_about (GSimpleAction *action,
            GVariant      *parameter,
            gpointer       user_data)
{
  adw_show_about_window (GTK_WINDOW (get_window (user_data)),
                         "application-icon", APP_ID,
                         "application-name", "DiMR Studio",
                         "version", DIMR_VERSION,
                         "developer-name", _("The DiMR Studio contributors"),
                         "comments", _("Pictures of the ImageNet classes from DiMR diffusion models, on your own computer. "
                                       "Nothing is sent anywhere."),
                         "license-type", GTK_LICENSE_APACHE_2_0,
                         /* Translators: your name, and how to reach you. */
                         "translator-credits", _("translator-credits"),
                         NULL);
}

static void
quit (GSimpleAction *action,
      GVariant      *parameter,
      gpointer       user_data)
{
  /* Closing asks where something would be lost; quitting at once would not. */
  for (GList *l = gtk_application_get_windows (user_data); l; l = l->next)
    if (STUDIO_IS_WINDOW (l->data))
      {
        gtk_window_close (l->data);
        return;
      }
  g_application_quit (user_data);
}

static const GActionEntry entries[] = {
  { "preferences", show_preferences },
  { "about", show_about },
  { "quit", quit },
};

static const struct
{
  const char *action;
  const char *keys[4];
} accels[] = {
  { "app.preferences", { "<Control>comma" } },
  { "app.quit", { "<Control>q" } },
  { "window.close", { "<Control>w" } },
  { "win.show-help-overlay", { "<Control>question", "<Control>slash", "F1" } },
  { "win.generate", { "<Control>Return", "<Control>KP_Enter" } },
  { "win.generate-front", { "<Control><Shift>Return", "<Control><Shift>KP_Enter" } },
  { "win.clear-queue", { "<Control><Shift>x" } },
  { "win.find-class", { "<Control>f" } },
  { "win.save-as", { "<Control>s" } },
  { "win.open-model", { "<Control>o" } },
  { "win.open-model-folder", { "<Control><Shift>o" } },
  { "win.show-models", { "<Control>m" } },
  { "win.zoom-fit", { "<Control>0", "<Control>KP_0" } },
  { "win.zoom-original", { "<Control>1", "<Control>KP_1" } },
  { "win.zoom-in", { "<Control>plus", "<Control>equal", "<Control>KP_Add" } },
  { "win.zoom-out", { "<Control>minus", "<Control>KP_Subtract" } },
  { "win.show-controls", { "F9" } },
  { "win.fullscreen", { "F11" } },
};

static void
studio_application_startup (GApplication *application)
{
  G_APPLICATION_CLASS (studio_application_parent_class)->startup (application);

  gtk_window_set_default_icon_name (APP_ID);
  g_action_map_add_action_entries (G_ACTION_MAP (application), entries, G_N_ELEMENTS (entries), application);
  for (guint i = 0; i < G_N_ELEMENTS (accels); i++)
    gtk_application_set_accels_for_action (GTK_APPLICATION (application), accels[i].action, accels[i].keys);
}

static gboolean
on_started (gpointer user_data)
{
  StudioApplication *self = user_data;

  for (GList *l = gtk_application_get_windows (GTK_APPLICATION (self)); l; l = l->next)
    if (STUDIO_IS_WINDOW (l->data))
      {
        gtk_window_destroy (l->data);
        break;
      }
  return G_SOURCE_REMOVE;
}

static void
studio_application_activate (GApplication *application)
{
  StudioApplication *self = STUDIO_APPLICATION (application);

  gtk_window_present (GTK_WINDOW (get_window (self)));
  if (self->exit_after_startup)
    g_idle_add_full (G_PRIORITY_LOW, on_started, g_object_ref (self), g_object_unref);
}

static void
studio_application_open (GApplication  *application,
                         GFile        **files,
                         int            n_files,
                         const char    *hint)
{
  g_autoptr(GSList) list = NULL;

  for (int i = n_files; i-- > 0;)
    list = g_slist_prepend (list, files[i]);
  g_application_activate (application);
  studio_window_open_files (get_window (STUDIO_APPLICATION (application)), list);
}

static int
studio_application_handle_local_options (GApplication *application,
                                         GVariantDict *options)
{
  if (g_variant_dict_contains (options, "version"))
    {
      g_print ("dimr-studio %s\n", DIMR_VERSION);
      return 0;
    }
  g_variant_dict_lookup (options, "exit-after-startup", "b", &STUDIO_APPLICATION (application)->exit_after_startup);
  return -1;
}

static void
studio_application_class_init (StudioApplicationClass *klass)
{
  GApplicationClass *application_class = G_APPLICATION_CLASS (klass);

  application_class->startup = studio_application_startup;
  application_class->activate = studio_application_activate;
  application_class->open = studio_application_open;
  application_class->handle_local_options = studio_application_handle_local_options;
}

static const GOptionEntry options[] = {
  { "version", 0, 0, G_OPTION_ARG_NONE, NULL, N_("Show the version and leave"), NULL },
  { "exit-after-startup", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  { NULL }
};

static void
studio_application_init (StudioApplication *self)
{
  g_application_add_main_option_entries (G_APPLICATION (self), options);
  g_application_set_option_context_parameter_string (G_APPLICATION (self), _("[PICTURE OR MODEL]"));
}

StudioApplication *
studio_application_new (GApplicationFlags flags)
{
  return g_object_new (STUDIO_TYPE_APPLICATION,
                       "application-id", APP_ID,
                       "flags", flags | G_APPLICATION_HANDLES_OPEN,
                       "resource-base-path", "/io/github/dimr_studio/DimrStudio",
                       NULL);
}
