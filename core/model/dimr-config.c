/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-config.h"

#include "core/base/dimr-error.h"
#include "core/model/dimr-config-private.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#define MAX_CONFIG_BYTES (1 << 20)
#define MAX_CONFIG_DEPTH 32
#define MAX_DIM 16384
#define MAX_BLOCKS 1024
#define MAX_SIDE 4096
#define MAX_CLASSES 1000000

/* Reads members one by one and remembers the first that is wrong, so that the parser below is a list. */
typedef struct
{
  const char *file;
  GError *error;
} Reader;

static void G_GNUC_PRINTF (3, 4)
fail (Reader     *self,
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
  self->error = g_error_new (DIMR_ERROR, code, "%s: %s", self->file, reason);
}

static JsonNode *
find (JsonObject *object,
      const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && !JSON_NODE_HOLDS_NULL (node) ? node : NULL;
}

static double
read_number (Reader     *self,
             JsonObject *object,
             const char *name,
             double      fallback,
             double      min,
             double      max)
{
  JsonNode *node = find (object, name);
  double value;

  if (node == NULL)
    return fallback;
  if (!JSON_NODE_HOLDS_VALUE (node) ||
      (json_node_get_value_type (node) != G_TYPE_INT64 && json_node_get_value_type (node) != G_TYPE_DOUBLE))
    {
      fail (self, DIMR_ERROR_FORMAT, "\"%s\" is not a number", name);
      return fallback;
    }
  value = json_node_get_double (node);
  if (!isfinite (value) || value < min || value > max)
    {
      fail (self, DIMR_ERROR_MODEL, "\"%s\" is %g, which is not between %g and %g", name, value, min, max);
      return fallback;
    }
  return value;
}

/* A whole number; @fallback 0 makes the member required. */
static guint
read_count (Reader     *self,
            JsonObject *object,
            const char *name,
            guint       fallback,
            guint       max)
{
  double value;

  if (fallback == 0 && find (object, name) == NULL)
    {
      fail (self, DIMR_ERROR_MODEL, "\"%s\" is missing", name);
      return 1;
    }
  value = read_number (self, object, name, fallback, 1, max);
  if (value != floor (value))
    fail (self, DIMR_ERROR_MODEL, "\"%s\" is %g, which is no whole number", name, value);
  return MAX ((guint) value, 1);
}

static const char *
read_string (Reader     *self,
             JsonObject *object,
             const char *name,
             const char *fallback)
{
  JsonNode *node = find (object, name);

  if (node == NULL)
    return fallback;
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
    {
      fail (self, DIMR_ERROR_FORMAT, "\"%s\" is not a string", name);
      return fallback;
    }
  return json_node_get_string (node);
}

static gboolean
read_boolean (Reader     *self,
              JsonObject *object,
              const char *name)
{
  JsonNode *node = find (object, name);

  if (node == NULL)
    return FALSE;
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    fail (self, DIMR_ERROR_FORMAT, "\"%s\" is neither true nor false", name);
  else
    return json_node_get_boolean (node);
  return FALSE;
}

/* The index of the string in @values, which ends with NULL. */
static guint
read_choice (Reader             *self,
             JsonObject         *object,
             const char         *name,
             const char         *fallback,
             const char * const *values)
{
  const char *text = read_string (self, object, name, fallback);

  for (guint i = 0; text != NULL && values[i] != NULL; i++)
    if (strcmp (text, values[i]) == 0)
      return i;
  if (text == NULL)
    fail (self, DIMR_ERROR_MODEL, "\"%s\" is missing", name);
  else
    {
      g_autofree char *known = g_strjoinv (", ", (char **) values);
      fail (self, DIMR_ERROR_MODEL, "\"%s\" is \"%s\"; this version knows %s", name, text, known);
    }
  return 0;
}

