/* cuda-nccl.c — sums of gradients over the GPUs of a group, from device to device
 *
 * NCCL's library is opened at run time and asked only to move numbers: which are added to which is the order of the
 * tree (core/train/dimr-tree.h), as over TCP, so that one GPU and eight learn the same bytes. Each process owns a
 * part of every piece: it gets that part of all nodes, adds them up with a kernel, and sends the result to all.
 * As in a ring every number travels twice. The processes' connections over TCP stay open beside it: they say
 * who is lost while a device waits for what never comes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-training.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <gmodule.h>
#include <string.h>

/* Numbers of each process' part of a piece: 16 MiB a node. */
#define PART ((gsize) 1 << 22)
/* Between two looks at what the device does, and at whether the others are still there. */
#define LOOK_MICROSECONDS 50
#define LOOKS_BETWEEN_CHECKS 200

/* As in nccl.h, which is not needed to build this: the names and numbers of NCCL 2. */
#define NCCL_SUCCESS 0
#define NCCL_IN_PROGRESS 7
#define NCCL_FLOAT 7
typedef int NcclResult;
typedef struct NcclCommOpaque *NcclComm;
typedef struct
{
  char internal[128];
} NcclId;

typedef struct
{
  NcclResult  (*get_unique_id)   (NcclId *id);
  NcclResult  (*init_rank)       (NcclComm *comm, int n_ranks, NcclId id, int rank);
  NcclResult  (*destroy)         (NcclComm comm);
  NcclResult  (*abort)           (NcclComm comm);
  NcclResult  (*get_async_error) (NcclComm comm, NcclResult *result);
  const char *(*get_error_string)(NcclResult result);
  NcclResult  (*send)            (const void *data, size_t n, int type, int peer, NcclComm comm, cudaStream_t stream);
  NcclResult  (*receive)         (void *data, size_t n, int type, int peer, NcclComm comm, cudaStream_t stream);
  NcclResult  (*group_start)     (void);
  NcclResult  (*group_end)       (void);
} Nccl;

struct _CudaNccl
{
  CudaDevice *device;     /* borrowed: that of the training */
  DimrCollective *group;
  GModule *module;
  Nccl nccl;
  NcclComm comm;          /* NULL: not begun, or over */
  cudaEvent_t done;
  guint rank;
  guint n_ranks;
  guint64 n_leaves;       /* for which the following is made */
  DimrTreeStack *nodes;   /* [n_ranks] */
  guint n_nodes;          /* of all ranks */
  float *received;        /* [n_nodes, PART]: in the order of the leaves */
};

/* ---- beginning ---- */

static gboolean
open_library (CudaNccl  *self,
              GError   **error)
{
  const char *chosen = g_getenv ("DIMR_NCCL"), *name = chosen != NULL ? chosen : "libnccl.so.2";
  const struct { const char *name; gpointer at; } symbols[] = {
    { "ncclGetUniqueId", &self->nccl.get_unique_id }, { "ncclCommInitRank", &self->nccl.init_rank },
    { "ncclCommDestroy", &self->nccl.destroy }, { "ncclCommAbort", &self->nccl.abort },
    { "ncclCommGetAsyncError", &self->nccl.get_async_error }, { "ncclGetErrorString", &self->nccl.get_error_string },
    { "ncclSend", &self->nccl.send }, { "ncclRecv", &self->nccl.receive },
    { "ncclGroupStart", &self->nccl.group_start }, { "ncclGroupEnd", &self->nccl.group_end },
  };

  self->module = g_module_open (name, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  if (self->module == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_UNSUPPORTED, _("%s is not here; install NVIDIA's NCCL"), name);
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (symbols); i++)
    {
      gpointer symbol;

      if (!g_module_symbol (self->module, symbols[i].name, &symbol) || symbol == NULL)
        {
          dimr_error_set (error, DIMR_ERROR_UNSUPPORTED, _("%s has no %s; install NCCL 2.7 or newer"), name, symbols[i].name);
          return FALSE;
        }
      memcpy (symbols[i].at, &symbol, sizeof symbol);
    }
  return TRUE;
}

static gboolean
check (CudaNccl    *self,
       NcclResult   result,
       GError     **error)
{
  if (result == NCCL_SUCCESS || result == NCCL_IN_PROGRESS)
    return TRUE;
  /* What the others say about it comes first: one that is lost fails here as something else. */
  if (dimr_collective_check (self->group, error))
    dimr_error_set (error, DIMR_ERROR_DEVICE, _("The GPUs of the processes cannot reach each other: NCCL says “%s” on %s"),
                    self->nccl.get_error_string (result), self->device->name);
  return FALSE;
}

/* What each process says before anyone waits in NCCL for the others. */
typedef struct
{
  guint32 ready;
  NcclId id;      /* that of rank 0 counts */
} Opening;

