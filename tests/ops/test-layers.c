/* Single layers of the network, and their gradients, against the numbers of its authors' code, on any device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "core/graph/dimr-device.h"
#include "core/graph/dimr-gradient.h"
#include "reference.h"
#include "tested-device.h"

#include <math.h>
#include <string.h>

#define UNITS "U_units/units.safetensors"

/* One layer's numbers, and the graph that shall give the same. */
typedef struct
{
  Reference *reference;
  const char *layer;
  DimrWeights *weights;
  DimrGraph *graph;
} Layer;

static void
layer_clear (Layer *self)
{
  reference_free (self->reference);
  dimr_weights_unref (self->weights);
  dimr_graph_unref (self->graph);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Layer, layer_clear)

static Layer
open_layer (const char *name)
{
  g_autofree char *path = reference_path (UNITS);
  g_autoptr (GError) error = NULL;
  Layer self = { reference_open (UNITS), name, NULL, dimr_graph_new () };

  self.weights = dimr_weights_open (path, NULL, &error);
  g_assert_no_error (error);
  return self;
}

static DimrTensor *
peek (const Layer *self,
      const char  *name)
{
  g_autofree char *full = g_strdup_printf ("%s.%s", self->layer, name);

  return reference_peek (self->reference, full);
}

static DimrNodeId
param (Layer      *self,
       const char *name)
{
  g_autofree char *full = g_strdup_printf ("%s.p.%s", self->layer, name);

  return dimr_graph_add_param (self->graph, full, *dimr_tensor_peek_shape (reference_peek (self->reference, full)));
}

static DimrNodeId
input (Layer      *self,
       const char *name)
{
  return dimr_graph_add_input (self->graph, name, DIMR_DTYPE_F32, *dimr_tensor_peek_shape (peek (self, name)));
}

/* [B, C, H, W] → [B, H, W, C], or back. */
static float *
dup_transposed (const float     *x,
                const DimrShape *shape,
                gboolean         to_channels_last)
{
  const gint64 b = shape->dims[0], c = shape->dims[1], n = shape->dims[2] * shape->dims[3];
  float *y = g_new (float, b * c * n);

  for (gint64 i = 0; i < b; i++)
    for (gint64 k = 0; k < c; k++)
      for (gint64 j = 0; j < n; j++)
        {
          const gint64 first = (i * c + k) * n + j, last = (i * n + j) * c + k;
          y[to_channels_last ? last : first] = x[to_channels_last ? first : last];
        }
  return y;
}

static DimrShape
channels_last (const DimrShape *s)
{
  return DIMR_SHAPE (s->dims[0], s->dims[2], s->dims[3], s->dims[1]);
}

typedef enum
{
  AS_IT_IS,
  X_IS_PICTURE = 1, /* the file has channels first where the graph has them last */
  Y_IS_PICTURE = 2,
} Order;

/* A tensor of the file as the graph wants it; g_free(). */
static float *
dup_for_graph (Layer      *self,
               const char *name,
               gboolean    is_picture)
{
  DimrTensor *tensor = peek (self, name);
  float *x = dimr_tensor_dup_f32 (tensor), *turned;

  if (!is_picture)
    return x;
  turned = dup_transposed (x, dimr_tensor_peek_shape (tensor), TRUE);
  g_free (x);
  return turned;
}

static void
check_output (Layer        *self,
              DimrPlan     *plan,
              DimrProgram  *program,
              guint         i,
              const char   *name,
              gboolean      is_picture,
              double        bound)
{
  const gsize n = dimr_tensor_get_n_elements (peek (self, name));
  g_autofree float *want = dup_for_graph (self, name, is_picture), *y = g_new (float, n);
  float largest = 0;

  dimr_program_read (program, dimr_plan_get_output (plan, i), y, n);
  for (gsize k = 0; k < n; k++)
    largest = MAX (largest, fabsf (want[k]));
  g_assert_cmpfloat (largest, >, 0);
  for (gsize k = 0; k < n; k++)
    if (!(fabs ((double) y[k] - (double) want[k]) <= bound * (double) largest))
      g_error ("%s.%s: element %" G_GSIZE_FORMAT " is %g, not %g", self->layer, name, k, (double) y[k], (double) want[k]);
}

