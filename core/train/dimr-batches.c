/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-batches.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/base/dimr-rng.h"

#include <string.h>

/* Batches that are made ahead. */
#define DEPTH 4

typedef struct
{
  DimrTrainingBatch batch;
  float *x0;
  float *noise;
  double *t;
  gint32 *y;
  float *weight;
  guint64 step;
  gboolean ready;
} Slot;

struct _DimrBatches
{
  DimrDataset *dataset;
  DimrSchedule *schedule;
  DimrBatchesOptions options;
  gsize image_len;
  GThread **threads;

  GMutex lock;         /* for all below */
  GCond moved;
  Slot slots[DEPTH];   /* step % DEPTH */
  guint64 next;        /* the step that next() gives */
  guint64 claimed;     /* the step that a thread takes next */
  gboolean held;       /* the caller reads the slot of next − 1 */
  gboolean stop;
  GError *failure;     /* no picture can be read */
  GHashTable *bad;     /* pictures that were reported (indices + 1) */
  GPtrArray *errors;   /* not yet taken */
  double waited;
};

static double
unit (guint32 bits)
{
  return ((double) bits + 1) * 0x1p-32; /* (0, 1] */
}

/* A Feistel network over as many bits as n needs, walked until it comes out below n. */
guint64
dimr_batches_permute (guint64 seed,
                      guint64 epoch,
                      guint64 i,
                      guint64 n)
{
  guint half = 1;

  g_return_val_if_fail (i < n, 0);
  while (half < 31 && (guint64) 1 << 2 * half < n)
    half++;
  do
    {
      guint32 left = (guint32) (i >> half), right = (guint32) (i & (((guint64) 1 << half) - 1));

      for (guint32 round = 0; round < 4; round++)
        {
          guint32 words[4], swap = right;

          dimr_rng_words (seed, epoch & 0xffffffffffff, DIMR_STREAM_TRAINING_ORDER, right << 2 | round, words);
          right = (left ^ words[0]) & (((guint32) 1 << half) - 1);
          left = swap;
        }
      i = (guint64) left << half | right;
    }
  while (i >= n);
  return i;
}

static void
report (DimrBatches *self,
        guint64      item,
        GError      *problem)
{
  g_mutex_lock (&self->lock);
  if (g_hash_table_add (self->bad, g_memdup2 (&item, sizeof item)))
    g_ptr_array_add (self->errors, g_strdup (problem->message));
  g_mutex_unlock (&self->lock);
}

/* A picture that cannot be read is replaced by the next one that can: the same one every time. */
static gboolean
read_sample (DimrBatches  *self,
             guint64       item,
             guint64       sample,
             gboolean      mirrored,
             float        *x0,
             gint32       *y,
             GError      **error)
{
  const guint64 n = dimr_dataset_get_n (self->dataset);

  for (guint64 k = 0; k < n; k++)
    {
      const guint64 i = (item + k) % n;
      g_autoptr (GError) problem = NULL;

      if (dimr_dataset_read (self->dataset, i, sample, mirrored, x0, &problem))
        {
          *y = dimr_dataset_get_class (self->dataset, i);
          return TRUE;
        }
      report (self, i, problem);
      if (k + 1 == n)
        dimr_error_set (error, DIMR_ERROR_FORMAT, _("None of the %" PRIu64 " pictures can be read; the last problem: %s"),
                        n, problem->message);
    }
  return FALSE;
}

/* min (max (1/SNR, 1), most) */
static float
weight_at (DimrSchedule *schedule,
           double        t,
           double        most)
{
  const double alpha = dimr_schedule_alpha (schedule, t), sigma = dimr_schedule_sigma (schedule, t);

  return (float) CLAMP (sigma * sigma / MAX (alpha * alpha, 1e-12), 1, MAX (most, 1));
}

