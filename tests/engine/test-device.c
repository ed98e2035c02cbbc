/* SPDX-License-Identifier: Apache-2.0 */
#include "test-device.h"

#include <string.h>

TestDevice test_device;

#define WRAP_TYPE_DEVICE (wrap_device_get_type ())
G_DECLARE_FINAL_TYPE (WrapDevice, wrap_device, WRAP, DEVICE, DimrDevice)
#define WRAP_TYPE_PROGRAM (wrap_program_get_type ())
G_DECLARE_FINAL_TYPE (WrapProgram, wrap_program, WRAP, PROGRAM, DimrProgram)
#define WRAP_TYPE_WALK (wrap_walk_get_type ())
G_DECLARE_FINAL_TYPE (WrapWalk, wrap_walk, WRAP, WALK, DimrDeviceWalk)

struct _WrapDevice
{
  DimrDevice parent_instance;
  DimrDevice *cpu;
};

struct _WrapProgram
{
  DimrProgram parent_instance;
  DimrProgram *cpu;
  DimrPlan *plan;
  DimrNodeId input;
  float *values; /* the series */
  guint n_values;
  int selected;  /* −1: nothing yet */
};

struct _WrapWalk
{
  DimrDeviceWalk parent_instance;
  DimrWalkSpec spec;                 /* its rows and classes are copies */
  double *x, *point;                 /* [n_groups, M, C, H, W] */
  double *x0[DIMR_WALK_HISTORY];
  float *in, *out;                   /* of one group, both halves */
  float *requested;                  /* the copy, as it was when it was asked for */
  gboolean is_requested;
  gboolean was_looked_at;
};

G_DEFINE_FINAL_TYPE (WrapDevice, wrap_device, DIMR_TYPE_DEVICE)
G_DEFINE_FINAL_TYPE (WrapProgram, wrap_program, DIMR_TYPE_PROGRAM)
G_DEFINE_FINAL_TYPE (WrapWalk, wrap_walk, DIMR_TYPE_DEVICE_WALK)

/* ---- the program ---- */

static void
wrap_program_init (WrapProgram *self)
{
  self->selected = -1;
}

static void
wrap_program_finalize (GObject *object)
{
  WrapProgram *self = WRAP_PROGRAM (object);

  g_clear_object (&self->cpu);
  g_clear_pointer (&self->plan, dimr_plan_unref);
  g_free (self->values);
  G_OBJECT_CLASS (wrap_program_parent_class)->finalize (object);
}

static void
wrap_program_write (DimrProgram   *program,
                    DimrNodeId     input,
                    gconstpointer  data,
                    gsize          size)
{
  dimr_program_write (WRAP_PROGRAM (program)->cpu, input, data, size);
}

static gboolean
wrap_program_run (DimrProgram   *program,
                  GCancellable  *cancellable,
                  GError       **error)
{
  WrapProgram *self = WRAP_PROGRAM (program);

  /* Every evaluation says which value of the series it is about. */
  g_assert_cmpint (self->selected, >=, 0);
  test_device.n_runs++;
  if (test_device.fails_at > 0 && test_device.n_runs >= test_device.fails_at)
    {
      g_set_error_literal (error, DIMR_ERROR, test_device.failure, "The test device failed as it was told to");
      return FALSE;
    }
  return dimr_program_run (self->cpu, cancellable, error);
}

static void
wrap_program_read (DimrProgram *program,
                   DimrNodeId   output,
                   float       *data,
                   gsize        n_elements)
{
  dimr_program_read (WRAP_PROGRAM (program)->cpu, output, data, n_elements);
}

static gboolean
wrap_program_set_series (DimrProgram  *program,
                         DimrNodeId    input,
                         const float  *values,
                         guint         n_values,
                         GError      **error)
{
  WrapProgram *self = WRAP_PROGRAM (program);

  test_device.n_series++;
  g_free (self->values);
  self->input = input;
  self->values = g_memdup2 (values, n_values * sizeof *values);
  self->n_values = n_values;
  self->selected = -1;
  return TRUE;
}

