/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-bench.h"
#include "app/cli-progress.h"

#include <string.h>

#define MAX_BATCH 4096
#define MAX_BATCHES 16
#define MAX_STEPS 1000
#define MAX_THREADS 1024
#define MAX_SECONDS 3600
#define SEED 1

typedef enum
{
  MEASURE_PEAKS = 1 << 0,
  MEASURE_STEP = 1 << 1,
  MEASURE_OPS = 1 << 2,
  MEASURE_PICTURES = 1 << 3,
} Measure;

static const char *const measures[] = { "peaks", "step", "ops", "pictures" };

typedef struct
{
  const char *subject;      /* a path or a variant */
  const char *device;
  guint n_threads;
  const char *precision;    /* NULL: the device's */
  guint batches[MAX_BATCHES];
  guint n_batches;
  guint n_steps;            /* 0: the model's */
  double seconds;
  Measure measure;
  StudioBenchStored *stored; /* NULL: nothing to compare with */
  gboolean json;
  const char *output;       /* NULL: not stored */
  StudioProgress *progress; /* drawn by the working thread alone */
  guint n_done, n_stages;   /* of the progress */
  DimrModel *model;
  StudioBenchResult result;
} Bench;

static void
bench_clear (Bench *self)
{
  StudioBenchResult *result = &self->result;

  for (guint i = 0; result->steps != NULL && i < result->steps->len; i++)
    dimr_bench_step_clear (&g_array_index (result->steps, DimrBenchStep, i));
  g_clear_pointer (&result->steps, g_array_unref);
  g_free (result->date);
  g_free (result->model);
  g_free (result->path);
  g_free (result->summary);
  g_free (result->device);
  g_free (result->device_name);
  g_clear_object (&self->model);
  g_clear_pointer (&self->stored, studio_bench_stored_free);
  g_clear_pointer (&self->progress, studio_progress_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Bench, bench_clear)

static void G_GNUC_PRINTF (2, 3)
announce (Bench      *self,
          const char *format,
          ...)
{
  g_autofree char *detail = NULL;
  va_list args;

  va_start (args, format);
  detail = g_strdup_vprintf (format, args);
  va_end (args);
  studio_progress_update (self->progress, (double) self->n_done++ / self->n_stages, 0, detail);
}

static double
seconds_since (gint64 began)
{
  return (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC;
}

/* After every part, so that a run that is stopped leaves what it has. */
static gboolean
store (Bench   *self,
       GError **error)
{
  self->result.peak_memory = dimr_bench_get_peak_memory ();
  return self->output == NULL || studio_bench_save (&self->result, self->output, error);
}

/* ---- what is measured ---- */

/* A variant of the paper with random weights. */
static DimrModel *
draw_model (const char     *name,
            DimrPrecision   precision,
            GCancellable   *cancellable,
            GError        **error)
{
  g_autoptr (DimrConfig) config = dimr_config_new_for_variant (name);
  g_autoptr (DimrWeights) weights = NULL;

  if (config == NULL)
    {
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST,
                   _("“%s” is neither a file nor a published model; “dimr info --help” lists those"), name);
      return NULL;
    }
  weights = dimr_weights_new_synthetic (config, precision != DIMR_PRECISION_F32 ? DIMR_DTYPE_BF16 : DIMR_DTYPE_F32, SEED,
                                        cancellable, error);
  return weights != NULL ? dimr_model_new_for_weights (config, weights, error) : NULL;
}

static gboolean
load_model (Bench         *self,
            DimrPrecision  precision,
            GCancellable  *cancellable,
            GError       **error)
{
  const gint64 began = g_get_monotonic_time ();

  if (g_file_test (self->subject, G_FILE_TEST_EXISTS))
    self->model = dimr_model_load (self->subject, cancellable, error);
  else
    self->model = draw_model (self->subject, precision, cancellable, error);
  if (self->model == NULL)
    return FALSE;
  self->result.model_seconds = seconds_since (began);
  self->result.model = g_strdup (dimr_model_get_name (self->model));
  self->result.path = g_strdup (dimr_model_get_path (self->model));
  self->result.summary = g_strdup (dimr_model_get_summary (self->model));
  self->result.parameters = dimr_model_get_n_parameters (self->model);
  /* Its thread reads the file beside the first measurement otherwise. */
  dimr_model_wait_for_hash (self->model);
  return TRUE;
}

/* "auto" opens the first backend that has a device. */
static gboolean
is_cpu (const char *device)
{
  guint n;
  const DimrBackend *const *backends = dimr_backend_list (&n);

  if (strcmp (device, "auto") != 0)
    return g_str_has_prefix (device, "cpu");
  for (guint i = 0; i < n; i++)
    if (backends[i]->get_n_devices (NULL) > 0)
      return strcmp (backends[i]->id, "cpu") == 0;
  return FALSE;
}

static DimrDevice *
open_device (Bench   *self,
             GError **error)
{
  const gint64 began = g_get_monotonic_time ();
  DimrDevice *device = dimr_device_open (self->device, self->n_threads, error);

  if (device == NULL)
    return NULL;
  self->result.device_seconds = seconds_since (began);
  self->result.device = g_strdup (self->device);
  self->result.device_name = g_strdup (dimr_device_get_name (device));
  self->result.is_cpu = is_cpu (self->device);
  self->result.micro_batch = dimr_device_get_micro_batch (device);
  if (self->precision != NULL)
    dimr_precision_from_string (self->precision, &self->result.precision);
  else
    self->result.precision = dimr_device_get_default_precision (device);
  return device;
}

static gboolean
measure_peaks (Bench         *self,
               DimrDevice    *device,
               GCancellable  *cancellable,
               GError       **error)
{
  StudioBenchResult *result = &self->result;

  announce (self, "%s", _("what the device can do at best"));
  if (!dimr_bench_measure_peaks (device, result->precision, self->seconds / 2, &result->peaks, cancellable, error))
    return FALSE;
  result->has_peaks = TRUE;
  /* Those were larger than the network. */
  dimr_bench_reset_peak_memory ();
  if (self->json)
    studio_bench_print_peaks (result);
  return store (self, error);
}

static void
tell_skipped (Bench        *self,
              guint         batch,
              const GError *reason)
{
  if (self->json)
    {
      JsonBuilder *event = studio_cli_event_new ("skipped");

      studio_cli_event_int (event, "batch", batch);
      studio_cli_event_string (event, "message", reason->message);
      studio_cli_event_print (event);
      return;
    }
  studio_progress_clear (self->progress);
  g_printerr (_("Batch %u is left out: %s.\n"), batch, reason->message);
}

/* A batch that does not fit is left out, unless none does. */
static gboolean
measure_steps (Bench         *self,
               DimrDevice    *device,
               GCancellable  *cancellable,
               GError       **error)
{
  StudioBenchResult *result = &self->result;
  g_autoptr (GError) skipped = NULL;

  for (guint i = 0; i < self->n_batches; i++)
    {
      DimrBenchStep step = { 0 };
      g_autoptr (GError) reason = NULL;

      announce (self, _("an evaluation of %u"), self->batches[i]);
      if (dimr_bench_measure_step (self->model, device, result->precision, self->batches[i], self->measure & MEASURE_OPS,
                                   self->seconds, &step, cancellable, &reason))
        {
          g_array_append_val (result->steps, step);
          if (self->json)
            studio_bench_print_step (result, &step);
          if (!store (self, error))
            return FALSE;
          continue;
        }
      dimr_bench_step_clear (&step);
      if (!g_error_matches (reason, DIMR_ERROR, DIMR_ERROR_MEMORY))
        {
          g_propagate_error (error, g_steal_pointer (&reason));
          return FALSE;
        }
      tell_skipped (self, self->batches[i], reason);
      g_clear_error (&skipped);
      skipped = g_steal_pointer (&reason);
    }
  if (result->steps->len > 0 || skipped == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&skipped));
  return FALSE;
}

