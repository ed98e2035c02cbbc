/* Processes that train together, here threads of one: they find each other over TCP on this host, sum as one
 * process would, and say who is lost.
 * SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/train/dimr-collective-tcp.h"

#include <string.h>
#include <sys/socket.h>

#define MAX_RANKS 5

/* What a rank does once all are there; NULL: nothing. */
typedef void (*RankFunc) (DimrCollective *group, gpointer data);

typedef struct
{
  DimrLaunch launch;
  GSocket *listener;
  RankFunc func;
  gpointer data;
  GError *error;   /* why it did not come together with the others */
  gboolean absent; /* it never starts */
} Rank;

static gpointer
run_rank (gpointer data)
{
  Rank *self = data;
  g_autoptr (DimrCollective) group = dimr_collective_tcp_new (&self->launch, self->listener, NULL, &self->error);

  if (group != NULL && self->func != NULL)
    self->func (group, self->data);
  return NULL;
}

static void
prepare (Rank     *ranks,
         guint     size,
         RankFunc  func,
         gpointer  data)
{
  guint16 port = 0;
  GSocket *listener = dimr_collective_tcp_listen (TRUE, &port, NULL);

  g_assert_nonnull (listener);
  for (guint r = 0; r < size; r++)
    ranks[r] = (Rank){
      .launch = { .rank = r, .size = size, .host = (char *) "127.0.0.1", .port = port, .token = (char *) "secret", .patience = 20 },
      .func = func,
      .data = data,
    };
  ranks[0].listener = listener;
}

static void
run_all (Rank  *ranks,
         guint  size)
{
  GThread *threads[MAX_RANKS] = { NULL };

  for (guint r = 0; r < size; r++)
    if (!ranks[r].absent)
      threads[r] = g_thread_new ("rank", run_rank, &ranks[r]);
  for (guint r = 0; r < size; r++)
    if (threads[r] != NULL)
      g_thread_join (threads[r]);
  g_clear_object (&ranks[0].listener);
}

static void
run_group (guint    size,
           RankFunc func,
           gpointer data)
{
  Rank ranks[MAX_RANKS];

  prepare (ranks, size, func, data);
  run_all (ranks, size);
  for (guint r = 0; r < size; r++)
    g_assert_no_error (ranks[r].error);
}

/* FALSE with what was expected on stderr. */
static void
assert_says (GError     *error,
             const char *sentence)
{
  if (error == NULL || error->domain != DIMR_ERROR || strstr (error->message, sentence) == NULL)
    g_error ("“%s” instead of “%s”", error != NULL ? error->message : "no error", sentence);
  g_error_free (error);
}

/* ---- sums ---- */

#define N_NUMBERS 1013

typedef struct
{
  guint n_leaves;
  float *leaves;       /* [n_leaves, N_NUMBERS] */
  float *expected;     /* [N_NUMBERS]: what one process makes of them */
} Sums;

/* The sums of leaves [first, end) as a process keeps them; *n of them. */
static GPtrArray *
sum_leaves (const Sums *self,
            guint64     first,
            guint64     end)
{
  GPtrArray *sums = g_ptr_array_new_with_free_func (g_free);
  DimrTreeStack stack = { .n = 0 };

  for (guint64 leaf = first; leaf < end; leaf++)
    {
      gboolean pair = dimr_tree_push (&stack, (DimrTreeNode){ 0, leaf });

      g_ptr_array_add (sums, g_memdup2 (self->leaves + leaf * N_NUMBERS, N_NUMBERS * sizeof (float)));
      for (; pair; pair = dimr_tree_is_pair (&stack))
        {
          float *left = g_ptr_array_index (sums, sums->len - 2), *right = g_ptr_array_index (sums, sums->len - 1);

          for (guint i = 0; i < N_NUMBERS; i++)
            left[i] += right[i];
          g_ptr_array_set_size (sums, (gint) sums->len - 1);
          dimr_tree_merge (&stack);
        }
      g_assert_cmpuint (sums->len, ==, stack.n);
    }
  return sums;
}

