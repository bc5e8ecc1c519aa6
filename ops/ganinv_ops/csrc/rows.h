// Filtering pictures row by row: what upfirdn2d and epilogue share.
//
// The input rows that an output row needs are combined into one row of the calculating type, zero-padded at both ends, which is
// then filtered along x. Inserted zeros are never touched: outputs come in a few phases, each with its own short list of taps.
// [N, C, H, W] in channels_last has rows of W pixels of C numbers; plain layout is the same with N * C pictures of one channel.
#pragma once

#include <algorithm>
#include <vector>

#include "element.h"
#include "fir.h"
#include "writer.h"

namespace ganinv {

// ---- weighted sums ------------------------------------------------------------------------------------------

// out[i] (+)= sum over k < K of w[k] * in[k][i]
template <int K, typename T, typename A>
inline void mix(const T* const* in, const A* w, A* out, int64_t n, bool add) {
  const T* p[K];
  A v[K];
  for (int k = 0; k < K; ++k) {
    p[k] = in[k];
    v[k] = w[k];
  }
  if (add) {
    for (int64_t i = 0; i < n; ++i) {
      A sum = out[i];
      for (int k = 0; k < K; ++k) sum += v[k] * Element<T>::load(p[k] + i);
      out[i] = sum;
    }
  } else {
    for (int64_t i = 0; i < n; ++i) {
      A sum = v[0] * Element<T>::load(p[0] + i);
      for (int k = 1; k < K; ++k) sum += v[k] * Element<T>::load(p[k] + i);
      out[i] = sum;
    }
  }
}

// Four sources a sweep, so that the sum is stored once per four taps.
template <typename T, typename A>
inline void weighted_sum(const T* const* in, const A* w, int64_t count, A* out, int64_t n, bool add) {
  if (count == 0 && !add) std::fill(out, out + n, A(0));
  for (int64_t k = 0; k < count; k += 4, add = true) {
    switch (std::min<int64_t>(4, count - k)) {
      case 1: mix<1>(in + k, w + k, out, n, add); break;
      case 2: mix<2>(in + k, w + k, out, n, add); break;
      case 3: mix<3>(in + k, w + k, out, n, add); break;
      default: mix<4>(in + k, w + k, out, n, add);
    }
  }
}

// ---- along x ------------------------------------------------------------------------------------------------

// Few channels C: loops over them are too short to be vector code, so pixels are. STEP pixels lie between outputs, ADVANCE
// between inputs; as constants they let the compiler shuffle instead of gather.
template <int C, int STEP, int ADVANCE, int TAPS, typename A>
inline void pixels_fixed(const A* in, const A* w, A* out, int64_t n, bool add) {
  A v[TAPS];
  std::copy(w, w + TAPS, v);
  for (int64_t i = 0; i < n; ++i) {
    for (int c = 0; c < C; ++c) {
      const A* p = in + i * ADVANCE * C + c;
      A sum = v[0] * p[0];
      for (int k = 1; k < TAPS; ++k) sum += v[k] * p[k * C];
      A* target = out + i * STEP * C + c;
      *target = add ? *target + sum : sum;
    }
  }
}

template <int C, typename A>
inline void pixels(const A* in, const A* w, int64_t taps, A* out, int64_t n, int64_t step, int64_t advance, bool add) {
  if (step == 2 && advance == 1 && taps == 2) return pixels_fixed<C, 2, 1, 2>(in, w, out, n, add);
  if (step == 1 && advance == 2 && taps == 4) return pixels_fixed<C, 1, 2, 4>(in, w, out, n, add);
  for (int64_t i = 0; i < n; ++i, in += advance * C, out += step * C) {
    for (int c = 0; c < C; ++c) {
      A sum = add ? out[c] : A(0);
      for (int64_t k = 0; k < taps; ++k) sum += w[k] * in[k * C + c];
      out[c] = sum;
    }
  }
}

template <typename A>
struct Sweep {
  const Axis& axis;
  int64_t channels, before;
  std::vector<const A*> sources;
  std::vector<std::vector<A>> table;  // weights of each phase

  Sweep(const Axis& axis_, int64_t channels_)
      : axis(axis_), channels(channels_), before(axis_.before()), table(axis_.period) {}

  // taps: the filter along x.
  void prepare(const A* taps) {
    for (int64_t r = 0; r < axis.period; ++r) {
      table[r].clear();
      for (int64_t k : axis.phases[r].taps) table[r].push_back(taps[k]);
    }
  }

