/* dimr-schedule.h — noise schedules of variance-preserving diffusion
 *
 * x_t = alpha(t) x_0 + sigma(t) noise with alpha² + sigma² = 1 and t in (0, 1]; half-log-SNR
 * lambda = log alpha − log sigma. All in double (released code: float, which costs up to 4e-5 in
 * sigma at t = 0.001). Sources: released DiMR configurations; DPM-Solver (arXiv 2206.00927).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

typedef enum
{
  DIMR_SCHEDULE_DISCRETE, /* Stable Diffusion's 1000 betas, log alpha piecewise linear between them */
  DIMR_SCHEDULE_LINEAR,   /* VP-SDE: beta(t) = beta_0 + (beta_1 − beta_0) t */
  DIMR_SCHEDULE_COSINE,
  DIMR_SCHEDULE_DDPM,     /* 1000 betas in equal steps (DDPM, DiT), log alpha piecewise linear between them */
} DimrScheduleKind;

/* What the network is told instead of t. */
typedef enum
{
  DIMR_TIME_CONDITION_LINEAR,  /* 8 t − 4: latent models, not the true log-SNR */
  DIMR_TIME_CONDITION_LOG_SNR, /* log(alpha²/sigma²), SNR clamped to [1e-12, 1e6]: pixel models */
  DIMR_TIME_CONDITION_TIMESTEP,     /* 1000 t: U-ViT on latents */
  DIMR_TIME_CONDITION_TIMESTEP_999, /* 999 t: U-ViT on pixels */
  DIMR_TIME_CONDITION_INDEX,        /* 1000 t − 1, the index of the beta: DiT */
} DimrTimeCondition;

typedef struct _DimrSchedule DimrSchedule; /* immutable, reference-counted */

DimrSchedule     *dimr_schedule_new_discrete       (double              beta_start,   /* 0.00085 */
                                                    double              beta_end,     /* 0.012 */
                                                    guint               n);           /* 1000 */
DimrSchedule     *dimr_schedule_new_ddpm           (double              beta_start,   /* 0.0001 */
                                                    double              beta_end,     /* 0.02 */
                                                    guint               n);           /* 1000 */
DimrSchedule     *dimr_schedule_new_linear         (double              beta_0,       /* 0.1 */
                                                    double              beta_1);      /* 20 */
DimrSchedule     *dimr_schedule_new_cosine         (void);
DimrSchedule     *dimr_schedule_ref                (DimrSchedule       *self);
void              dimr_schedule_unref              (DimrSchedule       *self);

DimrScheduleKind  dimr_schedule_get_kind           (const DimrSchedule *self);
/* Where sampling starts: 1, or 0.9946 in the cosine schedule, whose alpha is 0 at t = 1. */
double            dimr_schedule_get_t_start        (const DimrSchedule *self);
double            dimr_schedule_log_alpha          (const DimrSchedule *self,
                                                    double              t);
double            dimr_schedule_alpha              (const DimrSchedule *self,
                                                    double              t);
double            dimr_schedule_sigma              (const DimrSchedule *self,
                                                    double              t);
double            dimr_schedule_lambda             (const DimrSchedule *self,
                                                    double              t);
double            dimr_schedule_inverse_lambda     (const DimrSchedule *self,
                                                    double              lambda);
/* The value of the network's time input at @t. */
double            dimr_schedule_condition          (const DimrSchedule *self,
                                                    DimrTimeCondition   condition,
                                                    double              t);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrSchedule, dimr_schedule_unref)

G_END_DECLS
