/* test-window.c — the real window, engine and model, as a person uses them
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include <string.h>

#include "tests/ui/window-fixture.h"
#include "ui/studio-preferences.h"
#include "ui/studio-seed-row.h"
#include "ui/studio-settings.h"

/* --- First start --- */

static void
test_first_start (Fixture       *fixture,
                  gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  GtkWidget *focus = gtk_window_get_focus (GTK_WINDOW (window));
  guint n;

  studio_class_picker_peek_classes (class_picker (window), &n);
  g_assert_cmpuint (n, ==, 1);
  g_assert_true (focus == GTK_WIDGET (generate_button (window)));
  g_assert_cmpint (studio_number_row_get_value (number_row (window, "steps_row")), ==,
                   dimr_model_get_default_steps (dimr_engine_get_model (window->engine)));
  g_assert_cmpuint (studio_canvas_get_n_cells (studio_generate_view_get_canvas (window->view)), ==, 0);
  g_assert_null (studio_banner_get_text (window->error_banner));
  g_assert_null (studio_banner_get_text (window->folder_banner));
  studio_test_keep (GTK_WIDGET (window), "window-empty");
}

/* --- Classes --- */

static void
test_class_typing (Fixture       *fixture,
                   gconstpointer  data)
{
  StudioClassPicker *picker = class_picker (fixture->window);
  GtkWidget *entry = studio_test_child (picker, STUDIO_TYPE_CLASS_PICKER, "entry");
  GtkPopover *popover = studio_test_child (picker, STUDIO_TYPE_CLASS_PICKER, "popover");
  const int *classes;
  guint n;

  studio_class_picker_set_classes (picker, NULL, 0);
  gtk_widget_grab_focus (entry);
  gtk_editable_set_text (GTK_EDITABLE (entry), "king of beasts");
  studio_test_settle ();
  g_assert_true (gtk_widget_get_visible (GTK_WIDGET (popover)));
  studio_test_keep (GTK_WIDGET (popover), "class-list");

  g_signal_emit_by_name (entry, "activate");
  classes = studio_class_picker_peek_classes (picker, &n);
  g_assert_cmpuint (n, ==, 1);
  g_assert_cmpint (classes[0], ==, 291);
  g_assert_cmpstr (gtk_editable_get_text (GTK_EDITABLE (entry)), ==, "");
  g_assert_false (gtk_widget_get_visible (GTK_WIDGET (popover)));

  /* What the model never saw is said so, in words. */
  studio_class_picker_add (picker, 0);
  g_assert_true (gtk_widget_get_visible (studio_test_child (picker, STUDIO_TYPE_CLASS_PICKER, "note")));
  studio_class_picker_remove (picker, 0);
  g_assert_false (gtk_widget_get_visible (studio_test_child (picker, STUDIO_TYPE_CLASS_PICKER, "note")));

  studio_class_picker_randomise (picker);
  classes = studio_class_picker_peek_classes (picker, &n);
  g_assert_cmpuint (n, ==, 1);
  g_assert_cmpint (classes[0], !=, 291);
  g_assert_true (dimr_model_knows_class (dimr_engine_get_model (fixture->window->engine), classes[0]));
}

static void
test_no_class (Fixture       *fixture,
               gconstpointer  data)
{
  StudioClassPicker *picker = class_picker (fixture->window);

  studio_class_picker_set_classes (picker, NULL, 0);
  gtk_widget_activate_action (GTK_WIDGET (fixture->window), "win.generate", NULL);
  g_assert_false (_studio_window_is_busy (fixture->window));
  g_assert_true (gtk_widget_get_visible (studio_test_child (picker, STUDIO_TYPE_CLASS_PICKER, "popover")));
}

/* --- Generate --- */

