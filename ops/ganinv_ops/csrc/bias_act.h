// The launcher of bias_act.cu, for bias_act_cuda.cpp.
#pragma once

#include <cuda_runtime_api.h>

#include "bias_act_pack.h"

namespace ganinv {

// Runs on `stream` of the current device; x is not empty. Returns 0 or an error of the CUDA runtime.
int launch_bias_act(const BiasAct& p, FloatType type, cudaStream_t stream);

}  // namespace ganinv
