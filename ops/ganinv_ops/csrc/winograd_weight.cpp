// The gradient of the weight of a 3 x 3 convolution on the CPU.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <algorithm>

#include "winograd_tile.h"
#include "winograd_weight.h"

namespace {

using ganinv::Block;
using ganinv::kLane;
using ganinv::Tiles;
using ganinv::Vector;

template <typename T>
struct Gradients {
  Tiles<T> tiles;
  const T* dy;  // [N, lines, line, O]
  int64_t out;

  void operator()(int64_t tile, int64_t t, Block<Tiles<T>> block, int64_t channel, float* to) const {
    const auto [picture, top, left] = tiles.place(tile);
    const int64_t lines = tiles.lines(), line = tiles.line();
    const T* from = dy + picture * lines * line * out + channel;
    for (int64_t l = 0; l < block.channels; l += kLane) {
      Vector d[16], half[24], row[6];
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) {
          const bool there = top + i < lines && left + j < line;
          d[4 * i + j] = there ? ganinv::load_lanes(from + ((top + i) * line + left + j) * out + l) : Vector{};
        }
      for (int j = 0; j < 4; ++j) ganinv::back_into_tile(d + j, half + 6 * j, 4);  // half[6 j + i]
      for (int i = 0; i < 6; ++i) {
        ganinv::back_into_tile(half + i, row, 6);
        for (int j = 0; j < 6; ++j) ganinv::store(to + block.at(6 * i + j, t) + l, row[j]);
      }
    }
  }
};

at::Tensor winograd_weight(const at::Tensor& x, const at::Tensor& dy, int64_t padding, bool flip) {
  TORCH_CHECK(padding >= 0 && padding <= 2, "ganinv_ops::winograd_weight: padding is 0, 1 or 2");
  at::Tensor w = ganinv::check_gradient(x, dy, x.size(2) + 2 * padding - 2, x.size(3) + 2 * padding - 2);
  if (dy.numel() == 0 || w.numel() == 0) return w.to(x.scalar_type());
  const at::Tensor dense = x.contiguous(at::MemoryFormat::ChannelsLast), gradient = dy.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor ones = at::ones({x.size(0), x.size(1)}, at::kFloat);
  ganinv::with_type_of(x, [&](auto zero) {
    using T = decltype(zero);
    const Tiles<T> tiles{dense.const_data_ptr<T>(), ones.const_data_ptr<float>(), x.size(0), x.size(2), x.size(3), x.size(1), padding};
    const Gradients<T> gradients{tiles, gradient.const_data_ptr<T>(), dy.size(1)};
    ganinv::weight_gradient(tiles, dy.size(1), ganinv::weight_transform(flip), w.mutable_data_ptr<float>(), gradients);
  });
  return w.to(x.scalar_type());
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) { m.impl("winograd_weight", &winograd_weight); }
