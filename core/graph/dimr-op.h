/* dimr-op.h — the vocabulary of a network: one table row per operation
 *
 * All tensors are row-major. Features are channels last, [B, N, D] or [B, H, W, D]; pictures and
 * latents are [B, C, H, W] as in the checkpoints. `y = x Wᵀ + b` with W [N, K] as PyTorch stores
 * it is stated once, here. "…" stands for any leading dimensions; T is 1 or B.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-tensor.h"

G_BEGIN_DECLS

/**
 * DimrOp: inputs are listed in slot order; [x] marks a slot that may be DIMR_NODE_NONE.
 * @DIMR_OP_INPUT: a value written before each run; named
 * @DIMR_OP_PARAM: a tensor of the weights; named
 * @DIMR_OP_RESHAPE: (x): the same elements under another shape; where it is @constant, no gradient goes through
 * @DIMR_OP_SLICE_TOKENS: (x [B, N, D]): tokens [start, start + length) → [B, length, D]
 * @DIMR_OP_CONCAT: (x0 […, D0], x1 […, D1], …) → […, ΣDi]
 * @DIMR_OP_ADD: (a, b), equal shapes
 * @DIMR_OP_AVERAGE_POOL: (x [B, C, H, W]): means of factor × factor → [B, C, H/factor, W/factor]
 * @DIMR_OP_PATCHIFY: (x [B, C, H, W], weight [D, C, k, k], [bias [D]]), stride k → [B, H/k, W/k, D]
 * @DIMR_OP_ADD_POSITION: (x [B, H, W, D], table [≥ H·width, D]): adds row h·width + w
 * @DIMR_OP_EMBEDDING: (table [K, D], index [B] of I32) → [B, D]; an index outside is an error of the run
 * @DIMR_OP_PREPEND_TOKEN: (x [B, N, D], token [B, D]) → [B, N + 1, D], the token first
 * @DIMR_OP_TIME_PARAM: (log_snr [T], param0 [D], param1 [D], weight [D], bias [D]) → [T, D]:
 *   p1 + s (p0 − p1), s = sigmoid(log_snr/4 · (1 + weight) + bias), elementwise
 * @DIMR_OP_RMS_NORM: (x […, D], scale [T, D]): scale · x / (‖x‖/√D + eps)
 * @DIMR_OP_LAYER_NORM: ([weight [T, ΣDi]], [bias [T, ΣDi]], x0 […, D0], x1, …) → […, ΣDi]: over the
 *   channels of all xi together, biased variance, eps inside the root; weight and bias are there both or neither
 * @DIMR_OP_LINEAR: (weight [N, K], [bias [N]], [residual […, N]], x0 […, K0], x1 […, K1], …), ΣKi = K:
 *   concat(x0, x1, …) Wᵀ + bias + residual → […, N]; the concatenation is never made
 * @DIMR_OP_ATTENTION: (qkv [B, N, 3·D]): channels q heads, k heads, v heads; softmax(q kᵀ HD^-½) v → [B, N, D]
 * @DIMR_OP_GEGLU: (a […, D], b […, D]): gelu(a) · b with the exact (erf) GELU
 * @DIMR_OP_LINEAR_GEGLU: (weight0 [N, K], bias0 [N], weight1 [N, K], bias1 [N], x […, K]):
 *   gelu(x W0ᵀ + b0) · (x W1ᵀ + b1) → […, N]; made by fusion only
 * @DIMR_OP_DEPTHWISE_CONV: (x [B, H, W, D], weight [D, 1, k, k], [bias [D]], [residual [B, H, W, D]]), zero padding k/2
 * @DIMR_OP_PIXEL_SHUFFLE: (x [B, H, W, f·f·D]) → [B, f·H, f·W, D]; channels ordered (dy, dx, d)
 * @DIMR_OP_CONV_TO_IMAGE: (x [B, H, W, D], weight [C, D, k, k], [bias [C]]), zero padding k/2 → [B, C, H, W]
 * @DIMR_OP_TO_IMAGE: (x [B, H, W, C]) → [B, C, H, W]
 * @DIMR_OP_SLICE_CHANNELS: (x […, D]): channels [start, start + length) → […, length]
 * @DIMR_OP_REPEAT: (x [1, …]) → [factor, …]: the same for every sample
 * @DIMR_OP_TIMESTEP_EMBEDDING: (t [T]) → [T, length], length even: cos(t·w) of all frequencies, then sin(t·w);
 *   w_i = 10000^(−2i/length) rounded to float, as the released networks have it
 * @DIMR_OP_SILU: (x): x / (1 + e^(−x))
 * @DIMR_OP_GELU: (x): the exact (erf) GELU
 * @DIMR_OP_GELU_TANH: (x): x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))
 * @DIMR_OP_MODULATE: (x [B, …, D], shift [T, D], [scale [T, D]]): x · (1 + scale) + shift
 * @DIMR_OP_GATED_ADD: ([x [B, …, D]], gate [T, D], y of the shape of x): x + gate · y
 * @DIMR_OP_ADA_RMS_NORM: (x [B, …, D], scale [B, M, D]): (1 + scale) · x / √(mean of x² + eps); row r of an
 *   image takes row r mod M of its scale
 * @DIMR_OP_AXIAL_ROPE: (qkv [B, N, 3·D], freqs_h [NH, F], freqs_w [NH, F], scale [NH]): q and k of every head are
 *   divided by their root mean square (eps inside), multiplied by e^(min(scale, ln 100)/2) / HD^¼, and their pairs of
 *   channels (2i, 2i + 1) turned by y·e^freqs_h and then x·e^freqs_w, where y and x are the middles of the cells
 *   of a map with @width columns whose longer side goes from −1 to 1; the first @start tokens are not turned
 * @DIMR_OP_IMAGE_TO_MAP: (x [B, C, H, W]) → [B, H, W, C]
 * @DIMR_OP_UPSAMPLE_NEAREST: (x [B, H, W, D]) → [B, f·H, f·W, D]: every pixel f × f times
 * @DIMR_OP_GROUP_STATS: (x [B, H, W, D]) → [B, groups, 2]: mean and biased variance of each group of
 *   D/groups channels over the region of the map
 * @DIMR_OP_GROUP_NORM: (x [B, H, W, D], stats [B or 1, groups, 2], weight [D], bias [D]):
 *   weight · (x − mean) / √(variance + eps) + bias, then SiLU where asked for
 * @DIMR_OP_CONV2D: (x [B, H, W, D], weight [N, D, k, k], [bias [N]], [residual]
 *   [, stats [B or 1, groups, 2], norm weight [D], norm bias [D]]) → [B, H', W', N]:
 *   x goes through the group norm where there is one, is upsampled by the factor where there is one, and gets
 *   pad_before zeros above and on the left, pad_after below and on the right; the norm and the factor come by fusion
 *
 * What gradients are made of (dimr-gradient.h). dy stands for the gradient of a result; rows are all leading dimensions together.
 * @DIMR_OP_LINEAR_INPUT_GRAD: (weight [N, K], [residual […, length]], dy […, N]):
 *   dy W[:, start … start + length) + residual → […, length]
 * @DIMR_OP_LINEAR_WEIGHT_GRAD: (dy […, N], x0 […, K0], x1 […, K1], …): dyᵀ concat(x0, x1, …) → [N, ΣKi]
 * @DIMR_OP_SUM_ROWS: (x […, D]): sums of the rows of each of @length equal parts → [length, D]
 * @DIMR_OP_PAD_TOKENS: (x [B, N, D]): zeros around → [B, length, D], x at token @start
 * @DIMR_OP_TRANSPOSE: (x [B, N, D]) → [B, D, N]
 * @DIMR_OP_SPREAD: (x [B, C, H, W]): each number divided by factor² to factor × factor places
 *   → [B, C, factor·H, factor·W]
 * @DIMR_OP_PATCHES: (x [B, C, H, W]): squares of factor × factor as rows, channels ordered (c, dy, dx)
 *   → [B, H/factor, W/factor, C·factor²]
 * @DIMR_OP_UNPATCH: the inverse of PATCHES
 * @DIMR_OP_WINDOWS: (x [B, C, H, W]) → [B, H, W, C·k²], k = factor: channel (c, i, j) at (h, w) is
 *   x[c, h + k/2 − i, w + k/2 − j], zero outside: where tap (i, j) of a convolution took (h, w)
 * @DIMR_OP_POSITION_GRAD: (dy [B, H, W, D]): sums over the batch, at row h·width + w → [length, D], zeros elsewhere
 * @DIMR_OP_EMBEDDING_GRAD: (dy [B, D], index [B] of I32): sums of the rows with the same index → [length, D]
 * @DIMR_OP_TIME_PARAM_GRAD: (dy [T, D], log_snr, param0, param1, weight, bias): sums over T of the
 *   gradients of param0, param1, weight, bias → [4, D]
 * @DIMR_OP_RMS_NORM_GRAD: (x, scale, dy, [residual]): gradient of x, + residual
 * @DIMR_OP_RMS_NORM_SCALE_GRAD: (x […, D], dy): gradient of the scale → [length, D], length = T
 * @DIMR_OP_LAYER_NORM_GRAD: ([weight [T, ΣDi]], dy […, ΣDi], x0, x1, …): gradients of all xi side by side → […, ΣDi]
 * @DIMR_OP_LAYER_NORM_WEIGHT_GRAD: (dy […, ΣDi], x0, x1, …): gradient of the weight → [length, ΣDi], length = T
 * @DIMR_OP_ATTENTION_GRAD: (qkv [B, N, 3·D], y [B, N, D], dy [B, N, D]): gradient of qkv; y is ATTENTION's result
 * @DIMR_OP_GEGLU_GRAD: (a, b, dy): gradient of a, gelu'(a) · b · dy. (That of b is GEGLU (a, dy).)
 * @DIMR_OP_DEPTHWISE_INPUT_GRAD: (dy [B, H, W, D], weight [D, 1, k, k], [residual]): gradient of x, + residual
 * @DIMR_OP_DEPTHWISE_WEIGHT_GRAD: (x [B, H, W, D], dy): gradient of the weight → [D, 1, k, k], k = factor
 * @DIMR_OP_PIXEL_UNSHUFFLE: (x [B, f·H, f·W, D]) → [B, H, W, f·f·D]: the inverse of PIXEL_SHUFFLE
 * @DIMR_OP_CONV_TO_IMAGE_INPUT_GRAD: (weight [C, D, k, k], dy [B, C, H, W]): gradient of x → [B, H, W, D]
 * @DIMR_OP_SILU_GRAD, @DIMR_OP_GELU_GRAD, @DIMR_OP_GELU_TANH_GRAD: (x, dy): f'(x) · dy
 * @DIMR_OP_SUM_PRODUCTS: (a […, D], b […, D]): sums of a · b over the rows of each of @length equal parts → [length, D]
 * @DIMR_OP_PAD_CHANNELS: (x […, D]): zeros around → […, length], x at channel @start
 * @DIMR_OP_ADA_RMS_NORM_GRAD: (x, scale, dy): gradient of x
 * @DIMR_OP_ADA_RMS_NORM_SCALE_GRAD: (x [B, …, D], dy): gradient of the scale → [B, length, D], length = M
 * @DIMR_OP_AXIAL_ROPE_GRAD: (qkv, freqs_h, freqs_w, scale, dy): gradient of qkv
 * @DIMR_OP_AXIAL_ROPE_PARAM_GRAD: the same inputs: gradients of freqs_h, freqs_w and scale side by side → [NH, 2·F + 1]
 * @DIMR_OP_MEAN_SQUARE: (a [B, …], b [B, …]): means of (a − b)² over each sample → [B]
 * @DIMR_OP_MEAN_SQUARE_GRAD: (a, b, dy [B]): gradient of a, 2/n · dy · (a − b), n the numbers of a sample
 * @DIMR_OP_CROSS_ENTROPY: (x [B, K], target [B, K]): −Σ target · log softmax (x) of each sample → [B]; no gradient goes
 *   to the target
 * @DIMR_OP_CROSS_ENTROPY_GRAD: (x, target, dy [B]): gradient of x, dy · (Σ target · softmax (x) − target)
 */
