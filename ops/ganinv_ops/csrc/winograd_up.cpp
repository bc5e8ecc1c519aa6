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

#include "winograd_up_tile.h"

namespace {

using ganinv::Block;
using ganinv::DoublingTiles;
using ganinv::kLane;
using ganinv::store_lanes;
using ganinv::Vector;

// What becomes of a tile's products: outputs.
template <typename T>
struct Results {
  DoublingTiles<T> tiles;
  T* y;  // [N, 2 H + 1, 2 W + 1, O]
  int64_t out;
  bool past_cache;

  void operator()(int64_t tile, int64_t t, Block<DoublingTiles<T>> block, const float* from, int64_t channel) const {
    const auto [picture, top, left, even_rows, odd_rows, even_columns, odd_columns] = tiles.place(tile);
    const int64_t stride = 2 * tiles.width + 1;
    T* to = y + picture * (2 * tiles.height + 1) * stride * out;
    const auto put = [&, y0 = 2 * top, x0 = 2 * left](int64_t row, int64_t column, int64_t c, Vector v) {
      store_lanes(to + ((y0 + row) * stride + x0 + column) * out + c, v, past_cache);
    };
    for (int64_t l = 0; l < block.channels; l += kLane) {
      const int64_t c = channel + l;
      const auto made = [&](int64_t position, int64_t row) { return ganinv::load(from + block.at(position, t, row) + l); };
      Vector m[25], half[20], line[4];
      for (int64_t p = 0; p < 25; ++p) m[p] = made(p, 0);
      for (int64_t j = 0; j < 5; ++j) ganinv::out_of_doubling(m + j, 5, half + 4 * j);  // half[4 j + i]
      for (int64_t i = 0; i < even_rows; ++i) {
        ganinv::out_of_doubling(half + i, 4, line);
        for (int64_t j = 0; j < even_columns; ++j) put(2 * i, 2 * j, c, line[j]);
      }
      for (int64_t j = 0; j < odd_columns; ++j) {
        for (int64_t i = 0; i < 5; ++i) m[i] = made(25 + i, j);
        ganinv::out_of_doubling(m, 1, line);
        for (int64_t i = 0; i < even_rows; ++i) put(2 * i, 2 * j + 1, c, line[i]);
      }
      for (int64_t i = 0; i < odd_rows; ++i) {
        for (int64_t j = 0; j < 5; ++j) m[j] = made(30 + j, i);
        ganinv::out_of_doubling(m, 1, line);
        for (int64_t j = 0; j < even_columns; ++j) put(2 * i + 1, 2 * j, c, line[j]);
        for (int64_t j = 0; j < odd_columns; ++j) put(2 * i + 1, 2 * j + 1, c, made(35, 4 * i + j));
      }
    }
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
    const DoublingTiles<T> tiles{dense.const_data_ptr<T>(), s.const_data_ptr<float>(), x.size(0), x.size(2), x.size(3), in};
    const Results<T> results{tiles, y.mutable_data_ptr<T>(), out, y.nbytes() >= ganinv::kPastCache};
    ganinv::convolve(tiles, out, weights.const_data_ptr<float>(), ganinv::doubling_transform(flip), results);
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) { m.impl("winograd_up", &winograd_up); }
