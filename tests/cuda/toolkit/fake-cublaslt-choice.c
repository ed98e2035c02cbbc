/* fake-cublaslt-choice.c — which products the library has, and by which algorithms
 *
 * What the real one refuses on a device, in a version or for a layout is refused here, and a little more: a
 * bias or a scale that is not known yet, since nobody promises that a choice does not look at it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fake-cublaslt-private.h"

#include <string.h>

/* Best first. */
static const BlasMethod methods[BLAS_N_METHODS] = {
  { 1 << 20, 3, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE },
  { 32 << 10, 1, CUBLASLT_REDUCTION_SCHEME_NONE },
  { 0, 2, CUBLASLT_REDUCTION_SCHEME_INPLACE },
  { 0, 1, CUBLASLT_REDUCTION_SCHEME_NONE },
};

gsize
blas_element_size (int type)
{
  return type == CUDA_R_32F ? 4 : type == CUDA_R_16BF ? 2 : 1;
}

gsize
blas_element (const BlasLayout *layout,
         guint64       row,
         guint64       col)
{
  return layout->order == CUBLASLT_ORDER_ROW ? row * (guint64) layout->ld + col : col * (guint64) layout->ld + row;
}

/* ---- what may be asked for ---- */

static gboolean
is_valid_layout (const BlasLayout *layout)
{
  const guint64 least = layout->order == CUBLASLT_ORDER_ROW ? layout->cols : layout->rows;

  return layout->rows > 0 && layout->cols > 0 && layout->ld > 0 && (guint64) layout->ld >= least && layout->batch_count > 0;
}

gboolean
blas_has_vector (const BlasDesc *desc,
                 int             i)
{
  return desc->scale_modes[i] == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
}

int
blas_bias_type (const BlasDesc   *desc,
                const BlasLayout *d)
{
  return desc->bias_type < 0 ? (int) d->type : desc->bias_type;
}

/* A scale for each row and column came with version 12.9, for one generation of devices and both matrices or none. */
static cublasStatus_t
check_scales (const BlasDesc *desc)
{
  const gboolean vectors = blas_has_vector (desc, 0);

  if (vectors != blas_has_vector (desc, 1) ||
      (vectors && (fake_cuda_config ()->major != 9 || fake_cuda_config ()->blas_version < 120900)))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  return vectors && (desc->scales[0] == NULL || desc->scales[1] == NULL) ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}

/* Of eight bits only the one layout that the hardware has, in multiples of 16 bytes. */
static gboolean
is_float8_layout (const BlasDesc   *desc,
                  const BlasLayout *a,
                  const BlasLayout *b,
                  const BlasLayout *c,
                  const BlasLayout *d)
{
  const gint64 out = (gint64) blas_element_size ((int) d->type);

  return desc->transposed[0] == CUBLAS_OP_T && desc->transposed[1] == CUBLAS_OP_N &&
         a->order == CUBLASLT_ORDER_COL && b->order == CUBLASLT_ORDER_COL && d->order == CUBLASLT_ORDER_COL &&
         a->rows % 16 == 0 && a->cols % 16 == 0 && a->ld % 16 == 0 && b->ld % 16 == 0 &&
         c->ld * out % 16 == 0 && d->ld * out % 16 == 0;
}

static cublasStatus_t
check_types (const BlasDesc   *desc,
             const BlasLayout *a,
             const BlasLayout *b,
             const BlasLayout *c,
             const BlasLayout *d)
{
  const FakeCudaConfig *device = fake_cuda_config ();
  const gboolean has_bias = (desc->epilogue & CUBLASLT_EPILOGUE_BIAS) != 0;
  const int bias_type = blas_bias_type (desc, d);

  if (desc->scale_type != CUDA_R_32F || a->type != b->type || c->type != d->type)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (desc->epilogue != CUBLASLT_EPILOGUE_DEFAULT && desc->epilogue != CUBLASLT_EPILOGUE_BIAS)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (d->type != CUDA_R_32F && d->type != CUDA_R_16BF)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (has_bias && desc->bias == NULL)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (a->type == CUDA_R_32F)
    return d->type == CUDA_R_32F && (!has_bias || bias_type == CUDA_R_32F) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
  if (desc->compute_type != CUBLAS_COMPUTE_32F || device->major < 8)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (a->type == CUDA_R_16BF)
    return !has_bias || bias_type == (int) d->type ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
  if (a->type != CUDA_R_8F_E4M3 || (has_bias && bias_type != CUDA_R_16BF) || !is_float8_layout (desc, a, b, c, d) ||
      (device->major == 8 && device->minor < 9))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  return check_scales (desc);
}

