/* The protocol of bench-forward, which the scripts beside it rely on.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/dimr.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#define BATCH 2
#define IMAGE (3 * 32 * 32)

typedef struct
{
  GSubprocess *process;
  GOutputStream *in;
  GDataInputStream *out;
} Side;

static JsonObject *
read_answer (Side *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *line = g_data_input_stream_read_line (self->out, NULL, NULL, &error);
  g_autoptr (JsonNode) node = NULL;

  g_assert_no_error (error);
  g_assert_nonnull (line);
  node = json_from_string (line, &error);
  g_assert_no_error (error);
  return json_node_dup_object (node);
}

static JsonObject *
ask (Side       *self,
     const char *request)
{
  g_autofree char *line = g_strconcat (request, "\n", NULL);

  g_assert_true (g_output_stream_write_all (self->in, line, strlen (line), NULL, NULL, NULL));
  return read_answer (self);
}

static void
start (Side       *self,
       const char *precision)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) ready = NULL;

  self->process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error,
                                    BENCH_FORWARD, STARTER_MODEL, "cpu", precision, "2", NULL);
  g_assert_no_error (error);
  self->in = g_subprocess_get_stdin_pipe (self->process);
  self->out = g_data_input_stream_new (g_subprocess_get_stdout_pipe (self->process));
  ready = read_answer (self);
  g_assert_nonnull (strstr (json_object_get_string_member (ready, "ready"), precision));
}

/* At the end of its input it ends. */
static void
stop (Side *self)
{
  g_assert_true (g_output_stream_close (self->in, NULL, NULL));
  g_assert_true (g_subprocess_wait_check (self->process, NULL, NULL));
  g_clear_object (&self->out);
  g_clear_object (&self->process);
}

static void
write_case (const char *path)
{
  const char *names[] = { "x", "log_snr", "y", NULL };
  const DimrShape x_shape = DIMR_SHAPE (BATCH, 3, 32, 32), vector = DIMR_SHAPE (BATCH);
  float x[BATCH * IMAGE];
  const float log_snr[BATCH] = { 0.5f, 0.5f };
  const gint64 y[BATCH] = { 291, 1000 };
  g_autoptr (GError) error = NULL;
  DimrTensor *tensors[3];

  dimr_rng_normal (5, 0, DIMR_STREAM_START_NOISE, 0, x, G_N_ELEMENTS (x));
  tensors[0] = dimr_tensor_new_copy (DIMR_DTYPE_F32, &x_shape, x);
  tensors[1] = dimr_tensor_new_copy (DIMR_DTYPE_F32, &vector, log_snr);
  tensors[2] = dimr_tensor_new_copy (DIMR_DTYPE_I64, &vector, y);
  dimr_safetensors_write (path, names, tensors, NULL, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 3; i++)
    dimr_tensor_unref (tensors[i]);
}

static float *
read_tensor (const char *path,
             const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrWeights) file = dimr_weights_open (path, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (dimr_tensor_get_n_elements (dimr_weights_peek (file, name)), ==, BATCH * IMAGE);
  return dimr_tensor_dup_f32 (dimr_weights_peek (file, name));
}

static double
distance (const float *a,
          const float *b)
{
  double error = 0, norm = 0;

  for (guint i = 0; i < BATCH * IMAGE; i++)
    {
      error += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
      norm += (double) b[i] * b[i];
    }
  return sqrt (error / norm);
}

/* The evaluation that is timed is the one that `dimr forward` makes. */
static void
test_evaluates_what_it_times (void)
{
  static const double bounds[] = { 1e-5, 0.02 };
  static const char *const precisions[] = { "f32", "bf16" };
  g_autofree char *folder = g_dir_make_tmp ("dimr-side-XXXXXX", NULL);
  g_autofree char *input = g_build_filename (folder, "in.safetensors", NULL);
  g_autofree char *output = g_build_filename (folder, "out.safetensors", NULL);
  g_autofree char *expected = g_build_filename (folder, "expected.safetensors", NULL);
  g_autofree char *request = g_strdup_printf ("case\t%s\t%s", input, output);
  g_autoptr (GError) error = NULL;
  g_autofree float *reference = NULL;

  write_case (input);
  g_spawn_sync (NULL, (char *[]){ (char *) COMMAND_LINE, (char *) "forward", (char *) "--model", (char *) STARTER_MODEL, (char *) "-i",
                                  input, (char *) "-o", expected, (char *) "--device", (char *) "cpu", NULL },
                NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  reference = read_tensor (expected, "out2");

  for (guint i = 0; i < G_N_ELEMENTS (precisions); i++)
    {
      Side side;
      g_autoptr (JsonObject) prepared = NULL, time = NULL, memory = NULL;
      g_autofree float *out = NULL;

      start (&side, precisions[i]);
      prepared = ask (&side, request);
      g_assert_cmpint (json_object_get_int_member (prepared, "case"), ==, BATCH);
      g_assert_cmpfloat (json_object_get_double_member (prepared, "seconds"), >, 0);
      time = ask (&side, "run\t2");
      g_assert_cmpfloat (json_object_get_double_member (time, "ms"), >, 0);
      memory = ask (&side, "memory");
      g_assert_true (json_object_has_member (memory, "peak_bytes"));
      out = read_tensor (output, "out");
      g_assert_cmpfloat (distance (out, reference), <, bounds[i]);
      stop (&side);
    }
  g_remove (input);
  g_remove (output);
  g_remove (expected);
  g_rmdir (folder);
}

/* A request that cannot be answered is told, and the next one is heard. */
static void
test_goes_on_after_an_error (void)
{
  static const char *const requests[] = { "run\t1", "", "run", "case\tx", "case\t/no/such/file\t/tmp/out", "run\t0", "jump\t\"\\\t1" };
  Side side;

  start (&side, "f32");
  for (guint i = 0; i < G_N_ELEMENTS (requests); i++)
    {
      g_autoptr (JsonObject) answer = ask (&side, requests[i]);

      g_assert_true (json_object_has_member (answer, "error"));
    }
  stop (&side);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/bench-forward/evaluates-what-it-times", test_evaluates_what_it_times);
  g_test_add_func ("/bench-forward/goes-on-after-an-error", test_goes_on_after_an_error);
  return g_test_run ();
}
