/* test-kernels-condition.cpp — kernels that U-ViT and DiT need beside DiMR's, and FP8
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

constexpr int odd_widths[] = { 1, 5, 8, 60, 257, 960, 1032, 2050 };

static double
exact (CudaFunction function, double x)
{
  switch (function)
    {
    case CUDA_FUNCTION_SILU: return x / (1 + exp (-x));
    case CUDA_FUNCTION_GELU: return .5 * x * (1 + erf (x / sqrt (2.)));
    default: return .5 * x * (1 + tanh (sqrt (2 / G_PI) * (x + .044715 * x * x * x)));
    }
}

static void
test_functions ()
{
  for (CudaType type : all_types)
    for (CudaFunction function : { CUDA_FUNCTION_SILU, CUDA_FUNCTION_GELU, CUDA_FUNCTION_GELU_TANH })
      for (size_t n : { 1, 7, 8, 4096, 8199 })
        for (bool in_place : { false, true })
          {
            Values x = random_values (type, n, 1, 0, 3), expected;

            x[0] = -100;
            x[n / 2] = 200;
            for (double value : x)
              expected.push_back (exact (function, value));
            check_kernel ("function", [&] {
              const Tensor in (type, x), own (type, n);
              const Tensor &out = in_place ? in : own;

              LAUNCHED (cuda_apply (nullptr, type, function, in.data (), out.data (), n));
              return out.values ();
            }, expected, { type, 1e-6 });
          }
}

/* The vectors of an image are slices of one row of 6 · D, as adaLN makes them, or one for all. */
static void
test_modulate ()
{
  for (CudaType type : all_types)
    for (int d : odd_widths)
      for (bool each : { true, false })
        {
          const int images = 2, per_image = 3, rows = images * per_image;
          const size_t stride = each ? size (6 * d) : 0, bytes = type == CUDA_TYPE_F32 ? 4 : 2;
          const Values x = random_values (type, size (rows * d), 1), y = random_values (type, size (rows * d), 2);
          const Values vectors = random_values (type, size (images * 6 * d), 3);
          Values modulated, gated;

          for (int row = 0; row < rows; row++)
            for (int c = 0; c < d; c++)
              {
                const double *vector = &vectors[size (row / per_image) * stride + size (c)];
                const size_t at = size (row * d + c);

                modulated.push_back (x[at] * (1 + vector[size (d)]) + vector[0]);
                gated.push_back (x[at] + vector[size (2 * d)] * y[at]);
              }
          check_kernel ("modulation", [&] {
            const Tensor in (type, x), v (type, vectors), out (type, x.size ());
            char *first = static_cast<char *> (v.data ());

            LAUNCHED (cuda_modulate (nullptr, type, in.data (), first, first + size (d) * bytes, stride, out.data (), rows, per_image, d));
            return out.values ();
          }, modulated, { type, 1e-6 });
          for (int place = 0; place < 3; place++)
            check_kernel ("gated sum", [&] {
              const Tensor in (type, x), other (type, y), v (type, vectors), own (type, x.size ());
              const Tensor &out = place == 0 ? own : place == 1 ? in : other;

              LAUNCHED (cuda_gated_add (nullptr, type, in.data (), static_cast<char *> (v.data ()) + size (2 * d) * bytes,
                                        other.data (), stride, out.data (), rows, per_image, d));
              return out.values ();
            }, gated, { type, 1e-6 });
        }
}

static void
test_timestep_embedding ()
{
  for (CudaType type : all_types)
    for (int length : { 2, 6, 256, 530 })
      {
        const Values t = { 0, 1, 17.25, 999, 500.5 };
        const int half = length / 2;
        Values expected;

        for (double time : t)
          for (int i = 0; i < length; i++)
            {
              const double angle = time * pow (10000, -static_cast<double> (i % half) / half);

              expected.push_back (i < half ? cos (angle) : sin (angle));
            }
        /* The frequencies are rounded to float: 6e-5 of the angle at t = 1000. */
        check_kernel ("time embedding", [&] {
          const Tensor in (CUDA_TYPE_F32, t), out (type, expected.size ());

          LAUNCHED (cuda_timestep_embedding (nullptr, type, in.floats (), out.data (), static_cast<int> (t.size ()), length));
          return out.values ();
        }, expected, { type, 1.5e-4 });
      }
}

