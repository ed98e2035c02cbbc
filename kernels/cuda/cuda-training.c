/* cuda-training.c — what training keeps, in device memory
 *
 * Arrays hold all parameters, each at a multiple of CUDA_TRAINING_ALIGNMENT numbers. Sums, norm and update are one
 * launch each over all of them, of pieces whose tables are made once; the update also writes the copies that the
 * network's kernels read, in whatever layout and precision. Only the norm, one number, comes to the host.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-training.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>

G_DEFINE_FINAL_TYPE (CudaTraining, cuda_training, DIMR_TYPE_DEVICE_TRAINING)

static void
cuda_training_init (CudaTraining *self)
{
}

static void
cuda_training_finalize (GObject *object)
{
  CudaTraining *self = CUDA_TRAINING (object);

  if (self->device != NULL && cuda_device_enter (self->device, NULL))
    (void) cudaStreamSynchronize (self->device->stream);
  g_clear_weak_pointer (&self->program);
  g_clear_pointer (&self->nccl, cuda_nccl_free);
  (void) cudaFree (self->arrays);
  (void) cudaFree (self->norm);
  (void) cudaFree (self->updates);
  (void) cudaFree (self->copies);
  (void) cudaFree (self->gradients);
  g_free (self->parameters);
  g_free (self->places);
  g_clear_pointer (&self->params, g_ptr_array_unref);
  g_clear_object (&self->device);
  G_OBJECT_CLASS (cuda_training_parent_class)->finalize (object);
}

float *
cuda_training_get_array (CudaTraining      *self,
                         DimrTrainingArray  array)
{
  guint place = array;

  /* Without an average the sums move up. */
  if (!self->has_average && array >= DIMR_TRAINING_AVERAGE)
    {
      g_return_val_if_fail (array != DIMR_TRAINING_AVERAGE, NULL);
      place--;
    }
  g_return_val_if_fail (array < DIMR_TRAINING_SUM + self->n_sums, NULL);
  return self->arrays + place * self->length;
}

/* ---- making ---- */

/* A table of the host, on the device (transfer full); one entry where there is none. */
static gpointer
upload_table (CudaTraining  *self,
              GArray        *table,
              GError       **error)
{
  const gsize size = table->len * g_array_get_element_size (table);
  gpointer data = cuda_device_alloc (self->device, size, _("Training"), error);

  if (data == NULL || cuda_staging_copy_in (self->device->staging, table->data, data, size, error))
    return data;
  (void) cudaFree (data);
  return NULL;
}

/* A parameter's forms on the device. */
typedef struct
{
  CudaTraining *training;
  GHashTable *indices;  /* name → index + 1 */
  GArray **forms;       /* [n_parameters] CudaUpdatePiece: what they are copied to, without numbers; NULL: none */
  GError *error;
} Forms;

static CudaCopyKind
copy_kind (CudaLayoutKind kind)
{
  switch (kind)
    {
    case CUDA_LAYOUT_F32: return CUDA_COPY_F32;
    case CUDA_LAYOUT_BF16: return CUDA_COPY_BF16;
    case CUDA_LAYOUT_DEPTHWISE: return CUDA_COPY_DEPTHWISE;
    case CUDA_LAYOUT_DEPTHWISE_FLIPPED: return CUDA_COPY_DEPTHWISE_FLIPPED;
    case CUDA_LAYOUT_IMAGE_CONV: return CUDA_COPY_IMAGE_CONV;
    case CUDA_LAYOUT_IMAGE_CONV_BF16: return CUDA_COPY_IMAGE_CONV_BF16;
    default: return CUDA_COPY_NONE;
    }
}

static void
add_form (CudaParam        *param,
          const char       *name,
          const CudaLayout *layout,
          gpointer          to,
          gpointer          data)
{
  Forms *self = data;
  const guint index = GPOINTER_TO_UINT (g_hash_table_lookup (self->indices, name));
  const CudaCopyKind kind = copy_kind (layout->kind);
  const gsize size = kind == CUDA_COPY_BF16 ? 2 : 4;
  CudaUpdatePiece form = { .copy = kind, .to = to, .aligned = (gsize) to % (4 * size) == 0 };

  if (index == 0)
    return;
  if (kind == CUDA_COPY_NONE && self->error == NULL)
    {
      dimr_error_set (&self->error, DIMR_ERROR_UNSUPPORTED, _("The parameter '%s' cannot be trained in the form that it has here"), name);
      return;
    }
  if (layout->taps > 0)
    {
      form.rows = (int) layout->n;
      form.taps = (int) layout->taps;
      form.depth = (int) (layout->n_elements / (layout->n * layout->taps));
    }
  if (self->forms[index - 1] == NULL)
    self->forms[index - 1] = g_array_new (FALSE, FALSE, sizeof (CudaUpdatePiece));
  g_array_append_val (self->forms[index - 1], form);
  g_ptr_array_add (self->training->params, cuda_param_ref (param));
}

