/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-tiles.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <math.h>

#define N_GROUPS 32

guint
dimr_tiles_reach (const DimrAutoencoderConfig *config,
                  guint                        cut)
{
  /* In pixels of the picture: each 3 × 3 kernel reaches one pixel of its level. */
  guint reach = 1;

  for (guint level = 0; level < cut && level < config->n_levels; level++)
    reach += (2 * config->decoder_blocks + (level + 1 < config->n_levels)) << level;
  return (reach + (1u << MIN (cut, config->n_levels - 1)) - 1) >> MIN (cut, config->n_levels - 1);
}

/* Bytes of the arena of a part; G_MAXUINT64 where it cannot be planned. */
static guint64
forecast (const DimrAutoencoderConfig  *config,
          const DimrDecoderPart        *part,
          DimrDevice                   *device,
          DimrPrecision                 precision)
{
  g_autoptr (DimrGraph) graph = dimr_autoencoder_build_decoder (config, part, NULL);
  g_autoptr (GArray) outputs = g_array_new (FALSE, FALSE, sizeof (DimrNodeId));
  g_autoptr (DimrPlan) plan = NULL;

  if (graph == NULL)
    return G_MAXUINT64;
  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      DimrNodeId output = id;

      if (id + 1 == dimr_graph_get_n_nodes (graph) || (part->from > 0 && node->name != NULL && g_str_has_prefix (node->name, "found.")))
        g_array_append_val (outputs, output);
    }
  plan = dimr_plan_new_forecast (graph, &g_array_index (outputs, DimrNodeId, 0), outputs->len, device, precision, NULL);
  return plan != NULL ? dimr_plan_get_arena_size (plan) : G_MAXUINT64;
}

/* Bytes that tiles keeping @side need on top of the map. */
static guint64
forecast_tile (const DimrTiles              *self,
               const DimrAutoencoderConfig  *config,
               guint                         side,
               DimrDevice                   *device,
               DimrPrecision                 precision)
{
  const DimrDecoderPart part = {
    .batch = 1,
    .height = MIN (side + 2 * self->margin, self->map_height),
    .width = MIN (side + 2 * self->margin, self->map_width),
    .from = self->cut,
    .statistics = DIMR_STATISTICS_GIVEN,
  };

  guint64 bytes = forecast (config, &part, device, precision);

  /* And the tile's copy of the map on its way there. */
  if (!dimr_checked_add (bytes, (guint64) part.height * part.width * self->map_depth * sizeof (float), &bytes))
    return G_MAXUINT64;
  return bytes;
}

/* The largest tiles after self->cut within @memory; FALSE where there are none. @least: what the smallest would take. */
static gboolean
fit_cut (DimrTiles                    *self,
         const DimrAutoencoderConfig  *config,
         DimrDevice                   *device,
         DimrPrecision                 precision,
         guint                         height,
         guint                         width,
         guint64                       memory,
         guint64                      *least)
{
  const guint low = MIN (self->cut, config->n_levels - 1), up = config->n_levels - 1 - low;
  const DimrDecoderPart head = { .batch = 1, .height = height, .width = width, .to = self->cut };
  guint64 map, start = forecast (config, &head, device, precision), most;
  guint fits = 0, too_large;

  self->scale = 1u << low;
  self->map_height = height << up;
  self->map_width = width << up;
  self->map_depth = config->channels[low];
  self->margin = dimr_tiles_reach (config, self->cut);
  map = (guint64) self->map_height * self->map_width * self->map_depth * sizeof (float);

  /* The map is read out of the first part's arena while that is still there. */
  *least = MAX (start, forecast_tile (self, config, 1, device, precision));
  if (!dimr_checked_add (*least, map, least))
    *least = G_MAXUINT64;
  if (*least > memory || memory < map)
    return FALSE;
  most = memory - map;

  fits = 1;
  too_large = MAX (self->map_height, self->map_width) + 1;
  while (too_large - fits > 1)
    {
      const guint side = (fits + too_large) / 2;

      if (forecast_tile (self, config, side, device, precision) <= most)
        fits = side;
      else
        too_large = side;
    }
  /* As many tiles, but of one size. */
  self->n_down = (self->map_height + fits - 1) / fits;
  self->n_across = (self->map_width + fits - 1) / fits;
  self->side = MAX ((self->map_height + self->n_down - 1) / self->n_down, (self->map_width + self->n_across - 1) / self->n_across);
  self->memory = map + MAX (start, forecast_tile (self, config, self->side, device, precision));
  return TRUE;
}

/* Work of all tiles in comparison with the map's, as far as margins go. */
static double
waste_of (const DimrTiles *self)
{
  const double rows = MIN (self->side + 2. * self->margin, self->map_height);
  const double columns = MIN (self->side + 2. * self->margin, self->map_width);

  return rows * columns * self->n_down * self->n_across / ((double) self->map_height * self->map_width);
}

