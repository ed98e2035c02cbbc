/* test-cuda-nccl.c — gradients of several GPUs, summed from device to device, are those of one to the byte
 *
 * The ranks are threads, each with a device of the emulator and a socket to every other one; NCCL is
 * toolkit/fake-nccl.c, opened as the real one is.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cuda-case.h"

#include "core/base/dimr-error.h"
#include "core/graph/dimr-device-training.h"
#include "core/train/dimr-collective-tcp.h"
#include "fake-cuda.h"
#include "fake-nccl.h"

#include <gmodule.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_RANKS 3
#define N_NUMBERS 777

static const DimrTrainingParameter parameters[] = {
  { "a", 0, 500, TRUE, TRUE }, { "b", 500, 7, TRUE, FALSE }, { "c", 507, 270, TRUE, TRUE },
};

static FakeNcclFailAt nccl_fail_at;
static FakeNcclCountCalls nccl_count_calls;
static FakeNcclCountComms nccl_count_comms;

/* What all ranks share. */
typedef struct
{
  guint size;
  guint n_leaves;
  float *leaves;    /* [n_leaves, N_NUMBERS] */
  float *expected;  /* [N_NUMBERS] */
  gint absent;      /* a rank that comes together with the others and then goes; −1: none */
} Shared;

typedef struct
{
  const Shared *shared;
  guint rank;
  DimrCollective *group;
  gboolean joined;
  gboolean summed;
  gboolean same;    /* as expected */
  GError *error;
} Rank;

static void
add (float       *sum,
     const float *x)
{
  for (guint i = 0; i < N_NUMBERS; i++)
    sum[i] += x[i];
}

/* The nodes of leaves [first, end), and where @all is set their sum alone. */
static GPtrArray *
sum_leaves (const Shared *self,
            guint64       first,
            guint64       end,
            gboolean      all)
{
  GPtrArray *sums = g_ptr_array_new_with_free_func (g_free);
  DimrTreeStack stack = { .n = 0 };

  for (guint64 leaf = first; leaf < end; leaf++)
    {
      gboolean pair = dimr_tree_push (&stack, (DimrTreeNode){ 0, leaf });

      g_ptr_array_add (sums, g_memdup2 (self->leaves + leaf * N_NUMBERS, N_NUMBERS * sizeof (float)));
      for (; pair || (all && leaf + 1 == end && stack.n > 1); pair = dimr_tree_is_pair (&stack))
        {
          add (g_ptr_array_index (sums, sums->len - 2), g_ptr_array_index (sums, sums->len - 1));
          g_ptr_array_set_size (sums, (gint) sums->len - 1);
          dimr_tree_merge (&stack);
        }
    }
  return sums;
}

static void
shared_init (Shared *self,
             guint   size,
             guint   n_leaves)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (n_leaves);
  g_autoptr (GPtrArray) sums = NULL;

  *self = (Shared){ .size = size, .n_leaves = n_leaves, .absent = -1 };
  self->leaves = g_new (float, n_leaves * N_NUMBERS);
  for (guint i = 0; i < n_leaves * N_NUMBERS; i++)
    self->leaves[i] = (float) g_rand_double_range (rand, -1, 1);
  sums = sum_leaves (self, 0, n_leaves, TRUE);
  self->expected = g_memdup2 (g_ptr_array_index (sums, 0), N_NUMBERS * sizeof (float));
}

static void
shared_clear (Shared *self)
{
  g_free (self->leaves);
  g_free (self->expected);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Shared, shared_clear)

/* Gives the rank's nodes to the device, and sums. */
static gboolean
sum (Rank                *self,
     DimrDeviceTraining  *training,
     GPtrArray           *nodes)
{
  float result[N_NUMBERS];

  for (guint i = 0; i < nodes->len; i++)
    if (!dimr_device_training_write (training, DIMR_TRAINING_SUM + i, g_ptr_array_index (nodes, i), &self->error))
      return FALSE;
  self->summed = dimr_device_training_sum (training, self->shared->n_leaves, NULL, &self->error) &&
                 dimr_device_training_read (training, DIMR_TRAINING_SUM, result, &self->error);
  self->same = self->summed && memcmp (result, self->shared->expected, sizeof result) == 0;
  return self->summed;
}

