/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-common.h"

#define MAX_THREADS 1024
#define MAX_STEPS 1000000

typedef struct
{
  const char *model;
  const char *device;
  guint n_threads;
  DimrGradientsOptions options;
  const char *input;
  const char *output;
} Gradients;

static gboolean
compute (gpointer       data,
         GCancellable  *cancellable,
         GError       **error)
{
  Gradients *self = data;
  g_autoptr (DimrModel) model = dimr_model_load_any (self->model, cancellable, error);

  return model != NULL
         && dimr_gradients_file (model, self->device, self->n_threads, &self->options, self->input, self->output,
                                 cancellable, error);
}

int
studio_cli_gradients (int    argc,
                      char **argv)
{
  g_autofree char *model = NULL;
  g_autofree char *input = NULL;
  g_autofree char *output = NULL;
  g_autofree char *device = NULL;
  g_autofree char *precision = NULL;
  g_autoptr (GError) error = NULL;
  gint64 threads = 0, steps = 0, micro_batch = 0;
  Gradients self = { .options = { .lr = 2e-4, .ema = .9999, .precision = DIMR_PRECISION_F32 } };
  const GOptionEntry entries[] = {
    { "model", 'm', 0, G_OPTION_ARG_FILENAME, &model, N_("Folder or weights file (the one that comes with the program)"), N_("PATH") },
    { "input", 'i', 0, G_OPTION_ARG_FILENAME, &input, N_("Tensors “s0.x0”, “s0.eps” [B, C, H, W], “s0.n” or “s0.t” [B], “s0.y” [B]; “s1.…” for the next step"), N_("FILE") },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &output, N_("Safetensors file to write: “s0.loss”, “grad.NAME”; after steps “param.NAME”, “ema.NAME”"), N_("FILE") },
    { "steps", 0, 0, G_OPTION_ARG_INT64, &steps, N_("Steps of AdamW to make, each with its own samples (0)"), "N" },
    { "lr", 0, 0, G_OPTION_ARG_DOUBLE, &self.options.lr, N_("Learning rate (0.0002)"), N_("RATE") },
    { "ema", 0, 0, G_OPTION_ARG_DOUBLE, &self.options.ema, N_("Rate of the moving average (0.9999)"), N_("RATE") },
    { "micro-batch", 0, 0, G_OPTION_ARG_INT64, &micro_batch, N_("Samples that go through the network together (all)"), "N" },
    { "recompute", 0, 0, G_OPTION_ARG_NONE, &self.options.recompute, N_("Compute activations again instead of keeping them"), NULL },
    { "label-smoothing", 0, 0, G_OPTION_ARG_DOUBLE, &self.options.label_smoothing, N_("Part of a label that all classes share, for classifiers (0)"), "P" },
    { "device", 'd', 0, G_OPTION_ARG_STRING, &device, N_("auto, cpu, cuda or cuda:N (auto)"), N_("NAME") },
    { "precision", 0, 0, G_OPTION_ARG_STRING, &precision, N_("f32 or bf16 (f32)"), N_("NAME") },
    { "threads", 't', 0, G_OPTION_ARG_INT64, &threads, N_("Threads of the CPU, 0 for one a core (0)"), "N" },
    G_OPTION_ENTRY_NULL,
  };

  if (!studio_cli_parse ("", _("Computes the training loss and every parameter's gradient on given tensors."),
                         "  dimr gradients --model DIR --input batches.safetensors --output gradients.safetensors\n"
                         "  dimr gradients -m DIR -i batches.safetensors -o after.safetensors --steps 3 --lr 2e-4 --ema 0.9\n",
                         entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  if (input == NULL || output == NULL)
    return studio_cli_refuse (FALSE, _("gradients needs --input FILE and --output FILE; see “dimr gradients --help”"));
  if (precision != NULL && !dimr_precision_from_string (precision, &self.options.precision))
    return studio_cli_refuse (FALSE, _("--precision is f32 or bf16, not “%s”"), precision);
  if (threads < 0 || threads > MAX_THREADS)
    return studio_cli_refuse (FALSE, _("--threads is from 0 to %d, not %" PRId64), MAX_THREADS, threads);
  if (steps < 0 || steps > MAX_STEPS || micro_batch < 0 || micro_batch > 65536)
    return studio_cli_refuse (FALSE, _("--steps is from 0 to %d and --micro-batch from 0 to 65536"), MAX_STEPS);
  if (!(self.options.lr >= 0 && self.options.lr <= 1) || !(self.options.ema >= 0 && self.options.ema <= 1))
    return studio_cli_refuse (FALSE, _("--lr and --ema are from 0 to 1"));
  if (!(self.options.label_smoothing >= 0 && self.options.label_smoothing < 1))
    return studio_cli_refuse (FALSE, _("--label-smoothing is from 0 to below 1"));
  if (model == NULL)
    model = dimr_paths_dup_default_model ();
  if (model == NULL)
    return studio_cli_refuse (FALSE, _("The model that comes with the program was not found; name one with --model"));

  self.model = model;
  self.device = device != NULL ? device : "auto";
  self.n_threads = (guint) threads;
  self.options.n_steps = (guint) steps;
  self.options.micro_batch = (guint) micro_batch;
  self.input = input;
  self.output = output;
  if (!studio_cli_run (compute, &self, &error))
    return studio_cli_report (error, FALSE);
  studio_cli_print_path (output);
  return STUDIO_EXIT_OK;
}
