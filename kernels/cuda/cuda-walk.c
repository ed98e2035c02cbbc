/* cuda-walk.c — a sampler's walk in device memory
 *
 * Points, predictions and coefficients are double and stay on the device; an evaluation is the replay of
 * a program between two small kernels. The host only queues: it is at most one evaluation ahead, so a
 * cancel takes effect within one, and where an evaluation takes long it is not ahead at all. Pictures to
 * look at are rounded on the same stream and travel on another, so nobody waits for them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>

/* An evaluation that takes this long keeps the device busy without another one behind it. */
#define LONG_MILLISECONDS 20.f

/* Events around an evaluation; two take turns. */
typedef struct
{
  cudaEvent_t begin, end;
} WalkClock;

struct _CudaWalk
{
  DimrDeviceWalk parent_instance;
  CudaDevice *device;
  guint n_groups;
  guint micro_batch;
  gsize image_len;
  guint n_rows;
  gsize group_len;          /* doubles of one group: micro_batch · image_len */
  double *x;                /* [n_groups][group_len] each, on the device */
  double *point;
  double *history[DIMR_WALK_HISTORY];
  float *eps;               /* [2 · group_len]: the prediction of a program that stores it otherwise */
  gint32 *labels;           /* [n_groups, 2 · micro_batch] on the host; NULL: none */
  gint32 *y;                /* the same on the device */
  CudaWalkRow *rows;        /* [n_rows] */
  int *numbers;             /* [n_rows]: 0, 1, 2, … */
  int *index;               /* of the row */
  DimrProgram *checked;     /* the program whose tables have the labels; a weak pointer */
  WalkClock clocks[2];
  guint64 n_evaluations;
  gboolean slow;
  guint newest;             /* of the history */
  guint n_steps;
  float *rounded;           /* [n_groups][group_len] */
  float *host;              /* the same, page-locked */
  cudaEvent_t ready;        /* rounded */
  cudaEvent_t copied;
  gboolean requested;
};

G_DEFINE_FINAL_TYPE (CudaWalk, cuda_walk, DIMR_TYPE_DEVICE_WALK)

static void
cuda_walk_init (CudaWalk *self)
{
}

static void
destroy_event (cudaEvent_t event)
{
  if (event != NULL)
    (void) cudaEventDestroy (event);
}

static void
cuda_walk_finalize (GObject *object)
{
  CudaWalk *self = CUDA_WALK (object);

  if (self->device != NULL && cuda_device_enter (self->device, NULL))
    {
      (void) cudaStreamSynchronize (self->device->stream);
      (void) cudaStreamSynchronize (self->device->copy_stream);
    }
  g_clear_weak_pointer (&self->checked);
  for (guint i = 0; i < 2; i++)
    {
      destroy_event (self->clocks[i].begin);
      destroy_event (self->clocks[i].end);
    }
  destroy_event (self->ready);
  destroy_event (self->copied);
  (void) cudaFree (self->x);
  (void) cudaFree (self->point);
  for (guint i = 0; i < DIMR_WALK_HISTORY; i++)
    (void) cudaFree (self->history[i]);
  (void) cudaFree (self->eps);
  (void) cudaFree (self->y);
  (void) cudaFree (self->rows);
  (void) cudaFree (self->numbers);
  (void) cudaFree (self->index);
  (void) cudaFree (self->rounded);
  if (self->host != NULL)
    (void) cudaFreeHost (self->host);
  g_free (self->labels);
  g_clear_object (&self->device);
  G_OBJECT_CLASS (cuda_walk_parent_class)->finalize (object);
}

/* ---- making ---- */

static gpointer
alloc (CudaWalk  *self,
       gsize      size,
       GError   **error)
{
  return cuda_device_alloc (self->device, size, _("This batch of pictures"), error);
}

