// filtered_lrelu on CUDA: the kernel around filtered_lrelu_tile.h and its launcher, which takes plain pointers and compiles
// without PyTorch. filtered_lrelu_cuda.cpp is what PyTorch calls.
#include "filtered_lrelu.h"

namespace ganinv {

namespace {

constexpr int kThreadsX = 32, kThreadsY = 8;

struct Threads {
  template <typename F>
  __device__ void operator()(int rows, int columns, const F& f) const {
    for (int row = threadIdx.y; row < rows; row += kThreadsY)
      for (int column = threadIdx.x; column < columns; column += kThreadsX) f(row, column);
    __syncthreads();
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreadsX* kThreadsY) kernel(const FilteredLrelu p, const Plan t) {
  extern __shared__ float shared[];
  run_tile<T>(p, t, blockIdx.x, shared, Threads());
}

template <typename T>
cudaError_t launch(const FilteredLrelu& p, const Plan& t, cudaStream_t stream) {
  const int bytes = t.floats * static_cast<int>(sizeof(float));
  const cudaError_t error = cudaFuncSetAttribute(kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  kernel<T><<<static_cast<unsigned>(block_count(p, t)), dim3(kThreadsX, kThreadsY), bytes, stream>>>(p, t);
  return cudaGetLastError();
}

}  // namespace

int launch_filtered_lrelu(const FilteredLrelu& p, FloatType type, cudaStream_t stream) {
  int device = 0, most = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error != cudaSuccess) return error;
  const Plan t = choose_tile(p, most < kSharedBytes ? most : kSharedBytes);
  if (t.width == 0 || block_count(p, t) > INT32_MAX) return kOutsideLimits;
  if (type == kFloat16) return launch<__half>(p, t, stream);
  if (type == kBFloat16) return launch<__nv_bfloat16>(p, t, stream);
  return launch<float>(p, t, stream);
}

}  // namespace ganinv
