/* SPDX-License-Identifier: Apache-2.0 */
#include "core/image/dimr-recipe.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/classes/dimr-classes.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

/* The `dimr` chunk: one JSON object, for example
 *
 *   {"dimr":1, "version":"0.1.0", "model":{"name":"…","sha256":"…"}, "class":{"index":291,"name":"lion"},
 *    "seed":7, "image_index":0, "rng":"philox4x32-10", "steps":25, "sampler":"dpm-solver-fast",
 *    "time_grid":"uniform", "guidance":{"schedule":"constant","scale":2,"power":1},
 *    "precision":"f32", "micro_batch":1, "device":"…", "width":32, "height":32}
 *
 * and where they were asked for "eta":0.5, "clip_x0":true, in the guidance "channels":3,
 * "skip_unconditional":true, "reuse_low_branches":3; where a latent was decoded
 * "autoencoder":{"name":"…","sha256":"…"}. Files from before
 * "micro_batch" were made one image at a time.
 *
 * Integers above 2^53, which many JSON readers would round, are written as strings of digits. */
#define RECIPE_FORMAT 1
#define RNG_NAME "philox4x32-10"
#define MAX_EXACT_INTEGER (G_GUINT64_CONSTANT (1) << 53)
#define MAX_JSON_LENGTH (1 << 20)

G_DEFINE_BOXED_TYPE (DimrRecipe, dimr_recipe, dimr_recipe_copy, dimr_recipe_free)

DimrRecipe *
dimr_recipe_new (void)
{
  DimrRecipe *self = g_new0 (DimrRecipe, 1);

  self->class_index = DIMR_CLASS_NONE;
  self->n_steps = 25;
  self->micro_batch = 1;
  self->guidance = (DimrGuidance){ .kind = DIMR_GUIDANCE_CONSTANT, .scale = 1, .power = 1 };
  return self;
}

DimrRecipe *
dimr_recipe_copy (const DimrRecipe *self)
{
  DimrRecipe *copy;

  g_return_val_if_fail (self != NULL, NULL);

  copy = g_new (DimrRecipe, 1);
  *copy = *self;
  copy->model_name = g_strdup (self->model_name);
  copy->model_hash = g_strdup (self->model_hash);
  copy->autoencoder_name = g_strdup (self->autoencoder_name);
  copy->autoencoder_hash = g_strdup (self->autoencoder_hash);
  copy->class_name = g_strdup (self->class_name);
  copy->device = g_strdup (self->device);
  copy->version = g_strdup (self->version);
  return copy;
}

void
dimr_recipe_free (DimrRecipe *self)
{
  if (self == NULL)
    return;
  g_free (self->model_name);
  g_free (self->model_hash);
  g_free (self->autoencoder_name);
  g_free (self->autoencoder_hash);
  g_free (self->class_name);
  g_free (self->device);
  g_free (self->version);
  g_free (self);
}

static const char *const time_grids[] = { [DIMR_TIME_GRID_UNIFORM] = "uniform", [DIMR_TIME_GRID_LOG_SNR] = "log-snr" };
static const char *const guidance_kinds[] = { [DIMR_GUIDANCE_CONSTANT] = "constant", [DIMR_GUIDANCE_COSINE] = "cosine" };
static const char *const precisions[] = {
  [DIMR_PRECISION_F32] = "f32", [DIMR_PRECISION_BF16] = "bf16", [DIMR_PRECISION_F8] = "f8", [DIMR_PRECISION_AUTO] = "auto",
};

static gboolean
find_name (const char *const *names,
           guint              n,
           const char        *string,
           guint             *index)
{
  for (guint i = 0; i < n; i++)
    if (g_ascii_strcasecmp (names[i], string) == 0)
      {
        *index = i;
        return TRUE;
      }
  return FALSE;
}

#define DEFINE_SPELLING(Type, type_name, names)                                      \
  const char *                                                                       \
  type_name##_to_string (Type value)                                                 \
  {                                                                                  \
    g_return_val_if_fail ((guint) value < G_N_ELEMENTS (names), NULL);               \
    return names[value];                                                             \
  }                                                                                  \
                                                                                     \
  gboolean                                                                           \
  type_name##_from_string (const char *string,                                       \
                           Type       *value)                                        \
  {                                                                                  \
    guint index;                                                                     \
                                                                                     \
    g_return_val_if_fail (string != NULL && value != NULL, FALSE);                   \
    if (!find_name (names, G_N_ELEMENTS (names), string, &index))                    \
      return FALSE;                                                                  \
    *value = (Type) index;                                                           \
    return TRUE;                                                                     \
  }

