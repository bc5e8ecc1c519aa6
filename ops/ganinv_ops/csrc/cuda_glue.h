// What the files that PyTorch calls to run CUDA kernels share.
#pragma once

#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <optional>

#include "number.h"

namespace ganinv {

inline FloatType float_type(const at::Tensor& x) {
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16,
              "ganinv_ops: the CUDA kernels take float32, float16 and bfloat16, not ", x.scalar_type());
  return x.scalar_type() == at::kHalf ? kFloat16 : x.scalar_type() == at::kBFloat16 ? kBFloat16 : kFloat32;
}

inline void check_launch(int result) { C10_CUDA_CHECK(static_cast<cudaError_t>(result)); }

// Numbers of t, whose memory `keep` holds while it lives.
inline Values values(const std::optional<at::Tensor>& t, at::Tensor& keep) {
  if (!t) return {nullptr, kFloat32};
  keep = (t->scalar_type() == at::kDouble ? t->to(at::kFloat) : *t).contiguous();
  return {keep.const_data_ptr(), float_type(keep)};
}

}  // namespace ganinv
