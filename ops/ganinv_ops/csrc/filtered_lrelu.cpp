// Bias, upsampling, leaky ReLU, gain, clamp and downsampling in one sweep on the CPU; and the same with a mask instead of the
// activation, which is its derivative and the derivative of that.
//
// A task is a strip of columns of one vector of planes (lanes.h). Input rows enter a ring, from which each row of the upsampled
// picture is made, activated and filtered along x; the results wait in a second ring until the output rows that need them are
// summed. So no more of the upsampled picture exists than the rows one output sees, and they fit the second cache level.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "element.h"
#include "fir.h"
#include "lanes.h"
#include "share.h"

namespace {

using ganinv::Axis;
using ganinv::correlate;
using ganinv::Element;
using ganinv::Filter;
using ganinv::Group;
using ganinv::kKeep;
using ganinv::kLanes;
using ganinv::kMasked;
using ganinv::kPlain;
using ganinv::Mode;
using ganinv::Phase;
using ganinv::Planes;
using ganinv::Vec;

constexpr int64_t kStrip = 80;  // output columns, about: wider strips compute fewer columns twice, narrower ones stay in cache

// ---- one of the two filters ---------------------------------------------------------------------------------

template <typename A>
struct Stage {
  Axis x, y;
  bool separable;
  std::vector<std::vector<A>> column, row;  // of each phase
  std::vector<std::vector<std::vector<A>>> full;  // [phase of y][phase of x][taps of y * taps of x]
  int64_t rows = 0;  // that one output row sees

  Stage(const Axis& x_, const Axis& y_, const Filter<A>& f) : x(x_), y(y_), separable(f.separable) {
    for (const Phase& p : y.phases) {
      rows = std::max<int64_t>(rows, p.taps.size());
      column.push_back(pick(f.column, p));
      full.emplace_back();
      for (const Phase& q : x.phases) {
        full.back().emplace_back();
        if (!separable)
          for (int64_t k : p.taps)
            for (int64_t l : q.taps) full.back().back().push_back(f.full[k * f.width + l]);
      }
    }
    for (const Phase& q : x.phases) row.push_back(pick(f.row, q));
  }

 private:
  static std::vector<A> pick(const std::vector<A>& taps, const Phase& phase) {
    std::vector<A> result;
    for (int64_t k : phase.taps) result.push_back(taps.empty() ? A(0) : taps[k]);
    return result;
  }
};

// ---- between the filters ------------------------------------------------------------------------------------

// What a pixel of the upsampled picture was: bit l of byte (q, y, x) speaks of plane 8 * q + l. The first picture of bytes says
// whether it was positive, the second, if any, whether the clamp let it pass.
struct Mask {
  uint8_t* data = nullptr;
  int64_t pictures = 0, bytes = 0, height = 0, width = 0;

  Mask() = default;
  explicit Mask(const at::Tensor& t)
      : data(t.mutable_data_ptr<uint8_t>()), pictures(t.size(0)), bytes(t.size(1)), height(t.size(2)), width(t.size(3)) {}

  uint8_t* row(int64_t picture, int64_t q, int64_t y) const { return data + ((picture * bytes + q) * height + y) * width; }
};

struct Settings {
  double gain, slope, clamp;  // a negative clamp is none
};

// ---- a strip of columns of one vector of planes -------------------------------------------------------------

template <typename T, Mode M>
struct Strip {
  using A = typename Element<T>::Acc;
  using V = Vec<A>;
  const Stage<A>&up, &down;
  const Settings& settings;
  const Mask& mask;
  Group<const T> in;
  Group<T> out;
  V bias;
  int64_t first_plane, o0, o1;       // outputs
  int64_t m0, m1, c0, c1;            // columns of the upsampled picture that they see, and those that exist
  int64_t i0, i1, next_in, next_middle;
  A positive, negative, limit;
  std::vector<V> in_ring, combined, wide, down_ring, zeros;
  std::vector<uint16_t> sign, inside;
  std::vector<const V*> rows;

