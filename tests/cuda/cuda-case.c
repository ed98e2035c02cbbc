/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-case.h"

#include "core/base/dimr-rng.h"

#include <math.h>

#define D 16
#define HEADS 2
#define HIDDEN 20
#define TOKENS 16 /* 4 × 4 patches */

#define ATTRS(...) ((DimrAttrs){ __VA_ARGS__ })
#define NO_ATTRS ((DimrAttrs){ 0 })
#define ADD(self, op, attrs, ...) dimr_graph_add_op ((self)->graph, op, attrs, __VA_ARGS__)

/* Numbers that look like those of a network: the same in every process. */
static float
number (guint32 *state)
{
  *state = *state * 1664525 + 1013904223;
  return (float) ((double) *state / 4294967296. * 2 - 1);
}

typedef struct
{
  GHashTable *tensors;
  guint32 state;
} Params;

static DimrNodeId
add_param (DimrGraph       *graph,
           GHashTable      *tensors,
           const char      *name,
           const DimrShape *shape,
           double           scale,
           guint32         *state)
{
  const gsize n = dimr_shape_n_elements (shape);
  float *data = g_new (float, n);

  for (gsize i = 0; i < n; i++)
    data[i] = (float) scale * number (state);
  g_hash_table_insert (tensors, g_strdup (name), dimr_tensor_new_take (DIMR_DTYPE_F32, shape, data));
  return dimr_graph_add_param (graph, name, *shape);
}

static DimrNodeId
param (CudaCase   *self,
       Params     *params,
       const char *name,
       DimrShape   shape,
       double      scale)
{
  return add_param (self->graph, params->tensors, name, &shape, scale, &params->state);
}

DimrNodeId
cuda_case_add_param (DimrGraph       *graph,
                     GHashTable      *tensors,
                     const char      *name,
                     const DimrShape *shape)
{
  guint32 state = g_str_hash (name);

  return add_param (graph, tensors, name, shape, 1, &state);
}

#define PARAM(name, scale, ...) param (self, params, name, DIMR_SHAPE (__VA_ARGS__), scale)

static DimrNodeId
time_param (CudaCase   *self,
            Params     *params,
            DimrNodeId  log_snr,
            const char *name,
            gint64      d,
            double      mean)
{
  g_autofree char *p0 = g_strconcat (name, ".0", NULL), *p1 = g_strconcat (name, ".1", NULL);
  g_autofree char *w = g_strconcat (name, ".w", NULL), *b = g_strconcat (name, ".b", NULL);

  return ADD (self, DIMR_OP_TIME_PARAM, NO_ATTRS, log_snr, PARAM (p0, 1 + mean, d), PARAM (p1, 1, d), PARAM (w, .5, d),
              PARAM (b, .5, d));
}

static DimrNodeId
rms_norm (CudaCase   *self,
          Params     *params,
          DimrNodeId  log_snr,
          DimrNodeId  x,
          const char *name)
{
  return ADD (self, DIMR_OP_RMS_NORM, ATTRS (.eps = 1e-8), x, time_param (self, params, log_snr, name, D, 1));
}

/* Attention and a gated MLP over [B, 17, D]. */
static DimrNodeId
transformer (CudaCase   *self,
             Params     *params,
             DimrNodeId  log_snr,
             DimrNodeId  h)
{
  DimrNodeId a = rms_norm (self, params, log_snr, h, "norm1"), b, c;

  a = ADD (self, DIMR_OP_LINEAR, NO_ATTRS, PARAM ("qkv", .3, 3 * D, D), DIMR_NODE_NONE, DIMR_NODE_NONE, a);
  a = ADD (self, DIMR_OP_ATTENTION, ATTRS (.n_heads = HEADS), a);
  a = ADD (self, DIMR_OP_LINEAR, NO_ATTRS, PARAM ("dense", .3, D, D), PARAM ("dense.b", .1, D), h, a);
  b = rms_norm (self, params, log_snr, a, "norm2");
  c = ADD (self, DIMR_OP_LINEAR, NO_ATTRS, PARAM ("w0", .4, HIDDEN, D), PARAM ("w0.b", .1, HIDDEN), DIMR_NODE_NONE, b);
  b = ADD (self, DIMR_OP_LINEAR, NO_ATTRS, PARAM ("w1", .4, HIDDEN, D), PARAM ("w1.b", .1, HIDDEN), DIMR_NODE_NONE, b);
  b = ADD (self, DIMR_OP_GEGLU, NO_ATTRS, c, b);
  return ADD (self, DIMR_OP_LINEAR, NO_ATTRS, PARAM ("w2", .3, D, HIDDEN), PARAM ("w2.b", .1, D), a, b);
}

