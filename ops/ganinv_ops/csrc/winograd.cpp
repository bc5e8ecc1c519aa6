// A layer of a style-based generator in one pass on the CPU: modulation, 3 x 3 convolution (with doubling, too), demodulation,
// noise, bias, leaky ReLU, gain and clamp.
//
// The convolution is Winograd's F(4 x 4, 3 x 3) (Lavin & Gray 2016): a tile of 6 x 6 inputs and the weights are transformed,
// multiplied position by position, 36 small matrix products, and transformed back to 4 x 4 outputs, with a quarter of the
// multiplications. Whatever is diagonal in channels is done while a tile is transformed and costs nothing: styles on the
// way in, the rest on the way out. Tiles are handled a few at a time, so that everything between stays in the cache.
//
// A doubling layer is four 3 x 3 convolutions, one for each phase of the output, with the blur folded into their weights.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "fir.h"
#include "gemm.h"
#include "pages.h"
#include "parts.h"

namespace {

using ganinv::Filter;
using ganinv::kLane;
using ganinv::Vector;

constexpr int64_t kPositions = 36;        // 6 x 6
constexpr int64_t kCacheBytes = 3 << 20;  // of transformed inputs and products, for each thread
constexpr int64_t kLeastTiles = 24;       // below, weights are read too often

typedef uint16_t Halves __attribute__((vector_size(kLane * 2), aligned(2), may_alias));
typedef uint32_t Words __attribute__((vector_size(kLane * 4)));

inline Vector load_lanes(const float* p) { return ganinv::load(p); }
inline void store_lanes(float* p, Vector v) { ganinv::store(p, v); }

// As Element<BFloat16> does for one number.
inline Vector load_lanes(const c10::BFloat16* p) {
  const Words bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(p), Words) << 16;
  return reinterpret_cast<Vector>(bits);
}
inline void store_lanes(c10::BFloat16* p, Vector v) {
  const Words bits = reinterpret_cast<Words>(v);
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words safe = (v == v) ? rounded : Words{} + 0x7fc0u;
  *reinterpret_cast<Halves*>(p) = __builtin_convertvector(safe, Halves);
}

// ---- transforms of one axis, points 0, 1, -1, 2, -2 and infinity -----------------------------------------------------------

inline void into_tile(const Vector* d, Vector* t, int step) {
  const Vector even = d[4 * step] - 4 * d[2 * step], odd = d[3 * step] - 4 * d[step];
  const Vector even2 = d[4 * step] - d[2 * step], odd2 = 2 * (d[3 * step] - d[step]);
  t[0] = 4 * d[0] - 5 * d[2 * step] + d[4 * step];
  t[1] = even + odd;
  t[2] = even - odd;
  t[3] = even2 + odd2;
  t[4] = even2 - odd2;
  t[5] = 4 * d[step] - 5 * d[3 * step] + d[5 * step];
}

inline void out_of_tile(const Vector* m, Vector* y, int step) {
  const Vector sum = m[step] + m[2 * step], difference = m[step] - m[2 * step];
  const Vector sum2 = m[3 * step] + m[4 * step], difference2 = m[3 * step] - m[4 * step];
  y[0] = m[0] + sum + sum2;
  y[1] = difference + 2 * difference2;
  y[2] = sum + 4 * sum2;
  y[3] = difference + 8 * difference2 + m[5 * step];
}

// ---- weights -----------------------------------------------------------------------------------------------------------------

// The 3 x 3 correlations that make the outputs of one phase (py, px) of a doubling layer, where weight (a, b) is 1 and the
// others 0. Output 2 q + p of one axis is the sum over inputs i and taps t of x[i] f[t] w[2 (q - i) + p + t - 1].
void phase_weights(const Filter<double>& f, int64_t a, int64_t b, int64_t py, int64_t px, double* k) {
  for (int64_t i = 0; i < 3; ++i)
    for (int64_t j = 0; j < 3; ++j) {
      const int64_t y = a + 1 - py - 2 * (1 - i), x = b + 1 - px - 2 * (1 - j);
      const bool there = y >= 0 && y < 4 && x >= 0 && x < 4;
      k[3 * i + j] = !there ? 0 : f.separable ? f.column[y] * f.row[x] : f.full[4 * y + x];
    }
}

