/* dimr-config.h — what a network is made of: read from `config.json`, or told by tensor shapes
 *
 * Field names are those of the released configuration files. Values are checked here once, so
 * that the network builders can trust them. What differs between DiMR, U-ViT and DiT is behind
 * the architecture (dimr-architecture.h).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/diffusion/dimr-guidance.h"
#include "core/diffusion/dimr-sampler.h"
#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

#define DIMR_MAX_BRANCHES 8

typedef struct _DimrArchitecture DimrArchitecture;

typedef enum
{
  DIMR_BLOCK_TRANSFORMER,
  DIMR_BLOCK_CONVNEXT,
} DimrBlockType;

typedef enum
{
  DIMR_NORM_TDRMSN, /* time-dependent RMS norm: the released models */
  DIMR_NORM_LN,     /* time-dependent layer norm */
  DIMR_NORM_RMSN,   /* RMS norm with a constant scale */
  DIMR_NORM_ADARMSN,    /* RMS norm whose scale is made of the first token, or of the first row of the map */
  DIMR_NORM_ADALN_ZERO, /* layer norm shifted, scaled and gated by time and class, as in DiT */
} DimrNormType;

typedef enum
{
  DIMR_MLP_GEGLU, /* w2 (gelu (w0 h) · w1 h): the released models */
  DIMR_MLP_GELU,  /* w2 (gelu (w0 h)) */
} DimrMlpType;

typedef enum
{
  DIMR_POSITION_TABLE,      /* learned, added to the patches: the released models */
  DIMR_POSITION_AXIAL_ROPE, /* in Transformer branches: queries and keys are normed and turned */
} DimrPositionType;

typedef enum
{
  DIMR_CASCADE_ADD,    /* x + what the branch below has seen: the released models */
  DIMR_CASCADE_CONCAT, /* a linear of both side by side */
} DimrCascadeType;

/* One branch ("stage" in the checkpoints), lowest resolution first. */
typedef struct
{
  DimrBlockType block_type;
  guint         dim;                  /* D */
  guint         hidden_dim;           /* of the gated MLP */
  guint         num_attention_heads;  /* NH */
  guint         num_blocks;           /* n gives 2·(n/2) + 1 blocks */
  guint         max_height;           /* of the position table */
  guint         max_width;
  guint         image_input_ratio;    /* mean pooling before the patches */
  guint         input_feature_ratio;  /* patch size */
  guint         final_kernel_size;
  guint         kernel_size;          /* of the depthwise convolution */
} DimrStageConfig;

/* U-ViT, DiT and ViT: one Transformer over the patches. */
typedef struct
{
  guint    patch_size;
  guint    dim;             /* D */
  guint    hidden_dim;      /* of the MLP */
  guint    num_heads;       /* NH */
  guint    depth;           /* blocks; U-ViT: d gives 2·(d/2) + 1 */
  gboolean qkv_bias;
  gboolean mlp_time_embed;  /* U-ViT: the time goes through an MLP before it becomes a token */
  gboolean conv;            /* U-ViT: a 3 × 3 convolution after the patches are put together */
  gboolean skip;            /* U-ViT: long skips */
  gboolean learn_sigma;     /* DiT: 2·C channels, the second half for the variance */
} DimrVitConfig;

typedef struct
{
  const DimrArchitecture *architecture;
  guint             channels;         /* C */
  guint             image_size;       /* of x: pixels, or latent pixels */
  guint             num_classes;      /* rows of the class table, or of a classifier's head; 0: unconditional */
  gboolean          has_null_class;   /* the last row is the null class of classifier-free guidance */

  /* DiMR: the released form, and those of the paper's Tables 2 and 3 */
  DimrNormType      norm_type;
  DimrMlpType       mlp_type;
  DimrPositionType  position_type;
  DimrCascadeType   cascade_type;
  gboolean          branch_skips;     /* out blocks also take in the partner among the in blocks of the branch below */
  guint             n_stages;
  DimrStageConfig   stages[DIMR_MAX_BRANCHES];
  float             loss_coeffs[DIMR_MAX_BRANCHES];
  gboolean          block_grad_to_lowres; /* training: a branch does not change the one below through the cascade */
  /* U-ViT, DiT, ViT */
  DimrVitConfig     vit;
  char            **label_names;      /* of a classifier: [num_classes + 1] WordNet ids or other names, NULL-terminated; NULL: not said */

  /* How it is to be sampled; filled with the released models' values where the file is silent. */
  DimrScheduleKind  schedule;
  double            beta_0;           /* LINEAR: beta(0), beta(1); DISCRETE, DDPM: first and last beta */
  double            beta_1;
  DimrTimeCondition time_condition;
  gboolean          normalize_input;  /* feed x / std(x) per sample (the 512 px option; off as released) */
  guint             default_steps;
  DimrSamplerKind   default_sampler;
  DimrGuidance      default_guidance;
  int              *trained_classes;  /* [n_trained_classes]; NULL: not said */
  guint             n_trained_classes;
  char             *title;            /* NULL: not said */
} DimrConfig;

/* A branch in numbers; networks without branches have one. */
typedef struct
{
  const char *block;    /* "Transformer", "ConvNeXt" */
  guint       n_blocks;
  guint       width;    /* D */
  guint       side;     /* of its map at the configuration's image size */
  guint       n_heads;  /* 0 where it has no attention */
} DimrBranchInfo;

/* DIMR_ERROR_FORMAT (no JSON, wrong type) or DIMR_ERROR_MODEL (another architecture, a value out of range)
 * with the member's name in the sentence. @display_name: what messages call the file. */
DimrConfig *dimr_config_parse      (const char       *json,
                                    gsize             length,
                                    const char       *display_name,
                                    GError          **error);
DimrConfig *dimr_config_load       (const char       *path,
                                    GError          **error);
/* The architecture whose parameters have exactly these names and shapes. DIMR_ERROR_MODEL says what
 * the file is instead, as far as its tensors tell. */
DimrConfig *dimr_config_recognise  (DimrWeights      *weights,
                                    GError          **error);
/* A published model by name: "DiMR-XL/2R", "U-ViT-H/2", "DiT-XL/2", …; NULL where there is no such name. */
DimrConfig *dimr_config_new_for_variant (const char  *name);
/* NULL-terminated, static. */
const char * const *dimr_config_list_variants (void);
DimrConfig *dimr_config_copy       (const DimrConfig *self);
void        dimr_config_free       (DimrConfig       *self);
/* Classes a picture can be asked of: without the null class; 0 for unconditional models. */
guint       dimr_config_get_n_classes (const DimrConfig *self);

/* "DiMR", "U-ViT", "DiT", "ViT" (static) */
const char *dimr_config_get_architecture_name (const DimrConfig *self);
guint       dimr_config_get_n_branches (const DimrConfig *self);
/* TRUE where the network tells what is on a picture instead of making one. */
gboolean    dimr_config_is_classifier (const DimrConfig *self);
/* TRUE where the network also says how large the variance of a step is: its output has 2·C channels. */
gboolean    dimr_config_tells_variance (const DimrConfig *self);
void        dimr_config_get_branch (const DimrConfig *self,
                                    guint             branch,
                                    DimrBranchInfo   *info);

/* Blocks of a stage: 2·(num_blocks/2) + 1. */
guint       dimr_stage_config_get_n_blocks (const DimrStageConfig *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrConfig, dimr_config_free)

G_END_DECLS
