/* cuda_bf16.h — bfloat16 on the host, rounded as the device does; see vector_types.h for what these headers are
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "cuda_runtime_api.h"

#ifdef __cplusplus
#include <string.h>

/* The upper half of a float. */
struct alignas (2) __nv_bfloat16_raw
{
  unsigned short x;
};

static inline unsigned short
toolkit_round_to_bf16 (float value)
{
  unsigned int bits;

  memcpy (&bits, &value, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return 0x7fff;
  return static_cast<unsigned short> ((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

struct alignas (2) __nv_bfloat16
{
  unsigned short bits;

  __nv_bfloat16 () = default;
  __nv_bfloat16 (float value) : bits (toolkit_round_to_bf16 (value)) {}
  __nv_bfloat16 (double value) : bits (toolkit_round_to_bf16 (static_cast<float> (value))) {}
  __nv_bfloat16 (int value) : bits (toolkit_round_to_bf16 (static_cast<float> (value))) {}
  __nv_bfloat16 (__nv_bfloat16_raw raw) : bits (raw.x) {}

  operator float () const
  {
    const unsigned int wide = static_cast<unsigned int> (bits) << 16;
    float value;

    memcpy (&value, &wide, sizeof value);
    return value;
  }

  operator __nv_bfloat16_raw () const { return { bits }; }
};

struct alignas (4) __nv_bfloat162
{
  __nv_bfloat16 x, y;

  __nv_bfloat162 () = default;
  __nv_bfloat162 (__nv_bfloat16 low, __nv_bfloat16 high) : x (low), y (high) {}
};

typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;

static inline __nv_bfloat16 __float2bfloat16 (float value) { return value; }
static inline __nv_bfloat16 __float2bfloat16_rn (float value) { return value; }
static inline float __bfloat162float (__nv_bfloat16 value) { return value; }
static inline unsigned short __bfloat16_as_ushort (__nv_bfloat16 value) { return value.bits; }
static inline __nv_bfloat16 __ushort_as_bfloat16 (unsigned short bits) { return __nv_bfloat16_raw { bits }; }
static inline __nv_bfloat162 __floats2bfloat162_rn (float low, float high) { return { low, high }; }
static inline __nv_bfloat162 __float22bfloat162_rn (float2 value) { return { value.x, value.y }; }
static inline __nv_bfloat162 __halves2bfloat162 (__nv_bfloat16 low, __nv_bfloat16 high) { return { low, high }; }
static inline __nv_bfloat162 __float2bfloat162_rn (float value) { return { value, value }; }
static inline float2 __bfloat1622float2 (__nv_bfloat162 value) { return { value.x, value.y }; }
static inline float __low2float (__nv_bfloat162 value) { return value.x; }
static inline float __high2float (__nv_bfloat162 value) { return value.y; }
static inline __nv_bfloat16 __low2bfloat16 (__nv_bfloat162 value) { return value.x; }
static inline __nv_bfloat16 __high2bfloat16 (__nv_bfloat162 value) { return value.y; }
#endif
