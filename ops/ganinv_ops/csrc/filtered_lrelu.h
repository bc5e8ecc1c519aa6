// The launcher of filtered_lrelu.cu, for filtered_lrelu_cuda.cpp.
#pragma once

#include <cuda_runtime_api.h>

#include "filtered_lrelu_tile.h"

namespace ganinv {

constexpr int kSharedBytes = 72 * 1024;  // a block may take as much, so that three fit a multiprocessor of the larger cards
constexpr int kOutsideLimits = -1;

// Runs on `stream` of the current device. Returns 0, an error of the CUDA runtime, or kOutsideLimits: even the smallest tile
// does not fit shared memory, and nothing was done.
int launch_filtered_lrelu(const FilteredLrelu& p, FloatType type, cudaStream_t stream);

}  // namespace ganinv
