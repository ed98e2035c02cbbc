/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-loss.h"

DimrLoss *
dimr_loss_new (const DimrConfig         *config,
               DimrSchedule             *schedule,
               const DimrTrainerOptions *options)
{
  DimrLoss *self = dimr_config_is_classifier (config) ? dimr_loss_new_classification () : dimr_loss_new_denoising ();

  self->config = config;
  self->schedule = schedule;
  self->options = *options;
  return self;
}

void
dimr_loss_free (DimrLoss *self)
{
  g_return_if_fail (self != NULL);
  self->info->free (self);
}
