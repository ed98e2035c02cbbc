/* dimr-training-open.c — from options to a run that can make its next step
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/train/dimr-training-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-file.h"
#include "core/base/dimr-i18n.h"
#include "core/classes/dimr-classes.h"
#include "core/image/dimr-recipe.h"
#include "core/model/dimr-model.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

/* Activations of a micro-batch that stay in the processor's caches make a step faster than large ones
 * from memory; fewer than this leave the threads without work. Times what the device wants for pictures. */
#define CHOSEN_MICRO_BATCH 8

static gboolean
require (const char  *value,
         const char  *name,
         GError     **error)
{
  if (value != NULL)
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_REQUEST, _("Training needs --%s"), name);
  return FALSE;
}

/* The file itself, or config.json of a model folder. */
static char *
find_config (const char *path)
{
  return g_file_test (path, G_FILE_TEST_IS_DIR) ? g_build_filename (path, "config.json", NULL) : g_strdup (path);
}

static JsonObject *
parse_object (const char  *text,
              const char  *path,
              GError     **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();

  if (json_parser_load_from_data (parser, text, -1, NULL) && JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    return json_object_ref (json_node_get_object (json_parser_get_root (parser)));
  dimr_error_set (error, DIMR_ERROR_FORMAT, _("“%s” is no JSON object"), path);
  return NULL;
}

static gboolean
is_imagenet (DimrRun *self)
{
  return !self->classifies && self->config->num_classes > DIMR_N_IMAGENET_CLASSES;
}

/* What the rows of a classifier's head stand for. */
static void
add_label_names (DimrRun    *self,
                 JsonObject *object)
{
  JsonArray *array = json_array_new ();
  guint n;
  const int *classes = dimr_dataset_peek_classes (self->data, &n);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = dimr_dataset_dup_class_name (self->data, classes[i]);

      json_array_add_string_element (array, name);
    }
  json_object_set_array_member (object, "label_names", array);
}

/* The configuration that snapshots carry: as it was given, with the classes that are learnt and without the training. */
static gboolean
make_config_text (DimrRun     *self,
                  JsonObject  *object)
{
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  guint n;
  const int *classes = dimr_dataset_peek_classes (self->data, &n);

  if (json_object_has_member (object, "training"))
    json_object_remove_member (object, "training");
  if (is_imagenet (self))
    {
      JsonArray *array = json_array_new ();

      for (guint i = 0; i < n; i++)
        json_array_add_int_element (array, classes[i]);
      json_object_set_array_member (object, "trained_classes", array);
    }
  if (self->classifies)
    add_label_names (self, object);
  json_node_set_object (root, object);
  self->config_text = json_to_string (root, TRUE);
  return TRUE;
}

static int
compare_ints (gconstpointer a,
              gconstpointer b)
{
  return *(const int *) a - *(const int *) b;
}

static DimrDataset *
open_data (DimrRun     *self,
           const char  *path,
           GError     **error)
{
  /* A classifier's rows are the classes there are, in order, whatever their numbers. */
  const guint classes = self->classifies ? 0 : dimr_config_get_n_classes (self->config);

  if (strcmp (path, "drawn") == 0)
    return dimr_dataset_new_procedural (path == self->options->validation ? 512 : 4096, self->config->image_size,
                                        path == self->options->validation ? 1 : 0);
  return dimr_dataset_open (path, classes, self->config->channels, self->config->image_size, self->cancellable, error);
}

static DimrSchedule *
make_schedule (const DimrConfig *config)
{
  switch (config->schedule)
    {
    case DIMR_SCHEDULE_LINEAR: return dimr_schedule_new_linear (config->beta_0, config->beta_1);
    case DIMR_SCHEDULE_COSINE: return dimr_schedule_new_cosine ();
    case DIMR_SCHEDULE_DDPM: return dimr_schedule_new_ddpm (config->beta_0, config->beta_1, 1000);
    default: return dimr_schedule_new_discrete (config->beta_0, config->beta_1, 1000);
    }
}

