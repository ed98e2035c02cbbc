/* The forms of the paper's Tables 2 and 3 that no reference has numbers of: what each costs in
 * parameters beside the released form, that its predictions are finite and depend on picture,
 * time and class, and that any device finds the gradients that the CPU finds in float32. (AdaRMSN and axial RoPE
 * have numbers: test-network.c.)
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/base/dimr-error.h"
#include "core/graph/dimr-device.h"
#include "core/graph/dimr-gradient.h"
#include "core/model/dimr-cost.h"
#include "core/model/dimr-network.h"
#include "core/model/dimr-synthetic.h"
#include "core/train/dimr-parameters.h"
#include "kernels/dimr-kernels.h"
#include "tests/tested-device.h"

#include <math.h>
#include <string.h>

/* Widths, blocks, classes, tokens of the small model below. */
enum { D0 = 24, D1 = 12, N0 = 3, N1 = 3, K = 11, PLACES = 64, HEADS = 2 };

#define TRANSFORMER "\"block_type\": \"TransformerBlock\", \"dim\": 24, \"hidden_dim\": 48, \"num_attention_heads\": 2, \"num_blocks\": 3, "
#define CONVNEXT "\"block_type\": \"ConvNeXtBlock\", \"dim\": 24, \"hidden_dim\": 48, \"num_blocks\": 3, "

typedef struct
{
  const char *name;
  const char *first;   /* the lower branch */
  const char *members; /* of the configuration */
  int parameters;      /* more than the released form has */
} Form;

/* Parameters of a time-dependent scale are four a channel; a sub-block's modulation three linears, or one. */
static const Form forms[] = {
  { "released", TRANSFORMER, "", 0 },
  { "adaln-zero", TRANSFORMER, "\"norm_type\": \"ADALN_ZERO\", ",
    (256 * D0 + D0 + D0 * D0 + D0 + K * D0) + (256 * D1 + D1 + D1 * D1 + D1 + K * D1) +
    N0 * 2 * (3 * (D0 * D0 + D0) - 4 * D0) + N1 * (4 * (D1 * D1 + D1) - 4 * D1) },
  { "plain-mlp", TRANSFORMER, "\"mlp_type\": \"GELU\", ", -N0 * (2 * D0 * D0 + 2 * D0) - N1 * (2 * D1 * D1 + 2 * D1) },
  { "convnext-first", CONVNEXT, "", N0 * (50 * D0 - (4 * D0 * D0 + D0 + 4 * D0)) },
  { "concatenation", TRANSFORMER, "\"cascade\": \"concat\", ", 2 * D1 * D1 + D1 },
  { "skips-between-branches", TRANSFORMER, "\"branch_skips\": true, ", N1 / 2 * D0 * D1 },
  { "ada-rms-norm", TRANSFORMER, "\"norm_type\": \"ADARMSN\", ", N0 * 2 * (D0 * D0 - 4 * D0) + N1 * (D1 * D1 - 4 * D1) },
  { "axial-rope", TRANSFORMER, "\"pe_type\": \"Axial_RoPE\", ",
    N0 * (2 * HEADS * (D0 / HEADS / 4) + HEADS) - PLACES * D0 },
};

static DimrConfig *
make_config (const Form *form)
{
  g_autofree char *json = g_strdup_printf (
    "{\"channels\": 4, \"image_size\": 16, \"num_classes\": %d, %s\"stage_configs\": ["
    "{%s\"max_height\": 8, \"input_feature_ratio\": 2},"
    "{\"block_type\": \"ConvNeXtBlock\", \"dim\": 12, \"hidden_dim\": 24, \"num_blocks\": 3, \"max_height\": 16}]}",
    K, form->members, form->first);
  g_autoptr (GError) error = NULL;
  DimrConfig *config = dimr_config_parse (json, strlen (json), form->name, &error);

  g_assert_no_error (error);
  return config;
}

static guint64
count_parameters (const Form *form)
{
  g_autoptr (DimrConfig) config = make_config (form);
  g_autofree DimrCost *cost = dimr_cost_new (config, NULL);

  g_assert_nonnull (cost);
  return cost->total.parameters;
}

/* One evaluation of two samples; every input is a function of its number. */
typedef struct
{
  DimrProgram *program;
  DimrPlan *plan;
  float out[2 * 4 * 256];
} Evaluation;

