/* test-toolkit-blas.c — the cuBLASLt that is none: its products, and what it refuses as the real one does
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "toolkit-case.h"

#include <cublasLt.h>
#include <math.h>
#include <string.h>

/* ---- products ---- */

typedef struct
{
  const char *path;
  cudaDataType in, out;
  gboolean transposed[2];
  gboolean row_major;       /* all four matrices */
  int m, n, k;
  int padding;              /* of every leading dimension */
  gboolean bias;
  float alpha, beta;
  int batch;
} Case;

static const Case cases[] = {
  { "/toolkit/product/plain", CUDA_R_32F, CUDA_R_32F, { 0, 0 }, FALSE, 5, 7, 9, 0, FALSE, 1, 0, 1 },
  { "/toolkit/product/transposed-a", CUDA_R_32F, CUDA_R_32F, { 1, 0 }, FALSE, 70, 33, 65, 3, TRUE, 1, 0, 1 },
  { "/toolkit/product/transposed-both", CUDA_R_32F, CUDA_R_32F, { 1, 1 }, FALSE, 16, 40, 24, 1, FALSE, .5f, 2, 1 },
  { "/toolkit/product/rows", CUDA_R_32F, CUDA_R_32F, { 0, 1 }, TRUE, 6, 35, 12, 2, TRUE, 1, 1, 3 },
  { "/toolkit/product/bf16", CUDA_R_16BF, CUDA_R_16BF, { 1, 0 }, FALSE, 48, 20, 32, 0, TRUE, 1, 1, 1 },
  { "/toolkit/product/bf16-to-f32", CUDA_R_16BF, CUDA_R_32F, { 1, 0 }, FALSE, 48, 20, 32, 8, TRUE, 1, 0, 2 },
  { "/toolkit/product/e4m3", CUDA_R_8F_E4M3, CUDA_R_16BF, { 1, 0 }, FALSE, 16, 33, 48, 16, FALSE, .25f, 0, 1 },
};

/* Small numbers that every type holds exactly, and so does their sum. */
static float
value_at (guint i)
{
  return (float) ((int) (i * 7919u % 9u) - 4) / 4;
}

/* @value, one of the above, as an element of @type. */
static void
put (void         *data,
     cudaDataType  type,
     gsize         i,
     float         value)
{
  static const guint8 e4m3[] = { 0x00, 0x28, 0x30, 0x34, 0x38 };
  guint32 bits;

  memcpy (&bits, &value, 4);
  if (type == CUDA_R_32F)
    ((float *) data)[i] = value;
  else if (type == CUDA_R_16BF)
    ((guint16 *) data)[i] = (guint16) (bits >> 16);
  else
    ((guint8 *) data)[i] = (guint8) (e4m3[(int) fabsf (value * 4)] | (value < 0 ? 0x80 : 0));
}

static float
get (const void   *data,
     cudaDataType  type,
     gsize         i)
{
  guint32 bits = (guint32) ((const guint16 *) data)[i] << 16;
  float value;

  if (type == CUDA_R_32F)
    return ((const float *) data)[i];
  memcpy (&value, &bits, 4);
  return value;
}

typedef struct
{
  int rows, cols, ld, batch_stride;
  gboolean row_major;
  cudaDataType type;
  void *data;
  cublasLtMatrixLayout_t layout;
} Matrix;

static gsize
at (const Matrix *self,
    int           batch,
    int           row,
    int           col)
{
  return (gsize) (batch * self->batch_stride + (self->row_major ? row * self->ld + col : col * self->ld + row));
}

static Matrix
matrix_new (const Case   *c,
            int           rows,
            int           cols,
            cudaDataType  type,
            guint         seed)
{
  Matrix self = { .rows = rows, .cols = cols, .row_major = c->row_major, .type = type };
  const int order = c->row_major ? CUBLASLT_ORDER_ROW : CUBLASLT_ORDER_COL;
  const gint64 stride = (gint64) (self.batch_stride = ((c->row_major ? cols : rows) + c->padding) * ((c->row_major ? rows : cols) + 1));

  self.ld = (c->row_major ? cols : rows) + c->padding;
  OK (cudaMalloc (&self.data, (gsize) stride * (gsize) c->batch * 4));
  for (int batch = 0; batch < c->batch; batch++)
    for (int row = 0; row < rows; row++)
      for (int col = 0; col < cols; col++)
        put (self.data, type, at (&self, batch, row, col), value_at (seed + (guint) (batch * 1009 + row * 31 + col)));
  OK (cublasLtMatrixLayoutCreate (&self.layout, type, (guint64) rows, (guint64) cols, self.ld));
  OK (cublasLtMatrixLayoutSetAttribute (self.layout, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, 4));
  OK (cublasLtMatrixLayoutSetAttribute (self.layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &c->batch, 4));
  OK (cublasLtMatrixLayoutSetAttribute (self.layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, 8));
  return self;
}

