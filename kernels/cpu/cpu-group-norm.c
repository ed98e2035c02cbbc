/* cpu-group-norm.c — GROUP_STATS and GROUP_NORM
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include <math.h>

/* GROUP_STATS (x): a task sums one row of the region of one image channel by channel; then a task
 * puts one image together. Sums of a row are short enough for floats, those of rows are in double. */
typedef struct
{
  const CpuSimd *simd;
  const float *x;     /* [B, H, W, d] */
  float *sums;        /* [B, rows, 2, d] */
  float *y;           /* [B, groups, 2] */
  gsize height;       /* of the map */
  gsize width;
  gsize d;
  gsize groups;
  gsize top, left;    /* the region */
  gsize rows, columns;
} StatsStep;

static const float *
peek_pixel (const StatsStep *self,
            gsize            image,
            gsize            row)
{
  return self->x + ((image * self->height + self->top + row) * self->width + self->left) * self->d;
}

static void
run_row (gconstpointer  data,
         gsize          task,
         guint          thread,
         GError       **error)
{
  const StatsStep *self = data;
  const gsize image = task / self->rows, row = task % self->rows;
  float *sum = self->sums + task * 2 * self->d;

  self->simd->group_sums (peek_pixel (self, image, row), peek_pixel (self, image, 0), self->columns, self->d, self->d,
                          sum, sum + self->d);
}

/* Mean and variance of channel @c of @image. */
static void
gather_channel (const StatsStep *self,
                gsize            image,
                gsize            c,
                double          *mean,
                double          *variance)
{
  const double n = (double) (self->rows * self->columns);
  const float *sums = self->sums + image * self->rows * 2 * self->d + c;
  double sum = 0, squares = 0;

  for (gsize r = 0; r < self->rows; r++, sums += 2 * self->d)
    {
      sum += sums[0];
      squares += sums[self->d];
    }
  *mean = peek_pixel (self, image, 0)[c] + sum / n;
  *variance = MAX (squares / n - sum / n * (sum / n), 0);
}

static void
run_gather (gconstpointer  data,
            gsize          task,
            guint          thread,
            GError       **error)
{
  const StatsStep *self = data;
  const gsize width = self->d / self->groups;

  for (gsize g = 0; g < self->groups; g++)
    {
      double mean = 0, variance = 0, first = 0;

      /* Means as distances from that of the first channel, so that their squares keep their digits. */
      for (gsize c = 0; c < width; c++)
        {
          double m, v;

          gather_channel (self, task, g * width + c, &m, &v);
          if (c == 0)
            first = m;
          mean += (m - first) / (double) width;
          variance += (v + (m - first) * (m - first)) / (double) width;
        }
      self->y[(task * self->groups + g) * 2] = (float) (first + mean);
      self->y[(task * self->groups + g) * 2 + 1] = (float) MAX (variance - mean * mean, 0);
    }
}

static gsize
region_rows (const DimrGraph *graph,
             const DimrNode  *node)
{
  return node->attrs.region.height > 0 ? node->attrs.region.height : (gsize) cpu_input (graph, node, 0)->shape.dims[1];
}

static gsize
stats_workspace (const CpuTarget *target,
                 const DimrGraph *graph,
                 const DimrNode  *node)
{
  const gint64 *x = cpu_input (graph, node, 0)->shape.dims;

  return (gsize) x[0] * region_rows (graph, node) * 2 * (gsize) x[3] * sizeof (float);
}

static void
stats_prepare (CpuBuilder     *builder,
               const DimrNode *node,
               DimrNodeId      id)
{
  const gint64 *x = cpu_input (builder->graph, node, 0)->shape.dims;
  const DimrRegion *region = &node->attrs.region;
  StatsStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (StatsStep){
    .simd = builder->simd,
    .x = cpu_builder_peek (builder, node->inputs[0]),
    .sums = builder->workspace,
    .y = cpu_builder_peek (builder, id),
    .height = (gsize) x[1],
    .width = (gsize) x[2],
    .d = (gsize) x[3],
    .groups = node->attrs.n_groups,
    .top = region->top,
    .left = region->left,
    .rows = region_rows (builder->graph, node),
    .columns = region->height > 0 ? region->width : (gsize) x[2],
  };
  cpu_builder_add_step (builder, run_row, step, (gsize) x[0] * step->rows);
  cpu_builder_add_step (builder, run_gather, step, (gsize) x[0]);
}

