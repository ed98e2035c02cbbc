/* cuda-series.c — the time-dependent vectors of all steps of a run, computed before it begins
 *
 * A TIME_PARAM is a function of the time and of parameters. Where only norms read it, it is no step of
 * the evaluation: its values for all announced times lie in a table, and the norms read the row that a
 * number in device memory says, so the captured evaluation is the same for every step.
 *
 * The table of entry e is [capacity][T, D] at starts[e] · capacity. Its last row is for a time that was
 * written and not announced. A series whose table would be larger than MAX_TABLE uses that row for every
 * step, computed when the step is selected.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-i18n.h"

#define MAX_TABLE ((guint64) 512 << 20)
/* Floats of which every entry's part of a row is a multiple: norms read 16 bytes at once, wherever the table of
 * their entry begins. */
#define ENTRY_MULTIPLE 4

typedef struct
{
  DimrNodeId node;
  const float *params[4];
  gsize start;   /* floats of one value before this entry's */
  int d;
} SeriesEntry;

struct _CudaSeries
{
  CudaDevice *device;
  DimrNodeId input;
  gsize n_times;     /* T */
  gsize row;         /* floats of all entries for one value */
  GArray *entries;   /* SeriesEntry */
  guint capacity;
  float *table;      /* device */
  int *index;        /* device: the row of the next evaluation */
  int *numbers;      /* device [capacity]: 0, 1, 2, … */
  guint current;     /* what *index will be */
  gboolean whole;    /* the table holds every value */
  float *values;     /* device [n_values][T] */
  guint n_values;
};

/* TRUE where every reader of @id is a norm that takes it as its vector. */
static gboolean
only_norms_read (DimrGraph  *graph,
                 DimrNodeId  id)
{
  for (DimrNodeId k = id + 1; k < dimr_graph_get_n_nodes (graph); k++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, k);
      const guint vectors = node->op == DIMR_OP_RMS_NORM     ? CUDA_SLOT (1)
                            : node->op == DIMR_OP_LAYER_NORM ? CUDA_SLOT (0) | CUDA_SLOT (1)
                                                             : 0;

      for (guint i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] == id && (i > 1 || !(vectors & CUDA_SLOT (i))))
          return FALSE;
    }
  return TRUE;
}

static void
find_entries (CudaSeries *self,
              DimrPlan   *plan)
{
  DimrGraph *graph = dimr_plan_peek_graph (plan);
  guint n_steps;
  const DimrNodeId *steps = dimr_plan_peek_steps (plan, &n_steps);

  for (guint s = 0; s < n_steps; s++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, steps[s]);
      SeriesEntry entry = { .node = steps[s] };

      if (node->op != DIMR_OP_TIME_PARAM || cuda_input (graph, node, 0)->op != DIMR_OP_INPUT ||
          (self->input != DIMR_NODE_NONE && node->inputs[0] != self->input) || !only_norms_read (graph, steps[s]))
        continue;
      self->input = node->inputs[0];
      self->n_times = (gsize) node->shape.dims[0];
      entry.start = self->row;
      entry.d = cuda_n_channels (node);
      self->row += (self->n_times * (gsize) entry.d + ENTRY_MULTIPLE - 1) / ENTRY_MULTIPLE * ENTRY_MULTIPLE;
      g_array_append_val (self->entries, entry);
    }
}

static void
release (CudaSeries *self)
{
  (void) cudaFree (self->table);
  (void) cudaFree (self->numbers);
  self->table = NULL;
  self->numbers = NULL;
  self->capacity = 0;
}

/* Room for @capacity rows; the table moves. */
static gboolean
reserve (CudaSeries  *self,
         guint        capacity,
         GError     **error)
{
  CudaDevice *device = self->device;
  g_autofree int *numbers = g_new (int, capacity);

  for (guint i = 0; i < capacity; i++)
    numbers[i] = (int) i;
  release (self);
  self->table = cuda_device_alloc (device, capacity * self->row * sizeof (float), _("The list of all steps"), error);
  if (self->table == NULL)
    return FALSE;
  self->numbers = cuda_device_alloc (device, capacity * sizeof (int), _("The list of all steps"), error);
  if (self->numbers == NULL ||
      !cuda_staging_copy_in (device->staging, numbers, self->numbers, capacity * sizeof (int), error))
    {
      release (self);
      return FALSE;
    }
  self->capacity = capacity;
  return TRUE;
}

CudaSeries *
cuda_series_new (CudaDevice  *device,
                 DimrPlan    *plan,
                 GError     **error)
{
  CudaSeries *self = g_new0 (CudaSeries, 1);

  self->device = device;
  self->input = DIMR_NODE_NONE;
  self->entries = g_array_new (FALSE, FALSE, sizeof (SeriesEntry));
  find_entries (self, plan);
  self->index = cuda_device_alloc (device, sizeof *self->index, _("The number of the step"), error);
  if (self->index == NULL || !reserve (self, 1, error) ||
      !cuda_device_check (device, cudaMemsetAsync (self->index, 0, sizeof *self->index, device->stream), error))
    {
      cuda_series_free (self);
      return NULL;
    }
  return self;
}

