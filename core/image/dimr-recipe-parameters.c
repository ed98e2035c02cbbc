/* SPDX-License-Identifier: Apache-2.0 */
#include "core/image/dimr-recipe.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/classes/dimr-classes.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

/* The grammar, as its many readers take it: the prompt; maybe a line "Negative prompt: …"; one last
 * line of at least three "key: value" with commas between them. A value that holds a comma, a colon
 * or a line feed is written as a JSON string. Keys are letters, digits, blanks, '-' and '/'. */
#define MIN_SETTINGS 3
#define HASH_DIGITS 10 /* of the model's hash, as usual there */
#define PROGRAM "dimr-studio "

static char *
quote (const char *value)
{
  g_autoptr (JsonNode) node = NULL;

  if (strpbrk (value, ",:\n\r\"") == NULL)
    return g_strdup (value);
  node = json_node_init_string (json_node_alloc (), value);
  return json_to_string (node, FALSE);
}

static void
append (GString    *text,
        const char *key,
        const char *value)
{
  g_autofree char *quoted = quote (value);

  if (text->len > 0 && text->str[text->len - 1] != '\n')
    g_string_append (text, ", ");
  g_string_append_printf (text, "%s: %s", key, quoted);
}

static void
append_integer (GString    *text,
                const char *key,
                guint64     value)
{
  char digits[24];

  g_snprintf (digits, sizeof digits, "%" G_GUINT64_FORMAT, value);
  append (text, key, digits);
}

/* As few digits as read back as the same number: 1.4, not 1.3999999999999999. */
static void
append_number (GString    *text,
               const char *key,
               double      value)
{
  char digits[G_ASCII_DTOSTR_BUF_SIZE];

  g_ascii_formatd (digits, sizeof digits, "%.15g", value);
  if (g_ascii_strtod (digits, NULL) != value)
    g_ascii_dtostr (digits, sizeof digits, value);
  append (text, key, digits);
}

char *
dimr_recipe_to_parameters (const DimrRecipe *self)
{
  GString *text = g_string_new (NULL);
  g_autofree char *size = NULL;
  g_autofree char *hash = NULL;
  g_autofree char *version = NULL;

  g_return_val_if_fail (self != NULL, NULL);

  if (self->class_name != NULL)
    g_string_append_printf (text, "%s\n", self->class_name);
  append_integer (text, "Steps", self->n_steps);
  append (text, "Sampler", dimr_sampler_kind_get_label (self->sampler));
  append_number (text, "CFG scale", self->guidance.scale);
  append_integer (text, "Seed", self->seed);
  size = g_strdup_printf ("%ux%u", self->width, self->height);
  append (text, "Size", size);
  if (self->model_hash != NULL)
    {
      hash = g_strndup (self->model_hash, HASH_DIGITS);
      append (text, "Model hash", hash);
    }
  if (self->model_name != NULL)
    append (text, "Model", self->model_name);
  if (self->autoencoder_name != NULL)
    append (text, "VAE", self->autoencoder_name);
  if (self->class_index != DIMR_CLASS_NONE)
    append_integer (text, "Class index", self->class_index);
  append_integer (text, "Image index", self->image_index);
  append (text, "Time grid", dimr_time_grid_to_string (self->time_grid));
  if (self->options.eta > 0)
    append_number (text, "Eta", self->options.eta);
  if (self->options.clip)
    append (text, "Clip x0", "yes");
  append (text, "Guidance schedule", dimr_guidance_kind_to_string (self->guidance.kind));
  if (self->guidance.kind == DIMR_GUIDANCE_COSINE)
    append_number (text, "Guidance power", self->guidance.power);
  if (self->guidance.channels > 0)
    append_integer (text, "Guided channels", self->guidance.channels);
  append (text, "Precision", dimr_precision_to_string (self->precision));
  append_integer (text, "Micro-batch", self->micro_batch);
  if (self->skip_unconditional)
    append (text, "Skip unconditional", "yes");
  if (self->reuse_low_branches > 1)
    append_integer (text, "Reuse low branches", self->reuse_low_branches);
  append (text, "RNG", self->own_noise ? "file" : "Philox");
  if (self->device != NULL)
    append (text, "Device", self->device);
  version = g_strconcat (PROGRAM, self->version, NULL);
  append (text, "Version", self->version != NULL ? version : "dimr-studio");
  return g_string_free (text, FALSE);
}

