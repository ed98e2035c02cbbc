/* cuda-kernels.h — the kernels of our own, as plain C calls
 *
 * Every call only queues work on @stream and returns what the launch said; nothing is allocated and
 * nothing waits, so each of them can be captured into a graph. Pointers are device memory unless
 * said otherwise, aligned to 16 bytes, and never overlap but where an argument says so. @type is
 * how activations lie in memory; sums, norms and weights of norms are float in both.
 * Shape letters are those of core/graph/dimr-op.h, whose arithmetic these calls follow.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum
{
  CUDA_TYPE_F32,
  CUDA_TYPE_BF16,
} CudaType;

/* A vector [D] that depends on the time alone. Its values for all steps of a run were computed up
 * front; the step of this replay is a number in device memory, so one captured graph serves all:
 *   vector of image b = values + *index · step_stride + b · image_stride */
typedef struct
{
  const float *values;
  const int   *index;        /* device; NULL: 0 */
  size_t       step_stride;  /* floats: T · D */
  size_t       image_stride; /* floats: D where every image has its own time, else 0 */
} CudaTimed;

/* Tensors that are read as one along their channels. */
#define CUDA_MAX_SOURCES 64
typedef struct
{
  int         n;
  int         widths[CUDA_MAX_SOURCES];    /* channels of each */
  const void *data[CUDA_MAX_SOURCES];      /* [rows, widths[i]] */
  /* A source [B, N, D] whose first @skip tokens are no part of the map: row r of image b is row
   * b · (rows_per_image + skip) + skip + r. 0 for most. */
  int         skip[CUDA_MAX_SOURCES];
} CudaSources;

/* out [n_times, D]: p1 + s (p0 − p1), s = sigmoid(log_snr/4 · (1 + weight) + bias) */
cudaError_t cuda_time_param      (cudaStream_t        stream,
                                  const float        *log_snr,   /* [n_times] */
                                  int                 n_times,
                                  const float        *param0,    /* [D] each */
                                  const float        *param1,
                                  const float        *weight,
                                  const float        *bias,
                                  float              *out,
                                  int                 d);

/* out, x [rows, D], may be the same; scale · x / (‖x‖/√D + eps) */
cudaError_t cuda_rms_norm        (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  CudaTimed           scale,
                                  void               *out,
                                  int                 rows,
                                  int                 rows_per_image,
                                  int                 d,
                                  float               eps);

/* out [rows, D] with D = Σ widths; biased variance, eps inside the root. Weight and
 * bias whose values are NULL: 1 and 0. */
cudaError_t cuda_layer_norm      (cudaStream_t        stream,
                                  CudaType            type,
                                  const CudaSources  *x,         /* host; copied into the launch */
                                  CudaTimed           weight,
                                  CudaTimed           bias,
                                  void               *out,
                                  int                 rows,
                                  int                 rows_per_image,
                                  int                 d,
                                  float               eps);

/* out [rows, D] = gelu(a) · b, exact (erf) GELU; row r of a begins at a + r · stride elements, of b likewise.
 * out may be a or b where the stride is D. */
cudaError_t cuda_geglu           (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *a,
                                  const void         *b,
                                  size_t              stride,
                                  void               *out,
                                  int                 rows,
                                  int                 d);

/* qkv [B, N, 3·D] → out [B, N, D]; any head width up to 128. In BF16 the products run on tensor
 * cores with heads padded to a multiple of 16 in shared memory, and the softmax is float. */
cudaError_t cuda_attention       (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *qkv,
                                  void               *out,
                                  int                 batch,
                                  int                 n_tokens,
                                  int                 n_heads,
                                  int                 head_width);

/* x [rows, n] float → out, rows @stride elements apart: softmax (scale · x) of each row, scale > 0. out may
 * be x where it is of the same type and stride. */
cudaError_t cuda_softmax         (cudaStream_t        stream,
                                  CudaType            type,
                                  const float        *x,
                                  float               scale,
                                  void               *out,
                                  size_t              stride,
                                  int                 rows,
                                  int                 n);

/* x, residual, out [B, H, W, D]; weight [k·k, D] and bias [D] float; residual and bias may be NULL.
 * out may be residual, never x, unless they are the same tensor as x is read (then not in place). */
cudaError_t cuda_depthwise_conv  (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  const float        *weight,
                                  const float        *bias,
                                  const void         *residual,
                                  void               *out,
                                  int                 batch,
                                  int                 height,
                                  int                 width,
                                  int                 d,
                                  int                 k);

