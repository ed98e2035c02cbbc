/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-worker.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-file.h"
#include "core/base/dimr-i18n.h"
#include "core/base/dimr-rng.h"
#include "core/diffusion/dimr-walk.h"
#include "core/engine/dimr-pace.h"
#include "core/engine/dimr-painter.h"
#include "core/engine/dimr-trace.h"
#include "core/image/dimr-png.h"
#include "core/model/dimr-cost.h"

#include <string.h>

struct _DimrWorker
{
  DimrDevice *device;

  DimrDenoiser *denoiser; /* the compiled network of the last job: most jobs use it again */
  DimrPainter *painter;
  GError *lost;           /* why the device is gone, once it is */
};

/* One job while it runs; its buffers are for one batch and taken before the first step. */
typedef struct
{
  DimrWorker *worker;
  DimrJob *job;
  const DimrRequest *request;
  DimrModel *model;
  GCancellable *cancellable;
  DimrTrace *trace; /* NULL where none was asked for */
  DimrJobDevice device;
  guint n_images;
  guint first, n; /* images of the batch that is running: [first, first + n) */
  gsize image_len;
  float *x;   /* [batch, C, H, W] to start from */
  int *y;     /* [batch] */
  gint64 began;
  DimrPace pace;
  double step_seconds; /* the last step of the batch took */
} Run;

DimrWorker *
dimr_worker_new (DimrDevice *device)
{
  DimrWorker *self = g_new0 (DimrWorker, 1);

  self->device = g_object_ref (device);
  self->painter = dimr_painter_new (device);
  return self;
}

static void
forget_denoiser (DimrWorker *self)
{
  g_clear_pointer (&self->denoiser, dimr_denoiser_free);
  dimr_painter_forget (self->painter);
  dimr_device_trim (self->device);
}

void
dimr_worker_free (DimrWorker *self)
{
  g_return_if_fail (self != NULL);
  forget_denoiser (self);
  g_clear_pointer (&self->painter, dimr_painter_free);
  g_clear_object (&self->device);
  g_clear_error (&self->lost);
  g_free (self);
}

static DimrDenoiserSettings
get_settings (Run *self)
{
  const DimrRequest *request = self->request;

  return (DimrDenoiserSettings){
    .precision = self->device.precision,
    .micro_batch = self->device.micro_batch,
    .guided = dimr_guidance_is_on (&request->guidance) && dimr_model_peek_config (self->model)->has_null_class,
    .keep_low = request->reuse_low_branches > 1,
    .variance = request->sampler == DIMR_SAMPLER_DDPM && dimr_config_tells_variance (dimr_model_peek_config (self->model)),
    .guided_channels = request->guidance.channels,
  };
}

static gboolean
prepare_denoiser (Run     *self,
                  GError **error)
{
  DimrWorker *worker = self->worker;
  const DimrDenoiserSettings wanted = get_settings (self);

  if (worker->denoiser != NULL && dimr_denoiser_get_model (worker->denoiser) == self->model &&
      dimr_denoiser_settings_equal (dimr_denoiser_peek_settings (worker->denoiser), &wanted))
    return TRUE;
  /* The old one goes first: two models at once may not fit. */
  forget_denoiser (worker);
  worker->denoiser = dimr_denoiser_new (self->model, worker->device, &wanted, self->cancellable, error);
  return worker->denoiser != NULL;
}

/* What decodes is made before the first step, too: a picture that cannot be shown in the end is not begun. */
static gboolean
prepare (Run     *self,
         GError **error)
{
  return prepare_denoiser (self, error) &&
         dimr_painter_prepare (self->worker->painter, self->model, self->device.precision, self->cancellable, error);
}

static void
fill_start (Run   *self,
            guint  first,
            guint  n)
{
  const DimrRequest *request = self->request;

  for (guint i = 0; i < n; i++)
    {
      float *x = self->x + i * self->image_len;

      if (request->noise != NULL)
        memcpy (x, request->noise + (first + i) * self->image_len, self->image_len * sizeof (float));
      else
        dimr_rng_normal (request->seed, request->first_index + first + i, DIMR_STREAM_START_NOISE, 0, x, self->image_len);
      self->y[i] = request->n_classes > 0 ? request->classes[(first + i) / request->count] : DIMR_CLASS_NONE;
    }
}

