// upfirdn2d on CUDA: a launcher that takes plain pointers and compiles without PyTorch. The taps of 4 are those of StyleGAN2's
// layers, those of 12 its augmentations' and StyleGAN3's.
#include "upfirdn2d.h"

#include "lane_kernel.cuh"

namespace ganinv {

int launch_upfirdn2d(const Upfirdn2d& p, FloatType type, cudaStream_t stream) {
  return launch_lanes<Shape<1, 1, 4>, Shape<2, 1, 4>, Shape<1, 2, 4>, Shape<1, 1, 12>, Shape<2, 1, 12>, Shape<1, 2, 12>,
                      AnyShape>(p, Nothing(), type, stream);
}

}  // namespace ganinv