cublasStatus_t
blas_check_product (const BlasDesc   *desc,
                    const BlasLayout *a,
                    const BlasLayout *b,
                    const BlasLayout *c,
                    const BlasLayout *d,
                    guint64           sizes[3])
{
  const guint64 m = desc->transposed[0] ? a->cols : a->rows, k = desc->transposed[0] ? a->rows : a->cols;
  const guint64 n = desc->transposed[1] ? b->rows : b->cols;

  if (!is_valid_layout (a) || !is_valid_layout (b) || !is_valid_layout (c) || !is_valid_layout (d) ||
      (desc->transposed[1] ? b->cols : b->rows) != k || d->rows != m || d->cols != n || c->rows != m || c->cols != n ||
      a->batch_count != d->batch_count || b->batch_count != d->batch_count || c->batch_count != d->batch_count)
    return CUBLAS_STATUS_INVALID_VALUE;
  sizes[0] = m;
  sizes[1] = n;
  sizes[2] = k;
  return check_types (desc, a, b, c, d);
}

/* ---- algorithms ---- */

/* Can method @i compute what @wishes allow? Eight bits are read 16 bytes at a time. */
static gboolean
is_possible (guint32               i,
             const BlasPreference *wishes,
             const BlasLayout     *a)
{
  if (methods[i].workspace > wishes->max_workspace || (methods[i].reduction & ~wishes->reductions) != 0)
    return FALSE;
  for (guint operand = 0; a->type == CUDA_R_8F_E4M3 && operand < G_N_ELEMENTS (wishes->alignments); operand++)
    if (wishes->alignments[operand] < 16)
      return FALSE;
  return TRUE;
}

/* The second proposal is one that cannot be used, and says so in its state alone. */
cublasStatus_t
cublasLtMatmulAlgoGetHeuristic (cublasLtHandle_t                handle,
                                cublasLtMatmulDesc_t            desc,
                                cublasLtMatrixLayout_t          a,
                                cublasLtMatrixLayout_t          b,
                                cublasLtMatrixLayout_t          c,
                                cublasLtMatrixLayout_t          d,
                                cublasLtMatmulPreference_t      preference,
                                int                             n_requested,
                                cublasLtMatmulHeuristicResult_t results[],
                                int                            *n_returned)
{
  const BlasPreference *wishes = (const BlasPreference *) preference;
  cublasStatus_t status = blas_enter ("cublasLtMatmulAlgoGetHeuristic");
  guint64 sizes[3];

  *n_returned = 0;
  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (!fake_cuda_has_object (handle, "cuBLASLt handle") || n_requested < 1)
    return CUBLAS_STATUS_INVALID_VALUE;
  status = blas_check_product ((BlasDesc *) desc, (BlasLayout *) a, (BlasLayout *) b, (BlasLayout *) c, (BlasLayout *) d, sizes);
  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  for (guint32 i = 0; i < BLAS_N_METHODS && *n_returned < n_requested; i++)
    {
      cublasLtMatmulHeuristicResult_t *result = &results[*n_returned];
      BlasAlgorithm algorithm = { .mark = BLAS_ALGORITHM_MARK, .number = i };

      if (!is_possible (i, wishes, (BlasLayout *) a))
        continue;
      memcpy (algorithm.alignments, wishes->alignments, sizeof algorithm.alignments);
      *result = (cublasLtMatmulHeuristicResult_t) { .workspaceSize = methods[i].workspace, .wavesCount = 1 };
      memcpy (&result->algo, &algorithm, sizeof algorithm);
      if (++*n_returned == 1 && n_requested > 2)
        results[(*n_returned)++] = (cublasLtMatmulHeuristicResult_t) { .state = CUBLAS_STATUS_NOT_SUPPORTED };
    }
  return CUBLAS_STATUS_SUCCESS;
}

gboolean
blas_is_algorithm (const cublasLtMatmulAlgo_t *algo)
{
  const BlasAlgorithm *algorithm = (const BlasAlgorithm *) algo;

  return algorithm->mark == BLAS_ALGORITHM_MARK && algorithm->number < BLAS_N_METHODS;
}

const BlasMethod *
blas_get_method (guint32 number)
{
  return &methods[number];
}

cublasStatus_t
cublasLtMatmulAlgoCheck (cublasLtHandle_t                 handle,
                         cublasLtMatmulDesc_t             desc,
                         cublasLtMatrixLayout_t           a,
                         cublasLtMatrixLayout_t           b,
                         cublasLtMatrixLayout_t           c,
                         cublasLtMatrixLayout_t           d,
                         const cublasLtMatmulAlgo_t      *algo,
                         cublasLtMatmulHeuristicResult_t *result)
{
  cublasStatus_t status = blas_enter ("cublasLtMatmulAlgoCheck");
  guint64 sizes[3];

  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (!fake_cuda_has_object (handle, "cuBLASLt handle") || !blas_is_algorithm (algo))
    return CUBLAS_STATUS_INVALID_VALUE;
  status = blas_check_product ((BlasDesc *) desc, (BlasLayout *) a, (BlasLayout *) b, (BlasLayout *) c, (BlasLayout *) d, sizes);
  *result = (cublasLtMatmulHeuristicResult_t) {
    .algo = *algo,
    .workspaceSize = methods[((const BlasAlgorithm *) algo)->number].workspace,
    .state = status,
    .wavesCount = 1,
  };
  return status;
}
