/* cuda-kernels-grad.h — the kernels that training needs beside those of cuda-kernels.h, and the ablations'
 *
 * What is said there holds here. dy is the gradient of a result. Gradients of parameters are float in both
 * types; sums over rows are made in two stages, in one order, through @scratch where there are many.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cuda/cuda-kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- functions of one number, gates, losses ---- */

/* x, dy, out [n]; out may be either: f'(x) · dy */
cudaError_t cuda_apply_grad      (cudaStream_t        stream,
                                  CudaType            type,
                                  CudaFunction        function,
                                  const void         *x,
                                  const void         *dy,
                                  void               *out,
                                  size_t              n);

/* a, b, dy, out [n]; out may be any of them: gelu'(a) · b · dy */
cudaError_t cuda_geglu_grad      (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *a,
                                  const void         *b,
                                  const void         *dy,
                                  void               *out,
                                  size_t              n);

/* a, b [B, n] float → out [B]: means of (a − b)² */
cudaError_t cuda_mean_square     (cudaStream_t        stream,
                                  const float        *a,
                                  const float        *b,
                                  float              *out,
                                  int                 batch,
                                  int                 n);

/* a, b [B, n], dy [B] float → out [B, n]: 2/n · dy · (a − b) */
cudaError_t cuda_mean_square_grad (cudaStream_t       stream,
                                  const float        *a,
                                  const float        *b,
                                  const float        *dy,
                                  float              *out,
                                  int                 batch,
                                  int                 n);

/* x, target [B, n] float → out [B]: −Σ target · log softmax (x) */
cudaError_t cuda_cross_entropy   (cudaStream_t        stream,
                                  const float        *x,
                                  const float        *target,
                                  float              *out,
                                  int                 batch,
                                  int                 n);

/* x, target [B, n], dy [B] float → out [B, n]: dy · (Σ target · softmax (x) − target) */
cudaError_t cuda_cross_entropy_grad (cudaStream_t     stream,
                                  const float        *x,
                                  const float        *target,
                                  const float        *dy,
                                  float              *out,
                                  int                 batch,
                                  int                 n);

/* ---- what moves numbers ---- */

/* x [B, N, D] → out [B, length, D]: zeros around, x at token @start */
cudaError_t cuda_pad_tokens      (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  void               *out,
                                  int                 batch,
                                  int                 n_tokens,
                                  int                 start,
                                  int                 length,
                                  int                 d);

/* x [rows, D] → out [rows, length]: zeros around, x at channel @start */
cudaError_t cuda_pad_channels    (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  void               *out,
                                  int                 rows,
                                  int                 d,
                                  int                 start,
                                  int                 length);

/* x [B, f·H, f·W, D] → out [B, H, W, f·f·D]: the inverse of cuda_pixel_shuffle() */
cudaError_t cuda_pixel_unshuffle (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  void               *out,
                                  int                 batch,
                                  int                 height,    /* of out */
                                  int                 width,
                                  int                 d,
                                  int                 f);

/* x [planes, H, W] float → out [planes, f·H, f·W] float: each number, divided by f², to f × f places */
cudaError_t cuda_spread          (cudaStream_t        stream,
                                  const float        *x,
                                  float              *out,
                                  int                 planes,
                                  int                 height,
                                  int                 width,
                                  int                 f);

/* x [B, C, f·H, f·W] float → out [B, H, W, C·f·f], channels ordered (c, dy, dx) */
cudaError_t cuda_patches         (cudaStream_t        stream,
                                  CudaType            type,
                                  const float        *x,
                                  void               *out,
                                  int                 batch,
                                  int                 channels,
                                  int                 height,    /* of out */
                                  int                 width,
                                  int                 f);

/* The inverse: x [B, H, W, C·f·f] → out [B, C, f·H, f·W] float */
cudaError_t cuda_unpatch         (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  float              *out,
                                  int                 batch,
                                  int                 channels,
                                  int                 height,    /* of x */
                                  int                 width,
                                  int                 f);

/* x [B, C, H, W] float → out [B · H · W, stride]: channel (c, i, j) is x at (h + k/2 − i, w + k/2 − j), zero outside,
 * and zeros from C · k² on */
cudaError_t cuda_windows         (cudaStream_t        stream,
                                  CudaType            type,
                                  const float        *x,
                                  void               *out,
                                  int                 stride,
                                  int                 batch,
                                  int                 channels,
                                  int                 height,
                                  int                 width,
                                  int                 k);

/* ---- gradients of tables and of time-dependent parameters ---- */

/* dy [B, H, W, D] → out [length, D] float: sums over the batch at row h · table_width + w, zeros elsewhere */
cudaError_t cuda_position_grad   (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *dy,
                                  float              *out,
                                  int                 table_width,
                                  int                 length,
                                  int                 batch,
                                  int                 height,
                                  int                 width,
                                  int                 d);

/* dy [B, D], index [B] → out [length, D] float: sums of the rows with the same index */
cudaError_t cuda_embedding_grad  (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *dy,
                                  const int          *index,
                                  float              *out,
                                  int                 length,
                                  int                 batch,
                                  int                 d);

/* dy [n_times, D] → out [4, D]: of param0, param1, weight and bias */
cudaError_t cuda_time_param_grad (cudaStream_t        stream,
                                  const float        *dy,
                                  const float        *log_snr,
                                  int                 n_times,
                                  const float        *param0,
                                  const float        *param1,
                                  const float        *weight,
                                  const float        *bias,
                                  float              *out,
                                  int                 d);

/* ---- sums over rows ---- */

/* Floats of scratch memory that the sums of @parts of @rows rows of @d each need. */
size_t      cuda_sum_rows_scratch (int                parts,
                                  int                 rows,
                                  int                 d);