// [phases, 36, 9]: what turns the 9 weights of a pair of channels into the 36 numbers of a transformed tile.
std::vector<float> weight_transform(const std::optional<at::Tensor>& filter, int64_t up, bool flip) {
  constexpr double kInto[6][3] = {{1.0 / 4, 0, 0},
                                  {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                  {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                  {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                  {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                  {0, 0, 1}};
  const Filter<double> f(filter ? *filter : at::ones({1}), false, up * up);
  std::vector<float> matrix(up * up * kPositions * 9);
  for (int64_t phase = 0; phase < up * up; ++phase)
    for (int64_t tap = 0; tap < 9; ++tap) {
      // a transposed convolution convolves, so flipping turns the other way there
      const int64_t own = flip == (up == 1) ? tap : 8 - tap;
      double k[9] = {};
      if (up == 1)
        k[own] = 1;
      else
        phase_weights(f, own / 3, own % 3, phase / 2, phase % 2, k);
      for (int64_t p = 0; p < kPositions; ++p) {
        double sum = 0;
        for (int64_t i = 0; i < 3; ++i)
          for (int64_t j = 0; j < 3; ++j) sum += kInto[p / 6][i] * k[3 * i + j] * kInto[p % 6][j];
        matrix[(phase * kPositions + p) * 9 + tap] = static_cast<float>(sum);
      }
    }
  return matrix;
}

// [O, I, 3, 3] -> for each position a packed matrix [I, phases * O]. Weights are read once: those of kLane outputs and one input
// stay in registers while all positions are written.
at::Tensor transform_weights(const at::Tensor& w, const std::vector<float>& matrix, int64_t phases) {
  const int64_t out = w.size(0), in = w.size(1), columns = phases * out, width = ganinv::panel_width(columns);
  const at::Tensor dense = w.to(at::kFloat).contiguous();
  const float* source = dense.const_data_ptr<float>();
  at::Tensor packed = at::empty({kPositions, in, columns}, at::kFloat);
  ganinv::large_pages(packed);
  float* target = packed.mutable_data_ptr<float>();
  at::parallel_for(0, out / kLane * in, 64, [&](int64_t begin, int64_t end) {
    for (int64_t job = begin; job < end; ++job) {
      const int64_t o = job / in * kLane, i = job % in;
      Vector taps[9];
      for (int k = 0; k < 9; ++k)
        for (int l = 0; l < kLane; ++l) taps[k][l] = source[((o + l) * in + i) * 9 + k];
      for (int64_t phase = 0; phase < phases; ++phase) {
        const int64_t column = phase * out + o;
        float* to = target + column / width * width * in + i * width + column % width;
        const float* f = matrix.data() + phase * kPositions * 9;
        for (int64_t p = 0; p < kPositions; ++p, f += 9) {
          Vector sum = f[0] * taps[0];
          for (int k = 1; k < 9; ++k) sum += f[k] * taps[k];
          ganinv::store(to + p * in * columns, sum);
        }
      }
    }
  });
  return packed;
}

// ---- one layer -----------------------------------------------------------------------------------------------------------------

template <typename T>
struct Layer {
  const T* x;            // [N, H, W, I]
  T* y;                  // [N, up * rows, up * line, O]
  const float* weights;  // of transform_weights
  const float *styles, *factor, *bias, *noise;  // [N, I], [N, O], [O], [N or 1, up * H, up * W]; all but styles may be null
  int64_t height, width, in, out, up, padding, noise_stride;
  float slope, gain, clamp;

  // Outputs of one phase; with four, padding is 1.
  int64_t rows() const { return height + 2 * padding - 2; }
  int64_t line() const { return width + 2 * padding - 2; }
  int64_t tiles_across() const { return (line() + 3) / 4; }
  int64_t tiles() const { return tiles_across() * ((rows() + 3) / 4); }
  int64_t columns() const { return up * up * out; }

  // Tiles begin ... end - 1, counted over all pictures.
  void run(int64_t begin, int64_t end, int64_t at_once) const {
    const at::Tensor buffer = at::empty({kPositions * std::min(at_once, end - begin) * (in + columns())}, at::kFloat);
    float *tiles_in = buffer.mutable_data_ptr<float>(), *tiles_out = tiles_in + kPositions * std::min(at_once, end - begin) * in;
    for (int64_t first = begin; first < end; first += at_once) {
      const int64_t n = std::min(at_once, end - first);
      for (int64_t t = 0; t < n; ++t) enter(first + t, tiles_in + t * in, n * in);
      for (int64_t p = 0; p < kPositions; ++p)
        ganinv::product(tiles_in + p * n * in, weights + p * in * columns(), tiles_out + p * n * columns(), n, in, columns());
      for (int64_t t = 0; t < n; ++t) leave(first + t, tiles_out + t * columns(), n * columns());
    }
  }

 private:
  void enter(int64_t tile, float* to, int64_t plane) const {
    const int64_t picture = tile / tiles(), top = tile % tiles() / tiles_across() * 4 - padding;
    const int64_t left = tile % tiles() % tiles_across() * 4 - padding;
    const T* from = x + picture * height * width * in;
    const float* scale = styles + picture * in;
    const bool inside = top >= 0 && left >= 0 && top + 6 <= height && left + 6 <= width;
    for (int64_t c = 0; c < in; c += kLane) {
      Vector d[36], t[36];
      const Vector s = ganinv::load(scale + c);
      for (int i = 0; i < 6; ++i)
        for (int j = 0; j < 6; ++j) {
          const bool there = inside || (top + i >= 0 && top + i < height && left + j >= 0 && left + j < width);
          d[6 * i + j] = there ? s * load_lanes(from + ((top + i) * width + left + j) * in + c) : Vector{};
        }
      for (int j = 0; j < 6; ++j) into_tile(d + j, t + 6 * j, 6);       // t[6 j + i]
      for (int i = 0; i < 6; ++i) {
        Vector row[6];
        into_tile(t + i, row, 6);
        for (int j = 0; j < 6; ++j) ganinv::store(to + (6 * i + j) * plane + c, row[j]);
      }
    }
  }

  void leave(int64_t tile, const float* from, int64_t plane) const {
    const int64_t picture = tile / tiles(), top = tile % tiles() / tiles_across() * 4;
    const int64_t left = tile % tiles() % tiles_across() * 4, stride = up * line();
    T* to = y + picture * up * rows() * stride * out;
    const float* grain = noise ? noise + picture * noise_stride : nullptr;
    for (int64_t phase = 0; phase < up * up; ++phase)
      for (int64_t c = 0; c < out; c += kLane) {
        Vector half[24], square[16];
        for (int j = 0; j < 6; ++j) {
          Vector m[6];
          for (int i = 0; i < 6; ++i) m[i] = ganinv::load(from + (6 * i + j) * plane + phase * out + c);
          out_of_tile(m, half + 4 * j, 1);  // half[4 j + i]
        }
        for (int i = 0; i < 4; ++i) out_of_tile(half + i, square + 4 * i, 4);
        const Vector one = Vector{} + 1;
        const Vector scale = factor ? ganinv::load(factor + picture * out + c) : one;
        const Vector shift = bias ? ganinv::load(bias + c) : Vector{};
        for (int64_t i = 0; i < std::min<int64_t>(4, rows() - top); ++i)
          for (int64_t j = 0; j < std::min<int64_t>(4, line() - left); ++j) {
            const int64_t pixel = (up * (top + i) + phase / up) * stride + up * (left + j) + phase % up;
            const Vector v = square[4 * i + j] * scale + shift + (grain ? grain[pixel] : 0.0f);
            store_lanes(to + pixel * out + c, activate(v));
          }
      }
  }

  Vector activate(Vector v) const {
    v = (v > 0 ? v : v * slope) * gain;
    if (clamp >= 0) {
      const Vector limit = Vector{} + clamp;
      v = v > limit ? limit : v;
      v = v < -limit ? -limit : v;
    }
    return v;
  }
};

at::Tensor winograd(const at::Tensor& x, const at::Tensor& w, const at::Tensor& styles, const std::optional<at::Tensor>& factor,
                    const std::optional<at::Tensor>& noise, const std::optional<at::Tensor>& bias,
                    const std::optional<at::Tensor>& f, int64_t up, int64_t padding, bool flip, double slope, double gain,
                    double clamp) {
  const int64_t in = x.size(1), out = w.size(0);
  TORCH_CHECK(x.dim() == 4 && w.dim() == 4 && w.size(1) == in && w.size(2) == 3 && w.size(3) == 3 && in % 16 == 0 &&
                  out % 16 == 0 && padding >= 0 && padding <= 2,
              "ganinv_ops::winograd: bad arguments");
  TORCH_CHECK(up == 1 || (up == 2 && padding == 1 && f && f->size(0) == 4 && f->size(-1) == 4),
              "ganinv_ops::winograd: up is 1, or 2 with padding 1 and a filter of four taps");
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, "ganinv_ops::winograd: float32 or bfloat16");
  const int64_t grown = 2 * padding - 2;
  at::Tensor y = at::empty({x.size(0), out, up * (x.size(2) + grown), up * (x.size(3) + grown)},
                           x.options().memory_format(at::MemoryFormat::ChannelsLast));
  ganinv::check_parts(y, factor, noise, bias);
  TORCH_CHECK_VALUE(styles.sizes() == at::IntArrayRef({x.size(0), in}), "styles have shape ", styles.sizes(), "; give [", x.size(0),
                    ", ", in, "]");
  if (y.numel() == 0) return y;
  ganinv::large_pages(y);
  const auto as_float = [](const std::optional<at::Tensor>& t) { return t ? t->to(at::kFloat).contiguous() : at::Tensor(); };
  const auto data = [](const at::Tensor& t) { return t.defined() ? t.const_data_ptr<float>() : nullptr; };
  const at::Tensor dense = x.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor s = as_float(styles), scale = as_float(factor), grain = as_float(noise), shift = as_float(bias);
  const at::Tensor weights = transform_weights(w, weight_transform(f, up, flip), up * up);
  const int64_t noise_stride = grain.defined() && grain.size(0) > 1 ? grain.stride(0) : 0;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const Layer<T> layer{dense.const_data_ptr<T>(), y.mutable_data_ptr<T>(), data(weights), data(s), data(scale), data(shift),
                         data(grain), x.size(2), x.size(3), in, out, up, padding, noise_stride, static_cast<float>(slope),
                         static_cast<float>(gain), static_cast<float>(clamp)};
    const int64_t each = kPositions * sizeof(float) * (in + layer.columns());
    const int64_t at_once = std::max(kLeastTiles, kCacheBytes / each / ganinv::kRows * ganinv::kRows);
    at::parallel_for(0, x.size(0) * layer.tiles(), at_once,
                     [&](int64_t begin, int64_t end) { layer.run(begin, end, at_once); });
  };
  if (x.scalar_type() == at::kFloat)
    run(0.0f);
  else
    run(c10::BFloat16());
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) { m.impl("winograd", &winograd); }
