/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-decoder.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/engine/dimr-tiles.h"

#include <math.h>
#include <string.h>

#define N_GROUPS 32

/* Sums over a whole tile hardly feel what is wrong at its edges: 2 pixels find what the whole margin does. */
#define STATISTICS_MARGIN 2

/* Statistics this near to those of the pass before, in standard deviations, are near enough to the whole
 * picture's for 60 dB. */
#define AGREEMENT .01

/* A compiled part of the decoder. */
typedef struct
{
  DimrDecoderPart part;
  DimrPlan *plan;
  DimrProgram *program;
  GPtrArray *norms; /* names of the group norms whose statistics are outputs, from output 1 on */
} Part;

struct _DimrDecoder
{
  DimrAutoencoder *autoencoder;
  DimrDevice *device;
  DimrDecoderSettings settings;
  const DimrAutoencoderConfig *config;
  gboolean tiled;
  DimrTiles tiles;
  guint64 whole_memory;
  guint64 memory;
  guint64 macs;
  Part part;         /* the whole decoder; with tiles the part that ran last */
  float *z;          /* [C, H, W] unscaled */
};

static void
part_clear (Part *self)
{
  g_clear_object (&self->program);
  g_clear_pointer (&self->plan, dimr_plan_unref);
  g_clear_pointer (&self->norms, g_ptr_array_unref);
}

/* Names of the norms of @graph, and their statistics' nodes after @outputs' last. */
static GPtrArray *
list_norms (const DimrGraph *graph,
            GArray          *outputs)
{
  GPtrArray *norms = g_ptr_array_new_with_free_func (g_free);

  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      DimrNodeId output = id;

      if (node->name == NULL || !g_str_has_prefix (node->name, "found."))
        continue;
      g_array_append_val (outputs, output);
      g_ptr_array_add (norms, g_strdup (node->name + strlen ("found.")));
    }
  return norms;
}

/* @with_statistics: what the norms find is read out too. A part that is compiled already stays. */
static gboolean
part_prepare (Part                   *self,
              DimrDecoder            *decoder,
              const DimrDecoderPart  *part,
              gboolean                with_statistics,
              GCancellable           *cancellable,
              GError                **error)
{
  g_autoptr (GArray) outputs = g_array_new (FALSE, FALSE, sizeof (DimrNodeId));
  g_autoptr (DimrGraph) graph = NULL;
  DimrNodeId last;

  if (self->program != NULL && memcmp (&self->part, part, sizeof *part) == 0 && (self->norms != NULL) == with_statistics)
    return TRUE;
  part_clear (self);
  graph = dimr_autoencoder_build_decoder (decoder->config, part, error);
  if (graph == NULL)
    return FALSE;
  last = dimr_graph_find (graph, part->to > 0 ? "cut" : "decoder.conv_out");
  g_array_append_val (outputs, last);
  if (with_statistics)
    self->norms = list_norms (graph, outputs);
  self->part = *part;
  self->plan = dimr_plan_new (graph, &g_array_index (outputs, DimrNodeId, 0), outputs->len, decoder->device,
                              decoder->settings.precision, error);
  if (self->plan == NULL)
    return FALSE;
  self->program = dimr_device_compile (decoder->device, self->plan, dimr_autoencoder_peek_weights (decoder->autoencoder),
                                       cancellable, error);
  return self->program != NULL;
}

static DimrDecoderPart
describe_whole (DimrDecoder *self)
{
  return (DimrDecoderPart){ .batch = 1, .height = self->settings.height, .width = self->settings.width };
}

/* Bytes that maps may take; what is free, less the parameters. */
static guint64
find_memory (DimrDecoder *self,
             DimrPlan    *whole)
{
  const guint64 params = dimr_plan_get_param_bytes (whole);
  guint64 total, available;

  if (self->settings.memory > 0)
    return self->settings.memory;
  dimr_device_get_memory (self->device, &total, &available);
  return available > params ? available - params : 0;
}

/* Tiles within @memory: in a quarter of the whole picture's arena, or where that is less than the device
 * needs beside the maps whatever their size, in that and a quarter of the maps. */
static gboolean
plan_tiles (DimrDecoder  *self,
            DimrPlan     *whole,
            guint64       memory,
            GError      **error)
{
  const guint64 arena = dimr_plan_get_arena_size (whole);
  gsize workspace;

  dimr_plan_get_workspace (whole, &workspace);
  return dimr_tiles_plan (&self->tiles, self->config, self->device, self->settings.precision, self->settings.height,
                          self->settings.width, MIN (memory, arena / 4), NULL) ||
         dimr_tiles_plan (&self->tiles, self->config, self->device, self->settings.precision, self->settings.height,
                          self->settings.width, MIN (memory, workspace + (arena - workspace) / 4), error);
}

