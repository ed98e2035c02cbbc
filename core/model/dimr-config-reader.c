/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-config-reader.h"

#include "core/base/dimr-i18n.h"

#include <math.h>
#include <string.h>

void
dimr_reader_fail (DimrReader *self,
                  DimrError   code,
                  const char *format,
                  ...)
{
  g_autofree char *reason = NULL;
  va_list args;

  if (self->error != NULL)
    return;
  va_start (args, format);
  reason = g_strdup_vprintf (format, args);
  va_end (args);
  dimr_error_set (&self->error, code, "%s: %s", self->file, reason);
}

JsonNode *
dimr_reader_find (JsonObject *object,
                  const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && !JSON_NODE_HOLDS_NULL (node) ? node : NULL;
}

JsonObject *
dimr_reader_get_object (DimrReader *self,
                        JsonObject *object,
                        const char *name)
{
  JsonNode *node = dimr_reader_find (object, name);

  if (node == NULL)
    return NULL;
  if (JSON_NODE_HOLDS_OBJECT (node))
    return json_node_get_object (node);
  dimr_reader_fail (self, DIMR_ERROR_FORMAT, _("\"%s\" is not an object"), name);
  return NULL;
}

double
dimr_reader_get_number (DimrReader *self,
                        JsonObject *object,
                        const char *name,
                        double      fallback,
                        double      min,
                        double      max)
{
  JsonNode *node = dimr_reader_find (object, name);
  double value;

  if (node == NULL)
    return fallback;
  if (!JSON_NODE_HOLDS_VALUE (node) ||
      (json_node_get_value_type (node) != G_TYPE_INT64 && json_node_get_value_type (node) != G_TYPE_DOUBLE))
    {
      dimr_reader_fail (self, DIMR_ERROR_FORMAT, _("\"%s\" is not a number"), name);
      return fallback;
    }
  value = json_node_get_double (node);
  if (!isfinite (value) || value < min || value > max)
    {
      dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"%s\" is %g, which is not between %g and %g"), name, value, min, max);
      return fallback;
    }
  return value;
}

guint
dimr_reader_get_count (DimrReader *self,
                       JsonObject *object,
                       const char *name,
                       guint       fallback,
                       guint       max)
{
  double value;

  if (fallback == 0 && dimr_reader_find (object, name) == NULL)
    {
      dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"%s\" is missing"), name);
      return 1;
    }
  value = dimr_reader_get_number (self, object, name, fallback, 1, max);
  if (value != floor (value))
    dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"%s\" is %g, which is no whole number"), name, value);
  return MAX ((guint) value, 1);
}

const char *
dimr_reader_get_string (DimrReader *self,
                        JsonObject *object,
                        const char *name,
                        const char *fallback)
{
  JsonNode *node = dimr_reader_find (object, name);

  if (node == NULL)
    return fallback;
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
    {
      dimr_reader_fail (self, DIMR_ERROR_FORMAT, _("\"%s\" is not a string"), name);
      return fallback;
    }
  return json_node_get_string (node);
}

gboolean
dimr_reader_get_boolean (DimrReader *self,
                         JsonObject *object,
                         const char *name,
                         gboolean    fallback)
{
  JsonNode *node = dimr_reader_find (object, name);

  if (node == NULL)
    return fallback;
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    dimr_reader_fail (self, DIMR_ERROR_FORMAT, _("\"%s\" is neither true nor false"), name);
  else
    return json_node_get_boolean (node);
  return fallback;
}

guint
dimr_reader_get_choice (DimrReader         *self,
                        JsonObject         *object,
                        const char         *name,
                        const char         *fallback,
                        const char * const *values)
{
  const char *text = dimr_reader_get_string (self, object, name, fallback);

  for (guint i = 0; text != NULL && values[i] != NULL; i++)
    if (strcmp (text, values[i]) == 0)
      return i;
  if (text == NULL)
    dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"%s\" is missing"), name);
  else
    {
      g_autofree char *known = g_strjoinv (", ", (char **) values);
      dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"%s\" is \"%s\"; this version knows %s"), name, text, known);
    }
  return 0;
}
