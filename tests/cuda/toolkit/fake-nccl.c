/* SPDX-License-Identifier: Apache-2.0 */
#include "fake-nccl.h"

#include <cuda_runtime_api.h>
#include <gmodule.h>
#include <string.h>

#define SUCCESS 0
#define SYSTEM_ERROR 2
#define INVALID_USAGE 5
#define REMOTE_ERROR 6
#define FLOAT 7
#define MAX_RANKS 8

typedef struct
{
  char internal[128];
} NcclId;

/* What one rank has sent to another and the other has not yet taken. */
typedef struct
{
  void *data;
  gsize size;
} Message;

/* All ranks with one id. */
typedef struct
{
  char id[128];
  int n_ranks;
  int n_arrived;
  GQueue mail[MAX_RANKS][MAX_RANKS];  /* [from][to] Message */
} Meeting;

typedef struct
{
  gboolean sends;
  void *data;
  gsize size;
  int peer;
  cudaStream_t stream;
} Transfer;

typedef struct NcclCommOpaque
{
  Meeting *meeting;
  int rank;
  int async_error;
} Comm;

static GMutex mutex;
static GCond changed;
static GPtrArray *meetings;
static unsigned long n_calls, fail_call;
static unsigned n_comms, n_ids;

/* Transfers between start and end, of each thread. */
static __thread GArray *group;
static __thread Comm *group_comm;
static __thread int depth;

G_MODULE_EXPORT void          fake_nccl_fail_at     (unsigned long call);
G_MODULE_EXPORT unsigned long fake_nccl_count_calls (void);
G_MODULE_EXPORT unsigned      fake_nccl_count_comms (void);
G_MODULE_EXPORT int           ncclGetUniqueId       (NcclId *id);
G_MODULE_EXPORT int           ncclCommInitRank      (Comm **comm, int n_ranks, NcclId id, int rank);
G_MODULE_EXPORT int           ncclCommDestroy       (Comm *comm);
G_MODULE_EXPORT int           ncclCommAbort         (Comm *comm);
G_MODULE_EXPORT int           ncclCommGetAsyncError (Comm *comm, int *result);
G_MODULE_EXPORT const char   *ncclGetErrorString    (int result);
G_MODULE_EXPORT int           ncclSend              (const void *data, size_t n, int type, int peer, Comm *comm, cudaStream_t stream);
G_MODULE_EXPORT int           ncclRecv              (void *data, size_t n, int type, int peer, Comm *comm, cudaStream_t stream);
G_MODULE_EXPORT int           ncclGroupStart        (void);
G_MODULE_EXPORT int           ncclGroupEnd          (void);

void
fake_nccl_fail_at (unsigned long call)
{
  g_mutex_lock (&mutex);
  n_calls = 0;
  fail_call = call;
  g_mutex_unlock (&mutex);
}

unsigned long
fake_nccl_count_calls (void)
{
  return n_calls;
}

unsigned
fake_nccl_count_comms (void)
{
  return n_comms;
}

/* With the lock held. */
static gboolean
fails (void)
{
  return ++n_calls == fail_call;
}

static gint64
get_deadline (void)
{
  return g_get_monotonic_time () + FAKE_NCCL_PATIENCE * 1000;
}

int
ncclGetUniqueId (NcclId *id)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);

  if (fails ())
    return SYSTEM_ERROR;
  memset (id, 0, sizeof *id);
  g_snprintf (id->internal, sizeof id->internal, "meeting %u", ++n_ids);
  return SUCCESS;
}

static Meeting *
find_meeting (const char *id,
              int         n_ranks)
{
  Meeting *meeting;

  if (meetings == NULL)
    meetings = g_ptr_array_new ();
  for (guint i = 0; i < meetings->len; i++)
    if (memcmp (((Meeting *) g_ptr_array_index (meetings, i))->id, id, 128) == 0)
      return g_ptr_array_index (meetings, i);
  meeting = g_new0 (Meeting, 1);
  memcpy (meeting->id, id, 128);
  meeting->n_ranks = n_ranks;
  g_ptr_array_add (meetings, meeting);
  return meeting;
}