static gboolean
choose (DimrDecoder  *self,
        GError      **error)
{
  const DimrDecoderPart part = describe_whole (self);
  g_autoptr (DimrGraph) graph = dimr_autoencoder_build_decoder (self->config, &part, error);
  g_autoptr (DimrPlan) whole = NULL;
  DimrNodeId output;
  guint64 memory;

  if (graph == NULL)
    return FALSE;
  output = dimr_graph_find (graph, "decoder.conv_out");
  whole = dimr_plan_new_forecast (graph, &output, 1, self->device, self->settings.precision, error);
  if (whole == NULL)
    return FALSE;
  memory = find_memory (self, whole);
  self->whole_memory = self->memory = dimr_plan_get_arena_size (whole);
  self->macs = dimr_plan_get_macs (whole);
  if (self->memory <= memory)
    return TRUE;
  self->tiled = TRUE;
  if (!plan_tiles (self, whole, memory, error))
    return FALSE;
  self->memory = self->tiles.memory;
  return TRUE;
}

/* Decided, and not compiled. */
static DimrDecoder *
new_planned (DimrAutoencoder            *autoencoder,
             DimrDevice                 *device,
             const DimrDecoderSettings  *settings,
             GError                    **error)
{
  g_autoptr (DimrDecoder) self = NULL;

  self = g_new0 (DimrDecoder, 1);
  self->autoencoder = g_object_ref (autoencoder);
  self->device = g_object_ref (device);
  self->settings = *settings;
  self->config = dimr_autoencoder_peek_config (autoencoder);
  if (self->config->decoder_blocks == 0)
    {
      dimr_error_set (error, DIMR_ERROR_MODEL, _("%s: this autoencoder has no decoder"), dimr_autoencoder_get_path (autoencoder));
      return NULL;
    }
  return choose (self, error) ? g_steal_pointer (&self) : NULL;
}

DimrDecoder *
dimr_decoder_new (DimrAutoencoder            *autoencoder,
                  DimrDevice                 *device,
                  const DimrDecoderSettings  *settings,
                  GCancellable               *cancellable,
                  GError                    **error)
{
  g_autoptr (DimrDecoder) self = NULL;
  DimrDecoderPart whole;

  g_return_val_if_fail (DIMR_IS_AUTOENCODER (autoencoder) && DIMR_IS_DEVICE (device) && settings != NULL, NULL);

  self = new_planned (autoencoder, device, settings, error);
  if (self == NULL)
    return NULL;
  whole = describe_whole (self);
  if (!self->tiled && !part_prepare (&self->part, self, &whole, FALSE, cancellable, error))
    return NULL;
  self->z = g_new (float, (gsize) self->config->latent_channels * settings->height * settings->width);
  return g_steal_pointer (&self);
}

gboolean
dimr_decoder_forecast (DimrAutoencoder            *autoencoder,
                       const char                 *device_spec,
                       const DimrDecoderSettings  *settings,
                       guint64                    *memory,
                       guint                      *n_tiles,
                       GError                    **error)
{
  DimrDecoderSettings resolved = *settings;
  g_autoptr (DimrDevice) device = NULL;
  g_autoptr (DimrDecoder) planned = NULL;

  g_return_val_if_fail (DIMR_IS_AUTOENCODER (autoencoder) && memory != NULL && n_tiles != NULL, FALSE);

  device = dimr_device_open (device_spec, 0, error);
  if (device == NULL)
    return FALSE;
  if (resolved.precision == DIMR_PRECISION_AUTO)
    resolved.precision = dimr_device_get_default_precision (device);
  planned = new_planned (autoencoder, device, &resolved, error);
  if (planned == NULL)
    return FALSE;
  *memory = dimr_decoder_get_memory (planned, NULL);
  *n_tiles = dimr_decoder_get_n_tiles (planned);
  return TRUE;
}

void
dimr_decoder_free (DimrDecoder *self)
{
  g_return_if_fail (self != NULL);
  part_clear (&self->part);
  g_clear_object (&self->autoencoder);
  g_clear_object (&self->device);
  g_free (self->z);
  g_free (self);
}