static void
test_pixels (Fixture       *fixture,
             gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  GtkWidget *canvas = GTK_WIDGET (studio_generate_view_get_canvas (window->view));
  g_autoptr(GdkTexture) before = NULL;
  g_autoptr(GdkTexture) during = NULL;
  g_autoptr(GdkTexture) after = NULL;
  g_autoptr(GBytes) a = NULL;
  g_autoptr(GBytes) b = NULL;
  g_autoptr(GBytes) c = NULL;

  before = studio_test_render (canvas);
  studio_number_row_set_value (number_row (window, "steps_row"), 60);
  g_signal_emit_by_name (generate_button (window), "clicked");
  studio_test_wait (has_preview, window, PATIENCE);
  during = studio_test_render (canvas);
  g_assert_true (g_str_has_prefix (gtk_button_get_label (generate_button (window)), "Stop"));
  g_assert_true (gtk_widget_get_visible (GTK_WIDGET (window->progress)));
  g_assert_nonnull (strstr (gtk_window_get_title (GTK_WINDOW (window)), "%"));
  studio_test_keep (GTK_WIDGET (window), "window-running");

  studio_test_wait (is_idle, window, PATIENCE);
  studio_test_sleep (300); /* the fade */
  after = studio_test_render (canvas);
  a = studio_test_pixels (before);
  b = studio_test_pixels (during);
  c = studio_test_pixels (after);
  g_assert_false (g_bytes_equal (a, b));
  g_assert_false (g_bytes_equal (b, c));

  g_assert_cmpstr (gtk_window_get_title (GTK_WINDOW (window)), ==, "DiMR Studio");
  g_assert_false (gtk_widget_get_visible (GTK_WIDGET (window->progress)));
  g_assert_true (has_picture (window));
  g_assert_cmpuint (studio_filmstrip_get_n (studio_generate_view_get_filmstrip (window->view)), ==, 1);
  g_assert_cmpuint (count_pngs (fixture->folder), ==, 1);
  studio_test_keep (GTK_WIDGET (window), "window-done-light");
  adw_style_manager_set_color_scheme (adw_style_manager_get_default (), ADW_COLOR_SCHEME_FORCE_DARK);
  gtk_test_widget_wait_for_draw (GTK_WIDGET (window));
  studio_test_sleep (300);
  studio_test_keep (GTK_WIDGET (window), "window-done-dark");
  adw_style_manager_set_color_scheme (adw_style_manager_get_default (), ADW_COLOR_SCHEME_DEFAULT);
}

static void
test_stop (Fixture       *fixture,
           gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  gint64 asked;

  studio_number_row_set_value (number_row (window, "steps_row"), 1000);
  gtk_widget_activate_action (GTK_WIDGET (window), "win.generate", NULL);
  studio_test_wait (has_preview, window, PATIENCE);
  asked = g_get_monotonic_time ();
  g_signal_emit_by_name (generate_button (window), "clicked");
  studio_test_wait (is_idle, window, PATIENCE);
  g_test_message ("stopped after %.0f ms", (g_get_monotonic_time () - asked) / 1000.0);

  g_assert_cmpuint (count_pngs (fixture->folder), ==, 0);
  g_assert_null (studio_banner_get_text (window->error_banner));
  g_assert_cmpstr (gtk_button_get_label (generate_button (window)), ==, "_Generate");
  /* Ready at once. */
  generate_one (window, 4);
  g_assert_cmpuint (count_pngs (fixture->folder), ==, 1);
}

static void
test_queue (Fixture       *fixture,
            gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  GListModel *queue = dimr_engine_get_queue (window->engine);
  g_autoptr(DimrJob) first = NULL;

  studio_number_row_set_value (number_row (window, "steps_row"), 1000);
  gtk_widget_activate_action (GTK_WIDGET (window), "win.generate", NULL);
  studio_test_wait (has_preview, window, PATIENCE);
  studio_number_row_set_value (number_row (window, "steps_row"), 5);
  gtk_widget_activate_action (GTK_WIDGET (window), "win.generate", NULL);
  studio_number_row_set_value (number_row (window, "steps_row"), 6);
  gtk_widget_activate_action (GTK_WIDGET (window), "win.generate-front", NULL);
  studio_test_settle ();
  g_assert_cmpuint (g_list_model_get_n_items (queue), ==, 2);
  first = g_list_model_get_item (queue, 0);
  g_assert_cmpuint (dimr_job_peek_request (first)->n_steps, ==, 6);
  gtk_test_accessible_assert_property (GTK_ACCESSIBLE (studio_test_child (window->queue_button, STUDIO_TYPE_QUEUE_BUTTON, "button")),
                                       GTK_ACCESSIBLE_PROPERTY_LABEL, "Queue: 3 jobs");

  dimr_engine_clear_queue (window->engine);
  studio_test_settle ();
  g_assert_cmpuint (g_list_model_get_n_items (queue), ==, 0);
  g_assert_true (_studio_window_is_busy (window));
  gtk_widget_activate_action (GTK_WIDGET (window), "win.stop", NULL);
  studio_test_wait (is_idle, window, PATIENCE);
}

