/* The forms of the paper's Tables 2 and 3 that no reference has numbers of: what each costs in
 * parameters beside the released form, and that its predictions are finite and depend on picture,
 * time and class. (AdaRMSN and axial RoPE have numbers: test-network.c.)
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/base/dimr-error.h"
#include "core/graph/dimr-device.h"
#include "core/graph/dimr-gradient.h"
#include "core/model/dimr-cost.h"
#include "core/model/dimr-network.h"
#include "core/model/dimr-synthetic.h"
#include "kernels/dimr-kernels.h"

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
  g_autoptr (DimrDevice) device = dimr_device_open ("cpu", 2, NULL);
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
      if (times == 2)
        g_assert_cmpmem (evaluation.out, sizeof before, before, sizeof before);
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

/* Every parameter of @config gets a gradient from the last prediction: no op is without its rule. */
static void
check_gradients (const DimrConfig *config,
                 const char       *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrGraph) forward = dimr_network_build (config, 2, 2, config->image_size, config->image_size, &error), graph = NULL;
  g_autoptr (GArray) params = g_array_new (FALSE, FALSE, sizeof (DimrNodeId));
  g_autofree DimrNodeId *gradients = NULL;
  DimrSeed seed;

  g_assert_no_error (error);
  graph = dimr_graph_extend (forward);
  for (guint id = 0; id < dimr_graph_get_n_nodes (forward); id++)
    if (dimr_graph_peek_node (forward, id)->op == DIMR_OP_PARAM)
      g_array_append_val (params, id);
  seed.node = dimr_network_find_output (forward, dimr_config_get_n_branches (config) - 1);
  seed.gradient = dimr_graph_add_input (graph, "seed", DIMR_DTYPE_F32, dimr_graph_peek_node (forward, seed.node)->shape);
  gradients = g_new (DimrNodeId, params->len);
  dimr_graph_add_gradients (graph, &seed, 1, &g_array_index (params, DimrNodeId, 0), params->len, NULL, gradients);
  if (!dimr_graph_finish (graph, &error))
    g_error ("%s: %s", name, error->message);
  for (guint i = 0; i < params->len; i++)
    {
      const DimrNode *param = dimr_graph_peek_node (forward, g_array_index (params, DimrNodeId, i));
      const gboolean of_a_lower_head = g_str_has_prefix (param->name, "stages.0.output_layer.") && dimr_config_get_n_branches (config) > 1;

      if ((gradients[i] == DIMR_NODE_NONE) != of_a_lower_head)
        g_error ("%s: '%s' has %s gradient", name, param->name, of_a_lower_head ? "a" : "no");
      if (gradients[i] != DIMR_NODE_NONE)
        g_assert_true (dimr_shape_equal (&dimr_graph_peek_node (graph, gradients[i])->shape, &param->shape));
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
  dimr_kernels_init ();
  for (guint i = 0; i < G_N_ELEMENTS (forms); i++)
    {
      g_autofree char *form = g_strconcat ("/ablations/form/", forms[i].name, NULL);
      g_autofree char *gradients = g_strconcat ("/ablations/gradients/", forms[i].name, NULL);
      g_autofree char *last = g_strconcat ("/ablations/last-branch/", forms[i].name, NULL);

      g_test_add_data_func (form, &forms[i], test_form);
      g_test_add_data_func (last, &forms[i], test_last_branch);
      g_test_add_data_func (gradients, &forms[i], test_gradients);
    }
  g_test_add_func ("/ablations/gradients/of-transformers", test_gradients_of_transformers);
  return g_test_run ();
}