static void
wrap_program_select (DimrProgram *program,
                     guint        index)
{
  WrapProgram *self = WRAP_PROGRAM (program);

  g_assert_cmpuint (index, <, self->n_values);
  test_device.n_selects++;
  self->selected = (int) index;
  dimr_program_write (self->cpu, self->input, &self->values[index], sizeof *self->values);
}

static gsize
n_elements_of (DimrPlan   *plan,
               DimrNodeId  node)
{
  return dimr_shape_n_elements (&dimr_graph_peek_node (dimr_plan_peek_graph (plan), node)->shape);
}

static gboolean
wrap_program_copy (DimrProgram  *program,
                   DimrNodeId    input,
                   DimrProgram  *from,
                   DimrNodeId    output,
                   GError      **error)
{
  WrapProgram *self = WRAP_PROGRAM (program), *source = WRAP_PROGRAM (from);
  const gsize n = n_elements_of (self->plan, input);

  g_assert_cmpuint (n, ==, n_elements_of (source->plan, output));
  test_device.n_copies++;
  return dimr_program_copy (self->cpu, input, source->cpu, output, n, error);
}

static void
wrap_program_class_init (WrapProgramClass *klass)
{
  DimrProgramClass *program_class = DIMR_PROGRAM_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = wrap_program_finalize;
  program_class->write = wrap_program_write;
  program_class->run = wrap_program_run;
  program_class->read = wrap_program_read;
  program_class->set_series = wrap_program_set_series;
  program_class->select = wrap_program_select;
  program_class->copy = wrap_program_copy;
}

/* ---- the walk ---- */

static void
wrap_walk_init (WrapWalk *self)
{
}

static void
wrap_walk_finalize (GObject *object)
{
  WrapWalk *self = WRAP_WALK (object);

  g_free ((gpointer) self->spec.rows);
  g_free ((gpointer) self->spec.y);
  g_free (self->x);
  g_free (self->point);
  for (guint k = 0; k < DIMR_WALK_HISTORY; k++)
    g_free (self->x0[k]);
  g_free (self->in);
  g_free (self->out);
  g_free (self->requested);
  G_OBJECT_CLASS (wrap_walk_parent_class)->finalize (object);
}

static gsize
group_len (WrapWalk *self)
{
  return self->spec.micro_batch * self->spec.image_len;
}

/* The noise of one group, guided, into the newest prediction's place. */
static gboolean
evaluate (WrapWalk             *self,
          DimrProgram          *program,
          const DimrWalkPorts  *ports,
          guint                 group,
          double                guidance,
          GCancellable         *cancellable,
          GError              **error)
{
  const gsize n = group_len (self), halves = ports->guided ? 2 : 1;
  double *eps = self->x0[0] + group * n;

  for (gsize i = 0; i < n; i++)
    self->in[i] = self->in[n + i] = (float) self->point[group * n + i];
  dimr_program_write (program, ports->x, self->in, halves * n * sizeof (float));
  if (ports->y != DIMR_NODE_NONE)
    dimr_program_write (program, ports->y, self->spec.y + 2 * group * self->spec.micro_batch,
                        halves * self->spec.micro_batch * sizeof (gint32));
  if (!dimr_program_run (program, cancellable, error))
    return FALSE;
  dimr_program_read (program, ports->eps, self->out, halves * n);
  for (gsize i = 0; i < n; i++)
    {
      const double uncond = self->out[n + i];

      eps[i] = ports->guided ? (float) (uncond + guidance * (self->out[i] - uncond)) : self->out[i];
    }
  return TRUE;
}

