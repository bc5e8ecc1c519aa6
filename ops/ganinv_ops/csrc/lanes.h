// Vectors whose lanes are planes (pictures of one channel): 16 of float where the processor has vectors of 64 bytes, else 8, and 8
// of double. Every filter tap is then one multiplication of a vector by a number, along rows and columns alike. Vectors that are
// longer than the processor's would be taken apart number by number. A byte of a mask holds 8 lanes, so fewer there are not.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "element.h"

namespace ganinv {

#if defined(__AVX512F__)
constexpr int kFloatBytes = 64;
#else
constexpr int kFloatBytes = 32;
#endif

template <typename A>
struct Lanes;
template <>
struct Lanes<float> {
  typedef float Vec __attribute__((vector_size(kFloatBytes)));
  typedef int32_t Int __attribute__((vector_size(kFloatBytes)));
};
template <>
struct Lanes<double> {
  typedef double Vec __attribute__((vector_size(64)));
  typedef int64_t Int __attribute__((vector_size(64)));
};

template <typename A>
using Vec = typename Lanes<A>::Vec;
template <typename A>
constexpr int kLanes = sizeof(Vec<A>) / sizeof(A);

// ---- one bit a lane -----------------------------------------------------------------------------------------

// Bit l is set where lane l of a truth value (-1 or 0) is.
inline uint32_t bits(const Lanes<float>::Int& truth) {
#if defined(__AVX512DQ__)
  return _mm512_movepi32_mask(reinterpret_cast<__m512i>(truth));
#elif defined(__AVX2__)
  __m256 part[kFloatBytes / 32];
  std::memcpy(part, &truth, sizeof part);
  uint32_t result = 0;
  for (int i = 0; i < kFloatBytes / 32; ++i) result |= static_cast<uint32_t>(_mm256_movemask_ps(part[i])) << (8 * i);
  return result;
#else
  uint32_t result = 0;
  for (int l = 0; l < kLanes<float>; ++l) result |= static_cast<uint32_t>(truth[l] & 1) << l;
  return result;
#endif
}

inline uint32_t bits(const Lanes<double>::Int& truth) {
#if defined(__AVX512DQ__)
  return _mm512_movepi64_mask(reinterpret_cast<__m512i>(truth));
#elif defined(__AVX2__)
  __m256d half[2];
  std::memcpy(half, &truth, sizeof half);
  return static_cast<uint32_t>(_mm256_movemask_pd(half[0]) | _mm256_movemask_pd(half[1]) << 4);
#else
  uint32_t result = 0;
  for (int l = 0; l < 8; ++l) result |= static_cast<uint32_t>(truth[l] & 1) << l;
  return result;
#endif
}

// The way back: a truth value from bits.
template <typename A>
inline typename Lanes<A>::Int truth(uint32_t word) {
  typename Lanes<A>::Int own;
  for (int l = 0; l < kLanes<A>; ++l) own[l] = 1 << l;
  const typename Lanes<A>::Int all = own - own + static_cast<int>(word);
  return (all & own) != 0;
}

// ---- weighted sums ------------------------------------------------------------------------------------------

// Calls finish(i, sum over r and k of w[r * taps + k] * rows[r][i * step + k]) for i < n, B at a time.
template <int B, int TAPS, int STEP, typename A, typename F>
inline void block(const Vec<A>* const* rows, int64_t count, const A* w, int64_t taps, int64_t step, int64_t i, F&& finish) {
  if (TAPS > 0) taps = TAPS, step = STEP;
  Vec<A> sum[B] = {};
  for (int64_t r = 0; r < count; ++r) {
    const Vec<A>* in = rows[r] + i * step;
    for (int64_t k = 0; k < taps; ++k) {
      const A weight = w[r * taps + k];
      for (int j = 0; j < B; ++j) sum[j] += weight * in[j * step + k];
    }
  }
  for (int j = 0; j < B; ++j) finish(i + j, sum[j]);
}

template <int TAPS, int STEP, typename A, typename F>
inline void blocks(const Vec<A>* const* rows, int64_t count, const A* w, int64_t taps, int64_t step, int64_t n, F&& finish) {
  constexpr int B = 8;
  if (n < B) {
    for (int64_t i = 0; i < n; ++i) block<1, TAPS, STEP>(rows, count, w, taps, step, i, finish);
  } else {  // the last block may overlap the one before
    for (int64_t i = 0; i < n; i += B) block<B, TAPS, STEP>(rows, count, w, taps, step, std::min(i, n - B), finish);
  }
}

template <typename A, typename F>
inline void correlate(const Vec<A>* const* rows, int64_t count, const A* w, int64_t taps, int64_t step, int64_t n, F&& finish) {
  if (taps == 1 && step == 1) return blocks<1, 1>(rows, count, w, taps, step, n, finish);
  if (taps == 6 && step == 1) return blocks<6, 1>(rows, count, w, taps, step, n, finish);
  if (taps == 12 && step == 2) return blocks<12, 2>(rows, count, w, taps, step, n, finish);
  if (taps == 24 && step == 4) return blocks<24, 4>(rows, count, w, taps, step, n, finish);
  blocks<0, 0>(rows, count, w, taps, step, n, finish);
}

// ---- between planes in memory and lanes ---------------------------------------------------------------------

// low = a0 b0 a1 b1 ..., high = the same of the upper halves.
template <typename A>
inline void interleave(const Vec<A>& a, const Vec<A>& b, Vec<A>& low, Vec<A>& high) {
  constexpr int n = kLanes<A>;
#if defined(__clang__)  // finds the shuffles by itself, and lacks the other compiler's name for them
  for (int l = 0; l < n; ++l) {
    low[l] = l % 2 ? b[l / 2] : a[l / 2];
    high[l] = l % 2 ? b[(n + l) / 2] : a[(n + l) / 2];
  }
#else
  typename Lanes<A>::Int from;
  for (int l = 0; l < n; ++l) from[l] = l / 2 + l % 2 * n;
  low = __builtin_shuffle(a, b, from);
  high = __builtin_shuffle(a, b, from + n / 2);
#endif
}

// Rows of a square become its columns: each round interleaves the upper half with the lower.
template <typename A>
inline void transpose(Vec<A>* v) {
  constexpr int n = kLanes<A>;
  for (int round = 1; round < n; round *= 2) {
    Vec<A> next[n];
    for (int i = 0; i < n / 2; ++i) interleave<A>(v[i], v[i + n / 2], next[2 * i], next[2 * i + 1]);
    for (int i = 0; i < n; ++i) v[i] = next[i];
  }
}

// [N, C, H, W] of any strides, seen as N * C planes. T may be const.
template <typename T>
struct Planes {
  T* data;
  int64_t count, channels, image, channel, row, column;