static void
test_slice_channels ()
{
  for (CudaType type : all_types)
    for (int d : odd_widths)
      for (int start : { 0, d / 3, d / 2 / 8 * 8 })
        {
          const int rows = 5, length = d - start > 8 ? (d - start) / 8 * 8 : 1;
          const Values x = random_values (type, size (rows * d), 1);
          Values expected;

          for (int row = 0; row < rows; row++)
            expected.insert (expected.end (), x.begin () + row * d + start, x.begin () + row * d + start + length);
          check_kernel_exactly ("slice of channels", [&] {
            const Tensor in (type, x), out (type, expected.size ());

            LAUNCHED (cuda_slice_channels (nullptr, type, in.data (), out.data (), rows, d, start, length));
            return out.values ();
          }, expected);
        }
}

static void
test_repeat ()
{
  for (CudaType type : all_types)
    {
      const Values x = random_values (type, 37, 1);
      Values expected;

      for (int i = 0; i < 3; i++)
        expected.insert (expected.end (), x.begin (), x.end ());
      check_kernel_exactly ("repetition", [&] {
        const Tensor in (type, x), out (type, expected.size ());

        LAUNCHED (cuda_repeat (nullptr, type, in.data (), out.data (), x.size (), 3));
        return out.values ();
      }, expected);
    }
}

static void
test_pictures_and_maps ()
{
  const int sizes[][3] = { { 1, 1, 1 }, { 3, 5, 7 }, { 4, 32, 32 }, { 3, 33, 31 }, { 40, 8, 9 }, { 8, 1, 100 } };

  for (CudaType type : all_types)
    for (const int (&s)[3] : sizes)
      {
        const int batch = 2, c = s[0], h = s[1], w = s[2], m = h * w;
        const Values picture = random_values (type, size (batch * c * m), 1);
        Values map;

        for (int b = 0; b < batch; b++)
          for (int p = 0; p < m; p++)
            for (int i = 0; i < c; i++)
              map.push_back (picture[size ((b * c + i) * m + p)]);
        check_kernel_exactly ("picture to map", [&] {
          const Tensor in (CUDA_TYPE_F32, picture), out (type, map.size ());

          LAUNCHED (cuda_image_to_map (nullptr, type, in.floats (), out.data (), batch, c, h, w));
          return out.values ();
        }, map);
        check_kernel_exactly ("map to picture", [&] {
          const Tensor in (type, map), out (CUDA_TYPE_F32, map.size ());

          LAUNCHED (cuda_to_image (nullptr, type, in.data (), out.floats (), batch, h, w, c));
          return out.values ();
        }, picture);
      }
}

static void
test_upsample ()
{
  for (CudaType type : all_types)
    for (int d : odd_widths)
      for (int f : { 1, 2, 3 })
        {
          const int batch = 2, height = 3, width = 2;
          const Values x = random_values (type, size (batch * height * width * d), 1);
          Values expected;

          for (int b = 0; b < batch; b++)
            for (int y = 0; y < height * f; y++)
              for (int i = 0; i < width * f; i++)
                for (int c = 0; c < d; c++)
                  expected.push_back (x[size (((b * height + y / f) * width + i / f) * d + c)]);
          check_kernel_exactly ("upsampling", [&] {
            const Tensor in (type, x), out (type, expected.size ());

            LAUNCHED (cuda_upsample_nearest (nullptr, type, in.data (), out.data (), batch, height, width, d, f));
            return out.values ();
          }, expected);
        }
}

/* Layer norms of DiT have neither weight nor bias. */
static void
test_plain_layer_norm ()
{
  for (CudaType type : all_types)
    for (int d : { 7, 384, 1152, 4104, 2051 })
      {
        const int rows = 3;
        const Values x = random_values (type, size (rows * d), 1, 2, 3);
        Values expected;

        for (int row = 0; row < rows; row++)
          {
            double mean = 0, squares = 0;

            for (int c = 0; c < d; c++)
              mean += x[size (row * d + c)] / d;
            for (int c = 0; c < d; c++)
              squares += (x[size (row * d + c)] - mean) * (x[size (row * d + c)] - mean) / d;
            for (int c = 0; c < d; c++)
              expected.push_back ((x[size (row * d + c)] - mean) / sqrt (squares + 1e-6));
          }
        check_kernel ("layer norm without weights", [&] {
          const Tensor in (type, x), out (type, x.size ());
          CudaSources sources = {};

          sources.n = 1;
          sources.widths[0] = d;
          sources.data[0] = in.data ();
          LAUNCHED (cuda_layer_norm (nullptr, type, &sources, {}, {}, out.data (), rows, rows, d, 1e-6f));
          return out.values ();
        }, expected, { type, 4e-6 });
      }
}

