/* cuda-device.c — one NVIDIA GPU as a device
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-training.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

/* bfloat16 on tensor cores begins with compute capability 8.0. */
#define BF16_CAPABILITY 80
/* Products of e4m3 with a scale for each row are cuBLASLt's from 12.9 on, and for this generation: what came
 * after it scales by blocks. */
#define F8_GENERATION 9
/* Images that one evaluation computes together: enough rows to fill the device, few enough for a cancel
 * and a preview to come soon. Part of what makes a picture's bytes. */
#define MICRO_BATCH 4
/* Scratch memory for matrices that are made piece by piece: enough rows for a product to fill the device,
 * and little beside the maps of a picture. */
#define CHUNK ((gsize) 64 << 20)

/* How the residual stream, and its gradient, lie in memory in bfloat16 precision: what products, convolutions and
 * skips add up from block to block. */
#define RESIDUAL_STREAM DIMR_DTYPE_BF16

G_DEFINE_FINAL_TYPE (CudaDevice, cuda_device, DIMR_TYPE_DEVICE)

static void
cuda_device_init (CudaDevice *self)
{
}

static void
cuda_device_finalize (GObject *object)
{
  CudaDevice *self = CUDA_DEVICE (object);

  (void) cudaSetDevice (self->index);
  if (self->stream != NULL)
    (void) cudaStreamSynchronize (self->stream);
  g_clear_pointer (&self->products, cuda_products_free);
  g_clear_pointer (&self->params, cuda_params_free);
  g_clear_pointer (&self->staging, cuda_staging_free);
  if (self->lt != NULL)
    (void) cublasLtDestroy (self->lt);
  if (self->copy_stream != NULL)
    (void) cudaStreamDestroy (self->copy_stream);
  if (self->stream != NULL)
    (void) cudaStreamDestroy (self->stream);
  g_free (self->name);
  G_OBJECT_CLASS (cuda_device_parent_class)->finalize (object);
}

/* TRUE for what a block adds its result to, and for the sums themselves. */
static gboolean
is_residual_stream (const DimrNode *node)
{
  switch (node->op)
    {
    case DIMR_OP_ADD:
    case DIMR_OP_GATED_ADD:
      return TRUE;
    case DIMR_OP_LINEAR:
      return node->inputs[2] != DIMR_NODE_NONE || node->n_inputs > 4;
    case DIMR_OP_DEPTHWISE_CONV:
    case DIMR_OP_CONV2D:
      return node->inputs[3] != DIMR_NODE_NONE;
    default:
      return FALSE;
    }
}

/* Whether the inputs of @slots are all stored as float. */
static gboolean
are_float (const DimrGraph *graph,
           const DimrNode  *node,
           guint            slots,
           DimrPrecision    precision)
{
  for (guint i = 0; i < node->n_inputs; i++)
    if ((slots & CUDA_SLOT (i)) && cuda_storage (graph, node->inputs[i], precision) != DIMR_DTYPE_F32)
      return FALSE;
  return TRUE;
}

DimrDType
cuda_storage (const DimrGraph *graph,
              DimrNodeId       id,
              DimrPrecision    precision)
{
  const DimrNode *node = dimr_graph_peek_node (graph, id);
  const CudaOp *op;

  while (node->op == DIMR_OP_RESHAPE)
    node = dimr_graph_peek_node (graph, node->inputs[0]);
  op = cuda_op_get (node->op);
  /* No row: an input, a parameter, or what supports() refuses. */
  if (precision == DIMR_PRECISION_F32 || node->dtype != DIMR_DTYPE_F32 || op == NULL ||
      (op->wide & CUDA_SLOT (CUDA_SLOT_RESULT)))
    return node->dtype;
  if (op->follows && are_float (graph, node, op->as_stored, precision))
    return DIMR_DTYPE_F32;
  return is_residual_stream (node) ? RESIDUAL_STREAM : DIMR_DTYPE_BF16;
}

static DimrDType
cuda_device_get_storage (DimrDevice      *device,
                         const DimrGraph *graph,
                         DimrNodeId       id,
                         DimrPrecision    precision)
{
  return cuda_storage (graph, id, precision);
}

