/* test-device.c — the window where the device can be chosen, is short of memory, or goes away
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include <string.h>

#include "app/studio-application.h"
#include "tests/engine/test-device.h"
#include "tests/ui/studio-test.h"
#include "ui/studio-controls-private.h"
#include "ui/studio-preferences.h"
#include "ui/studio-settings.h"
#include "ui/studio-window-private.h"

#define PATIENCE 60.0

static StudioApplication *application;

typedef struct
{
  StudioWindow *window;
  char *folder;
} Fixture;

static gboolean
is_ready (gpointer data)
{
  StudioWindow *window = data;

  return dimr_engine_get_model (window->engine) && !window->loading && window->folder_is_good && !window->listing &&
         dimr_engine_get_device_name (window->engine);
}

static gboolean
is_lost (gpointer data)
{
  return dimr_engine_is_device_lost (((StudioWindow *) data)->engine);
}

static gboolean
is_on_test_device (gpointer data)
{
  return g_strcmp0 (dimr_engine_get_device_name (((StudioWindow *) data)->engine), "Test device") == 0;
}

static gboolean
is_on_cpu (gpointer data)
{
  return !is_on_test_device (data) && !is_lost (data);
}

static gboolean
is_idle (gpointer data)
{
  return !_studio_window_is_busy (data);
}

static gboolean
has_picture (gpointer data)
{
  return studio_generate_view_get_picture (((StudioWindow *) data)->view) != NULL;
}

static void
set_up (Fixture       *fixture,
        gconstpointer  device)
{
  GSettings *settings = studio_settings_get ();
  g_autoptr(GSettingsSchema) schema = NULL;
  g_auto(GStrv) keys = NULL;

  g_object_get (settings, "settings-schema", &schema, NULL);
  keys = g_settings_schema_list_keys (schema);
  for (guint i = 0; keys[i]; i++)
    g_settings_reset (settings, keys[i]);
  test_device_init ();
  fixture->folder = studio_test_make_folder ();
  g_settings_set_string (settings, "output-folder", fixture->folder);
  g_settings_set_string (settings, "device", device);
  fixture->window = studio_window_new (ADW_APPLICATION (application));
  gtk_window_present (GTK_WINDOW (fixture->window));
  gtk_test_widget_wait_for_draw (GTK_WIDGET (fixture->window));
  studio_test_wait (is_ready, fixture->window, PATIENCE);
  studio_test_settle ();
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  device)
{
  gtk_window_destroy (GTK_WINDOW (fixture->window));
  studio_test_settle ();
  studio_test_remove_folder (fixture->folder);
  g_free (fixture->folder);
}

static void
generate (StudioWindow *window,
          guint         steps)
{
  studio_number_row_set_value (window->controls->steps_row, steps);
  gtk_widget_activate_action (GTK_WIDGET (window), "win.generate", NULL);
  g_assert_true (_studio_window_is_busy (window));
}

static void
set_dark (gboolean dark)
{
  adw_style_manager_set_color_scheme (adw_style_manager_get_default (),
                                      dark ? ADW_COLOR_SCHEME_FORCE_DARK : ADW_COLOR_SCHEME_DEFAULT);
  studio_test_sleep (300);
}

/* --- Choosing --- */