/* Scale and shift of every channel, a task an image. */
typedef struct
{
  const float *stats;  /* [B or 1, groups, 2] */
  const float *weight; /* [d] */
  const float *bias;
  float *scale;        /* [B, d] */
  float *shift;
  gsize d;
  gsize groups;
  gsize stride;        /* floats from one image's statistics to the next one's; 0 where all share theirs */
  double eps;
} AffineStep;

static void
run_affine (gconstpointer  data,
            gsize          task,
            guint          thread,
            GError       **error)
{
  const AffineStep *self = data;
  float *scale = self->scale + task * self->d, *shift = self->shift + task * self->d;

  for (gsize c = 0; c < self->d; c++)
    {
      const float *stats = self->stats + task * self->stride + c / (self->d / self->groups) * 2;
      const double factor = self->weight[c] / sqrt (stats[1] + self->eps);

      scale[c] = (float) factor;
      shift[c] = (float) (self->bias[c] - stats[0] * factor);
    }
}

void
cpu_builder_add_group_affine (CpuBuilder     *self,
                              const DimrNode *node,
                              guint           first,
                              float          *scale,
                              float          *shift)
{
  const gint64 *stats = cpu_input (self->graph, node, first)->shape.dims;
  AffineStep *step = cpu_builder_alloc (self, sizeof *step);

  *step = (AffineStep){
    .stats = cpu_builder_peek (self, node->inputs[first]),
    .weight = cpu_builder_peek (self, node->inputs[first + 1]),
    .bias = cpu_builder_peek (self, node->inputs[first + 2]),
    .scale = scale,
    .shift = shift,
    .d = (gsize) cpu_input (self->graph, node, first + 1)->shape.dims[0],
    .groups = (gsize) stats[1],
    .stride = stats[0] > 1 ? 2 * (gsize) stats[1] : 0,
    .eps = node->attrs.eps,
  };
  cpu_builder_add_step (self, run_affine, step, (gsize) node->shape.dims[0]);
}

/* GROUP_NORM (x, stats, weight, bias): a task is a row of an image. */
typedef struct
{
  const CpuSimd *simd;
  const float *x;
  const float *scale;
  const float *shift;
  float *y;
  gsize height;
  gsize width;
  gsize d;
  gboolean silu;
} NormStep;

static void
run_norm (gconstpointer  data,
          gsize          task,
          guint          thread,
          GError       **error)
{
  const NormStep *self = data;
  const gsize at = task * self->width * self->d, image = task / self->height * self->d;

  self->simd->group_norm (self->x + at, self->scale + image, self->shift + image, self->silu, self->width, self->d,
                          self->y + at);
}

static gsize
norm_workspace (const CpuTarget *target,
                const DimrGraph *graph,
                const DimrNode  *node)
{
  return (gsize) node->shape.dims[0] * cpu_n_channels (node) * 2 * sizeof (float);
}

static void
norm_prepare (CpuBuilder     *builder,
              const DimrNode *node,
              DimrNodeId      id)
{
  const gint64 *dims = node->shape.dims;
  float *scale = builder->workspace, *shift = scale + dims[0] * dims[3];
  NormStep *step = cpu_builder_alloc (builder, sizeof *step);

  cpu_builder_add_group_affine (builder, node, 1, scale, shift);
  *step = (NormStep){ builder->simd, cpu_builder_peek (builder, node->inputs[0]), scale, shift, cpu_builder_peek (builder, id),
                      (gsize) dims[1], (gsize) dims[2], (gsize) dims[3], node->attrs.silu };
  cpu_builder_add_step (builder, run_norm, step, (gsize) (dims[0] * dims[1]));
}

const CpuOp cpu_op_group_stats = { NULL, stats_workspace, stats_prepare };
const CpuOp cpu_op_group_norm = { NULL, norm_workspace, norm_prepare };
