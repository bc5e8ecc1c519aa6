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
#include "writer.h"

namespace ganinv {

constexpr int64_t kPositions = 36;  // of a transformed tile: 6 x 6; of a doubling one: 25 + 5 + 5 + 1

typedef uint16_t Halves __attribute__((vector_size(kLane * 2), aligned(2), may_alias));
typedef uint32_t Words __attribute__((vector_size(kLane * 4)));

inline Vector load_lanes(const float* p) { return load(p); }
inline void store_lanes(float* p, Vector v, bool past_cache = false) {
#if defined(__AVX512F__)  // a vector is a line: p has to be a multiple of it
  if (past_cache) return _mm512_stream_ps(p, reinterpret_cast<__m512>(v));
#endif
  (void)past_cache;
  store(p, v);
}

// As Element<BFloat16> does for one number.
inline Vector load_lanes(const c10::BFloat16* p) {
  const Words bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(p), Words) << 16;
  return reinterpret_cast<Vector>(bits);
}
inline void store_lanes(c10::BFloat16* p, Vector v, bool = false) {  // half a line: by way of the cache
  const Words bits = reinterpret_cast<Words>(v);
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words safe = (v == v) ? rounded : Words{} + 0x7fc0u;
  *reinterpret_cast<Halves*>(p) = __builtin_convertvector(safe, Halves);
}

// ---- weights ---------------------------------------------------------------------------------------------------------------

// What turns the 9 weights of a pair of channels into the numbers at all positions of a transformed tile.
typedef std::array<std::array<float, 9>, kPositions> Transform;

// 36 blocks of numbers as long as powers of two would lie at the same place of the cache, where there is room for a few. So each
// position begins a line further than it would.
constexpr int64_t kApart = kLine;

// From the transformed weights of a position to those of the next.
inline int64_t weight_floats(int64_t in, int64_t out) { return in * out + kApart; }

// [36, panels, I, width], panels of `width` outputs: each as gemm.h wants it, positions kApart. Weights are read once: those of
// kLane outputs and one input stay in registers meanwhile.
inline void transform_weights(const float* w, int64_t in, int64_t out, const Transform& matrix, int64_t width, float* to) {
  const int64_t each = weight_floats(in, out);
  const bool past_cache = kPositions * each * sizeof(float) >= kPastCache / 2;  // tiles need room there as well
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
          store_lanes(target, sum, past_cache);
          target += each;
        }
      }
    }
    settle_stores();
  });
}

// ---- all tiles of a layer --------------------------------------------------------------------------------------------------

// Where the numbers of `tiles` transformed tiles of `channels` lie: position by position, tile by tile, row by row. Passed by
// value: to the compiler a vector that is stored may have changed whatever has an address.
template <typename Tiles>
struct Block {
  int64_t tiles, channels;

  int64_t floats() const { return Tiles::kProducts * tiles * channels + kPositions * kApart; }
  int64_t at(int64_t position, int64_t t = 0, int64_t row = 0) const {
    return (Tiles::before(position) * tiles + t * Tiles::rows(position) + row) * channels + position * kApart;
  }
};

constexpr int64_t kChunkProducts = 1728;  // times channels: what a thread transforms and multiplies at once

// All weights are transformed; then a thread takes a chunk of tiles, transforms it, multiplies it position by position with all
// weights (each position's numbers stay in its own cache meanwhile, the weights pass by), and transforms the products back. Where
// there are more threads than chunks, several take the same tiles and a part of the panels each.
//
// Tiles are count() in all pictures of `in` channels, and kProducts the numbers of a transformed tile and a channel, of which
// rows(p) belong to position p, before(p) to those before it. enter(tile, t, block, to) writes them as tile t of a block;
// leave(tile, t, block, from, channel) takes products, of the block's channels from `channel` on.
template <typename Tiles, typename Leave>
void convolve(const Tiles& tiles, int64_t out, const float* w, const Transform& matrix, const Leave& leave) {
  const int64_t in = tiles.in, threads = at::get_num_threads(), count = tiles.count();
  const int64_t width = panel_width(out), panels = out / width;
  thread_local at::Tensor room;  // kept: fresh memory costs as much as a small layer
  const int64_t each = weight_floats(in, out), floats = kPositions * each;
  if (!room.defined() || room.numel() < floats) large_pages(room = at::empty({floats}, at::kFloat));
  float* weights = room.mutable_data_ptr<float>();
  transform_weights(w, in, out, matrix, width, weights);
  const int64_t least = ceil_div(count, kChunkProducts / Tiles::kProducts), rows = ceil_div(count, kRows);
  const int64_t unit = least < threads * kPieces ? threads : threads * kPieces;  // so all have as much to do
  const int64_t chunks = std::min(rows, ceil_div(least, unit) * unit), most = std::min(count, ceil_div(rows, chunks) * kRows);
  const int64_t part = ceil_div(panels, std::min(panels, ceil_div(threads, chunks))), parts = ceil_div(panels, part);
  share(chunks * parts, 1, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> entered, made;  // kept likewise
    entered.resize(Block<Tiles>{most, in}.floats());
    made.resize(part * Block<Tiles>{most, width}.floats());
    for (int64_t job = begin; job < end; ++job) {
      const int64_t chunk = job / parts, first = chunk * rows / chunks * kRows;
      const int64_t m = std::min(count, (chunk + 1) * rows / chunks * kRows) - first;
      const int64_t panel = job % parts * part, some = std::min(part, panels - panel);
      const Block<Tiles> inputs{m, in}, products{m, width};
      for (int64_t t = 0; t < m; ++t) tiles.enter(first + t, t, inputs, entered.data());
      for (int64_t p = 0; p < kPositions; ++p)
        for (int64_t i = 0; i < some; ++i)
          product({entered.data() + inputs.at(p), in, 1}, weights + p * each + (panel + i) * in * width,
                  made.data() + i * products.floats() + products.at(p), Tiles::rows(p) * m, in, width);
      for (int64_t t = 0; t < m; ++t)
        for (int64_t i = 0; i < some; ++i)
          leave(first + t, t, products, made.data() + i * products.floats(), (panel + i) * width);
    }
    settle_stores();
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