/* Kernels count in 32-bit integers. */
static gboolean
is_countable (const DimrGraph *graph,
              const DimrNode  *node)
{
  gboolean small = dimr_shape_n_elements (&node->shape) <= G_MAXINT;

  for (guint i = 0; i < node->n_inputs; i++)
    if (node->inputs[i] != DIMR_NODE_NONE)
      small &= dimr_shape_n_elements (&cuda_input (graph, node, i)->shape) <= G_MAXINT;
  return small;
}

static gboolean
cuda_device_check_precision (DimrDevice     *device,
                             DimrPrecision   precision,
                             GError        **error)
{
  const CudaDevice *self = CUDA_DEVICE (device);
  const int major = self->capability / 10, minor = self->capability % 10;
  const guint blas = cuda_products_get_version ();

  if (precision == DIMR_PRECISION_BF16 && self->capability < BF16_CAPABILITY)
    {
      dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                      _("%s has no bfloat16 (its compute capability is %d.%d, and that begins with 8.0); use --precision f32"),
                      self->name, major, minor);
      return FALSE;
    }
  if (precision == DIMR_PRECISION_F8 && (major != F8_GENERATION || blas < CUDA_F8_BLAS))
    {
      dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                      _("%s has no products in float8 here, which take compute capability 9 (this is %d.%d) and cuBLASLt 12.9 "
                        "or newer (this is %u.%u); use --precision %s"),
                      self->name, major, minor, blas / 10000, blas / 100 % 100,
                      self->capability < BF16_CAPABILITY ? "f32" : "bf16");
      return FALSE;
    }
  return TRUE;
}

static gboolean
cuda_device_supports (DimrDevice       *device,
                      const DimrGraph  *graph,
                      DimrNodeId        id,
                      DimrPrecision     precision,
                      GError          **error)
{
  CudaDevice *self = CUDA_DEVICE (device);
  const DimrNode *node = dimr_graph_peek_node (graph, id);
  const CudaOp *op = cuda_op_get (node->op);
  const char *reason = NULL;
  g_autofree char *shape = NULL;

  if (op == NULL)
    reason = _("this operation");
  else if (node->dtype != DIMR_DTYPE_F32)
    reason = _("results that are no floats");
  else if (!is_countable (graph, node))
    reason = _("tensors of more than 2,147,483,647 numbers");
  else if (op->supports != NULL)
    reason = op->supports (graph, node);
  if (reason == NULL)
    return TRUE;

  shape = dimr_shape_to_string (&node->shape);
  dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                  _("%s cannot compute %s of %s %s here: this program's CUDA part does not know %s; use --device cpu"),
                  self->name, dimr_op_get_info (node->op)->name, dimr_dtype_name (node->dtype), shape, reason);
  return FALSE;
}

static gsize
cuda_device_get_workspace (DimrDevice      *device,
                           const DimrGraph *graph,
                           DimrNodeId       id,
                           DimrPrecision    precision)
{
  const DimrNode *node = dimr_graph_peek_node (graph, id);
  const CudaOp *op = cuda_op_get (node->op);
  gsize bytes;

  if (op == NULL)
    return 0;
  bytes = cuda_conversion_bytes (graph, id, precision);
  return op->workspace != NULL ? bytes + op->workspace (CUDA_DEVICE (device), graph, node, precision) : bytes;
}

static DimrProgram *
cuda_device_compile (DimrDevice    *device,
                     DimrPlan      *plan,
                     DimrWeights   *weights,
                     GCancellable  *cancellable,
                     GError       **error)
{
  return cuda_program_new (CUDA_DEVICE (device), plan, weights, cancellable, error);
}

static void
cuda_device_get_memory (DimrDevice *device,
                        guint64    *total,
                        guint64    *available)
{
  cuda_device_get_free (CUDA_DEVICE (device), total, available);
}

static const char *
cuda_device_get_name (DimrDevice *device)
{
  return CUDA_DEVICE (device)->name;
}

