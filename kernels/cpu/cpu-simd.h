/* cpu-simd.h — the inner loops of the CPU backend, one table of them per instruction set
 *
 * The files of simd/ are compiled once per instruction set and export one CpuSimd each; the best
 * one that the processor runs is chosen when a device opens. A loop works on a range of one op's
 * output and touches nothing else, and each element is summed in an order that depends on neither
 * the range nor the thread: results are the same bytes however the work is divided.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* One of the tensors that a product or a norm reads side by side: [rows, k]. */
typedef struct
{
  const float *x;
  gsize        k;
} CpuSlice;

/* y = concat(slices) Wᵀ + bias + residual, or with weights1: gelu(x W0ᵀ + b0) · (x W1ᵀ + b1).
 * Weights are packed in panels of CpuSimd.panel columns: [panels][K][panel], zeros past the last
 * column; as bfloat16 with bf16_dot: [panels][K/2][panel][2]. Biases are padded likewise.
 * In bfloat16 there is one slice, made by round_bf16(). */
typedef struct
{
  gsize           n;           /* columns of y */
  gsize           k;           /* of all slices together */
  gsize           n_slices;
  const CpuSlice *slices;
  gconstpointer   weights;
  const float    *bias;
  gconstpointer   weights1;    /* NULL: no gate */
  const float    *bias1;
  const float    *residual;    /* [rows, n] or NULL; may be y */
  float          *y;           /* [rows, n] */
  gboolean        bf16;
} CpuProduct;

typedef struct
{
  gsize        n_tokens;
  gsize        n_heads;
  gsize        head_width;
  const float *qkv; /* [B, N, 3·NH·HD] */
  float       *y;   /* [B, N, NH·HD] */
} CpuAttention;

typedef struct
{
  gsize           d;
  gsize           rows_per_time; /* rows that share one row of scale and bias */
  double          eps;
  gsize           n_slices;
  const CpuSlice *slices;
  const float    *scale;         /* [T, d] */
  const float    *bias;          /* [T, d]; LAYER_NORM */
  float          *y;             /* [rows, d] */
} CpuNorm;

typedef struct
{
  gsize        d;
  const float *log_snr; /* [T] */
  const float *param0;
  const float *param1;
  const float *weight;
  const float *bias;
  float       *y;       /* [T, d] */
} CpuTimeParam;

/* Depthwise weights are packed in blocks of CpuSimd.lanes channels: [blocks][k·k][lanes]; the
 * bias is padded likewise. */
typedef struct
{
  gsize        height;
  gsize        width;
  gsize        d;
  gsize        kernel;
  const float *x;        /* [B, H, W, d] */
  const float *weights;
  const float *bias;
  const float *residual; /* [B, H, W, d] or NULL */
  float       *y;
} CpuDepthwise;

/* Weights: [C][k·k][d rounded up to lanes], zeros past d. */
typedef struct
{
  gsize        height;
  gsize        width;
  gsize        d;
  gsize        channels;
  gsize        kernel;
  const float *x;       /* [B, H, W, d] */
  const float *weights;
  const float *bias;    /* [C] */
  float       *y;       /* [B, C, H, W] */
} CpuImageConv;

/* Weights of a phase are packed as those of a product whose K is (kernel row, kernel column, channel), the channels
 * made even in bfloat16. Upsampling ×2 before a 3 × 3 kernel is four convolutions of the small map, one for
 * each parity of row and column, whose 2 × 2 kernels are sums of the large one's: less than half the work. */
typedef struct
{
  gsize         height;      /* of the map before upsampling */
  gsize         width;
  gsize         d;
  gsize         out_height;
  gsize         out_width;
  gsize         n;
  gsize         kernel;
  gsize         stride;
  gsize         pad_before;  /* around the map before upsampling */
  gsize         pad_after;
  guint         n_phases;    /* 1, or 4 with upsampling */
  gconstpointer weights[4];
  const float  *x;           /* [B, H, W, d] */
  const float  *scale;       /* [B, d]: x · scale + shift takes the place of x, or NULL */
  const float  *shift;
  gboolean      silu;        /* after scale and shift */
  const float  *bias;        /* padded to panels */
  const float  *residual;    /* [B, H', W', n] or NULL; may be y */
  float        *y;
  gboolean      bf16;
} CpuConv2d;

/* y = dyᵀ concat(slices): [n, k], summed over a range of the rows. */
typedef struct
{
  gsize           n;
  gsize           k;
  gsize           n_slices;
  const CpuSlice *slices;   /* [rows, Σ k] */
  const float    *dy;       /* [rows, n] */
  gboolean        bf16;
  float          *packed;   /* bf16: all of dy as weight_grad_pack() leaves it */
} CpuWeightGrad;

