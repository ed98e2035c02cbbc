/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-engine.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/base/dimr-rng.h"
#include "core/diffusion/dimr-denoiser.h"
#include "core/engine/dimr-engine-thread.h"
#include "core/engine/dimr-job-private.h"

#include <string.h>
#include <unistd.h>

enum { PROP_0, PROP_MODEL, PROP_DEVICE_NAME, PROP_DEVICE_NOTE, PROP_DEVICE_LOST, PROP_CURRENT_JOB, PROP_N_WAITING, N_PROPS };

static GParamSpec *properties[N_PROPS];

/* Invariants: everything here belongs to the main context. A job is in `queue` from submit until its state leaves QUEUED. */
struct _DimrEngine
{
  GObject parent_instance;
  GMainContext *context;
  DimrEngineThread *thread;
  DimrModel *model;
  char *autoencoder;  /* of models that are loaded from now on; NULL: what is found beside them */
  char *device_name;
  guint precisions;   /* 1 << DimrPrecision */
  char *device_note;
  GError *lost;       /* why the device is gone; NULL while it works */
  GPtrArray *devices; /* DimrDeviceChoice; NULL until the thread has asked */
  DimrJob *current;
  GListStore *queue; /* DimrJob */
  guint n_waiting;
};

G_DEFINE_FINAL_TYPE (DimrEngine, dimr_engine, G_TYPE_OBJECT)

/* ---- the object ---- */

static void
dimr_engine_dispose (GObject *object)
{
  DimrEngine *self = DIMR_ENGINE (object);

  if (self->thread != NULL)
    {
      dimr_engine_clear_queue (self);
      if (self->current != NULL)
        dimr_engine_cancel (self, self->current);
      g_clear_pointer (&self->thread, dimr_engine_thread_stop);
    }
  g_clear_object (&self->current);
  g_clear_object (&self->queue);
  g_clear_object (&self->model);
  G_OBJECT_CLASS (dimr_engine_parent_class)->dispose (object);
}

static void
dimr_engine_finalize (GObject *object)
{
  DimrEngine *self = DIMR_ENGINE (object);

  g_clear_pointer (&self->context, g_main_context_unref);
  g_free (self->autoencoder);
  g_free (self->device_name);
  g_free (self->device_note);
  g_clear_error (&self->lost);
  g_clear_pointer (&self->devices, g_ptr_array_unref);
  G_OBJECT_CLASS (dimr_engine_parent_class)->finalize (object);
}

static void
dimr_engine_get_property (GObject    *object,
                          guint       prop_id,
                          GValue     *value,
                          GParamSpec *pspec)
{
  DimrEngine *self = DIMR_ENGINE (object);

  switch (prop_id)
    {
    case PROP_MODEL: g_value_set_object (value, self->model); break;
    case PROP_DEVICE_NAME: g_value_set_string (value, self->device_name); break;
    case PROP_DEVICE_NOTE: g_value_set_string (value, self->device_note); break;
    case PROP_DEVICE_LOST: g_value_set_boolean (value, self->lost != NULL); break;
    case PROP_CURRENT_JOB: g_value_set_object (value, self->current); break;
    case PROP_N_WAITING: g_value_set_uint (value, self->n_waiting); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
dimr_engine_class_init (DimrEngineClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->dispose = dimr_engine_dispose;
  object_class->finalize = dimr_engine_finalize;
  object_class->get_property = dimr_engine_get_property;
  properties[PROP_MODEL] = g_param_spec_object ("model", NULL, NULL, DIMR_TYPE_MODEL, flags);
  properties[PROP_DEVICE_NAME] = g_param_spec_string ("device-name", NULL, NULL, NULL, flags);
  properties[PROP_DEVICE_NOTE] = g_param_spec_string ("device-note", NULL, NULL, NULL, flags);
  properties[PROP_DEVICE_LOST] = g_param_spec_boolean ("device-lost", NULL, NULL, FALSE, flags);
  properties[PROP_CURRENT_JOB] = g_param_spec_object ("current-job", NULL, NULL, DIMR_TYPE_JOB, flags);
  properties[PROP_N_WAITING] = g_param_spec_uint ("n-waiting", NULL, NULL, 0, G_MAXUINT, 0, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
dimr_engine_init (DimrEngine *self)
{
  self->context = g_main_context_ref_thread_default ();
  self->queue = g_list_store_new (DIMR_TYPE_JOB);
}

static void
on_device_news (DimrEngine     *self,
                DimrDeviceNews *news)
{
  const gboolean was_lost = self->lost != NULL;
  GObject *object = G_OBJECT (self);

  if (self->queue == NULL) /* disposed */
    return;
  g_object_freeze_notify (object);
  g_clear_pointer (&self->devices, g_ptr_array_unref);
  self->devices = g_steal_pointer (&news->devices);
  if (g_strcmp0 (self->device_note, news->device_note) != 0)
    g_object_notify_by_pspec (object, properties[PROP_DEVICE_NOTE]);
  g_free (self->device_note);
  self->device_note = g_steal_pointer (&news->device_note);
  g_clear_error (&self->lost);
  self->lost = g_steal_pointer (&news->lost);
  if ((self->lost != NULL) != was_lost)
    g_object_notify_by_pspec (object, properties[PROP_DEVICE_LOST]);
  g_free (self->device_name);
  self->device_name = g_steal_pointer (&news->device_name);
  self->precisions = news->precisions;
  g_object_notify_by_pspec (object, properties[PROP_DEVICE_NAME]);
  g_object_thaw_notify (object);
}

DimrEngine *
dimr_engine_new (const char *device,
                 guint       n_threads)
{
  DimrEngine *self = g_object_new (DIMR_TYPE_ENGINE, NULL);

  self->thread = dimr_engine_thread_new (self, self->context, on_device_news, device != NULL ? device : "auto", n_threads);
  return self;
}

static void
update_n_waiting (DimrEngine *self)
{
  guint n = g_list_model_get_n_items (G_LIST_MODEL (self->queue));

  if (n == self->n_waiting)
    return;
  self->n_waiting = n;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_WAITING]);
}

static void
set_current (DimrEngine *self,
             DimrJob    *job)
{
  if (g_set_object (&self->current, job))
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CURRENT_JOB]);
}

