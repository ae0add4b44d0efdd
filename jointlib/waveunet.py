"""The front-end: Wave-U-Net (Stoller et al. 2018), as used for enhancement by Macartney and Weyde (2018).

Shapes: B utterances, C channels, T samples, F frames of the bottleneck.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvBlock(nn.Sequential):
    """Convolution, batch norm, LeakyReLU: (B, C, T) -> (B, C', T)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(
            nn.Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
            nn.BatchNorm1d(out_channels),
            nn.LeakyReLU(0.1),
        )


class Upsample(nn.Module):
    """Double the rate by linear interpolation; the first and the last sample are kept: (B, C, T) -> (B, C, 2 T).

    F.interpolate(mode="linear", align_corners=True) has single-precision positions: off by 0.006 at 32,768 samples.
    """

    def forward(self, x: Tensor) -> Tensor:
        steps = x.shape[-1]
        padded = torch.cat([x[..., :1], x, x[..., -1:]], dim=-1)  # (B, C, T + 2)
        left, right = padded[..., :-1], padded[..., 1:]
        # New samples are (T - 1) / (2 T - 1) old ones apart. Two of them lie between the old samples i - 1 and i: the
        # right one's weights are (T - i) / (2 T - 1) and (2 T - 1 - i) / (2 T - 1), the latter 0 before sample 0.
        # A cumulative sum, since arange would fix the device of an exported network.
        place, total = torch.ones_like(left[0, 0], dtype=torch.int64).cumsum(0).double() - 1, 2 * steps - 1
        first, second = (((end - place) % total / total).to(x.dtype) for end in (steps, total))
        between = torch.stack([torch.lerp(left, right, first), torch.lerp(left, right, second)], dim=-1)
        return between.flatten(-2)[..., 1:-1]  # (B, C, T + 1, 2) -> (B, C, 2 T)


class WaveUNet(nn.Module):
    """Map a noisy waveform to an enhanced waveform and to the bottleneck between the two arms of the U.

    The defaults are the published sizes: 12 layers, each with 24 channels more than the one before, kernels of 15 on
    the way down and 5 on the way up; 10,132,802 parameters.

    Args:
        layers: levels of the U; the bottleneck has one frame per ``2 ** layers`` samples, the stride.
        channels: of the first level, and how many each deeper level adds.
        down_kernel, up_kernel: odd kernel sizes of the two arms, in samples of their level.
        chunk: None, or the length of separate chunks, as in the authors' closest published code (16,384 samples);
            ValueError if it is not a multiple of the stride.
    """

    def __init__(
        self, layers: int = 12, channels: int = 24, down_kernel: int = 15, up_kernel: int = 5, chunk: int | None = None
    ):
        super().__init__()
        self.stride, self.chunk = 2**layers, chunk
        if chunk is not None and (chunk <= 0 or chunk % self.stride):
            raise ValueError(f"chunk={chunk}: must be a positive multiple of the stride, {self.stride} samples")
        widths = [channels * level for level in range(1, layers + 1)]
        arriving = [*widths[1:], widths[-1]]  # channels that come up from the level below
        self.bottleneck_channels = widths[-1]
        self.encoder = nn.ModuleList(
            ConvBlock(width_in, width, down_kernel) for width_in, width in zip([1, *widths], widths, strict=False)
        )
        self.middle = ConvBlock(widths[-1], widths[-1], down_kernel)
        self.upsample = Upsample()
        self.decoder = nn.ModuleList(
            ConvBlock(deep + width, width, up_kernel) for deep, width in zip(arriving[::-1], widths[::-1], strict=True)
        )
        self.head = nn.Sequential(nn.Conv1d(channels + 1, 1, kernel_size=1), nn.Tanh())

    def forward(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Return enhanced (B, 1, T) and bottleneck (B, C, F), F = ceil(T / stride), of noisy (B, 1, T); any T >= 1."""
        batch, _, length = noisy.shape
        padded = F.pad(noisy, (0, -length % (self.chunk or self.stride)))  # zeros at the end
        if self.chunk is None:
            enhanced, bottleneck = self.enhance(padded)
        else:
            chunks = padded.reshape(-1, 1, self.chunk)  # (B * N, 1, chunk)
            enhanced, bottleneck = self.enhance(chunks)
            bottleneck = bottleneck.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2)  # (B, C, F)
        return enhanced.reshape(batch, 1, -1)[..., :length], bottleneck

    def enhance(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, for waveforms (B, 1, T) whose length is a multiple of the stride."""
        hidden, skips = waveform, []
        for down in self.encoder:
            hidden = down(hidden)
            skips.append(hidden)
            hidden = hidden[..., ::2]  # (B, C, T) -> (B, C, T / 2)
        bottleneck = hidden = self.middle(hidden)  # (B, C, F)
        for up in self.decoder:
            hidden = up(torch.cat([self.upsample(hidden), skips.pop()], dim=1))
        joined = torch.cat([hidden, waveform], dim=1)
        with torch.autocast(waveform.device.type, enabled=False):  # bfloat16 has eight bits, a waveform needs more
            return self.head(joined), bottleneck
