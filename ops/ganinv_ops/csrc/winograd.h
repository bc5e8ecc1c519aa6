// What the convolutions by Winograd's algorithm share: pixels as vectors of channels, whatever their type, and weights at the
// positions of a transformed tile, packed for the products of gemm.h.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <vector>

#include "gemm.h"
#include "pages.h"

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

// [O, I, 3, 3] -> for each position a packed matrix [I, O]; `matrix` [36, 9] turns the 9 weights of a pair of channels into the
// numbers at all positions. Weights are read once: those of kLane outputs and one input stay in registers meanwhile.
inline at::Tensor transform_weights(const at::Tensor& w, const std::vector<float>& matrix) {
  const int64_t out = w.size(0), in = w.size(1), width = panel_width(out);
  const at::Tensor dense = w.to(at::kFloat).contiguous();
  const float* source = dense.const_data_ptr<float>();
  at::Tensor packed = at::empty({kPositions, in, out}, at::kFloat);
  large_pages(packed);
  float* target = packed.mutable_data_ptr<float>();
  at::parallel_for(0, out / kLane * in, 64, [&](int64_t begin, int64_t end) {
    for (int64_t job = begin; job < end; ++job) {
      const int64_t o = job / in * kLane, i = job % in;
      Vector taps[9];
      for (int k = 0; k < 9; ++k)
        for (int l = 0; l < kLane; ++l) taps[k][l] = source[((o + l) * in + i) * 9 + k];
      float* to = target + o / width * width * in + i * width + o % width;
      const float* f = matrix.data();
      for (int64_t p = 0; p < kPositions; ++p, f += 9, to += in * out) {
        Vector sum = f[0] * taps[0];
        for (int k = 1; k < 9; ++k) sum += f[k] * taps[k];
        store(to, sum);
      }
    }
  });
  return packed;
}

inline void check_weights(const at::Tensor& w) {
  TORCH_CHECK(w.dim() == 4 && w.size(2) == 3 && w.size(3) == 3 && w.size(0) % 16 == 0 && w.size(1) % 16 == 0,
              "ganinv_ops::winograd: weights are [O, I, 3, 3], O and I multiples of 16");
}

// What both convolutions read through raw pointers.
inline void check_layer(const at::Tensor& x, const at::Tensor& w, const at::Tensor& transformed, const at::Tensor& styles) {
  TORCH_CHECK(x.dim() == 4 && w.dim() == 4 && w.size(1) == x.size(1), "ganinv_ops::winograd: bad arguments");
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, "ganinv_ops::winograd: float32 or bfloat16");
  TORCH_CHECK_VALUE(styles.sizes() == at::IntArrayRef({x.size(0), x.size(1)}), "styles have shape ", styles.sizes(), "; give [",
                    x.size(0), ", ", x.size(1), "]");
  TORCH_CHECK(transformed.sizes() == at::IntArrayRef({kPositions, w.size(1), w.size(0)}) && transformed.is_contiguous() &&
                  transformed.scalar_type() == at::kFloat,
              "ganinv_ops::winograd: these are no transformed weights");
}

}  // namespace ganinv