/* All have the library, and rank 0 a number for the meeting; otherwise nobody begins. */
static gboolean
exchange_openings (CudaNccl      *self,
                   NcclId        *id,
                   GCancellable  *cancellable,
                   GError       **error)
{
  g_autofree Opening *all = g_new0 (Opening, self->n_ranks);
  g_autoptr (GError) problem = NULL;
  Opening own = { 0 };

  own.ready = open_library (self, &problem) && (self->rank > 0 || check (self, self->nccl.get_unique_id (&own.id), &problem));
  if (!dimr_collective_gather (self->group, &own, sizeof own, all, cancellable, error))
    return FALSE;
  for (guint r = 0; r < self->n_ranks; r++)
    if (!all[r].ready)
      {
        dimr_error_set (error, DIMR_ERROR_UNSUPPORTED, _("process %u: %s"), r,
                        problem != NULL && r == self->rank ? problem->message : _("NCCL is not at hand"));
        return FALSE;
      }
  *id = all[0].id;
  return TRUE;
}

CudaNccl *
cuda_nccl_new (CudaDevice      *device,
               DimrCollective  *group,
               GCancellable    *cancellable,
               GError         **error)
{
  CudaNccl *self = g_new0 (CudaNccl, 1);
  g_autoptr (GError) problem = NULL;
  NcclId id;

  self->device = device;
  self->group = g_object_ref (group);
  self->rank = dimr_collective_get_rank (group);
  self->n_ranks = dimr_collective_get_size (group);
  if (exchange_openings (self, &id, cancellable, error) && cuda_device_enter (device, error))
    {
      if (!check (self, self->nccl.init_rank (&self->comm, (int) self->n_ranks, id, (int) self->rank), &problem))
        {
          self->comm = NULL;
          /* As where two processes have one GPU: the hosts can do it. */
          if (g_error_matches (problem, DIMR_ERROR, DIMR_ERROR_DEVICE))
            problem->code = DIMR_ERROR_UNSUPPORTED;
          g_propagate_error (error, g_steal_pointer (&problem));
        }
      else if (cuda_device_check (device, cudaEventCreateWithFlags (&self->done, cudaEventDisableTiming), error))
        return self;
    }
  cuda_nccl_free (self);
  return NULL;
}

void
cuda_nccl_free (CudaNccl *self)
{
  if (self->comm != NULL)
    (void) self->nccl.destroy (self->comm);
  if (self->done != NULL)
    (void) cudaEventDestroy (self->done);
  (void) cudaFree (self->received);
  g_free (self->nodes);
  g_object_unref (self->group);
  /* NCCL keeps threads for a while, so its code stays. */
  if (self->module != NULL)
    g_module_make_resident (self->module);
  g_free (self);
}

/* ---- summing ---- */

static gboolean
prepare (CudaNccl  *self,
         guint64    n_leaves,
         GError   **error)
{
  if (self->n_leaves == n_leaves)
    return TRUE;
  self->n_leaves = 0;
  g_free (self->nodes);
  self->nodes = g_new (DimrTreeStack, self->n_ranks);
  self->n_nodes = 0;
  for (guint r = 0; r < self->n_ranks; r++)
    {
      guint64 first, end;

      dimr_tree_share (n_leaves, r, self->n_ranks, &first, &end);
      dimr_tree_list (&self->nodes[r], first, end);
      self->n_nodes += self->nodes[r].n;
    }
  (void) cudaFree (self->received);
  self->received = cuda_device_alloc (self->device, self->n_nodes * PART * sizeof (float), _("The sum of gradients"), error);
  if (self->received == NULL)
    return FALSE;
  self->n_leaves = n_leaves;
  return TRUE;
}

/* A piece of the arrays: everyone's part is a multiple of four numbers, at most PART. */
typedef struct
{
  float *sums;       /* of depth 0, at its first number */
  gsize  length;     /* of an array */
  gsize  n;          /* numbers of the piece */
} Piece;

static gsize
part_begin (CudaNccl    *self,
            const Piece *piece,
            guint        rank)
{
  return piece->n / 4 * rank / self->n_ranks * 4;
}

static gsize
part_size (CudaNccl    *self,
           const Piece *piece,
           guint        rank)
{
  return part_begin (self, piece, rank + 1) - part_begin (self, piece, rank);
}

/* Every process' own nodes of the parts to those whose parts they are. */
static gboolean
scatter (CudaNccl     *self,
         const Piece  *piece,
         GError      **error)
{
  const gsize mine = part_size (self, piece, self->rank);
  const cudaStream_t stream = self->device->stream;
  gboolean good = check (self, self->nccl.group_start (), error);
  float *to = self->received;

  if (!good)
    return FALSE;
  for (guint r = 0; r < self->n_ranks; r++)
    {
      const gsize begin = part_begin (self, piece, r), n = part_size (self, piece, r);

      for (guint i = 0; good && r != self->rank && n > 0 && i < self->nodes[self->rank].n; i++)
        good = check (self, self->nccl.send (piece->sums + i * piece->length + begin, n, NCCL_FLOAT, (int) r, self->comm, stream), error);
      for (guint i = 0; i < self->nodes[r].n; i++, to += PART)
        if (good && mine > 0)
          good = r != self->rank
                   ? check (self, self->nccl.receive (to, mine, NCCL_FLOAT, (int) r, self->comm, stream), error)
                   : cuda_device_check (self->device, cudaMemcpyAsync (to, piece->sums + i * piece->length + begin, mine * sizeof (float),
                                                                       cudaMemcpyDeviceToDevice, stream), error);
    }
  /* Ends the group after a failure too, without a second error over the first. */
  return check (self, self->nccl.group_end (), good ? error : NULL) && good;
}

