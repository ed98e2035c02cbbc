/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-job.h"

#include "core/classes/dimr-classes.h"
#include "core/engine/dimr-job-private.h"

#include "config.h"

enum { PROP_0, PROP_STATE, PROP_FRACTION, N_PROPS };
enum { CHANGED, IMAGE_DONE, FINISHED, N_SIGNALS };

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

/* One picture as either side knows it. */
typedef struct
{
  DimrImage *image;
  char *path;
  gboolean done;
} Picture;

/* Invariants: `progress` and `pictures` belong to the main context; everything named `posted` is
 * under `lock`; request, model and cancellable never change. */
struct _DimrJob
{
  GObject parent_instance;
  DimrRequest *request;
  DimrModel *model;
  GCancellable *cancellable;
  GMainContext *context;
  guint n_images;

  DimrJobProgress progress;
  Picture *pictures; /* [n_images] */
  guint n_done;
  DimrJobDevice device; /* its name is owned; NULL until known */
  char *note;
  GError *error;
  GHashTable *trace;

  GMutex lock;
  DimrJobProgress posted;
  Picture *posted_pictures; /* [n_images]: news only; image is NULL where there are none */
  guint posted_begin, posted_end; /* news lie within; equal where there are none */
  DimrJobDevice posted_device; /* likewise; NULL where there are no news */
  char *posted_note;
  GError *posted_error;
  GHashTable *posted_trace;
  gboolean pending; /* an idle is on its way */
};

G_DEFINE_FINAL_TYPE (DimrJob, dimr_job, G_TYPE_OBJECT)

static void
picture_clear (Picture *picture)
{
  g_clear_pointer (&picture->image, dimr_image_unref);
  g_clear_pointer (&picture->path, g_free);
}

static void
pictures_free (Picture *pictures,
               guint    n)
{
  for (guint i = 0; i < n; i++)
    picture_clear (&pictures[i]);
  g_free (pictures);
}

static void
dimr_job_finalize (GObject *object)
{
  DimrJob *self = DIMR_JOB (object);

  pictures_free (self->pictures, self->n_images);
  pictures_free (self->posted_pictures, self->n_images);
  g_clear_pointer (&self->request, dimr_request_free);
  g_clear_object (&self->model);
  g_clear_object (&self->cancellable);
  g_clear_pointer (&self->context, g_main_context_unref);
  g_clear_pointer (&self->trace, g_hash_table_unref);
  g_clear_pointer (&self->posted_trace, g_hash_table_unref);
  g_clear_error (&self->error);
  g_clear_error (&self->posted_error);
  g_free ((char *) self->device.name);
  g_free ((char *) self->posted_device.name);
  g_free (self->note);
  g_free (self->posted_note);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (dimr_job_parent_class)->finalize (object);
}

static void
dimr_job_get_property (GObject    *object,
                       guint       prop_id,
                       GValue     *value,
                       GParamSpec *pspec)
{
  DimrJob *self = DIMR_JOB (object);

  switch (prop_id)
    {
    case PROP_STATE: g_value_set_int (value, self->progress.state); break;
    case PROP_FRACTION: g_value_set_double (value, self->progress.fraction); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
dimr_job_class_init (DimrJobClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->finalize = dimr_job_finalize;
  object_class->get_property = dimr_job_get_property;
  properties[PROP_STATE] = g_param_spec_int ("state", NULL, NULL, 0, DIMR_JOB_CANCELLED, 0, flags);
  properties[PROP_FRACTION] = g_param_spec_double ("fraction", NULL, NULL, 0, 1, 0, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);
  signals[CHANGED] = g_signal_new ("changed", DIMR_TYPE_JOB, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[IMAGE_DONE] = g_signal_new ("image-done", DIMR_TYPE_JOB, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                      G_TYPE_NONE, 1, G_TYPE_UINT);
  signals[FINISHED] = g_signal_new ("finished", DIMR_TYPE_JOB, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
dimr_job_init (DimrJob *self)
{
  g_mutex_init (&self->lock);
  self->cancellable = g_cancellable_new ();
}

DimrJob *
dimr_job_new (DimrModel         *model,
              const DimrRequest *request,
              GMainContext      *context)
{
  DimrJob *self = g_object_new (DIMR_TYPE_JOB, NULL);

  self->model = g_object_ref (model);
  self->request = dimr_request_copy (request);
  self->context = g_main_context_ref (context);
  self->n_images = dimr_request_get_n_images (request);
  self->pictures = g_new0 (Picture, self->n_images);
  self->posted_pictures = g_new0 (Picture, self->n_images);
  return self;
}

/* Takes the news over; returns the indices of pictures that became final, or NULL. */
static GArray *
take_news (DimrJob *self)
{
  GArray *done = NULL;

  g_mutex_lock (&self->lock);
  self->pending = FALSE;
  self->progress = self->posted;
  for (guint i = self->posted_begin; i < self->posted_end; i++)
    {
      Picture *news = &self->posted_pictures[i];

      if (news->image == NULL)
        continue;
      picture_clear (&self->pictures[i]);
      self->pictures[i] = *news;
      *news = (Picture){ 0 };
      if (!self->pictures[i].done)
        continue;
      if (done == NULL)
        done = g_array_new (FALSE, FALSE, sizeof (guint));
      g_array_append_val (done, i);
    }
  self->posted_begin = self->posted_end = 0;
  if (self->posted_device.name != NULL)
    {
      g_free ((char *) self->device.name);
      self->device = self->posted_device;
      self->posted_device.name = NULL;
      g_free (self->note);
      self->note = g_steal_pointer (&self->posted_note);
    }
  if (self->posted_error != NULL)
    self->error = g_steal_pointer (&self->posted_error);
  if (self->posted_trace != NULL)
    self->trace = g_steal_pointer (&self->posted_trace);
  g_mutex_unlock (&self->lock);
  return done;
}

static gboolean
announce (gpointer data)
{
  DimrJob *self = data;
  const DimrJobState before = self->progress.state;
  const double fraction = self->progress.fraction;
  g_autoptr (GArray) done = NULL;

  if (dimr_job_is_finished (self))
    return G_SOURCE_REMOVE;
  done = take_news (self);
  self->n_done += done != NULL ? done->len : 0;
  if (self->progress.state != before)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATE]);
  if (self->progress.fraction != fraction)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_FRACTION]);
  g_signal_emit (self, signals[CHANGED], 0);
  for (guint i = 0; done != NULL && i < done->len; i++)
    g_signal_emit (self, signals[IMAGE_DONE], 0, g_array_index (done, guint, i));
  if (dimr_job_is_finished (self))
    g_signal_emit (self, signals[FINISHED], 0);
  return G_SOURCE_REMOVE;
}

/* Called with the lock held. Lower than redrawing, so that a busy worker cannot starve the screen. */
static void
schedule (DimrJob *self)
{
  g_autoptr (GSource) source = NULL;

  if (self->pending)
    return;
  self->pending = TRUE;
  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT_IDLE);
  g_source_set_callback (source, announce, g_object_ref (self), g_object_unref);
  g_source_set_static_name (source, "[dimr] job news");
  g_source_attach (source, self->context);
}

