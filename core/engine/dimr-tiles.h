/* dimr-tiles.h — how a picture that does not fit is divided, and the statistics that its tiles share
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "core/model/dimr-autoencoder-network.h"

G_BEGIN_DECLS

/* Tiles of @height × @width pixels of the map after level @cut, margins included, of which
 * all but the outermost keep the middle. */
typedef struct
{
  guint   cut;
  guint   scale;       /* pixels of the picture a pixel of the map, along one side */
  guint   map_height;
  guint   map_width;
  guint   map_depth;
  guint   margin;
  guint   side;        /* of a tile's kept part, but for the last of a row or column */
  guint   n_down;
  guint   n_across;
  guint64 memory;      /* the map between the parts, and the larger arena of the two */
} DimrTiles;

/* What one tile reads of the map, and what it keeps of that. */
typedef struct
{
  guint      top;
  guint      left;
  guint      height;
  guint      width;
  DimrRegion kept;     /* in pixels of the tile */
} DimrTile;

/* The division that leaves most to the first part and has the largest tiles, in at most @memory bytes. FALSE
 * with DIMR_ERROR_MEMORY, which says how much would do, where there is none. */
gboolean  dimr_tiles_plan  (DimrTiles                    *self,
                            const DimrAutoencoderConfig  *config,
                            DimrDevice                   *device,
                            DimrPrecision                 precision,
                            guint                         height,
                            guint                         width,
                            guint64                       memory,
                            GError                      **error);
/* Tile @index of n_down · n_across, row by row, with @margin ≤ self->margin around it. */
DimrTile  dimr_tiles_get   (const DimrTiles              *self,
                            guint                         index,
                            guint                         margin);
/* Pixels of the map after level @cut that an output sees to each side. */
guint     dimr_tiles_reach (const DimrAutoencoderConfig  *config,
                            guint                         cut);

/* Means and variances of every group norm over all tiles: name → [32] of numbers, means, squared distances. */
typedef struct _DimrStatisticsSum DimrStatisticsSum;

DimrStatisticsSum *dimr_statistics_sum_new  (void);
void               dimr_statistics_sum_free (DimrStatisticsSum *self);
/* @found: [32, 2] of mean and variance over @n numbers a group. */
void               dimr_statistics_sum_add  (DimrStatisticsSum *self,
                                             const char        *name,
                                             const float       *found,
                                             double             n);
/* [32, 2] of mean and variance over all that was added; FALSE where nothing was. */
gboolean           dimr_statistics_sum_get  (DimrStatisticsSum *self,
                                             const char        *name,
                                             float             *given);

/* How far apart two sets of statistics are, in standard deviations: the root of the mean square of the distances of
 * means and of deviations over all groups of all norms. */
double             dimr_statistics_sum_distance (DimrStatisticsSum *self,
                                                 DimrStatisticsSum *other);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrStatisticsSum, dimr_statistics_sum_free)

G_END_DECLS
