/* reference.h — reads the reference numbers in tests; a missing file or name fails the test
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-tensor.h"

G_BEGIN_DECLS

/* A safetensors file of the reference set. */
typedef struct _Reference Reference;

/* Path of @file ("E_sampler/toy_solver.safetensors") in the folder that the environment variable
 * DIMR_REFERENCE_DIR names, where it has it, else in tests/data/reference (transfer full); NULL where neither has it. */
char       *reference_path    (const char *file);
/* Opens @file of the reference set; also takes an absolute path. */
Reference  *reference_open    (const char *file);
void        reference_free    (Reference  *self);
gboolean    reference_has     (Reference  *self,
                               const char *name);
/* transfer none */
DimrTensor *reference_peek    (Reference  *self,
                               const char *name);
/* All elements in double, which F64 needs (transfer full). @n: their number, may be NULL. */
double     *reference_dup_f64 (Reference  *self,
                               const char *name,
                               gsize      *n);
/* Largest |a − b| of two lists of n; a NaN counts as infinite. */
double      reference_error   (const double *a,
                               const double *b,
                               gsize         n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reference, reference_free)

G_END_DECLS
