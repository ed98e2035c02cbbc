/* The CPU as a device: what it refuses, what it shares, when it stops; and its team of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "kernels/cpu/cpu-private.h"
#include "kernels/dimr-kernels.h"

#include <math.h>
#include <string.h>

/* Product after product of a [4, 32] input with one weight. */
typedef struct
{
  DimrGraph *graph;
  DimrNodeId output;
} Chain;

static Chain
make_chain (guint length)
{
  Chain self = { dimr_graph_new (), 0 };
  DimrNodeId weight;

  self.output = dimr_graph_add_input (self.graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (4, 32));
  weight = dimr_graph_add_param (self.graph, "weight", DIMR_SHAPE (32, 32));
  for (guint i = 0; i < length; i++)
    self.output = dimr_graph_add_op (self.graph, DIMR_OP_LINEAR, ((DimrAttrs){ 0 }), weight, DIMR_NODE_NONE, DIMR_NODE_NONE,
                                     self.output);
  g_assert_true (dimr_graph_finish (self.graph, NULL));
  return self;
}

/* One tensor "weight" of @rows × 32. */
static DimrWeights *
make_weights (const char *name,
              gint64      rows)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  DimrShape shape = DIMR_SHAPE (rows, 32);
  float *data = g_new (float, rows * 32);

  for (gint64 i = 0; i < rows * 32; i++)
    data[i] = (float) (i * 37 % 101) / 1000;
  g_hash_table_insert (tensors, g_strdup (name), dimr_tensor_new_take (DIMR_DTYPE_F32, &shape, data));
  return dimr_weights_new_for_tensors (tensors);
}

static DimrPlan *
make_plan (DimrDevice  *device,
           const Chain *chain)
{
  g_autoptr (GError) error = NULL;
  DimrPlan *plan = dimr_plan_new (chain->graph, &chain->output, 1, device, DIMR_PRECISION_F32, &error);

  g_assert_no_error (error);
  return plan;
}

static void
write_ones (DimrPlan    *plan,
            DimrProgram *program)
{
  float x[128];

  for (guint i = 0; i < 128; i++)
    x[i] = 1;
  dimr_program_write (program, dimr_plan_get_input (plan, "x"), x, sizeof x);
}

static void
test_registry (void)
{
  g_autoptr (DimrDevice) device = NULL;
  g_autoptr (GError) error = NULL;
  guint64 total = 0, available = 0;
  guint n;

  dimr_kernels_init ();
  dimr_kernels_init ();
  dimr_backend_list (&n);
  g_assert_cmpuint (n, >=, 1);
  device = dimr_device_open ("cpu", 3, &error);
  g_assert_no_error (error);
  g_assert_true (g_str_has_suffix (dimr_device_get_name (device), ", 3 threads"));
  dimr_device_get_memory (device, &total, &available);
  g_assert_cmpuint (available, >, 1 << 20);
  g_assert_cmpuint (total, >=, available);
}