/* Called with the lock held. */
static void
post_picture (DimrJob    *self,
              guint       index,
              DimrImage  *image,
              const char *path,
              gboolean    done)
{
  Picture *news = &self->posted_pictures[index];

  picture_clear (news);
  *news = (Picture){ dimr_image_ref (image), g_strdup (path), done };
  if (self->posted_begin == self->posted_end)
    self->posted_begin = index;
  self->posted_begin = MIN (self->posted_begin, index);
  self->posted_end = MAX (self->posted_end, index + 1);
}

void
dimr_job_post_progress (DimrJob               *self,
                        const DimrJobProgress *progress,
                        DimrImage * const     *previews)
{
  g_return_if_fail (progress->first + progress->n <= self->n_images);

  g_mutex_lock (&self->lock);
  self->posted = *progress;
  for (guint i = 0; previews != NULL && i < progress->n; i++)
    post_picture (self, progress->first + i, previews[i], NULL, FALSE);
  schedule (self);
  g_mutex_unlock (&self->lock);
}

gboolean
dimr_job_wants_preview (DimrJob *self)
{
  gboolean pending;

  g_mutex_lock (&self->lock);
  pending = self->pending;
  g_mutex_unlock (&self->lock);
  return !pending;
}

void
dimr_job_post_image (DimrJob    *self,
                     guint       index,
                     DimrImage  *image,
                     const char *path)
{
  g_return_if_fail (index < self->n_images);

  g_mutex_lock (&self->lock);
  post_picture (self, index, image, path, TRUE);
  schedule (self);
  g_mutex_unlock (&self->lock);
}

void
dimr_job_post_trace (DimrJob    *self,
                     GHashTable *trace)
{
  g_mutex_lock (&self->lock);
  g_clear_pointer (&self->posted_trace, g_hash_table_unref);
  self->posted_trace = trace;
  g_mutex_unlock (&self->lock);
}

void
dimr_job_post_device (DimrJob             *self,
                      const DimrJobDevice *device,
                      const char          *note)
{
  g_mutex_lock (&self->lock);
  g_free ((char *) self->posted_device.name);
  self->posted_device = *device;
  self->posted_device.name = g_strdup (device->name);
  g_free (self->posted_note);
  self->posted_note = g_strdup (note);
  g_mutex_unlock (&self->lock);
}

void
dimr_job_post_finished (DimrJob      *self,
                        DimrJobState  state,
                        GError       *error)
{
  g_mutex_lock (&self->lock);
  self->posted.state = state;
  if (state == DIMR_JOB_DONE)
    {
      self->posted.fraction = 1;
      self->posted.seconds_left = 0;
    }
  g_clear_error (&self->posted_error);
  self->posted_error = error;
  schedule (self);
  g_mutex_unlock (&self->lock);
}

DimrModel *
dimr_job_get_model (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), NULL);
  return self->model;
}

GCancellable *
dimr_job_get_cancellable (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), NULL);
  return self->cancellable;
}

