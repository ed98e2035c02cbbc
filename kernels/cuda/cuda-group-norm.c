/* cuda-group-norm.c — GROUP_STATS and GROUP_NORM
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

/* GROUP_STATS (x [B, H, W, D]) → [B, groups, 2] float in every precision */
typedef struct
{
  CudaType type;
  gconstpointer x;
  float *scratch;
  float *stats;
  int batch, height, width, d, groups;
  CudaRegion region;
} GroupStatsLaunch;

static gboolean
launch_group_stats (CudaDevice     *device,
                    gconstpointer   data,
                    cudaStream_t    stream,
                    GError        **error)
{
  const GroupStatsLaunch *self = data;

  return cuda_device_check (device, cuda_group_stats (stream, self->type, self->x, self->scratch, self->stats, self->batch,
                                                      self->height, self->width, self->d, self->groups, self->region), error);
}

static CudaRegion
region_of (const DimrGraph *graph,
           const DimrNode  *node)
{
  const gint64 *x = cuda_input (graph, node, 0)->shape.dims;
  const DimrRegion *region = &node->attrs.region;

  if (region->height == 0)
    return (CudaRegion){ 0, 0, (int) x[1], (int) x[2] };
  return (CudaRegion){ (int) region->top, (int) region->left, (int) region->height, (int) region->width };
}

static gsize
group_stats_bytes (const DimrGraph *graph,
                   const DimrNode  *node)
{
  const gint64 *x = cuda_input (graph, node, 0)->shape.dims;
  const CudaRegion region = region_of (graph, node);

  return cuda_align (cuda_group_stats_scratch ((int) x[0], region.height * region.width, (int) x[3]) * sizeof (float));
}

static gsize
group_stats_workspace (const CudaDevice *device,
                       const DimrGraph  *graph,
                       const DimrNode   *node,
                       DimrPrecision     precision)
{
  return group_stats_bytes (graph, node);
}

static void
group_stats_prepare (CudaBuilder    *builder,
                     const DimrNode *node,
                     DimrNodeId      id)
{
  const gint64 *x = cuda_input (builder->graph, node, 0)->shape.dims;
  GroupStatsLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (GroupStatsLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .scratch = cuda_builder_scratch (builder, group_stats_bytes (builder->graph, node)),
    .stats = cuda_builder_write (builder, id),
    .batch = (int) x[0],
    .height = (int) x[1],
    .width = (int) x[2],
    .d = (int) x[3],
    .groups = (int) node->attrs.n_groups,
    .region = region_of (builder->graph, node),
  };
  cuda_builder_add (builder, launch_group_stats, launch);
}

/* A norm as a factor and a summand of every channel, before what applies it. */
typedef struct
{
  const float *stats;
  gsize stats_stride;
  const float *weight;
  const float *bias;
  float *folded;
  int batch, d, groups;
  float eps;
} FoldLaunch;

static gboolean
launch_fold (CudaDevice     *device,
             gconstpointer   data,
             cudaStream_t    stream,
             GError        **error)
{
  const FoldLaunch *self = data;

  return cuda_device_check (device, cuda_group_norm_fold (stream, self->stats, self->stats_stride, self->weight, self->bias,
                                                          self->folded, self->batch, self->d, self->groups, self->eps), error);
}

gsize
cuda_folded_norm_bytes (const DimrGraph *graph,
                        const DimrNode  *node)
{
  const gint64 *x = cuda_input (graph, node, 0)->shape.dims;

  return cuda_align ((gsize) (2 * x[0] * x[3]) * sizeof (float));
}

const float *
cuda_builder_add_folded_norm (CudaBuilder    *self,
                              const DimrNode *node,
                              DimrNodeId      id,
                              guint           first)
{
  const gint64 *x = cuda_input (self->graph, node, 0)->shape.dims;
  const gint64 *stats = cuda_input (self->graph, node, first)->shape.dims;
  FoldLaunch *launch = cuda_builder_alloc (self, sizeof *launch);

  *launch = (FoldLaunch){
    .stats = cuda_builder_read (self, id, first),
    .stats_stride = stats[0] > 1 ? 2 * (gsize) stats[1] : 0,
    .weight = cuda_builder_floats (self, node->inputs[first + 1]),
    .bias = cuda_builder_floats (self, node->inputs[first + 2]),
    .folded = cuda_builder_scratch (self, cuda_folded_norm_bytes (self->graph, node)),
    .batch = (int) x[0],
    .d = (int) x[3],
    .groups = (int) stats[1],
    .eps = (float) node->attrs.eps,
  };
  cuda_builder_add (self, launch_fold, launch);
  return launch->folded;
}

/* GROUP_NORM (x [B, H, W, D], stats, weight, bias) */
#define STATS 1

typedef struct
{
  CudaType type;
  gconstpointer x;
  const float *folded;
  gboolean silu;
  gpointer out;
  int rows, rows_per_image, d;
} GroupNormLaunch;

static gboolean
launch_group_norm (CudaDevice     *device,
                   gconstpointer   data,
                   cudaStream_t    stream,
                   GError        **error)
{
  const GroupNormLaunch *self = data;

  return cuda_device_check (device, cuda_group_norm (stream, self->type, self->x, self->folded, self->silu, self->out,
                                                     self->rows, self->rows_per_image, self->d), error);
}

static const char *
group_norm_supports (const DimrGraph *graph,
                     const DimrNode  *node)
{
  if (!cuda_is_param (graph, node->inputs[STATS + 1]) || !cuda_is_param (graph, node->inputs[STATS + 2]))
    return _("weights and biases that are computed");
  return NULL;
}

static gsize
group_norm_workspace (const CudaDevice *device,
                      const DimrGraph  *graph,
                      const DimrNode   *node,
                      DimrPrecision     precision)
{
  return cuda_folded_norm_bytes (graph, node);
}

static void
group_norm_prepare (CudaBuilder    *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  GroupNormLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (GroupNormLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .folded = cuda_builder_add_folded_norm (builder, node, id, STATS),
    .silu = node->attrs.silu,
    .out = cuda_builder_write (builder, id),
    .rows = cuda_n_rows (node),
    .rows_per_image = cuda_rows_per_image (node),
    .d = cuda_n_channels (node),
  };
  cuda_builder_add (builder, launch_group_norm, launch);
}

const CudaOp cuda_op_group_stats = { NULL, group_stats_workspace, group_stats_prepare, CUDA_SLOT (CUDA_SLOT_RESULT) };
const CudaOp cuda_op_group_norm = { group_norm_supports, group_norm_workspace, group_norm_prepare, CUDA_SLOT (STATS) };
