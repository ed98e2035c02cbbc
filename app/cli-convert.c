/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-common.h"
#include "app/cli-progress.h"


typedef struct
{
  const char *in;
  const char *out;
  const DimrDType *dtype;
  StudioProgress *progress; /* drawn by the working thread alone */
  gint64 began;
  guint n_tensors;
  guint64 n_bytes;
} Conversion;

static void
on_progress (guint64  n_done,
             guint64  n_total,
             gpointer user_data)
{
  Conversion *self = user_data;

  studio_progress_update_bytes (self->progress, self->began, n_done, n_total);
}

static gboolean
convert (gpointer       data,
         GCancellable  *cancellable,
         GError       **error)
{
  Conversion *self = data;
  g_autoptr (DimrWeights) weights = dimr_weights_open (self->in, cancellable, error);

  if (weights == NULL)
    return FALSE;
  self->n_tensors = dimr_weights_get_n_tensors (weights);
  self->n_bytes = dimr_weights_get_n_bytes (weights);
  return dimr_weights_convert (weights, self->out, self->dtype, cancellable, on_progress, self, error);
}

/* Only the types in which networks are stored; returns FALSE for others. */
static gboolean
parse_dtype (const char *text,
             DimrDType  *dtype)
{
  static const DimrDType dtypes[] = { DIMR_DTYPE_F32, DIMR_DTYPE_F16, DIMR_DTYPE_BF16 };

  for (guint i = 0; i < G_N_ELEMENTS (dtypes); i++)
    if (g_ascii_strcasecmp (text, dimr_dtype_name (dtypes[i])) == 0)
      {
        *dtype = dtypes[i];
        return TRUE;
      }
  return FALSE;
}

static void
print_done (Conversion *self,
            gboolean    json)
{
  double seconds = (double) (g_get_monotonic_time () - self->began) / G_USEC_PER_SEC;

  studio_progress_clear (self->progress);
  if (json)
    {
      JsonBuilder *event = studio_cli_event_new ("done");

      studio_cli_event_string (event, "path", self->out);
      studio_cli_event_int (event, "tensors", self->n_tensors);
      studio_cli_event_int (event, "bytes_read", self->n_bytes);
      studio_cli_event_double (event, "seconds", seconds);
      studio_cli_event_print (event);
      return;
    }
  g_print (ngettext ("%s: %u tensor in %.1f s\n", "%s: %u tensors in %.1f s\n", self->n_tensors),
           self->out, self->n_tensors, seconds);
}

int
studio_cli_convert (int    argc,
                    char **argv)
{
  g_auto (GStrv) paths = NULL;
  g_autofree char *dtype_name = NULL;
  gboolean json = FALSE, quiet = FALSE;
  g_autoptr (StudioProgress) progress = NULL;
  g_autoptr (GError) error = NULL;
  DimrDType dtype = DIMR_DTYPE_F32;
  Conversion self = { .began = g_get_monotonic_time () };
  const GOptionEntry entries[] = {
    { "dtype", 0, 0, G_OPTION_ARG_STRING, &dtype_name, N_("Store numbers as f32, f16 or bf16 (each as it is)"), N_("NAME") },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_("Print one JSON object a line instead"), NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, N_("Show no progress"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &paths, NULL, NULL },
    G_OPTION_ENTRY_NULL,
  };

  if (!studio_cli_parse (_("IN OUT.safetensors"),
                         _("Rewrites a checkpoint (PyTorch, old or new, or safetensors) as a safetensors file. Nothing\n"
                           "in the checkpoint is executed. Of a training checkpoint the averaged weights are taken."),
                         "  dimr convert DiMR-XL_2R_800epochs.pth DiMR-XL-2R.safetensors\n"
                         "  dimr convert nnet_ema.pth small.safetensors --dtype bf16\n",
                         entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  if (paths == NULL || g_strv_length (paths) != 2)
    return studio_cli_refuse (json, _("convert takes two paths, IN and OUT.safetensors; see “dimr convert --help”"));
  if (dtype_name != NULL && !parse_dtype (dtype_name, &dtype))
    return studio_cli_refuse (json, _("--dtype is f32, f16 or bf16, not “%s”"), dtype_name);

  self.in = paths[0];
  self.out = paths[1];
  self.dtype = dtype_name != NULL ? &dtype : NULL;
  self.progress = progress = studio_progress_new (json || quiet);
  if (!studio_cli_run (convert, &self, &error))
    {
      studio_progress_clear (progress);
      return studio_cli_report (error, json);
    }
  if (json || !quiet)
    print_done (&self, json);
  return STUDIO_EXIT_OK;
}
