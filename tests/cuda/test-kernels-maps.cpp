/* test-kernels-maps.cpp — kernels that look at neighbours: attention, convolutions, patches, gathered rows
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernel-case.h"

#include <math.h>
#include <memory>

static size_t
size (int n)
{
  return static_cast<size_t> (n);
}

/* ---- attention ---- */

/* @peak: how far the scores reach; a large one makes softmax nearly a choice. */
static void
check_attention (CudaType type, int batch, int n, int heads, int width, double peak, const char *what)
{
  const size_t d = size (heads * width), row = 3 * d;
  const Values qkv = random_values (type, size (batch * n) * row, static_cast<unsigned> (n * 131 + width), 0, peak);
  Values expected (size (batch * n) * d);

  for (int b = 0; b < batch; b++)
    for (int h = 0; h < heads; h++)
      for (int q = 0; q < n; q++)
        {
          const double *query = &qkv[size (b * n + q) * row + size (h * width)];
          Values score (size (n));
          double max = -INFINITY, sum = 0;

          for (int k = 0; k < n; k++)
            {
              const double *key = &qkv[size (b * n + k) * row + d + size (h * width)];

              for (int c = 0; c < width; c++)
                score[size (k)] += query[c] * key[c] / sqrt (width);
              max = fmax (max, score[size (k)]);
            }
          for (double &s : score)
            sum += s = exp (s - max);
          for (int k = 0; k < n; k++)
            for (int c = 0; c < width; c++)
              expected[size (b * n + q) * d + size (h * width + c)] +=
                score[size (k)] / sum * qkv[size (b * n + k) * row + 2 * d + size (h * width + c)];
        }

  /* In bf16 weights of up to 1 are rounded before they meet the values; in float it is scores, of
   * about peak², that limit the weights. */
  check_kernel (what, [&] {
    const Tensor in (type, qkv), out (type, size (batch * n) * d);

    LAUNCHED (cuda_attention (nullptr, type, in.data (), out.data (), batch, n, heads, width));
    return out.values ();
  }, expected, { type, peak * (type == CUDA_TYPE_F32 ? 1e-6 * (1 + peak * peak) : 6e-3) });
}

static void
test_attention_widths ()
{
  for (CudaType type : all_types)
    for (int width : { 1, 5, 8, 15, 16, 20, 32, 40, 60, 64, 72, 80, 96, 100, 112, 128 })
      check_attention (type, 1, 37, 2, width, 1.5, "attention, widths of heads");
}

static void
test_attention_lengths ()
{
  for (CudaType type : all_types)
    for (int n : { 1, 2, 5, 15, 16, 17, 63, 64, 65, 66, 96, 128, 130 })
      check_attention (type, 2, n, 1, 20, 2, "attention, lengths");
}

static void
test_attention_models ()
{
  check_attention (CUDA_TYPE_BF16, 1, 257, 1, 60, 2, "attention of DiMR-XL");
  check_attention (CUDA_TYPE_BF16, 1, 257, 1, 64, 2, "attention of DiMR-L");
  check_attention (CUDA_TYPE_BF16, 1, 257, 1, 72, 2, "attention of DiMR-G");
  check_attention (CUDA_TYPE_F32, 1, 257, 1, 60, 2, "attention of DiMR-XL in float");
  /* Enough heads that a block takes all queries of one. */
  check_attention (CUDA_TYPE_BF16, 9, 17, 15, 8, 2, "attention of many heads");
  check_attention (CUDA_TYPE_BF16, 7, 113, 20, 4, 2, "attention of many heads, two rounds");
}

/* Keys that do not fit: in chunks. */
static void
test_attention_long ()
{
  check_attention (CUDA_TYPE_BF16, 1, 450, 1, 64, 2, "long attention");
  check_attention (CUDA_TYPE_BF16, 1, 513, 1, 60, 2, "long attention, one over");
  check_attention (CUDA_TYPE_BF16, 1, 1024, 1, 36, 2, "long attention, 1024");
  check_attention (CUDA_TYPE_BF16, 1, 257, 2, 128, 1, "long attention, wide heads");
  check_attention (CUDA_TYPE_BF16, 1, 290, 1, 111, 1, "long attention, odd heads");
}