static gboolean
alloc_all (CudaWalk  *self,
           GError   **error)
{
  const gsize n = self->n_groups * self->group_len;

  for (guint i = 0; i < DIMR_WALK_HISTORY; i++)
    {
      /* Predictions that are not there yet are multiplied by zero, so they must be numbers. */
      self->history[i] = alloc (self, n * sizeof (double), error);
      if (self->history[i] == NULL ||
          !cuda_device_check (self->device, cudaMemsetAsync (self->history[i], 0, n * sizeof (double), self->device->stream),
                              error))
        return FALSE;
    }
  return (self->x = alloc (self, n * sizeof (double), error)) != NULL &&
         (self->point = alloc (self, n * sizeof (double), error)) != NULL &&
         (self->eps = alloc (self, 2 * self->group_len * sizeof (float), error)) != NULL &&
         (self->y = alloc (self, self->n_groups * 2 * self->micro_batch * sizeof *self->y, error)) != NULL &&
         (self->rows = alloc (self, self->n_rows * sizeof *self->rows, error)) != NULL &&
         (self->numbers = alloc (self, self->n_rows * sizeof *self->numbers, error)) != NULL &&
         (self->index = alloc (self, sizeof *self->index, error)) != NULL &&
         (self->rounded = alloc (self, n * sizeof (float), error)) != NULL &&
         (self->host = cuda_device_alloc_host (self->device, n * sizeof (float), error)) != NULL;
}

static gboolean
create_events (CudaWalk  *self,
               GError   **error)
{
  CudaDevice *device = self->device;

  for (guint i = 0; i < 2; i++)
    if (!cuda_device_check (device, cudaEventCreateWithFlags (&self->clocks[i].begin, cudaEventDefault), error) ||
        /* The thread sleeps while it waits. */
        !cuda_device_check (device, cudaEventCreateWithFlags (&self->clocks[i].end, cudaEventBlockingSync), error))
      return FALSE;
  return cuda_device_check (device, cudaEventCreateWithFlags (&self->ready, cudaEventDisableTiming), error) &&
         cuda_device_check (device, cudaEventCreateWithFlags (&self->copied, cudaEventDisableTiming), error);
}

static gboolean
upload_start (CudaWalk            *self,
              const DimrWalkSpec  *spec,
              GError             **error)
{
  CudaStaging *staging = self->device->staging;
  const gsize n = self->n_groups * self->group_len;
  g_autofree double *start = g_try_new (double, n);

  if (start == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_MEMORY, _("There is no memory for %u pictures at once; use a smaller batch"),
                      self->n_groups * self->micro_batch);
      return FALSE;
    }
  for (gsize i = 0; i < n; i++)
    start[i] = spec->start[i];
  return cuda_staging_copy_in (staging, start, self->x, n * sizeof *start, error) &&
         cuda_staging_copy_in (staging, start, self->point, n * sizeof *start, error);
}

static gboolean
upload_rows (CudaWalk            *self,
             const DimrWalkSpec  *spec,
             GError             **error)
{
  g_autofree CudaWalkRow *rows = g_new0 (CudaWalkRow, self->n_rows);
  g_autofree int *numbers = g_new (int, self->n_rows);

  for (guint i = 0; i < self->n_rows; i++)
    {
      const DimrWalkRow *from = &spec->rows[i];

      rows[i] = (CudaWalkRow){
        .alpha = from->alpha,
        .sigma = from->sigma,
        .start = from->start,
        .x0 = { from->x0[0], from->x0[1], from->x0[2] },
        .guidance = from->guidance,
        .outer = from->outer,
        .newest = (int) (i % DIMR_WALK_HISTORY),
      };
      numbers[i] = (int) i;
    }
  return cuda_staging_copy_in (self->device->staging, rows, self->rows, self->n_rows * sizeof *rows, error) &&
         cuda_staging_copy_in (self->device->staging, numbers, self->numbers, self->n_rows * sizeof *numbers, error);
}

static gboolean
upload_labels (CudaWalk            *self,
               const DimrWalkSpec  *spec,
               GError             **error)
{
  const gsize size = self->n_groups * 2 * self->micro_batch * sizeof *self->labels;

  if (spec->y == NULL)
    return TRUE;
  self->labels = g_memdup2 (spec->y, size);
  return cuda_staging_copy_in (self->device->staging, self->labels, self->y, size, error);
}