/* The parameter @i as pieces of @form. */
static void
add_pieces (CudaTraining           *self,
            guint                   i,
            const CudaUpdatePiece  *form,
            GArray                 *table)
{
  const DimrTrainingParameter *parameter = &self->parameters[i];

  for (gsize first = 0; first < parameter->n; first += CUDA_TRAINING_PIECE)
    {
      CudaUpdatePiece piece = form != NULL ? *form : (CudaUpdatePiece){ .copy = CUDA_COPY_NONE };

      piece.at = self->places[i] + first;
      piece.first = first;
      piece.n = (int) MIN (CUDA_TRAINING_PIECE, parameter->n - first);
      piece.learns = parameter->learns;
      piece.decays = parameter->decays;
      g_array_append_val (table, piece);
    }
}

/* The update writes the first form of every parameter; what has more is copied after it. */
static gboolean
make_tables (CudaTraining  *self,
             DimrWeights   *weights,
             GError       **error)
{
  g_autoptr (GHashTable) indices = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GArray) updates = g_array_new (FALSE, FALSE, sizeof (CudaUpdatePiece));
  g_autoptr (GArray) copies = g_array_new (FALSE, FALSE, sizeof (CudaUpdatePiece));
  Forms forms = { self, indices, g_new0 (GArray *, self->n_parameters + 1), NULL };

  for (guint i = 0; i < self->n_parameters; i++)
    g_hash_table_insert (indices, (gpointer) self->parameters[i].name, GUINT_TO_POINTER (i + 1));
  cuda_params_foreach (self->device->params, weights, add_form, &forms);
  for (guint i = 0; i < self->n_parameters; i++)
    {
      const GArray *own = forms.forms[i];

      add_pieces (self, i, own != NULL ? &g_array_index (own, CudaUpdatePiece, 0) : NULL, updates);
      for (guint k = 1; own != NULL && k < own->len; k++)
        if (self->parameters[i].learns)
          add_pieces (self, i, &g_array_index (own, CudaUpdatePiece, k), copies);
      g_clear_pointer (&forms.forms[i], g_array_unref);
    }
  g_free (forms.forms);
  if (forms.error != NULL)
    {
      g_propagate_error (error, forms.error);
      return FALSE;
    }
  self->n_updates = updates->len;
  self->n_copies = copies->len;
  self->updates = upload_table (self, updates, error);
  self->copies = self->updates != NULL ? upload_table (self, copies, error) : NULL;
  return self->copies != NULL;
}

static void
lay_out (CudaTraining           *self,
         const DimrTrainingSpec *spec)
{
  self->n_parameters = spec->n_parameters;
  self->n_sums = MAX (spec->n_sums, 1);
  self->has_average = spec->average;
  self->parameters = g_memdup2 (spec->parameters, spec->n_parameters * sizeof *spec->parameters);
  self->places = g_new (gsize, spec->n_parameters + 1);
  for (guint i = 0; i < spec->n_parameters; i++)
    {
      self->places[i] = self->length;
      self->length += (spec->parameters[i].n + CUDA_TRAINING_ALIGNMENT - 1) / CUDA_TRAINING_ALIGNMENT * CUDA_TRAINING_ALIGNMENT;
    }
}

