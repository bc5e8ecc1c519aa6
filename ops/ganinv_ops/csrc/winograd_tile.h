// Tiles of F(4 x 4, 3 x 3), Winograd's algorithm for 3 x 3 convolutions (Lavin & Gray 2016): 6 x 6 inputs, of which 4 x 4 outputs
// are made, 4 pixels apart.
#pragma once

#include "winograd.h"

namespace ganinv {

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

// The transpose of out_of_tile: what of a result's gradient reaches each number of a tile.
inline void back_into_tile(const Vector* y, Vector* m, int step) {
  const Vector even = y[0] + y[2 * step], odd = y[step] + y[3 * step];
  const Vector even2 = y[0] + 4 * y[2 * step], odd2 = 2 * y[step] + 8 * y[3 * step];
  m[0] = y[0];
  m[1] = even + odd;
  m[2] = even - odd;
  m[3] = even2 + odd2;
  m[4] = even2 - odd2;
  m[5] = y[3 * step];
}

inline Transform weight_transform(bool flip) {
  constexpr double kInto[6][3] = {{1.0 / 4, 0, 0},
                                  {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                  {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                  {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                  {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                  {0, 0, 1}};
  Transform matrix;
  for (int64_t p = 0; p < kPositions; ++p)
    for (int64_t tap = 0; tap < 9; ++tap) {
      const int64_t own = flip ? tap : 8 - tap;
      matrix[p][tap] = static_cast<float>(kInto[p / 6][own / 3] * kInto[p % 6][own % 3]);
    }
  return matrix;
}

// The tiles of pictures, as `convolve` wants them.
template <typename T>
struct Tiles {
  static constexpr int64_t kProducts = kPositions;

  const T* x;           // [N, H, W, I]
  const float* styles;  // [N, I]
  int64_t pictures, height, width, in, padding;

  static int64_t rows(int64_t) { return 1; }
  static int64_t before(int64_t position) { return position; }

  // Of the result.
  int64_t lines() const { return height + 2 * padding - 2; }
  int64_t line() const { return width + 2 * padding - 2; }
  int64_t across() const { return (line() + 3) / 4; }
  int64_t each() const { return across() * ((lines() + 3) / 4); }  // picture
  int64_t count() const { return pictures * each(); }

  struct Place {
    int64_t picture, top, left;  // of the tile's outputs
  };
  Place place(int64_t tile) const {
    return {tile / each(), tile % each() / across() * 4, tile % each() % across() * 4};
  }

  void enter(int64_t tile, int64_t t, Block<Tiles> block, float* to) const {
    const Place at = place(tile);
    const int64_t top = at.top - padding, left = at.left - padding;
    const T* from = x + at.picture * height * width * in;
    const float* scale = styles + at.picture * in;
    const bool inside = top >= 0 && left >= 0 && top + 6 <= height && left + 6 <= width;
    for (int64_t c = 0; c < in; c += kLane) {
      Vector d[36], across[36];
      const Vector s = load(scale + c);
      for (int i = 0; i < 6; ++i)
        for (int j = 0; j < 6; ++j) {
          const bool there = inside || (top + i >= 0 && top + i < height && left + j >= 0 && left + j < width);
          d[6 * i + j] = there ? s * load_lanes(from + ((top + i) * width + left + j) * in + c) : Vector{};
        }
      for (int j = 0; j < 6; ++j) into_tile(d + j, across + 6 * j, 6);  // across[6 j + i]
      for (int i = 0; i < 6; ++i) {
        Vector row[6];
        into_tile(across + i, row, 6);
        for (int j = 0; j < 6; ++j) store(to + block.at(6 * i + j, t) + c, row[j]);
      }
    }
  }
};

}  // namespace ganinv
