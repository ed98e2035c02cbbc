/* cpu-program.c — a plan made into steps, and the loop that runs them
 *
 * Steps of which none writes what another one touches share a phase of the team's work, so that
 * small ones cost no meeting of their own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include "core/base/dimr-i18n.h"

#include <stdlib.h>
#include <string.h>

/* Bytes after the arena that nothing may write. */
#define GUARD 64

/* Bytes of the arena that a node reads or writes. */
typedef struct
{
  gsize begin;
  gsize end;
  gboolean written;
} CpuSpan;

struct _CpuProgram
{
  DimrProgram parent_instance;
  CpuDevice *device;
  DimrPlan *plan;
  DimrWeights *weights;
  CpuTarget target;
  guint8 *arena;
  GArray *steps;      /* CpuStep */
  GArray *phases;     /* CpuTeamPhase */
  guint *first_steps; /* of each phase */
  GPtrArray *memory;
  GPtrArray *params;
};

G_DEFINE_FINAL_TYPE (CpuProgram, cpu_program, DIMR_TYPE_PROGRAM)

static void
cpu_program_init (CpuProgram *self)
{
  self->steps = g_array_new (FALSE, FALSE, sizeof (CpuStep));
  self->phases = g_array_new (FALSE, FALSE, sizeof (CpuTeamPhase));
  self->memory = g_ptr_array_new_with_free_func (g_free);
  self->params = g_ptr_array_new_with_free_func ((GDestroyNotify) cpu_param_unref);
}

static void
cpu_program_finalize (GObject *object)
{
  CpuProgram *self = CPU_PROGRAM (object);

  g_array_unref (self->steps);
  g_array_unref (self->phases);
  g_free (self->first_steps);
  g_ptr_array_unref (self->memory);
  g_ptr_array_unref (self->params);
  free (self->arena);
  g_clear_pointer (&self->plan, dimr_plan_unref);
  g_clear_pointer (&self->weights, dimr_weights_unref);
  g_clear_object (&self->device);
  G_OBJECT_CLASS (cpu_program_parent_class)->finalize (object);
}

static void
add_span (GArray   *spans,
          gsize     begin,
          gsize     size,
          gboolean  written)
{
  CpuSpan span = { begin, begin + size, written };

  if (begin != DIMR_OFFSET_NONE && size > 0)
    g_array_append_val (spans, span);
}

/* What step @place of the plan reads and writes. */
static void
list_spans (CpuProgram *self,
            guint       place,
            GArray     *spans)
{
  DimrGraph *graph = dimr_plan_peek_graph (self->plan);
  guint n_steps;
  const DimrNodeId id = dimr_plan_peek_steps (self->plan, &n_steps)[place];
  const DimrNode *node = dimr_graph_peek_node (graph, id);
  const CpuOp *op = cpu_op_get (node->op);

  g_array_set_size (spans, 0);
  add_span (spans, dimr_plan_get_offset (self->plan, id), dimr_shape_n_elements (&node->shape) * sizeof (float), TRUE);
  for (guint i = 0; i < node->n_inputs; i++)
    if (node->inputs[i] != DIMR_NODE_NONE)
      add_span (spans, dimr_plan_get_offset (self->plan, node->inputs[i]),
                dimr_shape_n_elements (&cpu_input (graph, node, i)->shape) * sizeof (float), FALSE);
  if (op->workspace != NULL)
    add_span (spans, dimr_plan_get_workspace (self->plan, NULL), op->workspace (&self->target, graph, node), TRUE);
}

static gboolean
collide (const GArray *a,
         const GArray *b)
{
  for (guint i = 0; i < a->len; i++)
    for (guint k = 0; k < b->len; k++)
      {
        const CpuSpan *x = &g_array_index (a, CpuSpan, i), *y = &g_array_index (b, CpuSpan, k);

        if ((x->written || y->written) && x->begin < y->end && y->begin < x->end)
          return TRUE;
      }
  return FALSE;
}

