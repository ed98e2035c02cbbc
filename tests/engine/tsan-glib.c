/* tsan-glib.c — tells ThreadSanitizer what GLib's own synchronisation means
 *
 * GLib is not instrumented and locks with futexes, so ThreadSanitizer sees neither its mutexes nor
 * its reference counts and would report every access that they order. These functions stand in
 * front of GLib's of the same name in the test program only, and add the missing order.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dlfcn.h>
#include <glib-object.h>

void __tsan_acquire (void *address);
void __tsan_release (void *address);

#define REAL(name) ((__typeof__ (&name)) dlsym (RTLD_NEXT, #name))

void
(g_mutex_lock) (GMutex *mutex)
{
  static __typeof__ (&g_mutex_lock) real;

  if (real == NULL)
    real = REAL (g_mutex_lock);
  real (mutex);
  __tsan_acquire (mutex);
}

void
(g_mutex_unlock) (GMutex *mutex)
{
  static __typeof__ (&g_mutex_unlock) real;

  if (real == NULL)
    real = REAL (g_mutex_unlock);
  __tsan_release (mutex);
  real (mutex);
}

void
(g_cond_wait) (GCond  *cond,
               GMutex *mutex)
{
  static __typeof__ (&g_cond_wait) real;

  if (real == NULL)
    real = REAL (g_cond_wait);
  __tsan_release (mutex);
  real (cond, mutex);
  __tsan_acquire (mutex);
}

/* Every count of references orders what was done before with what the last holder does. */
#define ORDERED(type, name, arguments, call)                                                 \
  type (name) arguments                                                                      \
  {                                                                                          \
    static __typeof__ (&name) real;                                                          \
                                                                                             \
    if (real == NULL)                                                                        \
      real = REAL (name);                                                                    \
    __tsan_release (object);                                                                 \
    __tsan_acquire (object);                                                                 \
    return real call;                                                                        \
  }

ORDERED (void, g_object_unref, (gpointer object), (object))
ORDERED (void, g_bytes_unref, (GBytes *object), (object))
ORDERED (gboolean, g_atomic_ref_count_dec, (gatomicrefcount *object), (object))
