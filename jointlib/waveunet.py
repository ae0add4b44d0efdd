"""The front-end: Wave-U-Net (Stoller et al. 2018), as used for enhancement by Macartney and Weyde (2018)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jointlib.convolutions import Conv
from jointlib.layers import BatchNormLeakyReLU, channels_last, concatenate, cut, stretch


def _conv_block(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(
        Conv(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
        BatchNormLeakyReLU(out_channels),
    )


class WaveUNet(nn.Module):
    """Map a noisy wave to an enhanced wave and to the bottleneck it passes through.

    The defaults are the published sizes: 12 layers, 24 more channels at each, kernels of 15 down and 5 up;
    10,132,802 parameters.

    Args:
        layers: levels of the U; the bottleneck has a stride of ``2 ** layers`` samples.
        channels: channels of the first level, and how many each deeper level adds.
        down_kernel, up_kernel: odd kernel sizes of the two arms, in samples of their level.
        chunk: None reads the whole wave at once. A number of samples, a multiple of the stride, reads the wave in
            separate chunks of that length, as the authors' closest published code does with 16,384.

    Attributes:
        tile: samples. In inference a longer wave is read in overlapping tiles, with the same result, so that memory
            stays bounded; None reads it at once.

    Raises:
        ValueError: a chunk that the stride does not divide.
    """

    def __init__(
        self,
        layers: int = 12,
        channels: int = 24,
        down_kernel: int = 15,
        up_kernel: int = 5,
        chunk: int | None = None,
    ):
        super().__init__()
        widths = [channels * level for level in range(1, layers + 1)]
        self.stride = 2**layers
        self.bottleneck_channels = widths[-1]
        if chunk is not None and (chunk <= 0 or chunk % self.stride):
            raise ValueError(f"chunk={chunk}: must be a positive multiple of the stride, {self.stride} samples")
        self.chunk, self.tile = chunk, 2**18
        below, above = down_kernel // 2, up_kernel // 2 + 4  # a level's own samples, of filters and of stretching
        self.reach = below * (2 * self.stride - 1) + above * (self.stride - 1)  # samples to each side of one
        self.wide = channels >= 16  # a narrower one is faster in torch's own layout
        self.encoder = nn.ModuleList(
            _conv_block(inputs, outputs, down_kernel) for inputs, outputs in zip([1, *widths], widths, strict=False)
        )
        self.middle = _conv_block(widths[-1], widths[-1], down_kernel)
        below = [*widths[1:], widths[-1]]  # channels that arrive from the level below
        self.decoder = nn.ModuleList(
            _conv_block(deep + skip, skip, up_kernel)
            for deep, skip in zip(reversed(below), reversed(widths), strict=True)
        )
        self.head = nn.Sequential(Conv(channels + 1, 1, kernel_size=1), nn.Tanh())

    def forward(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Return enhanced (B, 1, T) and bottleneck (B, C, F), F = ceil(T / stride), of noisy (B, 1, T); any T >= 1."""
        batch, _, length = noisy.shape
        unit = self.chunk or self.stride
        padded = F.pad(noisy, (0, -length % unit))  # (B, 1, T'), zeros at the end
        if self.chunk is None and self.tile is not None and not (self.training or torch.is_grad_enabled()):
            enhanced, bottleneck = self._in_tiles(padded)
        elif self.chunk is None:
            enhanced, bottleneck = self._process(padded)
        else:
            chunks = padded.view(batch, -1, self.chunk).flatten(0, 1).unsqueeze(1)  # (B * N, 1, chunk)
            enhanced, bottleneck = self._process(chunks)
            frames = bottleneck.unflatten(0, (batch, -1))  # (B, N, C, F / N)
            bottleneck = frames.transpose(1, 2).flatten(2)  # (B, C, F)
            enhanced = enhanced.reshape(batch, 1, -1)
        return enhanced[..., :length], bottleneck

    def _in_tiles(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """As `_process`, tile by tile, each with as much of its neighbours as it sees."""
        total, stride = wave.shape[-1], self.stride
        tile, margin = -(-self.tile // stride) * stride, -(-self.reach // stride) * stride
        parts = []
        for start in range(0, total, tile):
            first, end = max(0, start - margin), min(total, start + tile)
            enhanced, bottleneck = self._process(wave[..., first : min(total, end + margin)], first, total)
            frames = slice((start - first) // stride, (end - first) // stride)
            parts.append((enhanced[..., start - first : end - first], bottleneck[..., frames]))
        enhanced, bottleneck = zip(*parts, strict=True)
        return torch.cat(enhanced, dim=-1), torch.cat(bottleneck, dim=-1)

    def _process(self, wave: Tensor, first: int = 0, total: int | None = None) -> tuple[Tensor, Tensor]:
        """The network on a wave (B, 1, T), or on the part of it that begins at sample `first` of `total`."""
        total, scale, skips = total or wave.shape[-1], self.stride, []
        hidden = wave = channels_last(wave) if self.wide else wave
        for down in self.encoder:
            hidden = down(hidden)
            skips.append(hidden)
            hidden = cut(hidden, slice(None, None, 2))  # decimation
        bottleneck = hidden = self.middle(hidden)  # (B, C, F)
        for up in self.decoder:
            hidden = up(concatenate(stretch(hidden, first // scale, total // scale), skips.pop()))
            scale //= 2
        return self.head(concatenate(hidden, wave)), bottleneck