/* x [B, C, H, W] float, weight [D, C, k, k] and bias [D] float → out [B, H/k, W/k, D] */
cudaError_t cuda_patchify        (cudaStream_t        stream,
                                  CudaType            type,
                                  const float        *x,
                                  const float        *weight,
                                  const float        *bias,
                                  void               *out,
                                  int                 batch,
                                  int                 channels,
                                  int                 height,
                                  int                 width,
                                  int                 d,
                                  int                 k);

/* x [B, H, W, D], weight [C, k·k, D] and bias [C] float, zero padding k/2 → out [B, C, H, W] float */
cudaError_t cuda_conv_to_image   (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  const float        *weight,
                                  const float        *bias,
                                  float              *out,
                                  int                 batch,
                                  int                 height,
                                  int                 width,
                                  int                 d,
                                  int                 channels,
                                  int                 k);

/* x, out [B, H, W, D], may be the same; table [rows ≥ H · table_width, D] float: adds row h · table_width + w */
cudaError_t cuda_add_position    (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  const float        *table,
                                  int                 table_width,
                                  void               *out,
                                  int                 batch,
                                  int                 height,
                                  int                 width,
                                  int                 d);

/* table [K, D] float, index [B] → out [B, D]; an index outside [0, K) is taken as 0: the host checks before. */
cudaError_t cuda_embedding       (cudaStream_t        stream,
                                  CudaType            type,
                                  const float        *table,
                                  const int          *index,
                                  void               *out,
                                  int                 batch,
                                  int                 k,
                                  int                 d);

/* x [B, N, D], token [B, D] → out [B, N + 1, D], the token first */
cudaError_t cuda_prepend_token   (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  const void         *token,
                                  void               *out,
                                  int                 batch,
                                  int                 n_tokens,
                                  int                 d);

/* x [B, N, D] → out [B, length, D]: tokens [start, start + length) */
cudaError_t cuda_slice_tokens    (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  void               *out,
                                  int                 batch,
                                  int                 n_tokens,
                                  int                 start,
                                  int                 length,
                                  int                 d);

/* x [B, H, W, f·f·D] → out [B, f·H, f·W, D]; channels ordered (dy, dx, d) */
cudaError_t cuda_pixel_shuffle   (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  void               *out,
                                  int                 batch,
                                  int                 height,
                                  int                 width,
                                  int                 d,
                                  int                 f);

/* out [rows, Σ widths] */
cudaError_t cuda_concat          (cudaStream_t        stream,
                                  CudaType            type,
                                  const CudaSources  *x,
                                  void               *out,
                                  int                 rows,
                                  int                 rows_per_image);

/* out = a + b, [n] each, may be the same */
cudaError_t cuda_add             (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *a,
                                  const void         *b,
                                  void               *out,
                                  size_t              n);

/* x [B, C, H, W] float → out [B, C, H/f, W/f] float: means of f × f */
cudaError_t cuda_average_pool    (cudaStream_t        stream,
                                  const float        *x,
                                  float              *out,
                                  int                 planes,    /* B · C */
                                  int                 height,
                                  int                 width,
                                  int                 f);

/* n elements, rounded to nearest even where they become narrower */
cudaError_t cuda_convert         (cudaStream_t        stream,
                                  CudaType            from,
                                  const void         *x,
                                  CudaType            to,
                                  void               *out,
                                  size_t              n);

/* ---- what U-ViT and DiT need beside DiMR ---- */

typedef enum
{
  CUDA_FUNCTION_SILU,      /* x / (1 + e^−x) */
  CUDA_FUNCTION_GELU,      /* x Φ(x), exact (erf) */
  CUDA_FUNCTION_GELU_TANH, /* its approximation with tanh */
} CudaFunction;

/* x, out [n], may be the same */
cudaError_t cuda_apply           (cudaStream_t        stream,
                                  CudaType            type,
                                  CudaFunction        function,
                                  const void         *x,
                                  void               *out,
                                  size_t              n);

/* x, out [rows, D], may be the same; x · (1 + scale) + shift, or x + shift where @scale is NULL. Row r takes the vectors that begin
 * r / rows_per_image · image_stride elements from shift and scale (0: one for all). */
cudaError_t cuda_modulate        (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  const void         *shift,
                                  const void         *scale,
                                  size_t              image_stride,
                                  void               *out,
                                  int                 rows,
                                  int                 rows_per_image,
                                  int                 d);

/* x, y, out [rows, D]; out may be x or y; x + gate · y, or gate · y where @x is NULL, the gate as the vectors of cuda_modulate() */
cudaError_t cuda_gated_add       (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  const void         *gate,
                                  const void         *y,
                                  size_t              image_stride,
                                  void               *out,
                                  int                 rows,
                                  int                 rows_per_image,
                                  int                 d);

