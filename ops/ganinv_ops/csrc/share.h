// Work for all threads, handed out piece by piece as each gets free. at::parallel_for cuts it into equal shares and waits for the
// slowest core: one of another kind, or one with other work to do.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

#include "resample.h"

namespace ganinv {

constexpr int64_t kPieces = 4;  // for each thread; a piece of rows begins with a few that the one before has read as well

// run(begin, end) for all of [0, jobs) in pieces of at least `grain` jobs that differ by one at most. Which thread has which is by
// chance.
template <typename F>
void share(int64_t jobs, int64_t grain, const F& run) {
  const int64_t threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  const int64_t pieces = threads == 1 ? 1 : std::min(jobs / grain, threads * kPieces);
  if (pieces <= 1) {
    if (jobs > 0) run(int64_t{0}, jobs);
    return;
  }
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min(threads, pieces), 1, [&](int64_t, int64_t) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < pieces;)
      run(jobs * i / pieces, jobs * (i + 1) / pieces);
  });
}

}  // namespace ganinv
