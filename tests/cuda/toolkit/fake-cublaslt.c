/* fake-cublaslt.c — matrix products on the processor, with the checks of the real library
 *
 * D = epilogue (alpha · op(A) op(B) + beta · C), sums in float. Several algorithms are offered, and
 * each sums in an order of its own and spoils the workspace that it asked for.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fake-cuda-private.h"

#include <cublasLt.h>
#include <math.h>
#include <string.h>

typedef struct
{
  cudaDataType_t type;
  gint32 order;
  guint64 rows, cols;
  gint64 ld;
  gint32 batch_count;
  gint64 batch_stride;
} Layout;

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
} Desc;

typedef struct
{
  guint64 max_workspace;
  guint32 reductions;        /* mask of schemes */
  guint32 alignments[4];     /* bytes of a, b, c and d at least */
} Preference;

G_STATIC_ASSERT (sizeof (Layout) <= sizeof (cublasLtMatrixLayoutOpaque_t));
G_STATIC_ASSERT (sizeof (Desc) <= sizeof (cublasLtMatmulDescOpaque_t));
G_STATIC_ASSERT (sizeof (Preference) <= sizeof (cublasLtMatmulPreferenceOpaque_t));

/* Best first; how many bytes of workspace each needs, and into how many parts it splits its sums,
 * which it then adds up by a scheme that a preference can rule out. */
static const struct
{
  gsize workspace;
  guint n_parts;
  guint reduction;
} algorithms[] = {
  { 1 << 20, 3, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE },
  { 32 << 10, 1, CUBLASLT_REDUCTION_SCHEME_NONE },
  { 0, 2, CUBLASLT_REDUCTION_SCHEME_INPLACE },
  { 0, 1, CUBLASLT_REDUCTION_SCHEME_NONE },
};

/* What cublasLtMatmulAlgo_t holds. */
typedef struct
{
  guint64 mark;
  guint32 number;
  guint32 alignments[4];   /* that it counts on */
} Algorithm;

G_STATIC_ASSERT (sizeof (Algorithm) <= sizeof (cublasLtMatmulAlgo_t));

#define ALGORITHM_MARK G_GUINT64_CONSTANT (0xd1317a190)

/* More than this no algorithm needs. */
#define MAX_ALIGNMENT 16

/* ---- errors ---- */

static cublasStatus_t
translate (cudaError_t error)
{
  switch ((int) error)
    {
    case cudaSuccess: return CUBLAS_STATUS_SUCCESS;
    case cudaErrorMemoryAllocation: return CUBLAS_STATUS_ALLOC_FAILED;
    case cudaErrorInitializationError:
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice: return CUBLAS_STATUS_NOT_INITIALIZED;
    case cudaErrorInvalidValue: return CUBLAS_STATUS_INVALID_VALUE;
    case cudaErrorNotSupported: return CUBLAS_STATUS_NOT_SUPPORTED;
    default: return CUBLAS_STATUS_EXECUTION_FAILED;
    }
}

static cublasStatus_t
enter (const char *name)
{
  return translate (fake_cuda_enter (name));
}

size_t
cublasLtGetVersion (void)
{
  return (size_t) fake_cuda_config ()->blas_version;
}

const char *
cublasLtGetStatusName (cublasStatus_t status)
{
  switch (status)
    {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR: return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR: return "CUBLAS_STATUS_LICENSE_ERROR";
    default: return "CUBLAS_STATUS_UNKNOWN";
    }
}

const char *
cublasLtGetStatusString (cublasStatus_t status)
{
  return cublasLtGetStatusName (status);
}

/* ---- objects ---- */

