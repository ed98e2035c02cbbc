/* fake-cublaslt-private.h — what the parts of the fake cuBLASLt share
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "fake-cuda-private.h"

#include <cublasLt.h>

G_BEGIN_DECLS

/* What lies in the library's opaque objects. */

typedef struct
{
  cudaDataType_t type;
  gint32 order;
  guint64 rows, cols;
  gint64 ld;
  gint32 batch_count;
  gint64 batch_stride;
} BlasLayout;

typedef struct
{
  cublasComputeType_t compute_type;
  cudaDataType_t scale_type;
  gint32 pointer_mode;
  gint32 transposed[2];
  guint32 epilogue;
  const void *bias;
  gint64 bias_stride;
  gint32 bias_type;      /* −1: that of D */
  const float *scales[2];
  gint32 scale_modes[2];
  gint8 fast_sums;
} BlasDesc;

typedef struct
{
  guint64 max_workspace;
  guint32 reductions;        /* mask of schemes */
  guint32 alignments[4];     /* bytes of a, b, c and d at least */
} BlasPreference;

G_STATIC_ASSERT (sizeof (BlasLayout) <= sizeof (cublasLtMatrixLayoutOpaque_t));
G_STATIC_ASSERT (sizeof (BlasDesc) <= sizeof (cublasLtMatmulDescOpaque_t));
G_STATIC_ASSERT (sizeof (BlasPreference) <= sizeof (cublasLtMatmulPreferenceOpaque_t));

/* What cublasLtMatmulAlgo_t holds. */
typedef struct
{
  guint64 mark;
  guint32 number;
  guint32 alignments[4];   /* that it counts on */
} BlasAlgorithm;

G_STATIC_ASSERT (sizeof (BlasAlgorithm) <= sizeof (cublasLtMatmulAlgo_t));

#define BLAS_ALGORITHM_MARK G_GUINT64_CONSTANT (0xd1317a190)

/* How an algorithm computes: into how many parts it splits its sums, which it then adds up by a scheme that
 * a preference can rule out. */
typedef struct
{
  gsize workspace;
  guint n_parts;
  guint reduction;
} BlasMethod;

#define BLAS_N_METHODS 4

/* ---- fake-cublaslt.c ---- */

/* Begins a call. The library has a runtime of its own inside: cudaGetLastError() never sees its errors. */
cublasStatus_t    blas_enter         (const char                 *name);
cublasStatus_t    blas_translate     (cudaError_t                 error);

/* ---- fake-cublaslt-choice.c ---- */

gsize             blas_element_size  (int                         type);
/* Where element (@row, @col) lies, in elements. */
gsize             blas_element       (const BlasLayout           *layout,
                                      guint64                     row,
                                      guint64                     col);
/* TRUE where operand @i of @desc has a scale for each row or column. */
gboolean          blas_has_vector    (const BlasDesc             *desc,
                                      int                         i);
int               blas_bias_type     (const BlasDesc             *desc,
                                      const BlasLayout           *d);
/* Rows, columns and length of the sums of a product, or an error. */
cublasStatus_t    blas_check_product (const BlasDesc             *desc,
                                      const BlasLayout           *a,
                                      const BlasLayout           *b,
                                      const BlasLayout           *c,
                                      const BlasLayout           *d,
                                      guint64                     sizes[3]);
/* One that cublasLtMatmulAlgoGetHeuristic() gave, in this process or an earlier one. */
gboolean          blas_is_algorithm  (const cublasLtMatmulAlgo_t *algo);
const BlasMethod *blas_get_method    (guint32                     number);

G_END_DECLS
