// The gradient of the weight of a transposed 3 x 3 convolution of stride 2 on the CPU; with the two pictures exchanged, of a plain one
// of stride 2.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <algorithm>

#include "winograd_up_tile.h"
#include "winograd_weight.h"

namespace {

using ganinv::back_into_doubling;
using ganinv::DoublingTiles;
using ganinv::Block;
using ganinv::kLane;
using ganinv::Vector;

template <typename T>
struct Gradients {
  DoublingTiles<T> tiles;
  const T* dy;  // [N, 2 H + 1, 2 W + 1, O]
  int64_t out;

  void operator()(int64_t tile, int64_t t, Block<DoublingTiles<T>> block, int64_t channel, float* to) const {
    const auto [picture, top, left, even_rows, odd_rows, even_columns, odd_columns] = tiles.place(tile);
    const int64_t stride = 2 * tiles.width + 1;
    const T* from = dy + ((picture * (2 * tiles.height + 1) + 2 * top) * stride + 2 * left) * out + channel;
    const auto put = [&](int64_t position, int64_t row, int64_t l, Vector v) {
      ganinv::store(to + block.at(position, t, row) + l, v);
    };
    for (int64_t l = 0; l < block.channels; l += kLane) {
      // 4 x 4 outputs, every second one from (y, x) on; zeros beyond `rows` and `columns`
      const auto read = [&, l](int64_t y, int64_t x, int64_t rows, int64_t columns, Vector* d) {
        for (int64_t i = 0; i < 4; ++i)
          for (int64_t j = 0; j < 4; ++j) {
            const bool there = i < rows && j < columns;
            d[4 * i + j] = there ? ganinv::load_lanes(from + ((2 * i + y) * stride + 2 * j + x) * out + l) : Vector{};
          }
      };
      Vector d[16], half[20], line[5];
      read(0, 0, even_rows, even_columns, d);
      for (int64_t j = 0; j < 4; ++j) back_into_doubling(d + j, 4, half + 5 * j);  // half[5 j + i]
      for (int64_t i = 0; i < 5; ++i) {
        back_into_doubling(half + i, 5, line);
        for (int64_t j = 0; j < 5; ++j) put(5 * i + j, 0, l, line[j]);
      }
      read(0, 1, even_rows, odd_columns, d);
      for (int64_t j = 0; j < 4; ++j) {
        back_into_doubling(d + j, 4, line);
        for (int64_t i = 0; i < 5; ++i) put(25 + i, j, l, line[i]);
      }
      read(1, 0, odd_rows, even_columns, d);
      for (int64_t i = 0; i < 4; ++i) {
        back_into_doubling(d + 4 * i, 1, line);
        for (int64_t j = 0; j < 5; ++j) put(30 + j, i, l, line[j]);
      }
      read(1, 1, odd_rows, odd_columns, d);
      for (int64_t i = 0; i < 16; ++i) put(35, i, l, d[i]);
    }
  }
};

at::Tensor winograd_up_weight(const at::Tensor& x, const at::Tensor& dy, bool flip) {
  at::Tensor w = ganinv::check_gradient(x, dy, 2 * x.size(2) + 1, 2 * x.size(3) + 1);
  if (dy.numel() == 0 || w.numel() == 0) return w.to(x.scalar_type());
  const at::Tensor dense = x.contiguous(at::MemoryFormat::ChannelsLast), gradient = dy.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor ones = at::ones({x.size(0), x.size(1)}, at::kFloat);
  ganinv::with_type_of(x, [&](auto zero) {
    using T = decltype(zero);
    const DoublingTiles<T> tiles{dense.const_data_ptr<T>(), ones.const_data_ptr<float>(), x.size(0), x.size(2), x.size(3), x.size(1)};
    const Gradients<T> gradients{tiles, gradient.const_data_ptr<T>(), dy.size(1)};
    ganinv::weight_gradient(tiles, dy.size(1), ganinv::doubling_transform(flip), w.mutable_data_ptr<float>(), gradients);
  });
  return w.to(x.scalar_type());
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) { m.impl("winograd_up_weight", &winograd_up_weight); }