/* The first part on the whole latent: the map between the parts (transfer full). */
static float *
make_map (DimrDecoder   *self,
          GCancellable  *cancellable,
          GError       **error)
{
  const gsize n = (gsize) self->tiles.map_height * self->tiles.map_width * self->tiles.map_depth;
  DimrDecoderPart head = describe_whole (self);
  g_autofree float *map = NULL;

  head.to = self->tiles.cut;
  if (!part_prepare (&self->part, self, &head, FALSE, cancellable, error))
    return NULL;
  map = g_try_new (float, n);
  if (map == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_MEMORY, _("There is not enough memory to decode a latent of %u × %u"),
                      self->settings.width, self->settings.height);
      return NULL;
    }
  dimr_program_write (self->part.program, dimr_plan_get_input (self->part.plan, "z"), self->z,
                      (gsize) self->config->latent_channels * head.height * head.width * sizeof (float));
  if (!dimr_program_run (self->part.program, cancellable, error))
    return NULL;
  dimr_program_read (self->part.program, dimr_plan_get_output (self->part.plan, 0), map, n);
  part_clear (&self->part);
  return g_steal_pointer (&map);
}

static void
write_tile (DimrDecoder    *self,
            const float    *map,
            const DimrTile *tile)
{
  const gsize row = (gsize) tile->width * self->tiles.map_depth;
  g_autofree float *x = g_new (float, row * tile->height);

  for (gsize i = 0; i < tile->height; i++)
    memcpy (x + i * row, map + ((tile->top + i) * self->tiles.map_width + tile->left) * self->tiles.map_depth, row * sizeof *x);
  dimr_program_write (self->part.program, dimr_plan_get_input (self->part.plan, "cut"), x, row * tile->height * sizeof *x);
}

/* Gives every norm of the part the statistics of all tiles. */
static void
write_statistics (DimrDecoder       *self,
                  DimrStatisticsSum *sum)
{
  DimrGraph *graph = dimr_plan_peek_graph (self->part.plan);

  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      float given[2 * N_GROUPS];

      if (node->op == DIMR_OP_INPUT && g_str_has_prefix (node->name, "given.") &&
          dimr_statistics_sum_get (sum, node->name + strlen ("given."), given))
        dimr_program_write (self->part.program, id, given, sizeof given);
    }
}

/* Adds what the norms of the part found in a tile that keeps @pixels of the map. */
static void
read_statistics (DimrDecoder       *self,
                 DimrStatisticsSum *sum,
                 double             pixels)
{
  for (guint i = 0; i < self->part.norms->len; i++)
    {
      float found[2 * N_GROUPS];

      dimr_program_read (self->part.program, dimr_plan_get_output (self->part.plan, i + 1), found, G_N_ELEMENTS (found));
      /* Every norm of a tile counts alike: its pixels are some multiple of the map's. */
      dimr_statistics_sum_add (sum, g_ptr_array_index (self->part.norms, i), found, pixels);
    }
}

/* What the tile keeps of its part of the picture. */
static void
read_picture (DimrDecoder    *self,
              const DimrTile *tile,
              float          *picture)
{
  const gsize scale = self->tiles.scale, height = tile->height * scale, width = tile->width * scale;
  const gsize all_height = self->tiles.map_height * scale, all_width = self->tiles.map_width * scale;
  const gsize n = self->config->image_channels * height * width;
  g_autofree float *part = g_new (float, n);

  dimr_program_read (self->part.program, dimr_plan_get_output (self->part.plan, 0), part, n);
  for (gsize c = 0; c < self->config->image_channels; c++)
    for (gsize i = 0; i < tile->kept.height * scale; i++)
      memcpy (picture + (c * all_height + (tile->top + tile->kept.top) * scale + i) * all_width + (tile->left + tile->kept.left) * scale,
              part + (c * height + tile->kept.top * scale + i) * width + tile->kept.left * scale,
              tile->kept.width * scale * sizeof *part);
}

/* One pass over all tiles. @before: the statistics that they are given, or NULL where each uses its own; @after: those
 * that they find, or NULL in the last pass, which makes the picture. */
static gboolean
run_pass (DimrDecoder          *self,
          const float          *map,
          DimrStatisticsSum    *before,
          DimrStatisticsSum    *after,
          float                *picture,
          guint                 pass,
          DimrDecoderProgress   progress,
          gpointer              user_data,
          GCancellable         *cancellable,
          GError              **error)
{
  const guint n = self->tiles.n_down * self->tiles.n_across;

  for (guint i = 0; i < n; i++)
    {
      const DimrTile tile = dimr_tiles_get (&self->tiles, i, after != NULL ? STATISTICS_MARGIN : self->tiles.margin);
      const DimrDecoderPart part = {
        .batch = 1, .height = tile.height, .width = tile.width, .from = self->tiles.cut,
        .statistics = before != NULL ? DIMR_STATISTICS_GIVEN : DIMR_STATISTICS_OWN, .region = tile.kept,
      };

      if (!part_prepare (&self->part, self, &part, after != NULL, cancellable, error))
        return FALSE;
      write_tile (self, map, &tile);
      if (before != NULL)
        write_statistics (self, before);
      if (!dimr_program_run (self->part.program, cancellable, error))
        return FALSE;
      if (after != NULL)
        read_statistics (self, after, (double) tile.kept.height * tile.kept.width);
      else
        read_picture (self, &tile, picture);
      /* Nobody knows yet how many passes there will be: each takes half of what is left of the first half. */
      if (progress != NULL)
        progress (after != NULL ? .5 - .5 * exp2 (-(pass + (i + 1.) / n)) : .5 + .5 * (i + 1) / n, user_data);
    }
  return TRUE;
}

