/* dimr-parameters.h — what is trained: float32 master weights, and what grows beside them
 *
 * All numbers of all parameters lie in one array, in the order of the network; the gradients, the
 * optimizer's moments and the moving average are arrays of the same layout. One thread.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/model/dimr-config.h"
#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

typedef struct
{
  char     *name;
  DimrShape shape;
  gsize     first;   /* its place in the arrays */
  gsize     n;
  gboolean  decays;  /* FALSE for "….nodecay_…", and for a classifier's vectors and positions: weight decay leaves it alone */
} DimrParameter;

typedef struct _DimrParameters DimrParameters;

/* The parameters of the network of @config, with values from @weights, or where that is NULL
 * initial ones: truncated normal (0.02) for matrices and tables, PyTorch's uniform for convolutions,
 * ones for scales, zeros for biases, shifts and adaptive modulations; a function of @seed and the parameter's name. */
DimrParameters      *dimr_parameters_new           (const DimrConfig     *config,
                                                    DimrWeights          *weights,
                                                    guint64               seed,
                                                    GError              **error);
void                 dimr_parameters_free          (DimrParameters       *self);

guint                dimr_parameters_get_n         (const DimrParameters *self);
const DimrParameter *dimr_parameters_peek          (const DimrParameters *self,
                                                    guint                 i);
/* Numbers in all. */
gsize                dimr_parameters_get_length    (const DimrParameters *self);
/* The values, which may be changed; then dimr_program_reload() makes programs see it. */
float               *dimr_parameters_get_values    (DimrParameters       *self);
/* The values as a checkpoint: views, not copies (transfer none). */
DimrWeights         *dimr_parameters_peek_weights  (DimrParameters       *self);

/* Adds one tensor a parameter, copied from @values [length], under "@prefix" and its name, to @names and
 * @tensors, which own what they hold. */
void                 dimr_parameters_list          (const DimrParameters *self,
                                                    const float          *values,
                                                    const char           *prefix,
                                                    GPtrArray            *names,
                                                    GPtrArray            *tensors);
/* The reverse: FALSE with DIMR_ERROR_MODEL where @weights lack one or have another shape. */
gboolean             dimr_parameters_read          (const DimrParameters *self,
                                                    DimrWeights          *weights,
                                                    const char           *prefix,
                                                    float                *values,
                                                    GError              **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrParameters, dimr_parameters_free)

G_END_DECLS
