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

// What filtered_lrelu does between its filters: activate; activate and keep a mask; multiply with what a mask tells.
enum Mode { kPlain, kKeep, kMasked };

}  // namespace ganinv
