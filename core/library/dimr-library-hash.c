/* dimr-library-hash.c — hashing what is listed, in the background
 *
 * One file at a time: two would only make the disk seek. The thread reads; what it has to tell
 * goes to the entries in the library's main context.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/library/dimr-library.h"

#include "core/library/dimr-entry-private.h"
#include "core/base/dimr-hash.h"

/* News of one entry on its way to the main context. */
typedef struct
{
  DimrEntry *entry;
  char *hash;
  double fraction;
} News;

static void
news_free (News *news)
{
  g_object_unref (news->entry);
  g_free (news->hash);
  g_free (news);
}

static gboolean
deliver (gpointer data)
{
  const News *news = data;

  dimr_entry_set_hash (news->entry, news->hash, news->fraction);
  return G_SOURCE_REMOVE;
}

/* Entries end in the main context, where widgets show them. */
typedef struct
{
  GPtrArray *entries;
  GMainContext *context;
  DimrEntry *current;
} Hashing;

static void
hashing_free (Hashing *hashing)
{
  g_ptr_array_unref (hashing->entries);
  g_main_context_unref (hashing->context);
  g_free (hashing);
}

static void
tell (const Hashing *self,
      const char    *hash,
      double         fraction)
{
  g_autoptr (GSource) source = g_idle_source_new ();
  News *news = g_new0 (News, 1);

  news->entry = g_object_ref (self->current);
  news->hash = g_strdup (hash);
  news->fraction = fraction;
  g_source_set_callback (source, deliver, news, (GDestroyNotify) news_free);
  g_source_set_static_name (source, "[dimr] hash news");
  g_source_attach (source, self->context);
}

static void
on_progress (guint64  n_done,
             guint64  n_total,
             gpointer user_data)
{
  tell (user_data, NULL, (double) n_done / (double) n_total);
}

static void
hash_in_thread (GTask        *task,
                gpointer      source,
                gpointer      task_data,
                GCancellable *cancellable)
{
  Hashing *self = task_data;

  for (guint i = 0; i < self->entries->len && !g_cancellable_is_cancelled (cancellable); i++)
    {
      g_autofree char *hash = NULL;

      self->current = g_ptr_array_index (self->entries, i);
      hash = dimr_hash_file (dimr_entry_get_weights_path (self->current), on_progress, self, cancellable, NULL);
      tell (self, hash, 0);
    }
  if (!g_task_return_error_if_cancelled (task))
    g_task_return_boolean (task, TRUE);
}

static void
on_hashed (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GTask) outer = user_data;
  Hashing *hashing = g_task_get_task_data (G_TASK (result));
  GError *error = NULL;

  /* The thread is through with them, though the pool may hold its task a little longer. */
  g_ptr_array_set_size (hashing->entries, 0);
  if (g_task_propagate_boolean (G_TASK (result), &error))
    g_task_return_boolean (outer, TRUE);
  else
    g_task_return_error (outer, error);
}

void
dimr_library_hash_async (DimrLibrary         *self,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  g_autoptr (GTask) inner = NULL;
  GTask *outer;
  Hashing *hashing;

  g_return_if_fail (DIMR_IS_LIBRARY (self));

  hashing = g_new0 (Hashing, 1);
  hashing->entries = g_ptr_array_new_with_free_func (g_object_unref);
  hashing->context = g_main_context_ref_thread_default ();
  for (guint i = 0; i < g_list_model_get_n_items (G_LIST_MODEL (self)); i++)
    {
      g_autoptr (DimrEntry) entry = g_list_model_get_item (G_LIST_MODEL (self), i);

      if (dimr_entry_get_weights_path (entry) != NULL && dimr_entry_get_hash (entry) == NULL)
        g_ptr_array_add (hashing->entries, g_steal_pointer (&entry));
    }
  outer = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (outer, dimr_library_hash_async);
  /* No source: a thread must never be the one that drops the library's last reference. */
  inner = g_task_new (NULL, cancellable, on_hashed, outer);
  g_task_set_task_data (inner, hashing, (GDestroyNotify) hashing_free);
  g_task_run_in_thread (inner, hash_in_thread);
}

gboolean
dimr_library_hash_finish (DimrLibrary   *self,
                          GAsyncResult  *result,
                          GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  return g_task_propagate_boolean (G_TASK (result), error);
}
