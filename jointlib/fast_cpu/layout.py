"""The memory layout that a CPU convolves fastest: (B, C, T) stored as (B, T, C), channels side by side.

For it oneDNN uses all vector units; for torch's own layout it copies, or a slower library is called.
"""

from torch import Tensor


def channels_last(x: Tensor, least: int = 0) -> Tensor:
    """The same (B, C, T), on a CPU stored as (B, T, C), unless the whole batch has fewer than `least` samples."""
    batch, channels, length = x.shape
    if x.device.type != "cpu" or batch * length < least:
        return x
    rows = x.transpose(1, 2).contiguous()
    return rows.as_strided(x.shape, (length * channels, 1, channels))  # torch may give an axis of one any stride


def is_channels_last(x: Tensor) -> bool:
    """Whether (B, C, T) is stored on a CPU as (B, T, C)."""
    return x.device.type == "cpu" and x.stride(1) == 1