/* Gradients of a norm; what a loop does not need stays NULL. */
typedef struct
{
  gsize           d;
  gsize           rows_per_time;
  double          eps;
  gsize           n_slices;
  const CpuSlice *slices;   /* x */
  const float    *scale;    /* [T, d] */
  const float    *dy;       /* [rows, d] */
  const float    *residual; /* [rows, d] or NULL */
  float          *dx;       /* [rows, d] */
} CpuNormGrad;

typedef struct
{
  CpuTimeParam param;   /* its y is not used */
  gsize        n_times;
  const float *dy;      /* [T, d] */
  float       *y;       /* [4, d] */
} CpuTimeParamGrad;

typedef struct
{
  gsize        n_tokens;
  gsize        n_heads;
  gsize        head_width;
  const float *qkv;  /* [B, N, 3·NH·HD] */
  const float *y;    /* [B, N, NH·HD] */
  const float *dy;
  float       *dqkv;
} CpuAttentionGrad;

typedef struct
{
  gsize        height;
  gsize        width;
  gsize        d;
  gsize        kernel;
  const float *x;    /* [B, H, W, d] */
  const float *dy;
} CpuDepthwiseGrad;

typedef struct
{
  const char *name;      /* "AVX2" */
  guint       lanes;     /* floats of a vector */
  guint       tile_rows; /* rows that a product keeps in registers */
  guint       panel;     /* columns of a packed panel */
  gboolean    bf16_dot;  /* multiplies bfloat16 in hardware, in pairs along K */

  void   (*product)           (const CpuProduct   *self,
                               gsize               row,
                               gsize               n_rows,
                               gsize               panel,
                               gsize               n_panels);
  /* Rows of concat(slices) rounded to bfloat16 into @out [rows, k], k even: as 16 bits with
   * bf16_dot, as floats otherwise; zeros past the last channel. */
  void   (*round_bf16)        (const CpuSlice     *slices,
                               gsize               n_slices,
                               gsize               k,
                               gsize               row,
                               gsize               n_rows,
                               gpointer            out);
  /* @n_columns of a panel's rows into its place among packed weights: [n_columns][panel] floats, as bfloat16 with
   * n_columns made even, in pairs with bf16_dot. @rows: [panel] rows that are @pitch floats apart, zeros past the last;
   * room for n_columns made a multiple of lanes; what they hold afterwards is of no use. */
  void   (*pack)              (float              *rows,
                               gsize               pitch,
                               gsize               n_columns,
                               gboolean            bf16,
                               gpointer            out);
  /* Floats of scratch memory that a thread needs for attention(). */
  gsize  (*attention_scratch) (gsize               n_tokens,
                               gsize               head_width);
  void   (*attention)         (const CpuAttention *self,
                               gsize               image,
                               gsize               head,
                               gsize               token,
                               gsize               n_tokens,
                               float              *scratch);
  void   (*rms_norm)          (const CpuNorm      *self,
                               gsize               row,
                               gsize               n_rows);
  void   (*layer_norm)        (const CpuNorm      *self,
                               gsize               row,
                               gsize               n_rows);
  void   (*time_param)        (const CpuTimeParam *self,
                               gsize               row,
                               gsize               n_rows);
  void   (*depthwise)         (const CpuDepthwise *self,
                               gsize               image,
                               gsize               row,
                               gsize               n_rows,
                               gsize               block,
                               gsize               n_blocks);
  void   (*image_conv)        (const CpuImageConv *self,
                               gsize               image,
                               gsize               row,
                               gsize               n_rows);
  void   (*add)               (const float        *a,
                               const float        *b,
                               float              *y,
                               gsize               n);
  void   (*geglu)             (const float        *a,
                               const float        *b,
                               float              *y,
                               gsize               n);
  void   (*silu)              (const float        *x,
                               float              *y,
                               gsize               n);
  void   (*gelu)              (const float        *x,
                               float              *y,
                               gsize               n);
  void   (*gelu_tanh)         (const float        *x,
                               float              *y,
                               gsize               n);
  /* x · (1 + scale) + shift */
  void   (*modulate)          (const float        *x,
                               const float        *shift,
                               const float        *scale,
                               float              *y,
                               gsize               n);
  /* x + gate · f */
  void   (*gated_add)         (const float        *x,
                               const float        *gate,
                               const float        *f,
                               float              *y,
                               gsize               n);

  /* Floats of scratch memory for @n_rows output rows (with upsampling: rows of the small map). */
  gsize  (*conv2d_scratch)    (const CpuConv2d    *self,
                               gsize               n_rows);
  /* Output rows [row, row + n_rows) of one image, with upsampling twice as many. */
  void   (*conv2d)            (const CpuConv2d    *self,
                               gsize               image,
                               gsize               row,
                               gsize               n_rows,
                               gsize               panel,
                               gsize               n_panels,
                               float              *scratch);
  /* Σ (x − pivot) and Σ (x − pivot)² of each of @d channels over @n_pixels that are @stride apart. */
  void   (*group_sums)        (const float        *x,
                               const float        *pivot,
                               gsize               n_pixels,
                               gsize               stride,
                               gsize               d,
                               float              *sum,
                               float              *squares);
  /* y = x · scale + shift by channel, then SiLU. */
  void   (*group_norm)        (const float        *x,
                               const float        *scale,
                               const float        *shift,
                               gboolean            with_silu,
                               gsize               n_pixels,
                               gsize               d,
                               float              *y);

  /* Gradients. Floats of scratch memory for weight_grad() of @n_panels. */
  gsize  (*weight_grad_scratch) (const CpuWeightGrad    *self,
                                 gsize                   n_panels);
  /* Bytes of CpuWeightGrad.packed for @n_rows. */
  gsize  (*weight_grad_packed)  (const CpuWeightGrad    *self,
                                 gsize                   n_rows);
  /* Rows of dy into packed; @row is even. */
  void   (*weight_grad_pack)    (const CpuWeightGrad    *self,
                                 gsize                   row,
                                 gsize                   n_rows);
  /* Columns of @n_panels panels of y from @panel on; @row is even. */
  void   (*weight_grad)         (const CpuWeightGrad    *self,
                                 gsize                   row,
                                 gsize                   n_rows,
                                 gsize                   panel,
                                 gsize                   n_panels,
                                 float                  *scratch,
                                 float                  *y);
  void   (*sum_rows)            (const float            *x,
                                 gsize                   d,
                                 gsize                   n_rows,
                                 float                  *y);
  void   (*rms_norm_grad)       (const CpuNormGrad      *self,
                                 gsize                   row,
                                 gsize                   n_rows);
  void   (*layer_norm_grad)     (const CpuNormGrad      *self,
                                 gsize                   row,
                                 gsize                   n_rows);
  /* Sums over a range of rows into @y [d]. */
  void   (*rms_norm_scale_grad) (const CpuNormGrad      *self,
                                 gsize                   row,
                                 gsize                   n_rows,
                                 float                  *y);
  void   (*layer_norm_weight_grad) (const CpuNormGrad   *self,
                                 gsize                   row,
                                 gsize                   n_rows,
                                 float                  *y);
  void   (*time_param_grad)     (const CpuTimeParamGrad *self);
  /* f'(x) · dy */
  void   (*silu_grad)           (const float            *x,
                                 const float            *dy,
                                 float                  *y,
                                 gsize                   n);
  void   (*gelu_grad)           (const float            *x,
                                 const float            *dy,
                                 float                  *y,
                                 gsize                   n);
  void   (*gelu_tanh_grad)      (const float            *x,
                                 const float            *dy,
                                 float                  *y,
                                 gsize                   n);
  void   (*geglu_grad)          (const float            *a,
                                 const float            *b,
                                 const float            *dy,
                                 float                  *y,
                                 gsize                   n);
  /* Floats of scratch memory for attention_grad(). */
  gsize  (*attention_grad_scratch) (gsize                n_tokens,
                                 gsize                   head_width);
  void   (*attention_grad)      (const CpuAttentionGrad *self,
                                 gsize                   image,
                                 gsize                   head,
                                 float                  *scratch);
  /* Sums over one image, one block of channels into @y [k·k][lanes]. */
  void   (*depthwise_weight_grad) (const CpuDepthwiseGrad *self,
                                 gsize                   image,
                                 gsize                   block,
                                 float                  *y);
  /* @dy: [B, C, H, W]; rows of @dx [B, H, W, d]. The tensors of @self are not used. */
  void   (*image_conv_input_grad) (const CpuImageConv   *self,
                                 const float            *dy,
                                 float                  *dx,
                                 gsize                   image,
                                 gsize                   row,
                                 gsize                   n_rows);
} CpuSimd;

/* Every table that was built and that this processor can run, best first, NULL-terminated (static). */
const CpuSimd * const *cpu_simd_list (void);

G_END_DECLS
