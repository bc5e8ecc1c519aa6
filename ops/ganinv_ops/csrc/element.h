// What the CPU kernels share: the type they calculate in, and conversions that compilers turn into vector code.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstring>

namespace ganinv {

template <typename T>
struct Element {
  using Acc = T;
  static inline Acc load(const T* p) { return *p; }
  static inline void store(T* p, Acc v) { *p = v; }
};

// c10's own conversions branch on NaN, which keeps loops over them scalar; these select.
template <>
struct Element<c10::BFloat16> {
  using Acc = float;
  static inline float load(const c10::BFloat16* p) {
    const uint32_t bits = static_cast<uint32_t>(p->x) << 16;
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
  }
  static inline void store(c10::BFloat16* p, float v) {
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to nearest, ties to even
    p->x = static_cast<uint16_t>(v == v ? rounded : 0x7fc0u);
  }
};

}  // namespace ganinv
