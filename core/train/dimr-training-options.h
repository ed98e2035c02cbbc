/* dimr-training-options.h — everything a training run is asked for, by name
 *
 * One table gives each option its name, range and default; from it come the command line, the
 * "training" member of a configuration, and what a run writes down of itself (run.json).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

typedef struct
{
  /* What from, and where to. */
  char    *config;        /* config.json, or a model folder */
  char    *data;          /* class folders, a tar of them, latents; "drawn": pictures made on the fly */
  char    *validation;    /* the same, or NULL */
  char    *from;          /* a model whose weights training begins with, or NULL */
  char    *output;        /* folder of the run */

  /* The recipe. */
  guint64  steps;
  guint64  batch;
  double   lr;
  guint64  warmup;        /* steps of linear growth */
  char    *decay;         /* "none" or "cosine", down to lr / 100 at the last step */
  double   weight_decay;
  double   beta1;
  double   beta2;
  double   ema;
  gboolean ema_ramp;      /* the average reaches no further back than nine tenths of the run */
  double   clip;          /* largest norm of the gradient; 0: any */
  double   drop_label;
  gboolean flip;
  double   max_weight;    /* loss weight min (max (1/SNR, 1), max_weight); 1: none */
  guint64  crop;          /* pixels that pictures are moved at most in each direction; 0: not at all */
  double   label_smoothing; /* of classifiers: the part of a label's weight that all classes share */
  guint64  seed;

  /* How it is computed. */
  char    *device;
  char    *precision;     /* "f32", "bf16" */
  guint64  threads;
  guint64  micro_batch;   /* samples that go through the network together; 0: chosen */
  gboolean recompute;
  guint64  data_threads;

  /* What is kept and told. */
  guint64  snapshot_every;/* steps */
  guint64  keep;          /* snapshots */
  guint64  log_every;     /* steps */
  guint64  validate_n;    /* pictures of the validation loss */
  guint64  sheet_columns; /* pictures of a class on the sample sheet; 0: no sheet */
  guint64  sheet_steps;   /* network evaluations of each */
  double   sheet_cfg;     /* guidance g */
} DimrTrainingOptions;

typedef enum
{
  DIMR_OPTION_STRING,
  DIMR_OPTION_COUNT,
  DIMR_OPTION_NUMBER,
  DIMR_OPTION_SWITCH,
} DimrOptionType;

typedef struct
{
  const char    *name;     /* "weight-decay" */
  DimrOptionType type;
  gsize          offset;
  double         min;
  double         max;
  const char    *initial;  /* as text; NULL: no string */
} DimrOptionInfo;

/* All options, [n] (static). */
const DimrOptionInfo *dimr_training_options_list      (guint                      *n);

DimrTrainingOptions  *dimr_training_options_new       (void);
void                  dimr_training_options_free      (DimrTrainingOptions        *self);
/* DIMR_ERROR_REQUEST where there is no such option or @value is out of its range. */
gboolean              dimr_training_options_set       (DimrTrainingOptions        *self,
                                                       const char                 *name,
                                                       const char                 *value,
                                                       GError                    **error);
/* Sets what @object has; unknown members are errors too. */
gboolean              dimr_training_options_read      (DimrTrainingOptions        *self,
                                                       JsonObject                 *object,
                                                       GError                    **error);
/* Sets the configuration and what its member "training" says. DIMR_ERROR_FILE, DIMR_ERROR_FORMAT, DIMR_ERROR_REQUEST. */
gboolean              dimr_training_options_read_config (DimrTrainingOptions      *self,
                                                       const char                 *path,
                                                       GError                    **error);
/* All of them (transfer full). */
JsonObject           *dimr_training_options_write     (const DimrTrainingOptions  *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrTrainingOptions, dimr_training_options_free)

G_END_DECLS