DEFINE_SPELLING (DimrTimeGrid, dimr_time_grid, time_grids)
DEFINE_SPELLING (DimrGuidanceKind, dimr_guidance_kind, guidance_kinds)
DEFINE_SPELLING (DimrPrecision, dimr_precision, precisions)

static void
add_string (JsonBuilder *builder,
            const char  *member,
            const char  *value)
{
  if (value == NULL)
    return;
  json_builder_set_member_name (builder, member);
  json_builder_add_string_value (builder, value);
}

static void
add_integer (JsonBuilder *builder,
             const char  *member,
             guint64      value)
{
  char digits[24];

  json_builder_set_member_name (builder, member);
  if (value <= MAX_EXACT_INTEGER)
    json_builder_add_int_value (builder, (gint64) value);
  else
    {
      g_snprintf (digits, sizeof digits, "%" G_GUINT64_FORMAT, value);
      json_builder_add_string_value (builder, digits);
    }
}

static void
add_number (JsonBuilder *builder,
            const char  *member,
            double       value)
{
  json_builder_set_member_name (builder, member);
  json_builder_add_double_value (builder, value);
}

static void
add_file (JsonBuilder *builder,
          const char  *member,
          const char  *name,
          const char  *hash)
{
  json_builder_set_member_name (builder, member);
  json_builder_begin_object (builder);
  add_string (builder, "name", name);
  add_string (builder, "sha256", hash);
  json_builder_end_object (builder);
}

char *
dimr_recipe_to_json (const DimrRecipe *self)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;

  g_return_val_if_fail (self != NULL, NULL);

  json_builder_begin_object (builder);
  add_integer (builder, "dimr", RECIPE_FORMAT);
  add_string (builder, "version", self->version);
  add_file (builder, "model", self->model_name, self->model_hash);
  if (self->autoencoder_name != NULL)
    add_file (builder, "autoencoder", self->autoencoder_name, self->autoencoder_hash);
  if (self->class_index != DIMR_CLASS_NONE)
    {
      json_builder_set_member_name (builder, "class");
      json_builder_begin_object (builder);
      add_integer (builder, "index", self->class_index);
      add_string (builder, "name", self->class_name);
      json_builder_end_object (builder);
    }
  add_integer (builder, "seed", self->seed);
  add_integer (builder, "image_index", self->image_index);
  add_string (builder, "rng", self->own_noise ? "file" : RNG_NAME);
  add_integer (builder, "steps", self->n_steps);
  add_string (builder, "sampler", dimr_sampler_kind_to_string (self->sampler));
  add_string (builder, "time_grid", dimr_time_grid_to_string (self->time_grid));
  if (self->options.eta > 0)
    add_number (builder, "eta", self->options.eta);
  if (self->options.clip)
    {
      json_builder_set_member_name (builder, "clip_x0");
      json_builder_add_boolean_value (builder, TRUE);
    }
  json_builder_set_member_name (builder, "guidance");
  json_builder_begin_object (builder);
  add_string (builder, "schedule", dimr_guidance_kind_to_string (self->guidance.kind));
  add_number (builder, "scale", self->guidance.scale);
  add_number (builder, "power", self->guidance.power);
  if (self->guidance.channels > 0)
    add_integer (builder, "channels", self->guidance.channels);
  json_builder_end_object (builder);
  add_string (builder, "precision", dimr_precision_to_string (self->precision));
  add_integer (builder, "micro_batch", self->micro_batch);
  if (self->skip_unconditional)
    {
      json_builder_set_member_name (builder, "skip_unconditional");
      json_builder_add_boolean_value (builder, TRUE);
    }
  if (self->reuse_low_branches > 1)
    add_integer (builder, "reuse_low_branches", self->reuse_low_branches);
  add_string (builder, "device", self->device);
  add_integer (builder, "width", self->width);
  add_integer (builder, "height", self->height);
  json_builder_end_object (builder);

  root = json_builder_get_root (builder);
  return json_to_string (root, FALSE);
}

/* Reading. Each returns FALSE with @error set where the member is there but is not what it should
 * be; an absent member leaves *out alone. */

