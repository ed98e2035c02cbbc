/* cuda-table-grad.c — POSITION_GRAD, EMBEDDING_GRAD, TIME_PARAM_GRAD, SUM_ROWS, SUM_PRODUCTS: sums that make float
 * gradients of parameters, and of vectors
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

/* POSITION_GRAD (dy [B, H, W, D]) and EMBEDDING_GRAD (dy [B, D], index) */
typedef struct
{
  CudaType type;
  gconstpointer dy;
  const int *index;
  float *out;
  int table_width, length, batch, height, width, d;
} TableLaunch;

static gboolean
launch_table (CudaDevice     *device,
              gconstpointer   data,
              cudaStream_t    stream,
              GError        **error)
{
  const TableLaunch *self = data;
  const cudaError_t status =
    self->index != NULL ? cuda_embedding_grad (stream, self->type, self->dy, self->index, self->out, self->length, self->batch,
                                               self->d)
                        : cuda_position_grad (stream, self->type, self->dy, self->out, self->table_width, self->length, self->batch,
                                              self->height, self->width, self->d);

  return cuda_device_check (device, status, error);
}

static const char *
embedding_supports (const DimrGraph *graph,
                    const DimrNode  *node)
{
  const DimrNode *index = cuda_input (graph, node, 1);

  return index->op == DIMR_OP_INPUT && index->dtype == DIMR_DTYPE_I32 ? NULL : _("indices that are no input of 32-bit integers");
}

static void
table_prepare (CudaBuilder    *builder,
               const DimrNode *node,
               DimrNodeId      id)
{
  const DimrShape *dy = &cuda_input (builder->graph, node, 0)->shape;
  TableLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (TableLaunch){
    .type = builder->type,
    .dy = cuda_builder_read (builder, id, 0),
    .index = node->op == DIMR_OP_EMBEDDING_GRAD ? cuda_builder_read (builder, id, 1) : NULL,
    .out = cuda_builder_write (builder, id),
    .table_width = (int) node->attrs.width,
    .length = (int) node->shape.dims[0],
    .batch = (int) dy->dims[0],
    .d = cuda_n_channels (node),
  };
  if (node->op == DIMR_OP_POSITION_GRAD)
    {
      launch->height = (int) dy->dims[1];
      launch->width = (int) dy->dims[2];
    }
  cuda_builder_add (builder, launch_table, launch);
}

/* TIME_PARAM_GRAD (dy [T, D], log_snr [T], param0, param1, weight, bias): float in every precision */
typedef struct
{
  const float *dy, *log_snr;
  const float *params[4];
  float *out;
  int n_times, d;
} TimeParamLaunch;

static gboolean
launch_time_param (CudaDevice     *device,
                   gconstpointer   data,
                   cudaStream_t    stream,
                   GError        **error)
{
  const TimeParamLaunch *self = data;

  return cuda_device_check (device, cuda_time_param_grad (stream, self->dy, self->log_snr, self->n_times, self->params[0],
                                                          self->params[1], self->params[2], self->params[3], self->out, self->d),
                            error);
}

static void
time_param_prepare (CudaBuilder    *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  TimeParamLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  launch->dy = cuda_builder_read (builder, id, 0);
  launch->log_snr = cuda_builder_read (builder, id, 1);
  for (guint i = 0; i < 4; i++)
    launch->params[i] = cuda_builder_read (builder, id, 2 + i);
  launch->out = cuda_builder_write (builder, id);
  launch->n_times = (int) cuda_input (builder->graph, node, 0)->shape.dims[0];
  launch->d = cuda_n_channels (node);
  cuda_builder_add (builder, launch_time_param, launch);
}

/* SUM_ROWS (x […, D]), whichever way it is stored, and SUM_PRODUCTS (a, b) */
typedef struct
{
  CudaType type;
  gconstpointer x, y;
  float *scratch;
  float *out;
  int parts, rows, d;
} SumLaunch;

static gboolean
launch_sum (CudaDevice     *device,
            gconstpointer   data,
            cudaStream_t    stream,
            GError        **error)
{
  const SumLaunch *self = data;

  return cuda_device_check (device, cuda_sum_rows (stream, self->type, self->x, self->y, self->scratch, self->out, self->parts,
                                                   self->rows, self->d), error);
}

/* Rows of each part. */
static int
rows_of_part (const DimrGraph *graph,
              const DimrNode  *node)
{
  return cuda_n_rows (cuda_input (graph, node, 0)) / (int) node->attrs.length;
}

static gsize
sum_bytes (const DimrGraph *graph,
           const DimrNode  *node)
{
  return cuda_align (cuda_sum_rows_scratch ((int) node->attrs.length, rows_of_part (graph, node), cuda_n_channels (node)) *
                     sizeof (float));
}

static gsize
sum_workspace (const CudaDevice *device,
               const DimrGraph  *graph,
               const DimrNode   *node,
               DimrPrecision     precision)
{
  return sum_bytes (graph, node);
}

static void
sum_prepare (CudaBuilder    *builder,
             const DimrNode *node,
             DimrNodeId      id)
{
  SumLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (SumLaunch){
    .type = cuda_slot_type (builder->graph, id, 0, builder->precision),
    .x = cuda_builder_read (builder, id, 0),
    .y = node->op == DIMR_OP_SUM_PRODUCTS ? cuda_builder_read (builder, id, 1) : NULL,
    .scratch = cuda_builder_scratch (builder, sum_bytes (builder->graph, node)),
    .out = cuda_builder_write (builder, id),
    .parts = (int) node->attrs.length,
    .rows = rows_of_part (builder->graph, node),
    .d = cuda_n_channels (node),
  };
  cuda_builder_add (builder, launch_sum, launch);
}

#define FLOAT_RESULT CUDA_SLOT (CUDA_SLOT_RESULT)
const CudaOp cuda_op_position_grad = { .prepare = table_prepare, .wide = FLOAT_RESULT };
const CudaOp cuda_op_embedding_grad = { embedding_supports, NULL, table_prepare, FLOAT_RESULT };
const CudaOp cuda_op_time_param_grad = { .prepare = time_param_prepare, .wide = FLOAT_RESULT | (CUDA_SLOT (6) - 1) };
const CudaOp cuda_op_sum_rows = { NULL, sum_workspace, sum_prepare, FLOAT_RESULT, .either = CUDA_SLOT (0) };
const CudaOp cuda_op_sum_products = { NULL, sum_workspace, sum_prepare, FLOAT_RESULT };