static void
test_missing_tensor (void)
{
  g_autoptr (DimrDevice) device = cpu_device_new (1, NULL);
  Chain chain = make_chain (1);
  g_autoptr (DimrPlan) plan = make_plan (device, &chain);
  g_autoptr (DimrWeights) absent = make_weights ("bias", 32), wrong = make_weights ("weight", 31);
  g_autoptr (GError) error = NULL;

  g_assert_null (dimr_device_compile (device, plan, absent, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MODEL);
  g_assert_nonnull (strstr (error->message, "'weight'"));
  g_clear_error (&error);
  g_assert_null (dimr_device_compile (device, plan, wrong, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MODEL);
  g_assert_nonnull (strstr (error->message, "[31, 32]"));
  dimr_graph_unref (chain.graph);
}

/* A product whose weight an op has made: nothing can be packed ahead. */
static void
test_computed_weight (void)
{
  g_autoptr (DimrDevice) device = cpu_device_new (1, NULL);
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  g_autoptr (GError) error = NULL;
  DimrNodeId x = dimr_graph_add_input (graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (4, 4));
  DimrNodeId y = dimr_graph_add_op (graph, DIMR_OP_LINEAR, ((DimrAttrs){ 0 }), x, DIMR_NODE_NONE, DIMR_NODE_NONE, x);

  g_assert_true (dimr_graph_finish (graph, NULL));
  g_assert_null (dimr_plan_new (graph, &y, 1, device, DIMR_PRECISION_F32, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "linear of F32 [4, 4]"));
}

static void
test_memory (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (cpu_try_alloc (G_MAXSIZE / 2, "This picture", &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY);
  g_assert_true (g_str_has_prefix (error->message, "This picture needs 8796093022208 MiB of memory and "));
}

/* A label past the end of the table is refused, not read. */
static void
test_label_out_of_range (void)
{
  static const gint32 labels[] = { -1, 32, G_MAXINT32, G_MININT32 };
  g_autoptr (DimrDevice) device = cpu_device_new (2, NULL);
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  g_autoptr (DimrWeights) weights = make_weights ("table", 32);
  g_autoptr (DimrProgram) program = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  DimrNodeId table = dimr_graph_add_param (graph, "table", DIMR_SHAPE (32, 32));
  DimrNodeId index = dimr_graph_add_input (graph, "y", DIMR_DTYPE_I32, DIMR_SHAPE (2));
  DimrNodeId y = dimr_graph_add_op (graph, DIMR_OP_EMBEDDING, ((DimrAttrs){ 0 }), table, index);

  g_assert_true (dimr_graph_finish (graph, NULL));
  plan = dimr_plan_new (graph, &y, 1, device, DIMR_PRECISION_F32, NULL);
  program = dimr_device_compile (device, plan, weights, NULL, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (labels); i++)
    {
      const gint32 pair[2] = { 31, labels[i] };
      g_autoptr (GError) error = NULL;

      dimr_program_write (program, dimr_plan_get_input (plan, "y"), pair, sizeof pair);
      g_assert_false (dimr_program_run (program, NULL, &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
    }
  dimr_program_write (program, dimr_plan_get_input (plan, "y"), (const gint32[]){ 31, 0 }, 8);
  g_assert_true (dimr_program_run (program, NULL, NULL));
}

static void
test_cancel (void)
{
  g_autoptr (DimrDevice) device = cpu_device_new (2, NULL);
  g_autoptr (DimrWeights) weights = make_weights ("weight", 32);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (DimrProgram) program = NULL;
  g_autoptr (GError) error = NULL;
  Chain chain = make_chain (5);
  g_autoptr (DimrPlan) plan = make_plan (device, &chain);

  program = dimr_device_compile (device, plan, weights, cancellable, NULL);
  write_ones (plan, program);
  g_assert_true (dimr_program_run (program, cancellable, NULL));
  g_cancellable_cancel (cancellable);
  g_assert_false (dimr_program_run (program, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (dimr_device_compile (device, plan, weights, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_true (dimr_program_run (program, NULL, NULL));
  dimr_graph_unref (chain.graph);
}

/* Other programs run in between, on the same threads and with the same parameters. */
static void
test_same_bytes (void)
{
  g_autoptr (DimrDevice) device = cpu_device_new (4, NULL);
  g_autoptr (DimrWeights) weights = make_weights ("weight", 32);
  Chain chains[2] = { make_chain (3), make_chain (7) };
  g_autoptr (DimrPlan) plan = make_plan (device, &chains[0]);
  g_autoptr (DimrPlan) other_plan = make_plan (device, &chains[1]);
  g_autoptr (DimrProgram) program = dimr_device_compile (device, plan, weights, NULL, NULL);
  g_autoptr (DimrProgram) other = dimr_device_compile (device, other_plan, weights, NULL, NULL);
  float first[128], again[128];

  write_ones (plan, program);
  write_ones (other_plan, other);
  g_assert_true (dimr_program_run (program, NULL, NULL));
  dimr_program_read (program, dimr_plan_get_output (plan, 0), first, 128);
  for (guint i = 0; i < 200; i++)
    {
      g_assert_true (dimr_program_run (other, NULL, NULL));
      g_assert_true (dimr_program_run (program, NULL, NULL));
      dimr_program_read (program, dimr_plan_get_output (plan, 0), again, 128);
      g_assert_cmpmem (first, sizeof first, again, sizeof again);
    }
  for (guint i = 0; i < 2; i++)
    dimr_graph_unref (chains[i].graph);
}

static CpuLayoutKind
bf16_kind (const CpuSimd *simd)
{
  return simd->bf16_dot ? CPU_LAYOUT_PANELS_BF16_PAIRS : CPU_LAYOUT_PANELS_BF16;
}

/* What stands at row @row and column @column of packed weights. */
static float
unpack (const CpuLayout *layout,
        gconstpointer    data,
        gsize            row,
        gsize            column)
{
  const gsize width = layout->width, panel = row / width, c = row % width, even = (layout->k + 1) / 2 * 2;

  if (layout->kind == CPU_LAYOUT_PANELS_F32)
    return ((const float *) data)[(panel * layout->k + column) * width + c];
  if (layout->kind == CPU_LAYOUT_PANELS_BF16)
    return dimr_bf16_to_f32 (((const guint16 *) data)[(panel * even + column) * width + c]);
  return dimr_bf16_to_f32 (((const guint16 *) data)[((panel * even / 2 + column / 2) * width + c) * 2 + column % 2]);
}

/* Weights [n, k], or [k, n] and read by columns. */
static void
check_packing (const CpuSimd *simd,
               CpuLayoutKind  kind,
               gsize          n,
               gsize          k,
               gboolean       turned)
{
  CpuTeam *team = cpu_team_new (2);
  const CpuLayout layout = { .kind = kind, .n = n, .k = k, .width = simd->panel, .stride = turned ? n : 0 };
  const gsize rows = (n + simd->panel - 1) / simd->panel * simd->panel, columns = kind == CPU_LAYOUT_PANELS_F32 ? k : (k + 1) / 2 * 2;
  const DimrShape shape = DIMR_SHAPE ((gint64) (turned ? k : n), (gint64) (turned ? n : k));
  float *values = g_new (float, n * k);
  g_autoptr (DimrTensor) tensor = NULL;
  g_autofree gpointer data = NULL;
  guint64 bytes;

  for (gsize i = 0; i < n * k; i++)
    values[i] = (float) (i * 37 % 1013) / 1000 - .4f;
  values[n * k / 2] = NAN;
  tensor = dimr_tensor_new_take (DIMR_DTYPE_F32, &shape, values);
  g_assert_true (cpu_layout_get_bytes (&layout, &bytes));
  g_assert_cmpuint (bytes, ==, rows * columns * (kind == CPU_LAYOUT_PANELS_F32 ? 4 : 2));
  data = g_malloc (bytes);
  memset (data, 0xff, bytes);
  cpu_pack (team, simd, tensor, &layout, data);
  for (gsize row = 0; row < rows; row++)
    for (gsize column = 0; column < columns; column++)
      {
        const float found = unpack (&layout, data, row, column);
        float expected = row < n && column < k ? values[turned ? column * n + row : row * k + column] : 0;

        if (kind != CPU_LAYOUT_PANELS_F32)
          expected = dimr_bf16_to_f32 (dimr_f32_to_bf16 (expected));
        if (isnan (expected) ? !isnan (found) : found != expected)
          g_error ("%s: kind %d, [%zu, %zu]%s, row %zu, column %zu: %g instead of %g", simd->name, kind, n, k,
                   turned ? " turned" : "", row, column, (double) found, (double) expected);
      }
  cpu_team_free (team);
}

static void
test_packing (void)
{
  for (const CpuSimd * const *simd = cpu_simd_list (); *simd != NULL; simd++)
    for (guint turned = 0; turned < 2; turned++)
      for (gsize k = 1; k < 600; k = k * 3 + 1)
        {
          check_packing (*simd, CPU_LAYOUT_PANELS_F32, 2 * (*simd)->panel + 3, k, turned);
          check_packing (*simd, bf16_kind (*simd), 2 * (*simd)->panel + 3, k, turned);
          check_packing (*simd, bf16_kind (*simd), (*simd)->panel, k + 255, turned);
        }
}

static void
test_shared_parameters (void)
{
  CpuTeam *team = cpu_team_new (2);
  const CpuSimd *simd = cpu_simd_list ()[0];
  CpuParams *params = cpu_params_new (team, simd);
  g_autoptr (DimrWeights) weights = make_weights ("weight", 32);
  const CpuLayout panels = { .kind = CPU_LAYOUT_PANELS_F32, .n = 32, .k = 32, .width = simd->panel };
  const CpuLayout halves = { .kind = bf16_kind (simd), .n = 32, .k = 32, .width = simd->panel };
  CpuParam *first = cpu_params_get (params, weights, "weight", &panels, NULL);
  CpuParam *second = cpu_params_get (params, weights, "weight", &panels, NULL);
  CpuParam *other = cpu_params_get (params, weights, "weight", &halves, NULL);
  gconstpointer data = cpu_param_peek (first);

  g_assert_true (first == second);
  g_assert_true (first != other);
  cpu_param_unref (other);
  cpu_param_unref (second);
  cpu_params_trim (params); /* forgets the halves only */
  second = cpu_params_get (params, weights, "weight", &panels, NULL);
  g_assert_true (cpu_param_peek (second) == data);
  cpu_param_unref (first);
  cpu_param_unref (second);
  cpu_params_free (params);
  cpu_team_free (team);
}

/* A program keeps what it needs: its device, its plan, its parameters. */
static void
test_program_outlives_its_makers (void)
{
  DimrDevice *device = cpu_device_new (2, NULL);
  DimrWeights *weights = make_weights ("weight", 32);
  Chain chain = make_chain (2);
  DimrPlan *plan = make_plan (device, &chain);
  g_autoptr (DimrProgram) program = dimr_device_compile (device, plan, weights, NULL, NULL);

  write_ones (plan, program);
  dimr_device_trim (device);
  g_object_unref (device);
  dimr_weights_unref (weights);
  dimr_plan_unref (plan);
  dimr_graph_unref (chain.graph);
  g_assert_true (dimr_program_run (program, NULL, NULL));
}

/* A profile is a run: every step gets its time, and the values are the same. */
static void
test_profile (void)
{
  g_autoptr (DimrDevice) device = cpu_device_new (2, NULL);
  g_autoptr (DimrWeights) weights = make_weights ("weight", 32);
  Chain chain = make_chain (40);
  g_autoptr (DimrPlan) plan = make_plan (device, &chain);
  g_autoptr (DimrProgram) program = dimr_device_compile (device, plan, weights, NULL, NULL);
  g_autoptr (GError) error = NULL;
  float run[128], profiled[128];
  double seconds[40], sum = 0;
  gint64 began;
  guint n_steps;

  dimr_plan_peek_steps (plan, &n_steps);
  g_assert_cmpuint (n_steps, ==, G_N_ELEMENTS (seconds));
  write_ones (plan, program);
  g_assert_true (dimr_program_run (program, NULL, NULL));
  dimr_program_read (program, dimr_plan_get_output (plan, 0), run, 128);

  for (guint i = 0; i < n_steps; i++)
    seconds[i] = -1;
  began = g_get_monotonic_time ();
  g_assert_true (dimr_program_profile (program, seconds, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < n_steps; i++)
    {
      g_assert_cmpfloat (seconds[i], >=, 0);
      sum += seconds[i];
    }
  g_assert_cmpfloat (sum, <=, (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC);
  dimr_program_read (program, dimr_plan_get_output (plan, 0), profiled, 128);
  g_assert_cmpmem (run, sizeof run, profiled, sizeof profiled);
  dimr_graph_unref (chain.graph);
}

/* Each task of a phase adds what all tasks of the phase before have written. */
#define TEAM_TASKS 37

typedef struct
{
  guint n_threads;
  guint64 sums[3][TEAM_TASKS];
  guint calls; /* atomic */
  guint stop_in_phase;
} TeamWork;

static gboolean
run_team_task (gpointer data,
               guint    phase,
               gsize    task,
               guint    thread)
{
  TeamWork *work = data;
  guint64 sum = 0;

  g_assert_cmpuint (thread, <, work->n_threads);
  for (guint i = 0; i < TEAM_TASKS; i++)
    sum += phase == 0 ? 1 : work->sums[phase - 1][i];
  work->sums[phase][task] = sum;
  __atomic_add_fetch (&work->calls, 1, __ATOMIC_RELAXED);
  return !(phase == work->stop_in_phase && task == 5);
}

static void
test_team (void)
{
  for (guint n_threads = 1; n_threads <= 5; n_threads++)
    {
      CpuTeam *team = cpu_team_new (n_threads);

      for (guint round = 0; round < 500; round++)
        {
          CpuTeamPhase phases[3] = { { .n_tasks = TEAM_TASKS }, { .n_tasks = TEAM_TASKS }, { .n_tasks = TEAM_TASKS } };
          TeamWork work = { .n_threads = n_threads, .stop_in_phase = round % 4 };

          cpu_team_run (team, phases, 3, run_team_task, &work);
          g_assert_cmpuint (work.calls, ==, TEAM_TASKS * MIN (work.stop_in_phase + 1, 3));
          for (guint i = 0; i < TEAM_TASKS && work.stop_in_phase >= 2; i++)
            g_assert_cmpuint (work.sums[2][i], ==, (guint64) TEAM_TASKS * TEAM_TASKS * TEAM_TASKS);
        }
      cpu_team_free (team);
    }
}

/* Workers that have gone to sleep come back. */
static void
test_team_wakes (void)
{
  CpuTeam *team = cpu_team_new (3);

  for (guint round = 0; round < 20; round++)
    {
      CpuTeamPhase phases[3] = { { .n_tasks = TEAM_TASKS }, { .n_tasks = TEAM_TASKS }, { .n_tasks = TEAM_TASKS } };
      TeamWork work = { .n_threads = 3, .stop_in_phase = 3 };

      g_usleep (2000);
      cpu_team_run (team, phases, 3, run_team_task, &work);
      g_assert_cmpuint (work.calls, ==, 3 * TEAM_TASKS);
    }
  g_usleep (2000);
  cpu_team_free (team);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cpu/device/opens-with-a-name-and-memory", test_registry);
  g_test_add_func ("/cpu/device/names-a-tensor-that-does-not-fit", test_missing_tensor);
  g_test_add_func ("/cpu/device/refuses-computed-weights", test_computed_weight);
  g_test_add_func ("/cpu/device/says-how-much-memory-it-lacks", test_memory);
  g_test_add_func ("/cpu/device/prepares-a-parameter-once", test_shared_parameters);
  g_test_add_func ("/cpu/device/packs-weights", test_packing);
  g_test_add_func ("/cpu/program/refuses-labels-outside-the-table", test_label_out_of_range);
  g_test_add_func ("/cpu/program/stops-when-cancelled", test_cancel);
  g_test_add_func ("/cpu/program/gives-the-same-bytes-always", test_same_bytes);
  g_test_add_func ("/cpu/program/keeps-what-it-needs", test_program_outlives_its_makers);
  g_test_add_func ("/cpu/program/times-every-step", test_profile);
  g_test_add_func ("/cpu/team/ends-a-phase-before-the-next", test_team);
  g_test_add_func ("/cpu/team/wakes-up", test_team_wakes);
  return g_test_run ();
}
