/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-training-options.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <math.h>
#include <string.h>

#define STRING(name, field, initial) { name, DIMR_OPTION_STRING, G_STRUCT_OFFSET (DimrTrainingOptions, field), 0, 0, initial }
#define COUNT(name, field, min, max, initial) { name, DIMR_OPTION_COUNT, G_STRUCT_OFFSET (DimrTrainingOptions, field), min, max, initial }
#define NUMBER(name, field, min, max, initial) { name, DIMR_OPTION_NUMBER, G_STRUCT_OFFSET (DimrTrainingOptions, field), min, max, initial }
#define SWITCH(name, field, initial) { name, DIMR_OPTION_SWITCH, G_STRUCT_OFFSET (DimrTrainingOptions, field), 0, 1, initial }

/* The paper's recipe, but for the size of the batch and the length, which its machines decided. */
static const DimrOptionInfo infos[] = {
  STRING ("config", config, NULL),
  STRING ("data", data, NULL),
  STRING ("validation", validation, NULL),
  STRING ("from", from, NULL),
  STRING ("output", output, NULL),
  COUNT ("steps", steps, 1, 1e12, "100000"),
  COUNT ("batch", batch, 1, 65536, "64"),
  NUMBER ("lr", lr, 0, 10, "0.0002"),
  COUNT ("warmup", warmup, 0, 1e12, "5000"),
  STRING ("decay", decay, "none"),
  NUMBER ("weight-decay", weight_decay, 0, 10, "0.03"),
  NUMBER ("beta1", beta1, 0, 0.9999999, "0.99"),
  NUMBER ("beta2", beta2, 0, 0.9999999, "0.99"),
  NUMBER ("ema", ema, 0, 1, "0.9999"),
  SWITCH ("ema-ramp", ema_ramp, "true"),
  NUMBER ("clip", clip, 0, 1e12, "0"),
  NUMBER ("drop-label", drop_label, 0, 1, "0.1"),
  SWITCH ("flip", flip, "true"),
  NUMBER ("max-weight", max_weight, 1, 1e6, "1"),
  COUNT ("crop", crop, 0, 64, "0"),
  NUMBER ("label-smoothing", label_smoothing, 0, 0.9, "0.1"),
  COUNT ("seed", seed, 0, 9007199254740992., "0"),
  STRING ("device", device, "auto"),
  STRING ("precision", precision, "f32"),
  COUNT ("threads", threads, 0, 1024, "0"),
  COUNT ("micro-batch", micro_batch, 0, 65536, "0"),
  SWITCH ("recompute", recompute, "false"),
  COUNT ("data-threads", data_threads, 1, 256, "1"),
  COUNT ("snapshot-every", snapshot_every, 1, 1e12, "1000"),
  COUNT ("keep", keep, 1, 1e6, "3"),
  COUNT ("log-every", log_every, 1, 1e9, "10"),
  COUNT ("validate-n", validate_n, 1, 1e9, "512"),
  COUNT ("sheet-columns", sheet_columns, 0, 64, "6"),
  COUNT ("sheet-steps", sheet_steps, 1, 1000, "25"),
  NUMBER ("sheet-cfg", sheet_cfg, 0, 100, "2"),
};

const DimrOptionInfo *
dimr_training_options_list (guint *n)
{
  *n = G_N_ELEMENTS (infos);
  return infos;
}

static gpointer
field (const DimrTrainingOptions *self,
       const DimrOptionInfo      *info)
{
  return (guint8 *) (gpointer) self + info->offset;
}

DimrTrainingOptions *
dimr_training_options_new (void)
{
  DimrTrainingOptions *self = g_new0 (DimrTrainingOptions, 1);

  for (guint i = 0; i < G_N_ELEMENTS (infos); i++)
    if (infos[i].initial != NULL)
      dimr_training_options_set (self, infos[i].name, infos[i].initial, NULL);
  return self;
}

void
dimr_training_options_free (DimrTrainingOptions *self)
{
  g_return_if_fail (self != NULL);
  for (guint i = 0; i < G_N_ELEMENTS (infos); i++)
    if (infos[i].type == DIMR_OPTION_STRING)
      g_free (*(char **) field (self, &infos[i]));
  g_free (self);
}

static gboolean
refuse (const DimrOptionInfo  *info,
        const char            *value,
        GError               **error)
{
  g_autofree char *min = g_strdup_printf ("%.15g", info->min), *max = g_strdup_printf ("%.15g", info->max);

  if (info->type == DIMR_OPTION_SWITCH)
    dimr_error_set (error, DIMR_ERROR_REQUEST, _("%s is true or false, not “%s”"), info->name, value);
  else
    dimr_error_set (error, DIMR_ERROR_REQUEST, info->type == DIMR_OPTION_COUNT ? _("%s is a whole number from %s to %s, not “%s”")
                                                    : _("%s is a number from %s to %s, not “%s”"), info->name, min, max, value);
  return FALSE;
}

/* The words that the strings among them may be. */
static gboolean
check_word (const char  *name,
            const char  *value,
            GError     **error)
{
  static const struct { const char *name, *a, *b; } words[] = { { "decay", "none", "cosine" }, { "precision", "f32", "bf16" } };

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (strcmp (name, words[i].name) == 0 && strcmp (value, words[i].a) != 0 && strcmp (value, words[i].b) != 0)
      {
        dimr_error_set (error, DIMR_ERROR_REQUEST, _("%s is %s or %s, not “%s”"), name, words[i].a, words[i].b, value);
        return FALSE;
      }
  return TRUE;
}

