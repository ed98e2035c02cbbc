/* test-window.c — the real window, engine and model, as a person uses them
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include <glib/gstdio.h>
#include <string.h>

#include "app/studio-application.h"
#include "tests/ui/studio-test.h"
#include "ui/studio-class-picker.h"
#include "ui/studio-number-row.h"
#include "ui/studio-preferences.h"
#include "ui/studio-sampler-row.h"
#include "ui/studio-seed-row.h"
#include "ui/studio-settings.h"
#include "ui/studio-window-private.h"

/* Room for a slow machine that does several things at once. */
#define PATIENCE 60.0

static StudioApplication *application;

typedef struct
{
  StudioWindow *window;
  char *folder;
} Fixture;

/* --- Conditions --- */

static gboolean
has_model (gpointer data)
{
  StudioWindow *window = data;

  return dimr_engine_get_model (window->engine) != NULL && !window->loading;
}

static gboolean
is_idle (gpointer data)
{
  return !_studio_window_is_busy (data);
}

static gboolean
has_preview (gpointer data)
{
  StudioWindow *window = data;
  guint index = 0;
  DimrJob *job = studio_generate_view_get_job (window->view, &index);

  return job && dimr_job_peek_image (job, index) && !dimr_job_is_finished (job);
}

static gboolean
has_picture (gpointer data)
{
  return studio_generate_view_get_picture (((StudioWindow *) data)->view) != NULL;
}

static gboolean
folder_was_checked (gpointer data)
{
  StudioWindow *window = data;

  return window->folder_is_good && !window->listing;
}

static gboolean
file_exists (gpointer data)
{
  return g_file_test (data, G_FILE_TEST_IS_REGULAR);
}

static gboolean
shows_error (gpointer data)
{
  return studio_banner_get_text (((StudioWindow *) data)->error_banner) != NULL;
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

static StudioNumberRow *
number_row (StudioWindow *window,
            const char   *name)
{
  return studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, name);
}

static StudioClassPicker *
class_picker (StudioWindow *window)
{
  return studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, "picker");
}

static GtkButton *
generate_button (StudioWindow *window)
{
  return studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, "button");
}

static void
generate_one (StudioWindow *window,
              guint         steps)
{
  studio_number_row_set_value (number_row (window, "steps_row"), steps);
  gtk_widget_activate_action (GTK_WIDGET (window), "win.generate", NULL);
  g_assert_true (_studio_window_is_busy (window));
  studio_test_wait (is_idle, window, PATIENCE);
  studio_test_wait (has_picture, window, PATIENCE);
}

static guint
count_pngs (const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  guint n = 0;

  while (dir && (name = g_dir_read_name (dir)))
    n += g_str_has_suffix (name, ".png");
  return n;
}

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

/* --- Files --- */

static void
test_save_as (Fixture       *fixture,
              gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  g_autofree char *path = g_build_filename (fixture->folder, "saved as.png", NULL);
  g_autoptr(GFile) file = g_file_new_for_path (path);
  g_autoptr(DimrRecipe) recipe = NULL;
  g_autoptr(DimrImage) image = NULL;
  g_autoptr(GError) error = NULL;
  StudioPicture *picture;

  generate_one (window, 3);
  studio_window_save_as (window, file);
  studio_test_wait (file_exists, path, PATIENCE);
  image = dimr_png_load (path, &recipe, &error);
  g_assert_no_error (error);
  picture = studio_generate_view_get_picture (window->view);
  g_assert_true (g_bytes_equal (dimr_image_peek_pixels (image),
                                dimr_image_peek_pixels (studio_picture_peek_image (picture))));
  g_assert_cmpuint (recipe->seed, ==, studio_picture_peek_recipe (picture)->seed);
  g_assert_cmpuint (recipe->n_steps, ==, 3);
  studio_test_settle ();
}

static StudioSamplerRow *
sampler_row (StudioWindow *window)
{
  return studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, "sampler_row");
}

static gboolean
steps_are_seven (gpointer data)
{
  return studio_number_row_get_value (number_row (data, "steps_row")) == 7;
}

