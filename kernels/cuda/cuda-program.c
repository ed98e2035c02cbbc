/* cuda-program.c — a plan made into a list of launches, captured once and replayed
 *
 * Everything that a program needs is allocated by the constructor, which also runs the list once (the
 * first launch of a kernel loads it) and captures it. What changes from run to run — inputs, the number
 * of the step — is in device memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <math.h>
#include <string.h>

/* An input, and its page-locked memory on the host. */
typedef struct
{
  DimrNodeId node;
  gsize size;
  guint8 *host;
  gsize limit;    /* labels must be below this; 0: no labels */
  GError *refused;/* what is wrong with the value that was written last; every run says so */
} ProgramInput;

struct _CudaProgram
{
  DimrProgram parent_instance;
  CudaDevice *device;
  DimrPlan *plan;
  DimrWeights *weights;
  CudaSeries *series;
  guint8 *arena;
  GArray *inputs;      /* ProgramInput */
  guint8 *host;        /* page-locked, of all inputs */
  cudaEvent_t written; /* the last input has left the host */
  GArray *launches;    /* CudaLaunch */
  GPtrArray *memory;
  GPtrArray *params;
  cudaGraphExec_t graph;
  gboolean stale;      /* the graph knows another table */
  gboolean time_written;
  guint generation;    /* of the parameters that the series was made of */
  DimrNodeId announced;
  GError *failed;      /* what read() or select() met and could not say; the next run does */
};

G_DEFINE_FINAL_TYPE (CudaProgram, cuda_program, DIMR_TYPE_PROGRAM)

static void
program_input_clear (gpointer data)
{
  g_clear_error (&((ProgramInput *) data)->refused);
}

static void
cuda_program_init (CudaProgram *self)
{
  self->inputs = g_array_new (FALSE, TRUE, sizeof (ProgramInput));
  g_array_set_clear_func (self->inputs, program_input_clear);
  self->launches = g_array_new (FALSE, FALSE, sizeof (CudaLaunch));
  self->memory = g_ptr_array_new_with_free_func (g_free);
  self->params = g_ptr_array_new_with_free_func ((GDestroyNotify) cuda_param_unref);
  self->announced = DIMR_NODE_NONE;
}

static void
cuda_program_finalize (GObject *object)
{
  CudaProgram *self = CUDA_PROGRAM (object);

  if (self->device != NULL)
    {
      /* The device may be lost: then there is nothing left to wait for. */
      if (cuda_device_enter (self->device, NULL))
        (void) cudaStreamSynchronize (self->device->stream);
      if (self->graph != NULL)
        (void) cudaGraphExecDestroy (self->graph);
      if (self->written != NULL)
        (void) cudaEventDestroy (self->written);
      g_clear_pointer (&self->series, cuda_series_free);
      (void) cudaFree (self->arena);
      if (self->host != NULL)
        (void) cudaFreeHost (self->host);
    }
  g_array_unref (self->inputs);
  g_array_unref (self->launches);
  g_ptr_array_unref (self->memory);
  g_ptr_array_unref (self->params);
  g_clear_error (&self->failed);
  g_clear_pointer (&self->plan, dimr_plan_unref);
  g_clear_pointer (&self->weights, dimr_weights_unref);
  g_clear_object (&self->device);
  G_OBJECT_CLASS (cuda_program_parent_class)->finalize (object);
}

CudaDevice *
cuda_program_get_device (CudaProgram *self)
{
  return self->device;
}

static const DimrNode *
peek_node (CudaProgram *self,
           DimrNodeId   id)
{
  return dimr_graph_peek_node (dimr_plan_peek_graph (self->plan), id);
}

static ProgramInput *
find_input (CudaProgram *self,
            DimrNodeId   id)
{
  for (guint i = 0; i < self->inputs->len; i++)
    if (g_array_index (self->inputs, ProgramInput, i).node == id)
      return &g_array_index (self->inputs, ProgramInput, i);
  return NULL;
}

