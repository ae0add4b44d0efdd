"""Memory on a CPU."""

import ctypes
import sys


def keep_freed_memory() -> None:
    """Have glibc keep freed blocks: handing them back and faulting them in again costs a CPU run half its time."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no separate mappings for large blocks
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap, whatever its size
