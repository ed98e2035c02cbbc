/* test-kernels-autoencoder.cpp — group norms, and the rows of convolutions
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernel-case.h"

#include <math.h>

static size_t
size (int n)
{
  return static_cast<size_t> (n);
}

struct StatsCase
{
  int        batch, height, width, d, groups;
  CudaRegion region;
  double     mean;
};

static void
check_stats (CudaType type, const StatsCase &c)
{
  const Values x = random_values (type, size (c.batch * c.height * c.width * c.d), 1, c.mean, 1);
  const int width = c.d / c.groups;
  Values expected;

  for (int b = 0; b < c.batch; b++)
    for (int g = 0; g < c.groups; g++)
      {
        const double n = static_cast<double> (c.region.height) * c.region.width * width;
        double sums[2] = { 0, 0 };

        for (int pass = 0; pass < 2; pass++)
          for (int y = c.region.top; y < c.region.top + c.region.height; y++)
            for (int i = c.region.left; i < c.region.left + c.region.width; i++)
              for (int e = g * width; e < (g + 1) * width; e++)
                {
                  const double value = x[size (((b * c.height + y) * c.width + i) * c.d + e)];

                  sums[pass] += (pass == 0 ? value : (value - sums[0]) * (value - sums[0])) / n;
                }
        expected.insert (expected.end (), sums, sums + 2);
      }
  check_kernel ("group statistics", [&] {
    const size_t n_scratch = cuda_group_stats_scratch (c.batch, c.region.height * c.region.width, c.d);
    const Tensor in (type, x), scratch (CUDA_TYPE_F32, n_scratch), out (CUDA_TYPE_F32, expected.size ());

    LAUNCHED (cuda_group_stats (nullptr, type, in.data (), scratch.floats (), out.floats (), c.batch, c.height, c.width, c.d, c.groups,
                                c.region));
    return out.values ();
  }, expected, { CUDA_TYPE_F32, 3e-6 });
}

static void
test_group_stats ()
{
  for (CudaType type : all_types)
    {
      check_stats (type, { 1, 1, 1, 4, 4, { 0, 0, 1, 1 }, 0 });
      check_stats (type, { 2, 8, 8, 64, 32, { 0, 0, 8, 8 }, 0 });
      check_stats (type, { 2, 9, 7, 30, 5, { 2, 1, 6, 5 }, 1 });
      check_stats (type, { 1, 33, 31, 16, 2, { 0, 0, 33, 31 }, .5 });
      check_stats (type, { 3, 5, 40, 9, 3, { 1, 8, 4, 32 }, -2 });
    }
  /* More pixels than 16 a lane; and a mean where E[x²] − E[x]² has no digits left. */
  check_stats (CUDA_TYPE_BF16, { 1, 200, 180, 8, 2, { 0, 0, 200, 180 }, 0 });
  check_stats (CUDA_TYPE_F32, { 1, 40, 40, 8, 2, { 0, 0, 40, 40 }, 3000 });
}

/* Statistics as a caller may have them: one for all images, or one each. */
static Values
folded_norm (const Values &stats, size_t stride, const Values &weight, const Values &bias, int batch, int groups, double eps)
{
  const size_t d = weight.size ();
  Values folded;

  for (int b = 0; b < batch; b++)
    for (int part = 0; part < 2; part++)
      for (size_t c = 0; c < d; c++)
        {
          const double *s = &stats[size (b) * stride + 2 * (c / (d / size (groups)))];
          const double factor = weight[c] / sqrt (s[1] + eps);

          folded.push_back (part == 0 ? factor : bias[c] - s[0] * factor);
        }
  return folded;
}

static double
normed (double x, const Values &folded, size_t image, size_t d, size_t c, bool silu)
{
  const double y = x * folded[image * 2 * d + c] + folded[image * 2 * d + d + c];

  return silu ? y / (1 + exp (-y)) : y;
}

static void
test_group_norm ()
{
  const int batch = 2, rows_per_image = 15, groups = 3;

  for (CudaType type : all_types)
    for (int d : { 3, 24, 30, 96, 1032 })
      for (bool silu : { false, true })
        for (bool each : { false, true })
          {
            const size_t stride = each ? size (2 * groups) : 0;
            const Values x = random_values (type, size (batch * rows_per_image * d), 1), weight = random_values (CUDA_TYPE_F32, size (d), 2, 1);
            const Values bias = random_values (CUDA_TYPE_F32, size (d), 3);
            Values stats = random_values (CUDA_TYPE_F32, size (2 * groups * batch), 4), folded, expected;

            for (size_t i = 1; i < stats.size (); i += 2)
              stats[i] = round_to (CUDA_TYPE_F32, .2 + fabs (stats[i]));
            folded = folded_norm (stats, stride, weight, bias, batch, groups, 1e-6);
            for (size_t i = 0; i < x.size (); i++)
              expected.push_back (normed (x[i], folded, i / size (rows_per_image * d), size (d), i % size (d), silu));
            check_kernel ("group norm", [&] {
              const Tensor in (type, x), s (CUDA_TYPE_F32, stats), w (CUDA_TYPE_F32, weight), v (CUDA_TYPE_F32, bias);
              const Tensor f (CUDA_TYPE_F32, folded.size ()), out (type, x.size ());

              LAUNCHED (cuda_group_norm_fold (nullptr, s.floats (), stride, w.floats (), v.floats (), f.floats (), batch, d, groups, 1e-6f));
              LAUNCHED (cuda_group_norm (nullptr, type, in.data (), f.floats (), silu, out.data (), batch * rows_per_image, rows_per_image, d));
              return out.values ();
            }, expected, { type, 4e-6 });
          }
}

