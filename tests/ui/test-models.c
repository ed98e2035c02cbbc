/* test-models.c — the window of the library: what it lists, tells and imports
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include <glib/gstdio.h>
#include <string.h>

#include "tests/ui/studio-test.h"
#include "ui/studio-model-card.h"
#include "ui/studio-models.h"

#define PATIENCE 30

typedef struct
{
  char *folder;        /* of the library */
  char *outside;       /* what is not imported yet */
  StudioModels *window;
} Fixture;

static char *
make_model (const char *parent,
            const char *reference,
            const char *name)
{
  static const char * const files[] = { "config.json", "model.safetensors" };
  char *folder = g_build_filename (parent, name, NULL);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *from = g_build_filename (TEST_DATA_DIR, "reference", reference, files[i], NULL);
      g_autofree char *to = g_build_filename (folder, files[i], NULL), *content = NULL;
      gsize length;

      g_assert_true (g_file_get_contents (from, &content, &length, NULL));
      g_assert_true (g_file_set_contents (to, content, (gssize) length, NULL));
    }
  return folder;
}

static StudioModelCard *
card (Fixture *self)
{
  return studio_test_child (self->window, STUDIO_TYPE_MODELS, "card");
}

static GtkListBox *
list (Fixture *self)
{
  return studio_test_child (self->window, STUDIO_TYPE_MODELS, "list");
}

/* The row of that title; NULL where there is none. */
static GtkListBoxRow *
find_row (Fixture    *self,
          const char *title)
{
  GtkListBoxRow *row;

  for (int i = 0; (row = gtk_list_box_get_row_at_index (list (self), i)); i++)
    if (g_strcmp0 (adw_preferences_row_get_title (ADW_PREFERENCES_ROW (row)), title) == 0)
      return row;
  return NULL;
}

static gboolean
is_listed (gpointer data)
{
  return gtk_list_box_get_row_at_index (list (data), 0) != NULL;
}

static gboolean
is_hashed (gpointer data)
{
  DimrEntry *entry = studio_model_card_get_entry (card (data));

  return entry && dimr_entry_get_hash (entry) != NULL;
}

static gboolean
has_imported (gpointer data)
{
  return find_row (data, "other") != NULL;
}

static void
fixture_init (Fixture       *self,
              gconstpointer  data)
{
  g_autofree char *model = NULL, *broken = NULL;

  self->folder = studio_test_make_folder ();
  self->outside = studio_test_make_folder ();
  model = make_model (self->folder, "A_dimr_2r_latent", "latents");
  broken = g_build_filename (self->folder, "broken.safetensors", NULL);
  g_assert_true (g_file_set_contents (broken, "no tensors", -1, NULL));
  self->window = STUDIO_MODELS (studio_models_new (NULL, self->folder, model));
  gtk_window_present (GTK_WINDOW (self->window));
  studio_test_wait (is_listed, self, PATIENCE);
}

static void
fixture_clear (Fixture       *self,
               gconstpointer  data)
{
  gtk_window_destroy (GTK_WINDOW (self->window));
  studio_test_settle ();
  studio_test_remove_folder (self->folder);
  studio_test_remove_folder (self->outside);
  g_free (self->folder);
  g_free (self->outside);
}

