// bias_act on CUDA: the kernel around bias_act_pack.h and its launcher, which takes plain pointers and compiles without PyTorch.
#include "bias_act.h"

namespace ganinv {

namespace {

constexpr int kThreads = 256;

template <typename T, int V>
__global__ void __launch_bounds__(kThreads) kernel(const BiasAct p) {
  run_thread<T, V>(p, int64_t{blockIdx.x} * kThreads + threadIdx.x);
}

template <typename T, int V>
cudaError_t launch(const BiasAct& p, cudaStream_t stream) {
  kernel<T, V><<<static_cast<unsigned>(ceil_div(thread_count<V>(p), kThreads)), kThreads, 0, stream>>>(p);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch(const BiasAct& p, cudaStream_t stream) {
  return in_packs(p) ? launch<T, kPackBytes / sizeof(T)>(p, stream) : launch<T, 1>(p, stream);
}

}  // namespace

int launch_bias_act(const BiasAct& p, FloatType type, cudaStream_t stream) {
  if (type == kFloat16) return launch<__half>(p, stream);
  if (type == kBFloat16) return launch<__nv_bfloat16>(p, stream);
  return launch<float>(p, stream);
}

}  // namespace ganinv
