// The gradient of `epilogue` (without its filter) on the CPU, in one pass over the result's gradient and the result.
// Leaky ReLU, gain and clamp keep the sign, so the result tells its own slope, and what it was made of. channels_last only.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "element.h"
#include "pages.h"
#include "parts.h"
#include "share.h"
#include "writer.h"

namespace {

using ganinv::Element;

constexpr int64_t kChunks = 16;  // of a picture's rows; sums of each are added in order, so threads change no bit
constexpr int64_t kLanes = 16;   // sums over channels that do not wait for one another

template <typename A>
struct Settings {
  A slope, gain, limit;  // the limit is NaN where there is none: no number is at or beyond it
};

// A row of pixels: dz is the gradient to what the activation saw, s that less the noise. to = dz * factor; dz and dz * s are
// added to sums of C numbers each; dz summed over channels is each pixel's grain, where that is wanted.
template <typename T, typename A>
void row(const T* dy, const T* y, const A* factor, const A* noise, int64_t width, int64_t channels, const Settings<A>& s,
         A* __restrict to, A* __restrict dz_sum, A* __restrict product_sum, A* grain) {
  const A steep = s.gain, flat = s.gain * s.slope, back = A(1) / steep, back_flat = A(1) / flat;
  for (int64_t x = 0; x < width; ++x, dy += channels, y += channels, to += channels) {
    const A level = noise ? noise[x] : A(0);
    for (int64_t c = 0; c < channels; ++c) {
      const A v = Element<T>::load(y + c), g = Element<T>::load(dy + c);
      const A dz = std::abs(v) >= s.limit ? A(0) : g * (v > 0 ? steep : flat);
      dz_sum[c] += dz;
      product_sum[c] += dz * (v * (v > 0 ? back : back_flat) - level);
      to[c] = dz;
    }
    if (grain) {
      A lanes[kLanes] = {};
      for (int64_t c = 0; c < channels; ++c) lanes[c % kLanes] += to[c];
      for (const A part : lanes) grain[x] += part;
    }
    for (int64_t c = 0; c < channels; ++c) to[c] *= factor[c];
  }
}

// Gradients to x, summed over pixels [N, C] to what is added and to that times what was added to the noise, and to the noise
// [N, 1, H, W] (empty if not wanted).
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> epilogue_grad(const at::Tensor& dy, const at::Tensor& y,
                                                                         const std::optional<at::Tensor>& factor,
                                                                         const std::optional<at::Tensor>& noise, double slope,
                                                                         double gain, double clamp, bool for_noise) {
  TORCH_CHECK(y.dim() == 4 && dy.sizes() == y.sizes() && dy.scalar_type() == y.scalar_type(),
              "ganinv_ops::epilogue_grad: bad arguments");
  ganinv::check_parts(y, factor, noise, std::nullopt);
  const int64_t n = y.size(0), channels = y.size(1), height = y.size(2), width = y.size(3), line = width * channels;
  const int64_t chunks = std::min(kChunks, std::max<int64_t>(1, height));
  const auto type = y.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor result = y.contiguous(at::MemoryFormat::ChannelsLast), above = dy.contiguous(at::MemoryFormat::ChannelsLast);
  at::Tensor dx = at::empty_like(result);
  at::Tensor sums = at::zeros({2, n, chunks, channels}, y.options().dtype(type).memory_format(at::MemoryFormat::Contiguous));
  at::Tensor grains = at::zeros({for_noise ? n : 0, 1, height, width}, sums.options());
  ganinv::large_pages(dx);
  const at::Tensor scale = factor ? factor->to(type).contiguous() : at::ones({n, channels}, type);
  const at::Tensor level = noise ? noise->to(type).contiguous() : at::Tensor();
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, y.scalar_type(), "ganinv_ops::epilogue_grad", [&] {
    using A = typename Element<scalar_t>::Acc;
    const Settings<A> settings{static_cast<A>(slope), static_cast<A>(gain),
                               clamp < 0 ? std::numeric_limits<A>::quiet_NaN() : static_cast<A>(clamp)};
    const scalar_t *from = above.const_data_ptr<scalar_t>(), *made = result.const_data_ptr<scalar_t>();
    scalar_t* out = dx.mutable_data_ptr<scalar_t>();
    const A *factors = scale.const_data_ptr<A>(), *levels = noise ? level.const_data_ptr<A>() : nullptr;
    A *sum = sums.mutable_data_ptr<A>(), *grain = for_noise ? grains.mutable_data_ptr<A>() : nullptr;
    ganinv::share(n * chunks, 1, [&](int64_t begin, int64_t end) {
      std::vector<A> numbers(line), of_row(2 * channels);  // a row's sums first: adding up all pixels in one would lose digits
      const ganinv::Writer<scalar_t> writer(dx.nbytes());
      for (int64_t i = begin; i < end; ++i) {
        const int64_t picture = i / chunks, chunk = i % chunks;
        for (int64_t r = height * chunk / chunks; r < height * (chunk + 1) / chunks; ++r) {
          const int64_t p = picture * height + r;
          std::fill(of_row.begin(), of_row.end(), A(0));
          row(from + p * line, made + p * line, factors + picture * channels,
              levels ? levels + ((level.size(0) > 1 ? picture : 0) * height + r) * width : nullptr, width, channels, settings,
              numbers.data(), of_row.data(), of_row.data() + channels, grain ? grain + p * width : nullptr);
          writer.write(out + p * line, numbers.data(), line);
          for (int64_t k = 0; k < 2; ++k)
            for (int64_t c = 0; c < channels; ++c) sum[(k * n * chunks + i) * channels + c] += of_row[k * channels + c];
        }
      }
    });
  });
  const at::Tensor totals = sums.sum(2);
  return {dx, totals[0], totals[1], grains};
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) { m.impl("epilogue_grad", &epilogue_grad); }
