/* cuda-params.h — parameters in device memory, in the layouts that the kernels read
 *
 * Each (weights, names, layout) is uploaded once and shared by all programs of a device. One that no
 * program uses any more stays until cuda_params_trim(), because the next picture needs it again.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

typedef enum
{
  CUDA_LAYOUT_F32,        /* as in the file */
  CUDA_LAYOUT_BF16,       /* the same, rounded to bfloat16 */
  /* [n, k] rounded to bfloat16 and that to e4m3, with a float scale for each of the n rows: all elements, then
   * at cuda_layout_scales() the scales, as many between two names as there are rows from one to the next */
  CUDA_LAYOUT_E4M3,
  CUDA_LAYOUT_DEPTHWISE,  /* [n, 1, √taps, √taps] → [taps, n] floats */
  CUDA_LAYOUT_DEPTHWISE_FLIPPED, /* the same, the last tap first: what the gradient of the input is convolved by */
  CUDA_LAYOUT_IMAGE_CONV, /* [n, d, √taps, √taps] → [n, taps, d] floats */
  CUDA_LAYOUT_IMAGE_CONV_BF16, /* the same, rounded to bfloat16 */
} CudaLayoutKind;

typedef struct
{
  CudaLayoutKind kind;
  gsize          n_elements; /* of each name */
  gsize          stride;     /* elements from one name's to the next one's; zeros between. 0: n_elements */
  gsize          n, taps;    /* DEPTHWISE, IMAGE_CONV and their other forms; E4M3: n */
} CudaLayout;

typedef struct _CudaDevice CudaDevice;
typedef struct _CudaParams CudaParams;
typedef struct _CudaParam CudaParam; /* reference-counted, one thread */

/* E4M3: bytes from the first element to the first scale. */
gsize          cuda_layout_scales     (const CudaLayout   *layout,
                                       guint               n_names);

CudaParams    *cuda_params_new        (CudaDevice         *device);
void           cuda_params_free       (CudaParams         *self);
/* Several names lie one after the other (transfer full). Errors: DIMR_ERROR_MODEL where @weights has no
 * such tensor of n_elements, DIMR_ERROR_MEMORY, DIMR_ERROR_DEVICE. */
CudaParam     *cuda_params_get        (CudaParams         *self,
                                       DimrWeights        *weights,
                                       const char * const *names,
                                       guint               n_names,
                                       const CudaLayout   *layout,
                                       GError            **error);
/* Uploads the parameters of @weights that a program uses again to where they are, for their values have changed;
 * forgets the others. */
gboolean       cuda_params_reload     (CudaParams         *self,
                                       DimrWeights        *weights,
                                       GError            **error);
/* How often that has been called: what was computed from parameters before is old. */
guint          cuda_params_get_generation (CudaParams      *self);
/* Frees what no program uses. */
void           cuda_params_trim       (CudaParams         *self);
/* Bytes that cuda_params_trim() would free. */
guint64        cuda_params_get_unused (CudaParams         *self);

/* Where each name of each parameter of @weights lies. */
typedef void (*CudaParamFunc) (CudaParam *param, const char *name, const CudaLayout *layout, gpointer to, gpointer data);
void           cuda_params_foreach    (CudaParams         *self,
                                       DimrWeights        *weights,
                                       CudaParamFunc       func,
                                       gpointer            data);

gconstpointer  cuda_param_peek        (const CudaParam    *self);
CudaParam     *cuda_param_ref         (CudaParam          *self);
void           cuda_param_unref       (CudaParam          *self);

G_END_DECLS
