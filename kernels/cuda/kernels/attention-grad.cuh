/* attention-grad.cuh — what the two halves of cuda_attention_grad() share
 *
 * With p = softmax (scores) and δ = dy · y of each query: dv = pᵀ dy, and the gradient of the scores is
 * p ∘ (dy vᵀ − δ) (Dao et al., arXiv:2205.14135). Three kernels: what every query needs, its softmax's
 * log-sum-exp and δ; the gradient of the queries, a tile of queries at a time over all keys; those of
 * keys and values, a tile of keys at a time over all queries. Nobody adds to what another has written.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cuda/kernels/kernel-common.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

/* Of one query of one head. */
struct QueryStats
{
  float log_sum; /* of the exponentials of its scores, as a power of two in BF16 */
  float delta;
};

/* As cuda_attention_grad(), its arguments checked. */
cudaError_t cuda_attention_grad_bf16 (cudaStream_t stream,
                                      const void  *qkv,
                                      const void  *y,
                                      const void  *dy,
                                      QueryStats  *stats,
                                      void        *out,
                                      int          batch,
                                      int          n_tokens,
                                      int          n_heads,
                                      int          head_width);
