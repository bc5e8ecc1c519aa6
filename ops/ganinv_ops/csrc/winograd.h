// What the convolutions by Winograd's algorithm share: pixels as vectors of channels, whatever their type; weights, transformed
// and packed for the products of gemm.h; the way through all tiles of a layer.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <vector>

#include "gemm.h"
#include "pages.h"
#include "resample.h"
#include "share.h"

namespace ganinv {

constexpr int64_t kPositions = 36;  // of a transformed tile: 6 x 6; of a doubling one: 25 + 5 + 5 + 1

typedef uint16_t Halves __attribute__((vector_size(kLane * 2), aligned(2), may_alias));
typedef uint32_t Words __attribute__((vector_size(kLane * 4)));

inline Vector load_lanes(const float* p) { return load(p); }
inline void store_lanes(float* p, Vector v) { store(p, v); }

// As Element<BFloat16> does for one number.
inline Vector load_lanes(const c10::BFloat16* p) {
  const Words bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(p), Words) << 16;
  return reinterpret_cast<Vector>(bits);
}
inline void store_lanes(c10::BFloat16* p, Vector v) {
  const Words bits = reinterpret_cast<Words>(v);
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words safe = (v == v) ? rounded : Words{} + 0x7fc0u;
  *reinterpret_cast<Halves*>(p) = __builtin_convertvector(safe, Halves);
}

// ---- weights ---------------------------------------------------------------------------------------------------------------

// What turns the 9 weights of a pair of channels into the numbers at all positions of a transformed tile.
typedef std::array<std::array<float, 9>, kPositions> Transform;

// Panels [first, first + count) of `width` outputs: [count, 36, I, width], each position of a panel as gemm.h wants it. Weights are
// read once: those of kLane outputs and one input stay in registers meanwhile.
inline void transform_weights(const float* w, int64_t in, const Transform& matrix, int64_t first, int64_t count, int64_t width,
                              float* to) {
  const int64_t across = width / kLane;
  share(count * across * in, 64, [&](int64_t begin, int64_t end) {
    for (int64_t job = begin; job < end; ++job) {
      const int64_t panel = job / in / across, lane = job / in % across * kLane, i = job % in;
      const float* source = w + (((first + panel) * width + lane) * in + i) * 9;
      Vector taps[9];
      for (int k = 0; k < 9; ++k)
        for (int l = 0; l < kLane; ++l) taps[k][l] = source[l * in * 9 + k];
      float* target = to + (panel * kPositions * in + i) * width + lane;
      for (const auto& row : matrix) {
        Vector sum = row[0] * taps[0];
        for (int k = 1; k < 9; ++k) sum += row[k] * taps[k];
        store(target, sum);
        target += in * width;
      }
    }
  });
}

// ---- all tiles of a layer --------------------------------------------------------------------------------------------------

constexpr int64_t kGroupBytes = 10 << 20;  // of transformed weights, for the last level of the cache
constexpr int64_t kBatchBytes = 16 << 20;  // of transformed inputs, likewise
constexpr int64_t kShareBytes = 1 << 20;   // of them, for each thread, where all weights are one group: for its own cache
constexpr int64_t kChunkProducts = 1728;   // times the channels of a panel: what a thread makes at once, for its own cache

// A batch of tiles is transformed; then, a group of panels of outputs at a time, so are the weights, and every thread multiplies
// and transforms back its share of tiles and panels. Many weights are thus read for large batches, few stay for small ones.
//
// Tiles are count() in all pictures of `in` channels, and kProducts the numbers of a transformed tile and a channel, of which rows(p)
// belong to position p, before(p) to those before it. enter(tile, t, n, to) writes them as tile t of n, numbers of position p from
// before(p) * n * in on; leave(tile, t, n, from, channel, width) takes products, of `width` outputs from `channel` on, in that order.
template <typename Tiles, typename Leave>
void convolve(const Tiles& tiles, int64_t out, const float* w, const Transform& matrix, const Leave& leave) {
  const int64_t in = tiles.in, threads = at::get_num_threads(), count = tiles.count();
  const int64_t width = panel_width(out), panels = out / width, panel_floats = kPositions * in * width;
  const int64_t bytes = panels * panel_floats * 4 <= kGroupBytes ? kShareBytes * threads : kBatchBytes;
  const int64_t batch = std::min(count, std::max<int64_t>(1, bytes / (Tiles::kProducts * in * 4)));
  const int64_t chunk = std::min({kChunkProducts / Tiles::kProducts, batch, std::max(ceil_div(batch, threads), int64_t{6})});
  const int64_t fit = std::max(kGroupBytes / (panel_floats * 4), ceil_div(threads, ceil_div(batch, chunk)));
  const int64_t group = std::min(panels, std::max<int64_t>(1, fit));
  thread_local at::Tensor room;  // kept: fresh memory costs as much as a small layer
  const int64_t floats = Tiles::kProducts * batch * in + group * panel_floats;
  if (!room.defined() || room.numel() < floats) large_pages(room = at::empty({floats}, at::kFloat));
  float *entered = room.mutable_data_ptr<float>(), *weights = entered + Tiles::kProducts * batch * in;
  for (int64_t first = 0; first < count; first += batch) {
    const int64_t n = std::min(batch, count - first), chunks = ceil_div(n, chunk);
    share(n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) tiles.enter(first + t, t, n, entered);
    });
    for (int64_t panel = 0; panel < panels; panel += group) {
      const int64_t some = std::min(group, panels - panel);
      if (first == 0 || group < panels) transform_weights(w, in, matrix, panel, some, width, weights);
      share(some * chunks, 1, [&](int64_t begin, int64_t end) {
        thread_local std::vector<float> made;  // kept: fresh memory for each piece would be faulted in each time
        made.resize(Tiles::kProducts * chunk * width);
        for (int64_t job = begin; job < end; ++job) {
          const int64_t t = job / some * chunk, m = std::min(chunk, n - t), which = job % some;
          for (int64_t p = 0; p < kPositions; ++p)
            product({entered + (Tiles::before(p) * n + t * Tiles::rows(p)) * in, in, 1}, weights + (which * kPositions + p) * in * width,
                    made.data() + Tiles::before(p) * m * width, Tiles::rows(p) * m, in, width);
          for (int64_t i = 0; i < m; ++i) leave(first + t + i, i, m, made.data(), (panel + which) * width, width);
        }
      });
    }
  }
}

// What both convolutions read through raw pointers.
inline void check_layer(const at::Tensor& x, const at::Tensor& w, const at::Tensor& styles) {
  TORCH_CHECK(x.dim() == 4 && w.dim() == 4 && w.size(1) == x.size(1) && w.size(2) == 3 && w.size(3) == 3 &&
                  w.size(0) % 16 == 0 && w.size(1) % 16 == 0,
              "ganinv_ops::winograd: weights are [O, I, 3, 3], O and I multiples of 16");
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, "ganinv_ops::winograd: float32 or bfloat16");
  TORCH_CHECK_VALUE(styles.sizes() == at::IntArrayRef({x.size(0), x.size(1)}), "styles have shape ", styles.sizes(), "; give [",
                    x.size(0), ", ", x.size(1), "]");
}

// Calls run with a zero of the type of x, one of the two that check_layer lets pass.
template <typename Run>
void with_type_of(const at::Tensor& x, const Run& run) {
  if (x.scalar_type() == at::kFloat)
    run(0.0f);
  else
    run(c10::BFloat16());
}

}  // namespace ganinv