static void
write_all (Evaluation *self,
           float       x_scale,
           float       log_snr,
           gint32      label)
{
  const gint32 y[2] = { label, K - 1 };
  float x[2 * 4 * 256], times[2] = { log_snr, log_snr };
  const DimrNodeId time = dimr_plan_get_input (self->plan, "log_snr");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (x); i++)
    x[i] = x_scale * sinf (0.7f * (float) i);
  dimr_program_write (self->program, dimr_plan_get_input (self->plan, "x"), x, sizeof x);
  dimr_program_write (self->program, dimr_plan_get_input (self->plan, "y"), y, sizeof y);
  dimr_program_write (self->program, time, times,
                      dimr_shape_n_elements (&dimr_graph_peek_node (dimr_plan_peek_graph (self->plan), time)->shape) * sizeof (float));
  g_assert_true (dimr_program_run (self->program, NULL, &error));
  dimr_program_read (self->program, dimr_plan_get_output (self->plan, 0), self->out, G_N_ELEMENTS (self->out));
}

/* Largest change of the first sample. */
static double
change (const Evaluation *a,
        const float      *before)
{
  double worst = 0;

  for (guint i = 0; i < G_N_ELEMENTS (a->out) / 2; i++)
    {
      g_assert_true (isfinite (a->out[i]));
      worst = MAX (worst, fabs (a->out[i] - before[i]));
    }
  return worst;
}

static void
test_form (gconstpointer data)
{
  const Form *form = data;
  g_autoptr (DimrConfig) config = make_config (form);
  g_autoptr (DimrDevice) device = dimr_device_open (tested_device (), 2, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrWeights) weights = dimr_weights_new_synthetic (config, DIMR_DTYPE_F32, 3, NULL, &error);
  float before[2 * 4 * 256];

  g_assert_no_error (error);
  g_assert_cmpint ((gint64) count_parameters (form) - (gint64) count_parameters (&forms[0]), ==, form->parameters);
  g_assert_true (dimr_network_check (config, weights, NULL, &error));

  for (guint times = 1; times <= 2; times++)
    {
      g_autoptr (DimrGraph) graph = dimr_network_build (config, 2, times, 16, 16, &error);
      DimrNodeId output = dimr_network_find_output (graph, 1);
      g_autoptr (DimrPlan) plan = dimr_plan_new (graph, &output, 1, device, DIMR_PRECISION_F32, &error);
      g_autoptr (DimrProgram) program = dimr_device_compile (device, plan, weights, NULL, &error);
      Evaluation evaluation = { program, plan, { 0 } };

      g_assert_no_error (error);
      write_all (&evaluation, 1, 0.5f, 3);
      /* Other devices may sum products of other sizes in another order. */
      if (times == 2)
        for (guint i = 0; i < G_N_ELEMENTS (before); i++)
          g_assert_cmpfloat (fabsf (evaluation.out[i] - before[i]), <=, tested_device_is_cpu () ? 0 : 1e-5f);
      memcpy (before, evaluation.out, sizeof before);
      write_all (&evaluation, 0.5f, 0.5f, 3);
      g_assert_cmpfloat (change (&evaluation, before), >, 1e-3);
      write_all (&evaluation, 1, -2, 3);
      g_assert_cmpfloat (change (&evaluation, before), >, 1e-4);
      write_all (&evaluation, 1, 0.5f, 4);
      g_assert_cmpfloat (change (&evaluation, before), >, 1e-4);
    }
}

/* The whole and its last branch alone agree about what can be left out, or the form says why not. */
static void
test_last_branch (gconstpointer data)
{
  const Form *form = data;
  g_autoptr (DimrConfig) config = make_config (form);
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrGraph) graph = dimr_network_build_last_branch (config, 2, 1, 16, 16, &error);

  if (config->branch_skips)
    g_assert_error (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED);
  else
    {
      g_assert_no_error (error);
      g_assert_cmpuint (dimr_graph_find (graph, "low"), !=, DIMR_NODE_NONE);
    }
}

/* The gradients of all parameters from the last prediction, whose gradient is the input "seed". */
typedef struct
{
  DimrGraph *graph;
  GArray *params;        /* DimrNodeId */
  DimrNodeId *gradients; /* [n params], or DIMR_NODE_NONE */
} Backward;

static void
backward_clear (Backward *self)
{
  dimr_graph_unref (self->graph);
  g_array_unref (self->params);
  g_free (self->gradients);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Backward, backward_clear)

static Backward
make_backward (const DimrConfig *config,
               const char       *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrGraph) forward = dimr_network_build (config, 2, 2, config->image_size, config->image_size, &error);
  Backward self = { .params = g_array_new (FALSE, FALSE, sizeof (DimrNodeId)) };
  DimrSeed seed;

  g_assert_no_error (error);
  self.graph = dimr_graph_extend (forward);
  for (guint id = 0; id < dimr_graph_get_n_nodes (forward); id++)
    if (dimr_graph_peek_node (forward, id)->op == DIMR_OP_PARAM)
      g_array_append_val (self.params, id);
  seed.node = dimr_network_find_output (forward, dimr_config_get_n_branches (config) - 1);
  seed.gradient = dimr_graph_add_input (self.graph, "seed", DIMR_DTYPE_F32, dimr_graph_peek_node (forward, seed.node)->shape);
  self.gradients = g_new (DimrNodeId, self.params->len);
  dimr_graph_add_gradients (self.graph, &seed, 1, &g_array_index (self.params, DimrNodeId, 0), self.params->len, NULL, self.gradients);
  if (!dimr_graph_finish (self.graph, &error))
    g_error ("%s: %s", name, error->message);
  return self;
}