int
ncclCommInitRank (Comm  **comm,
                  int     n_ranks,
                  NcclId  id,
                  int     rank)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);
  const gint64 deadline = get_deadline ();
  Meeting *meeting;

  if (n_ranks > MAX_RANKS || rank < 0 || rank >= n_ranks)
    return INVALID_USAGE;
  if (fails ())
    return SYSTEM_ERROR;
  meeting = find_meeting (id.internal, n_ranks);
  meeting->n_arrived++;
  g_cond_broadcast (&changed);
  while (meeting->n_arrived < n_ranks)
    if (!g_cond_wait_until (&changed, &mutex, deadline))
      return REMOTE_ERROR;
  *comm = g_new0 (Comm, 1);
  (*comm)->meeting = meeting;
  (*comm)->rank = rank;
  n_comms++;
  return SUCCESS;
}

static void
end (Comm *comm)
{
  n_comms--;
  g_free (comm);
}

int
ncclCommDestroy (Comm *comm)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);
  const gboolean failed = fails ();

  end (comm);
  return failed ? SYSTEM_ERROR : SUCCESS;
}

int
ncclCommAbort (Comm *comm)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);

  end (comm);
  return SUCCESS;
}

int
ncclCommGetAsyncError (Comm *comm,
                       int  *result)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);

  if (fails ())
    return SYSTEM_ERROR;
  *result = comm->async_error;
  return SUCCESS;
}

const char *
ncclGetErrorString (int result)
{
  return result == SYSTEM_ERROR ? "unhandled system error" : "remote process exited or there was a network error";
}

static int
add_transfer (Comm        *comm,
              Transfer     transfer,
              int          type)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);

  if (fails ())
    return SYSTEM_ERROR;
  if (depth == 0 || type != FLOAT || transfer.peer < 0 || transfer.peer >= comm->meeting->n_ranks || transfer.peer == comm->rank)
    return INVALID_USAGE;
  if (group == NULL)
    group = g_array_new (FALSE, FALSE, sizeof (Transfer));
  group_comm = comm;
  g_array_append_val (group, transfer);
  return SUCCESS;
}

int
ncclSend (const void   *data,
          size_t        n,
          int           type,
          int           peer,
          Comm         *comm,
          cudaStream_t  stream)
{
  return add_transfer (comm, (Transfer){ TRUE, (void *) data, n * sizeof (float), peer, stream }, type);
}

int
ncclRecv (void         *data,
          size_t        n,
          int           type,
          int           peer,
          Comm         *comm,
          cudaStream_t  stream)
{
  return add_transfer (comm, (Transfer){ FALSE, data, n * sizeof (float), peer, stream }, type);
}

int
ncclGroupStart (void)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);

  if (fails ())
    return SYSTEM_ERROR;
  depth++;
  return SUCCESS;
}

/* All that is sent is there before anything is waited for. */
static void
post (Comm  *comm,
      guint  n)
{
  for (guint i = 0; i < n; i++)
    {
      const Transfer *transfer = &g_array_index (group, Transfer, i);
      Message *message;

      if (!transfer->sends)
        continue;
      message = g_new (Message, 1);
      message->data = g_memdup2 (transfer->data, transfer->size);
      message->size = transfer->size;
      g_queue_push_tail (&comm->meeting->mail[comm->rank][transfer->peer], message);
    }
  g_cond_broadcast (&changed);
}

static void
collect (Comm  *comm,
         guint  n)
{
  const gint64 deadline = get_deadline ();

  for (guint i = 0; i < n; i++)
    {
      const Transfer *transfer = &g_array_index (group, Transfer, i);
      GQueue *mail = &comm->meeting->mail[transfer->peer][comm->rank];
      Message *message;

      if (transfer->sends)
        continue;
      while (g_queue_is_empty (mail))
        if (!g_cond_wait_until (&changed, &mutex, deadline))
          {
            comm->async_error = REMOTE_ERROR;
            return;
          }
      message = g_queue_pop_head (mail);
      g_assert_cmpuint (message->size, ==, transfer->size);
      memcpy (transfer->data, message->data, message->size);
      g_free (message->data);
      g_free (message);
    }
}

int
ncclGroupEnd (void)
{
  const guint n = group != NULL ? group->len : 0;
  gboolean failed;

  depth--;
  /* What was queued before is what is sent. */
  for (guint i = 0; i < n; i++)
    (void) cudaStreamSynchronize (g_array_index (group, Transfer, i).stream);
  g_mutex_lock (&mutex);
  failed = fails ();
  if (!failed && n > 0)
    {
      post (group_comm, n);
      collect (group_comm, n);
    }
  g_clear_pointer (&group, g_array_unref);
  g_mutex_unlock (&mutex);
  return failed ? SYSTEM_ERROR : SUCCESS;
}