/* x [parts · rows, D] → out [parts, D] float; the products x · y where there is a y */
cudaError_t cuda_sum_rows        (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  const void         *y,
                                  float              *scratch,
                                  float              *out,
                                  int                 parts,
                                  int                 rows,
                                  int                 d);

/* ---- norms ---- */

/* x, dy, residual, out [rows, D]; out may be any of them; gradient of x, + residual where there is one */
cudaError_t cuda_rms_norm_grad   (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  CudaTimed           scale,
                                  const void         *dy,
                                  const void         *residual,
                                  void               *out,
                                  int                 rows,
                                  int                 rows_per_image,
                                  int                 d,
                                  float               eps);

/* dy, out [rows, D], may be the same; gradients of all sources side by side. A weight whose values are NULL: 1. */
cudaError_t cuda_layer_norm_grad (cudaStream_t        stream,
                                  CudaType            type,
                                  const CudaSources  *x,         /* host; copied into the launch */
                                  CudaTimed           weight,
                                  const void         *dy,
                                  void               *out,
                                  int                 rows,
                                  int                 rows_per_image,
                                  int                 d,
                                  float               eps);

/* What row is normalized by in the gradient of a scale. */
typedef enum
{
  CUDA_NORM_RMS,     /* 1 / (‖x‖/√D + eps) */
  CUDA_NORM_ADA_RMS, /* 1 / √(‖x‖²/D + eps) */
  CUDA_NORM_LAYER,   /* its mean, and 1 / √(variance + eps) */
} CudaNorm;

/* Floats of scratch memory for cuda_norm_scale_grad(). */
size_t      cuda_norm_scale_scratch (int              parts,
                                  int                 rows,      /* of a part */
                                  int                 d);

/* dy [rows, D] → out [parts, D] float: sums of dy · normalized x over the rows of each of the equal parts. With @cycle above 0
 * the parts are images · cycle, and row r of an image belongs to part r mod cycle of it. */
cudaError_t cuda_norm_scale_grad (cudaStream_t        stream,
                                  CudaType            type,
                                  CudaNorm            norm,
                                  const CudaSources  *x,         /* host; copied into the launch */
                                  const void         *dy,
                                  float              *scratch,
                                  float              *out,
                                  int                 parts,
                                  int                 rows,
                                  int                 cycle,
                                  int                 d,
                                  float               eps);

/* ---- depthwise convolutions (the input's gradient is a convolution by the flipped kernel) ---- */

/* Floats of scratch memory for cuda_depthwise_weight_grad(). */
size_t      cuda_depthwise_weight_scratch (int        batch,
                                  int                 height,
                                  int                 width,
                                  int                 d,
                                  int                 k);

/* x, dy [B, H, W, D] → out [D, k · k] float */
cudaError_t cuda_depthwise_weight_grad (cudaStream_t  stream,
                                  CudaType            type,
                                  const void         *x,
                                  const void         *dy,
                                  float              *scratch,
                                  float              *out,
                                  int                 batch,
                                  int                 height,
                                  int                 width,
                                  int                 d,
                                  int                 k);

/* ---- attention ---- */

/* Floats of scratch memory for cuda_attention_grad(). */
size_t      cuda_attention_grad_scratch (int          batch,
                                  int                 n_tokens,
                                  int                 n_heads);

/* qkv [B, N, 3·D], y, dy [B, N, D] → out [B, N, 3·D], the gradient of qkv; y is what cuda_attention() made of qkv. Any head
 * width up to 128. The softmax is computed again from qkv; in BF16 the products run on tensor cores. */
cudaError_t cuda_attention_grad  (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *qkv,
                                  const void         *y,
                                  const void         *dy,
                                  float              *scratch,
                                  void               *out,
                                  int                 batch,
                                  int                 n_tokens,
                                  int                 n_heads,
                                  int                 head_width);

/* ---- what the ablations need, forth and back ---- */

/* x, out [rows, D], may be the same; scale [B, cycle, D] → (1 + scale) · x / √(mean of x² + eps), row r of an image with row
 * r mod cycle of its scale. Where there is a dy [rows, D], which out may be too: the gradient of x. */
cudaError_t cuda_ada_rms_norm    (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  const void         *scale,
                                  const void         *dy,        /* NULL: forward */
                                  void               *out,
                                  int                 rows,
                                  int                 rows_per_image,
                                  int                 cycle,
                                  int                 d,
                                  float               eps);

/* qkv [B, N, 3·D], freqs [heads, F] and scale [heads] float; see DIMR_OP_AXIAL_ROPE. Any head width up to 128. */
typedef struct
{
  const float *freqs_h, *freqs_w, *scale;
  int          batch, n_tokens, n_heads, head_width, n_freqs;
  int          width, start;  /* of the map; tokens before it */
  float        eps;
} CudaRope;

/* qkv, dy, out [B, N, 3·D]; out may be qkv. The turned qkv, or where there is a dy the gradient of qkv. */
cudaError_t cuda_axial_rope      (cudaStream_t        stream,
                                  CudaType            type,
                                  const CudaRope     *rope,
                                  const void         *qkv,
                                  const void         *dy,        /* NULL: forward */
                                  void               *out);

/* Floats of scratch memory for cuda_axial_rope_param_grad(). */
size_t      cuda_axial_rope_param_scratch (const CudaRope *rope);

/* qkv, dy → out [heads, 2·F + 1] float: of freqs_h, freqs_w and scale side by side */
cudaError_t cuda_axial_rope_param_grad (cudaStream_t  stream,
                                  CudaType            type,
                                  const CudaRope     *rope,
                                  const void         *qkv,
                                  const void         *dy,
                                  float              *scratch,
                                  float              *out);

#ifdef __cplusplus
}
#endif
