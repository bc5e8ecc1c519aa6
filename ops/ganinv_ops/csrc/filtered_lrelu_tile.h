// What one CUDA block of filtered_lrelu does: a tile of the output, for eight planes one after the other, all in shared memory.
//
// Plain C++ that knows neither CUDA nor PyTorch: the kernel (filtered_lrelu.cu) runs each step with its threads, a test runs the
// same steps in a loop on the host. A step is a rectangle of independent items; `each(rows, columns, f)` calls f(row, column) for
// all of them and returns when all are done. Eight planes a block, because their bits share a byte of the mask.
#pragma once

#include <cstdint>

#include "number.h"
#include "resample.h"

namespace ganinv {

struct Taps {
  const float* data;  // [columns] when separable, else [rows, columns]; scaled, in the order of a correlation
  int rows, columns;
  bool separable;

  GANINV_BOTH int count() const { return separable ? columns : rows * columns; }
};

struct FilteredLrelu {
  const void* x;        // [N, C, in_h, in_w], any strides (image, channel, row, column; in elements)
  void* y;              // [N, C, out_h, out_w], likewise
  const float* bias;    // [C] or null
  uint8_t* mask;        // [mask_pictures, planes / 8 rounded up, mid_h, mid_w], or null with kPlain
  int64_t x_strides[4], y_strides[4];
  int64_t planes;       // N * C
  int channels, in_h, in_w, mid_h, mid_w, out_h, out_w;
  Taps first, second;   // upsampling, downsampling
  int up, down;
  int up_left, up_top, down_left, down_top;  // padding before, of either filter
  int mode, mask_pictures;
  float gain, slope, clamp;  // a negative clamp is none
};

// Sizes of a tile and where its parts lie in shared memory, in floats.
struct Plan {
  int width, height;                        // of a tile of the output
  int mid_w, mid_h, in_w, in_h;             // what it needs
  int taps_first, taps_second, source, spread, middle, mask, floats;
};

inline Plan plan_tile(const FilteredLrelu& p, int width, int height) {
  Plan t;
  t.width = width, t.height = height;
  t.mid_w = (width - 1) * p.down + p.second.columns;
  t.mid_h = (height - 1) * p.down + p.second.rows;
  t.in_w = (t.mid_w + p.first.columns - 2) / p.up + 1;
  t.in_h = (t.mid_h + p.first.rows - 2) / p.up + 1;
  t.taps_first = 0;
  t.taps_second = t.taps_first + p.first.count();
  t.source = t.taps_second + p.second.count();
  const int narrow = p.second.separable ? t.mid_h * width : 0;  // takes the place of the input, which is used up by then
  t.spread = t.source + (narrow > t.in_h * t.in_w ? narrow : t.in_h * t.in_w);
  t.middle = t.spread + (p.first.separable ? t.in_h * t.mid_w : 0);
  t.mask = t.middle + t.mid_h * t.mid_w;
  t.floats = t.mask + (p.mode == kPlain ? 0 : (p.mask_pictures * t.mid_h * t.mid_w + 3) / 4);
  return t;
}

// The largest of a few tiles that fits `limit` bytes of shared memory; width 0 if none does.
inline Plan choose_tile(const FilteredLrelu& p, int64_t limit) {
  const int sizes[][2] = {{32, 32}, {32, 16}, {16, 16}, {16, 8}, {8, 8}, {8, 4}, {4, 4}};
  for (const auto& size : sizes) {
    const Plan t = plan_tile(p, size[0], size[1]);
    if (t.floats * int64_t{4} <= limit) return t;
  }
  return Plan{};
}

inline int64_t tiles_x(const FilteredLrelu& p, const Plan& t) { return ceil_div(p.out_w, t.width); }
inline int64_t tiles_y(const FilteredLrelu& p, const Plan& t) { return ceil_div(p.out_h, t.height); }
inline int64_t block_count(const FilteredLrelu& p, const Plan& t) {
  return ceil_div(p.planes, 8) * tiles_y(p, t) * tiles_x(p, t);
}

// The rectangle of the upsampled picture that a tile sees, and the input that this sees.
struct Tile {
  int64_t plane;             // the first of eight
  int out_x, out_y, out_w, out_h, mid_x, mid_y, in_x, in_y;

