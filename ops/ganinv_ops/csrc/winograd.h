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

// [36, panels, I, width], panels of `width` outputs: each as gemm.h wants it. Weights are read once: those of kLane outputs and one
// input stay in registers meanwhile.
inline void transform_weights(const float* w, int64_t in, int64_t out, const Transform& matrix, int64_t width, float* to) {
  share(out / width * in, 16, [&](int64_t begin, int64_t end) {
    for (int64_t job = begin; job < end; ++job) {
      const int64_t panel = job / in, i = job % in;
      for (int64_t lane = 0; lane < width; lane += kLane) {
        const float* source = w + ((panel * width + lane) * in + i) * 9;
        Vector taps[9];
        for (int k = 0; k < 9; ++k)
          for (int l = 0; l < kLane; ++l) taps[k][l] = source[l * in * 9 + k];
        float* target = to + job * width + lane;
        for (const auto& row : matrix) {
          Vector sum = row[0] * taps[0];
          for (int k = 1; k < 9; ++k) sum += row[k] * taps[k];
          store(target, sum);
          target += in * out;
        }
      }
    }
  });
}

// ---- all tiles of a layer --------------------------------------------------------------------------------------------------

constexpr int64_t kChunkProducts = 1728;  // times channels: what a thread transforms and multiplies at once

// All weights are transformed; then a thread takes a chunk of tiles, transforms it, multiplies it position by position with all
// weights (each position's numbers stay in its own cache meanwhile, the weights pass by), and transforms the products back. Where
// there are more threads than chunks, several take the same tiles and a part of the panels each.
//
// Tiles are count() in all pictures of `in` channels, and kProducts the numbers of a transformed tile and a channel, of which rows(p)
// belong to position p, before(p) to those before it. enter(tile, t, n, to) writes them as tile t of n, numbers of position p from
// before(p) * n * in on; leave(tile, t, n, from, channel, width) takes products, of `width` outputs from `channel` on, in that order.
template <typename Tiles, typename Leave>
void convolve(const Tiles& tiles, int64_t out, const float* w, const Transform& matrix, const Leave& leave) {
  const int64_t in = tiles.in, threads = at::get_num_threads(), count = tiles.count();
  const int64_t width = panel_width(out), panels = out / width;
  thread_local at::Tensor room;  // kept: fresh memory costs as much as a small layer
  const int64_t floats = kPositions * in * out;
  if (!room.defined() || room.numel() < floats) large_pages(room = at::empty({floats}, at::kFloat));
  float* weights = room.mutable_data_ptr<float>();
  transform_weights(w, in, out, matrix, width, weights);
  const int64_t least = ceil_div(count, kChunkProducts / Tiles::kProducts);  // chunks
  const int64_t even = ceil_div(count, ceil_div(least, threads) * threads);  // tiles of each, for all threads alike
  const int64_t chunk = std::min(count, ceil_div(even, kRows) * kRows), chunks = ceil_div(count, chunk);
  const int64_t part = ceil_div(panels, std::min(panels, ceil_div(threads, chunks))), parts = ceil_div(panels, part);
  share(chunks * parts, 1, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> entered, made;  // kept likewise
    entered.resize(Tiles::kProducts * chunk * in);
    made.resize(Tiles::kProducts * chunk * part * width);
    for (int64_t job = begin; job < end; ++job) {
      const int64_t first = job / parts * chunk, m = std::min(chunk, count - first);
      const int64_t panel = job % parts * part, some = std::min(part, panels - panel), each = Tiles::kProducts * m * width;
      for (int64_t t = 0; t < m; ++t) tiles.enter(first + t, t, m, entered.data());
      for (int64_t p = 0; p < kPositions; ++p)
        for (int64_t i = 0; i < some; ++i)
          product({entered.data() + Tiles::before(p) * m * in, in, 1}, weights + (p * panels + panel + i) * in * width,
                  made.data() + i * each + Tiles::before(p) * m * width, Tiles::rows(p) * m, in, width);
      for (int64_t t = 0; t < m; ++t)
        for (int64_t i = 0; i < some; ++i)
          leave(first + t, t, m, made.data() + i * each, (panel + i) * width, width);
    }
  });
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