static void
make_phases (CpuProgram *self)
{
  g_autoptr (GArray) taken = g_array_new (FALSE, FALSE, sizeof (CpuSpan));
  g_autoptr (GArray) spans = g_array_new (FALSE, FALSE, sizeof (CpuSpan));

  self->first_steps = g_new (guint, MAX (self->steps->len, 1));
  for (guint s = 0; s < self->steps->len; s++)
    {
      const CpuStep *step = &g_array_index (self->steps, CpuStep, s);
      const gboolean begins = s == 0 || g_array_index (self->steps, CpuStep, s - 1).place != step->place;

      if (begins)
        list_spans (self, step->place, spans);
      if (s == 0 || (begins ? collide (taken, spans) : !step->beside))
        {
          CpuTeamPhase phase = { .n_tasks = 0 };

          self->first_steps[self->phases->len] = s;
          g_array_append_val (self->phases, phase);
          g_array_set_size (taken, 0);
          g_array_append_vals (taken, spans->data, spans->len);
        }
      else if (begins)
        g_array_append_vals (taken, spans->data, spans->len);

      g_array_index (self->phases, CpuTeamPhase, self->phases->len - 1).n_tasks += step->n_tasks;
    }
}

static gboolean
prepare (CpuProgram    *self,
         DimrWeights   *weights,
         GCancellable  *cancellable,
         GError       **error)
{
  guint n_steps;
  const DimrNodeId *steps = dimr_plan_peek_steps (self->plan, &n_steps);
  CpuBuilder builder = {
    .simd = self->target.simd,
    .n_threads = self->target.n_threads,
    .plan = self->plan,
    .graph = dimr_plan_peek_graph (self->plan),
    .precision = self->target.precision,
    .params = cpu_device_peek_params (self->device),
    .weights = weights,
    .arena = self->arena,
    .workspace = self->arena + dimr_plan_get_workspace (self->plan, NULL),
    .steps = self->steps,
    .memory = self->memory,
    .used = self->params,
  };

  for (guint s = 0; s < n_steps; s++)
    {
      const DimrNode *node = dimr_graph_peek_node (builder.graph, steps[s]);

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      builder.place = s;
      cpu_op_get (node->op)->prepare (&builder, node, steps[s]);
      if (builder.error != NULL)
        {
          g_propagate_error (error, builder.error);
          return FALSE;
        }
    }
  make_phases (self);
  return TRUE;
}

DimrProgram *
cpu_program_new (CpuDevice     *device,
                 DimrPlan      *plan,
                 DimrWeights   *weights,
                 GCancellable  *cancellable,
                 GError       **error)
{
  g_autoptr (CpuProgram) self = g_object_new (CPU_TYPE_PROGRAM, NULL);

  self->device = g_object_ref (device);
  self->plan = dimr_plan_ref (plan);
  self->weights = dimr_weights_ref (weights);
  cpu_device_get_target (device, &self->target);
  self->target.precision = dimr_plan_get_precision (plan);
  self->arena = cpu_try_alloc (dimr_plan_get_arena_size (plan) + GUARD, _("This picture"), error);
  if (self->arena == NULL || !prepare (self, weights, cancellable, error))
    return NULL;
  return DIMR_PROGRAM (g_steal_pointer (&self));
}

const guint8 *
cpu_program_peek_arena (CpuProgram *self,
                        gsize      *size)
{
  *size = dimr_plan_get_arena_size (self->plan) + GUARD;
  return self->arena;
}

static gpointer
find_elements (CpuProgram *self,
               DimrNodeId  id)
{
  const gsize offset = dimr_plan_get_offset (self->plan, id);

  return offset != DIMR_OFFSET_NONE ? self->arena + offset : NULL;
}

static void
cpu_program_write (DimrProgram   *program,
                   DimrNodeId     input,
                   gconstpointer  data,
                   gsize          size)
{
  CpuProgram *self = CPU_PROGRAM (program);
  const DimrNode *node = dimr_graph_peek_node (dimr_plan_peek_graph (self->plan), input);

  g_return_if_fail (node->op == DIMR_OP_INPUT);
  g_return_if_fail (size == dimr_shape_n_elements (&node->shape) * dimr_dtype_size (node->dtype));
  memcpy (find_elements (self, input), data, size);
}