static gboolean
read_string (JsonObject  *object,
             const char  *member,
             char       **out,
             GError     **error)
{
  JsonNode *node = json_object_get_member (object, member);

  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;
  if (json_node_get_value_type (node) != G_TYPE_STRING)
    return dimr_error_set (error, DIMR_ERROR_FORMAT, _("The picture's recipe cannot be used: its “%s” is not a text."), member);
  g_free (*out);
  *out = g_strdup (json_node_get_string (node));
  return TRUE;
}

static gboolean
read_integer (JsonObject  *object,
              const char  *member,
              guint64      max,
              guint64     *out,
              GError     **error)
{
  JsonNode *node = json_object_get_member (object, member);

  if (node == NULL)
    return TRUE;
  if (json_node_get_value_type (node) == G_TYPE_STRING)
    {
      if (!g_ascii_string_to_unsigned (json_node_get_string (node), 10, 0, max, out, NULL))
        return dimr_error_set (error, DIMR_ERROR_FORMAT,
                               _("The picture's recipe cannot be used: its “%s” is not an integer in range."), member);
      return TRUE;
    }
  if (json_node_get_value_type (node) != G_TYPE_INT64 || json_node_get_int (node) < 0
      || (guint64) json_node_get_int (node) > max)
    return dimr_error_set (error, DIMR_ERROR_FORMAT,
                           _("The picture's recipe cannot be used: its “%s” is not an integer in range."), member);
  *out = json_node_get_int (node);
  return TRUE;
}

static gboolean
read_uint (JsonObject  *object,
           const char  *member,
           guint       *out,
           GError     **error)
{
  guint64 value = *out;

  if (!read_integer (object, member, G_MAXINT, &value, error))
    return FALSE;
  *out = (guint) value;
  return TRUE;
}