/* t [n_times] float → out [n_times, length], length even: cos (t w_i), then sin (t w_i), w_i = 10000^(−2i/length) */
cudaError_t cuda_timestep_embedding (cudaStream_t     stream,
                                  CudaType            type,
                                  const float        *t,
                                  void               *out,
                                  int                 n_times,
                                  int                 length);

/* x [rows, D] → out [rows, length]: channels [start, start + length) */
cudaError_t cuda_slice_channels  (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  void               *out,
                                  int                 rows,
                                  int                 d,
                                  int                 start,
                                  int                 length);

/* x [n] → out [copies, n] */
cudaError_t cuda_repeat          (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  void               *out,
                                  size_t              n,
                                  int                 copies);

/* x [B, H, W, C] → out [B, C, H, W] float */
cudaError_t cuda_to_image        (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  float              *out,
                                  int                 batch,
                                  int                 height,
                                  int                 width,
                                  int                 channels);

/* x [B, C, H, W] float → out [B, H, W, C] */
cudaError_t cuda_image_to_map    (cudaStream_t        stream,
                                  CudaType            type,
                                  const float        *x,
                                  void               *out,
                                  int                 batch,
                                  int                 channels,
                                  int                 height,
                                  int                 width);

/* x [B, H, W, D] → out [B, f·H, f·W, D]: every pixel f × f times */
cudaError_t cuda_upsample_nearest (cudaStream_t       stream,
                                  CudaType            type,
                                  const void         *x,
                                  void               *out,
                                  int                 batch,
                                  int                 height,
                                  int                 width,
                                  int                 d,
                                  int                 f);

/* ---- the autoencoder ---- */

/* A part of a map, in pixels. */
typedef struct
{
  int top, left, height, width;
} CudaRegion;

/* Floats of scratch memory that cuda_group_stats() needs for regions of @n_pixels. */
size_t      cuda_group_stats_scratch (int             batch,
                                  int                 n_pixels,
                                  int                 d);
/* x [B, H, W, D] → stats [B, groups, 2] float: mean and biased variance of each group in the region */
cudaError_t cuda_group_stats     (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  float              *scratch,
                                  float              *stats,
                                  int                 batch,
                                  int                 height,
                                  int                 width,
                                  int                 d,
                                  int                 groups,
                                  CudaRegion          region);
/* stats (from image to image @stats_stride floats; 0: one for all), weight and bias [D] → folded [B, 2, D]:
 * what x is multiplied with and what is added to it then */
cudaError_t cuda_group_norm_fold (cudaStream_t        stream,
                                  const float        *stats,
                                  size_t              stats_stride,
                                  const float        *weight,
                                  const float        *bias,
                                  float              *folded,
                                  int                 batch,
                                  int                 d,
                                  int                 groups,
                                  float               eps);
/* x, out [rows, D], may be the same; then SiLU where asked for */
cudaError_t cuda_group_norm      (cudaStream_t        stream,
                                  CudaType            type,
                                  const void         *x,
                                  const float        *folded,
                                  int                 silu,
                                  void               *out,
                                  int                 rows,
                                  int                 rows_per_image,
                                  int                 d);

/* A convolution of x [B, H, W, D] by a kernel of k × k. On their way the values go through the norm
 * where there is one, and the map is enlarged by the factor; pixels outside are 0. */
typedef struct
{
  const void  *x;
  const float *folded;     /* cuda_group_norm_fold(); NULL: no norm */
  int          silu;
  int          height, width, d;
  int          k, stride, pad_before;
  int          factor;     /* 1: none */
  int          out_height, out_width;
} CudaConv2d;

/* Rows [first, first + rows) of the matrix [B · H' · W', k · k · D], columns ordered (ky, kx, d), whose
 * product with weights [N, k · k · D] is the convolution */
cudaError_t cuda_conv_rows       (cudaStream_t        stream,
                                  CudaType            type,
                                  const CudaConv2d   *conv,
                                  void               *out,
                                  int                 first,
                                  int                 rows);

/* ---- FP8 ---- */

/* x [rows, D] bf16 → out [rows, D] e4m3 and scale [rows]: x ≈ scale · out, with the row's largest
 * value at 448, the largest of e4m3; a row of zeros has scale 1. Rounds to nearest even. */
cudaError_t cuda_quantize_rows   (cudaStream_t        stream,
                                  const void         *x,
                                  void               *out,
                                  float              *scale,
                                  int                 rows,
                                  int                 d);

/* Lets kernels be set up while those before them end (programmatic dependent launch; compute
 * capability 9.0). Off at first. Holds for launches and captures that follow, of all threads. */
void        cuda_kernels_set_early_launch (int on);

/* ---- a sampler's walk, see DimrWalkSpec ---- */

/* One row, as the device reads it. */
typedef struct
{
  double alpha, sigma, start, x0[3], guidance;
  int    outer;
  int    newest;   /* which of the three buffers of history takes the new prediction */
} CudaWalkRow;

