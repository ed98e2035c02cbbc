/* test-kernels-gradients.cpp — kernels of the backward pass: norms, sums over rows, depthwise weights, attention
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernel-case.h"

#include <algorithm>
#include <math.h>
#include <memory>

#include "kernels/cuda/cuda-kernels-grad.h"

static size_t
size (int n)
{
  return static_cast<size_t> (n);
}

/* ---- norms ---- */

/* The same rows in double. */
struct Rows
{
  int    rows, per_image, d;
  Values x, dy, scale; /* scale [images, D], or [1, D] */
  bool   timed;

  Rows (CudaType type, int images, int rows_per_image, int width, double mean, bool each)
    : rows (images * rows_per_image), per_image (rows_per_image), d (width), x (random_values (type, size (rows * d), 1, mean)),
      dy (random_values (type, size (rows * d), 2)), scale (random_values (CUDA_TYPE_F32, size (images * d), 3, 1, .3)), timed (each)
  {
  }

  double s (int row, int c) const { return scale[size ((timed ? row / per_image : 0) * d + c)]; }
  double at (const Values &values, int row, int c) const { return values[size (row * d + c)]; }

  /* Mean and factor of a row. */
  void
  normalize (CudaNorm norm, double eps, int row, double *mean, double *factor) const
  {
    double squares = 0;

    *mean = 0;
    for (int c = 0; c < d && norm == CUDA_NORM_LAYER; c++)
      *mean += at (x, row, c) / d;
    for (int c = 0; c < d; c++)
      squares += (at (x, row, c) - *mean) * (at (x, row, c) - *mean) / d;
    *factor = norm == CUDA_NORM_RMS ? 1 / (sqrt (squares) + eps) : 1 / sqrt (squares + eps);
  }

  /* By the formula of each: dx = f s dy − terms. */
  Values
  gradient (CudaNorm norm, double eps) const
  {
    Values out;

    for (int row = 0; row < rows; row++)
      {
        double mean, factor, along = 0, total = 0, root;

        normalize (norm, eps, row, &mean, &factor);
        root = 1 / factor - (norm == CUDA_NORM_RMS ? eps : 0);
        for (int c = 0; c < d; c++)
          {
            along += s (row, c) * at (dy, row, c) * (at (x, row, c) - mean) / d;
            total += s (row, c) * at (dy, row, c) / d;
          }
        for (int c = 0; c < d; c++)
          out.push_back (factor * (s (row, c) * at (dy, row, c) - (norm == CUDA_NORM_LAYER ? total : 0)) -
                         (at (x, row, c) - mean) * along * factor * factor * (norm == CUDA_NORM_RMS ? 1 / root : factor));
      }
    return out;
  }
};

constexpr int norm_widths[] = { 2, 7, 24, 60, 240, 257, 480, 960, 1032, 2048, 2051, 4096, 20496 };

static void
test_rms_norm ()
{
  for (CudaType type : all_types)
    for (int d : norm_widths)
      {
        const Rows r (type, 2, 3, d, 0, d % 4 == 0);
        const Values past = random_values (type, r.x.size (), 4);
        Values expected = r.gradient (CUDA_NORM_RMS, 1e-8);

        for (size_t i = 0; i < expected.size (); i++)
          expected[i] += past[i];
        /* Into a tensor of its own, over x, over dy, over the residual. */
        for (int place = 0; place < (d < 1000 ? 4 : 1); place++)
          check_kernel ("gradient of an RMS norm", [&] {
            const Tensor x (type, r.x), dy (type, r.dy), residual (type, past), own (type, r.x.size ()), scale (CUDA_TYPE_F32, r.scale);
            const Tensor *const places[] = { &own, &x, &dy, &residual };

            LAUNCHED (cuda_rms_norm_grad (nullptr, type, x.data (), { scale.floats (), nullptr, 0, r.timed ? size (d) : 0 }, dy.data (),
                                          residual.data (), places[place]->data (), r.rows, r.per_image, d, 1e-8f));
            return places[place]->values ();
          }, expected, { type, type == CUDA_TYPE_F32 ? 4e-6 : 1e-5 });
      }
}