/* What DDIM was told goes into the request and comes back from a recipe; its steps are its own. */
static void
test_sampler_options_restore (Fixture       *fixture,
                              gconstpointer  data)
{
  StudioControls *controls = fixture->window->controls;
  GtkWidget *grid = studio_test_child (controls, STUDIO_TYPE_CONTROLS, "grid_dropdown");
  GtkWidget *channels = studio_test_child (controls, STUDIO_TYPE_CONTROLS, "channels_check");
  const DimrSamplerOptions wanted = { 0.5, TRUE };
  g_autoptr(DimrRecipe) recipe = dimr_recipe_new ();
  g_autoptr(DimrRequest) request = NULL;
  g_autoptr(GVariant) before = NULL;

  studio_class_picker_set_classes (class_picker (fixture->window), (const int[]) { 951 }, 1);
  gtk_drop_down_set_selected (GTK_DROP_DOWN (grid), 1);
  before = studio_controls_dup_state (controls);
  g_assert_false (gtk_widget_get_visible (channels));
  recipe->class_index = 951;
  recipe->sampler = DIMR_SAMPLER_DDIM;
  recipe->options = wanted;
  recipe->guidance = (DimrGuidance) { DIMR_GUIDANCE_CONSTANT, 2, 1, 2 };
  studio_controls_apply_recipe (controls, recipe, STUDIO_RECIPE_SETTINGS);
  g_assert_true (gtk_widget_get_visible (channels));
  g_assert_false (gtk_widget_get_sensitive (grid));

  request = studio_controls_dup_request (controls);
  g_assert_cmpint (request->sampler, ==, DIMR_SAMPLER_DDIM);
  g_assert_cmpfloat (request->options.eta, ==, 0.5);
  g_assert_true (request->options.clip);
  g_assert_cmpuint (request->guidance.channels, ==, 2);
  g_clear_pointer (&request, dimr_request_free);

  studio_controls_set_state (controls, before);
  request = studio_controls_dup_request (controls);
  g_assert_cmpint (request->sampler, ==, DIMR_SAMPLER_DPM_SOLVER_FAST);
  g_assert_cmpfloat (request->options.eta, ==, 0);
  g_assert_cmpuint (request->guidance.channels, ==, 0);
  g_assert_true (gtk_widget_get_sensitive (grid));
}

static void
test_drop_restores (Fixture       *fixture,
                    gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  g_autoptr(DimrRequest) request = NULL;
  g_autoptr(GVariant) before = NULL;
  g_autoptr(GFile) file = NULL;
  g_autofree char *path = NULL;
  guint64 seed;

  studio_class_picker_set_classes (class_picker (window), (const int[]) { 951 }, 1);
  studio_number_row_set_value (number_row (window, "guidance_row"), 3.5);
  gtk_drop_down_set_selected (studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, "kind_dropdown"), 1);
  studio_sampler_row_set_kind (sampler_row (window), DIMR_SAMPLER_DPM_SOLVER_3M);
  gtk_drop_down_set_selected (studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, "grid_dropdown"), 1);
  generate_one (window, 7);
  seed = studio_picture_peek_recipe (studio_generate_view_get_picture (window->view))->seed;
  path = g_strdup (studio_picture_peek_path (studio_generate_view_get_picture (window->view)));
  file = g_file_new_for_path (path);

  studio_class_picker_set_classes (class_picker (window), (const int[]) { 1, 291 }, 2);
  studio_number_row_reset (number_row (window, "guidance_row"));
  studio_number_row_reset (number_row (window, "steps_row"));
  gtk_drop_down_set_selected (studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, "kind_dropdown"), 0);
  studio_sampler_row_set_kind (sampler_row (window), DIMR_SAMPLER_DPM_SOLVER_FAST);
  gtk_drop_down_set_selected (studio_test_child (window->controls, STUDIO_TYPE_CONTROLS, "grid_dropdown"), 0);
  before = studio_controls_dup_state (window->controls);

  studio_window_open_file (window, file);
  studio_test_wait (steps_are_seven, window, PATIENCE);
  request = studio_controls_dup_request (window->controls);
  g_assert_cmpuint (request->n_classes, ==, 1);
  g_assert_cmpint (request->classes[0], ==, 951);
  g_assert_cmpfloat (request->guidance.scale, ==, 3.5);
  g_assert_cmpint (request->guidance.kind, ==, DIMR_GUIDANCE_COSINE);
  g_assert_cmpint (request->sampler, ==, DIMR_SAMPLER_DPM_SOLVER_3M);
  g_assert_cmpint (request->time_grid, ==, DIMR_TIME_GRID_LOG_SNR);
  g_assert_cmpuint (request->seed, ==, seed);
  g_clear_pointer (&request, dimr_request_free);

  /* What the toast's Undo does. */
  studio_controls_set_state (window->controls, before);
  request = studio_controls_dup_request (window->controls);
  g_assert_cmpuint (request->n_classes, ==, 2);
  g_assert_cmpint (request->guidance.kind, ==, DIMR_GUIDANCE_CONSTANT);
  g_assert_cmpint (request->sampler, ==, DIMR_SAMPLER_DPM_SOLVER_FAST);
  g_assert_cmpuint (request->n_steps, !=, 7);
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