static void
matrix_free (Matrix *self)
{
  OK (cudaFree (self->data));
  OK (cublasLtMatrixLayoutDestroy (self->layout));
}

static void
check_product (const Case   *c,
               const Matrix  m[4],
               const void   *bias)
{
  for (int batch = 0; batch < c->batch; batch++)
    for (int row = 0; row < c->m; row++)
      for (int col = 0; col < c->n; col++)
        {
          double sum = 0;

          for (int k = 0; k < c->k; k++)
            sum += (double) value_at (1 + (guint) (batch * 1009 + (c->transposed[0] ? k * 31 + row : row * 31 + k))) *
                   (double) value_at (2 + (guint) (batch * 1009 + (c->transposed[1] ? col * 31 + k : k * 31 + col)));
          sum *= (double) c->alpha;
          if (c->beta != 0)
            sum += (double) (c->beta * get (m[2].data, m[2].type, at (&m[2], batch, row, col)));
          if (c->bias)
            sum += (double) get (bias, c->out, (gsize) row);
          g_assert_cmpfloat_with_epsilon ((double) get (m[3].data, c->out, at (&m[3], batch, row, col)), sum,
                                          c->out == CUDA_R_32F ? 1e-6 : 1e-6 + fabs (sum) / 256);
        }
}

static void
test_product (gconstpointer data)
{
  const Case *c = data;
  const int operations[2] = { c->transposed[0] ? CUBLAS_OP_T : CUBLAS_OP_N, c->transposed[1] ? CUBLAS_OP_T : CUBLAS_OP_N };
  const guint32 epilogue = c->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  const guint64 max_workspace = 4 << 20;
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t desc;
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulHeuristicResult_t results[8];
  Matrix m[4];
  void *bias, *workspace;
  int n_results;

  set_up ();
  OK (cublasLtCreate (&handle));
  OK (cublasLtMatmulDescCreate (&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  OK (cublasLtMatmulDescSetAttribute (desc, CUBLASLT_MATMUL_DESC_TRANSA, &operations[0], 4));
  OK (cublasLtMatmulDescSetAttribute (desc, CUBLASLT_MATMUL_DESC_TRANSB, &operations[1], 4));
  OK (cublasLtMatmulDescSetAttribute (desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, 4));
  g_assert_cmpint (cublasLtMatmulDescSetAttribute (desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, 8), ==, CUBLAS_STATUS_INVALID_VALUE);
  OK (cudaMalloc (&bias, (gsize) c->m * 4));
  OK (cudaMalloc (&workspace, max_workspace));
  for (int i = 0; i < c->m; i++)
    put (bias, c->out, (gsize) i, value_at ((guint) i));
  OK (cublasLtMatmulDescSetAttribute (desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
  m[0] = matrix_new (c, c->transposed[0] ? c->k : c->m, c->transposed[0] ? c->m : c->k, c->in, 1);
  m[1] = matrix_new (c, c->transposed[1] ? c->n : c->k, c->transposed[1] ? c->k : c->n, c->in, 2);
  m[2] = matrix_new (c, c->m, c->n, c->out, 3);
  m[3] = matrix_new (c, c->m, c->n, c->out, 4);
  OK (cublasLtMatmulPreferenceCreate (&preference));

  OK (cublasLtMatmulAlgoGetHeuristic (handle, desc, m[0].layout, m[1].layout, m[2].layout, m[3].layout, preference, 8, results, &n_results));
  for (int i = 0; i < n_results; i++)
    if (results[i].state == CUBLAS_STATUS_SUCCESS)
      g_assert_cmpuint (results[i].workspaceSize, ==, 0);
  OK (cublasLtMatmulPreferenceSetAttribute (preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &max_workspace, 8));
  OK (cublasLtMatmulAlgoGetHeuristic (handle, desc, m[0].layout, m[1].layout, m[2].layout, m[3].layout, preference, 8, results, &n_results));
  g_assert_cmpint (n_results, >=, 4);
  g_assert_cmpint (results[1].state, ==, CUBLAS_STATUS_NOT_SUPPORTED);
  for (int i = 0; i < n_results; i++)
    {
      cublasLtMatmulHeuristicResult_t result;

      if (results[i].state != CUBLAS_STATUS_SUCCESS)
        continue;
      OK (cublasLtMatmulAlgoCheck (handle, desc, m[0].layout, m[1].layout, m[2].layout, m[3].layout, &results[i].algo, &result));
      g_assert_cmpuint (result.workspaceSize, ==, results[i].workspaceSize);
      if (result.workspaceSize > 0)
        g_assert_cmpint (cublasLtMatmul (handle, desc, &c->alpha, m[0].data, m[0].layout, m[1].data, m[1].layout, &c->beta,
                                         m[2].data, m[2].layout, m[3].data, m[3].layout, &results[i].algo, workspace,
                                         result.workspaceSize - 1, NULL), ==, CUBLAS_STATUS_INVALID_VALUE);
      OK (cublasLtMatmul (handle, desc, &c->alpha, m[0].data, m[0].layout, m[1].data, m[1].layout, &c->beta,
                          m[2].data, m[2].layout, m[3].data, m[3].layout, &results[i].algo, workspace, max_workspace, NULL));
      check_product (c, m, bias);
    }

  OK (cublasLtMatmulPreferenceDestroy (preference));
  for (guint i = 0; i < 4; i++)
    matrix_free (&m[i]);
  OK (cudaFree (bias));
  OK (cudaFree (workspace));
  OK (cublasLtMatmulDescDestroy (desc));
  OK (cublasLtDestroy (handle));
}

/* 16 × 16 × 16, as the real library takes and refuses it. */
typedef struct
{
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t desc;
  cublasLtMatrixLayout_t layout[4];
  cublasLtMatmulPreference_t preference;
  char *memory;             /* 1 KiB for each matrix, then for vectors */
  void *workspace;
  cublasLtMatmulHeuristicResult_t results[8];
} Rules;

static cublasStatus_t
choose (Rules *self)
{
  int n;

  return cublasLtMatmulAlgoGetHeuristic (self->handle, self->desc, self->layout[0], self->layout[1], self->layout[2],
                                         self->layout[3], self->preference, 8, self->results, &n);
}

static cublasStatus_t
multiply (Rules *self,
          gsize  d,
          gsize  workspace)
{
  const float one = 1;

  return cublasLtMatmul (self->handle, self->desc, &one, self->memory, self->layout[0], self->memory + 1024, self->layout[1],
                         &one, self->memory + 2048, self->layout[2], self->memory + d, self->layout[3],
                         &self->results[0].algo, (char *) self->workspace + workspace, 1 << 20, NULL);
}

static void
rules_init (Rules        *self,
            cudaDataType  type)
{
  const gint32 transposed = CUBLAS_OP_T;
  const guint64 max_workspace = 1 << 20;

  OK (cublasLtCreate (&self->handle));
  OK (cublasLtMatmulDescCreate (&self->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  OK (cublasLtMatmulDescSetAttribute (self->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, 4));
  for (guint i = 0; i < 4; i++)
    OK (cublasLtMatrixLayoutCreate (&self->layout[i], i < 2 ? type : CUDA_R_16BF, 16, 16, 16));
  OK (cublasLtMatmulPreferenceCreate (&self->preference));
  OK (cublasLtMatmulPreferenceSetAttribute (self->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &max_workspace, 8));
  OK (cudaMalloc ((void **) &self->memory, 8192));
  OK (cudaMemset (self->memory, 0, 8192));
  OK (cudaMalloc (&self->workspace, (1 << 20) + 256));
}

static void
rules_clear (Rules *self)
{
  OK (cudaFree (self->memory));
  OK (cudaFree (self->workspace));
  OK (cublasLtMatmulPreferenceDestroy (self->preference));
  for (guint i = 0; i < 4; i++)
    OK (cublasLtMatrixLayoutDestroy (self->layout[i]));
  OK (cublasLtMatmulDescDestroy (self->desc));
  OK (cublasLtDestroy (self->handle));
}

static void
test_product_rules (void)
{
  const guint32 bias = CUBLASLT_EPILOGUE_BIAS;
  Rules rules = { 0 };
  void *vector;

  set_up ();
  rules_init (&rules, CUDA_R_16BF);
  OK (choose (&rules));
  OK (multiply (&rules, 2048, 0));
  OK (multiply (&rules, 3072, 0));
  g_assert_cmpint (multiply (&rules, 1024 + 256, 0), ==, CUBLAS_STATUS_INVALID_VALUE);  /* over an operand */
  g_assert_cmpint (multiply (&rules, 2048 + 256, 0), ==, CUBLAS_STATUS_INVALID_VALUE);  /* over a part of C */
  g_assert_cmpint (multiply (&rules, 3072, 16), ==, CUBLAS_STATUS_INVALID_VALUE);       /* workspace not aligned */
  OK (cublasLtMatmulDescSetAttribute (rules.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &bias, 4));
  g_assert_cmpint (choose (&rules), ==, CUBLAS_STATUS_INVALID_VALUE);                   /* a bias that is nowhere */
  vector = rules.memory + 4096;
  OK (cublasLtMatmulDescSetAttribute (rules.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &vector, sizeof vector));
  OK (choose (&rules));
  fake_cuda_config ()->major = 7;
  g_assert_cmpint (choose (&rules), ==, CUBLAS_STATUS_NOT_SUPPORTED);                   /* no bfloat16 */
  rules_clear (&rules);
}

static void
test_float8_rules (void)
{
  const gint32 vectors = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
  const cublasLtMatmulDescAttributes_t pointers[] = { CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER };
  Rules rules = { 0 };

  set_up ();
  rules_init (&rules, CUDA_R_8F_E4M3);
  OK (choose (&rules));
  OK (cublasLtMatmulDescSetAttribute (rules.desc, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &vectors, 4));
  g_assert_cmpint (choose (&rules), ==, CUBLAS_STATUS_NOT_SUPPORTED);                   /* one alone */
  OK (cublasLtMatmulDescSetAttribute (rules.desc, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &vectors, 4));
  g_assert_cmpint (choose (&rules), ==, CUBLAS_STATUS_INVALID_VALUE);                   /* which are nowhere */
  for (guint i = 0; i < 2; i++)
    {
      void *scales = rules.memory + 4096 + i * 256;

      OK (cublasLtMatmulDescSetAttribute (rules.desc, pointers[i], &scales, sizeof scales));
    }
  OK (choose (&rules));
  OK (multiply (&rules, 3072, 0));
  fake_cuda_config ()->blas_version = 120805;
  g_assert_cmpint (choose (&rules), ==, CUBLAS_STATUS_NOT_SUPPORTED);
  fake_cuda_config ()->blas_version = 120900;
  OK (choose (&rules));
  fake_cuda_config ()->major = 8;
  fake_cuda_config ()->minor = 9;
  g_assert_cmpint (choose (&rules), ==, CUBLAS_STATUS_NOT_SUPPORTED);
  rules_clear (&rules);
}

/* The library's own runtime keeps its errors to itself; only what cannot be mended shows elsewhere. */
static void
test_library_errors (void)
{
  cublasLtHandle_t handle;
  gsize available, total;

  set_up ();
  fake_cuda_fail_at (1, cudaErrorInvalidValue);
  g_assert_cmpint (cublasLtCreate (&handle), ==, CUBLAS_STATUS_INVALID_VALUE);
  g_assert_cmpint (cudaGetLastError (), ==, cudaSuccess);
  fake_cuda_fail_at (1, cudaErrorLaunchFailure);
  g_assert_cmpint (cublasLtCreate (&handle), ==, CUBLAS_STATUS_EXECUTION_FAILED);
  g_assert_cmpint (cudaGetLastError (), ==, cudaSuccess);
  g_assert_cmpint (cudaMemGetInfo (&available, &total), ==, cudaErrorLaunchFailure);
  g_assert_cmpint (cudaGetLastError (), ==, cudaErrorLaunchFailure);
  fake_cuda_reset ();
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/toolkit/library-errors", test_library_errors);
  g_test_add_func ("/toolkit/product-rules", test_product_rules);
  g_test_add_func ("/toolkit/float8-rules", test_float8_rules);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    g_test_add_data_func (cases[i].path, &cases[i], test_product);
  return g_test_run ();
}
