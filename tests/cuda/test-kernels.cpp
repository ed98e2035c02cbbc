/* test-kernels.cpp — norms, elementwise kernels, gathered rows, pictures and the sampler's walk
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernel-case.h"

#include <math.h>
#include <memory>

/* ---- norms ---- */

struct NormCase
{
  std::vector<int> widths;
  std::vector<int> skips;
  int              images, rows_per_image;
  double           mean;     /* of x, whose deviation is 1 */
  bool             timed;    /* scale and bias of their own for every image, at step 1 of 3 */
};

/* The rows of all sources that a norm or a concatenation joins, and how it is told. */
struct Sources
{
  std::vector<Values> values;
  Values              joined;
  int                 d = 0;

  Sources (CudaType type, const NormCase &c, unsigned seed)
  {
    for (size_t i = 0; i < c.widths.size (); i++)
      {
        values.push_back (random_values (type, static_cast<size_t> (c.images) * static_cast<size_t> (c.rows_per_image + c.skips[i]) *
                                               static_cast<size_t> (c.widths[i]),
                                         seed + static_cast<unsigned> (i), c.mean));
        d += c.widths[i];
      }
    for (int row = 0; row < c.images * c.rows_per_image; row++)
      for (size_t i = 0; i < c.widths.size (); i++)
        {
          const int from = row + (row / c.rows_per_image + 1) * c.skips[i];
          const double *x = &values[i][static_cast<size_t> (from) * static_cast<size_t> (c.widths[i])];

          joined.insert (joined.end (), x, x + c.widths[i]);
        }
  }
};

/* The same on the device. */
struct DeviceSources
{
  std::vector<std::unique_ptr<Tensor>> tensors;
  CudaSources                          sources = {};

  DeviceSources (CudaType type, const NormCase &c, const Sources &x)
  {
    sources.n = static_cast<int> (c.widths.size ());
    for (size_t i = 0; i < c.widths.size (); i++)
      {
        tensors.push_back (std::make_unique<Tensor> (type, x.values[i]));
        sources.widths[i] = c.widths[i];
        sources.data[i] = tensors[i]->data ();
        sources.skip[i] = c.skips[i];
      }
  }
};

static void
check_norm (CudaType type, const NormCase &c, bool rms, const char *what)
{
  const Sources x (type, c, 1);
  const size_t d = static_cast<size_t> (x.d), rows = static_cast<size_t> (c.images * c.rows_per_image);
  const size_t vectors = c.timed ? static_cast<size_t> (c.images) : 1, step = vectors * d;
  const Values scale = random_values (CUDA_TYPE_F32, 3 * step, 100, 1, .3), bias = random_values (CUDA_TYPE_F32, 3 * step, 101);
  const double eps = rms ? 1e-8 : 1e-5;
  Values expected (rows * d);

  for (size_t row = 0; row < rows; row++)
    {
      const size_t v = (c.timed ? 1 : 0) * step + (c.timed ? row / static_cast<size_t> (c.rows_per_image) * d : 0);
      const double *in = &x.joined[row * d];
      double mean = 0, squares = 0;

      for (size_t i = 0; i < d && !rms; i++)
        mean += in[i] / static_cast<double> (d);
      for (size_t i = 0; i < d; i++)
        squares += (in[i] - mean) * (in[i] - mean) / static_cast<double> (d);
      for (size_t i = 0; i < d; i++)
        expected[row * d + i] = rms ? scale[v + i] * in[i] / (sqrt (squares) + eps)
                                    : scale[v + i] * (in[i] - mean) / sqrt (squares + eps) + bias[v + i];
    }

  check_kernel (what, [&] {
    DeviceSources device (type, c, x);
    const Tensor scales (CUDA_TYPE_F32, scale), biases (CUDA_TYPE_F32, bias);
    const Tensor out (type, rows * d);
    const Array<int> index ({ 1 });
    CudaTimed timed_scale = { scales.floats (), c.timed ? index.data () : nullptr, step, c.timed ? d : 0 };
    CudaTimed timed_bias = timed_scale;

    timed_bias.values = biases.floats ();
    if (rms)
      LAUNCHED (cuda_rms_norm (nullptr, type, device.sources.data[0], timed_scale, out.data (), static_cast<int> (rows),
                               c.rows_per_image, x.d, static_cast<float> (eps)));
    else
      LAUNCHED (cuda_layer_norm (nullptr, type, &device.sources, timed_scale, timed_bias, out.data (), static_cast<int> (rows),
                                 c.rows_per_image, x.d, static_cast<float> (eps)));
    return out.values ();
  }, expected, { type, type == CUDA_TYPE_F32 ? 4e-6 + fabs (c.mean) * 2e-7 : 2e-3 });
}

