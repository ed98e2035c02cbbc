/* dimr-loss.h — what a network is trained to do: one file for each loss
 *
 * A loss adds its inputs and outputs to the graph of a network, writes the samples of a batch into the
 * program, and reads a few terms of every sample back: what the log shows. The loss of a sample is the
 * sum of its terms times their coefficients; terms that only tell how it goes have none.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/diffusion/dimr-schedule.h"
#include "core/graph/dimr-device.h"
#include "core/graph/dimr-gradient.h"
#include "core/model/dimr-config.h"

G_BEGIN_DECLS

#define DIMR_LOSS_MAX_TERMS 8
#define DIMR_LOSS_MAX_OUTPUTS 8

typedef enum
{
  DIMR_RECOMPUTE_NONE,   /* all values that the gradients need stay in memory */
  DIMR_RECOMPUTE_BLOCKS, /* only what enters and leaves blocks; the rest is computed twice */
} DimrRecompute;

typedef struct
{
  guint         micro_batch;    /* samples that go through the network together */
  guint         height;
  guint         width;
  DimrPrecision precision;
  DimrRecompute recompute;
  gboolean      only_loss;      /* no gradients: for validation */
  double        label_smoothing;/* of a classifier: the part of a label's weight that all classes share */
} DimrTrainerOptions;

/* Samples to learn from. */
typedef struct
{
  guint         n;
  const float  *x0;     /* [n, C, H, W] */
  const float  *noise;  /* [n, C, H, W]; NULL for classifiers */
  const double *t;      /* [n] in (0, 1] */
  const gint32 *y;      /* [n]; the null class where the label was dropped. NULL for unconditional models */
  const float  *weight; /* [n] of each sample's loss, or NULL: 1 */
  guint         n_all;  /* samples of the step, of which these may be a part: its loss is the mean over them; 0: n */
} DimrTrainingBatch;

typedef struct _DimrLoss DimrLoss;

typedef struct
{
  /* Adds to @graph what the loss needs: fills in the outputs, the terms, and the seeds unless there are only_loss. */
  gboolean (*build) (DimrLoss                 *self,
                     DimrGraph                *graph,
                     GError                  **error);
  /* The ids of @plan instead of the graph's; the outputs have theirs already. */
  void     (*bind)  (DimrLoss                 *self,
                     DimrPlan                 *plan);
  /* Samples [first, first + count); what is left of the micro-batch repeats the last one, and counts for nothing. */
  void     (*write) (DimrLoss                 *self,
                     DimrProgram              *program,
                     const DimrTrainingBatch  *batch,
                     guint                     first,
                     guint                     count);
  /* The same samples' terms: @terms is [terms, batch->n]. */
  void     (*read)  (DimrLoss                 *self,
                     DimrProgram              *program,
                     const DimrTrainingBatch  *batch,
                     guint                     first,
                     guint                     count,
                     float                    *terms);
  void     (*free)  (DimrLoss                 *self);
} DimrLossInfo;

/* The part that all losses begin with. */
struct _DimrLoss
{
  const DimrLossInfo *info;
  const DimrConfig *config;     /* borrowed, as the schedule is */
  DimrSchedule *schedule;
  DimrTrainerOptions options;

  guint n_terms;
  struct
  {
    char name[16];              /* "branch0", "top1" */
    double coefficient;
  } terms[DIMR_LOSS_MAX_TERMS];
  guint n_outputs;
  DimrNodeId outputs[DIMR_LOSS_MAX_OUTPUTS];
  guint n_seeds;
  DimrSeed seeds[DIMR_LOSS_MAX_OUTPUTS];
};

/* The loss of the architecture: denoising, or classification. @config and @schedule are borrowed for its life. */
DimrLoss *dimr_loss_new                    (const DimrConfig          *config,
                                            DimrSchedule              *schedule,
                                            const DimrTrainerOptions  *options);
/* By file. Denoising: Σ_r coeff_r · mean (prediction_r − target_r)², where branch r's target is the noise summed over
 * squares of k × k, k = 2^(R−r), and divided by k, which keeps its variance. Source: the paper's section 3 and
 * released code. */
DimrLoss *dimr_loss_new_denoising          (void);
/* −Σ target · log softmax (logits) of a target that is 1 − s for the class, and s / K more for every class. Terms:
 * the cross entropy, and whether the class is the first, or among the first five, that the network would name. */
DimrLoss *dimr_loss_new_classification     (void);
void      dimr_loss_free                   (DimrLoss                  *self);

/* noise summed over k × k squares and divided by k: [n, C, H, W] → [n, C, H/k, W/k] */
void      dimr_training_target             (const float               *noise,
                                            gsize                      n_planes,
                                            guint                      height,
                                            guint                      width,
                                            guint                      k,
                                            float                     *target);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrLoss, dimr_loss_free)

G_END_DECLS
