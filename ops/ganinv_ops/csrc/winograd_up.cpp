// The transposed convolution, 3 x 3 with stride 2, of x * styles, on the CPU. What comes after it in a doubling layer is the
// epilogue's.
//
// Along one axis, output 2 q is x[q - 1] w[2] + x[q] w[0] and output 2 q + 1 is x[q] w[1]. For the even outputs this is a filter of
// two taps, which Winograd's F(4, 2) (Lavin & Gray 2016) does with 5 multiplications for 4 outputs; the odd ones take one each. In
// two dimensions a tile of 5 x 5 inputs gives 8 x 8 outputs by 5 x 5 + 5 x 4 + 4 x 5 + 4 x 4 = 81 multiplications, where they
// plainly take 144.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>

#include "winograd.h"

namespace {

using ganinv::kLane;
using ganinv::kPositions;
using ganinv::load_lanes;
using ganinv::store_lanes;
using ganinv::Transform;
using ganinv::Vector;

// ---- transforms of one axis, points 0, 1, -1, 2 and infinity ---------------------------------------------------------------

inline void into_tile(const Vector* d, int step, Vector* t) {
  const Vector d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
  t[0] = 2 * (d0 - d2) + (d3 - d1);
  t[1] = d3 - d2 - 2 * d1;
  t[2] = d3 - 3 * d2 + 2 * d1;
  t[3] = d3 - d1;
  t[4] = d4 - 2 * (d3 - d1) - d2;
}

inline void out_of_tile(const Vector* m, int step, Vector* y) {
  const Vector sum = m[step] + m[2 * step], difference = m[step] - m[2 * step], third = m[3 * step];
  y[0] = m[0] + sum + third;
  y[1] = difference + 2 * third;
  y[2] = sum + 4 * third;
  y[3] = difference + 8 * third + m[4 * step];
}

// Positions (even, even), (even, odd), (odd, even), (odd, odd) of the outputs along y and x.
Transform weight_transform(bool flip) {
  constexpr double kTaps[6][3] = {{0, 0, 1.0 / 2},     {-1.0 / 2, 0, -1.0 / 2}, {1.0 / 6, 0, -1.0 / 6},
                                  {1.0 / 3, 0, 1.0 / 6}, {1, 0, 0},               {0, 1, 0}};  // the last is the odd output's
  Transform matrix;
  for (int64_t p = 0; p < kPositions; ++p) {
    const int64_t y = p < 25 ? p / 5 : p < 30 ? p - 25 : 5, x = p < 25 ? p % 5 : p < 30 ? 5 : p - 30;
    for (int64_t tap = 0; tap < 9; ++tap) {
      const int64_t own = flip ? 8 - tap : tap;
      matrix[p][tap] = static_cast<float>(kTaps[y][own / 3] * kTaps[x][own % 3]);
    }
  }
  return matrix;
}

template <typename T>
struct Layer {
  static constexpr int64_t kProducts = 81;

  const T* x;            // [N, H, W, I]
  T* y;                  // [N, 2 H + 1, 2 W + 1, O]
  const float* styles;   // [N, I]
  int64_t pictures, height, width, in, out;

  static int64_t rows(int64_t position) { return position < 25 ? 1 : position < 35 ? 4 : 16; }
  static int64_t before(int64_t position) {
    return position < 25 ? position : position < 35 ? 25 + 4 * (position - 25) : 65;
  }

  int64_t tiles_across() const { return width / 4 + 1; }
  int64_t tiles_each() const { return tiles_across() * (height / 4 + 1); }
  int64_t tiles() const { return pictures * tiles_each(); }

  void enter(int64_t tile, int64_t t, int64_t n, float* to) const {
    const int64_t picture = tile / tiles_each(), top = tile % tiles_each() / tiles_across() * 4 - 1;
    const int64_t left = tile % tiles_each() % tiles_across() * 4 - 1;
    const T* from = x + picture * height * width * in;
    for (int64_t c = 0; c < in; c += kLane) {
      const Vector s = ganinv::load(styles + picture * in + c);
      Vector d[25], across[25], row[5];
      for (int64_t i = 0; i < 5; ++i)
        for (int64_t j = 0; j < 5; ++j) {
          const bool there = top + i >= 0 && top + i < height && left + j >= 0 && left + j < width;
          d[5 * i + j] = there ? s * load_lanes(from + ((top + i) * width + left + j) * in + c) : Vector{};
        }
      for (int64_t i = 0; i < 5; ++i) into_tile(d + 5 * i, 1, across + 5 * i);
      for (int64_t j = 0; j < 5; ++j) {
        into_tile(across + j, 5, row);
        for (int64_t i = 0; i < 5; ++i) ganinv::store(to + at(5 * i + j, 0, t, n, in) + c, row[i]);
        for (int64_t i = 0; i < 4; ++i) ganinv::store(to + at(30 + j, i, t, n, in) + c, across[5 * (i + 1) + j]);
      }
      for (int64_t j = 0; j < 4; ++j) {
        into_tile(d + j + 1, 5, row);
        for (int64_t i = 0; i < 5; ++i) ganinv::store(to + at(25 + i, j, t, n, in) + c, row[i]);
        for (int64_t i = 0; i < 4; ++i) ganinv::store(to + at(35, 4 * i + j, t, n, in) + c, d[5 * (i + 1) + j + 1]);
      }
    }
  }