/* Rows so small that their cubes are no floats. */
static void
test_tiny_rows ()
{
  Rows r (CUDA_TYPE_F32, 1, 5, 96, 0, false);

  for (double &value : r.x)
    value = round_to (CUDA_TYPE_F32, value * 1e-14);
  for (double eps : { 1e-8, 0. })
    {
      const Values expected = r.gradient (CUDA_NORM_RMS, eps);
      double largest = 0;

      for (double value : expected)
        largest = std::max (largest, fabs (value));
      check_kernel ("gradient of an RMS norm of tiny rows", [&] {
        const Tensor x (CUDA_TYPE_F32, r.x), dy (CUDA_TYPE_F32, r.dy), out (CUDA_TYPE_F32, r.x.size ()), scale (CUDA_TYPE_F32, r.scale);

        LAUNCHED (cuda_rms_norm_grad (nullptr, CUDA_TYPE_F32, x.data (), { scale.floats (), nullptr, 0, 0 }, dy.data (), nullptr,
                                      out.data (), r.rows, r.per_image, r.d, static_cast<float> (eps)));
        return out.values ();
      }, expected, { CUDA_TYPE_F32, 2e-6 * largest });
    }
}

/* The sources of a list, of equal and of other widths. */
static void
test_layer_norm ()
{
  for (CudaType type : all_types)
    for (int d : norm_widths)
      for (double mean : { 0., 30. })
        {
          const Rows r (type, 2, 3, d, mean, d % 4 == 0);
          const int parts = d % 3 == 0 && d % 24 == 0 ? 3 : d > 16 ? 2 : 1, each = d / parts;
          const Values expected = r.gradient (CUDA_NORM_LAYER, 1e-5);

          /* Two channels are ±1 whatever they were: what is left of the gradient is rounding. */
          if (d == 2)
            continue;
          check_kernel ("gradient of a layer norm", [&] {
            std::vector<std::unique_ptr<Tensor>> tensors;
            CudaSources sources = {};
            const Tensor dy (type, r.dy), out (type, r.x.size ()), scale (CUDA_TYPE_F32, r.scale);

            for (int i = 0; i < parts; i++)
              {
                const int first = i * each, width = i + 1 < parts ? each : d - first;
                Values part;

                for (int row = 0; row < r.rows; row++)
                  for (int c = first; c < first + width; c++)
                    part.push_back (r.at (r.x, row, c));
                tensors.push_back (std::make_unique<Tensor> (type, part));
                sources.widths[i] = width;
                sources.data[i] = tensors.back ()->data ();
              }
            sources.n = parts;
            LAUNCHED (cuda_layer_norm_grad (nullptr, type, &sources, { scale.floats (), nullptr, 0, r.timed ? size (d) : 0 }, dy.data (),
                                            out.data (), r.rows, r.per_image, d, 1e-5f));
            return out.values ();
          }, expected, { type, type == CUDA_TYPE_F32 ? 6e-6 + mean * 4e-7 : 2e-5 });
        }
}

/* Many rows of a part, so that they are summed in chunks; and parts that take turns. */
static void
test_norm_scales ()
{
  const int shapes[][3] = { { 1, 7, 60 }, { 3, 5, 257 }, { 2, 70, 24 }, { 1, 700, 264 }, { 6, 3, 33 } };

  for (CudaType type : all_types)
    for (const int (&shape)[3] : shapes)
      for (CudaNorm norm : { CUDA_NORM_RMS, CUDA_NORM_ADA_RMS, CUDA_NORM_LAYER })
        {
          const int parts = shape[0], per_part = shape[1], d = shape[2];
          const int cycle = norm == CUDA_NORM_ADA_RMS && parts % 3 == 0 ? 3 : 0;
          const Rows r (type, parts, per_part, d, .5, false);
          Values expected (size (parts * d));

          for (int row = 0; row < r.rows; row++)
            {
              const int of_image = cycle * per_part, part = cycle > 0 ? row / of_image * cycle + row % cycle : row / per_part;
              double mean, factor;

              r.normalize (norm, 1e-6, row, &mean, &factor);
              for (int c = 0; c < d; c++)
                expected[size (part * d + c)] += (r.at (r.x, row, c) - mean) * factor * r.at (r.dy, row, c);
            }
          check_kernel ("gradient of a norm's scale", [&] {
            const Tensor x (type, r.x), dy (type, r.dy), out (CUDA_TYPE_F32, expected.size ());
            const Tensor scratch (CUDA_TYPE_F32, cuda_norm_scale_scratch (parts, per_part, d));
            CudaSources sources = {};

            sources.n = 1;
            sources.widths[0] = d;
            sources.data[0] = x.data ();
            LAUNCHED (cuda_norm_scale_grad (nullptr, type, norm, &sources, dy.data (), scratch.floats (), out.floats (), parts, per_part,
                                            cycle, d, 1e-6f));
            return out.values ();
          }, expected, { CUDA_TYPE_F32, 2e-5 });
        }
}