static void
test_rms_norm ()
{
  for (CudaType type : all_types)
    {
      for (int d : { 1, 5, 8, 60, 192, 240, 257, 480, 500, 512, 960, 1152, 1280, 2048 })
        check_norm (type, { { d }, { 0 }, 2, 3, 0, d % 3 == 0 }, true, "RMS norm, a warp a row");
      for (int d : { 2051, 2056, 4096, 20480, 20496, 66816 })
        check_norm (type, { { d }, { 0 }, 1, 2, .5, true }, true, "RMS norm, a block a row");
    }
}

static void
test_rms_norm_in_place ()
{
  for (CudaType type : all_types)
    for (int d : { 960, 2051, 8192 })
      {
        const size_t n = 3 * static_cast<size_t> (d);
        const Values x = random_values (type, n, 3), scale = random_values (CUDA_TYPE_F32, static_cast<size_t> (d), 4);
        const auto run = [&] (bool in_place) {
          const Tensor in (type, x), out (type, n), s (CUDA_TYPE_F32, scale);

          LAUNCHED (cuda_rms_norm (nullptr, type, in.data (), { s.floats (), nullptr, 0, 0 }, in_place ? in.data () : out.data (),
                                   3, 3, d, 1e-8f));
          return in_place ? in.values () : out.values ();
        };

        check_kernel_exactly ("RMS norm in place", [&] { return run (true); }, run (false));
      }
}

static void
test_layer_norm ()
{
  for (CudaType type : all_types)
    {
      for (int d : { 1, 7, 64, 257, 480, 960, 1152, 2048, 2056, 5000, 10248 })
        check_norm (type, { { d }, { 0 }, 2, 3, 0, d % 2 == 0 }, false, "layer norm of one tensor");
      /* skips: the class token is no part of the map */
      check_norm (type, { { 64 }, { 1 }, 3, 4, 0, true }, false, "layer norm without the class token");
      check_norm (type, { { 64, 32, 8 }, { 1, 0, 2 }, 2, 5, 0, false }, false, "layer norm of three widths");
      check_norm (type, { { 5, 3, 9 }, { 0, 1, 0 }, 2, 5, 0, true }, false, "layer norm of odd widths");
      check_norm (type, { { 512, 2048, 8 }, { 0, 1, 0 }, 2, 3, 0, true }, false, "layer norm of long, unequal rows");
      check_norm (type, { std::vector<int> (64, 40), std::vector<int> (64, 1), 2, 3, 0, true }, false, "layer norm of 64 tensors");
    }
}

/* The cascade of DiMR-XL/2R: 40 tensors of 960 channels. */
static void
test_cascade_norm ()
{
  std::vector<int> skips (40, 1);

  for (CudaType type : all_types)
    {
      check_norm (type, { std::vector<int> (40, 960), skips, 2, 2, 0, true }, false, "layer norm of the cascade");
      check_norm (type, { std::vector<int> (41, 1000), std::vector<int> (41, 0), 1, 2, 0, false }, false, "layer norm beyond the registers");
    }
  /* More rows than two for each of the 132 processors: two rows a block. */
  check_norm (CUDA_TYPE_BF16, { { 2048, 2048 }, { 1, 0 }, 2, 134, 0, true }, false, "layer norm, two rows a block");
  check_norm (CUDA_TYPE_BF16, { { 2048, 2048 }, { 0, 0 }, 1, 265, 0, false }, false, "layer norm, two rows a block and one over");
  check_norm (CUDA_TYPE_BF16, { { 2048, 2048 }, { 1, 0 }, 2, 133, 0, false }, false, "layer norm, images of odd length");
}

/* E[x²] − E[x]² has no digits left here. */
static void
test_layer_norm_cancellation ()
{
  for (int d : { 8, 960, 4096, 40960, 41000 })
    {
      check_norm (CUDA_TYPE_F32, { { d }, { 0 }, 1, 2, 1000, false }, false, "layer norm, mean 1000");
      check_norm (CUDA_TYPE_F32, { { d }, { 0 }, 1, 2, -30000, false }, false, "layer norm, mean -30000");
    }
  check_norm (CUDA_TYPE_BF16, { { 960 }, { 0 }, 1, 2, 40, false }, false, "layer norm, mean 40");
}

/* ---- elementwise ---- */