static void
test_grid (Fixture       *fixture,
           gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  StudioCanvas *canvas = studio_generate_view_get_canvas (window->view);
  StudioPicture *first;

  studio_number_row_set_value (number_row (window, "images_row"), 4);
  generate_one (window, 3);
  g_assert_cmpuint (studio_canvas_get_n_cells (canvas), ==, 4);
  g_assert_cmpuint (count_pngs (fixture->folder), ==, 4);
  g_assert_cmpuint (studio_filmstrip_get_n (studio_generate_view_get_filmstrip (window->view)), ==, 4);
  first = studio_generate_view_get_picture (window->view);
  studio_canvas_set_selected (canvas, 2);
  g_assert_true (studio_generate_view_get_picture (window->view) != first);
  g_assert_cmpuint (studio_picture_peek_recipe (studio_generate_view_get_picture (window->view))->image_index, ==, 2);
  studio_test_settle ();
  studio_test_keep (GTK_WIDGET (window), "window-grid");

  /* The third picture of the batch can be made again alone. */
  gtk_widget_activate_action (GTK_WIDGET (window), "win.reuse-settings", NULL);
  {
    g_autoptr(DimrRequest) request = studio_controls_dup_request (window->controls);

    g_assert_cmpuint (request->count, ==, 1);
    g_assert_cmpuint (request->first_index, ==, 2);
    g_assert_cmpuint (request->seed, ==, studio_picture_peek_recipe (first)->seed);
  }
}

static void
test_same_settings_same_picture (Fixture       *fixture,
                                 gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  g_autoptr(StudioPicture) first = NULL;
  StudioPicture *second;

  generate_one (window, 4);
  first = g_object_ref (studio_generate_view_get_picture (window->view));
  gtk_widget_activate_action (GTK_WIDGET (window), "win.reuse-settings", NULL);
  gtk_widget_activate_action (GTK_WIDGET (window), "win.generate", NULL);
  studio_test_wait (is_idle, window, PATIENCE);
  second = studio_generate_view_get_picture (window->view);
  g_assert_true (first != second);
  g_assert_true (g_bytes_equal (dimr_image_peek_pixels (studio_picture_peek_image (first)),
                                dimr_image_peek_pixels (studio_picture_peek_image (second))));
}

/* --- Numbers --- */

static void
test_out_of_range (Fixture       *fixture,
                   gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  StudioNumberRow *row = number_row (window, "steps_row");
  GtkWidget *entry = studio_test_child (row, STUDIO_TYPE_NUMBER_ROW, "entry");

  gtk_editable_set_text (GTK_EDITABLE (entry), "5000");
  g_assert_false (studio_number_row_get_valid (row));
  gtk_widget_activate_action (GTK_WIDGET (window), "win.generate", NULL);
  g_assert_false (_studio_window_is_busy (window));
  g_assert_cmpstr (gtk_editable_get_text (GTK_EDITABLE (entry)), ==, "5000");
  g_assert_true (gtk_revealer_get_reveal_child (studio_test_child (row, STUDIO_TYPE_NUMBER_ROW, "error_revealer")));
  g_assert_true (gtk_widget_has_css_class (entry, "error"));

  gtk_editable_set_text (GTK_EDITABLE (entry), "12");
  g_assert_true (studio_number_row_get_valid (row));
  g_assert_cmpint (studio_number_row_get_value (row), ==, 12);
  g_assert_cmpuint (g_settings_get_uint (studio_settings_get (), "steps"), ==, 12);
  studio_number_row_reset (row);
  g_assert_cmpuint (g_settings_get_uint (studio_settings_get (), "steps"), ==, 0);
}