  GANINV_BOTH Tile(const FilteredLrelu& p, const Plan& t, int64_t block) {
    const int64_t across = ceil_div(p.out_w, t.width), down = ceil_div(p.out_h, t.height);
    plane = block / (across * down) * 8;
    out_x = static_cast<int>(block % across) * t.width;
    out_y = static_cast<int>(block / across % down) * t.height;
    out_w = p.out_w - out_x < t.width ? p.out_w - out_x : t.width;
    out_h = p.out_h - out_y < t.height ? p.out_h - out_y : t.height;
    mid_x = out_x * p.down - p.down_left;
    mid_y = out_y * p.down - p.down_top;
    in_x = Start(mid_x, p.up, p.up_left).input;
    in_y = Start(mid_y, p.up, p.up_top).input;
  }
};

GANINV_BOTH inline int64_t mask_index(const FilteredLrelu& p, int picture, int64_t plane, int y, int x) {
  return ((picture * ceil_div(p.planes, 8) + plane / 8) * p.mid_h + y) * p.mid_w + x;
}

// Leaky ReLU, gain and clamp; bit `bit` of the mask's bytes is written or read.
GANINV_BOTH inline float activate(const FilteredLrelu& p, float z, int bit, uint8_t* sign, uint8_t* inside) {
  if (p.mode == kMasked) {
    if (p.mask_pictures > 1 && !(*inside >> bit & 1)) return 0.0f;
    return z * (*sign >> bit & 1 ? p.gain : p.gain * p.slope);
  }
  float y = z * (z > 0 ? p.gain : p.gain * p.slope);
  if (p.mode == kKeep) {
    *sign = static_cast<uint8_t>(*sign | (z > 0) << bit);
    if (p.clamp >= 0) *inside = static_cast<uint8_t>(*inside | (y <= p.clamp && y >= -p.clamp) << bit);
  }
  if (p.clamp >= 0) {
    y = y < -p.clamp ? -p.clamp : y;  // not a number stays
    y = y > p.clamp ? p.clamp : y;
  }
  return y;
}

template <typename T, typename Each>
GANINV_BOTH void run_tile(const FilteredLrelu& p, const Plan& t, int64_t block, float* shared, const Each& each) {
  const Tile tile(p, t, block);
  float *first = shared + t.taps_first, *second = shared + t.taps_second;
  float *source = shared + t.source, *narrow = source, *spread = shared + t.spread, *middle = shared + t.middle;
  uint8_t* sign = reinterpret_cast<uint8_t*>(shared + t.mask);
  uint8_t* inside = sign + t.mid_h * t.mid_w;
  each(1, p.first.count(), [&](int, int k) { first[k] = p.first.data[k]; });
  each(1, p.second.count(), [&](int, int k) { second[k] = p.second.data[k]; });
  if (p.mode != kPlain)
    each(p.mask_pictures * t.mid_h, t.mid_w, [&](int row, int column) {
      const int y = tile.mid_y + row % t.mid_h, x = tile.mid_x + column;
      const bool there = p.mode == kMasked && y >= 0 && y < p.mid_h && x >= 0 && x < p.mid_w;
      sign[row * t.mid_w + column] = there ? p.mask[mask_index(p, row / t.mid_h, tile.plane, y, x)] : 0;
    });
  for (int bit = 0; bit < 8 && tile.plane + bit < p.planes; ++bit) {
    const int64_t image = (tile.plane + bit) / p.channels, channel = (tile.plane + bit) % p.channels;
    const float bias = p.bias ? p.bias[channel] : 0.0f;
    const T* x = static_cast<const T*>(p.x) + image * p.x_strides[0] + channel * p.x_strides[1];
    T* y = static_cast<T*>(p.y) + image * p.y_strides[0] + channel * p.y_strides[1];

    each(t.in_h, t.in_w, [&](int row, int column) {
      const int r = tile.in_y + row, c = tile.in_x + column;
      const bool there = r >= 0 && r < p.in_h && c >= 0 && c < p.in_w;
      source[row * t.in_w + column] =
          there ? Number<T>::load(x + r * p.x_strides[2] + c * p.x_strides[3]) + bias : 0.0f;
    });

    if (p.first.separable)
      each(t.in_h, t.mid_w, [&](int row, int column) {
        const Start at(tile.mid_x + column, p.up, p.up_left);
        const float* in = source + row * t.in_w + at.input - tile.in_x;
        float sum = 0;
        for (int k = at.tap; k < p.first.columns; k += p.up) sum += first[k] * *in++;
        spread[row * t.mid_w + column] = sum;
      });
    each(t.mid_h, t.mid_w, [&](int row, int column) {
      const int r = tile.mid_y + row, c = tile.mid_x + column, at = row * t.mid_w + column;
      const Start y0(r, p.up, p.up_top), x0(c, p.up, p.up_left);
      float sum = 0;
      if (p.first.separable) {
        const float* in = spread + (y0.input - tile.in_y) * t.mid_w + column;
        for (int k = y0.tap; k < p.first.rows; k += p.up, in += t.mid_w) sum += first[k] * *in;
      } else {
        const float* in = source + (y0.input - tile.in_y) * t.in_w + x0.input - tile.in_x;
        for (int k = y0.tap; k < p.first.rows; k += p.up, in += t.in_w)
          for (int l = x0.tap, i = 0; l < p.first.columns; l += p.up, ++i) sum += first[k * p.first.columns + l] * in[i];
      }
      const bool there = r >= 0 && r < p.mid_h && c >= 0 && c < p.mid_w;
      middle[at] = there ? activate(p, sum, bit, sign + at, inside + at) : 0.0f;
    });

    if (p.second.separable)
      each(t.mid_h, tile.out_w, [&](int row, int column) {
        const float* in = middle + row * t.mid_w + column * p.down;
        float sum = 0;
        for (int k = 0; k < p.second.columns; ++k) sum += second[k] * in[k];
        narrow[row * t.width + column] = sum;
      });
    each(tile.out_h, tile.out_w, [&](int row, int column) {
      float sum = 0;
      if (p.second.separable) {
        const float* in = narrow + row * p.down * t.width + column;
        for (int k = 0; k < p.second.rows; ++k) sum += second[k] * in[k * t.width];
      } else {
        const float* in = middle + row * p.down * t.mid_w + column * p.down;
        for (int k = 0; k < p.second.rows; ++k)
          for (int l = 0; l < p.second.columns; ++l) sum += second[k * p.second.columns + l] * in[k * t.mid_w + l];
      }
      Number<T>::store(y + (tile.out_y + row) * p.y_strides[2] + (tile.out_x + column) * p.y_strides[3], sum);
    });
  }
  if (p.mode == kKeep)  // tiles overlap; each writes up to where the next one starts
    each(p.mask_pictures * t.mid_h, t.mid_w, [&](int row, int column) {
      const int y = tile.mid_y + row % t.mid_h, x = tile.mid_x + column;
      const bool own_y = row % t.mid_h < t.height * p.down || tile.out_y + tile.out_h == p.out_h;
      const bool own_x = column < t.width * p.down || tile.out_x + tile.out_w == p.out_w;
      if (own_y && own_x && y >= 0 && y < p.mid_h && x >= 0 && x < p.mid_w)
        p.mask[mask_index(p, row / t.mid_h, tile.plane, y, x)] = sign[row * t.mid_w + column];
    });
}

}  // namespace ganinv