static void
sums_init (Sums  *self,
           guint  n_leaves)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (n_leaves);
  g_autoptr (GPtrArray) sums = NULL;

  self->n_leaves = n_leaves;
  self->leaves = g_new (float, n_leaves * N_NUMBERS);
  for (guint i = 0; i < n_leaves * N_NUMBERS; i++)
    self->leaves[i] = (float) g_rand_double_range (rand, -1, 1) * (i % 7 == 0 ? 1e6f : 1);
  sums = sum_leaves (self, 0, n_leaves);
  while (sums->len > 1)
    {
      float *left = g_ptr_array_index (sums, sums->len - 2), *right = g_ptr_array_index (sums, sums->len - 1);

      for (guint i = 0; i < N_NUMBERS; i++)
        left[i] += right[i];
      g_ptr_array_set_size (sums, (gint) sums->len - 1);
    }
  self->expected = g_memdup2 (g_ptr_array_index (sums, 0), N_NUMBERS * sizeof (float));
}

static void
check_sum (DimrCollective *group,
           gpointer        data)
{
  const Sums *self = data;
  g_autoptr (GPtrArray) own = NULL;
  g_autoptr (GError) error = NULL;
  guint64 first, end;

  dimr_tree_share (self->n_leaves, dimr_collective_get_rank (group), dimr_collective_get_size (group), &first, &end);
  own = sum_leaves (self, first, end);
  /* Twice, since a group goes on. */
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GPtrArray) again = sum_leaves (self, first, end);
      float *sum = g_ptr_array_index (again, 0);

      dimr_collective_sum (group, self->n_leaves, (float * const *) again->pdata, sum, N_NUMBERS, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpmem (sum, N_NUMBERS * sizeof (float), self->expected, N_NUMBERS * sizeof (float));
    }
}

static void
test_sum (void)
{
  for (guint n_leaves = 1; n_leaves <= 13; n_leaves++)
    {
      Sums sums;

      sums_init (&sums, n_leaves);
      for (guint size = 2; size <= MIN (n_leaves, MAX_RANKS); size++)
        run_group (size, check_sum, &sums);
      g_free (sums.leaves);
      g_free (sums.expected);
    }
}

/* The order is that of a tree: ((0 1)(2 3)) 4, and no share is empty. */
static void
test_tree (void)
{
  DimrTreeStack stack;

  dimr_tree_list (&stack, 0, 5);
  g_assert_cmpuint (stack.n, ==, 2);
  g_assert_cmpuint (stack.nodes[0].level, ==, 2);
  g_assert_cmpuint (stack.nodes[1].index, ==, 4);
  dimr_tree_list (&stack, 3, 8);
  g_assert_cmpuint (stack.n, ==, 2);
  g_assert_cmpuint (stack.nodes[0].level, ==, 0);
  g_assert_cmpuint (stack.nodes[1].level, ==, 2);
  g_assert_cmpuint (stack.nodes[1].index, ==, 1);
  g_assert_cmpuint (dimr_tree_get_depth (0, 1), ==, 1);
  g_assert_cmpuint (dimr_tree_get_depth (0, 2), ==, 1);
  g_assert_cmpuint (dimr_tree_get_depth (0, 3), ==, 2);
  g_assert_cmpuint (dimr_tree_get_depth (0, 8), ==, 3);
  g_assert_cmpuint (dimr_tree_get_depth (3, 8), ==, 3);
  for (guint64 n = 1; n < 40; n++)
    for (guint size = 1; size <= n; size++)
      {
        guint64 last = 0;

        for (guint r = 0; r < size; r++)
          {
            guint64 first, end;

            dimr_tree_share (n, r, size, &first, &end);
            g_assert_cmpuint (first, ==, last);
            g_assert_cmpuint (end, >, first);
            last = end;
          }
        g_assert_cmpuint (last, ==, n);
      }
}

/* ---- the small ones ---- */