/* What the steps of the batch that is running draw. */
static void
fill_step_noise (guint     step,
                 float    *noise,
                 gpointer  data)
{
  const Run *self = data;
  const DimrRequest *request = self->request;

  for (guint i = 0; i < self->n; i++)
    {
      const guint index = self->first + i;
      float *out = noise + i * self->image_len;

      if (request->noises != NULL)
        memcpy (out, request->noises + ((gsize) step * self->n_images + index) * self->image_len,
                self->image_len * sizeof (float));
      else
        dimr_rng_normal (request->seed, request->first_index + index, DIMR_STREAM_STEP_NOISE, (guint16) step, out,
                         self->image_len);
    }
}

/* One of @n. Where decoding fails the next step will, and say why. */
static DimrImage *
make_preview (Run         *self,
              const float *x0,
              guint        n)
{
  DimrPainter *painter = self->worker->painter;
  DimrImage *image = NULL;

  if (dimr_painter_keeps_up (painter, self->request->preview_kind, n, self->step_seconds))
    image = dimr_painter_paint (painter, x0, self->cancellable, NULL);
  return image != NULL ? image : dimr_painter_sketch (painter, x0);
}

static double
seconds_since (gint64 began)
{
  return (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC;
}

/* @x0: [n, C, H, W] to be shown, or NULL. @decoding: after the last step. */
static void
post_progress (Run         *self,
               guint        step,
               const float *x0,
               gboolean     decoding)
{
  DimrJobProgress progress = {
    .state = DIMR_JOB_RUNNING,
    .first = self->first,
    .n = self->n,
    .step = step,
    .decoding = decoding,
    .fraction = dimr_pace_advance (&self->pace),
    .seconds_per_step = dimr_pace_get_step_seconds (&self->pace) * self->n,
    .seconds_left = dimr_pace_get_seconds_left (&self->pace),
    .seconds_elapsed = seconds_since (self->began),
  };
  g_autoptr (GPtrArray) previews = NULL;

  if (x0 != NULL)
    {
      previews = g_ptr_array_new_full (self->n, (GDestroyNotify) dimr_image_unref);
      for (guint i = 0; i < self->n; i++)
        g_ptr_array_add (previews, make_preview (self, x0 + i * self->image_len, self->n));
    }
  dimr_job_post_progress (self->job, &progress, previews != NULL ? (DimrImage * const *) previews->pdata : NULL);
}

/* "000012-lion-s7": letters, digits and dashes survive every file system. */
static char *
make_base_name (const DimrRecipe *recipe)
{
  g_autofree char *class_name = g_strdup (recipe->class_name != NULL ? recipe->class_name : "unconditional");

  for (char *c = class_name; *c != '\0'; c++)
    if (!g_ascii_isalnum (*c))
      *c = '-';
  return g_strdup_printf ("%06" G_GUINT64_FORMAT "-%s-s%" G_GUINT64_FORMAT, recipe->image_index, class_name, recipe->seed);
}

static gboolean
holds (const char *path,
       GBytes     *bytes)
{
  g_autofree char *content = NULL;
  gsize length;

  return g_file_get_contents (path, &content, &length, NULL) && length == g_bytes_get_size (bytes) &&
         memcmp (content, g_bytes_get_data (bytes, NULL), length) == 0;
}

/* A picture never overwrites another one: the same bytes are left alone, others get a number. */
static char *
save_picture (Run         *self,
              guint        index,
              DimrImage   *image,
              GError     **error)
{
  g_autoptr (DimrRecipe) recipe = dimr_job_make_recipe (self->job, index, &self->device,
                                                        dimr_model_wait_for_hash (self->model));
  g_autoptr (GBytes) png = dimr_png_encode (image, recipe, error);
  g_autofree char *base = make_base_name (recipe);

  if (png == NULL)
    return NULL;
  for (guint k = 1;; k++)
    {
      g_autofree char *name = k == 1 ? g_strdup_printf ("%s.png", base) : g_strdup_printf ("%s-%u.png", base, k);
      g_autofree char *path = g_build_filename (self->request->output_folder, name, NULL);

      if (!g_file_test (path, G_FILE_TEST_EXISTS))
        return dimr_file_write_atomic (path, png, error) ? g_steal_pointer (&path) : NULL;
      if (holds (path, png))
        return g_steal_pointer (&path);
    }
}

/* On disk before it is announced. */
static gboolean
finish_picture (Run          *self,
                const float  *x,
                guint         index,
                GError      **error)
{
  g_autoptr (DimrImage) image = dimr_painter_paint (self->worker->painter, x, self->cancellable, error);
  g_autofree char *path = NULL;

  if (image == NULL)
    return FALSE;
  if (self->request->output_folder != NULL)
    {
      path = save_picture (self, index, image, error);
      if (path == NULL)
        return FALSE;
    }
  dimr_job_post_image (self->job, index, image, path);
  return TRUE;
}

/* @x: of the batch. */
static gboolean
finish_pictures (Run          *self,
                 const float  *x,
                 GError      **error)
{
  const gboolean decodes = dimr_painter_get_macs (self->worker->painter) > 0;

  for (guint i = 0; i < self->n; i++)
    {
      const gint64 began = g_get_monotonic_time ();

      if (decodes)
        post_progress (self, self->request->n_steps, NULL, TRUE);
      if (!finish_picture (self, x + i * self->image_len, self->first + i, error))
        return FALSE;
      dimr_pace_add_picture (&self->pace, seconds_since (began));
    }
  return TRUE;
}

static gboolean
keep_trace (Run       *self,
            DimrWalk  *walk,
            guint      first,
            guint      n,
            guint     *updates,
            GError   **error)
{
  const double t = dimr_walk_get_time (walk);
  const float *x;

  dimr_trace_add_time (self->trace, first, t, dimr_schedule_condition (dimr_model_peek_schedule (self->model),
                                                                       dimr_model_peek_config (self->model)->time_condition, t));
  if (dimr_walk_get_n_updates (walk) == *updates)
    return TRUE;
  if (!dimr_walk_read_x (walk, &x, error))
    return FALSE;
  dimr_trace_add_x (self->trace, (*updates)++, first, n, x);
  return TRUE;
}

static gboolean
run_batch (Run     *self,
           guint    first,
           guint    n,
           GError **error)
{
  const DimrRequest *request = self->request;
  const DimrWalkSettings settings = {
    .sampler = request->sampler,
    .time_grid = request->time_grid,
    .options = request->options,
    .fill_noise = fill_step_noise,
    .noise_data = self,
    .n_steps = request->n_steps,
    .guidance = request->guidance,
    .skip_unconditional = request->skip_unconditional,
    .reuse_low_branches = request->reuse_low_branches,
  };
  g_autoptr (DimrWalk) walk = NULL;
  const float *x;
  guint updates = 0;

  self->first = first;
  self->n = n;
  fill_start (self, first, n);
  walk = dimr_walk_new (self->worker->denoiser, &settings, self->x, self->y, n, self->cancellable, error);
  if (walk == NULL)
    return FALSE;

  post_progress (self, 0, NULL, FALSE);
  while (dimr_walk_get_step (walk) < request->n_steps)
    {
      const gint64 began = g_get_monotonic_time ();
      const float *x0;

      if (!dimr_walk_advance (walk, self->cancellable, error))
        return FALSE;
      self->step_seconds = seconds_since (began);
      dimr_pace_add_steps (&self->pace, n, self->step_seconds);
      if (self->trace != NULL && !keep_trace (self, walk, first, n, &updates, error))
        return FALSE;
      if (!dimr_walk_poll_preview (walk, request->previews && dimr_job_wants_preview (self->job), &x0, error))
        return FALSE;
      post_progress (self, dimr_walk_get_step (walk), x0, FALSE);
      dimr_pace_add_steps (&self->pace, 0, seconds_since (began) - self->step_seconds); /* the preview's */
    }
  if (!dimr_walk_read_x (walk, &x, error))
    return FALSE;
  if (self->trace != NULL)
    dimr_trace_set_latent (self->trace, first, n, x);
  return finish_pictures (self, x, error);
}

static gboolean
allocate (Run     *self,
          guint    batch,
          GError **error)
{
  self->x = g_try_new (float, batch * self->image_len);
  self->y = g_new (int, batch);
  if (self->x != NULL)
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_MEMORY, ngettext ("There is not enough memory for a batch of %u picture; choose a smaller model",
                            "There is not enough memory for a batch of %u pictures; use a smaller one", batch), batch);
  return FALSE;
}

