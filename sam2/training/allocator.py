"""Tell the C library to keep freed memory: a training step frees and asks for the same gigabyte again and again.

By default glibc hands every large block back to the system, and each step pays to have its pages zeroed and mapped
anew: on a small machine that took longer than the arithmetic.
"""

import ctypes
import platform

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3        # of mallopt(3)
LARGEST = 2**31 - 1                                         # mallopt takes an int


def keep_freed_memory() -> bool:
    """Make this process keep what it frees, at the price of a larger resident size; False where there is no glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((MMAP_THRESHOLD, LARGEST), (TRIM_THRESHOLD, LARGEST), (TOP_PAD, 2**28))
    return all(mallopt(name, value) == 1 for name, value in settings)
