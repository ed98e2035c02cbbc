/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-engine-thread.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/engine/dimr-job-private.h"
#include "core/engine/dimr-worker.h"
#include "core/graph/dimr-device.h"

#include <string.h>

/* How news find the engine: shared with those that are still on their way. */
typedef struct
{
  GWeakRef engine;
  DimrDeviceNewsFunc func;
} Link;

/* Invariants: what follows `lock` is under it; `worker`, `error` and `devices` are the thread's alone. */
struct _DimrEngineThread
{
  GThread *thread;
  GMainContext *context;
  Link *link;

  DimrDevice *device;
  DimrWorker *worker;
  GError *error;        /* why there is no device */
  GPtrArray *devices;   /* DimrDeviceChoice; made once, then shared with the news */

  GMutex lock;
  GCond cond;
  GQueue jobs;          /* DimrJob, owned; first to run first */
  char *wanted_device;  /* to be opened next, or NULL */
  guint n_threads;      /* of it */
  gboolean held;        /* the device is lost: jobs wait for another one */
  gboolean quit;
};

static void
link_clear (Link *self)
{
  g_weak_ref_clear (&self->engine);
}

static void
choice_free (gpointer data)
{
  DimrDeviceChoice *choice = data;

  g_free (choice->spec);
  g_free (choice->name);
  g_free (choice);
}

/* ---- news ---- */

typedef struct
{
  Link *link;
  DimrDeviceNews news;
} Message;

static void
device_message_free (gpointer data)
{
  Message *self = data;

  g_atomic_rc_box_release_full (self->link, (GDestroyNotify) link_clear);
  g_free (self->news.device_name);
  g_free (self->news.device_note);
  g_clear_error (&self->news.lost);
  g_clear_pointer (&self->news.devices, g_ptr_array_unref);
  g_free (self);
}

static gboolean
deliver_device_news (gpointer data)
{
  Message *self = data;
  g_autoptr (DimrEngine) engine = g_weak_ref_get (&self->link->engine);

  if (engine != NULL)
    self->link->func (engine, &self->news);
  return G_SOURCE_REMOVE;
}

/* @note (transfer full, nullable) */
static void
tell (DimrEngineThread *self,
      char             *note,
      const GError     *lost)
{
  Message *message = g_new0 (Message, 1);
  g_autoptr (GSource) source = g_idle_source_new ();

  message->link = g_atomic_rc_box_acquire (self->link);
  message->news.device_name = self->device != NULL ? g_strdup (dimr_device_get_name (self->device)) : NULL;
  for (DimrPrecision p = DIMR_PRECISION_F32; self->device != NULL && p < DIMR_PRECISION_AUTO; p++)
    if (dimr_device_check_precision (self->device, p, NULL))
      message->news.precisions |= 1u << p;
  message->news.device_note = note;
  message->news.lost = lost != NULL ? g_error_copy (lost) : NULL;
  message->news.devices = g_ptr_array_ref (self->devices);
  /* Not g_main_context_invoke(): that runs at once, in this thread, while nobody runs the context. */
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, deliver_device_news, message, device_message_free);
  g_source_set_static_name (source, "[dimr] device news");
  g_source_attach (source, self->context);
}

/* ---- devices ---- */

static void
add_choice (GPtrArray *devices,
            char      *spec,
            char      *name)
{
  DimrDeviceChoice *choice = g_new (DimrDeviceChoice, 1);

  *choice = (DimrDeviceChoice){ spec, name };
  g_ptr_array_add (devices, choice);
}

/* Asking a driver may take a while: that is why the thread does it. */
static GPtrArray *
list_devices (void)
{
  GPtrArray *devices = g_ptr_array_new_with_free_func (choice_free);
  guint n;
  const DimrBackend * const *backends = dimr_backend_list (&n);

  for (guint i = 0; i < n; i++)
    {
      const guint n_devices = backends[i]->get_n_devices (NULL);

      for (guint k = 0; k < n_devices; k++)
        add_choice (devices, k == 0 ? g_strdup (backends[i]->id) : g_strdup_printf ("%s:%u", backends[i]->id, k),
                    backends[i]->dup_device_name (k));
    }
  return devices;
}

/* The first backend that opens. @note: why a better one did not, as far as a person should know. */
static DimrDevice *
open_best (guint    n_threads,
           char   **note,
           GError **error)
{
  guint n;
  const DimrBackend * const *backends = dimr_backend_list (&n);
  g_autoptr (GError) first_reason = NULL;

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) reason = NULL;
      DimrDevice *device = dimr_device_open (backends[i]->id, n_threads, &reason);

      if (device != NULL)
        {
          if (strcmp (backends[i]->id, "cpu") == 0)
            *note = first_reason != NULL ? g_strdup_printf (_("%s; pictures are computed on the CPU."), first_reason->message)
                                         : g_strdup (_("No NVIDIA GPU is used here: pictures are computed on the CPU."));
          return device;
        }
      if (first_reason == NULL)
        first_reason = g_steal_pointer (&reason);
    }
  if (first_reason != NULL)
    g_propagate_error (error, g_steal_pointer (&first_reason));
  else
    dimr_error_set (error, DIMR_ERROR_DEVICE, _("This program was built without any compute device"));
  return NULL;
}

