// What takes part in a layer beside the picture, checked before raw pointers read it.
#pragma once

#include <ATen/ATen.h>

#include <optional>

namespace ganinv {

// Raises for a factor that is not [N, C], noise that is not [N or 1, 1, H, W], or a bias that is not [C] of the result y.
inline void check_parts(const at::Tensor& y, const std::optional<at::Tensor>& factor, const std::optional<at::Tensor>& noise,
                        const std::optional<at::Tensor>& bias) {
  const int64_t n = y.size(0), channels = y.size(1);
  TORCH_CHECK_VALUE(!factor || factor->sizes() == at::IntArrayRef({n, channels}), "factor has shape ", factor->sizes(),
                    "; give [", n, ", ", channels, "]");
  TORCH_CHECK_VALUE(!bias || bias->sizes() == at::IntArrayRef({channels}), "bias has shape ", bias->sizes(), "; give [",
                    channels, "]");
  TORCH_CHECK_VALUE(!noise || noise->sizes() == at::IntArrayRef({n, 1, y.size(2), y.size(3)}) ||
                        noise->sizes() == at::IntArrayRef({1, 1, y.size(2), y.size(3)}),
                    "noise has shape ", noise->sizes(), "; give [", n, " or 1, 1, ", y.size(2), ", ", y.size(3), "]");
}

}  // namespace ganinv
