// What PyTorch calls to run filtered_lrelu.cu: fills in its arguments. Compiled only where PyTorch has CUDA.
#include <algorithm>
#include <optional>

#include "cuda_glue.h"
#include "filtered_lrelu.h"

namespace {

ganinv::Taps taps(const at::Tensor& f) {
  return {f.const_data_ptr<float>(), static_cast<int>(f.size(0)), static_cast<int>(f.size(-1)), f.dim() == 1};
}

// Fills y, and the mask if `keep`; without a mask only y; with a mask and no `keep`, the mask takes the activation's place.
// first, second: float32, scaled, in the order of a correlation. False: outside the kernel's limits, nothing was done.
bool filtered_lrelu_tiles(const at::Tensor& x, const at::Tensor& y, const std::optional<at::Tensor>& mask,
                          const at::Tensor& first, const at::Tensor& second, const std::optional<at::Tensor>& b, int64_t up,
                          int64_t down, at::IntArrayRef padding_up, at::IntArrayRef padding_down, double gain, double slope,
                          double clamp, bool keep) {
  TORCH_CHECK(x.dim() == 4 && y.dim() == 4 && x.scalar_type() == y.scalar_type() && padding_up.size() == 4 &&
                  padding_down.size() == 4 && first.is_contiguous() && second.is_contiguous(),
              "ganinv_ops::filtered_lrelu_tiles: bad arguments");
  const c10::cuda::CUDAGuard guard(x.device());
  const at::Tensor bias = b.has_value() ? b->to(at::kFloat).contiguous() : at::Tensor();
  ganinv::FilteredLrelu p{};
  p.x = x.const_data_ptr();
  p.y = y.mutable_data_ptr();
  p.bias = b.has_value() ? bias.const_data_ptr<float>() : nullptr;
  std::copy(x.strides().begin(), x.strides().end(), p.x_strides);
  std::copy(y.strides().begin(), y.strides().end(), p.y_strides);
  p.planes = x.size(0) * x.size(1);
  p.channels = static_cast<int>(x.size(1));
  p.in_h = static_cast<int>(x.size(2)), p.in_w = static_cast<int>(x.size(3));
  p.out_h = static_cast<int>(y.size(2)), p.out_w = static_cast<int>(y.size(3));
  p.first = taps(first), p.second = taps(second);
  p.up = static_cast<int>(up), p.down = static_cast<int>(down);
  p.up_left = static_cast<int>(padding_up[0]), p.up_top = static_cast<int>(padding_up[2]);
  p.down_left = static_cast<int>(padding_down[0]), p.down_top = static_cast<int>(padding_down[2]);
  p.mid_h = static_cast<int>(p.in_h * up + padding_up[2] + padding_up[3]) - p.first.rows + 1;
  p.mid_w = static_cast<int>(p.in_w * up + padding_up[0] + padding_up[1]) - p.first.columns + 1;
  p.mode = ganinv::kPlain;
  if (mask.has_value()) {
    TORCH_CHECK(mask->dim() == 4 && mask->is_contiguous() && mask->size(2) == p.mid_h && mask->size(3) == p.mid_w,
                "ganinv_ops::filtered_lrelu_tiles: bad mask");
    p.mode = keep ? ganinv::kKeep : ganinv::kMasked;
    p.mask = mask->mutable_data_ptr<uint8_t>();
    p.mask_pictures = static_cast<int>(mask->size(0));
  }
  p.gain = static_cast<float>(gain), p.slope = static_cast<float>(slope), p.clamp = static_cast<float>(clamp);
  if (y.numel() == 0) return true;
  const int result = ganinv::launch_filtered_lrelu(p, ganinv::float_type(x), c10::cuda::getCurrentCUDAStream());
  if (result == ganinv::kOutsideLimits) return false;
  ganinv::check_launch(result);
  return true;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(ganinv_ops, m) {
  m.def(
      "filtered_lrelu_tiles(Tensor x, Tensor(a!) y, Tensor(b!)? mask, Tensor first, Tensor second, Tensor? b, int up, "
      "int down, int[] padding_up, int[] padding_down, float gain, float slope, float clamp, bool keep) -> bool");
}

TORCH_LIBRARY_IMPL(ganinv_ops, CUDA, m) { m.impl("filtered_lrelu_tiles", &filtered_lrelu_tiles); }
