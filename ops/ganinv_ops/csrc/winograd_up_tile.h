// Tiles of a transposed 3 x 3 convolution of stride 2, Winograd's way: 5 x 5 inputs, of which the 8 x 8 outputs are made that are
// nearest to 4 x 4 of them.
#pragma once

#include "winograd.h"

namespace ganinv {

// ---- transforms of one axis, points 0, 1, -1, 2 and infinity ---------------------------------------------------------------

inline void into_doubling(const Vector* d, int step, Vector* t) {
  const Vector d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
  t[0] = 2 * (d0 - d2) + (d3 - d1);
  t[1] = d3 - d2 - 2 * d1;
  t[2] = d3 - 3 * d2 + 2 * d1;
  t[3] = d3 - d1;
  t[4] = d4 - 2 * (d3 - d1) - d2;
}

inline void out_of_doubling(const Vector* m, int step, Vector* y) {
  const Vector sum = m[step] + m[2 * step], difference = m[step] - m[2 * step], third = m[3 * step];
  y[0] = m[0] + sum + third;
  y[1] = difference + 2 * third;
  y[2] = sum + 4 * third;
  y[3] = difference + 8 * third + m[4 * step];
}

// The transpose of out_of_doubling.
inline void back_into_doubling(const Vector* y, int step, Vector* m) {
  const Vector even = y[0] + y[2 * step], odd = y[step] + y[3 * step];
  m[0] = y[0];
  m[1] = even + odd;
  m[2] = even - odd;
  m[3] = y[0] + 2 * y[step] + 4 * y[2 * step] + 8 * y[3 * step];
  m[4] = y[3 * step];
}

// Positions (even, even), (even, odd), (odd, even), (odd, odd) of the outputs along y and x.
inline Transform doubling_transform(bool flip) {
  constexpr double kTaps[6][3] = {{0, 0, 1.0 / 2},     {-1.0 / 2, 0, -1.0 / 2}, {1.0 / 6, 0, -1.0 / 6},
                                  {1.0 / 3, 0, 1.0 / 6}, {1, 0, 0},               {0, 1, 0}};  // the last is the odd output's
  Transform matrix;
  for (int64_t p = 0; p < kPositions; ++p) {
    const int64_t y = p < 25 ? p / 5 : p < 30 ? p - 25 : 5, x = p < 25 ? p % 5 : p < 30 ? 5 : p - 30;
    for (int64_t tap = 0; tap < 9; ++tap) {
      const int64_t own = flip ? 8 - tap : tap;
      matrix[p][tap] = static_cast<float>(kTaps[y][own / 3] * kTaps[x][own % 3]);
    }
  }
  return matrix;
}

// The tiles of pictures, as `convolve` wants them.
template <typename T>
struct DoublingTiles {
  static constexpr int64_t kProducts = 81;

  const T* x;           // [N, H, W, I]
  const float* styles;  // [N, I]
  int64_t pictures, height, width, in;

  static int64_t rows(int64_t position) { return position < 25 ? 1 : position < 35 ? 4 : 16; }
  static int64_t before(int64_t position) {
    return position < 25 ? position : position < 35 ? 25 + 4 * (position - 25) : 65;
  }

  int64_t across() const { return width / 4 + 1; }
  int64_t each() const { return across() * (height / 4 + 1); }  // picture
  int64_t count() const { return pictures * each(); }

  struct Place {
    int64_t picture, top, left;  // of the tile's 4 x 4 inputs
    int64_t even_rows, odd_rows, even_columns, odd_columns;  // of its outputs that there are
  };
  Place place(int64_t tile) const {
    const int64_t top = tile % each() / across() * 4, left = tile % each() % across() * 4;
    const auto up_to_4 = [](int64_t left_over) { return std::min<int64_t>(4, left_over); };
    return {tile / each(),         top, left, up_to_4(height + 1 - top), up_to_4(height - top), up_to_4(width + 1 - left),
            up_to_4(width - left)};
  }

  void enter(int64_t tile, int64_t t, Block<DoublingTiles> block, float* to) const {
    const Place of = place(tile);
    const int64_t top = of.top - 1, left = of.left - 1;
    const T* from = x + of.picture * height * width * in;
    for (int64_t c = 0; c < in; c += kLane) {
      const Vector s = load(styles + of.picture * in + c);
      Vector d[25], across[25], row[5];
      for (int64_t i = 0; i < 5; ++i)
        for (int64_t j = 0; j < 5; ++j) {
          const bool there = top + i >= 0 && top + i < height && left + j >= 0 && left + j < width;
          d[5 * i + j] = there ? s * load_lanes(from + ((top + i) * width + left + j) * in + c) : Vector{};
        }
      for (int64_t i = 0; i < 5; ++i) into_doubling(d + 5 * i, 1, across + 5 * i);
      for (int64_t j = 0; j < 5; ++j) {
        into_doubling(across + j, 5, row);
        for (int64_t i = 0; i < 5; ++i) store(to + block.at(5 * i + j, t) + c, row[i]);
        for (int64_t i = 0; i < 4; ++i) store(to + block.at(30 + j, t, i) + c, across[5 * (i + 1) + j]);
      }
      for (int64_t j = 0; j < 4; ++j) {
        into_doubling(d + j + 1, 5, row);
        for (int64_t i = 0; i < 5; ++i) store(to + block.at(25 + i, t, j) + c, row[i]);
        for (int64_t i = 0; i < 4; ++i) store(to + block.at(35, t, 4 * i + j) + c, d[5 * (i + 1) + j + 1]);
      }
    }
  }
};

}  // namespace ganinv
