/* cuda-product.c — matrix products by cuBLASLt
 *
 * cuBLAS counts in columns: our row-major y [m, n] = x [m, k] · Wᵀ is its column-major
 * yᵀ [n, m] = Wᵀ·xᵀ, with W [n, k] read as a transposed [k, n]. So A is W, B is x, and a bias along
 * the rows of yᵀ is one along our channels. A W that is given turned, [k, n], is read as it lies.
 *
 * Everything about a product but its pointers is made once a device: descriptors, and the algorithm.
 * Of what the library proposes none divides k among blocks, so that the same sums come out in the same
 * order; the fastest is found once, by a clock, and recorded (cuda-choices.c). A sum over so many rows that
 * it needs parts is a batch of products, whose results the caller adds up.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

/* Proposals to time, and runs of each. */
#define MAX_PROPOSALS 8
#define TIMED_RUNS 5
/* A later proposal must be faster than an earlier one by this to be taken: clocks are not exact. */
#define CLEARLY_FASTER .97

struct _CudaProduct
{
  CudaProductKey key;
  cublasLtMatmulDesc_t description;
  cublasLtMatrixLayout_t weight, x, y;
  cublasLtMatmulAlgo_t algorithm;
};

struct _CudaProducts
{
  CudaDevice *device;
  CudaChoices *choices;
  GHashTable *table;   /* key as text → CudaProduct */
  gboolean first_only; /* take the library's first proposal: for tests and comparisons */
};

static void
cuda_product_free (CudaProduct *self)
{
  if (self->weight != NULL)
    (void) cublasLtMatrixLayoutDestroy (self->weight);
  if (self->x != NULL)
    (void) cublasLtMatrixLayoutDestroy (self->x);
  if (self->y != NULL)
    (void) cublasLtMatrixLayoutDestroy (self->y);
  if (self->description != NULL)
    (void) cublasLtMatmulDescDestroy (self->description);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CudaProduct, cuda_product_free)

CudaProducts *
cuda_products_new (CudaDevice *device)
{
  CudaProducts *self = g_new0 (CudaProducts, 1);

  self->device = device;
  self->choices = cuda_choices_new (device);
  self->table = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) cuda_product_free);
  self->first_only = g_strcmp0 (g_getenv ("DIMR_CUDA_FIRST_ALGORITHM"), "1") == 0;
  return self;
}

void
cuda_products_free (CudaProducts *self)
{
  g_hash_table_unref (self->table);
  cuda_choices_free (self->choices);
  g_free (self);
}

guint
cuda_products_get_size (CudaProducts *self)
{
  return g_hash_table_size (self->table);
}

guint
cuda_products_get_version (void)
{
  return (guint) MIN (cublasLtGetVersion (), (gsize) CUBLAS_VERSION);
}

static cudaDataType_t
data_type (CudaType type)
{
  return type == CUDA_TYPE_F32 ? CUDA_R_32F : CUDA_R_16BF;
}

#define SET(description, attribute, value) \
  cublasLtMatmulDescSetAttribute ((description), (attribute), &(value), sizeof (value))

/* A is the weight, with a scale for each channel of y; B is x, with one for each of its rows. Sums are promoted
 * to full float (no "fast accumulation"), and a bias of bf16 is all that these products take. */
static cublasStatus_t
describe_float8 (CudaProduct *self)
{
#if CUBLAS_VERSION >= CUDA_F8_BLAS
  const int32_t vector = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F, bias_type = CUDA_R_16BF;
  cublasStatus_t status = SET (self->description, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, vector);

  if (status == CUBLAS_STATUS_SUCCESS)
    status = SET (self->description, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, vector);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = SET (self->description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias_type);
  return status;
#else
  return CUBLAS_STATUS_NOT_SUPPORTED;
#endif
}

static cublasStatus_t
repeat_layout (cublasLtMatrixLayout_t layout,
               gsize                  batch,
               gsize                  stride)
{
  const int32_t count = (int32_t) batch;
  const int64_t offset = (int64_t) stride;
  cublasStatus_t status = cublasLtMatrixLayoutSetAttribute (layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count);

  return status == CUBLAS_STATUS_SUCCESS
           ? cublasLtMatrixLayoutSetAttribute (layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &offset, sizeof offset) : status;
}

static cublasStatus_t
describe_batch (CudaProduct *self,
                gsize        x_stride,
                gsize        y_stride)
{
  const CudaProductKey *key = &self->key;
  cublasStatus_t status = repeat_layout (self->weight, key->batch, key->k * key->weight_stride);

  if (status == CUBLAS_STATUS_SUCCESS)
    status = repeat_layout (self->x, key->batch, key->k * x_stride);
  return status == CUBLAS_STATUS_SUCCESS ? repeat_layout (self->y, key->batch, key->m * y_stride) : status;
}

