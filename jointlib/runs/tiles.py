"""Long waves through a Wave-U-Net piece by piece, with the result of the whole, so that memory stays bounded."""

import torch
from torch import Tensor

from jointlib.waveunet import WaveUNet

TILE = 2**18  # samples, 16 s


def enhance_in_tiles(unet: WaveUNet, tile: int = TILE) -> None:
    """Have a network in evaluation mode enhance waves longer than `tile` samples in overlapping tiles.

    A tile is read with as much of its neighbours as its samples depend on, and its upsampling is told where it lies.
    """
    whole, stride = unet.enhance, unet.stride
    tile, margin = (-(-samples // stride) * stride for samples in (tile, reach(unet)))

    def enhance(wave: Tensor) -> tuple[Tensor, Tensor]:
        total, parts = wave.shape[-1], []
        if total <= tile:  # as chunks that the network takes separately are; a few of them at a time
            return _joined([whole(rows) for rows in wave.split(tile // total)], dim=0)
        try:
            for start in range(0, total, tile):
                first, end = max(0, start - margin), min(total, start + tile)
                _place(unet, first, total)
                enhanced, bottleneck = whole(wave[..., first : min(total, end + margin)])
                frames = slice((start - first) // stride, (end - first) // stride)
                parts.append((enhanced[..., start - first : end - first], bottleneck[..., frames]))
        finally:  # whatever ends this wave, the next one is another
            _place(unet, 0, 0)
        return _joined(parts, dim=-1)

    unet.enhance = enhance


def _joined(parts: list[tuple[Tensor, Tensor]], dim: int) -> tuple[Tensor, Tensor]:
    enhanced, bottleneck = zip(*parts, strict=True)
    return torch.cat(enhanced, dim=dim), torch.cat(bottleneck, dim=dim)


def reach(unet: WaveUNet) -> int:
    """How many samples to each side an enhanced sample depends on, at most."""
    down, up = (blocks[0][0].kernel_size[0] // 2 for blocks in (unet.encoder, unet.decoder))
    return down * (2 * unet.stride - 1) + (up + 4) * (unet.stride - 1)  # 4: the neighbours that upsampling takes


def _place(unet: WaveUNet, first: int, total: int) -> None:
    """Tell every upsampling which part of how long a wave comes; a total of 0: the whole."""
    for level, upsample in enumerate(unet.upsample):
        stride = unet.stride >> level
        upsample.part = (first // stride, total // stride) if total else None