static void
test_geglu ()
{
  for (CudaType type : all_types)
    for (int d : { 1, 5, 8, 60, 1024, 1920, 2000, 3840 })
      for (int place = 0; place < 4; place++)
        {
          /* 0: a and b are the halves of one row; else tensors of their own, and 2: out is a, 3: out is b. */
          const bool packed = place == 0;
          const size_t rows = 9, width = static_cast<size_t> (d), stride = packed ? 2 * width : width;
          const Values x = random_values (type, rows * 2 * width, static_cast<unsigned> (d), 0, 2);
          Values expected (rows * width);

          for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < width; i++)
              {
                const double a = x[r * stride + i], b = x[packed ? r * stride + width + i : (rows + r) * width + i];

                expected[r * width + i] = .5 * a * (1 + erf (a / sqrt (2.))) * b;
              }
          check_kernel ("GEGLU", [&] {
            const Tensor in (type, x), out (type, rows * width);
            const size_t first = packed ? width : rows * width;
            void *const b = static_cast<char *> (in.data ()) + first * (type == CUDA_TYPE_F32 ? 4 : 2);
            Values all;

            LAUNCHED (cuda_geglu (nullptr, type, in.data (), b, stride, place < 2 ? out.data () : place == 2 ? in.data () : b,
                                  static_cast<int> (rows), d));
            if (place < 2)
              return out.values ();
            all = in.values ();
            return place == 2 ? Values (all.begin (), all.begin () + static_cast<long> (first))
                              : Values (all.begin () + static_cast<long> (first), all.end ());
          }, expected, { type, 2e-6 });
        }
}

static void
test_add ()
{
  for (CudaType type : all_types)
    for (size_t n : { 1, 7, 8, 4095, 8192, 8199, 20001 })
      for (int place = 0; place < 3; place++)
        {
          const Values a = random_values (type, n, 5), b = random_values (type, n, 6);
          Values expected (n);

          for (size_t i = 0; i < n; i++)
            expected[i] = round_to (type, round_to (CUDA_TYPE_F32, a[i] + b[i]));
          check_kernel_exactly ("sum", [&] {
            const Tensor left (type, a), right (type, b), other (type, n);
            const Tensor &out = place == 0 ? other : place == 1 ? left : right;

            LAUNCHED (cuda_add (nullptr, type, left.data (), right.data (), out.data (), n));
            return out.values ();
          }, expected);
        }
}

static void
test_convert ()
{
  for (CudaType from : all_types)
    for (CudaType to : all_types)
      for (size_t n : { 1, 9, 4096, 4103 })
        {
          Values x = random_values (from, n, 7, 0, 100);

          x[0] = INFINITY;
          if (n > 3)
            {
              x[1] = -0.;
              x[2] = round_to (from, 1 + 1. / 256);     /* halfway: to even */
              x[3] = round_to (from, 1 + 3. / 256);
            }
          check_kernel_exactly ("conversion", [&] {
            const Tensor in (from, x), out (to, n);
            Values got;

            LAUNCHED (cuda_convert (nullptr, from, in.data (), to, out.data (), n));
            got = out.values ();
            g_assert_true (isinf (got[0]));
            got[0] = 0;
            return got;
          }, [&] { Values y = rounded (to, x); y[0] = 0; return y; } ());
        }
}

static void
test_time_param ()
{
  for (size_t d : { 1, 60, 128, 257 })
    {
      const size_t n_times = 11;
      const Values snr = random_values (CUDA_TYPE_F32, n_times, 1, 0, 8), p0 = random_values (CUDA_TYPE_F32, d, 2);
      const Values p1 = random_values (CUDA_TYPE_F32, d, 3), weight = random_values (CUDA_TYPE_F32, d, 4, 0, .2);
      const Values bias = random_values (CUDA_TYPE_F32, d, 5);
      Values expected (n_times * d);

      for (size_t t = 0; t < n_times; t++)
        for (size_t i = 0; i < d; i++)
          expected[t * d + i] = p1[i] + (p0[i] - p1[i]) / (1 + exp (-(snr[t] / 4 * (1 + weight[i]) + bias[i])));
      check_kernel ("time parameter", [&] {
        const Tensor a (CUDA_TYPE_F32, snr), b (CUDA_TYPE_F32, p0), c (CUDA_TYPE_F32, p1), e (CUDA_TYPE_F32, weight);
        const Tensor f (CUDA_TYPE_F32, bias), out (CUDA_TYPE_F32, n_times * d);

        LAUNCHED (cuda_time_param (nullptr, a.floats (), static_cast<int> (n_times), b.floats (), c.floats (), e.floats (),
                                   f.floats (), out.floats (), static_cast<int> (d)));
        return out.values ();
      }, expected, { CUDA_TYPE_F32, 2e-6 });
    }
}