static void
test_seed (Fixture       *fixture,
           gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  StudioSeedRow *row = studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, "seed_row");
  GtkWidget *entry = studio_test_child (row, STUDIO_TYPE_SEED_ROW, "entry");
  GtkToggleButton *lock = studio_test_child (row, STUDIO_TYPE_SEED_ROW, "lock_button");
  guint64 seed, first_index, used;

  g_assert_false (studio_seed_row_get_seed (row, &seed, &first_index));
  generate_one (window, 3);
  used = studio_picture_peek_recipe (studio_generate_view_get_picture (window->view))->seed;
  gtk_toggle_button_set_active (lock, TRUE);
  g_assert_true (studio_seed_row_get_seed (row, &seed, &first_index));
  g_assert_cmpuint (seed, ==, used);

  gtk_editable_set_text (GTK_EDITABLE (entry), "18446744073709551615");
  g_assert_true (studio_seed_row_get_seed (row, &seed, &first_index));
  g_assert_cmpuint (seed, ==, G_MAXUINT64);
  gtk_editable_set_text (GTK_EDITABLE (entry), "18446744073709551616");
  g_assert_false (studio_seed_row_check (row));
  gtk_editable_set_text (GTK_EDITABLE (entry), "-1");
  g_assert_false (studio_seed_row_get_seed (row, &seed, &first_index));
  g_assert_false (gtk_toggle_button_get_active (lock));
}

/* --- Accessibility and keys --- */

static void
test_names (Fixture       *fixture,
            gconstpointer  data)
{
  GtkWidget *preferences;

  generate_one (fixture->window, 3);
  g_assert_cmpuint (studio_test_count_unnamed (GTK_WIDGET (fixture->window)), ==, 0);
  preferences = studio_preferences_new (GTK_WINDOW (fixture->window), fixture->window->engine);
  gtk_window_present (GTK_WINDOW (preferences));
  gtk_test_widget_wait_for_draw (preferences);
  studio_test_keep (preferences, "preferences");
  g_assert_cmpuint (studio_test_count_unnamed (preferences), ==, 0);
  gtk_window_destroy (GTK_WINDOW (preferences));
}

static void
test_keyboard (Fixture       *fixture,
               gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  guint n_controls = 0;

  /* Enter on the focused button is what a keyboard does. */
  studio_number_row_set_value (number_row (window, "steps_row"), 3);
  g_assert_true (gtk_widget_activate (gtk_window_get_focus (GTK_WINDOW (window))));
  studio_test_wait (_studio_window_is_busy (window) ? is_idle : has_picture, window, PATIENCE);

  /* Tab goes round through every control. */
  for (guint i = 0; i < 200; i++)
    {
      GtkWidget *focus;

      g_assert_true (gtk_widget_child_focus (GTK_WIDGET (window), GTK_DIR_TAB_FORWARD) || i > 20);
      focus = gtk_window_get_focus (GTK_WINDOW (window));
      if (!focus)
        continue;
      if (g_object_get_data (G_OBJECT (focus), "was-focused"))
        break;
      g_object_set_data (G_OBJECT (focus), "was-focused", GINT_TO_POINTER (1));
      n_controls++;
    }
  g_test_message ("%u controls in the round", n_controls);
  g_assert_cmpuint (n_controls, >, 30);
}

static void
test_closing_with_a_run (Fixture       *fixture,
                         gconstpointer  data)
{
  StudioWindow *window = fixture->window;

  studio_number_row_set_value (number_row (window, "steps_row"), 1000);
  gtk_widget_activate_action (GTK_WIDGET (window), "win.generate", NULL);
  studio_test_wait (has_preview, window, PATIENCE);
  gtk_window_close (GTK_WINDOW (window));
  studio_test_settle ();
  /* It asks instead. */
  g_assert_true (gtk_widget_get_visible (GTK_WIDGET (window)));
  for (GList *l = gtk_application_get_windows (GTK_APPLICATION (window_fixture_get_application ())); l; l = l->next)
    if (ADW_IS_MESSAGE_DIALOG (l->data))
      {
        gtk_window_destroy (l->data);
        break;
      }
  gtk_widget_activate_action (GTK_WIDGET (window), "win.stop", NULL);
  studio_test_wait (is_idle, window, PATIENCE);
}