static void
remove_from_queue (DimrEngine *self,
                   DimrJob    *job)
{
  guint position;

  if (g_list_store_find (self->queue, job, &position))
    {
      g_list_store_remove (self->queue, position);
      update_n_waiting (self);
    }
}

static void
on_job_state (DimrEngine *self,
              GParamSpec *pspec,
              DimrJob    *job)
{
  if (self->queue == NULL) /* disposed: the news of a cancelled job come late */
    return;
  remove_from_queue (self, job);
  if (dimr_job_get_state (job) == DIMR_JOB_RUNNING)
    set_current (self, job);
  else if (self->current == job)
    set_current (self, NULL);
}

/* ---- models ---- */

typedef struct
{
  char *path;
  char *autoencoder; /* NULL: what is found beside the model */
} Load;

static void
load_free (gpointer data)
{
  Load *self = data;

  g_free (self->path);
  g_free (self->autoencoder);
  g_free (self);
}

static void
load_model_thread (GTask        *task,
                   gpointer      source,
                   gpointer      task_data,
                   GCancellable *cancellable)
{
  const Load *load = task_data;
  GError *error = NULL;
  DimrModel *model = dimr_model_load_paired (load->path, load->autoencoder, cancellable, &error);

  if (model != NULL)
    g_task_return_pointer (task, model, g_object_unref);
  else
    g_task_return_error (task, error);
}

/* @source is NULL: a thread of the pool may hold the inner task a little longer than everybody else,
 * and must not be the one that drops the last reference to the engine. */
static void
on_model_loaded (GObject      *source,
                 GAsyncResult *result,
                 gpointer      data)
{
  g_autoptr (GTask) outer = data;
  DimrEngine *self = g_task_get_source_object (outer);
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrModel) model = g_task_propagate_pointer (G_TASK (result), &error);

  if (model == NULL)
    {
      g_task_return_error (outer, g_steal_pointer (&error));
      return;
    }
  dimr_engine_set_model (self, model);
  g_task_return_pointer (outer, g_steal_pointer (&model), g_object_unref);
}

void
dimr_engine_load_model_async (DimrEngine          *self,
                              const char          *path,
                              GCancellable        *cancellable,
                              GAsyncReadyCallback  callback,
                              gpointer             user_data)
{
  g_autoptr (GTask) inner = NULL;
  GTask *outer;
  Load *load;

  g_return_if_fail (DIMR_IS_ENGINE (self) && path != NULL);

  load = g_new (Load, 1);
  *load = (Load){ g_strdup (path), g_strdup (self->autoencoder) };
  outer = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (outer, dimr_engine_load_model_async);
  inner = g_task_new (NULL, cancellable, on_model_loaded, outer);
  g_task_set_task_data (inner, load, load_free);
  g_task_run_in_thread (inner, load_model_thread);
}

void
dimr_engine_set_autoencoder (DimrEngine *self,
                             const char *path)
{
  g_return_if_fail (DIMR_IS_ENGINE (self));
  g_free (self->autoencoder);
  self->autoencoder = g_strdup (path);
}

DimrModel *
dimr_engine_load_model_finish (DimrEngine    *self,
                               GAsyncResult  *result,
                               GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}