/* Passes that find statistics until two agree (transfer full). */
static DimrStatisticsSum *
find_statistics (DimrDecoder          *self,
                 const float          *map,
                 DimrDecoderProgress   progress,
                 gpointer              user_data,
                 GCancellable         *cancellable,
                 GError              **error)
{
  const guint n = self->settings.n_passes > 0 ? self->settings.n_passes : DIMR_DECODER_MAX_PASSES;
  g_autoptr (DimrStatisticsSum) found = NULL;

  for (guint pass = 0; pass < n; pass++)
    {
      g_autoptr (DimrStatisticsSum) next = dimr_statistics_sum_new ();
      gboolean agree;

      if (!run_pass (self, map, found, next, NULL, pass, progress, user_data, cancellable, error))
        return NULL;
      agree = self->settings.n_passes == 0 && found != NULL && dimr_statistics_sum_distance (next, found) < AGREEMENT;
      g_clear_pointer (&found, dimr_statistics_sum_free);
      found = g_steal_pointer (&next);
      if (agree)
        break;
    }
  return g_steal_pointer (&found);
}

static gboolean
decode_tiles (DimrDecoder          *self,
              float                *picture,
              DimrDecoderProgress   progress,
              gpointer              user_data,
              GCancellable         *cancellable,
              GError              **error)
{
  g_autofree float *map = make_map (self, cancellable, error);
  g_autoptr (DimrStatisticsSum) statistics = NULL;

  if (map != NULL)
    statistics = find_statistics (self, map, progress, user_data, cancellable, error);
  if (statistics == NULL || !run_pass (self, map, statistics, NULL, picture, 0, progress, user_data, cancellable, error))
    return FALSE;
  part_clear (&self->part);
  return TRUE;
}

gboolean
dimr_decoder_decode (DimrDecoder          *self,
                     const float          *z,
                     float                *picture,
                     DimrDecoderProgress   progress,
                     gpointer              user_data,
                     GCancellable         *cancellable,
                     GError              **error)
{
  gsize n;

  g_return_val_if_fail (self != NULL && z != NULL && picture != NULL, FALSE);

  n = (gsize) self->config->latent_channels * self->settings.height * self->settings.width;
  for (gsize i = 0; i < n; i++)
    self->z[i] = (float) (z[i] / DIMR_LATENT_SCALE);
  if (self->tiled)
    return decode_tiles (self, picture, progress, user_data, cancellable, error);
  dimr_program_write (self->part.program, dimr_plan_get_input (self->part.plan, "z"), self->z, n * sizeof *self->z);
  if (!dimr_program_run (self->part.program, cancellable, error))
    return FALSE;
  dimr_program_read (self->part.program, dimr_plan_get_output (self->part.plan, 0), picture,
                     (gsize) self->config->image_channels * dimr_decoder_get_height (self) * dimr_decoder_get_width (self));
  if (progress != NULL)
    progress (1, user_data);
  return TRUE;
}

guint
dimr_decoder_get_height (DimrDecoder *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->settings.height * dimr_autoencoder_get_factor (self->config);
}

guint
dimr_decoder_get_width (DimrDecoder *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->settings.width * dimr_autoencoder_get_factor (self->config);
}

guint
dimr_decoder_get_n_tiles (DimrDecoder *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->tiled ? self->tiles.n_down * self->tiles.n_across : 1;
}

guint64
dimr_decoder_get_memory (DimrDecoder *self,
                         guint64     *whole)
{
  g_return_val_if_fail (self != NULL, 0);
  if (whole != NULL)
    *whole = self->whole_memory;
  return self->memory;
}

guint64
dimr_decoder_get_macs (DimrDecoder *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->macs;
}

DimrAutoencoder *
dimr_decoder_get_autoencoder (DimrDecoder *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->autoencoder;
}

const DimrDecoderSettings *
dimr_decoder_peek_settings (DimrDecoder *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return &self->settings;
}
