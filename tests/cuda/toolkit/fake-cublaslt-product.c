/* fake-cublaslt-product.c — matrix products on the processor
 *
 * Sums are float. Each algorithm sums in an order of its own and spoils the workspace that it asked for.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fake-cublaslt-private.h"

#include <math.h>
#include <string.h>

/* More than this no algorithm needs. */
#define MAX_ALIGNMENT 16
#define WORKSPACE_ALIGNMENT 256

/* ---- elements ---- */

/* Sign, 4 bits of exponent with a bias of 7, 3 of fraction; no infinity. */
static float
from_e4m3 (guint8 bits)
{
  const int exponent = bits >> 3 & 15, fraction = bits & 7;
  float value;

  if ((bits & 0x7f) == 0x7f)
    return NAN;
  value = exponent == 0 ? ldexpf ((float) fraction, -9) : ldexpf ((float) (8 + fraction), exponent - 10);
  return bits & 0x80 ? -value : value;
}

static float
load (gconstpointer data,
      int           type,
      gsize         i)
{
  guint32 bits;
  float value;

  if (type == CUDA_R_32F)
    return ((const float *) data)[i];
  if (type == CUDA_R_8F_E4M3)
    return from_e4m3 (((const guint8 *) data)[i]);
  bits = (guint32) ((const guint16 *) data)[i] << 16;
  memcpy (&value, &bits, sizeof value);
  return value;
}

