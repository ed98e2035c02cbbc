/* dimr-symmetric.h — eigenvalues and square roots of symmetric matrices, in double
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Cyclic Jacobi: turns @a [n, n], which is symmetric and is overwritten, until what is off the diagonal is rounding.
 * @values: [n], in no order. @vectors: [n, n], row i belongs to value i; or NULL.
 * Source: Golub and Van Loan, "Matrix Computations", section 8.5. */
void dimr_symmetric_eigen (double *a,
                           guint   n,
                           double *values,
                           double *vectors);
/* The square root of a positive semidefinite @a [n, n], which is overwritten; negative eigenvalues are rounding, and
 * count as zero. @root: [n, n]. */
void dimr_symmetric_sqrt  (double *a,
                           guint   n,
                           double *root);

G_END_DECLS