static void
write_input (Layer       *self,
             DimrPlan    *plan,
             DimrProgram *program,
             const char  *name,
             gboolean     is_picture)
{
  g_autofree float *x = dup_for_graph (self, name, is_picture);

  dimr_program_write (program, dimr_plan_get_input (plan, name), x, dimr_tensor_get_n_elements (peek (self, name)) * sizeof (float));
}

/* Tolerances: as for activations, 1e-5 of the largest value, and for gradients 2e-5 of it. */
static void
check (Layer      *self,
       DimrNodeId  y,
       Order       order)
{
  const DimrNodeId x = dimr_graph_find (self->graph, "x");
  const DimrSeed seed = { y, dimr_graph_add_input (self->graph, "gy", DIMR_DTYPE_F32, dimr_graph_peek_node (self->graph, y)->shape) };
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) wanted = g_array_new (FALSE, FALSE, sizeof (DimrNodeId));
  g_autoptr (DimrDevice) device = dimr_device_open (tested_device (), 2, NULL);
  g_autoptr (DimrProgram) program = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree DimrNodeId *outputs = NULL;

  g_array_append_val (wanted, x);
  g_ptr_array_add (names, g_strdup ("gx"));
  for (guint id = 0; id < y; id++)
    if (dimr_graph_peek_node (self->graph, id)->op == DIMR_OP_PARAM)
      {
        const DimrNodeId param_id = id;

        g_array_append_val (wanted, param_id);
        /* "layer.p.weight" → "g.weight" */
        g_ptr_array_add (names, g_strconcat ("g.", dimr_graph_peek_node (self->graph, id)->name + strlen (self->layer) + 3, NULL));
      }
  outputs = g_new (DimrNodeId, wanted->len + 1);
  outputs[0] = y;
  dimr_graph_add_gradients (self->graph, &seed, 1, &g_array_index (wanted, DimrNodeId, 0), wanted->len, NULL, outputs + 1);
  dimr_graph_finish (self->graph, &error);
  g_assert_no_error (error);
  plan = dimr_plan_new (self->graph, outputs, wanted->len + 1, device, DIMR_PRECISION_F32, &error);
  g_assert_no_error (error);
  program = dimr_device_compile (device, plan, self->weights, NULL, &error);
  g_assert_no_error (error);

  write_input (self, plan, program, "x", order & X_IS_PICTURE);
  write_input (self, plan, program, "gy", order & Y_IS_PICTURE);
  if (dimr_plan_get_input (plan, "log_snr") != DIMR_NODE_NONE)
    write_input (self, plan, program, "log_snr", FALSE);
  dimr_program_run (program, NULL, &error);
  g_assert_no_error (error);

  check_output (self, plan, program, 0, "y", order & Y_IS_PICTURE, 1e-5);
  for (guint i = 0; i < wanted->len; i++)
    check_output (self, plan, program, i + 1, g_ptr_array_index (names, i), i == 0 && (order & X_IS_PICTURE), 2e-5);
}

#define NONE DIMR_NODE_NONE
#define NO_ATTRS ((DimrAttrs){ 0 })

/* Parameters that change with time: @name.param0 and so on. */
static DimrNodeId
time_param (Layer      *self,
            DimrNodeId  log_snr,
            const char *name)
{
  static const char * const parts[] = { "param0", "param1", "nodecay_weight", "nodecay_bias" };
  DimrNodeId inputs[5] = { log_snr };

  for (guint i = 0; i < 4; i++)
    {
      g_autofree char *full = g_strdup_printf ("%s.%s", name, parts[i]);
      inputs[i + 1] = param (self, full);
    }
  return dimr_graph_add (self->graph, DIMR_OP_TIME_PARAM, NO_ATTRS, inputs, 5);
}

