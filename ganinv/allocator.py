"""Lets glibc keep the memory that is freed.

Large blocks go back to the system as soon as they are free, and each page of the next one is paid for again.
Synthesis and training take and free the same large blocks over and over: thousands of pages a picture.
"""

from __future__ import annotations

import ctypes
import os
import sys

# parameters of mallopt(3) and what they are set to
_SETTINGS = {
    -4: 0,  # M_MMAP_MAX: no block has pages of its own, which would go when it is freed
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: bytes free at the heap's end from which they are given back
    -2: 2**28,  # M_TOP_PAD: bytes taken beyond those asked for
}


def keep_freed_memory() -> bool:
    """Makes this process keep what it frees, for its next blocks; whether that was done.

    For processes that are ours alone, as the commands are. Nothing is done where the C library is not glibc,
    or where a MALLOC_ variable of the environment says what is wanted.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in _SETTINGS.items())
