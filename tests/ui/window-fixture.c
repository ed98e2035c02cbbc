/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/ui/window-fixture.h"

#include "ui/studio-settings.h"

static StudioApplication *application;

/* --- Conditions --- */

gboolean
has_model (gpointer data)
{
  StudioWindow *window = data;

  return dimr_engine_get_model (window->engine) != NULL && !window->loading;
}

gboolean
is_idle (gpointer data)
{
  return !_studio_window_is_busy (data);
}

gboolean
has_preview (gpointer data)
{
  StudioWindow *window = data;
  guint index = 0;
  DimrJob *job = studio_generate_view_get_job (window->view, &index);

  return job && dimr_job_peek_image (job, index) && !dimr_job_is_finished (job);
}

gboolean
has_picture (gpointer data)
{
  return studio_generate_view_get_picture (((StudioWindow *) data)->view) != NULL;
}

gboolean
folder_was_checked (gpointer data)
{
  StudioWindow *window = data;

  return window->folder_is_good && !window->listing;
}

/* --- Fixture --- */

static void
reset_settings (void)
{
  GSettings *settings = studio_settings_get ();
  g_autoptr(GSettingsSchema) schema = NULL;
  g_auto(GStrv) keys = NULL;

  g_object_get (settings, "settings-schema", &schema, NULL);
  keys = g_settings_schema_list_keys (schema);
  for (guint i = 0; keys[i]; i++)
    g_settings_reset (settings, keys[i]);
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  reset_settings ();
  fixture->folder = studio_test_make_folder ();
  g_settings_set_string (studio_settings_get (), "output-folder", fixture->folder);
  g_settings_set_uint (studio_settings_get (), "threads", 2);
  fixture->window = studio_window_new (ADW_APPLICATION (application));
  gtk_window_present (GTK_WINDOW (fixture->window));
  gtk_test_widget_wait_for_draw (GTK_WIDGET (fixture->window));
  studio_test_wait (has_model, fixture->window, PATIENCE);
  studio_test_wait (folder_was_checked, fixture->window, PATIENCE);
  studio_test_settle ();
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  gtk_window_destroy (GTK_WINDOW (fixture->window));
  studio_test_settle ();
  studio_test_remove_folder (fixture->folder);
  g_free (fixture->folder);
}

StudioNumberRow *
number_row (StudioWindow *window,
            const char   *name)
{
  return studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, name);
}

StudioClassPicker *
class_picker (StudioWindow *window)
{
  return studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, "picker");
}

GtkButton *
generate_button (StudioWindow *window)
{
  return studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, "button");
}

void
generate_one (StudioWindow *window,
              guint         steps)
{
  studio_number_row_set_value (number_row (window, "steps_row"), steps);
  gtk_widget_activate_action (GTK_WIDGET (window), "win.generate", NULL);
  g_assert_true (_studio_window_is_busy (window));
  studio_test_wait (is_idle, window, PATIENCE);
  studio_test_wait (has_picture, window, PATIENCE);
}

guint
count_pngs (const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  guint n = 0;

  while (dir && (name = g_dir_read_name (dir)))
    n += g_str_has_suffix (name, ".png");
  return n;
}

/* --- Program --- */

StudioApplication *
window_fixture_get_application (void)
{
  return application;
}

void
window_fixture_add (const char *path,
                    void      (*test) (Fixture *, gconstpointer))
{
  g_test_add (path, Fixture, NULL, set_up, test, tear_down);
}

int
window_fixture_main (int    argc,
                     char **argv,
                     void (*add) (void))
{
  int result;

  studio_test_init (&argc, &argv);
  application = studio_application_new (G_APPLICATION_NON_UNIQUE);
  g_assert_true (g_application_register (G_APPLICATION (application), NULL, NULL));
  add ();
  result = g_test_run ();
  g_object_unref (application);
  return result;
}