DimrDeviceWalk *
cuda_walk_new (CudaDevice          *device,
               const DimrWalkSpec  *spec,
               GError             **error)
{
  g_autoptr (CudaWalk) self = g_object_new (CUDA_TYPE_WALK, NULL);

  self->device = g_object_ref (device);
  self->n_groups = spec->n_groups;
  self->micro_batch = spec->micro_batch;
  self->image_len = spec->image_len;
  self->n_rows = spec->n_rows;
  self->group_len = spec->micro_batch * spec->image_len;
  if (!cuda_device_enter (device, error) || !alloc_all (self, error) || !create_events (self, error) ||
      !upload_start (self, spec, error) || !upload_rows (self, spec, error) || !upload_labels (self, spec, error))
    return NULL;
  return DIMR_DEVICE_WALK (g_steal_pointer (&self));
}

/* ---- walking ---- */

/* Labels are looked at once a program, on the host: kernels cannot refuse. */
static gboolean
check_labels (CudaWalk             *self,
              DimrProgram          *program,
              const DimrWalkPorts  *ports,
              GError              **error)
{
  const gsize per_group = 2 * self->micro_batch, used = ports->guided ? per_group : self->micro_batch;

  if (ports->y == DIMR_NODE_NONE || self->checked == program)
    return TRUE;
  g_return_val_if_fail (self->labels != NULL, FALSE);
  for (guint g = 0; g < self->n_groups; g++)
    if (!cuda_program_check (CUDA_PROGRAM (program), ports->y, self->labels + g * per_group, used, error))
      return FALSE;
  g_set_weak_pointer (&self->checked, program);
  return TRUE;
}

static gboolean
queue_inputs (CudaWalk             *self,
              CudaProgram          *program,
              const DimrWalkPorts  *ports,
              guint                 group,
              GError              **error)
{
  const cudaStream_t stream = self->device->stream;
  const gsize per_group = 2 * self->micro_batch, used = ports->guided ? per_group : self->micro_batch;

  if (ports->y != DIMR_NODE_NONE &&
      !cuda_device_check (self->device, cudaMemcpyAsync (cuda_program_renew (program, ports->y), self->y + group * per_group,
                                                         used * sizeof *self->y, cudaMemcpyDeviceToDevice, stream), error))
    return FALSE;
  return cuda_device_check (self->device,
                            cuda_walk_prepare (stream, self->point + group * self->group_len,
                                               cuda_program_renew (program, ports->x), (int) self->micro_batch,
                                               self->image_len, ports->guided ? 2 : 1), error);
}

static gboolean
queue_update (CudaWalk             *self,
              CudaProgram          *program,
              const DimrWalkPorts  *ports,
              guint                 group,
              GError              **error)
{
  const cudaStream_t stream = self->device->stream;
  const gsize at = group * self->group_len, n = (ports->guided ? 2 : 1) * self->group_len;
  double * const history[DIMR_WALK_HISTORY] = { self->history[0] + at, self->history[1] + at, self->history[2] + at };
  DimrDType storage;
  const float *eps = cuda_program_peek (program, ports->eps, &storage);

  if (storage == DIMR_DTYPE_BF16)
    {
      if (!cuda_device_check (self->device, cuda_convert (stream, CUDA_TYPE_BF16, eps, CUDA_TYPE_F32, self->eps, n), error))
        return FALSE;
      eps = self->eps;
    }
  return cuda_device_check (self->device,
                            cuda_walk_update (stream, self->rows, self->index, eps, ports->guided, self->x + at,
                                              self->point + at, history, (int) self->micro_batch, self->image_len), error);
}

/* Until no more than one evaluation is on its way, or none where they take long. */
static gboolean
wait_for_device (CudaWalk  *self,
                 GError   **error)
{
  const guint64 newest = self->n_evaluations - 1;
  const WalkClock *clock = &self->clocks[(self->slow ? newest : newest + 1) % 2];
  float milliseconds = 0;

  if (!self->slow && newest == 0)
    return TRUE;
  if (!cuda_device_check (self->device, cudaEventSynchronize (clock->end), error) ||
      !cuda_device_check (self->device, cudaEventElapsedTime (&milliseconds, clock->begin, clock->end), error))
    return FALSE;
  self->slow = milliseconds >= LONG_MILLISECONDS;
  return TRUE;
}

