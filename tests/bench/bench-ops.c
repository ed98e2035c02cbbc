/* bench-ops.c — how fast each op of the CPU backend is, at the shapes of real networks
 *
 *   bench-ops [threads [f32|bf16 [op]]]
 *
 * One line an op: shape, best and median milliseconds of many runs, GFLOP/s of the best one. The
 * best run says what the code can do; a median far from it says that the machine was busy.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include <stdlib.h>
#include <string.h>

/* [rows or images, …] as each op reads them. */
typedef struct
{
  DimrOp op;
  const char *network;
  gint64 batch;
  gint64 n;      /* rows of an image, tokens, or side of a square map */
  gint64 in;
  gint64 out;    /* heads for ATTENTION, kernel for DEPTHWISE_CONV */
} Shape;

static const Shape shapes[] = {
  { DIMR_OP_LINEAR, "starter", 2, 65, 192, 576 },
  { DIMR_OP_LINEAR, "starter", 2, 65, 384, 192 },
  { DIMR_OP_LINEAR, "starter", 2, 64, 1536, 384 },
  { DIMR_OP_LINEAR, "starter", 2, 256, 192, 96 },
  { DIMR_OP_LINEAR, "starter", 2, 1024, 96, 48 },
  { DIMR_OP_LINEAR_GEGLU, "starter", 2, 65, 192, 384 },
  { DIMR_OP_LINEAR_GEGLU, "starter", 2, 256, 96, 192 },
  { DIMR_OP_LINEAR_GEGLU, "starter", 2, 1024, 48, 96 },
  { DIMR_OP_ATTENTION, "starter", 2, 65, 192, 6 },
  { DIMR_OP_DEPTHWISE_CONV, "starter", 2, 16, 96, 7 },
  { DIMR_OP_DEPTHWISE_CONV, "starter", 2, 32, 48, 7 },
  { DIMR_OP_RMS_NORM, "starter", 2, 1024, 48, 0 },
  { DIMR_OP_LAYER_NORM, "starter", 2, 256, 576, 0 },
  { DIMR_OP_CONV_TO_IMAGE, "starter", 2, 32, 48, 3 },
  { DIMR_OP_LINEAR, "XL/2R", 2, 257, 960, 2880 },
  { DIMR_OP_LINEAR, "XL/2R", 2, 257, 1920, 960 },
  { DIMR_OP_LINEAR, "XL/2R", 2, 256, 38400, 1920 },
  { DIMR_OP_LINEAR, "XL/2R", 2, 1024, 960, 480 },
  { DIMR_OP_LINEAR_GEGLU, "XL/2R", 2, 257, 960, 1920 },
  { DIMR_OP_LINEAR_GEGLU, "XL/2R", 2, 1024, 480, 960 },
  { DIMR_OP_ATTENTION, "XL/2R", 2, 257, 960, 16 },
  { DIMR_OP_DEPTHWISE_CONV, "XL/2R", 2, 32, 480, 7 },
  { DIMR_OP_RMS_NORM, "XL/2R", 2, 1024, 480, 0 },
  { DIMR_OP_LAYER_NORM, "XL/2R", 2, 256, 38400, 0 },
  { DIMR_OP_CONV_TO_IMAGE, "XL/2R", 2, 32, 480, 4 },
  /* Stable Diffusion's decoder for a picture of 256 × 256; UPSAMPLE_NEAREST with the convolution after it. */
  { DIMR_OP_CONV2D, "VAE", 1, 32, 512, 512 },
  { DIMR_OP_CONV2D, "VAE", 1, 64, 512, 512 },
  { DIMR_OP_CONV2D, "VAE", 1, 128, 512, 256 },
  { DIMR_OP_CONV2D, "VAE", 1, 128, 256, 256 },
  { DIMR_OP_CONV2D, "VAE", 1, 256, 256, 128 },
  { DIMR_OP_CONV2D, "VAE", 1, 256, 128, 128 },
  { DIMR_OP_UPSAMPLE_NEAREST, "VAE", 1, 32, 512, 512 },
  { DIMR_OP_UPSAMPLE_NEAREST, "VAE", 1, 64, 512, 512 },
  { DIMR_OP_UPSAMPLE_NEAREST, "VAE", 1, 128, 256, 256 },
  { DIMR_OP_ATTENTION, "VAE", 1, 1024, 512, 1 },
  { DIMR_OP_ATTENTION, "VAE", 1, 4096, 512, 1 },
  { DIMR_OP_GROUP_NORM, "VAE", 1, 256, 128, 32 },
  { DIMR_OP_CONV_TO_IMAGE, "VAE", 1, 256, 128, 3 },
};