static void
test_ada_norm ()
{
  for (CudaType type : all_types)
    for (int d : norm_widths)
      for (bool backward : { false, true })
        {
          const int images = 2, cycle = 3, per_image = 6;
          Rows r (type, images, per_image, d, 0, false);
          const Values scale = random_values (type, size (images * cycle * d), 5, 0, .3);
          Values expected;

          for (int row = 0; row < r.rows; row++)
            {
              const double *s = &scale[size ((row / per_image * cycle + row % per_image % cycle) * d)];
              double mean, factor, along = 0;

              r.normalize (CUDA_NORM_ADA_RMS, 1e-6, row, &mean, &factor);
              for (int c = 0; c < d; c++)
                along += (1 + s[c]) * r.at (r.dy, row, c) * r.at (r.x, row, c) / d;
              for (int c = 0; c < d; c++)
                expected.push_back (backward ? factor * (1 + s[c]) * r.at (r.dy, row, c) - r.at (r.x, row, c) * along * pow (factor, 3)
                                             : (1 + s[c]) * r.at (r.x, row, c) * factor);
            }
          check_kernel (backward ? "gradient of an adaptive norm" : "adaptive norm", [&] {
            const Tensor x (type, r.x), dy (type, r.dy), s (type, scale), out (type, r.x.size ());

            LAUNCHED (cuda_ada_rms_norm (nullptr, type, x.data (), s.data (), backward ? dy.data () : nullptr, out.data (), r.rows,
                                         per_image, cycle, d, 1e-6f));
            return out.values ();
          }, expected, { type, type == CUDA_TYPE_F32 ? 4e-6 : 1e-5 });
        }
}

/* ---- sums over rows ---- */

static void
test_sum_rows ()
{
  const int shapes[][3] = { { 1, 1, 5 }, { 3, 64, 8 }, { 2, 65, 257 }, { 1, 4099, 36 }, { 1, 20000, 3 }, { 70, 2, 96 } };

  for (CudaType type : all_types)
    for (const int (&shape)[3] : shapes)
      for (bool products : { false, true })
        {
          const int parts = shape[0], rows = shape[1], d = shape[2];
          const Values x = random_values (type, size (parts * rows * d), 1), y = random_values (type, x.size (), 2);
          Values expected (size (parts * d));

          for (size_t i = 0; i < x.size (); i++)
            expected[i / size (rows * d) * size (d) + i % size (d)] += products ? x[i] * y[i] : x[i];
          check_kernel ("sums of rows", [&] {
            const Tensor a (type, x), b (type, y), out (CUDA_TYPE_F32, expected.size ());
            const Tensor scratch (CUDA_TYPE_F32, std::max<size_t> (cuda_sum_rows_scratch (parts, rows, d), 1));

            LAUNCHED (cuda_sum_rows (nullptr, type, a.data (), products ? b.data () : nullptr, scratch.floats (), out.floats (), parts, rows,
                                     d));
            return out.values ();
          }, expected, { CUDA_TYPE_F32, 1e-7 * rows + 1e-5 });
        }
}

/* More samples than a warp looks at in one go, and labels that nobody has. */
static void
test_embedding ()
{
  for (CudaType type : all_types)
    for (int batch : { 1, 31, 32, 100 })
      for (int d : { 3, 60, 257 })
        {
          const int length = 11;
          const Values dy = random_values (type, size (batch * d), 1);
          std::vector<int> labels;
          Values expected (size (length * d));

          for (int i = 0; i < batch; i++)
            {
              labels.push_back (i * 7 % 13 % length);
              for (int c = 0; c < d; c++)
                expected[size (labels.back () * d + c)] += dy[size (i * d + c)];
            }
          check_kernel ("gradient of a table of classes", [&] {
            const Tensor rise (type, dy), out (CUDA_TYPE_F32, expected.size ());
            const Array<int> index (labels);

            LAUNCHED (cuda_embedding_grad (nullptr, type, rise.data (), index.data (), out.floats (), length, batch, d));
            return out.values ();
          }, expected, { CUDA_TYPE_F32, 1e-5 });
        }
}

