// What one CUDA thread of bias_act does: a few numbers that lie side by side. Plain C++, so that a test runs it on the host.
#pragma once

#include <cmath>
#include <cstdint>

#include "number.h"

namespace ganinv {

// The order of ACTIVATIONS in bias_act.py.
enum Act : int { kLinear, kRelu, kLrelu, kTanh, kSigmoid, kElu, kSelu, kSoftplus, kSwish };

constexpr float kSeluScale = 1.0507009873554804934f, kSeluAlpha = 1.6732632423543772848f;

struct BiasAct {
  const void* x;          // dense, in any order of dimensions; so are the others
  const void* upstream;   // gradient of the result; null when the result itself is wanted
  void* y;
  const void* bias;       // [channels] or null
  int64_t size, run, channels;  // number i takes bias i / run % channels
  int act;
  float alpha, gain, clamp;  // a negative clamp is none

  GANINV_BOTH int64_t channel(int64_t i) const {
    if (size > INT32_MAX) return i / run % channels;
    return static_cast<uint32_t>(i) / static_cast<uint32_t>(run) % static_cast<uint32_t>(channels);  // several times faster
  }
};

GANINV_BOTH inline float logistic(float z) { return 1.0f / (1.0f + expf(-z)); }

template <int V, typename F>
GANINV_BOTH void map_pack(float (&z)[V], const F& f) {
  for (int i = 0; i < V; ++i) z[i] = f(z[i]);
}

template <int V>
GANINV_BOTH void activate(float (&z)[V], const BiasAct& p) {
  const float alpha = p.alpha;
  switch (p.act) {
    case kLinear: break;
    case kRelu: map_pack(z, [](float v) { return v < 0 ? 0.0f : v; }); break;
    case kLrelu: map_pack(z, [=](float v) { return v > 0 ? v : v * alpha; }); break;
    case kTanh: map_pack(z, [](float v) { return tanhf(v); }); break;
    case kSigmoid: map_pack(z, [](float v) { return logistic(v); }); break;
    case kElu: map_pack(z, [](float v) { return v > 0 ? v : expm1f(v); }); break;
    case kSelu: map_pack(z, [](float v) { return kSeluScale * (v > 0 ? v : kSeluAlpha * expm1f(v)); }); break;
    case kSoftplus: map_pack(z, [](float v) { return (v < 0 ? 0.0f : v) + log1pf(expf(-fabsf(v))); }); break;
    default: map_pack(z, [](float v) { return v * logistic(v); });
  }
}

template <int V>
GANINV_BOTH void derive(float (&z)[V], const BiasAct& p) {
  const float alpha = p.alpha;
  switch (p.act) {
    case kLinear: map_pack(z, [](float) { return 1.0f; }); break;
    case kRelu: map_pack(z, [](float v) { return v > 0 ? 1.0f : 0.0f; }); break;
    case kLrelu: map_pack(z, [=](float v) { return v > 0 ? 1.0f : alpha; }); break;
    case kTanh: map_pack(z, [](float v) { return 1.0f - tanhf(v) * tanhf(v); }); break;
    case kSigmoid: map_pack(z, [](float v) { return logistic(v) * (1.0f - logistic(v)); }); break;
    case kElu: map_pack(z, [](float v) { return v > 0 ? 1.0f : expf(v); }); break;
    case kSelu: map_pack(z, [](float v) { return kSeluScale * (v > 0 ? 1.0f : kSeluAlpha * expf(v)); }); break;
    case kSoftplus: map_pack(z, [](float v) { return logistic(v); }); break;
    default: map_pack(z, [](float v) { return logistic(v) * (1.0f + v * (1.0f - logistic(v))); });
  }
}

// Numbers first ... first + V - 1; those of a pack, V > 1, begin at a multiple of V.
template <typename T, int V>
GANINV_BOTH void run_pack(const BiasAct& p, int64_t first) {
  float z[V], level[V], dy[V];
  load_pack(static_cast<const T*>(p.x) + first, z);
  if (p.bias) {
    const T* bias = static_cast<const T*>(p.bias);
    if (p.run % V == 0) {
      const float b = Number<T>::load(bias + p.channel(first));
      map_pack(z, [=](float v) { return v + b; });
    } else if (p.run == 1 && p.channels % V == 0) {
      float b[V];
      load_pack(bias + p.channel(first), b);
      for (int i = 0; i < V; ++i) z[i] += b[i];
    } else {
      for (int i = 0; i < V; ++i) z[i] += Number<T>::load(bias + p.channel(first + i));
    }
  }
  const float gain = p.gain, limit = p.clamp;
  if (!p.upstream) {
    activate(z, p);
    map_pack(z, [=](float v) { return v * gain; });
    if (limit >= 0) map_pack(z, [=](float v) { return v < -limit ? -limit : v > limit ? limit : v; });  // lets NaN pass
    return store_pack(static_cast<T*>(p.y) + first, z);
  }
  load_pack(static_cast<const T*>(p.upstream) + first, dy);
  for (int i = 0; i < V; ++i) level[i] = z[i];
  if (limit >= 0) activate(level, p);
  derive(z, p);
  for (int i = 0; i < V; ++i) {
    z[i] *= gain * dy[i];
    if (limit >= 0 && !(fabsf(level[i] * gain) <= limit)) z[i] = 0.0f;
  }
  store_pack(static_cast<T*>(p.y) + first, z);
}

// What thread `index` of pack_count does: a pack, or one of the numbers left over.
template <typename T, int V>
GANINV_BOTH void run_thread(const BiasAct& p, int64_t index) {
  const int64_t packs = p.size / V;
  if (index < packs)
    run_pack<T, V>(p, index * V);
  else if (index - packs < p.size % V)
    run_pack<T, 1>(p, packs * V + index - packs);
}

template <int V>
int64_t thread_count(const BiasAct& p) {
  return p.size / V + p.size % V;
}

// Whether all may be read and written in packs.
inline bool in_packs(const BiasAct& p) { return aligned(p.x) && aligned(p.upstream) && aligned(p.y) && aligned(p.bias); }

}  // namespace ganinv