struct RowsCase
{
  int  d, k, stride, pad_before, pad_after, factor;
  bool norm, silu;
};

static void
test_conv_rows ()
{
  const int batch = 2, height = 5, width = 6;
  const RowsCase cases[] = {
    { 8, 3, 1, 1, 1, 1, false, false }, { 5, 3, 1, 1, 1, 1, true, true },  { 16, 3, 2, 0, 1, 1, true, false },
    { 8, 3, 1, 1, 1, 2, true, true },   { 24, 1, 1, 0, 0, 1, true, true }, { 3, 4, 4, 0, 0, 1, false, false },
    { 200, 3, 1, 1, 1, 2, false, false },
  };

  for (CudaType type : all_types)
    for (const RowsCase &c : cases)
      {
        const int up_height = height * c.factor, up_width = width * c.factor, pad = c.pad_before + c.pad_after;
        const int out_height = (up_height + pad - c.k) / c.stride + 1, out_width = (up_width + pad - c.k) / c.stride + 1;
        const int first = 3, rows = batch * out_height * out_width - first - 1, columns = c.k * c.k * c.d;
        const Values x = random_values (type, size (batch * height * width * c.d), 1);
        const Values folded = random_values (CUDA_TYPE_F32, size (batch * 2 * c.d), 2);
        Values expected;

        if (rows < 1)
          continue;
        for (int row = first; row < first + rows; row++)
          for (int i = 0; i < columns; i++)
            {
              const int image = row / (out_height * out_width), tap = i / c.d, channel = i % c.d;
              const int y = row / out_width % out_height * c.stride + tap / c.k - c.pad_before;
              const int at = row % out_width * c.stride + tap % c.k - c.pad_before;
              double value = 0;

              if (y >= 0 && y < up_height && at >= 0 && at < up_width)
                {
                  value = x[size (((image * height + y / c.factor) * width + at / c.factor) * c.d + channel)];
                  if (c.norm)
                    value = normed (value, folded, size (image), size (c.d), size (channel), c.silu);
                }
              expected.push_back (value);
            }
        check_kernel ("rows of a convolution", [&] {
          const Tensor in (type, x), f (CUDA_TYPE_F32, folded), out (type, expected.size ());
          const CudaConv2d conv = {
            in.data (), c.norm ? f.floats () : nullptr, c.silu, height, width, c.d, c.k, c.stride, c.pad_before, c.factor, out_height, out_width,
          };

          LAUNCHED (cuda_conv_rows (nullptr, type, &conv, out.data (), first, rows));
          return out.values ();
        }, expected, { type, 2e-6 });
      }
}

static void
test_softmax ()
{
  const size_t rows = 3;

  for (CudaType type : all_types)
    for (int n : { 1, 2, 31, 32, 33, 255, 256, 257, 700 })
      for (bool in_place : { false, true })
        for (double peak : { 1., 60. })
          {
            const size_t stride = in_place ? size (n) : size (n + 7) / 8 * 8;
            const double scale = .25;
            const Values x = random_values (CUDA_TYPE_F32, rows * size (n), static_cast<unsigned> (n), 3, peak);
            Values expected;

            if (in_place && type != CUDA_TYPE_F32)
              continue;
            for (size_t row = 0; row < rows; row++)
              {
                double sum = 0, max = -INFINITY;

                for (size_t i = 0; i < size (n); i++)
                  max = fmax (max, x[row * size (n) + i]);
                for (size_t i = 0; i < size (n); i++)
                  sum += exp ((x[row * size (n) + i] - max) * scale);
                for (size_t i = 0; i < size (n); i++)
                  expected.push_back (exp ((x[row * size (n) + i] - max) * scale) / sum);
              }
            check_kernel ("softmax", [&] {
              const Tensor scores (CUDA_TYPE_F32, x), other (type, rows * stride);
              const Tensor &out = in_place ? scores : other;
              Values all, found;

              LAUNCHED (cuda_softmax (nullptr, type, scores.floats (), static_cast<float> (scale), out.data (), stride, rows, n));
              all = out.values ();
              for (size_t row = 0; row < rows; row++)
                found.insert (found.end (), all.begin () + static_cast<long> (row * stride), all.begin () + static_cast<long> (row * stride + size (n)));
              return found;
            }, expected, { type, 2e-6 });
          }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, nullptr);
  g_test_add_func ("/cuda/kernels/group-stats", test_group_stats);
  g_test_add_func ("/cuda/kernels/group-norm", test_group_norm);
  g_test_add_func ("/cuda/kernels/conv-rows", test_conv_rows);
  g_test_add_func ("/cuda/kernels/softmax", test_softmax);
  return g_test_run ();
}