/* A copy of @initial on the heap that counts as an object of @kind. */
static cublasStatus_t
create (const char    *name,
        const char    *kind,
        void         **object,
        gconstpointer  initial,
        gsize          initial_size,
        gsize          size)
{
  cublasStatus_t status = enter (name);

  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  *object = g_malloc0 (size);
  memcpy (*object, initial, initial_size);
  fake_cuda_add_object (*object, kind);
  return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t
destroy (const char *name,
         const char *kind,
         void       *object)
{
  cublasStatus_t status = enter (name);

  if (fake_cuda_remove_object (object, kind))
    g_free (object);
  else if (status == CUBLAS_STATUS_SUCCESS)
    status = CUBLAS_STATUS_INVALID_VALUE;
  return status;
}

cublasStatus_t
cublasLtCreate (cublasLtHandle_t *handle)
{
  return create ("cublasLtCreate", "cuBLASLt handle", (void **) handle, "", 1, 1);
}

cublasStatus_t
cublasLtDestroy (cublasLtHandle_t handle)
{
  return destroy ("cublasLtDestroy", "cuBLASLt handle", handle);
}

cublasStatus_t
cublasLtMatrixLayoutCreate (cublasLtMatrixLayout_t *layout,
                            cudaDataType            type,
                            uint64_t                rows,
                            uint64_t                cols,
                            int64_t                 ld)
{
  const Layout initial = { .type = type, .rows = rows, .cols = cols, .ld = ld, .batch_count = 1 };

  return create ("cublasLtMatrixLayoutCreate", "matrix layout", (void **) layout, &initial, sizeof initial, sizeof **layout);
}

cublasStatus_t
cublasLtMatrixLayoutDestroy (cublasLtMatrixLayout_t layout)
{
  return destroy ("cublasLtMatrixLayoutDestroy", "matrix layout", layout);
}

cublasStatus_t
cublasLtMatmulDescCreate (cublasLtMatmulDesc_t *desc,
                          cublasComputeType_t   compute_type,
                          cudaDataType_t        scale_type)
{
  const Desc initial = { .compute_type = compute_type, .scale_type = scale_type,
                         .epilogue = CUBLASLT_EPILOGUE_DEFAULT, .bias_type = -1 };

  return create ("cublasLtMatmulDescCreate", "product descriptor", (void **) desc, &initial, sizeof initial, sizeof **desc);
}

cublasStatus_t
cublasLtMatmulDescDestroy (cublasLtMatmulDesc_t desc)
{
  return destroy ("cublasLtMatmulDescDestroy", "product descriptor", desc);
}

cublasStatus_t
cublasLtMatmulPreferenceCreate (cublasLtMatmulPreference_t *preference)
{
  const Preference initial = { 0, CUBLASLT_REDUCTION_SCHEME_MASK, { 256, 256, 256, 256 } };

  return create ("cublasLtMatmulPreferenceCreate", "product preference", (void **) preference, &initial, sizeof initial,
                 sizeof **preference);
}

cublasStatus_t
cublasLtMatmulPreferenceDestroy (cublasLtMatmulPreference_t preference)
{
  return destroy ("cublasLtMatmulPreferenceDestroy", "product preference", preference);
}

/* ---- attributes ---- */

typedef struct
{
  int attribute;
  gsize offset, size;
} Field;

#define FIELD(attribute, type, member) { attribute, G_STRUCT_OFFSET (type, member), sizeof (((type *) NULL)->member) }

static const Field layout_fields[] = {
  FIELD (CUBLASLT_MATRIX_LAYOUT_TYPE, Layout, type),
  FIELD (CUBLASLT_MATRIX_LAYOUT_ORDER, Layout, order),
  FIELD (CUBLASLT_MATRIX_LAYOUT_ROWS, Layout, rows),
  FIELD (CUBLASLT_MATRIX_LAYOUT_COLS, Layout, cols),
  FIELD (CUBLASLT_MATRIX_LAYOUT_LD, Layout, ld),
  FIELD (CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, Layout, batch_count),
  FIELD (CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, Layout, batch_stride),
};

static const Field desc_fields[] = {
  FIELD (CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, Desc, compute_type),
  FIELD (CUBLASLT_MATMUL_DESC_SCALE_TYPE, Desc, scale_type),
  FIELD (CUBLASLT_MATMUL_DESC_POINTER_MODE, Desc, pointer_mode),
  FIELD (CUBLASLT_MATMUL_DESC_TRANSA, Desc, transposed[0]),
  FIELD (CUBLASLT_MATMUL_DESC_TRANSB, Desc, transposed[1]),
  FIELD (CUBLASLT_MATMUL_DESC_EPILOGUE, Desc, epilogue),
  FIELD (CUBLASLT_MATMUL_DESC_BIAS_POINTER, Desc, bias),
  FIELD (CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, Desc, bias_stride),
  FIELD (CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, Desc, scales[0]),
  FIELD (CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, Desc, scales[1]),
  FIELD (CUBLASLT_MATMUL_DESC_FAST_ACCUM, Desc, fast_sums),
  FIELD (CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, Desc, bias_type),
  FIELD (CUBLASLT_MATMUL_DESC_A_SCALE_MODE, Desc, scale_modes[0]),
  FIELD (CUBLASLT_MATMUL_DESC_B_SCALE_MODE, Desc, scale_modes[1]),
};

/* The place of @attribute in @object where a value of @size bytes fits it, or NULL. */
static void *
find_field (const Field *fields,
            gsize        n_fields,
            void        *object,
            int          attribute,
            gsize        size)
{
  for (gsize i = 0; i < n_fields; i++)
    if (fields[i].attribute == attribute)
      return fields[i].size == size ? (guint8 *) object + fields[i].offset : NULL;
  return NULL;
}

static cublasStatus_t
set_attribute (const char    *name,
               void          *field,
               gconstpointer  value,
               gsize          size)
{
  cublasStatus_t status = enter (name);

  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (field == NULL || value == NULL)
    return CUBLAS_STATUS_INVALID_VALUE;
  memcpy (field, value, size);
  return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t
get_attribute (const char    *name,
               gconstpointer  field,
               void          *value,
               gsize          size,
               gsize         *written)
{
  cublasStatus_t status = enter (name);

  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (field == NULL || value == NULL)
    return CUBLAS_STATUS_INVALID_VALUE;
  memcpy (value, field, size);
  if (written != NULL)
    *written = size;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatrixLayoutSetAttribute (cublasLtMatrixLayout_t          layout,
                                  cublasLtMatrixLayoutAttribute_t attribute,
                                  const void                     *value,
                                  size_t                          size)
{
  return set_attribute ("cublasLtMatrixLayoutSetAttribute",
                        find_field (layout_fields, G_N_ELEMENTS (layout_fields), layout, attribute, size), value, size);
}

cublasStatus_t
cublasLtMatrixLayoutGetAttribute (cublasLtMatrixLayout_t          layout,
                                  cublasLtMatrixLayoutAttribute_t attribute,
                                  void                           *value,
                                  size_t                          size,
                                  size_t                         *written)
{
  return get_attribute ("cublasLtMatrixLayoutGetAttribute",
                        find_field (layout_fields, G_N_ELEMENTS (layout_fields), layout, attribute, size), value, size, written);
}

cublasStatus_t
cublasLtMatmulDescSetAttribute (cublasLtMatmulDesc_t           desc,
                                cublasLtMatmulDescAttributes_t attribute,
                                const void                    *value,
                                size_t                         size)
{
  return set_attribute ("cublasLtMatmulDescSetAttribute",
                        find_field (desc_fields, G_N_ELEMENTS (desc_fields), desc, attribute, size), value, size);
}

cublasStatus_t
cublasLtMatmulDescGetAttribute (cublasLtMatmulDesc_t           desc,
                                cublasLtMatmulDescAttributes_t attribute,
                                void                          *value,
                                size_t                         size,
                                size_t                        *written)
{
  return get_attribute ("cublasLtMatmulDescGetAttribute",
                        find_field (desc_fields, G_N_ELEMENTS (desc_fields), desc, attribute, size), value, size, written);
}

static const Field preference_fields[] = {
  FIELD (CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, Preference, max_workspace),
  FIELD (CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, Preference, reductions),
  FIELD (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, Preference, alignments[0]),
  FIELD (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, Preference, alignments[1]),
  FIELD (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, Preference, alignments[2]),
  FIELD (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, Preference, alignments[3]),
};

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute (cublasLtMatmulPreference_t           preference,
                                      cublasLtMatmulPreferenceAttributes_t attribute,
                                      const void                          *value,
                                      size_t                               size)
{
  return set_attribute ("cublasLtMatmulPreferenceSetAttribute",
                        find_field (preference_fields, G_N_ELEMENTS (preference_fields), preference, attribute, size), value, size);
}

/* ---- elements ---- */

static gsize
element_size (int type)
{
  return type == CUDA_R_32F ? 4 : type == CUDA_R_16BF ? 2 : 1;
}

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

static gsize
element (const Layout *layout,
         guint64       row,
         guint64       col)
{
  return layout->order == CUBLASLT_ORDER_ROW ? row * (guint64) layout->ld + col : col * (guint64) layout->ld + row;
}

/* ---- what may be asked for ---- */

static gboolean
is_valid_layout (const Layout *layout)
{
  const guint64 least = layout->order == CUBLASLT_ORDER_ROW ? layout->cols : layout->rows;

  return layout->rows > 0 && layout->cols > 0 && layout->ld > 0 && (guint64) layout->ld >= least && layout->batch_count > 0;
}

/* A scale for each row and column came with version 12.9, for one generation of devices and both matrices or none. */
static cublasStatus_t
check_scales (const Desc *desc)
{
  const gboolean a = desc->scale_modes[0] == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
  const gboolean b = desc->scale_modes[1] == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;

  if (a != b || (a && (fake_cuda_config ()->major != 9 || fake_cuda_config ()->blas_version < 120900)))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t
check_types (const Desc   *desc,
             const Layout *a,
             const Layout *b,
             const Layout *c,
             const Layout *d)
{
  const gboolean has_bias = (desc->epilogue & CUBLASLT_EPILOGUE_BIAS) != 0;
  const int bias_type = desc->bias_type < 0 ? (int) d->type : desc->bias_type;

  if (desc->scale_type != CUDA_R_32F || a->type != b->type || c->type != d->type)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (desc->epilogue != CUBLASLT_EPILOGUE_DEFAULT && desc->epilogue != CUBLASLT_EPILOGUE_BIAS)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (d->type != CUDA_R_32F && d->type != CUDA_R_16BF)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (a->type == CUDA_R_32F)
    return d->type == CUDA_R_32F && (!has_bias || bias_type == CUDA_R_32F) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
  if (desc->compute_type != CUBLAS_COMPUTE_32F)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (a->type == CUDA_R_16BF)
    return !has_bias || bias_type == (int) d->type ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
  /* Of eight bits only the one layout that the hardware has, in multiples of 16. */
  if (a->type != CUDA_R_8F_E4M3 || (has_bias && bias_type != CUDA_R_16BF) ||
      desc->transposed[0] != CUBLAS_OP_T || desc->transposed[1] != CUBLAS_OP_N ||
      a->order != CUBLASLT_ORDER_COL || b->order != CUBLASLT_ORDER_COL || d->order != CUBLASLT_ORDER_COL ||
      a->rows % 16 != 0 || a->cols % 16 != 0 || a->ld % 16 != 0 || b->ld % 16 != 0)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (fake_cuda_config ()->major < 9 && !(fake_cuda_config ()->major == 8 && fake_cuda_config ()->minor == 9))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  return check_scales (desc);
}

/* Rows, columns and length of the sums of a product, or an error. */
static cublasStatus_t
check_product (const Desc   *desc,
               const Layout *a,
               const Layout *b,
               const Layout *c,
               const Layout *d,
               guint64       sizes[3])
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
  const Preference *wishes = (const Preference *) preference;
  cublasStatus_t status = enter ("cublasLtMatmulAlgoGetHeuristic");
  guint64 sizes[3];

  *n_returned = 0;
  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (!fake_cuda_has_object (handle, "cuBLASLt handle") || n_requested < 1)
    return CUBLAS_STATUS_INVALID_VALUE;
  status = check_product ((Desc *) desc, (Layout *) a, (Layout *) b, (Layout *) c, (Layout *) d, sizes);
  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  for (guint32 i = 0; i < G_N_ELEMENTS (algorithms) && *n_returned < n_requested; i++)
    {
      cublasLtMatmulHeuristicResult_t *result = &results[*n_returned];
      Algorithm algorithm = { .mark = ALGORITHM_MARK, .number = i };

      if (algorithms[i].workspace > wishes->max_workspace || (algorithms[i].reduction & ~wishes->reductions) != 0)
        continue;
      memcpy (algorithm.alignments, wishes->alignments, sizeof algorithm.alignments);
      *result = (cublasLtMatmulHeuristicResult_t) { .workspaceSize = algorithms[i].workspace, .wavesCount = 1 };
      memcpy (&result->algo, &algorithm, sizeof algorithm);
      (*n_returned)++;
    }
  return CUBLAS_STATUS_SUCCESS;
}

/* One that cublasLtMatmulAlgoGetHeuristic() gave, in this process or an earlier one. */
static gboolean
is_algorithm (const cublasLtMatmulAlgo_t *algo)
{
  const Algorithm *algorithm = (const Algorithm *) algo;

  return algorithm->mark == ALGORITHM_MARK && algorithm->number < G_N_ELEMENTS (algorithms);
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
  cublasStatus_t status = enter ("cublasLtMatmulAlgoCheck");
  guint64 sizes[3];

  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (!fake_cuda_has_object (handle, "cuBLASLt handle") || !is_algorithm (algo))
    return CUBLAS_STATUS_INVALID_VALUE;
  status = check_product ((Desc *) desc, (Layout *) a, (Layout *) b, (Layout *) c, (Layout *) d, sizes);
  *result = (cublasLtMatmulHeuristicResult_t) {
    .algo = *algo,
    .workspaceSize = algorithms[((const Algorithm *) algo)->number].workspace,
    .state = status,
    .wavesCount = 1,
  };
  return status;
}

/* ---- the product ---- */

typedef struct
{
  Desc desc;
  Layout layouts[4];        /* a, b, c, d */
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
  const Layout *layout = &self->layouts[i];
  const guint8 *data = (const guint8 *) self->data[i] + batch * (guint64) layout->batch_stride * element_size (layout->type);
  float *rows = g_new0 (float, n_rows * stride);

  for (guint64 r = 0; r < n_rows; r++)
    for (guint64 c = 0; c < n_cols; c++)
      rows[r * stride + c] = load (data, layout->type, transposed ? element (layout, c, r) : element (layout, r, c));
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
scale_of (const Desc *desc,
          int         operand,
          guint64     i)
{
  if (desc->scales[operand] == NULL)
    return 1;
  return desc->scales[operand][desc->scale_modes[operand] == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F ? i : 0];
}

static void
store_tile (const Product *self,
            guint64        batch,
            guint64        row,
            guint64        col,
            const float   *sums)
{
  const Layout *c = &self->layouts[2], *d = &self->layouts[3];
  const guint8 *from = (const guint8 *) self->data[2] + batch * (guint64) c->batch_stride * element_size (c->type);
  guint8 *to = (guint8 *) self->d + batch * (guint64) d->batch_stride * element_size (d->type);

  for (guint64 j = 0; j < TILE && col + j < self->n; j++)
    {
      float value = self->alpha * sums[j] * scale_of (&self->desc, 0, row) * scale_of (&self->desc, 1, col + j);

      if (self->beta != 0)
        value += self->beta * load (from, c->type, element (c, row, col + j));
      if (self->desc.epilogue & CUBLASLT_EPILOGUE_BIAS)
        value += load (self->desc.bias, self->desc.bias_type < 0 ? (int) d->type : self->desc.bias_type,
                       batch * (guint64) self->desc.bias_stride + row);
      store (to, d->type, element (d, row, col + j), value);
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
extent (const Layout *layout)
{
  return (element (layout, layout->rows - 1, layout->cols - 1) + 1 +
          (guint64) (layout->batch_count - 1) * (guint64) layout->batch_stride) * element_size (layout->type);
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
  const gboolean vector = self->desc.scale_modes[i] == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;

  if (self->desc.scales[i] == NULL)
    return !vector;
  return fake_cuda_is_device (self->desc.scales[i], (vector ? n : 1) * sizeof (float));
}

static gboolean
is_in_device_memory (const Product   *self,
                     const Algorithm *algorithm)
{
  const int bias_type = self->desc.bias_type < 0 ? (int) self->layouts[3].type : self->desc.bias_type;

  for (int i = 0; i < 3; i++)
    if ((i < 2 || self->beta != 0) && (!fake_cuda_is_device (self->data[i], extent (&self->layouts[i])) ||
                                       !is_aligned (self->data[i], algorithm->alignments[i])))
      return FALSE;
  if ((self->desc.epilogue & CUBLASLT_EPILOGUE_BIAS) && !fake_cuda_is_device (self->desc.bias, self->m * element_size (bias_type)))
    return FALSE;
  if (!has_scales (self, 0, self->m) || !has_scales (self, 1, self->n))
    return FALSE;
  return fake_cuda_is_device (self->d, extent (&self->layouts[3])) && is_aligned (self->d, algorithm->alignments[3]);
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
  cublasStatus_t status = enter ("cublasLtMatmul");
  Algorithm algorithm = { ALGORITHM_MARK, G_N_ELEMENTS (algorithms) - 1, { 256, 256, 256, 256 } };
  guint64 sizes[3];
  Product product;

  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (!fake_cuda_has_object (handle, "cuBLASLt handle"))
    return CUBLAS_STATUS_NOT_INITIALIZED;
  product = (Product) {
    .desc = *(const Desc *) desc,
    .layouts = { *(const Layout *) a_layout, *(const Layout *) b_layout, *(const Layout *) c_layout, *(const Layout *) d_layout },
    .data = { a, b, c },
    .d = d,
  };
  status = check_product (&product.desc, &product.layouts[0], &product.layouts[1], &product.layouts[2], &product.layouts[3], sizes);
  if (status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (algo != NULL)
    {
      if (!is_algorithm (algo))
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
  product.n_parts = algorithms[algorithm.number].n_parts;
  product.workspace = workspace;
  product.workspace_size = algorithms[algorithm.number].workspace;
  if (workspace_size < product.workspace_size || !is_in_device_memory (&product, &algorithm) ||
      (product.workspace_size > 0 && (!fake_cuda_is_device (workspace, workspace_size) || (gsize) workspace % 16 != 0)))
    return CUBLAS_STATUS_INVALID_VALUE;
  return translate (fake_cuda_enqueue (stream, multiply, g_memdup2 (&product, sizeof product), g_free));
}