typedef struct
{
  DimrGraph *graph;
  GHashTable *tensors;
} Bench;

static float *
make_numbers (gsize n)
{
  float *x = g_new (float, n);
  guint32 state = 1;

  for (gsize i = 0; i < n; i++)
    {
      state = state * 1664525u + 1013904223u;
      x[i] = (float) (state >> 8) / (1 << 23) - 1;
    }
  return x;
}

static DimrNodeId
param (Bench     *self,
       DimrShape  shape)
{
  char *name = g_strdup_printf ("%u", dimr_graph_get_n_nodes (self->graph));

  g_hash_table_insert (self->tensors, name,
                       dimr_tensor_new_take (DIMR_DTYPE_F32, &shape, make_numbers (dimr_shape_n_elements (&shape))));
  return dimr_graph_add_param (self->graph, name, shape);
}

static DimrNodeId
build (Bench       *self,
       const Shape *s)
{
  const gboolean map = s->op == DIMR_OP_DEPTHWISE_CONV || s->op == DIMR_OP_CONV_TO_IMAGE || s->op == DIMR_OP_CONV2D ||
                       s->op == DIMR_OP_UPSAMPLE_NEAREST || s->op == DIMR_OP_GROUP_NORM;
  DimrNodeId x = dimr_graph_add_input (self->graph, "x", DIMR_DTYPE_F32,
                                       map ? DIMR_SHAPE (s->batch, s->n, s->n, s->in)
                                       : s->op == DIMR_OP_ATTENTION ? DIMR_SHAPE (s->batch, s->n, 3 * s->in)
                                                                    : DIMR_SHAPE (s->batch, s->n, s->in));

#define ADD(attrs, ...) dimr_graph_add_op (self->graph, s->op, ((DimrAttrs){ attrs }), __VA_ARGS__)
#define PARAM(...) param (self, DIMR_SHAPE (__VA_ARGS__))
  switch (s->op)
    {
    case DIMR_OP_LINEAR: return ADD (0, PARAM (s->out, s->in), PARAM (s->out), DIMR_NODE_NONE, x);
    case DIMR_OP_LINEAR_GEGLU:
      return ADD (0, PARAM (s->out, s->in), PARAM (s->out), PARAM (s->out, s->in), PARAM (s->out), x);
    case DIMR_OP_ATTENTION: return ADD (.n_heads = (guint) s->out, x);
    case DIMR_OP_DEPTHWISE_CONV: return ADD (0, x, PARAM (s->in, 1, s->out, s->out), PARAM (s->in), x);
    case DIMR_OP_CONV_TO_IMAGE: return ADD (0, x, PARAM (s->out, s->in, 3, 3), PARAM (s->out));
    case DIMR_OP_UPSAMPLE_NEAREST:
      x = ADD (.factor = 2, x);
      return dimr_graph_add_op (self->graph, DIMR_OP_CONV2D, ((DimrAttrs){ .stride = 1, .pad_before = 1, .pad_after = 1 }), x,
                                PARAM (s->out, s->in, 3, 3), PARAM (s->out), DIMR_NODE_NONE);
    case DIMR_OP_CONV2D:
      return dimr_graph_add_op (self->graph, s->op, ((DimrAttrs){ .stride = 1, .pad_before = 1, .pad_after = 1 }), x,
                                PARAM (s->out, s->in, 3, 3), PARAM (s->out), DIMR_NODE_NONE);
    case DIMR_OP_GROUP_NORM:
      return dimr_graph_add_op (self->graph, s->op, ((DimrAttrs){ .eps = 1e-6, .silu = TRUE }), x,
                                dimr_graph_add_op (self->graph, DIMR_OP_GROUP_STATS, ((DimrAttrs){ .n_groups = (guint) s->out }), x),
                                PARAM (s->in), PARAM (s->in));
    case DIMR_OP_RMS_NORM: return ADD (.eps = 1e-8, x, PARAM (1, s->in));
    case DIMR_OP_LAYER_NORM: return ADD (.eps = 1e-5, PARAM (1, s->in), PARAM (1, s->in), x);
    default: g_assert_not_reached ();
    }
}

