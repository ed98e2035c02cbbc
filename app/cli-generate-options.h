/* cli-generate-options.h — from the options of `dimr generate` to a request
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/dimr.h"

G_BEGIN_DECLS

/* What was typed; a value that was not is NULL or STUDIO_NOT_GIVEN. */
#define STUDIO_NOT_GIVEN G_MININT64

typedef struct
{
  char *model;
  char *autoencoder;
  char *previews;
  char *classes;
  char *cfg;
  char *guidance;
  char *power;
  char *sampler;
  char *grid;
  char *eta;
  char *guided_channels;
  char *seed;
  char *index;
  char *device;
  char *precision;
  char *out;
  char *noise;
  char *trace;
  gint64 steps;
  gint64 count;
  gint64 batch;
  gint64 micro_batch;
  gint64 reuse_low_branches;
  gint64 threads;
  gboolean json;
  gboolean quiet;
  gboolean no_previews;
  gboolean skip_unconditional;
  gboolean clip;
} StudioGenerateOptions;

void         studio_generate_options_init       (StudioGenerateOptions        *self);
void         studio_generate_options_clear      (StudioGenerateOptions        *self);
/* Parses the command line into @self; FALSE after printing what is wrong. */
gboolean     studio_generate_options_parse      (StudioGenerateOptions        *self,
                                                 int                           argc,
                                                 char                        **argv);
/* All that can be told before a model is loaded, so that a slip is found at once (transfer full).
 * DIMR_ERROR_REQUEST. */
DimrRequest *studio_generate_options_to_request (const StudioGenerateOptions  *self,
                                                 GError                      **error);
/* Fills in the model's defaults, a class where none was chosen, and the noise file. */
gboolean     studio_generate_options_complete   (const StudioGenerateOptions  *self,
                                                 DimrModel                    *model,
                                                 DimrRequest                  *request,
                                                 GError                      **error);
/* TRUE where --out names one picture rather than a folder. */
gboolean     studio_generate_options_is_file    (const StudioGenerateOptions  *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (StudioGenerateOptions, studio_generate_options_clear)

G_END_DECLS