static gpointer
run_rank (gpointer data)
{
  Rank *self = data;
  g_autoptr (DimrDevice) device = dimr_cuda_backend ()->open (self->rank, 0, &self->error);
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  g_autoptr (DimrWeights) weights = dimr_weights_new_for_tensors (g_steal_pointer (&tensors));
  g_autoptr (DimrDeviceTraining) training = NULL;
  g_autoptr (GPtrArray) nodes = NULL;
  guint64 first, end;

  dimr_tree_share (self->shared->n_leaves, self->rank, self->shared->size, &first, &end);
  nodes = sum_leaves (self->shared, first, end, FALSE);
  training = device != NULL ? dimr_device_new_training (device, &(DimrTrainingSpec){ weights, parameters, G_N_ELEMENTS (parameters), nodes->len, TRUE },
                                                        &self->error)
                            : NULL;
  self->joined = training != NULL && dimr_device_training_join (training, self->group, NULL, &self->error);
  if (self->joined && (gint) self->rank != self->shared->absent)
    /* Twice, since a run goes on. */
    (void) (sum (self, training, nodes) && sum (self, training, nodes));
  if (self->error != NULL)
    dimr_collective_leave (self->group, self->error->message);
  g_clear_object (&self->group);
  return NULL;
}

static void
run_all (const Shared *shared,
         Rank         *ranks)
{
  GSocket *sockets[MAX_RANKS][MAX_RANKS] = { { NULL } };
  GThread *threads[MAX_RANKS];

  for (guint a = 0; a < shared->size; a++)
    for (guint b = a + 1; b < shared->size; b++)
      {
        int fds[2];

        g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
        sockets[a][b] = g_socket_new_from_fd (fds[0], NULL);
        sockets[b][a] = g_socket_new_from_fd (fds[1], NULL);
      }
  for (guint r = 0; r < shared->size; r++)
    ranks[r] = (Rank){ .shared = shared, .rank = r, .group = dimr_collective_tcp_new_for_sockets (r, shared->size, sockets[r]) };
  for (guint r = 0; r < shared->size; r++)
    threads[r] = g_thread_new ("rank", run_rank, &ranks[r]);
  for (guint r = 0; r < shared->size; r++)
    g_thread_join (threads[r]);
}

static void
mend (void)
{
  fake_cuda_reset ();
  fake_cuda_config ()->n_devices = MAX_RANKS;
  cuda_error_forget ();
  nccl_fail_at (0);
}

static void
test_sum (void)
{
  for (guint n_leaves = 2; n_leaves <= 7; n_leaves++)
    for (guint size = 2; size <= MIN (MAX_RANKS, n_leaves); size++)
      {
        g_auto (Shared) shared = { 0 };
        Rank ranks[MAX_RANKS];

        mend ();
        shared_init (&shared, size, n_leaves);
        run_all (&shared, ranks);
        for (guint r = 0; r < size; r++)
          {
            g_assert_no_error (ranks[r].error);
            g_assert_true (ranks[r].same);
          }
        g_assert_cmpuint (nccl_count_comms (), ==, 0);
        g_assert_cmpuint (fake_cuda_count_objects (), ==, 0);
        fake_cuda_check_guards ();
      }
}

/* Either all sum over the devices or nobody does, and then one sentence says why. */
static void
test_absent_library (void)
{
  g_auto (Shared) shared = { 0 };
  Rank ranks[MAX_RANKS];
  g_autofree char *path = g_strdup (g_getenv ("DIMR_NCCL"));

  mend ();
  shared_init (&shared, 2, 2);
  g_setenv ("DIMR_NCCL", "/nowhere/libnccl.so.2", TRUE);
  run_all (&shared, ranks);
  g_setenv ("DIMR_NCCL", path, TRUE);
  for (guint r = 0; r < 2; r++)
    {
      g_assert_false (ranks[r].joined);
      g_assert_error (ranks[r].error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED);
      g_assert_nonnull (strstr (ranks[r].error->message, "/nowhere/libnccl.so.2 is not here") != NULL ?
                        ranks[r].error->message : strstr (ranks[r].error->message, "NCCL is not at hand"));
      g_error_free (ranks[r].error);
    }
  g_assert_cmpuint (fake_cuda_count_objects (), ==, 0);
}