  // row: padded input of the calculating type; out: axis.out pixels.
  void run(const A* row, A* out, bool add) {
    for (int64_t r = 0; r < axis.period; ++r) {
      const Phase& phase = axis.phases[r];
      const std::vector<A>& weights = table[r];
      const int64_t n = axis.count(r), used = static_cast<int64_t>(weights.size());
      sources.resize(used);
      for (int64_t k = 0; k < used; ++k) sources[k] = row + (phase.start + before + k) * channels;
      if (axis.period == 1 && axis.advance == 1) {
        weighted_sum(sources.data(), weights.data(), used, out, n * channels, add);  // neighbours in memory throughout
      } else if (channels <= 4) {
        few(row + (phase.start + before) * channels, weights, out + r * channels, n, add);
      } else {
        for (int64_t i = 0; i < n; ++i) {
          weighted_sum(sources.data(), weights.data(), used, out + (r + i * axis.period) * channels, channels, add);
          for (const A*& p : sources) p += axis.advance * channels;
        }
      }
    }
  }

 private:
  void few(const A* in, const std::vector<A>& weights, A* out, int64_t n, bool add) {
    const A* w = weights.data();
    const int64_t used = static_cast<int64_t>(weights.size());
    switch (channels) {
      case 1: return pixels<1>(in, w, used, out, n, axis.period, axis.advance, add);
      case 2: return pixels<2>(in, w, used, out, n, axis.period, axis.advance, add);
      case 3: return pixels<3>(in, w, used, out, n, axis.period, axis.advance, add);
      default: return pixels<4>(in, w, used, out, n, axis.period, axis.advance, add);
    }
  }
};

// ---- row by row ---------------------------------------------------------------------------------------------

// What upfirdn2d makes of pictures [in rows, in pixels, channels], a row of outputs at a time.
template <typename T>
struct Rows {
  using A = typename Element<T>::Acc;
  const T* in;
  T* out;
  int64_t channels;
  const Axis &ax, &ay;
  const Filter<A>& filter;
  size_t bytes;  // of the whole result

  // Output rows begin ... end - 1, counted over all pictures. finish(p, row) may change row p, of the calculating type, before it
  // is stored.
  template <typename Finish>
  void run(int64_t begin, int64_t end, Finish&& finish) const {
    const int64_t left = ax.before(), pixels = left + ax.in + ax.after(), line = ax.in * channels;
    const Writer<T> writer(bytes);
    const bool in_place = std::is_same<T, A>::value && !writer.past_cache;
    std::vector<A> row(pixels * channels, A(0)), sums(in_place ? 0 : ax.out * channels);
    A* middle = row.data() + left * channels;
    Sweep<A> sweep(ax, channels);
    std::vector<const T*> sources;
    std::vector<A> weights;
    std::vector<int64_t> taps;
    const A one = 1;
    if (filter.separable) sweep.prepare(filter.row.data());
    for (int64_t p = begin; p < end; ++p) {
      const int64_t picture = p / ay.out, y = p % ay.out;
      gather(in + picture * ay.in * line, y, line, sources, taps);
      T* target = out + p * ax.out * channels;
      A* result = in_place ? reinterpret_cast<A*>(target) : sums.data();
      if (filter.separable) {
        weights.clear();
        for (int64_t k : taps) weights.push_back(filter.column[k]);
        weighted_sum(sources.data(), weights.data(), static_cast<int64_t>(sources.size()), middle, line, false);
        sweep.run(row.data(), result, false);
      } else {
        std::fill(result, result + ax.out * channels, A(0));
        for (size_t k = 0; k < sources.size(); ++k) {
          weighted_sum(&sources[k], &one, 1, middle, line, false);
          sweep.prepare(filter.full.data() + taps[k] * filter.width);
          sweep.run(row.data(), result, true);
        }
      }
      finish(p, result);
      if (!in_place) writer.write(target, result, ax.out * channels);
    }
  }

 private:
  // The input rows inside the picture that output row y sees, with their taps.
  void gather(const T* picture, int64_t y, int64_t line, std::vector<const T*>& sources,
              std::vector<int64_t>& taps) const {
    const Phase& phase = ay.phases[y % ay.period];
    const int64_t start = phase.start + y / ay.period * ay.advance;
    sources.clear();
    taps.clear();
    for (size_t k = 0; k < phase.taps.size(); ++k) {
      const int64_t source = start + static_cast<int64_t>(k);
      if (source < 0 || source >= ay.in) continue;
      sources.push_back(picture + source * line);
      taps.push_back(phase.taps[k]);
    }
  }
};

}  // namespace ganinv
