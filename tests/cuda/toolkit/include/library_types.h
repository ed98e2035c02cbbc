/* library_types.h — types of matrix elements; see vector_types.h for what these headers are
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

typedef enum cudaDataType_t
{
  CUDA_R_32F = 0,
  CUDA_R_64F = 1,
  CUDA_R_16F = 2,
  CUDA_R_8I = 3,
  CUDA_R_32I = 10,
  CUDA_R_16BF = 14,
  CUDA_R_8F_E4M3 = 28,
  CUDA_R_8F_E5M2 = 29,
} cudaDataType;
typedef cudaDataType cudaDataType_t;