static gboolean
set (DimrTrainingOptions   *self,
     const DimrOptionInfo  *info,
     const char            *value,
     GError               **error)
{
  gpointer at = field (self, info);
  char *end = NULL;
  double number;

  switch (info->type)
    {
    case DIMR_OPTION_STRING:
      if (!check_word (info->name, value, error))
        return FALSE;
      g_free (*(char **) at);
      *(char **) at = g_strdup (value);
      return TRUE;
    case DIMR_OPTION_SWITCH:
      if (strcmp (value, "true") != 0 && strcmp (value, "false") != 0)
        return refuse (info, value, error);
      *(gboolean *) at = strcmp (value, "true") == 0;
      return TRUE;
    default:
      number = g_ascii_strtod (value, &end);
      if (end == value || *end != '\0' || !(number >= info->min && number <= info->max) ||
          (info->type == DIMR_OPTION_COUNT && number != floor (number)))
        return refuse (info, value, error);
      if (info->type == DIMR_OPTION_COUNT)
        *(guint64 *) at = (guint64) number;
      else
        *(double *) at = number;
      return TRUE;
    }
}

gboolean
dimr_training_options_set (DimrTrainingOptions  *self,
                           const char           *name,
                           const char           *value,
                           GError              **error)
{
  g_return_val_if_fail (self != NULL && name != NULL && value != NULL, FALSE);

  for (guint i = 0; i < G_N_ELEMENTS (infos); i++)
    if (strcmp (infos[i].name, name) == 0)
      return set (self, &infos[i], value, error);
  dimr_error_set (error, DIMR_ERROR_REQUEST, _("Training has no option “%s”"), name);
  return FALSE;
}

/* A value of JSON as one would type it; NULL for what no option can be. */
static char *
dup_text (JsonNode *node)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  if (!JSON_NODE_HOLDS_VALUE (node))
    return NULL;
  if (json_node_get_value_type (node) == G_TYPE_STRING)
    return g_strdup (json_node_get_string (node));
  if (json_node_get_value_type (node) == G_TYPE_BOOLEAN)
    return g_strdup (json_node_get_boolean (node) ? "true" : "false");
  if (json_node_get_value_type (node) == G_TYPE_INT64)
    return g_strdup_printf ("%" G_GINT64_FORMAT, json_node_get_int (node));
  return g_strdup (g_ascii_dtostr (buffer, sizeof buffer, json_node_get_double (node)));
}

gboolean
dimr_training_options_read (DimrTrainingOptions  *self,
                            JsonObject           *object,
                            GError              **error)
{
  g_autoptr (GList) members = json_object_get_members (object);

  for (GList *l = members; l != NULL; l = l->next)
    {
      g_autofree char *value = dup_text (json_object_get_member (object, l->data));

      if (value == NULL)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST, _("The training option “%s” is no single value"), (char *) l->data);
          return FALSE;
        }
      if (!dimr_training_options_set (self, l->data, value, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
dimr_training_options_read_config (DimrTrainingOptions  *self,
                                   const char           *path,
                                   GError              **error)
{
  g_autofree char *file = g_file_test (path, G_FILE_TEST_IS_DIR) ? g_build_filename (path, "config.json", NULL) : g_strdup (path);
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GError) local_error = NULL;
  JsonObject *object;
  JsonNode *training;

  if (!json_parser_load_from_file (parser, file, &local_error) || !JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    {
      dimr_error_set (error, DIMR_ERROR_FORMAT, _("The configuration “%s” could not be read: %s"), file,
                      local_error != NULL ? local_error->message : _("it is no JSON object"));
      return FALSE;
    }
  object = json_node_get_object (json_parser_get_root (parser));
  training = json_object_get_member (object, "training");
  if (training != NULL && !JSON_NODE_HOLDS_OBJECT (training))
    {
      dimr_error_set (error, DIMR_ERROR_FORMAT, _("The member \"training\" of “%s” is no object"), file);
      return FALSE;
    }
  return (training == NULL || dimr_training_options_read (self, json_node_get_object (training), error)) &&
         dimr_training_options_set (self, "config", path, error);
}

JsonObject *
dimr_training_options_write (const DimrTrainingOptions *self)
{
  JsonObject *object = json_object_new ();

  for (guint i = 0; i < G_N_ELEMENTS (infos); i++)
    {
      const gpointer at = field (self, &infos[i]);

      switch (infos[i].type)
        {
        case DIMR_OPTION_STRING:
          if (*(char **) at != NULL)
            json_object_set_string_member (object, infos[i].name, *(char **) at);
          break;
        case DIMR_OPTION_COUNT: json_object_set_int_member (object, infos[i].name, (gint64) *(guint64 *) at); break;
        case DIMR_OPTION_NUMBER: json_object_set_double_member (object, infos[i].name, *(double *) at); break;
        case DIMR_OPTION_SWITCH: json_object_set_boolean_member (object, infos[i].name, *(gboolean *) at); break;
        default: g_assert_not_reached ();
        }
    }
  return object;
}
