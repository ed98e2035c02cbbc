/* op-device-cuda.c — an NVIDIA GPU, or with -DOP_EMULATED the emulator of one: replayed and launched one by one
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "op-device.h"

#include "kernels/cuda/cuda-private.h"

#ifdef OP_EMULATED
#include "fake-cuda.h"
#endif

typedef struct
{
  const char *eager;
  const char *small_chunks; /* of the emulator only, whose sums do not depend on the rows beside them */
  gboolean deferred;        /* of the emulator only */
  guint order;
} Way;

/* A sanitizer sees the same accesses in all of them, and takes its time. */
static const Way ways[] = {
  { "0", "0", FALSE, 0 },
#ifndef OP_EMULATED
  { "1", "0", FALSE, 1 },
#elif !defined __SANITIZE_ADDRESS__
  { "1", "1", FALSE, 1 },
  { "0", "0", TRUE, 2 },
#endif
};

static DimrDevice *
open_cuda (guint    kind,
           guint    variant,
           GError **error)
{
  const DimrBackend *backend = dimr_cuda_backend ();

#ifdef OP_EMULATED
  /* A capability with the smaller workspace, which is filled for every program. */
  fake_cuda_config ()->major = 8;
  fake_cuda_config ()->deferred = ways[variant].deferred;
  fake_cuda_config ()->order = ways[variant].order;
#endif
  g_setenv ("DIMR_CUDA_EAGER", ways[variant].eager, TRUE);
  g_setenv ("DIMR_CUDA_SMALL_CHUNKS", ways[variant].small_chunks, TRUE);
  /* No clock decides about bytes here. */
  g_setenv ("DIMR_CUDA_FIRST_ALGORITHM", "1", TRUE);
  return backend->get_n_devices (error) > 0 ? backend->open (0, 0, error) : NULL;
}

static guint
get_n_kinds (void)
{
  return 1;
}

static gboolean
is_rounded (const DimrGraph *graph,
            DimrNodeId       node,
            guint            slot,
            DimrPrecision    precision)
{
  const DimrNodeId input = dimr_graph_peek_node (graph, node)->inputs[slot];

  return dimr_graph_peek_node (graph, input)->dtype == DIMR_DTYPE_F32 && !cuda_is_param (graph, input) &&
         cuda_slot_type (graph, node, slot, precision) == CUDA_TYPE_BF16;
}

static guint8 *
dup_arena (DimrProgram *program,
           DimrPlan    *plan,
           gsize       *size)
{
  DimrGraph *graph = dimr_plan_peek_graph (plan);
  const guint8 *arena = NULL;
  guint8 *copy;

  for (DimrNodeId id = 0; id < dimr_graph_get_n_nodes (graph) && arena == NULL; id++)
    if (dimr_graph_peek_node (graph, id)->op == DIMR_OP_INPUT)
      arena = (const guint8 *) cuda_program_peek (CUDA_PROGRAM (program), id, NULL) - dimr_plan_get_offset (plan, id);
  *size = dimr_plan_get_arena_size (plan);
  copy = g_malloc (*size);
  g_assert_cmpint (cudaMemcpy (copy, arena, *size, cudaMemcpyDeviceToHost), ==, cudaSuccess);
  return copy;
}

static void
check (void)
{
#ifdef OP_EMULATED
  fake_cuda_check_guards ();
  if (fake_cuda_count_objects () > 0)
    fake_cuda_print_objects ();
  g_assert_cmpuint (fake_cuda_count_objects (), ==, 0);
#endif
}

const OpDevice op_device = {
#ifdef OP_EMULATED
  .name = "emulated",
#else
  .name = "cuda",
#endif
  .open = open_cuda,
  .get_n_kinds = get_n_kinds,
  .n_variants = G_N_ELEMENTS (ways),
  .is_rounded = is_rounded,
  .dup_arena = dup_arena,
  .check = check,
  /* Each addition rounds by at most 2⁻²⁴ of a sum that grows as a random walk: (2⁻²⁴)²/3 · n/2, and half as much again. */
  .bound_of_term = 1e-15,
  /* One rounding to bfloat16, of 8 digits, is off by at most 2⁻⁸ and in the mean by 2.3e-6 of the power.
   * Where one side rounds a value and the other does not, what comes after is rounded differently too.
   * This is for eight roundings: of biases, partial sums of a list of products, probabilities inside
   * attention, results that fusion left out. */
  .bf16_bound = 2e-5,
};
