/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu-team.h"

/* Longer than the last task of most phases takes, and than a sleep and a wake-up cost together. */
#define SPIN_MICROSECONDS 100

/* Invariants: the work may be read by a thread that has counted itself as inside and then found
 * @open set, or by the caller. The caller changes it only when @open is not set and nobody is
 * inside. Whoever changes what a sleeper may wait for calls wake() afterwards. */
struct _CpuTeam
{
  guint n_threads;
  GThread **threads;     /* [n_threads], the first is NULL: the caller */

  CpuTeamPhase *phases;
  guint n_phases;
  CpuTeamFunc func;
  gpointer data;

  gsize calls;           /* of cpu_team_run(), atomic; workers wait for it to grow */
  gboolean open;         /* atomic */
  gboolean going_home;   /* atomic */
  gsize inside;          /* workers that may be looking at the work, atomic */
  guint sleepers;        /* atomic */
  GMutex lock;
  GCond moved;
};

typedef struct
{
  CpuTeam *team;
  guint thread;
} Worker;

static inline void
relax (void)
{
#if defined (__x86_64__) || defined (__i386__)
  __builtin_ia32_pause ();
#elif defined (__aarch64__)
  __asm__ __volatile__ ("yield");
#endif
}

/* Waits until *@value is, or with @until_not is no longer, @wanted. */
static void
wait_for (CpuTeam     *self,
          const gsize *value,
          gsize        wanted,
          gboolean     until_not)
{
#define ARRIVED ((__atomic_load_n (value, __ATOMIC_SEQ_CST) == wanted) != until_not)
  gint64 end = 0;

  for (guint i = 1; !ARRIVED; i++)
    {
      relax ();
      if (i % 64 != 0)
        continue;
      if (end == 0)
        end = g_get_monotonic_time () + SPIN_MICROSECONDS;
      else if (g_get_monotonic_time () > end)
        break;
    }
  if (ARRIVED)
    return;

  g_mutex_lock (&self->lock);
  __atomic_add_fetch (&self->sleepers, 1, __ATOMIC_SEQ_CST);
  while (!ARRIVED)
    g_cond_wait (&self->moved, &self->lock);
  __atomic_sub_fetch (&self->sleepers, 1, __ATOMIC_SEQ_CST);
  g_mutex_unlock (&self->lock);
#undef ARRIVED
}

/* Either this sees the sleeper, or the sleeper sees what was changed before it sleeps. */
static void
wake (CpuTeam *self)
{
  if (__atomic_load_n (&self->sleepers, __ATOMIC_SEQ_CST) == 0)
    return;
  g_mutex_lock (&self->lock);
  g_cond_broadcast (&self->moved);
  g_mutex_unlock (&self->lock);
}

static void
walk (CpuTeam *self,
      guint    thread)
{
  for (guint p = 0; p < self->n_phases; p++)
    {
      CpuTeamPhase *phase = &self->phases[p];
      gsize task, mine = 0;

      while ((task = __atomic_fetch_add (&phase->next, 1, __ATOMIC_RELAXED)) < phase->n_tasks)
        {
          if (!self->func (self->data, p, task, thread))
            __atomic_store_n (&phase->stop, TRUE, __ATOMIC_RELAXED);
          mine++;
        }
      if (mine > 0 && __atomic_add_fetch (&phase->done, mine, __ATOMIC_SEQ_CST) == phase->n_tasks)
        wake (self);
      wait_for (self, &phase->done, phase->n_tasks, FALSE);
      if (__atomic_load_n (&phase->stop, __ATOMIC_RELAXED))
        return;
    }
}

static gpointer
work (gpointer data)
{
  Worker worker = *(Worker *) data;
  CpuTeam *self = worker.team;
  gsize seen = 0;

  g_free (data);
  for (;;)
    {
      wait_for (self, &self->calls, seen, TRUE);
      seen = __atomic_load_n (&self->calls, __ATOMIC_SEQ_CST);
      if (__atomic_load_n (&self->going_home, __ATOMIC_SEQ_CST))
        return NULL;
      __atomic_add_fetch (&self->inside, 1, __ATOMIC_SEQ_CST);
      if (__atomic_load_n (&self->open, __ATOMIC_SEQ_CST))
        walk (self, worker.thread);
      if (__atomic_sub_fetch (&self->inside, 1, __ATOMIC_SEQ_CST) == 0)
        wake (self);
    }
}

CpuTeam *
cpu_team_new (guint n_threads)
{
  CpuTeam *self = g_new0 (CpuTeam, 1);

  g_mutex_init (&self->lock);
  g_cond_init (&self->moved);
  self->threads = g_new0 (GThread *, MAX (n_threads, 1));
  for (self->n_threads = 1; self->n_threads < n_threads; self->n_threads++)
    {
      Worker *worker = g_new (Worker, 1);

      *worker = (Worker){ self, self->n_threads };
      self->threads[self->n_threads] = g_thread_try_new ("dimr-cpu", work, worker, NULL);
      if (self->threads[self->n_threads] == NULL)
        {
          g_free (worker);
          break;
        }
    }
  return self;
}

static void
call (CpuTeam *self)
{
  __atomic_add_fetch (&self->calls, 1, __ATOMIC_SEQ_CST);
  wake (self);
}

void
cpu_team_free (CpuTeam *self)
{
  __atomic_store_n (&self->going_home, TRUE, __ATOMIC_SEQ_CST);
  call (self);
  for (guint i = 1; i < self->n_threads; i++)
    g_thread_join (self->threads[i]);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->moved);
  g_free (self->threads);
  g_free (self);
}

guint
cpu_team_get_n_threads (CpuTeam *self)
{
  return self->n_threads;
}

void
cpu_team_run (CpuTeam      *self,
              CpuTeamPhase *phases,
              guint         n_phases,
              CpuTeamFunc   func,
              gpointer      data)
{
  for (guint p = 0; p < n_phases; p++)
    {
      phases[p].next = phases[p].done = 0;
      phases[p].stop = FALSE;
    }
  self->phases = phases;
  self->n_phases = n_phases;
  self->func = func;
  self->data = data;
  __atomic_store_n (&self->open, TRUE, __ATOMIC_SEQ_CST);
  call (self);
  walk (self, 0);
  __atomic_store_n (&self->open, FALSE, __ATOMIC_SEQ_CST);
  wait_for (self, &self->inside, 0, FALSE);
}