/* The one in use goes only when the new one is there, unless it is lost. */
static void
use_device (DimrEngineThread *self,
            const char       *spec,
            guint             n_threads)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrDevice) device = NULL;
  char *note = NULL;

  device = strcmp (spec, "auto") == 0 ? open_best (n_threads, &note, &error)
                                      : dimr_device_open (spec, n_threads, &error);
  if (device != NULL)
    {
      g_clear_pointer (&self->worker, dimr_worker_free);
      g_set_object (&self->device, device);
      self->worker = dimr_worker_new (device);
      g_clear_error (&self->error);
      g_mutex_lock (&self->lock);
      self->held = FALSE;
      g_mutex_unlock (&self->lock);
      tell (self, note, NULL);
      return;
    }

  g_assert (error != NULL);
  if (self->device == NULL)
    {
      tell (self, g_strdup_printf ("%s.", error->message), NULL);
      g_clear_error (&self->error);
      self->error = g_steal_pointer (&error);
    }
  else if (dimr_worker_peek_lost (self->worker) != NULL)
    tell (self, g_strdup_printf ("%s.", error->message), dimr_worker_peek_lost (self->worker));
  else
    tell (self, g_strdup_printf (_("%s; pictures are computed on %s."), error->message, dimr_device_get_name (self->device)), NULL);
}

/* ---- the thread ---- */

static void
run_job (DimrEngineThread *self,
         DimrJob          *job)
{
  const GError *lost;

  if (self->worker == NULL)
    {
      dimr_job_post_finished (job, DIMR_JOB_FAILED, g_error_copy (self->error));
      return;
    }
  dimr_worker_run (self->worker, job);
  lost = dimr_worker_peek_lost (self->worker);
  if (lost == NULL)
    return;
  g_mutex_lock (&self->lock);
  self->held = TRUE;
  g_mutex_unlock (&self->lock);
  tell (self, g_strdup_printf ("%s.", lost->message), lost);
}

/* FALSE when it is time to end; else one of the two is there (transfer full). */
static gboolean
wait_for_work (DimrEngineThread  *self,
               char             **device,
               guint             *n_threads,
               DimrJob          **job)
{
  gboolean goes_on;

  *device = NULL;
  *job = NULL;
  g_mutex_lock (&self->lock);
  while (!self->quit && self->wanted_device == NULL && (self->held || g_queue_is_empty (&self->jobs)))
    g_cond_wait (&self->cond, &self->lock);
  goes_on = !self->quit;
  *n_threads = self->n_threads;
  if (goes_on && self->wanted_device != NULL)
    *device = g_steal_pointer (&self->wanted_device);
  else if (goes_on)
    *job = g_queue_pop_head (&self->jobs);
  g_mutex_unlock (&self->lock);
  return goes_on;
}

static gpointer
engine_thread (gpointer data)
{
  DimrEngineThread *self = data;
  char *device;
  guint n_threads;
  DimrJob *job;

  self->devices = list_devices ();
  while (wait_for_work (self, &device, &n_threads, &job))
    if (device != NULL)
      {
        use_device (self, device, n_threads);
        g_free (device);
      }
    else
      {
        run_job (self, job);
        g_object_unref (job);
      }

  g_clear_pointer (&self->worker, dimr_worker_free);
  g_clear_object (&self->device);
  g_clear_error (&self->error);
  g_clear_pointer (&self->devices, g_ptr_array_unref);
  return NULL;
}

DimrEngineThread *
dimr_engine_thread_new (DimrEngine         *engine,
                        GMainContext       *context,
                        DimrDeviceNewsFunc  func,
                        const char         *device,
                        guint               n_threads)
{
  DimrEngineThread *self = g_new0 (DimrEngineThread, 1);

  self->context = g_main_context_ref (context);
  self->link = g_atomic_rc_box_new0 (Link);
  g_weak_ref_init (&self->link->engine, engine);
  self->link->func = func;
  self->n_threads = n_threads;
  self->wanted_device = g_strdup (device);
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  g_queue_init (&self->jobs);
  self->thread = g_thread_new ("dimr-engine", engine_thread, self);
  return self;
}

void
dimr_engine_thread_stop (DimrEngineThread *self)
{
  g_return_if_fail (self != NULL);

  g_mutex_lock (&self->lock);
  self->quit = TRUE;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
  g_thread_join (self->thread);

  g_queue_clear_full (&self->jobs, g_object_unref);
  g_atomic_rc_box_release_full (self->link, (GDestroyNotify) link_clear);
  g_main_context_unref (self->context);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self->wanted_device);
  g_free (self);
}

void
dimr_engine_thread_push (DimrEngineThread *self,
                         DimrJob          *job,
                         gboolean          front)
{
  g_mutex_lock (&self->lock);
  if (front)
    g_queue_push_head (&self->jobs, g_object_ref (job));
  else
    g_queue_push_tail (&self->jobs, g_object_ref (job));
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
}

gboolean
dimr_engine_thread_take_back (DimrEngineThread *self,
                              DimrJob          *job)
{
  gboolean found;

  g_mutex_lock (&self->lock);
  found = g_queue_remove (&self->jobs, job);
  g_mutex_unlock (&self->lock);
  if (found)
    g_object_unref (job);
  return found;
}

void
dimr_engine_thread_use_device (DimrEngineThread *self,
                               const char       *device,
                               guint             n_threads)
{
  g_mutex_lock (&self->lock);
  g_free (self->wanted_device);
  self->wanted_device = g_strdup (device);
  self->n_threads = n_threads;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
}