static DimrNodeId
rms_norm (Layer      *self,
          DimrNodeId  x,
          DimrNodeId  log_snr,
          const char *name)
{
  return dimr_graph_add_op (self->graph, DIMR_OP_RMS_NORM, ((DimrAttrs){ .eps = 1e-8 }), x, time_param (self, log_snr, name));
}

static DimrNodeId
linear (Layer      *self,
        DimrNodeId  x,
        const char *name,
        gboolean    bias)
{
  g_autofree char *weight_name = g_strdup_printf ("%s.weight", name), *bias_name = g_strdup_printf ("%s.bias", name);

  return dimr_graph_add_op (self->graph, DIMR_OP_LINEAR, NO_ATTRS, param (self, weight_name),
                            bias ? param (self, bias_name) : NONE, NONE, x);
}

/* w2 (gelu (w0 h) · w1 h), h = norm (x); @p: "" or "block2." */
static DimrNodeId
mlp (Layer      *self,
     DimrNodeId  x,
     DimrNodeId  log_snr,
     const char *p)
{
  g_autofree char *scale = g_strconcat (p, "norm.scale", NULL), *w0 = g_strconcat (p, "w0", NULL);
  g_autofree char *w1 = g_strconcat (p, "w1", NULL), *w2 = g_strconcat (p, "w2", NULL);
  DimrNodeId h = rms_norm (self, x, log_snr, scale);

  h = dimr_graph_add_op (self->graph, DIMR_OP_GEGLU, NO_ATTRS, linear (self, h, w0, TRUE), linear (self, h, w1, TRUE));
  return linear (self, h, w2, TRUE);
}

static DimrNodeId
attention (Layer      *self,
           DimrNodeId  x,
           DimrNodeId  log_snr,
           const char *p)
{
  g_autofree char *scale = g_strconcat (p, "norm.scale", NULL), *qkv = g_strconcat (p, "query_key_value", NULL);
  g_autofree char *dense = g_strconcat (p, "dense", NULL);
  DimrNodeId h = linear (self, rms_norm (self, x, log_snr, scale), qkv, FALSE);

  h = dimr_graph_add_op (self->graph, DIMR_OP_ATTENTION, ((DimrAttrs){ .n_heads = 3 }), h);
  return linear (self, h, dense, TRUE);
}

static DimrNodeId
add (Layer      *self,
     DimrNodeId  a,
     DimrNodeId  b)
{
  return dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, a, b);
}

static DimrNodeId
depthwise (Layer      *self,
           DimrNodeId  x,
           const char *weight,
           const char *bias)
{
  return dimr_graph_add_op (self->graph, DIMR_OP_DEPTHWISE_CONV, NO_ATTRS, x, param (self, weight), param (self, bias), NONE);
}

static void
test_rms_norms (void)
{
  static const char * const names[] = {
    "tdrms3_same_1", "tdrms3_same_1e-2", "tdrms3_same_1e-4", "tdrms3_same_1e-7", "tdrms3_mixed_1", "tdrms3_mixed_1e-2",
    "tdrms3_mixed_1e-4", "tdrms3_mixed_1e-7", "tdrms4_same", "tdrms4_mixed",
  };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_auto (Layer) layer = open_layer (names[i]);
      DimrNodeId x = input (&layer, "x");

      check (&layer, rms_norm (&layer, x, input (&layer, "log_snr"), "scale"), AS_IT_IS);
    }
}

static void
test_layer_norms (void)
{
  static const char * const names[] = {
    "tdln3_same_1", "tdln3_same_1e-2", "tdln3_same_1e-4", "tdln3_mixed_1", "tdln3_mixed_1e-2", "tdln3_mixed_1e-4",
    "tdln4_same", "tdln4_mixed",
  };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_auto (Layer) layer = open_layer (names[i]);
      DimrNodeId x = input (&layer, "x"), log_snr = input (&layer, "log_snr");

      check (&layer, dimr_graph_add_op (layer.graph, DIMR_OP_LAYER_NORM, ((DimrAttrs){ .eps = 1e-5 }),
                                        time_param (&layer, log_snr, "weight"), time_param (&layer, log_snr, "bias"), x),
             AS_IT_IS);
    }
}