/* ---- depthwise weights ---- */

static void
test_depthwise ()
{
  const int sizes[][5] = { { 1, 1, 1, 2, 7 }, { 2, 5, 9, 33, 7 }, { 1, 17, 30, 64, 7 }, { 3, 32, 31, 66, 7 }, { 2, 9, 8, 6, 5 },
                           { 1, 33, 20, 5, 3 }, { 2, 7, 6, 34, 9 }, { 1, 4, 3, 3, 1 }, { 2, 40, 40, 2, 3 } };

  for (CudaType type : all_types)
    for (const int (&s)[5] : sizes)
      {
        const int batch = s[0], height = s[1], width = s[2], d = s[3], k = s[4], n = batch * height * width;
        const Values x = random_values (type, size (n * d), 1), dy = random_values (type, size (n * d), 2);
        Values expected (size (d * k * k));

        for (int p = 0; p < n; p++)
          for (int ky = 0; ky < k; ky++)
            for (int kx = 0; kx < k; kx++)
              {
                const int row = p / width % height + ky - k / 2, column = p % width + kx - k / 2;
                const int other = p + (ky - k / 2) * width + kx - k / 2;

                for (int c = 0; c < d && row >= 0 && row < height && column >= 0 && column < width; c++)
                  expected[size ((c * k + ky) * k + kx)] += x[size (other * d + c)] * dy[size (p * d + c)];
              }
        check_kernel ("gradient of a depthwise weight", [&] {
          const Tensor in (type, x), rise (type, dy), out (CUDA_TYPE_F32, expected.size ());
          const Tensor scratch (CUDA_TYPE_F32, cuda_depthwise_weight_scratch (batch, height, width, d, k));

          LAUNCHED (cuda_depthwise_weight_grad (nullptr, type, in.data (), rise.data (), scratch.floats (), out.floats (), batch, height,
                                                width, d, k));
          return out.values ();
        }, expected, { CUDA_TYPE_F32, 2e-8 * n + 1e-5 });
      }
}

/* ---- attention ---- */

struct Attention
{
  int    batch, n, heads, width;
  Values qkv, y, dy;

  double q (int b, int i, int part, int h, int c) const { return qkv[size (((b * n + i) * 3 + part) * heads * width + h * width + c)]; }
  size_t at (int b, int i, int h, int c) const { return size ((b * n + i) * heads * width + h * width + c); }

  /* The scores' softmax of query @i. */
  Values
  weights (int b, int h, int i) const
  {
    Values p (size (n));
    double top = -INFINITY, sum = 0;

    for (int j = 0; j < n; j++)
      {
        for (int c = 0; c < width; c++)
          p[size (j)] += q (b, i, 0, h, c) * q (b, j, 1, h, c) / sqrt (static_cast<double> (width));
        top = std::max (top, p[size (j)]);
      }
    for (double &value : p)
      sum += value = exp (value - top);
    for (double &value : p)
      value /= sum;
    return p;
  }

  Attention (CudaType type, int images, int tokens, int n_heads, int head_width)
    : batch (images), n (tokens), heads (n_heads), width (head_width),
      qkv (random_values (type, size (3 * batch * n * heads * width), 1)), y (size (batch * n * heads * width)),
      dy (random_values (type, y.size (), 2))
  {
    for (int b = 0; b < batch; b++)
      for (int h = 0; h < heads; h++)
        for (int i = 0; i < n; i++)
          {
            const Values p = weights (b, h, i);

            for (int c = 0; c < width; c++)
              {
                double sum = 0;

                for (int j = 0; j < n; j++)
                  sum += p[size (j)] * q (b, j, 2, h, c);
                y[at (b, i, h, c)] = round_to (type, sum);
              }
          }
  }