DimrDeviceTraining *
cuda_training_new (CudaDevice              *device,
                   const DimrTrainingSpec  *spec,
                   GError                 **error)
{
  g_autoptr (CudaTraining) self = g_object_new (CUDA_TYPE_TRAINING, NULL);
  guint64 size;
  guint n_arrays;

  self->device = g_object_ref (device);
  self->params = g_ptr_array_new_with_free_func ((GDestroyNotify) cuda_param_unref);
  lay_out (self, spec);
  n_arrays = DIMR_TRAINING_SUM - (self->has_average ? 0 : 1) + self->n_sums;
  if (!cuda_device_enter (device, error))
    return NULL;
  size = (guint64) n_arrays * self->length * sizeof (float);
  self->arrays = cuda_device_alloc (device, size, _("Weights, moments and gradients in training"), error);
  self->norm = self->arrays != NULL ? cuda_device_alloc (device, cuda_training_norm_doubles () * sizeof (double), _("Training"), error) : NULL;
  if (self->norm == NULL || !cuda_device_check (device, cudaMemsetAsync (self->arrays, 0, size, device->stream), error) ||
      !make_tables (self, spec->weights, error))
    return NULL;
  /* Names belong to the caller. */
  for (guint i = 0; i < self->n_parameters; i++)
    self->parameters[i].name = NULL;
  return DIMR_DEVICE_TRAINING (g_steal_pointer (&self));
}

/* ---- a step ---- */

/* The gradients of @program as pieces; those of the program before are forgotten. */
static gboolean
find_gradients (CudaTraining      *self,
                DimrProgram       *program,
                const DimrNodeId  *gradients,
                GError           **error)
{
  g_autoptr (GArray) table = NULL;

  if (self->program == program)
    return TRUE;
  table = g_array_new (FALSE, FALSE, sizeof (CudaGradientPiece));
  for (guint i = 0; i < self->n_parameters; i++)
    {
      DimrDType storage;
      const guint8 *from = gradients[i] != DIMR_NODE_NONE ? cuda_program_peek (CUDA_PROGRAM (program), gradients[i], &storage) : NULL;

      for (gsize first = 0; from != NULL && first < self->parameters[i].n; first += CUDA_TRAINING_PIECE)
        {
          const CudaGradientPiece piece = {
            .from = from + first * dimr_dtype_size (storage),
            .type = storage == DIMR_DTYPE_BF16 ? CUDA_TYPE_BF16 : CUDA_TYPE_F32,
            .n = (int) MIN (CUDA_TRAINING_PIECE, self->parameters[i].n - first),
            .at = self->places[i] + first,
          };

          g_array_append_val (table, piece);
        }
    }
  g_clear_weak_pointer (&self->program);
  (void) cudaFree (self->gradients);
  self->gradients = upload_table (self, table, error);
  if (self->gradients == NULL)
    return FALSE;
  self->n_gradients = table->len;
  g_set_weak_pointer (&self->program, program);
  return TRUE;
}

static gboolean
cuda_training_add_outputs (DimrDeviceTraining  *training,
                           DimrProgram         *program,
                           const DimrNodeId    *gradients,
                           guint                depth,
                           gboolean             first,
                           GError             **error)
{
  CudaTraining *self = CUDA_TRAINING (training);

  return cuda_device_enter (self->device, error) && find_gradients (self, program, gradients, error) &&
         cuda_device_check (self->device, cuda_training_add (self->device->stream, self->gradients, (int) self->n_gradients,
                                                             cuda_training_get_array (self, DIMR_TRAINING_SUM + depth), first), error);
}

static gboolean
cuda_training_merge_sums (DimrDeviceTraining  *training,
                          guint                depth,
                          GError             **error)
{
  CudaTraining *self = CUDA_TRAINING (training);

  return cuda_device_enter (self->device, error) &&
         cuda_device_check (self->device, cuda_training_merge (self->device->stream, cuda_training_get_array (self, DIMR_TRAINING_SUM + depth),
                                                               cuda_training_get_array (self, DIMR_TRAINING_SUM + depth + 1), self->length), error);
}

static gboolean
cuda_training_measure (DimrDeviceTraining  *training,
                       double              *norm,
                       GError             **error)
{
  CudaTraining *self = CUDA_TRAINING (training);
  const cudaStream_t stream = self->device->stream;

  return cuda_device_enter (self->device, error) &&
         cuda_device_check (self->device, cuda_training_norm (stream, cuda_training_get_array (self, DIMR_TRAINING_SUM), self->length,
                                                              self->norm), error) &&
         cuda_device_check (self->device, cudaMemcpyAsync (norm, self->norm, sizeof *norm, cudaMemcpyDeviceToHost, stream), error) &&
         cuda_device_check (self->device, cudaStreamSynchronize (stream), error);
}

