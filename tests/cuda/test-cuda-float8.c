/* Products in float8 by the CUDA backend, against double arithmetic on the values as they are quantised.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cuda-case.h"

#include "core/base/dimr-error.h"
#include "fake-cuda.h"
#include "kernels/dimr-kernels.h"

#include <math.h>
#include <string.h>

#define BATCH 2
#define TOKENS 17
#define ROWS (BATCH * TOKENS)
#define K 32
#define N 48
/* Results, biases and halves of a gate are rounded to bfloat16, each by 2.3e-6 of its power; e4m3 rounds two
 * factors by 7e-4 of theirs. */
#define BF16_BOUND 1e-5
#define F8_AT_LEAST 3e-4

#define ATTRS ((DimrAttrs){ 0 })

/* ---- arithmetic ---- */

/* Sign, 4 bits of exponent and 3 of fraction, to nearest even. */
static double
e4m3 (double value)
{
  const double step = ldexp (1, MAX (ilogb (MAX (fabs (value), ldexp (1, -6))), -6) - 3);

  return CLAMP (nearbyint (value / step) * step, -448, 448);
}

/* A row as its product sees it. */
static void
quantize (const float *row,
          gsize        n,
          double      *out)
{
  float largest = 0;

  for (gsize i = 0; i < n; i++)
    largest = MAX (largest, fabsf (row[i]));
  for (gsize i = 0; i < n; i++)
    out[i] = largest > 0 ? e4m3 (row[i] * (448.f / largest)) * (largest / 448.f) : 0;
}

/* Σ x w for each row of @x [rows, k] and of @w [n, k] (+ @bias) (+ @residual); of quantised values with @f8. */
static double *
multiply (const float *x,
          const float *w,
          gsize        rows,
          gsize        n,
          gsize        k,
          const float *bias,
          const float *residual,
          gboolean     f8)
{
  g_autofree double *a = g_new (double, rows * k), *b = g_new (double, n * k);
  double *y = g_new (double, rows * n);

  for (gsize i = 0; i < rows * k; i++)
    a[i] = x[i];
  for (gsize i = 0; i < n * k; i++)
    b[i] = w[i];
  for (gsize r = 0; f8 && r < rows; r++)
    quantize (x + r * k, k, a + r * k);
  for (gsize c = 0; f8 && c < n; c++)
    quantize (w + c * k, k, b + c * k);
  for (gsize r = 0; r < rows; r++)
    for (gsize c = 0; c < n; c++)
      {
        double sum = (bias != NULL ? bias[c] : 0) + (residual != NULL ? residual[r * n + c] : 0);

        for (gsize i = 0; i < k; i++)
          sum += a[r * k + i] * b[c * k + i];
        y[r * n + c] = sum;
      }
  return y;
}

static double
nmse (const float  *found,
      const double *wanted,
      gsize         n)
{
  double error = 0, norm = 0;

  for (gsize i = 0; i < n; i++)
    {
      error += (found[i] - wanted[i]) * (found[i] - wanted[i]);
      norm += wanted[i] * wanted[i];
    }
  g_assert_false (isnan (error));
  return error / norm;
}

/* ---- a branch of three blocks, of which the second is the inner one ---- */

typedef struct
{
  DimrGraph *graph;
  GHashTable *tensors;
  guint32 state;
} Branch;

/* [rows, n], exact in bfloat16; rows of very different size, by which a scale at the wrong place is seen. */
static float *
make_values (Branch *self,
             gsize   rows,
             gsize   n)
{
  float *values = g_new (float, rows * n);

  for (gsize i = 0; i < rows * n; i++)
    {
      self->state = self->state * 1664525 + 1013904223;
      values[i] = ldexpf ((float) ((int) (self->state >> 24) - 128), (int) (i / n * 7 % 5) - 8);
    }
  return values;
}