/* The gradients there are, in their order (transfer full). */
static GArray *
list_gradients (const Backward *self)
{
  GArray *list = g_array_new (FALSE, FALSE, sizeof (DimrNodeId));

  for (guint i = 0; i < self->params->len; i++)
    if (self->gradients[i] != DIMR_NODE_NONE)
      g_array_append_val (list, self->gradients[i]);
  return list;
}

/* Every parameter of @config gets a gradient: no op is without its rule. */
static void
check_gradients (const DimrConfig *config,
                 const char       *name)
{
  g_auto (Backward) backward = make_backward (config, name);

  for (guint i = 0; i < backward.params->len; i++)
    {
      const DimrNodeId gradient = backward.gradients[i];
      const DimrNode *param = dimr_graph_peek_node (backward.graph, g_array_index (backward.params, DimrNodeId, i));
      const gboolean of_a_lower_head = g_str_has_prefix (param->name, "stages.0.output_layer.") && dimr_config_get_n_branches (config) > 1;

      if ((gradient == DIMR_NODE_NONE) != of_a_lower_head)
        g_error ("%s: '%s' has %s gradient", name, param->name, of_a_lower_head ? "a" : "no");
      if (gradient != DIMR_NODE_NONE)
        g_assert_true (dimr_shape_equal (&dimr_graph_peek_node (backward.graph, gradient)->shape, &param->shape));
    }
}

/* Matrices of half the size that keeps activations as large as they are: a network whose adaptive scales are large is chaotic, and
 * says nothing about rounding. */
static DimrParameters *
make_parameters (const DimrConfig *config)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrWeights) weights = dimr_weights_new_synthetic (config, DIMR_DTYPE_F32, 3, NULL, &error);
  DimrParameters *parameters = dimr_parameters_new (config, weights, 0, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < dimr_parameters_get_n (parameters); i++)
    {
      const DimrParameter *parameter = dimr_parameters_peek (parameters, i);

      for (gsize k = 0; k < parameter->n && parameter->shape.n_dims > 1; k++)
        dimr_parameters_get_values (parameters)[parameter->first + k] *= 0.5f;
    }
  return parameters;
}

/* What @device makes of them, one after the other (transfer full). */
static GPtrArray *
compute_gradients (const Form    *form,
                   const char    *device_name,
                   DimrPrecision  precision)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrConfig) config = make_config (form);
  g_autoptr (DimrDevice) device = dimr_device_open (device_name, 2, &error);
  g_autoptr (DimrParameters) parameters = make_parameters (config);
  g_auto (Backward) backward = make_backward (config, form->name);
  g_autoptr (GArray) wanted = list_gradients (&backward);
  g_autoptr (DimrPlan) plan = dimr_plan_new (backward.graph, &g_array_index (wanted, DimrNodeId, 0), wanted->len, device, precision, &error);
  g_autoptr (DimrProgram) program = plan != NULL ? dimr_device_compile (device, plan, dimr_parameters_peek_weights (parameters),
                                                                         NULL, &error) : NULL;
  const gint32 y[2] = { 3, K - 1 };
  const float times[2] = { 0.5f, -1 };
  float x[2 * 4 * 256], seed[2 * 4 * 256];
  GPtrArray *values = g_ptr_array_new_with_free_func (g_free);

  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (x); i++)
    {
      x[i] = sinf (0.7f * (float) i);
      seed[i] = cosf (1.3f * (float) i);
    }
  dimr_program_write (program, dimr_plan_get_input (plan, "x"), x, sizeof x);
  dimr_program_write (program, dimr_plan_get_input (plan, "y"), y, sizeof y);
  dimr_program_write (program, dimr_plan_get_input (plan, "log_snr"), times, sizeof times);
  dimr_program_write (program, dimr_plan_get_input (plan, "seed"), seed, sizeof seed);
  g_assert_true (dimr_program_run (program, NULL, &error));
  for (guint i = 0; i < wanted->len; i++)
    {
      const gsize n = dimr_shape_n_elements (&dimr_graph_peek_node (backward.graph, g_array_index (wanted, DimrNodeId, i))->shape);
      float *gradient = g_new (float, n + 1);

      gradient[0] = (float) n;
      dimr_program_read (program, dimr_plan_get_output (plan, i), gradient + 1, n);
      g_ptr_array_add (values, gradient);
    }
  return values;
}

