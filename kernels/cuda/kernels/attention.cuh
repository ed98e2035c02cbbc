/* attention.cuh — the bf16 half of cuda_attention()
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cuda/kernels/kernel-common.cuh"

/* As cuda_attention(), its arguments checked. */
cudaError_t cuda_attention_bf16 (cudaStream_t stream,
                                 const void  *qkv,
                                 void        *out,
                                 int          batch,
                                 int          n_tokens,
                                 int          n_heads,
                                 int          head_width);