  Strip(const Stage<A>& up_, const Stage<A>& down_, const Settings& s, const Mask& mask_, const Planes<const T>& from,
        const Planes<T>& to, const A* b, int64_t plane, int64_t begin, int64_t end)
      : up(up_), down(down_), settings(s), mask(mask_), in(from, plane), out(to, plane), bias{}, first_plane(plane),
        o0(begin), o1(end), next_in(0), next_middle(0) {
    for (int l = 0; b && l < in.used; ++l) bias[l] = b[(plane + l) % from.channels];
    positive = static_cast<A>(s.gain), negative = static_cast<A>(s.gain * s.slope), limit = static_cast<A>(s.clamp);
    const Phase& window = down.x.phases[0];
    m0 = window.start + o0 * down.x.advance;
    m1 = window.start + (o1 - 1) * down.x.advance + static_cast<int64_t>(window.taps.size());
    c0 = std::max<int64_t>(m0, 0), c1 = std::max(c0, std::min(m1, up.x.out));
    i0 = INT64_MAX, i1 = INT64_MIN;
    for (int64_t j = c0; j < c1; ++j) {
      i0 = std::min(i0, start(up.x, j));
      i1 = std::max(i1, start(up.x, j) + static_cast<int64_t>(up.row[j % up.x.period].size()));
    }
    if (c0 == c1) i0 = i1 = 0;
    const int64_t middle = down.separable ? o1 - o0 : m1 - m0;
    in_ring.assign(up.rows * (i1 - i0), V{});
    combined.assign(i1 - i0, V{});
    wide.assign(m1 - m0, V{});
    down_ring.assign(down.rows * middle, V{});
    zeros.assign(std::max(i1 - i0, middle), V{});
    sign.assign(m1 - m0, 0), inside.assign(m1 - m0, 0);
  }

  void run() {
    const int64_t width = o1 - o0;
    std::vector<V> line(width);
    for (int64_t y = 0; y < down.y.out; ++y) {
      const int64_t first = start(down.y, y), last = std::min(first + down.rows, up.y.out);
      for (next_middle = std::max(next_middle, first); next_middle < last; ++next_middle) middle_row(next_middle);
      const int64_t size = down.separable ? width : m1 - m0;
      rows.clear();
      for (int64_t u = first; u < first + down.rows; ++u)
        rows.push_back(u < 0 || u >= up.y.out ? zeros.data() : down_ring.data() + u % down.rows * size);
      const auto keep = [&](int64_t i, const V& sum) { line[i] = sum; };
      if (down.separable)
        correlate(rows.data(), down.rows, down.column[0].data(), 1, 1, width, keep);
      else
        correlate(rows.data(), down.rows, down.full[0][0].data(), taps_x(), down.x.advance, width, keep);
      out.store(y, o0, width, line.data());
    }
  }

 private:
  static int64_t start(const Axis& axis, int64_t j) {
    return axis.phases[j % axis.period].start + j / axis.period * axis.advance;
  }
  int64_t taps_x() const { return static_cast<int64_t>(down.row[0].size()); }

  // Row u of the upsampled picture, activated, and filtered along x where that can be done by itself.
  void middle_row(int64_t u) {
    const int64_t phase = u % up.y.period;
    gather(start(up.y, u), static_cast<int64_t>(up.column[phase].size()));
    V* target = down.separable ? wide.data() : down_ring.data() + u % down.rows * (m1 - m0);
    if (M == kMasked) read_mask(u);
    if (up.separable) {
      V* sums = combined.data();
      correlate(rows.data(), static_cast<int64_t>(rows.size()), up.column[phase].data(), 1, 1, i1 - i0,
                [&](int64_t i, const V& sum) { sums[i] = sum; });
      rows.assign(1, sums);
    }
    for (int64_t j = c0; j < std::min(c1, c0 + up.x.period); ++j) {
      const int64_t r = j % up.x.period, offset = start(up.x, j) - i0;
      const std::vector<A>& weights = up.separable ? up.row[r] : up.full[phase][r];
      for (const V*& p : rows) p += offset;
      correlate(rows.data(), static_cast<int64_t>(rows.size()), weights.data(), static_cast<int64_t>(up.row[r].size()), 1,
                (c1 - j + up.x.period - 1) / up.x.period, [&](int64_t i, const V& sum) {
                  const int64_t at = j - m0 + i * up.x.period;
                  target[at] = activate(sum, at);
                });
      for (const V*& p : rows) p -= offset;
    }
    if (M == kKeep) write_mask(u);
    if (down.separable) {
      V* narrow = down_ring.data() + u % down.rows * (o1 - o0);
      const V* source = target;
      correlate(&source, 1, down.row[0].data(), taps_x(), down.x.advance, o1 - o0,
                [&](int64_t i, const V& sum) { narrow[i] = sum; });
    }
  }

