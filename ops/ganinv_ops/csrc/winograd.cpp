// A layer of a style-based generator in one pass on the CPU: modulation, 3 x 3 convolution, demodulation, noise, bias, leaky ReLU,
// gain and clamp.
//
// The convolution is Winograd's F(4 x 4, 3 x 3) (Lavin & Gray 2016): a tile of 6 x 6 inputs and the weights are transformed,
// multiplied position by position, 36 small matrix products, and transformed back to 4 x 4 outputs, with a quarter of the
// multiplications. Whatever is diagonal in channels is done while a tile is transformed and costs nothing: styles on the
// way in, the rest on the way out.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "parts.h"
#include "winograd.h"

namespace {

using ganinv::kLane;
using ganinv::kPositions;
using ganinv::load_lanes;
using ganinv::store_lanes;
using ganinv::Transform;
using ganinv::Vector;

// ---- transforms of one axis, points 0, 1, -1, 2, -2 and infinity -----------------------------------------------------------

inline void into_tile(const Vector* d, Vector* t, int step) {
  const Vector even = d[4 * step] - 4 * d[2 * step], odd = d[3 * step] - 4 * d[step];
  const Vector even2 = d[4 * step] - d[2 * step], odd2 = 2 * (d[3 * step] - d[step]);
  t[0] = 4 * d[0] - 5 * d[2 * step] + d[4 * step];
  t[1] = even + odd;
  t[2] = even - odd;
  t[3] = even2 + odd2;
  t[4] = even2 - odd2;
  t[5] = 4 * d[step] - 5 * d[3 * step] + d[5 * step];
}

inline void out_of_tile(const Vector* m, Vector* y, int step) {
  const Vector sum = m[step] + m[2 * step], difference = m[step] - m[2 * step];
  const Vector sum2 = m[3 * step] + m[4 * step], difference2 = m[3 * step] - m[4 * step];
  y[0] = m[0] + sum + sum2;
  y[1] = difference + 2 * difference2;
  y[2] = sum + 4 * sum2;
  y[3] = difference + 8 * difference2 + m[5 * step];
}

Transform weight_transform(bool flip) {
  constexpr double kInto[6][3] = {{1.0 / 4, 0, 0},
                                  {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                  {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                  {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                  {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                  {0, 0, 1}};
  Transform matrix;
  for (int64_t p = 0; p < kPositions; ++p)
    for (int64_t tap = 0; tap < 9; ++tap) {
      const int64_t own = flip ? tap : 8 - tap;
      matrix[p][tap] = static_cast<float>(kInto[p / 6][own / 3] * kInto[p % 6][own % 3]);
    }
  return matrix;
}

// ---- one layer -----------------------------------------------------------------------------------------------------------------

template <typename T>
struct Layer {
  static constexpr int64_t kProducts = kPositions;

  const T* x;  // [N, H, W, I]
  T* y;        // [N, rows, line, O]
  const float *styles, *factor, *bias, *noise;  // [N, I], [N, O], [O], [N or 1, rows, line]; all but styles may be null
  int64_t pictures, height, width, in, out, padding, noise_stride;
  float slope, gain, clamp;

  static int64_t rows(int64_t) { return 1; }
  static int64_t before(int64_t position) { return position; }

  // Of the result.
  int64_t rows() const { return height + 2 * padding - 2; }
  int64_t line() const { return width + 2 * padding - 2; }
  int64_t tiles_across() const { return (line() + 3) / 4; }
  int64_t tiles_each() const { return tiles_across() * ((rows() + 3) / 4); }
  int64_t tiles() const { return pictures * tiles_each(); }

  void enter(int64_t tile, int64_t t, int64_t n, float* to) const {
    const int64_t picture = tile / tiles_each(), top = tile % tiles_each() / tiles_across() * 4 - padding;
    const int64_t left = tile % tiles_each() % tiles_across() * 4 - padding;
    const T* from = x + picture * height * width * in;
    const float* scale = styles + picture * in;
    const bool inside = top >= 0 && left >= 0 && top + 6 <= height && left + 6 <= width;
    for (int64_t c = 0; c < in; c += kLane) {
      Vector d[36], across[36];
      const Vector s = ganinv::load(scale + c);
      for (int i = 0; i < 6; ++i)
        for (int j = 0; j < 6; ++j) {
          const bool there = inside || (top + i >= 0 && top + i < height && left + j >= 0 && left + j < width);
          d[6 * i + j] = there ? s * load_lanes(from + ((top + i) * width + left + j) * in + c) : Vector{};
        }
      for (int j = 0; j < 6; ++j) into_tile(d + j, across + 6 * j, 6);  // across[6 j + i]
      for (int i = 0; i < 6; ++i) {
        Vector row[6];
        into_tile(across + i, row, 6);
        for (int j = 0; j < 6; ++j) ganinv::store(to + ((6 * i + j) * n + t) * in + c, row[j]);
      }
    }
  }

  void leave(int64_t tile, int64_t t, int64_t n, const float* from, int64_t channel, int64_t panel) const {
    const int64_t picture = tile / tiles_each(), top = tile % tiles_each() / tiles_across() * 4;
    const int64_t left = tile % tiles_each() % tiles_across() * 4;
    T* to = y + picture * rows() * line() * out;
    const float* grain = noise ? noise + picture * noise_stride : nullptr;
    for (int64_t l = 0; l < panel; l += kLane) {
      const int64_t c = channel + l;
      Vector half[24], square[16];
      for (int j = 0; j < 6; ++j) {
        Vector m[6];
        for (int i = 0; i < 6; ++i) m[i] = ganinv::load(from + ((6 * i + j) * n + t) * panel + l);
        out_of_tile(m, half + 4 * j, 1);  // half[4 j + i]
      }
      for (int i = 0; i < 4; ++i) out_of_tile(half + i, square + 4 * i, 4);
      const Vector one = Vector{} + 1;
      const Vector scale = factor ? ganinv::load(factor + picture * out + c) : one;
      const Vector shift = bias ? ganinv::load(bias + c) : Vector{};
      for (int64_t i = 0; i < std::min<int64_t>(4, rows() - top); ++i)
        for (int64_t j = 0; j < std::min<int64_t>(4, line() - left); ++j) {
          const int64_t pixel = (top + i) * line() + left + j;
          const Vector v = square[4 * i + j] * scale + shift + (grain ? grain[pixel] : 0.0f);
          store_lanes(to + pixel * out + c, activate(v));
        }
    }
  }

 private:
  Vector activate(Vector v) const {
    v = (v > 0 ? v : v * slope) * gain;
    if (clamp >= 0) {
      const Vector limit = Vector{} + clamp;
      v = v > limit ? limit : v;
      v = v < -limit ? -limit : v;
    }
    return v;
  }
};

at::Tensor winograd(const at::Tensor& x, const at::Tensor& w, const at::Tensor& styles, const std::optional<at::Tensor>& factor,
                    const std::optional<at::Tensor>& noise, const std::optional<at::Tensor>& bias, int64_t padding, bool flip,
                    double slope, double gain, double clamp) {
  ganinv::check_layer(x, w, styles);
  TORCH_CHECK(padding >= 0 && padding <= 2, "ganinv_ops::winograd: padding is 0, 1 or 2");
  const int64_t in = x.size(1), out = w.size(0);
  const int64_t grown = 2 * padding - 2;
  at::Tensor y = at::empty({x.size(0), out, x.size(2) + grown, x.size(3) + grown},
                           x.options().memory_format(at::MemoryFormat::ChannelsLast));
  ganinv::check_parts(y, factor, noise, bias);
  if (y.numel() == 0) return y;
  ganinv::large_pages(y);
  const auto as_float = [](const std::optional<at::Tensor>& t) { return t ? t->to(at::kFloat).contiguous() : at::Tensor(); };
  const auto data = [](const at::Tensor& t) { return t.defined() ? t.const_data_ptr<float>() : nullptr; };
  const at::Tensor dense = x.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor s = as_float(styles), scale = as_float(factor), grain = as_float(noise), shift = as_float(bias);
  const at::Tensor weights = as_float(w);
  const int64_t noise_stride = grain.defined() && grain.size(0) > 1 ? grain.stride(0) : 0;
  ganinv::with_type_of(x, [&](auto zero) {
    using T = decltype(zero);
    const Layer<T> layer{dense.const_data_ptr<T>(), y.mutable_data_ptr<T>(), data(s), data(scale), data(shift), data(grain),
                         x.size(0), x.size(2), x.size(3), in, out, padding, noise_stride, static_cast<float>(slope),
                         static_cast<float>(gain), static_cast<float>(clamp)};
    ganinv::convolve(layer, data(weights), weight_transform(flip));
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) { m.impl("winograd", &winograd); }