static void
store (void  *data,
       int    type,
       gsize  i,
       float  value)
{
  guint32 bits;

  if (type == CUDA_R_32F)
    {
      ((float *) data)[i] = value;
      return;
    }
  memcpy (&bits, &value, sizeof bits);
  ((guint16 *) data)[i] = isnan (value) ? 0x7fff : (guint16) ((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* ---- the product ---- */

typedef struct
{
  BlasDesc desc;
  BlasLayout layouts[4];    /* a, b, c, d */
  const void *data[3];      /* a, b, c */
  void *d;
  guint64 m, n, k;
  float alpha, beta;
  guint n_parts;
  void *workspace;
  gsize workspace_size;
} Product;

/* Columns of the result that one pass sums in registers. */
#define TILE 32

/* Matrix @i of @batch, as rows of @n_rows × @n_cols floats; with @transposed its transpose. Rows
 * are @stride apart, filled up with zeros. */
static float *
unpack (const Product *self,
        int            i,
        guint64        batch,
        guint64        n_rows,
        guint64        n_cols,
        guint64        stride,
        gboolean       transposed)
{
  const BlasLayout *layout = &self->layouts[i];
  const guint8 *data = (const guint8 *) self->data[i] + batch * (guint64) layout->batch_stride * blas_element_size (layout->type);
  float *rows = g_new0 (float, n_rows * stride);

  for (guint64 r = 0; r < n_rows; r++)
    for (guint64 c = 0; c < n_cols; c++)
      rows[r * stride + c] = load (data, layout->type, transposed ? blas_element (layout, c, r) : blas_element (layout, r, c));
  return rows;
}

/* One tile of one row: Σ a[k] b[k], from @first to @last. */
static void
sum_tile (const float *a,
          const float *b,
          guint64      stride,
          guint64      first,
          guint64      last,
          float        sums[TILE])
{
  float part[TILE] = { 0 };

  for (guint64 k = first; k < last; k++)
    for (int j = 0; j < TILE; j++)
      part[j] += a[k] * b[k * stride + j];
  for (int j = 0; j < TILE; j++)
    sums[j] += part[j];
}

static float
scale_of (const BlasDesc *desc,
          int         operand,
          guint64     i)
{
  if (desc->scales[operand] == NULL)
    return 1;
  return desc->scales[operand][blas_has_vector (desc, operand) ? i : 0];
}

static void
store_tile (const Product *self,
            guint64        batch,
            guint64        row,
            guint64        col,
            const float   *sums)
{
  const BlasLayout *c = &self->layouts[2], *d = &self->layouts[3];
  const guint8 *from = (const guint8 *) self->data[2] + batch * (guint64) c->batch_stride * blas_element_size (c->type);
  guint8 *to = (guint8 *) self->d + batch * (guint64) d->batch_stride * blas_element_size (d->type);

  for (guint64 j = 0; j < TILE && col + j < self->n; j++)
    {
      float value = self->alpha * sums[j] * scale_of (&self->desc, 0, row) * scale_of (&self->desc, 1, col + j);

      if (self->beta != 0)
        value += self->beta * load (from, c->type, blas_element (c, row, col + j));
      if (self->desc.epilogue & CUBLASLT_EPILOGUE_BIAS)
        value += load (self->desc.bias, blas_bias_type (&self->desc, d), batch * (guint64) self->desc.bias_stride + row);
      store (to, d->type, blas_element (d, row, col + j), value);
    }
}

static void
multiply (void *data)
{
  const Product *self = data;
  const guint64 stride = (self->n + TILE - 1) / TILE * TILE;

  if (self->workspace_size > 0)
    memset (self->workspace, 0xff, self->workspace_size);
  for (guint64 batch = 0; batch < (guint64) self->layouts[3].batch_count; batch++)
    {
      g_autofree float *a = unpack (self, 0, batch, self->m, self->k, self->k, self->desc.transposed[0]);
      g_autofree float *b = unpack (self, 1, batch, self->k, self->n, stride, self->desc.transposed[1]);

      for (guint64 col = 0; col < self->n; col += TILE)
        for (guint64 row = 0; row < self->m; row++)
          {
            float sums[TILE] = { 0 };

            for (guint part = 0; part < self->n_parts; part++)
              sum_tile (a + row * self->k, b + col, stride, self->k * part / self->n_parts,
                        self->k * (part + 1) / self->n_parts, sums);
            store_tile (self, batch, row, col, sums);
          }
    }
}

/* Bytes from the first element of a matrix to its last, all batches together. */
static gsize
extent (const BlasLayout *layout)
{
  return (blas_element (layout, layout->rows - 1, layout->cols - 1) + 1 +
          (guint64) (layout->batch_count - 1) * (guint64) layout->batch_stride) * blas_element_size (layout->type);
}

static gboolean
is_aligned (gconstpointer memory,
            guint32       alignment)
{
  return (gsize) memory % MIN (alignment, MAX_ALIGNMENT) == 0;
}

/* Those of operand @i, of which there are @n where each row or column has its own. */
static gboolean
has_scales (const Product *self,
            int            i,
            guint64        n)
{
  const gboolean vector = blas_has_vector (&self->desc, i);

  if (self->desc.scales[i] == NULL)
    return !vector;
  return fake_cuda_is_device (self->desc.scales[i], (vector ? n : 1) * sizeof (float)) &&
         (!vector || is_aligned (self->desc.scales[i], 16));
}

static gboolean
is_in_device_memory (const Product       *self,
                     const BlasAlgorithm *algorithm)
{
  const gsize bias_size = blas_element_size (blas_bias_type (&self->desc, &self->layouts[3]));

  for (int i = 0; i < 3; i++)
    if ((i < 2 || self->beta != 0) && (!fake_cuda_is_device (self->data[i], extent (&self->layouts[i])) ||
                                       !is_aligned (self->data[i], algorithm->alignments[i])))
      return FALSE;
  if ((self->desc.epilogue & CUBLASLT_EPILOGUE_BIAS) && !fake_cuda_is_device (self->desc.bias, self->m * bias_size))
    return FALSE;
  if (!has_scales (self, 0, self->m) || !has_scales (self, 1, self->n))
    return FALSE;
  if (self->workspace_size > 0 &&
      (!fake_cuda_is_device (self->workspace, self->workspace_size) || (gsize) self->workspace % WORKSPACE_ALIGNMENT != 0))
    return FALSE;
  return fake_cuda_is_device (self->d, extent (&self->layouts[3])) && is_aligned (self->d, algorithm->alignments[3]);
}

static gboolean
overlap (gconstpointer a,
         gsize         a_size,
         gconstpointer b,
         gsize         b_size)
{
  return (const guint8 *) a < (const guint8 *) b + b_size && (const guint8 *) b < (const guint8 *) a + a_size;
}

/* The result may lie where C does, in the same layout, and nowhere else where something is read. */
static gboolean
writes_apart (const Product *self)
{
  const gsize size = extent (&self->layouts[3]);

  for (int i = 0; i < 2; i++)
    if (overlap (self->d, size, self->data[i], extent (&self->layouts[i])))
      return FALSE;
  if (self->beta != 0 && (self->data[2] != self->d || self->layouts[2].ld != self->layouts[3].ld) &&
      overlap (self->d, size, self->data[2], extent (&self->layouts[2])))
    return FALSE;
  return !overlap (self->d, size, self->workspace, self->workspace_size);
}

cublasStatus_t
cublasLtMatmul (cublasLtHandle_t            handle,
                cublasLtMatmulDesc_t        desc,
                const void                 *alpha,
                const void                 *a,
                cublasLtMatrixLayout_t      a_layout,
                const void                 *b,
                cublasLtMatrixLayout_t      b_layout,
                const void                 *beta,
                const void                 *c,
                cublasLtMatrixLayout_t      c_layout,
                void                       *d,
                cublasLtMatrixLayout_t      d_layout,
                const cublasLtMatmulAlgo_t *algo,
                void                       *workspace,
                size_t                      workspace_size,
                cudaStream_t                stream)
{
  cublasStatus_t status = blas_enter ("cublasLtMatmul");
  BlasAlgorithm algorithm = { BLAS_ALGORITHM_MARK, BLAS_N_METHODS - 1, { 256, 256, 256, 256 } };
  guint64 sizes[3];
  Product product;

  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (!fake_cuda_has_object (handle, "cuBLASLt handle"))
    return CUBLAS_STATUS_NOT_INITIALIZED;
  product = (Product) {
    .desc = *(const BlasDesc *) desc,
    .layouts = { *(const BlasLayout *) a_layout, *(const BlasLayout *) b_layout, *(const BlasLayout *) c_layout, *(const BlasLayout *) d_layout },
    .data = { a, b, c },
    .d = d,
  };
  status = blas_check_product (&product.desc, &product.layouts[0], &product.layouts[1], &product.layouts[2], &product.layouts[3], sizes);
  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (algo != NULL)
    {
      if (!blas_is_algorithm (algo))
        return CUBLAS_STATUS_INVALID_VALUE;
      memcpy (&algorithm, algo, sizeof algorithm);
    }
  if (product.desc.pointer_mode != CUBLASLT_POINTER_MODE_HOST)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  product.alpha = *(const float *) alpha;
  product.beta = *(const float *) beta;
  product.m = sizes[0];
  product.n = sizes[1];
  product.k = sizes[2];
  product.n_parts = blas_get_method (algorithm.number)->n_parts;
  product.workspace = workspace;
  product.workspace_size = blas_get_method (algorithm.number)->workspace;
  if (workspace_size < product.workspace_size || !is_in_device_memory (&product, &algorithm) || !writes_apart (&product))
    return CUBLAS_STATUS_INVALID_VALUE;
  return blas_translate (fake_cuda_enqueue (stream, multiply, g_memdup2 (&product, sizeof product), g_free));
}