/* The pictures of a classifier are of as many classes as it has rows, and it is judged by no others. */
static gboolean
check_classes (DimrRun  *self,
               GError  **error)
{
  guint n, n_known;
  const int *known = dimr_dataset_peek_classes (self->data, &n_known), *classes;

  if (!self->classifies)
    return TRUE;
  if (n_known != self->config->num_classes)
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("“%s” holds pictures of %u classes: set \"num_classes\" of the configuration to that, it is %u"),
                      self->options->data, n_known, self->config->num_classes);
      return FALSE;
    }
  for (guint i = 0; self->config->label_names != NULL && i < n_known; i++)
    {
      g_autofree char *name = dimr_dataset_dup_class_name (self->data, known[i]);

      if (strcmp (name, self->config->label_names[i]) != 0)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST, _("Class %u of “%s” is “%s”, but “%s” in the configuration's \"label_names\""),
                          i, self->options->data, name, self->config->label_names[i]);
          return FALSE;
        }
    }
  classes = self->validation != NULL ? dimr_dataset_peek_classes (self->validation, &n) : known;
  for (guint i = 0; self->validation != NULL && i < n; i++)
    if (bsearch (&classes[i], known, n_known, sizeof (int), compare_ints) == NULL)
      {
        g_autofree char *name = dimr_dataset_dup_class_name (self->validation, classes[i]);

        dimr_error_set (error, DIMR_ERROR_REQUEST, _("The class “%s” of “%s” is none of those in “%s”"), name,
                        self->options->validation, self->options->data);
        return FALSE;
      }
  return TRUE;
}

static gboolean
open_config (DimrRun  *self,
             GError  **error)
{
  g_autofree char *path = find_config (self->options->config), *text = NULL;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (JsonObject) object = NULL;
  gsize length;

  if (!g_file_get_contents (path, &text, &length, &local_error))
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("The configuration “%s” could not be read: %s."), path, local_error->message);
      return FALSE;
    }
  self->config = dimr_config_parse (text, length, path, error);
  object = self->config != NULL ? parse_object (text, path, error) : NULL;
  if (object == NULL)
    return FALSE;
  self->classifies = dimr_config_is_classifier (self->config);
  self->schedule = make_schedule (self->config);
  self->data = open_data (self, self->options->data, error);
  if (self->data == NULL)
    return FALSE;
  if (self->options->validation != NULL)
    {
      self->validation = open_data (self, self->options->validation, error);
      if (self->validation == NULL)
        return FALSE;
    }
  return check_classes (self, error) && make_config_text (self, object);
}

static gboolean
open_parameters (DimrRun  *self,
                 GError  **error)
{
  g_autoptr (DimrModel) from = NULL;

  if (self->options->from != NULL)
    {
      from = dimr_model_load_any (self->options->from, self->cancellable, error);
      if (from == NULL)
        return FALSE;
    }
  self->parameters = dimr_parameters_new (self->config, from != NULL ? dimr_model_peek_weights (from) : NULL, self->options->seed, error);
  if (self->parameters == NULL)
    return FALSE;
  self->average = dimr_parameters_new (self->config, dimr_parameters_peek_weights (self->parameters), 0, error);
  self->optimizer = dimr_optimizer_new (self->parameters);
  self->fingerprint = dimr_dataset_dup_fingerprint (self->data);
  return self->average != NULL;
}

/* The newest snapshot that is whole. One that is damaged is told of, and goes. */
static gboolean
restore (DimrRun  *self,
         GError  **error)
{
  g_autoptr (GPtrArray) folders = dimr_snapshot_list (self->options->output);

  for (guint i = 0; i < folders->len; i++)
    {
      const char *folder = g_ptr_array_index (folders, i);
      DimrTrainingState state = { self->parameters, self->average, self->optimizer, 0, self->fingerprint };
      g_autoptr (GError) problem = NULL;
      g_autofree char *text = NULL;

      if (dimr_snapshot_read (folder, &state, &problem))
        {
          self->step = state.step;
          self->last_snapshot = g_strdup (folder);
          return TRUE;
        }
      if (g_error_matches (problem, DIMR_ERROR, DIMR_ERROR_REQUEST))
        {
          g_propagate_error (error, g_steal_pointer (&problem));
          return FALSE;
        }
      text = g_strdup_printf (_("The snapshot “%s” is damaged and was removed: %s"), folder, problem->message);
      dimr_run_warn (self, text);
      dimr_file_remove_folder (folder);
    }
  dimr_error_set (error, DIMR_ERROR_FILE, _("There is no snapshot to go on from in “%s”; begin without --resume"), self->options->output);
  return FALSE;
}