/* What a user gets who changes nothing, of class after class where the model has classes. */
static DimrRequest *
make_request (Bench *self)
{
  DimrRequest *request = dimr_request_new ();
  guint n;
  const int *trained = dimr_model_peek_trained_classes (self->model, &n);

  g_free (request->classes);
  request->classes = g_new0 (int, 1);
  request->n_classes = 1;
  request->classes[0] = n > 0 ? trained[0] : 0;
  request->seed = SEED;
  request->n_steps = self->n_steps > 0 ? self->n_steps : dimr_model_get_default_steps (self->model);
  request->sampler = dimr_model_get_default_sampler (self->model);
  request->guidance = dimr_model_get_default_guidance (self->model);
  if (!dimr_guidance_is_on (&request->guidance))
    request->guidance = (DimrGuidance){ DIMR_GUIDANCE_CONSTANT, 1.5, 2.0 };
  request->precision = self->result.precision;
  return request;
}

static gboolean
measure_pictures (Bench         *self,
                  GCancellable  *cancellable,
                  GError       **error)
{
  StudioBenchResult *result = &self->result;
  g_autoptr (DimrRequest) request = make_request (self);
  guint batch = 1;

  announce (self, "%s", _("whole pictures"));
  for (guint i = 0; i < self->n_batches; i++)
    batch = MAX (batch, self->batches[i]);
  if (!dimr_bench_measure_pictures (self->model, self->device, self->n_threads, request, batch, self->seconds, &result->pictures,
                                    cancellable, error))
    return FALSE;
  result->has_pictures = TRUE;
  if (self->json)
    studio_bench_print_pictures (result);
  return store (self, error);
}