typedef enum
{
  DIMR_OP_INPUT,
  DIMR_OP_PARAM,
  DIMR_OP_RESHAPE,
  DIMR_OP_SLICE_TOKENS,
  DIMR_OP_CONCAT,
  DIMR_OP_ADD,
  DIMR_OP_AVERAGE_POOL,
  DIMR_OP_PATCHIFY,
  DIMR_OP_ADD_POSITION,
  DIMR_OP_EMBEDDING,
  DIMR_OP_PREPEND_TOKEN,
  DIMR_OP_TIME_PARAM,
  DIMR_OP_RMS_NORM,
  DIMR_OP_LAYER_NORM,
  DIMR_OP_LINEAR,
  DIMR_OP_ATTENTION,
  DIMR_OP_GEGLU,
  DIMR_OP_LINEAR_GEGLU,
  DIMR_OP_DEPTHWISE_CONV,
  DIMR_OP_PIXEL_SHUFFLE,
  DIMR_OP_CONV_TO_IMAGE,
  DIMR_OP_TO_IMAGE,
  DIMR_OP_SLICE_CHANNELS,
  DIMR_OP_REPEAT,
  DIMR_OP_TIMESTEP_EMBEDDING,
  DIMR_OP_SILU,
  DIMR_OP_GELU,
  DIMR_OP_GELU_TANH,
  DIMR_OP_MODULATE,
  DIMR_OP_GATED_ADD,
  DIMR_OP_ADA_RMS_NORM,
  DIMR_OP_AXIAL_ROPE,
  DIMR_OP_IMAGE_TO_MAP,
  DIMR_OP_UPSAMPLE_NEAREST,
  DIMR_OP_GROUP_STATS,
  DIMR_OP_GROUP_NORM,
  DIMR_OP_CONV2D,

  DIMR_OP_LINEAR_INPUT_GRAD,
  DIMR_OP_LINEAR_WEIGHT_GRAD,
  DIMR_OP_SUM_ROWS,
  DIMR_OP_PAD_TOKENS,
  DIMR_OP_TRANSPOSE,
  DIMR_OP_SPREAD,
  DIMR_OP_PATCHES,
  DIMR_OP_UNPATCH,
  DIMR_OP_WINDOWS,
  DIMR_OP_POSITION_GRAD,
  DIMR_OP_EMBEDDING_GRAD,
  DIMR_OP_TIME_PARAM_GRAD,
  DIMR_OP_RMS_NORM_GRAD,
  DIMR_OP_RMS_NORM_SCALE_GRAD,
  DIMR_OP_LAYER_NORM_GRAD,
  DIMR_OP_LAYER_NORM_WEIGHT_GRAD,
  DIMR_OP_ATTENTION_GRAD,
  DIMR_OP_GEGLU_GRAD,
  DIMR_OP_DEPTHWISE_INPUT_GRAD,
  DIMR_OP_DEPTHWISE_WEIGHT_GRAD,
  DIMR_OP_PIXEL_UNSHUFFLE,
  DIMR_OP_CONV_TO_IMAGE_INPUT_GRAD,
  DIMR_OP_SILU_GRAD,
  DIMR_OP_GELU_GRAD,
  DIMR_OP_GELU_TANH_GRAD,
  DIMR_OP_SUM_PRODUCTS,
  DIMR_OP_PAD_CHANNELS,
  DIMR_OP_ADA_RMS_NORM_GRAD,
  DIMR_OP_ADA_RMS_NORM_SCALE_GRAD,
  DIMR_OP_AXIAL_ROPE_GRAD,
  DIMR_OP_AXIAL_ROPE_PARAM_GRAD,
  DIMR_OP_MEAN_SQUARE,
  DIMR_OP_MEAN_SQUARE_GRAD,
  DIMR_OP_CROSS_ENTROPY,
  DIMR_OP_CROSS_ENTROPY_GRAD,
} DimrOp;