DimrRecipe *
dimr_job_make_recipe (DimrJob             *self,
                      guint                index,
                      const DimrJobDevice *device,
                      const char          *model_hash)
{
  const DimrRequest *request = self->request;
  DimrRecipe *recipe = dimr_recipe_new ();
  gboolean conditional = dimr_model_is_conditional (self->model);
  DimrAutoencoder *autoencoder = dimr_model_get_autoencoder (self->model);
  const DimrClass *info;

  recipe->model_name = g_strdup (dimr_model_get_name (self->model));
  recipe->model_hash = g_strdup (model_hash);
  if (autoencoder != NULL)
    {
      recipe->autoencoder_name = g_filename_display_basename (dimr_autoencoder_get_path (autoencoder));
      recipe->autoencoder_hash = g_strdup (dimr_model_get_autoencoder_hash (self->model));
    }
  recipe->class_index = conditional ? request->classes[index / request->count] : DIMR_CLASS_NONE;
  info = recipe->class_index != DIMR_CLASS_NONE ? dimr_classes_get (recipe->class_index) : NULL;
  recipe->class_name = g_strdup (info != NULL ? info->name : NULL);
  recipe->seed = request->seed;
  recipe->image_index = request->first_index + index;
  recipe->n_steps = request->n_steps;
  recipe->sampler = request->sampler;
  recipe->time_grid = request->time_grid;
  recipe->options = request->options;
  recipe->own_noise = request->noise != NULL || request->noises != NULL;
  recipe->guidance = request->guidance;
  recipe->precision = device->name != NULL ? device->precision : request->precision;
  recipe->micro_batch = device->name != NULL ? device->micro_batch : MAX (request->micro_batch, 1);
  recipe->skip_unconditional = request->skip_unconditional;
  recipe->reuse_low_branches = request->reuse_low_branches > 1 ? request->reuse_low_branches : 0;
  recipe->device = g_strdup (device->name);
  recipe->width = recipe->height = dimr_model_get_image_size (self->model);
  recipe->version = g_strdup (DIMR_VERSION);
  return recipe;
}

DimrJobState
dimr_job_get_state (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), DIMR_JOB_FAILED);
  return self->progress.state;
}

const DimrRequest *
dimr_job_peek_request (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), NULL);
  return self->request;
}

gboolean
dimr_job_is_finished (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), TRUE);
  return self->progress.state >= DIMR_JOB_DONE;
}

double
dimr_job_get_fraction (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), 0);
  return self->progress.fraction;
}

guint
dimr_job_get_n_images (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), 0);
  return self->n_images;
}

guint
dimr_job_get_n_images_done (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), 0);
  return self->n_done;
}

gboolean
dimr_job_is_decoding (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), FALSE);
  return self->progress.decoding;
}

guint
dimr_job_get_step (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), 0);
  return self->progress.step;
}

guint
dimr_job_get_n_steps (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), 0);
  return self->request->n_steps;
}

void
dimr_job_get_batch (DimrJob *self,
                    guint   *first,
                    guint   *n)
{
  g_return_if_fail (DIMR_IS_JOB (self) && first != NULL && n != NULL);
  *first = self->progress.first;
  *n = self->progress.n;
}

double
dimr_job_get_seconds_per_step (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), 0);
  return self->progress.seconds_per_step;
}

double
dimr_job_get_seconds_left (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), 0);
  return self->progress.seconds_left;
}

double
dimr_job_get_seconds_elapsed (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), 0);
  return self->progress.seconds_elapsed;
}

DimrImage *
dimr_job_peek_image (DimrJob *self,
                     guint    index)
{
  g_return_val_if_fail (DIMR_IS_JOB (self) && index < self->n_images, NULL);
  return self->pictures[index].image;
}

void
dimr_job_drop_image (DimrJob *self,
                     guint    index)
{
  g_return_if_fail (DIMR_IS_JOB (self) && index < self->n_images && self->pictures[index].done);
  g_clear_pointer (&self->pictures[index].image, dimr_image_unref);
}

gboolean
dimr_job_is_image_done (DimrJob *self,
                        guint    index)
{
  g_return_val_if_fail (DIMR_IS_JOB (self) && index < self->n_images, FALSE);
  return self->pictures[index].done;
}

DimrRecipe *
dimr_job_dup_recipe (DimrJob *self,
                     guint    index)
{
  g_return_val_if_fail (DIMR_IS_JOB (self) && index < self->n_images, NULL);
  return dimr_job_make_recipe (self, index, &self->device, dimr_model_get_hash (self->model));
}

const char *
dimr_job_peek_path (DimrJob *self,
                    guint    index)
{
  g_return_val_if_fail (DIMR_IS_JOB (self) && index < self->n_images, NULL);
  return self->pictures[index].path;
}

const GError *
dimr_job_peek_error (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), NULL);
  return self->error;
}

const char *
dimr_job_peek_note (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), NULL);
  return self->note;
}

GHashTable *
dimr_job_peek_trace (DimrJob *self)
{
  g_return_val_if_fail (DIMR_IS_JOB (self), NULL);
  return self->trace;
}
