// How results leave for memory.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "element.h"

namespace ganinv {

constexpr size_t kPastCache = size_t{32} << 20;  // bytes of a result of which no cache holds much when it is read again

// Stores past the cache are seen by other threads from here on.
inline void settle_stores() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

// Stores numbers of the calculating type as T. A large result goes past the cache: an ordinary store reads the old line first,
// which is a third of all that an elementwise operation moves. One for each thread: it waits for its last stores when it ends.
template <typename T>
class Writer {
 public:
  using A = typename Element<T>::Acc;
  const bool past_cache;

  explicit Writer(size_t bytes) : past_cache(kCan && bytes >= kPastCache) {}
  Writer(const Writer&) = delete;
  ~Writer() {
    if (past_cache) settle_stores();
  }

  void write(T* to, const A* from, int64_t n) const {
    if (!past_cache) return ordinary(to, from, n);
    const int64_t odd = (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine / static_cast<int64_t>(sizeof(T));
    const int64_t head = std::min(n, odd), whole = (n - head) / kStep * kStep;
    ordinary(to, from, head);
    for (int64_t i = head; i < head + whole; i += kStep) line(to + i, from + i);
    ordinary(to + head + whole, from + head + whole, n - head - whole);
  }

 private:
  static constexpr int64_t kLine = 64, kStep = kLine / sizeof(T);
#if defined(__AVX2__)
  static constexpr bool kCan = true;
#else
  static constexpr bool kCan = false;
#endif

  static void ordinary(T* to, const A* from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) Element<T>::store(to + i, from[i]);
  }

  static void line(T* to, const A* from) {
#if defined(__AVX2__)
    alignas(kLine) T numbers[kStep];
    ordinary(numbers, from, kStep);
    const __m256i* v = reinterpret_cast<const __m256i*>(numbers);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), v[0]);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to) + 1, v[1]);
#else
    ordinary(to, from, kStep);
#endif
  }
};

}  // namespace ganinv
