/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-autoencoder.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/model/dimr-autoencoder-keys.h"
#include "core/model/dimr-foreign.h"

#include <math.h>
#include <string.h>

#define MAX_CHANNELS 4096
#define N_GROUPS 32

struct _DimrAutoencoder
{
  GObject parent_instance;
  char *path;
  char *summary;
  DimrAutoencoderConfig config;
  DimrWeights *weights;
  guint64 n_parameters;
};

G_DEFINE_FINAL_TYPE (DimrAutoencoder, dimr_autoencoder, G_TYPE_OBJECT)

static void
dimr_autoencoder_finalize (GObject *object)
{
  DimrAutoencoder *self = DIMR_AUTOENCODER (object);

  g_clear_pointer (&self->weights, dimr_weights_unref);
  g_free (self->path);
  g_free (self->summary);
  G_OBJECT_CLASS (dimr_autoencoder_parent_class)->finalize (object);
}

static void
dimr_autoencoder_class_init (DimrAutoencoderClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = dimr_autoencoder_finalize;
}

static void
dimr_autoencoder_init (DimrAutoencoder *self)
{
}

/* Dimension @dim of "@name.weight"; 0 where there is no such tensor. */
static gint64
size_of (DimrWeights *weights,
         guint        dim,
         const char  *format,
         ...) G_GNUC_PRINTF (3, 4);

static gint64
size_of (DimrWeights *weights,
         guint        dim,
         const char  *format,
         ...)
{
  g_autofree char *name = NULL;
  g_autofree char *full = NULL;
  DimrTensor *tensor;
  va_list args;

  va_start (args, format);
  name = g_strdup_vprintf (format, args);
  va_end (args);
  full = g_strconcat (name, ".weight", NULL);
  tensor = dimr_weights_peek (weights, full);
  return tensor != NULL && dimr_tensor_peek_shape (tensor)->n_dims > dim ? dimr_tensor_peek_shape (tensor)->dims[dim] : 0;
}

static guint
count_blocks (DimrWeights *weights,
              const char  *network)
{
  guint n = 0;

  while (n < 16 && size_of (weights, 0, "%s.0.block.%u.conv1", network, n) > 0)
    n++;
  return n;
}

/* What the tensors tell; NULL where they can be an autoencoder's, else why not (static). */
static const char *
infer (DimrAutoencoderConfig *config,
       DimrWeights           *weights)
{
  const char *network;

  *config = (DimrAutoencoderConfig){
    .decoder_blocks = count_blocks (weights, "decoder.up"),
    .encoder_blocks = count_blocks (weights, "encoder.down"),
  };
  network = config->decoder_blocks > 0 ? "decoder.up" : "encoder.down";
  while (config->n_levels < DIMR_AUTOENCODER_MAX_LEVELS)
    {
      const gint64 n = size_of (weights, 0, "%s.%u.block.0.conv1", network, config->n_levels);

      if (n == 0)
        break;
      if (n < 0 || n > MAX_CHANNELS || n % N_GROUPS != 0)
        return _("its widths are no multiples of 32, which its group norms would need");
      config->channels[config->n_levels++] = (guint) n;
    }
  if (config->n_levels == 0)
    return _("it has no levels");
  for (guint level = 0; level < config->n_levels; level++)
    if (size_of (weights, 0, "%s.%u.attn.0.norm", network, level) > 0 ||
        size_of (weights, 0, "%s.%u.attentions.0.group_norm", network, level) > 0)
      return _("it has attention in its levels, unlike Stable Diffusion's");
  if (config->decoder_blocks > 0)
    {
      config->latent_channels = (guint) CLAMP (size_of (weights, 1, "post_quant_conv"), 0, MAX_CHANNELS);
      config->z_channels = (guint) CLAMP (size_of (weights, 1, "decoder.conv_in"), 0, MAX_CHANNELS);
      config->image_channels = (guint) CLAMP (size_of (weights, 0, "decoder.conv_out"), 0, MAX_CHANNELS);
    }
  else
    {
      config->latent_channels = (guint) CLAMP (size_of (weights, 0, "quant_conv") / 2, 0, MAX_CHANNELS);
      config->z_channels = (guint) CLAMP (size_of (weights, 0, "encoder.conv_out") / 2, 0, MAX_CHANNELS);
      config->image_channels = (guint) CLAMP (size_of (weights, 1, "encoder.conv_in"), 0, MAX_CHANNELS);
    }
  if (config->latent_channels == 0)
    return _("it has no 1 × 1 convolution of the latent (post_quant_conv), which Stable Diffusion's has");
  if (config->z_channels == 0 || config->image_channels != 3)
    return _("its first or last convolution is not that of an autoencoder of pictures");
  return NULL;
}