static DimrNodeId
add_param (Branch     *self,
           const char *name,
           gsize       rows,
           gsize       n)
{
  const DimrShape shape = rows > 0 ? DIMR_SHAPE ((gint64) rows, (gint64) n) : DIMR_SHAPE ((gint64) n);

  g_hash_table_insert (self->tensors, g_strdup (name),
                       dimr_tensor_new_take (DIMR_DTYPE_F32, &shape, make_values (self, MAX (rows, 1), n)));
  return dimr_graph_add_param (self->graph, name, shape);
}

static const float *
peek (Branch     *self,
      const char *name)
{
  return dimr_tensor_peek_data (g_hash_table_lookup (self->tensors, name));
}

static void
branch_init (Branch *self)
{
  *self = (Branch){
    .graph = dimr_graph_new (),
    .tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref),
    .state = 3,
  };
}

static void
branch_clear (Branch *self)
{
  g_clear_pointer (&self->graph, dimr_graph_unref);
  g_clear_pointer (&self->tensors, g_hash_table_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Branch, branch_clear)

/* What makes the block before it an inner one. */
static DimrNodeId
add_last_block (Branch     *self,
                DimrNodeId  x)
{
  return dimr_graph_add_op (self->graph, DIMR_OP_LINEAR, ATTRS, add_param (self, "stages.0.blocks.2.last.weight", K, N),
                            DIMR_NODE_NONE, DIMR_NODE_NONE, x);
}

typedef struct
{
  DimrWeights *weights;
  DimrPlan *plan;
  DimrProgram *program;
} Run;

static void
run_clear (Run *self)
{
  g_clear_object (&self->program);
  g_clear_pointer (&self->plan, dimr_plan_unref);
  g_clear_pointer (&self->weights, dimr_weights_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Run, run_clear)

/* FALSE with @error. */
static gboolean
run_open (Run            *self,
          Branch         *branch,
          DimrNodeId      y,
          DimrNodeId      last,
          CudaDevice     *device,
          DimrPrecision   precision,
          GError        **error)
{
  const DimrNodeId outputs[] = { y, last };

  self->weights = dimr_weights_new_for_tensors (g_hash_table_ref (branch->tensors));
  self->plan = dimr_plan_new (branch->graph, outputs, 2, DIMR_DEVICE (device), precision, error);
  self->program = self->plan != NULL
                    ? dimr_device_compile (DIMR_DEVICE (device), self->plan, self->weights, NULL, error) : NULL;
  return self->program != NULL;
}

static float *
run_compute (Run         *self,
             const float *x,
             const float *residual)
{
  g_autoptr (GError) error = NULL;
  float *y = g_new (float, ROWS * N);

  dimr_program_write (self->program, dimr_plan_get_input (self->plan, "x"), x, ROWS * K * sizeof *x);
  if (residual != NULL)
    dimr_program_write (self->program, dimr_plan_get_input (self->plan, "residual"), residual, ROWS * N * sizeof *x);
  g_assert_true (dimr_program_run (self->program, NULL, &error));
  g_assert_no_error (error);
  dimr_program_read (self->program, dimr_plan_get_output (self->plan, 0), y, ROWS * N);
  return y;
}

/* Replayed, launched one by one and computed when it is waited for, in another order: the same bytes. */
static void
check_ways (Branch      *branch,
            DimrNodeId   y,
            DimrNodeId   last,
            const float *x,
            const float *residual,
            const float *wanted)
{
  for (guint way = 1; way < 3; way++)
    {
      g_autoptr (CudaDevice) device = cuda_case_open ();
      g_autoptr (GError) error = NULL;
      g_autofree float *again = NULL;
      g_auto (Run) run = { 0 };

      device->eager = way == 1;
      fake_cuda_config ()->deferred = way == 2;
      fake_cuda_config ()->order = way;
      g_assert_true (run_open (&run, branch, y, last, device, DIMR_PRECISION_F8, &error));
      g_assert_no_error (error);
      again = run_compute (&run, x, residual);
      g_assert_cmpmem (again, ROWS * N * sizeof *again, wanted, ROWS * N * sizeof *wanted);
    }
  fake_cuda_config ()->deferred = FALSE;
  fake_cuda_config ()->order = 0;
  fake_cuda_check_guards ();
}

static DimrNodeId
add_input (Branch     *self,
           const char *name,
           gsize       width)
{
  return dimr_graph_add_input (self->graph, name, DIMR_DTYPE_F32, DIMR_SHAPE (BATCH, TOKENS, (gint64) width));
}

static void
test_linear (gconstpointer data)
{
  const gboolean with_all = GPOINTER_TO_INT (data);
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_autoptr (GError) error = NULL;
  g_auto (Run) run = { 0 };
  g_autofree double *wanted = NULL, *exact = NULL;
  g_autofree float *x = NULL, *residual = NULL, *y = NULL;
  const float *w, *b;
  DimrNodeId bias = DIMR_NODE_NONE, r = DIMR_NODE_NONE, weight, node, last;
  g_auto (Branch) branch = { 0 };

  branch_init (&branch);
  x = make_values (&branch, ROWS, K);
  memset (x + 5 * K, 0, K * sizeof *x); /* a row of zeros */
  residual = with_all ? make_values (&branch, ROWS, N) : NULL;
  weight = add_param (&branch, "stages.0.blocks.1.w.weight", N, K);
  if (with_all)
    {
      bias = add_param (&branch, "stages.0.blocks.1.w.bias", 0, N);
      r = add_input (&branch, "residual", N);
    }
  node = dimr_graph_add_op (branch.graph, DIMR_OP_LINEAR, ATTRS, weight, bias, r, add_input (&branch, "x", K));
  last = add_last_block (&branch, node);
  g_assert_true (dimr_graph_finish (branch.graph, &error));
  w = peek (&branch, "stages.0.blocks.1.w.weight");
  b = with_all ? peek (&branch, "stages.0.blocks.1.w.bias") : NULL;
  wanted = multiply (x, w, ROWS, N, K, b, residual, TRUE);
  exact = multiply (x, w, ROWS, N, K, b, residual, FALSE);

  g_assert_true (run_open (&run, &branch, node, last, device, DIMR_PRECISION_F8, &error));
  g_assert_no_error (error);
  y = run_compute (&run, x, residual);
  g_assert_cmpfloat (nmse (y, wanted, ROWS * N), <, BF16_BOUND);
  if (!with_all)
    g_assert_cmpfloat (nmse (y, exact, ROWS * N), >, F8_AT_LEAST);
  check_ways (&branch, node, last, x, residual, y);
}

static void
test_geglu (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_autoptr (GError) error = NULL;
  g_auto (Run) run = { 0 };
  g_autofree double *wanted = NULL, *gate = NULL;
  g_autofree float *x = NULL, *y = NULL;
  DimrNodeId in, a, b, node, last;
  g_auto (Branch) branch = { 0 };

  branch_init (&branch);
  x = make_values (&branch, ROWS, K);
  in = add_input (&branch, "x", K);
  a = dimr_graph_add_op (branch.graph, DIMR_OP_LINEAR, ATTRS, add_param (&branch, "stages.0.blocks.1.w0.weight", N, K),
                         add_param (&branch, "stages.0.blocks.1.w0.bias", 0, N), DIMR_NODE_NONE, in);
  b = dimr_graph_add_op (branch.graph, DIMR_OP_LINEAR, ATTRS, add_param (&branch, "stages.0.blocks.1.w1.weight", N, K),
                         add_param (&branch, "stages.0.blocks.1.w1.bias", 0, N), DIMR_NODE_NONE, in);
  node = dimr_graph_add_op (branch.graph, DIMR_OP_GEGLU, ATTRS, a, b);
  last = add_last_block (&branch, node);
  g_assert_true (dimr_graph_finish (branch.graph, &error));
  wanted = multiply (x, peek (&branch, "stages.0.blocks.1.w0.weight"), ROWS, N, K,
                     peek (&branch, "stages.0.blocks.1.w0.bias"), NULL, TRUE);
  gate = multiply (x, peek (&branch, "stages.0.blocks.1.w1.weight"), ROWS, N, K,
                   peek (&branch, "stages.0.blocks.1.w1.bias"), NULL, TRUE);
  for (gsize i = 0; i < ROWS * N; i++)
    wanted[i] = wanted[i] / 2 * erfc (-wanted[i] / G_SQRT2) * gate[i];

  g_assert_true (run_open (&run, &branch, node, last, device, DIMR_PRECISION_F8, &error));
  g_assert_no_error (error);
  g_assert_cmpint (dimr_graph_peek_node (dimr_plan_peek_graph (run.plan), dimr_plan_get_output (run.plan, 0))->op, ==,
                   DIMR_OP_LINEAR_GEGLU);
  y = run_compute (&run, x, NULL);
  g_assert_cmpfloat (nmse (y, wanted, ROWS * N), <, 2 * BF16_BOUND);
  check_ways (&branch, node, last, x, NULL, y);
}

/* ---- which products ---- */

static gboolean
is_float8 (const char    *name,
           gsize          n,
           gsize          k,
           gboolean       is_list,
           gboolean       is_vector,
           DimrPrecision  precision)
{
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  const DimrShape shape = is_vector ? DIMR_SHAPE (BATCH, (gint64) k) : DIMR_SHAPE (BATCH, TOKENS, (gint64) k);
  const DimrNodeId weight = dimr_graph_add_param (graph, name, DIMR_SHAPE ((gint64) n, (gint64) (is_list ? 2 * k : k)));
  const DimrNodeId x = dimr_graph_add_input (graph, "x", DIMR_DTYPE_F32, shape);
  const DimrNodeId y = is_list ? dimr_graph_add_op (graph, DIMR_OP_LINEAR, ATTRS, weight, DIMR_NODE_NONE, DIMR_NODE_NONE, x, x)
                               : dimr_graph_add_op (graph, DIMR_OP_LINEAR, ATTRS, weight, DIMR_NODE_NONE, DIMR_NODE_NONE, x);

  dimr_graph_add_param (graph, "stages.0.blocks.11.norm.weight", DIMR_SHAPE (8));
  dimr_graph_add_param (graph, "stages.1.blocks.2.norm.weight", DIMR_SHAPE (8));
  dimr_graph_add_param (graph, "blocks.3.norm.weight", DIMR_SHAPE (8));
  return cuda_is_float8 (graph, dimr_graph_peek_node (graph, y), precision);
}

static void
test_rule (void)
{
  static const struct { const char *name; gboolean is_float8; } cases[] = {
    { "stages.0.blocks.1.block2.w2.weight", TRUE }, { "stages.0.blocks.10.block1.dense.weight", TRUE },
    { "stages.0.blocks.0.block2.w2.weight", FALSE }, { "stages.0.blocks.11.block2.w2.weight", FALSE },
    { "stages.1.blocks.1.block2.w2.weight", TRUE }, { "stages.1.blocks.2.block2.w2.weight", FALSE },
    { "blocks.2.mlp.fc1.weight", TRUE }, { "blocks.3.mlp.fc1.weight", FALSE },
    { "stages.1.upsample.1.kernel.weight", FALSE }, { "stages.0.output_layer.2.weight", FALSE },
    { "mid_blocks.1.weight", FALSE }, { "stages.0.blocks.weight", FALSE }, { "blocks", FALSE }, { "", FALSE },
  };
  const char *inner = cases[0].name;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    if (is_float8 (cases[i].name, N, K, FALSE, FALSE, DIMR_PRECISION_F8) != cases[i].is_float8)
      g_error ("%s is%s in float8", cases[i].name, cases[i].is_float8 ? " not" : "");
  g_assert_false (is_float8 (inner, N, K, FALSE, FALSE, DIMR_PRECISION_BF16));
  g_assert_false (is_float8 (inner, N, K, FALSE, FALSE, DIMR_PRECISION_F32));
  g_assert_false (is_float8 (inner, N, K, TRUE, FALSE, DIMR_PRECISION_F8));
  g_assert_false (is_float8 (inner, N, K, FALSE, TRUE, DIMR_PRECISION_F8));
  g_assert_false (is_float8 (inner, N + 8, K, FALSE, FALSE, DIMR_PRECISION_F8));
  g_assert_false (is_float8 (inner, N, K + 8, FALSE, FALSE, DIMR_PRECISION_F8));
}

/* ---- refusals and failures ---- */

static void
check_refusal (DimrDevice *device,
               const char *part)
{
  g_autoptr (GError) error = NULL;
  g_auto (CudaCase) network = { 0 };

  cuda_case_init (&network, 1, 1);
  g_assert_null (dimr_plan_new (network.graph, &network.eps, 1, device, DIMR_PRECISION_F8, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, part));
  g_assert_nonnull (strstr (error->message, "--precision"));
  g_assert_true (dimr_device_check_precision (device, DIMR_PRECISION_F32, NULL));
}

static void
test_refusals (void)
{
  static const struct { int major, minor, blas; const char *part; } cases[] = {
    { 8, 9, 130000, "8.9" }, { 10, 0, 130000, "10.0" }, { 7, 5, 130000, "--precision f32" }, { 9, 0, 120803, "12.8" },
  };
  g_autoptr (DimrDevice) cpu = dimr_device_open ("cpu", 1, NULL);
  FakeCudaConfig *config = fake_cuda_config ();

  check_refusal (cpu, "float8");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (CudaDevice) device = NULL;

      config->major = cases[i].major;
      config->minor = cases[i].minor;
      config->blas_version = cases[i].blas;
      device = cuda_case_open ();
      check_refusal (DIMR_DEVICE (device), cases[i].part);
    }
  fake_cuda_reset ();
}

/* Every call from the plan to the program fails once: an error, and nothing is left over. */
static void
test_failures (void)
{
  const guint before = fake_cuda_count_objects ();
  gboolean good = FALSE;
  g_auto (Branch) branch = { 0 };
  DimrNodeId node, last;
  guint n = 0;

  branch_init (&branch);
  node = dimr_graph_add_op (branch.graph, DIMR_OP_LINEAR, ATTRS, add_param (&branch, "stages.0.blocks.1.w.weight", N, K),
                            DIMR_NODE_NONE, DIMR_NODE_NONE, add_input (&branch, "x", K));
  last = add_last_block (&branch, node);
  g_assert_true (dimr_graph_finish (branch.graph, NULL));
  for (gulong number = 1; !good; number++)
    {
      g_autoptr (CudaDevice) device = cuda_case_open ();
      g_autoptr (GError) error = NULL;
      g_auto (Run) run = { 0 };

      fake_cuda_fail_at (number, cudaErrorMemoryAllocation);
      good = run_open (&run, &branch, node, last, device, DIMR_PRECISION_F8, &error) && fake_cuda_failed_call () == NULL;
      fake_cuda_fail_at (0, cudaSuccess);
      if (run.program == NULL)
        {
          g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY);
          n++;
        }
      g_assert_cmpuint (number, <, 1000);
    }
  g_assert_cmpuint (n, >, 20);
  g_assert_cmpuint (fake_cuda_count_objects (), ==, before);
  fake_cuda_check_guards ();
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("DIMR_CUDA_FIRST_ALGORITHM", "1", TRUE);
  dimr_kernels_init ();
  g_test_add_data_func ("/cuda/float8/linear/plain", GINT_TO_POINTER (FALSE), test_linear);
  g_test_add_data_func ("/cuda/float8/linear/bias-and-residual", GINT_TO_POINTER (TRUE), test_linear);
  g_test_add_func ("/cuda/float8/geglu", test_geglu);
  g_test_add_func ("/cuda/float8/rule", test_rule);
  g_test_add_func ("/cuda/float8/refusals", test_refusals);
  g_test_add_func ("/cuda/float8/failures", test_failures);
  return g_test_run ();
}
