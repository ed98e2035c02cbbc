/* SPDX-License-Identifier: Apache-2.0 */
#include "core/library/dimr-library-scan.h"

#include "core/library/dimr-paths.h"

#include <string.h>

/* Folders of a snapshot in the cache: vae/, unet/, … */
#define CACHE_DEPTH 2

static void
candidate_free (gpointer data)
{
  DimrCandidate *candidate = data;

  g_free (candidate->path);
  g_free (candidate);
}

static gboolean
is_weights_name (const char *name)
{
  static const char * const endings[] = { ".safetensors", ".pth", ".pt", ".ckpt", ".bin" };

  for (guint i = 0; i < G_N_ELEMENTS (endings); i++)
    if (g_str_has_suffix (name, endings[i]))
      return TRUE;
  return FALSE;
}

static void
add (GPtrArray  *candidates,
     GHashTable *seen,
     const char *path,
     gboolean    quiet)
{
  g_autofree char *absolute = g_canonicalize_filename (path, NULL);
  DimrCandidate *candidate;

  if (!g_hash_table_add (seen, g_strdup (absolute)))
    return;
  candidate = g_new0 (DimrCandidate, 1);
  candidate->path = g_steal_pointer (&absolute);
  candidate->quiet = quiet;
  g_ptr_array_add (candidates, candidate);
}

static gboolean
holds_weights (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (is_weights_name (name))
      return TRUE;
  return FALSE;
}

/* Files and folders of @folder that look like weights; hidden ones are unfinished imports. */
static void
add_children (GPtrArray  *candidates,
              GHashTable *seen,
              const char *folder,
              gboolean    quiet)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (*name == '.')
        continue;
      if (g_file_test (path, G_FILE_TEST_IS_DIR) ? holds_weights (path) : is_weights_name (name))
        add (candidates, seen, path, quiet);
    }
}

static void
add_snapshot (GPtrArray  *candidates,
              GHashTable *seen,
              const char *folder,
              guint       depth)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        {
          if (depth < CACHE_DEPTH)
            add_snapshot (candidates, seen, path, depth + 1);
        }
      else if (is_weights_name (name))
        add (candidates, seen, path, TRUE);
    }
}

/* hub/models--ORG--NAME/snapshots/REVISION/… */
static void
add_cache (GPtrArray  *candidates,
           GHashTable *seen)
{
  const char *home = g_getenv ("HF_HOME"), *hub = g_getenv ("HF_HUB_CACHE");
  g_autofree char *folder = NULL;
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (hub != NULL && *hub != '\0')
    folder = g_strdup (hub);
  else if (home != NULL && *home != '\0')
    folder = g_build_filename (home, "hub", NULL);
  else
    folder = g_build_filename (g_get_user_cache_dir (), "huggingface", "hub", NULL);
  dir = g_dir_open (folder, 0, NULL);
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *snapshots = g_build_filename (folder, name, "snapshots", NULL);
      g_autoptr (GDir) revisions = g_str_has_prefix (name, "models--") ? g_dir_open (snapshots, 0, NULL) : NULL;
      const char *revision;

      while (revisions != NULL && (revision = g_dir_read_name (revisions)) != NULL)
        {
          g_autofree char *path = g_build_filename (snapshots, revision, NULL);

          add_snapshot (candidates, seen, path, 0);
        }
    }
}

GPtrArray *
dimr_library_list_candidates (const char         *folder,
                              const char * const *paths)
{
  GPtrArray *candidates = g_ptr_array_new_with_free_func (candidate_free);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *bundled = dimr_paths_find_data ("models");

  g_return_val_if_fail (folder != NULL, candidates);

  if (bundled != NULL)
    add_children (candidates, seen, bundled, FALSE);
  add_children (candidates, seen, folder, FALSE);
  for (guint i = 0; paths != NULL && paths[i] != NULL; i++)
    add (candidates, seen, paths[i], FALSE);
  add_cache (candidates, seen);
  return candidates;
}

static int
compare_paths (gconstpointer a,
               gconstpointer b)
{
  return strcmp ((*(DimrCandidate * const *) a)->path, (*(DimrCandidate * const *) b)->path);
}

DimrAutoencoder *
dimr_library_load_autoencoder (guint         latent_channels,
                               GCancellable *cancellable)
{
  g_autofree char *folder = dimr_library_dup_default_folder ();
  g_autoptr (GPtrArray) candidates = dimr_library_list_candidates (folder, NULL);

  g_ptr_array_sort (candidates, compare_paths);
  for (guint i = 0; i < candidates->len && !g_cancellable_is_cancelled (cancellable); i++)
    {
      const DimrCandidate *candidate = g_ptr_array_index (candidates, i);
      g_autoptr (DimrAutoencoder) found = dimr_autoencoder_load (candidate->path, cancellable, NULL);

      if (found != NULL && dimr_autoencoder_peek_config (found)->latent_channels == latent_channels &&
          dimr_autoencoder_peek_config (found)->decoder_blocks > 0)
        return g_steal_pointer (&found);
    }
  return NULL;
}

char *
dimr_library_dup_default_folder (void)
{
  return g_build_filename (g_get_user_data_dir (), "dimr-studio", "models", NULL);
}