static void
read_stage (Reader          *self,
            JsonObject      *object,
            DimrStageConfig *stage)
{
  static const char * const types[] = { "TransformerBlock", "ConvNeXtBlock", NULL };

  stage->block_type = read_choice (self, object, "block_type", NULL, types);
  stage->dim = read_count (self, object, "dim", 0, MAX_DIM);
  stage->hidden_dim = read_count (self, object, "hidden_dim", 2 * stage->dim, 4 * MAX_DIM);
  stage->num_attention_heads = read_count (self, object, "num_attention_heads", 1, MAX_DIM);
  stage->num_blocks = read_count (self, object, "num_blocks", 0, MAX_BLOCKS);
  stage->max_height = read_count (self, object, "max_height", 0, MAX_SIDE);
  stage->max_width = read_count (self, object, "max_width", stage->max_height, MAX_SIDE);
  stage->image_input_ratio = read_count (self, object, "image_input_ratio", 1, 64);
  stage->input_feature_ratio = read_count (self, object, "input_feature_ratio", 1, 64);
  stage->final_kernel_size = read_count (self, object, "final_kernel_size", 3, 31);
  stage->kernel_size = read_count (self, object, "kernel_size", 7, 31);

  if (stage->block_type == DIMR_BLOCK_TRANSFORMER && stage->dim % stage->num_attention_heads != 0)
    fail (self, DIMR_ERROR_MODEL, "\"dim\" %u is not a multiple of \"num_attention_heads\" %u",
          stage->dim, stage->num_attention_heads);
  if (stage->final_kernel_size % 2 == 0 || stage->kernel_size % 2 == 0)
    fail (self, DIMR_ERROR_MODEL, "\"kernel_size\" and \"final_kernel_size\" must be odd");
}

static void
read_stages (Reader     *self,
             JsonObject *object,
             DimrConfig *config)
{
  JsonNode *node = find (object, "stage_configs");
  JsonArray *array;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    {
      fail (self, DIMR_ERROR_MODEL, "\"stage_configs\" is missing or not a list");
      return;
    }
  array = json_node_get_array (node);
  config->n_stages = json_array_get_length (array);
  if (config->n_stages < 1 || config->n_stages > DIMR_MAX_BRANCHES)
    {
      fail (self, DIMR_ERROR_MODEL, "\"stage_configs\" has %u entries, not 1 to %d", config->n_stages, DIMR_MAX_BRANCHES);
      return;
    }
  for (guint s = 0; s < config->n_stages; s++)
    {
      JsonNode *entry = json_array_get_element (array, s);

      if (!JSON_NODE_HOLDS_OBJECT (entry))
        {
          fail (self, DIMR_ERROR_FORMAT, "entry %u of \"stage_configs\" is not an object", s);
          return;
        }
      read_stage (self, json_node_get_object (entry), &config->stages[s]);
    }
}

/* What the stages must have in common for the cascade to fit. */
static void
check_stages (Reader     *self,
              DimrConfig *config)
{
  for (guint s = 0; s < config->n_stages && self->error == NULL; s++)
    {
      const DimrStageConfig *stage = &config->stages[s], *low = s > 0 ? stage - 1 : NULL;
      guint scale = stage->image_input_ratio * stage->input_feature_ratio;

      if (config->image_size % scale != 0 || config->image_size / scale > stage->max_height ||
          config->image_size / scale > stage->max_width)
        fail (self, DIMR_ERROR_MODEL, "a picture of %u × %u does not fit branch %u (patches of %u, map of at most %u × %u)",
              config->image_size, config->image_size, s + 1, scale, stage->max_height, stage->max_width);
      else if (low != NULL &&
               (stage->max_height % low->max_height != 0 ||
                config->image_size / scale !=
                  config->image_size / (low->image_input_ratio * low->input_feature_ratio) *
                  (stage->max_height / low->max_height)))
        fail (self, DIMR_ERROR_MODEL, "the map of branch %u is no whole multiple of that of branch %u", s + 1, s);
    }
}

static void
read_loss_coeffs (Reader     *self,
                  JsonObject *object,
                  DimrConfig *config)
{
  JsonNode *node = find (object, "loss_coeffs");

  for (guint s = 0; s < config->n_stages; s++)
    config->loss_coeffs[s] = ldexpf (1.f, -2 * (int) (config->n_stages - 1 - s));
  if (node == NULL)
    return;
  if (!JSON_NODE_HOLDS_ARRAY (node) || json_array_get_length (json_node_get_array (node)) != config->n_stages)
    {
      fail (self, DIMR_ERROR_MODEL, "\"loss_coeffs\" is not a list of one number per branch");
      return;
    }
  for (guint s = 0; s < config->n_stages; s++)
    config->loss_coeffs[s] = (float) json_array_get_double_element (json_node_get_array (node), s);
}

