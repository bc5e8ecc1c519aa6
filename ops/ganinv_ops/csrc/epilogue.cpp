// What follows the convolution in a layer of a style-based generator, in one pass on the CPU: an optional filter (the blur of
// a doubling layer), demodulation, noise, bias, leaky ReLU, gain and clamp. channels_last only.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>

#include "pages.h"
#include "rows.h"

namespace {

using ganinv::Axis;
using ganinv::Element;
using ganinv::Filter;
using ganinv::Rows;

constexpr int64_t kGrain = 16384;

at::Tensor dense_like(const std::optional<at::Tensor>& t, const at::Tensor& x) {
  const auto type = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return t ? t->to(type).contiguous() : at::Tensor();
}

template <typename A>
const A* data(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<A>() : nullptr;
}

// y = clamp(gain * act(y * factor + noise + bias)) on rows of `width` pixels of `channels` numbers.
template <typename A>
struct Finish {
  const A *factor, *noise, *bias;  // [N, C], [N or 1, H, W], [C], or null
  int64_t channels, height, width, noise_stride;
  A slope, gain, clamp;

  void operator()(int64_t p, A* row) const {
    const int64_t picture = p / height;
    const A* scale = factor ? factor + picture * channels : nullptr;
    const A* grain = noise ? noise + picture * noise_stride + p % height * width : nullptr;
    for (int64_t x = 0; x < width; ++x, row += channels) {
      if (scale)
        for (int64_t c = 0; c < channels; ++c) row[c] *= scale[c];
      const A level = grain ? grain[x] : A(0);
      if (bias)
        for (int64_t c = 0; c < channels; ++c) row[c] += level + bias[c];
      else if (grain)
        for (int64_t c = 0; c < channels; ++c) row[c] += level;
      for (int64_t c = 0; c < channels; ++c) row[c] = (row[c] > 0 ? row[c] : row[c] * slope) * gain;
      if (clamp >= 0)
        for (int64_t c = 0; c < channels; ++c) {
          row[c] = row[c] > clamp ? clamp : row[c];
          row[c] = row[c] < -clamp ? -clamp : row[c];
        }
    }
  }
};

at::Tensor epilogue(const at::Tensor& x, const std::optional<at::Tensor>& f, at::IntArrayRef padding, double filter_gain,
                    const std::optional<at::Tensor>& factor, const std::optional<at::Tensor>& noise,
                    const std::optional<at::Tensor>& bias, double slope, double gain, double clamp) {
  TORCH_CHECK(x.dim() == 4 && padding.size() == 4, "ganinv_ops::epilogue: bad arguments");
  const at::Tensor taps = f ? *f : at::ones({1}, at::kFloat);
  const int64_t height = x.size(2) + padding[2] + padding[3] - taps.size(0) + 1;
  const int64_t width = x.size(3) + padding[0] + padding[1] - taps.size(-1) + 1;
  at::Tensor y = at::empty({x.size(0), x.size(1), height, width}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
  if (y.numel() == 0) return y;
  ganinv::large_pages(y);
  const at::Tensor dense = x.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor scale = dense_like(factor, x), grain = dense_like(noise, x), shift = dense_like(bias, x);
  const Axis ax(x.size(3), width, 1, 1, padding[0], taps.size(-1)), ay(x.size(2), height, 1, 1, padding[2], taps.size(0));
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "ganinv_ops::epilogue", [&] {
    using A = typename Element<scalar_t>::Acc;
    const Filter<A> filter(taps, false, f ? filter_gain : 1.0);
    const Rows<scalar_t> rows{dense.const_data_ptr<scalar_t>(), y.mutable_data_ptr<scalar_t>(), x.size(1), ax, ay, filter};
    const Finish<A> finish{data<A>(scale), data<A>(grain), data<A>(shift), x.size(1), height, width,
                           grain.defined() && grain.size(0) > 1 ? height * width : 0, static_cast<A>(slope), static_cast<A>(gain),
                           static_cast<A>(clamp)};
    at::parallel_for(0, x.size(0) * height, std::max<int64_t>(1, kGrain / (width * x.size(1))),
                     [&](int64_t begin, int64_t end) { rows.run(begin, end, finish); });
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) { m.impl("epilogue", &epilogue); }