#define DIMR_N_OPS (DIMR_OP_CROSS_ENTROPY_GRAD + 1)
#define DIMR_OP_FIRST_GRADIENT DIMR_OP_LINEAR_INPUT_GRAD

typedef guint32 DimrNodeId;

#define DIMR_NODE_NONE G_MAXUINT32

/* Rows [top, top + height) and columns [left, left + width) of a map; all zeros: the whole map. */
typedef struct
{
  guint top;
  guint left;
  guint height;
  guint width;
} DimrRegion;

/* What an op needs beside its inputs; a field is zero where the op does not use it. */
typedef struct
{
  guint      n_heads;    /* ATTENTION, AXIAL_ROPE and their gradients */
  guint      factor;     /* AVERAGE_POOL, PIXEL_SHUFFLE and their inverses, PATCHES, REPEAT, UPSAMPLE_NEAREST; the kernel
                          * size of WINDOWS and DEPTHWISE_WEIGHT_GRAD; CONV2D: 2, or 0 for none */
  guint      width;      /* ADD_POSITION and its gradient: columns of the table's grid; AXIAL_ROPE: of the map */
  guint      start;      /* SLICE_TOKENS, SLICE_CHANNELS, PAD_TOKENS, LINEAR_INPUT_GRAD, AXIAL_ROPE */
  guint      length;     /* the same, TIMESTEP_EMBEDDING; rows of a sum over rows */
  double     eps;        /* RMS_NORM, LAYER_NORM and their gradients, GROUP_NORM, CONV2D with a norm, ADA_RMS_NORM, AXIAL_ROPE */
  guint      n_groups;   /* GROUP_STATS */
  DimrRegion region;     /* GROUP_STATS */
  gboolean   silu;       /* GROUP_NORM, CONV2D with a norm */
  guint      stride;     /* CONV2D */
  guint      pad_before; /* CONV2D */
  guint      pad_after;  /* CONV2D */
  gboolean   constant;   /* RESHAPE */
} DimrAttrs;

/* Everything about an op that is not arithmetic. Shapes of absent optional inputs are NULL. */
typedef struct
{
  const char *name;
  guint       min_inputs;
  guint       max_inputs;    /* G_MAXUINT: a list */
  guint       optional;      /* bit i: slot i may be DIMR_NODE_NONE */
  guint       in_place;      /* bit i: the output may take over the buffer of slot i */

  /* The output's shape, or FALSE with a reason in DIMR_ERROR_SHAPE. */
  gboolean  (*infer) (const DimrAttrs          *attrs,
                      const DimrShape * const  *inputs,
                      guint                     n_inputs,
                      DimrShape                *output,
                      GError                  **error);
  /* Multiply-accumulates: the unit of the paper's "Gflops". NULL: none. */
  guint64   (*macs)  (const DimrAttrs          *attrs,
                      const DimrShape * const  *inputs,
                      guint                     n_inputs,
                      const DimrShape          *output);
} DimrOpInfo;

/* The row of @op (static). */
const DimrOpInfo *dimr_op_get_info (DimrOp op);

G_END_DECLS