static gboolean
prepare_output (DimrRun   *self,
                gboolean   resume,
                GError   **error)
{
  g_autofree char *path = g_build_filename (self->options->output, "run.json", NULL), *text = NULL;
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  g_autoptr (JsonObject) object = NULL;
  g_autoptr (GBytes) bytes = NULL;
  int saved;

  if (!resume && g_file_test (path, G_FILE_TEST_EXISTS))
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("“%s” holds a run already: go on with it with --resume, or choose another folder"), self->options->output);
      return FALSE;
    }
  if (g_mkdir_with_parents (self->options->output, 0777) != 0)
    {
      saved = errno;
      dimr_error_set (error, DIMR_ERROR_FILE, _("The folder “%s” could not be created: %s."), self->options->output, g_strerror (saved));
      return FALSE;
    }
  object = dimr_training_options_write (self->options);
  json_node_set_object (root, object);
  text = json_to_string (root, TRUE);
  bytes = g_bytes_new (text, strlen (text));
  return dimr_file_write_atomic (path, bytes, error);
}

/* The next smaller way to make the same step; FALSE where there is none, or the options leave no choice. */
static gboolean
save_memory (DimrRun            *self,
             DimrTrainerOptions *options)
{
  if (self->options->micro_batch > 0)
    return FALSE;
  if (options->micro_batch > 1)
    options->micro_batch /= 2;
  else if (options->recompute == DIMR_RECOMPUTE_NONE)
    options->recompute = DIMR_RECOMPUTE_BLOCKS;
  else
    return FALSE;
  return TRUE;
}

/* What the plan needs is known before anything runs: where it is more than there is, fewer samples go
 * together, and at last activations are computed twice instead of kept. Neither changes what is
 * learnt but for rounding. */
static gboolean
open_trainers (DimrRun  *self,
               GError  **error)
{
  const guint batch = (guint) self->options->batch;
  DimrTrainerOptions options = {
    .micro_batch = self->options->micro_batch > 0 ? MIN ((guint) self->options->micro_batch, batch)
                                                  : MIN (CHOSEN_MICRO_BATCH * dimr_device_get_micro_batch (self->device), MAX (batch / self->n_ranks, 1)),
    .height = self->config->image_size,
    .width = self->config->image_size,
    .precision = self->precision,
    .recompute = self->options->recompute ? DIMR_RECOMPUTE_BLOCKS : DIMR_RECOMPUTE_NONE,
    .label_smoothing = self->options->label_smoothing,
  };
  g_autoptr (GError) problem = NULL;
  gboolean less = FALSE, same;

  for (;;)
    {
      g_clear_pointer (&self->learner, dimr_learner_free);
      g_clear_pointer (&self->trainer, dimr_trainer_free);
      self->trainer = dimr_trainer_new (self->config, self->schedule, self->parameters, self->device, &options, self->cancellable, &problem);
      if (self->trainer != NULL && dimr_run_open_learner (self, &problem))
        {
          if (!dimr_run_agree_micro_batch (self, &options, &same, error))
            return FALSE;
          if (same)
            break;
          less = TRUE;
          continue;
        }
      if (!g_error_matches (problem, DIMR_ERROR, DIMR_ERROR_MEMORY) || !save_memory (self, &options))
        {
          g_propagate_error (error, g_steal_pointer (&problem));
          return FALSE;
        }
      less = TRUE;
      g_clear_error (&problem);
    }
  if (!dimr_learner_set_group (self->learner, self->group, self->cancellable, error))
    return FALSE;
  if (dimr_learner_get_remark (self->learner) != NULL && self->rank == 0)
    dimr_run_warn (self, dimr_learner_get_remark (self->learner));
  if (less && self->rank == 0)
    {
      g_autofree char *text = g_strdup_printf (
        options.recompute == DIMR_RECOMPUTE_BLOCKS
          ? ngettext ("Memory is short: %u sample goes through the network at a time, and activations are computed twice",
                      "Memory is short: %u samples go through the network together, and activations are computed twice", options.micro_batch)
          : ngettext ("Memory is short: %u sample goes through the network at a time",
                      "Memory is short: %u samples go through the network together", options.micro_batch), options.micro_batch);

      dimr_run_warn (self, text);
    }
  if (self->validation == NULL || self->rank > 0)
    return TRUE;
  options.only_loss = TRUE;
  self->validator = dimr_trainer_new (self->config, self->schedule, self->average, self->device, &options, self->cancellable, error);
  return self->validator != NULL;
}

static gboolean
open_batches (DimrRun  *self,
              GError  **error)
{
  DimrBatchesOptions options = {
    .seed = self->options->seed,
    .batch = (guint) self->options->batch,
    .channels = self->config->channels,
    .side = self->config->image_size,
    .null_class = self->config->num_classes > 0 && self->config->has_null_class ? (gint32) self->config->num_classes - 1 : -1,
    .has_classes = self->config->num_classes > 0,
    .drop_label = self->options->drop_label,
    .flip = self->options->flip,
    .crop = (guint) self->options->crop,
    .only_pictures = self->classifies,
    .shuffle = TRUE,
    .max_weight = self->options->max_weight,
    .n_threads = (guint) self->options->data_threads,
  };

  if (self->classifies)
    options.classes = dimr_dataset_peek_classes (self->data, &options.n_classes);
  if (!dimr_run_share (self, &options, error))
    return FALSE;
  self->batches = dimr_batches_new (self->data, self->schedule, &options, self->step);
  return TRUE;
}