  T* plane(int64_t p) const { return data + p / channels * image + p % channels * channel; }
};

// One vector's planes, from `first` on. Lanes past the last plane repeat it when read and are not written.
template <typename T>
struct Group {
  using Item = std::remove_const_t<T>;
  using A = typename Element<Item>::Acc;
  static constexpr int n = kLanes<A>;
  T* lane[n];
  int64_t row, column;
  int used;
  bool adjacent = true;  // in memory, lane by lane

  Group(const Planes<T>& planes, int64_t first) : row(planes.row), column(planes.column) {
    used = static_cast<int>(std::min<int64_t>(n, planes.count - first));
    for (int l = 0; l < n; ++l) {
      lane[l] = planes.plane(first + std::min(l, used - 1));
      adjacent = adjacent && lane[l] == lane[0] + l;
    }
  }

  // out[i] = (y, x + i) + bias
  void load(int64_t y, int64_t x, int64_t count, const Vec<A>& bias, Vec<A>* out) const {
    const int64_t at = y * row + x * column;
    if (adjacent) {
      for (int64_t i = 0; i < count; ++i) out[i] = read(lane[0] + at + i * column) + bias;
    } else if (column == 1 && count >= n) {
      for (int64_t i = 0; i < count; i += n) {
        i = std::min(i, count - n);  // the last square may overlap the one before
        Vec<A> square[n];
        for (int l = 0; l < n; ++l) square[l] = read(lane[l] + at + i);
        transpose<A>(square);
        for (int l = 0; l < n; ++l) out[i + l] = square[l] + bias;
      }
    } else {
      for (int64_t i = 0; i < count; ++i) {
        for (int l = 0; l < n; ++l) out[i][l] = Element<Item>::load(lane[l] + at + i * column);
        out[i] += bias;
      }
    }
  }

  // (y, x + i) = in[i]
  void store(int64_t y, int64_t x, int64_t count, const Vec<A>* in) const {
    const int64_t at = y * row + x * column;
    if (adjacent) {
      for (int64_t i = 0; i < count; ++i) write(lane[0] + at + i * column, in[i]);
    } else if (column == 1 && count >= n) {
      for (int64_t i = 0; i < count; i += n) {
        i = std::min(i, count - n);
        Vec<A> square[n];
        for (int l = 0; l < n; ++l) square[l] = in[i + l];
        transpose<A>(square);
        for (int l = 0; l < used; ++l) write(lane[l] + at + i, square[l]);
      }
    } else {
      for (int64_t i = 0; i < count; ++i)
        for (int l = 0; l < used; ++l) Element<Item>::store(lane[l] + at + i * column, in[i][l]);
    }
  }

 private:
  static Vec<A> read(const Item* p) {
    A v[n];
    for (int l = 0; l < n; ++l) v[l] = Element<Item>::load(p + l);
    Vec<A> result;
    std::memcpy(&result, v, sizeof v);
    return result;
  }
  static void write(Item* p, const Vec<A>& value) {
    A v[n];
    std::memcpy(v, &value, sizeof v);
    for (int l = 0; l < n; ++l) Element<Item>::store(p + l, v[l]);
  }
};

}  // namespace ganinv
