/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-model.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-hash.h"
#include "core/base/dimr-i18n.h"
#include "core/library/dimr-library-scan.h"
#include "core/model/dimr-cost.h"
#include "core/model/dimr-network.h"

#include <glib/gstdio.h>

#define MAX_CARD_BYTES (1 << 20)

struct _DimrModel
{
  GObject parent_instance;
  char *path;
  char *weights_path;
  char *name;
  char *summary;
  char *card;
  DimrConfig *config;
  DimrWeights *weights;
  DimrSchedule *schedule;
  DimrAutoencoder *autoencoder;
  guint64 n_parameters;

  /* The hash is read by its own thread, since a file of gigabytes takes longer than a person wants
   * to wait for the first picture. */
  GThread *hash_thread;
  GMutex hash_lock;
  GCond hash_cond;
  char *hash;         /* under hash_lock */
  char *autoencoder_hash; /* under hash_lock */
  gboolean hash_done; /* under hash_lock */
  GCancellable *hash_cancellable;
};

G_DEFINE_FINAL_TYPE (DimrModel, dimr_model, G_TYPE_OBJECT)

static void
dimr_model_finalize (GObject *object)
{
  DimrModel *self = DIMR_MODEL (object);

  if (self->hash_thread != NULL)
    {
      g_cancellable_cancel (self->hash_cancellable);
      g_thread_join (self->hash_thread);
    }
  g_mutex_clear (&self->hash_lock);
  g_cond_clear (&self->hash_cond);
  g_clear_object (&self->hash_cancellable);
  g_clear_pointer (&self->config, dimr_config_free);
  g_clear_pointer (&self->weights, dimr_weights_unref);
  g_clear_pointer (&self->schedule, dimr_schedule_unref);
  g_clear_object (&self->autoencoder);
  g_free (self->path);
  g_free (self->weights_path);
  g_free (self->name);
  g_free (self->summary);
  g_free (self->card);
  g_free (self->hash);
  g_free (self->autoencoder_hash);
  G_OBJECT_CLASS (dimr_model_parent_class)->finalize (object);
}

static void
dimr_model_class_init (DimrModelClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = dimr_model_finalize;
}

static void
dimr_model_init (DimrModel *self)
{
  g_mutex_init (&self->hash_lock);
  g_cond_init (&self->hash_cond);
  self->hash_cancellable = g_cancellable_new ();
}

static gpointer
hash_thread (gpointer data)
{
  DimrModel *self = data;
  /* A file that cannot be read has no hash; what matters of that is told elsewhere. */
  g_autofree char *hash = dimr_hash_file (self->weights_path, NULL, NULL, self->hash_cancellable, NULL);
  g_autofree char *autoencoder_hash = self->autoencoder != NULL
    ? dimr_hash_file (dimr_autoencoder_get_path (self->autoencoder), NULL, NULL, self->hash_cancellable, NULL) : NULL;

  g_mutex_lock (&self->hash_lock);
  self->hash = g_steal_pointer (&hash);
  self->autoencoder_hash = g_steal_pointer (&autoencoder_hash);
  self->hash_done = TRUE;
  g_cond_broadcast (&self->hash_cond);
  g_mutex_unlock (&self->hash_lock);
  return NULL;
}

/* Rank of a file name as the weights of a model folder; 0: not weights. */
static guint
rank_weights_name (const char *name)
{
  if (g_strcmp0 (name, "model.safetensors") == 0)
    return 6;
  if (g_str_has_suffix (name, ".safetensors"))
    return 5;
  if (g_strcmp0 (name, "nnet_ema.pth") == 0)
    return 4;
  if (g_strcmp0 (name, "model.pth") == 0)
    return 3;
  return g_str_has_suffix (name, ".pth") || g_str_has_suffix (name, ".pt") || g_str_has_suffix (name, ".ckpt") ? 2 : 0;
}

static char *
find_weights (const char  *folder,
              GError     **error)
{
  g_autoptr (GError) reason = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &reason);
  g_autofree char *best = NULL;
  guint best_rank = 0;
  const char *name;

  if (dir == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("The folder of the model could not be read: %s"), reason->message);
      return NULL;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      guint rank = rank_weights_name (name);

      /* Two of one rank: the first in the alphabet, so that the choice does not depend on the disk. */
      if (rank == 0 || rank < best_rank || (rank == best_rank && g_strcmp0 (name, best) > 0))
        continue;
      best_rank = rank;
      g_free (best);
      best = g_strdup (name);
    }
  if (best == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_MODEL,
                      _("%s: there are no weights in this folder (a .safetensors, .pth, .pt or .ckpt file)"), folder);
      return NULL;
    }
  return g_build_filename (folder, best, NULL);
}

static char *
read_card (const char *folder)
{
  static const char * const names[] = { "model-card.md", "README.md" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (folder, names[i], NULL);
      g_autofree char *text = NULL;
      gsize length;

      if (g_file_get_contents (path, &text, &length, NULL) && length <= MAX_CARD_BYTES &&
          g_utf8_validate (text, (gssize) length, NULL))
        return g_steal_pointer (&text);
    }
  return NULL;
}

