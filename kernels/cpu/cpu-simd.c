/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu-simd.h"

/* CPU_ISA_… are defined by meson.build for the copies of simd/ that it builds. */
#define DECLARE(isa)                                                                         \
  void simd_product_fill_##isa (CpuSimd *table);                                             \
  void simd_pack_fill_##isa (CpuSimd *table);                                                \
  void simd_attention_fill_##isa (CpuSimd *table);                                           \
  void simd_rows_fill_##isa (CpuSimd *table);                                                \
  void simd_conv_fill_##isa (CpuSimd *table);                                                \
  void simd_conv2d_fill_##isa (CpuSimd *table);                                              \
  void simd_group_norm_fill_##isa (CpuSimd *table);                                          \
  void simd_grad_fill_##isa (CpuSimd *table);                                                \
  void simd_attention_grad_fill_##isa (CpuSimd *table);                                      \
  void simd_conv_grad_fill_##isa (CpuSimd *table);                                           \
  void simd_weight_grad_fill_##isa (CpuSimd *table);

#define FILL(isa, title)                                                                     \
  G_STMT_START {                                                                             \
    CpuSimd *table = &tables[n];                                                             \
    table->name = title;                                                                     \
    simd_product_fill_##isa (table);                                                         \
    simd_pack_fill_##isa (table);                                                            \
    simd_attention_fill_##isa (table);                                                       \
    simd_rows_fill_##isa (table);                                                            \
    simd_conv_fill_##isa (table);                                                            \
    simd_conv2d_fill_##isa (table);                                                          \
    simd_group_norm_fill_##isa (table);                                                      \
    simd_grad_fill_##isa (table);                                                            \
    simd_attention_grad_fill_##isa (table);                                                  \
    simd_conv_grad_fill_##isa (table);                                                       \
    simd_weight_grad_fill_##isa (table);                                                     \
    list[n++] = table;                                                                       \
  } G_STMT_END

#ifdef CPU_HAVE_AVX512
DECLARE (v4bf16)
DECLARE (v4)
#endif
#ifdef CPU_HAVE_X86
DECLARE (v3)
#endif
DECLARE (plain)

const CpuSimd * const *
cpu_simd_list (void)
{
  static CpuSimd tables[4];
  static const CpuSimd *list[5];
  static gsize ready;

  if (g_once_init_enter (&ready))
    {
      guint n = 0;

#ifdef CPU_HAVE_X86
      __builtin_cpu_init ();
#ifdef CPU_HAVE_AVX512
      if (__builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512bw") && __builtin_cpu_supports ("avx512cd") &&
          __builtin_cpu_supports ("avx512dq") && __builtin_cpu_supports ("avx512vl"))
        {
          /* A product of pairs takes Intel's cores two cycles, where two fused products of floats take one: 78 and 170
           * GFLOP/s on one of Sapphire Rapids. There the instruction comes second. */
          const gboolean pairs = __builtin_cpu_supports ("avx512bf16");
          const gboolean pairs_first = pairs && !__builtin_cpu_is ("intel");

          if (pairs_first)
            FILL (v4bf16, "AVX-512 with bfloat16");
          FILL (v4, "AVX-512");
          if (pairs && !pairs_first)
            FILL (v4bf16, "AVX-512 with bfloat16");
        }
#endif
      if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma") && __builtin_cpu_supports ("bmi2"))
        FILL (v3, "AVX2");
#endif
      FILL (plain, "128-bit vectors");
      g_once_init_leave (&ready, 1);
    }
  return list;
}
