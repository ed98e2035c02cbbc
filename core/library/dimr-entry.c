/* SPDX-License-Identifier: Apache-2.0 */
#include "core/library/dimr-entry.h"

#include "core/library/dimr-entry-private.h"
#include "core/library/dimr-paths.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-hash.h"
#include "core/model/dimr-autoencoder.h"
#include "core/model/dimr-cost.h"
#include "core/model/dimr-model.h"

#include <string.h>
#include <sys/stat.h>

enum { PROP_0, PROP_HASH, PROP_HASH_FRACTION, N_PROPS };

static GParamSpec *properties[N_PROPS];

struct _DimrEntry
{
  GObject parent_instance;
  DimrEntryKind kind;
  char *path;
  char *weights_path;
  char *title;
  char *summary;
  char *problem;
  char *origin;
  char *licence;
  char *card;
  DimrConfig *config;
  guint64 n_parameters;
  guint64 n_macs;
  guint64 n_bytes;
  guint latent_channels; /* of what an autoencoder reads, or a model of latents makes; 0: pictures */
  gboolean changed;

  char *hash;
  double hash_fraction;
};

G_DEFINE_FINAL_TYPE (DimrEntry, dimr_entry, G_TYPE_OBJECT)

static void
dimr_entry_finalize (GObject *object)
{
  DimrEntry *self = DIMR_ENTRY (object);

  g_free (self->path);
  g_free (self->weights_path);
  g_free (self->title);
  g_free (self->summary);
  g_free (self->problem);
  g_free (self->origin);
  g_free (self->licence);
  g_free (self->card);
  g_free (self->hash);
  g_clear_pointer (&self->config, dimr_config_free);
  G_OBJECT_CLASS (dimr_entry_parent_class)->finalize (object);
}