static void
test_constant_layer_norms (void)
{
  static const char * const names[] = { "layernorm_eps1e-5_1", "layernorm_eps1e-5_1e-3" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_auto (Layer) layer = open_layer (names[i]);
      DimrNodeId x = input (&layer, "x");
      DimrNodeId weight = dimr_graph_add_reshape (layer.graph, param (&layer, "weight"), DIMR_SHAPE (1, 12));
      DimrNodeId bias = dimr_graph_add_reshape (layer.graph, param (&layer, "bias"), DIMR_SHAPE (1, 12));

      check (&layer, dimr_graph_add_op (layer.graph, DIMR_OP_LAYER_NORM, ((DimrAttrs){ .eps = 1e-5 }), weight, bias, x),
             AS_IT_IS);
    }
}

static void
test_mlp (void)
{
  static const char * const names[] = { "mlp_same", "mlp_mixed" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_auto (Layer) layer = open_layer (names[i]);
      DimrNodeId x = input (&layer, "x");

      check (&layer, mlp (&layer, x, input (&layer, "log_snr"), ""), AS_IT_IS);
    }
}

static void
test_attention (void)
{
  static const char * const names[] = { "attention_same", "attention_mixed" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_auto (Layer) layer = open_layer (names[i]);
      DimrNodeId x = input (&layer, "x");

      check (&layer, attention (&layer, x, input (&layer, "log_snr"), ""), AS_IT_IS);
    }
}

static void
test_transformer_block (void)
{
  static const char * const names[] = { "transformer_block_same", "transformer_block_mixed" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_auto (Layer) layer = open_layer (names[i]);
      DimrNodeId x = input (&layer, "x"), log_snr = input (&layer, "log_snr");

      x = add (&layer, x, attention (&layer, x, log_snr, "block1."));
      check (&layer, add (&layer, x, mlp (&layer, x, log_snr, "block2.")), AS_IT_IS);
    }
}

static void
test_convnext_block (void)
{
  static const char * const names[] = { "convnext_block_same", "convnext_block_mixed" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_auto (Layer) layer = open_layer (names[i]);
      DimrNodeId x = input (&layer, "x"), log_snr = input (&layer, "log_snr");

      x = add (&layer, x, depthwise (&layer, x, "block1.1.weight", "block1.1.bias"));
      check (&layer, add (&layer, x, mlp (&layer, x, log_snr, "block2.")), AS_IT_IS);
    }
}

/* x as the graph wants it. */
static DimrNodeId
picture_input (Layer *self)
{
  return dimr_graph_add_input (self->graph, "x", DIMR_DTYPE_F32, channels_last (dimr_tensor_peek_shape (peek (self, "x"))));
}

static void
test_convolutions (void)
{
  g_auto (Layer) wide = open_layer ("dwconv7");
  g_auto (Layer) image = open_layer ("conv3");
  g_auto (Layer) patch = open_layer ("patch_conv2");
  DimrNodeId x;

  check (&wide, depthwise (&wide, picture_input (&wide), "weight", "bias"), X_IS_PICTURE | Y_IS_PICTURE);

  x = picture_input (&image);
  check (&image, dimr_graph_add_op (image.graph, DIMR_OP_CONV_TO_IMAGE, NO_ATTRS, x, param (&image, "weight"), param (&image, "bias")),
         X_IS_PICTURE);

  x = input (&patch, "x");
  check (&patch, dimr_graph_add_op (patch.graph, DIMR_OP_PATCHIFY, NO_ATTRS, x, param (&patch, "weight"), param (&patch, "bias")),
         Y_IS_PICTURE);
}