/* Scores in the hundreds, and growing with the key: every step finds a new maximum. */
static void
test_attention_peaks ()
{
  const int n = 200, width = 16;

  for (CudaType type : all_types)
    {
      Values qkv = random_values (type, size (n) * 3 * width, 1), expected (size (n) * width);

      check_attention (type, 1, 150, 2, 32, 12, "attention with high peaks");
      for (int i = 0; i < n; i++)
        for (int c = 0; c < width; c++)
          {
            qkv[size (i * 3 * width + c)] = 1;
            qkv[size (i * 3 * width + width + c)] = i;
          }
      for (int i = 0; i < n; i++)
        for (int c = 0; c < width; c++)
          {
            double sum = 0;

            for (int k = 0; k < n; k++)
              {
                sum += exp ((k - n + 1) * 4.);
                expected[size (i * width + c)] += exp ((k - n + 1) * 4.) * qkv[size (k * 3 * width + 2 * width + c)];
              }
            expected[size (i * width + c)] /= sum;
          }
      check_kernel ("attention with rising scores", [&] {
        const Tensor in (type, qkv), out (type, size (n) * width);

        LAUNCHED (cuda_attention (nullptr, type, in.data (), out.data (), 1, n, 1, width));
        return out.values ();
      }, expected, { type, type == CUDA_TYPE_F32 ? 1e-4 : 2e-2 });
    }
}

/* ---- depthwise convolution ---- */

struct ConvCase
{
  int  batch, height, width, d, k;
  bool bias, residual;
};

/* @place: 0: out is its own, 1: out is the residual, 2: the residual is x. */
static void
check_depthwise (CudaType type, const ConvCase &c, int place)
{
  const size_t n = size (c.batch * c.height * c.width * c.d);
  const Values x = random_values (type, n, 1), other = random_values (type, n, 2);
  const Values weight = random_values (CUDA_TYPE_F32, size (c.k * c.k * c.d), 3, 0, .3);
  const Values bias = random_values (CUDA_TYPE_F32, size (c.d), 4);
  const Values &residual = place == 2 ? x : other;
  Values expected (n);
  g_autofree char *what = g_strdup_printf ("depthwise %d x %d x %d x %d, kernel %d", c.batch, c.height, c.width, c.d, c.k);

  for (int b = 0; b < c.batch; b++)
    for (int y = 0; y < c.height; y++)
      for (int i = 0; i < c.width; i++)
        for (int e = 0; e < c.d; e++)
          {
            const size_t at = size (((b * c.height + y) * c.width + i) * c.d + e);
            double sum = (c.bias ? bias[size (e)] : 0) + (c.residual ? residual[at] : 0);

            for (int ky = 0; ky < c.k; ky++)
              for (int kx = 0; kx < c.k; kx++)
                {
                  const int from_y = y + ky - c.k / 2, from_x = i + kx - c.k / 2;

                  if (from_y >= 0 && from_y < c.height && from_x >= 0 && from_x < c.width)
                    sum += weight[size ((ky * c.k + kx) * c.d + e)] *
                           x[size (((b * c.height + from_y) * c.width + from_x) * c.d + e)];
                }
            expected[at] = sum;
          }
  check_kernel (what, [&] {
    const Tensor in (type, x), rest (type, other), own (type, n), w (CUDA_TYPE_F32, weight), v (CUDA_TYPE_F32, bias);
    const Tensor &out = place == 1 ? rest : own;

    LAUNCHED (cuda_depthwise_conv (nullptr, type, in.data (), w.floats (), c.bias ? v.floats () : nullptr,
                                   !c.residual ? nullptr : place == 2 ? in.data () : rest.data (), out.data (), c.batch,
                                   c.height, c.width, c.d, c.k));
    return out.values ();
  }, expected, { type, 4e-6 });
}

static void
test_depthwise ()
{
  const ConvCase cases[] = {
    { 1, 1, 1, 1, 7, true, true },     { 2, 1, 1, 40, 5, true, false },  { 1, 2, 3, 5, 7, false, true },
    { 2, 4, 4, 65, 5, true, true },    { 1, 8, 8, 64, 7, true, true },   { 1, 9, 7, 66, 7, true, true },
    { 1, 13, 17, 30, 5, false, false }, { 1, 16, 16, 24, 7, true, true }, { 3, 5, 1, 8, 3, true, true },
    { 1, 1, 40, 12, 3, true, false },  { 1, 32, 32, 10, 7, true, true }, { 1, 6, 6, 33, 9, true, true },
    { 2, 5, 5, 7, 1, true, true },     { 1, 3, 4, 16, 11, false, true },
  };

  for (CudaType type : all_types)
    for (const ConvCase &c : cases)
      for (int place = 0; place < (c.residual ? 3 : 1); place++)
        check_depthwise (type, c, place);
}