void
dimr_engine_set_model (DimrEngine *self,
                       DimrModel  *model)
{
  g_return_if_fail (DIMR_IS_ENGINE (self) && DIMR_IS_MODEL (model));
  /* Every saved picture will tell it: time to begin. */
  dimr_model_get_hash (model);
  if (g_set_object (&self->model, model))
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_MODEL]);
}

DimrModel *
dimr_engine_get_model (DimrEngine *self)
{
  g_return_val_if_fail (DIMR_IS_ENGINE (self), NULL);
  return self->model;
}

const char *
dimr_engine_get_device_name (DimrEngine *self)
{
  g_return_val_if_fail (DIMR_IS_ENGINE (self), NULL);
  return self->device_name;
}

gboolean
dimr_engine_has_precision (DimrEngine    *self,
                           DimrPrecision  precision)
{
  g_return_val_if_fail (DIMR_IS_ENGINE (self), FALSE);
  return (self->precisions & 1u << precision) != 0;
}

const char *
dimr_engine_get_device_note (DimrEngine *self)
{
  g_return_val_if_fail (DIMR_IS_ENGINE (self), NULL);
  return self->device_note;
}

gboolean
dimr_engine_is_device_lost (DimrEngine *self)
{
  g_return_val_if_fail (DIMR_IS_ENGINE (self), FALSE);
  return self->lost != NULL;
}

const DimrDeviceChoice * const *
dimr_engine_peek_devices (DimrEngine *self,
                          guint      *n)
{
  g_return_val_if_fail (DIMR_IS_ENGINE (self) && n != NULL, NULL);
  *n = self->devices != NULL ? self->devices->len : 0;
  return *n > 0 ? (const DimrDeviceChoice * const *) self->devices->pdata : NULL;
}

void
dimr_engine_use_device (DimrEngine *self,
                        const char *device,
                        guint       n_threads)
{
  g_return_if_fail (DIMR_IS_ENGINE (self) && device != NULL);
  dimr_engine_thread_use_device (self->thread, device, n_threads);
}

/* ---- jobs ---- */

static gboolean
check_classes (DimrModel          *model,
               const DimrRequest  *request,
               GError            **error)
{
  const DimrConfig *config = dimr_model_peek_config (model);

  if (!dimr_model_is_conditional (model))
    return TRUE;
  if (request->n_classes == 0)
    return dimr_error_refuse (error, _("Choose at least one class"));
  for (guint i = 0; i < request->n_classes; i++)
    if (request->classes[i] != DIMR_CLASS_NONE &&
        (request->classes[i] < 0 || request->classes[i] >= (int) dimr_config_get_n_classes (config)))
      return dimr_error_refuse (error, _("Class %d is none of this model's, which are 0 to %u"), request->classes[i],
                                dimr_config_get_n_classes (config) - 1);
  return TRUE;
}

/* A trace is kept whole, and once more while its tensors are made. @n: floats of all pictures. */
static gboolean
check_trace (const DimrRequest  *request,
             guint64             n,
             GError            **error)
{
  const guint64 bytes = 2 * sizeof (float) * n * (request->n_steps + 1);
  const guint64 memory = (guint64) sysconf (_SC_PHYS_PAGES) * (guint64) sysconf (_SC_PAGESIZE);

  if (!request->trace || bytes <= memory)
    return TRUE;
  return dimr_error_refuse (error, _("A trace of so many pictures and steps takes %" PRIu64 " MiB, and there are %" PRIu64
                                     " MiB of memory; trace fewer pictures"), bytes >> 20, memory >> 20);
}

