// Large pages for large results: the first touch of a fresh 134 MB tensor in pages of 4 KB costs about as much as writing it.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ganinv {

inline void large_pages(const at::Tensor& fresh) {
#if defined(__linux__)
  constexpr uintptr_t kPage = 2 << 20;
  const uintptr_t start = reinterpret_cast<uintptr_t>(fresh.data_ptr());
  const uintptr_t first = (start + kPage - 1) / kPage * kPage, last = (start + fresh.nbytes()) / kPage * kPage;
  if (last > first + 4 * kPage) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // a wish: may fail
#else
  (void)fresh;
#endif
}

}  // namespace ganinv
