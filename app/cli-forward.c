/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-common.h"


#define MAX_THREADS 1024

typedef struct
{
  const char *model;
  const char *device;
  guint n_threads;
  DimrPrecision precision;
  const char *input;
  const char *output;
  const char *const *taps;
} Forward;

static gboolean
forward (gpointer       data,
         GCancellable  *cancellable,
         GError       **error)
{
  Forward *self = data;
  g_autoptr (DimrModel) model = dimr_model_load_any (self->model, cancellable, error);

  return model != NULL
         && dimr_forward_file (model, self->device, self->n_threads, self->precision, self->input, self->output,
                               self->taps, cancellable, error);
}

int
studio_cli_forward (int    argc,
                    char **argv)
{
  g_autofree char *model = NULL;
  g_autofree char *input = NULL;
  g_autofree char *output = NULL;
  g_autofree char *taps_text = NULL;
  g_autofree char *device = NULL;
  g_autofree char *precision = NULL;
  g_auto (GStrv) taps = NULL;
  g_autoptr (GError) error = NULL;
  gint64 threads = 0;
  Forward self = { .precision = DIMR_PRECISION_F32 };
  const GOptionEntry entries[] = {
    { "model", 'm', 0, G_OPTION_ARG_FILENAME, &model, N_("Folder or weights file (the one that comes with the program)"), N_("PATH") },
    { "input", 'i', 0, G_OPTION_ARG_FILENAME, &input, N_("Tensors “x” [B, C, H, W], “log_snr” [B] (U-ViT and DiT: “t” [B]) and, with classes, “y” [B]; ViT: only “x”"), N_("FILE") },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &output, N_("Safetensors file to write: “out0”, “out1”, … and the taps"), N_("FILE") },
    { "taps", 0, 0, G_OPTION_ARG_STRING, &taps_text, N_("Named values inside the network to write too, with commas between them, or all"), N_("NAMES") },
    { "device", 'd', 0, G_OPTION_ARG_STRING, &device, N_("auto, cpu, cuda or cuda:N (auto)"), N_("NAME") },
    { "precision", 0, 0, G_OPTION_ARG_STRING, &precision, N_("auto, f32, bf16 or f8 (f32)"), N_("NAME") },
    { "threads", 't', 0, G_OPTION_ARG_INT64, &threads, N_("Threads of the CPU, 0 for one a core (0)"), "N" },
    G_OPTION_ENTRY_NULL,
  };

  if (!studio_cli_parse ("", _("Evaluates the network once: one noise prediction a branch, lowest resolution first."),
                         "  dimr forward --model starter --input in.safetensors --output out.safetensors\n"
                         "  dimr forward -m starter -i in.safetensors -o out.safetensors --taps stages.0.blocks.3.out\n",
                         entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  if (input == NULL || output == NULL)
    return studio_cli_refuse (FALSE, _("forward needs --input FILE and --output FILE; see “dimr forward --help”"));
  if (precision != NULL && !dimr_precision_from_string (precision, &self.precision))
    return studio_cli_refuse (FALSE, _("--precision is auto, f32, bf16 or f8, not “%s”"), precision);
  if (threads < 0 || threads > MAX_THREADS)
    return studio_cli_refuse (FALSE, _("--threads is from 0 to %d, not %" PRId64), MAX_THREADS, threads);
  if (model == NULL)
    model = dimr_paths_dup_default_model ();
  if (model == NULL)
    return studio_cli_refuse (FALSE, _("The model that comes with the program was not found; name one with --model"));

  taps = taps_text != NULL ? g_strsplit (taps_text, ",", -1) : NULL;
  self.model = model;
  self.device = device != NULL ? device : "auto";
  self.n_threads = (guint) threads;
  self.input = input;
  self.output = output;
  self.taps = (const char *const *) taps;
  if (!studio_cli_run (forward, &self, &error))
    return studio_cli_report (error, FALSE);
  studio_cli_print_path (output);
  return STUDIO_EXIT_OK;
}
