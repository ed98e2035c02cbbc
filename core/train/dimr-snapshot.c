/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-snapshot.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-file.h"
#include "core/base/dimr-i18n.h"
#include "core/weights/dimr-safetensors-writer.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define PREFIX "step-"
#define PART ".part-"  /* of a folder that is being written */

static gboolean
write_text (const char  *folder,
            const char  *name,
            const char  *text,
            GError     **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GBytes) bytes = g_bytes_new (text, strlen (text));

  return dimr_file_write_atomic (path, bytes, error);
}

static gboolean
write_tensors (const char  *folder,
               const char  *name,
               GPtrArray   *names,
               GPtrArray   *tensors,
               GError     **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  g_ptr_array_add (names, NULL);
  return dimr_safetensors_write (path, (const char * const *) names->pdata, (DimrTensor * const *) tensors->pdata, NULL, NULL,
                                 NULL, NULL, error);
}

static gboolean
write_model (const char               *folder,
             const DimrTrainingState  *state,
             GError                  **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) dimr_tensor_unref);

  dimr_parameters_list (state->average, dimr_parameters_get_values (state->average), "", names, tensors);
  return write_tensors (folder, "model.safetensors", names, tensors, error);
}

static gboolean
write_state (const char               *folder,
             const DimrTrainingState  *state,
             GError                  **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) dimr_tensor_unref);
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *text = NULL;

  dimr_parameters_list (state->parameters, dimr_parameters_get_values (state->parameters), "param.", names, tensors);
  dimr_parameters_list (state->parameters, dimr_optimizer_get_m (state->optimizer), "m.", names, tensors);
  dimr_parameters_list (state->parameters, dimr_optimizer_get_v (state->optimizer), "v.", names, tensors);
  if (!write_tensors (folder, "state.safetensors", names, tensors, error))
    return FALSE;
  json_object_set_int_member (object, "step", (gint64) state->step);
  json_object_set_int_member (object, "optimizer_step", (gint64) dimr_optimizer_get_step (state->optimizer));
  json_object_set_string_member (object, "data", state->fingerprint);
  json_node_set_object (root, object);
  text = json_to_string (root, TRUE);
  return write_text (folder, "state.json", text, error);
}

/* Newest first: the names have as many digits. */
static int
compare_folders (gconstpointer a,
                 gconstpointer b)
{
  return -strcmp (*(const char * const *) a, *(const char * const *) b);
}

static GPtrArray *
list_folders (const char *output,
              const char *prefix)
{
  GPtrArray *folders = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) dir = g_dir_open (output, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, prefix))
      g_ptr_array_add (folders, g_build_filename (output, name, NULL));
  g_ptr_array_sort (folders, compare_folders);
  return folders;
}

GPtrArray *
dimr_snapshot_list (const char *output)
{
  return list_folders (output, PREFIX);
}

static gboolean
fill (const char               *folder,
      const DimrTrainingState  *state,
      const char               *config,
      const char               *card,
      DimrSnapshotFunc          add_files,
      gpointer                  user_data,
      GError                  **error)
{
  return write_text (folder, "config.json", config, error) && write_text (folder, "model-card.md", card, error) &&
         write_model (folder, state, error) && write_state (folder, state, error) &&
         (add_files == NULL || add_files (folder, user_data, error)) && dimr_file_sync_folder (folder, error);
}

/* What an earlier process left behind in the middle of its work. */
static void
remove_parts (const char *output)
{
  g_autoptr (GPtrArray) parts = list_folders (output, PART);

  for (guint i = 0; i < parts->len; i++)
    dimr_file_remove_folder (g_ptr_array_index (parts, i));
}

