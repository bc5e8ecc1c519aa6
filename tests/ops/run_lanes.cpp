// Runs what the CUDA threads of bias_act, upfirdn2d and epilogue do, one after the other, on the host, in float32.
#include <vector>

#include "bias_act_pack.h"
#include "upfirdn2d_lane.h"

namespace {

template <int V, typename S, typename Finish>
void run_threads(const ganinv::Upfirdn2d& p, const Finish& finish, int64_t from, int64_t to, bool backwards) {
  const auto all = [&](const auto& weights) {
    for (int64_t i = 0; i < to - from; ++i)
      ganinv::run_lane<float, V, S>(p, weights, backwards ? to - 1 - i : from + i, finish);
  };
  if constexpr (S::kTaps > 0)
    all(ganinv::Weights<S::kTaps>(p));
  else
    all(0);
}

template <int V, typename Finish>
int64_t run(const ganinv::Upfirdn2d& p, const Finish& finish, int64_t last, bool backwards) {
  using ganinv::Shape;
  const int64_t threads = ganinv::thread_count<V>(p), from = last > 0 && last < threads ? threads - last : 0;
  ganinv::with_shape<Shape<1, 1, 1>, Shape<1, 1, 4>, Shape<2, 1, 4>, Shape<1, 2, 4>, Shape<1, 1, 12>, Shape<2, 1, 12>,
                     Shape<1, 2, 12>, ganinv::AnyShape>(p, [&](auto shape) {
    run_threads<V, decltype(shape)>(p, finish, from, threads, backwards);
    return 0;
  });
  return threads;
}

}  // namespace

// numbers: outer, lanes, in_h, in_w, out_h, out_w, rows, columns, separable, reversed, up_x, up_y, down_x, down_y, left, top,
// segment. Only the last `last` threads run, all if it is 0. end: factor, noise, bias, or null for upfirdn2d. Returns the number
// of threads there are, negative where numbers were read one by one.
extern "C" int64_t run_lanes(const float* x, float* y, const float* taps, const int64_t* numbers, float gain,
                             const float* const* end, const float* activation, int64_t noise_pictures, int64_t last,
                             bool backwards) {
  ganinv::Upfirdn2d p{};
  p.x = x, p.y = y, p.taps = taps, p.gain = gain;
  const int64_t* n = numbers;
  p.outer = *n++;
  for (int* target : {&p.lanes, &p.in_h, &p.in_w, &p.out_h, &p.out_w, &p.rows, &p.columns})
    *target = static_cast<int>(*n++);
  p.separable = *n++ != 0, p.reversed = *n++ != 0;
  for (int* target : {&p.up_x, &p.up_y, &p.down_x, &p.down_y, &p.left, &p.top, &p.segment}) *target = static_cast<int>(*n++);
  const bool packs = ganinv::in_packs<float>(p);
  if (!end) {
    const ganinv::Nothing nothing;
    return packs ? run<4>(p, nothing, last, backwards) : -run<1>(p, nothing, last, backwards);
  }
  ganinv::LayerEnd finish{};
  finish.factor.data = end[0], finish.noise.data = end[1], finish.bias.data = end[2];
  finish.noise_pictures = static_cast<int>(noise_pictures);
  finish.slope = activation[0], finish.gain = activation[1], finish.clamp = activation[2];
  return packs ? run<4>(p, finish, last, backwards) : -run<1>(p, finish, last, backwards);
}

// numbers: size, run, channels, act. Likewise.
extern "C" int64_t run_packs(const float* x, const float* upstream, float* y, const float* bias, const int64_t* numbers,
                             const float* activation, int64_t last) {
  ganinv::BiasAct p{};
  p.x = x, p.upstream = upstream, p.y = y, p.bias = bias;
  p.size = numbers[0], p.run = numbers[1], p.channels = numbers[2], p.act = static_cast<int>(numbers[3]);
  p.alpha = activation[0], p.gain = activation[1], p.clamp = activation[2];
  const bool packs = ganinv::in_packs(p);
  const int64_t threads = packs ? ganinv::thread_count<4>(p) : ganinv::thread_count<1>(p);
  for (int64_t i = last > 0 ? threads - last : 0; i < threads; ++i)
    packs ? ganinv::run_thread<float, 4>(p, i) : ganinv::run_thread<float, 1>(p, i);
  return packs ? threads : -threads;
}
