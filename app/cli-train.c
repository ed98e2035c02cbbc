/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-train-processes.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What --help says of each option of the table in core/train. */
static const struct
{
  const char *name;
  const char *description;
  const char *argument;
} texts[] = {
  { "config", N_("config.json of the model to train, or a model's folder"), N_("PATH") },
  { "data", N_("Folder with one folder of JPEG or PNG pictures a class, a tar of them, latents, or “drawn”"), N_("PATH") },
  { "validation", N_("The same, to measure the loss on"), N_("PATH") },
  { "from", N_("Model whose weights to begin with"), N_("PATH") },
  { "output", N_("Folder of the run (training-demo for --demo)"), N_("PATH") },
  { "steps", N_("Steps in all (100000)"), "N" },
  { "batch", N_("Pictures a step (64)"), "N" },
  { "lr", N_("Learning rate (0.0002)"), N_("RATE") },
  { "warmup", N_("Steps of linear growth of the learning rate (5000)"), "N" },
  { "decay", N_("none or cosine: how the learning rate falls (none)"), N_("NAME") },
  { "weight-decay", N_("Decay of the weights (0.03)"), "X" },
  { "beta1", N_("First moment of AdamW (0.99)"), "X" },
  { "beta2", N_("Second moment of AdamW (0.99)"), "X" },
  { "ema", N_("Rate of the moving average that is kept (0.9999)"), "X" },
  { "ema-ramp", N_("Let the average forget faster in the beginning: true or false (true)"), N_("BOOL") },
  { "clip", N_("Largest norm of the gradient, 0 for any (0)"), "X" },
  { "drop-label", N_("How often the class is left out, for guidance (0.1)"), "P" },
  { "flip", N_("Mirror half of the pictures: true or false (true)"), N_("BOOL") },
  { "max-weight", N_("Weigh the loss by min(max(1/SNR, 1), X) (1: not)"), "X" },
  { "crop", N_("Move pictures by up to N pixels at random (0)"), "N" },
  { "label-smoothing", N_("Part of a label that all classes share, for classifiers (0.1)"), "P" },
  { "seed", N_("Seed of everything that is drawn (0)"), "N" },
  { "device", N_("auto, cpu, cuda or cuda:N (auto)"), N_("NAME") },
  { "precision", N_("f32 or bf16, with float weights beside it (f32)"), N_("NAME") },
  { "threads", N_("Threads of the CPU, 0 for one a core (0)"), "N" },
  { "micro-batch", N_("Pictures that go through the network together, 0 for what is fast (0)"), "N" },
  { "recompute", N_("Compute activations again instead of keeping them: true or false (false)"), N_("BOOL") },
  { "data-threads", N_("Threads that read pictures (1)"), "N" },
  { "snapshot-every", N_("Steps from one snapshot to the next (1000)"), "N" },
  { "keep", N_("Snapshots to keep (3)"), "N" },
  { "log-every", N_("Steps from one line of the log to the next (10)"), "N" },
  { "validate-n", N_("Pictures for the validation loss (512)"), "N" },
  { "sheet-columns", N_("Pictures of a class on the sample sheet, 0 for no sheet (6)"), "N" },
  { "sheet-steps", N_("Evaluations of the network for each of them (25)"), "N" },
  { "sheet-cfg", N_("Guidance of the sample sheet (2)"), "G" },
};

typedef struct
{
  DimrTrainingOptions *options;
  StudioProcesses *processes;
  gboolean resume;
  gboolean terminal;
  gboolean line_open;
  gint64 last_line;
} Train;

/* In the order in which they were given. */
static GPtrArray *given;

static gboolean
take_option (const char  *name,
             const char  *value,
             gpointer     data,
             GError     **error)
{
  g_ptr_array_add (given, g_strdup (name + strspn (name, "-")));
  g_ptr_array_add (given, g_strdup (value));
  return TRUE;
}

static void
end_line (Train *self)
{
  if (self->line_open)
    fputc ('\n', stderr);
  self->line_open = FALSE;
}

