/* dimr-op-private.h — what the shape rules of the op tables are written with
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-error.h"
#include "core/graph/dimr-op.h"

/* The rows from DIMR_OP_FIRST_GRADIENT on. */
extern const DimrOpInfo dimr_op_gradient_infos[DIMR_N_OPS - DIMR_OP_FIRST_GRADIENT];

#define SLOT(i) (1u << (i))
#define LAST(shape) ((shape)->dims[(shape)->n_dims - 1])

/* The arguments of every shape rule and cost rule. */
#define INFER(name)                                                                          \
  static gboolean infer_##name (const DimrAttrs *attrs, const DimrShape * const *in,         \
                                guint n, DimrShape *out, GError **error)
#define MACS(name)                                                                           \
  static guint64 macs_##name (const DimrAttrs *attrs, const DimrShape * const *in,           \
                              guint n, const DimrShape *out)

static inline gboolean
mismatch (GError    **error,
          const char *expected)
{
  dimr_error_set (error, DIMR_ERROR_SHAPE, "expected %s", expected);
  return FALSE;
}

#define EXPECT(condition, expected)                                                          \
  G_STMT_START { if (!(condition)) return mismatch (error, expected); } G_STMT_END

/* TRUE where @shape is [d0, d1, …] with −1 standing for anything. */
static inline gboolean
is (const DimrShape *shape,
    guint            n_dims,
    gint64           d0,
    gint64           d1,
    gint64           d2,
    gint64           d3)
{
  const gint64 dims[4] = { d0, d1, d2, d3 };

  if (shape->n_dims != n_dims)
    return FALSE;
  for (guint i = 0; i < n_dims; i++)
    if (dims[i] >= 0 && shape->dims[i] != dims[i])
      return FALSE;
  return TRUE;
}

static inline gboolean
is_vector (const DimrShape *shape, gint64 d)
{
  return is (shape, 1, d, 0, 0, 0);
}

/* [T, D] with T = 1 or the batch of @x. */
static inline gboolean
is_per_time (const DimrShape *shape, const DimrShape *x, gint64 d)
{
  return shape->n_dims == 2 && shape->dims[1] == d &&
         (shape->dims[0] == 1 || shape->dims[0] == x->dims[0]);
}

static inline gboolean
same_leading (const DimrShape *a, const DimrShape *b)
{
  DimrShape c = *b;

  if (a->n_dims != b->n_dims || a->n_dims == 0)
    return FALSE;
  LAST (&c) = LAST (a);
  return dimr_shape_equal (a, &c);
}

/* Sum of the channels of inputs [first, n), which must agree in everything else; −1 where not. */
static inline gint64
list_channels (const DimrShape * const *in, guint first, guint n)
{
  gint64 sum = 0;

  for (guint i = first; i < n; i++)
    {
      if (in[i]->n_dims < 2 || !same_leading (in[i], in[first]))
        return -1;
      sum += LAST (in[i]);
    }
  return sum;
}