static gboolean
wrap_walk_step (DimrDeviceWalk       *walk,
                DimrProgram          *program,
                const DimrWalkPorts  *ports,
                guint                 row_index,
                GCancellable         *cancellable,
                GError              **error)
{
  WrapWalk *self = WRAP_WALK (walk);
  const DimrWalkRow *row = &self->spec.rows[row_index];
  double *newest = self->x0[DIMR_WALK_HISTORY - 1];

  g_assert_cmpuint (row_index, <, self->spec.n_rows);
  test_device.n_walk_steps++;
  memmove (&self->x0[1], &self->x0[0], (DIMR_WALK_HISTORY - 1) * sizeof self->x0[0]);
  self->x0[0] = newest;
  for (guint group = 0; group < self->spec.n_groups; group++)
    if (!evaluate (self, program, ports, group, row->guidance, cancellable, error))
      return FALSE;
  for (gsize i = 0; i < self->spec.n_groups * group_len (self); i++)
    {
      newest[i] = (self->point[i] - row->sigma * newest[i]) / row->alpha;
      self->point[i] = row->start * self->x[i] + row->x0[0] * newest[i] + row->x0[1] * self->x0[1][i] +
                       row->x0[2] * self->x0[2][i];
      if (row->outer)
        self->x[i] = self->point[i];
    }
  return TRUE;
}

static gboolean
wrap_walk_request (DimrDeviceWalk  *walk,
                   DimrWalkValue    value,
                   GError         **error)
{
  WrapWalk *self = WRAP_WALK (walk);
  const double *from = value == DIMR_WALK_X0 ? self->x0[0] : self->x;

  g_assert_false (self->is_requested);
  test_device.n_requests++;
  self->is_requested = TRUE;
  self->was_looked_at = FALSE;
  for (gsize i = 0; i < self->spec.n_groups * group_len (self); i++)
    self->requested[i] = (float) from[i];
  return TRUE;
}

static gboolean
wrap_walk_fetch (DimrDeviceWalk  *walk,
                 gboolean         wait,
                 float           *data,
                 GError         **error)
{
  WrapWalk *self = WRAP_WALK (walk);
  const gboolean is_there = wait || self->was_looked_at;

  g_assert_true (self->is_requested);
  self->was_looked_at = TRUE;
  if (!is_there)
    return FALSE;
  test_device.n_fetches++;
  self->is_requested = FALSE;
  memcpy (data, self->requested, self->spec.n_groups * group_len (self) * sizeof *data);
  return TRUE;
}

static void
wrap_walk_class_init (WrapWalkClass *klass)
{
  DimrDeviceWalkClass *walk_class = DIMR_DEVICE_WALK_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = wrap_walk_finalize;
  walk_class->step = wrap_walk_step;
  walk_class->request = wrap_walk_request;
  walk_class->fetch = wrap_walk_fetch;
}

/* ---- the device ---- */

static void
wrap_device_init (WrapDevice *self)
{
}

static void
wrap_device_finalize (GObject *object)
{
  g_clear_object (&WRAP_DEVICE (object)->cpu);
  G_OBJECT_CLASS (wrap_device_parent_class)->finalize (object);
}

static gboolean
wrap_device_supports (DimrDevice       *device,
                      const DimrGraph  *graph,
                      DimrNodeId        node,
                      DimrPrecision     precision,
                      GError          **error)
{
  return dimr_device_supports (WRAP_DEVICE (device)->cpu, graph, node, precision, error);
}

static gsize
wrap_device_get_workspace (DimrDevice      *device,
                           const DimrGraph *graph,
                           DimrNodeId       node,
                           DimrPrecision    precision)
{
  return dimr_device_get_workspace (WRAP_DEVICE (device)->cpu, graph, node, precision) + test_device.workspace;
}

static DimrProgram *
wrap_device_compile (DimrDevice    *device,
                     DimrPlan      *plan,
                     DimrWeights   *weights,
                     GCancellable  *cancellable,
                     GError       **error)
{
  g_autoptr (WrapProgram) self = g_object_new (WRAP_TYPE_PROGRAM, NULL);
  const DimrNodeId x = dimr_plan_get_input (plan, "x"); /* a decoder has none */

  if (test_device.compile_limit > 0 && x != DIMR_NODE_NONE &&
      dimr_graph_peek_node (dimr_plan_peek_graph (plan), x)->shape.dims[0] > (gint64) test_device.compile_limit)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_MEMORY, "The test device has no memory left");
      return NULL;
    }
  self->plan = dimr_plan_ref (plan);
  self->cpu = dimr_device_compile (WRAP_DEVICE (device)->cpu, plan, weights, cancellable, error);
  return self->cpu != NULL ? DIMR_PROGRAM (g_steal_pointer (&self)) : NULL;
}