/* "0.1234 0.2345" of branches; what a classifier tells by name */
static char *
format_terms (const DimrTrainingEvent *event)
{
  GString *text = g_string_new (NULL);

  for (guint r = 0; r < event->n_terms; r++)
    {
      if (r > 0)
        g_string_append_c (text, ' ');
      if (!g_str_has_prefix (event->term_names[r], "branch"))
        g_string_append_printf (text, "%s ", event->term_names[r]);
      g_string_append_printf (text, "%.4f", event->terms[r]);
    }
  return g_string_free (text, FALSE);
}

static void
print_step (Train                   *self,
            const DimrTrainingEvent *event)
{
  g_autofree char *left = studio_cli_format_time (event->seconds_left), *terms = format_terms (event);

  if (self->terminal)
    fputs ("\r\033[K", stderr);
  fprintf (stderr, _("step %" PRIu64 "/%" PRIu64 "  loss %.5f (%s)  %.1f images/s  %.0f %% waiting for data  %s left"),
           event->step, event->n_steps, event->loss, terms, event->images_per_second, 100 * event->waiting, left);
  if (self->terminal)
    self->line_open = TRUE;
  else
    fputc ('\n', stderr);
  fflush (stderr);
}

static void
on_event (const DimrTrainingEvent *event,
          gpointer                 data)
{
  Train *self = data;
  g_autofree char *terms = NULL;

  if (event->kind == DIMR_TRAINING_STEP)
    {
      print_step (self, event);
      return;
    }
  end_line (self);
  switch (event->kind)
    {
    case DIMR_TRAINING_STARTED: fprintf (stderr, "%s\n", event->text); break;
    case DIMR_TRAINING_WARNING: fprintf (stderr, _("Warning: %s\n"), event->text); break;
    case DIMR_TRAINING_VALIDATED:
      terms = format_terms (event);
      fprintf (stderr, _("step %" PRIu64 ": validation loss %.5f (%s)\n"), event->step, event->loss, terms);
      break;
    case DIMR_TRAINING_SNAPSHOT:
      studio_cli_print_path (event->text);
      break;
    default: break;
    }
}