static DimrSchedule *
make_schedule (const DimrConfig *config)
{
  switch (config->schedule)
    {
    case DIMR_SCHEDULE_DISCRETE: return dimr_schedule_new_discrete (config->beta_0, config->beta_1, 1000);
    case DIMR_SCHEDULE_LINEAR: return dimr_schedule_new_linear (config->beta_0, config->beta_1);
    case DIMR_SCHEDULE_COSINE: return dimr_schedule_new_cosine ();
    case DIMR_SCHEDULE_DDPM: return dimr_schedule_new_ddpm (config->beta_0, config->beta_1, 1000);
    default: g_assert_not_reached ();
    }
}

static char *
make_summary (const DimrConfig *config,
              guint64           n_parameters)
{
  double millions = (double) n_parameters / 1e6;
  const char *name = dimr_config_get_architecture_name (config);
  g_autofree char *size = g_strdup_printf (_("%.*f M parameters, %u×%u"), millions < 100 ? 1 : 0, millions, config->image_size,
                                           config->image_size);

  if (config->n_stages > 0)
    return g_strdup_printf (ngettext ("%s, %u branch, %s", "%s, %u branches, %s", config->n_stages), name, config->n_stages, size);
  if (dimr_config_is_classifier (config))
    return g_strdup_printf (_("%s, classifier of %u classes, %s"), name, config->num_classes, size);
  return g_strdup_printf ("%s, %s", name, size);
}

/* `config.json` beside the weights, or what their tensors tell. */
static gboolean
load_config (DimrModel   *self,
             const char  *folder,
             GError     **error)
{
  g_autofree char *config_path = g_build_filename (folder, "config.json", NULL);
  g_autofree DimrCost *cost = NULL;

  self->config = g_file_test (config_path, G_FILE_TEST_EXISTS)
                   ? dimr_config_load (config_path, error)
                   : dimr_config_recognise (self->weights, error);
  if (self->config == NULL)
    return FALSE;
  if (!dimr_network_check (self->config, self->weights, NULL, error))
    {
      g_prefix_error (error, "%s: ", self->weights_path);
      return FALSE;
    }
  cost = dimr_cost_new (self->config, error);
  if (cost == NULL)
    return FALSE;
  self->n_parameters = cost->total.parameters;
  return TRUE;
}

DimrModel *
dimr_model_load_any (const char    *path,
                     GCancellable  *cancellable,
                     GError       **error)
{
  g_autoptr (DimrModel) self = NULL;
  g_autofree char *folder = NULL;
  g_autofree char *base = NULL;

  g_return_val_if_fail (path != NULL, NULL);

  self = g_object_new (DIMR_TYPE_MODEL, NULL);
  self->path = g_canonicalize_filename (path, NULL);
  if (g_file_test (self->path, G_FILE_TEST_IS_DIR))
    {
      folder = g_strdup (self->path);
      self->weights_path = find_weights (folder, error);
      if (self->weights_path == NULL)
        return NULL;
    }
  else
    {
      folder = g_path_get_dirname (self->path);
      self->weights_path = g_strdup (self->path);
    }

  self->weights = dimr_weights_open (self->weights_path, cancellable, error);
  if (self->weights == NULL || !load_config (self, folder, error) ||
      g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;

  base = g_filename_display_basename (self->path);
  self->name = g_strdup (self->config->title != NULL ? self->config->title : base);
  self->summary = make_summary (self->config, self->n_parameters);
  self->card = read_card (folder);
  self->schedule = make_schedule (self->config);
  return g_steal_pointer (&self);
}

DimrModel *
dimr_model_load (const char    *path,
                 GCancellable  *cancellable,
                 GError       **error)
{
  g_autoptr (DimrModel) self = dimr_model_load_any (path, cancellable, error);

  if (self == NULL || !dimr_config_is_classifier (self->config))
    return g_steal_pointer (&self);
  dimr_error_set (error, DIMR_ERROR_MODEL,
                  _("%s: this is a vision transformer classifier, which tells what a picture shows (dimr classify); needed is a model "
                    "that makes pictures"), path);
  return NULL;
}

/* The autoencoder at @path must fit; what was found beside the model does. */
static gboolean
pair (DimrModel     *self,
      const char    *path,
      GCancellable  *cancellable,
      GError       **error)
{
  const guint channels = self->config->channels;

  if (path == NULL)
    {
      self->autoencoder = dimr_autoencoder_find (self->path, channels, cancellable);
      if (self->autoencoder == NULL)
        self->autoencoder = dimr_library_load_autoencoder (channels, cancellable);
      return !g_cancellable_set_error_if_cancelled (cancellable, error);
    }
  self->autoencoder = dimr_autoencoder_load (path, cancellable, error);
  if (self->autoencoder == NULL)
    return FALSE;
  if (dimr_autoencoder_peek_config (self->autoencoder)->latent_channels == channels &&
      dimr_autoencoder_peek_config (self->autoencoder)->decoder_blocks > 0)
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_MODEL, _("%s: this autoencoder does not decode the model's latents of %u channels"), path, channels);
  return FALSE;
}