/* A process that goes while the others wait on their devices is named, by those that hear of it. */
static void
test_lost (void)
{
  g_auto (Shared) shared = { 0 };
  Rank ranks[MAX_RANKS];

  mend ();
  shared_init (&shared, 3, 3);
  shared.absent = 1;
  run_all (&shared, ranks);
  g_assert_no_error (ranks[1].error);
  for (guint r = 0; r < 3; r += 2)
    {
      g_assert_false (ranks[r].summed);
      g_assert_error (ranks[r].error, DIMR_ERROR, DIMR_ERROR_PEER);
      g_assert_nonnull (strstr (ranks[r].error->message, "Process "));
      g_error_free (ranks[r].error);
    }
  g_assert_cmpuint (nccl_count_comms (), ==, 0);
  g_assert_cmpuint (fake_cuda_count_objects (), ==, 0);
}

/* Every call of NCCL fails once: somebody says so in a sentence, nobody hangs, nothing is left, no wrong sum is taken for a right one. */
static void
test_failures (void)
{
  g_auto (Shared) shared = { 0 };
  /* A rank that nobody answers waits for FAKE_NCCL_PATIENCE. */
  const gulong stride = g_strcmp0 (g_getenv ("DIMR_TEST_ALL"), "1") == 0 ? 1 : 5;
  gulong n_calls;
  Rank ranks[MAX_RANKS];

  mend ();
  shared_init (&shared, 2, 3);
  run_all (&shared, ranks);
  n_calls = nccl_count_calls ();
  g_assert_cmpuint (n_calls, >, 20);
  for (gulong call = 1; call <= n_calls; call += stride)
    {
      gboolean said = FALSE;

      mend ();
      nccl_fail_at (call);
      run_all (&shared, ranks);
      for (guint r = 0; r < 2; r++)
        {
          said |= ranks[r].error != NULL;
          g_assert_true (!ranks[r].summed || ranks[r].same);
          if (ranks[r].error != NULL)
            g_assert_true (ranks[r].error->domain == DIMR_ERROR);
          g_clear_error (&ranks[r].error);
        }
      /* The last calls end the communicators. */
      g_assert_true (said || call > n_calls - 8);
      g_assert_cmpuint (nccl_count_comms (), ==, 0);
      g_assert_cmpuint (fake_cuda_count_objects (), ==, 0);
    }
}

int
main (int   argc,
      char *argv[])
{
  GModule *module = g_module_open (g_getenv ("DIMR_NCCL"), G_MODULE_BIND_LAZY);
  gpointer symbols[3];

  g_test_init (&argc, &argv, NULL);
  if (module == NULL)
    g_error ("%s", g_module_error ());
  g_assert_true (g_module_symbol (module, "fake_nccl_fail_at", &symbols[0]));
  g_assert_true (g_module_symbol (module, "fake_nccl_count_calls", &symbols[1]));
  g_assert_true (g_module_symbol (module, "fake_nccl_count_comms", &symbols[2]));
  nccl_fail_at = (FakeNcclFailAt) symbols[0];
  nccl_count_calls = (FakeNcclCountCalls) symbols[1];
  nccl_count_comms = (FakeNcclCountComms) symbols[2];
  g_test_add_func ("/cuda/nccl/sum-is-that-of-one-process-to-the-byte", test_sum);
  g_test_add_func ("/cuda/nccl/says-that-it-is-not-there", test_absent_library);
  g_test_add_func ("/cuda/nccl/names-who-is-lost", test_lost);
  g_test_add_func ("/cuda/nccl/every-call-fails-once", test_failures);
  return g_test_run ();
}
