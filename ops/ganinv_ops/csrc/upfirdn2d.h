// The launchers of upfirdn2d.cu and epilogue.cu, for the files that PyTorch calls.
#pragma once

#include <cuda_runtime_api.h>

#include "upfirdn2d_lane.h"

namespace ganinv {

// They run on `stream` of the current device and choose p.segment; the result is not empty. They return 0 or an error of the
// CUDA runtime.
int launch_upfirdn2d(const Upfirdn2d& p, FloatType type, cudaStream_t stream);
int launch_epilogue(const Upfirdn2d& p, const LayerEnd& end, FloatType type, cudaStream_t stream);

}  // namespace ganinv
