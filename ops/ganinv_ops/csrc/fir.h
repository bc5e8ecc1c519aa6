// What the CPU kernels that resample share: which samples and taps an output uses, the taps as numbers, the output's layout.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <type_traits>
#include <vector>

#include "resample.h"

namespace ganinv {

// ---- which samples and taps an output uses, along one axis --------------------------------------------------

// Outputs r, r + period, ... use the inputs start, start + advance, ... and their followers, weighted with every `up`-th
// tap.
struct Phase {
  int64_t start;
  std::vector<int64_t> taps;
};

struct Axis {
  int64_t in, out, period, advance;
  std::vector<Phase> phases;

  Axis(int64_t in_, int64_t out_, int64_t up, int64_t down, int64_t before, int64_t taps) : in(in_), out(out_) {
    const int64_t common = std::gcd(up, down);
    period = up / common;
    advance = down / common;
    for (int64_t r = 0; r < period; ++r) {
      const int64_t origin = r * down - before;  // in upsampled samples
      Phase phase{ceil_div(origin, up), {}};
      for (int64_t k = phase.start * up - origin; k < taps; k += up) phase.taps.push_back(k);
      phases.push_back(std::move(phase));
    }
  }

  int64_t count(int64_t r) const { return out > r ? (out - r + period - 1) / period : 0; }

  // Zeros needed before and after a row so that no output reaches outside.
  int64_t before() const {
    int64_t need = 0;
    for (const Phase& p : phases) need = std::max(need, -p.start);
    return need;
  }
  int64_t after() const {
    int64_t need = 0;
    for (int64_t r = 0; r < period; ++r) {
      const int64_t used = static_cast<int64_t>(phases[r].taps.size());
      if (count(r)) need = std::max(need, phases[r].start + (count(r) - 1) * advance + used - in);
    }
    return need;
  }
};

// ---- the filter ---------------------------------------------------------------------------------------------

// Taps as a correlation, scaled; split into one filter per axis where that gives the same numbers.
template <typename A>
struct Filter {
  int64_t height, width;
  bool separable;
  std::vector<A> full, column, row;

  Filter(const at::Tensor& f, bool flip, double gain) {
    // scaled in float32 like the reference, unless the filter itself is finer
    const at::Tensor taps = (f * std::pow(gain, f.dim() / 2.0)).to(at::kDouble).contiguous();
    const double* p = taps.const_data_ptr<double>();
    std::vector<double> v(p, p + taps.numel());
    if (!flip) std::reverse(v.begin(), v.end());
    height = f.size(0);
    width = f.size(-1);
    separable = true;
    if (f.dim() == 1) {
      column.assign(v.begin(), v.end());
      row = column;
      return;
    }
    full.assign(v.begin(), v.end());
    split(v);
  }

 private:
  void split(const std::vector<double>& v) {
    const auto larger = [](double a, double b) { return std::abs(a) < std::abs(b); };
    const int64_t pivot = std::max_element(v.begin(), v.end(), larger) - v.begin();
    const int64_t py = pivot / width, px = pivot % width;
    const double limit = std::is_same<A, double>::value ? 0.0 : 1e-7 * std::abs(v[pivot]);
    std::vector<double> c(height), r(width);
    for (int64_t y = 0; y < height; ++y) c[y] = v[pivot] == 0 ? 0 : v[y * width + px] / v[pivot];
    for (int64_t x = 0; x < width; ++x) r[x] = v[py * width + x];
    for (int64_t y = 0; y < height && separable; ++y)
      for (int64_t x = 0; x < width; ++x)
        if (!(std::abs(c[y] * r[x] - v[y * width + x]) <= limit)) separable = false;
    column.assign(c.begin(), c.end());
    row.assign(r.begin(), r.end());
  }
};

// The same rule as keeps_channels_last in upfirdn2d.py.
inline bool channels_last(const at::Tensor& x) { return x.size(1) > 1 && x.size(2) * x.size(3) > 1 && x.stride(1) == 1; }

}  // namespace ganinv