static gboolean
measure (gpointer       data,
         GCancellable  *cancellable,
         GError       **error)
{
  Bench *self = data;
  g_autoptr (DimrDevice) device = open_device (self, error);

  if (device == NULL)
    return FALSE;
  announce (self, "%s", _("the model"));
  if (!load_model (self, self->result.precision, cancellable, error) ||
      (self->stored != NULL && !studio_bench_stored_check (self->stored, &self->result, error)))
    return FALSE;
  if (self->json)
    studio_bench_print_start (&self->result);
  if ((self->measure & MEASURE_PEAKS && !measure_peaks (self, device, cancellable, error)) ||
      (self->measure & (MEASURE_STEP | MEASURE_OPS) && !measure_steps (self, device, cancellable, error)))
    return FALSE;
  /* The engine opens a device of its own: two copies of the parameters may not fit. */
  g_clear_object (&device);
  return !(self->measure & MEASURE_PICTURES) || measure_pictures (self, cancellable, error);
}

static void
show (Bench *self)
{
  const StudioBenchResult *result = &self->result;

  studio_progress_clear (self->progress);
  studio_bench_show_start (result);
  if (result->has_peaks)
    studio_bench_show_peaks (result);
  if (result->steps->len > 0)
    studio_bench_show_steps (result);
  for (guint i = 0; i < result->steps->len; i++)
    studio_bench_show_ops (result, &g_array_index (result->steps, DimrBenchStep, i));
  if (result->has_pictures)
    studio_bench_show_pictures (result);
  studio_bench_show_memory (result);
}

/* ---- the command line ---- */

/* "1,8,32" → increasing or not, each from 1; FALSE where it is not that. */
static gboolean
parse_batches (Bench      *self,
               const char *text)
{
  g_auto (GStrv) words = g_strsplit (text, ",", -1);

  for (self->n_batches = 0; words[self->n_batches] != NULL; self->n_batches++)
    {
      guint64 batch;

      if (self->n_batches == MAX_BATCHES ||
          !g_ascii_string_to_unsigned (words[self->n_batches], 10, 1, MAX_BATCH, &batch, NULL))
        return FALSE;
      self->batches[self->n_batches] = (guint) batch;
    }
  return self->n_batches > 0;
}

static gboolean
parse_measure (Bench      *self,
               const char *text)
{
  g_auto (GStrv) words = g_strsplit (text, ",", -1);

  self->measure = 0;
  for (guint i = 0; words[i] != NULL; i++)
    {
      guint k = 0;

      while (k < G_N_ELEMENTS (measures) && strcmp (words[i], measures[k]) != 0)
        k++;
      if (k == G_N_ELEMENTS (measures))
        return FALSE;
      self->measure |= 1u << k;
    }
  return self->measure != 0;
}

static void
count_stages (Bench *self)
{
  self->n_stages = 1 + (self->measure & MEASURE_PEAKS ? 1 : 0) + (self->measure & MEASURE_PICTURES ? 1 : 0) +
                   (self->measure & (MEASURE_STEP | MEASURE_OPS) ? self->n_batches : 0);
}

