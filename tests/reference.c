/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

struct _Reference
{
  char *path;
  GHashTable *tensors; /* name → DimrTensor */
};

char *
reference_path (const char *file)
{
  const char *full = g_getenv ("DIMR_REFERENCE_DIR");
  g_autofree char *path = NULL;

  if (g_path_is_absolute (file))
    return g_strdup (file);
  if (full != NULL)
    {
      path = g_build_filename (full, file, NULL);
      if (g_file_test (path, G_FILE_TEST_EXISTS))
        return g_steal_pointer (&path);
      g_clear_pointer (&path, g_free);
    }
  path = g_build_filename (TEST_DATA_DIR, "reference", file, NULL);
  return g_file_test (path, G_FILE_TEST_EXISTS) ? g_steal_pointer (&path) : NULL;
}

static DimrDType
dtype_for_name (const char *name)
{
  for (DimrDType dtype = 0; dtype < DIMR_N_DTYPES; dtype++)
    if (strcmp (name, dimr_dtype_name (dtype)) == 0)
      return dtype;
  g_error ("no data type is called %s", name);
}

static DimrTensor *
read_tensor (JsonObject *entry,
             GBytes     *bytes,
             guint64     data_start)
{
  JsonArray *dims = json_object_get_array_member (entry, "shape");
  JsonArray *offsets = json_object_get_array_member (entry, "data_offsets");
  DimrShape shape = { .n_dims = json_array_get_length (dims) };
  g_autoptr (GError) error = NULL;
  DimrTensor *tensor;

  g_assert_cmpuint (shape.n_dims, <=, DIMR_MAX_DIMS);
  for (guint i = 0; i < shape.n_dims; i++)
    shape.dims[i] = json_array_get_int_element (dims, i);
  tensor = dimr_tensor_new_for_bytes (dtype_for_name (json_object_get_string_member (entry, "dtype")), &shape, bytes,
                                      data_start + json_array_get_int_element (offsets, 0), &error);
  g_assert_no_error (error);
  return tensor;
}

Reference *
reference_open (const char *file)
{
  Reference *self = g_new0 (Reference, 1);
  g_autoptr (GMappedFile) map = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GList) names = NULL;
  JsonObject *header;
  const char *data;
  guint64 header_size;

  self->path = reference_path (file);
  if (self->path == NULL)
    g_error ("the reference set has no %s", file);
  map = g_mapped_file_new (self->path, FALSE, &error);
  g_assert_no_error (error);
  bytes = g_mapped_file_get_bytes (map);
  data = g_bytes_get_data (bytes, NULL);
  g_assert_cmpuint (g_bytes_get_size (bytes), >=, 8);
  memcpy (&header_size, data, 8);
  header_size = GUINT64_FROM_LE (header_size);
  g_assert_cmpuint (header_size, <=, g_bytes_get_size (bytes) - 8);
  json_parser_load_from_data (parser, data + 8, (gssize) header_size, &error);
  g_assert_no_error (error);

  self->tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  header = json_node_get_object (json_parser_get_root (parser));
  names = json_object_get_members (header);
  for (GList *l = names; l != NULL; l = l->next)
    if (strcmp (l->data, "__metadata__") != 0)
      g_hash_table_insert (self->tensors, g_strdup (l->data),
                           read_tensor (json_object_get_object_member (header, l->data), bytes, 8 + header_size));
  return self;
}

void
reference_free (Reference *self)
{
  g_hash_table_unref (self->tensors);
  g_free (self->path);
  g_free (self);
}

gboolean
reference_has (Reference  *self,
               const char *name)
{
  return g_hash_table_contains (self->tensors, name);
}

DimrTensor *
reference_peek (Reference  *self,
                const char *name)
{
  DimrTensor *tensor = g_hash_table_lookup (self->tensors, name);

  if (tensor == NULL)
    g_error ("%s has no tensor %s", self->path, name);
  return tensor;
}

double *
reference_dup_f64 (Reference  *self,
                   const char *name,
                   gsize      *n)
{
  DimrTensor *tensor = reference_peek (self, name);
  gsize count = dimr_tensor_get_n_elements (tensor);
  double *out = g_new (double, count);

  if (dimr_tensor_get_dtype (tensor) == DIMR_DTYPE_F64)
    memcpy (out, dimr_tensor_peek_data (tensor), count * sizeof *out);
  else
    {
      g_autofree float *floats = dimr_tensor_dup_f32 (tensor);

      for (gsize i = 0; i < count; i++)
        out[i] = floats[i];
    }
  if (n != NULL)
    *n = count;
  return out;
}

double
reference_error (const double *a,
                 const double *b,
                 gsize         n)
{
  double worst = 0;

  for (gsize i = 0; i < n; i++)
    {
      const double d = fabs (a[i] - b[i]);

      worst = d <= worst ? worst : isnan (d) ? INFINITY : d;
    }
  return worst;
}
