/* cpu-team.h — threads that take tasks together
 *
 * Work is a list of phases; a phase is a number of tasks, and begins when the one before it is
 * done. A thread that waits spins for a moment and sleeps then, and a phase waits for its tasks
 * and never for a thread: one that the system does not let run holds up nothing unless it has a
 * task in hand. (OpenMP's barriers wait for every thread, spinning; on a machine that has other
 * work to do, such as drawing this program's own window, each one can cost a time slice.)
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _CpuTeam CpuTeam;

/* The caller sets the number of tasks; the rest is the team's. */
typedef struct
{
  gsize    n_tasks;
  gsize    next;    /* task to take, atomic */
  gsize    done;    /* tasks done, atomic */
  gboolean stop;    /* a task has said so, atomic */
} CpuTeamPhase;

/* @thread is smaller than the number of threads. FALSE: there shall be no next phase; the tasks
 * of this one are still called. */
typedef gboolean (*CpuTeamFunc) (gpointer data,
                                 guint    phase,
                                 gsize    task,
                                 guint    thread);

/* The calling thread is one of @n_threads; fewer where the system has no more. */
CpuTeam  *cpu_team_new           (guint         n_threads);
void      cpu_team_free          (CpuTeam      *self);
guint     cpu_team_get_n_threads (CpuTeam      *self);
/* Calls @func for all tasks of all phases; returns when all are done. What a task wrote, those of
 * later phases and the caller can read. From one thread at a time. */
void      cpu_team_run           (CpuTeam      *self,
                                  CpuTeamPhase *phases,
                                  guint         n_phases,
                                  CpuTeamFunc   func,
                                  gpointer      data);

G_END_DECLS
