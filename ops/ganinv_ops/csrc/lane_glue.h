// What upfirdn2d_cuda.cpp and epilogue_cuda.cpp share: pictures and a filter as the kernels take them.
#pragma once

#include <cmath>

#include "cuda_glue.h"
#include "upfirdn2d.h"

namespace ganinv {

// Holds what the pointers of `p` point to.
struct Lanes {
  at::Tensor x, y, taps;
  Upfirdn2d p{};

  Lanes(const at::Tensor& x_, const at::Tensor& y_, at::MemoryFormat format, const std::optional<at::Tensor>& f,
        at::IntArrayRef padding, double gain)
      : x(x_.contiguous(format)), y(y_) {
    for (const int64_t side : {x.size(1), x.size(2), x.size(3), y.size(2), y.size(3)})
      TORCH_CHECK_VALUE(side < (int64_t{1} << 28), "a side of ", side, " is too long for the CUDA kernel; use impl='ref'");
    const bool together = format == at::MemoryFormat::ChannelsLast;
    p.x = x.const_data_ptr();
    p.y = y.mutable_data_ptr();
    p.outer = together ? x.size(0) : x.size(0) * x.size(1);
    p.lanes = together ? static_cast<int>(x.size(1)) : 1;
    p.in_h = static_cast<int>(x.size(2)), p.in_w = static_cast<int>(x.size(3));
    p.out_h = static_cast<int>(y.size(2)), p.out_w = static_cast<int>(y.size(3));
    p.rows = p.columns = p.up_x = p.up_y = p.down_x = p.down_y = 1;
    p.left = static_cast<int>(padding[0]), p.top = static_cast<int>(padding[2]);
    p.separable = p.reversed = true;
    p.gain = 1.0f;
    if (!f) return;
    taps = f->to(at::kFloat).contiguous();
    p.taps = taps.const_data_ptr<float>();
    p.rows = static_cast<int>(f->size(0)), p.columns = static_cast<int>(f->size(-1));
    p.separable = f->dim() == 1;
    p.gain = static_cast<float>(p.separable ? std::sqrt(gain) : gain);
  }
};

}  // namespace ganinv