static void
cpu_program_read (DimrProgram *program,
                  DimrNodeId   output,
                  float       *data,
                  gsize        n_elements)
{
  CpuProgram *self = CPU_PROGRAM (program);
  const DimrNode *node = dimr_graph_peek_node (dimr_plan_peek_graph (self->plan), output);
  gpointer elements = find_elements (self, output);

  g_return_if_fail (elements != NULL && n_elements == dimr_shape_n_elements (&node->shape));
  if (node->dtype == DIMR_DTYPE_I32)
    for (gsize i = 0; i < n_elements; i++)
      data[i] = (float) ((const gint32 *) elements)[i];
  else
    memcpy (data, elements, n_elements * sizeof *data);
}

/* One run, as all threads see it. */
typedef struct
{
  CpuProgram *program;
  const guint *first_steps; /* of each phase */
  GCancellable *cancellable;
  GError *error;            /* the first one of all threads, atomic */
} CpuRun;

static gboolean
run_task (gpointer data,
          guint    phase,
          gsize    task,
          guint    thread)
{
  CpuRun *run = data;
  const CpuStep *step = &g_array_index (run->program->steps, CpuStep, run->first_steps[phase]);
  GError *error = NULL, *none = NULL;

  if (g_cancellable_is_cancelled (run->cancellable))
    return FALSE;
  for (; task >= step->n_tasks; step++)
    task -= step->n_tasks;
  step->run (step->data, task, thread, &error);
  if (error == NULL)
    return TRUE;
  if (!__atomic_compare_exchange_n (&run->error, &none, error, FALSE, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
    g_error_free (error);
  return FALSE;
}

static gboolean
cpu_program_run (DimrProgram   *program,
                 GCancellable  *cancellable,
                 GError       **error)
{
  CpuProgram *self = CPU_PROGRAM (program);
  CpuRun run = { self, self->first_steps, cancellable, NULL };

  cpu_team_run (cpu_device_peek_team (self->device), (CpuTeamPhase *) (gpointer) self->phases->data, self->phases->len,
                run_task, &run);
  if (run.error != NULL)
    {
      g_propagate_error (error, run.error);
      return FALSE;
    }
  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}

static gboolean
cpu_program_reload (DimrProgram  *program,
                    GError      **error)
{
  CpuProgram *self = CPU_PROGRAM (program);

  cpu_params_reload (cpu_device_peek_params (self->device), self->weights);
  return TRUE;
}

/* Step @first and those of its node that may run beside it, alone: seconds, and in @next the step after them. */
static double
time_steps (CpuProgram  *self,
            guint        first,
            guint       *next,
            GError     **error)
{
  CpuRun run = { self, &first, NULL, NULL };
  CpuTeamPhase phase = { .n_tasks = 0 };
  gint64 began;
  guint s = first;

  do
    phase.n_tasks += g_array_index (self->steps, CpuStep, s).n_tasks;
  while (++s < self->steps->len && g_array_index (self->steps, CpuStep, s).beside);

  began = g_get_monotonic_time ();
  cpu_team_run (cpu_device_peek_team (self->device), &phase, 1, run_task, &run);
  *next = s;
  if (run.error != NULL)
    g_propagate_error (error, run.error);
  return (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC;
}

/* In order, as run() does, but no two nodes at the same time: the sum is a little more than a run takes. */
static gboolean
cpu_program_profile (DimrProgram  *program,
                     double       *seconds,
                     GError      **error)
{
  CpuProgram *self = CPU_PROGRAM (program);
  GError *failure = NULL;
  guint n_steps;

  dimr_plan_peek_steps (self->plan, &n_steps);
  for (guint i = 0; i < n_steps; i++)
    seconds[i] = 0;
  for (guint s = 0; s < self->steps->len && failure == NULL;)
    {
      const guint place = g_array_index (self->steps, CpuStep, s).place;

      seconds[place] += time_steps (self, s, &s, &failure);
    }
  if (failure == NULL)
    return TRUE;
  g_propagate_error (error, failure);
  return FALSE;
}

static void
cpu_program_class_init (CpuProgramClass *klass)
{
  DimrProgramClass *program_class = DIMR_PROGRAM_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cpu_program_finalize;
  program_class->write = cpu_program_write;
  program_class->run = cpu_program_run;
  program_class->read = cpu_program_read;
  program_class->reload = cpu_program_reload;
  program_class->profile = cpu_program_profile;
}