/* The largest ‖a − b‖ / ‖b‖ of all tensors. Norms below @least of the largest count as that: a gradient may be little more than
 * what cancels. */
static double
compare_gradients (GPtrArray *a,
                   GPtrArray *b,
                   double     least)
{
  double worst = 0, largest = 0;

  for (guint pass = 0; pass < 2; pass++)
    for (guint i = 0; i < b->len; i++)
      {
        const float *ours = g_ptr_array_index (a, i), *theirs = g_ptr_array_index (b, i);
        double error = 0, norm = 0;

        for (gsize k = 1; k <= (gsize) theirs[0]; k++)
          {
            g_assert_true (isfinite (ours[k]));
            error += pow ((double) ours[k] - (double) theirs[k], 2);
            norm += pow ((double) theirs[k], 2);
          }
        if (pass == 0)
          largest = MAX (largest, sqrt (norm));
        else
          worst = MAX (worst, sqrt (error) / MAX (sqrt (norm), least * largest));
      }
  return worst;
}

/* The tested device in both precisions against the CPU in float32. */
static void
test_device_gradients (gconstpointer data)
{
  g_autoptr (GPtrArray) expected = compute_gradients (data, "cpu", DIMR_PRECISION_F32);
  g_autoptr (GPtrArray) exact = compute_gradients (data, tested_device (), DIMR_PRECISION_F32);
  g_autoptr (GPtrArray) rounded = compute_gradients (data, tested_device (), DIMR_PRECISION_BF16);
  const double f32 = compare_gradients (exact, expected, 1e-4), bf16 = compare_gradients (rounded, expected, 1e-2);

  g_test_message ("worst tensor: float32 off by %g of its norm, bfloat16 by %g", f32, bf16);
  g_assert_cmpfloat (f32, <=, tested_device_is_cpu () ? 0 : 2e-5);
  g_assert_cmpfloat (bf16, <, .1);
  g_assert_cmpfloat (bf16, >, 1e-5); /* else nothing was rounded */
}

/* The tested device knows every op of every variant's training graph. */
static void
test_variants (void)
{
  static const DimrPrecision precisions[] = { DIMR_PRECISION_F32, DIMR_PRECISION_BF16 };
  g_autoptr (DimrDevice) device = dimr_device_open (tested_device (), 2, NULL);

  for (const char * const *name = dimr_config_list_variants (); *name != NULL; name++)
    {
      g_autoptr (DimrConfig) config = dimr_config_new_for_variant (*name);
      g_auto (Backward) backward = make_backward (config, *name);
      g_autoptr (GArray) wanted = list_gradients (&backward);

      for (guint i = 0; i < G_N_ELEMENTS (precisions); i++)
        {
          g_autoptr (GError) error = NULL;
          g_autoptr (DimrPlan) plan = dimr_plan_new_forecast (backward.graph, &g_array_index (wanted, DimrNodeId, 0), wanted->len, device,
                                                              precisions[i], &error);

          if (plan == NULL)
            g_error ("%s: %s", *name, error->message);
        }
    }
}

static void
test_gradients (gconstpointer data)
{
  const Form *form = data;
  g_autoptr (DimrConfig) config = make_config (form);

  check_gradients (config, form->name);
}

static void
test_gradients_of_transformers (void)
{
  static const char * const names[] = { "U-ViT-S/2", "U-ViT-H/2", "DiT-S/8" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (DimrConfig) config = dimr_config_new_for_variant (names[i]);

      check_gradients (config, names[i]);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!tested_device_is_here ())
    return 0;
  for (guint i = 0; i < G_N_ELEMENTS (forms); i++)
    {
      g_autofree char *form = g_strconcat ("/ablations/form/", forms[i].name, NULL);
      g_autofree char *gradients = g_strconcat ("/ablations/gradients/", forms[i].name, NULL);
      g_autofree char *device = g_strconcat ("/ablations/device/", forms[i].name, NULL);
      g_autofree char *last = g_strconcat ("/ablations/last-branch/", forms[i].name, NULL);

      g_test_add_data_func (form, &forms[i], test_form);
      g_test_add_data_func (last, &forms[i], test_last_branch);
      g_test_add_data_func (gradients, &forms[i], test_gradients);
      g_test_add_data_func (device, &forms[i], test_device_gradients);
    }
  g_test_add_func ("/ablations/gradients/of-transformers", test_gradients_of_transformers);
  g_test_add_func ("/ablations/variants/have-no-unknown-gradient", test_variants);
  return g_test_run ();
}