gboolean
dimr_snapshot_write (const char               *output,
                     const DimrTrainingState  *state,
                     const char               *config,
                     const char               *card,
                     guint                     keep,
                     DimrSnapshotFunc          add_files,
                     gpointer                  user_data,
                     char                    **path,
                     GError                  **error)
{
  g_autofree char *name = g_strdup_printf (PREFIX "%012" G_GUINT64_FORMAT, state->step);
  g_autofree char *part_name = g_strconcat (PART, name, NULL);
  g_autofree char *part = g_build_filename (output, part_name, NULL), *final = g_build_filename (output, name, NULL);
  g_autoptr (GPtrArray) all = NULL;
  int saved;

  remove_parts (output);
  /* The same step again, as after a stop: what is there was whole when it came there. */
  if (g_file_test (final, G_FILE_TEST_IS_DIR))
    {
      if (path != NULL)
        *path = g_steal_pointer (&final);
      return TRUE;
    }
  if (g_mkdir_with_parents (part, 0777) != 0)
    {
      saved = errno;
      dimr_error_set (error, DIMR_ERROR_FILE, _("The folder “%s” could not be created: %s."), part, g_strerror (saved));
      return FALSE;
    }
  if (!fill (part, state, config, card, add_files, user_data, error))
    {
      dimr_file_remove_folder (part);
      return FALSE;
    }
  if (g_rename (part, final) != 0)
    {
      saved = errno;
      dimr_file_remove_folder (part);
      dimr_error_set (error, DIMR_ERROR_FILE, _("The snapshot could not be moved to “%s”: %s."), final, g_strerror (saved));
      return FALSE;
    }
  if (!dimr_file_sync_folder (output, error))
    return FALSE;
  all = dimr_snapshot_list (output);
  for (guint i = keep; i < all->len; i++)
    dimr_file_remove_folder (g_ptr_array_index (all, i));
  if (path != NULL)
    *path = g_steal_pointer (&final);
  return TRUE;
}

/* A count that state.json must tell: without it a run would begin again at step 0 and nobody would notice. */
static gboolean
read_count (const char  *path,
            JsonObject  *object,
            const char  *member,
            guint64     *value,
            GError     **error)
{
  JsonNode *node = json_object_get_member (object, member);

  if (node == NULL || json_node_get_value_type (node) != G_TYPE_INT64 || json_node_get_int (node) < 0)
    {
      dimr_error_set (error, DIMR_ERROR_FORMAT,
                      _("“%s” is damaged: “%s” is no count of steps; move this snapshot away, and the run goes on from the one before"),
                      path, member);
      return FALSE;
    }
  *value = (guint64) json_node_get_int (node);
  return TRUE;
}

static const char *
get_fingerprint (JsonObject *object)
{
  JsonNode *node = json_object_get_member (object, "data");

  return node != NULL && json_node_get_value_type (node) == G_TYPE_STRING ? json_node_get_string (node) : NULL;
}

static gboolean
read_json (const char         *folder,
           DimrTrainingState  *state,
           GError            **error)
{
  g_autofree char *path = g_build_filename (folder, "state.json", NULL);
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GError) local_error = NULL;
  JsonObject *object;
  guint64 optimizer_step;

  if (!json_parser_load_from_file (parser, path, &local_error) || json_parser_get_root (parser) == NULL ||
      !JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    {
      dimr_error_set (error, DIMR_ERROR_FORMAT, _("“%s” cannot be read: %s"), path,
                      local_error != NULL ? local_error->message : _("it holds no object"));
      return FALSE;
    }
  object = json_node_get_object (json_parser_get_root (parser));
  if (!read_count (path, object, "step", &state->step, error) ||
      !read_count (path, object, "optimizer_step", &optimizer_step, error))
    return FALSE;
  dimr_optimizer_set_step (state->optimizer, optimizer_step);
  if (g_strcmp0 (get_fingerprint (object), state->fingerprint) != 0)
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("“%s” was trained on other pictures: go on with those, or begin a new run with --from"), folder);
      return FALSE;
    }
  return TRUE;
}

gboolean
dimr_snapshot_read (const char         *folder,
                    DimrTrainingState  *state,
                    GError            **error)
{
  g_autofree char *state_path = g_build_filename (folder, "state.safetensors", NULL);
  g_autofree char *model_path = g_build_filename (folder, "model.safetensors", NULL);
  g_autoptr (DimrWeights) kept = NULL;
  g_autoptr (DimrWeights) model = NULL;

  if (!read_json (folder, state, error))
    return FALSE;
  kept = dimr_weights_open (state_path, NULL, error);
  model = kept != NULL ? dimr_weights_open (model_path, NULL, error) : NULL;
  return model != NULL &&
         dimr_parameters_read (state->parameters, kept, "param.", dimr_parameters_get_values (state->parameters), error) &&
         dimr_parameters_read (state->parameters, kept, "m.", dimr_optimizer_get_m (state->optimizer), error) &&
         dimr_parameters_read (state->parameters, kept, "v.", dimr_optimizer_get_v (state->optimizer), error) &&
         dimr_parameters_read (state->average, model, "", dimr_parameters_get_values (state->average), error);
}