/* ---- FP8 ---- */

static double
value_of_e4m3 (unsigned code)
{
  const unsigned exponent = code >> 3 & 15, mantissa = code & 7;
  const double size = exponent == 0 ? ldexp (mantissa, -9) : ldexp (8 + mantissa, static_cast<int> (exponent) - 10);

  return code & 0x80 ? -size : size;
}

/* The nearest of all 254 numbers, of two equally near ones the even. */
static unsigned
nearest_e4m3 (double value)
{
  unsigned best = 0;

  for (unsigned code = 0; code < 0x7f; code++)
    {
      const double now = fabs (value_of_e4m3 (code) - fabs (value)), then = fabs (value_of_e4m3 (best) - fabs (value));

      if (now < then || (now == then && code % 2 == 0))
        best = code;
    }
  return best | (signbit (value) ? 0x80 : 0);
}

static void
test_quantize ()
{
  for (int d : { 1, 7, 8, 16, 250, 960, 3840 })
    {
      const int rows = 6;
      Values x = random_values (CUDA_TYPE_BF16, size (rows * d), static_cast<unsigned> (d)), expected;

      for (int c = 0; c < d; c++)
        {
          x[size (d + c)] = 0;                       /* a row of zeros */
          x[size (2 * d + c)] *= 1. / (1 << (c % 20)); /* down to subnormal codes */
          x[size (3 * d + c)] = ldexp (x[size (3 * d + c)], 100);
          /* The factor is 1 here: values half-way between two codes. */
          x[size (4 * d + c)] = c == 0 ? 448 : round_to (CUDA_TYPE_BF16, (c % 2 ? -1 : 1) * (value_of_e4m3 (c % 0x7d) + value_of_e4m3 (c % 0x7d + 1)) / 2);
        }
      for (int row = 0; row < rows; row++)
        {
          float largest = 0, factor;

          for (int c = 0; c < d; c++)
            largest = fmaxf (largest, fabsf (static_cast<float> (x[size (row * d + c)])));
          largest = largest == 0 ? 448 : largest;
          factor = 448 / largest;
          expected.push_back (largest / 448);
          for (int c = 0; c < d; c++)
            expected.push_back (nearest_e4m3 (static_cast<float> (x[size (row * d + c)]) * factor));
        }
      check_kernel_exactly ("quantization", [&] {
        const Tensor in (CUDA_TYPE_BF16, x), scale (CUDA_TYPE_F32, size (rows));
        const Array<unsigned char> out (std::vector<unsigned char> (size (rows * d), 0x55));
        Values got;

        LAUNCHED (cuda_quantize_rows (nullptr, in.data (), out.data (), scale.floats (), rows, d));
        for (int row = 0; row < rows; row++)
          {
            got.push_back (scale.floats ()[row]);
            got.insert (got.end (), out.data () + row * d, out.data () + (row + 1) * d);
          }
        return got;
      }, expected);
    }
}

/* More rows of tiles than a grid may have along y. */
static void
test_tall_pictures ()
{
  const int rows = 65536 * 32 + 1;
  Values x;

  for (int i = 0; i < rows; i++)
    x.push_back (i);

  const Tensor in (CUDA_TYPE_F32, x), out (CUDA_TYPE_F32, x.size ());

  LAUNCHED (cuda_to_image (nullptr, CUDA_TYPE_F32, in.data (), out.floats (), 1, rows, 1, 1));
  g_assert_true (out.values () == x);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, nullptr);
  g_test_add_func ("/cuda/kernels/tall-pictures", test_tall_pictures);
  g_test_add_func ("/cuda/kernels/functions", test_functions);
  g_test_add_func ("/cuda/kernels/modulate", test_modulate);
  g_test_add_func ("/cuda/kernels/timestep-embedding", test_timestep_embedding);
  g_test_add_func ("/cuda/kernels/slice-channels", test_slice_channels);
  g_test_add_func ("/cuda/kernels/repeat", test_repeat);
  g_test_add_func ("/cuda/kernels/pictures-and-maps", test_pictures_and_maps);
  g_test_add_func ("/cuda/kernels/upsample", test_upsample);
  g_test_add_func ("/cuda/kernels/plain-layer-norm", test_plain_layer_norm);
  g_test_add_func ("/cuda/kernels/quantize", test_quantize);
  return g_test_run ();
}