static void
test_old_pictures (Fixture       *fixture,
                   gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  StudioFilmstrip *strip = studio_generate_view_get_filmstrip (window->view);

  generate_one (window, 3);
  generate_one (window, 3);
  _studio_window_read_folder (window);
  g_assert_cmpuint (studio_filmstrip_get_n (strip), ==, 0);
  studio_test_wait (folder_was_checked, window, PATIENCE);
  g_assert_cmpuint (studio_filmstrip_get_n (strip), ==, 2);
}

static void
test_trash (Fixture       *fixture,
            gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  StudioFilmstrip *strip = studio_generate_view_get_filmstrip (window->view);
  g_autofree char *path = NULL;
  GtkWidget *undo;

  generate_one (window, 3);
  path = g_strdup (studio_picture_peek_path (studio_generate_view_get_picture (window->view)));
  gtk_widget_activate_action (GTK_WIDGET (window), "win.trash", NULL);
  g_assert_cmpuint (studio_filmstrip_get_n (strip), ==, 0);
  g_assert_cmpuint (studio_canvas_get_n_cells (studio_generate_view_get_canvas (window->view)), ==, 0);
  g_assert_true (file_exists (path));

  studio_test_settle ();
  undo = studio_test_find_named (GTK_WIDGET (window->toasts), "Undo");
  g_assert_nonnull (undo);
  g_signal_emit_by_name (undo, "clicked");
  g_assert_cmpuint (studio_filmstrip_get_n (strip), ==, 1);
  g_assert_true (has_picture (window));
  studio_test_settle ();
  g_assert_true (file_exists (path));
}

static void
test_star (Fixture       *fixture,
           gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  g_auto(GStrv) stars = NULL;
  StudioPicture *picture;

  generate_one (window, 3);
  picture = studio_generate_view_get_picture (window->view);
  gtk_widget_activate_action (GTK_WIDGET (window), "win.star", NULL);
  g_assert_true (studio_picture_get_starred (picture));
  stars = g_settings_get_strv (studio_settings_get (), "starred-pictures");
  g_assert_cmpstr (stars[0], ==, studio_picture_peek_path (picture));
  gtk_widget_activate_action (GTK_WIDGET (window), "win.star", NULL);
  g_assert_false (studio_picture_get_starred (picture));
}

static void
test_unwritable_folder (Fixture       *fixture,
                        gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  g_autofree char *blocked = g_build_filename (fixture->folder, "a file", NULL);

  /* A file in the way stops the superuser too. */
  g_assert_true (g_file_set_contents (blocked, "x", 1, NULL));
  g_settings_set_string (studio_settings_get (), "output-folder", blocked);
  while (!studio_banner_get_text (window->folder_banner))
    g_main_context_iteration (NULL, TRUE);
  generate_one (window, 3);
  g_assert_null (studio_picture_peek_path (studio_generate_view_get_picture (window->view)));
  g_assert_nonnull (studio_picture_peek_image (studio_generate_view_get_picture (window->view)));
}

/* --- Models and errors --- */

static void
test_bad_model (Fixture       *fixture,
                gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  DimrModel *before = dimr_engine_get_model (window->engine);
  g_autoptr(GFile) file = g_file_new_for_path (TEST_DATA_DIR "/reference/I_formats/bad/evil_reduce.pth");
  StudioCanvas *canvas = studio_generate_view_get_canvas (window->view);

  generate_one (window, 3);
  studio_window_open_file (window, file);
  studio_test_wait (shows_error, window, PATIENCE);
  g_assert_nonnull (strstr (studio_banner_get_text (window->error_banner), "evil_reduce.pth"));
  g_assert_true (dimr_engine_get_model (window->engine) == before);
  g_assert_cmpuint (studio_canvas_get_n_cells (canvas), ==, 1);
  studio_test_sleep (400);
  studio_test_keep (GTK_WIDGET (window), "window-error");

  /* The next success takes the banner away. */
  generate_one (window, 3);
  g_assert_null (studio_banner_get_text (window->error_banner));
}

