/* op-reference-private.h — what the slow ops read their inputs with
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "op-reference.h"

#include <string.h>

typedef struct
{
  const DimrGraph *graph;
  const DimrNode *node;
  const double * const *in;
  gboolean bf16;
  double *y;
} Op;

/* The functions of op-reference-grad.c. */
extern void (* const op_reference_gradients[DIMR_N_OPS - DIMR_OP_FIRST_GRADIENT]) (const Op *op);

/* The functions of op-reference-norm-grad.c, which are rows of those. */
void op_reference_rms_norm_grad           (const Op *op);
void op_reference_rms_norm_scale_grad     (const Op *op);
void op_reference_layer_norm_grad         (const Op *op);
void op_reference_layer_norm_weight_grad  (const Op *op);
void op_reference_ada_rms_norm_grad       (const Op *op);
void op_reference_ada_rms_norm_scale_grad (const Op *op);
void op_reference_axial_rope_grad         (const Op *op);

/* The functions of op-reference-maps.c: what autoencoders add. */
void op_reference_image_to_map     (const Op *op);
void op_reference_upsample_nearest (const Op *op);
void op_reference_group_stats      (const Op *op);
void op_reference_group_norm       (const Op *op);
void op_reference_conv2d           (const Op *op);

static inline const DimrShape *
op_shape (const Op *op,
          guint     slot)
{
  return &dimr_graph_peek_node (op->graph, op->node->inputs[slot])->shape;
}

static inline const gint64 *
dims (const Op *op,
      guint     slot)
{
  return op_shape (op, slot)->dims;
}

static inline gint64
last_dim (const DimrShape *shape)
{
  return shape->dims[shape->n_dims - 1];
}

static inline gint64
channels (const Op *op,
          guint     slot)
{
  return last_dim (op_shape (op, slot));
}

static inline gint64
rows_of (const DimrShape *shape)
{
  return (gint64) dimr_shape_n_elements (shape) / last_dim (shape);
}

static inline gint64
n_rows (const Op *op)
{
  return rows_of (&op->node->shape);
}

/* An operand of a product. */
static inline double
operand (const Op *op,
         double    value)
{
  return op->bf16 ? (double) dimr_bf16_to_f32 (dimr_f32_to_bf16 ((float) value)) : value;
}

/* Element @c of row @r of the inputs [first, n) side by side. */
static inline double
side_by_side (const Op *op,
              guint     first,
              gint64    r,
              gint64    c)
{
  guint slot = first;

  while (c >= channels (op, slot))
    c -= channels (op, slot++);
  return op->in[slot][r * channels (op, slot) + c];
}

static inline gsize
n_elements (const Op *op)
{
  return dimr_shape_n_elements (&op->node->shape);
}

static inline void
zero (const Op *op)
{
  memset (op->y, 0, n_elements (op) * sizeof (double));
}

/* x[b, h, v, d] with zeros around it. */
static inline double
padded (const Op *op,
        gint64    b,
        gint64    h,
        gint64    v,
        gint64    d)
{
  const gint64 *x = dims (op, 0);

  if (h < 0 || v < 0 || h >= x[1] || v >= x[2])
    return 0;
  return op->in[0][((b * x[1] + h) * x[2] + v) * x[3] + d];
}
