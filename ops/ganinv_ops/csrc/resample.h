// What the CPU and the CUDA kernels share.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define GANINV_BOTH __host__ __device__
#else
#define GANINV_BOTH
#endif

namespace ganinv {

GANINV_BOTH inline int64_t ceil_div(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

// Where upsampled sample j begins along one axis: its first input, and the tap that meets it; further ones are `up` taps apart.
struct Start {
  int input, tap;

  GANINV_BOTH Start(int j, int up, int before) {
    input = static_cast<int>(ceil_div(j - before, up));
    tap = input * up - (j - before);
  }
};

// What filtered_lrelu does between its filters: activate; activate and keep a mask; multiply with what a mask tells.
enum Mode { kPlain, kKeep, kMasked };

}  // namespace ganinv
