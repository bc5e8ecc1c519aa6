// Small matrix products from packed panels, for kernels that calculate block by block in the cache.
//
// B is packed as panels of kPanel columns: panel j holds B[k][j * kPanel ...] for k = 0, 1, ..., rows side by side. Vectors
// are as long as the processor's; a block of kRows x kPanel sums stays in registers while k runs.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ganinv {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kVectorsAcross = 4;  // 6 x 4 sums of 32 registers
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kVectorsAcross = 2;  // 6 x 2 of 16
#else
constexpr int kVectorBytes = 16, kVectorsAcross = 4;  // NEON has 32, SSE2 spills
#endif
constexpr int kLane = kVectorBytes / sizeof(float);
constexpr int kRows = 6;
typedef float Vector __attribute__((vector_size(kVectorBytes)));  // aligned: on the stack none lies across two cache lines
typedef float InMemory __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));

inline Vector load(const float* p) { return *reinterpret_cast<const InMemory*>(p); }
inline void store(float* p, Vector v) { *reinterpret_cast<InMemory*>(p) = v; }

// The widest panel of whole vectors that `columns`, a multiple of 16, is made of.
inline int64_t panel_width(int64_t columns) {
  for (int64_t width = kVectorsAcross * kLane; width > kLane; width /= 2)
    if (columns % width == 0) return width;
  return kLane;
}

// A [rows, depth] of any strides.
struct Left {
  const float* data;
  int64_t row, step;
};

constexpr int kLine = 64 / sizeof(float);  // of the cache

// c[r][...] (+)= sum over k < depth of a[r][k] * b[k][...] for ROWS rows and one panel of ACROSS vectors. Two cache lines of
// each row of a panel at `ahead` are asked for meanwhile (one, where a row is no longer).
template <int ROWS, int ACROSS, bool ADD>
inline void block_product(Left a, const float* b, int64_t depth, float* c, int64_t c_stride, const float* ahead) {
  Vector sum[ROWS][ACROSS];
  for (int r = 0; r < ROWS; ++r)
    for (int j = 0; j < ACROSS; ++j) sum[r][j] = Vector{};
  for (int64_t k = 0; k < depth; ++k, b += ACROSS * kLane, ahead += ACROSS * kLane, a.data += a.step) {
    __builtin_prefetch(ahead, 0, 2);
    if (ACROSS * kLane > kLine) __builtin_prefetch(ahead + kLine, 0, 2);
    Vector right[ACROSS];
    for (int j = 0; j < ACROSS; ++j) right[j] = load(b + j * kLane);
    for (int r = 0; r < ROWS; ++r) {
      const float left = a.data[r * a.row];
      for (int j = 0; j < ACROSS; ++j) sum[r][j] += left * right[j];
    }
  }
  for (int r = 0; r < ROWS; ++r)
    for (int j = 0; j < ACROSS; ++j) {
      float* to = c + r * c_stride + j * kLane;
      store(to, ADD ? load(to) + sum[r][j] : sum[r][j]);
    }
}

// The first blocks ask for the panel that follows in memory, each for other lines of it: it comes from a far cache, and what
// the processor foresees by itself is too late. Two blocks ask for all of it, since there may be no more.
template <int ACROSS, bool ADD>
inline void panel_product(Left a, const float* b, float* c, int64_t rows, int64_t depth, int64_t columns) {
  constexpr int64_t kAcross = ACROSS * kLane, kPairs = (kAcross + 2 * kLine - 1) / (2 * kLine);
  for (int64_t at = 0; at < rows; at += kRows, a.data += kRows * a.row, c += kRows * columns) {
    const int64_t pair = at / kRows;
    const float* ahead = pair < kPairs ? b + depth * kAcross + pair * 2 * kLine : b;  // b itself is there: that costs nothing
    switch (std::min<int64_t>(rows - at, kRows)) {
      case 1: block_product<1, ACROSS, ADD>(a, b, depth, c, columns, ahead); break;
      case 2: block_product<2, ACROSS, ADD>(a, b, depth, c, columns, ahead); break;
      case 3: block_product<3, ACROSS, ADD>(a, b, depth, c, columns, ahead); break;
      case 4: block_product<4, ACROSS, ADD>(a, b, depth, c, columns, ahead); break;
      case 5: block_product<5, ACROSS, ADD>(a, b, depth, c, columns, ahead); break;
      default: block_product<kRows, ACROSS, ADD>(a, b, depth, c, columns, ahead);
    }
  }
}

// C [rows, columns] = (ADD: +=) A [rows, depth] times packed B [depth, columns], columns a multiple of 16. Each number of C is
// summed over k in order, whatever the blocks.
template <bool ADD = false>
inline void product(Left a, const float* packed_b, float* c, int64_t rows, int64_t depth, int64_t columns) {
  const int64_t width = panel_width(columns);
  for (int64_t at = 0; at < columns; at += width, packed_b += width * depth, c += width) {
    switch (width / kLane) {
      case 4: panel_product<4, ADD>(a, packed_b, c, rows, depth, columns); break;
      case 2: panel_product<2, ADD>(a, packed_b, c, rows, depth, columns); break;
      default: panel_product<1, ADD>(a, packed_b, c, rows, depth, columns);
    }
  }
}

}  // namespace ganinv