/* In F32 the products are float throughout, not TF32: that precision is there to check others by. */
static cublasStatus_t
describe (CudaProduct *self)
{
  const CudaProductKey *key = &self->key;
  const cublasOperation_t of_weight = key->turned ? CUBLAS_OP_N : CUBLAS_OP_T;
  const cublasOperation_t of_x = key->x_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
  const gsize x_dense = key->x_turned ? key->m : key->k;
  const gsize x_stride = key->x_stride != 0 ? key->x_stride : x_dense, y_stride = key->y_stride != 0 ? key->y_stride : key->n;
  const cublasLtEpilogue_t epilogue = key->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  const cudaDataType_t type = key->f8 ? CUDA_R_8F_E4M3 : data_type (key->type);
  cublasStatus_t status = cublasLtMatmulDescCreate (&self->description, CUBLAS_COMPUTE_32F, CUDA_R_32F);

  if (status == CUBLAS_STATUS_SUCCESS)
    status = SET (self->description, CUBLASLT_MATMUL_DESC_TRANSA, of_weight);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = SET (self->description, CUBLASLT_MATMUL_DESC_TRANSB, of_x);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = SET (self->description, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  if (status == CUBLAS_STATUS_SUCCESS && key->f8)
    status = describe_float8 (self);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatrixLayoutCreate (&self->weight, type, key->turned ? key->n : key->k,
                                         key->turned ? key->k : key->n, (int64_t) key->weight_stride);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatrixLayoutCreate (&self->x, type, x_dense, key->x_turned ? key->k : key->m, (int64_t) x_stride);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatrixLayoutCreate (&self->y, data_type (key->out), key->n, key->m, (int64_t) y_stride);
  if (status == CUBLAS_STATUS_SUCCESS && key->batch > 1)
    status = describe_batch (self, x_stride, y_stride);
  return status;
}

/* Where this run's vectors lie. A choice of algorithms may look at that too, so they are set before the first one. */
static cublasStatus_t
point (CudaProduct           *self,
       const CudaProductData *data)
{
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;

  if (self->key.bias)
    status = SET (self->description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, data->bias);
  if (status == CUBLAS_STATUS_SUCCESS && self->key.f8)
    status = SET (self->description, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, data->weight_scales);
  if (status == CUBLAS_STATUS_SUCCESS && self->key.f8)
    status = SET (self->description, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, data->x_scales);
  return status;
}

/* What the library may choose from. It assumes 256 bytes of alignment unless it is told. */
static cublasStatus_t
prefer (const CudaProduct           *self,
        gsize                        workspace,
        cublasLtMatmulPreference_t  *preference)
{
  static const cublasLtMatmulPreferenceAttributes_t operands[] = {
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
  };
  const uint64_t bytes = workspace;
  const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE, alignment = self->key.alignment;
  cublasStatus_t status = cublasLtMatmulPreferenceCreate (preference);

  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatmulPreferenceSetAttribute (*preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatmulPreferenceSetAttribute (*preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                   &reduction, sizeof reduction);
  for (gsize i = 0; status == CUBLAS_STATUS_SUCCESS && i < G_N_ELEMENTS (operands); i++)
    status = cublasLtMatmulPreferenceSetAttribute (*preference, operands[i], &alignment, sizeof alignment);
  return status;
}

/* Those of the @n proposals that can be used, in front; their number. */
static int
keep_usable (cublasLtMatmulHeuristicResult_t *proposals,
             int                              n)
{
  int kept = 0;

  for (int i = 0; i < n; i++)
    if (proposals[i].state == CUBLAS_STATUS_SUCCESS)
      proposals[kept++] = proposals[i];
  return kept;
}

static gboolean
propose (CudaProducts                     *self,
         CudaProduct                      *product,
         cublasLtMatmulHeuristicResult_t  *proposals,
         int                              *n,
         GError                          **error)
{
  cublasLtMatmulPreference_t preference = NULL;
  cublasStatus_t status = prefer (product, self->device->product_workspace, &preference);

  *n = 0;
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatmulAlgoGetHeuristic (self->device->lt, product->description, product->weight, product->x, product->y,
                                             product->y, preference, MAX_PROPOSALS, proposals, n);
  if (preference != NULL)
    (void) cublasLtMatmulPreferenceDestroy (preference);
  if (status == CUBLAS_STATUS_SUCCESS)
    *n = keep_usable (proposals, *n);
  if (status == CUBLAS_STATUS_SUCCESS && *n == 0)
    status = CUBLAS_STATUS_NOT_SUPPORTED;
  if (status == CUBLAS_STATUS_NOT_SUPPORTED && product->key.f8)
    {
      dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                      _("cuBLAS has no product in float8 of this model's sizes on %s; use --precision bf16"), self->device->name);
      return FALSE;
    }
  return cuda_device_check_blas (self->device, status, error);
}

/* Seconds of one run, or infinity where it fails. */
static double
time_algorithm (CudaProducts          *self,
                CudaProduct           *product,
                const CudaProductData *data,
                cudaEvent_t            begin,
                cudaEvent_t            end)
{
  const cudaStream_t stream = self->device->stream;
  float milliseconds = 0;
  gboolean good = cuda_product_run (product, self->device, data, stream, NULL) &&
                  cudaEventRecord (begin, stream) == cudaSuccess;

  for (guint i = 0; good && i < TIMED_RUNS; i++)
    good = cuda_product_run (product, self->device, data, stream, NULL);
  if (good && cudaEventRecord (end, stream) == cudaSuccess && cudaEventSynchronize (end) == cudaSuccess &&
      cudaEventElapsedTime (&milliseconds, begin, end) == cudaSuccess)
    return (double) milliseconds / 1000 / TIMED_RUNS;
  return G_MAXDOUBLE;
}

/* The first of the fastest; the very first where there is no clock. */
static void
choose_fastest (CudaProducts                          *self,
                CudaProduct                           *product,
                const CudaProductData                 *data,
                const cublasLtMatmulHeuristicResult_t *proposals,
                int                                    n)
{
  cudaEvent_t begin = NULL, end = NULL;
  double best = G_MAXDOUBLE;
  int chosen = 0;

  if (cudaEventCreate (&begin) == cudaSuccess && cudaEventCreate (&end) == cudaSuccess)
    for (int i = 0; i < n; i++)
      {
        double seconds;

        product->algorithm = proposals[i].algo;
        seconds = time_algorithm (self, product, data, begin, end);
        if (seconds < best * (i == 0 ? 1 : CLEARLY_FASTER))
          {
            best = seconds;
            chosen = i;
          }
      }
  if (begin != NULL)
    (void) cudaEventDestroy (begin);
  if (end != NULL)
    (void) cudaEventDestroy (end);
  product->algorithm = proposals[chosen].algo;
}

static char *
key_to_string (const CudaProductKey *key)
{
  /* Dense products keep the names under which their algorithms were recorded. */
  g_autofree char *strides = key->x_stride != 0 || key->y_stride != 0 || key->turned || key->x_turned
                               ? g_strdup_printf ("-%" G_GSIZE_FORMAT "-%" G_GSIZE_FORMAT "%s%s", key->x_stride, key->y_stride,
                                                  key->turned ? "-turned" : "", key->x_turned ? "-xturned" : "")
                               : g_strdup ("");
  g_autofree char *parts = key->batch > 1 ? g_strdup_printf ("-parts%" G_GSIZE_FORMAT, key->batch) : g_strdup ("");

  return g_strdup_printf ("%" G_GSIZE_FORMAT "x%" G_GSIZE_FORMAT "x%" G_GSIZE_FORMAT "/%" G_GSIZE_FORMAT "-%s-%s%s%s-%u%s%s",
                          key->m, key->n, key->k, key->weight_stride,
                          key->f8 ? "e4m3" : key->type == CUDA_TYPE_F32 ? "f32" : "bf16",
                          key->out == CUDA_TYPE_F32 ? "f32" : "bf16", key->bias ? "-bias" : "", key->add ? "-add" : "",
                          key->alignment, strides, parts);
}

/* TRUE where the library still takes what was recorded. */
static gboolean
recall (CudaProducts *self,
        CudaProduct  *product,
        const char   *name)
{
  cublasLtMatmulHeuristicResult_t result;

  return cuda_choices_find (self->choices, name, &product->algorithm) &&
         cublasLtMatmulAlgoCheck (self->device->lt, product->description, product->weight, product->x, product->y, product->y,
                                  &product->algorithm, &result) == CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= self->device->product_workspace;
}

CudaProduct *
cuda_products_get (CudaProducts           *self,
                   const CudaProductKey   *key,
                   const CudaProductData  *data,
                   GError                **error)
{
  g_autofree char *name = key_to_string (key);
  g_autoptr (CudaProduct) product = NULL;
  cublasLtMatmulHeuristicResult_t proposals[MAX_PROPOSALS];
  cublasLtMatmulAlgo_t own;
  CudaProduct *found = g_hash_table_lookup (self->table, name);
  int n;

  if (found != NULL)
    return found;
  product = g_new0 (CudaProduct, 1);
  product->key = *key;
  if (!cuda_device_check_blas (self->device, describe (product), error) ||
      !cuda_device_check_blas (self->device, point (product, data), error))
    return NULL;
  if (self->first_only || !recall (self, product, name))
    {
      if (!propose (self, product, proposals, &n, error))
        return NULL;
      product->algorithm = proposals[0].algo;
      if (!self->first_only)
        {
          if (n > 1)
            choose_fastest (self, product, data, proposals, n);
          own = product->algorithm;
          if (!cuda_choices_record (self->choices, name, &own) && !recall (self, product, name))
            product->algorithm = own;
        }
    }
  found = g_steal_pointer (&product);
  g_hash_table_insert (self->table, g_steal_pointer (&name), found);
  return found;
}

gboolean
cuda_product_run (CudaProduct            *self,
                  CudaDevice             *device,
                  const CudaProductData  *data,
                  cudaStream_t            stream,
                  GError                **error)
{
  const float one = 1, beta = self->key.add ? 1 : 0;
  cublasStatus_t status = point (self, data);

  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatmul (device->lt, self->description, &one, data->weight, self->weight, data->x, self->x, &beta,
                             self->key.add ? data->c : data->y, self->y, data->y, self->y, &self->algorithm,
                             data->workspace, device->product_workspace, stream);
  return cuda_device_check_blas (device, status, error);
}