static void
wrap_device_get_memory (DimrDevice *device,
                        guint64    *total,
                        guint64    *available)
{
  dimr_device_get_memory (WRAP_DEVICE (device)->cpu, total, available);
  if (test_device.memory > 0)
    *available = test_device.memory;
}

static const char *
wrap_device_get_name (DimrDevice *device)
{
  return "Test device";
}

static void
wrap_device_trim (DimrDevice *device)
{
  test_device.n_trims++;
  dimr_device_trim (WRAP_DEVICE (device)->cpu);
}

static guint
wrap_device_get_micro_batch (DimrDevice *device)
{
  return test_device.micro_batch;
}

static DimrPrecision
wrap_device_get_default_precision (DimrDevice *device)
{
  return test_device.precision;
}

static DimrDeviceWalk *
wrap_device_new_walk (DimrDevice          *device,
                      const DimrWalkSpec  *spec,
                      GError             **error)
{
  WrapWalk *self;
  gsize n;

  if (!test_device.keeps_walks)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED, "Not now");
      return NULL;
    }
  test_device.n_walks++;
  self = g_object_new (WRAP_TYPE_WALK, NULL);
  self->spec = *spec;
  self->spec.start = NULL;
  self->spec.rows = g_memdup2 (spec->rows, spec->n_rows * sizeof *spec->rows);
  self->spec.y = g_memdup2 (spec->y, 2 * (gsize) spec->n_groups * spec->micro_batch * sizeof *spec->y);
  n = spec->n_groups * group_len (self);
  self->x = g_new (double, n);
  self->point = g_new (double, n);
  for (guint k = 0; k < DIMR_WALK_HISTORY; k++)
    self->x0[k] = g_new0 (double, n);
  self->in = g_new (float, 2 * group_len (self));
  self->out = g_new0 (float, 2 * group_len (self));
  self->requested = g_new (float, n);
  for (gsize i = 0; i < n; i++)
    self->x[i] = self->point[i] = spec->start[i];
  return DIMR_DEVICE_WALK (self);
}

static void
wrap_device_class_init (WrapDeviceClass *klass)
{
  DimrDeviceClass *device_class = DIMR_DEVICE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = wrap_device_finalize;
  device_class->supports = wrap_device_supports;
  device_class->get_workspace = wrap_device_get_workspace;
  device_class->compile = wrap_device_compile;
  device_class->get_memory = wrap_device_get_memory;
  device_class->get_name = wrap_device_get_name;
  device_class->trim = wrap_device_trim;
  device_class->get_micro_batch = wrap_device_get_micro_batch;
  device_class->get_default_precision = wrap_device_get_default_precision;
  device_class->new_walk = wrap_device_new_walk;
}

static guint
get_n_devices (GError **error)
{
  return 1;
}

static char *
dup_device_name (guint index)
{
  return g_strdup ("Test device");
}

static DimrDevice *
open_device (guint    index,
             guint    n_threads,
             GError **error)
{
  DimrDevice *cpu = dimr_device_open ("cpu", n_threads, error);
  WrapDevice *self;

  if (cpu == NULL)
    return NULL;
  self = g_object_new (WRAP_TYPE_DEVICE, NULL);
  self->cpu = cpu;
  return DIMR_DEVICE (self);
}

static const DimrBackend backend = { "test", get_n_devices, dup_device_name, open_device };

void
test_device_init (void)
{
  dimr_backend_register (&backend);
  test_device = (TestDevice){ .micro_batch = 1, .precision = DIMR_PRECISION_F32, .keeps_walks = TRUE };
}