static void
test_choosing (Fixture       *fixture,
               gconstpointer  device)
{
  StudioWindow *window = fixture->window;
  GtkWidget *preferences = studio_preferences_new (GTK_WINDOW (window), window->engine);
  AdwComboRow *row = studio_test_child (preferences, STUDIO_TYPE_PREFERENCES, "device_row");
  GListModel *names = adw_combo_row_get_model (row);
  g_autofree char *stored = NULL;

  gtk_window_present (GTK_WINDOW (preferences));
  gtk_test_widget_wait_for_draw (preferences);
  g_assert_cmpuint (g_list_model_get_n_items (names), ==, 3);
  g_assert_cmpstr (gtk_string_list_get_string (GTK_STRING_LIST (names), 0), ==, "Automatic");
  g_assert_cmpstr (gtk_string_list_get_string (GTK_STRING_LIST (names), 2), ==, "Test device");
  g_assert_cmpuint (adw_combo_row_get_selected (row), ==, 1);
  g_assert_true (is_on_cpu (window));
  g_assert_cmpuint (studio_test_count_unnamed (preferences), ==, 0);

  adw_combo_row_set_selected (row, 2);
  studio_test_wait (is_on_test_device, window, PATIENCE);
  stored = g_settings_get_string (studio_settings_get (), "device");
  g_assert_cmpstr (stored, ==, "test");
  g_assert_cmpuint (adw_combo_row_get_selected (row), ==, 2);
  studio_test_keep (preferences, "preferences-device");
  set_dark (TRUE);
  studio_test_keep (preferences, "preferences-device-dark");
  set_dark (FALSE);
  /* The model stays, and the next picture is made there. */
  generate (window, 3);
  studio_test_wait (is_idle, window, PATIENCE);
  g_assert_cmpuint (test_device.n_runs, ==, 3);
  gtk_window_destroy (GTK_WINDOW (preferences));

  /* What is set but not here is told, and the device that works goes on. */
  g_settings_set_string (studio_settings_get (), "device", "cuda:7");
  preferences = studio_preferences_new (GTK_WINDOW (window), window->engine);
  row = studio_test_child (preferences, STUDIO_TYPE_PREFERENCES, "device_row");
  names = adw_combo_row_get_model (row);
  g_assert_cmpuint (g_list_model_get_n_items (names), ==, 4);
  g_assert_cmpstr (gtk_string_list_get_string (GTK_STRING_LIST (names), 3), ==, "cuda:7 (not found here)");
  g_assert_cmpuint (adw_combo_row_get_selected (row), ==, 3);
  gtk_window_destroy (GTK_WINDOW (preferences));
  generate (window, 3);
  studio_test_wait (is_idle, window, PATIENCE);
  g_assert_true (is_on_test_device (window));
  g_assert_nonnull (strstr (studio_banner_get_text (window->device_banner), "Test device"));
}

/* --- Failing --- */

static void
test_lost (Fixture       *fixture,
           gconstpointer  device)
{
  StudioWindow *window = fixture->window;
  GtkWidget *button;

  g_assert_true (is_on_test_device (window));
  test_device.failure = DIMR_ERROR_DEVICE_LOST;
  test_device.fails_at = 2;
  generate (window, 5);
  generate (window, 5);
  studio_test_wait (is_lost, window, PATIENCE);
  studio_test_settle ();
  /* Said once, in the banner that knows what to do; what waits is still there. */
  g_assert_nonnull (strstr (studio_banner_get_text (window->device_banner), "failed as it was told to"));
  g_assert_null (studio_banner_get_text (window->error_banner));
  g_assert_cmpuint (g_list_model_get_n_items (dimr_engine_get_queue (window->engine)), ==, 1);
  g_assert_cmpuint (studio_test_count_unnamed (GTK_WIDGET (window)), ==, 0);
  studio_test_sleep (400);
  studio_test_keep (GTK_WIDGET (window), "window-device-lost");
  set_dark (TRUE);
  studio_test_keep (GTK_WIDGET (window), "window-device-lost-dark");
  set_dark (FALSE);

  button = studio_test_child (window->device_banner, STUDIO_TYPE_BANNER, "button");
  g_assert_cmpstr (gtk_button_get_label (GTK_BUTTON (button)), ==, "Go on with the CPU");
  g_assert_true (gtk_widget_grab_focus (button));
  g_assert_true (gtk_widget_activate (gtk_window_get_focus (GTK_WINDOW (window))));
  studio_test_wait (is_on_cpu, window, PATIENCE);
  studio_test_wait (is_idle, window, PATIENCE);
  studio_test_wait (has_picture, window, PATIENCE);
  g_assert_null (studio_banner_get_text (window->device_banner));
  g_assert_cmpuint (test_device.n_runs, ==, 2);
  generate (window, 4);
  studio_test_wait (is_idle, window, PATIENCE);
}

/* The first label under @widget with that text in it. */
static GtkWidget *
find_text (GtkWidget  *widget,
           const char *text)
{
  if (GTK_IS_LABEL (widget) && strstr (gtk_label_get_text (GTK_LABEL (widget)), text))
    return widget;
  for (GtkWidget *child = gtk_widget_get_first_child (widget); child; child = gtk_widget_get_next_sibling (child))
    {
      GtkWidget *found = find_text (child, text);

      if (found)
        return found;
    }
  return NULL;
}

