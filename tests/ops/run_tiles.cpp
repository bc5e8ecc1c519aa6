// Runs what the CUDA blocks of filtered_lrelu do, one after the other, on the host. Shared memory starts as not-a-number, and the
// items of a step can come in either order: a result that depends on it, or on what was not written, shows.
#include <cmath>
#include <vector>

#include "filtered_lrelu_tile.h"

namespace {

struct Each {
  bool backwards;

  template <typename F>
  void operator()(int rows, int columns, const F& f) const {
    for (int i = 0; i < rows * columns; ++i) {
      const int item = backwards ? rows * columns - 1 - i : i;
      f(item / columns, item % columns);
    }
  }
};

ganinv::Taps taps(const float* data, const int64_t* n) {
  return {data, static_cast<int>(n[0]), static_cast<int>(n[1]), n[2] != 0};
}

}  // namespace

// numbers: as below. Returns the number of blocks; 0 where no tile fits `limit` bytes.
extern "C" int64_t run_tiles(const float* x, float* y, const float* bias, uint8_t* mask, const float* first, const float* second,
                             const int64_t* numbers, const float* activation, int64_t limit, bool backwards) {
  ganinv::FilteredLrelu p{};
  const int64_t* n = numbers;
  p.x = x, p.y = y, p.bias = bias, p.mask = mask;
  for (int i = 0; i < 4; ++i) p.x_strides[i] = *n++;
  for (int i = 0; i < 4; ++i) p.y_strides[i] = *n++;
  p.planes = *n++;
  for (int* target : {&p.channels, &p.in_h, &p.in_w, &p.mid_h, &p.mid_w, &p.out_h, &p.out_w, &p.up, &p.down, &p.up_left,
                      &p.up_top, &p.down_left, &p.down_top, &p.mode, &p.mask_pictures})
    *target = static_cast<int>(*n++);
  p.first = taps(first, n), p.second = taps(second, n + 3);
  p.gain = activation[0], p.slope = activation[1], p.clamp = activation[2];
  const ganinv::Plan plan = ganinv::choose_tile(p, limit);
  if (plan.width == 0) return 0;
  const int64_t blocks = ganinv::block_count(p, plan);
  for (int64_t block = 0; block < blocks; ++block) {
    std::vector<float> shared(plan.floats, NAN);
    ganinv::run_tile<float>(p, plan, block, shared.data(), Each{backwards});
  }
  return blocks;
}
