/* SPDX-License-Identifier: Apache-2.0 */
#include "core/library/dimr-library.h"

#include "core/library/dimr-entry-private.h"
#include "core/base/dimr-hash.h"
#include "core/library/dimr-library-scan.h"

#include <string.h>

struct _DimrLibrary
{
  GObject parent_instance;
  char *folder;
  char **paths;
  GPtrArray *entries; /* DimrEntry, sorted */
};

static void dimr_library_list_model_init (GListModelInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (DimrLibrary, dimr_library, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, dimr_library_list_model_init))

static void
dimr_library_finalize (GObject *object)
{
  DimrLibrary *self = DIMR_LIBRARY (object);

  g_free (self->folder);
  g_strfreev (self->paths);
  g_ptr_array_unref (self->entries);
  G_OBJECT_CLASS (dimr_library_parent_class)->finalize (object);
}

static void
dimr_library_class_init (DimrLibraryClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = dimr_library_finalize;
}

static void
dimr_library_init (DimrLibrary *self)
{
  self->entries = g_ptr_array_new_with_free_func (g_object_unref);
}

static GType
get_item_type (GListModel *list)
{
  return DIMR_TYPE_ENTRY;
}

static guint
get_n_items (GListModel *list)
{
  return DIMR_LIBRARY (list)->entries->len;
}

static gpointer
get_item (GListModel *list,
          guint       position)
{
  DimrLibrary *self = DIMR_LIBRARY (list);

  return position < self->entries->len ? g_object_ref (g_ptr_array_index (self->entries, position)) : NULL;
}

static void
dimr_library_list_model_init (GListModelInterface *iface)
{
  iface->get_item_type = get_item_type;
  iface->get_n_items = get_n_items;
  iface->get_item = get_item;
}

DimrLibrary *
dimr_library_new (const char *folder)
{
  DimrLibrary *self = g_object_new (DIMR_TYPE_LIBRARY, NULL);

  self->folder = folder != NULL ? g_canonicalize_filename (folder, NULL) : dimr_library_dup_default_folder ();
  return self;
}

const char *
dimr_library_get_folder (DimrLibrary *self)
{
  g_return_val_if_fail (DIMR_IS_LIBRARY (self), NULL);
  return self->folder;
}

void
dimr_library_set_paths (DimrLibrary        *self,
                        const char * const *paths)
{
  g_return_if_fail (DIMR_IS_LIBRARY (self));
  g_strfreev (self->paths);
  self->paths = g_strdupv ((char **) paths);
}

/* ---- looking ---- */

/* What the thread works with; it sees nothing of the library itself. */
typedef struct
{
  char *folder;
  char **paths;
} Scan;

static void
scan_free (Scan *scan)
{
  g_free (scan->folder);
  g_strfreev (scan->paths);
  g_free (scan);
}

static int
compare_entries (gconstpointer a,
                 gconstpointer b)
{
  DimrEntry *x = *(DimrEntry **) a, *y = *(DimrEntry **) b;
  int order = (int) dimr_entry_get_kind (x) - (int) dimr_entry_get_kind (y);

  if (order == 0)
    order = g_utf8_collate (dimr_entry_get_title (x), dimr_entry_get_title (y));
  return order != 0 ? order : strcmp (dimr_entry_get_path (x), dimr_entry_get_path (y));
}

static void
scan_in_thread (GTask        *task,
                gpointer      source,
                gpointer      task_data,
                GCancellable *cancellable)
{
  const Scan *scan = task_data;
  g_autoptr (GPtrArray) candidates = dimr_library_list_candidates (scan->folder, (const char * const *) scan->paths);
  g_autoptr (GPtrArray) entries = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < candidates->len; i++)
    {
      const DimrCandidate *candidate = g_ptr_array_index (candidates, i);
      DimrEntry *entry = dimr_entry_new (candidate->path, cancellable);

      if (entry == NULL)
        break;
      if (candidate->quiet && dimr_entry_get_kind (entry) == DIMR_ENTRY_OTHER)
        g_object_unref (entry);
      else
        g_ptr_array_add (entries, entry);
    }
  if (g_task_return_error_if_cancelled (task))
    return;
  g_ptr_array_sort (entries, compare_entries);
  g_task_return_pointer (task, g_steal_pointer (&entries), (GDestroyNotify) g_ptr_array_unref);
}