/* The last two nodes of @stack, which lie at @places of what was received, become one. */
static gboolean
merge (CudaNccl       *self,
       DimrTreeStack  *stack,
       const guint    *places,
       gsize           n,
       GError        **error)
{
  const guint left = places[stack->n - 2], right = places[stack->n - 1];

  dimr_tree_merge (stack);
  return cuda_device_check (self->device, cuda_training_merge (self->device->stream, self->received + left * PART,
                                                               self->received + right * PART, n), error);
}

/* The own part of all nodes becomes one, in the first node's place. */
static gboolean
add_up (CudaNccl  *self,
        gsize      n,
        GError   **error)
{
  g_autofree guint *places = g_new (guint, self->n_nodes);
  DimrTreeStack stack = { .n = 0 };
  guint next = 0;

  for (guint r = 0; r < self->n_ranks; r++)
    for (guint i = 0; i < self->nodes[r].n; i++)
      {
        places[stack.n] = next++;
        for (gboolean pair = dimr_tree_push (&stack, self->nodes[r].nodes[i]); pair; pair = dimr_tree_is_pair (&stack))
          if (!merge (self, &stack, places, n, error))
            return FALSE;
      }
  while (stack.n > 1)
    if (!merge (self, &stack, places, n, error))
      return FALSE;
  return TRUE;
}

/* Everyone's sum of its part to all. */
static gboolean
gather (CudaNccl     *self,
        const Piece  *piece,
        GError      **error)
{
  const gsize begin = part_begin (self, piece, self->rank), mine = part_size (self, piece, self->rank);
  const cudaStream_t stream = self->device->stream;
  gboolean good;

  if (!cuda_device_check (self->device, cudaMemcpyAsync (piece->sums + begin, self->received, mine * sizeof (float),
                                                         cudaMemcpyDeviceToDevice, stream), error) ||
      !check (self, self->nccl.group_start (), error))
    return FALSE;
  good = TRUE;
  for (guint r = 0; good && r < self->n_ranks; r++)
    {
      const gsize n = part_size (self, piece, r);

      if (r == self->rank)
        continue;
      good = (mine == 0 || check (self, self->nccl.send (piece->sums + begin, mine, NCCL_FLOAT, (int) r, self->comm, stream), error)) &&
             (n == 0 || check (self, self->nccl.receive (piece->sums + part_begin (self, piece, r), n, NCCL_FLOAT, (int) r, self->comm, stream),
                               error));
    }
  return check (self, self->nccl.group_end (), good ? error : NULL) && good;
}

/* Until the device is through, and no longer than all are there. */
static gboolean
wait_for_device (CudaNccl      *self,
                 GCancellable  *cancellable,
                 GError       **error)
{
  for (guint look = 1;; look++)
    {
      NcclResult result = NCCL_SUCCESS;
      cudaError_t status;

      if (!check (self, self->nccl.get_async_error (self->comm, &result), error) || !check (self, result, error))
        return FALSE;
      status = cudaEventQuery (self->done);
      if (status != cudaErrorNotReady)
        return cuda_device_check (self->device, status, error);
      /* The answer is no error, but the runtime keeps it as its last one, which cuda_device_check_blas() would take for a cause. */
      (void) cudaGetLastError ();
      if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
          (look % LOOKS_BETWEEN_CHECKS == 0 && !dimr_collective_check (self->group, error)))
        return FALSE;
      g_usleep (LOOK_MICROSECONDS);
    }
}

gboolean
cuda_nccl_sum (CudaNccl      *self,
               guint64        n_leaves,
               float         *sums,
               gsize          length,
               GCancellable  *cancellable,
               GError       **error)
{
  const gsize step = PART * self->n_ranks;
  gboolean good;

  if (self->comm == NULL)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_PEER, _("The GPUs of the processes have already parted"));
      return FALSE;
    }
  good = prepare (self, n_leaves, error);
  for (gsize first = 0; good && first < length; first += step)
    {
      const Piece piece = { sums + first, length, MIN (step, length - first) };

      good = scatter (self, &piece, error) && add_up (self, part_size (self, &piece, self->rank), error) && gather (self, &piece, error);
    }
  good = good && cuda_device_check (self->device, cudaEventRecord (self->done, self->device->stream), error) &&
         wait_for_device (self, cancellable, error);
  if (!good)
    {
      /* What still waits on the device for a process that is gone would wait for ever. */
      (void) self->nccl.abort (self->comm);
      self->comm = NULL;
    }
  return good;
}
