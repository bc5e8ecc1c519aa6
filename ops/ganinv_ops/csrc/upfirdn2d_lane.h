// What one CUDA thread of upfirdn2d and of epilogue does: a segment of one column of the output, for a pack of channels, from
// the top down. A row of the input is filtered along x once and kept in registers until the outputs that need it are done, so a
// separable filter takes one pass; the threads beside it read the same numbers, which the first cache level answers.
//
// Pictures are [outer, height, width, lanes]: channels_last has lanes = C, a plane for each channel has lanes = 1 and
// outer = N * C. Plain C++, so that a test runs it on the host.
#pragma once

#include <cstdint>

#include "number.h"
#include "resample.h"

namespace ganinv {

struct Upfirdn2d {
  const void* x;  // [outer, in_h, in_w, lanes], dense
  void* y;        // [outer, out_h, out_w, lanes], dense
  const float* taps;  // [columns] when separable, else [rows, columns]; null is one tap of 1
  int64_t outer;
  int lanes, in_h, in_w, out_h, out_w;
  int rows, columns;
  bool separable, reversed;  // reversed: a convolution
  float gain;                // of each tap
  int up_x, up_y, down_x, down_y, left, top;
  int segment;  // rows of output that one thread makes

  GANINV_BOTH float tap(int row, int column) const {
    if (!taps) return gain;
    if (reversed) row = rows - 1 - row, column = columns - 1 - column;
    return separable ? taps[row] * gain * (taps[column] * gain) : taps[row * columns + column] * gain;
  }
};

GANINV_BOTH inline float size_of(float v) { return v < 0 ? -v : v; }

// A filter of TAPS x TAPS taps as one filter per axis, where that gives the same numbers.
template <int TAPS>
struct Weights {
  float row[TAPS], column[TAPS];
  bool separable = true;

  GANINV_BOTH explicit Weights(const Upfirdn2d& p) {
    int y = 0, x = 0;  // of the largest tap
    for (int i = 0; i < TAPS; ++i)
      for (int j = 0; j < TAPS; ++j)
        if (size_of(p.tap(i, j)) > size_of(p.tap(y, x))) y = i, x = j;
    const float largest = p.tap(y, x);
    for (int k = 0; k < TAPS; ++k) {
      row[k] = p.tap(y, k);
      column[k] = largest == 0 ? 0.0f : p.tap(k, x) / largest;
    }
    for (int i = 0; i < TAPS; ++i)
      for (int j = 0; j < TAPS; ++j)
        if (!(size_of(column[i] * row[j] - p.tap(i, j)) <= 2e-7f * size_of(largest))) separable = false;
  }
};

// The work of one thread: rows [begin, end) of a column of the output, lanes [lane, lane + V).
struct Place {
  int64_t outer;
  int lane, column, begin, end;

