/* cli-models.c — `dimr models` lists the library, `dimr import` adds to it
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "app/cli-common.h"
#include "app/cli-progress.h"

static const char *
kind_name (DimrEntryKind kind)
{
  switch (kind)
    {
    case DIMR_ENTRY_MODEL: return "model";
    case DIMR_ENTRY_AUTOENCODER: return "autoencoder";
    case DIMR_ENTRY_CLASSIFIER: return "classifier";
    default: return "other";
    }
}

/* ---- models ---- */

typedef struct
{
  DimrLibrary *library;
  GMainLoop *loop;
  GCancellable *cancellable;
  gboolean hash;
  GError *error;
} Listing;

static void
on_hashed (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  Listing *self = user_data;

  dimr_library_hash_finish (self->library, result, &self->error);
  g_main_loop_quit (self->loop);
}

static void
on_scanned (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  Listing *self = user_data;

  if (dimr_library_scan_finish (self->library, result, &self->error) && self->hash)
    dimr_library_hash_async (self->library, self->cancellable, on_hashed, self);
  else
    g_main_loop_quit (self->loop);
}

/* Bytes that a model takes on the device that would be chosen; FALSE where that cannot be told. */
static gboolean
forecast (DimrEntry *entry,
          guint64   *weights,
          guint64   *arena)
{
  const DimrConfig *config = dimr_entry_peek_config (entry);

  return config != NULL &&
         dimr_forecast_memory (config, "auto", DIMR_PRECISION_AUTO, config->has_null_class, weights, arena, NULL);
}

static void
print_entry_json (DimrLibrary *library,
                  DimrEntry   *entry)
{
  JsonBuilder *event = studio_cli_event_new (kind_name (dimr_entry_get_kind (entry)));
  DimrEntry *autoencoder = dimr_entry_is_latent (entry) ? dimr_library_find_autoencoder (library, entry) : NULL;
  guint64 weights, arena;

  studio_cli_event_string (event, "path", dimr_entry_get_path (entry));
  studio_cli_event_string (event, "title", dimr_entry_get_title (entry));
  studio_cli_event_string (event, "problem", dimr_entry_get_problem (entry));
  if (forecast (entry, &weights, &arena))
    {
      studio_cli_event_int (event, "memory_weights", (gint64) weights);
      studio_cli_event_int (event, "memory_arena", (gint64) arena);
    }
  if (dimr_entry_get_kind (entry) == DIMR_ENTRY_MODEL)
    studio_cli_event_int (event, "trained_classes", dimr_entry_peek_config (entry)->n_trained_classes);
  if (dimr_entry_get_kind (entry) != DIMR_ENTRY_OTHER)
    {
      studio_cli_event_string (event, "summary", dimr_entry_get_summary (entry));
      studio_cli_event_int (event, "parameters", dimr_entry_get_n_parameters (entry));
      studio_cli_event_int (event, "macs", dimr_entry_get_n_macs (entry));
      studio_cli_event_int (event, "bytes", dimr_entry_get_n_bytes (entry));
      studio_cli_event_string (event, "origin", dimr_entry_get_origin (entry));
      studio_cli_event_string (event, "licence", dimr_entry_get_licence (entry));
      studio_cli_event_string (event, "autoencoder", autoencoder != NULL ? dimr_entry_get_path (autoencoder) : NULL);
    }
  studio_cli_event_string (event, "sha256", dimr_entry_get_hash (entry));
  studio_cli_event_int (event, "changed", dimr_entry_is_changed (entry));
  studio_cli_event_print (event);
}

/* What running the model costs, and what it was trained on. */
static void
print_needs (DimrEntry *entry)
{
  const DimrConfig *config = dimr_entry_peek_config (entry);
  guint64 weights, arena;

  g_print (_("  %.2f billion multiply-accumulates an evaluation, without guidance\n"), (double) dimr_entry_get_n_macs (entry) / 1e9);
  if (forecast (entry, &weights, &arena))
    {
      g_autofree char *for_weights = studio_cli_format_bytes (weights), *for_arena = studio_cli_format_bytes (arena);

      g_print (_("  memory on this device: %s for the weights, %s while it runs\n"), for_weights, for_arena);
    }
  if (config->trained_classes != NULL)
    g_print (ngettext ("  trained on %u class\n", "  trained on %u classes\n", config->n_trained_classes), config->n_trained_classes);
}

static void
print_entry (DimrLibrary *library,
             DimrEntry   *entry)
{
  g_autofree char *size = studio_cli_format_bytes (dimr_entry_get_n_bytes (entry));

  g_print ("%s\n  %s\n", dimr_entry_get_title (entry), dimr_entry_get_path (entry));
  if (dimr_entry_get_kind (entry) == DIMR_ENTRY_OTHER)
    {
      g_print ("  %s\n\n", dimr_entry_get_problem (entry));
      return;
    }
  g_print ("  %s, %s\n", dimr_entry_get_summary (entry), size);
  if (dimr_entry_get_kind (entry) == DIMR_ENTRY_MODEL)
    print_needs (entry);
  if (dimr_entry_get_origin (entry) != NULL)
    g_print (_("  from %s\n"), dimr_entry_get_origin (entry));
  if (dimr_entry_get_licence (entry) != NULL)
    g_print (_("  licence: %s\n"), dimr_entry_get_licence (entry));
  if (dimr_entry_get_hash (entry) != NULL)
    g_print ("  SHA-256 %s\n", dimr_entry_get_hash (entry));
  if (dimr_entry_is_changed (entry))
    g_print (_("  This file has another content than when it was hashed before.\n"));
  if (dimr_entry_is_latent (entry))
    {
      DimrEntry *autoencoder = dimr_library_find_autoencoder (library, entry);

      if (autoencoder != NULL)
        g_print (_("  decoded by %s\n"), dimr_entry_get_path (autoencoder));
      else
        g_print (_("  makes latents: for pictures it needs the autoencoder of Stable Diffusion, which is not here; it is published as\n"
                   "  autoencoder_kl_ema.pth with U-ViT and as stabilityai/sd-vae-ft-ema on Hugging Face\n"));
    }
  g_print ("\n");
}