void
cuda_series_free (CudaSeries *self)
{
  release (self);
  (void) cudaFree (self->index);
  (void) cudaFree (self->values);
  g_array_unref (self->entries);
  g_free (self);
}

DimrNodeId
cuda_series_get_input (const CudaSeries *self)
{
  return self->input;
}

gboolean
cuda_series_find (const CudaSeries *self,
                  DimrNodeId        id,
                  guint            *entry)
{
  for (guint i = 0; i < self->entries->len; i++)
    if (g_array_index (self->entries, SeriesEntry, i).node == id)
      {
        *entry = i;
        return TRUE;
      }
  return FALSE;
}

void
cuda_series_set_params (CudaSeries         *self,
                        guint               entry,
                        const float * const params[4])
{
  for (guint i = 0; i < 4; i++)
    g_array_index (self->entries, SeriesEntry, entry).params[i] = params[i];
}

static float *
entry_table (const CudaSeries  *self,
             const SeriesEntry *entry)
{
  return self->table + entry->start * self->capacity;
}

CudaTimed
cuda_timed (const CudaTimedRef *ref)
{
  const CudaSeries *series = ref->series;
  const SeriesEntry *entry;

  if (series == NULL)
    return ref->fixed;
  entry = &g_array_index (series->entries, SeriesEntry, ref->entry);
  return (CudaTimed){
    .values = entry_table (series, entry),
    .index = series->index,
    .step_stride = series->n_times * (gsize) entry->d,
    .image_stride = series->n_times > 1 ? (gsize) entry->d : 0,
  };
}

/* Rows [first, first + n) of every entry, for @n values. */
static gboolean
fill (CudaSeries   *self,
      const float  *values,
      guint         first,
      guint         n,
      GError      **error)
{
  for (guint i = 0; i < self->entries->len; i++)
    {
      const SeriesEntry *entry = &g_array_index (self->entries, SeriesEntry, i);
      float *out = entry_table (self, entry) + first * self->n_times * (gsize) entry->d;

      if (!cuda_device_check (self->device,
                              cuda_time_param (self->device->stream, values, (int) (n * self->n_times), entry->params[0],
                                               entry->params[1], entry->params[2], entry->params[3], out, entry->d), error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
set_index (CudaSeries  *self,
           guint        row,
           GError     **error)
{
  self->current = row;
  return cuda_device_check (self->device, cudaMemcpyAsync (self->index, self->numbers + row, sizeof *self->index,
                                                           cudaMemcpyDeviceToDevice, self->device->stream), error);
}

gboolean
cuda_series_set (CudaSeries   *self,
                 const float  *values,
                 guint         n_values,
                 gsize         n_times,
                 gboolean     *moved,
                 GError      **error)
{
  const gsize size = n_values * n_times * sizeof *values;
  guint64 bytes;

  *moved = FALSE;
  self->n_times = n_times;
  if (n_values > self->n_values)
    {
      (void) cudaFree (self->values);
      self->n_values = 0;
      self->values = cuda_device_alloc (self->device, size, _("The list of all times"), error);
      if (self->values == NULL)
        return FALSE;
    }
  self->n_values = n_values;
  if (!cuda_staging_copy_in (self->device->staging, values, self->values, size, error))
    return FALSE;

  self->whole = dimr_checked_mul (((guint64) n_values + 1) * sizeof (float), self->row, &bytes) && bytes <= MAX_TABLE;
  if (!self->whole)
    return TRUE;
  if (n_values + 1 > self->capacity)
    {
      *moved = TRUE;
      if (!reserve (self, n_values + 1, error))
        {
          /* One row is always there: the program still works without a series. */
          self->n_values = 0;
          (void) reserve (self, 1, NULL);
          return FALSE;
        }
    }
  return fill (self, self->values, 0, n_values, error);
}

gboolean
cuda_series_select (CudaSeries  *self,
                    guint        index,
                    float       *input,
                    GError     **error)
{
  const float *value = self->values + index * self->n_times;

  g_return_val_if_fail (index < self->n_values, FALSE);
  if (!cuda_device_check (self->device, cudaMemcpyAsync (input, value, self->n_times * sizeof *value,
                                                         cudaMemcpyDeviceToDevice, self->device->stream), error))
    return FALSE;
  return self->whole ? set_index (self, index, error) : cuda_series_compute (self, input, error);
}

gboolean
cuda_series_compute (CudaSeries   *self,
                     const float  *input,
                     GError      **error)
{
  /* Only after memory ran out in the middle of a longer series. */
  if (self->capacity == 0 && !reserve (self, 1, error))
    return FALSE;
  return fill (self, input, self->capacity - 1, 1, error) && set_index (self, self->capacity - 1, error);
}

gboolean
cuda_series_renew (CudaSeries   *self,
                   const float  *input,
                   GError      **error)
{
  if (self->whole && !fill (self, self->values, 0, self->n_values, error))
    return FALSE;
  return (self->whole && self->current < self->n_values) || cuda_series_compute (self, input, error);
}

const float *
cuda_series_peek (const CudaSeries *self,
                  guint             entry)
{
  const SeriesEntry *found = &g_array_index (self->entries, SeriesEntry, entry);

  return entry_table (self, found) + self->current * self->n_times * (gsize) found->d;
}