static void
check_small (DimrCollective *group,
             gpointer        data)
{
  const guint rank = dimr_collective_get_rank (group), size = dimr_collective_get_size (group);
  const guint32 own = 10 + rank;
  guint32 all[MAX_RANKS] = { 0 }, said = rank == 0 ? 77 : 0;
  gsize sizes[MAX_RANKS];
  guint8 bytes[MAX_RANKS * MAX_RANKS], mine[MAX_RANKS];
  gint *n_arrived = data;
  guint at = 0;

  g_assert_true (dimr_collective_gather (group, &own, sizeof own, all, NULL, NULL));
  for (guint r = 0; r < size; r++)
    g_assert_cmpuint (all[r], ==, 10 + r);
  g_assert_true (dimr_collective_broadcast (group, &said, sizeof said, NULL, NULL));
  g_assert_cmpuint (said, ==, 77);
  for (guint r = 0; r < size; r++)
    sizes[r] = r;
  memset (mine, (int) rank, sizeof mine);
  g_assert_true (dimr_collective_gather_sizes (group, mine, sizes, bytes, NULL, NULL));
  for (guint r = 0; r < size; r++)
    for (guint i = 0; i < r; i++)
      g_assert_cmpuint (bytes[at++], ==, r);
  g_atomic_int_inc (n_arrived);
  g_assert_true (dimr_collective_barrier (group, NULL, NULL));
  g_assert_cmpint (g_atomic_int_get (n_arrived), ==, size);
}

static void
test_small (void)
{
  for (guint size = 2; size <= MAX_RANKS; size++)
    {
      gint n_arrived = 0;

      run_group (size, check_small, &n_arrived);
    }
}

/* More than sockets hold, both ways at once. */
static void
check_large (DimrCollective *group,
             gpointer        data)
{
  const gsize size = (gsize) 9 << 20;
  const guint rank = dimr_collective_get_rank (group), n = dimr_collective_get_size (group);
  g_autofree guint8 *own = g_malloc (size), *all = g_malloc (n * size);

  for (gsize i = 0; i < size; i++)
    own[i] = (guint8) (i * 7 + rank);
  g_assert_true (dimr_collective_gather (group, own, size, all, NULL, NULL));
  for (guint r = 0; r < n; r++)
    for (gsize i = 0; i < size; i += 1021)
      g_assert_cmpuint (all[r * size + i], ==, (guint8) (i * 7 + r));
}

static void
test_large (void)
{
  run_group (3, check_large, NULL);
}

/* ---- coming together ---- */

static void
test_wrong_token (void)
{
  Rank ranks[3];

  prepare (ranks, 3, NULL, NULL);
  ranks[2].launch.token = (char *) "guess";
  ranks[0].launch.patience = ranks[1].launch.patience = 1;
  run_all (ranks, 3);
  assert_says (ranks[2].error, "has another token: set DIMR_TOKEN");
  assert_says (ranks[0].error, "Of 3 processes number 2 did not come within 1 seconds");
  assert_says (ranks[1].error, "Process 0 gave up before all 3 processes had come together");
}

static void
test_wrong_size (void)
{
  Rank ranks[2];

  prepare (ranks, 2, NULL, NULL);
  ranks[1].launch.size = 4;
  run_all (ranks, 2);
  assert_says (ranks[0].error, "Process 1 was started as one of 4, but this is a run of 2 processes");
  assert_says (ranks[1].error, "This process was started as one of 4, but process 0 is one of 2");
}

static void
test_same_rank (void)
{
  Rank ranks[3];

  prepare (ranks, 3, NULL, NULL);
  ranks[2].launch.rank = 1;
  ranks[1].launch.patience = ranks[2].launch.patience = 5;
  run_all (ranks, 3);
  assert_says (ranks[0].error, "Two processes of this run say that they are number 1");
  /* One of them was told so, the other was left alone. */
  g_assert_true ((strstr (ranks[1].error->message, "of which there is one already") != NULL) !=
                 (strstr (ranks[2].error->message, "of which there is one already") != NULL));
  g_error_free (ranks[1].error);
  g_error_free (ranks[2].error);
}

static void
test_late (void)
{
  Rank ranks[2];

  prepare (ranks, 2, NULL, NULL);
  ranks[0].launch.patience = 1;
  ranks[1].absent = TRUE;
  run_all (ranks, 2);
  assert_says (ranks[0].error, "Of 2 processes number 1 did not come within 1 seconds");
}

static void
test_nobody (void)
{
  g_autoptr (GSocket) deaf = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL);
  g_autoptr (GInetAddress) loopback = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr (GSocketAddress) address = NULL;
  Rank ranks[2];

  prepare (ranks, 2, NULL, NULL);
  /* The port stays taken, lest a program beside this one is given it and answers. */
  g_socket_close (ranks[0].listener, NULL);
  address = g_inet_socket_address_new (loopback, ranks[1].launch.port);
  g_assert_true (g_socket_bind (deaf, address, TRUE, NULL));
  ranks[0].absent = TRUE;
  ranks[1].launch.patience = 1;
  run_all (ranks, 2);
  assert_says (ranks[1].error, "Process 0 could not be reached at 127.0.0.1");
}