/* The smallest table that the labels of @input go to. */
static gsize
find_limit (CudaProgram *self,
            DimrNodeId   input)
{
  DimrGraph *graph = dimr_plan_peek_graph (self->plan);
  gsize limit = 0;

  for (DimrNodeId id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);

      if (node->op == DIMR_OP_EMBEDDING && node->inputs[1] == input)
        {
          const gsize rows = (gsize) cuda_input (graph, node, 0)->shape.dims[0];

          limit = limit == 0 ? rows : MIN (limit, rows);
        }
    }
  return limit;
}

/* Inputs begin as zeros: the first run is one of the constructor's own. */
static gboolean
prepare_inputs (CudaProgram  *self,
                GError      **error)
{
  DimrGraph *graph = dimr_plan_peek_graph (self->plan);
  gsize total = 0;

  for (DimrNodeId id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      ProgramInput input = { .node = id };

      if (node->op != DIMR_OP_INPUT)
        continue;
      input.size = dimr_shape_n_elements (&node->shape) * dimr_dtype_size (node->dtype);
      input.limit = find_limit (self, id);
      total += cuda_align (input.size);
      g_array_append_val (self->inputs, input);
      if (!cuda_device_check (self->device, cudaMemsetAsync (self->arena + dimr_plan_get_offset (self->plan, id), 0, input.size,
                                                             self->device->stream), error))
        return FALSE;
    }
  self->host = cuda_device_alloc_host (self->device, total, error);
  if (self->host == NULL ||
      !cuda_device_check (self->device, cudaEventCreateWithFlags (&self->written, cudaEventDisableTiming), error))
    return FALSE;
  total = 0;
  for (guint i = 0; i < self->inputs->len; i++)
    {
      ProgramInput *input = &g_array_index (self->inputs, ProgramInput, i);

      input->host = self->host + total;
      total += cuda_align (input->size);
    }
  return TRUE;
}

