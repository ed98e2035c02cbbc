/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-tensor.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <math.h>
#include <string.h>

static const struct
{
  const char *name;
  gsize size;
} dtypes[DIMR_N_DTYPES] = {
  [DIMR_DTYPE_F32] = { "F32", 4 }, [DIMR_DTYPE_F64] = { "F64", 8 },
  [DIMR_DTYPE_F16] = { "F16", 2 }, [DIMR_DTYPE_BF16] = { "BF16", 2 },
  [DIMR_DTYPE_I64] = { "I64", 8 }, [DIMR_DTYPE_I32] = { "I32", 4 },
  [DIMR_DTYPE_I16] = { "I16", 2 }, [DIMR_DTYPE_I8] = { "I8", 1 },
  [DIMR_DTYPE_U8] = { "U8", 1 },   [DIMR_DTYPE_BOOL] = { "BOOL", 1 },
};

struct _DimrTensor
{
  gatomicrefcount ref_count;
  DimrDType dtype;
  DimrShape shape;
  GBytes *bytes;
  const guint8 *data; /* inside @bytes */
};

G_DEFINE_BOXED_TYPE (DimrTensor, dimr_tensor, dimr_tensor_ref, dimr_tensor_unref)

gsize
dimr_dtype_size (DimrDType dtype)
{
  g_return_val_if_fail (dtype < DIMR_N_DTYPES, 0);
  return dtypes[dtype].size;
}

const char *
dimr_dtype_name (DimrDType dtype)
{
  g_return_val_if_fail (dtype < DIMR_N_DTYPES, NULL);
  return dtypes[dtype].name;
}

gsize
dimr_shape_n_elements (const DimrShape *shape)
{
  gsize n = 1;

  for (guint i = 0; i < shape->n_dims; i++)
    n *= (gsize) shape->dims[i];
  return n;
}

gboolean
dimr_shape_equal (const DimrShape *a,
                  const DimrShape *b)
{
  return a->n_dims == b->n_dims &&
         memcmp (a->dims, b->dims, a->n_dims * sizeof a->dims[0]) == 0;
}

char *
dimr_shape_to_string (const DimrShape *shape)
{
  GString *string = g_string_new ("[");

  for (guint i = 0; i < shape->n_dims; i++)
    g_string_append_printf (string, "%s%" G_GINT64_FORMAT, i ? ", " : "", shape->dims[i]);
  g_string_append_c (string, ']');
  return g_string_free (string, FALSE);
}

gboolean
dimr_shape_n_bytes (const DimrShape *shape,
                    DimrDType        dtype,
                    guint64         *n_bytes)
{
  guint64 n = dtypes[dtype].size;
  gboolean empty = FALSE;

  /* A zero does not excuse the other dimensions: [2^63, 2^63, 0] is refused as well. */
  for (guint i = 0; i < shape->n_dims; i++)
    {
      if (shape->dims[i] < 0)
        return FALSE;
      if (shape->dims[i] == 0)
        empty = TRUE;
      else if (!dimr_checked_mul (n, (guint64) shape->dims[i], &n))
        return FALSE;
    }
  if (n > G_MAXINT64)
    return FALSE;
  *n_bytes = empty ? 0 : n;
  return TRUE;
}

DimrTensor *
dimr_tensor_new_for_bytes (DimrDType         dtype,
                           const DimrShape  *shape,
                           GBytes           *bytes,
                           gsize             offset,
                           GError          **error)
{
  DimrTensor *self;
  guint64 n_bytes;

  g_return_val_if_fail (dtype < DIMR_N_DTYPES, NULL);
  g_return_val_if_fail (shape != NULL && shape->n_dims <= DIMR_MAX_DIMS, NULL);
  g_return_val_if_fail (bytes != NULL, NULL);

  if (!dimr_shape_n_bytes (shape, dtype, &n_bytes) ||
      !dimr_checked_range (offset, n_bytes, g_bytes_get_size (bytes)))
    {
      g_autofree char *text = dimr_shape_to_string (shape);
      dimr_error_set (error, DIMR_ERROR_SHAPE,
                      _("A tensor of %s %s does not fit into the bytes given for it"),
                      dimr_dtype_name (dtype), text);
      return NULL;
    }

  self = g_new0 (DimrTensor, 1);
  g_atomic_ref_count_init (&self->ref_count);
  self->dtype = dtype;
  self->shape = *shape;
  self->bytes = g_bytes_ref (bytes);
  self->data = g_bytes_get_data (bytes, NULL);
  if (self->data != NULL)
    self->data += offset;
  return self;
}