static void
read_trained_classes (Reader     *self,
                      JsonObject *object,
                      DimrConfig *config)
{
  JsonNode *node = find (object, "trained_classes");
  JsonArray *array;

  if (node == NULL)
    return;
  if (!JSON_NODE_HOLDS_ARRAY (node))
    {
      fail (self, DIMR_ERROR_FORMAT, "\"trained_classes\" is not a list");
      return;
    }
  array = json_node_get_array (node);
  config->trained_classes = g_new0 (int, MAX (json_array_get_length (array), 1));
  for (guint i = 0; i < json_array_get_length (array); i++)
    {
      JsonNode *entry = json_array_get_element (array, i);
      gint64 value = JSON_NODE_HOLDS_VALUE (entry) ? json_node_get_int (entry) : -1;

      if (value < 0 || value >= (gint64) config->num_classes)
        fail (self, DIMR_ERROR_MODEL, "entry %u of \"trained_classes\" is no class of this model", i);
      else
        config->trained_classes[config->n_trained_classes++] = (int) value;
    }
}

/* What the released evaluation does for every model: Stable Diffusion's schedule and the linear time
 * proxy. Only the 64 px pixel models were made with the VP-SDE and the true log-SNR. */
static void
fill_sampling_defaults (DimrConfig *config)
{
  gboolean pixel_64 = config->channels == 3 && config->image_size == 64;

  config->schedule = pixel_64 ? DIMR_SCHEDULE_LINEAR : DIMR_SCHEDULE_DISCRETE;
  config->beta_0 = pixel_64 ? 0.1 : 0.00085;
  config->beta_1 = pixel_64 ? 20.0 : 0.012;
  config->time_condition = pixel_64 ? DIMR_TIME_CONDITION_LOG_SNR : DIMR_TIME_CONDITION_LINEAR;
  config->default_steps = config->channels == 3 ? 50 : 250;
  config->default_sampler = DIMR_SAMPLER_DPM_SOLVER_FAST;
  config->default_guidance = (DimrGuidance){ DIMR_GUIDANCE_CONSTANT, config->num_classes > 0 ? 1.4 : 1.0, 2.0 };
}

static JsonObject *
find_object (Reader     *self,
             JsonObject *object,
             const char *name)
{
  JsonNode *node = find (object, name);

  if (node == NULL)
    return NULL;
  if (JSON_NODE_HOLDS_OBJECT (node))
    return json_node_get_object (node);
  fail (self, DIMR_ERROR_FORMAT, "\"%s\" is not an object", name);
  return NULL;
}

static void
read_sampling (Reader     *self,
               JsonObject *object,
               DimrConfig *config)
{
  static const char * const kinds[] = { "vp_discrete", "vp_linear", "vp_cosine", NULL };
  static const char * const conditions[] = { "linear", "log_snr", NULL };
  static const char * const guidances[] = { "constant", "cosine", NULL };
  JsonObject *schedule = find_object (self, object, "schedule"), *defaults = find_object (self, object, "defaults");

  fill_sampling_defaults (config);
  if (schedule != NULL)
    {
      gboolean discrete;

      config->schedule = read_choice (self, schedule, "kind", kinds[config->schedule], kinds);
      discrete = config->schedule == DIMR_SCHEDULE_DISCRETE;
      config->beta_0 = read_number (self, schedule, "beta_0", discrete ? 0.00085 : 0.1, 1e-6, 100);
      config->beta_1 = read_number (self, schedule, "beta_1", discrete ? 0.012 : 20.0, config->beta_0, discrete ? 0.999 : 100);
    }
  config->time_condition = read_choice (self, object, "time_condition", conditions[config->time_condition], conditions);
  config->normalize_input = read_boolean (self, object, "normalize_input");
  config->title = g_strdup (read_string (self, object, "title", NULL));
  if (defaults != NULL)
    {
      const char *sampler = read_string (self, defaults, "sampler", "dpm-solver-fast");

      config->default_steps = read_count (self, defaults, "steps", config->default_steps, 1000);
      config->default_guidance.scale = read_number (self, defaults, "cfg", config->default_guidance.scale, 0, 100);
      config->default_guidance.kind = read_choice (self, defaults, "guidance", "constant", guidances);
      config->default_guidance.power = read_number (self, defaults, "power", 2.0, 0.01, 100);
      if (!dimr_sampler_kind_from_string (sampler, &config->default_sampler))
        fail (self, DIMR_ERROR_MODEL, "\"sampler\" is \"%s\", which this version does not know", sampler);
    }
}