static gboolean
has_other_model (gpointer data)
{
  StudioWindow *window = data;
  DimrModel *model = dimr_engine_get_model (window->engine);

  return !window->loading && model && strstr (dimr_model_get_path (model), "B_dimr_3r_pixel");
}

static void
test_other_model (Fixture       *fixture,
                  gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  g_autoptr(GFile) file = g_file_new_for_path (TEST_DATA_DIR "/reference/B_dimr_3r_pixel");
  g_auto(GStrv) recent = NULL;

  studio_window_open_file (window, file);
  studio_test_wait (has_other_model, window, PATIENCE);
  recent = g_settings_get_strv (studio_settings_get (), "recent-models");
  g_assert_cmpuint (g_strv_length (recent), ==, 1);
  g_assert_cmpint (studio_number_row_get_value (number_row (window, "steps_row")), ==,
                   dimr_model_get_default_steps (dimr_engine_get_model (window->engine)));
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
  for (GList *l = gtk_application_get_windows (GTK_APPLICATION (application)); l; l = l->next)
    if (ADW_IS_MESSAGE_DIALOG (l->data))
      {
        gtk_window_destroy (l->data);
        break;
      }
  gtk_widget_activate_action (GTK_WIDGET (window), "win.stop", NULL);
  studio_test_wait (is_idle, window, PATIENCE);
}

static void
add (const char *path,
     void      (*test) (Fixture *, gconstpointer))
{
  g_test_add (path, Fixture, NULL, set_up, test, tear_down);
}

int
main (int    argc,
      char **argv)
{
  int result;

  studio_test_init (&argc, &argv);
  application = studio_application_new (G_APPLICATION_NON_UNIQUE);
  g_assert_true (g_application_register (G_APPLICATION (application), NULL, NULL));

  add ("/window/start/the-bundled-model-is-ready-and-generate-has-the-focus", test_first_start);
  add ("/window/classes/typing-a-synonym-and-enter-chooses-the-class", test_class_typing);
  add ("/window/classes/without-a-class-generate-opens-the-list", test_no_class);
  add ("/window/generate/the-canvas-shows-previews-and-then-the-saved-picture", test_pixels);
  add ("/window/generate/stop-leaves-the-window-ready", test_stop);
  add ("/window/generate/jobs-queue-in-order-and-the-queue-can-be-cleared", test_queue);
  add ("/window/generate/a-batch-is-a-grid-and-each-cell-a-picture", test_grid);
  add ("/window/generate/the-same-settings-give-the-same-picture", test_same_settings_same_picture);
  add ("/window/files/save-as-writes-a-png-with-its-settings", test_save_as);
  add ("/window/controls/sampler-options-go-there-and-back", test_sampler_options_restore);
  add ("/window/files/dropping-a-picture-restores-its-settings", test_drop_restores);
  add ("/window/files/pictures-of-the-folder-come-back", test_old_pictures);
  add ("/window/files/the-trash-can-be-undone", test_trash);
  add ("/window/files/stars-are-remembered", test_star);
  add ("/window/files/an-unwritable-folder-is-told-and-loses-nothing", test_unwritable_folder);
  add ("/window/models/a-bad-file-is-explained-and-changes-nothing", test_bad_model);
  add ("/window/models/another-model-brings-its-defaults", test_other_model);
  add ("/window/numbers/out-of-range-is-explained-not-clipped", test_out_of_range);
  add ("/window/numbers/the-lock-keeps-the-seed-that-was-used", test_seed);
  add ("/window/access/every-focusable-control-has-a-name", test_names);
  add ("/window/access/the-keyboard-reaches-every-control", test_keyboard);
  add ("/window/close/a-run-is-not-thrown-away-without-asking", test_closing_with_a_run);
  result = g_test_run ();
  g_object_unref (application);
  return result;
}
