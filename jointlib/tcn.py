"""The back-end: a temporal convolutional network (the separator of Luo and Mesgarani 2019) that classifies."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from jointlib.convolutions import Conv, DepthwiseConv
from jointlib.layers import GlobalLayerNorm, PReLU, channels_last


class Filterbank(nn.Module):
    """A learned filterbank on the wave, not in the paper: (B, 1, T) -> log power per band and frame (B, bands, F).

    One strided convolution with two filters a band, which start as windowed cosine and sine at mel-spaced frequencies
    (so that it starts as a log-mel spectrogram) and are trained like any other weight.

    Args:
        window, hop: in samples. bands: between 60 Hz and 7.8 kHz at 16 kHz.
        floor: power added before the logarithm; a wave has a power of one per sample here, so that with 0.03 what lies
            15 dB below the wave counts little.
    """

    def __init__(self, window: int, hop: int, bands: int, floor: float = 0.03):
        super().__init__()
        self.floor = floor
        self.filters = nn.Conv1d(1, 2 * bands, window, stride=hop, padding=window // 2, bias=False)
        low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (60, 7800))
        hertz = 700 * (10 ** (torch.linspace(low, high, bands) / 2595) - 1)
        phase = 2 * math.pi * hertz[:, None] / 16_000 * torch.arange(window)  # (bands, window)
        waves = torch.cat([phase.cos(), phase.sin()]) * torch.hann_window(window) / window**0.5
        self.filters.weight.data.copy_(waves.unsqueeze(1))

    def forward(self, wave: Tensor) -> Tensor:
        level_free = F.layer_norm(wave, wave.shape[1:])  # whatever level and offset a front-end gives the wave
        cosine, sine = self.filters(level_free).chunk(2, dim=1)  # (B, bands, F) each
        return channels_last((cosine.square() + sine.square() + self.floor).log(), least=512)


class ResidualBlock(nn.Module):
    """1x1 convolution, dilated depthwise convolution, 1x1 convolution, added to the input: (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, hidden: int, kernel_size: int, dilation: int):
        super().__init__()
        padding = dilation * (kernel_size - 1) // 2
        self.body = nn.Sequential(
            Conv(channels, hidden, 1),
            PReLU(),
            GlobalLayerNorm(hidden),
            DepthwiseConv(hidden, hidden, kernel_size, padding=padding, dilation=dilation, groups=hidden),
            PReLU(),
            GlobalLayerNorm(hidden),
            Conv(hidden, channels, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


class TCN(nn.Module):
    """Classify a sequence of features: (B, C, T) -> logits (B, classes).

    The defaults are the published sizes: 178,166 parameters on the raw wave (one channel), 197,108 on the
    288-channel bottleneck. At one step a sample they see 125 samples, 7.8 ms.

    Args:
        in_channels: C, 1 for a wave.
        classes: number of intents.
        channels, hidden: width between and inside the residual blocks.
        repeats, blocks: the dilations 1, 2, ... 2 ** (blocks - 1), repeated.
        kernel_size: of the depthwise convolutions, odd.
        stem: None, the published network; or (window, hop, bands) of a `Filterbank` in front of it, so that a step is a
            frame instead of a sample.

    Attributes:
        checkpointing: keep a block's input alone and compute the rest again on the way back: less memory, more time.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 31,
        channels: int = 64,
        hidden: int = 128,
        repeats: int = 2,
        blocks: int = 5,
        kernel_size: int = 3,
        stem: tuple[int, int, int] | None = None,
    ):
        super().__init__()
        layers = []
        if stem is not None:
            layers.append(Filterbank(*stem))
            in_channels = stem[2]
        layers += [GlobalLayerNorm(in_channels), Conv(in_channels, channels, 1)]
        layers += [
            ResidualBlock(channels, hidden, kernel_size, dilation=2**exponent)
            for _ in range(repeats)
            for exponent in range(blocks)
        ]
        self.checkpointing = False
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.PReLU(), nn.Linear(channels, classes))

    def forward(self, features: Tensor) -> Tensor:
        features = channels_last(features, least=512)
        for layer in self.features:
            recompute = self.checkpointing and features.requires_grad and isinstance(layer, ResidualBlock)
            features = checkpoint(layer, features, use_reentrant=False) if recompute else layer(features)
        return self.head(features.transpose(1, 2).mean(dim=1))
