/* emulator-math.h — arithmetic and memory intrinsics of CUDA C++ on the host
 *
 * The fast approximations of the device are computed exactly here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float rsqrtf (float x) { return 1.0f / sqrtf (x); }
static inline double rsqrt (double x) { return 1.0 / sqrt (x); }
/* glibc declares some of these names for itself. */
#define __expf(x) expf (x)
#define __exp2f(x) exp2f (x)
#define __logf(x) logf (x)
#define __log2f(x) log2f (x)
#define __powf(x, y) powf (x, y)
#define __sinf(x) sinf (x)
#define __cosf(x) cosf (x)
static inline float __fdividef (float x, float y) { return x / y; }
static inline float __frcp_rn (float x) { return 1.0f / x; }
static inline float __frsqrt_rn (float x) { return 1.0f / sqrtf (x); }
static inline float __fsqrt_rn (float x) { return sqrtf (x); }
static inline float __fdiv_rn (float x, float y) { return x / y; }
static inline float __fmaf_rn (float x, float y, float z) { return fmaf (x, y, z); }
static inline float __fadd_rn (float x, float y) { return x + y; }
static inline float __fmul_rn (float x, float y) { return x * y; }
static inline double __dadd_rn (double x, double y) { return x + y; }
static inline double __dmul_rn (double x, double y) { return x * y; }
static inline double __fma_rn (double x, double y, double z) { return fma (x, y, z); }
static inline float __saturatef (float x) { return x > 1 ? 1.0f : x > 0 ? x : 0.0f; }

static inline int __float2int_rn (float x) { return static_cast<int> (rintf (x)); }
static inline float __int2float_rn (int x) { return static_cast<float> (x); }
static inline float __double2float_rn (double x) { return static_cast<float> (x); }
static inline int __float_as_int (float x) { int y; memcpy (&y, &x, sizeof y); return y; }
static inline unsigned __float_as_uint (float x) { unsigned y; memcpy (&y, &x, sizeof y); return y; }
static inline float __int_as_float (int x) { float y; memcpy (&y, &x, sizeof y); return y; }
static inline float __uint_as_float (unsigned x) { float y; memcpy (&y, &x, sizeof y); return y; }

static inline int __popc (unsigned x) { return __builtin_popcount (x); }
static inline int __ffs (int x) { return __builtin_ffs (x); }
static inline int __clz (int x) { return x == 0 ? 32 : __builtin_clz (static_cast<unsigned> (x)); }
static inline unsigned __umulhi (unsigned x, unsigned y) { return static_cast<unsigned> (static_cast<uint64_t> (x) * y >> 32); }

static inline int min (int x, int y) { return x < y ? x : y; }
static inline int max (int x, int y) { return x > y ? x : y; }
static inline unsigned min (unsigned x, unsigned y) { return x < y ? x : y; }
static inline unsigned max (unsigned x, unsigned y) { return x > y ? x : y; }
static inline size_t min (size_t x, size_t y) { return x < y ? x : y; }
static inline size_t max (size_t x, size_t y) { return x > y ? x : y; }
static inline float min (float x, float y) { return fminf (x, y); }
static inline float max (float x, float y) { return fmaxf (x, y); }

template <class T> static inline T __ldg (const T *at) { return *at; }
template <class T> static inline T __ldcg (const T *at) { return *at; }
template <class T> static inline T __ldcs (const T *at) { return *at; }
template <class T> static inline void __stcg (T *at, T value) { *at = value; }
template <class T> static inline void __stcs (T *at, T value) { *at = value; }