/* Images that advance together: whole micro-batches, so that none but the last is filled up; a single
 * one where the program keeps the lower branches' part, which is that of its images. */
static guint
choose_batch (Run *self)
{
  const guint m = self->device.micro_batch;
  const guint n_groups = self->request->reuse_low_branches > 1 ? 1 : (MIN (self->request->batch, self->n_images) + m - 1) / m;

  return MIN (n_groups * m, self->n_images);
}

/* Multiply-accumulates of finishing a picture, in those of a step of it. */
static double
compare_costs (Run *self)
{
  g_autofree DimrCost *cost = dimr_cost_new (dimr_model_peek_config (self->model), NULL);
  const double step = cost != NULL ? (double) cost->total.macs * (get_settings (self).guided ? 2 : 1) : 0;

  return step > 0 ? (double) dimr_painter_get_macs (self->worker->painter) / step : 0;
}

static gboolean
run_batches (Run     *self,
             GError **error)
{
  const DimrRequest *request = self->request;
  const guint batch = choose_batch (self);

  if (!prepare (self, error))
    return FALSE;
  self->image_len = dimr_denoiser_get_image_len (self->worker->denoiser);
  if (!allocate (self, batch, error))
    return FALSE;
  self->pace = (DimrPace){
    .n_steps = (guint64) self->n_images * request->n_steps,
    .n_pictures = self->n_images,
    .steps_a_picture = compare_costs (self),
  };
  if (request->trace)
    self->trace = dimr_trace_new (self->n_images, dimr_model_peek_config (self->model));
  for (guint first = 0; first < self->n_images; first += batch)
    if (!run_batch (self, first, MIN (batch, self->n_images - first), error))
      return FALSE;
  if (self->trace != NULL)
    dimr_job_post_trace (self->job, dimr_trace_steal_tensors (self->trace));
  return TRUE;
}