  // The input rows from `first` on, loaded into the ring where they were not yet.
  void gather(int64_t first, int64_t count) {
    const int64_t size = i1 - i0, left = std::max<int64_t>(i0, 0), right = std::min(i1, up.x.in);
    rows.clear();
    for (int64_t y = first; y < first + count; ++y) {
      if (y < 0 || y >= up.y.in) {
        rows.push_back(zeros.data());
        continue;
      }
      V* row = in_ring.data() + y % up.rows * size;
      if (y >= next_in) {
        if (left < right) in.load(y, left, right - left, bias, row + left - i0);
        next_in = y + 1;
      }
      rows.push_back(row);
    }
  }

  V activate(const V& z, int64_t at) {
    if (M == kMasked) {
      const V y = z * (ganinv::truth<A>(sign[at]) ? positive - V{} : negative - V{});
      return mask.pictures > 1 ? (ganinv::truth<A>(inside[at]) ? y : V{}) : y;
    }
    const auto up_side = z > 0;
    V y = z * (up_side ? positive - V{} : negative - V{});
    if (M == kKeep) sign[at] = static_cast<uint16_t>(ganinv::bits(up_side));
    if (settings.clamp >= 0) {
      const V high = limit - V{};
      if (M == kKeep) inside[at] = static_cast<uint16_t>(ganinv::bits((y <= high) & (y >= -high)));
      y = y < -high ? -high : y;  // not a number stays
      y = y > high ? high : y;
    }
    return y;
  }

  // Strips overlap; each writes the columns up to where the next one starts.
  void write_mask(int64_t u) {
    const int64_t end = o1 == down.x.out ? c1 : std::min(c1, down.x.phases[0].start + o1 * down.x.advance);
    const unsigned valid = (1u << in.used) - 1;
    for (int64_t p = 0; p < mask.pictures; ++p) {
      const uint16_t* words = (p ? inside : sign).data() - m0;
      for (int q = 0; q * 8 < in.used; ++q) {
        uint8_t* bytes = mask.row(p, first_plane / 8 + q, u);
        for (int64_t j = c0; j < end; ++j) bytes[j] = static_cast<uint8_t>((words[j] & valid) >> (8 * q));
      }
    }
  }

  void read_mask(int64_t u) {
    for (int64_t p = 0; p < mask.pictures; ++p) {
      uint16_t* words = (p ? inside : sign).data() - m0;
      for (int q = 0; q * 8 < in.used; ++q) {
        const uint8_t* bytes = mask.row(p, first_plane / 8 + q, u);
        for (int64_t j = c0; j < c1; ++j)
          words[j] = static_cast<uint16_t>(q ? words[j] | bytes[j] << 8 : bytes[j]);
      }
    }
  }
};

// ---- the operators ------------------------------------------------------------------------------------------

struct Sizes {
  int64_t middle_h, middle_w, out_h, out_w;
};

template <typename T>
Planes<T> planes(const at::Tensor& t, T* data) {
  return {data, t.size(0) * t.size(1), t.size(1), t.stride(0), t.stride(1), t.stride(2), t.stride(3)};
}

template <typename T, Mode M>
void sweep(const at::Tensor& x, const at::Tensor& out, const std::optional<at::Tensor>& b, const Mask& mask,
           const Stage<typename Element<T>::Acc>& up, const Stage<typename Element<T>::Acc>& down, const Settings& s) {
  using A = typename Element<T>::Acc;
  const Planes<const T> from = planes(x, x.const_data_ptr<T>());
  const Planes<T> to = planes(out, out.mutable_data_ptr<T>());
  const at::Tensor wide_bias = b.has_value() ? b->to(c10::CppTypeToScalarType<A>::value).contiguous() : at::Tensor();
  const A* bias = b.has_value() ? wide_bias.const_data_ptr<A>() : nullptr;
  const int64_t vectors = (from.count + kLanes<A> - 1) / kLanes<A>, width = down.x.out;
  const int64_t wanted = std::max((width + kStrip / 2) / kStrip, std::min(at::get_num_threads() / vectors, width / 16));
  const int64_t strips = std::max<int64_t>(1, wanted), size = (width + strips - 1) / strips;
  ganinv::share(vectors * strips, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t left = task % strips * size, right = std::min(left + size, width);
      if (left < right)
        Strip<T, M>(up, down, s, mask, from, to, bias, task / strips * kLanes<A>, left, right).run();
    }
  });
}