static gboolean
cuda_training_learn (DimrDeviceTraining        *training,
                     const DimrTrainingUpdate  *update,
                     GError                   **error)
{
  CudaTraining *self = CUDA_TRAINING (training);
  float *values = cuda_training_get_array (self, DIMR_TRAINING_VALUES);
  const cudaStream_t stream = self->device->stream;
  const CudaUpdate numbers = {
    update->keep, update->beta1, update->beta2, update->rate, update->correction, update->eps, update->scale,
    update->average_keep, update->average_take,
  };

  return cuda_device_enter (self->device, error) &&
         cuda_device_check (self->device,
                            cuda_training_update (stream, self->updates, (int) self->n_updates, &numbers,
                                                  cuda_training_get_array (self, DIMR_TRAINING_SUM), values,
                                                  cuda_training_get_array (self, DIMR_TRAINING_M),
                                                  cuda_training_get_array (self, DIMR_TRAINING_V),
                                                  self->has_average ? cuda_training_get_array (self, DIMR_TRAINING_AVERAGE) : NULL), error) &&
         cuda_device_check (self->device, cuda_training_copy (stream, self->copies, (int) self->n_copies, values), error);
}

static gboolean
cuda_training_read (DimrDeviceTraining  *training,
                    DimrTrainingArray    array,
                    float               *data,
                    GError             **error)
{
  CudaTraining *self = CUDA_TRAINING (training);
  const float *from = cuda_training_get_array (self, array);

  if (!cuda_device_enter (self->device, error))
    return FALSE;
  for (guint i = 0; i < self->n_parameters; i++)
    if (!cuda_staging_download (self->device->staging, from + self->places[i], DIMR_DTYPE_F32, self->parameters[i].n,
                                data + self->parameters[i].first, error))
      return FALSE;
  return TRUE;
}

static gboolean
cuda_training_write (DimrDeviceTraining  *training,
                     DimrTrainingArray    array,
                     const float         *data,
                     GError             **error)
{
  CudaTraining *self = CUDA_TRAINING (training);
  float *to = cuda_training_get_array (self, array);

  if (!cuda_device_enter (self->device, error))
    return FALSE;
  for (guint i = 0; i < self->n_parameters; i++)
    if (!cuda_staging_copy_in (self->device->staging, data + self->parameters[i].first, to + self->places[i],
                               self->parameters[i].n * sizeof (float), error))
      return FALSE;
  return array != DIMR_TRAINING_VALUES ||
         (cuda_device_check (self->device, cuda_training_copy (self->device->stream, self->updates, (int) self->n_updates, to), error) &&
          cuda_device_check (self->device, cuda_training_copy (self->device->stream, self->copies, (int) self->n_copies, to), error));
}

static gboolean
cuda_training_join (DimrDeviceTraining  *training,
                    DimrCollective      *group,
                    GCancellable        *cancellable,
                    GError             **error)
{
  CudaTraining *self = CUDA_TRAINING (training);

  g_clear_pointer (&self->nccl, cuda_nccl_free);
  self->nccl = cuda_nccl_new (self->device, group, cancellable, error);
  return self->nccl != NULL;
}

static gboolean
cuda_training_sum (DimrDeviceTraining  *training,
                   guint64              n_leaves,
                   GCancellable        *cancellable,
                   GError             **error)
{
  CudaTraining *self = CUDA_TRAINING (training);

  g_return_val_if_fail (self->nccl != NULL, FALSE);
  return cuda_device_enter (self->device, error) &&
         cuda_nccl_sum (self->nccl, n_leaves, cuda_training_get_array (self, DIMR_TRAINING_SUM), self->length, cancellable, error);
}

static void
cuda_training_class_init (CudaTrainingClass *klass)
{
  DimrDeviceTrainingClass *training_class = DIMR_DEVICE_TRAINING_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cuda_training_finalize;
  training_class->add = cuda_training_add_outputs;
  training_class->merge = cuda_training_merge_sums;
  training_class->norm = cuda_training_measure;
  training_class->update = cuda_training_learn;
  training_class->read = cuda_training_read;
  training_class->write = cuda_training_write;
  training_class->join = cuda_training_join;
  training_class->sum = cuda_training_sum;
}