/* Equal but for ones at the end: attention weights are [D, D] or [D, D, 1, 1]. */
static gboolean
shapes_match (const DimrShape *a,
              const DimrShape *b)
{
  DimrShape x = *a, y = *b;

  while (x.n_dims > 1 && x.dims[x.n_dims - 1] == 1)
    x.n_dims--;
  while (y.n_dims > 1 && y.dims[y.n_dims - 1] == 1)
    y.n_dims--;
  return dimr_shape_equal (&x, &y);
}

/* Looks every parameter of @graph up and counts their numbers. */
static gboolean
check_graph (DimrAutoencoder *self,
             DimrGraph       *graph,
             GError         **error)
{
  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      g_autofree char *wanted = NULL;
      g_autofree char *found = NULL;
      DimrTensor *tensor;

      if (node->op != DIMR_OP_PARAM)
        continue;
      self->n_parameters += dimr_shape_n_elements (&node->shape);
      tensor = dimr_weights_peek (self->weights, node->name);
      if (tensor != NULL && shapes_match (dimr_tensor_peek_shape (tensor), &node->shape))
        continue;
      if (tensor == NULL)
        {
          dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                          _("%s: this is an autoencoder, but not one like Stable Diffusion's, which is needed: '%s' is missing"),
                          self->path, node->name);
          return FALSE;
        }
      wanted = dimr_shape_to_string (&node->shape);
      found = dimr_shape_to_string (dimr_tensor_peek_shape (tensor));
      dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                      _("%s: this is an autoencoder, but not one like Stable Diffusion's, which is needed: '%s' is %s instead of %s"),
                      self->path, node->name, found, wanted);
      return FALSE;
    }
  return TRUE;
}

static gboolean
check (DimrAutoencoder *self,
       GError         **error)
{
  const guint factor = dimr_autoencoder_get_factor (&self->config);
  g_autoptr (DimrGraph) decoder = NULL;
  g_autoptr (DimrGraph) encoder = NULL;

  if (self->config.decoder_blocks > 0)
    {
      decoder = dimr_autoencoder_build_decoder (&self->config, &(DimrDecoderPart){ .batch = 1, .height = 1, .width = 1 }, error);
      if (decoder == NULL || !check_graph (self, decoder, error))
        return FALSE;
    }
  if (self->config.encoder_blocks > 0)
    {
      encoder = dimr_autoencoder_build_encoder (&self->config, 1, factor, factor, error);
      if (encoder == NULL || !check_graph (self, encoder, error))
        return FALSE;
    }
  return TRUE;
}

static DimrAutoencoder *
load_file (const char    *path,
           GCancellable  *cancellable,
           GError       **error)
{
  g_autoptr (DimrAutoencoder) self = g_object_new (DIMR_TYPE_AUTOENCODER, NULL);
  g_autoptr (DimrWeights) weights = dimr_weights_open (path, cancellable, error);
  const char *reason;

  if (weights == NULL)
    return NULL;
  self->path = g_canonicalize_filename (path, NULL);
  self->weights = dimr_autoencoder_keys_translate (weights);
  if (self->weights == NULL)
    {
      const char *what = dimr_foreign_describe (weights);

      dimr_error_set (error, DIMR_ERROR_MODEL,
                      _("%s: this is %s, not an autoencoder; needed is Stable Diffusion's, such as autoencoder_kl_ema.pth"),
                      path, what != NULL ? what : _("something else"));
      return NULL;
    }
  reason = infer (&self->config, self->weights);
  if (reason != NULL)
    {
      dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                      _("%s: this autoencoder is of another kind than Stable Diffusion's, which is needed: %s"), path, reason);
      return NULL;
    }
  if (!check (self, error))
    return NULL;
  self->summary = g_strdup_printf (_("Autoencoder, %u×, %u channels, %.1f M parameters"), dimr_autoencoder_get_factor (&self->config),
                                   self->config.latent_channels, (double) self->n_parameters / 1e6);
  return g_steal_pointer (&self);
}

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char * const *) a, *(const char * const *) b);
}