DimrModel *
dimr_model_load_paired (const char    *path,
                        const char    *autoencoder,
                        GCancellable  *cancellable,
                        GError       **error)
{
  g_autoptr (DimrModel) self = dimr_model_load (path, cancellable, error);

  if (self == NULL || (dimr_model_is_latent (self) && !pair (self, autoencoder, cancellable, error)))
    return NULL;
  return g_steal_pointer (&self);
}

DimrModel *
dimr_model_new_for_weights (const DimrConfig  *config,
                            DimrWeights       *weights,
                            GError           **error)
{
  g_autoptr (DimrModel) self = NULL;
  g_autofree DimrCost *cost = NULL;

  g_return_val_if_fail (config != NULL && weights != NULL, NULL);

  if (!dimr_network_check (config, weights, NULL, error))
    return NULL;
  cost = dimr_cost_new (config, error);
  if (cost == NULL)
    return NULL;
  self = g_object_new (DIMR_TYPE_MODEL, NULL);
  self->config = dimr_config_copy (config);
  self->weights = dimr_weights_ref (weights);
  self->n_parameters = cost->total.parameters;
  self->name = g_strdup (config->title != NULL ? config->title : "DiMR");
  self->summary = make_summary (config, self->n_parameters);
  self->schedule = make_schedule (config);
  self->hash_done = TRUE; /* there is no file to read */
  return g_steal_pointer (&self);
}

const char *
dimr_model_get_name (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), NULL);
  return self->name;
}

const char *
dimr_model_get_summary (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), NULL);
  return self->summary;
}

const char *
dimr_model_get_path (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), NULL);
  return self->path;
}

/* Under hash_lock. Only with the first question, since many models are looked at that nobody runs. */
static void
start_hashing (DimrModel *self)
{
  if (!self->hash_done && self->hash_thread == NULL)
    self->hash_thread = g_thread_new ("dimr-hash", hash_thread, self);
}

const char *
dimr_model_get_hash (DimrModel *self)
{
  const char *hash;

  g_return_val_if_fail (DIMR_IS_MODEL (self), NULL);
  g_mutex_lock (&self->hash_lock);
  start_hashing (self);
  hash = self->hash;
  g_mutex_unlock (&self->hash_lock);
  return hash;
}

const char *
dimr_model_wait_for_hash (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), NULL);
  g_mutex_lock (&self->hash_lock);
  start_hashing (self);
  while (!self->hash_done)
    g_cond_wait (&self->hash_cond, &self->hash_lock);
  g_mutex_unlock (&self->hash_lock);
  return self->hash;
}

const char *
dimr_model_get_autoencoder_hash (DimrModel *self)
{
  const char *hash;

  g_return_val_if_fail (DIMR_IS_MODEL (self), NULL);
  g_mutex_lock (&self->hash_lock);
  hash = self->autoencoder_hash;
  g_mutex_unlock (&self->hash_lock);
  return hash;
}

const char *
dimr_model_get_card (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), NULL);
  return self->card;
}

const DimrConfig *
dimr_model_peek_config (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), NULL);
  return self->config;
}

DimrWeights *
dimr_model_peek_weights (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), NULL);
  return self->weights;
}

DimrSchedule *
dimr_model_peek_schedule (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), NULL);
  return self->schedule;
}

guint
dimr_model_get_image_size (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), 0);
  if (self->autoencoder != NULL)
    return self->config->image_size * dimr_autoencoder_get_factor (dimr_autoencoder_peek_config (self->autoencoder));
  return self->config->image_size;
}

DimrAutoencoder *
dimr_model_get_autoencoder (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), NULL);
  return self->autoencoder;
}

gboolean
dimr_model_is_latent (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), FALSE);
  return self->config->channels != 3;
}

guint64
dimr_model_get_n_parameters (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), 0);
  return self->n_parameters;
}

gboolean
dimr_model_is_conditional (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), FALSE);
  return self->config->num_classes > 0;
}

gboolean
dimr_model_knows_class (DimrModel *self,
                        int        class_index)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), FALSE);

  if (self->config->trained_classes == NULL)
    return TRUE;
  for (guint i = 0; i < self->config->n_trained_classes; i++)
    if (self->config->trained_classes[i] == class_index)
      return TRUE;
  return FALSE;
}

const int *
dimr_model_peek_trained_classes (DimrModel *self,
                                 guint     *n)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self) && n != NULL, NULL);
  *n = self->config->n_trained_classes;
  return self->config->trained_classes;
}

guint
dimr_model_get_default_steps (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), 0);
  return self->config->default_steps;
}

DimrSamplerKind
dimr_model_get_default_sampler (DimrModel *self)
{
  g_return_val_if_fail (DIMR_IS_MODEL (self), 0);
  return self->config->default_sampler;
}

DimrGuidance
dimr_model_get_default_guidance (DimrModel *self)
{
  const DimrGuidance off = { DIMR_GUIDANCE_CONSTANT, 1.0, 2.0 };

  g_return_val_if_fail (DIMR_IS_MODEL (self), off);
  return self->config->default_guidance;
}