static gboolean
tells_what_fits (gpointer data)
{
  return find_text (GTK_WIDGET (((StudioWindow *) data)->toasts), "per evaluation instead of 8") != NULL;
}

static void
test_short_of_memory (Fixture       *fixture,
                      gconstpointer  device)
{
  StudioWindow *window = fixture->window;
  const DimrRecipe *recipe;

  test_device.micro_batch = 8;
  test_device.compile_limit = 4;
  generate (window, 3);
  studio_test_wait (is_idle, window, PATIENCE);
  studio_test_wait (tells_what_fits, window, PATIENCE);
  recipe = studio_picture_peek_recipe (studio_generate_view_get_picture (window->view));
  g_assert_cmpuint (recipe->micro_batch, ==, 2);

  /* A number that was chosen stays: the banner says what would fit. */
  _studio_controls_set_micro_batch (window->controls, 16);
  generate (window, 3);
  studio_test_wait (is_idle, window, PATIENCE);
  studio_test_settle ();
  g_assert_nonnull (studio_banner_get_text (window->error_banner));
}

/* --- What is faster, and what a recipe brings back --- */

static void
test_faster (Fixture       *fixture,
             gconstpointer  device)
{
  StudioWindow *window = fixture->window;
  StudioControls *controls = window->controls;
  g_autoptr(DimrRequest) request = studio_controls_dup_request (controls);
  g_autoptr(DimrRequest) faster = NULL;
  g_autoptr(DimrRequest) undone = NULL;
  g_autoptr(GVariant) before = NULL;
  const DimrRecipe *recipe;

  g_assert_false (request->skip_unconditional);
  g_assert_cmpuint (request->reuse_low_branches, <=, 1);
  g_assert_cmpuint (request->micro_batch, ==, 0);
  g_assert_cmpint (request->precision, ==, DIMR_PRECISION_AUTO);

  before = studio_controls_dup_state (controls);
  gtk_expander_set_expanded (controls->more, TRUE);
  gtk_expander_set_expanded (controls->faster, TRUE);
  gtk_switch_set_active (controls->skip_switch, TRUE);
  studio_number_row_set_value (controls->reuse_row, 2);
  _studio_controls_set_micro_batch (controls, 3);
  _studio_controls_set_precision (controls, DIMR_PRECISION_BF16);
  studio_test_sleep (300);
  g_assert_true (gtk_widget_child_focus (GTK_WIDGET (controls->reuse_row), GTK_DIR_TAB_FORWARD));
  studio_test_sleep (300);
  studio_test_keep (GTK_WIDGET (window), "window-faster");
  set_dark (TRUE);
  studio_test_keep (GTK_WIDGET (window), "window-faster-dark");
  set_dark (FALSE);
  g_assert_cmpuint (studio_test_count_unnamed (GTK_WIDGET (window)), ==, 0);

  generate (window, 5);
  studio_test_wait (is_idle, window, PATIENCE);
  studio_test_wait (has_picture, window, PATIENCE);
  recipe = studio_picture_peek_recipe (studio_generate_view_get_picture (window->view));
  g_assert_true (recipe->skip_unconditional);
  g_assert_cmpuint (recipe->reuse_low_branches, ==, 2);
  g_assert_cmpuint (recipe->micro_batch, ==, 3);
  g_assert_cmpint (recipe->precision, ==, DIMR_PRECISION_BF16);

  studio_controls_set_state (controls, before);
  undone = studio_controls_dup_request (controls);
  g_assert_false (undone->skip_unconditional);
  g_assert_cmpuint (undone->micro_batch, ==, 0);
  studio_controls_apply_recipe (controls, recipe, STUDIO_RECIPE_ALL);
  faster = studio_controls_dup_request (controls);
  g_assert_true (faster->skip_unconditional);
  g_assert_cmpuint (faster->reuse_low_branches, ==, 2);
  g_assert_cmpuint (faster->micro_batch, ==, 3);
  g_assert_cmpint (faster->precision, ==, DIMR_PRECISION_BF16);
}