static void
cuda_device_trim (DimrDevice *device)
{
  if (cuda_device_enter (CUDA_DEVICE (device), NULL))
    cuda_params_trim (CUDA_DEVICE (device)->params);
}

static guint
cuda_device_get_micro_batch (DimrDevice *device)
{
  return MICRO_BATCH;
}

static DimrPrecision
cuda_device_get_default_precision (DimrDevice *device)
{
  return CUDA_DEVICE (device)->capability < BF16_CAPABILITY ? DIMR_PRECISION_F32 : DIMR_PRECISION_BF16;
}

static DimrDeviceWalk *
cuda_device_new_walk (DimrDevice          *device,
                      const DimrWalkSpec  *spec,
                      GError             **error)
{
  return cuda_walk_new (CUDA_DEVICE (device), spec, error);
}

static DimrDeviceTraining *
cuda_device_new_training (DimrDevice              *device,
                          const DimrTrainingSpec  *spec,
                          GError                 **error)
{
  return cuda_training_new (CUDA_DEVICE (device), spec, error);
}

static void
cuda_device_class_init (CudaDeviceClass *klass)
{
  DimrDeviceClass *device_class = DIMR_DEVICE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cuda_device_finalize;
  device_class->supports = cuda_device_supports;
  device_class->get_workspace = cuda_device_get_workspace;
  device_class->compile = cuda_device_compile;
  device_class->get_memory = cuda_device_get_memory;
  device_class->get_name = cuda_device_get_name;
  device_class->trim = cuda_device_trim;
  device_class->get_storage = cuda_device_get_storage;
  device_class->get_micro_batch = cuda_device_get_micro_batch;
  device_class->check_precision = cuda_device_check_precision;
  device_class->get_default_precision = cuda_device_get_default_precision;
  device_class->new_walk = cuda_device_new_walk;
  device_class->new_training = cuda_device_new_training;
}

/* Streams that do not wait for the default one, on which nothing of ours ever is. */
static gboolean
open_streams (CudaDevice  *self,
              GError     **error)
{
  return cuda_device_check (self, cudaStreamCreateWithFlags (&self->stream, cudaStreamNonBlocking), error) &&
         cuda_device_check (self, cudaStreamCreateWithFlags (&self->copy_stream, cudaStreamNonBlocking), error);
}

DimrDevice *
cuda_device_open (guint    index,
                  GError **error)
{
  g_autoptr (CudaDevice) self = g_object_new (CUDA_TYPE_DEVICE, NULL);
  struct cudaDeviceProp properties;

  self->index = (int) index;
  self->name = g_strdup_printf ("NVIDIA GPU %u", index);
  if (!cuda_device_enter (self, error) ||
      !cuda_device_check (self, cudaGetDeviceProperties (&properties, self->index), error))
    return NULL;
  g_free (self->name);
  self->name = g_utf8_make_valid (properties.name, (gssize) strnlen (properties.name, sizeof properties.name));
  self->capability = properties.major * 10 + properties.minor;
  self->total = self->available = properties.totalGlobalMem;
  self->product_workspace = (gsize) (properties.major >= 9 ? 32 : 4) << 20;
  self->chunk = g_strcmp0 (g_getenv ("DIMR_CUDA_SMALL_CHUNKS"), "1") == 0 ? 0 : CHUNK;
  self->eager = g_strcmp0 (g_getenv ("DIMR_CUDA_EAGER"), "1") == 0;
  /* Off until it has been measured; devices before 9.0 do not know it. */
  cuda_kernels_set_early_launch (properties.major >= 9 && g_strcmp0 (g_getenv ("DIMR_CUDA_EARLY_LAUNCH"), "1") == 0);
  if (!open_streams (self, error) || !cuda_device_check_blas (self, cublasLtCreate (&self->lt), error))
    return NULL;
  self->params = cuda_params_new (self);
  self->products = cuda_products_new (self);
  self->staging = cuda_staging_new (self, error);
  if (self->staging == NULL)
    return NULL;
  return DIMR_DEVICE (g_steal_pointer (&self));
}