template <typename T>
void resample(const at::Tensor& x, const at::Tensor& out, const std::optional<at::Tensor>& b, const Mask& mask, Mode mode,
              const std::optional<at::Tensor>& fu, const std::optional<at::Tensor>& fd, int64_t up, int64_t down,
              at::IntArrayRef pad_up, at::IntArrayRef pad_down, const Sizes& n, bool flip, double gain_up, double gain_down,
              const Settings& s) {
  using A = typename Element<T>::Acc;
  const at::Tensor one = at::ones({1, 1});
  const Filter<A> first(fu.value_or(one), flip, gain_up), second(fd.value_or(one), flip, gain_down);
  const Stage<A> stage_up(Axis(x.size(3), n.middle_w, up, 1, pad_up[0], first.width),
                          Axis(x.size(2), n.middle_h, up, 1, pad_up[2], first.height), first);
  const Stage<A> stage_down(Axis(n.middle_w, n.out_w, 1, down, pad_down[0], second.width),
                            Axis(n.middle_h, n.out_h, 1, down, pad_down[2], second.height), second);
  if (mode == kPlain) return sweep<T, kPlain>(x, out, b, mask, stage_up, stage_down, s);
  if (mode == kKeep) return sweep<T, kKeep>(x, out, b, mask, stage_up, stage_down, s);
  sweep<T, kMasked>(x, out, b, mask, stage_up, stage_down, s);
}

int64_t taps(const std::optional<at::Tensor>& f, int64_t dim) { return f.has_value() ? f->size(dim) : 1; }

Sizes sizes(int64_t middle_h, int64_t middle_w, const std::optional<at::Tensor>& fd, int64_t down, at::IntArrayRef pad) {
  return {middle_h, middle_w, (middle_h + pad[2] + pad[3] - taps(fd, 0)) / down + 1,
          (middle_w + pad[0] + pad[1] - taps(fd, -1)) / down + 1};
}

at::Tensor output(const at::Tensor& x, const Sizes& n) {
  const auto format = ganinv::channels_last(x) ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  return at::empty({x.size(0), x.size(1), n.out_h, n.out_w}, x.options().memory_format(format));
}

std::tuple<at::Tensor, at::Tensor> filtered_lrelu(const at::Tensor& x, const std::optional<at::Tensor>& fu,
                                                  const std::optional<at::Tensor>& fd, const std::optional<at::Tensor>& b,
                                                  int64_t up, int64_t down, at::IntArrayRef pad_up, at::IntArrayRef pad_down,
                                                  double gain_up, double gain_down, double gain, double slope, double clamp,
                                                  bool flip, bool keep) {
  TORCH_CHECK(x.dim() == 4 && pad_up.size() == 4 && pad_down.size() == 4, "ganinv_ops::filtered_lrelu: bad arguments");
  const Sizes n = sizes(x.size(2) * up + pad_up[2] + pad_up[3] - taps(fu, 0) + 1,
                        x.size(3) * up + pad_up[0] + pad_up[1] - taps(fu, -1) + 1, fd, down, pad_down);
  at::Tensor out = output(x, n), mask = at::empty({0}, x.options().dtype(at::kByte));
  if (keep)
    mask = at::zeros({clamp < 0 ? 1 : 2, (x.size(0) * x.size(1) + 7) / 8, n.middle_h, n.middle_w}, mask.options());
  if (out.numel() == 0) return {out, mask};
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "ganinv_ops::filtered_lrelu", [&] {
    resample<scalar_t>(x, out, b, keep ? Mask(mask) : Mask(), keep ? kKeep : kPlain, fu, fd, up, down, pad_up, pad_down, n,
                       flip, gain_up, gain_down, {gain, slope, clamp});
  });
  return {out, mask};
}

at::Tensor filtered_lrelu_masked(const at::Tensor& x, const at::Tensor& mask, const std::optional<at::Tensor>& fu,
                                 const std::optional<at::Tensor>& fd, int64_t up, int64_t down, at::IntArrayRef pad_up,
                                 at::IntArrayRef pad_down, double gain_up, double gain_down, double gain, double slope,
                                 double clamp, bool flip) {
  TORCH_CHECK(x.dim() == 4 && mask.dim() == 4 && mask.is_contiguous() && pad_up.size() == 4 && pad_down.size() == 4,
              "ganinv_ops::filtered_lrelu_masked: bad arguments");
  const Sizes n = sizes(mask.size(2), mask.size(3), fd, down, pad_down);
  at::Tensor out = output(x, n);
  if (out.numel() == 0) return out;
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "ganinv_ops::filtered_lrelu_masked", [&] {
    resample<scalar_t>(x, out, std::nullopt, Mask(mask), kMasked, fu, fd, up, down, pad_up, pad_down, n, flip, gain_up,
                       gain_down, {gain, slope, clamp});
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) {
  m.impl("filtered_lrelu", &filtered_lrelu);
  m.impl("filtered_lrelu_masked", &filtered_lrelu_masked);
}