static void
dimr_entry_get_property (GObject    *object,
                         guint       prop_id,
                         GValue     *value,
                         GParamSpec *pspec)
{
  DimrEntry *self = DIMR_ENTRY (object);

  switch (prop_id)
    {
    case PROP_HASH: g_value_set_string (value, self->hash); break;
    case PROP_HASH_FRACTION: g_value_set_double (value, self->hash_fraction); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
dimr_entry_class_init (DimrEntryClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->finalize = dimr_entry_finalize;
  object_class->get_property = dimr_entry_get_property;
  properties[PROP_HASH] = g_param_spec_string ("hash", NULL, NULL, NULL, flags);
  properties[PROP_HASH_FRACTION] = g_param_spec_double ("hash-fraction", NULL, NULL, 0, 1, 0, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
dimr_entry_init (DimrEntry *self)
{
}

/* ---- what lies beside the weights ---- */

/* The value of "@key: value" in the lines between two "---" that begin a card; NULL where there is none. */
static char *
find_in_front_matter (const char *card,
                      const char *key)
{
  g_auto (GStrv) lines = NULL;

  if (card == NULL || !g_str_has_prefix (card, "---"))
    return NULL;
  lines = g_strsplit (card, "\n", 200);
  for (guint i = 1; lines[i] != NULL && !g_str_has_prefix (lines[i], "---"); i++)
    if (g_str_has_prefix (lines[i], key) && lines[i][strlen (key)] == ':')
      {
        char *value = g_strstrip (lines[i] + strlen (key) + 1);

        return *value != '\0' ? g_strdup (value) : NULL;
      }
  return NULL;
}

/* The length of a heading at the beginning of @line with what surrounds it, "## Licence" or "**Licence and use.**",
 * that begins with one of @words; 0 where there is none. */
static gsize
match_heading (const char         *line,
               const char * const *words)
{
  const gboolean bold = g_str_has_prefix (line, "**");
  const char *begin = line + strspn (line, bold ? "*" : "# ");
  const char *end = bold ? strstr (begin, "**") : begin + strlen (begin);

  if (begin == line || end == NULL || (!bold && *line != '#'))
    return 0;
  for (guint i = 0; words[i] != NULL; i++)
    if (g_ascii_strncasecmp (begin, words[i], strlen (words[i])) == 0)
      return (gsize) (end - line) + (bold ? 2 : 0);
  return 0;
}

/* The paragraph that a card has under one of @words, as one line; NULL where there is none. */
static char *
find_section (const char         *card,
              const char * const *words)
{
  g_auto (GStrv) lines = card != NULL ? g_strsplit (card, "\n", 1000) : NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  gboolean inside = FALSE;

  for (guint i = 0; lines != NULL && lines[i] != NULL; i++)
    {
      const gsize n = inside ? 0 : match_heading (lines[i], words);
      const char *rest = g_strstrip (lines[i] + n);

      inside |= n > 0;
      if (inside && n == 0 && (*rest == '#' || (*rest == '\0' && text->len > 0)))
        break;
      if (inside && *rest != '\0')
        g_string_append_printf (text, "%s%s", text->len > 0 ? " " : "", rest);
    }
  return text->len > 0 ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
}

/* TRUE for what came with this program. */
static gboolean
is_bundled (const char *path)
{
  g_autofree char *bundled = dimr_paths_find_data ("models");

  return bundled != NULL && g_str_has_prefix (path, bundled) && path[strlen (bundled)] == G_DIR_SEPARATOR;
}

/* The repository that a folder of Hugging Face's cache belongs to: …/models--ORG--NAME/snapshots/… */
static char *
find_cached_repository (const char *path)
{
  static const char mark[] = "models--";
  const char *begin = strstr (path, G_DIR_SEPARATOR_S "models--");
  const char *end;
  g_autofree char *name = NULL;
  g_auto (GStrv) parts = NULL;

  if (begin == NULL)
    return NULL;
  begin += 1 + strlen (mark);
  end = strchr (begin, G_DIR_SEPARATOR);
  name = end != NULL ? g_strndup (begin, (gsize) (end - begin)) : g_strdup (begin);
  parts = g_strsplit (name, "--", 2);
  return g_strjoinv ("/", parts);
}

/* Web browsers leave the address of a download with the file. */
static char *
find_download_address (const char *path)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInfo) info = g_file_query_info (file, "xattr::xdg.origin.url", G_FILE_QUERY_INFO_NONE, NULL, NULL);
  const char *address = info != NULL ? g_file_info_get_attribute_string (info, "xattr::xdg.origin.url") : NULL;

  return address != NULL && *address != '\0' && g_utf8_validate (address, -1, NULL) ? g_strdup (address) : NULL;
}

static void
read_surroundings (DimrEntry *self)
{
  static const char * const licence_headings[] = { "Licence", "License", NULL };
  static const char * const origin_headings[] = { "Origin", "Source", NULL };
  gboolean changed = FALSE;
  struct stat info;

  self->origin = find_cached_repository (self->path);
  if (self->origin == NULL && self->weights_path != NULL)
    self->origin = find_download_address (self->weights_path);
  if (self->origin == NULL)
    self->origin = find_section (self->card, origin_headings);
  if (self->origin == NULL && is_bundled (self->path))
    self->origin = g_strdup ("DiMR Studio");
  self->licence = find_in_front_matter (self->card, "license");
  if (self->licence == NULL)
    self->licence = find_section (self->card, licence_headings);
  if (self->weights_path == NULL)
    return;
  if (stat (self->weights_path, &info) == 0)
    self->n_bytes = (guint64) info.st_size;
  self->hash = dimr_hash_peek (self->weights_path, &changed);
  self->changed = changed;
}

static void
read_model (DimrEntry *self,
            DimrModel *model)
{
  const DimrConfig *config = dimr_model_peek_config (model);
  g_autofree DimrCost *cost = NULL;

  self->kind = dimr_config_is_classifier (config) ? DIMR_ENTRY_CLASSIFIER : DIMR_ENTRY_MODEL;
  if (self->kind == DIMR_ENTRY_MODEL)
    self->config = dimr_config_copy (config);
  self->title = g_strdup (dimr_model_get_name (model));
  self->summary = g_strdup (dimr_model_get_summary (model));
  self->card = g_strdup (dimr_model_get_card (model));
  self->weights_path = g_strdup (dimr_weights_get_path (dimr_model_peek_weights (model)));
  self->n_parameters = dimr_model_get_n_parameters (model);
  cost = dimr_cost_new (config, NULL);
  self->n_macs = cost != NULL ? cost->total.macs : 0;
  self->latent_channels = self->kind == DIMR_ENTRY_MODEL && config->channels > 3 ? config->channels : 0;
}

static void
read_autoencoder (DimrEntry       *self,
                  DimrAutoencoder *autoencoder)
{
  self->kind = DIMR_ENTRY_AUTOENCODER;
  self->title = g_filename_display_basename (self->path);
  self->summary = g_strdup (dimr_autoencoder_get_summary (autoencoder));
  self->weights_path = g_strdup (dimr_autoencoder_get_path (autoencoder));
  self->n_parameters = dimr_autoencoder_get_n_parameters (autoencoder);
  self->latent_channels = dimr_autoencoder_peek_config (autoencoder)->latent_channels;
}

static void
read_other (DimrEntry    *self,
            const GError *error)
{
  self->kind = DIMR_ENTRY_OTHER;
  self->title = g_filename_display_basename (self->path);
  self->problem = g_strdup (error->message);
  self->summary = g_strdup (error->message);
}

DimrEntry *
dimr_entry_new (const char   *path,
                GCancellable *cancellable)
{
  g_autoptr (DimrEntry) self = NULL;
  g_autoptr (DimrModel) model = NULL;
  g_autoptr (DimrAutoencoder) autoencoder = NULL;
  g_autoptr (GError) error = NULL, autoencoder_error = NULL;

  g_return_val_if_fail (path != NULL, NULL);

  self = g_object_new (DIMR_TYPE_ENTRY, NULL);
  self->path = g_canonicalize_filename (path, NULL);
  model = dimr_model_load_any (self->path, cancellable, &error);
  if (model != NULL)
    read_model (self, model);
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return NULL;
  else
    autoencoder = dimr_autoencoder_load (self->path, cancellable, &autoencoder_error);
  if (autoencoder != NULL)
    read_autoencoder (self, autoencoder);
  else if (model == NULL)
    /* Of an autoencoder that does not fit, why is worth more than that it is no model. */
    read_other (self, g_error_matches (autoencoder_error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED) ? autoencoder_error : error);
  read_surroundings (self);
  return g_steal_pointer (&self);
}

void
dimr_entry_set_hash (DimrEntry  *self,
                     const char *hash,
                     double      fraction)
{
  g_return_if_fail (DIMR_IS_ENTRY (self));

  if (g_strcmp0 (self->hash, hash) != 0)
    {
      g_free (self->hash);
      self->hash = g_strdup (hash);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_HASH]);
    }
  if (self->hash_fraction != fraction)
    {
      self->hash_fraction = fraction;
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_HASH_FRACTION]);
    }
}

