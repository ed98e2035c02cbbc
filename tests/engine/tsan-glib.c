/* tsan-glib.c — tells ThreadSanitizer what GLib's own synchronisation means
 *
 * GLib is not instrumented and locks with futexes, so ThreadSanitizer sees neither its mutexes nor
 * its reference counts and would report every access that they order. These functions stand in
 * front of GLib's of the same name in the test program only, and add the missing order.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dlfcn.h>
#include <gio/gio.h>

void __tsan_acquire (void *address);
void __tsan_release (void *address);

/* GLib's own function of that name. Looked up at the first call, which comes from the constructors
 * of GLib's libraries, before any of this program's. */
#define REAL(name)                                                                           \
  ({                                                                                         \
    static gpointer found;                                                                   \
    gpointer function = __atomic_load_n (&found, __ATOMIC_ACQUIRE);                          \
    if (function == NULL)                                                                    \
      {                                                                                      \
        function = dlsym (RTLD_NEXT, #name);                                                 \
        __atomic_store_n (&found, function, __ATOMIC_RELEASE);                               \
      }                                                                                      \
    (__typeof__ (&name)) function;                                                           \
  })

void
(g_mutex_lock) (GMutex *mutex)
{
  REAL (g_mutex_lock) (mutex);
  __tsan_acquire (mutex);
}

void
(g_mutex_unlock) (GMutex *mutex)
{
  __tsan_release (mutex);
  REAL (g_mutex_unlock) (mutex);
}

void
(g_cond_wait) (GCond  *cond,
               GMutex *mutex)
{
  __tsan_release (mutex);
  REAL (g_cond_wait) (cond, mutex);
  __tsan_acquire (mutex);
}

/* A count of references orders what each holder did before with what the last one does. */
static void
order (void *object)
{
  __tsan_release (object);
  __tsan_acquire (object);
}

void
(g_object_unref) (gpointer object)
{
  order (object);
  REAL (g_object_unref) (object);
}

void
(g_bytes_unref) (GBytes *bytes)
{
  order (bytes);
  REAL (g_bytes_unref) (bytes);
}

gboolean
(g_atomic_ref_count_dec) (gatomicrefcount *count)
{
  order (count);
  return REAL (g_atomic_ref_count_dec) (count);
}

/* What was prepared for a source comes before its callback, in whatever thread the context runs. */
typedef struct
{
  GSourceFunc func;
  gpointer data;
  GDestroyNotify notify;
} Callback;

static gboolean
call (gpointer data)
{
  Callback *self = data;

  __tsan_acquire (self);
  return self->func (self->data);
}

static void
drop (gpointer data)
{
  Callback *self = data;

  __tsan_acquire (self);
  if (self->notify != NULL)
    self->notify (self->data);
  g_free (self);
}

void
(g_source_set_callback) (GSource        *source,
                         GSourceFunc     func,
                         gpointer        data,
                         GDestroyNotify  notify)
{
  Callback *callback = g_new (Callback, 1);

  *callback = (Callback){ func, data, notify };
  __tsan_release (callback);
  REAL (g_source_set_callback) (source, call, callback, drop);
}

/* What was prepared for a task comes before what its thread does, also where that thread has run others. */
#define TASK_FUNC "tsan-task-func"

static void
run_task (GTask        *task,
          gpointer      source,
          gpointer      data,
          GCancellable *cancellable)
{
  GTaskThreadFunc func = (GTaskThreadFunc) g_object_get_data (G_OBJECT (task), TASK_FUNC);

  __tsan_acquire (task);
  func (task, source, data, cancellable);
}

void
(g_task_run_in_thread) (GTask           *task,
                        GTaskThreadFunc  func)
{
  g_object_set_data (G_OBJECT (task), TASK_FUNC, (gpointer) func);
  __tsan_release (task);
  REAL (g_task_run_in_thread) (task, run_task);
}

/* What a task's thread did comes before what reads its result. */
void
(g_task_return_pointer) (GTask          *task,
                         gpointer        result,
                         GDestroyNotify  destroy)
{
  __tsan_release (task);
  REAL (g_task_return_pointer) (task, result, destroy);
}

void
(g_task_return_error) (GTask  *task,
                       GError *error)
{
  __tsan_release (task);
  REAL (g_task_return_error) (task, error);
}

gpointer
(g_task_propagate_pointer) (GTask   *task,
                            GError **error)
{
  gpointer result = REAL (g_task_propagate_pointer) (task, error);

  __tsan_acquire (task);
  return result;
}