/* As many tiles as make the launch choose the larger ones (16 a processor). */
static void
test_depthwise_large ()
{
  for (CudaType type : all_types)
    {
      check_depthwise (type, { 67, 31, 29, 2, 5, true, true }, 1);
      check_depthwise (type, { 133, 18, 25, 1, 3, true, true }, 0);
    }
  check_depthwise (CUDA_TYPE_BF16, { 133, 14, 26, 2, 7, true, true }, 0);
  check_depthwise (CUDA_TYPE_BF16, { 134, 15, 28, 1, 7, false, true }, 2);
}

/* ---- pictures ---- */

static void
check_patchify (CudaType type, int batch, int channels, int height, int width, int d, int k, bool with_bias)
{
  const size_t values = size (channels * k * k);
  const Values x = random_values (CUDA_TYPE_F32, size (batch * channels * height * width), 1);
  const Values weight = random_values (CUDA_TYPE_F32, size (d) * values, 2, 0, .2), bias = random_values (CUDA_TYPE_F32, size (d), 3);
  const int down = height / k, across = width / k;
  Values expected;

  for (int b = 0; b < batch; b++)
    for (int y = 0; y < down; y++)
      for (int i = 0; i < across; i++)
        for (int e = 0; e < d; e++)
          {
            double sum = with_bias ? bias[size (e)] : 0;

            for (int c = 0; c < channels; c++)
              for (int p = 0; p < k * k; p++)
                sum += weight[size (e) * values + size (c * k * k + p)] *
                       x[size (((b * channels + c) * height + y * k + p / k) * width + i * k + p % k)];
            expected.push_back (sum);
          }
  check_kernel ("patchify", [&] {
    const Tensor in (CUDA_TYPE_F32, x), w (CUDA_TYPE_F32, weight), v (CUDA_TYPE_F32, bias), out (type, expected.size ());

    LAUNCHED (cuda_patchify (nullptr, type, in.floats (), w.floats (), with_bias ? v.floats () : nullptr, out.data (), batch,
                             channels, height, width, d, k));
    return out.values ();
  }, expected, { type, 4e-6 });
}

static void
test_patchify ()
{
  for (CudaType type : all_types)
    {
      check_patchify (type, 1, 1, 1, 1, 1, 1, true);
      check_patchify (type, 2, 4, 8, 8, 130, 2, true);
      check_patchify (type, 1, 3, 12, 20, 24, 4, false);
      check_patchify (type, 3, 3, 5, 7, 60, 1, true);
      check_patchify (type, 1, 5, 16, 16, 9, 8, true); /* 320 values: more than a chunk */
      check_patchify (type, 1, 3, 9, 10, 8, 4, true);  /* the rest of the picture is left out */
    }
}

static void
check_image_conv (CudaType type, int batch, int height, int width, int d, int channels, int k, bool with_bias)
{
  const Values x = random_values (type, size (batch * height * width * d), 1);
  const Values weight = random_values (CUDA_TYPE_F32, size (channels * k * k * d), 2, 0, .1);
  const Values bias = random_values (CUDA_TYPE_F32, size (channels), 3);
  Values expected;

  for (int b = 0; b < batch; b++)
    for (int c = 0; c < channels; c++)
      for (int y = 0; y < height; y++)
        for (int i = 0; i < width; i++)
          {
            double sum = with_bias ? bias[size (c)] : 0;

            for (int p = 0; p < k * k; p++)
              {
                const int from_y = y + p / k - k / 2, from_x = i + p % k - k / 2;

                if (from_y >= 0 && from_y < height && from_x >= 0 && from_x < width)
                  for (int e = 0; e < d; e++)
                    sum += weight[size ((c * k * k + p) * d + e)] * x[size (((b * height + from_y) * width + from_x) * d + e)];
              }
            expected.push_back (sum);
          }
  check_kernel ("convolution to a picture", [&] {
    const Tensor in (type, x), w (CUDA_TYPE_F32, weight), v (CUDA_TYPE_F32, bias), out (CUDA_TYPE_F32, expected.size ());

    LAUNCHED (cuda_conv_to_image (nullptr, type, in.data (), w.floats (), with_bias ? v.floats () : nullptr, out.floats (), batch,
                                  height, width, d, channels, k));
    return out.values ();
  }, expected, { CUDA_TYPE_F32, 1e-5 });
}