static void
test_lists (Fixture       *self,
            gconstpointer  data)
{
  AdwStyleManager *style = adw_style_manager_get_default ();
  GtkListBoxRow *broken = find_row (self, "broken.safetensors");

  /* The model that was asked for is shown, and its hash comes by itself. */
  g_assert_cmpstr (dimr_entry_get_title (studio_model_card_get_entry (card (self))), ==, "latents");
  g_assert_true (dimr_entry_is_latent (studio_model_card_get_entry (card (self))));
  studio_test_wait (is_hashed, self, PATIENCE);
  studio_test_sleep (300);
  studio_test_keep (GTK_WIDGET (self->window), "models-light");
  adw_style_manager_set_color_scheme (style, ADW_COLOR_SCHEME_FORCE_DARK);
  studio_test_sleep (300);
  studio_test_keep (GTK_WIDGET (self->window), "models-dark");
  adw_style_manager_set_color_scheme (style, ADW_COLOR_SCHEME_DEFAULT);
  g_assert_cmpuint (studio_test_count_unnamed (GTK_WIDGET (self->window)), ==, 0);

  g_assert_nonnull (find_row (self, "Starter 32 px"));
  g_assert_nonnull (broken);
  g_assert_true (gtk_widget_get_sensitive (studio_test_child (self->window, STUDIO_TYPE_MODELS, "use_button")));
  gtk_list_box_select_row (list (self), broken);
  g_assert_cmpint (dimr_entry_get_kind (studio_model_card_get_entry (card (self))), ==, DIMR_ENTRY_OTHER);
  g_assert_false (gtk_widget_get_sensitive (studio_test_child (self->window, STUDIO_TYPE_MODELS, "use_button")));
  gtk_list_box_select_row (list (self), find_row (self, "Starter 32 px"));
  studio_test_sleep (300);
  studio_test_keep (GTK_WIDGET (self->window), "models-starter");
}

static void
test_imports (Fixture       *self,
              gconstpointer  data)
{
  g_autofree char *path = make_model (self->outside, "C1_headdim15", "other");

  studio_models_import (self->window, path);
  studio_test_wait (has_imported, self, PATIENCE);
  g_assert_cmpstr (dimr_entry_get_title (studio_model_card_get_entry (card (self))), ==, "other");
  g_assert_true (g_str_has_prefix (dimr_entry_get_path (studio_model_card_get_entry (card (self))), self->folder));
}

static gboolean
has_imported_both (gpointer data)
{
  return find_row (data, "other") && find_row (data, "third");
}

/* Several files at once: one after the other, and one that is refused holds up none. */
static void
test_imports_in_turn (Fixture       *self,
                      gconstpointer  data)
{
  g_autofree char *path = make_model (self->outside, "C1_headdim15", "other"), *third = make_model (self->outside, "C1_headdim15", "third");
  g_autofree char *letter = g_build_filename (self->outside, "letter.pth", NULL);

  g_assert_true (g_file_set_contents (letter, "Dear all", -1, NULL));
  studio_models_import (self->window, path);
  studio_models_import (self->window, letter);
  studio_models_import (self->window, third);
  studio_test_wait (has_imported_both, self, PATIENCE);
}

static gboolean
has_toast (gpointer data)
{
  Fixture *self = data;
  GtkWidget *toasts = studio_test_child (self->window, STUDIO_TYPE_MODELS, "toasts");

  return studio_test_find (toasts, g_type_from_name ("AdwToastWidget")) != NULL;
}

static void
test_refuses (Fixture       *self,
              gconstpointer  data)
{
  g_autofree char *path = g_build_filename (self->outside, "letter.pth", NULL);

  g_assert_true (g_file_set_contents (path, "Dear all", -1, NULL));
  studio_models_import (self->window, path);
  studio_test_wait (has_toast, self, PATIENCE);
  g_assert_null (find_row (self, "letter.pth"));
}

static void
test_closes_while_busy (Fixture       *self,
                        gconstpointer  data)
{
  g_autofree char *path = make_model (self->outside, "C1_headdim15", "other");

  studio_models_import (self->window, path);
  /* fixture_clear() closes it now; nothing may be left that comes back to it. */
}

int
main (int    argc,
      char **argv)
{
  studio_test_init (&argc, &argv);
#define ADD(path, function) g_test_add ("/models/" path, Fixture, NULL, fixture_init, function, fixture_clear)
  ADD ("lists-what-is-there-and-what-is-wrong", test_lists);
  ADD ("imports-and-shows-it", test_imports);
  ADD ("imports-one-after-the-other", test_imports_in_turn);
  ADD ("refuses-in-one-sentence", test_refuses);
  ADD ("closes-while-it-imports", test_closes_while_busy);
  return g_test_run ();
}
