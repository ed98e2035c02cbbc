/* op-device.h — the device that op cases run on; each program is linked with the source of one
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"

G_BEGIN_DECLS

typedef struct
{
  const char *name;
  /* Opens the device in one of its ways. All variants of a kind compute the same bytes (numbers of
   * threads, orders of threads, replayed or launched one by one); kinds need not (instruction sets). NULL
   * where this computer has no such device: nothing can be tested then. */
  DimrDevice *(*open)       (guint            kind,
                             guint            variant,
                             GError         **error);
  guint       (*get_n_kinds)(void);
  guint         n_variants;
  /* Is input @slot of the node rounded to bfloat16 before it is computed with? NULL: never. */
  gboolean    (*is_rounded) (const DimrGraph *graph,
                             DimrNodeId       node,
                             guint            slot,
                             DimrPrecision    precision);
  /* A copy of a program's arena in the memory of this process (transfer full). */
  guint8     *(*dup_arena)  (DimrProgram     *program,
                             DimrPlan        *plan,
                             gsize           *size);
  /* Called after every case when all its objects are gone. Optional. */
  void        (*check)      (void);
  /* ‖error‖² ≤ bound · ‖reference‖² for a sum of one float after the other, for each of them; 0 where
   * long sums are made in parts. */
  double        bound_of_term;
  /* The same for everything in DIMR_PRECISION_BF16. */
  double        bf16_bound;
} OpDevice;

extern const OpDevice op_device;

G_END_DECLS