static gboolean
open_log (DimrRun  *self,
          GError  **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const guint n = dimr_trainer_get_n_terms (self->trainer);

  g_ptr_array_add (names, g_strdup ("loss"));
  for (guint r = 0; r < n; r++)
    g_ptr_array_add (names, g_strdup (dimr_trainer_get_term_name (self->trainer, r)));
  g_ptr_array_add (names, g_strdup ("gradient_norm"));
  g_ptr_array_add (names, g_strdup ("lr"));
  g_ptr_array_add (names, g_strdup ("images_per_second"));
  g_ptr_array_add (names, g_strdup ("waiting_for_data"));
  g_ptr_array_add (names, g_strdup ("validation_loss"));
  for (guint r = 0; r < n; r++)
    g_ptr_array_add (names, g_strconcat ("validation_", dimr_trainer_get_term_name (self->trainer, r), NULL));
  g_ptr_array_add (names, NULL);
  self->log = dimr_training_log_new (self->options->output, (const char * const *) names->pdata, self->step, error);
  return self->log != NULL;
}

static void
introduce (DimrRun *self)
{
  guint n_classes;
  g_autofree char *text = NULL, *where = NULL;
  DimrTrainingEvent event = { .kind = DIMR_TRAINING_STARTED };

  dimr_dataset_peek_classes (self->data, &n_classes);
  where = self->n_ranks > 1 ? g_strdup_printf (_("%s, %u processes"), dimr_device_get_name (self->device), self->n_ranks)
                            : g_strdup (dimr_device_get_name (self->device));
  text = g_strdup_printf (_("%.2f M parameters, %" PRIu64 " pictures of %u classes, step %" PRIu64 " of %" PRIu64
                            ", %.0f MiB of activations, %s"),
                          (double) dimr_parameters_get_length (self->parameters) / 1e6, dimr_dataset_get_n (self->data), n_classes,
                          self->step, self->options->steps, (double) dimr_trainer_get_arena_size (self->trainer) / (1 << 20),
                          where);
  event.text = text;
  dimr_run_tell (self, &event);
}

gboolean
dimr_run_open (DimrRun   *self,
               gboolean   resume,
               GError   **error)
{
  const DimrTrainingOptions *options = self->options;

  if (!require (options->config, "config", error) || !require (options->data, "data", error) ||
      !require (options->output, "output", error) || !dimr_precision_from_string (options->precision, &self->precision))
    return FALSE;
  self->device = dimr_run_open_device (self, error);
  if (self->device == NULL || !open_config (self, error) || !open_parameters (self, error))
    return FALSE;
  if (self->rank == 0 && (!prepare_output (self, resume, error) || (resume && !restore (self, error))))
    return FALSE;
  if (!dimr_run_agree (self, error) || !open_trainers (self, error) || !open_batches (self, error) ||
      (self->rank == 0 && !open_log (self, error)))
    return FALSE;
  self->terms = g_new (float, DIMR_TRAINING_MAX_TERMS * options->batch);
  introduce (self);
  return TRUE;
}

void
dimr_run_clear (DimrRun *self)
{
  g_clear_pointer (&self->batches, dimr_batches_free);
  g_clear_pointer (&self->log, dimr_training_log_free);
  g_clear_pointer (&self->learner, dimr_learner_free);
  g_clear_pointer (&self->trainer, dimr_trainer_free);
  g_clear_pointer (&self->validator, dimr_trainer_free);
  g_clear_pointer (&self->optimizer, dimr_optimizer_free);
  g_clear_pointer (&self->average, dimr_parameters_free);
  g_clear_pointer (&self->parameters, dimr_parameters_free);
  g_clear_pointer (&self->data, dimr_dataset_unref);
  g_clear_pointer (&self->validation, dimr_dataset_unref);
  g_clear_object (&self->device);
  g_clear_pointer (&self->schedule, dimr_schedule_unref);
  g_clear_pointer (&self->config, dimr_config_free);
  g_free (self->config_text);
  g_free (self->fingerprint);
  g_free (self->last_snapshot);
  g_free (self->terms);
  g_free (self->own_terms);
}
