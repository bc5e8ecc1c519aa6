// What follows the convolution in a layer of a style-based generator, in one pass on the CPU: an optional filter (the blur of
// a doubling layer), demodulation, noise, bias, leaky ReLU, gain and clamp. channels_last only.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "pages.h"
#include "parts.h"
#include "rows.h"
#include "share.h"
#include "writer.h"

namespace {

using ganinv::Axis;
using ganinv::Element;
using ganinv::Filter;
using ganinv::Rows;

constexpr int64_t kGrain = 16384;

// y = clamp(gain * act(x * factor + noise + bias)), a row of pixels at a time. What is absent is filled in, so that one loop
// without branches does all of it.
template <typename A>
struct Finish {
  const at::Tensor factor, noise, bias;  // [N, C], [N or 1, 1, H, W] or undefined, [C]
  int64_t channels, height, width;
  A slope, gain, limit;

  // Row p of all pictures; from and to may be the same.
  void row(int64_t p, const A* from, A* to) const {
    const int64_t picture = p / height;
    const A* scale = factor.const_data_ptr<A>() + picture * channels;
    const A* shift = bias.const_data_ptr<A>();
    const A* grain = nullptr;
    if (noise.defined())
      grain = noise.const_data_ptr<A>() + ((noise.size(0) > 1 ? picture : 0) * height + p % height) * width;
    for (int64_t x = 0; x < width; ++x, from += channels, to += channels) {
      const A level = grain ? grain[x] : A(0);
      for (int64_t c = 0; c < channels; ++c) {
        A v = from[c] * scale[c] + (shift[c] + level);
        v = (v > 0 ? v : v * slope) * gain;
        v = v > limit ? limit : v;  // these comparisons let NaN pass
        v = v < -limit ? -limit : v;
        to[c] = v;
      }
    }
  }
};

at::Tensor epilogue(const at::Tensor& x, const std::optional<at::Tensor>& f, at::IntArrayRef padding, double filter_gain,
                    const std::optional<at::Tensor>& factor, const std::optional<at::Tensor>& noise,
                    const std::optional<at::Tensor>& bias, double slope, double gain, double clamp) {
  TORCH_CHECK(x.dim() == 4 && padding.size() == 4, "ganinv_ops::epilogue: bad arguments");
  TORCH_CHECK(f || (padding[0] == 0 && padding[1] == 0 && padding[2] == 0 && padding[3] == 0),
              "ganinv_ops::epilogue: padding belongs to a filter");
  const int64_t height = x.size(2) + padding[2] + padding[3] - (f ? f->size(0) : 1) + 1;
  const int64_t width = x.size(3) + padding[0] + padding[1] - (f ? f->size(-1) : 1) + 1;
  at::Tensor y = at::empty({x.size(0), x.size(1), height, width}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
  ganinv::check_parts(y, factor, noise, bias);
  if (y.numel() == 0) return y;
  ganinv::large_pages(y);
  const at::Tensor dense = x.contiguous(at::MemoryFormat::ChannelsLast);
  const auto type = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor scale = factor ? factor->to(type).contiguous() : at::ones({x.size(0), x.size(1)}, type);
  const at::Tensor shift = bias ? bias->to(type).contiguous() : at::zeros({x.size(1)}, type);
  const at::Tensor grain = noise ? noise->to(type).contiguous() : at::Tensor();
  const int64_t grain_size = std::max<int64_t>(1, kGrain / (width * x.size(1)));
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "ganinv_ops::epilogue", [&] {
    using A = typename Element<scalar_t>::Acc;
    const A limit = clamp < 0 ? std::numeric_limits<A>::infinity() : static_cast<A>(clamp);
    const Finish<A> finish{scale, grain, shift, x.size(1), height, width, static_cast<A>(slope), static_cast<A>(gain), limit};
    const scalar_t* in = dense.const_data_ptr<scalar_t>();
    scalar_t* out = y.mutable_data_ptr<scalar_t>();
    const int64_t line = width * x.size(1);
    if (!f) {
      ganinv::share(x.size(0) * height, grain_size, [&](int64_t begin, int64_t end) {
        std::vector<A> row(line);
        const ganinv::Writer<scalar_t> writer(y.nbytes());
        for (int64_t p = begin; p < end; ++p) {
          for (int64_t i = 0; i < line; ++i) row[i] = Element<scalar_t>::load(in + p * line + i);
          finish.row(p, row.data(), row.data());
          writer.write(out + p * line, row.data(), line);
        }
      });
      return;
    }
    const Axis ax(x.size(3), width, 1, 1, padding[0], f->size(-1)), ay(x.size(2), height, 1, 1, padding[2], f->size(0));
    const Filter<A> filter(*f, false, filter_gain);
    const Rows<scalar_t> rows{in, out, x.size(1), ax, ay, filter, y.nbytes()};
    ganinv::share(x.size(0) * height, grain_size, [&](int64_t begin, int64_t end) {
      rows.run(begin, end, [&](int64_t p, A* row) { finish.row(p, row, row); });
    });
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) { m.impl("epilogue", &epilogue); }