/* ---- the walk: bit for bit what the host does ---- */

static void
test_walk ()
{
  const int images = 3;
  const size_t len = 257, n = images * len;

  for (bool guided : { false, true })
    for (int outer = 0; outer < 2; outer++)
      for (int newest = 0; newest < 3; newest++)
        {
          const CudaWalkRow row = { .1 + .3 * newest, .95, .7, { .31, -.2, .05 }, 1.7, outer, newest };
          const Values eps = random_values (CUDA_TYPE_F32, 2 * n, 1), noise = random_values (CUDA_TYPE_F32, 5 * n, 2);
          const auto part = [&] (size_t i) {
            std::vector<double> v (noise.begin () + static_cast<ptrdiff_t> (i * n), noise.begin () + static_cast<ptrdiff_t> ((i + 1) * n));

            for (double &value : v)
              value *= 1.0000000123;
            return v;
          };
          const std::vector<double> x = part (0), point = part (1), history[3] = { part (2), part (3), part (4) };
          Values expected;

          for (size_t i = 0; i < n; i++)
            {
              const double uncond = eps[n + i], turn = row.guidance * (eps[i] - uncond);
              const double e = guided ? static_cast<float> (uncond + turn) : eps[i];
              const double noise_part = row.sigma * e, x0 = (point[i] - noise_part) / row.alpha;
              const double a = row.start * x[i], b = row.x0[0] * x0, c = row.x0[1] * history[(newest + 2) % 3][i];
              const double f = row.x0[2] * history[(newest + 1) % 3][i], next = a + b + c + f;

              expected.push_back (x0);
              expected.push_back (next);
              expected.push_back (outer ? next : x[i]);
              expected.push_back (static_cast<float> (next));
              expected.push_back (static_cast<float> (x0));
            }
          check_kernel_exactly ("walk", [&] {
            const Array<CudaWalkRow> rows ({ {}, row, {} });
            const Array<int> index ({ 1 });
            const Tensor e (CUDA_TYPE_F32, guided ? eps : Values (eps.begin (), eps.begin () + static_cast<ptrdiff_t> (n)));
            const Array<double> start (x), at (point), h0 (history[0]), h1 (history[1]), h2 (history[2]);
            double *const buffers[3] = { h0.data (), h1.data (), h2.data () };
            const Tensor in (CUDA_TYPE_F32, 2 * n), preview (CUDA_TYPE_F32, n);
            Values got;

            LAUNCHED (cuda_walk_update (nullptr, rows.data (), index.data (), e.floats (), guided, start.data (), at.data (), buffers,
                                        images, len));
            LAUNCHED (cuda_walk_prepare (nullptr, at.data (), in.floats (), images, len, 2));
            LAUNCHED (cuda_walk_round (nullptr, buffers[newest], preview.floats (), n));
            for (int k = 1; k < 3; k++)
              g_assert_true ((newest + k) % 3 == 0 ? h0.values () == history[0]
                                                   : (newest + k) % 3 == 1 ? h1.values () == history[1] : h2.values () == history[2]);
            for (size_t i = 0; i < n; i++)
              {
                g_assert_cmpfloat (in.floats ()[i], ==, in.floats ()[n + i]);
                got.insert (got.end (), { buffers[newest][i], at.data ()[i], start.data ()[i], in.floats ()[i], preview.floats ()[i] });
              }
            return got;
          }, expected);
        }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, nullptr);
  g_test_add_func ("/cuda/kernels/rms-norm", test_rms_norm);
  g_test_add_func ("/cuda/kernels/rms-norm-in-place", test_rms_norm_in_place);
  g_test_add_func ("/cuda/kernels/layer-norm", test_layer_norm);
  g_test_add_func ("/cuda/kernels/cascade-norm", test_cascade_norm);
  g_test_add_func ("/cuda/kernels/layer-norm-cancellation", test_layer_norm_cancellation);
  g_test_add_func ("/cuda/kernels/geglu", test_geglu);
  g_test_add_func ("/cuda/kernels/add", test_add);
  g_test_add_func ("/cuda/kernels/convert", test_convert);
  g_test_add_func ("/cuda/kernels/time-param", test_time_param);
  g_test_add_func ("/cuda/kernels/walk", test_walk);
  return g_test_run ();
}
