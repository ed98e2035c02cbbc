/* dimr-trace.h — the walk of a sampler, kept for comparison with other implementations
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/model/dimr-config.h"

G_BEGIN_DECLS

typedef struct _DimrTrace DimrTrace;

DimrTrace  *dimr_trace_new           (guint             n_images,
                                      const DimrConfig *config);
void        dimr_trace_free          (DimrTrace        *self);
/* The time of one network evaluation, and what the network is told of it; kept of the batch that begins at image 0, since all batches have the same. */
void        dimr_trace_add_time      (DimrTrace        *self,
                                      guint             first,
                                      double            t,
                                      double            condition);
/* @x: [n, C, H, W] of images [first, first + n) after outer update number @update. */
void        dimr_trace_add_x         (DimrTrace        *self,
                                      guint             update,
                                      guint             first,
                                      guint             n,
                                      const float      *x);
void        dimr_trace_set_latent    (DimrTrace        *self,
                                      guint             first,
                                      guint             n,
                                      const float      *x);
/* "times" [calls] F64, as the network's input "log_snr" or "t" [calls] F32, with which dimr_forward_file() shows any
 * value that depends on time at every step; "xs" [updates, n_images, C, H, W], "latent" [n_images, C, H, W]: name → DimrTensor (transfer full). */
GHashTable *dimr_trace_steal_tensors (DimrTrace        *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrTrace, dimr_trace_free)

G_END_DECLS