  void leave(int64_t tile, int64_t t, int64_t n, const float* from, int64_t channel, int64_t panel) const {
    const int64_t picture = tile / tiles_each(), top = tile % tiles_each() / tiles_across() * 4;
    const int64_t left = tile % tiles_each() % tiles_across() * 4, stride = 2 * width + 1;
    T* to = y + picture * (2 * height + 1) * stride * out;
    const int64_t even_rows = std::min<int64_t>(4, height + 1 - top), odd_rows = std::min<int64_t>(4, height - top);
    const int64_t even_columns = std::min<int64_t>(4, width + 1 - left), odd_columns = std::min<int64_t>(4, width - left);
    const auto put = [&](int64_t row, int64_t column, int64_t c, Vector v) {
      store_lanes(to + ((2 * top + row) * stride + 2 * left + column) * out + c, v);
    };
    for (int64_t l = 0; l < panel; l += kLane) {
      const int64_t c = channel + l;
      const auto made = [&](int64_t position, int64_t row) { return ganinv::load(from + at(position, row, t, n, panel) + l); };
      Vector m[25], half[20], line[4];
      for (int64_t p = 0; p < 25; ++p) m[p] = made(p, 0);
      for (int64_t j = 0; j < 5; ++j) out_of_tile(m + j, 5, half + 4 * j);  // half[4 j + i]
      for (int64_t i = 0; i < even_rows; ++i) {
        out_of_tile(half + i, 4, line);
        for (int64_t j = 0; j < even_columns; ++j) put(2 * i, 2 * j, c, line[j]);
      }
      for (int64_t j = 0; j < odd_columns; ++j) {
        for (int64_t i = 0; i < 5; ++i) m[i] = made(25 + i, j);
        out_of_tile(m, 1, line);
        for (int64_t i = 0; i < even_rows; ++i) put(2 * i, 2 * j + 1, c, line[i]);
      }
      for (int64_t i = 0; i < odd_rows; ++i) {
        for (int64_t j = 0; j < 5; ++j) m[j] = made(30 + j, i);
        out_of_tile(m, 1, line);
        for (int64_t j = 0; j < even_columns; ++j) put(2 * i + 1, 2 * j, c, line[j]);
        for (int64_t j = 0; j < odd_columns; ++j) put(2 * i + 1, 2 * j + 1, c, made(35, 4 * i + j));
      }
    }
  }

 private:
  // Where row `row` of tile t of n lies among numbers of `channels`.
  static int64_t at(int64_t position, int64_t row, int64_t t, int64_t n, int64_t channels) {
    return (before(position) * n + t * rows(position) + row) * channels;
  }
};

at::Tensor winograd_up(const at::Tensor& x, const at::Tensor& w, const at::Tensor& styles, bool flip) {
  ganinv::check_layer(x, w, styles);
  const int64_t in = x.size(1), out = w.size(0);
  at::Tensor y = at::empty({x.size(0), out, 2 * x.size(2) + 1, 2 * x.size(3) + 1},
                           x.options().memory_format(at::MemoryFormat::ChannelsLast));
  if (y.numel() == 0) return y;
  ganinv::large_pages(y);
  const at::Tensor dense = x.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor weights = w.to(at::kFloat).contiguous(), s = styles.to(at::kFloat).contiguous();
  ganinv::with_type_of(x, [&](auto zero) {
    using T = decltype(zero);
    const Layer<T> layer{dense.const_data_ptr<T>(), y.mutable_data_ptr<T>(), s.const_data_ptr<float>(), x.size(0), x.size(2),
                         x.size(3), in, out};
    ganinv::convolve(layer, weights.const_data_ptr<float>(), weight_transform(flip));
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) { m.impl("winograd_up", &winograd_up); }
