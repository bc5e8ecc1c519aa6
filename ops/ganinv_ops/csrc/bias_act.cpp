// y = clamp(gain * act(x + b)) and its derivative with respect to x, on the CPU.
//
// Both walk through memory in blocks that fit the first cache level: add the bias in the calculating type, apply the
// activation, store. Any dense layout works, since the bias index follows from the offset and the bias dimension's stride.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/cpu/vec/vec.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "element.h"
#include "pages.h"
#include "share.h"
#include "writer.h"

namespace {

using ganinv::Element;

constexpr int64_t kBlock = 1024;
constexpr int64_t kGrain = 16384;
constexpr double kSeluAlpha = 1.6732632423543772848170429916717;
constexpr double kSeluScale = 1.0507009873554804934193349852946;

// The order of ACTIVATIONS in bias_act.py.
enum Act : int64_t { kLinear, kRelu, kLrelu, kTanh, kSigmoid, kElu, kSelu, kSoftplus, kSwish };

struct Settings {
  int64_t act;
  double alpha, gain, clamp;  // a negative clamp is none
};

// ---- activations over one block, in place --------------------------------------------------------------------

template <typename A, typename F>
inline void map_vec(A* z, int64_t n, F f) {
  using Vec = at::vec::Vectorized<A>;
  int64_t i = 0;
  for (; i + Vec::size() <= n; i += Vec::size()) f(Vec::loadu(z + i)).store(z + i);
  if (i < n) f(Vec::loadu(z + i, static_cast<int>(n - i))).store(z + i, static_cast<int>(n - i));
}

template <typename A>
inline at::vec::Vectorized<A> sigmoid(const at::vec::Vectorized<A>& z) {
  using Vec = at::vec::Vectorized<A>;
  return Vec(A(1)) / (Vec(A(1)) + z.neg().exp());
}

inline at::vec::Vectorized<double> hyperbolic(const at::vec::Vectorized<double>& z) { return z.tanh(); }

// Half the time of the library's float tanh: through exp away from zero, by the series where that would cancel.
inline at::vec::Vectorized<float> hyperbolic(const at::vec::Vectorized<float>& z) {
  using Vec = at::vec::Vectorized<float>;
  const Vec one(1.0f), size = z.abs(), q = z * z;
  const Vec e = (size * Vec(-2.0f)).exp();
  const Vec far = ((one - e) / (one + e)).copysign(z);
  Vec near = Vec(62.0f / 2835) * q - Vec(17.0f / 315);
  near = near * q + Vec(2.0f / 15);
  near = near * q - Vec(1.0f / 3);
  return Vec::blendv(z + z * q * near, far, size > Vec(0.25f));
}

template <typename A>
void activate(A* z, int64_t n, const Settings& s) {
  using Vec = at::vec::Vectorized<A>;
  const Vec zero(A(0));
  const A alpha = static_cast<A>(s.alpha);
  switch (s.act) {
    case kLinear:
      break;
    case kRelu:
      for (int64_t i = 0; i < n; ++i) z[i] = z[i] < A(0) ? A(0) : z[i];
      break;
    case kLrelu:
      for (int64_t i = 0; i < n; ++i) {
        const A low = z[i] * alpha;
        z[i] = z[i] > A(0) ? z[i] : low;
      }
      break;
    case kTanh:
      map_vec(z, n, [](Vec v) { return hyperbolic(v); });
      break;
    case kSigmoid:
      map_vec(z, n, [](Vec v) { return sigmoid<A>(v); });
      break;
    case kElu:
      map_vec(z, n, [&](Vec v) { return Vec::blendv(v.expm1(), v, v > zero); });
      break;
    case kSelu:
      map_vec(z, n, [&](Vec v) {
        return Vec(A(kSeluScale)) * Vec::blendv(v.expm1() * Vec(A(kSeluAlpha)), v, v > zero);
      });
      break;
    case kSoftplus:  // max(z, 0) + log(1 + exp(-|z|)) does not overflow
      map_vec(z, n, [&](Vec v) { return at::vec::maximum(v, zero) + v.abs().neg().exp().log1p(); });
      break;
    default:
      map_vec(z, n, [&](Vec v) { return v * sigmoid<A>(v); });
  }
}

// Turns z into act'(z).
template <typename A>
void derive(A* z, int64_t n, const Settings& s) {
  using Vec = at::vec::Vectorized<A>;
  const Vec zero(A(0)), one(A(1));
  const A alpha = static_cast<A>(s.alpha);
  switch (s.act) {
    case kLinear:
      for (int64_t i = 0; i < n; ++i) z[i] = A(1);
      break;
    case kRelu:
      for (int64_t i = 0; i < n; ++i) z[i] = z[i] > A(0) ? A(1) : A(0);
      break;
    case kLrelu:
      for (int64_t i = 0; i < n; ++i) z[i] = z[i] > A(0) ? A(1) : alpha;
      break;
    case kTanh:
      map_vec(z, n, [&](Vec v) {
        const Vec y = hyperbolic(v);
        return one - y * y;
      });
      break;
    case kSigmoid:
      map_vec(z, n, [&](Vec v) {
        const Vec y = sigmoid<A>(v);
        return y * (one - y);
      });
      break;
    case kElu:
      map_vec(z, n, [&](Vec v) { return Vec::blendv(v.exp(), one, v > zero); });
      break;
    case kSelu:
      map_vec(z, n, [&](Vec v) {
        return Vec(A(kSeluScale)) * Vec::blendv(v.exp() * Vec(A(kSeluAlpha)), one, v > zero);
      });
      break;
    case kSoftplus:
      map_vec(z, n, [&](Vec v) { return sigmoid<A>(v); });
      break;
    default:
      map_vec(z, n, [&](Vec v) {
        const Vec y = sigmoid<A>(v);
        return y * (one + v * (one - y));
      });
  }
}

template <typename A>
inline void scale_and_clamp(A* z, int64_t n, const Settings& s) {
  const A gain = static_cast<A>(s.gain), limit = static_cast<A>(s.clamp);
  if (s.gain != 1)
    for (int64_t i = 0; i < n; ++i) z[i] *= gain;
  if (s.clamp >= 0)
    for (int64_t i = 0; i < n; ++i) {
      const A low = z[i] < -limit ? -limit : z[i];
      z[i] = low > limit ? limit : low;
    }
}

// ---- bias ----------------------------------------------------------------------------------------------------

// The bias as a pattern that repeats along memory: either spelled out (tile), or one value for `run` elements each.
template <typename A>
struct Bias {
  std::vector<A> values;
  int64_t run = 0;   // 0: values is the spelled-out pattern
  bool none = true;