DimrEntryKind
dimr_entry_get_kind (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), DIMR_ENTRY_OTHER);
  return self->kind;
}

const char *
dimr_entry_get_path (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), NULL);
  return self->path;
}

const char *
dimr_entry_get_weights_path (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), NULL);
  return self->weights_path;
}

const char *
dimr_entry_get_title (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), NULL);
  return self->title;
}

const char *
dimr_entry_get_summary (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), NULL);
  return self->summary;
}

const char *
dimr_entry_get_problem (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), NULL);
  return self->problem;
}

const char *
dimr_entry_get_origin (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), NULL);
  return self->origin;
}

const char *
dimr_entry_get_licence (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), NULL);
  return self->licence;
}

const char *
dimr_entry_get_card (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), NULL);
  return self->card;
}

guint64
dimr_entry_get_n_parameters (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), 0);
  return self->n_parameters;
}

guint64
dimr_entry_get_n_macs (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), 0);
  return self->n_macs;
}

guint64
dimr_entry_get_n_bytes (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), 0);
  return self->n_bytes;
}

gboolean
dimr_entry_is_latent (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), FALSE);
  return self->kind == DIMR_ENTRY_MODEL && self->latent_channels > 0;
}

guint
dimr_entry_get_latent_channels (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), 0);
  return self->latent_channels;
}

const DimrConfig *
dimr_entry_peek_config (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), NULL);
  return self->config;
}

const char *
dimr_entry_get_hash (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), NULL);
  return self->hash;
}

double
dimr_entry_get_hash_fraction (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), 0);
  return self->hash_fraction;
}

gboolean
dimr_entry_is_changed (DimrEntry *self)
{
  g_return_val_if_fail (DIMR_IS_ENTRY (self), FALSE);
  return self->changed;
}