static void
test_image_conv ()
{
  for (CudaType type : all_types)
    {
      check_image_conv (type, 1, 1, 1, 4, 1, 3, true);
      check_image_conv (type, 2, 5, 9, 60, 3, 3, true);
      check_image_conv (type, 1, 8, 16, 480, 4, 3, true);
      check_image_conv (type, 1, 3, 7, 520, 9, 3, false);
      check_image_conv (type, 1, 4, 8, 36, 5, 1, true);
      check_image_conv (type, 1, 4, 5, 37, 3, 3, true);
      check_image_conv (type, 2, 6, 5, 12, 2, 5, false);
    }
}

static void
test_average_pool ()
{
  for (int f : { 1, 2, 3, 4 })
    {
      const int planes = 5, height = 12, width = 24;
      const Values x = random_values (CUDA_TYPE_F32, size (planes * height * width), 1);
      Values expected;

      for (int p = 0; p < planes; p++)
        for (int y = 0; y < height / f; y++)
          for (int i = 0; i < width / f; i++)
            {
              double sum = 0;

              for (int e = 0; e < f * f; e++)
                sum += x[size ((p * height + y * f + e / f) * width + i * f + e % f)] / (f * f);
              expected.push_back (sum);
            }
      check_kernel ("average pool", [&] {
        const Tensor in (CUDA_TYPE_F32, x), out (CUDA_TYPE_F32, expected.size ());

        LAUNCHED (cuda_average_pool (nullptr, in.floats (), out.floats (), planes, height, width, f));
        return out.values ();
      }, expected, { CUDA_TYPE_F32, 1e-6 });
    }
}

/* ---- gathered rows: exact ---- */

constexpr int odd_widths[] = { 1, 5, 8, 60, 257, 960, 1032, 2048, 2050 };

static void
test_add_position ()
{
  for (CudaType type : all_types)
    for (int d : odd_widths)
      for (bool in_place : { false, true })
        {
          const int batch = 2, height = 3, width = 4, table_width = 5;
          const Values x = random_values (type, size (batch * height * width * d), 1);
          const Values table = random_values (CUDA_TYPE_F32, size (4 * table_width * d), 2);
          Values expected = x;

          for (size_t i = 0; i < x.size (); i++)
            {
              const int row = static_cast<int> (i) / d, place = row / width % height * table_width + row % width;

              expected[i] = round_to (type, round_to (CUDA_TYPE_F32, x[i] + table[size (place * d) + i % size (d)]));
            }
          check_kernel_exactly ("positions", [&] {
            const Tensor in (type, x), own (type, x.size ()), t (CUDA_TYPE_F32, table);
            const Tensor &out = in_place ? in : own;

            LAUNCHED (cuda_add_position (nullptr, type, in.data (), t.floats (), table_width, out.data (), batch, height, width, d));
            return out.values ();
          }, expected);
        }
}

static void
test_embedding ()
{
  for (CudaType type : all_types)
    for (int d : odd_widths)
      {
        const int k = 7;
        const std::vector<int> index = { 3, 0, 6, -1, 7, 3 };
        const Values table = random_values (CUDA_TYPE_F32, size (k * d), 1);
        Values expected;

        for (int row : index)
          for (int c = 0; c < d; c++)
            expected.push_back (round_to (type, table[size ((row >= 0 && row < k ? row : 0) * d + c)]));
        check_kernel_exactly ("embedding", [&] {
          const Tensor t (CUDA_TYPE_F32, table), out (type, expected.size ());
          const Array<int> rows (index);

          LAUNCHED (cuda_embedding (nullptr, type, t.floats (), rows.data (), out.data (), static_cast<int> (index.size ()), k, d));
          return out.values ();
        }, expected);
      }
}

static void
test_tokens ()
{
  for (CudaType type : all_types)
    for (int d : odd_widths)
      {
        const int batch = 3, n = 5, start = 2, length = 2;
        const Values x = random_values (type, size (batch * n * d), 1), token = random_values (type, size (batch * d), 2);
        Values joined, sliced;

        for (int b = 0; b < batch; b++)
          {
            const auto image = x.begin () + b * n * d;

            joined.insert (joined.end (), token.begin () + b * d, token.begin () + (b + 1) * d);
            joined.insert (joined.end (), image, image + n * d);
            sliced.insert (sliced.end (), image + start * d, image + (start + length) * d);
          }
        check_kernel_exactly ("token in front", [&] {
          const Tensor in (type, x), first (type, token), out (type, joined.size ());

          LAUNCHED (cuda_prepend_token (nullptr, type, in.data (), first.data (), out.data (), batch, n, d));
          return out.values ();
        }, joined);
        check_kernel_exactly ("slice of tokens", [&] {
          const Tensor in (type, x), out (type, sliced.size ());

          LAUNCHED (cuda_slice_tokens (nullptr, type, in.data (), out.data (), batch, n, start, length, d));
          return out.values ();
        }, sliced);
      }
}