DimrTensor *
dimr_tensor_new_copy (DimrDType        dtype,
                      const DimrShape *shape,
                      gconstpointer    data)
{
  g_autoptr (GBytes) bytes = NULL;

  g_return_val_if_fail (dtype < DIMR_N_DTYPES, NULL);
  bytes = g_bytes_new (data, dimr_shape_n_elements (shape) * dimr_dtype_size (dtype));
  return dimr_tensor_new_for_bytes (dtype, shape, bytes, 0, NULL);
}

DimrTensor *
dimr_tensor_new_take (DimrDType        dtype,
                      const DimrShape *shape,
                      gpointer         data)
{
  g_autoptr (GBytes) bytes = NULL;

  g_return_val_if_fail (dtype < DIMR_N_DTYPES, NULL);
  bytes = g_bytes_new_take (data, dimr_shape_n_elements (shape) * dimr_dtype_size (dtype));
  return dimr_tensor_new_for_bytes (dtype, shape, bytes, 0, NULL);
}

DimrTensor *
dimr_tensor_ref (DimrTensor *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
dimr_tensor_unref (DimrTensor *self)
{
  g_return_if_fail (self != NULL);
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_bytes_unref (self->bytes);
  g_free (self);
}

DimrDType
dimr_tensor_get_dtype (const DimrTensor *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->dtype;
}

const DimrShape *
dimr_tensor_peek_shape (const DimrTensor *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return &self->shape;
}

gconstpointer
dimr_tensor_peek_data (const DimrTensor *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->data;
}

gsize
dimr_tensor_get_n_elements (const DimrTensor *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return dimr_shape_n_elements (&self->shape);
}

gsize
dimr_tensor_get_n_bytes (const DimrTensor *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return dimr_shape_n_elements (&self->shape) * dtypes[self->dtype].size;
}

/* Reads one element that may be unaligned. */
#define LOAD(type, p) ({ type v_; memcpy (&v_, (p), sizeof v_); v_; })

void
dimr_tensor_read_f32 (const DimrTensor *self,
                      gsize             first,
                      gsize             count,
                      float            *out)
{
  const guint8 *p;

  g_return_if_fail (self != NULL);
  g_return_if_fail (first <= dimr_tensor_get_n_elements (self) &&
                    count <= dimr_tensor_get_n_elements (self) - first);
  if (count == 0)
    return;

  p = self->data + first * dtypes[self->dtype].size;
  switch (self->dtype)
    {
    case DIMR_DTYPE_F32: memcpy (out, p, count * sizeof (float)); break;
    case DIMR_DTYPE_F64: for (gsize i = 0; i < count; i++) out[i] = (float) LOAD (double, p + 8 * i); break;
    case DIMR_DTYPE_F16: for (gsize i = 0; i < count; i++) out[i] = dimr_f16_to_f32 (LOAD (guint16, p + 2 * i)); break;
    case DIMR_DTYPE_BF16: for (gsize i = 0; i < count; i++) out[i] = dimr_bf16_to_f32 (LOAD (guint16, p + 2 * i)); break;
    case DIMR_DTYPE_I64: for (gsize i = 0; i < count; i++) out[i] = (float) LOAD (gint64, p + 8 * i); break;
    case DIMR_DTYPE_I32: for (gsize i = 0; i < count; i++) out[i] = (float) LOAD (gint32, p + 4 * i); break;
    case DIMR_DTYPE_I16: for (gsize i = 0; i < count; i++) out[i] = (float) LOAD (gint16, p + 2 * i); break;
    case DIMR_DTYPE_I8: for (gsize i = 0; i < count; i++) out[i] = (float) (gint8) p[i]; break;
    case DIMR_DTYPE_U8: for (gsize i = 0; i < count; i++) out[i] = (float) p[i]; break;
    case DIMR_DTYPE_BOOL: for (gsize i = 0; i < count; i++) out[i] = p[i] ? 1.f : 0.f; break;
    default: g_assert_not_reached ();
    }
}

float *
dimr_tensor_dup_f32 (const DimrTensor *self)
{
  gsize n;
  float *out;

  g_return_val_if_fail (self != NULL, NULL);
  n = dimr_tensor_get_n_elements (self);
  out = g_try_new (float, MAX (n, 1));
  if (out != NULL)
    dimr_tensor_read_f32 (self, 0, n, out);
  return out;
}

gint64 *
dimr_tensor_dup_i64 (const DimrTensor *self)
{
  gsize n;
  gint64 *out;

  g_return_val_if_fail (self != NULL, NULL);
  n = dimr_tensor_get_n_elements (self);
  out = g_try_new (gint64, MAX (n, 1));
  if (out == NULL)
    return NULL;
  for (gsize i = 0; i < n; i++)
    {
      const guint8 *p = self->data + i * dtypes[self->dtype].size;
      switch (self->dtype)
        {
        case DIMR_DTYPE_I64: out[i] = LOAD (gint64, p); break;
        case DIMR_DTYPE_I32: out[i] = LOAD (gint32, p); break;
        case DIMR_DTYPE_F64: out[i] = (gint64) LOAD (double, p); break;
        default:
          {
            float f;
            dimr_tensor_read_f32 (self, i, 1, &f);
            out[i] = (gint64) f;
          }
        }
    }
  return out;
}

float
dimr_f16_to_f32 (guint16 bits)
{
  guint32 sign = (guint32) (bits & 0x8000) << 16, exponent = (bits >> 10) & 0x1f, mantissa = bits & 0x3ff, u;
  float f;

  if (exponent == 0) /* zero and subnormals: value = mantissa * 2^-24 */
    {
      f = (float) mantissa * 0x1p-24f;
      return sign ? -f : f;
    }
  u = exponent == 31 ? sign | 0x7f800000 | mantissa << 13 : sign | (exponent + 112) << 23 | mantissa << 13;
  memcpy (&f, &u, sizeof f);
  return f;
}

guint16
dimr_f32_to_f16 (float value)
{
  guint32 u, sign, half;
  float magnitude = fabsf (value);

  memcpy (&u, &value, sizeof u);
  sign = u >> 16 & 0x8000;
  if (isnan (value))
    return (guint16) (sign | 0x7e00);
  if (magnitude >= 65520.f) /* rounds to 2^16 or above */
    return (guint16) (sign | 0x7c00);
  if (magnitude < 0x1p-14f) /* subnormal: an integer number of 2^-24 */
    return (guint16) (sign | (guint32) rintf (magnitude * 0x1p24f));
  u &= 0x7fffffff;
  half = (u >> 13) - (112u << 10);
  half += (u & 0x1fff) > 0x1000 || ((u & 0x1fff) == 0x1000 && (half & 1));
  return (guint16) (sign | half);
}

float
dimr_bf16_to_f32 (guint16 bits)
{
  guint32 u = (guint32) bits << 16;
  float f;

  memcpy (&f, &u, sizeof f);
  return f;
}

guint16
dimr_f32_to_bf16 (float value)
{
  guint32 u;

  memcpy (&u, &value, sizeof u);
  if ((u & 0x7fffffff) > 0x7f800000) /* keep a NaN a NaN */
    return (guint16) (u >> 16 | 0x40);
  return (guint16) ((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
