/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-engine.h"

#include "core/base/dimr-error.h"
#include "core/engine/dimr-job-private.h"
#include "core/engine/dimr-worker.h"
#include "core/graph/dimr-device.h"

#include <string.h>

enum { PROP_0, PROP_MODEL, PROP_DEVICE_NAME, PROP_CURRENT_JOB, PROP_N_WAITING, N_PROPS };

static GParamSpec *properties[N_PROPS];

/* What the thread shares with the main context. It outlives the engine until the thread is joined,
 * so the thread holds no reference to the engine itself. */
typedef struct
{
  char *device_spec;
  guint n_threads;

  GMutex lock;
  GCond cond;
  GQueue jobs; /* DimrJob, owned; first to run first */
  gboolean quit;
} Shared;

/* Invariants: everything here belongs to the main context but `shared`'s queue, which is under its
 * lock. A job is in `queue` from submit until its state leaves QUEUED. */
struct _DimrEngine
{
  GObject parent_instance;
  GMainContext *context;
  GThread *thread;
  Shared *shared;
  DimrModel *model;
  char *device_name;
  char *device_note;
  DimrJob *current;
  GListStore *queue; /* DimrJob */
  guint n_waiting;
};

G_DEFINE_FINAL_TYPE (DimrEngine, dimr_engine, G_TYPE_OBJECT)

/* ---- the thread ---- */

typedef struct
{
  GWeakRef engine;
  char *device_name;
  char *device_note;
} DeviceNews;

static void
device_news_free (gpointer data)
{
  DeviceNews *news = data;

  g_weak_ref_clear (&news->engine);
  g_free (news->device_name);
  g_free (news->device_note);
  g_free (news);
}

static gboolean
announce_device (gpointer data)
{
  DeviceNews *news = data;
  g_autoptr (DimrEngine) self = g_weak_ref_get (&news->engine);

  if (self != NULL)
    {
      g_free (self->device_name);
      self->device_name = g_steal_pointer (&news->device_name);
      g_free (self->device_note);
      self->device_note = g_steal_pointer (&news->device_note);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_DEVICE_NAME]);
    }
  return G_SOURCE_REMOVE;
}

/* What the thread is started with. */
typedef struct
{
  Shared *shared;
  GMainContext *context;
  DeviceNews *news;
} ThreadStart;

static DimrJob *
wait_for_job (Shared *shared)
{
  DimrJob *job;

  g_mutex_lock (&shared->lock);
  while (!shared->quit && g_queue_is_empty (&shared->jobs))
    g_cond_wait (&shared->cond, &shared->lock);
  job = shared->quit ? NULL : g_queue_pop_head (&shared->jobs);
  g_mutex_unlock (&shared->lock);
  return job;
}

/* Why a person who asked for the best device got the CPU; NULL where they did not. */
static char *
make_device_note (const char *spec,
                  DimrDevice *device)
{
  guint n;
  const DimrBackend * const *backends = dimr_backend_list (&n);

  if (strcmp (spec, "auto") != 0)
    return NULL;
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) reason = NULL;
      g_autoptr (DimrDevice) better = NULL;
      g_autofree char *name = NULL;

      if (strcmp (backends[i]->id, "cpu") == 0)
        break;
      if (backends[i]->get_n_devices (&reason) > 0)
        {
          name = backends[i]->dup_device_name (0);
          if (strcmp (name, dimr_device_get_name (device)) == 0)
            return NULL;
          /* It is there and did not open: once more, for the reason. */
          better = backends[i]->open (0, 0, &reason);
        }
      if (reason != NULL)
        return g_strdup_printf ("Pictures are computed on the CPU. %s.", reason->message);
    }
  return NULL;
}

static gpointer
engine_thread (gpointer data)
{
  g_autofree ThreadStart *start = data;
  Shared *shared = start->shared;
  g_autoptr (GMainContext) context = start->context;
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrDevice) device = dimr_device_open (shared->device_spec, shared->n_threads, &error);
  g_autoptr (DimrWorker) worker = device != NULL ? dimr_worker_new (device) : NULL;
  DimrJob *job;

  if (device != NULL)
    {
      g_autoptr (GSource) source = g_idle_source_new ();

      start->news->device_name = g_strdup (dimr_device_get_name (device));
      start->news->device_note = make_device_note (shared->device_spec, device);
      /* Not g_main_context_invoke(): that runs at once, in this thread, while nobody runs the context. */
      g_source_set_priority (source, G_PRIORITY_DEFAULT);
      g_source_set_callback (source, announce_device, start->news, device_news_free);
      g_source_set_static_name (source, "[dimr] device news");
      g_source_attach (source, context);
    }
  else
    device_news_free (start->news);

  while ((job = wait_for_job (shared)) != NULL)
    {
      if (worker != NULL)
        dimr_worker_run (worker, job);
      else
        dimr_job_post_finished (job, DIMR_JOB_FAILED, g_error_copy (error));
      g_object_unref (job);
    }
  return NULL;
}

static void
shared_free (Shared *shared)
{
  g_queue_clear_full (&shared->jobs, g_object_unref);
  g_mutex_clear (&shared->lock);
  g_cond_clear (&shared->cond);
  g_free (shared->device_spec);
  g_free (shared);
}

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
      g_mutex_lock (&self->shared->lock);
      self->shared->quit = TRUE;
      g_cond_signal (&self->shared->cond);
      g_mutex_unlock (&self->shared->lock);
      g_thread_join (g_steal_pointer (&self->thread));
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

  g_clear_pointer (&self->shared, shared_free);
  g_clear_pointer (&self->context, g_main_context_unref);
  g_free (self->device_name);
  g_free (self->device_note);
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

