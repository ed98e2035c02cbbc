/* dimr-tensor.h — data types, shapes, and immutable tensors
 *
 * Row-major and contiguous everywhere; no arithmetic here. Shape letters used in comments all
 * over the project: B batch, C image or latent channels, H height, W width, N tokens, D width of
 * the features, K columns of a matrix product, R branches, NH heads, HD width of a head, T 1 or B
 * (time-dependent values are shared by a batch whose samples have the same time).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

typedef enum
{
  DIMR_DTYPE_F32,
  DIMR_DTYPE_F64,
  DIMR_DTYPE_F16,
  DIMR_DTYPE_BF16,
  DIMR_DTYPE_I64,
  DIMR_DTYPE_I32,
  DIMR_DTYPE_I16,
  DIMR_DTYPE_I8,
  DIMR_DTYPE_U8,
  DIMR_DTYPE_BOOL,
} DimrDType;

#define DIMR_N_DTYPES (DIMR_DTYPE_BOOL + 1)

/* Bytes of one element. */
gsize       dimr_dtype_size (DimrDType dtype);
/* The safetensors spelling: "F32", "BF16", … (static). */
const char *dimr_dtype_name (DimrDType dtype);

#define DIMR_MAX_DIMS 8

typedef struct
{
  guint  n_dims;
  gint64 dims[DIMR_MAX_DIMS];
} DimrShape;

/* DIMR_SHAPE (B, N, D) is a DimrShape by value. */
#define DIMR_SHAPE(...)                                                                   \
  ((DimrShape){ .n_dims = sizeof ((gint64[]){ __VA_ARGS__ }) / sizeof (gint64),           \
                .dims = { __VA_ARGS__ } })
#define DIMR_SHAPE_SCALAR ((DimrShape){ .n_dims = 0 })

/* Number of elements. The shape must be one that dimr_shape_check() has passed or that code built. */
gsize    dimr_shape_n_elements (const DimrShape *shape);
gboolean dimr_shape_equal      (const DimrShape *a,
                                const DimrShape *b);
/* "[3, 65, 64]" (transfer full) */
char    *dimr_shape_to_string  (const DimrShape *shape);
/* FALSE where a dimension is negative or the bytes of @shape overflow 63 bits; else *n_bytes is their number. */
gboolean dimr_shape_n_bytes    (const DimrShape *shape,
                                DimrDType        dtype,
                                guint64         *n_bytes);

/* An immutable, reference-counted tensor over bytes that it keeps alive (often a mapped file).
 * The data pointer of a tensor from a file may be unaligned: read it with memcpy, or with the
 * converting calls below. */
typedef struct _DimrTensor DimrTensor;

#define DIMR_TYPE_TENSOR (dimr_tensor_get_type ())
GType            dimr_tensor_get_type       (void);

/* A view of @bytes from @offset on. Returns NULL with DIMR_ERROR_SHAPE where the bytes do not suffice. */
DimrTensor      *dimr_tensor_new_for_bytes  (DimrDType         dtype,
                                             const DimrShape  *shape,
                                             GBytes           *bytes,
                                             gsize             offset,
                                             GError          **error);
/* Copies @data. */
DimrTensor      *dimr_tensor_new_copy       (DimrDType         dtype,
                                             const DimrShape  *shape,
                                             gconstpointer     data);
/* @data (transfer full): g_free()d with the tensor. */
DimrTensor      *dimr_tensor_new_take       (DimrDType         dtype,
                                             const DimrShape  *shape,
                                             gpointer          data);
DimrTensor      *dimr_tensor_ref            (DimrTensor       *self);
void             dimr_tensor_unref          (DimrTensor       *self);

DimrDType        dimr_tensor_get_dtype      (const DimrTensor *self);
const DimrShape *dimr_tensor_peek_shape     (const DimrTensor *self);
gconstpointer    dimr_tensor_peek_data      (const DimrTensor *self);
gsize            dimr_tensor_get_n_elements (const DimrTensor *self);
gsize            dimr_tensor_get_n_bytes    (const DimrTensor *self);

/* Converts elements [first, first + count) into @out; every dtype. F64 and integers are rounded to float. */
void             dimr_tensor_read_f32       (const DimrTensor *self,
                                             gsize             first,
                                             gsize             count,
                                             float            *out);
/* All elements as float (transfer full); NULL where memory does not suffice. */
float           *dimr_tensor_dup_f32        (const DimrTensor *self);
/* All elements as 64-bit integers (transfer full); floats are truncated. */
gint64          *dimr_tensor_dup_i64        (const DimrTensor *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrTensor, dimr_tensor_unref)

/* Half-precision conversions, round to nearest even. */
float   dimr_f16_to_f32  (guint16 bits);
guint16 dimr_f32_to_f16  (float   value);
float   dimr_bf16_to_f32 (guint16 bits);
guint16 dimr_f32_to_bf16 (float   value);

G_END_DECLS