static void
test_pixel_shuffle ()
{
  for (CudaType type : all_types)
    for (int d : odd_widths)
      for (int f : { 1, 2, 3 })
        {
          const int batch = 2, height = 2, width = 3;
          const Values x = random_values (type, size (batch * height * width * f * f * d), 1);
          Values expected;

          for (int b = 0; b < batch; b++)
            for (int y = 0; y < height * f; y++)
              for (int i = 0; i < width * f; i++)
                for (int c = 0; c < d; c++)
                  expected.push_back (x[size ((((b * height + y / f) * width + i / f) * f * f + y % f * f + i % f) * d + c)]);
          check_kernel_exactly ("pixel shuffle", [&] {
            const Tensor in (type, x), out (type, x.size ());

            LAUNCHED (cuda_pixel_shuffle (nullptr, type, in.data (), out.data (), batch, height, width, d, f));
            return out.values ();
          }, expected);
        }
}

static void
test_concat ()
{
  const std::vector<std::vector<int>> lists = { { 8 }, { 960, 960 }, { 5, 3 }, { 16, 8, 1024 }, { 1, 1, 1, 1 }, { 480, 484 } };

  for (CudaType type : all_types)
    for (const std::vector<int> &widths : lists)
      {
        const int images = 2, per_image = 3;
        std::vector<Values> parts;
        Values expected;

        /* Every other source has a token that is left out. */
        for (size_t i = 0; i < widths.size (); i++)
          parts.push_back (random_values (type, size (images * (per_image + static_cast<int> (i % 2)) * widths[i]), static_cast<unsigned> (i)));
        for (int row = 0; row < images * per_image; row++)
          for (size_t i = 0; i < widths.size (); i++)
            {
              const auto from = parts[i].begin () + (row + (row / per_image + 1) * static_cast<int> (i % 2)) * widths[i];

              expected.insert (expected.end (), from, from + widths[i]);
            }
        check_kernel_exactly ("concatenation", [&] {
          std::vector<std::unique_ptr<Tensor>> tensors;
          CudaSources sources = {};
          const Tensor out (type, expected.size ());

          sources.n = static_cast<int> (widths.size ());
          for (size_t i = 0; i < widths.size (); i++)
            {
              tensors.push_back (std::make_unique<Tensor> (type, parts[i]));
              sources.widths[i] = widths[i];
              sources.data[i] = tensors[i]->data ();
              sources.skip[i] = static_cast<int> (i % 2);
            }
          LAUNCHED (cuda_concat (nullptr, type, &sources, out.data (), images * per_image, per_image));
          return out.values ();
        }, expected);
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, nullptr);
  g_test_add_func ("/cuda/kernels/attention-widths", test_attention_widths);
  g_test_add_func ("/cuda/kernels/attention-lengths", test_attention_lengths);
  g_test_add_func ("/cuda/kernels/attention-models", test_attention_models);
  g_test_add_func ("/cuda/kernels/attention-long", test_attention_long);
  g_test_add_func ("/cuda/kernels/attention-peaks", test_attention_peaks);
  g_test_add_func ("/cuda/kernels/depthwise", test_depthwise);
  g_test_add_func ("/cuda/kernels/depthwise-large", test_depthwise_large);
  g_test_add_func ("/cuda/kernels/patchify", test_patchify);
  g_test_add_func ("/cuda/kernels/image-conv", test_image_conv);
  g_test_add_func ("/cuda/kernels/average-pool", test_average_pool);
  g_test_add_func ("/cuda/kernels/add-position", test_add_position);
  g_test_add_func ("/cuda/kernels/embedding", test_embedding);
  g_test_add_func ("/cuda/kernels/tokens", test_tokens);
  g_test_add_func ("/cuda/kernels/pixel-shuffle", test_pixel_shuffle);
  g_test_add_func ("/cuda/kernels/concat", test_concat);
  return g_test_run ();
}