/* point [M, n] double → x [copies · M, n] float, @copies times one after the other */
cudaError_t cuda_walk_prepare    (cudaStream_t        stream,
                                  const double       *point,
                                  float              *x,
                                  int                 images,
                                  size_t              image_len,
                                  int                 copies);

/* The guided prediction, X0, the next point and, where the row is outer, x:
 * eps [M or 2·M, n] float with the unconditional half behind; x, point [M, n] double; history three
 * buffers [M, n] double, of which the row says which is the newest (k steps before: (newest + 3 − k) % 3). */
cudaError_t cuda_walk_update     (cudaStream_t        stream,
                                  const CudaWalkRow  *rows,      /* [n_rows], device */
                                  const int          *index,     /* device */
                                  const float        *eps,
                                  int                 guided,
                                  double             *x,
                                  double             *point,
                                  double * const      history[3],/* host array of device pointers */
                                  int                 images,
                                  size_t              image_len);

/* x [n] double → out [n] float */
cudaError_t cuda_walk_round      (cudaStream_t        stream,
                                  const double       *x,
                                  float              *out,
                                  size_t              n);

/* ---- training ---- */

/* Every parameter begins at a multiple of so many numbers in the arrays of a training; zeros fill them up. */
#define CUDA_TRAINING_ALIGNMENT 64
/* Numbers that one block takes. */
#define CUDA_TRAINING_PIECE (1 << 14)

/* A part of one parameter's gradient. */
typedef struct
{
  const void *from;   /* 16 bytes aligned */
  CudaType    type;   /* of @from */
  int         n;      /* at most CUDA_TRAINING_PIECE */
  size_t      at;     /* in the arrays; a multiple of 4 */
} CudaGradientPiece;

/* How a parameter lies in the memory that the network's kernels read: as CudaLayoutKind. */
typedef enum
{
  CUDA_COPY_NONE,
  CUDA_COPY_F32,
  CUDA_COPY_BF16,
  CUDA_COPY_DEPTHWISE,
  CUDA_COPY_DEPTHWISE_FLIPPED,
  CUDA_COPY_IMAGE_CONV,
  CUDA_COPY_IMAGE_CONV_BF16,
} CudaCopyKind;

/* A part of one parameter. */
typedef struct
{
  size_t       at;      /* in the arrays; a multiple of 4 */
  size_t       first;   /* its first number among those of the parameter; a multiple of 4 */
  int          n;       /* at most CUDA_TRAINING_PIECE */
  int          learns;  /* has a gradient */
  int          decays;
  CudaCopyKind copy;
  void        *to;      /* where number 0 of the parameter goes */
  int          aligned; /* @to is, to four numbers */
  int          rows, depth, taps;  /* of convolutions: [rows, depth, taps] */
} CudaUpdatePiece;

typedef struct
{
  float keep;           /* 1 − lr · decay, for what decays */
  float beta1, beta2;
  float rate;           /* lr / (1 − beta1ᵗ) */
  float correction;     /* 1 / √(1 − beta2ᵗ) */
  float eps;
  float scale;          /* of the gradient */
  float average_keep, average_take;
} CudaUpdate;

/* sum += all @pieces, or where @first is set = */
cudaError_t cuda_training_add    (cudaStream_t             stream,
                                  const CudaGradientPiece *pieces,   /* [n_pieces], device */
                                  int                      n_pieces,
                                  float                   *sum,
                                  int                      first);
/* sum += other, [n], both aligned to 16 bytes */
cudaError_t cuda_training_merge  (cudaStream_t             stream,
                                  float                   *sum,
                                  const float             *other,
                                  size_t                   n);
/* scratch[0] = ‖x‖ of x [n], n a multiple of 4; @scratch has cuda_training_norm_doubles() */
size_t      cuda_training_norm_doubles (void);
cudaError_t cuda_training_norm   (cudaStream_t             stream,
                                  const float             *x,
                                  size_t                   n,
                                  double                  *scratch);
/* AdamW, the average (NULL: none) and the copies. */
cudaError_t cuda_training_update (cudaStream_t             stream,
                                  const CudaUpdatePiece   *pieces,   /* [n_pieces], device */
                                  int                      n_pieces,
                                  const CudaUpdate        *update,
                                  const float             *gradient,
                                  float                   *values,
                                  float                   *m,
                                  float                   *v,
                                  float                   *average);
/* The copies alone. */
cudaError_t cuda_training_copy   (cudaStream_t             stream,
                                  const CudaUpdatePiece   *pieces,
                                  int                      n_pieces,
                                  const float             *values);

#ifdef __cplusplus
}
#endif