  Values
  gradient () const
  {
    const int d = heads * width;
    const double scale = 1 / sqrt (static_cast<double> (width));
    Values out (qkv.size ());

    for (int b = 0; b < batch; b++)
      for (int h = 0; h < heads; h++)
        for (int i = 0; i < n; i++)
          {
            const Values p = weights (b, h, i);
            double delta = 0;

            for (int c = 0; c < width; c++)
              delta += y[at (b, i, h, c)] * dy[at (b, i, h, c)];
            for (int j = 0; j < n; j++)
              {
                double slope = -delta;

                for (int c = 0; c < width; c++)
                  slope += dy[at (b, i, h, c)] * q (b, j, 2, h, c);
                slope *= p[size (j)] * scale;
                for (int c = 0; c < width; c++)
                  {
                    const size_t column = size (h * width + c);

                    out[size ((b * n + i) * 3 * d) + column] += slope * q (b, j, 1, h, c);
                    out[size (((b * n + j) * 3 + 1) * d) + column] += slope * q (b, i, 0, h, c);
                    out[size (((b * n + j) * 3 + 2) * d) + column] += p[size (j)] * dy[at (b, i, h, c)];
                  }
              }
          }
    return out;
  }
};

/* One key, tiles that are full and that are not, chunks, and widths of every padding. */
static void
test_attention ()
{
  const int sizes[][4] = { { 2, 1, 2, 4 }, { 1, 16, 1, 16 }, { 2, 33, 3, 15 }, { 1, 64, 2, 64 }, { 1, 65, 1, 128 }, { 1, 130, 1, 72 },
                           { 1, 257, 1, 60 }, { 1, 90, 1, 96 }, { 1, 20, 1, 110 }, { 1, 20, 2, 42 }, { 1, 40, 1, 26 } };

  for (CudaType type : all_types)
    for (const int (&s)[4] : sizes)
      {
        const Attention a (type, s[0], s[1], s[2], s[3]);

        check_kernel ("gradient of attention", [&] {
          const Tensor qkv (type, a.qkv), y (type, a.y), dy (type, a.dy), out (type, a.qkv.size ());
          const Tensor scratch (CUDA_TYPE_F32, cuda_attention_grad_scratch (a.batch, a.n, a.heads));

          LAUNCHED (cuda_attention_grad (nullptr, type, qkv.data (), y.data (), dy.data (), scratch.floats (), out.data (), a.batch, a.n,
                                         a.heads, a.width));
          return out.values ();
        }, a.gradient (), { type, type == CUDA_TYPE_F32 ? 4e-6 : 1.5e-2 });
      }
}

/* ---- functions ---- */

/* The same numbers have the same gradient wherever they are: what is no whole vector at the end rounds as all before it. */
static void
test_geglu_everywhere ()
{
  const size_t n = 15;

  for (CudaType type : all_types)
    for (unsigned seed = 0; seed < 16; seed++)
      {
        const Values one = random_values (type, 3, seed);
        const std::function<Values ()> run = [&] {
          const Tensor a (type, Values (n, one[0])), b (type, Values (n, one[1])), dy (type, Values (n, one[2])), out (type, n);

          LAUNCHED (cuda_geglu_grad (nullptr, type, a.data (), b.data (), dy.data (), out.data (), n));
          return out.values ();
        };

        check_kernel_exactly ("gradient of GEGLU", run, Values (n, run ()[0]));
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, nullptr);
  g_test_add_func ("/cuda/kernels/gradients/geglu-everywhere", test_geglu_everywhere);
  g_test_add_func ("/cuda/kernels/gradients/rms-norm", test_rms_norm);
  g_test_add_func ("/cuda/kernels/gradients/rms-norm-of-tiny-rows", test_tiny_rows);
  g_test_add_func ("/cuda/kernels/gradients/layer-norm", test_layer_norm);
  g_test_add_func ("/cuda/kernels/gradients/norm-scales", test_norm_scales);
  g_test_add_func ("/cuda/kernels/gradients/ada-norm", test_ada_norm);
  g_test_add_func ("/cuda/kernels/gradients/sum-rows", test_sum_rows);
  g_test_add_func ("/cuda/kernels/gradients/embedding", test_embedding);
  g_test_add_func ("/cuda/kernels/gradients/depthwise", test_depthwise);
  g_test_add_func ("/cuda/kernels/gradients/attention", test_attention);
  return g_test_run ();
}