static gboolean
check_request (DimrModel          *model,
               const DimrRequest  *request,
               GError            **error)
{
  const DimrConfig *config;
  guint64 n_images, wanted;

  if (model == NULL)
    return dimr_error_refuse (error, _("Load a model first"));
  config = dimr_model_peek_config (model);
  n_images = (guint64) MAX (request->n_classes, 1) * request->count;
  wanted = n_images * config->channels * config->image_size * config->image_size;
  if (!check_classes (model, request, error))
    return FALSE;
  if (request->count < 1 || n_images > 1000000)
    return dimr_error_refuse (error, _("A request has 1 to 1,000,000 images, not %" PRIu64), n_images);
  if (request->first_index > DIMR_RNG_N_IMAGES - n_images)
    return dimr_error_refuse (error, _("The numbers of pictures end at %" PRIu64 ", so these cannot begin at %" PRIu64),
                              DIMR_RNG_N_IMAGES - 1, request->first_index);
  if (request->n_steps < 1 || request->n_steps > 1000)
    return dimr_error_refuse (error, _("Steps are between 1 and 1000, not %u"), request->n_steps);
  if (request->batch < 1)
    return dimr_error_refuse (error, _("A batch has at least one image"));
  if (request->micro_batch > DIMR_MAX_MICRO_BATCH)
    return dimr_error_refuse (error, _("One evaluation computes at most %d images, not %u"), DIMR_MAX_MICRO_BATCH, request->micro_batch);
  if (request->reuse_low_branches > 1 && dimr_config_get_n_branches (config) < 2)
    return dimr_error_refuse (error, _("This model has a single branch, so no lower branches can be reused"));
  if (!(request->guidance.scale >= 0 && request->guidance.scale <= 100))
    return dimr_error_refuse (error, _("Guidance is between 0 and 100, not %g"), request->guidance.scale);
  if (request->guidance.kind == DIMR_GUIDANCE_COSINE && !(request->guidance.power > 0 && request->guidance.power <= 100))
    return dimr_error_refuse (error, _("The power of the guidance curve is above 0 and at most 100, not %g"), request->guidance.power);
  if (dimr_sampler_kind_has_options (request->sampler) && request->time_grid != DIMR_TIME_GRID_UNIFORM)
    return dimr_error_refuse (error, _("%s has steps of its own, so their grid has to be uniform"),
                              dimr_sampler_kind_get_label (request->sampler));
  if (!dimr_sampler_kind_has_options (request->sampler) && (request->options.clip || request->options.eta != 0))
    return dimr_error_refuse (error, _("%s knows neither eta nor clipping"), dimr_sampler_kind_get_label (request->sampler));
  if (!(request->options.eta >= 0 && request->options.eta <= 1) ||
      (request->options.eta > 0 && request->sampler != DIMR_SAMPLER_DDIM))
    return dimr_error_refuse (error, _("Eta is from 0 to 1 and belongs to DDIM"));
  if (request->guidance.channels > config->channels)
    return dimr_error_refuse (error, _("This model has %u channels to be guided, not %u"), config->channels, request->guidance.channels);
  if (dimr_guidance_is_on (&request->guidance) && config->num_classes > 0 && !config->has_null_class)
    return dimr_error_refuse (error, _("This model was trained without a null class, so its guidance has to be 1"));
  if (!check_trace (request, wanted, error))
    return FALSE;
  if (request->noises != NULL && request->n_noises != request->n_steps * wanted)
    return dimr_error_refuse (error, _("The noise of the steps has %zu values, but %u steps need %" PRIu64),
                              request->n_noises, request->n_steps, request->n_steps * wanted);
  if (request->noise != NULL && request->n_noise != wanted)
    return dimr_error_refuse (error, _("The starting noise has %zu values, but these images need %" PRIu64),
                              request->n_noise, wanted);
  return TRUE;
}

DimrJob *
dimr_engine_submit (DimrEngine         *self,
                    const DimrRequest  *request,
                    gboolean            front,
                    GError            **error)
{
  DimrJob *job;

  g_return_val_if_fail (DIMR_IS_ENGINE (self) && request != NULL, NULL);
  if (!check_request (self->model, request, error))
    return NULL;

  job = dimr_job_new (self->model, request, self->context);
  if (self->lost != NULL)
    {
      dimr_job_post_finished (job, DIMR_JOB_FAILED, g_error_copy (self->lost));
      return job;
    }
  g_signal_connect_object (job, "notify::state", G_CALLBACK (on_job_state), self, G_CONNECT_SWAPPED);
  if (front)
    g_list_store_insert (self->queue, 0, job);
  else
    g_list_store_append (self->queue, job);
  update_n_waiting (self);

  dimr_engine_thread_push (self->thread, job, front);
  return job;
}

void
dimr_engine_cancel (DimrEngine *self,
                    DimrJob    *job)
{
  g_return_if_fail (DIMR_IS_ENGINE (self) && DIMR_IS_JOB (job));

  if (dimr_job_is_finished (job))
    return;
  g_object_ref (job);
  g_cancellable_cancel (dimr_job_get_cancellable (job));
  if (dimr_engine_thread_take_back (self->thread, job))
    {
      dimr_job_post_finished (job, DIMR_JOB_CANCELLED, NULL);
      remove_from_queue (self, job);
    }
  g_object_unref (job);
}

guint
dimr_engine_clear_queue (DimrEngine *self)
{
  guint n = 0;

  g_return_val_if_fail (DIMR_IS_ENGINE (self), 0);
  for (guint i = g_list_model_get_n_items (G_LIST_MODEL (self->queue)); i-- > 0;)
    {
      g_autoptr (DimrJob) job = g_list_model_get_item (G_LIST_MODEL (self->queue), i);

      dimr_engine_cancel (self, job);
      n++;
    }
  return n;
}

DimrJob *
dimr_engine_get_current_job (DimrEngine *self)
{
  g_return_val_if_fail (DIMR_IS_ENGINE (self), NULL);
  return self->current;
}

GListModel *
dimr_engine_get_queue (DimrEngine *self)
{
  g_return_val_if_fail (DIMR_IS_ENGINE (self), NULL);
  return G_LIST_MODEL (self->queue);
}
