// Upsample, pad, filter and downsample on the CPU; rows.h says how.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/library.h>

#include <algorithm>

#include "pages.h"
#include "rows.h"
#include "share.h"

namespace {

using ganinv::Axis;
using ganinv::Element;
using ganinv::Filter;
using ganinv::Rows;

constexpr int64_t kGrain = 16384;

at::Tensor upfirdn2d(const at::Tensor& x, const at::Tensor& f, at::IntArrayRef up, at::IntArrayRef down,
                     at::IntArrayRef padding, bool flip, double gain) {
  TORCH_CHECK(x.dim() == 4 && up.size() == 2 && down.size() == 2 && padding.size() == 4,
              "ganinv_ops::upfirdn2d: bad arguments");
  const auto format = ganinv::channels_last(x) ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  const int64_t height = (x.size(2) * up[1] + padding[2] + padding[3] - f.size(0)) / down[1] + 1;
  const int64_t width = (x.size(3) * up[0] + padding[0] + padding[1] - f.size(-1)) / down[0] + 1;
  at::Tensor out = at::empty({x.size(0), x.size(1), height, width}, x.options().memory_format(format));
  if (out.numel() == 0) return out;
  if (x.numel() == 0) return out.zero_();
  ganinv::large_pages(out);
  const at::Tensor dense = x.contiguous(format);
  const Axis ax(x.size(3), width, up[0], down[0], padding[0], f.size(-1));
  const Axis ay(x.size(2), height, up[1], down[1], padding[2], f.size(0));
  const int64_t channels = format == at::MemoryFormat::ChannelsLast ? x.size(1) : 1;
  const int64_t rows = x.size(0) * x.size(1) / channels * height;
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "ganinv_ops::upfirdn2d", [&] {
    using A = typename Element<scalar_t>::Acc;
    const Filter<A> filter(f, flip, gain);
    const Rows<scalar_t> job{dense.const_data_ptr<scalar_t>(), out.mutable_data_ptr<scalar_t>(), channels, ax, ay, filter,
                             out.nbytes()};
    ganinv::share(rows, std::max<int64_t>(1, kGrain / (width * channels)),
                     [&](int64_t begin, int64_t end) { job.run(begin, end, [](int64_t, A*) {}); });
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) { m.impl("upfirdn2d", &upfirdn2d); }
