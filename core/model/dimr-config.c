/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-architecture.h"

#include "core/base/dimr-i18n.h"

#include <string.h>

#define MAX_CONFIG_BYTES (1 << 20)
#define MAX_CONFIG_DEPTH 32

static void
read_trained_classes (DimrReader *self,
                      JsonObject *object,
                      DimrConfig *config)
{
  JsonNode *node = dimr_reader_find (object, "trained_classes");
  JsonArray *array;

  if (node == NULL)
    return;
  if (!JSON_NODE_HOLDS_ARRAY (node))
    {
      dimr_reader_fail (self, DIMR_ERROR_FORMAT, _("\"trained_classes\" is not a list"));
      return;
    }
  array = json_node_get_array (node);
  config->trained_classes = g_new0 (int, MAX (json_array_get_length (array), 1));
  for (guint i = 0; i < json_array_get_length (array); i++)
    {
      JsonNode *entry = json_array_get_element (array, i);
      gint64 value = JSON_NODE_HOLDS_VALUE (entry) ? json_node_get_int (entry) : -1;

      if (value < 0 || value >= (gint64) dimr_config_get_n_classes (config))
        dimr_reader_fail (self, DIMR_ERROR_MODEL, _("entry %u of \"trained_classes\" is no class of this model"), i);
      else
        config->trained_classes[config->n_trained_classes++] = (int) value;
    }
}

static void
read_schedule (DimrReader *self,
               JsonObject *schedule,
               DimrConfig *config)
{
  static const char * const kinds[] = { "vp_discrete", "vp_linear", "vp_cosine", "vp_ddpm", NULL };
  /* First and last beta, and the largest there may be. */
  static const double betas[][3] = {
    [DIMR_SCHEDULE_DISCRETE] = { 0.00085, 0.012, 0.999 },
    [DIMR_SCHEDULE_LINEAR] = { 0.1, 20, 100 },
    [DIMR_SCHEDULE_COSINE] = { 0.1, 20, 100 },
    [DIMR_SCHEDULE_DDPM] = { 0.0001, 0.02, 0.999 },
  };
  const double *range;

  config->schedule = dimr_reader_get_choice (self, schedule, "kind", kinds[config->schedule], kinds);
  range = betas[config->schedule];
  config->beta_0 = dimr_reader_get_number (self, schedule, "beta_0", range[0], 1e-6, range[2]);
  config->beta_1 = dimr_reader_get_number (self, schedule, "beta_1", range[1], config->beta_0, range[2]);
}

static void
read_defaults (DimrReader *self,
               JsonObject *defaults,
               DimrConfig *config)
{
  static const char * const guidances[] = { "constant", "cosine", NULL };
  DimrGuidance *guidance = &config->default_guidance;
  const char *sampler = dimr_reader_get_string (self, defaults, "sampler",
                                                dimr_sampler_kind_to_string (config->default_sampler));

  config->default_steps = dimr_reader_get_count (self, defaults, "steps", config->default_steps, 1000);
  guidance->scale = dimr_reader_get_number (self, defaults, "cfg", guidance->scale, 0, 100);
  guidance->kind = dimr_reader_get_choice (self, defaults, "guidance", "constant", guidances);
  guidance->power = dimr_reader_get_number (self, defaults, "power", 2.0, 0.01, 100);
  if (!dimr_sampler_kind_from_string (sampler, &config->default_sampler))
    dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"sampler\" is \"%s\", which this version does not know"), sampler);
}

/* How the network is to be sampled; what the file does not say is the architecture's own. */
static void
read_sampling (DimrReader *self,
               JsonObject *object,
               DimrConfig *config)
{
  static const char * const conditions[] = { "linear", "log_snr", "timestep", "timestep_999", "index", NULL };
  JsonObject *schedule = dimr_reader_get_object (self, object, "schedule");
  JsonObject *defaults = dimr_reader_get_object (self, object, "defaults");

  config->architecture->set_defaults (config);
  if (schedule != NULL)
    read_schedule (self, schedule, config);
  config->time_condition = dimr_reader_get_choice (self, object, "time_condition", conditions[config->time_condition],
                                                   conditions);
  config->normalize_input = dimr_reader_get_boolean (self, object, "normalize_input", FALSE);
  config->title = g_strdup (dimr_reader_get_string (self, object, "title", NULL));
  if (defaults != NULL)
    read_defaults (self, defaults, config);
}

static void
read_config (DimrReader *self,
             JsonObject *object,
             DimrConfig *config)
{
  const DimrArchitecture * const *rows = dimr_architecture_list ();
  const char *model = dimr_reader_get_string (self, object, "model", rows[0]->model);
  g_autoptr (GString) known = g_string_new (NULL);

  for (guint i = 0; rows[i] != NULL; i++)
    {
      if (strcmp (rows[i]->model, model) == 0)
        config->architecture = rows[i];
      g_string_append_printf (known, "%s%s", i ? ", " : "", rows[i]->model);
    }
  if (config->architecture == NULL)
    {
      dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"model\" is \"%s\"; this version knows %s"), model, known->str);
      return;
    }
  config->architecture->read (self, object, config);
  if (self->error != NULL)
    return;
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
  DimrReader reader = { display_name, NULL };

  g_return_val_if_fail (json != NULL && display_name != NULL, NULL);

  if (length > MAX_CONFIG_BYTES || nests_too_deep (json, length))
    dimr_reader_fail (&reader, DIMR_ERROR_FORMAT, _("this is too large or too deeply nested to be a configuration"));
  else if (!json_parser_load_from_data (parser, json, (gssize) length, &parse_error))
    dimr_reader_fail (&reader, DIMR_ERROR_FORMAT, _("this is not JSON (%s)"), parse_error->message);
  else if (json_parser_get_root (parser) == NULL || !JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    dimr_reader_fail (&reader, DIMR_ERROR_FORMAT, _("this is not a JSON object"));
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
      dimr_error_set (error, DIMR_ERROR_FILE, _("The configuration could not be read: %s"), file_error->message);
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
  copy->label_names = g_strdupv (self->label_names);
  return copy;
}

void
dimr_config_free (DimrConfig *self)
{
  g_return_if_fail (self != NULL);
  g_free (self->trained_classes);
  g_free (self->title);
  g_strfreev (self->label_names);
  g_free (self);
}

guint
dimr_config_get_n_classes (const DimrConfig *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->num_classes - (self->has_null_class ? 1 : 0);
}

const char *
dimr_config_get_architecture_name (const DimrConfig *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->architecture->name;
}

guint
dimr_config_get_n_branches (const DimrConfig *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->architecture->get_n_branches (self);
}

gboolean
dimr_config_is_classifier (const DimrConfig *self)
{
  g_return_val_if_fail (self != NULL, FALSE);
  return self->architecture->classifies;
}

gboolean
dimr_config_tells_variance (const DimrConfig *self)
{
  g_return_val_if_fail (self != NULL, FALSE);
  return self->architecture->get_n_channels (self) > self->channels;
}

void
dimr_config_get_branch (const DimrConfig *self,
                        guint             branch,
                        DimrBranchInfo   *info)
{
  g_return_if_fail (self != NULL && info != NULL);
  g_return_if_fail (branch < dimr_config_get_n_branches (self));
  self->architecture->get_branch (self, branch, info);
}