/* Somebody who has nothing to do with it, and says something else. */
static gpointer
knock (gpointer data)
{
  const Rank *rank = data;
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = g_socket_client_connect_to_host (client, "127.0.0.1", rank->launch.port, NULL, NULL);
  char text[256];

  memset (text, 'x', sizeof text);
  if (connection != NULL)
    g_output_stream_write_all (g_io_stream_get_output_stream (G_IO_STREAM (connection)), text, sizeof text, NULL, NULL, NULL);
  return NULL;
}

static void
test_stranger (void)
{
  Rank ranks[2];
  gint n_arrived = 0;

  prepare (ranks, 2, check_small, &n_arrived);
  g_thread_join (g_thread_new ("stranger", knock, &ranks[0]));
  run_all (ranks, 2);
  g_assert_no_error (ranks[0].error);
  g_assert_no_error (ranks[1].error);
  g_assert_cmpint (n_arrived, ==, 2);
}

/* ---- losing each other ---- */

static void
check_lost (DimrCollective *group,
            gpointer        data)
{
  g_autoptr (GError) error = NULL;
  const gboolean says = data != NULL;

  g_assert_true (dimr_collective_barrier (group, NULL, NULL));
  if (dimr_collective_get_rank (group) == 1)
    {
      if (says)
        dimr_collective_leave (group, data);
      return;
    }
  g_assert_false (dimr_collective_barrier (group, NULL, &error));
  assert_says (g_error_copy (error), says ? "Process 1 of 3 stopped: The loss is no number" : "Process 1 of 3 is gone");
  /* What comes after is no surprise. */
  g_assert_false (dimr_collective_barrier (group, NULL, NULL));
  /* As a run does: rank 2 would be alone otherwise, and tell of rank 0. */
  g_usleep (200000);
}

/* Nothing has to be exchanged to hear of it. */
static void
check_without_exchange (DimrCollective *group,
                        gpointer        data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (dimr_collective_barrier (group, NULL, NULL));
  if (dimr_collective_get_rank (group) == 1)
    {
      /* The next message is no reason to worry. */
      g_assert_true (dimr_collective_check (group, NULL));
      g_usleep (100000);
      if (data != NULL)
        dimr_collective_leave (group, data);
      return;
    }
  g_assert_true (dimr_collective_check (group, NULL));
  for (guint i = 0; i < 500 && dimr_collective_check (group, &error); i++)
    g_usleep (10000);
  assert_says (g_steal_pointer (&error), data != NULL ? "Process 1 of 2 stopped: It is enough" : "Process 1 of 2 is gone");
}

static void
test_lost (void)
{
  run_group (2, check_without_exchange, NULL);
  run_group (2, check_without_exchange, (gpointer) "It is enough");
  run_group (3, check_lost, NULL);
  run_group (3, check_lost, (gpointer) "The loss is no number");
}

static gpointer
cancel_soon (gpointer data)
{
  g_usleep (100000);
  g_cancellable_cancel (data);
  return NULL;
}

