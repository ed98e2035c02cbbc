/* simd-tables.h — what one instruction set's copy of this folder exports
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cpu/cpu-simd.h"

#define CPU_PASTE_(a, b) a##_##b
#define CPU_PASTE(a, b) CPU_PASTE_ (a, b)
/* The symbol @name of this copy. */
#define CPU_NAME(name) CPU_PASTE (name, CPU_ISA)

/* Each file fills in its loops. */
void CPU_NAME (simd_product_fill)   (CpuSimd *table);
void CPU_NAME (simd_pack_fill)      (CpuSimd *table);
void CPU_NAME (simd_attention_fill) (CpuSimd *table);
void CPU_NAME (simd_rows_fill)      (CpuSimd *table);
void CPU_NAME (simd_conv_fill)      (CpuSimd *table);
void CPU_NAME (simd_conv2d_fill)    (CpuSimd *table);
void CPU_NAME (simd_group_norm_fill) (CpuSimd *table);
void CPU_NAME (simd_grad_fill)      (CpuSimd *table);
void CPU_NAME (simd_attention_grad_fill) (CpuSimd *table);
void CPU_NAME (simd_conv_grad_fill) (CpuSimd *table);
void CPU_NAME (simd_weight_grad_fill) (CpuSimd *table);