static void
run_clear (Run *self)
{
  g_clear_pointer (&self->trace, dimr_trace_free);
  g_clear_pointer (&self->x, g_free);
  g_clear_pointer (&self->y, g_free);
}

/* Where the memory does not suffice and the request left the micro-batch to the device: what fits, chosen
 * by planning before the first step. FALSE where nothing smaller does. The job says so, and its recipes do. */
static gboolean
choose_smaller_micro_batch (Run          *self,
                            const GError *error)
{
  const DimrDenoiserSettings settings = get_settings (self);
  g_autofree char *note = NULL;
  guint fits;

  if (!g_error_matches (error, DIMR_ERROR, DIMR_ERROR_MEMORY) || self->request->micro_batch > 0 ||
      self->pace.steps_done > 0)
    return FALSE;
  forget_denoiser (self->worker);
  fits = dimr_denoiser_find_micro_batch (self->model, self->worker->device, &settings);
  if (fits == 0)
    return FALSE;
  note = g_strdup_printf (ngettext ("The free memory of %s is enough for %u image per evaluation instead of %u.",
                                    "The free memory of %s is enough for %u images per evaluation instead of %u.", fits),
                          self->device.name, fits, dimr_device_get_micro_batch (self->worker->device));
  self->device.micro_batch = fits;
  dimr_job_post_device (self->job, &self->device, note);
  return TRUE;
}

static gboolean
run_job (Run     *self,
         GError **error)
{
  g_autoptr (GError) reason = NULL;

  while (!run_batches (self, &reason))
    {
      run_clear (self);
      if (!choose_smaller_micro_batch (self, reason))
        {
          g_propagate_error (error, g_steal_pointer (&reason));
          return FALSE;
        }
      g_clear_error (&reason);
    }
  return TRUE;
}

/* After a failure nothing of the network is trusted, and its memory is given back. */
static void
note_failure (DimrWorker   *self,
              const GError *error)
{
  forget_denoiser (self);
  if (g_error_matches (error, DIMR_ERROR, DIMR_ERROR_DEVICE_LOST) && self->lost == NULL)
    self->lost = g_error_copy (error);
}

const GError *
dimr_worker_peek_lost (DimrWorker *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->lost;
}

void
dimr_worker_run (DimrWorker *self,
                 DimrJob    *job)
{
  g_autoptr (GError) error = NULL;
  const DimrRequest *request = dimr_job_peek_request (job);
  Run run = {
    .worker = self,
    .job = job,
    .request = request,
    .model = dimr_job_get_model (job),
    .cancellable = dimr_job_get_cancellable (job),
    .device = {
      .name = dimr_device_get_name (self->device),
      .precision = request->precision != DIMR_PRECISION_AUTO ? request->precision
                                                             : dimr_device_get_default_precision (self->device),
      .micro_batch = request->micro_batch > 0 ? request->micro_batch : dimr_device_get_micro_batch (self->device),
    },
    .n_images = dimr_request_get_n_images (request),
    .began = g_get_monotonic_time (),
  };

  dimr_job_post_device (job, &run.device, dimr_painter_describe_missing (run.model));
  dimr_job_post_progress (job, &(DimrJobProgress){ .state = DIMR_JOB_RUNNING }, NULL);
  if (run_job (&run, &error))
    dimr_job_post_finished (job, DIMR_JOB_DONE, NULL);
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    dimr_job_post_finished (job, DIMR_JOB_CANCELLED, NULL);
  else
    {
      note_failure (self, error);
      dimr_job_post_finished (job, DIMR_JOB_FAILED, g_steal_pointer (&error));
    }
  run_clear (&run);
}