static gboolean
evaluate_group (CudaWalk             *self,
                CudaProgram          *program,
                const DimrWalkPorts  *ports,
                guint                 group,
                GError              **error)
{
  const WalkClock *clock = &self->clocks[self->n_evaluations % 2];
  const cudaStream_t stream = self->device->stream;

  if (!cuda_device_check (self->device, cudaEventRecord (clock->begin, stream), error) ||
      !queue_inputs (self, program, ports, group, error) || !cuda_program_enqueue (program, error) ||
      !queue_update (self, program, ports, group, error) ||
      !cuda_device_check (self->device, cudaEventRecord (clock->end, stream), error))
    return FALSE;
  self->n_evaluations++;
  return wait_for_device (self, error);
}

static gboolean
cuda_walk_step (DimrDeviceWalk       *walk,
                DimrProgram          *program,
                const DimrWalkPorts  *ports,
                guint                 row,
                GCancellable         *cancellable,
                GError              **error)
{
  CudaWalk *self = CUDA_WALK (walk);

  g_return_val_if_fail (CUDA_IS_PROGRAM (program) && row < self->n_rows, FALSE);
  g_return_val_if_fail (cuda_program_get_device (CUDA_PROGRAM (program)) == self->device, FALSE);
  if (!cuda_device_enter (self->device, error) || !check_labels (self, program, ports, error) ||
      !cuda_device_check (self->device, cudaMemcpyAsync (self->index, self->numbers + row, sizeof *self->index,
                                                         cudaMemcpyDeviceToDevice, self->device->stream), error))
    return FALSE;
  for (guint g = 0; g < self->n_groups; g++)
    {
      if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
          !evaluate_group (self, CUDA_PROGRAM (program), ports, g, error))
        return FALSE;
    }
  self->newest = row % DIMR_WALK_HISTORY;
  self->n_steps++;
  return TRUE;
}

/* ---- looking ---- */

static gboolean
cuda_walk_request (DimrDeviceWalk  *walk,
                   DimrWalkValue    value,
                   GError         **error)
{
  CudaWalk *self = CUDA_WALK (walk);
  CudaDevice *device = self->device;
  const gsize n = self->n_groups * self->group_len;
  const double *from = value == DIMR_WALK_X ? self->x : self->history[self->newest];

  g_return_val_if_fail (value == DIMR_WALK_X || self->n_steps > 0, FALSE);
  self->requested = FALSE;
  /* The copy before may still be reading what this one writes. */
  if (!cuda_device_enter (device, error) ||
      !cuda_device_check (device, cudaStreamWaitEvent (device->stream, self->copied, 0), error) ||
      !cuda_device_check (device, cuda_walk_round (device->stream, from, self->rounded, n), error) ||
      !cuda_device_check (device, cudaEventRecord (self->ready, device->stream), error) ||
      !cuda_device_check (device, cudaStreamWaitEvent (device->copy_stream, self->ready, 0), error) ||
      !cuda_device_check (device, cudaMemcpyAsync (self->host, self->rounded, n * sizeof (float), cudaMemcpyDeviceToHost,
                                                   device->copy_stream), error) ||
      !cuda_device_check (device, cudaEventRecord (self->copied, device->copy_stream), error))
    return FALSE;
  self->requested = TRUE;
  return TRUE;
}

static gboolean
cuda_walk_fetch (DimrDeviceWalk  *walk,
                 gboolean         wait,
                 float           *data,
                 GError         **error)
{
  CudaWalk *self = CUDA_WALK (walk);
  cudaError_t status;

  g_return_val_if_fail (self->requested, FALSE);
  if (!cuda_device_enter (self->device, error))
    return FALSE;
  status = wait ? cudaEventSynchronize (self->copied) : cudaEventQuery (self->copied);
  if (status == cudaErrorNotReady)
    {
      /* The answer is no error, but the runtime keeps it as its last one. */
      (void) cudaGetLastError ();
      return FALSE;
    }
  if (!cuda_device_check (self->device, status, error))
    return FALSE;
  memcpy (data, self->host, self->n_groups * self->group_len * sizeof *data);
  return TRUE;
}

static void
cuda_walk_class_init (CudaWalkClass *klass)
{
  DimrDeviceWalkClass *walk_class = DIMR_DEVICE_WALK_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cuda_walk_finalize;
  walk_class->step = cuda_walk_step;
  walk_class->request = cuda_walk_request;
  walk_class->fetch = cuda_walk_fetch;
}