static void
read_config (Reader     *self,
             JsonObject *object,
             DimrConfig *config)
{
  static const char * const models[] = { "MRModel", NULL };
  static const char * const norms[] = { "TDRMSN", "LN", "RMSN", NULL };
  static const char * const positions[] = { "APE", NULL };

  read_choice (self, object, "model", "MRModel", models);
  config->channels = read_count (self, object, "channels", 0, 64);
  config->image_size = read_count (self, object, "image_size", 0, MAX_SIDE);
  config->num_classes = find (object, "num_classes") != NULL ? read_count (self, object, "num_classes", 1, MAX_CLASSES) : 0;
  config->norm_type = read_choice (self, object, "norm_type", "TDRMSN", norms);
  read_choice (self, object, "pe_type", "APE", positions);
  read_stages (self, object, config);
  if (self->error != NULL)
    return;
  check_stages (self, config);
  read_loss_coeffs (self, object, config);
  read_sampling (self, object, config);
  read_trained_classes (self, object, config);
}

/* json-glib recurses at each bracket: a file of brackets only would overflow the stack. */
static gboolean
nests_too_deep (const char *json,
                gsize       length)
{
  gboolean in_string = FALSE;
  guint depth = 0;

  for (gsize i = 0; i < length; i++)
    {
      char c = json[i];

      if (in_string && c == '\\')
        i++;
      else if (c == '"')
        in_string = !in_string;
      else if (!in_string && (c == '{' || c == '['))
        {
          if (++depth > MAX_CONFIG_DEPTH)
            return TRUE;
        }
      else if (!in_string && (c == '}' || c == ']') && depth > 0)
        depth--;
    }
  return FALSE;
}

DimrConfig *
dimr_config_parse (const char  *json,
                   gsize        length,
                   const char  *display_name,
                   GError     **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (DimrConfig) config = g_new0 (DimrConfig, 1);
  g_autoptr (GError) parse_error = NULL;
  Reader reader = { display_name, NULL };

  g_return_val_if_fail (json != NULL && display_name != NULL, NULL);

  if (length > MAX_CONFIG_BYTES || nests_too_deep (json, length))
    fail (&reader, DIMR_ERROR_FORMAT, "this is too large or too deeply nested to be a configuration");
  else if (!json_parser_load_from_data (parser, json, (gssize) length, &parse_error))
    fail (&reader, DIMR_ERROR_FORMAT, "this is not JSON (%s)", parse_error->message);
  else if (json_parser_get_root (parser) == NULL || !JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    fail (&reader, DIMR_ERROR_FORMAT, "this is not a JSON object");
  else
    read_config (&reader, json_node_get_object (json_parser_get_root (parser)), config);

  if (reader.error != NULL)
    {
      g_propagate_error (error, reader.error);
      return NULL;
    }
  return g_steal_pointer (&config);
}

DimrConfig *
dimr_config_load (const char  *path,
                  GError     **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) file_error = NULL;
  gsize length;

  g_return_val_if_fail (path != NULL, NULL);
  if (!g_file_get_contents (path, &text, &length, &file_error))
    {
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_FILE, "The configuration could not be read: %s", file_error->message);
      return NULL;
    }
  return dimr_config_parse (text, length, path, error);
}

DimrConfig *
dimr_config_copy (const DimrConfig *self)
{
  DimrConfig *copy;

  g_return_val_if_fail (self != NULL, NULL);
  copy = g_memdup2 (self, sizeof *self);
  copy->trained_classes = g_memdup2 (self->trained_classes, self->n_trained_classes * sizeof (int));
  copy->title = g_strdup (self->title);
  return copy;
}

void
dimr_config_free (DimrConfig *self)
{
  g_return_if_fail (self != NULL);
  g_free (self->trained_classes);
  g_free (self->title);
  g_free (self);
}

guint
dimr_stage_config_get_n_blocks (const DimrStageConfig *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->num_blocks / 2 * 2 + 1;
}

DimrConfig *
dimr_config_new_for_released (guint channels,
                              guint image_size,
                              guint num_classes)
{
  DimrConfig *config = g_new0 (DimrConfig, 1);

  config->channels = channels;
  config->image_size = image_size;
  config->num_classes = num_classes;
  config->norm_type = DIMR_NORM_TDRMSN;
  fill_sampling_defaults (config);
  return config;
}
