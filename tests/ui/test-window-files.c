/* test-window-files.c — pictures, settings and models that come from files and go there
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/autoencoder-fixture.h"
#include "tests/ui/window-fixture.h"
#include "ui/studio-sampler-row.h"
#include "ui/studio-settings.h"

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

/* --- Pictures --- */

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

static gboolean
shows_foreign_picture (gpointer data)
{
  StudioPicture *picture = studio_generate_view_get_picture (((StudioWindow *) data)->view);

  return picture && g_str_has_suffix (studio_picture_peek_path (picture), "elsewhere.png");
}

/* What was opened from elsewhere is not ours to delete; one of the strip's is itself, and is. */
static void
test_opened_picture (Fixture       *fixture,
                     gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  g_autofree char *outside = studio_test_make_folder ();
  g_autofree char *elsewhere = g_build_filename (outside, "elsewhere.png", NULL);
  g_autoptr(GFile) copy = g_file_new_for_path (elsewhere);
  g_autoptr(GFile) own = NULL;
  StudioPicture *listed;

  generate_one (window, 2);
  listed = studio_generate_view_get_picture (window->view);
  g_assert_true (g_action_group_get_action_enabled (G_ACTION_GROUP (window), "trash"));
  own = g_file_new_for_path (studio_picture_peek_path (listed));
  g_assert_true (g_file_copy (own, copy, G_FILE_COPY_NONE, NULL, NULL, NULL, NULL));

  studio_window_open_file (window, copy);
  studio_test_wait (shows_foreign_picture, window, PATIENCE);
  g_assert_false (g_action_group_get_action_enabled (G_ACTION_GROUP (window), "trash"));
  studio_window_open_file (window, own);
  while (studio_generate_view_get_picture (window->view) != listed)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (g_action_group_get_action_enabled (G_ACTION_GROUP (window), "trash"));
  studio_test_remove_folder (outside);
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

static StudioPicture *
picture_at (StudioWindow *window,
            guint         position)
{
  GtkWidget *list = studio_test_find (GTK_WIDGET (studio_generate_view_get_filmstrip (window->view)), GTK_TYPE_LIST_VIEW);
  g_autoptr(StudioPicture) picture = g_list_model_get_item (G_LIST_MODEL (gtk_list_view_get_model (GTK_LIST_VIEW (list))), position);

  return picture; /* the strip holds it */
}

static gboolean
has_recipe (gpointer data)
{
  return studio_picture_peek_recipe (data) != NULL;
}

static gboolean
first_has_thumbnail (gpointer data)
{
  return studio_picture_get_thumbnail (picture_at (data, 0)) != NULL;
}

static gboolean
n_is_2000 (gpointer data)
{
  return studio_filmstrip_get_n (studio_generate_view_get_filmstrip (((StudioWindow *) data)->view)) == 2000;
}

/* All pictures of a large folder are listed, and only those in sight are read. */
static void
test_many_pictures (Fixture       *fixture,
                    gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  g_autofree char *bad = g_build_filename (fixture->folder, "zz.png", NULL);
  g_autofree char *path = NULL;
  StudioPicture *first;
  guint n_read = 0;

  generate_one (window, 2);
  path = g_strdup (studio_picture_peek_path (studio_generate_view_get_picture (window->view)));
  for (guint i = 1; i < 2000; i++)
    {
      g_autofree char *name = g_strdup_printf ("copy %u.png", i);
      g_autofree char *copy = g_build_filename (fixture->folder, name, NULL);

      g_assert_cmpint (link (path, copy), ==, 0);
    }
  g_assert_true (g_file_set_contents (bad, "no picture", -1, NULL));

  _studio_window_read_folder (window);
  studio_test_wait (folder_was_checked, window, PATIENCE);
  /* What is called a picture and is none goes as soon as it is seen: the newest file, so at once. */
  studio_test_wait (n_is_2000, window, PATIENCE);
  studio_test_wait (first_has_thumbnail, window, PATIENCE);
  studio_test_sleep (300);
  for (guint i = 0; i < 2000; i++)
    n_read += studio_picture_get_thumbnail (picture_at (window, i)) != NULL;
  g_assert_cmpuint (n_read, <, 1000);

  /* What was only listed brings its recipe and pixels when it is shown, and lets the pixels go after it. */
  first = picture_at (window, 1999);
  g_assert_null (studio_picture_peek_recipe (first));
  studio_generate_view_show_picture (window->view, first);
  studio_test_wait (has_recipe, first, PATIENCE);
  g_assert_nonnull (studio_picture_peek_image (first));
  studio_generate_view_show_picture (window->view, NULL);
  g_assert_null (studio_picture_peek_image (first));
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

/* One Undo for all that were deleted in a row, and they come back where they were. */
static void
test_trash_many (Fixture       *fixture,
                 gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  StudioFilmstrip *strip = studio_generate_view_get_filmstrip (window->view);
  StudioPicture *before[3];
  GtkWidget *undo;

  for (guint i = 0; i < 3; i++)
    generate_one (window, 2);
  for (guint i = 0; i < 3; i++)
    before[i] = picture_at (window, i);
  studio_generate_view_show_picture (window->view, before[1]);
  studio_test_settle ();
  for (guint i = 0; i < 3; i++)
    gtk_widget_activate_action (GTK_WIDGET (window), "win.trash", NULL);
  g_assert_cmpuint (studio_filmstrip_get_n (strip), ==, 0);
  studio_test_settle ();
  g_assert_cmpstr (adw_toast_get_title (window->trash_toast), ==, "3 pictures moved to the trash");
  undo = studio_test_find_named (GTK_WIDGET (window->toasts), "Undo");
  g_assert_nonnull (undo);
  g_signal_emit_by_name (undo, "clicked");
  g_assert_cmpuint (studio_filmstrip_get_n (strip), ==, 3);
  for (guint i = 0; i < 3; i++)
    {
      g_assert_true (picture_at (window, i) == before[i]);
      g_assert_true (file_exists ((gpointer) studio_picture_peek_path (before[i])));
    }
}

/* What only tells something never holds up the Undo. */
static void
test_toasts_make_way (Fixture       *fixture,
                      gconstpointer  data)
{
  StudioWindow *window = fixture->window;

  generate_one (window, 2);
  for (guint i = 0; i < 5; i++)
    _studio_window_toast (window, "Queued");
  gtk_widget_activate_action (GTK_WIDGET (window), "win.trash", NULL);
  studio_test_sleep (400);
  g_assert_nonnull (studio_test_find_named (GTK_WIDGET (window->toasts), "Undo"));
  studio_test_sleep (800); /* libadwaita 1.2 does not survive a window that closes while a toast is leaving */
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

/* --- Models --- */

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

/* Names of files are bytes. A warning of GTK about text that is none would end the test. */
static void
test_bad_name (Fixture       *fixture,
               gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  g_autofree char *path = g_build_filename (fixture->folder, "B\374cher.pth", NULL);
  g_autoptr(GFile) file = g_file_new_for_path (path);

  g_assert_true (g_file_set_contents (path, "no tensors", -1, NULL));
  studio_window_open_file (window, file);
  studio_test_wait (shows_error, window, PATIENCE);
  g_assert_nonnull (strstr (studio_banner_get_text (window->error_banner), "B\357\277\275cher.pth"));
  g_remove (path);
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
  g_autoptr(DimrRequest) request = NULL;
  g_auto(GStrv) recent = NULL;

  studio_window_open_file (window, file);
  studio_test_wait (has_other_model, window, PATIENCE);
  recent = g_settings_get_strv (studio_settings_get (), "recent-models");
  g_assert_cmpuint (g_strv_length (recent), ==, 1);
  g_assert_cmpint (studio_number_row_get_value (number_row (window, "steps_row")), ==,
                   dimr_model_get_default_steps (dimr_engine_get_model (window->engine)));

  /* Nobody has chosen a class yet: it is one of the model's, however few it has. */
  request = studio_controls_dup_request (window->controls);
  g_assert_nonnull (request);
  g_assert_cmpuint (request->n_classes, ==, 1);
  g_assert_cmpuint (request->classes[0], <,
                    dimr_config_get_n_classes (dimr_model_peek_config (dimr_engine_get_model (window->engine))));
}

static gboolean
has_paired_model (gpointer data)
{
  StudioWindow *window = data;
  DimrModel *model = dimr_engine_get_model (window->engine);

  return !window->loading && model && strstr (dimr_model_get_path (model), "A_dimr_2r_latent") &&
         dimr_model_get_autoencoder (model);
}

/* What was downloaded, dropped together and in any order. */
static void
test_model_with_autoencoder (Fixture       *fixture,
                             gconstpointer  data)
{
  StudioWindow *window = fixture->window;
  g_autofree char *path = g_build_filename (fixture->folder, "autoencoder_kl_ema.safetensors", NULL);
  g_autofree char *chosen = NULL;
  g_autoptr(GFile) model = g_file_new_for_path (TEST_DATA_DIR "/reference/A_dimr_2r_latent");
  g_autoptr(GFile) autoencoder = g_file_new_for_path (path);
  GSList second = { .data = model }, first = { .data = autoencoder, .next = &second };

  autoencoder_fixture_write (&autoencoder_fixture_small, path);
  studio_window_open_files (window, &first);
  studio_test_wait (has_paired_model, window, PATIENCE);
  chosen = g_settings_get_string (studio_settings_get (), "autoencoder");
  g_assert_cmpstr (chosen, ==, path);
  g_assert_null (studio_banner_get_text (window->error_banner));
  g_settings_reset (studio_settings_get (), "autoencoder");
  studio_test_settle ();
}

static void
add_tests (void)
{
  window_fixture_add ("/window/files/save-as-writes-a-png-with-its-settings", test_save_as);
  window_fixture_add ("/window/controls/sampler-options-go-there-and-back", test_sampler_options_restore);
  window_fixture_add ("/window/files/dropping-a-picture-restores-its-settings", test_drop_restores);
  window_fixture_add ("/window/files/what-is-opened-from-elsewhere-is-not-deleted", test_opened_picture);
  window_fixture_add ("/window/files/pictures-of-the-folder-come-back", test_old_pictures);
  window_fixture_add ("/window/files/of-a-large-folder-only-what-is-in-sight-is-read", test_many_pictures);
  window_fixture_add ("/window/files/the-trash-can-be-undone", test_trash);
  window_fixture_add ("/window/files/one-undo-brings-all-back-from-the-trash", test_trash_many);
  window_fixture_add ("/window/files/an-undo-waits-for-no-toast", test_toasts_make_way);
  window_fixture_add ("/window/files/stars-are-remembered", test_star);
  window_fixture_add ("/window/files/an-unwritable-folder-is-told-and-loses-nothing", test_unwritable_folder);
  window_fixture_add ("/window/models/a-bad-file-is-explained-and-changes-nothing", test_bad_model);
  window_fixture_add ("/window/models/a-name-that-is-no-text-is-shown-all-the-same", test_bad_name);
  window_fixture_add ("/window/models/another-model-brings-its-defaults", test_other_model);
  window_fixture_add ("/window/models/a-model-and-its-autoencoder-come-together", test_model_with_autoencoder);
}

int
main (int    argc,
      char **argv)
{
  return window_fixture_main (argc, argv, add_tests);
}