/* With the controls out of sight, as in every narrow window, pictures can still be made and stopped. */
static void
test_hidden_controls (Fixture       *fixture,
                      gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  GtkWidget *run = GTK_WIDGET (studio_generate_view_get_run_button (window->view));

  g_assert_false (gtk_widget_get_visible (run));
  g_assert_true (gtk_window_get_focus (GTK_WINDOW (window)) == GTK_WIDGET (generate_button (window)));
  adw_flap_set_reveal_flap (window->controls_flap, FALSE);
  studio_test_settle ();
  g_assert_true (gtk_widget_get_visible (run));
  g_assert_true (gtk_window_get_focus (GTK_WINDOW (window)) == run);

  studio_number_row_set_value (number_row (window, "steps_row"), 50);
  g_signal_emit_by_name (run, "clicked");
  studio_test_wait (has_preview, window, PATIENCE);
  g_assert_true (g_str_has_prefix (gtk_button_get_label (GTK_BUTTON (run)), "Stop"));
  g_signal_emit_by_name (run, "clicked");
  studio_test_wait (is_idle, window, PATIENCE);
  g_assert_cmpstr (gtk_button_get_label (GTK_BUTTON (run)), ==, "_Generate");

  /* What is missing can only be said where it is seen. */
  studio_class_picker_set_classes (class_picker (window), NULL, 0);
  g_signal_emit_by_name (run, "clicked");
  studio_test_sleep (600);
  g_assert_true (adw_flap_get_reveal_flap (window->controls_flap));
  g_assert_true (gtk_widget_get_mapped (studio_test_child (class_picker (window), STUDIO_TYPE_CLASS_PICKER, "popover")));
  g_assert_false (_studio_window_is_busy (window));
}

/* Nothing to zoom on an empty canvas. */
static void
test_empty_canvas (Fixture       *fixture,
                   gconstpointer  data)
{
  static const char * const names[] = { "zoom-fit", "zoom-original", "zoom-in", "zoom-out" };
  StudioWindow *window = fixture->window;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_false (g_action_group_get_action_enabled (G_ACTION_GROUP (window), names[i]));
  generate_one (window, 2);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_true (g_action_group_get_action_enabled (G_ACTION_GROUP (window), names[i]));
}

static void
add_tests (void)
{
  window_fixture_add ("/window/start/the-bundled-model-is-ready-and-generate-has-the-focus", test_first_start);
  window_fixture_add ("/window/classes/typing-a-synonym-and-enter-chooses-the-class", test_class_typing);
  window_fixture_add ("/window/classes/without-a-class-generate-opens-the-list", test_no_class);
  window_fixture_add ("/window/generate/the-canvas-shows-previews-and-then-the-saved-picture", test_pixels);
  window_fixture_add ("/window/generate/stop-leaves-the-window-ready", test_stop);
  window_fixture_add ("/window/generate/hidden-controls-leave-a-button", test_hidden_controls);
  window_fixture_add ("/window/generate/an-empty-canvas-cannot-be-zoomed", test_empty_canvas);
  window_fixture_add ("/window/generate/jobs-queue-in-order-and-the-queue-can-be-cleared", test_queue);
  window_fixture_add ("/window/generate/a-batch-is-a-grid-and-each-cell-a-picture", test_grid);
  window_fixture_add ("/window/generate/the-same-settings-give-the-same-picture", test_same_settings_same_picture);
  window_fixture_add ("/window/numbers/out-of-range-is-explained-not-clipped", test_out_of_range);
  window_fixture_add ("/window/numbers/the-lock-keeps-the-seed-that-was-used", test_seed);
  window_fixture_add ("/window/access/every-focusable-control-has-a-name", test_names);
  window_fixture_add ("/window/access/the-keyboard-reaches-every-control", test_keyboard);
  window_fixture_add ("/window/close/a-run-is-not-thrown-away-without-asking", test_closing_with_a_run);
}

int
main (int    argc,
      char **argv)
{
  return window_fixture_main (argc, argv, add_tests);
}