int
studio_cli_bench (int    argc,
                  char **argv)
{
  g_auto (Bench) self = { .seconds = 5, .n_batches = 1, .batches = { 1 },
                          .measure = MEASURE_PEAKS | MEASURE_STEP | MEASURE_OPS | MEASURE_PICTURES };
  g_auto (GStrv) subjects = NULL;
  g_autofree char *device = NULL, *precision = NULL, *batches = NULL, *measure_text = NULL, *output = NULL, *compare = NULL;
  g_autofree char *owned = NULL, *variants = studio_cli_list_variants ();
  g_autofree char *summary = NULL;
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GError) error = NULL;
  gint64 threads = 0, steps = 0;
  const GOptionEntry entries[] = {
    { "device", 'd', 0, G_OPTION_ARG_STRING, &device, N_("auto, cpu, cuda or cuda:N (auto)"), N_("NAME") },
    { "precision", 0, 0, G_OPTION_ARG_STRING, &precision, N_("f32, bf16 or f8 (what suits the device)"), N_("NAME") },
    { "threads", 't', 0, G_OPTION_ARG_INT64, &threads, N_("Threads of the CPU, 0 for one a core (0)"), "N" },
    { "batches", 'b', 0, G_OPTION_ARG_STRING, &batches, N_("Pictures an evaluation, with commas between them (1)"), N_("LIST") },
    { "steps", 0, 0, G_OPTION_ARG_INT64, &steps, N_("Evaluations of the network a picture, 1 to 1000 (the model's)"), "N" },
    { "time", 0, 0, G_OPTION_ARG_DOUBLE, &self.seconds, N_("Seconds that a measurement takes, about (5)"), "S" },
    { "measure", 0, 0, G_OPTION_ARG_STRING, &measure_text, N_("Of peaks, step, ops and pictures, with commas between them (all)"), N_("LIST") },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &output, N_("Write everything to a JSON file too"), N_("FILE") },
    { "compare", 0, 0, G_OPTION_ARG_FILENAME, &compare, N_("Tell ratios to such a file of the same machine, and warn of losses"), N_("FILE") },
    { "json", 0, 0, G_OPTION_ARG_NONE, &self.json, N_("Print one JSON object a line instead"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &subjects, NULL, NULL },
    G_OPTION_ENTRY_NULL,
  };

  summary = g_strdup_printf (_("Measures how fast a model is on a device: an evaluation of the network with guidance, each of\n"
                               "its operations, whole pictures, and what the device can do at best. A published model gets\n"
                               "random weights where it is told by name:\n%s"), variants);
  if (!studio_cli_parse (_("[MODEL]"), summary,
                         "  dimr bench\n  dimr bench DiMR-XL/2R --device cuda --batches 1,8,32,64 --output before.json\n"
                         "  dimr bench DiMR-M/3R --precision bf16 --measure peaks,ops --compare before.json\n",
                         entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  if (subjects != NULL && g_strv_length (subjects) > 1)
    return studio_cli_refuse (self.json, _("bench measures one model at a time"));
  if (precision != NULL && !dimr_precision_from_string (precision, &self.result.precision))
    return studio_cli_refuse (self.json, _("--precision is f32, bf16 or f8, not “%s”"), precision);
  if (threads < 0 || threads > MAX_THREADS)
    return studio_cli_refuse (self.json, _("--threads is from 0 to %d, not %" PRId64), MAX_THREADS, threads);
  if (steps < 0 || steps > MAX_STEPS)
    return studio_cli_refuse (self.json, _("--steps is from 1 to %d, not %" PRId64), MAX_STEPS, steps);
  if (!(self.seconds >= 0 && self.seconds <= MAX_SECONDS))
    return studio_cli_refuse (self.json, _("--time is from 0 to %d seconds, not %g"), MAX_SECONDS, self.seconds);
  if (batches != NULL && !parse_batches (&self, batches))
    return studio_cli_refuse (self.json, _("--batches is up to %d numbers from 1 to %d with commas between them, not “%s”"),
                              MAX_BATCHES, MAX_BATCH, batches);
  if (measure_text != NULL && !parse_measure (&self, measure_text))
    return studio_cli_refuse (self.json, _("--measure is some of peaks, step, ops and pictures with commas between them, not “%s”"),
                              measure_text);
  self.subject = subjects != NULL ? subjects[0] : (owned = dimr_paths_dup_default_model ());
  if (self.subject == NULL)
    return studio_cli_refuse (self.json, _("The model that comes with the program was not found; name one"));
  if (compare != NULL && (self.stored = studio_bench_stored_load (compare, &error)) == NULL)
    return studio_cli_report (error, self.json);

  self.device = device != NULL ? device : "auto";
  self.precision = precision;
  self.output = output;
  self.n_threads = (guint) threads;
  self.n_steps = (guint) steps;
  self.result.date = g_date_time_format (now, "%Y-%m-%dT%H:%M:%SZ");
  self.result.steps = g_array_new (FALSE, FALSE, sizeof (DimrBenchStep));
  self.progress = studio_progress_new (self.json);
  count_stages (&self);
  if (!studio_cli_run (measure, &self, &error))
    {
      studio_progress_clear (self.progress);
      return studio_cli_report (error, self.json);
    }
  if (self.json)
    studio_bench_print_done (&self.result);
  else
    show (&self);
  if (self.stored != NULL)
    studio_bench_stored_tell (self.stored, &self.result, self.json);
  return STUDIO_EXIT_OK;
}