static void
on_scanned (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr (GTask) outer = user_data;
  DimrLibrary *self = g_task_get_source_object (outer);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) entries = g_task_propagate_pointer (G_TASK (result), &error);
  guint removed = self->entries->len;

  if (entries == NULL)
    {
      g_task_return_error (outer, g_steal_pointer (&error));
      return;
    }
  g_ptr_array_unref (self->entries);
  self->entries = g_ptr_array_ref (entries);
  g_list_model_items_changed (G_LIST_MODEL (self), 0, removed, entries->len);
  g_task_return_boolean (outer, TRUE);
}

void
dimr_library_scan_async (DimrLibrary         *self,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  g_autoptr (GTask) inner = NULL;
  GTask *outer;
  Scan *scan;

  g_return_if_fail (DIMR_IS_LIBRARY (self));

  outer = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (outer, dimr_library_scan_async);
  scan = g_new0 (Scan, 1);
  scan->folder = g_strdup (self->folder);
  scan->paths = g_strdupv (self->paths);
  /* No source: a thread must never be the one that drops the library's last reference. */
  inner = g_task_new (NULL, cancellable, on_scanned, outer);
  g_task_set_task_data (inner, scan, (GDestroyNotify) scan_free);
  g_task_run_in_thread (inner, scan_in_thread);
}

gboolean
dimr_library_scan_finish (DimrLibrary   *self,
                          GAsyncResult  *result,
                          GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  return g_task_propagate_boolean (G_TASK (result), error);
}

DimrEntry *
dimr_library_find (DimrLibrary *self,
                   const char  *path)
{
  g_autofree char *absolute = NULL;

  g_return_val_if_fail (DIMR_IS_LIBRARY (self) && path != NULL, NULL);

  absolute = g_canonicalize_filename (path, NULL);
  for (guint i = 0; i < self->entries->len; i++)
    if (strcmp (dimr_entry_get_path (g_ptr_array_index (self->entries, i)), absolute) == 0)
      return g_ptr_array_index (self->entries, i);
  return NULL;
}

/* How near an autoencoder is to a model: 2 in its folder, 1 beside it, 0 anywhere. */
static guint
rank_nearness (DimrEntry *autoencoder,
               DimrEntry *model)
{
  g_autofree char *folder = g_path_get_dirname (dimr_entry_get_weights_path (model));
  g_autofree char *parent = g_path_get_dirname (folder);
  g_autofree char *place = g_path_get_dirname (dimr_entry_get_weights_path (autoencoder));
  g_autofree char *around = g_path_get_dirname (place);

  if (strcmp (place, folder) == 0)
    return 2;
  return strcmp (place, parent) == 0 || strcmp (around, parent) == 0 || strcmp (around, folder) == 0 ? 1 : 0;
}

DimrEntry *
dimr_library_find_autoencoder (DimrLibrary *self,
                               DimrEntry   *model)
{
  DimrEntry *best = NULL;
  guint best_rank = 0;

  g_return_val_if_fail (DIMR_IS_LIBRARY (self) && DIMR_IS_ENTRY (model), NULL);

  for (guint i = 0; i < self->entries->len; i++)
    {
      DimrEntry *entry = g_ptr_array_index (self->entries, i);
      guint rank;

      if (dimr_entry_get_kind (entry) != DIMR_ENTRY_AUTOENCODER ||
          dimr_entry_get_latent_channels (entry) != dimr_entry_get_latent_channels (model))
        continue;
      rank = rank_nearness (entry, model);
      if (best == NULL || rank > best_rank)
        {
          best = entry;
          best_rank = rank;
        }
    }
  return best;
}