DimrEngine *
dimr_engine_new (const char *device,
                 guint       n_threads)
{
  DimrEngine *self = g_object_new (DIMR_TYPE_ENGINE, NULL);
  ThreadStart *start = g_new0 (ThreadStart, 1);

  self->shared = g_new0 (Shared, 1);
  self->shared->device_spec = g_strdup (device != NULL ? device : "auto");
  self->shared->n_threads = n_threads;
  g_mutex_init (&self->shared->lock);
  g_cond_init (&self->shared->cond);
  g_queue_init (&self->shared->jobs);

  start->shared = self->shared;
  start->context = g_main_context_ref (self->context);
  start->news = g_new0 (DeviceNews, 1);
  g_weak_ref_init (&start->news->engine, self);
  self->thread = g_thread_new ("dimr-engine", engine_thread, start);
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

static void
load_model_thread (GTask        *task,
                   gpointer      source,
                   gpointer      task_data,
                   GCancellable *cancellable)
{
  GError *error = NULL;
  DimrModel *model = dimr_model_load (task_data, cancellable, &error);

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

  g_return_if_fail (DIMR_IS_ENGINE (self) && path != NULL);

  outer = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (outer, dimr_engine_load_model_async);
  inner = g_task_new (NULL, cancellable, on_model_loaded, outer);
  g_task_set_task_data (inner, g_strdup (path), g_free);
  g_task_run_in_thread (inner, load_model_thread);
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

const char *
dimr_engine_get_device_note (DimrEngine *self)
{
  g_return_val_if_fail (DIMR_IS_ENGINE (self), NULL);
  return self->device_note;
}

/* ---- jobs ---- */

static gboolean G_GNUC_PRINTF (2, 3)
refuse (GError    **error,
        const char *format,
        ...)
{
  va_list args;

  va_start (args, format);
  if (error != NULL)
    *error = g_error_new_valist (DIMR_ERROR, DIMR_ERROR_REQUEST, format, args);
  va_end (args);
  return FALSE;
}

static gboolean
check_classes (DimrModel          *model,
               const DimrRequest  *request,
               GError            **error)
{
  const DimrConfig *config = dimr_model_peek_config (model);

  if (!dimr_model_is_conditional (model))
    return TRUE;
  if (request->n_classes == 0)
    return refuse (error, "Choose at least one class");
  for (guint i = 0; i < request->n_classes; i++)
    if (request->classes[i] != DIMR_CLASS_NONE &&
        (request->classes[i] < 0 || request->classes[i] >= (int) config->num_classes - 1))
      return refuse (error, "Class %d is none of this model's, which are 0 to %u", request->classes[i], config->num_classes - 2);
  return TRUE;
}

static gboolean
check_request (DimrModel          *model,
               const DimrRequest  *request,
               GError            **error)
{
  const DimrConfig *config;
  guint64 n_images, wanted;

  if (model == NULL)
    return refuse (error, "Load a model first");
  config = dimr_model_peek_config (model);
  n_images = (guint64) MAX (request->n_classes, 1) * request->count;
  wanted = n_images * config->channels * config->image_size * config->image_size;
  if (!check_classes (model, request, error))
    return FALSE;
  if (request->count < 1 || n_images > 1000000)
    return refuse (error, "A request has 1 to 1,000,000 images, not %" G_GUINT64_FORMAT, n_images);
  if (request->n_steps < 1 || request->n_steps > 1000)
    return refuse (error, "Steps are between 1 and 1000, not %u", request->n_steps);
  if (request->batch < 1)
    return refuse (error, "A batch has at least one image");
  if (!(request->guidance.scale >= 0 && request->guidance.scale <= 100))
    return refuse (error, "Guidance is between 0 and 100, not %g", request->guidance.scale);
  if (request->guidance.kind == DIMR_GUIDANCE_COSINE && !(request->guidance.power > 0 && request->guidance.power <= 100))
    return refuse (error, "The power of the guidance curve is above 0 and at most 100, not %g", request->guidance.power);
  if (request->noise != NULL && request->n_noise != wanted)
    return refuse (error, "The starting noise has %" G_GSIZE_FORMAT " values, but these images need %" G_GUINT64_FORMAT,
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
  g_signal_connect_object (job, "notify::state", G_CALLBACK (on_job_state), self, G_CONNECT_SWAPPED);
  if (front)
    g_list_store_insert (self->queue, 0, job);
  else
    g_list_store_append (self->queue, job);
  update_n_waiting (self);

  g_mutex_lock (&self->shared->lock);
  if (front)
    g_queue_push_head (&self->shared->jobs, g_object_ref (job));
  else
    g_queue_push_tail (&self->shared->jobs, g_object_ref (job));
  g_cond_signal (&self->shared->cond);
  g_mutex_unlock (&self->shared->lock);
  return job;
}

/* TRUE where the thread had not yet taken it. */
static gboolean
take_back (DimrEngine *self,
           DimrJob    *job)
{
  gboolean found;

  g_mutex_lock (&self->shared->lock);
  found = g_queue_remove (&self->shared->jobs, job);
  g_mutex_unlock (&self->shared->lock);
  if (found)
    g_object_unref (job);
  return found;
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
  if (take_back (self, job))
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