int
studio_cli_models (int    argc,
                   char **argv)
{
  g_autofree char *folder = NULL;
  gboolean json = FALSE;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (DimrLibrary) library = NULL;
  Listing self = { .loop = loop, .cancellable = cancellable };
  guint ids[2], n;
  const GOptionEntry entries[] = {
    { "folder", 0, 0, G_OPTION_ARG_FILENAME, &folder, N_("Look here instead of the library's own folder"), N_("DIR") },
    { "hash", 0, 0, G_OPTION_ARG_NONE, &self.hash, N_("Compute the SHA-256 of weights that have none yet"), NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_("Print one JSON object a line instead"), NULL },
    G_OPTION_ENTRY_NULL,
  };

  if (!studio_cli_parse ("", _("Lists the models on this machine: the bundled ones, those in the library's folder, and those\n"
                               "in the cache of Hugging Face's tools."),
                         "  dimr models\n  dimr models --hash --json\n", entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;

  self.library = library = dimr_library_new (folder);
  studio_cli_watch (cancellable, ids);
  dimr_library_scan_async (library, cancellable, on_scanned, &self);
  g_main_loop_run (loop);
  /* News of the hashes are on their way through the main context. */
  while (g_main_context_iteration (NULL, FALSE))
    ;
  studio_cli_unwatch (ids);
  if (self.error != NULL)
    {
      int code = studio_cli_report (self.error, json);

      g_error_free (self.error);
      return code;
    }

  n = g_list_model_get_n_items (G_LIST_MODEL (library));
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (DimrEntry) entry = g_list_model_get_item (G_LIST_MODEL (library), i);

      if (json)
        print_entry_json (library, entry);
      else
        print_entry (library, entry);
    }
  if (!json)
    g_print (_("Models are kept in %s; “dimr import” adds to them.\n"), dimr_library_get_folder (library));
  return STUDIO_EXIT_OK;
}

/* ---- import ---- */

typedef struct
{
  const char *folder;
  const char *path;
  gboolean link;
  StudioProgress *progress; /* drawn by the working thread alone */
  gint64 began;
  char *imported;
} Import;

static void
on_progress (guint64  n_done,
             guint64  n_total,
             gpointer user_data)
{
  Import *self = user_data;

  studio_progress_update_bytes (self->progress, self->began, n_done, n_total);
}

static gboolean
import (gpointer       data,
        GCancellable  *cancellable,
        GError       **error)
{
  Import *self = data;

  self->imported = dimr_library_import (self->folder, self->path, self->link, on_progress, self, cancellable, error);
  return self->imported != NULL;
}

static gboolean
import_one (Import    *self,
            gboolean   json,
            GError   **error)
{
  gboolean ok = studio_cli_run (import, self, error);

  studio_progress_clear (self->progress);
  if (!ok)
    return FALSE;
  if (json)
    {
      JsonBuilder *event = studio_cli_event_new ("imported");

      studio_cli_event_string (event, "from", self->path);
      studio_cli_event_string (event, "path", self->imported);
      studio_cli_event_print (event);
    }
  else
    studio_cli_print_path (self->imported);
  g_clear_pointer (&self->imported, g_free);
  return TRUE;
}

int
studio_cli_import (int    argc,
                   char **argv)
{
  g_auto (GStrv) paths = NULL;
  g_autofree char *folder = NULL;
  gboolean link = FALSE, json = FALSE, quiet = FALSE;
  g_autoptr (StudioProgress) progress = NULL;
  const GOptionEntry entries[] = {
    { "folder", 0, 0, G_OPTION_ARG_FILENAME, &folder, N_("Import here instead of into the library's own folder"), N_("DIR") },
    { "link", 0, 0, G_OPTION_ARG_NONE, &link, N_("Make a link instead of a copy"), NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_("Print one JSON object a line instead"), NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, N_("Show no progress"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &paths, NULL, NULL },
    G_OPTION_ENTRY_NULL,
  };

  if (!studio_cli_parse (_("PATH…"),
                         _("Copies models and autoencoders (folders, or .safetensors and .pth files) into the library, after\n"
                           "a look at what they are. A copy appears whole or not at all, and nothing is replaced."),
                         "  dimr import ~/Downloads/DiMR-XL_2R_800epochs.pth\n  dimr import --link /data/models/mine\n",
                         entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  if (paths == NULL)
    return studio_cli_refuse (json, _("import takes at least one path; see “dimr import --help”"));
  if (folder == NULL)
    folder = dimr_library_dup_default_folder ();

  progress = studio_progress_new (json || quiet);
  for (guint i = 0; paths[i] != NULL; i++)
    {
      g_autoptr (GError) error = NULL;
      Import self = { folder, paths[i], link, progress, g_get_monotonic_time (), NULL };

      if (!import_one (&self, json, &error))
        return studio_cli_report (error, json);
    }
  return STUDIO_EXIT_OK;
}
