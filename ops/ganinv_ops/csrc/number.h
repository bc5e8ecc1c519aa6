// The number types of the CUDA kernels: read and written as float, up to sixteen bytes at a time. What is for the host too can
// be tested there, in float32.
#pragma once

#include <cstdint>

#include "resample.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace ganinv {

enum FloatType { kFloat32, kFloat16, kBFloat16 };

template <typename T>
struct Number {
  GANINV_BOTH static float load(const T* p) { return static_cast<float>(*p); }
  GANINV_BOTH static void store(T* p, float v) { *p = static_cast<T>(v); }
};

#if defined(__CUDACC__)
template <>
struct Number<__half> {
  __device__ static float load(const __half* p) { return __half2float(*p); }
  __device__ static void store(__half* p, float v) { *p = __float2half_rn(v); }
};

template <>
struct Number<__nv_bfloat16> {
  __device__ static float load(const __nv_bfloat16* p) { return __bfloat162float(*p); }
  __device__ static void store(__nv_bfloat16* p, float v) { *p = __float2bfloat16_rn(v); }
};
#endif

constexpr int kPackBytes = 16;

// Numbers side by side that one access takes.
template <typename T, int V>
struct alignas(sizeof(T) * V) Pack {
  T at[V];
};

template <typename T, int V>
GANINV_BOTH void load_pack(const T* p, float (&v)[V]) {
  const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(p);
  for (int i = 0; i < V; ++i) v[i] = Number<T>::load(pack.at + i);
}

template <typename T, int V>
GANINV_BOTH void store_pack(T* p, const float (&v)[V]) {
  Pack<T, V> pack;
  for (int i = 0; i < V; ++i) Number<T>::store(pack.at + i, v[i]);
  *reinterpret_cast<Pack<T, V>*>(p) = pack;
}

inline bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % kPackBytes == 0; }

// Numbers of a type known only at run time; null for none. For what is read seldom.
struct Values {
  const void* data;
  FloatType type;

  GANINV_BOTH float operator[](int64_t i) const {
#if defined(__CUDA_ARCH__)
    if (type == kFloat16) return Number<__half>::load(static_cast<const __half*>(data) + i);
    if (type == kBFloat16) return Number<__nv_bfloat16>::load(static_cast<const __nv_bfloat16*>(data) + i);
#endif
    return static_cast<const float*>(data)[i];
  }
};

}  // namespace ganinv