static gboolean
prepare_launches (CudaProgram   *self,
                  DimrWeights   *weights,
                  GCancellable  *cancellable,
                  GError       **error)
{
  guint n_steps;
  const DimrNodeId *steps = dimr_plan_peek_steps (self->plan, &n_steps);
  g_autoptr (GArray) closing = g_array_new (FALSE, FALSE, sizeof (CudaLaunch));
  CudaBuilder builder = {
    .device = self->device,
    .plan = self->plan,
    .graph = dimr_plan_peek_graph (self->plan),
    .precision = dimr_plan_get_precision (self->plan),
    .type = cuda_type (dimr_plan_get_precision (self->plan)),
    .weights = weights,
    .series = self->series,
    .arena = self->arena,
    .launches = self->launches,
    .closing = closing,
    .memory = self->memory,
    .used = self->params,
  };

  for (guint s = 0; s < n_steps; s++)
    {
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      builder.place = s;
      cuda_builder_prepare (&builder, steps[s]);
      if (builder.error != NULL)
        {
          g_propagate_error (error, builder.error);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
launch_all (CudaProgram  *self,
            GError      **error)
{
  for (guint i = 0; i < self->launches->len; i++)
    {
      const CudaLaunch *item = &g_array_index (self->launches, CudaLaunch, i);

      if (!item->launch (self->device, item->data, self->device->stream, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
capture (CudaProgram  *self,
         GError      **error)
{
  CudaDevice *device = self->device;
  cudaGraph_t graph = NULL;
  gboolean good;

  if (self->graph != NULL)
    (void) cudaGraphExecDestroy (self->graph);
  self->graph = NULL;
  self->stale = FALSE;
  /* Other threads of this process may work with other devices meanwhile. */
  if (!cuda_device_check (device, cudaStreamBeginCapture (device->stream, cudaStreamCaptureModeThreadLocal), error))
    return FALSE;
  good = launch_all (self, error);
  /* Ends the capture after a failure too, without a second error over the first. */
  good = cuda_device_check (device, cudaStreamEndCapture (device->stream, &graph), good ? error : NULL) && good &&
         cuda_device_check (device, cudaGraphInstantiate (&self->graph, graph, 0), error);
  if (graph != NULL)
    (void) cudaGraphDestroy (graph);
  return good;
}

/* The time that was written, if it is not in the series; and the series, where parameters are not those that it knows. */
static gboolean
update_time (CudaProgram  *self,
             GError      **error)
{
  const DimrNodeId input = cuda_series_get_input (self->series);
  const guint generation = cuda_params_get_generation (self->device->params);
  const float *time;

  if (input == DIMR_NODE_NONE || (!self->time_written && self->generation == generation))
    return TRUE;
  time = (const float *) (self->arena + dimr_plan_get_offset (self->plan, input));
  if (self->generation != generation && !cuda_series_renew (self->series, time, error))
    return FALSE;
  self->generation = generation;
  if (self->time_written && !cuda_series_compute (self->series, time, error))
    return FALSE;
  self->time_written = FALSE;
  return TRUE;
}

/* FALSE with what is wrong with the inputs. */
static gboolean
check_inputs (CudaProgram  *self,
              GError      **error)
{
  if (self->failed != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&self->failed));
      return FALSE;
    }
  for (guint i = 0; i < self->inputs->len; i++)
    {
      const ProgramInput *input = &g_array_index (self->inputs, ProgramInput, i);

      if (input->refused != NULL)
        {
          g_propagate_error (error, g_error_copy (input->refused));
          return FALSE;
        }
    }
  return TRUE;
}

gboolean
cuda_program_enqueue (CudaProgram  *self,
                      GError      **error)
{
  if (!check_inputs (self, error) || !update_time (self, error))
    return FALSE;
  if (self->device->eager)
    return launch_all (self, error);
  if (self->stale && !capture (self, error))
    return FALSE;
  return cuda_device_check (self->device, cudaGraphLaunch (self->graph, self->device->stream), error);
}

DimrProgram *
cuda_program_new (CudaDevice     *device,
                  DimrPlan       *plan,
                  DimrWeights    *weights,
                  GCancellable   *cancellable,
                  GError        **error)
{
  g_autoptr (CudaProgram) self = g_object_new (CUDA_TYPE_PROGRAM, NULL);

  self->device = g_object_ref (device);
  self->plan = dimr_plan_ref (plan);
  self->weights = dimr_weights_ref (weights);
  if (!cuda_device_enter (device, error))
    return NULL;
  self->arena = cuda_device_alloc (device, dimr_plan_get_arena_size (plan), _("This picture"), error);
  if (self->arena == NULL)
    return NULL;
  self->series = cuda_series_new (device, plan, error);
  if (self->series == NULL || !prepare_inputs (self, error) || !prepare_launches (self, weights, cancellable, error))
    return NULL;
  self->time_written = TRUE;
  self->generation = cuda_params_get_generation (device->params);
  if (!update_time (self, error) || !launch_all (self, error) ||
      !cuda_device_check (device, cudaStreamSynchronize (device->stream), error))
    return NULL;
  if (!device->eager && !capture (self, error))
    return NULL;
  return DIMR_PROGRAM (g_steal_pointer (&self));
}

gpointer
cuda_program_peek (CudaProgram *self,
                   DimrNodeId   id,
                   DimrDType   *storage)
{
  const gsize offset = dimr_plan_get_offset (self->plan, id);
  guint entry;

  if (storage != NULL)
    *storage = dimr_plan_get_storage (self->plan, id);
  if (cuda_series_find (self->series, id, &entry))
    return (gpointer) cuda_series_peek (self->series, entry);
  return offset != DIMR_OFFSET_NONE ? self->arena + offset : NULL;
}

gboolean
cuda_program_check (CudaProgram   *self,
                    DimrNodeId     input,
                    const gint32  *labels,
                    gsize          n,
                    GError       **error)
{
  const ProgramInput *found = find_input (self, input);

  if (found == NULL || found->limit == 0)
    return TRUE;
  for (gsize i = 0; i < n; i++)
    if (labels[i] < 0 || (gsize) labels[i] >= found->limit)
      {
        dimr_error_set (error, DIMR_ERROR_REQUEST,
                        _("Class %d does not exist: the labels of this model are 0 to %zu"),
                        labels[i], found->limit - 1);
        return FALSE;
      }
  return TRUE;
}

gpointer
cuda_program_renew (CudaProgram *self,
                    DimrNodeId   id)
{
  ProgramInput *input = find_input (self, id);

  g_return_val_if_fail (input != NULL, NULL);
  g_clear_error (&input->refused);
  if (id == cuda_series_get_input (self->series))
    self->time_written = TRUE;
  return self->arena + dimr_plan_get_offset (self->plan, id);
}

/* Through the input's page-locked memory, as soon as that is free. */
static gboolean
send_input (CudaProgram   *self,
            ProgramInput  *input,
            gconstpointer  data,
            GError       **error)
{
  const cudaStream_t stream = self->device->stream;

  if (!cuda_device_enter (self->device, error) ||
      !cuda_device_check (self->device, cudaEventSynchronize (self->written), error))
    return FALSE;
  memcpy (input->host, data, input->size);
  return cuda_device_check (self->device, cudaMemcpyAsync (self->arena + dimr_plan_get_offset (self->plan, input->node),
                                                           input->host, input->size, cudaMemcpyHostToDevice, stream), error) &&
         cuda_device_check (self->device, cudaEventRecord (self->written, stream), error);
}

static void
cuda_program_write (DimrProgram   *program,
                    DimrNodeId     id,
                    gconstpointer  data,
                    gsize          size)
{
  CudaProgram *self = CUDA_PROGRAM (program);
  ProgramInput *input = find_input (self, id);

  g_return_if_fail (input != NULL && size == input->size);
  cuda_program_renew (self, id);
  if (cuda_program_check (self, id, data, size / sizeof (gint32), &input->refused))
    send_input (self, input, data, &input->refused);
}

static gboolean
cuda_program_run (DimrProgram   *program,
                  GCancellable  *cancellable,
                  GError       **error)
{
  CudaProgram *self = CUDA_PROGRAM (program);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (!cuda_device_enter (self->device, error) || !cuda_program_enqueue (self, error) ||
      !cuda_device_check (self->device, cudaStreamSynchronize (self->device->stream), error))
    return FALSE;
  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}

/* What cannot be read is no number; the next run says why. */
static void
cuda_program_read (DimrProgram *program,
                   DimrNodeId   output,
                   float       *data,
                   gsize        n_elements)
{
  CudaProgram *self = CUDA_PROGRAM (program);
  DimrDType storage;
  gconstpointer elements = cuda_program_peek (self, output, &storage);
  g_autoptr (GError) error = NULL;

  g_return_if_fail (elements != NULL && n_elements == dimr_shape_n_elements (&peek_node (self, output)->shape));
  if (cuda_device_enter (self->device, &error) &&
      cuda_staging_download (self->device->staging, elements, storage, n_elements, data, &error))
    return;
  for (gsize i = 0; i < n_elements; i++)
    data[i] = NAN;
  if (self->failed == NULL)
    self->failed = g_steal_pointer (&error);
}

static gboolean
cuda_program_set_series (DimrProgram   *program,
                         DimrNodeId     input,
                         const float   *values,
                         guint          n_values,
                         GError       **error)
{
  CudaProgram *self = CUDA_PROGRAM (program);
  const DimrNodeId known = cuda_series_get_input (self->series);
  const ProgramInput *found = find_input (self, input);
  gboolean moved = FALSE, good;

  g_return_val_if_fail (found != NULL, FALSE);
  if (known != DIMR_NODE_NONE && known != input)
    {
      dimr_error_set (error, DIMR_ERROR_UNSUPPORTED, _("%s takes a series of '%s', not of '%s'"),
                      self->device->name, peek_node (self, known)->name, peek_node (self, input)->name);
      return FALSE;
    }
  if (!cuda_device_enter (self->device, error))
    return FALSE;
  good = cuda_series_set (self->series, values, n_values, found->size / sizeof (float), &moved, error);
  self->stale |= moved;
  self->announced = good ? input : DIMR_NODE_NONE;
  self->time_written |= !good;
  /* Now, and not in the middle of the walk. */
  return good && (!self->stale || self->device->eager || capture (self, error));
}

static void
cuda_program_select (DimrProgram *program,
                     guint        index)
{
  CudaProgram *self = CUDA_PROGRAM (program);
  float *input;

  g_return_if_fail (self->announced != DIMR_NODE_NONE);
  input = cuda_program_renew (self, self->announced);
  self->time_written = FALSE;
  if (self->failed == NULL && cuda_device_enter (self->device, &self->failed))
    cuda_series_select (self->series, index, input, &self->failed);
}

static gboolean
cuda_program_copy (DimrProgram  *program,
                   DimrNodeId    input,
                   DimrProgram  *from,
                   DimrNodeId    output,
                   GError      **error)
{
  CudaProgram *self = CUDA_PROGRAM (program);
  const gsize n = dimr_shape_n_elements (&peek_node (self, input)->shape);
  DimrDType storage;
  gpointer to, elements = cuda_program_peek (CUDA_PROGRAM (from), output, &storage);
  const CudaType type = storage == DIMR_DTYPE_BF16 ? CUDA_TYPE_BF16 : CUDA_TYPE_F32;
  const cudaStream_t stream = self->device->stream;

  g_return_val_if_fail (elements != NULL && peek_node (self, input)->dtype == DIMR_DTYPE_F32, FALSE);
  g_return_val_if_fail (n == dimr_shape_n_elements (&peek_node (CUDA_PROGRAM (from), output)->shape), FALSE);
  if (!cuda_device_enter (self->device, error))
    return FALSE;
  to = cuda_program_renew (self, input);
  if (type == CUDA_TYPE_F32)
    return cuda_device_check (self->device, cudaMemcpyAsync (to, elements, n * sizeof (float), cudaMemcpyDeviceToDevice, stream),
                              error);
  return cuda_device_check (self->device, cuda_convert (stream, type, elements, CUDA_TYPE_F32, to, n), error);
}

/* Captured launches name the memory of parameters, which stays; what any program's series made of them is made anew when
 * it runs. */
static gboolean
cuda_program_reload (DimrProgram  *program,
                     GError      **error)
{
  CudaProgram *self = CUDA_PROGRAM (program);

  return cuda_device_enter (self->device, error) && cuda_params_reload (self->device->params, self->weights, error);
}

/* Eagerly, with an event between the steps of the plan. What the series computes ahead takes no time here. */
static gboolean
cuda_program_profile (DimrProgram  *program,
                      double       *seconds,
                      GError      **error)
{
  CudaProgram *self = CUDA_PROGRAM (program);
  CudaDevice *device = self->device;
  const guint n = self->launches->len;
  guint n_steps;
  g_autofree cudaEvent_t *events = g_new0 (cudaEvent_t, n + 1);
  gboolean good = cuda_device_enter (device, error) && update_time (self, error);

  dimr_plan_peek_steps (self->plan, &n_steps);
  memset (seconds, 0, n_steps * sizeof *seconds);
  for (guint i = 0; good && i <= n; i++)
    good = cuda_device_check (device, cudaEventCreate (&events[i]), error);
  good = good && cuda_device_check (device, cudaEventRecord (events[0], device->stream), error);
  for (guint i = 0; good && i < n; i++)
    {
      const CudaLaunch *item = &g_array_index (self->launches, CudaLaunch, i);

      good = item->launch (device, item->data, device->stream, error) &&
             cuda_device_check (device, cudaEventRecord (events[i + 1], device->stream), error);
    }
  good = good && cuda_device_check (device, cudaStreamSynchronize (device->stream), error);
  for (guint i = 0; good && i < n; i++)
    {
      float milliseconds = 0;

      good = cuda_device_check (device, cudaEventElapsedTime (&milliseconds, events[i], events[i + 1]), error);
      seconds[g_array_index (self->launches, CudaLaunch, i).place] += (double) milliseconds / 1000;
    }
  for (guint i = 0; i <= n; i++)
    if (events[i] != NULL)
      (void) cudaEventDestroy (events[i]);
  return good;
}

static void
cuda_program_class_init (CudaProgramClass *klass)
{
  DimrProgramClass *program_class = DIMR_PROGRAM_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cuda_program_finalize;
  program_class->write = cuda_program_write;
  program_class->run = cuda_program_run;
  program_class->read = cuda_program_read;
  program_class->set_series = cuda_program_set_series;
  program_class->select = cuda_program_select;
  program_class->copy = cuda_program_copy;
  program_class->reload = cuda_program_reload;
  program_class->profile = cuda_program_profile;
}
