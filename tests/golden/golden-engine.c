/* SPDX-License-Identifier: Apache-2.0 */
#include "golden-engine.h"

#include "tests/tested-device.h"

#include <math.h>

static void
on_loaded (GObject      *source,
           GAsyncResult *result,
           gpointer      data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrModel) model = dimr_engine_load_model_finish (DIMR_ENGINE (source), result, &error);

  g_assert_no_error (error);
  g_assert_nonnull (model);
  *(gboolean *) data = TRUE;
}

DimrEngine *
golden_engine_open (const char *folder)
{
  g_autofree char *name = g_strconcat (folder, "/model.safetensors", NULL);
  g_autofree char *path = reference_path (name);
  DimrEngine *engine = dimr_engine_new (tested_device (), 0);
  gboolean loaded = FALSE;

  dimr_engine_load_model_async (engine, path, NULL, on_loaded, &loaded);
  while (!loaded)
    g_main_context_iteration (NULL, TRUE);
  return engine;
}

DimrJob *
golden_engine_run (DimrEngine  *engine,
                   DimrRequest *request)
{
  g_autoptr (GError) error = NULL;
  DimrJob *job = dimr_engine_submit (engine, request, FALSE, &error);

  g_assert_no_error (error);
  while (!dimr_job_is_finished (job))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (dimr_job_get_state (job), ==, DIMR_JOB_DONE);
  return job;
}

double
golden_tensor_difference (DimrTensor   *tensor,
                          gsize         first,
                          const double *wanted,
                          gsize         n)
{
  g_autofree float *found = g_new (float, n);
  double worst = 0;

  dimr_tensor_read_f32 (tensor, first, n, found);
  for (gsize i = 0; i < n; i++)
    worst = MAX (worst, fabs (found[i] - wanted[i]));
  return worst;
}