static gboolean
train (gpointer       data,
       GCancellable  *cancellable,
       GError       **error)
{
  Train *self = data;
  DimrTrainingGroup group;
  const gboolean ok = studio_processes_join (self->processes, &group, cancellable, error) &&
                      dimr_training_run (self->options, self->resume, &group, on_event, self, cancellable, error);

  end_line (self);
  if (!ok && studio_processes_get_rank (self->processes) > 0 && !g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_prefix_error (error, _("Process %u: "), studio_processes_get_rank (self->processes));
  return ok;
}

/* Defaults, then those of the configuration or of the run that goes on, then those of the command line. */
static DimrTrainingOptions *
collect_options (const char  *output,
                 gboolean     resume,
                 gboolean     demo,
                 GError     **error)
{
  g_autoptr (DimrTrainingOptions) options = NULL;
  const char *config = NULL;

  for (guint i = 0; i + 1 < given->len; i += 2)
    if (strcmp (g_ptr_array_index (given, i), "config") == 0)
      config = g_ptr_array_index (given, i + 1);
  if (resume)
    options = dimr_training_read_options (output, error);
  else
    {
      g_autofree char *demo_config = demo ? dimr_paths_find_data ("training/demo.json") : NULL;

      options = dimr_training_options_new ();
      if (config == NULL)
        config = demo_config;
      if (config != NULL && !dimr_training_options_read_config (options, config, error))
        return NULL;
    }
  for (guint i = 0; options != NULL && i + 1 < given->len; i += 2)
    if (!dimr_training_options_set (options, g_ptr_array_index (given, i), g_ptr_array_index (given, i + 1), error))
      return NULL;
  return g_steal_pointer (&options);
}

/* One entry for each option of the table; the strings live in @given. */
static GOptionEntry *
make_entries (gboolean *resume,
              gboolean *demo,
              int      *processes)
{
  guint n;
  const DimrOptionInfo *infos = dimr_training_options_list (&n);
  GOptionEntry *entries = g_new0 (GOptionEntry, n + 4);

  for (guint i = 0; i < n; i++)
    {
      entries[i] = (GOptionEntry){ .long_name = infos[i].name, .arg = G_OPTION_ARG_CALLBACK, .arg_data = (gpointer) take_option };
      for (guint k = 0; k < G_N_ELEMENTS (texts); k++)
        if (strcmp (texts[k].name, infos[i].name) == 0)
          {
            entries[i].description = texts[k].description;
            entries[i].arg_description = texts[k].argument;
          }
    }
  entries[n] = (GOptionEntry){ "resume", 0, 0, G_OPTION_ARG_NONE, resume, N_("Go on with the run in --output"), NULL };
  entries[n + 1] = (GOptionEntry){ "demo", 0, 0, G_OPTION_ARG_NONE, demo,
                                   N_("Learn to draw shapes and textures that are made on the fly, in some minutes"), NULL };
  entries[n + 2] = (GOptionEntry){ "processes", 0, 0, G_OPTION_ARG_INT, processes,
                                   N_("Processes of this host that share the work, one a GPU (1, or as Slurm, MPI or torchrun say)"), "N" };
  return entries;
}

int
studio_cli_train (int    argc,
                  char **argv)
{
  gboolean resume = FALSE, demo = FALSE;
  int processes = 0, n_words = argc;
  g_autofree GOptionEntry *entries = make_entries (&resume, &demo, &processes);
  g_autofree char **words = g_memdup2 (argv, (gsize) argc * sizeof *argv); /* parsing takes some out */
  g_autoptr (GError) error = NULL;
  const char *output = NULL;
  Train self = { .terminal = isatty (STDERR_FILENO) && g_strcmp0 (g_getenv ("TERM"), "dumb") != 0 };
  int code = STUDIO_EXIT_OK;

  given = g_ptr_array_new_with_free_func (g_free);
  if (!studio_cli_parse ("", _("Trains a model. A run that was stopped, or killed, goes on with --resume; every snapshot is a model."),
                         "  dimr train --config config.json --data pictures --output run --batch 64 --lr 3e-4\n"
                         "  dimr train --output run --resume\n"
                         "  dimr train --config config.json --data pictures --output run --processes 8\n"
                         "  dimr train --demo\n",
                         entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  if (demo)
    {
      g_ptr_array_insert (given, 0, g_strdup ("drawn"));
      g_ptr_array_insert (given, 0, g_strdup ("data"));
      g_ptr_array_insert (given, 0, g_strdup ("training-demo"));
      g_ptr_array_insert (given, 0, g_strdup ("output"));
    }
  for (guint i = 0; i + 1 < given->len; i += 2)
    if (strcmp (g_ptr_array_index (given, i), "output") == 0)
      output = g_ptr_array_index (given, i + 1);
  if (output == NULL)
    code = studio_cli_refuse (FALSE, _("train needs --output FOLDER; see “dimr train --help”"));
  else if (processes < 0 || processes > DIMR_COLLECTIVE_MAX)
    code = studio_cli_refuse (FALSE, _("--processes is a number from 1 to %d"), DIMR_COLLECTIVE_MAX);
  else
    {
      self.options = collect_options (output, resume, demo, &error);
      self.resume = resume;
      self.processes = self.options != NULL ? studio_processes_new ((guint) processes, n_words, words, &error) : NULL;
      if (self.processes == NULL || !studio_cli_run (train, &self, &error))
        code = studio_cli_report (error, FALSE);
      if (self.processes != NULL && !studio_processes_free (self.processes) && code == STUDIO_EXIT_OK)
        code = STUDIO_EXIT_FAILED;
    }
  g_clear_pointer (&self.options, dimr_training_options_free);
  g_clear_pointer (&given, g_ptr_array_unref);
  return code;
}
