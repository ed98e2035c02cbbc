/* op-device-cpu.c — the processor: every instruction set that it has, with one and three threads
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "op-device.h"

#include "kernels/cpu/cpu-private.h"

static DimrDevice *
open_cpu (guint    kind,
          guint    variant,
          GError **error)
{
  return cpu_device_new (variant == 0 ? 1 : 3, cpu_simd_list ()[kind]);
}

static guint
get_n_kinds (void)
{
  guint n = 0;

  while (cpu_simd_list ()[n] != NULL)
    n++;
  return n;
}

static guint8 *
dup_arena (DimrProgram *program,
           DimrPlan    *plan,
           gsize       *size)
{
  gconstpointer arena = cpu_program_peek_arena (CPU_PROGRAM (program), size);

  return g_memdup2 (arena, *size);
}

const OpDevice op_device = {
  .name = "cpu",
  .open = open_cpu,
  .get_n_kinds = get_n_kinds,
  .n_variants = 2,
  .dup_arena = dup_arena,
  /* A number close to the middle of two bfloat16 may be rounded to the other one than in double,
   * where it comes out of an earlier op: one in 40,000 is then off by 1/256. Not rounding at all
   * would be 2e-6. */
  .bf16_bound = 2e-7,
};