  template <typename T>
  Bias(const std::optional<at::Tensor>& b, const at::Tensor& x, int64_t dim, T) {
    if (!b.has_value()) return;
    none = false;
    const at::Tensor dense = b->contiguous();
    const T* data = dense.const_data_ptr<T>();
    const int64_t count = x.size(dim);
    const int64_t stride = count == 1 ? x.numel() : x.stride(dim);
    if (stride >= 64) {  // long runs need no pattern
      run = stride;
      values.resize(count);
      for (int64_t c = 0; c < count; ++c) values[c] = Element<T>::load(data + c);
      return;
    }
    const int64_t period = count * stride;
    const int64_t repeats = std::max<int64_t>(1, std::min(kBlock, x.numel()) / period);
    values.resize(period * repeats);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = Element<T>::load(data + static_cast<int64_t>(i) % period / stride);
  }

  // Elements from p on that one call of `add` can take.
  int64_t reach(int64_t p) const {
    if (none) return kBlock;
    const int64_t length = run ? run : static_cast<int64_t>(values.size());
    return std::min(kBlock, length - p % length);
  }

  template <typename T>
  void add(const T* x, A* z, int64_t p, int64_t n) const {
    if (none) {
      for (int64_t i = 0; i < n; ++i) z[i] = Element<T>::load(x + i);
    } else if (run) {
      const A b = values[p / run % static_cast<int64_t>(values.size())];
      for (int64_t i = 0; i < n; ++i) z[i] = Element<T>::load(x + i) + b;
    } else {
      const A* b = values.data() + p % static_cast<int64_t>(values.size());
      for (int64_t i = 0; i < n; ++i) z[i] = Element<T>::load(x + i) + b[i];
    }
  }
};

// ---- the two operators ---------------------------------------------------------------------------------------

template <typename T>
void forward(const at::Tensor& x, const std::optional<at::Tensor>& b, int64_t dim, const Settings& s, at::Tensor& out) {
  using A = typename Element<T>::Acc;
  const Bias<A> bias(b, x, dim, T());
  const T* in = x.const_data_ptr<T>();
  T* y = out.mutable_data_ptr<T>();
  ganinv::share(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
    A z[kBlock];
    const ganinv::Writer<T> writer(out.nbytes());
    for (int64_t p = begin, n; p < end; p += n) {
      n = std::min(bias.reach(p), end - p);
      bias.add(in + p, z, p, n);
      activate(z, n, s);
      scale_and_clamp(z, n, s);
      writer.write(y + p, z, n);
    }
  });
}

