/* vector_types.h — the small vectors of CUDA, for host compilers
 *
 * One of the stand-ins for the CUDA toolkit's headers: the names, values and signatures that this
 * project uses and nothing else, so that the CUDA backend also builds where no toolkit is.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#ifdef __cplusplus
#define TOOLKIT_VECTORS(type, name)                                                                           \
  struct name##1 { type x; };                                                                                 \
  struct alignas (2 * sizeof (type)) name##2 { type x, y; };                                                  \
  struct name##3 { type x, y, z; };                                                                           \
  struct alignas (4 * sizeof (type) > 16 ? 16 : 4 * sizeof (type)) name##4 { type x, y, z, w; };              \
  static inline name##2 make_##name##2 (type x, type y) { return { x, y }; }                                  \
  static inline name##3 make_##name##3 (type x, type y, type z) { return { x, y, z }; }                       \
  static inline name##4 make_##name##4 (type x, type y, type z, type w) { return { x, y, z, w }; }

TOOLKIT_VECTORS (signed char, char)
TOOLKIT_VECTORS (unsigned char, uchar)
TOOLKIT_VECTORS (short, short)
TOOLKIT_VECTORS (unsigned short, ushort)
TOOLKIT_VECTORS (int, int)
TOOLKIT_VECTORS (unsigned int, uint)
TOOLKIT_VECTORS (float, float)
TOOLKIT_VECTORS (double, double)
#undef TOOLKIT_VECTORS

struct dim3
{
  unsigned int x, y, z;

  constexpr dim3 (unsigned int width = 1, unsigned int height = 1, unsigned int depth = 1)
    : x (width), y (height), z (depth)
  {
  }
};
#else
typedef struct { float x, y; } float2;
typedef struct { unsigned int x, y, z; } uint3;
typedef struct { unsigned int x, y, z; } dim3;
#endif