static gboolean
read_boolean (JsonObject  *object,
              const char  *member,
              gboolean    *out,
              GError     **error)
{
  JsonNode *node = json_object_get_member (object, member);

  if (node == NULL)
    return TRUE;
  if (json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    return dimr_error_set (error, DIMR_ERROR_FORMAT, _("The picture's recipe cannot be used: its “%s” is not true or false."), member);
  *out = json_node_get_boolean (node);
  return TRUE;
}

static gboolean
read_number (JsonObject  *object,
             const char  *member,
             double      *out,
             GError     **error)
{
  JsonNode *node = json_object_get_member (object, member);

  if (node == NULL)
    return TRUE;
  if (json_node_get_value_type (node) != G_TYPE_DOUBLE && json_node_get_value_type (node) != G_TYPE_INT64)
    return dimr_error_set (error, DIMR_ERROR_FORMAT, _("The picture's recipe cannot be used: its “%s” is not a number."), member);
  if (!isfinite (json_node_get_double (node)))
    return dimr_error_set (error, DIMR_ERROR_FORMAT, _("The picture's recipe cannot be used: its “%s” is not a finite number."), member);
  *out = json_node_get_double (node);
  return TRUE;
}

static gboolean
read_object (JsonObject  *object,
             const char  *member,
             JsonObject **out,
             GError     **error)
{
  JsonNode *node = json_object_get_member (object, member);

  *out = NULL;
  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return dimr_error_set (error, DIMR_ERROR_FORMAT, _("The picture's recipe cannot be used: its “%s” is not an object."), member);
  *out = json_node_get_object (node);
  return TRUE;
}

static gboolean
read_class (JsonObject  *object,
            DimrRecipe  *self,
            GError     **error)
{
  guint64 index = G_MAXUINT64;

  if (!read_integer (object, "index", DIMR_N_IMAGENET_CLASSES - 1, &index, error)
      || !read_string (object, "name", &self->class_name, error))
    return FALSE;
  if (index != G_MAXUINT64)
    self->class_index = (int) index;
  return TRUE;
}

static gboolean
read_guidance (JsonObject    *object,
               DimrGuidance  *guidance,
               GError       **error)
{
  g_autofree char *schedule = NULL;

  if (!read_string (object, "schedule", &schedule, error)
      || !read_number (object, "scale", &guidance->scale, error)
      || !read_number (object, "power", &guidance->power, error)
      || !read_uint (object, "channels", &guidance->channels, error))
    return FALSE;
  if (schedule != NULL && !dimr_guidance_kind_from_string (schedule, &guidance->kind))
    return dimr_error_set (error, DIMR_ERROR_FORMAT,
                           _("The picture's recipe cannot be used: its “%s” is not “constant” or “cosine”."), "schedule");
  return TRUE;
}

static gboolean
read_choices (JsonObject  *object,
              DimrRecipe  *self,
              GError     **error)
{
  g_autofree char *sampler = NULL;
  g_autofree char *grid = NULL;
  g_autofree char *precision = NULL;
  g_autofree char *rng = NULL;

  if (!read_string (object, "sampler", &sampler, error) || !read_string (object, "time_grid", &grid, error)
      || !read_string (object, "precision", &precision, error) || !read_string (object, "rng", &rng, error))
    return FALSE;
  if (sampler != NULL && !dimr_sampler_kind_from_string (sampler, &self->sampler))
    return dimr_error_set (error, DIMR_ERROR_FORMAT,
                           _("The picture's recipe cannot be used: its “%s” is not one that this version knows."), "sampler");
  if (grid != NULL && !dimr_time_grid_from_string (grid, &self->time_grid))
    return dimr_error_set (error, DIMR_ERROR_FORMAT,
                           _("The picture's recipe cannot be used: its “%s” is not “uniform” or “log-snr”."), "time_grid");
  if (precision != NULL && !dimr_precision_from_string (precision, &self->precision))
    return dimr_error_set (error, DIMR_ERROR_FORMAT,
                           _("The picture's recipe cannot be used: its “%s” is not “f32”, “bf16” or “auto”."), "precision");
  self->own_noise = rng != NULL && strcmp (rng, RNG_NAME) != 0;
  return TRUE;
}

DimrRecipe *
dimr_recipe_from_json (const char  *json,
                       GError     **error)
{
  g_autoptr (DimrRecipe) self = dimr_recipe_new ();
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) local_error = NULL;
  JsonObject *object, *model, *autoencoder, *class, *guidance;
  JsonNode *root;

  g_return_val_if_fail (json != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  /* The parser recurses once a bracket: more opening ones than a recipe has are no recipe. */
  {
    gsize length = strlen (json);
    guint n_open = 0;

    for (gsize i = 0; i < length && n_open <= 64; i++)
      n_open += json[i] == '[' || json[i] == '{';
    if (n_open > 64 || length > MAX_JSON_LENGTH || !g_utf8_validate (json, length, NULL))
      {
        g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_FORMAT,
                             _("The picture's recipe cannot be used: it is no JSON of a recipe."));
        return NULL;
      }
  }
  if (!json_parser_load_from_data (parser, json, -1, &local_error)
      || (root = json_parser_get_root (parser)) == NULL || !JSON_NODE_HOLDS_OBJECT (root)
      || !json_object_has_member (json_node_get_object (root), "dimr"))
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_FORMAT,
                           _("The picture's recipe cannot be used: it is no JSON of a recipe."));
      return NULL;
    }

  object = json_node_get_object (root);
  if (!read_string (object, "version", &self->version, error)
      || !read_object (object, "model", &model, error)
      || !read_object (object, "class", &class, error)
      || !read_object (object, "guidance", &guidance, error)
      || !read_object (object, "autoencoder", &autoencoder, error)
      || (autoencoder != NULL && !read_string (autoencoder, "name", &self->autoencoder_name, error))
      || (autoencoder != NULL && !read_string (autoencoder, "sha256", &self->autoencoder_hash, error))
      || (model != NULL && !read_string (model, "name", &self->model_name, error))
      || (model != NULL && !read_string (model, "sha256", &self->model_hash, error))
      || (class != NULL && !read_class (class, self, error))
      || (guidance != NULL && !read_guidance (guidance, &self->guidance, error))
      || !read_integer (object, "seed", G_MAXUINT64, &self->seed, error)
      || !read_integer (object, "image_index", G_MAXUINT64, &self->image_index, error)
      || !read_uint (object, "steps", &self->n_steps, error)
      || !read_choices (object, self, error)
      || !read_number (object, "eta", &self->options.eta, error)
      || !read_boolean (object, "clip_x0", &self->options.clip, error)
      || !read_uint (object, "micro_batch", &self->micro_batch, error)
      || !read_boolean (object, "skip_unconditional", &self->skip_unconditional, error)
      || !read_uint (object, "reuse_low_branches", &self->reuse_low_branches, error)
      || !read_string (object, "device", &self->device, error)
      || !read_uint (object, "width", &self->width, error)
      || !read_uint (object, "height", &self->height, error))
    return NULL;
  return g_steal_pointer (&self);
}