static void
test_upsampling (void)
{
  for (guint factor = 2; factor <= 3; factor++)
    {
      g_auto (Layer) layer = open_layer (factor == 2 ? "pixel_shuffle_upsample_r2" : "pixel_shuffle_upsample_r3");
      DimrNodeId x = linear (&layer, input (&layer, "x"), "kernel", TRUE);

      check (&layer, dimr_graph_add_op (layer.graph, DIMR_OP_PIXEL_SHUFFLE, ((DimrAttrs){ .factor = factor }), x), AS_IT_IS);
    }
}

static void
test_positions_and_pools (void)
{
  g_auto (Layer) table = open_layer ("position_embeddings");
  g_auto (Layer) pool = open_layer ("area_down2");
  DimrNodeId x = input (&table, "x");

  check (&table, dimr_graph_add_op (table.graph, DIMR_OP_ADD_POSITION, ((DimrAttrs){ .width = 5 }), x,
                                    param (&table, "position_embeddings.weight")), AS_IT_IS);
  x = input (&pool, "x");
  check (&pool, dimr_graph_add_op (pool.graph, DIMR_OP_AVERAGE_POOL, ((DimrAttrs){ .factor = 2 }), x), AS_IT_IS);
}

/* The gate of ones is a second input. */
static void
test_gelu (void)
{
  g_auto (Layer) layer = open_layer ("act");
  g_autoptr (DimrDevice) device = dimr_device_open (tested_device (), 1, NULL);
  g_autoptr (DimrProgram) program = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  g_autofree float *x = dimr_tensor_dup_f32 (peek (&layer, "x")), *want = dimr_tensor_dup_f32 (peek (&layer, "gelu_erf"));
  float ones[401], y[401];
  DimrNodeId a = dimr_graph_add_input (layer.graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (1, 401));
  DimrNodeId b = dimr_graph_add_input (layer.graph, "ones", DIMR_DTYPE_F32, DIMR_SHAPE (1, 401));
  DimrNodeId gate = dimr_graph_add_op (layer.graph, DIMR_OP_GEGLU, NO_ATTRS, a, b);

  for (guint i = 0; i < 401; i++)
    ones[i] = 1;
  g_assert_true (dimr_graph_finish (layer.graph, NULL));
  plan = dimr_plan_new (layer.graph, &gate, 1, device, DIMR_PRECISION_F32, NULL);
  program = dimr_device_compile (device, plan, layer.weights, NULL, NULL);
  dimr_program_write (program, dimr_plan_get_input (plan, "x"), x, sizeof y);
  dimr_program_write (program, dimr_plan_get_input (plan, "ones"), ones, sizeof ones);
  g_assert_true (dimr_program_run (program, NULL, NULL));
  dimr_program_read (program, dimr_plan_get_output (plan, 0), y, 401);
  for (guint i = 0; i < 401; i++)
    g_assert_cmpfloat_with_epsilon (y[i], want[i], 1e-6);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  if (!tested_device_is_here ())
    return 0;
  g_test_add_func ("/layers/rms-norm/matches-down-to-tiny-scales", test_rms_norms);
  g_test_add_func ("/layers/layer-norm/matches-down-to-small-scales", test_layer_norms);
  g_test_add_func ("/layers/layer-norm/matches-with-constant-parameters", test_constant_layer_norms);
  g_test_add_func ("/layers/mlp/matches", test_mlp);
  g_test_add_func ("/layers/attention/matches", test_attention);
  g_test_add_func ("/layers/transformer-block/matches", test_transformer_block);
  g_test_add_func ("/layers/convnext-block/matches", test_convnext_block);
  g_test_add_func ("/layers/convolutions/match", test_convolutions);
  g_test_add_func ("/layers/upsampling/matches", test_upsampling);
  g_test_add_func ("/layers/positions-and-pools/match", test_positions_and_pools);
  g_test_add_func ("/layers/gelu/matches", test_gelu);
  return g_test_run ();
}