/* Pictures [C, side, side] by (dx, dy); what comes in from the sides is zero. */
static void
move (float *x0,
      guint  channels,
      int    side,
      int    dx,
      int    dy)
{
  const gsize length = (gsize) side * (gsize) side;
  g_autofree float *moved = g_new0 (float, length);
  const int first = MAX (dx, 0), n = side - ABS (dx);

  for (guint c = 0; c < channels; c++, x0 += length)
    {
      memset (moved, 0, length * sizeof (float));
      for (int y = MAX (dy, 0); y < MIN (side + dy, side); y++)
        memcpy (moved + y * side + first, x0 + (y - dy) * side + first - dx, (gsize) n * sizeof (float));
      memcpy (x0, moved, length * sizeof (float));
    }
}

/* The place of @value, which is there. */
static gint32
find_place (const int *values,
            guint      n,
            int        value)
{
  guint low = 0, high = n;

  while (high - low > 1)
    {
      const guint middle = (low + high) / 2;

      if (values[middle] <= value)
        low = middle;
      else
        high = middle;
    }
  return (gint32) low;
}

static gboolean
fill (DimrBatches  *self,
      Slot         *slot,
      guint64       step,
      GError      **error)
{
  const DimrBatchesOptions *o = &self->options;
  const guint64 n = dimr_dataset_get_n (self->dataset);
  const DimrScheduleKind kind = dimr_schedule_get_kind (self->schedule);
  const gboolean discrete = kind == DIMR_SCHEDULE_DISCRETE || kind == DIMR_SCHEDULE_DDPM;

  for (guint i = 0; i < o->count; i++)
    {
      const guint64 sample = step * o->batch + o->first + i, epoch = sample / n, place = sample % n;
      const guint64 item = o->shuffle ? dimr_batches_permute (o->seed, epoch, place, n) : place;
      guint32 draw[4];

      dimr_rng_words (o->seed, sample, DIMR_STREAM_TRAINING_DRAW, 0, draw);
      if (!read_sample (self, item, sample, o->flip && draw[0] & 1, slot->x0 + i * self->image_len, &slot->y[i], error))
        return FALSE;
      if (o->crop > 0)
        move (slot->x0 + i * self->image_len, o->channels, (int) o->side, (int) (draw[3] % (2 * o->crop + 1)) - (int) o->crop,
              (int) ((draw[3] >> 16) % (2 * o->crop + 1)) - (int) o->crop);
      if (o->classes != NULL)
        slot->y[i] = find_place (o->classes, o->n_classes, slot->y[i]);
      slot->weight[i] = 1;
      if (o->only_pictures)
        continue;
      if (o->null_class >= 0 && unit (draw[1]) <= o->drop_label)
        slot->y[i] = o->null_class;
      slot->t[i] = discrete ? (double) (1 + ((guint64) draw[2] * 1000 >> 32)) / 1000 : unit (draw[2]);
      slot->weight[i] = weight_at (self->schedule, slot->t[i], o->max_weight);
      dimr_rng_normal (o->seed, sample, DIMR_STREAM_TRAINING_NOISE, 0, slot->noise + i * self->image_len, self->image_len);
    }
  return TRUE;
}