static DimrNodeId
tokens_of (CudaCase   *self,
           Params     *params,
           DimrNodeId  x,
           DimrNodeId  y)
{
  DimrNodeId h = ADD (self, DIMR_OP_PATCHIFY, NO_ATTRS, x, PARAM ("patch", .3, D, CASE_CHANNELS, 2, 2), PARAM ("patch.b", .1, D));
  DimrNodeId token = ADD (self, DIMR_OP_EMBEDDING, NO_ATTRS, PARAM ("table", 1, CASE_CLASSES, D), y);

  h = ADD (self, DIMR_OP_ADD_POSITION, ATTRS (.width = 5), h, PARAM ("position", .3, 20, D));
  h = dimr_graph_add_reshape (self->graph, h, DIMR_SHAPE (self->batch, TOKENS, D));
  return ADD (self, DIMR_OP_PREPEND_TOKEN, NO_ATTRS, h, token);
}

static DimrNodeId
picture_of (CudaCase   *self,
            Params     *params,
            DimrNodeId  log_snr,
            DimrNodeId  h,
            DimrNodeId  before)
{
  DimrNodeId a = ADD (self, DIMR_OP_SLICE_TOKENS, ATTRS (.start = 1, .length = TOKENS), h);
  DimrNodeId b = ADD (self, DIMR_OP_SLICE_TOKENS, ATTRS (.start = 1, .length = TOKENS), before), m;

  a = ADD (self, DIMR_OP_LAYER_NORM, ATTRS (.eps = 1e-5), time_param (self, params, log_snr, "ln.w", 2 * D, 1),
           time_param (self, params, log_snr, "ln.b", 2 * D, 0), a, b);
  a = ADD (self, DIMR_OP_LINEAR, NO_ATTRS, PARAM ("up", .3, 4 * D, 2 * D), PARAM ("up.b", .1, 4 * D), DIMR_NODE_NONE, a);
  a = dimr_graph_add_reshape (self->graph, a, DIMR_SHAPE (self->batch, 4, 4, 4 * D));
  a = ADD (self, DIMR_OP_PIXEL_SHUFFLE, ATTRS (.factor = 2), a);
  m = ADD (self, DIMR_OP_DEPTHWISE_CONV, NO_ATTRS, a, PARAM ("depthwise", .2, D, 1, 7, 7), PARAM ("depthwise.b", .1, D),
           DIMR_NODE_NONE);
  m = ADD (self, DIMR_OP_ADD, NO_ATTRS, a, m);
  return ADD (self, DIMR_OP_CONV_TO_IMAGE, NO_ATTRS, m, PARAM ("out", .2, CASE_CHANNELS, D, 3, 3), PARAM ("out.b", .1, CASE_CHANNELS));
}