static int
compare (gconstpointer a,
         gconstpointer b)
{
  const double x = *(const double *) a, y = *(const double *) b;
  return x < y ? -1 : x > y;
}

static void
run (DimrDevice    *device,
     DimrPrecision  precision,
     const Shape   *shape)
{
  Bench bench = { dimr_graph_new (), g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref) };
  DimrNodeId y = build (&bench, shape);
  g_autoptr (DimrWeights) weights = NULL;
  g_autoptr (DimrProgram) program = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree float *x = NULL;
  const DimrNode *input;
  double times[200], begin = (double) g_get_monotonic_time (), flops;
  guint n = 0;

  if (!dimr_graph_finish (bench.graph, &error))
    g_error ("%s", error->message);
  weights = dimr_weights_new_for_tensors (bench.tensors);
  plan = dimr_plan_new (bench.graph, &y, 1, device, precision, &error);
  program = plan != NULL ? dimr_device_compile (device, plan, weights, NULL, &error) : NULL;
  if (program == NULL)
    g_error ("%s", error->message);
  input = dimr_graph_peek_node (bench.graph, dimr_graph_find (bench.graph, "x"));
  x = make_numbers (dimr_shape_n_elements (&input->shape));
  dimr_program_write (program, dimr_plan_get_input (plan, "x"), x, dimr_shape_n_elements (&input->shape) * sizeof *x);

  dimr_program_run (program, NULL, NULL);
  while (n < 3 || (n < G_N_ELEMENTS (times) && (double) g_get_monotonic_time () < begin + 1e6))
    {
      const gint64 start = g_get_monotonic_time ();

      dimr_program_run (program, NULL, NULL);
      times[n++] = (double) (g_get_monotonic_time () - start) / 1e3;
    }
  qsort (times, n, sizeof times[0], compare);
  flops = 2 * (double) dimr_plan_get_macs (plan);
  g_print ("%-8s %-15s %" G_GINT64_FORMAT " x %4" G_GINT64_FORMAT " x %5" G_GINT64_FORMAT " > %4" G_GINT64_FORMAT
           "  best %9.3f ms  median %9.3f ms  %6.1f GFLOP/s\n",
           shape->network, dimr_op_get_info (shape->op)->name, shape->batch, shape->n, shape->in, shape->out,
           times[0], times[n / 2], flops / times[0] / 1e6);
  dimr_graph_unref (bench.graph);
}

int
main (int   argc,
      char *argv[])
{
  const guint n_threads = argc > 1 ? (guint) atoi (argv[1]) : 0;
  const DimrPrecision precision = argc > 2 && strcmp (argv[2], "bf16") == 0 ? DIMR_PRECISION_BF16 : DIMR_PRECISION_F32;

  for (const CpuSimd * const *simd = cpu_simd_list (); *simd != NULL; simd++)
    {
      g_autoptr (DimrDevice) device = cpu_device_new (n_threads, *simd);

      g_print ("%s, %s, %s\n", dimr_device_get_name (device), (*simd)->name, precision == DIMR_PRECISION_BF16 ? "bf16" : "f32");
      for (guint i = 0; i < G_N_ELEMENTS (shapes); i++)
        if (argc < 4 || strcmp (argv[3], dimr_op_get_info (shapes[i].op)->name) == 0)
          run (device, precision, &shapes[i]);
    }
  return 0;
}
