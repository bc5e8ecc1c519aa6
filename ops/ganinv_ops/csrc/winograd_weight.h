// The gradient of a convolution's weight, Winograd's way: the transpose of `convolve`, with as few multiplications. Inputs and the
// gradients of outputs are transformed tile by tile, multiplied position by position with the tiles as the depth of 36 matrix
// products, and the 36 sums transformed to the 9 weights.
#pragma once

#include "winograd.h"

namespace ganinv {

// Tiles that are transformed before they are multiplied: 4 MB, or half of the sums, all of which are read and written for each such
// batch, up to 16 MB. Whatever the threads, so that sums have the same bits.
inline int64_t batch_of(int64_t tiles, int64_t tile_floats, int64_t sums) {
  const int64_t floats = std::clamp<int64_t>(sums / 2, 1 << 20, 4 << 20);
  return std::min(tiles, std::max<int64_t>(16, floats / tile_floats));
}

// Sums of a panel at a position, [I, width], kApart like the rest.
inline int64_t sum_floats(int64_t in, int64_t width) { return in * width + kApart; }

// Sums at all positions, panel by panel -> weights [O, I, 3, 3].
inline void leave_weights(const float* sums, int64_t in, int64_t out, int64_t width, const Transform& matrix, float* w) {
  const int64_t lanes = width / kLane;
  share(out / kLane * in, 64, [&](int64_t begin, int64_t end) {
    for (int64_t job = begin; job < end; ++job) {
      const int64_t panel = job / in / lanes, lane = job / in % lanes * kLane, i = job % in;
      const float* source = sums + panel * kPositions * sum_floats(in, width) + i * width + lane;
      Vector taps[9] = {};
      for (int64_t p = 0; p < kPositions; ++p)
        for (int k = 0; k < 9; ++k) taps[k] += matrix[p][k] * load(source + p * sum_floats(in, width));
      float* target = w + ((panel * width + lane) * in + i) * 9;
      for (int l = 0; l < kLane; ++l)
        for (int k = 0; k < 9; ++k) target[l * in * 9 + k] = taps[k][l];
    }
  });
}

// Tiles as `convolve` has them. enter_gradient(tile, t, block, channel, to) writes what reaches the products of the block's
// channels from `channel` on, as `leave` takes them.
template <typename Tiles, typename Gradient>
void weight_gradient(const Tiles& tiles, int64_t out, const Transform& matrix, float* w, const Gradient& enter_gradient) {
  const int64_t in = tiles.in, width = panel_width(out), panels = out / width, count = tiles.count();
  const int64_t batch = batch_of(count, Tiles::kProducts * (in + out), kPositions * in * out);
  thread_local at::Tensor room;  // kept: fresh memory costs as much as a small layer
  const Block<Tiles> most_inputs{batch, in}, most_products{batch, width};
  const int64_t each = sum_floats(in, width), floats = most_inputs.floats() + panels * (most_products.floats() + kPositions * each);
  if (!room.defined() || room.numel() < floats) large_pages(room = at::empty({floats}, at::kFloat));
  float* entered = room.mutable_data_ptr<float>();
  float *gradients = entered + most_inputs.floats(), *sums = gradients + panels * most_products.floats();
  for (int64_t first = 0; first < count; first += batch) {
    const int64_t n = std::min(batch, count - first);
    const Block<Tiles> inputs{n, in}, products{n, width};
    share(n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        tiles.enter(first + t, t, inputs, entered);
        for (int64_t panel = 0; panel < panels; ++panel)
          enter_gradient(first + t, t, products, panel * width, gradients + panel * products.floats());
      }
    });
    share(panels * kPositions, 1, [&](int64_t begin, int64_t end) {
      for (int64_t job = begin; job < end; ++job) {
        const int64_t panel = job / kPositions, p = job % kPositions, depth = Tiles::rows(p) * n;
        const Left left{entered + inputs.at(p), 1, in};  // transposed: their rows are the depth
        const float* right = gradients + panel * products.floats() + products.at(p);
        if (first == 0)
          product(left, right, sums + job * each, in, depth, width);
        else
          product<true>(left, right, sums + job * each, in, depth, width);
      }
    });
  }
  leave_weights(sums, in, out, width, matrix, w);
}

// What both gradients read through raw pointers, and what they are: [O, I, 3, 3] of x [N, I, H, W] and dy [N, O, lines, line].
inline at::Tensor check_gradient(const at::Tensor& x, const at::Tensor& dy, int64_t lines, int64_t line) {
  TORCH_CHECK(x.dim() == 4 && dy.dim() == 4 && x.size(1) % 16 == 0 && dy.size(1) % 16 == 0 &&
                  dy.sizes() == at::IntArrayRef({x.size(0), dy.size(1), lines, line}),
              "ganinv_ops::winograd: gradients of what a 3 x 3 convolution of x gives, channels in multiples of 16");
  TORCH_CHECK(x.scalar_type() == dy.scalar_type() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
              "ganinv_ops::winograd: float32 or bfloat16");
  return at::zeros({dy.size(1), x.size(1), 3, 3}, at::kFloat);
}

}  // namespace ganinv