void
cuda_case_init (CudaCase *self,
                guint     batch,
                guint     times)
{
  Params all = { g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref), 7 };
  Params *params = &all;
  g_autoptr (GError) error = NULL;
  DimrNodeId x, y, log_snr, h, out;

  *self = (CudaCase){ .batch = batch, .times = times, .graph = dimr_graph_new () };
  x = dimr_graph_add_input (self->graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (batch, CASE_CHANNELS, CASE_SIZE, CASE_SIZE));
  log_snr = dimr_graph_add_input (self->graph, "log_snr", DIMR_DTYPE_F32, DIMR_SHAPE (times));
  y = dimr_graph_add_input (self->graph, "y", DIMR_DTYPE_I32, DIMR_SHAPE (batch));
  h = tokens_of (self, params, x, y);
  out = transformer (self, params, log_snr, h);
  /* A list of three: their sum is kept apart in bfloat16. */
  out = ADD (self, DIMR_OP_LINEAR, NO_ATTRS, PARAM ("skip", .2, D, 3 * D), PARAM ("skip.b", .1, D), h, out, h, out);
  dimr_graph_set_name (self->graph, out, "hidden");
  self->tap = out;
  self->eps = picture_of (self, params, log_snr, out, h);
  g_assert_true (dimr_graph_finish (self->graph, &error));
  g_assert_no_error (error);
  self->weights = dimr_weights_new_for_tensors (all.tensors);
}

void
cuda_case_clear (CudaCase *self)
{
  g_clear_pointer (&self->graph, dimr_graph_unref);
  g_clear_pointer (&self->weights, dimr_weights_unref);
}

gsize
cuda_case_image (void)
{
  return CASE_CHANNELS * CASE_SIZE * CASE_SIZE;
}

void
cuda_run_init (CudaRun       *self,
               CudaCase      *network,
               DimrDevice    *device,
               DimrPrecision  precision)
{
  const DimrNodeId outputs[] = { network->eps, network->tap };
  g_autoptr (GError) error = NULL;

  *self = (CudaRun){ .plan = dimr_plan_new (network->graph, outputs, 2, device, precision, &error) };
  g_assert_no_error (error);
  self->program = dimr_device_compile (device, self->plan, network->weights, NULL, &error);
  g_assert_no_error (error);
  self->x = dimr_plan_get_input (self->plan, "x");
  self->log_snr = dimr_plan_get_input (self->plan, "log_snr");
  self->y = dimr_plan_get_input (self->plan, "y");
  self->eps = dimr_plan_get_output (self->plan, 0);
  self->tap = dimr_plan_get_output (self->plan, 1);
}

void
cuda_run_clear (CudaRun *self)
{
  g_clear_object (&self->program);
  g_clear_pointer (&self->plan, dimr_plan_unref);
}

void
cuda_run_write (CudaRun  *self,
                CudaCase *network,
                guint     first,
                float     log_snr)
{
  const gsize len = cuda_case_image (), n = network->batch * len;
  g_autofree float *x = g_new (float, n), *times = g_new (float, network->times);
  g_autofree gint32 *y = g_new (gint32, network->batch);

  for (guint i = 0; i < network->batch; i++)
    {
      guint32 state = first + i;

      y[i] = (gint32) ((first + i) % CASE_CLASSES);
      for (gsize k = 0; k < len; k++)
        x[i * len + k] = number (&state);
    }
  for (guint i = 0; i < network->times; i++)
    times[i] = log_snr + (float) i;
  dimr_program_write (self->program, self->x, x, n * sizeof *x);
  dimr_program_write (self->program, self->log_snr, times, network->times * sizeof *times);
  dimr_program_write (self->program, self->y, y, network->batch * sizeof *y);
}

float *
cuda_run_read (CudaRun  *self,
               CudaCase *network)
{
  const gsize n = network->batch * cuda_case_image ();
  float *eps = g_new (float, n);

  dimr_program_read (self->program, self->eps, eps, n);
  return eps;
}

float *
cuda_run_eps (CudaRun  *self,
              CudaCase *network)
{
  g_autoptr (GError) error = NULL;

  dimr_program_run (self->program, NULL, &error);
  g_assert_no_error (error);
  return cuda_run_read (self, network);
}

CudaDevice *
cuda_case_open (void)
{
  g_autoptr (GError) error = NULL;
  DimrDevice *device = cuda_device_open (0, &error);

  g_assert_no_error (error);
  return CUDA_DEVICE (device);
}

double
cuda_case_nmse (const float *a,
                const float *b,
                gsize        n)
{
  double error = 0, norm = 0;

  for (gsize i = 0; i < n; i++)
    {
      error += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
      norm += (double) b[i] * b[i];
    }
  g_assert_false (isnan (error));
  return error / norm;
}