static void
check_patience (DimrCollective *group,
                gpointer        data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread;

  if (dimr_collective_get_rank (group) == 1)
    {
      g_usleep (1500000);
      return;
    }
  if (data != NULL)
    {
      thread = g_thread_new ("cancel", cancel_soon, cancellable);
      g_assert_false (dimr_collective_barrier (group, cancellable, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_thread_join (thread);
      return;
    }
  dimr_collective_tcp_set_patience (DIMR_COLLECTIVE_TCP (group), 1);
  g_assert_false (dimr_collective_barrier (group, NULL, &error));
  assert_says (g_steal_pointer (&error), "Process 1 of 2 has not answered for 1 seconds");
}

static void
test_patience (void)
{
  run_group (2, check_patience, NULL);
  run_group (2, check_patience, (gpointer) "cancel");
}

/* ---- bytes that come one by one ---- */

typedef struct
{
  guint32 kind;
  guint32 number;
  guint64 size;
} Frame;

/* The other end of a socket, which is no DimrCollective and dawdles. */
static gpointer
trickle (gpointer data)
{
  GSocket *socket = data;
  const struct { Frame frame; char text[6]; } message = { { 0x44524d44u, 0, 6 }, "abcde" };
  const char *bytes = (const char *) &message;

  for (gsize i = 0; i < sizeof (Frame) + 6; i++)
    {
      g_assert_cmpint (g_socket_send (socket, bytes + i, 1, NULL, NULL), ==, 1);
      g_usleep (2000);
    }
  return NULL;
}

static void
test_short_reads (void)
{
  int fds[2];
  GSocket *sockets[2] = { NULL, NULL };
  g_autoptr (GSocket) other = NULL;
  g_autoptr (DimrCollective) group = NULL;
  char all[2][6] = { "ABCDE", "" };
  GThread *thread;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
  sockets[1] = g_socket_new_from_fd (fds[0], NULL);
  other = g_socket_new_from_fd (fds[1], NULL);
  group = dimr_collective_tcp_new_for_sockets (0, 2, sockets);
  thread = g_thread_new ("trickle", trickle, other);
  g_assert_true (dimr_collective_gather (group, all[0], 6, all, NULL, NULL));
  g_thread_join (thread);
  g_assert_cmpstr (all[0], ==, "ABCDE");
  g_assert_cmpstr (all[1], ==, "abcde");
}

/* What comes must be the message that is waited for. */
static void
test_frames (void)
{
  static const struct { Frame frame; const char *sentence; } cases[] = {
    { { 0x44524d44u, 0, 12 }, "Process 1 of 2 sent 12 bytes where 6 were to come" },
    { { 0x44524d44u, 0, G_MAXUINT64 }, "bytes where 6 were to come" },
    { { 0x44524d44u, 1, 6 }, "sent 6 bytes where 6 were to come: start all processes with the same program" },
    { { 0x12345678u, 0, 6 }, "start all processes with the same program" },
    { { 0x46524d44u, 0, 6 }, "Process 1 of 2 stopped: abc de" },
    { { 0x46524d44u, 0, G_MAXUINT64 }, "Process 1 of 2 stopped: abc de" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      int fds[2];
      GSocket *sockets[2] = { NULL, NULL };
      g_autoptr (GSocket) other = NULL;
      g_autoptr (DimrCollective) group = NULL;
      GError *error = NULL;
      char all[2][6] = { "ABCDE", "" };

      g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
      sockets[1] = g_socket_new_from_fd (fds[0], NULL);
      other = g_socket_new_from_fd (fds[1], NULL);
      group = dimr_collective_tcp_new_for_sockets (0, 2, sockets);
      g_socket_send (other, (const char *) &cases[i].frame, sizeof (Frame), NULL, NULL);
      g_socket_send (other, "abc\nde", 6, NULL, NULL);
      g_assert_false (dimr_collective_gather (group, all[0], 6, all, NULL, &error));
      assert_says (error, cases[i].sentence);
    }
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/collective/tree/is-one-order-for-any-shares", test_tree);
  g_test_add_func ("/collective/sum/is-that-of-one-process-to-the-byte", test_sum);
  g_test_add_func ("/collective/small/gather-broadcast-barrier", test_small);
  g_test_add_func ("/collective/large/both-ways-at-once", test_large);
  g_test_add_func ("/collective/join/refuses-another-token", test_wrong_token);
  g_test_add_func ("/collective/join/refuses-another-size", test_wrong_size);
  g_test_add_func ("/collective/join/refuses-a-rank-twice", test_same_rank);
  g_test_add_func ("/collective/join/names-who-is-late", test_late);
  g_test_add_func ("/collective/join/says-that-nobody-is-there", test_nobody);
  g_test_add_func ("/collective/join/sends-strangers-away", test_stranger);
  g_test_add_func ("/collective/lost/is-named-by-rank", test_lost);
  g_test_add_func ("/collective/lost/has-an-end-of-patience-and-a-cancel", test_patience);
  g_test_add_func ("/collective/bytes/may-come-one-by-one", test_short_reads);
  g_test_add_func ("/collective/bytes/must-be-those-waited-for", test_frames);
  return g_test_run ();
}
