// What PyTorch calls to run upfirdn2d.cu: fills in its arguments. Compiled only where PyTorch has CUDA.
#include "fir.h"
#include "lane_glue.h"

namespace {

at::Tensor upfirdn2d(const at::Tensor& x, const at::Tensor& f, at::IntArrayRef up, at::IntArrayRef down,
                     at::IntArrayRef padding, bool flip, double gain) {
  TORCH_CHECK(x.dim() == 4 && up.size() == 2 && down.size() == 2 && padding.size() == 4,
              "ganinv_ops::upfirdn2d_cuda: bad arguments");
  const c10::cuda::CUDAGuard guard(x.device());
  const auto format = ganinv::channels_last(x) ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  const int64_t height = (x.size(2) * up[1] + padding[2] + padding[3] - f.size(0)) / down[1] + 1;
  const int64_t width = (x.size(3) * up[0] + padding[0] + padding[1] - f.size(-1)) / down[0] + 1;
  const at::Tensor y = at::empty({x.size(0), x.size(1), height, width}, x.options().memory_format(format));
  if (y.numel() == 0) return y;
  if (x.numel() == 0) return y.zero_();
  ganinv::Lanes lanes(x, y, format, f, padding, gain);
  ganinv::Upfirdn2d& p = lanes.p;
  p.up_x = static_cast<int>(up[0]), p.up_y = static_cast<int>(up[1]);
  p.down_x = static_cast<int>(down[0]), p.down_y = static_cast<int>(down[1]);
  p.reversed = !flip;
  ganinv::check_launch(ganinv::launch_upfirdn2d(p, ganinv::float_type(x), c10::cuda::getCurrentCUDAStream()));
  return y;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(ganinv_ops, m) {
  m.def(
      "upfirdn2d_cuda(Tensor x, Tensor f, int[] up, int[] down, int[] padding, bool flip_filter, float gain) -> Tensor");
}

TORCH_LIBRARY_IMPL(ganinv_ops, CUDA, m) { m.impl("upfirdn2d_cuda", &upfirdn2d); }