  GANINV_BOTH Place(const Upfirdn2d& p, int64_t thread, int v) {
    const int packs = p.lanes / v, segments = static_cast<int>(ceil_div(p.out_h, p.segment));
    lane = static_cast<int>(thread % packs) * v;
    column = static_cast<int>(thread / packs % p.out_w);
    const int64_t rest = thread / packs / p.out_w;
    begin = static_cast<int>(rest % segments) * p.segment;
    end = begin + p.segment < p.out_h ? begin + p.segment : p.out_h;
    outer = rest / segments;
  }
};

template <int V>
int64_t thread_count(const Upfirdn2d& p) {
  return p.outer * ceil_div(p.out_h, p.segment) * p.out_w * (p.lanes / V);
}

// Every UP-th of the taps, from `first` < UP on. Indices stay constants, so that the weights stay in registers.
template <int UP, int TAPS>
GANINV_BOTH float every(const float (&taps)[TAPS], int first, int k) {
  float w = 0;
  for (int q = 0; q < UP; ++q)
    if (first == q && k * UP + q < TAPS) w = taps[k * UP + q];
  return w;
}

// The filter of Weights, where it is separable. UP divides TAPS. finish(row, v) has the last word on the V numbers of a pixel.
template <typename T, int V, int UP, int DOWN, int TAPS, typename Finish>
GANINV_BOTH void run_separable(const Upfirdn2d& p, const Weights<TAPS>& w, const Place& at, const Finish& finish) {
  constexpr int kUsed = TAPS / UP;  // samples that an output needs along one axis
  const Start across(at.column * DOWN, UP, p.left);
  float weight[kUsed], window[kUsed][V] = {};
  for (int k = 0; k < kUsed; ++k) weight[k] = every<UP>(w.row, across.tap, k);
  const T* x = static_cast<const T*>(p.x) + (at.outer * p.in_h * p.in_w + across.input) * p.lanes + at.lane;
  T* y = static_cast<T*>(p.y) + ((at.outer * p.out_h + at.begin) * p.out_w + at.column) * p.lanes + at.lane;
  int next = Start(at.begin * DOWN, UP, p.top).input;  // the input row that enters the window next
  for (int row = at.begin; row < at.end; ++row, y += int64_t{p.out_w} * p.lanes) {
    const Start down(row * DOWN, UP, p.top);
    for (; next < down.input + kUsed; ++next) {
      for (int k = 0; k + 1 < kUsed; ++k)
        for (int i = 0; i < V; ++i) window[k][i] = window[k + 1][i];
      for (int i = 0; i < V; ++i) window[kUsed - 1][i] = 0.0f;
      if (next < 0 || next >= p.in_h) continue;
      for (int k = 0; k < kUsed; ++k) {
        const int column = across.input + k;
        if (column < 0 || column >= p.in_w) continue;
        float v[V];
        load_pack(x + (int64_t{next} * p.in_w + k) * p.lanes, v);
        for (int i = 0; i < V; ++i) window[kUsed - 1][i] += weight[k] * v[i];
      }
    }
    float sum[V] = {};
    for (int k = 0; k < kUsed; ++k) {
      const float c = every<UP>(w.column, down.tap, k);
      for (int i = 0; i < V; ++i) sum[i] += c * window[k][i];
    }
    finish(row, sum);
    store_pack(y, sum);
  }
}

// Any filter, any factors: every tap of every output.
template <typename T, int V, typename Finish>
GANINV_BOTH void run_direct(const Upfirdn2d& p, const Place& at, const Finish& finish) {
  const Start across(at.column * p.down_x, p.up_x, p.left);
  const T* x = static_cast<const T*>(p.x) + at.outer * p.in_h * p.in_w * p.lanes + at.lane;
  T* y = static_cast<T*>(p.y) + ((at.outer * p.out_h + at.begin) * p.out_w + at.column) * p.lanes + at.lane;
  for (int row = at.begin; row < at.end; ++row, y += int64_t{p.out_w} * p.lanes) {
    const Start down(row * p.down_y, p.up_y, p.top);
    float sum[V] = {};
    for (int ty = down.tap, r = down.input; ty < p.rows; ty += p.up_y, ++r) {
      if (r < 0 || r >= p.in_h) continue;
      for (int tx = across.tap, c = across.input; tx < p.columns; tx += p.up_x, ++c) {
        if (c < 0 || c >= p.in_w) continue;
        float v[V];
        load_pack(x + (int64_t{r} * p.in_w + c) * p.lanes, v);
        const float tap = p.tap(ty, tx);
        for (int i = 0; i < V; ++i) sum[i] += tap * v[i];
      }
    }
    finish(row, sum);
    store_pack(y, sum);
  }
}

// The kernels that there are: a separable filter of TAPS taps with these factors along both axes, or any (TAPS = 0).
template <int UP_, int DOWN_, int TAPS_>
struct Shape {
  static constexpr int kUp = UP_, kDown = DOWN_, kTaps = TAPS_;
};

using AnyShape = Shape<1, 1, 0>;

// Calls f with the first of the shapes that does p; the last is AnyShape.
template <typename First, typename... Rest, typename F>
auto with_shape(const Upfirdn2d& p, const F& f) {
  if constexpr (sizeof...(Rest) == 0) {
    return f(First());
  } else {
    const bool factors = p.up_x == First::kUp && p.up_y == First::kUp && p.down_x == First::kDown && p.down_y == First::kDown;
    if (factors && p.rows == First::kTaps && p.columns == First::kTaps) return f(First());
    return with_shape<Rest...>(p, f);
  }
}

// What a thread does. `w`: Weights of the shape, which a block shares; unused where kTaps is 0.
template <typename T, int V, typename S, typename W, typename Finish>
GANINV_BOTH void run_lane(const Upfirdn2d& p, const W& w, int64_t thread, const Finish& finish) {
  const Place at(p, thread, V);
  const auto last = finish.template at<V>(p, at);
  if constexpr (S::kTaps > 0) {
    if (w.separable) return run_separable<T, V, S::kUp, S::kDown, S::kTaps>(p, w, at, last);
  }
  run_direct<T, V>(p, at, last);
}

// Whether all may be read and written in packs of V numbers of T.
template <typename T>
bool in_packs(const Upfirdn2d& p) {
  return p.lanes % static_cast<int>(kPackBytes / sizeof(T)) == 0 && aligned(p.x) && aligned(p.y);
}

// Leaves the result of the filter as it is.
struct Nothing {
  template <int V>
  struct At {
    GANINV_BOTH void operator()(int, float (&)[V]) const {}
  };
  template <int V>
  GANINV_BOTH At<V> at(const Upfirdn2d&, const Place&) const {
    return {};
  }
};

// y = clamp(gain * act(x * factor + noise + bias)), act a leaky ReLU; lanes are all channels.
struct LayerEnd {
  Values factor, noise, bias;  // [outer, lanes], [noise_pictures, out_h, out_w], [lanes]
  int noise_pictures;          // 1 or outer
  float slope, gain, clamp;    // a negative clamp is none

  template <int V>
  struct At {
    const LayerEnd& end;
    float scale[V], shift[V];
    int64_t grain;  // noise of row 0
    int width;

    GANINV_BOTH void operator()(int row, float (&v)[V]) const {
      const float level = end.noise.data ? end.noise[grain + int64_t{row} * width] : 0.0f;
      for (int i = 0; i < V; ++i) {
        float z = v[i] * scale[i] + (shift[i] + level);
        z = (z > 0 ? z : z * end.slope) * end.gain;
        if (end.clamp >= 0) z = z < -end.clamp ? -end.clamp : z > end.clamp ? end.clamp : z;  // lets NaN pass
        v[i] = z;
      }
    }
  };
  template <int V>
  GANINV_BOTH At<V> at(const Upfirdn2d& p, const Place& place) const {
    At<V> a{*this, {}, {}, 0, p.out_w};
    for (int i = 0; i < V; ++i) {
      a.scale[i] = factor.data ? factor[place.outer * p.lanes + place.lane + i] : 1.0f;
      a.shift[i] = bias.data ? bias[place.lane + i] : 0.0f;
    }
    a.grain = (noise_pictures > 1 ? place.outer : 0) * p.out_h * p.out_w + place.column;
    return a;
  }
};

}  // namespace ganinv