gboolean
dimr_tiles_plan (DimrTiles                    *self,
                 const DimrAutoencoderConfig  *config,
                 DimrDevice                   *device,
                 DimrPrecision                 precision,
                 guint                         height,
                 guint                         width,
                 guint64                       memory,
                 GError                      **error)
{
  guint64 least = G_MAXUINT64;
  DimrTiles best = { 0 };

  for (guint cut = 1; cut <= config->n_levels; cut++)
    {
      DimrTiles tiles = { .cut = cut };
      guint64 needed;

      if (fit_cut (&tiles, config, device, precision, height, width, memory, &needed) &&
          (best.cut == 0 || waste_of (&tiles) < waste_of (&best) / 1.5))
        best = tiles;
      least = MIN (least, needed);
    }
  *self = best;
  if (best.cut > 0)
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_MEMORY,
                  _("Decoding a latent of %u × %u needs at least %" PRIu64 " MiB of memory, in the smallest tiles, and %"
                    PRIu64 " MiB may be used"), width, height, (least >> 20) + 1, memory >> 20);
  return FALSE;
}

/* Part @index of @n of [0, length), with its margin: where it begins, how long it is, where the kept part begins
 * in it, and how long that is. */
static void
divide (guint  index,
        guint  side,
        guint  length,
        guint  margin,
        guint *first,
        guint *n,
        guint *kept_first,
        guint *kept_n)
{
  const guint begin = index * side, end = MIN (begin + side, length);
  const guint from = begin > margin ? begin - margin : 0, to = MIN (end + margin, length);

  *first = from;
  *n = to - from;
  *kept_first = begin - from;
  *kept_n = end - begin;
}

DimrTile
dimr_tiles_get (const DimrTiles *self,
                guint            index,
                guint            margin)
{
  DimrTile tile;

  divide (index / self->n_across, self->side, self->map_height, margin,
          &tile.top, &tile.height, &tile.kept.top, &tile.kept.height);
  divide (index % self->n_across, self->side, self->map_width, margin,
          &tile.left, &tile.width, &tile.kept.left, &tile.kept.width);
  return tile;
}

/* Of one norm. */
typedef struct
{
  double n;
  double mean[N_GROUPS];
  double squares[N_GROUPS]; /* Σ (x − mean)² */
} Sum;

struct _DimrStatisticsSum
{
  GHashTable *sums; /* name → Sum */
};

DimrStatisticsSum *
dimr_statistics_sum_new (void)
{
  DimrStatisticsSum *self = g_new0 (DimrStatisticsSum, 1);

  self->sums = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return self;
}

void
dimr_statistics_sum_free (DimrStatisticsSum *self)
{
  g_return_if_fail (self != NULL);
  g_hash_table_unref (self->sums);
  g_free (self);
}

/* Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979. */
void
dimr_statistics_sum_add (DimrStatisticsSum *self,
                         const char        *name,
                         const float       *found,
                         double             n)
{
  Sum *sum = g_hash_table_lookup (self->sums, name);

  g_return_if_fail (n > 0);
  if (sum == NULL)
    {
      sum = g_new0 (Sum, 1);
      g_hash_table_insert (self->sums, g_strdup (name), sum);
    }
  for (guint g = 0; g < N_GROUPS; g++)
    {
      const double distance = found[2 * g] - sum->mean[g];

      sum->mean[g] += distance * n / (sum->n + n);
      sum->squares[g] += found[2 * g + 1] * n + distance * distance * sum->n * n / (sum->n + n);
    }
  sum->n += n;
}

gboolean
dimr_statistics_sum_get (DimrStatisticsSum *self,
                         const char        *name,
                         float             *given)
{
  const Sum *sum = g_hash_table_lookup (self->sums, name);

  if (sum == NULL)
    return FALSE;
  for (guint g = 0; g < N_GROUPS; g++)
    {
      given[2 * g] = (float) sum->mean[g];
      given[2 * g + 1] = (float) (sum->squares[g] / sum->n);
    }
  return TRUE;
}

double
dimr_statistics_sum_distance (DimrStatisticsSum *self,
                              DimrStatisticsSum *other)
{
  GHashTableIter iter;
  gpointer name, value;
  double distance = 0;
  guint n = 0;

  g_hash_table_iter_init (&iter, self->sums);
  while (g_hash_table_iter_next (&iter, &name, &value))
    {
      const Sum *a = value, *b = g_hash_table_lookup (other->sums, name);

      if (b == NULL)
        return INFINITY;
      for (guint g = 0; g < N_GROUPS; g++, n++)
        {
          const double x = sqrt (a->squares[g] / a->n), y = sqrt (b->squares[g] / b->n), unit = MAX (x, 1e-6);

          distance += pow ((a->mean[g] - b->mean[g]) / unit, 2) + pow ((x - y) / unit, 2);
        }
    }
  return n > 0 ? sqrt (distance / n) : 0;
}