static char *
unquote (const char *text,
         gsize       length)
{
  g_autofree char *copy = g_strndup (text, length);
  g_autoptr (JsonNode) node = NULL;

  if (copy[0] != '"')
    return g_strdup (g_strstrip (copy));
  node = json_from_string (copy, NULL);
  if (node == NULL || json_node_get_value_type (node) != G_TYPE_STRING)
    return g_strdup (copy);
  return g_strdup (json_node_get_string (node));
}

/* The settings of one line, key (lower case) → value; what fits no "key: value" is passed over. */
static GHashTable *
split_settings (const char *line)
{
  GHashTable *settings = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  const char *p = line;

  while (*p != '\0')
    {
      const char *key = p + strspn (p, " \t,");
      const char *colon = key + strcspn (key, ":,");
      const char *value, *end;
      char *name;

      if (*colon != ':')
        {
          p = colon;
          continue;
        }
      value = colon + 1 + strspn (colon + 1, " \t");
      end = value;
      if (*value == '"')
        {
          for (end = value + 1; *end != '\0' && *end != '"'; end++)
            if (*end == '\\' && end[1] != '\0')
              end++;
          if (*end == '"')
            end++;
        }
      else
        end = value + strcspn (value, ",");
      name = g_ascii_strdown (key, colon - key);
      g_hash_table_replace (settings, g_strstrip (name), unquote (value, end - value));
      p = end + strcspn (end, ",");
    }
  return settings;
}

static gboolean
wrong_setting (const char  *key,
               const char  *value,
               GError     **error)
{
  dimr_error_set (error, DIMR_ERROR_FORMAT,
                  _("The picture's settings cannot be used: its %s is “%s”."), key, value);
  return FALSE;
}

static gboolean
read_integer (GHashTable  *settings,
              const char  *key,
              guint64      max,
              guint64     *out,
              GError     **error)
{
  const char *value = g_hash_table_lookup (settings, key);

  if (value != NULL && !g_ascii_string_to_unsigned (value, 10, 0, max, out, NULL))
    return wrong_setting (key, value, error);
  return TRUE;
}

static gboolean
read_number (GHashTable  *settings,
             const char  *key,
             double      *out,
             GError     **error)
{
  const char *value = g_hash_table_lookup (settings, key);
  char *end;
  double number;

  if (value == NULL)
    return TRUE;
  number = g_ascii_strtod (value, &end);
  if (end == value || *end != '\0' || !isfinite (number))
    return wrong_setting (key, value, error);
  *out = number;
  return TRUE;
}

static gboolean
read_size (GHashTable  *settings,
           DimrRecipe  *self,
           GError     **error)
{
  const char *value = g_hash_table_lookup (settings, "size");
  g_auto (GStrv) sides = NULL;
  guint64 width, height;

  if (value == NULL)
    return TRUE;
  sides = g_strsplit (value, "x", 2);
  if (g_strv_length (sides) != 2
      || !g_ascii_string_to_unsigned (sides[0], 10, 0, G_MAXINT, &width, NULL)
      || !g_ascii_string_to_unsigned (sides[1], 10, 0, G_MAXINT, &height, NULL))
    return wrong_setting ("size", value, error);
  self->width = (guint) width;
  self->height = (guint) height;
  return TRUE;
}

/* Choices that this program does not know ("Euler a") keep their defaults: they belong to others. */
static void
read_choices (GHashTable *settings,
              DimrRecipe *self)
{
  const char *sampler = g_hash_table_lookup (settings, "sampler");
  const char *grid = g_hash_table_lookup (settings, "time grid");
  const char *schedule = g_hash_table_lookup (settings, "guidance schedule");
  const char *precision = g_hash_table_lookup (settings, "precision");
  const char *rng = g_hash_table_lookup (settings, "rng");
  const char *skip = g_hash_table_lookup (settings, "skip unconditional");
  const char *clip = g_hash_table_lookup (settings, "clip x0");

  if (sampler != NULL && !dimr_sampler_kind_from_string (sampler, &self->sampler))
    for (guint i = 0; i < DIMR_N_SAMPLERS; i++)
      if (g_ascii_strcasecmp (sampler, dimr_sampler_kind_get_label (i)) == 0)
        self->sampler = i;
  if (grid != NULL)
    dimr_time_grid_from_string (grid, &self->time_grid);
  if (schedule != NULL)
    dimr_guidance_kind_from_string (schedule, &self->guidance.kind);
  if (precision != NULL)
    dimr_precision_from_string (precision, &self->precision);
  self->skip_unconditional = skip != NULL && g_ascii_strcasecmp (skip, "yes") == 0;
  self->options.clip = clip != NULL && g_ascii_strcasecmp (clip, "yes") == 0;
  self->own_noise = rng == NULL || g_ascii_strcasecmp (rng, "Philox") != 0;
}