static gpointer
work (gpointer data)
{
  DimrBatches *self = data;

  g_mutex_lock (&self->lock);
  while (!self->stop && self->failure == NULL)
    {
      GError *error = NULL;
      guint64 step = self->claimed;
      Slot *slot;
      gboolean ok;

      /* The slot of the batch that the caller still reads is not free. */
      if (step - self->next >= DEPTH - (guint) self->held)
        {
          g_cond_wait (&self->moved, &self->lock);
          continue;
        }
      self->claimed++;
      slot = &self->slots[step % DEPTH];
      g_mutex_unlock (&self->lock);
      ok = fill (self, slot, step, &error);
      g_mutex_lock (&self->lock);
      slot->step = step;
      slot->ready = ok;
      if (!ok && self->failure == NULL)
        self->failure = error;
      else
        g_clear_error (&error);
      g_cond_broadcast (&self->moved);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}

DimrBatches *
dimr_batches_new (DimrDataset              *dataset,
                  DimrSchedule             *schedule,
                  const DimrBatchesOptions *options,
                  guint64                   first_step)
{
  const guint n = options->count > 0 ? options->count : options->batch;
  DimrBatches *self;

  g_return_val_if_fail (options->first <= options->batch && n <= options->batch - options->first, NULL);

  self = g_new0 (DimrBatches, 1);
  self->dataset = dimr_dataset_ref (dataset);
  self->schedule = dimr_schedule_ref (schedule);
  self->options = *options;
  self->options.count = n;
  self->options.n_threads = MAX (options->n_threads, 1);
  self->image_len = (gsize) options->channels * options->side * options->side;
  self->next = self->claimed = first_step;
  self->bad = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  self->errors = g_ptr_array_new_with_free_func (g_free);
  g_mutex_init (&self->lock);
  g_cond_init (&self->moved);
  for (guint s = 0; s < DEPTH; s++)
    {
      Slot *slot = &self->slots[s];

      slot->x0 = g_new (float, n * self->image_len);
      slot->noise = options->only_pictures ? NULL : g_new (float, n * self->image_len);
      slot->t = g_new (double, n);
      slot->y = g_new (gint32, n);
      slot->weight = g_new (float, n);
      slot->batch = (DimrTrainingBatch){ n, slot->x0, slot->noise, slot->t, options->has_classes ? slot->y : NULL, slot->weight, options->batch };
    }
  self->threads = g_new0 (GThread *, self->options.n_threads);
  for (guint i = 0; i < self->options.n_threads; i++)
    self->threads[i] = g_thread_new ("dimr-data", work, self);
  return self;
}

void
dimr_batches_free (DimrBatches *self)
{
  g_return_if_fail (self != NULL);
  g_mutex_lock (&self->lock);
  self->stop = TRUE;
  g_cond_broadcast (&self->moved);
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < self->options.n_threads; i++)
    g_thread_join (self->threads[i]);
  g_free (self->threads);
  for (guint s = 0; s < DEPTH; s++)
    {
      g_free (self->slots[s].x0);
      g_free (self->slots[s].noise);
      g_free (self->slots[s].t);
      g_free (self->slots[s].y);
      g_free (self->slots[s].weight);
    }
  g_clear_error (&self->failure);
  g_hash_table_unref (self->bad);
  g_ptr_array_unref (self->errors);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->moved);
  dimr_dataset_unref (self->dataset);
  dimr_schedule_unref (self->schedule);
  g_free (self);
}

const DimrTrainingBatch *
dimr_batches_next (DimrBatches  *self,
                   GError      **error)
{
  const gint64 began = g_get_monotonic_time ();
  const DimrTrainingBatch *batch = NULL;
  Slot *slot;

  g_mutex_lock (&self->lock);
  if (self->held)
    {
      self->slots[(self->next - 1) % DEPTH].ready = FALSE;
      self->held = FALSE;
      g_cond_broadcast (&self->moved);
    }
  slot = &self->slots[self->next % DEPTH];
  while (!(slot->ready && slot->step == self->next) && self->failure == NULL)
    g_cond_wait (&self->moved, &self->lock);
  if (self->failure != NULL)
    g_propagate_error (error, g_error_copy (self->failure));
  else
    {
      batch = &slot->batch;
      self->held = TRUE;
      self->next++;
    }
  self->waited += (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC;
  g_mutex_unlock (&self->lock);
  return batch;
}

GPtrArray *
dimr_batches_take_errors (DimrBatches *self)
{
  GPtrArray *errors = NULL;

  g_mutex_lock (&self->lock);
  if (self->errors->len > 0)
    {
      errors = self->errors;
      self->errors = g_ptr_array_new_with_free_func (g_free);
    }
  g_mutex_unlock (&self->lock);
  return errors;
}

double
dimr_batches_get_waited (DimrBatches *self)
{
  double waited;

  g_mutex_lock (&self->lock);
  waited = self->waited;
  g_mutex_unlock (&self->lock);
  return waited;
}
