// What PyTorch calls to run epilogue.cu: fills in its arguments. Compiled only where PyTorch has CUDA.
#include "lane_glue.h"
#include "parts.h"

namespace {

at::Tensor epilogue(const at::Tensor& x, const std::optional<at::Tensor>& f, at::IntArrayRef padding, double filter_gain,
                    const std::optional<at::Tensor>& factor, const std::optional<at::Tensor>& noise,
                    const std::optional<at::Tensor>& bias, double slope, double gain, double clamp) {
  TORCH_CHECK(x.dim() == 4 && padding.size() == 4, "ganinv_ops::epilogue_cuda: bad arguments");
  const c10::cuda::CUDAGuard guard(x.device());
  const auto format = at::MemoryFormat::ChannelsLast;
  const int64_t height = x.size(2) + padding[2] + padding[3] - (f ? f->size(0) : 1) + 1;
  const int64_t width = x.size(3) + padding[0] + padding[1] - (f ? f->size(-1) : 1) + 1;
  const at::Tensor y = at::empty({x.size(0), x.size(1), height, width}, x.options().memory_format(format));
  ganinv::check_parts(y, factor, noise, bias);
  if (y.numel() == 0) return y;
  const ganinv::Lanes lanes(x, y, format, f, padding, filter_gain);
  at::Tensor kept[3];
  ganinv::LayerEnd end{};
  end.factor = ganinv::values(factor, kept[0]);
  end.noise = ganinv::values(noise, kept[1]);
  end.bias = ganinv::values(bias, kept[2]);
  end.noise_pictures = noise ? static_cast<int>(noise->size(0)) : 1;
  end.slope = static_cast<float>(slope), end.gain = static_cast<float>(gain), end.clamp = static_cast<float>(clamp);
  ganinv::check_launch(ganinv::launch_epilogue(lanes.p, end, ganinv::float_type(x), c10::cuda::getCurrentCUDAStream()));
  return y;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(ganinv_ops, m) {
  m.def(
      "epilogue_cuda(Tensor x, Tensor? f, int[] padding, float filter_gain, Tensor? factor, Tensor? noise, Tensor? bias, "
      "float slope, float gain, float clamp) -> Tensor");
}

TORCH_LIBRARY_IMPL(ganinv_ops, CUDA, m) { m.impl("epilogue_cuda", &epilogue); }