static gboolean
read_class (GHashTable  *settings,
            const char  *prompt,
            DimrRecipe  *self,
            GError     **error)
{
  guint64 index = G_MAXUINT64;

  if (!read_integer (settings, "class index", DIMR_N_IMAGENET_CLASSES - 1, &index, error))
    return FALSE;
  if (index != G_MAXUINT64)
    self->class_index = (int) index;
  else if (prompt != NULL)
    self->class_index = dimr_classes_find (prompt);
  self->class_name = g_strdup (prompt);
  return TRUE;
}

/* The prompt: all lines before the settings and before a negative prompt; NULL where there is none. */
static char *
take_prompt (char  **lines,
             guint   n)
{
  GString *prompt = g_string_new (NULL);

  for (guint i = 0; i < n && !g_str_has_prefix (lines[i], "Negative prompt:"); i++)
    {
      if (i > 0)
        g_string_append_c (prompt, '\n');
      g_string_append (prompt, lines[i]);
    }
  g_strstrip (prompt->str);
  if (prompt->str[0] == '\0')
    {
      g_string_free (prompt, TRUE);
      return NULL;
    }
  return g_string_free (prompt, FALSE);
}

DimrRecipe *
dimr_recipe_from_parameters (const char  *text,
                             GError     **error)
{
  g_autoptr (DimrRecipe) self = dimr_recipe_new ();
  g_autoptr (GHashTable) settings = NULL;
  g_autofree char *trimmed = NULL;
  g_autofree char *prompt = NULL;
  g_auto (GStrv) lines = NULL;
  const char *version;
  guint64 n_steps, micro_batch, reuse, channels;
  guint n_lines;

  g_return_val_if_fail (text != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  trimmed = g_strstrip (g_utf8_make_valid (text, -1));
  lines = g_strsplit (trimmed, "\n", -1);
  n_lines = g_strv_length (lines);
  settings = split_settings (n_lines > 0 ? lines[n_lines - 1] : "");
  if (g_hash_table_size (settings) < MIN_SETTINGS)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_FORMAT,
                           _("The text holds no settings of a picture: its last line should read “Steps: 25, Sampler: …, CFG scale: …”."));
      return NULL;
    }

  n_steps = self->n_steps;
  micro_batch = self->micro_batch;
  reuse = self->reuse_low_branches;
  channels = self->guidance.channels;
  prompt = take_prompt (lines, n_lines - 1);
  if (!read_class (settings, prompt, self, error)
      || !read_integer (settings, "steps", G_MAXINT, &n_steps, error)
      || !read_integer (settings, "micro-batch", G_MAXINT, &micro_batch, error)
      || !read_integer (settings, "reuse low branches", G_MAXINT, &reuse, error)
      || !read_number (settings, "cfg scale", &self->guidance.scale, error)
      || !read_number (settings, "guidance power", &self->guidance.power, error)
      || !read_integer (settings, "guided channels", G_MAXINT, &channels, error)
      || !read_number (settings, "eta", &self->options.eta, error)
      || !read_integer (settings, "seed", G_MAXUINT64, &self->seed, error)
      || !read_integer (settings, "image index", G_MAXUINT64, &self->image_index, error)
      || !read_size (settings, self, error))
    return NULL;
  self->n_steps = (guint) n_steps;
  self->micro_batch = (guint) micro_batch;
  self->reuse_low_branches = (guint) reuse;
  self->guidance.channels = (guint) channels;
  read_choices (settings, self);
  self->model_name = g_strdup (g_hash_table_lookup (settings, "model"));
  self->model_hash = g_strdup (g_hash_table_lookup (settings, "model hash"));
  self->autoencoder_name = g_strdup (g_hash_table_lookup (settings, "vae"));
  self->device = g_strdup (g_hash_table_lookup (settings, "device"));
  version = g_hash_table_lookup (settings, "version");
  if (version != NULL && g_str_has_prefix (version, PROGRAM))
    version += strlen (PROGRAM);
  self->version = g_strdup (version);
  return g_steal_pointer (&self);
}
