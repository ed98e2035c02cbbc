/* cuda-norm.c — RMS_NORM, LAYER_NORM and TIME_PARAM
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

/* RMS_NORM (x, scale) */
typedef struct
{
  CudaType type;
  gconstpointer x;
  CudaTimedRef scale;
  gpointer out;
  int rows, rows_per_image, d;
  float eps;
} RmsNormLaunch;

static gboolean
launch_rms_norm (CudaDevice     *device,
                 gconstpointer   data,
                 cudaStream_t    stream,
                 GError        **error)
{
  const RmsNormLaunch *self = data;

  return cuda_device_check (device, cuda_rms_norm (stream, self->type, self->x, cuda_timed (&self->scale), self->out,
                                                   self->rows, self->rows_per_image, self->d, self->eps), error);
}

static void
rms_norm_prepare (CudaBuilder    *builder,
                  const DimrNode *node,
                  DimrNodeId      id)
{
  RmsNormLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (RmsNormLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .scale = cuda_builder_timed (builder, id, 1),
    .out = cuda_builder_write (builder, id),
    .rows = cuda_n_rows (node),
    .rows_per_image = cuda_rows_per_image (node),
    .d = cuda_n_channels (node),
    .eps = (float) node->attrs.eps,
  };
  cuda_builder_add (builder, launch_rms_norm, launch);
}

/* LAYER_NORM (weight, bias, x0, x1, …) */
typedef struct
{
  CudaType type;
  CudaSources sources;
  CudaTimedRef weight, bias;
  gpointer out;
  int rows, rows_per_image, d;
  float eps;
} LayerNormLaunch;

static gboolean
launch_layer_norm (CudaDevice     *device,
                   gconstpointer   data,
                   cudaStream_t    stream,
                   GError        **error)
{
  const LayerNormLaunch *self = data;

  return cuda_device_check (device, cuda_layer_norm (stream, self->type, &self->sources, cuda_timed (&self->weight),
                                                     cuda_timed (&self->bias), self->out, self->rows, self->rows_per_image,
                                                     self->d, self->eps), error);
}

static const char *
layer_norm_supports (const DimrGraph *graph,
                     const DimrNode  *node)
{
  return node->n_inputs - 2 <= CUDA_MAX_SOURCES ? NULL : _("more than 64 inputs");
}

static void
layer_norm_prepare (CudaBuilder    *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  LayerNormLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (LayerNormLaunch){
    .type = builder->type,
    .sources = cuda_builder_sources (builder, id, 2),
    .weight = cuda_builder_timed (builder, id, 0),
    .bias = cuda_builder_timed (builder, id, 1),
    .out = cuda_builder_write (builder, id),
    .rows = cuda_n_rows (node),
    .rows_per_image = cuda_rows_per_image (node),
    .d = cuda_n_channels (node),
    .eps = (float) node->attrs.eps,
  };
  cuda_builder_add (builder, launch_layer_norm, launch);
}

/* TIME_PARAM (log_snr [T], param0, param1, weight, bias): a step only where something else than the norms
 * reads it; otherwise an entry of the series. */
typedef struct
{
  const float *log_snr;
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

  return cuda_device_check (device, cuda_time_param (stream, self->log_snr, self->n_times, self->params[0], self->params[1],
                                                     self->params[2], self->params[3], self->out, self->d), error);
}

static const char *
time_param_supports (const DimrGraph *graph,
                     const DimrNode  *node)
{
  for (guint i = 1; i < 5; i++)
    if (!cuda_is_param (graph, node->inputs[i]))
      return _("parameters that are computed");
  return NULL;
}

static void
time_param_prepare (CudaBuilder    *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  TimeParamLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);
  guint entry;

  for (guint i = 0; i < 4; i++)
    launch->params[i] = cuda_builder_floats (builder, node->inputs[1 + i]);
  if (cuda_series_find (builder->series, id, &entry))
    {
      cuda_series_set_params (builder->series, entry, launch->params);
      return;
    }
  launch->log_snr = cuda_builder_read (builder, id, 0);
  launch->out = cuda_builder_write (builder, id);
  launch->n_times = (int) node->shape.dims[0];
  launch->d = cuda_n_channels (node);
  cuda_builder_add (builder, launch_time_param, launch);
}

const CudaOp cuda_op_rms_norm = { .prepare = rms_norm_prepare, .wide = CUDA_SLOT (1) };
const CudaOp cuda_op_layer_norm = { layer_norm_supports, NULL, layer_norm_prepare, CUDA_SLOT (0) | CUDA_SLOT (1) };
const CudaOp cuda_op_time_param = { time_param_supports, NULL, time_param_prepare, CUDA_SLOT (0) | CUDA_SLOT (CUDA_SLOT_RESULT) };
