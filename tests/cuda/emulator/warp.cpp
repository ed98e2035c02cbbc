/* warp.cpp — what the lanes of a warp compute together
 *
 * Each of these runs once, when the last lane has come, with what every lane brought.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "emulator.h"

namespace emulator
{

void
shuffle_together (unsigned mask, void *const operands[warp_size], Site site)
{
  uint64_t values[warp_size];

  for (int lane = 0; lane < warp_size; lane++)
    if (operands[lane] != nullptr)
      values[lane] = static_cast<Shuffle *> (operands[lane])->value;
  for (int lane = 0; lane < warp_size; lane++)
    {
      Shuffle *shuffle = static_cast<Shuffle *> (operands[lane]);

      if (shuffle == nullptr || shuffle->source < 0)
        continue;
      if (operands[shuffle->source] == nullptr)
        fail (mask >> shuffle->source & 1 ? "a shuffle reads a lane that has ended"
                                          : "a shuffle reads a lane outside its mask", site);
      shuffle->value = values[shuffle->source];
    }
}

struct Vote
{
  bool predicate;
  unsigned result;
};

static void
vote_together (unsigned, void *const operands[warp_size], Site)
{
  unsigned result = 0;

  for (int lane = 0; lane < warp_size; lane++)
    if (operands[lane] != nullptr && static_cast<Vote *> (operands[lane])->predicate)
      result |= 1u << lane;
  for (int lane = 0; lane < warp_size; lane++)
    if (operands[lane] != nullptr)
      static_cast<Vote *> (operands[lane])->result = result;
}

unsigned
ballot (unsigned mask, bool predicate, Site site)
{
  Vote vote = { predicate, 0 };

  wait_for_warp (Kind::vote, mask, &vote, vote_together, site);
  return vote.result;
}

/* ---- products ---- */

struct Product
{
  float *d;
  const unsigned *a, *b;
  const float *c;
};

/* The lower or upper half of a register. */
static float
half (unsigned pair, int upper)
{
  return __uint_as_float (upper ? pair & 0xffff0000 : pair << 16);
}

static void
need_all_lanes (void *const operands[warp_size], Site site)
{
  for (int lane = 0; lane < warp_size; lane++)
    if (operands[lane] == nullptr)
      fail ("a tensor core instruction needs all 32 lanes", site);
}

/* With g = lane / 4 and t = lane % 4, the registers of a lane hold
 *   a: rows g, g + 8, g, g + 8 and columns 2t, 2t, 2t + 8, 2t + 8, each with the next column in the upper half
 *   b: rows 2t and 2t + 8, each with the next row in the upper half, of column g
 *   c, d: row g, columns 2t and 2t + 1; then row g + 8 */
static void
multiply_together (unsigned, void *const operands[warp_size], Site site)
{
  float a[16][16], b[16][8], d[16][8];

  need_all_lanes (operands, site);
  for (int lane = 0; lane < warp_size; lane++)
    {
      const Product *product = static_cast<const Product *> (operands[lane]);
      const int g = lane / 4, t = lane % 4;

      for (int i = 0; i < 8; i++)
        a[g + i / 2 % 2 * 8][2 * t + i / 4 * 8 + i % 2] = half (product->a[i / 2], i % 2);
      for (int i = 0; i < 4; i++)
        b[2 * t + i / 2 * 8 + i % 2][g] = half (product->b[i / 2], i % 2);
      for (int i = 0; i < 4; i++)
        d[g + i / 2 * 8][2 * t + i % 2] = product->c[i];
    }
  for (int m = 0; m < 16; m++)
    for (int k = 0; k < 16; k++)
      for (int n = 0; n < 8; n++)
        d[m][n] += a[m][k] * b[k][n];
  for (int lane = 0; lane < warp_size; lane++)
    for (int i = 0; i < 4; i++)
      static_cast<Product *> (operands[lane])->d[i] = d[lane / 4 + i / 2 * 8][2 * (lane % 4) + i % 2];
}

/* ---- matrices out of shared memory ---- */

struct LoadMatrix
{
  unsigned *registers;
  const void *row;
};

/* Lanes 8i … 8i + 7 name the rows of matrix i, 8 × 8 elements of 16 bits. Register i of lane l
 * takes elements 2 (l % 4) and the next of row l / 4 of matrix i, transposed before where asked. */
template <int n, bool transposed>
static void
load_together (unsigned, void *const operands[warp_size], Site site)
{
  uint16_t matrices[n][8][8];

  need_all_lanes (operands, site);
  for (int lane = 0; lane < 8 * n; lane++)
    {
      const void *row = static_cast<const LoadMatrix *> (operands[lane])->row;

      if (reinterpret_cast<uintptr_t> (row) % 16 != 0)
        fail ("a row of ldmatrix does not begin at a multiple of 16 bytes", site);
      if (!is_shared (row, 16))
        fail ("a row of ldmatrix is not in shared memory", site);
      memcpy (matrices[lane / 8][lane % 8], row, 16);
    }
  for (int lane = 0; lane < warp_size; lane++)
    for (int i = 0; i < n; i++)
      {
        const int r = lane / 4, c = 2 * (lane % 4);
        const unsigned lower = transposed ? matrices[i][c][r] : matrices[i][r][c];
        const unsigned upper = transposed ? matrices[i][c + 1][r] : matrices[i][r][c + 1];

        static_cast<LoadMatrix *> (operands[lane])->registers[i] = lower | upper << 16;
      }
}

template <int n, bool transposed>
static void
load_matrix (unsigned *registers, const void *row, Site site)
{
  LoadMatrix operand = { registers, row };

  wait_for_warp (Kind::load_matrix, full_warp, &operand, load_together<n, transposed>, site);
}

} /* namespace emulator */

void
emulated_mma_m16n8k16_bf16 (float d[4], const unsigned a[4], const unsigned b[2], const float c[4], emulator::Site site)
{
  emulator::Product operand = { d, a, b, c };

  emulator::wait_for_warp (emulator::Kind::product, emulator::full_warp, &operand, emulator::multiply_together, site);
}

void
emulated_ldmatrix_x4 (unsigned r[4], const void *row, emulator::Site site)
{
  emulator::load_matrix<4, false> (r, row, site);
}

void
emulated_ldmatrix_x4_trans (unsigned r[4], const void *row, emulator::Site site)
{
  emulator::load_matrix<4, true> (r, row, site);
}

void
emulated_ldmatrix_x2 (unsigned r[2], const void *row, emulator::Site site)
{
  emulator::load_matrix<2, false> (r, row, site);
}

void
emulated_ldmatrix_x2_trans (unsigned r[2], const void *row, emulator::Site site)
{
  emulator::load_matrix<2, true> (r, row, site);
}