/* Weights files of @folder in the order of the alphabet (transfer full); NULL where it cannot be read. */
static GPtrArray *
list_weights (const char  *folder,
              GError     **error)
{
  static const char * const suffixes[] = { ".safetensors", ".pth", ".pt", ".ckpt", ".bin" };
  g_autoptr (GError) reason = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &reason);
  GPtrArray *paths;
  const char *name;

  if (dir == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("The folder of the autoencoder could not be read: %s"), reason->message);
      return NULL;
    }
  paths = g_ptr_array_new_with_free_func (g_free);
  while ((name = g_dir_read_name (dir)) != NULL)
    for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
      if (g_str_has_suffix (name, suffixes[i]))
        g_ptr_array_add (paths, g_build_filename (folder, name, NULL));
  g_ptr_array_sort (paths, compare_names);
  return paths;
}

/* The first autoencoder of @folder for @latent_channels, or for any number where that is 0; NULL where there is none. */
static DimrAutoencoder *
load_first (const char    *folder,
            guint          latent_channels,
            GCancellable  *cancellable,
            GError       **error)
{
  g_autoptr (GPtrArray) paths = list_weights (folder, error);

  for (guint i = 0; paths != NULL && i < paths->len && !g_cancellable_is_cancelled (cancellable); i++)
    {
      g_autoptr (DimrAutoencoder) found = load_file (g_ptr_array_index (paths, i), cancellable, NULL);

      if (found != NULL && (latent_channels == 0 || (found->config.latent_channels == latent_channels && found->config.decoder_blocks > 0)))
        return g_steal_pointer (&found);
    }
  if (paths != NULL && !g_cancellable_set_error_if_cancelled (cancellable, error))
    dimr_error_set (error, DIMR_ERROR_MODEL,
                    _("%s: there is no autoencoder in this folder; needed is Stable Diffusion's, such as autoencoder_kl_ema.pth"), folder);
  return NULL;
}

DimrAutoencoder *
dimr_autoencoder_load (const char    *path,
                       GCancellable  *cancellable,
                       GError       **error)
{
  g_return_val_if_fail (path != NULL, NULL);

  return g_file_test (path, G_FILE_TEST_IS_DIR) ? load_first (path, 0, cancellable, error) : load_file (path, cancellable, error);
}

DimrAutoencoder *
dimr_autoencoder_find (const char    *model_path,
                       guint          latent_channels,
                       GCancellable  *cancellable)
{
  g_autofree char *full = NULL;
  g_autofree char *folder = NULL;
  g_autofree char *parent = NULL;
  DimrAutoencoder *found;

  g_return_val_if_fail (model_path != NULL && latent_channels > 0, NULL);

  full = g_canonicalize_filename (model_path, NULL);
  folder = g_file_test (full, G_FILE_TEST_IS_DIR) ? g_strdup (full) : g_path_get_dirname (full);
  parent = g_path_get_dirname (folder);
  found = load_first (folder, latent_channels, cancellable, NULL);
  return found != NULL ? found : load_first (parent, latent_channels, cancellable, NULL);
}

const char *
dimr_autoencoder_get_path (DimrAutoencoder *self)
{
  g_return_val_if_fail (DIMR_IS_AUTOENCODER (self), NULL);
  return self->path;
}

const char *
dimr_autoencoder_get_summary (DimrAutoencoder *self)
{
  g_return_val_if_fail (DIMR_IS_AUTOENCODER (self), NULL);
  return self->summary;
}

const DimrAutoencoderConfig *
dimr_autoencoder_peek_config (DimrAutoencoder *self)
{
  g_return_val_if_fail (DIMR_IS_AUTOENCODER (self), NULL);
  return &self->config;
}

DimrWeights *
dimr_autoencoder_peek_weights (DimrAutoencoder *self)
{
  g_return_val_if_fail (DIMR_IS_AUTOENCODER (self), NULL);
  return self->weights;
}

guint64
dimr_autoencoder_get_n_parameters (DimrAutoencoder *self)
{
  g_return_val_if_fail (DIMR_IS_AUTOENCODER (self), 0);
  return self->n_parameters;
}

void
dimr_autoencoder_sample (const float *moments,
                         const float *noise,
                         gsize        n,
                         float       *z)
{
  const float *log_variance = moments + n;

  g_return_if_fail (moments != NULL && z != NULL);
  for (gsize i = 0; i < n; i++)
    {
      const float deviation = noise != NULL ? expf (.5f * CLAMP (log_variance[i], -30.f, 20.f)) * noise[i] : 0.f;

      z[i] = (float) DIMR_LATENT_SCALE * (moments[i] + deviation);
    }
}