template <typename T>
void backward(const at::Tensor& dy, const at::Tensor& x, const std::optional<at::Tensor>& b, int64_t dim,
              const Settings& s, at::Tensor& out) {
  using A = typename Element<T>::Acc;
  const Bias<A> bias(b, x, dim, T());
  const T* in = x.const_data_ptr<T>();
  const T* upstream = dy.const_data_ptr<T>();
  T* dx = out.mutable_data_ptr<T>();
  const A gain = static_cast<A>(s.gain), limit = static_cast<A>(s.clamp);
  ganinv::share(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
    A z[kBlock], y[kBlock];
    const ganinv::Writer<T> writer(out.nbytes());
    for (int64_t p = begin, n; p < end; p += n) {
      n = std::min(bias.reach(p), end - p);
      bias.add(in + p, z, p, n);
      if (s.clamp >= 0) {
        std::copy(z, z + n, y);
        activate(y, n, s);
      }
      derive(z, n, s);
      for (int64_t i = 0; i < n; ++i) z[i] *= gain * Element<T>::load(upstream + p + i);
      if (s.clamp >= 0)
        for (int64_t i = 0; i < n; ++i) {
          const A level = y[i] * gain;
          const bool inside = (level <= limit) & (level >= -limit);
          z[i] = inside ? z[i] : A(0);
        }
      writer.write(dx + p, z, n);
    }
  });
}

at::Tensor like(const at::Tensor& t, const at::Tensor& model) {
  return t.strides() == model.strides() ? t : at::empty_like(model).copy_(t);
}

at::Tensor bias_act(const at::Tensor& x, const std::optional<at::Tensor>& b, int64_t dim, int64_t act, double alpha,
                    double gain, double clamp) {
  at::Tensor out = at::empty_like(x);  // dense, in x's order of dimensions
  if (x.numel() == 0) return out;
  ganinv::large_pages(out);
  const at::Tensor dense = like(x, out);
  const Settings s{act, alpha, gain, clamp};
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "ganinv_ops::bias_act",
                                 [&] { forward<scalar_t>(dense, b, dim, s, out); });
  return out;
}

at::Tensor bias_act_grad(const at::Tensor& dy, const at::Tensor& x, const std::optional<at::Tensor>& b, int64_t dim,
                         int64_t act, double alpha, double gain, double clamp) {
  at::Tensor out = at::empty_like(x);
  if (x.numel() == 0) return out;
  ganinv::large_pages(out);
  const at::Tensor dense = like(x, out), upstream = like(dy, out);
  const Settings s{act, alpha, gain, clamp};
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "ganinv_ops::bias_act_grad",
                                 [&] { backward<scalar_t>(upstream, dense, b, dim, s, out); });
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(ganinv_ops, CPU, m) {
  m.impl("bias_act", &bias_act);
  m.impl("bias_act_grad", &bias_act_grad);
}
