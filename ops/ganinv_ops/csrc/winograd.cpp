// A layer of a style-based generator in one pass on the CPU: modulation, 3 x 3 convolution, demodulation, noise, bias, leaky ReLU,
// gain and clamp.
//
// The convolution is Winograd's F(4 x 4, 3 x 3): a tile of 6 x 6 inputs and the weights are transformed, multiplied position by
// position, 36 small matrix products, and transformed back to 4 x 4 outputs, with a quarter of the multiplications. Whatever is
// diagonal in channels is done while a tile is transformed and costs nothing: styles on the way in, the rest on the way out.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>

#include "parts.h"
#include "winograd_tile.h"

namespace {

using ganinv::Block;
using ganinv::kLane;
using ganinv::store_lanes;
using ganinv::Tiles;
using ganinv::Vector;

// What becomes of a tile's products: results.
template <typename T>
struct Results {
  Tiles<T> tiles;
  T* y;                                // [N, lines, line, O]
  const float *factor, *bias, *noise;  // [N, O], [O], [N or 1, lines, line]; each may be null
  int64_t out, noise_stride;
  float slope, gain, clamp;
  bool past_cache;

  void operator()(int64_t tile, int64_t t, Block<Tiles<T>> block, const float* from, int64_t channel) const {
    const auto [picture, top, left] = tiles.place(tile);
    const int64_t lines = tiles.lines(), line = tiles.line();
    T* to = y + picture * lines * line * out;
    const float* grain = noise ? noise + picture * noise_stride : nullptr;
    for (int64_t l = 0; l < block.channels; l += kLane) {
      const int64_t c = channel + l;
      Vector half[24], square[16];
      for (int j = 0; j < 6; ++j) {
        Vector m[6];
        for (int i = 0; i < 6; ++i) m[i] = ganinv::load(from + block.at(6 * i + j, t) + l);
        ganinv::out_of_tile(m, half + 4 * j, 1);  // half[4 j + i]
      }
      for (int i = 0; i < 4; ++i) ganinv::out_of_tile(half + i, square + 4 * i, 4);
      const Vector one = Vector{} + 1;
      const Vector scale = factor ? ganinv::load(factor + picture * out + c) : one;
      const Vector shift = bias ? ganinv::load(bias + c) : Vector{};
      for (int64_t i = 0; i < std::min<int64_t>(4, lines - top); ++i)
        for (int64_t j = 0; j < std::min<int64_t>(4, line - left); ++j) {
          const int64_t pixel = (top + i) * line + left + j;
          const Vector v = square[4 * i + j] * scale + shift + (grain ? grain[pixel] : 0.0f);
          store_lanes(to + pixel * out + c, activate(v), past_cache);
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
    const Tiles<T> tiles{dense.const_data_ptr<T>(), data(s), x.size(0), x.size(2), x.size(3), in, padding};
    const Results<T> results{tiles, y.mutable_data_ptr<T>(), data(scale), data(shift), data(grain), out, noise_stride,
                             static_cast<float>(slope), static_cast<float>(gain), static_cast<float>(clamp),
                             y.nbytes() >= ganinv::kPastCache};
    ganinv::convolve(tiles, out, data(weights), ganinv::weight_transform(flip), results);
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) { m.impl("winograd", &winograd); }
