// The kernel around upfirdn2d_lane.h and how to launch it, for upfirdn2d.cu and epilogue.cu.
#pragma once

#include <cuda_runtime_api.h>

#include "upfirdn2d_lane.h"

namespace ganinv {

constexpr int kLaneThreads = 256;
constexpr int kLongestSegment = 32, kShortestSegment = 4;  // a segment reads (taps - 1) rows more than it makes

template <typename T, int V, typename S, typename Finish>
__global__ void __launch_bounds__(kLaneThreads) lane_kernel(const Upfirdn2d p, const Finish finish, const int64_t threads) {
  const int64_t thread = int64_t{blockIdx.x} * kLaneThreads + threadIdx.x;
  if constexpr (S::kTaps > 0) {
    __shared__ alignas(alignof(Weights<S::kTaps>)) unsigned char shared[sizeof(Weights<S::kTaps>)];
    if (threadIdx.x == 0) new (shared) Weights<S::kTaps>(p);
    __syncthreads();
    if (thread < threads) run_lane<T, V, S>(p, *reinterpret_cast<const Weights<S::kTaps>*>(shared), thread, finish);
  } else {
    if (thread < threads) run_lane<T, V, S>(p, 0, thread, finish);
  }
}

// Segments as long as they may be with the card still full.
template <int V>
cudaError_t choose_segment(Upfirdn2d& p) {
  int device = 0, processors = 0, each = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&each, cudaDevAttrMaxThreadsPerMultiProcessor, device);
  p.segment = kLongestSegment;
  while (error == cudaSuccess && p.segment > kShortestSegment && thread_count<V>(p) < int64_t{processors} * each)
    p.segment /= 2;
  return error;
}

template <typename T, int V, typename Finish, typename... Shapes>
cudaError_t launch_pack(Upfirdn2d p, const Finish& finish, cudaStream_t stream) {
  const cudaError_t error = choose_segment<V>(p);
  if (error != cudaSuccess) return error;
  const int64_t threads = thread_count<V>(p);
  const auto blocks = static_cast<unsigned>(ceil_div(threads, kLaneThreads));
  with_shape<Shapes...>(p, [&](auto shape) {
    lane_kernel<T, V, decltype(shape)><<<blocks, kLaneThreads, 0, stream>>>(p, finish, threads);
    return 0;
  });
  return cudaGetLastError();
}

template <typename T, typename Finish, typename... Shapes>
cudaError_t launch_type(const Upfirdn2d& p, const Finish& finish, cudaStream_t stream) {
  if (in_packs<T>(p)) return launch_pack<T, kPackBytes / sizeof(T), Finish, Shapes...>(p, finish, stream);
  return launch_pack<T, 1, Finish, Shapes...>(p, finish, stream);
}

template <typename... Shapes, typename Finish>
cudaError_t launch_lanes(const Upfirdn2d& p, const Finish& finish, FloatType type, cudaStream_t stream) {
  if (type == kFloat16) return launch_type<__half, Finish, Shapes...>(p, finish, stream);
  if (type == kBFloat16) return launch_type<__nv_bfloat16, Finish, Shapes...>(p, finish, stream);
  return launch_type<float, Finish, Shapes...>(p, finish, stream);
}

}  // namespace ganinv