/* Float8 is there for devices that have it, and gone with them. */
static void
test_float8 (Fixture       *fixture,
             gconstpointer  device)
{
  StudioControls *controls = fixture->window->controls;
  const guint n = g_list_model_get_n_items (gtk_drop_down_get_model (controls->precision_dropdown));
  g_autofree char *usual = g_strdup (gtk_widget_get_tooltip_text (GTK_WIDGET (controls->precision_dropdown)));

  g_assert_false (dimr_engine_has_precision (fixture->window->engine, DIMR_PRECISION_F8));
  g_assert_true (dimr_engine_has_precision (fixture->window->engine, DIMR_PRECISION_F32));
  _studio_controls_set_precision (controls, DIMR_PRECISION_F8);
  g_assert_cmpint (_studio_controls_get_precision (controls), ==, DIMR_PRECISION_AUTO);

  studio_controls_set_device (controls, "A GPU", TRUE);
  g_assert_cmpuint (g_list_model_get_n_items (gtk_drop_down_get_model (controls->precision_dropdown)), ==, n + 1);
  g_assert_nonnull (strstr (gtk_widget_get_tooltip_text (GTK_WIDGET (controls->precision_dropdown)), "float8"));
  _studio_controls_set_precision (controls, DIMR_PRECISION_F8);
  g_assert_cmpint (_studio_controls_get_precision (controls), ==, DIMR_PRECISION_F8);

  studio_controls_set_device (controls, "A processor", FALSE);
  g_assert_cmpuint (g_list_model_get_n_items (gtk_drop_down_get_model (controls->precision_dropdown)), ==, n);
  g_assert_cmpint (_studio_controls_get_precision (controls), ==, DIMR_PRECISION_AUTO);
  g_assert_cmpstr (gtk_widget_get_tooltip_text (GTK_WIDGET (controls->precision_dropdown)), ==, usual);
}

/* Another device's images per evaluation would cost time and bring back no byte. */
static void
test_recipe_of_another_device (Fixture       *fixture,
                               gconstpointer  device)
{
  StudioControls *controls = fixture->window->controls;
  g_autoptr(DimrRecipe) recipe = dimr_recipe_new ();
  g_autoptr(DimrRequest) elsewhere = NULL;
  g_autoptr(DimrRequest) here = NULL;

  recipe->class_index = 1;
  recipe->micro_batch = 16;
  recipe->device = g_strdup ("A GPU that is far away");
  studio_controls_apply_recipe (controls, recipe, STUDIO_RECIPE_ALL);
  elsewhere = studio_controls_dup_request (controls);
  g_assert_cmpuint (elsewhere->micro_batch, ==, 0);

  g_free (recipe->device);
  recipe->device = g_strdup (dimr_engine_get_device_name (fixture->window->engine));
  studio_controls_apply_recipe (controls, recipe, STUDIO_RECIPE_ALL);
  here = studio_controls_dup_request (controls);
  g_assert_cmpuint (here->micro_batch, ==, 16);

  /* A number that nobody can have meant. */
  recipe->micro_batch = 100000;
  studio_controls_apply_recipe (controls, recipe, STUDIO_RECIPE_ALL);
  g_assert_cmpuint (_studio_controls_get_micro_batch (controls), ==, 0);
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(GError) error = NULL;
  int status;

  studio_test_init (&argc, &argv);
  test_device_init ();
  application = studio_application_new (G_APPLICATION_NON_UNIQUE);
  g_assert_true (g_application_register (G_APPLICATION (application), NULL, &error));

#define ADD(path, device, test) g_test_add (path, Fixture, device, set_up, test, tear_down)
  ADD ("/window/device/choosing", "cpu", test_choosing);
  ADD ("/window/device/lost-and-the-queue-goes-on-with-the-cpu", "test", test_lost);
  ADD ("/window/device/short-of-memory", "test", test_short_of_memory);
  ADD ("/window/faster/is-asked-for-recorded-and-brought-back", "cpu", test_faster);
  ADD ("/window/faster/float8-where-the-device-has-it", "cpu", test_float8);
  ADD ("/window/recipe/of-another-device", "cpu", test_recipe_of_another_device);
  status = g_test_run ();
  g_clear_object (&application);
  return status;
}
