/* fake-cublaslt.c — a library for matrix products that is none: its errors, objects and their attributes
 *
 * D = epilogue (alpha · op(A) op(B) + beta · C), with the checks of the real library
 * (fake-cublaslt-choice.c), computed on the processor (fake-cublaslt-product.c).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fake-cublaslt-private.h"

#include <string.h>

/* ---- errors ---- */

cublasStatus_t
blas_translate (cudaError_t error)
{
  switch ((int) error)
    {
    case cudaSuccess: return CUBLAS_STATUS_SUCCESS;
    case cudaErrorMemoryAllocation: return CUBLAS_STATUS_ALLOC_FAILED;
    case cudaErrorInitializationError:
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice: return CUBLAS_STATUS_NOT_INITIALIZED;
    case cudaErrorInvalidValue: return CUBLAS_STATUS_INVALID_VALUE;
    case cudaErrorNoKernelImageForDevice: return CUBLAS_STATUS_ARCH_MISMATCH;
    default: return CUBLAS_STATUS_EXECUTION_FAILED;
    }
}

cublasStatus_t
blas_enter (const char *name)
{
  return blas_translate (fake_cuda_enter_apart (name));
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
  cublasStatus_t status = blas_enter (name);

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
  cublasStatus_t status = blas_enter (name);

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
  const BlasLayout initial = { .type = type, .rows = rows, .cols = cols, .ld = ld, .batch_count = 1 };

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
  const BlasDesc initial = { .compute_type = compute_type, .scale_type = scale_type,
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
  const BlasPreference initial = { 0, CUBLASLT_REDUCTION_SCHEME_MASK, { 256, 256, 256, 256 } };

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
  FIELD (CUBLASLT_MATRIX_LAYOUT_TYPE, BlasLayout, type),
  FIELD (CUBLASLT_MATRIX_LAYOUT_ORDER, BlasLayout, order),
  FIELD (CUBLASLT_MATRIX_LAYOUT_ROWS, BlasLayout, rows),
  FIELD (CUBLASLT_MATRIX_LAYOUT_COLS, BlasLayout, cols),
  FIELD (CUBLASLT_MATRIX_LAYOUT_LD, BlasLayout, ld),
  FIELD (CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, BlasLayout, batch_count),
  FIELD (CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, BlasLayout, batch_stride),
};

static const Field desc_fields[] = {
  FIELD (CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, BlasDesc, compute_type),
  FIELD (CUBLASLT_MATMUL_DESC_SCALE_TYPE, BlasDesc, scale_type),
  FIELD (CUBLASLT_MATMUL_DESC_POINTER_MODE, BlasDesc, pointer_mode),
  FIELD (CUBLASLT_MATMUL_DESC_TRANSA, BlasDesc, transposed[0]),
  FIELD (CUBLASLT_MATMUL_DESC_TRANSB, BlasDesc, transposed[1]),
  FIELD (CUBLASLT_MATMUL_DESC_EPILOGUE, BlasDesc, epilogue),
  FIELD (CUBLASLT_MATMUL_DESC_BIAS_POINTER, BlasDesc, bias),
  FIELD (CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, BlasDesc, bias_stride),
  FIELD (CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, BlasDesc, scales[0]),
  FIELD (CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, BlasDesc, scales[1]),
  FIELD (CUBLASLT_MATMUL_DESC_FAST_ACCUM, BlasDesc, fast_sums),
  FIELD (CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, BlasDesc, bias_type),
  FIELD (CUBLASLT_MATMUL_DESC_A_SCALE_MODE, BlasDesc, scale_modes[0]),
  FIELD (CUBLASLT_MATMUL_DESC_B_SCALE_MODE, BlasDesc, scale_modes[1]),
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
  cublasStatus_t status = blas_enter (name);

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
  cublasStatus_t status = blas_enter (name);

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
  FIELD (CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, BlasPreference, max_workspace),
  FIELD (CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, BlasPreference, reductions),
  FIELD (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, BlasPreference, alignments[0]),
  FIELD (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, BlasPreference, alignments[1]),
  FIELD (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, BlasPreference, alignments[2]),
  FIELD (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, BlasPreference, alignments[3]),
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
